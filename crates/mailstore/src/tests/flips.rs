//! A bit of every byte of every record of an account is turned over, one at a
//! time: others are served, `fsck` names it, a repair leaves a sound account in
//! which all mail is shown whose own records are intact, and a second repair has
//! nothing to do.

use super::rooms::{ALICE, BOB, Room, inbox, mailbox, name};
use crate::lists::{self, ListKind, Listing, SortKeys};
use crate::{Account, Options, QuotaLimits, keys};
use blobs::BlobId;
use engine::check::{Aside, SetAside};
use engine::{Batch, Engine, Order, ShardId};
use envelope::AccountId;
use mailbox_model::stage::{Expunging, FlagAction};
use mailbox_model::{EmailId, Flag, Uid, UidSet};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

/// Keeps what is set aside in memory.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<Vec<(Vec<u8>, Vec<u8>)>>);

impl Aside for Kept {
    fn keep(&self, item: &SetAside<'_>) -> std::io::Result<()> {
        let pair = (item.key.to_vec(), item.value.to_vec());
        self.0.lock().push(pair);
        Ok(())
    }
}

/// An account with a record of each kind: base, checkpoint, log above both, keywords,
/// copies, mail that was expunged and is kept.
async fn furnished() -> Room {
    let options = Options {
        entries_per_compaction: 1,
        ..Options::default()
    };
    let room = Room::with(options).await;
    let alice = room.account(ALICE).await;
    let (inbox, archive) = (inbox(&alice), mailbox(&alice, "Archive"));
    for at in 0..3 {
        room.append(&alice, inbox, format!("one {at}").as_bytes())
            .await;
    }
    let word = [Flag::Keyword("work".into()), Flag::Seen];
    let first = UidSet::one(Uid(1));
    alice
        .store_flags(inbox, &first, FlagAction::Add, &word, None)
        .await
        .expect("ok");
    alice.copy(inbox, archive, &first).await.expect("ok");
    alice.create_mailbox(&name("x/y"), None).await.expect("ok");
    room.store
        .reap(ALICE, Duration::ZERO)
        .await
        .expect("reaped");
    for at in 0..2 {
        room.append(&alice, inbox, format!("two {at}").as_bytes())
            .await;
    }
    let listed = alice.view().next_email();
    room.append_indexed(&alice, inbox, "Subject: listed\r\n\r\nx")
        .await;
    alice
        .rename_mailbox(&name("x"), &name("z"))
        .await
        .expect("ok");
    alice.checkpoint().await.expect("ok");
    room.append(&alice, mailbox(&alice, "z/y"), b"three").await;
    let second = UidSet::one(Uid(2));
    alice.move_(inbox, archive, &second).await.expect("ok");
    alice
        .expunge(inbox, Expunging::Exactly(&UidSet::one(Uid(3))))
        .await
        .expect("ok");
    let word = [Flag::Keyword("late".into())];
    alice
        .store_flags(archive, &UidSet::all(), FlagAction::Add, &word, None)
        .await
        .expect("ok");
    list(&room, &alice, listed).await;
    let answer = "Message-ID: <2@x>\r\nIn-Reply-To: <1@x>\r\n\r\nx";
    for _ in 0..2 {
        room.append_indexed(&alice, archive, answer).await;
    }
    alice.threads().await.expect("they join");
    let bob = room.account(BOB).await;
    room.append(&bob, super::rooms::inbox(&bob), b"one 0").await;
    room.check(ALICE).await;
    room.check(BOB).await;
    room
}

/// A page that knows one email alone: the others have no digest.
async fn list(room: &Room, alice: &Account, email: EmailId) {
    let record = alice.raw_records(vec![email]).await.expect("read");
    let record = record[0].clone().expect("it is there");
    let page = lists::page_of(email);
    let mut batch = Batch::new();
    let listing = lists::of_record::<Listing>(email, &record);
    let sort_keys = lists::of_record::<SortKeys<'_>>(email, &record);
    for (kind, one) in [
        (ListKind::Listings, listing),
        (ListKind::SortKeys, sort_keys),
    ] {
        let one = one.expect("it has a digest");
        let record = lists::encode(&[(email, one)]);
        batch.put(keys::list(ALICE, kind, page), record);
    }
    room.engine.submit(batch).expect("room").done().await;
}

