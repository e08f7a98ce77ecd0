//! Programs of the operator's that come for messages: transports of the kind `worker`.
//!
//! An attempt offers its message on the transport's desk. A worker that asks there has it for a
//! while, reads it, and says what became of each recipient; that is the attempt's outcome. So
//! turns, retries, lifetimes and reports are those of all mail, and what is out is bounded by the
//! attempts that there may be. docs/api.md is the contract.
//!
//! Not here: how a worker asks (`admin`).
//!
//! Invariants: a message is with one worker at a time; one that nobody has asked for, or of which
//! nobody said in time what became of it, is tried again; what was settled cannot be settled again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use deliver::{Message, Outcome};
use envelope::{Envelope, Reply};
use parking_lot::Mutex;
use runtime::{Monotonic, Runtime};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

use crate::limits::{
    ASKING_MAX, ASKS_MAX, CLAIM_MAX, OFFERED_FOR, OFFERS_MAX, PLACE_PATIENCE, WORDS_BYTES_MAX,
    WORKER_CHARS_MAX,
};

/// What is known of transports.
pub trait Transports: Send + Sync {
    /// There is one of this name that workers come to.
    fn has(&self, name: &str) -> bool;

    /// Somebody asks for its messages, after nobody did: they are to be offered now.
    fn knock(&self, name: &str);
}

/// The desks of all transports. Cheap to clone.
#[derive(Clone)]
pub struct Workers {
    inner: Arc<Inner>,
}

struct Inner {
    runtime: Runtime,
    state: Mutex<State>,
    /// For what is offered or out.
    places: Semaphore,
    transports: Arc<dyn Transports>,
}

#[derive(Default)]
struct State {
    desks: HashMap<String, Desk>,
    out: HashMap<String, Out>,
    asking: usize,
    next: u64,
}

/// Where a transport's messages are offered.
struct Desk {
    offers: VecDeque<Offer>,
    came: Arc<Notify>,
    /// Nobody came for something; so it is before the first has asked, too.
    missed: bool,
}

struct Offer {
    number: u64,
    work: Work,
    asks: mpsc::Sender<Ask>,
}

/// A message that is with a worker.
struct Out {
    number: u64,
    recipients: Vec<String>,
    size: u64,
    asks: mpsc::Sender<Ask>,
}

/// A message for a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// What the worker calls it by.
    pub claim: String,
    /// Its name in the queue, the same each time.
    pub message: String,
    /// The reverse path, without brackets.
    pub sender: String,
    /// For whom.
    pub recipients: Vec<String>,
    /// Octets.
    pub size: u64,
    /// How long the worker has it.
    pub lease: Duration,
}

/// What became of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// In a word.
    pub verdict: Verdict,
    /// In the worker's words.
    pub text: String,
}

/// What became of a recipient, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The worker has it.
    Delivered,
    /// Not now, and not before so long.
    Deferred(Option<Duration>),
    /// Never, with subject and detail of its status code (RFC 3463).
    Failed((u16, u16)),
}

/// What became of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// Of recipients, as [`Work::recipients`] names them.
    pub each: BTreeMap<String, Said>,
    /// Of all others.
    pub others: Option<Said>,
}

/// Why a worker is told no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkError {
    /// Nobody comes to it.
    #[error("there is no transport {0:?} of the kind \"worker\" in the rules that are in force")]
    NoTransport(String),
    /// Its time is over, or it was settled.
    #[error("there is no such claim: its time is over, or it was settled")]
    Over,
    /// Too many ask at once.
    #[error("too many workers ask at once; ask again later")]
    Crowd,
    /// Something was said of somebody else.
    #[error("{0:?} is no recipient of this message")]
    Stranger(String),
    /// Nothing was said of somebody.
    #[error("nothing is said of {0:?}")]
    Forgotten(String),
    /// The message cannot be read.
    #[error("the message cannot be read: {0}")]
    Unreadable(String),
}

/// What a worker asks of an attempt.
enum Ask {
    Taken { worker: String, lease: Duration },
    Read(u64, oneshot::Sender<io::Result<Bytes>>),
    Extend(Duration, oneshot::Sender<Duration>),
    Settle(Settled, oneshot::Sender<()>),
}

/// How an attempt ended.
pub(crate) struct Handed {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) retry_after: Option<Duration>,
    /// There was no place for it.
    pub(crate) no_room: bool,
}

