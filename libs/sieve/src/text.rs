//! Strings of scripts: encoded characters (RFC 5228 §2.4.2.4) and places for variables (RFC 5229 §3).

use crate::extension::{Extension, Extensions};
use crate::limits::{MATCHES_MAX, VARIABLE_NAME_CHARS_MAX};
use std::sync::Arc;

/// A string of a script, which may have variables in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Text {
    Plain(Arc<str>),
    Parts(Box<[Piece]>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Plain(Arc<str>),
    /// `${1}`
    Match(usize),
    Variable(Name),
}

/// A variable's name, in lower case (RFC 5229 §3: names are case-insensitive).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    /// `global.` stands before it (RFC 6609 §3.4.3).
    pub global: bool,
    pub name: Arc<str>,
}

impl Text {
    /// The string, if it is the same in every run.
    pub(crate) fn constant(&self) -> Option<&str> {
        match self {
            Self::Plain(text) => Some(text),
            Self::Parts(_) => None,
        }
    }

    /// Reads a string as the script's extensions have it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(text: String, has: Extensions) -> Result<Self, String> {
        let text = if has.has(Extension::EncodedCharacter) {
            decode_characters(text)?
        } else {
            text
        };
        if !has.has(Extension::Variables) || !text.contains("${") {
            return Ok(Self::Plain(text.into()));
        }
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find("${") {
            // RFC 5229 §3: what is no reference stays as it is. It is looked for again behind its "$".
            let Some((piece, len)) = reference(&rest[at..])? else {
                plain.push_str(&rest[..=at]);
                rest = &rest[at + 1..];
                continue;
            };
            plain.push_str(&rest[..at]);
            if !plain.is_empty() {
                pieces.push(Piece::Plain(core::mem::take(&mut plain).into()));
            }
            pieces.push(piece);
            rest = &rest[at + len..];
        }
        plain.push_str(rest);
        if pieces.is_empty() {
            return Ok(Self::Plain(plain.into()));
        }
        if !plain.is_empty() {
            pieces.push(Piece::Plain(plain.into()));
        }
        Ok(Self::Parts(pieces.into()))
    }
}

/// Where the "}" stands that ends a run of such octets, if one does. What is behind the run is not looked at, so that a
/// string of many beginnings is walked over once.
fn end_of(text: &str, from: usize, of_run: impl Fn(&u8) -> bool) -> Option<usize> {
    let rest = &text.as_bytes()[from..];
    let end = rest.iter().position(|byte| !of_run(byte))?;
    (rest[end] == b'}').then_some(from + end)
}

/// A variable's reference at the beginning of `text`, and its length.
fn reference(text: &str) -> Result<Option<(Piece, usize)>, String> {
    let named = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.');
    let Some(end) = end_of(text, 2, named).filter(|end| *end > 2) else {
        return Ok(None);
    };
    let name = &text[2..end];
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        let number: usize = name.parse().unwrap_or(usize::MAX);
        if number >= MATCHES_MAX {
            return Err(format!("match variables go up to {}", MATCHES_MAX - 1));
        }
        return Ok(Some((Piece::Match(number), end + 1)));
    }
    let spaced: Vec<&str> = name.split('.').collect();
    let valid = |word: &&str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            || word.bytes().all(|b| b.is_ascii_digit())
    };
    if !spaced.iter().all(|word| !word.is_empty() && valid(word))
        || spaced[0].as_bytes()[0].is_ascii_digit()
    {
        return Ok(None);
    }
    Ok(Some((Piece::Variable(Name::read(name)?), end + 1)))
}

impl Name {
    /// Reads a variable's name as a command has it.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn read(name: &str) -> Result<Self, String> {
        if name.len() > VARIABLE_NAME_CHARS_MAX {
            return Err(format!(
                "names of variables have at most {VARIABLE_NAME_CHARS_MAX} characters"
            ));
        }
        let lower = name.to_ascii_lowercase();
        let (global, name) = match lower.split_once('.') {
            Some(("global", name)) => (true, name),
            Some((space, _)) => {
                return Err(format!("no extension here has variables in \"{space}\""));
            }
            None => (false, lower.as_str()),
        };
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let begins = name
            .bytes()
            .next()
            .is_some_and(|byte| word(byte) && !byte.is_ascii_digit());
        if !begins || !name.bytes().all(word) {
            return Err(format!(
                "\"{}\" is no name of a variable",
                name.escape_debug()
            ));
        }
        let name = name.into();
        Ok(Self { global, name })
    }
}

