//! The records of a checkpoint: root, mailboxes, pages of entries.
//!
//! All three begin with a version byte: 1, that of a page 2. Numbers are varints unless said.
//!
//! | record | fields |
//! |---|---|
//! | root | modseq · next email · next mailbox · next UIDVALIDITY · bytes used · emails used · keywords in the table · count and names of subscriptions to names without a mailbox |
//! | mailbox | name · role byte · subscribed byte · UIDVALIDITY · UIDNEXT · highest modseq · messages · unseen · deleted · size · expunge floor · count and (modseq, UID set) of expunges |
//! | page | count, then for each entry an item (see the log entry's record; bit 64: the email has other copies; bit 128: a save date follows), its modseq minus the one before as zigzag, and its save date (see `saved.rs`) |
//!
//! An entry without bit 128 was saved when it was received. Version 1 of a page has no such
//! bit, and its entries have no save date.
//!
//! A page holds the entries of one mailbox whose UIDs have the same quotient by
//! [`PAGE_UIDS`]: its place does not depend on what is expunged before it.

use crate::apply::page_of;
use crate::change::Item;
use crate::codec::{
    BIT_CALLER, BIT_SAVED, ItemState, read_bool, read_item, read_list, read_name, read_role,
    unzigzag, write_item, zigzag,
};
use crate::ids::{EmailId, MailboxId, ModSeq, Uid, UidValidity};
use crate::limits::PAGE_UIDS;
use crate::mailbox::{Counters, Entry, ExpungeLog, Expunged, Mailbox};
use crate::recent::RecentChanges;
use crate::role::Role;
use crate::saved::Saved;
use crate::seen::SeenBelow;
use crate::uidset::UidSet;
use crate::view::{Copy, Usage, View};
use crate::weight::KeywordSums;
use imbl::Vector;
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;
use wire::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;
const PAGE_VERSION: u8 = 2;
/// The first, which is still read.
const PAGE_VERSION_1: u8 = 1;

/// A checkpoint's records do not make a view.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum BuildError {
    /// A record did not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A page of a mailbox that is not there, or out of order.
    #[error("a page of mailbox {0} does not fit")]
    Page(MailboxId),
    /// A mailbox's counters are not the sums over its pages.
    #[error("the counters of mailbox {0} differ from its pages")]
    Counters(MailboxId),
    /// The keyword table is shorter than the root says.
    #[error("keywords are missing")]
    Keywords,
    /// The quota used is not the sum over the emails.
    #[error("the usage differs from the pages")]
    Usage,
}

/// The root record of a checkpoint of this view.
#[must_use]
pub fn encode_root(view: &View) -> Vec<u8> {
    let mut out = Writer::new();
    out.u8(VERSION)
        .varint(view.modseq.0)
        .varint(view.next_email.0);
    out.varint(u64::from(view.next_mailbox.0));
    out.varint(u64::from(view.next_uid_validity.0));
    out.varint(view.usage.bytes).varint(view.usage.emails);
    out.varint(view.keywords.len() as u64);
    let orphans: Vec<_> = view
        .subscriptions
        .iter()
        .filter(|name| view.mailbox_named(name).is_none())
        .collect();
    out.varint(orphans.len() as u64);
    for name in orphans {
        out.text(name.as_str());
    }
    out.finish()
}

/// The record of one mailbox; none if it is not there.
#[must_use]
pub fn encode_mailbox(view: &View, id: MailboxId) -> Option<Vec<u8>> {
    let mailbox = view.mailbox(id)?;
    let mut out = Writer::new();
    out.u8(VERSION)
        .text(mailbox.name.as_str())
        .u8(Role::code(mailbox.role));
    out.u8(u8::from(view.is_subscribed(&mailbox.name)));
    out.varint(u64::from(mailbox.uid_validity.0))
        .varint(u64::from(mailbox.uid_next.0));
    out.varint(mailbox.highest_modseq.0);
    let counters = mailbox.counters;
    out.varint(counters.messages).varint(counters.unseen);
    out.varint(counters.deleted).varint(counters.size_bytes);
    out.varint(mailbox.expunges.floor.0);
    out.varint(mailbox.expunges.kept.len() as u64);
    for gone in &mailbox.expunges.kept {
        out.varint(gone.modseq.0);
        gone.uids.write(&mut out);
    }
    Some(out.finish())
}

