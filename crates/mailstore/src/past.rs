//! Looking back: what was deleted and can come back, and the account as it was
//! at a moment. Reads the log from the floor on; changes nothing.

use crate::account::Account;
use crate::changes::decode;
use crate::error::StoreError;
use crate::head::Floor;
use crate::keys;
use crate::load::{base_view, for_each, read_head};
use crate::store::Shared;
use engine::Snapshot;
use envelope::AccountId;
use mailbox_model::{
    Change, EmailId, Item, Keywords, LogEntry, MailboxId, MailboxName, ModSeq, Rewind, Role, Uid,
    View, apply,
};
use std::collections::HashMap;
use std::sync::Arc;
use thiserror::Error;

/// An email that is in no mailbox any more and can come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// Which; its record is there to be read.
    pub email: EmailId,
    /// Where its last copy was.
    pub place: FormerPlace,
    /// The copy's number there.
    pub uid: Uid,
    /// The flags that it had.
    pub keywords: Keywords,
    /// Octets.
    pub size: u64,
    /// When it was deleted, in Unix milliseconds.
    pub at_ms: u64,
    /// How.
    pub why: Why,
    /// The change that deleted it.
    pub(crate) modseq: ModSeq,
}

/// Where a deleted email was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerPlace {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// Its name: now, or when it was deleted itself.
    pub name: MailboxName,
    /// Its special use.
    pub role: Option<Role>,
    /// True if the mailbox is gone too.
    pub gone: bool,
}

/// How an email was deleted, as far as the log tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Expunged: IMAP, POP3, JMAP.
    Expunged,
    /// Its mailbox was deleted.
    MailboxDeleted,
}

