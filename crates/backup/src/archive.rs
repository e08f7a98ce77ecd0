//! A target opened for reading, and for a run's writing.
//!
//! [`Backup`] is the marker, the key and the runs. [`Writer`] adds objects: one
//! that a pack of the target holds already is named, not written again.

use crate::catalogue;
use crate::error::BackupError;
use crate::limits::{PACK_OBJECTS_MAX, PIECE_BYTES_MAX, SMALL_FILE_BYTES_MAX};
use crate::manifest::{Manifest, StoreId};
use crate::names::Names;
use crate::pack::{Name, PackWriter, Packed};
use crate::run::{Options, Sizes};
use crate::run_id::{
    CATALOGUES, KEY, Kind, MARKER, PACKS, PackId, RUNS, RunId, TABLES, parse_catalogue,
};
use crate::seal::{Passphrase, Seal, Stored};
use crate::target::Target;
use blobs::{BlobError, BlobReader};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};

const FORMAT: u32 = 1;

/// A target with its key.
#[derive(Debug)]
pub struct Backup<'a> {
    pub(crate) target: &'a dyn Target,
    pub(crate) seal: Seal,
    pub(crate) store: StoreId,
}

/// A run with what it consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its name.
    pub id: RunId,
    /// What it consists of.
    pub manifest: Manifest,
}

/// A run's name, and the run if its manifest can be read.
pub type FoundRun = (RunId, Result<Run, BackupError>);

impl<'a> Backup<'a> {
    /// Opens what a backup wrote.
    ///
    /// # Errors
    /// There is none, or it is not opened by this passphrase.
    pub fn open(
        target: &'a dyn Target,
        passphrase: Option<&Passphrase>,
    ) -> Result<Self, BackupError> {
        let marker = read_marker(target)?;
        let (store, key) = marker.ok_or_else(|| BackupError::NotABackup(target.describe()))?;
        let seal = match (key, passphrase) {
            (None, None) => Seal::Plain,
            (None, Some(_)) => return Err(BackupError::NotEncrypted),
            (Some(_), None) => return Err(BackupError::NeedsPassphrase),
            (Some(hash), Some(passphrase)) => Seal::open(target, passphrase, hash)?,
        };
        Ok(Self {
            target,
            seal,
            store,
        })
    }

    /// Opens what a backup of this store wrote, or begins it.
    pub(crate) fn open_or_begin(
        target: &'a dyn Target,
        passphrase: Option<&Passphrase>,
        store: StoreId,
    ) -> Result<Self, BackupError> {
        if read_marker(target)?.is_some() {
            let backup = Self::open(target, passphrase)?;
            if backup.store != store {
                return Err(BackupError::OtherStore(target.describe()));
            }
            return Ok(backup);
        }
        let there = target.list("").map_err(BackupError::target("listing"))?;
        // A beginning that was interrupted between key and marker.
        if there.iter().any(|file| file.name != KEY) {
            return Err(BackupError::NotEmpty(target.describe()));
        }
        target
            .remove(KEY)
            .map_err(BackupError::target("removing an unused key"))?;
        let (seal, key) = match passphrase {
            None => (Seal::Plain, None),
            Some(passphrase) => {
                let (seal, hash) = Seal::make(target, passphrase)?;
                (seal, Some(hash))
            }
        };
        write_marker(target, store, key)?;
        Ok(Self {
            target,
            seal,
            store,
        })
    }

    /// The runs that are finished, oldest first. One whose manifest cannot be
    /// read is an error of its own.
    ///
    /// # Errors
    /// The target can't be listed.
    pub fn runs(&self) -> Result<Vec<FoundRun>, BackupError> {
        let files = self
            .target
            .list(RUNS)
            .map_err(BackupError::target("listing"))?;
        let ids = files
            .iter()
            .filter_map(|file| RunId::of_file(&file.name, RUNS));
        Ok(ids.map(|id| (id, self.run(id))).collect())
    }

    fn run(&self, id: RunId) -> Result<Run, BackupError> {
        let manifest = Manifest::read(&self.seal, self.target, id)?;
        Ok(Run { id, manifest })
    }

    /// The last run that began at or before a moment, or the last of all.
    ///
    /// # Errors
    /// There is none, or its manifest is damaged.
    pub fn run_at(&self, unix_ms: Option<u64>) -> Result<Run, BackupError> {
        let files = self
            .target
            .list(RUNS)
            .map_err(BackupError::target("listing"))?;
        let ids = files
            .iter()
            .filter_map(|file| RunId::of_file(&file.name, RUNS));
        let id = ids
            .filter(|id| unix_ms.is_none_or(|at| id.unix_seconds.saturating_mul(1000) <= at))
            .max()
            .ok_or_else(|| {
                let which = unix_ms.map(|ms| {
                    let moment = RunId {
                        unix_seconds: ms / 1000,
                    };
                    format!(" that began at or before {moment}; `posthouse backup list` shows them")
                });
                BackupError::NoRun(which.unwrap_or_default())
            })?;
        self.run(id)
    }

