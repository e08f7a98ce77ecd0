//! First tries, second ones, and who is never put off.

use std::sync::Arc;
use std::time::Duration;

use engine::{Batch, MemoryEngine, SharedEngine};
use envelope::{Address, ForwardPath, ReversePath};
use runtime::Runtime;

use super::super::conduct::Conduct;
use super::super::testing::{ip, stranger};
use super::super::{Action, Asked, Check, Evidence, Finding, Phase};
use super::*;
use crate::tests::World;

const DELAY: Duration = Duration::from_secs(300);

struct Grey {
    list: Greylist,
    engine: SharedEngine,
    runtime: Runtime,
    conduct: Arc<Conduct>,
    world: World,
}

impl Grey {
    async fn new() -> Self {
        let world = World::new().await;
        let engine: SharedEngine = Arc::new(MemoryEngine::new(3));
        let runtime = world.runtime.clone();
        let conduct = Arc::new(Conduct::new(&runtime));
        let directory = world.directory.clone();
        let list = Greylist::new(engine.clone(), directory, conduct.clone(), DELAY, &runtime);
        Self {
            list,
            engine,
            runtime,
            conduct,
            world,
        }
    }

    /// Until what was written so far is seen: a client waits longer than that.
    async fn settle(&self) {
        let mut batch = Batch::new();
        batch.put(b"Stest".to_vec(), vec![1]);
        let written = self.engine.submit(batch).expect("submitted");
        written.done().await;
    }

    /// As after a restart.
    async fn again(&self) -> Greylist {
        self.settle().await;
        let directory = self.world.directory.clone();
        let conduct = Arc::new(Conduct::new(&self.runtime));
        let engine = self.engine.clone();
        Greylist::new(engine, directory, conduct, DELAY, &self.runtime)
    }
}

/// The answer to a recipient: empty when it is taken.
async fn rcpt(list: &Greylist, client: &str, from: &str, to: &str) -> String {
    with_evidence(list, client, from, to, &Evidence::default()).await
}

