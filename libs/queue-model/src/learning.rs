//! How many connections another party takes from us, learned from how it answers.
//!
//! A *party* is whoever stands behind one set of servers, however many domains it has.
//! The allowed number grows by one for as many messages as there are connections (before
//! the first refusal: for each message) and never far above what was really open at once.
//! A refusal while others of ours are open says where the limit is: it is known to the
//! connection, since the caller counts. That level is remembered and tried again only
//! after a time that doubles, and after enough messages that refusals stay a few in a hundred.
//!
//! A failure while nothing of ours is open there says that the party is away; only those
//! of different *cohorts* count (attempts that began before the last failure was known
//! say nothing new), and a party that took something lately is believed to be there for
//! one cohort more.
//!
//! Pace is apart from that: who says "too fast" gets a rest and then half of what he got.
//!
//! No clock and no chance: times are milliseconds of whatever clock the caller has.

use std::collections::BTreeMap;

use crate::limits::{
    CONNECTIONS_START, LEVELS_MAX, PACE_CALM_MS, PACE_WINDOW_MS, PROBE_FIRST_MS, PROBE_MAX_MS,
    PROBE_TAKEN, REFUSED_FOR_MS, REST_FIRST_MS, REST_MAX_MS, UP_LATELY_MS,
};

/// What is known of one party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learned {
    allowed: u32,
    /// The most that were open at once since the last refusal below it.
    proven: u32,
    /// No refusal yet.
    is_new: bool,
    /// Messages taken since the last step up.
    grown: u32,
    /// Messages taken since the last refusal.
    taken: u32,
    /// Levels that were refused.
    refused: BTreeMap<u32, Refused>,
    pace: Pace,
    cohorts: Cohorts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refused {
    /// In a row.
    times: u32,
    last_ms: u64,
    /// Not tried again before.
    until_ms: u64,
}

/// What an operator allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Connections at once.
    pub connections: u32,
    /// Messages in a minute; any number where there is none.
    pub per_minute: Option<u32>,
    /// Which part of `per_minute` is ours, in thousandths; with 0 nothing begins.
    pub part: u32,
}

/// Whether a party is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// As far as is known.
    There,
    /// Nothing gets through: it is left alone for a while.
    Away,
}

impl Default for Learned {
    fn default() -> Self {
        Self {
            allowed: CONNECTIONS_START,
            proven: 0,
            is_new: true,
            grown: 0,
            taken: 0,
            refused: BTreeMap::new(),
            pace: Pace::default(),
            cohorts: Cohorts::default(),
        }
    }
}

impl Learned {
    /// Connections that may be open at once; at least one.
    #[must_use]
    pub fn allowed(&self, bounds: Bounds) -> u32 {
        self.allowed.min(bounds.connections).max(1)
    }

    /// The lowest level that is remembered as refused, and until when it is not tried again.
    #[must_use]
    pub fn refused_level(&self) -> Option<(u32, u64)> {
        let (level, refused) = self.refused.first_key_value()?;
        Some((*level, refused.until_ms))
    }

    /// Messages in a minute, where the party or the operator wants few.
    #[must_use]
    pub fn per_minute(&self, bounds: Bounds) -> Option<u32> {
        self.pace.per_minute(bounds)
    }

    /// From when on another message may begin; now, if that is not later.
    #[must_use]
    pub fn ready_at_ms(&self, bounds: Bounds) -> u64 {
        self.pace.ready_at_ms(bounds)
    }

    /// Until when the party is given a rest, if it is.
    #[must_use]
    pub fn rests_until_ms(&self, now_ms: u64) -> Option<u64> {
        (self.pace.rest_until_ms > now_ms).then_some(self.pace.rest_until_ms)
    }

    /// A message begins.
    pub fn begun(&mut self, now_ms: u64, bounds: Bounds) {
        self.pace.begun(now_ms, bounds);
    }

    /// A connection is ready for messages, and with it `open` of them are.
    pub fn opened(&mut self, open: u32) {
        self.proven = self.proven.max(open);
        // It was refused once; it is not any more.
        self.refused.retain(|level, _| *level > open);
    }

