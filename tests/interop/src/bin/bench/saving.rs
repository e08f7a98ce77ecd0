//! What a backup costs the server that it is made of.

use crate::measure::{Work, alternate, number};
use crate::servers::{USERS, ours};
use anyhow::{Result, anyhow, ensure};
use interop::posthouse::Posthouse;
use interop::world::World;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Delivery while one whole backup follows the other, against delivery alone.
pub(crate) fn backup(world: &mut World) -> Result<()> {
    let (ours, pid) = ours(world)?;
    let messages = number("POSTHOUSE_BENCH_MESSAGES", 10_000);
    let words = format!(
        "--addr {} --connections 16 --messages {messages} --size 10000 --users {USERS} deliver --to user{{n}}@demo.test",
        ours.addr(25)
    );
    let work = Work::new(&words, &[pid]);
    // Something to back up.
    work.measure()?;
    let place = world.folder("backups")?.display().to_string();
    alternate(
        "deliver 10 kB, 16 connections, during a backup against without",
        &["per_second", "cpu_s_per_1000", "p50_ms", "p99_ms"],
        || during_backups(&ours, &place, &work),
        || work.measure(),
    )
}

fn during_backups(ours: &Posthouse, place: &str, work: &Work) -> Result<Value> {
    let going = AtomicBool::new(true);
    thread::scope(|scope| {
        let backups = scope.spawn(|| -> Result<u32> {
            let mut runs = 0;
            while going.load(Ordering::Relaxed) {
                ours.cli(&["backup", "--full", "--to", place, "--keep", "1"])?;
                runs += 1;
            }
            Ok(runs)
        });
        let measured = work.measure();
        going.store(false, Ordering::Relaxed);
        let runs = backups
            .join()
            .map_err(|_| anyhow!("the backups' thread panicked"))??;
        ensure!(runs > 0, "no backup was made");
        measured
    })
}
