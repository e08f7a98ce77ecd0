//! Addresses and networks that are turned away for a time.
//!
//! Two kinds: what an operator bans is turned away on every port; what the door
//! bans by itself, for what a client did there ([`super::conduct`]), only at the
//! door: whoever shares an address with an infected machine still reads mail.
//! Neither touches an address that is exempt, nor (who asks looks at that) one
//! from which somebody logged in well.
//!
//! They outlive a restart:
//!
//! | key | value |
//! |---|---|
//! | `S` `B` address as IPv6, 16 bytes; prefix, 1 byte | version byte 1; from, until, Unix milliseconds, 8 bytes each; 1 by an operator, 2 by the door; reason, text |
//!
//! All numbers are high byte first. An IPv4 prefix is counted as IPv6's (96 more).
//! What is over is removed when the next one is written.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use engine::{Batch, Order, ReadError, SharedEngine, SubmitError, keys};
use envelope::Reply;
use parking_lot::RwLock;
use runtime::{Runtime, Timestamp};
use settings::Network;
use wire::codec::{DecodeError, Reader, Writer};

use super::{Action, Asked, BoxFuture, Check, Finding, Manner, Phase, Verdict};
use crate::limits::{BAN_REASON_CHARS_MAX, BANS_MAX};

const BAN: u8 = b'B';
const VERSION: u8 = 1;
const KEY_BYTES: usize = 2 + 16 + 1;

/// How keys of bans begin, for whoever checks the system's space.
pub const BANS_PREFIX: [u8; 2] = [keys::Space::System as u8, BAN];

/// Who banned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A person: on every port.
    Operator,
    /// The door itself: there.
    Door,
}

impl By {
    /// For people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Door => "door",
        }
    }
}

/// A network that is turned away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// Whose connections.
    pub network: Network,
    /// Since when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Who banned.
    pub by: By,
    /// Why, for the operator and the client.
    pub reason: String,
}

/// Why a ban was not written.
#[derive(Debug, thiserror::Error)]
pub enum BanError {
    /// There are as many as there may be.
    #[error("there are {BANS_MAX} bans already; lift some first")]
    TooMany,
    /// The store refuses.
    #[error("the ban cannot be stored: {0}")]
    Submit(#[from] SubmitError),
}

/// All bans. One for a store, shared by `Arc`.
pub struct Bans {
    engine: SharedEngine,
    runtime: Runtime,
    held: RwLock<Held>,
}

#[derive(Default)]
struct Held {
    bans: HashMap<[u8; 17], Ban>,
    /// The prefixes that there are, longest first when walked backwards.
    prefixes: BTreeSet<u8>,
}

impl std::fmt::Debug for Bans {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bans").finish_non_exhaustive()
    }
}

impl Bans {
    /// Those of the store.
    ///
    /// # Errors
    /// The store cannot be read. A record that makes no sense is passed over.
    pub async fn open(engine: SharedEngine, runtime: Runtime) -> Result<Self, ReadError> {
        let reading = Arc::clone(&engine);
        let read = move || {
            let (start, end) = (BANS_PREFIX.to_vec(), keys::end_of(&BANS_PREFIX));
            let Some(shard) = keys::shard_of(&start, reading.shards()) else {
                return Ok(Vec::new());
            };
            let snapshot = reading.snapshot(shard);
            snapshot.scan(&start, &end, Order::Ascending, BANS_MAX)
        };
        let mut held = Held::default();
        for (key, stored) in runtime.blocking(read).await? {
            match decode(&key, &stored.value) {
                Ok((key, ban)) => held.insert(key, ban),
                Err(error) => tracing::error!(%error, "a ban cannot be read"),
            }
        }
        Ok(Self {
            engine,
            runtime,
            held: RwLock::new(held),
        })
    }

    /// The ban that an address is under; the narrowest of several.
    #[must_use]
    pub fn find(&self, address: IpAddr) -> Option<Ban> {
        let held = self.held.read();
        if held.bans.is_empty() {
            return None;
        }
        let now = self.runtime.now();
        held.prefixes.iter().rev().find_map(|prefix| {
            let ban = held.bans.get(&name(address, *prefix))?;
            (now < ban.until).then(|| ban.clone())
        })
    }

