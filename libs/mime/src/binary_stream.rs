//! A message with binary parts as it streams in: those become base64.
//!
//! RFC 3030 §3 lets a server that takes BINARYMIME do so before it sends on;
//! doing it at once means that nothing behind has to know of binary parts.
//! Leaves that say `binary` are encoded whatever they hold; multiparts and
//! messages that say so say `8bit` from then on (RFC 2045 §6.4: nothing else is
//! allowed there). All else is given back byte for byte. Not here: line ends of
//! the other parts, a NUL in them (the reader of lines behind this one).
//!
//! | mode | holds |
//! |---|---|
//! | `Header` | the header so far, up to [`HEADER_BYTES_MAX`] |
//! | `Copy` | the beginning of a line that may be a boundary |
//! | `Encode` | the same, a line end that may belong to a boundary, less than a base64 line |

use crate::binary_parts::write_header;
use crate::limits::{BODY_LINE_BYTES_MAX, DEPTH_MAX, HEADER_BYTES_MAX};
use crate::structure::{self, PartFacts};
use crate::transfer::{Encoding, base64_lines};
use memchr::memchr;

/// Octets of one line of base64 (RFC 2045 §6.8: 76 characters).
const BASE64_LINE_OCTETS: usize = 57;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Header,
    Copy,
    Encode,
}

#[derive(Debug)]
struct Multipart {
    boundary: Vec<u8>,
    /// Its parts are messages unless they say otherwise (RFC 2046 §5.1.5).
    digest: bool,
}

/// Encodes the binary parts of one message.
#[derive(Debug)]
pub struct BinaryEncoder {
    /// Multiparts before their last boundary, outermost first.
    open: Vec<Multipart>,
    mode: Mode,
    header: Vec<u8>,
    /// The part whose header it is may be a message without saying so.
    in_digest: bool,
    /// The beginning of the present line.
    line: Vec<u8>,
    /// The present line is too long for a boundary, and was given on in part.
    long: bool,
    /// A line end (or a CR that may begin one) at the end of what is encoded.
    held: &'static [u8],
    /// Octets for the next line of base64.
    octets: Vec<u8>,
}

impl Default for BinaryEncoder {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            mode: Mode::Header,
            header: Vec::new(),
            in_digest: false,
            line: Vec::new(),
            long: false,
            held: b"",
            octets: Vec::new(),
        }
    }
}

impl BinaryEncoder {
    /// Takes a piece of the message; appends what is known of the result.
    pub fn push(&mut self, mut piece: &[u8], out: &mut Vec<u8>) {
        while !piece.is_empty() {
            let end = memchr(b'\n', piece).map_or(piece.len(), |at| at + 1);
            let (part, rest) = piece.split_at(end);
            piece = rest;
            let ends = part.ends_with(b"\n");
            if self.long {
                self.give(part, out);
                self.long = !ends;
                continue;
            }
            self.line.extend_from_slice(part);
            if ends || self.line.len() > BODY_LINE_BYTES_MAX {
                self.long = !ends;
                self.take_line(out);
            }
        }
    }

