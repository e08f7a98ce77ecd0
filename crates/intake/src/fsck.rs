//! Checks the messages on their way into several shards: their records can be
//! read, and every mark belongs to one.

use crate::record::{self, Record};
use crate::store::Intake;
use crate::traced;
use blobs::{BlobId, Owner};
use engine::check::{Checker, Repair, Report, Severity};
use engine::{Order, ReadError, ShardId, Snapshot, keys};
use queue_model::QueueId;

/// Pairs read at a time.
const PAGE: usize = 256;

impl Intake {
    /// Checks one shard's part, as of one snapshot.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn fsck(&self, shard: ShardId) -> Result<Vec<Report>, ReadError> {
        let engine = self.inner.ports.engine.clone();
        let work = move || check(&*engine.snapshot(shard), shard);
        self.inner.ports.runtime.blocking(work).await
    }
}

/// True if a message on its way in has this body, as far as can be read.
///
/// # Errors
/// The snapshot, which is of the blob's shard, cannot be read.
pub fn names_blob(
    snapshot: &dyn Snapshot,
    shard: ShardId,
    owner: Owner,
    blob: BlobId,
) -> Result<bool, ReadError> {
    let Owner::Queue(id) = owner else {
        return Ok(false);
    };
    let id = QueueId(id);
    let stored = snapshot.get(&record::record_key(shard, id))?;
    Ok(stored.is_some_and(|stored| {
        Record::decode(id, &stored.value).map_or(true, |record| record.blob == blob)
    }))
}

/// What is wrong with the messages on their way into a shard.
///
/// # Errors
/// The snapshot cannot be read.
pub fn check(snapshot: &dyn Snapshot, shard: ShardId) -> Result<Vec<Report>, ReadError> {
    let mut reports = Vec::new();
    let mut start = keys::intake(shard);
    let end = keys::end_of(&start);
    loop {
        let pairs = snapshot.scan(&start, &end, Order::Ascending, PAGE)?;
        let Some((last, _)) = pairs.last() else {
            return Ok(reports);
        };
        start.clone_from(last);
        start.push(0);
        for (key, stored) in pairs {
            reports.extend(check_one(&key, &stored.value));
        }
    }
}

fn check_one(key: &[u8], value: &bytes::Bytes) -> Option<Report> {
    let (checker, severity, what, means) = match (key.get(3)?, key.len(), record::id_of(key)) {
        (b'r', 12, Some(id)) => {
            let error = Record::decode(id, value).err()?;
            (
                Checker::RecordReadable,
                Severity::Lost,
                format!("message {id} on its way in: its record is damaged: {error}"),
                "some of its recipients may not have got the message; a repair sets it aside, so that a person can send it on",
            )
        }
        (b'a', 12, Some(id)) => {
            let error = traced::check(key, value)?;
            (
                Checker::RecordReadable,
                Severity::Leftover,
                format!("the trace of message {id} is damaged: {error}"),
                "`posthouse trace` does not find it",
            )
        }
        (b'm', 12, Some(id)) | (b'q', 20, Some(id)) => {
            let error = record::home_of(value).err()?;
            (
                Checker::RecordReadable,
                Severity::Leftover,
                format!("the mark of message {id} is damaged: {error}"),
                "nothing; it takes up space",
            )
        }
        _ => (
            Checker::KeyKnown,
            Severity::Leftover,
            format!(
                "the key {} is none of the intake",
                engine::check::key_text(key)
            ),
            "nothing that this program knows of; was the store used by a newer one?",
        ),
    };
    Some(Report {
        checker,
        severity,
        repair: Repair::SetAside,
        account: None,
        key: Some(key.to_vec()),
        what,
        means,
    })
}
