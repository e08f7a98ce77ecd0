//! Whose an account is, and what the user may do with its mailboxes: the one room that decides.
//!
//! A user's own account has all rights. Accounts that share something with him (IMAP's ACL,
//! decision 25) are further accounts of his session, to be read; of those he sees the mailboxes that he
//! may read and look up, and the emails with a copy in one of them. Their ids have the account in
//! front, as in IMAP. `\Seen` is his own there.
//!
//! Invariant: rights in another's account are read from the owner's record for each request.

use crate::Jmap;
use crate::auth::User;
use envelope::AccountId;
use mailbox_model::MailboxId;
use mailstore::{Account, Acls, Reader, Rights, StoreError, object_id};
use std::collections::BTreeSet;
use std::sync::Arc;

/// An account as a user may know it.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) account: Arc<Account>,
    /// For people.
    pub(crate) name: String,
    other: Option<(Acls, Reader)>,
}

impl Room {
    pub(crate) fn own(user: &User) -> Self {
        Self {
            account: Arc::clone(&user.account),
            name: user.address.clone(),
            other: None,
        }
    }

    pub(crate) fn is_own(&self) -> bool {
        self.other.is_none()
    }

    /// JMAP's id of it.
    pub(crate) fn id(&self) -> String {
        object_id::of_account(self.account.id())
    }

    /// Whose ids stand in front of others, if it is another's.
    pub(crate) fn owner(&self) -> Option<AccountId> {
        self.other.as_ref().map(|_| self.account.id())
    }

    /// Who reads it, if it is another's.
    pub(crate) fn reader(&self) -> Option<AccountId> {
        self.other.as_ref().map(|(_, reader)| reader.account)
    }

    pub(crate) fn rights(&self, mailbox: MailboxId) -> Rights {
        match &self.other {
            None => Rights::ALL,
            Some((acls, reader)) => acls.rights_of(mailbox, reader),
        }
    }

    /// The user sees it and what is in it.
    pub(crate) fn shows(&self, mailbox: MailboxId) -> bool {
        self.rights(mailbox).has(Rights::LOOKUP | Rights::READ)
    }
}

impl Jmap {
    /// All accounts that the user sees, his own first.
    pub(crate) async fn rooms(&self, user: &User) -> Vec<Arc<Room>> {
        let mut rooms = vec![Arc::new(Room::own(user))];
        let mailstore = &self.shared.ports.mailstore;
        match mailstore.sharing_with(user.id, &user.domain).await {
            Ok(owners) => {
                for owner in owners {
                    rooms.extend(self.other_room(user, owner).await.map(Arc::new));
                }
            }
            Err(error) => {
                tracing::warn!(account = %user.id, %error, "jmap: who shares with an account cannot be read");
            }
        }
        rooms
    }

    /// The account of an id, if the user may know of it.
    pub(crate) async fn room(&self, user: &User, id: &str) -> Option<Arc<Room>> {
        if id == object_id::of_account(user.id) {
            return Some(Arc::new(Room::own(user)));
        }
        let number = id.strip_prefix('A')?.parse().ok()?;
        let owner = AccountId(number);
        if object_id::of_account(owner) != id {
            return None;
        }
        self.other_room(user, owner).await.map(Arc::new)
    }

    async fn other_room(&self, user: &User, owner: AccountId) -> Option<Room> {
        if owner == user.id {
            return None;
        }
        match self.try_other_room(user, owner).await {
            Ok(room) => room,
            Err(error) => {
                tracing::warn!(account = %user.id, %owner, error, "jmap: what an account shares cannot be read");
                None
            }
        }
    }

    async fn try_other_room(&self, user: &User, owner: AccountId) -> Result<Option<Room>, String> {
        let ports = &self.shared.ports;
        let told = |error: &dyn std::fmt::Display| error.to_string();
        let found = ports.logins.owner_of(owner).await.map_err(|e| told(&e))?;
        let Some(found) = found else {
            return Ok(None);
        };
        let account = match ports.mailstore.account(owner).await {
            Ok(account) => account,
            Err(StoreError::NoAccount(_)) => return Ok(None),
            Err(error) => return Err(told(&error)),
        };
        let acls = account.acls().await.map_err(|error| told(&error))?;
        let mut groups = BTreeSet::new();
        for group in acls.groups() {
            // Decision 25: groups are for those of their domain.
            if group
                .rsplit_once('@')
                .is_none_or(|(_, of)| of != &*user.domain)
            {
                continue;
            }
            let member = ports.logins.is_member(user.id, group).await;
            if member.map_err(|error| told(&error))? {
                groups.insert(group.to_owned());
            }
        }
        let reader = Reader {
            account: user.id,
            domain: Arc::clone(&user.domain),
            groups: Arc::new(groups),
        };
        let room = Room {
            name: found.address.to_string(),
            account,
            other: Some((acls, reader)),
        };
        let view = room.account.view();
        let shares = view.mailboxes().any(|mailbox| room.shows(mailbox.id()));
        Ok(shares.then_some(room))
    }
}
