//! Mail streams in while the server is killed again and again: what got its
//! 250 is there exactly once.

use anyhow::ensure;
use interop::posthouse::{PASSWORD, Posthouse};
use interop::world::{Needs, World, run};
use interop::{Result, imap, smtp};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const CONNECTIONS: usize = 32;

/// The short form; `make soak` sets `POSTHOUSE_KILLS` higher.
fn kills() -> u32 {
    std::env::var("POSTHOUSE_KILLS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(50)
}

#[test]
fn what_was_acknowledged_survives_fifty_kills_exactly_once() {
    run(
        "crash::what_was_acknowledged_survives_fifty_kills_exactly_once",
        Needs::Nothing,
        |world| {
            let users: Vec<String> = (0..8).map(|n| format!("user{n}")).collect();
            let names: Vec<&str> = users.iter().map(String::as_str).collect();
            let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &names)?;
            let load = Load::start(&ours.addr(25));
            let seed = fastrand::u64(..);
            eprintln!("seed {seed}");
            let mut random = fastrand::Rng::with_seed(seed);
            for _ in 0..kills() {
                ours.serve(world)?;
                let enough = load.acknowledged.load(Ordering::Relaxed) + random.u64(1..200);
                wait_for_load(&load, enough);
                std::thread::sleep(Duration::from_micros(random.u64(0..20_000)));
                ours.end(world, "KILL")?;
            }
            let acknowledged = load.finish();
            ours.assert_sound()?;
            ours.serve(world)?;
            check(&ours, &users, &acknowledged)?;
            eprintln!(
                "{} messages were acknowledged over {} kills",
                acknowledged.len(),
                kills()
            );
            assert_ends_well(&mut ours, world)
        },
    );
}

fn wait_for_load(load: &Load, enough: u64) {
    let end = std::time::Instant::now() + Duration::from_secs(5);
    while load.acknowledged.load(Ordering::Relaxed) < enough && std::time::Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn assert_ends_well(ours: &mut Posthouse, world: &mut World) -> Result<()> {
    ours.end(world, "TERM")?;
    ours.assert_sound()
}

/// Each acknowledged id is in its user's INBOX exactly once; one that got no
/// reply is there at most once.
fn check(ours: &Posthouse, users: &[String], acknowledged: &[String]) -> Result<()> {
    let mut found: HashMap<String, u32> = HashMap::new();
    for user in users {
        let mut imap =
            imap::Client::login(&ours.addr(143), &format!("{user}@demo.test"), PASSWORD)?;
        for message in imap.messages("INBOX")? {
            let text = String::from_utf8_lossy(&message).into_owned();
            let id = text
                .lines()
                .find_map(|l| l.strip_prefix("Subject: id "))
                .map(str::to_owned);
            *found.entry(id.unwrap_or(text)).or_default() += 1;
        }
    }
    for id in acknowledged {
        ensure!(
            found.get(id) == Some(&1),
            "message {id} is there {:?} times",
            found.get(id)
        );
    }
    for (id, times) in &found {
        ensure!(*times == 1, "message {id} is there {times} times");
    }
    Ok(())
}

/// Connections that send one message after another and come back after each crash.
struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(addr: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let threads = (0..CONNECTIONS)
            .map(|n| {
                let (addr, stop, count) = (addr.to_owned(), stop.clone(), acknowledged.clone());
                std::thread::spawn(move || {
                    let mut done = Vec::new();
                    let mut next = 0u32;
                    while !stop.load(Ordering::Relaxed) {
                        let _ = send_until_broken(&addr, n, &mut next, &mut done, &count, &stop);
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    done
                })
            })
            .collect();
        Self {
            stop,
            acknowledged,
            threads,
        }
    }

    fn finish(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads
            .into_iter()
            .flat_map(|t| t.join().expect("a sender does not panic"))
            .collect()
    }
}

fn send_until_broken(
    addr: &str,
    connection: usize,
    next: &mut u32,
    done: &mut Vec<String>,
    count: &AtomicU64,
    stop: &AtomicBool,
) -> Result<()> {
    let mut client = smtp::Client::connect(addr)?;
    client.expect("EHLO client.test", 250)?;
    while !stop.load(Ordering::Relaxed) {
        *next += 1;
        let id = format!("{connection}.{next}");
        let body = "0123456789abcdef".repeat(1 + (*next as usize % 400));
        let message = format!("Subject: id {id}\r\nMessage-ID: <{id}@far.test>\r\n\r\n{body}");
        let to = format!("user{}@demo.test", (connection + *next as usize) % 8);
        let (code, text) = client.send("x@far.test", &[&to], message.as_bytes())?;
        ensure!(code == 250, "{text}");
        count.fetch_add(1, Ordering::Relaxed);
        done.push(id);
    }
    Ok(())
}
