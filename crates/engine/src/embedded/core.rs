//! What all threads of the store share: the group that is being filled, the
//! overlay of commits that the index does not show yet, and the positions.
//!
//! One short lock. Under it a frame is copied and a commit numbered; never is
//! anything written, synced or looked up in the index.

use super::buffer::Buffer;
use super::census::Census;
use super::collect::Retired;
use super::commit::{self, Commit};
use super::format::{FRAME_HEADER, Kind};
use super::freed::Freed;
use super::group::{Image, OpenGroup, SealedGroup};
use super::index::Index;
use super::options::{OnFatal, OnStall};
use super::segment::{OpenSegments, Segment, split};
use super::shelf::Shelf;
use crate::body::Extent;
use crate::contract::{Batch, CommitNo, Expect, ReadError, ShardId, SubmitError, Ticket, Winner};
use crate::limits::{BODY_FRAME_BYTES_MAX, GROUP_BYTES_MAX, LARGE_FRAME_BYTES, PENDING_LARGE_PART};
use crate::stats::{Counters, add};
use crate::ticket;
use bytes::Bytes;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Group buffers kept for the next group.
const BUFFERS_KEPT: usize = 2;
/// How often a look at the index is tried without holding the lock.
pub(crate) const LOOKS: usize = 3;

pub(crate) struct Core {
    pub(crate) state: Mutex<State>,
    /// The writer waits here for frames.
    pub(crate) work: Condvar,
    /// Those who append wait here for room in memory or for a segment.
    pub(crate) room: Condvar,
    /// The supplier waits here for a used-up segment.
    pub(crate) supply: Condvar,
    pub(crate) index: Arc<dyn Index>,
    pub(crate) segments: OpenSegments,
    /// Memory for what is read from them.
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) on_fatal: OnFatal,
    pub(crate) on_stall: Option<OnStall>,
    pub(crate) store: u64,
    pub(crate) free_bytes: AtomicU64,
    /// No segment can be made: the disk is full.
    pub(crate) disk_full: AtomicBool,
    /// How many want all segments kept where they are.
    pub(crate) kept: Mutex<usize>,
    /// One step of collection at a time.
    pub(crate) collecting: Mutex<()>,
    /// Bytes of frames that may wait for the disk.
    pub(crate) pending_max: usize,
    /// Bytes of the segments that are made.
    pub(crate) segment_bytes: u64,
    /// Groups that were handed to the applier and are not applied.
    pub(crate) unapplied: AtomicUsize,
    /// The segment that was written when the index last began to flush.
    pub(crate) flushed_at: AtomicU32,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) open: OpenGroup,
    /// Complete groups that wait for the writer.
    pub(crate) sealed: VecDeque<SealedGroup>,
    /// The group that is being written.
    pub(crate) writing: Option<Arc<Image>>,
    pub(crate) pending_bytes: usize,
    /// The last commit that wrote a key, while the index does not show it.
    overlay: HashMap<Vec<u8>, Latest>,
    /// Counts how often the overlay lost entries.
    pub(crate) shown: u64,
    pub(crate) last_commit: u64,
    /// Fires when the last commit is visible.
    last_ticket: Option<Arc<ticket::Group>>,
    /// The last group that is on stable storage.
    pub(crate) written: u64,
    pub(crate) spares: VecDeque<Arc<Segment>>,
    /// Files of freed segments that are used again.
    pub(crate) retired: VecDeque<Retired>,
    /// The segments that hold groups, and what was freed.
    pub(crate) census: Census,
    pub(crate) freed: Freed,
    pub(crate) buffers: Vec<Buffer>,
    pub(crate) closing: bool,
    /// The journal could not be written: nothing is done any more.
    pub(crate) failed: bool,
}

#[derive(Debug, Clone, Copy)]
struct Latest {
    commit: u64,
    deleted: bool,
}

impl State {
    pub(crate) fn new(open: OpenGroup, last_commit: u64, spares: VecDeque<Arc<Segment>>) -> Self {
        let open_number = open.number;
        Self {
            open,
            sealed: VecDeque::new(),
            writing: None,
            pending_bytes: 0,
            overlay: HashMap::new(),
            shown: 0,
            last_commit,
            last_ticket: None,
            written: open_number.saturating_sub(1),
            spares,
            retired: VecDeque::new(),
            census: Census::default(),
            freed: Freed::default(),
            buffers: Vec::new(),
            closing: false,
            failed: false,
        }
    }

    /// There is something to write, and nobody waits for it.
    pub(crate) fn can_wait(&self) -> bool {
        let ends = self.closing || self.failed;
        !ends && self.sealed.is_empty() && !self.open.is_empty() && !self.open.is_urgent()
    }

