//! How often strangers come: connections by the minute, messages by the hour, of
//! one address and of its network (/24, /48).
//!
//! | finding | when | told |
//! |---|---|---|
//! | `rate-connections` | too many connections in a minute | 421 4.7.0, before the greeting |
//! | `rate-messages` | too many messages in an hour | 450 4.7.0 at MAIL |
//!
//! Counted by the generic cell rate algorithm: one number for each address, no
//! list of events. When the house is crowded ([`Crowd`]) everybody but known good
//! senders gets a quarter. A sender's domain is not counted: anybody can write it,
//! and would shut its owner out.
//!
//! All in memory and bounded: under a flood of addresses the least used go first.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use envelope::Reply;
use parking_lot::Mutex;
use quick_cache::unsync::Cache;
use runtime::{Monotonic, Runtime};

use super::conduct::Conduct;
use super::{Action, Asked, BoxFuture, Check, Finding, Manner, Phase, Verdict, time};
use crate::limits::{CROWDED_DIVISOR, HOUR, MINUTE, NETWORK_BITS, RATE_ENTRIES};

/// So many of one address and of its network; 0 is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of one address (IPv6: of a /64).
    pub address: u64,
    /// Of its /24 or /48.
    pub network: u64,
}

/// Whether most places of the house are taken. Set by who counts them.
#[derive(Debug, Clone, Default)]
pub struct Crowd(Arc<AtomicBool>);

impl Crowd {
    /// Tells.
    pub fn set(&self, crowded: bool) {
        if self.0.swap(crowded, Ordering::Relaxed) != crowded {
            tracing::warn!(crowded, "most places for sessions are taken, or no longer");
        }
    }

    /// Now.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Connections by the minute.
    Connections,
    /// Messages by the hour.
    Messages,
}

/// One of the two counts.
pub struct Rate {
    counted: Counted,
    limits: Limits,
    runtime: Runtime,
    crowd: Crowd,
    conduct: Arc<Conduct>,
    /// When what came so far is used up.
    full_until: Mutex<Cache<(IpAddr, bool), Monotonic>>,
}

impl std::fmt::Debug for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rate")
            .field("counted", &self.counted)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Rate {
    /// A count of nothing yet.
    #[must_use]
    pub fn new(
        counted: Counted,
        limits: Limits,
        crowd: Crowd,
        conduct: Arc<Conduct>,
        runtime: &Runtime,
    ) -> Self {
        Self {
            counted,
            limits,
            runtime: runtime.clone(),
            crowd,
            conduct,
            full_until: Mutex::new(Cache::new(RATE_ENTRIES)),
        }
    }

    fn span(&self) -> Duration {
        match self.counted {
            Counted::Connections => MINUTE,
            Counted::Messages => HOUR,
        }
    }

    /// Counts one; how long to wait, and of what there were too many.
    fn count(&self, client: IpAddr) -> Result<(), (Duration, IpAddr, u64)> {
        let now = self.runtime.monotonic();
        let squeezed = self.crowd.is_crowded() && !self.conduct.is_good(client);
        let (v4, v6) = NETWORK_BITS;
        let counts = [
            (prefix(client, 32, 64), false, self.limits.address),
            (prefix(client, v4, v6), true, self.limits.network),
        ];
        let mut full_until = self.full_until.lock();
        for (of, wide, limit) in counts {
            if limit == 0 {
                continue;
            }
            let limit = match squeezed {
                true => (limit / CROWDED_DIVISOR).max(1),
                false => limit,
            };
            let key = (of, wide);
            let full = full_until.get(&key).copied().unwrap_or(now).max(now);
            let next = full.after(self.span() / u32::try_from(limit).unwrap_or(u32::MAX));
            let over = next.since(now.after(self.span()));
            // A rounding step of the division is no excess.
            if over > Duration::from_millis(1) {
                return Err((over, of, limit));
            }
            full_until.insert(key, next);
        }
        Ok(())
    }
}

