//! What strangers did here lately: good mail, and what honest servers don't do.
//!
//! - *Good* is an address from which some messages were accepted over more than a
//!   day, more than were refused. It keeps its place in a crowd, is not delayed
//!   and not banned by the door.
//! - *Offences* are recipients that don't exist, tries to relay, talking before
//!   the greeting, another protocol, errors without end. Enough of them within an
//!   hour, and the door bans the address (IPv6: its /64) for a while. Until then
//!   each is answered later than the one before: the tarpit.
//!
//! The tarpit costs a timer of a session that is there anyway, and only so many
//! sessions at once wait in it; one more is answered at once.
//!
//! All in memory and bounded: a restart forgets, the bans themselves are kept.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use quick_cache::unsync::Cache;
use runtime::{Monotonic, Runtime};

use super::rates::prefix;
use crate::limits::{
    CONDUCT_ENTRIES, DAY, GOOD_FOR, GOOD_MESSAGES_MIN, HOUR, TARPIT_DOUBLINGS_MAX, TARPIT_FIRST,
    TARPIT_GRACE, TARPITTED_MAX,
};

/// Something that honest servers don't do, at least not often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offence {
    /// A recipient that does not exist.
    UnknownRecipient,
    /// A recipient of a domain that is not ours.
    Relaying,
    /// It talked before it was greeted.
    EarlyTalk,
    /// It spoke another protocol.
    OtherProtocol,
    /// It made errors without end.
    Errors,
}

impl Offence {
    /// For people, in the plural.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownRecipient => "recipients that do not exist",
            Self::Relaying => "tries to relay",
            Self::EarlyTalk => "talking before the greeting",
            Self::OtherProtocol => "another protocol",
            Self::Errors => "errors without end",
        }
    }

    /// How much it counts: an old address book has unknown recipients.
    fn weight(self) -> u32 {
        match self {
            Self::UnknownRecipient => 1,
            Self::Relaying => 2,
            Self::EarlyTalk | Self::OtherProtocol | Self::Errors => 5,
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Record {
    /// The first message that was accepted, and the last.
    accepted_from: Monotonic,
    accepted_at: Monotonic,
    accepted: u32,
    /// Offences, by weight, until when they count, and their number.
    weight: u32,
    weight_until: Monotonic,
    offences: u32,
}

/// How strangers behave.
pub struct Conduct {
    runtime: Runtime,
    records: Mutex<Cache<IpAddr, Record>>,
    waiting: Arc<AtomicUsize>,
}

impl std::fmt::Debug for Conduct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conduct").finish_non_exhaustive()
    }
}

impl Conduct {
    /// Nobody is known.
    #[must_use]
    pub fn new(runtime: &Runtime) -> Self {
        Self {
            runtime: runtime.clone(),
            records: Mutex::new(Cache::new(CONDUCT_ENTRIES)),
            waiting: Arc::default(),
        }
    }

    /// A message of this client's was accepted.
    pub fn accepted(&self, client: IpAddr) {
        let now = self.runtime.monotonic();
        self.change(client, |record| {
            if record.accepted == 0 || now.since(record.accepted_at) > GOOD_FOR {
                record.accepted = 0;
                record.accepted_from = now;
            }
            record.accepted = record.accepted.saturating_add(1);
            record.accepted_at = now;
        });
    }

    /// It did this; its weight in the last hour.
    pub fn offended(&self, client: IpAddr, offence: Offence) -> u32 {
        let now = self.runtime.monotonic();
        self.change(client, |record| {
            if record.weight_until <= now {
                record.weight = 0;
            }
            record.weight = record.weight.saturating_add(offence.weight());
            record.weight_until = now.after(HOUR);
            record.offences = record.offences.saturating_add(1);
            record.weight
        })
    }

    /// What it did within the last hour, by weight.
    #[must_use]
    pub fn weight(&self, client: IpAddr) -> u32 {
        let now = self.runtime.monotonic();
        let records = self.records.lock();
        let record = records.peek(&customer(client));
        record.map_or(0, |record| match record.weight_until > now {
            true => record.weight,
            false => 0,
        })
    }

    /// Is it known for good mail?
    #[must_use]
    pub fn is_good(&self, client: IpAddr) -> bool {
        let now = self.runtime.monotonic();
        let records = self.records.lock();
        records.peek(&customer(client)).is_some_and(|record| {
            record.accepted >= GOOD_MESSAGES_MIN
                && record.accepted > record.offences
                && record.accepted_at.since(record.accepted_from) >= DAY
                && now.since(record.accepted_at) <= GOOD_FOR
        })
    }

