//! Outcomes are kept for who wants to hear of them, with the commit that records them.

use std::sync::Arc;

use super::*;
use crate::limits::{TOLD_BYTES_MAX, TOLD_WAITING_MAX};
use crate::{Became, Subscriber, Told};

fn subscriber(name: &str, wants: impl Fn(Became) -> bool + Send + Sync + 'static) -> Subscriber {
    Subscriber {
        name: name.to_owned(),
        wants: Arc::new(move |became, _, _| wants(became)),
    }
}

async fn subscribe(world: &World, names: &[&str]) {
    let all = names.iter().map(|name| subscriber(name, |_| true));
    world.queue.subscribe(all.collect()).await.expect("works");
}

/// An attempt with these results.
async fn settle(world: &World, results: Vec<Settlement>) {
    let due = world.due().await;
    let leased = world.queue.lease(&due[0], |_, _| true).await;
    let lease = leased.expect("read").expect("free");
    let now_ms = world.runtime.now().unix_ms;
    let change = lease.change(results, Some(attempt(now_ms))).await;
    change.expect("a change").commit().await.expect("done");
}

async fn told(world: &World, name: &str) -> Vec<Told> {
    world
        .queue
        .told_to(name, 1000)
        .await
        .expect("readable")
        .told
}

fn names(told: &[Told]) -> Vec<(&str, &str)> {
    told.iter()
        .map(|one| (one.recipient.as_str(), one.became.as_str()))
        .collect()
}

fn waiting(world: &World) -> Vec<(String, u64, u64)> {
    let all = world.queue.subscribed().into_iter();
    all.map(|one| (one.name, one.waiting, one.dropped))
        .collect()
}

#[tokio::test]
async fn what_became_of_recipients_waits_in_order_until_it_was_heard() {
    let world = World::new();
    world.put(&["early@there.test"]).await;
    let done = || vec![settled(0, Event::Deliver)];
    settle(&world, done()).await;
    subscribe(&world, &["app"]).await;
    let id = world
        .put(&["a@there.test", "b@there.test", "c@there.test"])
        .await;
    let until_ms = world.runtime.now().unix_ms + 1;
    let results = vec![
        settled(0, Event::Deliver),
        settled(1, Event::GiveUp),
        settled(2, Event::PutOff { until_ms }),
    ];
    settle(&world, results).await;
    world.runtime.advance(std::time::Duration::from_secs(9));
    settle(&world, vec![settled(2, Event::Deliver)]).await;
    assert_eq!(world.queue.count(), 0, "the message is gone");
    let heard = told(&world, "app").await;
    assert_eq!(
        names(&heard),
        [
            ("a@there.test", "delivered"),
            ("b@there.test", "failed"),
            ("c@there.test", "deferred"),
            ("c@there.test", "delivered"),
        ]
    );
    let last = &heard[3];
    assert_eq!(
        (last.id, last.place, last.attempts, last.until_ms),
        (id, 2, 2, None)
    );
    assert_eq!(
        (last.host.as_str(), last.sender.as_str()),
        ("mx.there.test", "ann@here.test")
    );
    assert_eq!(
        (last.reason.as_str(), heard[2].until_ms),
        ("because 2", Some(until_ms))
    );
    assert!(heard[2].number < last.number);
    assert_eq!(waiting(&world), [("app".to_owned(), 4, 0)]);
    // Also for another process; and no more when it was heard.
    let world = world.restarted();
    subscribe(&world, &["app"]).await;
    assert_eq!(waiting(&world), [("app".to_owned(), 4, 0)]);
    let page = world.queue.told_to("app", 1).await.expect("readable");
    assert_eq!(
        page.told.len(),
        3,
        "what was recorded together is told together"
    );
    world.queue.heard("app", page).await.expect("works");
    assert_eq!(
        names(&told(&world, "app").await),
        [("c@there.test", "delivered")]
    );
    assert_eq!(waiting(&world), [("app".to_owned(), 1, 0)]);
    let found = world.queue.fsck(SHARD).await.expect("read");
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test]
async fn it_costs_no_commit_and_only_what_is_wanted_is_kept() {
    let mut commits = Vec::new();
    for subscribers in [0, 1, 2] {
        let world = World::new();
        let all = ["one", "two"].into_iter().take(subscribers);
        let failed = |became| became == Became::Failed;
        let all = all.map(|name| subscriber(name, failed)).collect();
        world.queue.subscribe(all).await.expect("works");
        world.put(&["a@there.test", "b@there.test"]).await;
        let before = world.engine.stats().commits;
        let results = vec![settled(0, Event::Deliver), settled(1, Event::GiveUp)];
        settle(&world, results).await;
        commits.push(world.engine.stats().commits - before);
        if subscribers > 0 {
            assert_eq!(
                names(&told(&world, "one").await),
                [("b@there.test", "failed")]
            );
        }
        assert!(told(&world, "three").await.is_empty());
    }
    assert!(
        commits.iter().all(|count| *count == commits[0]),
        "{commits:?}"
    );
}

