//! Backup and restore of the built server: mail → backup → wiped → restored → the same mail.

use anyhow::{Context as _, ensure};
use interop::posthouse::{PASSWORD, Posthouse, program};
use interop::world::{Needs, World, run};
use interop::{Result, imap, smtp};
use std::process::{Command, Stdio};

const ANN: &str = "ann@demo.test";

fn ours(world: &World) -> Result<Posthouse> {
    Posthouse::init(world, "127.0.0.10", "demo.test", &["ann", "bob"])
}

/// A few messages, one of them of many chunks, for both.
fn send_some(ours: &Posthouse, from: usize) -> Result<()> {
    let mut client = smtp::Client::connect(&ours.addr(25))?;
    client.expect("EHLO client.test", 250)?;
    for n in from..from + 6 {
        let filler = format!("line {n} of a message that is not short\r\n");
        let len = if n == 3 { 30_000 } else { 10 + n };
        let text = format!("Subject: number {n}\r\n\r\n{}", filler.repeat(len));
        let bob = "bob@demo.test";
        let (code, reply) = client.send("x@far.test", &[ANN, bob], text.as_bytes())?;
        ensure!(code == 250, "{reply}");
    }
    Ok(())
}

fn inbox(ours: &Posthouse, user: &str) -> Result<Vec<Vec<u8>>> {
    imap::Client::login(&ours.addr(143), user, PASSWORD)?.messages("INBOX")
}

fn uid_next(ours: &Posthouse, user: &str) -> Result<u32> {
    let mut client = imap::Client::login(&ours.addr(143), user, PASSWORD)?;
    let responses = client.command("STATUS INBOX (UIDNEXT)")?;
    let text = String::from_utf8_lossy(&responses.concat()).into_owned();
    let number = text.split("UIDNEXT ").nth(1).context("UIDNEXT")?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    Ok(digits.parse()?)
}

#[test]
fn a_wiped_system_comes_back_byte_for_byte() {
    run(
        "backup::a_wiped_system_comes_back_byte_for_byte",
        Needs::Nothing,
        |world| {
            let mut ours = ours(world)?;
            let place = world.dir().join("backups").display().to_string();
            let secret = world.dir().join("passphrase").display().to_string();
            std::fs::write(&secret, "a passphrase\n")?;
            ours.serve(world)?;
            send_some(&ours, 0)?;
            let run_backup = |ours: &Posthouse| -> Result<serde_json::Value> {
                let args = ["backup", "--to", &place, "--passphrase-file", &secret];
                Ok(serde_json::from_str(
                    &ours.cli(&[&args[..], &["--json"]].concat())?,
                )?)
            };
            let first = run_backup(&ours)?;
            ensure!(first["accounts"] == 3 && first["emails"] == 12, "{first}");
            send_some(&ours, 6)?;
            let second = run_backup(&ours)?;
            ensure!(second["new_bodies"] == 6, "{second}");
            ensure!(second["unchanged_accounts"] == 1, "{second}");
            let with_secret = ["--passphrase-file", &secret];
            let checked = ours.cli(&[&["backup", "verify", &place][..], &with_secret].concat())?;
            ensure!(checked.contains("0 findings"), "{checked}");
            let listed =
                ours.cli(&[&["backup", "list", &place, "--json"][..], &with_secret].concat())?;
            let runs: serde_json::Value = serde_json::from_str(&listed)?;
            ensure!(
                runs.as_array().is_some_and(|runs| runs.len() == 2),
                "{listed}"
            );
            let before = (inbox(&ours, ANN)?, inbox(&ours, "bob@demo.test")?);
            ensure!(before.0.len() == 12, "{} messages", before.0.len());
            let next = uid_next(&ours, ANN)?;

            let restore = [&["restore", "--from", &place][..], &with_secret].concat();
            ours.end(world, "TERM")?;
            let (code, text) = ours.try_cli(&restore)?;
            ensure!(
                code == Some(4) && text.contains("not empty"),
                "{code:?}: {text}"
            );
            std::fs::remove_dir_all(ours.dir().join("data/store"))?;
            let (code, text) = ours.try_cli(&["restore", "--from", &place])?;
            ensure!(
                code == Some(2) && text.contains("--passphrase-file"),
                "{text}"
            );
            ours.cli(&restore)?;
            ours.assert_sound()?;
            ours.serve(world)?;
            let after = (inbox(&ours, ANN)?, inbox(&ours, "bob@demo.test")?);
            ensure!(after == before, "the mail differs");
            let raised = uid_next(&ours, ANN)?;
            ensure!(raised == next + (1 << 20), "{next} became {raised}");

            // What a slip of the finger took comes back beside what is there.
            let mut client = imap::Client::login(&ours.addr(143), ANN, PASSWORD)?;
            client.command("SELECT INBOX")?;
            client.command("STORE 2:9 +FLAGS (\\Deleted)")?;
            client.command("EXPUNGE")?;
            drop(client);
            let mail = [
                &restore[..],
                &["--account", ANN, "--mailbox", "INBOX", "--json"],
            ]
            .concat();
            let answer: serde_json::Value = serde_json::from_str(&ours.cli(&mail)?)?;
            ensure!(
                answer["emails"] == 8 && answer["still_there"] == 4,
                "{answer}"
            );
            let mut back = inbox(&ours, ANN)?;
            let mut expected = before.0;
            back.sort();
            expected.sort();
            ensure!(back == expected, "the mail differs");
            ours.end(world, "TERM")?;
            ours.assert_sound()
        },
    );
}

