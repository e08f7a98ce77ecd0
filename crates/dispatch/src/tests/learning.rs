//! Servers that take so many connections at once, in virtual time.
//!
//! A message takes a second there. What is refused is counted there too: by the one
//! who refuses.

use std::sync::atomic::{AtomicUsize, Ordering};

use deliver::{Blame, Gate as _, Heard};
use queue_model::Party;

use super::*;
use crate::SiteLimits;

/// Servers that domains share.
pub(super) struct Servers {
    runtime: Runtime,
    limiter: Limiter,
    /// From when on, in seconds, the servers of `*.many.test` take how many connections.
    limits: Vec<(u64, usize)>,
    asleep: AtomicUsize,
    moved: Gate,
    /// By all who send there.
    seen: Arc<Mutex<SeenThere>>,
}

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct SeenThere {
    pub(super) open: usize,
    pub(super) most: usize,
    pub(super) attempts: usize,
    pub(super) refused: usize,
    pub(super) taken: usize,
    /// Of other domains, and when the last of them was taken.
    others: usize,
    others_until: u64,
}

impl Servers {
    fn seconds(&self) -> u64 {
        self.runtime.monotonic().0.as_secs()
    }

    fn limit(&self) -> usize {
        let now = self.seconds();
        let past = self.limits.iter().rev().find(|(from, _)| *from <= now);
        past.map_or(0, |(_, limit)| *limit)
    }

    fn of(&self, site: &Site) -> Party {
        match site.to_string().ends_with("many.test") {
            true => Party::of_host("mx.many.test", 25),
            false => Party::of_host(&site.to_string(), 25),
        }
    }

    async fn second(&self) {
        self.asleep.fetch_add(1, Ordering::AcqRel);
        self.moved.notify_one();
        self.runtime.sleep(Duration::from_secs(1)).await;
        self.asleep.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Transport for Servers {
    fn deliver<'a>(
        &'a self,
        site: &'a Site,
        envelope: &'a Envelope,
        _: &'a dyn deliver::Message,
    ) -> BoxFuture<'a, Report> {
        Box::pin(async move {
            let party = self.of(site);
            let count = envelope.recipients.len();
            let mut report = Report::all(yes(), count);
            let Some(mut place) = self.limiter.enter(&party) else {
                report.no_room = true;
                return report;
            };
            if party != Party::of_host("mx.many.test", 25) {
                place.hear(Heard::Ready);
                self.second().await;
                place.hear(Heard::Taken);
                let mut seen = self.seen.lock();
                seen.others += 1;
                seen.others_until = self.seconds();
                return report;
            }
            let limit = self.limit();
            let refused = {
                let mut seen = self.seen.lock();
                seen.attempts += 1;
                let refused = seen.open >= limit;
                if refused {
                    seen.refused += 1;
                } else {
                    seen.open += 1;
                    seen.most = seen.most.max(seen.open);
                }
                refused
            };
            if refused {
                let reply = Reply::enhanced(421, (4, 7, 0), "mx Error: too many connections");
                let blame = place.hear(Heard::TurnedAway(&reply));
                let outcome = Outcome::of_reply(reply, "mx.many.test");
                report = Report::all(outcome, count);
                report.no_room = blame == Blame::Us;
                return report;
            }
            place.hear(Heard::Ready);
            self.second().await;
            place.hear(Heard::Taken);
            let mut seen = self.seen.lock();
            seen.open -= 1;
            seen.taken += 1;
            report
        })
    }

    fn party<'a>(&'a self, site: &'a Site) -> BoxFuture<'a, Option<Party>> {
        Box::pin(std::future::ready(Some(self.of(site))))
    }

    fn detours(&self) -> Vec<DetourStatus> {
        Vec::new()
    }
}

/// The queue, and servers that its mail goes to.
pub(super) struct Sending {
    pub(super) world: World,
    there: Arc<Servers>,
    pub(super) dispatcher: Loop,
}

impl Sending {
    fn new(limits: &[(u64, usize)], allowed: SiteLimits) -> Self {
        let world = World::new();
        let routes = Arc::clone(&world.routes) as Arc<dyn Routes>;
        let limiter = Limiter::new(&world.runtime, routes, allowed);
        Self::with(world, limits, limiter, Arc::default())
    }

    pub(super) fn with(
        world: World,
        limits: &[(u64, usize)],
        limiter: Limiter,
        seen: Arc<Mutex<SeenThere>>,
    ) -> Self {
        let there = Arc::new(Servers {
            runtime: world.runtime.clone(),
            limiter: limiter.clone(),
            limits: limits.to_vec(),
            asleep: AtomicUsize::new(0),
            moved: Gate::new(),
            seen,
        });
        let ports = Ports {
            transport: Arc::clone(&there) as Arc<dyn Transport>,
            limiter,
            ..world.ports()
        };
        let options = world.options();
        let dispatcher = Loop::new(Arc::new(Core { ports, options }));
        Self {
            world,
            there,
            dispatcher,
        }
    }

