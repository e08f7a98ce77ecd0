//! Accounts: added, listed, changed, removed.
//!
//! An account is its records here and its log in `mailstore`, which also has what it may hold. Where both are in
//! one shard they begin in one commit; otherwise the id is taken first, then the
//! mail side is made, then the records: what fails on the way leaves an empty
//! log that nothing leads to, never an account without one. Removal goes the
//! other way round.

use crate::changes::{Changes, version_of};
use crate::error::DirectoryError;
use crate::keys;
use crate::limits::{CONFLICTS_MAX, LISTED_MAX};
use crate::record::account::AccountRecord;
use crate::record::address::AddressRecord;
use crate::record::credentials::{Credentials, Stored};
use crate::record::head::Head;
use crate::store::{Directory, Inner, decode, decode_listed};
use engine::{Batch, CommitNo};
use envelope::{AccountId, Address, Domain};
use sasl::Secret;
use sasl::imported::Imported;

/// An account as the rest of the system sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id, never given twice.
    pub id: AccountId,
    /// Its primary address, as it was given.
    pub address: Address,
    /// Neither logs in nor receives.
    pub disabled: bool,
    /// May administer the system.
    pub admin: bool,
    /// What it submits is filed in its Sent mailbox.
    pub saves_sent: bool,
    /// It is several people's: what they see of it is in the shared namespace.
    pub shared: bool,
    /// When it was added, in milliseconds since 1970.
    pub created_ms: u64,
}

impl Account {
    pub(crate) fn new(id: AccountId, record: AccountRecord) -> Self {
        Self {
            id,
            address: record.address,
            disabled: record.disabled,
            admin: record.admin,
            saves_sent: record.saves_sent,
            shared: record.shared,
            created_ms: record.created_ms,
        }
    }
}

/// What an account begins with.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Its primary address; the domain must exist.
    pub address: Address,
    /// Its password; without one it receives but nobody logs in.
    pub password: Option<Secret>,
    /// The hash of its password at another system, if there is no password.
    pub imported: Option<Imported>,
    /// May administer the system. The first one answers for it.
    pub admin: bool,
}

impl NewAccount {
    /// An account of a person.
    #[must_use]
    pub fn new(address: Address, password: Option<Secret>) -> Self {
        Self {
            address,
            password,
            imported: None,
            admin: false,
        }
    }
}

/// One change of an account.
#[derive(Debug, Clone)]
pub enum AccountChange {
    /// A new password; every remembered login ends with this commit.
    Password(Secret),
    /// The hash of the password at another system; as above.
    ImportedHash(Imported),
    /// Turned off (`true`) or on again.
    Disabled(bool),
    /// May administer the system or not.
    Admin(bool),
    /// What it submits is filed in its Sent mailbox or not.
    SavesSent(bool),
    /// Several people's or not.
    Shared(bool),
}

/// Stages what `mailstore` has to say to a new or removed account. Called anew
/// for each attempt.
pub type StageMail<'a> = &'a (dyn Fn(&mut Batch, AccountId) -> Result<(), String> + Send + Sync);

/// A new account with its id and everything that its records say, checked
/// against the directory as it was read.
#[derive(Debug, Clone)]
pub struct PreparedAccount {
    id: AccountId,
    record: AccountRecord,
    credentials: Option<Credentials>,
    head: Head,
    head_version: Option<CommitNo>,
    domain_version: Option<CommitNo>,
}

impl PreparedAccount {
    /// The id that the account gets if the batch is taken.
    #[must_use]
    pub fn id(&self) -> AccountId {
        self.id
    }
}

impl Directory {
    /// Adds an account. `stage_mail` adds the account's own log to the batch.
    ///
    /// # Errors
    /// No such domain, address in use, unusable password, or the store's.
    pub async fn account_add(
        &self,
        new: NewAccount,
        stage_mail: StageMail<'_>,
    ) -> Result<Account, DirectoryError> {
        let inner = &self.inner;
        let credentials = inner.new_credentials(&new).await?;
        let _changing = inner.changing.lock().await;
        for _ in 0..CONFLICTS_MAX {
            let prepared = inner.prepare_account(&new, credentials.clone()).await?;
            if inner.add_prepared(&prepared, stage_mail).await? {
                return Ok(Account::new(prepared.id, prepared.record));
            }
        }
        Err(DirectoryError::Contended)
    }

