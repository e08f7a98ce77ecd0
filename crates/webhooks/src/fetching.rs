//! What waits for those that ask: `[[subscription]]`.
//!
//! One that asks gets a page with a name and has it in hand until it says that it has heard it:
//! then the page is removed, and the next one follows. So what was given and got lost is given
//! again, as it was. A restart forgets the names, not what waits.

use std::time::Duration;

use queue::{QueueError, ToldPage};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::limits::PAGE;
use crate::{Webhooks, body};

/// A page that one that asks has in hand, and the name of the one before.
#[derive(Default)]
pub(crate) struct InHand(Mutex<Pages>);

#[derive(Default)]
struct Pages {
    now: Option<(String, ToldPage)>,
    heard: Option<String>,
}

/// What one that asks is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// What to call it by; none where nothing waits.
    pub page: Option<String>,
    /// In their order, as a webhook is told (docs/policy.md).
    pub events: Vec<Value>,
}

/// Why it is given nothing.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// There is none, or it is told.
    #[error("there is no subscription {0:?} in the rules that are in force")]
    NoSubscription(String),
    /// It has not that page in hand.
    #[error(
        "{0:?} is not the page in hand: ask without \"heard\", and drop what has an id that was there before"
    )]
    NotInHand(String),
    /// The store cannot be read, or does not take it.
    #[error(transparent)]
    Store(#[from] QueueError),
}

impl Webhooks {
    /// The page that a subscription has in hand, or the next one as soon as something waits within
    /// `wait`; some `max` events, a few more where a commit recorded several. The page called
    /// `heard` is removed before.
    ///
    /// # Errors
    /// [`FetchError`]; nothing is removed then.
    ///
    /// # Cancel safety
    /// May be dropped at any time: `heard` may have been removed.
    pub async fn fetch(
        &self,
        name: &str,
        heard: Option<&str>,
        (max, wait): (usize, Duration),
    ) -> Result<Fetched, FetchError> {
        let inner = &self.inner;
        let in_hand = {
            let hooks = inner.hooks.lock();
            let hook = hooks.get(name).filter(|hook| hook.rule.hook.is_none());
            let hook = hook.ok_or_else(|| FetchError::NoSubscription(name.to_owned()))?;
            hook.in_hand.clone()
        };
        if let Some(heard) = heard {
            self.hear(name, &mut *in_hand.0.lock().await, heard).await?;
        }
        let until = inner.runtime.monotonic().after(wait);
        loop {
            // What comes from here on is heard of.
            let mut news = std::pin::pin!(inner.news.notified());
            news.as_mut().enable();
            let fetched = self.look(name, &mut *in_hand.0.lock().await, max).await?;
            let left = until.since(inner.runtime.monotonic());
            if fetched.page.is_some() || inner.runtime.timeout(left, news).await.is_err() {
                return Ok(fetched);
            }
        }
    }

    async fn hear(&self, name: &str, pages: &mut Pages, heard: &str) -> Result<(), FetchError> {
        // It may not have got the answer.
        if pages.heard.as_deref() == Some(heard) {
            return Ok(());
        }
        let Some((known, page)) = pages.now.take_if(|(known, _)| known == heard) else {
            return Err(FetchError::NotInHand(heard.to_owned()));
        };
        let count = page.told.len() as u64;
        self.inner.queue.heard(name, page).await?;
        pages.heard = Some(known);
        if let Some(hook) = self.inner.hooks.lock().get_mut(name) {
            hook.told += count;
        }
        Ok(())
    }

    async fn look(&self, name: &str, pages: &mut Pages, max: usize) -> Result<Fetched, FetchError> {
        if pages.now.is_none() {
            let max = max.clamp(1, PAGE);
            let page = self.inner.queue.told_to(name, max).await;
            let page = page.map_err(QueueError::from)?;
            if page.told.is_empty() {
                // What cannot be read is nobody's.
                self.inner.queue.heard(name, page).await?;
            } else {
                let called = format!("{:016x}", self.inner.runtime.random_u64());
                pages.now = Some((called, page));
            }
        }
        Ok(match &pages.now {
            Some((called, page)) => Fetched {
                page: Some(called.clone()),
                events: page.told.iter().map(body::event).collect(),
            },
            None => Fetched {
                page: None,
                events: Vec::new(),
            },
        })
    }
}
