//! Thirty days in seconds: three organisations with outages, slow hosts, greylisting,
//! storms of 421 and limits of connections, one of them with two domains, and a wall clock that jumps. What may never be otherwise is
//! told by checkers that have names.
//!
//! `POSTHOUSE_MONTHS` months are lived through, each of another seed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use deliver::{Blame, Gate as _, Heard};
use queue_model::Party;

use super::*;
use crate::limits::{CONNECTIONS_PER_SITE, RUNNING_MAX};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const MONTH: u64 = 30 * DAY;
const ORGANISATIONS: [&str; 3] = ["a.test", "b.test", "c.test"];
/// Whose mail they take.
const DOMAINS: [&str; 4] = ["a.test", "also.a.test", "b.test", "c.test"];
/// Connections that are taken when it is narrow.
const NARROW: usize = 3;
const MESSAGES: u64 = 300;
/// Nobody has an address there.
const NOBODY: &str = "nobody";
/// The first wait, less what chance takes off, and a little for the test's own clock.
const WAIT_MIN: u64 = 5 * 60 * 3 / 4 - 2;

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    Fine,
    /// Nobody answers.
    Out,
    /// 421 to whoever connects.
    Storm,
    /// Each message takes minutes.
    Slow,
    /// A recipient is turned away at first.
    Grey,
    /// Few connections are taken at once, and each message takes a minute.
    Narrow,
}

/// Who takes a domain's mail.
fn organisation(domain: &str) -> &'static str {
    let of = |one: &&&str| domain == **one || domain.ends_with(&format!(".{one}"));
    ORGANISATIONS.iter().find(of).expect("somebody takes it")
}

/// What the organisations do, and what has been seen of it.
struct World30 {
    runtime: Runtime,
    limiter: Limiter,
    /// By organisation: from when on which weather is there.
    weather: BTreeMap<&'static str, Vec<(u64, Weather)>>,
    asleep: AtomicUsize,
    moved: Gate,
    seen: Mutex<Seen30>,
}

#[derive(Default)]
struct Seen30 {
    /// By recipient: when it was attempted, and whether its site was met at all.
    attempts: HashMap<String, Vec<(u64, bool)>>,
    delivered: HashMap<String, Vec<u64>>,
    running: HashMap<String, usize>,
    most_at_a_site: usize,
    most: usize,
    /// Those that were let in where it was narrow, the most of them at once, and those that were not.
    let_in: usize,
    most_let_in: usize,
    inside: HashMap<String, usize>,
    kept_out: usize,
}

impl World30 {
    fn new(runtime: Runtime, limiter: Limiter, chance: &mut Chance) -> Self {
        let of = |organisation| {
            let mut at = 0;
            let mut weather = vec![(0, Weather::Fine)];
            // One of them is away for longer than mail is tried.
            if organisation == "c.test" {
                weather.push((3 * DAY, Weather::Out));
                weather.push((10 * DAY, Weather::Fine));
                at = 10 * DAY;
            }
            while at < MONTH {
                at += HOUR + chance.below(3 * DAY);
                let kind = match chance.below(6) {
                    0 => Weather::Out,
                    1 => Weather::Storm,
                    2 => Weather::Slow,
                    3 => Weather::Grey,
                    4 => Weather::Narrow,
                    _ => Weather::Fine,
                };
                weather.push((at, kind));
                at += HOUR / 2 + chance.below(DAY);
                weather.push((at, Weather::Fine));
            }
            (organisation, weather)
        };
        Self {
            weather: ORGANISATIONS.map(of).into(),
            runtime,
            limiter,
            asleep: AtomicUsize::new(0),
            moved: Gate::new(),
            seen: Mutex::default(),
        }
    }

    fn seconds(&self) -> u64 {
        self.runtime.monotonic().0.as_secs()
    }

    /// What it is like there now, and since when.
    fn now_at(&self, organisation: &str) -> (u64, Weather) {
        let now = self.seconds();
        let weather = &self.weather[organisation];
        let past = weather.iter().rev().find(|(from, _)| *from <= now);
        *past.expect("it begins fine")
    }

    /// A minute passes for whoever is let in.
    async fn sleep(&self, time: Duration) {
        self.asleep.fetch_add(1, Ordering::AcqRel);
        self.moved.notify_one();
        self.runtime.sleep(time).await;
        self.asleep.fetch_sub(1, Ordering::AcqRel);
    }

