//! Mail from strangers, and LMTP.

use super::*;

#[tokio::test]
async fn a_message_is_in_the_inbox_when_the_250_comes() {
    let world = World::new().await;
    let mut client = world.stranger().await;
    client
        .dialogue(&[
            ("MAIL FROM:<x@far.test> BODY=8BITMIME SIZE=40", "250 2.1.0"),
            ("RCPT TO:<alice@demo.test>", "250 2.1.5"),
            ("RCPT TO:<nobody@demo.test>", "550 5.1.1"),
            ("DATA", "354"),
            (
                "Return-Path: <forged@x.test>\r\nSubject: hi\r\n\r\n..dot\r\nbare\nlf\r\n.",
                "250 2.0.0",
            ),
            ("QUIT", "221 2.0.0"),
        ])
        .await;
    assert_eq!(client.hear().await, "");
    let inbox = world.inbox(1).await;
    assert_eq!(inbox.len(), 1);
    let message = &inbox[0];
    assert!(
        message.contains("Return-Path: <x@far.test>\r\n"),
        "{message}"
    );
    assert!(!message.contains("forged"));
    assert!(
        message.contains("from far.test") && message.contains("with ESMTP id"),
        "{message}"
    );
    assert!(message.contains("for <alice@demo.test>"));
    assert!(message.ends_with("Subject: hi\r\n\r\n.dot\r\nbare\r\nlf\r\n"));
}

