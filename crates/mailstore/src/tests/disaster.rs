//! What an account promises after history was lost.

use super::rooms::{ALICE, Room, inbox, mailbox};
use crate::disaster::{RAISE, RAISE_MODSEQ};
use mailbox_model::stage::{Expunging, FlagAction};
use mailbox_model::{Flag, Uid, UidSet};
use runtime::Runtime;

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

/// What a client may rely on: no UID is given twice, and numbers of changes only grow, over
/// crashes, checkpoints and a history that was lost (THREATS 25).
#[tokio::test]
async fn threat_25_uids_and_mod_sequences_only_grow() {
    for seed in 0..12 {
        let random = Runtime::seeded(seed);
        let below = |bound: u64| random.random_u64() % bound;
        let mut room = Room::new().await;
        let mut alice = room.account(ALICE).await;
        let places = [inbox(&alice), mailbox(&alice, "Archive")];
        let (mut given, mut modseqs) = ([0; 2], [0; 2]);
        for step in 0..80 {
            let (here, there) = if below(2) == 0 { (0, 1) } else { (1, 0) };
            let view = alice.view();
            let count = |place: usize| view.mailbox(places[place]).map_or(0, |m| m.entries().len());
            let some = UidSet::one(Uid(match count(here) {
                0 => 1,
                some => {
                    let at = below(some as u64) as usize;
                    let at = view.mailbox(places[here]).and_then(|m| m.at(at).cloned());
                    at.expect("there").uid.0
                }
            }));
            let (from, to) = (places[here], places[there]);
            let new: Vec<(usize, u32)> = match below(8) {
                0..=2 => vec![(here, room.append(&alice, from, b"Subject: a\r\n\r\n").await)],
                3 => {
                    let moved = alice.move_(from, to, &some).await.expect("moved");
                    moved.uids.iter().map(|(_, uid)| (there, uid.0)).collect()
                }
                4 => {
                    let copied = alice.copy(from, from, &some).await.expect("copied");
                    copied.uids.iter().map(|(_, uid)| (here, uid.0)).collect()
                }
                5 => {
                    let gone = Expunging::Exactly(&some);
                    alice.expunge(from, gone).await.expect("expunged");
                    Vec::new()
                }
                6 => {
                    let (add, flags) = (FlagAction::Add, [Flag::Seen]);
                    let stored = alice.store_flags(from, &some, add, &flags, None).await;
                    stored.expect("stored");
                    Vec::new()
                }
                _ => {
                    match below(3) {
                        0 => alice.checkpoint().await.expect("a checkpoint"),
                        1 if step > 60 => drop(alice.raise_after_disaster().await.expect("raised")),
                        _ => {}
                    }
                    // A crash: nothing is left but what was stored.
                    drop(alice);
                    room = room.reopened();
                    alice = room.account(ALICE).await;
                    Vec::new()
                }
            };
            for (place, uid) in new {
                assert!(uid > given[place], "seed {seed}, step {step}: {uid}");
                given[place] = uid;
            }
            let view = alice.view();
            for (place, id) in places.iter().enumerate() {
                let mailbox = view.mailbox(*id).expect("there");
                let modseq = mailbox.highest_modseq().0;
                assert!(modseq >= modseqs[place], "seed {seed}, step {step}");
                modseqs[place] = modseq;
                assert!(
                    mailbox.uid_next().0 > given[place],
                    "seed {seed}, step {step}"
                );
                let uids = mailbox.entries().iter().map(|entry| entry.uid);
                assert!(uids.is_sorted_by(|a, b| a < b));
            }
        }
        room.check(ALICE).await;
    }
}
