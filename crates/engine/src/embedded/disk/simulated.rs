//! A disk in memory that keeps only what it must.
//!
//! For every file it holds what is *stable* and what was written but not
//! synced; the same for the folder's names. A power cut loses, tears and
//! reorders everything that is not stable: each write survives as a whole, as
//! a prefix, a suffix, scattered sectors or not at all, and a sector that was
//! on its way may hold anything. Sectors that were to receive the bytes they
//! already had keep them.
//!
//! - A *direct* disk's writes to finished segments are stable when they return.
//! - A failed sync leaves the bytes readable, as page caches do, and forgets
//!   that they were never written: a later sync says nothing of them.
//! - A *fault* is planned by the number of the operation, of all kinds or of
//!   one. Behind a power cut every operation fails until [`SimDisk::power_cut`]
//!   has settled what is left.
//! - A disk may be told to lie; then the simulation must find out.

use super::blocks::Blocks;
use super::random::Random;
use super::{Disk, SegmentFile};
use crate::embedded::format::BLOCK;
use parking_lot::Mutex;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// What an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Op {
    Create,
    /// Filling of a segment that is being made, and its sync.
    Fill,
    FillSync,
    Publish,
    Unlink,
    /// A segment leaves the list, and its file gets its next number.
    Retire,
    Reuse,
    SyncFolder,
    /// A write to a finished segment, and its sync.
    Write,
    Sync,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    PowerCut,
    Error(Errno),
}

/// A fault at the n-th operation (from 1), of one kind or of all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) of: Option<Op>,
    pub(crate) nth: u64,
    pub(crate) fault: Fault,
}

/// What a disk says without doing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Lie {
    #[default]
    None,
    /// "What was written is on stable storage."
    FileSynced,
    /// "The folder's names are."
    FolderSynced,
    /// "Direct writes are."
    DirectWrite,
}

/// A file's name: its number, and whether it is still being made.
type Names = BTreeMap<(u32, bool), usize>;

/// A handle; all handles of one disk share its state.
#[derive(Debug, Clone)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    random: Random,
    direct: bool,
    lie: Lie,
    capacity: u64,
    files: Vec<File>,
    names: Names,
    stable_names: Names,
    /// Changes of names since the last sync of the folder.
    renamed: Vec<Rename>,
    plan: Vec<Plan>,
    ops: u64,
    ops_of: BTreeMap<Op, u64>,
    off: bool,
    failure: Option<(Op, Fault)>,
    log: Vec<String>,
    torn: u64,
}

#[derive(Debug, Clone, Copy)]
struct Rename {
    from: Option<(u32, bool)>,
    to: Option<(u32, bool)>,
    file: usize,
}

#[derive(Debug, Default)]
struct File {
    /// What readers see.
    seen: Blocks,
    stable: Blocks,
    /// Writes by the block where they begin.
    unsynced: Vec<(usize, Blocks)>,
    making: bool,
}

