//! What comes back: senders that are rewritten on the way out, so that notifications
//! find their way, what such an address leads to, and whom nothing is sent to any more.
//!
//! * [`Returns`] – the keys, and who asks them
//! * [`Maker`] – makes addresses, for a message at a time
//! * [`Suppressed`] – addresses that nothing is sent to
//!
//! Not here: what an address looks like (`return-path`), whose sender is rewritten
//! (`intake`), who may write to one, and who is told of a suppressed one (`policy`).
//!
//! Invariants: no address is made with a key that is not durable; a key goes on proving
//! what it made for as long as that is good; a store in which nothing was ever forwarded
//! has no keys.

#![forbid(unsafe_code)]

pub mod limits;
mod record;
mod returns;
mod suppressed;

#[cfg(test)]
mod tests;

pub use record::{KEYS_PREFIX, check_keys};
pub use return_path::{TooLong, Unproven};
pub use returns::{Maker, Returns};
pub use suppressed::{
    By, Certainty, Counts, Entry, SUPPRESSED_PREFIX, SuppressError, Suppressed, check_suppressed,
};
