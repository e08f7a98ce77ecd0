//! A message that is read: its header, its parts, what stands in them. Runs on the blocking pool.

use crate::blob_id::BlobRef;
use crate::limits::{HEADER_BYTES_MAX, NESTED_BYTES_MAX};
use bytes::Bytes;
use mailstore::{EmailReader, EmailRecord, RecordError, StoreError};
use mime::transfer::Decoder;
use mime::{CACHED_FIELDS, Encoding, Part, PartIndex, PartKind, StoredDigest};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::ops::{ControlFlow, Range};

/// Octets that parts are of.
pub(crate) trait Source {
    /// Calls `f` with the octets of a range, in any pieces, until it breaks off.
    ///
    /// # Errors
    /// They cannot be read.
    fn visit(
        &self,
        range: Range<u64>,
        f: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;
}

/// Of an email.
pub(crate) struct Stored<'a> {
    pub(crate) emails: &'a EmailReader,
    pub(crate) record: &'a EmailRecord,
    /// The blob, where it was read as a whole.
    pub(crate) whole: Option<Bytes>,
}

impl Source for Stored<'_> {
    fn visit(
        &self,
        range: Range<u64>,
        f: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        match &self.whole {
            Some(whole) => Memory(whole).visit(range, f),
            None => self.emails.visit_body(self.record, range, f),
        }
    }
}

/// In memory.
pub(crate) struct Memory<'a>(pub(crate) &'a [u8]);

impl Source for Memory<'_> {
    fn visit(
        &self,
        range: Range<u64>,
        f: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let place = |at: u64| usize::try_from(at).map_or(self.0.len(), |at| at.min(self.0.len()));
        let (start, end) = (place(range.start), place(range.end));
        if start < end {
            let _ = f(&self.0[start..end]);
        }
        Ok(())
    }
}

/// A message and what is known of it.
pub(crate) struct Message<'a> {
    /// Its octets' id.
    pub(crate) blob: BlobRef,
    /// Octets as shown.
    pub(crate) size: u64,
    /// Fields in front of what the parts are of.
    prefix: Cow<'a, [u8]>,
    header_len: u64,
    parts: OnceCell<PartIndex>,
    digest: Option<StoredDigest<'a>>,
    preview: Cow<'a, str>,
    source: &'a dyn Source,
    header: OnceCell<Vec<u8>>,
    /// The fields that lists ask for, or none where the digest does not hold them.
    cached: OnceCell<Option<Vec<u8>>>,
}

impl<'a> Message<'a> {
    /// Of an email's record.
    pub(crate) fn stored(
        blob: BlobRef,
        record: &'a EmailRecord,
        source: &'a dyn Source,
        damaged: impl Fn(wire::codec::DecodeError) -> RecordError,
    ) -> Result<Self, StoreError> {
        let digest = StoredDigest::read(&record.digest).map_err(&damaged)?;
        let preview = digest.preview().map_err(&damaged)?;
        Ok(Self {
            blob,
            size: record.size(),
            prefix: Cow::Borrowed(&record.prefix),
            header_len: digest.header_len,
            parts: OnceCell::new(),
            digest: Some(digest),
            preview: Cow::Borrowed(preview),
            source,
            header: OnceCell::new(),
            cached: OnceCell::new(),
        })
    }

    /// Of octets that nothing is known of yet; `source` gives the same.
    pub(crate) fn indexed(blob: BlobRef, octets: &[u8], source: &'a dyn Source) -> Self {
        let digest = mime::digest(octets);
        Self {
            blob,
            size: digest.size,
            prefix: Cow::Borrowed(&[]),
            header_len: digest.header_len,
            parts: OnceCell::from(digest.parts),
            digest: None,
            preview: Cow::Owned(digest.preview),
            source,
            header: OnceCell::new(),
            cached: OnceCell::from(None),
        }
    }

    pub(crate) fn preview(&self) -> &str {
        &self.preview
    }

    /// Where the parts are. What is damaged has none but the message itself.
    pub(crate) fn parts(&self) -> &PartIndex {
        self.parts.get_or_init(|| {
            let parts = self.digest.and_then(|digest| digest.parts().ok());
            parts.unwrap_or_else(|| mime::digest(b"").parts)
        })
    }

    pub(crate) fn part(&self, at: u32) -> Option<&Part> {
        self.parts().part(at)
    }

