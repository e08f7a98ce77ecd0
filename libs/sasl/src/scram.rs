//! SCRAM (RFC 5802, RFC 7677): what a server keeps of a password, and how a
//! client's proof is checked against it.
//!
//! `SaltedPassword = PBKDF2(password, salt, i)`,
//! `StoredKey = H(HMAC(SaltedPassword, "Client Key"))`,
//! `ServerKey = HMAC(SaltedPassword, "Server Key")`.
//!
//! The password must be [prepared](crate::prepare) already; the salt comes from
//! the caller. `message` reads the messages, `exchange` is the server's side.

pub(crate) mod exchange;
pub(crate) mod message;

pub use exchange::{Salt, ScramName};

use crate::secret::Secret;
use hmac::{EagerHash, Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The hash of a SCRAM mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hash {
    /// SCRAM-SHA-1 (RFC 5802).
    Sha1,
    /// SCRAM-SHA-256 (RFC 7677).
    Sha256,
    /// SCRAM-SHA-512 (draft-melnikov-scram-sha-512).
    Sha512,
}

impl Hash {
    /// All that are kept when a password is set.
    pub const ALL: [Self; 3] = [Self::Sha1, Self::Sha256, Self::Sha512];

    /// Bytes of its output.
    #[must_use]
    pub fn output_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// The mechanism's name, without channel binding.
    #[must_use]
    pub fn mechanism(self) -> &'static str {
        match self {
            Self::Sha1 => "SCRAM-SHA-1",
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }
}

/// What is stored: enough to check a client's proof, not enough to make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    /// The mechanism's hash.
    pub hash: Hash,
    /// The iteration count `i`.
    pub iterations: u32,
    /// The salt, as raw bytes.
    pub salt: Vec<u8>,
    /// `H(ClientKey)`.
    pub stored_key: Vec<u8>,
    /// `HMAC(SaltedPassword, "Server Key")`.
    pub server_key: Vec<u8>,
}

/// A client's proof that it knows the password, still to be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The mechanism's hash.
    pub hash: Hash,
    /// The login as it was sent.
    pub login: String,
    /// Whom the client wants to act as; `None` when it is the one who logs in.
    pub authorization: Option<String>,
    auth_message: String,
    proof: Vec<u8>,
}

impl Proof {
    /// Checks the proof (RFC 5802 §3): our signature if the password is the
    /// verifier's. The time says nothing about how wrong it is.
    #[must_use]
    pub fn check(&self, verifier: &Verifier) -> Option<Vec<u8>> {
        if verifier.hash != self.hash {
            return None;
        }
        match self.hash {
            Hash::Sha1 => self.check_with::<Sha1>(verifier),
            Hash::Sha256 => self.check_with::<Sha256>(verifier),
            Hash::Sha512 => self.check_with::<Sha512>(verifier),
        }
    }

    /// What tells this attempt from others, for those who count them.
    #[must_use]
    pub fn fingerprint(&self) -> Secret {
        Secret::new(wire::base64::encode(&self.proof))
    }

    fn check_with<D>(&self, verifier: &Verifier) -> Option<Vec<u8>>
    where
        D: EagerHash + Digest,
        Hmac<D>: KeyInit + Mac,
    {
        let message = self.auth_message.as_bytes();
        let signature = mac::<D>(&verifier.stored_key, message);
        let key: Zeroizing<Vec<u8>> = self
            .proof
            .iter()
            .zip(&signature)
            .map(|(proof, signature)| proof ^ signature)
            .collect::<Vec<u8>>()
            .into();
        let right = <D as Digest>::digest(key.as_slice()).ct_eq(verifier.stored_key.as_slice());
        let ours = mac::<D>(&verifier.server_key, message);
        bool::from(right).then_some(ours)
    }
}

/// Derives a verifier from a prepared password.
#[must_use]
pub fn derive(hash: Hash, password: &Secret, salt: &[u8], iterations: u32) -> Verifier {
    let (stored_key, server_key) = match hash {
        Hash::Sha1 => keys::<Sha1>(password, salt, iterations),
        Hash::Sha256 => keys::<Sha256>(password, salt, iterations),
        Hash::Sha512 => keys::<Sha512>(password, salt, iterations),
    };
    Verifier {
        hash,
        iterations,
        salt: salt.to_vec(),
        stored_key,
        server_key,
    }
}

/// A verifier for a login that does not exist: always the same for the same
/// `key` and `name`, and not to be told from a real one by somebody who has not
/// the key. Nobody knows its password.
#[must_use]
pub fn made_up(hash: Hash, key: &[u8], name: &str, salt_bytes: usize, iterations: u32) -> Verifier {
    let part = |what: &[u8]| mac::<Sha512>(key, &[what, name.as_bytes()].concat());
    let tag = [hash.output_bytes() as u8];
    let cut = |mut bytes: Vec<u8>, len: usize| {
        bytes.truncate(len);
        bytes
    };
    Verifier {
        hash,
        iterations,
        salt: cut(part(&[b's', tag[0]]), salt_bytes),
        stored_key: cut(part(&[b'k', tag[0]]), hash.output_bytes()),
        server_key: cut(part(&[b'v', tag[0]]), hash.output_bytes()),
    }
}

