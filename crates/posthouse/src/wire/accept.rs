//! The loop that takes connections and gives each to its face, within the limits of sessions.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use runtime::net::{Conn, Listener};
use runtime::{Runtime, Tasks};

/// What the sessions of one protocol share, over all its listeners.
#[derive(Clone)]
pub(super) struct Hall {
    pub(super) protocol: &'static str,
    /// What a client that finds no place is told, as a whole line; nothing under TLS from the first byte.
    pub(super) refusal: &'static str,
    pub(super) runtime: Runtime,
    places: Arc<Places>,
}

#[derive(Debug)]
struct Places {
    all_max: usize,
    per_address_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    addresses: HashMap<IpAddr, usize>,
}

impl Hall {
    pub(super) fn new(
        protocol: &'static str,
        refusal: &'static str,
        limits: &settings::Limits,
        runtime: &Runtime,
    ) -> Self {
        let count = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        Self {
            protocol,
            refusal,
            runtime: runtime.clone(),
            places: Arc::new(Places {
                all_max: count(limits.connections),
                per_address_max: count(limits.connections_per_address),
                taken: Mutex::default(),
            }),
        }
    }

    /// Takes connections until the drain, then waits for the sessions that run.
    pub(super) async fn receive<F, S>(self, listener: Listener, tls_first: bool, serve: S)
    where
        S: Fn(Conn) -> F + Send,
        F: Future<Output = ()> + Send + 'static,
    {
        let shutdown = self.runtime.shutdown();
        let sessions = Tasks::new();
        loop {
            let conn = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(conn) => conn,
                    Err(error) => {
                        tracing::error!(protocol = self.protocol, %error, "a listener is broken");
                        break;
                    }
                },
                () = shutdown.draining() => break,
            };
            let Some(place) = Place::take(&self.places, conn.peer_addr().ip()) else {
                tracing::info!(protocol = self.protocol, peer = %conn.peer_addr(), "no place for another session");
                let refusal = if tls_first { "" } else { self.refusal };
                sessions.spawn(&self.runtime, refuse(conn, refusal));
                continue;
            };
            let session = serve(conn);
            sessions.spawn(
                &self.runtime,
                Seated {
                    session: Box::pin(session),
                    _place: place,
                },
            );
        }
        drop(listener);
        sessions.wait().await;
    }
}

async fn refuse(mut conn: Conn, refusal: &'static str) {
    // The client is refused either way.
    let _ = conn.write_all(refusal.as_bytes()).await;
    let _ = conn.shutdown().await;
}

/// A session with what it gives back at its end; boxed once, so that the task around it stays small.
struct Seated<F> {
    session: std::pin::Pin<Box<F>>,
    _place: Place,
}

impl<F: Future<Output = ()>> Future for Seated<F> {
    type Output = ();

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<()> {
        self.session.as_mut().poll(cx)
    }
}

/// A place for one session, given back when dropped.
struct Place {
    places: Arc<Places>,
    address: IpAddr,
}

impl Place {
    /// A place for a session from there. Loopback is exempt from the limit for each address.
    fn take(places: &Arc<Places>, address: IpAddr) -> Option<Self> {
        let mut taken = places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= places.all_max {
            return None;
        }
        let of_address = taken.addresses.get(&address).copied().unwrap_or(0);
        if of_address >= places.per_address_max && !address.is_loopback() {
            return None;
        }
        taken.all += 1;
        *taken.addresses.entry(address).or_default() += 1;
        Some(Self {
            places: places.clone(),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self
            .places
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Entry::Occupied(mut entry) = taken.addresses.entry(self.address) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn places_are_counted_and_given_back() {
        let places = Arc::new(Places {
            all_max: 3,
            per_address_max: 1,
            taken: Mutex::default(),
        });
        let far: IpAddr = "192.0.2.1".parse().unwrap();
        let near: IpAddr = "127.0.0.1".parse().unwrap();
        let first = Place::take(&places, far).unwrap();
        assert!(Place::take(&places, far).is_none(), "one for each address");
        let _loopback = Place::take(&places, near).unwrap();
        let _exempt = Place::take(&places, near).unwrap();
        drop(first);
        let _again = Place::take(&places, far).unwrap();
        assert!(Place::take(&places, near).is_none(), "three in all");
    }
}
