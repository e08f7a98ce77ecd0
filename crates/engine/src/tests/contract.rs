//! What a backend must do, whatever it is made of.

use crate::contract::*;
use crate::keys;
use crate::limits::{BATCH_BYTES_MAX, BODY_FRAME_BYTES_MAX, KEY_BYTES_MAX, VISIT_PAIRS};
use bytes::Bytes;
use parking_lot::Mutex;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;

/// Runs every test of the contract, each on a new store.
pub(crate) fn run(new: &dyn Fn() -> SharedEngine) {
    for test in [
        what_is_committed_is_read,
        conditions_see_what_was_submitted_before,
        a_deleted_key_is_absent,
        the_last_write_to_a_key_wins,
        a_snapshot_does_not_move,
        scans_go_both_ways_and_stop_at_the_limit,
        a_visit_sees_what_a_scan_does_until_it_breaks_off,
        bodies_are_read_at_once_and_later,
        callbacks_run_in_commit_order_before_the_ticket,
        one_batch_one_shard,
        bad_batches_are_refused,
        an_empty_batch_is_a_commit,
        many_writers_to_one_key_lose_nothing,
        a_dropped_ticket_cancels_nothing,
    ] {
        test(&new());
    }
}

/// A key of account `n`.
pub(crate) fn key(account: u64, rest: &str) -> Vec<u8> {
    let mut key = keys::account(account);
    key.extend_from_slice(rest.as_bytes());
    key
}

/// Commits one value and waits.
pub(crate) fn put(engine: &SharedEngine, key: Vec<u8>, value: &str) -> CommitNo {
    let mut batch = Batch::new();
    batch.put(key, Bytes::copy_from_slice(value.as_bytes()));
    engine.submit(batch).expect("submit").done_blocking()
}

fn get(engine: &SharedEngine, account: u64, key: &[u8]) -> Option<Versioned> {
    let shard = engine.shard_of_account(account);
    engine.snapshot(shard).get(key).expect("get")
}

fn what_is_committed_is_read(engine: &SharedEngine) {
    assert_eq!(get(engine, 1, &key(1, "x")), None);
    let first = put(engine, key(1, "x"), "one");
    let read = get(engine, 1, &key(1, "x")).expect("there");
    assert_eq!((read.version, &read.value[..]), (first, &b"one"[..]));
    let second = put(engine, key(1, "x"), "");
    let read = get(engine, 1, &key(1, "x")).expect("there");
    assert_eq!((read.version, &read.value[..]), (second, &b""[..]));
    assert!(second > first);
    let both = engine
        .snapshot(engine.shard_of_account(1))
        .get_many(&[key(1, "y"), key(1, "x")])
        .expect("get_many");
    assert_eq!(both, [None, Some(read)]);
}

fn conditions_see_what_was_submitted_before(engine: &SharedEngine) {
    let guarded = |expect, value: &'static str| {
        let mut batch = Batch::new();
        batch.expect(key(1, "head"), expect);
        batch.put(key(1, "head"), Bytes::from_static(value.as_bytes()));
        engine.submit(batch)
    };
    let first = guarded(Expect::Absent, "a").expect("absent at first");
    // Not waited for: the second sees the first all the same.
    assert!(matches!(
        guarded(Expect::Absent, "b"),
        Err(SubmitError::Conflict { .. })
    ));
    let second = guarded(Expect::Version(first.commit()), "b").expect("right version");
    let stale = guarded(Expect::Version(first.commit()), "c");
    assert!(matches!(stale, Err(SubmitError::Conflict { key: k, .. }) if k == key(1, "head")));
    let last = second.done_blocking();
    assert_eq!(
        get(engine, 1, &key(1, "head")).map(|v| v.version),
        Some(last)
    );
    // The same again when everything is durable and applied.
    assert!(guarded(Expect::Absent, "d").is_err());
    assert!(guarded(Expect::Version(CommitNo(last.0 + 1)), "d").is_err());
    assert!(guarded(Expect::Version(last), "d").is_ok());
}

fn a_deleted_key_is_absent(engine: &SharedEngine) {
    put(engine, key(1, "x"), "one");
    let mut batch = Batch::new();
    batch.delete(key(1, "x"));
    batch.delete(key(1, "never there"));
    let ticket = engine.submit(batch).expect("submit");
    let mut again = Batch::new();
    again.expect(key(1, "x"), Expect::Absent);
    again.put(key(1, "y"), Bytes::new());
    engine
        .submit(again)
        .expect("absent while pending")
        .done_blocking();
    assert!(ticket.is_done());
    assert_eq!(get(engine, 1, &key(1, "x")), None);
    let mut again = Batch::new();
    again.expect(key(1, "x"), Expect::Absent);
    again.expect(key(1, "never there"), Expect::Absent);
    again.put(key(1, "x"), Bytes::from_static(b"new"));
    engine
        .submit(again)
        .expect("absent when applied")
        .done_blocking();
    assert!(get(engine, 1, &key(1, "x")).is_some());
}

