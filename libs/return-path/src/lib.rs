//! Envelope senders that prove themselves when a notification comes back to them.
//!
//! * [`srs`] – what a forward has in place of its sender: `SRS0=…`, `SRS1=…`
//! * [`batv`] – a sender of ours with a tag: `prvs=…`
//! * [`verp`] – a list's address that says whom the message was for
//! * [`Key`] – the secret; [`Day`] – when an address was made
//!
//! Not here: where keys are kept and when addresses are rewritten (`bounces`).
//!
//! Invariants: nobody without a key makes an address that is taken; codes are compared
//! in constant time and without case, because servers on the way change it; an address
//! that does not fit into 64 octets is not made.

#![forbid(unsafe_code)]

pub mod batv;
mod code;
pub mod limits;
pub mod srs;
pub mod verp;

pub use code::Key;

use thiserror::Error;

/// Days since 1970, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub u64);

impl Day {
    /// The day of a moment.
    #[must_use]
    pub fn of_unix_ms(unix_ms: u64) -> Self {
        Self(unix_ms / 86_400_000)
    }
}

/// The address would be longer than an address may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the address would be longer than 64 octets before the @")]
pub struct TooLong;

/// Why an address of such a form is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unproven {
    /// No key of ours made it, or it was changed.
    #[error("it was not made by this server")]
    Forged,
    /// It was made by us, too long ago.
    #[error("its time is over")]
    Expired,
}

/// Splits off a prefix whatever its case.
fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}
