//! Line ends of messages that come in by other ways than SMTP.

use std::borrow::Cow;

use memchr::memchr_iter;

/// `message` with every bare LF turned into CRLF; borrowed where there is none.
/// Bare CRs stay: they are content. For APPEND and import; at SMTP's door a
/// bare LF is refused instead.
#[must_use]
pub fn normalise_line_ends(message: &[u8]) -> Cow<'_, [u8]> {
    let bare = |at: &usize| *at == 0 || message[at - 1] != b'\r';
    let count = memchr_iter(b'\n', message).filter(bare).count();
    if count == 0 {
        return Cow::Borrowed(message);
    }
    let mut out = Vec::with_capacity(message.len() + count);
    let mut from = 0;
    for at in memchr_iter(b'\n', message).filter(bare) {
        out.extend_from_slice(&message[from..at]);
        out.extend_from_slice(b"\r\n");
        from = at + 1;
    }
    out.extend_from_slice(&message[from..]);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_line_feeds_become_line_ends() {
        assert_eq!(
            &*normalise_line_ends(b"\na\r\nb\nc\rd\n"),
            b"\r\na\r\nb\r\nc\rd\r\n"
        );
        assert!(matches!(normalise_line_ends(b"a\r\nb"), Cow::Borrowed(_)));
    }
}
