//! From a login and a password to an account.
//!
//! The order is part of the defence: limits first (a banned address costs
//! nothing), then the login cache, then one argon2id computation whether or not
//! the login exists, then the account's state. What the client is told never
//! says which of login and password was wrong.

pub(crate) mod cache;
pub(crate) mod throttle;

use crate::error::DirectoryError;
use crate::keys;
use crate::record::address::AddressRecord;
use crate::record::credentials::Credentials;
use crate::resolve::{Resolution, Target};
use crate::store::{Directory, Inner, decode};
use engine::CommitNo;
use envelope::{AccountId, Address, LocalPart};
use sasl::Secret;
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

impl Directory {
    /// Checks a login from `peer`. The login is a full address in any case, an
    /// alias of one account, or a bare name that exists in one domain only.
    ///
    /// # Errors
    /// See [`AuthFailure`].
    ///
    /// # Cancel safety
    /// May be dropped at any time; a wrong password is counted once checked.
    pub async fn authenticate(
        &self,
        login: &str,
        password: &Secret,
        peer: IpAddr,
    ) -> Result<Identity, AuthFailure> {
        self.inner.authenticate(login, password, peer).await
    }

    /// As [`Directory::authenticate`] for what a SASL exchange brought. Acting
    /// for another account is refused.
    ///
    /// # Errors
    /// See [`AuthFailure`].
    pub async fn authenticate_sasl(
        &self,
        claimed: &sasl::Credentials,
        peer: IpAddr,
    ) -> Result<Identity, AuthFailure> {
        let identity = self
            .inner
            .authenticate(&claimed.login, &claimed.password, peer)
            .await?;
        if let Some(other) = &claimed.authorization
            && self.inner.find_login(other).await? != Some(identity.account)
        {
            return Err(AuthFailure::Invalid);
        }
        Ok(identity)
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
        let (Some(id), true) = (account, right) else {
            let wait = self.throttle.failed(peer, &claim, password);
            self.runtime.sleep(wait).await;
            return Err(AuthFailure::Invalid);
        };
        let record = self.account_record(id).await?;
        let Some(record) = record.filter(|record| !record.disabled) else {
            return Err(AuthFailure::Disabled);
        };
        self.throttle.succeeded(peer, &claim);
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

    /// The account that a login name means.
    async fn find_login(&self, login: &str) -> Result<Option<AccountId>, DirectoryError> {
        if !login.contains('@') {
            return self.find_bare_login(login).await;
        }
        let Ok(address) = Address::parse(login) else {
            return Ok(None);
        };
        let local = address.local().to_key();
        match self.address_record(address.domain(), &local).await? {
            Some(AddressRecord::Account(id)) => Ok(Some(id)),
            Some(AddressRecord::Alias(_)) if self.options.login_by_alias => {
                Ok(match self.resolve(&address).await? {
                    Resolution::Local(targets) => match targets.as_slice() {
                        [Target::Account { id, .. }] => Some(*id),
                        _ => None,
                    },
                    _ => None,
                })
            }
            _ => Ok(None),
        }
    }

    async fn find_bare_login(&self, login: &str) -> Result<Option<AccountId>, DirectoryError> {
        let Ok(local) = LocalPart::from_content(login) else {
            return Ok(None);
        };
        let found = self.scan(keys::names_of(&local.to_key()), 2).await?;
        let [(key, record)] = found.as_slice() else {
            return Ok(None);
        };
        decode(key, Some(record.clone()), |bytes| {
            let mut reader = wire::codec::Reader::new(bytes);
            reader.varint().map(AccountId)
        })
    }
}
