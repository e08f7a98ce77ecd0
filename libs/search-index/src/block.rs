//! Blocks: postings of terms in a row, as they are stored.
//!
//! | field | form |
//! |---|---|
//! | version | byte, 1 |
//! | each term: it | varint: difference to the one before; of the first itself |
//! | its postings | length as varint, bytes as [`crate::Postings`] |

use crate::limits::{BLOCK_BYTES, SHARED_POSTINGS_BYTES};
use crate::postings::{Postings, encode};
use crate::terms::Term;
use wire::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;

/// Makes blocks of terms, which are given in order, each once.
#[derive(Debug, Default)]
pub struct BlockWriter {
    open: Vec<u8>,
    first: Option<Term>,
    last: u32,
}

impl BlockWriter {
    /// Adds a term with its documents, which ascend; gives blocks that are full with their first terms.
    pub fn push(&mut self, term: Term, documents: &[u32], mut full: impl FnMut(Term, Vec<u8>)) {
        if documents.is_empty() {
            return;
        }
        let postings = encode(documents);
        let alone = postings.len() > SHARED_POSTINGS_BYTES;
        if alone || self.open.len() + postings.len() > BLOCK_BYTES {
            self.close(&mut full);
        }
        let mut out = Writer::new();
        if self.first.is_none() {
            out.u8(VERSION);
            self.first = Some(term);
            self.last = 0;
        }
        out.varint(u64::from(term.0 - self.last)).bytes(&postings);
        self.open.extend_from_slice(&out.finish());
        self.last = term.0;
        if alone {
            self.close(&mut full);
        }
    }

    /// Gives the last block.
    pub fn finish(mut self, mut full: impl FnMut(Term, Vec<u8>)) {
        self.close(&mut full);
    }

    fn close(&mut self, full: &mut impl FnMut(Term, Vec<u8>)) {
        if let Some(first) = self.first.take() {
            full(first, core::mem::take(&mut self.open));
        }
    }
}

/// A block's terms, in order.
#[derive(Debug, Clone)]
pub struct Block<'a> {
    input: Reader<'a>,
    last: Option<u32>,
}

impl<'a> Block<'a> {
    /// Begins to read.
    ///
    /// # Errors
    /// Of another version.
    pub fn read(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        match input.u8()? {
            VERSION => Ok(Self { input, last: None }),
            other => Err(DecodeError::Version(other)),
        }
    }

    /// The next term and its postings.
    ///
    /// # Errors
    /// Damaged there.
    pub fn next_term(&mut self) -> Result<Option<(Term, Postings<'a>)>, DecodeError> {
        if self.input.is_empty() {
            return Ok(None);
        }
        let step = self.input.varint32()?;
        let term = match self.last {
            None => step,
            Some(last) if step > 0 => last.checked_add(step).ok_or(DecodeError::OutOfRange)?,
            Some(_) => return Err(DecodeError::OutOfRange),
        };
        self.last = Some(term);
        Ok(Some((Term(term), Postings::read(self.input.bytes()?)?)))
    }

    /// The postings of a term, if they are in here.
    ///
    /// # Errors
    /// Damaged before there.
    pub fn find(mut self, wanted: Term) -> Result<Option<Postings<'a>>, DecodeError> {
        while let Some((term, postings)) = self.next_term()? {
            if term >= wanted {
                return Ok((term == wanted).then_some(postings));
            }
        }
        Ok(None)
    }

    /// Where the reading is, to go on from there.
    pub(crate) fn place(&self, of: &[u8]) -> (usize, Option<u32>) {
        (of.len() - self.input.rest().len(), self.last)
    }

    /// Goes on at a place that [`Block::place`] gave.
    pub(crate) fn at(bytes: &'a [u8], (from, last): (usize, Option<u32>)) -> Self {
        let input = Reader::new(bytes.get(from..).unwrap_or_default());
        Self { input, last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn blocks(terms: &BTreeMap<u32, Vec<u32>>) -> Vec<(Term, Vec<u8>)> {
        let mut blocks = Vec::new();
        let mut writer = BlockWriter::default();
        for (&term, documents) in terms {
            writer.push(Term(term), documents, |first, block| {
                blocks.push((first, block));
            });
        }
        writer.finish(|first, block| {
            blocks.push((first, block));
        });
        blocks
    }

    #[test]
    fn a_block_is_these_bytes() {
        let terms = BTreeMap::from([(3, vec![1]), (300, vec![2, 3])]);
        let bytes = vec![1, 3, 2, 2, 1, 0xa9, 2, 3, 4, 2, 0];
        assert_eq!(blocks(&terms), [(Term(3), bytes)]);
    }

    #[test]
    fn long_postings_have_blocks_of_their_own() {
        let long: Vec<u32> = (0..40_000).map(|n| n * 3).collect();
        let terms = BTreeMap::from([(1, vec![1]), (2, long.clone()), (3, vec![4])]);
        let blocks = blocks(&terms);
        let firsts: Vec<u32> = blocks.iter().map(|(first, _)| first.0).collect();
        assert_eq!(firsts, [1, 2, 3]);
        let block = Block::read(&blocks[1].1).expect("whole");
        let postings = block.find(Term(2)).expect("whole").expect("there");
        assert_eq!(postings.count(), long.len() as u64);
    }

    proptest! {
        #[test]
        fn every_term_is_found_in_its_block(
            terms in proptest::collection::btree_map(
                any::<u32>(), proptest::collection::btree_set(0u32..5000, 1..60), 1..600),
        ) {
            let terms: BTreeMap<u32, Vec<u32>> =
                terms.into_iter().map(|(term, set)| (term, set.into_iter().collect())).collect();
            let blocks = blocks(&terms);
            for (&term, documents) in &terms {
                let at = blocks.partition_point(|(first, _)| first.0 <= term) - 1;
                let block = Block::read(&blocks[at].1).expect("whole");
                let postings = block.find(Term(term)).expect("whole").expect("there");
                let mut found = Vec::new();
                postings.visit(|document| found.push(document)).expect("whole");
                prop_assert_eq!(&found, documents);
                let behind = Block::read(&blocks[at].1).expect("whole").find(Term(term.wrapping_add(1)));
                prop_assert!(behind.expect("whole").is_none() || terms.contains_key(&term.wrapping_add(1)));
            }
        }

        #[test]
        fn garbage_never_panics(mut bytes: Vec<u8>) {
            bytes.insert(0, VERSION);
            let mut block = Block::read(&bytes).expect("the version");
            while let Ok(Some(_)) = block.next_term() {}
        }
    }
}
