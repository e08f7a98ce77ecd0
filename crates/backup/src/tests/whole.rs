//! Everything there, everything back.

use super::world::{World, executor, large, open, secret, small, text};
use crate::restore::{self, OnDamage};
use crate::verify::verify;
use crate::{BackupError, Folder, KeptFile, Passphrase, Reading};
use blobs::collect::{Collector, Progress};
use engine::ShardId;
use mailbox_model::Uid;
use std::path::Path;
use std::time::Duration;

fn restored(world: &World, folder: &Path, passphrase: Option<&Passphrase>) -> World {
    let target = Folder::new(folder.to_owned());
    let backup = open(&target, passphrase);
    let run = backup.run_at(None).expect("a run");
    let fresh = world.empty();
    let done = restore::everything(
        &backup,
        &run,
        &fresh.destination(),
        OnDamage::Refuse,
        &mut (),
    )
    .expect("restored");
    assert_eq!(done.accounts.len() as u64, run.manifest.accounts);
    assert_eq!((done.emails, done.lost_count), (run.manifest.emails, 0));
    fresh
}

fn comes_back(world: World, passphrase: Option<&Passphrase>) {
    let (world, people) = world.populated();
    let folder = tempfile::tempdir().expect("a folder");
    let target = Folder::new(folder.path().to_owned());
    let done = world
        .back_up_as(&target, &small(passphrase), &mut ())
        .expect("backed up");
    assert_eq!(done.manifest.notes, [] as [String; 0]);
    assert_eq!(done.manifest.accounts, 4);
    let checked = verify(&open(&target, passphrase), None, &mut ()).expect("checked");
    assert_eq!((checked.runs, checked.findings), (1, vec![]));
    let fresh = restored(&world, folder.path(), passphrase);
    super::world::assert_same(&fresh.everything(), &world.everything(), "restored");
    fresh.assert_sound(&people);
    // Life goes on, with numbers that nobody saw.
    let failed = restore::raise(&fresh.runtime, &fresh.mailstore, &people);
    assert_eq!(failed, [] as [String; 0]);
    let uid = fresh.mail(people[0], "INBOX", b"Subject: new\r\n\r\n", &[]);
    assert_eq!(uid, Uid(14 + (1 << 20)));
    fresh.assert_sound(&people);
}

#[test]
fn everything_comes_back_from_three_shards() {
    comes_back(World::in_memory(), None);
}

#[test]
fn everything_comes_back_from_a_folder_encrypted() {
    let folder = tempfile::tempdir().expect("a folder");
    comes_back(World::in_folder(folder.path()), Some(&secret()));
}

/// The index of texts is made of the mail: it need not be kept, and what changes in it changes
/// no account.
#[test]
fn the_index_of_texts_is_left_out() {
    let (world, people) = World::in_memory().populated();
    let folder = tempfile::tempdir().expect("a folder");
    let target = Folder::new(folder.path().to_owned());
    let write_index = |value: &[u8]| {
        for &id in &people {
            let prefix = mailstore::records::search_prefix(id);
            let mut batch = engine::Batch::new();
            batch.put([&prefix[..], b"h"].concat(), value.to_vec());
            for block in 0..50u32 {
                let number = block.to_be_bytes();
                let key = [&prefix[..], b"t", &number].concat();
                batch.put(key, vec![7; 2000]);
            }
            let ticket = world.engine.submit(batch).expect("room");
            world.runtime.block_on(ticket.done());
        }
    };
    write_index(b"head");
    let first = world.back_up(&target).expect("backed up");
    let mut expected = world.everything();
    let with_index = expected.len();
    expected.retain(|key, _| !mailstore::records::is_left_out(key));
    assert_eq!(with_index, expected.len() + people.len() * 51);
    let fresh = restored(&world, folder.path(), None);
    super::world::assert_same(&fresh.everything(), &expected, "restored");
    fresh.assert_sound(&people);
    write_index(b"another head");
    let again = world.back_up(&target).expect("backed up");
    let added = again.progress.added;
    assert_eq!((again.progress.unchanged, added.stretches), (4, 0));
    assert!(first.progress.added.bytes > added.bytes);
}

