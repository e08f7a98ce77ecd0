//! Latencies, and what a server's process trees spent meanwhile, from /proc.

use anyhow::Result;
use serde::Serialize;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What one run measured; see the README's table for units.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) work: &'static str,
    pub(crate) messages: u64,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// User and system time of the whole trees per 1,000 messages.
    pub(crate) cpu_s_per_1000: f64,
    /// Bytes that reached the block layer per byte of message.
    pub(crate) written_per_byte: f64,
    /// Bytes that reached the block layer per message.
    pub(crate) written_per_message: f64,
    pub(crate) resident_kb: u64,
    /// Share of the machine's time that other guests took; runs with much are worthless.
    pub(crate) stolen: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kb_per_session: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mb_per_second: Option<f64>,
    /// From the first word of a message to its arrival at the sink, in the middle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delay_p50_ms: Option<f64>,
    /// What the server said in a round of commands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) octets_per_round: Option<f64>,
}

/// A measurement under way.
#[derive(Debug)]
pub(crate) struct Meter {
    pids: Vec<u32>,
    start: Instant,
    before: Spent,
    left_out_ns: u64,
}

/// A measurement that stands still.
#[derive(Debug)]
pub(crate) struct Paused {
    since: Instant,
    spent: Spent,
}

/// What process trees have used since they began.
#[derive(Debug, Default)]
pub(crate) struct Spent {
    /// User and system time, of what ended too, but coarse.
    cpu_ticks: u64,
    /// The part of children that were waited for.
    reaped_ticks: u64,
    /// The same of each thread that runs, by process and thread.
    threads_ns: HashMap<(u32, u32), u64>,
    written: u64,
    pub(crate) resident_kb: u64,
    stolen: u64,
    total: u64,
}

const NS_PER_TICK: u64 = 10_000_000;

/// By how many the sum over a tree of processes may be off for its coarseness.
const TICKS_OFF: u64 = 5;

/// How long it is waited for a server's rest, how often that is looked at, and
/// what CPU it may use meanwhile.
const REST_WAIT_MAX: Duration = Duration::from_secs(2);
const REST_LOOK: Duration = Duration::from_millis(10);
const REST_CPU_NS: u64 = 500_000;

impl Meter {
    pub(crate) fn start(pids: &[u32]) -> Result<Self> {
        Ok(Self {
            pids: pids.to_vec(),
            before: spent(pids)?,
            left_out_ns: 0,
            start: Instant::now(),
        })
    }

    pub(crate) fn resident_kb(&self) -> u64 {
        self.before.resident_kb
    }

    /// What comes until [`Meter::go_on`] does not count.
    pub(crate) fn pause(&self) -> Result<Paused> {
        Ok(Paused {
            since: Instant::now(),
            spent: spent(&self.pids)?,
        })
    }

    /// Counts again.
    pub(crate) fn go_on(&mut self, paused: &Paused) -> Result<()> {
        let now = spent(&self.pids)?;
        self.left_out_ns += now.cpu_ns_since(&paused.spent);
        self.before.written += now.written.saturating_sub(paused.spent.written);
        self.start += paused.since.elapsed();
        Ok(())
    }

    /// Waits until the server is at rest, or [`REST_WAIT_MAX`].
    pub(crate) async fn wait_for_rest(&self) -> Result<()> {
        let begun = Instant::now();
        let mut last = spent(&self.pids)?;
        while begun.elapsed() < REST_WAIT_MAX {
            tokio::time::sleep(REST_LOOK).await;
            let now = spent(&self.pids)?;
            if now.cpu_ns_since(&last) < REST_CPU_NS {
                break;
            }
            last = now;
        }
        Ok(())
    }

    /// The same after a round: the wait is none of its time, but the CPU that
    /// the server still used counts.
    pub(crate) async fn see_it_rest(&mut self) -> Result<()> {
        let begun = Instant::now();
        self.wait_for_rest().await?;
        self.start += begun.elapsed();
        Ok(())
    }

