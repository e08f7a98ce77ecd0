//! A bit of every byte of every record of the queue is turned over, one at a
//! time, and each record is taken away: other messages are served, `fsck` names
//! it, a repair leaves a sound queue, and a second one has nothing to do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::check::{Aside, SetAside};
use parking_lot::Mutex;

use super::*;

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

/// Keeps what is set aside in memory.
#[derive(Debug, Default)]
struct Kept(Mutex<Vec<(Vec<u8>, Vec<u8>)>>);

impl Aside for Kept {
    fn keep(&self, item: &SetAside<'_>) -> std::io::Result<()> {
        let pair = (item.key.to_vec(), item.value.to_vec());
        self.0.lock().push(pair);
        Ok(())
    }
}

fn pairs(world: &World, from: &[u8], to: &[u8]) -> Pairs {
    let snapshot = world.engine.snapshot(SHARD);
    let found = snapshot
        .scan(from, to, Order::Ascending, 10_000)
        .expect("read");
    let found = found.into_iter();
    found
        .map(|(key, stored)| (key, stored.value.to_vec()))
        .collect()
}

async fn restore(world: &World, before: &Pairs) {
    let now = pairs(world, b"", &[0xff; 4]);
    let mut batch = Batch::new();
    for key in now.keys().filter(|key| !before.contains_key(*key)) {
        batch.delete(key.clone());
    }
    for (key, value) in before
        .iter()
        .filter(|(key, value)| now.get(*key) != Some(value))
    {
        batch.put(key.clone(), value.clone());
    }
    if !batch.is_empty() {
        world.engine.submit(batch).expect("room").done().await;
    }
}

/// A message of many fields with an attempt under way, and another beside it.
async fn busy() -> (World, QueueId, QueueId) {
    let world = World::new();
    let damaged = world.put(&["a@x.test", "b@y.test"]).await;
    let due = world.due().await;
    let lease = world
        .queue
        .lease(&due[0], |_, _| true)
        .await
        .expect("read")
        .expect("due");
    let results = vec![settled(
        0,
        Event::PutOff {
            until_ms: u64::MAX / 2,
        },
    )];
    let change = lease.change(results, Some(attempt(7))).await.expect("fits");
    change.commit().await.expect("written");
    drop(lease);
    let due = world.due().await;
    let lease = world
        .queue
        .lease(&due[0], |_, _| true)
        .await
        .expect("read")
        .expect("due");
    world.last().await;
    // The process ends in the middle of the attempt.
    std::mem::forget(lease);
    let other = world.put(&["c@z.test"]).await;
    (world.restarted(), damaged, other)
}

/// The key with what is there instead.
async fn mended(world: &World, other: QueueId, what: &str) -> bool {
    let found = world.queue.fsck(SHARD).await.expect("it can be read");
    let kept = Arc::new(Kept::default());
    let repaired = world.queue.repair(SHARD, kept.clone()).await;
    let repaired = repaired.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(
        repaired.is_empty(),
        found.is_empty(),
        "{what}: {found:?} {repaired:?}"
    );
    let left = world.queue.fsck(SHARD).await.expect("it can be read");
    assert_eq!(left, [], "{what}: {found:?} {repaired:?}");
    let again = world.queue.repair(SHARD, kept).await.expect("ok");
    assert_eq!(again, [], "{what}");
    assert!(world.queue.show(other).await.is_ok(), "{what}");
    !found.is_empty()
}

#[tokio::test]
async fn every_byte_and_every_record_of_the_queue() {
    let (world, damaged, other) = busy().await;
    let before = pairs(&world, b"", &[0xff; 4]);
    let queue = pairs(&world, b"Q", b"R");
    let mine: Pairs = queue
        .into_iter()
        .filter(|(key, _)| crate::keys::id_of(key) == Some(damaged) || key[3] == crate::keys::DUE)
        .collect();
    let kinds: BTreeSet<u8> = mine.keys().map(|key| key[3]).collect();
    assert_eq!(kinds, BTreeSet::from(*b"dimp"));
    assert_eq!(world.queue.fsck(SHARD).await.expect("read"), []);
    let (mut flips, mut silent) = (0, BTreeMap::<u8, u32>::new());
    for (key, value) in &mine {
        for at in 0..value.len() {
            let mut flipped = value.clone();
            flipped[at] ^= 1 << (at % 8);
            let mut damage = Batch::new();
            damage.put(key.clone(), flipped);
            world.engine.submit(damage).expect("room").done().await;
            let what = format!("byte {at} of {}", key.escape_ascii());
            flips += 1;
            if !mended(&world, other, &what).await {
                *silent.entry(key[3]).or_default() += 1;
            }
            restore(&world, &before).await;
        }
        let mut damage = Batch::new();
        damage.delete(key.clone());
        world.engine.submit(damage).expect("room").done().await;
        let what = format!("without {}", key.escape_ascii());
        let is_intent = key[3] == crate::keys::INTENT;
        // An intent may be lost: an attempt is made again without being counted.
        assert_eq!(mended(&world, other, &what).await, !is_intent, "{what}");
        restore(&world, &before).await;
    }
    // Texts, times and counts that are other valid ones now: only the journal's
    // and the index's checksums protect those.
    assert!(flips > 150, "{flips}");
    assert!(
        !silent.contains_key(&crate::keys::DUE),
        "{silent:?} of {flips}"
    );
}

#[tokio::test]
async fn what_is_set_aside_can_be_sent_by_hand() {
    let (world, damaged, other) = busy().await;
    let mut damage = Batch::new();
    damage.put(crate::keys::message(SHARD, damaged), &b"\x09"[..]);
    world.engine.submit(damage).expect("room").done().await;
    let kept = Arc::new(Kept::default());
    let mended = world.queue.repair(SHARD, kept.clone()).await.expect("ok");
    assert!(mended[0].what.contains(&damaged.to_string()), "{mended:?}");
    let kept = kept.0.lock().clone();
    assert!(kept.iter().any(|(_, value)| value == b"\x09"));
    let body = b"Subject: x\r\n\r\nbody\r\n";
    assert!(
        kept.iter().any(|(_, value)| value == body),
        "the body is kept too"
    );
    assert!(matches!(
        world.queue.show(damaged).await,
        Err(crate::QueueError::NotFound)
    ));
    assert!(world.queue.show(other).await.is_ok());
}

#[tokio::test]
async fn an_outcome_that_cannot_be_read_is_set_aside() {
    let world = World::new();
    let mut key = crate::keys::space(SHARD, crate::keys::TOLD);
    key.extend_from_slice(b"app\0\0\0\0\0\0\0\0\x07");
    let mut damage = Batch::new();
    damage.put(key.clone(), &b"\x09"[..]);
    world.engine.submit(damage).expect("room").done().await;
    let kept = Arc::new(Kept::default());
    let mended = world.queue.repair(SHARD, kept.clone()).await.expect("ok");
    assert_eq!(mended.len(), 1, "{mended:?}");
    assert_eq!(*kept.0.lock(), [(key, b"\x09".to_vec())]);
    assert!(world.keys().is_empty());
}
