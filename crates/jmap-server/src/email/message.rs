//! A message that is read: its header, its parts, what stands in them. Runs on the blocking pool.

use crate::blob_id::BlobRef;
use crate::budget::Budget;
use crate::limits::{COUNTED_BYTES_MAX, DECODED_AT_ONCE_BYTES, HEADER_BYTES_MAX, PIECE_BYTES};
use bytes::Bytes;
use mailstore::{EmailReader, EmailRecord, RecordError, StoreError};
use mime::transfer::Decoder;
use mime::{CACHED_FIELDS, Encoding, Part, PartIndex, PartKind, StoredDigest};
use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
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

/// Of an email. Keeps the piece that it read last: what is asked for part by part is read once.
pub(crate) struct Stored<'a> {
    emails: &'a EmailReader,
    record: &'a EmailRecord,
    budget: &'a Budget,
    /// Where it begins, and its octets.
    piece: RefCell<Option<(u64, Bytes)>>,
}

impl<'a> Stored<'a> {
    /// What is read is the budget's; once that is spent nothing more is.
    pub(crate) fn new(
        emails: &'a EmailReader,
        record: &'a EmailRecord,
        budget: &'a Budget,
    ) -> Self {
        Self {
            emails,
            record,
            budget,
            piece: RefCell::default(),
        }
    }

    /// The piece that begins there; none if the budget is spent.
    fn piece(&self, start: u64) -> Result<Option<Bytes>, StoreError> {
        if let Some((at, piece)) = &*self.piece.borrow()
            && *at == start
        {
            return Ok(Some(piece.clone()));
        }
        let range = start..self.record.blob_size.min(start + PIECE_BYTES);
        let len = range.end.saturating_sub(range.start);
        if !self.budget.take(len) {
            return Ok(None);
        }
        let mut octets = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
        self.emails.visit_body(self.record, range, &mut |more| {
            octets.extend_from_slice(more);
            ControlFlow::Continue(())
        })?;
        let piece = Bytes::from(octets);
        *self.piece.borrow_mut() = Some((start, piece.clone()));
        Ok(Some(piece))
    }
}

impl Source for Stored<'_> {
    fn visit(
        &self,
        range: Range<u64>,
        f: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let end = range.end.min(self.record.blob_size);
        let mut at = range.start;
        while at < end {
            // Pieces are those that bodies are stored in.
            let start = at / PIECE_BYTES * PIECE_BYTES;
            let Some(piece) = self.piece(start)? else {
                break;
            };
            let to = end.min(start + piece.len() as u64);
            let octets = piece.get((at - start) as usize..(to - start) as usize);
            let Some(octets) = octets.filter(|octets| !octets.is_empty()) else {
                break;
            };
            at = to;
            if f(octets).is_break() {
                break;
            }
        }
        Ok(())
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
        // What is decoded is not in memory a second time.
        for piece in self.0[start.min(end)..end].chunks(DECODED_AT_ONCE_BYTES) {
            if f(piece).is_break() {
                break;
            }
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
    /// Of parts that had to be counted.
    sizes: RefCell<HashMap<u32, u64>>,
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
            sizes: RefCell::default(),
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
            sizes: RefCell::default(),
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

    /// Octets of what stands in a part: counted once, or of much base64 worked out from its length
    /// and its end.
    pub(crate) fn decoded_size(&self, at: u32) -> Result<u64, StoreError> {
        let Some(part) = self.part(at) else {
            return Ok(0);
        };
        let len = part.body.end - part.body.start;
        let encoding = encoding_of(part);
        if encoding.is_identity() {
            return Ok(len);
        }
        if let Some(size) = self.sizes.borrow().get(&at) {
            return Ok(*size);
        }
        let size = match encoding {
            Encoding::Base64 if len > COUNTED_BYTES_MAX => {
                let letters = len.saturating_sub(part.lines * 2);
                let tail = self.read(part.body.end.saturating_sub(8)..part.body.end)?;
                let padding = tail.iter().filter(|b| **b == b'=').count() as u64;
                (letters / 4 * 3).saturating_sub(padding)
            }
            _ => {
                let mut size = 0;
                self.visit_decoded(at, &mut |piece| {
                    size += piece.len() as u64;
                    ControlFlow::Continue(())
                })?;
                size
            }
        };
        self.sizes.borrow_mut().insert(at, size);
        Ok(size)
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

#[cfg(test)]
mod tests {
    use super::*;
    use mailbox_model::EmailId;
    use std::cell::Cell;

    /// Octets, and how many of them were given.
    struct Counted<'a>(&'a [u8], Cell<usize>);

    impl Source for Counted<'_> {
        fn visit(
            &self,
            range: Range<u64>,
            f: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
        ) -> Result<(), StoreError> {
            Memory(self.0).visit(range, &mut |piece| {
                assert!(piece.len() <= DECODED_AT_ONCE_BYTES);
                self.1.set(self.1.get() + piece.len());
                f(piece)
            })
        }
    }

    fn size(encoding: &str, body: &str) -> (u64, usize) {
        let octets = format!("Content-Transfer-Encoding: {encoding}\r\n\r\n{body}");
        let octets = octets.as_bytes();
        let source = Counted(octets, Cell::new(0));
        let message = Message::indexed(BlobRef::email(EmailId(1)), octets, &source);
        let size = message.decoded_size(0).expect("in memory");
        for _ in 0..1000 {
            assert_eq!(message.decoded_size(0).expect("in memory"), size);
        }
        let (decoded, whole) = message.decoded(0, u64::MAX).expect("in memory");
        assert!(whole && decoded.len() as u64 == size);
        let read = source.1.get();
        (size, read - body.len())
    }

    #[test]
    fn a_size_is_found_once_and_much_base64_is_not_counted() {
        let small = mime::transfer::base64_lines(&[7; 100_000]);
        assert_eq!(size("base64", &small), (100_000, small.len()));
        let quoted = "=41=\r\nb\r\n".repeat(50_000);
        assert_eq!(size("quoted-printable", &quoted), (200_000, quoted.len()));
        assert_eq!(size("8bit", "abc"), (3, 0));
        for more in 0..3 {
            let large = mime::transfer::base64_lines(&vec![7; 1_000_000 + more]);
            let large = large.trim_end();
            assert_eq!(size("base64", large), (1_000_000 + more as u64, 8));
        }
    }
}
