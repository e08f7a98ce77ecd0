//! Many writers: order, lanes, conflicts, and the cost of a delivery.

use super::rooms::{ALICE, BOB, Room, inbox};
use crate::{NewEmail, Options, Place, QuotaRule, StoreError};
use engine::{Batch, Engine};
use envelope::AccountId;
use mailbox_model::stage::FlagAction;
use mailbox_model::{Flag, ModSeq, Role, Uid, UidSet};
use std::sync::{Arc, mpsc};
use std::task::{Context, Waker};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_appends_get_growing_uids_and_show_in_order() {
    let room = Arc::new(Room::new().await);
    let alice = room.account(ALICE).await;
    let mut latest = alice.subscribe();
    let watched = Arc::clone(&alice);
    let watcher = room.store.shared.runtime.spawn("watcher", async move {
        let mut last = (ModSeq(0), 0);
        loop {
            let seen = *latest.borrow_and_update();
            let view = watched.view();
            let mailbox = view.inbox().expect("there");
            assert!(view.modseq() >= seen && view.modseq() >= last.0);
            // No UID shows before a smaller one: there is never a hole.
            let count = mailbox.counters().messages;
            assert_eq!(mailbox.uid_next().0 as u64, count + 1);
            assert!(count >= last.1);
            last = (view.modseq(), count);
            if count == 64 * 4 {
                return;
            }
            latest.changed().await.expect("the account lives");
        }
    });
    let writers: Vec<_> = (0..64)
        .map(|writer| {
            let (room, alice) = (Arc::clone(&room), Arc::clone(&alice));
            let runtime = room.store.shared.runtime.clone();
            runtime.spawn("writer", async move {
                let mut uids = Vec::new();
                for at in 0..4 {
                    let text = format!("{writer} {at}");
                    uids.push(room.append(&alice, inbox(&alice), text.as_bytes()).await);
                }
                uids
            })
        })
        .collect();
    let mut all = Vec::new();
    for writer in writers {
        let uids = writer.join().await.expect("no panic");
        assert!(uids.is_sorted_by(|a, b| a < b));
        all.extend(uids);
    }
    all.sort_unstable();
    assert!(all.iter().copied().eq(1..=256));
    watcher.join().await.expect("no panic");
    room.check(ALICE).await;
}

#[tokio::test]
async fn a_lane_takes_many_commits_without_waiting_for_the_sync() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    let before = alice.view();
    // Nothing becomes visible until the gate opens.
    let (open, gate) = mpsc::channel::<()>();
    let mut block = Batch::new();
    // A key that is none of the account, in its shard.
    let mut key = engine::keys::queue(room.store.shard(ALICE));
    key.push(0xfe);
    block.put(key, &b""[..]);
    block.on_visible(move |_| {
        let _ = gate.recv();
    });
    room.engine.submit(block).expect("room");
    let mut tickets = Vec::new();
    for at in 0..100 {
        let (mut blob, email) = room.message(ALICE, format!("{at}").as_bytes());
        let mut batch = Batch::new();
        room.blobs.stage(&mut batch, &mut blob).expect("room");
        let mut lane = alice.lane().await.expect("free");
        let to = lane.resolve(&Place::Role(Role::Inbox)).expect("there");
        let uids = lane.stage_deliver(&mut batch, to, &[email], QuotaRule::Enforce);
        assert_eq!(uids.expect("room")[0].1, Uid(at + 1));
        tickets.push(lane.submit(batch).expect("room"));
    }
    assert_eq!(
        alice.view(),
        before,
        "nothing is shown before it is durable"
    );
    open.send(()).expect("it waits");
    for ticket in tickets {
        ticket.done().await;
    }
    assert_eq!(
        alice.view().inbox().expect("there").counters().messages,
        100
    );
    room.check(ALICE).await;
}

/// Its OK says that the flag is set; the change that set it was another's.
#[tokio::test]
async fn what_another_has_done_is_said_once_it_is_durable() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    let mailbox = inbox(&alice);
    let uids: UidSet = [Uid(room.append(&alice, mailbox, b"x").await)]
        .into_iter()
        .collect();
    let flag = [Flag::Flagged];
    // Nothing becomes visible until the gate opens.
    let (open, gate) = mpsc::channel::<()>();
    let mut block = Batch::new();
    let mut key = engine::keys::queue(room.store.shard(ALICE));
    key.push(0xfe);
    block.put(key, &b""[..]);
    block.on_visible(move |_| {
        let _ = gate.recv();
    });
    room.engine.submit(block).expect("room");
    let store = || alice.store_flags(mailbox, &uids, FlagAction::Add, &flag, None);
    let mut context = Context::from_waker(Waker::noop());
    let mut first = Box::pin(store());
    assert!(first.as_mut().poll(&mut context).is_pending());
    let tip = alice.lane().await.expect("free").view().modseq();
    assert!(tip > alice.view().modseq(), "the first is submitted");
    let mut second = Box::pin(store());
    assert!(second.as_mut().poll(&mut context).is_pending());
    open.send(()).expect("it waits");
    assert_eq!(first.await.expect("stored").modseq, Some(tip));
    assert_eq!(second.await.expect("stored").modseq, None);
    assert!(alice.view().modseq() >= tip);
}

