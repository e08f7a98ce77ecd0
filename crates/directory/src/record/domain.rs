//! A domain's record, version 3; version 1, which knows no retention, and
//! version 2, which knows no quota, are read too. Its name is the key.
//!
//! | field | form |
//! |---|---|
//! | version | byte, 3 |
//! | bits | byte: 0 administrator present, 1 catch-all present, 2 retention present (not in version 1), 3 quota present (not in version 2) |
//! | created | varint, milliseconds since 1970 |
//! | administrator | address text, if present |
//! | catch-all | address text, if present |
//! | retention | varint, days, if present |
//! | quota | varint bytes, varint messages, of all its accounts together, 0 for no limit; if present |

use super::account::Quota;
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
    /// How much its accounts may hold together.
    pub quota: Quota,
}

const VERSION: u8 = 3;
const VERSION_2: u8 = 2;
const VERSION_1: u8 = 1;

impl DomainRecord {
    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let bits = u8::from(self.administrator.is_some())
            | u8::from(self.catch_all.is_some()) << 1
            | u8::from(self.retention_days.is_some()) << 2
            | u8::from(self.quota != Quota::default()) << 3;
        writer.u8(VERSION).u8(bits).varint(self.created_ms);
        for address in [&self.administrator, &self.catch_all].into_iter().flatten() {
            writer.text(&address.to_string());
        }
        if let Some(days) = self.retention_days {
            writer.varint(u64::from(days));
        }
        if self.quota != Quota::default() {
            writer
                .varint(self.quota.bytes.unwrap_or(0))
                .varint(self.quota.messages.unwrap_or(0));
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
            VERSION_2 => 7,
            VERSION => 15,
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
        let mut quota = Quota::default();
        if bits & 8 != 0 {
            quota.bytes = Some(reader.varint()?).filter(|&limit| limit != 0);
            quota.messages = Some(reader.varint()?).filter(|&limit| limit != 0);
        }
        reader.finish()?;
        Ok(Self {
            created_ms,
            administrator,
            catch_all,
            retention_days: retention,
            quota,
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
            quota: Quota {
                bytes: Some(128),
                messages: None,
            },
        };
        let golden = b"\x03\x0e\x01\x05a@b.c\xac\x02\x80\x01\x00";
        assert_eq!(record.encode(), golden);
        assert_eq!(DomainRecord::decode(golden), Ok(record.clone()));
        let record = DomainRecord {
            quota: Quota::default(),
            ..record
        };
        assert_eq!(record.encode(), b"\x03\x06\x01\x05a@b.c\xac\x02");
        let of_version_2 = DomainRecord::decode(b"\x02\x06\x01\x05a@b.c\xac\x02");
        assert_eq!(of_version_2, Ok(record.clone()));
        let of_version_1 = DomainRecord {
            retention_days: None,
            ..record
        };
        let read = DomainRecord::decode(b"\x01\x02\x01\x05a@b.c");
        assert_eq!(read, Ok(of_version_1));
        assert_eq!(DomainRecord::decode(&[1, 4, 0]), Err(DecodeError::Tag(4)));
        assert_eq!(DomainRecord::decode(&[2, 8, 0]), Err(DecodeError::Tag(8)));
        assert_eq!(DomainRecord::decode(&[3, 16, 0]), Err(DecodeError::Tag(16)));
        assert_eq!(DomainRecord::decode(&[4]), Err(DecodeError::Version(4)));
    }
}
