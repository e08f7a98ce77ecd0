//! The keys of the store, and what is asked of them.

use std::sync::Arc;

use engine::{Batch, ShardId, SharedEngine};
use envelope::{Address, Domain};
use return_path::{Day, Key, TooLong, Unproven, batv, srs};
use runtime::Runtime;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::limits::{KEY_AGE, KEY_PROVES, KEYS_MAX};
use crate::record::{KEYS_PREFIX, Made, decode, encode};

/// Who makes and knows addresses that notifications come back to. Cheap to clone.
#[derive(Clone)]
pub struct Returns {
    engine: SharedEngine,
    runtime: Runtime,
    /// None before they were read.
    keys: Arc<Mutex<Option<Vec<Made>>>>,
}

impl std::fmt::Debug for Returns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Returns").finish_non_exhaustive()
    }
}

/// Makes addresses, now.
#[derive(Debug, Clone)]
pub struct Maker {
    key: Key,
    day: Day,
}

impl Maker {
    /// What stands in a sender's place when its message goes on through an address of
    /// `through`.
    ///
    /// # Errors
    /// It does not fit: the sender has to stay.
    pub fn for_forward(&self, sender: &Address, through: &Domain) -> Result<Address, TooLong> {
        srs::rewrite(&self.key, sender, through, self.day)
    }

    /// The sender with a tag (BATV).
    ///
    /// # Errors
    /// It does not fit: the sender goes without.
    pub fn tagged(&self, sender: &Address) -> Result<Address, TooLong> {
        batv::tag(&self.key, sender, self.day)
    }
}

impl Returns {
    /// Over a store's keys; nothing is read or made yet.
    #[must_use]
    pub fn new(engine: SharedEngine, runtime: Runtime) -> Self {
        Self {
            engine,
            runtime,
            keys: Arc::default(),
        }
    }

    /// Who makes addresses now. None while no key can be kept: what it made would be
    /// refused after a restart.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn maker(&self) -> Option<Maker> {
        let now_ms = self.runtime.now().unix_ms;
        let mut keys = self.keys.lock().await;
        let known = self.read(&mut keys).await?;
        let fresh = |made: &Made| !is_over(made.at_ms, KEY_AGE, now_ms);
        if !known.first().is_some_and(fresh) {
            let mut next = followed(known, now_ms);
            next.insert(0, self.made(now_ms));
            next.truncate(KEYS_MAX);
            // With one that is old addresses are as good as before.
            if self.keep(&next).await {
                *known = next;
            }
        }
        known.first().map(|made| Maker {
            key: made.key.clone(),
            day: Day::of_unix_ms(now_ms),
        })
    }

    /// Whom a notification to this address is for; none if it is of no form that is
    /// made here.
    ///
    /// # Errors
    /// Nobody: it is not ours, or too old.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn original(&self, address: &Address) -> Option<Result<Address, Unproven>> {
        let day = Day::of_unix_ms(self.runtime.now().unix_ms);
        // Most addresses have not the form, and need no keys.
        if !Self::has_form(address) {
            return None;
        }
        srs::original(&self.known().await, address, day)
    }

    /// A tagged sender without its tag; none if it has none.
    ///
    /// # Errors
    /// The tag is not ours, or too old.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn untagged(&self, address: &Address) -> Option<Result<Address, Unproven>> {
        let day = Day::of_unix_ms(self.runtime.now().unix_ms);
        if !Self::has_tag(address) {
            return None;
        }
        batv::untag(&self.known().await, address, day)
    }

    /// Whether the address has the form of a tagged one.
    #[must_use]
    pub fn has_tag(address: &Address) -> bool {
        batv::untag(&[], address, Day(0)).is_some()
    }

    async fn known(&self) -> Vec<Key> {
        let mut held = self.keys.lock().await;
        let known = self.read(&mut held).await;
        let known = known.map(|known| known.iter().map(|made| made.key.clone()).collect());
        known.unwrap_or_default()
    }

    /// Whether the address has the form of those that are made here.
    #[must_use]
    pub fn has_form(address: &Address) -> bool {
        srs::original(&[], address, Day(0)).is_some()
    }

    async fn read<'a>(&self, held: &'a mut Option<Vec<Made>>) -> Option<&'a mut Vec<Made>> {
        if held.is_none() {
            let engine = Arc::clone(&self.engine);
            let read = move || engine.snapshot(ShardId(0)).get(&KEYS_PREFIX);
            let stored = match self.runtime.blocking(read).await {
                Ok(stored) => stored,
                Err(error) => {
                    tracing::error!(%error, "the keys of rewritten senders cannot be read");
                    return None;
                }
            };
            let decoded = stored.map(|stored| decode(&stored.value)).transpose();
            *held = Some(match decoded {
                Ok(known) => known.unwrap_or_default(),
                Err(error) => {
                    tracing::error!(%error, "the keys of rewritten senders are damaged: notifications to those made so far are refused");
                    Vec::new()
                }
            });
        }
        held.as_mut()
    }

    fn made(&self, at_ms: u64) -> Made {
        let mut bytes = Zeroizing::new([0; 32]);
        self.runtime.fill_random(&mut *bytes);
        Made {
            at_ms,
            key: Key::new(*bytes),
        }
    }

    async fn keep(&self, keys: &[Made]) -> bool {
        let mut batch = Batch::new();
        batch.put(KEYS_PREFIX.to_vec(), encode(keys));
        match self.engine.submit(batch) {
            Ok(ticket) => {
                ticket.done().await;
                true
            }
            Err(error) => {
                tracing::warn!(%error, "a new key of rewritten senders cannot be kept");
                false
            }
        }
    }
}

/// Those that still prove something when another one follows them now.
fn followed(known: &[Made], now_ms: u64) -> Vec<Made> {
    let mut follower_ms = now_ms;
    let mut kept = Vec::new();
    for made in known {
        if !is_over(follower_ms, KEY_PROVES, now_ms) {
            kept.push(made.clone());
        }
        follower_ms = made.at_ms;
    }
    kept
}

fn is_over(since_ms: u64, lasts: std::time::Duration, now_ms: u64) -> bool {
    u128::from(now_ms.saturating_sub(since_ms)) >= lasts.as_millis()
}