fn the_last_write_to_a_key_wins(engine: &SharedEngine) {
    let mut batch = Batch::new();
    batch.put(key(1, "x"), Bytes::from_static(b"1"));
    batch.delete(key(1, "y"));
    batch.delete(key(1, "x"));
    batch.put(key(1, "y"), Bytes::from_static(b"2"));
    batch.put(key(1, "y"), Bytes::from_static(b"3"));
    engine.submit(batch).expect("submit").done_blocking();
    assert_eq!(get(engine, 1, &key(1, "x")), None);
    assert_eq!(get(engine, 1, &key(1, "y")).expect("there").value, "3");
}

fn a_snapshot_does_not_move(engine: &SharedEngine) {
    put(engine, key(1, "a"), "old");
    put(engine, key(1, "b"), "old");
    let before = engine.snapshot(engine.shard_of_account(1));
    put(engine, key(1, "a"), "new");
    put(engine, key(1, "c"), "new");
    let mut batch = Batch::new();
    batch.delete(key(1, "b"));
    engine.submit(batch).expect("submit").done_blocking();
    let all = |snapshot: &dyn Snapshot| {
        let pairs = snapshot
            .scan(
                &key(1, ""),
                &keys::end_of(&key(1, "")),
                Order::Ascending,
                10,
            )
            .expect("scan");
        pairs
            .into_iter()
            .map(|(k, v)| (k[9..].to_vec(), v.value.to_vec()))
            .collect::<Vec<_>>()
    };
    let pair = |k: &str, v: &str| (k.as_bytes().to_vec(), v.as_bytes().to_vec());
    assert_eq!(all(&*before), [pair("a", "old"), pair("b", "old")]);
    assert_eq!(before.get(&key(1, "c")).expect("get"), None);
    let after = engine.snapshot(engine.shard_of_account(1));
    assert_eq!(all(&*after), [pair("a", "new"), pair("c", "new")]);
}

fn scans_go_both_ways_and_stop_at_the_limit(engine: &SharedEngine) {
    let mut batch = Batch::new();
    for i in 0..50 {
        batch.put(key(1, &format!("k{i:02}")), Bytes::new());
    }
    engine.submit(batch).expect("submit").done_blocking();
    let snapshot = engine.snapshot(engine.shard_of_account(1));
    let names = |order, limit| {
        let pairs = snapshot
            .scan(&key(1, "k10"), &key(1, "k20"), order, limit)
            .expect("scan");
        pairs
            .into_iter()
            .map(|(k, _)| String::from_utf8(k[9..].to_vec()).expect("text"))
            .collect::<Vec<_>>()
    };
    assert_eq!(names(Order::Ascending, 3), ["k10", "k11", "k12"]);
    assert_eq!(names(Order::Descending, 2), ["k19", "k18"]);
    assert_eq!(names(Order::Ascending, 100).len(), 10);
    assert!(names(Order::Descending, 0).is_empty());
    let backwards = snapshot.scan(&key(1, "k20"), &key(1, "k10"), Order::Ascending, 9);
    assert!(backwards.expect("scan").is_empty());
}

