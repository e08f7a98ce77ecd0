//! The queue over the engine: stage, schedule, load.

use std::collections::hash_map;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use blobs::{BlobId, Blobs, Owner};
use bytes::{Bytes, BytesMut};
use engine::{Batch, Expect, Order, ShardId, SharedEngine};
use envelope::{Domain, Envelope, Priority};
use queue_model::{QueueId, State};
use runtime::Runtime;

use crate::entry::{Entry, Live, Tip};
use crate::error::QueueError;
use crate::keys;
use crate::limits::PRIORITY_STEP_MS;
use crate::message::{Message, Origin};
use crate::news::News;
use crate::progress::Progress;

/// The queue. Cheap to clone.
#[derive(Clone)]
pub struct Queue {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) engine: SharedEngine,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) runtime: Runtime,
    pub(crate) news: Arc<News>,
    pub(crate) messages: Arc<Count>,
    live: Arc<Live>,
    last_id: AtomicU64,
}

/// How many messages there are; callbacks may come in any order.
#[derive(Debug, Default)]
pub(crate) struct Count(std::sync::atomic::AtomicI64);

impl Count {
    pub(crate) fn add(&self, n: i64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, n: i64) {
        self.add(-n);
    }

    fn read(&self) -> u64 {
        u64::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(0)
    }
}

/// A message on its way into the queue.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// Its body, staged in the same batch or linked already.
    pub blob: BlobId,
    /// Bytes of the body.
    pub blob_size: u64,
    /// Header fields that stand before the body, with CRLF.
    pub prefix: Bytes,
    /// From whom, for whom; at least one recipient.
    pub envelope: Envelope,
    /// Where it came from.
    pub origin: Origin,
    /// When it is attempted first.
    pub start: Start,
}

/// When a new message is attempted first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// At once.
    Now,
    /// After a first attempt, made elsewhere, failed for now.
    Later {
        /// Milliseconds from now.
        wait_ms: u64,
        /// Why, for people.
        reason: String,
    },
    /// When a person releases it.
    Held {
        /// Why, for people.
        reason: String,
    },
}

/// Recipients of one domain of one message whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Since when, in milliseconds since 1970.
    pub due_ms: u64,
    /// Where the message is.
    pub shard: ShardId,
    /// Which message.
    pub id: QueueId,
    /// Whose recipients.
    pub domain: Domain,
}

impl Due {
    /// Its own place in the schedule.
    #[must_use]
    pub fn mark(&self) -> DueMark {
        DueMark(keys::due(self.shard, self.due_ms, self.id, &self.domain))
    }
}

/// A place in the schedule of a shard; places of one shard are in the order of their times.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DueMark(Vec<u8>);

/// One page of a shard's schedule.
#[derive(Debug, Clone, Default)]
pub struct DuePage {
    /// In order of their times.
    pub entries: Vec<Due>,
    /// Where to go on, when there is more that is due.
    pub more: Option<DueMark>,
    /// Without more: when the next is due.
    pub next_ms: Option<u64>,
}

/// RFC 6710: a message of a higher priority goes as if it had waited for some
/// time already, so that it is before others where many wait, and nobody waits
/// for ever behind it.
fn ahead(now_ms: u64, priority: Option<Priority>) -> u64 {
    let steps = priority.map_or(0, |priority| u64::try_from(priority.get()).unwrap_or(0));
    now_ms.saturating_sub(steps * PRIORITY_STEP_MS)
}

