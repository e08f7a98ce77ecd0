//! The embedded backend: the contract, then what only a disk can do to it.

mod collecting;
mod damage;
mod faults;
mod formats;
mod groups;
mod machine;
mod memory;
mod replay;
mod simulation;

use super::index::map::MapIndex;
use super::*;
use crate::contract::{CommitNo, Expect, Order, SharedEngine};
use crate::tests::contract::{self, key, put};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

/// A folder that is removed at the end.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// On a real disk, for tests of writing and syncing.
    pub(crate) fn on_disk() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// In memory where the system has such a place, for all other tests.
    pub(crate) fn new() -> Self {
        let memory = PathBuf::from("/dev/shm");
        if memory.is_dir() {
            Self::below(&memory)
        } else {
            Self::on_disk()
        }
    }

    fn below(parent: &Path) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("posthouse-engine-{}-{n}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("temporary folder");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    fn segment(&self, number: u32) -> PathBuf {
        self.0.join(format!("journal/{number:010}.seg"))
    }

    /// A copy of the journal alone, as it is now.
    fn copy_journal(&self) -> Self {
        let copy = Self::new();
        std::fs::create_dir(copy.0.join("journal")).expect("mkdir");
        for entry in std::fs::read_dir(self.0.join("journal")).expect("list") {
            let from = entry.expect("entry").path();
            // A segment that is just being made changes its name any moment.
            if from.extension().is_none_or(|e| e != "seg") {
                continue;
            }
            let to = copy.0.join("journal").join(from.file_name().expect("name"));
            std::fs::copy(from, to).expect("copy");
        }
        copy
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Small segments and memtables, so that tests meet their ends.
pub(crate) fn small() -> Options {
    Options {
        segment_bytes: threads::SEGMENT_BYTES_MIN,
        reserve_bytes: 0,
        memtable_bytes: 64 << 10,
        unflushed_commits: 200,
        cache_bytes: 1 << 20,
        on_fatal: Arc::new(|why| panic!("{why}")),
        ..Options::default()
    }
}

pub(crate) fn open(folder: &Folder, options: &Options) -> Arc<EmbeddedEngine> {
    Arc::new(EmbeddedEngine::open(&folder.0, options).expect("open"))
}

/// Everything that a store holds.
pub(crate) fn all(engine: &EmbeddedEngine) -> Vec<(Vec<u8>, CommitNo, Bytes)> {
    engine
        .snapshot(ShardId(0))
        .scan(b"", &[255; 8], Order::Ascending, usize::MAX)
        .expect("scan")
        .into_iter()
        .map(|(key, stored)| (key, stored.version, stored.value))
        .collect()
}

fn run_contract(options: &dyn Fn() -> Options) {
    let folders = Mutex::new(Vec::new());
    contract::run(&|| {
        let folder = Folder::on_disk();
        let engine = open(&folder, &options());
        folders.lock().push(folder);
        engine
    });
}

#[test]
fn the_contract_with_direct_writes() {
    run_contract(&small);
}

#[test]
fn the_contract_with_ordinary_writes_and_syncs() {
    run_contract(&|| Options {
        direct: false,
        ..small()
    });
}

#[test]
fn the_contract_with_an_index_in_memory() {
    run_contract(&|| Options {
        index: Some(Arc::new(MapIndex::default())),
        ..small()
    });
}

#[test]
fn a_second_open_is_refused_and_names_the_process() {
    let folder = Folder::new();
    let engine = open(&folder, &small());
    let refused = EmbeddedEngine::open(&folder.0, &small()).expect_err("refused");
    let pid = std::process::id().to_string();
    assert!(refused.to_string().contains(&pid), "{refused}");
    assert!(matches!(
        drop_index(&folder.0),
        Err(OpenError::InUse { .. })
    ));
    engine.close();
    open(&folder, &small());
}

#[test]
fn a_closed_store_refuses_and_opens_again() {
    let folder = Folder::new();
    let engine = open(&folder, &small());
    let shared: SharedEngine = engine.clone();
    put(&shared, key(1, "a"), "one");
    let body = engine.put_body(ShardId(0), b"body").expect("put");
    put(&shared, key(1, "b"), "two");
    engine.close();
    assert!(matches!(
        engine.submit(Batch::new()),
        Err(SubmitError::Closed)
    ));
    assert!(matches!(
        engine.put_body(ShardId(0), b""),
        Err(SubmitError::Closed)
    ));
    let before = all(&engine);
    drop((engine, shared));
    let engine = open(&folder, &small());
    assert_eq!(all(&engine), before);
    assert_eq!(engine.read_body(&body).expect("read"), "body");
    assert_eq!(
        engine.stats().replayed,
        0,
        "a clean close leaves nothing to replay"
    );
    // Numbers go on, and conditions still know the versions.
    let mut batch = Batch::new();
    batch.expect(key(1, "a"), Expect::Version(before[0].1));
    batch.put(key(1, "a"), Bytes::new());
    let commit = engine.submit(batch).expect("submit").done_blocking();
    assert_eq!(commit, CommitNo(3));
    assert_eq!(engine.findings(), []);
    assert_eq!(engine.fsck().expect("fsck"), []);
}
