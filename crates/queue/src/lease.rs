//! Claims on recipients, and what became of them.
//!
//! A lease is a claim in this process and, when it lasts, an intent on the disk. It ends with a
//! [`Change`] that covers its recipients, or when it is dropped: then they are
//! due as before. When the process ends in between, [`Queue::recover`] finds
//! the intent. A lease that several nodes could hold needs a fencing token and
//! an end in the store; that comes with the first engine that several nodes share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engine::{Batch, CommitNo, Expect, ShardId, SubmitError};
use envelope::{Domain, Recipient};
use queue_model::{Event, IllegalEvent, QueueId, State};

use crate::begun::Noted;
use crate::entry::{Entry, Tip};
use crate::error::QueueError;
use crate::intent::Intent;
use crate::keys;
use crate::limits::CONFLICTS_MAX;
use crate::message::Message;
use crate::progress::{Attempt, Progress, RecipientProgress};
use crate::store::{Due, Inner, Line, Queue};
use crate::told::Results;

/// Recipients of a message that nobody else may attempt meanwhile.
pub struct Lease {
    pub(crate) inner: Arc<Inner>,
    pub(crate) entry: Arc<Entry>,
    begun_ms: u64,
    /// Places in the envelope and what was known of them, in order.
    recipients: Vec<(usize, RecipientProgress)>,
    /// The ways that a person has given the message's domains.
    ways: BTreeMap<Domain, Arc<str>>,
    intent: Noted,
    /// How many results were submitted.
    settled: AtomicUsize,
}

/// What became of one recipient.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// Its place in the envelope.
    pub place: usize,
    /// [`Event::Deliver`], [`Event::PutOff`], [`Event::GiveUp`] or [`Event::Hold`].
    pub event: Event,
    /// Whether the attempt counts: not when none was made.
    pub counts: bool,
    /// The sender is told of the delay with this change.
    pub tells_delay: bool,
    /// Why, for people.
    pub reason: Option<String>,
}

impl Queue {
    /// Claims those recipients of a due message that `wants` names by their
    /// domains and by the way that a person has given these, whose time has come and
    /// that nobody else has claimed. Nothing
    /// when there is none; that is no error, the schedule that was read may be old.
    ///
    /// A message whose record cannot be read is reported and set aside.
    ///
    /// # Errors
    /// The engine cannot read or write.
    pub async fn lease(
        &self,
        due: &Due,
        wants: impl Fn(&Domain, Option<&str>) -> bool,
    ) -> Result<Option<Lease>, QueueError> {
        let entry = match self.inner.entry(due.line.shard, due.id).await {
            Ok(entry) => entry,
            Err(QueueError::NotFound) => {
                self.inner.drop_dangling(due);
                return Ok(None);
            }
            Err(QueueError::Damaged(error)) => {
                self.inner.set_aside(due, &error.to_string()).await;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let now_ms = self.inner.runtime.now().unix_ms;
        let tip = entry.tip.lock().await;
        let recipients = claim(&entry, &tip, now_ms, wants);
        if recipients.is_empty() {
            return Ok(None);
        }
        let intent = Intent {
            id: due.id,
            begun_ms: now_ms,
            recipients: recipients.iter().map(|(place, _)| *place).collect(),
        };
        Ok(Some(Lease {
            inner: Arc::clone(&self.inner),
            entry: Arc::clone(&entry),
            begun_ms: now_ms,
            recipients,
            ways: tip.progress.ways.clone(),
            intent: self.inner.begun.note(due.line.shard, &intent),
            settled: AtomicUsize::new(0),
        }))
    }
}

fn claim(
    entry: &Entry,
    tip: &Tip,
    now_ms: u64,
    wants: impl Fn(&Domain, Option<&str>) -> bool,
) -> Vec<(usize, RecipientProgress)> {
    if tip.gone {
        return Vec::new();
    }
    let wants_of = |domain: &Domain| {
        let way = tip.progress.ways.get(domain);
        wants(domain, way.map(AsRef::as_ref))
    };
    let mut leased = entry.leased.lock();
    let recipients = entry
        .message
        .envelope
        .recipients
        .iter()
        .zip(&tip.progress.recipients);
    recipients
        .enumerate()
        .filter(|(place, (recipient, progress))| {
            progress.state.apply(Event::Lease { now_ms }).is_ok()
                && wants_of(recipient.address.domain())
                && leased.insert(*place)
        })
        .map(|(place, (_, progress))| (place, progress.clone()))
        .collect()
}

impl Lease {
    /// Which message.
    #[must_use]
    pub fn id(&self) -> QueueId {
        self.entry.id
    }

    /// Where it is.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        self.entry.shard
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.entry.message
    }

    /// When the attempt began, in milliseconds since 1970.
    #[must_use]
    pub fn begun_ms(&self) -> u64 {
        self.begun_ms
    }

    /// The claimed recipients: places in the envelope, and what was known of them.
    pub fn recipients(&self) -> impl Iterator<Item = (usize, &Recipient, &RecipientProgress)> {
        let all = &self.entry.message.envelope.recipients;
        self.recipients
            .iter()
            .filter_map(|(place, progress)| Some((*place, all.get(*place)?, progress)))
    }

    /// Begins to write down what became of them. Holds the message's lane: not
    /// for longer than it takes to submit.
    ///
    /// # Errors
    /// A result for a recipient that is not claimed, or that cannot follow.
    pub async fn change(
        &self,
        results: Vec<Settlement>,
        attempt: Option<Attempt>,
    ) -> Result<Change<'_>, QueueError> {
        let tip = self.entry.tip.lock().await;
        if tip.gone {
            return Err(QueueError::NotFound);
        }
        let next = self.next(&tip.progress, &results, attempt.as_ref())?;
        Ok(Change {
            lease: self,
            tip,
            next,
            results,
            attempt,
        })
    }

