//! bcrypt (Provos and Mazières, 1999): `$2b$10$` 22 letters of salt, 31 of hash.

use super::ImportError;
use crate::limits::BCRYPT_COST_MAX;
use blowfish::Blowfish;
use subtle::ConstantTimeEq;

/// bcrypt's own order of letters; high bits first, no filling.
const LETTERS: &[u8; 64] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// `OrpheanBeholderScryDoubt`, as numbers.
const PLAIN: &[u8; 24] = b"OrpheanBeholderScryDoubt";

/// Bytes of a password that count, with the zero behind it.
const KEY_BYTES_MAX: usize = 72;

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Bcrypt {
    cost: u32,
    salt: [u8; 16],
    /// The last byte of the result is not written down.
    hash: [u8; 23],
}

impl Bcrypt {
    /// Reads what follows `$2`: `b$10$…`. `x` is the form of a broken library.
    pub(super) fn parse(text: &str) -> Result<Self, ImportError> {
        let malformed = ImportError::Malformed;
        let mut parts = text.splitn(3, '$');
        if !matches!(parts.next(), Some("a" | "b" | "y")) {
            return Err(ImportError::Scheme);
        }
        let cost = parts.next().filter(|cost| cost.len() == 2);
        let cost: u32 = cost.and_then(|c| c.parse().ok()).ok_or(malformed)?;
        let rest = parts.next().ok_or(malformed)?;
        let (salt, hash) = rest.split_at_checked(22).ok_or(malformed)?;
        if cost < 4 {
            return Err(malformed);
        }
        if cost > BCRYPT_COST_MAX {
            return Err(ImportError::TooCostly);
        }
        Ok(Self {
            cost,
            salt: decode(salt).ok_or(malformed)?,
            hash: decode(hash).ok_or(malformed)?,
        })
    }

    pub(super) fn check(&self, password: &[u8]) -> bool {
        // The zero at the end belongs to the key.
        let mut key = zeroize::Zeroizing::new([password, &[0]].concat());
        key.truncate(KEY_BYTES_MAX);
        let mut state = Blowfish::bc_init_state();
        state.salted_expand_key(&self.salt, &key);
        for _ in 0..1u64 << self.cost {
            state.bc_expand_key(&key);
            state.bc_expand_key(&self.salt);
        }
        let mut out = [0; 24];
        for (block, out) in PLAIN.chunks_exact(8).zip(out.chunks_exact_mut(8)) {
            let (left, right) = block.split_at(4);
            let mut words = [left, right].map(|half| {
                half.iter()
                    .fold(0u32, |word, &byte| word << 8 | u32::from(byte))
            });
            for _ in 0..64 {
                words = state.bc_encrypt(words);
            }
            out[..4].copy_from_slice(&words[0].to_be_bytes());
            out[4..].copy_from_slice(&words[1].to_be_bytes());
        }
        out[..23].ct_eq(&self.hash).into()
    }
}

/// Letters to exactly `N` bytes; bits that are left over are not looked at, as
/// all others do.
fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != (N * 8).div_ceil(6) {
        return None;
    }
    let mut out = [0; N];
    let (mut bits, mut count, mut at) = (0u32, 0, 0);
    for letter in text.bytes() {
        let value = LETTERS.iter().position(|&known| known == letter)?;
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 8 && at < N {
            count -= 8;
            out[at] = (bits >> count) as u8;
            at += 1;
        }
    }
    (at == N).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::super::*;

    /// From the test list of OpenBSD's and John the Ripper's implementations.
    #[test]
    fn known_answers() {
        for (hash, password) in [
            (
                "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
                "U*U",
            ),
            (
                "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK",
                "U*U*",
            ),
            (
                "$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a",
                "U*U*U",
            ),
            (
                "$2y$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy",
                "",
            ),
            (
                "{BLF-CRYPT}$2b$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
                "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored",
            ),
        ] {
            let parsed = Imported::parse(hash).expect(hash);
            assert_eq!(parsed.scheme(), "bcrypt");
            assert!(parsed.check(password), "{hash}");
            assert!(!parsed.check("wrong"), "{hash}");
        }
    }

    #[test]
    fn bounds() {
        let tail = "CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
        for (text, why) in [
            (format!("$2a$18${tail}"), ImportError::TooCostly),
            (format!("$2a$03${tail}"), ImportError::Malformed),
            (format!("$2a$5${tail}"), ImportError::Malformed),
            (format!("$2x$05${tail}"), ImportError::Scheme),
            (format!("$2a$05${tail}x"), ImportError::Malformed),
            (format!("$2a$05${}", &tail[1..]), ImportError::Malformed),
            (format!("$2a$05$!{}", &tail[1..]), ImportError::Malformed),
            (format!("$2a$05$é{}", &tail[2..]), ImportError::Malformed),
        ] {
            assert_eq!(Imported::parse(&text), Err(why), "{text}");
        }
    }
}