    /// Completes the open group and begins the next one behind it.
    pub(crate) fn seal(&mut self) -> SealedGroup {
        let at = (Arc::clone(&self.open.image.segment), self.open.image.end());
        let buffer = self
            .buffers
            .pop()
            .unwrap_or_else(|| Buffer::new(GROUP_BYTES_MAX));
        let next = OpenGroup::new(self.open.number + 1, self.last_commit + 1, at, buffer);
        std::mem::replace(&mut self.open, next).seal()
    }

    /// Keeps a buffer for the next group.
    pub(crate) fn recycle(&mut self, image: Arc<Image>) {
        if self.buffers.len() < BUFFERS_KEPT
            && let Ok(image) = Arc::try_unwrap(image)
        {
            self.buffers.push(image.buffer);
        }
    }

    /// Puts the open group, which is empty, into a new segment.
    pub(crate) fn begin_segment(&mut self, segment: Arc<Segment>) {
        let first = self.open.header();
        self.census
            .insert(segment.number(), segment.header.bytes, Some(first));
        self.open.image.offset = segment.first();
        self.open.image.segment = segment;
    }

    /// The first segment that something may still be written to.
    pub(crate) fn unsettled(&self) -> u32 {
        let waiting = self.sealed.front().map(|group| &*group.image);
        let image = self.writing.as_deref().or(waiting);
        image.unwrap_or(&self.open.image).segment.number()
    }

    /// True when a commit wrote this key that the index does not show yet.
    pub(crate) fn is_pending(&self, key: &[u8]) -> bool {
        self.overlay.contains_key(key)
    }

    fn holds(&self, key: &[u8], expect: Expect) -> Option<bool> {
        let latest = self.overlay.get(key)?;
        Some(match expect {
            Expect::Absent => latest.deleted,
            Expect::Version(wanted) => !latest.deleted && latest.commit == wanted.0,
        })
    }

    /// What a batch that comes too late waits for. All commits before the last
    /// one are visible when that is.
    fn winner(&self) -> Winner {
        Winner(self.last_ticket.clone().map(ticket::Waiter))
    }

    /// The index shows these commits now.
    pub(crate) fn show(&mut self, commits: &[Commit]) {
        self.shown += 1;
        for commit in commits {
            for (key, _) in &commit.writes {
                if self
                    .overlay
                    .get(key)
                    .is_some_and(|latest| latest.commit == commit.number)
                {
                    self.overlay.remove(key);
                }
            }
        }
    }
}

impl Core {
    /// The same where the frame is a large one.
    pub(crate) fn pending_large_max(&self) -> usize {
        self.pending_max / PENDING_LARGE_PART
    }

    pub(crate) fn put_body(&self, frame: &[u8]) -> Result<Extent, SubmitError> {
        if frame.len() > BODY_FRAME_BYTES_MAX {
            return Err(SubmitError::TooLarge { size: frame.len() });
        }
        let crc = crc32fast::hash(frame);
        let mut state = self.state.lock();
        let pending_max = if frame.len() < LARGE_FRAME_BYTES {
            self.pending_max
        } else {
            self.pending_large_max()
        };
        self.make_room(&mut state, frame.len(), pending_max)?;
        let offset = state.open.append(Kind::Body, 0, frame, crc);
        let segment = u64::from(state.open.image.segment.number());
        state.pending_bytes += FRAME_HEADER + frame.len();
        let is_urgent = state.open.is_urgent();
        drop(state);
        if is_urgent {
            self.work.notify_one();
        }
        add(&self.counters.frames, 1);
        add(&self.counters.body_bytes, frame.len() as u64);
        Ok(Extent {
            shard: ShardId(0),
            place: segment << 32 | offset,
            len: frame.len() as u32,
            crc,
        })
    }

    pub(crate) fn read_body(&self, extent: &Extent) -> Result<Bytes, ReadError> {
        let (segment, offset) = split(extent)?;
        {
            let state = self.state.lock();
            let sealed = state.sealed.iter().map(|group| &*group.image);
            let pending = [&state.open.image];
            let images = state
                .writing
                .as_deref()
                .into_iter()
                .chain(sealed)
                .chain(pending);
            for image in images {
                if let Some(body) = image.read_body(segment, offset, extent) {
                    return body;
                }
            }
        }
        let segment = self.segments.get(segment)?;
        segment.read_body(offset, extent, &self.shelf)
    }

