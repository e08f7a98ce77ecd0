//! An account of ten thousand messages, kept alike by two mail programs that
//! change it at the same time, and by whoever else writes to it.

use anyhow::{Context as _, ensure};
use interop::posthouse::PASSWORD;
use interop::synced::{
    Mailboxes, Program, ensure_alike, first_flags, on_the_server, uids, wired, with_messages,
};
use interop::world::{Needs, run};
use interop::{Result, imap};
use std::collections::BTreeSet;

const MESSAGES: u32 = 10_000;

/// Marks, moves and removals in the truth.
struct Truth(Mailboxes);

impl Truth {
    fn flag(&mut self, numbers: impl IntoIterator<Item = u32>, letter: char) {
        for number in numbers {
            for messages in self.0.values_mut() {
                messages.entry(number).and_modify(|flags| {
                    flags.insert(letter);
                });
            }
        }
    }

    fn shift(&mut self, numbers: impl IntoIterator<Item = u32>, to: &str) -> Result<()> {
        for number in numbers {
            let flags = self.remove_one(number)?;
            self.0.entry(to.into()).or_default().insert(number, flags);
        }
        Ok(())
    }

    fn remove(&mut self, numbers: impl IntoIterator<Item = u32>) -> Result<()> {
        let mut numbers = numbers.into_iter();
        numbers.try_for_each(|number| self.remove_one(number).map(drop))
    }

    fn remove_one(&mut self, number: u32) -> Result<BTreeSet<char>> {
        let inbox = self.0.get_mut("INBOX").context("an inbox")?;
        inbox.remove(&number).context("a message to remove")
    }
}

#[test]
fn two_programs_and_a_session_keep_ten_thousand_messages_alike() {
    run(
        "synced::two_programs_and_a_session_keep_ten_thousand_messages_alike",
        Needs::Program("offlineimap"),
        |world| {
            let ours = with_messages(world, 0)?;
            let names = ["INBOX", "kept", "Archive"];
            let mut truth = Truth(
                names
                    .map(|name| (name.to_owned(), Default::default()))
                    .into(),
            );
            let (first, second) = (Program::mbsync(world)?, Program::offlineimap(world)?);

            // All of it begins in one program, goes up, and comes down to the other.
            first.maildir("INBOX").create()?;
            first.maildir("kept").create()?;
            for number in 1..=MESSAGES {
                let flags = first_flags(number);
                first.maildir("INBOX").add(number, &flags)?;
                let inbox = truth.0.get_mut("INBOX").context("an inbox")?;
                inbox.insert(number, flags);
            }
            first.sync(world)?;
            ensure_alike("server", &on_the_server(&ours.addr(143), &names)?, &truth.0)?;
            second.sync(world)?;
            ensure_alike("second", &second.mailboxes(&names)?, &truth.0)?;

            // Both users work while they are away from the server, on the same messages too.
            let inbox = first.maildir("INBOX");
            inbox.flag(1..=1000, 'F')?;
            inbox.shift(1301..=1500, &first.maildir("kept"))?;
            inbox.remove(1001..=1300)?;
            let inbox = second.maildir("INBOX");
            inbox.flag(500..=1100, 'R')?;
            inbox.flag(2001..=2500, 'S')?;
            inbox.shift(3001..=3200, &second.maildir("kept"))?;
            inbox.remove(3201..=3300)?;
            // And so does a session.
            let mut session = imap::Client::login(&ours.addr(143), "alice@demo.test", PASSWORD)?;
            let new: Vec<_> = (MESSAGES + 1..=MESSAGES + 300).map(wired).collect();
            session.append_all("INBOX", &new)?;
            session.command("SELECT INBOX")?;
            let flagged = uids(&mut session, 2001..=2300)?;
            session.command(&format!("UID STORE {flagged} +FLAGS.SILENT (\\Flagged)"))?;
            let moved = uids(&mut session, 5001..=5200)?;
            session.command(&format!("UID MOVE {moved} Archive"))?;
            let removed = uids(&mut session, 6001..=6100)?;
            session.command(&format!("UID STORE {removed} +FLAGS.SILENT (\\Deleted)"))?;
            session.command("EXPUNGE")?;
            drop(session);

            truth.flag(1..=1000, 'F');
            truth.flag(500..=1000, 'R');
            truth.flag(2001..=2500, 'S');
            truth.flag(2001..=2300, 'F');
            truth.shift(1301..=1500, "kept")?;
            truth.shift(3001..=3200, "kept")?;
            truth.shift(5001..=5200, "Archive")?;
            truth.remove(1001..=1300)?;
            truth.remove(3201..=3300)?;
            truth.remove(6001..=6100)?;
            let inbox = truth.0.get_mut("INBOX").context("an inbox")?;
            inbox.extend((MESSAGES + 1..=MESSAGES + 300).map(|n| (n, first_flags(n))));

            first.sync(world)?;
            second.sync(world)?;
            first.sync(world)?;
            ensure_alike("server", &on_the_server(&ours.addr(143), &names)?, &truth.0)?;
            ensure_alike("first", &first.mailboxes(&names)?, &truth.0)?;
            ensure_alike("second", &second.mailboxes(&names)?, &truth.0)?;
            ensure!(
                truth.0["INBOX"].len() == 9_200,
                "{}",
                truth.0["INBOX"].len()
            );
            Ok(())
        },
    );
}

