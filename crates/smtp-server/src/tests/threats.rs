//! Attacks on a session, by their numbers in docs/vulns.md. Those on the protocol
//! alone are in `smtp-proto`.

use super::*;

/// A door of each kind, with a client that may send, and where its commands begin.
async fn doors(world: &World) -> Vec<(Role, Client)> {
    let mut doors = Vec::new();
    for role in [Role::Mx, Role::Submission, Role::Lmtp] {
        let config = Config::new(role, "mx.demo.test", TlsMode::None).with_plaintext_login();
        let mut client = world.connect(config, FAR);
        client.hear().await;
        let hello = if role == Role::Lmtp {
            "LHLO far.test"
        } else {
            "EHLO far.test"
        };
        client.dialogue(&[(hello, "250")]).await;
        if role == Role::Submission {
            let login = plain_auth("alice@demo.test", "demo");
            client.dialogue(&[(&login, "235")]).await;
        }
        doors.push((role, client));
    }
    doors
}

#[tokio::test]
async fn threat_01_no_door_lets_a_second_message_through_a_first() {
    let world = World::new().await;
    for (role, mut client) in doors(&world).await {
        for end in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r.\r\n"] {
            client
                .dialogue(&[
                    ("MAIL FROM:<alice@demo.test>", "250"),
                    ("RCPT TO:<bob@demo.test>", "250"),
                    ("DATA", "354"),
                ])
                .await;
            let inner = "MAIL FROM:<boss@demo.test>\r\nRCPT TO:<bob@demo.test>\r\nDATA\r\nsmuggled";
            let whole = format!("From: alice@demo.test\r\n\r\nx{end}{inner}\r\n.");
            let reply = client.say(&whole).await;
            assert!(reply.starts_with("55"), "{role:?} {end:?}: {reply}");
            // The next reply is that of the next command: nothing of it was one.
            client.dialogue(&[("HELP", "214"), ("RSET", "250")]).await;
        }
    }
    assert_eq!(world.inbox(2).await.len(), 0);
    assert_eq!(world.queued().await, 0);
}

#[tokio::test]
async fn threat_02_no_door_obeys_what_was_sent_in_the_clear_behind_starttls() {
    for (role, hello) in [
        (Role::Mx, "EHLO"),
        (Role::Submission, "EHLO"),
        (Role::Lmtp, "LHLO"),
    ] {
        let world = World::new().await;
        let config = Config::new(role, "mx.demo.test", TlsMode::StartTls(tls()));
        let mut client = world.connect(config, FAR);
        client.hear().await;
        client.dialogue(&[(&format!("{hello} far"), "250")]).await;
        let login = plain_auth("alice@demo.test", "demo");
        client
            .send(&format!(
                "STARTTLS\r\n{hello} evil\r\n{login}\r\nMAIL FROM:<alice@demo.test>\r\n"
            ))
            .await;
        let mut rest = BytesMut::new();
        while client.conn.read(&mut rest).await.unwrap_or(0) > 0 {}
        let rest = String::from_utf8_lossy(&rest);
        assert!(!rest.contains("250") && !rest.contains("235"), "{rest}");
    }
}

/// ALPACA and its like: whoever takes us for something else hears nothing that it
/// could take for an answer.
#[tokio::test]
async fn threat_04_no_door_answers_another_protocol() {
    let world = World::new().await;
    for role in [Role::Mx, Role::Submission, Role::Lmtp] {
        for first in [
            "GET / HTTP/1.1\r\nHost: mx.demo.test\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 20\r\n\r\nEHLO a\r\nMAIL FROM:<>\r\n",
            "\u{16}\u{3}\u{1}\0\u{7f}\u{1}",
            "220 mx.far.test ESMTP\r\n",
            "* OK IMAP4rev1 ready\r\n",
            "+OK POP3 ready\r\n",
            "SSH-2.0-x\r\n",
        ] {
            let config = Config::new(role, "mx.demo.test", TlsMode::None);
            let mut client = world.connect(config, FAR);
            assert!(client.hear().await.starts_with("220 "));
            client.send(first).await;
            assert_eq!(client.hear().await, "", "{role:?} {first:?}");
        }
    }
}

#[tokio::test]
async fn threat_05_transactions_that_are_always_begun_anew_end() {
    let world = World::new().await;
    let mut client = world.stranger().await;
    let mut rounds = 0;
    loop {
        client.send("MAIL FROM:<>\r\nRSET\r\n").await;
        if !client.hear().await.starts_with("250") || !client.hear().await.starts_with("250") {
            break;
        }
        rounds += 1;
        assert!(rounds < 1000, "no end of it");
    }
    assert!(rounds >= 400, "{rounds}: some are no attack");
}

/// Lines, each with the beginning of its reply.
type Steps = &'static [(&'static str, &'static str)];

