//! One machine is emptied into another of us: everything that waits there leaves by it,
//! with what its senders wished, and nothing new comes in.

use crate::exchange::message;
use anyhow::{Context as _, Result, ensure};
use interop::postfix::Postfix;
use interop::posthouse::{PASSWORD, Posthouse, contains};
use interop::world::{Needs, World, run, wait_for};
use interop::{dns, imap, smtp};
use serde_json::Value;
use std::time::Duration;

const OTHER: &str = "127.0.0.20";
const FAR: &str = "127.0.0.4";
const PATIENCE: Duration = Duration::from_secs(30);

/// One that Alice submits with these wishes.
fn submit(world: &World, mark: &str, mail: &str, rcpt: &str) -> Result<()> {
    let file = world.dir().join("message.eml");
    std::fs::write(&file, message(mark, 2000))?;
    let script = format!(
        "import smtplib, ssl\n\
         c = ssl._create_unverified_context()\n\
         s = smtplib.SMTP('127.0.0.10', 587)\n\
         s.starttls(context=c)\n\
         s.ehlo()\n\
         s.login('alice@demo.test', '{PASSWORD}')\n\
         s.sendmail('alice@demo.test', ['bea@far.test'], open('{}', 'rb').read(), '{mail}'.split(), '{rcpt}'.split())\n\
         s.quit()\n",
        file.display()
    );
    world.output("python3", ["-c", &script]).map(drop)
}

fn json(ours: &Posthouse, args: &[&str]) -> Result<Value> {
    let text = ours.cli(&[args, &["--json"]].concat())?;
    serde_json::from_str(&text).with_context(|| text.clone())
}

fn messages(ours: &Posthouse) -> Result<Vec<Value>> {
    let list = json(ours, &["queue", "show", "--all"])?;
    Ok(list.as_array().context("a list")?.clone())
}

fn greeting(ours: &Posthouse, port: u16) -> Result<String> {
    use std::io::Read as _;
    let mut text = [0; 200];
    let mut stream = std::net::TcpStream::connect(ours.addr(port))?;
    let count = stream.read(&mut text)?;
    Ok(String::from_utf8_lossy(&text[..count]).into_owned())
}

/// A with its transport to B, and B, which takes everything from A.
fn both(world: &mut World) -> Result<(Posthouse, Posthouse)> {
    dns::start(
        world,
        &[
            ("demo.test", "@ MX 10 mx\nmx A 127.0.0.10"),
            ("far.test", "@ MX 10 mx\nmx A 127.0.0.4"),
        ],
    )?;
    let mut other = Posthouse::init(world, OTHER, "other.test", &["bob"])?;
    other.set("relay.networks", "[\"127.0.0.0/8\"]")?;
    other.serve(world)?;
    let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["alice"])?;
    let rules = ours.dir().join("rules.toml");
    let text = format!("[transport.other]\nhost = \"{OTHER}:25\"\n");
    std::fs::write(&rules, text)?;
    let rules = format!("{:?}", rules.display().to_string());
    ours.set("policy.rules", &rules)?;
    ours.serve(world)?;
    Ok((ours, other))
}

/// What waits at A: nobody is there to take it.
fn fill(world: &World, ours: &Posthouse) -> Result<()> {
    submit(
        world,
        "drain-0",
        "ENVID=drain-id RET=HDRS",
        "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first@far.test",
    )?;
    submit(world, "drain-1", "HOLDFOR=3600", "")?;
    submit(world, "drain-2", "MT-PRIORITY=3", "")?;
    submit(world, "drain-3", "", "")?;
    // The others are put off when the first has found nobody.
    wait_for("an attempt in vain", PATIENCE, || {
        let tried = |one: &Value| {
            one["attempts"]
                .as_array()
                .is_some_and(|all| !all.is_empty())
        };
        let all = messages(ours)?;
        Ok((all.len() == 4 && all.iter().any(tried)).then_some(()))
    })
}

/// What B has now, each once and with its sender's wishes.
fn check(other: &Posthouse) -> Result<()> {
    let found = messages(other)?;
    ensure!(found.len() == 4, "{found:?}");
    let with = |key: &str, value: &str| found.iter().filter(|one| one[key] == value).count();
    ensure!(with("envid", "drain-id") == 1, "{found:?}");
    ensure!(with("priority", "3") == 1, "{found:?}");
    let held = found.iter().filter(|one| !one["held_until"].is_null());
    ensure!(held.count() == 1, "{found:?}");
    let asked = found
        .iter()
        .find(|one| one["envid"] == "drain-id")
        .map(|one| one["recipients"][0].clone());
    let asked = asked.context("it")?;
    ensure!(asked["orcpt"] == "rfc822;first@far.test", "{asked}");
    ensure!(asked["notify"] == "SUCCESS,FAILURE", "{asked}");
    Ok(())
}

#[test]
fn a_machine_is_emptied_into_another() {
    run(
        "drain::a_machine_is_emptied_into_another",
        Needs::Peers,
        |world| {
            let (mut ours, other) = both(world)?;
            fill(world, &ours)?;
            let done = json(&ours, &["queue", "drain", "other"])?;
            ensure!(done["messages"] == 0 && done["way"] == "other", "{done}");
            ensure!(messages(&ours)?.is_empty());
            check(&other)?;

            // Nothing new, also behind a restart; who reads mail reads on.
            ours.end(world, "TERM")?;
            ours.serve(world)?;
            for port in [25, 587, 24] {
                let said = greeting(&ours, port)?;
                ensure!(said.starts_with("421 4.3.2"), "{port}: {said}");
            }
            imap::Client::login(&ours.addr(143), "alice@demo.test", PASSWORD)?;
            let stats = json(&ours, &["queue", "stats"])?;
            ensure!(stats["drained_by"] == "other", "{stats}");
            let off = json(&ours, &["queue", "drain", "--off"])?;
            ensure!(off["way"].is_null(), "{off}");
            smtp::Client::connect(&ours.addr(25))?.expect("EHLO x.test", 250)?;

            // Now somebody is there: B delivers, and the sender hears what she asked for.
            let postfix = Postfix::start(world, FAR, "far.test", &["bea"])?;
            other.cli(&["queue", "retry", "--all"])?;
            wait_for("three at Bea's", PATIENCE, || {
                Ok((postfix.mail("bea@far.test")?.len() >= 3).then_some(()))
            })?;
            let told = ours.wait_for_mail("alice@demo.test", "Original-Envelope-Id: drain-id")?;
            ensure!(contains(&told, b"rfc822;first@far.test"), "{told:?}");
            let all = postfix.mail("bea@far.test")?;
            for mark in ["drain-0", "drain-2", "drain-3"] {
                let needle = format!("Subject: {mark}\n");
                let count = all.iter().filter(|got| contains(got, needle.as_bytes()));
                ensure!(count.count() == 1, "{mark}");
            }
            let left = messages(&other)?;
            ensure!(
                left.len() == 1 && !left[0]["held_until"].is_null(),
                "{left:?}"
            );
            ours.assert_sound()?;
            other.assert_sound()
        },
    );
}
