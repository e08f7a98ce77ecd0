//! What messages are sorted and threaded by.
//!
//! | field | form |
//! |---|---|
//! | internal date, Unix seconds | 8 bytes, high byte first, two's complement |
//! | date sent, Unix seconds | the same |
//! | base subject | its length four times, one more if it was a reply's, two more if the record does not hold all it refers to, as varint; bytes |
//! | ids | how many as varint, 16 bytes each |
//!
//! Ids of messages are told apart by the first 128 bits of their BLAKE3: nobody finds two
//! that are alike.

use super::ListKind;
use super::sealed::Paged;
use crate::email::EmailRecord;
use crate::error::{RecordError, StoreError};
use crate::limits::{HEADER_BYTES_MAX, REFERENCES_MAX, SORTED_SUBJECT_BYTES_MAX};
use crate::reading::EmailReader;
use bytes::Bytes;
use mailbox_model::EmailId;
use mime::{EnvelopeReader, HeaderReader, StoredDigest, message_ids};
use std::ops::ControlFlow;
use wire::codec::{DecodeError, Reader, Writer};

const ID_BYTES: usize = 16;
/// Of a message that has no id.
const NO_ID: [u8; ID_BYTES] = [0; ID_BYTES];

/// What an email is sorted and threaded by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortKeys<'a> {
    /// INTERNALDATE, in Unix seconds.
    pub received_s: i64,
    /// RFC 5256 §2.2: the Date field, or the internal date where that is none; in Unix seconds.
    pub sent_s: i64,
    /// RFC 5256 §2.1: the base subject, as `i;unicode-casemap` compares it.
    pub subject: &'a [u8],
    /// The subject was a reply's, or a forward's.
    pub is_reply: bool,
    /// The record does not hold all that it refers to: [`EmailReader::references`] does.
    pub refers_to_more: bool,
    /// [`SortKeys::id`], then [`SortKeys::references`].
    ids: &'a [[u8; ID_BYTES]],
}

impl<'a> SortKeys<'a> {
    /// The Message-ID; none if there is none.
    #[must_use]
    pub fn id(&self) -> Option<[u8; 16]> {
        self.ids.first().copied().filter(|id| *id != NO_ID)
    }

    /// What it refers to, the oldest first: References, or else the first id of In-Reply-To (RFC 5256 §3).
    #[must_use]
    pub fn references(&self) -> &'a [[u8; 16]] {
        self.ids.get(1..).unwrap_or_default()
    }
}

impl Paged for SortKeys<'_> {
    type Read<'a> = SortKeys<'a>;

    const KIND: ListKind = ListKind::SortKeys;

    fn write(record: &EmailRecord, out: &mut Writer) -> Result<(), DecodeError> {
        let digest = StoredDigest::read(&record.digest)?;
        let received_s = record.received_at.unix_seconds;
        out.u64_be(received_s as u64);
        let Some(envelope) = EnvelopeReader::read(digest.envelope) else {
            out.u64_be(received_s as u64).varint(0).varint(0);
            return Ok(());
        };
        let date = envelope.date();
        out.u64_be(date.map_or(received_s, |date| date.unix_seconds) as u64);
        let mut fields = digest.fields()?.filter_map(Result::ok);
        let cached = fields.find(|(name, _)| *name == "references");
        let references = cached.and_then(|(_, raw)| in_header(raw));
        let refers_to_more = references.is_none() && !digest.fields_complete;
        let (subject, is_reply) = envelope.base_subject();
        let mut subject = mime::casemap(&subject);
        subject.truncate(subject.floor_char_boundary(SORTED_SUBJECT_BYTES_MAX));
        let marks = u64::from(is_reply) | u64::from(refers_to_more) << 1;
        out.varint((subject.len() as u64) << 2 | marks);
        out.raw(subject.as_bytes());
        let references = keys_of(references, &envelope);
        let own = message_ids(&envelope.message_id());
        out.varint(1 + references.len() as u64);
        out.raw(&own.first().map_or(NO_ID, |id| key_of(id)));
        out.raw(references.as_flattened());
        Ok(())
    }

    fn read<'a>(input: &mut Reader<'a>, _page: &'a Bytes) -> Result<SortKeys<'a>, DecodeError> {
        let (received_s, sent_s) = (input.u64_be()? as i64, input.u64_be()? as i64);
        let subject = input.varint32()?;
        let (is_reply, refers_to_more) = (subject & 1 != 0, subject & 2 != 0);
        let subject = input.raw((subject >> 2) as usize)?;
        let ids = input.varint32()? as usize;
        if ids > REFERENCES_MAX + 1 {
            return Err(DecodeError::OutOfRange);
        }
        let (ids, _) = input.raw(ids * ID_BYTES)?.as_chunks();
        Ok(SortKeys {
            received_s,
            sent_s,
            subject,
            is_reply,
            refers_to_more,
            ids,
        })
    }
}

