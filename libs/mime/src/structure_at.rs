//! One part's structure within a BODYSTRUCTURE in wire form (RFC 5524 §3.1:
//! BODYPARTSTRUCTURE). What is in it is [`crate::structure`]'s.
//!
//! The wire form needs no literal, so quotes and parentheses are all there is.

/// Fields of a message part in front of its own body: type, subtype, parameters, id,
/// description, encoding, size, envelope (RFC 9051 §9 `body-type-msg`).
const BEFORE_INNER_BODY: usize = 8;
/// Places of `body-fields` and `body-fld-lines`.
const ENCODING: usize = 5;
const SIZE: usize = 6;
const LINES: usize = 7;

/// The structure of the part that `path` names, as FETCH numbers parts; an empty
/// path is the message itself. `None` if there is no such part.
#[must_use]
pub fn structure_at<'a>(structure: &'a [u8], path: &[u32]) -> Option<&'a [u8]> {
    let Some((&first, rest)) = path.split_first() else {
        return Some(structure);
    };
    let mut part = step_into_message(structure, first)?;
    for &number in rest {
        part = if is_multipart(part) {
            child(part, number)?
        } else {
            step_into_message(inner_body(part)?, number)?
        };
    }
    Some(part)
}

/// The structure of a part as it is once its transfer encoding is undone: another
/// encoding and size (RFC 5524 §3.1), and no lines, which nobody counted. `None`
/// for what has no encoding of its own, multiparts and messages.
#[must_use]
pub fn decoded_structure(part: &[u8], encoding: &str, size: u64) -> Option<Vec<u8>> {
    if is_multipart(part) || inner_body(part).is_some() {
        return None;
    }
    let is_text = Values::of(part)?.next()?.eq_ignore_ascii_case(b"\"text\"");
    let mut out = Vec::with_capacity(part.len() + 20);
    for (at, value) in Values::of(part)?.enumerate() {
        out.push(if at == 0 { b'(' } else { b' ' });
        match at {
            ENCODING => out.extend_from_slice(format!("\"{encoding}\"").as_bytes()),
            SIZE => out.extend_from_slice(size.to_string().as_bytes()),
            LINES if is_text => out.push(b'0'),
            _ => out.extend_from_slice(value),
        }
    }
    out.push(b')');
    Some(out)
}

fn step_into_message(body: &[u8], number: u32) -> Option<&[u8]> {
    if is_multipart(body) {
        child(body, number)
    } else {
        (number == 1).then_some(body)
    }
}

fn is_multipart(body: &[u8]) -> bool {
    body.starts_with(b"((")
}

fn child(body: &[u8], number: u32) -> Option<&[u8]> {
    let at = usize::try_from(number).ok()?.checked_sub(1)?;
    // The children come first, and nothing else before the subtype is in parentheses.
    let mut children = Values::of(body)?.take_while(|value| value.starts_with(b"("));
    children.nth(at)
}

fn inner_body(part: &[u8]) -> Option<&[u8]> {
    let mut values = Values::of(part)?;
    let media_type = values.next()?;
    let subtype = values.next()?;
    let is_message = media_type.eq_ignore_ascii_case(b"\"message\"")
        && (subtype.eq_ignore_ascii_case(b"\"rfc822\"")
            || subtype.eq_ignore_ascii_case(b"\"global\""));
    if !is_message {
        return None;
    }
    let body = values.nth(BEFORE_INNER_BODY - 2)?;
    body.starts_with(b"(").then_some(body)
}

/// The values of a list, one after the other.
pub(crate) struct Values<'a> {
    rest: &'a [u8],
}

impl<'a> Values<'a> {
    pub(crate) fn of(list: &'a [u8]) -> Option<Self> {
        let rest = list.strip_prefix(b"(")?;
        Some(Self { rest })
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        // RFC 9051 §9: no blank stands between the children of a multipart.
        let rest = self.rest.trim_ascii_start();
        let len = value_len(rest)?;
        let (value, rest) = rest.split_at_checked(len)?;
        self.rest = rest;
        Some(value)
    }
}

