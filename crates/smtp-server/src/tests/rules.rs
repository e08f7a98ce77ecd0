//! The operator's rules, seen from the protocol.

use super::*;
use envelope::Reply;
use queue::Filter;
use settings::rules::Rules;

impl World {
    fn rule(&self, text: &str) {
        let rules = Rules::parse(text).unwrap();
        self.ports.policy.rules().replace(rules);
    }

    /// What waits: from whom, for whom, in which state.
    async fn waiting(&self) -> Vec<(String, String, &'static str)> {
        let page = self.queue.list(&Filter::default(), None, 10).await;
        let mut waiting = Vec::new();
        for listed in page.unwrap().messages {
            let sender = listed.message.envelope.reverse_path.to_string();
            for (to, state, _) in listed.recipients() {
                waiting.push((sender.clone(), to.address.to_string(), state.name()));
            }
        }
        waiting
    }
}

const DATA: [(&str, &str); 2] = [
    ("DATA", "354"),
    (
        "Subject: x\r\nX-Mailer: y\r\n z\r\nTo: a\r\n\r\nhi\r\n.",
        "250 2.0.0",
    ),
];

#[tokio::test]
async fn the_first_rule_that_matches_counts() {
    let world = World::new().await;
    world.rule(
        r#"
        [[rule]]
        name = "a friend"
        when = { sender = "friend@far.test" }
        allow = true
        [[rule]]
        name = "not alice"
        when = { recipient = "alice@demo.test" }
        refuse = "554 5.7.1 alice is away"
        [[rule]]
        name = "later"
        when = { ip = "198.51.100.0/24", helo = ".test", domain = "demo.test" }
        defer = "not now"
        "#,
    );
    let mut client = world.stranger().await;
    client
        .dialogue(&[
            ("MAIL FROM:<x@far.test>", "250"),
            ("RCPT TO:<Alice@Demo.test>", "554 5.7.1 alice is away"),
            ("RCPT TO:<bob@demo.test>", "451 4.7.1 not now"),
            ("RCPT TO:<carol@other.test>", "250"),
            ("RSET", "250"),
            ("MAIL FROM:<friend@far.test>", "250"),
            ("RCPT TO:<alice@demo.test>", "250"),
            // Allowed is not relayed.
            ("RCPT TO:<alice@elsewhere.test>", "550 5.7.1"),
            // Above all rules.
            ("RSET", "250"),
            ("MAIL FROM:<x@far.test>", "250"),
            ("RCPT TO:<postmaster>", "250"),
        ])
        .await;
}

#[tokio::test]
async fn a_transaction_is_decided_by_the_rules_of_its_beginning() {
    let world = World::new().await;
    let mut client = world.stranger().await;
    client.dialogue(&[("MAIL FROM:<x@far.test>", "250")]).await;
    world.rule("[[rule]]\nname = \"closed\"\nrefuse = \"closed\"\n");
    client
        .dialogue(&[
            ("RCPT TO:<bob@demo.test>", "250"),
            ("RSET", "250"),
            ("MAIL FROM:<x@far.test>", "250"),
            ("RCPT TO:<bob@demo.test>", "550 5.7.1 closed"),
        ])
        .await;
}