    /// Reads what a new account depends on and hashes its password, for
    /// [`Directory::stage_account_add`].
    ///
    /// # Errors
    /// As [`Directory::account_add`].
    pub async fn prepare_account(
        &self,
        new: &NewAccount,
    ) -> Result<PreparedAccount, DirectoryError> {
        let credentials = self.inner.new_credentials(new).await?;
        self.inner.prepare_account(new, credentials).await
    }

    /// Adds the account's records to a batch of shard 0. On a conflict prepare anew.
    pub fn stage_account_add(&self, batch: &mut Batch, prepared: &PreparedAccount) {
        self.inner.stage_account_add(batch, prepared);
    }

    /// Removes an account: nobody logs in or receives from this commit on.
    /// `stage_mail` removes its log, in the same commit where that is in shard 0.
    ///
    /// # Errors
    /// No such account, or the store's.
    pub async fn account_remove(
        &self,
        address: &Address,
        stage_mail: StageMail<'_>,
    ) -> Result<AccountId, DirectoryError> {
        let _changing = self.inner.changing.lock().await;
        self.inner.remove_account(address, stage_mail).await
    }

    /// Changes an account.
    ///
    /// # Errors
    /// No such account, unusable password, or the store's.
    pub async fn account_change(
        &self,
        address: &Address,
        change: AccountChange,
    ) -> Result<Account, DirectoryError> {
        let inner = &self.inner;
        if let AccountChange::Password(password) = &change {
            return self.set_password(address, password).await;
        }
        let _changing = inner.changing.lock().await;
        for _ in 0..CONFLICTS_MAX {
            let (id, mut record, version) = inner.read_account(address).await?;
            match &change {
                AccountChange::Password(_) | AccountChange::ImportedHash(_) => {}
                AccountChange::Disabled(disabled) => record.disabled = *disabled,
                AccountChange::Admin(admin) => record.admin = *admin,
                AccountChange::SavesSent(saves) => record.saves_sent = *saves,
                AccountChange::Shared(shared) => record.shared = *shared,
            }
            let mut batch = Batch::new();
            let mut changes = Changes::new(&mut batch);
            changes.expect(keys::account(id), version);
            match &change {
                AccountChange::ImportedHash(hash) => {
                    let credentials = inner.imported(hash.clone());
                    changes.put(keys::credentials(id), credentials.encode());
                }
                _ => changes.put(keys::account(id), record.encode()),
            }
            changes.finish(inner);
            if inner.submit(batch).await? {
                return Ok(Account::new(id, record));
            }
        }
        Err(DirectoryError::Contended)
    }

    /// Sets a password with the SCRAM salts that the application passwords have.
    async fn set_password(
        &self,
        address: &Address,
        password: &Secret,
    ) -> Result<Account, DirectoryError> {
        let inner = &self.inner;
        for _ in 0..CONFLICTS_MAX {
            let (id, record, version) = inner.read_account(address).await?;
            let (salts, salts_version) = inner.new_password_salts(id).await?;
            let credentials = inner.hash_password(password, salts).await?;
            let _changing = inner.changing.lock().await;
            let mut batch = Batch::new();
            let mut changes = Changes::new(&mut batch);
            changes.expect(keys::account(id), version);
            changes.expect(keys::app_passwords(id), salts_version);
            changes.put(keys::credentials(id), credentials.encode());
            changes.finish(inner);
            if inner.submit(batch).await? {
                return Ok(Account::new(id, record));
            }
        }
        Err(DirectoryError::Contended)
    }

    /// The account with this primary address.
    ///
    /// # Errors
    /// No such account, or the store's.
    pub async fn account_show(&self, address: &Address) -> Result<Account, DirectoryError> {
        let (id, record, _) = self.inner.read_account(address).await?;
        Ok(Account::new(id, record))
    }

