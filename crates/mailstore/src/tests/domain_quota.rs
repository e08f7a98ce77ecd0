//! Limits that accounts share: never overshot, nothing leaks, known again after a crash.

use super::quota::emails;
use super::rooms::{ALICE, BOB, Room, inbox};
use crate::{
    GroupFinding, QuotaCrossing, QuotaLimits, QuotaMark, QuotaOwner, QuotaRule, StoreError,
};
use engine::check::Checker;
use engine::{Batch, Engine, SubmitError, Ticket};
use envelope::AccountId;
use mailbox_model::stage::Expunging;
use mailbox_model::{UidSet, Usage};
use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};

const GROUP: &str = "here.test";

/// Alice, Bob and six others; all of one domain.
async fn people(room: &Room) -> Vec<AccountId> {
    let mut people = vec![ALICE, BOB];
    for id in (10..16).map(AccountId) {
        room.create(id, QuotaLimits::default()).await;
        people.push(id);
    }
    people
}

async fn limit(room: &Room, limits: QuotaLimits, people: &[AccountId]) {
    let set = room.store.set_group_limits(GROUP, limits, people).await;
    set.expect("read");
}

/// The ledger says what the accounts' views say, and nothing is reserved.
async fn is_exact(room: &Room, people: &[AccountId]) {
    let mut sum = Usage::default();
    for &id in people {
        let used = room.account(id).await.view().usage();
        sum.bytes += used.bytes;
        sum.emails += used.emails;
    }
    let group = room.store.group_usage(GROUP).expect("there");
    assert_eq!((group.used, group.reserved), (sum, Usage::default()));
    let limits = group.limits;
    let found = room.store.fsck_group(GROUP, limits, people).await;
    assert_eq!(found.expect("read"), []);
    assert_eq!(room.store.usage_of(people).await, sum);
}

async fn append(room: &Room, id: AccountId) -> Result<(), StoreError> {
    let account = room.account(id).await;
    let (blob, email) = room.message(id, b"x");
    let appended = account.append(inbox(&account), vec![blob], &[email]).await;
    appended.map(drop)
}

fn is_over_domain(result: &Result<(), StoreError>) -> bool {
    matches!(result, Err(StoreError::OverQuota(over)) if over.owner == QuotaOwner::Domain)
}

/// Submits a delivery and does not wait for it.
async fn submit(room: &Room, id: AccountId, rule: QuotaRule) -> Result<Ticket, StoreError> {
    let account = room.account(id).await;
    let (mut blob, email) = room.message(id, b"x");
    let mut batch = Batch::new();
    room.blobs.stage(&mut batch, &mut blob)?;
    let mut lane = account.lane().await?;
    lane.stage_deliver(&mut batch, inbox(&account), &[email], rule)?;
    Ok(lane.submit(batch)?)
}

/// What became of many deliveries.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    taken: u64,
    over: u64,
    full: u64,
}

