//! A message for several shards.

use super::*;
use crate::commit::{Extra, Failing};
use crate::record;
use crate::store::Inner;
use engine::{Batch, Order, ShardId};
use std::future::Future;
use std::time::Duration;

const ALL: [&str; 4] = [
    "alice@demo.test",
    "bob@demo.test",
    "carol@other.test",
    "dave@far.test",
];

/// Keys of the intake in all shards.
fn left(world: &World) -> usize {
    let shards = (0..world.engine.shards()).map(ShardId);
    let keys = shards.map(|shard| {
        let start = engine::keys::intake(shard);
        let end = engine::keys::end_of(&start);
        let found = world
            .engine
            .snapshot(shard)
            .scan(&start, &end, Order::Ascending, 100);
        // The trace of what was accepted stays.
        let found = found.expect("readable").into_iter();
        found.filter(|(key, _)| key.get(3) != Some(&b'a')).count()
    });
    keys.sum()
}

async fn settle(world: &World) {
    // The marks are removed without waiting: one more commit in each shard is behind them.
    for shard in (0..world.engine.shards()).map(ShardId) {
        let mut batch = Batch::new();
        batch.delete(engine::keys::intake(shard));
        world.engine.submit(batch).expect("submitted").done().await;
    }
}

#[tokio::test]
async fn every_shard_gets_its_part_once_and_nothing_is_left() {
    let world = World::new(3).await;
    let outcome = world.send(user(), "bob@demo.test", &ALL, MESSAGE).await;
    assert_eq!(codes(&outcome), [250; 4]);
    for account in 1..=3 {
        assert_eq!(world.inbox(account).await.len(), 1, "{account}");
    }
    assert_eq!(world.queued().await.len(), 1);
    settle(&world).await;
    assert_eq!(left(&world), 0);
}

#[tokio::test]
async fn over_lmtp_each_shard_answers_for_its_own() {
    let world = World::new(3).await;
    let long = format!("{MESSAGE}{}", "x".repeat(2_000));
    let to = ["bob@demo.test", "small@demo.test", "carol@other.test"];
    let outcome = world.send(lmtp(), "d@far.test", &to, &long).await;
    assert_eq!(codes(&outcome), [250, 452, 250]);
    let outcome = world.send(stranger(), "d@far.test", &to, &long).await;
    assert_eq!(codes(&outcome), [250, 250, 250]);
    assert_eq!(recipients(&world.queued().await[0]), ["small@demo.test"]);
}

/// Stops behind the first commit, as a crash would.
struct Crash(Vec<u8>, Vec<u8>);

impl Extra for Crash {
    fn stage(&self, _: &Inner, batch: &mut Batch) -> Result<(), queue::QueueError> {
        batch.put(self.0.clone(), self.1.clone());
        Ok(())
    }
}

#[tokio::test]
async fn a_crash_between_the_shards_is_made_good_at_the_start() {
    let world = World::new(3).await;
    // A record as the first commit leaves it, with only alice's shard done.
    let home = world.engine.shard_of_account(1);
    let transaction = world.transaction(user(), "bob@demo.test", &ALL).await;
    let inner = &world.intake.inner;
    let mut writer = inner.ports.blobs.writer(home);
    writer.push(MESSAGE.as_bytes()).expect("taken");
    let blob = writer.finish().expect("finished");
    let mut body = crate::plan::Body {
        digest: mime::digest(MESSAGE.as_bytes()).encode().into(),
        received_at: Default::default(),
        blob,
        header: bytes::Bytes::new(),
        traced: None,
    };
    let filter = crate::header::HeaderFilter::new(None);
    let id = inner.next_id();
    let plan = crate::plan::Plan::new(
        inner,
        &transaction,
        id,
        "Received: x\r\n",
        &filter,
        &body,
        &crate::plan::Known {
            keeper: None,
            senders: crate::senders::Senders::kept(),
        },
    );
    assert_eq!(plan.parts.len(), 3);
    let stored = record::Record {
        common: plan.common.clone(),
        received_at: body.received_at,
        blob: body.blob.id,
        blob_size: body.blob.size,
        digest: body.digest.clone(),
        parts: plan.parts.clone(),
    };
    let crash = Crash(record::record_key(home, id), stored.encode());
    let part = &plan.parts[&home];
    let begun = inner.commit_part(
        &plan.common,
        part,
        &mut body,
        Failing::Promised,
        Some(&crash),
        None,
    );
    begun.await.expect("committed");
    assert_eq!(
        (world.inbox(1).await.len(), world.inbox(2).await.len()),
        (1, 0)
    );

    for _ in 0..2 {
        let restarted = World::over(Arc::clone(&world.engine));
        restarted.intake.recover().await.expect("readable");
        for account in 1..=3 {
            assert_eq!(restarted.inbox(account).await.len(), 1, "{account}");
        }
        assert_eq!(restarted.queued().await.len(), 1);
        settle(&restarted).await;
        assert_eq!(left(&restarted), 0);
    }
}

