//! The index stays within the memory that it is given, and the journal's queue too.

use super::*;
use std::thread;

const MIB: u64 = 1 << 20;
/// Records large enough that their keys together are many times the memory.
const RECORD: usize = 4000;
const RECORDS: u64 = 12_000;

/// A record that does not compress to nothing.
fn record(n: u64) -> Vec<u8> {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..RECORD).map(|_| next()).collect()
}

#[test]
fn blocks_and_memtables_of_the_index_stay_within_their_share() {
    let folder = Folder::new();
    let options = Options {
        segment_bytes: 16 << 20,
        memtable_bytes: MIB,
        cache_bytes: 4 * MIB,
        ..small()
    };
    let engine = open(&folder, &options);
    let mut most_memtables = 0;
    for first in (0..RECORDS).step_by(100) {
        let mut batch = Batch::new();
        for n in first..first + 100 {
            batch.put(key(1, &format!("{n:08}")), record(n));
        }
        engine.submit(batch).expect("submit").done_blocking();
        most_memtables = most_memtables.max(engine.stats().index_memtable_bytes);
    }
    // One that fills, those that wait for their tables, what the library still
    // holds of those before (more of them while the machine is busy with other
    // things), and the batch that was too much.
    assert!(most_memtables > MIB / 2, "{most_memtables}");
    assert!(most_memtables <= 8 * MIB, "{most_memtables}");

    // All of it is read, hither and thither.
    let mut most_blocks = 0;
    let snapshot = engine.snapshot(ShardId(0));
    for n in 0..RECORDS {
        let n = n * 7919 % RECORDS;
        let found = snapshot.get(&key(1, &format!("{n:08}"))).expect("read");
        assert_eq!(found.expect("there").value.len(), RECORD);
        if n.is_multiple_of(64) {
            most_blocks = most_blocks.max(engine.stats().index_block_bytes);
        }
    }
    assert!(most_blocks > 3 * MIB, "the share is used: {most_blocks}");
    // Pinned blocks are in the count.
    assert!(most_blocks <= 5 * MIB, "{most_blocks}");
}

/// Writers that are faster than the disk wait instead of filling the memory.
#[test]
fn what_waits_for_the_disk_stays_within_its_share() {
    const SHARE: usize = 2 << 20;
    let folder = Folder::on_disk();
    let options = Options {
        segment_bytes: 16 << 20,
        pending_bytes: SHARE,
        ..small()
    };
    let engine = open(&folder, &options);
    thread::scope(|scope| {
        for writer in 0..16u8 {
            let engine = &engine;
            scope.spawn(move || {
                for _ in 0..16 {
                    engine
                        .put_body(ShardId(0), &[writer; 200_000])
                        .expect("put");
                    engine.put_body(ShardId(0), &[writer; 50_000]).expect("put");
                }
            });
        }
    });
    let stats = engine.stats();
    assert!(stats.stalls > 0, "nobody had to wait");
    // A frame is taken when there is room before it.
    let peak = stats.pending_bytes_peak as usize;
    assert!(peak <= SHARE + 250_000, "{peak}");
}
