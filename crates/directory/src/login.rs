//! From a login and a proof to an account.
//!
//! The order is part of the defence: limits first (a banned address costs
//! nothing), then the login cache, then one argon2id computation (or one check of
//! a SCRAM proof) whether or not the login exists, then the account's state. What
//! the client is told never says which of login and password was wrong.

pub(crate) mod cache;
pub(crate) mod census;
mod digest;
mod names;
mod scram;
pub(crate) mod throttle;
mod token;

use crate::app_password;
use crate::error::DirectoryError;
use crate::keys;
use crate::record::credentials::{Credentials, Stored};
use crate::store::{Directory, Inner, decode};
use engine::{CommitNo, Versioned};
use envelope::{AccountId, Address};
use runtime::Monotonic;
use sasl::{Answer, Binding, Offer, Question, Secret};
use std::net::IpAddr;
use std::time::Duration;
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
    /// The label of the application password that was used, if one was.
    pub app_password: Option<String>,
}

/// Whose mailboxes an account's are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The account's primary address.
    pub address: Address,
    /// It is several people's.
    pub shared: bool,
}

/// What the logins of an account hang on at a moment: another one than at the login means that somebody
/// should log in again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    password: Option<CommitNo>,
    app_passwords: Option<CommitNo>,
}

/// Why a login was refused. The text is for the client.
#[derive(Debug, Error)]
pub enum AuthFailure {
    /// Login or password is wrong; the answer was delayed already.
    #[error("login or password is wrong")]
    Invalid,
    /// A bearer token that is not good, or not for this login. The reason is for
    /// the log; the client learns of it by the exchange.
    #[error("the token is refused: {reason}")]
    Token {
        /// What is wrong with it.
        reason: String,
    },
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
    /// Administering, over HTTP.
    Api,
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
    /// No, and the exchange tells the client why before it ends. The failure is
    /// counted and logged now, the client may be gone before the end.
    Refused(AuthFailure, Answer),
}

/// One login on its way.
struct Attempt {
    peer: IpAddr,
    claim: throttle::Claim,
    began: Monotonic,
}

impl Directory {
    /// What a connection may offer that is private enough for passwords: SCRAM
    /// only while every account that has a password has keys for it, so that no
    /// client chooses a mechanism that fails ([`Directory::survey`] finds out).
    #[must_use]
    pub fn offer(&self, bindings: Vec<Binding>, certificate: Vec<String>) -> Offer {
        let mut offer = Offer::passwords().with_certificate(certificate);
        if self.inner.options.tokens.is_some() {
            offer = offer.with_tokens();
        }
        if self.inner.options.sealing.is_some() {
            offer = offer.with_digests();
        }
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
        let inner = &self.inner;
        let (identity, answer, authorization) = match question {
            Question::Salt(name) => {
                let salt = inner.salt(name, caller).await?;
                return Ok(Verdict::GoOn(Answer::Salt(salt)));
            }
            Question::Password(claimed) => {
                let identity = inner
                    .authenticate(&claimed.login, &claimed.password, caller)
                    .await?;
                (identity, Answer::Accepted, &claimed.authorization)
            }
            Question::Proof(proof) => {
                let (identity, signature) = inner.check_proof(proof, caller).await?;
                (identity, Answer::Signature(signature), &proof.authorization)
            }
            Question::Certificate(shown) => {
                let identity = inner.check_certificate(shown, caller).await?;
                (identity, Answer::Accepted, &None)
            }
            Question::Token(shown) => return inner.check_token(shown, caller).await,
            Question::Challenge => {
                return Ok(Verdict::GoOn(Answer::Challenge(inner.challenge())));
            }
            Question::Digest(digest) => {
                let identity = inner.check_digest(digest, caller).await?;
                (identity, Answer::Accepted, &None)
            }
        };
        if let Some(other) = authorization
            && inner.find_login(other).await? != Some(identity.account)
        {
            return Err(AuthFailure::Invalid);
        }
        Ok(Verdict::Granted(identity, answer))
    }

