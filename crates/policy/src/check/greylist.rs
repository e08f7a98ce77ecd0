//! Greylisting: a stranger's first try is put off; who comes again in time is
//! learned, and so is its whole network (RFC 6647).
//!
//! | key | value |
//! |---|---|
//! | `S` `g` `w` hash of network, sender and recipient, 16 bytes | version byte 1; when it came first, Unix milliseconds, 8 bytes |
//! | `S` `g` `l` network as IPv6, 16 bytes | version byte 1; when it last passed, 8 bytes |
//!
//! All numbers are high byte first. Never one address: large senders try again
//! from another one (PRACTICE §1). The domain that SPF proves is the better key and
//! comes with SPF.
//!
//! Put off is not who is known for good mail here or by a list, and not a sender
//! to whom the recipient has written.
//!
//! What can't be read or written is not put off: mail goes on.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use directory::{Directory, Resolution, Target};
use engine::{Batch, Order, ReadError, SharedEngine, keys};
use envelope::{AccountId, Address, ForwardPath, Reply, ReversePath};
use quick_cache::sync::Cache;
use runtime::{Runtime, Timestamp};

use super::conduct::Conduct;
use super::rates::prefix;
use super::{Action, Asked, BoxFuture, Check, Finding, Manner, Phase, Verdict, time};
use crate::limits::{
    GREYLIST_LEARNED_ENTRIES, GREYLIST_LEARNED_FOR, GREYLIST_PAGE, GREYLIST_PATIENCE,
    GREYLIST_RECORDS_MAX, GREYLIST_REFRESH, GREYLIST_WINDOW,
};
use crate::records::{self, moment, record};
use crate::sending::known_key;

const GREYLIST: u8 = b'g';
const WAITS: u8 = b'w';
const LEARNED: u8 = b'l';

/// How keys of greylisting begin, for whoever checks the system's space.
pub const GREYLIST_PREFIX: [u8; 2] = [keys::Space::System as u8, GREYLIST];

/// The check. It is there only where it is wished for.
pub struct Greylist {
    engine: SharedEngine,
    runtime: Runtime,
    directory: Directory,
    conduct: Arc<Conduct>,
    /// How long the first try waits.
    delay: Duration,
    /// Networks that passed, until when that is not written again.
    learned: Cache<IpAddr, Timestamp>,
    /// Records as of the last round, and what was added since.
    records: AtomicUsize,
}

impl std::fmt::Debug for Greylist {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Greylist")
            .field("delay", &self.delay)
            .finish_non_exhaustive()
    }
}

/// What the store has about a network and a try.
struct Kept {
    learned: Option<Timestamp>,
    first: Option<Timestamp>,
    /// The recipient has written to the sender.
    known: bool,
}

impl Greylist {
    /// The check over what the store has.
    #[must_use]
    pub fn new(
        engine: SharedEngine,
        directory: Directory,
        conduct: Arc<Conduct>,
        delay: Duration,
        runtime: &Runtime,
    ) -> Self {
        Self {
            engine,
            runtime: runtime.clone(),
            directory,
            conduct,
            delay,
            learned: Cache::new(GREYLIST_LEARNED_ENTRIES),
            records: AtomicUsize::new(0),
        }
    }

    async fn look(&self, asked: Asked<'_>) -> Verdict {
        let (Some(sender), Some(ForwardPath::Address(recipient))) = (asked.sender, asked.recipient)
        else {
            return Verdict::pass();
        };
        let client = asked.client();
        let spoken_for = asked.evidence.findings().any(|found| found.points < 0);
        let network = prefix(client, 24, 64);
        let now = self.runtime.now();
        let fresh = self.learned.get(&network).is_some_and(|until| now < until);
        if asked.evidence.is_trusted() || spoken_for || fresh || self.conduct.is_good(client) {
            return Verdict::pass();
        }
        let try_key = try_key(network, sender, recipient);
        let kept = match self.read(network, &try_key, sender, recipient).await {
            Ok(kept) => kept,
            Err(error) => {
                tracing::error!(%error, "greylisting can't be read");
                return Verdict::pass();
            }
        };
        if kept.known {
            return Verdict::pass();
        }
        let passed = kept
            .learned
            .is_some_and(|at| now.since(at) < GREYLIST_LEARNED_FOR);
        let first = kept
            .first
            .filter(|first| now.since(*first) < GREYLIST_WINDOW);
        let waited = first.map(|first| now.since(first));
        if passed || waited.is_some_and(|waited| waited >= self.delay) {
            self.learn(network, kept.first.is_some().then_some(try_key), now);
            return Verdict::pass();
        }
        if first.is_none() && !self.begin(try_key, now) {
            return Verdict::pass();
        }
        let left = self.delay.saturating_sub(waited.unwrap_or_default());
        let text = format!(
            "this server does not know {network} yet; please send it again in {}, \
             as mail servers do by themselves",
            time(left)
        );
        Verdict {
            action: Action::Refuse(Reply::enhanced(450, (4, 7, 1), &text)),
            findings: vec![Finding::new("greylisted", 0, network.to_string())],
            ..Verdict::pass()
        }
    }

