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
use crate::threads::ShownThreads;
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
    let all = all_of_emails(look, since).await?;
    cut(all, look.modseq(), max)
}

/// All that changed of emails since a state.
pub(crate) async fn all_of_emails(
    look: &Look,
    since: ModSeq,
) -> Result<Vec<(ModSeq, How, EmailId)>, MethodError> {
    let log = log_since(look, since).await?;
    let looked = look.clone();
    // However many have changed, others do not wait for that.
    let work = move |_: &EmailReader| compare(&looked, since, &log);
    look.room.account.reading(work).await
}

fn compare(
    look: &Look,
    since: ModSeq,
    log: &[LogEntry],
) -> Result<Vec<(ModSeq, How, EmailId)>, MethodError> {
    let history = History::of(log);
    let touched = history.touched(look, since);
    if history.is_too_much(touched.len()) {
        return Err(MethodError::CannotCalculateChanges);
    }
    let mut changes = Vec::new();
    for (email, modseq) in touched {
        let (first_shown, last_hidden) = history.moments(look, email);
        // An answer may end in the middle: what is shown then was told as new, and what is not was told as gone.
        let (at, how) = match (history.was_shown(look, email), look.is_shown(email)) {
            (true, true) => (modseq, How::Updated),
            (false, true) => (first_shown.unwrap_or(modseq), How::Created),
            (true, false) => (last_hidden.unwrap_or(modseq), How::Destroyed),
            (false, false) => continue,
        };
        changes.push((at, how, email));
    }
    Ok(changes)
}

/// Mailboxes whose counts may be others since a state, and when: an email counts in all mailboxes that its thread has
/// emails in.
pub(crate) fn counted_otherwise(
    look: &Look,
    of_look: &ShownThreads,
    since: ModSeq,
    log: &[LogEntry],
) -> BTreeMap<MailboxId, ModSeq> {
    let mut threads: BTreeMap<EmailId, ModSeq> = BTreeMap::new();
    for (email, at) in History::of(log).touched(look, since) {
        let known = threads.entry(of_look.of(email)).or_default();
        *known = (*known).max(at);
    }
    let mut mailboxes: BTreeMap<MailboxId, ModSeq> = BTreeMap::new();
    for (first, at) in threads {
        let emails = of_look.emails(first).into_iter();
        for (mailbox, _) in emails.flat_map(|email| look.copies(email)) {
            let known = mailboxes.entry(mailbox.id()).or_default();
            *known = (*known).max(at);
        }
    }
    mailboxes
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

    fn of(log: &[LogEntry]) -> Self {
        let mut history = Self::default();
        for entry in log {
            history.take(entry);
        }
        history
    }

    /// Emails that have changed, and when they did last: a copy did, or went.
    fn touched(&self, look: &Look, since: ModSeq) -> BTreeMap<EmailId, ModSeq> {
        let lost = self.lost.iter().map(|(email, lost)| {
            let last = lost.iter().map(|(_, at)| *at).max();
            (*email, last.unwrap_or_default())
        });
        let mut touched: BTreeMap<EmailId, ModSeq> = lost.collect();
        for mailbox in look.view().mailboxes() {
            for (_, entry) in mailbox.changed_since(since) {
                let known = touched.entry(entry.email).or_default();
                *known = (*known).max(entry.modseq);
            }
        }
        touched
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

    /// The change by which an email was first shown, and the one by which it was hidden last, among those that are known.
    fn moments(&self, look: &Look, email: EmailId) -> (Option<ModSeq>, Option<ModSeq>) {
        let now = look.places.copies(email).map(|(mailbox, entry)| Was {
            mailbox: mailbox.id(),
            uid: entry.uid,
            marked: entry.deleted,
        });
        let now = now.map(|was| (was, None));
        let lost = self.lost.get(&email).into_iter().flatten();
        let lost = lost.map(|(was, at)| (*was, Some(*at)));
        let (mut shown, mut hidden): (Vec<ModSeq>, Vec<ModSeq>) = Default::default();
        for (mut copy, mut ended) in now.chain(lost) {
            // Back through its moves.
            loop {
                let came = self.came_at(copy.mailbox, copy.uid);
                if look.room.shows(copy.mailbox) {
                    self.note_moments(copy, (came, ended), &mut shown, &mut hidden);
                }
                match (came, self.moved.get(&(copy.mailbox, copy.uid))) {
                    (Some(_), Some(before)) => (copy, ended) = (*before, came),
                    _ => break,
                }
            }
        }
        (shown.into_iter().min(), hidden.into_iter().max())
    }

    /// Of a copy at one place.
    fn note_moments(
        &self,
        copy: Was,
        (came, ended): (Option<ModSeq>, Option<ModSeq>),
        shown: &mut Vec<ModSeq>,
        hidden: &mut Vec<ModSeq>,
    ) {
        let marks = self.marks.get(&copy.mailbox).into_iter().flatten();
        let mut marks = marks
            .filter(|(_, uids, _)| uids.contains(copy.uid))
            .peekable();
        // What really changed was the other way before.
        let marked = marks.peek().map_or(copy.marked, |(_, _, set)| !*set);
        shown.extend(came.filter(|_| !marked));
        for (at, _, set) in marks {
            match set {
                true => hidden.push(*at),
                false => shown.push(*at),
            }
        }
        hidden.extend(ended.filter(|_| !copy.marked));
    }
}
