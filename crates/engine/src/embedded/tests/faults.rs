//! A disk that refuses: the n-th write or sync fails, or no space is left.

use super::machine::Machine;
use super::*;
use crate::embedded::disk::real::RealDisk;
use crate::embedded::disk::simulated::{Fault, Op, Plan, SimDisk};
use crate::embedded::disk::{Disk, SegmentFile};
use rustix::io::Errno;
use std::sync::atomic::{AtomicBool, AtomicU64};

#[derive(Debug)]
struct FaultyDisk {
    real: RealDisk,
    shared: Arc<Faults>,
}

#[derive(Debug, Default)]
struct Faults {
    /// Segments that can still be made.
    segments_left: AtomicU64,
    lazy: AtomicBool,
}

#[derive(Debug)]
struct FaultyFile {
    real: Arc<dyn SegmentFile>,
    shared: Arc<Faults>,
}

/// A disk that promises everything and syncs nothing: fast, for tests of
/// what is written and not of when.
pub(super) fn lazy(folder: &Folder) -> Arc<dyn Disk> {
    let shared = Arc::new(Faults::default());
    shared.lazy.store(true, Ordering::SeqCst);
    shared.segments_left.store(u64::MAX, Ordering::SeqCst);
    let real = RealDisk::open(&folder.0.join("journal"), false).expect("disk");
    Arc::new(FaultyDisk { real, shared })
}

fn spend(left: &AtomicU64) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
        .is_ok()
}

impl Disk for FaultyDisk {
    fn list(&self) -> io::Result<Vec<u32>> {
        self.real.list()
    }
    fn preallocate(&self, segment: u32, header: &[u8], bytes: u64) -> io::Result<()> {
        if !spend(&self.shared.segments_left) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.real.preallocate(segment, header, bytes)
    }
    fn create(&self, segment: u32, bytes: u64) -> io::Result<Arc<dyn SegmentFile>> {
        self.real.create(segment, bytes)
    }
    fn publish(&self, segment: u32) -> io::Result<()> {
        self.real.publish(segment)
    }
    fn discard(&self, segment: u32) {
        self.real.discard(segment);
    }
    fn unlink(&self, segment: u32) -> io::Result<()> {
        self.real.unlink(segment)
    }
    fn retire(&self, segment: u32) -> io::Result<()> {
        self.real.retire(segment)
    }
    fn reuse(&self, retired: u32, segment: u32) -> io::Result<Arc<dyn SegmentFile>> {
        self.real.reuse(retired, segment)
    }
    fn sync_folder(&self) -> io::Result<()> {
        self.real.sync_folder()
    }
    fn open(&self, segment: u32) -> io::Result<Arc<dyn SegmentFile>> {
        let real = self.real.open(segment)?;
        Ok(Arc::new(FaultyFile {
            real,
            shared: Arc::clone(&self.shared),
        }))
    }
    fn free_bytes(&self) -> io::Result<u64> {
        self.real.free_bytes()
    }
    fn random_u64(&self) -> u64 {
        self.real.random_u64()
    }
}

impl SegmentFile for FaultyFile {
    fn bytes(&self) -> u64 {
        self.real.bytes()
    }
    fn write_at(&self, blocks: &[u8], offset: u64) -> io::Result<()> {
        self.real.write_at(blocks, offset)
    }
    fn writes_are_synced(&self) -> bool {
        false
    }
    fn sync(&self) -> io::Result<()> {
        if self.shared.lazy.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.real.sync()
    }
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.real.read_at(into, offset)
    }
}

/// A store over a disk that makes `segments` segments.
fn faulty(segments: u64) -> (Folder, Options, Arc<Faults>) {
    let folder = Folder::new();
    let shared = Arc::new(Faults::default());
    shared.segments_left.store(segments, Ordering::SeqCst);
    let real = RealDisk::open(&folder.0.join("journal"), false).expect("disk");
    let disk = FaultyDisk {
        real,
        shared: Arc::clone(&shared),
    };
    let options = Options {
        disk: Some(Arc::new(disk)),
        ..small()
    };
    (folder, options, shared)
}

/// A simulated disk and a store's options over it.
fn simulated(seed: u64, direct: bool) -> (SimDisk, Options) {
    let disk = SimDisk::new(seed, direct);
    let options = Options {
        disk: Some(Arc::new(disk.clone())),
        index: Some(Arc::new(MapIndex::default())),
        ..small()
    };
    (disk, options)
}

