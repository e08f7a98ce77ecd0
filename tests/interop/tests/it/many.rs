//! Programs that take or handle every message, on an account of ten thousand: poplib,
//! imaplib, fetchmail, mutt. The scripts are beside this file.

use crate::libraries::script;
use anyhow::{Context as _, ensure};
use interop::posthouse::{PASSWORD, Posthouse};
use interop::synced::{message, wired, with_messages};
use interop::world::{Needs, World, run};
use interop::{Result, imap};

const MESSAGES: u32 = 10_000;

#[test]
fn poplib_leaves_ten_thousand_on_the_server_and_takes_what_is_new() {
    run(
        "many::poplib_leaves_ten_thousand_on_the_server_and_takes_what_is_new",
        Needs::Python,
        |world| {
            let mut ours = with_messages(world, MESSAGES)?;
            // Nothing is in memory yet.
            ours.end(world, "TERM")?;
            let pid = ours.serve(world)?.to_string();
            let text = include_str!("many/leaves.py");
            let args = [PASSWORD, &pid, &MESSAGES.to_string()];
            let out = script(world, "leaves.py", text, &args)?;
            ensure!(out.trim() == "all as it should be", "{out}");
            Ok(())
        },
    );
}

#[test]
fn imaplib_handles_ten_thousand_at_once() {
    run(
        "many::imaplib_handles_ten_thousand_at_once",
        Needs::Python,
        |world| {
            let _ours = with_messages(world, MESSAGES)?;
            let text = include_str!("many/handles.py");
            let args = [PASSWORD, &MESSAGES.to_string()];
            let out = script(world, "handles.py", text, &args)?;
            ensure!(out.trim() == "all as it should be", "{out}");
            Ok(())
        },
    );
}

#[test]
fn fetchmail_leaves_ten_thousand_on_the_server_and_takes_what_is_new() {
    run(
        "many::fetchmail_leaves_ten_thousand_on_the_server_and_takes_what_is_new",
        Needs::Program("fetchmail"),
        |world| {
            let ours = with_messages(world, MESSAGES)?;
            let home = world.folder_in_memory("fetchmail")?;
            let d = home.display();
            // Into a file: it would start a program for each message else.
            let rc = format!(
                "set no bouncemail\npoll 127.0.0.10 protocol POP3 port 110 uidl username \"alice@demo.test\" \
                 password \"{PASSWORD}\" sslproto '' keep bsmtp \"{d}/taken\"\n"
            );
            std::fs::write(home.join("rc"), rc)?;
            world.sh(&format!("chmod 600 {d}/rc"))?;
            let visit = |world: &World| -> Result<Vec<u32>> {
                let line = format!("fetchmail -f {d}/rc --pidfile {d}/pid --idfile {d}/ids");
                world.sh(&line)?;
                taken(&std::fs::read_to_string(home.join("taken"))?)
            };
            ensure!(visit(world)?.into_iter().eq(1..=MESSAGES));
            append(&ours, MESSAGES + 1..=MESSAGES + 40)?;
            std::fs::remove_file(home.join("taken"))?;
            let numbers = visit(world)?;
            ensure!(
                numbers.iter().copied().eq(MESSAGES + 1..=MESSAGES + 40),
                "{numbers:?}"
            );
            all_are_left(&ours, MESSAGES + 40)
        },
    );
}

#[test]
fn mutt_files_and_deletes_some_of_ten_thousand() {
    run(
        "many::mutt_files_and_deletes_some_of_ten_thousand",
        Needs::Program("mutt"),
        |world| {
            let ours = with_messages(world, MESSAGES)?;
            let d = world.dir().display().to_string();
            world.folder("Mail")?;
            // What is flagged is copied by the server; what is answered is moved; the rest stays.
            let rc = format!(
                "set imap_user=\"alice@demo.test\" imap_pass=\"{PASSWORD}\" ssl_starttls=no ssl_force_tls=no\n\
                 set imap_authenticators=login folder=imap://127.0.0.10/ sleep_time=0 wait_key=no\n\
                 set confirmappend=no delete=yes quit=yes auto_tag=no move=no confirmcreate=no\n\
                 push \"<tag-pattern>~F<enter><tag-prefix><copy-message>=kept<enter><untag-pattern>.<enter>\
                 <tag-pattern>~Q<enter><tag-prefix><save-message>=Archive<enter><sync-mailbox><quit>\"\n"
            );
            std::fs::write(world.dir().join("rc"), rc)?;
            let mut client = imap::Client::login(&ours.addr(143), "alice@demo.test", PASSWORD)?;
            client.command("CREATE kept")?;
            world.sh(&format!(
                "TERM=xterm timeout 60 script -qec 'mutt -n -F {d}/rc -f imap://127.0.0.10/INBOX' /dev/null >/dev/null"
            ))?;
            let found =
                interop::synced::on_the_server(&ours.addr(143), &["INBOX", "kept", "Archive"])?;
            let of = |name: &str| {
                found
                    .get(name)
                    .context("a mailbox")
                    .map(|m| m.keys().copied())
            };
            ensure!(
                of("kept")?.eq((1..=MESSAGES).filter(|n| n % 5 == 0)),
                "what was copied"
            );
            ensure!(
                of("Archive")?.eq((1..=MESSAGES).filter(|n| n % 9 == 0)),
                "what was moved"
            );
            ensure!(
                of("INBOX")?.eq((1..=MESSAGES).filter(|n| n % 9 != 0)),
                "what is left"
            );
            Ok(())
        },
    );
}

fn append(ours: &Posthouse, numbers: std::ops::RangeInclusive<u32>) -> Result<()> {
    let mut client = imap::Client::login(&ours.addr(143), "alice@demo.test", PASSWORD)?;
    for some in numbers.collect::<Vec<_>>().chunks(200) {
        client.append_all("INBOX", &some.iter().map(|&n| wired(n)).collect::<Vec<_>>())?;
    }
    Ok(())
}

fn all_are_left(ours: &Posthouse, count: u32) -> Result<()> {
    let mut client = imap::Client::login(&ours.addr(143), "alice@demo.test", PASSWORD)?;
    let status = client.command("STATUS INBOX (MESSAGES)")?.concat();
    let status = String::from_utf8_lossy(&status);
    ensure!(status.contains(&format!("MESSAGES {count})")), "{status}");
    Ok(())
}

/// The messages in a file of SMTP, in their order, each line of their bodies looked at.
fn taken(text: &str) -> Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for one in text
        .split("\r\nDATA\r\n")
        .flat_map(|t| t.split("\nDATA\n"))
        .skip(1)
    {
        let one = one.replace("\r\n", "\n");
        let (_, id) = one.split_once("Message-ID: <").context("a Message-ID")?;
        let number: u32 = id.split('@').next().unwrap_or_default().parse()?;
        let (_, body) = one.split_once("\n\n").context("a body")?;
        let body = body.split_once("\n.\n").context("an end")?.0;
        let whole = message(number);
        let (_, expected) = whole.split_once("\n\n").context("a body")?;
        ensure!(
            body == expected.trim_end(),
            "{number} is not whole:\n{body}"
        );
        numbers.push(number);
    }
    Ok(numbers)
}