    /// It begins anew: its ban was lifted.
    pub fn forgive(&self, client: IpAddr) {
        self.change(client, |record| {
            record.weight = 0;
            record.offences = 0;
        });
    }

    /// A place in the tarpit, and how long to wait there; none for who did
    /// little yet, is good, or finds no place.
    #[must_use]
    pub fn tarpit(&self, client: IpAddr, longest: Duration) -> Option<(Stuck, Duration)> {
        let weight = self.weight(client);
        if weight <= TARPIT_GRACE || longest.is_zero() || self.is_good(client) {
            return None;
        }
        let doublings = (weight - TARPIT_GRACE - 1).min(TARPIT_DOUBLINGS_MAX);
        let wait = (TARPIT_FIRST * (1 << doublings)).min(longest);
        let stuck = Stuck(Arc::clone(&self.waiting));
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        (before < TARPITTED_MAX).then_some((stuck, wait))
    }

    fn change<T>(&self, client: IpAddr, change: impl FnOnce(&mut Record) -> T) -> T {
        let of = customer(client);
        let mut records = self.records.lock();
        let mut record = records.peek(&of).copied().unwrap_or_default();
        let result = change(&mut record);
        records.insert(of, record);
        result
    }

    /// Makes somebody good, as two days of mail would.
    #[cfg(test)]
    pub(crate) fn make_good(&self, client: IpAddr, runtime: &Runtime) {
        self.accepted(client);
        runtime.advance(DAY);
        for _ in 1..GOOD_MESSAGES_MIN {
            self.accepted(client);
        }
    }
}

/// A session in the tarpit; dropped, it is out.
#[derive(Debug)]
pub struct Stuck(Arc<AtomicUsize>);

impl Drop for Stuck {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn customer(client: IpAddr) -> IpAddr {
    prefix(client, 32, 64)
}

#[cfg(test)]
mod tests {
    use super::super::testing::ip;
    use super::*;

    const CLIENT: &str = "203.0.113.9";

    #[test]
    fn good_is_who_brings_mail_for_more_than_a_day() {
        let runtime = Runtime::for_tests();
        let conduct = Conduct::new(&runtime);
        for _ in 0..100 {
            conduct.accepted(ip(CLIENT));
        }
        assert!(!conduct.is_good(ip(CLIENT)), "a burst makes nobody good");
        runtime.advance(DAY);
        conduct.accepted(ip(CLIENT));
        assert!(conduct.is_good(ip(CLIENT)) && !conduct.is_good(ip("203.0.113.8")));
        for _ in 0..101 {
            conduct.offended(ip(CLIENT), Offence::UnknownRecipient);
        }
        assert!(!conduct.is_good(ip(CLIENT)), "more was wrong than right");
        conduct.forgive(ip(CLIENT));
        assert!(conduct.is_good(ip(CLIENT)));
        runtime.advance(GOOD_FOR + HOUR);
        assert!(!conduct.is_good(ip(CLIENT)), "that was long ago");
    }

    #[test]
    fn offences_add_up_for_an_hour() {
        let runtime = Runtime::for_tests();
        let conduct = Conduct::new(&runtime);
        let offend = |offence| conduct.offended(ip(CLIENT), offence);
        assert_eq!(offend(Offence::UnknownRecipient), 1);
        assert_eq!(offend(Offence::Relaying), 3);
        assert_eq!(offend(Offence::EarlyTalk), 8);
        runtime.advance(HOUR);
        assert_eq!(conduct.weight(ip(CLIENT)), 0);
        assert_eq!(offend(Offence::UnknownRecipient), 1);
    }

    #[test]
    fn the_tarpit_is_deeper_each_time_and_has_so_many_places() {
        let runtime = Runtime::for_tests();
        let conduct = Conduct::new(&runtime);
        let longest = Duration::from_secs(10);
        let wait = || conduct.tarpit(ip(CLIENT), longest).map(|(_, wait)| wait);
        assert_eq!(wait(), None, "it did nothing");
        let waits: Vec<_> = (0..9)
            .map(|_| {
                conduct.offended(ip(CLIENT), Offence::UnknownRecipient);
                wait().map_or(0, |wait| wait.as_secs())
            })
            .collect();
        assert_eq!(waits, [0, 0, 0, 1, 2, 4, 8, 10, 10]);
        let stuck: Vec<_> = (0..TARPITTED_MAX)
            .map_while(|_| conduct.tarpit(ip(CLIENT), longest))
            .collect();
        assert_eq!(stuck.len(), TARPITTED_MAX);
        assert_eq!(wait(), None, "no place");
        drop(stuck);
        assert!(wait().is_some());
        assert_eq!(conduct.tarpit(ip(CLIENT), Duration::ZERO).map(|_| ()), None);
    }
}
