//! The index on disk: `lsm-tree`, used without a journal of its own.
//!
//! - One counter numbers batches and the library's own versions of its table
//!   list, as the library is meant to be used. What a new snapshot sees is
//!   decided here, not by the library: `visible` moves only when no batch is
//!   half applied.
//! - Versions of values are dropped only below the oldest open snapshot.
//! - One thread writes full memtables to tables, one merges tables. When they
//!   fall behind, groups are slowed little by little.
//! - The library may panic on damaged files. Every call is contained; damage
//!   leaves a mark beside the index, and the next start makes it again.

use crate::contract::{CommitNo, Order, ReadError, Snapshot, Versioned, Visitor};
use crate::embedded::commit::Commit;
use crate::embedded::index::{
    APPLIED_KEY, Applied, FIRST_KEY, Index, decode_value, encode_value, table_list,
};
use crate::stats::{Counters, add, set};
use bytes::Bytes;
use lsm_tree::compaction::Leveled;
use lsm_tree::config::{CompressionPolicy, PartitioningPolicy};
use lsm_tree::{
    AbstractTree, AnyTree, Cache, CompressionType, Config, Guard, Memtable, SequenceNumberCounter,
};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Tables of the first level that start a merge.
const FIRST_LEVEL_TABLES: usize = 16;
/// From here on groups are slowed.
const SLOW_FROM_TABLES: usize = FIRST_LEVEL_TABLES + 4;
/// Each table more costs a group this much.
const SLOW_STEP: Duration = Duration::from_millis(2);
const SLOW_MAX: Duration = Duration::from_millis(100);
/// By level, the last for all that follow: a table's own index is cut into parts as it is written. Whole, it waits for
/// the table's end with a key of each block, and each such key is a part of the block that it was read from: a merge held
/// all that it read. Tables of the first level come from memory.
const PARTITIONED: [bool; 2] = [false, true];
/// Bytes of a table after a merge.
const TABLE_BYTES: u64 = 16 << 20;
/// Full memtables that wait for their table before groups wait.
const SEALED_MAX: usize = 2;
/// How much the threads that write and merge tables stand back, in steps of
/// `nice`. When they fall behind, groups are slowed, and then there is room.
const TABLES_NICE: i32 = 5;
/// After a failed flush or merge (a full disk) it is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How the tree is set up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TreeOptions {
    pub(crate) memtable_bytes: u64,
    pub(crate) unflushed_commits: u64,
    pub(crate) cache_bytes: u64,
}

pub(crate) struct TreeIndex {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    tree: AnyTree,
    cache: Arc<Cache>,
    counter: SequenceNumberCounter,
    options: TreeOptions,
    counters: Arc<Counters>,
    /// Held while a batch is applied: `visible` does not move meanwhile.
    applying: Mutex<Unflushed>,
    /// The last commit that is in tables.
    durable: AtomicU64,
    views: Mutex<Views>,
    work: Mutex<Work>,
    wake: Condvar,
    damage_mark: PathBuf,
}

/// What only the memtable holds.
#[derive(Debug, Default)]
struct Unflushed {
    commits: u64,
}

/// What snapshots see, and which are open.
#[derive(Debug, Default)]
struct Views {
    visible: u64,
    applied: Applied,
    open: BTreeMap<u64, usize>,
}

#[derive(Default)]
struct Work {
    flush: bool,
    /// The last commit in the memtables that wait for their tables.
    sealed_to: u64,
    /// Full memtables that are still in memory: the library keeps one for some
    /// time after it became a table. Here they are let go of last, for that is
    /// the work of 50 ms, entry by entry, and the library would do it while it
    /// holds up everybody who reads or writes.
    sealed: Vec<Arc<Memtable>>,
    merge: bool,
    failed: bool,
    closing: bool,
}

impl Work {
    /// Bytes of the full memtables. The library's own sum counts some of them
    /// several times.
    fn sealed_bytes(&self) -> u64 {
        self.sealed.iter().map(|memtable| memtable.size()).sum()
    }

    /// The full memtables that nobody else holds any more.
    fn let_go(&mut self) -> Vec<Arc<Memtable>> {
        let alone = |memtable: &mut Arc<Memtable>| Arc::strong_count(memtable) == 1;
        self.sealed.extract_if(.., alone).collect()
    }
}

impl fmt::Debug for TreeIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TreeIndex")
    }
}

/// Runs what may panic on damaged files.
fn contained<T>(f: impl FnOnce() -> lsm_tree::Result<T>) -> Result<T, ReadError> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(lsm_tree::Error::Io(error))) => Err(ReadError::Io(error)),
        Ok(Err(error)) => Err(ReadError::Damaged(format!("index: {error:?}"))),
        Err(_) => Err(ReadError::Damaged(
            "index: the library gave up on its files".into(),
        )),
    }
}

