//! SASL mechanisms as sans-IO machines, and the verifiers that a password becomes.
//!
//! A tour:
//! - [`Exchange`]: the server's side of one AUTH command. It is fed the base64
//!   lines that SMTP (RFC 4954), POP3 (RFC 5034) and IMAP (RFC 9051 §6.2.2)
//!   carry and answers with a [`Step`]; mechanisms PLAIN (RFC 4616) and LOGIN.
//! - [`Secret`], [`Credentials`]: what the client claims; wiped when dropped and
//!   never shown by `Debug`.
//! - [`prepare`]: the form of a password that is hashed and compared.
//! - [`scram`]: StoredKey and ServerKey (RFC 5802 §3) for SHA-1, -256 and -512.
//!
//! Not here: who may log in, hashing for storage beyond SCRAM, the SCRAM
//! exchange, and whether the connection is private enough to ask at all.
//!
//! Invariants: input is bounded by [`limits`]; nothing here knows a clock, a
//! random number or a database; garbage from a peer is a [`Failure`], no panic.

#![forbid(unsafe_code)]

mod exchange;
pub mod limits;
pub mod login;
pub mod plain;
pub mod prepare;
pub mod scram;
mod secret;

pub use exchange::{Exchange, Failure, Mechanism, Step};
pub use secret::{Credentials, Secret};
