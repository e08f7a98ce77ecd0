//! The operator's view and hand: list, show, retry, hold, release, remove, reroute.
//!
//! Recipients that are being attempted are left alone and counted as busy. What
//! waits for one domain is found by its line in the schedule, everything else by
//! looking at all messages; either way a call reads so much and no more.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use blobs::Owner;
use bytes::Bytes;
use engine::{Batch, Order, ShardId, Ticket};
use envelope::{Address, Domain, Recipient, ReversePath};
use queue_model::{Event, QueueId, State};

use crate::error::QueueError;
use crate::keys;
use crate::limits::{LOOKED_AT_MAX, PAGE};
use crate::message::Message;
use crate::progress::{Progress, RecipientProgress};
use crate::recover::after;
use crate::store::{Inner, Line, Place, Queue};

/// Which messages, and which of their recipients; empty means all that have not ended.
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
    /// Messages that arrived before this time, in milliseconds since 1970.
    pub before_ms: Option<u64>,
    /// Messages that arrived at this time or later.
    pub since_ms: Option<u64>,
    /// Recipients whose last reason has this in it, in any case.
    pub reason: Option<String>,
}

/// What an operator can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Try now.
    Retry,
    /// Stop.
    Hold,
    /// Let it go on.
    Release,
    /// Take it out; nobody is told.
    Remove,
    /// What its sender has asked to hold waits for that time, whatever has made it due.
    Await,
    /// Send it another way: all that a message has for the domains of the
    /// recipients that are met; none is the usual way again.
    Reroute(Option<Arc<str>>),
}

/// Which part of a line is brought forward, and what of it waits on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// From here on.
    pub from: Place,
    /// What is due until then, in milliseconds since 1970.
    pub to_ms: u64,
    /// What was attempted at this time or later waits on.
    pub since_ms: u64,
    /// What its sender wants held (RFC 4865) waits on, if it is for no longer than this.
    pub held_ms_max: u64,
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
    /// A retry that began then has made it due.
    fn was_retried(&self, filter: &Filter, begun_ms: u64, now_ms: u64) -> bool {
        let mut taken = self
            .recipients()
            .filter(|(to, state, at)| filter.takes_recipient(to, *state, at));
        let due = |state: State| matches!(state, State::Todo { due_ms } if due_ms > begun_ms && due_ms <= now_ms);
        taken.all(|(_, state, _)| due(state))
    }

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
    /// With a domain in order of their times, otherwise of their ids; shard by shard.
    pub messages: Vec<Listed>,
    /// Those whose records cannot be read, with the reason.
    pub damaged: Vec<(QueueId, String)>,
    /// Where the next page begins.
    pub next: Option<PageMark>,
}

/// Where a page begins; as text to be given back to whoever made it, for the same filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageMark {
    shard: ShardId,
    key: Vec<u8>,
}

impl fmt::Display for PageMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}", self.shard.0)?;
        self.key.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Not what a page said.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[error("no page of the queue begins there")]
pub struct NoSuchPage;

impl FromStr for PageMark {
    type Err = NoSuchPage;

