//! Pages of lists: made by the first who lists, right as long as they are there,
//! gone with the first of their emails.

use super::rooms::{ALICE, BOB, Room, inbox};
use crate::limits::LIST_EMAILS;
use crate::lists::{self, ListKind, Listing, SortKeys};
use crate::{Account, keys};
use engine::{Batch, Engine as _, Order};
use mailbox_model::stage::Expunging;
use mailbox_model::{EmailId, Uid, UidSet};
use mime::StoredDigest;
use std::sync::Arc;
use std::time::Duration;

/// Emails 1 to `count`.
async fn filled(room: &Room, count: u64) -> Arc<Account> {
    let alice = room.account(ALICE).await;
    for n in 1..=count {
        let text = format!("Subject: message {n}\r\n\r\nbody {n}");
        room.append_indexed(&alice, inbox(&alice), &text).await;
    }
    alice
}

fn ids(range: std::ops::RangeInclusive<u64>) -> Vec<EmailId> {
    range.map(EmailId).collect()
}

/// The pages that are stored of what lists show.
fn pages(room: &Room) -> Vec<u64> {
    pages_of(room, ListKind::Listings)
}

fn pages_of(room: &Room, kind: ListKind) -> Vec<u64> {
    let (start, end) = keys::lists(ALICE, kind);
    let snapshot = room.engine.snapshot(room.store.shard(ALICE));
    let pairs = snapshot.scan(&start, &end, Order::Ascending, usize::MAX);
    let pairs = pairs.expect("read").into_iter();
    pairs
        .filter_map(|(key, _)| keys::page_of_list(&key))
        .collect()
}

/// Lists, and compares with the records.
async fn list(room: &Room, alice: &Arc<Account>, ids: &[EmailId]) -> Vec<Listing> {
    let listed = alice.listings(ids).await;
    let records = alice.email_records(ids).await;
    for (listed, record) in listed.iter().zip(&records) {
        let right = record.clone().map(|record| {
            let digest = StoredDigest::read(&record.digest).expect("it has a digest");
            Listing {
                received_at: record.received_at,
                envelope: record.digest.slice_ref(digest.envelope),
            }
        });
        assert_eq!(*listed, right);
    }
    room.engine.submit(Batch::new()).expect("room").done().await;
    listed.into_iter().flatten().collect()
}

#[tokio::test]
async fn who_lists_first_makes_the_pages() {
    let room = Room::new().await;
    let alice = filled(&room, 3 * LIST_EMAILS + 20).await;
    // A few, and those that are far apart, are worth none.
    for some in [ids(70..=71), vec![EmailId(70), EmailId(180), EmailId(10)]] {
        list(&room, &alice, &some).await;
        assert_eq!(pages(&room), Vec::<u64>::new());
    }
    list(&room, &alice, &ids(LIST_EMAILS + 9..=LIST_EMAILS + 30)).await;
    assert_eq!(pages(&room), [1]);
    let all = ids(1..=3 * LIST_EMAILS + 19);
    let first = list(&room, &alice, &all).await;
    assert_eq!(pages(&room), [0, 1, 2, 3]);
    assert_eq!(list(&room, &alice, &all).await, first);
    room.check(ALICE).await;

    // They are what is read: no record of their emails is looked at any more.
    let mut damage = Batch::new();
    for id in all.iter().copied() {
        damage.put(keys::email(ALICE, id), &b"\x01rubbish"[..]);
    }
    room.engine.submit(damage).expect("room").done().await;
    let listed: Vec<_> = alice.listings(&all).await.into_iter().flatten().collect();
    assert_eq!(listed, first);
}

/// A page is made again for sixteen more, and not for each.
#[tokio::test]
async fn a_page_grows_with_what_has_come() {
    let room = Room::new().await;
    let alice = filled(&room, 20).await;
    let known = || {
        let record = room.engine.snapshot(room.store.shard(ALICE));
        let record = record.get(&keys::list(ALICE, ListKind::Listings, 0));
        let record = record.expect("read").expect("there").value;
        let mut known = 0;
        lists::decode::<Listing>(0, &record, |_, _, _| known += 1).expect("whole");
        known
    };
    for (more, in_page) in [(0, 20), (15, 20), (1, 36), (15, 36), (4, 55)] {
        for _ in 0..more {
            let text = "Subject: one more\r\n\r\nbody";
            room.append_indexed(&alice, inbox(&alice), text).await;
        }
        let last = alice.view().next_email().0 - 1;
        list(&room, &alice, &ids(1..=last)).await;
        assert_eq!(known(), in_page);
        room.check(ALICE).await;
    }
}

#[tokio::test]
async fn a_page_goes_with_the_first_of_its_emails() {
    let room = Room::new().await;
    let alice = filled(&room, 3 * LIST_EMAILS).await;
    let all = ids(1..=3 * LIST_EMAILS - 1);
    list(&room, &alice, &all).await;
    assert_eq!(pages(&room), [0, 1, 2]);
    let uid = u32::try_from(LIST_EMAILS + 5).expect("small");
    let gone = UidSet::one(Uid(uid));
    let expunged = alice.expunge(inbox(&alice), Expunging::Exactly(&gone));
    expunged.await.expect("ok");
    room.check(ALICE).await;
    assert_eq!(
        pages(&room),
        [0, 1, 2],
        "its record is kept for the retention"
    );
    let reaped = room.store.reap(ALICE, Duration::ZERO).await;
    assert_eq!(reaped.expect("reaped").emails, 1);
    assert_eq!(pages(&room), [0, 2]);
    room.check(ALICE).await;
    let left = list(&room, &alice, &all).await;
    assert_eq!(left.len(), all.len() - 1);
    assert_eq!(pages(&room), [0, 1, 2], "made again without it");
    room.check(ALICE).await;
    room.store.drop_account(ALICE).await.expect("dropped");
    assert_eq!(pages(&room), Vec::<u64>::new());
    assert!(room.store.fsck(BOB).await.expect("read").is_empty());
}

