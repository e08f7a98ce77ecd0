//! Messages of our own making: delivery reports, notices.
//!
//! They always go through the queue: the queue entry can be part of the commit
//! that caused it, whichever shards its recipients live in, and is delivered
//! from there.

use crate::receiving::of_blob;
use crate::reply;
use crate::store::Intake;
use blobs::{BlobError, StagedBlob};
use bytes::Bytes;
use engine::{Batch, ShardId, SubmitError};
use envelope::{Envelope, Reply};
use observe::Door;
use queue::{NewMessage, Origin, Start};
use queue_model::QueueId;
use std::sync::Arc;

/// A message of our own.
#[derive(Debug, Clone)]
pub struct Generated {
    /// From whom (reports: the null sender) and for whom.
    pub envelope: Envelope,
    /// Header and body, with CRLF line ends.
    pub message: Bytes,
}

/// A generated message whose body is ready to be staged.
#[derive(Debug)]
pub struct StagedGenerated {
    blob: StagedBlob,
    envelope: Envelope,
    prefix: Bytes,
}

impl Intake {
    /// Puts a message into the queue and waits until it is durable.
    ///
    /// # Errors
    /// The store did not take it.
    pub async fn submit_generated(&self, generated: Generated) -> Result<QueueId, Reply> {
        let inner = &self.inner;
        let size = generated.message.len() as u64;
        let shard = inner.home_shard(&[]);
        let staged = self
            .prepare_generated(shard, generated)
            .await
            .map_err(|e| of_blob(&e))?;
        for _ in 0..crate::limits::CONFLICTS_MAX {
            let mut staged = staged.clone_for_retry();
            let this = self.clone();
            let stage = move || {
                let mut batch = Batch::new();
                let id = this.stage_generated(&mut batch, &mut staged)?;
                Ok::<_, BlobError>((batch, id))
            };
            let staged = inner.ports.runtime.blocking(stage).await;
            let (batch, id) = staged.map_err(|error| of_blob(&error))?;
            match inner.submit(batch).await {
                Ok(_) => {
                    inner.ports.metrics.message_accepted(Door::Own, size);
                    return Ok(id);
                }
                Err(SubmitError::Conflict { winner, .. }) => winner.visible().await,
                Err(error) => return Err(reply::of_submit(&error)),
            }
        }
        Err(reply::local_trouble())
    }

    /// Hashes a message for [`Intake::stage_generated`].
    ///
    /// # Errors
    /// The journal did not take it.
    pub async fn prepare_generated(
        &self,
        shard: ShardId,
        generated: Generated,
    ) -> Result<StagedGenerated, BlobError> {
        let inner = &self.inner;
        let id = inner.next_id().to_string();
        let trace =
            crate::prefix::received_from_ourselves(&inner.options.hostname, &id, inner.now());
        let blobs = Arc::clone(&inner.ports.blobs);
        let message = generated.message;
        let write = move || {
            let mut writer = blobs.writer(shard);
            writer.push(&message)?;
            writer.finish()
        };
        Ok(StagedGenerated {
            blob: inner.ports.runtime.blocking(write).await?,
            envelope: generated.envelope,
            prefix: trace.into(),
        })
    }

    /// Adds a message's body and queue entry to a batch of its shard. Reads the
    /// store: call it on the blocking pool. After a conflict stage again.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn stage_generated(
        &self,
        batch: &mut Batch,
        staged: &mut StagedGenerated,
    ) -> Result<QueueId, BlobError> {
        let ports = &self.inner.ports;
        ports.blobs.stage(batch, &mut staged.blob)?;
        let new = NewMessage {
            blob: staged.blob.id,
            blob_size: staged.blob.size,
            body: staged.blob.bytes().cloned(),
            prefix: staged.prefix.clone(),
            envelope: staged.envelope.clone(),
            origin: Origin::default(),
            start: Start::Now,
        };
        Ok(ports.queue.stage(batch, staged.blob.shard(), new))
    }
}

impl StagedGenerated {
    fn clone_for_retry(&self) -> Self {
        Self {
            blob: self.blob.clone(),
            envelope: self.envelope.clone(),
            prefix: self.prefix.clone(),
        }
    }
}
