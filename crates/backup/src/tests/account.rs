//! One account or mailbox into a living system.

use super::world::{World, mailbox_id, open, text};
use crate::restore::import::{Imported, Living, Wanted, import};
use crate::{BackupError, Folder};
use envelope::{AccountId, Address};
use mailbox_model::{MailboxName, Uid, UidSet};
use std::path::Path;

fn bring_back(
    world: &World,
    folder: &Path,
    account: AccountId,
    change: impl FnOnce(&mut Wanted),
) -> Result<Imported, BackupError> {
    let target = Folder::new(folder.to_owned());
    let backup = open(&target, None);
    let run = backup.run_at(None)?;
    let scratch = tempfile::tempdir().expect("a folder");
    let living = Living {
        mailstore: world.mailstore.clone(),
        blobs: world.blobs.clone(),
        runtime: world.runtime.clone(),
        scratch: scratch.path().to_owned(),
    };
    let mut wanted = Wanted {
        address: Address::parse("bob@a.test").expect("an address"),
        account,
        mailbox: None,
        below: None,
        dry_run: false,
    };
    change(&mut wanted);
    let imported = import(&backup, &run, &living, &wanted, &mut ());
    let left = std::fs::read_dir(scratch.path()).expect("listed").count();
    assert_eq!(left, 0, "the scratch store is gone");
    imported
}

fn name(text: &str) -> MailboxName {
    MailboxName::parse(text).expect("a name")
}

/// One shard: the scratch store has one.
fn world() -> (World, AccountId, tempfile::TempDir) {
    let store = tempfile::tempdir().expect("a folder");
    let (world, people) = World::in_folder(store.path()).populated();
    (world, people[1], store)
}

#[test]
fn what_is_gone_comes_back_and_nothing_twice() {
    let (world, bob, _store) = world();
    let folder = tempfile::tempdir().expect("a folder");
    world
        .back_up(&Folder::new(folder.path().to_owned()))
        .expect("backed up");
    let before = world.messages(bob, "INBOX");
    let archived = world.messages(bob, "Archive");
    assert_eq!(archived.len(), 5);
    // Nothing is gone: nothing comes back.
    let same = bring_back(&world, folder.path(), bob, |_| {}).expect("looked");
    assert_eq!((same.emails, same.lost_count), (0, 0));
    // Gone everywhere, gone from one of two mailboxes, thrown away, moved.
    world.expunge(bob, "INBOX", &[1, 3, 4, 9]);
    world.expunge(bob, "Archive", &[1]);
    let account = world.account(bob);
    let (inbox, trash) = (mailbox_id(&account, "INBOX"), mailbox_id(&account, "Trash"));
    let thrown = UidSet::one(Uid(10));
    world
        .runtime
        .block_on(account.move_(inbox, trash, &thrown))
        .expect("moved");
    let drafts = mailbox_id(&account, "Drafts");
    let moved = UidSet::one(Uid(11));
    world
        .runtime
        .block_on(account.move_(inbox, drafts, &moved))
        .expect("moved");
    world.mail(bob, "INBOX", &text(5, 5), &[]);
    let next = world.account(bob).view().inbox().expect("there").uid_next();

    let dry = bring_back(&world, folder.path(), bob, |wanted| wanted.dry_run = true);
    let dry = dry.expect("looked");
    // 1, 9 and 10 in the inbox; 3 in both, as it is nowhere else; 4 is still in the archive.
    assert_eq!(dry.emails, 5, "{dry:?}");
    assert_eq!(
        world.account(bob).view().inbox().expect("there").uid_next(),
        next
    );

    let done = bring_back(&world, folder.path(), bob, |_| {}).expect("restored");
    assert_eq!(
        (done.emails, done.still_there),
        (dry.emails, dry.still_there)
    );
    let after = world.messages(bob, "INBOX");
    let new: Vec<_> = after.iter().filter(|(uid, ..)| *uid >= next.0).collect();
    assert_eq!(new.len(), 4);
    for gone in [1, 3, 9, 10] {
        let (_, text, flags) = before
            .iter()
            .find(|(uid, ..)| *uid == gone)
            .expect("was there");
        assert!(
            new.iter()
                .any(|(_, back, with)| back == text && with == flags),
            "{gone} is back as it was"
        );
    }
    assert_eq!(world.messages(bob, "Archive").len(), 5);
    world.assert_sound(&[bob]);
    let again = bring_back(&world, folder.path(), bob, |_| {}).expect("looked");
    assert_eq!(again.emails, 0);
}

#[test]
fn one_mailbox_comes_back_below_another_name() {
    let (world, bob, _store) = world();
    let folder = tempfile::tempdir().expect("a folder");
    world
        .back_up(&Folder::new(folder.path().to_owned()))
        .expect("backed up");
    let archived = world.messages(bob, "Archive");
    world.expunge(bob, "INBOX", &[3, 4, 6, 7, 8]);
    let account = world.account(bob);
    let archive = name("Archive");
    let gone = account.delete_mailbox(&archive);
    world.runtime.block_on(gone).expect("deleted");
    let done = bring_back(&world, folder.path(), bob, |wanted| {
        wanted.mailbox = Some(name("Archive"));
        wanted.below = Some(name("Restored"));
    });
    let done = done.expect("restored");
    assert_eq!(
        (done.emails, done.made),
        (5, vec!["Restored/Archive".to_owned()])
    );
    let back = world.messages(bob, "Restored/Archive");
    let texts = |all: &[(u32, Vec<u8>, Vec<String>)]| {
        all.iter()
            .map(|(_, text, flags)| (text.clone(), flags.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(texts(&back), texts(&archived));
    // Under its own name it would not be doubled.
    let again = bring_back(&world, folder.path(), bob, |wanted| {
        wanted.mailbox = Some(name("Archive"));
    });
    assert_eq!(again.expect("looked").emails, 0);
    world.assert_sound(&[bob]);
}

#[test]
fn an_account_that_was_removed_comes_back_into_a_new_one() {
    let (world, bob, _store) = world();
    let folder = tempfile::tempdir().expect("a folder");
    world
        .back_up(&Folder::new(folder.path().to_owned()))
        .expect("backed up");
    let before: Vec<_> = world
        .messages(bob, "INBOX")
        .into_iter()
        .map(|(_, text, flags)| (text, flags))
        .collect();
    let address = Address::parse("bob@a.test").expect("an address");
    let removed = world.directory.account_remove(&address, &|_, _| Ok(()));
    world.runtime.block_on(removed).expect("removed");
    world
        .runtime
        .block_on(world.mailstore.drop_account(bob))
        .expect("dropped");
    let new = world.add_account("bob@a.test");
    assert_ne!(new, bob);
    let done = bring_back(&world, folder.path(), new, |_| {}).expect("restored");
    assert_eq!(done.emails, 16);
    let after: Vec<_> = world
        .messages(new, "INBOX")
        .into_iter()
        .map(|(_, text, flags)| (text, flags))
        .collect();
    assert_eq!(after, before);
    assert_eq!(world.messages(new, "Archive").len(), 5);
    world.assert_sound(&[new]);
    for (change, expected) in [
        ("zoe@a.test", "holds no account zoe@a.test"),
        ("bob@a.test", "no mailbox"),
    ] {
        let error = bring_back(&world, folder.path(), new, |wanted| {
            wanted.address = Address::parse(change).expect("an address");
            wanted.mailbox = Some(name("Nowhere"));
        });
        let error = error.expect_err("not there").to_string();
        assert!(error.contains(expected), "{error}");
    }
}
