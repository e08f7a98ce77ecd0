//! Does the index say what the journal says?
//!
//! The journal is read from its beginning up to the last commit that the
//! snapshot shows, and the last commit of every key is compared with the
//! index, with the value that it wrote.
//!
//! Keys are held in memory, up to a bound. When there are more, they are split
//! by their hash: half of them is let go, and looked at in another pass over
//! the journal. So a pass more is needed each time that the keys double.

use super::core::Core;
use super::disk::Disk;
use super::freed::Freed;
use super::index::FIRST_KEY;
use super::scan::{self, Scan};
use super::segment::Segment;
use crate::contract::{CommitNo, Order, ReadError, Snapshot};
use crate::findings::{Finding, Findings};
use crate::keys;
use bytes::Bytes;
use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Pairs read from the index at a time.
const PAGE: usize = 1000;

/// Memory of a key in [`Latest`] besides its bytes, about.
const KEY_OVERHEAD: usize = 72;

/// Told how many segments of how many were read, over all passes known so far.
pub type Progress<'a> = &'a dyn Fn(u64, u64);

/// The last commit of a key, and the checksum of the value if it has one.
#[derive(Debug, Clone, Copy)]
struct Written {
    commit: u64,
    value: Option<u32>,
}

/// The last commits of the keys of a part.
#[derive(Debug, Default)]
struct Latest {
    keys: HashMap<Vec<u8>, Written>,
    bytes: usize,
}

/// The keys whose hash leaves this rest.
#[derive(Debug, Clone, Copy)]
struct Part {
    rest: u32,
    of: u32,
}

impl Part {
    const ALL: Self = Self { rest: 0, of: 1 };

    fn holds(self, key: &[u8]) -> bool {
        crc32fast::hash(key) % self.of == self.rest
    }

    /// Gives half of itself away; none when it can't be split any more.
    fn split(&mut self) -> Option<Self> {
        let of = self.of.checked_mul(2)?;
        let other = Self {
            rest: self.rest + self.of,
            of,
        };
        self.of = of;
        Some(other)
    }
}

impl Latest {
    fn note(&mut self, key: Vec<u8>, now: Written) {
        let bytes = key.len() + KEY_OVERHEAD;
        match self.keys.entry(key) {
            std::collections::hash_map::Entry::Occupied(mut place) => {
                // The highest number wins, wherever it lies.
                if now.commit >= place.get().commit {
                    place.insert(now);
                }
            }
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(now);
                self.bytes += bytes;
            }
        }
    }

    /// Lets go of what is not of the part.
    fn keep(&mut self, part: Part) {
        self.keys.retain(|key, _| part.holds(key));
        self.keys.shrink_to_fit();
        self.bytes = self.keys.keys().map(|key| key.len() + KEY_OVERHEAD).sum();
    }
}

/// The journal as it is read.
pub(crate) struct Journal<'a> {
    pub(crate) disk: &'a dyn Disk,
    /// The last group that is written.
    pub(crate) written: u64,
    pub(crate) freed: Freed,
}

impl<'a> Journal<'a> {
    /// What is written by now, without what collection freed before now.
    pub(crate) fn of(core: &'a Core) -> Self {
        let state = core.state.lock();
        Self {
            disk: core.segments.disk(),
            written: state.written,
            freed: state.freed.clone(),
        }
    }

    /// Its segments, and what is wrong with their headers.
    pub(crate) fn segments(&self) -> io::Result<(Vec<Arc<Segment>>, Vec<Finding>)> {
        let (mut segments, findings) = scan::segments(self.disk)?;
        segments.retain(|segment| !self.freed.is_freed(segment.number()));
        Ok((segments, findings))
    }
}

/// Compares the index with the journal as of one snapshot, with about
/// `bytes_max` of memory. The caller keeps all segments where they are.
pub(crate) fn fsck(
    core: &Core,
    bytes_max: usize,
    progress: Progress<'_>,
) -> io::Result<Vec<Finding>> {
    let (snapshot, until) = core.index.snapshot();
    // What the snapshot shows is in the groups that are written by now.
    let journal = Journal::of(core);
    compare_all(&journal, (&*snapshot, until), bytes_max, progress)
}

