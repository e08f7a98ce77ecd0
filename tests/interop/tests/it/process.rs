//! The server as a process: service manager, privileges, certificates, log, metrics.

use anyhow::{Context as _, ensure};
use interop::posthouse::{PASSWORD, Posthouse};
use interop::world::{Needs, World, run, wait_for};
use interop::{Result, imap, smtp};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

fn ours(world: &World) -> Result<Posthouse> {
    Posthouse::init(world, "127.0.0.10", "demo.test", &["alice", "bob"])
}

#[test]
fn the_service_manager_is_told_and_a_drain_lets_a_message_finish() {
    run(
        "process::the_service_manager_is_told_and_a_drain_lets_a_message_finish",
        Needs::Nothing,
        |world| {
            let mut ours = ours(world)?;
            let path = world.dir().join("notify");
            let manager = UnixDatagram::bind(&path)?;
            manager.set_read_timeout(Some(Duration::from_secs(20)))?;
            ours.var("NOTIFY_SOCKET", &path.display().to_string());
            let pid = ours.serve(world)?;
            expect_notice(&manager, "READY=1")?;

            let mut client = smtp::Client::connect(&ours.addr(25))?;
            client.expect("EHLO client.test", 250)?;
            client.expect("MAIL FROM:<x@far.test>", 250)?;
            client.expect("RCPT TO:<bob@demo.test>", 250)?;
            client.expect("DATA", 354)?;
            world.sh(&format!("kill -TERM {pid}"))?;
            expect_notice(&manager, "STOPPING=1")?;
            wait_for("the port to close", Duration::from_secs(10), || {
                Ok(TcpStream::connect(ours.addr(25)).err())
            })?;
            client.raw(b"Subject: in the drain\r\n\r\nx\r\n.\r\n")?;
            let (code, text) = client.reply()?;
            ensure!(code == 250, "the message that had begun: {text}");
            let (code, text) = client.command("NOOP").unwrap_or((421, String::new()));
            ensure!(code == 421, "after it: {text}");
            wait_for("the server to end", Duration::from_secs(20), || {
                Ok((!world.is_running(pid)).then_some(()))
            })?;
            ours.serve(world)?;
            ours.wait_for_mail("bob@demo.test", "in the drain")?;
            Ok(())
        },
    );
}

fn expect_notice(manager: &UnixDatagram, wanted: &str) -> Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let n = manager
            .recv(&mut buffer)
            .with_context(|| format!("waiting for {wanted}"))?;
        let text = String::from_utf8_lossy(&buffer[..n]);
        if text.lines().any(|line| line == wanted) {
            return Ok(());
        }
    }
}

#[test]
fn root_gives_itself_up_once_the_ports_are_bound() {
    run(
        "process::root_gives_itself_up_once_the_ports_are_bound",
        Needs::Nothing,
        |world| {
            let mut ours = ours(world)?;
            ours.set("user", "nobody")?;
            let dir = ours.dir().display().to_string();
            world.sh(&format!(
                "chmod 755 {} && chown -R nobody {dir}",
                world.dir().display()
            ))?;
            let pid = ours.serve(world)?;
            let nobody = world.output("id", ["-u", "nobody"])?;
            let nobody = nobody.trim();
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
            let ids = |name: &str| -> Vec<String> {
                let line = status.lines().find(|line| line.starts_with(name));
                line.into_iter()
                    .flat_map(|line| line.split_whitespace().skip(1))
                    .map(str::to_owned)
                    .collect()
            };
            ensure!(ids("Uid:").iter().all(|id| id == nobody), "{status}");
            ensure!(!ids("Gid:").contains(&"0".to_owned()), "{status}");
            ensure!(!ids("Groups:").contains(&"0".to_owned()), "{status}");
            ensure!(ids("CapEff:") == ["0000000000000000"], "{status}");
            // Every thread, not the one that asked alone.
            for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
                let status = std::fs::read_to_string(thread?.path().join("status"))?;
                let uid = status.lines().find(|line| line.starts_with("Uid:"));
                ensure!(uid.is_some_and(|line| line.contains(nobody)), "{status}");
            }
            let mut client = smtp::Client::connect(&ours.addr(25))?;
            client.expect("EHLO client.test", 250)?;
            let (code, text) = client.send(
                "x@far.test",
                &["bob@demo.test"],
                b"Subject: as nobody\r\n\r\nx",
            )?;
            ensure!(code == 250, "{text}");
            ours.wait_for_mail("bob@demo.test", "as nobody").map(drop)
        },
    );
}

