//! What may happen to a queued message: legal states, retry schedule, outcomes, reports.
//!
//! * [`QueueId`] – the name of a queued message
//! * [`State`], [`Event`] – what may follow what, per recipient
//! * [`Schedule`] – when to try again, when to give up
//! * [`Class`], [`Verdict`], [`judge`] – what a reply means for a recipient
//! * [`Happening`], [`report_for`] – who is told what (RFC 3461)
//! * [`Cause`] – why a recipient was not reached
//! * [`Party`], [`Learned`], [`Signal`] – who takes how much at once, learned from the answers
//! * [`Claim`], [`share`] – who of several nodes may have how much of a limit
//!
//! | state | may be attempted | on disk | ends the recipient |
//! |---|---|---|---|
//! | todo | now | yes | |
//! | leased | is being | only as an intent | |
//! | deferred | from its time on | yes | |
//! | held | when released | yes | |
//! | done, failed, removed | never again | until the message ends | yes |
//!
//! The whole table stands in `docs/internals/queue.md`; [`State::apply`] is that table.
//!
//! Not here: records and keys (`queue`), the loop (`dispatch`), the text of
//! reports (`report-format`).
//!
//! Invariants: no clock and no randomness, the caller gives both; an ended
//! recipient never changes again; what is not known to be permanent is temporary.

#![forbid(unsafe_code)]

mod cause;
mod id;
mod learning;
pub mod limits;
mod outcome;
mod party;
mod report;
mod schedule;
mod share;
mod signal;
mod state;

pub use cause::Cause;
pub use id::{ParseIdError, QueueId};
pub use learning::{Bounds, Learned, Presence};
pub use outcome::{Age, Class, Verdict, judge};
pub use party::Party;
pub use report::{Action, Happening, report_for};
pub use schedule::Schedule;
pub use share::{Claim, share};
pub use signal::Signal;
pub use state::{Event, IllegalEvent, State};