#[test]
fn the_second_run_writes_what_is_new_and_no_more() {
    let (world, people) = World::in_memory().populated();
    world.mail(people[0], "INBOX", &large(300_000), &[]);
    let folder = tempfile::tempdir().expect("a folder");
    let target = Folder::new(folder.path().to_owned());
    let first = world.back_up(&target).expect("backed up");
    assert!(first.progress.added.bytes > 1_000_000);
    let again = world.back_up(&target).expect("backed up");
    assert!(again.run > first.run);
    let added = again.progress.added;
    assert_eq!(
        (again.progress.unchanged, added.bodies, added.stretches),
        (4, 0, 0)
    );
    let sorted = |done: &crate::Done| {
        let mut packs = done.manifest.packs.clone();
        packs.sort_unstable_by_key(|(id, _)| *id);
        packs
    };
    assert_eq!(sorted(&again), sorted(&first));
    // A table and a manifest.
    assert!(added.bytes < 6000, "{added:?}");
    world.mail(people[3], "INBOX", &large(50_000), &[]);
    let third = world.back_up(&target).expect("backed up");
    let added = third.progress.added;
    assert_eq!((third.progress.unchanged, added.bodies), (3, 1));
    assert!((50_000..62_000).contains(&added.bytes), "{added:?}");
    let fresh = restored(&world, folder.path(), None);
    super::world::assert_same(&fresh.everything(), &world.everything(), "restored");
    // Everything anew when asked for.
    let full = world
        .back_up_as(
            &target,
            &crate::Options {
                full: true,
                ..small(None)
            },
            &mut (),
        )
        .expect("backed up");
    assert_eq!(full.progress.unchanged, 0);
    assert!(full.progress.added.bytes > first.progress.added.bytes);
    assert!(full.manifest.packs.iter().all(|(id, _)| id.run == full.run));
    let fresh = restored(&world, folder.path(), None);
    super::world::assert_same(&fresh.everything(), &world.everything(), "restored");
}

#[test]
fn old_runs_are_read_as_they_were() {
    let (world, people) = World::in_memory().populated();
    let folder = tempfile::tempdir().expect("a folder");
    let target = Folder::new(folder.path().to_owned());
    let first = world.back_up(&target).expect("backed up");
    let before = world.everything();
    world.mail(people[0], "INBOX", &text(9, 9), &[]);
    world.expunge(people[1], "INBOX", &[1, 3]);
    world.back_up(&target).expect("backed up");
    let backup = open(&target, None);
    let at = first.run.unix_seconds * 1000;
    let run = backup.run_at(Some(at)).expect("the first");
    assert_eq!(run.id, first.run);
    let fresh = world.empty();
    restore::everything(
        &backup,
        &run,
        &fresh.destination(),
        OnDamage::Refuse,
        &mut (),
    )
    .expect("restored");
    super::world::assert_same(&fresh.everything(), &before, "restored");
    let none = backup.run_at(Some(at - 1000)).expect_err("before all");
    assert!(matches!(none, BackupError::NoRun(_)), "{none}");
}

