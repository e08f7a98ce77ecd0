//! Damage: reported, passed over, and the rest is served.

use super::*;
use crate::embedded::format::BLOCK;
use crate::embedded::index::tree::TreeIndex;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A closed store of some hundred commits in single groups.
fn filled(commits: u32) -> (Folder, Vec<(Vec<u8>, CommitNo, Bytes)>) {
    filled_in(commits, 32 << 20)
}

fn filled_in(commits: u32, segment_bytes: u64) -> (Folder, Vec<(Vec<u8>, CommitNo, Bytes)>) {
    let folder = Folder::new();
    let engine = open(
        &folder,
        &Options {
            segment_bytes,
            ..small()
        },
    );
    let shared: SharedEngine = engine.clone();
    for n in 0..commits {
        put(
            &shared,
            key(1, &format!("{n:05}")),
            &"v".repeat(n as usize % 900),
        );
    }
    let state = all(&engine);
    engine.close();
    (folder, state)
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let file = File::options().write(true).open(path).expect("open");
    file.write_all_at(bytes, at).expect("overwrite");
}

#[test]
fn a_bad_place_before_good_groups_is_reported_and_passed_over() {
    let (folder, state) = filled(100);
    let journal = folder.copy_journal();
    // The tenth group: its frame first, then its header too.
    let group = (BLOCK + 9 * BLOCK) as u64;
    for at in [group + 70, group] {
        let copy = journal.copy_journal();
        overwrite(&copy.segment(1), at, b"damaged");
        let engine = open(&copy, &small());
        let expected = Finding::Unreadable {
            segment: 1,
            from: group,
            to: group + BLOCK as u64,
        };
        assert_eq!(engine.findings()[0], expected);
        assert!(matches!(
            engine.findings()[1],
            Finding::MissingGroups {
                expected: 10,
                found: 11,
                ..
            }
        ));
        let left = all(&engine);
        assert_eq!(left.len(), 99);
        assert!(left.iter().all(|pair| state.contains(pair)));
        assert!(engine.fsck().expect("fsck").contains(&expected));
        // It goes on behind the last group, and damage stays known.
        put(&(engine.clone() as SharedEngine), key(2, "new"), "x");
        engine.abandon();
        drop(engine);
        let engine = open(&copy, &small());
        assert_eq!(all(&engine).len(), 100);
        assert!(engine.findings().contains(&expected));
    }
}

#[test]
fn the_index_saves_what_the_journal_lost() {
    let (folder, state) = filled(100);
    // The index knows all; the last three groups are gone.
    let at = (BLOCK + 97 * BLOCK) as u64;
    overwrite(&folder.segment(1), at, &vec![0xee; 3 * BLOCK]);
    let engine = open(&folder, &small());
    assert_eq!(
        engine.findings(),
        [Finding::IndexAhead {
            index: 100,
            journal: 97
        }]
    );
    assert_eq!(all(&engine), state);
    let new = put(&(engine.clone() as SharedEngine), key(2, "new"), "x");
    assert_eq!(new, CommitNo(101), "no number is given twice");
    engine.abandon();
    drop(engine);
    let engine = open(&folder, &small());
    assert_eq!(all(&engine).len(), 101);
    let mut left = [0; 4];
    let file = File::open(folder.segment(1)).expect("open");
    file.read_exact_at(&mut left, at).expect("read");
    assert_eq!(
        left, [0xee; 4],
        "what is left of the lost end is not overwritten"
    );
    let findings = engine.fsck().expect("fsck");
    let lacks = findings
        .iter()
        .filter(|f| matches!(f, Finding::IndexHas { .. }))
        .count();
    assert_eq!(lacks, 3, "{findings:?}");
    // A repair writes them to the journal again: the index may be lost now.
    let before = all(&engine);
    let mended = engine.repair(&findings, &NoAside).expect("repair");
    assert_eq!(mended.len(), 1, "{mended:?}");
    assert_eq!(engine.repair(&[], &NoAside).expect("repair"), []);
    let left = engine.fsck().expect("fsck");
    assert!(
        !left.iter().any(|f| matches!(f, Finding::IndexHas { .. })),
        "{left:?}"
    );
    engine.close();
    drop(engine);
    drop_index(&folder.0).expect("dropped");
    let engine = open(&folder, &small());
    let values = |all: Vec<(Vec<u8>, CommitNo, Bytes)>| {
        all.into_iter()
            .map(|(key, _, value)| (key, value))
            .collect::<Vec<_>>()
    };
    assert_eq!(values(all(&engine)), values(before));
}

