//! What was deleted comes back, and an account goes back to a moment.

use super::rooms::{ALICE, Room, inbox, mailbox, name};
use crate::{Account, Act, BroughtBack, ChangesError, PastError, Why, keys};
use engine::{Batch, Engine};
use mailbox_model::stage::{Expunging, FlagAction, Mode};
use mailbox_model::{Change, EmailId, Flag, FlagId, LogEntry, ModSeq, Role, Uid, UidSet, View};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const RETENTION: Duration = Duration::from_secs(30 * 86_400);

async fn expunge_all(account: &Arc<Account>, mailbox: mailbox_model::MailboxId) {
    let all = UidSet::all();
    let done = account.expunge(mailbox, Expunging::Exactly(&all));
    done.await.expect("ok");
}

async fn flag(account: &Arc<Account>, mailbox: mailbox_model::MailboxId, flags: &[Flag]) {
    let all = UidSet::all();
    let done = account.store_flags(mailbox, &all, FlagAction::Add, flags, None);
    done.await.expect("ok");
}

/// A mailbox's name and what a person sees in it.
type Shown = (String, Vec<(EmailId, Vec<Flag>)>);

fn shown(view: &View) -> Vec<Shown> {
    let mailboxes = view.mailboxes().map(|mailbox| {
        let mut emails: Vec<_> = mailbox
            .entries()
            .iter()
            .map(|entry| {
                (
                    entry.email,
                    entry.keywords.iter().map(|f| view.flag(f)).collect(),
                )
            })
            .collect();
        emails.sort_by_key(|(email, _)| *email);
        (mailbox.name().to_string(), emails)
    });
    mailboxes.collect()
}

/// Takes out what the trash shows; how much that was.
fn empty_trash(shown: &mut [Shown]) -> usize {
    let trash = shown.iter_mut().find(|(name, _)| name == "Trash");
    std::mem::take(&mut trash.expect("always there").1).len()
}

#[tokio::test(start_paused = true)]
async fn an_expunged_message_is_listed_and_comes_back_under_a_new_uid() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    let inbox = inbox(&alice);
    room.append(&alice, inbox, b"precious").await;
    flag(&alice, inbox, &[Flag::Flagged, Flag::Deleted]).await;
    room.days_pass(1);
    let day_1 = room.runtime.now().unix_ms;
    expunge_all(&alice, inbox).await;
    let listed = alice.deleted_since(day_1).await.expect("read");
    let [deleted] = &listed[..] else {
        panic!("{listed:?}");
    };
    assert_eq!(deleted.place.name, name("INBOX"));
    assert_eq!((deleted.uid, deleted.at_ms), (Uid(1), day_1));
    assert_eq!((deleted.why, deleted.place.gone), (Why::Expunged, false));
    assert!(alice.email_record(deleted.email).await.is_ok());
    assert_eq!(alice.deleted_since(day_1 + 1).await.expect("read"), []);

    let back = alice.undelete(&[deleted.email]).await.expect("ok");
    assert_eq!(back.restored, [(EmailId(1), inbox, Uid(2))]);
    let view = alice.view();
    let entry = view.inbox().expect("there").at(0).expect("back");
    assert!(entry.keywords.has(FlagId::Flagged) && !entry.deleted);
    assert_eq!(alice.deleted_since(0).await.expect("read"), []);
    let again = alice.undelete(&[deleted.email]).await.expect("ok");
    assert_eq!(again.restored, []);
    let text = alice.email_record(EmailId(1)).await.expect("there");
    let text = alice.read_message(&text, 0..u64::MAX).await.expect("there");
    assert!(text.ends_with(b"precious"));
    room.check(ALICE).await;

    // It is alive: the old end counts for nothing, the next one for all.
    room.days_pass(31);
    room.store.reap(ALICE, RETENTION).await.expect("ok");
    assert!(alice.floor().modseq > deleted.modseq);
    room.check(ALICE).await;
    expunge_all(&alice, inbox).await;
    room.days_pass(29);
    room.store.reap(ALICE, RETENTION).await.expect("ok");
    assert_eq!(alice.deleted_since(0).await.expect("read").len(), 1);
    room.days_pass(2);
    room.store.reap(ALICE, RETENTION).await.expect("ok");
    assert_eq!(alice.deleted_since(0).await.expect("read"), []);
    assert!(alice.email_record(EmailId(1)).await.is_err());
    room.check(ALICE).await;
}

