//! Mail that is read.

use crate::measure::{Work, compare};
use crate::servers::{USERS, ours};
use anyhow::Result;
use interop::dovecot::{Dovecot, Fsync};
use interop::posthouse::PASSWORD;
use interop::world::World;

/// Reading by IMAP: ours against Dovecot.
pub(crate) fn read(world: &mut World) -> Result<()> {
    let (ours, pid) = ours(world)?;
    let dovecot = Dovecot::start(world, "127.0.0.5", PASSWORD, Fsync::Always)?;
    for (addr, pid) in [(ours.addr(24), pid), ("127.0.0.5:24".into(), dovecot.pid)] {
        let fill = format!(
            "--addr {addr} --connections 16 --messages 10000 deliver --lmtp --to user0@demo.test"
        );
        Work::new(&fill, &[pid]).measure()?;
    }
    for (what, messages, work) in [
        (
            "FETCH ENVELOPE of 10,000",
            100_000,
            "fetch --items (ENVELOPE)",
        ),
        ("FETCH FLAGS of 10,000", 200_000, "fetch --items (FLAGS)"),
        (
            "FETCH whole bodies of 10,000",
            10_000,
            "fetch --items (BODY.PEEK[])",
        ),
        ("SEARCH SUBJECT in 10,000", 20, "search"),
        ("APPEND 10 kB, 8 connections", 2000, "append"),
    ] {
        let connections = if work == "append" { 8 } else { 1 };
        let user = if work == "append" {
            "user{n}@demo.test"
        } else {
            "user0@demo.test"
        };
        let args = |addr: &str| {
            format!(
                "--addr {addr} --connections {connections} --messages {messages} --user {user} --users {USERS} {work}"
            )
        };
        compare(
            what,
            &Work::new(&args(&ours.addr(143)), &[pid]),
            &Work::new(&args("127.0.0.5:143"), &[dovecot.pid]),
            &["per_second", "cpu_s_per_1000"],
        )?;
    }
    Ok(())
}