#[test]
fn runs_go_and_the_rest_stays_whole() {
    let (world, people) = World::in_memory().populated();
    let folder = tempfile::tempdir().expect("a folder");
    let target = Folder::new(folder.path().to_owned());
    for n in 0..4 {
        world.back_up(&target).expect("backed up");
        let gone = world.messages(people[0], "INBOX")[0].0;
        world.expunge(people[0], "INBOX", &[gone]);
        world.mail(people[0], "INBOX", &large(40_000 + n), &[]);
    }
    let last = world.back_up(&target).expect("backed up");
    let backup = open(&target, None);
    let pruned = crate::prune::prune(&backup, 2).expect("pruned");
    assert_eq!(pruned.runs.len(), 3);
    assert!(pruned.packs > 0 && pruned.bytes > 0, "{pruned:?}");
    let left: Vec<_> = backup
        .runs()
        .expect("listed")
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    assert_eq!(left.len(), 2);
    assert_eq!(left[1], last.run);
    assert_eq!(
        verify(&backup, None, &mut ()).expect("checked").findings,
        [] as [String; 0]
    );
    let fresh = restored(&world, folder.path(), None);
    super::world::assert_same(&fresh.everything(), &world.everything(), "restored");
    // The next run still finds what is there.
    let next = world.back_up(&target).expect("backed up");
    assert_eq!(next.progress.added.bodies, 0);
    // The last good run stays, whatever is asked and damaged.
    super::damage::flip(folder.path(), &next.run.file(), 20);
    let pruned = crate::prune::prune(&backup, 1).expect("pruned");
    assert_eq!(pruned.runs, [left[0]]);
    let run = backup
        .run_at(Some(last.run.unix_seconds * 1000))
        .expect("it is there");
    let fresh = world.empty();
    restore::everything(
        &backup,
        &run,
        &fresh.destination(),
        OnDamage::Refuse,
        &mut (),
    )
    .expect("restored");
    super::world::assert_same(&fresh.everything(), &world.everything(), "restored");
}

#[test]
fn what_does_not_fit_is_told() {
    let (world, _) = World::in_memory().populated();
    let folder = tempfile::tempdir().expect("a folder");
    let target = Folder::new(folder.path().to_owned());
    let nothing = crate::Backup::open(&target, None).expect_err("nothing there");
    assert!(matches!(nothing, BackupError::NotABackup(_)));
    let secret = secret();
    world
        .back_up_as(&target, &small(Some(&secret)), &mut ())
        .expect("backed up");
    let wrong = Passphrase::new("wrong").expect("a text");
    for (passphrase, expected) in [
        (None, "encrypted; give its passphrase"),
        (Some(&wrong), "does not open this backup"),
    ] {
        let error = crate::Backup::open(&target, passphrase).expect_err("refused");
        assert!(error.to_string().contains(expected), "{error}");
        let error = world.back_up_as(&target, &small(passphrase), &mut ());
        let error = error.expect_err("refused").to_string();
        assert!(error.contains(expected), "{error}");
    }
    let other = World::over(
        std::sync::Arc::new(engine::MemoryEngine::new(1)),
        &executor(),
    );
    let error = other.back_up_as(&target, &small(Some(&secret)), &mut ());
    assert!(
        matches!(error, Err(BackupError::OtherStore(_))),
        "{error:?}"
    );
    let backup = open(&target, Some(&secret));
    let run = backup.run_at(None).expect("a run");
    let error = restore::everything(
        &backup,
        &run,
        &other.destination(),
        OnDamage::Refuse,
        &mut (),
    );
    assert!(
        matches!(error, Err(BackupError::Shards { backup: 3, here: 1 })),
        "{error:?}"
    );
    // Nothing that people wrote can be read in the files, nor who they are.
    let mut files = 0;
    for file in crate::Target::list(&target, "").expect("listed") {
        let bytes = std::fs::read(folder.path().join(&file.name)).expect("a file");
        for word in [&b"ann@a.test"[..], b"a.test", b"Subject", b"some words"] {
            assert!(
                !bytes.windows(word.len()).any(|w| w == word),
                "{}",
                file.name
            );
        }
        files += 1;
    }
    assert!(files > 10);
    // A folder with something else in it is left alone.
    let other = tempfile::tempdir().expect("a folder");
    std::fs::write(other.path().join("thesis.txt"), "mine").expect("written");
    let error = world.back_up(&Folder::new(other.path().to_owned()));
    assert!(matches!(error, Err(BackupError::NotEmpty(_))), "{error:?}");
}

