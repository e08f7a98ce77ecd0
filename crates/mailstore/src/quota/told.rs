//! Up to which mark the people who answer for a group were told: a record of its
//! own, since their notice is committed elsewhere than any account's head.
//!
//! | key | value |
//! |---|---|
//! | `S` `q` name of the group | version byte 1, mark as in a head: 1 or 2 |
//!
//! There is no record while they were told of nothing. It lives in the system's
//! shard and is written in one commit with the notice.

use super::group::Group;
use crate::error::StoreError;
use crate::head::{QuotaLimits, QuotaMark};
use crate::load::for_each;
use crate::store::{Mailstore, Shared};
use engine::{Batch, CommitNo, Expect, Snapshot, SubmitError, keys};
use mailbox_model::Usage;
use std::sync::Arc;
use wire::codec::{DecodeError, Reader, Writer};

const TOLD: u8 = b'q';
const VERSION: u8 = 1;

/// How keys of these records begin, for whoever checks the system's space.
pub const GROUP_TOLD_PREFIX: [u8; 2] = [keys::Space::System as u8, TOLD];

/// What is written down of a group.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Noted {
    pub(crate) mark: QuotaMark,
    version: Option<CommitNo>,
}

impl Noted {
    fn expected(self) -> Expect {
        self.version.map_or(Expect::Absent, Expect::Version)
    }
}

fn key(name: &str) -> Vec<u8> {
    let mut key = GROUP_TOLD_PREFIX.to_vec();
    key.extend_from_slice(name.as_bytes());
    key
}

fn record(mark: QuotaMark) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.u8(VERSION).u8(mark.code());
    writer.finish()
}

fn mark_of(record: &[u8]) -> Result<QuotaMark, DecodeError> {
    let mut reader = Reader::new(record);
    match reader.u8()? {
        VERSION => {}
        other => return Err(DecodeError::Version(other)),
    }
    let code = reader.u8()?;
    reader.finish()?;
    match QuotaMark::from_code(code)? {
        QuotaMark::None => Err(DecodeError::Tag(code)),
        mark => Ok(mark),
    }
}

/// What is wrong with a record of this kind, if anything is.
#[must_use]
pub fn check_group_told(key: &[u8], value: &[u8]) -> Option<String> {
    let name = key.strip_prefix(&GROUP_TOLD_PREFIX[..]).unwrap_or_default();
    if name.is_empty() || std::str::from_utf8(name).is_err() {
        return Some("its key names no domain".into());
    }
    mark_of(value).err().map(|error| error.to_string())
}

fn read(snapshot: &dyn Snapshot, name: &str) -> Result<Noted, StoreError> {
    let Some(stored) = snapshot.get(&key(name))? else {
        return Ok(Noted::default());
    };
    let mark = mark_of(&stored.value).unwrap_or_else(|error| {
        // Told once too often is better than never.
        tracing::error!(name, %error, "up to which mark a domain's people were told is damaged");
        QuotaMark::None
    });
    Ok(Noted {
        mark,
        version: Some(stored.version),
    })
}

/// The groups that there is a record of.
pub(super) async fn stored_names(shared: &Arc<Shared>) -> Result<Vec<String>, StoreError> {
    let engine = Arc::clone(&shared.engine);
    let work = move || {
        let start = GROUP_TOLD_PREFIX.to_vec();
        let end = keys::end_of(&start);
        let Some(shard) = keys::shard_of(&start, engine.shards()) else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        for_each(&*engine.snapshot(shard), start, &end, |key, _| {
            let name = key.get(GROUP_TOLD_PREFIX.len()..).unwrap_or_default();
            names.extend(String::from_utf8(name.to_vec()));
            Ok(())
        })?;
        Ok(names)
    };
    shared.runtime.blocking(work).await
}

/// What a group's people have not been told yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupMark {
    /// The mark that it reached.
    pub mark: QuotaMark,
    /// What its accounts may use together.
    pub limits: QuotaLimits,
    /// What they use.
    pub used: Usage,
}