fn everything(room: &Room) -> Vec<(ShardId, Pairs)> {
    let of = |shard| {
        let snapshot = room.engine.snapshot(shard);
        let pairs = snapshot.scan(b"", &[0xff; 4], Order::Ascending, usize::MAX);
        let pairs = pairs.expect("read").into_iter();
        pairs
            .map(|(key, stored)| (key, stored.value.to_vec()))
            .collect()
    };
    (0..3)
        .map(ShardId)
        .map(|shard| (shard, of(shard)))
        .collect()
}

/// Takes the store back to how it was.
async fn restore(room: &Room, before: &[(ShardId, Pairs)]) {
    for ((_, now), (_, before)) in everything(room).into_iter().zip(before) {
        let mut batch = Batch::new();
        for key in now.keys().filter(|key| !before.contains_key(*key)) {
            batch.delete(key.clone());
        }
        for (key, value) in before
            .iter()
            .filter(|(key, value)| now.get(*key) != Some(value))
        {
            batch.put(key.clone(), value.clone());
        }
        if !batch.is_empty() {
            room.engine.submit(batch).expect("room").done().await;
        }
    }
}

async fn shown(account: &Arc<Account>) -> BTreeMap<BlobId, usize> {
    let view = account.view();
    let mut shown = BTreeMap::new();
    for mailbox in view.mailboxes() {
        for entry in mailbox.entries() {
            if let Ok(record) = account.email_record(entry.email).await {
                *shown.entry(record.blob).or_default() += 1;
            }
        }
    }
    shown
}

#[tokio::test]
async fn every_byte_of_an_account() {
    let room = furnished().await;
    let before = everything(&room);
    let shard = room.store.shard(ALICE);
    let (start, end) = keys::all(ALICE);
    let mine: Pairs = before[usize::from(shard.0)]
        .1
        .range(start..end)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let kinds: BTreeSet<u8> = mine.keys().map(|key| key[9]).collect();
    assert_eq!(kinds, BTreeSet::from(*b"bcehijlt"), "a record of each kind");
    let expected = shown(&room.account(ALICE).await).await;
    assert_eq!(expected.len(), 7);
    let of_bob = room.account(BOB).await.view();
    let whole = room.account(ALICE).await.view();
    let (mut flips, mut silent) = (0, BTreeMap::<u8, u32>::new());
    for (key, value) in &mine {
        for at in 0..value.len() {
            let mut flipped = value.clone();
            flipped[at] ^= 1 << (at % 8);
            let mut damage = Batch::new();
            damage.put(key.clone(), flipped);
            room.engine.submit(damage).expect("room").done().await;
            let what = format!("byte {at} of {}", key.escape_ascii());
            // That an email has other copies may be said of one that has none any more.
            let is_same = key[9] == b'c' && room.reopened().account(ALICE).await.view() == whole;
            let named = mended(&room, &expected, key, &what).await;
            assert_eq!(room.reopened().account(BOB).await.view(), of_bob, "{what}");
            flips += 1;
            if !named && !is_same {
                *silent.entry(key[9]).or_default() += 1;
            }
            restore(&room, &before).await;
        }
    }
    // What is told by nobody: dates, flags, texts of headers that are other valid ones
    // now; only the journal's and the index's checksums protect those. A head, a
    // base or a checkpoint is never silently another.
    assert!(flips > 1000, "{flips}");
    let silent_kinds: BTreeSet<u8> = silent.keys().copied().collect();
    assert!(
        silent_kinds.is_subset(&BTreeSet::from(*b"behl")),
        "{silent:?} of {flips}"
    );
    room.check(ALICE).await;
}