impl SimDisk {
    pub(crate) fn new(seed: u64, direct: bool) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: Random::new(seed),
            direct,
            lie: Lie::None,
            capacity: 1 << 40,
            files: Vec::new(),
            names: Names::new(),
            stable_names: Names::new(),
            renamed: Vec::new(),
            plan: Vec::new(),
            ops: 0,
            ops_of: BTreeMap::new(),
            off: false,
            failure: None,
            log: Vec::new(),
            torn: 0,
        })))
    }

    pub(crate) fn lie(&self, lie: Lie) {
        self.0.lock().lie = lie;
    }

    /// Changes how writes are done from the next `open` of a segment on.
    pub(crate) fn set_direct(&self, direct: bool) {
        self.0.lock().direct = direct;
    }

    /// How many bytes all files together may have.
    pub(crate) fn set_capacity(&self, bytes: u64) {
        self.0.lock().capacity = bytes;
    }

    /// Plans a fault; counted from the disk's beginning.
    pub(crate) fn plan(&self, plan: Plan) {
        self.0.lock().plan.push(plan);
    }

    /// Plans a fault `after` more operations.
    pub(crate) fn plan_after(&self, after: u64, fault: Fault) {
        let mut state = self.0.lock();
        let nth = state.ops + after;
        state.plan.push(Plan {
            of: None,
            nth,
            fault,
        });
    }

    /// The power is off.
    pub(crate) fn is_off(&self) -> bool {
        self.0.lock().off
    }

    /// What has gone wrong since the power came on or the process started.
    pub(crate) fn failure(&self) -> Option<(Op, Fault)> {
        self.0.lock().failure
    }

    pub(crate) fn ops(&self, of: Op) -> u64 {
        self.0.lock().ops_of.get(&of).copied().unwrap_or(0)
    }

    /// How many writes power cuts have torn.
    pub(crate) fn torn(&self) -> u64 {
        self.0.lock().torn
    }

    pub(crate) fn note(&self, line: String) {
        self.0.lock().log.push(line);
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.0.lock().log.clone()
    }

    /// The power goes, if it has not yet, and comes again: only what was
    /// stable is there, and what chance has kept of the rest.
    pub(crate) fn power_cut(&self) {
        let state = &mut *self.0.lock();
        state.settle_files();
        state.settle_names();
        state.off = false;
        state.failure = None;
        state.plan.clear();
        let names: Vec<_> = state.names.keys().collect();
        let line = format!("power is back: {names:?}");
        state.log.push(line);
    }

    /// The process ended, the machine did not: everything written is readable.
    pub(crate) fn restart(&self) {
        let mut state = self.0.lock();
        state.failure = None;
        state.plan.clear();
        state.log.push("restart".into());
    }

    /// What a reader sees of a segment, for bodies that imitate a journal.
    pub(crate) fn peek(&self, segment: u32, at: usize, len: usize) -> Option<Vec<u8>> {
        let state = self.0.lock();
        let file = *state.names.get(&(segment, false))?;
        let mut bytes = vec![0; len];
        let read = state.files[file].seen.read(at, &mut bytes);
        (read == len).then_some(bytes)
    }
}

impl State {
    /// Counts an operation; says whether it goes wrong.
    fn step(&mut self, op: Op, what: &str) -> io::Result<Option<Fault>> {
        if self.off {
            return Err(Errno::IO.into());
        }
        self.ops += 1;
        let of = self.ops_of.entry(op).or_default();
        *of += 1;
        let of = *of;
        let due = |plan: &Plan| match plan.of {
            None => plan.nth == self.ops,
            Some(kind) => kind == op && plan.nth == of,
        };
        let fault = self.plan.iter().find(|plan| due(plan)).map(|p| p.fault);
        self.log.push(format!("{} {op:?} {what}", self.ops));
        if let Some(fault) = fault {
            self.log.push(format!("{fault:?}"));
            self.failure.get_or_insert((op, fault));
            self.off |= fault == Fault::PowerCut;
        }
        Ok(fault)
    }

    /// As [`State::step`], for operations that either happen or don't.
    fn whole_step(&mut self, op: Op, what: &str) -> io::Result<()> {
        match self.step(op, what)? {
            None => Ok(()),
            // The power went at that very moment: it may have happened.
            Some(Fault::PowerCut) => Ok(()),
            Some(Fault::Error(error)) => Err(error.into()),
        }
    }

    /// The answer to an operation that the disk may not have survived.
    fn survived(&self) -> io::Result<()> {
        if self.off {
            return Err(Errno::IO.into());
        }
        Ok(())
    }

    fn rename(&mut self, change: Rename) {
        apply_rename(&mut self.names, change);
        self.renamed.push(change);
    }

    /// Each write that was under way meets its fate.
    fn settle_files(&mut self) {
        for at in 0..self.files.len() {
            let mut writes = std::mem::take(&mut self.files[at].unsynced);
            self.random.shuffle(&mut writes);
            let file = &mut self.files[at];
            for (number, blocks) in writes {
                let torn = tear(&mut self.random, &mut file.stable, number, &blocks);
                self.torn += u64::from(torn);
            }
            file.seen.clone_from(&file.stable);
        }
    }

    /// Each change of a name that was not synced happened or not.
    fn settle_names(&mut self) {
        for change in std::mem::take(&mut self.renamed) {
            if self.random.once_in(2) {
                apply_rename(&mut self.stable_names, change);
            }
        }
        self.names.clone_from(&self.stable_names);
    }

