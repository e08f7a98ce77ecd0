//! Collection: blobs that nobody uses any more go, and their space returns.
//!
//! A blob goes in two steps ([`dying`]): a commit marks it *dying*, from then
//! on no delivery links it as it is; after a grace time its links are looked at
//! again, and only then its record is deleted.
//!
//! | state | record | key in `U` | next |
//! |---|---|---|---|
//! | in use | there | none, or new | a link is removed: the key is written |
//! | unlinked | there | new | dying; or in use, when a link is found |
//! | dying | there, marked | when it was marked | deleted; in use, when a link is found or a delivery writes it again |
//! | deleted | none | none | its bytes are dead |
//! | freed | none | none | the segment that held the bytes was freed |
//!
//! Then space: a pass (`space`) counts what is alive in each sealed segment of
//! the journal, chooses those that are dead enough, moves their live bodies and
//! lets the engine move the live records and free them.
//!
//! Every change here is conditional on what was looked at, and nothing is held
//! while looking: a delivery that comes between wins.

pub mod dying;
mod moving;
mod space;

use crate::store::{BlobError, Blobs};
use dying::{Unlinked, UnlinkedWalk};
use engine::ShardId;
use space::Space;

/// What collection did since it was made, and what it last saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Blobs that were marked dying.
    pub marked: u64,
    /// Blobs that were deleted.
    pub deleted: u64,
    /// Their stored bytes.
    pub deleted_bytes: u64,
    /// Bytes of live bodies that were moved.
    pub moved_bytes: u64,
    /// Segments that were freed.
    pub freed: u64,
    /// Their bytes.
    pub freed_bytes: u64,
    /// Bytes of sealed segments, when they were last counted.
    pub sealed_bytes: u64,
    /// What was dead of them.
    pub dead_bytes: u64,
}

/// What is left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There is more to do at once.
    More,
    /// The disk or a reader is waited for: come back in a moment.
    Waiting,
    /// Nothing until something dies.
    Rest,
}

/// Collects one shard, in steps of bounded size. There is one for a shard.
#[derive(Debug)]
pub struct Collector {
    blobs: Blobs,
    shard: ShardId,
    grace_ms: u64,
    phase: Phase,
    space: Space,
    report: Report,
}

#[derive(Debug)]
enum Phase {
    Begin,
    Unlinked(UnlinkedWalk),
    Space,
}

impl Collector {
    /// A collector of `shard`; a blob without links stays for `grace_ms` more.
    #[must_use]
    pub fn new(blobs: Blobs, shard: ShardId, grace_ms: u64) -> Self {
        Self {
            blobs,
            shard,
            grace_ms,
            phase: Phase::Begin,
            space: Space::new(shard),
            report: Report::default(),
        }
    }

    /// What was done so far.
    #[must_use]
    pub fn report(&self) -> Report {
        self.report
    }

    /// Does a step: looks at some hundred records, or reads and writes a few
    /// megabytes. Waits (blocking) for its commits.
    ///
    /// # Errors
    /// The engine cannot read, or takes no commits. The next step goes on.
    pub fn step(&mut self, now_ms: u64) -> Result<Progress, BlobError> {
        match &mut self.phase {
            Phase::Begin => {
                self.phase = Phase::Unlinked(UnlinkedWalk::new(self.shard));
                Ok(Progress::More)
            }
            Phase::Unlinked(walk) => {
                match self.blobs.collect_unlinked(walk, now_ms, self.grace_ms)? {
                    Some(step) => self.count(step),
                    None => self.phase = Phase::Space,
                }
                Ok(Progress::More)
            }
            Phase::Space => {
                let progress = self.space.step(&self.blobs, &mut self.report);
                if !matches!(progress, Ok(Progress::More | Progress::Waiting)) {
                    self.phase = Phase::Begin;
                }
                progress
            }
        }
    }

    fn count(&mut self, step: Unlinked) {
        self.report.marked += step.marked;
        self.report.deleted += step.deleted;
        self.report.deleted_bytes += step.deleted_bytes;
        self.space.died(step.deleted_bytes);
    }
}
