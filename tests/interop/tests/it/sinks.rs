//! Postfix's smtp-sink as a destination that fails in all its ways, and is slow at random.

use anyhow::{Result, ensure};
use interop::posthouse::Posthouse;
use interop::world::{Needs, World, run, wait_for, wait_for_port};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
const AT: &str = "127.0.0.3:2525";

/// What fails for now, and what the queue says of it.
const FAILURES: [(&str, &[&str]); 9] = [
    ("softly at the greeting", &["-r", "connect"]),
    ("softly at MAIL", &["-r", "mail"]),
    ("softly at RCPT", &["-r", "rcpt"]),
    ("softly at DATA", &["-r", "data"]),
    ("softly at the end of data", &["-r", "."]),
    ("with 421 at RCPT", &["-Q", "rcpt"]),
    ("with 421 at the end of data", &["-Q", "."]),
    ("by hanging up at the hello", &["-q", "ehlo,helo"]),
    ("by hanging up at DATA", &["-q", "data"]),
];

struct Sinks {
    dump: PathBuf,
}

impl Sinks {
    fn start(&self, world: &mut World, options: &[&str]) -> Result<u32> {
        let mut command = Command::new("smtp-sink");
        // As root in a namespace of its own it wants to be told so.
        command.args(["-u", "root", "-D"]).arg(&self.dump);
        let pid = world.start("sink", command.args(options).args([AT, "100"]))?;
        wait_for_port(AT)?;
        Ok(pid)
    }

    /// How often a message came whole.
    fn count(&self, mark: &str) -> usize {
        let dump = std::fs::read_to_string(&self.dump).unwrap_or_default();
        dump.matches(&format!("Subject: {mark}\n")).count()
    }
}

fn send(world: &World, ours: &Posthouse, mark: &str) -> Result<()> {
    let text = format!("From: alice@demo.test\r\nSubject: {mark}\r\n\r\nx\r\n");
    ours.submit(world, &["x@far.test"], text.as_bytes())
}

fn wait_until_empty(ours: &Posthouse) -> Result<()> {
    wait_for("the queue to be empty", PATIENCE, || {
        let left = ours.cli(&["queue", "list", "--json"])?;
        Ok((left.trim() == "[]").then_some(()))
    })
}

fn prepare(world: &mut World, dump: &Path) -> Result<(Posthouse, Sinks)> {
    let mut ours = Posthouse::init(world, "127.0.0.2", "demo.test", &["alice"])?;
    ours.set("outbound.smart_host", &format!("{AT:?}"))?;
    ours.serve(world)?;
    let dump = dump.to_owned();
    Ok((ours, Sinks { dump }))
}

#[test]
fn whatever_fails_for_now_is_tried_again_and_arrives_once() {
    run(
        "sinks::whatever_fails_for_now_is_tried_again_and_arrives_once",
        Needs::Peers,
        |world| {
            let dump = world.folder("sink")?.join("dump");
            let (ours, sinks) = prepare(world, &dump)?;
            for (at, (how, options)) in FAILURES.into_iter().enumerate() {
                let mark = format!("mark-{at}");
                let pid = sinks.start(world, options)?;
                send(world, &ours, &mark)?;
                wait_for(&format!("a failure {how}"), PATIENCE, || {
                    let list = ours.cli(&["queue", "list", "--json"])?;
                    Ok(list.contains("\"deferred\"").then_some(()))
                })?;
                world.kill_group(pid)?;
                // What it had not taken it may have begun to write down.
                std::fs::write(&dump, "")?;
                let pid = sinks.start(world, &[])?;
                ours.cli(&["queue", "retry", "--all"])?;
                wait_until_empty(&ours)?;
                world.kill_group(pid)?;
                let count = sinks.count(&mark);
                ensure!(count == 1, "{how}: {count} times");
            }
            // For good: its sender hears of it.
            let pid = sinks.start(
                world,
                &["-f", "rcpt", "-B", "550 5.1.1 nobody of that name"],
            )?;
            send(world, &ours, "mark-never")?;
            ours.wait_for_mail("alice@demo.test", "nobody of that name")?;
            world.kill_group(pid)?;
            ensure!(sinks.count("mark-never") == 0);
            ours.assert_sound()
        },
    );
}

#[test]
fn a_sink_that_is_slow_at_random_gets_everything_once() {
    run(
        "sinks::a_sink_that_is_slow_at_random_gets_everything_once",
        Needs::Peers,
        |world| {
            let dump = world.folder("sink")?.join("dump");
            let (ours, sinks) = prepare(world, &dump)?;
            // Most answers to the end of data come at once, some after seconds.
            sinks.start(world, &["-W", ".:1:30", "-m", "5"])?;
            let messages = 40;
            for n in 0..messages {
                send(world, &ours, &format!("mark-{n}"))?;
            }
            wait_for("the queue to be empty", Duration::from_secs(60), || {
                let left = ours.cli(&["queue", "list", "--json"])?;
                Ok((left.trim() == "[]").then_some(()))
            })?;
            for n in 0..messages {
                let count = sinks.count(&format!("mark-{n}"));
                ensure!(count == 1, "mark-{n}: {count} times");
            }
            ours.assert_sound()
        },
    );
}
