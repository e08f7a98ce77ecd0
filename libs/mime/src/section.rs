//! Sections: which bytes of a message `BODY[…]` means.
//!
//! RFC 9051 §6.4.5 and §6.4.5.1. A section is one range of the message as a
//! reader sees it, which is the record's prefix followed by the indexed
//! message. HEADER.FIELDS is the range of HEADER put through
//! [`crate::header_fields`].

use core::ops::Range;

use crate::part::{Part, PartIndex, PartKind};

/// What of a part is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SectionText {
    /// `BODY[]`, `BODY[1.2]`: the whole message, or the part's body.
    #[default]
    Whole,
    /// `HEADER`: the header of the message, or of the message in the part.
    Header,
    /// `TEXT`: the body of the message, or of the message in the part.
    Text,
    /// `MIME`: the part's own header.
    Mime,
}

/// A section specification: part numbers and what of that part is meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SectionSpec {
    /// Part numbers, from 1. Empty means the message itself.
    pub path: Vec<u32>,
    /// What of the part.
    pub text: SectionText,
}

/// The range that `spec` means in a message of `prefix_len` bytes followed by
/// the indexed message. `None` if there is no such section (it is answered
/// with NIL).
#[must_use]
pub fn section(index: &PartIndex, spec: &SectionSpec, prefix_len: u64) -> Option<Range<u64>> {
    let root = index.root();
    let shifted = |range: &Range<u64>| range.start + prefix_len..range.end + prefix_len;
    // The prefix belongs to the header of the whole message.
    let header_of = |part: &Part| {
        let header = shifted(&part.header);
        if part.parent.is_none() {
            0..header.end
        } else {
            header
        }
    };
    if spec.path.is_empty() {
        return section_of_whole(&root.header, &root.body, spec.text, prefix_len);
    }
    let part = part_at(index, &spec.path)?;
    match spec.text {
        SectionText::Whole => Some(shifted(&part.body)),
        SectionText::Mime => Some(header_of(part)),
        SectionText::Header | SectionText::Text => {
            // RFC 9051 §6.4.5: HEADER and TEXT with part numbers ask for a
            // message inside that part.
            let message = message_in(index, part)?;
            let range = if spec.text == SectionText::Header {
                &message.header
            } else {
                &message.body
            };
            Some(shifted(range))
        }
    }
}

/// The same of the message itself, of which only header and body are known.
pub(crate) fn section_of_whole(
    header: &Range<u64>,
    body: &Range<u64>,
    text: SectionText,
    prefix_len: u64,
) -> Option<Range<u64>> {
    let (header_end, body_end) = (header.end + prefix_len, body.end + prefix_len);
    match text {
        SectionText::Whole => Some(0..body_end),
        // The prefix belongs to the header of the whole message.
        SectionText::Header => Some(0..header_end),
        SectionText::Text => Some(body.start + prefix_len..body_end),
        SectionText::Mime => None,
    }
}

/// The part that `path` names; an empty path is the message itself.
#[must_use]
pub fn part_at<'a>(index: &'a PartIndex, path: &[u32]) -> Option<&'a Part> {
    let Some((&first, rest)) = path.split_first() else {
        return Some(index.root());
    };
    let mut part = step_into_message(index, index.root(), first)?;
    for &number in rest {
        part = match part.kind {
            PartKind::Multipart => child(index, part, number)?,
            PartKind::Message => step_into_message(index, message_in(index, part)?, number)?,
            PartKind::Leaf => return None,
        };
    }
    Some(part)
}

/// Part `number` of a message: a multipart's child, or the body itself as 1.
fn step_into_message<'a>(index: &'a PartIndex, message: &'a Part, number: u32) -> Option<&'a Part> {
    match message.kind {
        PartKind::Multipart => child(index, message, number),
        _ => (number == 1).then_some(message),
    }
}

fn child<'a>(index: &'a PartIndex, part: &Part, number: u32) -> Option<&'a Part> {
    let at = usize::try_from(number).ok()?.checked_sub(1)?;
    index.part(*part.children.get(at)?)
}

fn message_in<'a>(index: &'a PartIndex, part: &Part) -> Option<&'a Part> {
    (part.kind == PartKind::Message)
        .then(|| child(index, part, 1))
        .flatten()
}
