//! The engine's port: what every backend promises.
//!
//! - Keys are ordered bytes that begin with a [`keys::Space`]; see [`crate::keys`].
//! - [`Engine::submit`] checks a batch's conditions against everything
//!   submitted before, numbers the commit and lets later submits see it. It
//!   never waits for the disk to sync.
//! - A [`Ticket`] is done when the commit is on stable storage **and** visible
//!   to new snapshots. Dropping a ticket cancels nothing.
//! - `on_visible` callbacks of a batch run in commit order, after the commit is
//!   durable and visible and before its ticket is done. They must be short and
//!   must not call the engine.
//! - A failed write or sync stops the process: nothing submitted is undone.
//! - A batch belongs to one shard; the engine refuses others.

use crate::body::Extent;
use crate::collect::{CollectError, SealedSegment, Step, Walk};
use crate::keys;
use crate::limits::{BATCH_BYTES_MAX, KEY_BYTES_MAX, VISIT_PAIRS};
use crate::stats::Stats;
use bytes::Bytes;
use std::collections::HashSet;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use thiserror::Error;

/// A commit's place in history; never reused. Also the version of each value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CommitNo(pub u64);

/// One independent part of the key space with its own order of commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

/// What must be true of a key for a batch to be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// The key has no value.
    Absent,
    /// The key's value was written by this commit.
    Version(CommitNo),
}

/// A value with the number of the commit that wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// Compared for equality only, outside the engine.
    pub version: CommitNo,
    /// The record.
    pub value: Bytes,
}

pub(crate) type VisibleFn = Box<dyn FnOnce(CommitNo) + Send>;

/// Conditions and writes that are applied all or not at all.
#[derive(Default)]
pub struct Batch {
    pub(crate) conditions: Vec<(Vec<u8>, Expect)>,
    pub(crate) writes: Vec<(Vec<u8>, Option<Bytes>)>,
    pub(crate) on_visible: Vec<VisibleFn>,
    pub(crate) can_wait: bool,
    /// What the writes take: callers ask after every one of thousands.
    bytes: usize,
}

/// What a write takes beside its key and value.
const WRITE_BYTES: usize = 8;

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The batch is refused unless `key` is as expected.
    pub fn expect(&mut self, key: Vec<u8>, expect: Expect) {
        self.conditions.push((key, expect));
    }

    /// Sets `key` to `value`.
    pub fn put(&mut self, key: Vec<u8>, value: impl Into<Bytes>) {
        self.write(key, Some(value.into()));
    }

    /// Removes `key`.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.write(key, None);
    }

    fn write(&mut self, key: Vec<u8>, value: Option<Bytes>) {
        self.bytes += size_of_write(&key, value.as_ref());
        self.writes.push((key, value));
    }

    /// Runs `f` once the commit is durable and visible, in commit order.
    pub fn on_visible(&mut self, f: impl FnOnce(CommitNo) + Send + 'static) {
        self.on_visible.push(Box::new(f));
    }

    /// Nobody waits for this batch: it shares the sync of the next one that
    /// somebody waits for, or has its own after
    /// [`crate::limits::CAN_WAIT`].
    pub fn can_wait(&mut self) {
        self.can_wait = true;
    }

    /// True when the batch writes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Bytes of keys and values and a little for each; at most
    /// [`crate::limits::BATCH_BYTES_MAX`] may be submitted.
    #[must_use]
    pub const fn size_bytes(&self) -> usize {
        // A `const fn` cannot walk the writes.
        self.bytes
    }

    /// What every backend checks before anything else; the batch's shard.
    /// Of several writes to one key the last remains.
    pub(crate) fn check(&mut self, shards: u16) -> Result<ShardId, SubmitError> {
        let size = self.size_bytes();
        if size > BATCH_BYTES_MAX {
            return Err(SubmitError::TooLarge { size });
        }
        let mut shard = None;
        let conditions = self.conditions.iter().map(|(key, _)| key);
        for key in conditions.chain(self.writes.iter().map(|(key, _)| key)) {
            let of_key = keys::shard_of(key, shards)
                .filter(|_| key.len() <= KEY_BYTES_MAX)
                .ok_or_else(|| SubmitError::BadKey { key: key.clone() })?;
            if *shard.get_or_insert(of_key) != of_key {
                return Err(SubmitError::CrossShard);
            }
        }
        self.keep_last_writes();
        Ok(shard.unwrap_or(ShardId(0)))
    }

    fn keep_last_writes(&mut self) {
        let mut seen = HashSet::with_capacity(self.writes.len());
        let mut last: Vec<bool> = (self.writes.iter().rev())
            .map(|(key, _)| seen.insert(key))
            .collect();
        drop(seen);
        last.reverse();
        let mut marks = last.into_iter();
        let bytes = &mut self.bytes;
        self.writes.retain(|(key, value)| {
            let stays = marks.next().unwrap_or(true);
            if !stays {
                *bytes -= size_of_write(key, value.as_ref());
            }
            stays
        });
    }
}

