//! Which parts of the journal were freed: keys of the engine's own, one for
//! each run of freed segments that lay one behind the other.
//!
//! | key | |
//! |---|---|
//! | 6 bytes | 0, `freed` |
//! | 8 bytes | the first group, high byte first, as all numbers here |
//!
//! | value | |
//! |---|---|
//! | version | 1 byte, 1 |
//! | last group | 8 bytes |
//! | first segment | 4 bytes |
//! | last segment | 4 bytes |
//!
//! They are put by ordinary commits, so they are as durable as everything else
//! and move forward with collection like everything else. Without them nobody
//! could tell a segment that was freed from one that was lost.

use super::index::Index;
use crate::contract::{Batch, ReadError};
use crate::findings::Finding;
use std::collections::BTreeMap;
use wire::codec::{DecodeError, Reader, Writer};

const PREFIX: &[u8] = b"\0freed";
const VERSION: u8 = 1;

/// A run of freed segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) groups: (u64, u64),
    pub(crate) segments: (u32, u32),
}

impl Run {
    fn key(&self) -> Vec<u8> {
        [PREFIX, &self.groups.0.to_be_bytes()].concat()
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(VERSION)
            .u64_be(self.groups.1)
            .raw(&self.segments.0.to_be_bytes())
            .raw(&self.segments.1.to_be_bytes());
        out.finish()
    }

    fn decode(key: &[u8], value: &[u8]) -> Result<Self, DecodeError> {
        let first = key.strip_prefix(PREFIX).ok_or(DecodeError::Truncated)?;
        let mut key = Reader::new(first);
        let mut value = Reader::new(value);
        match value.u8()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let run = Self {
            groups: (key.u64_be()?, value.u64_be()?),
            segments: (u32_be(&mut value)?, u32_be(&mut value)?),
        };
        key.finish()?;
        value.finish()?;
        Ok(run)
    }
}

fn u32_be(reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let bytes = reader.raw(4)?.first_chunk();
    Ok(u32::from_be_bytes(*bytes.ok_or(DecodeError::Truncated)?))
}

/// All runs, by their first group.
#[derive(Debug, Default, Clone)]
pub(crate) struct Freed(BTreeMap<u64, Run>);

impl Freed {
    pub(crate) fn load(index: &dyn Index) -> Result<Self, ReadError> {
        let mut runs = BTreeMap::new();
        for (key, stored) in index.pairs(PREFIX, b"\0free\xff")? {
            let run = Run::decode(&key, &stored.value).map_err(|why| {
                ReadError::Damaged(format!("a record of freed segments does not decode: {why}"))
            })?;
            runs.insert(run.groups.0, run);
        }
        Ok(Self(runs))
    }

    pub(crate) fn is_freed(&self, segment: u32) -> bool {
        let within = |run: &Run| run.segments.0 <= segment && segment <= run.segments.1;
        self.0.values().any(within)
    }

    /// True when all these groups were freed.
    pub(crate) fn covers(&self, first: u64, last: u64) -> bool {
        let mut next = first;
        while next <= last {
            match self.0.range(..=next).next_back() {
                Some((_, run)) if run.groups.1 >= next => next = run.groups.1 + 1,
                _ => return false,
            }
        }
        true
    }

    /// Leaves out the gaps that are there because segments were freed.
    pub(crate) fn leave_unexplained(&self, mut findings: Vec<Finding>) -> Vec<Finding> {
        findings.retain(|finding| match finding {
            Finding::MissingGroups {
                expected, found, ..
            } => !self.covers(*expected, found.saturating_sub(1)),
            _ => true,
        });
        findings
    }

    /// The last group before `group` that was not freed.
    pub(crate) fn before(&self, group: u64) -> u64 {
        let mut last = group.saturating_sub(1);
        while let Some((&first, run)) = self.0.range(..=last).next_back()
            // A run may have neighbours of its own beyond this group.
            && run.groups.1 >= last
        {
            last = first.saturating_sub(1);
        }
        last
    }

    /// Adds a segment, joined with its neighbours where no group lies between;
    /// what that changes goes into `batch`.
    pub(crate) fn add(&mut self, mut run: Run, batch: &mut Batch) {
        if self.covers(run.groups.0, run.groups.1) {
            return;
        }
        if let Some((_, before)) = self.0.range(..run.groups.0).next_back()
            && before.groups.1 + 1 == run.groups.0
        {
            run.groups.0 = before.groups.0;
            run.segments.0 = before.segments.0;
        }
        let next = run.groups.1 + 1;
        if let Some(after) = self.0.remove(&next) {
            batch.delete(after.key());
            run.groups.1 = after.groups.1;
            run.segments.1 = after.segments.1;
        }
        batch.put(run.key(), run.encode());
        self.0.insert(run.groups.0, run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(groups: (u64, u64), segments: (u32, u32)) -> Run {
        Run { groups, segments }
    }

    #[test]
    fn golden_bytes() {
        let freed = run((0x0102, 0x0304), (5, 6));
        let (key, value) = (
            b"\0freed\0\0\0\0\0\0\x01\x02",
            b"\x01\0\0\0\0\0\0\x03\x04\0\0\0\x05\0\0\0\x06",
        );
        assert_eq!(freed.key(), key);
        assert_eq!(freed.encode(), value);
        assert_eq!(Run::decode(key, value), Ok(freed));
        for end in 0..value.len() {
            assert!(Run::decode(key, &value[..end]).is_err());
        }
        assert_eq!(Run::decode(key, b"\x09"), Err(DecodeError::Version(9)));
    }

    #[test]
    fn neighbours_are_joined_and_gaps_stay() {
        let mut freed = Freed::default();
        let mut writes = |run| {
            let mut batch = Batch::new();
            freed.add(run, &mut batch);
            (freed.clone(), batch.writes.len())
        };
        writes(run((10, 19), (2, 2)));
        writes(run((30, 39), (4, 4)));
        let (now, _) = writes(run((41, 49), (5, 5)));
        assert_eq!(now.0.len(), 3, "group 40 is missing between");
        let (now, count) = writes(run((20, 29), (3, 3)));
        assert_eq!(count, 2, "one key goes, one grows");
        assert_eq!(now.0.len(), 2);
        assert_eq!(now.0[&10], run((10, 39), (2, 4)));
        assert!(now.covers(10, 39) && now.covers(41, 49));
        assert!(!now.covers(10, 40) && !now.covers(9, 10) && !now.covers(49, 50));
        assert!(now.is_freed(3) && now.is_freed(5) && !now.is_freed(1) && !now.is_freed(6));
        assert_eq!((now.before(50), now.before(41)), (40, 40));
        assert_eq!((now.before(40), now.before(25)), (9, 9));
        let (_, count) = writes(run((20, 29), (3, 3)));
        assert_eq!(count, 0, "known already");
    }
}
