//! What was expunged stays for the retention, then goes; the log with it.

use super::rooms::{ALICE, Room, inbox, mailbox, name};
use crate::{Floor, Options, Reaped, RecordError, StoreError, keys};
use blobs::BlobId;
use engine::{Batch, Engine, Order as ScanOrder};
use mailbox_model::stage::{Expunging, FlagAction};
use mailbox_model::{EmailId, Flag, ModSeq, Uid, UidSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

const RETENTION: Duration = Duration::from_secs(30 * 86_400);

fn all() -> UidSet {
    UidSet::all()
}

fn count(room: &Room, (start, end): (Vec<u8>, Vec<u8>)) -> usize {
    let snapshot = room.engine.snapshot(room.store.shard(ALICE));
    let found = snapshot.scan(&start, &end, ScanOrder::Ascending, 10_000);
    found.expect("read").len()
}

fn log_len(room: &Room) -> usize {
    count(room, keys::log_after(ALICE, ModSeq(0)))
}

fn owners(room: &Room, blob: BlobId) -> usize {
    let shard = room.store.shard(ALICE);
    room.blobs.owners(shard, blob, 99).expect("read").len()
}

#[tokio::test(start_paused = true)]
async fn what_was_expunged_goes_when_the_retention_has_passed() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    let inbox = inbox(&alice);
    let (blob, email) = room.message(ALICE, b"deleted early");
    let early = blob.id;
    alice.append(inbox, vec![blob], &[email]).await.expect("ok");
    alice
        .expunge(inbox, Expunging::Exactly(&all()))
        .await
        .expect("ok");
    room.days_pass(10);
    let (blob, email) = room.message(ALICE, b"deleted late");
    let late = blob.id;
    alice.append(inbox, vec![blob], &[email]).await.expect("ok");
    alice
        .expunge(inbox, Expunging::Exactly(&all()))
        .await
        .expect("ok");
    room.days_pass(29);
    room.append(&alice, inbox, b"stays").await;
    let entries = log_len(&room);

    // Day 39: the first has been gone for 39 days, the second for 29.
    let reaped = room.store.reap(ALICE, RETENTION).await.expect("ok");
    assert_eq!(
        reaped,
        Reaped {
            entries: 3,
            emails: 1
        }
    );
    assert_eq!((owners(&room, early), owners(&room, late)), (0, 1));
    let gone = alice.email_record(EmailId(1)).await;
    assert_eq!(gone, Err(RecordError::Missing(EmailId(1))));
    assert!(alice.email_record(EmailId(2)).await.is_ok());
    assert_eq!(log_len(&room), entries - 3);
    let born_ms = 1_767_225_600_000;
    let floor = Floor {
        modseq: ModSeq(3),
        at_ms: born_ms,
    };
    assert_eq!(alice.floor(), floor);
    assert_eq!(room.reopened().account(ALICE).await.floor(), floor);
    room.check(ALICE).await;
    let again = room.store.reap(ALICE, RETENTION).await.expect("ok");
    assert_eq!(again, Reaped::default());

    room.days_pass(5);
    let reaped = room.store.reap(ALICE, RETENTION).await.expect("ok");
    assert_eq!(
        reaped,
        Reaped {
            entries: 2,
            emails: 1
        }
    );
    assert_eq!(owners(&room, late), 0);
    // What is in a mailbox stays for ever, with a retention of nothing too.
    room.days_pass(400);
    room.store.reap(ALICE, Duration::ZERO).await.expect("ok");
    assert!(alice.email_record(EmailId(3)).await.is_ok());
    assert_eq!(alice.view().usage().emails, 1);
    room.check(ALICE).await;
}

#[tokio::test(start_paused = true)]
async fn an_email_lives_from_its_last_copys_end() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    let (inbox, archive) = (inbox(&alice), mailbox(&alice, "Archive"));
    room.append(&alice, inbox, b"twice").await;
    alice.copy(inbox, archive, &all()).await.expect("ok");
    alice
        .expunge(inbox, Expunging::Exactly(&all()))
        .await
        .expect("ok");
    room.days_pass(20);
    alice
        .expunge(archive, Expunging::Exactly(&all()))
        .await
        .expect("ok");
    room.days_pass(20);
    room.store.reap(ALICE, RETENTION).await.expect("ok");
    assert!(
        alice.floor().modseq > ModSeq(0),
        "the first end is below it"
    );
    assert!(alice.email_record(EmailId(1)).await.is_ok());
    room.check(ALICE).await;
    room.days_pass(20);
    room.store.reap(ALICE, RETENTION).await.expect("ok");
    assert!(alice.email_record(EmailId(1)).await.is_err());
    room.check(ALICE).await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_mailbox_and_a_renewing_move_leave_nothing_either() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    alice.create_mailbox(&name("x"), None).await.expect("ok");
    let x = mailbox(&alice, "x");
    room.append(&alice, x, b"in x").await;
    // Within a mailbox a move makes an email of its own and ends the old one.
    alice.move_(x, x, &all()).await.expect("ok");
    alice.delete_mailbox(&name("x")).await.expect("ok");
    assert_eq!(count(&room, keys::emails(ALICE)), 2);
    room.check(ALICE).await;
    room.days_pass(31);
    let reaped = room.store.reap(ALICE, RETENTION).await.expect("ok");
    assert_eq!(reaped.emails, 2);
    assert_eq!(count(&room, keys::emails(ALICE)), 0);
    room.check(ALICE).await;
}

