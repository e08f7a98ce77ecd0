//! Bearer tokens of one issuer: JWT access tokens, checked with its published keys.
//!
//! A tour:
//! - [`Issuer`]: what the operator says about who issues tokens and which are good here.
//! - [`Verifier`]: the port [`directory::Tokens`] over it. It reads a token (`jwt`),
//!   finds the key (`keeper`, `jwks`), checks signature and claims (`claims`), and
//!   gives the name that the issuer vouches for.
//! - `https`: the one request that it makes, bounded in time and size.
//!
//! Not here: whose account a name is (`directory`), what clients hear (`sasl`),
//! tokens that only the issuer understands (introspection, RFC 7662).
//!
//! Invariants:
//! - Nothing of a token counts before its signature is right; what its header says
//!   chooses among the keys of the issuer and leads nowhere else.
//! - An algorithm is one of four, all with public keys; a key serves its own kind
//!   alone. `none` and HMAC do not exist here.
//! - The issuer is asked at most once a minute, by one at a time, whatever tokens say.
//! - An issuer that is down is "not now", never "no". Keys that are known go on for
//!   a day.

#![forbid(unsafe_code)]

mod claims;
mod discovery;
mod jwks;
mod jwt;
mod keeper;
pub mod limits;
mod verifier;

pub use verifier::{Issuer, Keys, SetupError, Verifier};

#[cfg(test)]
mod tests;
