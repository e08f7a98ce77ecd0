//! What a repair does to the directory: records are made again from each other;
//! what can't be is set aside.
//!
//! Every step is one commit with conditions on what was looked at.

use crate::alias::address_of;
use crate::changes::{Changes, version_of};
use crate::error::DirectoryError;
use crate::fsck::{Finding, Kind, domain_of, for_each, kind_of};
use crate::keys::{self, SHARD};
use crate::limits::{IDS_SKIPPED, REPAIR_ROUNDS};
use crate::record::account::{AccountRecord, Quota};
use crate::record::address::AddressRecord;
use crate::record::domain::DomainRecord;
use crate::record::head::Head;
use crate::record::send_as::SendAs;
use crate::send_as::without_domain;
use crate::store::{Directory, Inner, decode};
use engine::check::{Aside, Checker, Mended, SetAside, key_text};
use engine::{Batch, Snapshot, SubmitError, Versioned};
use envelope::{AccountId, Address, Domain};
use std::io;
use std::sync::Arc;
use thiserror::Error;
use wire::codec::Writer;

/// Why a repair did not come to its end. What it did before stays done.
#[derive(Debug, Error)]
pub enum RepairError {
    /// A record could not be set aside.
    #[error("a record could not be set aside: {0}")]
    Aside(#[from] io::Error),
    /// The directory could not be read or written.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

impl Directory {
    /// Mends the directory. `largest` is the largest id of an account that has
    /// mail: ids are not given twice even where the directory forgot them.
    ///
    /// # Errors
    /// See [`RepairError`].
    pub async fn repair(
        &self,
        largest: AccountId,
        aside: Arc<dyn Aside>,
    ) -> Result<Vec<Mended>, RepairError> {
        let _changing = self.inner.changing.lock().await;
        let mut mended = Vec::new();
        // A record that can be read again may disagree with others.
        for _ in 0..REPAIR_ROUNDS {
            let findings = self.fsck().await?;
            if findings.is_empty() {
                break;
            }
            let (inner, aside) = (Arc::clone(&self.inner), Arc::clone(&aside));
            let work = move || {
                let mut done = Vec::new();
                for finding in &findings {
                    let repair = Repair {
                        inner: &inner,
                        snapshot: inner.engine.snapshot(SHARD),
                        aside: &*aside,
                        largest,
                    };
                    done.extend(repair.one(finding)?);
                }
                Ok::<_, RepairError>(done)
            };
            mended.extend(self.inner.runtime.blocking(work).await?);
        }
        self.refresh();
        self.survey().await?;
        Ok(mended)
    }

    /// Gives an account that has mail, but no records here, an address: turned
    /// off and without a password, so that an administrator finds it.
    ///
    /// # Errors
    /// The address is in use, there is no such domain, or the store's.
    pub async fn adopt(&self, id: AccountId, address: Address) -> Result<(), DirectoryError> {
        let inner = &self.inner;
        let _changing = inner.changing.lock().await;
        let domain = inner.fresh(keys::domain(address.domain())).await?;
        if domain.is_none() {
            return Err(DirectoryError::NoSuchDomain(address.domain().clone()));
        }
        let stored = inner.fresh(keys::head()).await?;
        let head_version = version_of(stored.as_ref());
        let mut head = decode(&keys::head(), stored, Head::decode)?.unwrap_or_default();
        head.next_account = head.next_account.max(AccountId(id.0.saturating_add(1)));
        let mut batch = Batch::new();
        let mut changes = Changes::new(&mut batch);
        changes.expect(keys::head(), head_version);
        changes.put(keys::head(), head.encode());
        changes.expect(keys::domain(address.domain()), version_of(domain.as_ref()));
        changes.expect(keys::account(id), None);
        changes.expect(keys::address(&address), None);
        let record = AccountRecord {
            address: address.clone(),
            disabled: true,
            admin: false,
            saves_sent: false,
            shared: false,
            created_ms: inner.runtime.now().unix_ms,
            reserved: (0, 0),
        };
        put_account(&mut changes, id, &record);
        changes.finish(inner);
        if inner.submit(batch).await? {
            Ok(())
        } else {
            Err(DirectoryError::AddressTaken(address))
        }
    }
}

fn put_account(changes: &mut Changes<'_>, id: AccountId, record: &AccountRecord) {
    changes.put(keys::account(id), record.encode());
    changes.put(
        keys::address(&record.address),
        AddressRecord::Account(id).encode(),
    );
    changes.put(keys::name(&record.address), name_record(id));
}

fn name_record(id: AccountId) -> Vec<u8> {
    let mut number = Writer::new();
    number.varint(id.0);
    number.finish()
}

struct Repair<'a> {
    inner: &'a Inner,
    snapshot: Box<dyn Snapshot>,
    aside: &'a dyn Aside,
    largest: AccountId,
}

impl Repair<'_> {
    /// Mends one thing; nothing is done when it is not so any more.
    fn one(&self, finding: &Finding) -> Result<Option<Mended>, RepairError> {
        let why = finding.to_string();
        match finding {
            Finding::StrangeKey(key) => self.take_out(key, Checker::KeyKnown, &why),
            Finding::StrayCredentials(id) => {
                self.take_out(&keys::credentials(*id), Checker::DirectoryAgrees, &why)
            }
            Finding::StrayAppPasswords(id) => {
                self.take_out(&keys::app_passwords(*id), Checker::DirectoryAgrees, &why)
            }
            Finding::StraySendAs(id) => self.stray_grants(*id, &why),
            Finding::GrantWithoutDomain(id, domain) => self.grants_of(*id, domain, &why),
            Finding::Damaged(kind, key, _) => self.damaged(*kind, key, &why),
            Finding::NoHead | Finding::NextAccount(_) | Finding::NoAdministrator(_) => self.head(),
            Finding::NoDomain(_, name) => match Domain::parse(name) {
                Ok(domain) => self.domain(&domain),
                Err(_) => Ok(None),
            },
            Finding::NoAddress(id, key) => self.address_of_account(*id, key, &why),
            Finding::NoAccount(id, key) => self.account_of_address(*id, key, &why),
            Finding::NoName(id, key) => {
                let what = format!("the login name {} was made again", key_text(key));
                self.put(vec![(key.clone(), Some(name_record(*id)))], Some(*id), what)
            }
            Finding::StrayName(key) => {
                let what = format!("the login name {} was removed", key_text(key));
                self.put(vec![(key.clone(), None)], None, what)
            }
        }
    }

