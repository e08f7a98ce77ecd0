//! The loop that takes connections and gives each to its face, within the limits of sessions.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use policy::check::rates::Crowd;
use runtime::net::{Conn, Listener, UnixListener};
use runtime::{Runtime, Tasks, process};
use settings::{Network, Settings};

use super::proxied;
use crate::door::Door;
use crate::limits::{CROWDED_DIVISOR, KEPT_PLACES_PART, PROXY_HEADER_TIMEOUT};

/// Whoever brings mail while the queue is being emptied is told this (RFC 3463 §3.4).
const EMPTIED: &str =
    "421 4.3.2 this server is being emptied and takes no mail; try another one, or later\r\n";

/// What the sessions of one protocol share, over all its listeners.
#[derive(Clone)]
pub(super) struct Hall {
    pub(super) protocol: &'static str,
    /// What a client that finds no place is told, as a whole line; nothing under TLS from the first byte.
    pub(super) refusal: &'static str,
    pub(super) runtime: Runtime,
    /// The same for a client that an operator has banned; none where a check does that.
    turned_away: Option<&'static str>,
    /// While this queue is being emptied nobody is let in.
    filled: Option<queue::Queue>,
    places: Arc<Places>,
    /// Whose connections begin with a PROXY header.
    proxies: Arc<[Network]>,
}

