//! Is what is stored what was given? Reads every blob of a shard.

use crate::id::BlobId;
use crate::link::{self, Key, Owner};
use crate::store::{BlobError, Blobs};
use engine::{Order, ShardId, Snapshot, keys};
use std::fmt;

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A key in the blobs' space that is none.
    StrangeKey(Vec<u8>),
    /// A blob cannot be read; the text says why.
    Unreadable(BlobId, String),
    /// A blob's bytes are not those that its name says.
    OtherBytes(BlobId),
    /// A link names a blob that is not there.
    Dangling(BlobId, Owner),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StrangeKey(key) => write!(f, "the key {key:02x?} belongs to no body"),
            Self::Unreadable(id, why) => write!(f, "the body {id} cannot be read: {why}"),
            Self::OtherBytes(id) => write!(f, "the body {id} holds other bytes than were given"),
            Self::Dangling(id, Owner::Email(account, email)) => {
                write!(
                    f,
                    "email {email} of account {account} needs the body {id}, which is gone"
                )
            }
            Self::Dangling(id, Owner::Queue(message)) => {
                write!(
                    f,
                    "the queued message {message} needs the body {id}, which is gone"
                )
            }
        }
    }
}

/// Pairs read at a time.
const PAGE: usize = 1000;

/// Checks every blob and link of a shard as of one snapshot.
///
/// # Errors
/// The index cannot be read at all.
pub fn fsck(blobs: &Blobs, shard: ShardId) -> Result<Vec<Finding>, BlobError> {
    let snapshot = blobs.engine().snapshot(shard);
    let mut findings = Vec::new();
    let mut start = keys::blob(shard);
    let end = keys::end_of(&start);
    loop {
        let pairs = snapshot.scan(&start, &end, Order::Ascending, PAGE)?;
        let Some((last, _)) = pairs.last() else {
            return Ok(findings);
        };
        start.clone_from(last);
        start.push(0);
        for (key, _) in pairs {
            findings.extend(check(blobs, &*snapshot, shard, key)?);
        }
    }
}

fn check(
    blobs: &Blobs,
    snapshot: &dyn Snapshot,
    shard: ShardId,
    key: Vec<u8>,
) -> Result<Option<Finding>, BlobError> {
    Ok(match link::parse(&key) {
        None => Some(Finding::StrangeKey(key)),
        Some(Key::Record(id)) => match name_of(blobs, shard, id) {
            Ok(name) => (name != id).then_some(Finding::OtherBytes(id)),
            // Deleted since the snapshot was taken.
            Err(BlobError::NoSuchBlob) => None,
            Err(why) => Some(Finding::Unreadable(id, why.to_string())),
        },
        Some(Key::Link(id, owner)) => {
            let record = snapshot.get(&link::record_key(shard, id))?;
            record.is_none().then_some(Finding::Dangling(id, owner))
        }
    })
}

fn name_of(blobs: &Blobs, shard: ShardId, id: BlobId) -> Result<BlobId, BlobError> {
    let mut reader = blobs.open(shard, id)?;
    let mut hasher = blake3::Hasher::new();
    while let Some(chunk) = reader.next_chunk()? {
        hasher.update(&chunk);
    }
    Ok(BlobId(*hasher.finalize().as_bytes()))
}
