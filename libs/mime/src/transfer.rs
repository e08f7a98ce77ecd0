//! Content-Transfer-Encoding: streaming decoders that no garbage stops.
//!
//! RFC 2045 §6.7 and §6.8. What is not in the alphabet is skipped (base64) or
//! kept as it is (quoted-printable). Any split of the input gives the same
//! output. Also the two writers that this system's own messages need.

/// A part's Content-Transfer-Encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// `7bit`, the default.
    #[default]
    SevenBit,
    /// `8bit`.
    EightBit,
    /// `binary`.
    Binary,
    /// `base64`.
    Base64,
    /// `quoted-printable`.
    QuotedPrintable,
    /// Something else; decoders leave the bytes as they are.
    Other,
}

impl Encoding {
    /// Reads the field's token, in any case.
    #[must_use]
    pub fn parse(token: &[u8]) -> Self {
        match token.to_ascii_lowercase().as_slice() {
            b"7bit" | b"" => Self::SevenBit,
            b"8bit" => Self::EightBit,
            b"binary" => Self::Binary,
            b"base64" => Self::Base64,
            b"quoted-printable" => Self::QuotedPrintable,
            _ => Self::Other,
        }
    }

    /// The field's token; of an unknown encoding one that says so.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SevenBit => "7bit",
            Self::EightBit => "8bit",
            Self::Binary => "binary",
            Self::Base64 => "base64",
            Self::QuotedPrintable => "quoted-printable",
            Self::Other => "x-unknown",
        }
    }

    /// Is the body stored as it is meant?
    #[must_use]
    pub fn is_identity(self) -> bool {
        matches!(self, Self::SevenBit | Self::EightBit | Self::Binary)
    }
}

/// Undoes a transfer encoding, piece by piece.
#[derive(Debug, Clone)]
pub struct Decoder {
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Identity,
    Base64 { bits: u32, count: u8, ended: bool },
    // What may yet turn out to be an escape, a soft line break or white space
    // at the end of a line.
    QuotedPrintable { held: Vec<u8> },
}

/// White space kept back at the end of a quoted-printable line; more of it is
/// passed on as it comes.
const HELD_BYTES_MAX: usize = 1_024;

impl Decoder {
    /// A decoder for bodies in `encoding`.
    #[must_use]
    pub fn new(encoding: Encoding) -> Self {
        let state = match encoding {
            Encoding::Base64 => State::Base64 {
                bits: 0,
                count: 0,
                ended: false,
            },
            Encoding::QuotedPrintable => State::QuotedPrintable { held: Vec::new() },
            _ => State::Identity,
        };
        Self { state }
    }

    /// Decodes the next piece and appends what it gives to `out`.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        match &mut self.state {
            State::Identity => out.extend_from_slice(piece),
            State::Base64 { bits, count, ended } => {
                let mut rest = piece;
                while !rest.is_empty() {
                    if *count == 0 {
                        let before = rest.len();
                        rest = base64_runs(rest, out);
                        *ended &= rest.len() == before;
                    }
                    if let Some((&byte, behind)) = rest.split_first() {
                        base64_byte(byte, bits, count, ended, out);
                        rest = behind;
                    }
                }
            }
            State::QuotedPrintable { held } => {
                let mut rest = piece;
                while !rest.is_empty() {
                    if held.is_empty() {
                        rest = quoted_printable_runs(rest, out);
                    }
                    if let Some((&byte, behind)) = rest.split_first() {
                        quoted_printable_byte(byte, held, out);
                        rest = behind;
                    }
                }
            }
        }
    }

    /// Gives out what was held back at the end of the body.
    pub fn finish(self, out: &mut Vec<u8>) {
        match self.state {
            State::Identity => {}
            State::Base64 { bits, count, .. } => base64_tail(bits, count, out),
            State::QuotedPrintable { held } => match held.as_slice() {
                // A soft line break at the very end, or white space that the
                // line's end would have removed.
                [b'=', ..] if held.len() == 1 || held.ends_with(b"\r") => {}
                [b' ' | b'\t', ..] => {}
                _ => out.extend_from_slice(&held),
            },
        }
    }
}

