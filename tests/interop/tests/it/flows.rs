//! Mail flows between two organisations: ours and one that runs Postfix, which
//! find each other by DNS.

use anyhow::{Context as _, ensure};
use interop::postfix::Postfix;
use interop::posthouse::{PASSWORD, Posthouse, contains};
use interop::world::{Needs, World, run, wait_for};
use interop::{Result, dns, imap, smtp};
use std::time::Duration;

const ZONES: &[(&str, &str)] = &[
    ("demo.test", "@ MX 10 mx\nmx A 127.0.0.10"),
    ("far.test", "@ MX 10 mx\nmx A 127.0.0.3"),
];

fn two_organisations(world: &mut World) -> Result<(Posthouse, Postfix)> {
    dns::start(world, ZONES)?;
    let far = Postfix::start(world, "127.0.0.3", "far.test", &["bea"])?;
    let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["alice", "bob"])?;
    ours.serve(world)?;
    Ok((ours, far))
}

#[test]
fn postfix_delivers_to_us_and_the_bytes_are_the_same() {
    run(
        "flows::postfix_delivers_to_us_and_the_bytes_are_the_same",
        Needs::Peers,
        |world| {
            let (ours, _far) = two_organisations(world)?;
            let message = crate::samples::attachment_with_chinese_subject();
            let mut client = smtp::Client::connect("127.0.0.3:25")?;
            client.expect("EHLO 127.0.0.3", 250)?;
            let (code, text) = client.send("bea@far.test", &["alice@demo.test"], &message)?;
            ensure!(code == 250, "{text}");
            let got = ours.wait_for_mail("alice@demo.test", crate::samples::MARK)?;
            ensure!(got.ends_with(&message), "the message changed on its way");
            let head = String::from_utf8_lossy(&got[..got.len() - message.len()]).into_owned();
            ensure!(
                head.starts_with("Return-Path: <bea@far.test>\r\n"),
                "{head}"
            );
            ensure!(head.contains("Delivered-To: alice@demo.test"), "{head}");
            ours.assert_sound()
        },
    );
}

#[test]
fn a_users_submission_reaches_postfix() {
    run(
        "flows::a_users_submission_reaches_postfix",
        Needs::Peers,
        |world| {
            let (ours, far) = two_organisations(world)?;
            let message = crate::samples::attachment_with_chinese_subject();
            ours.submit(world, &["bea@far.test", "bob@demo.test"], &message)?;
            let at_bob = ours.wait_for_mail("bob@demo.test", crate::samples::MARK)?;
            ensure!(at_bob.ends_with(&message), "Bob's copy changed on its way");
            let at_bea = far.wait_for_mail("bea@far.test")?;
            // Maildir has bare line ends.
            let plain = String::from_utf8_lossy(&message).replace("\r\n", "\n");
            ensure!(
                at_bea.ends_with(plain.as_bytes()),
                "Bea's copy changed on its way"
            );
            ensure!(
                !contains(&at_bea, b"client.demo.test"),
                "where the user is, is told to strangers"
            );
            wait_for("the queue to be empty", Duration::from_secs(20), || {
                let list = ours.cli(&["queue", "list", "--json"])?;
                Ok((list.trim() == "[]").then_some(()))
            })?;
            ours.assert_sound()
        },
    );
}

#[test]
fn swaks_submits_over_implicit_tls_and_starttls() {
    run(
        "flows::swaks_submits_over_implicit_tls_and_starttls",
        Needs::Peers,
        |world| {
            let (ours, far) = two_organisations(world)?;
            for (port, tls, auth) in [
                ("587", "--tls", "PLAIN"),
                ("465", "--tls-on-connect", "LOGIN"),
            ] {
                let mark = format!("mark-{port}");
                world.output(
                    "swaks",
                    [
                        "--server",
                        "127.0.0.10",
                        "--port",
                        port,
                        tls,
                        "--auth",
                        auth,
                        "--auth-user",
                        "bob@demo.test",
                        "--auth-password",
                        PASSWORD,
                        "--from",
                        "bob@demo.test",
                        "--to",
                        "bea@far.test,alice@demo.test",
                        "--header",
                        &format!("Subject: {mark}"),
                    ],
                )?;
                ours.wait_for_mail("alice@demo.test", &mark)?;
                wait_for("the mail at Postfix", Duration::from_secs(30), || {
                    let all = far.mail("bea@far.test")?;
                    Ok(all
                        .iter()
                        .any(|m| contains(m, mark.as_bytes()))
                        .then_some(()))
                })?;
            }
            Ok(())
        },
    );
}

