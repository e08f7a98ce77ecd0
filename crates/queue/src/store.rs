//! The queue over the engine: stage, schedule, load.

use std::collections::hash_map;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use blobs::{BlobId, Blobs, Owner};
use bytes::Bytes;
use engine::{Batch, Expect, Order, ShardId, SharedEngine};
use envelope::{Domain, Envelope, Priority, Reply};
use parking_lot::Mutex;
use queue_model::{QueueId, State};
use runtime::Runtime;

use crate::begun::Begun;
use crate::drain::Drain;
use crate::entry::{Entry, Live, Tip};
use crate::error::QueueError;
use crate::fresh::Fresh;
use crate::keys;
use crate::limits::{PRIORITY_BEHIND_MS, PRIORITY_STEP_MS};
use crate::message::{Message, Origin};
use crate::news::News;
use crate::pause::Paused;
use crate::progress::Progress;
use crate::told::Subscriptions;

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
    /// Once it was read.
    pub(crate) paused: Mutex<Option<Arc<Paused>>>,
    pub(crate) drain: Mutex<Option<Arc<Drain>>>,
    live: Arc<Live>,
    pub(crate) begun: Begun,
    pub(crate) fresh: Arc<Fresh>,
    pub(crate) told: Arc<Subscriptions>,
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
    /// The body itself where it is in memory: then it need not be read for the
    /// first attempt.
    pub body: Option<Bytes>,
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
    /// At once, to be refused: nothing is sent.
    Refused {
        /// What its recipients were to be told.
        reply: Reply,
    },
}

/// What waits for one domain in one shard and goes one way, in order of time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line {
    /// The shard.
    pub shard: ShardId,
    /// The domain.
    pub domain: Domain,
    /// The way that a person has given it instead of the usual one.
    pub way: Option<Arc<str>>,
}

/// A place in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// In milliseconds since 1970.
    pub due_ms: u64,
    /// Which message.
    pub id: QueueId,
}

impl Place {
    /// Before everything that is due at `due_ms`.
    #[must_use]
    pub fn at(due_ms: u64) -> Self {
        Self {
            due_ms,
            id: QueueId(0),
        }
    }
}

/// Recipients of one domain of one message, from this time on to be attempted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The line that they stand in: their domain, and where the message is.
    pub line: Line,
    /// From when on, in milliseconds since 1970.
    pub due_ms: u64,
    /// Which message.
    pub id: QueueId,
    /// A number for the sender: those with the same one share their turns.
    pub sender: u32,
}

impl Due {
    /// None where only a person makes it due.
    pub(crate) fn new(line: Line, due_ms: u64, id: QueueId, sender: u32) -> Option<Self> {
        (due_ms != keys::HELD_MS).then_some(Self {
            line,
            due_ms,
            id,
            sender,
        })
    }

    /// Its place in the line.
    #[must_use]
    pub fn place(&self) -> Place {
        Place {
            due_ms: self.due_ms,
            id: self.id,
        }
    }

    pub(crate) fn key(&self) -> Vec<u8> {
        keys::due(&self.line, self.due_ms, self.id)
    }
}

/// A part of a line.
#[derive(Debug, Clone, Default)]
pub struct DuePage {
    /// In order of their times.
    pub entries: Vec<Due>,
    /// What comes next in the line, due or not; none where only a person makes
    /// the rest due.
    pub next: Option<Place>,
}

/// RFC 6710: a message of a higher priority goes as if it had waited for some
/// time already, so that it is before others where many wait, and nobody waits
/// for ever behind it; one of a lower priority lets others of the moment go first.
fn ahead(now_ms: u64, priority: Option<Priority>) -> u64 {
    let steps = priority.map_or(0, Priority::get);
    let many = u64::from(steps.unsigned_abs());
    if steps < 0 {
        now_ms.saturating_add(many * PRIORITY_BEHIND_MS)
    } else {
        now_ms.saturating_sub(many * PRIORITY_STEP_MS)
    }
}