fn size_of_write(key: &[u8], value: Option<&Bytes>) -> usize {
    WRITE_BYTES + key.len() + value.map_or(0, Bytes::len)
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("conditions", &self.conditions.len())
            .field("writes", &self.writes.len())
            .finish_non_exhaustive()
    }
}

/// Why a batch was not taken. Nothing of it was applied.
#[derive(Debug, Error)]
pub enum SubmitError {
    /// A condition does not hold: wait for the winner, load again, stage again.
    #[error("another commit changed {key:?} first")]
    Conflict {
        /// The key whose condition failed.
        key: Vec<u8>,
        /// The commit that changed it, or a later one.
        winner: Winner,
    },
    /// The batch names keys of more than one shard.
    #[error("the batch touches more than one shard")]
    CrossShard,
    /// The batch is larger than a commit may be.
    #[error("the batch has {size} bytes, more than a commit may have")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// The disk has no room: refuse the work with a temporary error.
    #[error("no space is left for the store")]
    Full,
    /// A key begins with no known space or is too long.
    #[error("the key {key:?} belongs to no space or is too long")]
    BadKey {
        /// The key.
        key: Vec<u8>,
    },
    /// A condition could not be looked at.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// The engine is shutting down.
    #[error("the store is closing")]
    Closed,
}

/// What won against a refused batch. Conditions are checked against what was
/// submitted, snapshots show what is durable: whoever stages again without
/// waiting for the winner meets it again.
#[derive(Debug, Clone)]
pub struct Winner(pub(crate) Option<crate::ticket::Waiter>);

impl Winner {
    /// Returns when a new snapshot shows what won.
    pub async fn visible(&self) {
        if let Some(waiter) = &self.0 {
            waiter.wait().await;
        }
    }

    /// As [`Winner::visible`], for threads that run no tasks.
    pub fn visible_blocking(&self) {
        if let Some(waiter) = &self.0 {
            waiter.wait_blocking();
        }
    }
}

/// A read failed.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The bytes are not what was written.
    #[error("stored bytes are damaged: {0}")]
    Damaged(String),
    /// The operating system refused.
    #[error("the store could not be read: {0}")]
    Io(#[from] std::io::Error),
    /// A body that is not there (any more).
    #[error("the store holds no such body")]
    NoSuchBody,
}

/// Says when a submitted commit is durable and visible.
#[derive(Debug)]
pub struct Ticket {
    pub(crate) commit: CommitNo,
    pub(crate) done: crate::ticket::Waiter,
}

impl Ticket {
    /// The commit's number.
    #[must_use]
    pub fn commit(&self) -> CommitNo {
        self.commit
    }

    /// Returns when the commit is on stable storage and visible.
    ///
    /// # Cancel safety
    /// Dropping the future cancels nothing: the commit goes on.
    pub async fn done(self) -> CommitNo {
        self.done.wait().await;
        self.commit
    }

    /// As [`Ticket::done`], for threads that run no tasks (tools, tests).
    pub fn done_blocking(self) -> CommitNo {
        self.done.wait_blocking();
        self.commit
    }

    /// True once the commit is durable and visible.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done.is_done()
    }
}

