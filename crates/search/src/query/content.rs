//! Looks for the texts of a search in a message's own words: its header and its text parts,
//! decoded. Runs on the blocking pool.

use super::Query;
use super::fuzzy::Fit;
use crate::texts::{TextError, visit_texts};
use bytes::Bytes;
use mailstore::{EmailReader, EmailRecord};
use mime::{Place, TextReader, TextVisitor};
use std::ops::ControlFlow;

/// What a search knows of a message once it has looked into it.
#[derive(Debug, Default)]
pub struct Content {
    /// The message's header as it is.
    pub header: Vec<u8>,
    /// Where each of the query's needles was found.
    found: Vec<Found>,
    /// How well each of the query's fuzzy texts fits body and header.
    fits: Vec<(Fit, Fit)>,
}

/// Where a needle was found; what was not asked for may be left open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Found {
    header: bool,
    body: bool,
}

impl Content {
    /// From 1 to 100, how well a fuzzy text fits body or, where `header` counts too, header; 0 is no match.
    pub(super) fn score(&self, query: &Query, fuzzy: usize, header: bool) -> u32 {
        let (Some(wanted), Some((body, head))) = (query.fuzzies.get(fuzzy), self.fits.get(fuzzy))
        else {
            return 0;
        };
        let in_header = if header { wanted.score(head) } else { 0 };
        wanted.score(body).max(in_header)
    }

    /// BODY: the body alone.
    pub(super) fn body_has(&self, needle: usize) -> bool {
        self.found.get(needle).is_some_and(|found| found.body)
    }

    /// TEXT: header, MIME headers and body.
    pub(super) fn text_has(&self, needle: usize) -> bool {
        let found = self.found.get(needle);
        found.is_some_and(|found| found.header || found.body)
    }
}

/// Looks into one message after another. Keeps its memory from one to the next.
#[derive(Debug, Default)]
pub struct Looker {
    texts: TextReader,
    content: Content,
}

impl Looker {
    /// What the query wants to know of a message; `body` is its blob if that was read already.
    /// Parts that are no text are not read.
    ///
    /// # Errors
    /// The message cannot be read.
    pub fn look(
        &mut self,
        query: &Query,
        emails: &EmailReader,
        record: &EmailRecord,
        body: Option<&Bytes>,
    ) -> Result<&Content, TextError> {
        let Content {
            header,
            found,
            fits,
        } = &mut self.content;
        found.clear();
        found.resize(query.needles.len(), Found::default());
        fits.clear();
        fits.resize(query.fuzzies.len(), Default::default());
        let mut look = |place: Place, text: &str| {
            // Of these all counts.
            let mut open = !query.fuzzies.is_empty();
            for (fuzzy, (body, head)) in query.fuzzies.iter().zip(fits.iter_mut()) {
                match place {
                    Place::Header => fuzzy.look(text, head),
                    Place::Body => fuzzy.look(text, body),
                }
            }
            for (needle, found) in query.needles.iter().zip(found.iter_mut()) {
                let here = match place {
                    Place::Header => &mut found.header,
                    Place::Body => &mut found.body,
                };
                *here = *here || needle.finder.find(text.as_bytes()).is_some();
                open |= !found.body && (needle.in_body || !found.header);
            }
            match open {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        };
        let fold = |text: &str, out: &mut String| query.comparator.fold_into(text, out);
        let overlap = query.needle_bytes_max().saturating_sub(1);
        let visit: Option<TextVisitor<'_>> =
            match query.needles.is_empty() && query.fuzzies.is_empty() {
                true => None,
                false => Some(&mut look),
            };
        let email = (emails, record, body);
        visit_texts(&mut self.texts, email, (&fold, overlap), header, visit)?;
        Ok(&self.content)
    }
}