/// One page of a mailbox; none if it has no entries.
#[must_use]
pub fn encode_page(view: &View, id: MailboxId, page: u32) -> Option<Vec<u8>> {
    let mailbox = view.mailbox(id)?;
    let first = page.saturating_mul(PAGE_UIDS);
    let ranks = mailbox.ranks(Uid(first), Uid(first.saturating_add(PAGE_UIDS - 1)));
    if ranks.is_empty() {
        return None;
    }
    let mut out = Writer::new();
    out.u8(PAGE_VERSION).varint(ranks.len() as u64);
    let mut state = ItemState::default();
    let (mut modseq, mut saved) = (0u64, 0u32);
    for (_, entry) in mailbox.range(ranks) {
        let shared = view.shared.contains_key(&entry.email);
        let mut extra = if shared { BIT_CALLER } else { 0 };
        if entry.saved != Saved::RECEIVED {
            extra |= BIT_SAVED;
        }
        write_item(&mut out, &mut state, &Item::from(entry), extra);
        out.varint(zigzag(entry.modseq.0.wrapping_sub(modseq) as i64));
        modseq = entry.modseq.0;
        if entry.saved != Saved::RECEIVED {
            entry.saved.write(&mut out, &mut saved);
        }
    }
    Some(out.finish())
}

/// The pages that a mailbox has.
#[must_use]
pub fn pages_of(mailbox: &Mailbox) -> Vec<u32> {
    let mut pages: Vec<u32> = mailbox
        .entries
        .iter()
        .map(|entry| page_of(entry.uid))
        .collect();
    pages.dedup();
    pages
}

/// Puts a view together from the records of a checkpoint.
#[derive(Debug)]
pub struct ViewBuilder {
    view: View,
    keywords: u64,
    stored: BTreeMap<MailboxId, Counters>,
    shared: BTreeMap<EmailId, Vec<Copy>>,
    usage: Usage,
}

impl ViewBuilder {
    /// Begins with the root record.
    ///
    /// # Errors
    /// It does not decode.
    pub fn new(root: &[u8]) -> Result<Self, BuildError> {
        let mut input = versioned(root)?;
        let mut view = View::empty(UidValidity(1));
        view.modseq = ModSeq(input.varint()?);
        view.next_email = EmailId(input.varint()?);
        view.next_mailbox = MailboxId(input.varint32()?);
        view.next_uid_validity = UidValidity(input.varint32()?);
        view.usage = Usage {
            bytes: input.varint()?,
            emails: input.varint()?,
        };
        let keywords = input.varint()?;
        view.subscriptions = read_list(&mut input, read_name)?.into_iter().collect();
        input.finish()?;
        Ok(Self {
            view,
            keywords,
            stored: BTreeMap::new(),
            shared: BTreeMap::new(),
            usage: Usage::default(),
        })
    }

    /// Begins without a root, for a checkpoint whose root is lost.
    #[must_use]
    pub fn without_root(modseq: ModSeq) -> Self {
        let mut view = View::empty(UidValidity(1));
        view.modseq = modseq;
        Self {
            view,
            keywords: u64::MAX,
            stored: BTreeMap::new(),
            shared: BTreeMap::new(),
            usage: Usage::default(),
        }
    }

    /// The change that the checkpoint shows the account after.
    #[must_use]
    pub fn modseq(&self) -> ModSeq {
        self.view.modseq
    }

