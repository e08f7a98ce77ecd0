//! What changed of emails since a state, by the account's log and its entries.
//!
//! An email changed if one of its copies did (the entry's modseq) or went (the log). It is new
//! if none of its copies was there then without the mark `\Deleted`; the log says where they were. Changes
//! are told in the order of their numbers, so that an answer can end after any of them.
//!
//! Invariant: what cannot be told exactly is `cannotCalculateChanges`.

use crate::limits::{CHANGES_MAX, LOG_ENTRIES_MAX, MARKS_LOOKED_AT_MAX};
use crate::look::Look;
use crate::methods::store_failed;
use jmap_proto::MethodError;
use mailbox_model::{
    Change, EmailId, FlagId, Item, LogEntry, MailboxId, ModSeq, Transfer, Uid, UidSet,
};
use mailstore::{ChangesError, EmailReader};
use std::collections::{BTreeMap, HashMap};

/// What changed since a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed<T> {
    pub(crate) created: Vec<T>,
    pub(crate) updated: Vec<T>,
    pub(crate) destroyed: Vec<T>,
    /// The state that they lead to.
    pub(crate) state: ModSeq,
    /// There are more behind it.
    pub(crate) more: bool,
}

/// How something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Created,
    Updated,
    Destroyed,
}

/// The part of changes that is answered: `max` at most, all of those with the same number.
///
/// # Errors
/// The first number alone has more.
pub(crate) fn cut<T>(
    mut changes: Vec<(ModSeq, How, T)>,
    last: ModSeq,
    max: Option<u64>,
) -> Result<Changed<T>, MethodError> {
    changes.sort_by_key(|(modseq, ..)| *modseq);
    let max = max
        .and_then(|max| usize::try_from(max).ok())
        .unwrap_or(CHANGES_MAX)
        .min(CHANGES_MAX);
    let (mut state, mut more) = (last, false);
    if changes.len() > max {
        let first_left = changes[max].0;
        let kept = changes.partition_point(|(modseq, ..)| *modseq < first_left);
        if kept == 0 {
            return Err(MethodError::CannotCalculateChanges);
        }
        state = changes[kept - 1].0;
        more = true;
        changes.truncate(kept);
    }
    let mut changed = Changed {
        created: Vec::new(),
        updated: Vec::new(),
        destroyed: Vec::new(),
        state,
        more,
    };
    for (_, how, one) in changes {
        match how {
            How::Created => changed.created.push(one),
            How::Updated => changed.updated.push(one),
            How::Destroyed => changed.destroyed.push(one),
        }
    }
    Ok(changed)
}

/// The log's entries after a state, up to the moment of the look: all of them, since what is known of a
/// part only does not say how things were before.
pub(crate) async fn log_since(look: &Look, since: ModSeq) -> Result<Vec<LogEntry>, MethodError> {
    if since > look.modseq() {
        return Err(MethodError::CannotCalculateChanges);
    }
    let changes = look
        .room
        .account
        .changes_since(since, LOG_ENTRIES_MAX)
        .await;
    let mut changes = changes.map_err(|error| match error {
        ChangesError::BelowFloor(_) => MethodError::CannotCalculateChanges,
        ChangesError::Store(error) => store_failed(&error),
    })?;
    let is_short = changes.more && changes.modseq < look.modseq();
    // The log may be ahead of the look.
    changes
        .entries
        .retain(|entry| entry.modseq <= look.modseq());
    let raised = |entry: &LogEntry| matches!(entry.change, Change::Raised(_));
    match is_short || changes.entries.iter().any(raised) {
        true => Err(MethodError::CannotCalculateChanges),
        false => Ok(changes.entries),
    }
}

/// What changed of emails since a state.
pub(crate) async fn of_emails(
    look: &Look,
    since: ModSeq,
    max: Option<u64>,
) -> Result<Changed<EmailId>, MethodError> {
    let log = log_since(look, since).await?;
    let looked = look.clone();
    // However many have changed, others do not wait for that.
    let work = move |_: &EmailReader| compare(&looked, since, &log, max);
    look.room.account.reading(work).await
}

fn compare(
    look: &Look,
    since: ModSeq,
    log: &[LogEntry],
    max: Option<u64>,
) -> Result<Changed<EmailId>, MethodError> {
    let mut history = History::default();
    for entry in log {
        history.take(entry);
    }
    let mut last: BTreeMap<EmailId, ModSeq> = history.lost_at();
    for mailbox in look.view().mailboxes() {
        for (_, entry) in mailbox.changed_since(since) {
            let known = last.entry(entry.email).or_default();
            *known = (*known).max(entry.modseq);
        }
    }
    if history.is_too_much(last.len()) {
        return Err(MethodError::CannotCalculateChanges);
    }
    let mut changes = Vec::new();
    for (email, modseq) in last {
        let (at, how) = match (history.was_shown(look, email), look.is_shown(email)) {
            (true, true) => (modseq, How::Updated),
            (false, true) => (
                history.shown_since(look, email).unwrap_or(modseq),
                How::Created,
            ),
            (true, false) => (modseq, How::Destroyed),
            (false, false) => continue,
        };
        changes.push((at, how, email));
    }
    cut(changes, look.modseq(), max)
}

/// A copy, and whether it was marked `\Deleted` when something happened to it.
#[derive(Debug, Clone, Copy)]
struct Was {
    mailbox: MailboxId,
    uid: Uid,
    marked: bool,
}

