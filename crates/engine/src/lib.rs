//! The one store port: ordered keys, conditional batches, bodies; memory and
//! embedded backends.
//!
//! - [`contract`]: what every backend promises. Start here.
//! - [`keys`]: how keys begin, and the shard that follows from it.
//! - [`mod@body`]: where a body frame lies.
//! - [`collect`]: how space is given back.
//! - [`memory`]: the backend for tests and the simulation.
//! - [`embedded`]: the backend for one machine: journal and index.
//! - [`check`]: what checks are called; [`findings`]: what can be wrong with a store.
//!
//! What keys and values mean is the business of the crates above.

#![forbid(unsafe_code)]

pub mod body;
pub mod check;
pub mod collect;
pub mod contract;
pub mod embedded;
pub mod expire;
pub mod findings;
pub mod folders;
pub mod keys;
pub mod limits;
pub mod memory;
pub mod stats;
mod ticket;

#[cfg(test)]
mod tests;

pub use body::Extent;
pub use collect::{CollectError, Goal, SealedSegment, Step, Walk};
pub use contract::{
    Batch, CommitNo, Engine, Expect, Order, ReadError, ShardId, SharedEngine, Snapshot,
    SubmitError, Ticket, Versioned, Visitor, Winner,
};
pub use embedded::{EmbeddedEngine, OpenError, Options};
pub use findings::Finding;
pub use memory::MemoryEngine;
pub use stats::Stats;