#[test]
fn a_new_certificate_is_served_and_old_sessions_go_on() {
    run(
        "process::a_new_certificate_is_served_and_old_sessions_go_on",
        Needs::Nothing,
        |world| {
            let mut ours = ours(world)?;
            let (certificate, key) = (world.dir().join("tls.pem"), world.dir().join("tls.key"));
            make_certificate(world, "first.test", &certificate, &key)?;
            let (c, k) = (certificate.display().to_string(), key.display().to_string());
            let alone = ours.try_cli(&["config", "set", "tls.certificate", &c])?;
            ensure!(
                alone.0 != Some(0) && alone.1.contains("tls.key is missing"),
                "{}",
                alone.1
            );
            ours.cli(&["config", "set", "tls.certificate", &c, "tls.key", &k])?;
            let pid = ours.serve(world)?;
            let mut old = TlsSession::open(&ours.addr(993))?;
            ensure!(old.line()?.starts_with("* OK"), "no greeting");
            ensure!(
                subject(world, &ours)?.contains("first.test"),
                "the first certificate"
            );

            make_certificate(world, "second.test", &certificate, &key)?;
            world.sh(&format!("kill -HUP {pid}"))?;
            wait_for("the second certificate", Duration::from_secs(10), || {
                Ok(subject(world, &ours)?.contains("second.test").then_some(()))
            })?;
            old.send(&format!("a LOGIN alice@demo.test {PASSWORD}"))?;
            let answer = old.line()?;
            ensure!(answer.starts_with("a OK"), "the old session: {answer}");

            // One that cannot be used changes nothing and is told.
            std::fs::write(&certificate, "no certificate")?;
            world.sh(&format!("kill -HUP {pid}"))?;
            wait_for("the complaint", Duration::from_secs(10), || {
                Ok(world
                    .log("posthouse-127.0.0.10")
                    .contains("the new certificate cannot be used")
                    .then_some(()))
            })?;
            ensure!(
                subject(world, &ours)?.contains("second.test"),
                "the second stays"
            );
            Ok(())
        },
    );
}

fn make_certificate(world: &World, name: &str, certificate: &Path, key: &Path) -> Result<()> {
    world.sh(&format!(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN={name} \
         -addext subjectAltName=DNS:{name} -out {0}.new -keyout {1} && mv {0}.new {0}",
        certificate.display(),
        key.display()
    ))
}

/// The subject of the certificate that a new connection is shown.
fn subject(world: &World, ours: &Posthouse) -> Result<String> {
    let shown = format!(
        "openssl s_client -connect {} </dev/null 2>/dev/null | openssl x509 -noout -subject",
        ours.addr(993)
    );
    world.output("sh", ["-c", &shown])
}

/// A session over TLS, held by openssl's own client.
struct TlsSession {
    client: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl TlsSession {
    fn open(addr: &str) -> Result<Self> {
        let mut client = Command::new("openssl")
            .args(["s_client", "-quiet", "-connect", addr])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let lines = BufReader::new(client.stdout.take().context("its output")?);
        Ok(Self { client, lines })
    }

    fn send(&mut self, line: &str) -> Result<()> {
        let stdin = self.client.stdin.as_mut().context("its input")?;
        Ok(stdin.write_all(format!("{line}\r\n").as_bytes())?)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(line)
    }
}

impl Drop for TlsSession {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

#[test]
fn a_message_leaves_one_line_in_the_log_and_is_counted() {
    run(
        "process::a_message_leaves_one_line_in_the_log_and_is_counted",
        Needs::Nothing,
        |world| {
            let mut ours = ours(world)?;
            ours.set("log.format", "json")?;
            ours.serve(world)?;
            let mut client = smtp::Client::connect(&ours.addr(25))?;
            client.expect("EHLO client.test", 250)?;
            let message = b"Message-ID: <counted@far.test>\r\nSubject: counted\r\n\r\nx";
            let (code, reply) = client.send("x@far.test", &["bob@demo.test"], message)?;
            ensure!(code == 250, "{reply}");
            // The id that the sender was given is the one in the log.
            let id = reply
                .split_whitespace()
                .last()
                .context("an id in the reply")?;
            let log = world.log("posthouse-127.0.0.10");
            let lines: Vec<&str> = log.lines().filter(|line| line.contains(id)).collect();
            ensure!(lines.len() == 1, "lines with {id}:\n{log}");
            for part in ["\"session\"", "x@far.test", "bob@demo.test"] {
                ensure!(lines[0].contains(part), "no {part} in {}", lines[0]);
            }
            imap::Client::login(&ours.addr(143), "bob@demo.test", PASSWORD)?;
            let metrics = world.output(
                "curl",
                ["-sf", &format!("http://{}/metrics", ours.addr(80))],
            )?;
            let value = |name: &str| -> Option<f64> {
                let line = metrics.lines().find(|line| {
                    line.strip_prefix(name)
                        .is_some_and(|rest| rest.starts_with([' ', '{']))
                })?;
                line.split_whitespace().last()?.parse().ok()
            };
            ensure!(
                value("posthouse_store_commits_total") > Some(0.0),
                "{metrics}"
            );
            ensure!(
                value("posthouse_store_syncs_total") > Some(0.0),
                "{metrics}"
            );
            for share in ["total", "views", "index", "receiving", "journal", "reading"] {
                let name = format!("\nposthouse_memory_{share}_bytes ");
                ensure!(metrics.contains(&name), "no {name:?}: {metrics}");
            }
            ensure!(metrics.contains("# EOF"), "{metrics}");
            Ok(())
        },
    );
}
