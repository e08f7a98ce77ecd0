//! What wrong passwords lead to: delay, slowing down, a ban.
//!
//! - Different wrong passwords are counted per address (IPv6: per /64) and per
//!   account; the same one again counts once: that is a forgotten phone.
//! - An address that logged in well is known for a month and never banned.
//! - An account is held off only for addresses that never logged in to it.
//! - Logins that do not exist are counted as if they did.
//! - A password that was right until it was changed counts for nothing for a day:
//!   somebody's other devices do not know of it yet.
//!
//! Everything is in memory and bounded: under a flood of addresses the least
//! used entries go first, and a restart forgets.

use crate::limits::{
    FORMER_PASSWORD_TIME, KNOWN_ENTRIES, RIGHT_PASSWORDS_MAX, THROTTLE_ENTRIES, THROTTLE_SEEN_MAX,
};
use crate::options::LoginOptions;
use envelope::AccountId;
use parking_lot::Mutex;
use quick_cache::unsync::Cache;
use runtime::{Monotonic, Runtime};
use sasl::Secret;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// The delay grows to this many times the first one, as a power of two.
const DELAY_DOUBLINGS_MAX: u32 = 3;

pub(crate) struct Throttle {
    runtime: Runtime,
    options: LoginOptions,
    key: [u8; 32],
    state: Mutex<State>,
}

struct State {
    addresses: Cache<IpAddr, Count>,
    claims: Cache<[u8; 32], Count>,
    /// (address, account claimed) and (address, zeros): until when known.
    known: Cache<(IpAddr, [u8; 32]), Monotonic>,
    /// Passwords that an account logged in with, the latest last.
    right: Cache<[u8; 32], Vec<Right>>,
}

/// A password that was right.
#[derive(Clone, Copy)]
struct Right {
    print: u64,
    /// Since when it is wrong.
    wrong_since: Option<Monotonic>,
}

/// Wrong passwords within one window.
#[derive(Default, Clone)]
struct Count {
    until: Monotonic,
    distinct: u32,
    seen: Vec<u64>,
}

/// Which account a login means, or which one it would if it existed.
pub(crate) struct Claim(Vec<u8>);

impl Claim {
    pub(crate) fn new(account: Option<AccountId>, login: &str) -> Self {
        match account {
            Some(id) => Self([&b"a"[..], &id.0.to_be_bytes()].concat()),
            None => Self([&b"n"[..], login.to_lowercase().as_bytes()].concat()),
        }
    }
}

impl Throttle {
    pub(crate) fn new(runtime: &Runtime, options: LoginOptions) -> Self {
        let mut key = [0; 32];
        runtime.fill_random(&mut key);
        Self {
            runtime: runtime.clone(),
            options,
            key,
            state: Mutex::new(State {
                addresses: Cache::new(THROTTLE_ENTRIES),
                claims: Cache::new(THROTTLE_ENTRIES),
                known: Cache::new(KNOWN_ENTRIES),
                right: Cache::new(KNOWN_ENTRIES),
            }),
        }
    }

    /// May this address try this login now? The error is the text for the client.
    pub(crate) fn check(&self, peer: IpAddr, claim: &Claim) -> Result<(), String> {
        if self.is_exempt(peer) {
            return Ok(());
        }
        let (network, name) = (network(peer), self.name(&claim.0));
        let now = self.runtime.monotonic();
        let state = self.state.lock();
        if !state.is_known(network, [0; 32], now)
            && let Some(left) = state
                .addresses
                .peek(&network)
                .and_then(|count| count.left(now, self.options.per_address_max))
        {
            return Err(format!(
                "too many wrong passwords from {peer}; this ends by itself in {}, \
                 or when an administrator lifts it",
                minutes(left)
            ));
        }
        if !state.is_known(network, name, now)
            && let Some(left) = state
                .claims
                .peek(&name)
                .and_then(|count| count.left(now, self.options.per_account_max))
        {
            return Err(format!(
                "too many wrong passwords for this login; new addresses may try again in {}, \
                 addresses that logged in before still can",
                minutes(left)
            ));
        }
        Ok(())
    }

