//! Bodies that lie in the journal and are named by no commit yet: a message
//! that is being received, or was received and is being committed.
//!
//! No record says that they are alive, so whoever writes them holds the
//! segments they may lie in: the one that was open before the first of them was
//! put, and all later ones. The hold ends when the commit that names them is
//! visible, or when the message is given up.

use engine::{Engine, ShardId};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All holds of a store.
#[derive(Debug, Default)]
pub(crate) struct Holds(Mutex<BTreeMap<(ShardId, u32), usize>>);

/// One message's hold.
#[derive(Debug)]
pub(crate) struct Hold {
    holds: Arc<Holds>,
    place: (ShardId, u32),
}

impl Holds {
    /// Takes a hold; call it before anything is put.
    pub(crate) fn take(self: &Arc<Self>, engine: &dyn Engine, shard: ShardId) -> Arc<Hold> {
        // A segment that is sealed between the two lines is held needlessly;
        // nothing is put into one that was sealed before.
        let place = (shard, engine.body_segment(shard));
        *self.0.lock().entry(place).or_default() += 1;
        Arc::new(Hold {
            holds: Arc::clone(self),
            place,
        })
    }

    /// The oldest segment of a shard that is held.
    pub(crate) fn oldest(&self, shard: ShardId) -> Option<u32> {
        let held = self.0.lock();
        let mut of_shard = held.range((shard, 0)..=(shard, u32::MAX));
        of_shard.next().map(|((_, segment), _)| *segment)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.holds.0.lock();
        if let Some(count) = held.get_mut(&self.place) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.place);
            }
        }
    }
}