#[tokio::test]
async fn received_names_the_protocol_and_no_recipient_of_many() {
    let world = World::new().await;
    let mut client = world.stranger().await;
    client
        .dialogue(&[
            ("HELO far.test", "250"),
            ("MAIL FROM:<x@far.test>", "250"),
            ("RCPT TO:<alice@demo.test>", "250"),
            ("RCPT TO:<bob@demo.test>", "250"),
            ("DATA", "354"),
            ("\r\nhi\r\n.", "250 2.0.0"),
        ])
        .await;
    for account in [1, 2] {
        let message = &world.inbox(account).await[0];
        assert!(
            message.contains("with SMTP id") && !message.contains(" for <"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn bdat_delivers_too() {
    let world = World::new().await;
    let mut client = world.stranger().await;
    client
        .dialogue(&[
            ("MAIL FROM:<x@far.test>", "250"),
            ("RCPT TO:<alice@demo.test>", "250"),
        ])
        .await;
    client
        .send("BDAT 14\r\nSubject: a\r\n\r\nBDAT 5 LAST\r\n.b\r\n!")
        .await;
    assert!(client.hear().await.starts_with("250 2.0.0"));
    assert!(client.hear().await.starts_with("250 2.0.0"));
    assert!(world.inbox(1).await[0].ends_with("Subject: a\r\n\r\n.b\r\n!\r\n"));
}

#[tokio::test]
async fn a_broken_off_message_is_not_delivered() {
    let world = World::new().await;
    let mut client = world.stranger().await;
    client
        .dialogue(&[
            ("MAIL FROM:<x@far.test>", "250"),
            ("RCPT TO:<alice@demo.test>", "250"),
            ("DATA", "354"),
        ])
        .await;
    client.send("Subject: half\r\n\r\nhalf").await;
    client.conn.shutdown().await.unwrap();
    assert_eq!(client.hear().await, "");
    assert!(world.inbox(1).await.is_empty());
}

#[tokio::test]
async fn size_and_quota_are_settled_at_once() {
    let world = World::new().await;
    let config = Config::new(Role::Mx, "mx.demo.test", TlsMode::None).with_limits(1000, 2);
    let mut client = world.connect(config, FAR);
    client.hear().await;
    client
        .dialogue(&[
            (
                "EHLO far.test",
                "250-mx.demo.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n",
            ),
            ("MAIL FROM:<x@far.test> SIZE=1001", "552 5.3.4"),
            ("MAIL FROM:<x@far.test> SIZE=900", "250"),
            ("RCPT TO:<tiny@demo.test>", "452 4.2.2"),
            ("RCPT TO:<alice@demo.test>", "250"),
            ("RCPT TO:<bob@demo.test>", "250"),
            ("RCPT TO:<carol@other.test>", "452 4.5.3"),
            ("DATA", "354"),
        ])
        .await;
    let reply = client.say(&format!("{}\r\n.", "x".repeat(1200))).await;
    assert!(reply.starts_with("552 5.3.4"), "{reply}");
    assert!(world.inbox(1).await.is_empty());
}

#[tokio::test]
async fn lmtp_answers_for_each_recipient() {
    let world = World::new().await;
    let mut client = world.connect(Config::new(Role::Lmtp, "mx.demo.test", TlsMode::None), NEAR);
    assert!(client.hear().await.contains("LMTP"));
    client
        .dialogue(&[
            ("LHLO mta.test", "250"),
            ("MAIL FROM:<x@far.test>", "250"),
            ("RCPT TO:<alice@demo.test>", "250"),
            ("RCPT TO:<nobody@demo.test>", "550 5.1.1"),
            ("RCPT TO:<tiny@demo.test>", "250"),
            ("RCPT TO:<bob@demo.test>", "250"),
            ("DATA", "354"),
        ])
        .await;
    client
        .send(&format!("Subject: x\r\n\r\n{}\r\n.\r\n", "y".repeat(600)))
        .await;
    assert!(client.hear().await.starts_with("250 2.0.0"));
    assert!(client.hear().await.starts_with("452 4.2.2"));
    assert!(client.hear().await.starts_with("250 2.0.0"));
    assert!(world.inbox(1).await[0].contains("with LMTP id"));
    assert_eq!(world.inbox(2).await.len(), 1);
}

#[tokio::test]
async fn threat_07_strangers_learn_nothing_from_vrfy_and_expn() {
    let world = World::new().await;
    let mut client = world.stranger().await;
    client
        .dialogue(&[
            ("VRFY alice@demo.test", "252"),
            ("VRFY nobody@demo.test", "252"),
            ("EXPN alice@demo.test", "502 5.5.1"),
        ])
        .await;
}

#[tokio::test]
async fn a_stranger_with_our_name_is_refused() {
    let world = World::new().await;
    for (peer, name, want) in [
        (FAR, "mx.demo.test", "550 5.7.1"),
        (FAR, "[203.0.113.1]", "550 5.7.1"),
        (FAR, "demo.test", "250"),
        (NEAR, "mx.demo.test", "250"),
        (RELAYING, "mx.demo.test", "250"),
    ] {
        let mut client = world.connect(Config::new(Role::Mx, "mx.demo.test", TlsMode::None), peer);
        client.hear().await;
        client.dialogue(&[(&format!("EHLO {name}"), want)]).await;
    }
}

#[tokio::test]
async fn noop_is_a_sign_of_life() {
    let world = World::new().await;
    let mut client = world.stranger().await;
    for _ in 0..3 {
        world.runtime.advance(Duration::from_secs(200));
        client.dialogue(&[("NOOP", "250")]).await;
    }
}

#[tokio::test]
async fn a_drain_ends_idle_sessions_and_lets_transactions_finish() {
    let world = World::new().await;
    let mut idle = world.stranger().await;
    let mut busy = world.stranger().await;
    busy.dialogue(&[
        ("MAIL FROM:<x@far.test>", "250"),
        ("RCPT TO:<alice@demo.test>", "250"),
    ])
    .await;
    world.runtime.shutdown().drain();
    assert!(idle.hear().await.starts_with("421 4.3.2"));
    busy.dialogue(&[("DATA", "354"), ("hi\r\n.", "250 2.0.0")])
        .await;
    assert!(busy.hear().await.starts_with("421 4.3.2"));
    assert_eq!(world.inbox(1).await.len(), 1);
}

#[tokio::test]
async fn prdr_tells_who_has_it_and_who_has_not() {
    let world = World::new().await;
    let mut client = world.stranger().await;
    client
        .dialogue(&[
            ("MAIL FROM:<a@far.test> PRDR", "250"),
            ("RCPT TO:<bob@demo.test>", "250"),
            ("RCPT TO:<tiny@demo.test>", "250"),
            ("DATA", "354"),
        ])
        .await;
    let big = "x".repeat(600);
    client
        .send(&format!("Subject: x\r\n\r\n{big}\r\n.\r\n"))
        .await;
    for want in ["353 ", "250 2.0.0", "452 4.2.2", "250 2.0.0"] {
        let reply = client.hear().await;
        assert!(reply.starts_with(want), "{reply}, not {want}");
    }
    assert_eq!((world.inbox(2).await.len(), world.queued().await), (1, 0));
}
