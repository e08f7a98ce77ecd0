//! One mailbox of a view: its entries by UID, its counters, its expunges.
//!
//! Invariants: entries are sorted by UID without doubles, so that rank + 1 is
//! the sequence number; counters equal the sums over the entries; `uid_next` is
//! above every UID ever given; an email is here at most once.

use crate::change::Item;
use crate::flags::{FlagId, Keywords};
use crate::ids::{EmailId, MailboxId, ModSeq, Uid, UidValidity};
use crate::limits::{EXPUNGED_RANGES_KEPT_MAX, EXPUNGES_KEPT_MAX};
use crate::name::MailboxName;
use crate::recent::RecentChanges;
use crate::role::Role;
use crate::saved::Saved;
use crate::seen::SeenBelow;
use crate::uidset::UidSet;
use crate::weight::KeywordSums;
use imbl::Vector;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// An email's copy in a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number here.
    pub uid: Uid,
    /// `\Deleted`, which is this copy's alone.
    pub deleted: bool,
    /// The email's keywords, the same in each of its copies.
    pub keywords: Keywords,
    /// The email.
    pub email: EmailId,
    /// The last change of the keywords or of `deleted`.
    pub modseq: ModSeq,
    /// When this copy came here.
    pub saved: Saved,
    pub(crate) size: Size,
}

/// Octets below 2^48: eight bytes would make an entry 56 bytes large instead of 48.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size([u8; 6]);

impl Size {
    pub(crate) fn new(octets: u64) -> Self {
        let [a, b, c, d, e, f, ..] = octets.min((1 << 48) - 1).to_le_bytes();
        Self([a, b, c, d, e, f])
    }

    fn get(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }
}

impl fmt::Debug for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl Entry {
    /// The entry of a copy that came by this change.
    #[must_use]
    pub fn from_item(item: &Item, modseq: ModSeq, saved: Saved) -> Self {
        Self {
            uid: item.uid,
            deleted: item.deleted,
            keywords: item.keywords.clone(),
            email: item.email,
            modseq,
            saved,
            size: Size::new(item.size),
        }
    }

    /// Octets of the message as shown (RFC822.SIZE).
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size.get()
    }

    /// True if the flag is set, `\Deleted` included.
    #[must_use]
    pub fn has(&self, flag: FlagId) -> bool {
        match flag {
            FlagId::Deleted => self.deleted,
            other => self.keywords.has(other),
        }
    }

    /// The entry as a reader sees it whose own `\Seen` this is.
    #[must_use]
    pub fn with_seen(mut self, seen: bool) -> Self {
        self.set(FlagId::Seen, seen);
        self
    }

    /// Sets or clears a flag; true if that changed it.
    pub(crate) fn set(&mut self, flag: FlagId, on: bool) -> bool {
        match flag {
            FlagId::Deleted => std::mem::replace(&mut self.deleted, on) != on,
            other => self.keywords.edit(other, on),
        }
    }

    /// Every flag that is set, `\Deleted` last.
    pub fn flags(&self) -> impl Iterator<Item = FlagId> + '_ {
        self.keywords
            .iter()
            .chain(self.deleted.then_some(FlagId::Deleted))
    }
}

/// Sums over a mailbox's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Entries.
    pub messages: u64,
    /// Entries without `\Seen`.
    pub unseen: u64,
    /// Entries with `\Deleted`.
    pub deleted: u64,
    /// Their sizes.
    pub size_bytes: u64,
}

impl Counters {
    pub(crate) fn add(&mut self, entry: &Entry) {
        self.messages += 1;
        self.unseen += u64::from(!entry.keywords.is_seen());
        self.deleted += u64::from(entry.deleted);
        self.size_bytes += entry.size();
    }

    pub(crate) fn subtract(&mut self, entry: &Entry) {
        self.messages -= 1;
        self.unseen -= u64::from(!entry.keywords.is_seen());
        self.deleted -= u64::from(entry.deleted);
        self.size_bytes -= entry.size();
    }
}

