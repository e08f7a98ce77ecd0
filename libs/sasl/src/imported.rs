//! Password hashes of other systems, as text: read, kept, and checked until the
//! password is set anew in our own form.
//!
//! | text | what |
//! |---|---|
//! | `$2a$ $2b$ $2y$`cost`$`… | bcrypt |
//! | `$5$ $6$`[`rounds=`n`$`]salt`$`hash | SHA-crypt (glibc) |
//! | `$1$`salt`$`hash | MD5-crypt |
//! | `{SSHA} {SSHA256} {SSHA512}`base64 | salted SHA-1, SHA-256, SHA-512 (LDAP) |
//! | `{PBKDF2…}`, `$pbkdf2…$`, `pbkdf2_sha256$`… | PBKDF2 of OpenLDAP, Dovecot, passlib, Django |
//!
//! Dovecot's and LDAP's prefixes of crypt forms (`{CRYPT}`, `{BLF-CRYPT}`,
//! `{SHA512-CRYPT}` …) are taken off. Not here: unsalted hashes and plain text,
//! which are not to be stored at all.
//!
//! Invariants: what is read has bounds, so that checking it ends soon; a check
//! takes as long for a wrong password as for a right one.

mod bcrypt;
mod md5_crypt;
mod pbkdf2;
mod sha_crypt;
mod ssha;

use crate::limits::IMPORTED_BYTES_MAX;
use core::fmt;
use thiserror::Error;

/// A hash that another system made.
#[derive(Clone, PartialEq, Eq)]
pub struct Imported {
    text: String,
    kind: Kind,
}

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Bcrypt(bcrypt::Bcrypt),
    ShaCrypt(sha_crypt::ShaCrypt),
    Md5Crypt(md5_crypt::Md5Crypt),
    Ssha(ssha::Ssha),
    Pbkdf2(pbkdf2::Pbkdf2),
}

/// Why a text is no hash that can be imported.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum ImportError {
    /// No scheme that is known begins like this.
    #[error(
        "no known kind of hash; bcrypt ($2b$), SHA-crypt ($5$, $6$), MD5-crypt ($1$), \
         {{SSHA}}, {{SSHA256}}, {{SSHA512}} and PBKDF2 can be imported"
    )]
    Scheme,
    /// The scheme is known, but what follows is not as it must be.
    #[error("the hash is cut off or damaged")]
    Malformed,
    /// Checking it would take too long for a login.
    #[error("the hash asks for too much work: checking it would take many seconds")]
    TooCostly,
}

/// What comes off the front of crypt's own forms.
const CRYPT_PREFIXES: [&str; 5] = [
    "{CRYPT}",
    "{BLF-CRYPT}",
    "{SHA256-CRYPT}",
    "{SHA512-CRYPT}",
    "{MD5-CRYPT}",
];

impl Imported {
    /// Reads a hash.
    ///
    /// # Errors
    /// See [`ImportError`].
    pub fn parse(text: &str) -> Result<Self, ImportError> {
        let text = text.trim();
        if text.len() > IMPORTED_BYTES_MAX {
            return Err(ImportError::Malformed);
        }
        let bare = CRYPT_PREFIXES
            .iter()
            .find_map(|prefix| strip_any_case(text, prefix))
            .unwrap_or(text);
        let kind = if let Some(rest) = bare.strip_prefix("$2") {
            Kind::Bcrypt(bcrypt::Bcrypt::parse(rest)?)
        } else if let Some(rest) = bare.strip_prefix("$5$") {
            Kind::ShaCrypt(sha_crypt::ShaCrypt::parse(sha_crypt::Size::Sha256, rest)?)
        } else if let Some(rest) = bare.strip_prefix("$6$") {
            Kind::ShaCrypt(sha_crypt::ShaCrypt::parse(sha_crypt::Size::Sha512, rest)?)
        } else if let Some(rest) = bare.strip_prefix("$1$") {
            Kind::Md5Crypt(md5_crypt::Md5Crypt::parse(rest)?)
        } else if let Some(parsed) = ssha::Ssha::parse(text)? {
            Kind::Ssha(parsed)
        } else if let Some(parsed) = pbkdf2::Pbkdf2::parse(text)? {
            Kind::Pbkdf2(parsed)
        } else {
            return Err(ImportError::Scheme);
        };
        Ok(Self {
            text: text.to_owned(),
            kind,
        })
    }

    /// The text that it was read from, without blanks around it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What people call its scheme.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        match self.kind {
            Kind::Bcrypt(_) => "bcrypt",
            Kind::ShaCrypt(_) => "SHA-crypt",
            Kind::Md5Crypt(_) => "MD5-crypt",
            Kind::Ssha(_) => "SSHA",
            Kind::Pbkdf2(_) => "PBKDF2",
        }
    }

    /// Whether this is the password, as it was typed. May take a second.
    #[must_use]
    pub fn check(&self, password: &str) -> bool {
        let password = password.as_bytes();
        match &self.kind {
            Kind::Bcrypt(hash) => hash.check(password),
            Kind::ShaCrypt(hash) => hash.check(password),
            Kind::Md5Crypt(hash) => hash.check(password),
            Kind::Ssha(hash) => hash.check(password),
            Kind::Pbkdf2(hash) => hash.check(password),
        }
    }
}

/// A hash is no secret like a password, but it is nobody else's business.
impl fmt::Debug for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Imported({} …)", self.scheme())
    }
}

fn strip_any_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix)
        .then(|| &text[prefix.len()..])
}

/// crypt's own base64: low bits first, its own order of letters.
const CRYPT64: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Appends `count` letters of `bits`, low bits first.
fn push_crypt64(out: &mut Vec<u8>, mut bits: u32, count: usize) {
    for _ in 0..count {
        out.push(CRYPT64[(bits & 0x3f) as usize]);
        bits >>= 6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_hash_is_refused() {
        for (text, why) in [
            ("", ImportError::Scheme),
            ("secret", ImportError::Scheme),
            ("{PLAIN}secret", ImportError::Scheme),
            ("{SHA}nU4eI71bcnBGqeO0t9tXvY1u5oQ=", ImportError::Scheme),
            ("$1$", ImportError::Malformed),
            ("$2b$10$", ImportError::Malformed),
            ("$5$salt$x", ImportError::Malformed),
            ("$6$salt", ImportError::Malformed),
            ("{SSHA}x", ImportError::Malformed),
            ("$y$j9T$x$y", ImportError::Scheme),
        ] {
            assert_eq!(Imported::parse(text), Err(why), "{text}");
        }
        let long = format!("$6$salt${}", "x".repeat(IMPORTED_BYTES_MAX));
        assert_eq!(Imported::parse(&long), Err(ImportError::Malformed));
    }

    proptest! {
        #[test]
        fn any_text_is_borne(text in "(\\$[1256][aby]?\\$|\\{SSHA(256|512)?\\}|\\{PBKDF2(-SHA256)?\\}|\\$pbkdf2-sha256\\$|pbkdf2_sha256\\$)?[./$0-9A-Za-z=+]{0,90}") {
            if let Ok(parsed) = Imported::parse(&text) {
                prop_assert_eq!(parsed.text(), text.trim());
            }
        }
    }
}
