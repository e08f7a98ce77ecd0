//! How much a user sends, and all users of a domain: what looks like a stolen
//! account is held.
//!
//! Messages, recipients and recipients elsewhere that the account has never
//! written to before are counted by the hour and by the day. Over a limit the
//! mail is taken and held: a user with a large round of invitations loses
//! nothing, a thief has sent little. The counts are in memory, so a restart
//! forgets them, and a thief gains one more hour's and day's worth by it, which he
//! cannot cause; writing them down would cost each message a record that is changed
//! by all of a domain's users, with a conflict for each two that send at once. Who
//! was written to is kept: that is what takes long to learn.
//!
//! | key | value |
//! |---|---|
//! | `S` `k` account, 8 bytes; a recipient's folded address, text | version byte 1 |
//!
//! What a user's scripts send on is counted as the user's; over a limit it is not sent, and the message stays where it is.
//!
//! Not counted: clients on this machine, listed networks, other servers.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use directory::Identity;
use engine::expire::{ExpireError, Range, expire};
use engine::{Batch, ReadError, SharedEngine, keys};
use envelope::{AccountId, Address, Recipient};
use lang::held;
use report_format::Excess;
use runtime::{Monotonic, Runtime};

use crate::limits::{COUNT_STEP, COUNTED_ACCOUNTS_MAX, DAY, HOUR};
use crate::{Decision, Policy, Role, Session};

const KNOWN: u8 = b'k';
const VERSION: u8 = 1;

/// How keys of known recipients begin, for whoever checks the system's space.
pub const KNOWN_PREFIX: [u8; 2] = [keys::Space::System as u8, KNOWN];

/// What is wrong with the record of a known recipient, if anything is.
#[must_use]
pub fn check_known(key: &[u8], value: &[u8]) -> Option<String> {
    let address = key.get(KNOWN_PREFIX.len() + 8..);
    if address.is_none_or(|text| text.is_empty() || core::str::from_utf8(text).is_err()) {
        return Some("its key names no recipient".into());
    }
    (value != [VERSION]).then(|| "its version is not known".into())
}

/// A limit by the hour and by the day; 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerTime {
    /// In an hour.
    pub hour: u64,
    /// In a day.
    pub day: u64,
}

/// What one user may send before its mail is held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SendingLimits {
    /// Messages.
    pub messages: PerTime,
    /// Recipients of all messages together.
    pub recipients: PerTime,
    /// Recipients elsewhere that were never written to before.
    pub new_recipients: PerTime,
}

/// A user has sent more than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overrun {
    /// Of what.
    pub excess: Excess,
    /// Nobody was told of this account within a day.
    pub tell: bool,
}

/// Messages, recipients, new recipients.
type Counts = [u64; 3];

#[derive(Debug, Default)]
struct Sender {
    /// By steps of time, oldest first.
    steps: VecDeque<(u64, Counts)>,
    told: Option<Monotonic>,
}

/// What was sent, by account or by domain.
#[derive(Debug)]
pub(crate) struct Sending<K> {
    limits: SendingLimits,
    senders: Mutex<HashMap<K, Sender>>,
}

impl<K> Default for Sending<K> {
    fn default() -> Self {
        Self {
            limits: SendingLimits::default(),
            senders: Mutex::default(),
        }
    }
}

impl<K: Eq + Hash> Sending<K> {
    pub(crate) fn new(limits: SendingLimits) -> Self {
        Self {
            limits,
            senders: Mutex::default(),
        }
    }

    fn is_off(&self) -> bool {
        self.limits == SendingLimits::default()
    }

    /// Counts a message; the first limit that it goes over.
    fn count(&self, sender: K, more: Counts, now: Monotonic) -> Option<Overrun> {
        self.with(sender, now, |known| {
            known.add(now, more);
            let excess = over(&self.limits, known.sums(now, HOUR), known.sums(now, DAY))?;
            let tell = known.told.is_none_or(|told| now.since(told) >= DAY);
            if tell {
                known.told = Some(now);
            }
            Some(Overrun { excess, tell })
        })
    }

