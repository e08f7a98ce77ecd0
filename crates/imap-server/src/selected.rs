//! The mailbox as the client knows it: a snapshot whose ranks are its sequence numbers.
//!
//! The client's numbers change only by what it was told (RFC 9051 §7.5.1), so
//! a session keeps what it told and works out the difference to the newest
//! published view when it may tell it. Entries that are gone stay in the
//! snapshot until their EXPUNGE is told.
//!
//! Memory: the entries share structure with the account's view; only what was
//! told in part (without EXPUNGE) is the session's own.

use crate::context::Context;
use envelope::AccountId;
use imap_proto::SequenceSet;
use imbl::Vector;
use mailbox_model::{EmailId, Entry, Mailbox, MailboxId, ModSeq, Uid, UidSet, UidValidity};
use mailstore::{Account, Rights};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A selected mailbox.
#[derive(Debug, Clone)]
pub(crate) struct Selected {
    /// Whose mailbox it is.
    pub(crate) account: Arc<Account>,
    /// What there is to know if that is another.
    pub(crate) readership: Option<Readership>,
    pub(crate) id: MailboxId,
    pub(crate) uid_validity: UidValidity,
    pub(crate) read_only: bool,
    /// `$` (RFC 5182).
    pub(crate) saved: UidSet,
    /// Searches whose results are kept up to date (RFC 5267).
    pub(crate) contexts: Vec<Context>,
    /// Keywords of the account that FLAGS named.
    pub(crate) keywords_told: usize,
    entries: Vector<Entry>,
    /// The numbers of emails ascend with the UIDs: true up to this UID, zero if that is not known, all ones if
    /// they do not.
    ascending: Arc<AtomicU32>,
    /// Flags and arrivals are told up to this change.
    told: ModSeq,
    /// Expunges are told up to this change.
    expunges_told: ModSeq,
    /// The last time that the mailbox's access key was made anew, as far as is told.
    reset_told: u32,
}

/// One's place in another's mailbox.
#[derive(Debug, Clone)]
pub(crate) struct Readership {
    pub(crate) reader: AccountId,
    /// The reader's domain, in lower case.
    pub(crate) domain: Arc<str>,
    /// What the mailbox's name has in front of the name that the owner knows.
    pub(crate) prefix: String,
    /// What the reader may do.
    pub(crate) rights: Rights,
    /// What the reader has read: `\Seen` is his own.
    pub(crate) seen: UidSet,
}

/// What the client has to be told, in this order.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Differences {
    /// Sequence numbers to say EXPUNGE for and their UIDs, highest first, so that
    /// none moves another.
    pub(crate) expunged: Vec<(u32, Uid)>,
    /// How many messages there are now, if more came.
    pub(crate) exists: Option<u32>,
    /// Ranks of entries with other flags, after the expunges.
    pub(crate) changed: Vec<usize>,
    /// All that changed, those too that the client need not be told.
    pub(crate) touched: Vec<usize>,
    /// Ranks of those that came.
    pub(crate) arrived: Range<usize>,
}

/// What the client's own STORE asks of the telling.
#[derive(Clone, Copy)]
pub(crate) enum OwnStore<'a> {
    /// There was none.
    None,
    /// The flags of these are told even where nothing changed: RFC 9051 §6.4.6,
    /// "the new value of the flags is returned".
    Told(&'a UidSet),
    /// `.SILENT`: this change of these entries is not told where they are as the
    /// client expects; another's change between is (RFC 9051 §6.4.6, note).
    Silent {
        modseq: ModSeq,
        uids: &'a UidSet,
        /// Whether the second is what the first, as it was told, becomes.
        expected: &'a (dyn Fn(&Entry, &Entry) -> bool + Sync),
    },
}

impl OwnStore<'_> {
    /// True if the client that was told one takes the entry to be as it is now.
    fn knows(self, told: &Entry, now: &Entry) -> bool {
        let own = match self {
            Self::Silent {
                modseq,
                uids,
                expected,
            } => now.modseq == modseq && uids.contains(now.uid) && expected(told, now),
            Self::None | Self::Told(_) => false,
        };
        own || told.modseq == now.modseq
    }
}

