//! Opening a store: lock, journal, index, replay.

use super::buffer::Buffer;
use super::census::Census;
use super::commit::Commit;
use super::core::{Core, State};
use super::disk::real::RealDisk;
use super::format::{FORMAT, FORMAT_MOVED, GroupHeader};
use super::freed::Freed;
use super::group::OpenGroup;
use super::index::tree::{TreeIndex, damage_mark};
use super::index::{Applied, Index};
use super::lock::{Lock, LockError};
use super::options::Options;
use super::scan::{self, Scan, Tail};
use super::segment::{OpenSegments, Segment};
use super::threads::{Maker, whole_segment};
use crate::contract::ReadError;
use crate::findings::Finding;
use crate::folders;
use crate::limits::GROUP_BYTES_MAX;
use crate::stats::{Counters, add};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};
use thiserror::Error;

/// Why a store was not opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the store is in use by the process with pid {pid}")]
    InUse {
        /// The process, as far as it is known.
        pid: String,
    },
    /// The disk refuses.
    #[error("the store cannot be opened: {0}")]
    Io(#[from] io::Error),
    /// A new index cannot be made or filled either.
    #[error("the index cannot be made: {0}")]
    Index(#[from] ReadError),
    /// A newer program wrote it.
    #[error(
        "the store was written by a newer version of this program (its format is {found}, this \
         version reads up to {known}): start the newer version, or restore a backup from before"
    )]
    Newer {
        /// The store's format.
        found: u8,
        /// The newest that is known here.
        known: u8,
    },
}

/// What the threads need besides the core.
pub(crate) struct Opened {
    pub(crate) core: Core,
    pub(crate) maker: Maker,
    pub(crate) findings: Vec<Finding>,
    pub(crate) lock: Lock,
}

/// Commits applied at a time while the journal is replayed.
const REPLAY_COMMITS: usize = 512;
const REPLAY_BYTES: usize = 4 << 20;

pub(crate) fn open(folder: &Path, options: &Options) -> Result<Opened, OpenError> {
    folders::make(folder, folders::PRIVATE)?;
    let lock = Lock::take(&folder.join("store.lock")).map_err(|error| match error {
        LockError::Held(pid) => OpenError::InUse { pid },
        LockError::Io(error) => OpenError::Io(error),
    })?;
    let disk = match &options.disk {
        Some(disk) => Arc::clone(disk),
        None => Arc::new(RealDisk::open(&folder.join("journal"), options.direct)?),
    };
    let counters = Arc::new(Counters::default());
    // The last process may have ended between giving a segment its name and
    // syncing that, or the sync failed: nothing is built on such a name.
    disk.sync_folder()?;
    let (mut segments, mut findings) = scan::segments(&*disk)?;
    let newest = segments.iter().map(|segment| segment.header.version).max();
    if let Some(found) = newest.filter(|found| *found > FORMAT) {
        let known = FORMAT;
        return Err(OpenError::Newer { found, known });
    }
    let store = segments
        .last()
        .map_or_else(|| disk.random_u64(), |segment| segment.header.store);
    let mut index = open_index(folder, options, &counters, store, &mut findings)?;
    let mut replayed = replay(&*index, &segments, store, &counters);
    if let Err(ReadError::Damaged(why)) = replayed {
        // Found out only while it was brought forward: from the beginning.
        index.close();
        drop(index);
        index = rebuild(folder, options, &counters, &why, &mut findings)?;
        replayed = replay(&*index, &segments, store, &counters);
    }
    let (tail, last_commit, found) = replayed?;
    findings.extend(found);
    let freed = Freed::load(&*index)?;
    let left = segments.iter().map(|segment| segment.number());
    for number in left.filter(|number| freed.is_freed(*number)) {
        // The process ended between saying so and doing it.
        disk.remove(number)?;
    }
    let next = disk.list()?.last().map_or(1, |last| last + 1);
    let mut maker = Maker {
        disk: Arc::clone(&disk),
        options: options.clone(),
        next,
    };
    let start = begin(&mut segments, tail, last_commit, &mut maker, store)?;
    let census = census(&segments, &start, &freed)?;
    let segments = OpenSegments::new(Arc::clone(&disk));
    let buffer = Buffer::new(GROUP_BYTES_MAX);
    let group = OpenGroup::new(start.group, start.last_commit + 1, start.at, buffer);
    segments.insert(&group.image.segment);
    let flushed_at = AtomicU32::new(group.image.segment.number());
    let mut state = State::new(group, start.last_commit, start.spares);
    state.census = census;
    state.freed = freed;
    let core = Core {
        state: Mutex::new(state),
        work: Condvar::new(),
        room: Condvar::new(),
        supply: Condvar::new(),
        index,
        segments,
        shelf: Arc::default(),
        unapplied: AtomicUsize::new(0),
        counters,
        on_fatal: Arc::clone(&options.on_fatal),
        on_stall: options.on_stall.clone(),
        store,
        free_bytes: AtomicU64::new(disk.free_bytes()?),
        disk_full: AtomicBool::new(false),
        kept: Mutex::new(0),
        collecting: Mutex::new(()),
        pending_max: options.pending_bytes,
        segment_bytes: whole_segment(options.segment_bytes),
        flushed_at,
    };
    Ok(Opened {
        core,
        maker,
        findings,
        lock,
    })
}

