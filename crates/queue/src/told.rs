//! What became of recipients, for those who want to hear of it: kept until they have it.
//!
//! | key | value |
//! |---|---|
//! | `Q` shard `w` subscriber's name; a byte, 0; number, 8 bytes | version byte 1; message's id, 8 bytes; when, 8 bytes, Unix ms; whom we spoke to, text; sender, text; varint count, then each: |
//! | | place, varint; recipient, text; byte: 1 delivered, 2 deferred, 3 failed; attempts, varint; until, varint, Unix ms, 0 for never; reason, text |
//!
//! Written by the commit that records the outcome, so that it costs no commit of its own and is
//! there exactly when that is. Numbers only grow, and a message's outcomes are staged one behind the
//! other, so that they are read in their order. What is too much is not kept, and counted.
//!
//! Not here: who hears of it and how (`gateway`).

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::{Batch, Order, ReadError, ShardId, keys as spaces};
use envelope::Address;
use parking_lot::Mutex;
use queue_model::{Event, QueueId};
use tokio::sync::Notify;
use wire::codec::{DecodeError, Reader, Writer};

use crate::error::QueueError;
use crate::keys;
use crate::lease::Settlement;
use crate::limits::{
    PAGE, TOLD_BATCH_BYTES_MAX, TOLD_BYTES_MAX, TOLD_REASON_BYTES_MAX, TOLD_WAITING_MAX,
};
use crate::message::Message;
use crate::progress::Progress;
use crate::store::Queue;

/// What became of a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Became {
    /// It was delivered.
    Delivered,
    /// It is tried again.
    Deferred,
    /// It was given up.
    Failed,
}

impl Became {
    const ALL: [Self; 3] = [Self::Delivered, Self::Deferred, Self::Failed];

    /// In a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Deferred => "deferred",
            Self::Failed => "failed",
        }
    }

    /// What a result is; none where no attempt was made.
    fn of(result: &Settlement) -> Option<Self> {
        match result.event {
            Event::Deliver => Some(Self::Delivered),
            Event::PutOff { .. } if result.counts => Some(Self::Deferred),
            Event::GiveUp => Some(Self::Failed),
            _ => None,
        }
    }
}

/// An outcome as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its place among all; grows.
    pub number: u64,
    /// The message.
    pub id: QueueId,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Whom we spoke to; empty where nobody.
    pub host: String,
    /// The reverse path, without brackets.
    pub sender: String,
    /// The recipient's place in the envelope.
    pub place: u64,
    /// The recipient.
    pub recipient: String,
    /// What became of it.
    pub became: Became,
    /// Attempts so far.
    pub attempts: u64,
    /// When it is tried again.
    pub until_ms: Option<u64>,
    /// What was said.
    pub reason: String,
}

/// Somebody who wants to hear of outcomes.
#[derive(Clone)]
pub struct Subscriber {
    /// Its name: letters, digits, `-` and `_`. What waits for it belongs to whoever has the name.
    pub name: String,
    /// Which outcomes it wants to hear of.
    pub wants: Wants,
}

/// Whether an outcome is wanted, by what it is, the sender and the recipient.
pub type Wants = Arc<dyn Fn(Became, Option<&Address>, &Address) -> bool + Send + Sync>;

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscriber")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// How a subscriber does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribed {
    /// Its name.
    pub name: String,
    /// Outcomes that wait for it.
    pub waiting: u64,
    /// Outcomes that it never hears of, because too many waited; since the start.
    pub dropped: u64,
}

/// Some of what waits for a subscriber.
#[derive(Debug, Default)]
pub struct ToldPage {
    /// In order of their numbers.
    pub told: Vec<Told>,
    /// The records that it stands in.
    keys: Vec<Vec<u8>>,
}

impl ToldPage {
    /// Nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

struct Subscription {
    subscriber: Subscriber,
    /// Also of who has the name later.
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    waiting: AtomicU64,
    dropped: AtomicU64,
}

/// Those who want to hear.
#[derive(Default)]
pub(crate) struct Subscriptions {
    all: Mutex<Arc<Vec<Arc<Subscription>>>>,
    last: AtomicU64,
    news: Notify,
}

impl std::fmt::Debug for Subscriptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscriptions").finish_non_exhaustive()
    }
}

