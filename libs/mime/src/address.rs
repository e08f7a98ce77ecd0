//! Address lists of message headers.
//!
//! RFC 5322 §3.4 and §4.4 (groups, routes, comments, obsolete spacing) and
//! RFC 6532 (raw UTF-8). One walk over the field; nothing is refused: what is
//! no address comes out as a mailbox without a domain, or not at all.
//! Not here: SMTP paths (`envelope`).

use crate::encoded_word;
use crate::limits::{ADDRESSES_MAX, COMMENT_DEPTH_MAX};

/// One element of an address list, in the flat order of IMAP's ENVELOPE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressItem {
    /// A mailbox, inside or outside of a group.
    Mailbox(Mailbox),
    /// A group begins; its raw display name.
    GroupStart(Vec<u8>),
    /// The group ends.
    GroupEnd,
}

/// A mailbox as the field writes it. Bytes are unfolded, not yet decoded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mailbox {
    /// Display name, or the comment that stands in its place; empty if none.
    pub name: Vec<u8>,
    /// Obsolete source route, such as `@a,@b`; empty if none.
    pub route: Vec<u8>,
    /// Local part, its quotes removed.
    pub local: Vec<u8>,
    /// Domain; empty if the field has none.
    pub domain: Vec<u8>,
}

impl Mailbox {
    /// The display name with encoded-words and raw 8-bit text decoded.
    #[must_use]
    pub fn name_text(&self) -> String {
        encoded_word::decode(&self.name)
    }

    /// `local@domain`, the local part quoted where it must be. Not validated.
    #[must_use]
    pub fn address_text(&self) -> String {
        let local = String::from_utf8_lossy(&self.local);
        let domain = String::from_utf8_lossy(&self.domain);
        let atom =
            |c: char| c.is_alphanumeric() || !c.is_ascii() || "!#$%&'*+-/=?^_`{|}~".contains(c);
        let plain = local
            .split('.')
            .all(|word| !word.is_empty() && word.chars().all(atom));
        if plain {
            format!("{local}@{domain}")
        } else {
            let escaped = local.replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{escaped}\"@{domain}")
        }
    }
}

/// Reads an address list from a field's value, folded or not.
#[must_use]
pub fn parse_addresses(value: &[u8]) -> Vec<AddressItem> {
    let mut parser = Parser {
        text: value,
        at: 0,
        items: Vec::new(),
        current: Current::default(),
        in_group: false,
    };
    parser.run();
    parser.items
}

/// The mailboxes of a list, groups opened.
pub fn mailboxes(items: &[AddressItem]) -> impl Iterator<Item = &Mailbox> {
    items.iter().filter_map(|item| match item {
        AddressItem::Mailbox(mailbox) => Some(mailbox),
        _ => None,
    })
}

/// What was read since the last separator.
#[derive(Default)]
struct Current {
    /// All words as written, white space between them folded.
    display: Vec<u8>,
    /// White space or a comment since the last word.
    space: bool,
    /// Words that may be an address without angle brackets.
    spec: Vec<u8>,
    /// Where `spec` begins in `display`.
    spec_from: usize,
    /// Where `@` stands in `spec`.
    at_sign: Option<usize>,
    comment: Vec<u8>,
    angle: Option<Mailbox>,
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    items: Vec<AddressItem>,
    current: Current,
    in_group: bool,
}