#[tokio::test]
async fn one_commit_serves_several_accounts_and_a_missing_one_spoils_nothing() {
    let room = Room::new().await;
    let shard = room.store.shard(ALICE);
    let friend = (3..)
        .map(AccountId)
        .find(|id| room.store.shard(*id) == shard)
        .expect("some");
    room.create(friend, Default::default()).await;
    let ghost = AccountId(999);
    let (mut blob, email) = room.message(ALICE, b"to all of you");
    let mut batch = Batch::new();
    room.blobs.stage(&mut batch, &mut blob).expect("room");
    let mut lanes = room.store.lanes(&[ghost, friend, ALICE, friend]).await;
    for id in [ALICE, friend] {
        let lane = lanes.lane(id).expect("there");
        let inbox = lane.resolve(&Place::Role(Role::Inbox)).expect("there");
        let email = std::slice::from_ref(&email);
        lane.stage_deliver(&mut batch, inbox, email, QuotaRule::Enforce)
            .expect("room");
    }
    assert!(matches!(lanes.lane(ghost), Err(StoreError::NoAccount(_))));
    lanes.submit(batch).expect("room").done().await;
    for id in [ALICE, friend] {
        assert_eq!(room.account(id).await.view().usage().emails, 1);
        room.check(id).await;
    }
}

#[tokio::test]
async fn a_dropped_lane_forgets_what_it_staged() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    let mut lane = alice.lane().await.expect("free");
    lane.stage_create(&mut Batch::new(), &super::rooms::name("x"), None)
        .expect("free");
    drop(lane);
    assert_eq!(room.append(&alice, inbox(&alice), b"1").await, 1);
    room.check(ALICE).await;
}

#[tokio::test]
async fn two_processes_on_one_account_take_turns() {
    let room = Room::new().await;
    let other = room.reopened();
    let (here, there) = (room.account(ALICE).await, other.account(ALICE).await);
    let mut uids = Vec::new();
    for at in 0..5 {
        uids.push(
            room.append(&here, inbox(&here), format!("h{at}").as_bytes())
                .await,
        );
        uids.push(
            other
                .append(&there, inbox(&there), format!("t{at}").as_bytes())
                .await,
        );
    }
    assert!(uids.iter().copied().eq(1..=10));
    here.checkpoint().await.expect("ok");
    room.check(BOB).await;
    assert_eq!(there.view().inbox().expect("there").counters().messages, 10);
    assert!(room.engine.stats().conflicts >= 9);
}

/// The records of a large COPY go out before it. They must not fall on emails
/// that another process delivered meanwhile.
#[tokio::test]
async fn records_written_before_a_change_never_overwrite_anothers() {
    let room = Room::new().await;
    let other = room.reopened();
    let (here, there) = (room.account(ALICE).await, other.account(ALICE).await);
    let (mut blob, mut email) = room.message(ALICE, b"one of many");
    email.prefix = vec![b'p'; crate::limits::PREFIX_BYTES_MAX].into();
    fill(&room, &mut blob, &email, 8).await;
    let inbox = inbox(&there);
    // It loads again, then knows the eight.
    other.append(&there, inbox, b"nine").await;
    // Two arrive that it does not know of.
    let reloaded = room.account(ALICE).await;
    drop(reloaded.lane().await.expect("free"));
    room.append(&here, inbox, b"ten").await;
    room.append(&here, inbox, b"eleven").await;
    let copied = there
        .copy(inbox, inbox, &UidSet::range(Uid(1), Uid(8)))
        .await
        .expect("it is staged again");
    assert_eq!(copied.uids[0], (Uid(1), Uid(12)));
    for (id, text) in [(10, "ten"), (11, "eleven")] {
        let record = there
            .email_record(mailbox_model::EmailId(id))
            .await
            .expect("there");
        assert_eq!(record.blob_size, text.len() as u64);
    }
    assert_eq!(room.store.fsck(ALICE).await.expect("read"), []);
}

