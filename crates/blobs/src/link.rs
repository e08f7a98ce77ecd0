//! Who uses a blob: one key for each use, never a counter.
//!
//! Keys of a blob (after the space `B` and the shard, 3 bytes):
//!
//! | bytes | field |
//! |--:|---|
//! | 32 | the blob's id |
//! | 1 | `l` a link, `r` the blob's record (then nothing follows) |
//! | 1 | the owner's kind: 1 an email, 2 a message in the queue |
//! | 8 | the account, high byte first; 0 for the queue |
//! | 8 | the email or the queued message, high byte first |
//!
//! A link's value is empty.

use crate::id::BlobId;
use engine::{ShardId, keys};
use envelope::AccountId;

/// What keeps a blob alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// An email of an account.
    Email(AccountId, u64),
    /// A message in the queue.
    Queue(u64),
}

const RECORD: u8 = b'r';
const LINK: u8 = b'l';
const EMAIL: u8 = 1;
const QUEUE: u8 = 2;

/// What a key of the blob space is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Record(BlobId),
    Link(BlobId, Owner),
}

fn prefix(shard: ShardId, id: BlobId) -> Vec<u8> {
    let mut key = keys::blob(shard);
    key.extend_from_slice(&id.0);
    key
}

pub(crate) fn record_key(shard: ShardId, id: BlobId) -> Vec<u8> {
    let mut key = prefix(shard, id);
    key.push(RECORD);
    key
}

pub(crate) fn link_key(shard: ShardId, id: BlobId, owner: Owner) -> Vec<u8> {
    let mut key = prefix(shard, id);
    let (kind, account, number) = match owner {
        Owner::Email(account, email) => (EMAIL, account.0, email),
        Owner::Queue(message) => (QUEUE, 0, message),
    };
    key.extend_from_slice(&[LINK, kind]);
    key.extend_from_slice(&account.to_be_bytes());
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The range of a blob's links.
pub(crate) fn links(shard: ShardId, id: BlobId) -> (Vec<u8>, Vec<u8>) {
    let mut start = prefix(shard, id);
    start.push(LINK);
    let end = keys::end_of(&start);
    (start, end)
}

/// Reads a key of the blob space; `None` when it is none of ours.
pub(crate) fn parse(key: &[u8]) -> Option<Key> {
    let (id, rest) = key.get(3..)?.split_first_chunk::<32>()?;
    let id = BlobId(*id);
    match rest {
        [RECORD] => Some(Key::Record(id)),
        [LINK, kind, numbers @ ..] => {
            let (account, number) = numbers.split_first_chunk::<8>()?;
            let account = u64::from_be_bytes(*account);
            let number = u64::from_be_bytes(number.try_into().ok()?);
            match (*kind, account) {
                (EMAIL, _) => Some(Key::Link(id, Owner::Email(AccountId(account), number))),
                (QUEUE, 0) => Some(Key::Link(id, Owner::Queue(number))),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_keys() {
        let id = BlobId([7; 32]);
        let shard = ShardId(0x0102);
        let start = [&[b'B', 1, 2][..], &[7; 32]].concat();
        let record = [&start[..], b"r"].concat();
        let email = [&start[..], b"l\x01\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x09"].concat();
        let queue = [&start[..], b"l\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x03"].concat();
        let owner = Owner::Email(AccountId(5), 9);
        assert_eq!(record_key(shard, id), record);
        assert_eq!(link_key(shard, id, owner), email);
        assert_eq!(link_key(shard, id, Owner::Queue(3)), queue);
        assert_eq!(parse(&record), Some(Key::Record(id)));
        assert_eq!(parse(&email), Some(Key::Link(id, owner)));
        assert_eq!(parse(&queue), Some(Key::Link(id, Owner::Queue(3))));
        for end in 0..record.len() {
            assert_eq!(parse(&record[..end]), None);
        }
        let (from, to) = links(shard, id);
        assert!(from < email && queue < to && !(from <= record && record < to));
    }
}
