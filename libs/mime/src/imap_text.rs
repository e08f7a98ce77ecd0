//! How ENVELOPE and BODYSTRUCTURE write strings: legal, 7-bit, never a literal.
//!
//! RFC 9051 §4.3 and §4.5. Unfolded values hold no CR, LF or NUL, and 8-bit
//! text becomes encoded-words, so a quoted string always does.

use crate::encoded_word;

/// Writes `value` (unfolded, of any charset) as a quoted string.
pub(crate) fn string(value: &[u8], out: &mut Vec<u8>) {
    let ascii;
    let value = if value.is_ascii() {
        value
    } else {
        ascii = encoded_word::to_ascii(value);
        &ascii
    };
    out.push(b'"');
    for &byte in value {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\r' | b'\n' | 0 => {}
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Writes a value that may be missing: NIL, or a quoted string.
pub(crate) fn nstring(value: Option<&[u8]>, out: &mut Vec<u8>) {
    match value {
        Some(value) => string(value, out),
        None => out.extend_from_slice(b"NIL"),
    }
}
