//! How many connections to whom: counted here, learned by `queue_model::Learned`.
//!
//! A site is what mail goes to; a *party* is whose servers it meets there, and
//! thousands of sites may be one party (domains with the same MX set). So attempts
//! take a *seat* of their party before they lease anything, and connections a *place*
//! before they are opened; what is refused all the same is told here, and where the
//! limit is known from then on. A site's party is learned at its first attempt and
//! looked up again after a while.
//!
//! Where several nodes share an operator's limits, each has a share of them (`shared`).
//!
//! Not here: which site is next and which is closed (`sites`).

use std::collections::HashMap;
use std::sync::Arc;

use cluster::Board;
use deliver::{Blame, Chunks, Gate, Heard, Hearing, Place};
use envelope::Reply;
use parking_lot::Mutex;
use queue_model::{Bounds, Learned, Party, Presence, Signal};
use runtime::{Monotonic, Runtime, Timestamp};
use tokio::sync::Notify;

mod chunking;
mod shared;

use self::chunking::Chunking;
pub use self::shared::NodesStatus;
use self::shared::{Contact, Portion, Sharing};
use crate::limits::{
    LIMITS_ASKED_AGAIN, PARTIES_MAX, PARTY_KEPT, PARTY_KNOWN, ROOM_PATIENCE, SITES_OF_PARTIES_MAX,
};
use crate::ports::{BoxFuture, Routes};
use crate::site::Site;

/// What an operator allows with one party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SiteLimits {
    /// Connections at once.
    pub connections: u32,
    /// Messages on one of them.
    pub messages_per_connection: usize,
    /// Messages in a minute; any number where there is none.
    pub messages_per_minute: Option<u32>,
    /// Messages may go by BDAT where it is offered.
    pub chunking: bool,
}

impl Default for SiteLimits {
    fn default() -> Self {
        Self {
            connections: crate::limits::CONNECTIONS_PER_SITE,
            messages_per_connection: deliver::limits::MESSAGES_PER_CONNECTION_MAX,
            messages_per_minute: None,
            chunking: true,
        }
    }
}

impl SiteLimits {
    fn bounds(self) -> Bounds {
        Bounds {
            connections: self.connections,
            per_minute: self.messages_per_minute,
            part: cluster::limits::PART_WHOLE,
        }
    }
}

/// Counts connections and learns how many there may be. Cheap to clone; clones are one.
#[derive(Clone)]
pub struct Limiter(Arc<Inner>);

struct Inner {
    runtime: Runtime,
    routes: Arc<dyn Routes>,
    usual: SiteLimits,
    sharing: Option<Sharing>,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Default)]
struct State {
    contact: Contact,
    parties: HashMap<Party, Known>,
    /// Whose servers a site has, and until when that is believed.
    sites: HashMap<Site, (Party, Monotonic)>,
}

struct Known {
    learned: Learned,
    limits: SiteLimits,
    limits_asked: Monotonic,
    /// Of the limits; the whole where no other node has any of them.
    portion: Option<Portion>,
    /// What is ours of the limits now.
    bounds: Bounds,
    attempts: u32,
    opening: u32,
    ready: u32,
    taken: u64,
    turned_away: u64,
    last: Option<LastSignal>,
    chunking: Chunking,
    used: Monotonic,
}

/// What a party said last about our way of sending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastSignal {
    /// What it means.
    pub signal: Signal,
    /// Its words; ours where it had none.
    pub text: String,
    /// When.
    pub at: Timestamp,
}

/// How it is with a party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartyStatus {
    /// Which one.
    pub party: Party,
    /// Connections that are open or being opened; those that wait for another message too.
    pub connections: u32,
    /// Attempts under way.
    pub attempts: u32,
    /// Connections that may be open now.
    pub allowed: u32,
    /// Connections that the operator allows.
    pub connections_max: u32,
    /// Of these, this node's share, where nodes share them.
    pub share: Option<u32>,
    /// The lowest number of connections that was refused, and until when it is not tried again.
    pub refused: Option<(u32, Timestamp)>,
    /// Messages in a minute, where there is a bound.
    pub per_minute: Option<u32>,
    /// Until when nothing begins, because we were too fast.
    pub rests_until: Option<Timestamp>,
    /// Messages that it took.
    pub taken: u64,
    /// Connections that it turned away.
    pub turned_away: u64,
    /// What it said last about our way of sending.
    pub last: Option<LastSignal>,
    /// Why BDAT is not used there though it is offered, and until when.
    pub by_data: Option<(String, Timestamp)>,
}

