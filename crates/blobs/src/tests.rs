//! Blobs over the memory backend with three shards.

mod collecting;
mod dying;
mod streaming;

use crate::fsck::{Finding, fsck};
use crate::limits::CHUNK_BYTES;
use crate::link::record_key;
use crate::record::{Encoding, Record};
use crate::{BlobError, BlobId, BlobWriter, Blobs, Owner, StagedBlob};
use engine::{Batch, MemoryEngine, ShardId, SharedEngine, SubmitError};
use envelope::AccountId;
use proptest::prelude::*;
use std::sync::Arc;

const SHARD: ShardId = ShardId(2);
const OWNER: Owner = Owner::Email(AccountId(2), 7);

fn store() -> (SharedEngine, Blobs) {
    let engine: SharedEngine = Arc::new(MemoryEngine::new(3));
    (Arc::clone(&engine), Blobs::new(engine))
}

fn receive(blobs: &Blobs, bytes: &[u8]) -> StagedBlob {
    let mut writer = blobs.writer(SHARD);
    for part in bytes.chunks(70_001) {
        writer.push(part).expect("push");
    }
    writer.finish().expect("finish")
}

fn commit(engine: &SharedEngine, blobs: &Blobs, blob: &mut StagedBlob, owner: Owner) {
    let mut batch = Batch::new();
    blobs.stage(&mut batch, blob).expect("stage");
    blobs.link(&mut batch, SHARD, blob.id, owner);
    engine.submit(batch).expect("submit").done_blocking();
}

/// Text that compresses a little, different everywhere.
fn text(len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| b"the quick brown fox jumps"[(i * i / 7 + i / 1000) % 25])
        .collect()
}

/// Bytes that don't compress.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 40) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn record(engine: &SharedEngine, id: BlobId) -> Record {
    let stored = engine.snapshot(SHARD).get(&record_key(SHARD, id));
    Record::decode(&stored.expect("get").expect("there").value).expect("decode")
}

#[test]
fn every_size_reads_back_whole_and_by_range() {
    let (engine, blobs) = store();
    for len in [
        0,
        1,
        1023,
        1024,
        10_000,
        CHUNK_BYTES - 1,
        CHUNK_BYTES,
        CHUNK_BYTES + 1,
        700_000,
    ] {
        for bytes in [text(len), noise(len)] {
            let mut blob = receive(&blobs, &bytes);
            assert_eq!((blob.id, blob.size), (BlobId::of(&bytes), len as u64));
            commit(&engine, &blobs, &mut blob, OWNER);
            let read = |range| blobs.read(SHARD, blob.id, range).expect("read");
            assert_eq!(read(0..u64::MAX), bytes);
            let size = len as u64;
            for (from, to) in [
                (0, 1),
                (size / 2, size),
                (size, size + 5),
                (size / 3, size / 2),
            ] {
                let (a, b) = (from.min(size) as usize, to.min(size) as usize);
                assert_eq!(read(from..to), bytes[a..b], "{from}..{to} of {len}");
            }
            let mut reader = blobs.open(SHARD, blob.id).expect("open");
            let mut whole = Vec::new();
            while let Some(chunk) = reader.next_chunk().expect("chunk") {
                whole.extend_from_slice(&chunk);
            }
            assert_eq!(whole, bytes);
        }
    }
    assert_eq!(fsck(&blobs, SHARD, None).expect("fsck"), []);
}

#[test]
fn small_bodies_wait_for_their_commit_and_long_ones_do_not() {
    let (engine, blobs) = store();
    let small = receive(&blobs, &text(CHUNK_BYTES));
    assert_eq!(engine.stats().body_bytes, 0);
    assert_eq!(small.bytes().map(|b| b.len()), Some(CHUNK_BYTES));
    let long = receive(&blobs, &text(CHUNK_BYTES + 1));
    assert!(engine.stats().body_bytes > 0);
    assert!(long.bytes().is_none());
}

#[test]
fn compressed_only_where_it_pays() {
    let (engine, blobs) = store();
    for (bytes, encoding) in [
        (text(20_000), Encoding::Zstd),
        (noise(20_000), Encoding::Plain),
        (text(900), Encoding::Plain),
    ] {
        let mut blob = receive(&blobs, &bytes);
        commit(&engine, &blobs, &mut blob, OWNER);
        let chunk = record(&engine, blob.id).chunks[0];
        assert_eq!(chunk.encoding, encoding);
        let stored = chunk.extent.stored_len() as usize;
        assert_eq!(encoding == Encoding::Zstd, stored < bytes.len());
    }
}

#[test]
fn the_same_message_is_stored_once() {
    let (engine, blobs) = store();
    let bytes = text(5000);
    commit(&engine, &blobs, &mut receive(&blobs, &bytes), OWNER);
    let once = engine.stats().body_bytes;
    commit(
        &engine,
        &blobs,
        &mut receive(&blobs, &bytes),
        Owner::Queue(9),
    );
    assert_eq!(engine.stats().body_bytes, once);
    let id = BlobId::of(&bytes);
    let owners = blobs.owners(SHARD, id, 10).expect("owners");
    assert_eq!(owners, [OWNER, Owner::Queue(9)]);
    let mut batch = Batch::new();
    blobs.unlink(&mut batch, SHARD, id, OWNER);
    engine.submit(batch).expect("submit").done_blocking();
    assert_eq!(
        blobs.owners(SHARD, id, 10).expect("owners"),
        [Owner::Queue(9)]
    );
}