/// The segments that hold groups, the one that is written to included.
fn census(segments: &[Arc<Segment>], start: &Start, freed: &Freed) -> io::Result<Census> {
    let mut census = Census::default();
    let (tail, at) = &start.at;
    for segment in segments {
        if segment.number() <= tail.number() && !freed.is_freed(segment.number()) {
            let first = scan::first_group(segment)?;
            if segment.number() < tail.number() || first.is_some() {
                census.insert(segment.number(), segment.header.bytes, first);
            }
        }
    }
    if *at == tail.first() {
        let first = GroupHeader {
            number: start.group,
            next_commit: start.last_commit + 1,
            bytes: 0,
            frames: 0,
        };
        census.insert(tail.number(), tail.header.bytes, Some(first));
    }
    Ok(census)
}

/// Opens the index, or makes a new one when it is of no use.
fn open_index(
    folder: &Path,
    options: &Options,
    counters: &Arc<Counters>,
    store: u64,
    findings: &mut Vec<Finding>,
) -> Result<Arc<dyn Index>, OpenError> {
    if let Some(index) = &options.index {
        return Ok(Arc::clone(index));
    }
    let path = folder.join("index");
    let why = if damage_mark(&path).exists() {
        "damage was found in it".to_owned()
    } else {
        let opened = TreeIndex::open(&path, options.tree(), Arc::clone(counters));
        match opened.and_then(|index| Ok((index.applied()?, index))) {
            Ok((Some(applied), _)) if applied.store != store => {
                "it belongs to another store".to_owned()
            }
            Ok((_, index)) => return Ok(Arc::new(index)),
            Err(error) => error.to_string(),
        }
    };
    rebuild(folder, options, counters, &why, findings)
}

/// Sets the index aside and makes a new, empty one.
fn rebuild(
    folder: &Path,
    options: &Options,
    counters: &Arc<Counters>,
    why: &str,
    findings: &mut Vec<Finding>,
) -> Result<Arc<dyn Index>, OpenError> {
    set_index_aside(folder)?;
    tracing::warn!("the index is made again from the journal: {why}");
    findings.push(Finding::IndexRebuilt {
        why: why.to_owned(),
    });
    let path = folder.join("index");
    Ok(Arc::new(TreeIndex::open(
        &path,
        options.tree(),
        Arc::clone(counters),
    )?))
}

/// Moves the index out of the way; the one set aside before is removed.
pub(crate) fn set_index_aside(folder: &Path) -> io::Result<()> {
    let path = folder.join("index");
    let aside = folder.join("index.set-aside");
    if path.exists() {
        if aside.exists() {
            fs::remove_dir_all(&aside)?;
        }
        fs::rename(&path, aside)?;
    }
    let mark = damage_mark(&path);
    if mark.exists() {
        fs::remove_file(mark)?;
    }
    Ok(())
}

type Replay = (Tail, u64, Vec<Finding>);

