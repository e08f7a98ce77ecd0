//! Passwords that must be read back: those that CRAM-MD5 and APOP make digests of.
//!
//! They are encrypted with a key that lies outside of the store, so that who has
//! the store alone has no password. Who has the machine has both.
//!
//! A sealed password is a nonce (12 bytes) and the ChaCha20-Poly1305 ciphertext
//! with its tag (RFC 8439), bound to its account and label: moved to another
//! place it does not open.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use envelope::AccountId;
use runtime::Runtime;
use sasl::Secret;
use std::fmt;
use std::sync::Arc;

/// The installation's key for such passwords. Cheap to clone.
#[derive(Clone)]
pub struct SealingKey(Arc<LessSafeKey>);

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(…)")
    }
}

impl SealingKey {
    /// From 32 random bytes.
    ///
    /// # Panics
    /// When the cryptographic library refuses a key of the right length: a broken build.
    #[must_use]
    pub fn new(bytes: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&CHACHA20_POLY1305, bytes);
        Self(Arc::new(LessSafeKey::new(key.expect("32 bytes are a key"))))
    }

    pub(crate) fn seal(
        &self,
        runtime: &Runtime,
        id: AccountId,
        label: &str,
        password: &Secret,
    ) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        runtime.fill_random(&mut nonce);
        let mut sealed = password.expose().as_bytes().to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        self.0
            .seal_in_place_append_tag(unique, place(id, label), &mut sealed)
            .expect("an application password is short");
        [&nonce[..], &sealed].concat()
    }

    /// `None` when it is damaged, from another place, or sealed with another key.
    pub(crate) fn open(&self, id: AccountId, label: &str, sealed: &[u8]) -> Option<Secret> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut buffer = zeroize::Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.0.open_in_place(nonce, place(id, label), &mut buffer);
        let text = core::str::from_utf8(opened.ok()?).ok()?;
        Some(Secret::from(text))
    }
}

fn place(id: AccountId, label: &str) -> Aad<Vec<u8>> {
    let id = id.0.to_be_bytes();
    Aad::from([&b"application password"[..], &id, label.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_in_its_place_alone() {
        let runtime = Runtime::for_tests();
        let key = SealingKey::new(&[1; 32]);
        let password = Secret::from("abcd-efgh");
        let (bob, eve) = (AccountId(2), AccountId(3));
        let sealed = key.seal(&runtime, bob, "scanner", &password);
        assert_eq!(key.open(bob, "scanner", &sealed), Some(password.clone()));
        assert_eq!(key.open(eve, "scanner", &sealed), None);
        assert_eq!(key.open(bob, "scanner2", &sealed), None);
        assert_eq!(
            SealingKey::new(&[2; 32]).open(bob, "scanner", &sealed),
            None
        );
        for at in 0..sealed.len() {
            assert_eq!(key.open(bob, "scanner", &sealed[..at]), None);
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(key.open(bob, "scanner", &changed), None);
        }
        let again = key.seal(&runtime, bob, "scanner", &password);
        assert_ne!(sealed, again);
        let text = password.expose().as_bytes();
        assert!(!sealed.windows(4).any(|part| part == &text[..4]));
        assert_eq!(format!("{key:?}"), "SealingKey(…)");
    }
}