    /// A message was taken.
    pub fn taken(&mut self, now_ms: u64) {
        self.cohorts.succeeded(now_ms);
        self.taken = self.taken.saturating_add(1);
        self.grown = self.grown.saturating_add(1);
        self.pace.taken(now_ms);
        let enough = if self.is_new { 1 } else { self.allowed };
        if self.grown >= enough {
            self.grown = 0;
            self.grow(now_ms);
        }
    }

    fn grow(&mut self, now_ms: u64) {
        self.refused
            .retain(|_, refused| now_ms.saturating_sub(refused.last_ms) < REFUSED_FOR_MS);
        let next = self.allowed.saturating_add(1);
        // What was never open proves nothing.
        if next > self.proven + 1 + self.proven / 8 {
            return;
        }
        if let Some(refused) = self.refused.get(&next)
            && (now_ms < refused.until_ms || self.taken < PROBE_TAKEN)
        {
            return;
        }
        self.allowed = next;
    }

    /// One was refused while `others` of ours were open, or about to be: that is its limit.
    pub fn refused(&mut self, others: u32, now_ms: u64) {
        let level = others.saturating_add(1);
        let before = self.refused.get(&level).map_or(0, |refused| refused.times);
        let doublings = before.min(20);
        let distance_ms = PROBE_FIRST_MS
            .saturating_mul(1 << doublings)
            .min(PROBE_MAX_MS);
        let refused = Refused {
            times: before.saturating_add(1),
            last_ms: now_ms,
            until_ms: now_ms.saturating_add(distance_ms),
        };
        self.refused.insert(level, refused);
        while self.refused.len() > LEVELS_MAX {
            self.refused.pop_last();
        }
        self.stay_at(others);
        self.taken = 0;
    }

    /// One did not come about while `others` were open: the network, or a silent limit.
    /// What is not said is not remembered.
    pub fn failed(&mut self, others: u32) {
        self.stay_at(others);
    }

    fn stay_at(&mut self, others: u32) {
        self.is_new = false;
        self.grown = 0;
        self.allowed = self.allowed.min(others).max(1);
        self.proven = self.proven.min(self.allowed);
    }

    /// It wants fewer messages in a time.
    pub fn too_fast(&mut self, now_ms: u64) {
        self.pace.too_fast(now_ms);
    }

    /// Another of ours was told that it was too fast: the rest is for all of us, and whoever
    /// sent something lately has his part in it.
    pub fn rest_until(&mut self, until_ms: u64, now_ms: u64) {
        self.pace.roll(now_ms);
        let (this, before, _) = self.pace.window;
        if this.max(before) > 0 {
            self.pace.too_fast(now_ms);
        }
        self.pace.rest_until_ms = self.pace.rest_until_ms.max(until_ms);
    }

    /// An attempt that began at `begun_ms` got nothing through, and nothing of ours was open there.
    pub fn nothing_through(&mut self, begun_ms: u64, now_ms: u64) -> Presence {
        self.cohorts.failed(begun_ms, now_ms)
    }

    /// A person wants everything tried now.
    pub fn forgive(&mut self) {
        self.cohorts.in_a_row = 0;
        self.pace.rest_until_ms = 0;
    }
}

/// Failures in a row, by attempts that began at about the same time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Cohorts {
    /// The last success.
    up_ms: Option<u64>,
    in_a_row: u32,
    /// When the last failure that counted was known.
    failed_ms: Option<u64>,
}

impl Cohorts {
    fn succeeded(&mut self, now_ms: u64) {
        self.up_ms = Some(now_ms);
        self.in_a_row = 0;
    }

    fn failed(&mut self, begun_ms: u64, now_ms: u64) -> Presence {
        let same = self.in_a_row > 0 && self.failed_ms.is_some_and(|last| begun_ms < last);
        if !same {
            self.in_a_row = self.in_a_row.saturating_add(1);
            self.failed_ms = Some(now_ms);
        }
        let up_lately = self
            .up_ms
            .is_some_and(|up| now_ms.saturating_sub(up) < UP_LATELY_MS);
        let enough = if up_lately { 2 } else { 1 };
        if self.in_a_row >= enough {
            Presence::Away
        } else {
            Presence::There
        }
    }
}