#[tokio::test]
async fn a_delivery_into_a_large_mailbox_writes_no_more_than_into_a_small_one() {
    let options = Options {
        entries_per_checkpoint: u32::MAX,
        checkpoint_commit_bytes: 100_000,
        ..Options::default()
    };
    let room = Room::with(options).await;
    let alice = room.account(ALICE).await;
    let (mut blob, email) = room.message(ALICE, b"text");
    fill(&room, &mut blob, &email, 10).await;
    let small = size_of_delivery(&room, &email).await;
    for _ in 0..50 {
        fill(&room, &mut blob, &email, 2000).await;
    }
    let large = size_of_delivery(&room, &email).await;
    assert_eq!(
        alice.view().inbox().expect("there").counters().messages,
        100_010
    );
    assert!(large <= small + 16, "{small} bytes, then {large}");

    // Its checkpoint takes several commits. A crash between them leaves the
    // account as it was, with or without changes in between.
    room.engine
        .left
        .store(1, std::sync::atomic::Ordering::SeqCst);
    alice.checkpoint().await.expect_err("the store is full");
    room.engine
        .left
        .store(-1, std::sync::atomic::Ordering::SeqCst);
    let crashed = room.reopened();
    assert_eq!(crashed.account(ALICE).await.view(), alice.view());
    fill(&crashed, &mut blob, &email, 1).await;
    let account = crashed.account(ALICE).await;
    account.checkpoint().await.expect("room");
    let again = crashed.reopened().account(ALICE).await;
    assert_eq!(again.view(), account.view());
}

async fn fill(room: &Room, blob: &mut blobs::StagedBlob, email: &NewEmail, count: usize) {
    let mut batch = Batch::new();
    room.blobs.stage(&mut batch, blob).expect("room");
    let mut lane = room.account(ALICE).await.lane().await.expect("free");
    let to = lane.resolve(&Place::Role(Role::Inbox)).expect("there");
    let emails = vec![email.clone(); count];
    lane.stage_deliver(&mut batch, to, &emails, QuotaRule::Enforce)
        .expect("room");
    lane.submit(batch).expect("room").done().await;
}

async fn size_of_delivery(room: &Room, email: &NewEmail) -> usize {
    let mut batch = Batch::new();
    let mut lane = room.account(ALICE).await.lane().await.expect("free");
    let to = lane.resolve(&Place::Role(Role::Inbox)).expect("there");
    let email = std::slice::from_ref(email);
    lane.stage_deliver(&mut batch, to, email, QuotaRule::Enforce)
        .expect("room");
    batch.size_bytes()
}

#[tokio::test]
async fn who_meets_another_commit_waits_until_it_shows() {
    let room = Arc::new(Room::new().await);
    let bob = room.account(BOB).await;
    // Two write the same body before either sees the other's.
    let (mut blob, _) = room.message(BOB, b"to all");
    let mut late = Batch::new();
    room.blobs.stage(&mut late, &mut blob).expect("room");
    room.append(&bob, inbox(&bob), b"to all").await;

    // Nothing becomes visible any more, as during a long sync.
    let (go, wait) = mpsc::channel::<()>();
    let mut slow = Batch::new();
    slow.on_visible(move |_| wait.recv().expect("the test goes on"));
    let _slow = room.engine.submit(slow).expect("room");
    let late = room.engine.submit(late).expect("no conditions");

    let third = {
        let (room, bob) = (Arc::clone(&room), Arc::clone(&bob));
        let runtime = room.runtime.clone();
        runtime.spawn("third", async move {
            room.append(&bob, inbox(&bob), b"to all").await;
        })
    };
    while room.engine.stats().conflicts == 0 {
        tokio::task::yield_now().await;
    }
    // Time enough to be refused again and again.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    go.send(()).expect("it waits");
    late.done().await;
    third.join().await.expect("it was taken");
    assert_eq!(room.engine.stats().conflicts, 1);
    room.check(BOB).await;
}

/// What a reader has read twice before the first is on disk costs the owner nothing.
#[tokio::test]
async fn who_is_refused_for_another_record_loads_no_account() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    for text in [b"one", b"two"] {
        room.append(&alice, inbox(&alice), text).await;
    }
    let (go, wait) = mpsc::channel::<()>();
    let mut slow = Batch::new();
    slow.on_visible(move |_| wait.recv().expect("the test goes on"));
    let slow = room.engine.submit(slow).expect("room");
    let mut tickets = Vec::new();
    for uid in [1, 2] {
        let mut lane = alice.lane().await.expect("free");
        let mut batch = Batch::new();
        let read = UidSet::one(Uid(uid));
        let unread = UidSet::new();
        let staged = lane.stage_seen_by(&mut batch, inbox(&alice), BOB, &read, &unread);
        staged.await.expect("staged");
        tickets.push(lane.submit(batch));
    }
    assert!(tickets.pop().expect("two").is_err());
    // To load it again would be to wait for what is not visible.
    let lane = tokio::select! {
        biased;
        lane = alice.lane() => Some(lane),
        () = std::future::ready(()) => None,
    };
    assert!(lane.is_some_and(|lane| lane.is_ok()));
    go.send(()).expect("it waits");
    slow.done().await;
    tickets.pop().expect("one").expect("taken").done().await;
    room.check(ALICE).await;
}