/// UIDs that one change took away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expunged {
    pub(crate) modseq: ModSeq,
    pub(crate) uids: Arc<UidSet>,
}

/// What a mailbox remembers of its expunges, for QRESYNC.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ExpungeLog {
    /// All expunges after this change are known.
    pub(crate) floor: ModSeq,
    pub(crate) ranges: usize,
    pub(crate) kept: Vector<Expunged>,
}

impl ExpungeLog {
    pub(crate) fn push(&mut self, modseq: ModSeq, uids: UidSet) {
        self.ranges += uids.range_count();
        self.kept.push_back(Expunged {
            modseq,
            uids: Arc::new(uids),
        });
        while self.kept.len() > EXPUNGES_KEPT_MAX || self.ranges > EXPUNGED_RANGES_KEPT_MAX {
            let Some(oldest) = self.kept.pop_front() else {
                break;
            };
            self.ranges -= oldest.uids.range_count();
            self.floor = oldest.modseq;
        }
    }
}

/// A mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    pub(crate) id: MailboxId,
    pub(crate) name: MailboxName,
    pub(crate) role: Option<Role>,
    pub(crate) uid_validity: UidValidity,
    pub(crate) uid_next: Uid,
    pub(crate) highest_modseq: ModSeq,
    pub(crate) counters: Counters,
    pub(crate) keywords: KeywordSums,
    pub(crate) recent: RecentChanges,
    pub(crate) seen_below: SeenBelow,
    pub(crate) expunges: ExpungeLog,
    pub(crate) entries: Vector<Entry>,
}

/// Entries that are looked at in the time that it takes to find one run of them.
const ENTRIES_PER_RUN: usize = 64;

impl Mailbox {
    /// Its identity, which a rename keeps.
    #[must_use]
    pub fn id(&self) -> MailboxId {
        self.id
    }

    /// Its full name.
    #[must_use]
    pub fn name(&self) -> &MailboxName {
        &self.name
    }

