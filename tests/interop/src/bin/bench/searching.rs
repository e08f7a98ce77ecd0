//! Mail that is searched, by IMAP: texts that nothing or little has, warm and cold.

use crate::measure::{Work, alone, alternate, compare, number};
use crate::servers::ours;
use crate::side::Server;
use anyhow::Result;
use interop::world::World;
use std::cell::RefCell;
use std::time::Duration;

/// Who has the mail, and who has none.
const READER: &str = "user0@demo.test";
const OTHER: &str = "user1@demo.test";

/// What is looked for, and how often in a session that is there already. The mail's text is random
/// letters and digits: no line of it has a blank. Our index knows nothing of two characters, so that
/// those are looked for in every message.
const SEARCHES: [(&str, &str, u32); 5] = [
    ("SEARCH BODY without an index", "SEARCH BODY \"q \"", 3),
    ("SEARCH TEXT without an index", "SEARCH TEXT \"~ \"", 3),
    ("SEARCH BODY with an index", "SEARCH BODY \"q zx\"", 3),
    ("SEARCH SUBJECT", "SEARCH SUBJECT \"load 77\"", 10),
    (
        "SEARCH of a field that is in no cache",
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
    // The first search that could use the index has it built; whoever is measured waits until that is done.
    work(&ours, 1, "SEARCH TEXT \"none of it\"").measure()?;
    wait_for_the_index(ours.pid())?;
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

/// It rests between its steps, as long as they took: until nothing happens for longer than that.
fn wait_for_the_index(pid: u32) -> Result<()> {
    let spent = || -> Result<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields = stat.rsplit(')').next().unwrap_or("").split_whitespace();
        let ticks = fields
            .skip(11)
            .take(2)
            .filter_map(|n| n.parse::<u64>().ok());
        Ok(ticks.sum())
    };
    let mut before = spent()?;
    loop {
        std::thread::sleep(Duration::from_secs(5));
        let now = spent()?;
        if now < before + 3 {
            return Ok(());
        }
        before = now;
    }
}

fn work(server: &Server, times: u32, command: &str) -> Work {
    let words = format!(
        "--addr {} --messages {times} --user {READER} repeat",
        server.addr(143)
    );
    let before = ["--setup", "EXAMINE INBOX", "--before", "NOOP", "--rest"];
    let work = Work::new(&words, &[server.pid()]).and(&before);
    work.and(&["--command", command])
}

/// A search of three characters among few and among ten times as many small messages, with the same hits.
pub(crate) fn index(world: &mut World) -> Result<()> {
    let (ours, pid) = ours(world)?;
    let most = number("POSTHOUSE_BENCH_FULL", 1_000_000);
    for (messages, user) in [(most / 10, "user0@demo.test"), (most, "user1@demo.test")] {
        let fill = format!(
            "--addr {} --connections 64 --messages {messages} --size 200 deliver --lmtp --to {user}",
            ours.addr(24)
        );
        Work::new(&fill, &[pid]).measure()?;
        let work = |times: u64, commands: &[&str]| {
            let words = format!(
                "--addr {} --messages {times} --user {user} repeat",
                ours.addr(143)
            );
            Work::new(&words, &[pid]).and(commands)
        };
        // Nothing else has a blank in its text.
        let append = "APPEND INBOX {27+}\r\nSubject: x\r\n\r\nthis is one\r\n";
        work(50, &["--command", append]).measure()?;
        let search = "SEARCH BODY \"s o\"";
        let at_rest = [
            "--setup",
            "EXAMINE INBOX",
            "--before",
            "NOOP",
            "--rest",
            "--command",
            search,
        ];
        work(1, &at_rest).measure()?;
        wait_for_the_index(pid)?;
        alone(
            &format!("three characters in 50 of {messages}"),
            &["p50_ms", "cpu_s_per_1000", "resident_kb"],
            || work(20, &at_rest).measure(),
        )?;
    }
    Ok(())
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
