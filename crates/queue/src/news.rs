//! Tells the dispatcher that the queue has changed, and from when on to look.
//!
//! Commits become visible in another order than their times: a message that
//! arrived earlier may show up later. So whoever scans the schedule does not go
//! on from where it was, but from the earliest time that has been added since.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use engine::ShardId;
use tokio::sync::Notify;

/// What has changed since somebody looked.
#[derive(Debug)]
pub struct News {
    earliest_ms: Vec<AtomicU64>,
    retried: AtomicBool,
    changed: Notify,
}

impl News {
    pub(crate) fn new(shards: u16) -> Self {
        Self {
            earliest_ms: (0..shards).map(|_| AtomicU64::new(u64::MAX)).collect(),
            retried: AtomicBool::new(false),
            changed: Notify::new(),
        }
    }

    /// Returns when something was added to the schedule since the last return. Cancel safe; for one waiter.
    pub async fn wait(&self) {
        self.changed.notified().await;
    }

    /// The earliest time that was added to a shard's schedule since the last call.
    pub fn take_earliest_ms(&self, shard: ShardId) -> Option<u64> {
        let earliest = self.earliest_ms.get(usize::from(shard.0))?;
        Some(earliest.swap(u64::MAX, Ordering::AcqRel)).filter(|&ms| ms != u64::MAX)
    }

    /// True when a person asked for something to be tried now since the last call:
    /// what is known about sites that were down is to be forgotten.
    pub fn take_retried(&self) -> bool {
        self.retried.swap(false, Ordering::AcqRel)
    }

    /// Wakes the waiter for another reason.
    pub fn wake(&self) {
        self.changed.notify_one();
    }

    pub(crate) fn add(&self, shard: ShardId, due_ms: u64) {
        if let Some(earliest) = self.earliest_ms.get(usize::from(shard.0)) {
            earliest.fetch_min(due_ms, Ordering::AcqRel);
        }
        self.wake();
    }

    pub(crate) fn retried(&self) {
        self.retried.store(true, Ordering::Release);
        self.wake();
    }
}
