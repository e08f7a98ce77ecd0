//! Taking a message in: hashed, cut into chunks, compressed.
//!
//! A message of up to one chunk stays in memory, so that it goes into the
//! journal with the commit that names it, or not at all. A longer one goes out
//! chunk by chunk; if it is never finished its chunks are named by nobody and
//! are collected. The buffers of all messages share one [`crate::budget`]; when
//! that is spent, chunks are smaller.

use crate::budget::{Budget, Share};
use crate::compress::Pool;
use crate::holds::{Hold, Holds};
use crate::id::BlobId;
use crate::limits::CHUNKS_MAX;
use crate::record::{Chunk, Encoding};
use crate::store::BlobError;
use bytes::Bytes;
use engine::{ShardId, SharedEngine, SubmitError};
use std::sync::Arc;

/// Receives one message.
#[derive(Debug)]
pub struct BlobWriter {
    sink: Sink,
    hasher: Box<blake3::Hasher>,
    buffer: Vec<u8>,
    share: Share,
    size: u64,
    chunks: Vec<Chunk>,
    hold: Option<Arc<Hold>>,
}

/// Where chunks go.
#[derive(Debug, Clone)]
pub(crate) struct Sink {
    pub(crate) engine: SharedEngine,
    pub(crate) pool: Arc<Pool>,
    pub(crate) holds: Arc<Holds>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) shard: ShardId,
    /// Chunks are compressed where it pays.
    pub(crate) compresses: bool,
}

impl Sink {
    /// Puts a chunk; the first one takes the hold.
    pub(crate) fn put(
        &self,
        plain: &[u8],
        hold: &mut Option<Arc<Hold>>,
    ) -> Result<Chunk, SubmitError> {
        if hold.is_none() {
            *hold = Some(self.holds.take(&*self.engine, self.shard));
        }
        let put = |encoding, stored: &[u8]| (encoding, self.engine.put_body(self.shard, stored));
        let (encoding, extent) = if self.compresses {
            self.pool.compress(plain, put)
        } else {
            put(Encoding::Plain, plain)
        };
        let extent = extent?;
        Ok(Chunk {
            encoding,
            len: plain.len() as u32,
            extent,
        })
    }
}

impl BlobWriter {
    pub(crate) fn new(sink: Sink) -> Self {
        Self {
            share: sink.budget.share(),
            sink,
            hasher: Box::default(),
            buffer: Vec::new(),
            size: 0,
            chunks: Vec::new(),
            hold: None,
        }
    }

    /// The message only passes through: to compress it costs more than the bytes it takes up
    /// until it has left.
    #[must_use]
    pub fn in_passing(mut self) -> Self {
        self.sink.compresses = false;
        self
    }

    /// Takes the next bytes. May wait (blocking) for the journal when more
    /// than a chunk has come; a message of up to a chunk does so only when the
    /// memory for all messages is spent.
    ///
    /// # Errors
    /// The journal refuses the chunk, or the message has more bytes than a
    /// blob may have.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), BlobError> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.buffer.len() == self.share.bytes() {
                if self.share.grow() {
                    let more = self.share.bytes() - self.buffer.len();
                    self.buffer.reserve_exact(more);
                } else {
                    self.put_chunk()?;
                }
            }
            let take = bytes.len().min(self.share.bytes() - self.buffer.len());
            self.buffer.extend_from_slice(&bytes[..take]);
            bytes = &bytes[take..];
        }
        Ok(())
    }

    /// Bytes taken so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    fn put_chunk(&mut self) -> Result<(), BlobError> {
        if self.chunks.len() + 1 >= CHUNKS_MAX {
            return Err(BlobError::TooLarge);
        }
        let chunk = self.sink.put(&self.buffer, &mut self.hold)?;
        self.chunks.push(chunk);
        self.buffer.clear();
        Ok(())
    }

    /// Ends the message.
    ///
    /// # Errors
    /// As [`BlobWriter::push`].
    pub fn finish(mut self) -> Result<StagedBlob, BlobError> {
        let mut pending = None;
        if self.chunks.is_empty() {
            pending = Some(Pending {
                bytes: Bytes::from(std::mem::take(&mut self.buffer)),
                _share: Arc::new(self.share),
            });
        } else if !self.buffer.is_empty() {
            self.put_chunk()?;
        }
        Ok(StagedBlob {
            id: BlobId(*self.hasher.finalize().as_bytes()),
            size: self.size,
            pending,
            chunks: self.chunks,
            hold: self.hold,
            sink: self.sink,
        })
    }
}

/// A message that is in memory as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    bytes: Bytes,
    _share: Arc<Share>,
}

/// A received message that no commit names yet.
#[derive(Debug, Clone)]
pub struct StagedBlob {
    /// Its name.
    pub id: BlobId,
    /// Bytes of the message.
    pub size: u64,
    pub(crate) pending: Option<Pending>,
    pub(crate) chunks: Vec<Chunk>,
    /// Taken with the first chunk that is put.
    pub(crate) hold: Option<Arc<Hold>>,
    pub(crate) sink: Sink,
}

impl StagedBlob {
    /// The shard whose journal gets or has the bytes.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        self.sink.shard
    }

    /// The whole message, if it is in memory (up to 256 KiB, while there is room).
    #[must_use]
    pub fn bytes(&self) -> Option<&Bytes> {
        self.pending.as_ref().map(|pending| &pending.bytes)
    }

    /// Puts what is still in memory into the journal, so that it takes no memory while somebody
    /// keeps it. The bytes are held there until it is dropped.
    ///
    /// # Errors
    /// The journal refuses them.
    pub fn settle(&mut self) -> Result<(), BlobError> {
        self.put_pending()?;
        self.pending = None;
        Ok(())
    }

    /// Puts what is still in memory into the journal; does nothing the second time.
    pub(crate) fn put_pending(&mut self) -> Result<(), SubmitError> {
        if self.chunks.is_empty()
            && let Some(pending) = &self.pending
            && !pending.bytes.is_empty()
        {
            let chunk = self.sink.put(&pending.bytes, &mut self.hold)?;
            self.chunks.push(chunk);
        }
        Ok(())
    }
}
