//! What the door of SMTP costs: handshakes and logins, guessers, slow clients, checks.

use crate::measure::{Work, compare, number};
use crate::servers::{USERS, ours};
use anyhow::Result;
use interop::dovecot::{Dovecot, Fsync};
use interop::postfix::Postfix;
use interop::posthouse::{PASSWORD, Posthouse};
use interop::smtp;
use interop::world::{World, wait_for};
use std::time::Duration;

/// One connection for each message: a full handshake of TLS 1.3, a login whose
/// password is in the cache, 1 kB into a mailbox. Ours against Postfix with
/// Dovecot behind it, both with a key on P-256.
pub(crate) fn sessions(world: &mut World) -> Result<()> {
    let (ours, pid) = ours(world)?;
    let dovecot = Dovecot::start(world, "127.0.0.5", PASSWORD, Fsync::Always)?;
    let folder = world.folder("certificate")?;
    world.certificate(&folder, "mx.demo.test")?;
    let d = folder.display();
    let settings = format!(
        "virtual_transport = lmtp:unix:{}\nvirtual_mailbox_maps = static:all\nlmtp_destination_concurrency_limit = 20\n\
         smtpd_peername_lookup = no\ndisable_dns_lookups = yes\nsmtp_host_lookup = native\n\
         smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {d}/certificate\nsmtpd_tls_key_file = {d}/key\n\
         smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {}\n",
        dovecot.lmtp, dovecot.auth
    );
    let postfix = Postfix::start_with(world, "127.0.0.3", "demo.test", &[], &settings)?;
    let queue: String = postfix
        .queue_folders()
        .iter()
        .map(|folder| format!(" --queue {}", folder.display()))
        .collect();
    let messages = number("POSTHOUSE_BENCH_MESSAGES", 2000);
    for (what, tls) in [
        ("X25519", "--tls"),
        ("what new clients prefer", "--post-quantum"),
    ] {
        let work = |addr: &str| {
            format!(
                "--addr {addr} --connections 16 --messages {messages} --size 1000 --user user0@demo.test --users {USERS} \
                 deliver {tls} --auth --fresh --from user0@demo.test --to user{{n}}@demo.test"
            )
        };
        compare(
            &format!("handshake, login and a message of 1 kB, {what}"),
            &Work::new(&work(&ours.addr(465)), &[pid]),
            &Work::new(
                &(work("127.0.0.3:465") + &queue),
                &[postfix.pid(), dovecot.pid],
            ),
            &["per_second", "cpu_s_per_1000", "p99_ms"],
        )?;
    }
    Ok(())
}

/// Guessed recipients are refused: ours against Postfix.
pub(crate) fn refuse(world: &mut World) -> Result<()> {
    let (ours, pid) = ours(world)?;
    // Nobody is made to wait, whoever guesses how much: what is compared is the work.
    let settings = "smtpd_error_sleep_time = 0\nsmtpd_hard_error_limit = 1000\nsmtpd_peername_lookup = no\n\
                    disable_dns_lookups = yes\nsmtp_host_lookup = native\n";
    let postfix = Postfix::start_with(world, "127.0.0.3", "demo.test", &["user0"], settings)?;
    let messages = number("POSTHOUSE_BENCH_MESSAGES", 20_000);
    let work = |addr: &str, pid: u32| {
        let words = format!("--addr {addr} --connections 16 --messages {messages} refuse");
        Work::new(&words, &[pid])
    };
    compare(
        "refuse at RCPT, ten a session, 16 connections",
        &work(&ours.addr(25), pid),
        &work("127.0.0.3:25", postfix.pid()),
        &["per_second", "cpu_s_per_1000", "p99_ms"],
    )
}

/// One client delivers while 8,000 are in the middle of a message, and while nobody is.
pub(crate) fn slow(world: &mut World) -> Result<()> {
    let (mut ours, _) = ours(world)?;
    ours.end(world, "TERM")?;
    ours.set("limits.connections", "20000")?;
    ours.set("limits.connections_per_address", "20000")?;
    let pid = ours.serve(world)?;
    let work = |slow: u32| {
        let words = format!(
            "--addr {} --connections 1 --messages 1000 --users {USERS} deliver --to user{{n}}@demo.test --slow {slow}",
            ours.addr(25)
        );
        Work::new(&words, &[pid])
    };
    compare(
        "a fast client among 8,000 slow ones against alone",
        &work(8000),
        &work(0),
        &["p50_ms", "p99_ms"],
    )
}

