//! Whose mailbox a name means, and what its user may do with it: the one room that decides.
//!
//! A user's own mailboxes have plain names and all rights. Others' are below
//! [`OTHERS`]: `Other Users/alice@example.org/Folder`, by the owner's primary address with `%`
//! and `/` as `%25` and `%2F`; those of an account that the operator marked as several people's are below
//! [`SHARED`]. A name is looked for among the user's own mailboxes first, so that
//! nothing that was there goes out of sight.
//!
//! Invariants: rights in another's mailbox are read from the owner's record for each command,
//! never remembered; who has no right in a mailbox is told the same as if there were none;
//! an account is seen by those alone who may see one of its mailboxes.
//! RFC 4314 §4; decision 25.

use crate::reply::{Reply, store_failed};
use crate::selected::Readership;
use crate::session::Session;
use envelope::AccountId;
use imap_proto::response::Code;
use mailbox_model::{Mailbox, MailboxId, MailboxName, View};
use mailstore::{Account, Acls, Reader, Rights};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The namespace of other users' mailboxes, without the separator behind it.
pub(crate) const OTHERS: &str = "Other Users";

/// The namespace of shared accounts' mailboxes. Unlike the other it is only there for those who
/// see something in it: others may have a folder of that name.
pub(crate) const SHARED: &str = "Shared";

/// True for a name that another's mailbox may have.
pub(crate) fn is_below_others(name: &str) -> bool {
    [OTHERS, SHARED].into_iter().any(|namespace| {
        let below = name.strip_prefix(namespace);
        below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    })
}

/// What a user without the right for it is told.
pub(crate) fn no_right() -> Reply {
    Reply::no(Code::NO_PERM, "you do not have the right to do that")
}

pub(crate) fn no_mailbox() -> Reply {
    Reply::no(Code::NON_EXISTENT, "there is no such mailbox")
}

/// Another's account, as far as the user may know of it.
#[derive(Debug, Clone)]
pub(crate) struct Other {
    pub(crate) account: Arc<Account>,
    pub(crate) view: Arc<View>,
    pub(crate) acls: Arc<Acls>,
    /// What its names begin with, the separator too.
    pub(crate) prefix: String,
    reader: Reader,
    shared: bool,
}

impl Other {
    /// It is in the shared namespace.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared
    }

    /// Who looks at it.
    pub(crate) fn reader(&self) -> AccountId {
        self.reader.account
    }

    pub(crate) fn rights(&self, mailbox: MailboxId) -> Rights {
        self.acls.rights_of(mailbox, &self.reader)
    }

    /// Its mailboxes that the user may see in lists, by the names that he knows.
    pub(crate) fn listed(&self) -> Vec<(MailboxName, MailboxId)> {
        let names = self.view.names().into_iter();
        let mailboxes = names.filter_map(|(name, id)| Some((name, id?)));
        let visible = mailboxes.filter(|(_, id)| self.rights(*id).has(Rights::LOOKUP));
        let shown = visible.filter_map(|(name, id)| Some((self.shown(&name)?, id)));
        shown.collect()
    }

    /// None for a name that is too long then.
    pub(crate) fn shown(&self, name: &MailboxName) -> Option<MailboxName> {
        MailboxName::parse(&format!("{}{name}", self.prefix)).ok()
    }

    /// The same account, of which the user may see nothing any more.
    pub(crate) fn without_rights(&self) -> Self {
        Self {
            acls: Arc::default(),
            ..self.clone()
        }
    }

    /// One of its mailboxes.
    pub(crate) fn place(&self, mailbox: &Arc<Mailbox>) -> Place {
        Place {
            account: Arc::clone(&self.account),
            view: Arc::clone(&self.view),
            mailbox: Arc::clone(mailbox),
            rights: self.rights(mailbox.id()),
            other: Some(self.clone()),
        }
    }
}

/// Whose a name is.
pub(crate) enum Whose {
    /// The user's own, by that name; it need not be there.
    Own(Arc<Account>, MailboxName),
    /// Another's, by the name that the owner knows; it need not be there.
    Other(Other, MailboxName),
    /// Nobody's of whom the user may know, or no name at all.
    Nobody,
}

/// A mailbox that is there, and what the user may do with it.
pub(crate) struct Place {
    pub(crate) account: Arc<Account>,
    pub(crate) view: Arc<View>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) rights: Rights,
    /// None if it is the user's own.
    pub(crate) other: Option<Other>,
}

