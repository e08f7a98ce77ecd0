//! Full mailboxes: temporary for three days, then permanent.
//!
//! Since when a mailbox is full is a record of its own, so that a restart does
//! not begin anew. It is written at the first message that does not fit and
//! removed at the first that does; one that cannot be read or written counts as
//! "for now", which errs on the side of keeping mail.
//!
//! | key | value |
//! |---|---|
//! | `S` `f` account, 8 bytes | version byte 1, Unix milliseconds as 8 bytes |
//!
//! All numbers are high byte first. Which accounts have no record is remembered,
//! so that a mailbox with room costs no look into the store.

use crate::Policy;
use crate::limits::{FULL_TEMPORARY, ROOMY_ENTRIES};
use crate::records::{moment, record};
use engine::{Batch, ReadError, SharedEngine, keys};
use envelope::AccountId;
use mailbox_model::Usage;
use mailstore::{OverQuota, StoreError};
use quick_cache::sync::Cache;
use runtime::{Runtime, Timestamp};
use std::sync::Arc;

const FULL: u8 = b'f';

/// Whether a message fits an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    Enough,
    FullForNow,
    FullForLong,
}

/// A message does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full {
    pub(crate) over: OverQuota,
    pub(crate) for_long: bool,
}

pub(crate) struct FullSince {
    engine: SharedEngine,
    runtime: Runtime,
    /// Accounts without a record.
    roomy: Cache<AccountId, ()>,
}

impl std::fmt::Debug for FullSince {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FullSince").finish_non_exhaustive()
    }
}

impl FullSince {
    pub(crate) fn new(engine: SharedEngine, runtime: Runtime) -> Self {
        Self {
            engine,
            runtime,
            roomy: Cache::new(ROOMY_ENTRIES),
        }
    }