    /// Its special use.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.role
    }

    /// Its UIDVALIDITY.
    #[must_use]
    pub fn uid_validity(&self) -> UidValidity {
        self.uid_validity
    }

    /// The UID that the next message gets at least.
    #[must_use]
    pub fn uid_next(&self) -> Uid {
        self.uid_next
    }

    /// The number of its own last change.
    #[must_use]
    pub fn highest_modseq(&self) -> ModSeq {
        self.highest_modseq
    }

    /// Sums over its entries.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The entries in order; rank + 1 is the sequence number.
    #[must_use]
    pub fn entries(&self) -> &Vector<Entry> {
        &self.entries
    }

    /// The entry of this rank (sequence number - 1).
    #[must_use]
    pub fn at(&self, rank: usize) -> Option<&Entry> {
        self.entries.get(rank)
    }

    /// The rank of a UID, or where it would be.
    ///
    /// # Errors
    /// The rank of the next larger UID.
    pub fn rank(&self, uid: Uid) -> Result<usize, usize> {
        // What was just delivered is looked for most.
        match self.entries.last() {
            None => return Err(0),
            Some(last) if last.uid < uid => return Err(self.entries.len()),
            Some(last) if last.uid == uid => return Ok(self.entries.len() - 1),
            Some(_) => {}
        }
        self.entries.binary_search_by(|entry| entry.uid.cmp(&uid))
    }

    /// The entry of a UID with its rank.
    #[must_use]
    pub fn find(&self, uid: Uid) -> Option<(usize, &Entry)> {
        let rank = self.rank(uid).ok()?;
        self.entries.get(rank).map(|entry| (rank, entry))
    }

    /// The ranks of the entries with `first <= uid <= last`.
    #[must_use]
    pub fn ranks(&self, first: Uid, last: Uid) -> Range<usize> {
        let start = self.rank(first).unwrap_or_else(|at| at);
        let end = match self.rank(last) {
            Ok(at) => at + 1,
            Err(at) => at,
        };
        start..end.max(start)
    }

    /// The entries of a range of ranks, clipped to what is there. Costs
    /// O(log n) and then O(1) for each.
    pub fn range(&self, ranks: Range<usize>) -> impl Iterator<Item = (usize, &Entry)> {
        let end = ranks.end.min(self.entries.len());
        let start = ranks.start.min(end);
        let focus = self.entries.focus().narrow(start..end);
        (start..end).zip(focus)
    }

    /// The entries whose UIDs are in the set, with their ranks, in order.
    pub fn select(&self, uids: &UidSet) -> impl Iterator<Item = (usize, &Entry)> {
        uids.ranges()
            .flat_map(|(first, last)| self.range(self.ranks(first, last)))
    }

    /// The entries changed after `since`, in order. Costs O(log n) for each
    /// entry of the last few hundred changes, O(n) if that is longer ago.
    pub fn changed_since(&self, since: ModSeq) -> impl Iterator<Item = (usize, &Entry)> {
        let candidates = match self.recent.since(since) {
            _ if self.highest_modseq <= since => UidSet::new(),
            Some(few) if few.range_count() < self.entries.len() / ENTRIES_PER_RUN => few,
            _ => UidSet::all(),
        };
        let runs: Vec<Range<usize>> = candidates
            .ranges()
            .map(|(first, last)| self.ranks(first, last))
            .collect();
        runs.into_iter()
            .flat_map(|run| self.range(run))
            .filter(move |(_, entry)| entry.modseq > since)
    }

    /// The rank of the first entry without `\Seen`. Costs O(log n) if nobody
    /// read one before it since it was last asked for; else those are passed over.
    #[must_use]
    pub fn first_unseen(&self) -> Option<usize> {
        if self.counters.unseen == 0 {
            return None;
        }
        let start = self.rank(self.seen_below.uid()).unwrap_or_else(|at| at);
        let (rank, entry) = self
            .range(start..self.entries.len())
            .find(|(_, entry)| !entry.keywords.is_seen())?;
        self.seen_below.raise(entry.uid);
        Some(rank)
    }

    /// The UIDs expunged after `since`, or none if that is longer ago than is
    /// remembered: then every UID that is not here counts as gone. RFC 7162 §3.2.5
    #[must_use]
    pub fn vanished_since(&self, since: ModSeq) -> Option<UidSet> {
        if since < self.expunges.floor {
            return None;
        }
        let newer = self.expunges.kept.iter().filter(|gone| gone.modseq > since);
        Some(UidSet::from_ranges(
            newer.flat_map(|gone| gone.uids.ranges().collect::<Vec<_>>()),
        ))
    }

    /// Changes the entries of the set, keeps the counters right and gives how
    /// many there are. Costs O(log n) for each run of them and then O(1) for each.
    pub(crate) fn edit_all(&mut self, uids: &UidSet, mut edit: impl FnMut(&mut Entry)) -> usize {
        let runs: Vec<Range<usize>> = uids
            .ranges()
            .map(|(first, last)| self.ranks(first, last))
            .collect();
        let mut entries = self.entries.focus_mut();
        let mut count = 0;
        for rank in runs.into_iter().flatten() {
            let Some(entry) = entries.get_mut(rank) else {
                break;
            };
            self.counters.subtract(entry);
            self.keywords.subtract(&entry.keywords);
            edit(entry);
            self.counters.add(entry);
            self.keywords.add(&entry.keywords);
            if !entry.keywords.is_seen() {
                self.seen_below.lower(entry.uid);
            }
            count += 1;
        }
        count
    }

    /// Appends an entry; false if its UID is not above all before it.
    pub(crate) fn push(&mut self, entry: Entry) -> bool {
        if entry.uid < self.uid_next || entry.uid.0 == u32::MAX {
            return false;
        }
        self.uid_next = entry.uid.next();
        self.put_last(entry);
        true
    }

    /// Appends an entry that is known to belong there.
    pub(crate) fn put_last(&mut self, entry: Entry) {
        if self.counters.unseen == 0 && entry.keywords.is_seen() {
            self.seen_below.raise(entry.uid.next());
        }
        self.counters.add(&entry);
        self.keywords.add(&entry.keywords);
        self.entries.push_back(entry);
    }

    /// Takes out the entries of the set and remembers them as expunged.
    pub(crate) fn remove(&mut self, uids: &UidSet, modseq: ModSeq) -> Vec<Entry> {
        let mut vanished = UidSet::new();
        let gone = self.take(uids, &mut vanished);
        self.expunges.push(modseq, vanished);
        gone
    }

    /// Takes out the entries of the set; `taken` gets their UIDs as ranges that
    /// may reach over UIDs which were gone before.
    pub(crate) fn take(&mut self, uids: &UidSet, taken: &mut UidSet) -> Vec<Entry> {
        // Neighbours are one run, whatever UIDs are gone between them.
        let mut runs: Vec<Range<usize>> = Vec::new();
        for (first, last) in uids.ranges() {
            let run = self.ranks(first, last);
            match runs.last_mut() {
                Some(before) if before.end == run.start => before.end = run.end,
                _ if run.is_empty() => {}
                _ => runs.push(run),
            }
        }
        let mut gone: Vec<Entry> = Vec::new();
        for run in &runs {
            let at = gone.len();
            gone.extend(self.range(run.clone()).map(|(_, entry)| entry.clone()));
            if let (Some(first), Some(last)) = (gone.get(at), gone.last()) {
                // UIDs between them were expunged before and may be told again.
                taken.push_range(first.uid.0, last.uid.0);
            }
        }
        if runs.len() <= RUNS_CUT_MAX {
            for run in runs.into_iter().rev() {
                drop(self.entries.slice(run));
            }
        } else {
            let mut next = gone.iter().map(|entry| entry.uid).peekable();
            let kept = self.entries.iter().filter(|entry| {
                let out = next.peek() == Some(&entry.uid);
                if out {
                    next.next();
                }
                !out
            });
            let kept: Vector<Entry> = kept.cloned().collect();
            self.entries = kept;
        }
        for entry in &gone {
            self.counters.subtract(entry);
            self.keywords.subtract(&entry.keywords);
        }
        gone
    }

    /// Puts entries, in order of UID, to where they belong among the others;
    /// false if a UID is there already or was never given.
    pub(crate) fn put_back(&mut self, entries: Vec<Entry>) -> bool {
        let fit = entries.is_sorted_by(|a, b| a.uid < b.uid)
            && entries
                .iter()
                .all(|entry| entry.uid < self.uid_next && self.rank(entry.uid).is_err());
        if !fit {
            return false;
        }
        for entry in &entries {
            self.counters.add(entry);
            self.keywords.add(&entry.keywords);
            if !entry.keywords.is_seen() {
                self.seen_below.lower(entry.uid);
            }
        }
        if entries.len() <= RUNS_CUT_MAX {
            for entry in entries {
                let at = self.rank(entry.uid).unwrap_or_else(|at| at);
                self.entries.insert(at, entry);
            }
            return true;
        }
        let mut others = self.entries.iter().cloned().peekable();
        let mut merged = Vector::new();
        for entry in entries {
            while let Some(other) = others.next_if(|other| other.uid < entry.uid) {
                merged.push_back(other);
            }
            merged.push_back(entry);
        }
        merged.extend(others);
        self.entries = merged;
        true
    }
}

/// Up to this many runs are cut out of the vector one by one, each in
/// O(log n); beyond it, building the rest anew is cheaper.
const RUNS_CUT_MAX: usize = 32;