/// Collection moves bodies and frees segments between and beside runs: a run
/// finds what it needs wherever it lies, and writes none of it again.
#[test]
fn a_run_at_every_step_of_a_collection_is_whole() {
    let store = tempfile::tempdir().expect("a folder");
    let world = World::in_folder(store.path());
    world.add_domain("a.test");
    let ann = world.add_account("ann@a.test");
    // Several segments, of which every second message goes.
    for n in 0..60 {
        world.mail(ann, "INBOX", &large(200_000 + n), &[]);
    }
    let gone: Vec<u32> = (1..=60).filter(|uid| uid % 2 == 1).collect();
    world.expunge(ann, "INBOX", &gone);
    let reaped = world.mailstore.reap(ann, Duration::ZERO);
    assert_eq!(world.runtime.block_on(reaped).expect("reaped").emails, 30);
    let folder = tempfile::tempdir().expect("a folder");
    let target = Folder::new(folder.path().to_owned());
    let options = crate::Options::default();
    let back_up = || {
        let done = world.back_up_as(&target, &options, &mut ());
        let done = done.expect("backed up");
        assert_eq!(done.manifest.notes, [] as [String; 0]);
        done
    };
    assert_eq!(back_up().progress.added.bodies, 30);
    let mut collector = Collector::new((*world.blobs).clone(), ShardId(0), 0);
    let (mut half, mut steps, mut now_ms) = (0, 0, 1);
    // Bodies are marked in one round, and deleted and their space freed in the next.
    for _ in 0..3 {
        now_ms += 1;
        while collector.step(now_ms).expect("a step") != Progress::Rest {
            steps += 1;
            let report = collector.report();
            half += u64::from(report.moved_bytes > 0 && report.freed == 0);
            // The account is as it was: have it looked at all the same.
            world.flag(ann, "INBOX", Uid(2), &format!("$step{steps}"));
            let added = back_up().progress.added;
            assert_eq!(added.bodies, 0, "{report:?}");
        }
    }
    let report = collector.report();
    assert!(report.moved_bytes > 1_000_000, "{report:?}");
    assert!(report.freed > 0, "{report:?}");
    assert!(half > 0, "no run met a half-collected segment");
    let checked = verify(&open(&target, None), None, &mut ()).expect("checked");
    assert_eq!((checked.runs, checked.findings), (steps + 1, vec![]));
    // Everything anew, from where the bodies lie now.
    let anew = crate::Options {
        full: true,
        ..options.clone()
    };
    let done = world
        .back_up_as(&target, &anew, &mut ())
        .expect("backed up");
    assert_eq!(done.progress.added.bodies, 30);
    let fresh = restored(&world, folder.path(), None);
    super::world::assert_same(&fresh.everything(), &world.everything(), "restored");
}

/// A run that reads while collection goes on, step by step, in the middle of it.
#[test]
fn bodies_that_move_while_a_run_reads_are_read() {
    let store = tempfile::tempdir().expect("a folder");
    let world = World::in_folder(store.path());
    world.add_domain("a.test");
    let ann = world.add_account("ann@a.test");
    for n in 0..60 {
        world.mail(ann, "INBOX", &large(200_000 + n), &[]);
    }
    let gone: Vec<u32> = (1..=60).filter(|uid| uid % 2 == 1).collect();
    world.expunge(ann, "INBOX", &gone);
    let reaped = world.mailstore.reap(ann, Duration::ZERO);
    world.runtime.block_on(reaped).expect("reaped");
    let mut collecting = Collecting {
        collector: Collector::new((*world.blobs).clone(), ShardId(0), 0),
        now_ms: 1,
    };
    let folder = tempfile::tempdir().expect("a folder");
    let target = Folder::new(folder.path().to_owned());
    let done = world
        .back_up_as(&target, &crate::Options::default(), &mut collecting)
        .expect("backed up");
    let report = collecting.collector.report();
    assert!(
        report.moved_bytes > 1_000_000 && report.freed > 0,
        "{report:?}"
    );
    assert_eq!(done.manifest.notes, [] as [String; 0]);
    assert_eq!(done.progress.added.bodies, 30);
    let fresh = restored(&world, folder.path(), None);
    super::world::assert_same(&fresh.everything(), &world.everything(), "restored");
}