#[test]
fn a_server_that_is_killed_in_the_middle_leaves_a_good_backup() {
    run(
        "backup::a_server_that_is_killed_in_the_middle_leaves_a_good_backup",
        Needs::Nothing,
        |world| {
            let mut ours = ours(world)?;
            let place = world.dir().join("backups").display().to_string();
            ours.serve(world)?;
            send_some(&ours, 0)?;
            ours.cli(&["backup", "--to", &place])?;
            for round in 1..4 {
                send_some(&ours, 10 * round)?;
                let mut client = Command::new(program())
                    .args(["backup", "--full", "--to", &place, "--config"])
                    .arg(ours.config())
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()?;
                // Wherever it is by then.
                inbox(&ours, ANN)?;
                ours.end(world, "KILL")?;
                client.wait()?;
                let (code, text) = ours.try_cli(&["backup", "verify", &place])?;
                ensure!(code == Some(0), "{text}");
                ours.serve(world)?;
            }
            ours.cli(&["backup", "--to", &place, "--keep", "1"])?;
            let (code, text) = ours.try_cli(&["backup", "verify", &place])?;
            ensure!(code == Some(0) && text.contains("1 runs checked"), "{text}");
            ours.end(world, "TERM")
        },
    );
}

#[test]
fn the_place_in_the_configuration_is_used() {
    run(
        "backup::the_place_in_the_configuration_is_used",
        Needs::Nothing,
        |world| {
            let mut ours = ours(world)?;
            let place = world.dir().join("backups").display().to_string();
            ours.set("backup.to", &place)?;
            ours.set("backup.keep", "2")?;
            ours.serve(world)?;
            // Without a place, the settings' own; with their number of runs to keep.
            for _ in 0..3 {
                ours.cli(&["backup"])?;
            }
            let listed = ours.cli(&["backup", "list", &place, "--json"])?;
            let runs: serde_json::Value = serde_json::from_str(&listed)?;
            ensure!(
                runs.as_array().is_some_and(|runs| runs.len() == 2),
                "{listed}"
            );
            ours.end(world, "TERM")
        },
    );
}

/// Mail for elsewhere that waited when the backup was made may have been sent
/// since; and a living configuration is nobody's to overwrite.
#[test]
fn what_waited_is_held_and_the_configuration_lies_beside() {
    run(
        "backup::what_waited_is_held_and_the_configuration_lies_beside",
        Needs::Nothing,
        |world| {
            let mut ours = ours(world)?;
            ours.set("relay.networks", "[\"127.0.0.0/8\"]")?;
            // Nobody listens there.
            ours.set("outbound.smart_host", "\"127.0.0.99:2525\"")?;
            let place = world.dir().join("backups").display().to_string();
            ours.serve(world)?;
            let mut client = smtp::Client::connect(&ours.addr(25))?;
            client.expect("EHLO client.test", 250)?;
            let (code, reply) = client.send(ANN, &["x@far.test"], b"Subject: waits\r\n\r\nx")?;
            ensure!(code == 250, "{reply}");
            ours.cli(&["backup", "--to", &place])?;
            ours.end(world, "TERM")?;

            let data = ours.dir().join("data");
            let states = |ours: &Posthouse| -> Result<String> {
                let text = ours.cli(&["queue", "list", "--json"])?;
                let listed: serde_json::Value = serde_json::from_str(&text)?;
                Ok(listed[0]["state"].to_string())
            };
            let restore = ["restore", "--from", &place];
            for (more, held) in [(&[][..], 1), (&["--send-queue"], 0)] {
                std::fs::remove_dir_all(data.join("store"))?;
                let text = ours.cli(&[&restore[..], more].concat())?;
                ensure!(text.contains(&format!("held: {held}\n")), "{text}");
                ensure!(text.contains("queue release --all") == (held > 0), "{text}");
                let found = states(&ours)?;
                ensure!(
                    found.contains("held") == (held > 0),
                    "{found} with {more:?}"
                );
            }
            let (beside, key) = (data.join("restored-files"), data.join("tls-key.pem"));
            let same = |a: &std::path::Path, b: &std::path::Path| -> Result<()> {
                ensure!(
                    std::fs::read(a)? == std::fs::read(b)?,
                    "{a:?} and {b:?} differ"
                );
                Ok(())
            };
            same(&beside.join("posthouse.toml"), &ours.config())?;
            same(&beside.join("tls-key.pem"), &key)?;
            ensure!(data.join("restored-files-2").is_dir(), "the second restore");

            // A new machine has no configuration yet.
            let etc = world.dir().join("etc").display().to_string();
            let alone = [&restore[..], &["--files-to", &etc]].concat();
            let bare = |args: &[&str]| -> Result<std::process::Output> {
                let mut command = Command::new(program());
                Ok(command.args(args).current_dir(world.dir()).output()?)
            };
            ensure!(bare(&alone)?.status.success(), "restore --files-to");
            same(&world.dir().join("etc/posthouse.toml"), &ours.config())?;
            let again = bare(&alone)?;
            let why = String::from_utf8_lossy(&again.stderr);
            ensure!(
                !again.status.success() && why.contains("there already"),
                "{why}"
            );
            Ok(())
        },
    );
}