#[test]
fn an_unknown_user_there_comes_back_as_a_dsn_with_the_reason() {
    run(
        "flows::an_unknown_user_there_comes_back_as_a_dsn_with_the_reason",
        Needs::Peers,
        |world| {
            let (ours, far) = two_organisations(world)?;
            submit(
                &ours,
                "alice@demo.test",
                &["nobody@far.test", "bea@far.test"],
                "Subject: to nobody\r\n\r\nx\r\n",
            )?;
            let dsn = ours.wait_for_mail("alice@demo.test", "multipart/report")?;
            let text = String::from_utf8_lossy(&dsn).into_owned();
            for part in [
                "Return-Path: <>",
                "Content-Type: message/delivery-status",
                "nobody@far.test",
                "Action: failed",
                "Status: 5.1.1",
                "Remote-MTA: dns;",
                "User unknown",
                "Subject: to nobody",
            ] {
                ensure!(text.contains(part), "the DSN lacks {part:?}:\n{text}");
            }
            ensure!(
                !text.contains("Final-Recipient: rfc822;bea@far.test"),
                "{text}"
            );
            far.wait_for_mail("bea@far.test")?;
            Ok(())
        },
    );
}

#[test]
fn an_unknown_user_here_is_refused_in_the_session() {
    run(
        "flows::an_unknown_user_here_is_refused_in_the_session",
        Needs::Peers,
        |world| {
            let (_ours, far) = two_organisations(world)?;
            let mut client = smtp::Client::connect("127.0.0.3:25")?;
            client.expect("EHLO 127.0.0.3", 250)?;
            client.send(
                "bea@far.test",
                &["nobody@demo.test"],
                b"Subject: x\r\n\r\nx\r\n",
            )?;
            // Postfix's own bounce to Bea names our reply.
            let bounce = far.wait_for_mail("bea@far.test")?;
            ensure!(
                contains(&bounce, b"550 5.1.1"),
                "{}",
                String::from_utf8_lossy(&bounce)
            );
            Ok(())
        },
    );
}

#[test]
fn the_second_mx_takes_over_and_with_both_down_mail_waits() {
    run(
        "flows::the_second_mx_takes_over_and_with_both_down_mail_waits",
        Needs::Peers,
        |world| {
            dns::start(
                world,
                &[(
                    "far.test",
                    "@ MX 10 mx1\n@ MX 20 mx2\nmx1 A 127.0.0.3\nmx2 A 127.0.0.4",
                )],
            )?;
            let first = Postfix::start(world, "127.0.0.3", "far.test", &["bea"])?;
            let mut second = Postfix::start(world, "127.0.0.4", "far.test", &["bea"])?;
            let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["alice"])?;
            ours.serve(world)?;

            submit(
                &ours,
                "alice@demo.test",
                &["bea@far.test"],
                "Subject: one\r\n\r\n1\r\n",
            )?;
            first
                .wait_for_mail("bea@far.test")
                .context("the primary is up")?;
            first.stop(world)?;
            submit(
                &ours,
                "alice@demo.test",
                &["bea@far.test"],
                "Subject: two\r\n\r\n2\r\n",
            )?;
            second
                .wait_for_mail("bea@far.test")
                .context("the primary is down")?;
            second.stop(world)?;
            submit(
                &ours,
                "alice@demo.test",
                &["bea@far.test"],
                "Subject: three\r\n\r\n3\r\n",
            )?;
            let listed = wait_for(
                "the message to wait with a reason",
                Duration::from_secs(30),
                || {
                    let list = ours.cli(&["queue", "list", "--json"])?;
                    Ok(list
                        .contains("far.test")
                        .then_some(list)
                        .filter(|l| l.to_lowercase().contains("refused")))
                },
            )?;
            // A restart does not lose it.
            ours.end(world, "TERM")?;
            ours.serve(world)?;
            second.start_again(world)?;
            ours.cli(&["queue", "retry", "--all"]).context(listed)?;
            wait_for("the third message", Duration::from_secs(60), || {
                let all = second.mail("bea@far.test")?;
                Ok(all
                    .iter()
                    .any(|m| contains(m, b"Subject: three"))
                    .then_some(()))
            })?;
            Ok(())
        },
    );
}