/// Checks, repairs and checks; true if the damage was named.
async fn mended(room: &Room, expected: &BTreeMap<BlobId, usize>, key: &[u8], what: &str) -> bool {
    let cold = room.reopened();
    let found = cold.store.fsck(ALICE).await.expect("it can be read");
    for finding in &found {
        let report = finding.report(ALICE);
        assert_eq!(report.account, Some(ALICE.0));
    }
    let kept = Arc::new(Kept::default());
    let limits = QuotaLimits::default();
    let repaired = cold.store.repair(ALICE, limits, kept.clone()).await;
    let repaired = repaired.unwrap_or_else(|error| panic!("{what}: {error}, after {found:?}"));
    assert_eq!(
        repaired.is_empty(),
        found.is_empty(),
        "{what}: {found:?} {repaired:?}"
    );
    let cold = room.reopened();
    let left = cold.store.fsck(ALICE).await.expect("it can be read");
    assert_eq!(left, [], "{what}: {found:?} {repaired:?}");
    let again = cold.store.repair(ALICE, limits, kept).await.expect("ok");
    assert_eq!(again, [], "{what}");
    let alice = cold.account(ALICE).await;
    let now = shown(&alice).await;
    let own = keys::email_of(key).filter(|_| key[9] == b'e');
    for blob in expected.keys() {
        let is_own = own.is_some() && is_blob_of(room, own, *blob).await;
        assert!(
            now.contains_key(blob) || is_own,
            "{what}: mail is lost; {found:?} {repaired:?}"
        );
    }
    // It works: mail arrives, and its numbers are new.
    // Limits are the head's alone: another value is as good as the one that was set.
    alice.set_quota_limits(limits).await.expect("ok");
    cold.append(&alice, inbox(&alice), b"afterwards").await;
    alice.checkpoint().await.expect("ok");
    assert_eq!(cold.store.fsck(ALICE).await.expect("read"), [], "{what}");
    !found.is_empty()
}

/// True unless the email is known to have another body: its record is the damaged one.
async fn is_blob_of(room: &Room, email: Option<EmailId>, blob: BlobId) -> bool {
    let owners = room
        .blobs
        .owners(room.store.shard(ALICE), blob, 10)
        .expect("read");
    let wanted = email.map(|email| blobs::Owner::Email(ALICE, email.0));
    owners.is_empty() || owners.iter().any(|owner| Some(*owner) == wanted)
}

#[tokio::test]
async fn every_record_of_an_account_may_be_missing() {
    let room = furnished().await;
    let before = everything(&room);
    let expected = shown(&room.account(ALICE).await).await;
    let (start, end) = keys::all(ALICE);
    let mine: Vec<Vec<u8>> = before[usize::from(room.store.shard(ALICE).0)]
        .1
        .range(start..end)
        .map(|(key, _)| key.clone())
        .collect();
    for key in mine {
        let mut damage = Batch::new();
        damage.delete(key.clone());
        room.engine.submit(damage).expect("room").done().await;
        let what = format!("without {}", key.escape_ascii());
        mended(&room, &expected, &key, &what).await;
        restore(&room, &before).await;
    }
    room.check(ALICE).await;
}

#[tokio::test]
async fn a_repair_that_is_cut_off_leaves_it_no_worse() {
    let room = furnished().await;
    let before = everything(&room);
    let expected = shown(&room.account(ALICE).await).await;
    let modseq = room.account(ALICE).await.view().modseq();
    // An entry above the checkpoint, so that changes are lost.
    let key = keys::log(ALICE, mailbox_model::ModSeq(modseq.0 - 3));
    for commits in 0..8 {
        let mut damage = Batch::new();
        damage.put(key.clone(), &b"\x09"[..]);
        room.engine.submit(damage).expect("room").done().await;
        room.engine
            .left
            .store(commits, std::sync::atomic::Ordering::SeqCst);
        let kept = Arc::new(Kept::default());
        let limits = QuotaLimits::default();
        let cut = room.reopened().store.repair(ALICE, limits, kept).await;
        room.engine
            .left
            .store(-1, std::sync::atomic::Ordering::SeqCst);
        mended(
            &room,
            &expected,
            &key,
            &format!("after {commits} commits: {cut:?}"),
        )
        .await;
        restore(&room, &before).await;
    }
}

