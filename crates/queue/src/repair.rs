//! What a repair does to the queue: the schedule is made again from the records,
//! a lost progress begins anew, what can't be mended is set aside with its body.
//!
//! Every step is one commit with conditions on what was looked at: an attempt
//! that comes between wins, and the next check says what is left.

use std::collections::BTreeSet;
use std::sync::Arc;

use blobs::{BlobId, BlobReader, Blobs, Owner};
use engine::check::{Aside, Checker, Mended, SetAside};
use engine::{Batch, Expect, ShardId, Snapshot, SubmitError, Versioned};
use queue_model::{QueueId, State};
use thiserror::Error;

use crate::error::QueueError;
use crate::fsck::{Finding, fitting};
use crate::keys;
use crate::limits::{ASIDE_BODY_BYTES_MAX, REPAIR_ROUNDS};
use crate::message::Message;
use crate::progress::Progress;
use crate::store::{Due, Inner, Queue};

/// Why a repair did not come to its end. What it did before stays done.
#[derive(Debug, Error)]
pub enum RepairError {
    /// A record could not be set aside.
    #[error("a record could not be set aside: {0}")]
    Aside(#[from] std::io::Error),
    /// The queue could not be read or written.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl Queue {
    /// Mends the queue of a shard.
    ///
    /// # Errors
    /// See [`RepairError`].
    pub async fn repair(
        &self,
        shard: ShardId,
        aside: Arc<dyn Aside>,
    ) -> Result<Vec<Mended>, RepairError> {
        let mut mended = Vec::new();
        // Mending one thing may show another: a message that can be read again
        // has a schedule that can be looked at.
        for _ in 0..REPAIR_ROUNDS {
            let findings = self.fsck(shard).await?;
            if findings.is_empty() {
                break;
            }
            let (inner, aside) = (Arc::clone(&self.inner), Arc::clone(&aside));
            let work = move || {
                let repair = Repair {
                    inner: &inner,
                    shard,
                    aside: &*aside,
                };
                repair.run(&findings)
            };
            mended.extend(self.inner.runtime.blocking(work).await?);
        }
        Ok(mended)
    }
}

struct Repair<'a> {
    inner: &'a Inner,
    shard: ShardId,
    aside: &'a dyn Aside,
}

/// The records of a message, as of one snapshot.
struct Records {
    snapshot: Box<dyn Snapshot>,
    message: Option<Versioned>,
    progress: Option<Versioned>,
}