    /// Where it is narrow: there is a place, or it is refused.
    async fn squeeze_in(&self, organisation: &str) -> bool {
        {
            let mut seen = self.seen.lock();
            let inside = seen.inside.entry(organisation.to_owned()).or_default();
            if *inside >= NARROW {
                seen.kept_out += 1;
                return false;
            }
            *inside += 1;
            let inside = *inside;
            seen.let_in += 1;
            seen.most_let_in = seen.most_let_in.max(inside);
        }
        self.sleep(minutes(1)).await;
        let mut seen = self.seen.lock();
        *seen.inside.get_mut(organisation).expect("it is inside") -= 1;
        true
    }

    /// When it changes somewhere.
    fn next_change(&self, after: u64) -> u64 {
        let all = self.weather.values().flatten();
        let later = all.map(|(from, _)| *from).filter(|from| *from > after);
        later.min().unwrap_or(u64::MAX)
    }

    fn answer(&self, to: &str, weather: Weather) -> Outcome {
        let seen = self.seen.lock();
        let before = seen.attempts.get(to).map_or(0, |attempts| {
            attempts.iter().filter(|(_, met)| *met).count()
        });
        match weather {
            Weather::Out => unreachable(),
            _ if to.starts_with(NOBODY) => never(),
            Weather::Grey if before == 0 => later(),
            _ => yes(),
        }
    }
}

impl Transport for World30 {
    fn deliver<'a>(
        &'a self,
        site: &'a Site,
        envelope: &'a Envelope,
        _: &'a dyn deliver::Message,
    ) -> BoxFuture<'a, Report> {
        Box::pin(async move {
            let domain = site.to_string();
            let site = organisation(&domain).to_owned();
            let (_, weather) = self.now_at(&site);
            let mut report = Report::all(unreachable(), envelope.recipients.len());
            let Some(mut place) = self.limiter.enter(&Party::of_host(&site, 25)) else {
                report.no_room = true;
                return report;
            };
            {
                let mut seen = self.seen.lock();
                let here = seen.running.entry(site.clone()).or_default();
                *here += 1;
                seen.most_at_a_site = seen.most_at_a_site.max(seen.running[&site]);
                seen.most = seen.most.max(seen.running.values().sum());
            }
            let refusal = match weather {
                Weather::Out => {
                    place.hear(Heard::NoAnswer);
                    None
                }
                Weather::Storm => Some("too busy"),
                Weather::Slow => {
                    place.hear(Heard::Ready);
                    self.sleep(minutes(3)).await;
                    None
                }
                Weather::Narrow => {
                    // Nobody is ready before he is let in.
                    let full = self.seen.lock().inside.get(&site) == Some(&NARROW);
                    if !full {
                        place.hear(Heard::Ready);
                    }
                    let is_in = self.squeeze_in(&site).await;
                    (!is_in).then_some("too many connections")
                }
                Weather::Fine | Weather::Grey => {
                    place.hear(Heard::Ready);
                    None
                }
            };
            if let Some(text) = refusal {
                let reply = Reply::enhanced(421, (4, 3, 2), text);
                if place.hear(Heard::TurnedAway(&reply)) == Blame::Us {
                    *self.seen.lock().running.get_mut(&site).expect("it runs") -= 1;
                    report.no_room = true;
                    return report;
                }
            }
            let recipients = envelope.recipients.iter();
            let to: Vec<String> = recipients.map(|to| to.address.to_string()).collect();
            let outcome = |to: &String| match refusal {
                Some(text) => Outcome::Temporary(said(421, (4, 3, 2), text)),
                None => self.answer(to, weather),
            };
            let outcomes: Vec<Outcome> = to.iter().map(outcome).collect();
            if outcomes.iter().any(Outcome::is_delivered) {
                place.hear(Heard::Taken);
            }
            let now = self.seconds();
            let met = weather != Weather::Out && refusal.is_none();
            let mut seen = self.seen.lock();
            for (to, outcome) in to.iter().zip(&outcomes) {
                seen.attempts
                    .entry(to.clone())
                    .or_default()
                    .push((now, met));
                if outcome.is_delivered() {
                    seen.delivered.entry(to.clone()).or_default().push(now);
                }
            }
            *seen.running.get_mut(&site).expect("it runs") -= 1;
            report.outcomes = outcomes;
            report.host = Some(domain);
            report
        })
    }

    fn party<'a>(&'a self, site: &'a Site) -> BoxFuture<'a, Option<Party>> {
        let party = Party::of_host(organisation(&site.to_string()), 25);
        Box::pin(std::future::ready(Some(party)))
    }

    fn detours(&self) -> Vec<DetourStatus> {
        Vec::new()
    }
}

/// One message of the month.
struct Sent {
    at: u64,
    to: Vec<String>,
    /// All was well there for hours before, and stayed so.
    in_fine_weather: bool,
}