impl Queue {
    /// The queue in `engine`. Call [`Queue::recover`] before the first lease.
    #[must_use]
    pub fn new(engine: SharedEngine, blobs: Arc<Blobs>, runtime: Runtime) -> Self {
        let inner = Inner {
            news: Arc::default(),
            begun: Begun::new(Arc::clone(&engine), runtime.clone()),
            engine,
            blobs,
            runtime,
            messages: Arc::default(),
            paused: Mutex::default(),
            drain: Mutex::default(),
            live: Arc::default(),
            fresh: Arc::default(),
            told: Arc::default(),
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
            Start::Now | Start::Refused { .. } => {
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
        let is_now = new.start == Start::Now;
        let refusal = match new.start {
            Start::Refused { reply } => Some(reply),
            _ => None,
        };
        let message = Message {
            arrived_ms: now_ms,
            blob: new.blob,
            blob_size: new.blob_size,
            prefix: new.prefix,
            origin: new.origin,
            refusal,
            envelope: new.envelope,
        };
        let key = keys::message(shard, id);
        batch.expect(key.clone(), Expect::Absent);
        self.inner
            .blobs
            .link(batch, shard, message.blob, Owner::Queue(id.0));
        batch.put(key, message.encode());
        batch.put(keys::progress(shard, id), progress.encode());
        let sender = message.sender_tag();
        let mut dues = Vec::new();
        for (line, due_ms) in progress.lines(shard, &message.envelope) {
            batch.put(keys::due(&line, due_ms, id), keys::due_value(sender));
            dues.extend(Due::new(line, due_ms, id, sender));
        }
        let (news, count) = (
            Arc::clone(&self.inner.news),
            Arc::clone(&self.inner.messages),
        );
        let (live, fresh) = (Arc::clone(&self.inner.live), Arc::clone(&self.inner.fresh));
        batch.on_visible(move |version| {
            count.add(1);
            if is_now {
                let tip = Tip::new(progress, version);
                let entry = Entry::new(shard, id, (message, tip), new.body, &live);
                let entry = Arc::new(entry);
                let is_first = match live.lock().entry((shard, id)) {
                    hash_map::Entry::Vacant(place) => {
                        place.insert(Arc::downgrade(&entry));
                        true
                    }
                    // Somebody who has met it already has an entry of it.
                    hash_map::Entry::Occupied(_) => false,
                };
                if is_first {
                    fresh.keep(entry);
                }
            }
            news.add(dues);
        });
        id
    }

    /// What is due at `now_ms` in each of these lines, from its place on; up to
    /// `limit` of each.
    ///
    /// # Errors
    /// The engine cannot read.
    pub async fn due(
        &self,
        lines: Vec<(Line, Place)>,
        now_ms: u64,
        limit: usize,
    ) -> Result<Vec<DuePage>, QueueError> {
        let inner = Arc::clone(&self.inner);
        let read = move || {
            let pages = lines.iter();
            pages
                .map(|(line, from)| inner.due(line, *from, now_ms, limit))
                .collect()
        };
        self.inner.runtime.blocking(read).await
    }

    /// The lines in which something waits for a time, behind `after` or from the
    /// first on, with the first place of each; and where to go on, if there is more.
    ///
    /// # Errors
    /// The engine cannot read.
    pub async fn lines(
        &self,
        after: Option<Line>,
        limit: usize,
    ) -> Result<(Vec<(Line, Place)>, Option<Line>), QueueError> {
        let inner = Arc::clone(&self.inner);
        self.inner
            .runtime
            .blocking(move || inner.lines(after, limit))
            .await
    }

    /// The message of a due entry.
    ///
    /// # Errors
    /// It has left the queue, it is damaged, or the engine cannot read.
    pub async fn message(&self, due: &Due) -> Result<Message, QueueError> {
        let (message, _) = self.inner.load(due.line.shard, due.id).await?;
        Ok(message)
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
        line: &Line,
        from: Place,
        now_ms: u64,
        limit: usize,
    ) -> Result<DuePage, QueueError> {
        let start = keys::due(line, from.due_ms, from.id);
        let end = keys::due(line, keys::HELD_MS, QueueId(0));
        let snapshot = self.engine.snapshot(line.shard);
        // One more than asked for tells what comes next.
        let pairs = snapshot.scan(&start, &end, Order::Ascending, limit.saturating_add(1))?;
        let mut page = DuePage::default();
        for (key, stored) in pairs {
            let Some((_, due_ms, id)) = keys::parse_due(&key) else {
                self.drop_key(key);
                continue;
            };
            if due_ms > now_ms || page.entries.len() >= limit {
                page.next = Some(Place { due_ms, id });
                break;
            }
            let sender = keys::tag_of(&stored.value);
            page.entries
                .extend(Due::new(line.clone(), due_ms, id, sender));
        }
        Ok(page)
    }

    #[allow(clippy::type_complexity)]
    fn lines(
        &self,
        after: Option<Line>,
        limit: usize,
    ) -> Result<(Vec<(Line, Place)>, Option<Line>), QueueError> {
        let mut found = Vec::new();
        let first = after.as_ref().map_or(0, |line| line.shard.0);
        let mut from = after.map(|line| keys::after_line(&line));
        let mut last = None;
        for shard in (first..self.engine.shards()).map(ShardId) {
            let (start, end) = keys::range(shard, keys::DUE);
            let mut start = from.take().unwrap_or(start);
            let snapshot = self.engine.snapshot(shard);
            while let Some((key, _)) = snapshot
                .scan(&start, &end, Order::Ascending, 1)?
                .into_iter()
                .next()
            {
                let Some((line, due_ms, id)) = keys::parse_due(&key) else {
                    start = crate::recover::after(&key);
                    self.drop_key(key);
                    continue;
                };
                if found.len() >= limit {
                    return Ok((found, last));
                }
                start = keys::after_line(&line);
                last = Some(line.clone());
                if due_ms != keys::HELD_MS {
                    found.push((line, Place { due_ms, id }));
                }
            }
        }
        Ok((found, None))
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
                let entry = Arc::new(Entry::new(shard, id, loaded, None, &self.live));
                place.insert(Arc::downgrade(&entry));
                entry
            }),
            hash_map::Entry::Vacant(place) => {
                let entry = Arc::new(Entry::new(shard, id, loaded, None, &self.live));
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
        Ok((message, Tip::new(loaded, progress.version)))
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