    /// Counts a wrong password; returns how long its answer has to wait.
    pub(crate) fn failed(&self, peer: IpAddr, claim: &Claim, password: &Secret) -> Duration {
        let (network, name) = (network(peer), self.name(&claim.0));
        let print = self.fingerprint(claim, password);
        let now = self.runtime.monotonic();
        let until = now.after(self.options.window);
        let mut state = self.state.lock();
        if state.was_right(name, print, now) {
            return self.options.delay;
        }
        let by_claim = count(&mut state.claims, name, now, until, print);
        let by_address = if self.is_exempt(peer) {
            0
        } else {
            count(&mut state.addresses, network, now, until, print)
        };
        let doublings = by_claim.max(by_address).saturating_sub(1);
        self.options.delay * (1 << doublings.min(DELAY_DOUBLINGS_MAX))
    }

    /// Remembers that this address logged in well, and with what.
    pub(crate) fn succeeded(&self, peer: IpAddr, claim: &Claim, password: &Secret) {
        let (network, name) = (network(peer), self.name(&claim.0));
        let print = self.fingerprint(claim, password);
        let until = self.runtime.monotonic().after(self.options.known_for);
        let mut state = self.state.lock();
        state.known.insert((network, name), until);
        state.known.insert((network, [0; 32]), until);
        state.note_right(name, print);
    }

    /// Forgets what was counted against an address.
    pub(crate) fn lift(&self, peer: IpAddr) {
        self.state.lock().addresses.remove(&network(peer));
    }

    /// Did somebody log in well from there lately?
    pub(crate) fn is_known_address(&self, peer: IpAddr) -> bool {
        let now = self.runtime.monotonic();
        self.state.lock().is_known(network(peer), [0; 32], now)
    }

    /// The addresses that may not try a login now, and for how long.
    pub(crate) fn banned(&self) -> Vec<(IpAddr, Duration)> {
        let now = self.runtime.monotonic();
        let state = self.state.lock();
        let counted = state.addresses.iter();
        let banned = counted.filter_map(|(&peer, count)| {
            let left = count.left(now, self.options.per_address_max)?;
            (!state.is_known(peer, [0; 32], now)).then_some((peer, left))
        });
        banned.collect()
    }

    fn is_exempt(&self, peer: IpAddr) -> bool {
        self.options.loopback_exempt && peer.to_canonical().is_loopback()
    }

    /// Tells wrong passwords of one claim apart without keeping them.
    fn fingerprint(&self, claim: &Claim, password: &Secret) -> u64 {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&(claim.0.len() as u64).to_be_bytes());
        hasher.update(&claim.0);
        hasher.update(password.expose().as_bytes());
        let mut print = [0; 8];
        hasher.finalize_xof().fill(&mut print);
        u64::from_le_bytes(print)
    }

    fn name(&self, bytes: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.key, bytes).as_bytes()
    }
}

impl State {
    fn is_known(&self, network: IpAddr, name: [u8; 32], now: Monotonic) -> bool {
        self.known
            .peek(&(network, name))
            .is_some_and(|&until| now < until)
    }

    fn note_right(&mut self, name: [u8; 32], print: u64) {
        let mut right = self.right.peek(&name).cloned().unwrap_or_default();
        right.retain(|one| one.print != print);
        if right.len() >= RIGHT_PASSWORDS_MAX {
            right.remove(0);
        }
        right.push(Right {
            print,
            wrong_since: None,
        });
        self.right.insert(name, right);
    }

    /// Is it a password that was right, and is wrong for less than a day?
    fn was_right(&mut self, name: [u8; 32], print: u64, now: Monotonic) -> bool {
        let Some(mut right) = self.right.peek(&name).cloned() else {
            return false;
        };
        let Some(one) = right.iter_mut().find(|one| one.print == print) else {
            return false;
        };
        if let Some(since) = one.wrong_since {
            return now.since(since) < FORMER_PASSWORD_TIME;
        }
        one.wrong_since = Some(now);
        self.right.insert(name, right);
        true
    }
}