#[tokio::test]
async fn size_is_asked_at_rcpt_and_again_when_it_is_known() {
    let world = World::new().await;
    world.rule(
        r#"
        [[rule]]
        name = "small for bob"
        when = { recipient = "bob@demo.test", larger_than = 1000 }
        refuse = "552 5.3.4 too large for bob"
        [[rule]]
        name = "two at a time"
        when = { more_recipients_than = 2 }
        defer = "452 4.5.3 two at a time"
        "#,
    );
    let mut client = world.stranger().await;
    let large = format!("Subject: x\r\n\r\n{}\r\n.", "long line\r\n".repeat(200));
    client
        .dialogue(&[
            ("MAIL FROM:<x@far.test> SIZE=1001", "250"),
            ("RCPT TO:<bob@demo.test>", "552 5.3.4 too large for bob"),
            ("RCPT TO:<alice@demo.test>", "250"),
            ("RCPT TO:<carol@other.test>", "250"),
            ("RCPT TO:<tiny@demo.test>", "452 4.5.3 two at a time"),
            ("RSET", "250"),
            ("MAIL FROM:<x@far.test>", "250"),
            ("RCPT TO:<bob@demo.test>", "250"),
            ("DATA", "354"),
            (&large, "552 5.3.4 too large for bob"),
            ("MAIL FROM:<x@far.test>", "250"),
            ("RCPT TO:<bob@demo.test>", "250"),
            DATA[0],
            DATA[1],
        ])
        .await;
    assert_eq!(world.inbox(2).await.len(), 1);
    // With an answer for each, one who may have it has it.
    client
        .dialogue(&[
            ("MAIL FROM:<x@far.test> PRDR", "250"),
            ("RCPT TO:<bob@demo.test>", "250"),
            ("RCPT TO:<alice@demo.test>", "250"),
            ("DATA", "354"),
            (&large, "353"),
        ])
        .await;
    let first = client.hear().await;
    assert!(
        first.starts_with("552 5.3.4 too large for bob (id "),
        "{first}"
    );
    assert!(client.hear().await.starts_with("250"));
    assert!(client.hear().await.starts_with("250"));
    assert_eq!(
        (world.inbox(1).await.len(), world.inbox(2).await.len()),
        (1, 1)
    );
    // With one answer for all as well: the refusal goes into the queue, with what it says.
    client
        .dialogue(&[
            ("RSET", "250"),
            ("MAIL FROM:<x@far.test>", "250"),
            ("RCPT TO:<bob@demo.test>", "250"),
            ("RCPT TO:<alice@demo.test>", "250"),
            ("DATA", "354"),
            (&large, "250"),
        ])
        .await;
    assert_eq!(
        (world.inbox(1).await.len(), world.inbox(2).await.len()),
        (2, 1)
    );
    let page = world.queue.list(&Filter::default(), None, 10).await;
    let queued = page.unwrap().messages;
    assert_eq!(queued.len(), 1);
    let message = &queued[0].message;
    assert_eq!(
        message.envelope.recipients[0].address.to_string(),
        "bob@demo.test"
    );
    let refusal = message.refusal.as_ref().map(Reply::to_line);
    assert_eq!(refusal.as_deref(), Some("552 5.3.4 too large for bob"));
}

#[tokio::test]
async fn recipients_and_senders_are_rewritten() {
    let world = World::new().await;
    world.rule(
        r#"
        [[rule]]
        name = "moved"
        when = { domain = "demo.test", recipient = ["gone@demo.test", "left@demo.test"] }
        rewrite_recipient = "bob@demo.test"
        [[rule]]
        name = "went away"
        when = { domain = "other.test" }
        rewrite_recipient = "*@new.elsewhere.test"
        [[rule]]
        name = "no relay by a rule"
        when = { domain = "elsewhere.test" }
        rewrite_recipient = "*@else.test"
        [[rule]]
        name = "one sender"
        when = { sender = ["@far.test", "<>"] }
        rewrite_sender = "*@near.test"
        "#,
    );
    let mut client = world.stranger().await;
    client
        .dialogue(&[
            ("MAIL FROM:<x@far.test>", "250"),
            ("RCPT TO:<gone@demo.test>", "250"),
            ("RCPT TO:<left@demo.test>", "250"),
            ("RCPT TO:<nobody@other.test>", "250"),
            ("RCPT TO:<y@elsewhere.test>", "550 5.7.1"),
            DATA[0],
            DATA[1],
        ])
        .await;
    // Two names of one are one copy.
    let inbox = world.inbox(2).await;
    assert_eq!(inbox.len(), 1);
    assert!(
        inbox[0].starts_with("Return-Path: <x@near.test>\r\n"),
        "{}",
        inbox[0]
    );
    let sent = (
        "x@near.test".to_owned(),
        "nobody@new.elsewhere.test".to_owned(),
        "todo",
    );
    assert_eq!(world.waiting().await, [sent]);
    let page = world
        .queue
        .list(&Filter::default(), None, 10)
        .await
        .unwrap();
    let orcpt = &page.messages[0].message.envelope.recipients[0].orcpt;
    assert_eq!(orcpt.as_ref().unwrap().address, "nobody@other.test");
    // The null sender stays: what fails of it must not cause a report.
    client
        .dialogue(&[
            ("MAIL FROM:<>", "250"),
            ("RCPT TO:<gone@demo.test>", "250"),
            DATA[0],
            DATA[1],
        ])
        .await;
    assert!(world.inbox(2).await[1].starts_with("Return-Path: <>\r\n"));
}

