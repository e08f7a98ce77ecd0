//! The best state that can be had of an account whose records are damaged.
//!
//! In this order: base and log as they are; the latest checkpoint and the log
//! above it; base, checkpoint or what is left of either, and what still fits of
//! the log above it.

use super::adapt::{Adapted, adapt};
use crate::error::StoreError;
use crate::fsck::{check_view, floor_of};
use crate::head::Head;
use crate::keys::{self, Chain, Part};
use crate::load::{base_view, checkpoint_view, for_each, read_parts};
use engine::Snapshot;
use envelope::AccountId;
use mailbox_model::page::ViewBuilder;
use mailbox_model::{Change, LogEntry, MailboxId, ModSeq, View, apply};
use std::collections::BTreeSet;

/// What was saved.
#[derive(Debug)]
pub(super) struct Salvaged {
    /// The state after the last change that can be used.
    pub(super) view: View,
    /// What has to become the base, and the log above it the account's: where
    /// base and log as they are don't give the state any more.
    pub(super) base: Option<View>,
    /// Entries that can't be used.
    pub(super) lost: Vec<(ModSeq, String)>,
    /// True if changes may be missing: numbers may have been given that the
    /// state does not know of.
    pub(super) lossy: bool,
    /// Mailboxes in which a UID may mean another message than it did.
    pub(super) doubtful: BTreeSet<MailboxId>,
    /// The largest change number that is named anywhere.
    pub(super) last: ModSeq,
}

/// Works it out.
///
/// # Errors
/// The engine can't be read.
pub(super) fn salvage(
    snapshot: &dyn Snapshot,
    account: AccountId,
    head: Option<&Head>,
) -> Result<Salvaged, StoreError> {
    let floor = floor_of(snapshot, account, head)?;
    let base = readable(base_view(snapshot, account, floor))?;
    let latest = match snapshot.get(&keys::root(account, Chain::Latest))? {
        Some(root) => readable(checkpoint_view(
            snapshot,
            account,
            Chain::Latest,
            &root.value,
        ))?
        .map(|(view, ..)| view)
        .filter(|view| view.modseq() >= floor && check_view(view).is_empty()),
        None => None,
    };
    let is_behind = |view: &View| head.is_some_and(|head| head.modseq > view.modseq());
    if let Some(base) = &base
        && let Folded {
            view, lost, last, ..
        } = fold(snapshot, account, base.clone())?
        && lost.is_empty()
        && latest
            .as_ref()
            .is_none_or(|latest| latest.modseq() <= view.modseq())
        && check_view(&view).is_empty()
    {
        return Ok(Salvaged {
            lossy: is_behind(&view),
            last: last.max(head.map_or(ModSeq(0), |head| head.modseq)),
            view,
            base: None,
            lost,
            doubtful: BTreeSet::new(),
        });
    }
    let (start, whole) = match (latest, base) {
        (Some(latest), _) => (latest, true),
        (None, Some(base)) => (base, true),
        (None, None) => (left_of(snapshot, account)?, false),
    };
    let is_new = start.modseq() != floor || !whole;
    let folded = fold(snapshot, account, start.clone())?;
    let below = entries_below(snapshot, account, start.modseq())?;
    let base = match folded.base {
        Some(base) => Some(base),
        None => is_new.then_some(start),
    };
    let mut lost = below;
    let lossy = !folded.lost.is_empty() || !whole || is_behind(&folded.view);
    lost.extend(folded.lost);
    Ok(Salvaged {
        lossy,
        last: folded.last.max(head.map_or(ModSeq(0), |head| head.modseq)),
        view: folded.view,
        base,
        lost,
        doubtful: folded.doubtful,
    })
}

