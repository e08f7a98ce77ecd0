//! Whose an account is, and what the user may do with its mailboxes: the one room that decides.
//!
//! A user's own account has all rights. Accounts that share something with him (IMAP's ACL,
//! decision 25) are further accounts of his session; of those he sees the mailboxes that he
//! may read and look up, and the emails with a copy in one of them. Their ids have the account in
//! front, as in IMAP. `\Seen` is his own there. What he may change is what IMAP lets him change.
//!
//! Invariant: rights in another's account are read from the owner's record for each request.

use crate::Jmap;
use crate::auth::User;
use crate::methods::store_failed;
use crate::session::Fnv;
use directory::DirectoryError;
use envelope::AccountId;
use jmap_proto::{MethodError, SetError};
use mailbox_model::{MailboxId, ModSeq, View};
use mailstore::{Account, Acls, Reader, Rights, StoreError, object_id};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// An account as a user may know it.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) account: Arc<Account>,
    /// For people.
    pub(crate) name: String,
    other: Option<Other>,
}

/// What another gives a user.
#[derive(Debug, Clone)]
struct Other {
    reader: AccountId,
    given: BTreeMap<MailboxId, Rights>,
}

/// Rights that change something.
const CHANGING: Rights = Rights::SEEN
    .and(Rights::WRITE)
    .and(Rights::INSERT)
    .and(Rights::DELETE)
    .and(Rights::EXPUNGE)
    .and(Rights::CREATE)
    .and(Rights::DELETE_MAILBOX);

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
        self.other.as_ref().map(|other| other.reader)
    }

    /// Who looks at it.
    pub(crate) fn user(&self) -> AccountId {
        self.reader().unwrap_or(self.account.id())
    }

    pub(crate) fn rights(&self, mailbox: MailboxId) -> Rights {
        match &self.other {
            None => Rights::ALL,
            Some(other) => other.given.get(&mailbox).copied().unwrap_or_default(),
        }
    }

    /// A name for what the user sees of another's account at a moment, told apart from what he sees at others.
    pub(crate) fn shown_name(&self, view: &View) -> u64 {
        let Some(other) = &self.other else {
            return 0;
        };
        let mut name = Fnv::default();
        name.take(&other.name().to_be_bytes());
        let shown = view.mailboxes().filter(|mailbox| self.shows(mailbox.id()));
        for mailbox in shown {
            name.take(&mailbox.id().0.to_be_bytes());
            name.take(mailbox.name().as_str().as_bytes());
            name.take(&mailbox.highest_modseq().0.to_be_bytes());
        }
        name.finish()
    }

    /// The same with mailboxes that have come to it, and what the user may do with them.
    pub(crate) fn with(&self, more: impl Iterator<Item = (MailboxId, Rights)>) -> Self {
        let other = self.other.as_ref().map(|other| {
            let mut other = other.clone();
            other.given.extend(more);
            other
        });
        Self {
            account: Arc::clone(&self.account),
            name: self.name.clone(),
            other,
        }
    }

    /// # Errors
    /// The user has not all of these rights in a mailbox.
    pub(crate) fn check_right(&self, mailbox: MailboxId, needed: Rights) -> Result<(), SetError> {
        match self.rights(mailbox).has(needed) {
            true => Ok(()),
            false => Err(no_right()),
        }
    }

    /// Nothing of it can be changed by the user.
    pub(crate) fn is_read_only(&self) -> bool {
        !self.lets_somewhere(CHANGING)
    }

    /// Octets may be put somewhere in it.
    pub(crate) fn takes_octets(&self) -> bool {
        self.lets_somewhere(Rights::INSERT)
    }

    /// The user has any of these rights in a mailbox that he sees.
    fn lets_somewhere(&self, any: Rights) -> bool {
        let Some(other) = &self.other else {
            return true;
        };
        let mut given = other.given.iter();
        given.any(|(id, rights)| self.shows(*id) && rights.has_any(any))
    }

    /// A state as clients know it. In another's account it says too which rights it is seen by: with others, what
    /// changed since cannot be told.
    pub(crate) fn state(&self, modseq: ModSeq) -> String {
        match &self.other {
            None => modseq.0.to_string(),
            Some(other) => format!("{}-{:016x}", modseq.0, other.name()),
        }
    }

    /// The modseq of a state that a client remembers.
    ///
    /// # Errors
    /// It never was one, or the rights were others.
    pub(crate) fn since(&self, state: &str) -> Result<ModSeq, MethodError> {
        let number = state
            .split('-')
            .next()
            .and_then(|number| number.parse().ok());
        let modseq = number
            .map(ModSeq)
            .filter(|modseq| self.state(*modseq) == state);
        modseq.ok_or(MethodError::CannotCalculateChanges)
    }

    /// The user sees it and what is in it.
    pub(crate) fn shows(&self, mailbox: MailboxId) -> bool {
        self.rights(mailbox).has(Rights::LOOKUP | Rights::READ)
    }
}

