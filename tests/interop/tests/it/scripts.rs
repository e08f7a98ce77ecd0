//! Filter scripts over the whole program: stored by the command line, bound by METADATA, run behind IMAP commands, and what
//! they send on delivered through the queue.

use anyhow::{Context as _, ensure};
use interop::imap;
use interop::posthouse::{PASSWORD, Posthouse, contains};
use interop::world::{Needs, run, wait_for};
use std::time::Duration;

const SCRIPT: &str = "require [\"imapsieve\", \"environment\", \"imap4flags\", \"copy\", \"fileinto\", \"mailbox\"];\n\
    if environment :is \"imap.cause\" [\"APPEND\", \"COPY\"] {\n\
    redirect :copy \"bob@demo.test\";\n\
    } elsif allof (hasflag \"\\\\Flagged\", environment :contains \"imap.changedflags\" \"\\\\Flagged\") {\n\
    fileinto :copy :create \"Important\";\n}\n";

#[test]
fn a_script_behind_imap_commands_sends_files_and_is_undone_by_nobody() {
    run(
        "scripts::a_script_behind_imap_commands_sends_files_and_is_undone_by_nobody",
        Needs::Nothing,
        |world| {
            let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["alice", "bob"])?;
            let file = ours.dir().join("hook.sieve");
            std::fs::write(&file, SCRIPT)?;
            let file = file.display().to_string();
            // Without a server the command opens the store itself.
            ours.cli(&["sieve", "put", "alice@demo.test", "hook", &file])?;
            ours.serve(world)?;
            ensure!(ours.cli(&["sieve", "get", "alice@demo.test", "hook"])? == SCRIPT);
            let mut alice = imap::Client::login(&ours.addr(143), "alice@demo.test", PASSWORD)?;
            alice.command("SETMETADATA Archive (/shared/imapsieve/script \"hook\")")?;
            alice.append("Archive", b"Subject: for Bob too\r\n\r\nbody\r\n")?;
            let got = ours.wait_for_mail("bob@demo.test", "for Bob too")?;
            for field in [
                "Return-Path: <alice@demo.test>",
                "Delivered-To: bob@demo.test",
                "Delivered-To: alice@demo.test",
            ] {
                ensure!(
                    contains(&got, field.as_bytes()),
                    "{field}: {}",
                    String::from_utf8_lossy(&got)
                );
            }
            alice.command("SELECT Archive")?;
            alice.command("STORE 1 +FLAGS (\\Flagged)")?;
            let filed = alice.messages("Important")?;
            ensure!(filed.len() == 1, "{filed:?}");
            // A change of flags sends nothing.
            wait_for("the queue to be empty", Duration::from_secs(20), || {
                let list = ours.cli(&["queue", "list", "--json"])?;
                Ok((list.trim() == "[]").then_some(()))
            })?;
            let mut bob = imap::Client::login(&ours.addr(143), "bob@demo.test", PASSWORD)?;
            ensure!(bob.messages("INBOX")?.len() == 1);
            // A script is replaced while the server runs, and holds from the next command on.
            let file = ours.dir().join("hook.sieve");
            std::fs::write(&file, "require \"imap4flags\"; addflag \"kw\";\n")?;
            let name = file.display().to_string();
            ours.cli(&["sieve", "put", "alice@demo.test", "hook", &name])?;
            alice.append("Archive", b"Subject: second\r\n\r\nbody\r\n")?;
            alice.command("SELECT Archive")?;
            let told = alice.command("FETCH 2 (FLAGS)")?;
            let flags = told.first().context("flags expected")?;
            ensure!(contains(flags, b"kw"), "{}", String::from_utf8_lossy(flags));
            ours.assert_sound()
        },
    );
}
