//! Mail from users: TLS, logins, whose addresses.

use super::*;

fn config(tls_mode: TlsMode) -> Config {
    Config::new(Role::Submission, "mx.demo.test", tls_mode)
}

pub(super) async fn logged_in(world: &World) -> Client {
    let mut client = world.connect(config(TlsMode::None).with_plaintext_login(), NEAR);
    client.hear().await;
    client
        .dialogue(&[
            ("EHLO laptop", "250"),
            (&plain_auth("alice@demo.test", "demo"), "235 2.7.0"),
        ])
        .await;
    client
}

#[tokio::test]
async fn starttls_then_login_then_mail_to_anywhere() {
    let world = World::new().await;
    let mut client = world.connect(config(TlsMode::StartTls(tls())), FAR);
    client.hear().await;
    let login = plain_auth("alice@demo.test", "demo");
    client
        .dialogue(&[
            ("EHLO laptop", "250"),
            ("MAIL FROM:<alice@demo.test>", "530 5.7.0"),
            (&login, "538 5.7.11"),
            ("STARTTLS", "220 2.0.0"),
        ])
        .await;
    let tls = ClientTls::opportunistic().unwrap();
    client.conn.connect_tls(&tls, "mx.demo.test").await.unwrap();
    client
        .dialogue(&[("MAIL FROM:<alice@demo.test>", "503 5.5.1")])
        .await;
    let hello = client.say("EHLO laptop").await;
    assert!(
        hello.contains("AUTH PLAIN LOGIN") && !hello.contains("STARTTLS"),
        "{hello}"
    );
    client
        .dialogue(&[
            (&login, "235 2.7.0"),
            ("MAIL FROM:<alice@demo.test>", "250 2.1.0"),
            ("RCPT TO:<friend@elsewhere.test>", "250 2.1.5"),
            ("RCPT TO:<bob@demo.test>", "250 2.1.5"),
            ("DATA", "354"),
            (
                "From: alice@demo.test\r\nBcc: secret@elsewhere.test\r\n\r\nhi\r\n.",
                "250 2.0.0",
            ),
        ])
        .await;
    let message = &world.inbox(2).await[0];
    assert!(message.contains("with ESMTPSA id"), "{message}");
    assert!(
        !message.contains("Bcc") && !message.contains("198.51.100.7"),
        "{message}"
    );
    assert!(message.contains("Message-ID: <") && message.contains("Date: "));
    assert_eq!(world.queued().await, 1);
}

#[tokio::test]
async fn tls_from_the_first_octet() {
    let world = World::new().await;
    let mut client = world.connect(config(TlsMode::Implicit(tls())), FAR);
    let tls = ClientTls::opportunistic().unwrap();
    client.conn.connect_tls(&tls, "mx.demo.test").await.unwrap();
    assert!(client.hear().await.starts_with("220"));
    client
        .dialogue(&[
            ("EHLO laptop", "250"),
            (&plain_auth("bob@demo.test", "demo"), "235"),
        ])
        .await;
}

#[tokio::test]
async fn wrong_passwords_are_refused_and_counted() {
    let world = World::new().await;
    let mut client = world.connect(config(TlsMode::None).with_plaintext_login(), NEAR);
    client.hear().await;
    client.dialogue(&[("EHLO laptop", "250")]).await;
    for login in ["alice@demo.test", "nobody@demo.test"] {
        let reply = client.say(&plain_auth(login, "wrong")).await;
        assert!(reply.starts_with("535 5.7.8"), "{reply}");
        client
            .dialogue(&[("MAIL FROM:<alice@demo.test>", "530 5.7.0")])
            .await;
    }
    for said in 3..=6 {
        let secret = format!("wrong{said}");
        let reply = client.say(&plain_auth("alice@demo.test", &secret)).await;
        assert!(reply.starts_with("535 5.7.8"), "{said}: {reply}");
    }
    let goodbye = client.hear().await;
    assert!(goodbye.starts_with("421 4.7.0"), "{goodbye}");
    assert_eq!(client.hear().await, "", "the session is over");
}

