//! A reply of POP3 leaves in one piece: one write to a connection that waits for nothing, so
//! that a message costs one packet and no round trip more.

use anyhow::{Context as _, ensure};
use interop::posthouse::{PASSWORD, Posthouse};
use interop::strace::Trace;
use interop::world::{Needs, run, wait_for};
use interop::{imap, pop3};
use std::time::Duration;

const USER: &str = "alice@demo.test";
/// Octets of a write of a message that does not fit one.
const LARGE_PIECE: i64 = 16 * 1024;

#[test]
fn each_reply_of_pop3_leaves_in_one_piece() {
    run(
        "pieces::each_reply_of_pop3_leaves_in_one_piece",
        Needs::Program("strace"),
        |world| {
            let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["alice"])?;
            ours.serve(world)?;
            // From one line to what is as long as most messages are; the last is large.
            let message =
                |lines: usize| format!("Subject: x\r\n\r\n{}", ".a line of mail\r\n".repeat(lines));
            let mut messages: Vec<_> = (0..24).map(|n| message(1 + n * 100)).collect();
            messages.push(message(60_000));
            let of = |text: &String| (String::new(), text.clone().into_bytes());
            let mut client = imap::Client::login(&ours.addr(143), USER, PASSWORD)?;
            client.append_all("INBOX", &messages.iter().map(of).collect::<Vec<_>>())?;
            drop(client);
            ours.end(world, "TERM")?;

            let file = world.dir().join("trace");
            ours.serve_traced(world, &file)?;
            let mut client = pop3::Client::login(&ours.addr(110), USER, PASSWORD)?;
            let mut commands: Vec<_> = ["STAT", "NOOP", "LIST 1", "UIDL 1"]
                .map(str::to_owned)
                .into();
            commands
                .iter()
                .try_for_each(|command| client.command(command).map(drop))?;
            for command in ["LIST", "UIDL", "CAPA", "TOP 3 5"] {
                client.lines(command)?;
                commands.push(command.to_owned());
            }
            for (text, number) in messages.iter().zip(1..) {
                let command = format!("RETR {number}");
                ensure!(
                    client.lines(&command)?.concat() == text.as_bytes(),
                    "{command}"
                );
                commands.push(command);
            }
            client.command("QUIT")?;
            ours.end(world, "TERM")?;
            wait_for("the end of the trace", Duration::from_secs(60), || {
                let text = std::fs::read_to_string(&file)?;
                Ok(text
                    .trim_end()
                    .ends_with("+++ exited with 0 +++")
                    .then_some(()))
            })?;
            let trace = Trace::read(&file)?;
            let large = commands.pop().context("a large one")?;
            for command in &commands {
                let (writes, no_delay) = trace.writes_behind(&format!(r#""{command}\r\n""#))?;
                ensure!(
                    writes.len() == 1 && no_delay,
                    "{command}: {writes:?}, {no_delay}"
                );
            }
            let (writes, _) = trace.writes_behind(&format!(r#""{large}\r\n""#))?;
            let (_, all_but_one) = writes.split_last().context("it was written")?;
            ensure!(
                all_but_one.iter().all(|&octets| octets >= LARGE_PIECE),
                "{writes:?}"
            );
            Ok(())
        },
    );
}
