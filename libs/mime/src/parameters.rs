//! Structured MIME fields: a value and its parameters.
//!
//! RFC 2045 §5.1 and RFC 2183 with the leniency real mail needs (unquoted
//! values with spaces, missing quotes), RFC 2231 continuations and charsets.

use crate::charset;
use crate::encoded_word;
use crate::limits::{COMMENT_DEPTH_MAX, PARAMETERS_MAX};
use crate::transfer::hex;

/// A field such as `text/plain; charset=utf-8` or `attachment; filename=x`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Structured {
    /// What stands before the first `;`, without comments and white space.
    pub value: Vec<u8>,
    /// The parameters in their order, continuations joined. A name that ends
    /// with `*` has a value in RFC 2231's form `charset'language'%xx`.
    pub parameters: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Structured {
    /// Reads an unfolded field value. Never fails.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let mut scanner = Scanner { text, at: 0 };
        let value = scanner.plain(b';');
        let mut segments = Vec::new();
        while scanner.take(b';') && segments.len() < PARAMETERS_MAX {
            let name = scanner.plain(b'=');
            if !scanner.take(b'=') {
                continue;
            }
            let value = scanner.parameter_value();
            if !name.is_empty() {
                segments.push((name, value));
            }
        }
        Self {
            value,
            parameters: join_continuations(segments),
        }
    }

    /// A parameter's raw value; names are compared in any case.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&[u8]> {
        self.parameters
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value.as_slice())
    }

    /// A parameter as text: RFC 2231's form first, otherwise encoded-words and
    /// raw 8-bit text decoded.
    #[must_use]
    pub fn parameter_text(&self, name: &str) -> Option<String> {
        match self.parameter(&format!("{name}*")) {
            Some(extended) => Some(decode_extended(extended)),
            None => self.parameter(name).map(encoded_word::decode),
        }
    }
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn take(&mut self, wanted: u8) -> bool {
        let there = self.text.get(self.at) == Some(&wanted);
        self.at += usize::from(there);
        there
    }

    /// Text up to `stop` or `;`, without comments and white space at its ends.
    fn plain(&mut self, stop: u8) -> Vec<u8> {
        let mut out: Vec<u8> = Vec::new();
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                _ if byte == stop || byte == b';' => break,
                b'(' if out.last().is_none_or(u8::is_ascii_whitespace) || stop == b'=' => {
                    self.skip_comment();
                }
                _ => {
                    out.push(byte);
                    self.at += 1;
                }
            }
        }
        out.trim_ascii().to_vec()
    }

    fn parameter_value(&mut self) -> Vec<u8> {
        loop {
            match self.text.get(self.at) {
                Some(b' ' | b'\t') => self.at += 1,
                Some(b'(') => self.skip_comment(),
                Some(b'"') => {
                    let value = self.quoted();
                    // Whatever follows the quotes is not part of the value.
                    self.plain(b';');
                    return value;
                }
                _ => return self.plain(b';'),
            }
        }
    }

    /// A quoted string, its escapes undone; a missing quote ends at the end.
    fn quoted(&mut self) -> Vec<u8> {
        self.at += 1;
        let mut out = Vec::new();
        while let Some(&byte) = self.text.get(self.at) {
            self.at += 1;
            match (byte, self.text.get(self.at)) {
                (b'"', _) => break,
                // A backslash escapes what needs it; in `C:\file` it is itself.
                (b'\\', Some(&next @ (b'"' | b'\\'))) => {
                    out.push(next);
                    self.at += 1;
                }
                _ => out.push(byte),
            }
        }
        out
    }

    fn skip_comment(&mut self) {
        let mut depth = 0usize;
        while let Some(&byte) = self.text.get(self.at) {
            self.at += 1;
            match byte {
                b'\\' => self.at += 1,
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            if depth == 0 || depth > COMMENT_DEPTH_MAX {
                return;
            }
        }
    }
}

/// One continued parameter while its segments come in.
struct Continued {
    name: Vec<u8>,
    // (section, extended, value)
    segments: Vec<(u32, bool, Vec<u8>)>,
    place: usize,
}

/// Joins `name*0`, `name*1*`, … as RFC 2231 §6 asks of IMAP servers.
fn join_continuations(segments: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut out: Vec<(Vec<u8>, Vec<u8>)> = Vec::with_capacity(segments.len());
    let mut continued: Vec<Continued> = Vec::new();
    for (name, value) in segments {
        let Some((base, section, extended)) = continuation(&name) else {
            out.push((name, value));
            continue;
        };
        let segment = (section, extended, value);
        match continued
            .iter_mut()
            .find(|c| c.name.eq_ignore_ascii_case(base))
        {
            Some(known) => known.segments.push(segment),
            None => {
                continued.push(Continued {
                    name: base.to_vec(),
                    segments: vec![segment],
                    place: out.len(),
                });
                out.push((Vec::new(), Vec::new()));
            }
        }
    }
    for mut parameter in continued {
        parameter.segments.sort_by_key(|(section, ..)| *section);
        out[parameter.place] = joined(parameter.name, &parameter.segments);
    }
    out
}

