//! Sending: SMTP, LMTP, submission, and relay to a sink.

use crate::Common;
use crate::line::Line;
use crate::meter::{Meter, Report};
use anyhow::{Context as _, Result, ensure};
use clap::Args;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Options of `deliver`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Deliver {
    /// Speak LMTP.
    #[arg(long)]
    lmtp: bool,
    /// Log in before sending (AUTH PLAIN, without TLS).
    #[arg(long)]
    auth: bool,
    /// The envelope sender.
    #[arg(long, default_value = "load@far.test")]
    from: String,
    /// Folders that hold a server's queue: the work is done when they hold no
    /// more files, not when the last message was taken.
    #[arg(long)]
    queue: Vec<std::path::PathBuf>,
    /// Recipients; `{n}` is a number below `--users`. Defaults to `--user`.
    #[arg(long)]
    to: Option<String>,
}

/// Options of `relay`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Relay {
    /// Where the sink listens.
    #[arg(long, default_value = "127.0.0.1:2625")]
    sink: String,
    #[command(flatten)]
    deliver: Deliver,
}

pub(crate) async fn deliver(common: Common, work: Deliver) -> Result<Report> {
    let meter = Meter::start(&common.pids)?;
    let (latencies, bytes) = send_all(&common, &work).await?;
    let limit = Instant::now() + Duration::from_secs(300);
    while work.queue.iter().any(|folder| holds_files(folder)) {
        ensure!(Instant::now() < limit, "the queue does not get empty");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    meter.report("deliver", latencies, bytes)
}

fn holds_files(folder: &std::path::Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => holds_files(&entry.path()),
        Ok(_) => true,
        Err(_) => false,
    })
}

pub(crate) async fn relay(common: Common, work: Relay) -> Result<Report> {
    let arrived = crate::sink::start(&work.sink).await?;
    let meter = Meter::start(&common.pids)?;
    let (latencies, bytes) = send_all(&common, &work.deliver).await?;
    let limit = Instant::now() + Duration::from_secs(300);
    while arrived.load(Ordering::Relaxed) < common.messages {
        ensure!(
            Instant::now() < limit,
            "only {} messages arrived",
            arrived.load(Ordering::Relaxed)
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    meter.report("relay", latencies, bytes)
}

async fn send_all(common: &Common, work: &Deliver) -> Result<(Vec<Duration>, u64)> {
    let next = Arc::new(AtomicU64::new(0));
    let bodies = Bodies::new(common.size);
    let tasks: Vec<_> = (0..common.connections)
        .map(|_| {
            tokio::spawn(connection(
                common.clone(),
                work.clone(),
                next.clone(),
                bodies.clone(),
            ))
        })
        .collect();
    let (mut latencies, mut bytes) = (Vec::new(), 0);
    for task in tasks {
        let (some, size) = task.await??;
        latencies.extend(some);
        bytes += size;
    }
    Ok((latencies, bytes))
}

async fn connection(
    common: Common,
    work: Deliver,
    next: Arc<AtomicU64>,
    bodies: Arc<Bodies>,
) -> Result<(Vec<Duration>, u64)> {
    let mut line = Line::connect(&common.addr).await?;
    expect(&mut line, b'2').await?;
    let hello = if work.lmtp { "LHLO" } else { "EHLO" };
    command(&mut line, &format!("{hello} load.test"), b'2').await?;
    if work.auth {
        let secret = format!("\0{}\0{}", common.user(0), common.password);
        command(
            &mut line,
            &format!("AUTH PLAIN {}", wire::base64::encode(secret.as_bytes())),
            b'2',
        )
        .await?;
    }
    let (mut latencies, mut bytes) = (Vec::new(), 0);
    let to = work.to.clone().unwrap_or_else(|| common.user.clone());
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        if n >= common.messages {
            break;
        }
        let rcpt = to.replace("{n}", &(n % common.users.max(1) as u64).to_string());
        let text = bodies.message(n, common.size, &work.from, &rcpt);
        let start = Instant::now();
        command(&mut line, &format!("MAIL FROM:<{}>", work.from), b'2').await?;
        command(&mut line, &format!("RCPT TO:<{rcpt}>"), b'2').await?;
        command(&mut line, "DATA", b'3').await?;
        line.send(&text).await?;
        expect(&mut line, b'2').await?;
        latencies.push(start.elapsed());
        bytes += text.len() as u64;
    }
    line.send(b"QUIT\r\n").await?;
    Ok((latencies, bytes))
}

/// Bodies unlike each other: pieces of random text, cut at random lines, so
/// that a server can neither share nor shrink them and making them costs little.
#[derive(Debug)]
pub(crate) struct Bodies {
    text: Vec<u8>,
}

const LINE: usize = 78;

impl Bodies {
    pub(crate) fn new(size: usize) -> Arc<Self> {
        let mut random = fastrand::Rng::new();
        let mut text = Vec::new();
        while text.len() < 1 << 20 || text.len() < 2 * (size + LINE) {
            text.extend((0..LINE - 2).map(|_| random.alphanumeric() as u8));
            text.extend_from_slice(b"\r\n");
        }
        Arc::new(Self { text })
    }

    /// A message with a body of about `size` octets, ended by the dot of SMTP.
    pub(crate) fn message(&self, n: u64, size: usize, from: &str, to: &str) -> Vec<u8> {
        let mut text = format!(
            "Date: Wed, 25 Nov 2026 10:00:00 +0000\r\nFrom: <{from}>\r\nTo: <{to}>\r\nSubject: load {n}\r\n\
             Message-ID: <{n}.{:x}@load.test>\r\n\r\n",
            fastrand::u64(..)
        )
        .into_bytes();
        let lines = size.div_ceil(LINE);
        let last = self.text.len() / LINE - lines;
        let start = fastrand::usize(..=last) * LINE;
        text.extend_from_slice(&self.text[start..start + lines * LINE]);
        text.extend_from_slice(b".\r\n");
        text
    }
}

async fn command(line: &mut Line, text: &str, class: u8) -> Result<()> {
    line.send(format!("{text}\r\n").as_bytes()).await?;
    expect(line, class).await.with_context(|| text.to_owned())
}

/// Reads one reply, of one line or many.
async fn expect(line: &mut Line, class: u8) -> Result<()> {
    loop {
        let text = line.line().await?;
        ensure!(
            text.first() == Some(&class),
            "{}",
            String::from_utf8_lossy(text)
        );
        if text.get(3) != Some(&b'-') {
            return Ok(());
        }
    }
}