    fn damaged(&self, kind: Kind, key: &[u8], why: &str) -> Result<Option<Mended>, RepairError> {
        if let Some(stored) = self.get(key)? {
            self.keep(Checker::RecordReadable, key, &stored, why)?;
        }
        match kind {
            Kind::Head => self.head(),
            Kind::Domain => match domain_of(key) {
                Some(domain) => self.domain(&domain),
                None => self.remove(key, why),
            },
            Kind::Address => self.damaged_address(key, why),
            Kind::Account => match keys::split_account(key) {
                Some(id) => self.damaged_account(id, key, why),
                None => self.remove(key, why),
            },
            Kind::Credentials | Kind::AppPasswords | Kind::SendAs | Kind::Name | Kind::Key => {
                self.remove(key, why)
            }
        }
    }

    /// The address of an account is known from that; an alias is not.
    fn damaged_address(&self, key: &[u8], why: &str) -> Result<Option<Mended>, RepairError> {
        let mut found = None;
        let (start, end) = keys::accounts();
        for_each(&*self.snapshot, start, &end, &mut |account, stored| {
            if let Ok(record) = AccountRecord::decode(&stored.value)
                && keys::address(&record.address) == key
            {
                found = keys::split_account(&account);
            }
            Ok(())
        })?;
        let Some(id) = found else {
            return self.remove(key, &format!("{why}; if it was an alias, add it again"));
        };
        let record = AddressRecord::Account(id).encode();
        let what = format!("the address {} leads to its account again", key_text(key));
        self.put(vec![(key.to_vec(), Some(record))], Some(id), what)
    }

