//! Backup MX: mail for a primary that is away.

use super::*;
use queue::{Act, Filter};

const DAY_MS: u64 = 86_400_000;

fn backup_of(world: &World, domain: &str, days: u64) {
    let mut relays = world.routes.relays.lock();
    relays.insert(domain.to_owned(), days * DAY_MS);
}

/// Lets time pass in steps and the dispatcher work after each.
async fn pass(world: &World, dispatcher: &mut Loop, days: u64) {
    for _ in 0..days * 4 {
        world.runtime.advance(Duration::from_secs(6 * 3600));
        dispatcher.work().await;
    }
}

#[tokio::test]
async fn mail_waits_for_an_absent_primary_as_long_as_its_own_lifetime_says() {
    let world = World::new();
    backup_of(&world, "primary.test", 28);
    for to in ["bob@primary.test", "bob@dead.test"] {
        world.script.says(to, &[unreachable()]);
    }
    let to = ["bob@primary.test", "bob@dead.test"];
    let id = world.put("ann@here.test", &to).await;
    let report = world.put("", &["bob@primary.test"]).await;
    let mut dispatcher = world.dispatcher();
    dispatcher.work().await;
    pass(&world, &mut dispatcher, 6).await;
    assert_eq!(world.states(id).await, ["deferred", "failed"]);
    assert_eq!(world.states(report).await, ["deferred"], "a report too");
    let bounces = world.mail();
    let failed = bounces
        .iter()
        .filter(|(_, text)| text.contains("Action: failed"));
    let failed: Vec<_> = failed.collect();
    assert_eq!(failed.len(), 1);
    assert!(failed[0].1.contains("bob@dead.test") && !failed[0].1.contains("bob@primary.test"));
    pass(&world, &mut dispatcher, 21).await;
    assert_eq!(world.states(id).await[0], "deferred", "the 27th day");
    world.script.says("bob@primary.test", &[yes()]);
    pass(&world, &mut dispatcher, 1).await;
    assert_eq!(world.queue_keys(), 0, "it came back");
    assert!(world.mail().is_empty(), "nobody is told of more");
}

#[tokio::test]
async fn it_is_given_up_at_the_end_of_its_lifetime() {
    let world = World::new();
    backup_of(&world, "primary.test", 8);
    world.script.says("bob@primary.test", &[unreachable()]);
    world.put("ann@here.test", &["bob@primary.test"]).await;
    let mut dispatcher = world.dispatcher();
    pass(&world, &mut dispatcher, 7).await;
    assert_ne!(world.queue_keys(), 0);
    pass(&world, &mut dispatcher, 2).await;
    assert_eq!(world.queue_keys(), 0);
    let told = world.mail();
    assert!(told.iter().any(|(_, text)| text.contains("Action: failed")));
}

#[tokio::test]
async fn the_primarys_own_refusal_is_final() {
    let world = World::new();
    backup_of(&world, "primary.test", 28);
    world.script.says("bob@primary.test", &[never()]);
    world.put("ann@here.test", &["bob@primary.test"]).await;
    world.dispatcher().work().await;
    assert_eq!(world.queue_keys(), 0);
    assert_eq!(world.mail().len(), 1);
}

#[tokio::test]
async fn starting_one_domains_queue_leaves_other_sites_closed() {
    let world = World::new();
    backup_of(&world, "primary.test", 28);
    for to in ["bob@primary.test", "bob@dead.test"] {
        world.script.says(to, &[unreachable()]);
        world.put("ann@here.test", &[to]).await;
    }
    let mut dispatcher = world.dispatcher();
    dispatcher.work().await;
    assert_eq!(world.script.take_seen().len(), 2);
    // Both sites are closed: what comes now waits without an attempt.
    for to in ["bob@primary.test", "bob@dead.test"] {
        world.put("ann@here.test", &[to]).await;
    }
    dispatcher.work().await;
    assert!(world.script.take_seen().is_empty());
    let filter = Filter {
        domain: Some(Domain::parse("primary.test").expect("a domain")),
        ..Filter::default()
    };
    world.script.says("bob@primary.test", &[yes()]);
    world.script.says("bob@dead.test", &[yes()]);
    let acted = world.queue.act_on_all(&filter, Act::Retry).await;
    assert_eq!(acted.expect("done").messages, 2);
    world.put("ann@here.test", &["bob@dead.test"]).await;
    dispatcher.work().await;
    let seen = world.script.take_seen();
    assert_eq!(seen.len(), 2);
    assert!(
        seen.iter().all(|(site, _)| site == "primary.test"),
        "{seen:?}"
    );
}

#[tokio::test]
async fn rules_choose_the_way_by_domain_and_by_sender() {
    let world = World::new();
    let partner = || Way::Transports(["partner".to_owned()].into());
    let ways = [
        ("partner.test".to_owned(), partner()),
        ("direct.test".to_owned(), Way::Mx),
    ];
    world.routes.ways.lock().extend(ways);
    let of_ann = [(
        "ann@here.test".to_owned(),
        Way::Transports(["anns".to_owned(), "spare".to_owned()].into()),
    )];
    world.routes.by_sender.lock().extend(of_ann);
    let to = ["x@partner.test", "x@direct.test", "x@there.test"];
    world.put("ann@here.test", &to).await;
    world.put("bob@here.test", &to).await;
    let mut sent = Vec::new();
    world.dispatcher().work().await;
    for (site, to) in world.script.take_seen() {
        sent.push(format!("{site}: {}", to.join(" ")));
    }
    sent.sort();
    let want = [
        "direct.test: x@direct.test",
        "direct.test: x@direct.test",
        "there.test: x@there.test",
        "transport anns, then spare: x@there.test",
        "transport partner: x@partner.test",
        "transport partner: x@partner.test",
    ];
    assert_eq!(sent, want);
    assert_eq!(world.queue_keys(), 0);
}

#[tokio::test]
async fn a_changed_rule_holds_for_what_waits() {
    let world = World::new();
    world.script.says("bob@there.test", &[later(), yes()]);
    world.put("ann@here.test", &["bob@there.test"]).await;
    let mut dispatcher = world.dispatcher();
    dispatcher.work().await;
    let way = Way::Transports(["partner".to_owned()].into());
    world
        .routes
        .ways
        .lock()
        .insert("there.test".to_owned(), way);
    world.runtime.advance(minutes(6));
    dispatcher.work().await;
    let sites: Vec<String> = world
        .script
        .take_seen()
        .into_iter()
        .map(|(site, _)| site)
        .collect();
    assert_eq!(sites, ["there.test", "transport partner"]);
}

#[tokio::test]
async fn when_the_primary_is_back_everything_goes_at_once() {
    let world = World::new();
    backup_of(&world, "primary.test", 28);
    let mut dispatcher = world.dispatcher();
    for name in ["one", "two", "three"] {
        let to = format!("{name}@primary.test");
        world.script.says(&to, &[unreachable()]);
        world.put("ann@here.test", &[&to]).await;
        pass(&world, &mut dispatcher, 1).await;
    }
    for name in ["one", "two", "three"] {
        world.script.says(&format!("{name}@primary.test"), &[yes()]);
    }
    world.script.take_seen();
    for _ in 0..300 {
        world.runtime.advance(minutes(1));
        dispatcher.work().await;
        let seen = world.script.take_seen();
        if !seen.is_empty() {
            assert_eq!(seen.len(), 3, "when one is taken the others follow");
            assert_eq!(world.queue_keys(), 0);
            return;
        }
    }
    panic!("nothing was tried");
}