impl Place {
    /// Whose `\Seen` is shown there.
    pub(crate) async fn readership(&self) -> Result<Option<Readership>, Reply> {
        let Some(other) = &self.other else {
            return Ok(None);
        };
        let seen = self
            .account
            .seen_by(self.mailbox.id(), other.reader())
            .await;
        Ok(Some(Readership {
            reader: other.reader(),
            domain: Arc::clone(&other.reader.domain),
            prefix: other.prefix.clone(),
            rights: self.rights,
            seen: seen.map_err(|error| store_failed(&error))?,
        }))
    }

    /// Whose it is, if another's.
    pub(crate) fn owner(&self) -> Option<AccountId> {
        self.other.as_ref().map(|_| self.account.id())
    }

    /// The name by which the user knows it.
    pub(crate) fn shown_name(&self) -> String {
        let prefix = self.other.as_ref().map_or("", |other| &other.prefix);
        format!("{prefix}{}", self.mailbox.name())
    }
}

/// How an owner's address stands in a name.
fn level_of(address: &str) -> String {
    address.replace('%', "%25").replace('/', "%2F")
}

fn address_of(level: &str) -> String {
    level.replace("%2F", "/").replace("%25", "%")
}

impl Session {
    /// Whose a name is.
    pub(crate) async fn whose(&self, name: &imap_proto::MailboxName) -> Result<Whose, Reply> {
        let Some(login) = &self.login else {
            return Err(Reply::bad("log in first"));
        };
        let Ok(own) = MailboxName::parse(name.as_str()) else {
            return Ok(Whose::Nobody);
        };
        let view = login.account.view();
        let is_own = !is_below_others(own.as_str())
            || view.mailbox_named(&own).is_some()
            || view.has_children(&own);
        if is_own {
            return Ok(Whose::Own(Arc::clone(&login.account), own));
        }
        let shared = !own.as_str().starts_with(OTHERS);
        let mut levels = own.as_str().splitn(3, '/').skip(1);
        let found = match (levels.next(), levels.next().map(MailboxName::parse)) {
            (Some(owner), Some(Ok(rest))) => {
                let other = self.other_named(&address_of(owner)).await?;
                let other = other.filter(|other| other.shared == shared);
                other.map(|other| Whose::Other(other, rest))
            }
            _ => None,
        };
        Ok(match found {
            Some(found) => found,
            None if shared => Whose::Own(Arc::clone(&login.account), own),
            None => Whose::Nobody,
        })
    }

    /// A mailbox in which the user has any of the rights wanted.
    ///
    /// # Errors
    /// There is none of which the user may know; or the right is missing.
    pub(crate) async fn place(
        &self,
        name: &imap_proto::MailboxName,
        wanted: Rights,
    ) -> Result<Place, Reply> {
        let place = match self.whose(name).await? {
            Whose::Own(account, name) => {
                let view = account.view();
                let mailbox = view.mailbox_named(&name).ok_or_else(no_mailbox)?;
                let mailbox = Arc::clone(mailbox);
                return Ok(Place {
                    account,
                    view,
                    mailbox,
                    rights: Rights::ALL,
                    other: None,
                });
            }
            Whose::Other(other, name) => other.view.mailbox_named(&name).map(|m| other.place(m)),
            Whose::Nobody => None,
        };
        let place = place.ok_or_else(no_mailbox)?;
        match place.rights {
            rights if rights.has_any(wanted) => Ok(place),
            // RFC 4314 §6: without `l` nobody learns that it is there.
            rights if rights.has(Rights::LOOKUP) => Err(no_right()),
            _ => Err(no_mailbox()),
        }
    }

    /// Another's account by its primary address, if it shares anything with the user.
    async fn other_named(&self, address: &str) -> Result<Option<Other>, Reply> {
        let logins = &self.ports.logins;
        let found = logins.account_of(address).await;
        let Some(owner) = found.map_err(|error| directory_failed(&error))? else {
            return Ok(None);
        };
        let other = self.other(owner).await?;
        let named = level_of(address);
        Ok(other.filter(|other| {
            let primary = other.prefix.trim_end_matches('/').rsplit('/').next();
            primary.is_some_and(|primary| primary.eq_ignore_ascii_case(&named))
        }))
    }