/// How long the first value is; none at the end of the list, and where it is broken.
fn value_len(text: &[u8]) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for (at, &byte) in text.iter().enumerate() {
        if quoted {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    quoted = false;
                    if depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'(' => depth += 1,
            b')' if depth > 1 => depth -= 1,
            b')' if depth == 1 => return Some(at + 1),
            b')' | b' ' if depth == 0 => return (at > 0).then_some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PartKind;
    use proptest::prelude::*;

    const MESSAGE: &str = "Content-Type: multipart/mixed; boundary=\"a\"\r\n\r\n\
        --a\r\nContent-Description: \"(x\\\"\r\n\r\none\r\n\
        --a\r\nContent-Type: message/rfc822\r\n\r\n\
        Subject: (inside\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n\
        --b\r\n\r\ntwo\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>\r\n--b--\r\n\
        --a\r\nContent-Type: message/rfc822\r\n\r\nSubject: s\r\n\r\nthree\r\n--a--\r\n";

    fn at(path: &[u32]) -> Option<String> {
        let digest = crate::digest(MESSAGE.as_bytes());
        let found = structure_at(&digest.body_structure, path);
        found.map(|found| String::from_utf8_lossy(found).into_owned())
    }

    #[test]
    fn parts_are_found_by_their_numbers() {
        assert!(at(&[]).is_some_and(|whole| whole.ends_with("NIL)")));
        assert!(at(&[1]).is_some_and(|part| part.starts_with("(\"text\" \"plain\"")));
        assert!(at(&[2]).is_some_and(|part| part.starts_with("(\"message\" \"rfc822\"")));
        assert!(at(&[2, 1]).is_some_and(|part| part.starts_with("(\"text\" \"plain\"")));
        assert!(at(&[2, 2]).is_some_and(|part| part.starts_with("(\"text\" \"html\"")));
        assert!(at(&[3, 1]).is_some_and(|part| part.starts_with("(\"text\" \"plain\"")));
        for none in [&[4][..], &[0], &[1, 1], &[2, 3], &[3, 2], &[3, 1, 1]] {
            assert_eq!(at(none), None, "{none:?}");
        }
    }

    #[test]
    fn decoded_parts_have_another_encoding_and_size() {
        let digest = crate::digest(MESSAGE.as_bytes());
        let decoded = |path: &[u32]| {
            let part = structure_at(&digest.body_structure, path)?;
            let decoded = decoded_structure(part, "8bit", 77)?;
            String::from_utf8(decoded).ok()
        };
        let one =
            r#"("text" "plain" ("charset" "us-ascii") NIL "\"(x\\\"" "8bit" 77 0 NIL NIL NIL NIL)"#;
        assert_eq!(decoded(&[1]).as_deref(), Some(one));
        assert_eq!(decoded(&[]), None);
        assert_eq!(decoded(&[2]), None);
    }

    #[test]
    fn there_is_a_structure_for_every_part_of_the_index() {
        let digest = crate::digest(MESSAGE.as_bytes());
        for path in [
            &[1][..],
            &[2],
            &[2, 1],
            &[2, 2],
            &[3],
            &[3, 1],
            &[9],
            &[3, 1, 1],
        ] {
            let part = crate::part_at(&digest.parts, path);
            let found = structure_at(&digest.body_structure, path);
            assert_eq!(part.is_some(), found.is_some(), "{path:?}");
            if let (Some(part), Some(found)) = (part, found) {
                assert_eq!(part.kind == PartKind::Multipart, is_multipart(found));
            }
        }
    }

    proptest! {
        #[test]
        fn garbage_has_no_parts_that_end_beyond_it(text in "[(\") a\\\\]{0,40}", path in prop::collection::vec(0u32..4, 0..4)) {
            if let Some(found) = structure_at(text.as_bytes(), &path) {
                prop_assert!(found.len() <= text.len());
            }
        }
    }
}
