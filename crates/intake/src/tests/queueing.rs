//! Into the queue, and out of it into mailboxes.

use super::*;
use crate::{Alongside, Queued};
use engine::{Batch, CommitNo};
use queue::QueueError;
use std::future::Future;
use std::pin::Pin;

/// Stands for the queue's change: one key of the message's shard.
struct Change {
    world: SharedEngine,
    key: Vec<u8>,
    submitted: Option<CommitNo>,
}

impl Change {
    fn new(world: &World, queued: &Listed) -> Self {
        let mut key = engine::keys::intake(queued.shard);
        key.extend_from_slice(b"test");
        Self {
            world: Arc::clone(&world.engine),
            key,
            submitted: None,
        }
    }
}

impl Alongside for Change {
    fn stage(&mut self, batch: &mut Batch) -> Result<(), QueueError> {
        batch.put(self.key.clone(), &b"done"[..]);
        Ok(())
    }

    fn submitted(&mut self, commit: CommitNo) {
        self.submitted = Some(commit);
    }

    fn commit(&mut self) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        Box::pin(async {
            let mut batch = Batch::new();
            if self.stage(&mut batch).is_err() {
                return false;
            }
            let Ok(ticket) = self.world.submit(batch) else {
                return false;
            };
            self.submitted = Some(ticket.done().await);
            true
        })
    }
}

pub(super) async fn deliver(world: &World, listed: &Listed) -> (Result<(), envelope::Reply>, bool) {
    deliver_place(world, listed, 0).await
}

pub(super) async fn deliver_place(
    world: &World,
    listed: &Listed,
    place: usize,
) -> (Result<(), envelope::Reply>, bool) {
    let mut change = Change::new(world, listed);
    let queued = Queued {
        id: listed.id,
        shard: listed.shard,
        message: &listed.message,
        recipient: &listed.message.envelope.recipients[place],
    };
    let delivered = world.intake.deliver_queued(queued, &mut change).await;
    (delivered, change.submitted.is_some())
}

#[tokio::test]
async fn a_user_sends_away_and_the_message_is_made_fit() {
    let world = World::new(3).await;
    let message = "From: bob@demo.test\r\nBcc: secret@far.test\r\nSubject: hi\r\n\r\nbody\r\n";
    let to = [
        "dave@far.test",
        "erin@else.test",
        "DAVE@far.test",
        "dave@far.test",
    ];
    let outcome = world.send(user(), "bob@demo.test", &to, message).await;
    assert!(outcome.is_accepted());
    let queued = world.queued().await;
    assert_eq!(queued.len(), 1);
    assert_eq!(
        recipients(&queued[0]),
        ["dave@far.test", "erin@else.test", "DAVE@far.test"]
    );
    assert_eq!(queued[0].message.origin.account, Some(AccountId(2)));
    let read = world
        .queue
        .read(queued[0].shard, &queued[0].message, 0..u64::MAX)
        .await;
    let text = String::from_utf8(read.expect("readable").to_vec()).expect("text");
    assert!(
        text.starts_with("Received: from authenticated-client\r\n\tby mx.demo.test "),
        "{text}"
    );
    assert!(
        !text.contains("secret") && !text.contains("203.0.113.9"),
        "{text}"
    );
    assert!(text.contains("\r\nDate: Thu, 01 Jan 2026 "), "{text}");
    assert!(text.contains(&format!(
        "\r\nMessage-ID: <{}@mx.demo.test>\r\n\r\nbody\r\n",
        outcome.id
    )));
}

#[tokio::test]
async fn with_a_full_queue_mail_for_elsewhere_is_taken_later() {
    let world = World::new(1).await;
    let send = async |to: &str, n: u64| {
        let message = format!("From: bob@demo.test\r\nSubject: {n}\r\n\r\nbody\r\n");
        world.send(user(), "bob@demo.test", &[to], &message).await
    };
    for n in 0..QUEUED_MAX {
        assert!(send("dave@far.test", n).await.is_accepted());
    }
    let transaction = world.transaction(user(), "bob@demo.test", &["dave@far.test"]);
    let refused = world.intake.begin(transaction.await).expect_err("full");
    assert_eq!(
        refused.to_line(),
        "452 4.3.1 too much mail waits to be sent already, please try again later"
    );
    assert!(
        send("alice@demo.test", 0).await.is_accepted(),
        "it stays here"
    );
    let left = world.queued().await[0].id;
    let acted = world.queue.act(left, queue::Act::Remove).await;
    acted.expect("removed");
    assert!(send("dave@far.test", 0).await.is_accepted());
}

