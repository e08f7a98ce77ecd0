//! A destination with a limit of connections, as Postfix keeps one.

use anyhow::ensure;
use interop::exim::Exim;
use interop::limited::{self, Limited};
use interop::smtp;
use interop::world::{Needs, run, wait_for};
use std::time::Duration;

/// The number of issue 6, in counts: under 5 % of attempts are refused, and what was
/// refused is no attempt of its message.
#[test]
fn a_postfix_that_takes_five_connections_refuses_few() {
    run(
        "limited::a_postfix_that_takes_five_connections_refuses_few",
        Needs::Peers,
        |world| {
            interop::dns::start(world, &limited::ZONES)?;
            let there = Limited::start(world)?;
            let mut ours = limited::sender(world)?;
            ours.serve(world)?;
            let messages = 120;
            let seen = there.send(&ours, messages)?;
            ensure!(seen.taken == messages, "{seen:?}");
            ensure!(seen.refused > 0, "the limit was met: {seen:?}");
            ensure!(seen.refused * 20 < seen.taken + seen.refused, "{seen:?}");
            let stats = ours.cli(&["queue", "stats", "--json"])?;
            let stats: serde_json::Value = serde_json::from_str(&stats)?;
            let servers = &stats["servers"][0];
            ensure!(servers["servers"] == "mx.far.test", "{stats:#}");
            ensure!(servers["allowed"] == limited::CONNECTIONS, "{stats:#}");
            ensure!(
                servers["refused_at"] == limited::CONNECTIONS + 1,
                "{stats:#}"
            );
            ensure!(servers["signal"] == "too many connections", "{stats:#}");
            let said = servers["said"].as_str().unwrap_or_default();
            ensure!(said.starts_with("421 4.7.0"), "{stats:#}");
            // Each message went with its first attempt that counts.
            let trace = ours.cli(&["trace", "bea@far.test", "--json"])?;
            ensure!(!trace.contains("\"deferred\""), "{trace}");
            // An operator's bound is never met with a refusal.
            ours.end(world, "TERM")?;
            ours.set("outbound.connections_per_site", "3")?;
            ours.serve(world)?;
            let seen = there.send(&ours, 12)?;
            ensure!((seen.taken, seen.refused) == (12, 0), "{seen:?}");
            Ok(())
        },
    );
}

/// It refuses a fourth connection with 421, and thinks about each recipient for a second.
#[test]
fn an_exim_that_takes_three_connections_gets_everything_once() {
    run(
        "limited::an_exim_that_takes_three_connections_gets_everything_once",
        Needs::Peers,
        |world| {
            interop::dns::start(world, &limited::ZONES)?;
            let there = Exim::start_limited(world, "127.0.0.3", "far.test", 3)?;
            let mut ours = limited::sender(world)?;
            ours.serve(world)?;
            let messages = 30;
            let mut client = smtp::Client::connect(&ours.addr(25))?;
            client.expect("EHLO client.test", 250)?;
            for n in 0..messages {
                let text = format!("Subject: message {n}\r\n\r\nx\r\n");
                let (code, said) =
                    client.send("ann@near.test", &["bea@far.test"], text.as_bytes())?;
                ensure!(code == 250, "{said}");
            }
            wait_for("the queue to be empty", Duration::from_secs(60), || {
                let left = ours.cli(&["queue", "list", "--json"])?;
                Ok((left.trim() == "[]").then_some(()))
            })?;
            let log = there.log();
            let taken = log.matches(" <= ann@near.test ").count();
            ensure!(taken == messages, "{taken} of {messages}: {log}");
            let refused = log
                .matches("too many connections from that IP address")
                .count();
            ensure!((1..=messages / 4).contains(&refused), "{refused}: {log}");
            let trace = ours.cli(&["trace", "bea@far.test", "--json"])?;
            ensure!(!trace.contains("\"deferred\""), "{trace}");
            ours.assert_sound()
        },
    );
}
