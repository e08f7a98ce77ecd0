//! Is what is stored what was given? Reads every blob of a shard.

use crate::id::BlobId;
use crate::link::{self, Key, Owner};
use crate::record::Record;
use crate::store::{BlobError, Blobs};
use crate::unlinked::{self, Candidate};
use bytes::Bytes;
use engine::check::{Checker, Repair, Report, Severity};
use engine::{Order, ReadError, ShardId, Snapshot, keys};
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
    /// Nobody uses a blob, and collection does not know of it.
    Forgotten(BlobId),
    /// A blob was marked dying, and outlived its grace time.
    Overdue(BlobId),
    /// A link of an owner that is gone or has another body.
    NoOwner(BlobId, Owner),
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
            Self::Forgotten(id) => {
                write!(f, "the body {id} is used by nobody and was not collected")
            }
            Self::Overdue(id) => {
                write!(
                    f,
                    "the body {id} is used by nobody and outlived its grace time"
                )
            }
            Self::NoOwner(id, Owner::Email(account, email)) => {
                write!(
                    f,
                    "the body {id} is kept for email {email} of account {account}, which has not this body"
                )
            }
            Self::NoOwner(id, Owner::Queue(message)) => {
                write!(
                    f,
                    "the body {id} is kept for the queued message {message}, which has not this body"
                )
            }
        }
    }
}

impl Finding {
    /// The finding as everybody tells it.
    #[must_use]
    pub fn report(&self, shard: ShardId) -> Report {
        use Severity::{Leftover, Lost};
        let account = |owner: &Owner| match owner {
            Owner::Email(account, _) => Some(account.0),
            Owner::Queue(_) => None,
        };
        let (checker, severity, repair, account, key, means) = match self {
            Self::StrangeKey(key) => (
                Checker::KeyKnown,
                Leftover,
                Repair::SetAside,
                None,
                key.clone(),
                "nothing that this program knows of; was the store used by a newer one?",
            ),
            Self::Unreadable(id, _) | Self::OtherBytes(id) => (
                Checker::BodyIsItsName,
                Lost,
                Repair::SetAside,
                None,
                link::record_key(shard, *id),
                "the text of every message with this body is damaged or lost; a repair frees the name, so that the same message can be stored again",
            ),
            Self::Dangling(id, owner) => (
                Checker::BlobPresent,
                Lost,
                Repair::Rebuild,
                account(owner),
                link::link_key(shard, *id, *owner),
                "the text of the message is lost",
            ),
            Self::Forgotten(id) | Self::Overdue(id) => (
                Checker::BlobOwned,
                Leftover,
                Repair::Rebuild,
                None,
                link::record_key(shard, *id),
                "nothing; the body takes up space",
            ),
            Self::NoOwner(id, owner) => (
                Checker::BlobOwned,
                Leftover,
                Repair::Rebuild,
                account(owner),
                link::link_key(shard, *id, *owner),
                "nothing; the body takes up space",
            ),
        };
        Report {
            checker,
            severity,
            repair,
            account,
            key: Some(key),
            what: self.to_string(),
            means,
        }
    }
}

/// Says of an owner whether it has this body; the snapshot is of the blob's shard.
pub type Names<'a> = &'a dyn Fn(&dyn Snapshot, BlobId, Owner) -> Result<bool, ReadError>;

/// Checks that each link's owner has this body, as of one snapshot.
///
/// # Errors
/// The index cannot be read at all.
pub fn fsck_owners(
    blobs: &Blobs,
    shard: ShardId,
    names: Names<'_>,
) -> Result<Vec<Finding>, BlobError> {
    let snapshot = blobs.engine().snapshot(shard);
    let mut findings = Vec::new();
    let space = keys::blob(shard);
    let end = keys::end_of(&space);
    for_each(&*snapshot, space, &end, |key, _| {
        if let Some(Key::Link(id, owner)) = link::parse(&key)
            && !names(&*snapshot, id, owner)?
        {
            findings.push(Finding::NoOwner(id, owner));
        }
        Ok(())
    })?;
    Ok(findings)
}

impl Blobs {
    /// True if `owner` uses the blob in the snapshot, which is of `shard`.
    ///
    /// # Errors
    /// The snapshot cannot be read.
    pub fn has_link(
        &self,
        snapshot: &dyn Snapshot,
        shard: ShardId,
        id: BlobId,
        owner: Owner,
    ) -> Result<bool, BlobError> {
        Ok(snapshot.get(&link::link_key(shard, id, owner))?.is_some())
    }

