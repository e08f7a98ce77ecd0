//! Relay domains and rules, with Postfix as the primary.

use anyhow::{Context as _, Result, ensure};
use interop::postfix::Postfix;
use interop::posthouse::Posthouse;
use interop::world::{Needs, run, wait_for};
use interop::{dns, smtp};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// What RCPT is answered, in a session of its own.
fn rcpt(ours: &Posthouse, to: &str) -> Result<String> {
    let mut client = smtp::Client::connect(&ours.addr(25))?;
    client.expect("EHLO client.test", 250)?;
    client.expect("MAIL FROM:<x@client.test>", 250)?;
    let (_, text) = client.command(&format!("RCPT TO:<{to}>"))?;
    Ok(text)
}

fn wait_for_rcpt(ours: &Posthouse, to: &str, want: &str) -> Result<()> {
    wait_for(&format!("{want} for {to}"), PATIENCE, || {
        Ok(rcpt(ours, to)?.starts_with(want).then_some(()))
    })
}

#[test]
fn a_relay_domains_mail_waits_for_its_primary_and_etrn_brings_it() {
    run(
        "routes::a_relay_domains_mail_waits_for_its_primary_and_etrn_brings_it",
        Needs::Peers,
        |world| {
            // We are the second MX; the third one would hand it back to us.
            let far = "@ MX 10 mx\n@ MX 20 mx.near.test.\n@ MX 30 third\nmx A 127.0.0.3\nthird A 127.0.0.4";
            let near = "@ MX 10 mx\nmx A 127.0.0.2";
            dns::start(world, &[("near.test", near), ("far.test", far)])?;
            let mut primary = Postfix::start(world, "127.0.0.3", "far.test", &["bea"])?;
            let mut ours = Posthouse::init(world, "127.0.0.2", "near.test", &["ann"])?;
            let rules = ours.dir().join("rules.toml");
            std::fs::write(&rules, "# none yet\n")?;
            ours.set(
                "policy.rules",
                &format!("{:?}", rules.display().to_string()),
            )?;
            let pid = ours.serve(world)?;
            wait_for_rcpt(&ours, "bea@far.test", "550 5.7.1")?;

            // A file with a mistake changes nothing, a good one does at once.
            std::fs::write(&rules, "[[rule]]\nname = \"x\"\nrefsue = \"no\"\n")?;
            let (status, told) = ours.try_cli(&["config", "check"])?;
            ensure!(
                status == Some(1) && told.contains("rule 1 \"x\", refsue"),
                "{told}"
            );
            world.signal(pid, "HUP")?;
            let text = "[relay_domain.\"far.test\"]\nverify = true\nknown_for = \"1h\"\nunknown_for = \"1s\"\n\
                        etrn = \"127.0.0.0/8\"\n[[rule]]\nname = \"closed\"\nwhen.recipient = \"closed@near.test\"\nrefuse = \"closed\"\n";
            std::fs::write(&rules, text)?;
            world.signal(pid, "HUP")?;
            wait_for_rcpt(&ours, "closed@near.test", "550 5.7.1 closed")?;
            // The primary knows bea, and nobody else.
            wait_for_rcpt(&ours, "bea@far.test", "250")?;
            let unknown = rcpt(&ours, "nobody@far.test")?;
            ensure!(unknown.starts_with("550 5.1.1"), "{unknown}");

            let told = ours.cli(&["route", "x@client.test", "bea@far.test", "--json"])?;
            let hosts = told.matches("\"left_out\": \"it is this server").count();
            ensure!(
                hosts == 2 && told.contains("\"host\": \"mx.far.test\""),
                "{told}"
            );

            primary.stop(world)?;
            wait_for("the primary to be away", PATIENCE, || {
                Ok(smtp::Client::connect("127.0.0.3:25").is_err().then_some(()))
            })?;
            let mut client = smtp::Client::connect(&ours.addr(25))?;
            client.expect("EHLO client.test", 250)?;
            let text = b"Subject: in a while\r\n\r\nhello\r\n";
            let (code, said) = client.send("x@client.test", &["bea@far.test"], text)?;
            ensure!(code == 250, "{said}");
            wait_for("the first attempt to fail", PATIENCE, || {
                let list = ours.cli(&["queue", "list", "--domain", "far.test", "--json"])?;
                Ok(list.contains("\"deferred\"").then_some(()))
            })?;
            primary.start_again(world)?;
            let said = client.expect("ETRN far.test", 253)?;
            ensure!(
                said.contains("1 pending messages for node far.test"),
                "{said}"
            );
            let mail = primary.wait_for_mail("bea@far.test")?;
            ensure!(String::from_utf8_lossy(&mail).contains("Subject: in a while"));
            let left = ours.cli(&["queue", "list", "--json"])?;
            ensure!(left.trim() == "[]", "{left}");
            client.expect("ETRN elsewhere.test", 459)?;
            Ok(())
        },
    );
}

