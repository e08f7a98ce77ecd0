//! A set of UIDs as sorted, disjoint ranges.
//!
//! A range may cover UIDs that no longer exist: it means the mailbox's entries
//! whose UIDs lie in it. Encoded as `count, (gap, length - 1)…`, all varints.

use crate::ids::Uid;
use wire::codec::{DecodeError, Reader, Writer};

/// Sorted, disjoint, never touching ranges of UIDs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct UidSet {
    ranges: Vec<(u32, u32)>,
}

impl UidSet {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One UID.
    #[must_use]
    pub fn one(uid: Uid) -> Self {
        Self::range(uid, uid)
    }

    /// From `first` to `last`, both in it; empty if they are not in order.
    #[must_use]
    pub fn range(first: Uid, last: Uid) -> Self {
        let ranges = if first <= last {
            vec![(first.0, last.0)]
        } else {
            Vec::new()
        };
        Self { ranges }
    }

    /// Every UID there can be.
    #[must_use]
    pub fn all() -> Self {
        Self::range(Uid(1), Uid(u32::MAX))
    }

    /// A set of ranges in any order, overlapping or not; reversed ones are
    /// turned round as RFC 9051 §9 `seq-range` wants.
    #[must_use]
    pub fn from_ranges(ranges: impl IntoIterator<Item = (Uid, Uid)>) -> Self {
        let mut sorted: Vec<_> = ranges
            .into_iter()
            .map(|(a, b)| (a.0.min(b.0), a.0.max(b.0)))
            .collect();
        sorted.sort_unstable();
        let mut set = Self::new();
        for (first, last) in sorted {
            set.push_range(first, last);
        }
        set
    }

    /// Adds a UID that is not smaller than any in the set.
    pub fn push(&mut self, uid: Uid) {
        self.push_range(uid.0, uid.0);
    }

    /// Adds `uid` to the last range although others lie between: the caller
    /// knows that the mailbox has none of those.
    pub(crate) fn extend_last(&mut self, uid: Uid) {
        match self.ranges.last_mut() {
            Some(range) => range.1 = uid.0,
            None => self.ranges.push((uid.0, uid.0)),
        }
    }

    pub(crate) fn push_range(&mut self, first: u32, last: u32) {
        match self.ranges.last_mut() {
            Some(range) if first <= range.1.saturating_add(1) => range.1 = range.1.max(last),
            _ => self.ranges.push((first, last)),
        }
    }

    /// True when nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges, in order, both ends in them.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = (Uid, Uid)> + Clone + '_ {
        self.ranges.iter().map(|&(a, b)| (Uid(a), Uid(b)))
    }

    /// How many ranges.
    #[must_use]
    pub fn range_count(&self) -> usize {
        self.ranges.len()
    }

    /// How many UIDs, existing or not.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|&(a, b)| u64::from(b - a) + 1).sum()
    }

    /// True if `uid` is in it.
    #[must_use]
    pub fn contains(&self, uid: Uid) -> bool {
        let at = self.ranges.partition_point(|&(_, last)| last < uid.0);
        self.ranges
            .get(at)
            .is_some_and(|&(first, _)| first <= uid.0)
    }

    /// Each UID in order; bounded by the caller's own knowledge of the set.
    pub fn iter(&self) -> impl Iterator<Item = Uid> + '_ {
        self.ranges.iter().flat_map(|&(a, b)| (a..=b).map(Uid))
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.varint(self.ranges.len() as u64);
        let mut end = 0;
        for &(first, last) in &self.ranges {
            out.varint(u64::from(first - end))
                .varint(u64::from(last - first));
            end = last;
        }
    }

    pub(crate) fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = input.varint32()?;
        let mut ranges = Vec::new();
        let mut end = 0u32;
        for at in 0..count {
            let gap = input.varint32()?;
            if gap == 0 || (at > 0 && gap == 1) {
                return Err(DecodeError::OutOfRange);
            }
            let first = end.checked_add(gap).ok_or(DecodeError::OutOfRange)?;
            end = first
                .checked_add(input.varint32()?)
                .ok_or(DecodeError::OutOfRange)?;
            ranges.push((first, end));
        }
        Ok(Self { ranges })
    }
}

impl FromIterator<Uid> for UidSet {
    fn from_iter<T: IntoIterator<Item = Uid>>(uids: T) -> Self {
        Self::from_ranges(uids.into_iter().map(|uid| (uid, uid)))
    }
}
