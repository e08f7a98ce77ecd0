//! What mail programs are written with, on an account of ten thousand messages:
//! imapflow (Node), aioimaplib and IMAPClient (Python). Their scripts are beside
//! this file, and each checks what it is told itself; what only another session
//! can know is checked here.

use anyhow::{Context as _, ensure};
use interop::posthouse::{PASSWORD, Posthouse};
use interop::synced::{message, with_messages};
use interop::world::{Needs, World, run};
use interop::{Result, imap};
use std::collections::{BTreeMap, BTreeSet};

const MESSAGES: u32 = 10_000;
const IMAPFLOW: Needs = Needs::Node(&["imapflow"]);

/// A script with what it needs to know, run to its end; gives what it printed.
pub(crate) fn script(world: &World, name: &str, text: &str, args: &[&str]) -> Result<String> {
    let path = world.dir().join(name);
    std::fs::write(&path, text)?;
    let (mut words, python) = (vec![path.display().to_string()], interop::world::python());
    let program = if name.ends_with(".py") {
        python.display().to_string()
    } else {
        let modules = interop::world::node_modules();
        words.push(modules.display().to_string());
        "node".to_owned()
    };
    words.extend(args.iter().map(|&arg| arg.to_owned()));
    world.output(&program, words)
}

fn imapflow(world: &World, mode: &str) -> Result<String> {
    let text = include_str!("libraries/resync.cjs");
    let known = world.dir().join("known.json").display().to_string();
    script(world, "resync.cjs", text, &[mode, &known, PASSWORD])
}

/// What there is, by somebody who never was there before.
fn truth(ours: &Posthouse) -> Result<BTreeMap<u32, BTreeSet<String>>> {
    let mut client = imap::Client::login(&ours.addr(143), "alice@demo.test", PASSWORD)?;
    client.command("EXAMINE INBOX")?;
    let responses = client.command("UID FETCH 1:* (FLAGS)")?;
    let fetched = responses.iter().filter_map(|r| imap::fetched(r));
    Ok(fetched.map(|one| (one.uid, one.flags)).collect())
}

/// imapflow comes back, and knows after SELECT alone what there is. Gives how
/// many changes of flags and how many messages that went it was told of.
fn comes_back(world: &World, ours: &Posthouse) -> Result<(u64, u64)> {
    let out = imapflow(world, "again")?;
    let told: serde_json::Value = serde_json::from_str(&out).context(out.clone())?;
    let of = |(uid, flags): (&String, &serde_json::Value)| {
        let flags = flags.as_array().context("flags")?.iter();
        let flags = flags.filter_map(|flag| flag.as_str().map(str::to_owned));
        Ok((uid.parse()?, flags.collect::<BTreeSet<_>>()))
    };
    let known = told["known"].as_object().context("what it knows")?;
    let known = known.iter().map(of).collect::<Result<BTreeMap<u32, _>>>()?;
    let truth = truth(ours)?;
    ensure!(
        known.len() == truth.len(),
        "{} of {}",
        known.len(),
        truth.len()
    );
    let wrong = known
        .iter()
        .find(|&(uid, flags)| truth.get(uid) != Some(flags));
    ensure!(wrong.is_none(), "{wrong:?}");
    let count = |name: &str| told[name].as_u64().context("a count");
    Ok((count("flags")?, count("gone")?))
}

#[test]
fn imapflow_knows_after_a_day_away_what_there_is() {
    run(
        "libraries::imapflow_knows_after_a_day_away_what_there_is",
        IMAPFLOW,
        |world| {
            let mut ours = with_messages(world, MESSAGES)?;
            imapflow(world, "first")?;

            // Nothing happened, but that the server ended and began: nothing is told.
            ours.end(world, "TERM")?;
            ours.serve(world)?;
            ensure!(comes_back(world, &ours)? == (0, 0));

            // A day with some of everything.
            let mut other = imap::Client::login(&ours.addr(143), "alice@demo.test", PASSWORD)?;
            other.command("SELECT INBOX")?;
            other.command("UID STORE 1:300 +FLAGS.SILENT (\\Flagged day)")?;
            other.command("UID STORE 200:250 -FLAGS.SILENT (\\Flagged)")?;
            other.command("UID STORE 1000:1199,9000 +FLAGS.SILENT (\\Deleted)")?;
            other.command("EXPUNGE")?;
            other.command("UID MOVE 3000:3010 Archive")?;
            let new = |numbers: std::ops::RangeInclusive<u32>| -> Vec<_> {
                let one = |n| ("\\Seen".to_owned(), message(n).into_bytes());
                numbers.map(one).collect()
            };
            other.append_all("INBOX", &new(MESSAGES + 1..=MESSAGES + 150))?;
            // Two come and go before it comes back: it is never told that they went,
            // or told it of UIDs that it does not know.
            other.command(&format!(
                "UID STORE {},{} +FLAGS.SILENT (\\Deleted)",
                MESSAGES + 1,
                MESSAGES + 2
            ))?;
            other.command("EXPUNGE")?;
            // The night: the machine loses its power.
            ours.kill(world)?;
            ours.serve(world)?;
            let (flags, gone) = comes_back(world, &ours)?;
            ensure!(flags == 300 + 148, "{flags} changes were told");
            ensure!((212..=214).contains(&gone), "{gone} were told as gone");

            // One with more expunges than a mailbox remembers: whatever is not there is told as gone.
            let mut other = imap::Client::login(&ours.addr(143), "alice@demo.test", PASSWORD)?;
            other.command("SELECT INBOX")?;
            other.command("UID STORE 4001:6000 +FLAGS.SILENT (\\Deleted)")?;
            for uid in (4001..=6000).step_by(5) {
                other.command(&format!("UID EXPUNGE {uid}"))?;
            }
            other.command("UID STORE 4001:6000 -FLAGS.SILENT (\\Deleted)")?;
            ours.end(world, "TERM")?;
            ours.serve(world)?;
            let (flags, gone) = comes_back(world, &ours)?;
            ensure!(flags == 1600, "{flags} changes were told");
            ensure!(gone >= 400, "{gone} were told as gone");
            Ok(())
        },
    );
}

