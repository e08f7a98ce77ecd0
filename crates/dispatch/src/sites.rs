//! Who is next, and who is down.
//!
//! A site is where mail goes together: a domain, a primary, a transport
//! of the rules, the smart host, ourselves.
//! Each has a short list of what is due, in which senders take turns; sites take
//! turns too. Lines of the schedule for which there is no room wait at their site
//! until its list has run down.
//!
//! A site that could not be reached is closed for a while, growing with its
//! failures. What is due for it stays where it is, on the disk; a little of it at
//! a time is put off without an attempt, so that senders hear of the delay. So a
//! million messages to a dead domain cost a few attempts and next to nothing
//! else. When the time is over one attempt goes first; only when it succeeds do
//! the others follow, those that were put off too, as fast as the site takes them.
//!
//! Sites whose party has no seat (`limiter`) are *parked*: however many they are, they
//! cost nothing until an attempt of that party ends.

use std::collections::{HashMap, HashSet, VecDeque};

use queue::{Due, Line, Place};
use queue_model::{Party, QueueId, Schedule};
use runtime::{Monotonic, Timestamp};

use crate::limiter::{Limiter, Room};
use crate::limits::{
    CALLED_AT_ONCE, CLOSED_MAX_MS, FEW, FEW_LOOKED_AT, IDLE_SITES_MAX, READY_MAX,
    READY_PER_SITE_MAX, READY_PER_SITE_MIN, SWEEP_BURST, SWEEP_PAGE, SWEEP_PER_SECOND,
    SWEPT_AT_ONCE,
};
use crate::list::List;
use crate::scan::Part;
use crate::site::Site;

/// An entry of the schedule, without its time.
type Key = (QueueId, Line);

fn key(due: &Due) -> Key {
    (due.id, due.line.clone())
}

/// What is done with an entry that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Listed,
    Running,
    /// It was offered again meanwhile: there may be more to do for it.
    RunningAndAgain,
}

/// How a site is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteStatus {
    /// Which one.
    pub site: Site,
    /// Entries in its list.
    pub ready: usize,
    /// Attempts under way.
    pub running: usize,
    /// How often it was down in a row.
    pub failures: u32,
    /// Until when nothing is attempted.
    pub closed_until: Option<Timestamp>,
}

/// How many attempts may run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Most<'l> {
    /// To a site of which nobody knows whose servers it has.
    pub(crate) per_site: usize,
    pub(crate) local: usize,
    /// Who knows how many may run where that is known.
    pub(crate) limiter: Option<&'l Limiter>,
}

/// Whether a site's next attempt may begin.
enum May {
    Run,
    /// One of its own must end first.
    Wait,
    /// It waits for its party.
    Park(Party, Option<Monotonic>),
}

/// Sites that wait for a seat of one party, and when there may be one at the latest.
#[derive(Debug, Default)]
struct Parked {
    sites: VecDeque<Site>,
    until: Option<Monotonic>,
}

/// One attempt to be made: entries of one message that go to one site.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    pub(crate) site: Site,
    /// At least one.
    pub(crate) dues: Vec<Due>,
    /// The site is closed: no attempt is made before this time.
    pub(crate) closed_until: Option<Timestamp>,
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
    /// No attempt was made, for there was no room: it may be as soon as there is.
    NoRoom,
}

#[derive(Debug, Default)]
struct State {
    ready: List,
    running: usize,
    failures: u32,
    closed: Option<(Monotonic, Timestamp)>,
    /// Lines that wait for room.
    waiting: VecDeque<Part>,
    /// It has its turn when entries are put off.
    is_swept: bool,
    /// Lines with mail that was put off while the site was down, how far they were
    /// looked at since it is up again, and since when it is.
    forward: VecDeque<(Line, Place, u64)>,
}

/// All sites with work, and those that were down.
#[derive(Debug)]
pub(crate) struct Sites {
    sites: HashMap<Site, State>,
    /// Entries in a list or being attempted.
    known: HashMap<Key, Stage>,
    ready: usize,
    /// Sites with a list, in the order of their turns.
    turns: VecDeque<Site>,
    /// Sites with a list that have no turn before their party has a seat.
    parked: HashMap<Party, Parked>,
    /// How many entries each sender has in lists.
    senders: HashMap<u32, usize>,
    /// Senders who have few, where they have something: every second turn is theirs,
    /// so that they do not wait behind one who has mail for very many sites.
    few: VecDeque<(Site, u32)>,
    /// The last turn was one of those.
    few_had_it: bool,
    /// Sites at which lines wait.
    waited_at: HashSet<Site>,
    /// Of these, the closed ones are swept in this order.
    to_sweep: VecDeque<Site>,
    swept: VecDeque<Unit>,
    sweeping: usize,
    /// How many entries may be put off now, and when that was worked out.
    sweep_room: (usize, Monotonic),
}

