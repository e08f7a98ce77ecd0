//! Very many messages of one sender, or for one site, and the mail of others.
//!
//! Time is counted in rounds: each attempt takes one, and as many begin in it as
//! may run at once. With a second for each attempt two rounds are two seconds.

use super::*;
use crate::limits::{RUNNING_PER_SITE_MAX, SWEEP_BURST};
use queue::Filter;

/// `POSTHOUSE_MESSAGES` makes it a million (`make soak`).
fn campaign() -> u64 {
    let given = std::env::var("POSTHOUSE_MESSAGES").ok();
    given.and_then(|n| n.parse().ok()).unwrap_or(5000)
}

/// Rounds until a message for this recipient is attempted.
async fn rounds_until(world: &World, dispatcher: &mut Loop, to: &str) -> usize {
    for round in 1..100 {
        dispatcher.round().await;
        let seen = world.script.take_seen();
        if seen.iter().any(|(_, all)| all.iter().any(|one| one == to)) {
            return round;
        }
    }
    panic!("{to} was not attempted");
}

#[tokio::test]
async fn a_campaign_to_one_site_does_not_delay_a_personal_message_by_two_seconds() {
    let world = World::new();
    let list = "list@far.test";
    let subscriber = |n| format!("u{n}@there.test");
    world.put_many(list, campaign(), subscriber).await;
    let mut dispatcher = world.dispatcher();
    for _ in 0..20 {
        dispatcher.round().await;
    }
    let seen = world.script.take_seen();
    assert_eq!(
        seen.len(),
        20 * RUNNING_PER_SITE_MAX,
        "the campaign goes on"
    );
    world.put("ann@here.test", &["bob@there.test"]).await;
    let rounds = rounds_until(&world, &mut dispatcher, "bob@there.test").await;
    assert!(rounds <= 2, "{rounds}");
}

#[tokio::test]
async fn a_campaign_to_many_sites_does_not_delay_a_personal_message_by_two_seconds() {
    let world = World::new();
    let subscriber = |n| format!("u{n}@x{}.test", n % 2500);
    world
        .put_many("list@far.test", campaign(), subscriber)
        .await;
    let mut dispatcher = world.dispatcher();
    for _ in 0..3 {
        dispatcher.round().await;
    }
    assert!(world.script.take_seen().len() > 200, "the campaign goes on");
    for to in ["bob@there.test", "bob@x7.test"] {
        world.put("ann@here.test", &[to]).await;
        let rounds = rounds_until(&world, &mut dispatcher, to).await;
        assert!(rounds <= 2, "{to}: {rounds}");
    }
}

/// What waits for a site that is down is neither read nor written again and again.
#[tokio::test]
async fn threat_12_very_many_for_a_dead_site_cost_nothing_while_it_is_closed() {
    let world = World::new();
    let count = campaign();
    world
        .put_many("list@far.test", count, |_| "bob@dead.test".into())
        .await;
    world.script.says("bob@dead.test", &[unreachable()]);
    let mut dispatcher = world.dispatcher();
    dispatcher.work().await;
    let attempts = world.script.take_seen().len();
    assert!(attempts <= RUNNING_PER_SITE_MAX, "{attempts}");
    let commits = world.engine.stats().commits;
    for n in 0..50 {
        let to = format!("u{n}@there.test");
        world.put("ann@here.test", &[&to]).await;
        dispatcher.work().await;
    }
    assert_eq!(world.script.take_seen().len(), 50);
    // One comes in, its attempt, its outcome; and what little is put off.
    let commits = world.engine.stats().commits - commits;
    let most = 50 * 3 + 2 * SWEEP_BURST as u64;
    assert!(commits <= most, "{commits}");
    // Hours later: one attempt for each time that it opens.
    for _ in 0..24 {
        world.runtime.advance(minutes(10));
        dispatcher.work().await;
    }
    let attempts = world.script.take_seen().len();
    assert!((4..=24).contains(&attempts), "{attempts}");
    assert_eq!(world.queue.count(), count);
}

/// It was away for two days, and what was put off is there for hours yet.
#[tokio::test]
async fn what_was_put_off_follows_when_its_site_is_back_and_there_is_no_rush() {
    let world = World::new();
    let count = 300;
    let to = |n| format!("u{n}@dead.test");
    for n in 0..count {
        world.script.says(&to(n), &[unreachable()]);
    }
    world.put_many("list@far.test", count, to).await;
    let mut dispatcher = world.dispatcher();
    for _ in 0..48 {
        dispatcher.work().await;
        world.runtime.advance(minutes(60));
    }
    let attempts = world.script.take_seen().len();
    assert!(attempts < 100, "{attempts}");
    for n in 0..count {
        world.script.says(&to(n), &[yes()]);
    }
    world.put("ann@here.test", &["bob@else.test"]).await;
    let mut all = 0;
    for round in 0..60 {
        dispatcher.round().await;
        let seen = world.script.take_seen();
        let there = seen.iter().filter(|(site, _)| site == "dead.test").count();
        assert!(there <= RUNNING_PER_SITE_MAX, "round {round}: {there}");
        all += there;
    }
    assert_eq!(all as u64, count, "each once");
    assert_eq!(world.queue_keys(), 0);
    let page = world.queue.list(&Filter::default(), None, 10).await;
    assert!(page.expect("read").messages.is_empty());
}

/// Our own line was cut: everything was unreachable at once, and is there again at once.
#[tokio::test]
async fn after_an_outage_of_our_own_sites_are_tried_one_after_the_other() {
    let world = World::new();
    let sites = 240;
    let to = |n| format!("u@x{n}.test");
    for n in 0..sites {
        world.script.says(&to(n), &[unreachable()]);
    }
    world.put_many("list@far.test", sites, to).await;
    let mut dispatcher = world.dispatcher();
    for _ in 0..12 * 20 {
        dispatcher.work().await;
        world.runtime.advance(minutes(3));
    }
    world.script.take_seen();
    for n in 0..sites {
        world.script.says(&to(n), &[yes()]);
    }
    let mut minute_by_minute = Vec::new();
    // Each has one message, whose own waits are hours by now.
    for _ in 0..5 * 60 {
        dispatcher.work().await;
        minute_by_minute.push(world.script.take_seen().len());
        world.runtime.advance(minutes(1));
    }
    let all: usize = minute_by_minute.iter().sum();
    assert_eq!(all as u64, sites, "{minute_by_minute:?}");
    assert_eq!(world.queue_keys(), 0);
    let most = minute_by_minute.iter().max();
    assert!(
        most.is_some_and(|most| *most <= sites as usize / 10),
        "{minute_by_minute:?}"
    );
}
