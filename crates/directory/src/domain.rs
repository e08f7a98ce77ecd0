//! Domains: added, listed, changed, removed.

use crate::account::StageMail;
use crate::alias::address_of;
use crate::changes::{Changes, version_of};
use crate::error::DirectoryError;
use crate::keys;
use crate::limits::{CONFLICTS_MAX, LISTED_MAX, SCAN_PAGE};
use crate::record::account::Quota;
use crate::record::address::AddressRecord;
use crate::record::domain::DomainRecord;
use crate::store::{Directory, Inner, decode, decode_listed};
use engine::Batch;
use envelope::{AccountId, Address, Domain};

/// A domain as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainInfo {
    /// Its name.
    pub domain: Domain,
    /// When it was added, in milliseconds since 1970.
    pub created_ms: u64,
    /// Who gets `postmaster@` and `abuse@`; none for the system's administrator.
    pub administrator: Option<Address>,
    /// Who gets what is addressed to nobody.
    pub catch_all: Option<Address>,
    /// For how many days deleted mail can be brought back; none for the
    /// system's own default.
    pub retention_days: Option<u32>,
    /// How much its accounts may hold together.
    pub quota: Quota,
}

impl DomainInfo {
    fn new(domain: Domain, record: DomainRecord) -> Self {
        Self {
            domain,
            created_ms: record.created_ms,
            administrator: record.administrator,
            catch_all: record.catch_all,
            retention_days: record.retention_days,
            quota: record.quota,
        }
    }
}

/// What happens to accounts of a domain that is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// The domain stays if it has any.
    Refuse,
    /// They are removed with it.
    WithAccounts,
}

impl Directory {
    /// Adds a domain; `administrator` answers for its role addresses and need
    /// not exist yet.
    ///
    /// # Errors
    /// It exists, it is an address literal, or the store's.
    pub async fn domain_add(
        &self,
        domain: &Domain,
        administrator: Option<Address>,
    ) -> Result<DomainInfo, DirectoryError> {
        let inner = &self.inner;
        let _changing = inner.changing.lock().await;
        if domain.literal_ip().is_some() {
            return Err(DirectoryError::NotADomain(domain.clone()));
        }
        let record = DomainRecord {
            created_ms: inner.runtime.now().unix_ms,
            administrator,
            catch_all: None,
            retention_days: None,
            quota: Quota::default(),
        };
        let mut batch = Batch::new();
        let mut changes = Changes::new(&mut batch);
        changes.expect(keys::domain(domain), None);
        changes.put(keys::domain(domain), record.encode());
        changes.finish(inner);
        if !inner.submit(batch).await? {
            return Err(DirectoryError::DomainExists(domain.clone()));
        }
        Ok(DomainInfo::new(domain.clone(), record))
    }

    /// Sets or clears who gets the domain's role addresses.
    ///
    /// # Errors
    /// No such domain, or the store's.
    pub async fn domain_administrator(
        &self,
        domain: &Domain,
        administrator: Option<Address>,
    ) -> Result<DomainInfo, DirectoryError> {
        let change = |record: &mut DomainRecord| record.administrator.clone_from(&administrator);
        self.inner.change_domain(domain, change).await
    }

    /// Sets or clears who gets what is addressed to nobody.
    ///
    /// # Errors
    /// No such domain, or the store's.
    pub async fn domain_catch_all(
        &self,
        domain: &Domain,
        catch_all: Option<Address>,
    ) -> Result<DomainInfo, DirectoryError> {
        let change = |record: &mut DomainRecord| record.catch_all.clone_from(&catch_all);
        self.inner.change_domain(domain, change).await
    }

    /// Sets for how many days deleted mail can be brought back; none for the
    /// system's own default.
    ///
    /// # Errors
    /// No such domain, or the store's.
    pub async fn domain_retention(
        &self,
        domain: &Domain,
        days: Option<u32>,
    ) -> Result<DomainInfo, DirectoryError> {
        let change = |record: &mut DomainRecord| record.retention_days = days;
        self.inner.change_domain(domain, change).await
    }

    /// Sets how much the domain's accounts may hold together.
    ///
    /// # Errors
    /// No such domain, or the store's.
    pub async fn domain_quota(
        &self,
        domain: &Domain,
        quota: Quota,
    ) -> Result<DomainInfo, DirectoryError> {
        let change = |record: &mut DomainRecord| record.quota = quota;
        self.inner.change_domain(domain, change).await
    }