#[tokio::test(start_paused = true)]
async fn brought_back_while_its_end_is_being_cut_off_it_stays() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    let inbox = inbox(&alice);
    room.append(&alice, inbox, b"saved on the last day").await;
    expunge_all(&alice, inbox).await;
    room.days_pass(20);
    alice.undelete(&[EmailId(1)]).await.expect("ok");
    expunge_all(&alice, inbox).await;
    room.days_pass(11);
    // The first end is below the floor now, the return and the second above.
    let reaped = room.store.reap(ALICE, RETENTION).await.expect("ok");
    assert_eq!((reaped.entries, reaped.emails), (3, 0));
    room.check(ALICE).await;
    let back = alice.undelete(&[EmailId(1)]).await.expect("ok");
    assert_eq!(back.restored.len(), 1);
    room.check(ALICE).await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_mailbox_is_made_again_or_its_namesake_takes_its_mail() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    let (inbox, junk) = (inbox(&alice), mailbox(&alice, "Junk"));
    alice.create_mailbox(&name("a/b"), None).await.expect("ok");
    for to in [mailbox(&alice, "a/b"), junk, inbox] {
        room.append(&alice, to, b"text").await;
    }
    let before = alice.view();
    for gone in ["a/b", "a", "Junk"] {
        alice.delete_mailbox(&name(gone)).await.expect("ok");
    }
    let listed = alice.deleted_since(0).await.expect("read");
    let places: Vec<_> = listed
        .iter()
        .map(|d| (d.place.name.as_str(), d.place.gone, d.why))
        .collect();
    let gone = Why::MailboxDeleted;
    assert_eq!(places, [("Junk", true, gone), ("a/b", true, gone)]);
    alice.create_mailbox(&name("a/b"), None).await.expect("ok");
    let ids: Vec<_> = listed.iter().map(|deleted| deleted.email).collect();
    let back = alice.undelete(&ids).await.expect("ok");
    assert_eq!(back.mailboxes, [name("Junk")]);
    let view = alice.view();
    let again = view.role(Role::Junk).expect("with its use");
    assert_eq!((again.name(), again.entries().len()), (&name("Junk"), 1));
    let old = before.role(Role::Junk).expect("there").uid_validity();
    assert!(again.uid_validity() > old);
    assert_eq!(
        view.mailbox_named(&name("a/b"))
            .expect("there")
            .entries()
            .len(),
        1
    );
    room.check(ALICE).await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_elsewhere_means_that_nothing_was_deleted() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    let (inbox, trash) = (inbox(&alice), mailbox(&alice, "Trash"));
    room.append(&alice, inbox, b"text").await;
    alice.copy(inbox, trash, &UidSet::all()).await.expect("ok");
    expunge_all(&alice, inbox).await;
    assert_eq!(alice.deleted_since(0).await.expect("read"), []);
    expunge_all(&alice, trash).await;
    let listed = alice.deleted_since(0).await.expect("read");
    assert_eq!(listed[0].place.name, name("Trash"));
    // Without its record it can't come back, and that is said.
    let mut batch = Batch::new();
    batch.delete(keys::email(ALICE, EmailId(1)));
    room.engine.submit(batch).expect("room").done().await;
    let back = alice.undelete(&[EmailId(1)]).await.expect("ok");
    assert_eq!((back.restored, back.lost), (vec![], vec![EmailId(1)]));
}

#[tokio::test(start_paused = true)]
async fn very_many_come_back_in_bounded_commits_and_over_a_crash() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    let inbox = inbox(&alice);
    let (mut blob, email) = room.message(ALICE, b"one of many");
    for _ in 0..3 {
        let mut batch = Batch::new();
        room.blobs.stage(&mut batch, &mut blob).expect("room");
        let mut lane = alice.lane().await.expect("free");
        let emails = vec![email.clone(); 4000];
        lane.stage_deliver(&mut batch, inbox, &emails, crate::QuotaRule::Ignore)
            .expect("room");
        lane.submit(batch).expect("room").done().await;
    }
    expunge_all(&alice, inbox).await;
    let ids: Vec<_> = (1..=12_000).map(EmailId).collect();
    room.engine.left.store(1, Ordering::SeqCst);
    alice.undelete(&ids).await.expect_err("the store is full");
    room.engine.left.store(-1, Ordering::SeqCst);
    assert_eq!(alice.view().usage().emails, 5000);
    let again = room.reopened();
    let alice = again.account(ALICE).await;
    let back = alice.undelete(&ids).await.expect("ok");
    assert_eq!(back.restored.len(), 7000);
    assert_eq!(alice.view().usage().emails, 12_000);
    again.check(ALICE).await;
}

