//! The process ends between any two steps; records are damaged.

use super::*;

#[tokio::test]
async fn an_attempt_that_was_cut_off_is_made_once_more() {
    let world = World::new();
    let id = world.put(&["bob@there.test", "eve@else.test"]).await;
    let due = world.due().await;
    let there = domain("there.test");
    let lease = world
        .queue
        .lease(&due[0], |d, _| *d == there)
        .await
        .expect("read")
        .expect("free");
    world.last().await;
    std::mem::forget(lease);
    let world = world.restarted();
    let recovered = world.queue.recover().await.expect("recovered");
    assert_eq!((recovered.messages, recovered.interrupted), (1, 1));
    let shown = world.queue.show(id).await.expect("there");
    assert_eq!(shown.progress.interrupted, 1);
    assert_eq!(shown.progress.history.len(), 1);
    assert_eq!(
        world.due().await.len(),
        2,
        "both domains are still to be attempted"
    );
    let again = world.queue.recover().await.expect("recovered");
    assert_eq!(again.interrupted, 0, "the intent is gone");
}

/// What is over before its intent was to be written leaves no trace of one.
#[tokio::test]
async fn an_attempt_that_is_short_writes_no_intent_and_one_that_lasts_takes_it_back() {
    for (lasts, commits) in [(false, 1), (true, 2)] {
        let world = World::new();
        world.put(&["bob@there.test"]).await;
        let due = world.due().await;
        let all = |_: &Domain, _: Option<&str>| true;
        let before = world.engine.stats().commits;
        let lease = world.queue.lease(&due[0], all).await.expect("read");
        let lease = lease.expect("free");
        if lasts {
            world.last().await;
        }
        let settled = vec![settled(0, Event::Deliver)];
        let change = lease.change(settled, None).await.expect("legal");
        change.commit().await.expect("committed");
        drop(lease);
        let marks = u64::from(lasts);
        let made = world.engine.stats().commits - before - marks;
        assert_eq!(made, commits, "lasts: {lasts}");
        // Time passes: nothing comes after the end.
        world.last().await;
        assert_eq!(world.keys(), Vec::<Vec<u8>>::new());
    }
}

/// A lease that is given back without an outcome, before and behind its intent.
#[tokio::test]
async fn a_lease_that_is_given_back_leaves_no_intent() {
    for lasts in [false, true] {
        let world = World::new();
        world.put(&["bob@there.test"]).await;
        let due = world.due().await;
        let all = |_: &Domain, _: Option<&str>| true;
        let lease = world.queue.lease(&due[0], all).await.expect("read");
        if lasts {
            world.last().await;
        }
        drop(lease.expect("free"));
        world.last().await;
        let world = world.restarted();
        let recovered = world.queue.recover().await.expect("recovered");
        assert_eq!((recovered.messages, recovered.interrupted), (1, 0));
    }
}

#[tokio::test]
async fn an_outcome_that_is_durable_is_not_attempted_again() {
    let world = World::new();
    world.put(&["bob@there.test", "eve@else.test"]).await;
    let due = world.due().await;
    let there = domain("there.test");
    let lease = world
        .queue
        .lease(&due[0], |d, _| *d == there)
        .await
        .expect("read")
        .expect("free");
    let change = lease
        .change(vec![settled(0, Event::Deliver)], None)
        .await
        .expect("legal");
    change.commit().await.expect("committed");
    world.settle().await;
    std::mem::forget(lease);
    let world = world.restarted();
    assert_eq!(
        world.queue.recover().await.expect("recovered").interrupted,
        0
    );
    let due = world.due().await;
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].line, line("else.test"));
}

#[tokio::test]
async fn a_change_that_was_not_committed_leaves_everything_as_it_was() {
    let world = World::new();
    world.put(&["bob@there.test"]).await;
    let before = world.keys();
    let due = world.due().await;
    let lease = world
        .queue
        .lease(&due[0], |_, _| true)
        .await
        .expect("read")
        .expect("free");
    drop(
        lease
            .change(vec![settled(0, Event::Deliver)], None)
            .await
            .expect("legal"),
    );
    drop(lease);
    world.settle().await;
    assert_eq!(world.keys(), before);
}

