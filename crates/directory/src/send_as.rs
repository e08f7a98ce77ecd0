//! Grants: in whose names an account may send besides its own.
//!
//! A grant is of an address, or of a whole domain, and only of domains of ours. It says
//! nothing about where mail to the address goes: that is `resolve`. It is of the address and not of who has it:
//! the address need not lead anywhere, and one that is given to somebody else stays granted.
//!
//! Grants go with their account and with their domain. One whose domain is gone
//! counts for nothing, whatever the record says.

use crate::changes::{Changes, version_of};
use crate::error::DirectoryError;
use crate::keys;
use crate::limits::{CONFLICTS_MAX, LISTED_MAX, SCAN_PAGE, SEND_AS_MAX};
use crate::record::send_as::{Grant, SendAs, folded};
use crate::store::{Directory, Inner, decode, decode_listed};
use engine::{Batch, CommitNo};
use envelope::{AccountId, Address, Domain, LocalPart};

impl Directory {
    /// Lets an account send in a name; true if it could not before.
    ///
    /// # Errors
    /// No such account, a domain that is not ours, too many, or the store's.
    pub async fn send_as_add(
        &self,
        account: &Address,
        grant: &Grant,
    ) -> Result<bool, DirectoryError> {
        let inner = &self.inner;
        let _changing = inner.changing.lock().await;
        let domain = keys::domain(grant.domain());
        for _ in 0..CONFLICTS_MAX {
            let (id, _, account_version) = inner.read_account(account).await?;
            let domain_record = inner.fresh(domain.clone()).await?;
            if domain_record.is_none() {
                return Err(DirectoryError::NotGrantable(grant.domain().clone()));
            }
            let (mut all, version) = inner.fresh_grants(id).await?;
            if all.0.contains(grant) {
                return Ok(false);
            }
            if all.0.len() >= SEND_AS_MAX {
                return Err(DirectoryError::TooManyGrants);
            }
            all.0.push(grant.clone());
            let mut batch = Batch::new();
            let mut changes = Changes::new(&mut batch);
            changes.expect(keys::account(id), account_version);
            changes.expect(domain.clone(), version_of(domain_record.as_ref()));
            changes.expect(keys::send_as(id), version);
            changes.put(keys::send_as(id), all.encode());
            changes.finish(inner);
            if inner.submit(batch).await? {
                return Ok(true);
            }
        }
        Err(DirectoryError::Contended)
    }

    /// In whose names an account may send besides its own, in the order in which they
    /// were granted.
    ///
    /// # Errors
    /// No such account, or the store's.
    pub async fn send_as_list(&self, account: &Address) -> Result<Vec<Grant>, DirectoryError> {
        let (id, ..) = self.inner.read_account(account).await?;
        Ok(self.inner.fresh_grants(id).await?.0.0)
    }

    /// Takes a grant back: from this commit on the account does not send in that name.
    /// True if it could before.
    ///
    /// # Errors
    /// No such account, or the store's.
    pub async fn send_as_remove(
        &self,
        account: &Address,
        grant: &Grant,
    ) -> Result<bool, DirectoryError> {
        let inner = &self.inner;
        let _changing = inner.changing.lock().await;
        for _ in 0..CONFLICTS_MAX {
            let (id, ..) = inner.read_account(account).await?;
            let (mut all, version) = inner.fresh_grants(id).await?;
            let before = all.0.len();
            all.0.retain(|other| other != grant);
            if all.0.len() == before {
                return Ok(false);
            }
            let mut batch = Batch::new();
            let mut changes = Changes::new(&mut batch);
            changes.expect(keys::send_as(id), version);
            put_grants(&mut changes, keys::send_as(id), &all);
            changes.finish(inner);
            if inner.submit(batch).await? {
                return Ok(true);
            }
        }
        Err(DirectoryError::Contended)
    }
}

impl Inner {
    /// Whether `address`, of a domain of ours, was granted to the account. Its sub-addresses
    /// are too, but for those that are somebody's on their own.
    pub(crate) async fn is_granted(
        &self,
        account: AccountId,
        address: &Address,
    ) -> Result<bool, DirectoryError> {
        let key = keys::send_as(account);
        let record = self.record(key.clone()).await?;
        let Some(SendAs(all)) = decode(&key, record, SendAs::decode)? else {
            return Ok(false);
        };
        let domain = address.domain();
        if all.contains(&Grant::Domain(domain.clone()))
            || all.contains(&Grant::Address(folded(address)))
        {
            return Ok(true);
        }
        let Some((user, _)) = self.split_detail(address.local().as_str()) else {
            return Ok(false);
        };
        let whole = LocalPart::from_content(&user)
            .ok()
            .and_then(|local| Address::new(local, domain.clone()).ok());
        if !whole.is_some_and(|whole| all.contains(&Grant::Address(whole))) {
            return Ok(false);
        }
        let local = address.local().to_key();
        Ok(self.address_record(domain, &local).await?.is_none())
    }

    /// Takes back all grants of a domain; `Ok(false)` when another change came first.
    pub(crate) async fn remove_grants(&self, domain: &Domain) -> Result<bool, DirectoryError> {
        let found = self.scan(keys::all_send_as(), LISTED_MAX).await?;
        for page in found.chunks(SCAN_PAGE) {
            let mut batch = Batch::new();
            let mut changes = Changes::new(&mut batch);
            for (key, record) in page {
                let decoded = decode_listed(key, record, SendAs::decode);
                if let Some(rest) = decoded.and_then(|all| without_domain(all, domain)) {
                    changes.expect(key.clone(), Some(record.version));
                    put_grants(&mut changes, key.clone(), &rest);
                }
            }
            changes.finish(self);
            if !batch.is_empty() && !self.submit(batch).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn fresh_grants(
        &self,
        id: AccountId,
    ) -> Result<(SendAs, Option<CommitNo>), DirectoryError> {
        let key = keys::send_as(id);
        let record = self.fresh(key.clone()).await?;
        let version = version_of(record.as_ref());
        let all = decode(&key, record, SendAs::decode)?.unwrap_or_default();
        Ok((all, version))
    }
}

/// What is left without a domain's grants; none if there are none of it.
pub(crate) fn without_domain(mut all: SendAs, domain: &Domain) -> Option<SendAs> {
    let before = all.0.len();
    all.0.retain(|grant| grant.domain() != domain);
    (all.0.len() < before).then_some(all)
}

/// The record goes with the last grant.
fn put_grants(changes: &mut Changes<'_>, key: Vec<u8>, all: &SendAs) {
    if all.0.is_empty() {
        changes.delete(key);
    } else {
        changes.put(key, all.encode());
    }
}