/// What became of an entry that was offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Offered {
    Taken,
    /// Taken, and this one of a sender with many gave way.
    For(Due),
    Known,
    Full,
}

/// What is to be looked at after an attempt.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    /// Entries to look at again.
    pub(crate) again: Vec<Due>,
    /// The site takes mail again.
    pub(crate) is_back: bool,
}

impl Default for Sites {
    fn default() -> Self {
        Self {
            sites: HashMap::new(),
            known: HashMap::new(),
            ready: 0,
            turns: VecDeque::new(),
            parked: HashMap::new(),
            senders: HashMap::new(),
            few: VecDeque::new(),
            few_had_it: false,
            waited_at: HashSet::new(),
            to_sweep: VecDeque::new(),
            swept: VecDeque::new(),
            sweeping: 0,
            sweep_room: (SWEEP_BURST, Monotonic::default()),
        }
    }
}

impl Sites {
    /// How long a site's list may be. Where memory is full, those that had nothing
    /// in it still get their turn.
    fn list_max(&self) -> usize {
        match self.ready {
            few if few < READY_MAX / 2 => READY_PER_SITE_MAX,
            many if many < READY_MAX => READY_PER_SITE_MIN,
            full if full < 2 * READY_MAX => 1,
            _ => 0,
        }
    }

    /// True if something more of the site would be taken.
    pub(crate) fn has_room(&self, site: &Site, now: Monotonic) -> bool {
        let max = self.list_max();
        match self.sites.get(site) {
            None => max > 0,
            Some(state) => !state.is_closed(now) && state.ready.len() < state.list_max(max),
        }
    }

    pub(crate) fn offer(&mut self, site: &Site, due: Due) -> Offered {
        let key = key(&due);
        if let Some(stage) = self.known.get_mut(&key) {
            if *stage == Stage::Running {
                *stage = Stage::RunningAndAgain;
            }
            return Offered::Known;
        }
        let has_few = self.senders.get(&due.sender).is_none_or(|has| *has < FEW);
        let max = match self.list_max() {
            0 if has_few && self.ready < 3 * READY_MAX => 1,
            max => max,
        };
        let state = self.sites.entry(site.clone()).or_default();
        let mut gave_way = None;
        if state.closed.is_some() {
            return Offered::Full;
        }
        if state.ready.len() >= state.list_max(max) {
            // One goes first, whoever sent it.
            let other = (state.failures == 0).then(|| state.ready.make_room_for(due.sender));
            let Some(other) = other.flatten() else {
                return Offered::Full;
            };
            self.known.remove(&self::key(&other));
            self.ready -= 1;
            forget_one(&mut self.senders, other.sender);
            gave_way = Some(other);
        }
        *self.senders.entry(due.sender).or_default() += 1;
        if has_few {
            self.few.push_back((site.clone(), due.sender));
        }
        if state.ready.is_empty() {
            self.turns.push_back(site.clone());
        }
        self.known.insert(key, Stage::Listed);
        state.ready.push(due);
        self.ready += 1;
        gave_way.map_or(Offered::Taken, Offered::For)
    }

    /// A line waits until the site has room.
    pub(crate) fn wait(&mut self, site: Site, part: Part) {
        let state = self.sites.entry(site.clone()).or_default();
        state.waiting.push_back(part);
        if state.closed.is_some() && !std::mem::replace(&mut state.is_swept, true) {
            self.to_sweep.push_back(site.clone());
        }
        self.waited_at.insert(site);
    }

    /// Lines that waited at sites that have room now.
    pub(crate) fn call_in(&mut self, now: Monotonic) -> Vec<Part> {
        let max = self.list_max();
        let mut called = Vec::new();
        for site in &self.waited_at {
            let Some(state) = self.sites.get_mut(site) else {
                continue;
            };
            state.open(now);
            if state.wants(max, now) {
                let count = CALLED_AT_ONCE.min(state.waiting.len());
                called.extend(state.waiting.drain(..count));
            }
        }
        let sites = &self.sites;
        self.waited_at.retain(|site| {
            sites
                .get(site)
                .is_some_and(|state| !state.waiting.is_empty())
        });
        called
    }

