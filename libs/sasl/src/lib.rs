//! SASL mechanisms as sans-IO machines, and the verifiers that a password becomes.
//!
//! A tour:
//! - [`Offer`]: the mechanisms that a connection offers now.
//! - [`Exchange`]: the server's side of one AUTH command. It is fed the base64
//!   lines that SMTP (RFC 4954), POP3 (RFC 5034) and IMAP (RFC 9051 §6.2.2)
//!   carry and answers with a [`Step`]. What it does not know it asks: a
//!   [`Question`] goes to the directory, its [`Answer`] comes back.
//! - [`Secret`], [`Credentials`]: what the client claims; wiped when dropped and
//!   never shown by `Debug`.
//! - [`prepare`]: the form of a password that is hashed and compared.
//! - [`scram`]: StoredKey and ServerKey (RFC 5802 §3) for SHA-1, -256 and -512,
//!   and the check of a client's proof.
//! - [`imported`]: password hashes of other systems, checked until the next login.
//! - [`Binding`]: what ties a SCRAM proof to one TLS session.
//! - [`bearer`]: tokens of OAUTHBEARER and XOAUTH2, and what a refused one hears.
//! - [`Digest`]: CRAM-MD5 and APOP, for devices that know nothing better.
//!
//! Not here: who may log in, hashing for storage beyond SCRAM, and whether the
//! connection is private enough to ask at all.
//!
//! Not offered, and why: DIGEST-MD5 is historic (RFC 6331); what it and CRAM-MD5
//! ask of a server is in docs/decisions/0012-sasl-mechanisms.md and 0019-bearer-tokens.md.
//!
//! Invariants: input is bounded by [`limits`]; nothing here knows a clock, a
//! random number or a database; garbage from a peer is a [`Failure`], no panic.

#![forbid(unsafe_code)]

pub mod bearer;
mod binding;
mod digest;
mod exchange;
pub mod imported;
pub mod limits;
pub mod login;
mod mechanism;
pub mod plain;
pub mod prepare;
pub mod scram;
mod secret;

pub use binding::{Binding, BindingKind};
pub use digest::{Digest, DigestKind};
pub use exchange::{Answer, Certificate, Exchange, Failure, Question, Step};
pub use mechanism::{Bound, Mechanism, Offer};
pub use secret::{Credentials, Secret};
