//! Paths: what stands between `<` and `>` in MAIL and RCPT (RFC 5321 §4.1.2).
//!
//! A source route (`<@a,@b:user@c>`) is accepted, ignored and reported
//! (RFC 5321 §3.3, appendix C): the address behind it decides everything.

use core::fmt;

use thiserror::Error;

use crate::limits::{PATH_BYTES_MAX, ROUTE_BYTES_MAX};
use crate::{Address, AddressError, Domain};

/// Why a text is not a path.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum PathError {
    /// No `<` at the start or no `>` at the end.
    #[error("a path stands in angle brackets")]
    Brackets,
    /// A source route that is not well formed.
    #[error("the source route is not well formed")]
    Route,
    /// Over 256 octets.
    #[error("the path is longer than 256 octets")]
    TooLong,
    /// `<>` where a recipient must be.
    #[error("the null path is not a recipient")]
    Null,
    /// What is not an address.
    #[error(transparent)]
    Address(#[from] AddressError),
}

/// Where failures go: an address, or nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`: reports; never answered by a report.
    Null,
    /// A sender.
    Address(Address),
}

impl ReversePath {
    /// The address, unless null.
    #[must_use]
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::Null => None,
            Self::Address(address) => Some(address),
        }
    }

    /// Parses what an empty text (null) or a bare address means; no brackets.
    ///
    /// # Errors
    /// Not an address.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Ok(Self::Null);
        }
        Address::parse(text).map(Self::Address)
    }
}

/// The address without brackets; nothing for the null path.
impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// Where a message is to go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ForwardPath {
    /// `<Postmaster>` without a domain, in any case (RFC 5321 §4.1.1.3).
    Postmaster,
    /// A recipient.
    Address(Address),
}

/// The address without brackets, or `postmaster`.
impl fmt::Display for ForwardPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postmaster => f.write_str("postmaster"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// A path off the front of a command's argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed<'a, P> {
    /// The path.
    pub path: P,
    /// A source route stood before it and was ignored.
    pub had_route: bool,
    /// What follows the `>`.
    pub rest: &'a str,
}

/// Takes `<…>` off the front of MAIL FROM's argument.
///
/// # Errors
/// Not a path.
pub fn parse_reverse(text: &str) -> Result<Parsed<'_, ReversePath>, PathError> {
    let (inner, had_route, rest) = split(text)?;
    let path = if inner.is_empty() && !had_route {
        ReversePath::Null
    } else {
        ReversePath::Address(Address::parse(inner)?)
    };
    Ok(Parsed {
        path,
        had_route,
        rest,
    })
}

/// Takes `<…>` off the front of RCPT TO's argument.
///
/// # Errors
/// Not a path, or the null path.
pub fn parse_forward(text: &str) -> Result<Parsed<'_, ForwardPath>, PathError> {
    let (inner, had_route, rest) = split(text)?;
    let path = if inner.is_empty() && !had_route {
        return Err(PathError::Null);
    } else if inner.eq_ignore_ascii_case("postmaster") && !had_route {
        ForwardPath::Postmaster
    } else {
        ForwardPath::Address(Address::parse(inner)?)
    };
    Ok(Parsed {
        path,
        had_route,
        rest,
    })
}

/// Finds the `>` that ends the path (not one inside quotes), drops a route.
fn split(text: &str) -> Result<(&str, bool, &str), PathError> {
    let body = text.strip_prefix('<').ok_or(PathError::Brackets)?;
    let end = closing_bracket(body).ok_or(PathError::Brackets)?;
    let (inner, rest) = (&body[..end], &body[end + 1..]);
    if !inner.starts_with('@') {
        if inner.len() + 2 > PATH_BYTES_MAX {
            return Err(PathError::TooLong);
        }
        return Ok((inner, false, rest));
    }
    let (route, mailbox) = split_route(inner)?;
    if route.len() > ROUTE_BYTES_MAX {
        return Err(PathError::TooLong);
    }
    // RFC 5321 §4.1.2: A-d-l = At-domain *( "," At-domain )
    for hop in route.split(',') {
        let domain = hop.strip_prefix('@').ok_or(PathError::Route)?;
        Domain::parse_or_literal(domain).map_err(|_| PathError::Route)?;
    }
    Ok((mailbox, true, rest))
}

/// The colon that ends a route is the first one outside an address literal.
fn split_route(inner: &str) -> Result<(&str, &str), PathError> {
    let mut in_literal = false;
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            b'[' => in_literal = true,
            b']' => in_literal = false,
            b':' if !in_literal => return Ok((&inner[..at], &inner[at + 1..])),
            _ => {}
        }
    }
    Err(PathError::Route)
}

fn closing_bracket(body: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in body.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}
