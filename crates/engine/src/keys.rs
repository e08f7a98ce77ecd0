//! How keys begin: a space, then what says which shard they live in.
//!
//! | space | then | shard |
//! |---|---|---|
//! | `A` accounts | account, 8 bytes, high byte first | the account's |
//! | `Q` queue | shard, 2 bytes, high byte first | that one |
//! | `B` blobs and their links | shard, 2 bytes, high byte first | that one |
//! | `D` directory | – | 0 |
//! | `S` system | – | 0 |
//!
//! What follows is the owner's business: only `mailstore` knows the rest of an
//! `A` key, only `queue` that of a `Q` key, and so on.

use crate::contract::ShardId;

/// The first byte of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Space {
    /// Everything of one account.
    Account = b'A',
    /// The queue of one shard.
    Queue = b'Q',
    /// Blob records and links of one shard.
    Blob = b'B',
    /// Domains, accounts, aliases.
    Directory = b'D',
    /// The system's own settings and counters.
    System = b'S',
}

/// Begins a key of an account.
#[must_use]
pub fn account(account: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(32);
    key.push(Space::Account as u8);
    key.extend_from_slice(&account.to_be_bytes());
    key
}

/// Begins a key of the queue of `shard`.
#[must_use]
pub fn queue(shard: ShardId) -> Vec<u8> {
    sharded(Space::Queue, shard)
}

/// Begins a key of a blob in `shard`.
#[must_use]
pub fn blob(shard: ShardId) -> Vec<u8> {
    sharded(Space::Blob, shard)
}

/// Begins a key of the directory.
#[must_use]
pub fn directory() -> Vec<u8> {
    vec![Space::Directory as u8]
}

/// Begins a key of the system.
#[must_use]
pub fn system() -> Vec<u8> {
    vec![Space::System as u8]
}

fn sharded(space: Space, shard: ShardId) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    key.push(space as u8);
    key.extend_from_slice(&shard.0.to_be_bytes());
    key
}
