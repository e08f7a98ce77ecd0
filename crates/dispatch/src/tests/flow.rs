//! Delivered, deferred, refused, waiting.

use super::*;
use queue::{Act, Filter};

#[tokio::test]
async fn what_is_delivered_leaves_the_queue() {
    let world = World::new();
    world
        .put("ann@here.test", &["bob@there.test", "eve@there.test"])
        .await;
    world.dispatcher().work().await;
    let both = vec!["bob@there.test".to_owned(), "eve@there.test".to_owned()];
    assert_eq!(world.script.take_seen(), [("there.test".to_owned(), both)]);
    assert_eq!(world.queue_keys(), 0);
    assert!(world.mail().is_empty());
}

#[tokio::test]
async fn a_4xx_is_tried_again_on_schedule_and_each_wait_is_longer() {
    let world = World::new();
    world
        .script
        .says("bob@there.test", &[later(), later(), yes()]);
    let id = world.put("ann@here.test", &["bob@there.test"]).await;
    let mut dispatcher = world.dispatcher();
    dispatcher.work().await;
    assert_eq!(world.states(id).await, ["deferred"]);
    let shown = world.show(id).await;
    let reason = shown.progress.recipients[0].reason.as_deref();
    assert_eq!(reason, Some("mx.there.test: 451 4.2.0 come back"));
    world.runtime.advance(minutes(3));
    dispatcher.work().await;
    assert_eq!(world.script.take_seen().len(), 1, "not before its time");
    world.runtime.advance(minutes(2));
    dispatcher.work().await;
    assert_eq!(world.script.take_seen().len(), 1);
    assert_eq!(world.show(id).await.progress.history.len(), 2);
    world.runtime.advance(minutes(7));
    dispatcher.work().await;
    assert!(world.script.take_seen().is_empty(), "twice the first wait");
    world.runtime.advance(minutes(3));
    dispatcher.work().await;
    assert_eq!(world.queue_keys(), 0);
    assert!(world.mail().is_empty(), "no report of a delay of minutes");
}

#[tokio::test]
async fn who_asks_for_a_longer_wait_gets_it_within_the_lifetime() {
    let world = World::new();
    *world.script.retry_after.lock() = Some(minutes(120));
    world.script.says("bob@there.test", &[later(), later()]);
    let id = world.put("ann@here.test", &["bob@there.test"]).await;
    let mut dispatcher = world.dispatcher();
    dispatcher.work().await;
    world.runtime.advance(minutes(119));
    dispatcher.work().await;
    assert_eq!(
        world.script.take_seen().len(),
        1,
        "not before it is asked for"
    );
    world.runtime.advance(minutes(2));
    // Longer than the mail lives.
    *world.script.retry_after.lock() = Some(minutes(60 * 24 * 7));
    dispatcher.work().await;
    assert_eq!(world.script.take_seen().len(), 1);
    assert_eq!(world.states(id).await, ["deferred"]);
    world.runtime.advance(minutes(60 * 24 * 5));
    dispatcher.work().await;
    assert_eq!(
        world.script.take_seen().len(),
        1,
        "a last attempt at the end"
    );
    assert_eq!(world.mail().len(), 1, "and the report");
}

#[tokio::test]
async fn each_recipient_has_its_own_outcome() {
    let world = World::new();
    world.script.says("later@there.test", &[later(), yes()]);
    world.script.says("never@there.test", &[never()]);
    let to = [
        "yes@there.test",
        "later@there.test",
        "never@there.test",
        "yes@else.test",
    ];
    let id = world.put("ann@here.test", &to).await;
    let mut dispatcher = world.dispatcher();
    dispatcher.work().await;
    assert_eq!(
        world.states(id).await,
        ["done", "deferred", "failed", "done"]
    );
    let mail = world.mail();
    assert_eq!(mail.len(), 1);
    assert!(mail[0].1.contains("never@there.test") && !mail[0].1.contains("later@there.test"));
    assert_eq!(
        world.script.take_seen().len(),
        2,
        "one transaction for each domain"
    );
    world.runtime.advance(minutes(5));
    dispatcher.work().await;
    let again = world.script.take_seen();
    assert_eq!(
        again,
        [("there.test".to_owned(), vec!["later@there.test".to_owned()])]
    );
    assert_eq!(world.queue_keys(), 0);
}