impl Repair<'_> {
    fn run(&self, findings: &[Finding]) -> Result<Vec<Mended>, RepairError> {
        let mut mended = Vec::new();
        let mut messages = BTreeSet::new();
        for finding in findings {
            match finding {
                Finding::StrangeKey(key) => {
                    self.take_out(key, Some((Checker::KeyKnown, &finding.to_string())))?;
                    mended.push(told(
                        Checker::KeyKnown,
                        "a key that is none of the queue was set aside",
                    ));
                }
                Finding::Ended(key, _) => {
                    self.take_out(key, Some((Checker::RecordReadable, &finding.to_string())))?;
                    mended.push(told(
                        Checker::RecordReadable,
                        "a trace that can't be read was set aside",
                    ));
                }
                Finding::Told(key, _) => {
                    self.take_out(key, Some((Checker::RecordReadable, &finding.to_string())))?;
                    mended.push(told(
                        Checker::RecordReadable,
                        "an outcome that can't be read was set aside",
                    ));
                }
                Finding::StrayDue(key) | Finding::StrayIntent(key) => {
                    if self.is_under_way(key) {
                        continue;
                    }
                    self.take_out(key, None)?;
                    mended.push(told(
                        Checker::QueueComplete,
                        "a place in the schedule or an attempt that was nobody's was removed",
                    ));
                }
                Finding::StrayAside(id) => {
                    self.take_out(&keys::aside(self.shard, *id), None)?;
                    mended.push(told(
                        Checker::QueueComplete,
                        "a note about a message that is gone was removed",
                    ));
                }
                Finding::Message(id, _)
                | Finding::Progress(id, _)
                | Finding::NoProgress(id)
                | Finding::NoMessage(id)
                | Finding::NoBody(id, _)
                | Finding::NotScheduled(id, _) => {
                    messages.insert(*id);
                }
            }
        }
        for id in messages {
            mended.extend(self.message(id)?);
        }
        Ok(mended)
    }

    /// True while this process makes the attempt that the key is about.
    fn is_under_way(&self, key: &[u8]) -> bool {
        key.get(3) == Some(&keys::INTENT)
            && keys::id_of(key).is_some_and(|id| !self.inner.leased(self.shard, id).is_empty())
    }

    /// Removes a key, after setting it aside if there is a reason to.
    fn take_out(&self, key: &[u8], why: Option<(Checker, &str)>) -> Result<(), RepairError> {
        let stored = self.inner.engine.snapshot(self.shard).get(key);
        let Some(stored) = stored.map_err(QueueError::from)? else {
            return Ok(());
        };
        if let Some((checker, why)) = why {
            self.keep(checker, key, &stored.value, why)?;
        }
        let mut batch = Batch::new();
        batch.expect(key.to_vec(), Expect::Version(stored.version));
        batch.delete(key.to_vec());
        self.submit(batch)?;
        Ok(())
    }

    fn keep(&self, checker: Checker, key: &[u8], value: &[u8], why: &str) -> std::io::Result<()> {
        self.aside.keep(&SetAside {
            checker,
            account: None,
            key,
            value,
            why,
        })
    }

    fn submit(&self, batch: Batch) -> Result<bool, RepairError> {
        match self.inner.engine.submit(batch) {
            Ok(ticket) => {
                ticket.done_blocking();
                Ok(true)
            }
            // Somebody changed it just now: the next round looks again.
            Err(SubmitError::Conflict { .. }) => Ok(false),
            Err(error) => Err(QueueError::from(error).into()),
        }
    }

    fn message(&self, id: QueueId) -> Result<Option<Mended>, RepairError> {
        let snapshot = self.inner.engine.snapshot(self.shard);
        let parts = [
            keys::message(self.shard, id),
            keys::progress(self.shard, id),
        ];
        let mut found = snapshot
            .get_many(&parts)
            .map_err(QueueError::from)?
            .into_iter();
        let records = Records {
            message: found.next().flatten(),
            progress: found.next().flatten(),
            snapshot,
        };
        let message = match &records.message {
            None => Err("its record is missing".to_owned()),
            Some(stored) => Message::decode(&stored.value)
                .map_err(|error| format!("its record is damaged: {error}")),
        };
        match message {
            Ok(message) => self.mend(id, &records, message),
            Err(why) => self.lose(id, &records, &why).map(Some),
        }
    }

    /// The message can be read: its body, its progress and its schedule are put right.
    fn mend(
        &self,
        id: QueueId,
        records: &Records,
        mut message: Message,
    ) -> Result<Option<Mended>, RepairError> {
        let (shard, blobs) = (self.shard, &*self.inner.blobs);
        let mut batch = self.conditions(id, records);
        let mut what = Vec::new();
        let Ok(body) = blobs.open(shard, message.blob) else {
            return self.lose(id, records, "its body is lost").map(Some);
        };
        if body.size() != message.blob_size {
            message.blob_size = body.size();
            batch.put(keys::message(shard, id), message.encode());
            what.push("the size of its body was put right");
        }
        let owner = Owner::Queue(id.0);
        let linked = blobs.has_link(&*records.snapshot, shard, message.blob, owner);
        if !linked.map_err(QueueError::from)? {
            blobs
                .stage_missing_link(&mut batch, (&*records.snapshot, shard), message.blob, owner)
                .map_err(QueueError::from)?;
            what.push("its body is linked again");
        }
        let progress = records
            .progress
            .as_ref()
            .map(|stored| fitting(&message, &stored.value));
        let progress = match progress {
            Some(Ok(progress)) => progress,
            Some(Err(_)) if self.is_finished(records) => {
                return self.lose(id, records, "nothing is left to do").map(Some);
            }
            other => {
                if let (Some(Err(why)), Some(stored)) = (other, &records.progress) {
                    let key = keys::progress(shard, id);
                    self.keep(Checker::RecordReadable, &key, &stored.value, &why)?;
                }
                what.push("its progress was lost: all of its recipients are tried again");
                self.begin_anew(id, &message, &mut batch)
            }
        };
        let mut missing = 0;
        for (line, due_ms) in progress.lines(shard, &message.envelope) {
            let key = keys::due(&line, due_ms, id);
            if records
                .snapshot
                .get(&key)
                .map_err(QueueError::from)?
                .is_none()
            {
                let sender = message.sender_tag();
                batch.put(key, keys::due_value(sender));
                missing += 1;
                let news = Arc::clone(&self.inner.news);
                let due = Due::new(line, due_ms, id, sender);
                batch.on_visible(move |_| news.add(due));
            }
        }
        if missing > 0 && what.is_empty() {
            what.push("it is in the schedule again");
        }
        if what.is_empty() || !self.submit(batch)? {
            return Ok(None);
        }
        Ok(Some(told(
            Checker::QueueComplete,
            format!("message {id}: {}", what.join("; ")),
        )))
    }

    fn is_finished(&self, records: &Records) -> bool {
        let progress = records.progress.as_ref();
        progress.is_some_and(|stored| {
            Progress::decode(&stored.value).is_ok_and(|progress| progress.is_finished())
        })
    }

    /// Every recipient is tried again: a copy too many is better than none.
    fn begin_anew(&self, id: QueueId, message: &Message, batch: &mut Batch) -> Progress {
        let due_ms = self.inner.runtime.now().unix_ms;
        let progress = Progress::new(
            message.envelope.recipients.len(),
            State::Todo { due_ms },
            Some("the record of earlier attempts was damaged"),
        );
        batch.put(keys::progress(self.shard, id), progress.encode());
        batch.delete(keys::aside(self.shard, id));
        progress
    }

    fn conditions(&self, id: QueueId, records: &Records) -> Batch {
        let mut batch = Batch::new();
        let expect = |stored: &Option<Versioned>| {
            stored
                .as_ref()
                .map_or(Expect::Absent, |stored| Expect::Version(stored.version))
        };
        batch.expect(keys::message(self.shard, id), expect(&records.message));
        batch.expect(keys::progress(self.shard, id), expect(&records.progress));
        batch
    }

    /// The message can't be sent any more: its records and its body are set aside.
    fn lose(&self, id: QueueId, records: &Records, why: &str) -> Result<Mended, RepairError> {
        let shard = self.shard;
        let mut batch = self.conditions(id, records);
        for (key, stored) in [
            (keys::message(shard, id), &records.message),
            (keys::progress(shard, id), &records.progress),
        ] {
            if let Some(stored) = stored {
                let why = format!("queued message {id}: {why}");
                self.keep(Checker::QueueComplete, &key, &stored.value, &why)?;
            }
            batch.delete(key);
        }
        batch.delete(keys::aside(shard, id));
        let owner = Owner::Queue(id.0);
        let owned = self
            .inner
            .blobs
            .owned_by(&*records.snapshot, shard, &BTreeSet::from([owner]));
        for (blob, _) in owned.map_err(QueueError::from)? {
            self.keep_body(id, blob)?;
            self.inner.blobs.unlink(&mut batch, shard, blob, owner);
        }
        let had_progress = records.progress.is_some();
        if self.submit(batch)? && had_progress {
            self.inner.messages.sub(1);
        }
        Ok(told(
            Checker::QueueComplete,
            format!("message {id} was set aside: {why}"),
        ))
    }

    fn keep_body(&self, id: QueueId, blob: BlobId) -> Result<(), RepairError> {
        let body = read_body(&self.inner.blobs, self.shard, blob);
        if let Some(body) = body {
            let key = Blobs::record_key(self.shard, blob);
            let why = format!(
                "the body of the queued message {id}, without the fields that were put in front of it"
            );
            self.keep(Checker::QueueComplete, &key, &body, &why)?;
        }
        Ok(())
    }
}

/// What can be read of a body, from its beginning, up to a bound.
fn read_body(blobs: &Blobs, shard: ShardId, blob: BlobId) -> Option<Vec<u8>> {
    let mut reader: BlobReader = blobs.open(shard, blob).ok()?;
    let mut body = Vec::new();
    while body.len() < ASIDE_BODY_BYTES_MAX
        && let Ok(Some(chunk)) = reader.next_chunk()
    {
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

fn told(checker: Checker, what: impl Into<String>) -> Mended {
    Mended {
        checker,
        account: None,
        what: what.into(),
    }
}
