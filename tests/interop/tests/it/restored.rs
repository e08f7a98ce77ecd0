//! What clients know of a mailbox, when the system behind it was wiped and came back from
//! a backup that is older than their last visit: UIDs, UIDVALIDITY, unique ids, mod-sequences.

use anyhow::{Context as _, ensure};
use interop::Result;
use interop::imap::{self, Client};
use interop::pop3;
use interop::posthouse::{PASSWORD, Posthouse};
use interop::world::{Needs, run};
use std::collections::{BTreeMap, BTreeSet};

const ANN: &str = "ann@demo.test";

type Messages = BTreeMap<u32, BTreeSet<String>>;

/// A client that keeps what it was told between its visits, by QRESYNC (RFC 7162).
#[derive(Default)]
struct Memory {
    validity: u64,
    modseq: u64,
    messages: Messages,
}

impl Memory {
    /// Opens the inbox and believes what SELECT alone says; gives how many messages it was told of.
    fn visit(&mut self, ours: &Posthouse) -> Result<usize> {
        let mut client = Client::login(&ours.addr(143), ANN, PASSWORD)?;
        client.command("ENABLE QRESYNC")?;
        let before = (self.validity, self.modseq);
        let select = match before {
            (0, _) => "SELECT INBOX".to_owned(),
            (validity, modseq) => format!("SELECT INBOX (QRESYNC ({validity} {modseq}))"),
        };
        let mut told = client.command(&select)?;
        self.validity = code(&told, "UIDVALIDITY")?;
        self.modseq = code(&told, "HIGHESTMODSEQ")?;
        if before.0 != self.validity {
            self.messages.clear();
            told.extend(client.command("UID FETCH 1:* (FLAGS)")?);
        }
        let mut changes = 0;
        for line in &told {
            let text = String::from_utf8_lossy(line);
            if let Some(gone) = text.strip_prefix("* VANISHED (EARLIER) ") {
                let gone = set(gone.trim())?;
                self.messages
                    .retain(|uid, _| !gone.iter().any(|r| r.contains(uid)));
            } else if let Some(one) = imap::fetched(line) {
                self.messages.insert(one.uid, one.flags);
                changes += 1;
            }
        }
        let exists = number_before(&told, " EXISTS")?;
        ensure!(
            exists == self.messages.len(),
            "{exists} are there, {} known",
            self.messages.len()
        );
        ensure!(
            self.messages == truth(ours)?,
            "what it was told is not what is there"
        );
        Ok(changes)
    }
}

/// What there is, by somebody who never was there before.
fn truth(ours: &Posthouse) -> Result<Messages> {
    let mut client = Client::login(&ours.addr(143), ANN, PASSWORD)?;
    client.command("EXAMINE INBOX")?;
    let responses = client.command("UID FETCH 1:* (FLAGS)")?;
    let fetched = responses.iter().filter_map(|r| imap::fetched(r));
    Ok(fetched.map(|one| (one.uid, one.flags)).collect())
}

/// The number behind a word, in a response code or in STATUS.
fn code(responses: &[Vec<u8>], name: &str) -> Result<u64> {
    let text = String::from_utf8_lossy(&responses.concat()).into_owned();
    let (_, rest) = text
        .split_once(&format!("{name} "))
        .context(name.to_owned())?;
    let digits = rest
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap_or_default();
    Ok(digits.parse()?)
}

fn number_before(responses: &[Vec<u8>], word: &str) -> Result<usize> {
    let texts = responses
        .iter()
        .map(|line| String::from_utf8_lossy(line).trim().to_owned());
    let mut numbers =
        texts.filter_map(|text| text.strip_prefix("* ")?.strip_suffix(word)?.parse().ok());
    numbers.next().context(word.to_owned())
}

fn set(text: &str) -> Result<Vec<std::ops::RangeInclusive<u32>>> {
    let range = |range: &str| {
        let (first, last) = range.split_once(':').unwrap_or((range, range));
        Ok(first.parse()?..=last.parse()?)
    };
    text.split(',').map(range).collect()
}

fn status(ours: &Posthouse, mailbox: &str, item: &str) -> Result<u64> {
    let mut client = Client::login(&ours.addr(143), ANN, PASSWORD)?;
    code(
        &client.command(&format!("STATUS {mailbox} ({item})"))?,
        item,
    )
}

/// The unique ids, in the messages' order.
fn unique_ids(ours: &Posthouse) -> Result<Vec<String>> {
    let mut client = pop3::Client::login(&ours.addr(110), ANN, PASSWORD)?;
    let ids = client.unique_ids()?.into_values().collect();
    client.command("QUIT")?;
    Ok(ids)
}