/// Brings the index forward to the end of the journal.
fn replay(
    index: &dyn Index,
    segments: &[Arc<Segment>],
    store: u64,
    counters: &Counters,
) -> Result<Replay, ReadError> {
    let applied = index.applied()?.unwrap_or_default().commit;
    let start = scan::start_for(segments, applied)?;
    let mut pending = Pending::default();
    let mut last_group = 0;
    let mut result = Ok(());
    // An index that is made from nothing has come no way until it has come all:
    // moved commits have old numbers, and would be left out if it went on later
    // from a commit in the middle.
    pending.from_nothing = applied == 0;
    pending.newest = applied;
    let (tail, findings) = Scan::new(&segments[start..]).run(&mut |commit| {
        last_group = commit.group;
        if commit.number <= applied {
            return ControlFlow::Continue(());
        }
        result = pending.push(index, commit, store);
        if result.is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    result?;
    if applied < tail.commit || last_group < tail.group {
        write_again(&tail)?;
    }
    let count = pending.finish(index, store)?;
    let freed = Freed::load(index)?;
    let mut findings = freed.leave_unexplained(findings);
    add(&counters.replayed, count);
    let last = tail.commit.max(applied);
    if applied > tail.commit {
        findings.push(Finding::IndexAhead {
            index: applied,
            journal: tail.commit,
        });
    }
    if tail.torn {
        tracing::info!("the journal's last group was not written whole and is dropped");
    }
    for finding in &findings {
        tracing::error!("{finding}");
    }
    Ok((tail, last, findings))
}

/// Commits on their way from the journal into the index. Those of the last
/// group are held back: until the next one is seen it may not be stable.
#[derive(Default)]
struct Pending {
    commits: Vec<Commit>,
    bytes: usize,
    /// The last group that was seen.
    group: u64,
    count: u64,
    /// The highest number that was seen.
    newest: u64,
    /// The index is made from its beginning.
    from_nothing: bool,
}

impl Pending {
    fn push(
        &mut self,
        index: &dyn Index,
        commit: scan::Replayed,
        store: u64,
    ) -> Result<(), ReadError> {
        if commit.group != self.group {
            self.group = commit.group;
            if self.commits.len() >= REPLAY_COMMITS || self.bytes >= REPLAY_BYTES {
                self.apply_all(index, store)?;
            }
        }
        self.count += 1;
        self.newest = self.newest.max(commit.number);
        let writes = commit.writes.iter();
        self.bytes += writes
            .map(|(k, v)| k.len() + v.as_ref().map_or(0, |v| v.len()))
            .sum::<usize>();
        self.commits.push(Commit {
            number: commit.number,
            writes: commit.writes,
            on_visible: Vec::new(),
        });
        Ok(())
    }

    fn apply_all(&mut self, index: &dyn Index, store: u64) -> Result<(), ReadError> {
        let commit = if self.from_nothing { 0 } else { self.newest };
        index.apply(&self.commits, Applied { commit, store })?;
        self.commits.clear();
        self.bytes = 0;
        Ok(())
    }

    /// Applies what is left; how many commits there were in all.
    fn finish(mut self, index: &dyn Index, store: u64) -> Result<u64, ReadError> {
        self.from_nothing = false;
        if self.count > 0 {
            self.apply_all(index, store)?;
        }
        Ok(self.count)
    }
}

/// Makes sure that the last group is on stable storage: it is shown from now
/// on, and the groups behind it will count on it.
///
/// A killed process may have left it in the page cache, and then a sync would
/// do. But if the sync of that process failed, the system shows the bytes
/// although the disk never got them, and says nothing at the next sync. So
/// they are written again; where they are already, the disk changes nothing.
fn write_again(tail: &Tail) -> io::Result<()> {
    let Some((segment, end)) = &tail.at else {
        return Ok(());
    };
    let len = (end - tail.from) as usize;
    let mut group = Buffer::new(len);
    group.pad_to(len);
    let read = segment.file.read_at(group.as_mut_slice(), tail.from)?;
    if read < len {
        group.as_mut_slice()[read..].fill(0);
    }
    segment.file.write_at(group.as_slice(), tail.from)?;
    if segment.file.writes_are_synced() {
        return Ok(());
    }
    segment.file.sync()
}

/// Where the journal goes on.
struct Start {
    at: (Arc<Segment>, u64),
    group: u64,
    last_commit: u64,
    spares: VecDeque<Arc<Segment>>,
}

/// Finds the place of the next group and the segments that are free.
///
/// When the index knows more than the journal, the journal's end was lost:
/// what is left there is kept as it is, and writing goes on in a new segment.
/// So it does when the last segment's format has no moved commits; empty ones
/// of that format go.
fn begin(
    segments: &mut Vec<Arc<Segment>>,
    tail: Tail,
    last_commit: u64,
    maker: &mut Maker,
    store: u64,
) -> io::Result<Start> {
    let lost = last_commit > tail.commit;
    let used = tail.at.as_ref().map_or(0, |(segment, _)| segment.number());
    let mut spares: VecDeque<_> = segments
        .iter()
        .filter(|segment| segment.number() > used)
        .cloned()
        .collect();
    let group = tail.group + if lost { 2 } else { 1 };
    let first_ever = tail.at.is_none();
    let at = match tail.at {
        Some(place) if !lost && place.0.header.version >= FORMAT_MOVED => place,
        _ => {
            if lost {
                spares.clear();
            }
            while let Some(old) = spares.pop_front_if(|spare| spare.header.version < FORMAT_MOVED) {
                maker.disk.remove(old.number())?;
                segments.retain(|segment| segment.number() != old.number());
            }
            let segment = match spares.pop_front() {
                Some(segment) => segment,
                None if first_ever => maker.make(store, maker.options.segment_bytes / 8)?,
                None => maker.make(store, maker.options.segment_bytes)?,
            };
            let first = segment.first();
            (segment, first)
        }
    };
    Ok(Start {
        at,
        group,
        last_commit,
        spares,
    })
}
