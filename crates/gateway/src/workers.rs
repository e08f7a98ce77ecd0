//! Mail that other programs ask for, work on, and answer for: transports of the kind `worker`.
//!
//! An attempt offers its message and waits for somebody who claims it. Whoever does has a
//! lease: until it runs out the message is read through the claim, and what became of each
//! recipient is the attempt's outcome, with all that follows from one (retries, reports,
//! history). A claim is the attempt's and ends with it: at the end of its lease, or of this
//! process, the message is offered again. So a worker may see a message twice, and never loses
//! one by falling over.
//!
//! Not here: who may ask (`admin`), when an attempt is made (`dispatch`).

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use deliver::{Message, Outcome, Reason, Report};
use envelope::{Envelope, Reply};
use parking_lot::Mutex;
use runtime::{Runtime, Timestamp};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::limits::{LEASE_MAX, OFFERED_FOR, OFFERS_MAX};

/// Mail that waits for programs. Cheap to clone; clones are one and the same.
#[derive(Clone)]
pub struct Workers {
    runtime: Runtime,
    desk: Arc<Desk>,
}

#[derive(Default)]
struct Desk {
    state: Mutex<State>,
    offered: Notify,
}

#[derive(Default)]
struct State {
    /// By transport, the oldest first.
    offers: HashMap<String, VecDeque<Offer>>,
    /// By their names.
    claims: HashMap<String, mpsc::Sender<Asked>>,
    last: u64,
}

struct Offer {
    number: u64,
    told: Told,
    attempt: mpsc::Sender<Asked>,
}

/// What a worker is told of a message.
#[derive(Clone)]
struct Told {
    queue_id: Option<String>,
    size: u64,
    envelope: Envelope,
}

/// What is asked of an attempt whose message was claimed.
enum Asked {
    Claimed(Duration),
    Read(u64, oneshot::Sender<io::Result<Bytes>>),
    Extend(Duration, oneshot::Sender<Timestamp>),
    Settle(Vec<Outcome>, oneshot::Sender<()>),
}

/// A message that was claimed.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Its name: who knows it may read, extend and settle.
    pub name: String,
    /// Its name in the queue, the same each time.
    pub queue_id: Option<String>,
    /// Octets in all.
    pub size: u64,
    /// From whom, for whom.
    pub envelope: Envelope,
    /// The end of the lease.
    pub until: Timestamp,
}

/// There is no such claim: it was settled, or its lease has run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such claim: it was settled, or its lease has run out and the message is offered again")]
pub struct NoClaim;

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").finish_non_exhaustive()
    }
}

impl Workers {
    /// Nobody has asked yet.
    #[must_use]
    pub fn new(runtime: Runtime) -> Self {
        Self {
            runtime,
            desk: Arc::default(),
        }
    }

    /// The next message of a transport, waited for as long as this; none where none came.
    ///
    /// # Cancel safety
    /// May be dropped at any time: what was claimed in that moment is offered again when its
    /// lease runs out.
    pub async fn claim(&self, transport: &str, wait: Duration, lease: Duration) -> Option<Claim> {
        let until = self.runtime.monotonic().after(wait);
        loop {
            let offered = self.desk.offered.notified();
            if let Some(claim) = self.claim_now(transport, lease.min(LEASE_MAX)) {
                return Some(claim);
            }
            let left = until.since(self.runtime.monotonic());
            if left.is_zero() {
                return None;
            }
            // Another may have been faster.
            let _ = self.runtime.timeout(left, offered).await;
        }
    }

    fn claim_now(&self, transport: &str, lease: Duration) -> Option<Claim> {
        let mut state = self.desk.state.lock();
        loop {
            let offer = state.offers.get_mut(transport)?.pop_front()?;
            // One whose attempt has ended in this moment has nobody who listens.
            if offer.attempt.try_send(Asked::Claimed(lease)).is_err() {
                continue;
            }
            let (one, other) = (self.runtime.random_u64(), self.runtime.random_u64());
            let name = format!("{one:016x}{other:016x}");
            state.claims.insert(name.clone(), offer.attempt);
            let Told {
                queue_id,
                size,
                envelope,
            } = offer.told;
            return Some(Claim {
                name,
                queue_id,
                size,
                envelope,
                until: self.runtime.now().after(lease),
            });
        }
    }

    /// Octets of a claimed message from an offset on; none at its end.
    ///
    /// # Errors
    /// There is no such claim, or the message cannot be read.
    pub async fn read(&self, claim: &str, offset: u64) -> Result<io::Result<Bytes>, NoClaim> {
        self.ask(claim, |answer| Asked::Read(offset, answer)).await
    }

    /// The lease lasts so long from now on; its end.
    ///
    /// # Errors
    /// There is no such claim.
    pub async fn extend(&self, claim: &str, lease: Duration) -> Result<Timestamp, NoClaim> {
        let lease = lease.min(LEASE_MAX);
        self.ask(claim, |answer| Asked::Extend(lease, answer)).await
    }

    /// What became of the recipients, in the envelope's order: it is the attempt's outcome now.
    ///
    /// # Errors
    /// There is no such claim: the attempt has ended without it.
    pub async fn settle(&self, claim: &str, outcomes: Vec<Outcome>) -> Result<(), NoClaim> {
        let settled = self.ask(claim, |answer| Asked::Settle(outcomes, answer));
        settled.await
    }

    async fn ask<T>(
        &self,
        claim: &str,
        asked: impl FnOnce(oneshot::Sender<T>) -> Asked,
    ) -> Result<T, NoClaim> {
        let attempt = self.desk.state.lock().claims.get(claim).cloned();
        let (answer, answered) = oneshot::channel();
        let attempt = attempt.ok_or(NoClaim)?;
        attempt.send(asked(answer)).await.map_err(|_| NoClaim)?;
        answered.await.map_err(|_| NoClaim)
    }

