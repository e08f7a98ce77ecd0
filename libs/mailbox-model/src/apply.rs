//! The only function that changes a view: live, when catching up, on replay, on
//! a replica, in undo and in `fsck`. It is pure: the same view and entry give
//! the same view.
//!
//! It checks what it relies on, because stored bytes may be damaged. After an
//! error the view is not to be used: keep a clone, which costs nothing.

use crate::change::{
    Change, FlagEdit, Item, LogEntry, NewMailbox, Raise, Renamed, Restored, Transfer,
};
use crate::flags::FlagId;
use crate::ids::{EmailId, KeywordId, MailboxId, ModSeq, Uid, UidValidity};
use crate::limits::{EMAIL_IDS_SKIPPED_MAX, PAGE_UIDS};
use crate::mailbox::{Counters, Entry, ExpungeLog, Mailbox};
use crate::name::MailboxName;
use crate::recent::RecentChanges;
use crate::saved::Saved;
use crate::seen::SeenBelow;
use crate::uidset::UidSet;
use crate::view::{Copy, View};
use crate::weight::KeywordSums;
use imbl::Vector;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use thiserror::Error;

/// A log entry does not fit the view: the log or the pages are damaged.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum ApplyError {
    /// The entry's number is not above the view's.
    #[error("entry {entry} follows change {view}")]
    ModSeq {
        /// The entry's.
        entry: ModSeq,
        /// The view's.
        view: ModSeq,
    },
    /// It names a mailbox that is not there.
    #[error("there is no mailbox {0}")]
    NoMailbox(MailboxId),
    /// It makes a mailbox under a name or id that is taken.
    #[error("mailbox {0} exists already, by name or by id")]
    MailboxTaken(MailboxId),
    /// It gives a UID again.
    #[error("UID {1} of mailbox {0} was given before")]
    UidTaken(MailboxId, Uid),
    /// It gives an email id again.
    #[error("email {0} was given before")]
    EmailTaken(EmailId),
    /// It gives an email id far beyond those that were given.
    #[error("email {0} is far beyond those that were given")]
    EmailFar(EmailId),
    /// It gives a UIDVALIDITY again.
    #[error("UIDVALIDITY {0} was given before")]
    UidValidityTaken(UidValidity),
    /// It adds a keyword that the table has.
    #[error("keyword {0} exists already")]
    KeywordTaken(Arc<str>),
    /// It names a keyword that the table does not have.
    #[error("there is no keyword {0}")]
    NoKeyword(KeywordId),
    /// It says that entries changed that are not there or did not change.
    #[error("the entries it names in mailbox {0} are not as it says")]
    Entries(MailboxId),
}

/// What a change touched: the pages that a checkpoint must write again, and
/// the email records that come and go with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects {
    /// Pages with entries that changed.
    pub pages: BTreeSet<(MailboxId, u32)>,
    /// Mailboxes whose own record changed.
    pub mailboxes: BTreeSet<MailboxId>,
    /// Emails that lost their last copy.
    pub destroyed: Vec<EmailId>,
    /// Emails that a copy made of another: (the old one, the new one).
    pub renewed: Vec<(EmailId, EmailId)>,
}

/// The page of a checkpoint that holds a UID.
#[must_use]
pub fn page_of(uid: Uid) -> u32 {
    uid.0 / PAGE_UIDS
}

/// Applies one entry of the log.
///
/// # Errors
/// The entry does not fit; the view is then not to be used.
pub fn apply(view: &mut View, entry: &LogEntry) -> Result<(), ApplyError> {
    apply_noting(view, entry, &mut Effects::default())
}

