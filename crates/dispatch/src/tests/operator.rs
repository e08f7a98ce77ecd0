//! What an operator does meanwhile: pausing, another way, asking how the sites are.

use super::*;
use crate::Dispatcher;
use queue::{Act, Filter};

fn domain(text: &str) -> Domain {
    Domain::parse(text).expect("a domain")
}

#[tokio::test]
async fn nothing_is_attempted_of_what_is_paused_until_it_is_resumed() {
    let world = World::new();
    let there = domain("there.test");
    world.put("ann@here.test", &["bob@there.test"]).await;
    world.queue.pause(Some(&there)).await.expect("written");
    world.put("ann@here.test", &["eve@there.test"]).await;
    world.put("ann@here.test", &["bob@else.test"]).await;
    let mut dispatcher = world.dispatcher();
    dispatcher.work().await;
    let seen = world.script.take_seen();
    assert_eq!((seen.len(), &*seen[0].0), (1, "else.test"));
    // A week is more than the lifetime; still nobody is told anything.
    for _ in 0..7 {
        world.runtime.advance(minutes(24 * 60));
        dispatcher.work().await;
    }
    assert!(world.script.take_seen().is_empty() && world.mail().is_empty());
    world.queue.resume(Some(&there)).await.expect("written");
    dispatcher.work().await;
    assert_eq!(world.script.take_seen().len(), 2);
    assert_eq!(world.queue_keys(), 0);
}

/// More than runs at once is in the lists when it is paused.
#[tokio::test]
async fn a_pause_takes_back_what_is_about_to_be_attempted() {
    let world = World::new();
    let gate = Arc::new(Gate::new());
    *world.script.gate.lock() = Some(Arc::clone(&gate));
    for n in 0..30 {
        let to = format!("u{n}@there.test");
        world.put("ann@here.test", &[&to]).await;
    }
    let mut dispatcher = world.dispatcher();
    dispatcher.turn().await.expect("read");
    while world.script.seen.lock().len() < 10 {
        world.script.begun.notified().await;
    }
    world.queue.pause(None).await.expect("written");
    *world.script.gate.lock() = None;
    dispatcher.turn().await.expect("read");
    gate.notify_waiters();
    dispatcher.work().await;
    assert_eq!(world.script.take_seen().len(), 10, "only those under way");
    world.queue.resume(None).await.expect("written");
    dispatcher.work().await;
    assert_eq!(world.script.take_seen().len(), 20);
    assert_eq!(world.queue_keys(), 0);
}

#[tokio::test]
async fn mail_that_was_given_another_way_goes_it_though_its_site_is_down() {
    let world = World::new();
    for n in 0..3 {
        let to = format!("u{n}@dead.test");
        world.script.says(&to, &[unreachable(), yes()]);
        world.put("ann@here.test", &[&to]).await;
    }
    let mut dispatcher = world.dispatcher();
    dispatcher.work().await;
    let at_first = world.script.take_seen().len();
    assert!(at_first >= 1);
    // What was not attempted before is answered well now, whichever way it goes.
    for n in 0..3 {
        world.script.says(&format!("u{n}@dead.test"), &[yes()]);
    }
    let two = |n: u64| Filter {
        recipient: Some(address(&format!("u{n}@dead.test"))),
        ..Filter::default()
    };
    for (n, way) in [(0, "relay, other"), (1, "smart-host")] {
        let way = Act::Reroute(Some(way.into()));
        let acted = world.queue.act_on_all(&two(n), way).await.expect("done");
        assert_eq!(acted.changed, 1);
        let acted = world.queue.act_on_all(&two(n), Act::Retry).await;
        assert_eq!(acted.expect("done").changed, 1);
    }
    world.runtime.advance(minutes(1));
    dispatcher.work().await;
    let mut seen = world.script.take_seen();
    seen.retain(|(site, _)| site != "dead.test");
    seen.sort();
    let told: Vec<(&str, &str)> = seen.iter().map(|(site, to)| (&**site, &*to[0])).collect();
    assert_eq!(
        told,
        [
            ("smart host", "u1@dead.test"),
            ("transport relay, then other", "u0@dead.test"),
        ]
    );
}