#[tokio::test]
async fn what_no_attempt_was_made_for_is_no_news() {
    let world = World::new();
    subscribe(&world, &["app"]).await;
    world.put(&["a@there.test"]).await;
    let mut waits = settled(
        0,
        Event::PutOff {
            until_ms: u64::MAX / 2,
        },
    );
    waits.counts = false;
    settle(&world, vec![waits]).await;
    assert!(told(&world, "app").await.is_empty());
}

#[tokio::test]
async fn each_hears_by_itself_and_what_is_nobodys_goes() {
    let world = World::new();
    subscribe(&world, &["one", "two"]).await;
    world.put(&["a@there.test"]).await;
    settle(&world, vec![settled(0, Event::Deliver)]).await;
    let page = world.queue.told_to("one", 10).await.expect("readable");
    world.queue.heard("one", page).await.expect("works");
    assert!(told(&world, "one").await.is_empty());
    assert_eq!(told(&world, "two").await.len(), 1);
    // Others come, one goes on counting.
    subscribe(&world, &["two", "three"]).await;
    let expected = [("two".to_owned(), 1, 0), ("three".to_owned(), 0, 0)];
    assert_eq!(waiting(&world), expected);
    subscribe(&world, &["three"]).await;
    assert!(told(&world, "two").await.is_empty(), "it is nobody's");
    assert!(world.keys().is_empty());
}

#[tokio::test]
async fn too_much_is_not_kept_and_counted() {
    let world = World::new();
    subscribe(&world, &["app"]).await;
    // More than a record takes.
    let local = "x".repeat(60);
    let count = TOLD_BYTES_MAX / 60;
    let to: Vec<String> = (0..count)
        .map(|at| format!("{local}{at:04}@there.test"))
        .collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    world.put(&to).await;
    let results = (0..count).map(|place| settled(place, Event::Deliver));
    settle(&world, results.collect()).await;
    let kept = told(&world, "app").await.len() as u64;
    assert!(kept > 100 && kept < count as u64, "{kept}");
    assert_eq!(
        waiting(&world),
        [("app".to_owned(), kept, count as u64 - kept)]
    );
    // More than waits for anybody.
    world
        .queue
        .inner
        .told
        .fill_for_tests("app", TOLD_WAITING_MAX);
    world.put(&["a@there.test"]).await;
    settle(&world, vec![settled(0, Event::Deliver)]).await;
    let (_, waits, dropped) = waiting(&world).remove(0);
    assert_eq!(
        (waits, dropped),
        (TOLD_WAITING_MAX, count as u64 - kept + 1)
    );
}

#[tokio::test]
async fn a_commit_that_is_nearly_full_carries_the_outcome_alone() {
    let world = World::new();
    subscribe(&world, &["app"]).await;
    world.put(&["a@there.test"]).await;
    let due = world.due().await;
    let leased = world.queue.lease(&due[0], |_, _| true).await;
    let lease = leased.expect("read").expect("free");
    let change = lease.change(vec![settled(0, Event::Deliver)], None).await;
    let change = change.expect("a change");
    let mut batch = Batch::new();
    let much = vec![0; crate::limits::TOLD_BATCH_BYTES_MAX];
    batch.put(engine::keys::account(SHARD.0.into()), much);
    change.stage(&mut batch);
    let ticket = world.engine.submit(batch).expect("it fits");
    change.submitted(ticket.commit());
    ticket.done().await;
    assert_eq!(world.queue.count(), 0);
    assert!(told(&world, "app").await.is_empty());
    assert_eq!(waiting(&world), [("app".to_owned(), 0, 1)]);
}

#[tokio::test]
async fn a_clock_that_goes_back_changes_no_order() {
    let world = World::new();
    subscribe(&world, &["app"]).await;
    for (place, name) in ["a@there.test", "b@there.test", "c@there.test"]
        .iter()
        .enumerate()
    {
        if place == 2 {
            world.runtime.step_wall_clock(-3_600_000);
        }
        world.put(&[name]).await;
        settle(&world, vec![settled(0, Event::Deliver)]).await;
    }
    let heard = told(&world, "app").await;
    let in_order: Vec<&str> = heard.iter().map(|one| one.recipient.as_str()).collect();
    assert_eq!(in_order, ["a@there.test", "b@there.test", "c@there.test"]);
    // Not even after a restart.
    let world = world.restarted();
    subscribe(&world, &["app"]).await;
    world.put(&["d@there.test"]).await;
    settle(&world, vec![settled(0, Event::Deliver)]).await;
    let heard = told(&world, "app").await;
    assert_eq!(
        heard.last().map(|one| one.recipient.as_str()),
        Some("d@there.test")
    );
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_found_and_passed_over() {
    let world = World::new();
    subscribe(&world, &["app"]).await;
    world.put(&["a@there.test"]).await;
    settle(&world, vec![settled(0, Event::Deliver)]).await;
    let key = world.keys().pop().expect("a record");
    let mut batch = Batch::new();
    batch.put(key, b"\xff".to_vec());
    world.engine.submit(batch).expect("taken").done().await;
    let found = world.queue.fsck(SHARD).await.expect("read");
    assert_eq!(found.len(), 1, "{found:?}");
    let page = world.queue.told_to("app", 10).await.expect("readable");
    assert!(page.told.is_empty() && !page.is_empty());
    world.queue.heard("app", page).await.expect("works");
    assert!(world.keys().is_empty());
}
