//! Sessions that wait for other mailboxes cost nothing when something changes.

use anyhow::{Context as _, Result, ensure};
use interop::imap::Client;
use interop::posthouse::{PASSWORD, Posthouse};
use interop::smtp;
use interop::world::{self, Needs, World, wait_for};
use std::process::Command;
use std::time::Duration;

/// Sessions that do not watch what changes.
const OTHERS: usize = 300;

/// Messages that arrive.
const CHANGES: u64 = 40;

/// What a server's threads did: how often they slept and were woken, and their system calls.
#[derive(Debug, Clone, Copy)]
struct Done {
    switches: u64,
    calls: u64,
}

/// Were each session woken for each message, it would be 12,000 times: there is no mistaking that.
#[test]
fn whoever_does_not_watch_is_not_woken() {
    world::run(
        "waiting::whoever_does_not_watch_is_not_woken",
        Needs::Program("strace"),
        |world| {
            let users = ["watcher", "other"];
            let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &users)?;
            ours.set("imap.sessions_per_user", "1000")?;
            ours.set("limits.connections_per_address", "1000")?;
            let pid = ours.serve(world)?;
            let mut watcher = idle(&ours, "watcher")?;
            // The first messages make what the later ones find.
            changes(world, &ours, &mut watcher, pid)?;
            let alone = changes(world, &ours, &mut watcher, pid)?;
            let others = (0..OTHERS)
                .map(|_| idle(&ours, "other"))
                .collect::<Result<Vec<_>>>()?;
            let among = changes(world, &ours, &mut watcher, pid)?;
            drop(others);
            eprintln!("{CHANGES} messages alone {alone:?}, among {OTHERS} {among:?}");
            for (alone, among) in [(alone.switches, among.switches), (alone.calls, among.calls)] {
                ensure!(
                    among <= alone * 3 / 2 + CHANGES,
                    "{among} among others, {alone} alone"
                );
            }
            Ok(())
        },
    );
}

fn idle(ours: &Posthouse, user: &str) -> Result<Client> {
    let mut client = Client::login(&ours.addr(143), &format!("{user}@demo.test"), PASSWORD)?;
    client.command("SELECT INBOX")?;
    client.idle()?;
    Ok(client)
}

/// Messages one after another, of each of which the watcher is told.
fn changes(world: &mut World, ours: &Posthouse, watcher: &mut Client, pid: u32) -> Result<Done> {
    let mut lmtp = smtp::Client::connect(&ours.addr(24))?;
    lmtp.expect("LHLO far.test", 250)?;
    let summary = world.dir().join("summary");
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-c", "-p", &pid.to_string(), "-o"])
        .arg(&summary);
    let tracer = world.start("strace", &mut strace)?;
    wait_for("every thread to be traced", Duration::from_secs(60), || {
        let traced = threads(pid, "TracerPid")?.iter().all(|&tracer| tracer > 0);
        Ok(traced.then_some(()))
    })?;
    let before = threads(pid, "voluntary_ctxt_switches")?;
    for _ in 0..CHANGES {
        lmtp.expect("MAIL FROM:<load@far.test>", 250)?;
        lmtp.expect("RCPT TO:<watcher@demo.test>", 250)?;
        lmtp.expect("DATA", 354)?;
        lmtp.expect("Subject: x\r\n\r\nx\r\n.", 250)?;
        while !watcher.untagged()?.ends_with(b" EXISTS\r\n") {}
    }
    let after = threads(pid, "voluntary_ctxt_switches")?;
    world.signal(tracer, "TERM")?;
    // % time, seconds, microseconds a call, calls, errors, "total".
    let text = std::fs::read_to_string(summary)?;
    let total = text.lines().find(|line| line.ends_with(" total"));
    let calls = total.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    Ok(Done {
        switches: after.iter().sum::<u64>() - before.iter().sum::<u64>(),
        calls: calls.with_context(|| format!("no total in {text}"))?,
    })
}

/// A number of each of a process's threads.
fn threads(pid: u32, name: &str) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may have ended meanwhile.
        let status = std::fs::read_to_string(thread?.path().join("status")).unwrap_or_default();
        let lines = status.lines().filter_map(|line| line.split_once(':'));
        let found = lines
            .filter(|(field, _)| *field == name)
            .find_map(|(_, number)| number.trim().parse::<u64>().ok());
        numbers.extend(found);
    }
    Ok(numbers)
}