/// Messages in a time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Pace {
    /// What the party seems to want; any number where it has said nothing.
    per_minute: Option<u32>,
    /// When it was said last that it was too fast, or that pace was raised.
    changed_ms: u64,
    rest_until_ms: u64,
    /// Rests in a row.
    rests: u32,
    /// When the last began, in thousandths of a millisecond: a minute has many messages.
    last_us: Option<u64>,
    /// Messages in this window and the one before, and when this one began.
    window: (u32, u32, u64),
}

impl Pace {
    fn per_minute(&self, bounds: Bounds) -> Option<u32> {
        match (self.per_minute, bounds.per_minute) {
            (Some(learned), Some(most)) => Some(learned.min(most)),
            (learned, most) => learned.or(most),
        }
    }

    /// From one message to the next; for ever where no part of the operator's limit is ours.
    fn apart_us(&self, bounds: Bounds) -> Option<u64> {
        let learned = self.per_minute.map(|n| 60_000_000 / u64::from(n.max(1)));
        let most = bounds.per_minute.map(|n| {
            let ours = u64::from(n.max(1)) * u64::from(bounds.part);
            60_000_000_000u64.checked_div(ours).unwrap_or(u64::MAX)
        });
        learned.max(most)
    }

    fn ready_at_ms(&self, bounds: Bounds) -> u64 {
        let next_us = match (self.apart_us(bounds), self.last_us) {
            (Some(u64::MAX), _) => return u64::MAX,
            // By what is allowed now, not by what was when the last began.
            (Some(apart_us), Some(last_us)) => last_us.saturating_add(apart_us),
            _ => 0,
        };
        next_us.div_ceil(1000).max(self.rest_until_ms)
    }

    fn begun(&mut self, now_ms: u64, bounds: Bounds) {
        self.roll(now_ms);
        self.window.0 = self.window.0.saturating_add(1);
        let now_us = now_ms.saturating_mul(1000);
        let due_us = match (self.apart_us(bounds), self.last_us) {
            (Some(apart_us), Some(last_us)) if apart_us < u64::MAX => {
                last_us.saturating_add(apart_us)
            }
            _ => 0,
        };
        // Not a moment later than it was due: parts of milliseconds do not add up.
        let on_time = now_us.saturating_sub(due_us) < 1000;
        self.last_us = Some(if on_time { due_us } else { now_us.max(due_us) });
    }

    fn roll(&mut self, now_ms: u64) {
        let (this, _, since) = self.window;
        match now_ms.saturating_sub(since) {
            fresh if fresh < PACE_WINDOW_MS => {}
            old if old < 2 * PACE_WINDOW_MS => self.window = (0, this, since + PACE_WINDOW_MS),
            _ => self.window = (0, 0, now_ms),
        }
    }

    fn too_fast(&mut self, now_ms: u64) {
        // What was on its way when it was said says nothing new.
        if now_ms < self.rest_until_ms {
            return;
        }
        self.roll(now_ms);
        let (this, before, _) = self.window;
        let seen = this.max(before).max(1);
        let now = self
            .per_minute
            .map_or(seen, |per_minute| per_minute.min(seen));
        self.per_minute = Some((now / 2).max(1));
        self.changed_ms = now_ms;
        let doublings = self.rests.min(20);
        self.rests = self.rests.saturating_add(1);
        let rest_ms = REST_FIRST_MS
            .saturating_mul(1 << doublings)
            .min(REST_MAX_MS);
        self.rest_until_ms = now_ms.saturating_add(rest_ms);
    }

    /// A tenth more, and at least one, for each while without a complaint; then no bound.
    fn taken(&mut self, now_ms: u64) {
        let Some(per_minute) = self.per_minute else {
            return;
        };
        if now_ms.saturating_sub(self.changed_ms.max(self.rest_until_ms)) < PACE_CALM_MS {
            return;
        }
        self.changed_ms = now_ms;
        self.rests = self.rests.saturating_sub(1);
        self.roll(now_ms);
        let (this, before, _) = self.window;
        // It is not what holds us up.
        let is_free = self.rests == 0 && this.max(before) < per_minute / 4;
        self.per_minute = (!is_free).then(|| per_minute + (per_minute / 10).max(1));
    }
}

#[cfg(test)]
mod tests;