/// As [`apply`], and adds to `effects` what it touched.
///
/// # Errors
/// As [`apply`].
pub fn apply_noting(
    view: &mut View,
    entry: &LogEntry,
    effects: &mut Effects,
) -> Result<(), ApplyError> {
    if entry.modseq <= view.modseq {
        return Err(ApplyError::ModSeq {
            entry: entry.modseq,
            view: view.modseq,
        });
    }
    for name in &entry.new_keywords {
        if view.keywords.add(name).is_none() {
            return Err(ApplyError::KeywordTaken(Arc::clone(name)));
        }
    }
    view.modseq = entry.modseq;
    let mut applier = Applier {
        view,
        modseq: entry.modseq,
        saved: if entry.dates {
            Saved::at_ms(entry.at_ms)
        } else {
            Saved::UNKNOWN
        },
        effects,
    };
    match &entry.change {
        Change::Deliver {
            mailbox,
            items,
            dated,
        } => applier.deliver(*mailbox, items, dated),
        Change::Flags { mailbox, edits } => applier.flags(*mailbox, edits),
        Change::Copy(transfer) => applier.copy(transfer, KeepSource::Yes),
        Change::Move { transfer, .. } => applier.copy(transfer, KeepSource::No),
        Change::Expunge { mailbox, items } => applier.expunge_items(*mailbox, items),
        Change::Create { mailboxes } => applier.create(mailboxes),
        Change::Rename {
            created,
            renames,
            subscribed,
            ..
        } => {
            applier.create(created)?;
            applier.rename(renames, subscribed)
        }
        Change::Delete { mailbox, items, .. } => applier.delete(mailbox.id, items),
        Change::Subscribe { name } => {
            applier.note_subscription(name);
            applier.view.subscriptions.insert(name.clone());
            Ok(())
        }
        Change::Unsubscribe { name } => {
            applier.note_subscription(name);
            applier.view.subscriptions.remove(name);
            Ok(())
        }
        Change::UidValidity { mailbox, to, .. } => applier.uid_validity(*mailbox, *to),
        Change::Restore { mailbox, items } => applier.restore(*mailbox, items),
        Change::Touched { mailbox, uids } => applier.touch(*mailbox, uids),
        Change::Scripts => Ok(()),
        Change::Raised(raise) => {
            applier.raise(*raise);
            Ok(())
        }
    }
}

#[derive(PartialEq, Eq, Clone, core::marker::Copy)]
enum KeepSource {
    Yes,
    No,
}

struct Applier<'a> {
    view: &'a mut View,
    modseq: ModSeq,
    /// Of the copies that come.
    saved: Saved,
    effects: &'a mut Effects,
}

