//! Changes of mail that is there: flags, expunges, copies, moves; each synced before it is answered.

use crate::measure::{Work, compare, number};
use crate::servers::ours;
use anyhow::Result;
use interop::dovecot::{Dovecot, Fsync};
use interop::posthouse::PASSWORD;
use interop::world::World;

/// What is done before each timed command, and the command.
struct Change {
    what: &'static str,
    times: u32,
    before: &'static [&'static str],
    command: &'static str,
}

const CHANGES: [Change; 5] = [
    Change {
        what: "STORE of 10,000",
        times: 10,
        before: &["STORE 1:* -FLAGS.SILENT (\\Flagged)"],
        command: "STORE 1:* +FLAGS.SILENT (\\Flagged)",
    },
    Change {
        what: "one flag of one",
        times: 200,
        before: &["STORE 77 -FLAGS.SILENT (\\Flagged)"],
        command: "STORE 77 +FLAGS.SILENT (\\Flagged)",
    },
    Change {
        what: "COPY of 1,000",
        times: 10,
        before: &["NOOP"],
        command: "COPY 1:1000 Trash",
    },
    Change {
        what: "MOVE of 1,000",
        times: 10,
        before: &["COPY 1:1000 INBOX", "NOOP"],
        command: "MOVE 10001:* Trash",
    },
    Change {
        what: "EXPUNGE of 1,000",
        times: 10,
        before: &[
            "COPY 1:1000 INBOX",
            "NOOP",
            "STORE 10001:* +FLAGS.SILENT (\\Deleted)",
        ],
        command: "EXPUNGE",
    },
];

/// Ours against Dovecot with sdbox and with mdbox, all syncing.
pub(crate) fn change(world: &mut World) -> Result<()> {
    let (ours, pid) = ours(world)?;
    let messages = number("POSTHOUSE_BENCH_MESSAGES", 10_000);
    let mut peers = Vec::new();
    for (ip, format) in [("127.0.0.5", "sdbox"), ("127.0.0.6", "mdbox")] {
        let dovecot = Dovecot::start_with(world, ip, PASSWORD, Fsync::Always, format)?;
        peers.push((ip, format, dovecot.pid));
    }
    let all = [(ours.addr(24), pid)].into_iter();
    for (addr, pid) in all.chain(peers.iter().map(|(ip, _, pid)| (format!("{ip}:24"), *pid))) {
        let fill = format!(
            "--addr {addr} --connections 16 --messages {messages} --size 2000 deliver --lmtp --to user0@demo.test"
        );
        Work::new(&fill, &[pid]).measure()?;
        let trash = format!("--addr {addr} --messages 0 --user user0@demo.test repeat")
            .replace(":24 ", ":143 ");
        // Ours has it already.
        let _ = Work::new(&trash, &[])
            .and(&["--setup", "CREATE Trash"])
            .measure();
    }
    for change in &CHANGES {
        for (ip, format, theirs) in &peers {
            let work = |addr: &str, pid: u32| {
                let words = format!(
                    "--addr {addr} --messages {} --user user0@demo.test repeat --setup",
                    change.times
                );
                let mut work = Work::new(&words, &[pid]).and(&["SELECT INBOX"]);
                for before in change.before {
                    work = work.and(&["--before", before]);
                }
                work.and(&["--command", change.command])
            };
            compare(
                &format!("{} ({format})", change.what),
                &work(&ours.addr(143), pid),
                &work(&format!("{ip}:143"), *theirs),
                &["p50_ms", "cpu_s_per_1000"],
            )?;
        }
    }
    Ok(())
}
