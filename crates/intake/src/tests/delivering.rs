//! Into mailboxes.

use super::*;

#[tokio::test]
async fn a_message_arrives_with_its_fields_in_front() {
    let world = World::new(3).await;
    let outcome = world
        .send(stranger(), "dave@far.test", &["Bob+x@demo.test"], MESSAGE)
        .await;
    assert_eq!(outcome.reply.code, 250);
    let inbox = world.inbox(2).await;
    assert_eq!(inbox.len(), 1);
    let expected = format!(
        "Return-Path: <dave@far.test>\r\nDelivered-To: bob@demo.test\r\n\
         X-Original-To: Bob+x@demo.test\r\n\
         Received: from mail.far.test ([203.0.113.9])\r\n\tby mx.demo.test (Posthouse) with ESMTP id {}\
         \r\n\tfor <Bob+x@demo.test>;\r\n\tThu, 01 Jan 2026 00:00:00 +0000\r\n{MESSAGE}",
        outcome.id
    );
    // The clock of the test may have moved on by a second.
    let date = |text: &str| text.replace("00:00:01 +0000", "00:00:00 +0000");
    assert_eq!(date(&inbox[0]), expected);
    assert!(world.queued().await.is_empty());
}

#[tokio::test]
async fn an_account_gets_one_copy_however_it_is_named() {
    let world = World::new(1).await;
    let team = address("team@demo.test");
    let members = [address("bob@demo.test"), address("carol@other.test")];
    world
        .directory
        .alias_add(&team, &members)
        .await
        .expect("added");
    let to = [
        "bob@demo.test",
        "BOB+a@demo.test",
        "team@demo.test",
        "bob@demo.test",
    ];
    let outcome = world.send(stranger(), "", &to, MESSAGE).await;
    assert_eq!(codes(&outcome), [250; 4]);
    assert_eq!(world.inbox(2).await.len(), 1);
    let carol = world.inbox(3).await;
    assert_eq!(carol.len(), 1);
    assert!(carol[0].starts_with(
        "Return-Path: <>\r\nDelivered-To: carol@other.test\r\nX-Original-To: team@demo.test\r\n"
    ));
    assert!(!carol[0].contains("\tfor <"), "more than one recipient");
}

#[tokio::test]
async fn return_path_of_others_is_dropped_and_the_rest_is_byte_for_byte() {
    let world = World::new(1).await;
    let body =
        "8-bit: \u{4f60}\u{597d}\r\n.\r\n..\r\n\r\nReturn-Path: <in@body>\r\nlast line without end";
    let message =
        format!("Return-Path: <evil@far.test>\r\nSubject: =?gb18030?B?xOO6ww==?=\r\n\r\n{body}");
    let outcome = world
        .send(stranger(), "d@far.test", &["bob@demo.test"], &message)
        .await;
    assert!(outcome.is_accepted());
    let inbox = world.inbox(2).await;
    assert_eq!(inbox[0].matches("Return-Path:").count(), 2);
    assert!(inbox[0].ends_with(&format!("Subject: =?gb18030?B?xOO6ww==?=\r\n\r\n{body}")));
}

#[tokio::test]
async fn a_large_message_streams_through_whole() {
    let world = World::new(1).await;
    let line = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n";
    let message = format!("Subject: large\r\n\r\n{}", line.repeat(14_000));
    let outcome = world
        .send(stranger(), "d@far.test", &["bob@demo.test"], &message)
        .await;
    assert!(outcome.is_accepted());
    assert!(world.inbox(2).await[0].ends_with(&message));
    let more = line.repeat(20_000);
    let outcome = world
        .send(stranger(), "d@far.test", &["bob@demo.test"], &more)
        .await;
    assert_eq!(
        outcome.reply.to_line(),
        "552 5.3.4 the message is larger than 1048576 bytes"
    );
    let mut transaction = world
        .transaction(stranger(), "d@far.test", &["bob@demo.test"])
        .await;
    transaction.size_hint = Some((1 << 20) + 1);
    assert_eq!(
        world.intake.begin(transaction).expect_err("too large").code,
        552
    );
    assert_eq!(world.inbox(2).await.len(), 1);
}

