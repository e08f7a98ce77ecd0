//! An engine that counts the emails' records and the bodies that are read.

use bytes::Bytes;
use engine::{
    Batch, Engine, Extent, MemoryEngine, Order, ReadError, ShardId, Snapshot, Stats, SubmitError,
    Ticket, Versioned,
};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug)]
pub(super) struct Counting {
    engine: MemoryEngine,
    reads: Arc<AtomicUsize>,
}

impl Counting {
    pub(super) fn new() -> Self {
        Self {
            engine: MemoryEngine::new(3),
            reads: Arc::default(),
        }
    }

    /// Records of emails and frames of bodies that were read since the last call.
    pub(super) fn take(&self) -> usize {
        self.reads.swap(0, Ordering::Relaxed)
    }
}

fn note(reads: &AtomicUsize, key: &[u8]) {
    // By the letter behind the account's number (`mailstore::keys`).
    if key.get(9) == Some(&b'e') {
        reads.fetch_add(1, Ordering::Relaxed);
    }
}

impl Engine for Counting {
    fn shards(&self) -> u16 {
        self.engine.shards()
    }

    fn shard_of_account(&self, account: u64) -> ShardId {
        self.engine.shard_of_account(account)
    }

    fn put_body(&self, shard: ShardId, frame: &[u8]) -> Result<Extent, SubmitError> {
        self.engine.put_body(shard, frame)
    }

    fn read_body(&self, extent: &Extent) -> Result<Bytes, ReadError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.engine.read_body(extent)
    }

    fn submit(&self, batch: Batch) -> Result<Ticket, SubmitError> {
        self.engine.submit(batch)
    }

    fn snapshot(&self, shard: ShardId) -> Box<dyn Snapshot> {
        Box::new(CountingSnapshot {
            snapshot: self.engine.snapshot(shard),
            reads: Arc::clone(&self.reads),
        })
    }

    fn has_room_for(&self, bytes: u64) -> bool {
        self.engine.has_room_for(bytes)
    }

    fn stats(&self) -> Stats {
        self.engine.stats()
    }
}

struct CountingSnapshot {
    snapshot: Box<dyn Snapshot>,
    reads: Arc<AtomicUsize>,
}

impl Snapshot for CountingSnapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        note(&self.reads, key);
        self.snapshot.get(key)
    }

    fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        order: Order,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Versioned)>, ReadError> {
        let found = self.snapshot.scan(start, end, order, limit)?;
        found.iter().for_each(|(key, _)| note(&self.reads, key));
        Ok(found)
    }

    fn visit(
        &self,
        start: &[u8],
        end: &[u8],
        f: &mut dyn FnMut(&[u8], Versioned) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        self.snapshot.visit(start, end, &mut |key, value| {
            note(&self.reads, key);
            f(key, value)
        })
    }
}
