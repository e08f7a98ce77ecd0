//! Holds, deadlines, priorities, REQUIRETLS in reports.

use super::*;
use envelope::{ByMode, DeliverBy, Priority, Ret, TlsWish};

fn by(world: &World, ms: u64, mode: ByMode) -> Option<DeliverBy> {
    Some(DeliverBy {
        by_ms: world.runtime.now().unix_ms + ms,
        mode,
        trace: false,
    })
}

/// A message with a deadline, to a server that says "later".
async fn put_to_be_by(world: &World, ms: u64, mode: ByMode) -> QueueId {
    world.script.says("bob@there.test", &[later()]);
    let deadline = by(world, ms, mode);
    world
        .put_with("ann@here.test", &["bob@there.test"], |new| {
            new.envelope.deliver_by = deadline;
        })
        .await
}

const HOUR_MS: u64 = 3_600_000;

#[tokio::test]
async fn rfc_2852_what_is_late_comes_back_at_its_deadline_and_not_a_step_later() {
    let world = World::new();
    let id = put_to_be_by(&world, 8 * 60_000, ByMode::Return).await;
    let mut dispatcher = world.dispatcher();
    dispatcher.work().await;
    world.runtime.advance(minutes(5));
    dispatcher.work().await;
    assert_eq!(world.script.take_seen().len(), 2);
    // The schedule would wait ten minutes more.
    assert_eq!(world.states(id).await, ["deferred"]);
    world.runtime.advance(minutes(3));
    dispatcher.work().await;
    assert!(
        world.script.take_seen().is_empty(),
        "nothing goes out behind it"
    );
    let mail = world.mail();
    assert!(mail[0].1.contains("Status: 5.4.7"), "{}", mail[0].1);
    assert_eq!(world.queue_keys(), 0);
}

#[tokio::test]
async fn rfc_2852_with_n_the_sender_is_told_once_and_it_goes_on() {
    let world = World::new();
    let id = put_to_be_by(&world, 4 * 60_000, ByMode::Notify).await;
    let mut dispatcher = world.dispatcher();
    dispatcher.work().await;
    world.runtime.advance(minutes(4));
    dispatcher.work().await;
    dispatcher.work().await;
    let mail = world.mail();
    assert_eq!(mail.len(), 1);
    assert!(mail[0].1.contains("Action: delayed"), "{}", mail[0].1);
    world.runtime.advance(minutes(60));
    dispatcher.work().await;
    assert!(world.mail().is_empty());
    assert_eq!(world.states(id).await, ["deferred"]);
}

#[tokio::test]
async fn rfc_4865_a_hold_does_not_use_up_the_lifetime() {
    let world = World::new();
    world.script.says("bob@there.test", &[later()]);
    let until = world.runtime.now().unix_ms + 10 * 24 * HOUR_MS;
    let id = world
        .put_with("ann@here.test", &["bob@there.test"], |new| {
            new.envelope.hold_until_ms = Some(until);
            new.start = Start::Later {
                wait_ms: 10 * 24 * HOUR_MS,
                reason: "held".into(),
            };
        })
        .await;
    let mut dispatcher = world.dispatcher();
    dispatcher.work().await;
    assert!(world.script.take_seen().is_empty());
    // The process may end in between: what is held is in the store.
    let world = world.restarted();
    world.queue.recover().await.expect("recovered");
    world.script.says("bob@there.test", &[later()]);
    world.runtime.advance(minutes(10 * 24 * 60));
    let mut dispatcher = world.dispatcher();
    dispatcher.work().await;
    assert_eq!(world.script.take_seen().len(), 1);
    assert_eq!(world.states(id).await, ["deferred"], "not given up");
    assert!(world.mail().is_empty(), "and not late either");
}

#[tokio::test]
async fn rfc_6710_a_higher_priority_goes_first_where_many_wait() {
    let world = World::new();
    for (to, priority) in [("low", -9), ("usual", 0), ("high", 4), ("urgent", 9)] {
        world
            .put_with("ann@here.test", &[&format!("{to}@there.test")], |new| {
                new.envelope.priority = Priority::new(priority);
            })
            .await;
    }
    let mut options = world.options();
    options.running_max = 1;
    let core = Core {
        ports: world.ports(),
        options,
    };
    let mut dispatcher = Loop::new(Arc::new(core));
    dispatcher.work().await;
    let order = |seen: Vec<(String, Vec<String>)>| -> Vec<String> {
        seen.into_iter().map(|(_, to)| to[0].clone()).collect()
    };
    let want = ["urgent@there.test", "high@there.test", "usual@there.test"];
    assert_eq!(order(world.script.take_seen()), want);
    // Those of the moment are through.
    world.runtime.advance(Duration::from_secs(9));
    dispatcher.work().await;
    assert_eq!(order(world.script.take_seen()), ["low@there.test"]);
}

#[tokio::test]
async fn rfc_8689_a_report_of_a_secret_message_is_secret_and_has_no_body() {
    let mut world = World::new();
    world.outbound = Outbound::Direct;
    world.script.says("bob@there.test", &[never()]);
    world
        .put_with("ann@far.test", &["bob@there.test"], |new| {
            new.envelope.tls = TlsWish::Required;
            new.envelope.ret = Some(Ret::Full);
        })
        .await;
    world.script.says("ann@far.test", &[later()]);
    let mut dispatcher = world.dispatcher();
    dispatcher.work().await;
    world.settle().await;
    let page = world.queue.list(&Default::default(), None, 10).await;
    let report = &page.expect("read").messages[0];
    assert_eq!(report.message.envelope.tls, TlsWish::Required);
    let text = world.queue.read(report.shard, &report.message, 0..u64::MAX);
    let text = String::from_utf8_lossy(&text.await.expect("read")).into_owned();
    assert!(
        text.contains("text/rfc822-headers") && !text.contains("message/rfc822\r\n"),
        "{text}"
    );
}
