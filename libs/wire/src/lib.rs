//! Ground for everything that reads or writes bytes.
//!
//! Here: the codec of stored records ([`codec`]), base64 ([`base64`]).
//! Not here: anything that knows a protocol or a record's meaning.
//!
//! Invariants: no I/O, no clock, no allocation larger than its input asks for.

#![forbid(unsafe_code)]

pub mod base64;
pub mod codec;