fn append(ours: &Posthouse, numbers: std::ops::Range<u32>) -> Result<()> {
    let mut client = Client::login(&ours.addr(143), ANN, PASSWORD)?;
    let message = |n| {
        (
            String::new(),
            format!("Subject: number {n}\r\n\r\nx\r\n").into_bytes(),
        )
    };
    client.append_all("INBOX", &numbers.map(message).collect::<Vec<_>>())
}

fn change(ours: &Posthouse, commands: &[&str]) -> Result<()> {
    let mut client = Client::login(&ours.addr(143), ANN, PASSWORD)?;
    client.command("SELECT INBOX")?;
    commands
        .iter()
        .try_for_each(|command| client.command(command).map(drop))
}

#[test]
fn threat_25_after_a_restore_no_client_is_wrong_about_what_is_there() {
    run(
        "restored::threat_25_after_a_restore_no_client_is_wrong_about_what_is_there",
        Needs::Nothing,
        |world| {
            let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["ann"])?;
            let place = world.dir().join("backups").display().to_string();
            ours.serve(world)?;
            append(&ours, 0..20)?;
            change(&ours, &["UID STORE 1:5 +FLAGS.SILENT (\\Seen)"])?;
            let mut memory = Memory::default();
            ensure!(memory.visit(&ours)? == 20);
            let ids = unique_ids(&ours)?;
            ours.cli(&["backup", "--to", &place])?;

            // What comes behind the backup is lost, and clients have seen it.
            append(&ours, 20..30)?;
            change(
                &ours,
                &[
                    "UID STORE 3:7 FLAGS.SILENT (\\Flagged)",
                    "UID STORE 10:12 +FLAGS.SILENT (\\Deleted)",
                    "EXPUNGE",
                    "CREATE Later",
                ],
            )?;
            memory.visit(&ours)?;
            let (validity, modseq) = (memory.validity, memory.modseq);
            let last = *memory.messages.keys().last().context("a message")?;
            let later = status(&ours, "Later", "UIDVALIDITY")?;
            let seen: BTreeSet<_> = ids.iter().cloned().chain(unique_ids(&ours)?).collect();
            ensure!(seen.len() == 30, "{} unique ids", seen.len());

            ours.end(world, "TERM")?;
            std::fs::remove_dir_all(ours.dir().join("data/store"))?;
            ours.cli(&["restore", "--from", &place])?;
            ours.serve(world)?;

            // The mailbox is the same one, its messages have the names that they had.
            ensure!(status(&ours, "INBOX", "UIDVALIDITY")? == validity);
            ensure!(unique_ids(&ours)? == ids, "{:?}", unique_ids(&ours)?);
            let next = status(&ours, "INBOX", "UIDNEXT")?;
            ensure!(
                next > u64::from(last),
                "UIDNEXT {next} is not behind {last}"
            );
            // All that was changed, was lost or came back is told to who comes back.
            ensure!(memory.visit(&ours)? == 20, "each message counts as changed");
            ensure!(memory.messages.keys().copied().eq(1..=20));
            ensure!(memory.modseq > modseq, "{} after {modseq}", memory.modseq);
            // What is new now never had its name before.
            append(&ours, 30..33)?;
            ensure!(memory.visit(&ours)? == 3);
            let of_new = memory.messages.keys().copied().filter(|&uid| uid > last);
            ensure!(of_new.count() == 3, "{:?}", memory.messages.keys());
            let now = unique_ids(&ours)?;
            ensure!(now[..20] == ids[..] && now.len() == 23, "{now:?}");
            ensure!(now[20..].iter().all(|id| !seen.contains(id)), "{now:?}");
            // A name that was used since the backup is used for another mailbox.
            change(&ours, &["CREATE Later"])?;
            let again = status(&ours, "Later", "UIDVALIDITY")?;
            ensure!(again > later, "UIDVALIDITY {again} after {later}");

            // One mailbox, into the living system: what was deleted comes back as new.
            change(
                &ours,
                &["UID STORE 15:18 +FLAGS.SILENT (\\Deleted)", "EXPUNGE"],
            )?;
            memory.visit(&ours)?;
            let last = *memory.messages.keys().last().context("a message")?;
            let seen: BTreeSet<_> = seen.into_iter().chain(now).collect();
            ours.cli(&[
                "restore",
                "--from",
                &place,
                "--account",
                ANN,
                "--mailbox",
                "INBOX",
            ])?;
            ensure!(status(&ours, "INBOX", "UIDVALIDITY")? == validity);
            ensure!(memory.visit(&ours)? == 4);
            let back = memory.messages.keys().filter(|&&uid| uid > last).count();
            ensure!(back == 4, "{:?}", memory.messages.keys());
            let new = unique_ids(&ours)?
                .into_iter()
                .filter(|id| !seen.contains(id));
            ensure!(new.count() == 4, "unique ids were used again");
            ours.end(world, "TERM")?;
            ours.assert_sound()
        },
    );
}