/// For repairs that have nothing to set aside.
struct NoAside;

impl crate::check::Aside for NoAside {
    fn keep(&self, item: &crate::check::SetAside<'_>) -> io::Result<()> {
        panic!("set aside: {item:?}");
    }
}

#[test]
fn either_copy_of_a_segments_header_is_enough() {
    let (folder, state) = filled(30);
    let journal = folder.copy_journal();
    let len = fs::metadata(journal.segment(1)).expect("metadata").len();
    for (at, whole) in [(0, true), (len - BLOCK as u64, true)] {
        let copy = journal.copy_journal();
        overwrite(&copy.segment(1), at, &[0; 64]);
        let engine = open(&copy, &small());
        assert_eq!(all(&engine) == state, whole);
    }
    overwrite(&journal.segment(1), 0, &[0; 64]);
    overwrite(&journal.segment(1), len - BLOCK as u64, &[0; 64]);
    let engine = open(&journal, &small());
    assert_eq!(engine.findings()[0], Finding::SegmentHeader { segment: 1 });
    put(
        &(engine.clone() as SharedEngine),
        key(2, "new"),
        "it still works",
    );
}

#[test]
fn a_message_cannot_bring_a_group_with_it() {
    // The bytes of a whole journal as a body: none of it is ever replayed.
    let (other, _) = filled(20);
    let foreign = fs::read(other.segment(1)).expect("read");
    let folder = Folder::new();
    let engine = open(&folder, &small());
    for shift in [0, 1000, BLOCK - 56] {
        engine
            .put_body(ShardId(0), &foreign[BLOCK - shift..][..30 * BLOCK])
            .expect("put");
        put(
            &(engine.clone() as SharedEngine),
            key(7, &shift.to_string()),
            "mine",
        );
    }
    let copy = folder.copy_journal();
    drop(engine);
    // Even when the group in front of it is damaged.
    overwrite(&copy.segment(1), BLOCK as u64, &[0; 16]);
    let engine = open(&copy, &small());
    assert!(
        all(&engine)
            .iter()
            .all(|(k, _, _)| k.starts_with(&key(7, "")))
    );
}

#[test]
fn a_damaged_body_is_not_served() {
    let folder = Folder::new();
    let engine = open(&folder, &small());
    let good = engine.put_body(ShardId(0), &[1; 9000]).expect("put");
    let bad = engine.put_body(ShardId(0), &[2; 9000]).expect("put");
    // Reopened, so that nothing is answered from memory.
    engine.close();
    let (_, offset) = segment::split(&bad).expect("place");
    overwrite(&folder.segment(1), offset + 5000, b"?");
    let engine = open(&folder, &small());
    assert_eq!(engine.read_body(&good).expect("read"), vec![1; 9000]);
    assert!(matches!(engine.read_body(&bad), Err(ReadError::Damaged(_))));
}

/// Pages that a file is damaged by.
const PAGES: usize = 12;

/// What may happen to a file of the index at one of its pages.
#[derive(Debug, Clone, Copy)]
enum Mangled {
    Cut,
    Zeroed,
    /// One bit.
    Flipped,
    /// The page stands in the next one's place, and that in its.
    Swapped,
    /// The rest of the file comes first.
    Turned,
    /// The page is that of another file of the index.
    Foreign,
}

impl Mangled {
    const ALL: [Self; 6] = [
        Self::Cut,
        Self::Zeroed,
        Self::Flipped,
        Self::Swapped,
        Self::Turned,
        Self::Foreign,
    ];

    fn apply(self, file: &[u8], at: usize, page: usize, other: &[u8]) -> Vec<u8> {
        let mut out = file.to_vec();
        let end = (at + page).min(out.len());
        match self {
            Self::Cut => out.truncate(at),
            Self::Zeroed => out[at..end].fill(0),
            Self::Flipped => out[at] ^= 0x10,
            Self::Swapped => {
                let next = (end + page).min(out.len());
                out[at..next].rotate_left(end - at);
            }
            Self::Turned => out.rotate_left(at),
            Self::Foreign => {
                for (byte, from) in out[at..end].iter_mut().zip(other.iter().cycle()) {
                    *byte = *from;
                }
            }
        }
        out
    }
}

