//! What changed since a state that a client remembers (JMAP `/changes`, the
//! feeds of search and webhooks).

use crate::account::Account;
use crate::error::StoreError;
use crate::head::Floor;
use crate::keys;
use crate::limits::VANISHED_RANGES_MAX;
use crate::load::{for_each_while, read_head};
use engine::Engine;
use envelope::AccountId;
use mailbox_model::{Change, LogEntry, MailboxId, ModSeq, Uid, UidSet};
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
        let (shared, id) = (Arc::clone(&self.shared), self.id());
        let work = move || {
            let mut changes = Changes {
                entries: Vec::new(),
                modseq: since,
                more: false,
            };
            visit_log(&*shared.engine, id, (since, last), |entry| {
                if changes.entries.len() == limit {
                    changes.more = true;
                    return ControlFlow::Break(());
                }
                changes.modseq = entry.modseq;
                changes.entries.push(entry);
                ControlFlow::Continue(())
            })?;
            if !changes.more {
                changes.modseq = last;
            }
            Ok(changes)
        };
        self.shared.runtime.blocking(work).await
    }

    /// The UIDs that changes after `since` and up to `until` took out of a mailbox, by the log: what the mailbox
    /// itself remembers no more ([`mailbox_model::Mailbox::vanished_since`]). None where the log does not say it all, or
    /// where that would be too much.
    ///
    /// # Errors
    /// As [`Account::changes_since`].
    pub async fn vanished_between(
        &self,
        mailbox: MailboxId,
        since: ModSeq,
        until: ModSeq,
    ) -> Result<Option<UidSet>, ChangesError> {
        let (shared, id) = (Arc::clone(&self.shared), self.id());
        let work = move || {
            let mut gone = Some(Gone::default());
            visit_log(&*shared.engine, id, (since, until), |entry| {
                gone = gone
                    .take()
                    .and_then(|gone| gone.with(mailbox, &entry.change));
                match gone {
                    Some(_) => ControlFlow::Continue(()),
                    None => ControlFlow::Break(()),
                }
            })?;
            Ok(gone.map(|gone| UidSet::from_ranges(gone.0)))
        };
        self.shared.runtime.blocking(work).await
    }
}

/// Ranges of UIDs that are gone, as the log has them.
#[derive(Default)]
struct Gone(Vec<(Uid, Uid)>);

impl Gone {
    /// None where it is not known any more.
    fn with(mut self, mailbox: MailboxId, change: &Change) -> Option<Self> {
        match change {
            Change::Expunge { mailbox: of, items } if *of == mailbox => {
                items.iter().for_each(|item| self.push(item.uid, item.uid));
            }
            Change::Move { transfer, .. } if transfer.from == mailbox => {
                let ranges = transfer.uids.ranges();
                ranges.for_each(|(first, last)| self.push(first, last));
            }
            // Nobody knows what went with the history that was lost.
            Change::Raised(_) => return None,
            _ => {}
        }
        (self.0.len() <= VANISHED_RANGES_MAX).then_some(self)
    }

    fn push(&mut self, first: Uid, last: Uid) {
        match self.0.last_mut() {
            Some((_, before)) if before.next() == first => *before = last,
            _ => self.0.push((first, last)),
        }
    }
}

/// Calls `f` with the log's entries after `since` and up to `until`, until it breaks off.
fn visit_log(
    engine: &dyn Engine,
    account: AccountId,
    (since, until): (ModSeq, ModSeq),
    mut f: impl FnMut(LogEntry) -> ControlFlow<()>,
) -> Result<(), ChangesError> {
    let snapshot = engine.snapshot(engine.shard_of_account(account.0));
    let floor = read_head(&*snapshot, account)?.terms.floor;
    if since < floor.modseq {
        return Err(ChangesError::BelowFloor(floor));
    }
    let (start, _) = keys::log_after(account, since);
    let (end, _) = keys::log_after(account, until);
    for_each_while(&*snapshot, start, &end, |_, record| {
        Ok(f(decode(account, &record.value)?))
    })?;
    Ok(())
}

pub(crate) fn decode(account: AccountId, record: &[u8]) -> Result<LogEntry, StoreError> {
    LogEntry::decode(record).map_err(|error| StoreError::Damaged {
        account,
        what: format!("an entry of the log: {error}"),
    })
}