impl Queue {
    /// The queue in `engine`. Call [`Queue::recover`] before the first lease.
    #[must_use]
    pub fn new(engine: SharedEngine, blobs: Arc<Blobs>, runtime: Runtime) -> Self {
        let inner = Inner {
            news: Arc::new(News::new(engine.shards())),
            engine,
            blobs,
            runtime,
            messages: Arc::default(),
            live: Arc::default(),
            last_id: AtomicU64::new(0),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Adds a message to `batch`; with its commit the message is in the queue
    /// and the dispatcher wakes. When `submit` answers `Conflict`, stage again.
    ///
    /// The body is linked here; its record must be staged in the same batch, or
    /// an owner of it must be held by the batch's conditions.
    pub fn stage(&self, batch: &mut Batch, shard: ShardId, new: NewMessage) -> QueueId {
        let id = self.inner.next_id();
        let now_ms = self.inner.runtime.now().unix_ms;
        let (state, reason) = match &new.start {
            Start::Now => {
                let due_ms = ahead(now_ms, new.envelope.priority);
                (State::Todo { due_ms }, None)
            }
            Start::Later { wait_ms, reason } => (
                State::Deferred {
                    until_ms: now_ms.saturating_add(*wait_ms),
                },
                Some(reason.as_str()),
            ),
            Start::Held { reason } => (State::Held, Some(reason.as_str())),
        };
        let progress = Progress::new(new.envelope.recipients.len(), state, reason);
        let message = Message {
            arrived_ms: now_ms,
            blob: new.blob,
            blob_size: new.blob_size,
            prefix: new.prefix,
            origin: new.origin,
            envelope: new.envelope,
        };
        let key = keys::message(shard, id);
        batch.expect(key.clone(), Expect::Absent);
        self.inner
            .blobs
            .link(batch, shard, message.blob, Owner::Queue(id.0));
        batch.put(key, message.encode());
        batch.put(keys::progress(shard, id), progress.encode());
        let schedule = progress.schedule(&message.envelope);
        for (domain, &due_ms) in &schedule {
            batch.put(keys::due(shard, due_ms, id, domain), vec![keys::VERSION]);
        }
        let earliest = schedule.values().min().copied();
        let (news, count) = (
            Arc::clone(&self.inner.news),
            Arc::clone(&self.inner.messages),
        );
        batch.on_visible(move |_| {
            count.add(1);
            if let Some(due_ms) = earliest {
                news.add(shard, due_ms);
            }
        });
        id
    }

    /// A page of what is due at `now_ms`, from the mark on or from the earliest.
    ///
    /// # Errors
    /// The engine cannot read.
    pub async fn due(
        &self,
        shard: ShardId,
        from: Option<DueMark>,
        now_ms: u64,
        limit: usize,
    ) -> Result<DuePage, QueueError> {
        let inner = Arc::clone(&self.inner);
        self.inner
            .runtime
            .blocking(move || inner.due(shard, from, now_ms, limit))
            .await
    }

    /// The message of a due entry.
    ///
    /// # Errors
    /// It has left the queue, it is damaged, or the engine cannot read.
    pub async fn message(&self, due: &Due) -> Result<Message, QueueError> {
        let (message, _) = self.inner.load(due.shard, due.id).await?;
        Ok(message)
    }

    /// Where what is due at `ms` begins.
    #[must_use]
    pub fn mark(shard: ShardId, ms: u64) -> DueMark {
        DueMark(keys::due_at(shard, ms))
    }

    /// The shards there are.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.inner.engine.shards()).map(ShardId)
    }

    /// What has changed.
    #[must_use]
    pub fn news(&self) -> &News {
        &self.inner.news
    }

    /// How many messages there are, as far as is known since [`Queue::recover`].
    #[must_use]
    pub fn count(&self) -> u64 {
        self.inner.messages.read()
    }

    /// The bodies.
    #[must_use]
    pub fn blobs(&self) -> &Arc<Blobs> {
        &self.inner.blobs
    }

    /// A range of a message as it is sent: prefix and body; what lies behind the end is left out.
    ///
    /// # Errors
    /// The body cannot be read.
    pub async fn read(
        &self,
        shard: ShardId,
        message: &Message,
        range: Range<u64>,
    ) -> Result<Bytes, QueueError> {
        let blobs = Arc::clone(&self.inner.blobs);
        let (prefix, blob) = (message.prefix.clone(), message.blob);
        self.inner
            .runtime
            .blocking(move || read(&blobs, shard, &prefix, blob, range))
            .await
    }
}

fn read(
    blobs: &Blobs,
    shard: ShardId,
    prefix: &Bytes,
    blob: BlobId,
    range: Range<u64>,
) -> Result<Bytes, QueueError> {
    let prefix_len = prefix.len() as u64;
    let (start, end) = (range.start.min(prefix_len), range.end.min(prefix_len));
    let head = prefix.slice(start as usize..end.max(start) as usize);
    let in_blob = range.start.saturating_sub(prefix_len)..range.end.saturating_sub(prefix_len);
    if in_blob.is_empty() {
        return Ok(head);
    }
    let body = blobs.read(shard, blob, in_blob)?;
    if head.is_empty() {
        return Ok(body);
    }
    let mut whole = BytesMut::with_capacity(head.len() + body.len());
    whole.extend_from_slice(&head);
    whole.extend_from_slice(&body);
    Ok(whole.freeze())
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("messages", &self.count())
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// Never the same twice in this process; in order of time, or just behind the last.
    fn next_id(&self) -> QueueId {
        let now = self.runtime.now().unix_ms;
        let drawn = QueueId::from_parts(now, self.runtime.random_u64());
        let next = |last: u64| drawn.max(QueueId(last).next()).0;
        let last = self
            .last_id
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(next(last)))
            .unwrap_or_else(|last| last);
        QueueId(next(last))
    }

