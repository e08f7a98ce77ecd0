//! What senders wish for a message's way.

use super::*;
use envelope::{TlsWish, ValidSince};
use queue_model::State;

#[tokio::test]
async fn rfc_4865_what_is_held_waits_in_the_queue_for_people_here_too() {
    let world = World::new(3).await;
    let until = world.runtime.now().unix_ms + 3_600_000;
    let to = ["bob@demo.test", "friend@far.test", "carol@other.test"];
    let mut transaction = world.transaction(user(), "alice@demo.test", &to).await;
    transaction.envelope.hold_until_ms = Some(until);
    let mut receiving = world.intake.begin(transaction).expect("taken");
    receiving.push(MESSAGE.as_bytes()).await;
    let outcome = receiving.finish().await;
    assert_eq!(outcome.reply.code, 250);
    assert!(world.inbox(2).await.is_empty() && world.inbox(3).await.is_empty());
    let queued = world.queued().await;
    assert_eq!(queued.len(), 1);
    assert_eq!(recipients(&queued[0]), to);
    for (_, state, known) in queued[0].recipients() {
        let State::Deferred { until_ms } = state else {
            panic!("{state}");
        };
        assert!(until_ms.abs_diff(until) <= 1_000);
        assert!(
            known
                .reason
                .as_deref()
                .is_some_and(|why| why.contains("held"))
        );
    }
}

#[tokio::test]
async fn rfc_8689_5_tls_required_no_is_kept_unless_requiretls_was_said() {
    let message = "From: bob@demo.test\r\nTLS-Required:  no\r\n\r\nbody\r\nTLS-Required: No\r\n";
    let other = "From: bob@demo.test\r\nX: TLS-Required: No\r\n\r\nTLS-Required: No\r\n";
    for (said, text, want) in [
        (TlsWish::Usual, message, TlsWish::NotNeeded),
        (TlsWish::Required, message, TlsWish::Required),
        (TlsWish::Usual, other, TlsWish::Usual),
    ] {
        let world = World::new(1).await;
        let to = ["friend@far.test"];
        let mut transaction = world.transaction(user(), "alice@demo.test", &to).await;
        transaction.envelope.tls = said;
        let mut receiving = world.intake.begin(transaction).expect("taken");
        receiving.push(text.as_bytes()).await;
        assert_eq!(receiving.finish().await.reply.code, 250);
        assert_eq!(world.queued().await[0].message.envelope.tls, want);
    }
}

#[tokio::test]
async fn rfc_7293_5_2_what_was_known_of_an_alias_is_not_said_of_where_it_leads() {
    let world = World::new(1).await;
    let team = address("team@demo.test");
    let leads_to = [address("x@far.test")];
    let added = world.directory.alias_add(&team, &leads_to);
    added.await.expect("added");
    let to = ["team@demo.test", "y@far.test"];
    let mut transaction = world.transaction(user(), "alice@demo.test", &to).await;
    let since = ValidSince::parse("2014-04-03T23:01:00Z;R");
    for recipient in &mut transaction.envelope.recipients {
        recipient.valid_since = since;
    }
    let mut receiving = world.intake.begin(transaction).expect("taken");
    receiving.push(MESSAGE.as_bytes()).await;
    assert_eq!(receiving.finish().await.reply.code, 250);
    let queued = world.queued().await;
    let mut known: Vec<_> = queued
        .iter()
        .flat_map(|listed| &listed.message.envelope.recipients)
        .map(|recipient| (recipient.address.to_string(), recipient.valid_since))
        .collect();
    known.sort_by(|one, two| one.0.cmp(&two.0));
    let want = [
        ("x@far.test".to_owned(), None),
        ("y@far.test".to_owned(), since),
    ];
    assert_eq!(known, want);
}
