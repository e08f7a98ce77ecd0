//! The set-up that the other tests share.

use crate::{Account, InternalDate, Mailstore, NewEmail, Options, QuotaLimits};
use blobs::{Blobs, StagedBlob};
use bytes::Bytes;
use engine::{
    Batch, Engine, Extent, MemoryEngine, ReadError, ShardId, SharedEngine, Snapshot, Stats,
    SubmitError, Ticket,
};
use envelope::AccountId;
use mailbox_model::{MailboxId, MailboxName};
use runtime::Runtime;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

pub(super) const ALICE: AccountId = AccountId(1);
pub(super) const BOB: AccountId = AccountId(2);

/// A memory engine that can be told to be full.
#[derive(Debug)]
pub(super) struct Limited {
    inner: MemoryEngine,
    /// Commits until it is full; negative is never.
    pub(super) left: AtomicI64,
}

impl Engine for Limited {
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
        if self.left.load(Ordering::SeqCst) == 0 {
            return Err(SubmitError::Full);
        }
        self.left.fetch_sub(1, Ordering::SeqCst);
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

pub(super) struct Room {
    pub(super) engine: Arc<Limited>,
    pub(super) blobs: Arc<Blobs>,
    pub(super) store: Mailstore,
    pub(super) runtime: Runtime,
}

impl Room {
    pub(super) async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub(super) async fn with(options: Options) -> Self {
        let inner = MemoryEngine::new(3);
        let engine = Arc::new(Limited {
            inner,
            left: AtomicI64::new(-1),
        });
        let room = Self::over(engine, options, Runtime::for_tests());
        room.create(ALICE, QuotaLimits::default()).await;
        room.create(BOB, QuotaLimits::default()).await;
        room
    }

    fn over(engine: Arc<Limited>, options: Options, runtime: Runtime) -> Self {
        let shared: SharedEngine = Arc::clone(&engine) as SharedEngine;
        let blobs = Arc::new(Blobs::new(Arc::clone(&shared)));
        let store = Mailstore::new(shared, Arc::clone(&blobs), runtime.clone(), options);
        Self {
            engine,
            blobs,
            store,
            runtime,
        }
    }

    /// Another process over the same engine, with nothing in memory.
    pub(super) fn reopened(&self) -> Self {
        let engine = Arc::clone(&self.engine);
        Self::over(engine, self.store.shared.options, self.runtime.clone())
    }

    pub(super) async fn create(&self, id: AccountId, limits: QuotaLimits) {
        let mut batch = Batch::new();
        self.store
            .create_account(&mut batch, id, limits)
            .expect("the names are valid");
        self.engine
            .submit(batch)
            .expect("a new account")
            .done()
            .await;
    }

    pub(super) async fn account(&self, id: AccountId) -> Arc<Account> {
        self.store.account(id).await.expect("the account is there")
    }

    pub(super) fn message(&self, id: AccountId, text: &[u8]) -> (StagedBlob, NewEmail) {
        let mut writer = self.blobs.writer(self.store.shard(id));
        writer.push(text).expect("room");
        let blob = writer.finish().expect("room");
        let email = NewEmail {
            blob: blob.id,
            blob_size: blob.size,
            prefix: Bytes::from_static(b"Delivered-To: me\r\n"),
            digest: Bytes::from_static(b"digest"),
            received_at: InternalDate {
                unix_seconds: 1_000,
                zone_minutes: 120,
            },
            flags: Vec::new(),
        };
        (blob, email)
    }

    pub(super) async fn append(&self, account: &Arc<Account>, to: MailboxId, text: &[u8]) -> u32 {
        let (blob, email) = self.message(account.id(), text);
        let done = account
            .append(to, vec![blob], &[email])
            .await
            .expect("it fits");
        done.emails[0].1.0
    }

    /// A message with the digest that delivery makes.
    pub(super) async fn append_indexed(&self, account: &Arc<Account>, to: MailboxId, text: &str) {
        let (blob, mut email) = self.message(account.id(), text.as_bytes());
        email.digest = mime::digest(text.as_bytes()).encode().into();
        let done = account.append(to, vec![blob], &[email]).await;
        done.expect("it fits");
    }

    pub(super) fn days_pass(&self, days: u64) {
        self.runtime
            .advance(std::time::Duration::from_secs(days * 86_400));
    }

    /// Everything in memory is what is stored, and that is sound.
    pub(super) async fn check(&self, id: AccountId) {
        let findings = self.store.fsck(id).await.expect("it can be read");
        assert_eq!(findings, []);
        let live = self.account(id).await.view();
        let loaded = self.reopened().account(id).await.view();
        assert_eq!(live, loaded);
    }
}

pub(super) fn name(text: &str) -> MailboxName {
    MailboxName::parse(text).expect("a valid name")
}

pub(super) fn inbox(account: &Account) -> MailboxId {
    account.view().inbox().expect("always there").id()
}

pub(super) fn mailbox(account: &Account, text: &str) -> MailboxId {
    account
        .view()
        .mailbox_named(&name(text))
        .expect("it is there")
        .id()
}
