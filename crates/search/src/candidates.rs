//! Which emails may hold a text, as the index says.

use crate::head::{Head, Segment};
use crate::keys;
use crate::search::SearchError;
use bytes::Bytes;
use engine::{Order, Snapshot};
use envelope::AccountId;
use mailbox_model::EmailId;
use mime::Place;
use search_index::{Block, EVERYWHERE, Postings, Term, all_of, either, terms_in};

/// Where a text is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    /// The header, a field of it, an address in a field.
    Header,
    /// BODY
    Body,
    /// TEXT
    Text,
}

/// A text that is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// Folded by [`mime::casemap`].
    pub text: String,
    /// Where.
    pub within: Within,
}

/// What the index says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidates {
    /// Of emails from this number on it says nothing.
    pub covered: EmailId,
    /// Of each look-up the emails below that number that may hold its text, in order; none where the index
    /// cannot tell.
    pub found: Vec<Option<Vec<EmailId>>>,
}

impl Candidates {
    /// It says nothing of anything.
    #[must_use]
    pub fn nothing(lookups: usize) -> Self {
        Self {
            covered: EmailId(0),
            found: vec![None; lookups],
        }
    }

    /// True if the index says that an email does not hold the text of a look-up.
    #[must_use]
    pub fn leaves_out(&self, lookup: Option<usize>, email: EmailId) -> bool {
        let found = lookup.and_then(|at| self.found.get(at)?.as_ref());
        email < self.covered && found.is_some_and(|found| found.binary_search(&email).is_err())
    }
}

pub(crate) fn look_up(
    snapshot: &dyn Snapshot,
    account: AccountId,
    head: &Head,
    lookup: &Lookup,
) -> Result<Option<Vec<EmailId>>, SearchError> {
    let places: &[Place] = match lookup.within {
        Within::Header => &[Place::Header],
        Within::Body => &[Place::Body],
        Within::Text => &[Place::Header, Place::Body],
    };
    let mut found = Vec::new();
    for segment in &head.segments {
        let reader = SegmentReader {
            snapshot,
            account,
            segment,
        };
        let mut documents = reader.documents_of(&[EVERYWHERE])?;
        for &place in places {
            let terms = terms_in(&lookup.text, place);
            if terms.is_empty() {
                return Ok(None);
            }
            documents = either(reader.documents_of(&terms)?, &documents);
        }
        let emails = documents.into_iter().map(u64::from);
        let emails = emails.filter(|&document| document < segment.span);
        found.extend(emails.map(|document| EmailId(segment.first + document)));
    }
    Ok(Some(found))
}

struct SegmentReader<'a> {
    snapshot: &'a dyn Snapshot,
    account: AccountId,
    segment: &'a Segment,
}

impl SegmentReader<'_> {
    /// The documents that have all of some terms.
    fn documents_of(&self, terms: &[Term]) -> Result<Vec<u32>, SearchError> {
        let mut blocks: Vec<(Term, Bytes)> = Vec::with_capacity(terms.len());
        for &term in terms {
            let (start, end) = keys::blocks_until(self.account, self.segment.number, term);
            let mut found = self.snapshot.scan(&start, &end, Order::Descending, 1)?;
            let Some((_, block)) = found.pop() else {
                return Ok(Vec::new());
            };
            blocks.push((term, block.value));
        }
        let mut postings: Vec<Postings<'_>> = Vec::with_capacity(blocks.len());
        for (term, block) in &blocks {
            match Block::read(block)?.find(*term)? {
                Some(found) => postings.push(found),
                None => return Ok(Vec::new()),
            }
        }
        Ok(all_of(postings)?)
    }
}
