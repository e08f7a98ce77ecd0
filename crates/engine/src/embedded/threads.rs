//! The store's threads: one writes groups to the journal, one applies them to
//! the index, one keeps segments ready.
//!
//! Each is a value with a `run`, which a thread of its own calls, and the
//! single steps that it is made of, which the simulation calls instead.

use super::collect::Retired;
use super::commit::Commit;
use super::core::{Core, State};
use super::disk::Disk;
use super::format::{BLOCK, FORMAT, SegmentHeader};
use super::group::SealedGroup;
use super::index::Applied;
use super::options::Options;
use super::segment::Segment;
use crate::contract::CommitNo;
use crate::limits::{BATCH_BYTES_MAX, CAN_WAIT, UNFLUSHED_SEGMENTS_MAX};
use crate::stats::add;
use crate::ticket;
use parking_lot::MutexGuard;
use rustix::io::Errno;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
#[cfg(test)]
use std::sync::mpsc::TryRecvError;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

/// Durable groups that may wait for the index; then the writer waits.
pub(crate) const DURABLE_GROUPS_MAX: usize = 32;
/// The smallest segment takes the largest frame.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 2 * BATCH_BYTES_MAX as u64;
/// How often the free space is looked at.
const LOOK_AT_SPACE: Duration = Duration::from_secs(2);

/// What a worker found to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Something; there may be more.
    Done,
    /// Nothing now.
    Idle,
    /// Nothing ever again: the store closes or has failed.
    End,
}

/// A group that is on stable storage.
pub(crate) struct Durable {
    segment: u32,
    commits: Vec<Commit>,
    ticket: Arc<ticket::Group>,
}

/// Writes whatever has come since the last write, one group at a time.
pub(crate) struct Writer {
    pub(crate) core: Arc<Core>,
    pub(crate) durable: SyncSender<Durable>,
}

/// Takes a group, or says why there is none.
fn take(state: &mut State) -> Result<SealedGroup, Step> {
    if state.failed {
        return Err(Step::End);
    }
    let group = match state.sealed.pop_front() {
        Some(group) => group,
        None if !state.open.is_empty() => state.seal(),
        None if state.closing => return Err(Step::End),
        None => return Err(Step::Idle),
    };
    state.writing = Some(Arc::clone(&group.image));
    Ok(group)
}

impl Writer {
    /// Works until the store closes.
    pub(crate) fn run(self) {
        while let Some(group) = self.wait_for_group() {
            let Some(durable) = self.write(group) else {
                return;
            };
            if !self.is_at_rest() {
                self.hand_on(durable);
            } else if show(&self.core, durable, Vec::new()) == Step::End {
                return;
            }
        }
    }

    /// Nothing waits to be written and nothing to be applied: then who waits for
    /// this group need not wait until another thread wakes up as well.
    fn is_at_rest(&self) -> bool {
        let state = self.core.state.lock();
        !state.open.is_urgent()
            && state.sealed.is_empty()
            && self.core.unapplied.load(Ordering::Acquire) == 0
    }

    /// Gives a group to the applier; waits when too many wait there.
    pub(crate) fn hand_on(&self, durable: Durable) {
        self.core.unapplied.fetch_add(1, Ordering::AcqRel);
        // The receiver is gone only when the applier failed and said so.
        let _ = self.durable.send(durable);
    }

    fn wait_for_group(&self) -> Option<SealedGroup> {
        let mut state = self.core.state.lock();
        let mut has_waited = false;
        loop {
            if state.can_wait() && !has_waited {
                has_waited = self.core.work.wait_for(&mut state, CAN_WAIT).timed_out();
                continue;
            }
            match take(&mut state) {
                Ok(group) => return Some(group),
                Err(Step::End) => return None,
                Err(_) => self.core.work.wait(&mut state),
            }
        }
    }

    /// The next group to write, if there is one.
    #[cfg(test)]
    pub(crate) fn take(&self) -> Result<SealedGroup, Step> {
        take(&mut self.core.state.lock())
    }

