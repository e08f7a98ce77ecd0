//! An account's record, version 1. Its id is the key.
//!
//! | field | form |
//! |---|---|
//! | version | byte, 1 |
//! | bits | byte: 0 disabled, 1 administrator of the system, 2 what it submits is filed in Sent, 3 shared |
//! | address | text: the primary address as it was given |
//! | created | varint, milliseconds since 1970 |
//! | reserved | two varints: they were the quota, which is in the account's head (`mailstore`) alone |

use super::{parse_address, version};
use envelope::Address;
use wire::codec::{DecodeError, Reader, Writer};

/// How much may be held; `None` for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// Bytes of all emails together.
    pub bytes: Option<u64>,
    /// Number of emails.
    pub messages: Option<u64>,
}

/// What is stored of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRecord {
    /// The primary address.
    pub address: Address,
    /// Neither logs in nor receives.
    pub disabled: bool,
    /// May administer the system.
    pub admin: bool,
    /// What it submits is filed in its Sent mailbox.
    pub saves_sent: bool,
    /// It is several people's, not one's: what they see of it is in the shared namespace.
    pub shared: bool,
    /// When it was added, in milliseconds since 1970.
    pub created_ms: u64,
    /// Not used: kept as it was read. The account's head has what it may hold.
    pub(crate) reserved: (u64, u64),
}

impl AccountRecord {
    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer
            .u8(1)
            .u8(u8::from(self.disabled)
                | u8::from(self.admin) << 1
                | u8::from(self.saves_sent) << 2
                | u8::from(self.shared) << 3)
            .text(&self.address.to_string())
            .varint(self.created_ms)
            .varint(self.reserved.0)
            .varint(self.reserved.1);
        writer.finish()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// Not an account record of a known version.
    pub fn decode(record: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(record);
        version(&mut reader, 1)?;
        let bits = reader.u8()?;
        if bits & !15 != 0 {
            return Err(DecodeError::Tag(bits));
        }
        let address = parse_address(&mut reader)?;
        let created_ms = reader.varint()?;
        let reserved = (reader.varint()?, reader.varint()?);
        reader.finish()?;
        Ok(Self {
            address,
            disabled: bits & 1 != 0,
            admin: bits & 2 != 0,
            saves_sent: bits & 4 != 0,
            shared: bits & 8 != 0,
            created_ms,
            reserved,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let record = AccountRecord {
            address: Address::parse("Bob@b.c").expect("valid"),
            disabled: false,
            admin: true,
            saves_sent: true,
            shared: false,
            created_ms: 5,
            reserved: (128, 0),
        };
        assert_eq!(record.encode(), b"\x01\x06\x07Bob@b.c\x05\x80\x01\x00");
        assert_eq!(AccountRecord::decode(&record.encode()), Ok(record.clone()));
        let shared = AccountRecord {
            admin: false,
            saves_sent: false,
            shared: true,
            ..record
        };
        assert_eq!(shared.encode(), b"\x01\x08\x07Bob@b.c\x05\x80\x01\x00");
        assert_eq!(AccountRecord::decode(&shared.encode()), Ok(shared));
    }
}
