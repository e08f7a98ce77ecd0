//! Ids. RFC 8620 §1.2

use crate::limits::ID_BYTES_MAX;

/// True for what can be an id: 1 to 255 letters and digits of base64url.
#[must_use]
pub fn is_id(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_short_and_plain() {
        for good in ["E7", "A3-E7", "_", &"a".repeat(255)] {
            assert!(is_id(good), "{good}");
        }
        for bad in ["", "a b", "é", "a.b", "#a", &"a".repeat(256)] {
            assert!(!is_id(bad), "{bad}");
        }
    }
}
