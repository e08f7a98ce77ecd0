//! The real journal over a disk that keeps only what it must.
//!
//! One thread: sessions, the writer, the applier and the supplier take turns
//! as the seed says. The power goes at any operation of the disk, operations
//! fail, processes are killed; each time the store is opened again, compared
//! with what it promised, and goes on. `model` has the checkers by name.
//!
//! - `POSTHOUSE_SEED=17` runs one seed and prints what happened.
//! - `POSTHOUSE_SEEDS=10000` runs so many instead of 200, and
//!   `POSTHOUSE_SEED_FIRST=5001` begins with another than 1.

mod collecting;
mod model;
mod world;

use crate::embedded::disk::simulated::Lie;
use std::any::Any;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use world::{Met, World};

const SEEDS: u64 = 200;

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs a seed; the events, and what it met or what broke.
fn run(seed: u64, lie: Lie) -> (Vec<String>, Result<Met, model::Broken>) {
    let mut world = World::new(seed, lie);
    let result = catch_unwind(AssertUnwindSafe(|| world.run())).unwrap_or_else(|panic| {
        Err(model::Broken {
            checker: "nothing_panics",
            how: said(&*panic),
        })
    });
    (world.disk.log(), result.map(|()| world.met))
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or(panic.downcast_ref::<&str>().copied());
    said.unwrap_or_default().to_owned()
}

fn explain(test: &str, seed: u64, log: &[String], broken: &model::Broken) -> String {
    let shown = from_env("POSTHOUSE_SEED").map_or(40, |_| 9999);
    let last = &log[log.len().saturating_sub(shown)..];
    format!(
        "seed {seed}: {broken}\nits last events:\n  {}\nalone: POSTHOUSE_SEED={seed} cargo nextest run -p engine {test}\n",
        last.join("\n  ")
    )
}

/// What a run gives: its events, and what it met or what broke.
type Run<M> = (Vec<String>, Result<M, model::Broken>);

/// Runs the seeds that were asked for, or the usual number, on all cores; what
/// they met.
fn seeds<M: Send>(test: &str, usual: u64, run: impl Fn(u64) -> Run<M> + Sync) -> Vec<M> {
    if let Some(seed) = from_env("POSTHOUSE_SEED") {
        let (log, result) = run(seed);
        let met = result.unwrap_or_else(|broken| panic!("{}", explain(test, seed, &log, &broken)));
        return vec![met];
    }
    let seeds = from_env("POSTHOUSE_SEEDS").unwrap_or(usual);
    let first = from_env("POSTHOUSE_SEED_FIRST").unwrap_or(1);
    let next = AtomicU64::new(first);
    let all = Mutex::new((Vec::new(), Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZeroUsize::get) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        return;
                    }
                    let (log, result) = run(seed);
                    let mut all = all.lock().expect("no thread panics");
                    match result {
                        Ok(met) => all.0.push(met),
                        Err(broken) => all.1.push(explain(test, seed, &log, &broken)),
                    }
                }
            });
        }
    });
    let (met, broken) = all.into_inner().expect("no thread panics");
    let lines: Vec<&str> = broken.iter().filter_map(|one| one.lines().next()).collect();
    assert!(
        broken.is_empty(),
        "{} of {seeds} seeds:\n{}\n{}",
        broken.len(),
        lines.join("\n"),
        broken[0]
    );
    met
}

#[test]
fn simulated_power_cuts_and_failures_break_no_promise() {
    let met = seeds("simulated_power_cuts", SEEDS, |seed| run(seed, Lie::None));
    let sum = |of: fn(&Met) -> u64| met.iter().map(of).sum::<u64>();
    for (what, count) in [
        ("commits", sum(|m| m.commits)),
        ("vanished commits", sum(|m| m.vanished)),
        ("torn writes", sum(|m| m.torn)),
        ("power cuts", sum(|m| m.cuts)),
        ("power cuts while opening", sum(|m| m.cuts_while_opening)),
        ("errors", sum(|m| m.errors)),
        ("kills", sum(|m| m.kills)),
        ("clean ends", sum(|m| m.closes)),
        ("conflicts", sum(|m| m.conflicts)),
        ("refusals for want of space", sum(|m| m.refused_full)),
        ("aborted uploads", sum(|m| m.aborted_uploads)),
        ("replayed commits", sum(|m| m.replayed)),
        ("lost indexes", sum(|m| m.index_lost)),
    ] {
        println!("{what}: {count}");
        assert!(count > 0 || (met.len() as u64) < SEEDS, "no {what}");
    }
}

#[test]
fn a_simulated_run_is_the_same_twice() {
    let mut events = 0;
    for seed in 1..=10 {
        let (first, again) = (run(seed, Lie::None).0, run(seed, Lie::None).0);
        events += first.len();
        assert_eq!(first, again, "seed {seed}");
    }
    assert!(events > 500, "{events} events");
}

/// The simulation can fail. Each lie is what the engine would do wrong if it
/// left out that step: acknowledge before the sync, or before a direct write
/// has returned, or use a segment whose name is not synced.
#[test]
fn a_step_that_is_left_out_is_found_out() {
    for lie in [Lie::FileSynced, Lie::DirectWrite, Lie::FolderSynced] {
        let lost = (1..=SEEDS).find(|&seed| {
            let broken = run(seed, lie).1.err();
            broken.is_some_and(|broken| broken.checker == "acknowledged_is_present")
        });
        assert!(lost.is_some(), "{lie:?} is believed");
    }
}