#[tokio::test(start_paused = true)]
async fn flags_alone_cut_the_log_when_enough_of_them_are_old() {
    let options = Options {
        entries_per_compaction: 100,
        ..Options::default()
    };
    let room = Room::with(options).await;
    let alice = room.account(ALICE).await;
    let inbox = inbox(&alice);
    room.append(&alice, inbox, b"flickers").await;
    let flicker = async |times: u32| {
        for at in 0..times {
            let action = [FlagAction::Add, FlagAction::Remove][at as usize % 2];
            let flags = [Flag::Flagged];
            let uids = all();
            let done = alice.store_flags(inbox, &uids, action, &flags, None);
            done.await.expect("ok");
        }
    };
    flicker(90).await;
    room.days_pass(31);
    let few = room.store.reap(ALICE, RETENTION).await.expect("ok");
    assert_eq!(few, Reaped::default(), "not worth a base");
    flicker(200).await;
    let young = room.store.reap(ALICE, RETENTION).await.expect("ok");
    assert_eq!(young, Reaped::default(), "within the retention all is kept");
    room.days_pass(31);
    let reaped = room.store.reap(ALICE, RETENTION).await.expect("ok");
    assert_eq!((reaped.entries, log_len(&room)), (292, 0));
    room.check(ALICE).await;
    // Below the floor clients are still answered: from the view.
    let view = alice.view();
    let there = view.inbox().expect("there");
    assert_eq!(there.changed_since(ModSeq(2)).count(), 1);
    assert_eq!(there.vanished_since(ModSeq(2)), Some(UidSet::new()));
    assert_eq!(there.changed_since(view.modseq()).count(), 0);
}

