//! What the machine can do.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const MEGABYTE: usize = 1_000_000;
/// What is written to the disk; long enough for its cache not to be all of it.
const WRITTEN_MB: usize = 500;
/// What goes over the loopback.
const SENT_MB: usize = 2000;

fn rate(megabytes: usize, begun: Instant) -> Value {
    json!({ "mb_per_second": megabytes as f64 / begun.elapsed().as_secs_f64() })
}

/// Writes one file from its beginning to its end, synced at the end.
pub(crate) fn disk(dir: &Path) -> Result<Value> {
    let path = dir.join("limit");
    // What a disk could leave out or make smaller says nothing.
    let mut piece = vec![0; MEGABYTE];
    File::open("/dev/urandom")?.read_exact(&mut piece)?;
    let mut file = File::create(&path)?;
    let begun = Instant::now();
    for _ in 0..WRITTEN_MB {
        file.write_all(&piece)?;
    }
    file.sync_data()?;
    let rate = rate(WRITTEN_MB, begun);
    std::fs::remove_file(&path)?;
    Ok(rate)
}

/// The loopback of this world while it carries no more than a network would.
pub(crate) struct LoopbackOf {
    megabytes: usize,
}

impl LoopbackOf {
    pub(crate) fn gigabits(rate: usize) -> Result<Self> {
        let words = format!("qdisc replace dev lo root tbf rate {rate}gbit burst 2mb latency 20ms");
        let status = Command::new("tc").args(words.split(' ')).status()?;
        ensure!(status.success(), "tc limits no loopback here");
        // Two seconds' worth.
        Ok(Self {
            megabytes: 250 * rate,
        })
    }

    /// One TCP stream over it.
    pub(crate) fn measure(&self) -> Result<Value> {
        stream(self.megabytes)
    }
}

impl Drop for LoopbackOf {
    fn drop(&mut self) {
        // The world's own loopback goes with the world.
        let _ = Command::new("tc")
            .args(["qdisc", "del", "dev", "lo", "root"])
            .status();
    }
}

/// One TCP stream over the loopback.
pub(crate) fn loopback() -> Result<Value> {
    stream(SENT_MB)
}

fn stream(megabytes: usize) -> Result<Value> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut sending = TcpStream::connect(listener.local_addr()?)?;
    let (mut receiving, _) = listener.accept()?;
    let begun = Instant::now();
    let sender = std::thread::spawn(move || {
        let piece = vec![7; 64 * 1024];
        for _ in 0..megabytes * MEGABYTE / piece.len() {
            sending.write_all(&piece)?;
        }
        std::io::Result::Ok(())
    });
    let mut buffer = vec![0; 256 * 1024];
    while receiving.read(&mut buffer)? > 0 {}
    let sent = sender.join().ok().context("the sender panicked")?;
    sent?;
    Ok(rate(megabytes, begun))
}
