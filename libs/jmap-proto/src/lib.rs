//! JMAP without I/O: what a request says, and how answers and errors are written.
//!
//! A tour:
//! - [`Request::parse`]: the octets of a request, strictly (I-JSON), as [`Invocation`]s.
//! - [`resolve`]: the arguments that are results of earlier calls, RFC 8620 §3.7.
//! - [`Arguments`] and [`arguments`]: what each kind of method takes, typed.
//! - [`Filter`], [`Comparator`], [`Patch`]: the parts of `/query` and `/set`.
//! - [`RequestError`], [`MethodError`], [`SetError`]: what is answered instead.
//! - [`Session`]: the object that a client begins with.
//! - [`date`], [`HeaderProperty`]: texts with a form of their own.
//!
//! Not here: sockets, logins, mail, the objects themselves; who may do what.
//!
//! Invariants: garbage never panics; memory is bounded by [`limits`] and the
//! request's size; an argument that nobody reads is an error, never passed over.
//! RFC 8620; of RFC 8621 the names of header properties.

#![forbid(unsafe_code)]

pub mod arguments;
pub mod date;
mod error;
mod filter;
mod header_property;
mod id;
mod json;
pub mod limits;
mod patch;
mod reference;
mod request;
mod session;

pub use arguments::Arguments;
pub use error::{MethodError, RequestError, SetError};
pub use filter::{Comparator, Filter, Operator};
pub use header_property::{HeaderForm, HeaderProperty};
pub use id::is_id;
pub use json::{NotJson, parse as parse_json};
pub use patch::Patch;
pub use reference::resolve;
pub use request::{Invocation, Request};
pub use session::{Session, SessionAccount, Urls};

#[cfg(test)]
mod tests;
