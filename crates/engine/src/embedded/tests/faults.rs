//! A disk that refuses: the n-th sync fails, or no space is left.

use super::*;
use crate::embedded::disk::SegmentFile;
use crate::embedded::disk::real::RealDisk;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64};

#[derive(Debug)]
struct FaultyDisk {
    real: RealDisk,
    shared: Arc<Faults>,
}

#[derive(Debug, Default)]
struct Faults {
    /// Syncs that still work.
    syncs_left: AtomicU64,
    /// Segments that can still be made.
    segments_left: AtomicU64,
    failed: AtomicBool,
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
        if !spend(&self.shared.syncs_left) {
            self.shared.failed.store(true, Ordering::SeqCst);
            return Err(io::Error::other("the disk lost its mind"));
        }
        self.real.sync()
    }
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.real.read_at(into, offset)
    }
}

/// A store over a disk that does `syncs` syncs and makes `segments` segments.
fn faulty(syncs: u64, segments: u64) -> (Folder, Options, Arc<Faults>) {
    let folder = Folder::new();
    let shared = Arc::new(Faults::default());
    shared.syncs_left.store(syncs, Ordering::SeqCst);
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

#[test]
fn when_the_nth_sync_fails_nothing_more_is_promised() {
    for n in 0..30 {
        let (folder, mut options, faults) = faulty(n, 99);
        let fatal = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&fatal);
        options.on_fatal = Arc::new(move |why| heard.lock().push(why.to_owned()));
        let engine = open(&folder, &options);
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
            // One at a time, so that each has a sync of its own.
            while !ticket.is_done() && !faults.failed.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            if ticket.is_done() {
                promised += 1;
            } else {
                waiting.push(ticket);
            }
        }
        engine.close();
        assert_eq!(promised, n);
        assert_eq!(called_back.load(Ordering::SeqCst), n);
        assert!(waiting.iter().all(|ticket| !ticket.is_done()));
        assert_eq!(fatal.lock().len(), 1);
        assert!(fatal.lock()[0].contains("the disk lost its mind"));
        drop(engine);
        // What was promised is there after a start with a good disk.
        let engine = open(&folder, &small());
        assert!(all(&engine).len() as u64 >= promised);
    }
}

#[test]
fn a_full_disk_is_refused_at_the_door_and_what_is_inside_is_finished() {
    let (folder, options, faults) = faulty(u64::MAX, 2);
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