async fn with_evidence(
    list: &Greylist,
    client: &str,
    from: &str,
    to: &str,
    evidence: &Evidence,
) -> String {
    let session = stranger(client);
    let address = |text: &str| Address::parse(text).expect("an address");
    let sender = match from {
        "" => ReversePath::Null,
        from => ReversePath::Address(address(from)),
    };
    let recipient = ForwardPath::Address(address(to));
    let asked = Asked {
        session: &session,
        logged_in: false,
        hello: None,
        sender: Some(&sender),
        recipient: Some(&recipient),
        evidence,
    };
    match list.check(asked).await.action {
        Action::Pass => String::new(),
        Action::Refuse(reply) => reply.to_line(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_first_try_waits_and_the_network_is_learned() {
    let grey = Grey::new().await;
    let (from, to) = ("a@far.test", "bob@demo.test");
    let first = rcpt(&grey.list, "203.0.113.9", from, to).await;
    assert!(
        first.starts_with(
            "450 4.7.1 this server does not know 203.0.113.0 yet; please send it again in 5 minutes"
        ),
        "{first}"
    );
    grey.settle().await;
    grey.runtime.advance(DELAY / 2);
    let soon = rcpt(&grey.list, "203.0.113.9", from, to).await;
    assert!(
        soon.contains("again in 3 minutes")
            || soon.contains("150 seconds")
            || soon.contains("2 minutes"),
        "{soon}"
    );
    grey.settle().await;
    grey.runtime.advance(DELAY / 2);
    // From another address of the network, and after a restart.
    let list = grey.again().await;
    assert_eq!(rcpt(&list, "203.0.113.200", from, to).await, "");
    assert_eq!(
        rcpt(&list, "203.0.113.7", "b@x.test", "alice@demo.test").await,
        ""
    );
    let list = grey.again().await;
    assert_eq!(rcpt(&list, "203.0.113.7", "", "alice@demo.test").await, "");
    // Not another network, nor IPv6 beyond the /64.
    assert!(
        rcpt(&list, "203.0.114.9", from, to)
            .await
            .starts_with("450")
    );
    assert!(
        rcpt(&list, "2001:db8::1", from, to)
            .await
            .starts_with("450")
    );
    grey.settle().await;
    grey.runtime.advance(DELAY);
    assert_eq!(rcpt(&list, "2001:db8::2", from, to).await, "");
    assert!(
        rcpt(&list, "2001:db8:0:1::2", from, to)
            .await
            .starts_with("450")
    );
}

#[tokio::test]
async fn a_try_and_what_was_learned_are_forgotten_in_time() {
    let grey = Grey::new().await;
    let (client, from, to) = ("203.0.113.9", "a@far.test", "bob@demo.test");
    rcpt(&grey.list, client, from, to).await;
    rcpt(&grey.list, "192.0.2.77", from, to).await;
    grey.settle().await;
    assert_eq!(grey.list.expire().await.expect("readable"), 0);
    assert_eq!(grey.list.records.load(Ordering::Relaxed), 2);
    grey.settle().await;
    grey.runtime.advance(GREYLIST_WINDOW);
    // Too late: that was another message.
    assert!(rcpt(&grey.list, client, from, to).await.starts_with("450"));
    grey.settle().await;
    assert_eq!(grey.list.expire().await.expect("readable"), 1);
    grey.settle().await;
    grey.runtime.advance(DELAY);
    assert_eq!(rcpt(&grey.list, client, from, to).await, "");
    grey.settle().await;
    grey.runtime.advance(GREYLIST_LEARNED_FOR);
    assert!(
        rcpt(&grey.list, client, "x@y.test", to)
            .await
            .starts_with("450")
    );
    grey.settle().await;
    assert_eq!(grey.list.expire().await.expect("readable"), 1);
}

#[tokio::test]
async fn known_correspondents_good_senders_and_listed_ones_are_not_put_off() {
    let grey = Grey::new().await;
    let (client, from, to) = ("203.0.113.9", "a@far.test", "bob@demo.test");
    let mut evidence = Evidence::default();
    let good = Finding::new("listed", -5, "list.test says 127.0.4.2");
    evidence.add(Phase::Connect, vec![good], Vec::new(), None);
    assert_eq!(
        with_evidence(&grey.list, client, from, to, &evidence).await,
        ""
    );
    // Bob has written to her.
    let bob = grey.world.identity("bob").await.account;
    let mut batch = Batch::new();
    batch.put(known_key(bob, "a@far.test"), vec![1]);
    let written = grey.engine.submit(batch).expect("submitted");
    written.done().await;
    assert_eq!(rcpt(&grey.list, client, "A@Far.test", to).await, "");
    assert!(
        rcpt(&grey.list, client, from, "alice@demo.test")
            .await
            .starts_with("450")
    );
    grey.conduct.make_good(ip(client), &grey.runtime);
    assert_eq!(
        rcpt(&grey.list, client, "z@z.test", "alice@demo.test").await,
        ""
    );
}

#[tokio::test]
async fn without_room_for_another_try_mail_goes_on() {
    let grey = Grey::new().await;
    grey.list
        .records
        .store(GREYLIST_RECORDS_MAX, Ordering::Relaxed);
    assert_eq!(
        rcpt(&grey.list, "203.0.113.9", "a@far.test", "bob@demo.test").await,
        ""
    );
}

#[test]
fn golden_bytes() {
    let at = Timestamp { unix_ms: 0x0102 };
    let key = learned_key(ip("192.0.2.0"));
    assert_eq!(key, b"Sgl\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\0");
    assert_eq!(record(at), b"\x01\0\0\0\0\0\0\x01\x02");
    assert_eq!(check_greylist(&key, &record(at)), None);
    let address = Address::parse("bob@demo.test").expect("an address");
    let tried = try_key(ip("192.0.2.0"), &ReversePath::Null, &address);
    assert_eq!((tried.len(), &tried[..3]), (19, &b"Sgw"[..]));
    assert_eq!(check_greylist(&tried, &record(at)), None);
    assert!(check_greylist(&tried, b"\x02").is_some());
    assert!(check_greylist(&tried[..10], &record(at)).is_some());
}
