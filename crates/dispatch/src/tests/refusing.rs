//! A store that does not take reports for a while.

use super::*;
use engine::{Engine, Extent, ReadError, Snapshot, Stats, SubmitError, Ticket};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Takes everything, but bodies only when it is no longer asked to refuse them.
#[derive(Debug)]
struct Refusing {
    inner: MemoryEngine,
    refuses: AtomicUsize,
    refused: AtomicUsize,
}

impl Engine for Refusing {
    fn shards(&self) -> u16 {
        self.inner.shards()
    }

    fn shard_of_account(&self, account: u64) -> ShardId {
        self.inner.shard_of_account(account)
    }

    fn put_body(&self, shard: ShardId, frame: &[u8]) -> Result<Extent, SubmitError> {
        let next = |left: usize| left.checked_sub(1);
        let order = Ordering::SeqCst;
        if self.refuses.fetch_update(order, order, next).is_ok() {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(SubmitError::Full);
        }
        self.inner.put_body(shard, frame)
    }

    fn read_body(&self, extent: &Extent) -> Result<Bytes, ReadError> {
        self.inner.read_body(extent)
    }

    fn submit(&self, batch: Batch) -> Result<Ticket, SubmitError> {
        self.inner.submit(batch)
    }

    fn snapshot(&self, shard: ShardId) -> Box<dyn Snapshot> {
        self.inner.snapshot(shard)
    }

    fn has_room_for(&self, bytes: u64) -> bool {
        self.inner.has_room_for(bytes)
    }

    fn stats(&self) -> Stats {
        self.inner.stats()
    }
}

fn world() -> (World, Arc<Refusing>) {
    let engine = Arc::new(Refusing {
        inner: MemoryEngine::new(3),
        refuses: AtomicUsize::new(0),
        refused: AtomicUsize::new(0),
    });
    let shared: SharedEngine = engine.clone();
    (World::over(shared, Runtime::for_tests()), engine)
}

/// Time passes for who waits for the store.
async fn work_while_time_passes(world: &World, engine: &Refusing) {
    let mut dispatcher = world.dispatcher();
    let passing = async {
        loop {
            world.runtime.blocking(|| ()).await;
            if engine.refused.load(Ordering::SeqCst) > 0 {
                world.runtime.advance(Duration::from_millis(100));
            }
        }
    };
    tokio::select! {
        () = dispatcher.work() => {}
        () = passing => {}
    }
}

fn success(new: &mut NewMessage) {
    new.envelope.recipients[0].notify = Notify::On {
        success: true,
        failure: true,
        delay: false,
    };
}

#[tokio::test]
async fn what_was_sent_waits_for_its_report_and_is_sent_once() {
    let (world, engine) = world();
    world
        .put_with("ann@here.test", &["bob@there.test"], success)
        .await;
    engine.refuses.store(3, Ordering::SeqCst);
    work_while_time_passes(&world, &engine).await;
    assert_eq!(engine.refused.load(Ordering::SeqCst), 3);
    assert_eq!(world.script.take_seen().len(), 1, "one copy");
    let mail = world.mail();
    assert_eq!(mail.len(), 1);
    assert!(mail[0].1.contains("Action: relayed"));
    assert_eq!(world.queue_keys(), 0);
}

#[tokio::test]
async fn a_refusal_is_not_recorded_without_its_report() {
    let (world, engine) = world();
    world.script.says("bob@there.test", &[never()]);
    let id = world.put("ann@here.test", &["bob@there.test"]).await;
    engine.refuses.store(usize::MAX, Ordering::SeqCst);
    let mut dispatcher = world.dispatcher();
    let refused = async {
        while engine.refused.load(Ordering::SeqCst) == 0 {
            world.runtime.blocking(|| ()).await;
        }
    };
    tokio::select! {
        () = dispatcher.work() => panic!("nothing can be recorded"),
        () = refused => {}
    }
    drop(dispatcher);
    world.settle().await;
    assert!(world.mail().is_empty());
    engine.refuses.store(0, Ordering::SeqCst);
    // Another process finds the recipient where it was, and tells of it.
    let restarted = World::over(Arc::clone(&world.engine), world.runtime.clone());
    restarted.script.says("bob@there.test", &[never()]);
    restarted.queue.recover().await.expect("recovered");
    assert_eq!(restarted.states(id).await, ["todo"]);
    restarted.dispatcher().work().await;
    assert!(restarted.mail()[0].1.contains("Action: failed"));
    assert_eq!(restarted.queue_keys(), 0);
}

#[tokio::test]
async fn a_local_copy_is_not_made_without_its_report() {
    let (world, engine) = world();
    world
        .put_with("ann@here.test", &["bob@here.test"], success)
        .await;
    engine.refuses.store(1, Ordering::SeqCst);
    let mut dispatcher = world.dispatcher();
    dispatcher.work().await;
    assert!(world.mail().is_empty(), "neither the copy nor the report");
    world.runtime.advance(minutes(6));
    dispatcher.work().await;
    let mail = world.mail();
    assert_eq!(mail.len(), 2, "the copy and the report");
    assert!(mail[1].1.contains("Action: delivered"));
    assert_eq!(world.queue_keys(), 0);
}
