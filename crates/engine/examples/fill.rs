//! Fills a store as deliveries do and prints what it costs.
//!
//! `cargo run --release -p engine --example fill -- [writers] [bytes] [seconds] [folder]`
//!
//! Each of the writers puts a body and submits a commit of ten keys that names
//! it, with a condition on its account's head, waits until that is durable and
//! visible, and begins again.
//!
//! With `FILL_KEEP_GB=16` the store stays about that large: each delivery deletes
//! the keys of an old one, and segments are freed behind the writers, so that a
//! long run fits on the disk. Where the writers get half as far again ahead, they
//! begin nothing new until the collector has caught up; how long is told. With `FILL_VERDICT=1` the run fails when one commit
//! took longer, or one in a thousand did, than `make soak` allows.

#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a tool at a terminal, with a clock of its own"
)]

use engine::{
    Batch, CollectError, CommitNo, EmbeddedEngine, Engine, Expect, Goal, Options, ShardId, Step,
    Walk, keys,
};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Keys of a delivery beside the account's head.
const KEYS: usize = 9;
/// Bytes of such a key's value.
const VALUE: usize = 100;
/// Bytes that the keys of a delivery take in the journal, about.
const RECORD_BYTES: usize = 1_300;

const SHARD: ShardId = ShardId(0);

/// What no commit may take longer than, and what one in a thousand may.
const WORST: Duration = Duration::from_millis(500);
const P999: Duration = Duration::from_millis(60);

/// How much the collector stands back, in steps of `nice`.
const COLLECT_NICE: i32 = 10;

/// Between two looks at the store's size.
const COLLECT_PAUSE: Duration = Duration::from_millis(20);

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mut number = |default: u64| args.next().map_or(Ok(default), |a| a.parse::<u64>());
    let (writers, bytes, seconds) = (number(64)?, number(10_000)?, number(10)?);
    let folder = args.next().map_or_else(
        || std::env::temp_dir().join("posthouse-fill"),
        PathBuf::from,
    );
    let env = |name| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let _ = std::fs::remove_dir_all(&folder);
    let waits = fill(
        &folder,
        &Work {
            writers,
            bytes: bytes as usize,
            time: Duration::from_secs(seconds),
            keep_bytes: env("FILL_KEEP_GB").map(|gb| gb << 30),
        },
    )?;
    std::fs::remove_dir_all(&folder)?;
    if env("FILL_VERDICT").unwrap_or(0) == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let (worst, p999) = (waits.worst, waits.at(0.999));
    let good = worst <= WORST && p999 <= P999;
    println!(
        "{}: the longest commit took {:.1} ms (allowed {}), one in a thousand {:.1} ms or more (allowed {})",
        if good { "PASS" } else { "FAIL" },
        worst.as_secs_f64() * 1e3,
        WORST.as_millis(),
        p999.as_secs_f64() * 1e3,
        P999.as_millis(),
    );
    Ok(ExitCode::from(u8::from(!good)))
}

/// What is to be done.
struct Work {
    writers: u64,
    bytes: usize,
    time: Duration,
    /// How large the store may get.
    keep_bytes: Option<u64>,
}

impl Work {
    /// How many deliveries of each writer stay: half of the store is theirs,
    /// the rest is room for collection.
    fn kept(&self) -> Option<u64> {
        let one = (self.bytes + RECORD_BYTES) as u64;
        Some((self.keep_bytes? / 2 / one / self.writers.max(1)).max(1))
    }
}