#[derive(Debug)]
struct Places {
    all_max: usize,
    per_address_max: usize,
    /// Who is kept a place in a crowd; without it everybody is.
    door: Option<Arc<Door>>,
    /// Is to know of a crowd.
    crowd: Option<Crowd>,
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
        settings: &Settings,
        runtime: &Runtime,
        door: Option<&Arc<Door>>,
    ) -> Self {
        let limits = &settings.limits;
        let count = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        Self {
            protocol,
            refusal,
            runtime: runtime.clone(),
            places: Arc::new(Places {
                all_max: count(limits.connections),
                per_address_max: count(limits.connections_per_address),
                door: door.cloned(),
                crowd: None,
                taken: Mutex::default(),
            }),
            turned_away: None,
            filled: None,
            proxies: settings.trust.proxies.clone().into(),
        }
    }

    /// Whom an operator has banned is told this, and let go.
    pub(super) fn turning_away(mut self, line: &'static str) -> Self {
        self.turned_away = Some(line);
        self
    }

    /// Mail comes in here, so that it is closed while the queue is being emptied.
    pub(super) fn filling(mut self, queue: &queue::Queue) -> Self {
        self.filled = Some(queue.clone());
        self
    }

    fn is_emptied(&self) -> bool {
        let drain = self.filled.as_ref().and_then(queue::Queue::drain_known);
        drain.is_some()
    }

    /// A crowd here is told.
    pub(super) fn telling_of_a_crowd(mut self, crowd: &Crowd) -> Self {
        if let Some(places) = Arc::get_mut(&mut self.places) {
            places.crowd = Some(crowd.clone());
        }
        self
    }

    fn turns_away(&self, client: IpAddr) -> Option<&'static str> {
        let line = self.turned_away?;
        let door = self.places.door.as_ref()?;
        door.turns_away(client).then_some(line)
    }

    /// Takes connections until the drain, then waits for the sessions that run.
    pub(super) async fn receive<F, S>(self, listener: Listener, tls_first: bool, serve: S)
    where
        S: Fn(Conn, Arc<Place>) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let shutdown = self.runtime.shutdown();
        let sessions = Tasks::new();
        let refusal = if tls_first { "" } else { self.refusal };
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
            let peer = conn.peer_addr().ip();
            if self.is_emptied() {
                tracing::debug!(protocol = self.protocol, %peer, "the queue is being emptied");
                let line = if tls_first { "" } else { EMPTIED };
                sessions.spawn(&self.runtime, refuse(conn, line));
                continue;
            }
            let proxied = self.proxies.iter().any(|network| network.contains(peer));
            if let Some(line) = self.turns_away(peer).filter(|_| !proxied) {
                tracing::info!(protocol = self.protocol, %peer, "a banned client");
                let line = if tls_first { "" } else { line };
                sessions.spawn(&self.runtime, refuse(conn, line));
                continue;
            }
            let seated = match proxied {
                true => Place::take_unknown(&self.places),
                false => Place::take(&self.places, peer),
            };
            let Some(place) = seated else {
                tracing::info!(protocol = self.protocol, peer = %conn.peer_addr(), "no place for another session");
                sessions.spawn(&self.runtime, refuse(conn, refusal));
                continue;
            };
            let place = Arc::new(place);
            if proxied {
                let session = self
                    .clone()
                    .behind_proxy(conn, place, refusal, serve.clone());
                sessions.spawn(&self.runtime, Box::pin(session));
                continue;
            }
            let session = serve(conn, place.clone());
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

    /// Takes programs of this machine until the drain; `serve` is told their user.
    pub(super) async fn receive_local<F, S>(self, listener: UnixListener, serve: S)
    where
        S: Fn(Conn, Arc<Place>, String) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let shutdown = self.runtime.shutdown();
        let sessions = Tasks::new();
        loop {
            let conn = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(conn) => conn,
                    Err(error) => {
                        tracing::error!(protocol = self.protocol, %error, "the socket for local programs is broken");
                        break;
                    }
                },
                () = shutdown.draining() => break,
            };
            let Some(user) = conn.peer_user().and_then(process::user_name) else {
                tracing::warn!(
                    protocol = self.protocol,
                    "a local program whose user has no name"
                );
                continue;
            };
            let Some(place) = Place::take(&self.places, conn.peer_addr().ip()) else {
                sessions.spawn(&self.runtime, refuse(conn, self.refusal));
                continue;
            };
            tracing::info!(protocol = self.protocol, user, "a local program");
            let place = Arc::new(place);
            let session = Box::pin(serve(conn, place.clone(), user));
            sessions.spawn(
                &self.runtime,
                Seated {
                    session,
                    _place: place,
                },
            );
        }
        drop(listener);
        sessions.wait().await;
    }

    /// A session of a proxy's client: it counts for the client's address.
    async fn behind_proxy<F, S>(
        self,
        mut conn: Conn,
        place: Arc<Place>,
        refusal: &'static str,
        serve: S,
    ) where
        S: Fn(Conn, Arc<Place>) -> F,
        F: Future<Output = ()>,
    {
        let proxy = conn.peer_addr();
        let identified = proxied::identify(&mut conn, &self.runtime, PROXY_HEADER_TIMEOUT).await;
        if let Err(error) = identified {
            tracing::info!(protocol = self.protocol, %proxy, %error, "a proxy did not say who its client is");
            return;
        }
        let peer = conn.peer_addr();
        if let Some(line) = self.turns_away(peer.ip()) {
            tracing::info!(protocol = self.protocol, %peer, %proxy, "a banned client");
            let line = if refusal.is_empty() { "" } else { line };
            return refuse(conn, line).await;
        }
        if !place.move_to(peer.ip()) {
            tracing::info!(protocol = self.protocol, %peer, %proxy, "no place for another session");
            return refuse(conn, refusal).await;
        }
        tracing::debug!(protocol = self.protocol, %peer, %proxy, "a proxy's client");
        serve(conn, place.clone()).await;
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
    _place: Arc<Place>,
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
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    /// For whom it counts, once that is known.
    address: Mutex<Option<IpAddr>>,
}

impl Place {
    /// A place for a session from there. Loopback is exempt from the limit for each address.
    fn take(places: &Arc<Places>, address: IpAddr) -> Option<Self> {
        let place = Self::take_unknown(places)?;
        place.move_to(address).then_some(place)
    }

    /// A place for somebody who has still to be told.
    fn take_unknown(places: &Arc<Places>) -> Option<Self> {
        let mut taken = places.lock();
        if taken.all >= places.all_max {
            return None;
        }
        taken.all += 1;
        places.tell_of_crowd(&taken);
        Some(Self {
            places: places.clone(),
            address: Mutex::new(None),
        })
    }

