//! The handle, and how it reads records.

use crate::cache::RecordCache;
use crate::error::DirectoryError;
use crate::keys;
use crate::limits::{RECORD_CACHE_ENTRIES, SCAN_PAGE};
use crate::login::cache::LoginCache;
use crate::login::census::Census;
use crate::login::throttle::Throttle;
use crate::options::Options;
use crate::password::HashLine;
use crate::record::account::AccountRecord;
use crate::record::address::AddressRecord;
use crate::record::domain::DomainRecord;
use crate::record::head::Head;
use engine::{Order, SharedEngine, Versioned};
use envelope::{AccountId, Address, Domain};
use runtime::Runtime;
use std::fmt;
use std::sync::Arc;
use wire::codec::DecodeError;

/// The directory of one installation.
#[derive(Clone)]
pub struct Directory {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) engine: SharedEngine,
    pub(crate) runtime: Runtime,
    pub(crate) options: Options,
    pub(crate) cache: Arc<RecordCache>,
    pub(crate) hashes: HashLine,
    pub(crate) logins: LoginCache,
    pub(crate) throttle: Throttle,
    pub(crate) census: Arc<Census>,
    /// Changes of this process go one after the other; those of another
    /// process are caught by conditions.
    pub(crate) changing: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").finish_non_exhaustive()
    }
}

impl Directory {
    /// A directory over `engine`'s shard 0. Reads nothing yet.
    #[must_use]
    pub fn new(engine: SharedEngine, runtime: Runtime, options: Options) -> Self {
        let hashes = HashLine::new(&runtime, options.hashes_at_once);
        let inner = Inner {
            engine,
            hashes,
            logins: LoginCache::new(&runtime),
            throttle: Throttle::new(&runtime, options.login.clone()),
            census: Arc::default(),
            runtime,
            options,
            cache: Arc::new(RecordCache::new(RECORD_CACHE_ENTRIES)),
            changing: tokio::sync::Mutex::new(()),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The account with this id.
    ///
    /// # Errors
    /// The store cannot be read, or the record is damaged.
    pub async fn account(
        &self,
        id: AccountId,
    ) -> Result<Option<crate::account::Account>, DirectoryError> {
        let record = self.inner.account_record(id).await?;
        Ok(record.map(|record| crate::account::Account::new(id, record)))
    }
}

impl Inner {
    pub(crate) async fn head(&self) -> Result<Head, DirectoryError> {
        let record = self.record(keys::head()).await?;
        Ok(decode(&keys::head(), record, Head::decode)?.unwrap_or_default())
    }

    pub(crate) async fn domain_record(
        &self,
        domain: &Domain,
    ) -> Result<Option<DomainRecord>, DirectoryError> {
        let key = keys::domain(domain);
        let record = self.record(key.clone()).await?;
        decode(&key, record, DomainRecord::decode)
    }

    /// `local` must be folded.
    pub(crate) async fn address_record(
        &self,
        domain: &Domain,
        local: &str,
    ) -> Result<Option<AddressRecord>, DirectoryError> {
        let key = keys::local(domain, local);
        let record = self.record(key.clone()).await?;
        decode(&key, record, AddressRecord::decode)
    }

    pub(crate) async fn account_record(
        &self,
        id: AccountId,
    ) -> Result<Option<AccountRecord>, DirectoryError> {
        let key = keys::account(id);
        let record = self.record(key.clone()).await?;
        decode(&key, record, AccountRecord::decode)
    }

    /// The id behind a primary address.
    pub(crate) async fn account_at(&self, address: &Address) -> Result<AccountId, DirectoryError> {
        match self
            .address_record(address.domain(), &address.local().to_key())
            .await?
        {
            Some(AddressRecord::Account(id)) => Ok(id),
            _ => Err(DirectoryError::NoSuchAccount(address.clone())),
        }
    }

    /// A record, from memory where it is.
    pub(crate) async fn record(&self, key: Vec<u8>) -> Result<Option<Versioned>, DirectoryError> {
        if let Some(record) = self.cache.get(&key) {
            return Ok(record);
        }
        let began = self.cache.begin_read();
        let record = self.fresh(key.clone()).await?;
        self.cache.keep(began, key, record.clone());
        Ok(record)
    }

    /// A record as the store has it now.
    pub(crate) async fn fresh(&self, key: Vec<u8>) -> Result<Option<Versioned>, DirectoryError> {
        let engine = self.engine.clone();
        let read = self
            .runtime
            .blocking(move || engine.snapshot(keys::SHARD).get(&key));
        Ok(read.await?)
    }

    /// Up to `limit` records of a range, in order.
    pub(crate) async fn scan(
        &self,
        (start, end): (Vec<u8>, Vec<u8>),
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Versioned)>, DirectoryError> {
        let engine = self.engine.clone();
        let read = self.runtime.blocking(move || {
            let mut found = Vec::new();
            let mut from = start;
            let snapshot = engine.snapshot(keys::SHARD);
            while found.len() < limit {
                let wanted = SCAN_PAGE.min(limit - found.len());
                let page = snapshot.scan(&from, &end, Order::Ascending, wanted)?;
                let complete = page.len() < wanted;
                found.extend(page);
                match found.last() {
                    // The next key that can be: the last one and a zero byte.
                    Some((key, _)) if !complete => {
                        from = key.clone();
                        from.push(0);
                    }
                    _ => break,
                }
            }
            Ok::<_, engine::ReadError>(found)
        });
        Ok(read.await?)
    }
}

/// Decodes a record of a listing. One that is damaged is left out and told:
/// it must not hide the others.
pub(crate) fn decode_listed<T>(
    key: &[u8],
    record: &Versioned,
    decode: impl FnOnce(&[u8]) -> Result<T, DecodeError>,
) -> Option<T> {
    decode(&record.value)
        .inspect_err(|error| {
            let key = key.escape_ascii();
            tracing::error!(%key, %error, "a record of the directory is damaged; see `posthouse fsck`");
        })
        .ok()
}

/// Decodes a record, with its key in the error.
pub(crate) fn decode<T>(
    key: &[u8],
    record: Option<Versioned>,
    decode: impl FnOnce(&[u8]) -> Result<T, DecodeError>,
) -> Result<Option<T>, DirectoryError> {
    record
        .map(|record| decode(&record.value))
        .transpose()
        .map_err(|source| DirectoryError::Damaged {
            key: key.escape_ascii().to_string(),
            source,
        })
}
