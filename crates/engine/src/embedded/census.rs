//! The segments that hold groups, as far as they are not freed.

use super::format::GroupHeader;
use super::freed::Freed;
use crate::collect::SealedSegment;
use std::collections::BTreeMap;

/// What is known of a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    pub(crate) bytes: u64,
    /// The number of its first group.
    pub(crate) first_group: u64,
    /// The first commit that can have come into the journal with it.
    pub(crate) first_commit: u64,
    /// Bytes of live records and the newest segment when they were counted.
    pub(crate) records: Option<(u64, u32)>,
    pub(crate) damaged: bool,
}

/// All of them, by number.
#[derive(Debug, Default)]
pub(crate) struct Census {
    lives: BTreeMap<u32, Life>,
}

/// What a walk through a segment has to know of its neighbours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) first_group: u64,
    pub(crate) last_group: u64,
    /// No commit in it has a higher number.
    pub(crate) last_commit: u64,
    /// Deletions from this commit on may have something to delete in another segment.
    pub(crate) oldest_other: Option<u64>,
}

impl Census {
    /// Takes note of a segment that has, or now gets, its first group. Where
    /// that cannot be read nothing of the segment can be known.
    pub(crate) fn insert(&mut self, number: u32, bytes: u64, first: Option<GroupHeader>) {
        let life = Life {
            bytes,
            first_group: first.map_or(0, |first| first.number),
            first_commit: first.map_or(0, |first| first.next_commit),
            records: None,
            damaged: first.is_none(),
        };
        self.lives.entry(number).or_insert(life);
    }

    pub(crate) fn life_mut(&mut self, number: u32) -> Option<&mut Life> {
        self.lives.get_mut(&number)
    }

    pub(crate) fn remove(&mut self, number: u32) {
        self.lives.remove(&number);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.lives.values().map(|life| life.bytes).sum()
    }

    pub(crate) fn len(&self) -> usize {
        self.lives.len()
    }

    /// Those before `unsettled`.
    pub(crate) fn sealed(&self, unsettled: u32) -> Vec<SealedSegment> {
        let sealed = |(&number, life): (&u32, &Life)| SealedSegment {
            number,
            bytes: life.bytes,
            records: life.records,
            damaged: life.damaged,
        };
        self.lives.range(..unsettled).map(sealed).collect()
    }

    /// The bounds of a segment that others follow; `None` when they cannot be
    /// told.
    pub(crate) fn bounds(&self, number: u32, freed: &Freed) -> Option<Bounds> {
        let life = self.lives.get(&number).filter(|life| !life.damaged)?;
        let (_, next) = self.lives.range(number + 1..).next()?;
        let others = self.lives.iter().filter(|(of, _)| **of != number);
        if next.damaged {
            return None;
        }
        Some(Bounds {
            first_group: life.first_group,
            last_group: freed.before(next.first_group),
            last_commit: next.first_commit.saturating_sub(1),
            oldest_other: others.map(|(_, life)| life.first_commit).min(),
        })
    }
}