fn joined(mut name: Vec<u8>, segments: &[(u32, bool, Vec<u8>)]) -> (Vec<u8>, Vec<u8>) {
    let extended = segments.iter().any(|(_, extended, _)| *extended);
    let first_extended = segments.first().is_some_and(|(_, extended, _)| *extended);
    let mut value = Vec::new();
    if extended {
        name.push(b'*');
        if !first_extended {
            value.extend_from_slice(b"''");
        }
    }
    for (_, segment_extended, text) in segments {
        if extended && !segment_extended {
            percent_encode(text, &mut value);
        } else {
            value.extend_from_slice(text);
        }
    }
    (name, value)
}

/// `name*2*` is `(name, 2, true)`; `name*` and `name` are no continuations.
fn continuation(name: &[u8]) -> Option<(&[u8], u32, bool)> {
    let (stem, extended) = match name.strip_suffix(b"*") {
        Some(stem) => (stem, true),
        None => (name, false),
    };
    let star = stem.iter().rposition(|&b| b == b'*')?;
    let digits = core::str::from_utf8(&stem[star + 1..]).ok()?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((&stem[..star], digits.parse().ok()?, extended))
}

fn percent_encode(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        // RFC 2231 §7: attribute-char.
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`{|}~".contains(&byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
}

/// Decodes `charset'language'%xx…`; without the two quotes the charset is guessed.
fn decode_extended(value: &[u8]) -> String {
    let mut pieces = value.splitn(3, |&b| b == b'\'');
    let (charset, text) = match (pieces.next(), pieces.next(), pieces.next()) {
        (Some(charset), Some(_), Some(text)) => (Some(charset), text),
        _ => (None, value),
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match (byte, text.get(at + 1), text.get(at + 2)) {
            (b'%', Some(&high), Some(&low))
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                bytes.push(hex(high) << 4 | hex(low));
                at += 3;
            }
            _ => {
                bytes.push(byte);
                at += 1;
            }
        }
    }
    let label = charset.map(String::from_utf8_lossy);
    charset::decode(label.as_deref(), &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_rfc_2045_section_5_1() {
        for text in [
            &b"text/plain; charset=us-ascii (Plain text)"[..],
            b"text/plain; charset=\"us-ascii\"",
            b" text/plain (c) ; (d) charset = us-ascii ",
        ] {
            let field = Structured::parse(text);
            assert_eq!(field.value, b"text/plain");
            assert_eq!(field.parameter("CHARSET"), Some(&b"us-ascii"[..]));
        }
    }

    #[test]
    fn the_examples_of_rfc_2231() {
        let field = Structured::parse(
            b"message/external-body; access-type=URL; URL*0=\"ftp://\"; URL*1=\"cs.utk.edu/pub/x.tar\"",
        );
        assert_eq!(
            field.parameter("url"),
            Some(&b"ftp://cs.utk.edu/pub/x.tar"[..])
        );
        let field = Structured::parse(
            b"application/x-stuff; title*0*=us-ascii'en'This%20is%20even%20more%20; \
              title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2=\"isn't it!\"",
        );
        assert_eq!(
            field.parameter_text("title").as_deref(),
            Some("This is even more ***fun*** isn't it!")
        );
        assert_eq!(
            field.parameter("title*"),
            Some(
                &b"us-ascii'en'This%20is%20even%20more%20%2A%2A%2Afun%2A%2A%2A%20isn%27t%20it!"[..]
            )
        );
        let field =
            Structured::parse(b"x/y; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A");
        assert_eq!(
            field.parameter_text("title").as_deref(),
            Some("This is ***fun***")
        );
    }

    #[test]
    fn broken_parameters_are_still_useful() {
        let field = Structured::parse(b"attachment; filename=my file.txt; size=3;; x; =y; \"");
        assert_eq!(field.parameter("filename"), Some(&b"my file.txt"[..]));
        assert_eq!(field.parameter("size"), Some(&b"3"[..]));
        let field = Structured::parse(br#"a; filename="C:\x\"y\"" junk; b="open"#);
        assert_eq!(field.parameter("filename"), Some(&br#"C:\x"y""#[..]));
        assert_eq!(field.parameter("b"), Some(&b"open"[..]));
        let field = Structured::parse("a; filename=\"=?utf-8?B?5L2g?=.txt\"".as_bytes());
        assert_eq!(field.parameter_text("filename").as_deref(), Some("你.txt"));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(text in "[a*0-2=;\"\\\\()' %]{0,60}") {
            let field = Structured::parse(text.as_bytes());
            for (name, _) in &field.parameters {
                let _ = field.parameter_text(&String::from_utf8_lossy(name));
            }
        }
    }
}
