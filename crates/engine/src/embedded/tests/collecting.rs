//! Collection: what is alive stays, what is dead goes, whatever comes between.

use super::*;
use crate::collect::{CollectError, Goal, Step, Walk};
use crate::embedded::commit::Commit;
use crate::embedded::index::{Applied, Index};
use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicBool;
use wire::codec::Reader;

pub(super) const SHARD: ShardId = ShardId(0);
const BODY: usize = 100_000;

fn body_of(n: u64) -> Vec<u8> {
    (0..BODY as u64)
        .map(|i| (i * 31 + n * 7 + i * n / 251) as u8)
        .collect()
}

fn name(n: u64) -> Vec<u8> {
    key(1, &format!("mail{n:06}"))
}

/// A mail: its record names its body; a counter is written by all.
fn deliver(engine: &EmbeddedEngine, n: u64) -> Ticket {
    let extent = engine.put_body(SHARD, &body_of(n)).expect("put");
    let mut batch = Batch::new();
    batch.put(name(n), extent.encode().to_vec());
    batch.put(key(1, "head"), n.to_be_bytes().to_vec());
    engine.submit(batch).expect("submit")
}

fn remove(engine: &EmbeddedEngine, n: u64) -> Ticket {
    let mut batch = Batch::new();
    batch.delete(name(n));
    batch.put(key(1, "head"), n.to_be_bytes().to_vec());
    engine.submit(batch).expect("submit")
}

fn extent(value: &[u8]) -> Option<Extent> {
    (value.len() == Extent::ENCODED_BYTES)
        .then(|| Extent::decode(&mut Reader::new(value)).expect("extent"))
}

/// The mails that are there, with their bodies checked.
fn mails(engine: &EmbeddedEngine) -> Vec<u64> {
    let mut found = Vec::new();
    for (key, _, value) in all(engine) {
        if let Some(extent) = extent(&value) {
            let n: u64 = String::from_utf8_lossy(&key[key.len() - 6..])
                .parse()
                .expect("number");
            assert_eq!(engine.read_body(&extent).expect("read"), body_of(n));
            found.push(n);
        }
    }
    found
}

