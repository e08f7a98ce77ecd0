//! The queue over the memory engine, with three shards.

mod admin;
mod crash;
mod flips;
mod flow;
mod told;

use std::sync::Arc;

use blobs::{Blobs, Owner};
use bytes::Bytes;
use engine::{Batch, MemoryEngine, Order, ShardId, SharedEngine};
use envelope::{Address, Domain, Envelope, Recipient, ReversePath};
use queue_model::{Event, QueueId};
use runtime::Runtime;

use crate::{Attempt, Due, Line, NewMessage, Origin, Place, Queue, Settlement, Start};

const SHARD: ShardId = ShardId(1);
/// The body of every message.
const BODY: &[u8] = b"Subject: x\r\n\r\nbody\r\n";

struct World {
    engine: SharedEngine,
    blobs: Arc<Blobs>,
    runtime: Runtime,
    queue: Queue,
}

impl World {
    fn new() -> Self {
        let engine: SharedEngine = Arc::new(MemoryEngine::new(3));
        let blobs = Arc::new(Blobs::new(Arc::clone(&engine)));
        let runtime = Runtime::for_tests();
        let queue = Queue::new(Arc::clone(&engine), Arc::clone(&blobs), runtime.clone());
        Self {
            engine,
            blobs,
            runtime,
            queue,
        }
    }

    /// The same store after the process has ended.
    fn restarted(self) -> Self {
        let queue = Queue::new(
            Arc::clone(&self.engine),
            Arc::clone(&self.blobs),
            self.runtime.clone(),
        );
        let runtime = self.runtime.clone();
        Self {
            queue,
            runtime,
            ..self
        }
    }

    async fn put(&self, recipients: &[&str]) -> QueueId {
        self.put_with(recipients, Start::Now).await
    }

    async fn put_with(&self, recipients: &[&str], start: Start) -> QueueId {
        let mut batch = Batch::new();
        let id = self.stage(&mut batch, recipients, start);
        self.engine.submit(batch).expect("taken").done().await;
        id
    }

    fn stage(&self, batch: &mut Batch, recipients: &[&str], start: Start) -> QueueId {
        let mut writer = self.blobs.writer(SHARD);
        writer.push(BODY).expect("written");
        let mut blob = writer.finish().expect("finished");
        self.blobs.stage(batch, &mut blob).expect("staged");
        let mut envelope = Envelope::new(ReversePath::Address(address("ann@here.test")));
        envelope.recipients = recipients
            .iter()
            .map(|to| Recipient::new(address(to)))
            .collect();
        let new = NewMessage {
            blob: blob.id,
            blob_size: blob.size,
            body: blob.bytes().cloned(),
            prefix: Bytes::from_static(b"Received: y\r\n"),
            envelope,
            origin: Origin::default(),
            start,
        };
        self.queue.stage(batch, SHARD, new)
    }

    /// Everything submitted before is visible: commits of a shard become so in order.
    async fn settle(&self) {
        let mut batch = Batch::new();
        batch.put(engine::keys::account(SHARD.0.into()), Bytes::new());
        self.engine.submit(batch).expect("taken").done().await;
    }

    /// Attempts that are under way have their intents on the disk.
    async fn last(&self) {
        // The writer gets its turn: it begins to wait, and then time passes for it.
        for _ in 0..20 {
            self.runtime.blocking(std::thread::yield_now).await;
            self.runtime.advance(crate::limits::INTENT_AFTER);
        }
        self.settle().await;
    }

    /// What is due in all lines, in order of time.
    async fn due(&self) -> Vec<Due> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            // Small pages, so that going on is tried too.
            let (lines, next) = self.queue.lines(after, 2).await.expect("read");
            let now = self.runtime.now().unix_ms;
            let pages = self.queue.due(lines, now, 1000).await.expect("read");
            all.extend(pages.into_iter().flat_map(|page| page.entries));
            after = next;
            if after.is_none() {
                break;
            }
        }
        all.sort_by_key(Due::place);
        all
    }

    /// The times that were told since the last call.
    fn told(&self) -> Vec<u64> {
        let added = self.queue.news().take_added();
        added.dues.iter().map(|due| due.due_ms).collect()
    }

    /// Every key of the queue in any shard, and every link of the queue to a body.
    fn keys(&self) -> Vec<Vec<u8>> {
        let scan = |shard| {
            let snapshot = self.engine.snapshot(ShardId(shard));
            let mut pairs = snapshot
                .scan(b"Q", b"R", Order::Ascending, 10_000)
                .expect("read");
            // How recipients ended stays.
            pairs.retain(|(key, _)| key.get(3) != Some(&b'e'));
            let links = snapshot
                .scan(b"B", b"C", Order::Ascending, 10_000)
                .expect("read");
            pairs.extend(links.into_iter().filter(|(key, _)| key.len() == 53));
            pairs
        };
        (0..3).flat_map(scan).map(|(key, _)| key).collect()
    }

    fn owners(&self, id: QueueId) -> Vec<Owner> {
        let blob = self.queue.inner.load_now(SHARD, id).expect("there").0.blob;
        self.blobs.owners(SHARD, blob, 10).expect("read")
    }
}

fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

fn domain(text: &str) -> Domain {
    Domain::parse(text).expect("a domain")
}

fn line(text: &str) -> Line {
    Line {
        shard: SHARD,
        domain: domain(text),
        way: None,
    }
}

fn settled(place: usize, event: Event) -> Settlement {
    Settlement {
        place,
        event,
        counts: true,
        tells_delay: false,
        reason: Some(format!("because {place}")),
    }
}

fn attempt(at_ms: u64) -> Attempt {
    Attempt {
        at_ms,
        site: "mx.there.test".into(),
        delivered: 0,
        deferred: 1,
        failed: 0,
        reason: Some("451 later".into()),
    }
}