/// Submits by SMTP AUTH on the submission port; loopback may speak plain text
/// only where the test's server says so.
fn submit(ours: &Posthouse, from: &str, to: &[&str], message: &str) -> Result<()> {
    let file = ours
        .dir()
        .join(format!("../submit-{}.eml", fastrand::u64(..)));
    std::fs::write(&file, message)?;
    let mut curl = std::process::Command::new("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--insecure",
        "--ssl-reqd",
        "--url",
    ]);
    curl.arg(format!("smtp://{}/client.demo.test", ours.addr(587)));
    curl.args(["--user", &format!("{from}:{PASSWORD}"), "--mail-from", from]);
    for rcpt in to {
        curl.args(["--mail-rcpt", rcpt]);
    }
    let out = curl.arg("--upload-file").arg(&file).output()?;
    ensure!(
        out.status.success(),
        "curl: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(())
}

#[test]
fn lmtp_answers_for_each_recipient() {
    run(
        "flows::lmtp_answers_for_each_recipient",
        Needs::Nothing,
        |world| {
            let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["alice", "bob"])?;
            ours.serve(world)?;
            let mut client = smtp::Client::connect(&ours.addr(24))?;
            client.expect("LHLO client.test", 250)?;
            let rcpts = ["alice@demo.test", "bob@demo.test"];
            let (code, text) =
                client.send("x@far.test", &rcpts, b"Subject: by lmtp\r\n\r\nx\r\n")?;
            ensure!(code == 250, "{text}");
            let (code, text) = client.reply()?;
            ensure!(code == 250, "{text}");
            for rcpt in rcpts {
                let mut imap = imap::Client::login(&ours.addr(143), rcpt, PASSWORD)?;
                ensure!(imap.messages("INBOX")?.len() == 1);
            }
            Ok(())
        },
    );
}

/// With one answer for all, the client cannot be told that one of them may not have it.
#[test]
fn who_may_not_have_what_others_may_is_refused_behind_the_door() {
    run(
        "flows::who_may_not_have_what_others_may_is_refused_behind_the_door",
        Needs::Peers,
        |world| {
            let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["alice", "bob"])?;
            let file = ours.dir().join("rules.toml");
            let rule = "[[rule]]\nname = \"small for bob\"\n\
                        when = { recipient = \"bob@demo.test\", larger_than = 1000 }\n\
                        refuse = \"552 5.3.4 too large for bob\"\n";
            std::fs::write(&file, rule)?;
            ours.set("policy.rules", &format!("{:?}", file.display().to_string()))?;
            ours.serve(world)?;
            let to = ["alice@demo.test", "bob@demo.test"];
            let long = format!("Subject: long one\r\n\r\n{}", "a line\r\n".repeat(300));
            let mut client = smtp::Client::connect(&ours.addr(25))?;
            client.expect("EHLO client.test", 250)?;
            let (code, text) = client.send("x@far.test", &to, long.as_bytes())?;
            ensure!(code == 250, "{text}");
            ours.wait_for_mail("alice@demo.test", "Subject: long one")?;
            let mut imap = imap::Client::login(&ours.addr(143), "bob@demo.test", PASSWORD)?;
            let junk = wait_for("Bob's Junk", Duration::from_secs(30), || {
                let junk = imap.messages("Junk")?;
                Ok((!junk.is_empty()).then_some(junk))
            })?;
            let reason = b"\r\nX-Posthouse-Refused: too large for bob\r\n";
            ensure!(contains(&junk[0], reason), "{:?}", junk[0]);
            // Our own user is told. Swaks says no size at MAIL.
            #[rustfmt::skip]
            let args = [
                "--server", "127.0.0.10", "--port", "587", "--tls", "--auth", "PLAIN",
                "--auth-user", "alice@demo.test", "--auth-password", PASSWORD,
                "--from", "alice@demo.test", "--to", "alice@demo.test,bob@demo.test",
                "--body", &"a line\n".repeat(300),
            ];
            world.output("swaks", args)?;
            let told = ours.wait_for_mail("alice@demo.test", "Action: failed")?;
            let why = b"Status: 5.3.4\r\nDiagnostic-Code: x-posthouse; too large for bob";
            ensure!(contains(&told, why), "{}", String::from_utf8_lossy(&told));
            ensure!(imap.messages("INBOX")?.is_empty(), "Bob has neither");
            ours.assert_sound()
        },
    );
}

