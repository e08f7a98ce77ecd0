//! Checkpoints: the view's pages as records, written by commits of their own
//! that change no modseq.
//!
//! Only parts that changed since the last checkpoint are written, each under
//! the checkpoint's modseq as its generation. The root comes last and shows
//! them all at once; until then, and after a crash in between, the older
//! generations count. What is replaced is deleted with the root or after it.
//! Deliveries go on meanwhile.
//!
//! A keyword record is a varint count and that many texts, after a version
//! byte, 1.

use crate::account::Account;
use crate::error::StoreError;
use crate::keys::{self, Chain, Part};
use crate::limits::KEYWORDS_PER_RECORD;
use bytes::Bytes;
use engine::{Batch, CommitNo, Engine, Expect, SubmitError, Ticket};
use envelope::AccountId;
use mailbox_model::page::{encode_mailbox, encode_page, encode_root};
use mailbox_model::{Effects, KeywordTable, ModSeq, View};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use wire::codec::{DecodeError, Reader, Writer};

const KEYWORDS_VERSION: u8 = 1;

/// What a checkpoint is made of, taken from the tip at one moment.
struct Plan {
    account: AccountId,
    view: View,
    /// Each part to write, with the generation it replaces.
    parts: Vec<(Part, Option<ModSeq>)>,
    garbage: Vec<Vec<u8>>,
    root_version: Option<CommitNo>,
    commit_bytes: usize,
}

/// What became of it.
struct Written {
    ticket: Ticket,
    parts: Vec<(Part, Option<ModSeq>)>,
    /// Keys of parts that are gone, to delete next time.
    tombstones: Vec<Vec<u8>>,
}

impl Account {
    /// Has a checkpoint written soon, by a task of the store.
    pub(crate) fn want_checkpoint(self: &Arc<Self>) {
        if self.checkpoint_wanted.swap(true, Ordering::AcqRel) {
            return;
        }
        let account = Arc::clone(self);
        self.shared.tasks.spawn(&self.shared.runtime, async move {
            account.checkpoint_wanted.store(false, Ordering::Release);
            if let Err(error) = account.checkpoint().await {
                tracing::warn!(account = %account.id(), %error, "a checkpoint failed");
            }
        });
    }

    /// Writes a checkpoint if anything changed since the last.
    ///
    /// # Errors
    /// The engine refuses the commits; nothing is lost, the log has it all.
    ///
    /// # Cancel safety
    /// A dropped checkpoint is made up for by the next.
    pub async fn checkpoint(self: &Arc<Self>) -> Result<(), StoreError> {
        let _one = self.checkpointing.lock().await;
        let Some(plan) = self.plan().await else {
            return Ok(());
        };
        let modseq = plan.view.modseq();
        let keywords = plan.view.keywords().len();
        let shared = Arc::clone(&self.shared);
        let written = self
            .shared
            .runtime
            .blocking(move || write(&*shared.engine, plan))
            .await;
        let mut tip = self.lane.lock().await;
        let written = match written {
            Ok(written) => written,
            Err(error) => {
                // The root is not as we know it: somebody else wrote one.
                tip.stale |= matches!(error, SubmitError::Conflict { .. });
                return Err(error.into());
            }
        };
        tip.pending.taken = None;
        let stored = &mut tip.stored;
        stored.root = Some((modseq, written.ticket.commit()));
        stored.keywords = keywords;
        stored.garbage = written.tombstones;
        for (part, generation) in written.parts {
            match generation {
                Some(generation) => stored.parts.insert(part, generation),
                None => stored.parts.remove(&part),
            };
        }
        drop(tip);
        written.ticket.done().await;
        Ok(())
    }

    async fn plan(&self) -> Option<Plan> {
        let mut tip = self.lane.lock().await;
        if tip.gone || tip.stale {
            return None;
        }
        let tip = &mut *tip;
        if let Some((effects, entries)) = tip.pending.taken.take() {
            tip.pending.add(effects, entries);
        }
        if tip.pending.entries == 0 && tip.stored.garbage.is_empty() {
            return None;
        }
        let pending = std::mem::take(&mut tip.pending);
        let before = |part| (part, tip.stored.parts.get(&part).copied());
        let touched = touched(&tip.view, &pending.effects, tip.stored.keywords);
        let parts = touched.into_iter().map(before).collect();
        tip.pending.taken = Some((pending.effects, pending.entries));
        Some(Plan {
            account: self.id(),
            view: tip.view.clone(),
            parts,
            garbage: tip.stored.garbage.clone(),
            root_version: tip.stored.root.map(|(_, version)| version),
            commit_bytes: self.shared.options.checkpoint_commit_bytes,
        })
    }
}

/// The parts that changes made other than they were, when so many keywords were stored.
pub(crate) fn touched(view: &View, effects: &Effects, keywords: usize) -> Vec<Part> {
    let mut parts = Vec::new();
    if view.keywords().len() > keywords {
        let first = keywords / KEYWORDS_PER_RECORD;
        let last = (view.keywords().len() - 1) / KEYWORDS_PER_RECORD;
        let chunks = (first..=last).filter_map(|chunk| u32::try_from(chunk).ok());
        parts.extend(chunks.map(Part::Keywords));
    }
    parts.extend(effects.mailboxes.iter().copied().map(Part::Mailbox));
    let pages = effects.pages.iter();
    parts.extend(pages.map(|&(id, page)| Part::Page(id, page)));
    parts
}