#[tokio::test]
async fn an_alias_that_leads_elsewhere_forwards_with_its_mark() {
    let world = World::new(1).await;
    let fwd = address("fwd@demo.test");
    let targets = [address("dave@far.test"), address("bob@demo.test")];
    world
        .directory
        .alias_add(&fwd, &targets)
        .await
        .expect("added");
    let outcome = world
        .send(stranger(), "x@far.test", &["fwd@demo.test"], MESSAGE)
        .await;
    assert!(outcome.is_accepted());
    assert_eq!(world.inbox(2).await.len(), 1);
    let queued = world.queued().await;
    assert_eq!(recipients(&queued[0]), ["dave@far.test"]);
    let orcpt = queued[0].message.envelope.recipients[0]
        .orcpt
        .as_ref()
        .expect("kept");
    assert_eq!(orcpt.to_string(), "rfc822;fwd@demo.test");
    assert!(
        queued[0]
            .message
            .prefix
            .starts_with(b"Delivered-To: fwd@demo.test\r\nReceived: ")
    );
    // Coming back it is a loop.
    let back = format!("Delivered-To: fwd@demo.test\r\n{MESSAGE}");
    let outcome = world
        .send(stranger(), "x@far.test", &["fwd@demo.test"], &back)
        .await;
    assert!(outcome.reply.to_line().starts_with("554 5.4.6 "));
}

#[tokio::test]
async fn a_report_goes_through_the_queue_into_the_mailbox() {
    for shards in [1, 3] {
        let world = World::new(shards).await;
        let id = world
            .intake
            .submit_generated(report("bob@demo.test"))
            .await
            .expect("taken");
        let listed = world.queue.show(id).await.expect("queued");
        let (delivered, submitted) = deliver(&world, &listed).await;
        assert_eq!((delivered, submitted), (Ok(()), true));
        let inbox = world.inbox(2).await;
        assert!(
            inbox[0].starts_with("Return-Path: <>\r\nDelivered-To: bob@demo.test\r\nReceived: by ")
        );
        assert!(inbox[0].ends_with("Subject: report\r\n\r\nno\r\n"));
    }
}

#[tokio::test]
async fn what_cannot_be_delivered_commits_nothing() {
    for shards in [1, 3] {
        let world = World::new(shards).await;
        let generated = report("nobody@demo.test");
        let id = world
            .intake
            .submit_generated(generated)
            .await
            .expect("taken");
        let listed = world.queue.show(id).await.expect("queued");
        let (delivered, submitted) = deliver(&world, &listed).await;
        assert_eq!(delivered.expect_err("refused").code, 550);
        assert!(!submitted);
        let mut generated = report("small@demo.test");
        generated.message = format!("X: y\r\n\r\n{}", "x".repeat(2_000)).into();
        let id = world
            .intake
            .submit_generated(generated)
            .await
            .expect("taken");
        let listed = world.queue.show(id).await.expect("queued");
        let (delivered, submitted) = deliver(&world, &listed).await;
        assert_eq!(delivered.expect_err("refused").code, 452);
        assert!(!submitted);
        assert_eq!(world.queued().await.len(), 2, "nothing was queued anew");
    }
}

#[tokio::test]
async fn several_targets_from_the_queue_are_each_delivered_once() {
    let world = World::new(3).await;
    let team = address("team@demo.test");
    let members = [
        "alice@demo.test",
        "bob@demo.test",
        "carol@other.test",
        "dave@far.test",
    ];
    let members: Vec<_> = members.iter().map(|text| address(text)).collect();
    world
        .directory
        .alias_add(&team, &members)
        .await
        .expect("added");
    let id = world
        .intake
        .submit_generated(report("team@demo.test"))
        .await
        .expect("taken");
    let listed = world.queue.show(id).await.expect("queued");
    let (delivered, submitted) = deliver(&world, &listed).await;
    assert_eq!((delivered, submitted), (Ok(()), true));
    for account in 1..=3 {
        assert_eq!(world.inbox(account).await.len(), 1, "{account}");
    }
    let queued = world.queued().await;
    assert!(
        queued
            .iter()
            .any(|listed| recipients(listed) == ["dave@far.test"])
    );
}

#[tokio::test]
async fn more_accounts_than_one_commit_takes_get_theirs_from_the_queue() {
    let world = World::new(1).await;
    let mut to = Vec::new();
    for n in 0..110 {
        let name = format!("u{n}@demo.test");
        let store = world.mailstore.clone();
        let stage = move |batch: &mut Batch, id| {
            let made = store.create_account(batch, id, QuotaLimits::default());
            made.map_err(|error| error.to_string())
        };
        let new = NewAccount::new(address(&name), None);
        world
            .directory
            .account_add(new, &stage)
            .await
            .expect("added");
        to.push(name);
    }
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let outcome = world.send(stranger(), "x@far.test", &to, MESSAGE).await;
    assert!(outcome.is_accepted());
    assert_eq!(world.inbox(5).await.len(), 1);
    assert!(world.inbox(114).await.is_empty());
    let queued = world.queued().await;
    assert_eq!(recipients(&queued[0]).len(), 10);
}

