//! Runs that end in the middle.

use super::world::{Dying, World, open, small};
use crate::restore::{self, OnDamage};
use crate::run::{Progress, Watch};
use crate::verify::verify;
use crate::{BackupError, Folder, Target as _};

#[test]
fn a_run_that_dies_anywhere_leaves_nothing_wrong() {
    let (world, people) = World::in_memory().populated();
    let first = tempfile::tempdir().expect("a folder");
    let target = Folder::new(first.path().to_owned());
    world.back_up(&target).expect("backed up");
    let before = world.everything();
    world.mail(people[0], "INBOX", &super::world::large(9_000), &[]);
    world.mail(people[1], "INBOX", &super::world::large(9_001), &[]);
    world.expunge(people[2], "INBOX", &[3]);
    let after = world.everything();
    for steps in 0.. {
        let copy = tempfile::tempdir().expect("a folder");
        for file in target.list("").expect("listed") {
            let to = copy.path().join(&file.name);
            std::fs::create_dir_all(to.parent().expect("a parent")).expect("made");
            std::fs::copy(first.path().join(&file.name), to).expect("copied");
        }
        let folder = Folder::new(copy.path().to_owned());
        let dying = Dying::after(Folder::new(copy.path().to_owned()), steps);
        let result = world.back_up(&dying);
        assert_eq!(result.is_ok(), dying.lives());
        let (runs, expected) = if result.is_ok() {
            (2, &after)
        } else {
            (1, &before)
        };
        let backup = open(&folder, None);
        let checked = verify(&backup, None, &mut ()).expect("checked");
        assert_eq!((checked.runs, checked.findings), (runs, vec![]), "{steps}");
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
        super::world::assert_same(&fresh.everything(), expected, &steps.to_string());
        if result.is_ok() {
            assert!(steps > 10, "{steps}");
            return;
        }
        // The next run is as good as any and leaves nothing of the dead one.
        let next = world.back_up(&folder).expect("backed up");
        let checked = verify(&backup, None, &mut ()).expect("checked");
        assert_eq!((checked.runs, checked.findings), (2, vec![]), "{steps}");
        let unfinished = folder.list("tables/").expect("listed");
        assert_eq!(unfinished.len(), 2, "{steps}");
        let run = backup.run_at(None).expect("a run");
        assert_eq!(run.id, next.run);
        let fresh = world.empty();
        restore::everything(
            &backup,
            &run,
            &fresh.destination(),
            OnDamage::Refuse,
            &mut (),
        )
        .expect("restored");
        super::world::assert_same(&fresh.everything(), &after, &steps.to_string());
    }
}

/// Stops after so many bodies.
struct StopAfter(u64, u64);

impl Watch for StopAfter {
    fn progress(&mut self, progress: &Progress) {
        self.1 = progress.added.bodies;
    }

    fn stop(&self) -> bool {
        self.1 >= self.0
    }
}

#[test]
fn what_an_interrupted_run_finished_is_used() {
    let (world, people) = World::in_memory().populated();
    for n in 0..30 {
        world.mail(people[0], "INBOX", &super::world::large(2_000 + n), &[]);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let target = Folder::new(folder.path().to_owned());
    let stopped = world.back_up_as(&target, &small(None), &mut StopAfter(30, 0));
    assert!(
        matches!(stopped, Err(BackupError::Interrupted)),
        "{stopped:?}"
    );
    let backup = open(&target, None);
    assert!(backup.runs().expect("listed").is_empty());
    let done = world.back_up(&target).expect("backed up");
    let all = done.progress.added.bodies;
    // 30 were written; at most those of three packs that no catalogue names are written again.
    let fresh = tempfile::tempdir().expect("a folder");
    let whole = world
        .back_up(&Folder::new(fresh.path().to_owned()))
        .expect("backed up");
    let bodies = whole.progress.added.bodies;
    assert!(all <= bodies - 15, "{all} of {bodies}");
    let checked = verify(&backup, None, &mut ()).expect("checked");
    assert_eq!((checked.runs, checked.findings), (1, vec![]));
    assert!(
        target
            .list("")
            .expect("listed")
            .iter()
            .all(|file| !file.name.ends_with(".unfinished"))
    );
}
