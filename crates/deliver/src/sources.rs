//! Which address of ours a connection comes from, and what we call ourselves there.
//!
//! The operator may name several of each family. A host always meets the same one, so
//! that it sees a name and not a crowd. EHLO says the address's own name (its PTR,
//! where that leads back to it), because big providers compare the two. An IPv6
//! address is used only while that is so: without it many refuse what they take over
//! IPv4. Names are asked for once a day.
//!
//! Not here: connections (`connection`), addresses of loopback, which choose themselves.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use resolver::{AddressAnswer, TemporaryError};
use runtime::Monotonic;

use crate::Ports;
use crate::limits::{SOURCE_ASKED_AGAIN, SOURCE_NAME_KEPT};

/// The addresses that mail is sent from.
#[derive(Debug, Default)]
pub struct Sources {
    addresses: Arc<[IpAddr]>,
    names: Arc<Mutex<Names>>,
}

/// The names of addresses, if they have any, each with the time when it is asked for again.
type Names = HashMap<IpAddr, (Option<String>, Monotonic)>;

/// Where a connection comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The system chooses.
    System,
    /// This address, with its own name if that is known.
    Address(IpAddr, Option<String>),
    /// There is none of this family whose names agree.
    None,
}

impl Sources {
    /// These, which belong to this machine; none leaves the choice to the system.
    #[must_use]
    pub fn new(addresses: Vec<IpAddr>) -> Self {
        Self {
            addresses: addresses.into(),
            names: Arc::default(),
        }
    }

    /// Others, with what is known of names.
    pub(crate) fn instead(&self, addresses: &Arc<[IpAddr]>) -> Self {
        Self {
            addresses: Arc::clone(addresses),
            names: Arc::clone(&self.names),
        }
    }

    /// All of them.
    pub(crate) fn addresses(&self) -> &Arc<[IpAddr]> {
        &self.addresses
    }

    /// The one that a host meets.
    pub(crate) async fn choose(&self, ports: &Ports, host: &str, to: IpAddr) -> Source {
        let to = to.to_canonical();
        let of_family = |ip: &&IpAddr| ip.is_ipv4() == to.is_ipv4();
        let all: Vec<IpAddr> = self.addresses.iter().filter(of_family).copied().collect();
        if all.is_empty() || to.is_loopback() {
            return Source::System;
        }
        let mut usable = Vec::with_capacity(all.len());
        for ip in all {
            let name = self.name(ports, ip).await;
            if ip.is_ipv4() || name.is_some() {
                usable.push((ip, name));
            }
        }
        let count = usable.len().max(1);
        let at = usize::try_from(hash(host) % count as u64).unwrap_or(0);
        match usable.into_iter().nth(at) {
            Some((ip, name)) => Source::Address(ip, name),
            None => Source::None,
        }
    }

    /// The name of an address of ours, where it leads back.
    async fn name(&self, ports: &Ports, ip: IpAddr) -> Option<String> {
        let now = ports.runtime.monotonic();
        let known = self.names.lock().get(&ip).cloned();
        if let Some((name, until)) = &known
            && *until > now
        {
            return name.clone();
        }
        let (name, lasts) = match agreed_name(ports, ip).await {
            Ok(name) => (name, SOURCE_NAME_KEPT),
            // What was known is as good as anything.
            Err(_) => (known.and_then(|(name, _)| name), SOURCE_ASKED_AGAIN),
        };
        let kept = (name.clone(), now.after(lasts));
        self.names.lock().insert(ip, kept);
        name
    }
}

/// The first of an address's names that leads back to it (RFC 1912 §2.1).
async fn agreed_name(ports: &Ports, ip: IpAddr) -> Result<Option<String>, TemporaryError> {
    for name in ports.dns.ptr(ip).await? {
        let name = name.trim_end_matches('.').to_lowercase();
        if let AddressAnswer::Addresses(addresses) = ports.dns.addresses(&name).await?
            && addresses.contains(&ip)
        {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
