//! Encoded-words (RFC 2047), both ways.
//!
//! Reading is lenient: words longer than 75 characters, with spaces in them or
//! glued to other text are decoded, because real mail is like that. Adjacent
//! words of one charset are joined *before* the charset is decoded, because
//! many writers cut a character in two.

use crate::charset;
use crate::transfer::{self, Encoding};

/// Decodes every encoded-word of an unfolded value, and raw 8-bit text by
/// guessing. One walk over the value, which looks ahead a bounded way.
#[must_use]
pub fn decode(value: &[u8]) -> String {
    if memchr::memmem::find(value, b"=?").is_none() {
        return charset::guess(value).into_owned();
    }
    let mut out = String::with_capacity(value.len());
    let mut run = Run::default();
    let mut rest = value;
    let mut plain_from = 0;
    let mut at = 0;
    while let Some(found) = memchr::memmem::find(&rest[at..], b"=?") {
        at += found;
        let Some(word) = parse_word(&rest[at..]) else {
            at += 1;
            continue;
        };
        let between = &rest[plain_from..at];
        // RFC 2047 §6.2: white space between two words is not shown.
        if run.is_empty() || !between.trim_ascii().is_empty() {
            run.flush(&mut out);
            out.push_str(&charset::guess(between));
        }
        run.add(&word, &mut out);
        rest = &rest[at + word.len..];
        (at, plain_from) = (0, 0);
    }
    run.flush(&mut out);
    out.push_str(&charset::guess(&rest[plain_from..]));
    out
}

/// Words of one charset whose bytes wait for their neighbours.
#[derive(Default)]
struct Run {
    open: bool,
    charset: Vec<u8>,
    bytes: Vec<u8>,
}

impl Run {
    fn is_empty(&self) -> bool {
        !self.open
    }

    fn add(&mut self, word: &Word<'_>, out: &mut String) {
        if self.is_empty() || !self.charset.eq_ignore_ascii_case(word.charset) {
            self.flush(out);
            self.charset = word.charset.to_vec();
            self.open = true;
        }
        word.decode_into(&mut self.bytes);
    }

    fn flush(&mut self, out: &mut String) {
        if !self.is_empty() {
            let label = String::from_utf8_lossy(&self.charset);
            let text = charset::decode(Some(&label), &self.bytes);
            // A word must not smuggle a line into a header that is made from it.
            out.extend(text.chars().map(|c| if c.is_control() { ' ' } else { c }));
        }
        self.open = false;
        self.charset.clear();
        self.bytes.clear();
    }
}

struct Word<'a> {
    charset: &'a [u8],
    base64: bool,
    text: &'a [u8],
    len: usize,
}

/// Longest encoded-word that is looked for: 75 by the RFC, more in practice.
const WORD_BYTES_MAX: usize = 1_024;

fn parse_word(at: &[u8]) -> Option<Word<'_>> {
    let at = &at[..at.len().min(WORD_BYTES_MAX)];
    let inner = at.get(2..)?;
    let charset_len = inner.iter().take(80).position(|&b| b == b'?')?;
    let charset = &inner[..charset_len];
    // RFC 2231 §5: `charset*language`.
    let charset = charset.split(|&b| b == b'*').next()?;
    // An empty charset is nonsense that real writers produce; it is guessed.
    if !charset.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let base64 = match inner.get(charset_len + 1)? {
        b'B' | b'b' => true,
        b'Q' | b'q' => false,
        _ => return None,
    };
    if inner.get(charset_len + 2) != Some(&b'?') {
        return None;
    }
    let text = &inner[charset_len + 3..];
    let text_len = memchr::memmem::find(text, b"?=")?;
    let len = 2 + charset_len + 3 + text_len + 2;
    Some(Word {
        charset,
        base64,
        text: &text[..text_len],
        len,
    })
}

impl Word<'_> {
    fn decode_into(&self, out: &mut Vec<u8>) {
        if self.base64 {
            out.extend(transfer::decode(Encoding::Base64, self.text));
            return;
        }
        let mut at = 0;
        while let Some(&byte) = self.text.get(at) {
            at += 1;
            match (byte, self.text.get(at), self.text.get(at + 1)) {
                (b'_', ..) => out.push(b' '),
                (b'=', Some(&high), Some(&low))
                    if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
                {
                    out.push(transfer::hex(high) << 4 | transfer::hex(low));
                    at += 2;
                }
                _ => out.push(byte),
            }
        }
    }
}

/// Writes `text` as encoded-words of at most 75 characters, in UTF-8 and
/// base64, separated by a space.
// RFC 2047 §2 and §5 (3): a character is never cut in two.
#[must_use]
pub fn encode(text: &str) -> String {
    // "=?utf-8?B?" and "?=" leave 63 characters: 45 bytes give 60.
    const BYTES_PER_WORD: usize = 45;
    let mut out = String::with_capacity(text.len() * 2 + 16);
    let mut from = 0;
    while from < text.len() {
        let mut to = (from + BYTES_PER_WORD).min(text.len());
        while !text.is_char_boundary(to) {
            to -= 1;
        }
        if from > 0 {
            out.push(' ');
        }
        out.push_str("=?utf-8?B?");
        out.push_str(&wire::base64::encode(&text.as_bytes()[from..to]));
        out.push_str("?=");
        from = to;
    }
    out
}

/// An unfolded value as ASCII: unchanged where it is ASCII already, otherwise
/// decoded (raw 8-bit text by guessing) and written as encoded-words.
#[must_use]
pub fn to_ascii(value: &[u8]) -> Vec<u8> {
    if value.is_ascii() {
        value.to_vec()
    } else {
        encode(&decode(value)).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_rfc_2047_section_8() {
        for (coded, plain) in [
            ("=?ISO-8859-1?Q?a?=", "a"),
            ("=?ISO-8859-1?Q?a?= b", "a b"),
            ("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a?=    =?ISO-8859-1?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a_b?=", "a b"),
            ("=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
            (
                "=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>",
                "Keith Moore <moore@cs.utk.edu>",
            ),
            (
                "=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=\t=?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
                "If you can read this you understand the example.",
            ),
        ] {
            assert_eq!(decode(coded.as_bytes()), plain);
        }
    }

    #[test]
    fn a_character_cut_between_words_is_whole_again() {
        assert_eq!(decode(b"=?utf-8?Q?=E4=BD?= =?UTF-8?Q?=A0?="), "你");
        assert_eq!(decode(b"=?gb2312?B?xOM=?= =?gb2312*zh?B?usM=?=!"), "你好!");
    }

    #[test]
    fn broken_words_stay_as_they_are() {
        for text in [
            "=?",
            "=?utf-8?",
            "=?utf-8?x?aa?=",
            "=??=",
            "=?utf-8?Q?open",
            "a =?= b",
            "=?a b?Q?x?=",
        ] {
            assert_eq!(decode(text.as_bytes()), text);
        }
        assert_eq!(decode(b"=??Q?caf=E9?="), "café");
        assert_eq!(decode(b"=?utf-8?Q?a=0D=0ABcc:_x?="), "a  Bcc: x");
    }

    #[test]
    fn many_unclosed_words_cost_one_walk() {
        let bomb = b"=?utf-8?Q?x".repeat(100_000);
        assert_eq!(decode(&bomb).len(), bomb.len());
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(text in "[^\\p{Cc}\u{feff}]{1,200}") {
            let coded = encode(&text);
            prop_assert!(coded.split(' ').all(|word| word.len() <= 75));
            prop_assert_eq!(decode(coded.as_bytes()), text);
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            prop_assert!(to_ascii(&bytes).is_ascii());
        }
    }
}
