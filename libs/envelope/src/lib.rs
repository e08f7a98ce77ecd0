//! Names things: addresses, domains, paths, replies, envelopes.
//!
//! * [`Domain`] – a mail domain, or an address literal in its place
//! * [`LocalPart`], [`Address`] – RFC 5321 §4.1.2 mailboxes with RFC 6531's letters
//! * [`ReversePath`], [`ForwardPath`], [`path`] – what stands between `<` and `>`
//! * [`EnhancedStatus`], [`Reply`] – what a server answers
//! * [`Envelope`], [`Recipient`], [`dsn`] – a message's envelope, as it is stored
//! * [`TlsWish`], [`DeliverBy`], [`Priority`], [`ValidSince`] – wishes for its way
//! * [`timestamp`] – RFC 3339
//! * [`AccountId`] – who owns a log
//!
//! Not here: what an address leads to (`directory`), commands (`smtp-proto`),
//! addresses in message headers (`mime`).
//!
//! Invariants: a value that exists is valid; no text in here ever holds CR, LF,
//! NUL or another control character; equality of domains is equality of their
//! normalised form; nothing that is not ASCII ever folds into ASCII.

#![forbid(unsafe_code)]

mod account_id;
mod address;
mod domain;
pub mod dsn;
pub mod limits;
mod local_part;
pub mod path;
mod record;
mod reply;
mod status;
#[cfg(test)]
mod tests;
pub mod timestamp;
mod wishes;

pub use account_id::AccountId;
pub use address::{Address, AddressError};
pub use domain::{Domain, DomainError};
pub use dsn::{Notify, OriginalRecipient, Ret};
pub use local_part::{LocalPart, LocalPartError};
pub use path::{ForwardPath, PathError, ReversePath};
pub use record::{BodyType, Envelope, Recipient};
pub use reply::Reply;
pub use status::EnhancedStatus;
pub use wishes::{ByMode, DeliverBy, Priority, TlsWish, ValidSince};
