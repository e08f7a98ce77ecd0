//! Which accounts have a POP3 session: one at a time (RFC 1939 §4).
//!
//! A session that waits for its client, and has waited for long, loses the maildrop to
//! the next one: a client whose connection is dead comes back before its time-out is over. It
//! is told so and removes nothing. One that is at work is never disturbed: who works says so
//! before ([`Lock::resume`]), under the same lock as who takes over.

use envelope::AccountId;
use parking_lot::Mutex;
use runtime::Monotonic;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// The locks of this process; a clone has the same ones.
#[derive(Debug, Clone, Default)]
pub struct Maildrops {
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    held: HashMap<AccountId, Holder>,
    /// Of the last lock that was given.
    number: u64,
}

#[derive(Debug)]
struct Holder {
    number: u64,
    /// It waits for its client since then; none while it works.
    waits_since: Option<Monotonic>,
    lost: Arc<Notify>,
}

impl Maildrops {
    /// No maildrop is held.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The account's maildrop, unless another session has it that was not silent for
    /// so long.
    pub(crate) fn lock(
        &self,
        account: AccountId,
        now: Monotonic,
        take_over_after: Duration,
    ) -> Option<Lock> {
        let mut table = self.table.lock();
        if let Some(holder) = table.held.get(&account) {
            let silence = holder.waits_since.map(|since| now.since(since));
            if silence.is_none_or(|silence| silence < take_over_after) {
                return None;
            }
            holder.lost.notify_one();
        }
        table.number += 1;
        let (number, lost) = (table.number, Arc::new(Notify::new()));
        let holder = Holder {
            number,
            waits_since: None,
            lost: Arc::clone(&lost),
        };
        table.held.insert(account, holder);
        drop(table);
        Some(Lock {
            maildrops: self.clone(),
            account,
            number,
            lost,
        })
    }
}

/// A held maildrop; free again when dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    maildrops: Maildrops,
    account: AccountId,
    number: u64,
    lost: Arc<Notify>,
}

impl Lock {
    /// The session waits for its client from now on.
    pub(crate) fn rest(&self, now: Monotonic) {
        self.set(Some(now));
    }

    /// The session goes on; false if the maildrop is another's by now.
    pub(crate) fn resume(&self) -> bool {
        self.set(None)
    }

    /// Waits until the maildrop is another's.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing: [`Lock::resume`] tells.
    pub(crate) async fn lost(&self) {
        self.lost.notified().await;
    }

    fn set(&self, waits_since: Option<Monotonic>) -> bool {
        let mut table = self.maildrops.table.lock();
        match table.held.get_mut(&self.account) {
            Some(holder) if holder.number == self.number => {
                holder.waits_since = waits_since;
                true
            }
            _ => false,
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut table = self.maildrops.table.lock();
        let held = table.held.get(&self.account);
        if held.is_some_and(|holder| holder.number == self.number) {
            table.held.remove(&self.account);
        }
    }
}
