//! A flipped byte in every kind of file is found, told, and never restored as if nothing were.

use super::world::{World, open, secret, small};
use crate::restore::{self, OnDamage};
use crate::verify::verify;
use crate::{Backup, BackupError, Folder, Passphrase, Target as _};
use std::path::Path;

/// Flips a byte of a file; counted from its end when the file is shorter.
pub(super) fn flip(folder: &Path, file: &str, at: usize) {
    let path = folder.join(file);
    let mut bytes = std::fs::read(&path).expect("a file");
    let at = at % bytes.len();
    bytes[at] ^= 0x55;
    std::fs::write(path, bytes).expect("written");
}

fn every_flip_is_found(passphrase: Option<&Passphrase>) {
    let (world, _) = World::in_memory().populated();
    let folder = tempfile::tempdir().expect("a folder");
    let target = Folder::new(folder.path().to_owned());
    world
        .back_up_as(&target, &small(passphrase), &mut ())
        .expect("backed up");
    let whole = world.everything();
    let mut kinds = std::collections::BTreeSet::new();
    for file in target.list("").expect("listed") {
        let kind = match file.name.rsplit_once('.') {
            Some((_, ending)) => ending.to_owned(),
            None => file.name.split('/').next().unwrap_or_default().to_owned(),
        };
        // A few of each kind, at a few places each.
        let len = usize::try_from(file.len).expect("small");
        let places = [0, 7, 8, 20, len / 3, len / 2, len - 33, len - 1];
        for at in places {
            let original = std::fs::read(folder.path().join(&file.name)).expect("a file");
            flip(folder.path(), &file.name, at);
            check(&world, &whole, &target, passphrase, &file.name, at);
            std::fs::write(folder.path().join(&file.name), original).expect("written");
        }
        // And a file that is not there.
        let original = std::fs::read(folder.path().join(&file.name)).expect("a file");
        target.remove(&file.name).expect("removed");
        check(&world, &whole, &target, passphrase, &file.name, usize::MAX);
        std::fs::write(folder.path().join(&file.name), original).expect("written");
        kinds.insert(kind);
    }
    let expected = 6 + usize::from(passphrase.is_some());
    assert_eq!(kinds.len(), expected, "{kinds:?}");
    let found = verify(&open(&target, passphrase), None, &mut ()).expect("checked");
    assert_eq!(found.findings, [] as [String; 0]);
}

fn check(
    world: &World,
    whole: &std::collections::BTreeMap<Vec<u8>, Vec<u8>>,
    target: &Folder,
    passphrase: Option<&Passphrase>,
    file: &str,
    at: usize,
) {
    let backup = match Backup::open(target, passphrase) {
        Ok(backup) => backup,
        // The marker and the key can't be gone round.
        Err(error) => {
            assert!(
                file == "posthouse-backup" || file == "key.age",
                "{file}: {error}"
            );
            return;
        }
    };
    let found = verify(&backup, None, &mut ()).expect("checked");
    let is_manifest = file.starts_with("runs/");
    // Without its manifest there is no run.
    if !(is_manifest && at == usize::MAX) {
        assert!(found.findings_count > 0, "{file} at {at}: nothing found");
        let named = found.findings.iter().any(|finding| finding.contains(file));
        let run = file
            .split('/')
            .next_back()
            .is_some_and(|run| found.findings.iter().any(|finding| finding.contains(run)));
        assert!(named || run, "{file} at {at}: {:?}", found.findings);
    }
    let run = match backup.run_at(None) {
        Ok(run) => run,
        Err(error) => {
            assert!(is_manifest, "{file}: {error}");
            return;
        }
    };
    let fresh = world.empty();
    match restore::everything(
        &backup,
        &run,
        &fresh.destination(),
        OnDamage::Refuse,
        &mut (),
    ) {
        // Not needed for a restore, or not the part that is.
        Ok(_) => super::world::assert_same(&fresh.everything(), whole, &format!("{file} at {at}")),
        Err(BackupError::Incomplete { count, first }) => {
            assert!(count > 0 && !first.is_empty());
            let rest = world.empty();
            let done =
                restore::everything(&backup, &run, &rest.destination(), OnDamage::Skip, &mut ())
                    .expect("the rest");
            assert_eq!(done.lost_count, count);
        }
        Err(error) => panic!("{file} at {at}: {error}"),
    }
}

