//! A message for several shards.
//!
//! The first commit, in the shard that holds the body, has the intake record,
//! the body, and that shard's part: from then on the message is ours. Each
//! further part is one commit with a mark that says it was done, so that it can
//! be repeated. When all parts are done the record goes, then the marks.
//!
//! After a crash [`Intake::recover`] finds the records and goes on.

use crate::commit::{Committed, Extra, Failing, Refusals};
use crate::limits::{RECOVER_PAGE, SPREAD_RETRY};
use crate::plan::{Body, Plan};
use crate::receiving::of_blob;
use crate::record::{self, Record};
use crate::store::{Inner, Intake};
use crate::traced;
use blobs::{BlobError, BlobId, Owner, StagedBlob};
use bytes::Bytes;
use engine::{Batch, Expect, Order, ReadError, ShardId, Versioned};
use envelope::Reply;
use queue::QueueError;
use queue_model::QueueId;
use report_format::limits::RETURNED_HEADER_BYTES_MAX;
use runtime::Monotonic;
use std::sync::Arc;

/// The record, in the first commit.
struct Begin {
    home: ShardId,
    record: Record,
}

impl Extra for Begin {
    fn stage(&self, inner: &Inner, batch: &mut Batch) -> Result<(), QueueError> {
        let id = self.record.common.id;
        let key = record::record_key(self.home, id);
        batch.expect(key.clone(), Expect::Absent);
        batch.put(key, self.record.encode());
        let owner = Owner::Queue(id.0);
        inner
            .ports
            .blobs
            .link(batch, self.home, self.record.blob, owner);
        Ok(())
    }
}

/// The mark, in each further commit.
struct Mark {
    home: ShardId,
    shard: ShardId,
    id: QueueId,
}

impl Extra for Mark {
    fn stage(&self, _: &Inner, batch: &mut Batch) -> Result<(), QueueError> {
        let key = record::mark_key(self.shard, self.id);
        batch.expect(key.clone(), Expect::Absent);
        batch.put(key, record::mark(self.home));
        Ok(())
    }

    fn done_key(&self) -> Option<Vec<u8>> {
        Some(record::mark_key(self.shard, self.id))
    }
}

impl Intake {
    /// Finishes what was being spread over shards when the process ended.
    /// Call it once, before the doors open. Gives the number of messages.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn recover(&self) -> Result<usize, ReadError> {
        let inner = &self.inner;
        let mut found = 0;
        for shard in (0..inner.ports.engine.shards()).map(ShardId) {
            let (mut start, end) = record::records(shard);
            loop {
                let page = inner.page(shard, start.clone(), end.clone()).await?;
                let Some((last, _)) = page.last() else {
                    break;
                };
                start.clone_from(last);
                start.push(0);
                for (key, stored) in page {
                    inner.resume(shard, &key, &stored).await;
                    found += 1;
                }
            }
        }
        inner.drop_marks().await?;
        Ok(found)
    }

    /// Waits for parts of messages that are being tried again.
    pub async fn close(&self) {
        self.inner.tasks.wait().await;
    }
}

impl Inner {
    /// Makes the message durable, then gives each shard its part.
    pub(crate) async fn spread(
        self: &Arc<Self>,
        mut plan: Plan,
        mut body: Body,
        until: Monotonic,
    ) -> Result<Refusals, Reply> {
        let home = plan.home;
        let begin = Begin {
            home,
            record: Record {
                common: plan.common.clone(),
                received_at: body.received_at,
                blob: body.blob.id,
                blob_size: body.blob.size,
                digest: body.digest.clone(),
                parts: plan.parts.clone(),
            },
        };
        let part = plan.parts.remove(&home).unwrap_or_default();
        if let Some(accepted) = &mut body.traced {
            let others = plan.parts.values();
            accepted.went = others
                .flat_map(|part| traced::delivered(part, &[]))
                .collect();
        }
        let failing = failing(plan.common.each);
        let first = self
            .commit_part(
                &plan.common,
                &part,
                &mut body,
                failing,
                Some(&begin),
                Some(until),
            )
            .await?;
        let mut refusals = match first {
            Committed::Done(refusals) => refusals,
            Committed::Before => Vec::new(),
        };
        let mut record = begin.record;
        record.parts = plan.parts;
        let runtime = &self.ports.runtime;
        let left = until.since(runtime.monotonic());
        let delivering = Box::pin(self.deliver_parts(home, &record));
        let reason = match runtime.timeout(left, delivering).await {
            Ok(Ok(more)) => {
                refusals.extend(more);
                return Ok(refusals);
            }
            Ok(Err(reply)) => reply.to_line(),
            // Parts that are done have their marks; what was submitted goes on.
            Err(_) => "no time left".to_owned(),
        };
        tracing::warn!(id = %record.common.id, reason, "a message waits for some shards");
        self.retry_later(home, record);
        Ok(refusals)
    }

    /// Gives each shard but the home one its part; ends with the record.
    async fn deliver_parts(&self, home: ShardId, record: &Record) -> Result<Refusals, Reply> {
        let mut refusals = Vec::new();
        for (&shard, part) in record.parts.iter().filter(|(shard, _)| **shard != home) {
            let (blob, header) = self
                .copy_blob(home, record.blob, shard, part.tells())
                .await
                .map_err(|e| of_blob(&e))?;
            let mut body = Body {
                blob,
                digest: record.digest.clone(),
                received_at: record.received_at,
                header,
                traced: None,
            };
            let id = record.common.id;
            let mark = Mark { home, shard, id };
            let failing = failing(record.common.each);
            let done =
                self.commit_part(&record.common, part, &mut body, failing, Some(&mark), None);
            if let Committed::Done(more) = done.await? {
                refusals.extend(more);
            }
        }
        self.end(home, record).await;
        Ok(refusals)
    }

