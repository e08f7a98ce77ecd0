//! The sender's own copy, where it is asked for.

use super::*;
use directory::AccountChange;
use mailbox_model::Role::{Inbox, Sent};

const WITH_BCC: &str = "From: Bob <bob@demo.test>\r\nMessage-ID: <2@demo.test>\r\nBcc: dave@far.test,\r\n carol@other.test\r\nSubject: hi\r\n\r\nbody\r\n";

async fn asking(world: &World, name: &str) {
    let change = AccountChange::SavesSent(true);
    let changed = world.directory.account_change(&address(name), change).await;
    assert!(changed.expect("changed").saves_sent);
}

#[tokio::test]
async fn what_a_user_submits_is_in_sent_only_where_it_was_asked_for() {
    for shards in [1, 3] {
        let world = World::new(shards).await;
        let to = ["alice@demo.test", "carol@other.test", "dave@far.test"];
        let outcome = world.send(user(), "bob@demo.test", &to, WITH_BCC).await;
        assert_eq!(codes(&outcome), [250; 3]);
        assert!(world.mailbox(2, Sent).await.is_empty());
        asking(&world, "bob@demo.test").await;
        let other = WITH_BCC.replace("<2@", "<3@");
        let outcome = world.send(user(), "bob@demo.test", &to, &other).await;
        assert_eq!(codes(&outcome), [250; 3]);
        let kept = world.mailbox(2, Sent).await;
        let [kept] = kept.as_slice() else {
            panic!("{kept:?}");
        };
        assert!(kept.starts_with("Received: "), "{kept}");
        assert!(
            kept.contains("\r\nBcc: dave@far.test,\r\n carol@other.test\r\n"),
            "{kept}"
        );
        assert!(!kept.contains("Delivered-To"), "{kept}");
        assert!(kept.contains("<3@demo.test>"), "{kept}");
        let got = world.inbox(1).await;
        assert!(got.len() == 2 && got.iter().all(|message| !message.contains("Bcc")));
        assert!(world.inbox(2).await.is_empty());
        // Read already, and nobody's copy in the queue.
        let account = world.mailstore.account(AccountId(2)).await.expect("there");
        let view = account.view();
        let mailbox = view.role(Sent).expect("there");
        assert_eq!(mailbox.first_unseen(), None);
        for queued in world.queued().await {
            assert_eq!(recipients(&queued), ["dave@far.test"]);
        }
    }
}

#[tokio::test]
async fn to_oneself_it_is_both_received_and_sent() {
    let world = World::new(1).await;
    asking(&world, "bob@demo.test").await;
    let to = ["bob@demo.test"];
    let outcome = world.send(user(), "bob@demo.test", &to, MESSAGE).await;
    assert_eq!(codes(&outcome), [250]);
    assert_eq!(world.mailbox(2, Inbox).await.len(), 1);
    assert_eq!(world.mailbox(2, Sent).await.len(), 1);
}

#[tokio::test]
async fn what_nobody_gets_is_not_sent() {
    let world = World::new(1).await;
    asking(&world, "bob@demo.test").await;
    let nobody = ["nobody@demo.test"];
    let outcome = world.send(user(), "bob@demo.test", &nobody, MESSAGE).await;
    assert_eq!(codes(&outcome), [550]);
    assert!(world.mailbox(2, Sent).await.is_empty());
    // Mail of strangers in their name is none of theirs.
    let strange = world.send(stranger(), "bob@demo.test", &["alice@demo.test"], MESSAGE);
    assert_eq!(codes(&strange.await), [250]);
    assert!(world.mailbox(2, Sent).await.is_empty());
}

#[tokio::test]
async fn a_full_account_keeps_its_copy_all_the_same() {
    let world = World::new(1).await;
    asking(&world, "small@demo.test").await;
    let mut facts = user();
    facts.session.identity = Some(directory::Identity {
        account: AccountId(4),
        address: address("small@demo.test"),
        admin: false,
        app_password: None,
    });
    let long = MESSAGE.replace("bob@", "small@") + &"x".repeat(3_000);
    let outcome = world.send(facts, "small@demo.test", &["alice@demo.test"], &long);
    assert_eq!(codes(&outcome.await), [250]);
    assert_eq!(world.mailbox(4, Sent).await.len(), 1);
}

#[tokio::test]
async fn the_copy_goes_away_with_its_account_and_the_message_does_not() {
    let world = World::new(1).await;
    asking(&world, "bob@demo.test").await;
    // The directory knows the account, and there is no mail of it.
    world
        .mailstore
        .drop_account(AccountId(2))
        .await
        .expect("dropped");
    let to = ["alice@demo.test"];
    let outcome = world.send(user(), "bob@demo.test", &to, MESSAGE).await;
    assert_eq!(codes(&outcome), [250]);
    assert_eq!(world.inbox(1).await.len(), 1);
    assert!(world.queued().await.is_empty());
    let engine = Arc::clone(&world.engine);
    let found = crate::traced::find(engine, &world.runtime, "bob@demo.test", 10).await;
    let found = found.expect("readable");
    let went = &found[0].went;
    assert!(
        went.iter().any(|went| went.to.starts_with("not in Sent: ")),
        "{went:?}"
    );
}