    /// Makes a group durable; `None` when it cannot be.
    pub(crate) fn write(&self, group: SealedGroup) -> Option<Durable> {
        let core = &*self.core;
        let SealedGroup {
            number,
            image,
            frame_bytes,
            commits,
            ticket,
        } = group;
        let blocks = image.buffer.as_slice();
        let file = &image.segment.file;
        let mut written = file.write_at(blocks, image.offset);
        if written.is_ok() && !file.writes_are_synced() {
            written = file.sync();
        }
        if let Err(error) = written {
            core.fail(&format!("the journal could not be written: {error}"));
            return None;
        }
        add(&core.counters.groups, 1);
        add(&core.counters.syncs, 1);
        add(&core.counters.bytes_written, blocks.len() as u64);
        let segment = image.segment.number();
        let mut state = core.state.lock();
        // Before anybody can see what is in it.
        state.written = number;
        state.writing = None;
        state.pending_bytes = state.pending_bytes.saturating_sub(frame_bytes);
        state.recycle(image);
        core.room.notify_all();
        Some(Durable {
            segment,
            commits,
            ticket,
        })
    }
}

/// Applies durable groups to the index, several at once when they have piled
/// up, and tells who waits for them.
pub(crate) struct Applier {
    pub(crate) core: Arc<Core>,
    pub(crate) durable: Receiver<Durable>,
}

impl Applier {
    /// Works until the writer has ended and everything is applied.
    pub(crate) fn run(self) {
        while let Ok(first) = self.durable.recv() {
            if self.apply(first) == Step::End {
                return;
            }
        }
    }

    /// Applies what is there now.
    #[cfg(test)]
    pub(crate) fn step(&self) -> Step {
        match self.durable.try_recv() {
            Ok(first) => self.apply(first),
            Err(TryRecvError::Empty) => Step::Idle,
            Err(TryRecvError::Disconnected) => Step::End,
        }
    }

    fn apply(&self, first: Durable) -> Step {
        let mut more = Vec::new();
        while more.len() + 1 < DURABLE_GROUPS_MAX
            && let Ok(next) = self.durable.try_recv()
        {
            more.push(next);
        }
        let groups = 1 + more.len();
        let step = show(&self.core, first, more);
        self.core.unapplied.fetch_sub(groups, Ordering::AcqRel);
        step
    }
}

/// Applies groups to the index, the earliest first, and tells who waits for
/// them. One thread at a time.
fn show(core: &Core, first: Durable, more: Vec<Durable>) -> Step {
    let mut commits = first.commits;
    let mut segment = first.segment;
    let mut tickets = vec![first.ticket];
    for next in more {
        segment = next.segment;
        commits.extend(next.commits);
        tickets.push(next.ticket);
    }
    if let Some(last) = commits.last() {
        let applied = Applied {
            commit: last.number,
            store: core.store,
        };
        if let Err(error) = core.index.apply(&commits, applied) {
            core.fail(&format!("the index could not be brought forward: {error}"));
            return Step::End;
        }
        core.state.lock().show(&commits);
    }
    for commit in commits {
        for f in commit.on_visible {
            f(CommitNo(commit.number));
        }
    }
    for ticket in tickets {
        ticket.fire();
    }
    bound_replay(core, segment);
    if core.index.pace() {
        add(&core.counters.stalls, 1);
    }
    Step::Done
}

/// Large bodies fill segments with few commits: then the index becomes
/// durable before its memtable is full.
fn bound_replay(core: &Core, segment: u32) {
    let begun = core.flushed_at.load(Ordering::Acquire);
    if segment >= begun.saturating_add(UNFLUSHED_SEGMENTS_MAX) {
        core.flushed_at.store(segment, Ordering::Release);
        if let Err(error) = core.index.begin_flush() {
            tracing::error!("the index could not be flushed: {error}");
        }
    }
}

/// Makes segments ahead of their use.
pub(crate) struct Supplier {
    pub(crate) core: Arc<Core>,
    pub(crate) maker: Maker,
}