    /// Those that are in force, by address.
    #[must_use]
    pub fn list(&self) -> Vec<Ban> {
        let now = self.runtime.now();
        let held = self.held.read();
        let mut bans: Vec<_> = held.bans.iter().collect();
        bans.sort_by_key(|(name, _)| **name);
        let bans = bans.into_iter().map(|(_, ban)| ban.clone());
        bans.filter(|ban| now < ban.until).collect()
    }

    /// Bans, or changes the ban that there is. It is durable when this returns.
    ///
    /// # Errors
    /// See [`BanError`].
    pub async fn add(&self, mut ban: Ban) -> Result<(), BanError> {
        ban.network = canonical(ban.network);
        let name = name(ban.network.address, prefix_of(ban.network));
        let mut batch = Batch::new();
        let submitted = {
            let now = self.runtime.now();
            let mut held = self.held.write();
            for over in held.take_over(now) {
                batch.delete(key(&over));
            }
            if held.bans.len() >= BANS_MAX && !held.bans.contains_key(&name) {
                return Err(BanError::TooMany);
            }
            batch.put(key(&name), encode(&ban));
            let submitted = self.engine.submit(batch)?;
            held.insert(name, ban);
            submitted
        };
        submitted.done().await;
        Ok(())
    }

    /// Lifts the ban of exactly this network, or, of one address, that which it is
    /// under; what was lifted.
    ///
    /// # Errors
    /// The store refuses.
    pub async fn lift(&self, network: Network) -> Result<Option<Ban>, SubmitError> {
        let network = canonical(network);
        let (submitted, ban) = {
            let mut held = self.held.write();
            let exact = name(network.address, prefix_of(network));
            let found = if held.bans.contains_key(&exact) || prefix_of(network) < 128 {
                Some(exact)
            } else {
                let prefixes = held.prefixes.iter().rev();
                let mut names = prefixes.map(|prefix| name(network.address, *prefix));
                names.find(|name| held.bans.contains_key(name))
            };
            let Some(name) = found.filter(|name| held.bans.contains_key(name)) else {
                return Ok(None);
            };
            let mut batch = Batch::new();
            batch.delete(key(&name));
            let submitted = self.engine.submit(batch)?;
            (submitted, held.remove(&name))
        };
        submitted.done().await;
        Ok(ban)
    }
}

impl Held {
    fn insert(&mut self, name: [u8; 17], ban: Ban) {
        self.prefixes.insert(name[16]);
        self.bans.insert(name, ban);
    }

    fn remove(&mut self, name: &[u8; 17]) -> Option<Ban> {
        let ban = self.bans.remove(name);
        if !self.bans.keys().any(|other| other[16] == name[16]) {
            self.prefixes.remove(&name[16]);
        }
        ban
    }

    fn take_over(&mut self, now: Timestamp) -> Vec<[u8; 17]> {
        let over = self.bans.iter().filter(|(_, ban)| ban.until <= now);
        let over: Vec<_> = over.map(|(name, _)| *name).collect();
        for name in &over {
            self.remove(name);
        }
        over
    }
}

/// Turns a banned client away before the greeting, unless somebody logged in well
/// from there lately: an administrator who bans a provider is not shut out.
#[derive(Debug)]
pub struct Banned(pub Arc<Bans>);

impl Check for Banned {
    fn name(&self) -> &'static str {
        "ban"
    }

    fn phase(&self) -> Phase {
        Phase::Connect
    }

    fn manner(&self) -> Manner {
        Manner::Immediate
    }

    fn check<'a>(&'a self, asked: Asked<'a>) -> BoxFuture<'a, Verdict> {
        let held = self.0.find(asked.client()).filter(|_| !asked.logged_in);
        let verdict = held.map(|ban| {
            let left = ban.until.since(self.0.runtime.now());
            let text = format!(
                "{} is turned away for {} more: {}; it ends by itself, or when the \
                 administrator of this server lifts it",
                asked.client_literal(),
                super::time(left),
                ban.reason
            );
            Verdict {
                // It may come again: 421, so that a queue elsewhere waits.
                action: Action::Close(Reply::enhanced(421, (4, 7, 1), &text)),
                findings: vec![Finding::new("banned", 0, ban.reason)],
                ..Verdict::pass()
            }
        });
        Box::pin(std::future::ready(verdict.unwrap_or_default()))
    }
}

