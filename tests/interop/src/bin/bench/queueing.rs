//! A very long queue: memory, start, lists, and what it costs the mail of others.

use crate::measure::{Work, alone, alternate, number};
use anyhow::{Context as _, Result, ensure};
use engine::embedded::{EmbeddedEngine, Options};
use engine::{Batch, ShardId, Ticket};
use envelope::{Address, Envelope, Recipient, ReversePath};
use interop::posthouse::Posthouse;
use interop::world::{World, wait_for_port};
use queue::{NewMessage, Origin, Queue, Start};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One half is for a destination that is dead, the other one waits for these.
const DOMAINS: u64 = 50;
/// Messages of one commit when the queue is filled.
const AT_ONCE: u64 = 100;
/// How long it is watched at rest.
const REST: Duration = Duration::from_secs(5);
/// What both may take for their caches: the queue is to fit beside it.
const MEMORY: &str = "\"256MB\"";
/// Commits that are not durable yet meanwhile.
const AHEAD: usize = 16;

const RULES: &str = "[transport.sink]\nhost = \"127.0.0.1:2625\"\n[transport.dead]\nhost = \"127.0.0.1:9\"\n\
    [[rule]]\nname = \"dead\"\nwhen.domain = \"dead.test\"\nvia = \"dead\"\n\
    [[rule]]\nname = \"others\"\nvia = \"sink\"\n";

/// Alternates a server whose queue is empty with one whose queue is full.
pub(crate) fn queue(world: &mut World) -> Result<()> {
    let messages = number("POSTHOUSE_BENCH_FULL", 1_000_000);
    let mut empty = server(world, "127.0.0.10")?;
    let empty_pid = empty.serve(world)?;
    let mut full = server(world, "127.0.0.11")?;
    let begun = Instant::now();
    fill(&full, messages)?;
    let rate = messages as f64 / begun.elapsed().as_secs_f64();
    println!("| staging {messages} messages | messages/s | {rate:.0} | | | |");
    let bytes = folder_bytes(&full.dir().join("data/store"))?;
    println!(
        "| {messages} messages of about 100 octets queued | bytes each | {} | | | |",
        bytes / messages
    );
    let mut pid = full.serve(world)?;
    alone(
        &format!("{messages} messages queued: start after SIGTERM until every port accepts"),
        &["ms", "resident_kb"],
        || {
            full.end(world, "TERM")?;
            let start = Instant::now();
            pid = full.serve(world)?;
            wait_for_port(&full.addr(143))?;
            let ms = start.elapsed().as_secs_f64() * 1000.0;
            // The queue is counted, and what is due is met.
            let listed = full.cli(&["queue", "stats", "--json"])?;
            ensure!(listed.contains("dead.test"), "{listed}");
            Ok(json!({"ms": ms, "resident_kb": resident_kb(pid)?}))
        },
    )?;
    for (what, words) in [
        (
            "list --domain, the first 100",
            &["list", "--domain", "d7.test", "--limit", "100"][..],
        ),
        (
            "list --domain of the dead one, the first 100",
            &["list", "--domain", "dead.test", "--limit", "100"],
        ),
        ("stats", &["stats"]),
    ] {
        asked(&full, what, words, messages)?;
    }
    let what = format!("{messages} queued, half of them for a dead destination");
    at_rest(&what, pid)?;
    full.cli(&["queue", "pause", "--all"])?;
    at_rest(&format!("{what}, paused"), pid)?;
    full.cli(&["queue", "resume", "--all"])?;
    let count = number("POSTHOUSE_BENCH_MESSAGES", 2000);
    let relay = |ours: &Posthouse, pid: u32| {
        let words = format!(
            "--addr {} --connections 4 --messages {count} --size 1000 --user user0@demo.test relay --auth --from user0@demo.test --to someone@far.test",
            ours.addr(587)
        );
        Work::new(&words, &[pid])
    };
    let (a, b) = (relay(&full, pid), relay(&empty, empty_pid));
    let measured = |work: &Work, pid: u32| -> Result<Value> {
        let mut figures = work.measure()?;
        figures["resident_kb"] = json!(resident_kb(pid)?);
        Ok(figures)
    };
    let what = "half of them for a dead destination, against an empty queue";
    alternate(
        &format!("submit and relay beside {messages} queued, {what}"),
        &[
            "per_second",
            "p50_ms",
            "delay_p50_ms",
            "cpu_s_per_1000",
            "resident_kb",
        ],
        || measured(&a, pid),
        || measured(&b, empty_pid),
    )?;
    // It reads all of them, and what it has read stays in the index's cache.
    let words = ["list", "--sender", "nobody@demo.test"];
    asked(&full, "list --sender of nobody", &words, messages)
}