/// Two days of work, a bad hour, and what came after it. Gives the moment before.
async fn a_bad_hour(room: &Room) -> u64 {
    let alice = room.account(ALICE).await;
    let (inbox, archive) = (inbox(&alice), mailbox(&alice, "Archive"));
    alice
        .create_mailbox(&name("work/plans"), None)
        .await
        .expect("ok");
    for text in ["1", "2", "3"] {
        room.append(&alice, inbox, text.as_bytes()).await;
        room.append(&alice, mailbox(&alice, "work/plans"), text.as_bytes())
            .await;
    }
    flag(&alice, inbox, &[Flag::Seen, Flag::Keyword("k".into())]).await;
    room.days_pass(2);
    let moment = room.runtime.now().unix_ms;
    room.runtime.advance(Duration::from_millis(1));

    alice.delete_mailbox(&name("work/plans")).await.expect("ok");
    alice
        .rename_mailbox(&name("work"), &name("old"))
        .await
        .expect("ok");
    alice
        .move_(inbox, archive, &UidSet::one(Uid(1)))
        .await
        .expect("ok");
    let one = UidSet::one(Uid(2));
    alice
        .expunge(inbox, Expunging::Exactly(&one))
        .await
        .expect("ok");
    let flags = [Flag::Flagged];
    let one = UidSet::one(Uid(3));
    let done = alice.store_flags(inbox, &one, FlagAction::Replace, &flags, None);
    done.await.expect("ok");
    room.append(&alice, inbox, b"new").await;
    alice.create_mailbox(&name("new"), None).await.expect("ok");
    moment
}

#[tokio::test(start_paused = true)]
async fn an_account_goes_back_to_a_moment_and_forth_again() {
    let room = Room::new().await;
    let moment = a_bad_hour(&room).await;
    let alice = room.account(ALICE).await;
    let past = alice.view_at(moment).await.expect("within the log");
    let bad = alice.view();
    let bad_moment = room.runtime.now().unix_ms;
    room.runtime.advance(Duration::from_millis(1));

    let told = alice
        .restore_to(moment, Mode::Keep, Act::DryRun)
        .await
        .expect("ok");
    assert_eq!(alice.view(), bad, "a dry run changes nothing");
    let expected = BroughtBack {
        restored: 4,
        moved: 1,
        flags: 1,
        mailboxes: vec![name("work/plans")],
        renamed: vec![name("work")],
        ..BroughtBack::default()
    };
    assert_eq!(told, expected);
    let done = alice
        .restore_to(moment, Mode::Keep, Act::ForReal)
        .await
        .expect("ok");
    assert_eq!(done, told);
    room.check(ALICE).await;
    let now = alice.view();
    let new_mail = now.inbox().expect("there").find(Uid(4));
    assert!(new_mail.is_some(), "what came since stays as it is");
    let again = alice
        .restore_to(moment, Mode::Keep, Act::ForReal)
        .await
        .expect("ok");
    assert!(again.is_nothing());

    let done = alice
        .restore_to(moment, Mode::Exact, Act::ForReal)
        .await
        .expect("ok");
    assert_eq!(
        (done.trashed, done.mailboxes_removed),
        (1, vec![name("new")])
    );
    let mut exact = shown(&alice.view());
    assert_eq!(empty_trash(&mut exact), 1);
    assert_eq!(exact, shown(&past));
    room.check(ALICE).await;

    // The way back is a change like any other: forth again.
    alice
        .restore_to(bad_moment, Mode::Exact, Act::ForReal)
        .await
        .expect("ok");
    let mut forth = shown(&alice.view());
    assert_eq!(empty_trash(&mut forth), 4, "what had been deleted by then");
    assert_eq!(forth, shown(&bad));
    let inbox = alice.view().inbox().expect("there").clone();
    assert_eq!(inbox.at(0).expect("never left").uid, Uid(3));
    let last = inbox.at(1).expect("was in the trash").uid;
    assert!(last > Uid(4), "no UID is given twice");
    room.check(ALICE).await;
}

