//! Does the index say what the journal says?
//!
//! The journal is read from its beginning up to the last commit that the
//! snapshot shows, and the last commit of every key is compared with the
//! index. Keys are held in memory meanwhile.

use super::core::Core;
use super::disk::Disk;
use super::freed::Freed;
use super::index::FIRST_KEY;
use super::scan::{self, Scan};
use crate::contract::{Order, ReadError, Snapshot};
use crate::findings::Finding;
use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;

/// Pairs read from the index at a time.
const PAGE: usize = 1000;

/// The last commit of a key, and whether it deleted it.
type Latest = BTreeMap<Vec<u8>, (u64, bool)>;

/// Compares the index with the journal as of one snapshot. The caller keeps
/// all segments where they are.
pub(crate) fn fsck(core: &Core) -> io::Result<Vec<Finding>> {
    let (snapshot, until) = core.index.snapshot();
    // What the snapshot shows, and whatever collection freed before now, is in
    // the groups that are written by now.
    let (written, freed) = {
        let state = core.state.lock();
        (state.written, state.freed.clone())
    };
    let (journal, mut findings) = read_journal(core.segments.disk(), until.0, written, &freed)?;
    match compare(journal, &*snapshot, &mut findings) {
        Ok(()) => {}
        Err(ReadError::Io(error)) => return Err(error),
        Err(error) => findings.push(Finding::IndexUnreadable {
            why: error.to_string(),
        }),
    }
    Ok(findings)
}

fn read_journal(
    disk: &dyn Disk,
    until: u64,
    written: u64,
    freed: &Freed,
) -> io::Result<(Latest, Vec<Finding>)> {
    let (mut segments, mut findings) = scan::segments(disk)?;
    segments.retain(|segment| !freed.is_freed(segment.number()));
    let mut latest = Latest::new();
    if written == 0 {
        return Ok((latest, findings));
    }
    let mut scan = Scan::new(&segments);
    scan.until = written;
    let (_, found) = scan.run(&mut |commit| {
        // Behind this commit others are writing.
        if commit.number <= until {
            for (key, value) in commit.writes {
                if key.as_slice() < FIRST_KEY {
                    continue;
                }
                let now = (commit.number, value.is_none());
                let entry = latest.entry(key).or_insert(now);
                // The highest number wins, wherever it lies.
                if commit.number >= entry.0 {
                    *entry = now;
                }
            }
        }
        ControlFlow::Continue(())
    })?;
    findings.extend(freed.leave_unexplained(found));
    Ok((latest, findings))
}

fn compare(
    mut journal: Latest,
    snapshot: &dyn Snapshot,
    findings: &mut Vec<Finding>,
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
        for (key, stored) in pairs {
            let index = stored.version.0;
            match journal.remove(&key) {
                Some((commit, false)) if commit == index => {}
                Some((commit, false)) => {
                    findings.push(Finding::IndexDiffers {
                        key,
                        index,
                        journal: commit,
                    });
                }
                Some((_, true)) | None => findings.push(Finding::IndexHas { key, commit: index }),
            }
        }
    }
    for (key, (commit, deleted)) in journal {
        if !deleted {
            findings.push(Finding::IndexLacks { key, commit });
        }
    }
    Ok(())
}