impl Parser<'_> {
    fn run(&mut self) {
        while let Some(&byte) = self.text.get(self.at) {
            if self.items.len() >= ADDRESSES_MAX {
                return;
            }
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | 0 => {
                    self.at += 1;
                    self.current.space = true;
                }
                b'(' => {
                    self.current.space = true;
                    let comment = self.comment();
                    self.current.comment = comment;
                }
                b',' => {
                    self.at += 1;
                    self.flush();
                }
                b';' => {
                    self.at += 1;
                    self.flush();
                    self.end_group();
                }
                b':' if !self.in_group && self.current.at_sign.is_none() => {
                    self.at += 1;
                    self.start_group();
                }
                b'<' => self.angle(),
                b'@' if self.current.at_sign.is_none() => {
                    self.at += 1;
                    self.current.at_sign = Some(self.current.spec.len());
                    self.current.spec.push(b'@');
                    self.current.show(b"@");
                }
                b'"' => {
                    let word = self.quoted();
                    self.word(&word);
                }
                b'>' | b':' | b'@' => self.at += 1,
                _ => {
                    let word = self.atom();
                    self.word(&word);
                }
            }
        }
        self.flush();
        self.end_group();
    }

    /// A word goes on with the address before it if a dot or `@` links them.
    fn word(&mut self, word: &[u8]) {
        let current = &mut self.current;
        let linked = current.spec.is_empty()
            || word.starts_with(b".")
            || matches!(current.spec.last(), Some(b'.' | b'@'));
        let after_address = !linked && current.at_sign.is_some();
        if !linked && !after_address {
            current.spec.clear();
        }
        let empty = current.spec.is_empty();
        let from = current.show(word);
        if empty {
            current.spec_from = from;
        }
        if !after_address {
            current.spec.extend_from_slice(word);
        }
        // Words after `local@domain` may still be a name before an angle bracket.
    }

    fn atom(&mut self) -> Vec<u8> {
        let rest = &self.text[self.at..];
        // A domain literal holds colons: `[IPv6:2001:db8::1]`.
        let literal = rest[0] == b'[' && matches!(self.current.spec.last(), Some(b'@'));
        let len = if literal {
            rest.iter()
                .position(|&b| matches!(b, b']' | b'>' | b',' | b';'))
                .map_or(rest.len(), |end| end + usize::from(rest[end] == b']'))
        } else {
            rest.iter()
                .skip(1)
                .position(|b| b" \t\r\n\0(),;:<>@\"".contains(b))
                .map_or(rest.len(), |n| n + 1)
        };
        self.at += len;
        rest[..len]
            .iter()
            .copied()
            .filter(|b| !b.is_ascii_whitespace())
            .collect()
    }

    /// A quoted string, its escapes and folds undone.
    fn quoted(&mut self) -> Vec<u8> {
        self.at += 1;
        let mut out = Vec::new();
        while let Some(&byte) = self.text.get(self.at) {
            self.at += 1;
            match byte {
                b'"' => break,
                b'\\' => {
                    if let Some(&next) = self.text.get(self.at) {
                        self.at += 1;
                        push_text(next, &mut out);
                    }
                }
                _ => push_text(byte, &mut out),
            }
        }
        out
    }

    /// A comment's content; nested comments keep their brackets.
    fn comment(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut depth = 0usize;
        while let Some(&byte) = self.text.get(self.at) {
            self.at += 1;
            match byte {
                b'(' => {
                    depth += 1;
                    if depth > 1 {
                        out.push(byte);
                    }
                    if depth > COMMENT_DEPTH_MAX {
                        break;
                    }
                }
                b')' => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                    out.push(byte);
                }
                b'\\' => {
                    if let Some(&next) = self.text.get(self.at) {
                        self.at += 1;
                        push_text(next, &mut out);
                    }
                }
                _ => push_text(byte, &mut out),
            }
        }
        out.trim_ascii().to_vec()
    }

    /// `<route:local@domain>`; a missing `>` ends at the next comma.
    fn angle(&mut self) {
        self.at += 1;
        let mut spec = Current::default();
        let mut route = Vec::new();
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b'>' => {
                    self.at += 1;
                    break;
                }
                b'(' => {
                    self.comment();
                    continue;
                }
                b'"' => {
                    let word = self.quoted();
                    spec.spec.extend_from_slice(&word);
                    continue;
                }
                b',' | b';' if spec.at_sign != Some(0) => break,
                // RFC 5322 §4.4: obs-route = "@a,@b:"
                b':' if spec.at_sign == Some(0) => {
                    route = std::mem::take(&mut spec.spec);
                    spec.at_sign = None;
                }
                b'@' => {
                    if spec.at_sign.is_none() {
                        spec.at_sign = Some(spec.spec.len());
                    }
                    spec.spec.push(byte);
                }
                b' ' | b'\t' | b'\r' | b'\n' | 0 => {}
                _ => spec.spec.push(byte),
            }
            self.at += 1;
        }
        let (local, domain) = spec.split();
        self.current.angle = Some(Mailbox {
            name: Vec::new(),
            route,
            local,
            domain,
        });
    }

    fn start_group(&mut self) {
        let current = std::mem::take(&mut self.current);
        self.items.push(AddressItem::GroupStart(current.display));
        self.in_group = true;
    }

    fn end_group(&mut self) {
        if self.in_group {
            self.items.push(AddressItem::GroupEnd);
            self.in_group = false;
        }
    }

    fn flush(&mut self) {
        let mut current = std::mem::take(&mut self.current);
        if let Some(mut mailbox) = current.angle.take() {
            mailbox.name = current.name();
            self.items.push(AddressItem::Mailbox(mailbox));
        } else if !current.spec.is_empty() {
            let (local, domain) = current.split();
            // Words before an address without brackets are taken as its name.
            current.display.truncate(current.spec_from);
            let name = current.name();
            let mailbox = Mailbox {
                name,
                route: Vec::new(),
                local,
                domain,
            };
            self.items.push(AddressItem::Mailbox(mailbox));
        }
    }
}

impl Current {
    /// Appends a word to `display`; where it begins.
    fn show(&mut self, word: &[u8]) -> usize {
        if self.space && !self.display.is_empty() {
            self.display.push(b' ');
        }
        self.space = false;
        self.display.extend_from_slice(word);
        self.display.len() - word.len()
    }

    fn name(&mut self) -> Vec<u8> {
        let end = self.display.trim_ascii_end().len();
        self.display.truncate(end);
        std::mem::take(if self.display.is_empty() {
            &mut self.comment
        } else {
            &mut self.display
        })
    }

