//! Tests of the whole crate: known answers, properties, bombs, the record.

mod answers;
mod bombs;
mod properties;
mod record;
mod samples;
mod suite;

use crate::{Digest, Limits, PartIndex, SectionSpec, SectionText, StoredDigest, section};

/// The message with LF turned into CRLF, so that tests read well.
fn crlf(message: &str) -> Vec<u8> {
    crate::normalise_line_ends(message.as_bytes()).into_owned()
}

fn structure_of(message: &str) -> String {
    text(&crate::digest(&crlf(message)).body_structure)
}

fn envelope_of(message: &str) -> String {
    text(&crate::digest(&crlf(message)).envelope)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("wire form is ASCII")
}

/// What `BODY[spec]` shows, such as `2.1.MIME`, `HEADER` or nothing.
fn shown(message: &[u8], prefix: &[u8], spec: &str) -> Option<String> {
    let mut wanted = SectionSpec::default();
    for word in spec.split('.').filter(|word| !word.is_empty()) {
        match word {
            "HEADER" => wanted.text = SectionText::Header,
            "TEXT" => wanted.text = SectionText::Text,
            "MIME" => wanted.text = SectionText::Mime,
            number => wanted.path.push(number.parse().expect("a part number")),
        }
    }
    let digest = crate::digest(message);
    let range = section(&digest.parts, &wanted, prefix.len() as u64)?;
    let whole = [prefix, message].concat();
    let range =
        usize::try_from(range.start).expect("fits")..usize::try_from(range.end).expect("fits");
    Some(text(&whole[range]))
}

/// Every invariant that [`PartIndex`] promises.
fn check_index(index: &PartIndex, size: u64) {
    let parts = index.parts();
    assert_eq!(parts[0].whole(), 0..size);
    for (at, part) in parts.iter().enumerate() {
        assert_eq!(part.header.end, part.body.start);
        assert!(part.header.start <= part.header.end && part.body.start <= part.body.end);
        let mut from = part.body.start;
        for &child in &part.children {
            assert!(child as usize > at);
            let inside = parts[child as usize].whole();
            assert!(
                from <= inside.start && inside.end <= part.body.end,
                "part {at}: {part:?}"
            );
            from = inside.end;
        }
        match part.kind {
            crate::PartKind::Leaf => assert!(part.children.is_empty()),
            crate::PartKind::Message => assert_eq!(part.children.len(), 1),
            crate::PartKind::Multipart => assert!(!part.children.is_empty()),
        }
    }
}

/// Balanced brackets and legal strings only: what an IMAP parser needs.
fn check_wire_form(list: &[u8]) {
    let mut depth = 0i32;
    let mut quoted = false;
    let mut bytes = list.iter();
    while let Some(&byte) = bytes.next() {
        assert!(
            (32..127).contains(&byte)
                || byte == b'\t'
                || (byte.is_ascii_control() && quoted && !b"\r\n\0".contains(&byte))
        );
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

fn check_digest(digest: &Digest, size: usize) {
    assert_eq!(digest.size, size as u64);
    check_index(&digest.parts, digest.size);
    check_wire_form(&digest.envelope);
    check_wire_form(&digest.body);
    check_wire_form(&digest.body_structure);
    assert!(digest.preview.chars().count() <= 200);
    let record = digest.encode();
    assert_eq!(Digest::decode(&record).as_ref(), Ok(digest));
    check_stored(&record, digest);
}

/// What is found in the record is what all of it decodes to.
fn check_stored(record: &[u8], digest: &Digest) {
    let stored = StoredDigest::read(record).expect("it was written just now");
    assert_eq!(stored.envelope, digest.envelope);
    assert_eq!(stored.subject(), Ok(digest.subject.as_str()));
    assert_eq!(stored.parts().as_ref(), Ok(&digest.parts));
    let fields = stored.fields().expect("whole").map(|field| {
        let (name, raw) = field.expect("whole");
        (name.to_owned(), raw.to_vec())
    });
    let known = digest.fields.iter();
    assert!(fields.eq(known.map(|field| (field.name.clone(), field.raw.clone()))));
    for text in [
        SectionText::Whole,
        SectionText::Header,
        SectionText::Text,
        SectionText::Mime,
    ] {
        for path in [&[][..], &[1], &[2, 1]] {
            let path = path.to_vec();
            let spec = SectionSpec { path, text };
            let range = section(&digest.parts, &spec, 7);
            assert_eq!(stored.section(&spec, 7), Ok(range));
        }
    }
}

/// HEADER.FIELDS from the record.
fn cached(digest: &Digest, names: &[&str]) -> Option<Vec<u8>> {
    let record = digest.encode();
    let stored = StoredDigest::read(&record).expect("it was written just now");
    let mut out = Vec::new();
    let written = stored.write_cached_fields(names, &mut out);
    assert!(written || out.is_empty());
    written.then_some(out)
}

fn in_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: Limits) -> Digest {
    let mut indexer = crate::Indexer::new(limits);
    for piece in pieces {
        indexer.push(piece);
    }
    indexer.finish()
}