    /// True if the snapshot, which is of `shard`, has the blob with this size.
    /// Its bytes are not read.
    ///
    /// # Errors
    /// The snapshot cannot be read.
    pub fn has_record(
        &self,
        snapshot: &dyn Snapshot,
        shard: ShardId,
        id: BlobId,
        size: u64,
    ) -> Result<bool, BlobError> {
        let stored = snapshot.get(&link::record_key(shard, id))?;
        let record = stored.and_then(|stored| Record::decode(&stored.value).ok());
        Ok(record.is_some_and(|record| record.size == size))
    }
}

/// Pairs read at a time.
const PAGE: usize = 1000;

/// Checks every blob and link of a shard as of one snapshot. Blobs that were
/// marked dying before `overdue_ms` must be gone: a caller that knows when
/// collection last ran says so.
///
/// # Errors
/// The index cannot be read at all.
pub fn fsck(
    blobs: &Blobs,
    shard: ShardId,
    overdue_ms: Option<u64>,
) -> Result<Vec<Finding>, BlobError> {
    let snapshot = blobs.engine().snapshot(shard);
    let mut check = Check {
        blobs,
        snapshot: &*snapshot,
        shard,
        linked: None,
        findings: Vec::new(),
    };
    let space = keys::blob(shard);
    let end = keys::end_of(&space);
    for_each(&*snapshot, space, &end, |key, _| check.blob(key))?;
    let (space, end) = unlinked::all(shard);
    for_each(&*snapshot, space, &end, |key, value| {
        check.candidate(key, &value, overdue_ms)
    })?;
    Ok(check.findings)
}

fn for_each(
    snapshot: &dyn Snapshot,
    mut start: Vec<u8>,
    end: &[u8],
    mut visit: impl FnMut(Vec<u8>, Bytes) -> Result<(), BlobError>,
) -> Result<(), BlobError> {
    loop {
        let pairs = snapshot.scan(&start, end, Order::Ascending, PAGE)?;
        let Some((last, _)) = pairs.last() else {
            return Ok(());
        };
        start.clone_from(last);
        start.push(0);
        for (key, stored) in pairs {
            visit(key, stored.value)?;
        }
    }
}

struct Check<'a> {
    blobs: &'a Blobs,
    snapshot: &'a dyn Snapshot,
    shard: ShardId,
    /// The last blob that a link was seen of: links come before the record.
    linked: Option<BlobId>,
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn blob(&mut self, key: Vec<u8>) -> Result<(), BlobError> {
        let finding = match link::parse(&key) {
            None => Some(Finding::StrangeKey(key)),
            Some(Key::Record(id)) => {
                self.owner(id)?;
                match name_of(self.blobs, self.shard, id) {
                    Ok(name) => (name != id).then_some(Finding::OtherBytes(id)),
                    // Deleted since the snapshot was taken.
                    Err(BlobError::NoSuchBlob) => None,
                    Err(why) => Some(Finding::Unreadable(id, why.to_string())),
                }
            }
            Some(Key::Link(id, owner)) => {
                self.linked = Some(id);
                let record = self.snapshot.get(&link::record_key(self.shard, id))?;
                record.is_none().then_some(Finding::Dangling(id, owner))
            }
        };
        self.findings.extend(finding);
        Ok(())
    }

    /// A blob is used by somebody, or collection knows of it.
    fn owner(&mut self, id: BlobId) -> Result<(), BlobError> {
        if self.linked != Some(id) && self.snapshot.get(&unlinked::key(self.shard, id))?.is_none() {
            self.findings.push(Finding::Forgotten(id));
        }
        Ok(())
    }

    fn candidate(
        &mut self,
        key: Vec<u8>,
        value: &[u8],
        overdue_ms: Option<u64>,
    ) -> Result<(), BlobError> {
        let Some(id) = unlinked::parse(&key) else {
            self.findings.push(Finding::StrangeKey(key));
            return Ok(());
        };
        let Ok(candidate) = Candidate::decode(value) else {
            self.findings.push(Finding::StrangeKey(key));
            return Ok(());
        };
        if let (Candidate::Dying { since_ms }, Some(overdue_ms)) = (candidate, overdue_ms)
            && since_ms < overdue_ms
            && self
                .snapshot
                .get(&link::record_key(self.shard, id))?
                .is_some()
        {
            self.findings.push(Finding::Overdue(id));
        }
        Ok(())
    }
}

pub(crate) fn name_of(blobs: &Blobs, shard: ShardId, id: BlobId) -> Result<BlobId, BlobError> {
    let mut reader = blobs.open(shard, id)?;
    let mut hasher = blake3::Hasher::new();
    while let Some(chunk) = reader.next_chunk()? {
        hasher.update(&chunk);
    }
    Ok(BlobId(*hasher.finalize().as_bytes()))
}
