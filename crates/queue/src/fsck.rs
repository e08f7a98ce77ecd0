//! Checks the queue of one shard: each message has both of its records, its
//! body and its places in the schedule, and nothing else is there.
//!
//! One snapshot, read in pages; memory does not grow with the queue.

use std::fmt;

use blobs::{BlobId, Blobs, Owner};
use engine::check::{Checker, Repair, Report, Severity};
use engine::{Order, ReadError, ShardId, Snapshot, Versioned};
use queue_model::QueueId;

use crate::ended;
use crate::error::QueueError;
use crate::intent::Intent;
use crate::keys;
use crate::limits::PAGE;
use crate::message::Message;
use crate::progress::Progress;
use crate::recover::after;
use crate::store::Queue;
use crate::told;

/// Something about the queue that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A key that this program does not write.
    StrangeKey(Vec<u8>),
    /// A message's record does not decode.
    Message(QueueId, String),
    /// A message's progress does not decode or does not fit the message.
    Progress(QueueId, String),
    /// A message has no progress.
    NoProgress(QueueId),
    /// A progress without a message.
    NoMessage(QueueId),
    /// The message's body is not there, or not linked.
    NoBody(QueueId, BlobId),
    /// A message is not in the schedule where it should be.
    NotScheduled(QueueId, Vec<u8>),
    /// A place in the schedule that belongs to no message.
    StrayDue(Vec<u8>),
    /// An attempt is noted that belongs to no message, or can't be read.
    StrayIntent(Vec<u8>),
    /// A record of how recipients ended can't be read.
    Ended(Vec<u8>, String),
    /// An outcome that is kept for somebody who wants to hear of it can't be read.
    Told(Vec<u8>, String),
    /// A note that a message was set aside, and nothing of that message is left.
    StrayAside(QueueId),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = engine::check::key_text;
        match self {
            Self::StrangeKey(key) => write!(f, "the key {} is none of the queue", text(key)),
            Self::Message(id, why) => write!(f, "message {id}: its record is damaged: {why}"),
            Self::Progress(id, why) => write!(f, "message {id}: its progress is damaged: {why}"),
            Self::NoProgress(id) => write!(f, "message {id}: its progress is missing"),
            Self::NoMessage(id) => write!(f, "message {id}: its record is missing"),
            Self::NoBody(id, blob) => write!(f, "message {id}: its body {blob} is missing"),
            Self::NotScheduled(id, _) => write!(f, "message {id} is not in the schedule"),
            Self::StrayDue(key) => write!(f, "the schedule's key {} is nobody's", text(key)),
            Self::StrayIntent(key) => write!(f, "the attempt {} is nobody's", text(key)),
            Self::Ended(key, why) => {
                write!(f, "the trace {} is damaged: {why}", text(key))
            }
            Self::Told(key, why) => {
                write!(f, "the outcome {} is damaged: {why}", text(key))
            }
            Self::StrayAside(id) => write!(f, "message {id} was set aside and is gone"),
        }
    }
}

impl Finding {
    /// The finding as everybody tells it.
    #[must_use]
    pub fn report(&self, shard: ShardId) -> Report {
        use Severity::{Leftover, Lost, Wrong};
        let (checker, severity, repair, means) = match self {
            Self::StrangeKey(_) => (
                Checker::KeyKnown,
                Leftover,
                Repair::SetAside,
                "nothing that this program knows of; was the store used by a newer one?",
            ),
            Self::Ended(..) => (
                Checker::RecordReadable,
                Leftover,
                Repair::SetAside,
                "`posthouse trace` does not tell how some recipients ended",
            ),
            Self::Told(..) => (
                Checker::RecordReadable,
                Leftover,
                Repair::SetAside,
                "a webhook does not hear what became of some recipients",
            ),
            Self::Message(..) => (
                Checker::RecordReadable,
                Lost,
                Repair::SetAside,
                "nobody knows for whom the message was; a repair sets it aside with its body, so that a person can send it on",
            ),
            Self::Progress(..) | Self::NoProgress(_) => (
                Checker::QueueComplete,
                Wrong,
                Repair::Rebuild,
                "the message waits and is not tried; a repair tries all of its recipients again",
            ),
            Self::NoMessage(_) => (
                Checker::QueueComplete,
                Lost,
                Repair::SetAside,
                "nobody knows for whom the message was",
            ),
            Self::NoBody(..) => (
                Checker::BlobPresent,
                Lost,
                Repair::SetAside,
                "the message can't be sent any more",
            ),
            Self::NotScheduled(..) => (
                Checker::QueueComplete,
                Wrong,
                Repair::Rebuild,
                "the message waits and is not tried",
            ),
            Self::StrayDue(_) | Self::StrayIntent(_) | Self::StrayAside(_) => (
                Checker::QueueComplete,
                Leftover,
                Repair::Rebuild,
                "nothing; it takes up space",
            ),
        };
        Report {
            checker,
            severity,
            repair,
            account: None,
            key: Some(self.key(shard)),
            what: self.to_string(),
            means,
        }
    }

