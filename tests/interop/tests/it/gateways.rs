//! Rules that hand mail to programs and files; others' programs read what was written.

use anyhow::{Result, ensure};
use interop::posthouse::Posthouse;
use interop::world::{Needs, World, run, wait_for, wait_for_port};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// Says how many messages there are, and the subject, the recipient and the first line of each.
const READ: &str = r#"
import mailbox, sys
box = mailbox.Maildir(sys.argv[2], create=False) if sys.argv[1] == "maildir" else mailbox.mbox(sys.argv[2], create=False)
print(len(box))
for message in box: print(message["subject"], message["delivered-to"], message.get_payload().splitlines()[0], sep="|")
"#;

/// Plays a file to an SMTP server.
const PLAY: &str = r#"
import socket, sys
sock = socket.create_connection((sys.argv[1], 2525), 30)
sock.sendall(open(sys.argv[2], "rb").read() + b"QUIT\r\n")
while True:
    data = sock.recv(65536)
    if not data: break
    sys.stdout.write(data.decode())
"#;

fn rules(folder: &Path) -> String {
    let of = |name: &str| folder.join(name).display().to_string();
    let mut text = format!(
        "[transport.tickets]\nkind = \"pipe\"\ncommand = [{:?}, \"{{local}}\", {:?}]\n\
         [transport.archive]\nkind = \"maildir\"\npath = {:?}\n\
         [transport.old]\nkind = \"mbox\"\npath = {:?}\n\
         [transport.batch]\nkind = \"bsmtp\"\npath = {:?}\n",
        of("tickets"),
        of("taken"),
        of("maildir-{local}"),
        of("box"),
        of("out.bsmtp")
    );
    for name in ["tickets", "archive", "old", "batch"] {
        text += &format!(
            "[[rule]]\nname = \"{name}\"\nwhen = {{ domain = \"{name}.test\" }}\nvia = \"{name}\"\n"
        );
    }
    text
}

fn prepare(world: &mut World, folder: &Path) -> Result<Posthouse> {
    let mut ours = Posthouse::init(world, "127.0.0.2", "demo.test", &["alice"])?;
    let script =
        "#!/bin/sh\n[ \"$1\" = nobody ] && { echo no such ticket; exit 67; }\ncat >> \"$2\"\n";
    std::fs::write(folder.join("tickets"), script)?;
    world.output(
        "chmod",
        ["755", &folder.join("tickets").display().to_string()],
    )?;
    let file = ours.dir().join("rules.toml");
    std::fs::write(&file, rules(folder))?;
    ours.set("policy.rules", &format!("{:?}", file.display().to_string()))?;
    ours.serve(world)?;
    Ok(ours)
}

#[test]
fn programs_and_files_take_what_rules_give_them() {
    run(
        "gateways::programs_and_files_take_what_rules_give_them",
        Needs::Peers,
        |world| {
            let folder = world.folder("gateways")?;
            let ours = prepare(world, &folder)?;
            let told = ours.cli(&[
                "route",
                "alice@demo.test",
                "x@archive.test",
                "--user",
                "alice@demo.test",
            ])?;
            ensure!(told.contains("transport archive (maildir), "), "{told}");
            let text = "From: alice@demo.test\r\nSubject: all\r\n\r\nFrom here on\r\n.\r\nend\r\n";
            let to = [
                "seven@tickets.test",
                "nobody@tickets.test",
                "ann@archive.test",
                "bob@archive.test",
                "eve@old.test",
                "joe@batch.test",
                "jim@batch.test",
            ];
            ours.submit(world, &to, text.as_bytes())?;
            wait_for("the queue to be empty", PATIENCE, || {
                let left = ours.cli(&["queue", "list", "--json"])?;
                Ok((left.trim() == "[]").then_some(()))
            })?;
            let taken = std::fs::read_to_string(folder.join("taken"))?;
            ensure!(
                taken.starts_with("Return-Path: <alice@demo.test>\nReceived: "),
                "{taken}"
            );
            ensure!(
                taken.contains("\n\nFrom here on\n.") && taken.matches("Subject: all").count() == 1
            );
            let told = ours.cli(&["trace", "nobody@tickets.test"])?;
            ensure!(
                told.contains("it ended with code 67: no such ticket"),
                "{told}"
            );
            let read = |world: &World, kind: &str, name: &str| {
                let path = folder.join(name).display().to_string();
                world.output("python3", ["-c", READ, kind, &path])
            };
            for name in ["ann", "bob"] {
                let told = read(world, "maildir", &format!("maildir-{name}"))?;
                ensure!(
                    told == format!("1\nall|{name}@archive.test|From here on\n"),
                    "{told}"
                );
            }
            // mboxrd: what quotes From lines is taken off by whoever knows it, and Python does not.
            let told = read(world, "mbox", "box")?;
            ensure!(told == "1\nall|eve@old.test|>From here on\n", "{told}");
            let dump = folder.join("sink");
            let mut sink = Command::new("smtp-sink");
            sink.args(["-u", "root", "-D"])
                .arg(&dump)
                .args(["127.0.0.4:2525", "10"]);
            world.start("sink", &mut sink)?;
            wait_for_port("127.0.0.4:2525")?;
            let batch = folder.join("out.bsmtp").display().to_string();
            let said = world.output("python3", ["-c", PLAY, "127.0.0.4", &batch])?;
            ensure!(
                said.lines().all(|line| line.starts_with(['2', '3'])),
                "{said}"
            );
            let dumped = std::fs::read_to_string(&dump)?;
            ensure!(
                dumped.contains("joe@batch.test") && dumped.contains("jim@batch.test"),
                "{dumped}"
            );
            ensure!(dumped.contains("\nFrom here on\n."), "{dumped}");
            Ok(())
        },
    );
}