    /// True if a line that waits would be called in now.
    pub(crate) fn wants_more(&self, now: Monotonic) -> bool {
        let max = self.list_max();
        let wants = |site: &Site| {
            let state = self.sites.get(site);
            state.is_some_and(|state| state.wants(max, now))
        };
        self.waited_at.iter().any(wants)
    }

    /// When a site that lines wait at opens, at the earliest.
    pub(crate) fn opens_at(&self, now: Monotonic) -> Option<Monotonic> {
        let opens = |site: &Site| self.sites.get(site)?.closed.map(|(until, _)| until);
        let opens = self.waited_at.iter().filter_map(opens);
        opens.filter(|until| *until > now).min()
    }

    /// A line at a closed site of which something may be put off, and how much may be.
    pub(crate) fn next_to_sweep(&mut self, now: Monotonic) -> Option<(Site, Part, usize)> {
        let (room, since) = self.sweep_room;
        let more = usize::try_from(now.since(since).as_millis()).unwrap_or(usize::MAX);
        let more = more.saturating_mul(SWEEP_PER_SECOND) / 1000;
        if more > 0 {
            self.sweep_room = (room.saturating_add(more).min(SWEEP_BURST), now);
        }
        // A few at once: the loop does not wake for each.
        if self.sweep_room.0 < SWEEP_PAGE {
            return None;
        }
        for _ in 0..self.to_sweep.len() {
            let site = self.to_sweep.pop_front()?;
            let Some(state) = self.sites.get_mut(&site) else {
                continue;
            };
            state.is_swept = state.is_closed(now);
            if state.is_swept
                && let Some(part) = state.waiting.pop_front()
            {
                state.waiting.push_back(part.clone());
                self.to_sweep.push_back(site.clone());
                return Some((site, part, self.sweep_room.0));
            }
            state.is_swept = false;
        }
        None
    }

    /// A line that waits has nothing more.
    pub(crate) fn forget_part(&mut self, site: &Site, part: &Part) {
        if let Some(state) = self.sites.get_mut(site) {
            state.waiting.retain(|other| other != part);
        }
    }

    /// No lines wait anywhere any more: they are read anew.
    pub(crate) fn forget_parts(&mut self) {
        for state in self.sites.values_mut() {
            state.waiting.clear();
            state.forward.clear();
            state.is_swept = false;
        }
        self.waited_at.clear();
        self.to_sweep.clear();
        for unit in self.swept.drain(..) {
            for due in &unit.dues {
                self.known.remove(&key(due));
            }
            if let Some(state) = self.sites.get_mut(&unit.site) {
                state.running = state.running.saturating_sub(unit.dues.len());
            }
        }
    }

    /// Nothing is attempted of this entry, for its site is closed.
    pub(crate) fn put_off(&mut self, site: &Site, due: Due) {
        let key = key(&due);
        let state = self.sites.get_mut(site);
        let Some((state, (_, until))) = state.and_then(|state| {
            let closed = state.closed?;
            Some((state, closed))
        }) else {
            return;
        };
        if self.known.contains_key(&key) {
            return;
        }
        self.known.insert(key, Stage::Running);
        state.running += 1;
        self.sweep_room.0 = self.sweep_room.0.saturating_sub(1);
        self.swept.push_back(Unit {
            site: site.clone(),
            dues: vec![due],
            closed_until: Some(until),
        });
    }

    /// The next attempt, if a site with work has room. It is counted as running until [`Sites::finish`].
    pub(crate) fn next(&mut self, most: Most<'_>) -> Option<Unit> {
        if self.sweeping < SWEPT_AT_ONCE
            && let Some(unit) = self.swept.pop_front()
        {
            self.sweeping += 1;
            return Some(unit);
        }
        self.few_had_it = !self.few_had_it;
        if self.few_had_it
            && let Some(unit) = self.next_of_few(most)
        {
            return Some(unit);
        }
        for _ in 0..self.turns.len() {
            let site = self.turns.pop_front()?;
            let Some(state) = self.sites.get_mut(&site) else {
                continue;
            };
            if state.ready.is_empty() {
                continue;
            }
            let dues = match state.may_run(&site, most) {
                May::Run => state.ready.pop(),
                May::Wait => Vec::new(),
                May::Park(party, until) => {
                    let parked = self.parked.entry(party).or_default();
                    parked.sites.push_back(site);
                    parked.until = until;
                    continue;
                }
            };
            if !state.ready.is_empty() {
                self.turns.push_back(site.clone());
            }
            if !dues.is_empty() {
                return Some(self.begin(site, dues));
            }
        }
        self.next_of_few(most)
    }

