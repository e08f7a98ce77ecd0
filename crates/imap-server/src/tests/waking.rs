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
        self.watched_in("INBOX").await
    }

    /// A session of bob's in a mailbox.
    async fn watched_in(&self, mailbox: &str) -> Watched {
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
        client.ok(&format!("SELECT {mailbox}")).await;
        Watched { client, polls }
    }
}

impl Watched {
    async fn idle(mut self) -> Self {
        self.client.send("i IDLE\r\n").await;
        assert!(self.client.hear().await.starts_with("+ "));
        self.woken().await;
        self
    }
}

#[tokio::test]
async fn a_change_wakes_nobody_who_watches_another_mailbox_of_the_account() {
    let world = World::new().await;
    let mut other = world.bob().await;
    let mut elsewhere = Vec::new();
    for n in 0..20 {
        other.ok(&format!("CREATE m{n}")).await;
        // By IDLE, and by NOTIFY of the selected mailbox and of mailboxes that are named.
        let mut watched = world.watched_in(&format!("m{n}")).await;
        match n % 4 {
            0 | 1 => watched = watched.idle().await,
            2 => drop(
                watched
                    .client
                    .ok("NOTIFY SET (SELECTED (MessageNew MessageExpunge))")
                    .await,
            ),
            _ => {
                let set = format!(
                    "NOTIFY SET (MAILBOXES (m{n} m0) (MessageNew MessageExpunge MailboxName))"
                );
                watched.client.ok(&set).await;
            }
        }
        elsewhere.push(watched);
    }
    let mut here = world.watched().await.idle().await;
    for watched in elsewhere.iter().chain([&here]) {
        watched.woken().await;
    }
    other.ok("SELECT INBOX").await;
    for n in 1..=3 {
        other.append("INBOX", "", "Subject: x\r\n\r\n").await;
        assert_eq!(here.client.hear().await, format!("* {n} EXISTS"));
        assert_eq!(here.client.hear().await, "* 0 RECENT");
        other
            .ok(&format!("STORE {n} +FLAGS (\\Deleted $key{n})"))
            .await;
        let fetch = format!("* {n} FETCH ");
        while !here.client.hear().await.starts_with(&fetch) {}
        assert!(here.woken().await > 0);
    }
    other.ok("SETMETADATA \"\" (/private/comment \"x\")").await;
    other.ok("SETMETADATA INBOX (/private/comment \"x\")").await;
    other.ok("SETACL INBOX anyone lr").await;
    other.ok("EXPUNGE").await;
    for watched in &elsewhere {
        assert_eq!(watched.woken().await, 0);
    }
    // And where they are, they are told.
    for (n, watched) in elsewhere.iter_mut().enumerate() {
        other
            .append(&format!("m{n}"), "", "Subject: x\r\n\r\n")
            .await;
        let told = watched.client.hear().await;
        assert!(
            told == "* 1 EXISTS" || told.starts_with("* STATUS "),
            "{told}"
        );
        assert!(watched.woken().await > 0);
    }
}

#[tokio::test]
async fn who_watches_by_name_is_told_of_a_mailbox_that_gets_the_name() {
    let world = World::new().await;
    let mut other = world.bob().await;
    other.ok("CREATE first").await;
    let mut watched = world.watched().await;
    let set = "NOTIFY SET (MAILBOXES (named) (MessageNew MessageExpunge MailboxName))";
    watched.client.ok(set).await;
    other.ok("RENAME first named").await;
    let told = watched.client.hear().await;
    assert!(
        told.starts_with("* LIST ") && told.contains("named"),
        "{told}"
    );
    other.append("named", "", "Subject: x\r\n\r\n").await;
    assert!(
        watched
            .client
            .hear()
            .await
            .starts_with("* STATUS \"named\" ")
    );
    other.ok("DELETE named").await;
    let told = watched.client.hear().await;
    assert!(
        told.contains("\\NonExistent") && told.contains("named"),
        "{told}"
    );
    other.ok("CREATE named").await;
    assert!(watched.client.hear().await.starts_with("* LIST "));
    other.append("named", "", "Subject: x\r\n\r\n").await;
    assert!(
        watched
            .client
            .hear()
            .await
            .starts_with("* STATUS \"named\" ")
    );
}

#[tokio::test]
async fn who_idles_is_told_of_the_end_of_the_mailbox() {
    let world = World::new().await;
    let mut other = world.bob().await;
    other.ok("CREATE gone").await;
    let mut watched = world.watched_in("gone").await.idle().await;
    other.ok("RENAME gone away").await;
    other.append("away", "", "Subject: x\r\n\r\n").await;
    assert_eq!(watched.client.hear().await, "* 1 EXISTS");
    other.ok("DELETE away").await;
    while !watched.client.hear().await.starts_with("* BYE ") {}
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
