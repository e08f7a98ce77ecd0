//! Blobs over the engine: stage, link, read.
//!
//! Staging a blob that is there already adds the condition that its record
//! stays as it is. A new blob's record is written without a condition: if two
//! sessions write the same message at once, the later record names the later
//! bytes, and the earlier are collected. Nobody has to wait for anybody.

use crate::budget::{Budget, Share};
use crate::compress::Pool;
use crate::holds::Holds;
use crate::id::BlobId;
use crate::limits::{READ_AHEAD_BYTES_MAX, RECEIVE_BYTES_MAX};
use crate::link::{self, Owner};
use crate::reader::{BlobReader, read_chunk};
use crate::record::Record;
use crate::unlinked::{self, Candidate};
use crate::writer::{BlobWriter, Sink, StagedBlob};
use bytes::Bytes;
use engine::{Batch, Expect, Order, ReadError, ShardId, SharedEngine, SubmitError, Versioned};
use std::ops::Range;
use std::sync::Arc;
use thiserror::Error;
use wire::codec::DecodeError;

/// Why a blob could not be stored or read.
#[derive(Debug, Error)]
pub enum BlobError {
    /// There is no blob of this name in the shard.
    #[error("there is no such message body")]
    NoSuchBlob,
    /// The bytes are not what was stored.
    #[error("a message body is damaged: {0}")]
    Damaged(&'static str),
    /// The record does not decode.
    #[error("the record of a message body is damaged: {0}")]
    Record(#[from] DecodeError),
    /// The engine could not read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The engine did not take the bytes.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The message has more bytes than a blob may have.
    #[error("the message is larger than the store takes")]
    TooLarge,
}

/// The blobs of a store. There is one for an engine, and its clones: it knows
/// which bodies are on their way into a commit, and collection relies on that.
#[derive(Debug, Clone)]
pub struct Blobs {
    engine: SharedEngine,
    pool: Arc<Pool>,
    holds: Arc<Holds>,
    budget: Arc<Budget>,
    ahead: Arc<Budget>,
}

/// Room for bodies that are read before they are sent; given back when dropped.
#[derive(Debug)]
pub struct ReadAhead {
    _share: Share,
}

impl Blobs {
    /// Blobs over `engine`.
    #[must_use]
    pub fn new(engine: SharedEngine) -> Self {
        Self::with_memory(engine, RECEIVE_BYTES_MAX, READ_AHEAD_BYTES_MAX)
    }

    /// Blobs over `engine` whose receive buffers take up to `receiving` bytes
    /// together, and bodies that are read ahead up to `reading`.
    #[must_use]
    pub fn with_memory(engine: SharedEngine, receiving: usize, reading: usize) -> Self {
        Self {
            engine,
            pool: Arc::default(),
            holds: Arc::default(),
            budget: Budget::new(receiving),
            ahead: Budget::new(reading),
        }
    }

    /// Begins to receive a message whose bytes go to `shard`.
    #[must_use]
    pub fn writer(&self, shard: ShardId) -> BlobWriter {
        BlobWriter::new(Sink {
            engine: Arc::clone(&self.engine),
            pool: Arc::clone(&self.pool),
            holds: Arc::clone(&self.holds),
            budget: Arc::clone(&self.budget),
            shard,
            compresses: true,
        })
    }

    /// Adds to `batch` what makes the blob part of the store: its record, or
    /// the condition that the record which is there stays as it is. When
    /// `submit` answers [`SubmitError::Conflict`], wait for the winner and stage
    /// a new batch; bytes that are in the journal already are not written twice.
    ///
    /// # Errors
    /// The engine cannot read or takes no bytes.
    pub fn stage(&self, batch: &mut Batch, blob: &mut StagedBlob) -> Result<(), BlobError> {
        let shard = blob.shard();
        let key = link::record_key(shard, blob.id);
        if let Some(stored) = self.engine.snapshot(shard).get(&key)?
            && let Ok(record) = Record::decode(&stored.value)
            && !record.dying
        {
            batch.expect(key, Expect::Version(stored.version));
            return Ok(());
        }
        blob.put_pending()?;
        // Kept until the record is visible, or the batch is refused.
        let hold = blob.hold.clone();
        batch.on_visible(move |_| drop(hold));
        let record = Record {
            dying: false,
            size: blob.size,
            chunks: blob.chunks.clone(),
        };
        batch.put(key, record.encode());
        Ok(())
    }

    /// Adds a link. The blob must be staged in the same batch, or linked by an
    /// owner that the batch holds a condition on.
    pub fn link(&self, batch: &mut Batch, shard: ShardId, id: BlobId, owner: Owner) {
        batch.put(link::link_key(shard, id, owner), Bytes::new());
    }

    /// Removes a link, and leaves a note for collection: a blob without links
    /// goes later.
    pub fn unlink(&self, batch: &mut Batch, shard: ShardId, id: BlobId, owner: Owner) {
        batch.delete(link::link_key(shard, id, owner));
        batch.put(unlinked::key(shard, id), Candidate::New.encode());
    }

    /// Who uses a blob, up to `limit` of them.
    ///
    /// # Errors
    /// The engine cannot read.
    pub fn owners(
        &self,
        shard: ShardId,
        id: BlobId,
        limit: usize,
    ) -> Result<Vec<Owner>, BlobError> {
        let (start, end) = link::links(shard, id);
        let snapshot = self.engine.snapshot(shard);
        let pairs = snapshot.scan(&start, &end, Order::Ascending, limit)?;
        let owner = |(key, _): (Vec<u8>, _)| match link::parse(&key) {
            Some(link::Key::Link(_, owner)) => Some(owner),
            _ => None,
        };
        Ok(pairs.into_iter().filter_map(owner).collect())
    }

    /// True if `owner` uses the blob.
    ///
    /// # Errors
    /// The engine cannot read.
    pub fn is_linked(&self, shard: ShardId, id: BlobId, owner: Owner) -> Result<bool, BlobError> {
        let key = link::link_key(shard, id, owner);
        Ok(self.engine.snapshot(shard).get(&key)?.is_some())
    }

    /// Opens a blob for reading. May touch the disk.
    ///
    /// # Errors
    /// No such blob, or its record is damaged.
    pub fn open(&self, shard: ShardId, id: BlobId) -> Result<BlobReader, BlobError> {
        let (engine, pool) = (Arc::clone(&self.engine), Arc::clone(&self.pool));
        BlobReader::open(engine, pool, shard, id)
    }

    /// Opens a message that no commit names yet; keep it while it is read. What is still in memory
    /// is written first. May touch the disk.
    ///
    /// # Errors
    /// The engine takes no bytes.
    pub fn open_staged(&self, blob: &mut StagedBlob) -> Result<BlobReader, BlobError> {
        blob.settle()?;
        let record = Record {
            dying: false,
            size: blob.size,
            chunks: blob.chunks.clone(),
        };
        let (engine, pool) = (Arc::clone(&self.engine), Arc::clone(&self.pool));
        let named = (blob.shard(), blob.id);
        Ok(BlobReader::of_record(engine, pool, named, record))
    }

    /// The bytes of a range; what lies behind the end is left out. May touch
    /// the disk.
    ///
    /// # Errors
    /// As [`Blobs::open`], and damaged bytes.
    pub fn read(&self, shard: ShardId, id: BlobId, range: Range<u64>) -> Result<Bytes, BlobError> {
        self.open(shard, id)?.read(range)
    }

    /// The most memory that receive buffers took at a time.
    #[must_use]
    pub fn receive_bytes_peak(&self) -> usize {
        self.budget.peak()
    }

    /// Memory that receive buffers take now.
    #[must_use]
    pub fn receive_bytes(&self) -> u64 {
        self.budget.used() as u64
    }

    /// Room for `bytes` of bodies that are read before they are sent. None when
    /// the memory for that is spent: read them one by one, piece by piece.
    #[must_use]
    pub fn read_ahead(&self, bytes: u64) -> Option<ReadAhead> {
        let bytes = usize::try_from(bytes).ok()?;
        let share = self.ahead.share_of(bytes)?;
        Some(ReadAhead { _share: share })
    }

    /// Memory that is given out by [`Blobs::read_ahead`] now.
    #[must_use]
    pub fn read_ahead_bytes(&self) -> u64 {
        self.ahead.used() as u64
    }

    /// The most that was given out by [`Blobs::read_ahead`] at a time.
    #[must_use]
    pub fn read_ahead_bytes_peak(&self) -> usize {
        self.ahead.peak()
    }

    /// Segments of a shard before this one hold no body that a commit may name
    /// only later.
    pub(crate) fn first_held(&self, shard: ShardId) -> u32 {
        self.holds.oldest(shard).unwrap_or(u32::MAX)
    }

    /// Many short blobs at once: of each one that is a single chunk its bytes.
    /// The others, and what cannot be read, are left to [`Blobs::open`], which
    /// says why. May touch the disk.
    ///
    /// # Errors
    /// The engine cannot read.
    pub fn read_short(
        &self,
        shard: ShardId,
        ids: &[BlobId],
    ) -> Result<Vec<Option<Bytes>>, BlobError> {
        let keys: Vec<Vec<u8>> = ids.iter().map(|&id| link::record_key(shard, id)).collect();
        let stored = self.engine.snapshot(shard).get_many(&keys)?;
        let read = |stored: Option<Versioned>| {
            let record = Record::decode(&stored?.value).ok()?;
            match record.chunks.as_slice() {
                [chunk] => read_chunk(&self.engine, &self.pool, chunk).ok(),
                _ => None,
            }
        };
        Ok(stored.into_iter().map(read).collect())
    }

    pub(crate) fn engine(&self) -> &SharedEngine {
        &self.engine
    }
}
