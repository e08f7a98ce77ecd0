//! The set-up that the tests share: an engine that counts the records given to
//! it, and accounts that are filled quickly.

use blobs::Blobs;
use bytes::Bytes;
use engine::{
    Batch, Engine, Extent, ReadError, ShardId, SharedEngine, Snapshot, Stats, SubmitError, Ticket,
};
use envelope::AccountId;
use mailbox_model::{Flag, MailboxId};
use mailstore::{Account, InternalDate, Mailstore, NewEmail, Options, QuotaLimits, QuotaRule};
use runtime::Runtime;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) const ALICE: AccountId = AccountId(1);

/// Emails in one commit of [`Room::deliver`].
const TOGETHER: usize = 4000;

/// An engine that counts the bytes of keys and values submitted.
#[derive(Debug)]
struct Counting<E> {
    inner: Arc<E>,
    record_bytes: AtomicU64,
}

impl<E: Engine> Engine for Counting<E> {
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
        let bytes = batch.size_bytes() as u64;
        self.record_bytes.fetch_add(bytes, Ordering::Relaxed);
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

/// A store over an engine.
pub(crate) struct Room<E> {
    engine: Arc<Counting<E>>,
    blobs: Arc<Blobs>,
}

impl<E: Engine + 'static> Room<E> {
    pub(crate) fn over(engine: Arc<E>) -> Self {
        let engine = Arc::new(Counting {
            inner: engine,
            record_bytes: AtomicU64::new(0),
        });
        let shared: SharedEngine = engine.clone();
        let blobs = Arc::new(Blobs::new(shared));
        Self { engine, blobs }
    }

    /// A store with nothing in memory.
    pub(crate) fn store(&self, options: Options) -> Mailstore {
        let shared: SharedEngine = self.engine.clone();
        Mailstore::new(shared, self.blobs.clone(), Runtime::for_tests(), options)
    }

    pub(crate) async fn create(&self, ids: impl IntoIterator<Item = AccountId>) {
        let store = self.store(Options::default());
        for id in ids {
            let mut batch = Batch::new();
            store
                .create_account(&mut batch, id, QuotaLimits::default())
                .expect("valid");
            self.engine.submit(batch).expect("room").done().await;
        }
    }

    pub(crate) async fn deliver(
        &self,
        account: &Arc<Account>,
        to: MailboxId,
        count: usize,
        flags: &[Flag],
    ) {
        let mut writer = self.blobs.writer(account.shard());
        writer.push(b"text").expect("room");
        let mut blob = writer.finish().expect("room");
        let email = NewEmail {
            blob: blob.id,
            blob_size: blob.size,
            prefix: Bytes::new(),
            digest: Bytes::new(),
            received_at: InternalDate::default(),
            flags: flags.to_vec(),
        };
        let mut left = count;
        while left > 0 {
            let now = left.min(TOGETHER);
            let mut batch = Batch::new();
            self.blobs.stage(&mut batch, &mut blob).expect("room");
            let mut lane = account.lane().await.expect("free");
            let emails = vec![email.clone(); now];
            lane.stage_deliver(&mut batch, to, &emails, QuotaRule::Ignore)
                .expect("room");
            lane.submit(batch).expect("room").done().await;
            left -= now;
        }
    }

    /// Bytes written to the journal, and bytes of records, so far.
    pub(crate) fn written(&self) -> (u64, u64) {
        let records = self.engine.record_bytes.load(Ordering::Relaxed);
        (self.engine.stats().bytes_written, records)
    }
}
