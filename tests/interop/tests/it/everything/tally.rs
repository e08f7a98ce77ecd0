//! What happened over all lives: a run in which something never happened
//! proves nothing about it.

use super::promised::Change;
use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Counts by name.
#[derive(Debug, Default)]
pub struct Tally {
    counts: Mutex<BTreeMap<String, u64>>,
    /// The server's own counters as they were last read, in this life.
    read: Mutex<BTreeMap<String, u64>>,
}

/// Counters of the server that must move.
const COUNTERS: [&str; 7] = [
    "store_bodies_deleted_total",
    "store_collected_bytes_total",
    "store_moved_bytes_total",
    "store_segments_freed_total",
    "store_index_flushes_total",
    "store_index_compactions_total",
    "store_replayed_total",
];

impl Tally {
    pub fn add(&self, what: &str, n: u64) {
        *lock(&self.counts).entry(what.to_owned()).or_default() += n;
    }

    pub fn of(&self, what: &str) -> u64 {
        lock(&self.counts).get(what).copied().unwrap_or(0)
    }

    /// With what the server's counters said last, in the life that goes on.
    pub fn so_far(&self, what: &str) -> u64 {
        self.of(what) + lock(&self.read).get(what).copied().unwrap_or(0)
    }

    pub fn changed(&self, change: &Change) {
        let (what, messages) = match change {
            Change::Store { uids, .. } => ("STORE", uids.len()),
            Change::Expunge { uids, .. } => ("EXPUNGE", uids.len()),
            Change::Copy { uids, .. } => ("COPY", uids.len()),
            Change::Move { uids, .. } => ("MOVE", uids.len()),
            Change::Append { .. } => ("APPEND", 1),
        };
        self.add(what, 1);
        self.add(&format!("{what}, messages"), messages as u64);
    }

    /// Reads the server's counters.
    pub fn read_metrics(&self, addr: &str) -> Result<()> {
        let mut stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let mut read = lock(&self.read);
        for line in text.lines() {
            if let Some((name, value)) = line.split_once(' ')
                && let Some(name) = name.strip_prefix("posthouse_")
                && COUNTERS.contains(&name)
            {
                read.insert(name.to_owned(), value.trim().parse()?);
            }
        }
        Ok(())
    }

    /// The server died: what its counters last said is what counts.
    pub fn end_life(&self) {
        for (name, value) in std::mem::take(&mut *lock(&self.read)) {
            self.add(&name, value);
        }
    }

    /// Everything happened often enough over so many kills.
    pub fn check(&self, kills: u64) -> Result<()> {
        for (what, count) in lock(&self.counts).iter() {
            eprintln!("{count:>9} {what}");
        }
        let each = |what: &str, least: u64| -> Result<()> {
            let count = self.of(what);
            ensure!(count >= least, "{what}: {count} times, of {least} at least");
            Ok(())
        };
        each("deliveries", 10 * kills)?;
        for what in ["STORE", "EXPUNGE", "COPY", "MOVE", "APPEND"] {
            each(what, kills)?;
        }
        // A kill that comes between two commands proves little.
        each("changes under way at a kill", kills)?;
        each("deliveries under way at a kill", kills)?;
        each("backups that were cut", kills.div_ceil(8))?;
        each("backups", kills.div_ceil(8))?;
        each("logs that were cut", kills.div_ceil(8))?;
        each("store_bodies_deleted_total", kills)?;
        each("store_segments_freed_total", kills.div_ceil(16))?;
        // A few short lives may free only segments in which nothing lives.
        each("store_moved_bytes_total", 100_000 * (kills / 50))?;
        each("store_index_flushes_total", kills.div_ceil(16))?;
        // Sixteen flushes make one.
        each("store_index_compactions_total", kills / 100)?;
        each("store_replayed_total", 10 * kills)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