/// A set named a message that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoSuchMessage;

impl Selected {
    pub(crate) fn new(account: Arc<Account>, mailbox: &Mailbox, read_only: bool) -> Self {
        let reset_told = account.access_key_reset(mailbox.id());
        Self {
            account,
            readership: None,
            id: mailbox.id(),
            uid_validity: mailbox.uid_validity(),
            read_only,
            saved: UidSet::new(),
            contexts: Vec::new(),
            keywords_told: 0,
            entries: mailbox.entries().clone(),
            ascending: Arc::default(),
            told: mailbox.highest_modseq(),
            expunges_told: mailbox.highest_modseq(),
            reset_told,
        }
    }

    /// True if the mailbox's access key was made anew since the last call.
    pub(crate) fn take_reset(&mut self) -> bool {
        let reset = self.account.access_key_reset(self.id);
        let before = std::mem::replace(&mut self.reset_told, reset);
        self.readership.is_none() && before != reset
    }

    /// As a reader of another's mailbox sees it.
    pub(crate) fn read_by(mut self, readership: Readership) -> Self {
        let seen = &readership.seen;
        let is_other = |entry: &Entry| entry.keywords.is_seen() != seen.contains(entry.uid);
        let others = self.entries.iter().enumerate();
        let others = others
            .filter(|(_, entry)| is_other(entry))
            .map(|(at, _)| at);
        for at in others.collect::<Vec<_>>() {
            if let Some(entry) = self.entries.get_mut(at) {
                let seen = seen.contains(entry.uid);
                *entry = entry.clone().with_seen(seen);
            }
        }
        self.readership = Some(readership);
        self
    }

    /// An entry of the mailbox as the client sees it.
    fn shown(&self, entry: &Entry) -> Entry {
        match &self.readership {
            Some(readership) => {
                let seen = readership.seen.contains(entry.uid);
                entry.clone().with_seen(seen)
            }
            None => entry.clone(),
        }
    }

    /// Whose it is, if another's.
    pub(crate) fn owner(&self) -> Option<AccountId> {
        let readership = self.readership.as_ref();
        readership.map(|_| self.account.id())
    }

    /// What the client may do with the mailbox: an owner everything.
    pub(crate) fn rights(&self) -> Rights {
        let readership = self.readership.as_ref();
        readership.map_or(Rights::ALL, |readership| readership.rights)
    }

    /// The name by which the client knows a mailbox of the same account.
    pub(crate) fn shown_name(&self, mailbox: &Mailbox) -> String {
        let readership = self.readership.as_ref();
        let prefix = readership.map_or("", |readership| &readership.prefix);
        format!("{prefix}{}", mailbox.name())
    }