impl Handed {
    fn all(outcome: Outcome, recipients: usize) -> Self {
        Self {
            outcomes: vec![outcome; recipients],
            retry_after: None,
            no_room: false,
        }
    }
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workers").finish_non_exhaustive()
    }
}

/// The workers' side.
impl Workers {
    /// Empty desks.
    #[must_use]
    pub fn new(runtime: Runtime, transports: Arc<dyn Transports>) -> Self {
        Self {
            inner: Arc::new(Inner {
                runtime,
                state: Mutex::default(),
                places: Semaphore::new(OFFERS_MAX),
                transports,
            }),
        }
    }

    /// A message of a transport, as soon as there is one within `wait`: `worker` has it for
    /// `lease`.
    ///
    /// # Errors
    /// [`WorkError::NoTransport`], [`WorkError::Crowd`].
    ///
    /// # Cancel safety
    /// May be dropped before it returns: nothing is claimed then.
    pub async fn claim(
        &self,
        transport: &str,
        worker: &str,
        (wait, lease): (Duration, Duration),
    ) -> Result<Option<Work>, WorkError> {
        if !self.inner.transports.has(transport) {
            return Err(WorkError::NoTransport(transport.to_owned()));
        }
        let _asking = self.ask()?;
        let runtime = &self.inner.runtime;
        let until = runtime.monotonic().after(wait);
        let (came, knocks) = {
            let mut state = self.inner.state.lock();
            let desk = state.desk(transport);
            let knocks = desk.offers.is_empty() && std::mem::take(&mut desk.missed);
            (Arc::clone(&desk.came), knocks)
        };
        if knocks {
            self.inner.transports.knock(transport);
        }
        loop {
            if let Some(work) = self.take(transport, worker, lease.min(CLAIM_MAX)) {
                return Ok(Some(work));
            }
            let left = until.since(runtime.monotonic());
            if runtime.timeout(left, came.notified()).await.is_err() {
                return Ok(None);
            }
        }
    }

    fn ask(&self) -> Result<Asking<'_>, WorkError> {
        let mut state = self.inner.state.lock();
        if state.asking >= ASKING_MAX {
            return Err(WorkError::Crowd);
        }
        state.asking += 1;
        Ok(Asking(self))
    }

    /// The oldest offer becomes a claim.
    fn take(&self, transport: &str, worker: &str, lease: Duration) -> Option<Work> {
        let mut name = [0; 16];
        self.inner.runtime.fill_random(&mut name);
        let claim = format!("{:032x}", u128::from_be_bytes(name));
        let mut state = self.inner.state.lock();
        loop {
            let mut offer = state.desk(transport).offers.pop_front()?;
            let worker = line(worker, WORKER_CHARS_MAX);
            let taken = Ask::Taken { worker, lease };
            // Its attempt may have been dropped this moment.
            if offer.asks.try_send(taken).is_err() {
                continue;
            }
            offer.work.claim.clone_from(&claim);
            offer.work.lease = lease;
            let out = Out {
                number: offer.number,
                recipients: offer.work.recipients.clone(),
                size: offer.work.size,
                asks: offer.asks,
            };
            state.out.insert(claim, out);
            return Some(offer.work);
        }
    }

    /// How many octets a claimed message has.
    ///
    /// # Errors
    /// [`WorkError::Over`].
    pub fn size(&self, claim: &str) -> Result<u64, WorkError> {
        let state = self.inner.state.lock();
        state
            .out
            .get(claim)
            .map(|out| out.size)
            .ok_or(WorkError::Over)
    }

    /// Some octets of a message from `offset` on; none at the end.
    ///
    /// # Errors
    /// [`WorkError::Over`], [`WorkError::Unreadable`].
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn read(&self, claim: &str, offset: u64) -> Result<Bytes, WorkError> {
        let part = self
            .asked(claim, |answer| Ask::Read(offset, answer))
            .await?;
        part.map_err(|error| WorkError::Unreadable(error.to_string()))
    }

    /// The worker needs longer; how long it has from now on.
    ///
    /// # Errors
    /// [`WorkError::Over`].
    ///
    /// # Cancel safety
    /// May be dropped at any time; it may have been heard.
    pub async fn extend(&self, claim: &str, lease: Duration) -> Result<Duration, WorkError> {
        let lease = lease.min(CLAIM_MAX);
        self.asked(claim, |answer| Ask::Extend(lease, answer)).await
    }

    /// The worker says what became of the message; the claim ends.
    ///
    /// # Errors
    /// [`WorkError::Over`], [`WorkError::Stranger`], [`WorkError::Forgotten`].
    ///
    /// # Cancel safety
    /// May be dropped at any time; it may have been heard.
    pub async fn settle(&self, claim: &str, settled: Settled) -> Result<(), WorkError> {
        {
            let state = self.inner.state.lock();
            let out = state.out.get(claim).ok_or(WorkError::Over)?;
            let is_stranger = |name: &&String| !out.recipients.contains(name);
            if let Some(stranger) = settled.each.keys().find(is_stranger) {
                return Err(WorkError::Stranger(stranger.clone()));
            }
            let is_forgotten = |name: &&String| !settled.each.contains_key(*name);
            if let (None, Some(forgotten)) =
                (&settled.others, out.recipients.iter().find(is_forgotten))
            {
                return Err(WorkError::Forgotten(forgotten.clone()));
            }
        }
        self.asked(claim, |answer| Ask::Settle(settled, answer))
            .await
    }

    async fn asked<T>(
        &self,
        claim: &str,
        ask: impl FnOnce(oneshot::Sender<T>) -> Ask,
    ) -> Result<T, WorkError> {
        let asks = {
            let state = self.inner.state.lock();
            let out = state.out.get(claim).ok_or(WorkError::Over)?;
            out.asks.clone()
        };
        let (sender, answer) = oneshot::channel();
        let sent = asks.send(ask(sender)).await;
        sent.map_err(|_| WorkError::Over)?;
        answer.await.map_err(|_| WorkError::Over)
    }
}