    fn next(
        &self,
        progress: &Progress,
        results: &[Settlement],
        attempt: Option<&Attempt>,
    ) -> Result<Progress, IllegalEvent> {
        let mut next = progress.clone();
        for result in results {
            let event = result.event;
            let not_claimed = IllegalEvent {
                state: State::Leased,
                event,
            };
            let claimed = self
                .recipients
                .iter()
                .any(|(place, _)| *place == result.place);
            let reason = result
                .reason
                .as_deref()
                .map(|reason| next.fit_reason(reason));
            let recipient = next
                .recipients
                .get_mut(result.place)
                .filter(|_| claimed)
                .ok_or(not_claimed)?;
            recipient.state = recipient
                .state
                .apply(Event::Lease {
                    now_ms: self.begun_ms,
                })?
                .apply(event)?;
            recipient.attempts += u32::from(result.counts);
            recipient.delay_told |= result.tells_delay;
            if reason.is_some() {
                recipient.reason = reason;
            }
            if result.counts {
                next.interrupted = 0;
            }
        }
        if let Some(attempt) = attempt {
            next.remember(attempt.clone());
        }
        Ok(next)
    }

    /// Where its recipients stand in the schedule, when nothing became of them.
    fn dues(&self) -> Vec<Due> {
        let mut earliest: BTreeMap<&Domain, u64> = BTreeMap::new();
        for (_, recipient, known) in self.recipients() {
            let due_ms = known.state.due_ms().unwrap_or(0);
            let domain = recipient.address.domain();
            let entry = earliest.entry(domain).or_insert(due_ms);
            *entry = due_ms.min(*entry);
        }
        let sender = self.entry.message.sender_tag();
        let due = |(domain, due_ms): (&Domain, u64)| {
            let line = Line {
                shard: self.entry.shard,
                domain: domain.clone(),
                way: self.ways.get(domain).cloned(),
            };
            Due::new(line, due_ms, self.entry.id, sender)
        };
        earliest.into_iter().filter_map(due).collect()
    }
}

/// Given back: the recipients are due as before.
impl Drop for Lease {
    fn drop(&mut self) {
        {
            let mut leased = self.entry.leased.lock();
            for (place, _) in &self.recipients {
                leased.remove(place);
            }
        }
        let settled = self.settled.load(Ordering::Acquire);
        if settled == 0
            && let Some(key) = self.intent.over()
        {
            let mut batch = Batch::new();
            batch.can_wait();
            batch.delete(key);
            // When this fails the store is closing, and the intent says the truth.
            let _ = self.inner.engine.submit(batch);
        }
        if settled < self.recipients.len() {
            self.inner.news.add(self.dues());
        }
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease")
            .field("id", &self.entry.id)
            .field("recipients", &self.recipients.len())
            .finish_non_exhaustive()
    }
}

