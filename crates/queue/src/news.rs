//! Tells the dispatcher what was added to the schedule.
//!
//! What was added is told by itself, so that a new message is attempted without a
//! look at the disk and whatever else waits for its domain. With too much of it
//! only the places are told from which on to look; with too many of those, that
//! everything is to be looked at.

use std::collections::{HashMap, HashSet};

use envelope::Domain;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::limits::{ADDED_LINES_MAX, ADDED_MAX, RETRIED_DOMAINS_MAX};
use crate::store::{Due, Line, Place};

/// What is to be tried now, whatever is known about sites that were down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retried {
    /// What goes to these domains.
    Domains(HashSet<Domain>),
    /// Everything.
    Everything,
}

impl Default for Retried {
    fn default() -> Self {
        Self::Domains(HashSet::new())
    }
}

/// What was added to the schedule.
#[derive(Debug, Default)]
pub struct Added {
    /// By itself, in the order in which it became visible.
    pub dues: Vec<Due>,
    /// Beside that: from where on to look.
    pub lines: HashMap<Line, Place>,
    /// And that was not all: every line is to be looked at.
    pub everything: bool,
}

/// What has changed since somebody looked.
#[derive(Debug, Default)]
pub struct News {
    added: Mutex<Added>,
    retried: Mutex<Retried>,
    changed: Notify,
}

impl News {
    /// Returns when something was added to the schedule since the last return. Cancel safe; for one waiter.
    pub async fn wait(&self) {
        self.changed.notified().await;
    }

    /// What was added to the schedule since the last call.
    pub fn take_added(&self) -> Added {
        std::mem::take(&mut self.added.lock())
    }

    /// What was asked to be tried now since the last call: what is known about
    /// those sites is to be forgotten.
    pub fn take_retried(&self) -> Retried {
        std::mem::take(&mut self.retried.lock())
    }

    /// Wakes the waiter for another reason.
    pub fn wake(&self) {
        self.changed.notify_one();
    }

    pub(crate) fn add(&self, dues: impl IntoIterator<Item = Due>) {
        let mut dues = dues.into_iter().peekable();
        if dues.peek().is_none() {
            return;
        }
        let mut added = self.added.lock();
        for due in dues {
            added.add(due);
        }
        drop(added);
        self.wake();
    }

    /// Something is to be tried now: for one domain, or none in particular.
    pub(crate) fn retried(&self, domain: Option<&Domain>) {
        let mut retried = self.retried.lock();
        match (&mut *retried, domain) {
            (Retried::Domains(domains), Some(domain)) if domains.len() < RETRIED_DOMAINS_MAX => {
                domains.insert(domain.clone());
            }
            (retried, _) => *retried = Retried::Everything,
        }
        drop(retried);
        self.wake();
    }
}

impl Added {
    fn add(&mut self, due: Due) {
        if self.dues.len() < ADDED_MAX {
            self.dues.push(due);
            return;
        }
        let (place, line) = (due.place(), due.line);
        if let Some(first) = self.lines.get_mut(&line) {
            *first = place.min(*first);
        } else if self.lines.len() < ADDED_LINES_MAX {
            self.lines.insert(line, place);
        } else {
            self.everything = true;
        }
    }
}