struct Month {
    seed: u64,
    sent: Vec<Sent>,
    /// When the wall clock was set.
    jumps: Vec<u64>,
    bounced: HashMap<String, usize>,
    queue_keys: usize,
}

/// Lives through a month and the days in which its mail comes to an end.
async fn live(seed: u64) -> (Month, Arc<World30>) {
    let mut chance = Chance(seed);
    let engine: SharedEngine = Arc::new(MemoryEngine::new(3));
    let world = World::over(engine, Runtime::seeded(seed));
    let there = Arc::new(World30::new(
        world.runtime.clone(),
        world.limiter.clone(),
        &mut chance,
    ));
    let ports = Ports {
        transport: Arc::clone(&there) as Arc<dyn Transport>,
        ..world.ports()
    };
    let options = world.options();
    let mut dispatcher = Loop::new(Arc::new(Core { ports, options }));
    let mut arrivals: Vec<u64> = (0..MESSAGES).map(|_| chance.below(MONTH)).collect();
    // A list sends to all of its people at once.
    arrivals.extend([chance.below(MONTH); 60]);
    // So does another whenever it is narrow somewhere.
    for (at, _) in there
        .weather
        .values()
        .flatten()
        .filter(|(at, weather)| *weather == Weather::Narrow && *at < MONTH)
    {
        arrivals.extend([at + 60; 20]);
    }
    arrivals.sort_unstable();
    let mut jumps: Vec<(u64, i64)> = (0..4)
        .map(|n| {
            let by = chance.below(20 * HOUR) as i64 * 1000;
            (chance.below(MONTH), if n % 2 == 0 { by } else { -by })
        })
        .collect();
    jumps.sort_unstable();
    let mut month = Month {
        seed,
        sent: Vec::new(),
        jumps: Vec::new(),
        bounced: HashMap::new(),
        queue_keys: 0,
    };
    let mut next = 0;
    let end = MONTH + 8 * DAY;
    while there.seconds() < end {
        let now = there.seconds();
        while arrivals.get(next).is_some_and(|at| *at <= now) {
            let count = 1 + chance.below(3);
            let to: Vec<String> = (0..count)
                .map(|n| {
                    let name = if chance.below(20) == 0 { NOBODY } else { "u" };
                    let domain = DOMAINS[chance.below(4) as usize];
                    format!("{name}{next}x{n}@{domain}")
                })
                .collect();
            let refs: Vec<&str> = to.iter().map(String::as_str).collect();
            world.put("ann@here.test", &refs).await;
            let quiet = |to: &String| {
                let organisation = organisation(to.rsplit('@').next().expect("a domain"));
                let (since, weather) = there.now_at(organisation);
                let stays = there.weather[organisation]
                    .iter()
                    .all(|(from, _)| *from <= now || *from > now + HOUR);
                weather == Weather::Fine && now - since > 2 * HOUR && stays
            };
            let in_fine_weather = to.iter().all(quiet);
            month.sent.push(Sent {
                at: now,
                to,
                in_fine_weather,
            });
            next += 1;
        }
        if jumps.first().is_some_and(|(at, _)| *at <= now) {
            let (_, by) = jumps.remove(0);
            world.runtime.step_wall_clock(by);
            month.jumps.push(now);
        }
        dispatcher
            .turn_until_idle(|| there.asleep.load(Ordering::Acquire), &there.moved)
            .await;
        let wake = dispatcher.next_wake().map_or(HOUR, |wake| wake.as_secs());
        let now = there.seconds();
        let events = [
            arrivals.get(next).copied().unwrap_or(u64::MAX),
            jumps.first().map_or(u64::MAX, |(at, _)| *at),
            there.next_change(now),
        ];
        let event = events.into_iter().min().unwrap_or(u64::MAX);
        let slow = there.asleep.load(Ordering::Acquire) > 0;
        let most = if slow { 60 } else { HOUR / 2 };
        let step = wake.min(event.saturating_sub(now)).clamp(1, most);
        world.runtime.advance(Duration::from_secs(step));
        // Those whose time has come go on before anybody looks.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
    }
    for (_, text) in world.mail() {
        for sent in month
            .sent
            .iter()
            .filter(|_| text.contains("Action: failed"))
        {
            for to in sent
                .to
                .iter()
                .filter(|to| text.contains(&format!("rfc822; {to}\r\n")))
            {
                *month.bounced.entry(to.clone()).or_default() += 1;
            }
        }
    }
    month.queue_keys = world.queue_keys();
    (month, there)
}