    /// Ends the measurement; `bytes` is what the messages had in all.
    pub(crate) fn report(
        self,
        work: &'static str,
        mut latencies: Vec<Duration>,
        bytes: u64,
    ) -> Result<Report> {
        let seconds = self.start.elapsed().as_secs_f64();
        let after = spent(&self.pids)?;
        latencies.sort_unstable();
        let messages = latencies.len() as u64;
        let at = |share: f64| {
            let index =
                ((latencies.len() as f64 * share) as usize).min(latencies.len().saturating_sub(1));
            latencies
                .get(index)
                .map_or(0.0, |d| d.as_secs_f64() * 1000.0)
        };
        let cpu_ns = after
            .cpu_ns_since(&self.before)
            .saturating_sub(self.left_out_ns);
        let cpu = cpu_ns as f64 / 1e9;
        let written = after.written.saturating_sub(self.before.written);
        let total = (after.total - self.before.total).max(1);
        Ok(Report {
            work,
            messages,
            seconds,
            per_second: messages as f64 / seconds,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            cpu_s_per_1000: cpu * 1000.0 / messages.max(1) as f64,
            written_per_byte: written as f64 / bytes.max(1) as f64,
            written_per_message: written as f64 / messages.max(1) as f64,
            resident_kb: after.resident_kb,
            stolen: (after.stolen - self.before.stolen) as f64 / total as f64,
            kb_per_session: None,
            mb_per_second: None,
            delay_p50_ms: None,
            octets_per_round: None,
        })
    }
}

impl Spent {
    /// The threads' own count, for ticks of 10 ms are too coarse for work of a few
    /// milliseconds. It misses threads that ended meanwhile; when that shows in
    /// the ticks, those count.
    fn cpu_ns_since(&self, before: &Self) -> u64 {
        let used: u64 = self.threads_ns.values().sum();
        let lives = |pid: u32| self.threads_ns.contains_key(&(pid, pid));
        // An ended thread of a living process is in neither sum; an ended process
        // is in the reaped ticks, with all that it had used before.
        let had: u64 = before
            .threads_ns
            .iter()
            .filter(|((pid, thread), _)| {
                self.threads_ns.contains_key(&(*pid, *thread)) || !lives(*pid)
            })
            .map(|(_, ns)| ns)
            .sum();
        let reaped = self.reaped_ticks.saturating_sub(before.reaped_ticks) * NS_PER_TICK;
        let fine = (used + reaped).saturating_sub(had);
        let coarse = self.cpu_ticks.saturating_sub(before.cpu_ticks) * NS_PER_TICK;
        if coarse > fine + TICKS_OFF * NS_PER_TICK {
            coarse
        } else {
            fine
        }
    }
}

/// Sums over the trees below `pids`, reaped children included.
pub(crate) fn spent(pids: &[u32]) -> Result<Spent> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let mut ticks: HashMap<u32, (u64, u64)> = HashMap::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|n| n.parse::<u32>().ok())
        else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        // The name may hold spaces and parentheses; the fields follow its end.
        let Some((_, rest)) = stat.rsplit_once(')') else {
            continue;
        };
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |n: usize| {
            fields
                .get(n)
                .and_then(|f| f.parse::<u64>().ok())
                .unwrap_or(0)
        };
        children.entry(number(1) as u32).or_default().push(pid);
        ticks.insert(pid, (number(11) + number(12), number(13) + number(14)));
    }
    let mut sum = Spent::default();
    let mut todo = pids.to_vec();
    while let Some(pid) = todo.pop() {
        let (own, reaped) = ticks.get(&pid).copied().unwrap_or((0, 0));
        sum.cpu_ticks += own + reaped;
        sum.reaped_ticks += reaped;
        read_threads(pid, &mut sum.threads_ns);
        sum.written += field(pid, "io", "write_bytes:");
        sum.resident_kb += field(pid, "status", "VmRSS:");
        todo.extend(children.get(&pid).into_iter().flatten());
    }
    let stat = std::fs::read_to_string("/proc/stat")?;
    let cpu: Vec<u64> = stat
        .lines()
        .next()
        .unwrap_or("")
        .split_whitespace()
        .skip(1)
        .filter_map(|f| f.parse().ok())
        .collect();
    sum.stolen = cpu.get(7).copied().unwrap_or(0);
    sum.total = cpu.iter().take(8).sum();
    Ok(sum)
}

fn read_threads(pid: u32, all: &mut HashMap<(u32, u32), u64>) {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return;
    };
    for thread in threads.flatten() {
        let id = thread.file_name().to_str().and_then(|n| n.parse().ok());
        let ns = std::fs::read_to_string(thread.path().join("schedstat"))
            .ok()
            .and_then(|text| text.split_whitespace().next()?.parse().ok());
        if let (Some(id), Some(ns)) = (id, ns) {
            all.insert((pid, id), ns);
        }
    }
}

fn field(pid: u32, file: &str, name: &str) -> u64 {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/{file}")) else {
        return 0;
    };
    let line = text.lines().find_map(|l| l.strip_prefix(name));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