#[tokio::test]
async fn the_dispatcher_tells_how_its_sites_are() {
    let world = World::new();
    world.script.says("bob@dead.test", &[unreachable()]);
    world.put("ann@here.test", &["bob@dead.test"]).await;
    let dispatcher = Dispatcher::new(world.ports(), world.options());
    let watch = dispatcher.watch();
    let shutdown = world.runtime.shutdown();
    let asking = async {
        world.script.begun.notified().await;
        loop {
            let sites = watch.sites().await.expect("it runs");
            if let Some(down) = sites.iter().find(|site| site.closed_until.is_some()) {
                assert_eq!((down.failures, down.running), (1, 0));
                assert_eq!(down.site, Site::Domain(domain("dead.test")));
                break;
            }
            tokio::task::yield_now().await;
        }
        shutdown.drain();
    };
    let (ran, ()) = tokio::join!(dispatcher.run(world.runtime.shutdown()), asking);
    ran.expect("recovered");
    assert_eq!(watch.sites().await, None);
}

/// By a rule or by a person: it is the domain's own site, and not that of the usual mail.
#[tokio::test]
async fn a_way_that_is_no_more_than_addresses_of_ours_leads_to_the_domains_own_servers() {
    let world = World::new();
    let sources: Arc<[IpAddr]> = [[192, 0, 2, 8].into()].into();
    let bulk = ("bulk".to_owned(), sources);
    world.routes.sources.lock().extend([bulk]);
    let way = Way::Transports(["bulk".to_owned()].into());
    let by_rule = ("rule.test".to_owned(), way);
    world.routes.ways.lock().extend([by_rule]);
    world.put("ann@here.test", &["bob@rule.test"]).await;
    world.put("ann@here.test", &["bob@person.test"]).await;
    world.put("ann@here.test", &["bob@usual.test"]).await;
    let filter = Filter {
        domain: Some(domain("person.test")),
        ..Filter::default()
    };
    let reroute = Act::Reroute(Some("bulk".into()));
    let acted = world.queue.act_on_all(&filter, reroute).await;
    assert_eq!(acted.expect("read").changed, 1);
    world.dispatcher().work().await;
    let mut sites: Vec<String> = world
        .script
        .take_seen()
        .into_iter()
        .map(|(site, _)| site)
        .collect();
    sites.sort();
    let want = [
        "person.test from 192.0.2.8",
        "rule.test from 192.0.2.8",
        "usual.test",
    ];
    assert_eq!(sites, want);
    assert_eq!(world.queue_keys(), 0);
}

/// Whatever way it had, and what comes meanwhile; for people here nothing changes.
#[tokio::test]
async fn while_the_queue_is_emptied_all_for_elsewhere_goes_one_way() {
    let world = World::new();
    world
        .script
        .says("u0@dead.test", &[unreachable(), yes(), yes()]);
    world
        .script
        .says("u1@dead.test", &[unreachable(), yes(), yes()]);
    world.put("ann@here.test", &["u0@dead.test"]).await;
    world.put("ann@here.test", &["u1@dead.test"]).await;
    let mut dispatcher = world.dispatcher();
    dispatcher.work().await;
    let one = Filter {
        recipient: Some(address("u1@dead.test")),
        ..Filter::default()
    };
    let way = Act::Reroute(Some("smart-host".into()));
    world.queue.act_on_all(&one, way).await.expect("done");
    world.script.take_seen();

    world.queue.drain("other").await.expect("written");
    world.put("ann@here.test", &["new@else.test"]).await;
    let all = Filter::default();
    world
        .queue
        .act_on_all(&all, Act::Retry)
        .await
        .expect("done");
    world.runtime.advance(minutes(1));
    dispatcher.work().await;
    let mut seen = world.script.take_seen();
    assert!(
        seen.iter().all(|(site, _)| site == "transport other"),
        "{seen:?}"
    );
    seen.sort();
    let to: Vec<&str> = seen.iter().map(|(_, to)| to[0].as_str()).collect();
    assert_eq!(to, ["new@else.test", "u0@dead.test", "u1@dead.test"]);
    assert_eq!(world.queue_keys(), 1, "the standing order");

    assert!(world.queue.end_drain().await.expect("written"));
    world.put("ann@here.test", &["last@else.test"]).await;
    dispatcher.work().await;
    assert_eq!(world.script.take_seen()[0].0, "else.test");
    assert_eq!(world.queue_keys(), 0);
}

