//! Mail that is read, by IMAP.

use crate::measure::{Work, alternate, compare, number};
use crate::servers::USERS;
use crate::side::Server;
use anyhow::Result;
use interop::world::World;
use std::cell::RefCell;

/// What is read in a session that is there already.
struct Warm {
    what: &'static str,
    /// How often all the mail is read, or the command is given.
    times: u64,
    work: &'static str,
}

const FETCHES: [Warm; 3] = [
    Warm {
        what: "FETCH ENVELOPE",
        times: 10,
        work: "fetch --items (ENVELOPE)",
    },
    Warm {
        what: "FETCH FLAGS",
        times: 20,
        work: "fetch --items (FLAGS)",
    },
    Warm {
        what: "FETCH whole bodies",
        times: 2,
        work: "fetch --items (BODY.PEEK[])",
    },
];

/// What is read by the first session after a start.
const COLD: [(&str, &str); 2] = [
    ("FETCH ENVELOPE", "FETCH 1:* (ENVELOPE)"),
    ("FETCH whole bodies", "FETCH 1:* (BODY.PEEK[])"),
];

/// Who has the mail, and who has none.
const READER: &str = "user0@demo.test";
const OTHER: &str = "user1@demo.test";

/// Ours against each peer: all of a mailbox warm and cold, a search, and APPEND.
pub(crate) fn read(world: &mut World) -> Result<()> {
    let mut ours = Server::ours(world)?;
    let mut peers = Server::peers(world)?;
    let messages = number("POSTHOUSE_BENCH_MESSAGES", 10_000);
    ours.fill(READER, messages, 10_000)?;
    for peer in &peers {
        peer.fill(READER, messages, 10_000)?;
    }
    let figures = ["per_second", "cpu_s_per_1000"];
    for warm in &FETCHES {
        let words = format!(
            "--messages {} --user {READER} {}",
            warm.times * messages,
            warm.work
        );
        for peer in &peers {
            let what = format!("{} of {messages}, warm ({})", warm.what, peer.name);
            compare(&what, &work(&ours, &words), &work(peer, &words), &figures)?;
        }
    }
    for (what, command) in COLD {
        for peer in &mut peers {
            let what = format!("login, SELECT, {what} of {messages}, cold ({})", peer.name);
            let world = RefCell::new(&mut *world);
            alternate(
                &what,
                &["p50_ms", "cpu_s_per_1000"],
                || cold(&mut ours, &mut world.borrow_mut(), command),
                || cold(peer, &mut world.borrow_mut(), command),
            )?;
        }
    }
    let appends = format!(
        "--messages 2000 --connections 8 --user user{{n}}@demo.test --users {USERS} append"
    );
    // Last, for it lets the mailboxes grow.
    for (what, words) in [
        (
            format!("SEARCH SUBJECT in {messages}"),
            format!("--messages 20 --user {READER} search"),
        ),
        ("APPEND 10 kB, 8 connections".into(), appends),
    ] {
        for peer in &peers {
            let what = format!("{what} ({})", peer.name);
            compare(&what, &work(&ours, &words), &work(peer, &words), &figures)?;
        }
    }
    Ok(())
}

fn work(server: &Server, words: &str) -> Work {
    let words = format!("--addr {} {words}", server.addr(143));
    Work::new(&words, &[server.pid()])
}

/// The login counts too: with ours it loads what SELECT loads elsewhere.
fn cold(server: &mut Server, world: &mut World, command: &str) -> Result<serde_json::Value> {
    server.cold(world, READER, OTHER)?;
    work(
        server,
        &format!("--messages 1 --user {READER} repeat --fresh"),
    )
    .and(&["--command", "EXAMINE INBOX", "--command", command])
    .measure()
}
