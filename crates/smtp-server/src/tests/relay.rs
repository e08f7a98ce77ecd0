//! No open relay: each known way to make a server pass mail on, at the protocol.

use super::*;

#[tokio::test]
async fn strangers_reach_our_users_and_nobody_else() {
    let world = World::new().await;
    let mut client = world.stranger().await;
    client
        .dialogue(&[("MAIL FROM:<x@far.test>", "250 2.1.0")])
        .await;
    for recipient in [
        "<victim@elsewhere.test>",
        "<victim%elsewhere.test@demo.test>",
        "<elsewhere.test!victim@demo.test>",
        "<victim%elsewhere.test@mx.demo.test>",
        "<\"victim@elsewhere.test\"@demo.test>",
        "<\"victim%elsewhere.test\"@demo.test>",
        "<@demo.test:victim@elsewhere.test>",
        "<@demo.test,@mx.demo.test:victim@elsewhere.test>",
        "<@elsewhere.test:victim@elsewhere.test>",
        "<victim@[203.0.113.1]>",
        "<victim@[198.51.100.99]>",
        "<victim%elsewhere.test@[203.0.113.1]>",
        "<victim@[IPv6:::ffff:203.0.113.1]>",
        "<victim@[127.0.0.1]>",
        "<alice@demo.test.elsewhere.test>",
        "<alice@xdemo.test>",
        "<alice@demo.tést>",
        "<alice+victim@elsewhere.test>",
        "<alice@localhost>",
        "<victim@mx.demo.test>",
        "<\"alice@demo.test\"@elsewhere.test>",
        "<alice@demo.test@elsewhere.test>",
        "<alice@elsewhere.test@demo.test>",
        "<alice@demo.test.>",
        "<alice@.demo.test>",
        "<@demo.test>",
        "<>",
        "<|/bin/sh@demo.test>",
        "<\"| /bin/sh\"@demo.test>",
        "<=?utf-8?q?alice=40elsewhere.test?=@demo.test>",
        "<\"\"@demo.test>",
    ] {
        let reply = client.say(&format!("RCPT TO:{recipient}")).await;
        assert!(reply.starts_with('5'), "{recipient}: {reply}");
    }
    client.dialogue(&[("DATA", "554 5.5.1")]).await;
    assert_eq!(world.queued().await, 0);
}

#[tokio::test]
async fn threat_08_letters_that_look_like_ours_are_not_ours() {
    let world = World::new().await;
    let mut client = world.stranger().await;
    client
        .dialogue(&[("MAIL FROM:<x@far.test> SMTPUTF8", "250 2.1.0")])
        .await;
    for recipient in [
        "<alice@demo.te\u{17f}t>",
        "<alice@ｄｅｍｏ.test>",
        "<alice@demo。test>",
        "<al\u{131}ce@demo.test>",
        "<alice@dem\u{43e}.test>",
    ] {
        let reply = client.say(&format!("RCPT TO:{recipient}")).await;
        assert!(reply.starts_with('5'), "{recipient}: {reply}");
    }
}

#[tokio::test]
async fn spellings_of_our_users_are_our_users() {
    let world = World::new().await;
    let mut client = world.stranger().await;
    client
        .dialogue(&[("MAIL FROM:<x@far.test>", "250 2.1.0")])
        .await;
    for recipient in [
        "<alice@demo.test>",
        "<ALICE@DEMO.TEST>",
        "<alice+tag@demo.test>",
        "<\"alice\"@demo.test>",
        "<@far.test:alice@demo.test>",
        "<Postmaster>",
        "<postmaster@demo.test>",
        "<abuse@other.test>",
        "<postmaster@[203.0.113.1]>",
    ] {
        let reply = client.say(&format!("RCPT TO:{recipient}")).await;
        assert!(reply.starts_with("250 2.1.5"), "{recipient}: {reply}");
    }
}

