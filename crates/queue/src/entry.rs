//! A message of the queue in memory: its records and its lane.
//!
//! There is at most one [`Entry`] of a message in a process while somebody uses
//! it or while a change of it is not visible yet; so the tip is what was
//! submitted last, which no snapshot may show yet. The lane is held from
//! reading the tip until `submit`, not over the sync.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use blobs::Owner;
use bytes::Bytes;
use engine::{Batch, CommitNo, Expect, ShardId, SubmitError, Ticket};
use parking_lot::Mutex;
use queue_model::QueueId;

use crate::error::QueueError;
use crate::keys;
use crate::limits::{CONFLICTS_MAX, FRESH_ENTRY_BYTES};
use crate::message::Message;
use crate::progress::Progress;
use crate::store::{Due, Inner};

/// The entries in use.
pub(crate) type Live = Mutex<HashMap<(ShardId, QueueId), Weak<Entry>>>;

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) shard: ShardId,
    pub(crate) id: QueueId,
    pub(crate) message: Message,
    /// The body's bytes, of a message that has just come.
    pub(crate) body: Option<Bytes>,
    pub(crate) tip: tokio::sync::Mutex<Tip>,
    /// Places in the envelope that are being attempted.
    pub(crate) leased: Mutex<HashSet<usize>>,
    live: Weak<Live>,
}

/// What was submitted last.
#[derive(Debug)]
pub(crate) struct Tip {
    pub(crate) progress: Progress,
    pub(crate) version: CommitNo,
    /// The message has left the queue.
    pub(crate) gone: bool,
}

impl Entry {
    pub(crate) fn new(
        shard: ShardId,
        id: QueueId,
        (message, tip): (Message, Tip),
        body: Option<Bytes>,
        live: &Arc<Live>,
    ) -> Self {
        Self {
            shard,
            id,
            message,
            body,
            tip: tokio::sync::Mutex::new(tip),
            leased: Mutex::default(),
            live: Arc::downgrade(live),
        }
    }

    /// What it takes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        let body = self.body.as_ref().map_or(0, Bytes::len);
        FRESH_ENTRY_BYTES + body + self.message.prefix.len()
    }

    /// Adds to `batch` what turns the tip into `next`: the record and the
    /// schedule, or, when nothing is left to do, the message's end.
    pub(crate) fn stage(
        self: &Arc<Self>,
        inner: &Inner,
        tip: &Tip,
        next: &Progress,
        batch: &mut Batch,
    ) {
        let (shard, id, envelope) = (self.shard, self.id, &self.message.envelope);
        let key = keys::progress(shard, id);
        batch.expect(key.clone(), Expect::Version(tip.version));
        let before = tip.progress.lines(shard, envelope);
        let after = next.lines(shard, envelope);
        for (line, due_ms) in &before {
            if after.get(line) != Some(due_ms) {
                batch.delete(keys::due(line, *due_ms, id));
            }
        }
        let sender = self.message.sender_tag();
        let mut dues = Vec::new();
        for (line, due_ms) in after {
            if before.get(&line) != Some(&due_ms) {
                batch.put(keys::due(&line, due_ms, id), keys::due_value(sender));
                dues.extend(Due::new(line, due_ms, id, sender));
            }
        }
        let finished = next.is_finished();
        if finished {
            batch.delete(key);
            batch.delete(keys::message(shard, id));
            inner
                .blobs
                .unlink(batch, shard, self.message.blob, Owner::Queue(id.0));
        } else {
            batch.put(key, next.encode());
        }
        inner.fresh.moved_to((shard, id), next);
        // The entry lives until the change is visible: who loads it anew sees the change.
        let (entry, news, count) = (
            Arc::clone(self),
            Arc::clone(&inner.news),
            Arc::clone(&inner.messages),
        );
        batch.on_visible(move |_| {
            drop(entry);
            news.add(dues);
            if finished {
                count.sub(1);
            }
        });
    }

    /// Stages `change` on the tip, submits, and stages anew on what another
    /// commit has made of it when there was one.
    ///
    /// `change` gives the next progress, or nothing when there is nothing to do,
    /// and may add to the batch.
    pub(crate) async fn submit(
        self: &Arc<Self>,
        inner: &Arc<Inner>,
        mut change: impl FnMut(&Progress, &mut Batch) -> Result<Option<Progress>, QueueError>,
    ) -> Result<Option<Ticket>, QueueError> {
        let mut tip = self.tip.lock().await;
        let mut conflicts = 0;
        loop {
            if tip.gone {
                return Err(QueueError::NotFound);
            }
            let mut batch = Batch::new();
            let Some(next) = change(&tip.progress, &mut batch)? else {
                return Ok(None);
            };
            self.stage(inner, &tip, &next, &mut batch);
            match inner.engine.submit(batch) {
                Ok(ticket) => {
                    tip.moved_to(next, ticket.commit());
                    return Ok(Some(ticket));
                }
                Err(SubmitError::Conflict { winner, .. }) if conflicts < CONFLICTS_MAX => {
                    conflicts += 1;
                    winner.visible().await;
                    self.reload(inner, &mut tip).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes the tip from the store: somebody else has changed it, or a change
    /// of ours was submitted and its caller vanished before it could say so.
    pub(crate) async fn reload(&self, inner: &Arc<Inner>, tip: &mut Tip) -> Result<(), QueueError> {
        match inner.load(self.shard, self.id).await {
            Ok((_, loaded)) => *tip = loaded,
            Err(QueueError::NotFound) => tip.gone = true,
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Tip {
    pub(crate) fn new(progress: Progress, version: CommitNo) -> Self {
        Self {
            progress,
            version,
            gone: false,
        }
    }

    pub(crate) fn moved_to(&mut self, next: Progress, commit: CommitNo) {
        self.gone = next.is_finished();
        self.progress = next;
        self.version = commit;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Some(live) = self.live.upgrade() else {
            return;
        };
        let mut live = live.lock();
        // A new entry of the message may have taken the place already.
        if live
            .get(&(self.shard, self.id))
            .is_some_and(|entry| entry.strong_count() == 0)
        {
            live.remove(&(self.shard, self.id));
        }
    }
}