/// Decodes a whole body.
#[must_use]
pub fn decode(encoding: Encoding, body: &[u8]) -> Vec<u8> {
    let mut decoder = Decoder::new(encoding);
    let mut out = Vec::with_capacity(body.len());
    decoder.push(body, &mut out);
    decoder.finish(&mut out);
    out
}

/// What a character of base64 stands for; [`NO_DIGIT`] for all others.
const DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut at = 0;
    while at < alphabet.len() {
        digits[alphabet[at] as usize] = at as u8;
        at += 1;
    }
    digits
};
const NO_DIGIT: u8 = 0x80;

/// Decodes as many whole groups of four as stand at the beginning, and gives the rest.
fn base64_runs<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    /// Characters that are decoded at once: a line has 76.
    const AT_ONCE: usize = 16;
    while let Some((chunk, behind)) = rest.split_first_chunk::<AT_ONCE>() {
        let digits = chunk.map(|byte| DIGITS[usize::from(byte)]);
        if digits.iter().fold(0, |all, digit| all | digit) & NO_DIGIT != 0 {
            break;
        }
        let mut bytes = [0; AT_ONCE / 4 * 3];
        for (group, bytes) in digits.chunks_exact(4).zip(bytes.chunks_exact_mut(3)) {
            bytes[0] = group[0] << 2 | group[1] >> 4;
            bytes[1] = group[1] << 4 | group[2] >> 2;
            bytes[2] = group[2] << 6 | group[3];
        }
        out.extend_from_slice(&bytes);
        rest = behind;
    }
    while let Some((chunk, behind)) = rest.split_first_chunk::<4>() {
        let [a, b, c, d] = chunk.map(|byte| DIGITS[usize::from(byte)]);
        if (a | b | c | d) & NO_DIGIT != 0 {
            break;
        }
        out.extend_from_slice(&[a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]);
        rest = behind;
    }
    rest
}

fn base64_byte(byte: u8, bits: &mut u32, count: &mut u8, ended: &mut bool, out: &mut Vec<u8>) {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        b'=' => {
            // Padding ends a run; some writers join several padded runs.
            if !*ended {
                base64_tail(*bits, *count, out);
                *ended = true;
            }
            (*bits, *count) = (0, 0);
            return;
        }
        _ => return,
    };
    *ended = false;
    *bits = *bits << 6 | u32::from(value);
    *count += 1;
    if *count == 4 {
        out.extend_from_slice(&bits.to_be_bytes()[1..]);
        (*bits, *count) = (0, 0);
    }
}

fn base64_tail(bits: u32, count: u8, out: &mut Vec<u8>) {
    match count {
        2 => out.push((bits >> 4) as u8),
        3 => out.extend_from_slice(&[(bits >> 10) as u8, (bits >> 2) as u8]),
        _ => {}
    }
}

/// Passes on what stands for itself, lines without the white space at their ends; gives the
/// rest, which begins with an escape, or is white space of which nobody knows yet.
fn quoted_printable_runs<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    while let Some(at) = memchr::memchr2(b'=', b'\n', rest) {
        let (run, behind) = rest.split_at(at);
        if behind.starts_with(b"=") {
            out.extend_from_slice(run);
            return behind;
        }
        let (line, end) = match run.strip_suffix(b"\r") {
            Some(line) => (line, &b"\r\n"[..]),
            None => (run, &b"\n"[..]),
        };
        let text = without_blanks(line);
        if line.len() - text.len() >= HELD_BYTES_MAX {
            // Not all of it is kept back.
            break;
        }
        out.extend_from_slice(text);
        out.extend_from_slice(end);
        rest = &behind[1..];
    }
    let line = memchr::memchr2(b'=', b'\n', rest).unwrap_or(rest.len());
    let line = &rest[..line];
    let text = without_blanks(line.strip_suffix(b"\r").unwrap_or(line));
    out.extend_from_slice(text);
    &rest[text.len()..]
}