async fn busy(room: &Room) {
    let alice = room.account(ALICE).await;
    let (inbox, archive) = (inbox(&alice), mailbox(&alice, "Archive"));
    for at in 0..12u32 {
        let uid = room.append(&alice, inbox, format!("{at}").as_bytes()).await;
        let one = UidSet::one(Uid(uid));
        let word = [Flag::Keyword(format!("k{at}").into())];
        let done = alice.store_flags(inbox, &one, FlagAction::Add, &word, None);
        done.await.expect("ok");
        match at % 3 {
            0 => drop(alice.copy(inbox, archive, &one).await.expect("ok")),
            1 => drop(
                alice
                    .expunge(inbox, Expunging::Exactly(&one))
                    .await
                    .expect("ok"),
            ),
            _ => {}
        }
        if at == 4 {
            alice.create_mailbox(&name("x/y"), None).await.expect("ok");
            alice
                .copy(inbox, mailbox(&alice, "x"), &all())
                .await
                .expect("ok");
            room.days_pass(20);
        }
        if at == 8 {
            alice.delete_mailbox(&name("x")).await.expect("ok");
            room.days_pass(20);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cut_short_anywhere_is_finished_by_the_next() {
    let each_alone = Options {
        checkpoint_commit_bytes: 1,
        ..Options::default()
    };
    let whole = {
        let room = Room::with(each_alone).await;
        busy(&room).await;
        room.store.reap(ALICE, RETENTION).await.expect("ok");
        (log_len(&room), count(&room, keys::all(ALICE)))
    };
    let mut commits = 0;
    loop {
        let room = Room::with(each_alone).await;
        busy(&room).await;
        let live = room.account(ALICE).await.view();
        room.engine.left.store(commits, Ordering::SeqCst);
        let done = room.store.reap(ALICE, RETENTION).await;
        room.engine.left.store(-1, Ordering::SeqCst);
        let crashed = room.reopened();
        assert_eq!(crashed.account(ALICE).await.view(), live, "{commits}");
        crashed.check(ALICE).await;
        // A change in between does not disturb it.
        let alice = crashed.account(ALICE).await;
        crashed.append(&alice, inbox(&alice), b"meanwhile").await;
        crashed.store.reap(ALICE, RETENTION).await.expect("ok");
        crashed.check(ALICE).await;
        assert_eq!(log_len(&crashed), whole.0 + 1, "{commits}");
        if done.is_ok() {
            break;
        }
        // The base is complete: without the latest checkpoint all is there.
        crashed.store.close().await;
        forget(&crashed, keys::root(ALICE, keys::Chain::Latest)).await;
        let alone = crashed.reopened();
        assert_eq!(alone.account(ALICE).await.view(), alice.view());
        commits += 1;
    }
    assert!(commits > 30, "{commits}");
}

async fn forget(room: &Room, key: Vec<u8>) {
    let mut batch = Batch::new();
    batch.delete(key);
    room.engine.submit(batch).expect("room").done().await;
}

async fn spoil(room: &Room, key: &[u8]) {
    let mut batch = Batch::new();
    batch.put(key.to_vec(), &b"\x01\xff"[..]);
    room.engine.submit(batch).expect("room").done().await;
}

#[tokio::test(start_paused = true)]
async fn above_a_floor_either_checkpoint_alone_gives_the_account() {
    for chain in [keys::Chain::Base, keys::Chain::Latest] {
        let room = Room::new().await;
        busy(&room).await;
        room.store.reap(ALICE, RETENTION).await.expect("ok");
        room.store.close().await;
        let live = room.account(ALICE).await.view();
        assert!(live.modseq() > room.account(ALICE).await.floor().modseq);
        let (start, end) = keys::parts(ALICE, chain);
        let snapshot = room.engine.snapshot(room.store.shard(ALICE));
        let mut keys = snapshot
            .scan(&start, &end, ScanOrder::Ascending, 999)
            .expect("read");
        keys.extend([(
            keys::root(ALICE, chain),
            snapshot
                .get(&keys::root(ALICE, chain))
                .expect("read")
                .expect("there"),
        )]);
        assert!(keys.len() > 8, "keywords, mailboxes, pages, root");
        for (key, sound) in keys {
            spoil(&room, &key).await;
            let again = room.reopened();
            assert_eq!(again.account(ALICE).await.view(), live);
            assert_ne!(again.store.fsck(ALICE).await.expect("read"), []);
            if chain == keys::Chain::Base {
                // Nothing is cut on the strength of what can't be read.
                room.days_pass(31);
                let refused = again.store.reap(ALICE, RETENTION).await;
                assert!(matches!(refused, Err(StoreError::Damaged { .. })));
                assert_eq!(again.reopened().account(ALICE).await.view(), live);
            }
            let mut mend = Batch::new();
            mend.put(key, sound.value);
            room.engine.submit(mend).expect("room").done().await;
        }
        room.check(ALICE).await;
        // Both gone is told, not guessed.
        for chain in [keys::Chain::Base, keys::Chain::Latest] {
            spoil(&room, &keys::root(ALICE, chain)).await;
        }
        let lost = room.reopened().store.account(ALICE).await;
        assert!(matches!(lost, Err(StoreError::Damaged { .. })));
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_checkpoint_never_stands_for_a_log_that_is_gone() {
    let room = Room::new().await;
    busy(&room).await;
    let alice = room.account(ALICE).await;
    alice.checkpoint().await.expect("ok");
    let root = keys::root(ALICE, keys::Chain::Latest);
    let snapshot = room.engine.snapshot(room.store.shard(ALICE));
    let old = snapshot.get(&root).expect("read").expect("there");
    room.append(&alice, inbox(&alice), b"after it").await;
    alice
        .expunge(inbox(&alice), Expunging::Exactly(&all()))
        .await
        .expect("ok");
    room.days_pass(31);
    room.store.reap(ALICE, RETENTION).await.expect("ok");
    let mut batch = Batch::new();
    batch.put(root, old.value);
    room.engine.submit(batch).expect("room").done().await;
    assert_eq!(room.reopened().account(ALICE).await.view(), alice.view());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_account_takes_base_and_kept_emails_along() {
    let room = Room::new().await;
    busy(&room).await;
    room.store.reap(ALICE, RETENTION).await.expect("ok");
    let (blob, email) = room.message(ALICE, b"expunged, and kept");
    let id = blob.id;
    let alice = room.account(ALICE).await;
    alice
        .append(inbox(&alice), vec![blob], &[email])
        .await
        .expect("ok");
    alice
        .expunge(inbox(&alice), Expunging::Exactly(&all()))
        .await
        .expect("ok");
    assert_eq!(owners(&room, id), 1);
    room.store.drop_account(ALICE).await.expect("ok");
    assert_eq!(owners(&room, id), 0);
    assert_eq!(count(&room, keys::all(ALICE)), 0);
    let gone = room.store.reap(ALICE, RETENTION).await;
    assert!(matches!(gone, Err(StoreError::NoAccount(ALICE))));
}
