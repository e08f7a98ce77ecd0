//! The operator's view and hand: list, show, retry, hold, release, remove.
//!
//! Recipients that are being attempted are left alone and counted as busy.

use std::sync::Arc;

use blobs::Owner;
use engine::{Batch, Order, ShardId};
use envelope::{Address, Domain, Recipient, ReversePath};
use queue_model::{Event, QueueId, State};

use crate::error::QueueError;
use crate::keys;
use crate::limits::PAGE;
use crate::message::Message;
use crate::progress::{Progress, RecipientProgress};
use crate::recover::after;
use crate::store::{Inner, Queue};

/// Which messages, and which of their recipients; empty means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Recipients of this domain.
    pub domain: Option<Domain>,
    /// Messages of this sender.
    pub sender: Option<ReversePath>,
    /// Recipients in this state, by [`State::name`].
    pub state: Option<String>,
    /// This recipient.
    pub recipient: Option<Address>,
}

/// What an operator can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Try now.
    Retry,
    /// Stop.
    Hold,
    /// Let it go on.
    Release,
    /// Take it out; nobody is told.
    Remove,
}

/// How many recipients an act met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Acted {
    /// Those that it changed.
    pub changed: u64,
    /// Those that are being attempted.
    pub busy: u64,
    /// Messages that have some of either.
    pub messages: u64,
}

/// A message as an operator sees it.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Where it is.
    pub shard: ShardId,
    /// Its name.
    pub id: QueueId,
    /// What it is.
    pub message: Message,
    /// Where its recipients stand.
    pub progress: Progress,
    /// Those that are being attempted: places in the envelope.
    pub leased: Vec<usize>,
}

impl Listed {
    /// The recipients, with where each stands; [`State::Leased`] is told too.
    pub fn recipients(&self) -> impl Iterator<Item = (&Recipient, State, &RecipientProgress)> {
        let all = self
            .message
            .envelope
            .recipients
            .iter()
            .zip(&self.progress.recipients);
        all.enumerate().map(|(place, (recipient, progress))| {
            let leased = self.leased.binary_search(&place).is_ok();
            let state = if leased {
                State::Leased
            } else {
                progress.state
            };
            (recipient, state, progress)
        })
    }
}

/// One page of the queue.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// In order of shard and id.
    pub messages: Vec<Listed>,
    /// Those whose records cannot be read, with the reason.
    pub damaged: Vec<(QueueId, String)>,
    /// Where the next page begins.
    pub next: Option<(ShardId, QueueId)>,
}

impl Filter {
    fn takes_message(&self, message: &Message) -> bool {
        self.sender
            .as_ref()
            .is_none_or(|sender| match (sender, &message.envelope.reverse_path) {
                (ReversePath::Address(wanted), ReversePath::Address(is)) => {
                    wanted.to_key() == is.to_key()
                }
                (wanted, is) => wanted == is,
            })
    }

    fn takes_recipient(&self, recipient: &Recipient, state: State) -> bool {
        let address = &recipient.address;
        self.domain
            .as_ref()
            .is_none_or(|domain| domain == address.domain())
            && self.state.as_ref().is_none_or(|name| name == state.name())
            && self
                .recipient
                .as_ref()
                .is_none_or(|wanted| wanted.to_key() == address.to_key())
    }
}

impl Queue {
    /// A page of the messages that the filter takes, from the place on. A page
    /// may be short or empty and have a next one: what a call reads is bounded.
    ///
    /// # Errors
    /// The engine cannot read.
    pub async fn list(
        &self,
        filter: &Filter,
        from: Option<(ShardId, QueueId)>,
        limit: usize,
    ) -> Result<Page, QueueError> {
        let (inner, filter) = (Arc::clone(&self.inner), filter.clone());
        self.inner
            .runtime
            .blocking(move || inner.list_now(&filter, from, limit))
            .await
    }

    /// One message.
    ///
    /// # Errors
    /// No such message, a damaged record, or the engine cannot read.
    pub async fn show(&self, id: QueueId) -> Result<Listed, QueueError> {
        let inner = Arc::clone(&self.inner);
        let show = move || {
            let shard = inner.find_now(id)?;
            let (message, tip) = inner.load_now(shard, id)?;
            let leased = inner.leased(shard, id);
            Ok(Listed {
                shard,
                id,
                message,
                progress: tip.progress,
                leased,
            })
        };
        self.inner.runtime.blocking(show).await
    }

    /// Acts on one message; returns when that is durable.
    ///
    /// # Errors
    /// No such message, or the engine cannot read or write.
    pub async fn act(&self, id: QueueId, act: Act) -> Result<Acted, QueueError> {
        let inner = Arc::clone(&self.inner);
        let shard = self
            .inner
            .runtime
            .blocking(move || inner.find_now(id))
            .await?;
        // Before too: the commit wakes the dispatcher, which must not find the site still closed.
        self.told(act, None);
        let acted = match self.act_on(shard, id, act, &Filter::default()).await {
            Err(QueueError::Damaged(_)) if act == Act::Remove => {
                self.remove_damaged(shard, id).await?;
                Acted {
                    changed: 1,
                    busy: 0,
                    messages: 1,
                }
            }
            other => other?,
        };
        self.told(act, None);
        Ok(acted)
    }