    /// One domain.
    ///
    /// # Errors
    /// No such domain, or the store's.
    pub async fn domain_show(&self, domain: &Domain) -> Result<DomainInfo, DirectoryError> {
        let record = self.inner.domain_record(domain).await?;
        record
            .map(|record| DomainInfo::new(domain.clone(), record))
            .ok_or_else(|| DirectoryError::NoSuchDomain(domain.clone()))
    }

    /// All domains by name.
    ///
    /// # Errors
    /// The store's, or a damaged record.
    pub async fn domain_list(&self) -> Result<Vec<DomainInfo>, DirectoryError> {
        let mut domains = Vec::new();
        for (key, record) in self.inner.scan(keys::domains(), LISTED_MAX).await? {
            let record = decode_listed(&key, &record, DomainRecord::decode);
            let name = core::str::from_utf8(key.get(2..).unwrap_or_default()).ok();
            let domain = name.and_then(|name| Domain::parse(name).ok());
            domains.extend(
                domain
                    .zip(record)
                    .map(|(name, record)| DomainInfo::new(name, record)),
            );
        }
        Ok(domains)
    }

    /// Removes a domain, its aliases and what was granted in its name; returns the accounts removed with it.
    ///
    /// # Errors
    /// No such domain, it has accounts and `removal` says refuse, or the store's.
    /// A removal that was cut short can be repeated.
    pub async fn domain_remove(
        &self,
        domain: &Domain,
        removal: Removal,
        stage_mail: StageMail<'_>,
    ) -> Result<Vec<AccountId>, DirectoryError> {
        let inner = &self.inner;
        let _changing = inner.changing.lock().await;
        let mut removed = Vec::new();
        for _ in 0..CONFLICTS_MAX {
            let head = inner.fresh(keys::head()).await?;
            let record = inner.fresh(keys::domain(domain)).await?;
            if record.is_none() {
                return Err(DirectoryError::NoSuchDomain(domain.clone()));
            }
            let ids = inner.accounts_of(domain, LISTED_MAX).await?;
            if !ids.is_empty() && removal == Removal::Refuse {
                return Err(DirectoryError::DomainInUse(domain.clone()));
            }
            for id in &ids {
                if let Some(account) = inner.account_record(*id).await? {
                    removed.push(inner.remove_account(&account.address, stage_mail).await?);
                }
            }
            inner.remove_aliases(domain).await?;
            if !inner.remove_grants(domain).await? {
                continue;
            }
            // The head's version says that no account was added meanwhile; our
            // own removals may have changed it, then the next round is the last.
            let mut batch = Batch::new();
            let mut changes = Changes::new(&mut batch);
            changes.expect(keys::domain(domain), version_of(record.as_ref()));
            changes.expect(keys::head(), version_of(head.as_ref()));
            changes.delete(keys::domain(domain));
            changes.finish(inner);
            if inner.submit(batch).await? {
                return Ok(removed);
            }
        }
        Err(DirectoryError::Contended)
    }
}

impl Inner {
    async fn change_domain(
        &self,
        domain: &Domain,
        change: impl Fn(&mut DomainRecord),
    ) -> Result<DomainInfo, DirectoryError> {
        let _changing = self.changing.lock().await;
        let key = keys::domain(domain);
        for _ in 0..CONFLICTS_MAX {
            let stored = self.fresh(key.clone()).await?;
            let version = version_of(stored.as_ref());
            let mut record = decode(&key, stored, DomainRecord::decode)?
                .ok_or_else(|| DirectoryError::NoSuchDomain(domain.clone()))?;
            change(&mut record);
            let mut batch = Batch::new();
            let mut changes = Changes::new(&mut batch);
            changes.expect(key.clone(), version);
            changes.put(key.clone(), record.encode());
            changes.finish(self);
            if self.submit(batch).await? {
                return Ok(DomainInfo::new(domain.clone(), record));
            }
        }
        Err(DirectoryError::Contended)
    }

    async fn remove_aliases(&self, domain: &Domain) -> Result<(), DirectoryError> {
        let found = self.scan(keys::addresses_of(domain), LISTED_MAX).await?;
        for page in found.chunks(SCAN_PAGE) {
            let mut batch = Batch::new();
            let mut changes = Changes::new(&mut batch);
            for (key, record) in page {
                let decoded = decode_listed(key, record, AddressRecord::decode);
                if matches!(decoded, Some(AddressRecord::Alias(_))) && address_of(key).is_some() {
                    changes.expect(key.clone(), Some(record.version));
                    changes.delete(key.clone());
                }
            }
            changes.finish(self);
            if !batch.is_empty() {
                self.submit(batch).await?;
            }
        }
        Ok(())
    }
}
