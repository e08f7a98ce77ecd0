//! From stage to end.

use std::time::Duration;

use super::*;
use queue_model::State;

#[tokio::test]
async fn a_staged_message_is_due_with_its_commit_and_owns_its_body() {
    let world = World::new();
    let mut batch = Batch::new();
    let id = world.stage(
        &mut batch,
        &["bob@there.test", "eve@there.test"],
        Start::Now,
    );
    assert!(world.due().await.is_empty());
    assert_eq!(world.told(), Vec::<u64>::new());
    world.engine.submit(batch).expect("taken").done().await;
    world.queue.news().wait().await;
    let due = world.due().await;
    assert_eq!(due.len(), 1, "one key for the domain");
    assert_eq!((due[0].id, &due[0].line), (id, &line("there.test")));
    assert_eq!(world.queue.news().take_added().dues, due);
    assert_eq!(world.owners(id), [Owner::Queue(id.0)]);
    assert_eq!(world.queue.count(), 1);
    let shown = world.queue.show(id).await.expect("there");
    let whole = world
        .queue
        .read(SHARD, &shown.message, 0..u64::MAX)
        .await
        .expect("read");
    assert_eq!(&whole[..], b"Received: y\r\nSubject: x\r\n\r\nbody\r\n");
    assert_eq!(shown.message.size(), whole.len() as u64);
    for (from, to) in [(0, 5), (5, 20), (13, 16), (15, 99), (99, 100)] {
        let part = world
            .queue
            .read(SHARD, &shown.message, from..to)
            .await
            .expect("read");
        let (from, to) = (whole.len().min(from as usize), whole.len().min(to as usize));
        assert_eq!(part, whole[from..to]);
    }
}

#[tokio::test]
async fn what_is_new_is_attempted_from_memory_until_it_waits() {
    let world = World::new();
    let id = world.put(&["bob@there.test", "eve@else.test"]).await;
    let fresh = &world.queue.inner.fresh;
    assert_eq!(fresh.len(), 1);
    let due = world.due().await;
    let there = domain("there.test");
    let leased = world.queue.lease(&due[0], |d, _| *d == there).await;
    let lease = leased.expect("read").expect("free");
    // Body and records may be anywhere: this is not read from there.
    assert_eq!(lease.entry.body.as_deref(), Some(BODY));
    assert_eq!(&lease.read(10..16).await.expect("read")[..], b"y\r\nSub");
    let done = |place| vec![settled(place, Event::Deliver)];
    lease
        .change(done(0), None)
        .await
        .expect("a change")
        .commit()
        .await
        .expect("done");
    drop(lease);
    assert_eq!(fresh.len(), 1, "the other recipient is still new");
    let leased = world.queue.lease(&due[1], |_, _| true).await;
    let lease = leased.expect("read").expect("free");
    let waits = vec![settled(
        1,
        Event::PutOff {
            until_ms: u64::MAX / 2,
        },
    )];
    lease
        .change(waits, None)
        .await
        .expect("a change")
        .commit()
        .await
        .expect("put off");
    assert_eq!(fresh.len(), 0);
    drop(lease);
    world.settle().await;
    let shown = world.queue.show(id).await.expect("there");
    assert!(shown.progress.recipients[0].state.is_final());
}

#[tokio::test]
async fn memory_for_what_is_new_is_bounded() {
    let world = World::new();
    let mut batch = Batch::new();
    for _ in 0..=crate::limits::FRESH_MAX {
        world.stage(&mut batch, &["bob@there.test"], Start::Now);
        if batch.size_bytes() > engine::limits::BATCH_BYTES_MAX / 2 {
            world
                .engine
                .submit(std::mem::take(&mut batch))
                .expect("taken");
        }
    }
    world.engine.submit(batch).expect("taken").done().await;
    assert_eq!(world.queue.inner.fresh.len(), crate::limits::FRESH_MAX);
    for due in world.due().await {
        let leased = world.queue.lease(&due, |_, _| true).await;
        let lease = leased.expect("read").expect("free");
        let whole = lease.read(0..u64::MAX).await.expect("read");
        assert!(whole.ends_with(BODY));
    }
}

