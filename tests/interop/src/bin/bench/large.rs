//! Large stores: a mailbox of a million messages, ten thousand accounts, and opening after a kill.

use crate::measure::{Work, alone, number};
use crate::servers::{USERS, ours};
use crate::side::drop_caches;
use anyhow::{Context as _, Result, ensure};
use directory::{Directory, NewAccount};
use engine::embedded::{EmbeddedEngine, Options};
use interop::posthouse::Posthouse;
use interop::world::{World, wait_for_port};
use mailstore::{Mailstore, QuotaLimits};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;

/// One mailbox with very many messages.
pub(crate) fn million(world: &mut World) -> Result<()> {
    let (mut ours, mut pid) = ours(world)?;
    let messages = number("POSTHOUSE_BENCH_FULL", 1_000_000);
    let fill = format!(
        "--addr {} --connections 64 --messages {messages} --size 200 deliver --lmtp --to user0@demo.test",
        ours.addr(24)
    );
    let filled = Work::new(&fill, &[pid]).measure()?;
    eprintln!("filled: {filled}");
    let addr = ours.addr(143);
    let imap = |times: u64, pid: u32, setup: &[&str], command: &str| -> Result<Value> {
        let words = format!("--addr {addr} --messages {times} --user user0@demo.test repeat");
        let mut work = Work::new(&words, &[pid]);
        for setup in setup {
            work = work.and(&["--setup", setup]);
        }
        work.and(&["--command", command]).measure()
    };
    let select = "EXAMINE INBOX";
    alone("SELECT of a million, warm", &["p50_ms"], || {
        imap(50, pid, &[select], select)
    })?;
    alone(
        "UID FETCH FLAGS of a million, warm",
        &["p50_ms", "cpu_s_per_1000"],
        || imap(1, pid, &[select], "FETCH 1:* (UID FLAGS)"),
    )?;
    for (what, user) in [("a million", "user0"), ("few", "user1")] {
        one_flag(what, &addr, user, pid)?;
    }
    let last = format!(
        "FETCH {}:* (UID FLAGS ENVELOPE)",
        messages.saturating_sub(49).max(1)
    );
    for (what, commands) in [
        ("login, SELECT and the last 50", [select, &last]),
        (
            "login, SELECT and all UID and FLAGS",
            [select, "FETCH 1:* (UID FLAGS)"],
        ),
    ] {
        alone(
            &format!("{what} of a million, cold"),
            &["p50_ms", "resident_kb"],
            || {
                pid = cold(&mut ours, world, pid)?;
                let words =
                    format!("--addr {addr} --messages 1 --user user0@demo.test repeat --fresh");
                let mut work = Work::new(&words, &[pid]);
                for command in commands {
                    work = work.and(&["--command", command]);
                }
                work.measure()
            },
        )?;
    }
    Ok(())
}

/// Setting one flag and syncing it, in a mailbox of any size.
fn one_flag(what: &str, addr: &str, user: &str, pid: u32) -> Result<()> {
    alone(
        &format!("one flag in {what}"),
        &["p50_ms", "written_per_message"],
        || {
            let words = format!("--addr {addr} --messages 50 --user {user}@demo.test repeat");
            Work::new(&words, &[pid])
                .and(&["--setup", "APPEND INBOX {1+}\r\nx"])
                .and(&["--setup", "SELECT INBOX"])
                .and(&["--before", "STORE 1 -FLAGS.SILENT (\\Flagged)"])
                .and(&["--command", "STORE 1 +FLAGS.SILENT (\\Flagged)"])
                .measure()
        },
    )
}

/// The server again, with nothing of its files in memory.
fn cold(ours: &mut Posthouse, world: &mut World, pid: u32) -> Result<u32> {
    ensure!(world.is_running(pid), "the server runs");
    ours.end(world, "TERM")?;
    drop_caches()?;
    ours.serve(world)
}

/// Memory when ten thousand accounts were touched once each.
pub(crate) fn accounts(world: &mut World) -> Result<()> {
    let (mut ours, _) = ours(world)?;
    ours.end(world, "TERM")?;
    let accounts = number("POSTHOUSE_BENCH_ACCOUNTS", 10_000);
    make_accounts(&ours, accounts)?;
    let pid = ours.serve(world)?;
    let work = |messages: u64| {
        let words = format!(
            "--addr {} --connections 16 --messages {messages} --size 2000 --users {accounts} deliver --lmtp --to box{{n}}@demo.test",
            ours.addr(24)
        );
        Work::new(&words, &[pid])
    };
    work(accounts).measure()?;
    let after = work(16).measure()?;
    println!(
        "| {accounts} accounts touched once | resident_kb | {} | | | |",
        after["resident_kb"]
    );
    Ok(())
}

/// Accounts without passwords, straight into the store: hashing ten thousand
/// passwords would take longer than everything else.
fn make_accounts(ours: &Posthouse, accounts: u64) -> Result<()> {
    let executor = runtime::process::build(Some(2))?;
    let runtime = executor.runtime();
    let folder = ours.dir().join("data/store");
    let engine = Arc::new(EmbeddedEngine::open(&folder, &Options::default())?);
    let blobs = Arc::new(blobs::Blobs::new(engine.clone()));
    let mail = Mailstore::new(
        engine.clone(),
        blobs,
        runtime.clone(),
        mailstore::Options::default(),
    );
    let directory = Directory::new(engine.clone(), runtime, directory::Options::default());
    executor.block_on(async {
        for n in 0..accounts {
            let address = envelope::Address::parse(&format!("box{n}@demo.test"))?;
            let limits = QuotaLimits::default();
            directory
                .account_add(NewAccount::new(address, None), &|batch, id| {
                    mail.create_account(batch, id, limits)
                        .map_err(|error| error.to_string())
                })
                .await
                .context("adding an account")?;
        }
        mail.close().await;
        anyhow::Ok(())
    })?;
    engine.close();
    Ok(())
}

/// From the start of the process until every port accepts, after a kill, with little and with much mail.
pub(crate) fn open(world: &mut World) -> Result<()> {
    let (mut ours, mut pid) = ours(world)?;
    let mut there = 0;
    for megabytes in [500, number("POSTHOUSE_BENCH_OPEN_MB", 5000)] {
        let messages = (megabytes - there) * 100;
        let fill = format!(
            "--addr {} --connections 64 --messages {messages} --size 10000 --users {USERS} deliver --lmtp --to user{{n}}@demo.test",
            ours.addr(24)
        );
        Work::new(&fill, &[pid]).measure()?;
        there = megabytes;
        alone(
            &format!("open after a kill with {megabytes} MB"),
            &["ms"],
            || {
                let some = fill.replace(&format!("--messages {messages} "), "--messages 2000 ");
                Work::new(&some, &[pid]).measure()?;
                ours.end(world, "KILL")?;
                let start = Instant::now();
                pid = ours.serve(world)?;
                wait_for_port(&ours.addr(143))?;
                Ok(json!({ "ms": start.elapsed().as_secs_f64() * 1000.0 }))
            },
        )?;
    }
    Ok(())
}