    /// True when the files are encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        matches!(self.seal, Seal::Age(_))
    }
}

type Marker = (StoreId, Option<[u8; 32]>);

/// The marker, a text: whose backup this is, and the BLAKE3 of its key if it
/// is encrypted.
///
/// ```text
/// posthouse backup 1
/// store 0123456789abcdef0123456789abcdef
/// encryption age
/// key …64 hexadecimal digits…
/// check …32 hexadecimal digits: BLAKE3 of the lines before, its first half…
/// ```
fn read_marker(target: &dyn Target) -> Result<Option<Marker>, BackupError> {
    let file = match target.open(MARKER) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(BackupError::target(format!("reading {MARKER}")))?,
    };
    let mut text = String::new();
    file.take(SMALL_FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| BackupError::damaged(MARKER, error))?;
    let wrong = || BackupError::damaged(MARKER, "it does not say what it should");
    let mut lines = text.lines();
    let mut after = |start: &str| lines.next().and_then(|line| line.strip_prefix(start));
    let format = after("posthouse backup ").and_then(|n| n.parse().ok());
    let format: u32 = format.ok_or_else(wrong)?;
    if format != FORMAT {
        return Err(BackupError::NewerFormat(format));
    }
    let lines_end = text.find("check ").unwrap_or(text.len());
    let store = after("store ").and_then(unhex).ok_or_else(wrong)?;
    let key = match after("encryption ") {
        Some("none") => None,
        Some("age") => Some(after("key ").and_then(unhex).ok_or_else(wrong)?),
        _ => return Err(wrong()),
    };
    if after("check ").and_then(unhex) != Some(check_of(&text[..lines_end])) {
        return Err(wrong());
    }
    Ok(Some((store, key)))
}

fn write_marker(
    target: &dyn Target,
    store: StoreId,
    key: Option<[u8; 32]>,
) -> Result<(), BackupError> {
    let store = hex(&store);
    let how = match key {
        None => "encryption none\n".to_owned(),
        Some(hash) => format!("encryption age\nkey {}\n", hex(&hash)),
    };
    let lines = format!("posthouse backup {FORMAT}\nstore {store}\n{how}");
    let text = format!("{lines}check {}\n", hex(&check_of(&lines)));
    let failed = || BackupError::target(format!("writing {MARKER}"));
    let mut file = target.create(MARKER).map_err(failed())?;
    file.write_all(text.as_bytes()).map_err(failed())?;
    file.finish().map_err(failed())
}

fn check_of(lines: &str) -> [u8; 16] {
    let hash = blake3::hash(lines.as_bytes());
    *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

/// What a run added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Added {
    /// Bodies.
    pub bodies: u64,
    /// Stretches of records.
    pub stretches: u64,
    /// Stored bytes of all files.
    pub bytes: u64,
}

/// What became of a body.
pub(crate) enum PutBody {
    /// It is in this pack.
    In(u32),
    /// The store could not give it; the text says why.
    Unreadable(String),
    /// It is not there any more.
    Gone,
}

/// What a manifest names besides the table.
pub(crate) struct Files {
    pub(crate) catalogues: Vec<(String, Stored)>,
    pub(crate) packs: Vec<(PackId, Stored)>,
}

/// Adds a run's files to a target.
pub(crate) struct Writer<'a> {
    backup: &'a Backup<'a>,
    pub(crate) run: RunId,
    /// Every pack that may be named, old and new; the numbers in `names` count in it.
    packs: Vec<(PackId, Option<Stored>)>,
    by_id: BTreeMap<PackId, u32>,
    names: [Names; 2],
    open: [Option<(u32, PackWriter)>; 2],
    uncatalogued: Vec<Packed>,
    catalogues: Vec<(String, Stored)>,
    next_number: u32,
    sizes: Sizes,
    pub(crate) added: Added,
    /// Catalogues that could not be read, with the reason.
    pub(crate) notes: Vec<String>,
}

