//! From records to a view: the latest checkpoint, then the log after it.
//!
//! If the checkpoint is damaged the log is folded instead, from its floor: the
//! base there and the log above it are the account, all other pages are its
//! shadow. Everything here reads and may block.

use crate::error::StoreError;
use crate::head::{Head, Terms};
use crate::keys::{self, Chain, Part};
use crate::limits::SCAN_RECORDS;
use bytes::Bytes;
use engine::{CommitNo, Engine, Order, ReadError, Snapshot, Versioned};
use envelope::AccountId;
use mailbox_model::page::{ViewBuilder, pages_of};
use mailbox_model::{Effects, LogEntry, ModSeq, UidValidity, View, Weight, apply_noting};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// All that was submitted of an account; owned by its lane.
#[derive(Debug)]
pub(crate) struct Tip {
    pub(crate) view: View,
    /// The view's.
    pub(crate) weight: Weight,
    pub(crate) terms: Terms,
    /// The commit that wrote the head.
    pub(crate) version: CommitNo,
    pub(crate) pending: Pending,
    pub(crate) stored: Stored,
    /// Another commit won: load again.
    pub(crate) stale: bool,
    /// The account was dropped.
    pub(crate) gone: bool,
}

/// What the next checkpoint has to write.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) effects: Effects,
    pub(crate) entries: u32,
    /// What a checkpoint under way is writing; whoever finds it left behind by
    /// one that failed takes it back.
    pub(crate) taken: Option<(Effects, u32)>,
}

impl Pending {
    pub(crate) fn add(&mut self, effects: Effects, entries: u32) {
        // Not `append`, which makes the whole set anew: a change touches a page,
        // and thousands may be waiting.
        self.effects.pages.extend(effects.pages);
        self.effects.mailboxes.extend(effects.mailboxes);
        self.entries = self.entries.saturating_add(entries);
    }
}

/// What the last checkpoint wrote, and what is left of others.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) root: Option<(ModSeq, CommitNo)>,
    pub(crate) parts: BTreeMap<Part, ModSeq>,
    pub(crate) garbage: Vec<Vec<u8>>,
    /// Keywords that are in records.
    pub(crate) keywords: usize,
}

/// Loads an account.
///
/// # Errors
/// It is not there, can't be read, or is damaged beyond mending.
pub(crate) fn load(engine: &dyn Engine, account: AccountId) -> Result<Tip, StoreError> {
    let snapshot = engine.snapshot(engine.shard_of_account(account.0));
    let (head, version) = versioned_head(&*snapshot, account)?;
    let damaged = |what: String| StoreError::Damaged { account, what };

    let mut pending = Pending::default();
    let fits = |view: &View| Head::of(view, head.terms) == head;
    let floor = head.terms.floor.modseq;
    let (mut view, stored) = match from_checkpoint(&*snapshot, account, floor, &mut pending) {
        Ok(found) if fits(&found.0) => found,
        Err(StoreError::Read(error)) => return Err(error.into()),
        other => {
            let why = other
                .err()
                .map_or_else(|| "the head differs".into(), |e| e.to_string());
            tracing::warn!(%account, why, "a checkpoint is damaged: folding the log from its floor");
            pending = Pending::default();
            let view = fold_from_floor(&*snapshot, account, floor, &mut pending)?;
            (view, all_garbage(&*snapshot, account)?)
        }
    };
    if !fits(&view) {
        return Err(damaged("the head differs from the log".into()));
    }
    view.forget_recent();
    Ok(Tip {
        weight: Weight::of(&view),
        view,
        terms: head.terms,
        version,
        pending,
        stored,
        stale: false,
        gone: false,
    })
}

fn versioned_head(
    snapshot: &dyn Snapshot,
    account: AccountId,
) -> Result<(Head, CommitNo), StoreError> {
    let record = snapshot.get(&keys::head(account))?;
    let record = record.ok_or(StoreError::NoAccount(account))?;
    let head = Head::decode(&record.value).map_err(|error| StoreError::Damaged {
        account,
        what: format!("head: {error}"),
    })?;
    Ok((head, record.version))
}