#[tokio::test]
async fn a_lease_keeps_others_away_and_gives_back_what_it_drops() {
    let world = World::new();
    world.put(&["bob@there.test", "eve@else.test"]).await;
    let due = world.due().await;
    assert_eq!(due.len(), 2);
    let there = domain("there.test");
    let lease = world
        .queue
        .lease(&due[0], |d, _| *d == there)
        .await
        .expect("read")
        .expect("free");
    let places: Vec<usize> = lease.recipients().map(|(place, _, _)| place).collect();
    assert_eq!(places, [0]);
    assert!(
        world
            .queue
            .lease(&due[0], |d, _| *d == there)
            .await
            .expect("read")
            .is_none()
    );
    let other = world
        .queue
        .lease(&due[0], |_, _| true)
        .await
        .expect("read")
        .expect("the other");
    assert_eq!(
        other.recipients().next().map(|(place, _, _)| place),
        Some(1)
    );
    world.told();
    drop((lease, other));
    assert_eq!(world.told(), [due[0].due_ms, due[1].due_ms]);
    assert!(
        world
            .queue
            .lease(&due[0], |_, _| true)
            .await
            .expect("read")
            .is_some()
    );
}

#[tokio::test]
async fn outcomes_move_the_schedule_and_the_last_ends_the_message() {
    let world = World::new();
    let id = world
        .put(&["bob@there.test", "eve@there.test", "joe@else.test"])
        .await;
    let now = world.runtime.now().unix_ms;
    let due = world.due().await;
    let lease = world
        .queue
        .lease(&due[0], |_, _| true)
        .await
        .expect("read")
        .expect("free");
    let results = vec![
        settled(0, Event::Deliver),
        settled(
            1,
            Event::PutOff {
                until_ms: now + 60_000,
            },
        ),
        settled(2, Event::GiveUp),
    ];
    let change = lease
        .change(results, Some(attempt(now)))
        .await
        .expect("legal");
    assert!(!change.finishes());
    change.commit().await.expect("committed");
    drop(lease);
    assert!(world.due().await.is_empty());
    let (lines, _) = world.queue.lines(None, 10).await.expect("read");
    assert_eq!(lines.len(), 1, "the others have ended");
    assert_eq!(lines[0].1.due_ms, now + 60_000);
    let shown = world.queue.show(id).await.expect("there");
    let states: Vec<&str> = shown
        .recipients()
        .map(|(_, state, _)| state.name())
        .collect();
    assert_eq!(states, ["done", "deferred", "failed"]);
    // How they ended is told with the same commit, and stays.
    let told = async || {
        let ended = world.queue.ended(id).await.expect("read");
        let told = ended.into_iter();
        told.map(|one| (one.recipient, one.delivered))
            .collect::<Vec<_>>()
    };
    let mut ended = vec![
        ("bob@there.test".to_owned(), true),
        ("joe@else.test".to_owned(), false),
    ];
    assert_eq!(told().await, ended);
    assert_eq!(shown.progress.recipients[1].attempts, 1);
    assert_eq!(
        shown.progress.recipients[1].reason.as_deref(),
        Some("because 1")
    );
    assert_eq!(shown.progress.history, [attempt(now)]);

    world.runtime.advance(Duration::from_secs(61));
    let due = world.due().await;
    let lease = world
        .queue
        .lease(&due[0], |_, _| true)
        .await
        .expect("read")
        .expect("free");
    let change = lease
        .change(vec![settled(1, Event::Deliver)], None)
        .await
        .expect("legal");
    assert!(change.finishes());
    change.commit().await.expect("committed");
    drop(lease);
    assert_eq!(world.keys(), Vec::<Vec<u8>>::new());
    ended.push(("eve@there.test".to_owned(), true));
    assert_eq!(told().await, ended);
    let keep = Duration::from_secs(3600);
    assert_eq!(world.queue.expire_ended(keep).await.expect("works"), 0);
    world.runtime.advance(2 * keep);
    assert_eq!(world.queue.expire_ended(keep).await.expect("works"), 2);
    assert_eq!(told().await, []);
    assert_eq!(world.queue.count(), 0);
    assert!(
        world
            .queue
            .lease(&due[0], |_, _| true)
            .await
            .expect("read")
            .is_none()
    );
}