/// Files of the index, mangled page by page: whatever is met at opening or
/// reading, nothing is lost in the end.
#[test]
fn a_mangled_index_loses_nothing() {
    // Small segments: each case reads them all.
    let (folder, state) = filled_in(450, threads::SEGMENT_BYTES_MIN);
    let index = folder.0.join("index");
    let mut files = Vec::new();
    list(&index, &mut files);
    files.sort();
    assert!(files.len() >= 4, "{files:?}");
    let mut cases = 0;
    for (n, file) in files.iter().enumerate() {
        let bytes = fs::read(file).expect("read");
        let other = fs::read(&files[(n + 1) % files.len()]).expect("read");
        let page = bytes.len().div_ceil(PAGES).max(1);
        for at in (0..bytes.len()).step_by(page) {
            for how in Mangled::ALL {
                let mangled = how.apply(&bytes, at, page, &other);
                if mangled == bytes {
                    continue;
                }
                with_index(
                    &folder,
                    |_| fs::write(file, mangled).expect("write"),
                    || {
                        let case = format!("{}: {how:?} at {at}", file.display());
                        served_in_the_end(&folder, &state, &case);
                    },
                );
                cases += 1;
            }
        }
    }
    assert!(cases >= 300, "{cases} cases");
    served_in_the_end(&folder, &state, "the index as it was");
}

/// The library takes counts of its list of tables on trust, and may ask for
/// more memory than there is: then the process ends, which nothing contains.
#[test]
fn a_list_of_tables_that_is_not_as_it_was_written_is_not_read() {
    let (folder, _) = filled_in(450, threads::SEGMENT_BYTES_MIN);
    let index = folder.0.join("index");
    let current = index.join("current");
    let named = fs::read(&current).expect("read");
    let number = u64::from_le_bytes(*named.first_chunk().expect("a number"));
    let opens = || {
        let tree = TreeIndex::open(&index, small().tree(), Arc::default());
        tree.map(|tree| index::Index::close(&tree))
            .map_err(|error| error.to_string())
    };
    for file in [current, index.join(format!("v{number}"))] {
        let bytes = fs::read(&file).expect("read");
        for at in 0..bytes.len() {
            let mut mangled = bytes.clone();
            mangled[at] ^= 0xff;
            fs::write(&file, mangled).expect("write");
            assert!(opens().is_err(), "{}: byte {at}", file.display());
        }
        fs::write(&file, &bytes[..bytes.len() - 1]).expect("write");
        assert!(opens().is_err(), "{}: cut", file.display());
        fs::write(&file, &bytes).expect("write");
    }
    assert_eq!(opens(), Ok(()));
}

/// Files of an earlier index among those of a later one, each alone and all
/// together, and files that are gone.
#[test]
fn an_index_of_two_ages_loses_nothing() {
    let folder = Folder::new();
    let engine = open(&folder, &small());
    let shared: SharedEngine = engine.clone();
    let mut n = 0;
    let mut fill = |shared: &SharedEngine, commits: u32| {
        for _ in 0..commits {
            n += 1;
            put(
                shared,
                key(1, &format!("{:03}", n * 7 % 500)),
                &"v".repeat(n % 900),
            );
        }
    };
    fill(&shared, 300);
    drop(shared);
    engine.close();
    drop(engine);
    let earlier = folder.0.join("earlier");
    copy_all(&folder.0.join("index"), &earlier);
    let engine = open(&folder, &small());
    fill(&(engine.clone() as SharedEngine), 300);
    let state = all(&engine);
    engine.close();
    drop(engine);
    let mut then = Vec::new();
    list(&earlier, &mut then);
    let mut now = Vec::new();
    list(&folder.0.join("index"), &mut now);
    for from in &then {
        let to = from.strip_prefix(&earlier).expect("below");
        let put_back = |index: &Path| {
            fs::copy(from, index.join(to)).expect("copy");
        };
        with_index(&folder, put_back, || {
            served_in_the_end(&folder, &state, &format!("earlier {}", to.display()));
        });
    }
    for file in &now {
        let remove = |_: &Path| fs::remove_file(file).expect("remove");
        with_index(&folder, remove, || {
            served_in_the_end(&folder, &state, &format!("without {}", file.display()));
        });
    }
    with_index(
        &folder,
        |index| copy_all(&earlier, index),
        || {
            served_in_the_end(&folder, &state, "everything earlier over everything");
        },
    );
}

/// Changes the index, does something, and puts the index back.
fn with_index(folder: &Folder, change: impl FnOnce(&Path), then: impl FnOnce()) {
    let index = folder.0.join("index");
    let pristine = folder.0.join("pristine");
    copy_all(&index, &pristine);
    change(&index);
    then();
    let _ = fs::remove_dir_all(&index);
    fs::rename(&pristine, &index).expect("restore");
}