#[tokio::test]
async fn threat_11_loops_are_ended() {
    let world = World::new(1).await;
    let hops = format!("{}{MESSAGE}", "Received: by x; now\r\n".repeat(50));
    let outcome = world
        .send(stranger(), "d@far.test", &["bob@demo.test"], &hops)
        .await;
    assert!(
        outcome.reply.to_line().starts_with("554 5.4.6 "),
        "{}",
        outcome.reply
    );
    let again = format!("Delivered-To: BOB@demo.test\r\n{MESSAGE}");
    let outcome = world
        .send(stranger(), "d@far.test", &["bob@demo.test"], &again)
        .await;
    assert!(
        outcome.reply.to_line().starts_with("554 5.4.6 "),
        "{}",
        outcome.reply
    );
    assert!(world.inbox(2).await.is_empty());
    // Beside others the one answer is yes, and the queue sends the refusal.
    let to = ["bob@demo.test", "carol@other.test"];
    let outcome = world.send(stranger(), "d@far.test", &to, &again).await;
    assert_eq!(outcome.reply.code, 250);
    assert_eq!(world.inbox(3).await.len(), 1);
    assert_eq!(recipients(&world.queued().await[0]), ["bob@demo.test"]);
    // Over LMTP each has its own.
    let outcome = world.send(lmtp(), "d@far.test", &to, &again).await;
    assert_eq!(codes(&outcome), [554, 250]);
}

#[tokio::test]
async fn a_full_mailbox_is_answered_by_the_rules_of_the_reply() {
    let world = World::new(1).await;
    let long = format!("{MESSAGE}{}", "x".repeat(2_000));
    let outcome = world
        .send(stranger(), "d@far.test", &["small@demo.test"], &long)
        .await;
    assert!(
        outcome.reply.to_line().starts_with("452 4.2.2 "),
        "{}",
        outcome.reply
    );
    assert!(world.queued().await.is_empty());
    let to = ["small@demo.test", "bob@demo.test"];
    let outcome = world.send(lmtp(), "d@far.test", &to, &long).await;
    assert_eq!(codes(&outcome), [452, 250]);
    let outcome = world.send(stranger(), "e@far.test", &to, &long).await;
    assert_eq!(codes(&outcome), [250, 250]);
    assert_eq!(world.inbox(2).await.len(), 2);
    let queued = world.queued().await;
    assert_eq!(recipients(&queued[0]), ["small@demo.test"]);
    // Role addresses are never refused for it.
    let small = Some(address("small@demo.test"));
    let other = Domain::parse("other.test").expect("valid");
    world
        .directory
        .domain_administrator(&other, small)
        .await
        .expect("changed");
    let outcome = world
        .send(stranger(), "d@far.test", &["abuse@other.test"], &long)
        .await;
    assert_eq!(outcome.reply.code, 250);
    assert_eq!(world.inbox(4).await.len(), 1);
}

#[tokio::test]
async fn a_resend_after_a_lost_reply_makes_no_second_copy() {
    let world = World::new(1).await;
    let send = async |from: &str, message: &str| {
        world
            .send(stranger(), from, &["bob@demo.test"], message)
            .await
    };
    let first = send("d@far.test", MESSAGE).await;
    let second = send("d@far.test", MESSAGE).await;
    assert_eq!((second.reply.code, &second.id), (250, &first.id));
    assert_eq!(world.inbox(2).await.len(), 1);
    send("e@far.test", MESSAGE).await;
    send("d@far.test", &format!("{MESSAGE}more\r\n")).await;
    assert_eq!(world.inbox(2).await.len(), 3);
    let nameless = "Subject: no id\r\n\r\nbody\r\n";
    send("d@far.test", nameless).await;
    send("d@far.test", nameless).await;
    assert_eq!(world.inbox(2).await.len(), 5);
    world.runtime.advance(std::time::Duration::from_secs(3600));
    send("d@far.test", MESSAGE).await;
    assert_eq!(world.inbox(2).await.len(), 6);
}

/// SIZE= and the limit are about what the client sends.
#[tokio::test]
async fn practice_1_our_own_fields_do_not_count() {
    let world = World::new(1).await;
    let head = "Message-ID: <1@far.test>\r\n\r\n";
    let whole = format!("{head}{}", "x".repeat((1 << 20) - head.len()));
    let taken = world.send(stranger(), "d@far.test", &["bob@demo.test"], &whole);
    assert_eq!(taken.await.reply.code, 250);
    assert!(world.inbox(2).await[0].len() > 1 << 20);
    let more = format!("{whole}x");
    let refused = world.send(stranger(), "d@far.test", &["bob@demo.test"], &more);
    assert_eq!(refused.await.reply.code, 552);
}

