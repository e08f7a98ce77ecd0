//! The texts of one email. Runs on the blocking pool.

use crate::limits::{HEADER_BYTES_MAX, SEARCHED_BYTES_MAX};
use bytes::Bytes;
use mailstore::{EmailReader, EmailRecord, StoreError};
use mime::{Fold, Octets, StoredDigest, TextForm, TextReader, TextVisitor};
use std::ops::{ControlFlow, Range};
use thiserror::Error;
use wire::codec::DecodeError;

/// Why an email's texts cannot be read.
#[derive(Debug, Error)]
pub enum TextError {
    /// Its record.
    #[error("its record is damaged: {0}")]
    Record(#[from] DecodeError),
    /// Its body.
    #[error(transparent)]
    Body(#[from] StoreError),
}

/// Gives the texts of an email to `visit`: as [`TextReader::visit`], folded by `fold` and with pieces that
/// overlap by so many bytes. `body` is its blob if that was read already; `header` takes its header as it is shown.
///
/// # Errors
/// The email cannot be read.
pub fn visit_texts(
    texts: &mut TextReader,
    (emails, record, body): (&EmailReader, &EmailRecord, Option<&Bytes>),
    (fold, overlap): (Fold<'_>, usize),
    header: &mut Vec<u8>,
    visit: Option<TextVisitor<'_>>,
) -> Result<(), TextError> {
    let digest = StoredDigest::read(&record.digest)?;
    let octets = Body {
        emails,
        record,
        whole: body,
    };
    header.clear();
    header.extend_from_slice(&record.prefix);
    octets.visit(0..digest.header_len.min(HEADER_BYTES_MAX), &mut |piece| {
        header.extend_from_slice(piece);
        ControlFlow::Continue(())
    })?;
    if let Some(visit) = visit {
        let parts = digest.parts()?;
        let form = TextForm {
            fold,
            overlap,
            octets_max: SEARCHED_BYTES_MAX,
        };
        texts.visit(header, Some((&parts, &octets)), form, visit)?;
    }
    Ok(())
}

/// An email's blob.
struct Body<'a> {
    emails: &'a EmailReader,
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
            None => self.emails.visit_body(self.record, range, f),
        }
    }
}
