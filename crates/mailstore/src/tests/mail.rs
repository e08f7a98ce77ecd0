//! What a face does with an account.

use super::rooms::{ALICE, BOB, Room, inbox, mailbox, name};
use crate::{Options, QuotaLimits, QuotaRule, RecordError, StoreError, keys};
use engine::{Batch, Engine, Order};
use envelope::AccountId;
use mailbox_model::stage::{Expunging, FlagAction, StageError};
use mailbox_model::{EmailId, Flag, Role, Uid, UidSet};

#[tokio::test]
async fn an_account_begins_with_its_mailboxes() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    let view = alice.view();
    let names: Vec<_> = view.mailboxes().map(|m| m.name().to_string()).collect();
    assert_eq!(
        names,
        ["Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"]
    );
    assert!(view.mailboxes().all(|m| view.is_subscribed(m.name())));
    assert_eq!(view.role(Role::Junk).expect("there").name(), &name("Junk"));
    assert!(view.inbox().expect("there").uid_validity().0 > 1_700_000_000);
    let nobody = room.store.account(AccountId(77)).await;
    assert!(matches!(nobody, Err(StoreError::NoAccount(AccountId(77)))));
    let mut again = Batch::new();
    room.store
        .create_account(&mut again, ALICE, QuotaLimits::default())
        .expect("staged");
    assert!(room.engine.submit(again).is_err(), "the account exists");
    room.check(ALICE).await;
}

#[tokio::test]
async fn what_is_appended_is_read_back_byte_for_byte() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    let mut latest = alice.subscribe();
    let text: Vec<u8> = (0..600_000u32).map(|n| (n * 7 % 251) as u8).collect();
    room.append(&alice, inbox(&alice), &text).await;
    assert_eq!(*latest.borrow_and_update(), alice.view().modseq());
    let view = alice.view();
    let entry = view.inbox().expect("there").at(0).expect("one").clone();
    let record = alice.email_record(entry.email).await.expect("there");
    let whole = [b"Delivered-To: me\r\n", &text[..]].concat();
    assert_eq!(
        (entry.size(), record.size()),
        (whole.len() as u64, whole.len() as u64)
    );
    for (from, to) in [
        (0, 5),
        (5, 40),
        (18, 19),
        (17, 300_000),
        (0, u64::MAX),
        (599_999, 700_000),
    ] {
        let read = alice.read_message(&record, from..to).await.expect("there");
        let end = (to as usize).min(whole.len());
        assert_eq!(read, &whole[from as usize..end], "{from}..{to}");
        let mut reader = alice.open_message(&record, from..to);
        let mut pieces = Vec::new();
        while let Some(piece) = reader.next_piece().await.expect("there") {
            assert!(piece.len() <= 256 << 10);
            pieces.extend_from_slice(&piece);
        }
        assert_eq!(pieces, read);
    }
    let none = alice
        .read_message(&record, whole.len() as u64..u64::MAX)
        .await
        .expect("there");
    assert!(none.is_empty());
}

#[tokio::test]
async fn a_days_work_leaves_sound_records() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    let (inbox, archive) = (inbox(&alice), mailbox(&alice, "Archive"));
    for at in 0..10 {
        room.append(&alice, inbox, format!("Subject: {at}\r\n\r\n").as_bytes())
            .await;
    }
    let all = UidSet::all();
    let odd: UidSet = [1, 3, 5].into_iter().map(Uid).collect();
    let flags = [Flag::Seen, Flag::Keyword("$Work".into())];
    let stored = alice
        .store_flags(inbox, &odd, FlagAction::Add, &flags, None)
        .await
        .expect("ok");
    assert_eq!(stored.modseq, Some(alice.view().modseq()));
    let copied = alice.copy(inbox, archive, &odd).await.expect("ok");
    assert_eq!(
        copied.uids,
        [(Uid(1), Uid(1)), (Uid(3), Uid(2)), (Uid(5), Uid(3))]
    );
    // The same again: emails of their own on the same blobs.
    alice.copy(inbox, archive, &odd).await.expect("ok");
    alice
        .move_(
            inbox,
            mailbox(&alice, "Trash"),
            &UidSet::range(Uid(6), Uid(7)),
        )
        .await
        .expect("ok");
    alice
        .move_(inbox, inbox, &UidSet::one(Uid(8)))
        .await
        .expect("ok");
    alice
        .create_mailbox(&name("a/b/c"), None)
        .await
        .expect("ok");
    alice
        .rename_mailbox(&name("a"), &name("x/y"))
        .await
        .expect("ok");
    alice
        .rename_mailbox(&name("INBOX"), &name("Old"))
        .await
        .expect("ok");
    assert!(alice.view().inbox().expect("there").entries().is_empty());
    let old = mailbox(&alice, "Old");
    assert_eq!(
        alice
            .view()
            .mailbox(old)
            .expect("there")
            .counters()
            .messages,
        8
    );
    alice
        .store_flags(old, &all, FlagAction::Add, &[Flag::Deleted], None)
        .await
        .expect("ok");
    let gone = alice
        .expunge(old, Expunging::DeletedAmong(&UidSet::range(Uid(1), Uid(2))))
        .await;
    assert_eq!(gone.expect("ok"), [Uid(1), Uid(2)]);
    room.check(ALICE).await;
    alice.delete_mailbox(&name("Old")).await.expect("ok");
    alice.subscribe_mailbox(&name("nowhere")).await.expect("ok");
    alice.unsubscribe_mailbox(&name("Junk")).await.expect("ok");
    alice
        .set_quota_limits(QuotaLimits {
            bytes: Some(7),
            emails: None,
        })
        .await
        .expect("ok");
    assert_eq!(
        room.reopened().account(ALICE).await.quota_limits().bytes,
        Some(7)
    );
    room.check(ALICE).await;
    alice.checkpoint().await.expect("ok");
    room.check(ALICE).await;
}

