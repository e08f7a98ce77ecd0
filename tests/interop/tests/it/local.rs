//! What stands on the same machine or in front of it: scripts that call
//! sendmail, proxies that say who their client is.

use anyhow::{Result, ensure};
use interop::posthouse::{Posthouse, contains, program};
use interop::world::{Needs, World, run, wait_for};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// Runs a shell line; its exit status and what it printed.
fn shell(world: &World, line: &str) -> Result<(String, String)> {
    let (_, text) = world.try_output("sh", ["-c", &format!("{line}; echo \"status $?\"")])?;
    let status = text.lines().find_map(|line| line.strip_prefix("status "));
    Ok((status.unwrap_or("none").to_owned(), text))
}

#[test]
fn scripts_hand_mail_over_by_sendmail() {
    run(
        "local::scripts_hand_mail_over_by_sendmail",
        Needs::Nothing,
        |world| {
            let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["alice"])?;
            let socket = world.dir().join("sendmail.sock");
            ours.set("sendmail.socket", &format!("\"{}\"", socket.display()))?;
            ours.set("outbound.mode", "\"hold\"")?;
            let sendmail = world.dir().join("sendmail");
            std::os::unix::fs::symlink(program(), &sendmail)?;
            let command = format!("{} -C {}", sendmail.display(), ours.config().display());
            // Nobody there yet: try again later.
            let (status, text) = shell(world, &format!("echo x | {command} alice@demo.test"))?;
            ensure!(status == "75", "{text}");
            ours.serve(world)?;
            wait_for("the socket", Duration::from_secs(20), || {
                Ok(socket.exists().then_some(()))
            })?;

            let message = "To: alice, Friend <friend@elsewhere.test>\\nBcc: admin@demo.test\\nSubject: from cron\\n\\n.dots\\nend\\n";
            let (status, text) = shell(
                world,
                &format!("printf '{message}' | {command} -t -oi -F 'Cron Daemon'"),
            )?;
            ensure!(status == "0", "{text}");
            let got = ours.wait_for_mail("alice@demo.test", "from cron")?;
            for part in [
                &b"Return-Path: <root@demo.test>"[..],
                b"From: \"Cron Daemon\" <root@demo.test>",
                b"\r\n.dots\r\nend\r\n",
                b"\r\nDate: ",
                b"\r\nMessage-ID: ",
            ] {
                let text = String::from_utf8_lossy(&got);
                ensure!(contains(&got, part), "{text}");
            }
            ensure!(!contains(&got, b"Bcc"), "Bcc is shown");
            ours.wait_for_mail("admin@demo.test", "from cron")?;
            let waiting = ours.cli(&["queue", "list"])?;
            ensure!(waiting.contains("friend@elsewhere.test"), "{waiting}");

            for (words, want) in [
                ("-f boss@bank.test alice@demo.test", "77"),
                ("nobody-here@demo.test", "67"),
                ("-z alice@demo.test", "64"),
                ("", "64"),
                ("-t", "64"),
            ] {
                let line = format!("printf 'Subject: no\\n\\nx\\n' | {command} {words}");
                let (status, text) = shell(world, &line)?;
                ensure!(status == want, "{words}: {text}");
            }
            // Who is known gets it beside somebody who is not.
            let line = format!("printf 'Subject: both\\n\\nx\\n' | {command} nobody-here alice");
            ensure!(shell(world, &line)?.0 == "67");
            ours.wait_for_mail("alice@demo.test", "Subject: both")?;

            // -bs, and the subcommand.
            let dialogue = "EHLO me\\r\\nMAIL FROM:<root@demo.test>\\r\\nRCPT TO:<alice@demo.test>\\r\\nDATA\\r\\nSubject: by hand\\r\\n\\r\\nx\\r\\n.\\r\\nQUIT\\r\\n";
            let (status, text) = shell(world, &format!("printf '{dialogue}' | {command} -bs"))?;
            ensure!(status == "0" && text.contains("221 "), "{text}");
            ours.wait_for_mail("alice@demo.test", "by hand")?;
            let subcommand = format!(
                "printf 'Subject: sub\\n\\nx\\n' | {} --config {} sendmail -i alice",
                program().display(),
                ours.config().display()
            );
            let (status, text) = shell(world, &subcommand)?;
            ensure!(status == "0", "{text}");
            ours.wait_for_mail("alice@demo.test", "Subject: sub")?;
            Ok(())
        },
    );
}

/// A connection that says this first; what is heard up to the needle.
fn hear(addr: &str, first: &[u8], needle: &str) -> Result<(BufReader<TcpStream>, String)> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(first)?;
    let mut reader = BufReader::new(stream);
    let mut heard = String::new();
    while !heard.contains(needle) {
        if reader.read_line(&mut heard)? == 0 {
            break;
        }
    }
    Ok((reader, heard))
}

#[test]
fn a_proxys_clients_are_who_it_says_on_every_mail_port() {
    run(
        "local::a_proxys_clients_are_who_it_says_on_every_mail_port",
        Needs::Program("openssl"),
        |world| {
            let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["alice"])?;
            ours.set("trust.proxies", "[\"127.0.0.0/8\"]")?;
            ours.serve(world)?;
            let header = b"PROXY TCP4 192.0.2.7 203.0.113.1 40000 25\r\n";
            let message =
                b"EHLO far.test\r\nMAIL FROM:<a@far.test>\r\nRCPT TO:<alice@demo.test>\r\nDATA\r\n";
            let (mut smtp, heard) = hear(&ours.addr(25), &[&header[..], message].concat(), "354 ")?;
            ensure!(heard.contains("354 "), "{heard}");
            smtp.get_mut()
                .write_all(b"Subject: proxied\r\n\r\nx\r\n.\r\nQUIT\r\n")?;
            let mut rest = String::new();
            smtp.read_to_string(&mut rest)?;
            ensure!(rest.starts_with("250 2.0.0"), "{rest}");

            // A client that is not on this machine may not log in without TLS; one that is may.
            let far = [&header[..], b"a CAPABILITY\r\n"].concat();
            let (_, heard) = hear(&ours.addr(143), &far, "a OK")?;
            ensure!(heard.contains("LOGINDISABLED"), "{heard}");
            let here = b"PROXY UNKNOWN\r\na CAPABILITY\r\n";
            let (_, heard) = hear(&ours.addr(143), here, "a OK")?;
            ensure!(
                heard.contains("a OK") && !heard.contains("LOGINDISABLED"),
                "{heard}"
            );
            let login = "a LOGIN alice@demo.test correct-horse-7\r\na SELECT INBOX\r\na FETCH 1 BODY[HEADER]\r\n";
            let (_, heard) = hear(
                &ours.addr(143),
                format!("PROXY UNKNOWN\r\n{login}").as_bytes(),
                "Subject: proxied",
            )?;
            ensure!(heard.contains("from far.test ([192.0.2.7])"), "{heard}");
            let (_, heard) = hear(&ours.addr(110), header, "+OK")?;
            ensure!(heard.starts_with("+OK"), "{heard}");
            // TLS from the first octet begins behind the header.
            let (_, text) = world.try_output(
                "sh",
                [
                    "-c",
                    "echo | openssl s_client -connect 127.0.0.10:993 -brief 2>&1 | head -5",
                ],
            )?;
            ensure!(!text.contains("Verification"), "no header, no TLS: {text}");
            for port in [25, 143, 110] {
                let (_, heard) = hear(&ours.addr(port), b"QUIT\r\n", "\n")?;
                ensure!(heard.is_empty(), "{port}: {heard}");
            }
            Ok(())
        },
    );
}
