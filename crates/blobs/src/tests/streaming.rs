//! Large messages and many at once: what they cost in memory, and how much of
//! a body is opened.

use super::collecting::{Folder, embedded};
use super::*;
use engine::{Extent, ReadError, Snapshot, Stats, Ticket};
use std::sync::atomic::{AtomicU64, Ordering};

const MIB: usize = 1 << 20;

/// One megabyte that does not compress, of its own for each `n`.
fn piece(n: usize) -> Vec<u8> {
    let mut piece = noise(MIB);
    piece[..8].copy_from_slice(&(n as u64).to_be_bytes());
    piece
}

#[test]
fn a_message_of_100_mb_costs_a_few_in_and_out() {
    const MEGABYTES: usize = 100;
    let folder = Folder::new();
    let (engine, blobs) = embedded(&folder);
    let shard = ShardId(0);
    let mut writer = blobs.writer(shard);
    let mut hasher = blake3::Hasher::new();
    for n in 0..MEGABYTES {
        let piece = piece(n);
        hasher.update(&piece);
        // As a socket gives it.
        for bytes in piece.chunks(64 << 10) {
            writer.push(bytes).expect("push");
        }
    }
    let mut blob = writer.finish().expect("finish");
    assert_eq!(blob.id.0, *hasher.finalize().as_bytes());
    let mut batch = Batch::new();
    blobs.stage(&mut batch, &mut blob).expect("stage");
    blobs.link(&mut batch, shard, blob.id, OWNER);
    engine.submit(batch).expect("submit").done_blocking();
    assert_eq!(blobs.receive_bytes_peak(), CHUNK_BYTES);
    // What waits for the disk, and one group that is full.
    let waited = engine.stats().pending_bytes_peak as usize;
    assert!(waited < 13 * MIB, "{waited} bytes waited for the disk");
    let mut reader = blobs.open(shard, blob.id).expect("open");
    let mut hasher = blake3::Hasher::new();
    while let Some(chunk) = reader.next_chunk().expect("read") {
        assert!(chunk.len() <= CHUNK_BYTES);
        hasher.update(&chunk);
    }
    assert_eq!(blob.id.0, *hasher.finalize().as_bytes());
}

#[test]
fn a_crowd_shares_the_memory_and_writes_smaller_chunks() {
    const SENDERS: usize = 60;
    const BUDGET: usize = 4 * MIB;
    let engine: SharedEngine = Arc::new(MemoryEngine::new(3));
    let blobs = Blobs::with_memory(engine.clone(), BUDGET, 0);
    let mut messages: Vec<_> = (0..SENDERS)
        .map(|n| {
            let mut bytes = noise(300_000 + n);
            bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
            (blobs.writer(SHARD), bytes)
        })
        .collect();
    // All at the same speed, so that each buffer is as full as any.
    for at in 0..100 {
        for (writer, bytes) in &mut messages {
            let from = (at * 3100).min(bytes.len());
            let to = (from + 3100).min(bytes.len());
            writer.push(&bytes[from..to]).expect("push");
        }
    }
    // The first step of each is given whatever the budget says.
    let peak = blobs.receive_bytes_peak();
    let max = BUDGET + SENDERS * crate::limits::RECEIVE_STEPS[0];
    assert!(peak <= max && peak > BUDGET / 2, "{peak}");
    let mut smaller = 0;
    for (writer, bytes) in messages {
        let mut blob = writer.finish().expect("finish");
        smaller += usize::from(blob.chunks.len() > 2);
        commit(&engine, &blobs, &mut blob, OWNER);
        let read = blobs.read(SHARD, blob.id, 0..u64::MAX).expect("read");
        assert!(read == bytes);
        let part = blobs.read(SHARD, blob.id, 16_000..270_000).expect("read");
        assert!(part == bytes[16_000..270_000]);
    }
    assert!(smaller > 10, "{smaller} in smaller chunks");
    assert_eq!(fsck(&blobs, SHARD, None).expect("fsck"), []);
    // All is given back: the next one has a whole buffer.
    let mut writer = blobs.writer(SHARD);
    writer.push(&noise(CHUNK_BYTES)).expect("push");
    let blob = writer.finish().expect("finish");
    assert_eq!(blob.bytes().map(bytes::Bytes::len), Some(CHUNK_BYTES));
}

/// An engine that counts the bodies that are opened.
#[derive(Debug)]
struct Counting {
    inner: MemoryEngine,
    opened: AtomicU64,
}

impl engine::Engine for Counting {
    fn shards(&self) -> u16 {
        self.inner.shards()
    }
    fn shard_of_account(&self, account: u64) -> ShardId {
        self.inner.shard_of_account(account)
    }
    fn put_body(&self, shard: ShardId, frame: &[u8]) -> Result<Extent, SubmitError> {
        self.inner.put_body(shard, frame)
    }
    fn read_body(&self, extent: &Extent) -> Result<bytes::Bytes, ReadError> {
        self.opened.fetch_add(1, Ordering::Relaxed);
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

#[test]
fn a_range_opens_only_its_chunks() {
    let counting = Arc::new(Counting {
        inner: MemoryEngine::new(3),
        opened: AtomicU64::new(0),
    });
    let engine: SharedEngine = counting.clone();
    let blobs = Blobs::new(engine.clone());
    let bytes = noise(10 * CHUNK_BYTES + 17);
    let mut blob = receive(&blobs, &bytes);
    commit(&engine, &blobs, &mut blob, OWNER);
    let chunk = CHUNK_BYTES as u64;
    for (range, opened) in [
        (0..1, 1),
        (chunk - 1..chunk, 1),
        (chunk - 1..chunk + 1, 2),
        (5 * chunk + 3..7 * chunk, 2),
        (10 * chunk..u64::MAX, 1),
        (0..u64::MAX, 11),
        (11 * chunk..u64::MAX, 0),
        (7..7, 0),
    ] {
        let before = counting.opened.load(Ordering::Relaxed);
        blobs.read(SHARD, blob.id, range.clone()).expect("read");
        let now = counting.opened.load(Ordering::Relaxed);
        assert_eq!(now - before, opened, "{range:?}");
    }
}

#[test]
fn what_is_read_ahead_stays_within_its_memory() {
    let engine: SharedEngine = Arc::new(MemoryEngine::new(1));
    let blobs = Blobs::with_memory(engine, 0, 10 * MIB);
    let mut rooms: Vec<_> = (0..100).map(|_| blobs.read_ahead(300_000)).collect();
    assert_eq!(rooms.iter().flatten().count(), 10 * MIB / 300_000);
    assert_eq!(blobs.read_ahead_bytes_peak(), 10 * MIB / 300_000 * 300_000);
    assert!(blobs.read_ahead(u64::MAX).is_none());
    rooms.clear();
    assert_eq!(blobs.read_ahead_bytes(), 0);
    assert!(blobs.read_ahead(10 << 20).is_some());
}
