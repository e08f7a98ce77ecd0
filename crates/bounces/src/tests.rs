//! Keys that come, follow each other and go, over the memory engine.

use std::sync::Arc;
use std::time::Duration;

use engine::{Batch, Engine, MemoryEngine, ShardId};
use envelope::{Address, Domain};
use runtime::Runtime;

use crate::limits::KEY_AGE;
use crate::{KEYS_PREFIX, Returns, Unproven};

const DAY: Duration = Duration::from_secs(86_400);

struct World {
    engine: Arc<MemoryEngine>,
    runtime: Runtime,
    returns: Returns,
}

impl World {
    fn new() -> Self {
        let engine = Arc::new(MemoryEngine::new(2));
        let runtime = Runtime::for_tests();
        let returns = Returns::new(engine.clone(), runtime.clone());
        Self {
            engine,
            runtime,
            returns,
        }
    }

    fn restart(&mut self) {
        self.returns = Returns::new(self.engine.clone(), self.runtime.clone());
    }

    async fn forwarded(&self) -> Address {
        let maker = self.returns.maker().await.expect("a key");
        let us = Domain::parse("us.test").expect("valid");
        maker.for_forward(&ann(), &us).expect("it fits")
    }

    fn record(&self) -> Option<usize> {
        let snapshot = self.engine.snapshot(ShardId(0));
        let stored = snapshot.get(&KEYS_PREFIX).expect("readable");
        stored.map(|stored| (stored.value.len() - 1) / 40)
    }
}

fn ann() -> Address {
    Address::parse("ann@far.test").expect("valid")
}

#[tokio::test]
async fn the_first_forward_makes_a_key_that_outlives_a_restart() {
    let mut world = World::new();
    assert_eq!(world.returns.original(&ann()).await, None);
    assert_eq!(world.record(), None);
    let there = world.forwarded().await;
    assert_eq!(world.record(), Some(1));
    world.restart();
    assert_eq!(world.returns.original(&there).await, Some(Ok(ann())));
    assert_eq!(world.forwarded().await, there);
    // Another store's is none of ours.
    let other = World::new();
    let refused = Some(Err(Unproven::Forged));
    assert_eq!(other.returns.original(&there).await, refused);
}

#[tokio::test]
async fn keys_follow_each_other_and_go_when_they_prove_nothing_more() {
    let mut world = World::new();
    let first = world.forwarded().await;
    world.runtime.advance(KEY_AGE - DAY);
    let late = world.forwarded().await;
    assert_eq!(world.record(), Some(1));
    world.runtime.advance(DAY);
    let second = world.forwarded().await;
    assert_eq!(world.record(), Some(2));
    world.restart();
    for (address, wanted) in [
        (&first, Err(Unproven::Expired)),
        (&late, Ok(ann())),
        (&second, Ok(ann())),
    ] {
        assert_eq!(world.returns.original(address).await, Some(wanted));
    }
    for _ in 0..3 {
        world.runtime.advance(KEY_AGE);
        let there = world.forwarded().await;
        assert_eq!(world.record(), Some(2));
        assert_eq!(world.returns.original(&there).await, Some(Ok(ann())));
        // Its key is gone.
        let refused = Some(Err(Unproven::Forged));
        assert_eq!(world.returns.original(&first).await, refused);
    }
}

#[tokio::test]
async fn a_tagged_sender_is_known_again() {
    let world = World::new();
    let maker = world.returns.maker().await.expect("a key");
    let tagged = maker.tagged(&ann()).expect("it fits");
    assert_eq!(world.returns.untagged(&tagged).await, Some(Ok(ann())));
    assert_eq!(world.returns.untagged(&ann()).await, None);
    assert_eq!(world.returns.original(&tagged).await, None);
    let other = World::new();
    let refused = Some(Err(Unproven::Forged));
    assert_eq!(other.returns.untagged(&tagged).await, refused);
    world.runtime.advance(8 * DAY);
    let refused = Some(Err(Unproven::Expired));
    assert_eq!(world.returns.untagged(&tagged).await, refused);
}

#[tokio::test]
async fn a_damaged_record_gives_way_to_a_new_key() {
    let mut world = World::new();
    let there = world.forwarded().await;
    let mut batch = Batch::new();
    batch.put(KEYS_PREFIX.to_vec(), b"\x01short".to_vec());
    world.engine.submit(batch).expect("submitted").done().await;
    world.restart();
    let refused = Some(Err(Unproven::Forged));
    assert_eq!(world.returns.original(&there).await, refused);
    let there = world.forwarded().await;
    assert_eq!(world.record(), Some(1));
    assert_eq!(world.returns.original(&there).await, Some(Ok(ann())));
}
