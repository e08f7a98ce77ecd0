//! How an account proves who it is, version 2; version 1, which knows no imported
//! hashes, is read too. The account is the key.
//!
//! | field | form |
//! |---|---|
//! | version | byte, 2 |
//! | set | varint, milliseconds since 1970: when the password was set |
//! | scheme | byte: 1 argon2id version 0x13 (RFC 9106), 2 imported (not in version 1) |
//! | memory, passes, lanes | varints: KiB, count, count; of scheme 1 |
//! | salt, hash | bytes each; of scheme 1 |
//! | text | text, as [`sasl::imported`] reads it; of scheme 2 |
//! | verifiers | varint count, then each: |
//! | … hash | byte: 1 SHA-1, 2 SHA-256, 3 SHA-512 |
//! | … iterations | varint |
//! | … salt, stored key, server key | bytes each |

use sasl::imported::Imported;
use sasl::scram::{Hash, Verifier};
use wire::codec::{DecodeError, Reader, Writer};

/// What argon2id is asked to spend (RFC 9106 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB, `m`.
    pub memory_kib: u32,
    /// Passes over it, `t`.
    pub passes: u32,
    /// Lanes, `p`.
    pub lanes: u32,
}

impl Default for Cost {
    /// The second recommendation of OWASP's list for argon2id: 19 MiB, 2, 1.
    fn default() -> Self {
        Self {
            memory_kib: 19 * 1024,
            passes: 2,
            lanes: 1,
        }
    }
}

/// A password's hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordHash {
    /// What it cost.
    pub cost: Cost,
    /// Its salt.
    pub salt: Vec<u8>,
    /// The hash itself.
    pub hash: Vec<u8>,
}

/// What a password is checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// Our own form.
    Argon2id(PasswordHash),
    /// Another system's, until the next login.
    Imported(Imported),
}

/// What is stored of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// When it was set, in milliseconds since 1970.
    pub set_ms: u64,
    /// Its hash.
    pub password: Stored,
    /// Its SCRAM verifiers; none when they are turned off.
    pub scram: Vec<Verifier>,
}

const VERSION: u8 = 2;
const VERSION_1: u8 = 1;

impl Credentials {
    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(VERSION).varint(self.set_ms);
        match &self.password {
            Stored::Argon2id(PasswordHash { cost, salt, hash }) => writer
                .u8(1)
                .varint(u64::from(cost.memory_kib))
                .varint(u64::from(cost.passes))
                .varint(u64::from(cost.lanes))
                .bytes(salt)
                .bytes(hash),
            Stored::Imported(imported) => writer.u8(2).text(imported.text()),
        };
        encode_verifiers(&mut writer, &self.scram);
        writer.finish()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// Not a credentials record of a known version.
    pub fn decode(record: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(record);
        let known = match reader.u8()? {
            VERSION_1 => 1,
            VERSION => 2,
            other => return Err(DecodeError::Version(other)),
        };
        let set_ms = reader.varint()?;
        let password = match reader.u8()? {
            1 => Stored::Argon2id(PasswordHash {
                cost: Cost {
                    memory_kib: reader.varint32()?,
                    passes: reader.varint32()?,
                    lanes: reader.varint32()?,
                },
                salt: reader.bytes()?.to_vec(),
                hash: reader.bytes()?.to_vec(),
            }),
            2 if known == 2 => {
                let imported = Imported::parse(reader.text()?);
                Stored::Imported(imported.map_err(|_| DecodeError::OutOfRange)?)
            }
            other => return Err(DecodeError::Tag(other)),
        };
        let scram = decode_verifiers(&mut reader)?;
        reader.finish()?;
        Ok(Self {
            set_ms,
            password,
            scram,
        })
    }
}

/// SCRAM keys, behind their number.
pub(super) fn encode_verifiers(writer: &mut Writer, verifiers: &[Verifier]) {
    writer.varint(verifiers.len() as u64);
    for verifier in verifiers {
        writer
            .u8(hash_tag(verifier.hash))
            .varint(u64::from(verifier.iterations))
            .bytes(&verifier.salt)
            .bytes(&verifier.stored_key)
            .bytes(&verifier.server_key);
    }
}

pub(super) fn decode_verifiers(reader: &mut Reader<'_>) -> Result<Vec<Verifier>, DecodeError> {
    let count = reader.varint()?;
    if count > Hash::ALL.len() as u64 {
        return Err(DecodeError::OutOfRange);
    }
    (0..count).map(|_| decode_verifier(reader)).collect()
}

fn decode_verifier(reader: &mut Reader<'_>) -> Result<Verifier, DecodeError> {
    Ok(Verifier {
        hash: match reader.u8()? {
            1 => Hash::Sha1,
            2 => Hash::Sha256,
            3 => Hash::Sha512,
            other => return Err(DecodeError::Tag(other)),
        },
        iterations: reader.varint32()?,
        salt: reader.bytes()?.to_vec(),
        stored_key: reader.bytes()?.to_vec(),
        server_key: reader.bytes()?.to_vec(),
    })
}

fn hash_tag(hash: Hash) -> u8 {
    match hash {
        Hash::Sha1 => 1,
        Hash::Sha256 => 2,
        Hash::Sha512 => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let credentials = Credentials {
            set_ms: 9,
            password: Stored::Argon2id(PasswordHash {
                cost: Cost::default(),
                salt: b"salt".to_vec(),
                hash: b"hash".to_vec(),
            }),
            scram: vec![Verifier {
                hash: Hash::Sha256,
                iterations: 4096,
                salt: b"s".to_vec(),
                stored_key: b"k1".to_vec(),
                server_key: b"k2".to_vec(),
            }],
        };
        let golden =
            b"\x02\x09\x01\x80\x98\x01\x02\x01\x04salt\x04hash\x01\x02\x80\x20\x01s\x02k1\x02k2";
        assert_eq!(credentials.encode(), golden);
        assert_eq!(Credentials::decode(golden), Ok(credentials.clone()));
        let mut of_version_1 = golden.to_vec();
        of_version_1[0] = 1;
        assert_eq!(Credentials::decode(&of_version_1), Ok(credentials));
        for cut in 0..golden.len() {
            assert!(Credentials::decode(&golden[..cut]).is_err());
        }
    }

    #[test]
    fn golden_bytes_of_an_imported_hash() {
        let text = "$1$saltsalt$5Jhcit4zN9UlGiA0txPkO0";
        let credentials = Credentials {
            set_ms: 9,
            password: Stored::Imported(Imported::parse(text).expect("a hash")),
            scram: Vec::new(),
        };
        let golden = [&b"\x02\x09\x02\x22"[..], text.as_bytes(), &[0]].concat();
        assert_eq!(credentials.encode(), golden);
        assert_eq!(Credentials::decode(&golden), Ok(credentials));
        for cut in 0..golden.len() {
            assert!(Credentials::decode(&golden[..cut]).is_err());
        }
        let mut of_version_1 = golden.clone();
        of_version_1[0] = 1;
        assert_eq!(Credentials::decode(&of_version_1), Err(DecodeError::Tag(2)));
        let no_hash = b"\x02\x09\x02\x04$1$x\0";
        assert_eq!(Credentials::decode(no_hash), Err(DecodeError::OutOfRange));
    }
}
