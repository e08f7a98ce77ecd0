//! Every limit of this crate.

/// Octets of an MTA-STS policy.
pub const POLICY_BYTES_MAX: usize = 64 << 10;
/// Patterns of a policy.
pub const PATTERNS_MAX: usize = 256;
/// Seconds that a policy may ask to be kept: a year (RFC 8461 §3.2).
pub const MAX_AGE_SECONDS_MAX: u64 = 31_557_600;
/// TLSA records that are used of a host.
pub const TLSA_MAX: usize = 32;
/// Addresses that reports about a domain go to.
pub const RUA_MAX: usize = 10;
/// Kinds of failures that are told apart under one policy.
pub const FAILURES_MAX: usize = 64;
/// Policies that are told apart on one day of a domain.
pub const POLICIES_MAX: usize = 8;