impl Count {
    /// How long the limit still holds, if it is reached.
    fn left(&self, now: Monotonic, max: u32) -> Option<Duration> {
        (self.distinct >= max && now < self.until).then(|| self.until.since(now))
    }
}

/// Counts and returns the number of different ones within the window.
fn count<K: std::hash::Hash + Eq + Clone>(
    counts: &mut Cache<K, Count>,
    key: K,
    now: Monotonic,
    until: Monotonic,
    print: u64,
) -> u32 {
    let mut counted = counts.peek(&key).cloned().unwrap_or_default();
    if counted.until <= now {
        counted = Count {
            until,
            ..Count::default()
        };
    }
    if !counted.seen.contains(&print) {
        counted.distinct = counted.distinct.saturating_add(1);
        counted.until = until;
        if counted.seen.len() < THROTTLE_SEEN_MAX {
            counted.seen.push(print);
        }
    }
    let distinct = counted.distinct;
    counts.insert(key, counted);
    distinct
}

/// One customer's network: an IPv4 address, an IPv6 /64.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => {
            let high = u128::from(v6) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(high))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn minutes(left: Duration) -> String {
    match left.as_secs().div_ceil(60) {
        1 => "a minute".to_owned(),
        minutes => format!("{minutes} minutes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn throttle(runtime: &Runtime) -> Throttle {
        let options = LoginOptions {
            per_address_max: 3,
            per_account_max: 5,
            ..LoginOptions::default()
        };
        Throttle::new(runtime, options)
    }

    fn bob() -> Claim {
        Claim::new(Some(AccountId(1)), "bob")
    }

    fn fail(throttle: &Throttle, peer: &str, claim: &Claim, passwords: std::ops::Range<u32>) {
        for n in passwords {
            let _ = throttle.failed(ip(peer), claim, &Secret::new(format!("wrong{n}")));
        }
    }

    #[test]
    fn different_wrong_passwords_ban_an_address_for_a_while() {
        let runtime = Runtime::for_tests();
        let throttle = throttle(&runtime);
        fail(&throttle, "192.0.2.1", &bob(), 0..2);
        assert_eq!(throttle.check(ip("192.0.2.1"), &bob()), Ok(()));
        fail(&throttle, "192.0.2.1", &bob(), 2..3);
        let reason = throttle.check(ip("192.0.2.1"), &bob()).expect_err("banned");
        assert!(
            reason.contains("192.0.2.1") && reason.contains("15 minutes"),
            "{reason}"
        );
        assert_eq!(throttle.check(ip("192.0.2.2"), &bob()), Ok(()));
        runtime.advance(Duration::from_secs(900));
        assert_eq!(throttle.check(ip("192.0.2.1"), &bob()), Ok(()));
        fail(&throttle, "192.0.2.1", &bob(), 0..3);
        let banned: Vec<_> = throttle.banned().iter().map(|(peer, _)| *peer).collect();
        assert_eq!(banned, [ip("192.0.2.1")]);
        throttle.lift(ip("192.0.2.1"));
        assert_eq!(throttle.banned(), []);
        assert_eq!(throttle.check(ip("192.0.2.1"), &bob()), Ok(()));
    }

    #[test]
    fn the_same_wrong_password_counts_once() {
        let runtime = Runtime::for_tests();
        let throttle = throttle(&runtime);
        for _ in 0..100 {
            fail(&throttle, "192.0.2.1", &bob(), 0..1);
        }
        assert_eq!(throttle.check(ip("192.0.2.1"), &bob()), Ok(()));
    }

    #[test]
    fn a_known_address_is_never_banned_and_an_account_stays_open_for_it() {
        let runtime = Runtime::for_tests();
        let throttle = throttle(&runtime);
        assert!(!throttle.is_known_address(ip("192.0.2.1")));
        throttle.succeeded(ip("192.0.2.1"), &bob(), &Secret::from("right"));
        assert!(throttle.is_known_address(ip("192.0.2.1")));
        fail(&throttle, "192.0.2.1", &bob(), 0..50);
        assert_eq!(throttle.check(ip("192.0.2.1"), &bob()), Ok(()));
        // For others the account is held off now, whoever they are.
        let reason = throttle
            .check(ip("192.0.2.9"), &bob())
            .expect_err("held off");
        assert!(reason.contains("this login"), "{reason}");
    }

    #[test]
    fn practice_1_after_a_change_the_old_password_counts_for_nothing_for_a_day() {
        let runtime = Runtime::for_tests();
        let throttle = throttle(&runtime);
        let old = Secret::from("old");
        let right = |password| throttle.succeeded(ip("192.0.2.1"), &bob(), password);
        right(&old);
        right(&Secret::from("new"));
        // Phones on the move try it from everywhere, beside one's own mistakes.
        for n in 0..4 {
            fail(&throttle, "198.51.100.7", &bob(), n..n + 1);
            for last in 1..50 {
                let from = ip(&format!("198.51.100.{last}"));
                assert_eq!(throttle.failed(from, &bob(), &old), throttle.options.delay);
            }
        }
        assert_eq!(throttle.check(ip("198.51.100.9"), &bob()), Ok(()));
        // It is nothing to anybody else's account.
        let carol = Claim::new(Some(AccountId(2)), "carol");
        for password in ["old", "a", "b"] {
            let _ = throttle.failed(ip("198.51.100.9"), &carol, &Secret::from(password));
        }
        assert!(throttle.check(ip("198.51.100.9"), &carol).is_err());
        // A day later it is a wrong one like others.
        runtime.advance(FORMER_PASSWORD_TIME);
        fail(&throttle, "198.51.100.7", &bob(), 0..4);
        assert_eq!(throttle.check(ip("198.51.100.20"), &bob()), Ok(()));
        let _ = throttle.failed(ip("198.51.100.8"), &bob(), &old);
        assert!(throttle.check(ip("198.51.100.20"), &bob()).is_err());
    }

    #[test]
    fn loopback_is_delayed_but_not_banned() {
        let runtime = Runtime::for_tests();
        let throttle = throttle(&runtime);
        fail(&throttle, "127.0.0.1", &bob(), 0..50);
        assert_eq!(throttle.check(ip("127.0.0.1"), &bob()), Ok(()));
        assert_eq!(throttle.check(ip("::ffff:127.0.0.1"), &bob()), Ok(()));
        let wait = throttle.failed(ip("127.0.0.1"), &bob(), &Secret::from("x"));
        assert_eq!(wait, Duration::from_secs(8));
    }

    #[test]
    fn delays_grow_and_unknown_logins_count_alike() {
        let runtime = Runtime::for_tests();
        let throttle = throttle(&runtime);
        let nobody = Claim::new(None, "Nobody@demo.test");
        let waits: Vec<u64> = (0..6)
            .map(|n| throttle.failed(ip("192.0.2.1"), &nobody, &Secret::new(format!("{n}"))))
            .map(|wait| wait.as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 8, 8]);
        let same = Claim::new(None, "nobody@DEMO.test");
        assert!(throttle.check(ip("198.51.100.1"), &same).is_err());
    }

    #[test]
    fn ipv6_is_counted_per_network() {
        let runtime = Runtime::for_tests();
        let throttle = throttle(&runtime);
        for (n, peer) in ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:3"]
            .iter()
            .enumerate()
        {
            let claim = Claim::new(None, &format!("user{n}"));
            let _ = throttle.failed(ip(peer), &claim, &Secret::from("x"));
        }
        assert!(throttle.check(ip("2001:db8::4"), &bob()).is_err());
        assert_eq!(throttle.check(ip("2001:db8:0:1::4"), &bob()), Ok(()));
    }
}
