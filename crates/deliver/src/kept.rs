//! Connections that wait a moment for another message to the same server.
//!
//! Postfix calls it a connection cache, and two seconds are what it keeps one: long
//! enough for what is queued behind, short enough that no server minds. A server may
//! close it meanwhile, which the next message notices before it has said anything of
//! itself, and goes over a new one.
//!
//! Not here: how many connections there may be (`dispatch`): what waits here holds its place
//! at the gate, which the next attempt takes over, or has for another connection of its own.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use queue_model::Party;
use runtime::{Monotonic, Runtime, Task};
use smtp_proto::client::Protocol;

use crate::connection::Connection;
use crate::limits::{KEPT_FOR, KEPT_LOOKED_AT, KEPT_MAX};
use crate::{Target, TlsPolicy};

/// What must be the same for a connection to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    address: SocketAddr,
    host: String,
    protocol: Protocol,
    tls: TlsPolicy,
    demanded_by: Option<String>,
    login: Option<String>,
    party: Option<Party>,
    sources: Arc<[IpAddr]>,
}

impl Key {
    pub(crate) fn of(
        target: &Target,
        protocol: Protocol,
        tls: TlsPolicy,
        party: Option<&Party>,
        sources: &Arc<[IpAddr]>,
    ) -> Self {
        Self {
            address: target.address,
            host: target.host.clone(),
            protocol,
            tls,
            demanded_by: target.demand.as_ref().map(|demand| demand.by.clone()),
            login: target.credentials.as_ref().map(|who| who.login.clone()),
            party: party.cloned(),
            sources: Arc::clone(sources),
        }
    }
}

/// Connections that wait. Cheap to clone; clones share them.
#[derive(Clone)]
pub struct Kept {
    inner: Arc<Inner>,
}

struct Inner {
    runtime: Runtime,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle: HashMap<Key, Vec<(Monotonic, Connection)>>,
    count: usize,
    /// Says goodbye to those that nobody wanted; there is one while there are any.
    closing: Option<Task<()>>,
    is_closing: bool,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.inner.state.lock().count;
        f.debug_struct("Kept").field("count", &count).finish()
    }
}

impl Kept {
    /// None yet.
    #[must_use]
    pub fn new(runtime: &Runtime) -> Self {
        Self {
            inner: Arc::new(Inner {
                runtime: runtime.clone(),
                state: Mutex::default(),
            }),
        }
    }

    /// The one that was used last, which is the least likely to be closed.
    pub(crate) fn take(&self, key: &Key) -> Option<Connection> {
        let mut state = self.inner.state.lock();
        let waiting = state.idle.get_mut(key)?;
        let (_, connection) = waiting.pop()?;
        if waiting.is_empty() {
            state.idle.remove(key);
        }
        state.count -= 1;
        Some(connection)
    }

    /// The one of a party that has waited longest, whatever it is good for: another
    /// needs its place.
    pub(crate) fn take_of(&self, party: &Party) -> Option<Connection> {
        let mut state = self.inner.state.lock();
        let of_party = |key: &&Key| key.party.as_ref() == Some(party);
        let key = state.idle.keys().find(of_party)?.clone();
        let waiting = state.idle.get_mut(&key)?;
        let (_, connection) = waiting.remove(0);
        if waiting.is_empty() {
            state.idle.remove(&key);
        }
        state.count -= 1;
        Some(connection)
    }

    /// Keeps it for a moment; gives it back where there are too many.
    pub(crate) fn keep(&self, key: Key, connection: Connection) -> Result<(), Box<Connection>> {
        let mut state = self.inner.state.lock();
        if state.count >= KEPT_MAX {
            return Err(Box::new(connection));
        }
        let now = self.inner.runtime.monotonic();
        state.idle.entry(key).or_default().push((now, connection));
        state.count += 1;
        if !state.is_closing {
            state.is_closing = true;
            let closing = close_old(self.inner.runtime.clone(), Arc::downgrade(&self.inner));
            state.closing = Some(self.inner.runtime.spawn("idle connections", closing));
        }
        Ok(())
    }
}

async fn close_old(runtime: Runtime, inner: Weak<Inner>) {
    loop {
        runtime.sleep(KEPT_LOOKED_AT).await;
        let Some(inner) = inner.upgrade() else { return };
        let old = {
            let mut state = inner.state.lock();
            let old = state.take_old(runtime.monotonic());
            if old.is_empty() && state.count == 0 {
                state.is_closing = false;
                return;
            }
            old
        };
        drop(inner);
        for connection in old {
            Box::pin(connection.quit()).await;
        }
    }
}

impl State {
    fn take_old(&mut self, now: Monotonic) -> Vec<Connection> {
        let mut old = Vec::new();
        for waiting in self.idle.values_mut() {
            // The oldest are in front.
            let young = waiting.partition_point(|(since, _)| now.since(*since) >= KEPT_FOR);
            old.extend(waiting.drain(..young).map(|(_, connection)| connection));
        }
        self.idle.retain(|_, waiting| !waiting.is_empty());
        self.count -= old.len();
        old
    }
}