#[tokio::test]
async fn only_addresses_of_ones_own() {
    let world = World::new().await;
    let mut client = logged_in(&world).await;
    client
        .dialogue(&[
            ("MAIL FROM:<bob@demo.test>", "553 5.7.1"),
            ("MAIL FROM:<x@elsewhere.test>", "553 5.7.1"),
            ("MAIL FROM:<>", "250 2.1.0"),
            ("RSET", "250"),
            ("MAIL FROM:<ALICE@demo.test>", "250 2.1.0"),
        ])
        .await;
}

#[tokio::test]
async fn what_was_granted_is_an_address_of_ones_own() {
    let world = World::new().await;
    let mut client = logged_in(&world).await;
    let refused = client.say("MAIL FROM:<bob@demo.test>").await;
    assert!(
        refused.contains("posthouse account send-as add ACCOUNT ADDRESS"),
        "{refused}"
    );
    let alice = Address::parse("alice@demo.test").unwrap();
    for granted in ["bob@demo.test", "*@other.test"] {
        let grant = directory::Grant::of(&Address::parse(granted).unwrap());
        let added = world.ports.directory.send_as_add(&alice, &grant).await;
        assert!(added.unwrap());
    }
    client
        .dialogue(&[
            ("MAIL FROM:<bob+x@demo.test>", "250 2.1.0"),
            ("RSET", "250"),
            ("MAIL FROM:<anybody@other.test>", "250 2.1.0"),
            ("RCPT TO:<carol@other.test>", "250 2.1.5"),
            ("DATA", "354"),
            ("From: bob@demo.test\r\n\r\nx\r\n.", "250 2.0.0"),
            ("MAIL FROM:<tiny@demo.test>", "553 5.7.1"),
            ("MAIL FROM:<alice@demo.test>", "250 2.1.0"),
            ("RCPT TO:<carol@other.test>", "250 2.1.5"),
            ("DATA", "354"),
            ("From: tiny@demo.test\r\n\r\nx\r\n.", "550 5.7.1"),
        ])
        .await;
}

#[tokio::test]
async fn users_may_ask_who_is_there() {
    let world = World::new().await;
    let mut client = logged_in(&world).await;
    client
        .dialogue(&[
            ("VRFY bob@demo.test", "250 2.1.5 <bob@demo.test>"),
            ("VRFY nobody@demo.test", "550 5.1.1"),
            ("VRFY x@elsewhere.test", "252"),
            ("EXPN bob@demo.test", "250 2.1.5 <bob@demo.test>"),
            ("EXPN nobody@demo.test", "550 5.1.1"),
        ])
        .await;
}

#[tokio::test]
async fn rfc_6531_3_7_4_2_letters_in_answers_only_where_they_are_taken() {
    let world = World::new().await;
    let domain = Domain::parse("b\u{fc}cher.test").unwrap();
    world
        .ports
        .directory
        .domain_add(&domain, None)
        .await
        .unwrap();
    world.add("jo@b\u{fc}cher.test", None).await;
    world.add("j\u{f6}@b\u{fc}cher.test", None).await;
    let team = Address::parse("team@demo.test").unwrap();
    let members = ["jo@b\u{fc}cher.test", "j\u{f6}@b\u{fc}cher.test"];
    let members = members.map(|member| Address::parse(member).unwrap());
    let directory = &world.ports.directory;
    directory.alias_add(&team, &members).await.unwrap();
    let one = Address::parse("one@demo.test").unwrap();
    directory.alias_add(&one, &members[1..]).await.unwrap();
    let mut client = logged_in(&world).await;
    client
        .dialogue(&[
            (
                "VRFY <jo@xn--bcher-kva.test>",
                "250 2.1.5 <jo@xn--bcher-kva.test>",
            ),
            ("VRFY j\u{f6}@b\u{fc}cher.test", "553 5.6.7"),
            (
                "VRFY j\u{f6}@b\u{fc}cher.test SMTPUTF8",
                "250 2.1.5 <j\u{f6}@b\u{fc}cher.test>",
            ),
            ("EXPN team@demo.test", "550 5.6.8"),
            ("EXPN one@demo.test", "550 5.6.8"),
            (
                "EXPN one@demo.test smtputf8",
                "250 2.1.5 <j\u{f6}@b\u{fc}cher.test>",
            ),
            ("VRFY SMTPUTF8", "252"),
        ])
        .await;
    let listed = client.say("EXPN team@demo.test SMTPUTF8").await;
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(listed.contains("<jo@b\u{fc}cher.test>"), "{listed}");
}

