//! How an account proves who it is, version 1. The account is the key.
//!
//! | field | form |
//! |---|---|
//! | version | byte, 1 |
//! | set | varint, milliseconds since 1970: when the password was set |
//! | scheme | byte: 1 argon2id version 0x13 (RFC 9106) |
//! | memory, passes, lanes | varints: KiB, count, count |
//! | salt, hash | bytes each |
//! | verifiers | varint count, then each: |
//! | … hash | byte: 1 SHA-1, 2 SHA-256, 3 SHA-512 |
//! | … iterations | varint |
//! | … salt, stored key, server key | bytes each |

use super::version;
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

/// What is stored of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// When it was set, in milliseconds since 1970.
    pub set_ms: u64,
    /// Its argon2id hash.
    pub password: PasswordHash,
    /// Its SCRAM verifiers; none when they are turned off.
    pub scram: Vec<Verifier>,
}

impl Credentials {
    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let PasswordHash { cost, salt, hash } = &self.password;
        writer
            .u8(1)
            .varint(self.set_ms)
            .u8(1)
            .varint(u64::from(cost.memory_kib))
            .varint(u64::from(cost.passes))
            .varint(u64::from(cost.lanes))
            .bytes(salt)
            .bytes(hash)
            .varint(self.scram.len() as u64);
        for verifier in &self.scram {
            writer
                .u8(hash_tag(verifier.hash))
                .varint(u64::from(verifier.iterations))
                .bytes(&verifier.salt)
                .bytes(&verifier.stored_key)
                .bytes(&verifier.server_key);
        }
        writer.finish()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// Not a credentials record of a known version.
    pub fn decode(record: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(record);
        version(&mut reader, 1)?;
        let set_ms = reader.varint()?;
        match reader.u8()? {
            1 => {}
            other => return Err(DecodeError::Tag(other)),
        }
        let cost = Cost {
            memory_kib: reader.varint32()?,
            passes: reader.varint32()?,
            lanes: reader.varint32()?,
        };
        let salt = reader.bytes()?.to_vec();
        let hash = reader.bytes()?.to_vec();
        let count = reader.varint()?;
        if count > Hash::ALL.len() as u64 {
            return Err(DecodeError::OutOfRange);
        }
        let verifiers = (0..count).map(|_| decode_verifier(&mut reader));
        let scram = verifiers.collect::<Result<_, _>>()?;
        reader.finish()?;
        Ok(Self {
            set_ms,
            password: PasswordHash { cost, salt, hash },
            scram,
        })
    }
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
            password: PasswordHash {
                cost: Cost::default(),
                salt: b"salt".to_vec(),
                hash: b"hash".to_vec(),
            },
            scram: vec![Verifier {
                hash: Hash::Sha256,
                iterations: 4096,
                salt: b"s".to_vec(),
                stored_key: b"k1".to_vec(),
                server_key: b"k2".to_vec(),
            }],
        };
        let golden =
            b"\x01\x09\x01\x80\x98\x01\x02\x01\x04salt\x04hash\x01\x02\x80\x20\x01s\x02k1\x02k2";
        assert_eq!(credentials.encode(), golden);
        assert_eq!(Credentials::decode(golden), Ok(credentials));
        for cut in 0..golden.len() {
            assert!(Credentials::decode(&golden[..cut]).is_err());
        }
    }
}