#[test]
fn two_at_once_both_succeed() {
    let (engine, blobs) = store();
    let bytes = text(5000);
    let (mut one, mut two) = (receive(&blobs, &bytes), receive(&blobs, &bytes));
    let (mut first, mut second) = (Batch::new(), Batch::new());
    blobs.stage(&mut first, &mut one).expect("stage");
    blobs.stage(&mut second, &mut two).expect("stage");
    let first = engine.submit(first).expect("first");
    engine.submit(second).expect("second").done_blocking();
    assert!(first.is_done());
    assert_eq!(blobs.read(SHARD, one.id, 0..9999).expect("read"), bytes);
}

#[test]
fn a_dying_blob_is_written_again_and_never_linked() {
    let (engine, blobs) = store();
    let bytes = text(5000);
    let mut blob = receive(&blobs, &bytes);
    commit(&engine, &blobs, &mut blob, OWNER);
    // Staged while alive, marked before the submit: refused, then written anew.
    let mut again = receive(&blobs, &bytes);
    let mut batch = Batch::new();
    blobs.stage(&mut batch, &mut again).expect("stage");
    let mut mark = Batch::new();
    let dying = Record {
        dying: true,
        ..record(&engine, blob.id)
    };
    mark.put(record_key(SHARD, blob.id), dying.encode());
    engine.submit(mark).expect("mark").done_blocking();
    assert!(matches!(
        engine.submit(batch),
        Err(SubmitError::Conflict { .. })
    ));
    commit(&engine, &blobs, &mut again, Owner::Queue(1));
    let now = record(&engine, blob.id);
    assert!(!now.dying);
    assert_ne!(now.chunks, dying.chunks);
}

#[test]
fn staging_again_writes_no_bytes_twice() {
    let (engine, blobs) = store();
    let mut blob = receive(&blobs, &text(5000));
    blobs.stage(&mut Batch::new(), &mut blob).expect("stage");
    let once = engine.stats().body_bytes;
    blobs.stage(&mut Batch::new(), &mut blob).expect("stage");
    assert_eq!(engine.stats().body_bytes, once);
}

#[test]
fn what_is_wrong_is_found() {
    let (engine, blobs) = store();
    let mut blob = receive(&blobs, &text(5000));
    commit(&engine, &blobs, &mut blob, OWNER);
    let good = record(&engine, blob.id);
    let missing = BlobId([1; 32]);
    assert!(matches!(
        blobs.open(SHARD, missing),
        Err(BlobError::NoSuchBlob)
    ));
    let renamed = BlobId([2; 32]);
    let broken = BlobId([3; 32]);
    let mut batch = Batch::new();
    blobs.link(&mut batch, SHARD, missing, Owner::Queue(4));
    batch.put(record_key(SHARD, renamed), good.encode());
    batch.put(record_key(SHARD, broken), vec![1, 0, 9]);
    for id in [renamed, broken] {
        blobs.link(&mut batch, SHARD, id, Owner::Queue(5));
    }
    let strange = [&engine::keys::blob(SHARD)[..], b"xyz"].concat();
    batch.put(strange.clone(), vec![]);
    engine.submit(batch).expect("submit").done_blocking();
    let findings = fsck(&blobs, SHARD, None).expect("fsck");
    assert_eq!(findings.len(), 4, "{findings:?}");
    assert_eq!(findings[0], Finding::Dangling(missing, Owner::Queue(4)));
    assert_eq!(findings[1], Finding::OtherBytes(renamed));
    assert!(matches!(&findings[2], Finding::Unreadable(id, _) if *id == broken));
    assert_eq!(findings[3], Finding::StrangeKey(strange));
    assert!(findings[0].to_string().contains("queued message 4"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]
    #[test]
    fn any_split_gives_the_same_blob(cuts in proptest::collection::vec(0usize..300_000, 0..6)) {
        let (_, blobs) = store();
        let bytes = text(300_000);
        let mut cuts = cuts;
        cuts.sort_unstable();
        let mut writer = blobs.writer(SHARD);
        let mut from = 0;
        for to in cuts.into_iter().chain([bytes.len()]) {
            writer.push(&bytes[from..to]).expect("push");
            from = to;
        }
        let blob = writer.finish().expect("finish");
        prop_assert_eq!(blob.id, BlobId::of(&bytes));
        let lens: Vec<u32> = blob.chunks.iter().map(|chunk| chunk.len).collect();
        prop_assert_eq!(lens, vec![CHUNK_BYTES as u32, 300_000 - CHUNK_BYTES as u32]);
    }
}

/// The same message, whichever way it came: one blob, and what is stored is read.
#[test]
fn what_only_passes_through_is_not_compressed_and_is_the_same_blob() {
    let engine: SharedEngine = Arc::new(MemoryEngine::new(1));
    let blobs = Blobs::new(Arc::clone(&engine));
    let shard = ShardId(0);
    let text = b"the same line again and again\r\n".repeat(300);
    let finish = |writer: BlobWriter| {
        let mut writer = writer;
        writer.push(&text).expect("pushed");
        writer.finish().expect("finished")
    };
    let mut passing = finish(blobs.writer(shard).in_passing());
    let mut usual = finish(blobs.writer(shard));
    assert_eq!(passing.id, usual.id);
    usual.put_pending().expect("put");
    assert_eq!(usual.chunks[0].encoding, Encoding::Zstd);
    let mut batch = Batch::new();
    blobs.stage(&mut batch, &mut passing).expect("staged");
    assert_eq!(passing.chunks[0].encoding, Encoding::Plain);
    blobs.link(&mut batch, shard, passing.id, OWNER);
    engine.submit(batch).expect("taken").done_blocking();
    let mut reader = blobs.open(shard, usual.id).expect("there");
    let read = reader.next_chunk().expect("read").expect("a chunk");
    assert_eq!(read[..], text[..]);
}