/// What the owner of the bodies does before a segment goes.
fn move_bodies(engine: &EmbeddedEngine, segment: u32) {
    for (key, version, value) in all(engine) {
        let Some(old) = extent(&value).filter(|extent| extent.segment() == segment) else {
            continue;
        };
        let body = engine.read_body(&old).expect("read");
        let new = engine.put_body(SHARD, &body).expect("put");
        let mut batch = Batch::new();
        batch.expect(key.clone(), Expect::Version(version));
        batch.put(key, new.encode().to_vec());
        match engine.submit(batch) {
            Ok(ticket) => drop(ticket.done_blocking()),
            Err(SubmitError::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn walk(engine: &EmbeddedEngine, segment: u32, goal: Goal) -> Result<u64, CollectError> {
    let mut walk = Walk::new(SHARD, segment, goal);
    loop {
        match engine.collect_step(&mut walk)? {
            Step::Done => return Ok(walk.live_bytes()),
            Step::More => {}
            Step::Waiting => thread::yield_now(),
        }
    }
}

pub(super) fn collect(engine: &EmbeddedEngine, segment: u32) {
    move_bodies(engine, segment);
    walk(engine, segment, Goal::Free).expect("freed");
}

pub(super) fn sealed(engine: &EmbeddedEngine) -> Vec<u32> {
    let sealed = engine.sealed_segments(SHARD);
    sealed.iter().map(|segment| segment.number).collect()
}

fn disk_bytes(folder: &Folder) -> u64 {
    fs::read_dir(folder.0.join("journal"))
        .expect("list")
        .map(|entry| entry.expect("entry").metadata().expect("metadata").len())
        .sum()
}

/// The same keys with the same commits, opened from the journal alone.
pub(super) fn check_rebuilt(folder: &Folder, expected: &[(Vec<u8>, CommitNo, Bytes)]) {
    let copy = folder.copy_journal();
    let engine = open(&copy, &small());
    assert_eq!(engine.findings(), []);
    assert_eq!(all(&engine), expected);
    assert_eq!(engine.fsck().expect("fsck"), []);
    mails(&engine);
}

#[test]
fn nine_mails_of_ten_go_and_their_space_comes_back() {
    let folder = Folder::new();
    let engine = open(&folder, &small());
    for n in 0..200 {
        deliver(&engine, n);
    }
    for n in (0..200).filter(|n| n % 10 != 0) {
        remove(&engine, n);
    }
    deliver(&engine, 200).done_blocking();
    let left: Vec<u64> = (0..=200).step_by(10).collect();
    assert_eq!(mails(&engine), left);
    let before = disk_bytes(&folder);
    assert!(before > 20_000_000, "{before}");
    let victims = sealed(&engine);
    for &segment in &victims {
        collect(&engine, segment);
    }
    assert_eq!(mails(&engine), left);
    assert!(sealed(&engine).iter().all(|of| !victims.contains(of)));
    // What is left, the open segment, a spare one, and one that waits.
    let after = disk_bytes(&folder);
    assert!(after <= 2_100_000 + 4 * (2 << 20), "{after}");
    assert_eq!(engine.stats().segments_freed, victims.len() as u64);
    assert_eq!(engine.stats().segment_bytes, after);
    assert_eq!(engine.fsck().expect("fsck"), []);
    let state = all(&engine);
    check_rebuilt(&folder, &state);
    engine.close();
    drop(engine);
    let engine = open(&folder, &small());
    assert_eq!(engine.findings(), []);
    assert_eq!(all(&engine), state);
    assert_eq!(mails(&engine), left);
}

#[test]
fn records_keep_their_commits_when_they_move() {
    let folder = Folder::new();
    let engine = open(&folder, &small());
    for n in 0..50 {
        deliver(&engine, n).done_blocking();
    }
    // Records without bodies: nothing but the walk moves them.
    write(&engine, key(2, "settings"), "blue");
    for n in 50..100 {
        deliver(&engine, n).done_blocking();
    }
    for n in 0..100 {
        remove(&engine, n).done_blocking();
    }
    let before = all(&engine);
    assert_eq!(before.len(), 2);
    for segment in sealed(&engine) {
        collect(&engine, segment);
    }
    assert_eq!(all(&engine), before);
    assert!(engine.stats().records_moved_bytes > 0);
    check_rebuilt(&folder, &before);
    // And the version still serves as a condition.
    let mut batch = Batch::new();
    batch.expect(key(2, "settings"), Expect::Version(before[1].1));
    batch.put(key(2, "settings"), "red");
    engine.submit(batch).expect("submit").done_blocking();
}

/// Fills the open segment until the next one is open.
pub(super) fn next_segment(engine: &EmbeddedEngine) -> u32 {
    let open = engine.body_segment(SHARD);
    while engine.body_segment(SHARD) == open {
        engine.put_body(SHARD, &[0; BODY]).expect("put");
    }
    write(engine, key(9, "settle"), "");
    open
}

pub(super) fn write(engine: &EmbeddedEngine, key: Vec<u8>, value: &str) {
    let mut batch = Batch::new();
    batch.put(key, value.as_bytes().to_vec());
    engine.submit(batch).expect("submit").done_blocking();
}

fn delete(engine: &EmbeddedEngine, key: Vec<u8>) {
    let mut batch = Batch::new();
    batch.delete(key);
    engine.submit(batch).expect("submit").done_blocking();
}

/// A deletion outlives its segment as long as what it deletes may be there.
#[test]
fn what_was_deleted_does_not_come_back() {
    let folder = Folder::new();
    let engine = open(&folder, &small());
    write(&engine, key(1, "gone"), "x");
    write(&engine, key(1, "kept"), "x");
    let first = next_segment(&engine);
    let second = next_segment(&engine);
    delete(&engine, key(1, "gone"));
    let third = next_segment(&engine);
    let state = all(&engine);
    let live = walk(&engine, third, Goal::Count).expect("count");
    assert!(live > 0, "the deletion counts as alive");
    collect(&engine, third);
    check_rebuilt(&folder, &state);
    // It lies behind all of them now, and moves on with its segment.
    let fourth = next_segment(&engine);
    collect(&engine, fourth);
    collect(&engine, second);
    check_rebuilt(&folder, &all(&engine));
    // The put goes with the oldest segment: then the deletion is of no use.
    collect(&engine, first);
    let fifth = next_segment(&engine);
    check_rebuilt(&folder, &all(&engine));
    for segment in sealed(&engine) {
        collect(&engine, segment);
    }
    assert!(!sealed(&engine).contains(&fifth));
    check_rebuilt(&folder, &all(&engine));
    let last = next_segment(&engine);
    let live = walk(&engine, last, Goal::Count).expect("count");
    // "kept", "settle", and what was freed: no deletion any more.
    let keys = [key(1, "kept"), key(9, "settle")];
    let max = keys
        .iter()
        .map(|key| 24 + 3 + key.len() + 2 + 24)
        .sum::<usize>();
    assert!(live <= 2 * max as u64, "{live}");
    let state: Vec<_> = all(&engine).into_iter().map(|(key, ..)| key).collect();
    assert_eq!(state, keys);
}

#[test]
fn a_key_that_was_put_again_needs_no_deletion() {
    let folder = Folder::new();
    let engine = open(&folder, &small());
    write(&engine, key(1, "again"), "one");
    next_segment(&engine);
    delete(&engine, key(1, "again"));
    let second = next_segment(&engine);
    write(&engine, key(1, "again"), "two");
    next_segment(&engine);
    assert_eq!(walk(&engine, second, Goal::Count).expect("count"), 0);
    collect(&engine, second);
    check_rebuilt(&folder, &all(&engine));
}

/// A commit that wins over the move is behind it or shows in the overlay.
#[test]
fn collection_beside_writers_never_takes_a_key_back() {
    let folder = Folder::new();
    let engine = open(&folder, &small());
    for n in 0..80 {
        deliver(&engine, n);
    }
    write(&engine, key(9, "settle"), "");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..3u64 {
            let (engine, over) = (&engine, &over);
            scope.spawn(move || {
                let mut n = writer;
                while !over.load(Ordering::SeqCst) {
                    n += 3;
                    let ticket = match n % 4 {
                        0 => deliver(engine, n % 80),
                        1 => remove(engine, n % 80),
                        _ => {
                            let mut batch = Batch::new();
                            batch.put(key(3, &format!("k{}", n % 17)), n.to_string().into_bytes());
                            batch.delete(key(3, &format!("k{}", (n + 5) % 17)));
                            engine.submit(batch).expect("submit")
                        }
                    };
                    ticket.done_blocking();
                }
            });
        }
        for _ in 0..12 {
            for segment in sealed(&engine).into_iter().take(3) {
                move_bodies(&engine, segment);
                // A body that came back from before the move is named again
                // only by those who put it.
                match walk(&engine, segment, Goal::Free) {
                    Ok(_) | Err(CollectError::NotNow) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
        over.store(true, Ordering::SeqCst);
    });
    assert!(engine.stats().segments_freed >= 12, "{:?}", engine.stats());
    write(&engine, key(9, "settle"), "");
    mails(&engine);
    assert_eq!(engine.fsck().expect("fsck"), []);
    check_rebuilt(&folder, &all(&engine));
}

/// The process ends at every step of collecting a segment, index kept or lost.
#[test]
fn a_crash_at_every_step_loses_nothing() {
    for lose_index in [false, true] {
        let mut steps = 0;
        loop {
            let folder = Folder::new();
            let engine = open(&folder, &small());
            for n in 0..66 {
                deliver(&engine, n);
            }
            for n in 0..60 {
                remove(&engine, n);
            }
            write(&engine, key(9, "settle"), "");
            let expected = mails(&engine);
            let ended = take_steps(&engine, steps);
            engine.abandon();
            drop(engine);
            if lose_index {
                drop_index(&folder.0).expect("drop");
            }
            let engine = open(&folder, &small());
            assert_eq!(engine.findings(), [], "step {steps}");
            assert_eq!(mails(&engine), expected, "step {steps}");
            assert_eq!(engine.fsck().expect("fsck"), [], "step {steps}");
            // And it goes on from there.
            for segment in sealed(&engine) {
                collect(&engine, segment);
            }
            let state = all(&engine);
            assert_eq!(mails(&engine), expected);
            engine.abandon();
            check_rebuilt(&folder, &state);
            if ended {
                break;
            }
            steps += 1;
        }
        assert!(steps >= 6, "{steps}");
    }
}

/// Collects up to a number of steps; true when there was nothing left to do.
fn take_steps(engine: &EmbeddedEngine, steps: usize) -> bool {
    let mut left = steps;
    for segment in sealed(engine) {
        if left == 0 {
            return false;
        }
        left -= 1;
        move_bodies(engine, segment);
        let mut walk = Walk::new(SHARD, segment, Goal::Free);
        loop {
            if left == 0 {
                return false;
            }
            match engine.collect_step(&mut walk).expect("step") {
                Step::Done => break,
                Step::More => left -= 1,
                Step::Waiting => {
                    while walk.freed.as_ref().is_some_and(|ticket| !ticket.is_done()) {
                        thread::yield_now();
                    }
                    left -= 1;
                }
            }
        }
    }
    true
}

/// An index that fails after some groups, and keeps what it has.
#[derive(Debug)]
struct Failing {
    index: Arc<MapIndex>,
    left: AtomicU64,
}

impl Index for Failing {
    fn applied(&self) -> Result<Option<Applied>, ReadError> {
        self.index.applied()
    }
    fn apply(&self, commits: &[Commit], applied: Applied) -> Result<(), ReadError> {
        let spend = |n: u64| n.checked_sub(1);
        self.left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, spend)
            .map_err(|_| ReadError::Io(io::Error::other("cut")))?;
        self.index.apply(commits, applied)
    }
    fn snapshot(&self) -> (Box<dyn Snapshot>, CommitNo) {
        self.index.snapshot()
    }
    fn flush(&self) -> Result<(), ReadError> {
        self.index.flush()
    }
    fn durable(&self) -> u64 {
        self.index.durable()
    }
    fn pairs(
        &self,
        start: &[u8],
        end: &[u8],
    ) -> Result<Vec<(Vec<u8>, crate::contract::Versioned)>, ReadError> {
        self.index.pairs(start, end)
    }
    fn pace(&self) -> bool {
        false
    }
    fn close(&self) {}
}

/// Moved commits have old numbers: an index that was made halfway must not go
/// on from the highest number it has seen.
#[test]
fn making_the_index_again_may_be_cut_short_anywhere() {
    let folder = Folder::new();
    let engine = open(&folder, &small());
    for n in 0..1500u64 {
        write(&engine, key(n % 700, "k"), &n.to_string());
    }
    let first = next_segment(&engine);
    for n in 0..1500u64 {
        write(&engine, key(n % 300, "k"), &n.to_string());
    }
    collect(&engine, first);
    let state = all(&engine);
    engine.abandon();
    let mut groups = 0;
    loop {
        let index = Arc::new(MapIndex::default());
        let failing = Failing {
            index: Arc::clone(&index),
            left: AtomicU64::new(groups),
        };
        let copy = folder.copy_journal();
        let cut = Options {
            index: Some(Arc::new(failing)),
            ..small()
        };
        let whole = EmbeddedEngine::open(&copy.0, &cut).is_ok();
        let again = Options {
            index: Some(index),
            ..small()
        };
        let engine = open(&copy, &again);
        assert_eq!(all(&engine), state, "after {groups} groups");
        if whole {
            break;
        }
        groups += 1;
    }
    assert!(groups > 3, "{groups}");
}

#[test]
fn readers_of_a_freed_segment_get_an_error_and_never_other_bytes() {
    let folder = Folder::new();
    let engine = open(&folder, &small());
    let old = engine.put_body(SHARD, &body_of(7)).expect("put");
    let before = engine.put_body(SHARD, &body_of(8)).expect("put");
    write(&engine, key(1, "x"), "");
    let first = next_segment(&engine);
    assert_eq!(engine.read_body(&old).expect("read"), body_of(7));
    assert_eq!(before.segment(), first);
    collect(&engine, first);
    assert!(matches!(engine.read_body(&old), Err(ReadError::NoSuchBody)));
    // Its file is used again: the segment's number is not.
    for _ in 0..4 {
        let segment = next_segment(&engine);
        assert!(segment > first);
        collect(&engine, segment);
    }
    assert!(matches!(engine.read_body(&old), Err(ReadError::NoSuchBody)));
}

#[test]
fn segments_are_used_again_without_being_filled_and_few_are_kept() {
    let folder = Folder::new();
    let engine = open(&folder, &small());
    let mut made = Vec::new();
    for n in 0..12 {
        write(&engine, key(1, "n"), &n.to_string());
        made.push(next_segment(&engine));
        for segment in sealed(&engine) {
            collect(&engine, segment);
        }
    }
    let engine_files = fs::read_dir(folder.0.join("journal"))
        .expect("list")
        .count();
    assert!(engine_files <= 4, "{engine_files} files");
    assert_eq!(engine.stats().segments_freed, 12);
    let last = engine.body_segment(SHARD);
    let bytes = fs::read(folder.segment(last)).expect("read");
    let tail = &bytes[bytes.len() - 600_000..bytes.len() - 4096];
    assert!(
        tail.iter().any(|&byte| byte != 0) || bytes.len() != 2 << 20,
        "not filled again"
    );
    let state = all(&engine);
    check_rebuilt(&folder, &state);
    engine.abandon();
    drop(engine);
    let engine = open(&folder, &small());
    assert_eq!(all(&engine), state);
    assert_eq!(engine.findings(), []);
}

#[test]
fn a_segment_that_is_lost_is_told_from_one_that_was_freed() {
    let folder = Folder::new();
    let engine = open(&folder, &small());
    let mut segments = Vec::new();
    for n in 0..6 {
        write(&engine, key(n, "k"), "x");
        segments.push(next_segment(&engine));
    }
    collect(&engine, segments[1]);
    collect(&engine, segments[2]);
    engine.close();
    drop(engine);
    fs::remove_file(folder.segment(segments[4])).expect("lose");
    drop_index(&folder.0).expect("drop");
    let engine = open(&folder, &small());
    let findings = engine.findings();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(matches!(
        findings[0],
        Finding::MissingGroups { segment, .. } if segment == segments[5]
    ));
}

#[test]
fn damage_keeps_a_segment_where_it_is() {
    let folder = Folder::new();
    let engine = open(&folder, &small());
    write(&engine, key(1, "a"), "x");
    let first = next_segment(&engine);
    let second = next_segment(&engine);
    let file = fs::File::options()
        .write(true)
        .open(folder.segment(first))
        .expect("open");
    file.write_all_at(&[7; 100], 600_000).expect("damage");
    assert!(matches!(
        walk(&engine, first, Goal::Free),
        Err(CollectError::Damaged(segment)) if segment == first
    ));
    assert!(engine.sealed_segments(SHARD)[0].damaged);
    collect(&engine, second);
    assert_eq!(sealed(&engine), [first]);
    let open = engine.body_segment(SHARD);
    assert!(matches!(
        walk(&engine, open, Goal::Free),
        Err(CollectError::NotNow)
    ));
}

#[test]
fn nothing_goes_while_segments_are_kept() {
    let folder = Folder::new();
    let engine = open(&folder, &small());
    write(&engine, key(1, "a"), "x");
    let first = next_segment(&engine);
    let kept = engine.keep_segments();
    let mut walk = Walk::new(SHARD, first, Goal::Free);
    while walk.freed.as_ref().is_none_or(|ticket| !ticket.is_done()) {
        engine.collect_step(&mut walk).expect("step");
    }
    for _ in 0..3 {
        assert_eq!(engine.collect_step(&mut walk).expect("step"), Step::Waiting);
        assert_eq!(sealed(&engine), [first]);
    }
    drop(kept);
    assert_eq!(engine.collect_step(&mut walk).expect("step"), Step::Done);
    assert!(sealed(&engine).is_empty());
}

/// Bodies without end and few commits: what a start reads stays bounded.
#[test]
fn large_bodies_do_not_make_replay_long() {
    let folder = Folder::new();
    let options = Options {
        unflushed_commits: 1_000_000,
        memtable_bytes: 64 << 20,
        ..small()
    };
    let engine = open(&folder, &options);
    for n in 0..400 {
        deliver(&engine, n).done_blocking();
    }
    let flushed = engine.stats().flushes;
    assert!(flushed >= 3, "{flushed}");
    engine.abandon();
    drop(engine);
    let engine = open(&folder, &options);
    let per_segment = (2 << 20) / BODY as u64;
    let bound = u64::from(2 * crate::limits::UNFLUSHED_SEGMENTS_MAX) * per_segment;
    assert!(engine.stats().replayed <= bound, "{:?}", engine.stats());
    assert_eq!(mails(&engine).len(), 400);
}
