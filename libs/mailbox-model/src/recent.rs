//! Which entries of a mailbox changed lately, so that a session learns of one
//! flag in a million messages without looking at a million entries.
//!
//! It is a shortcut and no part of the state: it is not stored, a view that was
//! loaded begins with an empty one, and two views are equal whatever it holds.
//! What it names may be more than what changed, never less.

use crate::ids::ModSeq;
use crate::limits::{RECENT_CHANGES_MAX, RECENT_RANGES_MAX};
use crate::uidset::UidSet;
use imbl::Vector;
use std::sync::Arc;

/// UIDs by the change that touched them.
#[derive(Debug, Clone, Default)]
pub(crate) struct RecentChanges {
    /// All changes after this one are known.
    floor: ModSeq,
    ranges: usize,
    kept: Vector<(ModSeq, Arc<UidSet>)>,
}

impl PartialEq for RecentChanges {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for RecentChanges {}

impl RecentChanges {
    /// Knows what changes after `floor`, if it is told from now on.
    pub(crate) fn after(floor: ModSeq) -> Self {
        Self {
            floor,
            ..Self::default()
        }
    }

    /// Notes that a change touched these entries. Called in order of the numbers.
    pub(crate) fn push(&mut self, modseq: ModSeq, uids: UidSet) {
        if uids.is_empty() {
            return;
        }
        self.ranges += uids.range_count();
        self.kept.push_back((modseq, Arc::new(uids)));
        while self.kept.len() > RECENT_CHANGES_MAX || self.ranges > RECENT_RANGES_MAX {
            let Some((modseq, uids)) = self.kept.pop_front() else {
                break;
            };
            self.ranges -= uids.range_count();
            self.floor = modseq;
        }
    }

    /// The UIDs of all entries that changed after `since`, and perhaps some
    /// others; none if that is longer ago than is known.
    pub(crate) fn since(&self, since: ModSeq) -> Option<UidSet> {
        if since < self.floor {
            return None;
        }
        let newer = self.kept.iter().rev();
        let newer = newer.take_while(|(modseq, _)| *modseq > since);
        Some(UidSet::from_ranges(
            newer.flat_map(|(_, uids)| uids.ranges().collect::<Vec<_>>()),
        ))
    }

    /// How many changes and how many ranges it holds.
    pub(crate) fn extent(&self) -> (usize, usize) {
        (self.kept.len(), self.ranges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Uid;

    #[test]
    fn what_is_pushed_out_is_not_known_any_more() {
        let mut recent = RecentChanges::after(ModSeq(10));
        assert_eq!(recent.since(ModSeq(9)), None);
        assert_eq!(recent.since(ModSeq(10)), Some(UidSet::new()));
        for n in 1..=RECENT_CHANGES_MAX as u64 + 5 {
            recent.push(ModSeq(10 + n), UidSet::one(Uid(n as u32)));
        }
        assert_eq!(recent.since(ModSeq(14)), None);
        let known = recent.since(ModSeq(15)).expect("known");
        assert_eq!(known.len(), RECENT_CHANGES_MAX as u64);
        let many = (1..=RECENT_RANGES_MAX as u32 + 1).map(|n| Uid(n * 2));
        recent.push(ModSeq(10_000), many.collect());
        assert_eq!(recent.since(ModSeq(9_999)), None);
        assert_eq!(recent.since(ModSeq(10_000)), Some(UidSet::new()));
        assert_eq!(recent.extent(), (0, 0));
    }
}
