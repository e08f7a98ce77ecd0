//! Journal and index are brought to say the same, by commits like any other:
//! beside writers, and so that each step is whole or not there.
//!
//! Nothing that either side still has is thrown away: where the journal has the
//! later commit of a key the index gets it, where the index has the later one
//! it is written to the journal again. A key that the journal deleted is set
//! aside before it leaves the index.

use super::EmbeddedEngine;
use super::fsck::Journal;
use super::scan::Scan;
use crate::check::{Aside, Checker, Mended, SetAside};
use crate::contract::{Batch, Engine, Expect, ReadError, ShardId, SubmitError, Versioned};
use crate::findings::Finding;
use crate::limits::BATCH_BYTES_MAX;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use thiserror::Error;

/// Why a repair did not come to its end. What it did before stays done.
#[derive(Debug, Error)]
pub enum RepairError {
    /// Files could not be read, or a record could not be set aside.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The index could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A commit was not taken.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

/// Bytes of values that are read from the journal for one round.
const ROUND_BYTES_MAX: usize = 16 << 20;

/// The journal's last word on a key.
struct Last {
    commit: u64,
    value: Option<Bytes>,
}

impl EmbeddedEngine {
    /// Brings index and journal together again, key by key, as far as `findings`
    /// of [`EmbeddedEngine::fsck`] name them.
    ///
    /// # Errors
    /// See [`RepairError`].
    pub fn repair(
        &self,
        findings: &[Finding],
        aside: &dyn Aside,
    ) -> Result<Vec<Mended>, RepairError> {
        let _kept = self.keep_segments();
        let mut keys: Vec<&[u8]> = findings
            .iter()
            .filter_map(|finding| match finding {
                Finding::IndexLacks { key, .. }
                | Finding::IndexHas { key, .. }
                | Finding::IndexDiffers { key, .. } => Some(key.as_slice()),
                _ => None,
            })
            .collect();
        keys.sort_unstable();
        keys.dedup();
        let mut mended = Mending::default();
        while !keys.is_empty() {
            let (last, done) = self.last_words(&keys)?;
            for &key in &keys[..done] {
                self.bring_together(key, last.get(key), aside, &mut mended)?;
            }
            self.flush(&mut mended)?;
            keys.drain(..done);
        }
        Ok(mended.told())
    }

    /// What the journal says last of the first keys, as many as fit.
    fn last_words(&self, keys: &[&[u8]]) -> io::Result<(BTreeMap<Vec<u8>, Last>, usize)> {
        let journal = Journal::of(&self.core);
        let (segments, _) = journal.segments()?;
        let mut last: BTreeMap<Vec<u8>, Last> = BTreeMap::new();
        let mut bytes = 0;
        let mut done = keys.len();
        let mut scan = Scan::new(&segments);
        scan.until = journal.written;
        scan.run(&mut |commit| {
            for (key, value) in commit.writes {
                if keys[..done].binary_search(&key.as_slice()).is_err()
                    || last
                        .get(&key)
                        .is_some_and(|last| last.commit > commit.number)
                {
                    continue;
                }
                bytes += value.as_ref().map_or(0, Bytes::len);
                let now = Last {
                    commit: commit.number,
                    value,
                };
                if let Some(before) = last.insert(key, now) {
                    bytes -= before.value.as_ref().map_or(0, Bytes::len);
                }
                // Too much for one round: the later half waits for the next.
                while bytes > ROUND_BYTES_MAX && done > 1 {
                    done /= 2;
                    last.retain(|key, _| keys[..done].binary_search(&key.as_slice()).is_ok());
                    bytes = last
                        .values()
                        .map(|last| last.value.as_ref().map_or(0, Bytes::len))
                        .sum();
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok((last, done))
    }

    fn bring_together(
        &self,
        key: &[u8],
        journal: Option<&Last>,
        aside: &dyn Aside,
        mended: &mut Mending,
    ) -> Result<(), RepairError> {
        let index = self.snapshot(ShardId(0)).get(key)?;
        let index_is_later = match (&index, journal) {
            (Some(index), Some(journal)) => index.version.0 > journal.commit,
            (index, None) => index.is_some(),
            (None, Some(_)) => false,
        };
        match (index, journal) {
            (Some(index), _) if index_is_later => {
                mended.journal += 1;
                mended.put(key, Some(&index), Some(index.value.clone()));
            }
            (
                index,
                Some(Last {
                    value: Some(value), ..
                }),
            ) => {
                mended.index += 1;
                mended.put(key, index.as_ref(), Some(value.clone()));
            }
            (Some(index), Some(Last { value: None, .. })) => {
                aside.keep(&SetAside {
                    checker: Checker::IndexIsJournal,
                    account: None,
                    key,
                    value: &index.value,
                    why: "the journal says that it was deleted, but the index still had it",
                })?;
                mended.aside += 1;
                mended.put(key, Some(&index), None);
            }
            _ => {}
        }
        if mended.batch.size_bytes() > BATCH_BYTES_MAX / 2 {
            self.flush(mended)?;
        }
        Ok(())
    }

    /// Commits what was gathered. A conflict means that somebody wrote one of
    /// the keys just now: then it is right again, and the next check says what
    /// is left.
    fn flush(&self, mended: &mut Mending) -> Result<(), RepairError> {
        let batch = std::mem::take(&mut mended.batch);
        if batch.is_empty() {
            return Ok(());
        }
        match self.submit(batch) {
            Ok(ticket) => {
                ticket.done_blocking();
                Ok(())
            }
            Err(SubmitError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[derive(Default)]
struct Mending {
    batch: Batch,
    index: u64,
    journal: u64,
    aside: u64,
}

impl Mending {
    fn put(&mut self, key: &[u8], index: Option<&Versioned>, value: Option<Bytes>) {
        let expect = index.map_or(Expect::Absent, |index| Expect::Version(index.version));
        self.batch.expect(key.to_vec(), expect);
        match value {
            Some(value) => self.batch.put(key.to_vec(), value),
            None => self.batch.delete(key.to_vec()),
        }
    }

    fn told(self) -> Vec<Mended> {
        let texts = [
            (
                self.index,
                "keys were written to the index again from the journal",
            ),
            (
                self.journal,
                "keys that only the index still had were written to the journal again",
            ),
            (
                self.aside,
                "deleted keys were set aside that the index still had",
            ),
        ];
        let told = texts.iter().filter(|(count, _)| *count > 0);
        told.map(|(count, text)| Mended {
            checker: Checker::IndexIsJournal,
            account: None,
            what: format!("{count} {text}"),
        })
        .collect()
    }
}
