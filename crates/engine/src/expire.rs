//! Removes what is old from ranges of keys that lie in order of time, and the
//! oldest of what is too many: traces, which nothing depends on.
//!
//! Not here: what must go together with something else.

use crate::contract::{Batch, Engine, Order, ReadError, SubmitError};
use crate::keys;
use std::ops::ControlFlow;

/// Keys that are removed together.
const PAGE: usize = 1000;

/// Keys of one shard, the oldest first.
#[derive(Debug, Clone)]
pub struct Range {
    /// The first key.
    pub start: Vec<u8>,
    /// Behind the last one.
    pub end: Vec<u8>,
    /// Keys before this one have had their time.
    pub old: Vec<u8>,
}

/// What went wrong on the way; what was removed before stays so.
#[derive(Debug, thiserror::Error)]
pub enum ExpireError {
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store does not take it.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

/// Removes what is old, and the oldest of what is more than `records_max` in all
/// ranges together, a page in a commit; how many that were. Reads all keys once.
///
/// # Errors
/// See [`ExpireError`].
pub fn expire(
    engine: &dyn Engine,
    ranges: &[Range],
    records_max: usize,
) -> Result<usize, ExpireError> {
    let mut counts = Vec::with_capacity(ranges.len());
    for range in ranges {
        counts.push(count(engine, range)?);
    }
    let mut surplus = counts.iter().sum::<usize>().saturating_sub(records_max);
    let mut removed = 0;
    // Shards fill alike, so each gives its part.
    let shares = counts.iter().map(|count| count.saturating_mul(surplus));
    let all = counts.iter().sum::<usize>().max(1);
    let shares: Vec<usize> = shares.map(|share| share.div_ceil(all)).collect();
    for (range, share) in ranges.iter().zip(shares) {
        let share = share.min(surplus);
        surplus -= share;
        removed += remove(engine, range, share)?;
    }
    Ok(removed)
}

fn count(engine: &dyn Engine, range: &Range) -> Result<usize, ReadError> {
    let Some(shard) = keys::shard_of(&range.start, engine.shards()) else {
        return Ok(0);
    };
    let mut count = 0;
    let snapshot = engine.snapshot(shard);
    snapshot.visit(&range.start, &range.end, &mut |_, _| {
        count += 1;
        ControlFlow::Continue(())
    })?;
    Ok(count)
}

/// Removes from the front: at least `least`, and what is old.
fn remove(engine: &dyn Engine, range: &Range, least: usize) -> Result<usize, ExpireError> {
    let Some(shard) = keys::shard_of(&range.start, engine.shards()) else {
        return Ok(0);
    };
    let snapshot = engine.snapshot(shard);
    let (mut start, mut removed) = (range.start.clone(), 0);
    loop {
        let page = snapshot.scan(&start, &range.end, Order::Ascending, PAGE)?;
        let mut batch = Batch::new();
        let mut gone = 0;
        for (key, _) in &page {
            if *key >= range.old && removed + gone >= least {
                break;
            }
            batch.delete(key.clone());
            gone += 1;
        }
        if gone > 0 {
            engine.submit(batch)?.done_blocking();
            removed += gone;
        }
        match page.last() {
            Some((last, _)) if gone == page.len() => {
                start.clone_from(last);
                start.push(0);
            }
            _ => return Ok(removed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryEngine, ShardId};

    fn range(shard: u16, old: u8) -> Range {
        let start = keys::intake(ShardId(shard));
        let mut old_key = start.clone();
        old_key.push(old);
        Range {
            end: keys::end_of(&start),
            start,
            old: old_key,
        }
    }

    fn left(engine: &MemoryEngine, shard: u16) -> Vec<u8> {
        let range = range(shard, 0);
        let snapshot = engine.snapshot(ShardId(shard));
        let all = snapshot.scan(&range.start, &range.end, Order::Ascending, 100);
        all.expect("readable")
            .iter()
            .map(|(key, _)| key[3])
            .collect()
    }

    #[test]
    fn the_old_goes_and_of_too_many_the_oldest() {
        let engine = MemoryEngine::new(2);
        for shard in 0..2 {
            let mut batch = Batch::new();
            for n in 1..=10 {
                let mut key = keys::intake(ShardId(shard));
                key.push(n);
                batch.put(key, b"x".to_vec());
            }
            engine.submit(batch).expect("taken").done_blocking();
        }
        let ranges = [range(0, 3), range(1, 1)];
        assert_eq!(expire(&engine, &ranges, 100).expect("works"), 2);
        assert_eq!(left(&engine, 0), [3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(expire(&engine, &ranges, 100).expect("works"), 0);
        assert_eq!(expire(&engine, &ranges, 9).expect("works"), 9);
        let (one, other) = (left(&engine, 0), left(&engine, 1));
        assert_eq!(
            (one.len() + other.len(), one.last(), other.last()),
            (9, Some(&10), Some(&10))
        );
        assert_eq!(expire(&engine, &ranges, 0).expect("works"), 9);
    }
}
