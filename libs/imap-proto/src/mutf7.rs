//! Modified UTF-7, the form of mailbox names before IMAP4rev2 (RFC 3501 §5.1.3).

use std::fmt;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// The text is not modified UTF-7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotModifiedUtf7;

impl fmt::Display for NotModifiedUtf7 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name is not modified UTF-7")
    }
}

impl std::error::Error for NotModifiedUtf7 {}

/// Decodes a name. Non-canonical forms (an encoded printable, a lone `&`, set
/// padding bits, a shift right after another) are refused, so that one mailbox
/// has one name on the wire.
///
/// # Errors
/// The text is not canonical modified UTF-7.
pub fn decode(text: &[u8]) -> Result<String, NotModifiedUtf7> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'&' => {
                let end = memchr::memchr(b'-', rest).ok_or(NotModifiedUtf7)?;
                let (coded, tail) = (&rest[..end], &rest[end + 1..]);
                rest = tail;
                if coded.is_empty() {
                    out.push('&');
                    continue;
                }
                decode_shifted(coded, &mut out)?;
                // RFC 3501 §5.1.3: no superfluous shifts ("-&").
                if rest.starts_with(b"&") && !rest.starts_with(b"&-") {
                    return Err(NotModifiedUtf7);
                }
            }
            0x20..=0x7e => out.push(char::from(byte)),
            _ => return Err(NotModifiedUtf7),
        }
    }
    Ok(out)
}

fn decode_shifted(coded: &[u8], out: &mut String) -> Result<(), NotModifiedUtf7> {
    let (mut bits, mut count) = (0u32, 0u32);
    let mut units = Vec::with_capacity(coded.len() / 2);
    for &byte in coded {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b',' => 63,
            _ => return Err(NotModifiedUtf7),
        };
        bits = (bits << 6 | u32::from(value)) & 0x3f_ffff;
        count += 6;
        if count >= 16 {
            count -= 16;
            units.push((bits >> count & 0xffff) as u16);
        }
    }
    if count >= 6 || bits & ((1 << count) - 1) != 0 {
        return Err(NotModifiedUtf7);
    }
    for unit in char::decode_utf16(units) {
        match unit {
            Ok(' '..='~') | Err(_) => return Err(NotModifiedUtf7),
            Ok(c) => out.push(c),
        }
    }
    Ok(())
}

/// Encodes a name.
#[must_use]
pub fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut shifted: Vec<u16> = Vec::new();
    for c in name.chars() {
        if (' '..='~').contains(&c) {
            encode_shifted(&mut shifted, &mut out);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            let mut units = [0; 2];
            shifted.extend_from_slice(c.encode_utf16(&mut units));
        }
    }
    encode_shifted(&mut shifted, &mut out);
    out
}

fn encode_shifted(units: &mut Vec<u16>, out: &mut String) {
    if units.is_empty() {
        return;
    }
    out.push('&');
    let (mut bits, mut count) = (0u32, 0u32);
    for unit in units.drain(..) {
        bits = bits << 16 | u32::from(unit);
        count += 16;
        while count >= 6 {
            count -= 6;
            out.push(char::from(ALPHABET[(bits >> count & 63) as usize]));
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        out.push(char::from(ALPHABET[(bits << (6 - count) & 63) as usize]));
    }
    out.push('-');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_rfc_3501_section_5_1_3() {
        for (name, wire) in [
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("päpö", "p&AOQ-p&APY-"),
            ("pääkkönen", "p&AOQA5A-kk&APY-nen"),
            ("a&b", "a&-b"),
            ("📬", "&2D3c7A-"),
        ] {
            assert_eq!(encode(name), wire);
            assert_eq!(decode(wire.as_bytes()).as_deref(), Ok(name));
        }
    }

    #[test]
    fn what_is_not_canonical_is_refused() {
        for wire in [
            "&",
            "&AG",
            "&AGE-",
            "&U,BTFx-",
            "&U,BTFw-&ZeVnLIqe-",
            "a\u{e4}",
            "a\x01",
            "&====-",
            "&2D0-",
            "&AA-",
        ] {
            assert_eq!(decode(wire.as_bytes()), Err(NotModifiedUtf7), "{wire}");
        }
    }

    proptest! {
        #[test]
        fn any_name_survives(name: String) {
            prop_assert_eq!(decode(encode(&name).as_bytes()), Ok(name));
        }

        #[test]
        fn what_decodes_is_canonical(wire: Vec<u8>) {
            if let Ok(name) = decode(&wire) {
                prop_assert_eq!(encode(&name).into_bytes(), wire);
            }
        }
    }
}