/// `${hex: 24 41}` and `${unicode: 1F4EE}`. What is not of their form stays.
fn decode_characters(text: String) -> Result<String, String> {
    if !text.contains("${") {
        return Ok(text);
    }
    let mut out: Vec<u8> = Vec::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find("${") {
        out.extend(&rest.as_bytes()[..at]);
        rest = &rest[at..];
        match decoded(rest)? {
            Some((bytes, len)) => {
                out.extend(bytes);
                rest = &rest[len..];
            }
            None => {
                out.push(b'$');
                rest = &rest[1..];
            }
        }
    }
    out.extend(rest.as_bytes());
    // Scripts and all that they are compared with are UTF-8 (RFC 5228 §2.1, §2.4.2.4).
    String::from_utf8(out).map_err(|_| "the octets of \"${hex:…}\" are no UTF-8".into())
}

fn decoded(text: &str) -> Result<Option<(Vec<u8>, usize)>, String> {
    let kinds = [("${hex:", false), ("${unicode:", true)];
    let is = |kind: &str| {
        let begin = text.as_bytes().get(..kind.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(kind.as_bytes()))
    };
    let Some((kind, unicode)) = kinds.into_iter().find(|(kind, _)| is(kind)) else {
        return Ok(None);
    };
    let valued = |b: &u8| b.is_ascii_hexdigit() || b.is_ascii_whitespace();
    let Some(end) = end_of(text, kind.len(), valued) else {
        return Ok(None);
    };
    let digits = &text[kind.len()..end];
    let mut out = Vec::new();
    for word in digits.split_ascii_whitespace() {
        if !unicode && word.len() > 2 {
            return Ok(None);
        }
        if !unicode {
            out.push(u8::from_str_radix(word, 16).unwrap_or(0));
            continue;
        }
        let point = word.trim_start_matches('0');
        let point = if point.is_empty() { "0" } else { point };
        let point = u32::from_str_radix(point, 16).ok().and_then(char::from_u32);
        let Some(point) = point else {
            // §2.4.2.4: "It is an error for a script to use a hexadecimal value that isn't in either the range 0 to
            // D7FF or the range E000 to 10FFFF."
            return Err(format!("\"{word}\" is no character of Unicode"));
        };
        out.extend(point.encode_utf8(&mut [0; 4]).as_bytes());
    }
    // The grammar asks for one value at least.
    Ok((!out.is_empty()).then_some((out, end + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(extensions: &[Extension]) -> Extensions {
        extensions
            .iter()
            .fold(Extensions::NONE, |all, one| all.with(*one))
    }

    #[test]
    fn variables_are_found_and_what_is_none_stays() {
        let has = with(&[Extension::Variables]);
        let read = |text: &str| Text::read(text.into(), has);
        // RFC 5229 §3: examples of what is no reference.
        for plain in ["&%${}!", "${doh!}", "${", "$", "a${b", "${a.}"] {
            assert_eq!(read(plain), Ok(Text::Plain(plain.into())), "{plain}");
        }
        let Ok(Text::Parts(pieces)) = read("${${A}b${1}") else {
            panic!("pieces expected");
        };
        let name = Name {
            global: false,
            name: "a".into(),
        };
        let plain = |text: &str| Piece::Plain(text.into());
        assert_eq!(
            pieces.to_vec(),
            [
                plain("${"),
                Piece::Variable(name),
                plain("b"),
                Piece::Match(1)
            ]
        );
        assert!(read("${99}").is_err());
        assert!(read("${env.x}").is_err());
        assert!(matches!(read("${global.x}"), Ok(Text::Parts(_))));
        assert_eq!(
            Text::read("${a}".into(), Extensions::NONE),
            Ok(Text::Plain("${a}".into()))
        );
    }

    #[test]
    fn characters_are_decoded_once_and_before_variables() {
        let has = with(&[Extension::EncodedCharacter]);
        let read = |text: &str| Text::read(text.into(), has);
        let plain = |text: &str| Ok(Text::Plain(text.into()));
        // RFC 5228 §2.4.2.4: its examples.
        assert_eq!(read("$${hex:40}"), plain("$@"));
        assert_eq!(read("${hex: 40 }"), plain("@"));
        assert_eq!(read("${HEX: 40}"), plain("@"));
        assert_eq!(read("${hex:40"), plain("${hex:40"));
        assert_eq!(read("${hex:400}"), plain("${hex:400}"));
        assert_eq!(read("${hex:4${hex:30}}"), plain("${hex:40}"));
        assert_eq!(read("${unicode:40}"), plain("@"));
        assert_eq!(read("${ unicode:40}"), plain("${ unicode:40}"));
        assert_eq!(read("${UNICODE:40}"), plain("@"));
        assert_eq!(read("${UnICoDE:0000040}"), plain("@"));
        assert_eq!(read("${Unicode:Cool}"), plain("${Unicode:Cool}"));
        assert!(read("${Unicode:200000}").is_err());
        assert!(read("${unicode:DF01}").is_err());
        assert!(read("${hex:ff}").is_err());
        assert_eq!(read("${hex:}"), plain("${hex:}"));
    }
}
