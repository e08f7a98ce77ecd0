//! Freeing a segment: its live records are copied forward, then it goes.
//!
//! - A record is alive if the index still holds its commit's number for its key.
//!   It is copied under that number, and only while this is true of everything
//!   submitted before: so a moved commit never comes behind a newer one of a key
//!   of its, and whoever reads the journal in its order ends with the right value.
//! - A deletion is copied while another segment exists that may hold what it
//!   deletes: one that begins no later than the deletion's commit.
//! - The index must be durable beyond everything in the segment. So whatever
//!   state of it a crash leaves, no commit that it still needs was freed; only an
//!   index that is lost altogether is made from what was copied.
//! - A commit says that the segment is freed ([`super::freed`]). Then its file
//!   leaves the list, durably; only then does it no longer count as one that may
//!   hold something. Its space is used again without filling it, or returned.

use super::census::Bounds;
use super::commit::{self, Writes};
use super::core::{Core, LOOKS, State};
use super::format::{FRAME_HEADER, GROUP_HEADER, Kind, align_up};
use super::freed::Run;
use super::scan::{self, Frames};
use crate::collect::{CollectError, Goal, SealedSegment, Step, Walk};
use crate::contract::{Batch, CommitNo, ReadError, Snapshot, SubmitError};
use crate::limits::COLLECT_STEP_BYTES;
use crate::stats::{add, set};
use parking_lot::MutexGuard;
use std::io::ErrorKind;
use std::sync::atomic::Ordering;

/// A retired segment whose file waits for its next life.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retired {
    pub(crate) number: u32,
    pub(crate) bytes: u64,
}

impl Core {
    /// The segments that nothing is written to any more.
    pub(crate) fn sealed_segments(&self) -> Vec<SealedSegment> {
        let state = self.state.lock();
        state.census.sealed(state.unsettled())
    }

    /// See [`crate::Engine::collect_step`].
    pub(crate) fn collect_step(&self, walk: &mut Walk) -> Result<Step, CollectError> {
        if let Some(ticket) = &walk.freed {
            if !ticket.is_done() {
                return Ok(Step::Waiting);
            }
            return self.remove(walk.segment);
        }
        let bounds = self.bounds(walk)?;
        let result = self.read_on(walk, bounds);
        if let Err(CollectError::Damaged(segment)) = result {
            if let Some(life) = self.state.lock().census.life_mut(segment) {
                life.damaged = true;
            }
            tracing::error!("segment {segment} is damaged and is not collected");
        }
        if !result? {
            return Ok(Step::More);
        }
        match walk.goal {
            Goal::Count => {
                let mut state = self.state.lock();
                let newest = state.open.image.segment.number();
                if let Some(life) = state.census.life_mut(walk.segment) {
                    life.records = Some((walk.live, newest));
                }
                Ok(Step::Done)
            }
            Goal::Free => self.free(walk, bounds),
        }
    }

    fn bounds(&self, walk: &Walk) -> Result<Bounds, CollectError> {
        let state = self.state.lock();
        if state.closing || state.failed {
            return Err(SubmitError::Closed.into());
        }
        let sealed = state.census.sealed(state.unsettled());
        let Some(segment) = sealed.iter().find(|of| of.number == walk.segment) else {
            return Err(CollectError::NotNow);
        };
        if segment.damaged {
            return Err(CollectError::Damaged(walk.segment));
        }
        let bounds = state.census.bounds(walk.segment, &state.freed);
        drop(state);
        let bounds = bounds.ok_or(CollectError::NotNow)?;
        let (_, shown) = self.index.snapshot();
        if shown.0 < bounds.last_commit {
            return Err(CollectError::NotNow);
        }
        Ok(bounds)
    }

    /// Reads the next groups; true at the end of the segment.
    fn read_on(&self, walk: &mut Walk, bounds: Bounds) -> Result<bool, CollectError> {
        let segment = self.segments.get(walk.segment)?;
        if walk.at == 0 {
            walk.at = segment.first();
            walk.group = bounds.first_group - 1;
        }
        let mut bytes = Vec::new();
        let mut done = 0;
        while walk.group < bounds.last_group {
            if done >= COLLECT_STEP_BYTES {
                return Ok(false);
            }
            let read = scan::read_group(&segment, walk.at, walk.group, &mut bytes)
                .map_err(ReadError::from)?;
            let Some(header) = read.filter(|header| header.number == walk.group + 1) else {
                return Err(CollectError::Damaged(walk.segment));
            };
            for frame in Frames::new(&segment, walk.at, &bytes) {
                let Some((header, _, payload)) = frame else {
                    return Err(CollectError::Damaged(walk.segment));
                };
                if header.kind == Kind::Body {
                    continue;
                }
                let writes =
                    commit::decode(payload).map_err(|_| CollectError::Damaged(walk.segment))?;
                walk.live += match walk.goal {
                    Goal::Count => self.count_alive(header.commit, writes, bounds)?,
                    Goal::Free => self.move_alive(header.commit, writes, bounds)?,
                };
            }
            let len = align_up((GROUP_HEADER + header.bytes as usize) as u64);
            walk.at += len;
            walk.group = header.number;
            done += len;
        }
        Ok(true)
    }

    fn count_alive(
        &self,
        number: u64,
        mut writes: Writes,
        bounds: Bounds,
    ) -> Result<u64, CollectError> {
        let (snapshot, _) = self.index.snapshot();
        retain_alive(&*snapshot, number, &mut writes, bounds)?;
        Ok(if writes.is_empty() {
            0
        } else {
            (FRAME_HEADER + commit::encode(&writes).len()) as u64
        })
    }

