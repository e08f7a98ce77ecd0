//! Full mailboxes: temporary for three days, then permanent.
//!
//! Since when a mailbox is full is remembered in memory only: a restart gives
//! senders another three days, which errs on the side of keeping mail.

use crate::Policy;
use crate::limits::{FULL_ENTRIES, FULL_TEMPORARY};
use envelope::AccountId;
use mailbox_model::Usage;
use mailstore::StoreError;
use parking_lot::Mutex;
use quick_cache::unsync::Cache;
use runtime::{Monotonic, Runtime};

/// Whether a message fits an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Enough,
    FullForNow,
    FullForLong,
}

pub(crate) struct FullSince {
    runtime: Runtime,
    since: Mutex<Cache<AccountId, Monotonic>>,
}

impl std::fmt::Debug for FullSince {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FullSince").finish_non_exhaustive()
    }
}

impl FullSince {
    pub(crate) fn new(runtime: Runtime) -> Self {
        Self {
            runtime,
            since: Mutex::new(Cache::new(FULL_ENTRIES)),
        }
    }

    fn note(&self, account: AccountId, fits: bool) -> Room {
        let now = self.runtime.monotonic();
        let mut since = self.since.lock();
        if fits {
            since.remove(&account);
            return Room::Enough;
        }
        let began = since.get(&account).copied();
        match began {
            Some(began) if now.since(began) >= FULL_TEMPORARY => Room::FullForLong,
            Some(_) => Room::FullForNow,
            None => {
                since.insert(account, now);
                Room::FullForNow
            }
        }
    }
}

impl Policy {
    /// Whether `bytes` more (as SIZE= says) fit the account.
    pub(crate) async fn room(&self, account: AccountId, bytes: u64) -> Result<Room, StoreError> {
        let opened = self.mailstore.account(account).await?;
        let used = opened.view().usage();
        let with_it = Usage {
            bytes: used.bytes.saturating_add(bytes),
            emails: used.emails.saturating_add(1),
        };
        let fits = opened.quota_limits().allow(with_it);
        Ok(self.full_since.note(account, fits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn full_is_temporary_for_three_days_and_forgotten_when_there_is_room() {
        let runtime = Runtime::for_tests();
        let full = FullSince::new(runtime.clone());
        let bob = AccountId(1);
        assert_eq!(full.note(bob, false), Room::FullForNow);
        runtime.advance(FULL_TEMPORARY - Duration::from_secs(1));
        assert_eq!(full.note(bob, false), Room::FullForNow);
        runtime.advance(Duration::from_secs(1));
        assert_eq!(full.note(bob, false), Room::FullForLong);
        assert_eq!(full.note(AccountId(2), false), Room::FullForNow);
        assert_eq!(full.note(bob, true), Room::Enough);
        assert_eq!(full.note(bob, false), Room::FullForNow);
    }
}
