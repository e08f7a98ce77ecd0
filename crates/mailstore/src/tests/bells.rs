//! Who is rung for.

use super::rooms::{ALICE, BOB, Room, inbox, mailbox, name};
use crate::{Account, AclName, Rights, Who};
use mailbox_model::{MailboxId, ModSeq};
use std::sync::Arc;
use tokio::sync::watch;

async fn make(account: &Arc<Account>, text: &str) -> MailboxId {
    account
        .create_mailbox(&name(text), None)
        .await
        .expect("made");
    mailbox(account, text)
}

fn rang(bell: &mut watch::Receiver<ModSeq>) -> bool {
    let rang = bell.has_changed().expect("the account lives");
    bell.mark_unchanged();
    rang
}

#[tokio::test]
async fn a_change_rings_for_its_mailbox_and_names_for_names() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    let (here, there) = (inbox(&alice), make(&alice, "there").await);
    let mut bells = [
        alice.watch_mailbox(here),
        alice.watch_mailbox(there),
        alice.watch_names(),
    ];
    let mut rung = || bells.each_mut().map(rang);
    room.append(&alice, here, b"x").await;
    assert_eq!(rung(), [true, false, false]);
    room.append(&alice, there, b"x").await;
    assert_eq!(rung(), [false, true, false]);
    make(&alice, "third").await;
    assert_eq!(rung(), [false, false, true]);
    let rights = |acl: &mut crate::Acl| {
        let who = Who::Account(BOB);
        let name = AclName {
            who,
            negative: false,
        };
        acl.set(name, Rights::READ);
    };
    alice
        .change_acl(there, rights)
        .await
        .expect("kept")
        .expect("few");
    assert_eq!(rung(), [false, true, false]);
    alice.reset_access_keys(Some(here)).await.expect("kept");
    assert_eq!(rung(), [true, false, false]);
    alice.reset_access_keys(None).await.expect("kept");
    assert_eq!(rung(), [true, true, false]);
    alice
        .rename_mailbox(&name("there"), &name("away"))
        .await
        .expect("renamed");
    assert_eq!(rung(), [false, true, true]);
    alice.delete_mailbox(&name("away")).await.expect("deleted");
    assert_eq!(rung(), [false, true, true]);
    // Another process's commit shows as one too.
    let elsewhere = room.reopened();
    room.append(&elsewhere.account(ALICE).await, here, b"y")
        .await;
    room.append(&alice, here, b"z").await;
    assert!(rung()[0]);
}

#[tokio::test]
async fn bells_that_nobody_hears_are_taken_down() {
    let room = Room::new().await;
    let bob = room.account(BOB).await;
    let kept = bob.watch_mailbox(inbox(&bob));
    for n in 100..5_000 {
        drop(bob.watch_mailbox(MailboxId(n)));
        assert!(bob.bells_hung() <= 17);
    }
    drop(kept);
    room.append(&bob, inbox(&bob), b"x").await;
    let heard = bob.watch_mailbox(inbox(&bob));
    room.append(&bob, inbox(&bob), b"x").await;
    assert!(heard.has_changed().expect("the account lives"));
}