/// What a server costs to which nobody comes.
fn at_rest(what: &str, pid: u32) -> Result<()> {
    alone(&format!("{what}, at rest"), &["cpu_ms_per_second"], || {
        let before = cpu_ms(pid)?;
        std::thread::sleep(REST);
        let spent = cpu_ms(pid)? - before;
        Ok(json!({"cpu_ms_per_second": spent as f64 / REST.as_secs_f64()}))
    })
}

/// One command about the queue, from its start to its end.
fn asked(ours: &Posthouse, what: &str, words: &[&str], messages: u64) -> Result<()> {
    alone(&format!("queue {what}, of {messages}"), &["ms"], || {
        let start = Instant::now();
        let words: Vec<&str> = [&["queue"], words, &["--json"]].concat();
        ours.cli(&words)?;
        Ok(json!({"ms": start.elapsed().as_secs_f64() * 1000.0}))
    })
}

fn server(world: &World, ip: &str) -> Result<Posthouse> {
    let ours = Posthouse::init(world, ip, "demo.test", &["user0"])?;
    let rules = ours.dir().join("rules.toml");
    std::fs::write(&rules, RULES)?;
    let rules = format!("{:?}", rules.display().to_string());
    ours.set("policy.rules", &rules)?;
    ours.set("memory.total", MEMORY)?;
    Ok(ours)
}

/// Straight into the store: every second message is for the dead destination and
/// due, the others wait for hours.
fn fill(ours: &Posthouse, messages: u64) -> Result<()> {
    let executor = runtime::process::build(Some(2))?;
    let runtime = executor.runtime();
    let folder = ours.dir().join("data/store");
    let engine = Arc::new(EmbeddedEngine::open(&folder, &Options::default())?);
    let blobs = Arc::new(blobs::Blobs::new(engine.clone()));
    let queue = Queue::new(engine.clone(), blobs.clone(), runtime);
    let sender = ReversePath::parse("user0@demo.test")?;
    let mut waiting: VecDeque<Ticket> = VecDeque::new();
    let mut n = 0;
    while n < messages {
        let mut batch = Batch::new();
        let shard = ShardId((n / AT_ONCE % u64::from(engine::Engine::shards(&*engine))) as u16);
        for _ in 0..AT_ONCE.min(messages - n) {
            let mut writer = blobs.writer(shard);
            let text = format!(
                "Subject: {n}\r\nX-Salt: {:x}\r\n\r\nshort\r\n",
                fastrand::u64(..)
            );
            writer.push(text.as_bytes())?;
            let mut blob = writer.finish()?;
            blobs.stage(&mut batch, &mut blob)?;
            let (to, start) = if n.is_multiple_of(2) {
                (format!("u{n}@dead.test"), Start::Now)
            } else {
                let later = Start::Later {
                    wait_ms: 3 * 3_600_000 + n % 1_800_000,
                    reason: "mx.there.test: 451 4.7.1 greylisted, come back later".into(),
                };
                (format!("u{n}@d{}.test", n / 2 % DOMAINS), later)
            };
            let mut envelope = Envelope::new(sender.clone());
            envelope
                .recipients
                .push(Recipient::new(Address::parse(&to)?));
            let new = NewMessage {
                blob: blob.id,
                blob_size: blob.size,
                body: None,
                prefix: Default::default(),
                envelope,
                origin: Origin::default(),
                start,
            };
            queue.stage(&mut batch, shard, new);
            n += 1;
        }
        waiting.push_back(engine::Engine::submit(&*engine, batch)?);
        if waiting.len() >= AHEAD {
            waiting.pop_front().map(Ticket::done_blocking);
        }
    }
    waiting.into_iter().for_each(|ticket| {
        ticket.done_blocking();
    });
    engine.close();
    executor.stop(Duration::from_secs(5));
    Ok(())
}

fn resident_kb(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("a process has memory")?.parse()?)
}

/// User and system time of a process.
fn cpu_ms(pid: u32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("a process has a name")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |at: usize| -> Result<u64> { Ok(fields.get(at).context("stat")?.parse()?) };
    Ok((ticks(11)? + ticks(12)?) * 10)
}

fn folder_bytes(folder: &std::path::Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let of = entry.metadata()?;
        bytes += if of.is_dir() {
            folder_bytes(&entry.path())?
        } else {
            of.blocks() * 512
        };
    }
    Ok(bytes)
}
