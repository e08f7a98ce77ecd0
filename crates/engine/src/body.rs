//! Where a body frame lies: opaque to everyone but the backend that wrote it.
//!
//! | bytes | field |
//! |--:|---|
//! | 2 | shard |
//! | 8 | place: segment × 2^32 + embedded: offset of the frame, memory: a number |
//! | 4 | stored length |
//! | 4 | CRC-32 of the stored bytes |
//!
//! Numbers have their high byte first. The checksum is part of the name, so
//! that an extent never reads other bytes than those it was given for.

use crate::contract::ShardId;
use wire::codec::{DecodeError, Reader};

/// Names one body frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extent {
    pub(crate) shard: ShardId,
    pub(crate) place: u64,
    pub(crate) len: u32,
    pub(crate) crc: u32,
}

impl Extent {
    /// Bytes of an encoded extent.
    pub const ENCODED_BYTES: usize = 18;

    /// How many bytes the frame stores.
    #[must_use]
    pub fn stored_len(&self) -> u32 {
        self.len
    }

    /// The shard whose journal holds the frame.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// The segment that holds the frame.
    #[must_use]
    pub fn segment(&self) -> u32 {
        (self.place >> 32) as u32
    }

    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::ENCODED_BYTES] {
        let mut out = [0; Self::ENCODED_BYTES];
        out[..2].copy_from_slice(&self.shard.0.to_be_bytes());
        out[2..10].copy_from_slice(&self.place.to_be_bytes());
        out[10..14].copy_from_slice(&self.len.to_be_bytes());
        out[14..].copy_from_slice(&self.crc.to_be_bytes());
        out
    }

    /// Takes an extent from a record.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let shard = ShardId(u16::from_be_bytes(array(reader)?));
        let place = u64::from_be_bytes(array(reader)?);
        let len = u32::from_be_bytes(array(reader)?);
        let crc = u32::from_be_bytes(array(reader)?);
        Ok(Self {
            shard,
            place,
            len,
            crc,
        })
    }
}

fn array<const N: usize>(reader: &mut Reader<'_>) -> Result<[u8; N], DecodeError> {
    reader
        .raw(N)?
        .try_into()
        .map_err(|_| DecodeError::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let extent = Extent {
            shard: ShardId(0x0102),
            place: 0x0304_0506_0708_090a,
            len: 0x0b0c_0d0e,
            crc: 0x0f10_1112,
        };
        let bytes: Vec<u8> = (1..=18).collect();
        assert_eq!(extent.encode().as_slice(), bytes);
        assert_eq!(Extent::decode(&mut Reader::new(&bytes)), Ok(extent));
        assert_eq!(
            Extent::decode(&mut Reader::new(&bytes[..17])),
            Err(DecodeError::Truncated)
        );
    }
}
