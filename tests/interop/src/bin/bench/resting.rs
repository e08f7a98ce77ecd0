//! What costs nothing but memory, and how soon one of many that wait is told.

use crate::measure::{Work, compare, number};
use crate::servers::USERS;
use crate::side::Server;
use anyhow::Result;
use interop::posthouse::Posthouse;
use interop::world::World;
use interop::{cyrus, dovecot};

/// What lets as many sessions in as are opened here, all from one address.
const MANY: [(&str, &str); 3] = [
    ("imap.sessions_per_user", "10000"),
    ("limits.connections_per_address", "20000"),
    ("limits.connections", "20000"),
];

/// Memory at rest with 10 accounts, and per idle session at 5,000 of IMAP,
/// 10,000 of IMAP over TLS and 10,000 of SMTP.
pub(crate) fn idle(world: &mut World) -> Result<()> {
    let mut ours = Posthouse::init(
        world,
        "127.0.0.10",
        "demo.test",
        &["u0", "u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8"],
    )?;
    for (key, value) in MANY {
        ours.set(key, value)?;
    }
    let pid = ours.serve(world)?;
    let work = |n: u32| {
        format!(
            "--addr {} --connections {n} --user u{{n}}@demo.test --users 9 idle",
            ours.addr(143)
        )
    };
    let rest = Work::new(&work(0), &[pid]).measure()?;
    println!(
        "| at rest, 10 accounts | resident_kb | {} | | | |",
        rest["resident_kb"]
    );
    let many = Work::new(&work(5000), &[pid]).measure()?;
    println!(
        "| 5,000 sessions in IDLE | kb_per_session | {} | | | |",
        many["kb_per_session"]
    );
    // The allocator keeps for a while what those sessions had.
    ours.end(world, "TERM")?;
    let pid = ours.serve(world)?;
    let tls = format!(
        "--addr {} --connections 10000 --user u{{n}}@demo.test --users 9 idle --tls",
        ours.addr(993)
    );
    let many = Work::new(&tls, &[pid]).measure()?;
    println!(
        "| 10,000 sessions in IDLE over TLS | kb_per_session | {} | all of the process {} | | |",
        many["kb_per_session"], many["resident_kb"]
    );
    ours.end(world, "TERM")?;
    let pid = ours.serve(world)?;
    let smtp = format!("--addr {} --connections 10000 idle --smtp", ours.addr(25));
    let many = Work::new(&smtp, &[pid]).measure()?;
    println!(
        "| 10,000 SMTP sessions after EHLO | kb_per_session | {} | | | |",
        many["kb_per_session"]
    );
    Ok(())
}

/// Where Linux says how many instances of inotify a user may have. Dovecot's sessions in IDLE need
/// one each, and look every half second without.
const INOTIFY: &str = "/proc/sys/fs/inotify/max_user_instances";

/// From the 250 to the EXISTS of a session in IDLE, while thousands wait for other mailboxes; ours
/// against each peer. Dovecot's login processes are kept.
pub(crate) fn notice(world: &mut World) -> Result<()> {
    let sessions = number("POSTHOUSE_BENCH_SESSIONS", 5000);
    let most = u32::try_from(sessions)?.saturating_add(500);
    let before = std::fs::read_to_string(INOTIFY)?;
    std::fs::write(INOTIFY, "20000")?;
    let done = notice_with(world, sessions, most);
    std::fs::write(INOTIFY, before)?;
    done
}

fn notice_with(world: &mut World, sessions: u64, most: u32) -> Result<()> {
    let ours = Server::ours_with(world, &MANY)?;
    let setup = dovecot::Setup {
        sessions: most,
        ..dovecot::Setup::default()
    };
    let dovecot = Server::dovecot(world, "127.0.0.5", "sdbox", &setup)?;
    let setup = cyrus::Setup {
        idled: true,
        sessions: most,
        ..cyrus::Setup::default()
    };
    let cyrus = Server::cyrus(world, &setup)?;
    let work = |server: &Server, messages: u64| {
        let words = format!(
            "--addr {} --connections {sessions} --messages {messages} --user user{{n}}@demo.test --users {USERS} \
             notice --lmtp {}",
            server.addr(143),
            server.addr(24)
        );
        Work::new(&words, &[server.pid()])
    };
    for (peer, messages) in [(&cyrus, 200), (&dovecot, 50)] {
        compare(
            &format!(
                "250 to EXISTS among {sessions} idle sessions ({})",
                peer.name
            ),
            &work(&ours, 200),
            &work(peer, messages),
            &["p50_ms", "p99_ms", "delay_p50_ms", "cpu_s_per_1000"],
        )?;
    }
    Ok(())
}
