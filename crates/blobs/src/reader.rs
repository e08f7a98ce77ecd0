//! Reading a blob: by range or chunk by chunk.
//!
//! Collection may move a blob's bytes while somebody reads it. Then the place
//! that the reader knows is gone, and it looks at the record again: the bytes
//! are the same, wherever they lie.

use crate::compress::Pool;
use crate::id::BlobId;
use crate::limits::RELOADS_MAX;
use crate::link;
use crate::record::{Chunk, Encoding, Record};
use crate::store::BlobError;
use bytes::{Bytes, BytesMut};
use engine::{CommitNo, ShardId, SharedEngine};
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::Arc;

/// A blob opened for reading. Every read may touch the disk.
#[derive(Debug)]
pub struct BlobReader {
    engine: SharedEngine,
    pool: Arc<Pool>,
    shard: ShardId,
    id: BlobId,
    /// As it was when it was last looked at.
    record: Mutex<Arc<Loaded>>,
    at: u64,
}

#[derive(Debug)]
struct Loaded {
    version: CommitNo,
    record: Record,
}

impl BlobReader {
    pub(crate) fn open(
        engine: SharedEngine,
        pool: Arc<Pool>,
        shard: ShardId,
        id: BlobId,
    ) -> Result<Self, BlobError> {
        let loaded = load(&engine, shard, id)?;
        Ok(Self {
            engine,
            pool,
            shard,
            id,
            record: Mutex::new(Arc::new(loaded)),
            at: 0,
        })
    }

    /// Reads what no commit names yet, from where its record would say.
    pub(crate) fn of_record(
        engine: SharedEngine,
        pool: Arc<Pool>,
        (shard, id): (ShardId, BlobId),
        record: Record,
    ) -> Self {
        let version = CommitNo(0);
        Self {
            engine,
            pool,
            shard,
            id,
            record: Mutex::new(Arc::new(Loaded { version, record })),
            at: 0,
        }
    }

    /// Bytes of the message.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.record.lock().record.size
    }

    /// The next chunk (up to 256 KiB), `None` at the end.
    ///
    /// # Errors
    /// Unreadable or damaged bytes.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>, BlobError> {
        let at = self.at;
        let chunk = self.with_record(|record| {
            let mut begin = 0;
            for chunk in &record.chunks {
                let end = begin + u64::from(chunk.len);
                if at < end {
                    let bytes = self.chunk(chunk)?;
                    return Ok(Some(bytes.slice((at - begin) as usize..)));
                }
                begin = end;
            }
            Ok(None)
        })?;
        self.at += chunk.as_ref().map_or(0, Bytes::len) as u64;
        Ok(chunk)
    }

    /// The bytes of a range; what lies behind the end is left out. Only the
    /// chunks that it touches are opened.
    ///
    /// # Errors
    /// Unreadable or damaged bytes.
    pub fn read(&self, range: Range<u64>) -> Result<Bytes, BlobError> {
        self.with_record(|record| self.read_range(record, range.clone()))
    }

    fn read_range(&self, record: &Record, range: Range<u64>) -> Result<Bytes, BlobError> {
        let end = range.end.min(record.size);
        if range.start >= end {
            return Ok(Bytes::new());
        }
        let mut out = BytesMut::new();
        let mut begin = 0;
        for chunk in &record.chunks {
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

    /// Reads; what cannot be read is looked for in a newer record, if there is
    /// one.
    fn with_record<T>(
        &self,
        read: impl Fn(&Record) -> Result<T, BlobError>,
    ) -> Result<T, BlobError> {
        let mut reloads = 0;
        loop {
            let loaded = Arc::clone(&self.record.lock());
            let error = match read(&loaded.record) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let newer = load(&self.engine, self.shard, self.id)?;
            reloads += 1;
            if newer.version == loaded.version || reloads > RELOADS_MAX {
                return Err(error);
            }
            *self.record.lock() = Arc::new(newer);
        }
    }

    fn chunk(&self, chunk: &Chunk) -> Result<Bytes, BlobError> {
        read_chunk(&self.engine, &self.pool, chunk)
    }
}

/// A chunk's bytes as they came, checked.
pub(crate) fn read_chunk(
    engine: &SharedEngine,
    pool: &Pool,
    chunk: &Chunk,
) -> Result<Bytes, BlobError> {
    let stored = engine.read_body(&chunk.extent)?;
    let plain = match chunk.encoding {
        Encoding::Plain => stored,
        Encoding::Zstd => pool
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

fn load(engine: &SharedEngine, shard: ShardId, id: BlobId) -> Result<Loaded, BlobError> {
    let key = link::record_key(shard, id);
    let stored = engine.snapshot(shard).get(&key)?;
    let stored = stored.ok_or(BlobError::NoSuchBlob)?;
    Ok(Loaded {
        version: stored.version,
        record: Record::decode(&stored.value)?,
    })
}
