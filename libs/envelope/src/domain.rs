//! Mail domains: RFC 5321 §4.1.2 `Domain`, RFC 5890 U-labels, address literals.
//!
//! A domain is kept as lower-case U-labels in NFC, so that `XN--BCHER-KVA.example`
//! and `Bücher.example` are one value. Refused: a letter outside ASCII that folds
//! into ASCII (`K` the Kelvin sign, `ſ`, full-width letters, `İ`): two spellings
//! that look different must not become one domain behind a person's back.
//! Not here: whether a domain exists, or is ours.

use core::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use thiserror::Error;

use crate::limits::DOMAIN_BYTES_MAX;

/// Why a text is not a domain.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum DomainError {
    /// Nothing, or an empty label.
    #[error("the domain has an empty label")]
    EmptyLabel,
    /// Longer than DNS or SMTP allow.
    #[error("the domain is too long")]
    TooLong,
    /// A character that cannot be in a domain.
    #[error("the domain has a character that is not allowed")]
    Character,
    /// An internationalised label that IDNA refuses.
    #[error("the domain has an internationalised label that is not valid")]
    Idna,
    /// `[…]` without a valid address in it.
    #[error("the address literal is not valid")]
    Literal,
}

/// A domain name, or (only as part of an address) an address literal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(Box<str>);

impl Domain {
    /// Parses a name; ASCII, A-labels or U-labels in any case. No trailing dot.
    ///
    /// # Errors
    /// Not a domain name; address literals are refused here.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        if text.len() > DOMAIN_BYTES_MAX {
            return Err(DomainError::TooLong);
        }
        check_labels(text)?;
        let lower = text.to_ascii_lowercase();
        if lower.is_ascii() && !lower.split('.').any(|label| label.starts_with("xn--")) {
            check_name_length(&lower)?;
            return Ok(Self(lower.into()));
        }
        Self::parse_international(text)
    }

    /// Parses a name or an address literal (`[192.0.2.1]`, `[IPv6:2001:db8::1]`).
    ///
    /// # Errors
    /// Neither of them.
    pub fn parse_or_literal(text: &str) -> Result<Self, DomainError> {
        match text.strip_prefix('[') {
            Some(rest) => {
                let inner = rest.strip_suffix(']').ok_or(DomainError::Literal)?;
                parse_literal(inner)
                    .map(Self::from_ip)
                    .ok_or(DomainError::Literal)
            }
            None => Self::parse(text),
        }
    }

    /// The address literal of an IP address.
    #[must_use]
    pub fn from_ip(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Self(format!("[{v4}]").into()),
            IpAddr::V6(v6) => Self(format!("[IPv6:{v6}]").into()),
        }
    }

    /// The normalised form: lower case, U-labels in NFC.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True when every character is ASCII.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.0.is_ascii()
    }

    /// The address, when this is an address literal.
    #[must_use]
    pub fn literal_ip(&self) -> Option<IpAddr> {
        parse_literal(self.0.strip_prefix('[')?.strip_suffix(']')?)
    }

    /// The form for DNS and for hops without SMTPUTF8: A-labels.
    #[must_use]
    pub fn to_ascii(&self) -> String {
        if self.is_ascii() {
            return self.0.to_string();
        }
        Uts46::new()
            .to_ascii(
                self.0.as_bytes(),
                AsciiDenyList::EMPTY,
                Hyphens::Allow,
                DnsLength::Verify,
            )
            .map(std::borrow::Cow::into_owned)
            .expect("parse() made sure that every label has an A-label form")
    }

    fn parse_international(text: &str) -> Result<Self, DomainError> {
        let ascii = Uts46::new()
            .to_ascii(
                text.as_bytes(),
                AsciiDenyList::EMPTY,
                Hyphens::Allow,
                DnsLength::Verify,
            )
            .map_err(|_| DomainError::Idna)?;
        let (unicode, valid) =
            Uts46::new().to_unicode(ascii.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow);
        valid.map_err(|_| DomainError::Idna)?;
        if unicode.len() > DOMAIN_BYTES_MAX {
            return Err(DomainError::TooLong);
        }
        // What mapping alone turned into something else was not a U-label.
        for (given, made) in text.split('.').zip(unicode.split('.')) {
            // IDNA maps Cherokee to capitals, our folding to small letters: what is
            // IDNA's own form already is good, or a stored domain could not be read.
            let same = given == made || crate::local_part::fold(given) == made;
            if !given.is_ascii() && (made.is_ascii() || !same) {
                return Err(DomainError::Idna);
            }
        }
        if text.split('.').count() != unicode.split('.').count() {
            return Err(DomainError::Idna);
        }
        // What is kept must be read again: an A-label may hold what looks like one.
        let again = Uts46::new().to_ascii(
            unicode.as_bytes(),
            AsciiDenyList::EMPTY,
            Hyphens::Allow,
            DnsLength::Verify,
        );
        if !again.is_ok_and(|again| again == ascii) {
            return Err(DomainError::Idna);
        }
        check_labels(&unicode)?;
        check_name_length(&ascii)?;
        Ok(Self(unicode.into()))
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::str::FromStr for Domain {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, DomainError> {
        Self::parse(text)
    }
}

/// RFC 5321 §4.1.2 `sub-domain`, with `_` accepted anyway because hosts with
/// underscores send mail. A last label of digits would be an address (RFC 3696 §2).
fn check_labels(text: &str) -> Result<(), DomainError> {
    let mut last = "";
    for label in text.split('.') {
        if label.is_empty() {
            return Err(DomainError::EmptyLabel);
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(DomainError::Character);
        }
        for c in label.chars() {
            let allowed = if c.is_ascii() {
                c.is_ascii_alphanumeric() || c == '-' || c == '_'
            } else {
                !crate::local_part::folds_into_ascii(c)
            };
            if !allowed {
                return Err(DomainError::Character);
            }
        }
        last = label;
    }
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return Err(DomainError::Character);
    }
    Ok(())
}

/// DNS: 63 octets a label, 253 a name.
fn check_name_length(ascii: &str) -> Result<(), DomainError> {
    if ascii.len() > 253 || ascii.split('.').any(|label| label.len() > 63) {
        return Err(DomainError::TooLong);
    }
    Ok(())
}

/// RFC 5321 §4.1.3, without General-address-literal (none was ever registered).
fn parse_literal(inner: &str) -> Option<IpAddr> {
    match inner.split_at_checked(5) {
        Some((tag, rest)) if tag.eq_ignore_ascii_case("IPv6:") => {
            rest.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
        }
        _ => inner.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}