/// What is said to come to a state, on a door for users without TLS, and how the
/// state begins.
const STATES: [(&str, Steps, &str); 9] = [
    ("greeted", &[], ""),
    ("in a command", &[], "EHL"),
    ("hello said", &[("EHLO far.test", "250")], ""),
    (
        "in an AUTH exchange",
        &[("EHLO far.test", "250"), ("AUTH LOGIN", "334")],
        "YWxp",
    ),
    ("logged in", &[LOGGED_IN[0], LOGGED_IN[1]], "MAIL FROM:"),
    (
        "sender named",
        &[LOGGED_IN[0], LOGGED_IN[1], LOGGED_IN[2]],
        "RCPT",
    ),
    (
        "at the beginning of the data",
        &[
            LOGGED_IN[0],
            LOGGED_IN[1],
            LOGGED_IN[2],
            LOGGED_IN[3],
            ("DATA", "354"),
        ],
        "",
    ),
    (
        "in the data",
        &[
            LOGGED_IN[0],
            LOGGED_IN[1],
            LOGGED_IN[2],
            LOGGED_IN[3],
            ("DATA", "354"),
        ],
        "From: alice@demo.test\r\n\r\nhalf\r\n",
    ),
    (
        "in a chunk",
        &[LOGGED_IN[0], LOGGED_IN[1], LOGGED_IN[2], LOGGED_IN[3]],
        "BDAT 100 LAST\r\nFrom: alice@demo.test\r\n\r\n",
    ),
];

const LOGGED_IN: [(&str, &str); 4] = [
    ("EHLO far.test", "250"),
    ("AUTH PLAIN AGFsaWNlQGRlbW8udGVzdABkZW1v", "235"),
    ("MAIL FROM:<alice@demo.test>", "250"),
    ("RCPT TO:<bob@demo.test>", "250"),
];

async fn in_state(world: &World, steps: Steps, begun: &str) -> Client {
    let config = Config::new(Role::Submission, "mx.demo.test", TlsMode::None);
    let mut client = world.connect(config.with_plaintext_login(), FAR);
    client.hear().await;
    client.dialogue(steps).await;
    client.send(begun).await;
    settle().await;
    client
}

/// What was sent is read, and what is due is done.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn threat_06_silence_in_every_state_ends_the_session() {
    let world = World::new().await;
    for (state, steps, begun) in STATES {
        let mut client = in_state(&world, steps, begun).await;
        world.runtime.advance(Duration::from_secs(299));
        settle().await;
        world.runtime.advance(Duration::from_secs(2));
        let told = client.hear().await;
        assert!(told.starts_with("421 4.4.2"), "{state}: {told}");
        assert_eq!(client.hear().await, "", "{state}");
    }
    assert_eq!(world.inbox(2).await.len(), 0);
}

/// An octet now and then is no sign of life: a command has its time from the last
/// one, and a message has to come at a least rate.
#[tokio::test]
async fn threat_06_a_trickle_in_every_state_ends_the_session() {
    let world = World::new().await;
    for (state, steps, begun) in STATES {
        let mut client = in_state(&world, steps, begun).await;
        let mut sent = 0;
        let told = loop {
            assert!(sent < 100, "{state}: no end of it");
            sent += 1;
            if client.conn.write_all(b"x").await.is_err() {
                break client.hear().await;
            }
            settle().await;
            world.runtime.advance(Duration::from_secs(20));
            settle().await;
        };
        assert!(told.starts_with("421 4.4.2"), "{state}: {told}");
        assert!(sent >= 15, "{state}: {sent}");
    }
    assert_eq!(world.inbox(2).await.len(), 0);
}

#[tokio::test]
async fn threat_06_a_half_closed_client_hears_its_replies_and_holds_nothing() {
    let world = World::new().await;
    // All is said, the client only listens from here on.
    let mut client = world.stranger().await;
    client
        .send("MAIL FROM:<x@far.test>\r\nRCPT TO:<bob@demo.test>\r\nDATA\r\n")
        .await;
    client.send("Subject: whole\r\n\r\nx\r\n.\r\n").await;
    client.conn.shutdown().await.unwrap();
    for want in ["250 2.1.0", "250 2.1.5", "354", "250 2.0.0"] {
        let reply = client.hear().await;
        assert!(reply.starts_with(want), "{reply}, not {want}");
    }
    assert_eq!(client.hear().await, "", "and the session is over");
    assert_eq!(world.inbox(2).await.len(), 1);
    // Half of something is nothing, in whatever state.
    for (state, steps, begun) in STATES {
        let mut client = in_state(&world, steps, begun).await;
        client.conn.shutdown().await.unwrap();
        assert_eq!(client.hear().await, "", "{state}");
    }
    assert_eq!(world.inbox(2).await.len(), 1);
    assert_eq!(world.queued().await, 0);
}