    async fn read(
        &self,
        network: IpAddr,
        try_key: &[u8],
        sender: &ReversePath,
        recipient: &Address,
    ) -> Result<Kept, ReadError> {
        let mut wanted = vec![learned_key(network), try_key.to_vec()];
        if let (Some(sender), Some(account)) = (sender.address(), self.owner(recipient).await) {
            wanted.push(known_key(account, &sender.to_key()));
        }
        let engine = Arc::clone(&self.engine);
        let read = move || {
            let shard = keys::shard_of(&GREYLIST_PREFIX, engine.shards());
            let Some(shard) = shard else {
                return Ok(Vec::new());
            };
            engine.snapshot(shard).get_many(&wanted)
        };
        let found = self.runtime.blocking(read).await?;
        let at = |index: usize| {
            let stored = found.get(index)?.as_ref()?;
            moment(&stored.value).ok()
        };
        Ok(Kept {
            learned: at(0),
            first: at(1),
            known: found.get(2).is_some_and(Option::is_some),
        })
    }

    /// The one account that an address leads to.
    async fn owner(&self, recipient: &Address) -> Option<AccountId> {
        match self.directory.resolve(recipient).await {
            Ok(Resolution::Local(targets)) => match &targets[..] {
                [Target::Account { id, .. }] => Some(*id),
                _ => None,
            },
            _ => None,
        }
    }

    /// The network has passed: nobody of it is put off for long.
    fn learn(&self, network: IpAddr, tried: Option<Vec<u8>>, now: Timestamp) {
        self.learned.insert(network, now.after(GREYLIST_REFRESH));
        let mut batch = Batch::new();
        batch.put(learned_key(network), record(now));
        if let Some(tried) = tried {
            batch.delete(tried);
        }
        // One that is lost is learned once more.
        if let Err(error) = self.engine.submit(batch) {
            tracing::warn!(%error, "that a network passed is not noted");
        }
    }

    /// Notes a first try; false when there is no room for it.
    fn begin(&self, try_key: Vec<u8>, now: Timestamp) -> bool {
        if self.records.fetch_add(1, Ordering::Relaxed) >= GREYLIST_RECORDS_MAX {
            return false;
        }
        let mut batch = Batch::new();
        batch.put(try_key, record(now));
        match self.engine.submit(batch) {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(%error, "a first try is not noted, and so not put off");
                false
            }
        }
    }

    /// Removes what has had its time; how many that were.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn expire(&self) -> Result<usize, ReadError> {
        let (engine, now) = (Arc::clone(&self.engine), self.runtime.now());
        let read = move || {
            let (mut gone, mut kept) = (Vec::new(), 0);
            let mut start = GREYLIST_PREFIX.to_vec();
            let end = keys::end_of(&GREYLIST_PREFIX);
            let Some(shard) = keys::shard_of(&start, engine.shards()) else {
                return Ok::<_, ReadError>((gone, kept));
            };
            let snapshot = engine.snapshot(shard);
            loop {
                let page = snapshot.scan(&start, &end, Order::Ascending, GREYLIST_PAGE)?;
                let Some((last, _)) = page.last() else {
                    return Ok((gone, kept));
                };
                start.clone_from(last);
                start.push(0);
                for (key, stored) in page {
                    let lasts = match key.get(2) {
                        Some(&LEARNED) => GREYLIST_LEARNED_FOR,
                        _ => GREYLIST_WINDOW,
                    };
                    let over = moment(&stored.value).map_or(true, |at| now.since(at) >= lasts);
                    if over {
                        gone.push(key);
                    } else {
                        kept += 1;
                    }
                }
            }
        };
        let (gone, kept) = self.runtime.blocking(read).await?;
        self.records.store(kept, Ordering::Relaxed);
        if let Err(error) = records::remove(&self.engine, &gone, GREYLIST_PAGE).await {
            tracing::warn!(%error, "what greylisting no longer needs stays for now");
        }
        Ok(gone.len())
    }
}

impl Check for Greylist {
    fn name(&self) -> &'static str {
        "greylist"
    }

    fn phase(&self) -> Phase {
        Phase::Recipient
    }

    fn manner(&self) -> Manner {
        Manner::InTurn(GREYLIST_PATIENCE)
    }

    fn check<'a>(&'a self, asked: Asked<'a>) -> BoxFuture<'a, Verdict> {
        Box::pin(self.look(asked))
    }
}

fn octets(network: IpAddr) -> [u8; 16] {
    match network {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn learned_key(network: IpAddr) -> Vec<u8> {
    let mut key = GREYLIST_PREFIX.to_vec();
    key.push(LEARNED);
    key.extend_from_slice(&octets(network));
    key
}

fn try_key(network: IpAddr, sender: &ReversePath, recipient: &Address) -> Vec<u8> {
    let sender = sender.address().map(Address::to_key).unwrap_or_default();
    let recipient = recipient.to_key();
    let mut hasher = blake3::Hasher::new();
    for part in [
        &octets(network)[..],
        sender.as_bytes(),
        recipient.as_bytes(),
    ] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let mut key = GREYLIST_PREFIX.to_vec();
    key.push(WAITS);
    key.extend_from_slice(&hasher.finalize().as_bytes()[..16]);
    key
}

/// What is wrong with a record of greylisting, if anything is.
#[must_use]
pub fn check_greylist(key: &[u8], value: &[u8]) -> Option<String> {
    if key.len() != 19 || !matches!(key[2], WAITS | LEARNED) {
        return Some("its key is none of greylisting's".into());
    }
    moment(value).err().map(|error| error.to_string())
}

#[cfg(test)]
mod tests;
