//! How a change is made: writes are collected with their keys, so that memory
//! forgets exactly these in the commit; conflicts are staged anew.

use crate::error::DirectoryError;
use crate::keys;
use crate::login::census::lacks_keys;
use crate::record::credentials::Credentials;
use crate::store::Inner;
use engine::{Batch, CommitNo, Expect, SubmitError, Versioned};
use envelope::AccountId;
use std::sync::Arc;

/// Writes of the directory inside a batch that may hold those of others.
pub(crate) struct Changes<'a> {
    batch: &'a mut Batch,
    keys: Vec<Vec<u8>>,
    /// Accounts whose credentials change, and whether they lack keys for SCRAM then.
    credentials: Vec<(AccountId, bool)>,
}

impl<'a> Changes<'a> {
    pub(crate) fn new(batch: &'a mut Batch) -> Self {
        Self {
            batch,
            keys: Vec::new(),
            credentials: Vec::new(),
        }
    }

    pub(crate) fn put(&mut self, key: Vec<u8>, record: Vec<u8>) {
        if let Some(id) = keys::credentials_of(&key) {
            let lacks = Credentials::decode(&record).is_ok_and(|stored| lacks_keys(&stored));
            self.credentials.push((id, lacks));
        }
        self.batch.put(key.clone(), record);
        self.keys.push(key);
    }

    pub(crate) fn delete(&mut self, key: Vec<u8>) {
        if let Some(id) = keys::credentials_of(&key) {
            self.credentials.push((id, false));
        }
        self.batch.delete(key.clone());
        self.keys.push(key);
    }

    /// The key must still be as it was read.
    pub(crate) fn expect(&mut self, key: Vec<u8>, read: Option<CommitNo>) {
        let expect = read.map_or(Expect::Absent, Expect::Version);
        self.batch.expect(key, expect);
    }

    /// Ends the directory's part of the batch.
    pub(crate) fn finish(self, inner: &Inner) {
        let cache = Arc::clone(&inner.cache);
        let (keys, credentials) = (self.keys, self.credentials);
        let census = Arc::clone(&inner.census);
        self.batch.on_visible(move |_| {
            cache.invalidate(&keys);
            for &(id, lacks) in &credentials {
                census.note(id, lacks);
            }
        });
    }
}

/// The version of what was read.
pub(crate) fn version_of(record: Option<&Versioned>) -> Option<CommitNo> {
    record.map(|record| record.version)
}

impl Inner {
    /// Submits and waits until the commit is durable. `Ok(false)` when another
    /// change came first and the caller must read again.
    pub(crate) async fn submit(&self, batch: Batch) -> Result<bool, DirectoryError> {
        Ok(self.commit(batch).await?.is_some())
    }

    /// `Ok(None)` when another change came first.
    pub(crate) async fn commit(&self, batch: Batch) -> Result<Option<CommitNo>, DirectoryError> {
        match self.engine.submit(batch) {
            Ok(ticket) => Ok(Some(ticket.done().await)),
            Err(SubmitError::Conflict { winner, .. }) => {
                winner.visible().await;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}
