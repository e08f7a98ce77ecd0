//! One run of a backup, beside a working server.
//!
//! The order matters. First the queue and what is on its way in, then the
//! accounts, each from one snapshot with the bodies that it names, then the
//! directory. So a message that is delivered from the queue meanwhile is in the
//! backup twice rather than not at all, and every account that the backup's
//! directory names is in the backup: one that was made meanwhile is taken last.

use crate::archive::{Added, Backup, PutBody, Writer};
use crate::error::BackupError;
use crate::files::{self, KeptFile};
use crate::limits::{self, ACCOUNT_RETRIES, FINDINGS_MAX, SCAN_RECORDS};
use crate::manifest::{Manifest, StoreId};
use crate::pack::Name;
use crate::run_id::{Kind, PackId, RunId};
use crate::seal::Passphrase;
use crate::stretch::{Cutter, name_of};
use crate::table::{Entry, Part, TableReader, TableWriter};
use crate::target::Target;
use blobs::{BlobId, Blobs};
use bytes::Bytes;
use engine::keys::Space;
use engine::{Batch, Expect, Order, ShardId, SharedEngine, Snapshot, keys};
use envelope::AccountId;
use runtime::Runtime;
use std::collections::BTreeSet;
use std::io::{Read as _, Seek as _, Write as _};
use std::sync::Arc;

/// What a backup reads.
#[derive(Debug, Clone)]
pub struct Source {
    /// The store.
    pub engine: SharedEngine,
    /// Its bodies.
    pub blobs: Arc<Blobs>,
    /// Clock and randomness.
    pub runtime: Runtime,
}

/// How a run goes.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Opens or begins an encrypted target.
    pub passphrase: Option<Passphrase>,
    /// Write everything anew, whatever is there.
    pub full: bool,
    /// The program's version, for the manifest.
    pub program: String,
    /// When files are closed.
    pub sizes: Sizes,
    /// Files beside the store that go with it.
    pub files: Vec<KeptFile>,
    /// What the caller could not give, for the manifest.
    pub notes: Vec<String>,
}

/// When files of a run are closed and the next begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of a pack of bodies.
    pub body_pack: u64,
    /// Bytes of a pack of records.
    pub record_pack: u64,
    /// Packs of a catalogue.
    pub catalogue_packs: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            body_pack: limits::BODY_PACK_BYTES,
            record_pack: limits::RECORD_PACK_BYTES,
            catalogue_packs: limits::CATALOGUE_PACKS_MAX,
        }
    }
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Accounts that are done.
    pub accounts: u64,
    /// Of them, those that were as the run before had them.
    pub unchanged: u64,
    /// What was added to the target.
    pub added: Added,
}

/// What a caller gives and is told while it waits.
pub trait Watch {
    /// Told after every account and now and then between.
    fn progress(&mut self, progress: &Progress);
    /// True when the work is to end early.
    fn stop(&self) -> bool;

    /// Told after every file of the target that a restore or a check has read.
    fn reading(&mut self, _: &Reading) {}
}

/// How far the reading of a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// Stored bytes that were read.
    pub bytes: u64,
    /// Stored bytes that are to be read in all.
    pub bytes_total: u64,
    /// Accounts that are to be read.
    pub accounts: u64,
}

/// A caller who neither looks nor stops.
impl Watch for () {
    fn progress(&mut self, _: &Progress) {}

    fn stop(&self) -> bool {
        false
    }
}

/// What a finished run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// Its name.
    pub run: RunId,
    /// Its manifest.
    pub manifest: Manifest,
    /// What it did.
    pub progress: Progress,
}

