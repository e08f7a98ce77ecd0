//! The ids in Message-ID, In-Reply-To and References (RFC 5322 §3.6.4), in one form for
//! comparing (RFC 5256 §3: quotes that need not be there do not count).

/// The ids in a field's value, in order, without brackets, quotes and blanks.
#[must_use]
pub fn message_ids(value: &[u8]) -> Vec<String> {
    let mut ids = Vec::new();
    let mut id: Option<Vec<u8>> = None;
    let (mut quoted, mut escaped) = (false, false);
    for &byte in value {
        match (&mut id, byte) {
            (Some(id), _) if escaped => {
                escaped = false;
                id.push(byte);
            }
            (Some(_), b'\\') if quoted => escaped = true,
            (_, b'"') => quoted = !quoted,
            (None, b'<') if !quoted => id = Some(Vec::new()),
            (None, _) => {}
            (Some(_), b'>') if !quoted => {
                let text = id.take().unwrap_or_default();
                if !text.is_empty() {
                    ids.push(String::from_utf8_lossy(&text).into_owned());
                }
            }
            (Some(id), _) if quoted || !byte.is_ascii_whitespace() => id.push(byte),
            (Some(_), _) => {}
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_among_words_and_in_any_form() {
        for (value, ids) in [
            ("<a@b>", &["a@b"][..]),
            (" <a@b>\t<c@d><e@f>", &["a@b", "c@d", "e@f"]),
            ("<\"a\"@b> <\"x>\\\"y\"@z>", &["a@b", "x>\"y@z"]),
            ("Your message of \"<Monday>\" <a@ b>", &["a@b"]),
            ("<> <a@b", &[]),
            ("a@b", &[]),
        ] {
            assert_eq!(message_ids(value.as_bytes()), ids, "{value}");
        }
    }
}
