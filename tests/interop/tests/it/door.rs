//! Strangers at the door, judged by what a real name server says about them.

use anyhow::{Context as _, ensure};
use interop::posthouse::Posthouse;
use interop::world::{Needs, World, run, wait_for};
use interop::{Result, dns};
use std::time::Duration;

const ZONES: &[(&str, &str)] = &[
    ("demo.test", "@ MX 10 mx\nmx A 127.0.0.10"),
    ("far.test", "mail A 203.0.113.9"),
    // A list in order, one that lists everybody, one that refuses to answer.
    ("bl.test", "2.0.0.127 A 127.0.0.2\n66.113.0.203 A 127.0.0.4"),
    ("all.test", "* A 127.0.0.2"),
    ("closed.test", "* A 127.255.255.254"),
    ("113.0.203.in-addr.arpa", "9 PTR mail.far.test."),
];

/// What a client at this address is told, from its greeting to its end.
fn mail_from(world: &World, client: &str, helo: &str, to: &str) -> Result<(bool, String)> {
    world.try_output(
        "swaks",
        [
            "--server",
            "127.0.0.10",
            "--local-interface",
            client,
            "--helo",
            helo,
            "--from",
            "ann@far.test",
            "--to",
            to,
        ],
    )
}

#[test]
fn lists_and_reverse_names_of_a_real_name_server_decide_and_trace_says_why() {
    run(
        "door::lists_and_reverse_names_of_a_real_name_server_decide_and_trace_says_why",
        Needs::Peers,
        |world| {
            // Addresses of its own: loopback is exempt, and the resolver knows its names.
            for client in ["203.0.113.9", "203.0.113.66"] {
                world.sh(&format!("ip addr add {client}/32 dev lo"))?;
            }
            dns::start(world, ZONES)?;
            let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["alice"])?;
            ours.set("door.lists", r#"["bl.test", "all.test", "closed.test"]"#)?;
            ours.serve(world)?;
            // The lists are tried first.
            let refused = wait_for("the list to count", Duration::from_secs(30), || {
                let (ok, told) = mail_from(world, "203.0.113.66", "x.far.test", "alice@demo.test")?;
                Ok((!ok).then_some(told))
            })?;
            ensure!(
                refused.contains("550 5.7.1 mail from [203.0.113.66] is not taken"),
                "{refused}"
            );
            ensure!(refused.contains("bl.test says 127.0.0.4"), "{refused}");
            let (_, id) = refused.split_once("(id ").context("no id")?;
            let id = id.get(..16).context("no id")?;
            let traced = ours.cli(&["trace", id])?;
            ensure!(
                traced.contains("203.0.113.66") && traced.contains("alice@demo.test"),
                "{traced}"
            );
            ensure!(
                traced.contains("listed") && traced.contains("iprev-none"),
                "{traced}"
            );
            let lists = ours.cli(&["lists"])?;
            for why in ["it lists 127.0.0.1", "it refuses to answer us"] {
                ensure!(lists.contains(why), "{lists}");
            }
            // Postmaster is there for everybody.
            let (ok, told) =
                mail_from(world, "203.0.113.66", "x.far.test", "postmaster@demo.test")?;
            ensure!(ok, "{told}");
            // One in order, whatever the broken lists say.
            let (ok, told) = mail_from(world, "203.0.113.9", "mail.far.test", "alice@demo.test")?;
            ensure!(ok, "{told}");
            let mail = ours.wait_for_mail("alice@demo.test", "mail.far.test")?;
            let mail = String::from_utf8_lossy(&mail);
            ensure!(
                mail.contains("from mail.far.test (mail.far.test [203.0.113.9])"),
                "{mail}"
            );
            ensure!(!mail.contains("X-Posthouse-Marks"), "{mail}");
            // An operator's ban holds at once, and ends at once.
            ours.cli(&[
                "ban",
                "add",
                "203.0.113.9",
                "--for",
                "1h",
                "--reason",
                "enough",
            ])?;
            let (ok, told) = mail_from(world, "203.0.113.9", "mail.far.test", "alice@demo.test")?;
            ensure!(
                !ok && told.contains("421 4.7.1 [203.0.113.9] is turned away"),
                "{told}"
            );
            let listed = ours.cli(&["ban", "list"])?;
            ensure!(
                listed.contains("203.0.113.9/32") && listed.contains("enough"),
                "{listed}"
            );
            ours.cli(&["ban", "lift", "203.0.113.9"])?;
            let (ok, told) = mail_from(world, "203.0.113.9", "mail.far.test", "alice@demo.test")?;
            ensure!(ok, "{told}");
            ours.assert_sound()
        },
    );
}
