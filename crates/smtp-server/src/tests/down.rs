//! A directory that cannot be read: everything waits, nothing bounces.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use engine::{
    Batch, Engine, Extent, Order, ReadError, ShardId, Snapshot, Stats, SubmitError, Ticket,
    Versioned,
};

use super::*;

/// A store whose directory can be broken and mended.
#[derive(Debug)]
struct Breakable {
    inner: MemoryEngine,
    broken: Arc<AtomicBool>,
}

struct Broken(Box<dyn Snapshot>, Arc<AtomicBool>);

impl Broken {
    fn check(&self, key: &[u8]) -> Result<(), ReadError> {
        let of_directory = key.first() == Some(&(engine::keys::Space::Directory as u8));
        if of_directory && self.1.load(Ordering::Relaxed) {
            return Err(ReadError::Damaged("the directory is gone".into()));
        }
        Ok(())
    }
}

impl Snapshot for Broken {
    fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        self.check(key)?;
        self.0.get(key)
    }

    fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        order: Order,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Versioned)>, ReadError> {
        self.check(start)?;
        self.0.scan(start, end, order, limit)
    }
}

impl Engine for Breakable {
    fn shards(&self) -> u16 {
        self.inner.shards()
    }
    fn shard_of_account(&self, account: u64) -> ShardId {
        self.inner.shard_of_account(account)
    }
    fn put_body(&self, shard: ShardId, frame: &[u8]) -> Result<Extent, SubmitError> {
        self.inner.put_body(shard, frame)
    }
    fn read_body(&self, extent: &Extent) -> Result<Bytes, ReadError> {
        self.inner.read_body(extent)
    }
    fn submit(&self, batch: Batch) -> Result<Ticket, SubmitError> {
        self.inner.submit(batch)
    }
    fn snapshot(&self, shard: ShardId) -> Box<dyn Snapshot> {
        Box::new(Broken(self.inner.snapshot(shard), Arc::clone(&self.broken)))
    }
    fn has_room_for(&self, bytes: u64) -> bool {
        self.inner.has_room_for(bytes)
    }
    fn stats(&self) -> Stats {
        self.inner.stats()
    }
}

#[tokio::test]
async fn with_the_directory_down_rcpt_is_451_whoever_it_is_for() {
    let broken = Arc::new(AtomicBool::new(false));
    let engine: SharedEngine = Arc::new(Breakable {
        inner: MemoryEngine::new(1),
        broken: Arc::clone(&broken),
    });
    let world = World::over(engine, |policy, _| policy).await;
    let rules = "[relay_domain.\"primary.test\"]\n\
                 [[rule]]\nname = \"moved\"\nwhen.recipient = \"old@demo.test\"\nrewrite_recipient = \"bob@demo.test\"\n";
    let rules = settings::rules::Rules::parse(rules).unwrap();
    world.ports.policy.rules().replace(rules);
    broken.store(true, Ordering::Relaxed);
    let mut client = world.stranger().await;
    client
        .dialogue(&[
            ("MAIL FROM:<x@far.test>", "250"),
            // A user, nobody, an alias by rule, a domain that is not ours, roles.
            ("RCPT TO:<carol@other.test>", "451 4.3.0"),
            ("RCPT TO:<nobody@demo.test>", "451 4.3.0"),
            ("RCPT TO:<old@demo.test>", "451 4.3.0"),
            ("RCPT TO:<x@elsewhere.test>", "451 4.3.0"),
            ("RCPT TO:<x@primary.test>", "451 4.3.0"),
            ("RCPT TO:<postmaster>", "451 4.3.0"),
            ("DATA", "554 5.5.1"),
        ])
        .await;
    broken.store(false, Ordering::Relaxed);
    client
        .dialogue(&[
            ("RCPT TO:<carol@other.test>", "250"),
            ("RCPT TO:<nobody@demo.test>", "550 5.1.1"),
            ("RCPT TO:<old@demo.test>", "250"),
            ("RCPT TO:<x@elsewhere.test>", "550 5.7.1"),
            ("RCPT TO:<x@primary.test>", "250"),
        ])
        .await;
}
