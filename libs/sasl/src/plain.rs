//! The PLAIN message (RFC 4616 §2): `[authzid] NUL authcid NUL passwd`.
//!
//! An authorization identity equal to the login is the same as none. Whether
//! another one may be taken on is the directory's to say, not ours.

use crate::limits::{NAME_BYTES_MAX, PASSWORD_BYTES_MAX};
use crate::secret::{Credentials, Secret};

/// Parses a decoded message; `None` when it is not one.
#[must_use]
pub fn parse(message: &[u8]) -> Option<Credentials> {
    // RFC 4616 §2: UTF-8 throughout; NUL occurs as separator only.
    let text = core::str::from_utf8(message).ok()?;
    let mut fields = text.split('\0');
    let authorization = fields.next()?;
    let login = fields.next()?;
    let password = fields.next()?;
    if fields.next().is_some()
        || login.is_empty()
        || password.is_empty()
        || authorization.len() > NAME_BYTES_MAX
        || login.len() > NAME_BYTES_MAX
        || password.len() > PASSWORD_BYTES_MAX
    {
        return None;
    }
    let authorization =
        (!authorization.is_empty() && authorization != login).then(|| authorization.to_owned());
    Some(Credentials {
        authorization,
        login: login.to_owned(),
        password: Secret::from(password),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_must_separate_exactly_three_fields() {
        for bad in [
            &b""[..],
            b"tim",
            b"\0tim",
            b"tim\0secret",
            b"\0tim\0",
            b"\0\0secret",
            b"\0tim\0sec\0ret",
            b"a\0tim\0secret\0",
            b"\0t\xff\0secret",
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn an_authorization_identity_equal_to_the_login_is_none() {
        let parsed = parse(b"tim\0tim\0x").expect("well formed");
        assert_eq!(parsed.authorization, None);
        let parsed = parse(b"Tim\0tim\0x").expect("well formed");
        assert_eq!(parsed.authorization.as_deref(), Some("Tim"));
    }

    #[test]
    fn names_and_passwords_are_bounded() {
        let long = "x".repeat(PASSWORD_BYTES_MAX + 1);
        assert_eq!(parse(format!("\0tim\0{long}").as_bytes()), None);
        assert_eq!(parse(format!("\0{long}\0secret").as_bytes()), None);
        assert_eq!(parse(format!("{long}\0tim\0secret").as_bytes()), None);
    }
}
