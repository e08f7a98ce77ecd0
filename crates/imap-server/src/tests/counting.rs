//! An engine that counts what is read of accounts.

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
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    emails: AtomicUsize,
    pages: AtomicUsize,
    bodies: AtomicUsize,
    /// Records of every kind.
    all: AtomicUsize,
    /// Bytes of commits.
    written: AtomicUsize,
}

impl Counts {
    /// By the letter behind the account's number (`mailstore::keys`).
    fn note(&self, key: &[u8]) {
        self.all.fetch_add(1, Ordering::Relaxed);
        match key.get(9) {
            Some(b'e') => self.emails.fetch_add(1, Ordering::Relaxed),
            Some(b'i' | b'j') => self.pages.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
    }
}

impl Counting {
    pub(super) fn new(engine: MemoryEngine) -> Self {
        let counts = Arc::default();
        Self { engine, counts }
    }

    /// Records of emails, pages of lists and frames of bodies that were read since the last call.
    pub(super) fn take(&self) -> (usize, usize, usize) {
        let take = |count: &AtomicUsize| count.swap(0, Ordering::Relaxed);
        let Counts {
            emails,
            pages,
            bodies,
            ..
        } = &*self.counts;
        (take(emails), take(pages), take(bodies))
    }

    /// Records of every kind that were read since the last call, and bytes that were written.
    pub(super) fn take_all(&self) -> (usize, usize) {
        let take = |count: &AtomicUsize| count.swap(0, Ordering::Relaxed);
        (take(&self.counts.all), take(&self.counts.written))
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
        self.counts.bodies.fetch_add(1, Ordering::Relaxed);
        self.engine.read_body(extent)
    }

    fn submit(&self, batch: Batch) -> Result<Ticket, SubmitError> {
        let size = batch.size_bytes();
        self.counts.written.fetch_add(size, Ordering::Relaxed);
        self.engine.submit(batch)
    }

    fn snapshot(&self, shard: ShardId) -> Box<dyn Snapshot> {
        Box::new(CountingSnapshot {
            snapshot: self.engine.snapshot(shard),
            counts: Arc::clone(&self.counts),
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
    counts: Arc<Counts>,
}

impl Snapshot for CountingSnapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        self.counts.note(key);
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
        found.iter().for_each(|(key, _)| self.counts.note(key));
        Ok(found)
    }

    fn visit(
        &self,
        start: &[u8],
        end: &[u8],
        f: &mut dyn FnMut(&[u8], Versioned) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        self.snapshot.visit(start, end, &mut |key, value| {
            self.counts.note(key);
            f(key, value)
        })
    }
}
