//! What an account promises after history was lost.

use super::rooms::{ALICE, Room, inbox};
use crate::disaster::{RAISE, RAISE_MODSEQ};
use mailbox_model::stage::Expunging;
use mailbox_model::{Uid, UidSet};

#[tokio::test]
async fn nothing_is_given_twice_and_everything_is_told_anew() {
    let room = Room::new().await;
    let alice = room.account(ALICE).await;
    let inbox = inbox(&alice);
    for text in [&b"Subject: a\r\n\r\n"[..], b"Subject: b\r\n\r\n"] {
        room.append(&alice, inbox, text).await;
    }
    let one = UidSet::one(Uid(1));
    let gone = Expunging::Exactly(&one);
    alice.expunge(inbox, gone).await.expect("expunged");
    let before = alice.view();
    let modseq = alice.raise_after_disaster().await.expect("raised");
    assert_eq!(modseq.0, before.modseq().0 + RAISE_MODSEQ);
    let view = alice.view();
    assert_eq!(view.modseq(), modseq);
    let (old, new) = (before.mailbox(inbox), view.mailbox(inbox));
    let (old, new) = (old.expect("there"), new.expect("there"));
    assert_eq!(new.uid_validity(), old.uid_validity());
    assert_eq!(new.uid_next().0, old.uid_next().0 + RAISE.uids);
    // A client that saw changes which were lost afterwards.
    let lost = mailbox_model::ModSeq(before.modseq().0 + 1000);
    assert_eq!(new.vanished_since(lost), None);
    assert_eq!(new.changed_since(lost).count(), 1);
    room.append(&alice, inbox, b"Subject: c\r\n\r\n").await;
    let view = alice.view();
    let last = view.mailbox(inbox).and_then(|m| m.at(1).cloned());
    let last = last.expect("appended");
    assert_eq!(last.uid.0, 3 + RAISE.uids);
    assert_eq!(last.email.0, 3 + RAISE.emails);
    alice.checkpoint().await.expect("a checkpoint");
    room.check(ALICE).await;
}