impl Mailstore {
    /// The mark that a group reached and that its people were not told of yet.
    #[must_use]
    pub fn group_mark_due(&self, name: &str) -> Option<GroupMark> {
        let group = self.shared.quotas.group(name)?;
        let ledger = group.ledger.lock();
        let mark = ledger.mark();
        (mark > ledger.told).then_some(GroupMark {
            mark,
            limits: ledger.limits?,
            used: ledger.used,
        })
    }

    /// Commits `batch`, which holds the notice and belongs to the system's shard, together
    /// with the mark that it tells of. False if the group is not at that mark any
    /// more, its people were told, or another commit came first: look again.
    ///
    /// # Errors
    /// The store is full or can't be read.
    pub async fn tell_group(
        &self,
        name: &str,
        mark: QuotaMark,
        batch: Batch,
    ) -> Result<bool, StoreError> {
        if self.group_mark_due(name).map(|due| due.mark) != Some(mark) {
            return Ok(false);
        }
        let Some(group) = self.shared.quotas.group(name) else {
            return Ok(false);
        };
        self.note(&group, mark, batch).await
    }

    /// Writes down that a group fell below a mark that its people were told of, so
    /// that they are told again the next time, whatever happens in between.
    ///
    /// # Errors
    /// The store is full or can't be read.
    pub async fn lower_group_mark(&self, name: &str) -> Result<(), StoreError> {
        let Some(group) = self.shared.quotas.group(name) else {
            return Ok(());
        };
        let (told, noted) = {
            let ledger = group.ledger.lock();
            (ledger.told, ledger.noted.mark)
        };
        if told < noted {
            self.note(&group, told, Batch::new()).await?;
        }
        Ok(())
    }

    async fn note(
        &self,
        group: &Group,
        mark: QuotaMark,
        mut batch: Batch,
    ) -> Result<bool, StoreError> {
        let key = key(&group.name);
        batch.expect(key.clone(), group.ledger.lock().noted.expected());
        if mark == QuotaMark::None {
            batch.delete(key);
        } else {
            batch.put(key, record(mark));
        }
        let ticket = match self.shared.engine.submit(batch) {
            Ok(ticket) => ticket,
            Err(SubmitError::Conflict { winner, .. }) => {
                winner.visible().await;
                // The record, if it is that, was written by another process.
                let noted = self.read_group_told(&group.name).await?;
                group.change(|ledger| {
                    if noted.version != ledger.noted.version {
                        ledger.told = noted.mark;
                        ledger.noted = noted;
                    }
                });
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        let version = (mark != QuotaMark::None).then_some(ticket.commit());
        // At once: what was submitted is not undone. The use may have fallen meanwhile.
        group.change(|ledger| {
            ledger.told = mark;
            ledger.noted = Noted { mark, version };
        });
        ticket.done().await;
        Ok(true)
    }

    pub(super) async fn read_group_told(&self, name: &str) -> Result<Noted, StoreError> {
        let (engine, name) = (Arc::clone(&self.shared.engine), name.to_owned());
        let work = move || match keys::shard_of(&key(&name), engine.shards()) {
            Some(shard) => read(&*engine.snapshot(shard), &name),
            None => Ok(Noted::default()),
        };
        self.shared.runtime.blocking(work).await
    }

    pub(super) async fn forget_group_told(&self, name: &str) -> Result<(), StoreError> {
        if self.read_group_told(name).await?.version.is_none() {
            return Ok(());
        }
        let mut batch = Batch::new();
        batch.delete(key(name));
        self.shared.engine.submit(batch)?.done().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        assert_eq!(key("b.c"), b"Sqb.c");
        assert_eq!(record(QuotaMark::NearlyFull), b"\x01\x02");
        assert_eq!(mark_of(b"\x01\x01"), Ok(QuotaMark::Filling));
        assert_eq!(mark_of(b"\x01\x00"), Err(DecodeError::Tag(0)));
        assert_eq!(mark_of(b"\x02\x01"), Err(DecodeError::Version(2)));
        assert!(mark_of(b"\x01").is_err() && mark_of(b"").is_err());
        assert_eq!(check_group_told(b"Sqb.c", b"\x01\x02"), None);
        assert!(check_group_told(b"Sq", b"\x01\x02").is_some());
        assert!(check_group_told(b"Sqb.c", b"\x01\x03").is_some());
    }
}
