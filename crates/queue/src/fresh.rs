//! Messages that have just come, with their bodies, in memory: most of them
//! leave again within a second, and need not be read from the disk for that.
//!
//! What does not fit is read as everything else. Nothing here is the only copy.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use engine::ShardId;
use parking_lot::Mutex;
use queue_model::{QueueId, State};

use crate::entry::Entry;
use crate::limits::{FRESH_BYTES_MAX, FRESH_MAX};
use crate::progress::Progress;

type Name = (ShardId, QueueId);

/// The entries that are kept.
#[derive(Debug, Default)]
pub(crate) struct Fresh(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<Name, Arc<Entry>>,
    /// The oldest first; may name some that have gone.
    order: VecDeque<Name>,
    bytes: usize,
}

impl Fresh {
    pub(crate) fn keep(&self, entry: Arc<Entry>) {
        let mut gone = Vec::new();
        let mut kept = self.0.lock();
        let name = (entry.shard, entry.id);
        kept.bytes += entry.bytes();
        kept.order.push_back(name);
        kept.entries.insert(name, entry);
        while kept.order.len() > FRESH_MAX || kept.bytes > FRESH_BYTES_MAX {
            let Some(oldest) = kept.order.pop_front() else {
                break;
            };
            gone.extend(kept.remove(oldest));
        }
        drop(kept);
        // The last one who has it takes another lock.
        drop(gone);
    }

    /// A message that now waits for a time, or has ended, is new no more.
    pub(crate) fn moved_to(&self, name: Name, next: &Progress) {
        let is_new = |state: &State| matches!(state, State::Todo { .. });
        if next.recipients.iter().any(|known| is_new(&known.state)) {
            return;
        }
        let gone = self.0.lock().remove(name);
        drop(gone);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.lock().entries.len()
    }
}

impl Kept {
    fn remove(&mut self, name: Name) -> Option<Arc<Entry>> {
        let entry = self.entries.remove(&name)?;
        self.bytes -= entry.bytes();
        if self.entries.is_empty() {
            self.order.clear();
        }
        Some(entry)
    }
}