    fn used(&self) -> u64 {
        let len = |&file: &usize| self.files[file].seen.len() as u64;
        self.names.values().map(len).sum()
    }

    fn write(&mut self, at: usize, blocks: &[u8], offset: u64, direct: bool) -> io::Result<()> {
        let op = if self.files[at].making {
            Op::Fill
        } else {
            Op::Write
        };
        let fault = self.step(op, &format!("{at} at {offset}, {} bytes", blocks.len()))?;
        let offset = offset as usize;
        let grows = (offset + blocks.len()).saturating_sub(self.files[at].seen.len());
        if grows as u64 > self.capacity.saturating_sub(self.used()) {
            return Err(Errno::NOSPC.into());
        }
        let (number, blocks) = (offset / BLOCK, Blocks::of(blocks));
        let file = &mut self.files[at];
        if direct {
            // The system writes what it holds of the file first.
            file.write_all();
        }
        if let Some(Fault::Error(error)) = fault {
            // Some of it was written.
            if direct {
                tear(&mut self.random, &mut file.stable, number, &blocks);
                file.seen.clone_from(&file.stable);
            } else {
                let some = self.random.below(blocks.len() / BLOCK + 1);
                let blocks = blocks.prefix(some);
                file.seen.put(number, &blocks);
                file.unsynced.push((number, blocks));
            }
            return Err(error.into());
        }
        file.seen.put(number, &blocks);
        if direct && !self.off && self.lie != Lie::DirectWrite {
            file.stable.put(number, &blocks);
        } else {
            file.unsynced.push((number, blocks));
        }
        self.survived()
    }

    fn sync(&mut self, at: usize) -> io::Result<()> {
        let op = if self.files[at].making {
            Op::FillSync
        } else {
            Op::Sync
        };
        match self.step(op, &at.to_string())? {
            Some(Fault::PowerCut) => return self.survived(),
            Some(Fault::Error(error)) => {
                // From now on the system believes that these were written.
                let file = &mut self.files[at];
                for (number, blocks) in std::mem::take(&mut file.unsynced) {
                    tear(&mut self.random, &mut file.stable, number, &blocks);
                }
                return Err(error.into());
            }
            None => {}
        }
        if self.lie != Lie::FileSynced {
            self.files[at].write_all();
        }
        Ok(())
    }
}

fn apply_rename(names: &mut Names, change: Rename) {
    if let Some(from) = change.from {
        names.remove(&from);
    }
    if let Some(to) = change.to {
        names.insert(to, change.file);
    }
}

impl File {
    fn write_all(&mut self) {
        for (number, blocks) in std::mem::take(&mut self.unsynced) {
            self.stable.put(number, &blocks);
        }
    }
}