/// Whether an attempt may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Room {
    /// Nobody knows whose servers the site has.
    Unknown,
    Free,
    /// Not before one ends, or this time has come.
    Full(Party, Option<Monotonic>),
}

/// An attempt's place in its party's number; free again when it is dropped.
pub(crate) struct Seat {
    limiter: Limiter,
    party: Party,
    begun: Monotonic,
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.0.state.lock();
        f.debug_struct("Limiter")
            .field("parties", &state.parties.len())
            .finish_non_exhaustive()
    }
}

fn ms(at: Monotonic) -> u64 {
    u64::try_from(at.0.as_millis()).unwrap_or(u64::MAX)
}

impl Limiter {
    /// Nothing learned yet; `usual` where `routes` say nothing else of a party.
    #[must_use]
    pub fn new(runtime: &Runtime, routes: Arc<dyn Routes>, usual: SiteLimits) -> Self {
        Self::sharing(None, runtime, routes, usual)
    }

    /// [`Limiter::new`] of a node that shares its limits with those at the same board.
    #[must_use]
    pub fn sharing(
        board: Option<Arc<dyn Board>>,
        runtime: &Runtime,
        routes: Arc<dyn Routes>,
        usual: SiteLimits,
    ) -> Self {
        Self(Arc::new(Inner {
            runtime: runtime.clone(),
            routes,
            usual,
            sharing: board.map(Sharing::new),
            state: Mutex::default(),
            freed: Notify::new(),
        }))
    }

    /// How it is with those that there is something to say of, the busiest first.
    #[must_use]
    pub fn status(&self) -> Vec<PartyStatus> {
        let (now, wall) = (self.now(), self.0.runtime.now());
        let state = self.0.state.lock();
        let mut all: Vec<PartyStatus> = state
            .parties
            .iter()
            .map(|(party, known)| known.status(party, (now, wall), &state.contact))
            .collect();
        all.sort_by(|one, other| {
            let busy = |status: &PartyStatus| (status.connections, status.attempts);
            busy(other)
                .cmp(&busy(one))
                .then(one.party.cmp(&other.party))
        });
        all
    }

    /// How it is with one.
    #[must_use]
    pub fn status_of(&self, party: &Party) -> Option<PartyStatus> {
        let (now, wall) = (self.now(), self.0.runtime.now());
        let state = self.0.state.lock();
        let known = state.parties.get(party)?;
        Some(known.status(party, (now, wall), &state.contact))
    }

    /// Whether an attempt to this site may begin.
    pub(crate) fn room(&self, site: &Site) -> Room {
        let now = self.now();
        let mut state = self.0.state.lock();
        let Some((party, until)) = state.sites.get(site) else {
            return Room::Unknown;
        };
        if *until <= now {
            state.sites.remove(site);
            return Room::Unknown;
        }
        let party = party.clone();
        match self.known(&mut state, &party, now).waits(now) {
            None => Room::Free,
            Some(until) => Room::Full(party, until),
        }
    }

    /// How many attempts at a party may begin now; if none, from when on, as far as
    /// that is known.
    pub(crate) fn seats(&self, party: &Party) -> Result<usize, Option<Monotonic>> {
        let now = self.now();
        let mut state = self.0.state.lock();
        let known = self.known(&mut state, party, now);
        match known.waits(now) {
            Some(until) => Err(until),
            None => Ok((known.allowed() - known.attempts) as usize),
        }
    }

    /// Whose servers a site has, as far as that is known.
    pub(crate) fn party_of(&self, site: &Site) -> Option<Party> {
        let state = self.0.state.lock();
        let (party, until) = state.sites.get(site)?;
        (*until > self.now()).then(|| party.clone())
    }

    /// A site has these servers.
    pub(crate) fn learn(&self, site: &Site, party: &Party) {
        let now = self.now();
        let mut state = self.0.state.lock();
        if state.sites.len() >= SITES_OF_PARTIES_MAX {
            state.sites.retain(|_, (_, until)| *until > now);
        }
        if state.sites.len() < SITES_OF_PARTIES_MAX {
            let until = now.after(PARTY_KNOWN);
            state.sites.insert(site.clone(), (party.clone(), until));
        }
    }