    /// The entries by rank.
    pub(crate) fn entries(&self) -> &Vector<Entry> {
        &self.entries
    }

    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(u32::MAX)
    }

    fn rank(&self, uid: Uid) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| entry.uid.cmp(&uid))
    }

    pub(crate) fn find(&self, uid: Uid) -> Option<(usize, &Entry)> {
        let rank = self.rank(uid).ok()?;
        self.entries.get(rank).map(|entry| (rank, entry))
    }

    /// The ranks of emails, which are in order, and of those from a number on. None where the emails are not in
    /// the order of their numbers, or where that would be no less work than looking at all.
    pub(crate) fn ranks_of_emails(&self, emails: &[EmailId], from: EmailId) -> Option<Vec<usize>> {
        if emails.len() > self.entries.len() / 8 || !self.is_ascending() {
            return None;
        }
        let rank = |email: EmailId| {
            let by_number = |entry: &Entry| entry.email.cmp(&email);
            self.entries.binary_search_by(by_number)
        };
        let mut ranks: Vec<usize> = emails
            .iter()
            .filter_map(|&email| rank(email).ok())
            .collect();
        let (Ok(first) | Err(first)) = rank(from);
        ranks.extend(first..self.entries.len());
        Some(ranks)
    }

    /// Looks at each entry once in a session's life.
    fn is_ascending(&self) -> bool {
        const NO: u32 = u32::MAX;
        let known = self.ascending.load(Ordering::Relaxed);
        let Some(last) = self.entries.last().filter(|_| known != NO) else {
            return false;
        };
        if known == last.uid.0 {
            return true;
        }
        // What is known stays so when entries go.
        let (Ok(behind) | Err(behind)) = self.rank(Uid(known));
        let from = behind.saturating_sub(1);
        let entries = self.entries.focus().narrow(from..self.entries.len());
        let mut before = None;
        let ascends = entries.into_iter().all(|entry| {
            let ascends = before.is_none_or(|before| before < entry.email);
            before = Some(entry.email);
            ascends
        });
        let known = if ascends { last.uid.0 } else { NO };
        self.ascending.store(known, Ordering::Relaxed);
        ascends
    }

    /// The ranks that a set names, in order. Sets of sequence numbers that name
    /// a message beyond the last are refused (RFC 9051 §9 `seq-number`); UIDs
    /// that are not there are passed over.
    pub(crate) fn ranks(
        &self,
        set: &SequenceSet,
        uid: bool,
    ) -> Result<Vec<Range<usize>>, NoSuchMessage> {
        if *set == SequenceSet::Saved {
            return Ok(self.ranks_of(&self.saved));
        }
        if uid {
            let last = self.entries.last().map_or(0, |entry| entry.uid.0);
            let ranges = set.resolve(last).into_iter();
            let uids = UidSet::from_ranges(ranges.map(|(a, b)| (Uid(a), Uid(b))));
            return Ok(self.ranks_of(&uids));
        }
        self.check_numbers(set)?;
        let count = self.len();
        let ranges = set.resolve(count).into_iter();
        Ok(ranges
            .map(|(a, b)| (a.max(1) as usize - 1)..(b.min(count) as usize))
            .filter(|range| !range.is_empty())
            .collect())
    }

    /// Every number must be there; one end of a range with `*` may lie beyond,
    /// because clients ask for what is new that way.
    fn check_numbers(&self, set: &SequenceSet) -> Result<(), NoSuchMessage> {
        let SequenceSet::Ranges(ranges) = set else {
            return Ok(());
        };
        let beyond = ranges.iter().any(|range| {
            let both = [range.from, range.to];
            both.iter().all(Option::is_some) && both.iter().flatten().any(|n| n.get() > self.len())
        });
        if beyond { Err(NoSuchMessage) } else { Ok(()) }
    }

    fn ranks_of(&self, uids: &UidSet) -> Vec<Range<usize>> {
        uids.ranges()
            .map(|(first, last)| {
                let start = self.rank(first).unwrap_or_else(|at| at);
                let end = match self.rank(last) {
                    Ok(at) => at + 1,
                    Err(at) => at,
                };
                start..end.max(start)
            })
            .filter(|range| !range.is_empty())
            .collect()
    }

    /// The UIDs of the entries of these ranks.
    pub(crate) fn uids(&self, ranks: &[Range<usize>]) -> UidSet {
        let mut uids = UidSet::new();
        for range in ranks {
            for entry in self.entries.focus().narrow(range.clone()) {
                uids.push(entry.uid);
            }
        }
        uids
    }

    /// The change up to which the client was told everything.
    pub(crate) fn told(&self) -> ModSeq {
        self.told.min(self.expunges_told)
    }

    /// True when messages came or went since the client was told of that.
    pub(crate) fn has_news(&self, newest: &Mailbox) -> bool {
        let next = self.entries.last().map_or(Uid(1), |entry| entry.uid.next());
        let kept = newest.ranks(next, Uid(u32::MAX)).start;
        kept < newest.entries().len() || kept < self.entries.len()
    }

    /// True when nothing happened since the client was told everything.
    pub(crate) fn is_current(&self, newest: &Mailbox) -> bool {
        self.told == newest.highest_modseq() && self.expunges_told == self.told
    }

    /// Takes over the newest state and says what the client must be told of it.
    pub(crate) fn sync(
        &mut self,
        newest: &Mailbox,
        with_expunges: bool,
        own: OwnStore<'_>,
    ) -> Differences {
        let mut differences = Differences::default();
        if !self.is_current(newest) {
            differences = self.take_over(newest, with_expunges, own);
        }
        if let OwnStore::Told(uids) = own {
            let told = self.ranks_of(uids).into_iter().flatten();
            differences.changed.extend(told);
            differences.changed.sort_unstable();
            differences.changed.dedup();
        }
        differences
    }

    fn take_over(
        &mut self,
        newest: &Mailbox,
        with_expunges: bool,
        own: OwnStore<'_>,
    ) -> Differences {
        let mut differences = Differences::default();
        let since = self.told;
        if with_expunges {
            differences.expunged = self.expunge(newest);
        }
        // What was told before is in front of what came since.
        let next = self.entries.last().map_or(Uid(1), |entry| entry.uid.next());
        let first_new = newest.ranks(next, Uid(u32::MAX)).start;
        let changed = newest.changed_since(since);
        let changed = changed.take_while(|(rank, _)| *rank < first_new);
        self.told = newest.highest_modseq();
        if self.entries.len() == first_new && self.readership.is_none() {
            // Nothing is gone that the client still counts: its ranks are the
            // view's, whose structure is shared again.
            let mut told = self.entries.focus();
            for (rank, entry) in changed {
                differences.touched.push(rank);
                if !told.get(rank).is_some_and(|told| own.knows(told, entry)) {
                    differences.changed.push(rank);
                }
            }
            self.entries = newest.entries().clone();
            self.expunges_told = self.told;
        } else {
            if self.entries.len() == first_new {
                self.expunges_told = self.told;
            }
            for (_, entry) in changed {
                let Ok(at) = self.rank(entry.uid) else {
                    continue;
                };
                let now = self.shown(entry);
                let told = self.entries.set(at, now.clone());
                differences.touched.push(at);
                if !own.knows(&told, &now) {
                    differences.changed.push(at);
                }
            }
            for (_, entry) in newest.range(first_new..newest.entries().len()) {
                let entry = self.shown(entry);
                self.entries.push_back(entry);
            }
        }
        if first_new < newest.entries().len() {
            let came = newest.entries().len() - first_new;
            differences.arrived = self.entries.len() - came..self.entries.len();
            differences.exists = u32::try_from(self.entries.len()).ok();
        }
        differences
    }

    /// Removes what is gone; gives the numbers and UIDs, highest first.
    fn expunge(&mut self, newest: &Mailbox) -> Vec<(u32, Uid)> {
        let gone: Vec<usize> = match newest.vanished_since(self.expunges_told) {
            Some(uids) => self
                .ranks_of(&uids)
                .into_iter()
                .flatten()
                .filter(|&rank| self.is_gone(rank, newest))
                .collect(),
            None => (0..self.entries.len())
                .filter(|&rank| self.is_gone(rank, newest))
                .collect(),
        };
        if gone.is_empty() {
            return Vec::new();
        }
        let told = gone.iter().rev().filter_map(|&rank| {
            let number = u32::try_from(rank + 1).ok()?;
            Some((number, self.entries.get(rank)?.uid))
        });
        let told = told.collect();
        if gone.len() <= CUT_MAX {
            for rank in gone.iter().rev() {
                self.entries.remove(*rank);
            }
        } else {
            let mut next = gone.iter().copied().peekable();
            let kept = self.entries.iter().enumerate().filter(|(rank, _)| {
                let out = next.peek() == Some(rank);
                if out {
                    next.next();
                }
                !out
            });
            self.entries = kept.map(|(_, entry)| entry.clone()).collect();
        }
        told
    }

    fn is_gone(&self, rank: usize, newest: &Mailbox) -> bool {
        self.entries
            .get(rank)
            .is_some_and(|entry| newest.rank(entry.uid).is_err())
    }
}

/// Up to this many entries are taken out one by one, each in O(log n); beyond
/// it, building the rest anew is cheaper.
const CUT_MAX: usize = 32;