/// CVE-2020-7247 and its like: what a shell, a format or a log would make something
/// of is an address like any other, or none.
#[tokio::test]
async fn threat_09_metacharacters_stay_where_they_are() {
    let world = World::new().await;
    let bob = |detail: &str| format!("RCPT TO:<\"bob+{detail}\"@demo.test>");
    for sender in [
        ";for i in 0 1;do read r;done;sh;exit 0;@far.test",
        "\";rm -rf /;\"@far.test",
        "\"|/bin/sh\"@far.test",
        "`id`@far.test",
        "$(id)@far.test",
        "${jndi:ldap://far.test/x}@far.test",
        "%s%n%x@far.test",
        "\"a\\\"b\\\\c\"@far.test",
        "'--help'@far.test",
        "-oQ/tmp@far.test",
        "<script>@far.test",
    ] {
        let mut client = world.stranger().await;
        let before = world.inbox(2).await.len();
        let reply = client.say(&format!("MAIL FROM:<{sender}>")).await;
        if !reply.starts_with("250") {
            assert!(reply.starts_with("553 5.1.7"), "{sender}: {reply}");
            continue;
        }
        client
            .dialogue(&[
                ("RCPT TO:<bob@demo.test>", "250"),
                ("DATA", "354"),
                ("Subject: x\r\n\r\nx\r\n.", "250"),
            ])
            .await;
        let inbox = world.inbox(2).await;
        assert_eq!(inbox.len(), before + 1);
        let (header, _) = inbox[before].split_once("\r\n\r\n").unwrap();
        // Quotes that are not needed go.
        let wire = Address::parse(sender).unwrap().to_wire();
        assert!(
            header.starts_with(&format!("Return-Path: <{wire}>\r\nDelivered-To: bob@")),
            "{header}"
        );
        let fields = header.lines().filter(|line| !line.starts_with('\t'));
        let names: Vec<&str> = fields.filter_map(|line| line.split(':').next()).collect();
        assert_eq!(
            names,
            ["Return-Path", "Delivered-To", "Received", "Subject"],
            "{header}"
        );
    }
    assert!(world.inbox(2).await.len() >= 6, "most are addresses");
    // In a recipient they are a detail, and nothing is run, opened or expanded.
    let mut client = world.stranger().await;
    client.dialogue(&[("MAIL FROM:<>", "250")]).await;
    for detail in [
        "|sh",
        "/etc/passwd",
        "../../x",
        "$(id)",
        ":include:/x",
        "%n",
    ] {
        client.dialogue(&[(&bob(detail), "250")]).await;
    }
    client
        .dialogue(&[("DATA", "354"), ("\r\nx\r\n.", "250")])
        .await;
    assert_eq!(world.queued().await, 0);
}

/// No octet of a command gets into a reply, a header or the queue as a line's end.
#[tokio::test]
async fn threat_10_nothing_that_is_said_makes_a_line_of_its_own() {
    let world = World::new().await;
    let mut client = world.stranger().await;
    client.dialogue(&[("MAIL FROM:<x@far.test>", "250")]).await;
    for line in [
        "RCPT TO:<bob@demo.test\rX-Evil: 1>",
        "RCPT TO:<\"bob\nX-Evil: 1\"@demo.test>",
        "RCPT TO:<bob@demo.test>\rRCPT TO:<alice@demo.test>",
        "RCPT TO:<bob@demo.test> ORCPT=rfc822;x\nX-Evil:1",
        "RCPT TO:<bob\0@demo.test>",
        "RCPT TO:<bob\u{1b}[2J@demo.test>",
        "EHLO far.test\rX-Evil: 1",
        "VRFY x\u{7}",
    ] {
        client.send(&format!("{line}\r\n")).await;
        let reply = client.hear().await;
        assert!(reply.starts_with('5'), "{line:?}: {reply}");
        let reply = reply.strip_suffix("\r\n").unwrap();
        assert!(!reply.contains(char::is_control), "{line:?}: {reply:?}");
        // A line feed within ended a line, whose rest is another bad one.
        if line.contains('\n') {
            let rest = client.hear().await;
            assert!(rest.starts_with('5'), "{line:?}: {rest}");
        }
    }
    client
        .dialogue(&[
            ("RCPT TO:<bob@demo.test>", "250"),
            ("DATA", "354"),
            ("Subject: x\r\n\r\nx\r\n.", "250"),
        ])
        .await;
    let inbox = world.inbox(2).await;
    assert_eq!(inbox.len(), 1);
    assert!(!inbox[0].contains("Evil"), "{}", inbox[0]);
    assert_eq!(world.inbox(1).await.len(), 0);
}