#[tokio::test]
async fn rfc_3461_is_for_our_own_users() {
    let world = World::new().await;
    let mut client = world.connect(config(TlsMode::None).with_plaintext_login(), NEAR);
    client.hear().await;
    assert!(client.say("EHLO laptop").await.contains("250-DSN\r\n"));
    client
        .dialogue(&[
            (&plain_auth("alice@demo.test", "demo"), "235 2.7.0"),
            ("MAIL FROM:<alice@demo.test> RET=HDRS ENVID=x", "250 2.1.0"),
            ("RCPT TO:<bob@demo.test> NOTIFY=SUCCESS", "250 2.1.5"),
            ("DATA", "354"),
            ("Subject: hi\r\n\r\nhi\r\n.", "250 2.0.0"),
        ])
        .await;
    assert_eq!(world.inbox(2).await.len(), 1);
    assert_eq!(world.queued().await, 1, "the report");
    // What a stranger wants is understood, and does not make us write to whom it names.
    let mut client = world.stranger().await;
    assert!(!client.say("EHLO far.test").await.contains("DSN"));
    client
        .dialogue(&[
            ("MAIL FROM:<x@far.test>", "250 2.1.0"),
            ("RCPT TO:<bob@demo.test> NOTIFY=SUCCESS,DELAY", "250 2.1.5"),
            ("DATA", "354"),
            ("Subject: hi\r\n\r\nhi\r\n.", "250 2.0.0"),
        ])
        .await;
    assert_eq!(world.inbox(2).await.len(), 2);
    assert_eq!(world.queued().await, 1);
}

/// Vulnerability list, number 6.
#[tokio::test]
async fn threat_06_a_handshake_that_stands_still_is_ended() {
    let world = World::new().await;
    let passing = async {
        loop {
            world.runtime.blocking(|| ()).await;
            world.runtime.advance(Duration::from_secs(1));
        }
    };
    // A record of TLS that is never finished.
    const HALF: &[u8] = &[0x16, 3, 1, 2, 0, 1];
    let standing = async {
        let mut client = world.connect(config(TlsMode::Implicit(tls())), FAR);
        assert_eq!(client.hear().await, "", "silence from the start");
        let mut client = world.connect(config(TlsMode::Implicit(tls())), FAR);
        client.conn.write_all(HALF).await.unwrap();
        assert_eq!(client.hear().await, "", "half a hello");
        let mut client = world.connect(config(TlsMode::StartTls(tls())), FAR);
        client.hear().await;
        client
            .dialogue(&[("EHLO laptop", "250"), ("STARTTLS", "220 2.0.0")])
            .await;
        client.conn.write_all(HALF).await.unwrap();
        let mut rest = BytesMut::new();
        while client.conn.read(&mut rest).await.unwrap_or(0) > 0 {}
        assert!(!rest.starts_with(b"220") && !rest.starts_with(b"250"));
    };
    tokio::select! {
        () = standing => {}
        () = passing => {}
    }
}

