//! A client that was away comes back (RFC 7162).

use crate::measure::{Work, compare, number};
use crate::side::Server;
use anyhow::{Context as _, Result, ensure};
use interop::imap::Client;
use interop::posthouse::{PASSWORD, contains};
use interop::world::World;

const READER: &str = "user0@demo.test";

/// Messages that a mailbox is filled with, before it is copied into itself.
const FIRST: u64 = 1000;

/// UIDs of a command that changes.
const TOGETHER: usize = 400;

/// SELECT with QRESYNC after few changes and after a hundred times as many: half of them flags, half
/// of them expunges, at every third UID each, so that nothing makes a range. Ours against each peer.
pub(crate) fn resync(world: &mut World) -> Result<()> {
    let ours = Server::ours(world)?;
    let peers = Server::peers(world)?;
    let changes = number("POSTHOUSE_BENCH_MESSAGES", 100_000);
    for changes in [changes / 100, changes] {
        let states = |server: &Server| changed(server, changes);
        let of_ours = states(&ours)?;
        for peer in &peers {
            let of_peer = states(peer)?;
            compare(
                &format!("resynchronisation after {changes} changes ({})", peer.name),
                &select(&ours, &of_ours),
                &select(peer, &of_peer),
                &["p50_ms", "cpu_s_per_1000", "octets_per_round"],
            )?;
        }
    }
    Ok(())
}

fn select(server: &Server, state: &(u64, u64)) -> Work {
    let (uid_validity, modseq) = state;
    let words = format!(
        "--addr {} --messages 5 --user {READER} repeat",
        server.addr(143)
    );
    Work::new(&words, &[server.pid()])
        .and(&["--setup", "ENABLE QRESYNC", "--setup", "SELECT Many"])
        .and(&["--before", "UNSELECT", "--rest", "--command"])
        .and(&[&format!("SELECT Many (QRESYNC ({uid_validity} {modseq}))")])
}

/// A mailbox with half as many messages again as changes, changed; what a client knew before.
fn changed(server: &Server, changes: u64) -> Result<(u64, u64)> {
    let mut client = Client::login(&server.addr(143), READER, PASSWORD)?;
    client.try_command("DELETE Many")?;
    client.command("CREATE Many")?;
    let inbox = client.command("STATUS INBOX (MESSAGES)")?;
    if inbox.iter().any(|line| contains(line, b"MESSAGES 0)")) {
        server.fill(READER, FIRST, 500)?;
    }
    client.command("SELECT INBOX")?;
    let wanted = changes + changes / 2;
    client.command(&format!("COPY 1:{} Many", FIRST.min(wanted)))?;
    client.command("SELECT Many")?;
    let mut there = FIRST.min(wanted);
    while there < wanted {
        let more = there.min(wanted - there).min(10_000);
        client.command(&format!("COPY 1:{more} Many"))?;
        client.command("NOOP")?;
        there += more;
    }
    let state = state(&client.command("SELECT Many (CONDSTORE)")?)?;
    for (first, what) in [(1, "\\Flagged"), (2, "\\Deleted")] {
        let uids: Vec<String> = (0..changes / 2)
            .map(|n| (first + 3 * n).to_string())
            .collect();
        for some in uids.chunks(TOGETHER) {
            client.command(&format!(
                "UID STORE {} +FLAGS.SILENT ({what})",
                some.join(",")
            ))?;
        }
    }
    client.command("EXPUNGE")?;
    let left = client.command("STATUS Many (MESSAGES)")?;
    let expected = format!("MESSAGES {})", wanted - changes / 2);
    ensure!(
        left.iter().any(|line| contains(line, expected.as_bytes())),
        "{}: the mailbox has not {expected}",
        server.name
    );
    Ok(state)
}

fn state(select: &[Vec<u8>]) -> Result<(u64, u64)> {
    let number = |name: &str| {
        select.iter().find_map(|line| {
            let line = String::from_utf8_lossy(line);
            let (_, rest) = line.split_once(name)?;
            rest.trim_start().split(']').next()?.parse().ok()
        })
    };
    Ok((
        number("[UIDVALIDITY").context("no UIDVALIDITY")?,
        number("[HIGHESTMODSEQ").context("no HIGHESTMODSEQ")?,
    ))
}
