//! Bad input and bad days: each gets a clear answer and loses nothing.

use anyhow::{Context as _, ensure};
use interop::posthouse::{PASSWORD, Posthouse, contains, program};
use interop::world::{Needs, World, run};
use interop::{Result, imap, smtp};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

fn ours(world: &mut World) -> Result<Posthouse> {
    let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["alice", "bob"])?;
    ours.serve(world)?;
    Ok(ours)
}

/// After any mischief the server still takes and shows a message.
fn assert_well(ours: &Posthouse) -> Result<()> {
    let mark = format!("well-{}", fastrand::u64(..));
    let mut client = smtp::Client::connect(&ours.addr(25))?;
    client.expect("EHLO client.test", 250)?;
    let (code, text) = client.send(
        "x@far.test",
        &["bob@demo.test"],
        format!("Subject: {mark}\r\n\r\nx").as_bytes(),
    )?;
    ensure!(code == 250, "{text}");
    ours.wait_for_mail("bob@demo.test", &mark).map(drop)
}

#[test]
fn smtp_answers_every_kind_of_nonsense() {
    run(
        "bad_input::smtp_answers_every_kind_of_nonsense",
        Needs::Nothing,
        |world| {
            let ours = ours(world)?;
            let hello = || -> Result<smtp::Client> {
                let mut client = smtp::Client::connect(&ours.addr(25))?;
                client.expect("EHLO client.test", 250)?;
                Ok(client)
            };
            let mut client = hello()?;
            let (code, _) = client.command(&format!("NOOP {}", "x".repeat(20_000)))?;
            ensure!(code == 500, "a line of 20,000 octets: {code}");
            client.expect("NOOP", 250).context("after a long line")?;
            client
                .expect("MAIL FROM:<a\0b@far.test>", 500)
                .context("NUL in a command")?;
            client.raw(b"MAIL FROM:<\xe4\xb8\xad@far.test>\r\n")?;
            let (code, text) = client.reply()?;
            ensure!(
                (500..=599).contains(&code),
                "8-bit without SMTPUTF8: {text}"
            );
            client.expect("RCPT TO:<bob@demo.test>", 503)?;
            client.expect("DATA", 503)?;
            client.expect("FROBNICATE", 500)?;
            client.expect("TURN", 502)?;
            client.expect("MAIL FROM:<x@far.test>", 250)?;
            client.expect("DATA", 503)?;
            client.expect("RCPT TO:<nobody@demo.test>", 550)?;
            client
                .expect("RCPT TO:<bob@demo.test>", 250)
                .context("the state is unchanged after errors")?;
            client.expect("RSET", 250)?;

            for _ in 0..2 {
                // Half a message and a closed socket.
                let mut half = hello()?;
                half.expect("MAIL FROM:<x@far.test>", 250)?;
                half.expect("RCPT TO:<bob@demo.test>", 250)?;
                half.expect("DATA", 354)?;
                half.raw(b"Subject: half of it\r\n\r\nnot the end")?;
            }
            let mut many = hello()?;
            many.expect("MAIL FROM:<x@far.test>", 250)?;
            let mut last = 250;
            for n in 0..100_000 {
                let (code, _) = many.command(&format!("RCPT TO:<bob+{n}@demo.test>"))?;
                last = code;
                if code != 250 {
                    break;
                }
            }
            ensure!(last == 452 || last == 421, "100,000 recipients: {last}");

            let mut endless = hello()?;
            endless.expect("MAIL FROM:<x@far.test>", 250)?;
            endless.expect("RCPT TO:<bob@demo.test>", 250)?;
            endless.expect("DATA", 354)?;
            let line = format!("X-Endless: {}\r\n", "y".repeat(900));
            for _ in 0..5000 {
                endless.raw(line.as_bytes())?;
            }
            endless.raw(b"\r\nbody\r\n.\r\n")?;
            let (code, text) = endless.reply()?;
            ensure!(
                code == 250 || code == 552 || code == 554,
                "endless headers: {text}"
            );

            assert_well(&ours)?;
            let mut imap = imap::Client::login(&ours.addr(143), "bob@demo.test", PASSWORD)?;
            let halves = imap
                .messages("INBOX")?
                .iter()
                .filter(|m| contains(m, b"half of it"))
                .count();
            ensure!(halves == 0, "half a message was delivered");
            ours.assert_sound()
        },
    );
}