    /// The next attempt for a sender who has few.
    fn next_of_few(&mut self, most: Most<'_>) -> Option<Unit> {
        for _ in 0..self.few.len().min(FEW_LOOKED_AT) {
            let (site, sender) = self.few.pop_front()?;
            // By now it may be many.
            if self.senders.get(&sender).is_none_or(|has| *has > FEW) {
                continue;
            }
            let Some(state) = self.sites.get_mut(&site) else {
                continue;
            };
            if !matches!(state.may_run(&site, most), May::Run) {
                if state.ready.has(sender) {
                    self.few.push_back((site, sender));
                }
                continue;
            }
            let dues = state.ready.pop_of(sender);
            if !dues.is_empty() {
                return Some(self.begin(site, dues));
            }
        }
        None
    }

    /// Sites of parties that have seats again take turns again.
    pub(crate) fn unpark(&mut self, limiter: &Limiter) {
        let turns = &mut self.turns;
        self.parked.retain(|party, parked| {
            match limiter.seats(party) {
                Ok(seats) => {
                    let count = seats.min(parked.sites.len());
                    turns.extend(parked.sites.drain(..count));
                }
                Err(until) => parked.until = until,
            }
            !parked.sites.is_empty()
        });
    }

    /// When a party has seats again that it has not by an attempt's end.
    pub(crate) fn unparks_at(&self) -> Option<Monotonic> {
        self.parked.values().filter_map(|parked| parked.until).min()
    }

    /// These entries of a site's list are attempted.
    fn begin(&mut self, site: Site, dues: Vec<Due>) -> Unit {
        self.ready -= dues.len();
        for due in &dues {
            self.known.insert(key(due), Stage::Running);
            forget_one(&mut self.senders, due.sender);
        }
        if let Some(state) = self.sites.get_mut(&site) {
            state.running += 1;
        }
        Unit {
            site,
            dues,
            closed_until: None,
        }
    }

    /// An attempt has ended.
    pub(crate) fn finish(
        &mut self,
        unit: &Unit,
        seen: Seen,
        now: (Monotonic, Timestamp),
        wait: (&Schedule, u64),
    ) -> Finished {
        let mut finished = Finished::default();
        for due in &unit.dues {
            let was = self.known.remove(&key(due));
            if seen == Seen::NoRoom || was == Some(Stage::RunningAndAgain) {
                finished.again.push(due.clone());
            }
        }
        if unit.closed_until.is_some() {
            self.sweeping = self.sweeping.saturating_sub(1);
        }
        let Some(state) = self.sites.get_mut(&unit.site) else {
            return finished;
        };
        state.running = state.running.saturating_sub(1);
        match seen {
            Seen::Up => {
                finished.is_back = state.failures > 0;
                state.failures = 0;
                state.closed = None;
            }
            // Those that began before the first failure say nothing new.
            Seen::Down if !state.is_closed(now.0) => {
                state.failures = state.failures.saturating_add(1);
                let (schedule, seed) = wait;
                let ms = match schedule.wait_ms(state.failures, seed) / 2 {
                    ms if ms <= CLOSED_MAX_MS => ms,
                    // Those that were away together come back one after the other.
                    _ => CLOSED_MAX_MS - seed % (CLOSED_MAX_MS / 4 + 1),
                };
                let wait = std::time::Duration::from_millis(ms);
                state.closed = Some((now.0.after(wait), now.1.after(wait)));
                state.forward.clear();
                if !state.waiting.is_empty() && !std::mem::replace(&mut state.is_swept, true) {
                    self.to_sweep.push_back(unit.site.clone());
                }
                // They stand in their lines, where they cost nothing.
                let back = state.ready.drain();
                self.ready -= back.len();
                for due in &back {
                    self.known.remove(&key(due));
                    forget_one(&mut self.senders, due.sender);
                }
                finished.again.extend(back);
            }
            Seen::Down | Seen::Nothing | Seen::NoRoom => {}
        }
        if state.is_idle() && state.failures == 0 {
            self.sites.remove(&unit.site);
        } else if self.sites.len() > IDLE_SITES_MAX {
            self.sites
                .retain(|_, state| !state.is_idle() || state.is_closed(now.0));
        }
        finished
    }

