//! Which runs stay: the last so many, and always the last good one.

use crate::archive::Backup;
use crate::catalogue;
use crate::error::BackupError;
use crate::run_id::{CATALOGUES, PACKS, PackId, RunId};
use std::collections::BTreeSet;

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Runs.
    pub runs: Vec<RunId>,
    /// Packs that no run names any more.
    pub packs: u64,
    /// Their stored bytes.
    pub bytes: u64,
}

/// Removes all but the last `keep` runs, and what only they named. The last run
/// that can be read always stays. Blocks; nobody writes to the target meanwhile.
///
/// # Errors
/// The target can't be read or written. What is half done is finished next time.
pub fn prune(backup: &Backup<'_>, keep: usize) -> Result<Pruned, BackupError> {
    let target = backup.target;
    let failed = |what: &str| BackupError::target(what.to_owned());
    let runs = backup.runs()?;
    let good: Vec<RunId> = runs
        .iter()
        .filter(|(_, run)| run.is_ok())
        .map(|(id, _)| *id)
        .collect();
    // Without a good run nothing is known: everything stays.
    let Some(&last_good) = good.last() else {
        return Ok(Pruned::default());
    };
    let kept: BTreeSet<RunId> = good.iter().rev().take(keep.max(1)).copied().collect();
    let mut pruned = Pruned::default();
    let mut needed: BTreeSet<PackId> = BTreeSet::new();
    let mut unknown = false;
    for (id, run) in runs {
        match run {
            Ok(run) if kept.contains(&id) => {
                needed.extend(run.manifest.packs.iter().map(|(id, _)| *id));
            }
            // A damaged one after the last good one may be mended yet.
            Err(_) if id > last_good => unknown = true,
            _ => {
                // The manifest first: from then on there is no such run.
                for file in [id.file(), id.table()] {
                    target.remove(&file).map_err(failed("removing a run"))?;
                }
                pruned.runs.push(id);
            }
        }
    }
    if unknown {
        return Ok(pruned);
    }
    for file in target.list(PACKS).map_err(failed("listing"))? {
        if PackId::parse(&file.name).is_some_and(|id| !needed.contains(&id)) {
            target
                .remove(&file.name)
                .map_err(failed("removing a pack"))?;
            pruned.packs += 1;
            pruned.bytes += file.len;
        }
    }
    for file in target.list(CATALOGUES).map_err(failed("listing"))? {
        let packs = catalogue::read(&backup.seal, target, &file.name);
        // One that cannot be read is of no use to anybody, but manifests name it.
        if packs.is_ok_and(|packs| packs.iter().all(|pack| !needed.contains(&pack.id))) {
            target
                .remove(&file.name)
                .map_err(failed("removing a catalogue"))?;
        }
    }
    Ok(pruned)
}
