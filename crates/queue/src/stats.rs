//! What waits, domain by domain: one pass over the schedule, which reads no message
//! but the oldest of those domains that have most.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use engine::ShardId;
use envelope::Domain;
use queue_model::QueueId;

use crate::error::QueueError;
use crate::keys;
use crate::limits::STATS_DOMAINS_MAX;
use crate::store::{Inner, Queue};

/// What waits in the queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Messages.
    pub messages: u64,
    /// Domains for which something waits, as far as they were told apart.
    pub domains: u64,
    /// Those with most, in order.
    pub biggest: Vec<DomainStats>,
}

/// What waits for one domain and goes one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainStats {
    /// The domain.
    pub domain: Domain,
    /// The way that a person has given it.
    pub way: Option<Arc<str>>,
    /// Messages that wait for it.
    pub messages: u64,
    /// Of these, those that only a person lets go.
    pub held: u64,
    /// When the next is due, in milliseconds since 1970; none where all are held.
    pub next_ms: Option<u64>,
    /// The oldest of them: its id says when it came.
    pub oldest: QueueId,
    /// What was said of that one last.
    pub reason: Option<Arc<str>>,
    shard: ShardId,
}

impl Queue {
    /// What waits, with the `biggest` domains by themselves.
    ///
    /// # Errors
    /// The engine cannot read.
    pub async fn stats(&self, biggest: usize) -> Result<Stats, QueueError> {
        let inner = Arc::clone(&self.inner);
        let messages = self.count();
        let work = move || inner.stats(messages, biggest);
        self.inner.runtime.blocking(work).await
    }
}

type Found = HashMap<(Domain, Option<Arc<str>>), DomainStats>;

impl Inner {
    fn stats(&self, messages: u64, biggest: usize) -> Result<Stats, QueueError> {
        let mut found = Found::new();
        for shard in (0..self.engine.shards()).map(ShardId) {
            self.add_lines(shard, &mut found)?;
        }
        let mut stats = Stats {
            messages,
            domains: found.len() as u64,
            biggest: found.into_values().collect(),
        };
        stats.biggest.sort_by(|a, b| {
            let order = b.messages.cmp(&a.messages);
            order.then_with(|| a.domain.cmp(&b.domain))
        });
        stats.biggest.truncate(biggest);
        for one in &mut stats.biggest {
            let Ok((message, tip)) = self.load_now(one.shard, one.oldest) else {
                continue;
            };
            let all = message.envelope.recipients.iter();
            let mut all = all.zip(&tip.progress.recipients);
            let there =
                all.find(|(to, at)| *to.address.domain() == one.domain && !at.state.is_final());
            one.reason = there.and_then(|(_, at)| at.reason.clone());
        }
        Ok(stats)
    }

    fn add_lines(&self, shard: ShardId, found: &mut Found) -> Result<(), QueueError> {
        let (start, end) = keys::range(shard, keys::DUE);
        // Nearly always a key is of the line before: it is told by its beginning.
        let mut beginning: Vec<u8> = Vec::new();
        let mut line: Option<DomainStats> = None;
        let snapshot = self.engine.snapshot(shard);
        snapshot.visit(&start, &end, &mut |key, _| {
            let of = key.len().saturating_sub(keys::PLACE_BYTES);
            let same = !beginning.is_empty() && key[..of] == beginning[..];
            let Some((due_ms, id)) = keys::place_of(key) else {
                return ControlFlow::Continue(());
            };
            if !same {
                let Some((new, ..)) = keys::parse_due(key) else {
                    return ControlFlow::Continue(());
                };
                beginning = key[..of].to_vec();
                let next = DomainStats {
                    domain: new.domain,
                    way: new.way,
                    messages: 0,
                    held: 0,
                    next_ms: None,
                    oldest: id,
                    reason: None,
                    shard,
                };
                add(found, line.replace(next));
            }
            if let Some(line) = &mut line {
                line.messages += 1;
                line.oldest = line.oldest.min(id);
                if due_ms == keys::HELD_MS {
                    line.held += 1;
                } else {
                    line.next_ms = Some(line.next_ms.map_or(due_ms, |next| next.min(due_ms)));
                }
            }
            ControlFlow::Continue(())
        })?;
        add(found, line);
        Ok(())
    }
}

/// What several shards have of one domain is one.
fn add(found: &mut Found, line: Option<DomainStats>) {
    let Some(line) = line else {
        return;
    };
    let key = (line.domain.clone(), line.way.clone());
    if let Some(all) = found.get_mut(&key) {
        all.messages += line.messages;
        all.held += line.held;
        all.next_ms = match (all.next_ms, line.next_ms) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        if line.oldest < all.oldest {
            (all.oldest, all.shard) = (line.oldest, line.shard);
        }
    } else if found.len() < STATS_DOMAINS_MAX {
        found.insert(key, line);
    }
}