/// What a sink took.
fn taken(file: &std::path::Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

#[test]
fn what_the_first_transport_does_not_take_goes_to_the_second() {
    run(
        "routes::what_the_first_transport_does_not_take_goes_to_the_second",
        Needs::Peers,
        |world| {
            let mut ours = Posthouse::init(world, "127.0.0.2", "demo.test", &["alice"])?;
            let rules = ours.dir().join("rules.toml");
            let text = "[transport.first]\nhost = \"127.0.0.3:2525\"\n[transport.second]\nhost = \"127.0.0.4:2525\"\n\
                        [[rule]]\nname = \"out\"\nvia = [\"first\", \"second\"]\n";
            std::fs::write(&rules, text)?;
            ours.set(
                "policy.rules",
                &format!("{:?}", rules.display().to_string()),
            )?;
            ours.serve(world)?;
            let folder = world.folder("sinks")?;
            let (first, second) = (folder.join("first"), folder.join("second"));
            let sink = |world: &mut interop::world::World,
                        name: &str,
                        options: &[&str],
                        at: &str|
             -> Result<u32> {
                let mut command = std::process::Command::new("smtp-sink");
                // As root in a namespace of its own it wants to be told so.
                command.args(["-u", "root"]).args(options);
                command.arg("-D").arg(folder.join(name));
                let pid = world.start(name, command.args([at, "10"]))?;
                interop::world::wait_for_port(at)?;
                Ok(pid)
            };
            let send = |world: &interop::world::World, mark: &str| {
                let text = format!("From: alice@demo.test\r\nSubject: {mark}\r\n\r\nx\r\n");
                ours.submit(world, &["x@far.test"], text.as_bytes())
            };
            let arrives = |mark: &str, file: &std::path::Path| {
                wait_for(&format!("{mark} at {}", file.display()), PATIENCE, || {
                    Ok(taken(file).contains(mark).then_some(()))
                })
            };
            sink(world, "second", &[], "127.0.0.4:2525")?;
            let told = ours.cli(&[
                "route",
                "alice@demo.test",
                "x@far.test",
                "--user",
                "alice@demo.test",
            ])?;
            ensure!(
                told.contains("transport first (smtp)")
                    && told.contains("turns us away, transport second (smtp)"),
                "{told}"
            );
            // Nobody listens at the first.
            send(world, "mark-one")?;
            arrives("mark-one", &second)?;
            // It says 421, then it is well.
            let pid = sink(world, "first", &["-Q", "connect"], "127.0.0.3:2525")?;
            send(world, "mark-two")?;
            arrives("mark-two", &second)?;
            world.kill_group(pid)?;
            sink(world, "first", &[], "127.0.0.3:2525")?;
            send(world, "mark-three")?;
            arrives("mark-three", &first)?;
            ensure!(!taken(&second).contains("mark-three"));
            // What became of them is told when nothing is left of them.
            let told = wait_for("the queue to be empty", PATIENCE, || {
                let left = ours.cli(&["queue", "list", "--json"])?;
                let told = ours.cli(&["trace", "x@far.test"])?;
                Ok((left.trim() == "[]").then_some(told))
            })?;
            ensure!(
                told.matches("delivered at").count() == 3 && told.contains("submission"),
                "{told}"
            );
            Ok(())
        },
    );
}

/// Standard input and output through STARTTLS, with a greeting behind it for whoever waits for one.
const STARTTLS: &str = r#"
import os, selectors, socket, ssl, sys
sock = socket.create_connection(("127.0.0.2", 366), 60)
def reply():
    while True:
        line = b""
        while not line.endswith(b"\n"): line += sock.recv(1)
        if line[3:4] == b" ": return line
greeting = reply()
for line in (b"EHLO site", b"STARTTLS"):
    sock.sendall(line + b"\r\n"); reply()
context = ssl.create_default_context(); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
sock = context.wrap_socket(sock)
os.write(1, greeting)
select = selectors.DefaultSelector()
select.register(sock, selectors.EVENT_READ); select.register(0, selectors.EVENT_READ)
while True:
    for key, _ in ([(None, 0)] if sock.pending() else select.select(60) or sys.exit(1)):
        if key is not None and key.fileobj == 0:
            data = os.read(0, 65536)
            if not data: sys.exit(0)
            sock.sendall(data)
        else:
            # What is there may be no data, but a ticket.
            sock.settimeout(0.2)
            try: data = sock.recv(65536)
            except TimeoutError: continue
            finally: sock.settimeout(60)
            if not data: sys.exit(0)
            os.write(1, data)
"#;

#[test]
fn fetchmail_fetches_a_relay_domains_mail_by_atrn() {
    run(
        "routes::fetchmail_fetches_a_relay_domains_mail_by_atrn",
        Needs::Peers,
        |world| {
            // The site has no address that the world knows: we are its only MX.
            let far = "@ MX 10 mx.near.test.";
            let near = "@ MX 10 mx\nmx A 127.0.0.2";
            dns::start(world, &[("near.test", near), ("far.test", far)])?;
            let site = Postfix::start(world, "127.0.0.3", "far.test", &["bea"])?;
            let mut ours = Posthouse::init(world, "127.0.0.2", "near.test", &["ann", "site"])?;
            let rules = ours.dir().join("rules.toml");
            let text = "[relay_domain.\"far.test\"]\natrn = [\"site@near.test\"]\n";
            std::fs::write(&rules, text)?;
            ours.set(
                "policy.rules",
                &format!("{:?}", rules.display().to_string()),
            )?;
            ours.set("listen.atrn", "[\"127.0.0.2:366\"]")?;
            ours.set("auth.cram_md5", "true")?;
            let made = ours.cli(&[
                "account",
                "app-password",
                "add",
                "--json",
                "site@near.test",
                "odmr",
                "--cram-md5",
            ])?;
            let made: serde_json::Value = serde_json::from_str(&made)?;
            let secret = made["password"].as_str().unwrap_or_default().to_owned();
            ours.serve(world)?;
            interop::world::wait_for_port(&ours.addr(366))?;

            // It speaks no STARTTLS itself there.
            let plugin = world.dir().join("starttls.py");
            std::fs::write(&plugin, STARTTLS)?;
            let control = world.dir().join("fetchmailrc");
            let text = format!(
                "poll 127.0.0.2 protocol ODMR service 366 plugin \"{} {}\"\n\
                 user \"site@near.test\" there with password \"{secret}\"\n\
                 fetchdomains far.test smtphost 127.0.0.3/25\n",
                interop::world::python().display(),
                plugin.display(),
            );
            std::fs::write(&control, text)?;
            world.sh(&format!("chmod 600 {}", control.display()))?;
            let fetch = || {
                let line = format!(
                    "HOME={d} FETCHMAILHOME={d} fetchmail -v -v --timeout 30 --nosyslog --nodetach -f {f} </dev/null",
                    d = world.dir().display(),
                    f = control.display()
                );
                world.try_output("sh", ["-c", &line])
            };
            let (_, told) = fetch()?;
            ensure!(told.contains("453"), "{told}");
            for number in 1..=3 {
                let mut client = smtp::Client::connect(&ours.addr(25))?;
                client.expect("EHLO client.test", 250)?;
                let text = format!("Subject: fetched {number}\r\n\r\nhello\r\n");
                let (code, said) =
                    client.send("x@client.test", &["bea@far.test"], text.as_bytes())?;
                ensure!(code == 250, "{said}");
            }
            let (_, told) = fetch()?;
            wait_for("three messages at the site", PATIENCE, || {
                let mail = site.mail("bea@far.test")?;
                Ok((mail.len() == 3).then_some(()))
            })
            .with_context(|| format!("{told}\n{}", site.log()))?;
            wait_for("an empty queue", PATIENCE, || {
                let left = ours.cli(&["queue", "list", "--json"])?;
                Ok((left.trim() == "[]").then_some(()))
            })?;
            ours.assert_sound()
        },
    );
}

/// Addresses that are no loopback's, in a network of the test's own.
const ADDRESSES: &str = "ip addr add 192.0.2.8/32 dev lo && ip link add silent type veth peer name nobody && ip link set silent up && ip link set nobody up && \
                         ip addr add 2001:db8:1::1/64 dev silent nodad";

#[test]
fn a_rule_chooses_our_address_and_a_silent_family_holds_nothing_up() {
    run(
        "routes::a_rule_chooses_our_address_and_a_silent_family_holds_nothing_up",
        Needs::Peers,
        |world| {
            // What is sent to the IPv6 address goes nowhere, and nobody says so.
            world.sh(ADDRESSES)?;
            let far = "@ MX 10 mx\nmx A 198.51.100.3\nmx AAAA 2001:db8:1::99";
            let near = "@ MX 10 mx\nmx A 127.0.0.2";
            dns::start(world, &[("near.test", near), ("far.test", far)])?;
            let there = Postfix::start(world, "198.51.100.3", "far.test", &["bea"])?;
            let mut ours = Posthouse::init(world, "127.0.0.2", "near.test", &["ann", "news"])?;
            let rules = ours.dir().join("rules.toml");
            let text = "[transport.bulk]\nkind = \"mx\"\nsource_addresses = [\"192.0.2.8\"]\n\
                        [[rule]]\nname = \"news\"\nwhen = { sender = \"news@near.test\" }\nvia = \"bulk\"\n";
            std::fs::write(&rules, text)?;
            let file = format!("{:?}", rules.display().to_string());
            ours.set("policy.rules", &file)?;
            let networks = "[\"198.51.100.0/24\", \"2001:db8::/32\"]";
            ours.set("outbound.allow_networks", networks)?;
            ours.serve(world)?;
            let clients = || {
                let log = there.log();
                let clients = log.split(": client=unknown[").skip(1);
                let ip = |rest: &str| rest.split(']').next().unwrap_or_default().to_owned();
                clients.map(ip).collect::<Vec<_>>()
            };
            let to = ["bea@far.test"];
            let text = b"From: news@near.test\r\n\r\nhello\r\n";
            ours.submit_as(world, "news@near.test", &to, text)?;
            wait_for("the news", PATIENCE, || {
                Ok((clients() == ["192.0.2.8"]).then_some(()))
            })?;
            let text = b"From: ann@near.test\r\n\r\nhello\r\n";
            ours.submit_as(world, "ann@near.test", &to, text)?;
            // A connection is given up after longer than this.
            wait_for("ann's mail", Duration::from_secs(15), || {
                Ok((clients().len() == 2).then_some(()))
            })?;
            ensure!(clients()[1] != "192.0.2.8", "{:?}", clients());
            ours.assert_sound()
        },
    );
}
