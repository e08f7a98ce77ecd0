//! What a view takes in memory, about, without counting it anew at every change.
//!
//! The figures follow the library's containers: a vector has leaves of 64, a map
//! nodes of 16, both whole even where they are not full. What the allocator adds
//! is not in them. `mailstore`'s test `memory` compares them with what the
//! allocator says.

use crate::flags::Keywords;
use crate::ids::{EmailId, MailboxId};
use crate::mailbox::{Entry, Expunged, Mailbox};
use crate::name::MailboxName;
use crate::uidset::UidSet;
use crate::view::{Copy, View};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The keywords of a mailbox's entries that are no system flags, summed up.
#[derive(Debug, Clone, core::marker::Copy, PartialEq, Eq, Default)]
pub(crate) struct KeywordSums {
    /// Entries that have any.
    entries: u64,
    /// All of them.
    keywords: u64,
}

impl KeywordSums {
    pub(crate) fn add(&mut self, keywords: &Keywords) {
        let others = keywords.others().len() as u64;
        self.entries += u64::from(others > 0);
        self.keywords += others;
    }

    pub(crate) fn subtract(&mut self, keywords: &Keywords) {
        let others = keywords.others().len() as u64;
        self.entries -= u64::from(others > 0);
        self.keywords -= others;
    }

    fn bytes(&self) -> u64 {
        // A counted list that has room for four at least.
        self.entries * (ARC + LIST + 8) + self.keywords * 4
    }
}

/// Sums over a view's mailboxes, carried from one view to the next.
#[derive(Debug, Clone, core::marker::Copy, PartialEq, Eq, Default)]
pub struct Weight {
    mailboxes_bytes: u64,
    entries: u64,
}

impl Weight {
    /// Of a view that was loaded. Looks at each mailbox, not at the entries.
    #[must_use]
    pub fn of(view: &View) -> Self {
        let mut weight = Self::default();
        for mailbox in view.mailboxes.values() {
            weight.add(mailbox);
        }
        weight
    }

    /// Of the view `after` a change of the one `before`, which this is the
    /// weight of, when the change touched these mailboxes.
    #[must_use]
    pub fn after(mut self, before: &View, after: &View, touched: &BTreeSet<MailboxId>) -> Self {
        for id in touched {
            if let Some(mailbox) = before.mailbox(*id) {
                self.mailboxes_bytes -= bytes_of(mailbox);
                self.entries -= mailbox.entries().len() as u64;
            }
            if let Some(mailbox) = after.mailbox(*id) {
                self.add(mailbox);
            }
        }
        self
    }

    fn add(&mut self, mailbox: &Mailbox) {
        self.mailboxes_bytes += bytes_of(mailbox);
        self.entries += mailbox.entries().len() as u64;
    }

    /// Bytes of the view that this is the weight of, about.
    #[must_use]
    pub fn bytes(&self, view: &View) -> u64 {
        let shared = view.shared.len() as u64;
        // Every email that is not shared has one entry.
        let alone = view.usage().emails.saturating_sub(shared);
        let copies = self.entries.saturating_sub(alone);
        size_of::<View>() as u64
            + self.mailboxes_bytes
            + map::<MailboxId, Arc<Mailbox>>(view.mailboxes.len())
            + map::<MailboxName, MailboxId>(view.by_name.len())
            + map::<MailboxName, ()>(view.subscriptions.len())
            + map::<EmailId, Arc<[Copy]>>(view.shared.len())
            + shared * ARC
            + copies * size_of::<Copy>() as u64
            + view.keywords.weight_bytes()
    }
}

/// A mailbox with its name, entries and what it remembers.
fn bytes_of(mailbox: &Mailbox) -> u64 {
    let expunges = &mailbox.expunges;
    let (changes, changed_ranges) = mailbox.recent.extent();
    ARC + size_of::<Mailbox>() as u64
        + text(mailbox.name.as_str())
        + vector::<Entry>(mailbox.entries.len())
        + mailbox.keywords.bytes()
        + vector::<Expunged>(expunges.kept.len())
        + uid_sets(expunges.kept.len(), expunges.ranges)
        + vector::<(u64, Arc<UidSet>)>(changes)
        + uid_sets(changes, changed_ranges)
}

fn uid_sets(sets: usize, ranges: usize) -> u64 {
    // One range is alone in its list most often; a longer list has room left.
    sets as u64 * (ARC + LIST + 8) + ranges as u64 * 12
}

/// A counted text.
pub(crate) fn text(text: &str) -> u64 {
    ARC + text.len() as u64
}

/// The leaves of a vector and the nodes above them.
pub(crate) fn vector<T>(len: usize) -> u64 {
    let leaf = ARC + 16 + VECTOR_LEAF * size_of::<T>() as u64;
    let len = len as u64;
    let inline = VECTOR_INLINE_BYTES / size_of::<T>().max(1) as u64;
    match len {
        _ if len <= inline => 0,
        _ if len <= VECTOR_LEAF => leaf,
        _ => {
            // Both ends have two leaves of their own.
            let leaves = (len.div_ceil(VECTOR_LEAF) + 1).max(4);
            let nodes = leaves.div_ceil(VECTOR_LEAF);
            leaves * leaf + nodes * (ARC + 32 + 8 * VECTOR_LEAF)
        }
    }
}

/// The nodes of an ordered map that grew in order of its keys.
pub(crate) fn map<K, V>(len: usize) -> u64 {
    let leaf = ARC + 16 + MAP_NODE * size_of::<(K, V)>() as u64;
    let branch = ARC + 32 + MAP_NODE * size_of::<K>() as u64 + 8 * (MAP_NODE + 1);
    let len = len as u64;
    match len {
        0 => 0,
        _ if len <= MAP_NODE => leaf,
        _ => {
            let leaves = len.div_ceil(MAP_FILLED);
            leaves * leaf + leaves.div_ceil(MAP_FILLED) * branch
        }
    }
}

/// Both counts of a counted value.
pub(crate) const ARC: u64 = 16;
/// A list's place, length and room.
const LIST: u64 = 24;
const VECTOR_LEAF: u64 = 64;
/// What a vector holds without a leaf.
const VECTOR_INLINE_BYTES: u64 = 48;
const MAP_NODE: u64 = 16;
/// Full nodes are split in halves.
const MAP_FILLED: u64 = 9;
