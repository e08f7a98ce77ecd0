//! How keys begin: a space, then what says which shard they live in.
//!
//! | space | then | shard |
//! |---|---|---|
//! | `A` accounts | account, 8 bytes, high byte first | the account's |
//! | `Q` queue | shard, 2 bytes, high byte first | that one |
//! | `B` blobs and their links | shard, 2 bytes, high byte first | that one |
//! | `U` blobs that lost a link | shard, 2 bytes, high byte first | that one |
//! | `I` messages on their way in | shard, 2 bytes, high byte first | that one |
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
    /// Blobs of one shard that lost a link: what collection looks at.
    Unlinked = b'U',
    /// Messages for several shards, until each has its part.
    Intake = b'I',
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

/// Begins the key of a blob in `shard` that lost a link.
#[must_use]
pub fn unlinked(shard: ShardId) -> Vec<u8> {
    sharded(Space::Unlinked, shard)
}

/// Begins a key of a message on its way in, in `shard`.
#[must_use]
pub fn intake(shard: ShardId) -> Vec<u8> {
    sharded(Space::Intake, shard)
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

/// The shard that a key lives in when there are `shards` of them; `None` for a
/// key of no known space.
#[must_use]
pub fn shard_of(key: &[u8], shards: u16) -> Option<ShardId> {
    let (&space, rest) = key.split_first()?;
    match space {
        b'A' => {
            let account = u64::from_be_bytes(*rest.first_chunk()?);
            Some(shard_of_account(account, shards))
        }
        b'Q' | b'B' | b'U' | b'I' => {
            Some(ShardId(u16::from_be_bytes(*rest.first_chunk()?))).filter(|shard| shard.0 < shards)
        }
        b'D' | b'S' => Some(ShardId(0)),
        _ => None,
    }
}

/// The shard that an account lives in when there are `shards` of them.
#[must_use]
pub fn shard_of_account(account: u64, shards: u16) -> ShardId {
    ShardId((account % u64::from(shards.max(1))) as u16)
}

/// The first key behind all that begin with `prefix`: the end of a scan.
#[must_use]
pub fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < u8::MAX {
            *last += 1;
            return end;
        }
        end.pop();
    }
    vec![u8::MAX; 16]
}

fn sharded(space: Space, shard: ShardId) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    key.push(space as u8);
    key.extend_from_slice(&shard.0.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_space_says_the_shard() {
        assert_eq!(shard_of(&account(7), 3), Some(ShardId(1)));
        assert_eq!(shard_of(&queue(ShardId(2)), 3), Some(ShardId(2)));
        assert_eq!(shard_of(&blob(ShardId(3)), 3), None);
        assert_eq!(shard_of(&unlinked(ShardId(2)), 3), Some(ShardId(2)));
        assert_eq!(shard_of(&intake(ShardId(1)), 3), Some(ShardId(1)));
        assert_eq!(shard_of(&directory(), 3), Some(ShardId(0)));
        assert_eq!(shard_of(b"A1234567", 1), None);
        assert_eq!(shard_of(b"Xyz", 1), None);
        assert_eq!(shard_of(b"", 1), None);
    }

    #[test]
    fn the_end_lies_behind_every_key_of_the_prefix() {
        assert_eq!(end_of(b"ab"), b"ac");
        assert_eq!(end_of(&[b'a', 0xff, 0xff]), b"b");
        assert!(end_of(&[0xff]).as_slice() > [0xff, 0xff].as_slice());
    }
}