    /// The whole header as it is shown.
    pub(crate) fn header(&self) -> Result<&[u8], StoreError> {
        if let Some(header) = self.header.get() {
            return Ok(header);
        }
        let mut header = self.prefix.to_vec();
        header.extend(self.read(0..self.header_len.min(HEADER_BYTES_MAX))?);
        Ok(self.header.get_or_init(|| header))
    }

    /// Enough of the header for fields of these names.
    pub(crate) fn header_with(&self, cached_only: bool) -> Result<&[u8], StoreError> {
        if !cached_only || self.header.get().is_some() {
            return self.header();
        }
        let cached = self.cached.get_or_init(|| {
            let digest = self.digest.filter(|digest| digest.fields_complete)?;
            let mut fields = self.prefix.to_vec();
            for field in digest.fields().ok()? {
                fields.extend_from_slice(field.ok()?.1);
            }
            Some(fields)
        });
        match cached {
            Some(fields) => Ok(fields),
            None => self.header(),
        }
    }

    /// A part's own header; of the message itself as it is shown.
    pub(crate) fn part_header(&self, at: u32) -> Result<Cow<'_, [u8]>, StoreError> {
        if at == 0 {
            return self.header().map(Cow::Borrowed);
        }
        let Some(part) = self.part(at) else {
            return Ok(Cow::Borrowed(&[]));
        };
        let range = part.header.start..part.header.end.min(part.header.start + HEADER_BYTES_MAX);
        self.read(range).map(Cow::Owned)
    }

    fn read(&self, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        let mut octets = Vec::new();
        self.source.visit(range, &mut |piece| {
            octets.extend_from_slice(piece);
            ControlFlow::Continue(())
        })?;
        Ok(octets)
    }

    /// What stands in a part, its transfer encoding undone, in pieces, until `f` breaks off.
    pub(crate) fn visit_decoded(
        &self,
        at: u32,
        f: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let Some(part) = self.part(at) else {
            return Ok(());
        };
        let encoding = encoding_of(part);
        if encoding.is_identity() {
            return self.source.visit(part.body.clone(), f);
        }
        let mut decoder = Decoder::new(encoding);
        let mut out = Vec::new();
        let mut flow = ControlFlow::Continue(());
        self.source.visit(part.body.clone(), &mut |piece| {
            out.clear();
            decoder.push(piece, &mut out);
            flow = f(&out);
            flow
        })?;
        if flow.is_continue() {
            out.clear();
            decoder.finish(&mut out);
            if !out.is_empty() {
                let _ = f(&out);
            }
        }
        Ok(())
    }

    /// What stands in a part, `max` octets at most, and whether that is all.
    pub(crate) fn decoded(&self, at: u32, max: u64) -> Result<(Vec<u8>, bool), StoreError> {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let mut all = Vec::new();
        let mut whole = true;
        self.visit_decoded(at, &mut |piece| {
            let room = max - all.len();
            if piece.len() > room {
                all.extend_from_slice(&piece[..room]);
                whole = false;
                return ControlFlow::Break(());
            }
            all.extend_from_slice(piece);
            ControlFlow::Continue(())
        })?;
        Ok((all, whole))
    }

    /// Octets of what stands in a part. Of base64 it is worked out from its length and its end, of
    /// quoted-printable counted.
    pub(crate) fn decoded_size(&self, at: u32) -> Result<u64, StoreError> {
        let Some(part) = self.part(at) else {
            return Ok(0);
        };
        let len = part.body.end - part.body.start;
        match encoding_of(part) {
            Encoding::Base64 if len > NESTED_BYTES_MAX => {
                let letters = len.saturating_sub(part.lines * 2);
                let tail = self.read(part.body.end.saturating_sub(8)..part.body.end)?;
                let padding = tail.iter().filter(|b| **b == b'=').count() as u64;
                Ok((letters / 4 * 3).saturating_sub(padding))
            }
            encoding if encoding.is_identity() => Ok(len),
            _ => {
                let mut size = 0;
                self.visit_decoded(at, &mut |piece| {
                    size += piece.len() as u64;
                    ControlFlow::Continue(())
                })?;
                Ok(size)
            }
        }
    }
}

/// RFC 2045 §6.4: what holds parts has no encoding of its own but those that are none.
fn encoding_of(part: &Part) -> Encoding {
    match part.kind {
        PartKind::Leaf => part.encoding,
        PartKind::Multipart | PartKind::Message => Encoding::Binary,
    }
}

/// Is a field of this name among those that digests keep?
pub(crate) fn is_cached(field: &str) -> bool {
    CACHED_FIELDS
        .iter()
        .any(|cached| cached.eq_ignore_ascii_case(field))
}
