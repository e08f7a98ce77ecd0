//! Blobs that lost a link: one small key each, so that collection never has to
//! look at all of them.
//!
//! Whoever removes a link writes the key in the same commit. Collection removes
//! it with the blob, or when the blob turns out to be in use.
//!
//! | key, behind the space `U` and the shard | |
//! |--:|---|
//! | 32 | the blob's id |
//!
//! | value | |
//! |---|---|
//! | empty | a link was removed; nobody has looked since |
//! | version | 1 byte, 1 |
//! | since | 8 bytes, high byte first: when the blob was marked dying, in milliseconds of Unix time |

use crate::id::BlobId;
use engine::{ShardId, keys};
use wire::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;

/// What is kept about a blob that lost a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Candidate {
    /// A link was removed; nobody has looked since.
    New,
    /// Marked dying at this moment.
    Dying { since_ms: u64 },
}

impl Candidate {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Writer::new();
        if let Self::Dying { since_ms } = self {
            out.u8(VERSION).u64_be(since_ms);
        }
        out.finish()
    }

    pub(crate) fn decode(stored: &[u8]) -> Result<Self, DecodeError> {
        if stored.is_empty() {
            return Ok(Self::New);
        }
        let mut reader = Reader::new(stored);
        match reader.u8()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let since_ms = reader.u64_be()?;
        reader.finish()?;
        Ok(Self::Dying { since_ms })
    }
}

pub(crate) fn key(shard: ShardId, id: BlobId) -> Vec<u8> {
    let mut key = keys::unlinked(shard);
    key.extend_from_slice(&id.0);
    key
}

/// The range of all these keys of a shard.
pub(crate) fn all(shard: ShardId) -> (Vec<u8>, Vec<u8>) {
    let start = keys::unlinked(shard);
    let end = keys::end_of(&start);
    (start, end)
}

/// Reads a key; `None` when it is none of ours.
pub(crate) fn parse(key: &[u8]) -> Option<BlobId> {
    key.get(3..)?.try_into().ok().map(BlobId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_key() {
        let id = BlobId([7; 32]);
        let golden = [&[b'U', 1, 2][..], &[7; 32]].concat();
        assert_eq!(key(ShardId(0x0102), id), golden);
        assert_eq!(parse(&golden), Some(id));
        assert_eq!(parse(&golden[..34]), None);
        let (start, end) = all(ShardId(0x0102));
        assert!(start < golden && golden < end);
    }

    #[test]
    fn golden_values() {
        let dying = Candidate::Dying { since_ms: 0x0203 };
        assert_eq!(Candidate::New.encode(), b"");
        assert_eq!(dying.encode(), b"\x01\0\0\0\0\0\0\x02\x03");
        assert_eq!(Candidate::decode(b""), Ok(Candidate::New));
        assert_eq!(Candidate::decode(&dying.encode()), Ok(dying));
        assert_eq!(Candidate::decode(b"\x09"), Err(DecodeError::Version(9)));
        assert!(Candidate::decode(b"\x01\0\0").is_err());
    }
}
