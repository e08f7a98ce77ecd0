//! Looks for the texts of a search in a message's own words: its header and its text parts,
//! decoded. Runs on the blocking pool.

use super::Query;
use crate::limits::{HEADER_BYTES_MAX, SEARCHED_BYTES_MAX};
use bytes::Bytes;
use mailstore::{EmailReader, EmailRecord, StoreError};
use mime::{Octets, PartIndex, Place, StoredDigest, TextForm, TextReader};
use std::error::Error;
use std::ops::{ControlFlow, Range};

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
        reader: &EmailReader,
        record: &EmailRecord,
        body: Option<&Bytes>,
    ) -> Result<&Content, Box<dyn Error>> {
        let digest = StoredDigest::read(&record.digest)?;
        let octets = Body {
            reader,
            record,
            whole: body,
        };
        let header = &mut self.content.header;
        header.clear();
        header.extend_from_slice(&record.prefix);
        octets.visit(0..digest.header_len.min(HEADER_BYTES_MAX), &mut |piece| {
            header.extend_from_slice(piece);
            ControlFlow::Continue(())
        })?;
        self.content.found.clear();
        self.content
            .found
            .resize(query.needles.len(), Found::default());
        if query.needles.is_empty() {
            return Ok(&self.content);
        }
        let parts = digest.parts()?;
        self.look_for(query, &parts, &octets)?;
        Ok(&self.content)
    }

    fn look_for(
        &mut self,
        query: &Query,
        parts: &PartIndex,
        octets: &Body<'_>,
    ) -> Result<(), StoreError> {
        let form = TextForm {
            fold: &|text, out| query.comparator.fold_into(text, out),
            overlap: query.needle_bytes_max().saturating_sub(1),
            octets_max: SEARCHED_BYTES_MAX,
        };
        let found = &mut self.content.found;
        let parts = Some((parts, octets));
        self.texts
            .visit(&self.content.header, parts, form, &mut |place, text| {
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
            })
    }
}

/// An email's blob.
struct Body<'a> {
    reader: &'a EmailReader,
    record: &'a EmailRecord,
    whole: Option<&'a Bytes>,
}

impl Octets for Body<'_> {
    type Error = StoreError;

    fn visit(
        &self,
        range: Range<u64>,
        f: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        match self.whole {
            Some(whole) => {
                let Ok(()) = whole[..].visit(range, f);
                Ok(())
            }
            None => self.reader.visit_body(self.record, range, f),
        }
    }
}