fn a_visit_sees_what_a_scan_does_until_it_breaks_off(engine: &SharedEngine) {
    const PAIRS: usize = 2 * VISIT_PAIRS + 1;
    let mut batch = Batch::new();
    for n in 0..PAIRS {
        batch.put(key(1, &format!("k{n:08}")), vec![n as u8]);
    }
    engine.submit(batch).expect("submit").done_blocking();
    put(engine, key(2, "other"), "");
    let snapshot = engine.snapshot(engine.shard_of_account(1));
    let (start, end) = (key(1, "k"), key(1, "l"));
    let pairs = snapshot.scan(&start, &end, Order::Ascending, usize::MAX);
    let pairs = pairs.expect("scan");
    assert_eq!(pairs.len(), PAIRS);
    for many in [1, VISIT_PAIRS, PAIRS] {
        let mut seen = Vec::new();
        let visited = snapshot.visit(&start, &end, &mut |key, value| {
            seen.push((key.to_vec(), value));
            if seen.len() == many {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        visited.expect("visit");
        assert_eq!(seen, pairs[..many]);
    }
    let nothing = snapshot.visit(&end, &start, &mut |_, _| panic!("nothing is there"));
    nothing.expect("visit");
}

fn bodies_are_read_at_once_and_later(engine: &SharedEngine) {
    let shard = engine.shard_of_account(1);
    let small = engine.put_body(shard, b"hello").expect("put");
    let empty = engine.put_body(shard, b"").expect("put");
    let large: Vec<u8> = (0..BODY_FRAME_BYTES_MAX)
        .map(|i| (i * 7 % 251) as u8)
        .collect();
    let large_extent = engine.put_body(shard, &large).expect("put");
    for _ in 0..2 {
        assert_eq!(engine.read_body(&small).expect("read"), "hello");
        assert_eq!(engine.read_body(&empty).expect("read"), "");
        assert_eq!(engine.read_body(&large_extent).expect("read"), large);
        // The second time everything is on the disk.
        put(engine, key(1, "x"), "y");
    }
    assert!(matches!(
        engine.put_body(shard, &vec![0; BODY_FRAME_BYTES_MAX + 1]),
        Err(SubmitError::TooLarge { .. })
    ));
    let mut wrong = small;
    wrong.crc ^= 1;
    assert!(matches!(
        engine.read_body(&wrong),
        Err(ReadError::Damaged(_))
    ));
    wrong.place += 1 << 40;
    assert!(engine.read_body(&wrong).is_err());
}

fn callbacks_run_in_commit_order_before_the_ticket(engine: &SharedEngine) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let tickets: Vec<Ticket> = (0..100)
        .map(|i| {
            let mut batch = Batch::new();
            batch.put(key(1, &format!("{i}")), Bytes::new());
            let seen = Arc::clone(&seen);
            batch.on_visible(move |commit| seen.lock().push(commit));
            engine.submit(batch).expect("submit")
        })
        .collect();
    let numbers: Vec<CommitNo> = tickets
        .into_iter()
        .enumerate()
        .map(|(i, ticket)| {
            let commit = ticket.done_blocking();
            assert!(
                seen.lock().len() > i,
                "the callback comes before the ticket"
            );
            commit
        })
        .collect();
    assert_eq!(*seen.lock(), numbers);
    assert!(numbers.is_sorted());
}

fn one_batch_one_shard(engine: &SharedEngine) {
    let mut batch = Batch::new();
    batch.put(key(1, "x"), Bytes::new());
    batch.put(key(2, "x"), Bytes::new());
    let crosses = engine.shard_of_account(1) != engine.shard_of_account(2);
    let refused = matches!(engine.submit(batch), Err(SubmitError::CrossShard));
    assert_eq!(crosses, refused);
    for shard in (0..engine.shards()).map(ShardId) {
        let mut batch = Batch::new();
        batch.put(keys::queue(shard), Bytes::from_static(b"q"));
        batch.put(keys::blob(shard), Bytes::from_static(b"b"));
        engine.submit(batch).expect("submit").done_blocking();
        let snapshot = engine.snapshot(shard);
        assert!(snapshot.get(&keys::queue(shard)).expect("get").is_some());
    }
}

fn bad_batches_are_refused(engine: &SharedEngine) {
    let refusal = |key: Vec<u8>, value: Vec<u8>| {
        let mut batch = Batch::new();
        batch.put(key, value);
        engine.submit(batch).map(|_| ())
    };
    let too_long = key(1, &"x".repeat(KEY_BYTES_MAX));
    assert!(matches!(
        refusal(too_long, vec![]),
        Err(SubmitError::BadKey { .. })
    ));
    assert!(matches!(
        refusal(b"zzz".to_vec(), vec![]),
        Err(SubmitError::BadKey { .. })
    ));
    assert!(matches!(
        refusal(vec![], vec![]),
        Err(SubmitError::BadKey { .. })
    ));
    let no_shard = keys::queue(ShardId(engine.shards()));
    assert!(matches!(
        refusal(no_shard, vec![]),
        Err(SubmitError::BadKey { .. })
    ));
    let large = vec![7; BATCH_BYTES_MAX];
    assert!(matches!(
        refusal(key(1, "x"), large),
        Err(SubmitError::TooLarge { .. })
    ));
    assert_eq!(get(engine, 1, &key(1, "x")), None);
    let largest = vec![7; BATCH_BYTES_MAX - 18];
    assert!(refusal(key(1, "x"), largest).is_ok());
}

fn an_empty_batch_is_a_commit(engine: &SharedEngine) {
    let first = engine.submit(Batch::new()).expect("submit").done_blocking();
    let second = engine.submit(Batch::new()).expect("submit").done_blocking();
    assert!(second > first);
}

fn many_writers_to_one_key_lose_nothing(engine: &SharedEngine) {
    const WRITERS: usize = 8;
    const EACH: usize = 25;
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    increment(engine);
                }
            });
        }
    });
    let value = get(engine, 1, &key(1, "counter")).expect("there").value;
    assert_eq!(value, (WRITERS * EACH).to_string());
}

/// Adds one to a counter, again and again until nobody was faster.
fn increment(engine: &SharedEngine) {
    loop {
        let old = get(engine, 1, &key(1, "counter"));
        let (expect, n) = match old {
            None => (Expect::Absent, 0),
            Some(old) => {
                let text = String::from_utf8(old.value.to_vec()).expect("text");
                (Expect::Version(old.version), text.parse().expect("number"))
            }
        };
        let mut batch = Batch::new();
        batch.expect(key(1, "counter"), expect);
        batch.put(key(1, "counter"), Bytes::from((n + 1u64).to_string()));
        match engine.submit(batch) {
            Ok(ticket) => {
                let _ = ticket.done_blocking();
                return;
            }
            Err(SubmitError::Conflict { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

fn a_dropped_ticket_cancels_nothing(engine: &SharedEngine) {
    let mut batch = Batch::new();
    batch.put(key(1, "x"), Bytes::from_static(b"kept"));
    drop(engine.submit(batch).expect("submit"));
    put(engine, key(1, "y"), "later");
    assert_eq!(get(engine, 1, &key(1, "x")).expect("there").value, "kept");
}
