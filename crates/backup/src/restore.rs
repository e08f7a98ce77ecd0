//! Restoring everything into an empty store: the same records, the same bodies.
//!
//! Afterwards every account passes over the numbers that lost history may have
//! given ([`raise`]), because nobody knows what clients saw since the run.

pub mod import;

use crate::archive::{Backup, Run};
use crate::error::BackupError;
use crate::limits::{RESTORE_BODIES, RESTORE_COMMIT_BYTES};
use crate::pack::Name;
use crate::pass::{Pass, Sink, body_text};
use crate::run::Watch;
use crate::table::Part;
use blobs::{BlobId, BlobWriter, Blobs, Owner};
use bytes::Bytes;
use engine::keys::Space;
use engine::{Batch, Order, ShardId, SharedEngine, Ticket, keys};
use envelope::AccountId;
use mailstore::Mailstore;
use runtime::Runtime;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The store that is restored into.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The store.
    pub engine: SharedEngine,
    /// Its bodies.
    pub blobs: Arc<Blobs>,
}

/// What happens when something of the backup can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDamage {
    /// Nothing counts as restored.
    Refuse,
    /// The rest is restored.
    Skip,
}

/// What a restore came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restored {
    /// Accounts that were restored.
    pub accounts: Vec<AccountId>,
    /// Emails in them.
    pub emails: u64,
    /// Bodies that were written.
    pub bodies: u64,
    /// What could not be restored, in words, up to a bound.
    pub lost: Vec<String>,
    /// How much could not be restored in all.
    pub lost_count: usize,
}