/// Commits one after another, each with a write of its own, until the disk
/// fails; gives how many were promised.
fn commit_until_it_fails(disk: &SimDisk, options: &Options) -> u64 {
    let fatal = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&fatal);
    let options = Options {
        on_fatal: Arc::new(move |why| heard.lock().push(why.to_owned())),
        ..options.clone()
    };
    let engine = open(&Folder::new(), &options);
    let called_back = Arc::new(AtomicU64::new(0));
    let mut promised = 0;
    let mut waiting = Vec::new();
    loop {
        let mut batch = Batch::new();
        let called_back = Arc::clone(&called_back);
        batch.put(key(1, &format!("{promised:03}")), vec![]);
        batch.on_visible(move |_| {
            called_back.fetch_add(1, Ordering::SeqCst);
        });
        let Ok(ticket) = engine.submit(batch) else {
            break;
        };
        while !ticket.is_done() && disk.failure().is_none() {
            thread::yield_now();
        }
        if ticket.is_done() {
            promised += 1;
        } else {
            waiting.push(ticket);
        }
    }
    engine.close();
    assert!(waiting.iter().all(|ticket| !ticket.is_done()));
    assert_eq!(called_back.load(Ordering::SeqCst), promised);
    assert_eq!(fatal.lock().len(), 1, "{:?}", fatal.lock());
    assert!(fatal.lock()[0].contains("could not be written"));
    promised
}

#[test]
fn when_the_nth_write_or_sync_fails_nothing_more_is_promised() {
    for (direct, of) in [(true, Op::Write), (false, Op::Write), (false, Op::Sync)] {
        for nth in 1..=51 {
            let (disk, options) = simulated(nth, direct);
            let errno = if nth % 3 == 0 {
                Errno::NOSPC
            } else {
                Errno::IO
            };
            disk.plan(Plan {
                of: Some(of),
                nth,
                fault: Fault::Error(errno),
            });
            let promised = commit_until_it_fails(&disk, &options);
            assert_eq!(promised, nth - 1, "{of:?}");
            // What was promised is there after a start with a good disk, in
            // whatever way the machine went on.
            for cut in [false, true] {
                if cut {
                    disk.power_cut();
                } else {
                    disk.restart();
                }
                let index: Arc<dyn index::Index> = Arc::new(MapIndex::default());
                let options = Options {
                    index: Some(index),
                    ..options.clone()
                };
                let engine = open(&Folder::new(), &options);
                assert!(all(&engine).len() as u64 >= promised, "{of:?} {nth}");
                assert_eq!(engine.findings(), []);
            }
        }
    }
}

/// The sync failed, the process ended, and the next one read the bytes from
/// the page cache: what it shows must be on the disk.
#[test]
fn what_only_the_page_cache_has_is_written_again() {
    for seed in 1..20 {
        let (disk, options) = simulated(seed, false);
        let folder = Folder::new();
        disk.plan(Plan {
            of: Some(Op::Sync),
            nth: 1,
            fault: Fault::Error(Errno::IO),
        });
        let machine = Machine::open(&folder.0, &options).expect("open");
        let mut batch = Batch::new();
        batch.put(key(1, "a"), vec![7; 20_000]);
        machine.engine.submit(batch).expect("submit");
        machine.write();
        machine.write();
        assert!(machine.is_fatal());
        machine.abandon();
        disk.restart();
        let machine = Machine::open(&folder.0, &options).expect("open");
        assert_eq!(all(&machine.engine).len(), 1, "it is shown");
        machine.abandon();
        disk.power_cut();
        let machine = Machine::open(&folder.0, &options).expect("open");
        assert_eq!(all(&machine.engine).len(), 1, "seed {seed}: it stays");
        assert_eq!(machine.engine.findings(), [], "seed {seed}");
    }
}

