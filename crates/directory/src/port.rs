//! The port through which faces let people in: [`Logins`].
//!
//! The installation's own [`Directory`] is behind it now. Others (LDAP, SQL, an
//! identity provider) come behind the same port, so what it means that a
//! directory is down is a part of its contract, and [`Unreachable`] is one that
//! always is.

use crate::error::DirectoryError;
use crate::login::{AuthFailure, Caller, Owner, Standing, Verdict};
use crate::store::Directory;
use envelope::{AccountId, Address};
use sasl::{Binding, Offer, Question};
use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// A future of a port.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Who may log in.
///
/// # What a directory does that cannot say
/// It answers [`AuthFailure::Temporary`], and in its own good time: it gives up
/// before a client does (half a minute). It never guesses. A login that cannot be
/// checked is not a wrong one: it is not counted against the address, the client
/// hears `454 4.7.0`, `[UNAVAILABLE]` or `[SYS/TEMP]` and tries again, and keeps
/// its password instead of asking a person for another. So it is with addresses:
/// what [`Directory::resolve`] cannot say is `451` at RCPT and an attempt later in
/// the queue, never an unknown user and never a bounce.
///
/// # What it never does
/// Tell a wrong user from a wrong password, by text or by time; keep a password.
pub trait Logins: fmt::Debug + Send + Sync {
    /// What a connection may offer that is private enough for passwords. Only
    /// what can work: a mechanism that this directory has no data for is not in it.
    /// From memory: it is asked for at every greeting.
    /// `bindings` and `certificate` are what the TLS session has: see
    /// [`Offer::with_scram`] and [`Offer::with_certificate`].
    fn offer(&self, bindings: Vec<Binding>, certificate: Vec<String>) -> Offer;

    /// Answers what a SASL exchange asks about a client.
    ///
    /// # Errors
    /// See [`AuthFailure`].
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    fn answer<'a>(
        &'a self,
        question: &'a Question,
        caller: Caller,
    ) -> BoxFuture<'a, Result<Verdict, AuthFailure>>;

    /// The account that a login name means, if it may be used: for those who were
    /// given its name by somebody who logged in, as a URL of a message has it.
    ///
    /// # Errors
    /// The directory cannot say.
    fn account_of<'a>(
        &'a self,
        login: &'a str,
    ) -> BoxFuture<'a, Result<Option<AccountId>, DirectoryError>>;

    /// The primary address of an account that may be used: for those with whom it shares
    /// mailboxes, and to name those with whom one shares.
    ///
    /// # Errors
    /// The directory cannot say.
    fn address_of(
        &self,
        account: AccountId,
    ) -> BoxFuture<'_, Result<Option<Address>, DirectoryError>>;

    /// Whose mailboxes those of an account are that may be used: for those with whom it
    /// shares them.
    ///
    /// # Errors
    /// The directory cannot say.
    fn owner_of(&self, account: AccountId) -> BoxFuture<'_, Result<Option<Owner>, DirectoryError>>;

    /// The group that an address names, as it is kept: see [`Directory::group_of`].
    ///
    /// # Errors
    /// The directory cannot say.
    fn group_of<'a>(
        &'a self,
        address: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, DirectoryError>>;

    /// Whether an account belongs to a group, now.
    ///
    /// # Errors
    /// The directory cannot say.
    fn is_member<'a>(
        &'a self,
        account: AccountId,
        group: &'a str,
    ) -> BoxFuture<'a, Result<bool, DirectoryError>>;

    /// What the logins of an account hang on now; none if it may not be used: a session may be older than
    /// a new password.
    ///
    /// # Errors
    /// The directory cannot say.
    fn standing(
        &self,
        account: AccountId,
    ) -> BoxFuture<'_, Result<Option<Standing>, DirectoryError>>;

    /// Whether an account may administer the system, now: a session may be older than
    /// that.
    ///
    /// # Errors
    /// The directory cannot say.
    fn is_admin(&self, account: AccountId) -> BoxFuture<'_, Result<bool, DirectoryError>>;
}

impl Logins for Directory {
    fn offer(&self, bindings: Vec<Binding>, certificate: Vec<String>) -> Offer {
        Self::offer(self, bindings, certificate)
    }

    fn answer<'a>(
        &'a self,
        question: &'a Question,
        caller: Caller,
    ) -> BoxFuture<'a, Result<Verdict, AuthFailure>> {
        Box::pin(Self::answer(self, question, caller))
    }

    fn account_of<'a>(
        &'a self,
        login: &'a str,
    ) -> BoxFuture<'a, Result<Option<AccountId>, DirectoryError>> {
        Box::pin(Self::account_of(self, login))
    }

    fn address_of(
        &self,
        account: AccountId,
    ) -> BoxFuture<'_, Result<Option<Address>, DirectoryError>> {
        Box::pin(Self::address_of(self, account))
    }

    fn owner_of(&self, account: AccountId) -> BoxFuture<'_, Result<Option<Owner>, DirectoryError>> {
        Box::pin(Self::owner_of(self, account))
    }

    fn group_of<'a>(
        &'a self,
        address: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, DirectoryError>> {
        Box::pin(Self::group_of(self, address))
    }

    fn is_member<'a>(
        &'a self,
        account: AccountId,
        group: &'a str,
    ) -> BoxFuture<'a, Result<bool, DirectoryError>> {
        Box::pin(Self::is_member(self, account, group))
    }

    fn standing(
        &self,
        account: AccountId,
    ) -> BoxFuture<'_, Result<Option<Standing>, DirectoryError>> {
        Box::pin(Self::standing(self, account))
    }

    fn is_admin(&self, account: AccountId) -> BoxFuture<'_, Result<bool, DirectoryError>> {
        Box::pin(Self::is_admin(self, account))
    }
}

/// A directory that is always down, for those who want to see what happens then.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unreachable;

impl Logins for Unreachable {
    fn offer(&self, bindings: Vec<Binding>, certificate: Vec<String>) -> Offer {
        Offer::passwords()
            .with_scram(bindings)
            .with_certificate(certificate)
    }

    fn answer<'a>(
        &'a self,
        _: &'a Question,
        _: Caller,
    ) -> BoxFuture<'a, Result<Verdict, AuthFailure>> {
        Box::pin(async { Err(AuthFailure::Temporary(DirectoryError::Unreachable)) })
    }

    fn account_of<'a>(
        &'a self,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Option<AccountId>, DirectoryError>> {
        Box::pin(async { Err(DirectoryError::Unreachable) })
    }

    fn address_of(&self, _: AccountId) -> BoxFuture<'_, Result<Option<Address>, DirectoryError>> {
        Box::pin(async { Err(DirectoryError::Unreachable) })
    }

    fn owner_of(&self, _: AccountId) -> BoxFuture<'_, Result<Option<Owner>, DirectoryError>> {
        Box::pin(async { Err(DirectoryError::Unreachable) })
    }

    fn group_of<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<String>, DirectoryError>> {
        Box::pin(async { Err(DirectoryError::Unreachable) })
    }

    fn is_member<'a>(
        &'a self,
        _: AccountId,
        _: &'a str,
    ) -> BoxFuture<'a, Result<bool, DirectoryError>> {
        Box::pin(async { Err(DirectoryError::Unreachable) })
    }

    fn standing(&self, _: AccountId) -> BoxFuture<'_, Result<Option<Standing>, DirectoryError>> {
        Box::pin(async { Err(DirectoryError::Unreachable) })
    }

    fn is_admin(&self, _: AccountId) -> BoxFuture<'_, Result<bool, DirectoryError>> {
        Box::pin(async { Err(DirectoryError::Unreachable) })
    }
}
