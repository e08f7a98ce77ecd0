//! Whole messages: any split gives the same digest, the digest is sound and
//! bounded, its record is read as written, and sections lie inside.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mime::limits::{DIGEST_BYTES_FLOOR, PREVIEW_CHARS_MAX};
use mime::{Digest, Indexer, Limits, PartIndex, PartKind, SectionSpec, SectionText, StoredDigest};

fn digest<'a>(limits: Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Digest {
    let mut indexer = Indexer::new(limits);
    for piece in pieces {
        indexer.push(piece);
    }
    indexer.finish()
}

/// Every invariant that a part index promises.
fn check_index(index: &PartIndex, size: u64, limits: Limits) {
    let parts = index.parts();
    assert!(parts.len() <= limits.parts.max(1) + limits.depth);
    assert_eq!(parts[0].whole(), 0..size);
    for (at, part) in parts.iter().enumerate() {
        assert_eq!(part.header.end, part.body.start);
        assert!(part.header.start <= part.header.end && part.body.start <= part.body.end);
        assert!(part.lines <= part.body.end - part.body.start);
        let mut from = part.body.start;
        for &child in &part.children {
            assert!(child as usize > at);
            let inside = parts[child as usize].whole();
            assert!(from <= inside.start && inside.end <= part.body.end);
            from = inside.end;
        }
        match part.kind {
            PartKind::Leaf => assert!(part.children.is_empty()),
            PartKind::Message => assert_eq!(part.children.len(), 1),
            PartKind::Multipart => assert!(!part.children.is_empty()),
        }
    }
}

/// Balanced brackets and legal strings only: what an IMAP parser needs.
fn check_wire_form(list: &[u8]) {
    let (mut depth, mut quoted) = (0i32, false);
    let mut bytes = list.iter();
    while let Some(&byte) = bytes.next() {
        assert!(byte < 128 && !matches!(byte, 0 | b'\r' | b'\n'));
        match byte {
            b'\\' if quoted => assert!(matches!(bytes.next(), Some(b'\\' | b'"'))),
            b'"' => quoted = !quoted,
            b'(' if !quoted => depth += 1,
            b')' if !quoted => depth -= 1,
            _ => {}
        }
        assert!(depth > 0 || bytes.as_slice().is_empty());
    }
    assert!(depth == 0 && !quoted);
}

fn check_sections(index: &PartIndex, path: &mut Vec<u32>, whole: u64, prefix: u64) {
    let texts = [
        SectionText::Whole,
        SectionText::Header,
        SectionText::Text,
        SectionText::Mime,
    ];
    for text in texts {
        let spec = SectionSpec {
            path: path.clone(),
            text,
        };
        if let Some(range) = mime::section(index, &spec, prefix) {
            assert!(range.start <= range.end && range.end <= whole);
        }
    }
    if path.len() < 4 {
        for number in 1..4 {
            path.push(number);
            if mime::part_at(index, path).is_some() {
                check_sections(index, path, whole, prefix);
            }
            path.pop();
        }
    }
}

fn check_texts(message: &[u8], digest: &Digest) {
    for part in digest.parts.parts() {
        let (start, end) = (part.body.start as usize, part.body.end as usize);
        if let Some(text) = mime::text::text_for_search(part, &message[start..end]) {
            // No charset makes more than three bytes of one, and little is added.
            assert!(text.len() <= 3 * (end - start) + 16);
        }
    }
    let header = &message[..digest.parts.root().header.end as usize];
    let record = digest.encode();
    let stored = StoredDigest::read(&record).expect("it was written just now");
    let mut cached = Vec::new();
    if stored.write_cached_fields(&["subject", "from"], &mut cached) {
        assert_eq!(
            cached,
            mime::header_fields(header, &["from", "subject"], false)
        );
    }
}

/// Each part of the index has a structure and the other way round, and an envelope can be read.
fn check_structures(digest: &Digest, path: &mut Vec<u32>) {
    let part = mime::part_at(&digest.parts, path);
    let found = mime::structure_at(&digest.body_structure, path);
    assert_eq!(part.is_some(), found.is_some(), "{path:?}");
    if let Some(found) = found {
        check_wire_form(found);
        if let Some(decoded) = mime::decoded_structure(found, "8bit", 7) {
            check_wire_form(&decoded);
        }
        for number in 1..4 {
            if path.len() < 4 {
                path.push(number);
                check_structures(digest, path);
                path.pop();
            }
        }
    }
}

fn check_envelope(envelope: &[u8]) {
    let read = mime::EnvelopeReader::read(envelope).expect("an envelope");
    for field in [
        mime::AddressField::From,
        mime::AddressField::To,
        mime::AddressField::Cc,
    ] {
        let _ = mime::casemap(&read.first_display(field));
        let _ = read.first_mailbox(field);
    }
    let (base, _) = mime::subject::base_subject(&read.subject());
    let _ = (
        mime::casemap(&base),
        mime::message_ids(&read.in_reply_to()),
        read.date(),
    );
    if let Some(utf8) = mime::envelope_in_utf8(envelope) {
        assert!(mime::EnvelopeReader::read(&utf8).is_some());
        assert!(!utf8.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')));
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((data, [knob, seed])) = fuzz::knobs::<2>(data) else {
        return;
    };
    let message = fuzz::expand(data);
    let mut limits = Limits::default();
    if knob & 1 == 1 {
        limits = Limits {
            depth: 1 + usize::from(knob >> 1 & 3),
            parts: 1 + usize::from(knob >> 3 & 7),
            header_bytes: usize::from(knob >> 6) * 60,
            digest_bytes: 0,
        };
    }
    let whole = digest(limits, [message.as_slice()]);
    assert_eq!(digest(limits, fuzz::pieces(&message, seed)), whole);
    assert_eq!(whole.size, message.len() as u64);
    check_index(&whole.parts, whole.size, limits);
    for list in [&whole.envelope, &whole.body, &whole.body_structure] {
        check_wire_form(list);
    }
    check_structures(&whole, &mut Vec::new());
    check_envelope(&whole.envelope);
    assert!(whole.preview.chars().count() <= PREVIEW_CHARS_MAX);
    let record = whole.encode();
    assert!(record.len() <= limits.digest_bytes.max(DIGEST_BYTES_FLOOR));
    assert_eq!(Digest::decode(&record).as_ref(), Ok(&whole));
    let prefix = u64::from(seed);
    check_sections(&whole.parts, &mut Vec::new(), whole.size + prefix, prefix);
    check_texts(&message, &whole);
});
