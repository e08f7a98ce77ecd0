//! ENVELOPE for clients that take UTF-8 (RFC 9755 §3): the wire form that is kept has seven
//! bits, so that letters in an address stand in encoded-words there, where none belong.

use crate::encoded_word;
use crate::structure_at::Values;

/// The fields of an ENVELOPE that hold addresses: From to Bcc.
const ADDRESSES: std::ops::RangeInclusive<usize> = 2..=7;
/// A mailbox and a host, among an address's name, route, mailbox and host.
const PARTS: std::ops::RangeInclusive<usize> = 2..=3;

/// The ENVELOPE with mailboxes and hosts in UTF-8; `None` where they are in ASCII anyway.
#[must_use]
pub fn envelope_in_utf8(wire: &[u8]) -> Option<Vec<u8>> {
    // Most have nothing encoded in them at all.
    memchr::memmem::find(wire, b"\"=?")?;
    let mut changed = false;
    let mut out = Vec::with_capacity(wire.len());
    for (at, field) in Values::of(wire)?.enumerate() {
        out.push(if at == 0 { b'(' } else { b' ' });
        if !ADDRESSES.contains(&at) || !field.starts_with(b"(") {
            out.extend_from_slice(field);
            continue;
        }
        out.push(b'(');
        for address in Values::of(field)? {
            out.push(b'(');
            for (part, value) in Values::of(address)?.enumerate() {
                if part > 0 {
                    out.push(b' ');
                }
                match PARTS.contains(&part).then(|| decoded(value)).flatten() {
                    Some(text) => {
                        changed = true;
                        out.extend_from_slice(&text);
                    }
                    None => out.extend_from_slice(value),
                }
            }
            out.push(b')');
        }
        out.push(b')');
    }
    out.push(b')');
    changed.then_some(out)
}

/// An encoded string in quotes; none if it is as it should be.
fn decoded(value: &[u8]) -> Option<Vec<u8>> {
    let inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if !inner.starts_with(b"=?") {
        return None;
    }
    let text = encoded_word::decode(inner);
    let valid = text.as_bytes() != inner && !text.chars().any(char::is_control);
    if !valid {
        return None;
    }
    let mut out = vec![b'"'];
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EnvelopeReader;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_in_utf_8_and_names_as_they_were() {
        let message = "Subject: =?utf-8?B?5L2g?=\r\nFrom: =?utf-8?B?5L2g?= <\u{4e2d}\u{6587}@\u{4f8b}\u{5b50}.test>, b@c.test\r\n\r\n";
        let wire = crate::digest(message.as_bytes()).envelope;
        assert!(wire.is_ascii());
        let utf8 = envelope_in_utf8(&wire).expect("something to decode");
        let text = String::from_utf8(utf8).expect("UTF-8");
        assert!(
            text.contains(
                " NIL \"\u{4e2d}\u{6587}\" \"\u{4f8b}\u{5b50}.test\")(NIL NIL \"b\" \"c.test\"))"
            ),
            "{text}"
        );
        assert!(
            text.starts_with("(NIL \"=?utf-8?B?5L2g?=\" ((\"=?utf-8?B?5L2g?=\""),
            "{text}"
        );
        let plain = crate::digest(b"From: =?utf-8?q?a?= <b@c.test>\r\n\r\n").envelope;
        assert_eq!(envelope_in_utf8(&plain), None);
    }

    proptest! {
        #[test]
        fn what_was_an_envelope_is_one(from in "[a-z\u{e9}\u{4f60}\"\\\\@<>,. =?()]{0,40}") {
            let message = ["From: ", &from, "\r\n\r\n"].concat();
            let wire = crate::digest(message.as_bytes()).envelope;
            if let Some(utf8) = envelope_in_utf8(&wire) {
                prop_assert!(EnvelopeReader::read(&utf8).is_some());
                prop_assert!(!utf8.contains(&b'\r') && !utf8.contains(&b'\n'));
            }
        }
    }
}
