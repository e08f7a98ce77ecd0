//! Tells the dispatcher that the queue has changed, and from when on to look.
//!
//! Commits become visible in another order than their times: a message that
//! arrived earlier may show up later. So whoever scans the schedule does not go
//! on from where it was, but from the earliest time that has been added since.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::ShardId;
use envelope::Domain;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::limits::RETRIED_DOMAINS_MAX;

/// What is to be tried now, whatever is known about sites that were down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retried {
    /// What goes to these domains.
    Domains(HashSet<Domain>),
    /// Everything.
    Everything,
}

impl Default for Retried {
    fn default() -> Self {
        Self::Domains(HashSet::new())
    }
}

/// What has changed since somebody looked.
#[derive(Debug)]
pub struct News {
    earliest_ms: Vec<AtomicU64>,
    retried: Mutex<Retried>,
    changed: Notify,
}

impl News {
    pub(crate) fn new(shards: u16) -> Self {
        Self {
            earliest_ms: (0..shards).map(|_| AtomicU64::new(u64::MAX)).collect(),
            retried: Mutex::default(),
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

    /// What was asked to be tried now since the last call: what is known about
    /// those sites is to be forgotten.
    pub fn take_retried(&self) -> Retried {
        std::mem::take(&mut self.retried.lock())
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

    /// Something is to be tried now: for one domain, or none in particular.
    pub(crate) fn retried(&self, domain: Option<&Domain>) {
        let mut retried = self.retried.lock();
        match (&mut *retried, domain) {
            (Retried::Domains(domains), Some(domain)) if domains.len() < RETRIED_DOMAINS_MAX => {
                domains.insert(domain.clone());
            }
            (retried, _) => *retried = Retried::Everything,
        }
        drop(retried);
        self.wake();
    }
}