    /// Acts on all messages and recipients that the filter takes; what its sender
    /// has asked to hold is not retried so.
    ///
    /// # Errors
    /// The engine cannot read or write; what was done before stays done.
    pub async fn act_on_all(&self, filter: &Filter, act: Act) -> Result<Acted, QueueError> {
        let mut acted = Acted::default();
        let mut from = None;
        self.told(act, filter.domain.as_ref());
        loop {
            let page = self.list(filter, from, PAGE).await?;
            for listed in page.messages {
                if act == Act::Retry && self.is_held_by_sender(&listed) {
                    continue;
                }
                match self.act_on(listed.shard, listed.id, act, filter).await {
                    Ok(one) => {
                        acted.changed += one.changed;
                        acted.busy += one.busy;
                        acted.messages += one.messages;
                    }
                    Err(QueueError::NotFound | QueueError::Damaged(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            from = page.next;
            if from.is_none() {
                self.told(act, filter.domain.as_ref());
                return Ok(acted);
            }
        }
    }

    /// Its sender wants it to wait (RFC 4865): only who names it lets it go before.
    fn is_held_by_sender(&self, listed: &Listed) -> bool {
        let until_ms = listed.message.envelope.hold_until_ms;
        until_ms.is_some_and(|until_ms| until_ms > self.inner.runtime.now().unix_ms)
    }

    fn told(&self, act: Act, domain: Option<&Domain>) {
        if matches!(act, Act::Retry | Act::Release) {
            self.inner.news.retried(domain);
        }
    }

    async fn act_on(
        &self,
        shard: ShardId,
        id: QueueId,
        act: Act,
        filter: &Filter,
    ) -> Result<Acted, QueueError> {
        let entry = self.inner.entry(shard, id).await?;
        let now_ms = self.inner.runtime.now().unix_ms;
        let event = match act {
            Act::Retry => Event::Retry { now_ms },
            Act::Hold => Event::Hold,
            Act::Release => Event::Release { now_ms },
            Act::Remove => Event::Remove,
        };
        let mut acted = Acted::default();
        let ticket = entry
            .submit(&self.inner, |progress, batch| {
                acted = Acted::default();
                let mut next = progress.clone();
                let leased = entry.leased.lock();
                let all = entry
                    .message
                    .envelope
                    .recipients
                    .iter()
                    .zip(&mut next.recipients);
                for (place, (recipient, progress)) in all.enumerate() {
                    if !filter.takes_recipient(recipient, progress.state) {
                        continue;
                    }
                    if leased.contains(&place) {
                        acted.busy += 1;
                    } else if let Ok(state) = progress.state.apply(event) {
                        progress.state = state;
                        acted.changed += 1;
                    }
                }
                if next.is_finished() {
                    batch.delete(keys::aside(shard, id));
                }
                Ok((acted.changed > 0).then_some(next))
            })
            .await?;
        if let Some(ticket) = ticket {
            ticket.done().await;
        }
        acted.messages = u64::from(acted.changed + acted.busy > 0);
        Ok(acted)
    }

    /// Takes out a message whose records cannot be read. Its body is let go if
    /// the record still says which it is; otherwise `fsck` finds it.
    async fn remove_damaged(&self, shard: ShardId, id: QueueId) -> Result<(), QueueError> {
        let inner = Arc::clone(&self.inner);
        let stage = move || {
            let mut batch = Batch::new();
            let key = keys::message(shard, id);
            let stored = inner.engine.snapshot(shard).get(&key)?;
            if let Some(message) = stored.and_then(|stored| Message::decode(&stored.value).ok()) {
                inner
                    .blobs
                    .unlink(&mut batch, shard, message.blob, Owner::Queue(id.0));
            }
            batch.delete(key);
            batch.delete(keys::progress(shard, id));
            batch.delete(keys::aside(shard, id));
            Ok::<_, QueueError>(batch)
        };
        let batch = self.inner.runtime.blocking(stage).await?;
        self.inner.engine.submit(batch)?.done().await;
        self.inner.messages.sub(1);
        Ok(())
    }
}

impl Inner {
    fn list_now(
        &self,
        filter: &Filter,
        from: Option<(ShardId, QueueId)>,
        limit: usize,
    ) -> Result<Page, QueueError> {
        let mut page = Page::default();
        let (first, mut id) = from.unwrap_or((ShardId(0), QueueId(0)));
        for shard in (first.0..self.engine.shards()).map(ShardId) {
            let (_, end) = keys::range(shard, keys::PROGRESS);
            let mut start = keys::progress(shard, id);
            loop {
                let snapshot = self.engine.snapshot(shard);
                let records = snapshot.scan(&start, &end, Order::Ascending, PAGE)?;
                for (key, _) in &records {
                    let Some(id) = keys::id_of(key) else { continue };
                    if page.messages.len() >= limit {
                        page.next = Some((shard, id));
                        return Ok(page);
                    }
                    self.list_one(shard, id, filter, &mut page)?;
                }
                match records.last().filter(|_| records.len() == PAGE) {
                    Some((last, _)) => start = after(last),
                    None => break,
                }
            }
            id = QueueId(0);
        }
        Ok(page)
    }

    fn list_one(
        &self,
        shard: ShardId,
        id: QueueId,
        filter: &Filter,
        page: &mut Page,
    ) -> Result<(), QueueError> {
        match self.load_now(shard, id) {
            Ok((message, tip)) => {
                let leased = self.leased(shard, id);
                let listed = Listed {
                    shard,
                    id,
                    message,
                    progress: tip.progress,
                    leased,
                };
                if filter.takes_message(&listed.message)
                    && listed
                        .recipients()
                        .any(|(to, state, _)| filter.takes_recipient(to, state))
                {
                    page.messages.push(listed);
                }
                Ok(())
            }
            Err(QueueError::NotFound) => Ok(()),
            Err(QueueError::Damaged(error)) => {
                page.damaged.push((id, error.to_string()));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
