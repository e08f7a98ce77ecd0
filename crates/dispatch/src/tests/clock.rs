//! A wall clock that jumps: vulnerability list, number 36.

use super::*;

const DAY_MS: i64 = 86_400_000;

#[tokio::test]
async fn mail_does_not_wait_for_a_clock_that_was_ahead() {
    for restarts in [false, true] {
        let world = World::new();
        world.script.says("bob@there.test", &[later(), yes()]);
        world.runtime.step_wall_clock(400 * DAY_MS);
        let id = world.put("ann@here.test", &["bob@there.test"]).await;
        let mut dispatcher = world.dispatcher();
        dispatcher.work().await;
        assert_eq!(world.states(id).await, ["deferred"]);
        assert_eq!(world.script.take_seen().len(), 1);
        world.runtime.step_wall_clock(-400 * DAY_MS);
        if restarts {
            drop(dispatcher);
            dispatcher = world.dispatcher();
        }
        dispatcher.work().await;
        assert_eq!(world.script.take_seen().len(), 1, "restarts: {restarts}");
        assert_eq!(world.queue_keys(), 0);
        assert!(world.mail().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_due_before_the_clock_went_back_is_due() {
    let world = World::new();
    let mut dispatcher = world.dispatcher();
    // The clock goes back in the very millisecond in which the message comes, and that it is
    // another one than that of the look before it is only known by the wall clock.
    tokio::time::advance(Duration::from_micros(600)).await;
    dispatcher.work().await;
    tokio::time::advance(Duration::from_micros(500)).await;
    world.put("ann@here.test", &["bob@there.test"]).await;
    world.runtime.step_wall_clock(-3_600_000);
    dispatcher.work().await;
    assert_eq!(world.script.take_seen().len(), 1);
    // What comes in afterwards is found as well.
    world.put("ann@here.test", &["eve@there.test"]).await;
    dispatcher.work().await;
    assert_eq!(world.script.take_seen().len(), 1);
    assert_eq!(world.queue_keys(), 0);
}

#[tokio::test]
async fn a_clock_that_goes_a_day_forward_makes_mail_due_and_ends_none() {
    let world = World::new();
    world
        .script
        .says("bob@there.test", &[later(), later(), yes()]);
    let id = world.put("ann@here.test", &["bob@there.test"]).await;
    let mut dispatcher = world.dispatcher();
    dispatcher.work().await;
    world.runtime.step_wall_clock(DAY_MS);
    dispatcher.work().await;
    assert_eq!(world.script.take_seen().len(), 2);
    assert_eq!(world.states(id).await, ["deferred"]);
    world.runtime.advance(minutes(15));
    dispatcher.work().await;
    assert_eq!(world.script.take_seen().len(), 1);
    assert_eq!(world.queue_keys(), 0);
}

#[tokio::test]
async fn what_its_sender_wants_held_is_not_brought_near() {
    let world = World::new();
    let hold = |days: u64| {
        let wait_ms = days * 86_400_000;
        let until = world.runtime.now().unix_ms + wait_ms;
        move |new: &mut NewMessage| {
            new.envelope.hold_until_ms = Some(until);
            new.start = Start::Later {
                wait_ms,
                reason: "held".into(),
            };
        }
    };
    let held = world.put_with("ann@here.test", &["bob@there.test"], hold(29));
    let held = held.await;
    // Longer than anybody can ask for: a clock that was ahead has done that.
    world
        .put_with("ann@here.test", &["eve@there.test"], hold(400))
        .await;
    let mut dispatcher = world.dispatcher();
    dispatcher.work().await;
    world.runtime.step_wall_clock(-DAY_MS / 2);
    dispatcher.work().await;
    let seen = world.script.take_seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].1, ["eve@there.test"]);
    assert_eq!(world.states(held).await, ["deferred"]);
}