/// The contract of `directory::Logins`: 454, as often as it takes, and no closing.
#[tokio::test]
async fn a_directory_that_is_down_is_454_and_never_535() {
    let mut world = World::new().await;
    let ports = Arc::get_mut(&mut world.ports).unwrap();
    ports.logins = Arc::new(directory::Unreachable);
    let mut client = world.connect(config(TlsMode::None).with_plaintext_login(), NEAR);
    client.hear().await;
    client
        .dialogue(&[
            ("EHLO laptop", "250"),
            (&plain_auth("alice@demo.test", "demo"), "454 4.7.0"),
            ("AUTH LOGIN YWxpY2U=", "334"),
            ("ZGVtbw==", "454 4.7.0"),
            ("AUTH SCRAM-SHA-256 biwsbj1hbGljZSxyPXg=", "454 4.7.0"),
        ])
        .await;
    for _ in 0..crate::limits::AUTH_FAILURES_MAX + 5 {
        client
            .dialogue(&[(&plain_auth("alice@demo.test", "demo"), "454 4.7.0")])
            .await;
    }
    client.dialogue(&[("NOOP", "250 2.0.0")]).await;
}

#[tokio::test]
async fn binary_parts_arrive_as_base64() {
    let world = World::new().await;
    let mut client = logged_in(&world).await;
    let hello = client.say("EHLO laptop").await;
    assert!(hello.contains("BINARYMIME"), "{hello}");
    client
        .dialogue(&[
            ("MAIL FROM:<alice@demo.test> BODY=BINARYMIME", "250 2.1.0"),
            ("RCPT TO:<bob@demo.test>", "250 2.1.5"),
        ])
        .await;
    let message = b"From: alice@demo.test\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\n\xff";
    client
        .send(&format!("BDAT {} LAST\r\n", message.len()))
        .await;
    client.conn.write_all(message).await.unwrap();
    let reply = client.hear().await;
    assert!(reply.starts_with("250 2.0.0"), "{reply}");
    let stored = &world.inbox(2).await[0];
    assert!(
        stored.contains("Content-Transfer-Encoding: base64\r\n")
            && stored.ends_with("\r\n\r\nAAr/\r\n"),
        "{stored}"
    );
    // A stranger's server is not offered it.
    let mut stranger = world.stranger().await;
    let refused = stranger.say("MAIL FROM:<a@b.test> BODY=BINARYMIME").await;
    assert!(refused.starts_with("555 5.6.1"), "{refused}");
}

#[tokio::test]
async fn a_program_of_this_machine_sends_without_a_login_but_as_us_only() {
    let world = World::new().await;
    let mut client = world.connect(config(TlsMode::None).for_local_user("cron"), NEAR);
    client.hear().await;
    let hello = client.say("EHLO localhost").await;
    assert!(!hello.contains("AUTH"), "{hello}");
    client
        .dialogue(&[
            ("MAIL FROM:<boss@bank.test>", "553 5.7.1"),
            ("MAIL FROM:<cron@demo.test>", "250 2.1.0"),
            ("RCPT TO:<bob@demo.test>", "250 2.1.5"),
            ("RCPT TO:<friend@elsewhere.test>", "250 2.1.5"),
            ("DATA", "354"),
            (
                "From: cron@demo.test\r\nBcc: x@y.test\r\n\r\nhi\r\n.",
                "250 2.0.0",
            ),
        ])
        .await;
    let message = &world.inbox(2).await[0];
    assert!(
        message.contains("Date: ") && !message.contains("Bcc"),
        "{message}"
    );
    assert_eq!(world.queued().await, 1);
}