impl<'a> Writer<'a> {
    /// Looks at what is there, takes away what an interrupted run left that
    /// nothing names, and begins a run. With `options.full`, nothing that is there is
    /// named by this run.
    pub(crate) fn begin(
        backup: &'a Backup<'a>,
        now_seconds: u64,
        options: &Options,
    ) -> Result<Self, BackupError> {
        let target = backup.target;
        target.clean().map_err(BackupError::target("cleaning up"))?;
        let listed = |prefix| target.list(prefix).map_err(BackupError::target("listing"));
        let present: BTreeMap<PackId, u64> = listed(PACKS)?
            .iter()
            .filter_map(|file| Some((PackId::parse(&file.name)?, file.len)))
            .collect();
        let catalogue_files = listed(CATALOGUES)?;
        let runs = listed(RUNS)?;
        let latest = present
            .keys()
            .map(|id| id.run)
            .chain(
                runs.iter()
                    .filter_map(|file| RunId::of_file(&file.name, RUNS)),
            )
            .chain(
                catalogue_files
                    .iter()
                    .filter_map(|file| Some(parse_catalogue(&file.name)?.0)),
            )
            .max();
        // Names grow even if the clock goes back.
        let unix_seconds =
            latest.map_or(now_seconds, |last| now_seconds.max(last.unix_seconds + 1));
        let mut writer = Self {
            backup,
            run: RunId { unix_seconds },
            packs: Vec::new(),
            by_id: BTreeMap::new(),
            names: [Names::new()?, Names::new()?],
            open: [None, None],
            uncatalogued: Vec::new(),
            catalogues: Vec::new(),
            next_number: 1,
            sizes: options.sizes,
            added: Added::default(),
            notes: Vec::new(),
        };
        let mut named: BTreeSet<PackId> = BTreeSet::new();
        let mut unreadable = false;
        for file in &catalogue_files {
            match catalogue::read(&backup.seal, target, &file.name) {
                Ok(packs) => {
                    for pack in packs {
                        named.insert(pack.id);
                        if !options.full && present.get(&pack.id) == Some(&pack.stored.len) {
                            writer.learn(&pack)?;
                        }
                    }
                }
                Err(error) => {
                    unreadable = true;
                    writer
                        .notes
                        .push(format!("{error}; what it names is written again"));
                }
            }
        }
        // What a damaged catalogue named is still needed by the manifests.
        if !unreadable {
            for id in present.keys().filter(|id| !named.contains(id)) {
                target
                    .remove(&id.file())
                    .map_err(BackupError::target("removing what an interrupted run left"))?;
            }
        }
        let finished: BTreeSet<RunId> = runs
            .iter()
            .filter_map(|file| RunId::of_file(&file.name, RUNS))
            .collect();
        for file in listed(TABLES)? {
            if RunId::of_file(&file.name, TABLES).is_none_or(|run| !finished.contains(&run)) {
                target
                    .remove(&file.name)
                    .map_err(BackupError::target("removing what an interrupted run left"))?;
            }
        }
        Ok(writer)
    }

    fn learn(&mut self, pack: &Packed) -> Result<(), BackupError> {
        let number = self.add_pack(pack.id, Some(pack.stored));
        for name in &pack.names {
            self.names[slot(pack.id.kind)].insert(name, number)?;
        }
        Ok(())
    }

    fn add_pack(&mut self, id: PackId, stored: Option<Stored>) -> u32 {
        let number = self.packs.len() as u32;
        self.packs.push((id, stored));
        self.by_id.insert(id, number);
        number
    }

    /// The number of a pack that this run may name.
    pub(crate) fn known(&self, id: PackId) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn pack_id(&self, number: u32) -> PackId {
        self.packs[number as usize].0
    }

    /// The pack that holds an object, if one does.
    pub(crate) fn find(&self, kind: Kind, name: &Name) -> Result<Option<u32>, BackupError> {
        Ok(self.names[slot(kind)].get(name)?)
    }

    /// Adds a stretch, or finds it; gives its pack.
    pub(crate) fn put_stretch(&mut self, name: &Name, bytes: &[u8]) -> Result<u32, BackupError> {
        if let Some(number) = self.find(Kind::Records, name)? {
            return Ok(number);
        }
        let (number, pack) = self.pack(Kind::Records)?;
        pack.object(name, bytes)?;
        self.added.stretches += 1;
        self.wrote(Kind::Records, name, number)?;
        Ok(number)
    }

