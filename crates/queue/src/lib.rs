//! The durable queue: records, schedule, leases.
//!
//! * [`Queue::stage`] adds a message to somebody's batch; with its commit the
//!   message is in the queue and whoever waits in [`Queue::news`] wakes
//! * [`Queue::lines`] are the domains for which something waits, [`Queue::due`] is what of
//!   them may be attempted now, a scan of keys in order of time
//! * [`Queue::lease`] claims recipients for an attempt, [`Lease::change`] stages
//!   what became of them, alone or together with a report in one commit
//! * [`Queue::list`], [`Queue::act`], [`Queue::act_on_all`], [`Queue::stats`], [`Queue::pause`], [`Queue::drain`] are the operator's
//! * [`Queue::ended`] tells how recipients ended, also when the message is gone
//! * [`Queue::subscribe`] is for those who want to hear of outcomes: [`Queue::told_to`] keeps them until [`Queue::heard`]
//! * [`Queue::recover`] is called once, before the first lease
//! * [`Queue::fsck`] checks the records against each other, [`Queue::repair`] mends them
//!
//! Keys: [`keys`]. Records: [`Message`] (written once), [`Progress`] (after
//! each attempt), [`Intent`] (while an attempt is under way). What may follow
//! what: `queue-model`. The story: `docs/internals/queue.md`.
//!
//! Not here: where a recipient's mail goes and how (`dispatch`, `deliver`).
//!
//! Invariants: a message in the queue is the owner of its blob; its keys in the
//! schedule are a function of its records; a recipient is leased by one at a
//! time; a change of a message is staged on the one before it, in the order
//! of its lane; one record that cannot be read stops nobody else's mail.

#![forbid(unsafe_code)]

mod admin;
mod begun;
mod content;
mod drain;
mod ended;
mod entry;
mod error;
mod fresh;
pub mod fsck;
mod intent;
pub mod keys;
mod lease;
pub mod limits;
mod message;
mod news;
mod pause;
mod progress;
mod recover;
mod repair;
mod stats;
mod store;
#[cfg(test)]
mod tests;
mod told;

pub use admin::{Act, Acted, Filter, Forward, Listed, NoSuchPage, Page, PageMark};
pub use drain::Drain;
pub use ended::Ended;
pub use error::QueueError;
pub use intent::Intent;
pub use lease::{Change, Lease, Settlement};
pub use message::{Message, Origin, body_of};
pub use news::{Added, News, Retried};
pub use pause::Paused;
pub use progress::{Attempt, Progress, RecipientProgress};
pub use recover::Recovered;
pub use repair::RepairError;
pub use stats::{DomainStats, Stats};
pub use store::{Due, DuePage, Line, NewMessage, Place, Queue, Start};
pub use told::{Became, Subscribed, Subscriber, Told, ToldPage, Wants};