/// True if nothing at all is in a store.
///
/// # Errors
/// The store can't be read.
pub fn is_empty(engine: &SharedEngine) -> Result<bool, BackupError> {
    for shard in (0..engine.shards()).map(ShardId) {
        let snapshot = engine.snapshot(shard);
        if !snapshot
            .scan(&[], &[0xff; 16], Order::Ascending, 1)?
            .is_empty()
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Restores a run into an empty store. Blocks. What was begun and not finished
/// is of no use: the caller throws the store away after an error.
///
/// # Errors
/// With [`OnDamage::Refuse`], that something can't be read; the store can't be
/// written; another number of shards.
pub fn everything(
    backup: &Backup<'_>,
    run: &Run,
    into: &Destination,
    on_damage: OnDamage,
    watch: &mut dyn Watch,
) -> Result<Restored, BackupError> {
    let (here, there) = (into.engine.shards(), run.manifest.shards);
    if here != there {
        return Err(BackupError::Shards {
            backup: there,
            here,
        });
    }
    let mut pass = Pass::new(backup, false)?;
    let mut restored = Restored::default();
    pass.table(
        run,
        |_| true,
        |entry| {
            if let Part::Account(_, account) = entry.part {
                restored.accounts.push(account);
            }
        },
    )?;
    let mut store = Store::new(into);
    pass.records(&mut store, watch)?;
    store.settle()?;
    pass.tell_lost_stretches(run, |_| true)?;
    want_linked(&mut pass, into)?;
    pass.bodies(&mut store, watch)?;
    store.settle()?;
    tell_lost_bodies(&mut pass, into)?;
    restored.bodies = store.bodies;
    restored.emails = pass.emails;
    restored.lost_count = pass.damage.count;
    restored.lost = pass.damage.told;
    match (on_damage, restored.lost.first()) {
        (OnDamage::Refuse, Some(first)) => Err(BackupError::Incomplete {
            count: restored.lost_count,
            first: first.clone(),
        }),
        _ => Ok(restored),
    }
}

/// Makes every account pass over the numbers that lost history may have given.
/// Accounts that can't are told.
pub fn raise(runtime: &Runtime, mailstore: &Mailstore, accounts: &[AccountId]) -> Vec<String> {
    let mut failed = Vec::new();
    for &account in accounts {
        let raised = runtime.block_on(async {
            let account = mailstore.account(account).await?;
            account.raise_after_disaster().await
        });
        if let Err(error) = raised {
            failed.push(format!("account {account}: {error}"));
        }
    }
    failed
}

/// Wants the bodies that the restored links name.
fn want_linked(pass: &mut Pass<'_>, into: &Destination) -> Result<(), BackupError> {
    each_linked(into, |_, id| pass.want_body(id))
}

/// Calls `f` with every blob that has a link, in order; once for each shard.
fn each_linked(
    into: &Destination,
    mut f: impl FnMut(ShardId, BlobId) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    for shard in (0..into.engine.shards()).map(ShardId) {
        let prefix = keys::blob(shard);
        let (mut start, end) = (prefix.clone(), keys::end_of(&prefix));
        loop {
            let snapshot = into.engine.snapshot(shard);
            let found = snapshot.scan(&start, &end, Order::Ascending, 1)?;
            let Some((key, _)) = found.first() else { break };
            // A blob's keys begin with its name; what follows is `blobs`' business.
            let Some(id) = key
                .get(prefix.len()..)
                .and_then(|rest| rest.first_chunk::<32>())
            else {
                break;
            };
            f(shard, BlobId(*id))?;
            let mut of_blob = prefix.clone();
            of_blob.extend_from_slice(id);
            start = keys::end_of(&of_blob);
        }
    }
    Ok(())
}

fn tell_lost_bodies(pass: &mut Pass<'_>, into: &Destination) -> Result<(), BackupError> {
    for name in pass.lost_bodies()? {
        let mut owners = Vec::new();
        for shard in (0..into.engine.shards()).map(ShardId) {
            owners.extend(into.blobs.owners(shard, BlobId(name), OWNERS_TOLD)?);
        }
        let owners: Vec<String> = owners.into_iter().map(owner_text).collect();
        let body = body_text(&name);
        pass.damage.tell(format!(
            "{body} is lost, which is needed by {}",
            owners.join(", ")
        ));
    }
    Ok(())
}

/// Who needs a lost body is told for so many in a shard.
const OWNERS_TOLD: usize = 5;

fn owner_text(owner: Owner) -> String {
    match owner {
        Owner::Email(account, email) => format!("email {email} of account {account}"),
        Owner::Queue(message) => format!("the queued message {message}"),
    }
}

/// Writes what the passes give.
struct Store<'a> {
    into: &'a Destination,
    batches: BTreeMap<ShardId, Batch>,
    staged: usize,
    tickets: BTreeMap<ShardId, Ticket>,
    receiving: Vec<BlobWriter>,
    bodies: u64,
}

impl<'a> Store<'a> {
    fn new(into: &'a Destination) -> Self {
        Self {
            into,
            batches: BTreeMap::new(),
            staged: 0,
            tickets: BTreeMap::new(),
            receiving: Vec::new(),
            bodies: 0,
        }
    }

    fn shard_of(&self, key: &[u8]) -> Option<ShardId> {
        keys::shard_of(key, self.into.engine.shards())
    }

    fn batch(&mut self, shard: ShardId) -> Result<&mut Batch, BackupError> {
        let full = self
            .batches
            .get(&shard)
            .is_some_and(|batch| batch.size_bytes() >= RESTORE_COMMIT_BYTES);
        if full {
            self.submit(shard)?;
        }
        Ok(self.batches.entry(shard).or_default())
    }

    fn submit(&mut self, shard: ShardId) -> Result<(), BackupError> {
        if let Some(batch) = self.batches.remove(&shard)
            && !batch.is_empty()
        {
            // The engine makes writers wait when it falls behind.
            let ticket = self.into.engine.submit(batch)?;
            self.tickets.insert(shard, ticket);
        }
        Ok(())
    }

    /// Everything given so far is on stable storage.
    fn settle(&mut self) -> Result<(), BackupError> {
        let shards: Vec<ShardId> = self.batches.keys().copied().collect();
        for shard in shards {
            self.submit(shard)?;
        }
        self.staged = 0;
        for ticket in std::mem::take(&mut self.tickets).into_values() {
            ticket.done_blocking();
        }
        Ok(())
    }

    /// The shards in which somebody is linked to a body.
    fn wanting(&self, id: BlobId) -> Result<Vec<ShardId>, BackupError> {
        let mut shards = Vec::new();
        for shard in (0..self.into.engine.shards()).map(ShardId) {
            if !self.into.blobs.owners(shard, id, 1)?.is_empty() {
                shards.push(shard);
            }
        }
        Ok(shards)
    }
}

/// The spaces whose records a backup holds.
fn is_backed_up(key: &[u8]) -> bool {
    let spaces = [
        Space::Account,
        Space::Queue,
        Space::Intake,
        Space::Directory,
        Space::System,
    ];
    key.first()
        .is_some_and(|&first| spaces.iter().any(|&space| space as u8 == first))
}

impl Sink for Store<'_> {
    fn record(&mut self, key: &[u8], value: &Bytes) -> Result<(), BackupError> {
        if let Some(shard) = self.shard_of(key).filter(|_| is_backed_up(key)) {
            let value = value.clone();
            self.batch(shard)?.put(key.to_vec(), value);
        }
        Ok(())
    }

    fn needs(&mut self, key: &[u8], body: BlobId, owner: Owner) -> Result<(), BackupError> {
        if let Some(shard) = self.shard_of(key) {
            let blobs = Arc::clone(&self.into.blobs);
            blobs.link(self.batch(shard)?, shard, body, owner);
        }
        Ok(())
    }

    fn piece(
        &mut self,
        name: &Name,
        piece: &[u8],
        first: bool,
        last: bool,
    ) -> Result<(), BackupError> {
        if first {
            let shards = self.wanting(BlobId(*name))?;
            let writers = shards
                .into_iter()
                .map(|shard| self.into.blobs.writer(shard));
            self.receiving = writers.collect();
        }
        for writer in &mut self.receiving {
            writer.push(piece)?;
        }
        if last {
            for writer in std::mem::take(&mut self.receiving) {
                let mut staged = writer.finish()?;
                let blobs = Arc::clone(&self.into.blobs);
                blobs.stage(self.batch(staged.shard())?, &mut staged)?;
            }
            self.bodies += 1;
            self.staged += 1;
            if self.staged >= RESTORE_BODIES {
                let shards: Vec<ShardId> = self.batches.keys().copied().collect();
                for shard in shards {
                    self.submit(shard)?;
                }
                self.staged = 0;
            }
        }
        Ok(())
    }

    fn drop_body(&mut self) {
        self.receiving.clear();
    }
}