fn without_blanks(mut line: &[u8]) -> &[u8] {
    while let [text @ .., b' ' | b'\t'] = line {
        line = text;
    }
    line
}

fn quoted_printable_byte(byte: u8, held: &mut Vec<u8>, out: &mut Vec<u8>) {
    match held.first() {
        Some(b'=') => escape_byte(byte, held, out),
        Some(_) => match byte {
            // RFC 2045 §6.7 rule 3: white space at a line's end was added on the way.
            b'\n' => {
                let ends_crlf = held.ends_with(b"\r");
                held.clear();
                out.extend_from_slice(if ends_crlf { b"\r\n" } else { b"\n" });
            }
            b' ' | b'\t' | b'\r' if held.len() < HELD_BYTES_MAX && !held.ends_with(b"\r") => {
                held.push(byte);
            }
            _ => {
                out.append(held);
                start_byte(byte, held, out);
            }
        },
        None => start_byte(byte, held, out),
    }
}

fn start_byte(byte: u8, held: &mut Vec<u8>, out: &mut Vec<u8>) {
    match byte {
        b'=' | b' ' | b'\t' => held.push(byte),
        _ => out.push(byte),
    }
}

/// A byte after `=`: two digits, or a soft line break with white space before it.
fn escape_byte(byte: u8, held: &mut Vec<u8>, out: &mut Vec<u8>) {
    let all_space = held[1..].iter().all(|b| matches!(b, b' ' | b'\t'));
    match byte {
        b'\n' if all_space || held.ends_with(b"\r") => held.clear(),
        b' ' | b'\t' | b'\r' if all_space && held.len() < HELD_BYTES_MAX => held.push(byte),
        _ if held.len() == 1 && byte.is_ascii_hexdigit() => held.push(byte),
        _ if held.len() == 2 && held[1].is_ascii_hexdigit() && byte.is_ascii_hexdigit() => {
            out.push(hex(held[1]) << 4 | hex(byte));
            held.clear();
        }
        _ => {
            out.append(held);
            start_byte(byte, held, out);
        }
    }
}

pub(crate) fn hex(digit: u8) -> u8 {
    (digit as char).to_digit(16).map_or(0, |value| value as u8)
}

/// Encodes `body` as base64 in lines of 76 characters, each ended by CRLF.
#[must_use]
pub fn base64_lines(body: &[u8]) -> String {
    let mut out = String::with_capacity(body.len() / 57 * 78 + 80);
    for line in body.chunks(57) {
        out.push_str(&wire::base64::encode(line));
        out.push_str("\r\n");
    }
    out
}

