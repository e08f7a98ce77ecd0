//! A small system to be backed up, and the ways to look at it.

use crate::restore::Destination;
use crate::run::{self, Options, Source, Watch};
use crate::target::{Target, TargetFile, TargetWriter};
use crate::{Backup, BackupError, Done, Folder, Passphrase, Sizes};
use blobs::{Blobs, StagedBlob};
use bytes::Bytes;
use directory::{Directory, NewAccount};
use engine::{Batch, EmbeddedEngine, MemoryEngine, Order, ShardId, SharedEngine, keys};
use envelope::{AccountId, Address, Domain, Envelope, Recipient, ReversePath};
use mailbox_model::stage::{Expunging, FlagAction};
use mailbox_model::{Flag, MailboxId, MailboxName, Uid, UidSet};
use mailstore::{Account, InternalDate, Mailstore, NewEmail, QuotaLimits};
use queue::{NewMessage, Origin, Queue, Start};
use runtime::Runtime;
use runtime::process::Executor;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

pub(super) struct World {
    pub(super) runtime: Runtime,
    pub(super) engine: SharedEngine,
    pub(super) blobs: Arc<Blobs>,
    pub(super) mailstore: Mailstore,
    pub(super) directory: Directory,
    pub(super) queue: Queue,
    // Dropped last.
    _executor: Arc<Executor>,
}

pub(super) fn executor() -> Arc<Executor> {
    Arc::new(runtime::process::build(Some(2)).expect("threads"))
}

impl World {
    pub(super) fn over(engine: SharedEngine, executor: &Arc<Executor>) -> Self {
        let runtime = executor.runtime();
        let blobs = Arc::new(Blobs::new(Arc::clone(&engine)));
        let mailstore = Mailstore::new(
            Arc::clone(&engine),
            Arc::clone(&blobs),
            runtime.clone(),
            mailstore::Options::default(),
        );
        let queue = Queue::new(Arc::clone(&engine), Arc::clone(&blobs), runtime.clone());
        let options = directory::Options::for_tests();
        let directory = Directory::new(Arc::clone(&engine), runtime.clone(), options);
        Self {
            runtime,
            engine,
            blobs,
            mailstore,
            directory,
            queue,
            _executor: Arc::clone(executor),
        }
    }

    /// In memory, with three shards.
    pub(super) fn in_memory() -> Self {
        Self::over(Arc::new(MemoryEngine::new(3)), &executor())
    }

    pub(super) fn in_folder(folder: &Path) -> Self {
        Self::over(embedded(folder), &executor())
    }

    /// An empty system with as many shards.
    pub(super) fn empty(&self) -> Self {
        let engine = MemoryEngine::new(self.engine.shards());
        Self::over(Arc::new(engine), &self._executor)
    }

    pub(super) fn source(&self) -> Source {
        Source {
            engine: Arc::clone(&self.engine),
            blobs: Arc::clone(&self.blobs),
            runtime: self.runtime.clone(),
        }
    }

    pub(super) fn destination(&self) -> Destination {
        Destination {
            engine: Arc::clone(&self.engine),
            blobs: Arc::clone(&self.blobs),
        }
    }

    pub(super) fn back_up(&self, target: &dyn Target) -> Result<Done, BackupError> {
        self.back_up_as(target, &small(None), &mut ())
    }

    pub(super) fn back_up_as(
        &self,
        target: &dyn Target,
        options: &Options,
        watch: &mut dyn Watch,
    ) -> Result<Done, BackupError> {
        // Runs are a second apart at least.
        run::run(&self.source(), target, options, watch)
    }

    pub(super) fn add_domain(&self, name: &str) {
        let domain = Domain::parse(name).expect("a domain");
        let added = self.directory.domain_add(&domain, None);
        self.runtime.block_on(added).expect("added");
    }

    pub(super) fn add_account(&self, address: &str) -> AccountId {
        let new = NewAccount::new(Address::parse(address).expect("an address"), None);
        let mailstore = &self.mailstore;
        let stage = |batch: &mut Batch, id| {
            mailstore
                .create_account(batch, id, QuotaLimits::default())
                .map_err(|error| error.to_string())
        };
        let added = self
            .runtime
            .block_on(self.directory.account_add(new, &stage));
        let id = added.expect("added").id;
        if self.engine.shard_of_account(id.0) != ShardId(0) {
            self.runtime
                .block_on(self.mailstore.account(id))
                .expect("made in its own shard");
        }
        id
    }

    pub(super) fn account(&self, id: AccountId) -> Arc<Account> {
        self.runtime
            .block_on(self.mailstore.account(id))
            .expect("the account is there")
    }

    pub(super) fn body(&self, shard: ShardId, text: &[u8]) -> StagedBlob {
        let mut writer = self.blobs.writer(shard);
        writer.push(text).expect("room");
        writer.finish().expect("room")
    }