/// The file that says that the index beside it must be made again.
pub(crate) fn damage_mark(folder: &Path) -> PathBuf {
    folder.with_extension("damaged")
}

impl TreeIndex {
    /// Opens the tree in `folder`, or makes a new one.
    pub(crate) fn open(
        folder: &Path,
        options: TreeOptions,
        counters: Arc<Counters>,
    ) -> Result<Self, ReadError> {
        table_list::check(folder)?;
        let counter = SequenceNumberCounter::new(1);
        let cache = Arc::new(Cache::with_capacity_bytes(options.cache_bytes));
        let tree = contained(|| {
            // The library moves this one; nobody looks at it.
            let ignored = SequenceNumberCounter::default();
            Config::new(folder, counter.clone(), ignored)
                .use_cache(Arc::clone(&cache))
                // A record is written again with each merge; the cache holds
                // blocks as they are read.
                .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
                .index_block_partitioning_policy(PartitioningPolicy::new(PARTITIONED))
                .open()
        })?;
        let persisted = contained(|| Ok(tree.get_highest_persisted_seqno()))?;
        counter.fetch_max(persisted.unwrap_or(0) + 1);
        let shared = Arc::new(Shared {
            tree,
            cache,
            options,
            counters,
            applying: Mutex::default(),
            durable: AtomicU64::new(0),
            views: Mutex::new(Views {
                visible: counter.get(),
                ..Views::default()
            }),
            counter,
            work: Mutex::default(),
            wake: Condvar::new(),
            damage_mark: damage_mark(folder),
        });
        let index = Self {
            shared,
            threads: Mutex::default(),
        };
        index.load_applied()?;
        index.start("store-flush", Shared::flush_loop)?;
        index.start("store-merge", Shared::merge_loop)?;
        Ok(index)
    }

    fn view(&self) -> (View, CommitNo) {
        let mut views = self.shared.views.lock();
        let visible = views.visible;
        *views.open.entry(visible).or_default() += 1;
        let view = View {
            shared: Arc::clone(&self.shared),
            visible,
        };
        (view, CommitNo(views.applied.commit))
    }

    fn load_applied(&self) -> Result<(), ReadError> {
        if let Some(applied) = self.applied()? {
            // Nothing else holds anything yet: it was read from tables.
            self.shared.durable.store(applied.commit, Ordering::Release);
            self.shared.views.lock().applied = applied;
        }
        Ok(())
    }

    fn start(&self, name: &str, run: fn(&Shared)) -> Result<(), ReadError> {
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new()
            .name(name.into())
            .spawn(move || run(&shared))?;
        self.threads.lock().push(thread);
        Ok(())
    }
}

impl Index for TreeIndex {
    fn applied(&self) -> Result<Option<Applied>, ReadError> {
        let visible = self.shared.views.lock().visible;
        let stored = self.shared.read(|tree| tree.get(APPLIED_KEY, visible))?;
        stored
            .map(|stored| {
                Applied::decode(&stored)
                    .ok_or_else(|| ReadError::Damaged("index: no last commit".into()))
            })
            .transpose()
    }

    fn apply(&self, commits: &[Commit], applied: Applied) -> Result<(), ReadError> {
        let shared = &*self.shared;
        let mut unflushed = shared.applying.lock();
        unflushed.commits += commits.len() as u64;
        let size = contained(|| {
            for commit in commits {
                let seqno = shared.counter.next();
                for (key, value) in &commit.writes {
                    match value {
                        Some(value) => {
                            let value = encode_value(commit.number, value);
                            shared.tree.insert(key.as_slice(), value, seqno);
                        }
                        None => {
                            shared.tree.remove(key.as_slice(), seqno);
                        }
                    }
                }
            }
            let seqno = shared.counter.next();
            let (_, size) = shared.tree.insert(APPLIED_KEY, applied.encode(), seqno);
            Ok(size)
        })?;
        {
            let mut views = shared.views.lock();
            views.visible = shared.counter.get();
            views.applied = applied;
        }
        let full = size >= shared.options.memtable_bytes
            || unflushed.commits >= shared.options.unflushed_commits;
        if full {
            shared.rotate(&mut unflushed)?;
        }
        Ok(())
    }

    fn snapshot(&self) -> (Box<dyn Snapshot>, CommitNo) {
        let (view, commit) = self.view();
        (Box::new(view), commit)
    }

