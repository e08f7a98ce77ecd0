//! Records in memory: what was read is kept until a commit changes it.
//!
//! A reader that began before a commit may finish after it; what it read must
//! not come back into the cache behind the commit's invalidation. Therefore a
//! counter: a read is kept only if nothing was invalidated since it began.
//! Absent records are kept as well, so that guessing names costs no disk.

use engine::Versioned;
use parking_lot::Mutex;
use quick_cache::sync::Cache;

pub(crate) struct RecordCache {
    records: Cache<Vec<u8>, Option<Versioned>>,
    invalidations: Mutex<u64>,
}

/// Proof of when a read began.
#[derive(Clone, Copy)]
pub(crate) struct ReadBegan(u64);

impl RecordCache {
    pub(crate) fn new(entries: usize) -> Self {
        Self {
            records: Cache::new(entries),
            invalidations: Mutex::new(0),
        }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<Versioned>> {
        self.records.get(key)
    }

    pub(crate) fn begin_read(&self) -> ReadBegan {
        ReadBegan(*self.invalidations.lock())
    }

    pub(crate) fn keep(&self, began: ReadBegan, key: Vec<u8>, record: Option<Versioned>) {
        let invalidations = self.invalidations.lock();
        if *invalidations == began.0 {
            self.records.insert(key, record);
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        let mut invalidations = self.invalidations.lock();
        *invalidations += 1;
        self.records.clear();
    }

    /// Runs inside a commit's `on_visible`.
    pub(crate) fn invalidate(&self, keys: &[Vec<u8>]) {
        let mut invalidations = self.invalidations.lock();
        *invalidations += 1;
        for key in keys {
            self.records.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_began_before_an_invalidation_is_not_kept() {
        let cache = RecordCache::new(16);
        let early = cache.begin_read();
        cache.invalidate(&[b"k".to_vec()]);
        cache.keep(early, b"k".to_vec(), None);
        assert_eq!(cache.get(b"k"), None);
        cache.keep(cache.begin_read(), b"k".to_vec(), None);
        assert_eq!(cache.get(b"k"), Some(None));
        cache.invalidate(&[b"k".to_vec()]);
        assert_eq!(cache.get(b"k"), None);
    }
}
