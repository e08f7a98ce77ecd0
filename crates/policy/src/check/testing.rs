//! A DNS of a few lines, and a client to look at.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};

use resolver::{AddressAnswer, TemporaryError};

use super::{BoxFuture, Names};
use crate::{Role, Session};

/// Says what it was told; of other names that they do not exist.
#[derive(Debug, Default)]
pub(crate) struct Zone {
    ptr: HashMap<IpAddr, Vec<String>>,
    hosts: HashMap<String, Vec<IpAddr>>,
    broken: Vec<String>,
    /// Never answers at all.
    pub(crate) silent: bool,
    pub(crate) asked: AtomicUsize,
}

impl Zone {
    pub(crate) fn ptr(mut self, ip: &str, names: &[&str]) -> Self {
        let names = names.iter().map(|&name| name.to_owned());
        self.ptr.insert(self::ip(ip), names.collect());
        self
    }

    pub(crate) fn host(mut self, name: &str, addresses: &[&str]) -> Self {
        let addresses = addresses.iter().map(|text| ip(text));
        self.hosts.insert(name.to_owned(), addresses.collect());
        self
    }

    pub(crate) fn broken(mut self, name: &str) -> Self {
        self.broken.push(name.to_owned());
        self
    }

    async fn ask(&self, name: &str) -> Result<(), TemporaryError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.silent {
            std::future::pending::<()>().await;
        }
        if self.broken.iter().any(|broken| broken == name) {
            return Err(TemporaryError {
                name: name.to_owned(),
                reason: "SERVFAIL".into(),
            });
        }
        Ok(())
    }
}

impl Names for Zone {
    fn ptr(&self, ip: IpAddr) -> BoxFuture<'_, Result<Vec<String>, TemporaryError>> {
        Box::pin(async move {
            self.ask(&ip.to_string()).await?;
            Ok(self.ptr.get(&ip).cloned().unwrap_or_default())
        })
    }

    fn addresses<'a>(
        &'a self,
        host: &'a str,
    ) -> BoxFuture<'a, Result<AddressAnswer, TemporaryError>> {
        Box::pin(async move {
            self.ask(host).await?;
            Ok(match self.hosts.get(host) {
                None => AddressAnswer::NxDomain,
                Some(all) if all.is_empty() => AddressAnswer::None,
                Some(all) => AddressAnswer::Addresses(all.clone()),
            })
        })
    }

    fn ipv4<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Ipv4Addr>, TemporaryError>> {
        Box::pin(async move {
            self.ask(name).await?;
            let all = self.hosts.get(name).into_iter().flatten();
            let v4 = all.filter_map(|ip| match ip {
                IpAddr::V4(v4) => Some(*v4),
                IpAddr::V6(_) => None,
            });
            Ok(v4.collect())
        })
    }
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A stranger's server on the MX port.
pub(crate) fn stranger(client: &str) -> Session {
    Session {
        role: Role::Mx,
        client_ip: ip(client),
        server_ip: ip("198.51.100.25"),
        identity: None,
        local_user: None,
    }
}
