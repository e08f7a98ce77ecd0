//! FUTURERELEASE, DELIVERBY, MT-PRIORITY, RRVS and REQUIRETLS at the door.

use super::door::mx;
use super::submission::logged_in;
use super::*;
use envelope::{ByMode, Priority, TlsWish, timestamp};

async fn only_queued(world: &World) -> queue::Listed {
    let page = world.queue.list(&queue::Filter::default(), None, 10).await;
    let mut messages = page.unwrap().messages;
    assert_eq!(messages.len(), 1);
    messages.remove(0)
}

const REST: [(&str, &str); 3] = [
    ("RCPT TO:<friend@elsewhere.test>", "250 2.1.5"),
    ("DATA", "354"),
    ("Subject: hi\r\n\r\nhi\r\n.", "250 2.0.0"),
];

#[tokio::test]
async fn a_held_message_is_in_the_queue_with_its_time() {
    let world = World::new().await;
    let mut client = logged_in(&world).await;
    let hello = client.say("EHLO laptop").await;
    assert!(hello.contains("FUTURERELEASE 2592000 20"), "{hello}");
    let now_s = i64::try_from(world.runtime.now().unix_seconds()).unwrap();
    let far = timestamp::format_rfc3339(now_s + 31 * 86_400);
    let day = timestamp::format_rfc3339(now_s + 86_400);
    client
        .dialogue(&[
            ("MAIL FROM:<alice@demo.test> HOLDFOR=2592001", "501 5.5.4"),
            (
                &format!("MAIL FROM:<alice@demo.test> HOLDUNTIL={far}"),
                "501 5.5.4",
            ),
            (
                &format!("MAIL FROM:<alice@demo.test> HOLDUNTIL={day}"),
                "250 2.1.0",
            ),
        ])
        .await;
    client.dialogue(&REST).await;
    let listed = only_queued(&world).await;
    let until = listed.message.envelope.hold_until_ms.unwrap();
    assert_eq!(until / 1000, u64::try_from(now_s).unwrap() + 86_400);
    assert_eq!(listed.recipients().next().unwrap().1.name(), "deferred");
}

#[tokio::test]
async fn deadlines_and_priorities_are_kept_as_far_as_they_are_granted() {
    let world = World::new().await;
    let mut client = world.connect(
        Config::new(Role::Submission, "mx.demo.test", TlsMode::None).with_plaintext_login(),
        NEAR,
    );
    client.hear().await;
    client
        .dialogue(&[
            ("EHLO laptop", "250"),
            (&plain_auth("bob@demo.test", "demo"), "235 2.7.0"),
            (
                "MAIL FROM:<bob@demo.test> BY=3600;NT MT-PRIORITY=9",
                "250 2.3.6 4 is the new priority",
            ),
        ])
        .await;
    client.dialogue(&REST).await;
    let listed = only_queued(&world).await;
    let envelope = &listed.message.envelope;
    assert_eq!(envelope.priority, Priority::new(4));
    let by = envelope.deliver_by.unwrap();
    assert_eq!((by.mode, by.trace), (ByMode::Notify, true));
    assert!(by.by_ms > listed.message.arrived_ms + 3_500_000);
}

#[tokio::test]
async fn rrvs_refuses_a_mailbox_that_is_younger() {
    let world = World::new().await;
    let mut client = world.stranger().await;
    client
        .dialogue(&[
            ("MAIL FROM:<a@far.test>", "250"),
            (
                "RCPT TO:<bob@demo.test> RRVS=2014-04-03T23:01:00Z",
                "550 5.7.17",
            ),
            (
                "RCPT TO:<bob@demo.test> RRVS=2100-04-03T23:01:00Z",
                "250 2.1.5",
            ),
            ("RCPT TO:<bob@demo.test>", "250 2.1.5"),
        ])
        .await;
}

#[tokio::test]
async fn requiretls_is_offered_behind_tls_and_stays_with_the_message() {
    let world = World::new().await;
    let config = Config::new(Role::Submission, "mx.demo.test", TlsMode::StartTls(tls()));
    let mut client = world.connect(config, FAR);
    client.hear().await;
    assert!(!client.say("EHLO laptop").await.contains("REQUIRETLS"));
    client.dialogue(&[("STARTTLS", "220 2.0.0")]).await;
    let tls = ClientTls::opportunistic().unwrap();
    client.conn.connect_tls(&tls, "mx.demo.test").await.unwrap();
    assert!(client.say("EHLO laptop").await.contains("REQUIRETLS"));
    client
        .dialogue(&[
            (&plain_auth("alice@demo.test", "demo"), "235 2.7.0"),
            ("MAIL FROM:<alice@demo.test> REQUIRETLS", "250 2.1.0"),
        ])
        .await;
    client.dialogue(&REST).await;
    let listed = only_queued(&world).await;
    assert_eq!(listed.message.envelope.tls, TlsWish::Required);
}

/// A machine that may relay hands on what its users wished for; what a stranger gives as
/// its address may be somebody else's.
#[tokio::test]
async fn listed_networks_may_wish_and_strangers_may_not() {
    let world = World::new().await;
    let mut stranger = world.connect(mx(), FAR);
    stranger.hear().await;
    let hello = stranger.say("EHLO far.test").await;
    assert!(
        !hello.contains("DSN") && !hello.contains("FUTURERELEASE"),
        "{hello}"
    );
    let mut listed = world.connect(mx(), RELAYING);
    listed.hear().await;
    let hello = listed.say("EHLO other.demo.test").await;
    assert!(hello.contains("DSN") && hello.contains("FUTURERELEASE"));
    listed
        .dialogue(&[
            (
                "MAIL FROM:<ann@any.test> HOLDFOR=90 MT-PRIORITY=9 ENVID=e1 RET=HDRS",
                "250",
            ),
            (
                "RCPT TO:<friend@elsewhere.test> NOTIFY=SUCCESS ORCPT=rfc822;f@x.test",
                "250",
            ),
        ])
        .await;
    listed.dialogue(&REST[1..]).await;
    let envelope = only_queued(&world).await.message.envelope;
    assert!(envelope.hold_until_ms.is_some());
    assert_eq!(envelope.priority, Priority::new(9));
    assert_eq!(envelope.envid.as_deref(), Some("e1"));
    assert_eq!(envelope.recipients[0].notify.to_string(), "SUCCESS");
}