#[test]
fn every_flip_is_found_in_a_plain_backup() {
    every_flip_is_found(None);
}

#[test]
fn every_flip_is_found_in_an_encrypted_backup() {
    every_flip_is_found(Some(&secret()));
}

#[test]
fn the_rest_is_restored_round_a_damaged_pack() {
    let (world, people) = World::in_memory().populated();
    let folder = tempfile::tempdir().expect("a folder");
    let target = Folder::new(folder.path().to_owned());
    world.back_up(&target).expect("backed up");
    let packs = target.list("packs/").expect("listed");
    let pack = packs
        .iter()
        .find(|file| file.name.ends_with(".bodies"))
        .expect("a pack");
    flip(folder.path(), &pack.name, 200);
    let backup = open(&target, None);
    let run = backup.run_at(None).expect("a run");
    let fresh = world.empty();
    let refused = restore::everything(
        &backup,
        &run,
        &fresh.destination(),
        OnDamage::Refuse,
        &mut (),
    );
    let text = refused.expect_err("damaged").to_string();
    assert!(
        text.contains("--skip-damaged") && text.contains("email"),
        "{text}"
    );
    let rest = world.empty();
    let done = restore::everything(&backup, &run, &rest.destination(), OnDamage::Skip, &mut ())
        .expect("the rest");
    // One body, or all behind it in its pack.
    assert!(
        done.lost_count >= 1 && done.lost_count < 8,
        "{:?}",
        done.lost
    );
    let mut there = 0;
    for &id in &people {
        let account = rest.account(id);
        let view = account.view();
        for mailbox in view.mailboxes() {
            for entry in mailbox.entries() {
                let body = rest.runtime.block_on(async {
                    let record = account.email_record(entry.email).await.expect("a record");
                    account.read_message(&record, 0..u64::MAX).await
                });
                there += usize::from(body.is_ok());
            }
        }
    }
    assert!(there >= 30, "{there}");
    // A full run heals.
    let full = crate::Options {
        full: true,
        ..small(None)
    };
    world
        .back_up_as(&target, &full, &mut ())
        .expect("backed up");
    let run = backup.run_at(None).expect("a run");
    let found = verify(&backup, Some(&run), &mut ()).expect("checked");
    assert_eq!(found.findings, [] as [String; 0]);
}

#[test]
fn a_body_that_the_store_lost_is_noted_and_the_rest_is_there() {
    let (world, people) = World::in_memory().populated();
    let lost = blobs::BlobId::of(&super::world::text(0, 3));
    let shard = world.engine.shard_of_account(people[0].0);
    let mut key = engine::keys::blob(shard);
    key.extend_from_slice(&lost.0);
    key.push(b'r');
    let mut batch = engine::Batch::new();
    batch.delete(key);
    world.engine.submit(batch).expect("taken").done_blocking();
    let folder = tempfile::tempdir().expect("a folder");
    let target = Folder::new(folder.path().to_owned());
    for _ in 0..2 {
        let done = world.back_up(&target).expect("backed up");
        assert_eq!(done.manifest.notes.len(), 1, "{:?}", done.manifest.notes);
        assert!(done.manifest.notes[0].contains("is not in the store"));
    }
    let backup = open(&target, None);
    let run = backup.run_at(None).expect("a run");
    let fresh = world.empty();
    let done = restore::everything(&backup, &run, &fresh.destination(), OnDamage::Skip, &mut ())
        .expect("the rest");
    assert_eq!(done.lost_count, 1, "{:?}", done.lost);
    assert!(done.lost[0].contains("email"), "{:?}", done.lost);
    for &id in &people[1..] {
        let account = fresh.runtime.block_on(fresh.mailstore.fsck(id));
        assert_eq!(account.expect("read"), []);
    }
}