fn keys<D>(password: &Secret, salt: &[u8], iterations: u32) -> (Vec<u8>, Vec<u8>)
where
    D: EagerHash + Digest,
    Hmac<D>: KeyInit + Mac,
{
    let mut salted = Zeroizing::new(vec![0u8; <D as Digest>::output_size()]);
    pbkdf2::pbkdf2_hmac::<D>(password.expose().as_bytes(), salt, iterations, &mut salted);
    let client_key = Zeroizing::new(mac::<D>(&salted, b"Client Key"));
    let stored_key = <D as Digest>::digest(client_key.as_slice()).to_vec();
    (stored_key, mac::<D>(&salted, b"Server Key"))
}

fn mac<D>(key: &[u8], message: &[u8]) -> Vec<u8>
where
    D: EagerHash,
    Hmac<D>: KeyInit + Mac,
{
    let mut mac = <Hmac<D> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a client's proof and our signature, and that a changed proof is none.
    fn check(verifier: &Verifier, auth_message: &str, proof: &str, signature: &str) {
        let mut proof = Proof {
            hash: verifier.hash,
            login: "user".into(),
            authorization: None,
            auth_message: auth_message.into(),
            proof: wire::base64::decode(proof.as_bytes()).expect("base64"),
        };
        let ours = proof.check(verifier).expect("the right password");
        assert_eq!(wire::base64::encode(&ours), signature);
        for at in 0..proof.proof.len() {
            proof.proof[at] ^= 1;
            assert_eq!(proof.check(verifier), None);
            proof.proof[at] ^= 1;
        }
        let other = derive(verifier.hash, &Secret::from("Pencil"), &verifier.salt, 4096);
        assert_eq!(proof.check(&other), None);
    }

    fn pencil(hash: Hash, salt: &str) -> Verifier {
        let salt = wire::base64::decode(salt.as_bytes()).expect("base64");
        derive(hash, &Secret::from("pencil"), &salt, 4096)
    }

    #[test]
    fn the_exchange_of_rfc_5802_section_5() {
        check(
            &pencil(Hash::Sha1, "QSXCR+Q6sek8bf92"),
            "n=user,r=fyko+d2lbbFgONRv9qkxdawL,\
             r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096,\
             c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
            "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        );
    }

    #[test]
    fn the_exchange_of_rfc_7677_section_3() {
        check(
            &pencil(Hash::Sha256, "W22ZaJ0SNY7soEsUEjb6gQ=="),
            "n=user,r=rOprNGfwEbeRWgbNEkqO,\
             r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
             c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        );
    }

    #[test]
    fn a_made_up_verifier_is_always_the_same_and_nobodys() {
        for hash in Hash::ALL {
            let one = made_up(hash, b"key", "bob@demo.test", 16, 4096);
            assert_eq!(one, made_up(hash, b"key", "bob@demo.test", 16, 4096));
            assert_eq!((one.salt.len(), one.iterations), (16, 4096));
            assert_eq!(one.stored_key.len(), hash.output_bytes());
            assert_ne!(
                one.salt,
                made_up(hash, b"key", "eve@demo.test", 16, 4096).salt
            );
            assert_ne!(
                one.salt,
                made_up(hash, b"Key", "bob@demo.test", 16, 4096).salt
            );
        }
        let salts = Hash::ALL.map(|hash| made_up(hash, b"key", "bob", 16, 1).salt);
        assert!(salts[0] != salts[1] && salts[1] != salts[2]);
    }

    /// No document has an example for SHA-512: the value is from another
    /// implementation of the same formula (Python's hashlib and hmac).
    #[test]
    fn sha_512_agrees_with_another_implementation() {
        let verifier = pencil(Hash::Sha512, "W22ZaJ0SNY7soEsUEjb6gQ==");
        assert_eq!(
            wire::base64::encode(&verifier.stored_key),
            "6AAub3065EYRmyFpM2RNwqK+eGnrkYuEWbXn19LsEmBqzu8QaCXNc1FwpnX9NhH2hK/60dzj9DoO5DvVkOHbvg=="
        );
        assert_eq!(
            wire::base64::encode(&verifier.server_key),
            "jZHbYjC1aHh0/hKbxyBuGFjDrgjgKTT1esA7awWiKcRZ0o/0b1yWEebBeSVkkCFewf91nLDfKF24mvD5nmE6rA=="
        );
        for hash in Hash::ALL {
            assert_eq!(
                pencil(hash, "QSXCR+Q6sek8bf92").stored_key.len(),
                hash.output_bytes()
            );
        }
    }
}