/// A hop without SMTPUTF8 must be able to take it.
#[tokio::test]
async fn what_we_add_to_a_relayed_message_is_ascii() {
    let world = World::new(1).await;
    let domain = Domain::parse("b\u{fc}cher.test").expect("valid");
    let added = world.directory.domain_add(&domain, None).await;
    added.expect("added");
    let fwd = address("fwd@b\u{fc}cher.test");
    let there = address("dave@\u{e9}.example");
    let added = world
        .directory
        .alias_add(&fwd, std::slice::from_ref(&there))
        .await;
    added.expect("added");
    for (facts, from, to) in [
        (user(), "bob@demo.test", "dave@\u{e9}.example"),
        (stranger(), "x@\u{e9}.example", "fwd@b\u{fc}cher.test"),
    ] {
        assert!(world.send(facts, from, &[to], MESSAGE).await.is_accepted());
    }
    let queued = world.queued().await;
    assert_eq!(queued.len(), 2);
    for listed in &queued {
        let prefix = &listed.message.prefix;
        assert!(prefix.is_ascii(), "{:?}", String::from_utf8_lossy(prefix));
        let recipient = &listed.message.envelope.recipients[0];
        assert_eq!(recipient.address, there);
        let orcpt = recipient.orcpt.as_ref().map(ToString::to_string);
        assert!(orcpt.is_none_or(|orcpt| orcpt == "rfc822;fwd@xn--bcher-kva.test"));
    }
    // It is found again all the same.
    let back = format!("Delivered-To: fwd@xn--bcher-kva.test\r\n{MESSAGE}");
    let outcome = world
        .send(stranger(), "x@far.test", &["fwd@b\u{fc}cher.test"], &back)
        .await;
    assert!(outcome.reply.to_line().starts_with("554 5.4.6 "));
}

async fn set_aside(world: &World, listed: &Listed, reason: &str) -> Result<(), envelope::Reply> {
    let mut change = Change::new(world, listed);
    let queued = Queued {
        id: listed.id,
        shard: listed.shard,
        message: &listed.message,
        recipient: &listed.message.envelope.recipients[0],
    };
    let done = world.intake.set_aside(queued, reason, &mut change).await;
    assert_eq!(change.submitted.is_some(), done.is_ok());
    done
}

#[tokio::test]
async fn what_was_refused_beside_others_goes_into_junk_with_the_reason() {
    for shards in [1, 3] {
        let world = World::new(shards).await;
        // Bob had it before: for him it is a loop, for carol it is not.
        let looping = format!("Delivered-To: bob@demo.test\r\n{MESSAGE}");
        let to = ["bob@demo.test", "carol@other.test"];
        let outcome = world.send(stranger(), "x@far.test", &to, &looping).await;
        assert_eq!(outcome.reply.code, 250);
        assert_eq!(world.inbox(3).await.len(), 1);
        let listed = world.queued().await.remove(0);
        let (refused, _) = deliver(&world, &listed).await;
        let refused = refused.expect_err("a loop");
        assert_eq!(refused.code, 554);
        let reason = format!("{}\r\nEvil: x", refused.to_line());
        set_aside(&world, &listed, &reason).await.expect("in Junk");
        assert!(world.inbox(2).await.is_empty());
        let junk = world.mailbox(2, mailbox_model::Role::Junk).await;
        assert_eq!(junk.len(), 1);
        assert!(
            junk[0].contains("\r\nX-Posthouse-Refused: 554 5.4.6 mail loop"),
            "{}",
            junk[0]
        );
        assert!(!junk[0].contains("\r\nEvil") && junk[0].ends_with(&looping));
    }
}

#[tokio::test]
async fn junk_takes_what_is_over_the_quota_and_nothing_for_elsewhere() {
    let world = World::new(1).await;
    let mut long = MESSAGE.to_owned();
    long.push_str(&"x".repeat(3_000));
    let to = ["small@demo.test", "carol@other.test"];
    let outcome = world.send(stranger(), "x@far.test", &to, &long).await;
    assert_eq!(outcome.reply.code, 250);
    let listed = world.queued().await.remove(0);
    assert!(deliver(&world, &listed).await.0.is_err(), "full");
    set_aside(&world, &listed, "452 4.2.2 full")
        .await
        .expect("in Junk");
    assert_eq!(world.mailbox(4, mailbox_model::Role::Junk).await.len(), 1);
    let fwd = address("fwd@demo.test");
    let added = world
        .directory
        .alias_add(&fwd, &[address("d@far.test")])
        .await;
    added.expect("added");
    let mut elsewhere = listed.clone();
    elsewhere.message.envelope.recipients[0].address = fwd;
    let refused = set_aside(&world, &elsewhere, "x").await;
    assert_eq!(refused.expect_err("no Junk here").code, 550);
}