    pub(crate) fn engine(&self) -> &SharedEngine {
        &self.engine
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    async fn note(&self, account: AccountId, fits: bool) -> Room {
        if fits && self.roomy.get(&account).is_some() {
            return Room::Enough;
        }
        let since = self.read(account).await;
        if let Err(error) = &since {
            tracing::error!(%account, %error, "it is not known since when a mailbox is full");
        }
        match (fits, since) {
            (true, Ok(since)) => {
                if since.is_some() {
                    let mut batch = Batch::new();
                    batch.delete(key(account));
                    self.write(account, batch).await;
                }
                self.roomy.insert(account, ());
                Room::Enough
            }
            (true, Err(_)) => Room::Enough,
            (false, Err(_)) => Room::FullForNow,
            (false, Ok(Some(since))) => {
                // A clock that was set back makes it shorter, never longer.
                if self.runtime.now().since(since) >= FULL_TEMPORARY {
                    Room::FullForLong
                } else {
                    Room::FullForNow
                }
            }
            (false, Ok(None)) => {
                self.roomy.remove(&account);
                let mut batch = Batch::new();
                batch.put(key(account), record(self.runtime.now()));
                self.write(account, batch).await;
                Room::FullForNow
            }
        }
    }

    async fn read(&self, account: AccountId) -> Result<Option<Timestamp>, ReadError> {
        let engine = Arc::clone(&self.engine);
        let read = move || {
            let key = key(account);
            let Some(shard) = keys::shard_of(&key, engine.shards()) else {
                return Ok(None);
            };
            engine.snapshot(shard).get(&key)
        };
        let stored = self.runtime.blocking(read).await?;
        Ok(stored.and_then(|stored| match moment(&stored.value) {
            Ok(since) => Some(since),
            Err(error) => {
                tracing::error!(%account, %error, "the record of a full mailbox is damaged");
                None
            }
        }))
    }

    /// Until it is durable: the next question must see it.
    async fn write(&self, account: AccountId, batch: Batch) {
        match self.engine.submit(batch) {
            Ok(ticket) => {
                ticket.done().await;
            }
            Err(error) => {
                tracing::warn!(%account, %error, "since when a mailbox is full is not written down");
            }
        }
    }
}

pub(crate) fn key(account: AccountId) -> Vec<u8> {
    let mut key = keys::system();
    key.push(FULL);
    key.extend_from_slice(&account.0.to_be_bytes());
    key
}

/// How keys of these records begin, for whoever checks the system's space.
pub const FULL_SINCE_PREFIX: [u8; 2] = [keys::Space::System as u8, FULL];

/// What is wrong with a record of this crate in the system's space, if anything is.
#[must_use]
pub fn check_full_since(key: &[u8], value: &[u8]) -> Option<String> {
    if key.len() != FULL_SINCE_PREFIX.len() + 8 {
        return Some("its key names no account".into());
    }
    moment(value).err().map(|error| error.to_string())
}

impl Policy {
    /// What keeps `bytes` more (as SIZE= says) from fitting the account and its
    /// domain; none if they fit.
    pub(crate) async fn full(
        &self,
        account: AccountId,
        bytes: u64,
    ) -> Result<Option<Full>, StoreError> {
        let opened = self.mailstore.account(account).await?;
        let room = opened.check_room(Usage { bytes, emails: 1 });
        let since = self.full_since.note(account, room.is_ok()).await;
        Ok(room.err().map(|over| Full {
            over,
            for_long: since == Room::FullForLong,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::MemoryEngine;
    use std::time::Duration;

    const BOB: AccountId = AccountId(1);

    fn full() -> (FullSince, Runtime) {
        let runtime = Runtime::for_tests();
        let engine = Arc::new(MemoryEngine::new(3));
        (FullSince::new(engine, runtime.clone()), runtime)
    }

    #[tokio::test]
    async fn full_is_temporary_for_three_days_and_forgotten_when_there_is_room() {
        let (full, runtime) = full();
        assert_eq!(full.note(BOB, false).await, Room::FullForNow);
        runtime.advance(FULL_TEMPORARY - Duration::from_secs(60));
        assert_eq!(full.note(BOB, false).await, Room::FullForNow);
        runtime.advance(Duration::from_secs(60));
        assert_eq!(full.note(BOB, false).await, Room::FullForLong);
        assert_eq!(full.note(AccountId(2), false).await, Room::FullForNow);
        assert_eq!(full.note(BOB, true).await, Room::Enough);
        assert_eq!(full.note(BOB, true).await, Room::Enough);
        assert_eq!(full.note(BOB, false).await, Room::FullForNow);
    }

    #[tokio::test]
    async fn a_restart_does_not_forget_since_when() {
        let (full, runtime) = full();
        assert_eq!(full.note(BOB, false).await, Room::FullForNow);
        runtime.advance(FULL_TEMPORARY);
        let restarted = FullSince::new(Arc::clone(&full.engine), runtime.clone());
        assert_eq!(restarted.note(BOB, false).await, Room::FullForLong);
        // Nor does it keep what is over.
        let restarted = FullSince::new(Arc::clone(&full.engine), runtime.clone());
        assert_eq!(restarted.note(BOB, true).await, Room::Enough);
        let restarted = FullSince::new(Arc::clone(&full.engine), runtime);
        assert_eq!(restarted.note(BOB, false).await, Room::FullForNow);
    }

    #[tokio::test]
    async fn a_damaged_record_is_begun_anew() {
        let (full, runtime) = full();
        let mut batch = Batch::new();
        batch.put(key(BOB), &b"\x02x"[..]);
        full.write(BOB, batch).await;
        assert_eq!(full.note(BOB, false).await, Room::FullForNow);
        runtime.advance(FULL_TEMPORARY);
        assert_eq!(full.note(BOB, false).await, Room::FullForLong);
    }

    #[test]
    fn golden_bytes() {
        let at = Timestamp { unix_ms: 0x0102 };
        assert_eq!(key(AccountId(5)), b"Sf\0\0\0\0\0\0\0\x05");
        assert_eq!(record(at), b"\x01\0\0\0\0\0\0\x01\x02");
        assert_eq!(moment(&record(at)), Ok(at));
        for end in 0..9 {
            assert!(moment(&record(at)[..end]).is_err());
        }
    }
}