    /// Adds a keyword, in order of their numbers; those that came after the
    /// root was written are passed over.
    pub fn keyword(&mut self, name: &str) {
        if (self.view.keywords.len() as u64) < self.keywords {
            self.view.keywords.add(&name.into());
        }
    }

    /// Adds a mailbox.
    ///
    /// # Errors
    /// The record does not decode.
    pub fn mailbox(&mut self, id: MailboxId, record: &[u8]) -> Result<(), BuildError> {
        let mut input = versioned(record)?;
        let name = read_name(&mut input)?;
        let role = read_role(&mut input)?;
        if read_bool(&mut input)? {
            self.view.subscriptions.insert(name.clone());
        }
        let uid_validity = UidValidity(input.varint32()?);
        let uid_next = Uid(input.varint32()?);
        let highest_modseq = ModSeq(input.varint()?);
        let counters = Counters {
            messages: input.varint()?,
            unseen: input.varint()?,
            deleted: input.varint()?,
            size_bytes: input.varint()?,
        };
        let mut expunges = ExpungeLog {
            floor: ModSeq(input.varint()?),
            ..ExpungeLog::default()
        };
        let kept = read_list(&mut input, |input| {
            let modseq = ModSeq(input.varint()?);
            Ok(Expunged {
                modseq,
                uids: Arc::new(UidSet::read(input)?),
            })
        })?;
        input.finish()?;
        expunges.ranges = kept.iter().map(|gone| gone.uids.range_count()).sum();
        expunges.kept = kept.into();
        let mailbox = Mailbox {
            id,
            name: name.clone(),
            role,
            uid_validity,
            uid_next,
            highest_modseq,
            counters: Counters::default(),
            keywords: KeywordSums::default(),
            recent: RecentChanges::after(highest_modseq),
            seen_below: SeenBelow::default(),
            expunges,
            entries: Vector::new(),
        };
        self.stored.insert(id, counters);
        self.view.by_name.insert(name, id);
        self.view.mailboxes.insert(id, Arc::new(mailbox));
        Ok(())
    }

    /// Adds a page; a mailbox's pages come in order, after the mailbox.
    ///
    /// # Errors
    /// The record does not decode or does not fit.
    pub fn page(&mut self, id: MailboxId, page: u32, record: &[u8]) -> Result<(), BuildError> {
        let mut input = Reader::new(record);
        let allowed = match input.u8()? {
            PAGE_VERSION => BIT_CALLER | BIT_SAVED,
            PAGE_VERSION_1 => BIT_CALLER,
            other => return Err(DecodeError::Version(other).into()),
        };
        let undated = allowed & BIT_SAVED == 0;
        let count = input.varint()?;
        let mailbox = self.view.mailbox_mut(id).ok_or(BuildError::Page(id))?;
        let mut state = ItemState::default();
        let (mut modseq, mut second) = (0u64, 0u32);
        for _ in 0..count {
            let (item, extra) = read_item(&mut input, &mut state, allowed)?;
            let shared = extra & BIT_CALLER != 0;
            modseq = modseq.wrapping_add(unzigzag(input.varint()?) as u64);
            let saved = match extra & BIT_SAVED {
                0 if undated => Saved::UNKNOWN,
                0 => Saved::RECEIVED,
                _ => Saved::read(&mut input, &mut second)?,
            };
            let in_order = mailbox
                .entries
                .last()
                .is_none_or(|last| last.uid < item.uid);
            if !in_order || page_of(item.uid) != page || item.uid >= mailbox.uid_next {
                return Err(BuildError::Page(id));
            }
            if shared {
                let copy = Copy {
                    mailbox: id,
                    uid: item.uid,
                };
                self.shared.entry(item.email).or_default().push(copy);
            }
            if !shared
                || self
                    .shared
                    .get(&item.email)
                    .is_some_and(|copies| copies.len() == 1)
            {
                self.usage.bytes += item.size;
                self.usage.emails += 1;
            }
            mailbox.put_last(Entry::from_item(&item, ModSeq(modseq), saved));
        }
        input.finish()?;
        Ok(())
    }

