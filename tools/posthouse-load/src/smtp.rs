//! Sending: SMTP, LMTP, submission, and relay to a sink.

use crate::Common;
use crate::line::Line;
use crate::meter::{Meter, Report};
use crate::tls::Tls;
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
    /// Log in before sending (AUTH PLAIN).
    #[arg(long)]
    auth: bool,
    /// TLS from the first octet, with X25519.
    #[arg(long)]
    tls: bool,
    /// The same with what new clients prefer.
    #[arg(long)]
    post_quantum: bool,
    /// A connection of its own for each message; all of it counts.
    #[arg(long)]
    fresh: bool,
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
    /// So many other clients are in the middle of a message meanwhile, and send
    /// an octet of it every ten seconds.
    #[arg(long, default_value_t = 0)]
    slow: usize,
}

/// Options of `refuse`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Refuse {
    /// The domain whose users are guessed.
    #[arg(long, default_value = "demo.test")]
    domain: String,
}

/// Guesses of a session.
const GUESSES: u64 = 10;

/// How long a slow client is silent.
const SLOW_PAUSE: Duration = Duration::from_secs(10);

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
    let slow = slow_ones(&common, &work).await?;
    let trickle = tokio::spawn(trickle(slow));
    let meter = Meter::start(&common.pids)?;
    let (latencies, bytes) = send_all(&common, &work, Instant::now()).await?;
    let limit = Instant::now() + Duration::from_secs(300);
    while work.queue.iter().any(|folder| holds_files(folder)) {
        ensure!(Instant::now() < limit, "the queue does not get empty");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    ensure!(!trickle.is_finished(), "the slow ones were not served");
    trickle.abort();
    meter.report("deliver", latencies, bytes)
}

/// Clients that have begun a message.
async fn slow_ones(common: &Common, work: &Deliver) -> Result<Vec<Line>> {
    let to = work.to.as_ref().unwrap_or(&common.user).replace("{n}", "0");
    let mut lines = Vec::new();
    for _ in 0..work.slow {
        let mut line = Line::connect(&common.addr).await?;
        expect(&mut line, b'2').await?;
        command(&mut line, "EHLO slow.test", b'2').await?;
        command(&mut line, &format!("MAIL FROM:<{}>", work.from), b'2').await?;
        command(&mut line, &format!("RCPT TO:<{to}>"), b'2').await?;
        command(&mut line, "DATA", b'3').await?;
        line.send(b"Subject: slow\r\n\r\n").await?;
        lines.push(line);
    }
    Ok(lines)
}

/// Sends an octet of each in turn, for ever; ends when one cannot be sent.
async fn trickle(mut lines: Vec<Line>) {
    let pause = SLOW_PAUSE / u32::try_from(lines.len()).unwrap_or(u32::MAX).max(1);
    let mut tick = tokio::time::interval(pause.max(Duration::from_micros(100)));
    loop {
        tick.tick().await;
        let Some(mut line) = lines.pop() else {
            std::future::pending::<()>().await;
            return;
        };
        if line.send(b"x").await.is_err() {
            return;
        }
        lines.insert(0, line);
    }
}

/// Sessions that guess recipients, ten each; counts what is refused.
pub(crate) async fn refuse(common: Common, work: Refuse) -> Result<Report> {
    let next = Arc::new(AtomicU64::new(0));
    let meter = Meter::start(&common.pids)?;
    let tasks: Vec<_> = (0..common.connections)
        .map(|_| tokio::spawn(guess(common.clone(), work.clone(), next.clone())))
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    meter.report("refuse", latencies, 0)
}

async fn guess(common: Common, work: Refuse, next: Arc<AtomicU64>) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    loop {
        let first = next.fetch_add(GUESSES, Ordering::Relaxed);
        if first >= common.messages {
            return Ok(latencies);
        }
        let mut line = Line::connect(&common.addr).await?;
        expect(&mut line, b'2').await?;
        command(&mut line, "EHLO load.test", b'2').await?;
        command(&mut line, "MAIL FROM:<load@far.test>", b'2').await?;
        for n in first..first + GUESSES {
            let start = Instant::now();
            let rcpt = format!("RCPT TO:<nobody{n}@{}>", work.domain);
            command(&mut line, &rcpt, b'5').await?;
            latencies.push(start.elapsed());
        }
        command(&mut line, "QUIT", b'2').await?;
    }
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
    let epoch = Instant::now();
    let sink = crate::sink::start(&work.sink, epoch).await?;
    let meter = Meter::start(&common.pids)?;
    let (latencies, bytes) = send_all(&common, &work.deliver, epoch).await?;
    let limit = Instant::now() + Duration::from_secs(300);
    loop {
        let arrived = sink.count.load(Ordering::Relaxed);
        if arrived >= common.messages {
            break;
        }
        ensure!(Instant::now() < limit, "only {arrived} messages arrived");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut report = meter.report("relay", latencies, bytes)?;
    let mut delays = sink.delays();
    delays.sort_unstable();
    let middle = delays.get(delays.len() / 2);
    report.delay_p50_ms = middle.map(|delay| delay.as_secs_f64() * 1000.0);
    Ok(report)
}