    fn key(&self, shard: ShardId) -> Vec<u8> {
        match self {
            Self::StrangeKey(key)
            | Self::Ended(key, _)
            | Self::Told(key, _)
            | Self::NotScheduled(_, key)
            | Self::StrayDue(key)
            | Self::StrayIntent(key) => key.clone(),
            Self::Message(id, _) | Self::NoMessage(id) | Self::NoBody(id, _) => {
                keys::message(shard, *id)
            }
            Self::Progress(id, _) | Self::NoProgress(id) => keys::progress(shard, *id),
            Self::StrayAside(id) => keys::aside(shard, *id),
        }
    }
}

impl Queue {
    /// Checks the queue of a shard, as of one snapshot; tells each finding.
    ///
    /// # Errors
    /// The engine cannot read.
    pub async fn fsck(&self, shard: ShardId) -> Result<Vec<Finding>, QueueError> {
        let inner = std::sync::Arc::clone(&self.inner);
        let work = move || {
            let snapshot = inner.engine.snapshot(shard);
            let mut findings = Vec::new();
            check(&*snapshot, &inner.blobs, shard, &mut |finding| {
                findings.push(finding);
            })?;
            Ok(findings)
        };
        self.inner.runtime.blocking(work).await
    }
}

/// True if the queue's message `id` has this body. What can't be read counts
/// as a yes: too much is kept, never too little.
///
/// # Errors
/// The snapshot cannot be read.
pub fn names_blob(
    snapshot: &dyn Snapshot,
    shard: ShardId,
    id: QueueId,
    blob: BlobId,
) -> Result<bool, ReadError> {
    let record = snapshot.get(&keys::message(shard, id))?;
    Ok(record.is_some_and(|record| {
        Message::decode(&record.value).map_or(true, |message| message.blob == blob)
    }))
}

pub(crate) fn check(
    snapshot: &dyn Snapshot,
    blobs: &Blobs,
    shard: ShardId,
    tell: &mut dyn FnMut(Finding),
) -> Result<(), QueueError> {
    let start = engine::keys::queue(shard);
    let end = engine::keys::end_of(&start);
    for_each(snapshot, start, &end, &mut |key, record| {
        let kind = key.get(3).copied().unwrap_or_default();
        let id = keys::id_of(&key).filter(|_| has_length_of(&key, kind));
        match (kind, id) {
            (keys::MESSAGE, Some(id)) => {
                check_message(snapshot, blobs, (shard, id), &record, tell)?;
            }
            (keys::PROGRESS, Some(id)) => {
                if snapshot.get(&keys::message(shard, id))?.is_none() {
                    tell(Finding::NoMessage(id));
                }
            }
            (keys::DUE, _) => {
                if !is_due(snapshot, shard, &key, &record)? {
                    tell(Finding::StrayDue(key));
                }
            }
            (keys::INTENT, Some(id)) => {
                let known = snapshot.get(&keys::progress(shard, id))?.is_some();
                if !known || Intent::decode(id, &record.value).is_err() {
                    tell(Finding::StrayIntent(key));
                }
            }
            (keys::ASIDE, Some(id)) => {
                let parts = [keys::message(shard, id), keys::progress(shard, id)];
                if snapshot.get_many(&parts)?.iter().all(Option::is_none) {
                    tell(Finding::StrayAside(id));
                }
            }
            (keys::PAUSED, _) => {
                if crate::pause::parse(&key, &record.value).is_err() {
                    tell(Finding::StrangeKey(key));
                }
            }
            (keys::DRAIN, _) => {
                if key != keys::drain(shard) || crate::drain::parse(&record.value).is_err() {
                    tell(Finding::StrangeKey(key));
                }
            }
            (keys::ENDED, Some(_)) => {
                if let Err(error) = ended::decode(&key, &record.value) {
                    tell(Finding::Ended(key, error.to_string()));
                }
            }
            (keys::TOLD, _) => match told::named(&key) {
                Some((_, number)) => {
                    if let Err(error) = told::decode(number, &record.value) {
                        tell(Finding::Told(key, error.to_string()));
                    }
                }
                None => tell(Finding::StrangeKey(key)),
            },
            _ => tell(Finding::StrangeKey(key)),
        }
        Ok(())
    })
}

