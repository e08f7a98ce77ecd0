//! Who is next, and who is down.
//!
//! A site is where mail goes together: a domain, a primary, a transport
//! of the rules, the smart host, ourselves.
//! Each has a short list of what is due; sites take turns. A site that could
//! not be reached is closed for a while, growing with its failures; what is due
//! for it meanwhile is put off without an attempt, so that a million messages
//! to a dead domain cost a few, and leaves room. When the time is over one
//! attempt goes first; only when it succeeds do the others follow.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use engine::ShardId;
use envelope::Domain;
use queue::{Due, DueMark};
use queue_model::{QueueId, Schedule};
use runtime::{Monotonic, Timestamp};

use crate::limits::{CLOSED_MAX_MS, IDLE_SITES_MAX, READY_MAX, READY_PER_SITE_MAX};

/// Where mail goes together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Site {
    /// Mailboxes here.
    Local,
    /// The relay that takes all mail for elsewhere.
    SmartHost,
    /// A domain's own servers.
    Domain(Domain),
    /// The primary of a domain that we are a backup of.
    Primary(Domain),
    /// Transports of the rules file, tried in this order.
    Named(Arc<[String]>),
}

impl std::fmt::Display for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::SmartHost => f.write_str("smart host"),
            Self::Domain(domain) | Self::Primary(domain) => domain.fmt(f),
            Self::Named(names) => write!(f, "transport {}", names.join(", then ")),
        }
    }
}

/// An entry of the schedule, without its time.
type Key = (ShardId, QueueId, Domain);

fn key(due: &Due) -> Key {
    (due.shard, due.id, due.domain.clone())
}

/// How many attempts may run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    pub(crate) per_site: usize,
    pub(crate) local: usize,
}

/// One attempt to be made: entries of one message that go to one site.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) site: Site,
    /// At least one.
    pub(crate) dues: Vec<Due>,
    /// The site is closed: no attempt is made before this time.
    pub(crate) closed_until: Option<Timestamp>,
    /// The site was down when it was tried last.
    pub(crate) was_down: bool,
}

/// What an attempt has shown about its site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It answers.
    Up,
    /// It does not.
    Down,
    /// Nothing.
    Nothing,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Due>,
    running: usize,
    failures: u32,
    closed: Option<(Monotonic, Timestamp)>,
    /// The first entry, per shard, that found the list full.
    skipped: BTreeMap<u16, DueMark>,
}

/// All sites with work, and those that were down.
#[derive(Debug, Default)]
pub(crate) struct Sites {
    sites: HashMap<Site, State>,
    /// Entries in a list or being attempted.
    known: HashSet<Key>,
    ready: usize,
    /// Sites with a list, in the order of their turns.
    turns: VecDeque<Site>,
}

/// What became of an entry that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offered {
    Taken,
    Known,
    SiteFull,
}

impl Sites {
    pub(crate) fn is_full(&self) -> bool {
        self.ready >= READY_MAX
    }

    pub(crate) fn is_half_empty(&self) -> bool {
        self.ready < READY_MAX / 2
    }

    pub(crate) fn offer(&mut self, site: &Site, due: Due) -> Offered {
        if self.known.contains(&key(&due)) {
            return Offered::Known;
        }
        let state = self.sites.entry(site.clone()).or_default();
        if state.ready.len() >= READY_PER_SITE_MAX {
            state.skip(due.shard, due.mark());
            return Offered::SiteFull;
        }
        if state.ready.is_empty() {
            self.turns.push_back(site.clone());
        }
        self.known.insert(key(&due));
        // In order of their times, though what was added last may be due first.
        let at = state
            .ready
            .partition_point(|other| other.due_ms <= due.due_ms);
        state.ready.insert(at, due);
        self.ready += 1;
        Offered::Taken
    }

    /// Sites whose list has run down and that have more in the schedule: where to look.
    pub(crate) fn take_skipped(&mut self) -> Vec<(Site, ShardId, DueMark)> {
        let mut found = Vec::new();
        for (site, state) in &mut self.sites {
            if state.ready.len() <= READY_PER_SITE_MAX / 4 {
                let skipped = std::mem::take(&mut state.skipped);
                found.extend(
                    skipped
                        .into_iter()
                        .map(|(shard, mark)| (site.clone(), ShardId(shard), mark)),
                );
            }
        }
        found
    }

