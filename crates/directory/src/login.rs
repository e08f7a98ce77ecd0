//! From a login and a proof to an account.
//!
//! The order is part of the defence: limits first (a banned address costs
//! nothing), then the login cache, then one argon2id computation (or one check of
//! a SCRAM proof) whether or not the login exists, then the account's state. What
//! the client is told never says which of login and password was wrong.

pub(crate) mod cache;
pub(crate) mod census;
mod names;
mod scram;
pub(crate) mod throttle;

use crate::error::DirectoryError;
use crate::keys;
use crate::record::credentials::Credentials;
use crate::store::{Directory, Inner, decode};
use engine::CommitNo;
use envelope::{AccountId, Address};
use sasl::{Answer, Binding, Offer, Question, Secret};
use std::net::IpAddr;
use thiserror::Error;

/// Who logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub account: AccountId,
    /// Its primary address.
    pub address: Address,
    /// It may administer the system.
    pub admin: bool,
}

/// Why a login was refused. The text is for the client.
#[derive(Debug, Error)]
pub enum AuthFailure {
    /// Login or password is wrong; the answer was delayed already.
    #[error("login or password is wrong")]
    Invalid,
    /// Right, but the account is disabled.
    #[error("the account is disabled")]
    Disabled,
    /// Too many wrong passwords; nothing was checked.
    #[error("{reason}")]
    Banned {
        /// What happened, how long it lasts, how it is lifted.
        reason: String,
    },
    /// Too many logins at the same time.
    #[error("too many logins at the moment, try again")]
    Busy,
    /// Our own trouble; the text stays with us.
    #[error("login is not possible at the moment, try again")]
    Temporary(#[source] DirectoryError),
}

impl AuthFailure {
    /// True when the same login may succeed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Busy | Self::Temporary(_) | Self::Banned { .. })
    }
}

impl From<DirectoryError> for AuthFailure {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Busy => Self::Busy,
            other => Self::Temporary(other),
        }
    }
}

/// What an account is used for; a password may be good for some of them only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// Reading by IMAP.
    Imap,
    /// Reading by POP3.
    Pop3,
    /// Sending: submission.
    Smtp,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// For what.
    pub service: Service,
    /// From where.
    pub peer: IpAddr,
}

/// What a SASL exchange is told.
#[derive(Debug)]
pub enum Verdict {
    /// The exchange goes on with this; nothing is decided.
    GoOn(Answer),
    /// Right. Who it is counts from the moment when the exchange is done.
    Granted(Identity, Answer),
}

impl Directory {
    /// What a connection may offer that is private enough for passwords: SCRAM
    /// only while every account that has a password has keys for it, so that no
    /// client chooses a mechanism that fails ([`Directory::survey`] finds out).
    #[must_use]
    pub fn offer(&self, bindings: Vec<Binding>) -> Offer {
        let offer = Offer::passwords();
        if self.inner.options.scram && self.inner.census.all_have_keys() {
            offer.with_scram(bindings)
        } else {
            offer
        }
    }

    /// Answers what a SASL exchange asks about a client. The login is a
    /// full address in any case, an alias of one account, or a bare name that
    /// exists in one domain only; for SCRAM no alias (see `login/scram.rs`).
    /// Acting for another account is refused.
    ///
    /// # Errors
    /// See [`AuthFailure`].
    ///
    /// # Cancel safety
    /// May be dropped at any time; a wrong password is counted once checked.
    pub async fn answer(
        &self,
        question: &Question,
        caller: Caller,
    ) -> Result<Verdict, AuthFailure> {
        let (inner, peer) = (&self.inner, caller.peer);
        let (identity, answer, authorization) = match question {
            Question::Salt(name) => {
                let salt = inner.salt(name, peer).await?;
                return Ok(Verdict::GoOn(Answer::Salt(salt)));
            }
            Question::Password(claimed) => {
                let identity = inner
                    .authenticate(&claimed.login, &claimed.password, peer)
                    .await?;
                (identity, Answer::Accepted, &claimed.authorization)
            }
            Question::Proof(proof) => {
                let (identity, signature) = inner.check_proof(proof, peer).await?;
                (identity, Answer::Signature(signature), &proof.authorization)
            }
        };
        if let Some(other) = authorization
            && inner.find_login(other).await? != Some(identity.account)
        {
            return Err(AuthFailure::Invalid);
        }
        Ok(Verdict::Granted(identity, answer))
    }

    /// Lifts what wrong passwords brought upon an address.
    pub fn lift_ban(&self, peer: IpAddr) {
        self.inner.throttle.lift(peer);
    }
}

impl Inner {
    async fn authenticate(
        &self,
        login: &str,
        password: &Secret,
        peer: IpAddr,
    ) -> Result<Identity, AuthFailure> {
        let account = self.find_login(login).await?;
        let claim = throttle::Claim::new(account, login);
        self.throttle
            .check(peer, &claim)
            .map_err(|reason| AuthFailure::Banned { reason })?;
        let stored = match account {
            Some(id) => self.credentials(id).await?,
            None => None,
        };
        let right = self.is_right(account, stored, password).await?;
        let account = account.filter(|_| right);
        self.admit(account, peer, &claim, password).await
    }

    /// The end of every login: none is delayed and counted, an account must be on.
    async fn admit(
        &self,
        account: Option<AccountId>,
        peer: IpAddr,
        claim: &throttle::Claim,
        tried: &Secret,
    ) -> Result<Identity, AuthFailure> {
        let Some(id) = account else {
            let wait = self.throttle.failed(peer, claim, tried);
            self.runtime.sleep(wait).await;
            return Err(AuthFailure::Invalid);
        };
        let record = self.account_record(id).await?;
        let Some(record) = record.filter(|record| !record.disabled) else {
            return Err(AuthFailure::Disabled);
        };
        self.throttle.succeeded(peer, claim);
        Ok(Identity {
            account: id,
            address: record.address,
            admin: record.admin,
        })
    }

    async fn is_right(
        &self,
        account: Option<AccountId>,
        stored: Option<(CommitNo, Credentials)>,
        password: &Secret,
    ) -> Result<bool, DirectoryError> {
        let cached = account.zip(stored.as_ref().map(|(version, _)| *version));
        if let Some((id, version)) = cached
            && self.logins.knows(id, version, password)
        {
            return Ok(true);
        }
        let hash = stored.map(|(_, credentials)| credentials.password);
        let right = self.check_password(hash, password).await?;
        if let Some((id, version)) = cached.filter(|_| right) {
            self.logins.remember(id, version, password);
        }
        Ok(right)
    }

    async fn credentials(
        &self,
        id: AccountId,
    ) -> Result<Option<(CommitNo, Credentials)>, DirectoryError> {
        let key = keys::credentials(id);
        let record = self.record(key.clone()).await?;
        let version = record.as_ref().map(|record| record.version);
        let credentials = decode(&key, record, Credentials::decode)?;
        Ok(version.zip(credentials))
    }
}