/// Opens, at most twice: damage met only while reading is mended by the next start.
fn served_in_the_end(folder: &Folder, state: &[(Vec<u8>, CommitNo, Bytes)], case: &str) {
    let options = Options {
        memtable_bytes: 16 << 20,
        unflushed_commits: 1 << 20,
        ..small()
    };
    for start in 1..=2 {
        let engine = open(folder, &options);
        let read = engine
            .snapshot(ShardId(0))
            .scan(b"", &[255], Order::Ascending, 1 << 20);
        engine.abandon();
        match read {
            Err(_) if start == 1 => continue,
            Err(error) => panic!("{case}: {error}"),
            Ok(pairs) => {
                let read = pairs.into_iter().map(|(k, v)| (k, v.version, v.value));
                assert!(read.eq(state.iter().cloned()), "{case}");
                return;
            }
        }
    }
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("list") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            list(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("mkdir");
    for entry in fs::read_dir(from).expect("list") {
        let path = entry.expect("entry").path();
        let target = to.join(path.file_name().expect("name"));
        if path.is_dir() {
            copy_all(&path, &target);
        } else {
            fs::copy(&path, &target).expect("copy");
        }
    }
}

#[test]
fn a_check_in_little_memory_finds_the_same() {
    let (folder, _) = filled(300);
    let engine = open(&folder, &small());
    let shared: SharedEngine = engine.clone();
    // Deleted keys and keys written twice are compared too.
    for n in 0..100 {
        let mut batch = Batch::new();
        batch.delete(key(1, &format!("{n:05}")));
        batch.put(key(1, &format!("{:05}", n + 100)), &b"again"[..]);
        shared.submit(batch).expect("submit").done_blocking();
    }
    assert_eq!(engine.fsck().expect("fsck"), []);
    let passes = std::cell::Cell::new(0);
    assert_eq!(engine.fsck_with(2000, &|_, _| {}).expect("fsck"), []);
    // The index of half the store: whatever the memory, the same is lacking.
    let half = MapIndex::default();
    let journal = fsck::Journal::of(&engine.core);
    let (segments, _) = journal.segments().expect("segments");
    scan::Scan::new(&segments)
        .run(&mut |commit| {
            passes.set(passes.get() + 1);
            let applied = index::Applied {
                commit: commit.number,
                store: 1,
            };
            let mut writes = commit.writes;
            writes.retain(|(key, _)| key.last().is_some_and(|last| last % 2 == 0));
            let commit = commit::Commit {
                number: commit.number,
                writes,
                on_visible: Vec::new(),
            };
            index::Index::apply(&half, &[commit], applied).expect("apply");
            std::ops::ControlFlow::Continue(())
        })
        .expect("scan");
    let check = |bytes_max| {
        let (snapshot, until) = index::Index::snapshot(&half);
        fsck::compare_all(&journal, (&*snapshot, until), bytes_max, &|_, _| {}).expect("fsck")
    };
    let (mut at_once, mut in_parts) = (check(1 << 20), check(1000));
    let order = |finding: &Finding| finding.to_string();
    at_once.sort_by_key(order);
    in_parts.sort_by_key(order);
    assert_eq!(at_once.len(), 100);
    assert_eq!(at_once, in_parts);
    assert_eq!(passes.get(), 400);
}

#[test]
fn another_value_of_the_same_commit_is_found() {
    let (folder, _) = filled(20);
    let engine = open(&folder, &small());
    let other = MapIndex::default();
    let journal = fsck::Journal::of(&engine.core);
    let (segments, _) = journal.segments().expect("segments");
    scan::Scan::new(&segments)
        .run(&mut |replayed| {
            let applied = index::Applied {
                commit: replayed.number,
                store: 1,
            };
            let mut writes = replayed.writes;
            if replayed.number == 7 {
                writes[0].1 = Some(Bytes::from_static(b"flipped"));
            }
            let commit = commit::Commit {
                number: replayed.number,
                writes,
                on_visible: Vec::new(),
            };
            index::Index::apply(&other, &[commit], applied).expect("apply");
            std::ops::ControlFlow::Continue(())
        })
        .expect("scan");
    let (snapshot, until) = index::Index::snapshot(&other);
    let found = fsck::compare_all(&journal, (&*snapshot, until), 1 << 20, &|_, _| {});
    let found = found.expect("fsck");
    assert!(
        matches!(
            found[..],
            [Finding::IndexDiffers {
                index: 7,
                journal: 7,
                ..
            }]
        ),
        "{found:?}"
    );
}
