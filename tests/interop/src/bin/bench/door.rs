//! What the door of SMTP costs: handshakes and logins, guessers, slow clients.

use crate::measure::{Work, compare, number};
use crate::servers::{USERS, ours};
use anyhow::Result;
use interop::dovecot::{Dovecot, Fsync};
use interop::postfix::Postfix;
use interop::posthouse::PASSWORD;
use interop::world::World;

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