#[tokio::test]
async fn the_header_is_changed_for_all_when_one_recipient_matches() {
    let world = World::new().await;
    world.rule(
        r#"
        [[rule]]
        name = "mark"
        when = { recipient = "bob@demo.test" }
        add_header = ["X-One: 1", "X-Two: 2"]
        [[rule]]
        name = "never asked"
        add_header = "X-Three: 3"
        [[rule]]
        name = "hide"
        remove_header = "x-mailer"
        "#,
    );
    let mut client = world.stranger().await;
    client
        .dialogue(&[
            ("MAIL FROM:<x@far.test>", "250"),
            ("RCPT TO:<alice@demo.test>", "250"),
            ("RCPT TO:<bob@demo.test>", "250"),
            DATA[0],
            DATA[1],
        ])
        .await;
    for account in [1, 2] {
        let message = &world.inbox(account).await[0];
        let (header, body) = message.split_once("\r\n\r\n").unwrap();
        assert!(
            header.contains("\r\nX-One: 1\r\nX-Two: 2\r\nSubject: x\r\nTo: a"),
            "{header}"
        );
        assert!(header.starts_with("Return-Path: <x@far.test>\r\nDelivered-To: "));
        assert!(
            !header.contains("X-Mailer") && !header.contains("X-Three"),
            "{header}"
        );
        assert_eq!(body, "hi\r\n");
    }
}

#[tokio::test]
async fn a_journal_gets_everything_unseen_and_without_gaps() {
    let world = World::new().await;
    world.rule(
        r#"
        [[rule]]
        name = "journal"
        when = { domain = "demo.test" }
        bcc = ["carol@other.test", "archive@elsewhere.test"]
        "#,
    );
    let config = Config::new(Role::Lmtp, "mx.demo.test", TlsMode::None);
    let mut client = world.connect(config, NEAR);
    client.hear().await;
    client
        .dialogue(&[
            ("LHLO x.test", "250"),
            ("MAIL FROM:<x@far.test>", "250"),
            ("RCPT TO:<alice@demo.test>", "250"),
            DATA[0],
            DATA[1],
            // One answer for one recipient.
            ("NOOP", "250 2.0.0"),
        ])
        .await;
    assert_eq!(world.inbox(3).await.len(), 1);
    assert!(!world.inbox(1).await[0].contains("carol"));
    let waiting = world.waiting().await;
    let [(sender, to, "todo")] = waiting.as_slice() else {
        panic!("{waiting:?}");
    };
    // What goes elsewhere has a sender of ours.
    assert!(
        sender.starts_with("SRS0=") && sender.ends_with("=far.test=x@demo.test"),
        "{sender}"
    );
    assert_eq!(to, "archive@elsewhere.test");
    let page = world
        .queue
        .list(&Filter::default(), None, 10)
        .await
        .unwrap();
    let notify = page.messages[0].message.envelope.recipients[0].notify;
    assert_eq!(notify, envelope::Notify::Never);

    // A journal that is not there, or is full, holds up nobody: its copy waits by itself.
    world.rule(
        "[[rule]]\nname = \"journal\"\nbcc = [\"nobody@other.test\", \"carol@other.test\"]\n",
    );
    let mut client = world.stranger().await;
    client
        .dialogue(&[
            ("MAIL FROM:<x@far.test>", "250"),
            ("RCPT TO:<alice@demo.test>", "250"),
            DATA[0],
            DATA[1],
            ("NOOP", "250"),
        ])
        .await;
    assert_eq!(world.inbox(1).await.len(), 2);
    assert_eq!(world.inbox(3).await.len(), 2);
    let waiting = world.waiting().await;
    assert!(
        waiting
            .iter()
            .any(|(_, to, state)| to == "nobody@other.test" && *state == "todo"),
        "{waiting:?}"
    );
}

