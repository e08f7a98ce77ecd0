//! From the schedule on the disk into the lists of sites in memory.
//!
//! What is new is told by itself (`queue::News`) and offered at once, whatever
//! else waits for its domain. Everything else is read line by line: of each line
//! it is known from which place on it was not read, and when that is due. A line
//! whose site has no room, or is closed, waits at the site and costs nothing; a
//! site whose list has run down calls its lines in, one after the other. So
//! memory has one short record for each domain with waiting mail, up to a bound;
//! beyond it lines are found again by walking the schedule's domains.
//!
//! Where the way depends on the message, a line may lead to several sites; for
//! each that has no room, a place in the line is kept by itself.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use engine::ShardId;
use envelope::Domain;
use queue::{Drain, Due, Line, Paused, Place, Queue, QueueError};
use runtime::Monotonic;

use crate::dispatcher::{Core, Outbound};
use crate::limits::{LINES_AT_ONCE, LINES_MAX, PAGE, SCAN_MAX, SWEEP_PAGE, WALK_AGAIN, WALK_PAGE};
use crate::ports::Way;
use crate::site::Site;
use crate::sites::{Offered, Sites};

/// A line, or what of it goes to one site where that depends on the message.
pub(crate) type Part = (Line, Option<Site>);

/// Which lines there are, and how far each was read.
#[derive(Debug)]
pub(crate) struct Scanner {
    parts: HashMap<Part, Reading>,
    /// Those that wait for a time, in order of it.
    times: BTreeSet<(u64, Part)>,
    walk: Walk,
    paused: Arc<Paused>,
    /// Where everything goes.
    drain: Option<Arc<Drain>>,
    /// Lines that were met while they were paused.
    resting: Vec<Part>,
    /// There are lines that are not known here.
    forgot: bool,
}

#[derive(Debug)]
struct Reading {
    /// Everything before was offered.
    from: Place,
    waits: Waits,
    /// Where it led when it was read last.
    site: Option<Site>,
}

/// What a line waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// Its time.
    Time,
    /// Room at its site.
    Room,
    /// Somebody who resumes it.
    Person,
}

/// Looking for lines.
#[derive(Debug)]
enum Walk {
    /// From behind this one on.
    After(Option<Line>),
    /// Done, at this time.
    Done(Monotonic),
}

impl Scanner {
    pub(crate) fn new() -> Self {
        Self {
            parts: HashMap::new(),
            times: BTreeSet::new(),
            walk: Walk::After(None),
            paused: Arc::default(),
            drain: None,
            resting: Vec::new(),
            forgot: false,
        }
    }

