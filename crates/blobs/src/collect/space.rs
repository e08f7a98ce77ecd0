//! Gives the space of dead bytes back.
//!
//! A pass looks at every blob record of the shard twice, a page at a time: once
//! to count the live bytes of each sealed segment, once to move what lies in the
//! segments that were chosen. What it holds in memory is a number for each
//! segment. Passes are made when enough died since the last one.
//!
//! | phase | |
//! |---|---|
//! | resting | until enough died, or the journal grew |
//! | counting | live bytes of bodies, by segment |
//! | measuring | live bytes of records, in segments that look dead enough without them |
//! | moving | bodies out of the chosen segments |
//! | freeing | the engine moves the records and frees the segments |
//!
//! A segment is not chosen while a message holds it that no commit names yet
//! ([`crate::holds`]), nor if a body in it cannot be read.

use super::{Progress, Report};
use crate::BlobId;
use crate::limits::{DEAD_PERCENT, GROWN_SEGMENTS, MOVE_BYTES, RECORDS_PAGE, VICTIMS_MAX};
use crate::link::{self, Key};
use crate::record::Record;
use crate::store::{BlobError, Blobs};
use crate::unlinked::{self, Candidate};
use engine::{
    Batch, CollectError, Expect, Goal, Order, SealedSegment, ShardId, Step, SubmitError, Versioned,
    Walk, keys,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What a pass is doing.
#[derive(Debug)]
enum Phase {
    Rest,
    Count(Pages, BTreeMap<u32, u64>),
    Measure(VecDeque<Suspect>, Option<Walk>, Vec<Victim>),
    Move(Pages, BTreeMap<u32, u64>),
    Free(BTreeMap<u32, u64>, Option<Walk>),
}

/// A segment that may be worth collecting.
#[derive(Debug, Clone, Copy)]
struct Suspect {
    segment: SealedSegment,
    /// Live bytes of bodies.
    bodies: u64,
}

/// A segment that is.
#[derive(Debug, Clone, Copy)]
struct Victim {
    number: u32,
    bytes: u64,
}

/// A scan of the shard's blobs, a page at a time.
#[derive(Debug)]
struct Pages {
    start: Vec<u8>,
    end: Vec<u8>,
    /// The last blob that a link was seen of: links come before the record.
    linked: Option<BlobId>,
}

impl Pages {
    fn new(shard: ShardId) -> Self {
        let start = keys::blob(shard);
        let end = keys::end_of(&start);
        Self {
            start,
            end,
            linked: None,
        }
    }

    fn next(&mut self, blobs: &Blobs, shard: ShardId) -> Result<Vec<(Key, Versioned)>, BlobError> {
        let snapshot = blobs.engine().snapshot(shard);
        let mut found = Vec::new();
        let page = snapshot.scan(&self.start, &self.end, Order::Ascending, RECORDS_PAGE)?;
        if let Some((last, _)) = page.last() {
            self.start.clone_from(last);
            self.start.push(0);
        }
        for (key, stored) in page {
            // `fsck` tells of keys that are none.
            found.extend(link::parse(&key).map(|key| (key, stored)));
        }
        Ok(found)
    }
}

/// Gives back the space of one shard.
#[derive(Debug)]
pub(crate) struct Space {
    shard: ShardId,
    phase: Phase,
    /// Stored bytes of blobs that were deleted since the last pass.
    died: u64,
    /// The newest segment at the last pass; `None` before the first.
    counted_at: Option<u32>,
    /// There were more to choose than one pass takes.
    more: bool,
    /// Segments with bodies that cannot be read.
    stuck: BTreeSet<u32>,
}

impl Space {
    pub(crate) fn new(shard: ShardId) -> Self {
        Self {
            shard,
            phase: Phase::Rest,
            died: 0,
            counted_at: None,
            more: false,
            stuck: BTreeSet::new(),
        }
    }

    /// So many bytes have nobody who names them any more.
    pub(crate) fn died(&mut self, bytes: u64) {
        self.died += bytes;
    }

    /// Does a step of a pass.
    pub(crate) fn step(
        &mut self,
        blobs: &Blobs,
        report: &mut Report,
    ) -> Result<Progress, BlobError> {
        // An error leaves the phase at rest, and the next pass begins anew.
        let result = match std::mem::replace(&mut self.phase, Phase::Rest) {
            Phase::Rest => Ok(self.begin(blobs)),
            Phase::Count(pages, live) => self.count(blobs, pages, live, report),
            Phase::Measure(suspects, walk, victims) => {
                self.measure(blobs, suspects, walk, victims, report)
            }
            Phase::Move(pages, victims) => self.make_room(blobs, pages, victims, report),
            Phase::Free(victims, walk) => self.free(blobs, victims, walk, report),
        };
        self.more |= result.is_err();
        result
    }

    /// Begins a pass if enough died since the last one.
    fn begin(&mut self, blobs: &Blobs) -> Progress {
        let sealed = blobs.engine().sealed_segments(self.shard);
        let total: u64 = sealed.iter().map(|segment| segment.bytes).sum();
        let largest = sealed.iter().map(|segment| segment.bytes).max();
        let newest = sealed.last().map_or(0, |segment| segment.number);
        let died = self.died >= largest.unwrap_or(u64::MAX).max(total / 20) / 2;
        let grown = self
            .counted_at
            .is_none_or(|at| newest >= at.saturating_add(GROWN_SEGMENTS));
        if sealed.is_empty() || !(died || grown || self.more) {
            return Progress::Rest;
        }
        (self.died, self.counted_at, self.more) = (0, Some(newest), false);
        self.phase = Phase::Count(Pages::new(self.shard), BTreeMap::new());
        Progress::More
    }

    fn count(
        &mut self,
        blobs: &Blobs,
        mut pages: Pages,
        mut live: BTreeMap<u32, u64>,
        report: &mut Report,
    ) -> Result<Progress, BlobError> {
        let page = pages.next(blobs, self.shard)?;
        if page.is_empty() {
            self.suspect(blobs, &live, report);
            return Ok(Progress::More);
        }
        let mut forgotten = Vec::new();
        for (key, stored) in page {
            match key {
                Key::Link(id, _) => pages.linked = Some(id),
                Key::Record(id) => {
                    if pages.linked != Some(id) {
                        forgotten.push((id, stored.version));
                    }
                    if let Ok(record) = Record::decode(&stored.value) {
                        for chunk in &record.chunks {
                            let stored = u64::from(chunk.extent.stored_len());
                            *live.entry(chunk.extent.segment()).or_default() += stored;
                        }
                    }
                }
            }
        }
        self.remember(blobs, forgotten)?;
        self.phase = Phase::Count(pages, live);
        Ok(Progress::More)
    }

    /// Blobs that nobody uses and that no key in `U` names: what an older
    /// version of the program left.
    fn remember(
        &self,
        blobs: &Blobs,
        forgotten: Vec<(BlobId, engine::CommitNo)>,
    ) -> Result<(), BlobError> {
        let snapshot = blobs.engine().snapshot(self.shard);
        for (id, version) in forgotten {
            let key = unlinked::key(self.shard, id);
            if snapshot.get(&key)?.is_some() {
                continue;
            }
            let mut batch = Batch::new();
            batch.expect(key.clone(), Expect::Absent);
            let record = link::record_key(self.shard, id);
            batch.expect(record, Expect::Version(version));
            batch.put(key, Candidate::New.encode());
            match blobs.engine().submit(batch) {
                Ok(_) | Err(SubmitError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Bodies are counted: which segments are worth a closer look?
    fn suspect(&mut self, blobs: &Blobs, live: &BTreeMap<u32, u64>, report: &mut Report) {
        let first_held = blobs.first_held(self.shard);
        let mut suspects = Vec::new();
        (report.sealed_bytes, report.dead_bytes) = (0, 0);
        for segment in blobs.engine().sealed_segments(self.shard) {
            let bodies = live.get(&segment.number).copied().unwrap_or(0);
            let records = segment.records.map_or(0, |(bytes, _)| bytes);
            let dead = segment.bytes.saturating_sub(bodies + records);
            report.sealed_bytes += segment.bytes;
            report.dead_bytes += dead;
            let free = segment.number < first_held && !self.stuck.contains(&segment.number);
            if free && !segment.damaged && is_worth_it(dead, segment.bytes) {
                suspects.push(Suspect { segment, bodies });
            }
        }
        suspects.sort_by_key(|suspect| (suspect.bodies, suspect.segment.number));
        self.phase = Phase::Measure(suspects.into(), None, Vec::new());
    }

    /// Counts the live records of the suspects, those with the fewest live
    /// bodies first, until enough of them are worth it. Not of all: what is
    /// known of records is lost with the process, and one that often starts
    /// anew would read a large journal again and again and free nothing.
    fn measure(
        &mut self,
        blobs: &Blobs,
        mut suspects: VecDeque<Suspect>,
        walk: Option<Walk>,
        mut victims: Vec<Victim>,
        report: &mut Report,
    ) -> Result<Progress, BlobError> {
        // One alone when the disk is nearly full, so that it is freed before
        // more is copied.
        let roomy = blobs.engine().has_room_for(0);
        let enough = if roomy { VICTIMS_MAX } else { 1 };
        let next = suspects.front().filter(|_| victims.len() < enough);
        let Some(&Suspect { segment, bodies }) = next else {
            self.more = !suspects.is_empty();
            self.choose(&victims);
            return Ok(Progress::More);
        };
        let newest = self.counted_at.unwrap_or(0);
        let known = segment
            .records
            .filter(|(_, at)| at.saturating_add(GROWN_SEGMENTS) > newest);
        let records = match known {
            Some((records, _)) => records,
            None => {
                let mut walk =
                    walk.unwrap_or_else(|| Walk::new(self.shard, segment.number, Goal::Count));
                match blobs.engine().collect_step(&mut walk) {
                    Ok(Step::Done) => walk.live_bytes(),
                    Ok(step) => {
                        self.phase = Phase::Measure(suspects, Some(walk), victims);
                        return Ok(progress_of(step));
                    }
                    Err(error) => {
                        suspects.pop_front();
                        self.phase = Phase::Measure(suspects, None, victims);
                        return skip(error);
                    }
                }
            }
        };
        suspects.pop_front();
        let before = segment.records.map_or(0, |(bytes, _)| bytes);
        report.dead_bytes = (report.dead_bytes + before).saturating_sub(records);
        let dead = segment.bytes.saturating_sub(bodies + records);
        if is_worth_it(dead, segment.bytes) {
            victims.push(Victim {
                number: segment.number,
                bytes: segment.bytes,
            });
        }
        self.phase = Phase::Measure(suspects, None, victims);
        Ok(Progress::More)
    }

    /// What was found is moved out, if anything was.
    fn choose(&mut self, victims: &[Victim]) {
        if !victims.is_empty() {
            let victims = victims.iter().map(|victim| (victim.number, victim.bytes));
            self.phase = Phase::Move(Pages::new(self.shard), victims.collect());
        }
    }

    /// Moves bodies out of the victims.
    fn make_room(
        &mut self,
        blobs: &Blobs,
        mut pages: Pages,
        mut victims: BTreeMap<u32, u64>,
        report: &mut Report,
    ) -> Result<Progress, BlobError> {
        let page = pages.next(blobs, self.shard)?;
        if page.is_empty() {
            self.phase = Phase::Free(victims, None);
            return Ok(Progress::More);
        }
        let mut moves = super::moving::Moves::new(blobs, self.shard);
        for (key, stored) in page {
            let Key::Record(id) = key else {
                continue;
            };
            if moves.bytes() >= MOVE_BYTES {
                // The next step goes on with this one.
                pages.start = link::record_key(self.shard, id);
                break;
            }
            let Ok(record) = Record::decode(&stored.value) else {
                // Nobody knows what it names, so nothing it may name goes.
                tracing::error!("the record of the body {id} is damaged: no space is collected");
                return Ok(Progress::Rest);
            };
            let wanted = |segment: u32| victims.contains_key(&segment);
            let whole = moves.add(id, stored.version, record, &wanted)?;
            for segment in moves.take_unreadable() {
                tracing::error!("a body in segment {segment} cannot be read: it stays as it is");
                self.stuck.insert(segment);
                victims.remove(&segment);
            }
            if !whole {
                pages.start = link::record_key(self.shard, id);
                break;
            }
        }
        report.moved_bytes += moves.bytes();
        let changed = moves.submit()?;
        if let Some(id) = changed {
            // Looked at again once its newer record can be seen.
            pages.start = link::record_key(self.shard, id);
        }
        self.phase = Phase::Move(pages, victims);
        Ok(changed.map_or(Progress::More, |_| Progress::Waiting))
    }

    /// Lets the engine free the victims.
    fn free(
        &mut self,
        blobs: &Blobs,
        mut victims: BTreeMap<u32, u64>,
        walk: Option<Walk>,
        report: &mut Report,
    ) -> Result<Progress, BlobError> {
        let Some((&number, &bytes)) = victims.first_key_value() else {
            return Ok(Progress::More);
        };
        let mut walk = walk.unwrap_or_else(|| Walk::new(self.shard, number, Goal::Free));
        match blobs.engine().collect_step(&mut walk) {
            Ok(Step::Done) => {
                report.freed += 1;
                report.freed_bytes += bytes;
                victims.remove(&number);
                self.phase = Phase::Free(victims, None);
                Ok(Progress::More)
            }
            Ok(step) => {
                self.phase = Phase::Free(victims, Some(walk));
                Ok(progress_of(step))
            }
            Err(error) => {
                victims.remove(&number);
                self.phase = Phase::Free(victims, None);
                skip(error)
            }
        }
    }
}

fn is_worth_it(dead: u64, bytes: u64) -> bool {
    dead.saturating_mul(100) >= bytes.saturating_mul(DEAD_PERCENT)
}

fn progress_of(step: Step) -> Progress {
    match step {
        Step::Waiting => Progress::Waiting,
        Step::More | Step::Done => Progress::More,
    }
}

/// A segment that cannot be collected is left alone; the rest goes on.
fn skip(error: CollectError) -> Result<Progress, BlobError> {
    match error {
        CollectError::NotNow | CollectError::Damaged(_) => Ok(Progress::More),
        CollectError::Read(error) => Err(error.into()),
        CollectError::Submit(error) => Err(error.into()),
    }
}
