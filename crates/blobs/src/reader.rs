//! Reading a blob: by range or chunk by chunk.

use crate::compress::Pool;
use crate::record::{Chunk, Encoding, Record};
use crate::store::BlobError;
use bytes::{Bytes, BytesMut};
use engine::SharedEngine;
use std::ops::Range;
use std::sync::Arc;

/// A blob opened for reading. Every read may touch the disk.
#[derive(Debug)]
pub struct BlobReader {
    pub(crate) engine: SharedEngine,
    pub(crate) pool: Arc<Pool>,
    pub(crate) record: Record,
    pub(crate) next: usize,
}

impl BlobReader {
    /// Bytes of the message.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.record.size
    }

    /// The next chunk (up to 256 KiB), `None` at the end.
    ///
    /// # Errors
    /// Unreadable or damaged bytes.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>, BlobError> {
        let Some(chunk) = self.record.chunks.get(self.next) else {
            return Ok(None);
        };
        let bytes = self.chunk(chunk)?;
        self.next += 1;
        Ok(Some(bytes))
    }

    /// The bytes of a range; what lies behind the end is left out.
    ///
    /// # Errors
    /// Unreadable or damaged bytes.
    pub fn read(&self, range: Range<u64>) -> Result<Bytes, BlobError> {
        let end = range.end.min(self.record.size);
        if range.start >= end {
            return Ok(Bytes::new());
        }
        let mut out = BytesMut::new();
        let mut begin = 0;
        for chunk in &self.record.chunks {
            let chunk_end = begin + u64::from(chunk.len);
            if begin < end && range.start < chunk_end {
                let bytes = self.chunk(chunk)?;
                let from = range.start.saturating_sub(begin) as usize;
                let to = (end.min(chunk_end) - begin) as usize;
                let part = bytes.slice(from..to);
                if part.len() as u64 == end - range.start {
                    return Ok(part);
                }
                out.extend_from_slice(&part);
            }
            begin = chunk_end;
        }
        Ok(out.freeze())
    }

    fn chunk(&self, chunk: &Chunk) -> Result<Bytes, BlobError> {
        let stored = self.engine.read_body(&chunk.extent)?;
        let plain = match chunk.encoding {
            Encoding::Plain => stored,
            Encoding::Zstd => self
                .pool
                .decompress(&stored, chunk.len as usize)
                .map(Bytes::from)
                .ok_or(BlobError::Damaged("a chunk does not decompress"))?,
        };
        if plain.len() != chunk.len as usize {
            return Err(BlobError::Damaged(
                "a chunk has another length than its record says",
            ));
        }
        Ok(plain)
    }
}
