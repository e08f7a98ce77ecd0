//! What a repair does to blobs and links. What may still be good is never
//! removed: a record is set aside first, a body's bytes stay in the journal
//! until collection.

use crate::id::BlobId;
use crate::link::{self, Key, Owner};
use crate::store::{BlobError, Blobs};
use crate::unlinked::{self, Candidate};
use engine::check::{Aside, Checker, SetAside};
use engine::{Batch, Expect, Order, ReadError, ShardId, Snapshot, SubmitError, keys};
use std::collections::BTreeSet;
use std::io;
use thiserror::Error;

/// Why a repair did not come to its end. What it did before stays done.
#[derive(Debug, Error)]
pub enum RepairError {
    /// A record could not be set aside.
    #[error("a record could not be set aside: {0}")]
    Aside(#[from] io::Error),
    /// Blobs could not be read or written.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// Pairs read at a time.
const PAGE: usize = 1000;

impl Blobs {
    /// Sets aside a key that is none of ours, or the record of a blob whose bytes
    /// are lost, and removes it; false when it changed meanwhile.
    ///
    /// # Errors
    /// See [`RepairError`].
    pub fn set_aside(
        &self,
        shard: ShardId,
        key: &[u8],
        (checker, why): (Checker, &str),
        aside: &dyn Aside,
    ) -> Result<bool, RepairError> {
        let stored = self.engine().snapshot(shard).get(key);
        let Some(stored) = stored.map_err(BlobError::from)? else {
            return Ok(false);
        };
        aside.keep(&SetAside {
            checker,
            account: None,
            key,
            value: &stored.value,
            why,
        })?;
        let mut batch = Batch::new();
        batch.expect(key.to_vec(), Expect::Version(stored.version));
        batch.delete(key.to_vec());
        self.submit_repair(batch)
    }

    /// The key of a blob's record.
    #[must_use]
    pub fn record_key(shard: ShardId, id: BlobId) -> Vec<u8> {
        link::record_key(shard, id)
    }

    /// True if the blob's bytes can't be had any more: they are damaged, gone or
    /// others. A disk that refuses to read is an error, not a loss.
    ///
    /// # Errors
    /// The disk refuses, or the index cannot be read.
    pub fn is_lost(&self, shard: ShardId, id: BlobId) -> Result<bool, BlobError> {
        match crate::fsck::name_of(self, shard, id) {
            Ok(name) => Ok(name != id),
            Err(BlobError::Read(ReadError::Io(error))) => Err(ReadError::Io(error).into()),
            // Somebody removed it just now.
            Err(BlobError::NoSuchBlob) => Ok(false),
            Err(_) => Ok(true),
        }
    }

    /// Tells collection of a blob that nobody uses; false when somebody else did
    /// something with it just now.
    ///
    /// # Errors
    /// See [`RepairError`].
    pub fn note_unlinked(&self, shard: ShardId, id: BlobId) -> Result<bool, RepairError> {
        let mut batch = Batch::new();
        let key = unlinked::key(shard, id);
        batch.expect(key.clone(), Expect::Absent);
        batch.put(key, Candidate::New.encode());
        self.submit_repair(batch)
    }

    /// Removes the link of an owner that has not this body; false when the link
    /// changed meanwhile. The caller has seen in the snapshot that the owner is gone.
    ///
    /// # Errors
    /// See [`RepairError`].
    pub fn remove_link(
        &self,
        snapshot: &dyn Snapshot,
        shard: ShardId,
        id: BlobId,
        owner: Owner,
    ) -> Result<bool, RepairError> {
        let key = link::link_key(shard, id, owner);
        let Some(stored) = snapshot.get(&key).map_err(BlobError::from)? else {
            return Ok(false);
        };
        let mut batch = Batch::new();
        batch.expect(key, Expect::Version(stored.version));
        self.unlink(&mut batch, shard, id, owner);
        self.submit_repair(batch)
    }

    /// Adds a link that is missing, with the condition that the blob stays as it
    /// is; false when the blob is not there. The snapshot is of `shard`.
    ///
    /// # Errors
    /// The snapshot cannot be read.
    pub fn stage_missing_link(
        &self,
        batch: &mut Batch,
        (snapshot, shard): (&dyn Snapshot, ShardId),
        id: BlobId,
        owner: Owner,
    ) -> Result<bool, BlobError> {
        let key = link::record_key(shard, id);
        let Some(stored) = snapshot.get(&key)? else {
            return Ok(false);
        };
        batch.expect(key, Expect::Version(stored.version));
        self.link(batch, shard, id, owner);
        Ok(true)
    }

    /// The blobs that these owners have links to, in order of the blobs.
    ///
    /// # Errors
    /// The snapshot, which is of `shard`, cannot be read.
    pub fn owned_by(
        &self,
        snapshot: &dyn Snapshot,
        shard: ShardId,
        owners: &BTreeSet<Owner>,
    ) -> Result<Vec<(BlobId, Owner)>, BlobError> {
        let mut found = Vec::new();
        let mut start = keys::blob(shard);
        let end = keys::end_of(&start);
        while !owners.is_empty() {
            let pairs = snapshot.scan(&start, &end, Order::Ascending, PAGE)?;
            let Some((last, _)) = pairs.last() else {
                break;
            };
            start.clone_from(last);
            start.push(0);
            for (key, _) in pairs {
                if let Some(Key::Link(id, owner)) = link::parse(&key)
                    && owners.contains(&owner)
                {
                    found.push((id, owner));
                }
            }
        }
        Ok(found)
    }

    fn submit_repair(&self, batch: Batch) -> Result<bool, RepairError> {
        match self.engine().submit(batch) {
            Ok(ticket) => {
                ticket.done_blocking();
                Ok(true)
            }
            Err(SubmitError::Conflict { .. }) => Ok(false),
            Err(error) => Err(BlobError::from(error).into()),
        }
    }
}