    fn flush(&self) -> Result<(), ReadError> {
        let applied = {
            let mut unflushed = self.shared.applying.lock();
            self.shared.rotate(&mut unflushed)?;
            self.shared.views.lock().applied.commit
        };
        let mut work = self.shared.work.lock();
        while contained(|| Ok(self.shared.tree.sealed_memtable_count()))? > 0 {
            if work.failed || work.closing {
                return Err(ReadError::Io(std::io::Error::other(
                    "the index cannot be written",
                )));
            }
            self.shared.wake.wait(&mut work);
        }
        drop(work);
        self.shared.durable.fetch_max(applied, Ordering::AcqRel);
        Ok(())
    }

    fn begin_flush(&self) -> Result<(), ReadError> {
        self.shared.rotate(&mut self.shared.applying.lock())
    }

    fn durable(&self) -> u64 {
        self.shared.durable.load(Ordering::Acquire)
    }

    fn pairs(&self, start: &[u8], end: &[u8]) -> Result<Vec<(Vec<u8>, Versioned)>, ReadError> {
        let (view, _) = self.view();
        view.shared
            .scan(start, end, view.visible, Order::Ascending, usize::MAX)
    }

    fn pace(&self) -> bool {
        let shared = &*self.shared;
        let mut work = shared.work.lock();
        let too_much = |work: &Work| {
            let sealed = contained(|| Ok(shared.tree.sealed_memtable_count())).unwrap_or(0);
            let bound = (SEALED_MAX as u64 + 2) * shared.options.memtable_bytes;
            sealed > SEALED_MAX || (sealed > 0 && work.sealed_bytes() > bound)
        };
        let mut waited = false;
        // Memory is what is promised here, so it is waited as long as it takes.
        // When tables can't be written, the journal is what refuses.
        while too_much(&work) && !work.closing && !(waited && work.failed) {
            shared.wake.wait_for(&mut work, SLOW_MAX);
            waited = true;
        }
        let over = shared.first_level().saturating_sub(SLOW_FROM_TABLES) as u32;
        let wait = (SLOW_STEP * over).min(SLOW_MAX);
        // A merge that ends may cut the wait short.
        if !waited && !wait.is_zero() && !work.closing {
            shared.wake.wait_for(&mut work, wait);
            waited = true;
        }
        waited
    }

    fn memory(&self) -> (u64, u64) {
        let shared = &*self.shared;
        // Pinned blocks of the first level are in memory beside the cache.
        let pinned = contained(|| {
            Ok(shared.tree.pinned_filter_size() + shared.tree.pinned_block_index_size())
        });
        let active = contained(|| Ok(shared.tree.active_memtable().size()));
        let memtables = active.unwrap_or(0) + shared.work.lock().sealed_bytes();
        let blocks = shared.cache.size() + pinned.unwrap_or(0) as u64;
        (blocks, memtables)
    }