#[tokio::test]
async fn loopback_is_no_relay_network_and_a_listed_network_is() {
    let world = World::new().await;
    for (peer, want) in [(NEAR, "550 5.7.1"), (RELAYING, "250 2.1.5")] {
        let config = Config::new(Role::Mx, "mx.demo.test", TlsMode::None);
        let mut client = world.connect(config, peer);
        client.hear().await;
        client
            .dialogue(&[
                ("EHLO x.test", "250"),
                ("MAIL FROM:<x@far.test>", "250"),
                ("RCPT TO:<y@elsewhere.test>", want),
            ])
            .await;
    }
}

#[tokio::test]
async fn lmtp_takes_local_recipients_only() {
    let world = World::new().await;
    let mut client = world.connect(
        Config::new(Role::Lmtp, "mx.demo.test", TlsMode::None),
        RELAYING,
    );
    client.hear().await;
    client
        .dialogue(&[
            ("LHLO x.test", "250"),
            ("MAIL FROM:<>", "250"),
            ("RCPT TO:<y@elsewhere.test>", "550 5.7.1"),
            ("RCPT TO:<alice@demo.test>", "250 2.1.5"),
        ])
        .await;
}

#[tokio::test]
async fn xclient_moves_the_rights_and_the_limits_to_the_client() {
    let world = World::new().await;
    let proxies = [Network::parse("192.0.2.9").unwrap()];
    let config = Config::new(Role::Mx, "mx.demo.test", TlsMode::None).with_xclient(&proxies);
    // The proxy's own network may relay; its client may not.
    let mut proxy = world.connect(config.clone(), RELAYING);
    proxy.hear().await;
    proxy
        .dialogue(&[
            ("EHLO proxy.test", "250"),
            ("MAIL FROM:<a@far.test>", "250"),
            ("RCPT TO:<x@elsewhere.test>", "250"),
            ("RSET", "250"),
            (
                "XCLIENT ADDR=198.51.100.7 NAME=far.test",
                "220 mx.demo.test",
            ),
            ("EHLO far.test", "250"),
            ("MAIL FROM:<a@far.test>", "250"),
            ("RCPT TO:<x@elsewhere.test>", "550 5.7.1"),
            ("RCPT TO:<bob@demo.test>", "250"),
            ("DATA", "354"),
            ("Subject: x\r\n\r\nhi\r\n.", "250 2.0.0"),
            // A client that says it is us is no proxy any more.
            ("EHLO mx.demo.test", "550 5.7.1"),
        ])
        .await;
    let message = &world.inbox(2).await[0];
    assert!(
        message.contains("Received: from far.test ([198.51.100.7])"),
        "{message}"
    );
    // A client that has enough sessions gets no other one through the proxy.
    *world.seat.full.lock().unwrap() = Some("198.51.100.8".parse().unwrap());
    proxy
        .dialogue(&[("XCLIENT ADDR=198.51.100.8", "421 4.3.2")])
        .await;
    assert_eq!(proxy.hear().await, "");

    // From elsewhere it is not believed.
    let mut stranger = world.connect(config, FAR);
    stranger.hear().await;
    let hello = stranger.say("EHLO far.test").await;
    assert!(!hello.contains("XCLIENT"), "{hello}");
    stranger
        .dialogue(&[
            ("XCLIENT ADDR=192.0.2.9", "502 5.5.1"),
            ("MAIL FROM:<a@far.test>", "250"),
            ("RCPT TO:<x@elsewhere.test>", "550 5.7.1"),
        ])
        .await;
}

