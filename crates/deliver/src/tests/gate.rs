//! Places for connections, with real ones.

use std::sync::atomic::{AtomicUsize, Ordering};

use envelope::Reply;
use queue_model::Party;

use super::*;

/// So many places, for everybody together; whoever is turned away beside others is one too many.
#[derive(Default)]
pub(super) struct Places {
    max: usize,
    taken: Arc<AtomicUsize>,
    heard: Arc<Mutex<Vec<String>>>,
}

struct One {
    taken: Arc<AtomicUsize>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Gate for Places {
    fn enter(&self, party: &Party) -> Option<Place> {
        if self.taken.load(Ordering::Acquire) >= self.max {
            return None;
        }
        self.taken.fetch_add(1, Ordering::AcqRel);
        self.heard.lock().unwrap().push(format!("enter {party}"));
        Some(Place::new(Box::new(One {
            taken: Arc::clone(&self.taken),
            heard: Arc::clone(&self.heard),
        })))
    }

    fn room<'a>(&'a self, _: &'a Party) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    fn messages_per_connection(&self, _: &Party) -> usize {
        2
    }

    fn may_chunk(&self, _: &Party) -> bool {
        let heard = self.heard.lock().unwrap();
        !heard.iter().any(|what| what.starts_with("unknown"))
    }
}

impl Hearing for One {
    fn hear(&mut self, heard: Heard<'_>) -> Blame {
        let said = |reply: &Reply| reply.code.to_string();
        let text = match heard {
            Heard::Ready => "ready".to_owned(),
            Heard::Taken => "taken".to_owned(),
            Heard::TurnedAway(reply) => format!("turned away {}", said(reply)),
            Heard::Closed => "closed".to_owned(),
            Heard::NoAnswer => "no answer".to_owned(),
            Heard::Said(reply) => format!("said {}", said(reply)),
            Heard::Chunks(Chunks::Taken) => "chunks taken".to_owned(),
            Heard::Chunks(Chunks::Deferred) => "chunks deferred".to_owned(),
            Heard::Chunks(Chunks::Lost) => "chunks lost".to_owned(),
            Heard::Chunks(Chunks::Unknown(reply)) => format!("unknown {}", said(reply)),
        };
        self.heard.lock().unwrap().push(text);
        if self.taken.load(Ordering::Acquire) > 1 {
            Blame::Us
        } else {
            Blame::Them
        }
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
        self.heard.lock().unwrap().push("left".to_owned());
    }
}

impl Places {
    pub(super) fn of(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            ..Self::default()
        })
    }

    pub(super) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

pub(super) fn gated(runtime: &Runtime, places: &Arc<Places>) -> Ports {
    let mut ports = ports(runtime, Names::default(), options());
    ports.kept = Some(Kept::new(runtime));
    ports.gate = Some(Arc::clone(places) as Arc<dyn Gate>);
    ports
}

/// By a host that the operator named, so that each has a port of its own.
pub(super) async fn one(ports: &Ports, server: &Server) -> Report {
    let route = Route {
        host: server.address.ip().to_string(),
        port: server.address.port(),
        protocol: Protocol::Smtp,
        tls: TlsPolicy::Opportunistic,
        credentials: None,
    };
    let to = envelope(&["b@x.example"]);
    deliver_to_hosts(ports, &[route], Patience::Usual, &to, &message()).await
}

/// A connection that takes two messages, and then hears QUIT.
fn two() -> Script {
    let mut script = willing();
    let quit = script.pop().unwrap();
    script.extend(willing().drain(2..6));
    script.push(quit);
    script
}

#[tokio::test]
async fn a_connection_has_its_place_until_it_is_closed() {
    let runtime = Runtime::new();
    let server = Server::start(&runtime, local("127.0.0.1"), vec![two()]);
    let places = Places::of(1);
    let ports = gated(&runtime, &places);
    assert_eq!(codes(&one(&ports, &server).await), [250]);
    assert_eq!(places.taken.load(Ordering::Acquire), 1, "it waits");
    assert_eq!(codes(&one(&ports, &server).await), [250]);
    assert_eq!(
        places.taken.load(Ordering::Acquire),
        0,
        "it has had its two"
    );
    let party = Party::of_host("127.0.0.1", server.address.port());
    let entered = format!("enter {party}");
    assert_eq!(
        places.heard(),
        [&entered, "ready", "taken", "taken", "left"]
    );
}

#[tokio::test]
async fn without_a_place_nothing_is_said_of_the_message() {
    let runtime = Runtime::new();
    let server = Server::start(&runtime, local("127.0.0.1"), vec![]);
    let places = Places::of(0);
    let report = one(&gated(&runtime, &places), &server).await;
    assert!(report.no_room, "{report:?}");
    assert!(matches!(report.outcomes[0], Outcome::Temporary(_)));
}

#[tokio::test]
async fn who_is_turned_away_beside_others_has_no_room_and_alone_is_refused() {
    let runtime = Runtime::new();
    for (others, no_room) in [(0, false), (1, true)] {
        let scripts = vec![vec![("", "421 4.7.0 too many connections\r\n")]];
        let server = Server::start(&runtime, local("127.0.0.1"), scripts);
        let places = Places::of(5);
        places.taken.store(others, Ordering::Release);
        let report = one(&gated(&runtime, &places), &server).await;
        assert_eq!(report.no_room, no_room, "{report:?}");
        assert_eq!(report.outcomes[0].reply().code, 421);
        assert_eq!(places.heard()[1..], ["turned away 421", "left"]);
    }
}

/// What a server says for good is never taken back, whoever else is open there.
#[tokio::test]
async fn a_refusal_for_good_is_no_matter_of_room() {
    let runtime = Runtime::new();
    let scripts = vec![vec![("", "554 5.7.1 go away\r\n")]];
    let server = Server::start(&runtime, local("127.0.0.1"), scripts);
    let places = Places::of(5);
    places.taken.store(1, Ordering::Release);
    let report = one(&gated(&runtime, &places), &server).await;
    assert!(!report.no_room && matches!(report.outcomes[0], Outcome::Permanent(_)));
}

/// One that only waits gives its place to another of the same party.
#[tokio::test]
async fn a_connection_that_waits_gives_its_place_up() {
    let runtime = Runtime::new();
    let scripts = vec![willing(), willing()];
    let server = Server::start(&runtime, local("127.0.0.1"), scripts);
    let places = Places::of(1);
    let ports = gated(&runtime, &places);
    assert_eq!(codes(&one(&ports, &server).await), [250]);
    // With a login it is of no use: another connection, in the place of the first.
    let port = server.address.port();
    let route = Route {
        host: "127.0.0.1".into(),
        port,
        protocol: Protocol::Smtp,
        tls: TlsPolicy::Never,
        credentials: None,
    };
    let to = envelope(&["b@x.example"]);
    let report = deliver_to_hosts(&ports, &[route], Patience::Usual, &to, &message()).await;
    assert_eq!(codes(&report), [250]);
    assert_eq!(
        places
            .heard()
            .iter()
            .filter(|heard| *heard == "left")
            .count(),
        1
    );
    let quits = server.said().iter().filter(|line| *line == "QUIT").count();
    assert_eq!(quits, 1);
}