    fn close(&self) {
        self.shared.work.lock().closing = true;
        self.shared.wake.notify_all();
        for thread in self.threads.lock().drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for TreeIndex {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    /// Reads; damage that is met leaves the mark for the next start.
    fn read<T>(&self, f: impl FnOnce(&AnyTree) -> lsm_tree::Result<T>) -> Result<T, ReadError> {
        let result = contained(|| f(&self.tree));
        if let Err(ReadError::Damaged(why)) = &result {
            self.mark_damaged(why);
        }
        result
    }

    fn mark_damaged(&self, why: &str) {
        if !self.damage_mark.exists() {
            tracing::error!("the index is damaged ({why}); the next start makes it again");
            let _ = File::create(&self.damage_mark);
        }
    }

    fn first_level(&self) -> usize {
        let tables = contained(|| Ok(self.tree.l0_run_count())).unwrap_or(0);
        set(&self.counters.index_first_level, tables as u64);
        tables
    }

    /// Hands the memtable to the flush thread.
    fn rotate(&self, unflushed: &mut Unflushed) -> Result<(), ReadError> {
        if let Some(full) = contained(|| Ok(self.tree.rotate_memtable()))? {
            unflushed.commits = 0;
            let applied = self.views.lock().applied.commit;
            let mut work = self.work.lock();
            work.flush = true;
            work.sealed_to = applied;
            work.sealed.push(full);
            drop(work);
            self.wake.notify_all();
        }
        Ok(())
    }

    /// Versions of values below this are seen by nobody once there is a newer one.
    fn watermark(&self) -> u64 {
        let views = self.views.lock();
        let oldest = views.open.first_key_value().map(|(&seqno, _)| seqno);
        oldest.unwrap_or(views.visible)
    }

    /// Lets new snapshots use the table list that was just written.
    fn refresh(&self) {
        let _applying = self.applying.lock();
        self.views.lock().visible = self.counter.get();
    }

    fn flush_loop(&self) {
        self.work_loop(
            |work| std::mem::take(&mut work.flush),
            |work| work.flush = true,
            || {
                let watermark = self.watermark();
                let sealed_to = self.work.lock().sealed_to;
                contained(|| {
                    let lock = self.tree.get_flush_lock();
                    self.tree.flush(&lock, watermark)
                })?;
                self.durable.fetch_max(sealed_to, Ordering::AcqRel);
                add(&self.counters.flushes, 1);
                self.refresh();
                if self.first_level() >= FIRST_LEVEL_TABLES {
                    self.work.lock().merge = true;
                    self.wake.notify_all();
                }
                Ok(())
            },
        );
    }

    fn merge_loop(&self) {
        self.work_loop(
            |work| std::mem::take(&mut work.merge),
            |work| work.merge = true,
            || {
                loop {
                    let before = self.shape();
                    let strategy = Leveled::default()
                        .with_l0_threshold(FIRST_LEVEL_TABLES as u8)
                        .with_table_target_size(TABLE_BYTES);
                    let watermark = self.watermark();
                    contained(|| self.tree.compact(Arc::new(strategy), watermark))?;
                    if self.shape() == before || self.work.lock().closing {
                        self.first_level();
                        return Ok(());
                    }
                    add(&self.counters.compactions, 1);
                    self.refresh();
                }
            },
        );
    }

    /// The library's `compact` reports nothing: so its traces are compared.
    fn shape(&self) -> (u64, Vec<usize>) {
        let levels = (0..7).map(|level| self.tree.level_table_count(level).unwrap_or(0));
        (self.tree.next_table_id(), levels.collect())
    }

    /// Does a kind of work each time it is asked for, until the index closes.
    fn work_loop(
        &self,
        take: impl Fn(&mut Work) -> bool,
        again: impl Fn(&mut Work),
        run: impl Fn() -> Result<(), ReadError>,
    ) {
        // Who reads or delivers is not to wait for a core because of it. Where
        // that is refused it goes on as it is.
        let _ = rustix::process::setpriority_process(None, TABLES_NICE);
        let mut work = self.work.lock();
        loop {
            if work.closing {
                return;
            }
            if !take(&mut work) {
                self.wake.wait(&mut work);
                continue;
            }
            drop(work);
            let result = run();
            work = self.work.lock();
            work.failed = result.is_err();
            if let Err(error) = result {
                tracing::error!("the index could not be written: {error}");
                if let ReadError::Damaged(why) = &error {
                    self.mark_damaged(why);
                    return;
                }
                again(&mut work);
                self.wake.notify_all();
                self.wake.wait_for(&mut work, RETRY);
            }
            self.wake.notify_all();
            // Who waits for the table was told, and waits for this no longer.
            let free = work.let_go();
            MutexGuard::unlocked(&mut work, || drop(free));
        }
    }
}

/// A snapshot: everything below one number.
struct View {
    shared: Arc<Shared>,
    visible: u64,
}

impl Drop for View {
    fn drop(&mut self) {
        let mut views = self.shared.views.lock();
        if let Some(count) = views.open.get_mut(&self.visible) {
            *count -= 1;
            if *count == 0 {
                views.open.remove(&self.visible);
            }
        }
    }
}

impl Snapshot for View {
    fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        let stored = self.shared.read(|tree| tree.get(key, self.visible))?;
        stored
            .map(|stored| decode_value(&stored.into()))
            .transpose()
    }

    fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        order: Order,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Versioned)>, ReadError> {
        let start = start.max(FIRST_KEY);
        self.shared.scan(start, end, self.visible, order, limit)
    }

    fn visit(&self, start: &[u8], end: &[u8], f: Visitor<'_>) -> Result<(), ReadError> {
        let start = start.max(FIRST_KEY);
        if start >= end {
            return Ok(());
        }
        let range = |tree: &AnyTree| Ok(tree.range(start..end, self.visible, None));
        let mut range = self.shared.read(range)?;
        // What goes wrong in `f` is not the library's.
        let mut next = || {
            let pair = |_: &AnyTree| range.next().map(|guard| guard.into_inner()).transpose();
            self.shared.read(pair)
        };
        while let Some((key, stored)) = next()? {
            if f(&key, decode_value(&stored.into())?).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Shared {
    fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        visible: u64,
        order: Order,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Versioned)>, ReadError> {
        if start >= end {
            return Ok(Vec::new());
        }
        let pairs = self.read(|tree| {
            let range = tree.range(start..end, visible, None);
            let pair = |guard: lsm_tree::IterGuardImpl| guard.into_inner();
            match order {
                Order::Ascending => range.take(limit).map(pair).collect(),
                Order::Descending => range.rev().take(limit).map(pair).collect(),
            }
        });
        let pairs: Vec<lsm_tree::KvPair> = pairs?;
        pairs
            .into_iter()
            .map(|(key, stored)| Ok((Bytes::from(key).into(), decode_value(&stored.into())?)))
            .collect()
    }
}