#[test]
fn threat_01_no_smuggling_through_line_ends() {
    run(
        "bad_input::threat_01_no_smuggling_through_line_ends",
        Needs::Nothing,
        |world| {
            let ours = ours(world)?;
            for end in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r.\r\n"] {
                let mut client = smtp::Client::connect(&ours.addr(25))?;
                client.expect("EHLO client.test", 250)?;
                client.expect("MAIL FROM:<x@far.test>", 250)?;
                client.expect("RCPT TO:<bob@demo.test>", 250)?;
                client.expect("DATA", 354)?;
                let inner = "MAIL FROM:<boss@demo.test>\r\nRCPT TO:<alice@demo.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx";
                client.raw(format!("Subject: outer\r\n\r\nx{end}{inner}\r\n.\r\n").as_bytes())?;
                let (code, text) = client.reply()?;
                ensure!((500..=599).contains(&code), "{end:?} was taken: {text}");
                client
                    .expect("NOOP", 250)
                    .with_context(|| format!("{end:?} left replies behind"))?;
            }
            let mut imap = imap::Client::login(&ours.addr(143), "alice@demo.test", PASSWORD)?;
            ensure!(
                imap.messages("INBOX")?.is_empty(),
                "a smuggled message arrived"
            );
            Ok(())
        },
    );
}

#[test]
fn threat_08_it_is_not_an_open_relay() {
    run(
        "bad_input::threat_08_it_is_not_an_open_relay",
        Needs::Nothing,
        |world| {
            let ours = ours(world)?;
            let tricks = [
                "<victim@far.test>",
                "<victim%far.test@demo.test>",
                "<victim%far.test@[127.0.0.10]>",
                "<far.test!victim@demo.test>",
                "<far.test!victim>",
                "<@demo.test:victim@far.test>",
                "<@demo.test,@far.test:victim@far.test>",
                "<\"victim@far.test\"@demo.test>",
                "<\"victim%far.test\"@demo.test>",
                "<\"victim\"@far.test>",
                "<victim@[127.0.0.3]>",
                "<victim@[IPv6:::1]>",
                "<victim@far.test@demo.test>",
                "<victim@demo.test@far.test>",
                "<nobody+victim=far.test@demo.test>",
                "<victim@FAR.TEST>",
                "<victim@demo.test.far.test>",
                "<victim@demo\u{17f}.test>",
                "<=?utf-8?q?victim=40far.test=3e?=@demo.test>",
                "victim@far.test",
                "<victim@far.test",
                "<victim@far.test.>",
            ];
            for from in ["x@far.test", "alice@demo.test", ""] {
                for trick in tricks {
                    let mut client = smtp::Client::connect(&ours.addr(25))?;
                    client.expect("EHLO client.test", 250)?;
                    client.expect(&format!("MAIL FROM:<{from}>"), 250)?;
                    let (code, text) = client.command(&format!("RCPT TO:{trick}"))?;
                    ensure!(
                        (500..=599).contains(&code),
                        "from <{from}> {trick} was taken: {text}"
                    );
                }
            }
            let list = ours.cli(&["queue", "list", "--json"])?;
            ensure!(list.trim() == "[]", "{list}");
            Ok(())
        },
    );
}