/// Why a moment can't be shown.
#[derive(Debug, Error)]
pub enum PastError {
    /// It is before the account's log begins.
    #[error("the account can be shown as it was from {} ms after 1970 on", .0.at_ms)]
    TooLongAgo(Floor),
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Account {
    /// Emails that were deleted at or after a moment (Unix milliseconds) and can
    /// come back, the latest first. An email of which another copy lives is not
    /// deleted.
    ///
    /// # Errors
    /// The log can't be read.
    pub async fn deleted_since(&self, since_ms: u64) -> Result<Vec<Deleted>, StoreError> {
        let view = self.view();
        let shared = Arc::clone(&self.shared);
        let id = self.id();
        let work = move || deleted(&shared, id, &view);
        let mut deleted = self.shared.runtime.blocking(work).await?;
        deleted.retain(|deleted| deleted.at_ms >= since_ms);
        deleted.sort_unstable_by_key(|deleted| std::cmp::Reverse((deleted.modseq, deleted.email)));
        Ok(deleted)
    }

    /// What the account held at a moment (Unix milliseconds): after its last
    /// change that is not later, as [`mailbox_model::undo`] restores it. To be
    /// read only.
    ///
    /// # Errors
    /// The moment is before the log, or the log can't be read.
    pub async fn view_at(&self, at_ms: u64) -> Result<View, PastError> {
        let view = self.view();
        let shared = Arc::clone(&self.shared);
        let id = self.id();
        let work = move || past(&shared, id, &view, at_ms);
        let found = self.shared.runtime.blocking(work).await?;
        found.map_err(PastError::TooLongAgo)
    }
}

fn deleted(shared: &Shared, account: AccountId, view: &View) -> Result<Vec<Deleted>, StoreError> {
    let engine = &*shared.engine;
    let snapshot = engine.snapshot(engine.shard_of_account(account.0));
    // What lies below may be gone any time.
    let floor = read_head(&*snapshot, account)?.terms.floor.modseq;
    let mut names: HashMap<MailboxId, (MailboxName, Option<Role>)> = HashMap::new();
    let mut last: HashMap<EmailId, Removal> = HashMap::new();
    for_each_entry(&*snapshot, account, (floor, view.modseq()), |entry| {
        let (mailbox, items, why) = match entry.change {
            Change::Expunge { mailbox, items } => (mailbox, items, Why::Expunged),
            Change::Delete { mailbox, items, .. } => {
                names.insert(mailbox.id, (mailbox.name, mailbox.role));
                (mailbox.id, items, Why::MailboxDeleted)
            }
            _ => return,
        };
        for item in items {
            let removal = Removal {
                mailbox,
                why,
                at_ms: entry.at_ms,
                modseq: entry.modseq,
                item,
            };
            last.insert(removal.item.email, removal);
        }
    })?;
    for mailbox in view.mailboxes() {
        names.insert(mailbox.id(), (mailbox.name().clone(), mailbox.role()));
        for entry in mailbox.entries() {
            last.remove(&entry.email);
        }
    }
    let mut deleted = Vec::with_capacity(last.len());
    for (email, removal) in last {
        // A mailbox that is gone was deleted above the floor, as its last email was.
        let Some((name, role)) = names.get(&removal.mailbox) else {
            continue;
        };
        deleted.push(Deleted {
            email,
            place: FormerPlace {
                mailbox: removal.mailbox,
                name: name.clone(),
                role: *role,
                gone: view.mailbox(removal.mailbox).is_none(),
            },
            uid: removal.item.uid,
            keywords: removal.item.keywords,
            size: removal.item.size,
            at_ms: removal.at_ms,
            why: removal.why,
            modseq: removal.modseq,
        });
    }
    Ok(deleted)
}

struct Removal {
    mailbox: MailboxId,
    item: Item,
    why: Why,
    at_ms: u64,
    modseq: ModSeq,
}

/// Calls `f` with every entry of the log after one change and up to another.
fn for_each_entry(
    snapshot: &dyn Snapshot,
    account: AccountId,
    (after, last): (ModSeq, ModSeq),
    mut f: impl FnMut(LogEntry),
) -> Result<(), StoreError> {
    let (start, _) = keys::log_after(account, after);
    let (end, _) = keys::log_after(account, last);
    for_each(snapshot, start, &end, |_, record| {
        f(decode(account, &record.value)?);
        Ok(())
    })
}

/// The view at a moment, or since when there is one.
fn past(
    shared: &Shared,
    account: AccountId,
    now: &View,
    at_ms: u64,
) -> Result<Result<View, Floor>, StoreError> {
    let engine = &*shared.engine;
    let snapshot = engine.snapshot(engine.shard_of_account(account.0));
    let floor = read_head(&*snapshot, account)?.terms.floor;
    if floor.modseq > now.modseq() {
        return Err(StoreError::Contended);
    }
    let mut times = Vec::new();
    let all = (floor.modseq, now.modseq());
    for_each_entry(&*snapshot, account, all, |entry| {
        times.push((entry.modseq, entry.at_ms));
    })?;
    let kept = times.iter().rposition(|(_, time)| *time <= at_ms);
    let moment = match kept {
        Some(at) => times[at].0,
        None if floor.modseq > ModSeq(0) && floor.at_ms <= at_ms => floor.modseq,
        None => {
            let born = times.first().map(|(modseq, at_ms)| Floor {
                modseq: *modseq,
                at_ms: *at_ms,
            });
            return Ok(Err(match born {
                Some(born) if floor.modseq == ModSeq(0) => born,
                _ => floor,
            }));
        }
    };
    let later = times.split_off(kept.map_or(0, |at| at + 1));
    if let Some(view) = rewound(&*snapshot, account, now, &later)? {
        return Ok(Ok(view));
    }
    // Entries of an old version don't say enough: the way forward does.
    let mut view = base_view(&*snapshot, account, floor.modseq)?;
    let (start, _) = keys::log_after(account, floor.modseq);
    let (end, _) = keys::log_after(account, moment);
    for_each(&*snapshot, start, &end, |_, record| {
        Ok(apply(&mut view, &decode(account, &record.value)?)?)
    })?;
    Ok(Ok(view))
}

/// Undoes entries, the last one first; none if one of them can't be.
fn rewound(
    snapshot: &dyn Snapshot,
    account: AccountId,
    now: &View,
    undone: &[(ModSeq, u64)],
) -> Result<Option<View>, StoreError> {
    let mut rewind = Rewind::new(now.clone());
    for (modseq, _) in undone.iter().rev() {
        let record = snapshot.get(&keys::log(account, *modseq))?;
        let record = record.ok_or_else(|| StoreError::Damaged {
            account,
            what: format!("entry {modseq} of the log is missing"),
        })?;
        if let Err(error) = rewind.undo(&decode(account, &record.value)?) {
            tracing::debug!(%account, %error, "the past is folded forward");
            return Ok(None);
        }
    }
    Ok(Some(rewind.into_view()))
}
