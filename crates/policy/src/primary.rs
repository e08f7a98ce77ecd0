//! Does a relay domain's own server know a recipient? The call-ahead, and what is remembered of it.
//!
//! Without it a backup MX takes mail for people who are not there, and bounces it
//! at senders who are forged: backscatter. With it strangers could make us ask
//! the primary about every word of a dictionary: so answers are remembered, few
//! are asked for at once, and a primary that does not answer is left alone for a
//! while. Not knowing is never a refusal for good.
//!
//! Not here: the conversation (`deliver`, bound to [`Primary`]).

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use envelope::{Address, Domain, Reply};
use quick_cache::sync::Cache;
use runtime::{Monotonic, Runtime};
use settings::rules::{Unsure, Verify};

use crate::limits::{
    ASK_TIMEOUT, ASKED_AT_ONCE_MAX, ASKED_DOMAINS_MAX, PRIMARY_REST, VERIFIED_ENTRIES,
};
use crate::{Decision, Policy, reply};

/// A future of a port.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a primary says about an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// It takes mail for it.
    Yes,
    /// It does not know it, in its own words.
    No(Reply),
    /// Nothing can be said now; why, for the log.
    Unsure(String),
}

/// Asks the primary of a relay domain.
pub trait Primary: fmt::Debug + Send + Sync {
    /// Whether it would take mail for an address.
    ///
    /// # Cancel safety
    /// May be dropped at any time: it is, when it takes too long.
    fn ask<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Known>;
}

/// Asks, and remembers.
pub(crate) struct Verifier {
    primary: Arc<dyn Primary>,
    runtime: Runtime,
    /// By the address's key: nothing against it, or the refusal; and until when that holds.
    kept: Cache<String, (Option<Reply>, Monotonic)>,
    domains: Mutex<HashMap<Domain, Asking>>,
}

/// How much a primary is being asked.
#[derive(Debug, Default)]
struct Asking {
    at_once: usize,
    /// It did not answer: until then it is left alone.
    rests_until: Option<Monotonic>,
}

/// One question's place among those that are asked at once.
struct Place<'v> {
    verifier: &'v Verifier,
    domain: Domain,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(asking) = self.verifier.domains().get_mut(&self.domain) {
            asking.at_once = asking.at_once.saturating_sub(1);
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

impl Verifier {
    pub(crate) fn new(primary: Arc<dyn Primary>, runtime: Runtime) -> Self {
        Self {
            primary,
            runtime,
            kept: Cache::new(VERIFIED_ENTRIES),
            domains: Mutex::default(),
        }
    }

    async fn verify(&self, address: &Address, wanted: &Verify) -> Known {
        let key = address.to_key();
        if let Some((refusal, until)) = self.kept.get(&key)
            && until > self.runtime.monotonic()
        {
            return refusal.map_or(Known::Yes, Known::No);
        }
        let place = match self.begin(address.domain()) {
            Ok(place) => place,
            Err(why) => return Known::Unsure(why.to_owned()),
        };
        let asking = self.primary.ask(address);
        let answer = self.runtime.timeout(ASK_TIMEOUT, asking).await;
        drop(place);
        let known = answer.unwrap_or_else(|_| Known::Unsure("it did not answer in time".into()));
        let now = self.runtime.monotonic();
        match &known {
            Known::Yes => {
                self.kept.insert(key, (None, now.after(wanted.known_for)));
            }
            Known::No(refusal) => {
                let until = now.after(wanted.unknown_for);
                self.kept.insert(key, (Some(refusal.clone()), until));
            }
            Known::Unsure(_) => {
                if let Some(asking) = self.domains().get_mut(address.domain()) {
                    asking.rests_until = Some(now.after(PRIMARY_REST));
                }
            }
        }
        known
    }

    fn begin(&self, domain: &Domain) -> Result<Place<'_>, &'static str> {
        let now = self.runtime.monotonic();
        let mut domains = self.domains();
        if domains.len() >= ASKED_DOMAINS_MAX {
            let rests = |asking: &Asking| asking.rests_until.is_some_and(|until| until > now);
            domains.retain(|_, asking| asking.at_once > 0 || rests(asking));
        }
        let asking = domains.entry(domain.clone()).or_default();
        if asking.rests_until.is_some_and(|until| until > now) {
            return Err("it did not answer a moment ago");
        }
        if asking.at_once >= ASKED_AT_ONCE_MAX {
            return Err("it is being asked about many");
        }
        asking.at_once += 1;
        asking.rests_until = None;
        Ok(Place {
            verifier: self,
            domain: domain.clone(),
        })
    }

    fn domains(&self) -> std::sync::MutexGuard<'_, HashMap<Domain, Asking>> {
        self.domains.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Policy {
    /// With somebody who asks the primaries of relay domains; without, they are not asked.
    #[must_use]
    pub fn with_primary(mut self, primary: Arc<dyn Primary>) -> Self {
        let runtime = self.full_since.runtime().clone();
        self.verifier = Some(Verifier::new(primary, runtime));
        self
    }

    /// An address of a relay domain, as far as its primary is to be asked about it.
    pub(crate) async fn check_known(&self, address: &Address, wanted: &Verify) -> Decision {
        let relay = Decision::Relay(address.clone());
        let Some(verifier) = &self.verifier else {
            return relay;
        };
        match Box::pin(verifier.verify(address, wanted)).await {
            Known::Yes => relay,
            Known::No(said) => Decision::Refuse(reply::unknown_there(address, &said)),
            Known::Unsure(why) => {
                tracing::info!(recipient = %address, why, "it is not known whether its primary knows a recipient");
                match wanted.unsure {
                    Unsure::Accept => relay,
                    Unsure::Defer => Decision::Refuse(reply::not_known_now(address)),
                }
            }
        }
    }
}