    /// Offers a message; what whoever claims it makes of it. `name` is the transport.
    ///
    /// # Cancel safety
    /// Dropped, it is offered no more, and a claim is void.
    pub(crate) async fn offer(
        &self,
        name: &str,
        envelope: &Envelope,
        message: &dyn Message,
    ) -> Report {
        let count = envelope.recipients.len();
        let (attempt, mut asked) = mpsc::channel(1);
        let told = Told {
            queue_id: message.queue_id(),
            size: message.size(),
            envelope: envelope.clone(),
        };
        let Some(offer) = Offered::new(self, name, told, attempt) else {
            return nobody(count);
        };
        let claimed = self.runtime.timeout(OFFERED_FOR, asked.recv()).await;
        let lease = match claimed {
            Ok(Some(Asked::Claimed(lease))) => lease,
            // It may have been claimed in this very moment.
            _ if offer.take_back() => return nobody(count),
            _ => match asked.recv().await {
                Some(Asked::Claimed(lease)) => lease,
                _ => return nobody(count),
            },
        };
        let mut until = self.runtime.monotonic().after(lease);
        loop {
            let left = until.since(self.runtime.monotonic());
            match self.runtime.timeout(left, asked.recv()).await {
                Ok(Some(Asked::Read(offset, answer))) => {
                    // Who has stopped listening may ask again.
                    let _ = answer.send(message.read(offset).await);
                }
                Ok(Some(Asked::Extend(lease, answer))) => {
                    until = self.runtime.monotonic().after(lease);
                    let _ = answer.send(self.runtime.now().after(lease));
                }
                Ok(Some(Asked::Settle(outcomes, answer))) => {
                    let _ = answer.send(());
                    return settled(name, outcomes, count);
                }
                Ok(Some(Asked::Claimed(_))) => {}
                Ok(None) | Err(_) => {
                    let text = "who claimed it did not say in time what became of it";
                    let outcome = Outcome::temporary((4, 4, 2), text);
                    return Report {
                        host: Some(name.to_owned()),
                        ..Report::all(outcome, count)
                    };
                }
            }
        }
    }
}

/// Nobody has asked for it: nothing was said of it, and it is due as before.
fn nobody(count: usize) -> Report {
    let text = "no program has asked for it";
    Report {
        no_room: true,
        ..Report::all(Outcome::temporary((4, 4, 5), text), count)
    }
}

fn settled(name: &str, mut outcomes: Vec<Outcome>, count: usize) -> Report {
    let missing = Outcome::temporary((4, 3, 0), "nothing was said of this recipient");
    outcomes.resize(count, missing);
    for outcome in &mut outcomes {
        if let Outcome::Temporary(reason) | Outcome::Permanent(reason) = outcome {
            reason.said_by.get_or_insert_with(|| name.to_owned());
        }
    }
    Report {
        outcomes,
        host: Some(name.to_owned()),
        ..Report::all(Outcome::temporary((4, 3, 0), ""), count)
    }
}

/// What a worker says of a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It is done.
    Delivered,
    /// Later.
    Deferred,
    /// Never.
    Failed,
}

impl Word {
    /// As an outcome, with what the worker said and its status where it named one.
    #[must_use]
    pub fn outcome(self, status: Option<(u16, u16)>, text: &str) -> Outcome {
        let (subject, detail) = status.unwrap_or((0, 0));
        let reason = |reply| Reason {
            reply,
            said_by: None,
        };
        match self {
            Self::Delivered => Outcome::Delivered(Reply::enhanced(250, (2, subject, detail), text)),
            Self::Deferred => {
                Outcome::Temporary(reason(Reply::enhanced(451, (4, subject, detail), text)))
            }
            Self::Failed => {
                Outcome::Permanent(reason(Reply::enhanced(550, (5, subject, detail), text)))
            }
        }
    }
}

/// An offer that lasts as long as its attempt.
struct Offered {
    desk: Arc<Desk>,
    transport: String,
    number: u64,
    attempt: mpsc::WeakSender<Asked>,
}

impl Offered {
    fn new(
        workers: &Workers,
        transport: &str,
        told: Told,
        attempt: mpsc::Sender<Asked>,
    ) -> Option<Self> {
        let weak = attempt.downgrade();
        let mut state = workers.desk.state.lock();
        state.last += 1;
        let number = state.last;
        let offers = state.offers.entry(transport.to_owned()).or_default();
        if offers.len() >= OFFERS_MAX {
            return None;
        }
        offers.push_back(Offer {
            number,
            told,
            attempt,
        });
        drop(state);
        workers.desk.offered.notify_waiters();
        Some(Self {
            desk: Arc::clone(&workers.desk),
            transport: transport.to_owned(),
            number,
            attempt: weak,
        })
    }

    /// Nobody can claim it any more; false where somebody has.
    fn take_back(&self) -> bool {
        let mut state = self.desk.state.lock();
        let Some(offers) = state.offers.get_mut(&self.transport) else {
            return false;
        };
        let before = offers.len();
        offers.retain(|offer| offer.number != self.number);
        let was_there = offers.len() < before;
        if offers.is_empty() {
            state.offers.remove(&self.transport);
        }
        was_there
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        if self.take_back() {
            return;
        }
        let Some(attempt) = self.attempt.upgrade() else {
            return;
        };
        let mut state = self.desk.state.lock();
        state.claims.retain(|_, claim| !claim.same_channel(&attempt));
    }
}