/// What is left of a write that was not synced; true when it is neither all nor nothing.
fn tear(random: &mut Random, stable: &mut Blocks, number: usize, blocks: &Blocks) -> bool {
    let sector = if random.once_in(2) { 512 } else { BLOCK };
    let count = blocks.len() / sector;
    let edge = random.below(count + 1);
    let survives: Vec<bool> = match random.below(6) {
        0 => vec![false; count],
        1 => {
            stable.put(number, blocks);
            return false;
        }
        2 => (0..count).map(|n| n < edge).collect(),
        3 => (0..count).map(|n| n >= edge).collect(),
        // One hole, or anything.
        4 => (0..count).map(|n| n != edge).collect(),
        _ => (0..count).map(|_| random.once_in(2)).collect(),
    };
    let garbled = (random.once_in(4) && edge < count).then_some(edge);
    let (mut new, mut old) = ([0; BLOCK], [0; BLOCK]);
    let (new, old) = (&mut new[..sector], &mut old[..sector]);
    for (n, survives) in survives.iter().enumerate() {
        let at = number * BLOCK + n * sector;
        blocks.read(n * sector, new);
        let there = stable.read(at, old);
        if there == sector && old == new {
            continue;
        }
        if garbled == Some(n) {
            stable.patch(at, &random.bytes(sector));
        } else if *survives {
            stable.patch(at, new);
        }
    }
    survives.contains(&true) && survives.contains(&false)
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<u32>> {
        let state = self.0.lock();
        state.survived()?;
        let finished = state.names.keys().filter(|(_, making)| !making);
        Ok(finished.map(|&(number, _)| number).collect())
    }

    fn create(&self, segment: u32, bytes: u64) -> io::Result<Arc<dyn SegmentFile>> {
        let mut state = self.0.lock();
        state.whole_step(Op::Create, &segment.to_string())?;
        let file = state.files.len();
        state.files.push(File {
            making: true,
            ..File::default()
        });
        state.rename(Rename {
            from: None,
            to: Some((segment, true)),
            file,
        });
        state.survived()?;
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            file,
            bytes,
            direct: false,
        }))
    }

    fn publish(&self, segment: u32) -> io::Result<()> {
        let mut state = self.0.lock();
        state.whole_step(Op::Publish, &segment.to_string())?;
        let Some(&file) = state.names.get(&(segment, true)) else {
            return Err(Errno::NOENT.into());
        };
        state.files[file].making = false;
        state.rename(Rename {
            from: Some((segment, true)),
            to: Some((segment, false)),
            file,
        });
        state.survived()
    }

    fn discard(&self, segment: u32) {
        let mut state = self.0.lock();
        if let Some(&file) = state.names.get(&(segment, true)) {
            state.rename(Rename {
                from: Some((segment, true)),
                to: None,
                file,
            });
        }
    }

    fn open(&self, segment: u32) -> io::Result<Arc<dyn SegmentFile>> {
        let state = self.0.lock();
        state.survived()?;
        let Some(&file) = state.names.get(&(segment, false)) else {
            return Err(Errno::NOENT.into());
        };
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            file,
            bytes: state.files[file].seen.len() as u64,
            direct: state.direct,
        }))
    }

    fn unlink(&self, segment: u32) -> io::Result<()> {
        let mut state = self.0.lock();
        state.whole_step(Op::Unlink, &segment.to_string())?;
        let Some(&file) = state.names.get(&(segment, false)) else {
            return Err(Errno::NOENT.into());
        };
        state.rename(Rename {
            from: Some((segment, false)),
            to: None,
            file,
        });
        state.survived()
    }

    fn retire(&self, segment: u32) -> io::Result<()> {
        let mut state = self.0.lock();
        state.whole_step(Op::Retire, &segment.to_string())?;
        let Some(&file) = state.names.get(&(segment, false)) else {
            return Err(Errno::NOENT.into());
        };
        state.rename(Rename {
            from: Some((segment, false)),
            to: Some((segment, true)),
            file,
        });
        state.survived()
    }

    fn reuse(&self, retired: u32, segment: u32) -> io::Result<Arc<dyn SegmentFile>> {
        let mut state = self.0.lock();
        state.whole_step(Op::Reuse, &format!("{retired} as {segment}"))?;
        let Some(&file) = state.names.get(&(retired, true)) else {
            return Err(Errno::NOENT.into());
        };
        state.files[file].making = true;
        let bytes = state.files[file].seen.len() as u64;
        state.rename(Rename {
            from: Some((retired, true)),
            to: Some((segment, true)),
            file,
        });
        state.survived()?;
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            file,
            bytes,
            direct: false,
        }))
    }

    fn sync_folder(&self) -> io::Result<()> {
        let state = &mut *self.0.lock();
        match state.step(Op::SyncFolder, "")? {
            Some(Fault::PowerCut) => return state.survived(),
            Some(Fault::Error(error)) => return Err(error.into()),
            None => {}
        }
        if state.lie != Lie::FolderSynced {
            state.renamed.clear();
            state.stable_names.clone_from(&state.names);
        }
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.0.lock();
        Ok(state.capacity.saturating_sub(state.used()))
    }

    fn random_u64(&self) -> u64 {
        self.0.lock().random.u64()
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    file: usize,
    bytes: u64,
    direct: bool,
}

impl SegmentFile for SimFile {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn write_at(&self, blocks: &[u8], offset: u64) -> io::Result<()> {
        self.disk
            .0
            .lock()
            .write(self.file, blocks, offset, self.direct)
    }

    fn writes_are_synced(&self) -> bool {
        self.direct
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.0.lock().sync(self.file)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.0.lock();
        state.survived()?;
        Ok(state.files[self.file].seen.read(offset as usize, into))
    }
}
