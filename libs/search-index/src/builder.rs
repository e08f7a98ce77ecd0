//! Documents' texts to postings.

use crate::limits::DOCUMENT_PAIRS;
use crate::terms::{EVERYWHERE, Term, terms_of};
use mime::Place;

/// Gathers the terms of documents, which are given in order. Memory: [`PAIR_BYTES`](crate::limits::PAIR_BYTES) for each term of each
/// document.
#[derive(Debug)]
pub struct Builder {
    /// Term and document. It does not grow step by step: that would take up to three times as much.
    pairs: Vec<u64>,
    /// Of the document that is being added.
    terms: Vec<Term>,
}

impl Builder {
    /// With room for so many terms of documents, and for [`DOCUMENT_PAIRS`] of the last one. Only one that has
    /// more makes it grow.
    #[must_use]
    pub fn with_room(pairs: usize) -> Self {
        Self {
            pairs: Vec::with_capacity(pairs + DOCUMENT_PAIRS),
            terms: Vec::new(),
        }
    }

    /// Adds a folded text of the next document.
    pub fn text(&mut self, place: Place, text: &str) {
        terms_of(text, place, &mut self.terms);
        // A text of megabytes has the same terms again and again.
        if self.terms.len() > 1 << 20 {
            self.terms.sort_unstable();
            self.terms.dedup();
        }
    }

    /// The next document may hold any text.
    pub fn anything(&mut self) {
        self.terms.push(EVERYWHERE);
    }

    /// What was added is all of this document.
    pub fn finish_document(&mut self, document: u32) {
        self.terms.sort_unstable();
        self.terms.dedup();
        self.pairs.reserve_exact(self.terms.len());
        let terms = self.terms.drain(..);
        self.pairs
            .extend(terms.map(|term| u64::from(term.0) << 32 | u64::from(document)));
    }

    /// Terms of documents by now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Calls `f` with each term and its documents, in order.
    pub fn finish(mut self, mut f: impl FnMut(Term, &[u32])) {
        self.pairs.sort_unstable();
        let mut documents = Vec::new();
        for same in self.pairs.chunk_by(|one, other| one >> 32 == other >> 32) {
            documents.clear();
            documents.extend(same.iter().map(|pair| *pair as u32));
            f(Term((same[0] >> 32) as u32), &documents);
        }
    }
}