fn bits(network: Network) -> u8 {
    if network.address.is_ipv4() { 32 } else { 128 }
}

/// The prefix as IPv6's.
fn prefix_of(network: Network) -> u8 {
    network.prefix + (128 - bits(network))
}

/// IPv4 as IPv4, and the address without the bits that do not count.
fn canonical(network: Network) -> Network {
    let address = network.address.to_canonical();
    let prefix = match (address, network.address) {
        (IpAddr::V4(_), IpAddr::V6(_)) => network.prefix.saturating_sub(96),
        _ => network.prefix,
    };
    let octets = name(address, prefix_of(Network { address, prefix }));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&octets[..16]);
    let address = IpAddr::from(bytes).to_canonical();
    Network { address, prefix }
}

/// The network of so many bits that an address is in.
fn name(address: IpAddr, prefix: u8) -> [u8; 17] {
    let bits = match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let mask = u128::MAX
        .checked_shl(128 - u32::from(prefix.min(128)))
        .unwrap_or(0);
    let mut name = [0; 17];
    name[..16].copy_from_slice(&(bits & mask).to_be_bytes());
    name[16] = prefix;
    name
}

fn key(name: &[u8; 17]) -> Vec<u8> {
    let mut key = BANS_PREFIX.to_vec();
    key.extend_from_slice(name);
    key
}

fn encode(ban: &Ban) -> Vec<u8> {
    let mut writer = Writer::new();
    writer
        .u8(VERSION)
        .u64_be(ban.from.unix_ms)
        .u64_be(ban.until.unix_ms)
        .u8(match ban.by {
            By::Operator => 1,
            By::Door => 2,
        });
    let mut record = writer.finish();
    let reason: String = ban.reason.chars().take(BAN_REASON_CHARS_MAX).collect();
    record.extend_from_slice(reason.as_bytes());
    record
}

fn decode(key: &[u8], record: &[u8]) -> Result<([u8; 17], Ban), String> {
    let name: [u8; 17] = key
        .get(BANS_PREFIX.len()..)
        .and_then(|name| name.try_into().ok())
        .filter(|_| key.len() == KEY_BYTES)
        .ok_or("its key names no network")?;
    if name[16] > 128 {
        return Err("its key names no network".into());
    }
    let mut octets = [0; 16];
    octets.copy_from_slice(&name[..16]);
    let v6 = IpAddr::from(octets);
    let address = match v6.to_canonical() {
        v4 @ IpAddr::V4(_) if name[16] >= 96 => v4,
        _ => v6,
    };
    let prefix = name[16] - if address.is_ipv4() { 96 } else { 0 };
    let read = || {
        let mut reader = Reader::new(record);
        match reader.u8()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        Ok((reader.u64_be()?, reader.u64_be()?, reader.u8()?))
    };
    let (from, until, by) = read().map_err(|error: DecodeError| error.to_string())?;
    let by = match by {
        1 => By::Operator,
        2 => By::Door,
        other => return Err(format!("nobody is called {other}")),
    };
    let reason = core::str::from_utf8(&record[18..]).map_err(|_| "its reason is no text")?;
    let ban = Ban {
        network: Network { address, prefix },
        from: Timestamp { unix_ms: from },
        until: Timestamp { unix_ms: until },
        by,
        reason: reason.to_owned(),
    };
    Ok((name, ban))
}

/// What is wrong with a ban's record, if anything is.
#[must_use]
pub fn check_ban(key: &[u8], value: &[u8]) -> Option<String> {
    decode(key, value).err()
}

#[cfg(test)]
mod tests;
