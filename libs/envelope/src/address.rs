//! Addresses: RFC 5321 §4.1.2 `Mailbox`.
//!
//! Not here: source routes and angle brackets (see [`crate::path`]), display
//! names and comments of header fields (`mime`).

use core::fmt;

use thiserror::Error;

use crate::limits::PATH_BYTES_MAX;
use crate::{Domain, DomainError, LocalPart, LocalPartError};

/// Why a text is not an address.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum AddressError {
    /// No `@` outside quotes.
    #[error("the address has no @")]
    NoAt,
    /// Over 254 octets (a path of 256 with its brackets).
    #[error("the address is too long")]
    TooLong,
    /// The part before the `@`.
    #[error(transparent)]
    LocalPart(#[from] LocalPartError),
    /// The part behind the `@`.
    #[error(transparent)]
    Domain(#[from] DomainError),
}

/// `local@domain`. Equal when the local parts are the same to the byte and the
/// domains are the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    local: LocalPart,
    domain: Domain,
}

impl Address {
    /// Parses `local@domain`, with a quoted local part or an address literal
    /// where need be. Source routes, brackets, blanks are refused.
    ///
    /// # Errors
    /// Which part is wrong and why.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() + 2 > PATH_BYTES_MAX {
            return Err(AddressError::TooLong);
        }
        // A domain never holds `@`, so the last one is the divider.
        let (local, domain) = text.rsplit_once('@').ok_or(AddressError::NoAt)?;
        Self::new(LocalPart::parse(local)?, Domain::parse_or_literal(domain)?)
    }

    /// Puts two valid parts together.
    ///
    /// # Errors
    /// Both together are longer than a path may be.
    pub fn new(local: LocalPart, domain: Domain) -> Result<Self, AddressError> {
        let address = Self { local, domain };
        if address.to_string().len() + 2 > PATH_BYTES_MAX {
            return Err(AddressError::TooLong);
        }
        Ok(address)
    }

    /// The part before the `@`.
    #[must_use]
    pub fn local(&self) -> &LocalPart {
        &self.local
    }

    /// The part behind the `@`.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The form for look-ups: lower case, NFC, without quoting.
    #[must_use]
    pub fn to_key(&self) -> String {
        format!("{}@{}", self.local.to_key(), self.domain)
    }

    /// True when it needs SMTPUTF8 on the way: its local part is not ASCII.
    /// A domain alone does not, it travels as A-labels.
    #[must_use]
    pub fn needs_smtputf8(&self) -> bool {
        !self.local.is_ascii()
    }

    /// The form with A-labels for a hop without SMTPUTF8; none if the local
    /// part needs it.
    #[must_use]
    pub fn to_ascii(&self) -> Option<String> {
        (!self.needs_smtputf8()).then(|| format!("{}@{}", self.local, self.domain.to_ascii()))
    }

    /// The form for header fields and replies: A-labels where the local part is
    /// ASCII, so that what names the address needs SMTPUTF8 only where the
    /// address does.
    #[must_use]
    pub fn to_wire(&self) -> String {
        self.to_ascii().unwrap_or_else(|| self.to_string())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

impl core::str::FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}
