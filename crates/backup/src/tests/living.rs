//! A backup beside writers.

use super::world::{World, open, text};
use crate::Folder;
use crate::restore::{self, OnDamage};
use crate::verify::verify;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[test]
fn every_account_is_whole_while_mail_comes_and_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (world, people) = World::in_folder(folder.path()).populated();
    let out = tempfile::tempdir().expect("a folder");
    let target = Folder::new(out.path().to_owned());
    let (stop, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    let runs: Vec<_> = std::thread::scope(|scope| {
        for (at, &id) in people.iter().enumerate() {
            let (world, stop, written) = (&world, &stop, &written);
            scope.spawn(move || {
                for n in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let uid = world.mail(id, "INBOX", &text(100 + at, n), &[]);
                    if n % 3 == 0 {
                        world.expunge(id, "INBOX", &[uid.0]);
                    }
                    written.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let runs = (0..3).map(|_| {
            // Mail that is there now must be in the run that begins now.
            let before: Vec<_> = people
                .iter()
                .map(|&id| world.account(id).view().inbox().expect("there").uid_next())
                .collect();
            let done = world.back_up(&target).expect("backed up");
            (done, before)
        });
        let runs = runs.collect();
        stop.store(true, Ordering::SeqCst);
        runs
    });
    assert!(written.load(Ordering::SeqCst) > 10);
    let backup = open(&target, None);
    assert_eq!(
        verify(&backup, None, &mut ()).expect("checked").findings,
        [] as [String; 0]
    );
    for (done, before) in runs {
        assert_eq!(done.manifest.notes, [] as [String; 0]);
        let at = Some(done.run.unix_seconds * 1000);
        let run = backup.run_at(at).expect("it is there");
        let fresh = world.empty();
        restore::everything(
            &backup,
            &run,
            &fresh.destination(),
            OnDamage::Refuse,
            &mut (),
        )
        .expect("restored");
        fresh.assert_sound(&people);
        for (&id, &uid_next) in people.iter().zip(&before) {
            let inbox = fresh.account(id).view().inbox().expect("there").uid_next();
            assert!(inbox >= uid_next);
        }
    }
}

#[test]
fn an_account_that_is_made_meanwhile_is_there_with_its_name() {
    struct AddsAccount<'a>(&'a World, bool);

    impl crate::Watch for AddsAccount<'_> {
        fn progress(&mut self, _: &crate::Progress) {
            if !std::mem::replace(&mut self.1, true) {
                // Smaller and larger numbers than the one being read.
                for name in ["eve", "fay", "gil"] {
                    let id = self.0.add_account(&format!("{name}@a.test"));
                    self.0.mail(id, "INBOX", b"Subject: hi\r\n\r\n", &[]);
                }
            }
        }

        fn stop(&self) -> bool {
            false
        }
    }

    let (world, _) = World::in_memory().populated();
    let folder = tempfile::tempdir().expect("a folder");
    let target = Folder::new(folder.path().to_owned());
    let options = super::world::small(None);
    let mut watch = AddsAccount(&world, false);
    world
        .back_up_as(&target, &options, &mut watch)
        .expect("backed up");
    let backup = open(&target, None);
    let run = backup.run_at(None).expect("a run");
    let fresh = world.empty();
    restore::everything(
        &backup,
        &run,
        &fresh.destination(),
        OnDamage::Refuse,
        &mut (),
    )
    .expect("restored");
    let listed = fresh.runtime.block_on(fresh.directory.account_list(None));
    let listed = listed.expect("read");
    assert_eq!(listed.len(), 7);
    for account in listed {
        fresh.account(account.id);
        fresh.assert_sound(&[account.id]);
    }
    // Those that came late are found by the next run too, or taken again.
    world.back_up(&target).expect("backed up");
    let run = backup.run_at(None).expect("a run");
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