impl Applier<'_> {
    fn deliver(&mut self, id: MailboxId, items: &[Item], dated: &UidSet) -> Result<(), ApplyError> {
        for item in items {
            for &keyword in item.keywords.others() {
                self.check_keyword(keyword)?;
            }
            self.take_email_id(item.email)?;
            self.view.usage.bytes += item.size;
            self.view.usage.emails += 1;
        }
        let (modseq, saved) = (self.modseq, self.saved);
        let entries = items.iter().map(|item| {
            let received = saved != Saved::UNKNOWN && !dated.contains(item.uid);
            let saved = if received { Saved::RECEIVED } else { saved };
            Entry::from_item(item, modseq, saved)
        });
        self.append(id, entries.collect())
    }

    /// Emails come back: as a copy beside another, or as the only one.
    fn restore(&mut self, id: MailboxId, items: &[Restored]) -> Result<(), ApplyError> {
        let mut entries = Vec::with_capacity(items.len());
        for Restored { item, beside } in items {
            for &keyword in item.keywords.others() {
                self.check_keyword(keyword)?;
            }
            if item.email >= self.view.next_email {
                return Err(ApplyError::Entries(id));
            }
            match *beside {
                Some(other) => {
                    self.check_beside(id, item, other)?;
                    let added = Copy {
                        mailbox: id,
                        uid: item.uid,
                    };
                    // Its page says of each entry whether there are other copies.
                    let page = (other.mailbox, page_of(other.uid));
                    self.effects.pages.insert(page);
                    self.view.share(item.email, other, added);
                }
                None if self.view.shared.contains_key(&item.email) => {
                    return Err(ApplyError::Entries(id));
                }
                None => {
                    self.view.usage.bytes += item.size;
                    self.view.usage.emails += 1;
                }
            }
            entries.push(Entry::from_item(item, self.modseq, self.saved));
        }
        self.append(id, entries)
    }

    /// The other copy is as it must be: the same email, in another mailbox.
    fn check_beside(&self, id: MailboxId, item: &Item, other: Copy) -> Result<(), ApplyError> {
        let found = self.view.mailbox(other.mailbox);
        let found = found.and_then(|mailbox| mailbox.find(other.uid));
        let same = found.is_some_and(|(_, entry)| {
            entry.email == item.email
                && entry.keywords == item.keywords
                && entry.size() == item.size
                && !self
                    .view
                    .copies(other.mailbox, entry)
                    .iter()
                    .any(|copy| copy.mailbox == id)
        });
        if same && other.mailbox != id {
            Ok(())
        } else {
            Err(ApplyError::Entries(id))
        }
    }

    fn check_keyword(&self, id: KeywordId) -> Result<(), ApplyError> {
        match self.view.keywords.name(id) {
            Some(_) => Ok(()),
            None => Err(ApplyError::NoKeyword(id)),
        }
    }

    fn take_email_id(&mut self, email: EmailId) -> Result<(), ApplyError> {
        if email < self.view.next_email {
            return Err(ApplyError::EmailTaken(email));
        }
        if email.0 - self.view.next_email.0 > EMAIL_IDS_SKIPPED_MAX {
            return Err(ApplyError::EmailFar(email));
        }
        self.view.next_email = email.next();
        Ok(())
    }

    fn append(&mut self, id: MailboxId, entries: Vec<Entry>) -> Result<(), ApplyError> {
        let modseq = self.modseq;
        self.effects.mailboxes.insert(id);
        let mailbox = self.view.mailbox_mut(id).ok_or(ApplyError::NoMailbox(id))?;
        mailbox.highest_modseq = modseq;
        let mut uids = UidSet::new();
        for entry in entries {
            let uid = entry.uid;
            self.effects.pages.insert((id, page_of(uid)));
            if !mailbox.push(entry) {
                return Err(ApplyError::UidTaken(id, uid));
            }
            uids.push(uid);
        }
        mailbox.recent.push(modseq, uids);
        Ok(())
    }

    fn flags(&mut self, id: MailboxId, edits: &[FlagEdit]) -> Result<(), ApplyError> {
        let mut elsewhere: BTreeMap<MailboxId, Vec<Uid>> = BTreeMap::new();
        for edit in edits {
            if let FlagId::Keyword(keyword) = edit.flag {
                self.check_keyword(keyword)?;
            }
            let source = self.view.mailbox(id).ok_or(ApplyError::NoMailbox(id))?;
            let copies = self.view.copies_of(source, &edit.uids, edit.flag);
            self.edit_entries(id, &edit.uids, edit)?;
            for copy in copies {
                self.edit_entries(copy.mailbox, &UidSet::one(copy.uid), edit)?;
                elsewhere.entry(copy.mailbox).or_default().push(copy.uid);
            }
        }
        let named = edits.iter().flat_map(|edit| edit.uids.ranges());
        self.note_recent(id, UidSet::from_ranges(named));
        for (id, uids) in elsewhere {
            self.note_recent(id, uids.into_iter().collect());
        }
        Ok(())
    }

    /// Nothing of the entries changes but their number; of none of them the mailbox's alone.
    fn touch(&mut self, id: MailboxId, uids: &UidSet) -> Result<(), ApplyError> {
        let modseq = self.modseq;
        self.effects.mailboxes.insert(id);
        let mailbox = self.view.mailbox_mut(id).ok_or(ApplyError::NoMailbox(id))?;
        mailbox.highest_modseq = modseq;
        if uids.is_empty() {
            return Ok(());
        }
        let mut noted = None;
        let touched = mailbox.edit_all(uids, |entry| {
            let page = page_of(entry.uid);
            if noted != Some(page) {
                self.effects.pages.insert((id, page));
                noted = Some(page);
            }
            entry.modseq = modseq;
        });
        if touched == 0 {
            return Err(ApplyError::Entries(id));
        }
        self.note_recent(id, uids.clone());
        Ok(())
    }

    /// Lets sessions find the entries that changed.
    fn note_recent(&mut self, id: MailboxId, uids: UidSet) {
        let modseq = self.modseq;
        if let Some(mailbox) = self.view.mailbox_mut(id) {
            mailbox.recent.push(modseq, uids);
        }
    }

    fn edit_entries(
        &mut self,
        id: MailboxId,
        uids: &UidSet,
        edit: &FlagEdit,
    ) -> Result<(), ApplyError> {
        let modseq = self.modseq;
        self.effects.mailboxes.insert(id);
        let mailbox = self.view.mailbox_mut(id).ok_or(ApplyError::NoMailbox(id))?;
        mailbox.highest_modseq = modseq;
        let (mut changed, mut noted) = (0, None);
        let all = mailbox.edit_all(uids, |entry| {
            let page = page_of(entry.uid);
            if noted != Some(page) {
                self.effects.pages.insert((id, page));
                noted = Some(page);
            }
            entry.modseq = modseq;
            changed += usize::from(entry.set(edit.flag, edit.set));
        });
        if all > 0 && changed == all {
            Ok(())
        } else {
            Err(ApplyError::Entries(id))
        }
    }

    fn copy(&mut self, transfer: &Transfer, keep: KeepSource) -> Result<(), ApplyError> {
        let Transfer {
            from,
            to,
            uids,
            renewed,
            ..
        } = transfer;
        let source = self
            .view
            .mailbox(*from)
            .ok_or(ApplyError::NoMailbox(*from))?;
        let originals: Vec<Entry> = source
            .select(uids)
            .map(|(_, entry)| entry.clone())
            .collect();
        let mut next_uid = transfer.first_uid;
        let mut next_email = transfer.first_email;
        let mut copies = Vec::with_capacity(originals.len());
        for original in &originals {
            let mut copy = Entry {
                uid: next_uid,
                deleted: false,
                modseq: self.modseq,
                saved: self.saved,
                ..original.clone()
            };
            if renewed.contains(original.uid) {
                copy.email = next_email;
                next_email = next_email.next();
                self.take_email_id(copy.email)?;
                self.effects.renewed.push((original.email, copy.email));
                self.view.usage.bytes += copy.size();
                self.view.usage.emails += 1;
            } else if from == to {
                return Err(ApplyError::Entries(*to));
            } else {
                let first = Copy {
                    mailbox: *from,
                    uid: original.uid,
                };
                let added = Copy {
                    mailbox: *to,
                    uid: copy.uid,
                };
                // Its page says of each entry whether there are other copies.
                self.effects.pages.insert((*from, page_of(original.uid)));
                self.view.share(copy.email, first, added);
            }
            copies.push(copy);
            next_uid = next_uid.next();
        }
        self.append(*to, copies)?;
        if keep == KeepSource::No {
            self.expunge(*from, uids)?;
        }
        Ok(())
    }

    fn expunge_items(&mut self, id: MailboxId, items: &[Item]) -> Result<(), ApplyError> {
        let uids = runs_of(self.view, id, items)?;
        self.expunge(id, &uids)
    }

    fn expunge(&mut self, id: MailboxId, uids: &UidSet) -> Result<(), ApplyError> {
        let modseq = self.modseq;
        let mailbox = self.view.mailbox_mut(id).ok_or(ApplyError::NoMailbox(id))?;
        mailbox.highest_modseq = modseq;
        let gone = mailbox.remove(uids, modseq);
        self.effects.mailboxes.insert(id);
        for entry in gone {
            self.effects.pages.insert((id, page_of(entry.uid)));
            let copy = Copy {
                mailbox: id,
                uid: entry.uid,
            };
            if self.view.unshare(entry.email, copy) {
                // Copies of damaged pages may differ in size: never below zero.
                let usage = &mut self.view.usage;
                usage.bytes = usage.bytes.saturating_sub(entry.size());
                usage.emails = usage.emails.saturating_sub(1);
                self.effects.destroyed.push(entry.email);
            }
        }
        Ok(())
    }

    fn create(&mut self, mailboxes: &[NewMailbox]) -> Result<(), ApplyError> {
        for new in mailboxes {
            if new.id < self.view.next_mailbox || self.view.by_name.contains_key(&new.name) {
                return Err(ApplyError::MailboxTaken(new.id));
            }
            self.take_uid_validity(new.uid_validity)?;
            self.view.next_mailbox = new.id.next();
            self.view.by_name.insert(new.name.clone(), new.id);
            if new.subscribe {
                self.view.subscriptions.insert(new.name.clone());
            }
            self.effects.mailboxes.insert(new.id);
            let mailbox = Mailbox {
                id: new.id,
                name: new.name.clone(),
                role: new.role,
                uid_validity: new.uid_validity,
                uid_next: Uid(1),
                highest_modseq: self.modseq,
                counters: Counters::default(),
                keywords: KeywordSums::default(),
                recent: RecentChanges::after(self.modseq),
                seen_below: SeenBelow::default(),
                expunges: ExpungeLog::default(),
                entries: Vector::new(),
            };
            self.view.mailboxes.insert(new.id, Arc::new(mailbox));
        }
        Ok(())
    }

    fn take_uid_validity(&mut self, taken: UidValidity) -> Result<(), ApplyError> {
        if taken < self.view.next_uid_validity {
            return Err(ApplyError::UidValidityTaken(taken));
        }
        self.view.next_uid_validity = taken.next();
        Ok(())
    }

    fn rename(
        &mut self,
        renames: &[Renamed],
        subscribed: &[MailboxName],
    ) -> Result<(), ApplyError> {
        // First all old names go, so that a new one may be another's old one.
        for renamed in renames {
            if self.view.by_name.remove(&renamed.from) != Some(renamed.id) {
                return Err(ApplyError::NoMailbox(renamed.id));
            }
        }
        for name in subscribed {
            self.view.subscriptions.remove(name);
        }
        for renamed in renames {
            let id = renamed.id;
            if self.view.by_name.insert(renamed.to.clone(), id).is_some() {
                return Err(ApplyError::MailboxTaken(id));
            }
            if subscribed.contains(&renamed.from) {
                self.view.subscriptions.insert(renamed.to.clone());
            }
            self.effects.mailboxes.insert(id);
            let modseq = self.modseq;
            let mailbox = self.view.mailbox_mut(id).ok_or(ApplyError::NoMailbox(id))?;
            mailbox.name = renamed.to.clone();
            mailbox.highest_modseq = modseq;
        }
        Ok(())
    }

    fn delete(&mut self, id: MailboxId, items: &[Item]) -> Result<(), ApplyError> {
        let uids = runs_of(self.view, id, items)?;
        self.expunge(id, &uids)?;
        let gone = self
            .view
            .mailboxes
            .remove(&id)
            .ok_or(ApplyError::NoMailbox(id))?;
        if !gone.entries.is_empty() {
            return Err(ApplyError::Entries(id));
        }
        // The subscription stays. RFC 9051 §6.3.7
        self.view.by_name.remove(&gone.name);
        Ok(())
    }

    /// The mailbox's own record says whether it is subscribed.
    fn note_subscription(&mut self, name: &MailboxName) {
        if let Some(mailbox) = self.view.mailbox_named(name) {
            self.effects.mailboxes.insert(mailbox.id);
        }
    }

    fn uid_validity(&mut self, id: MailboxId, to: UidValidity) -> Result<(), ApplyError> {
        self.take_uid_validity(to)?;
        let modseq = self.modseq;
        self.effects.mailboxes.insert(id);
        let mailbox = self.view.mailbox_mut(id).ok_or(ApplyError::NoMailbox(id))?;
        mailbox.uid_validity = to;
        mailbox.highest_modseq = modseq;
        Ok(())
    }

    /// Every entry counts as changed now and no expunge before now is known:
    /// whatever a client remembers of the lost history, it asks for all.
    fn raise(&mut self, by: Raise) {
        let modseq = self.modseq;
        let view = &mut *self.view;
        view.next_email = EmailId(view.next_email.0.saturating_add(by.emails));
        view.next_mailbox = MailboxId(view.next_mailbox.0.saturating_add(by.mailboxes));
        let next = view.next_uid_validity.0.saturating_add(by.uid_validities);
        view.next_uid_validity = UidValidity(next);
        let ids: Vec<MailboxId> = view.mailboxes.keys().copied().collect();
        for id in ids {
            let Some(mailbox) = view.mailbox_mut(id) else {
                continue;
            };
            mailbox.uid_next = Uid(mailbox.uid_next.0.saturating_add(by.uids));
            mailbox.highest_modseq = modseq;
            mailbox.expunges = ExpungeLog {
                floor: modseq,
                ..ExpungeLog::default()
            };
            mailbox.recent = RecentChanges::after(modseq);
            self.effects.mailboxes.insert(id);
            for entry in mailbox.entries.iter_mut() {
                entry.modseq = modseq;
                self.effects.pages.insert((id, page_of(entry.uid)));
            }
        }
    }
}

/// The UIDs of items that must all be in the mailbox as they are.
fn runs_of(view: &View, id: MailboxId, items: &[Item]) -> Result<UidSet, ApplyError> {
    let mailbox = view.mailbox(id).ok_or(ApplyError::NoMailbox(id))?;
    let mut runs = UidSet::new();
    let mut next_rank = None;
    for item in items {
        let (rank, entry) = mailbox.find(item.uid).ok_or(ApplyError::Entries(id))?;
        if entry.email != item.email {
            return Err(ApplyError::Entries(id));
        }
        if next_rank == Some(rank) {
            runs.extend_last(item.uid);
        } else {
            runs.push(item.uid);
        }
        next_rank = Some(rank + 1);
    }
    Ok(runs)
}
