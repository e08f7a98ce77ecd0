//! The digest of a message: what an email record keeps so that listing never
//! opens the message. Its parts are in final wire form.
//!
//! Stored record, version 1:
//!
//! | field | form |
//! |---|---|
//! | version | u8 = 1 |
//! | size, header length | varint, varint |
//! | flags | u8: 1 = all cached fields are there, 2 = a date follows |
//! | date | varint: seconds since 1970 in zigzag; varint: zone minutes in zigzag |
//! | envelope, BODY, BODYSTRUCTURE | bytes each |
//! | preview, subject, Message-ID | text each (no Message-ID: empty) |
//! | cached fields | varint count; per field: text name in lower case, bytes raw |
//! | parts | see [`crate::PartIndex::encode`] |

use wire::codec::{DecodeError, Writer};

use crate::date::{DateTime, parse_date};
use crate::encoded_word;
use crate::header::HeaderReader;
use crate::limits::CACHED_FIELD_BYTES_MAX;
use crate::part::PartIndex;
use crate::stored::StoredDigest;
use crate::structure::kept;

/// The fields that a digest keeps verbatim: what clients list a mailbox by.
pub const CACHED_FIELDS: [&str; 20] = [
    "date",
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "bcc",
    "subject",
    "message-id",
    "in-reply-to",
    "references",
    "content-type",
    "mime-version",
    "content-transfer-encoding",
    "x-priority",
    "importance",
    "list-id",
    "list-unsubscribe",
    "x-mailer",
    "user-agent",
];

pub(crate) const VERSION: u8 = 1;
pub(crate) const FIELDS_COMPLETE: u8 = 1;
pub(crate) const HAS_DATE: u8 = 2;

/// One field kept verbatim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedField {
    /// The name in lower case, one of [`CACHED_FIELDS`].
    pub name: String,
    /// The whole field with its folds and its line end.
    pub raw: Vec<u8>,
}

/// What is known of a message without opening it.
///
/// Its record has at most [`crate::limits::DIGEST_BYTES_MAX`] bytes. A message
/// that would need more gives up, in this order and only as far as needed: all
/// cached fields (`fields_complete` is false then); in `envelope` the ends of
/// texts over 2 KiB and the addresses beyond the first ones of each list; in
/// the structures and in `parts` long parameters and descriptions, then the
/// parts beyond the first ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// ENVELOPE in wire form, ASCII. Of very long address lists it names the
    /// first ones only: whoever needs all of them reads the header.
    pub envelope: Vec<u8>,
    /// BODY (without extension data) in wire form, ASCII.
    pub body: Vec<u8>,
    /// BODYSTRUCTURE in wire form, ASCII.
    pub body_structure: Vec<u8>,
    /// The first words of the text, at most 200 characters on one line.
    pub preview: String,
    /// The cached fields in the message's order.
    pub fields: Vec<CachedField>,
    /// Are all of the message's fields with those names in `fields`?
    pub fields_complete: bool,
    /// Bytes of the header with its blank line.
    pub header_len: u64,
    /// Line ends in the body.
    pub lines: u64,
    /// Bytes of the message.
    pub size: u64,
    /// The Date field.
    pub sent: Option<DateTime>,
    /// The subject, decoded.
    pub subject: String,
    /// The Message-ID without its angle brackets.
    pub message_id: Option<String>,
    /// Where the parts are.
    pub parts: PartIndex,
}

/// What the top-level header gives.
#[derive(Debug, Default)]
pub(crate) struct HeadFacts {
    pub(crate) header_cut: bool,
    fields: Vec<CachedField>,
    fields_cut: bool,
    sent: Option<DateTime>,
    subject: Option<String>,
    message_id: Option<String>,
}

impl HeadFacts {
    pub(crate) fn read(&mut self, block: &[u8]) {
        // Only this header's cut matters; later parts may be cut as they like.
        self.fields_cut = self.header_cut;
        let mut room = CACHED_FIELD_BYTES_MAX;
        for field in HeaderReader::new(block) {
            let name = field.name.to_ascii_lowercase();
            match name.as_slice() {
                b"date" if self.sent.is_none() => self.sent = parse_date(field.value),
                b"subject" if self.subject.is_none() => {
                    self.subject = Some(kept(&encoded_word::decode(&field.unfolded())));
                }
                b"message-id" if self.message_id.is_none() => {
                    self.message_id = message_id(field.value);
                }
                _ => {}
            }
            let Some(name) = CACHED_FIELDS
                .iter()
                .find(|cached| cached.as_bytes() == name)
            else {
                continue;
            };
            if field.raw.len() > room || !field.raw.ends_with(b"\n") {
                self.fields_cut = true;
                continue;
            }
            room -= field.raw.len();
            self.fields.push(CachedField {
                name: (*name).to_owned(),
                raw: field.raw.to_vec(),
            });
        }
    }
}

/// The id between the first `<` and `>`, or the first word.
fn message_id(value: &[u8]) -> Option<String> {
    let text = encoded_word::decode(&crate::header::unfold(value));
    let inner = match text.split_once('<') {
        Some((_, after)) => after.split('>').next()?,
        None => text.split_whitespace().next()?,
    };
    Some(kept(inner)).filter(|id| !id.is_empty())
}

impl Digest {
    pub(crate) fn assemble(
        head: HeadFacts,
        parts: PartIndex,
        envelope: Vec<u8>,
        body: Vec<u8>,
        body_structure: Vec<u8>,
        preview: String,
    ) -> Self {
        let root = parts.root();
        Self {
            envelope,
            body,
            body_structure,
            preview,
            fields: head.fields,
            fields_complete: !head.fields_cut,
            header_len: root.header.end,
            lines: root.lines,
            size: root.body.end,
            sent: head.sent,
            subject: head.subject.unwrap_or_default(),
            message_id: head.message_id,
            parts,
        }
    }

    /// The record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.encode_to(&mut writer);
        writer.finish()
    }

    /// Appends the record to another one; it does not say its own length.
    pub fn encode_to(&self, writer: &mut Writer) {
        let complete = if self.fields_complete {
            FIELDS_COMPLETE
        } else {
            0
        };
        let dated = if self.sent.is_some() { HAS_DATE } else { 0 };
        writer
            .u8(VERSION)
            .varint(self.size)
            .varint(self.header_len)
            .u8(complete | dated);
        if let Some(sent) = self.sent {
            writer
                .varint(zigzag(sent.unix_seconds))
                .varint(zigzag(i64::from(sent.zone_minutes)));
        }
        writer
            .bytes(&self.envelope)
            .bytes(&self.body)
            .bytes(&self.body_structure);
        writer.text(&self.preview).text(&self.subject);
        writer.text(self.message_id.as_deref().unwrap_or_default());
        writer.varint(self.fields.len() as u64);
        for field in &self.fields {
            writer.text(&field.name).bytes(&field.raw);
        }
        self.parts.encode(writer);
    }

    /// Reads a record that [`Digest::encode`] wrote, and all of it.
    ///
    /// # Errors
    /// Any other record.
    pub fn decode(record: &[u8]) -> Result<Self, DecodeError> {
        StoredDigest::read(record)?.decode()
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
