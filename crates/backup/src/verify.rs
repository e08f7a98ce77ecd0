//! Is a backup whole? Reads everything that its runs name and tells in words
//! what is damaged and what is lost by it.

use crate::archive::{Backup, Run};
use crate::error::BackupError;
use crate::names::Names;
use crate::pack::Name;
use crate::pass::{Pass, Sink, body_text};
use crate::run::Watch;
use crate::seal::{Stored, hash_stored};
use blobs::{BlobId, Owner};
use bytes::Bytes;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Runs that were checked.
    pub runs: u64,
    /// Their accounts, each as often as it is in a run.
    pub accounts: u64,
    /// Different bodies.
    pub bodies: u64,
    /// Stored bytes that were read.
    pub bytes: u64,
    /// What is wrong, in words, up to a bound.
    pub findings: Vec<String>,
    /// How much is wrong in all.
    pub findings_count: usize,
}

/// Checks one run or all. Blocks.
///
/// # Errors
/// The target can't be read at all, or the check was interrupted.
pub fn verify(
    backup: &Backup<'_>,
    only: Option<&Run>,
    watch: &mut dyn Watch,
) -> Result<Verified, BackupError> {
    let mut pass = Pass::new(backup, true)?;
    let mut runs = Vec::new();
    match only {
        Some(run) => runs.push(run.clone()),
        None => {
            for (id, run) in backup.runs()? {
                match run {
                    Ok(run) => runs.push(run),
                    Err(error) => {
                        pass.damage
                            .tell(format!("run {id}: {error}; it cannot be restored"));
                    }
                }
            }
        }
    }
    for run in &runs {
        check_file(&mut pass, &run.id.table(), run.manifest.table, "");
        for (file, stored) in &run.manifest.catalogues {
            let note = "; the next run writes again what it names, nothing is lost";
            check_file(&mut pass, file, *stored, note);
        }
        pass.table(run, |_| true, |_| {})?;
        for note in &run.manifest.notes {
            pass.damage
                .tell(format!("run {}: it was so in the store: {note}", run.id));
        }
    }
    let mut needed = Needed {
        bodies: Names::new()?,
    };
    pass.records(&mut needed, watch)?;
    for run in &runs {
        pass.tell_lost_stretches(run, |_| true)?;
    }
    needed
        .bodies
        .for_each(|name, _| pass.want_body(BlobId(*name)))?;
    pass.bodies(&mut needed, watch)?;
    for name in pass.lost_bodies()? {
        let body = body_text(&name);
        pass.damage.tell(format!(
            "{body} is lost; the emails that need it cannot be restored"
        ));
    }
    Ok(Verified {
        runs: runs.len() as u64,
        accounts: pass.accounts,
        bodies: needed.bodies.len(),
        bytes: pass.bytes_read,
        findings_count: pass.damage.count,
        findings: pass.damage.told,
    })
}

fn check_file(pass: &mut Pass<'_>, file: &str, stored: Stored, note: &str) {
    match hash_stored(pass.backup.target, file) {
        Ok(found) if found == stored => pass.bytes_read += stored.len,
        Ok(_) => pass.damage.tell(format!(
            "the backup's file {file} is damaged: its bytes are not what was written{note}"
        )),
        Err(error) => pass.damage.tell(format!("{error}{note}")),
    }
}

/// Remembers which bodies are named and does nothing with what is read.
struct Needed {
    bodies: Names,
}

impl Sink for Needed {
    fn record(&mut self, _: &[u8], _: &Bytes) -> Result<(), BackupError> {
        Ok(())
    }

    fn needs(&mut self, _: &[u8], body: BlobId, _: Owner) -> Result<(), BackupError> {
        self.bodies.insert(&body.0, 0)?;
        Ok(())
    }

    fn piece(&mut self, _: &Name, _: &[u8], _: bool, _: bool) -> Result<(), BackupError> {
        Ok(())
    }

    fn drop_body(&mut self) {}
}
