//! DNS: MX, addresses, reverse names, TXT, TLSA; DNSSEC.
//!
//! * [`Resolver`] – asks the configured servers, or the system's; keeps answers
//!   as long as they say
//! * [`MxAnswer`], [`AddressAnswer`] – what is known for certain
//! * [`Proved`] – an answer that DNSSEC proves, or does not
//! * [`Dnssec`] – whether signatures are looked at
//! * [`TemporaryError`] – that nothing is known now: time-outs, SERVFAIL, REFUSED
//!
//! Not here: which answer leads where (`deliver`), recursion from the root (to come:
//! until then the forwarder is trusted with what is not signed).
//!
//! Invariants: a name is never completed with a search list; "it does not exist"
//! is said only when a server said so; no answer is longer than [`limits`] allow;
//! chains of CNAMEs end after eight.

#![forbid(unsafe_code)]

mod answer;
pub mod limits;
mod proving;
mod resolver;
#[cfg(test)]
mod tests;

pub use answer::{AddressAnswer, Mx, MxAnswer, Proved, TemporaryError};
pub use proving::Dnssec;
pub use resolver::{Resolver, SetupError};
