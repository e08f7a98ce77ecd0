//! Octets to tokens (RFC 5228 §2 and §8.1).
//!
//! Lines may end in CRLF or LF: scripts are written in editors. Strings keep their line ends as CRLF, which is what
//! a message has. What is no token is complained of once and passed over.
//!
//! Invariants: each token costs one walk over its octets, and one more to count them; every token's text is valid UTF-8.

use crate::complaint::{Complaints, Position};
use crate::limits::IDENTIFIER_CHARS_MAX;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// In lower case (§2.10.2: identifiers are case-insensitive).
    Identifier(String),
    /// `:name`, in lower case, without the colon.
    Tag(String),
    Number(u64),
    Text(String),
    Open,
    Close,
    ListOpen,
    ListClose,
    BlockOpen,
    BlockClose,
    Comma,
    Semicolon,
    End,
}

impl Token {
    /// As it is named in a complaint.
    pub(crate) fn named(&self) -> String {
        match self {
            Self::Identifier(name) => format!("\"{name}\""),
            Self::Tag(name) => format!("\":{name}\""),
            Self::Number(number) => format!("the number {number}"),
            Self::Text(_) => "a string".into(),
            Self::Open => "\"(\"".into(),
            Self::Close => "\")\"".into(),
            Self::ListOpen => "\"[\"".into(),
            Self::ListClose => "\"]\"".into(),
            Self::BlockOpen => "\"{\"".into(),
            Self::BlockClose => "\"}\"".into(),
            Self::Comma => "\",\"".into(),
            Self::Semicolon => "\";\"".into(),
            Self::End => "the end of the script".into(),
        }
    }
}

pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    /// Up to where the line's characters were counted, and how many there were.
    counted: (usize, usize),
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            line: 1,
            counted: (0, 0),
        }
    }

    /// Each character of a line is counted once, however many tokens the line has.
    fn position(&mut self) -> Position {
        let (from, before) = self.counted;
        let column = before + self.text[from..self.at].chars().count();
        self.counted = (self.at, column);
        Position {
            line: self.line,
            column: u32::try_from(column + 1).unwrap_or(u32::MAX),
        }
    }

    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn line_end(&mut self) {
        self.line = self.line.saturating_add(1);
        self.counted = (self.at, 0);
    }

    /// Goes over `len` octets that may hold line ends.
    fn advance(&mut self, len: usize) {
        let from = self.at;
        self.at += len;
        for found in memchr::memchr_iter(b'\n', &self.text.as_bytes()[from..self.at]) {
            self.line = self.line.saturating_add(1);
            self.counted = (from + found + 1, 0);
        }
    }

    /// The next token and where it begins.
    pub(crate) fn next(&mut self, complaints: &mut Complaints) -> (Token, Position) {
        loop {
            self.skip_space(complaints);
            let at = self.position();
            let Some(&byte) = self.rest().first() else {
                return (Token::End, at);
            };
            let single = match byte {
                b'(' => Some(Token::Open),
                b')' => Some(Token::Close),
                b'[' => Some(Token::ListOpen),
                b']' => Some(Token::ListClose),
                b'{' => Some(Token::BlockOpen),
                b'}' => Some(Token::BlockClose),
                b',' => Some(Token::Comma),
                b';' => Some(Token::Semicolon),
                _ => None,
            };
            if let Some(token) = single {
                self.at += 1;
                return (token, at);
            }
            let token = match byte {
                b'"' => self.quoted(at, complaints),
                b':' => self.tag(at, complaints),
                b'0'..=b'9' => self.number(at, complaints),
                b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.identifier(at, complaints),
                _ => {
                    self.garbage(at, complaints);
                    None
                }
            };
            if let Some(token) = token {
                return (token, at);
            }
        }
    }

    /// White space and comments (§2.3).
    fn skip_space(&mut self, complaints: &mut Complaints) {
        loop {
            let rest = self.rest();
            match rest.first() {
                Some(b'\n') => {
                    self.at += 1;
                    self.line_end();
                }
                Some(b' ' | b'\t' | b'\r') => self.at += 1,
                Some(b'#') => {
                    self.at += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                }
                Some(b'/') if rest.get(1) == Some(&b'*') => {
                    let end = memchr::memmem::find(&rest[2..], b"*/");
                    if end.is_none() {
                        let at = self.position();
                        complaints.push(at, "a comment that begins here has no end");
                    }
                    self.advance(end.map_or(rest.len(), |end| end + 4));
                }
                _ => return,
            }
        }
    }

    fn garbage(&mut self, at: Position, complaints: &mut Complaints) {
        let odd =
            |c: char| !c.is_ascii() || c.is_ascii_control() || "!$%&'*+-./<=>?@\\^`|~".contains(c);
        let run: usize = self.text[self.at..]
            .chars()
            .take_while(|c| odd(*c) && *c != '\n' && *c != '\t' && *c != '\r')
            .map(char::len_utf8)
            .sum();
        let run = run.max(1);
        let shown: String = self.text[self.at..self.at + run].chars().take(20).collect();
        let shown = shown.escape_debug();
        complaints.push(at, format!("\"{shown}\" means nothing here"));
        self.at += run;
    }

    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let len = rest
            .iter()
            .position(|byte| !word(byte))
            .unwrap_or(rest.len());
        let from = self.at;
        self.at += len;
        &self.text[from..self.at]
    }

    fn tag(&mut self, at: Position, complaints: &mut Complaints) -> Option<Token> {
        self.at += 1;
        let begins = self.rest().first().copied();
        if !begins.is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_') {
            complaints.push(at, "after \":\" comes the name of a tag");
            return None;
        }
        let name = self.word();
        if name.len() > IDENTIFIER_CHARS_MAX {
            complaints.push(
                at,
                format!("tags have at most {IDENTIFIER_CHARS_MAX} characters"),
            );
        }
        Some(Token::Tag(name.to_ascii_lowercase()))
    }

    /// An identifier, or the multi-line string that begins with `text:`.
    fn identifier(&mut self, at: Position, complaints: &mut Complaints) -> Option<Token> {
        let name = self.word();
        if name.eq_ignore_ascii_case("text") && self.rest().first() == Some(&b':') {
            self.at += 1;
            return Some(self.multi_line(at, complaints));
        }
        if name.len() > IDENTIFIER_CHARS_MAX {
            complaints.push(
                at,
                format!("names have at most {IDENTIFIER_CHARS_MAX} characters"),
            );
        }
        Some(Token::Identifier(name.to_ascii_lowercase()))
    }

    /// §2.4.1: digits and K, M or G.
    fn number(&mut self, at: Position, complaints: &mut Complaints) -> Option<Token> {
        let word = self.word();
        let (digits, factor) = match word.as_bytes().last().map(u8::to_ascii_lowercase) {
            Some(b'k') => (&word[..word.len() - 1], 1 << 10),
            Some(b'm') => (&word[..word.len() - 1], 1 << 20),
            Some(b'g') => (&word[..word.len() - 1], 1 << 30),
            _ => (word, 1_u64),
        };
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            let shown: String = word.chars().take(20).collect();
            complaints.push(at, format!("\"{shown}\" is no number"));
            return Some(Token::Number(0));
        }
        let number = digits.parse::<u64>().ok();
        let number = number.and_then(|number| number.checked_mul(factor));
        if number.is_none() {
            complaints.push(at, "this number is too large");
        }
        Some(Token::Number(number.unwrap_or(0)))
    }

    fn quoted(&mut self, at: Position, complaints: &mut Complaints) -> Option<Token> {
        let rest = &self.text[self.at + 1..];
        let mut out = String::new();
        let mut from = 0;
        loop {
            let Some(found) = memchr::memchr3(b'"', b'\\', b'\n', &rest.as_bytes()[from..]) else {
                complaints.push(at, "a string that begins here has no end");
                self.advance(1 + rest.len());
                return Some(Token::Text(String::new()));
            };
            let found = from + found;
            out.push_str(&rest[from..found]);
            match rest.as_bytes()[found] {
                b'"' => {
                    self.advance(found + 2);
                    return Some(Token::Text(without_nul(out, at, complaints)));
                }
                b'\n' => {
                    with_crlf(&mut out);
                    from = found + 1;
                }
                // §2.4.2: a backslash before anything else than a backslash or quote is ignored.
                _ => {
                    let escaped = rest[found + 1..].chars().next();
                    from = found + 1 + escaped.map_or(0, char::len_utf8);
                    match escaped {
                        Some('\n') => with_crlf(&mut out),
                        Some(escaped) => out.push(escaped),
                        None => {}
                    }
                }
            }
        }
    }

    fn multi_line(&mut self, at: Position, complaints: &mut Complaints) -> Token {
        let rest = self.rest();
        let mut space = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
        if let Some(from) = space
            && rest[from] == b'#'
        {
            space = memchr::memchr(b'\n', &rest[from..]).map(|found| from + found);
        }
        let from = space.unwrap_or(rest.len());
        let begins = match &rest[from..] {
            [b'\n', ..] => from + 1,
            [b'\r', b'\n', ..] => from + 2,
            _ => {
                complaints.push(at, "after \"text:\" comes the end of the line");
                self.advance(from);
                return Token::Text(String::new());
            }
        };
        self.advance(begins);
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(end) = memchr::memchr(b'\n', rest.as_bytes()) else {
                // The last line of a script may lack its end.
                if rest.trim_end_matches('\r') != "." {
                    complaints.push(at, "a string that begins here has no line with a dot alone");
                }
                self.advance(rest.len());
                return Token::Text(without_nul(out, at, complaints));
            };
            let line = &rest[..end];
            let line = line.strip_suffix('\r').unwrap_or(line);
            self.advance(end + 1);
            if line == "." {
                return Token::Text(without_nul(out, at, complaints));
            }
            // §2.4.2: the first dot of a line that begins with one is removed.
            out.push_str(
                line.strip_prefix('.')
                    .filter(|rest| rest.starts_with('.'))
                    .unwrap_or(line),
            );
            out.push_str("\r\n");
        }
    }
}