#[tokio::test]
async fn a_hold_is_kept_by_whoever_gets_the_mail_while_the_queue_is_emptied() {
    let world = World::new();
    let until_ms = world.runtime.now().unix_ms + 3_600_000;
    let hold = |new: &mut NewMessage| {
        new.envelope.hold_until_ms = Some(until_ms);
    };
    let mut dispatcher = world.dispatcher();
    // It is due: a person has let it go before. Then nobody is to hold it.
    world
        .put_with("ann@here.test", &["a@there.test"], hold)
        .await;
    dispatcher.work().await;
    assert_eq!(world.script.take_holds(), [None]);
    world.queue.drain("other").await.expect("written");
    world
        .put_with("ann@here.test", &["b@there.test"], hold)
        .await;
    dispatcher.work().await;
    assert_eq!(world.script.take_holds(), [Some(until_ms)]);
    // What nobody took waits for its time again when that is over.
    world
        .put_with("ann@here.test", &["c@there.test"], hold)
        .await;
    let all = Filter::default();
    let acted = world.queue.act_on_all(&all, Act::Await).await;
    assert_eq!(acted.expect("done").changed, 1);
    world.queue.end_drain().await.expect("written");
    dispatcher.work().await;
    assert_eq!(world.script.take_holds(), []);
    world.runtime.advance(minutes(61));
    dispatcher.work().await;
    assert_eq!(world.script.take_holds(), [None]);
}

/// The other machine may be told of this one wrongly: nobody hears of a failure for that.
#[tokio::test]
async fn what_is_refused_for_good_while_the_queue_is_emptied_waits() {
    let world = World::new();
    world.script.says("a@there.test", &[never(), yes()]);
    let mut dispatcher = world.dispatcher();
    world.queue.drain("other").await.expect("written");
    let id = world.put("ann@here.test", &["a@there.test"]).await;
    dispatcher.work().await;
    let shown = world.queue.show(id).await.expect("there");
    assert_eq!(shown.progress.recipients[0].state.name(), "deferred");
    assert!(world.queue.end_drain().await.expect("written"));
    world.queue.act(id, Act::Retry).await.expect("done");
    dispatcher.work().await;
    let seen = world.script.take_seen();
    assert_eq!((seen.len(), seen[1].0.as_str()), (2, "there.test"));
    assert_eq!(world.queue_keys(), 0);
}

/// An attempt that was begun before is let go on; what it leaves waits for no pause of the old way.
#[tokio::test]
async fn what_is_attempted_when_the_queue_begins_to_be_emptied_follows_at_once() {
    let world = World::new();
    let gate = Arc::new(Gate::new());
    *world.script.gate.lock() = Some(Arc::clone(&gate));
    world.script.says("a@there.test", &[later(), yes()]);
    world.script.says("b@gone.test", &[unreachable(), yes()]);
    *world.script.retry_after.lock() = Some(minutes(30));
    world.put("ann@here.test", &["a@there.test"]).await;
    world.put("ann@here.test", &["b@gone.test"]).await;
    let mut dispatcher = world.dispatcher();
    dispatcher.turn().await.expect("read");
    while world.script.seen.lock().len() < 2 {
        world.script.begun.notified().await;
    }
    world.queue.drain("other").await.expect("written");
    let acted = world.queue.act_on_all(&Filter::default(), Act::Retry).await;
    let acted = acted.expect("done");
    assert_eq!((acted.changed, acted.busy), (0, 2));
    *world.script.gate.lock() = None;
    gate.notify_waiters();
    dispatcher.work().await;
    let mut seen = world.script.take_seen();
    seen.drain(..2);
    seen.sort();
    let seen: Vec<(&str, &str)> = seen.iter().map(|(site, to)| (&**site, &*to[0])).collect();
    let other = "transport other";
    assert_eq!(seen, [(other, "a@there.test"), (other, "b@gone.test")]);
    assert_eq!(world.queue_keys(), 1, "the standing order");
}