#[tokio::test]
async fn practice_1_headers_in_gbk_are_kept_as_they_came() {
    let world = World::new(1).await;
    // GBK, Big5, Shift_JIS, and octets of no charset at all.
    let message = [
        &b"Subject: \xc4\xe3\xba\xc3\r\nFrom: \xa7A\xa6n <d@far.test>\r\n"[..],
        b"X-Kana: \x93\xfa\x96{\r\nX-None: \xff\xfe\x80\r\n\r\n\xc4\xe3\r\n",
    ]
    .concat();
    let transaction = world.transaction(stranger(), "d@far.test", &["bob@demo.test"]);
    let mut receiving = world.intake.begin(transaction.await).expect("taken");
    for piece in message.chunks(3) {
        receiving.push(piece).await;
    }
    assert!(receiving.finish().await.is_accepted());
    let account = world.mailstore.account(AccountId(2)).await.expect("there");
    let view = account.view();
    let inbox = view.role(mailbox_model::Role::Inbox).expect("there");
    let email = inbox.entries().front().expect("one").email;
    let record = account.email_record(email).await.expect("a record");
    let bytes = account.read_message(&record, 0..u64::MAX).await;
    assert!(bytes.expect("readable").ends_with(&message));
}

/// Whatever is wrong with one account, the others have their copies, and that
/// one's waits with the same commit.
#[tokio::test]
async fn practice_2_one_accounts_damage_is_that_recipients_alone() {
    let engine = World::new(1).await.engine;
    let start = engine::keys::account(2);
    let end = engine::keys::end_of(&start);
    let shard = engine.shard_of_account(2);
    let pairs = engine
        .snapshot(shard)
        .scan(&start, &end, engine::Order::Ascending, 1000)
        .expect("readable");
    assert!(!pairs.is_empty());
    let mut batch = engine::Batch::new();
    for (key, _) in pairs {
        batch.put(key, b"\xff no record".to_vec());
    }
    engine.submit(batch).expect("taken").done().await;
    let world = World::over(engine);
    let to = ["bob@demo.test", "alice@demo.test"];
    let outcome = world.send(stranger(), "d@far.test", &to, MESSAGE).await;
    assert_eq!(codes(&outcome), [250, 250]);
    assert_eq!(world.inbox(1).await.len(), 1);
    let queued = world.queued().await;
    assert_eq!(queued.len(), 1);
    assert_eq!(recipients(&queued[0]), ["bob@demo.test"]);
    // Over LMTP too: it is our trouble, and the message is kept.
    let outcome = world.send(lmtp(), "e@far.test", &to, MESSAGE).await;
    assert_eq!(codes(&outcome), [250, 250]);
    assert_eq!(world.inbox(1).await.len(), 2);
    assert_eq!(world.queued().await.len(), 2);
}

#[tokio::test]
async fn messages_at_the_same_time_all_arrive() {
    let world = Arc::new(World::new(1).await);
    let sends: Vec<_> = (0..32)
        .map(|n| {
            let world = Arc::clone(&world);
            let runtime = world.runtime.clone();
            runtime.spawn("send", async move {
                let message = format!("Message-ID: <{n}@far.test>\r\n\r\nsame body\r\n");
                let to = ["bob@demo.test", "alice@demo.test"];
                world.send(stranger(), "d@far.test", &to, &message).await
            })
        })
        .collect();
    for send in sends {
        assert!(send.join().await.expect("ran").is_accepted());
    }
    assert_eq!(world.inbox(1).await.len(), 32);
    assert_eq!(world.inbox(2).await.len(), 32);
}

#[tokio::test]
async fn a_message_for_many_of_a_full_domain_is_delivered_to_those_that_fit() {
    let world = World::new(1).await;
    let limits = QuotaLimits {
        bytes: None,
        emails: Some(1),
    };
    let both = [AccountId(1), AccountId(2)];
    let set = world
        .mailstore
        .set_group_limits("demo.test", limits, &both)
        .await;
    set.expect("read");
    // Each by itself would fit when it is asked for; together they don't.
    let to = ["alice@demo.test", "bob@demo.test", "carol@other.test"];
    let outcome = world.send(lmtp(), "d@far.test", &to, MESSAGE).await;
    assert_eq!(codes(&outcome), [250, 452, 250]);
    let refusal = outcome.replies[1].to_line();
    let why = "the mailboxes of the domain are full (limit of messages)";
    assert!(refusal.contains(why), "{refusal}");
    let used = world.mailstore.group_usage("demo.test").expect("there");
    assert_eq!((used.used.emails, used.reserved.emails), (1, 0));
}