#[tokio::test]
async fn a_report_goes_into_the_queue_with_the_outcome_that_caused_it() {
    let world = World::new();
    world.put(&["bob@there.test"]).await;
    let due = world.due().await;
    let lease = world
        .queue
        .lease(&due[0], |_, _| true)
        .await
        .expect("read")
        .expect("free");
    let change = lease
        .change(vec![settled(0, Event::GiveUp)], None)
        .await
        .expect("legal");
    let mut batch = Batch::new();
    change.stage(&mut batch);
    let report = world.stage(&mut batch, &["ann@here.test"], Start::Now);
    let ticket = world.engine.submit(batch).expect("taken");
    change.submitted(ticket.commit());
    ticket.done().await;
    let due = world.due().await;
    assert_eq!(due.iter().map(|due| due.id).collect::<Vec<_>>(), [report]);
}

#[tokio::test]
async fn results_of_others_recipients_are_refused() {
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
    for place in [1, 99] {
        assert!(
            lease
                .change(vec![settled(place, Event::Deliver)], None)
                .await
                .is_err()
        );
    }
    let twice = vec![settled(0, Event::Deliver), settled(0, Event::Deliver)];
    assert!(lease.change(twice, None).await.is_err());
}

#[tokio::test]
async fn a_page_tells_where_to_go_on_and_when_the_next_is_due() {
    let world = World::new();
    for _ in 0..5 {
        world.put(&["bob@there.test"]).await;
        world.runtime.advance(Duration::from_millis(5));
    }
    let later = Start::Later {
        wait_ms: 60_000,
        reason: "451".into(),
    };
    let last = world.put_with(&["bob@there.test"], later).await;
    let held = Start::Held {
        reason: "demo".into(),
    };
    world.put_with(&["bob@there.test"], held).await;
    let now = world.runtime.now().unix_ms;
    let (mut seen, mut from) = (Vec::new(), Place::at(0));
    let next = loop {
        let asked = vec![(line("there.test"), from), (line("else.test"), from)];
        let mut pages = world.queue.due(asked, now, 2).await.expect("read");
        assert_eq!((pages.len(), pages[1].entries.len()), (2, 0));
        let page = pages.swap_remove(0);
        seen.extend(page.entries);
        match page.next {
            Some(next) if next.due_ms <= now => from = next,
            next => break next,
        }
    };
    let next = next.expect("one more");
    assert!(next.due_ms > now + 59_000 && next.id == last);
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted_by_key(|due| due.due_ms) && seen.iter().all(|due| due.id != last));
    let behind = vec![(line("there.test"), next)];
    let later = world
        .queue
        .due(behind, now + 70_000, 9)
        .await
        .expect("read");
    assert_eq!((later[0].entries.len(), later[0].next), (1, None), "held");
}

#[tokio::test]
async fn a_held_message_is_not_due() {
    let world = World::new();
    let id = world
        .put_with(
            &["bob@there.test"],
            Start::Held {
                reason: "demo".into(),
            },
        )
        .await;
    world.runtime.advance(Duration::from_secs(1_000_000));
    assert!(world.due().await.is_empty());
    let shown = world.queue.show(id).await.expect("there");
    assert_eq!(shown.progress.recipients[0].state, State::Held);
    assert_eq!(shown.progress.recipients[0].reason.as_deref(), Some("demo"));
}

#[tokio::test]
async fn ids_are_never_given_twice_even_when_the_clock_stands() {
    let world = World::new();
    let mut batch = Batch::new();
    let mut ids: Vec<QueueId> = (0..1000)
        .map(|_| world.stage(&mut batch, &["bob@there.test"], Start::Now))
        .collect();
    assert!(ids.is_sorted());
    ids.dedup();
    assert_eq!(ids.len(), 1000);
    assert!(ids[999].unix_ms() - ids[0].unix_ms() < 1000);
}
