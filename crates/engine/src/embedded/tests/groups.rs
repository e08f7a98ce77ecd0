//! Groups: shared syncs, few bytes, every length of padding, full segments.

use super::*;
use crate::embedded::commit;
use crate::embedded::format::{BLOCK, FRAME_HEADER, GROUP_HEADER};
use std::thread;

/// Submits a body and a commit that names it.
fn deliver(engine: &EmbeddedEngine, account: u64, n: u64, body: &[u8]) -> Ticket {
    let extent = engine.put_body(ShardId(0), body).expect("put");
    let mut batch = Batch::new();
    batch.put(key(account, &format!("{n:08}")), extent.encode().to_vec());
    engine.submit(batch).expect("submit")
}

#[test]
fn sixty_four_writers_share_syncs_and_a_message_is_written_once() {
    const WRITERS: u64 = 64;
    const EACH: u64 = 20;
    const BODY: usize = 10_000;
    let folder = Folder::on_disk();
    let engine = open(
        &folder,
        &Options {
            segment_bytes: 16 << 20,
            ..small()
        },
    );
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let engine = &engine;
            scope.spawn(move || {
                for n in 0..EACH {
                    deliver(engine, writer, n, &[writer as u8; BODY]).done_blocking();
                }
            });
        }
    });
    let stats = engine.stats();
    let messages = WRITERS * EACH;
    assert_eq!(stats.commits, messages);
    assert_eq!(stats.frames, 2 * messages);
    assert_eq!(stats.body_bytes, messages * BODY as u64);
    assert_eq!(stats.syncs, stats.groups);
    assert!(stats.syncs * 2 < messages, "{} syncs", stats.syncs);
    let per_message = stats.bytes_written / messages;
    assert!(
        per_message < BODY as u64 * 5 / 4,
        "{per_message} bytes written"
    );
    assert_eq!(engine.fsck().expect("fsck"), []);
}

/// Once, a reader took the padding at a block's end for the segment's end:
/// every length of padding is followed by another group that must be found.
#[test]
fn every_length_of_padding_is_passed_over() {
    let folder = Folder::new();
    let index: Arc<dyn Index> = Arc::new(MapIndex::default());
    let options = Options {
        segment_bytes: 48 << 20,
        disk: Some(faults::lazy(&folder)),
        index: Some(index),
        ..small()
    };
    let engine = open(&folder, &options);
    let writes = vec![(key(1, "body"), Some(Bytes::from_static(b"x")))];
    let fixed = GROUP_HEADER + 2 * FRAME_HEADER + commit::encode(&writes).len();
    let mut bodies = Vec::new();
    for padding in 0..BLOCK {
        let len = 2 * BLOCK - fixed - padding;
        let body = vec![padding as u8; len];
        // Now and then the writer is before us with the body alone.
        let mut groups = 0;
        while groups != 1 {
            groups = engine.stats().groups;
            bodies.push((
                engine.put_body(ShardId(0), &body).expect("put"),
                body.clone(),
            ));
            put(&(engine.clone() as SharedEngine), key(1, "body"), "x");
            groups = engine.stats().groups - groups;
        }
    }
    put(&(engine.clone() as SharedEngine), key(1, "last"), "x");
    let copy = folder.copy_journal();
    drop(engine);
    let again = open(&copy, &small());
    assert_eq!(again.findings(), []);
    assert_eq!(all(&again).len(), 2, "the commit behind all paddings");
    for (extent, body) in &bodies {
        assert_eq!(again.read_body(extent).expect("read"), body);
    }
}

use crate::embedded::index::Index;

#[test]
fn what_can_wait_shares_the_sync_of_what_cannot_and_is_durable_by_itself() {
    const ROUNDS: u64 = 100;
    let folder = Folder::new();
    let engine = open(&folder, &small());
    let before = engine.stats().syncs;
    for n in 0..ROUNDS {
        let mut batch = Batch::new();
        batch.can_wait();
        batch.put(key(1, "waits"), n.to_string());
        let waits = engine.submit(batch).expect("taken");
        put(&(engine.clone() as SharedEngine), key(1, "now"), "x");
        assert!(waits.is_done(), "commits become visible in order");
    }
    let syncs = engine.stats().syncs - before;
    // Two each without; a slow machine may take 5 ms between the two now and then.
    assert!(syncs < ROUNDS * 3 / 2, "{syncs} syncs");
    let mut batch = Batch::new();
    batch.can_wait();
    batch.put(key(1, "alone"), "x");
    engine.submit(batch).expect("taken").done_blocking();
    let copy = folder.copy_journal();
    drop(engine);
    assert_eq!(all(&open(&copy, &small())).len(), 3);
}

