//! After a crash: what was durable is there, and nothing half.

use super::*;
use crate::embedded::scan::{self, Scan};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;

type Model = BTreeMap<Vec<u8>, (CommitNo, Bytes)>;

/// Two keys that each commit changes together, and some others.
fn commit(engine: &EmbeddedEngine, model: &mut Model, n: u32) -> CommitNo {
    let mut batch = Batch::new();
    let value = Bytes::from(n.to_string());
    let mut writes = vec![
        (key(1, "left"), Some(value.clone())),
        (key(1, "right"), Some(value)),
    ];
    let other = key(1, &format!("k{}", n * 7 % 13));
    writes.push((
        other,
        (!n.is_multiple_of(3)).then(|| Bytes::from(vec![n as u8; n as usize * 37 % 9000])),
    ));
    for (key, value) in &writes {
        match value {
            Some(value) => batch.put(key.clone(), value.clone()),
            None => batch.delete(key.clone()),
        }
    }
    let commit = engine.submit(batch).expect("submit").done_blocking();
    for (key, value) in writes {
        match value {
            Some(value) => model.insert(key, (commit, value)),
            None => model.remove(&key),
        };
    }
    commit
}

fn state(engine: &EmbeddedEngine) -> Model {
    all(engine)
        .into_iter()
        .map(|(k, c, v)| (k, (c, v)))
        .collect()
}

#[test]
fn a_killed_store_is_brought_forward_from_where_its_index_was() {
    let folder = Folder::on_disk();
    let mut model = Model::new();
    let mut n = 0;
    for life in 0..6 {
        let engine = open(&folder, &small());
        assert_eq!(state(&engine), model, "life {life}");
        assert_eq!(engine.findings(), []);
        assert!(
            engine.stats().replayed <= 2 * 200 + 2,
            "{:?}",
            engine.stats()
        );
        for _ in 0..100 * life {
            n += 1;
            commit(&engine, &mut model, n);
        }
        assert_eq!(engine.fsck().expect("fsck"), []);
        engine.abandon();
    }
    assert_eq!(fsck(&folder.0, &small()).expect("fsck"), []);
}

#[test]
fn an_index_that_is_gone_is_made_from_the_journal() {
    let folder = Folder::new();
    let mut model = Model::new();
    let engine = open(&folder, &small());
    for n in 0..700 {
        commit(&engine, &mut model, n);
    }
    engine.close();
    drop(engine);
    drop_index(&folder.0).expect("drop index");
    let engine = open(&folder, &small());
    assert_eq!(state(&engine), model);
    assert_eq!(engine.stats().replayed, 700);
    assert_eq!(engine.fsck().expect("fsck"), []);
}

#[test]
fn an_index_of_another_store_is_set_aside() {
    let (mine, other) = (Folder::new(), Folder::new());
    let mut model = Model::new();
    for (folder, count) in [(&other, 90), (&mine, 50)] {
        model.clear();
        let engine = open(folder, &small());
        for n in 0..count {
            commit(&engine, &mut model, n);
        }
    }
    std::fs::remove_dir_all(mine.0.join("index")).expect("remove");
    std::fs::rename(other.0.join("index"), mine.0.join("index")).expect("swap");
    let engine = open(&mine, &small());
    assert!(matches!(engine.findings(), [Finding::IndexRebuilt { .. }]));
    assert_eq!(state(&engine), model);
}

/// The state after each group, and where each group ends in the one segment.
fn history(folder: &Folder) -> Vec<(u64, Model)> {
    let disk = disk::real::RealDisk::open(&folder.0.join("journal"), false);
    let disk = disk.expect("disk");
    let (segments, _) = scan::segments(&disk).expect("segments");
    let mut history = vec![(0, Model::new())];
    let mut model = Model::new();
    let mut last = 0;
    loop {
        let mut next = None;
        let scan = Scan::new(&segments).run(&mut |commit| {
            if commit.number <= last {
                return ControlFlow::Continue(());
            }
            for (key, value) in commit.writes {
                match value {
                    Some(value) => model.insert(key, (CommitNo(commit.number), value)),
                    None => model.remove(&key),
                };
            }
            next = Some(commit.number);
            ControlFlow::Break(())
        });
        let (tail, _) = scan.expect("scan");
        let Some(commit) = next else {
            return history;
        };
        last = commit;
        let (_, end) = tail.at.expect("a group");
        history.push((end, model.clone()));
    }
}

#[test]
fn a_journal_cut_anywhere_opens_with_every_whole_group_and_nothing_half() {
    let folder = Folder::new();
    let engine = open(
        &folder,
        &Options {
            segment_bytes: 16 << 20,
            ..small()
        },
    );
    let mut model = Model::new();
    for n in 0..120 {
        commit(&engine, &mut model, n);
    }
    let journal = folder.copy_journal();
    engine.abandon();
    drop(engine);
    let history = history(&journal);
    assert_eq!(history.len(), 121);
    let end = history.last().expect("groups").0;
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let cut = runner.run(&(4096..end + 5000), |cut| {
        let copy = journal.copy_journal();
        let file = File::options()
            .write(true)
            .open(copy.segment(1))
            .expect("open");
        file.set_len(cut).expect("cut");
        let engine = open(&copy, &small());
        // A cut in the padding behind a group's frames harms nothing.
        let whole = history.iter().filter(|(end, _)| *end <= cut).count();
        let found = state(&engine);
        let near = history[whole - 1..].iter().take(2);
        let Some((_, model)) = near.into_iter().find(|(_, model)| *model == found) else {
            return Err(TestCaseError::fail("a state that never was"));
        };
        prop_assert_eq!(engine.findings(), &[]);
        // And it goes on from there.
        let mut model = model.clone();
        for n in 200..210 {
            commit(&engine, &mut model, n);
        }
        engine.abandon();
        drop(engine);
        let engine = open(&copy, &small());
        prop_assert_eq!(&state(&engine), &model);
        prop_assert_eq!(engine.findings(), &[]);
        Ok(())
    });
    cut.expect("every cut");
}

/// The first group of a segment is torn, and the index knows all before it:
/// the segment says nothing of where the journal ends.
#[test]
fn a_torn_group_at_the_start_of_a_segment_hides_nothing_before_it() {
    let folder = Folder::new();
    // The index becomes durable at a clean end only.
    let options = Options {
        memtable_bytes: 16 << 20,
        ..small()
    };
    let mut model = Model::new();
    let deliver = |engine: &EmbeddedEngine, n: u32| {
        // One frame, so that each is one group.
        let value = Bytes::from(vec![n as u8; 250_000]);
        let mut batch = Batch::new();
        batch.put(key(1, &n.to_string()), value.clone());
        let commit = engine.submit(batch).expect("submit").done_blocking();
        (key(1, &n.to_string()), (commit, value))
    };
    let engine = open(&folder, &options);
    for n in 0..8 {
        model.extend([deliver(&engine, n)]);
    }
    engine.close();
    drop(engine);
    let engine = open(&folder, &options);
    deliver(&engine, 8);
    engine.abandon();
    drop(engine);
    let file = File::options().write(true).open(folder.segment(2));
    let torn = file.expect("the ninth did not fit into the first segment");
    torn.write_all_at(&[0xee; 512], 8192).expect("tear");
    let engine = open(&folder, &options);
    assert_eq!(engine.findings(), []);
    assert_eq!(state(&engine), model);
    model.extend([deliver(&engine, 9)]);
    engine.close();
    drop(engine);
    drop_index(&folder.0).expect("drop index");
    let engine = open(&folder, &options);
    assert_eq!(state(&engine), model);
    assert_eq!(engine.findings(), []);
}
