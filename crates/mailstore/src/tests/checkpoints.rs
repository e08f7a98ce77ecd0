//! Checkpoints are shadows: written in passing, thrown away at will.

use super::rooms::{ALICE, Room, inbox, mailbox, name};
use crate::{Finding, Options, QuotaLimits, keys};
use engine::{Batch, Engine, Order as ScanOrder};
use envelope::AccountId;
use mailbox_model::stage::{Expunging, FlagAction};
use mailbox_model::{Flag, Uid, UidSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn often() -> Options {
    Options {
        entries_per_checkpoint: 3,
        ..Options::default()
    }
}

async fn busy(room: &Room) {
    let alice = room.account(ALICE).await;
    let (inbox, archive) = (inbox(&alice), mailbox(&alice, "Archive"));
    for at in 0..20u32 {
        let uid = room.append(&alice, inbox, format!("{at}").as_bytes()).await;
        let one = UidSet::one(Uid(uid));
        let word = [Flag::Keyword(format!("k{at}").into()), Flag::Seen];
        alice
            .store_flags(inbox, &one, FlagAction::Add, &word, None)
            .await
            .expect("ok");
        if at % 3 == 0 {
            alice.copy(inbox, archive, &one).await.expect("ok");
        }
        if at % 4 == 0 {
            alice
                .expunge(inbox, Expunging::Exactly(&one))
                .await
                .expect("ok");
        }
        if at == 10 {
            alice.create_mailbox(&name("x/y"), None).await.expect("ok");
            alice
                .copy(inbox, mailbox(&alice, "x"), &UidSet::all())
                .await
                .expect("ok");
        }
        if at == 15 {
            alice.delete_mailbox(&name("x")).await.expect("ok");
        }
    }
}

fn parts(room: &Room) -> Vec<Vec<u8>> {
    let (start, end) = keys::parts(ALICE, keys::Chain::Latest);
    let snapshot = room.engine.snapshot(room.store.shard(ALICE));
    let found = snapshot
        .scan(&start, &end, ScanOrder::Ascending, 1000)
        .expect("read");
    found.into_iter().map(|(key, _)| key).collect()
}

#[tokio::test]
async fn checkpoints_in_passing_change_nothing() {
    let room = Room::with(often()).await;
    busy(&room).await;
    room.store.shared.tasks.wait().await;
    assert!(!parts(&room).is_empty(), "they were written by themselves");
    room.check(ALICE).await;
    room.store.close().await;
    room.check(ALICE).await;
    // A second close has only to delete what the last one left for it.
    let commits = room.engine.stats().commits;
    room.store.close().await;
    assert!(room.engine.stats().commits <= commits + 1);
    // What was replaced is gone: keywords, seven mailboxes and two pages are left.
    assert_eq!(parts(&room).len(), 10);
    room.check(ALICE).await;
}

#[tokio::test]
async fn what_a_failed_checkpoint_wrote_never_comes_back() {
    let each_alone = Options {
        entries_per_checkpoint: u32::MAX,
        checkpoint_commit_bytes: 1,
        ..Options::default()
    };
    for commits in 1..12 {
        let room = Room::with(each_alone).await;
        let alice = room.account(ALICE).await;
        alice.checkpoint().await.expect("room");
        alice.create_mailbox(&name("x"), None).await.expect("ok");
        let x = mailbox(&alice, "x");
        room.append(&alice, x, b"1").await;
        room.append(&alice, inbox(&alice), b"2").await;
        room.engine.left.store(commits, Ordering::SeqCst);
        let failed = alice.checkpoint().await.is_err();
        room.engine.left.store(-1, Ordering::SeqCst);
        // Gone before the next one, which knows nothing of what was written.
        let all = Expunging::Exactly(&UidSet::all());
        alice.expunge(inbox(&alice), all).await.expect("ok");
        alice.delete_mailbox(&name("x")).await.expect("ok");
        alice.checkpoint().await.expect("room");
        assert_eq!(room.reopened().account(ALICE).await.view(), alice.view());
        room.check(ALICE).await;
        assert!(failed || commits > 3, "{commits}");
    }
}

#[tokio::test]
async fn a_crash_before_any_checkpoint_loses_nothing() {
    let room = Room::new().await;
    busy(&room).await;
    assert!(parts(&room).is_empty());
    room.check(ALICE).await;
}

#[tokio::test]
async fn a_damaged_checkpoint_is_mended_from_the_log() {
    let room = Room::with(often()).await;
    busy(&room).await;
    room.store.close().await;
    let live = room.account(ALICE).await.view();
    let modseq = live.modseq();
    // Mending the root writes every part anew; then each of them in turn.
    let mut keys = vec![keys::root(ALICE, keys::Chain::Latest)];
    while let Some(key) = keys.pop() {
        let is_root = key == keys::root(ALICE, keys::Chain::Latest);
        let mut damage = Batch::new();
        damage.put(key, &b"\x01\xff"[..]);
        room.engine.submit(damage).expect("room").done().await;
        let again = room.reopened();
        let found = again.store.fsck(ALICE).await.expect("read");
        assert!(matches!(found[..], [Finding::Checkpoint(_)]), "{found:?}");
        let account = again.account(ALICE).await;
        assert_eq!(account.view(), live);
        // The next change lets the next checkpoint put it right.
        account.checkpoint().await.expect("room");
        again.check(ALICE).await;
        if is_root {
            keys.extend(parts(&room));
            assert!(keys.len() >= 8, "keywords, mailboxes, pages");
            assert!(
                keys.iter()
                    .all(|key| matches!(keys::part_of(key), Some((_, g)) if g == modseq))
            );
        }
    }
}

#[tokio::test]
async fn a_damaged_log_is_found() {
    let room = Room::new().await;
    busy(&room).await;
    let modseq = room.account(ALICE).await.view().modseq();
    let mut damage = Batch::new();
    damage.put(keys::log(ALICE, modseq), &b"\x01"[..]);
    room.engine.submit(damage).expect("room").done().await;
    let found = room.store.fsck(ALICE).await.expect("read");
    assert!(matches!(found[..], [Finding::LogEntry(..)]), "{found:?}");
    assert!(room.reopened().store.account(ALICE).await.is_err());
}

#[tokio::test]
async fn accounts_leave_memory_when_nobody_holds_them() {
    let options = Options {
        cache_bytes_max: 40_000,
        ..often()
    };
    let room = Room::with(options).await;
    let held = room.account(ALICE).await;
    for id in (10..40).map(AccountId) {
        room.create(id, QuotaLimits::default()).await;
        let account = room.account(id).await;
        room.append(&account, inbox(&account), b"text").await;
        drop(account);
        room.store.shared.tasks.wait().await;
    }
    let cached = room.store.cache.accounts();
    assert!(cached.len() < 10, "{}", cached.len());
    assert!(Arc::ptr_eq(&held, &room.account(ALICE).await));
    drop(cached);
    for id in (10..40).map(AccountId) {
        assert_eq!(room.account(id).await.view().usage().emails, 1);
    }
}