    /// The finished view.
    ///
    /// # Errors
    /// The parts don't agree.
    pub fn finish(mut self) -> Result<View, BuildError> {
        if self.view.keywords.len() as u64 != self.keywords {
            return Err(BuildError::Keywords);
        }
        for (&id, counters) in &self.stored {
            if self
                .view
                .mailbox(id)
                .is_none_or(|mailbox| mailbox.counters != *counters)
            {
                return Err(BuildError::Counters(id));
            }
        }
        if self.usage != self.view.usage {
            return Err(BuildError::Usage);
        }
        for (email, mut copies) in self.shared {
            copies.sort_unstable();
            if copies.len() > 1 {
                self.view.shared.insert(email, copies.into());
            }
        }
        Ok(self.view)
    }
}

/// For a checkpoint that is damaged: what can be read of it.
impl ViewBuilder {
    /// The view of what was added, whether it is all there was or not: sums are
    /// counted, numbers that are used are below the next ones, names of keywords
    /// that are lost are invented.
    #[must_use]
    pub fn finish_with_what_is_there(mut self) -> View {
        let view = &mut self.view;
        let mut largest_keyword = 0;
        let mut highest = view.modseq;
        for mailbox in view.mailboxes.values() {
            let next = mailbox.id.next();
            view.next_mailbox = view.next_mailbox.max(next);
            view.next_uid_validity = view.next_uid_validity.max(mailbox.uid_validity.next());
            highest = highest.max(mailbox.highest_modseq);
            for entry in &mailbox.entries {
                view.next_email = view.next_email.max(entry.email.next());
                let last = entry.keywords.others().last();
                largest_keyword = last.map_or(largest_keyword, |id| largest_keyword.max(id.0 + 1));
                highest = highest.max(entry.modseq);
            }
        }
        view.modseq = highest;
        for n in view.keywords.len() as u32..largest_keyword.min(KEYWORDS_INVENTED_MAX) {
            view.keywords.add(&format!("lost-{n}").into());
        }
        // A damaged name may be one that another mailbox has.
        let mailboxes: Vec<MailboxId> = view.mailboxes.keys().copied().collect();
        for id in mailboxes {
            let Some(mailbox) = view.mailbox_mut(id) else {
                continue;
            };
            let known = mailbox.entries.last().map_or(Uid(0), |last| last.uid);
            mailbox.uid_next = mailbox.uid_next.max(known.next());
            let modseqs = mailbox.entries.iter().map(|entry| entry.modseq);
            mailbox.highest_modseq = modseqs
                .max()
                .unwrap_or_default()
                .max(mailbox.highest_modseq);
            let name = mailbox.name.clone();
            if view.by_name.get(&name) != Some(&id) {
                view.mailboxes.remove(&id);
            }
        }
        view.usage = Usage::default();
        let mut emails: BTreeMap<EmailId, (u64, Vec<Copy>)> = BTreeMap::new();
        for mailbox in view.mailboxes.values() {
            for entry in &mailbox.entries {
                let place = emails.entry(entry.email).or_default();
                place.0 = entry.size();
                place.1.push(Copy {
                    mailbox: mailbox.id,
                    uid: entry.uid,
                });
            }
        }
        for (email, (size, copies)) in emails {
            view.usage.bytes = view.usage.bytes.saturating_add(size);
            view.usage.emails += 1;
            if copies.len() > 1 {
                view.shared.insert(email, copies.into());
            }
        }
        self.view
    }
}

/// Keywords that are invented at most for those that are lost.
const KEYWORDS_INVENTED_MAX: u32 = 10_000;

fn versioned(record: &[u8]) -> Result<Reader<'_>, DecodeError> {
    let mut input = Reader::new(record);
    match input.u8()? {
        VERSION => Ok(input),
        other => Err(DecodeError::Version(other)),
    }
}