    fn split(&mut self) -> (Vec<u8>, Vec<u8>) {
        let spec = std::mem::take(&mut self.spec);
        match self.at_sign.take() {
            Some(at) => (spec[..at].to_vec(), spec[at + 1..].to_vec()),
            None => (spec, Vec::new()),
        }
    }
}

/// Line ends of folds go, other controls become spaces: a name is one line.
fn push_text(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'\r' | b'\n' | 0 => {}
        _ => out.push(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn show(value: &str) -> Vec<String> {
        parse_addresses(value.as_bytes())
            .iter()
            .map(|item| match item {
                AddressItem::Mailbox(m) => {
                    let route = String::from_utf8_lossy(&m.route).into_owned();
                    format!("{}|{route}|{}", m.name_text(), m.address_text())
                }
                AddressItem::GroupStart(name) => format!("{}:", String::from_utf8_lossy(name)),
                AddressItem::GroupEnd => ";".to_owned(),
            })
            .collect()
    }

    #[test]
    fn the_examples_of_rfc_5322_appendix_a() {
        assert_eq!(
            show("John Doe <jdoe@machine.example>"),
            ["John Doe||jdoe@machine.example"]
        );
        assert_eq!(
            show(
                "\"Joe Q. Public\" <john.q.public@example.com>, <boss@nil.test>, \"Giant; \\\"Big\\\" Box\" <sysservices@example.net>"
            ),
            [
                "Joe Q. Public||john.q.public@example.com",
                "||boss@nil.test",
                "Giant; \"Big\" Box||sysservices@example.net"
            ]
        );
        assert_eq!(
            show("A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;"),
            [
                "A Group:",
                "Ed Jones||c@a.test",
                "||joe@where.test",
                "John||jdoe@one.test",
                ";"
            ]
        );
        assert_eq!(
            show("Undisclosed recipients:;"),
            ["Undisclosed recipients:", ";"]
        );
        assert_eq!(
            show("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>"),
            ["Pete||pete@silly.test"]
        );
        assert_eq!(
            show(
                "A Group(Some people)\r\n     :Chris Jones <c@(Chris's host.)public.example>,\r\n joe@example.org,\r\n  John <jdoe@one.test> (my dear friend); (the end of the group)"
            ),
            [
                "A Group:",
                "Chris Jones||c@public.example",
                "||joe@example.org",
                "John||jdoe@one.test",
                ";"
            ]
        );
        assert_eq!(
            show("Mary Smith <@node.test,@b.test:mary@example.net>, , jdoe@test  . example"),
            [
                "Mary Smith|@node.test,@b.test|mary@example.net",
                "||jdoe@test.example"
            ]
        );
    }

    #[test]
    fn names_quotes_and_letters_of_all_kinds() {
        assert_eq!(show("user@domain (Real Name)"), ["Real Name||user@domain"]);
        assert_eq!(show("\"a b\"@c.d"), ["||\"a b\"@c.d"]);
        assert_eq!(show("<\"a b\"@c.d>"), ["||\"a b\"@c.d"]);
        assert_eq!(
            show("=?utf-8?B?5L2g?= =?utf-8?B?5aW9?= <a@b>"),
            ["你好||a@b"]
        );
        assert_eq!(show("王五 <王五@例子.中国>"), ["王五||王五@例子.中国"]);
        assert_eq!(show("J. R. R. Tolkien <a@b>"), ["J. R. R. Tolkien||a@b"]);
        assert_eq!(
            show("a@[IPv6:2001:db8::1], b"),
            ["||a@[IPv6:2001:db8::1]", "||b@"]
        );
    }

    #[test]
    fn broken_lists_lose_no_neighbour() {
        assert_eq!(show("A <a@b, c@d"), ["A||a@b", "||c@d"]);
        assert_eq!(
            show("Some Name x@y.z trailing, <c@d>"),
            ["Some Name||x@y.z", "||c@d"]
        );
        assert_eq!(show("a@b@c, \"open <x@y>"), ["||a@b", "||\"open <x@y>\"@"]);
        assert_eq!(show("g: a@b, g2: c@d"), ["g:", "||a@b", "g2||c@d", ";"]);
    }

    #[test]
    fn a_hundred_thousand_addresses_and_not_one_more() {
        let list = "a@b,".repeat(200_000);
        assert_eq!(parse_addresses(list.as_bytes()).len(), ADDRESSES_MAX);
        assert_eq!(parse_addresses("(".repeat(1_000_000).as_bytes()).len(), 0);
        assert_eq!(parse_addresses("a ".repeat(500_000).as_bytes()).len(), 1);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(text in "[a@.,;:<>()\\[\\]\"\\\\ \r\n你]{0,60}") {
            for mailbox in mailboxes(&parse_addresses(text.as_bytes())) {
                let _ = (mailbox.name_text(), mailbox.address_text());
                prop_assert!(!mailbox.local.contains(&b'\n'));
                prop_assert!(!mailbox.domain.contains(&b'\n'));
            }
        }
    }
}
