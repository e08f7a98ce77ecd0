//! Salted SHA of LDAP directories: base64 of hash and salt behind each other.

use super::{ImportError, strip_any_case};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Ssha {
    size: Size,
    hash: Vec<u8>,
    salt: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    Sha1,
    Sha256,
    Sha512,
}

impl Ssha {
    /// `None` if it is another scheme.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, ImportError> {
        let schemes = [
            ("{SSHA}", Size::Sha1, 20),
            ("{SSHA256}", Size::Sha256, 32),
            ("{SSHA512}", Size::Sha512, 64),
        ];
        for (prefix, size, bytes) in schemes {
            let Some(coded) = strip_any_case(text, prefix) else {
                continue;
            };
            let mut hash = wire::base64::decode(coded.as_bytes()).ok_or(ImportError::Malformed)?;
            if hash.len() <= bytes {
                return Err(ImportError::Malformed);
            }
            let salt = hash.split_off(bytes);
            return Ok(Some(Self { size, hash, salt }));
        }
        Ok(None)
    }

    pub(super) fn check(&self, password: &[u8]) -> bool {
        let made = match self.size {
            Size::Sha1 => self.made::<Sha1>(password),
            Size::Sha256 => self.made::<Sha256>(password),
            Size::Sha512 => self.made::<Sha512>(password),
        };
        made.ct_eq(&self.hash).into()
    }

    fn made<D: Digest>(&self, password: &[u8]) -> Vec<u8> {
        let digest = D::new().chain_update(password).chain_update(&self.salt);
        digest.finalize().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;

    /// Made by Python's hashlib.
    #[test]
    fn known_answers() {
        for hash in [
            "{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0",
            "{SSHA256}oBmrdHcA6OZEkkCLeXh71YAerbvhXz1qqwjrPsXmEtNzYWx0c2FsdA==",
            "{ssha512}aCu7JRc+kLsuEmFs1zTY+AiP7DSGnjjG+dH28Dp+E5usqoAixeTPihKqZmkWal4mUfp63tqvCAkFV1LKTDFH6XNhbHRzYWx0",
        ] {
            let parsed = Imported::parse(hash).expect(hash);
            assert_eq!(parsed.scheme(), "SSHA");
            assert!(parsed.check("secret"), "{hash}");
            assert!(!parsed.check("Secret"), "{hash}");
        }
        // Without a salt it is what everybody has looked up already.
        let unsalted = "{SSHA}nU4eI71bcnBGqeO0t9tXvY1u5oQ=";
        assert_eq!(Imported::parse(unsalted), Err(ImportError::Malformed));
    }
}
