//! Codes: the first bits of an HMAC, in letters that no server on the way changes but in case.

use core::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::limits::CODE_LETTERS;

/// RFC 4648 §6, in one case.
pub(crate) const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A secret of this server.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; 32]>);

impl Key {
    /// From 32 random bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, to be kept.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// HMAC-SHA-256 of parts that cannot run into each other, without their case.
    pub(crate) fn mac(&self, purpose: &str, parts: &[&str]) -> [u8; 32] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        for part in parts {
            mac.update(b"\0");
            mac.update(part.to_ascii_lowercase().as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    /// The code of these parts.
    pub(crate) fn code(&self, purpose: &str, parts: &[&str]) -> String {
        letters(&self.mac(purpose, parts))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// Whether one of the keys gives this code.
pub(crate) fn is_proven(keys: &[Key], purpose: &str, parts: &[&str], code: &str) -> bool {
    let code = code.to_ascii_uppercase();
    keys.iter().any(|key| {
        let right = key.code(purpose, parts);
        right.as_bytes().ct_eq(code.as_bytes()).into()
    })
}

fn letters(mac: &[u8; 32]) -> String {
    let bits = mac
        .iter()
        .take(8)
        .fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
    (0..CODE_LETTERS)
        .map(|place| {
            let five = (bits >> (59 - 5 * place)) as usize & 31;
            char::from(LETTERS[five])
        })
        .collect()
}