impl EmailReader {
    /// What an email refers to, as [`SortKeys::references`] has it; the message is opened.
    ///
    /// # Errors
    /// The record or the body is missing, damaged or can't be read.
    pub fn references(&self, email: EmailId) -> Result<Vec<[u8; 16]>, StoreError> {
        let damaged = |error| RecordError::Damaged(email, error);
        let record = self.email_records(&[email]).pop();
        let record = record.unwrap_or(Err(RecordError::Missing(email)))?;
        let digest = StoredDigest::read(&record.digest).map_err(damaged)?;
        let range = 0..digest.header_len.min(HEADER_BYTES_MAX);
        let mut header = Vec::new();
        self.visit_body(&record, range, &mut |piece| {
            header.extend_from_slice(piece);
            ControlFlow::Continue(())
        })?;
        let envelope = EnvelopeReader::read(digest.envelope);
        Ok(envelope.map_or(Vec::new(), |envelope| {
            keys_of(in_header(&header), &envelope)
        }))
    }
}

/// RFC 5256 §3: References, or else the first id of In-Reply-To.
fn keys_of(references: Option<Vec<u8>>, envelope: &EnvelopeReader<'_>) -> Vec<[u8; ID_BYTES]> {
    let mut ids = message_ids(&references.unwrap_or_default());
    if ids.is_empty() {
        ids = message_ids(&envelope.in_reply_to());
        ids.truncate(1);
    }
    // The first holds a thread together, the last are next to the message.
    if ids.len() > REFERENCES_MAX {
        ids.drain(1..=ids.len() - REFERENCES_MAX);
    }
    ids.iter().map(|id| key_of(id)).collect()
}

fn key_of(id: &str) -> [u8; ID_BYTES] {
    let mut key = NO_ID;
    key.copy_from_slice(&blake3::hash(id.as_bytes()).as_bytes()[..ID_BYTES]);
    key
}

fn in_header(header: &[u8]) -> Option<Vec<u8>> {
    let mut fields = HeaderReader::new(header);
    let field = fields.find(|field| field.is("references"))?;
    Some(field.unfolded().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::decode;
    use mailbox_model::EmailId;

    #[test]
    fn a_page_is_these_bytes() {
        let mut golden = vec![1, 1, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe];
        golden.extend(*b"\0\0\0\0\0\0\0\x01\x09AB\x02");
        golden.extend([0; 16]);
        golden.extend([7; 16]);
        let page = Bytes::from(golden.clone());
        let mut all = Vec::new();
        let read = decode::<SortKeys<'_>>(0, &page, |email, one, octets| {
            assert_eq!(octets, &golden[3..]);
            all.push((email, one));
        });
        assert_eq!(read, Ok(()));
        let ids = [NO_ID, [7; ID_BYTES]];
        let sample = SortKeys {
            received_s: -2,
            sent_s: 1,
            subject: b"AB",
            is_reply: true,
            refers_to_more: false,
            ids: &ids,
        };
        assert_eq!(all, [(EmailId(3), sample)]);
        assert_eq!((sample.id(), sample.references()), (None, &[[7; 16]][..]));
        for len in 0..golden.len() {
            let cut = page.slice(..len);
            assert!(decode::<SortKeys<'_>>(0, &cut, |_, _, _| {}).is_err());
        }
    }

    #[test]
    fn ids_are_one_in_any_form() {
        assert_eq!(key_of("a@b"), key_of("a@b"));
        assert_ne!(key_of("a@b"), key_of("A@b"));
        let field = in_header(b"References: <a@b>\r\n <c@d>\r\n\r\n").expect("there");
        assert_eq!(message_ids(&field), ["a@b", "c@d"]);
    }
}