fn fill(folder: &Path, work: &Work) -> Result<Waits, Box<dyn Error>> {
    let engine = Arc::new(EmbeddedEngine::open(folder, &Options::default())?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()?;
    let size = Arc::new(Size::default());
    let collector = work.keep_bytes.map(|keep| {
        let (engine, size) = (Arc::clone(&engine), Arc::clone(&size));
        std::thread::spawn(move || collect(&engine, keep, &size))
    });
    let (begin, cpu) = (Instant::now(), cpu_seconds());
    let waits = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for account in 0..work.writers {
            let writer = Writer {
                engine: Arc::clone(&engine),
                account,
                bytes: work.bytes,
                kept: work.kept(),
                size: Arc::clone(&size),
                end: begin + work.time,
            };
            tasks.spawn(writer.write());
        }
        let mut all = Waits::default();
        for waits in tasks.join_all().await {
            all.add(&waits);
        }
        all
    });
    let (took, cpu) = (begin.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    size.over.store(true, Ordering::Relaxed);
    if let Some(collector) = collector {
        collector.join().map_err(|_| "the collector panicked")??;
    }
    report(&engine, work, &waits, took, cpu);
    let begin = Instant::now();
    engine.close();
    println!(
        "closed in ms      {:>10.1}",
        begin.elapsed().as_secs_f64() * 1e3
    );
    drop(engine);
    let begin = Instant::now();
    let engine = EmbeddedEngine::open(folder, &Options::default())?;
    println!(
        "opened in ms      {:>10.1}",
        begin.elapsed().as_secs_f64() * 1e3
    );
    println!("findings          {:>10}", engine.fsck()?.len());
    Ok(waits)
}

fn report(engine: &EmbeddedEngine, work: &Work, waits: &Waits, took: f64, cpu: f64) {
    let n = waits.count as f64;
    let at = |part: f64| waits.at(part).as_secs_f64() * 1e3;
    let stats = engine.stats();
    let (writers, bytes) = (work.writers, work.bytes);
    println!("{writers} writers, bodies of {bytes} bytes, {took:.1} s");
    println!("messages/s        {:>10.0}", n / took);
    println!("CPU µs/message    {:>10.1}", cpu * 1e6 / n);
    println!("wait ms p50/p99   {:>10.2} {:.2}", at(0.5), at(0.99));
    let worst = waits.worst.as_secs_f64() * 1e3;
    println!("wait ms p99.9/max {:>10.2} {worst:.2}", at(0.999));
    let held = waits.held.as_secs_f64() / (took * writers as f64);
    println!("held back %       {:>10.1}", held * 100.0);
    println!("messages/sync     {:>10.1}", n / stats.syncs as f64);
    println!("bytes/message     {:>10.0}", stats.bytes_written as f64 / n);
    println!("resident MB       {:>10.0}", resident_bytes() / 1e6);
    println!("{stats:?}");
    waits.print();
}

/// What writers and collector tell each other.
#[derive(Default)]
struct Size {
    /// The store is so large that nothing new begins.
    full: AtomicBool,
    /// The writers are through.
    over: AtomicBool,
}

struct Writer {
    engine: Arc<EmbeddedEngine>,
    account: u64,
    bytes: usize,
    kept: Option<u64>,
    size: Arc<Size>,
    end: Instant,
}

impl Writer {
    async fn write(self) -> Waits {
        let Self {
            engine,
            account,
            bytes,
            kept,
            size,
            end,
        } = self;
        let mut waits = Waits::default();
        let mut head: Option<CommitNo> = None;
        let mut body = vec![account as u8; bytes];
        let key_of = |k: usize, n: u64| {
            let mut key = keys::account(account);
            key.push(k as u8);
            key.extend_from_slice(&n.to_be_bytes());
            key
        };
        for n in 0u64.. {
            let mut begin = Instant::now();
            while size.full.load(Ordering::Relaxed) && begin < end {
                tokio::time::sleep(COLLECT_PAUSE).await;
                waits.held += begin.elapsed();
                begin = Instant::now();
            }
            if begin >= end {
                break;
            }
            if let Some(start) = body.first_chunk_mut() {
                *start = n.to_be_bytes();
            }
            let extent = engine.put_body(SHARD, &body).expect("put_body");
            let mut batch = Batch::new();
            let mut key = keys::account(account);
            key.push(b'h');
            batch.expect(key.clone(), head.map_or(Expect::Absent, Expect::Version));
            batch.put(key, extent.encode().to_vec());
            let old = kept.and_then(|kept| n.checked_sub(kept));
            for k in 0..KEYS {
                batch.put(key_of(k, n), vec![k as u8; VALUE]);
                if let Some(old) = old {
                    batch.delete(key_of(k, old));
                }
            }
            let ticket = engine.submit(batch).expect("submit");
            head = Some(ticket.done().await);
            waits.count(begin.elapsed());
        }
        waits
    }
}

