//! What FETCH can ask for (RFC 9051 §6.4.5), and how an item is named in the answer.

use crate::response;
use crate::search::ResultRange;
use crate::sequence::SequenceSet;
use std::io::Write as _;

/// FETCH and UID FETCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchCommand {
    /// UIDs or sequence numbers.
    pub uid: bool,
    /// Which messages.
    pub set: SequenceSet,
    /// At least one; macros are spelled out.
    pub items: Vec<FetchItem>,
    /// CHANGEDSINCE of RFC 7162 §3.1.4.
    pub changed_since: Option<u64>,
    /// PARTIAL of RFC 9394 §3.3: some of those that the set names.
    pub partial: Option<ResultRange>,
    /// VANISHED of RFC 7162 §3.2.6: also what is gone since then.
    pub vanished: bool,
}

/// One data item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchItem {
    /// ENVELOPE
    Envelope,
    /// FLAGS
    Flags,
    /// INTERNALDATE
    InternalDate,
    /// RFC822, as BODY[] with another name (RFC 3501)
    Rfc822,
    /// RFC822.HEADER, as BODY.PEEK[HEADER] with another name (RFC 3501)
    Rfc822Header,
    /// RFC822.TEXT, as BODY[TEXT] with another name (RFC 3501)
    Rfc822Text,
    /// RFC822.SIZE
    Rfc822Size,
    /// BODY: the structure without extension data
    Body,
    /// BODYSTRUCTURE
    BodyStructure,
    /// UID
    Uid,
    /// MODSEQ (RFC 7162)
    ModSeq,
    /// EMAILID (RFC 8474 §5.1)
    EmailId,
    /// THREADID (RFC 8474 §5.2)
    ThreadId,
    /// PREVIEW (RFC 8970), LAZY or not
    Preview,
    /// SAVEDATE (RFC 8514 §4.2)
    SaveDate,
    /// `BODY[...]`
    BodySection {
        /// BODY.PEEK: `\Seen` is not set.
        peek: bool,
        /// Which section.
        section: Section,
        /// Which octets of it.
        partial: Option<Partial>,
    },
    /// `BINARY[...]`
    Binary {
        /// BINARY.PEEK: `\Seen` is not set.
        peek: bool,
        /// The part; empty is the whole message.
        part: Vec<u32>,
        /// Which octets of it.
        partial: Option<Partial>,
    },
    /// `BINARY.SIZE[...]`
    BinarySize {
        /// The part.
        part: Vec<u32>,
    },
}

/// `<offset.length>`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partial {
    /// First octet.
    pub offset: u64,
    /// How many; at least one.
    pub length: u64,
}

/// What stands between the brackets of `BODY[...]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The part's number; empty is the message.
    pub part: Vec<u32>,
    /// What of it.
    pub text: SectionText,
}

/// What of a part is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SectionText {
    /// All of it: a part's body, or the whole message.
    Whole,
    /// HEADER of the message or of a message/rfc822 part.
    Header,
    /// HEADER.FIELDS
    HeaderFields(Vec<String>),
    /// HEADER.FIELDS.NOT
    HeaderFieldsNot(Vec<String>),
    /// TEXT of the message or of a message/rfc822 part.
    Text,
    /// MIME: the part's own header. Only with a part's number.
    Mime,
}

impl FetchItem {
    /// True when fetching it sets `\Seen`.
    #[must_use]
    pub fn sets_seen(&self) -> bool {
        matches!(
            self,
            Self::Rfc822
                | Self::Rfc822Text
                | Self::BodySection { peek: false, .. }
                | Self::Binary { peek: false, .. }
        )
    }

    /// True for what may have to be looked for in the message itself.
    #[must_use]
    pub fn is_section(&self) -> bool {
        matches!(
            self,
            Self::Rfc822
                | Self::Rfc822Header
                | Self::Rfc822Text
                | Self::BodySection { .. }
                | Self::Binary { .. }
                | Self::BinarySize { .. }
        )
    }

    /// Writes the name that stands in front of the item's data.
    pub fn write_name(&self, out: &mut Vec<u8>) {
        let plain = match self {
            Self::Envelope => "ENVELOPE",
            Self::Flags => "FLAGS",
            Self::InternalDate => "INTERNALDATE",
            Self::Rfc822 => "RFC822",
            Self::Rfc822Header => "RFC822.HEADER",
            Self::Rfc822Text => "RFC822.TEXT",
            Self::Rfc822Size => "RFC822.SIZE",
            Self::Body => "BODY",
            Self::BodyStructure => "BODYSTRUCTURE",
            Self::Uid => "UID",
            Self::ModSeq => "MODSEQ",
            Self::EmailId => "EMAILID",
            Self::ThreadId => "THREADID",
            Self::Preview => "PREVIEW",
            Self::SaveDate => "SAVEDATE",
            Self::BodySection {
                section, partial, ..
            } => {
                out.extend_from_slice(b"BODY[");
                section.write(out);
                return close(out, *partial);
            }
            Self::Binary { part, partial, .. } => {
                out.extend_from_slice(b"BINARY[");
                write_part(out, part);
                return close(out, *partial);
            }
            Self::BinarySize { part } => {
                out.extend_from_slice(b"BINARY.SIZE[");
                write_part(out, part);
                return close(out, None);
            }
        };
        out.extend_from_slice(plain.as_bytes());
    }
}

/// The answer names where the octets begin, not how many were asked for.
fn close(out: &mut Vec<u8>, partial: Option<Partial>) {
    out.push(b']');
    if let Some(partial) = partial {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "<{}>", partial.offset);
    }
}

fn write_part(out: &mut Vec<u8>, part: &[u32]) {
    for (i, number) in part.iter().enumerate() {
        if i > 0 {
            out.push(b'.');
        }
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{number}");
    }
}

impl Section {
    /// Writes what stands between the brackets.
    pub fn write(&self, out: &mut Vec<u8>) {
        write_part(out, &self.part);
        if !self.part.is_empty() && self.text != SectionText::Whole {
            out.push(b'.');
        }
        let (word, fields) = match &self.text {
            SectionText::Whole => return,
            SectionText::Header => ("HEADER", None),
            SectionText::HeaderFields(fields) => ("HEADER.FIELDS", Some(fields)),
            SectionText::HeaderFieldsNot(fields) => ("HEADER.FIELDS.NOT", Some(fields)),
            SectionText::Text => ("TEXT", None),
            SectionText::Mime => ("MIME", None),
        };
        out.extend_from_slice(word.as_bytes());
        if let Some(fields) = fields {
            out.extend_from_slice(b" (");
            for (i, field) in fields.iter().enumerate() {
                if i > 0 {
                    out.push(b' ');
                }
                response::write_astring(out, field.as_bytes());
            }
            out.push(b')');
        }
    }
}