/// A store of ordered keys and of message bodies.
///
/// Reads may touch the disk: call them on `runtime`'s blocking pool unless the
/// caller knows that the answer is in memory.
pub trait Engine: Send + Sync + fmt::Debug + 'static {
    /// How many shards there are, at least one.
    fn shards(&self) -> u16;

    /// The shard that an account's keys live in (the account's number, as in
    /// `envelope::AccountId`).
    fn shard_of_account(&self, account: u64) -> ShardId;

    /// Appends one frame of a body (at most [`crate::limits::BODY_FRAME_BYTES_MAX`]
    /// stored bytes) to the shard's journal. It becomes durable no later than
    /// any batch submitted afterwards; by itself only when there are many of
    /// them, since a short body has its commit right behind it. Never waits for a sync; waits (blocking)
    /// only when the receive buffers are full.
    ///
    /// # Errors
    /// [`SubmitError::Full`], [`SubmitError::Closed`], [`SubmitError::TooLarge`].
    fn put_body(&self, shard: ShardId, frame: &[u8]) -> Result<Extent, SubmitError>;

    /// Reads a whole body frame and checks its checksum. Works for frames that
    /// are not durable yet.
    ///
    /// # Errors
    /// Damaged, missing or unreadable bytes.
    fn read_body(&self, extent: &Extent) -> Result<Bytes, ReadError>;

    /// Checks and numbers a batch; see the module's text.
    ///
    /// # Errors
    /// See [`SubmitError`].
    fn submit(&self, batch: Batch) -> Result<Ticket, SubmitError>;

    /// What is durable and visible now, of one shard. Hold it for seconds at most.
    fn snapshot(&self, shard: ShardId) -> Box<dyn Snapshot>;

    /// True when there is room for `bytes` more and the reserve; asked at the
    /// door (MAIL FROM, APPEND) so that a full disk is refused early.
    fn has_room_for(&self, bytes: u64) -> bool;

    /// What the engine did since it was opened.
    fn stats(&self) -> Stats;

    /// The segment that the next body of a shard goes into, unless it goes into
    /// a later one. Only sealed segments are collected, and this one is not.
    fn body_segment(&self, _shard: ShardId) -> u32 {
        0
    }

    /// The segments of a shard that take no more frames. A backend that gives
    /// space back by itself has none.
    fn sealed_segments(&self, _shard: ShardId) -> Vec<SealedSegment> {
        Vec::new()
    }

    /// Goes a step of a walk: a few megabytes are read, and what is alive of
    /// them is counted or copied. See [`crate::collect`] for what the caller
    /// promises. May wait (blocking) for the disk; done again after an error it
    /// goes on where it was.
    ///
    /// # Errors
    /// See [`CollectError`]; the segment stays as it is.
    fn collect_step(&self, _walk: &mut Walk) -> Result<Step, CollectError> {
        Err(CollectError::NotNow)
    }

    /// True while writers fill the disk: work that can wait should wait.
    fn is_busy(&self) -> bool {
        false
    }
}

/// What [`Snapshot::visit`] calls.
pub type Visitor<'a> = &'a mut dyn FnMut(&[u8], Versioned) -> ControlFlow<()>;

/// A view of one shard at one moment.
pub trait Snapshot: Send + Sync {
    /// The value of a key.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError>;

    /// The values of many keys, in their order.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Versioned>>, ReadError> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    /// Up to `limit` pairs with `start <= key < end`, in order of keys (or
    /// from the end backwards).
    ///
    /// # Errors
    /// See [`ReadError`].
    fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        order: Order,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Versioned)>, ReadError>;

    /// Calls `f` with each pair with `start <= key < end`, in order of keys,
    /// until it breaks off. Nothing is copied on the way.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn visit(&self, start: &[u8], end: &[u8], f: Visitor<'_>) -> Result<(), ReadError> {
        let mut start = start.to_vec();
        loop {
            let pairs = self.scan(&start, end, Order::Ascending, VISIT_PAIRS)?;
            let finished = pairs.len() < VISIT_PAIRS;
            if let Some((last, _)) = pairs.last() {
                start.clone_from(last);
                start.push(0);
            }
            for (key, value) in pairs {
                if f(&key, value).is_break() {
                    return Ok(());
                }
            }
            if finished {
                return Ok(());
            }
        }
    }
}

/// Direction of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Smallest key first.
    Ascending,
    /// Largest key first.
    Descending,
}

/// How crates hold the engine.
pub type SharedEngine = Arc<dyn Engine>;