#[test]
fn imapflow_is_told_in_idle_what_another_does() {
    run(
        "libraries::imapflow_is_told_in_idle_what_another_does",
        IMAPFLOW,
        |world| {
            let _ours = with_messages(world, MESSAGES)?;
            imapflow(world, "together").map(drop)
        },
    );
}

#[test]
fn aioimaplib_is_woken_by_each_change() {
    run(
        "libraries::aioimaplib_is_woken_by_each_change",
        Needs::Python,
        |world| {
            let _ours = with_messages(world, MESSAGES)?;
            let text = include_str!("libraries/wakes.py");
            let out = script(world, "wakes.py", text, &[PASSWORD, &MESSAGES.to_string()])?;
            ensure!(out.trim() == "all as it should be", "{out}");
            Ok(())
        },
    );
}

#[test]
fn two_sessions_of_imapclient_end_in_agreement() {
    run(
        "libraries::two_sessions_of_imapclient_end_in_agreement",
        Needs::Python,
        |world| {
            let ours = with_messages(world, MESSAGES)?;
            let text = include_str!("libraries/agree.py");
            let args = [PASSWORD, "100", &MESSAGES.to_string()];
            let out = script(world, "agree.py", text, &args)?;
            ensure!(out.trim() == "all as it should be", "{out}");
            drop(ours);
            Ok(())
        },
    );
}

#[test]
fn imapclient_renames_mailboxes_of_ten_thousand_while_another_is_in_them() {
    run(
        "libraries::imapclient_renames_mailboxes_of_ten_thousand_while_another_is_in_them",
        Needs::Python,
        |world| {
            let ours = with_messages(world, MESSAGES)?;
            let text = include_str!("libraries/renames.py");
            let args = [PASSWORD, &MESSAGES.to_string()];
            let out = script(world, "renames.py", text, &args)?;
            ensure!(out.trim() == "all as it should be", "{out}");
            drop(ours);
            Ok(())
        },
    );
}

#[test]
fn imapflow_knows_a_mailbox_that_is_renamed() {
    run(
        "libraries::imapflow_knows_a_mailbox_that_is_renamed",
        IMAPFLOW,
        |world| {
            let _ours = with_messages(world, MESSAGES)?;
            imapflow(world, "renamed").map(drop)
        },
    );
}

/// A message with 20 MB of no pattern as its second part, and these.
fn with_a_large_attachment() -> (Vec<u8>, Vec<u8>) {
    let mut octets = vec![0; 20_000_000];
    fastrand::Rng::with_seed(20).fill(&mut octets);
    let mut text = String::from(
        "From: a@peer.test\r\nSubject: large\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=here\r\n\r\n--here\r\n\r\nsee the attachment\r\n--here\r\n\
         Content-Type: application/octet-stream; name=large.bin\r\n\
         Content-Disposition: attachment; filename=large.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n",
    );
    for line in octets.chunks(57) {
        text.push_str(&base64(line));
        text.push_str("\r\n");
    }
    text.push_str("--here--\r\n");
    (text.into_bytes(), octets)
}

fn base64(octets: &[u8]) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in octets.chunks(3) {
        let word = three
            .iter()
            .fold(0, |word, &octet| word << 8 | u32::from(octet))
            << (8 * (3 - three.len()));
        for at in 0..4 {
            let letter = letters[(word >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= three.len() {
                letter.into()
            } else {
                '='
            });
        }
    }
    text
}

#[test]
fn an_attachment_of_20_mb_comes_whole_and_in_pieces() {
    run(
        "libraries::an_attachment_of_20_mb_comes_whole_and_in_pieces",
        IMAPFLOW,
        |world| {
            let ours = with_messages(world, 10)?;
            let (message, octets) = with_a_large_attachment();
            let file = world.dir().join("octets");
            std::fs::write(&file, &octets)?;
            let sum = world.output("sha256sum", [&file])?;
            let sum = sum.split(' ').next().context("a sum")?;
            let expected = format!("{} {sum}", octets.len());
            let mut client = imap::Client::login(&ours.addr(143), "alice@demo.test", PASSWORD)?;
            client.append("INBOX", &message)?;

            let out = imapflow(world, "attachment")?;
            ensure!(out.trim() == expected, "imapflow: {out}");
            let text = include_str!("libraries/attachment.py");
            let out = script(world, "attachment.py", text, &[PASSWORD])?;
            ensure!(out.trim() == expected, "imaplib: {out}");
            // curl, in one piece and in the middle (RFC 5092).
            let (who, url) = (
                format!("alice@demo.test:{PASSWORD}"),
                "imap://127.0.0.10/INBOX;UID=11;SECTION=2",
            );
            let whole = world.output("curl", ["-sS", "-u", &who, url])?;
            let piece = world.output(
                "curl",
                ["-sS", "-u", &who, &format!("{url};PARTIAL=1000000.1000")],
            )?;
            ensure!(whole.len() > 27_000_000, "curl got {}", whole.len());
            ensure!(piece == whole[1_000_000..1_001_000], "curl: {piece}");
            Ok(())
        },
    );
}