    /// All accounts by id, or those of one domain by address.
    ///
    /// # Errors
    /// The store's, or a damaged record.
    pub async fn account_list(
        &self,
        domain: Option<&Domain>,
    ) -> Result<Vec<Account>, DirectoryError> {
        let Some(domain) = domain else {
            let mut accounts = Vec::new();
            for (key, record) in self.inner.scan(keys::accounts(), LISTED_MAX).await? {
                let record = decode_listed(&key, &record, AccountRecord::decode);
                let id = keys::split_account(&key);
                accounts.extend(id.zip(record).map(|(id, record)| Account::new(id, record)));
            }
            return Ok(accounts);
        };
        let mut accounts = Vec::new();
        for id in self.inner.accounts_of(domain, LISTED_MAX).await? {
            match self.account(id).await {
                Ok(account) => accounts.extend(account),
                Err(error @ DirectoryError::Damaged { .. }) => {
                    tracing::error!(account = %id, %error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(accounts)
    }
}

impl Inner {
    async fn new_credentials(
        &self,
        new: &NewAccount,
    ) -> Result<Option<Credentials>, DirectoryError> {
        Ok(match (&new.password, &new.imported) {
            (Some(password), _) => Some(self.hash_new_password(password).await?),
            (None, Some(hash)) => Some(self.imported(hash.clone())),
            (None, None) => None,
        })
    }

    /// What is stored of a hash of another system: no keys for SCRAM yet.
    fn imported(&self, hash: Imported) -> Credentials {
        Credentials {
            set_ms: self.runtime.now().unix_ms,
            password: Stored::Imported(hash),
            scram: Vec::new(),
        }
    }

    async fn prepare_account(
        &self,
        new: &NewAccount,
        credentials: Option<Credentials>,
    ) -> Result<PreparedAccount, DirectoryError> {
        let domain = new.address.domain();
        let domain_record = self.fresh(keys::domain(domain)).await?;
        if domain_record.is_none() {
            return Err(DirectoryError::NoSuchDomain(domain.clone()));
        }
        if self.fresh(keys::address(&new.address)).await?.is_some() {
            return Err(DirectoryError::AddressTaken(new.address.clone()));
        }
        let head_record = self.fresh(keys::head()).await?;
        let head_version = version_of(head_record.as_ref());
        let mut head = decode(&keys::head(), head_record, Head::decode)?.unwrap_or_default();
        let id = head.next_account;
        head.next_account = AccountId(id.0 + 1);
        if new.admin {
            head.administrator = head.administrator.or(Some(id));
        }
        Ok(PreparedAccount {
            id,
            record: AccountRecord {
                address: new.address.clone(),
                disabled: false,
                saves_sent: false,
                shared: false,
                admin: new.admin,
                created_ms: self.runtime.now().unix_ms,
                reserved: (0, 0),
            },
            credentials,
            head,
            head_version,
            domain_version: version_of(domain_record.as_ref()),
        })
    }

    /// One attempt; `Ok(false)` asks to prepare anew.
    async fn add_prepared(
        &self,
        prepared: &PreparedAccount,
        stage_mail: StageMail<'_>,
    ) -> Result<bool, DirectoryError> {
        let id = prepared.id;
        if self.engine.shard_of_account(id.0) == keys::SHARD {
            let mut batch = Batch::new();
            self.stage_account_add(&mut batch, prepared);
            stage_mail(&mut batch, id).map_err(DirectoryError::Mail)?;
            return self.submit(batch).await;
        }
        let mut prepared = prepared.clone();
        let mut batch = Batch::new();
        let mut changes = Changes::new(&mut batch);
        changes.expect(keys::head(), prepared.head_version);
        changes.put(keys::head(), prepared.head.encode());
        changes.finish(self);
        let Some(commit) = self.commit(batch).await? else {
            return Ok(false);
        };
        prepared.head_version = Some(commit);
        let mut batch = Batch::new();
        stage_mail(&mut batch, id).map_err(DirectoryError::Mail)?;
        if !self.submit(batch).await? {
            return Ok(false);
        }
        let mut batch = Batch::new();
        self.stage_account_add(&mut batch, &prepared);
        self.submit(batch).await
    }

    fn stage_account_add(&self, batch: &mut Batch, prepared: &PreparedAccount) {
        let PreparedAccount { id, record, .. } = prepared;
        let mut changes = Changes::new(batch);
        changes.expect(keys::head(), prepared.head_version);
        changes.expect(
            keys::domain(record.address.domain()),
            prepared.domain_version,
        );
        changes.expect(keys::address(&record.address), None);
        changes.expect(keys::account(*id), None);
        changes.put(keys::head(), prepared.head.encode());
        changes.put(keys::account(*id), record.encode());
        changes.put(
            keys::address(&record.address),
            AddressRecord::Account(*id).encode(),
        );
        let mut number = wire::codec::Writer::new();
        number.varint(id.0);
        changes.put(keys::name(&record.address), number.finish());
        if let Some(credentials) = &prepared.credentials {
            changes.put(keys::credentials(*id), credentials.encode());
        }
        changes.finish(self);
    }

    pub(crate) async fn remove_account(
        &self,
        address: &Address,
        stage_mail: StageMail<'_>,
    ) -> Result<AccountId, DirectoryError> {
        for _ in 0..CONFLICTS_MAX {
            let (id, _, version) = self.read_account(address).await?;
            let head_record = self.fresh(keys::head()).await?;
            let head_version = version_of(head_record.as_ref());
            let mut head = decode(&keys::head(), head_record, Head::decode)?.unwrap_or_default();
            let mut batch = Batch::new();
            let mut changes = Changes::new(&mut batch);
            changes.expect(keys::account(id), version);
            for key in [
                keys::account(id),
                keys::credentials(id),
                keys::app_passwords(id),
                keys::send_as(id),
                keys::address(address),
                keys::name(address),
            ] {
                changes.delete(key);
            }
            if head.administrator == Some(id) {
                head.administrator = self.another_administrator(id).await?;
                changes.expect(keys::head(), head_version);
                changes.put(keys::head(), head.encode());
            }
            changes.finish(self);
            let together = self.engine.shard_of_account(id.0) == keys::SHARD;
            if together {
                stage_mail(&mut batch, id).map_err(DirectoryError::Mail)?;
            }
            if !self.submit(batch).await? {
                continue;
            }
            if !together {
                let mut batch = Batch::new();
                stage_mail(&mut batch, id).map_err(DirectoryError::Mail)?;
                self.submit(batch).await?;
            }
            return Ok(id);
        }
        Err(DirectoryError::Contended)
    }

    async fn another_administrator(
        &self,
        than: AccountId,
    ) -> Result<Option<AccountId>, DirectoryError> {
        for (key, record) in self.scan(keys::accounts(), LISTED_MAX).await? {
            let record = decode_listed(&key, &record, AccountRecord::decode);
            let id = keys::split_account(&key).filter(|&id| id != than);
            if id.is_some() && record.is_some_and(|record| record.admin) {
                return Ok(id);
            }
        }
        Ok(None)
    }

    pub(crate) async fn read_account(
        &self,
        address: &Address,
    ) -> Result<(AccountId, AccountRecord, Option<CommitNo>), DirectoryError> {
        let id = self.account_at(address).await?;
        let key = keys::account(id);
        let record = self.fresh(key.clone()).await?;
        let version = version_of(record.as_ref());
        let record = decode(&key, record, AccountRecord::decode)?
            .ok_or_else(|| DirectoryError::NoSuchAccount(address.clone()))?;
        Ok((id, record, version))
    }

    /// Ids of the accounts whose primary address is in `domain`.
    pub(crate) async fn accounts_of(
        &self,
        domain: &Domain,
        limit: usize,
    ) -> Result<Vec<AccountId>, DirectoryError> {
        let mut ids = Vec::new();
        for (key, record) in self.scan(keys::addresses_of(domain), LISTED_MAX).await? {
            let record = decode_listed(&key, &record, AddressRecord::decode);
            if let Some(AddressRecord::Account(id)) = record {
                ids.push(id);
            }
            if ids.len() == limit {
                break;
            }
        }
        Ok(ids)
    }
}
