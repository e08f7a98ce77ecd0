//! Several segments to one: their terms in order, their documents one after another's.

use crate::block::Block;
use crate::terms::Term;
use wire::codec::DecodeError;

/// Merges segments, the one with the lowest documents first. Each is read block by block: `next` gives
/// the next block of a segment by its place.
#[derive(Debug)]
pub struct Merge<B, F> {
    segments: Vec<Segment<B>>,
    next: F,
}

#[derive(Debug)]
struct Segment<B> {
    /// What is added to its documents.
    shift: u32,
    block: Option<B>,
    /// Where in the block the reading is.
    place: (usize, Option<u32>),
    /// The term that comes next, and its documents.
    head: Option<(Term, Vec<u32>)>,
}

impl<B, F, E> Merge<B, F>
where
    B: AsRef<[u8]>,
    F: FnMut(usize) -> Result<Option<B>, E>,
    E: From<DecodeError>,
{
    /// Begins with segments whose documents are `shifts` further on in the new one.
    ///
    /// # Errors
    /// A block cannot be read.
    pub fn new(shifts: &[u32], next: F) -> Result<Self, E> {
        let segments = shifts.iter().map(|&shift| Segment {
            shift,
            block: None,
            place: (0, None),
            head: None,
        });
        let mut merge = Self {
            segments: segments.collect(),
            next,
        };
        for at in 0..merge.segments.len() {
            merge.advance(at)?;
        }
        Ok(merge)
    }

    /// The next term and its documents.
    ///
    /// # Errors
    /// A block cannot be read.
    pub fn next_term(&mut self) -> Result<Option<(Term, Vec<u32>)>, E> {
        let heads = self
            .segments
            .iter()
            .filter_map(|segment| segment.head.as_ref());
        let Some(term) = heads.map(|(term, _)| *term).min() else {
            return Ok(None);
        };
        let mut all = Vec::new();
        for at in 0..self.segments.len() {
            let same = |(next, _): &mut (Term, Vec<u32>)| *next == term;
            if let Some((_, documents)) = self.segments[at].head.take_if(same) {
                match all.is_empty() {
                    true => all = documents,
                    false => all.extend_from_slice(&documents),
                }
                self.advance(at)?;
            }
        }
        Ok(Some((term, all)))
    }

    fn advance(&mut self, at: usize) -> Result<(), E> {
        loop {
            let segment = &mut self.segments[at];
            if let Some(bytes) = &segment.block {
                let bytes = bytes.as_ref();
                let mut block = match segment.place {
                    (0, _) => Block::read(bytes)?,
                    place => Block::at(bytes, place),
                };
                if let Some((term, postings)) = block.next_term()? {
                    let mut documents = Vec::new();
                    postings.visit(|document| {
                        documents.push(document.saturating_add(segment.shift));
                    })?;
                    segment.place = block.place(bytes);
                    segment.head = Some((term, documents));
                    return Ok(());
                }
            }
            segment.block = (self.next)(at)?;
            segment.place = (0, None);
            if segment.block.is_none() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::BlockWriter;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    type Terms = BTreeMap<u32, BTreeSet<u32>>;

    fn blocks(terms: &Terms) -> Vec<Vec<u8>> {
        let mut blocks = Vec::new();
        let mut writer = BlockWriter::default();
        for (&term, documents) in terms {
            let documents: Vec<u32> = documents.iter().copied().collect();
            writer.push(Term(term), &documents, |_, block| {
                blocks.push(block);
            });
        }
        writer.finish(|_, block| {
            blocks.push(block);
        });
        blocks
    }

    proptest! {
        #[test]
        fn a_merge_has_what_its_segments_have(
            segments in proptest::collection::vec(
                proptest::collection::btree_map(
                    0u32..2000, proptest::collection::btree_set(0u32..300, 1..200), 0..150), 1..5),
        ) {
            let shifts: Vec<u32> = (0..segments.len() as u32).map(|at| at * 300).collect();
            let mut all = Terms::new();
            for (segment, shift) in segments.iter().zip(&shifts) {
                for (&term, documents) in segment {
                    all.entry(term).or_default().extend(documents.iter().map(|d| d + shift));
                }
            }
            let mut stored: Vec<_> = segments.iter().map(|terms| blocks(terms).into_iter()).collect();
            let next = |at: usize| Ok::<_, DecodeError>(stored[at].next());
            let mut merge = Merge::new(&shifts, next).expect("whole");
            let mut merged = Terms::new();
            let mut last = None;
            while let Some((term, documents)) = merge.next_term().expect("whole") {
                prop_assert!(last < Some(term) && documents.is_sorted());
                last = Some(term);
                merged.insert(term.0, documents.into_iter().collect());
            }
            prop_assert_eq!(merged, all);
        }
    }
}
