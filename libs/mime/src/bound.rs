//! Keeping a digest small: what is given up, and in which order, when a hostile
//! message would make a record of many megabytes.
//!
//! A commit of the store holds one digest per recipient, so its size is a
//! promise ([`crate::limits::DIGEST_BYTES_MAX`]). In this order, and only as
//! far as needed: 1. the cached fields go, so that readers open the header;
//! 2. ENVELOPE keeps the beginnings of its texts and of its address lists;
//! 3. parts whose structure is large keep what matters of it, and the parts
//! that then do not fit are left inside the part around them: as the epilogue
//! of a multipart that keeps others, or as an opaque leaf. BODYSTRUCTURE and
//! the part index lose the same parts, so sections stay what they say.
//!
//! Not here: finding the parts (`indexer`). Invariant: what comes out is legal
//! wire form, the same for the same message, and no longer than the limit or
//! [`crate::limits::DIGEST_BYTES_FLOOR`].

use crate::digest::Digest;
use crate::part::{Part, PartIndex, PartKind};
use crate::structure::{self, PartFacts};

/// What two forms of a structure and one entry of the index need besides their texts.
const PART_OVERHEAD_BYTES: usize = 200;
/// What a record needs besides its texts.
const RECORD_OVERHEAD_BYTES: usize = 256;
/// The end of a group in an address list.
const GROUP_END: &[u8] = b"(NIL NIL NIL NIL)";

/// Gives up of `digest` what is needed to make its record fit `max` bytes.
pub(crate) fn bounded(mut digest: Digest, facts: Vec<PartFacts>, max: usize) -> Digest {
    let fits = |digest: &Digest| digest.encode().len() <= max;
    if fits(&digest) {
        return digest;
    }
    digest.fields = Vec::new();
    digest.fields_complete = false;
    if fits(&digest) {
        return digest;
    }
    digest.envelope = short_envelope(&digest.envelope, max / 4);
    if fits(&digest) {
        return digest;
    }
    let rest = digest.envelope.len()
        + digest.preview.len()
        + digest.subject.len()
        + digest.message_id.as_ref().map_or(0, String::len)
        + RECORD_OVERHEAD_BYTES;
    let (parts, facts) = fewer_parts(
        digest.parts.into_parts(),
        facts,
        max / 32,
        max.saturating_sub(rest),
    );
    digest.parts = PartIndex::from_parts(parts);
    digest.body = structure::write(&digest.parts, &facts, false);
    digest.body_structure = structure::write(&digest.parts, &facts, true);
    digest
}

/// Shortens parts above `part_max` bytes, then keeps the first parts that fit
/// `max` together; at least the message itself.
fn fewer_parts(
    mut parts: Vec<Part>,
    mut facts: Vec<PartFacts>,
    part_max: usize,
    max: usize,
) -> (Vec<Part>, Vec<PartFacts>) {
    let mut kept = 0;
    let mut len = 0usize;
    for (part, own) in parts.iter_mut().zip(&mut facts) {
        if part_len(part, own) > part_max {
            own.shorten(part, part_max);
        }
        len += part_len(part, own);
        if len > max && kept > 0 {
            break;
        }
        kept += 1;
    }
    // Parts stand in the order of their first bytes, parents first: what is
    // kept is a tree, and of each part it lacks the last children.
    parts.truncate(kept);
    facts.truncate(kept);
    for (part, own) in parts.iter_mut().zip(&mut facts) {
        let childless = part
            .children
            .first()
            .is_none_or(|&first| first as usize >= kept);
        if part.kind != PartKind::Leaf && childless {
            part.kind = PartKind::Leaf;
            own.make_opaque(part);
        }
    }
    (parts, facts)
}

/// Bytes of the record that come from this part; never too few.
fn part_len(part: &Part, facts: &PartFacts) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    facts.wire_len()
        + part.media_type.len()
        + text(&part.charset)
        + text(&part.name)
        + text(&part.content_id)
        + PART_OVERHEAD_BYTES
}

/// ENVELOPE with the beginnings of its texts (a sixteenth of `max` each) and
/// the first addresses of its lists, which share the rest: what one of them
/// leaves over is the next one's.
pub(crate) fn short_envelope(envelope: &[u8], max: usize) -> Vec<u8> {
    if envelope.len() <= max {
        return envelope.to_vec();
    }
    let text_max = max / 16;
    let mut room = max.saturating_sub(4 * text_max);
    let mut out = vec![b'('];
    for (at, element) in elements(envelope).into_iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        // RFC 9051 §9: date, subject, six address lists, in-reply-to, message-id.
        if let lists_done @ 0..6 = at.wrapping_sub(2) {
            let before = out.len();
            short_list(element, room / (6 - lists_done), &mut out);
            room = room.saturating_sub(out.len() - before);
        } else {
            short_text(element, text_max, &mut out);
        }
    }
    out.push(b')');
    out
}

/// A string or NIL; of a long string the beginning, cut where a word ends.
fn short_text(element: &[u8], max: usize, out: &mut Vec<u8>) {
    if element.len() <= max || !element.starts_with(b"\"") {
        out.extend_from_slice(element);
        return;
    }
    let inner = &element[1..element.len() - 1];
    let (mut end, mut word_end) = (0, 0);
    while end < inner.len() {
        let step = if inner[end] == b'\\' { 2 } else { 1 };
        if end + step + 2 > max {
            break;
        }
        if inner[end] == b' ' {
            word_end = end;
        }
        end += step;
    }
    // An encoded-word holds no space: none of them is cut in two.
    let end = if word_end > 0 { word_end } else { end };
    out.push(b'"');
    out.extend_from_slice(&inner[..end]);
    out.push(b'"');
}

/// The first addresses of a list, an open group closed; NIL if none fits.
fn short_list(list: &[u8], max: usize, out: &mut Vec<u8>) {
    if list.len() <= max || !list.starts_with(b"(") {
        out.extend_from_slice(list);
        return;
    }
    let start = out.len();
    let mut in_group = false;
    out.push(b'(');
    for item in elements(list) {
        if out.len() - start + item.len() + GROUP_END.len() + 1 > max {
            break;
        }
        if let [_, _, local, b"NIL"] = elements(item).as_slice() {
            in_group = *local != b"NIL";
        }
        out.extend_from_slice(item);
    }
    if in_group {
        out.extend_from_slice(GROUP_END);
    }
    out.push(b')');
    if out.len() - start == 2 {
        out.truncate(start);
        out.extend_from_slice(b"NIL");
    }
}

/// The elements of a list that this crate wrote: strings, NIL, lists.
fn elements(list: &[u8]) -> Vec<&[u8]> {
    let inner = list
        .strip_prefix(b"(")
        .and_then(|list| list.strip_suffix(b")"))
        .unwrap_or_default();
    let mut found = Vec::new();
    let (mut start, mut depth, mut quoted) = (0, 0usize, false);
    let mut at = 0;
    while at < inner.len() {
        let byte = inner[at];
        let mut ends = false;
        match byte {
            b'\\' if quoted => at += 1,
            b'"' => {
                quoted = !quoted;
                ends = !quoted && depth == 0;
            }
            b'(' if !quoted => depth += 1,
            b')' if !quoted => {
                depth = depth.saturating_sub(1);
                ends = depth == 0;
            }
            b' ' if !quoted && depth == 0 => start = at + 1,
            _ => ends = !quoted && depth == 0 && inner.get(start..=at) == Some(&b"NIL"[..]),
        }
        at += 1;
        if ends {
            found.push(inner.get(start..at).unwrap_or_default());
            start = at;
        }
    }
    found
}
