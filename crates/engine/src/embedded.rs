//! The backend for one machine: the journal is the store, the index its shadow.
//!
//! A frame (a body, a commit) goes into the open group in memory and has its
//! place in the journal at once; `threads` writes the group with one synced
//! write as soon as the one before is stable, then applies its commits to the
//! `index`, runs callbacks and fires the group's ticket. After a crash the
//! journal is read from the commit that the index names (`open`).
//!
//! | file | |
//! |---|---|
//! | `store.lock` | taken while the store is open; names the process |
//! | `journal/NNNNNNNNNN.seg` | segments: `format` |
//! | `index/` | the index; may be deleted while no process runs |
//! | `index.damaged` | damage was met: the next start makes the index again |
//! | `index.set-aside/` | an index that was of no use |
//!
//! Collection frees segments: `collect`.

mod buffer;
mod census;
mod collect;
pub(crate) mod commit;
mod core;
pub mod disk;
mod format;
mod freed;
mod fsck;
mod group;
mod index;
mod lock;
mod open;
mod options;
mod repair;
mod scan;
mod segment;
mod shelf;
mod threads;

#[cfg(test)]
pub(crate) mod tests;

pub use fsck::Progress;
pub use open::OpenError;
pub use options::{OnFatal, Options};
pub use repair::RepairError;

use self::core::Core;
use crate::body::Extent;
use crate::collect::{CollectError, SealedSegment, Step, Walk};
use crate::contract::{Batch, Engine, ReadError, ShardId, Snapshot, SubmitError, Ticket};
use crate::findings::Finding;
use crate::limits::{BUSY_BYTES, FSCK_BYTES_MAX};
use crate::stats::Stats;
use bytes::Bytes;
use parking_lot::Mutex;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use threads::{Applier, Supplier, Writer};

/// What moves a store forward.
struct Workers {
    writer: Writer,
    applier: Applier,
    supplier: Supplier,
}

/// A store in a folder.
pub struct EmbeddedEngine {
    core: Arc<Core>,
    reserve_bytes: u64,
    findings: Vec<Finding>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    lock: Mutex<Option<lock::Lock>>,
}

impl std::fmt::Debug for EmbeddedEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EmbeddedEngine")
    }
}

impl EmbeddedEngine {
    /// Opens the store in `folder`, which is made when it is not there.
    ///
    /// # Errors
    /// Another process has it open, or the disk refuses.
    pub fn open(folder: &Path, options: &Options) -> Result<Self, OpenError> {
        let (engine, workers) = Self::assemble(folder, options)?;
        let Workers {
            writer,
            applier,
            supplier,
        } = workers;
        engine.start("store-write", move || writer.run())?;
        engine.start("store-apply", move || applier.run())?;
        engine.start("store-supply", move || supplier.run())?;
        Ok(engine)
    }

    /// Opens the store; nothing moves until somebody runs the workers.
    fn assemble(folder: &Path, options: &Options) -> Result<(Self, Workers), OpenError> {
        let open::Opened {
            core,
            maker,
            findings,
            lock,
        } = open::open(folder, options)?;
        let core = Arc::new(core);
        let (sender, receiver) = sync_channel(threads::DURABLE_GROUPS_MAX);
        let workers = Workers {
            writer: Writer {
                core: Arc::clone(&core),
                durable: sender,
            },
            applier: Applier {
                core: Arc::clone(&core),
                durable: receiver,
            },
            supplier: Supplier {
                core: Arc::clone(&core),
                maker,
            },
        };
        let engine = Self {
            core,
            reserve_bytes: options.reserve_bytes,
            findings,
            threads: Mutex::default(),
            lock: Mutex::new(Some(lock)),
        };
        Ok((engine, workers))
    }

