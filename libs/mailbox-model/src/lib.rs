//! What an account is: an immutable [`View`], and the one function that changes it.
//!
//! - [`View`], [`Mailbox`], [`Entry`]: the state; cheap to clone, O(log n) to change.
//! - [`LogEntry`], [`Change`]: one entry of the account's log and its record.
//! - [`apply`]: view × entry → the next view; nothing else changes a view.
//! - [`undo`], [`Rewind`]: the way back, for what the account holds.
//! - [`stage`]: view × request → the entry, naming only what really changes.
//! - [`Places`]: the way from an email to its copies.
//! - [`Threads`], [`join`]: which emails belong together.
//! - [`Weight`]: what a view takes in memory.
//! - [`page`]: the packed pages and records that checkpoints are made of.
//!
//! Not here: where records are kept, who may write when, and what an email
//! holds (`mailstore`); names on the wire (the protocol crates).
//!
//! Invariants: UIDs, mod-sequences and ids only grow; a UIDVALIDITY is never
//! given twice in an account; counters equal the sums over the entries; rank is
//! sequence number minus one; folding the log gives the live view.
//! RFC 9051 §2.3, RFC 7162, RFC 6851, RFC 6154.

#![forbid(unsafe_code)]

mod apply;
mod change;
mod codec;
mod flags;
mod ids;
pub mod limits;
mod mailbox;
mod name;
pub mod page;
mod places;
mod recent;
mod role;
mod saved;
mod seen;
pub mod stage;
mod threads;
mod uidset;
mod undo;
mod view;
mod weight;

#[cfg(test)]
mod tests;

pub use apply::{ApplyError, Effects, apply, apply_noting, page_of};
pub use change::{
    Change, Draft, FlagEdit, Item, LogEntry, NewMailbox, Raise, Renamed, Restored, Transfer,
};
pub use flags::{Flag, FlagId, KeywordTable, Keywords};
pub use ids::{EmailId, KeywordId, MailboxId, ModSeq, Uid, UidValidity};
pub use mailbox::{Counters, Entry, Mailbox};
pub use name::{DELIMITER, MailboxName, NameError};
pub use places::Places;
pub use role::Role;
pub use saved::{Saved, SavedAt};
pub use threads::{Joining, ThreadKey, Threads, join};
pub use uidset::UidSet;
pub use undo::{Rewind, UndoError, undo};
pub use view::{Copy, Usage, View};
pub use weight::Weight;
