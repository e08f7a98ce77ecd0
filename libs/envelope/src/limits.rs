//! Every limit of this crate. RFC 5321 §4.5.3.1 counts octets, and so do we.

/// Local part, in bytes, without quotes (RFC 5321 §4.5.3.1.1).
pub const LOCAL_PART_BYTES_MAX: usize = 64;
/// Domain, in bytes, in both of its forms (RFC 5321 §4.5.3.1.2).
pub const DOMAIN_BYTES_MAX: usize = 255;
/// A path with its punctuation (RFC 5321 §4.5.3.1.3).
pub const PATH_BYTES_MAX: usize = 256;
/// An ignored source route; the whole command line is bounded elsewhere too.
pub const ROUTE_BYTES_MAX: usize = 1024;
/// ENVID, decoded (RFC 3461 §4.4).
pub const ENVID_BYTES_MAX: usize = 100;
/// ORCPT, decoded (RFC 3461 §4.2 allows 500 encoded).
pub const ORCPT_BYTES_MAX: usize = 500;
/// Recipients that a stored envelope may hold.
pub const RECIPIENTS_MAX: usize = 100_000;
