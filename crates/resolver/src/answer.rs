//! What is known for certain, and that nothing is.

use std::net::IpAddr;

use thiserror::Error;

/// One MX record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mx {
    /// Lower is better.
    pub preference: u16,
    /// The host: ASCII, lower case, without a dot at its end.
    pub host: String,
}

/// An answer, and whether its signatures lead to a trust anchor (RFC 4035 §4.3: *secure*).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proved<T> {
    /// What was answered.
    pub answer: T,
    /// True when DNSSEC proves it.
    pub secure: bool,
}

/// What MX a domain has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MxAnswer {
    /// At least one, best first.
    Records(Vec<Mx>),
    /// `MX 0 .`: it takes no mail (RFC 7505).
    NullMx,
    /// The name exists and has no MX.
    NoMx,
    /// The name does not exist.
    NxDomain,
}

/// What addresses a host has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressAnswer {
    /// At least one: IPv6 first, in the order of the answers.
    Addresses(Vec<IpAddr>),
    /// The name exists and has none.
    None,
    /// The name does not exist.
    NxDomain,
}

/// Nothing is known now: ask again later.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no answer for {name}: {reason}")]
pub struct TemporaryError {
    /// The name that was asked for.
    pub name: String,
    /// Why, for the operator.
    pub reason: String,
}
