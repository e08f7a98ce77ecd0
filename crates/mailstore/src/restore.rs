//! The way back: deleted emails return, and an account returns to a moment.
//!
//! Both are ordinary changes: what comes back has new UIDs, clients are told as
//! of any arrival, and the way back can be gone back. Each commit is bounded; a
//! crash in between leaves a part done, and asking again does the rest, because
//! what is back already is no longer wanted.
//!
//! Nobody is held off by the quota here, as COPY and MOVE are not.

use crate::account::Account;
use crate::error::StoreError;
use crate::head::Floor;
use crate::lane::Lane;
use crate::limits::{BACK_ROUNDS_MAX, CONFLICT_RETRIES, RESTORED_PER_CHANGE};
use crate::past::{Deleted, FormerPlace, PastError};
use engine::{Batch, SubmitError};
use mailbox_model::stage::{BackStep, Mode, StageError, Wanted, steps_back};
use mailbox_model::{EmailId, LogEntry, MailboxId, MailboxName, Uid, View, apply};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Undeleted {
    /// Each email with its mailbox and its new UID there.
    pub restored: Vec<(EmailId, MailboxId, Uid)>,
    /// Mailboxes that were made again.
    pub mailboxes: Vec<MailboxName>,
    /// Emails that can't come back because their records are gone.
    pub lost: Vec<EmailId>,
}

/// What the way back to a moment does or did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BroughtBack {
    /// Emails that are back from being deleted, each copy counted.
    pub restored: u64,
    /// Copies that are back where they were.
    pub moved: u64,
    /// Emails whose flags are as they were.
    pub flags: u64,
    /// Mailboxes that were made again.
    pub mailboxes: Vec<MailboxName>,
    /// Mailboxes that have their old names again.
    pub renamed: Vec<MailboxName>,
    /// Names that are subscribed again.
    pub subscribed: u64,
    /// Emails that came since and are in the trash now ([`Mode::Exact`]).
    pub trashed: u64,
    /// Copies made since, of emails that are elsewhere, that went ([`Mode::Exact`]).
    pub removed: u64,
    /// Empty mailboxes made since that went ([`Mode::Exact`]).
    pub mailboxes_removed: Vec<MailboxName>,
    /// Emails that can't come back because their records are gone.
    pub lost: Vec<EmailId>,
}

/// Whether anything is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// It is only told.
    DryRun,
    /// It is done.
    ForReal,
}

impl Account {
    /// Brings deleted emails back to where their last copies were, with the
    /// flags that they had but `\Deleted`, under new UIDs. A mailbox that is gone
    /// is made again, unless another has its name by now: then that one takes
    /// them. Those that are back already are passed over.
    ///
    /// # Errors
    /// The store can't be read or written. What was done until then stays done.
    pub async fn undelete(self: &Arc<Self>, emails: &[EmailId]) -> Result<Undeleted, StoreError> {
        // Nothing is reaped meanwhile.
        let _kept = self.reaping.lock().await;
        let wanted: HashSet<EmailId> = emails.iter().copied().collect();
        let mut deleted = self.deleted_since(0).await?;
        deleted.retain(|deleted| wanted.contains(&deleted.email));
        let ids: Vec<EmailId> = deleted.iter().map(|deleted| deleted.email).collect();
        let mut done = Undeleted {
            lost: self.without_record(ids).await?,
            ..Undeleted::default()
        };
        let lost: HashSet<EmailId> = done.lost.iter().copied().collect();
        let mut by_place: BTreeMap<MailboxId, Vec<Deleted>> = BTreeMap::new();
        // In the order of their arrival, as far as ids tell.
        deleted.sort_unstable_by_key(|deleted| deleted.email);
        for deleted in deleted.into_iter().filter(|d| !lost.contains(&d.email)) {
            by_place
                .entry(deleted.place.mailbox)
                .or_default()
                .push(deleted);
        }
        for deleted in by_place.values() {
            for some in deleted.chunks(RESTORED_PER_CHANGE) {
                self.undelete_some(some, &mut done).await?;
            }
        }
        Ok(done)
    }

