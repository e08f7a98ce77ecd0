//! What the engine says that its index takes is what it takes, counted by the allocator. A binary of its own,
//! because the allocator is the whole process's.

use engine::embedded::{EmbeddedEngine, Options};
use engine::{Batch, Engine as _, ShardId, keys};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// As many records as a delivery has, each of some bytes.
fn batch(first: u64, records: u64, bytes: usize) -> Batch {
    let mut batch = Batch::new();
    for n in first..first + records {
        let mut key = keys::account(1);
        key.extend_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        batch.put(key, vec![n as u8; bytes]);
    }
    batch
}

/// Held by each test: what the other allocates is not to be counted.
static ALONE: Mutex<()> = Mutex::new(());

fn folder(name: &str) -> Folder {
    let name = format!("posthouse-memory-{name}-{}", std::process::id());
    // In memory where the system has such a place: syncs are not what is tested.
    let shared = PathBuf::from("/dev/shm");
    let parent = match shared.is_dir() {
        true => shared,
        false => std::env::temp_dir(),
    };
    let folder = Folder(parent.join(name));
    let _ = std::fs::remove_dir_all(&folder.0);
    std::fs::create_dir_all(&folder.0).expect("a folder");
    folder
}

fn options() -> Options {
    let mut options = Options::default();
    options.segment_bytes = 16 << 20;
    options.reserve_bytes = 0;
    options.memtable_bytes = 256 << 20;
    options.unflushed_commits = u64::MAX;
    options.cache_bytes = 64 << 20;
    options
}

/// Bytes that are allocated beside what the index says that it takes.
fn untold(region: &Region<'_, System>, engine: &EmbeddedEngine) -> u64 {
    let (cost, stats) = (region.change(), engine.stats());
    let taken = cost.bytes_allocated.saturating_sub(cost.bytes_deallocated) as u64;
    taken.saturating_sub(stats.index_memtable_bytes + stats.index_block_bytes)
}

fn fill(engine: &EmbeddedEngine, records: u64, bytes: usize) {
    for first in (1..=records / 10).map(|n| n * 10) {
        let submitted = engine.submit(batch(first, 10, bytes));
        submitted.expect("submit").done_blocking();
    }
}

/// Within a quarter.
fn is_about(told: usize, taken: usize) -> bool {
    told * 4 >= taken * 3 && told * 4 <= taken * 5
}

#[test]
fn memtables_say_what_they_take() {
    let _alone = ALONE.lock().expect("whole");
    let mut lines = Vec::new();
    for bytes in [0, 40, 200, 4000] {
        let folder = folder("memtables");
        let engine = EmbeddedEngine::open(&folder.0, &options()).expect("open");
        fill(&engine, 10, bytes);
        let before = engine.stats().index_memtable_bytes;
        let region = Region::new(ALLOCATOR);
        fill(&engine, 4_000_000 / (bytes as u64 + 100), bytes);
        let cost = region.change();
        let told = (engine.stats().index_memtable_bytes - before) as usize;
        let taken = cost.bytes_allocated - cost.bytes_deallocated;
        lines.push((bytes, taken, told));
        engine.close();
    }
    println!("{lines:?}");
    let wrong: Vec<_> = lines
        .iter()
        .filter(|(_, taken, told)| !is_about(*told, *taken))
        .collect();
    assert!(
        wrong.is_empty(),
        "bytes of a record, taken, told: {wrong:?}"
    );
}

#[test]
fn blocks_say_what_they_take() {
    let _alone = ALONE.lock().expect("whole");
    let mut lines = Vec::new();
    for bytes in [40, 200, 2000, 16_000] {
        let folder = folder("blocks");
        let engine = EmbeddedEngine::open(&folder.0, &options()).expect("open");
        let records = 8_000_000 / (bytes as u64 + 100) / 10 * 10;
        fill(&engine, records, bytes);
        engine.close();
        drop(engine);
        let engine = EmbeddedEngine::open(&folder.0, &options()).expect("open");
        let before = engine.stats().index_block_bytes;
        let region = Region::new(ALLOCATOR);
        let snapshot = engine.snapshot(ShardId(0));
        let mut read = 0;
        let (start, end) = (keys::account(1), keys::account(2));
        let visited = snapshot.visit(&start, &end, &mut |_, _| {
            read += 1;
            ControlFlow::Continue(())
        });
        visited.expect("read");
        drop(snapshot);
        let cost = region.change();
        assert_eq!(read, records);
        let told = (engine.stats().index_block_bytes - before) as usize;
        let taken = cost.bytes_allocated - cost.bytes_deallocated;
        lines.push((bytes, taken, told));
        engine.close();
    }
    println!("{lines:?}");
    let wrong: Vec<_> = lines
        .iter()
        .filter(|(_, taken, told)| !is_about(*told, *taken))
        .collect();
    assert!(
        wrong.is_empty(),
        "bytes of a record, taken, told: {wrong:?}"
    );
}

/// Records that compress well: a table of some megabytes stands for many times as much.
#[test]
fn merging_tables_holds_some_blocks_of_them() {
    let _alone = ALONE.lock().expect("whole");
    let folder = folder("merging");
    let mut options = options();
    options.memtable_bytes = 1 << 20;
    options.cache_bytes = 1 << 20;
    options.pending_bytes = 1 << 20;
    let engine = EmbeddedEngine::open(&folder.0, &options).expect("open");
    let region = Region::new(ALLOCATOR);
    let mut most = 0;
    for first in (0..40_000).step_by(50) {
        let submitted = engine.submit(batch(first, 50, 1500));
        submitted.expect("submit").done_blocking();
        most = most.max(untold(&region, &engine));
    }
    for _ in 0..30_000 {
        most = most.max(untold(&region, &engine));
        if engine.stats().compactions > 0 {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    println!("{most} bytes, {} merges", engine.stats().compactions);
    assert!(engine.stats().compactions > 0, "nothing was merged");
    assert!(most < 16 << 20, "{most} bytes");
    engine.close();
}
