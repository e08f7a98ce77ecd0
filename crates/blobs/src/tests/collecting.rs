//! Space comes back, and nobody loses a byte for it.

use super::dying::settle;
use super::*;
use crate::collect::{Collector, Progress, Report};
use engine::{EmbeddedEngine, Options};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

const HOUR: u64 = 3_600_000;

/// A folder that is removed at the end; in memory where there is such a place.
#[derive(Debug)]
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let memory = Path::new("/dev/shm");
        let temporary = std::env::temp_dir();
        let parent = if memory.is_dir() { memory } else { &temporary };
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("posthouse-blobs-{}-{n}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("folder");
        Self(path)
    }

    /// The journal alone, as a killed process leaves it to one that lost its index.
    fn copy_journal(&self) -> Self {
        let copy = Self::new();
        let journal = copy.0.join("journal");
        fs::create_dir(&journal).expect("folder");
        for entry in fs::read_dir(self.0.join("journal")).expect("list") {
            let from = entry.expect("entry").path();
            if from.extension().is_some_and(|e| e == "seg") {
                fs::copy(&from, journal.join(from.file_name().expect("name"))).expect("copy");
            }
        }
        copy
    }

    fn journal_bytes(&self) -> u64 {
        let files = fs::read_dir(self.0.join("journal")).expect("list");
        let len = |entry: std::io::Result<fs::DirEntry>| {
            entry.expect("entry").metadata().map_or(0, |m| m.len())
        };
        files.map(len).sum()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn options() -> Options {
    let mut options = Options::default();
    options.segment_bytes = 2 << 20;
    options.reserve_bytes = 0;
    options.memtable_bytes = 64 << 10;
    options.unflushed_commits = 200;
    options
}

pub(super) fn embedded(folder: &Folder) -> (SharedEngine, Blobs) {
    let engine = EmbeddedEngine::open(&folder.0, &options()).expect("open");
    assert_eq!(engine.findings(), []);
    let engine: SharedEngine = Arc::new(engine);
    (engine.clone(), Blobs::new(engine))
}

/// A message of its own that does not compress.
fn message(n: u64, len: usize) -> Vec<u8> {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()
    };
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&next());
    }
    bytes.truncate(len);
    bytes
}

struct Room {
    engine: SharedEngine,
    blobs: Blobs,
    shard: ShardId,
}

