//! Tells programs what became of mail: `[[webhook]]` and `[[subscription]]` of the rules file.
//!
//! * [`Webhooks::set`] – who hears of what, from the rules
//! * [`Webhooks::run`] – posts what waits, until the drain
//! * [`Webhooks::fetch`] – what waits for one that asks
//! * [`Webhooks::list`], [`Webhooks::test`] – the operator's
//! * [`Poster`] – the port: who posts
//!
//! Not here: what is to be told, which the queue keeps with the outcomes (`queue::Told`), and
//! messages that are posted as a whole (`gateway`).
//!
//! Invariants: at least once, a message's outcomes in their order; delivery waits for nobody here; one that
//! is slow or away holds up no other; what waits is on the disk, and bounded.

#![forbid(unsafe_code)]

mod body;
mod fetching;
mod limits;
mod posting;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use https::{Answer, Failure, Https, Posted};
use parking_lot::Mutex;
use queue::{Became, Queue, QueueError};
use runtime::{Monotonic, Runtime};
use settings::rules::{AddressPattern, OutcomeEvent, Subscriber};
use tokio::sync::Notify;

pub use fetching::{FetchError, Fetched};

/// A future of a port.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Who posts.
pub trait Poster: Send + Sync {
    /// Posts something; an answer of any status is one.
    ///
    /// # Cancel safety
    /// May be dropped at any time; it may have been taken.
    fn post<'a>(
        &'a self,
        posted: &'a Posted<'a>,
        body: &'a Bytes,
    ) -> BoxFuture<'a, Result<Answer, Failure>>;
}

impl Poster for Https {
    fn post<'a>(
        &'a self,
        posted: &'a Posted<'a>,
        body: &'a Bytes,
    ) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(Https::post(self, posted, body))
    }
}

/// Those who hear of outcomes. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks {
    inner: Arc<Inner>,
}

struct Inner {
    queue: Queue,
    poster: Arc<dyn Poster>,
    runtime: Runtime,
    hooks: Mutex<HashMap<String, Hook>>,
    /// A hook has become free, or another one is there.
    changed: Notify,
    /// There may be something for one that asks.
    news: Notify,
}

/// One of them, and how it does.
#[derive(Clone)]
struct Hook {
    rule: Arc<Subscriber>,
    is_busy: bool,
    /// It is left alone until then.
    rests_until: Option<Monotonic>,
    /// Failures in a row.
    failures: u32,
    /// What the failed attempt told, so that it is told again as it was.
    page: usize,
    told: u64,
    trouble: Option<Trouble>,
    /// What one that asks has in hand.
    in_hand: Arc<fetching::InHand>,
}

/// What went wrong last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Why.
    pub why: String,
}

/// How a webhook does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Where it is; none of one that asks.
    pub url: Option<String>,
    /// Outcomes that wait for it.
    pub waiting: u64,
    /// Outcomes that it took since the start.
    pub told: u64,
    /// Outcomes that were not kept for it since the start, because too many waited.
    pub dropped: u64,
    /// In how long it is tried again; none where nothing failed.
    pub again_in: Option<Duration>,
    /// What went wrong last since the start, though it may go well again.
    pub trouble: Option<Trouble>,
}

impl std::fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhooks").finish_non_exhaustive()
    }
}

impl Webhooks {
    /// Nobody hears of anything before [`Webhooks::set`].
    #[must_use]
    pub fn new(queue: Queue, poster: Arc<dyn Poster>, runtime: Runtime) -> Self {
        Self {
            inner: Arc::new(Inner {
                queue,
                poster,
                runtime,
                hooks: Mutex::default(),
                changed: Notify::new(),
                news: Notify::new(),
            }),
        }
    }

    /// From now on these hear of outcomes and nobody else. What waits for a name stays with it.
    ///
    /// # Errors
    /// The store cannot be read, or does not take it; then all is as before.
    pub async fn set(&self, rules: &[Subscriber]) -> Result<(), QueueError> {
        let subscribers = rules.iter().map(subscriber).collect();
        self.inner.queue.subscribe(subscribers).await?;
        let mut hooks = self.inner.hooks.lock();
        let mut before = std::mem::take(&mut *hooks);
        for rule in rules {
            let rule = Arc::new(rule.clone());
            let hook = match before.remove(&rule.name) {
                // The address may be another one: it is tried at once.
                Some(known) => Hook {
                    rule: Arc::clone(&rule),
                    rests_until: None,
                    ..known
                },
                None => Hook {
                    rule: Arc::clone(&rule),
                    is_busy: false,
                    rests_until: None,
                    failures: 0,
                    page: limits::PAGE,
                    told: 0,
                    trouble: None,
                    in_hand: Arc::default(),
                },
            };
            hooks.insert(rule.name.clone(), hook);
        }
        drop(hooks);
        self.inner.changed.notify_one();
        Ok(())
    }

    /// All of them, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Status> {
        let subscribed = self.inner.queue.subscribed();
        let now = self.inner.runtime.monotonic();
        let hooks = self.inner.hooks.lock();
        let status = |(name, hook): (&String, &Hook)| {
            let known = subscribed.iter().find(|one| one.name == *name);
            Status {
                name: name.clone(),
                url: hook.rule.hook.as_ref().map(|hook| hook.url.clone()),
                waiting: known.map_or(0, |known| known.waiting),
                told: hook.told,
                dropped: known.map_or(0, |known| known.dropped),
                again_in: hook.rests_until.map(|until| until.since(now)),
                trouble: hook.trouble.clone(),
            }
        };
        let mut all: Vec<Status> = hooks.iter().map(status).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// Outcomes of all hooks together that were not kept, since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        let subscribed = self.inner.queue.subscribed();
        subscribed.iter().map(|one| one.dropped).sum()
    }
}

/// What the queue keeps for a hook.
fn subscriber(rule: &Subscriber) -> queue::Subscriber {
    let wanted = rule.clone();
    queue::Subscriber {
        name: rule.name.clone(),
        wants: Arc::new(move |became, sender, recipient| {
            let event = match became {
                Became::Delivered => OutcomeEvent::Delivered,
                Became::Deferred => OutcomeEvent::Deferred,
                Became::Failed => OutcomeEvent::Failed,
            };
            let from = |pattern: &AddressPattern| match sender {
                Some(sender) => pattern.fits(sender),
                None => *pattern == AddressPattern::Null,
            };
            let domain = recipient.domain().as_str();
            (wanted.events.is_empty() || wanted.events.contains(&event))
                && (wanted.sender.is_empty() || wanted.sender.iter().any(from))
                && (wanted.domain.is_empty()
                    || wanted.domain.iter().any(|pattern| pattern.fits(domain)))
        }),
    }
}
