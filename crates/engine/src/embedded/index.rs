//! The index behind a port: ordered keys, brought up to date by whole groups.
//!
//! The index is the journal's shadow. It may lose what it was given last, or
//! everything: the journal brings it forward again from the commit it names.
//!
//! | key | value |
//! |---|---|
//! | a key of the store | 8 bytes: the commit that wrote it; then the value |
//! | [`APPLIED_KEY`] | 8 bytes: the last commit applied; 8 bytes: the store's number |
//! | `\\0freed` … | the engine's own keys: [`super::freed`]; journaled like the store's |
//!
//! Numbers have their high byte first.

#[cfg(test)]
pub(crate) mod map;
mod table_list;
pub(crate) mod tree;

use super::commit::Commit;
use crate::contract::{CommitNo, ReadError, Snapshot, Versioned};
use bytes::Bytes;
use std::fmt::Debug;

pub(crate) use crate::memory::FIRST_KEY;

/// Sorts before every key of the store.
pub(crate) const APPLIED_KEY: &[u8] = b"\0applied";

/// How far an index has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Applied {
    pub(crate) commit: u64,
    pub(crate) store: u64,
}

impl Applied {
    pub(crate) fn encode(&self) -> [u8; 16] {
        let mut out = [0; 16];
        out[..8].copy_from_slice(&self.commit.to_be_bytes());
        out[8..].copy_from_slice(&self.store.to_be_bytes());
        out
    }

    pub(crate) fn decode(stored: &[u8]) -> Option<Self> {
        let (commit, store) = stored.split_first_chunk()?;
        Some(Self {
            commit: u64::from_be_bytes(*commit),
            store: u64::from_be_bytes(store.try_into().ok()?),
        })
    }
}

/// The stored form of a value.
pub(crate) fn encode_value(commit: u64, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + value.len());
    out.extend_from_slice(&commit.to_be_bytes());
    out.extend_from_slice(value);
    out
}

/// Copies nothing: the value stays a part of the block that it was read in.
pub(crate) fn decode_value(stored: &Bytes) -> Result<Versioned, ReadError> {
    let commit = stored
        .first_chunk()
        .ok_or_else(|| ReadError::Damaged("a value in the index has no commit".into()))?;
    Ok(Versioned {
        version: CommitNo(u64::from_be_bytes(*commit)),
        value: stored.slice(size_of::<u64>()..),
    })
}

/// An ordered map that is brought forward by commits.
pub(crate) trait Index: Debug + Send + Sync {
    /// How far it has come; `None` when it is new.
    fn applied(&self) -> Result<Option<Applied>, ReadError>;

    /// Applies commits in their order; all become visible at once.
    fn apply(&self, commits: &[Commit], applied: Applied) -> Result<(), ReadError>;

    /// A view of what is applied, and the last commit in it.
    fn snapshot(&self) -> (Box<dyn Snapshot>, CommitNo);

    /// Makes durable what was applied.
    fn flush(&self) -> Result<(), ReadError>;

    /// Begins to make durable what was applied; does not wait for it.
    ///
    /// # Errors
    /// The index cannot be written.
    fn begin_flush(&self) -> Result<(), ReadError> {
        Ok(())
    }

    /// The last commit that a power cut does not take from it. It takes more
    /// only if it takes everything.
    fn durable(&self) -> u64;

    /// Pairs with `start <= key < end`, the engine's own too.
    fn pairs(&self, start: &[u8], end: &[u8]) -> Result<Vec<(Vec<u8>, Versioned)>, ReadError>;

    /// Waits a little when the index falls behind, the longer the further;
    /// true when it did.
    fn pace(&self) -> bool;

    /// What it holds in memory: blocks that were read, and memtables.
    fn memory(&self) -> (u64, u64) {
        (0, 0)
    }

    /// Ends its threads. Nothing is lost that was made durable.
    fn close(&self);
}