    /// Emails of one place, in one commit.
    async fn undelete_some(
        self: &Arc<Self>,
        deleted: &[Deleted],
        done: &mut Undeleted,
    ) -> Result<(), StoreError> {
        let Some(place) = deleted.first().map(|deleted| &deleted.place) else {
            return Ok(());
        };
        for _ in 0..CONFLICT_RETRIES {
            let mut lane = self.lane().await?;
            let mut batch = Batch::new();
            let before = lane.view().mailbox_count();
            let target = target(&mut lane, &mut batch, place)?;
            let made = lane.view().mailbox_count() > before;
            // Another process's reaper may have come first.
            let floor = lane.floor().modseq;
            let living = emails_of(lane.view());
            let wanted: Vec<Wanted> = deleted
                .iter()
                .filter(|deleted| deleted.modseq > floor && !living.contains(&deleted.email))
                .map(|deleted| Wanted {
                    email: deleted.email,
                    keywords: deleted.keywords.clone(),
                    size: deleted.size,
                })
                .collect();
            let emails = lane.stage_restore(&mut batch, target, &wanted)?;
            if emails.is_empty() {
                return Ok(());
            }
            match lane.submit(batch) {
                Ok(ticket) => drop(ticket.done().await),
                Err(SubmitError::Conflict { winner, .. }) => {
                    winner.visible().await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            let restored = emails.into_iter().map(|(email, uid)| (email, target, uid));
            done.restored.extend(restored);
            done.mailboxes.extend(made.then(|| place.name.clone()));
            return Ok(());
        }
        Err(StoreError::Contended)
    }

    /// Brings the account back to what it held at a moment (Unix milliseconds):
    /// see [`mailbox_model::stage::steps_back`]. With [`Act::DryRun`] it only
    /// tells what it would do, as of now.
    ///
    /// # Errors
    /// The moment is before the log, or the store can't be read or written. What
    /// was done until then stays done; asking again does the rest.
    pub async fn restore_to(
        self: &Arc<Self>,
        at_ms: u64,
        mode: Mode,
        act: Act,
    ) -> Result<BroughtBack, PastError> {
        // Nothing is reaped meanwhile.
        let _kept = self.reaping.lock().await;
        let past = self.view_at(at_ms).await?;
        let floor = self.floor();
        let mut done = BroughtBack::default();
        let lost = self.lost_of(&past).await?;
        done.lost = lost.iter().copied().collect();
        done.lost.sort_unstable();
        let mut dry = (*self.view()).clone();
        for _ in 0..BACK_ROUNDS_MAX {
            let now = match act {
                Act::DryRun => dry.clone(),
                Act::ForReal => (*self.view()).clone(),
            };
            let (then, lost) = (past.clone(), lost.clone());
            let work = move || steps_back(&then, &now, mode, &lost);
            let steps = self.shared.runtime.blocking(work).await;
            let mut moved_on = false;
            for step in &steps {
                let changed = match act {
                    Act::DryRun => try_out(&mut dry, step)?,
                    Act::ForReal => self.take_step(step, floor).await?,
                };
                if changed {
                    moved_on = true;
                    done.note(step);
                }
            }
            if !moved_on {
                break;
            }
        }
        Ok(done)
    }

    /// True if the step changed anything.
    async fn take_step(
        self: &Arc<Self>,
        step: &BackStep,
        floor: Floor,
    ) -> Result<bool, StoreError> {
        for _ in 0..CONFLICT_RETRIES {
            let mut lane = self.lane().await?;
            if lane.floor() != floor {
                // Another process's reaper: records may be gone that were there.
                return Err(StoreError::Contended);
            }
            let mut batch = Batch::new();
            match lane.stage_back(&mut batch, step).await {
                Ok(()) => {}
                // What it needed is gone or taken meanwhile: the next round knows.
                Err(StoreError::Stage(_)) => return Ok(false),
                Err(error) => return Err(error),
            }
            if lane.is_clean() {
                return Ok(false);
            }
            match lane.submit(batch) {
                Ok(ticket) => {
                    ticket.done().await;
                    return Ok(true);
                }
                Err(SubmitError::Conflict { winner, .. }) => winner.visible().await,
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Contended)
    }

    /// Emails of the past that live nowhere now and have no record.
    async fn lost_of(&self, past: &View) -> Result<HashSet<EmailId>, StoreError> {
        let living = emails_of(&self.view());
        let past = emails_of(past);
        let mut ids: Vec<EmailId> = past.difference(&living).copied().collect();
        ids.sort_unstable();
        Ok(self.without_record(ids).await?.into_iter().collect())
    }

    async fn without_record(&self, ids: Vec<EmailId>) -> Result<Vec<EmailId>, StoreError> {
        let mut lost = Vec::new();
        for some in ids.chunks(RESTORED_PER_CHANGE) {
            let records = self.raw_records(some.to_vec()).await?;
            let missing = some.iter().zip(records).filter(|(_, r)| r.is_none());
            lost.extend(missing.map(|(email, _)| *email));
        }
        Ok(lost)
    }
}

fn emails_of(view: &View) -> HashSet<EmailId> {
    let entries = view.mailboxes().flat_map(|mailbox| mailbox.entries());
    entries.map(|entry| entry.email).collect()
}

/// Where deleted emails go back to.
fn target(
    lane: &mut Lane,
    batch: &mut Batch,
    place: &FormerPlace,
) -> Result<MailboxId, StoreError> {
    let view = lane.view();
    let same = view.mailbox(place.mailbox);
    if let Some(mailbox) = same.or_else(|| view.mailbox_named(&place.name)) {
        return Ok(mailbox.id());
    }
    let role = place.role.filter(|role| view.role(*role).is_none());
    lane.stage_create(batch, &place.name, role)
}

fn try_out(view: &mut View, step: &BackStep) -> Result<bool, StoreError> {
    let draft = match step.stage(view) {
        Ok(Some(draft)) => draft,
        Ok(None) | Err(StageError::NameTaken) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let entry: LogEntry = draft.into_entry(view.modseq().next(), 0);
    apply(view, &entry)?;
    Ok(true)
}

impl BroughtBack {
    /// True if nothing was or is to be done.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        let told = Self {
            lost: self.lost.clone(),
            ..Self::default()
        };
        *self == told
    }

    fn note(&mut self, step: &BackStep) {
        let count = step.count();
        match step {
            BackStep::Rename(names) => self.renamed.extend(names.values().cloned()),
            BackStep::Create(name, _) => self.mailboxes.push(name.clone()),
            BackStep::Move { .. } => self.moved += count,
            BackStep::Restore(..) => self.restored += count,
            BackStep::Flags(..) => self.flags += count,
            BackStep::Subscribe(_) => self.subscribed += count,
            BackStep::Trash { .. } => self.trashed += count,
            BackStep::Remove(..) => self.removed += count,
            BackStep::Delete(name) => self.mailboxes_removed.push(name.clone()),
            BackStep::Unsubscribe(_) => {}
        }
    }
}
