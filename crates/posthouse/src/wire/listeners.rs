//! The listening sockets of the settings, bound before anything is served.

use std::net::SocketAddr;

use anyhow::Context as _;
use runtime::net::Listener;
use settings::Listen;

/// All sockets, by the name of their service.
pub(super) struct Bound {
    listeners: Vec<(&'static str, Listener)>,
}

impl Bound {
    /// Binds all of them; the first that cannot be bound ends it.
    pub(super) fn bind(listen: &Listen) -> anyhow::Result<Self> {
        let mut listeners = Vec::new();
        for (key, addresses) in listen.all() {
            let name = key.strip_prefix("listen.").unwrap_or(key);
            for address in addresses {
                let listener = Listener::bind(*address).with_context(|| {
                    format!("cannot listen on {address} ({key}); is another program there?")
                })?;
                listeners.push((name, listener));
            }
        }
        Ok(Self { listeners })
    }

    /// Where each service listens.
    pub(super) fn addresses(&self) -> Vec<(&'static str, Vec<SocketAddr>)> {
        let mut all: Vec<(&'static str, Vec<SocketAddr>)> = Vec::new();
        for (name, listener) in &self.listeners {
            let address = listener.local_addr();
            match all.iter_mut().find(|(known, _)| known == name) {
                Some((_, addresses)) => addresses.push(address),
                None => all.push((name, vec![address])),
            }
        }
        all
    }

    pub(super) fn into_listeners(self) -> Vec<(&'static str, Listener)> {
        self.listeners
    }
}
