//! DNS: MX, addresses, reverse names.
//!
//! * [`Resolver`] – asks the configured servers, or the system's; keeps answers
//!   as long as they say
//! * [`MxAnswer`], [`AddressAnswer`] – what is known for certain
//! * [`TemporaryError`] – that nothing is known now: time-outs, SERVFAIL, REFUSED
//!
//! Not here: which answer leads where (`deliver`), recursion from the root and
//! DNSSEC validation (to come: until then the forwarder is trusted).
//!
//! Invariants: a name is never completed with a search list; "it does not exist"
//! is said only when a server said so; no answer is longer than [`limits`] allow;
//! chains of CNAMEs end after eight.

#![forbid(unsafe_code)]

mod answer;
pub mod limits;
mod resolver;
#[cfg(test)]
mod tests;

pub use answer::{AddressAnswer, Mx, MxAnswer, TemporaryError};
pub use resolver::{Resolver, SetupError};