/// Encodes text whose line ends are CRLF as quoted-printable.
#[must_use]
pub fn quoted_printable(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for line in text.split_inclusive(|&b| b == b'\n') {
        // A bare CR at the very end is content.
        let content = match line.strip_suffix(b"\n") {
            Some(content) => content.strip_suffix(b"\r").unwrap_or(content),
            None => line,
        };
        let mut column = 0;
        for (at, &byte) in content.iter().enumerate() {
            let last = at + 1 == content.len();
            let plain =
                matches!(byte, 33..=60 | 62..=126) || (matches!(byte, b' ' | b'\t') && !last);
            let width = if plain { 1 } else { 3 };
            // RFC 2045 §6.7 rule 5: 76 characters with the `=`.
            if column + width > 75 {
                out.push_str("=\r\n");
                column = 0;
            }
            if plain {
                out.push(byte as char);
            } else {
                out.push('=');
                out.push(HEX[usize::from(byte >> 4)] as char);
                out.push(HEX[usize::from(byte & 15)] as char);
            }
            column += width;
        }
        if line.ends_with(b"\n") {
            out.push_str("\r\n");
        }
    }
    out
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn base64_with_garbage_and_joined_runs() {
        assert_eq!(decode(Encoding::Base64, b"Zm9v\r\nYm!Fy\r\n"), b"foobar");
        assert_eq!(decode(Encoding::Base64, b"Zg==Zm8="), b"ffo");
        assert_eq!(decode(Encoding::Base64, b"Zm8"), b"fo");
        assert_eq!(decode(Encoding::Base64, b"===="), b"");
    }

    #[test]
    fn quoted_printable_as_rfc_2045_section_6_7_says() {
        let text = b"Now's the time =\r\nfor all folk to come=\r\n to the aid of their country.";
        let plain = b"Now's the time for all folk to come to the aid of their country.";
        assert_eq!(decode(Encoding::QuotedPrintable, text), plain);
        assert_eq!(
            decode(Encoding::QuotedPrintable, b"a=3Db=c3=a9 \t\r\nx=  \r\ny"),
            b"a=b\xc3\xa9\r\nxy"
        );
        assert_eq!(
            decode(Encoding::QuotedPrintable, b"a=ZZ=4 b=== \n="),
            b"a=ZZ=4 b=="
        );
        assert_eq!(decode(Encoding::QuotedPrintable, b"end =\r\n"), b"end ");
    }

    // Found by the fuzzer `mime_fields`.
    #[test]
    fn a_bare_cr_at_the_end_is_kept() {
        assert_eq!(quoted_printable(b"a\r"), "a=0D");
        assert_eq!(quoted_printable(b"a\r\r\n"), "a=0D\r\n");
    }

    /// As `decode`, a byte at a time.
    fn slowly(encoding: Encoding, body: &[u8]) -> Vec<u8> {
        let (mut out, mut held) = (Vec::new(), Vec::new());
        let (mut bits, mut count, mut ended) = (0, 0, false);
        for &byte in body {
            match encoding {
                Encoding::Base64 => base64_byte(byte, &mut bits, &mut count, &mut ended, &mut out),
                _ => quoted_printable_byte(byte, &mut held, &mut out),
            }
        }
        let state = match encoding {
            Encoding::Base64 => State::Base64 { bits, count, ended },
            _ => State::QuotedPrintable { held },
        };
        Decoder { state }.finish(&mut out);
        out
    }

    #[test]
    fn more_white_space_than_is_kept_back() {
        for blanks in [HELD_BYTES_MAX - 1, HELD_BYTES_MAX, HELD_BYTES_MAX + 1] {
            for end in ["\r\n", "\n", "=\r\n", "\rx", "x", ""] {
                let text = format!("a{}{end}b", " ".repeat(blanks));
                let body = text.as_bytes();
                let encoding = Encoding::QuotedPrintable;
                assert_eq!(decode(encoding, body), slowly(encoding, body), "{end:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn in_bulk_as_byte_by_byte(
            lines in proptest::collection::vec("[A-Za-z0-9+/]{0,80}[=!]{0,2}[ \\t]{0,2}(\r?\n|\r)?(=[0-9A-F]{2})?", 0..12),
        ) {
            let body = lines.concat();
            for encoding in [Encoding::Base64, Encoding::QuotedPrintable] {
                prop_assert_eq!(decode(encoding, body.as_bytes()), slowly(encoding, body.as_bytes()));
            }
        }

        #[test]
        fn any_split_decodes_alike(
            pieces in proptest::collection::vec("[A-Za-z0-9=+/ \\t\\r\\n]{0,12}", 0..12),
        ) {
            let whole = pieces.concat();
            for encoding in [Encoding::Base64, Encoding::QuotedPrintable, Encoding::EightBit] {
                let mut decoder = Decoder::new(encoding);
                let mut out = Vec::new();
                for piece in &pieces { decoder.push(piece.as_bytes(), &mut out); }
                decoder.finish(&mut out);
                prop_assert_eq!(out, decode(encoding, whole.as_bytes()));
            }
        }

        #[test]
        fn what_is_encoded_decodes(body: Vec<u8>, text in "[ -~é你\\t]{0,200}") {
            prop_assert_eq!(&decode(Encoding::Base64, base64_lines(&body).as_bytes()), &body);
            let coded = quoted_printable(text.as_bytes());
            prop_assert!(coded.lines().all(|line| line.len() <= 76));
            let decoded = decode(Encoding::QuotedPrintable, coded.as_bytes());
            prop_assert_eq!(decoded, text.as_bytes());
        }
    }
}
