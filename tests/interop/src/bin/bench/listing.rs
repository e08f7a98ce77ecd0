//! Lists of a mailbox, sorted, threaded and searched, and all of it copied and moved.

use crate::measure::{Work, compare, number};
use crate::side::Server;
use anyhow::Result;
use interop::world::World;

const READER: &str = "user0@demo.test";

/// What is asked of all messages in a session that is there already, and how often.
const ASKED: [(&str, u32, &str); 10] = [
    ("FETCH BODYSTRUCTURE", 10, "FETCH 1:* (BODYSTRUCTURE)"),
    (
        "FETCH of From and Subject",
        10,
        "FETCH 1:* (BODY.PEEK[HEADER.FIELDS (FROM SUBJECT)])",
    ),
    ("SORT DATE", 10, "SORT (DATE) UTF-8 ALL"),
    ("SORT SUBJECT", 10, "SORT (SUBJECT) UTF-8 ALL"),
    ("THREAD REFERENCES", 10, "THREAD REFERENCES UTF-8 ALL"),
    (
        "THREAD ORDEREDSUBJECT",
        10,
        "THREAD ORDEREDSUBJECT UTF-8 ALL",
    ),
    ("UID SEARCH FLAGGED", 50, "UID SEARCH FLAGGED"),
    (
        "UID SEARCH UNSEEN UNDELETED",
        50,
        "UID SEARCH UNSEEN UNDELETED",
    ),
    ("UID SEARCH FROM", 10, "UID SEARCH FROM \"nobody\""),
    ("UID SEARCH SUBJECT", 10, "UID SEARCH SUBJECT \"load 77\""),
];

/// Another message is the last one: all have as many as before.
const ANOTHER: [&str; 3] = [
    "STORE * +FLAGS.SILENT (\\Deleted)",
    "EXPUNGE",
    "COPY 1 INBOX",
];

/// What is asked behind each new message: nobody has the answer of the last time.
const ASKED_ANEW: [(&str, &str); 4] = [
    ("SORT DATE, another message", "SORT (DATE) UTF-8 ALL"),
    ("SORT SUBJECT, another message", "SORT (SUBJECT) UTF-8 ALL"),
    (
        "THREAD REFERENCES, another message",
        "THREAD REFERENCES UTF-8 ALL",
    ),
    (
        "THREAD ORDEREDSUBJECT, another message",
        "THREAD ORDEREDSUBJECT UTF-8 ALL",
    ),
];

/// What is done to all messages, each synced before it is answered.
const DONE: [(&str, &[&str], &str); 2] = [
    (
        "COPY of all",
        // Cyrus has no two mailboxes of one name deleted in one second.
        &[
            "SELECT Copies",
            "STORE 1:* +FLAGS.SILENT (\\Deleted)",
            "EXPUNGE",
            "SELECT INBOX",
        ],
        "COPY 1:* Copies",
    ),
    (
        "MOVE of all",
        &["SELECT Moved", "MOVE 1:* INBOX", "SELECT INBOX"],
        "MOVE 1:* Moved",
    ),
];

/// Ours against each peer. A conversation has five messages; every tenth message has a flag.
pub(crate) fn list(world: &mut World) -> Result<()> {
    let (ours, peers) = filled(world)?;
    let figures = ["p50_ms", "cpu_s_per_1000"];
    for (what, times, command) in ASKED {
        for peer in &peers {
            let work = |server: &Server| {
                repeat(server, times)
                    .and(&["--setup", "EXAMINE INBOX"])
                    .and(&["--command", command])
            };
            let what = format!("{what} ({})", peer.name);
            compare(&what, &work(&ours), &work(peer), &figures)?;
        }
    }
    Ok(())
}

/// Ours against each peer: orders and threads of what has just changed.
pub(crate) fn anew(world: &mut World) -> Result<()> {
    let (ours, peers) = filled(world)?;
    for (what, command) in ASKED_ANEW {
        for peer in &peers {
            let work = |server: &Server| {
                let mut work = repeat(server, 10).and(&["--setup", "SELECT INBOX"]);
                for before in ANOTHER {
                    work = work.and(&["--before", before]);
                }
                work.and(&["--command", command])
            };
            let what = format!("{what} ({})", peer.name);
            compare(&what, &work(&ours), &work(peer), &["p50_ms"])?;
        }
    }
    Ok(())
}

/// Ours against each peer.
pub(crate) fn transfer(world: &mut World) -> Result<()> {
    let (ours, peers) = filled(world)?;
    for (what, before, command) in DONE {
        for peer in &peers {
            let work = |server: &Server| {
                let mut work = repeat(server, 3).and(&["--setup", "SELECT INBOX"]);
                for before in before {
                    work = work.and(&["--before", before]);
                }
                work.and(&["--rest", "--command", command])
            };
            let what = format!("{what} ({})", peer.name);
            let figures = ["p50_ms", "cpu_s_per_1000"];
            compare(&what, &work(&ours), &work(peer), &figures)?;
        }
    }
    Ok(())
}

fn filled(world: &mut World) -> Result<(Server, Vec<Server>)> {
    let ours = Server::ours(world)?;
    let peers = Server::peers(world)?;
    let messages = number("POSTHOUSE_BENCH_MESSAGES", 10_000);
    let tenth: Vec<String> = (1..=messages / 10).map(|n| (n * 10).to_string()).collect();
    for server in peers.iter().chain([&ours]) {
        server.fill_with(READER, messages, 2000, 5)?;
        let mut work = repeat(server, 0)
            .and(&["--setup", "CREATE Copies", "--setup", "CREATE Moved"])
            .and(&["--setup", "SELECT INBOX", "--setup", "COPY 1 Moved"])
            .and(&["--setup", "COPY 1 Copies"]);
        for some in tenth.chunks(200) {
            let store = format!("STORE {} +FLAGS.SILENT (\\Flagged)", some.join(","));
            work = work.and(&["--setup", &store]);
        }
        work.measure()?;
    }
    Ok((ours, peers))
}

fn repeat(server: &Server, times: u32) -> Work {
    let addr = server.addr(143);
    let words = format!("--addr {addr} --messages {times} --user {READER} repeat");
    Work::new(&words, &[server.pid()])
}