#[test]
fn a_full_domain_is_refused_by_name_and_its_postmaster_told_once() {
    run(
        "flows::a_full_domain_is_refused_by_name_and_its_postmaster_told_once",
        Needs::Nothing,
        |world| {
            const SUBJECT: &str = "Subject: The mailboxes of your domain are";
            let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["alice", "bob"])?;
            ours.cli(&["domain", "quota", "demo.test", "--messages", "10"])?;
            ours.serve(world)?;
            let to = |rcpt: &str| {
                let mut client = smtp::Client::connect(&ours.addr(25))?;
                client.expect("EHLO client.test", 250)?;
                client.send("x@far.test", &[rcpt], b"Subject: x\r\n\r\nx\r\n")
            };
            for at in 0..8 {
                let (code, text) = to(["alice@demo.test", "bob@demo.test"][at % 2])?;
                ensure!(code == 250, "{text}");
            }
            // Eight of ten: the administrator, who is postmaster here, is told. The
            // message is the ninth.
            let told = ours.wait_for_mail("admin@demo.test", SUBJECT)?;
            ensure!(contains(&told, b"  8 of 10 messages (80 %)"), "{told:?}");
            let (code, text) = to("alice@demo.test")?;
            ensure!(code == 250, "{text}");
            let refused = to("bob@demo.test").err().map(|error| format!("{error:#}"));
            let refused = refused.context("the eleventh is refused")?;
            let full = "452 4.2.2 <bob@demo.test>: the mailboxes of the domain are full (limit of messages)";
            ensure!(refused.contains(full), "{refused}");
            let mut imap = imap::Client::login(&ours.addr(143), "bob@demo.test", PASSWORD)?;
            let refused = imap.append("INBOX", b"Subject: x\r\n\r\nx\r\n").err();
            let refused = refused.map(|error| format!("{error:#}"));
            let refused = refused.context("APPEND is refused")?;
            ensure!(refused.contains("[OVERQUOTA]"), "{refused}");
            ensure!(refused.contains("the domain together"), "{refused}");
            // Ten of ten: told again, over the limit; then not any more, whoever is killed.
            let nearly = format!("{SUBJECT} nearly full");
            ours.wait_for_mail("admin@demo.test", &nearly)?;
            ours.end(world, "KILL")?;
            ours.serve(world)?;
            let (code, text) = smtp::Client::connect(&ours.addr(25)).and_then(|mut client| {
                client.expect("EHLO client.test", 250)?;
                client.expect("MAIL FROM:<x@far.test>", 250)?;
                client.command("RCPT TO:<alice@demo.test>")
            })?;
            ensure!(code == 452 && text.contains("the domain"), "{text}");
            let shown = ours.cli(&["domain", "quota", "demo.test", "--json"])?;
            let shown: serde_json::Value = serde_json::from_str(&shown)?;
            ensure!(
                shown["messages"] == 11 && shown["quota_messages"] == 10,
                "{shown}"
            );
            let (code, text) =
                ours.try_cli(&["domain", "quota", "demo.test", "--none", "--bytes", "1"])?;
            ensure!(code == Some(2), "{text}");
            ours.cli(&["domain", "quota", "demo.test", "--none"])?;
            let mut imap = imap::Client::login(&ours.addr(143), "admin@demo.test", PASSWORD)?;
            let notices = imap.messages("INBOX")?;
            let notices = notices
                .iter()
                .filter(|text| contains(text, SUBJECT.as_bytes()));
            ensure!(notices.count() == 2, "each mark is told once");
            ours.assert_sound()
        },
    );
}
