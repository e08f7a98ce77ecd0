//! Looks for the texts of a search in a message's own words: its header and its text parts,
//! decoded. Runs on the blocking pool.

use super::Query;
use ::search::TextError;
use bytes::Bytes;
use mailstore::{EmailReader, EmailRecord};
use mime::{Place, TextReader, TextVisitor};
use std::ops::ControlFlow;

/// What a search knows of a message once it has looked into it.
#[derive(Debug, Default)]
pub(crate) struct Content {
    /// The message's header as it is.
    pub(crate) header: Vec<u8>,
    /// Where each of the query's needles was found.
    found: Vec<Found>,
}

/// Where a needle was found; what was not asked for may be left open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Found {
    header: bool,
    body: bool,
}

impl Content {
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
pub(crate) struct Looker {
    texts: TextReader,
    content: Content,
}

impl Looker {
    /// What the query wants to know of a message; `body` is its blob if that was read already.
    /// Parts that are no text are not read.
    ///
    /// # Errors
    /// The message cannot be read.
    pub(crate) fn look(
        &mut self,
        query: &Query,
        emails: &EmailReader,
        record: &EmailRecord,
        body: Option<&Bytes>,
    ) -> Result<&Content, TextError> {
        let Content { header, found } = &mut self.content;
        found.clear();
        found.resize(query.needles.len(), Found::default());
        let mut look = |place: Place, text: &str| {
            let mut open = false;
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
        let visit: Option<TextVisitor<'_>> = match query.needles.is_empty() {
            true => None,
            false => Some(&mut look),
        };
        let email = (emails, record, body);
        ::search::visit_texts(&mut self.texts, email, (&fold, overlap), header, visit)?;
        Ok(&self.content)
    }
}