#[tokio::test(start_paused = true)]
async fn the_way_back_cut_short_anywhere_is_finished_by_asking_again() {
    let whole = {
        let room = Room::new().await;
        let moment = a_bad_hour(&room).await;
        let alice = room.account(ALICE).await;
        alice
            .restore_to(moment, Mode::Exact, Act::ForReal)
            .await
            .expect("ok");
        shown(&alice.view())
    };
    for commits in 0.. {
        let room = Room::new().await;
        let moment = a_bad_hour(&room).await;
        let alice = room.account(ALICE).await;
        room.engine.left.store(commits, Ordering::SeqCst);
        let done = alice.restore_to(moment, Mode::Exact, Act::ForReal).await;
        room.engine.left.store(-1, Ordering::SeqCst);
        let crashed = room.reopened();
        crashed.check(ALICE).await;
        let alice = crashed.account(ALICE).await;
        alice
            .restore_to(moment, Mode::Exact, Act::ForReal)
            .await
            .expect("ok");
        assert_eq!(shown(&alice.view()), whole, "{commits}");
        crashed.check(ALICE).await;
        if done.is_ok() {
            assert!(commits >= 8, "{commits}");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn moments_before_the_log_are_refused_with_the_first_there_is() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    let born = room.runtime.now().unix_ms;
    let refused = alice.view_at(born - 1).await;
    let Err(PastError::TooLongAgo(first)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((first.modseq, first.at_ms), (ModSeq(1), born));
    assert_eq!(
        alice.view_at(born).await.expect("its first moment"),
        *alice.view()
    );
    let moment = a_bad_hour(&room).await;
    room.days_pass(29);
    room.store
        .reap(ALICE, Duration::from_secs(30 * 86_400))
        .await
        .expect("ok");
    let early = alice.view_at(moment).await.expect("within the retention");
    room.days_pass(2);
    room.store
        .reap(ALICE, Duration::from_secs(29 * 86_400))
        .await
        .expect("ok");
    let floor = alice.floor();
    assert!(floor.at_ms > moment);
    assert!(matches!(alice.view_at(moment).await, Err(PastError::TooLongAgo(f)) if f == floor));
    assert!(
        alice
            .restore_to(moment, Mode::Keep, Act::ForReal)
            .await
            .is_err()
    );
    let at_floor = alice.view_at(floor.at_ms).await.expect("the base itself");
    assert_eq!(at_floor.modseq(), alice.view().modseq());
    assert_ne!(shown(&at_floor), shown(&early));
    room.check(ALICE).await;
}

/// Entries of version 1 whose moves reached over gaps don't say enough.
#[tokio::test(start_paused = true)]
async fn a_past_that_cannot_be_undone_is_folded_forward() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    let (inbox, archive) = (inbox(&alice), mailbox(&alice, "Archive"));
    for text in ["1", "2", "3"] {
        room.append(&alice, inbox, text.as_bytes()).await;
    }
    let one = UidSet::one(Uid(2));
    alice
        .expunge(inbox, Expunging::Exactly(&one))
        .await
        .expect("ok");
    let past = alice.view();
    let moment = room.runtime.now().unix_ms;
    room.runtime.advance(Duration::from_millis(1));
    alice
        .move_(inbox, archive, &UidSet::all())
        .await
        .expect("ok");
    let key = keys::log(ALICE, alice.view().modseq());
    let snapshot = room.engine.snapshot(alice.shard());
    let record = snapshot.get(&key).expect("read").expect("there").value;
    let mut entry = LogEntry::decode(&record).expect("sound");
    if let Change::Move { transfer, .. } = &mut entry.change {
        transfer.uids = UidSet::range(Uid(1), Uid(3));
    }
    let mut of_version_1 = entry.encode();
    of_version_1[0] = 1;
    assert_eq!(of_version_1.pop(), Some(0), "no emails that were renewed");
    let mut batch = Batch::new();
    batch.put(key, of_version_1);
    room.engine.submit(batch).expect("room").done().await;
    // What is in memory was made by the entry as it is written now, with save dates.
    let cold = room.reopened();
    cold.check(ALICE).await;
    let alice = cold.account(ALICE).await;
    assert_eq!(alice.view_at(moment).await.expect("forward"), *past);
}

#[tokio::test(start_paused = true)]
async fn changes_are_told_from_the_floor_on_and_never_guessed() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    let inbox = inbox(&alice);
    room.append(&alice, inbox, b"1").await;
    expunge_all(&alice, inbox).await;
    let all = alice.changes_since(ModSeq(0), 99).await.expect("known");
    assert_eq!(
        (all.entries.len(), all.modseq, all.more),
        (3, ModSeq(3), false)
    );
    let some = alice.changes_since(ModSeq(1), 1).await.expect("known");
    assert_eq!(
        (some.entries.len(), some.modseq, some.more),
        (1, ModSeq(2), true)
    );
    let none = alice.changes_since(ModSeq(3), 9).await.expect("known");
    assert_eq!((none.entries.len(), none.more), (0, false));
    room.days_pass(31);
    room.append(&alice, inbox, b"2").await;
    room.store.reap(ALICE, RETENTION).await.expect("ok");
    for since in [ModSeq(0), ModSeq(2), ModSeq(99)] {
        let below = alice.changes_since(since, 9).await;
        assert!(matches!(below, Err(ChangesError::BelowFloor(f)) if f == alice.floor()));
    }
    let known = alice
        .changes_since(ModSeq(3), 9)
        .await
        .expect("at the floor");
    assert_eq!(known.entries.len(), 1);
}