impl Room {
    fn deliver(&self, bytes: &[u8], owner: u64) -> BlobId {
        loop {
            let mut writer = self.blobs.writer(self.shard);
            writer.push(bytes).expect("push");
            let mut blob = writer.finish().expect("finish");
            let mut batch = Batch::new();
            self.blobs.stage(&mut batch, &mut blob).expect("stage");
            self.blobs
                .link(&mut batch, self.shard, blob.id, Owner::Queue(owner));
            match self.engine.submit(batch) {
                Ok(ticket) => {
                    ticket.done_blocking();
                    return blob.id;
                }
                Err(SubmitError::Conflict { .. }) => thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn remove(&self, id: BlobId, owner: u64) {
        let mut batch = Batch::new();
        self.blobs
            .unlink(&mut batch, self.shard, id, Owner::Queue(owner));
        self.engine.submit(batch).expect("submit").done_blocking();
    }

    fn collector(&self) -> Collector {
        Collector::new(self.blobs.clone(), self.shard, HOUR)
    }

    /// Collects until nothing is left: what lost its links goes.
    fn collect_all(&self) -> Report {
        let mut collector = self.collector();
        for now in [0, HOUR, 2 * HOUR] {
            run(&mut collector, now);
        }
        collector.report()
    }

    fn check(&self, expected: &[(BlobId, Vec<u8>)]) {
        for (id, bytes) in expected {
            assert_eq!(
                self.blobs.read(self.shard, *id, 0..u64::MAX).expect("read"),
                bytes
            );
        }
        assert_eq!(fsck(&self.blobs, self.shard, None).expect("fsck"), []);
    }

    fn sealed_bytes(&self) -> u64 {
        let sealed = self.engine.sealed_segments(self.shard);
        sealed.iter().map(|segment| segment.bytes).sum()
    }
}

fn run(collector: &mut Collector, now: u64) {
    loop {
        match collector.step(now).expect("step") {
            Progress::More => {}
            Progress::Waiting => thread::yield_now(),
            Progress::Rest => return,
        }
    }
}

/// Stores messages and removes nine of ten; gives those that are left.
fn mostly_removed(room: &Room, count: u64, len: usize) -> Vec<(BlobId, Vec<u8>)> {
    let mut left = Vec::new();
    let mut gone = Vec::new();
    for n in 0..count {
        let bytes = message(n, len);
        let id = room.deliver(&bytes, n);
        if n % 10 == 0 {
            left.push((id, bytes));
        } else {
            gone.push((id, n));
        }
    }
    for (id, n) in gone {
        room.remove(id, n);
    }
    left
}

#[test]
fn in_memory_each_shard_is_collected_by_itself() {
    let engine: SharedEngine = Arc::new(MemoryEngine::new(3));
    let blobs = Blobs::new(engine.clone());
    let rooms: Vec<Room> = (0..3)
        .map(|shard| Room {
            engine: engine.clone(),
            blobs: blobs.clone(),
            shard: ShardId(shard),
        })
        .collect();
    let left: Vec<_> = rooms
        .iter()
        .map(|room| mostly_removed(room, 100, 3000))
        .collect();
    let before: Vec<u64> = rooms.iter().map(Room::sealed_bytes).collect();
    let report = rooms[1].collect_all();
    assert_eq!((report.marked, report.deleted), (90, 90));
    assert_eq!(report.deleted_bytes, 90 * 3000);
    assert_eq!(rooms[0].sealed_bytes(), before[0], "another shard's");
    assert!(rooms[1].sealed_bytes() <= 2 * 10 * 3000, "{report:?}");
    rooms[0].collect_all();
    rooms[2].collect_all();
    for (room, left) in rooms.iter().zip(&left) {
        room.check(left);
    }
}

#[test]
fn on_disk_the_folder_shrinks_and_the_index_can_be_made_again() {
    let folder = Folder::new();
    let (engine, blobs) = embedded(&folder);
    let room = Room {
        engine,
        blobs,
        shard: ShardId(0),
    };
    let left = mostly_removed(&room, 400, 90_000);
    let before = folder.journal_bytes();
    assert!(before > 18_000_000, "{before}");
    let report = room.collect_all();
    let after = folder.journal_bytes();
    assert!(after < before / 3, "{before} to {after}: {report:?}");
    assert_eq!(report.deleted, 360);
    assert!(report.freed_bytes > before / 2, "{report:?}");
    room.check(&left);
    // Nothing is left to do, and the next look costs nothing.
    let moved = room.engine.stats().body_bytes;
    room.collect_all();
    let again = room.engine.stats().body_bytes - moved;
    assert!(again < 2 << 20, "{again} bytes moved again");
    let copy = folder.copy_journal();
    let (engine, blobs) = embedded(&copy);
    let other = Room {
        engine,
        blobs,
        shard: ShardId(0),
    };
    other.check(&left);
}

/// What a pass has learnt of a journal is lost with the process. One that often
/// starts anew must not have to look at all of it before any space returns.
#[test]
fn space_returns_before_all_of_the_journal_was_looked_at() {
    let folder = Folder::new();
    let (engine, blobs) = embedded(&folder);
    let room = Room {
        engine,
        blobs,
        shard: ShardId(0),
    };
    let left = mostly_removed(&room, 700, 200_000);
    let segments = room.engine.sealed_segments(room.shard).len();
    assert!(segments >= 60, "{segments}");
    let mut before = room.collector();
    run(&mut before, 0);
    while before.report().deleted < 630 {
        before.step(HOUR).expect("step");
    }
    // The journal's small beginning, if that.
    assert!(before.report().freed <= 1, "{:?}", before.report());
    // The next process. A step reads a megabyte, and segments have two.
    let mut collector = room.collector();
    let mut steps = 0;
    while collector.report().freed == 0 {
        match collector.step(HOUR).expect("step") {
            // The index becomes durable in its own time.
            Progress::Waiting => thread::yield_now(),
            _ => steps += 1,
        }
    }
    assert!(steps < segments + 30, "{steps} steps, {segments} segments");
    run(&mut collector, HOUR);
    let report = collector.report();
    assert!(report.freed as usize > segments * 8 / 10, "{report:?}");
    room.check(&left);
}

/// After each step of collection the process ends and the index is lost.
#[test]
fn a_crash_after_every_step_loses_nothing() {
    let folder = Folder::new();
    let (engine, blobs) = embedded(&folder);
    let room = Room {
        engine,
        blobs,
        shard: ShardId(0),
    };
    let left = mostly_removed(&room, 60, 90_000);
    let mut collector = room.collector();
    let mut checked = 0;
    for now in [0, HOUR, 2 * HOUR] {
        loop {
            let progress = collector.step(now).expect("step");
            settle(&room.engine, room.shard);
            let copy = folder.copy_journal();
            let (engine, blobs) = embedded(&copy);
            let other = Room {
                engine,
                blobs,
                shard: ShardId(0),
            };
            other.check(&left);
            checked += 1;
            if progress == Progress::Rest {
                break;
            }
        }
    }
    assert!(checked > 20, "{checked}");
    assert!(collector.report().freed > 0);
}

#[test]
fn a_message_on_its_way_keeps_its_bytes() {
    let folder = Folder::new();
    let (engine, blobs) = embedded(&folder);
    let room = Room {
        engine,
        blobs,
        shard: ShardId(0),
    };
    let long = message(7, 3 * CHUNK_BYTES);
    let mut writer = room.blobs.writer(room.shard);
    writer.push(&long).expect("push");
    // Two chunks lie in the journal. Everything around them dies.
    let left = mostly_removed(&room, 60, 90_000);
    room.collect_all();
    let mut blob = writer.finish().expect("finish");
    let mut batch = Batch::new();
    room.blobs.stage(&mut batch, &mut blob).expect("stage");
    room.blobs
        .link(&mut batch, room.shard, blob.id, Owner::Queue(9999));
    let id = blob.id;
    // The batch alone holds them from here on.
    drop(blob);
    let more = mostly_removed(&room, 60, 80_000);
    room.collect_all();
    room.engine.submit(batch).expect("submit").done_blocking();
    room.collect_all();
    room.check(&left);
    room.check(&more);
    room.check(&[(id, long)]);
}

#[test]
fn a_message_that_was_given_up_is_collected() {
    let folder = Folder::new();
    let (engine, blobs) = embedded(&folder);
    let room = Room {
        engine,
        blobs,
        shard: ShardId(0),
    };
    let mut writer = room.blobs.writer(room.shard);
    writer.push(&message(7, 40 * CHUNK_BYTES)).expect("push");
    let left = mostly_removed(&room, 10, 90_000);
    let before = room.sealed_bytes();
    assert!(before > 9_000_000, "{before}");
    room.collect_all();
    assert_eq!(room.sealed_bytes(), before, "it may still come");
    drop(writer);
    room.collect_all();
    assert!(room.sealed_bytes() < before / 4);
    room.check(&left);
}

/// 100 MB in chunks, with as much between them that dies.
#[test]
fn a_reader_goes_on_while_its_bytes_move() {
    const CHUNKS: u64 = 400;
    let folder = Folder::new();
    let mut options = options();
    options.segment_bytes = 16 << 20;
    let engine: SharedEngine = Arc::new(EmbeddedEngine::open(&folder.0, &options).expect("open"));
    let blobs = Blobs::new(engine.clone());
    let room = Room {
        engine,
        blobs,
        shard: ShardId(0),
    };
    let mut writer = room.blobs.writer(room.shard);
    let mut given_up = room.blobs.writer(room.shard);
    for n in 0..CHUNKS {
        writer.push(&message(n, CHUNK_BYTES)).expect("push");
        given_up
            .push(&message(n + 1000, CHUNK_BYTES))
            .expect("push");
    }
    drop(given_up);
    let mut blob = writer.finish().expect("finish");
    let mut batch = Batch::new();
    room.blobs.stage(&mut batch, &mut blob).expect("stage");
    room.blobs
        .link(&mut batch, room.shard, blob.id, Owner::Queue(1));
    room.engine.submit(batch).expect("submit").done_blocking();
    let id = blob.id;
    drop(blob);
    let mut reader = room.blobs.open(room.shard, id).expect("open");
    let by_range = room.blobs.open(room.shard, id).expect("open");
    assert_eq!(reader.size(), CHUNKS * CHUNK_BYTES as u64);
    let mut collector = room.collector();
    for n in 0..CHUNKS {
        let chunk = reader.next_chunk().expect("read").expect("a chunk");
        assert!(chunk == message(n, CHUNK_BYTES), "chunk {n}");
        if n > CHUNKS / 4 {
            // A step between any two.
            collector.step(0).expect("step");
        }
    }
    assert_eq!(reader.next_chunk().expect("end"), None);
    run(&mut collector, 0);
    let report = collector.report();
    assert!(report.freed >= 10, "{report:?}");
    assert!(report.moved_bytes > 80 << 20, "{report:?}");
    let last = CHUNKS - 1;
    let range = last * CHUNK_BYTES as u64..u64::MAX;
    assert!(by_range.read(range).expect("read") == message(last, CHUNK_BYTES));
    assert_eq!(fsck(&room.blobs, room.shard, None).expect("fsck"), []);
}

/// Threads that deliver, remove and read the same few messages while others
/// collect: what is linked is there, to the end and after a rebuild.
#[test]
fn collection_races_with_deliveries_of_the_same_messages() {
    let folder = Folder::new();
    let (engine, blobs) = embedded(&folder);
    let room = Room {
        engine,
        blobs,
        shard: ShardId(0),
    };
    let messages: Vec<Vec<u8>> = (0..6).map(|n| message(n, 60_000)).collect();
    let over = AtomicBool::new(false);
    let mut owned: Vec<(u64, usize)> = Vec::new();
    let mut report = Report::default();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..3u64)
            .map(|thread| {
                let (room, messages, over) = (&room, &messages, &over);
                scope.spawn(move || churn(room, messages, thread, over))
            })
            .collect();
        let mut collector = Collector::new(room.blobs.clone(), room.shard, 1);
        let mut now = 0;
        while collector.report().freed < 6 {
            now += 1;
            run(&mut collector, now);
        }
        report = collector.report();
        over.store(true, Ordering::SeqCst);
        for thread in threads {
            owned.extend(thread.join().expect("no panic"));
        }
    });
    assert!(report.deleted > 0, "{report:?}");
    let expected: Vec<_> = owned
        .iter()
        .map(|(_, n)| (BlobId::of(&messages[*n]), messages[*n].clone()))
        .collect();
    room.check(&expected);
    for (owner, n) in &owned {
        let id = BlobId::of(&messages[*n]);
        let linked = room.blobs.is_linked(room.shard, id, Owner::Queue(*owner));
        assert!(linked.expect("read"));
    }
    settle(&room.engine, room.shard);
    let copy = folder.copy_journal();
    let (engine, blobs) = embedded(&copy);
    let other = Room {
        engine,
        blobs,
        shard: ShardId(0),
    };
    other.check(&expected);
}

/// Delivers and removes until it is over; gives the owners that are left.
fn churn(room: &Room, messages: &[Vec<u8>], thread: u64, over: &AtomicBool) -> Vec<(u64, usize)> {
    let mut owned = Vec::new();
    let mut state = thread + 1;
    let mut n = 0;
    while !over.load(Ordering::SeqCst) {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let which = (state >> 33) as usize % messages.len();
        n += 1;
        let owner = thread << 32 | n;
        let id = room.deliver(&messages[which], owner);
        owned.push((owner, which));
        let read = room.blobs.read(room.shard, id, 0..u64::MAX);
        assert!(read.expect("linked, so it is there") == messages[which]);
        if owned.len() > 1 {
            let (owner, which) = owned.remove((state >> 40) as usize % owned.len());
            room.remove(BlobId::of(&messages[which]), owner);
        }
        // A long one that is given up keeps segments dying.
        if n % 4 == 0 {
            let mut writer = room.blobs.writer(room.shard);
            writer
                .push(&message(owner, 2 * CHUNK_BYTES + 5))
                .expect("push");
        }
    }
    owned
}