    fn start(&self, name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let thread = thread::Builder::new().name(name.into()).spawn(run)?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// What was wrong with the store when it was opened.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Compares the index with the journal; the store may be in use meanwhile.
    /// Reads the whole journal.
    ///
    /// # Errors
    /// The journal cannot be read at all.
    pub fn fsck(&self) -> io::Result<Vec<Finding>> {
        self.fsck_with(FSCK_BYTES_MAX, &|_, _| {})
    }

    /// As [`EmbeddedEngine::fsck`], with a bound for the memory of keys; says
    /// how far it is.
    ///
    /// # Errors
    /// The journal cannot be read at all.
    pub fn fsck_with(&self, bytes_max: usize, progress: Progress<'_>) -> io::Result<Vec<Finding>> {
        let _kept = self.keep_segments();
        fsck::fsck(&self.core, bytes_max, progress)
    }

    /// Keeps every segment where it is for as long as the guard lives, for
    /// whoever reads the journal's files. Collection copies meanwhile, and
    /// frees afterwards.
    #[must_use]
    pub fn keep_segments(&self) -> Kept {
        *self.core.kept.lock() += 1;
        Kept {
            core: Arc::clone(&self.core),
        }
    }

    /// Writes what was submitted, makes the index durable and ends the
    /// threads. Later calls are refused; a second `close` does nothing.
    pub fn close(&self) {
        self.end(false);
    }

    fn end(&self, abandon: bool) {
        {
            let mut state = self.core.state.lock();
            state.closing = true;
            state.failed |= abandon;
        }
        self.core.work.notify_all();
        self.core.room.notify_all();
        self.core.supply.notify_all();
        let mut threads = self.threads.lock();
        if self.lock.lock().is_none() {
            return;
        }
        for thread in threads.drain(..) {
            // A callback may hold the last handle: a thread cannot wait for itself.
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
        if !self.core.state.lock().failed
            && let Err(error) = self.core.index.flush()
        {
            tracing::warn!("the index is not up to date on disk, the next start replays: {error}");
        }
        self.core.index.close();
        self.lock.lock().take();
    }

    /// Ends as a killed process does: nothing more is written.
    #[cfg(test)]
    pub(crate) fn abandon(&self) {
        self.end(true);
    }
}

/// See [`EmbeddedEngine::keep_segments`].
pub struct Kept {
    core: Arc<Core>,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept")
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        *self.core.kept.lock() -= 1;
    }
}

impl Drop for EmbeddedEngine {
    fn drop(&mut self) {
        self.close();
    }
}

/// Checks a store that no process has open: brings its index forward, then
/// compares it with the journal.
///
/// # Errors
/// The store is in use or cannot be opened or read.
pub fn fsck(folder: &Path, options: &Options) -> Result<Vec<Finding>, OpenError> {
    let engine = EmbeddedEngine::open(folder, options)?;
    let mut findings = engine.findings().to_vec();
    for finding in engine.fsck()? {
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
    Ok(findings)
}

/// Throws the index of a store away that no process has open; the next start
/// makes it again from the journal.
///
/// # Errors
/// The store is in use, or the disk refuses.
pub fn drop_index(folder: &Path) -> Result<(), OpenError> {
    let _lock = lock::Lock::take(&folder.join("store.lock")).map_err(|error| match error {
        lock::LockError::Held(pid) => OpenError::InUse { pid },
        lock::LockError::Io(error) => OpenError::Io(error),
    })?;
    Ok(open::set_index_aside(folder)?)
}

impl Engine for EmbeddedEngine {
    fn shards(&self) -> u16 {
        1
    }

    fn shard_of_account(&self, _account: u64) -> ShardId {
        ShardId(0)
    }

    fn put_body(&self, shard: ShardId, frame: &[u8]) -> Result<Extent, SubmitError> {
        if shard != ShardId(0) {
            return Err(SubmitError::CrossShard);
        }
        self.core.put_body(frame)
    }

    fn read_body(&self, extent: &Extent) -> Result<Bytes, ReadError> {
        self.core.read_body(extent)
    }

    fn submit(&self, mut batch: Batch) -> Result<Ticket, SubmitError> {
        batch.check(1)?;
        self.core.submit(batch)
    }

    fn snapshot(&self, _shard: ShardId) -> Box<dyn Snapshot> {
        self.core.index.snapshot().0
    }

    fn has_room_for(&self, bytes: u64) -> bool {
        let free = self.core.free_bytes.load(Ordering::Acquire);
        !self.core.disk_full.load(Ordering::Acquire)
            && free >= bytes.saturating_add(self.reserve_bytes)
    }

    fn stats(&self) -> Stats {
        let (index_block_bytes, index_memtable_bytes) = self.core.index.memory();
        Stats {
            pending_bytes: self.core.state.lock().pending_bytes as u64,
            index_block_bytes,
            index_memtable_bytes,
            ..self.core.counters.read()
        }
    }

    fn body_segment(&self, _shard: ShardId) -> u32 {
        self.core.state.lock().open.image.segment.number()
    }

    fn sealed_segments(&self, _shard: ShardId) -> Vec<SealedSegment> {
        self.core.sealed_segments()
    }

    fn collect_step(&self, walk: &mut Walk) -> Result<Step, CollectError> {
        let _one = self.core.collecting.lock();
        self.core.collect_step(walk)
    }

    fn is_busy(&self) -> bool {
        self.core.state.lock().pending_bytes > BUSY_BYTES
    }
}
