//! What a domain demands of the TLS of mail to it, as it says so in public.
//!
//! * [`Tlsa`] – DANE: which certificates are a host's (RFC 6698, RFC 7671, RFC 7672)
//! * [`Policy`], [`record_id`] – MTA-STS: which hosts are a domain's, and that they
//!   show good certificates (RFC 8461)
//!
//! * [`reporting`] – who wants reports, what is counted for them, the report (RFC 8460)
//!
//! Not here: reports of others, and how reports are packed (`report-format`); asking for any of it (`resolver`, `sts`), and what is done about it (`deliver`).
//!
//! Invariants: a policy that is not understood whole is none; no input makes a parser
//! take more than one walk over it, or more memory than [`limits`] say.

#![forbid(unsafe_code)]

pub mod limits;
pub mod reporting;
mod sts;
mod tlsa;

pub use sts::{Mode, Policy, PolicyError, record_id};
pub use tlsa::{Tlsa, Usage};
