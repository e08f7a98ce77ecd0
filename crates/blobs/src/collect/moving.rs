//! Moves bodies to the journal's end: bytes first, then the record that names
//! them, on the condition that it is the one that was read.

use crate::id::BlobId;
use crate::limits::MOVE_BYTES;
use crate::link;
use crate::record::Record;
use crate::store::{BlobError, Blobs};
use engine::{Batch, CommitNo, Expect, ShardId, SubmitError};
use std::collections::BTreeSet;

/// Records with new places, on their way into a commit.
#[derive(Debug)]
pub(super) struct Moves<'a> {
    blobs: &'a Blobs,
    shard: ShardId,
    records: Vec<(BlobId, CommitNo, Vec<u8>)>,
    bytes: u64,
    unreadable: BTreeSet<u32>,
}

impl<'a> Moves<'a> {
    pub(super) fn new(blobs: &'a Blobs, shard: ShardId) -> Self {
        Self {
            blobs,
            shard,
            records: Vec::new(),
            bytes: 0,
            unreadable: BTreeSet::new(),
        }
    }

    /// Stored bytes that were put again.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Segments with bodies that could not be read.
    pub(super) fn take_unreadable(&mut self) -> BTreeSet<u32> {
        std::mem::take(&mut self.unreadable)
    }

    /// Puts again what lies in the wanted segments; false when there was too
    /// much of it for one step.
    pub(super) fn add(
        &mut self,
        id: BlobId,
        version: CommitNo,
        mut record: Record,
        wanted: &dyn Fn(u32) -> bool,
    ) -> Result<bool, BlobError> {
        let mut changed = false;
        let mut whole = true;
        for chunk in &mut record.chunks {
            let old = chunk.extent;
            if !wanted(old.segment()) || self.unreadable.contains(&old.segment()) {
                continue;
            }
            if self.bytes >= MOVE_BYTES {
                whole = false;
                break;
            }
            let Ok(body) = self.blobs.engine().read_body(&old) else {
                self.unreadable.insert(old.segment());
                continue;
            };
            chunk.extent = self.blobs.engine().put_body(self.shard, &body)?;
            self.bytes += u64::from(old.stored_len());
            changed = true;
        }
        if changed {
            self.records.push((id, version, record.encode()));
        }
        Ok(whole)
    }

    /// Commits the new places and waits until they are visible; the first of
    /// those that changed meanwhile.
    pub(super) fn submit(mut self) -> Result<Option<BlobId>, BlobError> {
        let mut changed: Option<BlobId> = None;
        while !self.records.is_empty() {
            let mut batch = Batch::new();
            let mut taken = 0;
            for (id, version, record) in &self.records {
                if taken > 0 && batch.size_bytes() + record.len() > COMMIT_BYTES {
                    break;
                }
                let key = link::record_key(self.shard, *id);
                batch.expect(key.clone(), Expect::Version(*version));
                batch.put(key, record.clone());
                taken += 1;
            }
            match self.blobs.engine().submit(batch) {
                Ok(ticket) => {
                    ticket.done_blocking();
                    self.records.drain(..taken);
                }
                Err(SubmitError::Conflict { key, .. }) => {
                    let lost = |id: BlobId| link::record_key(self.shard, id) == key;
                    let at = self.records.iter().position(|(id, ..)| lost(*id));
                    let at = at.expect("a conflict names a condition's key");
                    let (id, ..) = self.records.remove(at);
                    changed = Some(changed.map_or(id, |first| first.min(id)));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(changed)
    }
}

/// Records in one commit: well below what the engine takes, above what the
/// record of the longest blob has.
const COMMIT_BYTES: usize = 512 << 10;
