//! Reading a run: its table, then the stretches that the table names, then the
//! bodies that the records name. Each pack is read once from its beginning.
//!
//! Restoring and checking are the same three passes with another [`Sink`].

use crate::archive::{Backup, Run, hex};
use crate::error::BackupError;
use crate::limits::{FINDINGS_MAX, STRETCH_READ_MAX};
use crate::names::Names;
use crate::needs;
use crate::pack::{Name, PackReader, Part as PackPart, each_object};
use crate::run::{Reading, Watch};
use crate::run_id::{Kind, PackId};
use crate::seal::Stored;
use crate::stretch;
use crate::table::{Entry, Part, TableReader};
use blobs::{BlobId, Owner};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// What is done with what is read.
pub(crate) trait Sink {
    /// A record of a part that was asked for; with the body that it names.
    fn record(&mut self, key: &[u8], value: &Bytes) -> Result<(), BackupError>;

    /// A record named a body.
    fn needs(&mut self, key: &[u8], body: BlobId, owner: Owner) -> Result<(), BackupError>;

    /// A piece of a body that is wanted; `first` and `last` say where it is.
    fn piece(
        &mut self,
        name: &Name,
        piece: &[u8],
        first: bool,
        last: bool,
    ) -> Result<(), BackupError>;

    /// The body whose pieces came last is bad.
    fn drop_body(&mut self);
}

/// What could not be read.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    /// In words, up to a bound.
    pub(crate) told: Vec<String>,
    /// How many in all.
    pub(crate) count: usize,
}

impl Damage {
    pub(crate) fn tell(&mut self, what: impl Into<String>) {
        self.count += 1;
        if self.told.len() < FINDINGS_MAX {
            self.told.push(what.into());
        }
    }
}

const WANTED: u32 = 0;
const FOUND: u32 = 1;

/// What the passes know of a run, or of several.
pub(crate) struct Pass<'a> {
    pub(crate) backup: &'a Backup<'a>,
    /// Packs to be read, with what manifests say of them.
    packs: BTreeMap<PackId, Stored>,
    stretches: Names,
    bodies: Names,
    pub(crate) damage: Damage,
    /// Packs whose stored bytes are not what was written, when that is asked for.
    check_files: bool,
    pub(crate) accounts: u64,
    pub(crate) emails: u64,
    pub(crate) bytes_read: u64,
    /// Stored bytes of the packs that are named, and of those that are done.
    bytes_total: u64,
    bytes_of_packs: u64,
}

impl<'a> Pass<'a> {
    pub(crate) fn new(backup: &'a Backup<'a>, check_files: bool) -> Result<Self, BackupError> {
        Ok(Self {
            backup,
            packs: BTreeMap::new(),
            stretches: Names::new()?,
            bodies: Names::new()?,
            damage: Damage::default(),
            check_files,
            accounts: 0,
            emails: 0,
            bytes_read: 0,
            bytes_total: 0,
            bytes_of_packs: 0,
        })
    }

