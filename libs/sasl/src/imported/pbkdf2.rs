//! PBKDF2 (RFC 8018 §5.2) in the ways in which others write it.
//!
//! | text | who |
//! |---|---|
//! | `{PBKDF2-SHA256}`rounds`$`salt`$`hash | OpenLDAP |
//! | `{PBKDF2}$1$`salt as text`$`rounds`$`hash in hexadecimal | Dovecot |
//! | `$pbkdf2-sha256$`rounds`$`salt`$`hash | passlib |
//! | `pbkdf2_sha256$`rounds`$`salt as text`$`hash | Django |

use super::{ImportError, strip_any_case};
use crate::limits::{PBKDF2_HASH_BYTES_MAX, PBKDF2_ROUNDS_MAX};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pbkdf2 {
    size: Size,
    rounds: u32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    Sha1,
    Sha256,
    Sha512,
}

/// How salt and hash are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Both in base64, with `.` for `+`, without filling.
    Adapted,
    /// The salt as it is, the hash in base64.
    Django,
}

const SCHEMES: [(&str, Size, Form); 10] = [
    ("{PBKDF2-SHA1}", Size::Sha1, Form::Adapted),
    ("{PBKDF2-SHA256}", Size::Sha256, Form::Adapted),
    ("{PBKDF2-SHA512}", Size::Sha512, Form::Adapted),
    ("{PBKDF2}", Size::Sha1, Form::Adapted),
    ("$pbkdf2$", Size::Sha1, Form::Adapted),
    ("$pbkdf2-sha256$", Size::Sha256, Form::Adapted),
    ("$pbkdf2-sha512$", Size::Sha512, Form::Adapted),
    ("pbkdf2_sha1$", Size::Sha1, Form::Django),
    ("pbkdf2_sha256$", Size::Sha256, Form::Django),
    ("pbkdf2_sha512$", Size::Sha512, Form::Django),
];

impl Pbkdf2 {
    /// `None` if it is another scheme.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, ImportError> {
        if let Some(rest) = strip_any_case(text, "{PBKDF2}$1$") {
            return dovecot(rest).map(Some);
        }
        for (prefix, size, form) in SCHEMES {
            let Some(rest) = strip_any_case(text, prefix) else {
                continue;
            };
            let mut parts = rest.split('$');
            let mut next = || parts.next().ok_or(ImportError::Malformed);
            let (rounds, salt, hash) = (next()?, next()?, next()?);
            let (salt, hash) = match form {
                Form::Adapted => (adapted(salt), adapted(hash)),
                Form::Django => {
                    let salt = Some(salt.as_bytes().to_vec()).filter(|salt| !salt.is_empty());
                    (salt, wire::base64::decode(hash.as_bytes()))
                }
            };
            if parts.next().is_some() {
                return Err(ImportError::Malformed);
            }
            return Self::new(size, rounds, salt, hash).map(Some);
        }
        Ok(None)
    }

    fn new(
        size: Size,
        rounds: &str,
        salt: Option<Vec<u8>>,
        hash: Option<Vec<u8>>,
    ) -> Result<Self, ImportError> {
        let malformed = ImportError::Malformed;
        let rounds: u32 = rounds.parse().map_err(|_| malformed)?;
        let (salt, hash) = salt.zip(hash).ok_or(malformed)?;
        if rounds == 0 || hash.len() < 16 || hash.len() > PBKDF2_HASH_BYTES_MAX {
            return Err(malformed);
        }
        if rounds > PBKDF2_ROUNDS_MAX {
            return Err(ImportError::TooCostly);
        }
        Ok(Self {
            size,
            rounds,
            salt,
            hash,
        })
    }

    pub(super) fn check(&self, password: &[u8]) -> bool {
        let mut made = vec![0; self.hash.len()];
        let (salt, rounds) = (&self.salt, self.rounds);
        match self.size {
            Size::Sha1 => pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, rounds, &mut made),
            Size::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, rounds, &mut made),
            Size::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, rounds, &mut made),
        }
        made.ct_eq(&self.hash).into()
    }
}

fn dovecot(rest: &str) -> Result<Pbkdf2, ImportError> {
    let mut parts = rest.split('$');
    let mut next = || parts.next().ok_or(ImportError::Malformed);
    let (salt, rounds, hash) = (next()?, next()?, next()?);
    if parts.next().is_some() {
        return Err(ImportError::Malformed);
    }
    let salt = Some(salt.as_bytes().to_vec()).filter(|salt| !salt.is_empty());
    Pbkdf2::new(Size::Sha1, rounds, salt, hexadecimal(hash))
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digit = |letter: u8| char::from(letter).to_digit(16);
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8))
        .collect()
}

fn adapted(text: &str) -> Option<Vec<u8>> {
    let mut coded = text.trim_end_matches('=').replace('.', "+");
    while !coded.len().is_multiple_of(4) {
        coded.push('=');
    }
    wire::base64::decode(coded.as_bytes()).filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::*;

    /// Made by Python's hashlib.
    #[test]
    fn known_answers() {
        for hash in [
            "{PBKDF2}$1$vHvu1l8kE8Sy$5000$c997e4320e63f7ec101262783b508f71e8a3c9ea",
            "{PBKDF2}1000$AAECAwQFBgcICQoLDA0ODw$sFSyXPFcXgkxACFLfL2dSbbhY6k",
            "{PBKDF2-SHA256}1000$AAECAwQFBgcICQoLDA0ODw$Tvsru20utY6o3q7VRBeuL9h/1QqKhWhwk2PaYNRWBgY",
            "$pbkdf2-sha256$1000$AAECAwQFBgcICQoLDA0ODw$Tvsru20utY6o3q7VRBeuL9h/1QqKhWhwk2PaYNRWBgY",
            "$pbkdf2-sha512$1000$AAECAwQFBgcICQoLDA0ODw$8ltlLe5cI6KNrWOmMFkTi2iE7fEXJKJJR9lhjd/xSn68.xOqzv2h20C4IDv/enqlx8f6AaRHE.6XnvHKXKhAjA",
            "pbkdf2_sha256$1000$seasalt$+hs9qSCcGyNSGDNojIEbomuX9WI/mzTF5yfwAXqyKOo=",
        ] {
            let parsed = Imported::parse(hash).expect(hash);
            assert_eq!(parsed.scheme(), "PBKDF2");
            assert!(parsed.check("secret"), "{hash}");
            assert!(!parsed.check("Secret"), "{hash}");
        }
    }

    #[test]
    fn bounds() {
        for (text, why) in [
            (
                "$pbkdf2-sha256$99999999$AAAA$AAECAwQFBgcICQoLDA0ODw",
                ImportError::TooCostly,
            ),
            (
                "$pbkdf2-sha256$0$AAAA$AAECAwQFBgcICQoLDA0ODw",
                ImportError::Malformed,
            ),
            (
                "$pbkdf2-sha256$x$AAAA$AAECAwQFBgcICQoLDA0ODw",
                ImportError::Malformed,
            ),
            ("$pbkdf2-sha256$1$AAAA$AAAA", ImportError::Malformed),
            (
                "$pbkdf2-sha256$1$$AAECAwQFBgcICQoLDA0ODw",
                ImportError::Malformed,
            ),
            ("{PBKDF2}$1$salt$5$zz", ImportError::Malformed),
            ("{PBKDF2}$1$salt", ImportError::Malformed),
        ] {
            assert_eq!(Imported::parse(text), Err(why), "{text}");
        }
    }
}