#[tokio::test]
async fn an_account_that_is_gone_is_not_repaired_into_life() {
    let room = Room::new().await;
    let nobody = AccountId(99);
    assert!(!room.store.has_head(nobody).await.expect("read"));
    assert!(room.store.has_head(BOB).await.expect("read"));
}

/// What lies beside an account's state has no log that could mend it: it is set aside,
/// and begins anew with its next use.
#[tokio::test]
async fn damaged_records_beside_the_state_are_set_aside() {
    let room = furnished().await;
    let alice = room.account(ALICE).await;
    let inbox = inbox(&alice);
    let first = alice.make_access_key(inbox).await.expect("made");
    let note = [("/private/comment".to_owned(), Some("x".into()))];
    let noted = alice.annotate(Some(inbox), &note).await;
    assert_eq!(noted.expect("written"), Ok(()));
    let who = crate::AclName {
        who: crate::Who::Account(BOB),
        negative: false,
    };
    let put = crate::ScriptChange::Put {
        name: "a".into(),
        source: "keep;".into(),
    };
    let put = alice.change_scripts(&put, &sieve::Offer::default()).await;
    assert_eq!(put.expect("written"), Ok(()));
    let given = alice.change_acl(inbox, |acl| acl.set(who.clone(), crate::Rights::READ));
    assert_eq!(given.await.expect("written"), Ok(()));
    room.check(ALICE).await;
    let mut damage = Batch::new();
    for key in [
        keys::access_keys(ALICE),
        keys::annotations(ALICE),
        keys::scripts(ALICE),
        keys::acls(ALICE),
        keys::retrieved(ALICE),
        keys::seen_by(ALICE, inbox, BOB),
    ] {
        damage.put(key, &b"\x09"[..]);
    }
    room.engine.submit(damage).expect("room").done().await;
    let cold = room.reopened();
    let found = cold.store.fsck(ALICE).await.expect("it can be read");
    assert_eq!(found.len(), 6, "{found:?}");
    assert!(cold.account(ALICE).await.retrieved_until(9).await.is_err());
    let alice = cold.account(ALICE).await;
    assert!(alice.acls().await.is_err());
    assert!(alice.seen_by(inbox, BOB).await.is_err());
    assert!(alice.access_key(inbox).await.is_err());
    assert!(alice.annotations().await.is_err());
    assert!(alice.scripts().await.is_err());
    let kept = Arc::new(Kept::default());
    let limits = QuotaLimits::default();
    let repaired = cold.store.repair(ALICE, limits, kept.clone()).await;
    assert_eq!(repaired.expect("repaired").len(), 6);
    assert_eq!(kept.0.lock().len(), 6);
    room.reopened().check(ALICE).await;
    assert_eq!(alice.access_key(inbox).await.expect("read"), None);
    let second = alice.make_access_key(inbox).await.expect("made");
    assert_ne!(first, second);
    let annotations = alice.annotations().await.expect("read");
    assert_eq!(annotations.of(Some(inbox)).count(), 0);
    assert_eq!(alice.acls().await.expect("read"), crate::Acls::default());
    assert_eq!(alice.scripts().await.expect("read").names().count(), 0);
    // Nothing of an account is left when it goes.
    cold.store.drop_account(ALICE).await.expect("gone");
    let (start, _) = keys::all(ALICE);
    let left = everything(&room).into_iter().flat_map(|(_, pairs)| pairs);
    let left: Vec<Vec<u8>> = left.map(|(key, _)| key).collect();
    assert!(!left.iter().any(|key| key.starts_with(&start)), "{left:?}");
}
