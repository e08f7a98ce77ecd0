//! A directory whose store cannot be read: every answer is "not now".

use super::*;
use crate::{AuthFailure, Caller, DirectoryError, Service};
use bytes::Bytes;
use engine::{
    Engine, Extent, Order, ReadError, ShardId, Snapshot, Stats, SubmitError, Ticket, Versioned,
};
use sasl::scram::{Hash, ScramName};
use sasl::{Credentials, Question};
use std::sync::atomic::{AtomicBool, Ordering};

/// An engine that can be broken and mended.
#[derive(Debug)]
struct Breakable {
    inner: MemoryEngine,
    broken: Arc<AtomicBool>,
}

struct Broken(Box<dyn Snapshot>, Arc<AtomicBool>);

impl Broken {
    fn check(&self) -> Result<(), ReadError> {
        if self.1.load(Ordering::Relaxed) {
            return Err(ReadError::Damaged("the disk is gone".into()));
        }
        Ok(())
    }
}

impl Snapshot for Broken {
    fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        self.check()?;
        self.0.get(key)
    }

    fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        order: Order,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Versioned)>, ReadError> {
        self.check()?;
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

const CALLER: Caller = Caller {
    service: Service::Smtp,
    peer: std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
};

fn password(login: &str) -> Question {
    Question::Password(Credentials {
        authorization: None,
        login: login.into(),
        password: Secret::from("demo"),
    })
}

#[tokio::test]
async fn a_directory_that_is_down_says_not_now_and_counts_nothing() {
    let broken = Arc::new(AtomicBool::new(false));
    let engine: SharedEngine = Arc::new(Breakable {
        inner: MemoryEngine::new(1),
        broken: Arc::clone(&broken),
    });
    let runtime = Runtime::for_tests();
    let directory = Directory::new(engine, runtime, Options::for_tests());
    let added = directory.domain_add(&domain("demo.test"), None).await;
    added.expect("added");
    let bob = NewAccount::new(address("bob@demo.test"), Some(Secret::from("demo")));
    let added = directory.account_add(bob, &make_mail).await;
    added.expect("added");
    broken.store(true, Ordering::Relaxed);
    directory.refresh();
    let salt = Question::Salt(ScramName {
        hash: Hash::Sha256,
        login: "bob@demo.test".into(),
        authorization: None,
    });
    let questions = [
        password("bob@demo.test"),
        password("bob"),
        password("nobody@demo.test"),
        salt,
    ];
    for question in &questions {
        // More often than wrong passwords may come.
        for _ in 0..50 {
            let answer = directory.answer(question, CALLER).await;
            let Err(failure) = answer else {
                panic!("{question:?}: {answer:?}");
            };
            assert!(matches!(failure, AuthFailure::Temporary(_)), "{failure:?}");
            assert!(failure.is_temporary());
            let text = failure.to_string();
            assert!(!text.contains("disk"), "our trouble stays with us: {text}");
        }
    }
    let resolved = directory.resolve(&address("bob@demo.test")).await;
    assert!(matches!(resolved, Err(DirectoryError::Read(_))));
    let resolved = directory.resolve(&address("nobody@demo.test")).await;
    assert!(matches!(resolved, Err(DirectoryError::Read(_))));
    assert!(directory.survey().await.is_err());
    broken.store(false, Ordering::Relaxed);
    let answer = directory.answer(&password("bob"), CALLER).await;
    answer.expect("nothing was counted, nothing kept");
}
