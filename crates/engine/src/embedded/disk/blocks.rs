//! The content of a simulated file: blocks that are shared between its
//! copies, with nothing kept for zeros.

use crate::embedded::format::BLOCK;
use std::sync::Arc;

/// A block; `None` is all zeros.
type Block = Option<Arc<[u8]>>;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Blocks(Vec<Block>);

impl Blocks {
    /// Whole blocks.
    pub(super) fn of(bytes: &[u8]) -> Self {
        assert_eq!(bytes.len() % BLOCK, 0, "a disk is written in blocks");
        Self(bytes.chunks(BLOCK).map(block).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len() * BLOCK
    }

    /// Puts `other` at block `at`.
    pub(super) fn put(&mut self, at: usize, other: &Self) {
        let end = at + other.0.len();
        if self.0.len() < end {
            self.0.resize(end, None);
        }
        self.0[at..end].clone_from_slice(&other.0);
    }

    /// Changes some bytes of one block.
    pub(super) fn patch(&mut self, at: usize, bytes: &[u8]) {
        let (number, within) = (at / BLOCK, at % BLOCK);
        if self.0.len() <= number {
            self.0.resize(number + 1, None);
        }
        let mut whole = [0; BLOCK];
        self.read(number * BLOCK, &mut whole);
        whole[within..within + bytes.len()].copy_from_slice(bytes);
        self.0[number] = block(&whole);
    }

    pub(super) fn prefix(&self, blocks: usize) -> Self {
        Self(self.0[..blocks].to_vec())
    }

    /// Reads up to the end; how many bytes there were.
    pub(super) fn read(&self, at: usize, into: &mut [u8]) -> usize {
        let len = into.len().min(self.len().saturating_sub(at));
        let mut done = 0;
        while done < len {
            let (number, within) = ((at + done) / BLOCK, (at + done) % BLOCK);
            let some = (BLOCK - within).min(len - done);
            let part = &mut into[done..done + some];
            match &self.0[number] {
                Some(block) => part.copy_from_slice(&block[within..within + some]),
                None => part.fill(0),
            }
            done += some;
        }
        len
    }
}

fn block(bytes: &[u8]) -> Block {
    let zeros = [0; BLOCK];
    (bytes != zeros).then(|| Arc::from(bytes))
}
