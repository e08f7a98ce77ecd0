//! The way back: the exact inverse of [`crate::apply`] for what an account holds.
//!
//! Undoing entries from the newest down gives the account as it was after the
//! entry before: mailboxes with their names, uses and UIDVALIDITYs, the copies
//! in them with UID, email, size, flags and `\Deleted`, subscriptions, counters
//! and usage.
//!
//! What never goes back: the account's modseq, its next ids and UIDVALIDITY, the
//! keyword table, and of a mailbox UIDNEXT, HIGHESTMODSEQ, its entries' modseqs and
//! save dates and the expunges it remembers. So what comes out is a picture of the past to
//! read and to compare with; shown to a client it would give UIDs again that
//! were gone. The way back into the living account is a new change
//! ([`Change::Restore`]).

use crate::change::{Change, FlagEdit, Item, LogEntry, NewMailbox, Renamed, Restored, Transfer};
use crate::ids::{EmailId, MailboxId, ModSeq, Uid};
use crate::mailbox::{Counters, Entry, ExpungeLog, Mailbox};
use crate::name::MailboxName;
use crate::recent::RecentChanges;
use crate::saved::Saved;
use crate::seen::SeenBelow;
use crate::uidset::UidSet;
use crate::view::{Copy, View};
use crate::weight::KeywordSums;
use imbl::Vector;
use std::collections::HashMap;
use std::sync::Arc;
use thiserror::Error;

/// An entry can't be undone from this view.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum UndoError {
    /// It is not the last entry that the view has.
    #[error("entry {0} is not the last one of the view")]
    ModSeq(ModSeq),
    /// The view is not as the entry left it.
    #[error("mailbox {0} is not as the entry left it")]
    Mailbox(MailboxId),
    /// The entry is of an old version that did not say enough.
    #[error("entry {0} is of a version that does not say all of what it changed")]
    Inexact(ModSeq),
}

/// Undoes the last entry of a view. For many entries keep a [`Rewind`], which
/// looks once where emails are.
///
/// # Errors
/// The entry does not fit; the view is then not to be used.
pub fn undo(view: &mut View, entry: &LogEntry) -> Result<(), UndoError> {
    let mut rewind = Rewind::new(view.clone());
    rewind.undo(entry)?;
    *view = rewind.into_view();
    Ok(())
}

/// A view on its way back.
#[derive(Debug, Clone)]
pub struct Rewind {
    view: View,
    /// Entries up to this one are in the view.
    at: ModSeq,
    /// One copy of each email; made when first asked for.
    places: Option<HashMap<EmailId, Copy>>,
}

impl Rewind {
    /// Begins with an account as it is.
    #[must_use]
    pub fn new(view: View) -> Self {
        Self {
            at: view.modseq(),
            view,
            places: None,
        }
    }

    /// The account as it was.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The account as it was.
    #[must_use]
    pub fn into_view(self) -> View {
        self.view
    }

    /// The last entry that is not undone, at most.
    #[must_use]
    pub fn at(&self) -> ModSeq {
        self.at
    }

    /// Undoes one entry; they are given from the newest down.
    ///
    /// # Errors
    /// The entry does not fit; the view is then not to be used.
    pub fn undo(&mut self, entry: &LogEntry) -> Result<(), UndoError> {
        if entry.modseq > self.at {
            return Err(UndoError::ModSeq(entry.modseq));
        }
        self.at = ModSeq(entry.modseq.0.saturating_sub(1));
        match &entry.change {
            Change::Deliver { mailbox, items, .. } => self.take_items(*mailbox, items.iter()),
            Change::Restore { mailbox, items } => {
                let items = items.iter().map(|Restored { item, .. }| item);
                self.take_items(*mailbox, items)
            }
            Change::Flags { mailbox, edits } => self.flags(*mailbox, edits),
            Change::Copy(transfer) => self.copy(transfer),
            Change::Move {
                transfer,
                deleted,
                renewed_from,
            } => self
                .move_(transfer, deleted, renewed_from)
                .map_err(|error| error.unwrap_or(UndoError::Inexact(entry.modseq))),
            Change::Expunge { mailbox, items } => self.put_items(*mailbox, items),
            Change::Create { mailboxes } => self.create(mailboxes),
            Change::Rename {
                created,
                renames,
                subscribed,
                kept,
            } => {
                self.rename(renames, subscribed, kept)?;
                self.create(created)
            }
            Change::Delete {
                mailbox,
                uid_next,
                items,
            } => self.delete(mailbox, *uid_next, items),
            // Numbers never go back.
            Change::Raised(_) | Change::Touched { .. } | Change::Scripts => Ok(()),
            Change::Subscribe { name } => {
                self.view.subscriptions.remove(name);
                Ok(())
            }
            Change::Unsubscribe { name } => {
                self.view.subscriptions.insert(name.clone());
                Ok(())
            }
            Change::UidValidity { mailbox, from, .. } => {
                self.changed(*mailbox)?.uid_validity = *from;
                Ok(())
            }
        }
    }

