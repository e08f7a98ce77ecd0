//! Binary parts made fit for everyone: base64 in their place (RFC 3516 §4.4,
//! RFC 3030 §3). Not here: line ends at import ([`crate::normalise_line_ends`]).

use crate::header::HeaderReader;
use crate::part::{Part, PartKind};
use crate::transfer::{Encoding, base64_lines};
use core::ops::Range;

/// A NUL stands where no transfer encoding can take it: in a header, between
/// parts, or in a part that is encoded already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StrayNul;

/// The message with those of its parts in base64 that no other way can hold:
/// bodies with a NUL, and `binary` ones whose line ends are not lines. All else
/// is copied byte for byte.
///
/// # Errors
/// [`StrayNul`]
pub fn encode_binary_parts(message: &[u8]) -> Result<Vec<u8>, StrayNul> {
    let digest = crate::digest(message);
    let mut out = Vec::with_capacity(message.len() + message.len() / 3);
    let mut copied = 0;
    for part in digest.parts.parts() {
        let (Some(header), Some(body)) = (slice(message, &part.header), slice(message, &part.body))
        else {
            continue;
        };
        if !needs_encoding(part, body) {
            continue;
        }
        let Some(between) = message.get(copied..offset(part.header.start)) else {
            continue;
        };
        out.extend_from_slice(between);
        write_header(header, "base64", &mut out);
        let lines = base64_lines(body);
        // The line end in front of a boundary is the boundary's own.
        let lines = match part.parent {
            None => lines.as_str(),
            Some(_) => lines.trim_end(),
        };
        out.extend_from_slice(lines.as_bytes());
        copied = offset(part.body.end);
    }
    out.extend_from_slice(message.get(copied..).unwrap_or_default());
    if out.contains(&0) {
        return Err(StrayNul);
    }
    Ok(out)
}

/// A part's header with another transfer encoding, and the blank line.
pub(crate) fn write_header(header: &[u8], encoding: &str, out: &mut Vec<u8>) {
    for field in HeaderReader::new(header) {
        if !field.is("Content-Transfer-Encoding") {
            out.extend_from_slice(field.raw);
        }
    }
    out.extend_from_slice(format!("Content-Transfer-Encoding: {encoding}\r\n\r\n").as_bytes());
}

fn needs_encoding(part: &Part, body: &[u8]) -> bool {
    let has_nul = body.contains(&0);
    let odd_lines = || {
        let bare = |i: usize| match body[i] {
            b'\n' => i == 0 || body[i - 1] != b'\r',
            b'\r' => body.get(i + 1) != Some(&b'\n'),
            _ => false,
        };
        (0..body.len()).any(bare)
    };
    part.kind == PartKind::Leaf
        && part.encoding.is_identity()
        && (has_nul || (part.encoding == Encoding::Binary && odd_lines()))
}

fn slice<'a>(message: &'a [u8], range: &Range<u64>) -> Option<&'a [u8]> {
    message.get(offset(range.start)..offset(range.end))
}

fn offset(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_message_and_a_binary_part_become_base64() {
        let single =
            b"Content-Transfer-Encoding: binary\r\nContent-Type: x/y\r\n\r\n\0-\xe4\n\r\n\n";
        assert_eq!(
            encode_binary_parts(single).as_deref(),
            Ok(
                &b"Content-Type: x/y\r\nContent-Transfer-Encoding: base64\r\n\r\nAC3kCg0KCg==\r\n"
                    [..]
            )
        );
        let mixed = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n\
                      Content-Type: a/b\r\nContent-Transfer-Encoding: binary\r\n\r\na\nb\r\n--b--\r\n";
        assert_eq!(
            encode_binary_parts(mixed).as_deref(),
            Ok(
                &b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n\
                  Content-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\nYQpi\r\n--b--\r\n"
                    [..]
            )
        );
    }

    #[test]
    fn what_needs_nothing_is_unchanged_and_a_stray_nul_is_refused() {
        for plain in [
            &b"Subject: x\r\n\r\nbody\r\n"[..],
            b"Content-Transfer-Encoding: binary\r\n\r\nlines\r\nonly\r\n",
            b"Subject: x\n\nbare line feeds, 7bit\n",
            b"",
        ] {
            assert_eq!(encode_binary_parts(plain).as_deref(), Ok(plain));
        }
        for stray in [
            &b"Subject: \0\r\n\r\nbody\r\n"[..],
            b"Content-Transfer-Encoding: base64\r\n\r\nAA\0A\r\n",
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n\0\r\n--b\r\n\r\nx\r\n--b--\r\n",
        ] {
            assert_eq!(encode_binary_parts(stray), Err(StrayNul));
        }
    }
}
