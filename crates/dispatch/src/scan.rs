//! From the schedule on the disk into the lists of sites in memory.
//!
//! A cursor per shard says up to which time everything was offered. It goes
//! back when something earlier is added. What found its site's list full is
//! remembered by its time and looked for again, only then and only there, so
//! that a long line for one site is read once and not again and again.

use std::collections::HashMap;

use engine::ShardId;
use envelope::Domain;
use queue::{Due, DueMark, Queue, QueueError};

use crate::dispatcher::{Core, Outbound};
use crate::limits::{PAGE, SCAN_MAX};
use crate::ports::Way;
use crate::sites::{Offered, Site, Sites};

/// How far the schedule was read.
#[derive(Debug)]
pub(crate) struct Scanner {
    shards: Vec<Cursor>,
}

#[derive(Debug)]
struct Cursor {
    shard: ShardId,
    /// Everything before this was offered.
    at: DueMark,
    /// When the next is due after that.
    next_ms: Option<u64>,
    /// There is more that is due.
    unfinished: bool,
}

/// Where a scan ended.
enum End {
    /// At the last that is due; the next is due then.
    Complete(Option<u64>),
    /// Before this place: memory or patience had an end.
    Stopped(DueMark),
}

impl Scanner {
    pub(crate) fn new(queue: &Queue) -> Self {
        let cursor = |shard| {
            let at = Queue::mark(shard, 0);
            Cursor {
                shard,
                at,
                next_ms: None,
                unfinished: true,
            }
        };
        Self {
            shards: queue.shards().map(cursor).collect(),
        }
    }

    /// When the next entry is due.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.shards.iter().filter_map(|cursor| cursor.next_ms).min()
    }

    /// There is more to read as soon as there is room for it.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.shards.iter().any(|cursor| cursor.unfinished)
    }

    /// Looks again from this place on.
    pub(crate) fn go_back(&mut self, shard: ShardId, mark: DueMark) {
        if let Some(cursor) = self.shards.iter_mut().find(|cursor| cursor.shard == shard) {
            cursor.go_back(mark);
        }
    }

    /// Looks again at all that is due from this time on.
    pub(crate) fn go_back_to(&mut self, ms: u64) {
        for cursor in &mut self.shards {
            cursor.go_back(Queue::mark(cursor.shard, ms));
        }
    }

    /// Offers what is due now, as far as there is room.
    pub(crate) async fn scan(&mut self, core: &Core, sites: &mut Sites) -> Result<(), QueueError> {
        let mut routes = HashMap::new();
        let now_ms = core.ports.runtime.now().unix_ms;
        for cursor in &mut self.shards {
            if let Some(news) = core.ports.queue.news().take_earliest_ms(cursor.shard) {
                cursor.go_back(Queue::mark(cursor.shard, news));
            }
            if sites.is_full() {
                cursor.unfinished = true;
                continue;
            }
            let from = cursor.at.clone();
            let range = Range {
                shard: cursor.shard,
                now_ms,
                only: None,
            };
            match read(core, sites, &mut routes, from, range).await? {
                End::Complete(next_ms) => {
                    cursor.at = Queue::mark(cursor.shard, now_ms);
                    cursor.next_ms = next_ms;
                    cursor.unfinished = false;
                }
                End::Stopped(at) => {
                    cursor.at = at;
                    cursor.unfinished = true;
                }
            }
        }
        for (site, shard, from) in sites.take_skipped() {
            let range = Range {
                shard,
                now_ms,
                only: Some(&site),
            };
            if let End::Stopped(at) = read(core, sites, &mut routes, from, range).await? {
                sites.skip(&site, shard, at);
            }
        }
        Ok(())
    }
}

impl Cursor {
    fn go_back(&mut self, mark: DueMark) {
        if mark < self.at {
            self.at = mark;
        }
        self.unfinished = true;
    }
}

#[derive(Clone, Copy)]
struct Range<'a> {
    shard: ShardId,
    now_ms: u64,
    /// Offer nothing but this site's.
    only: Option<&'a Site>,
}

async fn read(
    core: &Core,
    sites: &mut Sites,
    routes: &mut HashMap<Domain, Option<Site>>,
    mut from: DueMark,
    range: Range<'_>,
) -> Result<End, QueueError> {
    for _ in 0..SCAN_MAX / PAGE {
        let page = core
            .ports
            .queue
            .due(range.shard, Some(from), range.now_ms, PAGE)
            .await?;
        for due in page.entries {
            let known = match routes.get(&due.domain) {
                Some(known) => known.clone(),
                None => {
                    let found = route(core, &due.domain).await;
                    routes.insert(due.domain.clone(), found.clone());
                    found
                }
            };
            let site = match known {
                Some(site) => site,
                None => route_of(core, &due).await,
            };
            if range.only.is_some_and(|only| *only != site) {
                continue;
            }
            let mark = due.mark();
            let offered = sites.offer(&site, due);
            if sites.is_full() || (range.only.is_some() && offered == Offered::SiteFull) {
                return Ok(End::Stopped(mark));
            }
        }
        match page.more {
            Some(more) => from = more,
            None => return Ok(End::Complete(page.next_ms)),
        }
    }
    Ok(End::Stopped(from))
}

/// Where a domain's mail goes; none where it depends on the message.
pub(crate) async fn route(core: &Core, domain: &Domain) -> Option<Site> {
    if core.ports.local.is_local(domain).await {
        return Some(Site::Local);
    }
    let way = core.ports.routes.way(domain)?;
    Some(site(core, domain, way))
}

/// Where a message's mail for a domain goes that depends on the message.
async fn route_of(core: &Core, due: &Due) -> Site {
    let way = match core.ports.queue.message(due).await {
        Ok(message) => core.ports.routes.way_of(&due.domain, &message).await,
        // It has gone meanwhile, or it is damaged: the attempt finds out.
        Err(_) => Way::Usual,
    };
    site(core, &due.domain, way)
}

fn site(core: &Core, domain: &Domain, way: Way) -> Site {
    match way {
        Way::Transports(names) => Site::Named(names),
        Way::Primary => Site::Primary(domain.clone()),
        Way::Usual if core.options.outbound == Outbound::SmartHost => Site::SmartHost,
        Way::Usual | Way::Mx => Site::Domain(domain.clone()),
    }
}