    /// The session turns out to be from there; false when that address has enough, and nothing
    /// has changed.
    pub(super) fn move_to(&self, address: IpAddr) -> bool {
        let mut mine = self.address.lock().unwrap_or_else(PoisonError::into_inner);
        if *mine == Some(address) {
            return true;
        }
        let favoured = self.places.favours(address);
        let mut taken = self.places.lock();
        let of_address = taken.addresses.get(&address).copied().unwrap_or(0);
        if of_address >= self.places.limit(&taken, favoured) && !address.is_loopback() {
            return false;
        }
        *taken.addresses.entry(address).or_default() += 1;
        if let Some(before) = mine.replace(address) {
            taken.leave(before);
        }
        true
    }
}

impl smtp_server::Seat for Place {
    fn move_to(&self, client: IpAddr) -> bool {
        self.move_to(client)
    }
}

impl Places {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn favours(&self, address: IpAddr) -> bool {
        self.door.as_ref().is_none_or(|door| door.favours(address))
    }

    /// Sessions of one address: in a crowd less, and the last places are for those who are favoured.
    fn limit(&self, taken: &Taken, favoured: bool) -> usize {
        if favoured || !self.is_crowded(taken) {
            self.per_address_max
        } else if taken.all * KEPT_PLACES_PART > self.all_max * (KEPT_PLACES_PART - 1) {
            0
        } else {
            (self.per_address_max / CROWDED_DIVISOR).max(1)
        }
    }

    fn is_crowded(&self, taken: &Taken) -> bool {
        taken.all * 4 > self.all_max * 3
    }

    fn tell_of_crowd(&self, taken: &Taken) {
        if let Some(crowd) = &self.crowd {
            crowd.set(self.is_crowded(taken));
        }
    }
}