/// A stranger's server that is in order, at its own address, and a list that does not have it.
const ZONES: &[(&str, &str)] = &[
    ("far.test", "with A 203.0.113.10\nwithout A 203.0.113.11"),
    // What the load says it is.
    ("load.test", "@ A 203.0.113.10"),
    ("bl.test", "2.0.0.127 A 127.0.0.2"),
    (
        "113.0.203.in-addr.arpa",
        "10 PTR with.far.test.\n11 PTR without.far.test.",
    ),
];

/// The accept rate with all cheap checks on against that with them off: two
/// servers of ours, the same load. The client is a stranger: who connects to an
/// address of its own machine comes from that address, and it is not exempt.
pub(crate) fn door(world: &mut World) -> Result<()> {
    // As real ones say: five minutes.
    interop::dns::start_lasting(world, ZONES, 300)?;
    let mut works = Vec::new();
    for (ip, checks) in [("203.0.113.10", true), ("203.0.113.11", false)] {
        world.sh(&format!("ip addr add {ip}/32 dev lo"))?;
        let users: Vec<String> = (0..USERS).map(|n| format!("user{n}")).collect();
        let names: Vec<&str> = users.iter().map(String::as_str).collect();
        let mut ours = Posthouse::init(world, ip, "demo.test", &names)?;
        for (key, on, off) in SETTINGS {
            ours.set(&format!("door.{key}"), if checks { on } else { off })?;
        }
        let pid = ours.serve(world)?;
        learn(&ours)?;
        works.push((ours, pid));
    }
    let messages = number("POSTHOUSE_BENCH_MESSAGES", 5000);
    for (what, connections, more) in [
        ("a session for each message, 16 connections", 16, " --fresh"),
        ("64 connections", 64, ""),
    ] {
        let work = |(ours, pid): &(Posthouse, u32)| {
            let words = format!(
                "--addr {} --connections {connections} --messages {messages} --size 10000 --users {USERS} \
                 deliver --to user{{n}}@demo.test{more}",
                ours.addr(25)
            );
            Work::new(&words, &[*pid])
        };
        compare(
            &format!("accept with the door's cheap checks against without, {what}"),
            &work(&works[0]),
            &work(&works[1]),
            &["per_second", "cpu_s_per_1000", "p99_ms"],
        )?;
    }
    Ok(())
}

/// What is set in `door`: with the checks, and without. The limits are there and
/// counted, and not reached.
const SETTINGS: &[(&str, &str, &str)] = &[
    ("exempt", "[]", "[\"203.0.113.0/24\"]"),
    ("lists", "[\"bl.test\"]", "[]"),
    ("greylist", "true", "false"),
    ("greylist_delay", "\"1s\"", "\"1s\""),
    ("connections_per_minute", "1000000", "0"),
    ("connections_per_minute_network", "1000000", "0"),
    ("messages_per_hour", "1000000", "0"),
    ("messages_per_hour_network", "1000000", "0"),
    ("iprev", "\"mark\"", "\"off\""),
    ("helo_syntax", "\"mark\"", "\"off\""),
    ("helo_literal", "\"mark\"", "\"off\""),
    ("helo_mismatch", "\"mark\"", "\"off\""),
];

/// Greylisting learns the network: tried until the message is taken.
fn learn(ours: &Posthouse) -> Result<()> {
    wait_for("the network to be known", Duration::from_secs(60), || {
        let mut client = smtp::Client::connect(&ours.addr(25))?;
        client.expect("EHLO with.far.test", 250)?;
        client.expect("MAIL FROM:<load@far.test>", 250)?;
        let (code, _) = client.command("RCPT TO:<user0@demo.test>")?;
        if code != 250 {
            return Ok(None);
        }
        client.expect("DATA", 354)?;
        client.expect("Subject: learn\r\n\r\nx\r\n.", 250)?;
        Ok(Some(()))
    })
}
