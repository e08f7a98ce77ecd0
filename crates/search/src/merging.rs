//! Merging the last segments of an index, and throwing away what is not needed.

use crate::build::Builder;
use crate::head::{Head, Segment};
use crate::keys;
use crate::limits::{COMMIT_BYTES_SOFT, EMAILS_SMALLEST};
use crate::search::{SearchError, Shared};
use bytes::Bytes;
use engine::{Batch, CommitNo, Engine, Order, Ticket};
use envelope::AccountId;
use search_index::limits::DOCUMENTS_MAX;
use search_index::{Block, Merge};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

impl Builder<'_> {
    /// Makes the last segments one if there are enough of about one size.
    pub(crate) fn merge(
        &self,
        head: &Head,
        version: Option<CommitNo>,
    ) -> Result<Option<Ticket>, SearchError> {
        let merged = self.shared.options.segments_merged.max(2);
        let Some(from) = due(&head.segments, merged) else {
            return Ok(None);
        };
        let old = &head.segments[from..];
        let first = old[0].first;
        let shifts: Vec<u32> = old
            .iter()
            .map(|segment| u32::try_from(segment.first - first).unwrap_or(u32::MAX))
            .collect();
        let number = head.next_segment;
        let mut writer = self.writer(number)?;
        let mut readers: Vec<Blocks<'_>> = old
            .iter()
            .map(|segment| Blocks::new(&*self.shared.engine, self.account, segment.number))
            .collect();
        let mut merge = Merge::new(&shifts, |at| readers[at].next_block())?;
        while let Some((term, documents)) = merge.next_term()? {
            writer.push(term, &documents);
        }
        drop(merge);
        let bytes = writer.finish()?;
        let end = old.last().map_or(first, |last| last.first + last.span);
        let mut new = Head {
            next_segment: number + 1,
            segments: head.segments[..from].to_vec(),
            dropped: old.iter().map(|segment| segment.number).collect(),
        };
        new.segments.push(Segment {
            number,
            first,
            span: end - first,
            emails: old.iter().map(|segment| segment.emails).sum(),
            bytes,
        });
        self.shared.written.fetch_add(1, Ordering::Relaxed);
        self.write_head(&new, version).map(Some)
    }
}

/// The first of the last segments that are due to become one: enough that none of them is of a larger
/// size than the last.
fn due(segments: &[Segment], merged: usize) -> Option<usize> {
    let size = |segment: &Segment| {
        let times = segment.emails / EMAILS_SMALLEST;
        times.max(1).ilog(merged as u64)
    };
    let last = segments.last()?;
    let end = last.first + last.span;
    let small = |segment: &&Segment| {
        size(segment) <= size(last) && end - segment.first <= u64::from(DOCUMENTS_MAX)
    };
    let count = segments.iter().rev().take_while(small).count();
    (count >= merged).then(|| segments.len() - count)
}

/// Reads a segment's blocks one after another.
struct Blocks<'a> {
    engine: &'a dyn Engine,
    account: AccountId,
    from: Vec<u8>,
    end: Vec<u8>,
}

impl<'a> Blocks<'a> {
    fn new(engine: &'a dyn Engine, account: AccountId, segment: u64) -> Self {
        let (from, end) = keys::blocks(account, segment);
        Self {
            engine,
            account,
            from,
            end,
        }
    }

    /// A snapshot for each: nobody but the builder takes blocks of a segment away.
    fn next_block(&mut self) -> Result<Option<Bytes>, SearchError> {
        let snapshot = self
            .engine
            .snapshot(self.engine.shard_of_account(self.account.0));
        let found = snapshot.scan(&self.from, &self.end, Order::Ascending, 1)?;
        Ok(found.into_iter().next().map(|(key, block)| {
            self.from = key;
            self.from.push(0);
            block.value
        }))
    }
}

impl Shared {
    /// Throws an index away: the head first, so that nobody reads what is left.
    pub(crate) fn forget(&self, account: AccountId) -> Result<Ticket, SearchError> {
        let mut batch = Batch::new();
        batch.delete(keys::head(account));
        batch.can_wait();
        let ticket = self.engine.submit(batch)?;
        let last = self.delete(account, keys::all(account))?;
        Ok(last.unwrap_or(ticket))
    }

    /// Deletes all keys of a range; gives the last commit of it.
    pub(crate) fn delete(
        &self,
        account: AccountId,
        (start, end): (Vec<u8>, Vec<u8>),
    ) -> Result<Option<Ticket>, SearchError> {
        let snapshot = self
            .engine
            .snapshot(self.engine.shard_of_account(account.0));
        let mut batch = Batch::new();
        let mut last = Ok(None);
        let submit = |batch: &mut Batch| {
            let mut some = std::mem::take(batch);
            some.can_wait();
            self.engine.submit(some).map(Some)
        };
        snapshot.visit(&start, &end, &mut |key, _| {
            batch.delete(key.to_vec());
            if batch.size_bytes() > COMMIT_BYTES_SOFT {
                last = submit(&mut batch);
            }
            match last.is_ok() {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })?;
        if last.is_ok() && !batch.is_empty() {
            last = submit(&mut batch);
        }
        Ok(last?)
    }

    /// What is wrong with an index: its head, blocks that are damaged or missing, blocks of no segment.
    pub(crate) fn check(&self, account: AccountId) -> Result<Vec<String>, SearchError> {
        let snapshot = self
            .engine
            .snapshot(self.engine.shard_of_account(account.0));
        let Some(stored) = snapshot.get(&keys::head(account))? else {
            return Ok(Vec::new());
        };
        let head = match Head::decode(&stored.value) {
            Ok(head) => head,
            Err(error) => return Ok(vec![format!("its head: {error}")]),
        };
        let mut wrong = Vec::new();
        for segment in &head.segments {
            let (start, end) = keys::blocks(account, segment.number);
            let mut bytes = 0;
            snapshot.visit(&start, &end, &mut |_, block| {
                bytes += block.value.len() as u64;
                if let Err(error) = check_block(&block.value) {
                    wrong.push(format!("a block of segment {}: {error}", segment.number));
                }
                ControlFlow::Continue(())
            })?;
            if bytes != segment.bytes {
                let there = format!(
                    "segment {} has {bytes} bytes, not {}",
                    segment.number, segment.bytes
                );
                wrong.push(there);
            }
        }
        Ok(wrong)
    }
}

fn check_block(block: &[u8]) -> Result<(), wire::codec::DecodeError> {
    let mut block = Block::read(block)?;
    while let Some((_, postings)) = block.next_term()? {
        postings.visit(|_| {})?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_of_a_size_become_one() {
        let segments = |sizes: &[u64]| -> Vec<Segment> {
            let mut first = 1;
            let mut segments = Vec::new();
            for (number, &emails) in sizes.iter().enumerate() {
                segments.push(Segment {
                    number: number as u64,
                    first,
                    span: emails,
                    emails,
                    bytes: 0,
                });
                first += emails;
            }
            segments
        };
        let due = |sizes: &[u64]| due(&segments(sizes), 8);
        assert_eq!(due(&[]), None);
        assert_eq!(due(&[64; 7]), None);
        assert_eq!(due(&[64; 8]), Some(0));
        assert_eq!(due(&[512, 512, 64, 64, 64, 64, 64, 64, 64, 64]), Some(2));
        assert_eq!(due(&[512, 64, 64, 64, 64, 64, 64, 64]), None);
        // Small ones before a large one go with it.
        assert_eq!(due(&[64, 64, 64, 64, 64, 64, 64, 4096]), Some(0));
    }
}