    /// Until nothing waits, or for so many seconds; how many it took.
    async fn run(&mut self, most: u64) -> u64 {
        let begun = self.there.seconds();
        loop {
            self.settle().await;
            let took = self.there.seconds() - begun;
            if took >= most || self.world.queue.count() == 0 {
                return took;
            }
            pass_a_second(&self.world.runtime).await;
        }
    }

    pub(super) fn limiter(&self) -> &Limiter {
        &self.there.limiter
    }

    /// Until all that is under way only waits for time.
    pub(super) async fn settle(&mut self) {
        let there = &self.there;
        self.dispatcher
            .turn_until_idle(|| there.asleep.load(Ordering::Acquire), &there.moved)
            .await;
    }

    fn seen(&self) -> SeenThere {
        *self.there.seen.lock()
    }
}

pub(super) async fn pass_a_second(runtime: &Runtime) {
    runtime.advance(Duration::from_secs(1));
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
}

pub(super) fn connections(most: u32) -> SiteLimits {
    SiteLimits {
        connections: most,
        ..SiteLimits::default()
    }
}

/// The number of issue 6: under 5 % refused, at 80 % or more of what a fixed 5 brings.
#[tokio::test]
async fn a_limit_of_five_is_found_with_few_refusals_and_used_in_full() {
    let mut took = Vec::new();
    for allowed in [5, 20] {
        let mut sending = Sending::new(&[(0, 5)], connections(allowed));
        let to = |n| format!("u{n}@a.many.test");
        sending.world.put_many("list@far.test", 1000, to).await;
        took.push(sending.run(10_000).await);
        let seen = sending.seen();
        assert_eq!((seen.taken, seen.most), (1000, 5), "{seen:?}");
        assert!(seen.refused * 20 < seen.attempts, "{seen:?}");
        assert_eq!(seen.refused > 0, allowed > 5, "{seen:?}");
        assert_eq!(sending.world.queue_keys(), 0);
    }
    // What was refused was not put off: nothing waits five minutes for its next attempt.
    assert!(took[0] * 100 >= took[1] * 80, "{took:?}");
}

/// Nobody says so, and it is not the message's fault: no attempt is counted.
#[tokio::test]
async fn what_is_one_too_many_is_no_attempt() {
    let mut sending = Sending::new(&[(0, 2)], connections(20));
    for n in 0..8 {
        let to = format!("u{n}@a.many.test");
        sending.world.put("ann@here.test", &[&to]).await;
    }
    sending.run(2).await;
    let all = queue::Filter::default();
    let page = sending.world.queue.list(&all, None, 10).await;
    let waiting = page.expect("read").messages;
    assert!(!waiting.is_empty() && sending.seen().refused > 0);
    let tried = |listed: &Listed| listed.progress.recipients[0].attempts;
    assert!(waiting.iter().all(|listed| tried(listed) == 0));
    assert!(sending.run(60).await < 10);
}

#[tokio::test]
async fn a_limit_that_moves_is_followed() {
    let mut sending = Sending::new(&[(0, 5), (200, 2), (600, 20)], connections(20));
    let to = |n| format!("u{n}@a.many.test");
    sending.world.put_many("list@far.test", 8000, to).await;
    let took = sending.run(10_000).await;
    let seen = sending.seen();
    assert_eq!(seen.taken, 8000, "{seen:?}");
    assert!(seen.refused * 20 < seen.attempts, "{seen:?}");
    // Who knew the limit would need so long.
    let knowing = 600 + (8000 - 200 * 5 - 400 * 2) / 20;
    assert!(took * 80 <= knowing * 100, "{took} of {knowing}: {seen:?}");
}

#[tokio::test]
async fn domains_with_the_same_servers_share_what_these_take_and_nobody_else_waits() {
    let mut sending = Sending::new(&[(0, 5)], connections(20));
    let to = |n| format!("u@d{n}.many.test");
    sending.world.put_many("list@far.test", 600, to).await;
    sending.run(3).await;
    for n in 0..20 {
        let to = format!("u@other{n}.test");
        sending.world.put("ann@here.test", &[&to]).await;
    }
    let before = sending.there.seconds();
    let took = sending.run(10_000).await;
    let seen = sending.seen();
    assert_eq!(
        (seen.taken, seen.most, seen.others),
        (600, 5, 20),
        "{seen:?}"
    );
    assert!(seen.refused * 20 < seen.attempts, "{seen:?}");
    assert!(seen.others_until - before <= 2, "{seen:?}");
    assert!(took * 80 <= 600 / 5 * 100, "{took}");
    assert_eq!(sending.world.queue_keys(), 0);
}

#[tokio::test]
async fn no_more_messages_in_a_minute_than_the_operator_wants() {
    let mut sending = Sending::new(
        &[(0, 5)],
        SiteLimits {
            messages_per_minute: Some(30),
            ..SiteLimits::default()
        },
    );
    let to = |n| format!("u{n}@a.many.test");
    sending.world.put_many("list@far.test", 60, to).await;
    let took = sending.run(1000).await;
    assert!((115..130).contains(&took), "{took}");
    assert_eq!(sending.seen().taken, 60);
}