#[tokio::test]
async fn a_mark_without_a_record_is_removed_and_a_bad_record_stops_nobody() {
    let world = World::new(3).await;
    let id = world.intake.inner.next_id();
    for (key, value) in [
        (record::mark_key(ShardId(2), id), record::mark(ShardId(0))),
        (record::record_key(ShardId(1), id), vec![9]),
    ] {
        let mut batch = Batch::new();
        batch.put(key, value);
        world.engine.submit(batch).expect("submitted").done().await;
    }
    world.intake.recover().await.expect("readable");
    settle(&world).await;
    assert_eq!(left(&world), 1, "the bad record stays to be looked at");
}

/// What `working` gives, while a test's time passes for it.
async fn while_time_passes<T>(world: &World, working: impl Future<Output = T>) -> T {
    let passing = async {
        loop {
            world.runtime.blocking(|| ()).await;
            world.runtime.advance(Duration::from_millis(500));
        }
    };
    tokio::select! {
        done = working => done,
        () = passing => unreachable!("time passes for ever"),
    }
}

#[tokio::test]
async fn who_cannot_be_delivered_to_in_time_is_in_the_queue_with_the_answer() {
    let world = World::new(1).await;
    let held = world.mailstore.lanes(&[AccountId(2)]).await;
    let to = ["carol@other.test", "bob@demo.test"];
    let sending = world.send(stranger(), "d@far.test", &to, MESSAGE);
    let outcome = Box::pin(while_time_passes(&world, sending)).await;
    assert_eq!(codes(&outcome), [250, 250]);
    assert!(world.inbox(3).await.is_empty());
    let queued = world.queued().await;
    assert_eq!(recipients(&queued[0]), to);
    assert!(queued[0].message.prefix.starts_with(b"Received: "));
    drop(held);
    for (place, account) in [(0, 3), (1, 2)] {
        let (delivered, _) = queueing::deliver_place(&world, &queued[0], place).await;
        assert_eq!(delivered, Ok(()));
        let inbox = world.inbox(account).await;
        assert!(inbox[0].ends_with(MESSAGE), "{inbox:?}");
        assert_eq!(inbox[0].matches("Delivered-To").count(), 1);
    }
}

#[tokio::test]
async fn shards_that_take_too_long_follow_behind_the_answer() {
    let world = World::new(3).await;
    let held = world.mailstore.lanes(&[AccountId(3)]).await;
    let to = ["bob@demo.test", "carol@other.test"];
    let sending = world.send(stranger(), "d@far.test", &to, MESSAGE);
    let outcome = Box::pin(while_time_passes(&world, sending)).await;
    assert_eq!(codes(&outcome), [250, 250]);
    assert_eq!(world.inbox(2).await.len(), 1);
    assert!(world.inbox(3).await.is_empty());
    drop(held);
    let arrived = async {
        while world.inbox(3).await.is_empty() {
            world.runtime.blocking(|| ()).await;
        }
    };
    while_time_passes(&world, arrived).await;
    assert_eq!(world.inbox(3).await.len(), 1);
}