    /// Entries of this kind leave the lists; attempts under way go on.
    pub(crate) fn give_back(&mut self, of_kind: impl Fn(&Due) -> bool) -> Vec<Due> {
        let lists = self.sites.values_mut();
        let taken: Vec<Due> = lists.flat_map(|state| state.ready.take(&of_kind)).collect();
        self.ready -= taken.len();
        for due in &taken {
            self.known.remove(&key(due));
            forget_one(&mut self.senders, due.sender);
        }
        taken
    }

    /// How the sites are.
    pub(crate) fn status(&self, now: Monotonic) -> Vec<SiteStatus> {
        let status = |(site, state): (&Site, &State)| SiteStatus {
            site: site.clone(),
            ready: state.ready.len(),
            running: state.running,
            failures: state.failures,
            closed_until: state
                .closed
                .filter(|(until, _)| *until > now)
                .map(|(_, at)| at),
        };
        self.sites.iter().map(status).collect()
    }

    /// What was put off while the site was down is brought forward from these lines.
    pub(crate) fn bring_forward(&mut self, site: &Site, lines: Vec<Line>, now_ms: u64) {
        if lines.is_empty() {
            return;
        }
        let state = self.sites.entry(site.clone()).or_default();
        let all = lines.into_iter();
        state.forward = all
            .map(|line| (line, Place::at(now_ms.saturating_add(1)), now_ms))
            .collect();
    }

    /// A line whose site has nothing else to do than what was put off.
    pub(crate) fn next_forward(&mut self) -> Option<(Site, Line, Place, u64)> {
        let max = self.list_max();
        let mut sites = self.sites.iter_mut();
        let (site, state) = sites.find(|(_, state)| state.wants_forward(max))?;
        let (line, place, since_ms) = state.forward.pop_front()?;
        Some((site.clone(), line, place, since_ms))
    }

    /// There is more of such a line.
    pub(crate) fn forward_more(&mut self, site: Site, line: Line, place: Place, since_ms: u64) {
        let state = self.sites.entry(site).or_default();
        state.forward.push_back((line, place, since_ms));
    }

    pub(crate) fn wants_forward(&self) -> bool {
        let max = self.list_max();
        self.sites.values().any(|state| state.wants_forward(max))
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

/// A sender has one entry less in lists.
fn forget_one(senders: &mut HashMap<u32, usize>, sender: u32) {
    if let Some(has) = senders.get_mut(&sender) {
        *has -= 1;
        if *has == 0 {
            senders.remove(&sender);
        }
    }
}

impl State {
    fn may_run(&self, site: &Site, most: Most<'_>) -> May {
        // One goes first, to see.
        if self.failures > 0 && self.running > 0 {
            return May::Wait;
        }
        let room = match (site, most.limiter) {
            (Site::Local, _) | (_, None) => Room::Unknown,
            (_, Some(limiter)) => limiter.room(site),
        };
        match (room, site) {
            (Room::Full(party, until), _) => May::Park(party, until),
            (Room::Free, _) => May::Run,
            (Room::Unknown, Site::Local) if self.running < most.local => May::Run,
            (Room::Unknown, site) if *site != Site::Local && self.running < most.per_site => {
                May::Run
            }
            (Room::Unknown, _) => May::Wait,
        }
    }

    fn is_closed(&self, now: Monotonic) -> bool {
        self.closed.is_some_and(|(until, _)| until > now)
    }

    /// Its time is over.
    fn open(&mut self, now: Monotonic) {
        if !self.is_closed(now) {
            self.closed = None;
        }
    }

    fn list_max(&self, max: usize) -> usize {
        // One goes first, to see.
        if self.failures > 0 { max.min(1) } else { max }
    }

    /// Its list has run down, and lines wait.
    fn wants(&self, max: usize, now: Monotonic) -> bool {
        !self.waiting.is_empty() && !self.is_closed(now) && self.has_run_down(max)
    }

    fn wants_forward(&self, max: usize) -> bool {
        !self.forward.is_empty()
            && self.waiting.is_empty()
            && self.failures == 0
            && self.has_run_down(max)
    }

    fn has_run_down(&self, max: usize) -> bool {
        let max = self.list_max(max);
        let busy = self.failures > 0 && self.running > 0;
        max > 0 && !busy && self.ready.len() <= max / 4
    }

    fn is_idle(&self) -> bool {
        self.ready.is_empty()
            && self.running == 0
            && self.waiting.is_empty()
            && self.forward.is_empty()
    }
}

#[cfg(test)]
mod tests;