#[tokio::test]
async fn rfc_1985_etrn_starts_the_queue_of_a_domain_for_those_who_may_relay() {
    let world = World::new().await;
    let mut client = world.connect(
        Config::new(Role::Mx, "mx.demo.test", TlsMode::None),
        RELAYING,
    );
    client.hear().await;
    let hello = client.say("EHLO relay.test").await;
    assert!(hello.ends_with("250 ETRN\r\n"), "{hello}");
    for to in ["x@elsewhere.test", "y@other-place.test"] {
        client
            .dialogue(&[
                ("MAIL FROM:<a@far.test>", "250"),
                (&format!("RCPT TO:<{to}>"), "250"),
                ("DATA", "354"),
                ("Subject: x\r\n\r\nhi\r\n.", "250 2.0.0"),
            ])
            .await;
    }
    let list = async || {
        let page = world.queue.list(&queue::Filter::default(), None, 10).await;
        page.unwrap().messages
    };
    // Both were tried in vain and wait.
    for listed in list().await {
        let (lines, _) = world.queue.lines(None, 10).await.unwrap();
        let pages = world.queue.due(lines, u64::MAX - 1, 10).await.unwrap();
        let mut due = pages.iter().flat_map(|page| &page.entries);
        let due = due.find(|due| due.id == listed.id).unwrap();
        let lease = world.queue.lease(due, |_, _| true).await.unwrap().unwrap();
        let settlement = queue::Settlement {
            place: 0,
            event: queue_model::Event::PutOff {
                until_ms: world.runtime.now().unix_ms + 3_600_000,
            },
            counts: true,
            tells_delay: false,
            reason: None,
        };
        let change = lease.change(vec![settlement], None).await.unwrap();
        let mut batch = engine::Batch::new();
        change.stage(&mut batch);
        let ticket = world.engine.submit(batch).unwrap();
        change.submitted(ticket.commit());
        ticket.done().await;
    }
    client
        .dialogue(&[
            (
                "ETRN Elsewhere.test",
                "253 2.0.0 OK, 1 pending messages for node elsewhere.test started",
            ),
            // Again within a minute: nothing is counted.
            ("ETRN elsewhere.test", "250 2.0.0"),
            (
                "ETRN empty.test",
                "251 2.0.0 OK, no messages waiting for node empty.test",
            ),
        ])
        .await;
    let states: Vec<_> = list()
        .await
        .iter()
        .map(|listed| {
            let (to, state, _) = listed.recipients().next().unwrap();
            (to.address.to_string(), state.name())
        })
        .collect();
    let want = [
        ("x@elsewhere.test".to_owned(), "todo"),
        ("y@other-place.test".to_owned(), "deferred"),
    ];
    assert_eq!(states, want);

    let mut stranger = world.stranger().await;
    stranger
        .dialogue(&[("ETRN other-place.test", "459 4.7.1")])
        .await;
}

#[tokio::test]
async fn a_relay_domains_mail_is_taken_from_anybody_and_its_own_network_starts_its_queue() {
    let world = World::new().await;
    let rules = "[relay_domain.\"primary.test\"]\netrn = [\"198.51.100.7\"]\n\
                 [relay_domain.\"other-place.test\"]\n";
    let rules = settings::rules::Rules::parse(rules).unwrap();
    world.ports.policy.rules().replace(rules);
    let mut client = world.stranger().await;
    client
        .dialogue(&[
            ("MAIL FROM:<a@far.test>", "250"),
            ("RCPT TO:<x@primary.test>", "250 2.1.5"),
            ("RCPT TO:<x@elsewhere.test>", "550 5.7.1"),
            ("RCPT TO:<x@sub.primary.test>", "550 5.7.1"),
            // Number 8 of the vulnerability list, by way of the primary.
            ("RCPT TO:<x%elsewhere.test@primary.test>", "550 5.7.1"),
            ("RCPT TO:<elsewhere.test!x@primary.test>", "550 5.7.1"),
            ("RCPT TO:<\"x@elsewhere.test\"@primary.test>", "550 5.7.1"),
            ("DATA", "354"),
            ("Subject: x\r\n\r\nhi\r\n.", "250 2.0.0"),
            ("ETRN primary.test", "253 2.0.0"),
            ("ETRN other-place.test", "459 4.7.1"),
            ("ETRN elsewhere.test", "459 4.7.1"),
        ])
        .await;
    assert_eq!(world.queued().await, 1);
    // Taken out of the rules, it is a stranger's domain again.
    world.ports.policy.rules().replace(Default::default());
    client
        .dialogue(&[
            ("MAIL FROM:<a@far.test>", "250"),
            ("RCPT TO:<x@primary.test>", "550 5.7.1"),
        ])
        .await;
}
