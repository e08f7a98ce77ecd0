//! The backend without a disk: for tests and the simulation.
//!
//! It keeps the whole contract: a commit is numbered at `submit`, but becomes
//! visible later, on a thread of its own, so that nobody comes to rely on
//! visibility at `submit`. Maps share structure between versions, so a
//! snapshot is a true view of one moment and costs nothing.

use crate::body::Extent;
use crate::collect::{CollectError, Goal, SealedSegment, Step, Walk};
use crate::contract::{
    Batch, CommitNo, Engine, Expect, Order, ReadError, ShardId, Snapshot, SubmitError, Ticket,
    Versioned, VisibleFn, Winner,
};
use crate::keys;
use crate::limits::BODY_FRAME_BYTES_MAX;
use crate::stats::{Counters, Stats, add};
use crate::ticket;
use bytes::Bytes;
use imbl::OrdMap;
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// Bodies of one segment: few, so that tests meet many segments.
const BODIES_PER_SEGMENT: u64 = 8;

fn segment_of(body: u64) -> u32 {
    (body / BODIES_PER_SEGMENT) as u32 + 1
}

/// Ordered keys with the versions of their values, at one moment.
pub(crate) type Map = OrdMap<Vec<u8>, Versioned>;

/// A store in memory.
#[derive(Debug)]
pub struct MemoryEngine {
    shards: u16,
    shared: Arc<Shared>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    counters: Counters,
}

#[derive(Debug, Default)]
struct State {
    tips: Vec<Tip>,
    visible: Vec<Map>,
    bodies: HashMap<(ShardId, u64), Bytes>,
    next_body: u64,
    last_ticket: Option<Arc<ticket::Group>>,
    submitted: VecDeque<Submitted>,
    closed: bool,
}

/// What was submitted last in a shard.
#[derive(Debug, Default)]
struct Tip {
    map: Map,
    last: u64,
}

struct Submitted {
    shard: ShardId,
    commit: CommitNo,
    map: Map,
    on_visible: Vec<VisibleFn>,
    group: Arc<ticket::Group>,
}

impl std::fmt::Debug for Submitted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Submitted").field(&self.commit).finish()
    }
}

impl MemoryEngine {
    /// An empty store with `shards` shards, at least one.
    #[must_use]
    pub fn new(shards: u16) -> Self {
        let shards = shards.max(1);
        let shared = Arc::new(Shared::default());
        {
            let mut state = shared.state.lock();
            state.tips.resize_with(usize::from(shards), Tip::default);
            state.visible.resize_with(usize::from(shards), Map::default);
        }
        let worker = thread::Builder::new()
            .name("store-memory".into())
            .spawn({
                let shared = Arc::clone(&shared);
                move || show(&shared)
            })
            .ok();
        Self {
            shards,
            shared,
            worker: Mutex::new(worker),
        }
    }
}

impl Drop for MemoryEngine {
    fn drop(&mut self) {
        self.shared.state.lock().closed = true;
        self.shared.wake.notify_all();
        if let Some(worker) = self.worker.lock().take()
            && worker.thread().id() != thread::current().id()
        {
            let _ = worker.join();
        }
    }
}

/// Makes commits visible in their order until the engine closes.
fn show(shared: &Shared) {
    let mut state = shared.state.lock();
    loop {
        let Some(next) = state.submitted.pop_front() else {
            if state.closed {
                return;
            }
            shared.wake.wait(&mut state);
            continue;
        };
        state.visible[usize::from(next.shard.0)] = next.map;
        drop(state);
        for f in next.on_visible {
            f(next.commit);
        }
        next.group.fire();
        state = shared.state.lock();
    }
}

impl Engine for MemoryEngine {
    fn shards(&self) -> u16 {
        self.shards
    }

    fn shard_of_account(&self, account: u64) -> ShardId {
        keys::shard_of_account(account, self.shards)
    }

    fn put_body(&self, shard: ShardId, frame: &[u8]) -> Result<Extent, SubmitError> {
        if frame.len() > BODY_FRAME_BYTES_MAX {
            return Err(SubmitError::TooLarge { size: frame.len() });
        }
        if shard.0 >= self.shards {
            return Err(SubmitError::CrossShard);
        }
        let mut state = self.shared.state.lock();
        if state.closed {
            return Err(SubmitError::Closed);
        }
        let number = state.next_body;
        state.next_body += 1;
        let place = u64::from(segment_of(number)) << 32 | number & 0xffff_ffff;
        state
            .bodies
            .insert((shard, place), Bytes::copy_from_slice(frame));
        add(&self.shared.counters.frames, 1);
        add(&self.shared.counters.body_bytes, frame.len() as u64);
        Ok(Extent {
            shard,
            place,
            len: frame.len() as u32,
            crc: crc32fast::hash(frame),
        })
    }

