//! Who waits for what in an account: a bell for each mailbox that somebody waits for, one for the names, and that
//! of the whole account ([`Account::subscribe`]). A change rings those alone whom it concerns, however many wait
//! for other mailboxes.
//!
//! Invariants: who subscribes before he looks misses nothing, because a view is shown before it is rung for; a
//! bell that nobody hears costs nothing after the next change of its mailbox, or after the next sweep.

use crate::account::Account;
use mailbox_model::{MailboxId, ModSeq, View};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;

/// The bells of an account.
#[derive(Debug, Default)]
pub(crate) struct Bells(Mutex<Hung>);

#[derive(Debug, Default)]
struct Hung {
    mailboxes: HashMap<MailboxId, watch::Sender<ModSeq>>,
    names: Option<watch::Sender<ModSeq>>,
    /// So many are hung when those that nobody hears are taken down.
    sweep_at: usize,
}

impl Bells {
    fn of_mailbox(&self, mailbox: MailboxId) -> watch::Receiver<ModSeq> {
        let mut hung = self.0.lock();
        if let Some(bell) = hung.mailboxes.get(&mailbox) {
            return bell.subscribe();
        }
        if hung.mailboxes.len() >= hung.sweep_at {
            hung.mailboxes.retain(|_, bell| bell.receiver_count() > 0);
            hung.sweep_at = SWEEP_MIN.max(2 * hung.mailboxes.len());
        }
        let bell = hung.mailboxes.entry(mailbox).or_default();
        bell.subscribe()
    }

    fn of_names(&self) -> watch::Receiver<ModSeq> {
        let mut hung = self.0.lock();
        hung.names.get_or_insert_default().subscribe()
    }

    /// Rings for all that differs. The newer view is shown already.
    pub(crate) fn ring_for(&self, before: &View, now: &View) {
        let mut hung = self.0.lock();
        let modseq = now.modseq();
        hung.mailboxes.retain(|&id, bell| {
            let same = match (before.mailbox(id), now.mailbox(id)) {
                (Some(before), Some(now)) => Arc::ptr_eq(before, now),
                (None, None) => true,
                _ => false,
            };
            same || bell.send(modseq).is_ok()
        });
        if let Some(names) = &hung.names
            && !now.has_names_of(before)
            && names.send(modseq).is_err()
        {
            hung.names = None;
        }
    }

    /// Rings for a mailbox, or for all.
    pub(crate) fn ring(&self, mailbox: Option<MailboxId>) {
        let hung = self.0.lock();
        let rung = |id: &MailboxId| mailbox.is_none_or(|mailbox| mailbox == *id);
        for (_, bell) in hung.mailboxes.iter().filter(|(id, _)| rung(id)) {
            bell.send_modify(|_| {});
        }
    }
}

impl Account {
    /// Tells whenever a mailbox changed or is gone, and when somebody else may do more or less with it.
    #[must_use]
    pub fn watch_mailbox(&self, mailbox: MailboxId) -> watch::Receiver<ModSeq> {
        self.bells.of_mailbox(mailbox)
    }

    /// Tells whenever mailboxes come, go or get other names, and when subscriptions change.
    #[must_use]
    pub fn watch_names(&self) -> watch::Receiver<ModSeq> {
        self.bells.of_names()
    }

    /// How many mailboxes have a bell.
    #[cfg(test)]
    pub(crate) fn bells_hung(&self) -> usize {
        self.bells.0.lock().mailboxes.len()
    }
}

/// Fewer bells are not swept.
const SWEEP_MIN: usize = 16;