/// Frees the oldest segments whenever the store is larger than it may be. All
/// bodies in them are dead: here nothing names a body for longer than it takes.
fn collect(engine: &EmbeddedEngine, keep: u64, size: &Size) -> Result<(), CollectError> {
    // A server's collector rests many times as long as it works; this one has
    // to follow writers at full speed, and stands back instead.
    let _ = rustix::process::setpriority_process(None, COLLECT_NICE);
    while !size.over.load(Ordering::Relaxed) {
        let sealed = engine.sealed_segments(SHARD);
        let bytes: u64 = sealed.iter().map(|segment| segment.bytes).sum();
        size.full.store(bytes > keep + keep / 2, Ordering::Relaxed);
        let oldest = sealed.first().filter(|_| bytes > keep);
        let Some(oldest) = oldest else {
            std::thread::sleep(COLLECT_PAUSE);
            continue;
        };
        let mut walk = Walk::new(SHARD, oldest.number, Goal::Free);
        loop {
            match engine.collect_step(&mut walk)? {
                Step::More => {}
                Step::Waiting => std::thread::sleep(COLLECT_PAUSE),
                Step::Done => break,
            }
        }
    }
    Ok(())
}

/// Waits by their length, in steps of a sixteenth.
struct Waits {
    counts: Vec<u64>,
    count: u64,
    worst: Duration,
    /// How long nothing new was begun, of all writers together.
    held: Duration,
}

/// Steps of a doubling.
const STEPS: u64 = 16;

impl Default for Waits {
    fn default() -> Self {
        Self {
            counts: vec![0; (STEPS * 64) as usize],
            count: 0,
            worst: Duration::ZERO,
            held: Duration::ZERO,
        }
    }
}

impl Waits {
    fn count(&mut self, wait: Duration) {
        let micros = (wait.as_micros() as u64).max(STEPS);
        let shift = micros.ilog2() - STEPS.ilog2();
        let step = u64::from(shift) * STEPS + (micros >> shift) - STEPS;
        self.counts[step as usize] += 1;
        self.count += 1;
        self.worst = self.worst.max(wait);
    }

    fn add(&mut self, other: &Self) {
        for (sum, more) in self.counts.iter_mut().zip(&other.counts) {
            *sum += more;
        }
        self.count += other.count;
        self.worst = self.worst.max(other.worst);
        self.held += other.held;
    }

    /// The longest wait that a step stands for.
    fn end_of(step: usize) -> Duration {
        let (shift, part) = (step as u64 / STEPS, step as u64 % STEPS);
        Duration::from_micros(((part + STEPS + 1) << shift) - 1)
    }

    /// So many of them took no longer than this.
    fn at(&self, part: f64) -> Duration {
        let mut left = (self.count as f64 * part).ceil() as u64;
        for (step, &count) in self.counts.iter().enumerate() {
            left = left.saturating_sub(count);
            if left == 0 {
                return Self::end_of(step).min(self.worst);
            }
        }
        self.worst
    }

    /// One line for each doubling.
    fn print(&self) {
        println!("wait ms up to   commits");
        for (doubling, counts) in self.counts.chunks(STEPS as usize).enumerate() {
            let count: u64 = counts.iter().sum();
            if count > 0 {
                let end = Self::end_of((doubling + 1) * STEPS as usize - 1);
                println!("{:>13.3} {count:>9}", end.as_secs_f64() * 1e3);
            }
        }
    }
}

/// User and system time of this process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks: f64 = fields
        .skip(11)
        .take(2)
        .filter_map(|t| t.parse::<f64>().ok())
        .sum();
    ticks / 100.0
}

fn resident_bytes() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split_whitespace()
        .nth(1)
        .and_then(|p| p.parse::<f64>().ok());
    pages.unwrap_or(0.0) * 4096.0
}