#[test]
fn imap_answers_every_kind_of_nonsense() {
    run(
        "bad_input::imap_answers_every_kind_of_nonsense",
        Needs::Nothing,
        |world| {
            let ours = ours(world)?;
            for (what, text) in [
                ("a literal of 4 GB before login", "LOGIN {4294967295}"),
                (
                    "a literal beyond all numbers",
                    "LOGIN {99999999999999999999}",
                ),
                ("endless parentheses", &format!("LIST {}", "(".repeat(5000))),
                ("an unknown command", "FROBNICATE"),
                ("a command before login", "SELECT INBOX"),
            ] {
                let mut client = imap::Client::connect(&ours.addr(143))?;
                let (ok, _, last) = client.try_command(text).with_context(|| what.to_owned())?;
                ensure!(!ok, "{what}: {last}");
            }
            let mut client = imap::Client::login(&ours.addr(143), "alice@demo.test", PASSWORD)?;
            let (ok, _, last) = client.try_command("APPEND INBOX {4294967295}")?;
            ensure!(!ok, "an APPEND of 4 GB: {last}");
            let (ok, _, last) = client.try_command("SELECT \"no such mailbox\"")?;
            ensure!(!ok && last.contains("NONEXISTENT"), "{last}");
            client.command("NOOP")?;
            for (port, nonsense) in [
                (143, &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..]),
                (110, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
                (25, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
                (25, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
                (143, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
                (110, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
                (24, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
                (587, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
                (25, b"* OK IMAP4rev1\r\n"),
                (24, b"+OK POP3\r\n"),
                (143, b"220 mx.far.test ESMTP\r\n"),
                (110, b"* OK IMAP4rev1\r\n"),
            ] {
                let mut stream = TcpStream::connect(ours.addr(port))?;
                stream.set_read_timeout(Some(Duration::from_secs(10)))?;
                // Its own greeting may be there; what comes behind it is nothing.
                stream.write_all(nonsense)?;
                let mut all = Vec::new();
                let closed = stream.read_to_end(&mut all);
                ensure!(
                    closed.is_ok()
                        || closed.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset),
                    "port {port} did not close on another protocol"
                );
            }
            assert_well(&ours)
        },
    );
}

#[test]
fn threat_07_wrong_passwords_are_slow_and_all_alike() {
    run(
        "bad_input::threat_07_wrong_passwords_are_slow_and_all_alike",
        Needs::Nothing,
        |world| {
            let ours = ours(world)?;
            let mut answers = Vec::new();
            for user in ["alice@demo.test", "nobody@demo.test"] {
                let mut client = imap::Client::connect(&ours.addr(143))?;
                let start = std::time::Instant::now();
                let (ok, _, last) = client.try_command(&format!("LOGIN \"{user}\" wrong"))?;
                ensure!(!ok && last.contains("AUTHENTICATIONFAILED"), "{last}");
                ensure!(
                    start.elapsed() > Duration::from_millis(300),
                    "a wrong password was answered at once"
                );
                answers.push(last);
            }
            ensure!(answers[0] == answers[1], "{answers:?}");
            imap::Client::login(&ours.addr(143), "alice@demo.test", PASSWORD)?;
            Ok(())
        },
    );
}

#[test]
fn a_full_disk_is_a_4xx_and_loses_nothing() {
    run(
        "bad_input::a_full_disk_is_a_4xx_and_loses_nothing",
        Needs::Nothing,
        |world| {
            let small = world.folder("posthouse-127.0.0.10")?;
            world.sh(&format!(
                "mount -t tmpfs -o size=96m tmpfs {}",
                small.display()
            ))?;
            let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["alice", "bob"])?;
            ours.set("store.segment_bytes", "\"8 MiB\"")?;
            ours.serve(world)?;
            let body = "0123456789abcde\r\n".repeat(60_000);
            let (mut taken, mut refused) = (0, 0);
            let mut client = smtp::Client::connect(&ours.addr(25))?;
            client.expect("EHLO client.test", 250)?;
            for n in 0..200 {
                let mut step = |line: &str| client.command(line);
                let mut code = step("MAIL FROM:<x@far.test>")?.0;
                if code == 250 {
                    code = step("RCPT TO:<bob@demo.test>")?.0;
                }
                if code == 250 {
                    code = step("DATA")?.0;
                }
                if code == 354 {
                    // Random text, so that compression saves nothing to speak of.
                    let salt: String = (0..body.len() / 2)
                        .map(|_| fastrand::alphanumeric())
                        .collect();
                    let salted: Vec<String> = salt
                        .as_bytes()
                        .chunks(76)
                        .map(|c| String::from_utf8_lossy(c).into_owned())
                        .collect();
                    let text = format!("Subject: fill {n}\r\n\r\n{}\r\n.\r\n", salted.join("\r\n"));
                    client.raw(text.as_bytes())?;
                    code = client.reply()?.0;
                }
                match code {
                    250 => taken += 1,
                    400..=499 => {
                        refused += 1;
                        client.command("RSET")?;
                    }
                    other => anyhow::bail!("a full disk was answered {other}"),
                }
                if refused > 5 {
                    break;
                }
            }
            ensure!(taken > 5 && refused > 5, "{taken} taken, {refused} refused");
            let mut imap = imap::Client::login(&ours.addr(143), "bob@demo.test", PASSWORD)?;
            ensure!(
                imap.messages("INBOX")?.len() == taken,
                "what was taken is there"
            );
            ours.end(world, "TERM")?;
            ours.serve(world)
                .context("it starts again on a full disk")?;
            let mut imap = imap::Client::login(&ours.addr(143), "bob@demo.test", PASSWORD)?;
            ensure!(
                imap.messages("INBOX")?.len() == taken,
                "what was taken is there after a restart"
            );
            drop(imap);
            ours.end(world, "TERM")?;
            world.sh(&format!("umount {}", small.display()))
        },
    );
}

#[test]
fn a_config_with_three_mistakes_tells_all_three() {
    run(
        "bad_input::a_config_with_three_mistakes_tells_all_three",
        Needs::Nothing,
        |world| {
            let ours = Posthouse::init(world, "127.0.0.10", "demo.test", &[])?;
            let path = ours.config();
            let text = std::fs::read_to_string(&path)?;
            std::fs::write(
                &path,
                format!(
                    "hostnam = \"x\"\n{text}\n[limits]\nrecipients = \"many\"\n[log]\nformat = \"xml\"\n"
                ),
            )?;
            let (code, out) = ours.try_cli(&["config", "check"])?;
            ensure!(code != Some(0), "{out}");
            for part in [
                "hostnam",
                "hostname",
                "limits.recipients",
                "log.format",
                "line",
            ] {
                ensure!(out.contains(part), "the answer lacks {part:?}:\n{out}");
            }
            Ok(())
        },
    );
}

#[test]
fn the_second_server_on_a_folder_refuses() {
    run(
        "bad_input::the_second_server_on_a_folder_refuses",
        Needs::Nothing,
        |world| {
            let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["bob"])?;
            let pid = ours.serve(world)?;
            let mut second = std::process::Command::new(program());
            let out = second
                .arg("serve")
                .arg("--config")
                .arg(ours.config())
                .output()?;
            let text = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
            ensure!(
                !out.status.success() && text.contains(&pid.to_string()),
                "{text}"
            );
            assert_well(&ours)
        },
    );
}

#[test]
fn threat_06_a_slow_client_is_let_go_and_others_are_served() {
    run(
        "bad_input::threat_06_a_slow_client_is_let_go_and_others_are_served",
        Needs::Nothing,
        |world| {
            let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["alice", "bob"])?;
            // The shortest that may be set.
            ours.set("smtp.idle_timeout", "\"10s\"")?;
            ours.serve(world)?;
            let slow = |port: u16| -> Result<Vec<TcpStream>> {
                (0..20)
                    .map(|_| {
                        let mut stream = TcpStream::connect(ours.addr(port))?;
                        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
                        stream.write_all(b"E")?;
                        Ok(stream)
                    })
                    .collect()
            };
            // Those on the other ports may take a minute at least; they hold nobody up.
            let mut patient = Vec::new();
            for port in [465, 143, 993, 110] {
                patient.extend(slow(port)?);
            }
            let mut impatient = slow(25)?;
            impatient.extend(slow(587)?);
            assert_well(&ours)?;
            for mut stream in impatient {
                let mut said = String::new();
                stream
                    .read_to_string(&mut said)
                    .context("the server closes by itself")?;
                ensure!(
                    said.contains("\r\n421 4.4.2 "),
                    "let go without a word: {said}"
                );
            }
            drop(patient);
            assert_well(&ours)
        },
    );
}