/// One that asks.
struct Asking<'a>(&'a Workers);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.inner.state.lock().asking -= 1;
    }
}

impl State {
    fn desk(&mut self, transport: &str) -> &mut Desk {
        let desk = self.desks.entry(transport.to_owned());
        desk.or_insert_with(|| Desk {
            offers: VecDeque::new(),
            came: Arc::default(),
            missed: true,
        })
    }
}

/// The attempts' side.
impl Workers {
    /// Offers a message to the workers of a transport, and waits for what one says.
    ///
    /// # Cancel safety
    /// When it is dropped nobody gets the message, or the claim is over.
    pub(crate) async fn hand(
        &self,
        transport: &str,
        envelope: &Envelope,
        message: &dyn Message,
    ) -> Handed {
        let count = envelope.recipients.len();
        let runtime = &self.inner.runtime;
        let place = runtime.timeout(PLACE_PATIENCE, self.inner.places.acquire());
        let Ok(Ok(_place)) = place.await else {
            let text = "too many messages are with workers";
            return Handed {
                no_room: true,
                ..Handed::all(Outcome::temporary((4, 3, 2), text), count)
            };
        };
        let (mut asked, offered) = self.offer(transport, envelope, message);
        let taken = match runtime.timeout(OFFERED_FOR, asked.recv()).await {
            Ok(taken) => taken,
            // In the last moment somebody may have come.
            Err(_) if offered.take_back() => None,
            Err(_) => asked.recv().await,
        };
        let Some(Ask::Taken { worker, lease }) = taken else {
            let seconds = OFFERED_FOR.as_secs();
            let text = format!("no worker has asked for it within {seconds} s");
            // RFC 3463 §3.5: 4.4.1, no answer from host; so the site counts as down.
            return Handed::all(Outcome::temporary((4, 4, 1), &text), count);
        };
        match self.serve(&mut asked, lease, message).await {
            Some(settled) => settled.into_handed(&worker, &offered.recipients),
            None => {
                let text = format!("worker {worker} has not said in time what became of it");
                Handed::all(Outcome::temporary((4, 3, 0), &text), count)
            }
        }
    }

