//! CREATE, RENAME, DELETE, SUBSCRIBE. RFC 9051 §6.3.4 to §6.3.8.
//!
//! A name with mailboxes below it need not be a mailbox itself: deleting a
//! mailbox that has children leaves such a name (`\NonExistent`), and deleting
//! that again is refused with HASCHILDREN.

use super::{StageError, find};
use crate::change::{Change, Draft, Item, NewMailbox, Renamed};
use crate::ids::{MailboxId, UidValidity};
use crate::limits::{MAILBOXES_MAX, ORPHAN_SUBSCRIPTIONS_MAX};
use crate::name::MailboxName;
use crate::role::Role;
use crate::view::View;

/// Numbers for mailboxes that a change makes.
struct Numbers {
    id: MailboxId,
    uid_validity: UidValidity,
    /// Mailboxes that there will be.
    count: usize,
}

impl Numbers {
    fn of(view: &View) -> Self {
        Self {
            count: view.mailbox_count(),
            id: view.next_mailbox(),
            uid_validity: view.next_uid_validity(),
        }
    }

    fn make(
        &mut self,
        view: &View,
        name: MailboxName,
        role: Option<Role>,
    ) -> Result<NewMailbox, StageError> {
        if self.id.0 == u32::MAX || self.uid_validity.0 == u32::MAX {
            return Err(StageError::NumbersUsedUp);
        }
        self.count += 1;
        if self.count > MAILBOXES_MAX {
            return Err(StageError::Mailboxes);
        }
        let made = NewMailbox {
            id: self.id,
            subscribe: !view.is_subscribed(&name),
            name,
            role,
            uid_validity: self.uid_validity,
        };
        self.id = self.id.next();
        self.uid_validity = self.uid_validity.next();
        Ok(made)
    }

    fn make_parents(
        &mut self,
        view: &View,
        name: &MailboxName,
    ) -> Result<Vec<NewMailbox>, StageError> {
        name.ancestors()
            .filter(|ancestor| view.mailbox_named(ancestor).is_none())
            .map(|ancestor| self.make(view, ancestor, None))
            .collect()
    }
}

/// Works out a CREATE of mailboxes, each with the parents it lacks; the new
/// mailboxes are subscribed. Gives the ids of the mailboxes asked for.
///
/// # Errors
/// The name or the use is taken; numbers used up.
pub fn stage_create(
    view: &View,
    wanted: &[(MailboxName, Option<Role>)],
) -> Result<(Draft, Vec<MailboxId>), StageError> {
    let mut numbers = Numbers::of(view);
    let mut made: Vec<NewMailbox> = Vec::new();
    let mut ids = Vec::new();
    for (name, role) in wanted {
        let taken =
            |n: &MailboxName| view.mailbox_named(n).is_some() || made.iter().any(|m| m.name == *n);
        if taken(name) {
            return Err(StageError::NameTaken);
        }
        let role_taken = role.is_some_and(|role| {
            view.role(role).is_some() || made.iter().any(|m| m.role == Some(role))
        });
        if role_taken {
            return Err(StageError::RoleTaken);
        }
        let parents: Vec<MailboxName> = name.ancestors().filter(|a| !taken(a)).collect();
        for parent in parents {
            made.push(numbers.make(view, parent, None)?);
        }
        let new = numbers.make(view, name.clone(), *role)?;
        ids.push(new.id);
        made.push(new);
    }
    Ok((Change::Create { mailboxes: made }.into(), ids))
}

