//! Ground for everything that reads or writes bytes.
//!
//! Here: the codec of stored records ([`codec`]), base64 ([`base64`]), the header in
//! front of a proxied connection ([`proxy`]).
//! Not here: anything that knows a mail protocol or a record's meaning.
//!
//! Invariants: no I/O, no clock, no allocation larger than its input asks for.

#![forbid(unsafe_code)]

pub mod base64;
pub mod codec;
pub mod proxy;