/// True if a key of the kind has as many bytes as those that are written.
fn has_length_of(key: &[u8], kind: u8) -> bool {
    key.len()
        == match kind {
            keys::INTENT => 16,
            keys::ENDED => 24,
            _ => 12,
        }
}

/// A message with what belongs to it.
fn check_message(
    snapshot: &dyn Snapshot,
    blobs: &Blobs,
    (shard, id): (ShardId, QueueId),
    record: &Versioned,
    tell: &mut dyn FnMut(Finding),
) -> Result<(), QueueError> {
    let message = match Message::decode(&record.value) {
        Ok(message) => message,
        Err(error) => {
            tell(Finding::Message(id, error.to_string()));
            return Ok(());
        }
    };
    let there = blobs.has_record(snapshot, shard, message.blob, message.blob_size)?;
    if !there || !blobs.has_link(snapshot, shard, message.blob, Owner::Queue(id.0))? {
        tell(Finding::NoBody(id, message.blob));
    }
    let Some(stored) = snapshot.get(&keys::progress(shard, id))? else {
        tell(Finding::NoProgress(id));
        return Ok(());
    };
    match fitting(&message, &stored.value) {
        Ok(progress) => {
            for (line, due_ms) in progress.lines(shard, &message.envelope) {
                let key = keys::due(&line, due_ms, id);
                if snapshot.get(&key)?.is_none() {
                    tell(Finding::NotScheduled(id, key));
                }
            }
        }
        Err(why) => tell(Finding::Progress(id, why)),
    }
    Ok(())
}

/// The progress, if it is one of this message.
pub(crate) fn fitting(message: &Message, record: &[u8]) -> Result<Progress, String> {
    let progress = Progress::decode(record).map_err(|error| error.to_string())?;
    if progress.recipients.len() != message.envelope.recipients.len() {
        return Err("it has another number of recipients than the message".into());
    }
    if progress.is_finished() {
        return Err("nothing is left to do, but the message is still there".into());
    }
    Ok(progress)
}

fn is_due(
    snapshot: &dyn Snapshot,
    shard: ShardId,
    key: &[u8],
    record: &Versioned,
) -> Result<bool, QueueError> {
    let Some((line, due_ms, id)) = keys::parse_due(key) else {
        return Ok(false);
    };
    let parts = [keys::message(shard, id), keys::progress(shard, id)];
    let mut found = snapshot.get_many(&parts)?.into_iter().flatten();
    let (Some(message), Some(progress)) = (found.next(), found.next()) else {
        return Ok(false);
    };
    // Of a message that can't be read the schedule is not known.
    let Ok(message) = Message::decode(&message.value) else {
        return Ok(true);
    };
    let Ok(progress) = fitting(&message, &progress.value) else {
        return Ok(true);
    };
    let known = record.value.as_ref() == keys::due_value(message.sender_tag());
    Ok(known && progress.lines(shard, &message.envelope).get(&line) == Some(&due_ms))
}

/// Calls `f` with each pair of a range, a page at a time.
pub(crate) fn for_each(
    snapshot: &dyn Snapshot,
    mut start: Vec<u8>,
    end: &[u8],
    f: &mut dyn FnMut(Vec<u8>, Versioned) -> Result<(), QueueError>,
) -> Result<(), QueueError> {
    loop {
        let page = snapshot.scan(&start, end, Order::Ascending, PAGE)?;
        let more = page.len() == PAGE;
        if let Some((last, _)) = page.last() {
            start = after(last);
        }
        for (key, record) in page {
            f(key, record)?;
        }
        if !more {
            return Ok(());
        }
    }
}