    /// The body in another shard's journal, named by nobody yet; with its
    /// header's beginning, if that is wanted.
    pub(crate) async fn copy_blob(
        &self,
        home: ShardId,
        id: BlobId,
        shard: ShardId,
        wants_header: bool,
    ) -> Result<(StagedBlob, Bytes), BlobError> {
        let blobs = Arc::clone(&self.ports.blobs);
        let copy = move || {
            let mut reader = blobs.open(home, id)?;
            let mut writer = blobs.writer(shard);
            let mut header = Bytes::new();
            while let Some(chunk) = reader.next_chunk()? {
                if writer.size() == 0 && wants_header {
                    header = header_of(&chunk);
                }
                writer.push(&chunk)?;
            }
            Ok((writer.finish()?, header))
        };
        self.ports.runtime.blocking(copy).await
    }

    /// Removes the record, then the marks. What fails here is done at the next start.
    async fn end(&self, home: ShardId, record: &Record) {
        let id = record.common.id;
        let mut batch = Batch::new();
        batch.delete(record::record_key(home, id));
        self.ports
            .blobs
            .unlink(&mut batch, home, record.blob, Owner::Queue(id.0));
        if let Err(error) = self.submit(batch).await {
            tracing::warn!(id = %id, %error, "an intake record is left behind");
            return;
        }
        for &shard in record.parts.keys().filter(|shard| **shard != home) {
            let mut batch = Batch::new();
            batch.delete(record::mark_key(shard, id));
            // Nobody waits for it: a mark that is left is found at the next start.
            let _ = self.ports.engine.submit(batch);
        }
    }

    fn retry_later(self: &Arc<Self>, home: ShardId, record: Record) {
        let inner = Arc::clone(self);
        self.tasks.spawn(&self.ports.runtime, async move {
            let shutdown = inner.ports.runtime.shutdown();
            // At shutdown the record stays and is found at the next start.
            while !shutdown.is_draining() {
                let draining = shutdown.draining();
                let _ = inner.ports.runtime.timeout(SPREAD_RETRY, draining).await;
                if shutdown.is_draining() || inner.deliver_promised(home, &record).await {
                    break;
                }
            }
        });
    }

    /// Goes on with a message that was accepted: nothing is refused any more.
    async fn deliver_promised(&self, home: ShardId, record: &Record) -> bool {
        let mut record = record.clone();
        record.common.each = false;
        match self.deliver_parts(home, &record).await {
            Ok(_) => true,
            Err(reply) => {
                let reason = reply.to_line();
                tracing::warn!(id = %record.common.id, reason, "a message waits for some shards");
                false
            }
        }
    }

    async fn resume(self: &Arc<Self>, home: ShardId, key: &[u8], stored: &Versioned) {
        let decoded = record::id_of(key)
            .ok_or(wire::codec::DecodeError::Truncated)
            .and_then(|id| Record::decode(id, &stored.value));
        match decoded {
            Ok(record) => {
                if !self.deliver_promised(home, &record).await {
                    self.retry_later(home, record);
                }
            }
            // One bad record stops nothing else; fsck finds it.
            Err(error) => tracing::error!(?key, %error, "an intake record is damaged"),
        }
    }

    /// Removes marks whose record is gone.
    async fn drop_marks(&self) -> Result<(), ReadError> {
        for shard in (0..self.ports.engine.shards()).map(ShardId) {
            let (start, end) = record::marks(shard);
            for (key, stored) in self.page(shard, start, end).await? {
                let home = record::home_of(&stored.value).ok();
                let Some((home, id)) = home.zip(record::id_of(&key)) else {
                    continue;
                };
                let engine = Arc::clone(&self.ports.engine);
                let record_key = record::record_key(home, id);
                let read = move || engine.snapshot(home).get(&record_key);
                if self.ports.runtime.blocking(read).await?.is_none() {
                    let mut batch = Batch::new();
                    batch.delete(key);
                    let _ = self.ports.engine.submit(batch);
                }
            }
        }
        Ok(())
    }

    async fn page(
        &self,
        shard: ShardId,
        start: Vec<u8>,
        end: Vec<u8>,
    ) -> Result<Vec<(Vec<u8>, Versioned)>, ReadError> {
        let engine = Arc::clone(&self.ports.engine);
        let scan = move || {
            let snapshot = engine.snapshot(shard);
            snapshot.scan(&start, &end, Order::Ascending, RECOVER_PAGE)
        };
        self.ports.runtime.blocking(scan).await
    }
}

/// The header at the start of a message, as far as a report returns it.
fn header_of(start: &[u8]) -> Bytes {
    let start = &start[..start.len().min(RETURNED_HEADER_BYTES_MAX)];
    let end = memchr::memmem::find(start, b"\r\n\r\n").map_or(start.len(), |at| at + 2);
    Bytes::copy_from_slice(&start[..end])
}

/// With one answer for all, the record's commit is the acceptance.
fn failing(each: bool) -> Failing {
    if each {
        Failing::Open
    } else {
        Failing::Promised
    }
}
