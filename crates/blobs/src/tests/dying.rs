//! Blobs without links: marked, deleted after the grace time, and never under
//! a delivery's feet.

use super::*;
use crate::collect::dying::{Unlinked, UnlinkedWalk};
use crate::unlinked;
use engine::{Extent, Order, ReadError, Snapshot, Stats, Ticket};
use parking_lot::Mutex;

const GRACE: u64 = 1000;

fn unlink(engine: &SharedEngine, blobs: &Blobs, id: BlobId, owner: Owner) {
    let mut batch = Batch::new();
    blobs.unlink(&mut batch, SHARD, id, owner);
    engine.submit(batch).expect("submit").done_blocking();
}

/// One walk over all that lost a link.
fn collect(blobs: &Blobs, now_ms: u64) -> Unlinked {
    let mut walk = UnlinkedWalk::new(SHARD);
    let mut total = Unlinked::default();
    while let Some(step) = blobs
        .collect_unlinked(&mut walk, now_ms, GRACE)
        .expect("collect")
    {
        total.examined += step.examined;
        total.marked += step.marked;
        total.kept += step.kept;
        total.deleted += step.deleted;
        total.deleted_bytes += step.deleted_bytes;
    }
    total
}

/// Pairs in the blobs' two spaces.
fn pairs(engine: &SharedEngine) -> usize {
    let snapshot = engine.snapshot(SHARD);
    let (start, end) = unlinked::all(SHARD);
    let unlinked = snapshot.scan(&start, &end, Order::Ascending, usize::MAX);
    let start = engine::keys::blob(SHARD);
    let end = engine::keys::end_of(&start);
    let blobs = snapshot.scan(&start, &end, Order::Ascending, usize::MAX);
    unlinked.expect("scan").len() + blobs.expect("scan").len()
}

#[test]
fn a_blob_goes_in_two_steps_after_its_last_link() {
    let (engine, blobs) = store();
    let bytes = text(5000);
    let id = BlobId::of(&bytes);
    commit(&engine, &blobs, &mut receive(&blobs, &bytes), OWNER);
    commit(
        &engine,
        &blobs,
        &mut receive(&blobs, &bytes),
        Owner::Queue(1),
    );
    unlink(&engine, &blobs, id, OWNER);
    let step = collect(&blobs, 5);
    assert_eq!((step.examined, step.kept), (1, 1), "still in the queue");
    assert_eq!(collect(&blobs, 6), Unlinked::default());
    unlink(&engine, &blobs, id, Owner::Queue(1));
    assert_eq!(collect(&blobs, 10).marked, 1);
    assert!(record(&engine, id).dying);
    assert_eq!(
        blobs.read(SHARD, id, 0..9999).expect("a reader goes on"),
        bytes
    );
    assert_eq!(fsck(&blobs, SHARD, Some(10)).expect("fsck"), []);
    assert_eq!(
        fsck(&blobs, SHARD, Some(11)).expect("fsck"),
        [Finding::Overdue(id)]
    );
    assert_eq!(collect(&blobs, 9 + GRACE).deleted, 0);
    let stored = u64::from(record(&engine, id).chunks[0].extent.stored_len());
    let step = collect(&blobs, 10 + GRACE);
    assert_eq!((step.deleted, step.deleted_bytes), (1, stored));
    assert!(matches!(blobs.open(SHARD, id), Err(BlobError::NoSuchBlob)));
    assert_eq!(pairs(&engine), 0);
}

#[test]
fn a_link_that_came_before_the_mark_saves_the_blob() {
    let (engine, blobs) = store();
    let bytes = text(5000);
    let id = BlobId::of(&bytes);
    commit(&engine, &blobs, &mut receive(&blobs, &bytes), OWNER);
    unlink(&engine, &blobs, id, OWNER);
    assert_eq!(collect(&blobs, 0).marked, 1);
    // As if a delivery's commit had come between the look and the mark.
    let mut late = Batch::new();
    blobs.link(&mut late, SHARD, id, Owner::Queue(3));
    engine.submit(late).expect("submit").done_blocking();
    let step = collect(&blobs, GRACE);
    assert_eq!((step.kept, step.deleted), (1, 0));
    assert!(!record(&engine, id).dying);
    assert_eq!(fsck(&blobs, SHARD, Some(GRACE)).expect("fsck"), []);
    // And if that link goes, the blob goes.
    unlink(&engine, &blobs, id, Owner::Queue(3));
    assert_eq!(collect(&blobs, 2 * GRACE).marked, 1);
    assert_eq!(collect(&blobs, 3 * GRACE).deleted, 1);
    assert_eq!(pairs(&engine), 0);
}

#[test]
fn the_grace_time_begins_anew_with_a_later_unlink_or_a_clock_set_back() {
    let (engine, blobs) = store();
    let bytes = text(5000);
    let id = BlobId::of(&bytes);
    commit(&engine, &blobs, &mut receive(&blobs, &bytes), OWNER);
    unlink(&engine, &blobs, id, OWNER);
    assert_eq!(collect(&blobs, 5000).marked, 1);
    unlink(&engine, &blobs, id, Owner::Queue(8));
    assert_eq!(collect(&blobs, 5000 + GRACE).marked, 1);
    assert_eq!(collect(&blobs, 100).marked, 1, "the clock was set back");
    assert_eq!(collect(&blobs, 99 + GRACE).deleted, 0);
    assert_eq!(collect(&blobs, 100 + GRACE).deleted, 1);
}