    /// Counts a message if it goes over no limit; else says over which.
    fn take(&self, sender: K, more: Counts, now: Monotonic) -> Option<Excess> {
        self.with(sender, now, |known| {
            let would_be = |sums: Counts| core::array::from_fn(|at| sums[at] + more[at]);
            let (hour, day) = (known.sums(now, HOUR), known.sums(now, DAY));
            let excess = over(&self.limits, would_be(hour), would_be(day));
            if excess.is_none() {
                known.add(now, more);
            }
            excess
        })
    }

    /// What was taken at that moment is not sent after all.
    fn give_back(&self, sender: K, more: Counts, now: Monotonic) {
        self.with(sender, now, |known| known.remove(now, more));
    }

    fn with<T>(&self, sender: K, now: Monotonic, work: impl FnOnce(&mut Sender) -> T) -> T {
        let (hour, day) = (oldest(now, HOUR), oldest(now, DAY));
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        if senders.len() >= COUNTED_ACCOUNTS_MAX && !senders.contains_key(&sender) {
            let active = |known: &Sender| known.steps.back().is_some_and(|(at, _)| *at >= hour);
            senders.retain(|_, known| active(known));
        }
        let known = senders.entry(sender).or_default();
        while known.steps.front().is_some_and(|(at, _)| *at < day) {
            known.steps.pop_front();
        }
        work(known)
    }
}

fn step_of(now: Monotonic) -> u64 {
    now.0.as_secs() / COUNT_STEP.as_secs()
}

/// The first step of a span that ends now.
fn oldest(now: Monotonic, span: Duration) -> u64 {
    (step_of(now) + 1).saturating_sub(span.as_secs() / COUNT_STEP.as_secs())
}

impl Sender {
    fn add(&mut self, now: Monotonic, more: Counts) {
        let step = step_of(now);
        if self.steps.back().is_none_or(|(at, _)| *at != step) {
            self.steps.push_back((step, [0; 3]));
        }
        if let Some((_, counts)) = self.steps.back_mut() {
            for (count, more) in counts.iter_mut().zip(more) {
                *count += more;
            }
        }
    }

    fn remove(&mut self, now: Monotonic, less: Counts) {
        let mut of_step = self.steps.iter_mut().rev();
        if let Some((_, counts)) = of_step.find(|(at, _)| *at == step_of(now)) {
            for (count, less) in counts.iter_mut().zip(less) {
                *count = count.saturating_sub(less);
            }
        }
    }

    fn sums(&self, now: Monotonic, span: Duration) -> Counts {
        let mut sums = [0; 3];
        let first = oldest(now, span);
        for (_, counts) in self.steps.iter().filter(|(at, _)| *at >= first) {
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum += count;
            }
        }
        sums
    }
}

fn over(limits: &SendingLimits, hour: Counts, day: Counts) -> Option<Excess> {
    let kinds = [
        (held::MESSAGES, limits.messages),
        (held::RECIPIENTS, limits.recipients),
        (held::NEW_RECIPIENTS, limits.new_recipients),
    ];
    kinds
        .into_iter()
        .enumerate()
        .find_map(|(at, (what, limit))| {
            let spans = [
                (held::IN_AN_HOUR, hour[at], limit.hour),
                (held::IN_A_DAY, day[at], limit.day),
            ];
            spans.into_iter().find_map(|(span, count, limit)| {
                (limit > 0 && count > limit).then_some(Excess {
                    what,
                    span,
                    count,
                    limit,
                    by_domain: false,
                })
            })
        })
}

/// A redirect that was counted and is to be sent.
#[derive(Debug)]
#[must_use = "what is not sent counts for nothing"]
pub struct CountedRedirect {
    account: AccountId,
    domain: String,
    more: Counts,
    at: Monotonic,
    /// Keys of the recipients that are new.
    new: Vec<Vec<u8>>,
}