/// What STATUS says of a mailbox: UIDVALIDITY and UIDNEXT.
fn status(session: &mut imap::Client, name: &str) -> Result<Vec<u8>> {
    let mut responses = session.command(&format!("STATUS {name} (UIDVALIDITY UIDNEXT)"))?;
    let status = responses.pop().context("a STATUS")?;
    let items = status.iter().position(|&b| b == b'(').context("items")?;
    Ok(status[items..].to_vec())
}

#[test]
fn a_mailbox_that_is_renamed_is_renamed_for_every_program() {
    run(
        "synced::a_mailbox_that_is_renamed_is_renamed_for_every_program",
        Needs::Program("offlineimap"),
        |world| {
            let ours = with_messages(world, 500)?;
            let mut session = imap::Client::login(&ours.addr(143), "alice@demo.test", PASSWORD)?;
            session.command("CREATE work")?;
            session.command("SELECT INBOX")?;
            session.command("MOVE 1:400 work")?;
            session.command("UNSELECT")?;
            let (first, second) = (Program::mbsync(world)?, Program::offlineimap(world)?);
            first.sync(world)?;
            second.sync(world)?;
            let of = |numbers: std::ops::RangeInclusive<u32>| {
                numbers.map(|n| (n, first_flags(n))).collect()
            };
            let truth = |name: &str| -> Mailboxes {
                [
                    ("INBOX".to_owned(), of(401..=500)),
                    (name.to_owned(), of(1..=400)),
                ]
                .into()
            };
            ensure_alike(
                "first",
                &first.mailboxes(&["INBOX", "work"])?,
                &truth("work"),
            )?;

            // It is the same mailbox, whatever its name. offlineimap makes the old name anew with what
            // it has of it; but that is another mailbox by its UIDVALIDITY, so that neither program
            // takes it for the old one with everything removed.
            let before = status(&mut session, "work")?;
            session.command("RENAME work job")?;
            ensure!(status(&mut session, "job")? == before, "another mailbox");
            let (alike, said) = second.try_sync(world)?;
            ensure!(
                !alike && said.contains("UID validity problem for folder work"),
                "{said}"
            );
            ensure!(status(&mut session, "work")? != before, "the same mailbox");
            first.sync(world)?;
            let names = ["INBOX", "job"];
            for (whose, found) in [
                ("server", on_the_server(&ours.addr(143), &names)?),
                ("first", first.mailboxes(&names)?),
                ("second", second.mailboxes(&names)?),
            ] {
                ensure_alike(whose, &found, &truth("job"))?;
            }
            let old = [("work".to_owned(), of(1..=400))].into();
            ensure_alike("second", &second.mailboxes(&["work"])?, &old)?;

            // Removed everywhere, it does not come back.
            session.command("DELETE work")?;
            first.maildir("work").delete()?;
            second.maildir("work").delete()?;
            first.sync(world)?;
            second.sync(world)?;
            ensure!(
                session.command("LIST \"\" work")?.is_empty(),
                "work is there again"
            );

            // The users of the programs rename by hand: a new folder with the messages of the old one.
            second.maildir("house").create()?;
            second
                .maildir("job")
                .shift(1..=400, &second.maildir("house"))?;
            second.sync(world)?;
            first.sync(world)?;
            let names = ["INBOX", "house"];
            ensure_alike(
                "server",
                &on_the_server(&ours.addr(143), &names)?,
                &truth("house"),
            )?;
            ensure_alike("first", &first.mailboxes(&names)?, &truth("house"))?;
            ensure!(on_the_server(&ours.addr(143), &["job"])?["job"].is_empty());
            Ok(())
        },
    );
}