/// Every step of making a segment fails once: a full disk is waited for, a
/// broken one ends the process, and no half segment is ever met.
#[test]
fn a_segment_that_cannot_be_made_is_no_loss() {
    let steps = [
        (Op::Create, 1),
        (Op::Fill, 1),
        (Op::Fill, 2),
        (Op::Fill, 3),
        (Op::Fill, 4),
        (Op::FillSync, 1),
        (Op::Publish, 1),
        (Op::SyncFolder, 1),
    ];
    for (of, nth) in steps {
        for errno in [Errno::NOSPC, Errno::IO] {
            let (disk, options) = simulated(nth, true);
            let folder = Folder::new();
            let machine = Machine::open(&folder.0, &options).expect("open");
            disk.plan(Plan {
                of: Some(of),
                nth: disk.ops(of) + nth,
                fault: Fault::Error(errno),
            });
            let commit = |rest: &str| {
                let mut batch = Batch::new();
                batch.put(key(1, rest), vec![]);
                let ticket = machine.engine.submit(batch);
                machine.write();
                machine.write();
                machine.apply();
                ticket.map(|ticket| assert!(ticket.is_done()))
            };
            commit("before").expect("room");
            machine.supply();
            assert_eq!(disk.failure(), Some((of, Fault::Error(errno))));
            assert!(!machine.engine.has_room_for(1));
            if errno == Errno::NOSPC {
                commit("inside").expect("what is inside is finished");
                machine.supply();
                assert!(machine.engine.has_room_for(1), "{of:?} {nth}");
                assert!(!machine.is_fatal());
            } else {
                assert!(matches!(commit("after"), Err(SubmitError::Closed)));
                assert_eq!(machine.fatal().len(), 1, "{of:?} {nth}");
            }
            let before = all(&machine.engine);
            machine.abandon();
            disk.power_cut();
            let machine = Machine::open(&folder.0, &options).expect("open");
            assert_eq!(all(&machine.engine), before, "{of:?} {nth}");
            assert_eq!(machine.engine.findings(), [], "{of:?} {nth}");
        }
    }
}

#[test]
fn a_full_disk_is_refused_at_the_door_and_what_is_inside_is_finished() {
    let (folder, options, faults) = faulty(2);
    let engine = open(&folder, &options);
    let shared: SharedEngine = engine.clone();
    let body = vec![7; 200_000];
    let mut stored = Vec::new();
    let refused = loop {
        match engine.put_body(ShardId(0), &body) {
            Ok(extent) => stored.push(extent),
            Err(error) => break error,
        }
        if !engine.has_room_for(1) && stored.len() % 3 == 0 {
            // The door is closed, but the reserve still takes what is inside.
            put(&shared, key(1, &stored.len().to_string()), "");
        }
    };
    assert!(matches!(refused, SubmitError::Full));
    assert!(!engine.has_room_for(1));
    assert!(stored.len() >= 16, "{} bodies", stored.len());
    for extent in &stored {
        assert_eq!(engine.read_body(extent).expect("read"), body);
    }
    let mut large = Batch::new();
    large.put(key(1, "large"), vec![0; 900_000]);
    assert!(matches!(engine.submit(large), Err(SubmitError::Full)));
    // Room again: it goes on without a restart.
    faults.segments_left.store(9, Ordering::SeqCst);
    while !engine.has_room_for(1) {
        thread::yield_now();
    }
    put(&shared, key(1, "again"), "");
    engine.put_body(ShardId(0), &body).expect("room again");
    assert_eq!(engine.fsck().expect("fsck"), []);
}

/// A process makes a segment and ends before the name is on stable storage,
/// because it is killed or because that very sync fails. The next one finds the
/// segment in the list and must not promise anything in it yet.
#[test]
fn a_name_that_was_not_synced_is_synced_before_it_is_built_on() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed, seed % 2 == 0);
        let index = Arc::new(MapIndex::default());
        let options = Options {
            disk: Some(Arc::new(disk.clone())),
            index: Some(index.clone()),
            ..small()
        };
        disk.plan(Plan {
            of: Some(Op::SyncFolder),
            // Whichever sync it is, that of the name or one before.
            nth: 1 + seed % 3,
            fault: Fault::Error(Errno::NOSPC),
        });
        let folder = Folder::new();
        drop(Machine::open(&folder.0, &options));
        disk.restart();
        let machine = Machine::open(&folder.0, &options).expect("a good disk");
        let mut batch = Batch::new();
        batch.put(key(1, "promised"), "x");
        let ticket = machine.engine.submit(batch).expect("taken");
        for _ in 0..3 {
            machine.write();
            machine.apply();
        }
        assert!(ticket.is_done());
        machine.abandon();
        disk.power_cut();
        index.lose();
        let machine = Machine::open(&folder.0, &options).expect("a good disk");
        assert_eq!(all(&machine.engine).len(), 1, "seed {seed}");
        machine.close();
    }
}