    pub(crate) fn has_skipped(&self) -> bool {
        let run_down = |state: &State| state.ready.len() <= READY_PER_SITE_MAX / 4;
        self.sites
            .values()
            .any(|state| run_down(state) && !state.skipped.is_empty())
    }

    /// Looks for the site's entries from this place on, when its list has run down.
    pub(crate) fn skip(&mut self, site: &Site, shard: ShardId, mark: DueMark) {
        self.sites
            .entry(site.clone())
            .or_default()
            .skip(shard, mark);
    }

    /// The next attempt, if a site with work has room. It is counted as running until [`Sites::finish`].
    pub(crate) fn next(&mut self, now: Monotonic, room: Room) -> Option<Unit> {
        for _ in 0..self.turns.len() {
            let site = self.turns.pop_front()?;
            let Some(state) = self.sites.get_mut(&site) else {
                continue;
            };
            let closed_until = state
                .closed
                .filter(|(until, _)| *until > now)
                .map(|(_, at)| at);
            let may_run = match (&site, closed_until) {
                // One goes first, to see.
                (_, None) if state.failures > 0 => 1,
                (Site::Local, _) => room.local,
                _ => room.per_site,
            };
            let due = if state.running < may_run {
                state.ready.pop_front()
            } else {
                None
            };
            let Some(due) = due else {
                if !state.ready.is_empty() {
                    self.turns.push_back(site);
                }
                continue;
            };
            let mut dues = vec![due];
            // One transaction for all of a message's domains that go the same way.
            while state
                .ready
                .front()
                .is_some_and(|next| same_message(next, &dues[0]))
            {
                dues.extend(state.ready.pop_front());
            }
            self.ready -= dues.len();
            state.running += 1;
            let was_down = state.failures > 0;
            if !state.ready.is_empty() {
                self.turns.push_back(site.clone());
            }
            return Some(Unit {
                site,
                dues,
                closed_until,
                was_down,
            });
        }
        None
    }

    /// An attempt has ended.
    pub(crate) fn finish(
        &mut self,
        site: &Site,
        dues: &[Due],
        seen: Seen,
        now: (Monotonic, Timestamp),
        wait: (&Schedule, u64),
    ) {
        for due in dues {
            self.known.remove(&key(due));
        }
        let Some(state) = self.sites.get_mut(site) else {
            return;
        };
        state.running = state.running.saturating_sub(1);
        match seen {
            Seen::Up => {
                state.failures = 0;
                state.closed = None;
            }
            // Those that began before the first failure say nothing new.
            Seen::Down if state.closed.is_none_or(|(until, _)| until <= now.0) => {
                state.failures = state.failures.saturating_add(1);
                let (schedule, seed) = wait;
                let ms = (schedule.wait_ms(state.failures, seed) / 2).min(CLOSED_MAX_MS);
                let wait = std::time::Duration::from_millis(ms);
                state.closed = Some((now.0.after(wait), now.1.after(wait)));
            }
            Seen::Down | Seen::Nothing => {}
        }
        if state.is_idle() && state.failures == 0 {
            self.sites.remove(site);
        } else if self.sites.len() > IDLE_SITES_MAX {
            self.sites.retain(|_, state| {
                !state.is_idle() || state.closed.is_some_and(|(until, _)| until > now.0)
            });
        }
    }

    /// A person wants everything tried now.
    pub(crate) fn forget_failures(&mut self) {
        for state in self.sites.values_mut() {
            state.failures = 0;
            state.closed = None;
        }
    }

    /// What goes to one site is to be tried now.
    pub(crate) fn forget_failures_of(&mut self, site: &Site) {
        if let Some(state) = self.sites.get_mut(site) {
            state.failures = 0;
            state.closed = None;
        }
    }
}