#[tokio::test]
async fn mail_of_a_user_who_sends_too_much_is_held_and_the_postmaster_told_once() {
    let per = |hour| policy::PerTime { hour, day: 0 };
    let limits = policy::SendingLimits {
        new_recipients: per(2),
        ..policy::SendingLimits::default()
    };
    let world = World::with_sending_limits(limits).await;
    let mut client = world.connect(config(TlsMode::None).with_plaintext_login(), FAR);
    client.hear().await;
    client
        .dialogue(&[
            ("EHLO laptop", "250"),
            (&plain_auth("bob@demo.test", "demo"), "235 2.7.0"),
        ])
        .await;
    let send = async |client: &mut Client, to: &[&str]| {
        client
            .dialogue(&[("MAIL FROM:<bob@demo.test>", "250")])
            .await;
        for to in to {
            client
                .dialogue(&[(&format!("RCPT TO:<{to}>"), "250")])
                .await;
        }
        client
            .dialogue(&[
                ("DATA", "354"),
                (
                    &format!("Subject: {}\r\n\r\nhi\r\n.", to.len()),
                    "250 2.0.0",
                ),
            ])
            .await;
    };
    let states = async || {
        let page = world.queue.list(&queue::Filter::default(), None, 10).await;
        let listed = page.unwrap().messages;
        let states = listed.iter().map(|listed| {
            let (to, state, known) = listed.recipients().next().unwrap();
            let reason = known.reason.as_deref().unwrap_or("").to_owned();
            (to.address.to_string(), state.name(), reason)
        });
        states.collect::<Vec<_>>()
    };
    send(&mut client, &["a@x.test", "b@x.test"]).await;
    // Whom it has written to before is no stranger, and people here are none.
    send(&mut client, &["a@x.test", "b@x.test", "carol@other.test"]).await;
    assert!(states().await.iter().all(|(_, state, _)| *state == "todo"));
    assert_eq!(world.inbox(3).await.len(), 1);
    send(&mut client, &["c@x.test", "carol@other.test"]).await;
    let now = states().await;
    assert_eq!(world.inbox(3).await.len(), 1, "held for people here too");
    let held: Vec<_> = now
        .iter()
        .filter(|(_, state, _)| *state == "held")
        .collect();
    assert_eq!(held.len(), 1);
    assert!(
        held[0]
            .2
            .contains("3 recipients never written to before in an hour (limit 2)")
    );
    let told = |states: &[(String, &str, String)]| {
        states
            .iter()
            .filter(|(to, ..)| to == "postmaster@demo.test")
            .count()
    };
    assert_eq!(told(&now), 1);
    send(&mut client, &["d@x.test"]).await;
    assert_eq!(told(&states().await), 1);
    // Another user is not concerned.
    let mut other = logged_in(&world).await;
    other
        .dialogue(&[
            ("MAIL FROM:<alice@demo.test>", "250"),
            ("RCPT TO:<carol@other.test>", "250"),
            ("DATA", "354"),
            ("Subject: x\r\n\r\nhi\r\n.", "250 2.0.0"),
        ])
        .await;
    assert_eq!(world.inbox(3).await.len(), 2);
}

#[tokio::test]
async fn all_users_of_a_domain_together_have_a_limit_too() {
    let limits = policy::SendingLimits {
        messages: policy::PerTime { hour: 2, day: 0 },
        ..policy::SendingLimits::default()
    };
    let world = World::with_policy(|policy, _| policy.with_domain_limits(limits)).await;
    for user in [
        "alice@demo.test",
        "bob@demo.test",
        "carol@other.test",
        "bob@demo.test",
    ] {
        let mut client = world.connect(config(TlsMode::None).with_plaintext_login(), FAR);
        client.hear().await;
        let (auth, from) = (plain_auth(user, "demo"), format!("MAIL FROM:<{user}>"));
        client
            .dialogue(&[
                ("EHLO laptop", "250"),
                (&auth, "235"),
                (&from, "250"),
                ("RCPT TO:<far@elsewhere.test>", "250"),
                ("DATA", "354"),
                ("Subject: x\r\n\r\nhi\r\n.", "250 2.0.0"),
            ])
            .await;
    }
    let page = world.queue.list(&queue::Filter::default(), None, 10).await;
    let held: Vec<_> = page
        .unwrap()
        .messages
        .iter()
        .filter_map(|listed| {
            let (_, state, known) = listed.recipients().next()?;
            (state.name() == "held").then(|| known.reason.as_deref().unwrap_or("").to_owned())
        })
        .collect();
    assert_eq!(held.len(), 1, "{held:?}");
    let want = "3 messages in an hour (limit 2) by all users of the domain";
    assert!(held[0].contains(want), "{held:?}");
}
