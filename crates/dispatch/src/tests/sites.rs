//! Many messages, few places; sites that are slow or down.

use super::*;
use queue::{Act, Filter};

#[tokio::test]
async fn threat_12_a_dead_site_costs_a_few_attempts_and_others_none() {
    let world = World::new();
    world.script.says("bob@dead.test", &[unreachable()]);
    for _ in 0..200 {
        world.put("ann@here.test", &["bob@dead.test"]).await;
    }
    world.put("ann@here.test", &["bob@there.test"]).await;
    let mut dispatcher = world.dispatcher();
    dispatcher.work().await;
    let seen = world.script.take_seen();
    let dead = seen.iter().filter(|(site, _)| site == "dead.test").count();
    assert!((1..=10).contains(&dead), "{dead}");
    assert_eq!(seen.len(), dead + 1);
    let page = world
        .queue
        .list(&Filter::default(), None, 300)
        .await
        .expect("read");
    assert_eq!(page.messages.len(), 200);
    let tried = |listed: &&Listed| listed.progress.recipients[0].attempts > 0;
    assert_eq!(page.messages.iter().filter(tried).count(), dead);
    // When it is back, one goes first and all others follow within minutes.
    world.script.says("bob@dead.test", &[yes()]);
    for _ in 0..10 {
        world.runtime.advance(minutes(1));
        dispatcher.work().await;
    }
    assert_eq!(world.queue_keys(), 0);
    assert_eq!(world.script.take_seen().len(), 200);
}

#[tokio::test]
async fn retrying_forgets_that_a_site_was_down() {
    let world = World::new();
    world.script.says("bob@dead.test", &[unreachable()]);
    let id = world.put("ann@here.test", &["bob@dead.test"]).await;
    let mut dispatcher = world.dispatcher();
    dispatcher.work().await;
    world.script.says("bob@dead.test", &[yes()]);
    world.queue.act(id, Act::Retry).await.expect("done");
    dispatcher.work().await;
    assert_eq!(world.script.take_seen().len(), 2);
    assert_eq!(world.queue_keys(), 0);
}

#[tokio::test]
async fn no_site_takes_more_than_its_places() {
    let world = World::new();
    let gate = Arc::new(Gate::new());
    *world.script.gate.lock() = Some(Arc::clone(&gate));
    for n in 0..30 {
        world
            .put("ann@here.test", &[&format!("u{n}@there.test")])
            .await;
    }
    world.put("ann@here.test", &["bob@else.test"]).await;
    let mut dispatcher = world.dispatcher();
    dispatcher.turn().await.expect("read");
    for _ in 0..11 {
        world.script.begun.notified().await;
        if world.script.seen.lock().len() == 11 {
            break;
        }
    }
    let seen = world.script.take_seen();
    let there = seen.iter().filter(|(site, _)| site == "there.test").count();
    assert_eq!((there, seen.len()), (10, 11));
    *world.script.gate.lock() = None;
    gate.notify_waiters();
    dispatcher.work().await;
    assert_eq!(world.script.take_seen().len(), 20);
    assert_eq!(world.queue_keys(), 0);
}

/// More than a site's list holds, all of one millisecond, among others.
#[tokio::test]
async fn threat_12_a_long_line_for_one_site_is_read_to_its_end() {
    let world = World::new();
    for n in 0..700 {
        let to = if n % 7 == 0 {
            "bob@else.test"
        } else {
            "bob@there.test"
        };
        world.put("ann@here.test", &[to]).await;
    }
    world.dispatcher().work().await;
    assert_eq!(world.script.take_seen().len(), 700);
    assert_eq!(world.queue_keys(), 0);
}
