//! What filters and sorts ask of threads: how many of their emails have a keyword.
//!
//! A thread is looked at when it is first asked for, and not again in the same query, whoever asks.

use crate::limits::THREAD_KEYWORDS_MAX;
use crate::look::Look;
use crate::threads::ShownThreads;
use jmap_proto::MethodError;
use mailbox_model::{EmailId, FlagId};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The threads of one query.
#[derive(Debug)]
pub(super) struct Threads {
    look: Look,
    /// Only where the query asks for them.
    of_look: Option<ShownThreads>,
    by_flag: BTreeMap<FlagId, Arc<Counts>>,
}

impl Threads {
    pub(super) fn of(look: &Look, of_look: Option<ShownThreads>) -> Self {
        Self {
            look: look.clone(),
            of_look,
            by_flag: BTreeMap::new(),
        }
    }

    /// What is counted of a keyword, one for all that ask for it.
    ///
    /// # Errors
    /// Too many are asked for.
    pub(super) fn counts(&mut self, flag: FlagId) -> Result<Arc<Counts>, MethodError> {
        if let Some(known) = self.by_flag.get(&flag) {
            return Ok(Arc::clone(known));
        }
        if self.by_flag.len() >= THREAD_KEYWORDS_MAX {
            let text = "threads are asked for too many keywords";
            return Err(MethodError::UnsupportedFilter(text.into()));
        }
        let missing = || MethodError::ServerFail("there are no threads".into());
        let counts = Arc::new(Counts {
            look: self.look.clone(),
            of_look: self.of_look.clone().ok_or_else(missing)?,
            flag,
            known: Mutex::default(),
        });
        self.by_flag.insert(flag, Arc::clone(&counts));
        Ok(counts)
    }
}

/// Of threads how many emails are shown, and how many of them have a keyword.
#[derive(Debug)]
pub(super) struct Counts {
    look: Look,
    of_look: ShownThreads,
    flag: FlagId,
    known: Mutex<HashMap<EmailId, (u32, u32)>>,
}

impl Counts {
    /// Of the thread that an email is in.
    pub(super) fn of(&self, email: EmailId) -> (u32, u32) {
        let first = self.of_look.of(email);
        let mut known = self.known.lock();
        *known.entry(first).or_insert_with(|| self.count(first))
    }

    fn count(&self, first: EmailId) -> (u32, u32) {
        let (mut all, mut having) = (0, 0);
        for email in self.of_look.emails(first) {
            let Some((_, entry)) = self.look.copies(email).next() else {
                continue;
            };
            all += 1;
            having += u32::from(self.look.entry(entry).has(self.flag));
        }
        (all, having)
    }
}
