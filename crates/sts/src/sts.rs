//! What a domain demands now: RFC 8461 §3.3, §5.1.

use std::collections::HashMap;
use std::sync::Arc;

use engine::{Batch, ShardId, SharedEngine};
use envelope::Domain;
use parking_lot::Mutex;
use runtime::Runtime;
use tls_policy::{Mode, Policy, record_id};

use crate::limits::{DOMAINS_MAX, FRESH, RETRY_PAUSE};
use crate::record::{Held, key};
use crate::source::{Source, Trouble};

/// What is known of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// Its policy, if it has one that is in force; never one that says `none`.
    pub policy: Option<Arc<Policy>>,
    /// The id that it was announced under.
    pub id: String,
    /// Why a newer one, or the only one, could not be had.
    pub trouble: Option<Trouble>,
}

/// The policies of other domains. Cheap to clone.
#[derive(Clone)]
pub struct Sts {
    engine: SharedEngine,
    runtime: Runtime,
    source: Arc<dyn Source>,
    domains: Arc<Mutex<HashMap<Domain, Slot>>>,
}

type Slot = Arc<tokio::sync::Mutex<State>>;

#[derive(Default)]
struct State {
    /// The record was looked for.
    read: bool,
    held: Option<(Held, Arc<Policy>)>,
    /// When it could not be had last, and why.
    failed: Option<(u64, Trouble)>,
}

impl std::fmt::Debug for Sts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sts").finish_non_exhaustive()
    }
}

impl Sts {
    /// Policies that come from `source` and are kept in `engine`.
    #[must_use]
    pub fn new(engine: SharedEngine, runtime: Runtime, source: Arc<dyn Source>) -> Self {
        Self {
            engine,
            runtime,
            source,
            domains: Arc::default(),
        }
    }

    /// What the domain demands now. May wait for its servers, for 30 seconds at most.
    ///
    /// # Cancel safety
    /// May be dropped at any time; what was being fetched is fetched again.
    pub async fn policy(&self, domain: &Domain) -> Known {
        if domain.literal_ip().is_some() {
            return Known::default();
        }
        let slot = self.slot(domain);
        let mut state = slot.lock().await;
        if !state.read {
            state.held = self.stored(domain).await;
            state.read = true;
        }
        self.renew(domain, &mut state).await;
        let now_ms = self.runtime.now().unix_ms;
        let trouble = state.failed.as_ref().map(|(_, trouble)| trouble.clone());
        match &state.held {
            Some((held, policy)) if now_ms < held.ends_ms() => Known {
                policy: (policy.mode != Mode::None).then(|| Arc::clone(policy)),
                id: held.id.clone(),
                trouble,
            },
            _ => Known {
                trouble,
                ..Known::default()
            },
        }
    }

    /// Fetches what is announced and not there.
    async fn renew(&self, domain: &Domain, state: &mut State) {
        let name = domain.to_ascii();
        let texts = self.source.texts(&format!("_mta-sts.{name}")).await;
        // RFC 8461 §5.1: what was had before goes on without.
        let Some(id) = texts.ok().and_then(|texts| record_id(&texts)) else {
            state.failed = None;
            return;
        };
        let now_ms = self.runtime.now().unix_ms;
        let since = |ms: u64| u128::from(now_ms.saturating_sub(ms));
        if let Some((held, _)) = &state.held
            && held.id == id
            && now_ms < held.ends_ms()
            && since(held.fetched_ms) < FRESH.as_millis()
        {
            state.failed = None;
            return;
        }
        if let Some((at_ms, _)) = &state.failed
            && since(*at_ms) < RETRY_PAUSE.as_millis()
        {
            return;
        }
        match self.fetch(&name).await {
            Ok(policy) => {
                let held = Held {
                    id,
                    fetched_ms: now_ms,
                    policy,
                };
                tracing::debug!(%domain, id = held.id, policy = ?held.policy, "MTA-STS policy");
                self.store(domain, Some(&held));
                let policy = Arc::new(held.policy.clone());
                state.held = Some((held, policy));
                state.failed = None;
            }
            Err(trouble) => {
                tracing::info!(%domain, %trouble, "an MTA-STS policy that is announced cannot be had");
                state.failed = Some((now_ms, trouble));
                let over = |(held, _): &mut (Held, _)| now_ms >= held.ends_ms();
                if state.held.take_if(over).is_some() {
                    self.store(domain, None);
                }
            }
        }
    }

    async fn fetch(&self, name: &str) -> Result<Policy, Trouble> {
        let text = self.source.document(&format!("mta-sts.{name}")).await?;
        Policy::parse(&text).map_err(|error| Trouble::Invalid(error.to_string()))
    }

    fn slot(&self, domain: &Domain) -> Slot {
        let mut domains = self.domains.lock();
        if let Some(slot) = domains.get(domain) {
            return Arc::clone(slot);
        }
        if domains.len() >= DOMAINS_MAX {
            // They are in the store; whoever is being asked for stays.
            domains.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        let slot = Slot::default();
        domains.insert(domain.clone(), Arc::clone(&slot));
        slot
    }

    async fn stored(&self, domain: &Domain) -> Option<(Held, Arc<Policy>)> {
        let (engine, key) = (Arc::clone(&self.engine), key(domain));
        let read = move || engine.snapshot(ShardId(0)).get(&key);
        let stored = match self.runtime.blocking(read).await {
            Ok(stored) => stored?,
            Err(error) => {
                tracing::warn!(%domain, %error, "an MTA-STS policy cannot be read");
                return None;
            }
        };
        let held = Held::decode(&stored.value).ok()?;
        let policy = Arc::new(held.policy.clone());
        Some((held, policy))
    }

    /// Nobody waits for it: what is lost is fetched again.
    fn store(&self, domain: &Domain, held: Option<&Held>) {
        let mut batch = Batch::new();
        match held {
            Some(held) => batch.put(key(domain), held.encode()),
            None => batch.delete(key(domain)),
        };
        if let Err(error) = self.engine.submit(batch) {
            tracing::warn!(%domain, %error, "an MTA-STS policy is not kept");
        }
    }
}
