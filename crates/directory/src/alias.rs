//! Aliases: an address that leads to others, here or elsewhere.

use crate::changes::{Changes, version_of};
use crate::error::DirectoryError;
use crate::keys;
use crate::limits::{ALIAS_TARGETS_MAX, CONFLICTS_MAX, LISTED_MAX};
use crate::record::address::AddressRecord;
use crate::store::{Directory, decode, decode_listed};
use engine::Batch;
use envelope::{Address, Domain, LocalPart};

/// An alias and where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// Its address, folded.
    pub address: Address,
    /// Where it leads, in the order given.
    pub targets: Vec<Address>,
}

impl Directory {
    /// Adds an alias, or targets to one that is there.
    ///
    /// # Errors
    /// No such domain, an account has the address, no or too many targets, or the store's.
    pub async fn alias_add(
        &self,
        address: &Address,
        targets: &[Address],
    ) -> Result<Alias, DirectoryError> {
        let inner = &self.inner;
        let _changing = inner.changing.lock().await;
        let key = keys::address(address);
        let domain_key = keys::domain(address.domain());
        for _ in 0..CONFLICTS_MAX {
            let domain = inner.fresh(domain_key.clone()).await?;
            if domain.is_none() {
                return Err(DirectoryError::NoSuchDomain(address.domain().clone()));
            }
            let record = inner.fresh(key.clone()).await?;
            let version = version_of(record.as_ref());
            let mut all = match decode(&key, record, AddressRecord::decode)? {
                Some(AddressRecord::Account(_)) => {
                    return Err(DirectoryError::AddressTaken(address.clone()));
                }
                Some(AddressRecord::Alias(present)) => present,
                None => Vec::new(),
            };
            for target in targets {
                if !all.contains(target) {
                    all.push(target.clone());
                }
            }
            if all.is_empty() || all.len() > ALIAS_TARGETS_MAX {
                return Err(DirectoryError::AliasTargets);
            }
            let mut batch = Batch::new();
            let mut changes = Changes::new(&mut batch);
            changes.expect(domain_key.clone(), version_of(domain.as_ref()));
            changes.expect(key.clone(), version);
            changes.put(key.clone(), AddressRecord::Alias(all.clone()).encode());
            changes.finish(inner);
            if inner.submit(batch).await? {
                return Ok(Alias {
                    address: address.clone(),
                    targets: all,
                });
            }
        }
        Err(DirectoryError::Contended)
    }

    /// Removes an alias with all of its targets.
    ///
    /// # Errors
    /// No such alias, or the store's.
    pub async fn alias_remove(&self, address: &Address) -> Result<(), DirectoryError> {
        let inner = &self.inner;
        let _changing = inner.changing.lock().await;
        let key = keys::address(address);
        for _ in 0..CONFLICTS_MAX {
            let record = inner.fresh(key.clone()).await?;
            let version = version_of(record.as_ref());
            let Some(AddressRecord::Alias(_)) = decode(&key, record, AddressRecord::decode)? else {
                return Err(DirectoryError::NoSuchAlias(address.clone()));
            };
            let mut batch = Batch::new();
            let mut changes = Changes::new(&mut batch);
            changes.expect(key.clone(), version);
            changes.delete(key.clone());
            changes.finish(inner);
            if inner.submit(batch).await? {
                return Ok(());
            }
        }
        Err(DirectoryError::Contended)
    }

    /// All aliases, or those of one domain, by address.
    ///
    /// # Errors
    /// The store's, or a damaged record.
    pub async fn alias_list(&self, domain: Option<&Domain>) -> Result<Vec<Alias>, DirectoryError> {
        let range = domain.map_or_else(keys::addresses, keys::addresses_of);
        let mut aliases = Vec::new();
        for (key, record) in self.inner.scan(range, LISTED_MAX).await? {
            let record = decode_listed(&key, &record, AddressRecord::decode);
            let address = address_of(&key);
            if let (Some(address), Some(AddressRecord::Alias(targets))) = (address, record) {
                aliases.push(Alias { address, targets });
            }
        }
        Ok(aliases)
    }
}

/// The address that a key stands for.
pub(crate) fn address_of(key: &[u8]) -> Option<Address> {
    let (domain, local) = keys::split_address(key)?;
    let local = LocalPart::from_content(local).ok()?;
    Address::new(local, Domain::parse(domain).ok()?).ok()
}
