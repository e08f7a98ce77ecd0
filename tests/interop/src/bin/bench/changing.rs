//! Changes of mail that is there: flags, expunges, copies, moves; each synced before it is answered.

use crate::measure::{Work, compare, number};
use crate::side::Server;
use anyhow::Result;
use interop::world::World;

/// What is done before each timed command, and the command; `{new}` is the first
/// message behind those that the mailbox was filled with.
struct Change {
    what: &'static str,
    times: u32,
    /// Before and after each, the server is to be at rest: what such a change
    /// leaves to be done counts for it, and not for the next.
    rest: bool,
    before: &'static [&'static str],
    command: &'static str,
}

const CHANGES: [Change; 5] = [
    Change {
        what: "STORE of all",
        times: 10,
        rest: true,
        before: &["STORE 1:* -FLAGS.SILENT (\\Flagged)"],
        command: "STORE 1:* +FLAGS.SILENT (\\Flagged)",
    },
    Change {
        what: "one flag of one",
        times: 200,
        rest: false,
        before: &["STORE 77 -FLAGS.SILENT (\\Flagged)"],
        command: "STORE 77 +FLAGS.SILENT (\\Flagged)",
    },
    Change {
        what: "COPY of 1,000",
        times: 10,
        rest: true,
        before: &["NOOP"],
        command: "COPY 1:1000 Trash",
    },
    Change {
        what: "MOVE of 1,000",
        times: 10,
        rest: true,
        before: &["COPY 1:1000 INBOX", "NOOP"],
        command: "MOVE {new}:* Trash",
    },
    Change {
        what: "EXPUNGE of 1,000",
        times: 10,
        rest: true,
        before: &[
            "COPY 1:1000 INBOX",
            "NOOP",
            "STORE {new}:* +FLAGS.SILENT (\\Deleted)",
        ],
        command: "EXPUNGE",
    },
];

/// Ours against Dovecot with sdbox and with mdbox, and Cyrus; all syncing.
pub(crate) fn change(world: &mut World) -> Result<()> {
    let ours = Server::ours(world)?;
    let peers = Server::peers(world)?;
    let messages = number("POSTHOUSE_BENCH_MESSAGES", 10_000);
    ours.fill(OWNER, messages, 2000)?;
    for peer in &peers {
        peer.fill(OWNER, messages, 2000)?;
        repeat(peer, 0)
            .and(&["--setup", "CREATE Trash"])
            .measure()?;
    }
    for change in &CHANGES {
        for peer in &peers {
            compare(
                &format!("{} ({})", change.what, peer.name),
                &change.work(&ours, messages),
                &change.work(peer, messages),
                &["p50_ms", "cpu_s_per_1000"],
            )?;
        }
    }
    Ok(())
}

const OWNER: &str = "user0@demo.test";

impl Change {
    fn work(&self, server: &Server, messages: u64) -> Work {
        let new = (messages + 1).to_string();
        let mut work = repeat(server, self.times).and(&["--setup", "SELECT INBOX"]);
        for before in self.before {
            work = work.and(&["--before", &before.replace("{new}", &new)]);
        }
        if self.rest {
            work = work.and(&["--rest"]);
        }
        work.and(&["--command", &self.command.replace("{new}", &new)])
    }
}

fn repeat(server: &Server, times: u32) -> Work {
    let addr = server.addr(143);
    let words = format!("--addr {addr} --messages {times} --user {OWNER} repeat");
    Work::new(&words, &[server.pid()])
}