async fn send_all(common: &Common, work: &Deliver, epoch: Instant) -> Result<(Vec<Duration>, u64)> {
    let next = Arc::new(AtomicU64::new(0));
    let bodies = Bodies::new(common, epoch);
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
    let tls = Tls::new(work.post_quantum)?;
    let mut kept = None;
    if !work.fresh {
        kept = Some(begin(&common, &work, &tls).await?);
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
        let mut line = match kept.take() {
            Some(line) => line,
            None => begin(&common, &work, &tls).await?,
        };
        command(&mut line, &format!("MAIL FROM:<{}>", work.from), b'2').await?;
        command(&mut line, &format!("RCPT TO:<{rcpt}>"), b'2').await?;
        command(&mut line, "DATA", b'3').await?;
        line.send(&text).await?;
        expect(&mut line, b'2').await?;
        if work.fresh {
            command(&mut line, "QUIT", b'2').await?;
        } else {
            kept = Some(line);
        }
        latencies.push(start.elapsed());
        bytes += text.len() as u64;
    }
    if let Some(mut line) = kept {
        line.send(b"QUIT\r\n").await?;
    }
    Ok((latencies, bytes))
}

/// A connection that is ready for a message.
async fn begin(common: &Common, work: &Deliver, tls: &Tls) -> Result<Line> {
    let mut line = if work.tls || work.post_quantum {
        Line::connect_tls(&common.addr, tls).await?
    } else {
        Line::connect(&common.addr).await?
    };
    expect(&mut line, b'2').await?;
    let hello = if work.lmtp { "LHLO" } else { "EHLO" };
    command(&mut line, &format!("{hello} load.test"), b'2').await?;
    if work.auth {
        let secret = format!("\0{}\0{}", common.user(0), common.password);
        let secret = wire::base64::encode(secret.as_bytes());
        command(&mut line, &format!("AUTH PLAIN {secret}"), b'2').await?;
    }
    Ok(line)
}

/// Bodies unlike each other: pieces of random text, cut at random lines, so
/// that a server can neither share nor shrink them and making them costs little.
#[derive(Debug)]
pub(crate) struct Bodies {
    text: Vec<u8>,
    epoch: Instant,
    /// What ids of messages have, that no other run's do.
    run: u64,
    /// Of how many messages a conversation is made.
    conversation: u64,
}

const LINE: usize = 78;

impl Bodies {
    pub(crate) fn new(common: &Common, epoch: Instant) -> Arc<Self> {
        let size = common.size;
        let mut random = fastrand::Rng::new();
        let mut text = Vec::new();
        while text.len() < 1 << 20 || text.len() < 2 * (size + LINE) {
            text.extend((0..LINE - 2).map(|_| random.alphanumeric() as u8));
            text.extend_from_slice(b"\r\n");
        }
        Arc::new(Self {
            text,
            epoch,
            run: fastrand::u64(..),
            conversation: common.conversation.max(1),
        })
    }

    /// A message with a body of about `size` octets, ended by the dot of SMTP.
    pub(crate) fn message(&self, n: u64, size: usize, from: &str, to: &str) -> Vec<u8> {
        let id = |n: u64| format!("<{n}.{:x}@load.test>", self.run);
        let first = n - n % self.conversation;
        let (mut subject, mut answers) = (format!("load {n}"), String::new());
        if n > first {
            subject = format!("Re: load {first}");
            let before: Vec<String> = (first..n).map(id).collect();
            answers = format!(
                "In-Reply-To: {}\r\nReferences: {}\r\n",
                id(n - 1),
                before.join("\r\n ")
            );
        }
        let mut text = format!(
            "Date: Wed, 25 Nov 2026 10:{:02}:{:02} +0000\r\nFrom: <{from}>\r\nTo: <{to}>\r\nSubject: {subject}\r\n\
             Message-ID: {}\r\n{answers}X-Sent: {}\r\n\r\n",
            n / 60 % 60,
            n % 60,
            id(n),
            self.epoch.elapsed().as_micros()
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

pub(crate) async fn command(line: &mut Line, text: &str, class: u8) -> Result<()> {
    line.send(format!("{text}\r\n").as_bytes()).await?;
    expect(line, class).await.with_context(|| text.to_owned())
}

/// Reads one reply, of one line or many.
pub(crate) async fn expect(line: &mut Line, class: u8) -> Result<()> {
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
