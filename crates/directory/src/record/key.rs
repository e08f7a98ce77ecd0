//! The key that salts of logins which do not exist are made with, version 1.
//! There is one; it is drawn when it is first needed and stays.
//!
//! | field | form |
//! |---|---|
//! | version | byte, 1 |
//! | key | 32 bytes |

use super::version;
use std::fmt;
use wire::codec::{DecodeError, Reader, Writer};

/// The key. Who has it can tell which logins exist.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(pub [u8; 32]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(1).raw(&self.0);
        writer.finish()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// Not a key of a known version.
    pub fn decode(record: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(record);
        version(&mut reader, 1)?;
        let bytes = reader.raw(32)?;
        let key = bytes.try_into().map_err(|_| DecodeError::Truncated)?;
        reader.finish()?;
        Ok(Self(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let key = Key([7; 32]);
        let golden = [&[1][..], &[7; 32]].concat();
        assert_eq!(key.encode(), golden);
        assert_eq!(Key::decode(&golden), Ok(key.clone()));
        assert!(Key::decode(&golden[..32]).is_err());
        assert_eq!(Key::decode(&[2]), Err(DecodeError::Version(2)));
        assert_eq!(format!("{key:?}"), "Key(…)");
    }
}