/// What the log says of copies since a state.
#[derive(Default)]
struct History {
    /// By mailbox, in order: from this UID on copies came by this change.
    came: HashMap<MailboxId, Vec<(Uid, ModSeq)>>,
    /// By mailbox, in order: these were marked `\Deleted`, or it was taken away.
    marks: HashMap<MailboxId, Vec<(ModSeq, UidSet, bool)>>,
    /// Copies that went, by email.
    lost: BTreeMap<EmailId, Vec<(Was, ModSeq)>>,
    /// Where a copy was before a MOVE.
    moved: HashMap<(MailboxId, Uid), Was>,
    marks_count: usize,
}

impl History {
    fn take(&mut self, entry: &LogEntry) {
        let at = entry.modseq;
        match &entry.change {
            Change::Deliver { mailbox, items, .. } => {
                self.note_came(*mailbox, items.first().map(|item| item.uid), at);
            }
            Change::Restore { mailbox, items } => {
                self.note_came(*mailbox, items.first().map(|one| one.item.uid), at);
            }
            Change::Expunge { mailbox, items } => self.note_lost(*mailbox, items, at),
            Change::Delete { mailbox, items, .. } => self.note_lost(mailbox.id, items, at),
            Change::Copy(transfer) => self.note_came(transfer.to, Some(transfer.first_uid), at),
            Change::Move {
                transfer,
                deleted,
                renewed_from,
            } => {
                self.note_came(transfer.to, Some(transfer.first_uid), at);
                self.note_moved(transfer, deleted, renewed_from, at);
            }
            Change::Flags { mailbox, edits } => {
                for edit in edits.iter().filter(|edit| edit.flag == FlagId::Deleted) {
                    self.marks_count += edit.uids.range_count();
                    let marks = self.marks.entry(*mailbox).or_default();
                    marks.push((at, edit.uids.clone(), edit.set));
                }
            }
            _ => {}
        }
    }

    fn note_came(&mut self, mailbox: MailboxId, first: Option<Uid>, at: ModSeq) {
        if let Some(first) = first {
            self.came.entry(mailbox).or_default().push((first, at));
        }
    }

    fn note_lost(&mut self, mailbox: MailboxId, items: &[Item], at: ModSeq) {
        for item in items {
            let was = Was {
                mailbox,
                uid: item.uid,
                marked: item.deleted,
            };
            self.lost.entry(item.email).or_default().push((was, at));
        }
    }

    fn note_moved(
        &mut self,
        transfer: &Transfer,
        deleted: &UidSet,
        renewed_from: &[EmailId],
        at: ModSeq,
    ) {
        let mut renewed = renewed_from.iter();
        for (uid, to) in transfer.uids.iter().zip(transfer.first_uid.0..) {
            let was = Was {
                mailbox: transfer.from,
                uid,
                marked: deleted.contains(uid),
            };
            // Where the target held the email, another took its place.
            match transfer
                .renewed
                .contains(uid)
                .then(|| renewed.next())
                .flatten()
            {
                Some(email) => self.lost.entry(*email).or_default().push((was, at)),
                None => drop(self.moved.insert((transfer.to, Uid(to)), was)),
            }
        }
    }

    /// When emails lost a copy last.
    fn lost_at(&self) -> BTreeMap<EmailId, ModSeq> {
        let last = self.lost.iter().map(|(email, lost)| {
            let last = lost.iter().map(|(_, at)| *at).max();
            (*email, last.unwrap_or_default())
        });
        last.collect()
    }

    /// More marks than are looked through for so many emails.
    fn is_too_much(&self, emails: usize) -> bool {
        self.marks_count.saturating_mul(emails) > MARKS_LOOKED_AT_MAX
    }

    /// The change that a copy came by, if it did since.
    fn came_at(&self, mailbox: MailboxId, uid: Uid) -> Option<ModSeq> {
        let came = self.came.get(&mailbox)?;
        let behind = came.partition_point(|(first, _)| *first <= uid);
        came.get(behind.checked_sub(1)?).map(|(_, at)| *at)
    }

    /// Was a copy there then, and shown? It may have been moved since.
    fn was_copy_shown(&self, look: &Look, copy: Was) -> bool {
        let mut copy = copy;
        while self.came_at(copy.mailbox, copy.uid).is_some() {
            match self.moved.get(&(copy.mailbox, copy.uid)) {
                Some(before) => copy = *before,
                None => return false,
            }
        }
        let mut marks = self.marks.get(&copy.mailbox).into_iter().flatten();
        // What really changed was the other way before.
        let first = marks.find(|(_, uids, _)| uids.contains(copy.uid));
        let marked = first.map_or(copy.marked, |(_, _, set)| !*set);
        !marked && look.room.shows(copy.mailbox)
    }

    fn was_shown(&self, look: &Look, email: EmailId) -> bool {
        let now = look.places.copies(email).map(|(mailbox, entry)| Was {
            mailbox: mailbox.id(),
            uid: entry.uid,
            marked: entry.deleted,
        });
        let lost = self.lost.get(&email).into_iter().flatten();
        let mut all = now.chain(lost.map(|(was, _)| *was));
        all.any(|copy| self.was_copy_shown(look, copy))
    }

    /// The change since which an email is shown that was not shown before.
    fn shown_since(&self, look: &Look, email: EmailId) -> Option<ModSeq> {
        let since = look.copies(email).map(|(mailbox, entry)| {
            let marks = self.marks.get(&mailbox.id()).into_iter().flatten();
            let cleared = marks.filter(|(_, uids, set)| !*set && uids.contains(entry.uid));
            let cleared = cleared.map(|(at, ..)| *at).max();
            cleared
                .max(self.came_at(mailbox.id(), entry.uid))
                .unwrap_or(entry.modseq)
        });
        since.min()
    }
}