impl Policy {
    /// Counts a message of a user's, at the start of its data; with
    /// [`Overrun`] it is to be held.
    pub async fn count_sending(
        &self,
        session: &Session,
        recipients: &[Recipient],
        decisions: &[Decision],
    ) -> Option<Overrun> {
        let Some(Identity {
            account, address, ..
        }) = &session.identity
        else {
            return None;
        };
        if session.role != Role::Submission
            || session.client_ip.is_loopback()
            || (self.sending.is_off() && self.domain_sending.is_off())
        {
            return None;
        }
        let elsewhere = recipients.iter().zip(decisions);
        let elsewhere = elsewhere
            .filter(|(_, decision)| matches!(decision, Decision::Relay(_)))
            .map(|(recipient, _)| known_key(*account, &recipient.address.to_key()));
        let new = match self.note_recipients(elsewhere.collect()).await {
            Ok(new) => new,
            Err(error) => {
                // Then all are taken for known: the other counts still hold.
                tracing::error!(%error, "who was written to before could not be read");
                0
            }
        };
        let more = [1, recipients.len() as u64, new];
        let now = self.full_since.runtime().monotonic();
        let of_account = self.sending.count(*account, more, now);
        let domain = address.domain().to_ascii();
        let of_domain = self.domain_sending.count(domain, more, now);
        let of_domain = of_domain.map(|mut overrun| {
            overrun.excess.by_domain = true;
            overrun
        });
        let overrun = of_account.or(of_domain)?;
        tracing::warn!(account = %account, reason = %overrun.excess, "a user's mail is held: is the account stolen?");
        Some(overrun)
    }

    /// Counts a message that a script of a user's sends on, as one that the user sends. Over a limit it is refused, not
    /// held, and counts for nothing; what was sent up to there counts for what the user sends himself. Tell
    /// [`Policy::redirected`] what became of it.
    ///
    /// # Errors
    /// The limit that it would go over.
    pub async fn count_redirect(
        &self,
        account: AccountId,
        from: &Address,
        to: &Address,
    ) -> Result<CountedRedirect, Excess> {
        let now = self.full_since.runtime().monotonic();
        let mut counted = CountedRedirect {
            account,
            domain: from.domain().to_ascii(),
            more: [0; 3],
            at: now,
            new: Vec::new(),
        };
        if self.sending.is_off() && self.domain_sending.is_off() {
            return Ok(counted);
        }
        // What can't be known is elsewhere, and known there: the other counts still hold.
        let local = self.directory.is_local_domain(to.domain()).await;
        let new = match local.unwrap_or(false) {
            true => Vec::new(),
            false => {
                let keys = vec![known_key(account, &to.to_key())];
                self.unknown(keys).await.unwrap_or_else(|error| {
                    tracing::error!(%error, "who was written to before could not be read");
                    Vec::new()
                })
            }
        };
        let more = [1, 1, new.len() as u64];
        if let Some(excess) = self.sending.take(account, more, now) {
            return Err(excess);
        }
        let domain = counted.domain.clone();
        if let Some(mut excess) = self.domain_sending.take(domain, more, now) {
            self.sending.give_back(account, more, now);
            excess.by_domain = true;
            return Err(excess);
        }
        (counted.more, counted.new) = (more, new);
        Ok(counted)
    }

    /// What became of a redirect: one that was not sent after all counts for nothing, and its recipient is as new as
    /// before.
    pub fn redirected(&self, counted: CountedRedirect, sent: bool) {
        let CountedRedirect {
            account,
            domain,
            more,
            at,
            new,
        } = counted;
        if sent {
            return self.note(new);
        }
        if more != [0; 3] {
            self.sending.give_back(account, more, at);
            self.domain_sending.give_back(domain, more, at);
        }
    }

    /// How many of these are new; from now on they are known.
    async fn note_recipients(&self, keys: Vec<Vec<u8>>) -> Result<u64, ReadError> {
        let new = self.unknown(keys).await?;
        let count = new.len() as u64;
        self.note(new);
        Ok(count)
    }