#[tokio::test]
async fn a_local_recipient_goes_into_its_mailbox_in_one_commit() {
    let world = World::new();
    *world.mailboxes.refuses.lock() = Some(Outcome::temporary((4, 2, 2), "the mailbox is full"));
    let id = world
        .put("x@there.test", &["bob@here.test", "eve@here.test"])
        .await;
    let mut dispatcher = world.dispatcher();
    dispatcher.work().await;
    assert_eq!(world.states(id).await, ["deferred", "deferred"]);
    *world.mailboxes.refuses.lock() = None;
    world.runtime.advance(minutes(5));
    dispatcher.work().await;
    let mail = world.mail();
    assert_eq!(
        mail.iter().map(|(to, _)| &to[..]).collect::<Vec<_>>(),
        ["bob@here.test", "eve@here.test"]
    );
    assert!(
        mail[0]
            .1
            .starts_with("Received: by here\r\nSubject: secret plans\r\n")
    );
    assert_eq!(world.queue_keys(), 0);
    assert!(world.script.take_seen().is_empty());
}

#[tokio::test]
async fn in_demo_mail_for_elsewhere_waits_and_a_smart_host_gets_it() {
    let mut world = World::new();
    world.outbound = Outbound::Demo;
    let id = world
        .put("ann@here.test", &["bob@there.test", "ann@here.test"])
        .await;
    let mut dispatcher = world.dispatcher();
    for _ in 0..50 {
        dispatcher.work().await;
        world.runtime.advance(minutes(240));
    }
    assert_eq!(
        world.states(id).await,
        ["deferred", "done"],
        "after a week still"
    );
    assert_eq!(
        world.show(id).await.progress.recipients[0]
            .reason
            .as_deref(),
        Some("demo")
    );
    assert!(world.script.take_seen().is_empty());
    world.outbound = Outbound::SmartHost;
    let mut dispatcher = world.dispatcher();
    world.queue.act(id, Act::Retry).await.expect("done");
    dispatcher.work().await;
    assert_eq!(world.script.take_seen()[0].0, "smart host");
    assert_eq!(world.queue_keys(), 0);
}

#[tokio::test]
async fn with_outbound_on_hold_a_person_releases() {
    let mut world = World::new();
    world.outbound = Outbound::Hold;
    let id = world.put("ann@here.test", &["bob@there.test"]).await;
    world.dispatcher().work().await;
    assert_eq!(world.states(id).await, ["held"]);
    world.outbound = Outbound::Direct;
    world.queue.act(id, Act::Release).await.expect("done");
    world.dispatcher().work().await;
    assert_eq!(world.queue_keys(), 0);
}

#[tokio::test]
async fn the_smart_host_gets_all_domains_of_a_message_at_once() {
    let mut world = World::new();
    world.outbound = Outbound::SmartHost;
    world
        .put(
            "ann@here.test",
            &["a@one.test", "b@two.test", "c@three.test"],
        )
        .await;
    world.dispatcher().work().await;
    let seen = world.script.take_seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].1.len(), 3);
}

#[tokio::test]
async fn everything_for_a_domain_is_tried_when_asked() {
    let world = World::new();
    world.script.says("bob@there.test", &[later(), yes()]);
    world.script.says("eve@else.test", &[later(), yes()]);
    world.put("ann@here.test", &["bob@there.test"]).await;
    world.put("ann@here.test", &["eve@else.test"]).await;
    let mut dispatcher = world.dispatcher();
    dispatcher.work().await;
    world.script.take_seen();
    let domain = Some(Domain::parse("there.test").expect("a domain"));
    let filter = Filter {
        domain,
        ..Filter::default()
    };
    world
        .queue
        .act_on_all(&filter, Act::Retry)
        .await
        .expect("done");
    dispatcher.work().await;
    assert_eq!(
        world.script.take_seen(),
        [("there.test".to_owned(), vec!["bob@there.test".to_owned()])]
    );
}