    /// When the next entry is due.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.times.first().map(|(ms, _)| *ms)
    }

    /// There is more to read at once.
    pub(crate) fn is_unfinished(&self, now_ms: u64) -> bool {
        matches!(self.walk, Walk::After(_)) || self.next_ms().is_some_and(|ms| ms <= now_ms)
    }

    /// Looks again from this place on.
    pub(crate) fn go_back(&mut self, line: Line, place: Place) {
        self.go_back_part((line, None), place);
    }

    fn go_back_part(&mut self, part: Part, place: Place) {
        if let Some(reading) = self.parts.get_mut(&part) {
            if place < reading.from {
                if reading.waits == Waits::Time {
                    self.times.remove(&(reading.from.due_ms, part.clone()));
                    self.times.insert((place.due_ms, part));
                }
                reading.from = place;
            }
            return;
        }
        if self.parts.len() >= LINES_MAX {
            self.forgot = true;
            return;
        }
        self.times.insert((place.due_ms, part.clone()));
        let reading = Reading {
            from: place,
            waits: Waits::Time,
            site: None,
        };
        self.parts.insert(part, reading);
    }

    /// Looks at all lines again: the clock was set back, or nobody said what is new.
    pub(crate) fn look_at_everything(&mut self) {
        self.walk = Walk::After(None);
    }

    /// The lines that led to a site when they were read last.
    pub(crate) fn lines_of(&self, site: &Site) -> Vec<Line> {
        let of_site = |(part, reading): (&Part, &Reading)| {
            (reading.site.as_ref() == Some(site)).then(|| part.0.clone())
        };
        self.parts.iter().filter_map(of_site).collect()
    }

    /// The lines that lead to a site, those too that were never read.
    pub(crate) async fn lines_to(&mut self, core: &Core, site: &Site) -> Vec<Line> {
        for ((line, only), reading) in &mut self.parts {
            if reading.site.is_none() {
                reading.site = match only {
                    Some(only) => Some(only.clone()),
                    None => route(core, line).await,
                };
            }
        }
        self.lines_of(site)
    }

    /// Offers what is new and what is due now, as far as there is room.
    pub(crate) async fn scan(&mut self, core: &Core, sites: &mut Sites) -> Result<(), QueueError> {
        let mut routes = Routed::default();
        self.look_what_is_paused(core, sites).await?;
        self.look_where_all_goes(core, sites);
        self.take_news(core, sites, &mut routes).await;
        self.walk(core).await?;
        for part in sites.call_in(core.ports.runtime.monotonic()) {
            self.call(part);
        }
        let mut left = SCAN_MAX;
        while left > 0 {
            let parts = self.due_parts(core, sites, &mut routes).await;
            if parts.is_empty() {
                break;
            }
            let found = self.read(core, sites, &mut routes, parts).await?;
            left = left.saturating_sub(found + 1);
        }
        self.sweep(core, sites).await
    }

    async fn look_what_is_paused(
        &mut self,
        core: &Core,
        sites: &mut Sites,
    ) -> Result<(), QueueError> {
        let paused = core.ports.queue.paused().await?;
        if Arc::ptr_eq(&paused, &self.paused) {
            return Ok(());
        }
        self.paused = paused;
        // Those that still are rest again as soon as they are met.
        for part in std::mem::take(&mut self.resting) {
            self.call(part);
        }
        for due in sites.give_back(|due| self.paused.has(&due.line.domain)) {
            self.go_back(due.line.clone(), due.place());
        }
        Ok(())
    }

    /// When all goes another way from now on, what is known of lines is of no use.
    fn look_where_all_goes(&mut self, core: &Core, sites: &mut Sites) {
        let drain = core.ports.queue.drain_known();
        if drain == self.drain {
            return;
        }
        self.drain = drain;
        self.parts.clear();
        self.times.clear();
        self.resting.clear();
        // They stand in their lines, which are all read again.
        sites.give_back(|_| true);
        sites.forget_parts();
        self.look_at_everything();
    }

    async fn take_news(&mut self, core: &Core, sites: &mut Sites, routes: &mut Routed) {
        let added = core.ports.queue.news().take_added();
        let now_ms = core.ports.runtime.now().unix_ms;
        for due in added.dues {
            if due.due_ms > now_ms || self.paused.has(&due.line.domain) {
                self.go_back(due.line.clone(), due.place());
                continue;
            }
            let site = routes.site(core, &due).await;
            let (place, line) = (due.place(), due.line.clone());
            match sites.offer(&site, due) {
                Offered::Taken | Offered::Known => {}
                Offered::For(other) => self.go_back(other.line.clone(), other.place()),
                // It stands in its line all the same.
                Offered::Full => self.go_back(line, place),
            }
        }
        for (line, place) in added.lines {
            self.go_back(line, place);
        }
        if added.everything {
            self.look_at_everything();
        }
    }

    /// Gets to know lines.
    async fn walk(&mut self, core: &Core) -> Result<(), QueueError> {
        let now = core.ports.runtime.monotonic();
        if let Walk::Done(at) = self.walk
            && self.forgot
            && self.parts.len() < LINES_MAX / 2
            && now.since(at) >= WALK_AGAIN
        {
            self.look_at_everything();
        }
        let Walk::After(after) = &mut self.walk else {
            return Ok(());
        };
        let after = after.take();
        if after.is_none() {
            self.forgot = false;
        }
        let (found, next) = core.ports.queue.lines(after, WALK_PAGE).await?;
        for (line, place) in found {
            self.go_back(line, place);
        }
        self.walk = match next {
            // Those behind have their turn when these have become fewer.
            Some(_) if self.forgot => Walk::Done(now),
            Some(last) => Walk::After(Some(last)),
            None => Walk::Done(now),
        };
        Ok(())
    }

    /// A line that waited at a site waits for its time, which has come.
    fn call(&mut self, part: Part) {
        if let Some(reading) = self.parts.get_mut(&part) {
            reading.waits = Waits::Time;
            self.times.insert((reading.from.due_ms, part));
        }
    }

    fn wait_at(&mut self, part: Part, site: Site, sites: &mut Sites) {
        if let Some(reading) = self.parts.get_mut(&part) {
            self.times.remove(&(reading.from.due_ms, part.clone()));
            reading.waits = Waits::Room;
            sites.wait(site, part);
        }
    }

    /// Lines with something due whose sites have room; the others wait there.
    async fn due_parts(
        &mut self,
        core: &Core,
        sites: &mut Sites,
        routes: &mut Routed,
    ) -> Vec<(Part, Option<Site>, Place)> {
        let now = core.ports.runtime.monotonic();
        let now_ms = core.ports.runtime.now().unix_ms;
        let mut parts = Vec::new();
        while parts.len() < LINES_AT_ONCE
            && let Some((ms, part)) = self.times.first().cloned()
            && ms <= now_ms
        {
            self.times.pop_first();
            let site = match &part.1 {
                Some(site) => Some(site.clone()),
                None => routes.of_line(core, &part.0).await,
            };
            let Some(reading) = self.parts.get_mut(&part) else {
                continue;
            };
            // It was moved meanwhile.
            if reading.waits != Waits::Time || reading.from.due_ms != ms {
                continue;
            }
            if self.paused.has(&part.0.domain) {
                reading.waits = Waits::Person;
                self.resting.push(part);
                continue;
            }
            reading.site.clone_from(&site);
            match site {
                Some(site) if !sites.has_room(&site, now) => self.wait_at(part, site, sites),
                site => parts.push((part, site, reading.from)),
            }
        }
        parts
    }

    /// Reads these lines and offers what is found; how many entries that were.
    async fn read(
        &mut self,
        core: &Core,
        sites: &mut Sites,
        routes: &mut Routed,
        parts: Vec<(Part, Option<Site>, Place)>,
    ) -> Result<usize, QueueError> {
        let now_ms = core.ports.runtime.now().unix_ms;
        let asked = parts.iter();
        let asked = asked.map(|((line, _), _, from)| (line.clone(), *from));
        let pages = core.ports.queue.due(asked.collect(), now_ms, PAGE).await;
        let pages = match pages {
            Ok(pages) => pages,
            Err(error) => {
                for (part, _, from) in parts {
                    self.times.insert((from.due_ms, part));
                }
                return Err(error);
            }
        };
        let mut found = 0;
        for ((part, site, _), page) in parts.into_iter().zip(pages) {
            found += page.entries.len();
            let mut next = page.next;
            let mut full = None;
            // They may be of this line: not before it is known how far it was read.
            let mut gave_way = Vec::new();
            for due in page.entries {
                let (of_line, to) = match (&site, &part.1) {
                    (Some(site), None) => (true, site.clone()),
                    _ => (false, routes.site(core, &due).await),
                };
                if part.1.as_ref().is_some_and(|only| *only != to) {
                    continue;
                }
                let place = due.place();
                match sites.offer(&to, due) {
                    Offered::Taken | Offered::Known => {}
                    Offered::For(other) => gave_way.push(other),
                    Offered::Full if of_line || part.1.is_some() => {
                        next = Some(place);
                        full = Some(to);
                        break;
                    }
                    // Others behind it may go elsewhere.
                    Offered::Full => {
                        self.go_back_part((part.0.clone(), Some(to)), place);
                    }
                }
            }
            self.go_on(part, next, full, sites);
            for other in gave_way {
                self.go_back(other.line.clone(), other.place());
            }
        }
        Ok(found)
    }

    fn go_on(&mut self, part: Part, next: Option<Place>, full: Option<Site>, sites: &mut Sites) {
        let Some(next) = next else {
            self.parts.remove(&part);
            return;
        };
        let Some(reading) = self.parts.get_mut(&part) else {
            return;
        };
        reading.from = next;
        match full {
            Some(site) => self.wait_at(part, site, sites),
            None => drop(self.times.insert((next.due_ms, part))),
        }
    }

    /// What is due for closed sites is put off without an attempt, a little at a
    /// time: somebody may be told of the delay, or its time may be over.
    async fn sweep(&mut self, core: &Core, sites: &mut Sites) -> Result<(), QueueError> {
        let now = core.ports.runtime.monotonic();
        let now_ms = core.ports.runtime.now().unix_ms;
        let mut looked_at = 0;
        while looked_at < LINES_AT_ONCE
            && let Some((site, part, room)) = sites.next_to_sweep(now)
        {
            looked_at += 1;
            let Some(reading) = self.parts.get_mut(&part) else {
                sites.forget_part(&site, &part);
                continue;
            };
            if reading.from.due_ms > now_ms || self.paused.has(&part.0.domain) {
                continue;
            }
            let asked = vec![(part.0.clone(), reading.from)];
            let limit = room.min(SWEEP_PAGE);
            let mut pages = core.ports.queue.due(asked, now_ms, limit).await?;
            let page = pages.pop().unwrap_or_default();
            let mut routes = Routed::default();
            for due in page.entries {
                if part.1.is_none() || routes.site(core, &due).await == site {
                    sites.put_off(&site, due);
                }
            }
            match page.next {
                Some(next) => reading.from = next,
                None => {
                    self.parts.remove(&part);
                    sites.forget_part(&site, &part);
                }
            }
        }
        Ok(())
    }
}