/// What a user without the right for it is told.
pub(crate) fn no_right() -> SetError {
    SetError::new("forbidden", "you do not have the right to do that")
}

impl Other {
    /// A name for the rights, told apart from others.
    fn name(&self) -> u64 {
        let mut name = Fnv::default();
        for (mailbox, rights) in &self.given {
            name.take(&mailbox.0.to_be_bytes());
            name.take(&rights.bits().to_be_bytes());
        }
        name.finish()
    }
}

impl Jmap {
    /// All accounts that the user sees, his own first. One that cannot be read hides no other.
    pub(crate) async fn rooms(&self, user: &User) -> Vec<Arc<Room>> {
        let mut rooms = vec![Arc::new(Room::own(user))];
        let mailstore = &self.shared.ports.mailstore;
        let owners = mailstore.sharing_with(user.id, &user.domain).await;
        let owners = owners.unwrap_or_else(|error| {
            let _ = store_failed(&error);
            Vec::new()
        });
        for owner in owners {
            if let Ok(Some(room)) = self.other_room(user, owner).await {
                rooms.push(Arc::new(room));
            }
        }
        rooms
    }

    /// The account of an id, if the user may know of it.
    ///
    /// # Errors
    /// That cannot be said.
    pub(crate) async fn room(
        &self,
        user: &User,
        id: &str,
    ) -> Result<Option<Arc<Room>>, MethodError> {
        if id == object_id::of_account(user.id) {
            return Ok(Some(Arc::new(Room::own(user))));
        }
        let number = id.strip_prefix('A').and_then(|number| number.parse().ok());
        let owner = number.map(AccountId);
        let owner = owner.filter(|owner| object_id::of_account(*owner) == id);
        match owner {
            Some(owner) => Ok(self.other_room(user, owner).await?.map(Arc::new)),
            None => Ok(None),
        }
    }

    async fn other_room(&self, user: &User, owner: AccountId) -> Result<Option<Room>, MethodError> {
        if owner == user.id {
            return Ok(None);
        }
        let ports = &self.shared.ports;
        let found = ports.logins.owner_of(owner).await;
        let Some(found) = found.map_err(|error| directory_failed(&error))? else {
            return Ok(None);
        };
        let account = match ports.mailstore.account(owner).await {
            Ok(account) => account,
            Err(StoreError::NoAccount(_)) => return Ok(None),
            Err(error) => return Err(store_failed(&error)),
        };
        let acls = account.acls().await.map_err(|error| store_failed(&error))?;
        let reader = self.reader_of(user, &acls).await?;
        let room = Room {
            name: found.address.to_string(),
            account,
            other: Some(Other {
                reader: user.id,
                given: acls.given_to(&reader),
            }),
        };
        let view = room.account.view();
        let shares = view.mailboxes().any(|mailbox| room.shows(mailbox.id()));
        Ok(shares.then_some(room))
    }

    /// As whom a user is looked for in ACLs: with the groups that they name and he belongs to, now.
    async fn reader_of(&self, user: &User, acls: &Acls) -> Result<Reader, MethodError> {
        let logins = &self.shared.ports.logins;
        let mut groups = BTreeSet::new();
        for group in acls.groups() {
            // Decision 25: groups are for those of their domain.
            let domain = group.rsplit_once('@').map(|(_, domain)| domain);
            if domain != Some(&*user.domain) {
                continue;
            }
            let member = logins.is_member(user.id, group).await;
            if member.map_err(|error| directory_failed(&error))? {
                groups.insert(group.to_owned());
            }
        }
        Ok(Reader {
            account: user.id,
            domain: Arc::clone(&user.domain),
            groups: Arc::new(groups),
        })
    }
}

fn directory_failed(error: &DirectoryError) -> MethodError {
    tracing::error!(%error, "jmap: whose an account is cannot be said");
    MethodError::ServerUnavailable
}
