//! What changed since a state that a client remembers (JMAP `/changes`, the
//! feeds of search and webhooks).

use crate::account::Account;
use crate::error::StoreError;
use crate::head::Floor;
use crate::keys;
use crate::load::{for_each_while, read_head};
use envelope::AccountId;
use mailbox_model::{LogEntry, ModSeq};
use std::ops::ControlFlow;
use std::sync::Arc;
use thiserror::Error;

/// Entries of the log after a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// In order.
    pub entries: Vec<LogEntry>,
    /// The state that they lead to.
    pub modseq: ModSeq,
    /// True if there are more after that.
    pub more: bool,
}

/// Why the changes can't be told.
#[derive(Debug, Error)]
pub enum ChangesError {
    /// The state is older than the log: the client must ask for everything.
    #[error("changes are known from {} on only", .0.modseq)]
    BelowFloor(Floor),
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Account {
    /// The changes after `since` that are visible now, at most `limit`.
    ///
    /// # Errors
    /// [`ChangesError::BelowFloor`] if some of them are no longer in the log, or
    /// if there never was such a state: never a wrong answer.
    pub async fn changes_since(
        &self,
        since: ModSeq,
        limit: usize,
    ) -> Result<Changes, ChangesError> {
        let last = self.view().modseq();
        if since > last {
            return Err(ChangesError::BelowFloor(self.floor()));
        }
        let shared = Arc::clone(&self.shared);
        let id = self.id();
        let work = move || {
            let engine = &*shared.engine;
            let snapshot = engine.snapshot(engine.shard_of_account(id.0));
            let floor = read_head(&*snapshot, id)?.terms.floor;
            if since < floor.modseq {
                return Err(ChangesError::BelowFloor(floor));
            }
            let (start, _) = keys::log_after(id, since);
            let (end, _) = keys::log_after(id, last);
            let mut changes = Changes {
                entries: Vec::new(),
                modseq: since,
                more: false,
            };
            for_each_while(&*snapshot, start, &end, |_, record| {
                if changes.entries.len() == limit {
                    changes.more = true;
                    return Ok(ControlFlow::Break(()));
                }
                let entry = decode(id, &record.value)?;
                changes.modseq = entry.modseq;
                changes.entries.push(entry);
                Ok(ControlFlow::Continue(()))
            })?;
            if !changes.more {
                changes.modseq = last;
            }
            Ok(changes)
        };
        self.shared.runtime.blocking(work).await
    }
}

pub(crate) fn decode(account: AccountId, record: &[u8]) -> Result<LogEntry, StoreError> {
    LogEntry::decode(record).map_err(|error| StoreError::Damaged {
        account,
        what: format!("an entry of the log: {error}"),
    })
}