/// Every accepted recipient is delivered once or told of once.
fn check_each_ends_exactly_once(month: &Month, there: &World30) {
    let seen = there.seen.lock();
    assert_eq!(month.queue_keys, 0, "seed {}: nothing waits", month.seed);
    for to in month.sent.iter().flat_map(|sent| &sent.to) {
        let delivered = seen.delivered.get(to).map_or(0, Vec::len);
        let bounced = month.bounced.get(to).copied().unwrap_or(0);
        let both = (delivered, bounced);
        assert!(
            matches!(both, (1, 0) | (0, 1)),
            "seed {}: {to}: {both:?}",
            month.seed
        );
        assert!(bounced == 1 || !to.starts_with(NOBODY), "{to}");
    }
}

/// No recipient is tried again before its wait is over, unless its site was away and is back.
fn check_the_order_of_retries(month: &Month, there: &World30) {
    for (to, attempts) in &there.seen.lock().attempts {
        assert!(attempts.is_sorted_by_key(|(at, _)| *at), "{to}");
        for pair in attempts.windows(2) {
            let ((first, met), (second, _)) = (pair[0], pair[1]);
            let jumped = |at: &u64| first <= *at && *at <= second;
            let in_time = second - first >= WAIT_MIN || !met;
            assert!(
                in_time || month.jumps.iter().any(jumped),
                "seed {}: {to}: {attempts:?}",
                month.seed
            );
        }
        // Nobody is tried for ever.
        assert!(attempts.len() < 100, "{to}: {}", attempts.len());
    }
}

/// What comes while all is well where it goes is there in minutes, whatever others do.
fn check_that_nobody_starves(month: &Month, there: &World30) {
    let seen = there.seen.lock();
    let mut checked = 0;
    for sent in month.sent.iter().filter(|sent| sent.in_fine_weather) {
        for to in sent.to.iter().filter(|to| !to.starts_with(NOBODY)) {
            let delay = seen.delivered.get(to).map(|at| at[0] - sent.at);
            assert!(
                delay.is_some_and(|delay| delay <= 600),
                "seed {}: {to} of {}: {delay:?}, {:?}, jumps {:?}",
                month.seed,
                sent.at,
                seen.attempts.get(to),
                month.jumps
            );
            checked += 1;
        }
    }
    assert!(
        checked > 20,
        "seed {}: the weather was too bad: {checked}",
        month.seed
    );
}

fn check_that_concurrency_stays_within_limits(month: &Month, there: &World30) {
    let seen = there.seen.lock();
    let most = (seen.most_at_a_site, seen.most);
    assert!(
        most.0 <= CONNECTIONS_PER_SITE as usize && most.1 <= RUNNING_MAX,
        "seed {}: {most:?}",
        month.seed
    );
}

/// Where few connections are taken, few are refused, and the others are used.
fn check_that_narrow_places_are_met_with_few_refusals(month: &Month, there: &World30) {
    let seen = there.seen.lock();
    let changes = there.weather.values().flatten();
    let narrow = changes
        .filter(|(_, weather)| *weather == Weather::Narrow)
        .count();
    // Each time that it becomes narrow is a search anew.
    let most = narrow * (queue_model::limits::CONNECTIONS_START as usize) + seen.let_in / 20;
    assert!(
        seen.kept_out <= most && seen.most_let_in <= NARROW,
        "seed {}: {} of {}, narrow {narrow} times",
        month.seed,
        seen.kept_out,
        seen.let_in
    );
}

#[tokio::test]
async fn a_month_of_outages_storms_and_clock_jumps_ends_well() {
    let given = std::env::var("POSTHOUSE_MONTHS").ok();
    let months = given.and_then(|n| n.parse().ok()).unwrap_or(4);
    let first = std::env::var("POSTHOUSE_MONTH").ok();
    let first = first.and_then(|n| n.parse().ok()).unwrap_or(1);
    let (mut bounced_for_time, mut kept_out) = (0, 0);
    for seed in first..first + months {
        let (month, there) = live(seed).await;
        check_each_ends_exactly_once(&month, &there);
        check_the_order_of_retries(&month, &there);
        check_that_nobody_starves(&month, &there);
        check_that_concurrency_stays_within_limits(&month, &there);
        check_that_narrow_places_are_met_with_few_refusals(&month, &there);
        kept_out += there.seen.lock().kept_out;
        let all = month.bounced.keys();
        bounced_for_time += all.filter(|to| !to.starts_with(NOBODY)).count();
    }
    assert!(kept_out > 0, "some limit was met");
    assert!(
        bounced_for_time > 0,
        "an outage was longer than the lifetime"
    );
}