    /// A mailbox that becomes another.
    fn changed(&mut self, id: MailboxId) -> Result<&mut Mailbox, UndoError> {
        let modseq = self.view.modseq;
        let mailbox = self.view.mailbox_mut(id).ok_or(UndoError::Mailbox(id))?;
        mailbox.highest_modseq = modseq;
        mailbox.recent = RecentChanges::after(modseq);
        Ok(mailbox)
    }

    /// Takes out copies that came.
    fn take_items<'a>(
        &mut self,
        id: MailboxId,
        items: impl Iterator<Item = &'a Item>,
    ) -> Result<(), UndoError> {
        let mut uids = UidSet::new();
        let mut count = 0;
        for item in items {
            uids.push(item.uid);
            count += 1;
        }
        let gone = self.take(id, &uids)?;
        if gone.len() == count {
            Ok(())
        } else {
            Err(UndoError::Mailbox(id))
        }
    }

    fn take(&mut self, id: MailboxId, uids: &UidSet) -> Result<Vec<Entry>, UndoError> {
        let gone = self.changed(id)?.take(uids, &mut UidSet::new());
        for entry in &gone {
            self.forget(
                entry,
                Copy {
                    mailbox: id,
                    uid: entry.uid,
                },
            );
        }
        Ok(gone)
    }

    fn forget(&mut self, entry: &Entry, gone: Copy) {
        let other = self.view.shared.get(&entry.email);
        let other = other.and_then(|copies| copies.iter().copied().find(|&copy| copy != gone));
        if self.view.unshare(entry.email, gone) {
            let usage = &mut self.view.usage;
            usage.bytes = usage.bytes.saturating_sub(entry.size());
            usage.emails = usage.emails.saturating_sub(1);
        }
        if let Some(places) = &mut self.places {
            match other {
                Some(other) => places.insert(entry.email, other),
                None => places.remove(&entry.email),
            };
        }
    }

    /// Puts back copies that went.
    fn put_items(&mut self, id: MailboxId, items: &[Item]) -> Result<(), UndoError> {
        let modseq = self.view.modseq;
        let saved = Saved::UNKNOWN;
        let entries = items
            .iter()
            .map(|item| Entry::from_item(item, modseq, saved));
        self.put(id, entries.collect())
    }

    fn put(&mut self, id: MailboxId, entries: Vec<Entry>) -> Result<(), UndoError> {
        let places = match &mut self.places {
            Some(places) => places,
            None => self.places.insert(places_of(&self.view)),
        };
        for entry in &entries {
            let added = Copy {
                mailbox: id,
                uid: entry.uid,
            };
            match places.get(&entry.email) {
                Some(&first) => self.view.share(entry.email, first, added),
                None => {
                    self.view.usage.bytes += entry.size();
                    self.view.usage.emails += 1;
                    places.insert(entry.email, added);
                }
            }
        }
        if self.changed(id)?.put_back(entries) {
            Ok(())
        } else {
            Err(UndoError::Mailbox(id))
        }
    }

    fn flags(&mut self, id: MailboxId, edits: &[FlagEdit]) -> Result<(), UndoError> {
        for edit in edits.iter().rev() {
            let source = self.view.mailbox(id).ok_or(UndoError::Mailbox(id))?;
            let copies = self.view.copies_of(source, &edit.uids, edit.flag);
            self.edit_back(id, &edit.uids, edit)?;
            for copy in copies {
                self.edit_back(copy.mailbox, &UidSet::one(copy.uid), edit)?;
            }
        }
        Ok(())
    }

    fn edit_back(
        &mut self,
        id: MailboxId,
        uids: &UidSet,
        edit: &FlagEdit,
    ) -> Result<(), UndoError> {
        let mut changed = 0;
        let all = self.changed(id)?.edit_all(uids, |entry| {
            changed += usize::from(entry.set(edit.flag, !edit.set));
        });
        if all > 0 && changed == all {
            Ok(())
        } else {
            Err(UndoError::Mailbox(id))
        }
    }

    /// The copies that a transfer made: the last of the target.
    fn copies_made(&self, transfer: &Transfer, count: usize) -> Result<UidSet, UndoError> {
        let fault = UndoError::Mailbox(transfer.to);
        let target = self.view.mailbox(transfer.to).ok_or(fault)?;
        let last = u32::try_from(count)
            .ok()
            .and_then(|count| transfer.first_uid.0.checked_add(count))
            .and_then(|end| end.checked_sub(1))
            .ok_or(fault)?;
        let made = UidSet::range(transfer.first_uid, Uid(last));
        let there = target.ranks(transfer.first_uid, Uid(last)).len();
        if there == count { Ok(made) } else { Err(fault) }
    }

    fn copy(&mut self, transfer: &Transfer) -> Result<(), UndoError> {
        let fault = UndoError::Mailbox(transfer.from);
        let source = self.view.mailbox(transfer.from).ok_or(fault)?;
        let count = source.select(&transfer.uids).count();
        let made = self.copies_made(transfer, count)?;
        self.take(transfer.to, &made)?;
        Ok(())
    }

    /// Gives no error of its own when the entry does not say enough.
    fn move_(
        &mut self,
        transfer: &Transfer,
        deleted: &UidSet,
        renewed_from: &[EmailId],
    ) -> Result<(), Option<UndoError>> {
        let count = usize::try_from(transfer.uids.len()).map_err(|_| None)?;
        let made = match self.copies_made(transfer, count) {
            Ok(made) => made,
            // Ranges that reached over gaps: which UIDs there were is not known.
            Err(UndoError::Mailbox(_)) => return Err(None),
            Err(error) => return Err(Some(error)),
        };
        let copies = self.take(transfer.to, &made)?;
        let mut renewed_from = renewed_from.iter();
        let mut originals = Vec::with_capacity(copies.len());
        for (copy, uid) in copies.into_iter().zip(transfer.uids.iter()) {
            let email = if transfer.renewed.contains(uid) {
                *renewed_from.next().ok_or(None)?
            } else {
                copy.email
            };
            originals.push(Entry {
                uid,
                email,
                deleted: deleted.contains(uid),
                saved: Saved::UNKNOWN,
                ..copy
            });
        }
        self.put(transfer.from, originals)?;
        Ok(())
    }

    fn create(&mut self, made: &[NewMailbox]) -> Result<(), UndoError> {
        for new in made.iter().rev() {
            let gone = self.view.mailboxes.remove(&new.id);
            let fits = gone.is_some_and(|gone| gone.entries.is_empty() && gone.name == new.name);
            if !fits || self.view.by_name.remove(&new.name) != Some(new.id) {
                return Err(UndoError::Mailbox(new.id));
            }
            if new.subscribe {
                self.view.subscriptions.remove(&new.name);
            }
        }
        Ok(())
    }

    fn rename(
        &mut self,
        renames: &[Renamed],
        subscribed: &[MailboxName],
        kept: &[MailboxName],
    ) -> Result<(), UndoError> {
        for renamed in renames {
            if self.view.by_name.remove(&renamed.to) != Some(renamed.id) {
                return Err(UndoError::Mailbox(renamed.id));
            }
            if subscribed.contains(&renamed.from) {
                self.view.subscriptions.remove(&renamed.to);
            }
        }
        for renamed in renames {
            let (id, name) = (renamed.id, renamed.from.clone());
            if self.view.by_name.insert(name.clone(), id).is_some() {
                return Err(UndoError::Mailbox(id));
            }
            self.changed(id)?.name = name;
        }
        let names = subscribed.iter().chain(kept).cloned();
        self.view.subscriptions.extend(names);
        Ok(())
    }

    fn delete(
        &mut self,
        gone: &NewMailbox,
        uid_next: Uid,
        items: &[Item],
    ) -> Result<(), UndoError> {
        let modseq = self.view.modseq;
        let mailbox = Mailbox {
            id: gone.id,
            name: gone.name.clone(),
            role: gone.role,
            uid_validity: gone.uid_validity,
            uid_next,
            highest_modseq: modseq,
            counters: Counters::default(),
            keywords: KeywordSums::default(),
            recent: RecentChanges::after(modseq),
            seen_below: SeenBelow::default(),
            expunges: ExpungeLog {
                floor: modseq,
                ..ExpungeLog::default()
            },
            entries: Vector::new(),
        };
        let by_id = self.view.mailboxes.insert(gone.id, Arc::new(mailbox));
        let by_name = self.view.by_name.insert(gone.name.clone(), gone.id);
        if by_id.is_some() || by_name.is_some() {
            return Err(UndoError::Mailbox(gone.id));
        }
        self.put_items(gone.id, items)
    }
}

fn places_of(view: &View) -> HashMap<EmailId, Copy> {
    let mut places = HashMap::new();
    for mailbox in view.mailboxes.values() {
        for entry in &mailbox.entries {
            let copy = Copy {
                mailbox: mailbox.id,
                uid: entry.uid,
            };
            places.insert(entry.email, copy);
        }
    }
    places
}