    fn offer(
        &self,
        transport: &str,
        envelope: &Envelope,
        message: &dyn Message,
    ) -> (mpsc::Receiver<Ask>, Offered<'_>) {
        let recipients = envelope.recipients.iter();
        let recipients: Vec<String> = recipients.map(|to| to.address.to_string()).collect();
        let sender = envelope.reverse_path.to_string();
        let work = Work {
            claim: String::new(),
            message: message.queue_id().unwrap_or_default(),
            sender: sender.trim_matches(['<', '>']).to_owned(),
            recipients: recipients.clone(),
            size: message.size(),
            lease: Duration::ZERO,
        };
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        let mut state = self.inner.state.lock();
        let number = state.next;
        state.next += 1;
        let desk = state.desk(transport);
        desk.offers.push_back(Offer { number, work, asks });
        desk.came.notify_one();
        let offered = Offered {
            workers: self,
            transport: transport.to_owned(),
            number,
            recipients,
        };
        (asked, offered)
    }

    /// Answers the worker until it has settled the message, or its time is over.
    async fn serve(
        &self,
        asked: &mut mpsc::Receiver<Ask>,
        lease: Duration,
        message: &dyn Message,
    ) -> Option<Settled> {
        let runtime = &self.inner.runtime;
        let begun = runtime.monotonic();
        let end = begun.after(CLAIM_MAX);
        let most = |now: Monotonic, lease: Duration| now.after(lease.min(end.since(now)));
        let mut until = most(begun, lease);
        loop {
            let left = until.since(runtime.monotonic());
            match runtime.timeout(left, asked.recv()).await.ok()?? {
                Ask::Taken { .. } => {}
                Ask::Read(offset, answer) => {
                    // Who has asked may have gone; so below.
                    let _ = answer.send(message.read(offset).await);
                }
                Ask::Extend(lease, answer) => {
                    let now = runtime.monotonic();
                    until = most(now, lease);
                    let _ = answer.send(until.since(now));
                }
                Ask::Settle(settled, answer) => {
                    let _ = answer.send(());
                    return Some(settled);
                }
            }
        }
    }
}

/// What an attempt has on a desk, or out; nothing of it is left when this is dropped.
struct Offered<'a> {
    workers: &'a Workers,
    transport: String,
    number: u64,
    recipients: Vec<String>,
}

impl Offered<'_> {
    /// Nobody has come for it; false if somebody has.
    fn take_back(&self) -> bool {
        let mut state = self.workers.inner.state.lock();
        let desk = state.desk(&self.transport);
        let before = desk.offers.len();
        desk.offers.retain(|offer| offer.number != self.number);
        let was_there = desk.offers.len() < before;
        desk.missed |= was_there;
        was_there
    }
}

impl Drop for Offered<'_> {
    fn drop(&mut self) {
        let mut state = self.workers.inner.state.lock();
        state.out.retain(|_, out| out.number != self.number);
        let desk = state.desk(&self.transport);
        desk.offers.retain(|offer| offer.number != self.number);
    }
}

impl Settled {
    fn into_handed(self, worker: &str, recipients: &[String]) -> Handed {
        let said = |name: &String| self.each.get(name).or(self.others.as_ref());
        let waits = recipients
            .iter()
            .filter_map(|name| match said(name)?.verdict {
                Verdict::Deferred(wait) => wait,
                _ => None,
            });
        let outcome = |name: &String| match said(name) {
            Some(said) => said.outcome(worker),
            None => Outcome::temporary((4, 3, 0), "the worker has said nothing of it"),
        };
        Handed {
            outcomes: recipients.iter().map(outcome).collect(),
            retry_after: waits.max(),
            no_room: false,
        }
    }
}

impl Said {
    fn outcome(&self, worker: &str) -> Outcome {
        let words = line(&self.text, WORDS_BYTES_MAX);
        let text = match words.as_str() {
            "" => format!("worker {worker}"),
            words => format!("worker {worker}: {words}"),
        };
        match self.verdict {
            Verdict::Delivered => Outcome::Delivered(Reply::enhanced(250, (2, 0, 0), &text)),
            Verdict::Deferred(_) => Outcome::temporary((4, 3, 0), &text),
            Verdict::Failed((subject, detail)) => {
                Outcome::permanent(550, (5, subject, detail), &text)
            }
        }
    }
}

/// The first line of what somebody wrote.
fn line(text: &str, chars_max: usize) -> String {
    let mut lines = text.lines().map(str::trim);
    let line = lines.find(|line| !line.is_empty()).unwrap_or_default();
    let visible = line.chars().filter(|c| !c.is_control());
    visible.take(chars_max).collect()
}
