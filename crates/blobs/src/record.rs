//! What is kept about a blob.
//!
//! | field | form |
//! |---|---|
//! | version | 1 byte, 1 |
//! | flags | 1 byte; bit 0: dying, will be deleted unless it is used again |
//! | size | varint: bytes of the message |
//! | chunks | varint: how many follow |
//! | each: encoding | 1 byte: 0 as it is, 1 zstd |
//! | each: length | varint: bytes before compression |
//! | each: extent | [`Extent::ENCODED_BYTES`] bytes |

use crate::limits::{CHUNK_BYTES, CHUNKS_MAX};
use engine::Extent;
use wire::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;
const DYING: u8 = 1;

/// How a chunk's stored bytes are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Encoding {
    /// As they are.
    Plain = 0,
    /// One zstd frame.
    Zstd = 1,
}

/// A piece of a blob: one frame of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// How its stored bytes are to be read.
    pub encoding: Encoding,
    /// Bytes before compression.
    pub len: u32,
    /// Where it lies.
    pub extent: Extent,
}

/// A blob's record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// It will be deleted unless it is used again; never link it as it is.
    pub dying: bool,
    /// Bytes of the message.
    pub size: u64,
    /// Its pieces in order.
    pub chunks: Vec<Chunk>,
}

impl Record {
    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(VERSION)
            .u8(if self.dying { DYING } else { 0 })
            .varint(self.size)
            .varint(self.chunks.len() as u64);
        for chunk in &self.chunks {
            out.u8(chunk.encoding as u8)
                .varint(u64::from(chunk.len))
                .raw(&chunk.extent.encode());
        }
        out.finish()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// What does not decode, and chunks that don't add up to the size.
    pub fn decode(stored: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(stored);
        match reader.u8()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let dying = match reader.u8()? {
            0 => false,
            DYING => true,
            other => return Err(DecodeError::Tag(other)),
        };
        let size = reader.varint()?;
        let count = usize::try_from(reader.varint()?).map_err(|_| DecodeError::OutOfRange)?;
        if count > CHUNKS_MAX {
            return Err(DecodeError::OutOfRange);
        }
        let mut chunks = Vec::with_capacity(count);
        for _ in 0..count {
            chunks.push(decode_chunk(&mut reader)?);
        }
        reader.finish()?;
        let total: u64 = chunks.iter().map(|chunk| u64::from(chunk.len)).sum();
        if total != size {
            return Err(DecodeError::OutOfRange);
        }
        Ok(Self {
            dying,
            size,
            chunks,
        })
    }
}

fn decode_chunk(reader: &mut Reader<'_>) -> Result<Chunk, DecodeError> {
    let encoding = match reader.u8()? {
        0 => Encoding::Plain,
        1 => Encoding::Zstd,
        other => return Err(DecodeError::Tag(other)),
    };
    let len = reader.varint32()?;
    if len as usize > CHUNK_BYTES {
        return Err(DecodeError::OutOfRange);
    }
    let extent = Extent::decode(reader)?;
    Ok(Chunk {
        encoding,
        len,
        extent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn extent() -> (Vec<u8>, Extent) {
        let bytes: Vec<u8> = (10..10 + Extent::ENCODED_BYTES as u8).collect();
        let extent = Extent::decode(&mut Reader::new(&bytes)).expect("extent");
        (bytes, extent)
    }

    #[test]
    fn golden_bytes() {
        let (bytes, extent) = extent();
        let record = Record {
            dying: true,
            size: 301,
            chunks: vec![
                Chunk {
                    encoding: Encoding::Zstd,
                    len: 300,
                    extent,
                },
                Chunk {
                    encoding: Encoding::Plain,
                    len: 1,
                    extent,
                },
            ],
        };
        let golden = [
            &[1, 1, 0xad, 0x02, 2, 1, 0xac, 0x02][..],
            &bytes,
            &[0, 1],
            &bytes,
        ]
        .concat();
        assert_eq!(record.encode(), golden);
        assert_eq!(Record::decode(&golden), Ok(record));
        for end in 0..golden.len() {
            assert!(Record::decode(&golden[..end]).is_err());
        }
    }

    #[test]
    fn an_unknown_version_is_named() {
        assert_eq!(Record::decode(&[9, 0, 0, 0]), Err(DecodeError::Version(9)));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = Record::decode(&bytes);
        }
    }
}