/// The account's head.
pub(crate) fn read_head(snapshot: &dyn Snapshot, account: AccountId) -> Result<Head, StoreError> {
    Ok(versioned_head(snapshot, account)?.0)
}

/// The account before its first change. The first entry of its log gives
/// UIDVALIDITYs of its own.
pub(crate) fn nothing() -> View {
    View::empty(UidValidity(1))
}

/// The account as it was after the change at the log's floor, which is zero
/// before the first.
pub(crate) fn base_view(
    snapshot: &dyn Snapshot,
    account: AccountId,
    floor: ModSeq,
) -> Result<View, StoreError> {
    if floor == ModSeq(0) {
        return Ok(nothing());
    }
    let damaged = |what: String| StoreError::Damaged { account, what };
    let root = snapshot.get(&keys::root(account, Chain::Base))?;
    let root = root.ok_or_else(|| damaged("the base of the log is missing".into()))?;
    let (view, _, modseq) = checkpoint_view(snapshot, account, Chain::Base, &root.value)?;
    if modseq == floor {
        Ok(view)
    } else {
        Err(damaged(format!(
            "the base is of change {modseq}, the log begins after {floor}"
        )))
    }
}

/// Folds the log from its floor. What it takes to write all of it anew goes
/// into `pending`.
pub(crate) fn fold_from_floor(
    snapshot: &dyn Snapshot,
    account: AccountId,
    floor: ModSeq,
    pending: &mut Pending,
) -> Result<View, StoreError> {
    let mut view = base_view(snapshot, account, floor)?;
    for mailbox in view.mailboxes() {
        let pages = pages_of(mailbox).into_iter();
        pending.effects.mailboxes.insert(mailbox.id());
        pending
            .effects
            .pages
            .extend(pages.map(|page| (mailbox.id(), page)));
    }
    pending.entries = 1;
    fold(snapshot, account, &mut view, pending)?;
    Ok(view)
}

/// Applies the log after the view's last change.
fn fold(
    snapshot: &dyn Snapshot,
    account: AccountId,
    view: &mut View,
    pending: &mut Pending,
) -> Result<(), StoreError> {
    let (start, end) = keys::log_after(account, view.modseq());
    for_each(snapshot, start, &end, |_, record| {
        let entry = LogEntry::decode(&record.value).map_err(|error| StoreError::Damaged {
            account,
            what: format!("an entry of the log: {error}"),
        })?;
        apply_noting(view, &entry, &mut pending.effects)?;
        pending.entries = pending.entries.saturating_add(1);
        // Only live changes need these.
        pending.effects.destroyed.clear();
        pending.effects.renewed.clear();
        Ok(())
    })
}

/// The newest version of each part that the root shows.
pub(crate) struct Parts {
    pub(crate) shown: BTreeMap<Part, (ModSeq, Bytes)>,
    pub(crate) garbage: Vec<Vec<u8>>,
}

pub(crate) fn read_parts(
    snapshot: &dyn Snapshot,
    account: AccountId,
    chain: Chain,
    root: ModSeq,
) -> Result<Parts, StoreError> {
    let mut parts = Parts {
        shown: BTreeMap::new(),
        garbage: Vec::new(),
    };
    let (start, end) = keys::parts(account, chain);
    for_each(snapshot, start, &end, |key, record| {
        match keys::part_of(&key) {
            // Generations come in order: what came before is old.
            Some((part, generation)) if generation <= root => {
                let old = parts.shown.insert(part, (generation, record.value));
                if let Some((old, _)) = old {
                    parts.garbage.push(keys::part(account, chain, part, old));
                }
            }
            _ => parts.garbage.push(key),
        }
        Ok(())
    })?;
    Ok(parts)
}

