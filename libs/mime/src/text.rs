//! Text as a search or a preview wants it: transfer encoding undone, UTF-8.
//!
//! Not here: safe HTML (nothing that comes out of here is markup to show).

use std::borrow::Cow;

use crate::charset;
use crate::encoded_word;
use crate::part::{Part, PartKind};
use crate::transfer;

/// The text of a text part, from its body's bytes as they are stored; HTML
/// keeps its tags, as SEARCH BODY looks at what is there.
/// `None` for parts that are no text.
#[must_use]
pub fn text_for_search(part: &Part, body: &[u8]) -> Option<String> {
    if part.kind != PartKind::Leaf || !part.media_type.starts_with("text/") {
        return None;
    }
    let bytes = if part.encoding.is_identity() {
        Cow::Borrowed(body)
    } else {
        Cow::Owned(transfer::decode(part.encoding, body))
    };
    Some(charset::decode(part.charset.as_deref(), &bytes))
}

/// A header block for searching: folds undone, encoded-words and raw 8-bit
/// text decoded, one field a line.
#[must_use]
pub fn header_for_search(block: &[u8]) -> String {
    let mut out = String::with_capacity(block.len());
    for field in crate::header::HeaderReader::new(block) {
        out.push_str(&String::from_utf8_lossy(field.name));
        out.push_str(": ");
        let plain = field.value.trim_ascii();
        match core::str::from_utf8(plain) {
            // What most fields are: one line in ASCII.
            Ok(text) if is_plain(plain) => out.push_str(text),
            _ => out.push_str(&encoded_word::decode(&field.unfolded())),
        }
        out.push('\n');
    }
    out
}

/// One line of ASCII that stands for itself.
fn is_plain(value: &[u8]) -> bool {
    value.is_ascii()
        && memchr::memchr3(b'\r', b'\n', 0, value).is_none()
        && memchr::memmem::find(value, b"=?").is_none()
}

/// Drops tags, comments, styles and scripts; undoes common character
/// references. Never fails, one walk.
#[must_use]
pub fn html_to_text(html: &str) -> String {
    let mut out = String::with_capacity(html.len() / 2);
    let mut rest = html;
    while let Some(at) = memchr::memchr2(b'<', b'&', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        rest = if rest.starts_with('&') {
            reference(rest, &mut out)
        } else {
            tag(rest, &mut out)
        };
    }
    out.push_str(rest);
    out
}

/// Skips a tag; the content of elements that hold no text goes with it.
fn tag<'a>(rest: &'a str, out: &mut String) -> &'a str {
    if let Some(comment) = rest.strip_prefix("<!--") {
        return comment.split_once("-->").map_or("", |(_, after)| after);
    }
    let name: String = rest[1..]
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .take(12)
        .collect();
    let closing = rest[1..].starts_with('/');
    if name.is_empty() && !closing && !rest[1..].starts_with(['!', '?']) {
        out.push('<');
        return &rest[1..];
    }
    let after = rest.split_once('>').map_or("", |(_, after)| after);
    let name = name.to_ascii_lowercase();
    if matches!(name.as_str(), "style" | "script" | "head" | "title") {
        return end_of_element(after, &name);
    }
    let inline = matches!(
        name.as_str(),
        "b" | "i" | "u" | "a" | "em" | "strong" | "span" | "font" | "wbr"
    );
    if !inline && !closing {
        out.push(' ');
    }
    after
}

/// What follows `</name>`.
fn end_of_element<'a>(text: &'a str, name: &str) -> &'a str {
    let mut from = 0;
    while let Some(at) = text[from..].find("</") {
        let start = from + at + 2;
        let found = text.as_bytes().get(start..start + name.len());
        if found.is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes())) {
            return text[start..].split_once('>').map_or("", |(_, after)| after);
        }
        from = start;
    }
    ""
}

/// Undoes a character reference, or keeps the ampersand.
fn reference<'a>(rest: &'a str, out: &mut String) -> &'a str {
    const NAMES: [(&str, char); 8] = [
        ("amp", '&'),
        ("lt", '<'),
        ("gt", '>'),
        ("quot", '"'),
        ("apos", '\''),
        ("nbsp", ' '),
        ("zwnj", ' '),
        ("hellip", '…'),
    ];
    let body = &rest[1..];
    let end = body.bytes().take(10).position(|b| b == b';');
    let decoded = end.and_then(|end| {
        let name = &body[..end];
        match name.strip_prefix('#') {
            Some(number) => {
                let code = match number.strip_prefix(['x', 'X']) {
                    Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                    None => number.parse().ok()?,
                };
                char::from_u32(code)
            }
            None => NAMES
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, c)| *c),
        }
    });
    match (decoded, end) {
        (Some(c), Some(end)) => {
            out.push(c);
            &body[end + 1..]
        }
        _ => {
            out.push('&');
            body
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::Encoding;
    use proptest::prelude::*;

    #[test]
    fn html_gives_its_words() {
        let html = "<html><head><title>no</title></head><style>p{}</style><p>Hello <b>wor</b>ld<br>a &amp; b &#20320;&#x597d; 1 < 2</p><!-- no --><script>no</ScRiPt>!";
        assert_eq!(
            html_to_text(html)
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" "),
            "Hello world a & b 你好 1 < 2!"
        );
    }

    #[test]
    fn a_part_is_decoded_for_searching() {
        let part = Part {
            media_type: "text/plain".to_owned(),
            charset: Some("gb2312".to_owned()),
            encoding: Encoding::Base64,
            ..Part::default()
        };
        assert_eq!(
            text_for_search(&part, b"xOO6ww==\r\n").as_deref(),
            Some("你好")
        );
        let image = Part {
            media_type: "image/png".to_owned(),
            ..Part::default()
        };
        assert_eq!(text_for_search(&image, b"x"), None);
        assert_eq!(
            header_for_search(b"A: =?utf-8?Q?=E4=BD=A0?=\r\n =?utf-8?Q?=E5=A5=BD?=\r\n\r\n"),
            "A: 你好\n"
        );
    }

    proptest! {
        #[test]
        fn garbage_never_panics(html in "[<>/!&#;xas你 -]{0,60}") {
            let _ = html_to_text(&html);
        }
    }
}
