//! The reaper: what is older than the retention goes, and the log with it.
//!
//! An expunge takes an email from its mailbox; its record and its body's link
//! stay, so that it can come back. Once the retention has passed:
//!
//! 1. The *base* is written: the view as it was after the last change that is old
//!    enough, as pages of a chain of their own, unseen.
//! 2. One commit shows it and raises the account's *floor* to that change. From
//!    then on nothing from before the floor can be brought back.
//! 3. Records and links of emails that ended below the floor are removed, then
//!    the log up to it, then the base's replaced pages.
//!
//! Each step is made of bounded commits. A crash leaves either unseen pages or
//! work of step 3; both are found by the next run, because the log that says
//! what ended goes last. Within the retention everything is kept, however many
//! changes there are: an account's log is bounded by what happened in that time.
//!
//! Invariant: an email that is in a mailbox after the floor, or was in one at
//! the floor, has its record.

use crate::account::Account;
use crate::changes::decode;
use crate::checkpoint::{touched, write_parts};
use crate::error::StoreError;
use crate::head::Floor;
use crate::keys::{self, Chain, Part};
use crate::limits::REAPED_AT_ONCE;
use crate::lists;
use crate::load::{base_view, for_each, for_each_while, read_head, read_parts};
use crate::read;
use crate::store::{Mailstore, Shared};
use blobs::Owner;
use engine::{Batch, CommitNo, Expect, Order, Snapshot, SubmitError, Ticket};
use envelope::AccountId;
use mailbox_model::page::encode_root;
use mailbox_model::{Change, Effects, EmailId, LogEntry, ModSeq, View, apply_noting};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

/// What a run of the reaper did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reaped {
    /// Entries of the log that went.
    pub entries: u64,
    /// Emails whose records and links went.
    pub emails: u64,
}

impl std::ops::AddAssign for Reaped {
    fn add_assign(&mut self, more: Self) {
        self.entries += more.entries;
        self.emails += more.emails;
    }
}

impl Mailstore {
    /// Removes what of an account is older than `retention`: emails that were
    /// expunged before, and the log up to then. An account that has nothing of
    /// the kind is not even loaded.
    ///
    /// # Errors
    /// The store can't be read or written; the base is damaged (then nothing is
    /// removed). What was done until then stays done; asking again goes on.
    ///
    /// # Cancel safety
    /// A dropped run is finished by the next.
    pub async fn reap(
        &self,
        account: AccountId,
        retention: Duration,
    ) -> Result<Reaped, StoreError> {
        let mut reaped = self.sweep(account).await?;
        let now_ms = self.shared.runtime.now().unix_ms;
        let retention_ms = u64::try_from(retention.as_millis()).unwrap_or(u64::MAX);
        let Some(cut_ms) = now_ms.checked_sub(retention_ms) else {
            return Ok(reaped);
        };
        let shared = Arc::clone(&self.shared);
        let work = move || is_due(&shared, account, cut_ms);
        if self.shared.runtime.blocking(work).await? {
            let account_held = self.account(account).await?;
            if account_held.raise_floor(cut_ms).await? {
                reaped += self.sweep(account).await?;
            }
        }
        if reaped.emails > 0 {
            let account = self.account(account).await?;
            // A damaged record of threads holds nothing else up; `fsck` tells it.
            if let Err(error) = account.prune_threads(reaped.emails).await {
                tracing::warn!(account = %account.id(), %error, "what is kept of threads is not looked after");
            }
        }
        Ok(reaped)
    }

    async fn sweep(&self, account: AccountId) -> Result<Reaped, StoreError> {
        let shared = Arc::clone(&self.shared);
        let work = move || sweep(&shared, account);
        let (reaped, ticket) = self.shared.runtime.blocking(work).await?;
        if let Some(ticket) = ticket {
            ticket.done().await;
        }
        Ok(reaped)
    }
}

