//! On-demand mail relay: RFC 2645.

use super::transport::{Heard, NoNames, talk};
use super::*;
use crate::{Dispatcher, NotTurned, SmtpTransport, TurnedSites, Turning};
use bytes::BytesMut;
use runtime::net::Conn;
use runtime::tls::ClientTls;

/// The dispatcher with the real transport, and what turns connections round.
fn running(world: &World) -> (Turning, runtime::Task<Result<(), queue::QueueError>>) {
    let ports = deliver::Ports {
        transcripts: deliver::Transcripts::default(),
        runtime: world.runtime.clone(),
        dns: Arc::new(NoNames),
        opportunistic: ClientTls::opportunistic().expect("TLS"),
        verified: None,
        gate: None,
        kept: None,
        sts: None,
        tls_reports: None,
        options: Arc::new(deliver::Options::new("mail.here.test")),
    };
    let sites = TurnedSites::default();
    let routes = Arc::clone(&world.routes) as Arc<dyn Routes>;
    let transport = SmtpTransport::new(ports.clone(), None, routes).with_turned(sites.clone());
    let mut all = world.ports();
    all.transport = Arc::new(transport);
    let dispatcher = Dispatcher::new(all, world.options());
    let shutdown = world.runtime.shutdown();
    let running = async move { dispatcher.run(shutdown).await };
    let task = world.runtime.spawn("dispatcher", running);
    (Turning::new(ports, world.queue.clone(), sites), task)
}

fn names(all: &[&str]) -> Vec<Domain> {
    all.iter()
        .map(|name| Domain::parse(name).expect("a domain"))
        .collect()
}

fn pair() -> (Conn, Conn) {
    let address = |text: &str| text.parse().expect("an address");
    Conn::pair_between(address("198.51.100.7:40000"), address("203.0.113.1:366"))
}

#[tokio::test]
async fn a_site_fetches_its_own_mail_and_nobody_elses_through_its_connection() {
    let world = World::new();
    for domain in ["a.test", "b.test", "c.test"] {
        world
            .routes
            .relays
            .lock()
            .insert(domain.to_owned(), 28 * 86_400_000);
    }
    let held = world.put_with("ann@here.test", &["held@a.test"], |new| {
        new.start = Start::Held { reason: "x".into() };
    });
    let held = held.await;
    world
        .put("ann@here.test", &["bob@a.test", "eve@c.test"])
        .await;
    world
        .put("ann@here.test", &["ida@b.test", "jan@a.test"])
        .await;
    let (turning, dispatcher) = running(&world);
    let domains = names(&["a.test", "b.test"]);
    let fetch = turning.begin(&domains).await.expect("there is mail");
    assert!(matches!(
        turning.begin(&domains[..1]).await,
        Err(NotTurned::Busy)
    ));
    let (theirs, ours) = pair();
    let heard = Heard::default();
    heard.lock().push(Vec::new());
    let log = Arc::clone(&heard);
    let site = world
        .runtime
        .spawn("site", async move { talk(theirs, &log).await });
    fetch
        .run(ours, BytesMut::new(), "site@here.test (ATRN)")
        .await;
    site.join().await.expect("it ends with QUIT");
    let lines = heard.lock()[0].clone();
    let mut to: Vec<&String> = lines
        .iter()
        .filter(|line| line.starts_with("RCPT"))
        .collect();
    to.sort();
    assert_eq!(
        to,
        [
            "RCPT TO:<bob@a.test>",
            "RCPT TO:<ida@b.test>",
            "RCPT TO:<jan@a.test>"
        ]
    );
    assert_eq!(lines.last().map(String::as_str), Some("QUIT"));
    assert_eq!(lines[0], "EHLO mail.here.test");
    // Nothing is left for them but what is held.
    assert!(matches!(
        turning.begin(&domains).await,
        Err(NotTurned::NoMail)
    ));
    assert_eq!(world.states(held).await, ["held"]);
    let page = world
        .queue
        .list(&queue::Filter::default(), None, 10)
        .await
        .expect("read");
    assert_eq!(page.messages.len(), 2, "that, and what is for c.test");
    world.runtime.shutdown().drain();
    dispatcher.join().await.expect("ended").expect("well");
}

#[tokio::test]
async fn what_a_broken_connection_has_not_taken_waits() {
    let world = World::new();
    world
        .routes
        .relays
        .lock()
        .insert("a.test".to_owned(), 28 * 86_400_000);
    let id = world.put("ann@here.test", &["bob@a.test"]).await;
    let (turning, dispatcher) = running(&world);
    let domains = names(&["a.test"]);
    let fetch = turning.begin(&domains).await.expect("there is mail");
    let (mut theirs, ours) = pair();
    let site = world.runtime.spawn("site", async move {
        let mut input = BytesMut::new();
        let _ = theirs.write_all(b"220 a.test\r\n").await;
        let _ = theirs.read(&mut input).await;
        let _ = theirs.write_all(b"250 a.test\r\n").await;
        // MAIL comes, and it is gone.
        let _ = theirs.read(&mut input).await;
    });
    fetch
        .run(ours, BytesMut::new(), "site@here.test (ATRN)")
        .await;
    site.join().await.expect("gone");
    world.runtime.shutdown().drain();
    dispatcher.join().await.expect("ended").expect("well");
    let state = world.states(id).await;
    assert_eq!(state, ["deferred"]);
    assert!(world.mail().is_empty(), "nobody is told");
}