    fn read_body(&self, extent: &Extent) -> Result<Bytes, ReadError> {
        let state = self.shared.state.lock();
        let body = state
            .bodies
            .get(&(extent.shard, extent.place))
            .ok_or(ReadError::NoSuchBody)?;
        if body.len() != extent.len as usize || crc32fast::hash(body) != extent.crc {
            return Err(ReadError::Damaged("the body is not the one named".into()));
        }
        Ok(body.clone())
    }

    fn submit(&self, mut batch: Batch) -> Result<Ticket, SubmitError> {
        let shard = batch.check(self.shards)?;
        let mut state = self.shared.state.lock();
        if state.closed {
            return Err(SubmitError::Closed);
        }
        let tip = &mut state.tips[usize::from(shard.0)];
        for (key, expect) in batch.conditions {
            let version = tip.map.get(&key).map(|v| v.version);
            let holds = match expect {
                Expect::Absent => version.is_none(),
                Expect::Version(wanted) => version == Some(wanted),
            };
            if !holds {
                add(&self.shared.counters.conflicts, 1);
                let winner = Winner(state.last_ticket.clone().map(ticket::Waiter));
                return Err(SubmitError::Conflict { key, winner });
            }
        }
        tip.last += 1;
        let commit = CommitNo(tip.last);
        for (key, value) in batch.writes {
            match value {
                Some(value) => tip.map.insert(
                    key,
                    Versioned {
                        version: commit,
                        value,
                    },
                ),
                None => tip.map.remove(&key),
            };
        }
        let map = tip.map.clone();
        let group = ticket::Group::new();
        state.last_ticket = Some(Arc::clone(&group));
        state.submitted.push_back(Submitted {
            shard,
            commit,
            map,
            on_visible: batch.on_visible,
            group: Arc::clone(&group),
        });
        drop(state);
        self.shared.wake.notify_one();
        add(&self.shared.counters.commits, 1);
        add(&self.shared.counters.frames, 1);
        Ok(Ticket {
            commit,
            done: ticket::Waiter(group),
        })
    }

    fn snapshot(&self, shard: ShardId) -> Box<dyn Snapshot> {
        let state = self.shared.state.lock();
        Box::new(MapSnapshot(
            state
                .visible
                .get(usize::from(shard.0))
                .cloned()
                .unwrap_or_default(),
        ))
    }

    fn has_room_for(&self, _bytes: u64) -> bool {
        true
    }

    fn stats(&self) -> Stats {
        self.shared.counters.read()
    }

    fn body_segment(&self, _shard: ShardId) -> u32 {
        segment_of(self.shared.state.lock().next_body)
    }

    fn sealed_segments(&self, shard: ShardId) -> Vec<SealedSegment> {
        let state = self.shared.state.lock();
        let open = segment_of(state.next_body);
        let mut segments = BTreeMap::new();
        for (&(of, place), body) in &state.bodies {
            let number = (place >> 32) as u32;
            if of == shard && number < open {
                *segments.entry(number).or_default() += body.len() as u64;
            }
        }
        let segment = |(number, bytes)| SealedSegment {
            number,
            bytes,
            records: Some((0, open)),
            damaged: false,
        };
        segments.into_iter().map(segment).collect()
    }

    fn collect_step(&self, walk: &mut Walk) -> Result<Step, CollectError> {
        let mut state = self.shared.state.lock();
        if walk.segment >= segment_of(state.next_body) {
            return Err(CollectError::NotNow);
        }
        if walk.goal == Goal::Free {
            // Records have no segment here; only bodies take space.
            state.bodies.retain(|&(shard, place), _| {
                shard != walk.shard || (place >> 32) as u32 != walk.segment
            });
            add(&self.shared.counters.segments_freed, 1);
        }
        Ok(Step::Done)
    }
}

/// Before this key lie an engine's own; scans leave them out.
pub(crate) const FIRST_KEY: &[u8] = b"\x01";

/// A view of a [`Map`].
pub(crate) struct MapSnapshot(pub(crate) Map);

impl Snapshot for MapSnapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        order: Order,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Versioned)>, ReadError> {
        // The engine's own keys are nobody's business.
        let start = start.max(FIRST_KEY);
        if start >= end {
            return Ok(Vec::new());
        }
        let bounds = (Bound::Included(start), Bound::Excluded(end));
        let pairs = self.0.range::<_, [u8]>(bounds);
        let owned = |(key, value): (&Vec<u8>, &Versioned)| (key.clone(), value.clone());
        Ok(match order {
            Order::Ascending => pairs.take(limit).map(owned).collect(),
            Order::Descending => pairs.rev().take(limit).map(owned).collect(),
        })
    }
}