    /// Checks, numbers and appends a batch whose keys and size are checked.
    pub(crate) fn submit(&self, batch: Batch) -> Result<Ticket, SubmitError> {
        let payload = commit::encode(&batch.writes);
        let crc = crc32fast::hash(&payload);
        let mut state = self.look(&batch.conditions, payload.len())?;
        state.last_commit += 1;
        let number = state.last_commit;
        for (key, value) in &batch.writes {
            let latest = Latest {
                commit: number,
                deleted: value.is_none(),
            };
            state.overlay.insert(key.clone(), latest);
        }
        state.open.append(Kind::Commit, number, &payload, crc);
        state.pending_bytes += FRAME_HEADER + payload.len();
        let group = Arc::clone(&state.open.ticket);
        state.last_ticket = Some(Arc::clone(&group));
        let Batch {
            writes,
            on_visible,
            can_wait,
            ..
        } = batch;
        // A writer that is told of the first one looks again in time.
        let wakes = !can_wait || state.open.commits.is_empty();
        state.open.is_awaited |= !can_wait;
        state.open.commits.push(Commit {
            number,
            writes,
            on_visible,
        });
        drop(state);
        if wakes {
            self.work.notify_one();
        }
        add(&self.counters.frames, 1);
        add(&self.counters.commits, 1);
        Ok(Ticket {
            commit: CommitNo(number),
            done: ticket::Waiter(group),
        })
    }

    /// Returns with the lock held, room for the frame, and every condition true.
    ///
    /// The index may have to read the disk, so it is asked without the lock. A
    /// key that is not in the overlay before and after was not written
    /// meanwhile if the overlay lost no entries between; else it is asked again.
    fn look(
        &self,
        conditions: &[(Vec<u8>, Expect)],
        payload: usize,
    ) -> Result<MutexGuard<'_, State>, SubmitError> {
        let mut looks = 0;
        let mut state = self.state.lock();
        self.make_room(&mut state, payload, self.pending_max)?;
        let mut known = vec![None; conditions.len()];
        let mut known_at = state.shown;
        loop {
            if state.shown != known_at {
                known.fill(None);
                known_at = state.shown;
            }
            let mut unknown = false;
            for ((key, expect), known) in conditions.iter().zip(&known) {
                match state.holds(key, *expect).or(*known) {
                    Some(true) => {}
                    Some(false) => {
                        add(&self.counters.conflicts, 1);
                        return Err(SubmitError::Conflict {
                            key: key.clone(),
                            winner: state.winner(),
                        });
                    }
                    None => unknown = true,
                }
            }
            if !unknown {
                return Ok(state);
            }
            looks += 1;
            let mut ask = || self.ask_index(conditions, &mut known);
            if looks <= LOOKS {
                MutexGuard::unlocked(&mut state, ask)?;
                self.make_room(&mut state, payload, self.pending_max)?;
            } else {
                ask()?;
            }
        }
    }

    fn ask_index(
        &self,
        conditions: &[(Vec<u8>, Expect)],
        known: &mut [Option<bool>],
    ) -> Result<(), SubmitError> {
        let (snapshot, _) = self.index.snapshot();
        for ((key, expect), known) in conditions.iter().zip(known) {
            let version = snapshot.get(key)?.map(|stored| stored.version);
            *known = Some(match expect {
                Expect::Absent => version.is_none(),
                Expect::Version(wanted) => version == Some(*wanted),
            });
        }
        Ok(())
    }

    /// Makes the open group one that takes a frame with this payload. Waits
    /// while too much is on its way to the disk.
    pub(crate) fn make_room(
        &self,
        state: &mut MutexGuard<'_, State>,
        payload: usize,
        pending_max: usize,
    ) -> Result<(), SubmitError> {
        let pending = state.pending_bytes as u64;
        self.counters
            .pending_bytes_peak
            .fetch_max(pending, Ordering::Relaxed);
        loop {
            if state.closing || state.failed {
                return Err(SubmitError::Closed);
            }
            if state.pending_bytes > pending_max {
                self.wait_for_room(state);
                continue;
            }
            if state.open.takes(payload) {
                return Ok(());
            }
            if !state.open.is_empty() {
                let sealed = state.seal();
                state.sealed.push_back(sealed);
                self.work.notify_one();
                continue;
            }
            if let Some(segment) = state.spares.pop_front() {
                state.begin_segment(segment);
                self.supply.notify_one();
                continue;
            }
            if self.disk_full.load(Ordering::Acquire) {
                return Err(SubmitError::Full);
            }
            self.supply.notify_one();
            self.wait_for_room(state);
        }
    }

    fn wait_for_room(&self, state: &mut MutexGuard<'_, State>) {
        add(&self.counters.stalls, 1);
        // It may hold back what nobody waits for.
        state.open.is_awaited = true;
        self.work.notify_one();
        match &self.on_stall {
            None => self.room.wait(state),
            Some(work) => MutexGuard::unlocked(state, || work()),
        }
    }

    /// The journal cannot be written: nothing is acknowledged any more.
    pub(crate) fn fail(&self, why: &str) {
        self.state.lock().failed = true;
        self.work.notify_all();
        self.room.notify_all();
        self.supply.notify_all();
        (self.on_fatal)(why);
    }
}