    /// Reads a run's table and wants what the chosen parts name. Calls `f`
    /// with each chosen entry.
    pub(crate) fn table(
        &mut self,
        run: &Run,
        choose: impl Fn(&Part) -> bool,
        mut f: impl FnMut(&Entry),
    ) -> Result<(), BackupError> {
        let listed: BTreeMap<PackId, Stored> = run.manifest.packs.iter().copied().collect();
        let (seal, target) = (&self.backup.seal, self.backup.target);
        let mut table = match TableReader::open(seal, target, run.id) {
            Ok(table) => table,
            Err(error) => {
                self.damage
                    .tell(format!("run {}: {error}; it cannot be restored", run.id));
                return Ok(());
            }
        };
        loop {
            let entry = match table.next() {
                Ok(Some(entry)) => entry,
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.damage
                        .tell(format!("run {}: {error}: accounts are missing", run.id));
                    if table.ended() {
                        return Ok(());
                    }
                    continue;
                }
            };
            if !choose(&entry.part) {
                continue;
            }
            for name in &entry.stretches {
                want(&mut self.stretches, name)?;
            }
            for id in &entry.packs {
                if let Some(stored) = listed.get(id)
                    && self.packs.insert(*id, *stored).is_none()
                {
                    self.bytes_total += stored.len;
                }
            }
            if matches!(entry.part, Part::Account(..)) {
                self.accounts += 1;
                self.emails += entry.emails;
            }
            f(&entry);
        }
    }

    /// Gives the records of every stretch that is wanted.
    pub(crate) fn records(
        &mut self,
        sink: &mut dyn Sink,
        watch: &mut dyn Watch,
    ) -> Result<(), BackupError> {
        for (id, stored) in self.packs_of(Kind::Records) {
            let mut reader = match self.open(id) {
                Some(reader) => reader,
                None => continue,
            };
            let (stretches, damage) = (&mut self.stretches, &mut self.damage);
            let read = each_object(&mut reader, STRETCH_READ_MAX, |name, bytes| {
                if watch.stop() {
                    return Err(BackupError::Interrupted);
                }
                if stretches.get(&name)? == Some(WANTED) {
                    stretches.insert(&name, FOUND)?;
                    give_records(bytes, sink, damage)?;
                }
                Ok(())
            });
            self.after(id, stored, reader, read)?;
            watch.reading(&self.reading());
        }
        Ok(())
    }

    /// Wants a body; each is given once.
    pub(crate) fn want_body(&mut self, id: BlobId) -> Result<(), BackupError> {
        want(&mut self.bodies, &id.0)
    }

    /// Gives every body that is wanted.
    pub(crate) fn bodies(
        &mut self,
        sink: &mut dyn Sink,
        watch: &mut dyn Watch,
    ) -> Result<(), BackupError> {
        for (id, stored) in self.packs_of(Kind::Bodies) {
            let mut reader = match self.open(id) {
                Some(reader) => reader,
                None => continue,
            };
            let read = give_bodies(&mut reader, &mut self.bodies, sink, watch);
            self.after(id, stored, reader, read)?;
            watch.reading(&self.reading());
        }
        Ok(())
    }

    fn reading(&self) -> Reading {
        Reading {
            bytes: self.bytes_of_packs,
            bytes_total: self.bytes_total,
            accounts: self.accounts,
        }
    }

    fn packs_of(&self, kind: Kind) -> Vec<(PackId, Stored)> {
        let packs = self.packs.iter().filter(|(id, _)| id.kind == kind);
        packs.map(|(id, stored)| (*id, *stored)).collect()
    }

    fn open(&mut self, id: PackId) -> Option<PackReader> {
        match PackReader::open(&self.backup.seal, self.backup.target, id) {
            Ok(reader) => Some(reader),
            Err(error) => {
                self.damage.tell(error.to_string());
                None
            }
        }
    }

    fn after(
        &mut self,
        id: PackId,
        stored: Stored,
        reader: PackReader,
        read: Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        self.bytes_of_packs += stored.len;
        match read {
            Ok(()) => {}
            Err(error @ BackupError::Damaged { .. }) => {
                self.damage.tell(error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        self.bytes_read += stored.len;
        if self.check_files {
            match reader.finish() {
                Ok(found) if found == stored => {}
                Ok(_) => self.damage.tell(format!(
                    "the backup's file {} is damaged: its bytes are not what was written",
                    id.file()
                )),
                Err(error) => self.damage.tell(error.to_string()),
            }
        }
        Ok(())
    }

    /// The stretches that were named and not found.
    pub(crate) fn lost_stretches(&self) -> Result<BTreeSet<Name>, BackupError> {
        lost(&self.stretches)
    }

    /// The bodies that were wanted and not found.
    pub(crate) fn lost_bodies(&self) -> Result<BTreeSet<Name>, BackupError> {
        lost(&self.bodies)
    }

    /// Tells which accounts of a run lost records.
    pub(crate) fn tell_lost_stretches(
        &mut self,
        run: &Run,
        choose: impl Fn(&Part) -> bool,
    ) -> Result<(), BackupError> {
        let lost = self.lost_stretches()?;
        if lost.is_empty() {
            return Ok(());
        }
        let (seal, target) = (&self.backup.seal, self.backup.target);
        let mut table = TableReader::open(seal, target, run.id)?;
        while !table.ended() {
            // What is wrong with the table was told before.
            let Ok(Some(entry)) = table.next() else {
                continue;
            };
            let missing = entry
                .stretches
                .iter()
                .filter(|name| lost.contains(*name))
                .count();
            if missing > 0 && choose(&entry.part) {
                let what = match entry.part {
                    Part::Account(_, account) => format!("account {account}"),
                    Part::Space(letter, shard) => {
                        format!("space {} of shard {}", char::from(letter), shard.0)
                    }
                };
                self.damage.tell(format!(
                    "run {}: {what}: {missing} of {} parts of its records are lost",
                    run.id,
                    entry.stretches.len()
                ));
            }
        }
        Ok(())
    }
}

/// How a lost body is told.
pub(crate) fn body_text(name: &Name) -> String {
    format!("the body {}", hex(&name[..8]))
}

fn want(names: &mut Names, name: &Name) -> Result<(), BackupError> {
    if names.get(name)?.is_none() {
        names.insert(name, WANTED)?;
    }
    Ok(())
}

/// Names that were not found: few, or the backup is lost anyway.
fn lost(names: &Names) -> Result<BTreeSet<Name>, BackupError> {
    let mut lost = BTreeSet::new();
    names.for_each(|name, state| {
        if state == WANTED {
            lost.insert(*name);
        }
        std::io::Result::Ok(())
    })?;
    Ok(lost)
}

fn give_records(
    stretch: &[u8],
    sink: &mut dyn Sink,
    damage: &mut Damage,
) -> Result<(), BackupError> {
    for record in stretch::records(stretch) {
        let (key, value) = match record {
            Ok(record) => record,
            Err(error) => {
                damage.tell(format!("a stretch of records does not decode: {error}"));
                continue;
            }
        };
        let value = Bytes::copy_from_slice(value);
        sink.record(key, &value)?;
        // One that does not decode was so in the store: it was noted then.
        if let Ok(Some(body)) = needs::body_of(key, &value) {
            sink.needs(key, body.blob, body.owner)?;
        }
    }
    Ok(())
}

fn give_bodies(
    reader: &mut PackReader,
    bodies: &mut Names,
    sink: &mut dyn Sink,
    watch: &mut dyn Watch,
) -> Result<(), BackupError> {
    // The body whose pieces are being given.
    let mut giving: Option<Name> = None;
    let mut skipping: Option<Name> = None;
    loop {
        let part = match reader.next() {
            Ok(part) => part,
            Err(error) => {
                sink.drop_body();
                return Err(error);
            }
        };
        match part {
            None => return Ok(()),
            Some(PackPart::Bad(name, _)) => {
                if giving == Some(name) {
                    sink.drop_body();
                }
                (giving, skipping) = (None, None);
            }
            Some(PackPart::Piece(name, piece, last)) => {
                let first = giving != Some(name);
                if first && skipping != Some(name) {
                    if watch.stop() {
                        return Err(BackupError::Interrupted);
                    }
                    if giving.is_some() {
                        sink.drop_body();
                    }
                    let wanted = bodies.get(&name)? == Some(WANTED);
                    (giving, skipping) = if wanted {
                        (Some(name), None)
                    } else {
                        (None, Some(name))
                    };
                }
                if giving == Some(name) {
                    sink.piece(&name, piece, first, last)?;
                    if last {
                        bodies.insert(&name, FOUND)?;
                    }
                }
                if last {
                    (giving, skipping) = (None, None);
                }
            }
        }
    }
}
