//! Emails join threads when somebody asks, and stay where they are.

use super::flips::Kept;
use super::rooms::{ALICE, BOB, Room, inbox, mailbox};
use crate::{Account, QuotaLimits, keys};
use engine::{Batch, Engine as _, Order};
use mailbox_model::stage::Expunging;
use mailbox_model::{EmailId, Threads, Uid, UidSet};
use std::sync::Arc;
use std::time::Duration;

/// Appends a message; numbers stand for ids of messages.
async fn append(room: &Room, account: &Arc<Account>, id: u32, references: &[u32], subject: &str) {
    let references: String = references.iter().map(|id| format!(" <{id}@x>")).collect();
    let text =
        format!("Message-ID: <{id}@x>\r\nSubject: {subject}\r\nReferences:{references}\r\n\r\nx");
    room.append_indexed(account, inbox(account), &text).await;
}

fn firsts(threads: &Threads) -> Vec<u64> {
    let all = 1..threads.behind().0;
    all.map(|email| threads.of(EmailId(email)).0).collect()
}

async fn asked(account: &Account) -> Vec<u64> {
    firsts(&account.threads().await.expect("read"))
}

/// The keys that are stored of threads.
fn stored(room: &Room) -> usize {
    let (start, end) = keys::threads(ALICE);
    let snapshot = room.engine.snapshot(room.store.shard(ALICE));
    let pairs = snapshot.scan(&start, &end, Order::Ascending, usize::MAX);
    pairs.expect("read").len()
}

#[tokio::test]
async fn emails_join_when_somebody_asks() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    append(&room, &alice, 1, &[], "lunch").await;
    append(&room, &alice, 2, &[1], "Re: lunch").await;
    append(&room, &alice, 3, &[1, 2], "dinner (was: lunch)").await;
    append(&room, &alice, 4, &[9], "RE: [list] Lunch").await;
    assert_eq!(stored(&room), 0, "who does not ask pays nothing");
    assert_eq!(asked(&alice).await, [1, 1, 3, 4]);
    // Head, a page, and keys: lunch 1, 2, 9, 4; dinner 3, 1, 2.
    assert_eq!(stored(&room), 1 + 1 + 7);
    append(&room, &alice, 9, &[], "lunch").await;
    append(&room, &alice, 5, &[3], "Re: dinner (was: lunch)").await;
    assert_eq!(asked(&alice).await, [1, 1, 3, 4, 4, 3]);
    room.check(ALICE).await;
    // The same from the store.
    drop(alice);
    let again = room.reopened();
    let alice = again.account(ALICE).await;
    assert_eq!(asked(&alice).await, [1, 1, 3, 4, 4, 3]);
    let head = keys::threads_head(ALICE);
    let version = || {
        let snapshot = room.engine.snapshot(room.store.shard(ALICE));
        snapshot.get(&head).expect("read").expect("there").version
    };
    let before = version();
    assert_eq!(asked(&alice).await, [1, 1, 3, 4, 4, 3]);
    assert_eq!(version(), before, "nothing is written where nothing came");
}

#[tokio::test]
async fn threads_outlive_what_led_to_them() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    append(&room, &alice, 1, &[], "a").await;
    append(&room, &alice, 2, &[1], "a").await;
    assert_eq!(asked(&alice).await, [1, 1]);
    for uid in [1, 2] {
        let one = UidSet::one(Uid(uid));
        let expunged = alice.expunge(inbox(&alice), Expunging::Exactly(&one));
        expunged.await.expect("ok");
    }
    let reaped = room.store.reap(ALICE, Duration::ZERO).await;
    assert_eq!(reaped.expect("reaped").emails, 2);
    append(&room, &alice, 3, &[2], "a").await;
    assert_eq!(asked(&alice).await, [1, 1, 1]);
    room.check(ALICE).await;
    // What goes before it joined leaves a hole; a copy that is an email of its own is in the same thread.
    append(&room, &alice, 4, &[], "b").await;
    let last = UidSet::one(Uid(4));
    let expunged = alice.expunge(inbox(&alice), Expunging::Exactly(&last));
    expunged.await.expect("ok");
    room.store
        .reap(ALICE, Duration::ZERO)
        .await
        .expect("reaped");
    let third = UidSet::one(Uid(3));
    alice
        .copy(inbox(&alice), inbox(&alice), &third)
        .await
        .expect("ok");
    assert_eq!(asked(&alice).await, [1, 1, 1, 4, 1]);
    room.check(ALICE).await;
    room.store.drop_account(ALICE).await.expect("dropped");
    assert_eq!(stored(&room), 0);
    assert!(room.store.fsck(BOB).await.expect("read").is_empty());
}

