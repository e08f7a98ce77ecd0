//! A change of an account, as its log keeps it.
//!
//! A change is an operation over UID ranges that names only what really
//! changed, with all that is needed to undo it exactly. Its record is
//! [`crate::codec`]'s, its meaning [`crate::apply`]'s.

use crate::flags::{FlagId, Keywords};
use crate::ids::{EmailId, MailboxId, ModSeq, Uid, UidValidity};
use crate::name::MailboxName;
use crate::role::Role;
use crate::uidset::UidSet;
use crate::view::Copy;
use std::sync::Arc;

/// One entry of an account's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// The change's number, above every one before it.
    pub modseq: ModSeq,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// Keywords that this change adds to the account's table, in order.
    pub new_keywords: Vec<Arc<str>>,
    /// Copies that come by it have a save date. Entries of versions 1 and 2 of the record
    /// give none, so that folding them gives what pages of their time hold.
    pub dates: bool,
    /// What changed.
    pub change: Change,
}

/// What [`crate::stage`] made: an entry that has no number yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// See [`LogEntry::new_keywords`].
    pub new_keywords: Vec<Arc<str>>,
    /// What is to change.
    pub change: Change,
}

impl Draft {
    /// Numbers it.
    #[must_use]
    pub fn into_entry(self, modseq: ModSeq, at_ms: u64) -> LogEntry {
        LogEntry {
            modseq,
            at_ms,
            new_keywords: self.new_keywords,
            dates: true,
            change: self.change,
        }
    }
}

impl From<Change> for Draft {
    fn from(change: Change) -> Self {
        Self {
            new_keywords: Vec::new(),
            change,
        }
    }
}

/// An operation on an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Emails arrive in a mailbox (delivery, APPEND).
    Deliver {
        /// Where.
        mailbox: MailboxId,
        /// The emails in order of UID.
        items: Vec<Item>,
        /// Those whose internal date is another than the moment of the change.
        dated: UidSet,
    },
    /// Flags are set and cleared.
    Flags {
        /// Where they were stored; an email's other copies change with it.
        mailbox: MailboxId,
        /// One edit per flag and direction.
        edits: Vec<FlagEdit>,
    },
    /// Copies are made.
    Copy(Transfer),
    /// Copies are made and the originals taken away.
    Move {
        /// What and where.
        transfer: Transfer,
        /// Those of the originals that were `\Deleted`.
        deleted: UidSet,
        /// The emails of [`Transfer::renewed`], which the new ones replace here,
        /// in the same order.
        renewed_from: Vec<EmailId>,
    },
    /// Copies are taken away.
    Expunge {
        /// Where.
        mailbox: MailboxId,
        /// What was there, in order of UID.
        items: Vec<Item>,
    },
    /// Mailboxes are made, parents before children.
    Create {
        /// The mailboxes.
        mailboxes: Vec<NewMailbox>,
    },
    /// A mailbox and those below it get other names.
    Rename {
        /// Parents of the new name that are made.
        created: Vec<NewMailbox>,
        /// Each mailbox with its old and new name.
        renames: Vec<Renamed>,
        /// Subscribed names among the old ones.
        subscribed: Vec<MailboxName>,
        /// Their new names that were subscribed before, without a mailbox.
        kept: Vec<MailboxName>,
    },
    /// A mailbox is taken away with all that is in it.
    Delete {
        /// The mailbox as it could be made again.
        mailbox: NewMailbox,
        /// Its next UID.
        uid_next: Uid,
        /// What was in it.
        items: Vec<Item>,
    },
    /// A name is subscribed.
    Subscribe {
        /// The name; no mailbox need have it.
        name: MailboxName,
    },
    /// A name is no longer subscribed.
    Unsubscribe {
        /// The name.
        name: MailboxName,
    },
    /// A mailbox's UIDs begin to mean something else.
    UidValidity {
        /// The mailbox.
        mailbox: MailboxId,
        /// Before.
        from: UidValidity,
        /// After.
        to: UidValidity,
    },
    /// Emails that the account had before come back, each under a new UID.
    Restore {
        /// Where.
        mailbox: MailboxId,
        /// The emails in order of UID.
        items: Vec<Restored>,
    },
    /// Something that one reader keeps of these entries by himself changed (his own
    /// `\Seen` in a shared mailbox): they count as changed, so that his sessions look.
    /// Without entries the mailbox itself does (its annotations, RFC 7162 §3.2).
    Touched {
        /// Where.
        mailbox: MailboxId,
        /// Whose, or nobody's; UIDs that are not there are passed over.
        uids: UidSet,
    },
    /// The account's filter scripts changed. They stand in a record beside the state; nothing of the
    /// state does, but its number.
    Scripts,
    /// History may have been lost: all that clients may have been told since is
    /// passed over. Cannot be undone.
    Raised(Raise),
}

impl Change {
    /// Emails that lose a copy by it, perhaps their last. Those that a MOVE
    /// takes elsewhere are not among them.
    pub fn removed(&self) -> impl Iterator<Item = EmailId> + '_ {
        let (items, renewed): (&[Item], &[EmailId]) = match self {
            Self::Expunge { items, .. } | Self::Delete { items, .. } => (items, &[]),
            Self::Move { renewed_from, .. } => (&[], renewed_from),
            _ => (&[], &[]),
        };
        let items = items.iter().map(|item| item.email);
        items.chain(renewed.iter().copied())
    }
}

/// An email that comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Its new copy.
    pub item: Item,
    /// One of its other copies, if it has any; none says that it was in no mailbox.
    pub beside: Option<Copy>,
}

/// How far the numbers of an account move on after a disaster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raise {
    /// Every mailbox's next UID.
    pub uids: u32,
    /// The next email id.
    pub emails: u64,
    /// The next mailbox id.
    pub mailboxes: u32,
    /// The next UIDVALIDITY.
    pub uid_validities: u32,
}

/// A copy of an email that came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its number in the mailbox.
    pub uid: Uid,
    /// The email.
    pub email: EmailId,
    /// Its keywords then.
    pub keywords: Keywords,
    /// `\Deleted`.
    pub deleted: bool,
    /// Octets.
    pub size: u64,
}

/// One flag set or cleared on some entries; every one of them really changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagEdit {
    /// Which.
    pub flag: FlagId,
    /// Set or cleared.
    pub set: bool,
    /// Whose.
    pub uids: UidSet,
}

/// Which entries go from where to where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The source.
    pub from: MailboxId,
    /// The target; for a copy it may be the source.
    pub to: MailboxId,
    /// The entries, as the source numbers them. A MOVE names no others, so that
    /// it can be undone; a copy's ranges may reach over UIDs that are not there.
    pub uids: UidSet,
    /// The UID in the target of the first; the others follow without a gap.
    pub first_uid: Uid,
    /// Those that become an email of their own because the target holds the
    /// email already: their UIDs in the source, with consecutive new ids.
    pub renewed: UidSet,
    /// The first of the new ids.
    pub first_email: EmailId,
}

/// A mailbox to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMailbox {
    /// Its identity.
    pub id: MailboxId,
    /// Its name.
    pub name: MailboxName,
    /// Its special use.
    pub role: Option<Role>,
    /// Its UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// True if the name becomes subscribed by it; of a deleted one, if it was.
    pub subscribe: bool,
}

/// A mailbox that changes its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed {
    /// The mailbox.
    pub id: MailboxId,
    /// Before.
    pub from: MailboxName,
    /// After.
    pub to: MailboxName,
}