/// What became of a lease's recipients, to be committed.
#[must_use = "nothing is written before `commit` or `submitted`"]
#[derive(Debug)]
pub struct Change<'a> {
    lease: &'a Lease,
    tip: tokio::sync::MutexGuard<'a, Tip>,
    next: Progress,
    results: Vec<Settlement>,
    attempt: Option<Attempt>,
}

impl Change<'_> {
    /// Adds the change to a batch that carries more, such as a report. May be
    /// called again for another batch. Tell [`Change::submitted`] when one was taken.
    pub fn stage(&self, batch: &mut Batch) {
        let lease = self.lease;
        lease
            .entry
            .stage(&lease.inner, &self.tip, &self.next, batch);
        if let Some(key) = lease.intent.over() {
            batch.delete(key);
        }
        let name = (lease.entry.shard, lease.entry.id);
        let now_ms = lease.inner.runtime.now().unix_ms;
        let envelope = &lease.entry.message.envelope;
        crate::ended::stage(batch, name, envelope, &self.results, now_ms);
        let results = Results {
            shard: lease.entry.shard,
            id: lease.entry.id,
            message: &lease.entry.message,
            next: &self.next,
            results: &self.results,
            host: self.attempt.as_ref().map_or("", |attempt| &attempt.site),
            at_ms: now_ms,
        };
        lease.inner.told.stage(batch, &results);
    }

    /// True when the message leaves the queue with this change.
    #[must_use]
    pub fn finishes(&self) -> bool {
        self.next.is_finished()
    }

    /// A batch with this change was taken as this commit.
    pub fn submitted(mut self, commit: CommitNo) {
        let next = std::mem::replace(&mut self.next, Progress::new(0, State::Held, None));
        self.tip.moved_to(next, commit);
        self.lease
            .settled
            .fetch_add(self.results.len(), Ordering::AcqRel);
    }

    /// After a conflict: takes up what another commit has made of the message.
    ///
    /// # Errors
    /// The message has gone, or the results do not fit it any more.
    pub async fn refresh(&mut self) -> Result<(), QueueError> {
        let lease = self.lease;
        lease.entry.reload(&lease.inner, &mut self.tip).await?;
        if self.tip.gone {
            return Err(QueueError::NotFound);
        }
        self.next = lease.next(&self.tip.progress, &self.results, self.attempt.as_ref())?;
        Ok(())
    }

    /// Commits the change alone; returns when it is durable.
    ///
    /// # Errors
    /// The engine does not take it, or the message has gone.
    pub async fn commit(mut self) -> Result<(), QueueError> {
        let mut conflicts = 0;
        loop {
            let mut batch = Batch::new();
            self.stage(&mut batch);
            match self.lease.inner.engine.submit(batch) {
                Ok(ticket) => {
                    self.submitted(ticket.commit());
                    ticket.done().await;
                    return Ok(());
                }
                Err(SubmitError::Conflict { winner, .. }) if conflicts < CONFLICTS_MAX => {
                    conflicts += 1;
                    winner.visible().await;
                    self.refresh().await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Inner {
    /// The message ended after the schedule was read; or the key is left over, then it goes.
    fn drop_dangling(&self, due: &Due) {
        let mut batch = Batch::new();
        batch.expect(keys::progress(due.line.shard, due.id), Expect::Absent);
        batch.delete(due.key());
        // A conflict means that the message is there after all.
        let _ = self.engine.submit(batch);
    }

    /// One bad record must not stop the queue: it leaves the schedule and stays in the store.
    pub(crate) async fn set_aside(&self, due: &Due, reason: &str) {
        tracing::error!(id = %due.id, reason, "a queued message's record is damaged; it was set aside");
        let mut batch = Batch::new();
        let mut value = vec![keys::VERSION];
        value.extend_from_slice(reason.as_bytes());
        batch.put(keys::aside(due.line.shard, due.id), value);
        batch.delete(due.key());
        // Waited for, so that the next look at the schedule does not meet it again.
        match self.engine.submit(batch) {
            Ok(ticket) => drop(ticket.done().await),
            Err(error) => tracing::warn!(%error, "a damaged message stays in the schedule"),
        }
    }
}