    /// What leads to an account tells its address.
    fn damaged_account(
        &self,
        id: AccountId,
        key: &[u8],
        why: &str,
    ) -> Result<Option<Mended>, RepairError> {
        let mut found = None;
        let (start, end) = keys::addresses();
        for_each(&*self.snapshot, start, &end, &mut |key, stored| {
            if AddressRecord::decode(&stored.value) == Ok(AddressRecord::Account(id)) {
                found = address_of(&key);
            }
            Ok(())
        })?;
        match found {
            Some(address) => self.new_account(id, address),
            None => self.remove(key, why),
        }
    }

    fn new_account(&self, id: AccountId, address: Address) -> Result<Option<Mended>, RepairError> {
        let what = format!(
            "account {address} was made again; if it was an administrator's, turned off, or kept what it sends, say so again"
        );
        let record = AccountRecord {
            address,
            disabled: false,
            admin: false,
            saves_sent: false,
            shared: false,
            created_ms: self.inner.runtime.now().unix_ms,
            reserved: (0, 0),
        };
        let writes = vec![(keys::account(id), Some(record.encode()))];
        self.put(writes, Some(id), what)
    }

    /// An account that nothing leads to gets its address back, unless another has it.
    fn address_of_account(
        &self,
        id: AccountId,
        key: &[u8],
        why: &str,
    ) -> Result<Option<Mended>, RepairError> {
        let taken = self.get(key)?.is_some();
        if !taken {
            let record = AddressRecord::Account(id).encode();
            let what = format!("the address {} leads to its account again", key_text(key));
            return self.put(vec![(key.to_vec(), Some(record))], Some(id), what);
        }
        // Somebody else has the address: the account's records go, its mail stays
        // and is given an address of its own.
        let account = keys::account(id);
        if let Some(stored) = self.get(&account)? {
            self.keep(Checker::DirectoryAgrees, &account, &stored, why)?;
        }
        self.remove(&account, why)
    }

    /// An address that leads to no account, or to one with another address.
    fn account_of_address(
        &self,
        id: AccountId,
        key: &[u8],
        why: &str,
    ) -> Result<Option<Mended>, RepairError> {
        let is_there = self.get(&keys::account(id))?.is_some();
        let has_mail = {
            let start = engine::keys::account(id.0);
            let end = engine::keys::end_of(&start);
            let shard = self.inner.engine.shard_of_account(id.0);
            let found =
                self.inner
                    .engine
                    .snapshot(shard)
                    .scan(&start, &end, engine::Order::Ascending, 1);
            !found.map_err(DirectoryError::from)?.is_empty()
        };
        match address_of(key) {
            Some(address) if !is_there && has_mail => self.new_account(id, address),
            _ => {
                if let Some(stored) = self.get(key)? {
                    self.keep(Checker::DirectoryAgrees, key, &stored, why)?;
                }
                self.remove(key, why)
            }
        }
    }

    fn domain(&self, domain: &Domain) -> Result<Option<Mended>, RepairError> {
        let record = DomainRecord {
            created_ms: self.inner.runtime.now().unix_ms,
            administrator: None,
            catch_all: None,
            retention_days: None,
            quota: Quota::default(),
        };
        let what = format!(
            "the domain {domain} was made again; if it had an administrator, a catch-all, a retention or a quota of its own, set them again"
        );
        let writes = vec![(keys::domain(domain), Some(record.encode()))];
        self.put(writes, None, what)
    }

    /// The head counts on from the largest id that is known, and some more: ids
    /// of accounts that were removed are not known any more.
    fn head(&self) -> Result<Option<Mended>, RepairError> {
        let mut largest = self.largest;
        let mut administrator = None;
        let (start, end) = keys::accounts();
        for_each(&*self.snapshot, start, &end, &mut |key, stored| {
            if let Some(id) = keys::split_account(&key) {
                largest = largest.max(id);
                let is_admin =
                    AccountRecord::decode(&stored.value).is_ok_and(|record| record.admin);
                administrator = administrator.or(is_admin.then_some(id));
            }
            Ok(())
        })?;
        let stored = self.get(&keys::head())?;
        let known = stored.and_then(|stored| Head::decode(&stored.value).ok());
        let next = AccountId(largest.0.saturating_add(IDS_SKIPPED));
        let head = Head {
            next_account: known
                .as_ref()
                .map(|head| head.next_account)
                .filter(|&next| next > largest)
                .unwrap_or(next),
            administrator,
        };
        let writes = vec![(keys::head(), Some(head.encode()))];
        let what = "the directory's head was made again".to_owned();
        self.put(writes, None, what)
    }