/// Backs the store up. Blocks.
///
/// # Errors
/// The target or the store can't be used; nothing of the run counts then. What
/// can't be read of the store (a damaged body) is a note of the manifest.
pub fn run(
    source: &Source,
    target: &dyn Target,
    options: &Options,
    watch: &mut dyn Watch,
) -> Result<Done, BackupError> {
    let begun_ms = source.runtime.now().unix_ms;
    let store = store_id(source)?;
    let backup = Backup::open_or_begin(target, options.passphrase.as_ref(), store)?;
    let previous = if options.full {
        None
    } else {
        backup.run_at(None).ok()
    };
    let writer = Writer::begin(&backup, begun_ms / 1000, options)?;
    let table = TableWriter::new(&backup.seal, target, writer.run)?;
    let previous = previous.and_then(|run| Previous::open(&backup, run.id).ok());
    let mut running = Running {
        source,
        table,
        previous,
        used: BTreeSet::new(),
        manifest: Manifest {
            store,
            begun_ms,
            ended_ms: 0,
            program: options.program.clone(),
            shards: source.engine.shards(),
            accounts: 0,
            emails: 0,
            octets: 0,
            written: 0,
            full: options.full,
            table: crate::seal::Stored {
                len: 0,
                hash: [0; 32],
            },
            catalogues: Vec::new(),
            packs: Vec::new(),
            notes: [options.notes.clone(), writer.notes.clone()].concat(),
        },
        writer,
        progress: Progress::default(),
        watch,
    };
    running.files(&options.files)?;
    running.everything()?;
    running.finish(&backup)
}