/// What a commit records.
pub(crate) struct Results<'a> {
    pub(crate) shard: ShardId,
    pub(crate) id: QueueId,
    pub(crate) message: &'a Message,
    pub(crate) next: &'a Progress,
    pub(crate) results: &'a [Settlement],
    pub(crate) host: &'a str,
    pub(crate) at_ms: u64,
}

impl Subscriptions {
    /// Adds what is to be told of these results to the batch that carries them.
    pub(crate) fn stage(self: &Arc<Self>, batch: &mut Batch, of: &Results<'_>) {
        let all = Arc::clone(&self.all.lock());
        for subscription in all.iter() {
            self.stage_for(subscription, batch, of);
        }
    }

    fn stage_for(
        self: &Arc<Self>,
        subscription: &Arc<Subscription>,
        batch: &mut Batch,
        of: &Results<'_>,
    ) {
        let subscriber = &subscription.subscriber;
        let sender = of.message.envelope.reverse_path.address();
        let mut each = Writer::new();
        let (mut count, mut bytes, mut dropped) = (0_u64, 0, 0_u64);
        let full = subscription.counts.waiting.load(Ordering::Relaxed) >= TOLD_WAITING_MAX;
        for result in of.results {
            let recipient = of.message.envelope.recipients.get(result.place);
            let (Some(became), Some(recipient)) = (Became::of(result), recipient) else {
                continue;
            };
            if !(subscriber.wants)(became, sender, &recipient.address) {
                continue;
            }
            let address = recipient.address.to_string();
            let reason = result.reason.as_deref().unwrap_or_default();
            let reason = &reason[..reason.floor_char_boundary(TOLD_REASON_BYTES_MAX)];
            bytes += address.len() + reason.len();
            if full || bytes > TOLD_BYTES_MAX {
                dropped += 1;
                continue;
            }
            let known = of.next.recipients.get(result.place);
            let until_ms = match result.event {
                Event::PutOff { until_ms } => until_ms,
                _ => 0,
            };
            let place = Became::ALL.iter().position(|known| *known == became);
            count += 1;
            each.varint(result.place as u64)
                .text(&address)
                .u8(u8::try_from(place.unwrap_or_default() + 1).unwrap_or_default())
                .varint(known.map_or(0, |known| u64::from(known.attempts)))
                .varint(until_ms)
                .text(reason);
        }
        if count > 0 {
            let mut record = Writer::new();
            let sender = sender.map(ToString::to_string).unwrap_or_default();
            record.u8(keys::VERSION).u64_be(of.id.0).u64_be(of.at_ms);
            record.text(of.host).text(&sender).varint(count);
            let mut record = record.finish();
            record.extend_from_slice(&each.finish());
            // The outcome itself must fit its commit, or the mail is sent once more.
            if batch.size_bytes() + record.len() > TOLD_BATCH_BYTES_MAX {
                dropped += std::mem::take(&mut count);
            } else {
                let number = self.number(of.at_ms);
                batch.put(key(of.shard, &subscriber.name, number), record);
            }
        }
        if count + dropped > 0 {
            let (this, counts) = (Arc::clone(self), Arc::clone(&subscription.counts));
            batch.on_visible(move |_| {
                counts.waiting.fetch_add(count, Ordering::Relaxed);
                counts.dropped.fetch_add(dropped, Ordering::Relaxed);
                this.news.notify_one();
            });
        }
    }

    /// As if so many waited; a test's.
    #[cfg(test)]
    pub(crate) fn fill_for_tests(&self, name: &str, waiting: u64) {
        let all = Arc::clone(&self.all.lock());
        for one in all.iter().filter(|one| one.subscriber.name == name) {
            one.counts.waiting.store(waiting, Ordering::Relaxed);
        }
    }

    /// A number above all before, whatever the clock says.
    fn number(&self, at_ms: u64) -> u64 {
        let by_clock = at_ms << 12;
        let next = |last: u64| Some(by_clock.max(last + 1));
        let last = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        by_clock.max(last.unwrap_or_default() + 1)
    }
}

