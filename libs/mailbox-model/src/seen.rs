//! Where to begin to look for the first message that is not `\Seen`: old mail is
//! read, so looking from the top passes over nearly all of a large mailbox.
//!
//! It is a shortcut and no part of the state: not stored, not compared, and
//! moved on by whoever looks.

use crate::ids::Uid;
use std::sync::atomic::{AtomicU32, Ordering};

/// A UID below which every entry of the mailbox is `\Seen`.
#[derive(Debug, Default)]
pub(crate) struct SeenBelow(AtomicU32);

impl Clone for SeenBelow {
    fn clone(&self) -> Self {
        Self(AtomicU32::new(self.uid().0))
    }
}

impl PartialEq for SeenBelow {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for SeenBelow {}

impl SeenBelow {
    pub(crate) fn uid(&self) -> Uid {
        Uid(self.0.load(Ordering::Relaxed))
    }

    /// This one is not `\Seen`.
    pub(crate) fn lower(&mut self, uid: Uid) {
        let below = self.0.get_mut();
        *below = uid.0.min(*below);
    }

    /// All below this one are: found by looking.
    pub(crate) fn raise(&self, uid: Uid) {
        // Whoever looks at the same mailbox at the same time finds the same.
        self.0.fetch_max(uid.0, Ordering::Relaxed);
    }
}