/// Both kinds are made by those who ask for them, and go together.
#[tokio::test]
async fn what_messages_are_sorted_by_has_pages_too() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    // More than a record keeps of a header's fields.
    let long = format!("\r\n <{}@x>", "y".repeat(200)).repeat(400);
    for n in 1..2 * LIST_EMAILS {
        let behind = if n == 7 { &*long } else { "" };
        let text = format!(
            "Message-ID: <{n}@x>\r\nSubject: Re: message {n}\r\n\
             Date: Thu, 1 Jan 1970 00:00:01 +0000\r\n\
             References: <a@x> <{}@x>{behind}\r\n\r\nx",
            n - 1
        );
        room.append_indexed(&alice, inbox(&alice), &text).await;
    }
    let all = ids(1..=2 * LIST_EMAILS - 1);
    let asked = all.clone();
    let read = || async {
        let asked = asked.clone();
        let keys = alice.reading(move |reader| {
            let mut all = Vec::new();
            reader.visit_listed::<SortKeys<'_>>(&asked, |at, keys| {
                let keys = keys.expect("read");
                assert_eq!((keys.sent_s, keys.is_reply), (1, true));
                assert_eq!(keys.subject, format!("MESSAGE {}", at + 1).as_bytes());
                assert_eq!(keys.refers_to_more, at == 6);
                let references = match keys.refers_to_more {
                    true => reader.references(asked[at]).expect("read"),
                    false => keys.references().to_vec(),
                };
                all.push((at, keys.id(), references));
            });
            all.sort_unstable();
            all
        });
        let keys = keys.await;
        room.engine.submit(Batch::new()).expect("room").done().await;
        keys
    };
    let keys = read().await;
    assert_eq!(keys.len(), all.len());
    for pair in keys.windows(2) {
        let [(_, before, known), (_, _, references)] = pair else {
            unreachable!()
        };
        assert_eq!(references[0], known[0]);
        // Of very many the first and the last ones count.
        match references.len() {
            2 => assert_eq!(Some(references[1]), *before),
            many => assert_eq!(many, 100),
        }
    }
    assert_eq!(pages_of(&room, ListKind::SortKeys), [0, 1]);
    assert_eq!(pages(&room), Vec::<u64>::new());
    assert_eq!(read().await, keys);
    room.check(ALICE).await;
    list(&room, &alice, &all).await;
    assert_eq!(pages(&room), [0, 1]);
    let one = UidSet::one(Uid(5));
    let expunged = alice.expunge(inbox(&alice), Expunging::Exactly(&one));
    expunged.await.expect("ok");
    room.store
        .reap(ALICE, Duration::ZERO)
        .await
        .expect("reaped");
    assert_eq!(
        (pages(&room), pages_of(&room, ListKind::SortKeys)),
        (vec![1], vec![1])
    );
    room.check(ALICE).await;
}

/// Whoever lists reads records, and they go before the page is written.
#[tokio::test]
async fn a_page_of_records_that_are_no_more_is_not_written() {
    let room = Room::new().await;
    let alice = filled(&room, LIST_EMAILS).await;
    let mut late = Batch::new();
    let shard = room.store.shard(ALICE);
    let key = keys::email(ALICE, EmailId(5));
    let version = room.engine.snapshot(shard).get(&key).expect("read");
    let version = version.expect("there").version;
    late.expect(key.clone(), engine::Expect::Version(version));
    let mut change = Batch::new();
    change.delete(key);
    room.engine.submit(change).expect("room").done().await;
    late.put(keys::list(ALICE, ListKind::Listings, 0), &b"late"[..]);
    assert!(room.engine.submit(late).is_err());
    // And with all of it as it happens: the reaper beside those who list.
    let listing = async {
        for _ in 0..20 {
            alice.listings(&ids(1..=LIST_EMAILS - 1)).await;
        }
    };
    let reaping = async {
        for uid in 10..30 {
            let one = UidSet::one(Uid(uid));
            let expunged = alice.expunge(inbox(&alice), Expunging::Exactly(&one));
            expunged.await.expect("ok");
            let reaped = room.store.reap(ALICE, Duration::ZERO).await;
            reaped.expect("reaped");
        }
    };
    tokio::join!(listing, reaping);
    let findings = room.store.fsck(ALICE).await.expect("read");
    assert!(
        findings
            .iter()
            .all(|finding| !finding.to_string().contains("lists")),
        "{findings:?}"
    );
}

/// Whoever reads a page that is damaged makes it again, whatever of it could be read.
#[tokio::test]
async fn a_damaged_page_is_made_again() {
    let room = Room::new().await;
    let alice = filled(&room, 40).await;
    let all = ids(1..=40);
    let whole = list(&room, &alice, &all).await;
    let key = keys::list(ALICE, ListKind::Listings, 0);
    let stored = || {
        let record = room.engine.snapshot(room.store.shard(ALICE)).get(&key);
        record.expect("read").expect("there").value
    };
    let page = stored();
    let mut damage = Batch::new();
    damage.put(key.clone(), page.slice(..page.len() - 1));
    room.engine.submit(damage).expect("room").done().await;
    assert_eq!(list(&room, &alice, &all).await, whole);
    assert_eq!(stored(), page);
}
