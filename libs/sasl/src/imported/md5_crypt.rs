//! MD5-crypt (Kamp, 1994): `$1$`, salt, hash. Broken by today's machines, and
//! still what many systems have; it lasts here until the next login.

use super::{ImportError, push_crypt64};
use md5::{Digest as _, Md5};
use subtle::ConstantTimeEq;

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Md5Crypt {
    salt: Vec<u8>,
    hash: Vec<u8>,
}

/// Letters of a salt that count.
const SALT_BYTES_MAX: usize = 8;

/// Letters of a hash.
const HASH_LETTERS: usize = 22;

impl Md5Crypt {
    /// Reads what follows `$1$`.
    pub(super) fn parse(text: &str) -> Result<Self, ImportError> {
        let (salt, hash) = text.split_once('$').ok_or(ImportError::Malformed)?;
        if hash.len() != HASH_LETTERS {
            return Err(ImportError::Malformed);
        }
        let salt = salt.as_bytes();
        Ok(Self {
            salt: salt[..salt.len().min(SALT_BYTES_MAX)].to_vec(),
            hash: hash.as_bytes().to_vec(),
        })
    }

    pub(super) fn check(&self, password: &[u8]) -> bool {
        self.letters(password).ct_eq(&self.hash).into()
    }

    fn letters(&self, password: &[u8]) -> Vec<u8> {
        let salt = self.salt.as_slice();
        let between = Md5::new()
            .chain_update(password)
            .chain_update(salt)
            .chain_update(password)
            .finalize();
        let mut first = Md5::new()
            .chain_update(password)
            .chain_update(b"$1$")
            .chain_update(salt);
        for at in (0..password.len()).step_by(16) {
            first.update(&between[..16.min(password.len() - at)]);
        }
        let mut length = password.len();
        while length > 0 {
            // A slip of the first program that has become the definition.
            match (length & 1, password.first()) {
                (0, Some(letter)) => first.update([*letter]),
                _ => first.update([0]),
            }
            length >>= 1;
        }
        let mut hash = first.finalize();
        for round in 0..1000 {
            let mut next = Md5::new();
            if round & 1 == 1 {
                next.update(password);
            } else {
                next.update(hash);
            }
            if round % 3 != 0 {
                next.update(salt);
            }
            if round % 7 != 0 {
                next.update(password);
            }
            if round & 1 == 1 {
                next.update(hash);
            } else {
                next.update(password);
            }
            hash = next.finalize();
        }
        let byte = |at: usize| u32::from(hash[at]);
        let mut out = Vec::with_capacity(HASH_LETTERS);
        for [high, middle, low] in [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]] {
            push_crypt64(
                &mut out,
                byte(high) << 16 | byte(middle) << 8 | byte(low),
                4,
            );
        }
        push_crypt64(&mut out, byte(11), 2);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;

    /// From `openssl passwd -1` and libxcrypt.
    #[test]
    fn known_answers() {
        for (hash, password) in [
            ("$1$3azHgidD$SrJPt7B.9rekpmwJwtON31", "password"),
            ("{MD5-CRYPT}$1$saltsalt$5Jhcit4zN9UlGiA0txPkO0", ""),
        ] {
            let parsed = Imported::parse(hash).expect(hash);
            assert_eq!(parsed.scheme(), "MD5-crypt");
            assert!(parsed.check(password), "{hash}");
            assert!(!parsed.check("Password"), "{hash}");
        }
    }
}