impl Queue {
    /// From now on these hear of outcomes, and nobody else: what waits for others is removed. What
    /// waits for those who were subscribed before, in this process or another, stays.
    ///
    /// # Errors
    /// The engine cannot read, or does not take it; then all is as before.
    pub async fn subscribe(&self, subscribers: Vec<Subscriber>) -> Result<(), QueueError> {
        let (engine, this) = (self.inner.engine.clone(), Arc::clone(&self.inner.told));
        let names: Vec<String> = subscribers.iter().map(|s| s.name.clone()).collect();
        let work = move || {
            let (mut waiting, mut last) = (HashMap::<String, u64>::new(), 0);
            for shard in (0..engine.shards()).map(ShardId) {
                let mut strange = Vec::new();
                let (start, end) = keys::range(shard, keys::TOLD);
                let snapshot = engine.snapshot(shard);
                snapshot.visit(&start, &end, &mut |key, stored| {
                    match named(key).filter(|(name, _)| names.iter().any(|known| known == name)) {
                        Some((name, number)) => {
                            let count = decode(number, &stored.value).map_or(1, |told| told.len());
                            *waiting.entry(name.to_owned()).or_default() += count as u64;
                            last = last.max(number);
                        }
                        None => strange.push(key.to_vec()),
                    }
                    ControlFlow::Continue(())
                })?;
                remove(&*engine, &strange)?;
            }
            Ok::<_, QueueError>((waiting, last))
        };
        let before = Arc::clone(&self.inner.told.all.lock());
        let (waiting, last) = self.inner.runtime.blocking(work).await?;
        this.last.fetch_max(last, Ordering::Relaxed);
        let all = subscribers.into_iter().map(|subscriber| {
            let same = |known: &&Arc<Subscription>| known.subscriber.name == subscriber.name;
            let known = before.iter().find(same);
            let counted = waiting.get(&subscriber.name).copied().unwrap_or_default();
            // Who was there is counted already, and goes on being.
            let counts = match known {
                Some(known) => Arc::clone(&known.counts),
                None => Arc::new(Counts {
                    waiting: AtomicU64::new(counted),
                    dropped: AtomicU64::default(),
                }),
            };
            Arc::new(Subscription { subscriber, counts })
        });
        *this.all.lock() = Arc::new(all.collect());
        this.news.notify_one();
        Ok(())
    }

    /// Returns when there was something for somebody, or the subscribers changed, since the last
    /// return. Cancel safe; for one waiter.
    pub async fn told_news(&self) {
        self.inner.told.news.notified().await;
    }

    /// Those who are subscribed.
    #[must_use]
    pub fn subscribed(&self) -> Vec<Subscribed> {
        let all = Arc::clone(&self.inner.told.all.lock());
        let one = |subscription: &Arc<Subscription>| Subscribed {
            name: subscription.subscriber.name.clone(),
            waiting: subscription.counts.waiting.load(Ordering::Relaxed),
            dropped: subscription.counts.dropped.load(Ordering::Relaxed),
        };
        all.iter().map(one).collect()
    }

    /// What waits for a subscriber, the oldest first: some `max` outcomes, a few more where a commit
    /// recorded several. Until [`Queue::heard`] the same is given again.
    ///
    /// # Errors
    /// The engine cannot read.
    pub async fn told_to(&self, name: &str, max: usize) -> Result<ToldPage, ReadError> {
        let (engine, name) = (self.inner.engine.clone(), name.to_owned());
        let read = move || {
            let mut records = Vec::new();
            for shard in (0..engine.shards()).map(ShardId) {
                let start = of_name(shard, &name);
                let end = spaces::end_of(&start);
                let count = max.min(PAGE);
                let page = engine.snapshot(shard);
                records.extend(page.scan(&start, &end, Order::Ascending, count)?);
            }
            records.sort_by_key(|(key, _)| named(key).map(|(_, number)| number));
            let mut page = ToldPage::default();
            for (key, stored) in records {
                if page.told.len() >= max {
                    break;
                }
                let number = named(&key).map_or(0, |(_, number)| number);
                // What cannot be read is nobody's; it goes with the rest.
                page.told
                    .extend(decode(number, &stored.value).unwrap_or_default());
                page.keys.push(key);
            }
            Ok(page)
        };
        self.inner.runtime.blocking(read).await
    }