fn with_crlf(out: &mut String) {
    if out.ends_with('\r') {
        out.pop();
    }
    out.push_str("\r\n");
}

fn without_nul(text: String, at: Position, complaints: &mut Complaints) -> String {
    if text.contains('\0') {
        complaints.push(at, "a NUL in a string (RFC 5228 §2.4.2)");
        return text.replace('\0', "");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(text: &str) -> (Vec<Token>, Vec<String>) {
        let mut complaints = Complaints::default();
        let mut lexer = Lexer::new(text);
        let mut out = Vec::new();
        loop {
            match lexer.next(&mut complaints).0 {
                Token::End => break,
                token => out.push(token),
            }
        }
        let said = complaints.list().iter().map(ToString::to_string);
        (out, said.collect())
    }

    #[test]
    fn numbers_have_units_and_an_end() {
        let (found, said) = tokens("1 2k 3M 1G 18446744073709551615 18446744073709551616 5x");
        let numbers = [1, 2 << 10, 3 << 20, 1 << 30, u64::MAX, 0, 0].map(Token::Number);
        assert_eq!(found, numbers);
        assert_eq!(said.len(), 2);
        assert!(
            said[0].starts_with("line 1, column 33: this number"),
            "{}",
            said[0]
        );
    }

    #[test]
    fn strings_undo_quotes_dots_and_line_ends() {
        let (found, said) = tokens("\"a\\\"b\\\\c\\d\ne\" text: # why\n.x\n..y\nz\n.\n;");
        let texts = ["a\"b\\cd\r\ne", ".x\r\n.y\r\nz\r\n"].map(|text| Token::Text(text.into()));
        assert_eq!(found[..2], texts);
        assert_eq!(found[2], Token::Semicolon);
        assert!(said.is_empty(), "{said:?}");
    }

    #[test]
    fn comments_and_case_mean_nothing() {
        let (found, said) = tokens("# a\r\nIF /* b\n*/ :Over_1");
        assert_eq!(
            found,
            [Token::Identifier("if".into()), Token::Tag("over_1".into())]
        );
        assert!(said.is_empty());
    }

    #[test]
    fn what_is_no_token_is_told_with_its_place() {
        let (_, said) = tokens("keep;\n  $$$ é: \"open");
        assert_eq!(said[0], "line 2, column 3: \"$$$\" means nothing here");
        assert_eq!(said[1], "line 2, column 7: \"é\" means nothing here");
        assert!(said[2].contains("name of a tag"));
        assert!(said[3].ends_with("has no end"));
        assert!(tokens("text: x").1[0].contains("end of the line"));
        assert!(tokens("text:\nx").1[0].contains("dot alone"));
        assert!(tokens("/* x").1[0].contains("comment"));
    }

    proptest! {
        #[test]
        fn any_text_ends(text in "\\PC{0,60}|[ \"\\\\\n.:#/*a-c{}\\[\\]();,0-9]{0,60}") {
            let mut complaints = Complaints::default();
            let mut lexer = Lexer::new(&text);
            for _ in 0..=text.len() {
                if lexer.next(&mut complaints).0 == Token::End { return Ok(()); }
            }
            prop_assert!(false, "more tokens than octets");
        }
    }
}
