//! A domain's record, version 1. Its name is the key.
//!
//! | field | form |
//! |---|---|
//! | version | byte, 1 |
//! | bits | byte: 0 administrator present, 1 catch-all present |
//! | created | varint, milliseconds since 1970 |
//! | administrator | address text, if present |
//! | catch-all | address text, if present |

use super::{parse_address, version};
use envelope::Address;
use wire::codec::{DecodeError, Reader, Writer};

/// What is stored of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainRecord {
    /// When it was added, in milliseconds since 1970.
    pub created_ms: u64,
    /// Who gets `postmaster@` and `abuse@` when no such address exists.
    pub administrator: Option<Address>,
    /// Who gets what is addressed to nobody.
    pub catch_all: Option<Address>,
}

impl DomainRecord {
    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let bits = u8::from(self.administrator.is_some()) | u8::from(self.catch_all.is_some()) << 1;
        writer.u8(1).u8(bits).varint(self.created_ms);
        for address in [&self.administrator, &self.catch_all].into_iter().flatten() {
            writer.text(&address.to_string());
        }
        writer.finish()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// Not a domain record of a known version.
    pub fn decode(record: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(record);
        version(&mut reader, 1)?;
        let bits = reader.u8()?;
        if bits & !3 != 0 {
            return Err(DecodeError::Tag(bits));
        }
        let created_ms = reader.varint()?;
        let mut optional = |present: bool| -> Result<Option<Address>, DecodeError> {
            present.then(|| parse_address(&mut reader)).transpose()
        };
        let administrator = optional(bits & 1 != 0)?;
        let catch_all = optional(bits & 2 != 0)?;
        reader.finish()?;
        Ok(Self {
            created_ms,
            administrator,
            catch_all,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let record = DomainRecord {
            created_ms: 1,
            administrator: None,
            catch_all: Some(Address::parse("a@b.c").expect("valid")),
        };
        assert_eq!(record.encode(), b"\x01\x02\x01\x05a@b.c");
        assert_eq!(DomainRecord::decode(&record.encode()), Ok(record));
        assert_eq!(DomainRecord::decode(&[1, 4, 0]), Err(DecodeError::Tag(4)));
    }
}