fn all_garbage(snapshot: &dyn Snapshot, account: AccountId) -> Result<Stored, StoreError> {
    let mut stored = Stored::default();
    let (start, end) = keys::parts(account, Chain::Latest);
    for_each(snapshot, start, &end, |key, _| {
        stored.garbage.push(key);
        Ok(())
    })?;
    // The root stays until the next checkpoint writes it anew: its version is
    // the condition.
    if let Some(root) = snapshot.get(&keys::root(account, Chain::Latest))? {
        stored.root = Some((ModSeq(0), root.version));
    }
    Ok(stored)
}

fn from_checkpoint(
    snapshot: &dyn Snapshot,
    account: AccountId,
    floor: ModSeq,
    pending: &mut Pending,
) -> Result<(View, Stored), StoreError> {
    let Some(root) = snapshot.get(&keys::root(account, Chain::Latest))? else {
        let view = fold_from_floor(snapshot, account, floor, pending)?;
        return Ok((view, all_garbage(snapshot, account)?));
    };
    let (mut view, parts, root_modseq) =
        checkpoint_view(snapshot, account, Chain::Latest, &root.value)?;
    if root_modseq < floor {
        return Err(StoreError::Damaged {
            account,
            what: format!("checkpoint: it is of change {root_modseq}, below the log's floor"),
        });
    }
    let mut stored = Stored {
        root: Some((root_modseq, root.version)),
        keywords: view.keywords().len(),
        ..Stored::default()
    };
    stored.garbage = parts.garbage;
    for (part, (generation, record)) in parts.shown {
        if record.is_empty() {
            stored
                .garbage
                .push(keys::part(account, Chain::Latest, part, generation));
        } else {
            stored.parts.insert(part, generation);
        }
    }
    fold(snapshot, account, &mut view, pending)?;
    Ok((view, stored))
}

/// The view that a chain's checkpoint shows.
pub(crate) fn checkpoint_view(
    snapshot: &dyn Snapshot,
    account: AccountId,
    chain: Chain,
    root: &[u8],
) -> Result<(View, Parts, ModSeq), StoreError> {
    let damaged = |error: mailbox_model::page::BuildError| StoreError::Damaged {
        account,
        what: format!("checkpoint: {error}"),
    };
    let mut builder = ViewBuilder::new(root).map_err(damaged)?;
    let root_modseq = builder.modseq();
    let parts = read_parts(snapshot, account, chain, root_modseq)?;
    // In order of `Part`: keywords, mailboxes, pages.
    for (part, (_, record)) in &parts.shown {
        match part {
            _ if record.is_empty() => {}
            Part::Keywords(_) => crate::checkpoint::read_keywords(record, |name| {
                builder.keyword(name);
            })
            .map_err(|error| damaged(error.into()))?,
            Part::Mailbox(id) => builder.mailbox(*id, record).map_err(damaged)?,
            Part::Page(id, page) => builder.page(*id, *page, record).map_err(damaged)?,
        }
    }
    let view = builder.finish().map_err(damaged)?;
    Ok((view, parts, root_modseq))
}

/// Calls `f` with each pair of a range, reading [`SCAN_RECORDS`] at a time.
pub(crate) fn for_each(
    snapshot: &dyn Snapshot,
    start: Vec<u8>,
    end: &[u8],
    mut f: impl FnMut(Vec<u8>, Versioned) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for_each_while(snapshot, start, end, |key, value| {
        f(key, value).map(ControlFlow::Continue)
    })
}

/// As [`for_each`], until `f` says that it is enough.
pub(crate) fn for_each_while(
    snapshot: &dyn Snapshot,
    mut start: Vec<u8>,
    end: &[u8],
    mut f: impl FnMut(Vec<u8>, Versioned) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    loop {
        let pairs: Result<_, ReadError> =
            snapshot.scan(&start, end, Order::Ascending, SCAN_RECORDS);
        let pairs = pairs?;
        let Some((last, _)) = pairs.last() else {
            return Ok(());
        };
        start.clone_from(last);
        start.push(0);
        let finished = pairs.len() < SCAN_RECORDS;
        for (key, value) in pairs {
            if f(key, value)?.is_break() {
                return Ok(());
            }
        }
        if finished {
            return Ok(());
        }
    }
}
