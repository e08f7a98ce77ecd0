//! Mail that is searched, by IMAP: texts that nothing or little has, warm and cold.

use crate::measure::{Work, alternate, compare, number};
use crate::side::Server;
use anyhow::Result;
use interop::world::World;
use std::cell::RefCell;

/// Who has the mail, and who has none.
const READER: &str = "user0@demo.test";
const OTHER: &str = "user1@demo.test";

/// What is looked for, and how often in a session that is there already. The mail's text is
/// random letters and digits: no line has a blank in it.
const SEARCHES: [(&str, &str, u32); 4] = [
    ("SEARCH BODY, nothing found", "SEARCH BODY \"q zx\"", 3),
    ("SEARCH TEXT, nothing found", "SEARCH TEXT \"q zx\"", 3),
    (
        "SEARCH SUBJECT, some found",
        "SEARCH SUBJECT \"load 77\"",
        10,
    ),
    (
        "SEARCH HEADER, one found",
        "SEARCH HEADER X-Sent \"none\"",
        3,
    ),
];

/// Ours against each peer.
pub(crate) fn search(world: &mut World) -> Result<()> {
    let mut ours = Server::ours(world)?;
    let mut peers = Server::peers(world)?;
    let messages = number("POSTHOUSE_BENCH_MESSAGES", 10_000);
    ours.fill(READER, messages, 10_000)?;
    for peer in &peers {
        peer.fill(READER, messages, 10_000)?;
    }
    let figures = ["p50_ms", "cpu_s_per_1000"];
    for (what, command, times) in SEARCHES {
        for peer in &peers {
            let what = format!("{what} of {messages}, warm ({})", peer.name);
            let work = |server: &Server| work(server, times, command);
            compare(&what, &work(&ours), &work(peer), &figures)?;
        }
    }
    for (what, command, _) in &SEARCHES[..1] {
        for peer in &mut peers {
            let what = format!("login, SELECT, {what} of {messages}, cold ({})", peer.name);
            let world = RefCell::new(&mut *world);
            alternate(
                &what,
                &figures,
                || cold(&mut ours, &mut world.borrow_mut(), command),
                || cold(peer, &mut world.borrow_mut(), command),
            )?;
        }
    }
    Ok(())
}

fn work(server: &Server, times: u32, command: &str) -> Work {
    let words = format!(
        "--addr {} --messages {times} --user {READER} repeat",
        server.addr(143)
    );
    Work::new(&words, &[server.pid()]).and(&["--setup", "EXAMINE INBOX", "--command", command])
}

fn cold(server: &mut Server, world: &mut World, command: &str) -> Result<serde_json::Value> {
    server.cold(world, READER, OTHER)?;
    let words = format!(
        "--addr {} --messages 1 --user {READER} repeat --fresh",
        server.addr(143)
    );
    Work::new(&words, &[server.pid()])
        .and(&["--command", "EXAMINE INBOX", "--command", command])
        .measure()
}
