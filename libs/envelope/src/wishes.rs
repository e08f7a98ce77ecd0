//! What a sender wishes for the way of its message, beside what it wants to hear.
//!
//! RFC 8689 (REQUIRETLS), RFC 4865 (FUTURERELEASE), RFC 2852 (DELIVERBY), RFC
//! 6710 (MT-PRIORITY), RFC 7293 (RRVS). Times are absolute: what a command says
//! in seconds counts from when it was said. Not here: who may wish what.

use core::fmt;

use crate::timestamp::{format_rfc3339, parse_rfc3339};

/// How a message's way has to be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TlsWish {
    /// As sites and operators have it.
    #[default]
    Usual,
    /// REQUIRETLS: every hop over verified TLS, to servers that keep it so.
    Required,
    /// `TLS-Required: No`: better in the clear than not at all (RFC 8689 §5).
    NotNeeded,
}

/// What is to happen when a deadline passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ByMode {
    /// `R`: it goes back.
    Return,
    /// `N`: the sender is told, and it is tried on.
    Notify,
}

/// BY=, with the time made absolute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeliverBy {
    /// In milliseconds since 1970.
    pub by_ms: u64,
    /// What then.
    pub mode: ByMode,
    /// `T`: reports of what happened on the way were asked for.
    pub trace: bool,
}

/// MT-PRIORITY=: −9 to 9, usual is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Priority(i8);

impl Priority {
    /// The highest.
    pub const MAX: i8 = 9;

    /// None outside −9 to 9.
    #[must_use]
    pub fn new(value: i8) -> Option<Self> {
        (-Self::MAX..=Self::MAX)
            .contains(&value)
            .then_some(Self(value))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> i8 {
        self.0
    }

    /// RFC 6710 §4: an optional minus, one digit.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digit = text.strip_prefix('-').unwrap_or(text);
        let one = digit.len() == 1 && digit.bytes().all(|b| b.is_ascii_digit());
        one.then(|| text.parse().ok().and_then(Self::new))?
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// RRVS=: since when the recipient has been known as its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ValidSince {
    /// In seconds since 1970.
    pub unix_seconds: i64,
    /// `R`: not to be relayed to where it cannot be tested. Else (`C`) it goes on.
    pub reject: bool,
}

impl ValidSince {
    /// RFC 7293 §3.1: `date-time [";" ("C" / "R")]`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (date, action) = text.split_once(';').unwrap_or((text, "C"));
        let reject = match action {
            "C" | "c" => false,
            "R" | "r" => true,
            _ => return None,
        };
        Some(Self {
            unix_seconds: parse_rfc3339(date)?,
            reject,
        })
    }
}

/// The parameter's value.
impl fmt::Display for ValidSince {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = if self.reject { ";R" } else { "" };
        write!(f, "{}{action}", format_rfc3339(self.unix_seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_and_dates_as_their_rfcs_write_them() {
        for (text, value) in [("9", 9), ("-9", -9), ("0", 0), ("-0", 0)] {
            assert_eq!(Priority::parse(text).map(Priority::get), Some(value));
        }
        for bad in ["", "-", "10", "+1", "--1", "1 ", "١"] {
            assert_eq!(Priority::parse(bad), None, "{bad}");
        }
        let since = ValidSince::parse("2014-04-03T23:01:00Z").expect("valid");
        assert_eq!((since.unix_seconds, since.reject), (1_396_566_060, false));
        assert_eq!(since.to_string(), "2014-04-03T23:01:00Z");
        let strict = ValidSince::parse("2014-04-03T23:01:00Z;R").expect("valid");
        assert_eq!(strict.to_string(), "2014-04-03T23:01:00Z;R");
        for bad in [
            "",
            "2014-04-03",
            "2014-04-03T23:01:00Z;",
            "2014-04-03T23:01:00Z;X",
        ] {
            assert_eq!(ValidSince::parse(bad), None, "{bad}");
        }
    }
}
