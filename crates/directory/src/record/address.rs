//! What an address leads to, version 1. The folded address is the key.
//!
//! | field | form |
//! |---|---|
//! | version | byte, 1 |
//! | kind | byte: 1 account, 2 alias |
//! | account | varint, of kind 1 |
//! | targets | varint count, then address texts, of kind 2 |

use super::{parse_address, version};
use crate::limits::ALIAS_TARGETS_MAX;
use envelope::{AccountId, Address};
use wire::codec::{DecodeError, Reader, Writer};

/// What an address leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressRecord {
    /// The account whose primary address it is.
    Account(AccountId),
    /// Other addresses, here or elsewhere.
    Alias(Vec<Address>),
}

impl AddressRecord {
    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        match self {
            Self::Account(id) => {
                writer.u8(1).u8(1).varint(id.0);
            }
            Self::Alias(targets) => {
                writer.u8(1).u8(2).varint(targets.len() as u64);
                for target in targets {
                    writer.text(&target.to_string());
                }
            }
        }
        writer.finish()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// Not an address record of a known version.
    pub fn decode(record: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(record);
        version(&mut reader, 1)?;
        let decoded = match reader.u8()? {
            1 => Self::Account(AccountId(reader.varint()?)),
            2 => {
                let count = reader.varint()?;
                if count > ALIAS_TARGETS_MAX as u64 {
                    return Err(DecodeError::OutOfRange);
                }
                let targets = (0..count).map(|_| parse_address(&mut reader));
                Self::Alias(targets.collect::<Result<_, _>>()?)
            }
            other => return Err(DecodeError::Tag(other)),
        };
        reader.finish()?;
        Ok(decoded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let account = AddressRecord::Account(AccountId(7));
        assert_eq!(account.encode(), [1, 1, 7]);
        assert_eq!(AddressRecord::decode(&[1, 1, 7]), Ok(account));
        let targets = ["a@b.c", "d@e.f"].map(|text| Address::parse(text).expect("valid"));
        let alias = AddressRecord::Alias(targets.to_vec());
        assert_eq!(alias.encode(), b"\x01\x02\x02\x05a@b.c\x05d@e.f");
        assert_eq!(AddressRecord::decode(&alias.encode()), Ok(alias));
        assert_eq!(AddressRecord::decode(&[1, 3]), Err(DecodeError::Tag(3)));
    }
}
