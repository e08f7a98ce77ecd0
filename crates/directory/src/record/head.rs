//! The directory's head, version 1.
//!
//! | field | form |
//! |---|---|
//! | version | byte, 1 |
//! | next account | varint, at least 1: the id that the next account gets |
//! | administrator | varint: account that answers for the whole system, 0 for none |
//!
//! It changes with every account that is added, so a condition on its version
//! also says "no account was added since".

use super::version;
use envelope::AccountId;
use wire::codec::{DecodeError, Reader, Writer};

/// The one record of the directory itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The id that the next account gets.
    pub next_account: AccountId,
    /// Who gets the bare `postmaster` and the role addresses of domains without
    /// an administrator of their own.
    pub administrator: Option<AccountId>,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            next_account: AccountId(1),
            administrator: None,
        }
    }
}

impl Head {
    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer
            .u8(1)
            .varint(self.next_account.0)
            .varint(self.administrator.map_or(0, |id| id.0));
        writer.finish()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// Not a head of a known version.
    pub fn decode(record: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(record);
        version(&mut reader, 1)?;
        let next_account = AccountId(reader.varint()?);
        let administrator = Some(AccountId(reader.varint()?)).filter(|id| id.0 != 0);
        reader.finish()?;
        if next_account.0 == 0 {
            return Err(DecodeError::OutOfRange);
        }
        Ok(Self {
            next_account,
            administrator,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let head = Head {
            next_account: AccountId(300),
            administrator: Some(AccountId(1)),
        };
        assert_eq!(head.encode(), [1, 0xac, 0x02, 1]);
        assert_eq!(Head::decode(&head.encode()), Ok(head));
        assert_eq!(Head::decode(&[1, 0, 0]), Err(DecodeError::OutOfRange));
        assert_eq!(Head::decode(&[2]), Err(DecodeError::Version(2)));
    }
}
