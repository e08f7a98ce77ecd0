//! After a start: attempts that the server's end cut off.
//!
//! Nobody knows how they ended: the other side may have taken the message and
//! its answer was lost. They are made again, which is at worst one copy too
//! many (RFC 5321 §4.5.3.2.6 wants it so, never the loss). A message that is cut off again and
//! again may be the cause: it waits longer each time, so that it cannot stop the server for good.

use std::ops::ControlFlow;
use std::sync::Arc;

use engine::{Batch, Order, ShardId};
use queue_model::{Event, QueueId};

use crate::error::QueueError;
use crate::intent::Intent;
use crate::keys;
use crate::limits::{INTERRUPTED_FREE, INTERRUPTED_WAIT_MAX_MS, INTERRUPTED_WAIT_MS};
use crate::progress::{Attempt, Progress};
use crate::store::{Inner, Queue};

/// What [`Queue::recover`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Messages in the queue.
    pub messages: u64,
    /// Attempts that were cut off and will be made again.
    pub interrupted: u64,
}

impl Queue {
    /// Counts the messages and takes back attempts that were cut off. Once, before the first lease.
    ///
    /// # Errors
    /// The engine cannot read or write.
    pub async fn recover(&self) -> Result<Recovered, QueueError> {
        let mut recovered = Recovered::default();
        for shard in self.shards() {
            let inner = Arc::clone(&self.inner);
            let messages = self
                .inner
                .runtime
                .blocking(move || inner.count_now(shard))
                .await?;
            recovered.messages += messages;
            self.inner
                .messages
                .add(i64::try_from(messages).unwrap_or(i64::MAX));
            let inner = Arc::clone(&self.inner);
            let found = self
                .inner
                .runtime
                .blocking(move || inner.intents_now(shard))
                .await?;
            for (key, intent) in found {
                recovered.interrupted += 1;
                self.take_back(shard, key, intent).await?;
            }
        }
        Ok(recovered)
    }

    async fn take_back(
        &self,
        shard: ShardId,
        key: Vec<u8>,
        intent: Option<Intent>,
    ) -> Result<(), QueueError> {
        let Some(intent) = intent else {
            return self.delete(key).await;
        };
        let entry = match self.inner.entry(shard, intent.id).await {
            Ok(entry) => entry,
            // Damaged: whoever meets it in the schedule sets it aside.
            Err(QueueError::NotFound | QueueError::Damaged(_)) => return self.delete(key).await,
            Err(error) => return Err(error),
        };
        tracing::info!(id = %intent.id, "an attempt was cut off by the server's end and is made again");
        let now_ms = self.inner.runtime.now().unix_ms;
        let ticket = entry
            .submit(&self.inner, |progress, batch| {
                batch.delete(key.clone());
                Ok(Some(interrupted(progress, &intent, now_ms)))
            })
            .await;
        match ticket {
            Ok(Some(ticket)) => {
                ticket.done().await;
                Ok(())
            }
            Ok(None) | Err(QueueError::NotFound) => self.delete(key).await,
            Err(error) => Err(error),
        }
    }

    async fn delete(&self, key: Vec<u8>) -> Result<(), QueueError> {
        let mut batch = Batch::new();
        batch.delete(key);
        self.inner.engine.submit(batch)?.done().await;
        Ok(())
    }
}

fn interrupted(progress: &Progress, intent: &Intent, now_ms: u64) -> Progress {
    let mut next = progress.clone();
    next.interrupted = next.interrupted.saturating_add(1);
    let due_ms = now_ms.saturating_add(wait_ms(next.interrupted));
    for &place in &intent.recipients {
        let Some(recipient) = next.recipients.get_mut(place) else {
            continue;
        };
        // Those whose result is known already are not due at that time any more.
        let state = recipient
            .state
            .apply(Event::Lease {
                now_ms: intent.begun_ms,
            })
            .and_then(|leased| leased.apply(Event::Interrupt { due_ms }));
        if let Ok(state) = state {
            recipient.state = state;
        }
    }
    next.remember(Attempt {
        at_ms: intent.begun_ms,
        site: String::new(),
        delivered: 0,
        deferred: u32::try_from(intent.recipients.len()).unwrap_or(u32::MAX),
        failed: 0,
        reason: Some("the server stopped during this attempt".into()),
    });
    next
}

fn wait_ms(interrupted: u32) -> u64 {
    match interrupted.checked_sub(INTERRUPTED_FREE + 1) {
        None => 0,
        Some(more) => (INTERRUPTED_WAIT_MS << more.min(10)).min(INTERRUPTED_WAIT_MAX_MS),
    }
}

impl Inner {
    fn count_now(&self, shard: ShardId) -> Result<u64, QueueError> {
        let (start, end) = keys::range(shard, keys::PROGRESS);
        let mut count = 0;
        self.engine
            .snapshot(shard)
            .visit(&start, &end, &mut |_, _| {
                count += 1;
                ControlFlow::Continue(())
            })?;
        Ok(count)
    }

    /// All intents: there are no more than attempts can be under way at once.
    #[allow(clippy::type_complexity)]
    fn intents_now(&self, shard: ShardId) -> Result<Vec<(Vec<u8>, Option<Intent>)>, QueueError> {
        let (start, end) = keys::range(shard, keys::INTENT);
        let pairs = self
            .engine
            .snapshot(shard)
            .scan(&start, &end, Order::Ascending, usize::MAX)?;
        let decode = |(key, stored): (Vec<u8>, engine::Versioned)| {
            let intent = keys::id_of(&key).and_then(|id: QueueId| {
                let intent = Intent::decode(id, &stored.value);
                intent
                    .inspect_err(|error| tracing::error!(id = %id, %error, "an intent is damaged"))
                    .ok()
            });
            (key, intent)
        };
        Ok(pairs.into_iter().map(decode).collect())
    }
}

/// The first key behind this one.
pub(crate) fn after(key: &[u8]) -> Vec<u8> {
    let mut next = key.to_vec();
    next.push(0);
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_stops_the_server_waits_longer_each_time() {
        let waits: Vec<u64> = [1, 3, 4, 5, 6, 99].map(wait_ms).into();
        assert_eq!(waits, [0, 0, 60_000, 120_000, 240_000, 3_600_000]);
    }
}