    /// Those of these keys that are not there.
    async fn unknown(&self, mut keys: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, ReadError> {
        keys.sort_unstable();
        keys.dedup();
        let Some(first) = keys.first() else {
            return Ok(Vec::new());
        };
        let engine = Arc::clone(self.full_since.engine());
        let Some(shard) = keys::shard_of(first, engine.shards()) else {
            return Ok(Vec::new());
        };
        let read = move || {
            let found = engine.snapshot(shard).get_many(&keys)?;
            let new = keys
                .into_iter()
                .zip(found)
                .filter(|(_, found)| found.is_none());
            Ok::<_, ReadError>(new.map(|(key, _)| key).collect::<Vec<_>>())
        };
        self.full_since.runtime().blocking(read).await
    }

    fn note(&self, new: Vec<Vec<u8>>) {
        if new.is_empty() {
            return;
        }
        let mut batch = Batch::new();
        for key in new {
            batch.put(key, vec![VERSION]);
        }
        // One that is lost is new once more.
        if let Err(error) = self.full_since.engine().submit(batch) {
            tracing::warn!(%error, "who was written to is not noted");
        }
    }
}

/// Removes what is kept of an account that is gone: whom it wrote to, and since
/// when it was full; how many records that were.
///
/// # Errors
/// The store cannot be read or does not take it.
pub async fn forget_account(
    engine: SharedEngine,
    runtime: &Runtime,
    account: AccountId,
) -> Result<usize, ExpireError> {
    let work = move || {
        let ranges = [known_key(account, ""), crate::room::key(account)].map(|start| Range {
            end: keys::end_of(&start),
            old: keys::end_of(&start),
            start,
        });
        expire(&*engine, &ranges, usize::MAX)
    };
    runtime.blocking(work).await
}

/// The account that a key of this crate is about, if it is about one.
#[must_use]
pub fn account_of(key: &[u8]) -> Option<AccountId> {
    let ours = key.starts_with(&KNOWN_PREFIX) || key.starts_with(&crate::FULL_SINCE_PREFIX);
    let id = key
        .get(KNOWN_PREFIX.len()..)?
        .first_chunk()
        .filter(|_| ours)?;
    Some(AccountId(u64::from_be_bytes(*id)))
}

pub(crate) fn known_key(account: AccountId, address: &str) -> Vec<u8> {
    let mut key = keys::system();
    key.push(KNOWN);
    key.extend_from_slice(&account.0.to_be_bytes());
    key.extend_from_slice(address.as_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Monotonic {
        Monotonic(Duration::from_secs(minutes * 60))
    }

    #[test]
    fn hours_and_days_slide_and_one_is_told_once_a_day() {
        let per = |hour, day| PerTime { hour, day };
        let sending: Sending<AccountId> = Sending::new(SendingLimits {
            messages: per(3, 5),
            recipients: per(0, 0),
            new_recipients: per(10, 0),
        });
        let bob = AccountId(1);
        let send = |minute, new| sending.count(bob, [1, 100, new], at(minute));
        assert_eq!((send(0, 0), send(1, 10), send(2, 0)), (None, None, None));
        let overrun = send(3, 0).expect("the fourth in an hour");
        let words = |overrun: Overrun| overrun.excess.to_string();
        assert_eq!(words(overrun), "4 messages in an hour (limit 3)");
        assert!(overrun.tell && !send(4, 0).expect("over").tell);
        assert!(sending.count(AccountId(2), [1, 1, 0], at(4)).is_none());
        // An hour later it is the day's limit.
        let overrun = send(120, 0).expect("the sixth in a day");
        assert_eq!(words(overrun), "6 messages in a day (limit 5)");
        assert!(send(120 + 24 * 60, 0).is_none());
        let overrun = send(121 + 24 * 60, 11).expect("eleven strangers");
        assert!(words(overrun).starts_with("11 recipients never written to"));
        assert!(overrun.tell);
    }

    #[test]
    fn what_is_refused_counts_for_nothing() {
        let sending: Sending<AccountId> = Sending::new(SendingLimits {
            messages: PerTime { hour: 3, day: 0 },
            ..SendingLimits::default()
        });
        let bob = AccountId(1);
        let take = |minute| sending.take(bob, [1, 1, 1], at(minute));
        assert_eq!((take(0), take(1), take(2)), (None, None, None));
        for _ in 0..10 {
            assert!(take(3).is_some());
        }
        sending.give_back(bob, [1, 1, 1], at(2));
        // One more that is sent is the third, and the fourth is over it: who is told of that was told of nothing yet.
        assert!(sending.count(bob, [1, 1, 0], at(3)).is_none());
        let overrun = sending.count(bob, [1, 1, 0], at(4)).expect("over");
        assert!(overrun.tell);
        assert_eq!(
            overrun.excess.to_string(),
            "4 messages in an hour (limit 3)"
        );
        assert!(take(64).is_none());
    }

    #[test]
    fn golden_bytes() {
        let key = known_key(AccountId(5), "a@b.test");
        assert_eq!(key, b"Sk\0\0\0\0\0\0\0\x05a@b.test");
        assert_eq!(check_known(&key, &[VERSION]), None);
        assert!(check_known(&key, &[2]).is_some());
        assert!(check_known(&key[..10], &[VERSION]).is_some());
    }
}