#[tokio::test]
async fn from_may_name_what_was_granted() {
    let world = World::new(1).await;
    let send = async |from: &str| {
        let message = format!("From: {from}\r\nSubject: x\r\n\r\nx\r\n");
        let sent = world.send(user(), "bob@demo.test", &["alice@demo.test"], &message);
        sent.await.reply.to_line()
    };
    let refused = send("carol@other.test").await;
    assert!(refused.starts_with("550 5.7.1 From names <carol@other.test>"));
    assert!(
        refused.contains("posthouse account send-as add ACCOUNT ADDRESS"),
        "{refused}"
    );
    let refused = send("x@far.test").await;
    assert!(refused.starts_with("550 5.7.1 ") && !refused.contains("send-as"));
    let bob = address("bob@demo.test");
    for granted in ["carol@other.test", "*@demo.test"] {
        let grant = directory::Grant::of(&address(granted));
        let added = world.directory.send_as_add(&bob, &grant).await;
        assert!(added.expect("granted"));
    }
    for from in [
        "carol@other.test",
        "Carol <Carol+x@other.test>",
        "bob@demo.test, alice@demo.test, nobody@demo.test",
    ] {
        let reply = send(from).await;
        assert!(reply.starts_with("250 "), "{from}: {reply}");
    }
    let refused = send("carol@other.test, small@other.test").await;
    assert!(refused.starts_with("550 5.7.1 From names <small@other.test>"));
    let grant = directory::Grant::of(&address("carol@other.test"));
    let removed = world.directory.send_as_remove(&bob, &grant).await;
    assert!(removed.expect("removed"));
    let refused = send("carol@other.test").await;
    assert!(refused.starts_with("550 5.7.1 "), "{refused}");
}

#[tokio::test]
async fn practice_4_from_is_checked_like_mail_from() {
    let world = World::new(1).await;
    let team = address("team@demo.test");
    let members = [address("bob@demo.test")];
    let added = world.directory.alias_add(&team, &members).await;
    added.expect("added");
    let send = async |header: &str| {
        let message = format!("{header}Subject: x\r\n\r\nx\r\n");
        let sent = world.send(user(), "bob@demo.test", &["alice@demo.test"], &message);
        sent.await.reply.to_line()
    };
    let long = format!("From: {}\r\n", "bob@demo.test, ".repeat(2_000));
    let hidden = format!(
        "From: bob@demo.test,{}alice@demo.test\r\n",
        " ".repeat(20_000)
    );
    for foreign in [
        "From: Alice <alice@demo.test>\r\n",
        "From: x@far.test\r\n",
        "from :\r\n (c) \"bob@demo.test\"\r\n\t<alice@demo.test>\r\n",
        "From: bob@demo.test, alice@demo.test\r\n",
        "From: bob@demo.test\r\nFrom: alice@demo.test\r\n",
        "From: us: alice@demo.test;\r\n",
        "From: the boss\r\n",
        &long,
        &hidden,
        // Resent by nobody who may, or in the name of somebody here.
        "Resent-From: x@far.test\r\nFrom: x@far.test\r\n",
        "Resent-From: bob@demo.test\r\nFrom: alice@demo.test\r\n",
        "Resent-From: x@far.test\r\nResent-From: bob@demo.test\r\nFrom: x@far.test\r\n",
    ] {
        let reply = send(foreign).await;
        assert!(reply.starts_with("550 5.7.1 From "), "{foreign}: {reply}");
    }
    assert_eq!(world.inbox(1).await.len(), 0);
    for own in [
        "From: Bob <BOB+x@demo.test>\r\n",
        "X-From: alice@demo.test\r\nFrom: =?utf-8?q?alice=40demo.test?= <team@demo.test>\r\n",
        "Resent-From: bob@demo.test\r\nFrom: x@far.test\r\n",
        "",
    ] {
        let reply = send(own).await;
        assert!(reply.starts_with("250 "), "{own}: {reply}");
    }
    let inbox = world.inbox(1).await;
    assert_eq!(inbox.len(), 4);
    assert!(
        inbox[3].contains("\r\nFrom: <bob@demo.test>\r\n"),
        "{}",
        inbox[3]
    );
    // Strangers and programs of this machine say what they like.
    for facts in [stranger(), lmtp(), program()] {
        let message = "From: x@far.test\r\n\r\nx\r\n";
        let outcome = world
            .send(facts, "bob@demo.test", &["alice@demo.test"], message)
            .await;
        assert!(outcome.is_accepted(), "{}", outcome.reply);
    }
}

fn program() -> Facts {
    let mut facts = user();
    facts.session.identity = None;
    facts.session.local_user = Some("cron".into());
    facts
}
