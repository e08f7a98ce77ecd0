//! An account's application passwords, version 2; version 1, which has no sealed
//! ones, is read too. The account is the key; the record goes with the last of them.
//!
//! | field | form |
//! |---|---|
//! | version | byte, 2 |
//! | passwords | varint count, at least 1, then each: |
//! | … label | text: told apart by it |
//! | … services | byte: bit 0 IMAP, 1 POP3, 2 submission; at least one |
//! | … created | varint, milliseconds since 1970 |
//! | … expires | varint, milliseconds since 1970; 0 for never |
//! | … salt, hash | 16 and 32 bytes: keyed BLAKE3, see `app_password.rs` |
//! | … verifiers | as in [credentials](super::credentials) |
//! | … sealed | bytes: the password itself, encrypted, see `sealing.rs`; empty for none (not in version 1) |

use super::credentials::{decode_verifiers, encode_verifiers};
use crate::limits::{
    APP_PASSWORD_LABEL_BYTES_MAX, APP_PASSWORDS_MAX, HASH_BYTES, SALT_BYTES, SEALED_BYTES_MAX,
};
use crate::login::Service;
use sasl::scram::Verifier;
use wire::codec::{DecodeError, Reader, Writer};

/// One application password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppPassword {
    /// What it is called, within its account.
    pub label: String,
    /// What it is good for; in order, none twice.
    pub services: Vec<Service>,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// Until when it is good; `None` for ever.
    pub expires_ms: Option<u64>,
    /// Its salt.
    pub salt: [u8; SALT_BYTES],
    /// Its hash. It is long and random, so that a quick one is enough.
    pub hash: [u8; HASH_BYTES],
    /// Its SCRAM verifiers; none when they are turned off.
    pub scram: Vec<Verifier>,
    /// The password itself, encrypted, where it is for CRAM-MD5 and APOP.
    pub sealed: Option<Vec<u8>>,
}

/// All of an account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppPasswords(pub Vec<AppPassword>);

const VERSION: u8 = 2;
const VERSION_1: u8 = 1;

const SERVICES: [Service; 4] = [Service::Imap, Service::Pop3, Service::Smtp, Service::Api];

impl AppPasswords {
    /// The SCRAM keys of the first that has any.
    pub(crate) fn scram(&self) -> Option<Vec<Verifier>> {
        let mut keys = self.0.iter().map(|password| &password.scram);
        keys.find(|keys| !keys.is_empty()).cloned()
    }

    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(VERSION).varint(self.0.len() as u64);
        for password in &self.0 {
            let bits = SERVICES
                .iter()
                .enumerate()
                .filter(|(_, service)| password.services.contains(service))
                .fold(0, |bits, (n, _)| bits | 1u8 << n);
            writer
                .text(&password.label)
                .u8(bits)
                .varint(password.created_ms)
                .varint(password.expires_ms.unwrap_or(0))
                .raw(&password.salt)
                .raw(&password.hash);
            encode_verifiers(&mut writer, &password.scram);
            writer.bytes(password.sealed.as_deref().unwrap_or_default());
        }
        writer.finish()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// Not a record of application passwords of a known version.
    pub fn decode(record: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(record);
        let version = match reader.u8()? {
            known @ (VERSION_1 | VERSION) => known,
            other => return Err(DecodeError::Version(other)),
        };
        let count = reader.varint()?;
        if count == 0 || count > APP_PASSWORDS_MAX as u64 {
            return Err(DecodeError::OutOfRange);
        }
        let passwords = (0..count).map(|_| decode_one(&mut reader, version));
        let passwords = passwords.collect::<Result<_, _>>()?;
        reader.finish()?;
        Ok(Self(passwords))
    }
}

fn decode_one(reader: &mut Reader<'_>, version: u8) -> Result<AppPassword, DecodeError> {
    let label = reader.text()?;
    if label.is_empty() || label.len() > APP_PASSWORD_LABEL_BYTES_MAX {
        return Err(DecodeError::OutOfRange);
    }
    let bits = reader.u8()?;
    if bits == 0 || bits >> SERVICES.len() != 0 {
        return Err(DecodeError::Tag(bits));
    }
    let has = |n: usize| bits & 1 << n != 0;
    Ok(AppPassword {
        label: label.to_owned(),
        services: (0..SERVICES.len())
            .filter(|&n| has(n))
            .map(|n| SERVICES[n])
            .collect(),
        created_ms: reader.varint()?,
        expires_ms: Some(reader.varint()?).filter(|&at| at != 0),
        salt: array(reader)?,
        hash: array(reader)?,
        scram: decode_verifiers(reader)?,
        sealed: decode_sealed(reader, version)?,
    })
}

fn decode_sealed(reader: &mut Reader<'_>, version: u8) -> Result<Option<Vec<u8>>, DecodeError> {
    if version == VERSION_1 {
        return Ok(None);
    }
    let sealed = reader.bytes()?;
    if sealed.len() > SEALED_BYTES_MAX {
        return Err(DecodeError::OutOfRange);
    }
    Ok((!sealed.is_empty()).then(|| sealed.to_vec()))
}

fn array<const N: usize>(reader: &mut Reader<'_>) -> Result<[u8; N], DecodeError> {
    let bytes = reader.raw(N)?;
    bytes.try_into().map_err(|_| DecodeError::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sasl::scram::Hash;

    #[test]
    fn golden_bytes() {
        let passwords = AppPasswords(vec![AppPassword {
            label: "phone".into(),
            services: vec![Service::Imap, Service::Smtp],
            created_ms: 5,
            expires_ms: Some(300),
            salt: [b's'; 16],
            hash: [b'h'; 32],
            scram: vec![Verifier {
                hash: Hash::Sha1,
                iterations: 4096,
                salt: b"s".to_vec(),
                stored_key: b"k1".to_vec(),
                server_key: b"k2".to_vec(),
            }],
            sealed: Some(b"xyz".to_vec()),
        }]);
        let golden = b"\x02\x01\x05phone\x05\x05\xac\x02sssssssssssssssshhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh\x01\x01\x80\x20\x01s\x02k1\x02k2\x03xyz";
        assert_eq!(passwords.encode(), golden);
        assert_eq!(AppPasswords::decode(golden), Ok(passwords.clone()));
        for cut in 0..golden.len() {
            assert!(AppPasswords::decode(&golden[..cut]).is_err());
        }
        let mut of_version_1 = golden[..golden.len() - 4].to_vec();
        of_version_1[0] = 1;
        let mut without = passwords;
        without.0[0].sealed = None;
        assert_eq!(AppPasswords::decode(&of_version_1), Ok(without.clone()));
        assert_eq!(AppPasswords::decode(&without.encode()), Ok(without));
        let mut strange = golden.to_vec();
        strange[8] = 16;
        assert_eq!(AppPasswords::decode(&strange), Err(DecodeError::Tag(16)));
        assert_eq!(AppPasswords::decode(&[2, 0]), Err(DecodeError::OutOfRange));
        assert_eq!(AppPasswords::decode(&[3]), Err(DecodeError::Version(3)));
    }
}