#[tokio::test]
async fn record_and_link_stay_while_there_is_a_copy_and_for_the_retention() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    let (inbox, archive) = (inbox(&alice), mailbox(&alice, "Archive"));
    let (blob, email) = room.message(ALICE, b"the only one");
    let id = blob.id;
    alice.append(inbox, vec![blob], &[email]).await.expect("ok");
    alice
        .copy(inbox, archive, &UidSet::all())
        .await
        .expect("ok");
    alice
        .expunge(inbox, Expunging::Exactly(&UidSet::all()))
        .await
        .expect("ok");
    assert_eq!(
        room.blobs.owners(alice.shard(), id, 9).expect("read").len(),
        1
    );
    alice
        .expunge(archive, Expunging::Exactly(&UidSet::all()))
        .await
        .expect("ok");
    assert_eq!(alice.view().usage().emails, 0, "it no longer counts");
    assert_eq!(
        room.blobs.owners(alice.shard(), id, 9).expect("read").len(),
        1
    );
    let record = alice.email_record(EmailId(1)).await.expect("kept");
    assert_eq!(record.blob, id);
    room.check(ALICE).await;
}

#[tokio::test]
async fn quota_holds_off_arrivals_and_nothing_else() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    let inbox = inbox(&alice);
    let limits = QuotaLimits {
        bytes: None,
        emails: Some(1),
    };
    alice.set_quota_limits(limits).await.expect("ok");
    room.append(&alice, inbox, b"one").await;
    let (blob, email) = room.message(ALICE, b"two");
    let refused = alice
        .append(inbox, vec![blob.clone()], std::slice::from_ref(&email))
        .await;
    assert!(matches!(refused, Err(StoreError::OverQuota(_))));
    alice
        .copy(inbox, mailbox(&alice, "Trash"), &UidSet::all())
        .await
        .expect("never for quota");
    alice
        .copy(inbox, inbox, &UidSet::all())
        .await
        .expect("never for quota");
    let mut batch = Batch::new();
    let mut blob = blob;
    room.blobs.stage(&mut batch, &mut blob).expect("room");
    let mut lane = alice.lane().await.expect("free");
    lane.stage_deliver(&mut batch, inbox, &[email], QuotaRule::Ignore)
        .expect("a role address");
    lane.submit(batch).expect("room").done().await;
    assert_eq!(alice.view().usage().emails, 3);
    room.check(ALICE).await;
}

#[tokio::test]
async fn one_bad_record_is_an_error_for_that_one_only() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    for at in 0..5 {
        room.append(&alice, inbox(&alice), format!("{at}").as_bytes())
            .await;
    }
    let mut damage = Batch::new();
    damage.put(keys::email(ALICE, EmailId(2)), &b"\x01rubbish"[..]);
    damage.delete(keys::email(ALICE, EmailId(4)));
    room.engine.submit(damage).expect("room").done().await;
    let dense: Vec<_> = (1..=5).map(EmailId).collect();
    let sparse = [5, 1, 4, 2].map(EmailId);
    for ids in [
        &dense[..],
        &sparse[..],
        &[EmailId(1), EmailId(5000), EmailId(2)],
    ] {
        let records = alice.email_records(ids).await;
        for (id, record) in ids.iter().zip(records) {
            match id.0 {
                2 => assert!(matches!(record, Err(RecordError::Damaged(EmailId(2), _)))),
                4 | 5000 => assert_eq!(record, Err(RecordError::Missing(*id))),
                _ => assert_eq!(record.expect("sound").blob_size, 1),
            }
        }
    }
    let findings = room.store.fsck(ALICE).await.expect("read");
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(
        findings[0]
            .to_string()
            .starts_with("email 2: the record is damaged")
    );
    assert!(
        findings[1]
            .to_string()
            .ends_with("UID 4: email 4 has no record")
    );
    // The bad ones can be expunged like the others.
    let gone = alice
        .expunge(inbox(&alice), Expunging::Exactly(&UidSet::all()))
        .await;
    assert_eq!(gone.expect("ok").len(), 5);
}