    /// The account that a login name means, unless it is disabled.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn account_of(&self, login: &str) -> Result<Option<AccountId>, DirectoryError> {
        let Some(id) = self.inner.find_login(login).await? else {
            return Ok(None);
        };
        let record = self.inner.account_record(id).await?;
        Ok(record.filter(|record| !record.disabled).map(|_| id))
    }

    /// The primary address of an account, unless it is disabled.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn address_of(&self, account: AccountId) -> Result<Option<Address>, DirectoryError> {
        let record = self.inner.account_record(account).await?;
        let record = record.filter(|record| !record.disabled);
        Ok(record.map(|record| record.address))
    }

    /// Whose mailboxes an account's are, unless it is disabled.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn owner_of(&self, account: AccountId) -> Result<Option<Owner>, DirectoryError> {
        let record = self.inner.account_record(account).await?;
        let record = record.filter(|record| !record.disabled);
        Ok(record.map(|record| Owner {
            address: record.address,
            shared: record.shared,
        }))
    }

    /// What the logins of an account hang on now; none if it may not be used.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn standing(&self, account: AccountId) -> Result<Option<Standing>, DirectoryError> {
        let record = self.inner.account_record(account).await?;
        if record.is_none_or(|record| record.disabled) {
            return Ok(None);
        }
        let password = self.inner.record(keys::credentials(account)).await?;
        let app_passwords = self.inner.record(keys::app_passwords(account)).await?;
        let version = |record: Option<Versioned>| record.map(|record| record.version);
        Ok(Some(Standing {
            password: version(password),
            app_passwords: version(app_passwords),
        }))
    }

    /// Whether an account may administer the system; none that is disabled may.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn is_admin(&self, account: AccountId) -> Result<bool, DirectoryError> {
        let record = self.inner.account_record(account).await?;
        Ok(record.is_some_and(|record| record.admin && !record.disabled))
    }

    /// Did somebody log in well from this address (IPv6: its /64) within a month?
    #[must_use]
    pub fn is_known_address(&self, peer: IpAddr) -> bool {
        self.inner.throttle.is_known_address(peer)
    }

    /// The addresses (IPv6: /64) that wrong passwords keep from logging in, and for
    /// how long still.
    #[must_use]
    pub fn login_bans(&self) -> Vec<(IpAddr, Duration)> {
        self.inner.throttle.banned()
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
        caller: Caller,
    ) -> Result<Identity, AuthFailure> {
        let began = self.runtime.monotonic();
        let account = self.find_login(login).await?;
        let attempt = self.begin(began, account, login, caller)?;
        let (stored, app_passwords) = match account {
            Some(id) => (
                self.credentials(id).await?,
                self.app_passwords(id, caller.service).await?,
            ),
            None => (None, Vec::new()),
        };
        if let (Some(id), Some(used)) = (account, app_password::find(&app_passwords, password)) {
            let mut identity = self.admit(Some(id), &attempt, password).await?;
            identity.app_password = Some(used.label.clone());
            return Ok(identity);
        }
        let right = self.is_right(account, stored.clone(), password).await?;
        let account = account.filter(|_| right);
        let identity = self.admit(account, &attempt, password).await?;
        if let Some(stored) = stored.filter(|(_, stored)| is_imported(stored)) {
            self.replace_imported(identity.account, stored, password)
                .await;
        }
        Ok(identity)
    }

    /// The certificate names addresses; the account is the one that the client wants
    /// to be, if it is among them, and else the first that there is.
    async fn check_certificate(
        &self,
        shown: &sasl::Certificate,
        caller: Caller,
    ) -> Result<Identity, AuthFailure> {
        let began = self.runtime.monotonic();
        let wanted = match &shown.authorization {
            Some(login) => Some(self.find_login(login).await?),
            None => None,
        };
        let mut account = None;
        for name in shown.names.iter() {
            let named = self.find_login(name).await?;
            if account.is_none() && wanted.is_none_or(|wanted| wanted == named) {
                account = named;
            }
        }
        let login = shown.authorization.as_ref().or(shown.names.first());
        let login = login.map_or("", String::as_str);
        let attempt = self.begin(began, account, login, caller)?;
        self.admit(account, &attempt, &Secret::from("a certificate"))
            .await
    }

    /// The beginning of every login, once it is known whose it would be.
    fn begin(
        &self,
        began: Monotonic,
        account: Option<AccountId>,
        login: &str,
        caller: Caller,
    ) -> Result<Attempt, AuthFailure> {
        let claim = throttle::Claim::new(account, login);
        self.throttle
            .check(caller.peer, &claim)
            .map_err(|reason| AuthFailure::Banned { reason })?;
        Ok(Attempt {
            peer: caller.peer,
            claim,
            began,
        })
    }

    /// The end of every login: a wrong one is delayed and counted, an account must be on.
    async fn admit(
        &self,
        account: Option<AccountId>,
        attempt: &Attempt,
        tried: &Secret,
    ) -> Result<Identity, AuthFailure> {
        let Attempt { peer, claim, began } = attempt;
        let Some(id) = account else {
            let wait = self.throttle.failed(*peer, claim, tried);
            // From the beginning: what was checked, and how long it took, does not show.
            let left = began.after(wait).since(self.runtime.monotonic());
            self.runtime.sleep(left).await;
            return Err(AuthFailure::Invalid);
        };
        let record = self.account_record(id).await?;
        let Some(record) = record.filter(|record| !record.disabled) else {
            return Err(AuthFailure::Disabled);
        };
        self.throttle.succeeded(*peer, claim, tried);
        Ok(Identity {
            account: id,
            address: record.address,
            admin: record.admin,
            app_password: None,
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

fn is_imported(credentials: &Credentials) -> bool {
    matches!(credentials.password, Stored::Imported(_))
}
