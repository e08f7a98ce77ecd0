//! A literal's announcement at the end of a line (RFC 9051 §4.3, RFC 7888, RFC 3516).

/// `{12}`, `{12+}`, `~{12}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiteralHead {
    /// Octets that follow; a length beyond 64 bits counts as the largest.
    pub size: u64,
    /// The client waits for leave to send them.
    pub sync: bool,
    /// `literal8`: the octets may hold NUL.
    pub binary: bool,
}

/// The announcement that a line (without CRLF) ends in, and how many bytes of
/// the line it takes.
pub(crate) fn at_end_of(line: &[u8]) -> Option<(LiteralHead, usize)> {
    let inner = line.strip_suffix(b"}")?;
    let (inner, sync) = match inner.strip_suffix(b"+") {
        Some(inner) => (inner, false),
        None => (inner, true),
    };
    let digits = inner
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_digit())
        .count();
    let (before, number) = inner.split_at(inner.len() - digits);
    let before = before.strip_suffix(b"{")?;
    if number.is_empty() {
        return None;
    }
    let size = number.iter().fold(0u64, |n, d| {
        n.saturating_mul(10).saturating_add(u64::from(d - b'0'))
    });
    let binary = before.ends_with(b"~");
    let taken = line.len() - before.len() + usize::from(binary);
    Some((LiteralHead { size, sync, binary }, taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_are_found_at_the_end_of_a_line_only() {
        let head = |size, sync, binary| LiteralHead { size, sync, binary };
        for (line, found) in [
            ("a LOGIN {3}", Some((head(3, true, false), 3))),
            ("a LOGIN {3+}", Some((head(3, false, false), 4))),
            ("a APPEND x ~{12}", Some((head(12, true, true), 5))),
            (
                "{99999999999999999999999}",
                Some((head(u64::MAX, true, false), 25)),
            ),
            ("{3} ", None),
            ("{}", None),
            ("{+}", None),
            ("3}", None),
            ("{-3}", None),
        ] {
            assert_eq!(at_end_of(line.as_bytes()), found, "{line}");
        }
    }
}
