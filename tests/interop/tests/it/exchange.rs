//! Mail from and to Postfix, Exim and OpenSMTPD, which find us and are found by
//! DNS: from one byte to 50 MB, with TLS and without, and to addresses in Chinese.

use anyhow::ensure;
use interop::exim::{Exim, Tls};
use interop::opensmtpd::OpenSmtpd;
use interop::postfix::Postfix;
use interop::posthouse::{PASSWORD, Posthouse, contains};
use interop::world::{Needs, World, run, wait_for};
use interop::{Result, dns, imap, smtp};
use std::time::Duration;

const THEIRS: &str = "127.0.0.4";
const ZONES: &[(&str, &str)] = &[
    ("demo.test", "@ MX 10 mx\nmx A 127.0.0.10"),
    ("far.test", "@ MX 10 mx\nmx A 127.0.0.4"),
    ("xn--fsqu00a.xn--0zwm56d", "@ MX 10 mx.demo.test."),
];

/// Sizes of a message's text, in octets.
const SIZES: [usize; 3] = [1, 10_000, 50_000_000];

pub(super) fn ours(world: &mut World) -> Result<Posthouse> {
    dns::start(world, ZONES)?;
    let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["alice"])?;
    ours.serve(world)?;
    Ok(ours)
}

/// A message with `mark` as its subject and so much text in UTF-8, sent as it is.
pub(super) fn message(mark: &str, octets: usize) -> Vec<u8> {
    let mut text = format!(
        "Date: Wed, 25 Nov 2026 10:00:00 +0800\r\nFrom: <alice@demo.test>\r\nTo: <bea@far.test>\r\n\
         Subject: {mark}\r\nMessage-ID: <{mark}@demo.test>\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    );
    let line =
        "\u{5927}\u{5bb6}\u{597d}, \u{9a7f}\u{7ad9}! The mail goes on at the next post house.\r\n";
    let end = text.len() + octets;
    while text.len() + line.len() <= end {
        text.push_str(line);
    }
    while text.len() < end {
        text.push('x');
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// Gives the peer a message for us, as one of its own would.
fn from_them(to: &str, mark: &str, octets: usize) -> Result<Vec<u8>> {
    let message = message(mark, octets);
    let mut client = smtp::Client::connect(&format!("{THEIRS}:25"))?;
    client.expect("EHLO client.far.test", 250)?;
    let (code, text) = client.send("bea@far.test", &[to], &message)?;
    ensure!(code == 250, "{text}");
    Ok(message)
}

/// Submits a message for them with us.
fn from_us(world: &World, ours: &Posthouse, mark: &str, octets: usize) -> Result<Vec<u8>> {
    let message = message(mark, octets);
    ours.submit(world, &["bea@far.test"], &message)?;
    Ok(message)
}

/// The message in Alice's mailbox whose subject is `mark`, once it has come.
fn at_alice(ours: &Posthouse, mark: &str) -> Result<Vec<u8>> {
    wait_for(mark, Duration::from_secs(60), || {
        let mut imap = imap::Client::login(&ours.addr(143), "alice@demo.test", PASSWORD)?;
        imap.command("EXAMINE INBOX")?;
        let found = imap.command(&format!("SEARCH SUBJECT {mark}"))?;
        let found = String::from_utf8_lossy(&found.concat()).into_owned();
        let Some(number) = found.split_whitespace().nth(2).map(str::to_owned) else {
            return Ok(None);
        };
        let got = imap.command(&format!("FETCH {number} BODY.PEEK[]"))?;
        Ok(got.iter().find_map(|response| imap::literal(response)))
    })
}

/// What stands above the message itself, which must be as it was sent.
pub(super) fn head<'a>(got: &'a [u8], sent: &[u8]) -> Result<std::borrow::Cow<'a, str>> {
    ensure!(
        got.ends_with(sent),
        "the message changed on its way: {} octets became {}",
        sent.len(),
        got.len()
    );
    Ok(String::from_utf8_lossy(&got[..got.len() - sent.len()]))
}

/// As a Maildir has it: with bare line ends.
pub(super) fn bare(message: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(message)
        .replace("\r\n", "\n")
        .into_bytes()
}

/// One of theirs writes to an address of ours in Chinese (RFC 6531).
fn in_chinese(ours: &Posthouse) -> Result<()> {
    ours.cli(&["domain", "add", "\u{4f8b}\u{5b50}.\u{6d4b}\u{8bd5}"])?;
    let chinese = "\u{4e2d}\u{6587}@\u{4f8b}\u{5b50}.\u{6d4b}\u{8bd5}";
    ours.cli(&["alias", "add", chinese, "alice@demo.test"])?;
    let sent = message("in-chinese", 1000);
    let mut client = smtp::Client::connect(&format!("{THEIRS}:25"))?;
    client.expect("EHLO client.far.test", 250)?;
    client.expect("MAIL FROM:<bea@far.test> SMTPUTF8", 250)?;
    client.expect(&format!("RCPT TO:<{chinese}>"), 250)?;
    client.expect("DATA", 354)?;
    client.raw(&sent)?;
    client.expect(".", 250)?;
    let got = at_alice(ours, "in-chinese")?;
    let head = head(&got, &sent)?;
    ensure!(head.contains("with UTF8SMTP"), "{head}");
    ensure!(head.contains(chinese), "{head}");
    Ok(())
}

pub(super) fn queue_is_empty(ours: &Posthouse) -> Result<()> {
    wait_for("the queue to be empty", Duration::from_secs(30), || {
        let list = ours.cli(&["queue", "list", "--json"])?;
        Ok((list.trim() == "[]").then_some(()))
    })
}

#[test]
fn postfix_and_we_exchange_mail_of_any_size_and_in_chinese() {
    run(
        "exchange::postfix_and_we_exchange_mail_of_any_size_and_in_chinese",
        Needs::Peers,
        |world| {
            let ours = ours(world)?;
            let postfix = Postfix::start(world, THEIRS, "far.test", &["bea"])?;
            for octets in SIZES {
                let mark = format!("postfix-in-{octets}");
                let sent = from_them("alice@demo.test", &mark, octets)?;
                let got = at_alice(&ours, &mark)?;
                let head = head(&got, &sent)?;
                ensure!(head.contains("with ESMTPS"), "not by TLS: {head}");

                let mark = format!("postfix-out-{octets}");
                let sent = from_us(world, &ours, &mark, octets)?;
                let needle = format!("Subject: {mark}\n");
                let got = wait_for(&mark, Duration::from_secs(60), || {
                    let all = postfix.mail("bea@far.test")?;
                    Ok(all.into_iter().find(|got| contains(got, needle.as_bytes())))
                })?;
                self::head(&got, &bare(&sent))?;
            }
            in_chinese(&ours)?;
            queue_is_empty(&ours)?;
            ours.assert_sound()
        },
    );
}

/// What Postfix's load generator sends, pipelined, by ten sessions at once.
#[test]
fn all_that_smtp_source_sends_arrives() {
    run(
        "exchange::all_that_smtp_source_sends_arrives",
        Needs::Peers,
        |world| {
            let ours = ours(world)?;
            world.output(
                "smtp-source",
                [
                    "-s",
                    "10",
                    "-m",
                    "200",
                    "-l",
                    "5000",
                    "-f",
                    "bea@far.test",
                    "-t",
                    "alice@demo.test",
                    "127.0.0.10:25",
                ],
            )?;
            let mut imap = imap::Client::login(&ours.addr(143), "alice@demo.test", PASSWORD)?;
            let status = imap.command("STATUS INBOX (MESSAGES)")?.concat();
            ensure!(
                contains(&status, b"MESSAGES 200)"),
                "{}",
                String::from_utf8_lossy(&status)
            );
            ours.assert_sound()
        },
    );
}

#[test]
fn exim_and_we_exchange_mail_of_any_size_over_tls() {
    run(
        "exchange::exim_and_we_exchange_mail_of_any_size_over_tls",
        Needs::Peers,
        |world| {
            let ours = ours(world)?;
            let exim = Exim::start(world, THEIRS, "far.test", Tls::Opportunistic)?;
            for octets in SIZES {
                let mark = format!("exim-in-{octets}");
                let sent = from_them("alice@demo.test", &mark, octets)?;
                let got = at_alice(&ours, &mark)?;
                let head = head(&got, &sent)?;
                ensure!(head.contains("with ESMTPS"), "not by TLS: {head}");

                let mark = format!("exim-out-{octets}");
                let sent = from_us(world, &ours, &mark, octets)?;
                let got = exim.wait_for_mail(&format!("Subject: {mark}\n"))?;
                let head = self::head(&got, &bare(&sent))?;
                ensure!(head.contains("with esmtps"), "not by TLS: {head}");
            }
            queue_is_empty(&ours)?;
            ours.assert_sound()
        },
    );
}

#[test]
fn exim_without_tls_and_addresses_in_chinese() {
    run(
        "exchange::exim_without_tls_and_addresses_in_chinese",
        Needs::Peers,
        |world| {
            let ours = ours(world)?;
            let exim = Exim::start(world, THEIRS, "far.test", Tls::Off)?;

            in_chinese(&ours)?;

            let sent = from_us(world, &ours, "exim-plain", 1000)?;
            let got = exim.wait_for_mail("Subject: exim-plain\n")?;
            let head = head(&got, &bare(&sent))?;
            ensure!(head.contains("with esmtp "), "{head}");
            queue_is_empty(&ours)?;
            ours.assert_sound()
        },
    );
}

#[test]
fn opensmtpd_and_we_exchange_mail_of_any_size() {
    run(
        "exchange::opensmtpd_and_we_exchange_mail_of_any_size",
        Needs::Peers,
        |world| {
            let ours = ours(world)?;
            let theirs = OpenSmtpd::start(world, THEIRS, "far.test")?;
            for octets in SIZES {
                let mark = format!("opensmtpd-in-{octets}");
                let sent = from_them("alice@demo.test", &mark, octets)?;
                let got = at_alice(&ours, &mark)?;
                let head = head(&got, &sent)?;
                ensure!(head.contains("with ESMTPS"), "not by TLS: {head}");

                let mark = format!("opensmtpd-out-{octets}");
                let sent = from_us(world, &ours, &mark, octets)?;
                let got = theirs.wait_for_mail(&format!("Subject: {mark}\n"))?;
                let head = self::head(&got, &bare(&sent))?;
                ensure!(head.contains("TLS"), "not by TLS: {head}");
            }
            queue_is_empty(&ours)?;
            ours.assert_sound()
        },
    );
}

/// A server without SMTPUTF8 cannot have mail for such an address: RFC 6531 §3.6.
#[test]
fn what_opensmtpd_cannot_take_comes_back_with_the_reason() {
    run(
        "exchange::what_opensmtpd_cannot_take_comes_back_with_the_reason",
        Needs::Peers,
        |world| {
            let ours = ours(world)?;
            let _theirs = OpenSmtpd::start(world, THEIRS, "far.test")?;
            let file = world.dir().join("message.eml");
            std::fs::write(&file, message("to-chinese", 100))?;
            let script = format!(
                "import smtplib, ssl\n\
                 c = ssl._create_unverified_context()\n\
                 s = smtplib.SMTP('127.0.0.10', 587)\n\
                 s.starttls(context=c)\n\
                 s.login('alice@demo.test', '{PASSWORD}')\n\
                 s.sendmail('alice@demo.test', ['\u{4e2d}\u{6587}@far.test'], open('{}', 'rb').read(), mail_options=['SMTPUTF8'])\n\
                 s.quit()\n",
                file.display()
            );
            world.output("python3", ["-c", &script])?;
            let back = ours.wait_for_mail("alice@demo.test", "multipart/report")?;
            ensure!(
                contains(&back, b"5.6.7"),
                "{}",
                String::from_utf8_lossy(&back)
            );
            queue_is_empty(&ours)?;
            ours.assert_sound()
        },
    );
}