/// What its own way refuses is refused, though the queue is emptied by another meanwhile.
#[tokio::test]
async fn the_order_is_no_matter_to_what_an_attempt_before_it_was_told_for_good() {
    let world = World::new();
    let gate = Arc::new(Gate::new());
    *world.script.gate.lock() = Some(Arc::clone(&gate));
    world.script.says("a@there.test", &[never()]);
    world.put("ann@here.test", &["a@there.test"]).await;
    let mut dispatcher = world.dispatcher();
    dispatcher.turn().await.expect("read");
    world.script.begun.notified().await;
    world.queue.drain("other").await.expect("written");
    gate.notify_one();
    dispatcher.work().await;
    assert_eq!(world.script.take_seen().len(), 1);
    assert_eq!(world.mail().len(), 1, "she is told");
    assert_eq!(world.queue_keys(), 1, "the standing order");
}

/// The machine that the queue was to be emptied into refuses, and another one is the order by then.
#[tokio::test]
async fn another_order_makes_nothing_final_that_the_one_before_was_told() {
    let world = World::new();
    let gate = Arc::new(Gate::new());
    *world.script.gate.lock() = Some(Arc::clone(&gate));
    world.script.says("a@there.test", &[never(), yes()]);
    world.queue.drain("one").await.expect("written");
    world.put("ann@here.test", &["a@there.test"]).await;
    let mut dispatcher = world.dispatcher();
    // Listed for the one, and not begun before the other is the order.
    dispatcher.turn().await.expect("read");
    world.queue.drain("other").await.expect("written");
    world.script.begun.notified().await;
    *world.script.gate.lock() = None;
    gate.notify_one();
    dispatcher.work().await;
    let seen = world.script.take_seen();
    let sites: Vec<&str> = seen.iter().map(|(site, _)| &**site).collect();
    assert_eq!(sites, ["transport one", "transport other"]);
    assert!(world.mail().is_empty(), "nobody is told of a failure");
    assert_eq!(world.queue_keys(), 1, "the standing order");
}

/// One is taken, one is put off and one is put off that was to be held there: the first is
/// sent no more, the others go their own way, each when its time has come.
#[tokio::test]
async fn an_attempt_under_way_when_the_queue_is_emptied_no_more_is_neither_lost_nor_made_twice() {
    let world = World::new();
    let gate = Arc::new(Gate::new());
    *world.script.gate.lock() = Some(Arc::clone(&gate));
    let until_ms = world.runtime.now().unix_ms + 3_600_000;
    let to = ["a@there.test", "b@there.test", "c@there.test"];
    world.script.says(to[1], &[later(), yes()]);
    world.script.says(to[2], &[later(), yes()]);
    world.queue.drain("other").await.expect("written");
    for to in to {
        let hold = |new: &mut NewMessage| {
            new.envelope.hold_until_ms = (to == "c@there.test").then_some(until_ms);
        };
        world.put_with("ann@here.test", &[to], hold).await;
    }
    let mut dispatcher = world.dispatcher();
    dispatcher.turn().await.expect("read");
    while world.script.seen.lock().len() < 3 {
        world.script.begun.notified().await;
    }
    let first = world.script.take_seen();
    assert!(first.iter().all(|(site, _)| site == "transport other"));
    let acted = world.queue.act_on_all(&Filter::default(), Act::Await).await;
    assert_eq!(acted.expect("done").changed, 0, "it is being attempted");
    assert!(world.queue.end_drain().await.expect("written"));
    *world.script.gate.lock() = None;
    gate.notify_waiters();
    dispatcher.work().await;
    assert!(world.script.take_seen().is_empty(), "none is due yet");
    for passed in [15, 20, 20] {
        world.runtime.advance(minutes(passed));
        dispatcher.work().await;
    }
    let own = |n: usize| ("there.test".to_owned(), vec![to[n].to_owned()]);
    assert_eq!(world.script.take_seen(), [own(1)]);
    world.runtime.advance(minutes(6));
    dispatcher.work().await;
    assert_eq!(world.script.take_seen(), [own(2)]);
    world.runtime.advance(minutes(24 * 60));
    dispatcher.work().await;
    assert!(world.script.take_seen().is_empty());
    assert_eq!(world.queue_keys(), 0);
}
