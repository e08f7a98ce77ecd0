//! From end of data to the one durable commit.
//!
//! A tour:
//! - [`Intake::begin`] takes a [`Transaction`]: who sends, the envelope, and what
//!   policy decided per recipient. [`Receiving::push`] takes the message as it
//!   comes, [`Receiving::finish`] makes it durable and gives the [`Outcome`]:
//!   only then may a 250 be written.
//! - [`Intake::submit_generated`] takes a message of our own making;
//!   [`Intake::stage_generated`] adds one to somebody's batch.
//! - [`Intake::deliver_queued`] delivers what waited in the queue for a user here.
//! - [`Intake::recover`] finishes, at the start, what a crash left half spread
//!   over shards.
//!
//! Inside: `header` (what is read and changed of the header as it streams in),
//! `plan` (who gets which copy), `commit` (one shard, one batch), `spread`
//! (several shards, the intake record), `success` (what a sender is told who
//! asked for it), `resend` (the same message again).
//!
//! Not here: whether a recipient is allowed (`policy`), the protocol
//! (`smtp-server`), attempts and retries (`dispatch`).
//!
//! Invariants:
//! - Everything needed to finish the job is in the commit that the outcome waits
//!   for: body, mailbox entries, queue entries.
//! - An account gets one copy per transaction, however it was named.
//! - A message for several shards is delivered to each exactly once: the part of
//!   a shard and the mark that it was done are one commit.
//!
//! The stored body is the message as it was received, with CRLF line ends, but
//! for fields that must not be there: every Return-Path (RFC 5321 §4.4), and on
//! submission Bcc, with Date and Message-ID added where they are missing (RFC
//! 6409 §8). What differs per recipient is a prefix in front of it.

#![forbid(unsafe_code)]

mod alert;
mod authors;
mod commit;
mod facts;
pub mod fsck;
mod generated;
mod header;
pub mod limits;
mod outcome;
mod plan;
mod prefix;
mod queued;
mod receiving;
mod record;
mod reply;
mod resend;
mod senders;
mod spread;
mod store;
mod success;
pub mod traced;

pub use facts::{Facts, Transaction};
pub use generated::{Generated, StagedGenerated};
pub use outcome::Outcome;
pub use queued::{Alongside, Queued};
pub use receiving::Receiving;
pub use record::body_of;
pub use store::{Intake, Options, Ports};

#[cfg(test)]
mod tests;
