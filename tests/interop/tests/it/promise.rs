//! The 250 is a promise: under strace, no reply to a message begins before the
//! synced write that carries its bytes has returned.
//!
//! A killed process proves nothing of this: the page cache survives it.

use anyhow::ensure;
use interop::posthouse::{PASSWORD, Posthouse};
use interop::strace::Trace;
use interop::world::{Needs, run, wait_for};
use interop::{Result, imap, smtp};
use std::thread;
use std::time::Duration;

const SESSIONS: usize = 6;
const MESSAGES: usize = 5;

#[test]
fn no_reply_before_the_synced_write_has_returned() {
    run(
        "promise::no_reply_before_the_synced_write_has_returned",
        Needs::Program("strace"),
        |world| {
            let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["user"])?;
            let file = world.dir().join("trace");
            ours.serve_traced(world, &file)?;
            let marks = send_all(&ours)?;
            ours.end(world, "TERM")?;
            let trace = finished(&file)?;
            let (own, other) = trace.ways();
            ensure!(own + other > 0, "nothing was written to the journal");
            eprintln!("{own} writes were synced by themselves, {other} by a sync behind them");
            for (mark, reply) in &marks {
                // The body's frame has the header as it came; the commit's has
                // the envelope, ready for IMAP.
                let body = format!(r"Subject: {mark}\r\nMessage-ID: <{mark}@");
                let record = format!(r#"(NIL \"{mark}\" "#);
                trace.check(mark, reply, &[body, record])?;
            }
            eprintln!("{} messages", marks.len());
            Ok(())
        },
    );
}

/// The tracer writes its last lines after the server has ended.
fn finished(file: &std::path::Path) -> Result<Trace> {
    wait_for("the end of the trace", Duration::from_secs(60), || {
        let text = std::fs::read(file)?;
        let tail = String::from_utf8_lossy(&text[text.len().saturating_sub(80)..]).into_owned();
        Ok(tail.contains("+++ exited with 0 +++").then_some(()))
    })?;
    Trace::read(file)
}

/// Several sessions at once over MX, LMTP and APPEND; gives the mark of each
/// message and how the reply to it begins.
fn send_all(ours: &Posthouse) -> Result<Vec<(String, &'static str)>> {
    let (mx, lmtp, imap) = (ours.addr(25), ours.addr(24), ours.addr(143));
    thread::scope(|scope| {
        let sessions: Vec<_> = (0..SESSIONS)
            .map(|session| {
                let (mx, lmtp, imap) = (&mx, &lmtp, &imap);
                scope.spawn(move || match session % 3 {
                    0 => over_smtp(mx, "EHLO", session),
                    1 => over_smtp(lmtp, "LHLO", session),
                    _ => over_imap(imap, session),
                })
            })
            .collect();
        let mut marks = Vec::new();
        for session in sessions {
            marks.extend(session.join().expect("a session does not panic")?);
        }
        Ok(marks)
    })
}

/// A message with a mark that stays readable: what does not shrink is stored
/// as it is, so the text is noise of every byte that mail may have.
fn message(session: usize, n: usize) -> (String, Vec<u8>) {
    let mut random = fastrand::Rng::with_seed((session * 1000 + n) as u64);
    let mark = format!("mark{session}x{n}x");
    let mut text =
        format!("From: a@far.test\r\nSubject: {mark}\r\nMessage-ID: <{mark}@far.test>\r\n\r\n")
            .into_bytes();
    for _ in 0..random.usize(4..90) {
        text.push(b'~');
        text.extend((0..90).map(|_| match random.u8(1..) {
            b'\r' | b'\n' => 0xfe,
            byte => byte,
        }));
        text.extend(b"\r\n");
    }
    (mark, text)
}

fn over_smtp(addr: &str, hello: &str, session: usize) -> Result<Vec<(String, &'static str)>> {
    let mut client = smtp::Client::connect(addr)?;
    client.expect(&format!("{hello} client.test"), 250)?;
    let mut marks = Vec::new();
    for n in 0..MESSAGES {
        let (mark, text) = message(session, n);
        let (code, reply) = client.send("x@far.test", &["user@demo.test"], &text)?;
        ensure!(code == 250, "{reply}");
        marks.push((mark, "\"250 "));
    }
    Ok(marks)
}

fn over_imap(addr: &str, session: usize) -> Result<Vec<(String, &'static str)>> {
    let mut client = imap::Client::login(addr, "user@demo.test", PASSWORD)?;
    let mut marks = Vec::new();
    for n in 0..MESSAGES {
        let (mark, text) = message(session, n);
        client.append("INBOX", &text)?;
        marks.push((mark, " OK ["));
    }
    Ok(marks)
}