    /// Another's account, if it shares anything with the user.
    pub(crate) async fn other(&self, owner: AccountId) -> Result<Option<Other>, Reply> {
        let Some(login) = self
            .login
            .as_ref()
            .filter(|login| login.account.id() != owner)
        else {
            return Ok(None);
        };
        let found = self.ports.logins.owner_of(owner).await;
        let Some(found) = found.map_err(|error| directory_failed(&error))? else {
            return Ok(None);
        };
        let namespace = if found.shared { SHARED } else { OTHERS };
        let account = match self.ports.mailstore.account(owner).await {
            Ok(account) => account,
            Err(mailstore::StoreError::NoAccount(_)) => return Ok(None),
            Err(error) => return Err(store_failed(&error)),
        };
        let acls = account.acls().await.map_err(|error| store_failed(&error))?;
        let view = account.view();
        let reader = self.reader_of(&acls, login.account.id(), &login.domain);
        let reader = reader.await?;
        let other = Other {
            prefix: format!("{namespace}/{}/", level_of(&found.address.to_string())),
            account,
            view,
            acls: Arc::new(acls),
            reader,
            shared: found.shared,
        };
        let names = other.view.names();
        let mut mailboxes = names.values().filter_map(|id| *id);
        let shares = mailboxes.any(|id| !other.rights(id).is_empty());
        Ok(shares.then_some(other))
    }

    /// All accounts that share something with the user.
    pub(crate) async fn others(&self) -> Result<Vec<Other>, Reply> {
        let Some(login) = &self.login else {
            return Ok(Vec::new());
        };
        let mailstore = &self.ports.mailstore;
        let owners = mailstore
            .sharing_with(login.account.id(), &login.domain)
            .await;
        let mut others = Vec::new();
        for owner in owners.map_err(|error| store_failed(&error))? {
            match self.other(owner).await {
                Ok(other) => others.extend(other),
                // One account that can't be read hides no other.
                Err(_) => {
                    tracing::warn!(session = self.id, %owner, "imap: what is shared by an account can't be listed");
                }
            }
        }
        Ok(others)
    }

    /// As whom an account is looked for in ACLs: with the groups that they name and it belongs to, now.
    async fn reader_of(
        &self,
        acls: &Acls,
        account: AccountId,
        domain: &Arc<str>,
    ) -> Result<Reader, Reply> {
        let mut groups = BTreeSet::new();
        for group in acls.groups() {
            // Decision 25: groups are for those of their domain.
            if group.rsplit_once('@').is_none_or(|(_, of)| of != &**domain) {
                continue;
            }
            let member = self.ports.logins.is_member(account, group).await;
            if member.map_err(|error| directory_failed(&error))? {
                groups.insert(group.to_owned());
            }
        }
        Ok(Reader {
            account,
            domain: Arc::clone(domain),
            groups: Arc::new(groups),
        })
    }

    /// Looks again what the user may do in the selected mailbox, where it is another's.
    ///
    /// # Errors
    /// It may not be read any more, or that can't be said.
    pub(crate) async fn look_again(&mut self) -> Result<(), Reply> {
        let Some(selected) = &self.selected else {
            return Ok(());
        };
        let (account, mailbox) = (Arc::clone(&selected.account), selected.id);
        let Some(readership) = &selected.readership else {
            return Ok(());
        };
        let (reader, domain) = (readership.reader, Arc::clone(&readership.domain));
        let acls = account.acls().await.map_err(|error| store_failed(&error))?;
        let reader = self.reader_of(&acls, reader, &domain).await?;
        let rights = acls.rights_of(mailbox, &reader);
        let selected = self.selected.as_mut();
        if let Some(readership) = selected.and_then(|selected| selected.readership.as_mut()) {
            readership.rights = rights;
        }
        match rights.has(Rights::READ) {
            true => Ok(()),
            false => Err(no_right()),
        }
    }
}

pub(crate) fn directory_failed(error: &directory::DirectoryError) -> Reply {
    tracing::error!(%error, "imap: whose a mailbox is cannot be said");
    Reply::no(Code::UNAVAILABLE, "that is not possible at the moment")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_level_of_a_name() {
        for (address, level) in [("a@b.test", "a@b.test"), ("a/b%2F@c", "a%2Fb%252F@c")] {
            assert_eq!(level_of(address), level);
            assert_eq!(address_of(level), address);
        }
    }
}