/// Sixty-four writers of four messages each, to all the people in turn.
async fn storm(room: &Arc<Room>, people: &[AccountId]) -> Tally {
    let writers: Vec<_> = (0..64)
        .map(|n| {
            let (room, id) = (Arc::clone(room), people[n % people.len()]);
            let runtime = room.runtime.clone();
            runtime.spawn("writer", async move {
                let mut tally = Tally::default();
                for _ in 0..4 {
                    match append(&room, id).await {
                        Ok(()) => tally.taken += 1,
                        Err(StoreError::Submit(SubmitError::Full)) => tally.full += 1,
                        refused if is_over_domain(&refused) => tally.over += 1,
                        Err(error) => panic!("{error}"),
                    }
                }
                tally
            })
        })
        .collect();
    let mut sum = Tally::default();
    for writer in writers {
        let tally = writer.join().await.expect("no panic");
        sum.taken += tally.taken;
        sum.over += tally.over;
        sum.full += tally.full;
    }
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn deliveries_side_by_side_never_overshoot_a_domain() {
    let room = Arc::new(Room::new().await);
    let people = people(&room).await;
    append(&room, BOB).await.expect("no limit yet");
    limit(&room, emails(50), &people).await;
    let tally = storm(&room, &people).await;
    // One was there before. All that fits is taken in the end, and no more.
    assert_eq!((tally.taken, tally.over), (49, 207));
    is_exact(&room, &people).await;
    // Room that is given back may be used by anybody.
    let mut gone = 0;
    for &person in &people {
        // Who got how much is the scheduler's business.
        if gone == 0 {
            let one = room.account(person).await;
            let all = Expunging::Exactly(&UidSet::all());
            gone = one.expunge(inbox(&one), all).await.expect("ok").len();
        }
    }
    assert!(gone > 0);
    is_exact(&room, &people).await;
    for _ in 0..gone {
        append(&room, BOB).await.expect("room");
    }
    assert!(is_over_domain(&append(&room, BOB).await));
    let one = Usage {
        bytes: 1,
        emails: 1,
    };
    let bob = room.account(BOB).await;
    let over = bob.check_room(one).expect_err("full");
    assert_eq!(
        over.to_string(),
        "the accounts of the domain together would be over its quota of messages"
    );
    room.store.end_group(GROUP).await.expect("read");
    append(&room, BOB).await.expect("no limit any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn limits_hold_while_they_are_set_again_and_again() {
    let room = Arc::new(Room::new().await);
    let people = people(&room).await;
    limit(&room, emails(50), &people).await;
    let setter = {
        let (room, people) = (Arc::clone(&room), people.clone());
        let runtime = room.runtime.clone();
        runtime.spawn("setter", async move {
            for most in (0..100).map(|n| 50 - n % 7) {
                limit(&room, emails(most), &people).await;
            }
            limit(&room, emails(50), &people).await;
        })
    };
    let before = storm(&room, &people).await.taken;
    setter.join().await.expect("no panic");
    let after = storm(&room, &people).await.taken;
    assert_eq!(before + after, 50);
    is_exact(&room, &people).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commits_that_fail_leave_nothing_reserved() {
    let room = Arc::new(Room::new().await);
    let people = people(&room).await;
    limit(&room, emails(100), &people).await;
    // The disk is full after a while, with writers at work.
    room.engine.left.store(40, Ordering::SeqCst);
    let tally = storm(&room, &people).await;
    assert!(tally.full > 100 && tally.taken <= 40, "{tally:?}");
    is_exact(&room, &people).await;
    room.engine.left.store(-1, Ordering::SeqCst);
    let rest = storm(&room, &people).await;
    assert_eq!(tally.taken + rest.taken, 100);
    is_exact(&room, &people).await;
    // As a crash leaves it: the same from the heads alone.
    let again = room.reopened();
    limit(&again, emails(100), &people).await;
    is_exact(&again, &people).await;
    assert!(is_over_domain(&append(&again, ALICE).await));
}

#[tokio::test]
async fn what_is_submitted_and_not_durable_yet_counts_when_limits_are_set() {
    let room = Room::new().await;
    let people = people(&room).await;
    for &id in &people {
        room.account(id).await;
    }
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
    let mut tickets = Vec::new();
    for _ in 0..5 {
        tickets.push(submit(&room, ALICE, QuotaRule::Enforce).await.expect("ok"));
    }
    assert_eq!(room.account(ALICE).await.view().usage().emails, 0);
    limit(&room, emails(6), &people).await;
    let sixth = submit(&room, BOB, QuotaRule::Enforce).await;
    tickets.push(sixth.expect("room"));
    let seventh = submit(&room, BOB, QuotaRule::Enforce).await.map(drop);
    assert!(is_over_domain(&seventh));
    open.send(()).expect("waiting");
    for ticket in tickets {
        ticket.done().await;
    }
    is_exact(&room, &people).await;
}

#[tokio::test]
async fn a_lane_that_is_let_go_gives_its_part_back() {
    let room = Room::new().await;
    let people = people(&room).await;
    limit(&room, emails(1), &people).await;
    let alice = room.account(ALICE).await;
    let (mut blob, email) = room.message(ALICE, b"x");
    let mut batch = Batch::new();
    room.blobs.stage(&mut batch, &mut blob).expect("room");
    let mut lane = alice.lane().await.expect("free");
    lane.stage_deliver(&mut batch, inbox(&alice), &[email], QuotaRule::Enforce)
        .expect("room");
    // Reserved, though nothing is submitted.
    assert!(is_over_domain(&append(&room, BOB).await));
    drop(lane);
    append(&room, BOB).await.expect("room");
    is_exact(&room, &people).await;
    // Postmaster's mail is never refused for it.
    let over = submit(&room, ALICE, QuotaRule::Ignore).await;
    over.expect("never refused").done().await;
    is_exact(&room, &people).await;
    // Nor are COPY and what comes back refused.
    let all = UidSet::all();
    let to = super::rooms::mailbox(&alice, "Archive");
    let copied = alice.copy(inbox(&alice), to, &all).await.expect("ok");
    assert_eq!(copied.uids.len(), 1);
    is_exact(&room, &people).await;
}

#[tokio::test]
async fn what_retention_keeps_does_not_count() {
    let room = Room::new().await;
    let people = people(&room).await;
    limit(&room, emails(1), &people).await;
    append(&room, ALICE).await.expect("room");
    let alice = room.account(ALICE).await;
    let all = Expunging::Exactly(&UidSet::all());
    alice.expunge(inbox(&alice), all).await.expect("ok");
    append(&room, BOB)
        .await
        .expect("the expunged one does not count");
    // It comes back all the same.
    let deleted = alice.deleted_since(0).await.expect("read");
    let ids: Vec<_> = deleted.iter().map(|deleted| deleted.email).collect();
    alice.undelete(&ids).await.expect("never refused");
    is_exact(&room, &people).await;
    let used = room.store.group_usage(GROUP).expect("there").used;
    assert_eq!(used.emails, 2);
    assert!(is_over_domain(&append(&room, BOB).await));
}

#[tokio::test]
async fn accounts_come_and_go() {
    let room = Room::new().await;
    let people = people(&room).await;
    limit(&room, emails(2), &people).await;
    append(&room, ALICE).await.expect("room");
    append(&room, BOB).await.expect("room");
    // One that is gone uses nothing.
    room.store.drop_account(BOB).await.expect("ok");
    let mut people: Vec<AccountId> = people.into_iter().filter(|id| *id != BOB).collect();
    is_exact(&room, &people).await;
    // A new one counts from its first mail.
    let new = AccountId(30);
    room.store.join_group(GROUP, new);
    room.create(new, QuotaLimits::default()).await;
    people.push(new);
    append(&room, new).await.expect("room");
    assert!(is_over_domain(&append(&room, new).await));
    is_exact(&room, &people).await;
    // One that leaves takes its part along, whatever its lane does.
    let account = room.account(new).await;
    let lane = account.lane().await.expect("free");
    room.store.leave_group(new);
    drop(lane);
    append(&room, new).await.expect("no limit for it");
    people.pop();
    is_exact(&room, &people).await;
    append(&room, ALICE).await.expect("room again");
}

#[tokio::test]
async fn each_crossing_of_a_domain_is_told_once_over_restarts() {
    let room = Room::new().await;
    let people = people(&room).await;
    let crossing = QuotaCrossing::Group(GROUP.into());
    limit(&room, emails(20), &people).await;
    for _ in 0..15 {
        append(&room, ALICE).await.expect("room");
    }
    assert_eq!(room.store.group_mark_due(GROUP), None);
    append(&room, BOB).await.expect("room");
    assert_eq!(room.store.next_quota_crossing().await, crossing);
    let due = room.store.group_mark_due(GROUP).expect("80 percent");
    assert_eq!((due.mark, due.used.emails), (QuotaMark::Filling, 16));
    let tell = async |room: &Room, mark| {
        let told = room.store.tell_group(GROUP, mark, Batch::new()).await;
        told.expect("room")
    };
    assert!(
        !tell(&room, QuotaMark::NearlyFull).await,
        "it is not so full"
    );
    assert!(tell(&room, QuotaMark::Filling).await);
    assert!(!tell(&room, QuotaMark::Filling).await, "once");
    // A restart knows it.
    let room = room.reopened();
    limit(&room, emails(20), &people).await;
    assert_eq!(room.store.group_mark_due(GROUP), None);
    for _ in 0..3 {
        append(&room, BOB).await.expect("room");
    }
    let due = room.store.group_mark_due(GROUP).expect("95 percent");
    assert_eq!(due.mark, QuotaMark::NearlyFull);
    // A crash before the notice: it is due after it.
    let room = room.reopened();
    limit(&room, emails(20), &people).await;
    assert_eq!(room.store.next_quota_crossing().await, crossing);
    assert!(tell(&room, QuotaMark::NearlyFull).await);
    // Below both marks and, before anybody wrote that down, up again: told again.
    let alice = room.account(ALICE).await;
    let all = Expunging::Exactly(&UidSet::all());
    alice.expunge(inbox(&alice), all).await.expect("ok");
    assert_eq!(room.store.next_quota_crossing().await, crossing);
    for _ in 0..12 {
        append(&room, BOB).await.expect("room");
    }
    assert!(tell(&room, QuotaMark::Filling).await);
    // Below, written down, then a crash: the next crossing is told again.
    bob_is_emptied(&room).await;
    room.store.lower_group_mark(GROUP).await.expect("room");
    let room = room.reopened();
    for _ in 0..16 {
        append(&room, ALICE).await.expect("no limit yet");
    }
    limit(&room, emails(20), &people).await;
    let due = room.store.group_mark_due(GROUP).expect("due again");
    assert!(tell(&room, due.mark).await);
}

/// Expunges Bob's inbox.
async fn bob_is_emptied(room: &Room) {
    let bob = room.account(BOB).await;
    let all = Expunging::Exactly(&UidSet::all());
    bob.expunge(inbox(&bob), all).await.expect("ok");
}

#[tokio::test]
async fn what_was_told_is_forgotten_with_the_domain() {
    let room = Room::new().await;
    let people = people(&room).await;
    limit(&room, emails(1), &people).await;
    append(&room, ALICE).await.expect("room");
    let mark = QuotaMark::NearlyFull;
    let told = room.store.tell_group(GROUP, mark, Batch::new()).await;
    assert!(told.expect("room"));
    // The directory lost it, and a crash came before the ledger was told.
    let room = room.reopened();
    let none = room.store.end_other_groups(&HashSet::new()).await;
    none.expect("read");
    limit(&room, emails(1), &people).await;
    assert!(room.store.group_mark_due(GROUP).is_some());
}

#[tokio::test]
async fn a_wrong_ledger_is_found_and_put_right() {
    let room = Room::new().await;
    let people = people(&room).await;
    limit(&room, emails(10), &people).await;
    append(&room, ALICE).await.expect("room");
    is_exact(&room, &people).await;
    let group = room.store.shared.quotas.group(GROUP).expect("there");
    {
        let mut ledger = group.ledger.lock();
        let wrong = Usage {
            bytes: 7,
            emails: 7,
        };
        ledger.members.insert(ALICE, Some(wrong));
        ledger.members.remove(&BOB);
        ledger.used = Usage::default();
        ledger.reserved = wrong;
    }
    let limits = emails(10);
    let found = room.store.fsck_group(GROUP, limits, &people).await;
    let found = found.expect("read");
    let is_there = |wanted: fn(&GroupFinding) -> bool| found.iter().any(wanted);
    assert!(is_there(|f| *f == GroupFinding::Terms), "{found:?}");
    assert!(is_there(
        |f| matches!(f, GroupFinding::Member { account, .. } if *account == ALICE)
    ));
    assert!(is_there(|f| matches!(f, GroupFinding::Sum { .. })));
    assert!(is_there(|f| matches!(f, GroupFinding::Reserved(_))));
    let report = found[1].report(GROUP);
    assert_eq!(report.checker, Checker::CountersEqualSums);
    assert!(report.what.starts_with("the quota of the domain here.test"));
    let mended = room.store.repair_group(GROUP, limits, &people).await;
    assert!(mended.expect("read").len() >= found.len());
    is_exact(&room, &people).await;
    // Again there is nothing to do.
    let mended = room.store.repair_group(GROUP, limits, &people).await;
    assert_eq!(mended.expect("read"), []);
    // Bob's lane has a place again.
    for _ in 0..9 {
        append(&room, BOB).await.expect("room");
    }
    assert!(is_over_domain(&append(&room, BOB).await));
}
