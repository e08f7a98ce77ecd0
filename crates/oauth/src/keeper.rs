//! The issuer's keys in memory, and when it is asked for them again.
//!
//! | what there is | what a token meets |
//! |---|---|
//! | fresh keys, its `kid` among them | these |
//! | keys an hour old, or its `kid` unknown | the issuer is asked, if it was not within the pause |
//! | … it answers | the new keys |
//! | … it does not | the old ones, up to a day, if its `kid` is among them; else "not now" |
//!
//! One asks, the others wait for it.

use crate::jwks::KeySet;
use crate::limits::{KEYS_FRESH, KEYS_STALE_MAX, REFRESH_PAUSE, RETRY_PAUSE};
use directory::BoxFuture;
use parking_lot::Mutex;
use runtime::{Monotonic, Runtime};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Where keys come from.
pub(crate) trait Source: fmt::Debug + Send + Sync {
    /// The JWK Set as it is now; the error is for the log.
    fn load(&self) -> BoxFuture<'_, Result<Vec<u8>, String>>;
}

#[derive(Debug)]
pub(crate) struct Keeper {
    source: Box<dyn Source>,
    runtime: Runtime,
    held: Mutex<Option<Held>>,
    asking: tokio::sync::Mutex<Option<Attempt>>,
}

#[derive(Debug, Clone)]
struct Held {
    keys: Arc<KeySet>,
    at: Monotonic,
}

/// The last time that the source was asked.
#[derive(Debug)]
struct Attempt {
    at: Monotonic,
    /// Why it brought nothing.
    failed: Option<String>,
}

impl Keeper {
    pub(crate) fn new(source: Box<dyn Source>, runtime: Runtime) -> Self {
        Self {
            source,
            runtime,
            held: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// The keys to check a token of this `kid` with. The error is for the log.
    ///
    /// # Cancel safety
    /// May be dropped at any time; a request on its way is given up, and the next
    /// one waits for the pause.
    pub(crate) async fn keys(&self, kid: Option<&str>) -> Result<Arc<KeySet>, String> {
        self.keys_that(|keys| keys.may_have(kid)).await
    }

    /// Newer keys than these, if there are any: a token that names no key is of none
    /// of them. Otherwise as [`Keeper::keys`].
    pub(crate) async fn newer_than(&self, old: &Arc<KeySet>) -> Result<Arc<KeySet>, String> {
        self.keys_that(|keys| !Arc::ptr_eq(keys, old)).await
    }

    async fn keys_that(
        &self,
        would_do: impl Fn(&Arc<KeySet>) -> bool + Send + Sync,
    ) -> Result<Arc<KeySet>, String> {
        let younger_than = |age| self.younger_than(age).filter(&would_do);
        if let Some(keys) = younger_than(KEYS_FRESH) {
            return Ok(keys);
        }
        let mut last = self.asking.lock().await;
        // Whoever asked meanwhile may have brought it.
        if let Some(keys) = younger_than(KEYS_FRESH) {
            return Ok(keys);
        }
        let now = self.runtime.monotonic();
        if let Some(attempt) = last.as_ref() {
            match &attempt.failed {
                None if now < attempt.at.after(REFRESH_PAUSE) => {
                    // The issuer has no such key: the token is refused with these.
                    let held = self.held.lock().clone();
                    return held.map(|held| held.keys).ok_or_else(String::new);
                }
                Some(reason) if now < attempt.at.after(RETRY_PAUSE) => {
                    return younger_than(KEYS_STALE_MAX).ok_or_else(|| reason.clone());
                }
                _ => {}
            }
        }
        *last = Some(Attempt {
            at: now,
            failed: Some("it was asked and had not answered when the client went".to_owned()),
        });
        let loaded = self.source.load().await;
        let loaded = loaded.and_then(|document| KeySet::parse(&document));
        let at = self.runtime.monotonic();
        match loaded {
            Ok(keys) => {
                let keys = Arc::new(keys);
                *last = Some(Attempt { at, failed: None });
                *self.held.lock() = Some(Held {
                    keys: keys.clone(),
                    at,
                });
                Ok(keys)
            }
            Err(reason) => {
                tracing::warn!(%reason, "the keys of oauth.issuer cannot be had");
                *last = Some(Attempt {
                    at,
                    failed: Some(reason.clone()),
                });
                younger_than(KEYS_STALE_MAX).ok_or(reason)
            }
        }
    }

    fn younger_than(&self, age: Duration) -> Option<Arc<KeySet>> {
        let held = self.held.lock().clone()?;
        let young = self.runtime.monotonic() < held.at.after(age);
        young.then_some(held.keys)
    }
}