    /// A seat, if there is one.
    pub(crate) fn sit(&self, party: &Party) -> Option<Seat> {
        let now = self.now();
        let mut state = self.0.state.lock();
        let known = self.known(&mut state, party, now);
        if known.waits(now).is_some() {
            return None;
        }
        known.attempts += 1;
        known.noticed();
        known.learned.begun(ms(now), known.bounds);
        Some(Seat {
            limiter: self.clone(),
            party: party.clone(),
            begun: now,
        })
    }

    /// A person wants everything tried now.
    pub(crate) fn forgive_all(&self) {
        let mut state = self.0.state.lock();
        let all = state.parties.values_mut();
        all.for_each(|known| known.learned.forgive());
    }

    /// What goes to one site is to be tried now.
    pub(crate) fn forgive(&self, site: &Site) {
        let mut state = self.0.state.lock();
        let party = state.sites.get(site).map(|(party, _)| party.clone());
        let known = party.and_then(|party| state.parties.get_mut(&party));
        if let Some(known) = known {
            known.learned.forgive();
        }
    }

    fn now(&self) -> Monotonic {
        self.0.runtime.monotonic()
    }

    fn known<'s>(&self, state: &'s mut State, party: &Party, now: Monotonic) -> &'s mut Known {
        if state.parties.len() >= PARTIES_MAX && !state.parties.contains_key(party) {
            state.make_room(now);
        }
        let State {
            parties, contact, ..
        } = state;
        let known = parties.entry(party.clone()).or_insert_with(|| {
            let limits = self.limits(party);
            Known {
                learned: Learned::default(),
                limits,
                limits_asked: now,
                portion: self.0.sharing.as_ref().map(Sharing::portion),
                bounds: limits.bounds(),
                attempts: 0,
                opening: 0,
                ready: 0,
                taken: 0,
                turned_away: 0,
                last: None,
                chunking: Chunking::default(),
                used: now,
            }
        });
        // Whatever was learned long ago may be otherwise now.
        if known.is_idle() && now.since(known.used) >= PARTY_KEPT {
            known.learned = Learned::default();
            known.last = None;
        }
        if now.since(known.limits_asked) >= LIMITS_ASKED_AGAIN {
            known.limits = self.limits(party);
            known.limits_asked = now;
        }
        known.refresh(now, contact);
        known.used = now;
        known
    }

    fn limits(&self, party: &Party) -> SiteLimits {
        self.0.routes.limits(party, self.0.usual)
    }

    /// A connection's fate changes what is known of its party.
    fn with(&self, party: &Party, change: impl FnOnce(&mut Known, u64) -> Blame) -> Blame {
        let now = ms(self.now());
        let mut state = self.0.state.lock();
        match state.parties.get_mut(party) {
            Some(known) => change(known, now),
            None => Blame::Them,
        }
    }
}

impl State {
    /// Those that nobody uses are forgotten, the longest first.
    fn make_room(&mut self, now: Monotonic) {
        self.parties
            .retain(|_, known| !known.is_idle() || now.since(known.used) < PARTY_KEPT);
        while self.parties.len() >= PARTIES_MAX {
            let idle = self.parties.iter().filter(|(_, known)| known.is_idle());
            let oldest = idle.min_by_key(|(_, known)| known.used);
            let Some(oldest) = oldest.map(|(party, _)| party.clone()) else {
                return;
            };
            self.parties.remove(&oldest);
        }
    }
}

impl Known {
    fn is_idle(&self) -> bool {
        self.attempts == 0 && self.open() == 0
    }

    fn open(&self) -> u32 {
        self.opening + self.ready
    }

    /// What is ours of the limits changes with time.
    fn refresh(&mut self, now: Monotonic, contact: &Contact) {
        self.bounds = match &self.portion {
            Some(portion) => portion.of(self.limits, now, contact.alone_among(now)),
            None => self.limits.bounds(),
        };
    }

    fn in_use(&self) -> u32 {
        self.attempts.max(self.open())
    }

