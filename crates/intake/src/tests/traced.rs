//! What was accepted is found again, and costs no commit of its own.

use super::*;
use crate::traced::{self, Accepted};
use queue_model::QueueId;
use std::time::Duration;

impl World {
    async fn trace(&self, query: &str) -> Vec<Accepted> {
        let engine = Arc::clone(&self.engine);
        let found = traced::find(engine, &self.runtime, query, 100).await;
        found.expect("readable")
    }

    fn commits(&self) -> u64 {
        self.engine.stats().commits
    }
}

fn went(accepted: &Accepted) -> Vec<(&str, &str, bool)> {
    let went = accepted.went.iter();
    went.map(|went| {
        (
            went.recipient.as_str(),
            went.to.as_str(),
            went.queue.is_some(),
        )
    })
    .collect()
}

#[tokio::test]
async fn what_is_accepted_is_traced_within_the_one_commit_of_the_message() {
    let world = World::new(1).await;
    let mut facts = user();
    facts.session_id = "0123456789abcdef".into();
    facts.tls = Some("TLS1.3 X".into());
    let to = ["bob@demo.test", "alice@demo.test", "dave@far.test"];
    // What the first message of an account writes besides is behind us.
    world
        .send(stranger(), "x@far.test", &to[..2], MESSAGE)
        .await;
    let before = world.commits();
    let outcome = world.send(facts, "bob@demo.test", &to, MESSAGE).await;
    assert_eq!(
        outcome.reply.to_line(),
        format!("250 2.0.0 Ok, {}", outcome.id)
    );
    assert_eq!(world.commits() - before, 1, "mailboxes, queue and trace");

    let found = world.trace(&outcome.id).await;
    let [one] = found.as_slice() else {
        panic!("one: {found:?}");
    };
    assert_eq!(QueueId(one.id).to_string(), outcome.id);
    assert_eq!(
        (one.door.as_str(), one.client.as_str()),
        ("submission", "203.0.113.9")
    );
    assert_eq!(
        (one.user.as_str(), one.sender.as_str()),
        ("bob@demo.test", "bob@demo.test")
    );
    assert_eq!(
        (one.tls.as_str(), one.size),
        ("TLS1.3 X", MESSAGE.len() as u64)
    );
    let want = [
        ("bob@demo.test", "mailbox of bob@demo.test", false),
        ("alice@demo.test", "mailbox of alice@demo.test", false),
        ("dave@far.test", "queue", true),
    ];
    assert_eq!(went(one), want);
    // By its name in the queue, the session, an address: the same.
    let queued = world.queued().await[0].id.to_string();
    for query in [queued.as_str(), "0123456789ABCDEF", "Dave@far.test"] {
        assert_eq!(world.trace(query).await, found, "{query}");
    }
    assert_eq!(world.trace("bob@").await.len(), 2, "the newest first");
    assert_eq!(world.trace("nobody@demo.test").await, []);
    // What is refused is not traced here.
    world.runtime.advance(Duration::from_secs(60));
    let long = format!("{MESSAGE}{}", "x".repeat(2_000));
    let refused = world.send(stranger(), "x@far.test", &["small@demo.test"], &long);
    assert!(!refused.await.is_accepted());
    assert_eq!(world.trace("small@demo.test").await, []);
    // It goes in time.
    let engine = || Arc::clone(&world.engine);
    let expire = async |seconds| {
        let keep = Duration::from_secs(seconds);
        let gone = traced::expire(engine(), &world.runtime, keep).await;
        gone.expect("works")
    };
    assert_eq!(expire(3600).await, 0);
    assert_eq!(expire(30).await, 2);
    assert_eq!(world.trace("bob@").await, []);
}

#[tokio::test]
async fn a_message_for_several_shards_is_one_trace() {
    let world = World::new(3).await;
    let to = ["alice@demo.test", "bob@demo.test", "carol@other.test"];
    let outcome = world.send(stranger(), "x@far.test", &to, MESSAGE).await;
    let found = world.trace(&outcome.id).await;
    let mut went = went(&found[0]);
    went.sort_unstable();
    let want = [
        ("alice@demo.test", "mailbox of alice@demo.test", false),
        ("bob@demo.test", "mailbox of bob@demo.test", false),
        ("carol@other.test", "mailbox of carol@other.test", false),
    ];
    assert_eq!(went, want);
    assert_eq!(world.trace("x@far.test").await.len(), 1);
}
