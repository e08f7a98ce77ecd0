//! Does the index say what the journal says?
//!
//! The journal is read from its beginning up to the last commit that the
//! snapshot shows, and the last commit of every key is compared with the
//! index. Keys are held in memory meanwhile.

use super::disk::Disk;
use super::index::Index;
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

/// Compares the index with the journal as of one snapshot.
pub(crate) fn fsck(disk: &dyn Disk, index: &dyn Index) -> io::Result<Vec<Finding>> {
    let (snapshot, until) = index.snapshot();
    let (journal, mut findings) = read_journal(disk, until.0)?;
    match compare(journal, &*snapshot, &mut findings) {
        Ok(()) => {}
        Err(ReadError::Io(error)) => return Err(error),
        Err(error) => findings.push(Finding::IndexUnreadable {
            why: error.to_string(),
        }),
    }
    Ok(findings)
}

fn read_journal(disk: &dyn Disk, until: u64) -> io::Result<(Latest, Vec<Finding>)> {
    let (segments, mut findings) = scan::segments(disk)?;
    let mut latest = Latest::new();
    if until == 0 {
        return Ok((latest, findings));
    }
    let (_, found) = Scan::new(&segments).run(&mut |commit| {
        if commit.number <= until {
            for (key, value) in commit.writes {
                let now = (commit.number, value.is_none());
                let entry = latest.entry(key).or_insert(now);
                // The highest number wins, wherever it lies.
                if commit.number >= entry.0 {
                    *entry = now;
                }
            }
        }
        // Behind this commit others are writing.
        if commit.number >= until {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    findings.extend(found);
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
