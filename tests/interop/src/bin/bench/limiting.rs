//! A destination with a limit of connections: how many attempts it refuses, and how fast it goes.

use crate::measure::{alternate, number};
use anyhow::{Result, ensure};
use interop::limited::{self, Limited, Seen};
use interop::posthouse::Posthouse;
use interop::world::World;
use serde_json::{Value, json};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Connections that wait for another message are closed by then.
const QUIET: Duration = Duration::from_secs(4);

/// With connections that are learned against a fixed five; the destination takes five.
pub(crate) fn site(world: &mut World) -> Result<()> {
    interop::dns::start(world, &limited::ZONES)?;
    let there = Limited::start(world)?;
    let mut learned = limited::sender(world)?;
    learned.serve(world)?;
    let mut fixed = Posthouse::init(world, "127.0.0.10", "near.test", &["ann"])?;
    fixed.set("relay.networks", "[\"127.0.0.0/8\"]")?;
    fixed.set(
        "outbound.connections_per_site",
        &limited::CONNECTIONS.to_string(),
    )?;
    fixed.serve(world)?;
    let messages = usize::try_from(number("POSTHOUSE_BENCH_MESSAGES", 200))?;
    let refused = [Cell::new(0), Cell::new(0)];
    let taken = [Cell::new(0), Cell::new(0)];
    let send = |ours: &Posthouse, which: usize| -> Result<Value> {
        std::thread::sleep(QUIET);
        let begun = Instant::now();
        let seen: Seen = there.send(ours, messages)?;
        ensure!(seen.taken == messages, "{seen:?}");
        let per_second = messages as f64 / begun.elapsed().as_secs_f64();
        refused[which].set(refused[which].get() + seen.refused);
        taken[which].set(taken[which].get() + seen.taken);
        Ok(json!({"per_second": per_second, "refused": seen.refused}))
    };
    alternate(
        "a destination that takes 5 connections: learned against a fixed 5",
        &["per_second"],
        || send(&learned, 0),
        || send(&fixed, 1),
    )?;
    for (which, name) in ["learned", "a fixed 5"].into_iter().enumerate() {
        let (refused, taken) = (refused[which].get(), taken[which].get());
        let percent = refused as f64 * 100.0 / (refused + taken) as f64;
        println!(
            "| attempts that the destination refused, {name} | {refused} of {} | {percent:.2} % | | | |",
            refused + taken
        );
    }
    Ok(())
}