    pub(super) fn mail(&self, to: AccountId, mailbox: &str, text: &[u8], flags: &[&str]) -> Uid {
        let account = self.account(to);
        let body = self.body(account.shard(), text);
        let email = NewEmail {
            blob: body.id,
            blob_size: body.size,
            prefix: Bytes::from(format!("Delivered-To: {to}\r\n")),
            digest: Bytes::from_static(b"digest"),
            received_at: InternalDate {
                unix_seconds: 1_000_000,
                zone_minutes: 60,
            },
            flags: flags.iter().filter_map(|flag| Flag::parse(flag)).collect(),
        };
        let to = mailbox_id(&account, mailbox);
        let appended = self
            .runtime
            .block_on(account.append(to, vec![body], &[email]))
            .expect("appended");
        appended.emails[0].1
    }

    pub(super) fn expunge(&self, of: AccountId, mailbox: &str, uids: &[u32]) {
        let account = self.account(of);
        let uids: UidSet = uids.iter().map(|&uid| Uid(uid)).collect();
        let gone = account.expunge(mailbox_id(&account, mailbox), Expunging::Exactly(&uids));
        self.runtime.block_on(gone).expect("expunged");
    }

    pub(super) fn flag(&self, of: AccountId, mailbox: &str, uid: Uid, flag: &str) {
        let account = self.account(of);
        let flags: Vec<Flag> = Flag::parse(flag).into_iter().collect();
        let uids = UidSet::one(uid);
        let to = mailbox_id(&account, mailbox);
        let stored = account.store_flags(to, &uids, FlagAction::Add, &flags, None);
        self.runtime.block_on(stored).expect("stored");
    }

    pub(super) fn queue_message(&self, text: &[u8]) {
        let shard = ShardId(self.engine.shards() - 1);
        let mut body = self.body(shard, text);
        let mut batch = Batch::new();
        self.blobs.stage(&mut batch, &mut body).expect("staged");
        let to = Address::parse("someone@elsewhere.test").expect("an address");
        let message = NewMessage {
            blob: body.id,
            blob_size: body.size,
            body: None,
            prefix: Bytes::new(),
            envelope: Envelope {
                recipients: vec![Recipient::new(to)],
                ..Envelope::new(ReversePath::Null)
            },
            origin: Origin::default(),
            start: Start::Held {
                reason: "a test".into(),
            },
        };
        self.queue.stage(&mut batch, shard, message);
        self.engine.submit(batch).expect("taken").done_blocking();
    }

    /// A few people with a bit of everything that a store holds.
    pub(super) fn populated(self) -> (Self, Vec<AccountId>) {
        self.add_domain("a.test");
        let people: Vec<AccountId> = ["ann", "bob", "cat", "dan"]
            .iter()
            .map(|name| self.add_account(&format!("{name}@a.test")))
            .collect();
        for (at, &id) in people.iter().enumerate() {
            for n in 0..12 {
                self.mail(id, "INBOX", &text(at, n), &["$Work"]);
            }
            // One body for all.
            self.mail(
                id,
                "INBOX",
                b"Subject: to all\r\n\r\nhello\r\n",
                &["\\Seen"],
            );
            self.expunge(id, "INBOX", &[2, 5]);
        }
        let account = self.account(people[1]);
        let (inbox, archive) = (
            mailbox_id(&account, "INBOX"),
            mailbox_id(&account, "Archive"),
        );
        let some = UidSet::range(Uid(3), Uid(8));
        self.runtime
            .block_on(account.copy(inbox, archive, &some))
            .expect("copied");
        self.flag(people[1], "INBOX", Uid(4), "\\Deleted");
        self.runtime
            .block_on(account.checkpoint())
            .expect("a checkpoint");
        self.mail(people[2], "Sent", &large(700_000), &[]);
        self.mail(people[2], "Sent", b"", &["\\Draft"]);
        self.queue_message(b"Subject: waits\r\n\r\nin the queue\r\n");
        // An upload that was given up: chunks that nobody names.
        let mut given_up = self.blobs.writer(ShardId(0));
        given_up.push(&large(600_000)).expect("room");
        drop(given_up);
        (self, people)
    }

    /// Every record but those of bodies, and every body's octets.
    pub(super) fn everything(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut all = BTreeMap::new();
        for shard in (0..self.engine.shards()).map(ShardId) {
            let snapshot = self.engine.snapshot(shard);
            let pairs = snapshot.scan(&[], &[0xff; 16], Order::Ascending, usize::MAX);
            for (key, value) in pairs.expect("a scan") {
                match key[0] {
                    // What collection is to look at; of no account.
                    b'U' => {}
                    // A body's record says where its bytes lie.
                    b'B' if key.len() == keys::blob(shard).len() + 33 => {
                        let id = key[3..35].try_into().expect("32 bytes");
                        let id = blobs::BlobId(id);
                        if !self.blobs.owners(shard, id, 1).expect("read").is_empty() {
                            let body = self.blobs.read(shard, id, 0..u64::MAX).expect("whole");
                            all.insert(key, body.to_vec());
                        }
                    }
                    _ => drop(all.insert(key, value.value.to_vec())),
                }
            }
        }
        all
    }

