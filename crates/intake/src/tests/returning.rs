//! What an address of ours sends on leaves with a sender of ours, and notifications
//! find their way back.

use super::{MESSAGE, World, address, codes, lmtp, recipients, report, stranger, user};
use crate::Outcome;
use bounces::By;
use envelope::Recipient;
use policy::Decision;
use queue::Listed;
use std::time::Duration;

async fn world(shards: u16) -> World {
    let world = World::new(shards).await;
    let fwd = address("fwd@demo.test");
    let there = [address("dave@away.test"), address("bob@demo.test")];
    world
        .directory
        .alias_add(&fwd, &there)
        .await
        .expect("added");
    world
}

fn sender(listed: &Listed) -> String {
    listed.message.envelope.reverse_path.to_string()
}

/// The sender that a forward left with.
async fn forwarded(world: &World, from: &str) -> String {
    let outcome = world
        .send(stranger(), from, &["fwd@demo.test"], MESSAGE)
        .await;
    assert!(outcome.is_accepted());
    let queued = world.queued().await;
    let forward = queued
        .iter()
        .rfind(|listed| recipients(listed) == ["dave@away.test"]);
    sender(forward.expect("sent on"))
}

/// What a rule sends elsewhere, in place of the recipient or beside them, is a forward too.
#[tokio::test]
async fn what_a_rule_sends_on_leaves_with_a_sender_of_ours() {
    let world = world(1).await;
    let send = async |facts, from: &str, rewritten: bool| {
        let to = ["bob@demo.test"];
        let mut transaction = world.transaction(facts, from, &to).await;
        if rewritten {
            transaction.decisions[0] = Decision::Relay(address("bob@away.test"));
        } else {
            let copy = address("archive@away.test");
            let recipient = Recipient::new(copy.clone());
            transaction.envelope.recipients.push(recipient);
            transaction.decisions.push(Decision::Relay(copy));
            transaction.shape.unseen = 1;
        }
        let mut receiving = world.intake.begin(transaction).expect("taken");
        receiving.push(MESSAGE.as_bytes()).await;
        assert!(receiving.finish().await.is_accepted());
        sender(world.queued().await.last().expect("sent on"))
    };
    for rewritten in [true, false] {
        let leaves_as = send(stranger(), "ann@far.test", rewritten).await;
        assert!(leaves_as.starts_with("SRS0="), "{leaves_as}");
        assert!(leaves_as.ends_with("=far.test=ann@demo.test"));
        let own = send(user(), "bob@demo.test", rewritten).await;
        assert_eq!(own, "bob@demo.test");
    }
    // What a user sends elsewhere is not.
    let outcome = world
        .send(user(), "bob@demo.test", &["x@away.test"], MESSAGE)
        .await;
    assert!(outcome.is_accepted());
    assert_eq!(
        sender(world.queued().await.last().expect("sent")),
        "bob@demo.test"
    );
}

async fn notify(world: &World, from: &str, to: &str) -> Outcome {
    let message = "Subject: no\r\n\r\nno\r\n";
    world.send(stranger(), from, &[to], message).await
}

#[tokio::test]
async fn practice_3_a_forward_leaves_with_a_sender_of_the_aliass_domain() {
    for shards in [1, 3] {
        let world = world(shards).await;
        let rewritten = forwarded(&world, "ann@far.test").await;
        assert!(rewritten.starts_with("SRS0="), "{rewritten}");
        assert!(rewritten.ends_with("=far.test=ann@demo.test"));
        // Its copy here names the sender as it was.
        let inbox = world.inbox(2).await;
        assert!(inbox[0].starts_with("Return-Path: <ann@far.test>\r\n"));
    }
}

#[tokio::test]
async fn our_own_and_the_null_sender_stay_and_so_does_what_does_not_fit() {
    let world = world(1).await;
    let outcome = world
        .send(user(), "bob@demo.test", &["fwd@demo.test"], MESSAGE)
        .await;
    assert!(outcome.is_accepted());
    assert_eq!(sender(&world.queued().await[0]), "bob@demo.test");
    // Nothing was rewritten, so there is no key.
    let engine = &world.engine;
    let key = engine
        .snapshot(engine::ShardId(0))
        .get(&bounces::KEYS_PREFIX);
    assert!(key.expect("readable").is_none());
    assert_eq!(forwarded(&world, "").await, "");
    let long = format!("{}@far.test", "a".repeat(60));
    assert_eq!(forwarded(&world, &long).await, long);
    // What we relay for our own users is theirs.
    let outcome = world
        .send(user(), "bob@demo.test", &["x@away.test"], MESSAGE)
        .await;
    assert!(outcome.is_accepted());
    let queued = world.queued().await;
    let relayed = queued.iter().find(|q| recipients(q) == ["x@away.test"]);
    assert_eq!(sender(relayed.expect("queued")), "bob@demo.test");
}

#[tokio::test]
async fn practice_3_a_notification_goes_on_to_the_sender_before() {
    let world = world(1).await;
    let there = forwarded(&world, "ann@far.test").await;
    let outcome = notify(&world, "", &there).await;
    assert_eq!(codes(&outcome), [250]);
    let queued = world.queued().await;
    let back = queued.iter().find(|q| recipients(q) == ["ann@far.test"]);
    let back = back.expect("sent on");
    assert_eq!(sender(back), "");
    let mark = format!("Delivered-To: {there}\r\n");
    assert!(back.message.prefix.starts_with(mark.as_bytes()));
}

