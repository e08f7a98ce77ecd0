//! Fills a store as deliveries do and prints what it costs.
//!
//! `cargo run --release -p engine --example fill -- [writers] [bytes] [seconds] [folder]`
//!
//! Each of the writers puts a body and submits a commit of ten keys that names
//! it, with a condition on its account's head, waits until that is durable and
//! visible, and begins again.

#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a tool at a terminal, with a clock of its own"
)]

use engine::{Batch, CommitNo, EmbeddedEngine, Engine, Expect, Options, ShardId, keys};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Keys of a delivery beside the account's head.
const KEYS: usize = 9;
/// Bytes of such a key's value.
const VALUE: usize = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mut number = |default: u64| args.next().map_or(Ok(default), |a| a.parse::<u64>());
    let (writers, bytes, seconds) = (number(64)?, number(10_000)?, number(10)?);
    let folder = args.next().map_or_else(
        || std::env::temp_dir().join("posthouse-fill"),
        PathBuf::from,
    );
    let _ = std::fs::remove_dir_all(&folder);
    fill(
        &folder,
        writers,
        bytes as usize,
        Duration::from_secs(seconds),
    )?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn fill(folder: &Path, writers: u64, bytes: usize, time: Duration) -> Result<(), Box<dyn Error>> {
    let engine = Arc::new(EmbeddedEngine::open(folder, &Options::default())?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()?;
    let (begin, cpu) = (Instant::now(), cpu_seconds());
    let mut waits: Vec<Duration> = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for account in 0..writers {
            tasks.spawn(write(Arc::clone(&engine), account, bytes, begin + time));
        }
        tasks.join_all().await.into_iter().flatten().collect()
    });
    let (took, cpu) = (begin.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    waits.sort_unstable();
    let n = waits.len();
    let at = |part: f64| waits[((n - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    let stats = engine.stats();
    println!("{writers} writers, bodies of {bytes} bytes, {took:.1} s");
    println!("messages/s        {:>10.0}", n as f64 / took);
    println!("CPU µs/message    {:>10.1}", cpu * 1e6 / n as f64);
    println!("wait ms p50/p99   {:>10.2} {:.2}", at(0.5), at(0.99));
    println!("wait ms p99.9/max {:>10.2} {:.2}", at(0.999), at(1.0));
    println!("messages/sync     {:>10.1}", n as f64 / stats.syncs as f64);
    println!(
        "bytes/message     {:>10.0}",
        stats.bytes_written as f64 / n as f64
    );
    println!("resident MB       {:>10.0}", resident_bytes() / 1e6);
    println!("{stats:?}");
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
    Ok(())
}

async fn write(
    engine: Arc<EmbeddedEngine>,
    account: u64,
    bytes: usize,
    end: Instant,
) -> Vec<Duration> {
    let mut waits = Vec::new();
    let mut head: Option<CommitNo> = None;
    let mut body = vec![account as u8; bytes];
    for n in 0u64.. {
        let begin = Instant::now();
        if begin >= end {
            break;
        }
        if let Some(start) = body.first_chunk_mut() {
            *start = n.to_be_bytes();
        }
        let extent = engine.put_body(ShardId(0), &body).expect("put_body");
        let mut batch = Batch::new();
        let mut key = keys::account(account);
        key.push(b'h');
        batch.expect(key.clone(), head.map_or(Expect::Absent, Expect::Version));
        batch.put(key, extent.encode().to_vec());
        for k in 0..KEYS {
            let mut key = keys::account(account);
            key.push(k as u8);
            key.extend_from_slice(&n.to_be_bytes());
            batch.put(key, vec![k as u8; VALUE]);
        }
        let ticket = engine.submit(batch).expect("submit");
        head = Some(ticket.done().await);
        waits.push(begin.elapsed());
    }
    waits
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