    /// The message is complete: appends the rest.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        if !self.line.is_empty() {
            self.take_line(out);
        }
        match self.mode {
            // A header without an end has no body that could be binary.
            Mode::Header => out.append(&mut self.header),
            Mode::Copy => {}
            Mode::Encode => {
                self.octets.extend_from_slice(self.held);
                self.end_base64(out);
            }
        }
    }

    /// A line, or the beginning of one that is too long for a boundary.
    fn take_line(&mut self, out: &mut Vec<u8>) {
        let mut line = core::mem::take(&mut self.line);
        let delimiter = if self.long {
            None
        } else {
            self.delimiter(&line)
        };
        match delimiter {
            Some((level, last)) => self.end_part(level, last, &line, out),
            None => {
                self.give(&line, out);
                let blank = !self.long && (line == b"\r\n" || line == b"\n");
                if self.mode == Mode::Header && blank {
                    self.end_header(out);
                }
            }
        }
        line.clear();
        self.line = line;
    }

    /// Which multipart's boundary the line is, and whether its last one.
    fn delimiter(&self, line: &[u8]) -> Option<(usize, bool)> {
        let text = line.strip_prefix(b"--")?.trim_ascii_end();
        let levels = self.open.iter().enumerate().rev();
        levels
            .filter_map(|(level, open)| Some((level, text.strip_prefix(&open.boundary[..])?)))
            .find_map(|(level, rest)| match rest {
                b"" => Some((level, false)),
                b"--" => Some((level, true)),
                _ => None,
            })
    }

    fn end_part(&mut self, level: usize, last: bool, line: &[u8], out: &mut Vec<u8>) {
        match self.mode {
            Mode::Header => out.append(&mut self.header),
            Mode::Copy => {}
            // RFC 2046 §5.1.1: the line end before a boundary is the boundary's;
            // the last line of base64 has one.
            Mode::Encode => self.end_base64(out),
        }
        self.held = b"";
        out.extend_from_slice(line);
        self.in_digest = self.open[level].digest;
        self.open.truncate(if last { level } else { level + 1 });
        self.mode = if last { Mode::Copy } else { Mode::Header };
    }

    /// Octets of the present part.
    fn give(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match self.mode {
            Mode::Header => {
                self.header.extend_from_slice(bytes);
                if self.header.len() > HEADER_BYTES_MAX {
                    out.append(&mut self.header);
                    self.mode = Mode::Copy;
                }
            }
            Mode::Copy => out.extend_from_slice(bytes),
            Mode::Encode => self.encode(bytes, out),
        }
    }

    fn encode(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.held == b"\r" && bytes == b"\n" {
            self.held = b"\r\n";
            return;
        }
        self.octets.extend_from_slice(self.held);
        self.held = [&b"\r\n"[..], b"\n", b"\r"]
            .into_iter()
            .find(|end| bytes.ends_with(end))
            .unwrap_or(b"");
        self.octets
            .extend_from_slice(&bytes[..bytes.len() - self.held.len()]);
        let whole = self.octets.len() - self.octets.len() % BASE64_LINE_OCTETS;
        if whole > 0 {
            out.extend_from_slice(base64_lines(&self.octets[..whole]).as_bytes());
            self.octets.drain(..whole);
        }
    }

    fn end_base64(&mut self, out: &mut Vec<u8>) {
        let octets = core::mem::take(&mut self.octets);
        out.extend_from_slice(base64_lines(&octets).as_bytes());
    }

    /// The blank line behind a header was met.
    fn end_header(&mut self, out: &mut Vec<u8>) {
        let header = core::mem::take(&mut self.header);
        let default_type = if core::mem::take(&mut self.in_digest) {
            "message/rfc822"
        } else {
            "text/plain"
        };
        let facts = PartFacts::read(&header, default_type);
        let media_type = facts.media_type();
        let multipart = media_type.starts_with("multipart/");
        let message = matches!(media_type.as_str(), "message/rfc822" | "message/global");
        let binary = facts.encoding == Encoding::Binary;
        match (binary, multipart || message) {
            (false, _) => out.extend_from_slice(&header),
            (true, true) => write_header(&header, "8bit", out),
            (true, false) => write_header(&header, "base64", out),
        }
        self.mode = match (multipart, message, binary) {
            (true, ..) => {
                let boundary = structure::boundary(&facts.content_type).map(<[u8]>::to_vec);
                if let Some(boundary) = boundary.filter(|_| self.open.len() < DEPTH_MAX) {
                    let digest = media_type == "multipart/digest";
                    self.open.push(Multipart { boundary, digest });
                }
                Mode::Copy
            }
            (_, true, _) => Mode::Header,
            (.., true) => Mode::Encode,
            _ => Mode::Copy,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(message: &[u8], piece: usize) -> Vec<u8> {
        let mut encoder = BinaryEncoder::default();
        let mut out = Vec::new();
        for part in message.chunks(piece.max(1)) {
            encoder.push(part, &mut out);
        }
        encoder.finish(&mut out);
        out
    }

    fn text(message: &[u8]) -> String {
        String::from_utf8(encode(message, 5)).expect("ASCII")
    }

    #[test]
    fn binary_leaves_become_base64_and_what_holds_them_8bit() {
        assert_eq!(
            text(b"Content-Transfer-Encoding: binary\r\nContent-Type: x/y\r\n\r\n\0-\xe4\n\r\n\n"),
            "Content-Type: x/y\r\nContent-Transfer-Encoding: base64\r\n\r\nAC3kCg0KCg==\r\n"
        );
        let nested = b"Content-Type: multipart/mixed; boundary=b\r\n\
            Content-Transfer-Encoding: BINARY\r\n\r\npreamble\r\n--b\r\n\r\ntext\r\n--b\r\n\
            Content-Type: message/rfc822\r\nContent-Transfer-Encoding: binary\r\n\r\n\
            Content-Transfer-Encoding: binary\r\nSubject: x\r\n\r\na\nb\r\n--b--\r\nepilogue\0\r\n";
        assert_eq!(
            text(nested),
            "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
             preamble\r\n--b\r\n\r\ntext\r\n--b\r\n\
             Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
             Subject: x\r\nContent-Transfer-Encoding: base64\r\n\r\nYQpi\r\n--b--\r\nepilogue\0\r\n"
        );
    }

    #[test]
    fn a_boundary_within_a_line_of_octets_is_none() {
        let long = vec![b'x'; BODY_LINE_BYTES_MAX + 7];
        let body = [&b"a--b\r\n"[..], &long, b"--b\r\n\r--b\n"].concat();
        let message = [
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
              Content-Transfer-Encoding: binary\r\n\r\n",
            &body[..],
            b"\r\n--b--\r\n",
        ]
        .concat();
        let out = text(&message);
        let (_, rest) = out.split_once("base64\r\n\r\n").expect("encoded");
        let (encoded, _) = rest.split_once("--b--").expect("the last boundary");
        assert_eq!(
            crate::transfer::decode(Encoding::Base64, encoded.as_bytes()),
            body
        );
        assert!(encoded.lines().all(|line| line.len() <= 76));
    }

    #[test]
    fn what_holds_no_binary_part_is_unchanged() {
        for plain in [
            &b"Subject: x\r\n\r\nbody\r\n"[..],
            b"Subject: x\n\nbare line feeds\r\0\n",
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n--b\r\nX: y\r\n--b--",
            b"Subject: no end",
            b"",
        ] {
            assert_eq!(encode(plain, 3), plain);
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter_and_the_content_stays(
            body in prop::collection::vec(prop::sample::select(b"ab-\r\n\0.\xff".to_vec()), 0..300),
            piece in 1usize..70,
        ) {
            let message = [&b"Content-Transfer-Encoding: binary\r\n\r\n"[..], &body].concat();
            let whole = encode(&message, message.len());
            prop_assert_eq!(&encode(&message, piece), &whole);
            prop_assert!(whole.is_ascii() && !whole.contains(&0));
            let at = whole.windows(4).position(|four| four == b"\r\n\r\n").expect("a header") + 4;
            prop_assert_eq!(crate::transfer::decode(Encoding::Base64, &whole[at..]), body);
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>, piece in 1usize..9) {
            prop_assert_eq!(encode(&bytes, piece), encode(&bytes, bytes.len()));
        }
    }
}