#[test]
fn records_that_nobody_knows_of_are_found() {
    let (engine, blobs) = store();
    let mut blob = receive(&blobs, &text(5000));
    let mut batch = Batch::new();
    blobs.stage(&mut batch, &mut blob).expect("stage");
    engine.submit(batch).expect("submit").done_blocking();
    assert_eq!(
        fsck(&blobs, SHARD, None).expect("fsck"),
        [Finding::Forgotten(blob.id)]
    );
}

#[test]
fn more_than_a_page_of_them_all_go() {
    let (engine, blobs) = store();
    let count = 3 * crate::limits::UNLINKED_PAGE / 2;
    for n in 0..count {
        let mut blob = receive(&blobs, n.to_string().as_bytes());
        commit(&engine, &blobs, &mut blob, Owner::Queue(n as u64));
        unlink(&engine, &blobs, blob.id, Owner::Queue(n as u64));
    }
    assert_eq!(collect(&blobs, 0).marked, count as u64);
    assert_eq!(collect(&blobs, GRACE).deleted, count as u64);
    assert_eq!(pairs(&engine), 0);
}

/// An engine in which something else happens between a look and its commit.
#[derive(Debug)]
struct Between {
    inner: MemoryEngine,
    next: Mutex<Option<Batch>>,
}

impl engine::Engine for Between {
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
        self.inner.read_body(extent)
    }
    fn submit(&self, batch: Batch) -> Result<Ticket, SubmitError> {
        if let Some(first) = self.next.lock().take() {
            // It may lose as well: then its owner stages again.
            let _ = self.inner.submit(first);
        }
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

/// Deliveries, removals and collection in any order, each able to come between
/// any other's look and commit: what is linked can be read, what is not goes.
#[test]
fn no_interleaving_takes_a_body_from_its_owner() {
    for seed in 0..200 {
        interleave(seed);
    }
}

fn interleave(seed: u64) {
    let between = Arc::new(Between {
        inner: MemoryEngine::new(3),
        next: Mutex::new(None),
    });
    let engine: SharedEngine = between.clone();
    let blobs = Blobs::new(engine.clone());
    let mut state = seed;
    let mut random = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let messages: Vec<Vec<u8>> = (0..3u8).map(|n| vec![b'a' + n; 2000]).collect();
    let mut now = 0;
    for step in 0..60u64 {
        // What comes between the next look and its commit.
        let message = &messages[random(3) as usize];
        let mut batch = Batch::new();
        match random(3) {
            0 => {
                let mut blob = receive(&blobs, message);
                blobs.stage(&mut batch, &mut blob).expect("stage");
                blobs.link(&mut batch, SHARD, blob.id, Owner::Queue(1000 + step));
            }
            1 => {
                let id = BlobId::of(message);
                for owner in blobs.owners(SHARD, id, 9).expect("owners") {
                    blobs.unlink(&mut batch, SHARD, id, owner);
                }
            }
            _ => {}
        }
        if !batch.is_empty() {
            *between.next.lock() = Some(batch);
        }
        let message = &messages[random(3) as usize];
        match random(3) {
            0 => deliver(&engine, &blobs, message, Owner::Queue(step)),
            1 => {
                let id = BlobId::of(message);
                if let Some(owner) = blobs.owners(SHARD, id, 1).expect("owners").first() {
                    unlink(&engine, &blobs, id, *owner);
                }
            }
            _ => {
                now += random(2 * GRACE);
                collect(&blobs, now);
            }
        }
        settle(&engine, SHARD);
        let findings = fsck(&blobs, SHARD, None).expect("fsck");
        assert_eq!(findings, [], "seed {seed}, step {step}");
    }
    between.next.lock().take();
    for message in &messages {
        let id = BlobId::of(message);
        for owner in blobs.owners(SHARD, id, 99).expect("owners") {
            unlink(&engine, &blobs, id, owner);
        }
    }
    collect(&blobs, now);
    // One more look for those that were marked long ago and linked since.
    collect(&blobs, now + GRACE);
    collect(&blobs, now + 2 * GRACE);
    assert_eq!(pairs(&engine), 0, "seed {seed}");
}

/// As a delivery does: stages again when another commit came first.
fn deliver(engine: &SharedEngine, blobs: &Blobs, message: &[u8], owner: Owner) {
    let mut blob = receive(blobs, message);
    for _ in 0..9 {
        let mut batch = Batch::new();
        blobs.stage(&mut batch, &mut blob).expect("stage");
        blobs.link(&mut batch, SHARD, blob.id, owner);
        match engine.submit(batch) {
            Ok(ticket) => {
                ticket.done_blocking();
                return;
            }
            Err(SubmitError::Conflict { .. }) => settle(engine, SHARD),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("always too late");
}

/// Waits until everything submitted is visible.
pub(super) fn settle(engine: &SharedEngine, shard: ShardId) {
    let mut batch = Batch::new();
    batch.put(
        [&engine::keys::queue(shard)[..], b"settle"].concat(),
        vec![],
    );
    engine.submit(batch).expect("submit").done_blocking();
}