#[tokio::test]
async fn a_report_of_our_own_goes_back_through_the_queue() {
    let world = world(1).await;
    let there = forwarded(&world, "ann@far.test").await;
    let id = world
        .intake
        .submit_generated(report(&there))
        .await
        .expect("taken");
    let listed = world.queue.show(id).await.expect("queued");
    let (delivered, submitted) = super::queueing::deliver(&world, &listed).await;
    assert_eq!((delivered, submitted), (Ok(()), true));
    let queued = world.queued().await;
    let back = queued.iter().find(|q| recipients(q) == ["ann@far.test"]);
    assert_eq!(sender(back.expect("sent on")), "");
}

#[tokio::test]
async fn threat_11_only_notifications_to_what_was_sent_go_on() {
    let world = world(1).await;
    let there = forwarded(&world, "ann@far.test").await;
    let line = |outcome: Outcome| outcome.replies[0].to_line();
    let refused = line(notify(&world, "eve@far.test", &there).await);
    assert!(refused.starts_with("550 5.7.1 ") && refused.contains("notifications alone"));
    let forged = there.replace("=ann@", "=eve@");
    let refused = line(notify(&world, "", &forged).await);
    assert!(refused.starts_with("550 5.1.1 ") && refused.contains("never sent"));
    // By no other door either.
    let outcome = world.send(lmtp(), "", &[&forged], MESSAGE).await;
    assert_eq!(codes(&outcome), [550]);
    // Another organisation's addresses are relayed by those who may, as any other.
    let outcome = world
        .send(
            user(),
            "bob@demo.test",
            &["SRS0=a=b=c=d@away.test"],
            MESSAGE,
        )
        .await;
    assert_eq!(codes(&outcome), [250]);
    world.runtime.advance(Duration::from_secs(22 * 86_400));
    let refused = line(notify(&world, "", &there).await);
    assert!(refused.starts_with("550 5.1.1 ") && refused.contains("good for 21 days"));
}

/// Bob's address as it leaves.
async fn tagged(world: &World, sender: &str) -> String {
    let maker = world.returns.maker().await.expect("a key");
    let tagged = maker.tagged(&address(sender)).expect("it fits");
    tagged.to_string()
}

#[tokio::test]
async fn a_tagged_sender_is_what_it_was_before() {
    let world = world(1).await;
    let there = tagged(&world, "bob+list@demo.test").await;
    for from in ["", "postmaster@far.test"] {
        let outcome = notify(&world, from, &there).await;
        assert_eq!(codes(&outcome), [250], "{from}");
    }
    let inbox = world.inbox(2).await;
    assert!(inbox[0].contains("Delivered-To: bob@demo.test\r\n"));
    // In the queue, too.
    let id = world
        .intake
        .submit_generated(report(&there))
        .await
        .expect("taken");
    let listed = world.queue.show(id).await.expect("queued");
    let (delivered, _) = super::queueing::deliver(&world, &listed).await;
    assert_eq!((delivered, world.inbox(2).await.len()), (Ok(()), 3));
    // What is not there, with a tag, is not there.
    let there = tagged(&world, "nobody@demo.test").await;
    let outcome = notify(&world, "", &there).await;
    assert!(outcome.replies[0].to_line().starts_with("550 5.1.1 "));
}

#[tokio::test]
async fn threat_11_forged_and_old_tags_are_refused_and_untagged_where_tags_are_required() {
    let mut world = world(1).await;
    let there = tagged(&world, "bob@demo.test").await;
    let line = |outcome: Outcome| outcome.replies[0].to_line();
    let forged = there.replace("=bob", "=alice");
    let refused = line(notify(&world, "", &forged).await);
    assert!(refused.starts_with("550 5.7.1 ") && refused.contains("not given here"));
    assert_eq!(codes(&notify(&world, "", "bob@demo.test").await), [250]);
    world.policy = world.policy.with_required_tags();
    let refused = line(notify(&world, "", "bob@demo.test").await);
    assert!(refused.starts_with("550 5.7.1 ") && refused.contains("none of it"));
    assert_eq!(codes(&notify(&world, "", &there).await), [250]);
    // Only strangers' notifications, and never for roles.
    let from_ann = notify(&world, "ann@far.test", "bob@demo.test").await;
    assert_eq!(codes(&from_ann), [250]);
    let to_role = notify(&world, "", "postmaster@demo.test").await;
    assert_eq!(codes(&to_role), [250]);
    let by_lmtp = world.send(lmtp(), "", &["bob@demo.test"], MESSAGE).await;
    assert_eq!(codes(&by_lmtp), [250]);
    world.runtime.advance(Duration::from_secs(9 * 86_400));
    let refused = line(notify(&world, "", &there).await);
    assert!(refused.contains("the time of this tag is over"));
}

#[tokio::test]
async fn nothing_is_sent_to_a_suppressed_address_and_its_sender_hears_why() {
    let world = world(1).await;
    let dave = address("dave@away.test");
    let added = world
        .suppressed
        .add(&dave, By::Operator, None, "he is gone");
    added.await.expect("added");
    let to = ["Dave@away.test"];
    let outcome = world.send(user(), "bob@demo.test", &to, MESSAGE).await;
    let refused = outcome.replies[0].to_line();
    assert!(refused.starts_with("550 5.7.1 ") && refused.contains("(he is gone)"));
    assert!(refused.contains("posthouse suppress lift"));
    let lifted = world.suppressed.lift(&dave).await.expect("works");
    assert!(lifted.is_some());
    let outcome = world
        .send(user(), "bob@demo.test", &["dave@away.test"], MESSAGE)
        .await;
    assert_eq!(codes(&outcome), [250]);
}
