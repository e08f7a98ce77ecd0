//! A domain's record, version 2; version 1, which knows no retention, is read
//! too. Its name is the key.
//!
//! | field | form |
//! |---|---|
//! | version | byte, 2 |
//! | bits | byte: 0 administrator present, 1 catch-all present, 2 retention present (not in version 1) |
//! | created | varint, milliseconds since 1970 |
//! | administrator | address text, if present |
//! | catch-all | address text, if present |
//! | retention | varint, days, if present |

use super::parse_address;
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
    /// For how many days deleted mail can be brought back; none for the
    /// system's own default.
    pub retention_days: Option<u32>,
}

const VERSION: u8 = 2;
const VERSION_1: u8 = 1;

impl DomainRecord {
    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let bits = u8::from(self.administrator.is_some())
            | u8::from(self.catch_all.is_some()) << 1
            | u8::from(self.retention_days.is_some()) << 2;
        writer.u8(VERSION).u8(bits).varint(self.created_ms);
        for address in [&self.administrator, &self.catch_all].into_iter().flatten() {
            writer.text(&address.to_string());
        }
        if let Some(days) = self.retention_days {
            writer.varint(u64::from(days));
        }
        writer.finish()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// Not a domain record of a known version.
    pub fn decode(record: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(record);
        let known = match reader.u8()? {
            VERSION_1 => 3,
            VERSION => 7,
            other => return Err(DecodeError::Version(other)),
        };
        let bits = reader.u8()?;
        if bits & !known != 0 {
            return Err(DecodeError::Tag(bits));
        }
        let created_ms = reader.varint()?;
        let mut optional = |present: bool| -> Result<Option<Address>, DecodeError> {
            present.then(|| parse_address(&mut reader)).transpose()
        };
        let administrator = optional(bits & 1 != 0)?;
        let catch_all = optional(bits & 2 != 0)?;
        let retention = (bits & 4 != 0).then(|| reader.varint32()).transpose()?;
        reader.finish()?;
        Ok(Self {
            created_ms,
            administrator,
            catch_all,
            retention_days: retention,
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
            retention_days: Some(300),
        };
        assert_eq!(record.encode(), b"\x02\x06\x01\x05a@b.c\xac\x02");
        assert_eq!(DomainRecord::decode(&record.encode()), Ok(record.clone()));
        let of_version_1 = DomainRecord {
            retention_days: None,
            ..record
        };
        let read = DomainRecord::decode(b"\x01\x02\x01\x05a@b.c");
        assert_eq!(read, Ok(of_version_1));
        assert_eq!(DomainRecord::decode(&[1, 4, 0]), Err(DecodeError::Tag(4)));
        assert_eq!(DomainRecord::decode(&[2, 8, 0]), Err(DecodeError::Tag(8)));
        assert_eq!(DomainRecord::decode(&[3]), Err(DecodeError::Version(3)));
    }
}
