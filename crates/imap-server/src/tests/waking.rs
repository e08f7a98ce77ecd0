//! One change wakes those who watch, and nobody else: counted by the polls of sessions.

use super::{Client, World};
use crate::{Config, TlsMode, serve};
use bytes::BytesMut;
use runtime::net::Conn;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

struct Counted {
    serving: Pin<Box<dyn Future<Output = ()> + Send>>,
    polls: Arc<AtomicUsize>,
}

impl Future for Counted {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        self.serving.as_mut().poll(cx)
    }
}

struct Watched {
    client: Client,
    polls: Arc<AtomicUsize>,
}

impl Watched {
    /// How often its session was woken since the last call, once all is quiet.
    async fn woken(&self) -> usize {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        self.polls.swap(0, Ordering::Relaxed)
    }
}

impl World {
    /// A session of bob's in his inbox.
    async fn watched(&self) -> Watched {
        let (client, server) = Conn::pair();
        let mut config = Config::new("imap.demo.test", TlsMode::None);
        config.plaintext_login = true;
        let polls = Arc::new(AtomicUsize::new(0));
        let serving = serve(server, Arc::clone(&self.ports), Arc::new(config));
        let serving = Counted {
            serving: Box::pin(serving),
            polls: Arc::clone(&polls),
        };
        let mut client = Client {
            conn: client,
            input: BytesMut::new(),
            tags: 0,
            serving: self.runtime.spawn("imap", serving),
        };
        client.hear().await;
        client.ok("LOGIN bob@demo.test \"pass word\"").await;
        client.ok("SELECT INBOX").await;
        Watched { client, polls }
    }
}

#[tokio::test]
async fn a_change_wakes_those_alone_who_watch() {
    let world = World::new().await;
    let mut sleeping = Vec::new();
    for _ in 0..20 {
        sleeping.push(world.watched().await);
    }
    let mut idle = world.watched().await;
    idle.client.send("i IDLE\r\n").await;
    assert!(idle.client.hear().await.starts_with("+ "));
    let mut notified = world.watched().await;
    notified
        .client
        .ok("NOTIFY SET (SELECTED (MessageNew MessageExpunge))")
        .await;
    let mut other = world.bob().await;
    for watched in sleeping.iter().chain([&idle, &notified]) {
        watched.woken().await;
    }
    for n in 1..=3 {
        other.append("INBOX", "", "Subject: x\r\n\r\n").await;
        for watched in [&mut idle, &mut notified] {
            let told = watched.client.hear().await;
            assert_eq!(told, format!("* {n} EXISTS"));
            assert_eq!(watched.client.hear().await, "* 0 RECENT");
            assert!(watched.woken().await > 0);
        }
        for watched in &sleeping {
            assert_eq!(watched.woken().await, 0);
        }
    }
    // They learn of it when they ask.
    for watched in &mut sleeping {
        let told = watched.client.ok("NOOP").await;
        assert_eq!(told, ["* 3 EXISTS", "* 0 RECENT"]);
    }
}
