//! Header blocks: iterating fields, picking some of them, unfolding values.
//!
//! RFC 5322 §2.2 and §4.5 (obsolete forms), RFC 9051 §6.4.5 for
//! HEADER.FIELDS. Not here: what a field's value means.
//!
//! Invariant: fields are slices of the block; joined they are the block up to
//! its blank line, byte for byte.

use memchr::{memchr, memchr2};

/// One field of a header block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name as written, without white space before the colon. Empty for a
    /// line that is no field.
    pub name: &'a [u8],
    /// What follows the colon, folds included, without the last line end.
    pub value: &'a [u8],
    /// The whole field with its line end.
    pub raw: &'a [u8],
}

/// How fields of the server's own begin: what it found out when a message came in.
const OWN_FIELDS: &[u8] = b"X-Posthouse-";

/// Is a field of that name the server's own, which nobody else writes?
#[must_use]
pub fn is_own_field(name: &[u8]) -> bool {
    name.get(..OWN_FIELDS.len())
        .is_some_and(|begin| begin.eq_ignore_ascii_case(OWN_FIELDS))
}

impl Field<'_> {
    /// Does the field have this name, in any case?
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value unfolded and without white space at its ends.
    #[must_use]
    pub fn unfolded(&self) -> Vec<u8> {
        unfold(self.value)
    }
}

/// Iterates the fields of a header block, up to its blank line or its end.
#[derive(Debug, Clone)]
pub struct HeaderReader<'a> {
    rest: &'a [u8],
}

impl<'a> HeaderReader<'a> {
    /// Reads `block`, which begins with the first field.
    #[must_use]
    pub fn new(block: &'a [u8]) -> Self {
        Self { rest: block }
    }

    /// The bytes that no field was taken from yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for HeaderReader<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        if self.rest.is_empty() || self.rest.starts_with(b"\r\n") || self.rest.starts_with(b"\n") {
            return None;
        }
        let mut end = 0;
        loop {
            match memchr(b'\n', &self.rest[end..]) {
                Some(at) => end += at + 1,
                None => end = self.rest.len(),
            }
            if !matches!(self.rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (raw, rest) = self.rest.split_at(end);
        self.rest = rest;
        let text = without_line_end(raw);
        Some(match memchr2(b':', b'\n', text) {
            Some(colon) if text[colon] == b':' => Field {
                name: text[..colon].trim_ascii_end(),
                value: &text[colon + 1..],
                raw,
            },
            _ => Field {
                name: b"",
                value: text,
                raw,
            },
        })
    }
}

/// The first field of that name.
#[must_use]
pub fn find_field<'a>(block: &'a [u8], name: &str) -> Option<Field<'a>> {
    HeaderReader::new(block).find(|field| field.is(name))
}

/// The fields of `block` whose names are among `names` (with `not`: are not),
/// and the blank line that ends every header: HEADER.FIELDS and
/// HEADER.FIELDS.NOT.
// RFC 9051 §6.4.5: "the [RFC5322] delimiting blank line between the header
// and the body is always included".
#[must_use]
pub fn header_fields<S: AsRef<[u8]>>(block: &[u8], names: &[S], not: bool) -> Vec<u8> {
    let mut out = Vec::new();
    write_header_fields(block, names, not, &mut out);
    out.extend_from_slice(b"\r\n");
    out
}

/// Writes what [`header_fields`] gives, without the blank line.
pub fn write_header_fields<S: AsRef<[u8]>>(
    block: &[u8],
    names: &[S],
    not: bool,
    out: &mut Vec<u8>,
) {
    for field in HeaderReader::new(block) {
        let named = names
            .iter()
            .any(|name| field.name.eq_ignore_ascii_case(name.as_ref()));
        if named != not {
            out.extend_from_slice(field.raw);
            if !field.raw.ends_with(b"\n") {
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// Removes the folds of a value and the white space at its ends. What is left
/// holds no CR, LF or NUL.
#[must_use]
pub fn unfold(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for (at, &byte) in value.iter().enumerate() {
        match byte {
            b'\n' | 0 => {}
            // A bare CR separates nothing in RFC 5322; a space keeps words apart.
            b'\r' if value.get(at + 1) == Some(&b'\n') => {}
            b'\r' => out.push(b' '),
            _ => out.push(byte),
        }
    }
    let end = out.trim_ascii_end().len();
    out.truncate(end);
    let start = out.len() - out.trim_ascii_start().len();
    out.drain(..start);
    out
}

/// `line` without its CRLF or LF.
pub(crate) fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BLOCK: &[u8] =
        b"From: a@b\r\nSubject : folded\r\n\tsubject\r\nno field\r\nX: \r\n 1\r\n\r\nbody: no\r\n";

    #[test]
    fn fields_end_at_the_blank_line_and_join_to_the_block() {
        let mut reader = HeaderReader::new(BLOCK);
        let fields: Vec<_> = reader.by_ref().collect();
        let names: Vec<_> = fields.iter().map(|f| f.name).collect();
        assert_eq!(names, [&b"From"[..], b"Subject", b"", b"X"]);
        assert_eq!(fields[1].unfolded(), b"folded\tsubject");
        assert_eq!(fields[3].unfolded(), b"1");
        assert_eq!(reader.rest(), b"\r\nbody: no\r\n");
    }

    #[test]
    fn header_fields_picks_and_leaves_out() {
        let picked = header_fields(BLOCK, &["SUBJECT", "to"], false);
        assert_eq!(picked, b"Subject : folded\r\n\tsubject\r\n\r\n");
        let left = header_fields(BLOCK, &["subject", "x"], true);
        assert_eq!(left, b"From: a@b\r\nno field\r\n\r\n");
        assert_eq!(header_fields(BLOCK, &["zz"], false), b"\r\n");
    }

    #[test]
    fn a_million_fields_are_one_walk() {
        let block = b"a: b\r\n".repeat(1_000_000);
        assert_eq!(HeaderReader::new(&block).count(), 1_000_000);
    }

    proptest! {
        #[test]
        fn fields_cover_the_block(block in proptest::collection::vec(
            prop_oneof![Just(b'\r'), Just(b'\n'), Just(b' '), Just(b':'), Just(b'a')], 0..60)) {
            let mut reader = HeaderReader::new(&block);
            let mut joined = Vec::new();
            for field in reader.by_ref() { joined.extend_from_slice(field.raw); }
            joined.extend_from_slice(reader.rest());
            prop_assert_eq!(&joined, &block);
            prop_assert!(!unfold(&block).iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
        }
    }
}