impl Account {
    /// Writes the base of the moment and makes it the log's floor; false if
    /// there is nothing to do or somebody else did it meanwhile.
    async fn raise_floor(self: &Arc<Self>, cut_ms: u64) -> Result<bool, StoreError> {
        let _one = self.reaping.lock().await;
        // The latest checkpoint must not need the log that goes.
        match self.checkpoint().await {
            Ok(()) => {}
            // Another process wrote one just now: another time.
            Err(StoreError::Submit(SubmitError::Conflict { .. })) => return Ok(false),
            Err(error) => return Err(error),
        }
        let shared = Arc::clone(&self.shared);
        let id = self.id();
        let work = move || write_base(&shared, id, cut_ms);
        let Some(written) = self.shared.runtime.blocking(work).await? else {
            return Ok(false);
        };
        let mut lane = self.lane().await?;
        let fits = lane.floor() == written.before
            && lane.checkpoint_modseq() >= written.floor.modseq
            && lane.view().modseq() >= written.floor.modseq;
        if !fits {
            return Ok(false);
        }
        lane.stage_floor(written.floor);
        match lane.submit(written.batch) {
            Ok(ticket) => {
                ticket.done().await;
                Ok(true)
            }
            Err(SubmitError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Calls `f` with each entry after `after` that is old enough, until the first
/// that is not: a clock that was set back holds up the cut, no more.
fn for_each_old(
    snapshot: &dyn Snapshot,
    account: AccountId,
    after: ModSeq,
    cut_ms: u64,
    mut f: impl FnMut(LogEntry) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let (start, end) = keys::log_after(account, after);
    for_each_while(snapshot, start, &end, |_, record| {
        let entry = decode(account, &record.value)?;
        if entry.at_ms > cut_ms {
            return Ok(ControlFlow::Break(()));
        }
        f(entry)?;
        Ok(ControlFlow::Continue(()))
    })
}

/// True if cutting the log is worth the writing of a base.
fn is_due(shared: &Shared, account: AccountId, cut_ms: u64) -> Result<bool, StoreError> {
    let snapshot = shared
        .engine
        .snapshot(shared.engine.shard_of_account(account.0));
    let floor = read_head(&*snapshot, account)?.terms.floor;
    let (mut entries, mut ended) = (0u32, false);
    for_each_old(&*snapshot, account, floor.modseq, cut_ms, |entry| {
        entries = entries.saturating_add(1);
        ended |= entry.change.removed().next().is_some();
        Ok(())
    })?;
    Ok(ended || entries >= shared.options.entries_per_compaction)
}

/// A base that is not shown yet.
struct Written {
    before: Floor,
    floor: Floor,
    /// What shows it.
    batch: Batch,
}

fn write_base(
    shared: &Shared,
    account: AccountId,
    cut_ms: u64,
) -> Result<Option<Written>, StoreError> {
    let engine = &*shared.engine;
    let snapshot = engine.snapshot(engine.shard_of_account(account.0));
    let before = read_head(&*snapshot, account)?.terms.floor;
    let mut view = base_view(&*snapshot, account, before.modseq)?;
    let keywords = view.keywords().len();
    let mut effects = Effects::default();
    let mut floor = before;
    for_each_old(&*snapshot, account, before.modseq, cut_ms, |entry| {
        apply_noting(&mut view, &entry, &mut effects)?;
        effects.destroyed.clear();
        effects.renewed.clear();
        floor = Floor {
            modseq: entry.modseq,
            at_ms: entry.at_ms,
        };
        Ok(())
    })?;
    if floor == before {
        return Ok(None);
    }
    let (root_version, generations) = base_parts(&*snapshot, account, before)?;
    let parts = touched(&view, &effects, keywords);
    let parts = parts
        .into_iter()
        .map(|part| (part, generations.get(&part).copied()));
    let commit_bytes = shared.options.checkpoint_commit_bytes;
    let chain = (account, Chain::Base);
    let unseen = write_parts(engine, chain, &view, parts.collect(), commit_bytes)?;
    let mut batch = unseen.batch;
    let root = keys::root(account, Chain::Base);
    batch.expect(
        root.clone(),
        root_version.map_or(Expect::Absent, Expect::Version),
    );
    batch.put(root, encode_root(&view));
    Ok(Some(Written {
        before,
        floor,
        batch,
    }))
}

type Generations = BTreeMap<Part, ModSeq>;

/// The version of the base's root and the generations that it shows.
fn base_parts(
    snapshot: &dyn Snapshot,
    account: AccountId,
    floor: Floor,
) -> Result<(Option<CommitNo>, Generations), StoreError> {
    let root = snapshot.get(&keys::root(account, Chain::Base))?;
    let parts = read_parts(snapshot, account, Chain::Base, floor.modseq)?;
    let generations = parts
        .shown
        .into_iter()
        .map(|(part, (generation, _))| (part, generation));
    Ok((root.map(|root| root.version), generations.collect()))
}

/// Emails that lost a copy, perhaps the last, by the log up to a change.
pub(crate) fn ended(
    snapshot: &dyn Snapshot,
    account: AccountId,
    last: ModSeq,
    emails: &mut BTreeSet<EmailId>,
) -> Result<(), StoreError> {
    let (start, end) = keys::log_until(account, last);
    for_each(snapshot, start, &end, |_, record| {
        match LogEntry::decode(&record.value) {
            Ok(entry) => emails.extend(entry.change.removed()),
            // Their records stay and are told as belonging to nobody.
            Err(error) => tracing::warn!(%account, %error, "an old entry of the log is damaged"),
        }
        Ok(())
    })
}

/// Removes what lies below the floor. Gives the last commit, if there was any.
fn sweep(shared: &Shared, account: AccountId) -> Result<(Reaped, Option<Ticket>), StoreError> {
    let engine = &*shared.engine;
    let snapshot = engine.snapshot(engine.shard_of_account(account.0));
    let floor = read_head(&*snapshot, account)?.terms.floor.modseq;
    let mut sweeping = Sweeping {
        shared,
        account,
        batch: Batch::new(),
        bytes: 0,
        ticket: None,
    };
    let mut reaped = Reaped::default();
    let (start, end) = keys::log_until(account, floor);
    let left = snapshot.scan(&start, &end, Order::Ascending, 1)?;
    if !left.is_empty() {
        let gone = gone_below(&*snapshot, account, floor)?;
        reaped.emails = gone.len() as u64;
        sweeping.emails(&gone.into_iter().collect::<Vec<_>>())?;
        for_each(&*snapshot, start, &end, |key, _| {
            reaped.entries += 1;
            sweeping.delete(key)
        })?;
    }
    sweeping.old_base(&*snapshot, floor)?;
    let ticket = sweeping.finish()?;
    Ok((reaped, ticket))
}

/// Emails that ended below the floor and are nowhere since.
fn gone_below(
    snapshot: &dyn Snapshot,
    account: AccountId,
    floor: ModSeq,
) -> Result<BTreeSet<EmailId>, StoreError> {
    let mut gone = BTreeSet::new();
    ended(snapshot, account, floor, &mut gone)?;
    if gone.is_empty() {
        return Ok(gone);
    }
    let base: View = base_view(snapshot, account, floor)?;
    for mailbox in base.mailboxes() {
        for entry in mailbox.entries() {
            gone.remove(&entry.email);
        }
    }
    // Brought back while the floor was lower.
    let (start, end) = keys::log_after(account, floor);
    for_each(snapshot, start, &end, |_, record| {
        let entry = decode(account, &record.value)?;
        if let Change::Restore { items, .. } = &entry.change {
            for restored in items {
                gone.remove(&restored.item.email);
            }
        }
        Ok(())
    })?;
    Ok(gone)
}

/// What a batch adds to a key, and what the removal of a link takes, about.
const KEY_BYTES: usize = 8;
const LINK_BYTES: usize = 130;

/// Removals in bounded commits.
struct Sweeping<'a> {
    shared: &'a Shared,
    account: AccountId,
    batch: Batch,
    /// Bytes of the batch, about: the batch itself would count them all again.
    bytes: usize,
    ticket: Option<Ticket>,
}

impl Sweeping<'_> {
    fn delete(&mut self, key: Vec<u8>) -> Result<(), StoreError> {
        self.bytes += key.len() + KEY_BYTES;
        self.batch.delete(key);
        self.submit_if_full()
    }

    fn submit_if_full(&mut self) -> Result<(), StoreError> {
        if self.bytes > self.shared.options.checkpoint_commit_bytes {
            self.submit()?;
        }
        Ok(())
    }

    fn submit(&mut self) -> Result<(), StoreError> {
        self.bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        self.ticket = Some(self.shared.engine.submit(batch)?);
        Ok(())
    }

    /// Records with their links.
    fn emails(&mut self, emails: &[EmailId]) -> Result<(), StoreError> {
        let account = self.account;
        let engine = &*self.shared.engine;
        let shard = engine.shard_of_account(account.0);
        for some in emails.chunks(REAPED_AT_ONCE) {
            let records = read::raw_records(engine, account, some)?;
            for (&email, record) in some.iter().zip(records) {
                // An earlier run that was cut short took it.
                let Some(record) = record else { continue };
                // With its link, in one commit.
                let key = keys::email(account, email);
                self.bytes += key.len() + KEY_BYTES;
                self.batch.delete(key);
                match read::blob_of(email, &record) {
                    Ok(blob) => {
                        let owner = Owner::Email(account, email.0);
                        let blobs = &self.shared.blobs;
                        blobs.unlink(&mut self.batch, shard, blob, owner);
                        self.bytes += LINK_BYTES;
                    }
                    // One bad record does not hold up the rest. Its link stays and
                    // keeps the blob: too much is kept, never too little.
                    Err(error) => {
                        tracing::warn!(%account, %error, "reaped without unlinking its body");
                    }
                }
                self.submit_if_full()?;
            }
            // Behind their records, and again if an earlier run was cut short
            // between: until then nobody asks a page for them.
            self.bytes += some.len() * KEY_BYTES;
            lists::forget(&mut self.batch, account, some);
        }
        Ok(())
    }

    /// Pages of the base that are replaced, gone, or were never shown.
    fn old_base(&mut self, snapshot: &dyn Snapshot, floor: ModSeq) -> Result<(), StoreError> {
        let parts = read_parts(snapshot, self.account, Chain::Base, floor)?;
        let gone = parts
            .shown
            .into_iter()
            .filter(|(_, (_, record))| record.is_empty());
        let gone = gone
            .map(|(part, (generation, _))| keys::part(self.account, Chain::Base, part, generation));
        for key in parts.garbage.into_iter().chain(gone.collect::<Vec<_>>()) {
            self.delete(key)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Option<Ticket>, StoreError> {
        if !self.batch.is_empty() {
            self.submit()?;
        }
        Ok(self.ticket)
    }
}
