//! Responses, and the expectations of a script, as atoms, strings and lists.
//! One parser reads both; they differ in how literals look.

/// A piece of a response or of an expectation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Also numbers, flags, and `BODY[…]<…>` with all that is in the brackets.
    Atom(Vec<u8>),
    /// In quotes.
    Quoted(Vec<u8>),
    /// A literal; in a script, no variables are looked for in it.
    Literal(Vec<u8>),
    /// In parentheses.
    List(Vec<Value>),
    /// In brackets: a response code.
    Code(Vec<Value>),
}

impl Value {
    /// Its octets, unless it is a list.
    pub(super) fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Atom(text) | Self::Quoted(text) | Self::Literal(text) => Some(text),
            Self::List(_) | Self::Code(_) => None,
        }
    }

    pub(super) fn is(&self, word: &str) -> bool {
        matches!(self, Self::Atom(text) if text.eq_ignore_ascii_case(word.as_bytes()))
    }
}

/// A response without `* ` or its tag. Of a status only the code is kept: its text is for people.
pub(super) fn response(text: &[u8]) -> Vec<Value> {
    let mut parser = Parser { rest: text };
    let Some(first) = parser.item(None) else {
        return Vec::new();
    };
    let is_status = ["OK", "NO", "BAD", "BYE", "PREAUTH"]
        .iter()
        .any(|status| first.is(status));
    let mut items = vec![first];
    if is_status {
        parser.spaces();
        if parser.rest.starts_with(b"[") {
            items.extend(parser.item(None));
        }
        return items;
    }
    items.extend(parser.items(None));
    items
}

/// An expectation.
pub(super) fn expectation(text: &[u8]) -> Vec<Value> {
    Parser { rest: text }.items(None)
}

/// A literal of a script, `{{{ … }}}` or `~{{{ … }}}` at the start of `text`:
/// its octets and what follows. Line ends become CRLF unless `~` stands in front.
pub(super) fn script_literal(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (raw, rest) = match text.strip_prefix(b"~") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let rest = rest.strip_prefix(b"{{{\n")?;
    // An empty literal has no line of its own.
    let end = rest.windows(4).position(|w| w == b"\n}}}")?;
    let (body, after) = (&rest[..end], &rest[end + 4..]);
    if raw {
        return Some((body.to_vec(), after));
    }
    let lines: Vec<&[u8]> = body.split(|&b| b == b'\n').collect();
    Some((lines.join(&b"\r\n"[..]), after))
}

struct Parser<'a> {
    rest: &'a [u8],
}

impl<'a> Parser<'a> {
    fn spaces(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn items(&mut self, end: Option<u8>) -> Vec<Value> {
        let mut items = Vec::new();
        loop {
            self.spaces();
            match self.rest.first() {
                None => return items,
                Some(&byte) if Some(byte) == end => {
                    self.rest = &self.rest[1..];
                    return items;
                }
                Some(_) => items.extend(self.item(end)),
            }
        }
    }

    fn item(&mut self, end: Option<u8>) -> Option<Value> {
        self.spaces();
        if let Some((literal, rest)) = script_literal(self.rest) {
            self.rest = rest;
            return Some(Value::Literal(literal));
        }
        match *self.rest.first()? {
            b'(' => {
                self.rest = &self.rest[1..];
                Some(Value::List(self.items(Some(b')'))))
            }
            b'[' => {
                self.rest = &self.rest[1..];
                Some(Value::Code(self.items(Some(b']'))))
            }
            b'"' => Some(self.quoted()),
            b'{' | b'~' => Some(self.literal().unwrap_or_else(|| self.atom(end))),
            _ => Some(self.atom(end)),
        }
    }

    fn quoted(&mut self) -> Value {
        let mut text = Vec::new();
        let mut bytes = self.rest[1..].iter();
        while let Some(&byte) = bytes.next() {
            match byte {
                b'"' => break,
                b'\\' => text.extend(bytes.next()),
                _ => text.push(byte),
            }
        }
        self.rest = bytes.as_slice();
        Value::Quoted(text)
    }

    fn literal(&mut self) -> Option<Value> {
        let rest = self.rest.strip_prefix(b"~").unwrap_or(self.rest);
        let rest = rest.strip_prefix(b"{")?;
        let end = rest.windows(3).position(|w| w == b"}\r\n")?;
        let size: usize = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
        let (octets, rest) = rest[end + 3..].split_at_checked(size)?;
        self.rest = rest;
        Some(Value::Literal(octets.to_vec()))
    }

    /// Up to a space or a parenthesis; brackets inside keep theirs.
    fn atom(&mut self, end: Option<u8>) -> Value {
        let mut depth = 0u32;
        let mut len = 0;
        for &byte in self.rest {
            let ends = match byte {
                b'[' => {
                    depth += 1;
                    false
                }
                b']' if depth > 0 => {
                    depth -= 1;
                    false
                }
                b' ' | b'\r' | b'\n' | b'(' | b')' => depth == 0,
                _ => depth == 0 && Some(byte) == end,
            };
            if ends {
                break;
            }
            len += 1;
        }
        // A stray closing bracket or parenthesis is taken as it is.
        let (atom, rest) = self.rest.split_at(len.max(1));
        self.rest = rest;
        Value::Atom(atom.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn atom(text: &str) -> Value {
        Value::Atom(text.into())
    }

    #[test]
    fn responses_and_expectations_are_read_alike() {
        let wire =
            b"1 FETCH (BODY[HEADER.FIELDS (From)]<0> {4}\r\na\r\n) FLAGS (\\Seen) X \"q\\\"\")";
        let script =
            b"1 FETCH (BODY[HEADER.FIELDS (From)]<0> {{{\na\n)\n}}} FLAGS (\\Seen) X \"q\\\"\")";
        let list = |body: &[u8]| {
            vec![
                atom("1"),
                atom("FETCH"),
                Value::List(vec![
                    atom("BODY[HEADER.FIELDS (From)]<0>"),
                    Value::Literal(body.to_vec()),
                    atom("FLAGS"),
                    Value::List(vec![atom("\\Seen")]),
                    atom("X"),
                    Value::Quoted(b"q\"".to_vec()),
                ]),
            ]
        };
        assert_eq!(response(wire), list(b"a\r\n)"));
        assert_eq!(expectation(script), list(b"a\r\n)"));
        assert_eq!(
            response(b"OK [UIDNEXT 4] next (see"),
            [atom("OK"), Value::Code(vec![atom("UIDNEXT"), atom("4")])]
        );
    }
}
