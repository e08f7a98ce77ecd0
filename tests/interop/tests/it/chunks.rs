//! Messages by BDAT (RFC 3030) to Postfix, Exim and another of us: each arrives as it was,
//! and who was refused while the message was on its way costs nobody else anything.

use crate::exchange::{bare, head, message, ours, queue_is_empty};
use anyhow::ensure;
use interop::Result;
use interop::exim::{Exim, Tls};
use interop::postfix::Postfix;
use interop::posthouse::{Posthouse, contains, program};
use interop::world::{Needs, World, run, wait_for};
use std::process::Command;
use std::time::Duration;

const THEIRS: &str = "127.0.0.4";
/// In one piece with the commands, just more than that, and in many chunks.
const SIZES: [usize; 4] = [1, 12_000, 17_000, 700_000];

/// Looks at what is said to them from now on.
fn look(world: &mut World, ours: &Posthouse) -> Result<()> {
    let mut command = Command::new(program());
    command.args(["queue", "transcript", "far.test", "--config"]);
    world.start("transcript", command.arg(ours.config()))?;
    wait_for("somebody to listen", Duration::from_secs(20), || {
        let listens = world.log("transcript").contains("Listening");
        Ok(listens.then_some(()))
    })
}

/// One of each size, a recipient that they do not know before each; as they were sent.
fn send_all(world: &World, ours: &Posthouse) -> Result<Vec<(String, Vec<u8>)>> {
    let mut all = Vec::new();
    for octets in SIZES {
        let unknown = message(&format!("unknown-{octets}"), octets);
        ours.submit(world, &["nobody-there@far.test"], &unknown)?;
        let mark = format!("chunks-{octets}");
        let sent = message(&mark, octets);
        ours.submit(world, &["bea@far.test", "nobody-else@far.test"], &sent)?;
        all.push((mark, sent));
    }
    Ok(all)
}

/// All by BDAT, nothing by DATA, the last chunk of each in its place.
fn check_transcript(world: &World) -> Result<()> {
    wait_for("the transcript", Duration::from_secs(20), || {
        let log = world.log("transcript");
        let lasts = log.matches(" LAST").count();
        Ok((lasts >= SIZES.len()).then_some(()))
    })?;
    let log = world.log("transcript");
    ensure!(!log.contains("> DATA"), "{log}");
    Ok(())
}

#[test]
fn postfix_takes_chunks() {
    run("chunks::postfix_takes_chunks", Needs::Peers, |world| {
        let ours = ours(world)?;
        let postfix = Postfix::start(world, THEIRS, "far.test", &["bea"])?;
        look(world, &ours)?;
        for (mark, sent) in send_all(world, &ours)? {
            let needle = format!("Subject: {mark}\n");
            let got = wait_for(&mark, Duration::from_secs(60), || {
                let all = postfix.mail("bea@far.test")?;
                Ok(all.into_iter().find(|got| contains(got, needle.as_bytes())))
            })?;
            head(&got, &bare(&sent))?;
        }
        queue_is_empty(&ours)?;
        check_transcript(world)?;
        let log = postfix.log();
        ensure!(log.contains(" bdat=") && !log.contains(" data="), "{log}");
        let all = postfix.mail("bea@far.test")?;
        ensure!(all.len() == SIZES.len(), "{}", all.len());
        ours.assert_sound()
    });
}

#[test]
fn exim_takes_chunks() {
    run("chunks::exim_takes_chunks", Needs::Peers, |world| {
        let ours = ours(world)?;
        let exim = Exim::start(world, THEIRS, "far.test", Tls::Opportunistic)?;
        look(world, &ours)?;
        let mut sent = Vec::new();
        for octets in SIZES {
            let mark = format!("chunks-{octets}");
            let message = message(&mark, octets);
            ours.submit(world, &["bea@far.test"], &message)?;
            sent.push((mark, message));
        }
        for (mark, sent) in sent {
            let got = exim.wait_for_mail(&format!("Subject: {mark}\n"))?;
            head(&got, &bare(&sent))?;
        }
        queue_is_empty(&ours)?;
        check_transcript(world)?;
        // What came by BDAT has a K.
        let log = exim.log();
        let (came, by_chunks): (Vec<_>, Vec<_>) = log
            .lines()
            .filter(|line| line.contains(" <= "))
            .map(|line| ((), line.contains(" K ")))
            .unzip();
        ensure!(came.len() == SIZES.len(), "{log}");
        ensure!(by_chunks.iter().all(|k| *k), "{log}");
        ours.assert_sound()
    });
}

#[test]
fn another_of_us_takes_chunks() {
    run(
        "chunks::another_of_us_takes_chunks",
        Needs::Peers,
        |world| {
            let ours = ours(world)?;
            let mut theirs = Posthouse::init(world, THEIRS, "far.test", &["bea"])?;
            theirs.serve(world)?;
            look(world, &ours)?;
            for (mark, sent) in send_all(world, &ours)? {
                let got = theirs.wait_for_mail("bea@far.test", &mark)?;
                head(&got, &sent)?;
            }
            queue_is_empty(&ours)?;
            check_transcript(world)?;
            theirs.assert_sound()?;
            ours.assert_sound()
        },
    );
}
