//! The record of the keys, version 1.
//!
//! | key | value |
//! |---|---|
//! | `S` `y` | version byte 1; for each key, the present one first: made, milliseconds since 1970, 8 bytes; 32 random bytes |
//!
//! All fixed numbers are high byte first.

use engine::keys;
use return_path::Key;
use wire::codec::{DecodeError, Reader, Writer};
use zeroize::Zeroizing;

use crate::limits::KEYS_MAX;

const KEYS: u8 = b'y';
const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;

/// The key of the record.
pub const KEYS_PREFIX: [u8; 2] = [keys::Space::System as u8, KEYS];

/// A key and when it was made.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) at_ms: u64,
    pub(crate) key: Key,
}

pub(crate) fn encode(all: &[Made]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.u8(VERSION);
    for made in all {
        writer.u64_be(made.at_ms).raw(made.key.expose());
    }
    writer.finish()
}

pub(crate) fn decode(record: &[u8]) -> Result<Vec<Made>, DecodeError> {
    let mut reader = Reader::new(record);
    match reader.u8()? {
        VERSION => {}
        other => return Err(DecodeError::Version(other)),
    }
    let count = record.len() / (8 + KEY_BYTES);
    if count == 0 || count > KEYS_MAX {
        return Err(DecodeError::OutOfRange);
    }
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        let at_ms = reader.u64_be()?;
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        bytes.copy_from_slice(reader.raw(KEY_BYTES)?);
        let key = Key::new(*bytes);
        all.push(Made { at_ms, key });
    }
    reader.finish()?;
    Ok(all)
}

/// What is wrong with the record, if anything is.
#[must_use]
pub fn check_keys(key: &[u8], value: &[u8]) -> Option<String> {
    if key != KEYS_PREFIX {
        return Some("its key has more behind it".into());
    }
    decode(value).err().map(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let made = |at_ms, byte| Made {
            at_ms,
            key: Key::new([byte; KEY_BYTES]),
        };
        let record = encode(&[made(0x0102, 7), made(3, 8)]);
        let golden = [
            &b"\x01\0\0\0\0\0\0\x01\x02"[..],
            &[7; KEY_BYTES],
            b"\0\0\0\0\0\0\0\x03",
            &[8; KEY_BYTES],
        ]
        .concat();
        assert_eq!(record, golden);
        let back = decode(&golden).expect("whole");
        assert_eq!(encode(&back), golden);
        assert_eq!(check_keys(b"Sy", &golden), None);
        assert!(check_keys(b"Syx", &golden).is_some());
        for end in (0..golden.len()).filter(|end| *end != 41) {
            assert!(check_keys(b"Sy", &golden[..end]).is_some(), "{end}");
        }
        assert!(check_keys(b"Sy", &[&[2], &golden[1..]].concat()).is_some());
    }
}