    fn noticed(&mut self) {
        let used = self.in_use();
        if let Some(portion) = &mut self.portion {
            portion.used(used);
        }
    }

    fn allowed(&self) -> u32 {
        // What is learned allows one at least; other nodes may have them all.
        match self.bounds.connections {
            0 => 0,
            _ => self.learned.allowed(self.bounds),
        }
    }

    /// None if something may begin; else from when on, if that is known.
    fn waits(&mut self, now: Monotonic) -> Option<Option<Monotonic>> {
        if self.is_full(self.attempts) {
            return Some(None);
        }
        let ready = self.learned.ready_at_ms(self.bounds);
        (ready > ms(now)).then(|| {
            let wait = std::time::Duration::from_millis(ready - ms(now));
            Some(now.after(wait))
        })
    }

    /// So many are as many as there may be; if only because others have a share, more is asked for.
    fn is_full(&mut self, count: u32) -> bool {
        let has_no_pace = self.bounds.part == 0 && self.bounds.per_minute.is_some();
        let is_short = self.bounds.connections <= count || has_no_pace;
        match &mut self.portion {
            Some(portion) if is_short => {
                portion.is_short();
                true
            }
            _ => count >= self.allowed(),
        }
    }

    fn status(
        &self,
        party: &Party,
        (now, wall): (Monotonic, Timestamp),
        contact: &Contact,
    ) -> PartyStatus {
        let share = self.portion.as_ref().map(|portion| {
            let bounds = portion.of(self.limits, now, contact.alone_among(now));
            bounds.connections
        });
        let at = |then_ms: u64| {
            let wait = then_ms.saturating_sub(ms(now));
            wall.after(std::time::Duration::from_millis(wait))
        };
        let rests_until = self.learned.rests_until_ms(ms(now));
        PartyStatus {
            party: party.clone(),
            connections: self.open(),
            attempts: self.attempts,
            allowed: share.map_or(u32::MAX, |share| share).min(self.allowed()),
            connections_max: self.limits.connections,
            share,
            refused: self
                .learned
                .refused_level()
                .map(|(level, until)| (level, at(until))),
            per_minute: self.learned.per_minute(self.bounds),
            rests_until: rests_until.map(at),
            taken: self.taken,
            turned_away: self.turned_away,
            last: self.last.clone(),
            by_data: self
                .chunking
                .in_vain(ms(now))
                .map(|(why, until)| (why.to_owned(), at(until))),
        }
    }

    fn remember(&mut self, signal: Signal, text: String, at: Timestamp) {
        self.last = Some(LastSignal { signal, text, at });
    }

    /// The server turned one away, with or without words.
    fn turned_away(&mut self, signal: Signal, now_ms: u64) -> Blame {
        self.turned_away += 1;
        let others = self.open().saturating_sub(1);
        let of_nodes = match (signal, &mut self.portion) {
            (Signal::TooManyConnections, Some(portion)) => portion.refused(others),
            _ => false,
        };
        match signal {
            Signal::TooFast => self.learned.too_fast(now_ms),
            Signal::Reputation => self.learned.failed(1),
            // With none of ours open there are too many of other nodes: nothing is learned of us.
            Signal::TooManyConnections if of_nodes && others == 0 => return Blame::Us,
            Signal::TooManyConnections | Signal::NotNow | Signal::Other if others > 0 => {
                self.learned.refused(others, now_ms);
                return Blame::Us;
            }
            _ => {}
        }
        Blame::Them
    }

    /// What the server says about a message may be about our pace.
    fn said(&mut self, signal: Signal, now_ms: u64) -> Blame {
        let others = self.open().saturating_sub(1);
        match signal {
            Signal::TooFast => self.learned.too_fast(now_ms),
            Signal::TooManyConnections if others > 0 => self.learned.refused(others, now_ms),
            // Who is not liked sends less, until it goes well again.
            Signal::Reputation => self.learned.failed((self.allowed() / 2).max(1)),
            _ => {}
        }
        Blame::Them
    }
}

