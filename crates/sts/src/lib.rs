//! MTA-STS policies of other domains: RFC 8461.
//!
//! * [`Sts::policy`] – what a domain demands now
//! * [`Known`], [`Trouble`] – the answer, and why a policy that is announced is not there
//! * [`Source`] – the port: TXT records and the policy's document
//!
//! Not here: what a policy says (`tls-policy`), and what is done about it (`deliver`).
//!
//! Invariants: a policy that was had holds until its time is over, whatever its domain's
//! names and servers answer meanwhile (§5.1), and across restarts; a domain is asked by
//! one at a time, and after a failure left alone for five minutes.

#![forbid(unsafe_code)]

pub mod limits;
mod record;
mod source;
mod sts;

#[cfg(test)]
mod tests;

pub use record::{STS_PREFIX, check};
pub use source::{BoxFuture, Internet, Source, Trouble};
pub use sts::{Known, Sts};