    /// Adds a body that no pack holds yet.
    pub(crate) fn put_body(
        &mut self,
        name: &Name,
        body: Result<BlobReader, BlobError>,
    ) -> Result<PutBody, BackupError> {
        let mut body = match body {
            Ok(body) => body,
            Err(error) => return Ok(cannot_give(&error)),
        };
        let (number, pack) = self.pack(Kind::Bodies)?;
        let mut hasher = blake3::Hasher::new();
        let mut held = None;
        loop {
            match body.next_chunk() {
                Ok(Some(chunk)) => {
                    hasher.update(&chunk);
                    if let Some(before) = held.replace(chunk) {
                        put_pieces(pack, name, &before, false)?;
                    }
                }
                Ok(None) if hasher.finalize().as_bytes() == name => {
                    put_pieces(pack, name, &held.unwrap_or_default(), true)?;
                    self.added.bodies += 1;
                    self.wrote(Kind::Bodies, name, number)?;
                    return Ok(PutBody::In(number));
                }
                Ok(None) => {
                    pack.give_up(name)?;
                    let why = "its bytes are not what its name says".to_owned();
                    return Ok(PutBody::Unreadable(why));
                }
                Err(error) => {
                    pack.give_up(name)?;
                    return Ok(cannot_give(&error));
                }
            }
        }
    }

    fn pack(&mut self, kind: Kind) -> Result<(u32, &mut PackWriter), BackupError> {
        if self.open[slot(kind)].is_none() {
            let id = PackId {
                run: self.run,
                number: self.next_number,
                kind,
            };
            self.next_number += 1;
            let writer = PackWriter::new(&self.backup.seal, self.backup.target, id)?;
            let number = self.add_pack(id, None);
            self.open[slot(kind)] = Some((number, writer));
        }
        let (number, writer) = self.open[slot(kind)].as_mut().expect("it was opened above");
        Ok((*number, writer))
    }

    fn wrote(&mut self, kind: Kind, name: &Name, number: u32) -> Result<(), BackupError> {
        self.names[slot(kind)].insert(name, number)?;
        let limit = match kind {
            Kind::Bodies => self.sizes.body_pack,
            Kind::Records => self.sizes.record_pack,
        };
        let full = self.open[slot(kind)]
            .as_ref()
            .is_some_and(|(_, pack)| pack.len() >= limit || pack.objects() >= PACK_OBJECTS_MAX);
        if full {
            self.close_pack(kind)?;
        }
        if self.uncatalogued.len() >= self.sizes.catalogue_packs {
            self.write_catalogue()?;
        }
        Ok(())
    }

    fn close_pack(&mut self, kind: Kind) -> Result<(), BackupError> {
        if let Some((number, pack)) = self.open[slot(kind)].take() {
            let packed = pack.finish()?;
            self.added.bytes += packed.stored.len;
            self.packs[number as usize].1 = Some(packed.stored);
            self.uncatalogued.push(packed);
        }
        Ok(())
    }

    fn write_catalogue(&mut self) -> Result<(), BackupError> {
        if self.uncatalogued.is_empty() {
            return Ok(());
        }
        let number = self.catalogues.len() as u32 + 1;
        let packs = std::mem::take(&mut self.uncatalogued);
        let (seal, target) = (&self.backup.seal, self.backup.target);
        let (name, stored) = catalogue::write(seal, target, (self.run, number), &packs)?;
        self.added.bytes += stored.len;
        self.catalogues.push((name, stored));
        Ok(())
    }

    /// Closes what is open; gives the catalogues and, of the packs whose
    /// numbers are given, what manifests name.
    pub(crate) fn finish(&mut self, used: &BTreeSet<u32>) -> Result<Files, BackupError> {
        for kind in Kind::ALL {
            self.close_pack(kind)?;
        }
        self.write_catalogue()?;
        let packs = used.iter().filter_map(|&number| {
            let (id, stored) = self.packs[number as usize];
            Some((id, stored?))
        });
        Ok(Files {
            catalogues: std::mem::take(&mut self.catalogues),
            packs: packs.collect(),
        })
    }
}

fn slot(kind: Kind) -> usize {
    match kind {
        Kind::Bodies => 0,
        Kind::Records => 1,
    }
}

fn put_pieces(
    pack: &mut PackWriter,
    name: &Name,
    bytes: &[u8],
    last: bool,
) -> Result<(), BackupError> {
    let mut pieces = bytes.chunks(PIECE_BYTES_MAX).peekable();
    if pieces.peek().is_none() && last {
        return pack.piece(name, &[], true);
    }
    while let Some(piece) = pieces.next() {
        pack.piece(name, piece, last && pieces.peek().is_none())?;
    }
    Ok(())
}

fn cannot_give(error: &BlobError) -> PutBody {
    match error {
        BlobError::NoSuchBlob | BlobError::Read(engine::ReadError::NoSuchBody) => PutBody::Gone,
        other => PutBody::Unreadable(other.to_string()),
    }
}