pub(crate) fn compare_all(
    journal: &Journal<'_>,
    (snapshot, until): (&dyn Snapshot, CommitNo),
    bytes_max: usize,
    progress: Progress<'_>,
) -> io::Result<Vec<Finding>> {
    let mut findings = Findings::default();
    let mut parts = vec![Part::ALL];
    let mut passes = 0;
    while let Some(mut part) = parts.pop() {
        let mut reader = Reader {
            until: until.0,
            bytes_max,
            passes: (passes, passes + 1 + parts.len() as u64),
            progress,
        };
        let (latest, found) = reader.read(journal, &mut part, &mut parts)?;
        if passes == 0 {
            findings.extend(found);
        }
        passes += 1;
        match compare(latest, part, snapshot, &mut findings) {
            Ok(()) => {}
            Err(ReadError::Io(error)) => return Err(error),
            Err(error) => {
                findings.push(Finding::IndexUnreadable {
                    why: error.to_string(),
                });
                break;
            }
        }
    }
    Ok(findings.told())
}

struct Reader<'a> {
    until: u64,
    bytes_max: usize,
    /// How many passes are done, and how many there will be.
    passes: (u64, u64),
    progress: Progress<'a>,
}

impl Reader<'_> {
    /// Reads the part's keys from the journal. What does not fit is taken out
    /// of `part` and added to `parts`.
    fn read(
        &mut self,
        journal: &Journal<'_>,
        part: &mut Part,
        parts: &mut Vec<Part>,
    ) -> io::Result<(Latest, Vec<Finding>)> {
        let (segments, mut findings) = journal.segments()?;
        let mut latest = Latest::default();
        if journal.written == 0 {
            return Ok((latest, findings));
        }
        let total = segments.len() as u64 * self.passes.1;
        let before = segments.len() as u64 * self.passes.0;
        let mut commits = 0u64;
        let mut scan = Scan::new(&segments);
        scan.until = journal.written;
        let (_, found) = scan.run(&mut |commit| {
            commits += 1;
            if commits.is_multiple_of(COMMITS_PER_STEP) {
                // Commits that collection moved have old numbers: about.
                let share = commit.number.saturating_mul(segments.len() as u64);
                (self.progress)(before + share / self.until.max(1), total);
            }
            // Behind this commit others are writing.
            if commit.number <= self.until {
                for (key, value) in commit.writes {
                    if key.as_slice() >= FIRST_KEY && part.holds(&key) {
                        let written = Written {
                            commit: commit.number,
                            value: value.as_ref().map(checksum),
                        };
                        latest.note(key, written);
                    }
                }
                while latest.bytes > self.bytes_max
                    && let Some(other) = part.split()
                {
                    parts.push(other);
                    latest.keep(*part);
                }
            }
            ControlFlow::Continue(())
        })?;
        findings.extend(journal.freed.leave_unexplained(found));
        Ok((latest, findings))
    }
}

/// Commits read between two words about progress.
const COMMITS_PER_STEP: u64 = 10_000;

fn checksum(value: &Bytes) -> u32 {
    crc32fast::hash(value)
}

fn compare(
    mut journal: Latest,
    part: Part,
    snapshot: &dyn Snapshot,
    findings: &mut Findings,
) -> Result<(), ReadError> {
    let mut start = Vec::new();
    let end = vec![u8::MAX; 64];
    loop {
        let pairs = snapshot.scan(&start, &end, Order::Ascending, PAGE)?;
        let Some((last, _)) = pairs.last() else {
            break;
        };
        start.clone_from(last);
        start.push(0);
        for (key, stored) in pairs.into_iter().filter(|(key, _)| part.holds(key)) {
            if keys::shard_of(&key, u16::MAX).is_none() {
                findings.push(Finding::StrangeKey { key: key.clone() });
            }
            let index = stored.version.0;
            match journal.keys.remove(&key) {
                Some(Written {
                    commit,
                    value: Some(value),
                }) if commit == index && value == checksum(&stored.value) => {}
                Some(Written {
                    commit,
                    value: Some(_),
                }) => findings.push(Finding::IndexDiffers {
                    key,
                    index,
                    journal: commit,
                }),
                Some(Written { value: None, .. }) | None => {
                    findings.push(Finding::IndexHas { key, commit: index });
                }
            }
        }
    }
    let mut lacking: Vec<(Vec<u8>, Written)> = journal
        .keys
        .into_iter()
        .filter(|(_, written)| written.value.is_some())
        .collect();
    lacking.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    for (key, written) in lacking {
        findings.push(Finding::IndexLacks {
            key,
            commit: written.commit,
        });
    }
    Ok(())
}