/// Where lines lead, as far as was asked for in one scan.
#[derive(Default)]
struct Routed(HashMap<Line, Option<Site>>);

impl Routed {
    /// Where all of a line goes; none where it depends on the message.
    async fn of_line(&mut self, core: &Core, line: &Line) -> Option<Site> {
        if let Some(known) = self.0.get(line) {
            return known.clone();
        }
        let site = route(core, line).await;
        self.0.insert(line.clone(), site.clone());
        site
    }

    async fn site(&mut self, core: &Core, due: &Due) -> Site {
        match self.of_line(core, &due.line).await {
            Some(site) => site,
            None => route_of(core, due).await,
        }
    }
}

/// Where a line's mail goes; none where it depends on the message.
pub(crate) async fn route(core: &Core, line: &Line) -> Option<Site> {
    let domain = &line.domain;
    if core.ports.local.is_local(domain).await {
        return Some(Site::Local);
    }
    let drain = core.ports.queue.drain_known();
    if let Some(way) = drain.as_ref().map(|drain| &drain.way).or(line.way.as_ref()) {
        return Some(sending_from(core, domain, Site::by_way(way, domain)));
    }
    let way = core.ports.routes.way(domain)?;
    Some(site(core, domain, way))
}

/// The usual lines of a domain.
pub(crate) fn lines_of(queue: &Queue, domain: &Domain) -> impl Iterator<Item = Line> {
    let line = |shard: ShardId| Line {
        shard,
        domain: domain.clone(),
        way: None,
    };
    queue.shards().map(line)
}

/// Where a message's mail for a domain goes that depends on the message.
async fn route_of(core: &Core, due: &Due) -> Site {
    let domain = &due.line.domain;
    let way = match core.ports.queue.message(due).await {
        Ok(message) => core.ports.routes.way_of(domain, &message).await,
        // It has gone meanwhile, or it is damaged: the attempt finds out.
        Err(_) => Way::Usual,
    };
    site(core, domain, way)
}

fn site(core: &Core, domain: &Domain, way: Way) -> Site {
    let site = match way {
        Way::Transports(names) => Site::Named(names),
        Way::Primary => Site::Primary(domain.clone()),
        Way::Usual if core.options.outbound == Outbound::SmartHost => Site::SmartHost,
        Way::Usual | Way::Mx => Site::Domain(domain.clone()),
    };
    sending_from(core, domain, site)
}

/// A transport that only says where connections come from is no place of its own.
fn sending_from(core: &Core, domain: &Domain, site: Site) -> Site {
    let sources = match &site {
        Site::Named(names) => match &names[..] {
            [name] => core.ports.routes.sources(name),
            _ => None,
        },
        _ => None,
    };
    sources.map_or(site, |sources| Site::From(domain.clone(), sources))
}