/// Whoever waited for the commit vanished: the commit stands, and nobody works on an old tip.
#[tokio::test]
async fn a_commit_whose_caller_vanished_is_seen_by_the_next() {
    let world = World::new();
    world.put(&["bob@there.test", "eve@there.test"]).await;
    let due = world.due().await;
    let lease = world
        .queue
        .lease(&due[0], |_, _| true)
        .await
        .expect("read")
        .expect("free");
    let change = lease
        .change(vec![settled(0, Event::Deliver)], None)
        .await
        .expect("legal");
    let mut batch = Batch::new();
    change.stage(&mut batch);
    let ticket = world.engine.submit(batch).expect("taken");
    drop(change);
    ticket.done().await;
    let change = lease
        .change(vec![settled(1, Event::Deliver)], None)
        .await
        .expect("legal");
    change
        .commit()
        .await
        .expect("committed on what the first one left");
    drop(lease);
    assert_eq!(world.keys(), Vec::<Vec<u8>>::new());
}

#[tokio::test]
async fn one_damaged_record_is_set_aside_and_the_rest_goes_on() {
    for kind in [crate::keys::MESSAGE, crate::keys::PROGRESS] {
        let world = World::new();
        let bad = world.put(&["bob@there.test"]).await;
        let good = world.put(&["bob@there.test"]).await;
        let mut key = crate::keys::space(SHARD, kind);
        key.extend_from_slice(&bad.0.to_be_bytes());
        let mut batch = Batch::new();
        batch.put(key, Bytes::from_static(b"\xffgarbage"));
        world.engine.submit(batch).expect("taken").done().await;
        let world = world.restarted();
        world.queue.recover().await.expect("recovered");
        for due in world.due().await {
            let lease = world
                .queue
                .lease(&due, |_, _| true)
                .await
                .expect("no error");
            assert_eq!(lease.is_some(), due.id == good);
        }
        world.settle().await;
        let due: Vec<QueueId> = world.due().await.iter().map(|due| due.id).collect();
        assert_eq!(due, [good], "the damaged one left the schedule");
        let page = world
            .queue
            .list(&crate::Filter::default(), None, 10)
            .await
            .expect("read");
        assert_eq!(page.messages.len(), 1);
        assert_eq!(page.damaged.len(), 1);
        assert_eq!(page.damaged[0].0, bad);
        world
            .queue
            .act(bad, crate::Act::Remove)
            .await
            .expect("removed");
        world
            .queue
            .act(good, crate::Act::Remove)
            .await
            .expect("removed");
        let left = world.keys();
        // Without the message record nobody knows the body: fsck finds its link.
        assert_eq!(
            left.len(),
            usize::from(kind == crate::keys::MESSAGE),
            "{left:?}"
        );
    }
}

#[tokio::test]
async fn keys_of_the_schedule_that_lead_nowhere_are_removed() {
    let world = World::new();
    let mut batch = Batch::new();
    batch.put(
        crate::keys::due(&line("there.test"), 5, QueueId(9)),
        vec![1],
    );
    let mut damaged = crate::keys::space(SHARD, crate::keys::DUE);
    damaged.extend_from_slice(b"\xff\xfe\0\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x09");
    batch.put(damaged, vec![1]);
    batch.put(crate::keys::space(SHARD, crate::keys::DUE), vec![1]);
    world.engine.submit(batch).expect("taken").done().await;
    for due in world.due().await {
        assert!(
            world
                .queue
                .lease(&due, |_, _| true)
                .await
                .expect("no error")
                .is_none()
        );
    }
    // A commit behind the removals shows that they are through.
    let id = world.put(&["bob@there.test"]).await;
    let due: Vec<QueueId> = world.due().await.iter().map(|due| due.id).collect();
    assert_eq!(due, [id]);
}
