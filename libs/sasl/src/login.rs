//! The LOGIN mechanism (draft-murchison-sasl-login): name, then password.
//!
//! The prompts are the ones that old clients look for, word by word.

use crate::limits::{NAME_BYTES_MAX, PASSWORD_BYTES_MAX};
use crate::secret::Secret;

/// The first challenge.
pub const NAME_PROMPT: &str = "Username:";

/// The second challenge.
pub const PASSWORD_PROMPT: &str = "Password:";

/// The decoded user name; `None` when it is empty, too long, not UTF-8 or holds NUL.
#[must_use]
pub fn parse_name(message: &[u8]) -> Option<String> {
    field(message, NAME_BYTES_MAX).map(str::to_owned)
}

/// The decoded password, by the same rules.
#[must_use]
pub fn parse_password(message: &[u8]) -> Option<Secret> {
    field(message, PASSWORD_BYTES_MAX).map(Secret::from)
}

fn field(message: &[u8], bytes_max: usize) -> Option<&str> {
    let text = core::str::from_utf8(message).ok()?;
    (!text.is_empty() && text.len() <= bytes_max && !text.contains('\0')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_without_content_or_with_nul_are_refused() {
        assert_eq!(parse_name(b"bob").as_deref(), Some("bob"));
        assert_eq!(parse_name(b""), None);
        assert_eq!(parse_name(b"b\0b"), None);
        assert_eq!(parse_name(b"\xff"), None);
        assert!(parse_password(&[b'x'; PASSWORD_BYTES_MAX]).is_some());
        assert!(parse_password(&[b'x'; PASSWORD_BYTES_MAX + 1]).is_none());
    }
}