/// More than one commit takes, asked for by several at once, with mail that comes meanwhile.
#[tokio::test]
async fn many_join_in_portions() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    let archive = mailbox(&alice, "Archive");
    let count: u64 = 2500;
    for n in 1..=count {
        // Each answers the one seven before it.
        let to = n.checked_sub(7).filter(|to| *to > 0).unwrap_or(10_000 + n);
        let text = format!("Message-ID: <{n}@x>\r\nIn-Reply-To: <{to}@x>\r\nSubject: s\r\n\r\nx");
        room.append_indexed(&alice, archive, &text).await;
    }
    let right: Vec<u64> = (0..count).map(|at| at % 7 + 1).collect();
    let more = async {
        for n in count + 1..count + 20 {
            let text = format!("Message-ID: <{n}@x>\r\nSubject: s\r\n\r\nx");
            room.append_indexed(&alice, archive, &text).await;
        }
    };
    let (first, second, ()) = tokio::join!(alice.threads(), alice.threads(), more);
    for threads in [first.expect("read"), second.expect("read")] {
        assert_eq!(&firsts(&threads)[..right.len()], right);
    }
    let all = asked(&alice).await;
    assert_eq!(all.len() as u64, count + 19);
    assert_eq!(all.last(), Some(&(count + 19)));
    assert!(room.store.cached_bytes() > 2000 * 48, "they are weighed");
    room.check(ALICE).await;
}

/// Two processes over one store.
#[tokio::test]
async fn who_is_faster_decides() {
    let room = Room::new().await;
    let other = room.reopened();
    let alice = room.account(ALICE).await;
    for n in 1..=40 {
        append(&room, &alice, n, &[n / 2], "s").await;
    }
    let also_alice = other.account(ALICE).await;
    let (one, two) = tokio::join!(alice.threads(), also_alice.threads());
    let (one, two) = (one.expect("read"), two.expect("read"));
    assert_eq!(firsts(&one), firsts(&two));
    assert!(firsts(&one).iter().all(|first| *first == 1));
    room.check(ALICE).await;
}

#[tokio::test]
async fn damage_is_told_and_found_anew_behind_a_repair() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    append(&room, &alice, 1, &[], "s").await;
    append(&room, &alice, 2, &[1], "s").await;
    assert_eq!(asked(&alice).await, [1, 1]);
    drop(alice);
    // A whole record in the place of another.
    let (start, end) = keys::threads(ALICE);
    let snapshot = room.engine.snapshot(room.store.shard(ALICE));
    let pairs = snapshot.scan(&start, &end, Order::Ascending, usize::MAX);
    let pairs = pairs.expect("read");
    let (head, page) = (&pairs[0], pairs.last().expect("there"));
    let mut damage = Batch::new();
    damage.put(page.0.clone(), head.1.value.clone());
    room.engine.submit(damage).expect("room").done().await;
    let again = room.reopened();
    let alice = again.account(ALICE).await;
    let error = alice.threads().await.expect_err("damaged");
    assert!(error.to_string().contains("threads"), "{error}");
    let findings = again.store.fsck(ALICE).await.expect("read");
    assert_eq!(findings.len(), 1, "{findings:?}");
    drop(alice);
    let limits = QuotaLimits::default();
    let kept = Arc::new(Kept::default());
    let repaired = again.store.repair(ALICE, limits, kept).await;
    assert_eq!(repaired.expect("mended").len(), 1);
    assert_eq!(stored(&room), 0);
    let alice = again.account(ALICE).await;
    assert_eq!(asked(&alice).await, [1, 1]);
    again.check(ALICE).await;
}

/// What emails leave that are gone for good does not pile up; a thread that lives is still found by them.
#[tokio::test]
async fn what_nobody_can_ask_for_goes() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    append(&room, &alice, 1, &[], "s").await;
    append(&room, &alice, 2, &[1], "s").await;
    append(&room, &alice, 3, &[], "s").await;
    let mut id = 10_000;
    for round in 0..3 {
        for n in 0..600 {
            // Pairs, and each names one that never comes.
            let to = if n % 2 == 0 { id + 5_000 } else { id - 1 };
            append(&room, &alice, id, &[to], "t").await;
            id += 1;
        }
        alice.threads().await.expect("they join");
        // The second of the oldest goes too.
        let mut gone = UidSet::all();
        gone = match alice.view().mailbox(inbox(&alice)) {
            Some(mailbox) => {
                let uids = mailbox.entries().iter().map(|entry| entry.uid);
                uids.filter(|uid| uid.0 > 3 || uid.0 == 2).collect()
            }
            None => gone,
        };
        let expunged = alice.expunge(inbox(&alice), Expunging::Exactly(&gone));
        expunged.await.expect("ok");
        room.store
            .reap(ALICE, Duration::ZERO)
            .await
            .expect("reaped");
        room.check(ALICE).await;
        // Head; keys of 1, 2 and 3; else what one round leaves at most.
        let most = if round == 0 {
            4 + 600 + 300 + 3
        } else {
            4 + 1200 + 600 + 6
        };
        assert!(stored(&room) <= most, "{round}: {}", stored(&room));
    }
    // The third round threw away what the second and it left.
    assert!(stored(&room) < 1000, "{}", stored(&room));
    append(&room, &alice, 4, &[2], "s").await;
    let threads = alice.threads().await.expect("read");
    let last = EmailId(alice.view().next_email().0 - 1);
    assert_eq!(threads.of(last), EmailId(1));
    room.check(ALICE).await;
}
