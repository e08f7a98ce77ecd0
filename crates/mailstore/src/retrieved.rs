//! On which day each message of the inbox was retrieved first, for a server that lets such mail
//! expire (RFC 2449 §6.7). Nobody writes it where mail does not expire.
//!
//! | field | form |
//! |---|---|
//! | version | byte, 1 |
//! | UIDVALIDITY of the inbox | varint |
//! | runs, how many | varint |
//! | each: its UIDs | two varints, [`crate::runs`] |
//! | each: day, counted from 1970 | varint |
//!
//! A run may reach over UIDs that are not there. What an inbox with another UIDVALIDITY had
//! retrieved counts for nothing. The record goes with the account.

use crate::account::Account;
use crate::error::StoreError;
use crate::keys;
use crate::limits::CONFLICT_RETRIES;
use crate::runs::Runs;
use engine::{Batch, Expect, SubmitError};
use mailbox_model::stage::StageError;
use mailbox_model::{Mailbox, Uid, UidSet, UidValidity};
use std::sync::Arc;
use wire::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;

/// What of an inbox was retrieved, and when.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Retrieved {
    uid_validity: UidValidity,
    /// Ascending: first and last UID, and the day.
    runs: Vec<(Uid, Uid, u32)>,
}

impl Retrieved {
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(VERSION).varint(u64::from(self.uid_validity.0));
        out.varint(self.runs.len() as u64);
        let mut places = Runs::default();
        for (first, last, day) in &self.runs {
            places.write(&mut out, *first, *last);
            out.varint(u64::from(*day));
        }
        out.finish()
    }

    pub(crate) fn decode(record: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(record);
        match input.u8()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let uid_validity = UidValidity(input.varint32()?);
        let mut runs = Vec::new();
        let mut places = Runs::default();
        for _ in 0..input.varint()? {
            let (first, last) = places.read(&mut input)?;
            runs.push((first, last, input.varint32()?));
        }
        input.finish()?;
        Ok(Self { uid_validity, runs })
    }

    fn day_of(&self, uid: Uid) -> Option<u32> {
        let behind = self.runs.partition_point(|(first, ..)| *first <= uid);
        let (_, last, day) = self.runs.get(behind.checked_sub(1)?)?;
        (uid <= *last).then_some(*day)
    }

    /// With these retrieved today; those that were before keep their day, those that are gone
    /// are forgotten.
    fn with(&self, inbox: &Mailbox, uids: &UidSet, today: u32) -> Self {
        let mut runs: Vec<(Uid, Uid, u32)> = Vec::new();
        let mut before = None;
        for entry in inbox.entries() {
            let new = uids.contains(entry.uid).then_some(today);
            let day = self.day_of(entry.uid).or(new);
            match (runs.last_mut(), day) {
                (Some(run), Some(day)) if before == Some(day) => run.1 = entry.uid,
                (_, Some(day)) => runs.push((entry.uid, entry.uid, day)),
                (_, None) => {}
            }
            before = day;
        }
        Self {
            uid_validity: inbox.uid_validity(),
            runs,
        }
    }
}

impl Account {
    /// Notes that these messages of the inbox were retrieved on a day.
    ///
    /// # Errors
    /// The record can't be read or written.
    pub async fn note_retrieved(
        self: &Arc<Self>,
        uids: &UidSet,
        today: u32,
    ) -> Result<(), StoreError> {
        for _ in 0..CONFLICT_RETRIES {
            let lane = self.lane().await?;
            let (expect, before) = self.stored_retrieved().await?;
            let inbox = lane.view().inbox().ok_or(StageError::NoMailbox)?;
            let before = match before.uid_validity == inbox.uid_validity() {
                true => before,
                false => Retrieved::default(),
            };
            let after = before.with(inbox, uids, today);
            if after == before {
                return Ok(());
            }
            let mut batch = Batch::new();
            let key = keys::retrieved(self.id());
            batch.expect(key.clone(), expect);
            batch.put(key, after.encode());
            match lane.submit_beside(batch) {
                Ok(ticket) => {
                    ticket.done().await;
                    return Ok(());
                }
                Err(SubmitError::Conflict { winner, .. }) => winner.visible().await,
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Contended)
    }

    /// The messages of the inbox that were retrieved on this day or before.
    ///
    /// # Errors
    /// The record can't be read.
    pub async fn retrieved_until(&self, day: u32) -> Result<UidSet, StoreError> {
        let (_, retrieved) = self.stored_retrieved().await?;
        let view = self.view();
        let inbox = view.inbox().ok_or(StageError::NoMailbox)?;
        if retrieved.uid_validity != inbox.uid_validity() {
            return Ok(UidSet::new());
        }
        let runs = retrieved.runs.iter().filter(|(.., on)| *on <= day);
        Ok(UidSet::from_ranges(
            runs.map(|(first, last, _)| (*first, *last)),
        ))
    }

    async fn stored_retrieved(&self) -> Result<(Expect, Retrieved), StoreError> {
        let engine = Arc::clone(&self.shared.engine);
        let account = self.id();
        let work = move || {
            let snapshot = engine.snapshot(engine.shard_of_account(account.0));
            Ok::<_, StoreError>(snapshot.get(&keys::retrieved(account))?)
        };
        let Some(stored) = self.shared.runtime.blocking(work).await? else {
            return Ok((Expect::Absent, Retrieved::default()));
        };
        let retrieved = Retrieved::decode(&stored.value).map_err(|error| StoreError::Damaged {
            account,
            what: format!("what was retrieved of the inbox: {error}"),
        })?;
        Ok((Expect::Version(stored.version), retrieved))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_is_these_bytes_and_reads_back() {
        let retrieved = Retrieved {
            uid_validity: UidValidity(7),
            runs: vec![(Uid(2), Uid(4), 300), (Uid(5), Uid(5), 301)],
        };
        let golden = [1, 7, 2, 2, 2, 0xac, 2, 1, 0, 0xad, 2];
        assert_eq!(retrieved.encode(), golden);
        assert_eq!(Retrieved::decode(&golden), Ok(retrieved.clone()));
        for len in 0..golden.len() {
            assert!(Retrieved::decode(&golden[..len]).is_err());
        }
        assert!(Retrieved::decode(&[2, 7, 0]).is_err());
        assert!(Retrieved::decode(&[1, 7, 1, 0, 0, 1]).is_err());
        for (uid, day) in [
            (1, None),
            (2, Some(300)),
            (4, Some(300)),
            (5, Some(301)),
            (6, None),
        ] {
            assert_eq!(retrieved.day_of(Uid(uid)), day, "{uid}");
        }
    }
}