/// A view, or none where its records are damaged.
fn readable<T>(result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(StoreError::Read(error)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

struct Folded {
    view: View,
    /// The state after the last entry that could not be used as it is.
    base: Option<View>,
    lost: Vec<(ModSeq, String)>,
    doubtful: BTreeSet<MailboxId>,
    last: ModSeq,
}

/// Folds what can be folded of the log after the view.
fn fold(snapshot: &dyn Snapshot, account: AccountId, start: View) -> Result<Folded, StoreError> {
    let mut folded = Folded {
        last: start.modseq(),
        view: start,
        base: None,
        lost: Vec::new(),
        doubtful: BTreeSet::new(),
    };
    let (start, end) = keys::log_after(account, folded.view.modseq());
    for_each(snapshot, start, &end, |key, record| {
        let Some(modseq) = keys::modseq_of(&key) else {
            return Ok(());
        };
        folded.last = modseq;
        let entry = match LogEntry::decode(&record.value) {
            Ok(entry) if entry.modseq == modseq => entry,
            Ok(entry) => {
                folded.lose(
                    modseq,
                    format!("it says that it is change {}", entry.modseq),
                );
                return Ok(());
            }
            Err(error) => {
                folded.lose(modseq, error.to_string());
                return Ok(());
            }
        };
        folded.apply(&entry);
        Ok(())
    })?;
    Ok(folded)
}

impl Folded {
    fn lose(&mut self, modseq: ModSeq, why: String) {
        self.lost.push((modseq, why));
        self.base = Some(self.view.clone());
    }

    fn apply(&mut self, entry: &LogEntry) {
        // Numbers that a transfer gives are counted, not named: behind a lost
        // entry they may be others.
        if let Change::Copy(transfer) | Change::Move { transfer, .. } = &entry.change
            && !self.lost.is_empty()
        {
            self.doubtful.insert(transfer.to);
        }
        let mut next = self.view.clone();
        let error = match apply(&mut next, entry) {
            Ok(()) => {
                self.view = next;
                return;
            }
            Err(error) => error,
        };
        let why = match adapt(&self.view, entry) {
            Adapted::Partly(view) => {
                self.view = *view;
                format!("it fits what was before it only partly: {error}")
            }
            Adapted::No => format!("it does not fit what was before it: {error}"),
        };
        self.lose(entry.modseq, why);
    }
}

/// Entries at or below a state that can't be read.
fn entries_below(
    snapshot: &dyn Snapshot,
    account: AccountId,
    modseq: ModSeq,
) -> Result<Vec<(ModSeq, String)>, StoreError> {
    let mut lost = Vec::new();
    let (start, end) = keys::log_until(account, modseq);
    for_each(snapshot, start, &end, |key, record| {
        if let Some(modseq) = keys::modseq_of(&key) {
            match LogEntry::decode(&record.value) {
                Ok(entry) if entry.modseq == modseq => {}
                Ok(_) => lost.push((modseq, "it names another change".to_owned())),
                Err(error) => lost.push((modseq, error.to_string())),
            }
        }
        Ok(())
    })?;
    Ok(lost)
}

/// What is left of the checkpoints when neither is whole: of each part that can
/// be read the newest, the latest checkpoint's first.
fn left_of(snapshot: &dyn Snapshot, account: AccountId) -> Result<View, StoreError> {
    for chain in [Chain::Latest, Chain::Base] {
        let root = snapshot.get(&keys::root(account, chain))?;
        let builder = root.and_then(|root| ViewBuilder::new(&root.value).ok());
        let shown = builder
            .as_ref()
            .map_or(ModSeq(u64::MAX), ViewBuilder::modseq);
        let parts = read_parts(snapshot, account, chain, shown)?;
        let newest = parts
            .shown
            .values()
            .map(|(generation, _)| *generation)
            .max();
        let Some(newest) = newest else { continue };
        let mut builder = builder.unwrap_or_else(|| ViewBuilder::without_root(newest));
        for (part, (_, record)) in &parts.shown {
            // What does not decode is left out.
            match part {
                _ if record.is_empty() => {}
                Part::Keywords(_) => drop(crate::checkpoint::read_keywords(record, |name| {
                    builder.keyword(name);
                })),
                Part::Mailbox(id) => drop(builder.mailbox(*id, record)),
                Part::Page(id, page) => drop(builder.page(*id, *page, record)),
            }
        }
        return Ok(builder.finish_with_what_is_there());
    }
    Ok(crate::load::nothing())
}
