//! Delivery status parameters: RFC 3461 RET, ENVID, NOTIFY, ORCPT.
//!
//! Values are kept decoded; [`xtext_encode`] and [`xtext_decode`] are RFC 3461 §4.
//! Not here: writing reports (`report-format`).

use core::fmt;

use crate::limits::{ENVID_BYTES_MAX, ORCPT_BYTES_MAX};

/// RET=: what a report returns of the message (§4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ret {
    /// All of it.
    Full,
    /// Only its header.
    Hdrs,
}

/// NOTIFY=: when the sender wants a report (§4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notify {
    /// Not given: failure, perhaps delay.
    Default,
    /// `NEVER`.
    Never,
    /// Any of the three.
    On {
        /// `SUCCESS`.
        success: bool,
        /// `FAILURE`.
        failure: bool,
        /// `DELAY`.
        delay: bool,
    },
}

impl Notify {
    /// Parses the parameter's value; any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("NEVER") {
            return Some(Self::Never);
        }
        let (mut success, mut failure, mut delay) = (false, false, false);
        for word in text.split(',') {
            let seen = match word.to_ascii_uppercase().as_str() {
                "SUCCESS" => &mut success,
                "FAILURE" => &mut failure,
                "DELAY" => &mut delay,
                _ => return None,
            };
            *seen = true;
        }
        Some(Self::On {
            success,
            failure,
            delay,
        })
    }

    /// Whether a failure is to be reported.
    #[must_use]
    pub fn on_failure(self) -> bool {
        matches!(self, Self::Default | Self::On { failure: true, .. })
    }

    /// Whether a success is to be reported.
    #[must_use]
    pub fn on_success(self) -> bool {
        matches!(self, Self::On { success: true, .. })
    }

    /// The same wish, but of a success somebody else has told already.
    #[must_use]
    pub fn without_success(self) -> Self {
        match self {
            Self::On {
                failure: false,
                delay: false,
                ..
            } => Self::Never,
            Self::On { failure, delay, .. } => Self::On {
                success: false,
                failure,
                delay,
            },
            other => other,
        }
    }

    /// What is kept of it where DSN is not offered: whether failures are told.
    #[must_use]
    pub fn failures_only(self) -> Self {
        if self.on_failure() {
            Self::Default
        } else {
            Self::Never
        }
    }

    /// Whether a delay was asked to be reported.
    #[must_use]
    pub fn on_delay(self) -> bool {
        matches!(self, Self::On { delay: true, .. })
    }
}

/// The parameter's value; empty for [`Notify::Default`], which is not sent.
impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (success, failure, delay) = match *self {
            Self::Default => return Ok(()),
            Self::Never => return f.write_str("NEVER"),
            Self::On {
                success,
                failure,
                delay,
            } => (success, failure, delay),
        };
        let mut divider = "";
        for (set, word) in [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")] {
            if set {
                write!(f, "{divider}{word}")?;
                divider = ",";
            }
        }
        Ok(())
    }
}

/// ORCPT=: the recipient as the sender named it (§4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalRecipient {
    /// `rfc822`, `utf-8`, …; lower case.
    pub address_type: String,
    /// The address, decoded.
    pub address: String,
}

impl OriginalRecipient {
    /// Parses `type;xtext`. For the type utf-8 RFC 6533's `\x{…}` and plain
    /// UTF-8 are kept as they are.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, address) = text.split_once(';')?;
        let valid_kind = !kind.is_empty()
            && kind
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
        if !valid_kind {
            return None;
        }
        let address = xtext_decode(address)?;
        (!address.is_empty() && address.len() <= ORCPT_BYTES_MAX).then(|| Self {
            address_type: kind.to_ascii_lowercase(),
            address,
        })
    }
}

/// The parameter's value.
impl fmt::Display for OriginalRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};{}", self.address_type, xtext_encode(&self.address))
    }
}

/// Parses ENVID's value.
#[must_use]
pub fn parse_envid(text: &str) -> Option<String> {
    xtext_decode(text).filter(|id| !id.is_empty() && id.len() <= ENVID_BYTES_MAX)
}

/// RFC 3461 §4 `xtext`.
#[must_use]
pub fn xtext_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '!'..='~' if c != '+' && c != '=' => out.push(c),
            _ if c.is_ascii() => {
                out.push('+');
                out.push_str(&format!("{:02X}", c as u32));
            }
            _ => out.push(c),
        }
    }
    out
}

/// The way back. Refuses what decodes to a control character or not to UTF-8.
#[must_use]
pub fn xtext_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => {
                let (high, low) = (upper_hex(bytes.next()?)?, upper_hex(bytes.next()?)?);
                out.push(high << 4 | low);
            }
            b'=' => return None,
            _ => out.push(byte),
        }
    }
    String::from_utf8(out)
        .ok()
        .filter(|decoded| !decoded.chars().any(char::is_control))
}

fn upper_hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
