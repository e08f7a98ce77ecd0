//! An index in memory, for tests: a power cut loses it, or takes it back to
//! an earlier state.

use crate::contract::{CommitNo, ReadError, Snapshot, Versioned};
use crate::embedded::commit::Commit;
use crate::embedded::disk::random::Random;
use crate::embedded::index::{Applied, Index};
use crate::memory::{Map, MapSnapshot};
use parking_lot::Mutex;
use std::ops::Bound;

#[derive(Debug, Default)]
pub(crate) struct MapIndex {
    state: Mutex<(Map, Option<Applied>)>,
    /// What it was at its last flush and after each group since.
    earlier: Mutex<Vec<(Map, Option<Applied>)>>,
}

impl MapIndex {
    /// What a process that ends leaves of it: any state since the last flush.
    pub(crate) fn go_back(&self, random: &mut Random) {
        let mut earlier = self.earlier.lock();
        let mut state = self.state.lock();
        let back = random.below(earlier.len() + 1);
        if let Some(then) = earlier.get(back) {
            state.clone_from(then);
        }
        *earlier = vec![state.clone()];
    }

    /// Nothing is left of it.
    pub(crate) fn lose(&self) {
        *self.state.lock() = Default::default();
        self.earlier.lock().clear();
    }
}

impl Index for MapIndex {
    fn applied(&self) -> Result<Option<Applied>, ReadError> {
        Ok(self.state.lock().1)
    }

    fn apply(&self, commits: &[Commit], applied: Applied) -> Result<(), ReadError> {
        let mut state = self.state.lock();
        self.earlier.lock().push(state.clone());
        for commit in commits {
            for (key, value) in &commit.writes {
                match value {
                    Some(value) => {
                        let version = CommitNo(commit.number);
                        let value = Versioned {
                            version,
                            value: value.clone(),
                        };
                        state.0.insert(key.clone(), value)
                    }
                    None => state.0.remove(key),
                };
            }
        }
        state.1 = Some(applied);
        Ok(())
    }

    fn snapshot(&self) -> (Box<dyn Snapshot>, CommitNo) {
        let state = self.state.lock();
        let commit = state.1.unwrap_or_default().commit;
        (Box::new(MapSnapshot(state.0.clone())), CommitNo(commit))
    }

    fn durable(&self) -> u64 {
        let earlier = self.earlier.lock();
        let oldest = earlier.first().and_then(|(_, applied)| *applied);
        oldest.unwrap_or_default().commit
    }

    fn pairs(&self, start: &[u8], end: &[u8]) -> Result<Vec<(Vec<u8>, Versioned)>, ReadError> {
        let state = self.state.lock();
        let bounds = (Bound::Included(start), Bound::Excluded(end));
        let pairs = state.0.range::<_, [u8]>(bounds);
        Ok(pairs.map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    fn flush(&self) -> Result<(), ReadError> {
        *self.earlier.lock() = vec![self.state.lock().clone()];
        Ok(())
    }

    fn pace(&self) -> bool {
        false
    }

    fn close(&self) {}
}