impl Supplier {
    /// Keeps segments ready until the store closes.
    pub(crate) fn run(mut self) {
        let core = Arc::clone(&self.core);
        let mut state = core.state.lock();
        core.count_segments(&state);
        while !state.closing && !state.failed {
            if self.supply(&mut state) {
                continue;
            }
            core.supply.wait_for(&mut state, LOOK_AT_SPACE);
            MutexGuard::unlocked(&mut state, || self.look_at_space());
        }
    }

    /// Makes one segment if one is wanted.
    #[cfg(test)]
    pub(crate) fn step(&mut self) -> Step {
        let core = Arc::clone(&self.core);
        let mut state = core.state.lock();
        if state.closing || state.failed {
            Step::End
        } else if self.supply(&mut state) {
            Step::Done
        } else {
            Step::Idle
        }
    }

    /// Makes one segment if one is wanted; true when there is one more.
    fn supply(&mut self, state: &mut MutexGuard<'_, State>) -> bool {
        if state.spares.len() >= self.maker.options.spare_segments.max(1) {
            return false;
        }
        let retired = state.retired.pop_front();
        let made = MutexGuard::unlocked(state, || self.make_spare(retired));
        self.core.room.notify_all();
        let Some(segment) = made else {
            return false;
        };
        state.spares.push_back(segment);
        self.core.count_segments(state);
        true
    }

    fn make_spare(&mut self, retired: Option<Retired>) -> Option<Arc<Segment>> {
        let core = &*self.core;
        let made = match retired {
            Some(retired) => self.maker.make_again(core.store, retired),
            None => {
                let made = self
                    .maker
                    .make(core.store, self.maker.options.segment_bytes);
                if let Ok(segment) = &made {
                    add(&core.counters.bytes_filled, segment.header.bytes);
                }
                made
            }
        };
        let full = made.is_err();
        let was_full = core.disk_full.swap(full, Ordering::AcqRel);
        self.look_at_space();
        match made {
            Ok(segment) => {
                core.segments.insert(&segment);
                Some(segment)
            }
            Err(error) => {
                if !was_full {
                    tracing::error!("no journal segment can be made: {error}");
                }
                if error.raw_os_error() == Some(Errno::IO.raw_os_error()) {
                    // A disk that fails is not a disk that is full: what it
                    // says next is not to be trusted either.
                    core.fail(&format!("a journal segment could not be made: {error}"));
                }
                None
            }
        }
    }

    fn look_at_space(&self) {
        if let Ok(free) = self.maker.disk.free_bytes() {
            self.core.free_bytes.store(free, Ordering::Release);
        }
    }
}

/// Bytes of a segment that is to have about so many.
pub(crate) fn whole_segment(bytes: u64) -> u64 {
    bytes.max(SEGMENT_BYTES_MIN).next_multiple_of(BLOCK as u64)
}

/// Makes segments, each with the next number.
pub(crate) struct Maker {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: Options,
    pub(crate) next: u32,
}

impl Maker {
    /// Makes the next segment.
    pub(crate) fn make(&mut self, store: u64, bytes: u64) -> io::Result<Arc<Segment>> {
        let bytes = whole_segment(bytes);
        let free = self.disk.free_bytes()?;
        if free < bytes.saturating_add(self.options.reserve_bytes) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let header = self.header(store, bytes);
        self.disk.preallocate(self.next, &header.encode(), bytes)?;
        self.publish(header)
    }

    /// Makes the next segment of a retired one.
    fn make_again(&mut self, store: u64, retired: Retired) -> io::Result<Arc<Segment>> {
        let header = self.header(store, retired.bytes);
        let block = header.encode();
        self.disk
            .make_again(retired.number, self.next, &block, retired.bytes)?;
        self.publish(header)
    }

    fn header(&self, store: u64, bytes: u64) -> SegmentHeader {
        SegmentHeader {
            version: FORMAT,
            number: self.next,
            generation: self.disk.random_u64(),
            store,
            bytes,
        }
    }

    fn publish(&mut self, header: SegmentHeader) -> io::Result<Arc<Segment>> {
        let file = self.disk.open(self.next)?;
        self.next += 1;
        Ok(Arc::new(Segment { header, file }))
    }
}
