//! Limits of accounts, and the marks that owners are told of.

use super::rooms::{ALICE, BOB, Room, inbox};
use crate::{
    Account, OverQuota, QuotaCrossing, QuotaLimits, QuotaMark, QuotaOwner, QuotaUnit, StoreError,
};
use envelope::AccountId;
use mailbox_model::stage::Expunging;
use mailbox_model::{Uid, UidSet, Usage};
use std::sync::Arc;

pub(super) fn emails(limit: u64) -> QuotaLimits {
    QuotaLimits {
        bytes: None,
        emails: Some(limit),
    }
}

async fn notice(room: &Room, account: &Arc<Account>, mark: QuotaMark) -> bool {
    let (blob, email) = room.message(account.id(), b"you are nearly full");
    let done = account.deliver_quota_notice(mark, blob, &email).await;
    done.expect("room")
}

#[tokio::test]
async fn each_crossing_is_told_once_and_again_after_falling_below() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    alice.set_quota_limits(emails(20)).await.expect("ok");
    for _ in 0..15 {
        room.append(&alice, inbox(&alice), b"x").await;
    }
    assert_eq!(alice.quota_mark_due(), None);
    room.append(&alice, inbox(&alice), b"x").await;
    assert_eq!(
        room.store.next_quota_crossing().await,
        QuotaCrossing::Account(ALICE)
    );
    assert_eq!(alice.quota_mark_due(), Some(QuotaMark::Filling));
    assert!(!notice(&room, &alice, QuotaMark::NearlyFull).await);
    assert!(notice(&room, &alice, QuotaMark::Filling).await);
    assert_eq!(alice.quota_mark_due(), None);
    assert!(!notice(&room, &alice, QuotaMark::Filling).await, "once");
    // What was told survives a restart.
    let again = room.reopened();
    assert_eq!(again.account(ALICE).await.quota_mark_due(), None);
    // Nineteen of twenty: the next mark, and its notice goes over the limit if it must.
    room.append(&alice, inbox(&alice), b"x").await;
    room.append(&alice, inbox(&alice), b"x").await;
    assert_eq!(alice.quota_mark_due(), Some(QuotaMark::NearlyFull));
    room.append(&alice, inbox(&alice), b"x").await;
    assert!(notice(&room, &alice, QuotaMark::NearlyFull).await);
    assert_eq!(alice.view().usage().emails, 21);
    // Below both marks and up again: told again.
    let most = UidSet::range(Uid(1), Uid(10));
    let which = Expunging::Exactly(&most);
    alice.expunge(inbox(&alice), which).await.expect("ok");
    assert_eq!(alice.quota_mark_due(), None);
    for _ in 0..5 {
        room.append(&alice, inbox(&alice), b"x").await;
    }
    assert_eq!(alice.quota_mark_due(), Some(QuotaMark::Filling));
    room.check(ALICE).await;
}

#[tokio::test]
async fn a_notice_that_a_crash_forgot_is_due_after_it() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    alice.set_quota_limits(emails(1)).await.expect("ok");
    room.append(&alice, inbox(&alice), b"x").await;
    let again = room.reopened();
    let alice = again.account(ALICE).await;
    assert_eq!(
        again.store.next_quota_crossing().await,
        QuotaCrossing::Account(ALICE)
    );
    assert!(notice(&again, &alice, QuotaMark::NearlyFull).await);
    again.check(ALICE).await;
}

#[tokio::test]
async fn the_quota_is_read_without_opening_the_account() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    alice.set_quota_limits(emails(7)).await.expect("ok");
    room.append(&alice, inbox(&alice), b"x").await;
    let (limits, used) = room.reopened().store.quota(ALICE).await.expect("there");
    assert_eq!((limits, used), (emails(7), alice.view().usage()));
    let nobody = room.store.quota(AccountId(77)).await;
    assert!(matches!(nobody, Err(StoreError::NoAccount(_))));
}

#[tokio::test]
async fn a_refusal_says_which_limit_it_was() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    let limits = QuotaLimits {
        bytes: Some(100),
        emails: Some(1),
    };
    alice.set_quota_limits(limits).await.expect("ok");
    let over = |unit| OverQuota {
        owner: QuotaOwner::Account,
        unit,
    };
    let (blob, email) = room.message(ALICE, &[b'x'; 101]);
    let refused = alice.append(inbox(&alice), vec![blob], &[email]).await;
    assert!(
        matches!(&refused, Err(StoreError::OverQuota(o)) if *o == over(QuotaUnit::Bytes)),
        "{refused:?}"
    );
    room.append(&alice, inbox(&alice), b"x").await;
    let more = Usage {
        bytes: 1,
        emails: 1,
    };
    let refused = alice.check_room(more).expect_err("one is there");
    assert_eq!(refused, over(QuotaUnit::Messages));
    assert_eq!(
        refused.to_string(),
        "the account would be over its quota of messages"
    );
    assert_eq!(room.account(BOB).await.check_room(more), Ok(()));
}