impl Check for Rate {
    fn name(&self) -> &'static str {
        match self.counted {
            Counted::Connections => "rate-connections",
            Counted::Messages => "rate-messages",
        }
    }

    fn phase(&self) -> Phase {
        match self.counted {
            Counted::Connections => Phase::Connect,
            Counted::Messages => Phase::Sender,
        }
    }

    fn manner(&self) -> Manner {
        Manner::Immediate
    }

    fn check<'a>(&'a self, asked: Asked<'a>) -> BoxFuture<'a, Verdict> {
        let verdict = match self.count(asked.client()) {
            Ok(()) => Verdict::pass(),
            Err((wait, of, limit)) => {
                let (what, code) = match self.counted {
                    Counted::Connections => ("connections in a minute", 421),
                    Counted::Messages => ("messages in an hour", 450),
                };
                let text = format!(
                    "more than {limit} {what} from {of} or its network; come again in {}",
                    time(wait)
                );
                let reply = Reply::enhanced(code, (4, 7, 0), &text);
                Verdict {
                    action: match self.counted {
                        Counted::Connections => Action::Close(reply),
                        Counted::Messages => Action::RefuseNow(reply),
                    },
                    findings: vec![Finding::new(self.name(), 0, text)],
                    ..Verdict::pass()
                }
            }
        };
        Box::pin(std::future::ready(verdict))
    }
}

/// The address with only so many of its leading bits.
#[must_use]
pub(super) fn prefix(ip: IpAddr, v4_bits: u32, v6_bits: u32) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - v4_bits).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - v6_bits).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::ip;
    use super::*;

    fn rate(address: u64, network: u64) -> (Rate, Runtime, Crowd, Arc<Conduct>) {
        let (runtime, crowd) = (Runtime::for_tests(), Crowd::default());
        let conduct = Arc::new(Conduct::new(&runtime));
        let limits = Limits { address, network };
        let counted = Counted::Connections;
        let rate = Rate::new(counted, limits, crowd.clone(), conduct.clone(), &runtime);
        (rate, runtime, crowd, conduct)
    }

    fn passed(rate: &Rate, client: &str, tries: usize) -> usize {
        let tries = (0..tries).filter(|_| rate.count(ip(client)).is_ok());
        tries.count()
    }

    #[test]
    fn an_address_and_its_network_have_their_rates() {
        let (rate, runtime, ..) = rate(10, 25);
        assert_eq!(passed(&rate, "192.0.2.1", 20), 10);
        assert_eq!(passed(&rate, "192.0.2.2", 20), 10);
        assert_eq!(passed(&rate, "192.0.2.3", 20), 5, "the network has 25");
        assert_eq!(passed(&rate, "192.0.3.3", 20), 10, "another network");
        // A tenth of the minute brings one more to each address.
        runtime.advance(MINUTE / 10);
        assert_eq!(passed(&rate, "192.0.2.1", 20), 1);
        runtime.advance(MINUTE);
        assert_eq!(passed(&rate, "192.0.2.1", 20), 10);
        // IPv6: a /64 is one customer, a /48 a network.
        assert_eq!(passed(&rate, "2001:db8::1", 9), 9);
        assert_eq!(passed(&rate, "2001:db8::2", 9), 1);
        assert_eq!(passed(&rate, "2001:db8:0:1::2", 20), 10);
        assert_eq!(passed(&rate, "2001:db8:0:2::2", 20), 5);
    }

    #[test]
    fn zero_is_no_limit() {
        let (rate, ..) = rate(0, 0);
        assert_eq!(passed(&rate, "192.0.2.1", 10_000), 10_000);
    }

    #[test]
    fn in_a_crowd_strangers_get_a_quarter_and_good_senders_keep_their_place() {
        let (rate, runtime, crowd, conduct) = rate(40, 0);
        conduct.make_good(ip("192.0.2.9"), &runtime);
        crowd.set(true);
        assert_eq!(passed(&rate, "192.0.2.1", 50), 10);
        assert_eq!(passed(&rate, "192.0.2.9", 50), 40);
        crowd.set(false);
        assert_eq!(passed(&rate, "192.0.2.2", 50), 40);
    }

    #[test]
    fn the_memory_for_addresses_is_bounded() {
        let (rate, ..) = rate(10, 0);
        for n in 0..u32::try_from(RATE_ENTRIES).expect("small") * 2 {
            let _ = rate.count(IpAddr::V4(n.into()));
        }
        assert!(rate.full_until.lock().len() <= RATE_ENTRIES);
    }
}
