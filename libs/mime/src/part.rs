//! The part index: where each part of a message lies, and what it is.
//!
//! Offsets are relative to the message that was indexed. Parts stand in the
//! order of their first bytes, so that the root is the first and a parent
//! always precedes its children.
//!
//! Invariants: `header.end == body.start`; a child lies inside its parent's
//! body; siblings do not overlap.

use core::ops::Range;

use wire::codec::{DecodeError, Reader, Writer};

use crate::limits::MESSAGE_BYTES_READ_MAX;
use crate::transfer::Encoding;

/// What stands inside a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PartKind {
    /// Content.
    #[default]
    Leaf,
    /// A multipart; it has at least one child.
    Multipart,
    /// A message (`message/rfc822`, `message/global`); its one child is that
    /// message's root.
    Message,
}

/// What Content-Disposition says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Disposition {
    /// Nothing.
    #[default]
    Absent,
    /// `inline`.
    Inline,
    /// `attachment`, or anything else (RFC 2183 §2.8).
    Attachment,
}

/// One part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Part {
    /// The header with its blank line.
    pub header: Range<u64>,
    /// The body, without the line end that belongs to the next boundary.
    pub body: Range<u64>,
    /// Line ends in the body.
    pub lines: u64,
    /// What stands inside.
    pub kind: PartKind,
    /// Type and subtype in lower case, such as `text/plain`.
    pub media_type: String,
    /// The charset parameter as written.
    pub charset: Option<String>,
    /// How the body is encoded.
    pub encoding: Encoding,
    /// What Content-Disposition says.
    pub disposition: Disposition,
    /// The file name, decoded.
    pub name: Option<String>,
    /// Content-ID without its angle brackets.
    pub content_id: Option<String>,
    /// The part that this one stands in.
    pub parent: Option<u32>,
    /// The parts that stand in this one, in their order.
    pub children: Vec<u32>,
}

impl Part {
    /// Header and body.
    #[must_use]
    pub fn whole(&self) -> Range<u64> {
        self.header.start..self.body.end
    }

    /// Is this the kind of text that a person reads in the message itself?
    #[must_use]
    pub fn is_inline_text(&self) -> bool {
        self.kind == PartKind::Leaf
            && self.media_type.starts_with("text/")
            && self.disposition != Disposition::Attachment
            && self.name.is_none()
    }
}

/// All parts of a message; the first is the message itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartIndex {
    parts: Vec<Part>,
}

impl PartIndex {
    /// Takes parts whose `parent` links are set; fills in `children`.
    pub(crate) fn from_parts(mut parts: Vec<Part>) -> Self {
        for part in &mut parts {
            part.children.clear();
        }
        for at in 1..parts.len() {
            if let (Some(parent), Ok(child)) = (parts[at].parent, u32::try_from(at)) {
                parts[parent as usize].children.push(child);
            }
        }
        if parts.is_empty() {
            parts.push(Part::default());
        }
        Self { parts }
    }

    pub(crate) fn into_parts(self) -> Vec<Part> {
        self.parts
    }

    /// The message itself.
    #[must_use]
    pub fn root(&self) -> &Part {
        &self.parts[0]
    }

    /// Every part, parents before children.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The part with that number in [`PartIndex::parts`].
    #[must_use]
    pub fn part(&self, index: u32) -> Option<&Part> {
        self.parts.get(index as usize)
    }

    /// Appends the index to a record. Fields: varint count; per part: varint
    /// parent (0 none, else 1 + its number), varint header start, varint header
    /// length, varint body length, varint lines, u8 kind, u8 encoding, u8
    /// disposition, text media type, text charset, text name, text Content-ID
    /// (empty = none).
    pub fn encode(&self, writer: &mut Writer) {
        writer.varint(self.parts.len() as u64);
        for part in &self.parts {
            writer
                .varint(part.parent.map_or(0, |parent| u64::from(parent) + 1))
                .varint(part.header.start)
                .varint(part.header.end - part.header.start)
                .varint(part.body.end - part.body.start)
                .varint(part.lines)
                .u8(part.kind as u8)
                .u8(part.encoding as u8)
                .u8(part.disposition as u8)
                .text(&part.media_type)
                .text(part.charset.as_deref().unwrap_or_default())
                .text(part.name.as_deref().unwrap_or_default())
                .text(part.content_id.as_deref().unwrap_or_default());
        }
    }

    /// Reads what [`PartIndex::encode`] wrote.
    ///
    /// # Errors
    /// A record that no `encode` wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = reader.varint()?;
        if count == 0 {
            return Err(DecodeError::OutOfRange);
        }
        let mut parts = Vec::new();
        for at in 0..count {
            parts.push(decode_part(reader, at)?);
        }
        Ok(Self::from_parts(parts))
    }
}

fn decode_part(reader: &mut Reader<'_>, at: u64) -> Result<Part, DecodeError> {
    let parent = reader.varint32()?.checked_sub(1);
    // Only the root has no parent, and a parent comes before its children.
    if parent.is_none() != (at == 0) || parent.is_some_and(|parent| u64::from(parent) >= at) {
        return Err(DecodeError::OutOfRange);
    }
    let start = reader.varint()?;
    let body_start = start
        .checked_add(reader.varint()?)
        .ok_or(DecodeError::OutOfRange)?;
    let body_end = body_start
        .checked_add(reader.varint()?)
        .ok_or(DecodeError::OutOfRange)?;
    if body_end > MESSAGE_BYTES_READ_MAX {
        return Err(DecodeError::OutOfRange);
    }
    Ok(Part {
        parent,
        header: start..body_start,
        body: body_start..body_end,
        lines: reader.varint()?,
        kind: match reader.u8()? {
            0 => PartKind::Leaf,
            1 => PartKind::Multipart,
            2 => PartKind::Message,
            tag => return Err(DecodeError::Tag(tag)),
        },
        encoding: match reader.u8()? {
            0 => Encoding::SevenBit,
            1 => Encoding::EightBit,
            2 => Encoding::Binary,
            3 => Encoding::Base64,
            4 => Encoding::QuotedPrintable,
            5 => Encoding::Other,
            tag => return Err(DecodeError::Tag(tag)),
        },
        disposition: match reader.u8()? {
            0 => Disposition::Absent,
            1 => Disposition::Inline,
            2 => Disposition::Attachment,
            tag => return Err(DecodeError::Tag(tag)),
        },
        media_type: reader.text()?.to_owned(),
        charset: optional(reader.text()?),
        name: optional(reader.text()?),
        content_id: optional(reader.text()?),
        children: Vec::new(),
    })
}

fn optional(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