#[tokio::test]
async fn refusals_change_nothing() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    let before = alice.view();
    let deleted = alice.delete_mailbox(&name("INBOX")).await;
    assert!(matches!(deleted, Err(StoreError::Stage(StageError::Inbox))));
    let created = alice.create_mailbox(&name("Junk"), None).await;
    assert!(matches!(
        created,
        Err(StoreError::Stage(StageError::NameTaken))
    ));
    alice
        .copy(inbox(&alice), inbox(&alice), &UidSet::all())
        .await
        .expect("nothing to copy");
    assert_eq!(alice.view(), before);
}

#[tokio::test]
async fn a_dropped_account_leaves_nothing() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    let (blob, email) = room.message(ALICE, b"text");
    let id = blob.id;
    alice
        .append(inbox(&alice), vec![blob], &[email])
        .await
        .expect("ok");
    alice.checkpoint().await.expect("ok");
    let bob = room.account(BOB).await;
    room.append(&bob, inbox(&bob), b"bob's").await;
    room.store.drop_account(ALICE).await.expect("ok");
    assert!(matches!(
        alice.lane().await,
        Err(StoreError::NoAccount(ALICE))
    ));
    assert!(matches!(
        room.store.account(ALICE).await,
        Err(StoreError::NoAccount(ALICE))
    ));
    let (start, end) = keys::all(ALICE);
    let snapshot = room.engine.snapshot(alice.shard());
    assert_eq!(
        snapshot
            .scan(&start, &end, Order::Ascending, 9)
            .expect("read"),
        []
    );
    assert!(
        room.blobs
            .owners(alice.shard(), id, 9)
            .expect("read")
            .is_empty()
    );
    room.store.drop_account(ALICE).await.expect("again is fine");
    room.check(BOB).await;
}

/// A number below `bound` from a fixed sequence.
fn next(state: &mut u64, bound: u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % bound
}

#[tokio::test]
async fn any_work_with_restarts_leaves_sound_records() {
    for seed in 0..6u64 {
        let mut state = seed;
        let mut room = Room::with(Options {
            entries_per_checkpoint: 7,
            ..Options::default()
        })
        .await;
        for step in 0..120 {
            let alice = room.account(ALICE).await;
            let view = alice.view();
            let all: Vec<_> = view.mailboxes().collect();
            let from = all[next(&mut state, all.len() as u64) as usize];
            let to = all[next(&mut state, all.len() as u64) as usize].id();
            let first = next(&mut state, u64::from(from.uid_next().0)) as u32;
            let uids = UidSet::range(Uid(first), Uid(first + 3));
            match next(&mut state, 14) {
                0..=3 => drop(
                    room.append(&alice, to, format!("{}", step % 9).as_bytes())
                        .await,
                ),
                4 => drop(alice.copy(from.id(), to, &uids).await.expect("ok")),
                5 => drop(alice.move_(from.id(), to, &uids).await.expect("ok")),
                6 => drop(
                    alice
                        .expunge(from.id(), Expunging::Exactly(&uids))
                        .await
                        .expect("ok"),
                ),
                7 => {
                    let word = Flag::Keyword(format!("k{}", step % 20).into());
                    let flags = [word, Flag::Seen];
                    let action = FlagAction::Replace;
                    alice
                        .store_flags(to, &uids, action, &flags, None)
                        .await
                        .expect("ok");
                }
                8 => drop(
                    alice
                        .create_mailbox(&name(&format!("n{}/x", step % 4)), None)
                        .await,
                ),
                9 => drop(alice.delete_mailbox(from.name()).await),
                10 => {
                    let target = name(&format!("r{}", step % 5));
                    drop(alice.rename_mailbox(from.name(), &target).await);
                }
                11 => {
                    room.days_pass(next(&mut state, 20));
                    let retention = std::time::Duration::from_secs(86_400 * 15);
                    room.store.reap(ALICE, retention).await.expect("ok");
                }
                _ => {
                    let live = alice.view();
                    drop(alice);
                    room = room.reopened();
                    assert_eq!(room.account(ALICE).await.view(), live);
                }
            }
        }
        room.store.shared.tasks.wait().await;
        room.check(ALICE).await;
    }
}

/// RFC 4467 §7: sessions are told of keys that were made anew, whatever the record was and
/// in whatever order it is known.
#[tokio::test]
async fn a_key_that_is_made_anew_is_another_number_for_its_mailbox_alone() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    let (inbox, drafts) = (inbox(&alice), mailbox(&alice, "Drafts"));
    let numbers = || [inbox, drafts].map(|one| alice.access_key_reset(one));
    let none = numbers();
    // There are no keys yet.
    let reset = alice.reset_access_keys(Some(inbox)).await;
    reset.expect("written");
    let first = numbers();
    assert!(first[0] != none[0] && first[1] == none[1], "{first:?}");
    // The record that the second makes knows nothing of the first.
    let mut change = Batch::new();
    change.delete(keys::access_keys(ALICE));
    room.engine.submit(change).expect("room").done().await;
    let reset = alice.reset_access_keys(Some(drafts)).await;
    reset.expect("written");
    let second = numbers();
    assert!(second[0] == first[0] && second[1] != first[1], "{second:?}");
    alice.reset_access_keys(None).await.expect("written");
    let third = numbers();
    assert!(third[0] != second[0] && third[1] != second[1], "{third:?}");
}