    /// They stay if an earlier step made their account again.
    fn stray_grants(&self, id: AccountId, why: &str) -> Result<Option<Mended>, RepairError> {
        if self.get(&keys::account(id))?.is_some() {
            return Ok(None);
        }
        self.take_out(&keys::send_as(id), Checker::DirectoryAgrees, why)
    }

    /// Takes back what was granted of a domain that is not there. It stays if an
    /// earlier step made the domain again.
    fn grants_of(
        &self,
        id: AccountId,
        domain: &Domain,
        why: &str,
    ) -> Result<Option<Mended>, RepairError> {
        let key = keys::send_as(id);
        if self.get(&keys::domain(domain))?.is_some() {
            return Ok(None);
        }
        let Some(stored) = self.get(&key)? else {
            return Ok(None);
        };
        let all = SendAs::decode(&stored.value).ok();
        let Some(rest) = all.and_then(|all| without_domain(all, domain)) else {
            return Ok(None);
        };
        self.keep(Checker::DirectoryAgrees, &key, &stored, why)?;
        let rest = (!rest.0.is_empty()).then(|| rest.encode());
        let what = format!("set aside: {why}");
        self.put(vec![(key, rest)], Some(id), what)
    }

    fn remove(&self, key: &[u8], why: &str) -> Result<Option<Mended>, RepairError> {
        let what = format!("set aside: {why}");
        self.put(vec![(key.to_vec(), None)], keys::split_account(key), what)
    }

    fn take_out(
        &self,
        key: &[u8],
        checker: Checker,
        why: &str,
    ) -> Result<Option<Mended>, RepairError> {
        let Some(stored) = self.get(key)? else {
            return Ok(None);
        };
        self.keep(checker, key, &stored, why)?;
        self.remove(key, why)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Versioned>, RepairError> {
        Ok(self.snapshot.get(key).map_err(DirectoryError::from)?)
    }

    fn keep(
        &self,
        checker: Checker,
        key: &[u8],
        stored: &Versioned,
        why: &str,
    ) -> Result<(), RepairError> {
        let is_of_account = matches!(
            kind_of(key),
            Some(Kind::Account | Kind::Credentials | Kind::AppPasswords | Kind::SendAs)
        );
        let account = keys::split_account(key).filter(|_| is_of_account);
        self.aside.keep(&SetAside {
            checker,
            account: account.map(|id| id.0),
            key,
            value: &stored.value,
            why,
        })?;
        Ok(())
    }

    /// Writes with the condition that each key is as it was looked at.
    fn put(
        &self,
        writes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
        account: Option<AccountId>,
        what: String,
    ) -> Result<Option<Mended>, RepairError> {
        let mut batch = Batch::new();
        let mut changes = Changes::new(&mut batch);
        for (key, value) in writes {
            let stored = self.snapshot.get(&key).map_err(DirectoryError::from)?;
            changes.expect(key.clone(), version_of(stored.as_ref()));
            match value {
                Some(value) => changes.put(key, value),
                None => changes.delete(key),
            }
        }
        changes.finish(self.inner);
        match self.inner.engine.submit(batch) {
            Ok(ticket) => drop(ticket.done_blocking()),
            Err(SubmitError::Conflict { .. }) => return Ok(None),
            Err(error) => return Err(DirectoryError::from(error).into()),
        }
        Ok(Some(Mended {
            checker: Checker::DirectoryAgrees,
            account: account.map(|id| id.0),
            what,
        }))
    }
}