/// Parts that are written but not shown: their root is still to come.
pub(crate) struct Unseen {
    /// What did not fill a commit of its own.
    pub(crate) batch: Batch,
    now: Vec<(Part, Option<ModSeq>)>,
    replaced: Vec<Vec<u8>>,
    tombstones: Vec<Vec<u8>>,
}

/// Writes parts under the view's modseq, each with the generation it replaces.
pub(crate) fn write_parts(
    engine: &dyn Engine,
    (account, chain): (AccountId, Chain),
    view: &View,
    parts: Vec<(Part, Option<ModSeq>)>,
    commit_bytes: usize,
) -> Result<Unseen, SubmitError> {
    let generation = view.modseq();
    let mut unseen = Unseen {
        batch: Batch::new(),
        now: Vec::with_capacity(parts.len()),
        replaced: Vec::new(),
        tombstones: Vec::new(),
    };
    for (part, before) in parts {
        let record = encode(view, part);
        let key = keys::part(account, chain, part, generation);
        let shown = record.as_ref().map(|_| generation);
        unseen.now.push((part, shown));
        match record {
            Some(record) => unseen.batch.put(key, record),
            // Even if it was never shown: a checkpoint that failed may have left
            // an older generation of it, which this root would bring to light.
            None => {
                unseen.batch.put(key.clone(), Bytes::new());
                unseen.tombstones.push(key);
            }
        }
        if let Some(before) = before.filter(|&before| before != generation) {
            let key = keys::part(account, chain, part, before);
            unseen.replaced.push(key);
        }
        if unseen.batch.size_bytes() > commit_bytes {
            engine.submit(std::mem::take(&mut unseen.batch))?;
        }
    }
    Ok(unseen)
}

fn write(engine: &dyn Engine, plan: Plan) -> Result<Written, SubmitError> {
    let Plan {
        account,
        view,
        parts,
        garbage,
        root_version,
        commit_bytes,
    } = plan;
    let generation = view.modseq();
    let Unseen {
        mut batch,
        now,
        replaced,
        tombstones,
    } = write_parts(engine, (account, Chain::Latest), &view, parts, commit_bytes)?;
    // Leftovers of a checkpoint that was never shown may have been written
    // again just now, under the same keys.
    let just_now: HashSet<Part> = now.iter().map(|(part, _)| *part).collect();
    let fresh = |key: &Vec<u8>| {
        keys::part_of(key).is_some_and(|(part, g)| g == generation && just_now.contains(&part))
    };
    let mut old = replaced
        .into_iter()
        .chain(garbage.into_iter().filter(|key| !fresh(key)));
    let expect = root_version.map_or(Expect::Absent, Expect::Version);
    let root = keys::root(account, Chain::Latest);
    batch.expect(root.clone(), expect);
    batch.put(root, encode_root(&view));
    delete_some(&mut batch, &mut old, commit_bytes);
    let ticket = engine.submit(batch)?;
    loop {
        let mut rest = Batch::new();
        delete_some(&mut rest, &mut old, commit_bytes);
        if rest.is_empty() {
            break;
        }
        if let Err(error) = engine.submit(rest) {
            // They are found as garbage when the account is loaded again.
            tracing::warn!(%account, %error, "old pages are left behind");
            break;
        }
    }
    Ok(Written {
        ticket,
        parts: now,
        tombstones,
    })
}

fn delete_some(batch: &mut Batch, keys: &mut impl Iterator<Item = Vec<u8>>, bytes: usize) {
    let mut size = batch.size_bytes();
    while size < bytes {
        let Some(key) = keys.next() else { return };
        size += key.len();
        batch.delete(key);
    }
}

fn encode(view: &View, part: Part) -> Option<Vec<u8>> {
    match part {
        Part::Keywords(chunk) => Some(write_keywords(view.keywords(), chunk)),
        Part::Mailbox(id) => encode_mailbox(view, id),
        Part::Page(id, page) => encode_page(view, id, page),
    }
}

fn write_keywords(table: &KeywordTable, chunk: u32) -> Vec<u8> {
    let from = chunk as usize * KEYWORDS_PER_RECORD;
    let names: Vec<_> = table.iter().skip(from).take(KEYWORDS_PER_RECORD).collect();
    let mut out = Writer::new();
    out.u8(KEYWORDS_VERSION).varint(names.len() as u64);
    for name in names {
        out.text(name);
    }
    out.finish()
}

/// Calls `f` with each keyword of a record.
pub(crate) fn read_keywords(record: &[u8], mut f: impl FnMut(&str)) -> Result<(), DecodeError> {
    let mut input = Reader::new(record);
    match input.u8()? {
        KEYWORDS_VERSION => {}
        other => return Err(DecodeError::Version(other)),
    }
    for _ in 0..input.varint()? {
        f(input.text()?);
    }
    input.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyword_records_are_these_bytes() {
        let golden = b"\x01\x02\x05$Junk\x01a";
        let mut names = Vec::new();
        read_keywords(golden, |name| names.push(name.to_owned())).expect("golden");
        assert_eq!(names, ["$Junk", "a"]);
        assert!(read_keywords(&golden[..5], |_| {}).is_err());
    }
}