impl Seat {
    /// The attempt got nothing through: whether its party is away.
    pub(crate) fn nothing_through(&self) -> Presence {
        let now = self.limiter.now();
        let mut state = self.limiter.0.state.lock();
        let Some(known) = state.parties.get_mut(&self.party) else {
            return Presence::Away;
        };
        // The last of those under way has the word.
        if known.open() > 0 {
            return Presence::There;
        }
        known.learned.nothing_through(ms(self.begun), ms(now))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.limiter.0.state.lock();
        if let Some(known) = state.parties.get_mut(&self.party) {
            known.attempts = known.attempts.saturating_sub(1);
        }
    }
}

impl Gate for Limiter {
    fn enter(&self, party: &Party) -> Option<Place> {
        let now = self.now();
        let mut state = self.0.state.lock();
        let known = self.known(&mut state, party, now);
        if known.is_full(known.open()) {
            return None;
        }
        known.opening += 1;
        known.noticed();
        Some(Place::new(Box::new(Counted {
            limiter: self.clone(),
            party: party.clone(),
            is_ready: false,
        })))
    }

    fn room<'a>(&'a self, _: &'a Party) -> BoxFuture<'a, ()> {
        Box::pin(async {
            let freed = self.0.freed.notified();
            let _ = self.0.runtime.timeout(ROOM_PATIENCE, freed).await;
        })
    }

    fn messages_per_connection(&self, party: &Party) -> usize {
        let now = self.now();
        let mut state = self.0.state.lock();
        let known = self.known(&mut state, party, now);
        // One that is too many goes when it can.
        if known.open() > known.allowed() {
            return 0;
        }
        known.limits.messages_per_connection
    }

    fn may_chunk(&self, party: &Party) -> bool {
        let now = self.now();
        let mut state = self.0.state.lock();
        let known = self.known(&mut state, party, now);
        known.limits.chunking && known.chunking.in_vain(ms(now)).is_none()
    }
}

/// One connection.
struct Counted {
    limiter: Limiter,
    party: Party,
    is_ready: bool,
}

impl Counted {
    fn signal(&self, reply: &Reply, say: impl FnOnce(&mut Known, Signal, u64) -> Blame) -> Blame {
        let signal = Signal::of(reply);
        let wall = self.limiter.0.runtime.now();
        self.limiter.with(&self.party, |known, now_ms| {
            if signal != Signal::Other {
                known.remember(signal, reply.to_line(), wall);
            }
            say(known, signal, now_ms)
        })
    }
}

impl Hearing for Counted {
    fn hear(&mut self, heard: Heard<'_>) -> Blame {
        let wall = self.limiter.0.runtime.now();
        match heard {
            Heard::Ready => {
                let was_ready = std::mem::replace(&mut self.is_ready, true);
                self.limiter.with(&self.party, |known, _| {
                    if !was_ready {
                        known.opening = known.opening.saturating_sub(1);
                        known.ready += 1;
                    }
                    known.learned.opened(known.ready);
                    Blame::Them
                })
            }
            Heard::Taken => self.limiter.with(&self.party, |known, now_ms| {
                known.taken += 1;
                known.learned.taken(now_ms);
                Blame::Them
            }),
            Heard::TurnedAway(reply) => self.signal(reply, Known::turned_away),
            Heard::Said(reply) => self.signal(reply, Known::said),
            Heard::Closed => self.limiter.with(&self.party, |known, now_ms| {
                let text = "the connection was refused or closed without a word".to_owned();
                known.remember(Signal::NotNow, text, wall);
                known.turned_away(Signal::NotNow, now_ms)
            }),
            Heard::NoAnswer => self.limiter.with(&self.party, |known, _| {
                let others = known.open().saturating_sub(1);
                known.learned.failed(others);
                Blame::Them
            }),
            Heard::Chunks(how) => self.limiter.with(&self.party, |known, now_ms| {
                match how {
                    Chunks::Taken => known.chunking.taken(),
                    Chunks::Deferred => known.chunking.deferred(now_ms),
                    Chunks::Lost => known.chunking.lost(now_ms),
                    Chunks::Unknown(reply) => known.chunking.unknown(&reply.to_line(), now_ms),
                }
                Blame::Them
            }),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let is_ready = self.is_ready;
        self.limiter.with(&self.party, |known, _| {
            let count = if is_ready {
                &mut known.ready
            } else {
                &mut known.opening
            };
            *count = count.saturating_sub(1);
            Blame::Them
        });
        self.limiter.0.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