/// The store's own name for its backups: made at random with the first.
fn store_id(source: &Source) -> Result<StoreId, BackupError> {
    let mut key = keys::system();
    key.extend_from_slice(b"backup");
    loop {
        let found = source.engine.snapshot(ShardId(0)).get(&key)?;
        if let Some(found) = found
            && let Ok(id) = found.value.as_ref().try_into()
        {
            return Ok(id);
        }
        let mut id = [0; 16];
        source.runtime.fill_random(&mut id);
        let mut batch = Batch::new();
        batch.expect(key.clone(), Expect::Absent);
        batch.put(key.clone(), id.to_vec());
        match source.engine.submit(batch) {
            Ok(ticket) => drop(ticket.done_blocking()),
            // Another was first: its name counts.
            Err(engine::SubmitError::Conflict { winner, .. }) => winner.visible_blocking(),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The table of the run before, read along.
struct Previous {
    table: TableReader,
    peeked: Option<Entry>,
}

impl Previous {
    fn open(backup: &Backup<'_>, run: RunId) -> Result<Self, BackupError> {
        Ok(Self {
            table: TableReader::open(&backup.seal, backup.target, run)?,
            peeked: None,
        })
    }

    /// The entry of an account, which must be asked for in order.
    fn find(&mut self, part: Part) -> Option<Entry> {
        loop {
            if self.peeked.is_none() {
                self.peeked = match self.table.next() {
                    Ok(entry) => entry,
                    Err(_) if self.table.ended() => None,
                    // One entry is lost: that account is taken again.
                    Err(_) => continue,
                };
            }
            match self.peeked.as_ref()?.part {
                // Spaces are always taken again.
                Part::Space(..) => self.peeked = None,
                Part::Account(..) if self.peeked.as_ref()?.part < part => self.peeked = None,
                found => return (found == part).then(|| self.peeked.take()).flatten(),
            }
        }
    }
}

struct Running<'a> {
    source: &'a Source,
    writer: Writer<'a>,
    table: TableWriter,
    previous: Option<Previous>,
    /// Packs that this run names.
    used: BTreeSet<u32>,
    manifest: Manifest,
    progress: Progress,
    watch: &'a mut dyn Watch,
}

/// What was taken of one range of keys.
struct Taken {
    stretches: Vec<Name>,
    packs: BTreeSet<u32>,
    emails: u64,
    octets: u64,
    bodies: Spool,
    /// Accounts that a range of the directory names.
    accounts: Vec<AccountId>,
}

impl Taken {
    fn new() -> Result<Self, BackupError> {
        Ok(Self {
            stretches: Vec::new(),
            packs: BTreeSet::new(),
            emails: 0,
            octets: 0,
            bodies: Spool::new()?,
            accounts: Vec::new(),
        })
    }
}

/// Bodies that the store could not give.
#[derive(Default)]
struct Missing {
    /// One was not there: perhaps what named it went too.
    gone: bool,
    told: Vec<(BlobId, String)>,
}

impl Missing {
    fn tell(&mut self, id: BlobId, why: String) {
        if self.told.len() < FINDINGS_MAX {
            self.told.push((id, why));
        }
    }
}

impl Running<'_> {
    fn everything(&mut self) -> Result<(), BackupError> {
        let shards: Vec<ShardId> = (0..self.source.engine.shards()).map(ShardId).collect();
        for &shard in &shards {
            for (space, prefix) in [
                (Space::Intake, keys::intake(shard)),
                (Space::Queue, keys::queue(shard)),
            ] {
                self.space(space, shard, &prefix)?;
            }
        }
        self.space(Space::System, ShardId(0), &keys::system())?;
        let mut taken = BTreeSet::new();
        for &shard in &shards {
            let mut next = Some(0);
            while let Some(from) = next
                && let Some(account) = self.account_from(shard, from)?
            {
                self.account(shard, account)?;
                taken.insert(account);
                next = account.0.checked_add(1);
            }
        }
        self.directory(&mut taken)
    }

    /// The files beside the store, in order of their names.
    fn files(&mut self, files: &[KeptFile]) -> Result<(), BackupError> {
        let mut taken = Taken::new()?;
        let mut cutter = Cutter::default();
        let mut files: Vec<&KeptFile> = files.iter().collect();
        files.sort_unstable_by_key(|file| &file.name);
        for file in files {
            if let Some(stretch) = cutter.push(&file.key(), &file.encode()) {
                self.stretch(&stretch, &mut taken)?;
            }
        }
        if let Some(stretch) = cutter.finish() {
            self.stretch(&stretch, &mut taken)?;
        }
        if taken.stretches.is_empty() {
            return Ok(());
        }
        self.push(files::PART, Vec::new(), taken)
    }

    /// The first account of a shard that has records, from a number on.
    fn account_from(&self, shard: ShardId, from: u64) -> Result<Option<AccountId>, BackupError> {
        let end = keys::end_of(&[Space::Account as u8]);
        let snapshot = self.source.engine.snapshot(shard);
        let found = snapshot.scan(&keys::account(from), &end, Order::Ascending, 1)?;
        let number =
            |(key, _): &(Vec<u8>, _)| Some(u64::from_be_bytes(*key.get(1..)?.first_chunk()?));
        Ok(found.first().and_then(number).map(AccountId))
    }

    /// The directory, and the accounts it names that were made meanwhile.
    fn directory(&mut self, taken: &mut BTreeSet<AccountId>) -> Result<(), BackupError> {
        let prefix = keys::directory();
        let mut tries = 0;
        loop {
            let part = Part::Space(Space::Directory as u8, ShardId(0));
            let snapshot = self.source.engine.snapshot(ShardId(0));
            let found = self.records(&*snapshot, &prefix)?;
            drop(snapshot);
            let mut gone = false;
            for &account in &found.accounts {
                let shard = self.source.engine.shard_of_account(account.0);
                let snapshot = self.source.engine.snapshot(shard);
                if taken.contains(&account) {
                    continue;
                }
                gone |= mailstore::records::state_mark(&*snapshot, account)?.is_none();
                drop(snapshot);
                self.account(shard, account)?;
                taken.insert(account);
            }
            tries += 1;
            // An account that was removed since: the directory is looked at again.
            if !gone || tries > ACCOUNT_RETRIES {
                return self.push(part, Vec::new(), found);
            }
        }
    }

    /// All keys of a space in a shard, from one snapshot.
    fn space(&mut self, space: Space, shard: ShardId, prefix: &[u8]) -> Result<(), BackupError> {
        let part = Part::Space(space as u8, shard);
        let name = match space {
            Space::Queue => "the queue",
            _ => "what is on its way in",
        };
        let taken = self.whole(shard, prefix, name, |_| Ok(Vec::new()))?;
        if let Some((mark, taken)) = taken
            && !taken.stretches.is_empty()
        {
            self.push(part, mark, taken)?;
        }
        Ok(())
    }

    fn account(&mut self, shard: ShardId, account: AccountId) -> Result<(), BackupError> {
        let part = Part::Account(shard, account);
        let previous = self
            .previous
            .as_mut()
            .and_then(|previous| previous.find(part));
        let mark = |snapshot: &dyn Snapshot| {
            let mark = mailstore::records::state_mark(snapshot, account)?;
            Ok(mark.map_or_else(Vec::new, |mark| name_of(&mark).to_vec()))
        };
        if let Some(entry) = previous
            && !entry.mark.is_empty()
            && entry.mark == mark(&*self.source.engine.snapshot(shard))?
            && let Some(numbers) = self.numbers_of(&entry.packs)
        {
            self.used.extend(numbers);
            self.progress.unchanged += 1;
            self.count(&entry);
            self.table.push(&entry)?;
        } else {
            let name = format!("account {account}");
            let taken = self.whole(shard, &keys::account(account.0), &name, mark)?;
            if let Some((mark, taken)) = taken {
                self.push(part, mark, taken)?;
            }
        }
        self.progress.accounts += 1;
        self.look()
    }

    /// The numbers of packs, if all of them may be named.
    fn numbers_of(&self, packs: &[PackId]) -> Option<Vec<u32>> {
        packs.iter().map(|&id| self.writer.known(id)).collect()
    }

    /// Records from one snapshot and the bodies they name. When a body went
    /// meanwhile, because what named it did, the records are taken again.
    fn whole(
        &mut self,
        shard: ShardId,
        prefix: &[u8],
        name: &str,
        mark: impl Fn(&dyn Snapshot) -> Result<Vec<u8>, BackupError>,
    ) -> Result<Option<(Vec<u8>, Taken)>, BackupError> {
        let mut tries = 0;
        loop {
            let snapshot = self.source.engine.snapshot(shard);
            let mark = mark(&*snapshot)?;
            let mut taken = self.records(&*snapshot, prefix)?;
            drop(snapshot);
            if taken.stretches.is_empty() {
                return Ok(None);
            }
            let missing = self.bodies(shard, &mut taken)?;
            if missing.gone && tries < ACCOUNT_RETRIES {
                tries += 1;
                continue;
            }
            if missing.told.is_empty() {
                return Ok(Some((mark, taken)));
            }
            for (body, why) in missing.told {
                self.note(format!("{name}: the body {body} {why}"));
            }
            // Without a mark it is looked at again by the next run.
            return Ok(Some((Vec::new(), taken)));
        }
    }

    /// All records behind a prefix, cut into stretches.
    fn records(&mut self, snapshot: &dyn Snapshot, prefix: &[u8]) -> Result<Taken, BackupError> {
        let mut taken = Taken::new()?;
        let mut cutter = Cutter::default();
        let (mut start, end) = (prefix.to_vec(), keys::end_of(prefix));
        loop {
            let pairs = snapshot.scan(&start, &end, Order::Ascending, SCAN_RECORDS)?;
            let Some((last, _)) = pairs.last() else { break };
            start.clone_from(last);
            start.push(0);
            let left_out = |key: &[u8]| mailstore::records::is_left_out(key);
            for (key, value) in pairs.iter().filter(|(key, _)| !left_out(key)) {
                self.needs(key, &value.value, &mut taken)?;
                if let Some(stretch) = cutter.push(key, &value.value) {
                    self.stretch(&stretch, &mut taken)?;
                }
            }
            if pairs.len() < SCAN_RECORDS {
                break;
            }
            self.stop_if_asked()?;
        }
        if let Some(stretch) = cutter.finish() {
            self.stretch(&stretch, &mut taken)?;
        }
        Ok(taken)
    }

    /// What a record needs beside it.
    fn needs(&mut self, key: &[u8], value: &Bytes, taken: &mut Taken) -> Result<(), BackupError> {
        match crate::needs::body_of(key, value) {
            Ok(Some(body)) => {
                taken.emails += 1;
                taken.octets += body.size;
                taken.bodies.push(body.blob)?;
            }
            Ok(None) => taken.accounts.extend(
                directory::account_of(key)
                    .filter(|_| key.first() == Some(&(Space::Directory as u8))),
            ),
            Err(why) => self.note(why),
        }
        Ok(())
    }

    fn stretch(&mut self, stretch: &[u8], taken: &mut Taken) -> Result<(), BackupError> {
        let name = name_of(stretch);
        taken.packs.insert(self.writer.put_stretch(&name, stretch)?);
        taken.stretches.push(name);
        Ok(())
    }

    /// Adds the bodies that no pack has. Gives those that the store can't give.
    fn bodies(&mut self, shard: ShardId, taken: &mut Taken) -> Result<Missing, BackupError> {
        let mut missing = Missing::default();
        let mut bodies = taken.bodies.read()?;
        while let Some(id) = bodies.next()? {
            let name = id.0;
            let number = match self.writer.find(Kind::Bodies, &name)? {
                Some(number) => Some(number),
                None => {
                    let body = self.source.blobs.open(shard, id);
                    let put = self.writer.put_body(&name, body)?;
                    self.look()?;
                    match put {
                        PutBody::In(number) => Some(number),
                        PutBody::Gone => {
                            missing.gone = true;
                            missing.tell(id, "is not in the store".to_owned());
                            None
                        }
                        PutBody::Unreadable(why) => {
                            missing.tell(id, format!("cannot be read: {why}"));
                            None
                        }
                    }
                }
            };
            taken.packs.extend(number);
        }
        Ok(missing)
    }

    fn push(&mut self, part: Part, mark: Vec<u8>, taken: Taken) -> Result<(), BackupError> {
        let entry = Entry {
            part,
            mark,
            emails: taken.emails,
            octets: taken.octets,
            stretches: taken.stretches,
            packs: taken
                .packs
                .iter()
                .map(|&number| self.writer.pack_id(number))
                .collect(),
        };
        self.used.extend(taken.packs);
        self.count(&entry);
        self.table.push(&entry)
    }

    fn count(&mut self, entry: &Entry) {
        if matches!(entry.part, Part::Account(..)) {
            self.manifest.accounts += 1;
            self.manifest.emails += entry.emails;
            self.manifest.octets += entry.octets;
        }
    }

    fn note(&mut self, note: String) {
        tracing::warn!(note, "something could not be backed up");
        if self.manifest.notes.len() < FINDINGS_MAX {
            self.manifest.notes.push(note);
        }
    }

    fn look(&mut self) -> Result<(), BackupError> {
        self.progress.added = self.writer.added;
        self.watch.progress(&self.progress);
        self.stop_if_asked()
    }

    fn stop_if_asked(&self) -> Result<(), BackupError> {
        if self.watch.stop() {
            return Err(BackupError::Interrupted);
        }
        Ok(())
    }

    fn finish(mut self, backup: &Backup<'_>) -> Result<Done, BackupError> {
        let files = self.writer.finish(&self.used)?;
        let (_, table) = self.table.finish()?;
        self.writer.added.bytes += table.len;
        self.manifest.catalogues = files.catalogues;
        self.manifest.packs = files.packs;
        self.manifest.table = table;
        self.manifest.written = self.writer.added.bytes;
        self.manifest.ended_ms = self.source.runtime.now().unix_ms;
        let run = self.writer.run;
        let stored = self.manifest.write(&backup.seal, backup.target, run)?;
        self.progress.added = self.writer.added;
        self.progress.added.bytes += stored.len;
        Ok(Done {
            run,
            manifest: self.manifest,
            progress: self.progress,
        })
    }
}

/// Names of bodies on scratch disk: an account may have a million.
struct Spool {
    file: std::io::BufWriter<std::fs::File>,
}

impl Spool {
    fn new() -> Result<Self, BackupError> {
        Ok(Self {
            file: std::io::BufWriter::new(tempfile::tempfile()?),
        })
    }

    fn push(&mut self, id: BlobId) -> Result<(), BackupError> {
        Ok(self.file.write_all(&id.0)?)
    }

    fn read(&mut self) -> Result<SpoolReader, BackupError> {
        self.file.flush()?;
        let mut file = self.file.get_ref().try_clone()?;
        file.rewind()?;
        Ok(SpoolReader {
            file: std::io::BufReader::new(file),
        })
    }
}

struct SpoolReader {
    file: std::io::BufReader<std::fs::File>,
}

impl SpoolReader {
    fn next(&mut self) -> Result<Option<BlobId>, BackupError> {
        let mut id = [0; 32];
        match self.file.read_exact(&mut id) {
            Ok(()) => Ok(Some(BlobId(id))),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