    pub(super) fn assert_sound(&self, accounts: &[AccountId]) {
        for &id in accounts {
            let findings = self
                .runtime
                .block_on(self.mailstore.fsck(id))
                .expect("read");
            assert_eq!(findings, [], "account {id}");
        }
        for shard in (0..self.engine.shards()).map(ShardId) {
            let findings = blobs::fsck::fsck(&self.blobs, shard, None).expect("read");
            assert_eq!(findings, []);
        }
    }

    /// The messages of a mailbox in order of UID: octets and flags.
    pub(super) fn messages(
        &self,
        of: AccountId,
        mailbox: &str,
    ) -> Vec<(u32, Vec<u8>, Vec<String>)> {
        let account = self.account(of);
        let view = account.view();
        let name = MailboxName::parse(mailbox).expect("a name");
        let Some(mailbox) = view.mailbox_named(&name) else {
            return Vec::new();
        };
        let entries = mailbox.entries().iter();
        entries
            .map(|entry| {
                let text = self.runtime.block_on(async {
                    let record = account.email_record(entry.email).await.expect("a record");
                    account.read_message(&record, 0..u64::MAX).await
                });
                let flags = entry.flags().map(|flag| view.flag(flag).to_string());
                (entry.uid.0, text.expect("a body").to_vec(), flags.collect())
            })
            .collect()
    }
}

pub(super) fn embedded(folder: &Path) -> SharedEngine {
    let mut options = engine::Options::default();
    options.segment_bytes = 4 << 20;
    Arc::new(EmbeddedEngine::open(folder, &options).expect("a store"))
}

pub(super) fn mailbox_id(account: &Account, name: &str) -> MailboxId {
    let name = MailboxName::parse(name).expect("a name");
    account.view().mailbox_named(&name).expect("there").id()
}

pub(super) fn text(who: usize, n: usize) -> Vec<u8> {
    format!(
        "Subject: {n} for {who}\r\n\r\n{}\r\n",
        "some words ".repeat(20 + n)
    )
    .into_bytes()
}

pub(super) fn large(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fastrand::Rng::with_seed(len as u64).fill(&mut bytes);
    bytes
}

/// Options with small files, so that there are several of each kind.
pub(super) fn small(passphrase: Option<&Passphrase>) -> Options {
    Options {
        passphrase: passphrase.cloned(),
        sizes: Sizes {
            body_pack: 3000,
            record_pack: 3000,
            catalogue_packs: 3,
        },
        program: "a test".into(),
        ..Options::default()
    }
}

pub(super) fn secret() -> Passphrase {
    Passphrase::new("correct horse\n").expect("not empty")
}

pub(super) fn open<'a>(target: &'a dyn Target, passphrase: Option<&Passphrase>) -> Backup<'a> {
    Backup::open(target, passphrase).expect("a backup")
}

/// A target that dies after so many steps, as a killed process does.
#[derive(Debug)]
pub(super) struct Dying {
    inner: Folder,
    left: Arc<AtomicI64>,
}

impl Dying {
    pub(super) fn after(inner: Folder, steps: i64) -> Self {
        Self {
            inner,
            left: Arc::new(AtomicI64::new(steps)),
        }
    }

    /// True if it lived.
    pub(super) fn lives(&self) -> bool {
        self.left.load(Ordering::SeqCst) >= 0
    }
}

fn step(left: &AtomicI64) -> io::Result<()> {
    if left.fetch_sub(1, Ordering::SeqCst) <= 0 {
        left.store(-1, Ordering::SeqCst);
        return Err(io::Error::other("dead"));
    }
    Ok(())
}

impl Target for Dying {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<TargetFile>> {
        self.inner.list(prefix)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        self.inner.open(name)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn TargetWriter>> {
        step(&self.left)?;
        Ok(Box::new(DyingWriter {
            inner: Some(self.inner.create(name)?),
            left: Arc::clone(&self.left),
        }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        step(&self.left)?;
        self.inner.remove(name)
    }

    fn clean(&self) -> io::Result<()> {
        self.inner.clean()
    }
}

struct DyingWriter {
    inner: Option<Box<dyn TargetWriter>>,
    left: Arc<AtomicI64>,
}

impl Write for DyingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.inner {
            Some(inner) => inner.write(bytes),
            None => Err(io::Error::other("dead")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TargetWriter for DyingWriter {
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        step(&self.left)?;
        match self.inner.take() {
            Some(inner) => inner.finish(),
            None => Err(io::Error::other("dead")),
        }
    }
}

impl Drop for DyingWriter {
    fn drop(&mut self) {
        // A killed process cleans up nothing.
        std::mem::forget(self.inner.take());
    }
}

/// Two stores hold the same; a difference is told without all that is equal.
#[track_caller]
pub(super) fn assert_same(
    left: &BTreeMap<Vec<u8>, Vec<u8>>,
    right: &BTreeMap<Vec<u8>, Vec<u8>>,
    what: &str,
) {
    let text = |key: &Vec<u8>| key.escape_ascii().to_string();
    let differ: Vec<String> = left
        .keys()
        .chain(right.keys())
        .filter(|key| left.get(*key) != right.get(*key))
        .map(text)
        .take(10)
        .collect();
    assert!(differ.is_empty(), "{what}: these differ: {differ:#?}");
}