/// Takes a few steps of collection whenever the run tells how far it is.
struct Collecting {
    collector: Collector,
    now_ms: u64,
}

impl crate::Watch for Collecting {
    fn progress(&mut self, _: &crate::Progress) {
        for _ in 0..4 {
            self.now_ms += 1;
            self.collector.step(self.now_ms).expect("a step");
        }
    }

    fn stop(&self) -> bool {
        false
    }
}

#[test]
fn files_beside_the_store_come_back_as_they_were() {
    let (world, _) = World::in_memory().populated();
    let folder = tempfile::tempdir().expect("a folder");
    let target = Folder::new(folder.path().to_owned());
    let file = |name: &str, mode, bytes: &[u8]| KeptFile {
        name: name.into(),
        path: format!("/etc/posthouse/{name}"),
        mode,
        bytes: bytes.to_vec(),
    };
    let mut options = crate::Options {
        files: vec![
            file("tls-key.pem", 0o600, b"secret"),
            file("posthouse.toml", 0o640, &large(90_000)),
        ],
        notes: vec!["one could not be read".into()],
        ..small(Some(&secret()))
    };
    let first = world
        .back_up_as(&target, &options, &mut ())
        .expect("backed up");
    assert_eq!(first.manifest.notes, options.notes);
    options.notes.clear();
    // As they were: nothing of them is written again.
    let again = world.back_up_as(&target, &options, &mut ());
    assert_eq!(again.expect("backed up").progress.added.stretches, 0);
    let kept = |options: &crate::Options| {
        let backup = open(&target, options.passphrase.as_ref());
        let run = backup.run_at(None).expect("a run");
        crate::files::read(&backup, &run).expect("read")
    };
    let mut wanted = options.files.clone();
    wanted.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(kept(&options), (wanted, vec![]));
    // They are not of the store.
    let fresh = restored(&world, folder.path(), Some(&secret()));
    super::world::assert_same(&fresh.everything(), &world.everything(), "restored");
    options.files.clear();
    world
        .back_up_as(&target, &options, &mut ())
        .expect("backed up");
    assert_eq!(kept(&options), (vec![], vec![]));
}

#[test]
fn a_restore_tells_how_far_it_is() {
    struct Told(Vec<Reading>);
    impl crate::Watch for Told {
        fn progress(&mut self, _: &crate::Progress) {}

        fn stop(&self) -> bool {
            false
        }

        fn reading(&mut self, reading: &Reading) {
            self.0.push(*reading);
        }
    }
    let (world, _) = World::in_memory().populated();
    let folder = tempfile::tempdir().expect("a folder");
    let target = Folder::new(folder.path().to_owned());
    world.back_up(&target).expect("backed up");
    let backup = open(&target, None);
    let run = backup.run_at(None).expect("a run");
    let mut told = Told(Vec::new());
    let fresh = world.empty();
    let into = fresh.destination();
    restore::everything(&backup, &run, &into, OnDamage::Refuse, &mut told).expect("restored");
    let total: u64 = run.manifest.packs.iter().map(|(_, file)| file.len).sum();
    assert_eq!(told.0.len(), run.manifest.packs.len());
    assert!(told.0.is_sorted_by(|a, b| a.bytes < b.bytes));
    assert!(told.0.iter().all(|reading| reading.bytes_total == total));
    assert_eq!(told.0.last().map(|last| last.bytes), Some(total));
}
