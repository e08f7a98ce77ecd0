//! A store in memory that counts what is read of it.

use bytes::Bytes;
use engine::{
    Batch, Engine, Extent, MemoryEngine, Order, ReadError, ShardId, Snapshot, Stats, SubmitError,
    Ticket, Versioned,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Pieces of bodies, and values of keys.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reads {
    pub(super) bodies: u64,
    pub(super) values: u64,
}

#[derive(Debug, Default)]
struct Counters {
    bodies: AtomicU64,
    values: AtomicU64,
}

#[derive(Debug)]
pub(super) struct Counting {
    inner: MemoryEngine,
    counters: Arc<Counters>,
}

impl Counting {
    pub(super) fn new(inner: MemoryEngine) -> Self {
        Self {
            inner,
            counters: Arc::default(),
        }
    }

    /// What was read since it was asked last.
    pub(super) fn reads(&self) -> Reads {
        Reads {
            bodies: self.counters.bodies.swap(0, Ordering::Relaxed),
            values: self.counters.values.swap(0, Ordering::Relaxed),
        }
    }

    /// Octets of bodies that were written.
    pub(super) fn written(&self) -> u64 {
        self.inner.stats().body_bytes
    }
}

impl Engine for Counting {
    fn shards(&self) -> u16 {
        self.inner.shards()
    }

    fn shard_of_account(&self, account: u64) -> ShardId {
        self.inner.shard_of_account(account)
    }

    fn put_body(&self, shard: ShardId, frame: &[u8]) -> Result<Extent, SubmitError> {
        self.inner.put_body(shard, frame)
    }

    fn read_body(&self, extent: &Extent) -> Result<Bytes, ReadError> {
        self.counters.bodies.fetch_add(1, Ordering::Relaxed);
        self.inner.read_body(extent)
    }

    fn submit(&self, batch: Batch) -> Result<Ticket, SubmitError> {
        self.inner.submit(batch)
    }

    fn snapshot(&self, shard: ShardId) -> Box<dyn Snapshot> {
        Box::new(CountingSnapshot {
            inner: self.inner.snapshot(shard),
            counters: Arc::clone(&self.counters),
        })
    }

    fn has_room_for(&self, bytes: u64) -> bool {
        self.inner.has_room_for(bytes)
    }

    fn stats(&self) -> Stats {
        self.inner.stats()
    }
}

/// Its other ways to read go by these two.
struct CountingSnapshot {
    inner: Box<dyn Snapshot>,
    counters: Arc<Counters>,
}

impl Snapshot for CountingSnapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        self.counters.values.fetch_add(1, Ordering::Relaxed);
        self.inner.get(key)
    }

    fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        order: Order,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Versioned)>, ReadError> {
        let pairs = self.inner.scan(start, end, order, limit)?;
        let values = &self.counters.values;
        values.fetch_add(pairs.len() as u64, Ordering::Relaxed);
        Ok(pairs)
    }
}