    /// A subscriber has heard all of a page: it is removed.
    ///
    /// # Errors
    /// The engine does not take it; the page is given again.
    pub async fn heard(&self, name: &str, page: ToldPage) -> Result<(), QueueError> {
        let engine = self.inner.engine.clone();
        let (keys, count) = (page.keys, page.told.len() as u64);
        let work = move || remove(&*engine, &keys);
        self.inner.runtime.blocking(work).await?;
        let all = Arc::clone(&self.inner.told.all.lock());
        let named = |one: &&Arc<Subscription>| one.subscriber.name == name;
        if let Some(subscription) = all.iter().find(named) {
            let less = |waiting: u64| Some(waiting.saturating_sub(count));
            let waiting = &subscription.counts.waiting;
            let _ = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
        Ok(())
    }
}

/// A commit for each shard.
fn remove(engine: &dyn engine::Engine, keys: &[Vec<u8>]) -> Result<(), QueueError> {
    let mut tickets = Vec::new();
    for page in keys.chunks(PAGE) {
        let mut batches: BTreeMap<Option<u16>, Batch> = BTreeMap::new();
        for key in page {
            let shard = spaces::shard_of(key, engine.shards()).map(|shard| shard.0);
            batches.entry(shard).or_default().delete(key.clone());
        }
        for batch in batches.into_values() {
            tickets.push(engine.submit(batch)?);
        }
    }
    for ticket in tickets {
        ticket.done_blocking();
    }
    Ok(())
}

fn of_name(shard: ShardId, name: &str) -> Vec<u8> {
    let mut key = keys::space(shard, keys::TOLD);
    key.extend_from_slice(name.as_bytes());
    key.push(0);
    key
}

fn key(shard: ShardId, name: &str, number: u64) -> Vec<u8> {
    let mut key = of_name(shard, name);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The subscriber and the number of a key.
pub(crate) fn named(key: &[u8]) -> Option<(&str, u64)> {
    let (name, number) = key.get(4..)?.split_last_chunk()?;
    let name = core::str::from_utf8(name.strip_suffix(&[0])?).ok()?;
    let fits = !name.is_empty() && !name.contains('\0');
    fits.then_some((name, u64::from_be_bytes(*number)))
}

/// What a record says.
///
/// # Errors
/// It is none.
pub(crate) fn decode(number: u64, record: &[u8]) -> Result<Vec<Told>, DecodeError> {
    let mut reader = Reader::new(record);
    match reader.u8()? {
        keys::VERSION => {}
        other => return Err(DecodeError::Version(other)),
    }
    let (id, at_ms) = (QueueId(reader.u64_be()?), reader.u64_be()?);
    let (host, sender) = (reader.text()?.to_owned(), reader.text()?.to_owned());
    let mut told = Vec::new();
    for _ in 0..reader.varint()? {
        let place = reader.varint()?;
        let recipient = reader.text()?.to_owned();
        let tag = reader.u8()?;
        let became = usize::from(tag).checked_sub(1);
        let became = became.and_then(|at| Became::ALL.get(at)).copied();
        told.push(Told {
            number,
            id,
            at_ms,
            host: host.clone(),
            sender: sender.clone(),
            place,
            recipient,
            became: became.ok_or(DecodeError::Tag(tag))?,
            attempts: reader.varint()?,
            until_ms: Some(reader.varint()?).filter(|until_ms| *until_ms > 0),
            reason: reader.text()?.to_owned(),
        });
    }
    reader.finish()?;
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let record = b"\x01\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x07\x02mx\x08a@b.test\x02\
                       \x00\x08c@d.test\x01\x01\x00\x02ok\x02\x08e@f.test\x02\x03\x09\x02no";
        let key = key(ShardId(1), "app", 0x0102);
        assert_eq!(key, b"Q\0\x01wapp\0\0\0\0\0\0\0\x01\x02");
        assert_eq!(named(&key), Some(("app", 0x0102)));
        let told = decode(9, record).expect("a record");
        assert_eq!(
            (told.len(), told[0].became, told[1].became),
            (2, Became::Delivered, Became::Deferred)
        );
        assert_eq!(
            (told[1].until_ms, told[0].until_ms, told[1].attempts),
            (Some(9), None, 3)
        );
        assert_eq!(
            (
                told[1].host.as_str(),
                told[1].sender.as_str(),
                told[1].place
            ),
            ("mx", "a@b.test", 2)
        );
        for end in 0..record.len() {
            assert!(decode(9, &record[..end]).is_err(), "{end}");
        }
        for end in 0..key.len() - 1 {
            assert_ne!(named(&key[..end]), Some(("app", 0x0102)));
        }
    }
}