/// Works out a RENAME of all that has the name or lies below it. The inbox is
/// refused: renaming it means to make the target and move its messages there
/// (RFC 9051 §6.3.6), which is a create and a move.
///
/// # Errors
/// No such name; the new name is taken, is below the old one or too long.
pub fn stage_rename(
    view: &View,
    from: &MailboxName,
    to: &MailboxName,
) -> Result<Draft, StageError> {
    if from.is_inbox() {
        return Err(StageError::Inbox);
    }
    if to.is_below(from) {
        return Err(StageError::BelowItself);
    }
    if view.mailbox_named(to).is_some() {
        return Err(StageError::NameTaken);
    }
    let mut renames = Vec::new();
    let own = view.mailbox_named(from).map(|mailbox| mailbox.name());
    for name in own.into_iter().chain(view.below(from)) {
        let id = view.mailbox_named(name).ok_or(StageError::NoMailbox)?.id();
        let new = name.moved(from, to)?;
        renames.push(Renamed {
            id,
            from: name.clone(),
            to: new,
        });
    }
    if renames.is_empty() {
        return Err(StageError::NoMailbox);
    }
    // Moving below its own former place must not make what is about to go.
    let created: Vec<NewMailbox> = Numbers::of(view).make_parents(view, to)?;
    let going = |name: &MailboxName| renames.iter().any(|r| r.from == *name);
    let clash = renames.iter().any(|renamed| {
        (view.mailbox_named(&renamed.to).is_some() && !going(&renamed.to))
            || created.iter().any(|made| made.name == renamed.to)
    });
    if clash {
        return Err(StageError::NameTaken);
    }
    Ok(renamed(view, created, renames))
}

/// The change that gives mailboxes the names they are to have, all at once.
pub(super) fn renamed(view: &View, created: Vec<NewMailbox>, renames: Vec<Renamed>) -> Draft {
    let moving = || renames.iter().filter(|r| view.is_subscribed(&r.from));
    let subscribed = moving().map(|r| r.from.clone()).collect();
    let kept = moving()
        .map(|r| r.to.clone())
        .filter(|to| view.is_subscribed(to))
        .collect();
    Change::Rename {
        created,
        renames,
        subscribed,
        kept,
    }
    .into()
}

/// What a DELETE comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteStaged {
    /// The change.
    pub draft: Draft,
    /// The mailbox.
    pub id: MailboxId,
}

/// Works out a DELETE. A mailbox with more than `limit` entries is not deleted
/// in one change: expunge all but so many first.
///
/// # Errors
/// No such mailbox; the inbox; a name that has only children.
pub fn stage_delete(view: &View, name: &MailboxName) -> Result<DeleteStaged, StageError> {
    if name.is_inbox() {
        return Err(StageError::Inbox);
    }
    let Some(mailbox) = view.mailbox_named(name) else {
        return Err(if view.has_children(name) {
            StageError::HasChildren
        } else {
            StageError::NoMailbox
        });
    };
    let change = Change::Delete {
        mailbox: NewMailbox {
            id: mailbox.id(),
            name: name.clone(),
            role: mailbox.role(),
            uid_validity: mailbox.uid_validity(),
            subscribe: view.is_subscribed(name),
        },
        uid_next: mailbox.uid_next(),
        items: mailbox.entries().iter().map(Item::from).collect(),
    };
    Ok(DeleteStaged {
        draft: change.into(),
        id: mailbox.id(),
    })
}

/// Works out a SUBSCRIBE; none if the name is subscribed already.
///
/// # Errors
/// Too many subscriptions to names without a mailbox.
pub fn stage_subscribe(view: &View, name: &MailboxName) -> Result<Option<Draft>, StageError> {
    if view.is_subscribed(name) {
        return Ok(None);
    }
    if view.mailbox_named(name).is_none() {
        let orphans = view
            .subscriptions()
            .filter(|n| view.mailbox_named(n).is_none());
        if orphans.count() >= ORPHAN_SUBSCRIPTIONS_MAX {
            return Err(StageError::Subscriptions);
        }
    }
    Ok(Some(Change::Subscribe { name: name.clone() }.into()))
}

/// Works out an UNSUBSCRIBE; none if the name is not subscribed.
#[must_use]
pub fn stage_unsubscribe(view: &View, name: &MailboxName) -> Option<Draft> {
    view.is_subscribed(name)
        .then(|| Change::Unsubscribe { name: name.clone() }.into())
}

/// Works out a new UIDVALIDITY for a mailbox.
///
/// # Errors
/// No such mailbox; numbers used up.
pub fn stage_uid_validity(view: &View, mailbox: MailboxId) -> Result<Draft, StageError> {
    let from = find(view, mailbox)?.uid_validity();
    let to = view.next_uid_validity();
    if to.0 == u32::MAX {
        return Err(StageError::NumbersUsedUp);
    }
    Ok(Change::UidValidity { mailbox, from, to }.into())
}