    /// Copies what is alive of a commit to the journal's end; how many bytes.
    ///
    /// As with conditions, the index is asked without the lock; what was
    /// submitted meanwhile shows in the overlay, or in that it lost entries.
    fn move_alive(
        &self,
        number: u64,
        mut writes: Writes,
        bounds: Bounds,
    ) -> Result<u64, CollectError> {
        let mut looks = 0;
        loop {
            let shown = self.state.lock().shown;
            let (snapshot, _) = self.index.snapshot();
            retain_alive(&*snapshot, number, &mut writes, bounds)?;
            if writes.is_empty() {
                return Ok(0);
            }
            let mut payload = commit::encode(&writes);
            let mut state = self.state.lock();
            self.make_room(&mut state, payload.len(), self.pending_large_max())?;
            let before = writes.len();
            writes.retain(|(key, _)| !state.is_pending(key));
            if writes.len() == before && state.shown != shown {
                looks += 1;
                if looks <= LOOKS {
                    continue;
                }
                let (snapshot, _) = self.index.snapshot();
                retain_alive(&*snapshot, number, &mut writes, bounds)?;
            }
            if writes.is_empty() {
                return Ok(0);
            }
            if writes.len() < before {
                payload = commit::encode(&writes);
            }
            return Ok(self.append_moved(state, number, &payload));
        }
    }

    fn append_moved(&self, mut state: MutexGuard<'_, State>, number: u64, payload: &[u8]) -> u64 {
        let crc = crc32fast::hash(payload);
        let bytes = FRAME_HEADER + payload.len();
        state.open.append(Kind::Moved, number, payload, crc);
        state.open.is_awaited = true;
        state.pending_bytes += bytes;
        drop(state);
        self.work.notify_one();
        add(&self.counters.frames, 1);
        add(&self.counters.records_moved_bytes, bytes as u64);
        bytes as u64
    }

    /// Everything is copied: says so in a commit.
    fn free(&self, walk: &mut Walk, bounds: Bounds) -> Result<Step, CollectError> {
        if self.index.durable() < bounds.last_commit {
            self.index.flush()?;
        }
        if self.index.durable() < bounds.last_commit {
            return Err(CollectError::NotNow);
        }
        let mut batch = Batch::new();
        let mut freed = self.state.lock().freed.clone();
        let run = Run {
            groups: (bounds.first_group, bounds.last_group),
            segments: (walk.segment, walk.segment),
        };
        freed.add(run, &mut batch);
        // An empty batch, when an earlier try came this far, still waits for
        // what was copied.
        let ticket = self.submit(batch)?;
        self.state.lock().freed = freed;
        walk.freed = Some(ticket);
        Ok(Step::Waiting)
    }

    /// Takes a segment that is freed out of the list.
    fn remove(&self, number: u32) -> Result<Step, CollectError> {
        // Held until it is gone: whoever wants all segments kept waits for it.
        let kept = self.kept.lock();
        if *kept > 0 {
            return Ok(Step::Waiting);
        }
        let reusable = {
            let mut state = self.state.lock();
            let wanted = state.retired.is_empty();
            let life = state.census.life_mut(number).copied();
            life.filter(|life| wanted && life.bytes == self.segment_bytes)
        };
        self.segments.forget(number);
        let disk = self.segments.disk();
        let retired = match reusable {
            Some(life) if disk.retire(number).is_ok() => Some(Retired {
                number,
                bytes: life.bytes,
            }),
            _ => {
                match disk.unlink(number) {
                    // An earlier try came this far.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    result => result.map_err(ReadError::from)?,
                }
                None
            }
        };
        if let Err(error) = disk.sync_folder() {
            // As with any sync that fails: nobody knows what the disk holds.
            self.fail(&format!(
                "the journal's folder could not be synced: {error}"
            ));
            return Err(ReadError::from(error).into());
        }
        let mut state = self.state.lock();
        state.census.remove(number);
        state.retired.extend(retired);
        self.count_segments(&state);
        drop(state);
        drop(kept);
        self.supply.notify_one();
        add(&self.counters.segments_freed, 1);
        if let Ok(free) = disk.free_bytes() {
            self.free_bytes.store(free, Ordering::Release);
        }
        Ok(Step::Done)
    }

    /// Sets the gauges.
    pub(crate) fn count_segments(&self, state: &State) {
        let spare: u64 = state.spares.iter().map(|spare| spare.header.bytes).sum();
        let retired: u64 = state.retired.iter().map(|retired| retired.bytes).sum();
        let count = state.census.len() + state.spares.len() + state.retired.len();
        set(&self.counters.segments, count as u64);
        set(
            &self.counters.segment_bytes,
            state.census.bytes() + spare + retired,
        );
    }
}

/// Leaves those writes of a commit that are alive.
fn retain_alive(
    snapshot: &dyn Snapshot,
    number: u64,
    writes: &mut Writes,
    bounds: Bounds,
) -> Result<(), ReadError> {
    let deletes_something = bounds.oldest_other.is_some_and(|oldest| oldest <= number);
    let mut failed = None;
    writes.retain(|(key, value)| {
        if value.is_none() && !deletes_something {
            return false;
        }
        match snapshot.get(key) {
            Ok(Some(stored)) => value.is_some() && stored.version == CommitNo(number),
            Ok(None) => value.is_none(),
            Err(error) => {
                failed.get_or_insert(error);
                true
            }
        }
    });
    failed.map_or(Ok(()), Err)
}
