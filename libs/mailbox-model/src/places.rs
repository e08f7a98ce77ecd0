//! Where each email is: the way from an email's id to one of its copies.
//!
//! Views have no such index, since IMAP asks by mailbox and UID. Who asks by email (JMAP)
//! makes one, keeps it, and brings it up to date: that costs what changed between
//! two views, not what is in them.
//!
//! Invariant: it names exactly the emails of its view, each with a copy that is there.

use crate::ids::EmailId;
use crate::mailbox::{Entry, Mailbox};
use crate::view::{Copy, View};
use imbl::OrdMap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The emails of a view by their ids. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Places {
    view: View,
    of: OrdMap<EmailId, Copy>,
}

impl Places {
    /// Looks at every entry once.
    #[must_use]
    pub fn of(view: &View) -> Self {
        let mut of = OrdMap::new();
        for mailbox in view.mailboxes() {
            for entry in mailbox.entries() {
                of.insert(entry.email, copy(mailbox, entry));
            }
        }
        Self {
            view: view.clone(),
            of,
        }
    }

    /// The view that it is of.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// How many emails there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// One of an email's copies, and the mailbox that it is in.
    #[must_use]
    pub fn find(&self, email: EmailId) -> Option<(&Arc<Mailbox>, &Entry)> {
        self.at(*self.of.get(&email)?)
    }

    fn at(&self, copy: Copy) -> Option<(&Arc<Mailbox>, &Entry)> {
        let mailbox = self.view.mailbox(copy.mailbox)?;
        let (_, entry) = mailbox.find(copy.uid)?;
        Some((mailbox, entry))
    }

    /// All copies of an email.
    pub fn copies(&self, email: EmailId) -> impl Iterator<Item = (&Arc<Mailbox>, &Entry)> {
        let found = self.find(email);
        let copies = found.map(|(mailbox, entry)| self.view.copies(mailbox.id(), entry));
        let copies = copies.unwrap_or_default().into_iter();
        copies.filter_map(|copy| self.at(copy))
    }

    /// All emails in order of their ids, each with one of its copies.
    pub fn emails(&self) -> impl Iterator<Item = (EmailId, &Arc<Mailbox>, &Entry)> {
        self.of.iter().filter_map(|(email, copy)| {
            let (mailbox, entry) = self.at(*copy)?;
            Some((*email, mailbox, entry))
        })
    }

    /// Brings it up to a later view of the same account.
    pub fn advance(&mut self, view: &View) {
        let old = std::mem::replace(&mut self.view, view.clone());
        let mut lost: Vec<(Copy, EmailId)> = Vec::new();
        let mut came: Vec<(Copy, EmailId)> = Vec::new();
        let ids = old.mailboxes().map(|mailbox| mailbox.id());
        let ids: BTreeSet<_> = ids.chain(view.mailboxes().map(|m| m.id())).collect();
        for id in ids {
            match (old.mailbox(id), view.mailbox(id)) {
                (Some(before), Some(after)) => differences(before, after, &mut lost, &mut came),
                (Some(before), None) => all(before, &mut lost),
                (None, Some(after)) => all(after, &mut came),
                (None, None) => {}
            }
        }
        for (gone, email) in lost {
            if self.of.get(&email) != Some(&gone) {
                continue;
            }
            let others = old.mailbox(gone.mailbox).and_then(|mailbox| {
                let (_, entry) = mailbox.find(gone.uid)?;
                Some(old.copies(gone.mailbox, entry))
            });
            let mut others = others.unwrap_or_default().into_iter();
            match others.find(|other| self.at(*other).is_some()) {
                Some(other) => self.of.insert(email, other),
                None => self.of.remove(&email),
            };
        }
        for (copy, email) in came {
            self.of.entry(email).or_insert(copy);
        }
    }
}

fn copy(mailbox: &Mailbox, entry: &Entry) -> Copy {
    Copy {
        mailbox: mailbox.id(),
        uid: entry.uid,
    }
}

fn all(mailbox: &Mailbox, copies: &mut Vec<(Copy, EmailId)>) {
    let entries = mailbox.entries().iter();
    copies.extend(entries.map(|entry| (copy(mailbox, entry), entry.email)));
}

/// What went and what came between two states of a mailbox.
fn differences(
    before: &Arc<Mailbox>,
    after: &Arc<Mailbox>,
    lost: &mut Vec<(Copy, EmailId)>,
    came: &mut Vec<(Copy, EmailId)>,
) {
    if Arc::ptr_eq(before, after) || before.highest_modseq() == after.highest_modseq() {
        return;
    }
    let mut note = |entry: &Entry| {
        if after.rank(entry.uid).is_err() {
            lost.push((copy(before, entry), entry.email));
        }
    };
    match after.vanished_since(before.highest_modseq()) {
        Some(uids) => before.select(&uids).for_each(|(_, entry)| note(entry)),
        None => before.entries().iter().for_each(note),
    }
    let (Ok(first) | Err(first)) = after.rank(before.uid_next());
    let arrived = after.range(first..after.entries().len());
    came.extend(arrived.map(|(_, entry)| (copy(after, entry), entry.email)));
}