    fn from_str(text: &str) -> Result<Self, NoSuchPage> {
        let (shard, key) = text.split_at_checked(4).ok_or(NoSuchPage)?;
        let byte = |at: usize| {
            let digits = key.get(at..at + 2).ok_or(NoSuchPage)?;
            u8::from_str_radix(digits, 16).map_err(|_| NoSuchPage)
        };
        Ok(Self {
            shard: ShardId(u16::from_str_radix(shard, 16).map_err(|_| NoSuchPage)?),
            key: (0..key.len())
                .step_by(2)
                .map(byte)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl Filter {
    fn takes_message(&self, message: &Message) -> bool {
        let arrived_ms = message.arrived_ms;
        self.before_ms.is_none_or(|before| arrived_ms < before)
            && self.since_ms.is_none_or(|since| arrived_ms >= since)
            && self.sender.as_ref().is_none_or(|sender| {
                match (sender, &message.envelope.reverse_path) {
                    (ReversePath::Address(wanted), ReversePath::Address(is)) => {
                        wanted.to_key() == is.to_key()
                    }
                    (wanted, is) => wanted == is,
                }
            })
    }

    /// True if it takes nothing of the message of this record.
    fn leaves_out(&self, record: &Bytes) -> bool {
        let message = Message::decode(record);
        message.is_ok_and(|message| !self.takes_message(&message))
    }

    fn takes_recipient(
        &self,
        recipient: &Recipient,
        state: State,
        progress: &RecipientProgress,
    ) -> bool {
        let address = &recipient.address;
        let has_reason = |wanted: &String| {
            let reason = progress.reason.as_deref().unwrap_or_default();
            reason.to_lowercase().contains(&wanted.to_lowercase())
        };
        self.domain
            .as_ref()
            .is_none_or(|domain| domain == address.domain())
            && match &self.state {
                Some(name) => name == state.name(),
                None => !state.is_final(),
            }
            && self
                .recipient
                .as_ref()
                .is_none_or(|wanted| wanted.to_key() == address.to_key())
            && self.reason.as_ref().is_none_or(has_reason)
    }

    /// The domain whose line has all that it takes.
    fn line(&self) -> Option<&Domain> {
        let ended = [State::Done, State::Failed, State::Removed];
        let of_ended = |name: &String| ended.iter().any(|state| state.name() == name);
        let domain = self.domain.as_ref();
        let domain = domain.or_else(|| self.recipient.as_ref().map(Address::domain));
        domain.filter(|_| !self.state.as_ref().is_some_and(of_ended))
    }

    /// The keys that lead to what it takes.
    fn range(&self, shard: ShardId) -> (Vec<u8>, Vec<u8>) {
        match self.line() {
            Some(domain) => keys::of_schedule(shard, domain),
            // Most of what a filter leaves out is told by the message alone.
            None => keys::range(shard, keys::MESSAGE),
        }
    }
}

/// Whether an act may change what stands at this time in the schedule.
fn may_change(act: Option<&Act>, due_ms: u64) -> bool {
    // There, all of a domain's recipients are held.
    due_ms != keys::HELD_MS || !matches!(act, Some(Act::Retry | Act::Hold))
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
        from: Option<PageMark>,
        limit: usize,
    ) -> Result<Page, QueueError> {
        self.list_for(filter, None, from, limit).await
    }

    async fn list_for(
        &self,
        filter: &Filter,
        act: Option<&Act>,
        from: Option<PageMark>,
        limit: usize,
    ) -> Result<Page, QueueError> {
        let (inner, filter) = (Arc::clone(&self.inner), filter.clone());
        let act = act.cloned();
        self.inner
            .runtime
            .blocking(move || inner.list_now(&filter, act.as_ref(), from, limit))
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
        self.act_on_some(id, &Filter::default(), act).await
    }

    /// Acts on those recipients of one message that the filter takes; returns when that is durable.
    ///
    /// # Errors
    /// No such message, or the engine cannot read or write.
    pub async fn act_on_some(
        &self,
        id: QueueId,
        filter: &Filter,
        act: Act,
    ) -> Result<Acted, QueueError> {
        let inner = Arc::clone(&self.inner);
        let shard = self
            .inner
            .runtime
            .blocking(move || inner.find_now(id))
            .await?;
        // Before too: the commit wakes the dispatcher, which must not find the site still closed.
        self.told(&act, None);
        let acted = match self.act_on(shard, id, &act, filter).await {
            Err(QueueError::Damaged(_)) if act == Act::Remove => {
                self.remove_damaged(shard, id).await?;
                Acted {
                    changed: 1,
                    busy: 0,
                    messages: 1,
                }
            }
            other => {
                let (acted, ticket) = other?;
                if let Some(ticket) = ticket {
                    ticket.done().await;
                }
                acted
            }
        };
        self.told(&act, None);
        Ok(acted)
    }

    /// Acts on all messages and recipients that the filter takes; what its sender
    /// has asked to hold is not retried so.
    ///
    /// # Errors
    /// The engine cannot read or write; what was done before stays done.
    pub async fn act_on_all(&self, filter: &Filter, act: Act) -> Result<Acted, QueueError> {
        self.act_on_all_telling(filter, act, |_| ()).await
    }

    /// As [`Queue::act_on_all`]; tells now and then how far it is.
    ///
    /// # Errors
    /// The engine cannot read or write; what was done before stays done.
    pub async fn act_on_all_telling(
        &self,
        filter: &Filter,
        act: Act,
        tell: impl Fn(&Acted),
    ) -> Result<Acted, QueueError> {
        let mut acted = Acted::default();
        let mut from = None;
        self.told(&act, filter.domain.as_ref());
        // What a retry makes due now comes into the way of the list once more.
        let begun_ms = self.inner.runtime.now().unix_ms;
        let mut met: HashSet<QueueId> = HashSet::new();
        loop {
            let page = self.list_for(filter, Some(&act), from, PAGE).await?;
            let mut tickets: Vec<Ticket> = Vec::new();
            for listed in page.messages {
                let now_ms = self.inner.runtime.now().unix_ms;
                if act == Act::Retry
                    && (self.is_held_by_sender(&listed)
                        || listed.was_retried(filter, begun_ms, now_ms))
                {
                    continue;
                }
                // What was met while the clock stood still is told by its name alone.
                let again = if now_ms == begun_ms {
                    !met.insert(listed.id)
                } else {
                    met.contains(&listed.id)
                };
                if again {
                    continue;
                }
                match self.act_on(listed.shard, listed.id, &act, filter).await {
                    Ok((one, ticket)) => {
                        acted.changed += one.changed;
                        acted.busy += one.busy;
                        acted.messages += one.messages;
                        tickets.extend(ticket);
                    }
                    Err(QueueError::NotFound | QueueError::Damaged(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            // Together they cost few syncs.
            for ticket in tickets {
                ticket.done().await;
            }
            tell(&acted);
            from = page.next;
            if from.is_none() {
                self.told(&act, filter.domain.as_ref());
                return Ok(acted);
            }
        }
    }

    /// Makes due what waits in a part of a line, some messages at once and each once.
    /// Where to go on, if there is more.
    ///
    /// # Errors
    /// The engine cannot read or write; what was done before stays done.
    pub async fn bring_forward(
        &self,
        line: &Line,
        part: Forward,
        limit: usize,
    ) -> Result<Option<Place>, QueueError> {
        let asked = vec![(line.clone(), part.from)];
        let to_ms = part.to_ms.min(keys::HELD_MS - 1);
        let mut pages = self.due(asked, to_ms, limit).await?;
        let page = pages.pop().unwrap_or_default();
        let filter = Filter {
            domain: Some(line.domain.clone()),
            ..Filter::default()
        };
        let now_ms = self.inner.runtime.now().unix_ms;
        let mut tickets: Vec<Ticket> = Vec::new();
        for due in page.entries {
            let entry = match self.inner.entry(line.shard, due.id).await {
                Ok(entry) => entry,
                Err(QueueError::NotFound | QueueError::Damaged(_)) => continue,
                Err(error) => return Err(error),
            };
            let held_until_ms = entry.message.envelope.hold_until_ms.unwrap_or(0);
            let held_ms = held_until_ms.saturating_sub(now_ms);
            let attempted_ms = {
                let tip = entry.tip.lock().await;
                tip.progress.history.last().map(|attempt| attempt.at_ms)
            };
            if held_ms > 0 && held_ms <= part.held_ms_max
                || attempted_ms.is_some_and(|at_ms| at_ms >= part.since_ms)
            {
                continue;
            }
            match self.act_on(line.shard, due.id, &Act::Retry, &filter).await {
                Ok((_, ticket)) => tickets.extend(ticket),
                Err(QueueError::NotFound | QueueError::Damaged(_)) => {}
                Err(error) => return Err(error),
            }
        }
        for ticket in tickets {
            ticket.done().await;
        }
        Ok(page.next.filter(|next| next.due_ms <= to_ms))
    }

    /// How many recipients and messages the filter takes.
    ///
    /// # Errors
    /// The engine cannot read.
    pub async fn count_all(&self, filter: &Filter) -> Result<Acted, QueueError> {
        let mut counted = Acted::default();
        let mut from = None;
        loop {
            let page = self.list(filter, from, PAGE).await?;
            for listed in page.messages {
                counted.messages += 1;
                let all = listed.recipients();
                let taken = all.filter(|(to, state, at)| filter.takes_recipient(to, *state, at));
                for (_, state, _) in taken {
                    match state {
                        State::Leased => counted.busy += 1,
                        _ => counted.changed += 1,
                    }
                }
            }
            from = page.next;
            if from.is_none() {
                return Ok(counted);
            }
        }
    }

    /// Its sender wants it to wait (RFC 4865): only who names it lets it go before.
    fn is_held_by_sender(&self, listed: &Listed) -> bool {
        let until_ms = listed.message.envelope.hold_until_ms;
        until_ms.is_some_and(|until_ms| until_ms > self.inner.runtime.now().unix_ms)
    }

    fn told(&self, act: &Act, domain: Option<&Domain>) {
        if matches!(act, Act::Retry | Act::Release) {
            self.inner.news.retried(domain);
        }
    }

    async fn act_on(
        &self,
        shard: ShardId,
        id: QueueId,
        act: &Act,
        filter: &Filter,
    ) -> Result<(Acted, Option<Ticket>), QueueError> {
        let entry = self.inner.entry(shard, id).await?;
        let now_ms = self.inner.runtime.now().unix_ms;
        let held_until_ms = entry.message.envelope.hold_until_ms;
        let held_until_ms = held_until_ms.filter(|until_ms| *until_ms > now_ms);
        let event = match act {
            Act::Retry => Some(Event::Retry { now_ms }),
            Act::Hold => Some(Event::Hold),
            Act::Release => Some(Event::Release { now_ms }),
            Act::Remove => Some(Event::Remove),
            Act::Await => held_until_ms.map(|now_ms| Event::Retry { now_ms }),
            Act::Reroute(_) => None,
        };
        let mut acted = Acted::default();
        let ticket = entry
            .submit(&self.inner, |progress, batch| {
                acted = Acted::default();
                let mut next = progress.clone();
                let (ways, mut rerouted) = (&progress.ways, Vec::new());
                let leased = entry.leased.lock();
                let all = entry
                    .message
                    .envelope
                    .recipients
                    .iter()
                    .zip(&mut next.recipients);
                for (place, (recipient, progress)) in all.enumerate() {
                    if !filter.takes_recipient(recipient, progress.state, progress) {
                        continue;
                    }
                    if leased.contains(&place) {
                        acted.busy += 1;
                        continue;
                    }
                    if *act == Act::Await && progress.state.due_ms() >= held_until_ms {
                        continue;
                    }
                    let domain = recipient.address.domain();
                    match (event.map(|event| progress.state.apply(event)), act) {
                        (Some(Ok(state)), _) => progress.state = state,
                        (None, Act::Reroute(way)) if ways.get(domain) != way.as_ref() => {
                            rerouted.push((domain, way.as_ref()));
                        }
                        _ => continue,
                    }
                    acted.changed += 1;
                }
                for (domain, way) in rerouted {
                    next.reroute(domain, way);
                }
                if next.is_finished() {
                    batch.delete(keys::aside(shard, id));
                }
                Ok((acted.changed > 0).then_some(next))
            })
            .await?;
        acted.messages = u64::from(acted.changed + acted.busy > 0);
        Ok((acted, ticket))
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
        act: Option<&Act>,
        from: Option<PageMark>,
        limit: usize,
    ) -> Result<Page, QueueError> {
        let mut page = Page::default();
        let mut looked_at = 0;
        let first = from.as_ref().map_or(0, |mark| mark.shard.0);
        let mut from = from.map(|mark| mark.key);
        for shard in (first..self.engine.shards()).map(ShardId) {
            let (first, end) = filter.range(shard);
            let mut start = from.take().map_or(first.clone(), |from| from.max(first));
            loop {
                let snapshot = self.engine.snapshot(shard);
                let records = snapshot.scan(&start, &end, Order::Ascending, PAGE)?;
                for (key, stored) in &records {
                    if page.messages.len() >= limit || looked_at >= LOOKED_AT_MAX {
                        let key = key.clone();
                        page.next = Some(PageMark { shard, key });
                        return Ok(page);
                    }
                    looked_at += 1;
                    let id = match keys::parse_due(key) {
                        Some((_, due_ms, _)) if !may_change(act, due_ms) => None,
                        Some((.., id)) => Some(id),
                        None if filter.leaves_out(&stored.value) => None,
                        None => keys::id_of(key),
                    };
                    if let Some(id) = id {
                        self.list_one(shard, id, filter, &mut page)?;
                    }
                }
                match records.last().filter(|_| records.len() == PAGE) {
                    Some((last, _)) => start = after(last),
                    None => break,
                }
            }
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
                        .any(|(to, state, at)| filter.takes_recipient(to, state, at))
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