#[test]
fn segments_fill_up_and_the_next_ones_follow() {
    let folder = Folder::new();
    let engine = open(&folder, &small());
    let mut bodies = Vec::new();
    for n in 0..60u64 {
        let body = vec![n as u8; 190_000 + n as usize];
        let ticket = deliver(&engine, 1, n, &body);
        bodies.push(body);
        if n % 7 == 0 {
            ticket.done_blocking();
        }
    }
    put(&(engine.clone() as SharedEngine), key(2, "end"), "");
    assert!(engine.stats().segments >= 5, "{:?}", engine.stats());
    let copy = folder.copy_journal();
    let state = all(&engine);
    engine.close();
    for folder in [&folder, &copy] {
        let again = open(folder, &small());
        assert_eq!(all(&again), state);
        assert_eq!(again.findings(), []);
        for ((_, _, extent), body) in state.iter().zip(&bodies) {
            let mut reader = wire::codec::Reader::new(extent);
            let extent = Extent::decode(&mut reader).expect("extent");
            assert_eq!(again.read_body(&extent).expect("read"), body);
        }
        assert_eq!(again.fsck().expect("fsck"), []);
    }
}

#[test]
fn the_largest_batches_fit_and_many_at_once_wait_for_room() {
    let folder = Folder::new();
    let engine = open(&folder, &small());
    let tickets: Vec<_> = (0..50u64)
        .map(|n| {
            let mut batch = Batch::new();
            batch.put(
                key(n, "large"),
                vec![n as u8; crate::limits::BATCH_BYTES_MAX - 30],
            );
            engine.submit(batch).expect("submit")
        })
        .collect();
    for ticket in tickets {
        ticket.done_blocking();
    }
    assert_eq!(all(&engine).len(), 50);
    // Many tiny writes have the most overhead.
    let mut batch = Batch::new();
    let key = |n: u32| [&b"S"[..], &n.to_be_bytes()[1..]].concat();
    batch.delete(key(0));
    let each = batch.size_bytes();
    for n in 1..(crate::limits::BATCH_BYTES_MAX / each) as u32 {
        batch.delete(key(n));
    }
    engine.submit(batch).expect("submit").done_blocking();
}

/// Snapshots stay what they are while memtables become tables and tables are
/// merged beneath them.
#[test]
fn snapshots_do_not_move_under_flushes_and_merges() {
    let folder = Folder::new();
    let options = Options {
        memtable_bytes: 4 << 10,
        unflushed_commits: 10,
        ..small()
    };
    let engine = open(&folder, &options);
    let shared: SharedEngine = engine.clone();
    let mut held = Vec::new();
    for round in 0..600u32 {
        let mut batch = Batch::new();
        for k in 0..8 {
            if round % 5 == 4 && k == 3 {
                batch.delete(key(1, &format!("k{k}")));
            } else {
                batch.put(key(1, &format!("k{k}")), round.to_string().into_bytes());
            }
        }
        shared.submit(batch).expect("submit").done_blocking();
        if round % 37 == 0 {
            held.push((round, engine.snapshot(ShardId(0))));
        }
    }
    assert!(engine.stats().flushes > 20, "{:?}", engine.stats());
    assert!(engine.stats().compactions > 0, "{:?}", engine.stats());
    for (round, snapshot) in held {
        let expected = if round % 5 == 4 { 7 } else { 8 };
        let pairs = snapshot
            .scan(b"A", b"B", Order::Ascending, 99)
            .expect("scan");
        assert_eq!(pairs.len(), expected, "round {round}");
        for (key, stored) in pairs {
            assert_eq!(stored.value, round.to_string(), "round {round}");
            assert_eq!(snapshot.get(&key).expect("get"), Some(stored));
        }
    }
    assert_eq!(engine.fsck().expect("fsck"), []);
}
