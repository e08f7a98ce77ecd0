//! SHA-crypt (Drepper, 2007): `$5$` and `$6$`, salt, hash.

use super::{ImportError, push_crypt64};
use crate::limits::SHA_CRYPT_ROUNDS_MAX;
use subtle::ConstantTimeEq;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    Sha256,
    Sha512,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct ShaCrypt {
    size: Size,
    rounds: u32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

/// Rounds where none are written.
const ROUNDS: u32 = 5_000;

/// Letters of a salt that count.
const SALT_BYTES_MAX: usize = 16;

impl ShaCrypt {
    /// Reads what follows `$5$` or `$6$`.
    pub(super) fn parse(size: Size, text: &str) -> Result<Self, ImportError> {
        let malformed = ImportError::Malformed;
        let (rounds, rest) = match text.strip_prefix("rounds=") {
            None => (ROUNDS, text),
            Some(rest) => {
                let (rounds, rest) = rest.split_once('$').ok_or(malformed)?;
                let rounds: u32 = rounds.parse().map_err(|_| malformed)?;
                // As glibc does.
                (rounds.max(sha_crypt::Params::ROUNDS_MIN), rest)
            }
        };
        if rounds > SHA_CRYPT_ROUNDS_MAX {
            return Err(ImportError::TooCostly);
        }
        let (salt, hash) = rest.split_once('$').ok_or(malformed)?;
        let letters = match size {
            Size::Sha256 => 43,
            Size::Sha512 => 86,
        };
        if hash.len() != letters {
            return Err(malformed);
        }
        let salt = salt.as_bytes();
        Ok(Self {
            size,
            rounds,
            salt: salt[..salt.len().min(SALT_BYTES_MAX)].to_vec(),
            hash: hash.as_bytes().to_vec(),
        })
    }

    pub(super) fn check(&self, password: &[u8]) -> bool {
        let Ok(params) = sha_crypt::Params::new(self.rounds) else {
            return false;
        };
        let letters = match self.size {
            Size::Sha256 => {
                let hash = sha_crypt::sha256_crypt(password, &self.salt, params);
                let order = (0..10).map(|n| [n * 21 % 30, (n * 21 + 10) % 30, (n * 21 + 20) % 30]);
                written(&hash, order, |out| {
                    push_crypt64(out, u32::from(hash[31]) << 8 | u32::from(hash[30]), 3);
                })
            }
            Size::Sha512 => {
                let hash = sha_crypt::sha512_crypt(password, &self.salt, params);
                let order = (0..21).map(|n| [n * 22 % 63, (n * 22 + 21) % 63, (n * 22 + 42) % 63]);
                written(&hash, order, |out| push_crypt64(out, hash[63].into(), 2))
            }
        };
        letters.ct_eq(&self.hash).into()
    }
}

/// The hash in letters: three bytes at a time, in the order of the specification.
fn written(
    hash: &[u8],
    order: impl Iterator<Item = [usize; 3]>,
    rest: impl FnOnce(&mut Vec<u8>),
) -> Vec<u8> {
    let mut out = Vec::with_capacity(86);
    for [high, middle, low] in order {
        let byte = |at: usize| u32::from(hash[at]);
        push_crypt64(
            &mut out,
            byte(high) << 16 | byte(middle) << 8 | byte(low),
            4,
        );
    }
    rest(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::super::*;

    /// From the specification's own test list.
    #[test]
    fn known_answers() {
        for hash in [
            "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
            "$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA",
            "{SHA512-CRYPT}$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
            "{crypt}$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
        ] {
            let parsed = Imported::parse(hash).expect(hash);
            assert_eq!(parsed.scheme(), "SHA-crypt");
            assert!(parsed.check("Hello world!"), "{hash}");
            assert!(!parsed.check("hello world!"), "{hash}");
        }
    }

    #[test]
    fn bounds() {
        let tail = "saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5";
        for (text, why) in [
            (format!("$5$rounds=99999999${tail}"), ImportError::TooCostly),
            (format!("$5$rounds=x${tail}"), ImportError::Malformed),
            (format!("$5$rounds=1{tail}"), ImportError::Malformed),
            (format!("$6${tail}"), ImportError::Malformed),
        ] {
            assert_eq!(Imported::parse(&text), Err(why), "{text}");
        }
    }
}