impl State {
    fn skip(&mut self, shard: ShardId, mark: DueMark) {
        match self.skipped.get_mut(&shard.0) {
            Some(first) if *first <= mark => {}
            Some(first) => *first = mark,
            None => {
                self.skipped.insert(shard.0, mark);
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.running == 0 && self.skipped.is_empty()
    }
}

fn same_message(a: &Due, b: &Due) -> bool {
    (a.shard, a.id) == (b.shard, b.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const ROOM: Room = Room {
        per_site: 2,
        local: 2,
    };

    fn due(id: u64, domain: &str) -> Due {
        let domain = Domain::parse(domain).expect("a domain");
        Due {
            due_ms: id,
            shard: ShardId(0),
            id: QueueId(id),
            domain,
        }
    }

    fn site(domain: &str) -> Site {
        Site::Domain(Domain::parse(domain).expect("a domain"))
    }

    fn at(seconds: u64) -> (Monotonic, Timestamp) {
        (
            Monotonic(Duration::from_secs(seconds)),
            Timestamp::from_unix_seconds(seconds),
        )
    }

    fn finish(sites: &mut Sites, unit: &Unit, seen: Seen, now: u64) {
        sites.finish(
            &unit.site,
            &unit.dues,
            seen,
            at(now),
            (&Schedule::default(), 0),
        );
    }

    #[test]
    fn sites_take_turns_and_none_takes_more_than_its_share() {
        let mut sites = Sites::default();
        for id in 0..5 {
            assert_eq!(
                sites.offer(&site("a.test"), due(id, "a.test")),
                Offered::Taken
            );
        }
        assert_eq!(
            sites.offer(&site("a.test"), due(0, "a.test")),
            Offered::Known
        );
        sites.offer(&site("b.test"), due(9, "b.test"));
        let order: Vec<String> = std::iter::from_fn(|| sites.next(at(0).0, ROOM))
            .map(|unit| unit.site.to_string())
            .collect();
        assert_eq!(order, ["a.test", "b.test", "a.test"]);
    }

    #[test]
    fn a_site_that_is_down_is_closed_then_tried_by_one() {
        let mut sites = Sites::default();
        let a = site("a.test");
        for id in 0..5 {
            sites.offer(&a, due(id, "a.test"));
        }
        let first = sites.next(at(0).0, ROOM).expect("room");
        let second = sites.next(at(0).0, ROOM).expect("room");
        assert_eq!(first.closed_until, None);
        finish(&mut sites, &first, Seen::Down, 0);
        finish(&mut sites, &second, Seen::Down, 0);
        let closed = sites.next(at(1).0, ROOM).expect("room");
        assert_eq!(
            closed.closed_until,
            Some(Timestamp::from_unix_seconds(150)),
            "one failure"
        );
        finish(&mut sites, &closed, Seen::Nothing, 1);
        let probe = sites.next(at(151).0, ROOM).expect("room");
        assert_eq!(probe.closed_until, None);
        assert!(sites.next(at(151).0, ROOM).is_none(), "one goes first");
        finish(&mut sites, &probe, Seen::Up, 152);
        sites.offer(&a, due(7, "a.test"));
        assert!(sites.next(at(152).0, ROOM).is_some() && sites.next(at(152).0, ROOM).is_some());
    }

    #[test]
    fn a_full_site_leaves_room_for_others_and_says_where_to_go_on() {
        let mut sites = Sites::default();
        let a = site("a.test");
        let max = READY_PER_SITE_MAX as u64;
        for id in 0..max + 10 {
            let full = sites.offer(&a, due(id, "a.test")) == Offered::SiteFull;
            assert_eq!(full, id >= max);
        }
        assert_eq!(
            sites.offer(&site("b.test"), due(9, "b.test")),
            Offered::Taken
        );
        assert!(!sites.has_skipped() && sites.take_skipped().is_empty());
        for _ in 0..max {
            let unit = sites.next(at(0).0, ROOM).expect("room");
            finish(&mut sites, &unit, Seen::Up, 0);
        }
        assert!(sites.has_skipped());
        let mark = due(max, "a.test").mark();
        assert_eq!(sites.take_skipped(), [(a, ShardId(0), mark)]);
        assert!(!sites.has_skipped());
    }

    #[test]
    fn domains_of_a_message_that_go_the_same_way_go_together() {
        let mut sites = Sites::default();
        for domain in ["a.test", "b.test"] {
            sites.offer(&Site::SmartHost, due(1, domain));
        }
        sites.offer(&Site::SmartHost, due(2, "a.test"));
        let unit = sites.next(at(0).0, ROOM).expect("room");
        assert_eq!(unit.dues.len(), 2);
        finish(&mut sites, &unit, Seen::Up, 0);
        assert_eq!(sites.next(at(0).0, ROOM).expect("room").dues.len(), 1);
    }

    #[test]
    fn nothing_is_left_of_a_site_without_work() {
        let mut sites = Sites::default();
        sites.offer(&site("a.test"), due(1, "a.test"));
        let unit = sites.next(at(0).0, ROOM).expect("room");
        finish(&mut sites, &unit, Seen::Up, 0);
        assert!(sites.sites.is_empty() && sites.known.is_empty() && sites.turns.is_empty());
        assert_eq!(sites.ready, 0);
    }
}
