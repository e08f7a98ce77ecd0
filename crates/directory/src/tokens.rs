//! The port through which bearer tokens are checked: [`Tokens`].
//!
//! Who issued a token vouches for a name; whose that is says the directory. What
//! a token looks like, and how it is found good, is the other side's (`oauth`).

use crate::port::BoxFuture;
use sasl::Secret;
use std::fmt;
use thiserror::Error;

/// Who knows whether a token is good.
///
/// # What it does that cannot say
/// It answers [`TokenRefusal::Unavailable`], within half a minute. A token that
/// cannot be checked is not a bad one: the client hears "not now", keeps it, and
/// nothing is counted against anybody.
pub trait Tokens: fmt::Debug + Send + Sync {
    /// The scopes that a token must have, with blanks between; empty for none.
    fn scope(&self) -> &str;

    /// Where the issuer describes itself, for clients that look for a token.
    fn configuration(&self) -> &str;

    /// The login name that a good token is for, as the issuer wrote it.
    ///
    /// # Errors
    /// See [`TokenRefusal`].
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    fn check<'a>(&'a self, token: &'a Secret) -> BoxFuture<'a, Result<String, TokenRefusal>>;
}

/// Why a token lets nobody in. The texts are for the log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenRefusal {
    /// It is not good: malformed, expired, for others, not signed by the issuer.
    #[error("{0}")]
    Invalid(String),
    /// It is good, but not for mail.
    #[error("{0}")]
    Scope(String),
    /// It could not be checked.
    #[error("{0}")]
    Unavailable(String),
}
