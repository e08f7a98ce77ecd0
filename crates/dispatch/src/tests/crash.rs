//! The process ends at any step, or is asked to.

use super::*;
use crate::Dispatcher;

#[tokio::test]
async fn an_attempt_that_was_cut_off_by_a_crash_is_made_once_more() {
    let world = World::new();
    *world.script.gate.lock() = Some(Arc::new(Gate::new()));
    let id = world.put("ann@here.test", &["bob@there.test"]).await;
    let mut dispatcher = world.dispatcher();
    dispatcher.turn().await.expect("read");
    world.script.begun.notified().await;
    assert_eq!(world.states(id).await, ["leased"]);
    world.last().await;
    // Nothing runs on, nothing is given back: as after a power cut.
    std::mem::forget(dispatcher);
    let after = world.restarted();
    let recovered = after.queue.recover().await.expect("recovered");
    assert_eq!(recovered.interrupted, 1);
    after.dispatcher().work().await;
    assert_eq!(after.script.take_seen().len(), 1);
    assert_eq!(after.queue_keys(), 0);
    after.restarted().dispatcher().work().await;
    assert!(after.script.take_seen().is_empty());
}

/// Refused, the outcome and the report staged, and the power fails before or after the commit.
#[tokio::test]
async fn a_report_is_never_lost_and_never_doubled() {
    let world = World::new();
    world.script.says("bob@there.test", &[never()]);
    world.put("ann@far.test", &["bob@there.test"]).await;
    let gate = Arc::new(Gate::new());
    *world.script.gate.lock() = Some(Arc::clone(&gate));
    let mut dispatcher = world.dispatcher();
    dispatcher.turn().await.expect("read");
    world.script.begun.notified().await;
    world.settle().await;
    std::mem::forget(dispatcher);
    let after = world.restarted();
    after.queue.recover().await.expect("recovered");
    after.script.says("bob@there.test", &[never()]);
    after.dispatcher().work().await;
    let seen = after.script.take_seen();
    let reports = seen.iter().filter(|(site, _)| site == "far.test").count();
    assert_eq!((reports, seen.len()), (1, 2));
    let last = after.restarted();
    last.queue.recover().await.expect("recovered");
    last.dispatcher().work().await;
    assert!(last.script.take_seen().is_empty());
}

#[tokio::test]
async fn a_drain_lets_attempts_end() {
    let world = World::new();
    let gate = Arc::new(Gate::new());
    *world.script.gate.lock() = Some(Arc::clone(&gate));
    world.put("ann@here.test", &["bob@there.test"]).await;
    let dispatcher = Dispatcher::new(world.ports(), world.options());
    let shutdown = world.runtime.shutdown();
    let running = async {
        world.script.begun.notified().await;
        shutdown.drain();
        gate.notify_one();
    };
    let (ran, ()) = tokio::join!(dispatcher.run(world.runtime.shutdown()), running);
    ran.expect("recovered");
    assert_eq!(world.queue_keys(), 0);
}

#[tokio::test]
async fn a_drain_cuts_off_what_takes_too_long_and_leaves_no_lease() {
    let world = World::new();
    *world.script.gate.lock() = Some(Arc::new(Gate::new()));
    let id = world.put("ann@here.test", &["bob@there.test"]).await;
    let options = Options {
        drain: Duration::ZERO,
        ..world.options()
    };
    let dispatcher = Dispatcher::new(world.ports(), options);
    let shutdown = world.runtime.shutdown();
    let running = async {
        world.script.begun.notified().await;
        shutdown.drain();
    };
    let (ran, ()) = tokio::join!(dispatcher.run(world.runtime.shutdown()), running);
    ran.expect("recovered");
    world.settle().await;
    assert_eq!(world.states(id).await, ["todo"]);
    let after = world.restarted();
    assert_eq!(
        after.queue.recover().await.expect("recovered").interrupted,
        0
    );
    after.dispatcher().work().await;
    assert_eq!(after.script.take_seen().len(), 1);
}

/// A message that arrives while the loop sleeps is attempted at once.
#[tokio::test]
async fn a_new_message_wakes_the_loop() {
    let world = World::new();
    let dispatcher = Dispatcher::new(world.ports(), world.options());
    let shutdown = world.runtime.shutdown();
    let running = async {
        for _ in 0..3 {
            world.put("ann@here.test", &["bob@there.test"]).await;
            world.script.begun.notified().await;
        }
        shutdown.drain();
    };
    let (ran, ()) = tokio::join!(dispatcher.run(world.runtime.shutdown()), running);
    ran.expect("recovered");
    assert_eq!(world.script.take_seen().len(), 3);
    assert_eq!(world.queue_keys(), 0);
}

/// What was put off while nobody was there is due when somebody says that he is.
#[tokio::test]
async fn a_site_that_says_it_is_there_gets_what_was_put_off() {
    let world = World::new();
    let id = world.put("ann@here.test", &["bob@there.test"]).await;
    world.script.says("bob@there.test", &[unreachable(), yes()]);
    let dispatcher = Dispatcher::new(world.ports(), world.options());
    let watch = dispatcher.watch();
    let shutdown = world.runtime.shutdown();
    let running = async {
        world.script.begun.notified().await;
        let site = loop {
            let sites = watch.sites().await.expect("it runs");
            let mut closed = sites.into_iter().filter(|site| site.closed_until.is_some());
            if let Some(closed) = closed.next() {
                break closed.site;
            }
        };
        assert_eq!(world.states(id).await, ["deferred"]);
        world.runtime.advance(Duration::from_secs(1));
        watch.knock(site);
        world.script.begun.notified().await;
        shutdown.drain();
    };
    let (ran, ()) = tokio::join!(dispatcher.run(world.runtime.shutdown()), running);
    ran.expect("recovered");
    assert_eq!(world.script.take_seen().len(), 2);
    assert_eq!(world.queue_keys(), 0);
}
