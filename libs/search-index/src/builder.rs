//! Documents' texts to postings.

use crate::terms::{EVERYWHERE, Term, terms_of};
use mime::Place;

/// Gathers the terms of documents, which are given in order. Memory: 8 bytes for each term of each
/// document.
#[derive(Debug, Default)]
pub struct Builder {
    /// Term and document.
    pairs: Vec<u64>,
    /// Of the document that is being added.
    terms: Vec<Term>,
}

impl Builder {
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