#[tokio::test]
async fn nobody_gets_what_is_refused_to_all_whom_the_client_named() {
    let world = World::new().await;
    world.rule(
        r#"
        [[rule]]
        name = "small"
        when = { larger_than = 20 }
        refuse = "552 5.3.4 too large"
        [[rule]]
        name = "journal"
        bcc = "carol@other.test"
        "#,
    );
    let mut client = world.stranger().await;
    client
        .dialogue(&[
            ("MAIL FROM:<x@far.test>", "250"),
            ("RCPT TO:<alice@demo.test>", "250"),
            ("DATA", "354"),
            (
                "Subject: a long subject\r\n\r\nhi\r\n.",
                "552 5.3.4 too large",
            ),
        ])
        .await;
    assert!(world.inbox(3).await.is_empty() && world.waiting().await.is_empty());
}

#[tokio::test]
async fn what_a_rule_holds_waits_for_a_person_with_its_name() {
    let world = World::new().await;
    world.rule(
        r#"
        [[rule]]
        name = "invoices"
        when = { recipient = "bob@demo.test", user = false }
        hold = "look at it"
        "#,
    );
    let mut client = world.stranger().await;
    client
        .dialogue(&[
            ("MAIL FROM:<x@far.test>", "250"),
            ("RCPT TO:<alice@demo.test>", "250"),
            ("RCPT TO:<bob@demo.test>", "250"),
            DATA[0],
            DATA[1],
        ])
        .await;
    assert!(world.inbox(1).await.is_empty() && world.inbox(2).await.is_empty());
    let states: Vec<_> = world
        .waiting()
        .await
        .into_iter()
        .map(|(_, _, state)| state)
        .collect();
    assert_eq!(states, ["held", "held"]);
    let page = world
        .queue
        .list(&Filter::default(), None, 10)
        .await
        .unwrap();
    let reason = page.messages[0].progress.recipients[0].reason.as_deref();
    assert_eq!(reason, Some("held by the rule \"invoices\": look at it"));
}

#[tokio::test]
async fn rules_know_who_logged_in() {
    let world = World::new().await;
    world.rule(
        r#"
        [[rule]]
        name = "bob writes home only"
        when = { user = "bob@demo.test", domain = [".test", "elsewhere.test"] }
        refuse = "bob writes home only"
        "#,
    );
    let send = async |login: &str, to: &str, want: &str| {
        let config = Config::new(Role::Submission, "mx.demo.test", TlsMode::None);
        let mut client = world.connect(config.with_plaintext_login(), NEAR);
        client.hear().await;
        client.say("EHLO x.test").await;
        client
            .dialogue(&[
                (&plain_auth(login, "demo"), "235"),
                (&format!("MAIL FROM:<{login}>"), "250"),
                (&format!("RCPT TO:<{to}>"), want),
            ])
            .await;
    };
    send(
        "bob@demo.test",
        "x@elsewhere.test",
        "550 5.7.1 bob writes home only",
    )
    .await;
    send("alice@demo.test", "x@elsewhere.test", "250").await;
}

#[tokio::test]
async fn a_rule_says_how_soon_mail_goes_whatever_was_asked_for() {
    let world = World::new().await;
    world.rule(
        r#"
        [[rule]]
        name = "news can wait"
        when = { sender = "alice@demo.test" }
        priority = -3
        "#,
    );
    let mut client = submission::logged_in(&world).await;
    client
        .dialogue(&[
            ("MAIL FROM:<alice@demo.test> MT-PRIORITY=3", "250"),
            ("RCPT TO:<x@far.test>", "250"),
            DATA[0],
            ("From: alice@demo.test\r\n\r\nhi\r\n.", "250"),
        ])
        .await;
    let page = world
        .queue
        .list(&Filter::default(), None, 10)
        .await
        .unwrap();
    let priority = page.messages[0].message.envelope.priority;
    assert_eq!(priority, envelope::Priority::new(-3));
}
