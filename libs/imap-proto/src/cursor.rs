//! A place in a command's bytes, and the terminals of RFC 9051 §9 that every
//! parser uses. What a command means is not here.
//!
//! A literal stands in the bytes as it came: `{3}` CRLF and three octets. The
//! framer put it there, so a CRLF is found nowhere else.

use crate::chars::{is_astring_char, is_atom_char};
use crate::parse::ErrorKind;
use std::borrow::Cow;
use std::num::NonZeroU32;

pub(crate) type Parsed<T> = Result<T, ErrorKind>;

#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

pub(crate) fn syntax<T>(text: &'static str) -> Parsed<T> {
    Err(ErrorKind::Syntax(text))
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Takes one byte if it is `byte`.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    /// Takes `word` in any case, if it comes next as a prefix.
    pub(crate) fn take_prefix(&mut self, word: &str) -> bool {
        match self.rest.split_at_checked(word.len()) {
            Some((head, tail)) if head.eq_ignore_ascii_case(word.as_bytes()) => {
                self.rest = tail;
                true
            }
            _ => false,
        }
    }

    pub(crate) fn expect(&mut self, byte: u8, text: &'static str) -> Parsed<()> {
        if self.take(byte) {
            Ok(())
        } else {
            syntax(text)
        }
    }

    pub(crate) fn space(&mut self) -> Parsed<()> {
        self.expect(b' ', "a space is missing")
    }

    pub(crate) fn end(&self) -> Parsed<()> {
        // Some clients leave a blank at the end of a line.
        if self.rest.iter().all(|&b| b == b' ') {
            Ok(())
        } else {
            syntax("more follows than the command takes")
        }
    }

    pub(crate) fn while_(&mut self, test: impl Fn(u8) -> bool) -> &'a [u8] {
        let len = self.rest.iter().take_while(|&&b| test(b)).count();
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    /// `atom = 1*ATOM-CHAR`
    pub(crate) fn atom(&mut self) -> Parsed<&'a str> {
        let atom = self.while_(is_atom_char);
        match std::str::from_utf8(atom) {
            Ok(text) if !text.is_empty() => Ok(text),
            _ => syntax("an atom is missing"),
        }
    }

    /// An atom in capitals.
    pub(crate) fn word(&mut self) -> Parsed<String> {
        Ok(self.atom()?.to_ascii_uppercase())
    }

    /// `astring = 1*ASTRING-CHAR / string`
    pub(crate) fn astring(&mut self) -> Parsed<Cow<'a, [u8]>> {
        self.chars_or_string(is_astring_char)
    }

    /// A string, or at least one character of a class.
    pub(crate) fn chars_or_string(&mut self, class: fn(u8) -> bool) -> Parsed<Cow<'a, [u8]>> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            _ => {
                let chars = self.while_(class);
                if chars.is_empty() {
                    return syntax("a string is missing");
                }
                Ok(chars.into())
            }
        }
    }

    /// `string = quoted / literal`
    pub(crate) fn string(&mut self) -> Parsed<Cow<'a, [u8]>> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal().map(Cow::Borrowed),
            _ => syntax("a string is missing"),
        }
    }

    /// `nstring = string / nil`
    pub(crate) fn nstring(&mut self) -> Parsed<Option<Cow<'a, [u8]>>> {
        if self.take_prefix("NIL") {
            return Ok(None);
        }
        self.string().map(Some)
    }

    /// `quoted = DQUOTE *QUOTED-CHAR DQUOTE`; UTF-8 inside is taken in any session.
    fn quoted(&mut self) -> Parsed<Cow<'a, [u8]>> {
        self.expect(b'"', "a quote is missing")?;
        let plain = self.while_(|b| !matches!(b, b'"' | b'\\' | b'\r' | b'\n' | 0));
        if self.take(b'"') {
            return Ok(plain.into());
        }
        let mut text = plain.to_vec();
        loop {
            if self.take(b'"') {
                return Ok(text.into());
            }
            if self.take(b'\\') {
                match self.peek() {
                    Some(b @ (b'"' | b'\\')) => text.push(b),
                    _ => return syntax("a backslash quotes only a quote or a backslash"),
                }
                self.rest = &self.rest[1..];
            }
            let more = self.while_(|b| !matches!(b, b'"' | b'\\' | b'\r' | b'\n' | 0));
            text.extend_from_slice(more);
            if !matches!(self.peek(), Some(b'"' | b'\\')) {
                return syntax("a quoted string does not end");
            }
        }
    }

    /// `literal = "{" number64 ["+"] "}" CRLF *CHAR8`
    fn literal(&mut self) -> Parsed<&'a [u8]> {
        self.expect(b'{', "a literal is missing")?;
        let len = usize::try_from(self.number64()?)
            .map_err(|_| ErrorKind::Syntax("a number is too large"))?;
        self.take(b'+');
        if !self.take_prefix("}\r\n") {
            return syntax("a literal's length ends a line");
        }
        let Some((octets, rest)) = self.rest.split_at_checked(len) else {
            return syntax("a literal is cut short");
        };
        self.rest = rest;
        if octets.contains(&0) {
            return syntax("a literal may not hold NUL");
        }
        Ok(octets)
    }

    /// A decimal number below 2^63.
    pub(crate) fn number64(&mut self) -> Parsed<u64> {
        let digits = self.while_(|b| b.is_ascii_digit());
        if digits.is_empty() {
            return syntax("a number is missing");
        }
        digits
            .iter()
            .try_fold(0u64, |n, d| {
                n.checked_mul(10)?.checked_add(u64::from(d - b'0'))
            })
            .filter(|&n| n <= i64::MAX as u64)
            .ok_or(ErrorKind::Syntax("a number is too large"))
    }

    /// `nz-number`
    pub(crate) fn nz_number(&mut self) -> Parsed<NonZeroU32> {
        let number = u32::try_from(self.number64()?)
            .ok()
            .and_then(NonZeroU32::new);
        number.ok_or(ErrorKind::Syntax("a number is zero or too large"))
    }

    /// `"(" item *(SP item) ")"`, at least one item unless `empty` is fine.
    pub(crate) fn list<T>(
        &mut self,
        empty: bool,
        mut item: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        self.expect(b'(', "an opening parenthesis is missing")?;
        let mut items = Vec::new();
        if empty && self.take(b')') {
            return Ok(items);
        }
        loop {
            if items.len() >= crate::limits::LIST_ITEMS_MAX {
                return syntax("a list has too many items");
            }
            items.push(item(self)?);
            if self.take(b')') {
                return Ok(items);
            }
            self.expect(b' ', "a closing parenthesis is missing")?;
        }
    }
}
