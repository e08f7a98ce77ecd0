//! The store's threads: one writes groups to the journal, one applies them to
//! the index, one keeps segments ready.

use super::commit::Commit;
use super::core::Core;
use super::disk::Disk;
use super::format::{BLOCK, SegmentHeader};
use super::index::Applied;
use super::options::Options;
use super::segment::Segment;
use crate::contract::CommitNo;
use crate::limits::BATCH_BYTES_MAX;
use crate::stats::{add, set};
use crate::ticket;
use parking_lot::MutexGuard;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

/// Durable groups that may wait for the index; then the writer waits.
pub(crate) const DURABLE_GROUPS_MAX: usize = 32;
/// The smallest segment takes the largest frame.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 2 * BATCH_BYTES_MAX as u64;
/// How often the free space is looked at.
const LOOK_AT_SPACE: Duration = Duration::from_secs(2);

/// A group that is on stable storage.
pub(crate) struct Durable {
    commits: Vec<Commit>,
    ticket: Arc<ticket::Group>,
}

/// Writes whatever has come since the last write, one group at a time.
pub(crate) fn write(core: &Core, durable: &SyncSender<Durable>) {
    let mut state = core.state.lock();
    loop {
        if state.failed {
            return;
        }
        let group = match state.sealed.pop_front() {
            Some(group) => group,
            None if !state.open.is_empty() => state.seal(),
            None if state.closing => return,
            None => {
                core.work.wait(&mut state);
                continue;
            }
        };
        let image = Arc::clone(&group.image);
        state.writing = Some(Arc::clone(&image));
        drop(state);
        let blocks = image.buffer.as_slice();
        let file = &image.segment.file;
        let mut written = file.write_at(blocks, image.offset);
        if written.is_ok() && !file.writes_are_synced() {
            written = file.sync();
        }
        if let Err(error) = written {
            core.fail(&format!("the journal could not be written: {error}"));
            return;
        }
        add(&core.counters.groups, 1);
        add(&core.counters.syncs, 1);
        add(&core.counters.bytes_written, blocks.len() as u64);
        // The receiver is gone only when the applier failed and said so.
        let _ = durable.send(Durable {
            commits: group.commits,
            ticket: group.ticket,
        });
        drop(group.image);
        state = core.state.lock();
        state.writing = None;
        state.pending_bytes = state.pending_bytes.saturating_sub(group.frame_bytes);
        state.recycle(image);
        core.room.notify_all();
    }
}

/// Applies durable groups to the index, several at once when they have piled
/// up, and tells who waits for them.
pub(crate) fn apply(core: &Core, durable: &Receiver<Durable>) {
    while let Ok(first) = durable.recv() {
        let mut commits = first.commits;
        let mut tickets = vec![first.ticket];
        while tickets.len() < DURABLE_GROUPS_MAX
            && let Ok(next) = durable.try_recv()
        {
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
                return;
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
        if core.index.pace() {
            add(&core.counters.stalls, 1);
        }
    }
}

/// Makes segments ahead of their use.
pub(crate) struct Supplier {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: Options,
    pub(crate) next: u32,
}

impl Supplier {
    /// Keeps segments ready until the store closes.
    pub(crate) fn run(mut self, core: &Core) {
        set(&core.counters.segments, u64::from(self.next - 1));
        let mut state = core.state.lock();
        while !state.closing && !state.failed {
            if state.spares.len() < self.options.spare_segments.max(1) {
                let made = MutexGuard::unlocked(&mut state, || self.make_spare(core));
                core.room.notify_all();
                if let Some(segment) = made {
                    state.spares.push_back(segment);
                    continue;
                }
            }
            core.supply.wait_for(&mut state, LOOK_AT_SPACE);
            MutexGuard::unlocked(&mut state, || self.look_at_space(core));
        }
    }

    fn make_spare(&mut self, core: &Core) -> Option<Arc<Segment>> {
        let made = self.make(core.store, self.options.segment_bytes);
        let full = made.is_err();
        let was_full = core.disk_full.swap(full, Ordering::AcqRel);
        self.look_at_space(core);
        match made {
            Ok(segment) => {
                core.segments.insert(&segment);
                set(&core.counters.segments, u64::from(self.next - 1));
                Some(segment)
            }
            Err(error) => {
                if !was_full {
                    tracing::error!("no journal segment can be made: {error}");
                }
                None
            }
        }
    }

    fn look_at_space(&self, core: &Core) {
        if let Ok(free) = self.disk.free_bytes() {
            core.free_bytes.store(free, Ordering::Release);
        }
    }

    /// Makes the next segment.
    pub(crate) fn make(&mut self, store: u64, bytes: u64) -> io::Result<Arc<Segment>> {
        let bytes = bytes.max(SEGMENT_BYTES_MIN).next_multiple_of(BLOCK as u64);
        let free = self.disk.free_bytes()?;
        if free < bytes.saturating_add(self.options.reserve_bytes) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let header = SegmentHeader {
            number: self.next,
            generation: self.disk.random_u64(),
            store,
            bytes,
        };
        self.disk.preallocate(self.next, &header.encode(), bytes)?;
        let file = self.disk.open(self.next)?;
        self.next += 1;
        Ok(Arc::new(Segment { header, file }))
    }
}