    fn due(
        &self,
        shard: ShardId,
        from: Option<DueMark>,
        now_ms: u64,
        limit: usize,
    ) -> Result<DuePage, QueueError> {
        let (first, end) = keys::range(shard, keys::DUE);
        let start = from.map_or(first, |mark| mark.0);
        let snapshot = self.engine.snapshot(shard);
        // One more than asked for tells whether there is more, or when the next is due.
        let pairs = snapshot.scan(&start, &end, Order::Ascending, limit.saturating_add(1))?;
        let mut page = DuePage::default();
        for (key, _) in pairs {
            match keys::time_of_due(&key) {
                Some(due_ms) if due_ms > now_ms => {
                    page.next_ms = Some(due_ms);
                    break;
                }
                _ if page.entries.len() >= limit => {
                    page.more = Some(DueMark(key));
                    break;
                }
                _ => match keys::parse_due(&key) {
                    Some((due_ms, id, domain)) => {
                        page.entries.push(Due {
                            due_ms,
                            shard,
                            id,
                            domain,
                        });
                    }
                    None => self.drop_key(key),
                },
            }
        }
        Ok(page)
    }

    /// A key of the schedule that nobody understands would be met at every scan.
    fn drop_key(&self, key: Vec<u8>) {
        tracing::error!(
            ?key,
            "a key of the queue's schedule is damaged and was removed"
        );
        let mut batch = Batch::new();
        batch.delete(key);
        if let Err(error) = self.engine.submit(batch) {
            tracing::warn!(%error, "a damaged key of the queue's schedule stays");
        }
    }

    /// The message's entry, the one in use or a new one.
    pub(crate) async fn entry(
        self: &Arc<Self>,
        shard: ShardId,
        id: QueueId,
    ) -> Result<Arc<Entry>, QueueError> {
        if let Some(entry) = self
            .live
            .lock()
            .get(&(shard, id))
            .and_then(std::sync::Weak::upgrade)
        {
            return Ok(entry);
        }
        let loaded = self.load(shard, id).await?;
        Ok(match self.live.lock().entry((shard, id)) {
            hash_map::Entry::Occupied(mut place) => place.get().upgrade().unwrap_or_else(|| {
                let entry = Arc::new(Entry::new(shard, id, loaded, &self.live));
                place.insert(Arc::downgrade(&entry));
                entry
            }),
            hash_map::Entry::Vacant(place) => {
                let entry = Arc::new(Entry::new(shard, id, loaded, &self.live));
                place.insert(Arc::downgrade(&entry));
                entry
            }
        })
    }

    /// Who is being attempted, of a message in use.
    pub(crate) fn leased(&self, shard: ShardId, id: QueueId) -> Vec<usize> {
        let entry = self
            .live
            .lock()
            .get(&(shard, id))
            .and_then(std::sync::Weak::upgrade);
        let mut leased: Vec<usize> = entry
            .map(|entry| entry.leased.lock().iter().copied().collect())
            .unwrap_or_default();
        leased.sort_unstable();
        leased
    }

    pub(crate) async fn load(
        self: &Arc<Self>,
        shard: ShardId,
        id: QueueId,
    ) -> Result<(Message, Tip), QueueError> {
        let inner = Arc::clone(self);
        self.runtime
            .blocking(move || inner.load_now(shard, id))
            .await
    }

    pub(crate) fn load_now(
        &self,
        shard: ShardId,
        id: QueueId,
    ) -> Result<(Message, Tip), QueueError> {
        let keys = [keys::message(shard, id), keys::progress(shard, id)];
        let mut found = self.engine.snapshot(shard).get_many(&keys)?.into_iter();
        let (Some(message), Some(progress)) = (found.next().flatten(), found.next().flatten())
        else {
            return Err(QueueError::NotFound);
        };
        let message = Message::decode(&message.value)?;
        let loaded = Progress::decode(&progress.value)?;
        if loaded.recipients.len() != message.envelope.recipients.len() {
            return Err(wire::codec::DecodeError::OutOfRange.into());
        }
        Ok((
            message,
            Tip {
                progress: loaded,
                version: progress.version,
                gone: false,
            },
        ))
    }

    /// The shard that holds the message.
    pub(crate) fn find_now(&self, id: QueueId) -> Result<ShardId, QueueError> {
        for shard in (0..self.engine.shards()).map(ShardId) {
            let snapshot = self.engine.snapshot(shard);
            let keys = [keys::message(shard, id), keys::progress(shard, id)];
            if snapshot.get_many(&keys)?.iter().any(Option::is_some) {
                return Ok(shard);
            }
        }
        Err(QueueError::NotFound)
    }
}