impl Taken {
    fn leave(&mut self, address: IpAddr) {
        if let Entry::Occupied(mut entry) = self.addresses.entry(address) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let address = self
            .address
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let mut taken = self.places.lock();
        taken.all -= 1;
        self.places.tell_of_crowd(&taken);
        if let Some(address) = address.take() {
            taken.leave(address);
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
            door: None,
            crowd: None,
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

    #[tokio::test(flavor = "multi_thread")]
    async fn in_a_crowd_strangers_get_less_and_those_who_are_known_keep_their_place() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Runtime::new();
        let acts = crate::acts::testing::acts(folder.path(), &runtime).await;
        let crowd = Crowd::default();
        let places = Arc::new(Places {
            all_max: 40,
            per_address_max: 8,
            door: Some(acts.store.door.clone()),
            crowd: Some(crowd.clone()),
            taken: Mutex::default(),
        });
        let take = |places: &Arc<Places>, address: &str, count: usize| -> Vec<Place> {
            let address = address.parse().unwrap();
            (0..count)
                .map_while(|_| Place::take(places, address))
                .collect()
        };
        let mut taken = Vec::new();
        for last in 1..=3 {
            let here = take(&places, &format!("192.0.2.{last}"), 10);
            assert_eq!(here.len(), 8, "nobody else is here");
            taken.extend(here);
        }
        taken.extend(take(&places, "192.0.2.4", 6));
        assert!(!crowd.is_crowded());
        let some = take(&places, "192.0.2.5", 8);
        assert_eq!(some.len(), 2, "a quarter of 8, in a crowd");
        assert!(crowd.is_crowded());
        taken.extend(some);
        taken.extend(take(&places, "192.0.2.6", 8));
        taken.extend(take(&places, "192.0.2.7", 8));
        assert_eq!(
            take(&places, "192.0.2.8", 8).len(),
            0,
            "the last places are kept"
        );
        // 10.0.0.0/8 is exempt by default.
        let favoured = take(&places, "10.1.2.3", 8);
        assert_eq!(favoured.len(), 4);
        drop((taken, favoured));
        assert!(!crowd.is_crowded());
    }

    #[test]
    fn a_session_counts_for_whom_it_turns_out_to_be() {
        let places = Arc::new(Places {
            all_max: 4,
            per_address_max: 1,
            door: None,
            crowd: None,
            taken: Mutex::default(),
        });
        let client: IpAddr = "192.0.2.1".parse().unwrap();
        let other: IpAddr = "192.0.2.2".parse().unwrap();
        let first = Place::take_unknown(&places).unwrap();
        assert!(first.move_to(client) && first.move_to(client));
        let second = Place::take_unknown(&places).unwrap();
        assert!(!second.move_to(client), "it has its one session");
        assert!(second.move_to(other));
        // XCLIENT within a session: the former client's place is free again.
        assert!(!second.move_to(client) && first.move_to("192.0.2.3".parse().unwrap()));
        assert!(second.move_to(client));
        drop((first, second));
        let taken = places.lock();
        assert_eq!((taken.all, taken.addresses.len()), (0, 0));
    }

    const LIMITS: &str =
        "[trust]\nproxies = [\"127.0.0.1\"]\n[limits]\nconnections_per_address = 1\n";

    /// A hall whose sessions say who they are with, and end when their client does.
    fn hall(settings: &str) -> (Runtime, std::net::SocketAddr, runtime::Task<()>) {
        let settings = Settings::parse(settings).unwrap();
        let runtime = Runtime::new();
        let hall = Hall::new("test", "full\r\n", &settings, &runtime, None);
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr();
        let serving = hall.receive(listener, false, |mut conn: Conn, _place| async move {
            let said = format!("{} {}\r\n", conn.peer_addr(), conn.local_addr());
            let _ = conn.write_all(said.as_bytes()).await;
            let mut input = bytes::BytesMut::new();
            while conn.read(&mut input).await.unwrap_or(0) > 0 {
                let _ = conn.write_all(&input.split()).await;
            }
        });
        let task = runtime.spawn("hall", serving);
        (runtime, address, task)
    }

    /// A connection that says this first, and what it hears in one line.
    async fn connect(address: std::net::SocketAddr, first: &[u8]) -> (Conn, String) {
        let mut conn = runtime::net::connect(address, None, std::time::Duration::from_secs(5))
            .await
            .unwrap();
        conn.write_all(first).await.unwrap();
        let mut heard = bytes::BytesMut::new();
        while !heard.ends_with(b"\n") && conn.read(&mut heard).await.unwrap_or(0) > 0 {}
        (conn, String::from_utf8_lossy(&heard).into_owned())
    }

    const FAR: &[u8] = b"PROXY TCP4 192.0.2.7 203.0.113.1 40000 25\r\n";

    #[tokio::test]
    async fn a_listed_proxys_client_is_who_it_says_and_is_counted_as_such() {
        let (_runtime, address, _hall) = hall(LIMITS);
        let (mut first, who) = connect(address, FAR).await;
        assert_eq!(who, "192.0.2.7:40000 203.0.113.1:25\r\n");
        // What came behind the header in the same piece is the session's.
        let both = [FAR, b"\x16"].concat();
        assert_eq!(connect(address, &both).await.1, "full\r\n", "one for each");
        let other = b"PROXY TCP4 192.0.2.8 203.0.113.1 40000 25\r\nhello\n";
        let (_second, who) = connect(address, other).await;
        assert!(
            who.starts_with("192.0.2.8:40000 203.0.113.1:25\r\n"),
            "{who}"
        );
        // A health check is the proxy's own.
        let (_third, who) = connect(address, b"PROXY UNKNOWN\r\n").await;
        assert!(who.starts_with("127.0.0.1:"), "{who}");
        // Nothing is served without a header.
        assert_eq!(connect(address, b"EHLO somebody\r\n").await.1, "");
        // The first one is not disturbed by all that.
        first.write_all(b"still here\n").await.unwrap();
        let mut heard = bytes::BytesMut::new();
        first.read(&mut heard).await.unwrap();
        assert_eq!(&heard[..], b"still here\n");
    }

    #[tokio::test]
    async fn a_header_from_anywhere_else_is_the_sessions_input() {
        let (_runtime, address, _hall) = hall("");
        let (_conn, who) = connect(address, FAR).await;
        assert!(who.starts_with("127.0.0.1:"), "{who}");
    }
}
