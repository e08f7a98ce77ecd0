//! Reading and appending by IMAP, and idle sessions.

use crate::Common;
use crate::line::Line;
use crate::meter::{Meter, Report};
use crate::smtp::Bodies;
use crate::tls::Tls;
use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Options of `fetch`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Fetch {
    /// What to fetch, as in FETCH.
    #[arg(long, default_value = "(BODY.PEEK[])")]
    items: String,
}

/// Options of `search`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Search {
    /// The criteria, as in SEARCH.
    #[arg(long, default_value = "SUBJECT \"load 77\"")]
    criteria: String,
}

/// Options of `repeat`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Repeat {
    /// Commands after the login, once.
    #[arg(long)]
    setup: Vec<String>,
    /// Commands before each timed round; what they cost is left out.
    #[arg(long)]
    before: Vec<String>,
    /// The commands of a round.
    #[arg(long)]
    command: Vec<String>,
    /// Waits until the server is at rest before each round, so that nobody pays
    /// for what came before, and after it, so that its CPU counts what it left
    /// to be done.
    #[arg(long, requires = "before")]
    rest: bool,
    /// Each round is a session of its own: connecting and the login count.
    #[arg(long, conflicts_with_all = ["setup", "before"])]
    fresh: bool,
}

/// Runs commands `--messages` times; the latencies are those of whole rounds.
pub(crate) async fn repeat(common: Common, work: Repeat) -> Result<Report> {
    let mut kept = None;
    if !work.fresh {
        let mut session = Session::login(&common, 0).await?;
        for command in &work.setup {
            session.command(command).await?;
        }
        kept = Some(session);
    }
    let mut meter = Meter::start(&common.pids)?;
    let (mut latencies, mut octets) = (Vec::new(), 0);
    // A process that ends with its session could do so between two looks at its
    // tree, and its time would count nowhere.
    let mut done = Vec::new();
    for _ in 0..common.messages {
        if let Some(session) = &mut kept
            && !work.before.is_empty()
        {
            let paused = meter.pause()?;
            for command in &work.before {
                session.command(command).await?;
            }
            if work.rest {
                meter.wait_for_rest().await?;
            }
            meter.go_on(&paused)?;
        }
        let start = Instant::now();
        let mut session = match kept.take() {
            Some(session) => session,
            None => Session::login(&common, 0).await?,
        };
        for command in &work.command {
            octets += session.command(command).await?.1;
        }
        latencies.push(start.elapsed());
        if work.rest {
            meter.see_it_rest().await?;
        }
        if work.fresh {
            done.push(session);
        } else {
            kept = Some(session);
        }
    }
    let rounds = latencies.len().max(1) as f64;
    let mut report = meter.report("repeat", latencies, 0)?;
    report.octets_per_round = Some(octets as f64 / rounds);
    Ok(report)
}

/// Fetches `1:*` as often as it takes to see `--messages` messages; the login is left out.
pub(crate) async fn fetch(common: Common, work: Fetch) -> Result<Report> {
    let command = format!("UID FETCH 1:* {}", work.items);
    let mut session = Session::login(&common, 0).await?;
    session.command("EXAMINE INBOX").await?;
    let meter = Meter::start(&common.pids)?;
    let start = Instant::now();
    let (mut seen, mut bytes) = (0, 0);
    while seen < common.messages {
        let (lines, octets) = session.command(&command).await?;
        ensure!(lines > 0, "INBOX is empty");
        seen += lines;
        bytes += octets;
    }
    let elapsed = start.elapsed();
    let each = elapsed / u32::try_from(seen).unwrap_or(u32::MAX).max(1);
    let mut report = meter.report("fetch", vec![each; usize::try_from(seen)?], bytes)?;
    report.mb_per_second = Some(bytes as f64 / 1e6 / elapsed.as_secs_f64());
    Ok(report)
}

pub(crate) async fn search(common: Common, work: Search) -> Result<Report> {
    let mut session = Session::login(&common, 0).await?;
    session.command("EXAMINE INBOX").await?;
    let meter = Meter::start(&common.pids)?;
    let mut latencies = Vec::new();
    for _ in 0..common.messages {
        let start = Instant::now();
        session
            .command(&format!("SEARCH {}", work.criteria))
            .await?;
        latencies.push(start.elapsed());
    }
    meter.report("search", latencies, 0)
}

pub(crate) async fn append(common: Common) -> Result<Report> {
    let next = Arc::new(AtomicU64::new(0));
    let bodies = Bodies::new(&common, Instant::now());
    let meter = Meter::start(&common.pids)?;
    let tasks: Vec<_> = (0..common.connections)
        .map(|n| {
            tokio::spawn(append_some(
                common.clone(),
                n as u64,
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
    meter.report("append", latencies, bytes)
}

async fn append_some(
    common: Common,
    n: u64,
    next: Arc<AtomicU64>,
    bodies: Arc<Bodies>,
) -> Result<(Vec<Duration>, u64)> {
    let mut session = Session::login(&common, n).await?;
    let (mut latencies, mut bytes) = (Vec::new(), 0);
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        if n >= common.messages {
            return Ok((latencies, bytes));
        }
        let text = bodies.message(n, common.size, "load@far.test", &common.user(n));
        // Without the final dot of SMTP.
        let text = text.strip_suffix(b".\r\n").unwrap_or(&text);
        let start = Instant::now();
        session.append(text).await?;
        latencies.push(start.elapsed());
        bytes += text.len() as u64;
    }
}

pub(crate) struct Session {
    line: Line,
    tag: u64,
}

impl Session {
    /// A session that waits in IDLE.
    pub(crate) async fn idle(common: &Common, n: u64, tls: Option<&Tls>) -> Result<Line> {
        let mut session = Self::login_over(common, n, tls).await?;
        session.command("SELECT INBOX").await?;
        session.line.send(b"i IDLE\r\n").await?;
        while !session.line.line().await?.starts_with(b"+") {}
        Ok(session.line)
    }

    async fn login(common: &Common, n: u64) -> Result<Self> {
        Self::login_over(common, n, None).await
    }

    /// The same, with TLS from the first octet if there is any.
    pub(crate) async fn login_over(common: &Common, n: u64, tls: Option<&Tls>) -> Result<Self> {
        let mut line = match tls {
            Some(tls) => Line::connect_tls(&common.addr, tls).await?,
            None => Line::connect(&common.addr).await?,
        };
        line.line().await?;
        let mut this = Self { line, tag: 0 };
        this.command(&format!(
            "LOGIN \"{}\" \"{}\"",
            common.user(n),
            common.password
        ))
        .await?;
        Ok(this)
    }

    /// Runs a command; gives how many FETCH responses came and their octets.
    pub(crate) async fn command(&mut self, text: &str) -> Result<(u64, u64)> {
        self.tag += 1;
        let tag = format!("a{} ", self.tag);
        self.line
            .send(format!("{tag}{text}\r\n").as_bytes())
            .await?;
        self.until(&tag).await.with_context(|| text.to_owned())
    }

    async fn append(&mut self, message: &[u8]) -> Result<()> {
        self.tag += 1;
        let tag = format!("a{} ", self.tag);
        let mut all = format!("{tag}APPEND INBOX {{{}+}}\r\n", message.len()).into_bytes();
        all.extend_from_slice(message);
        all.extend_from_slice(b"\r\n");
        self.line.send(&all).await?;
        self.until(&tag).await.map(drop)
    }

    async fn until(&mut self, tag: &str) -> Result<(u64, u64)> {
        let (mut fetched, mut octets) = (0, 0);
        let mut in_response = false;
        loop {
            let line = self.line.line().await?;
            octets += line.len() as u64;
            if !in_response {
                if let Some(rest) = line.strip_prefix(tag.as_bytes()) {
                    if !rest.starts_with(b"OK") {
                        bail!("{}", String::from_utf8_lossy(rest));
                    }
                    return Ok((fetched, octets));
                }
                fetched += u64::from(line.windows(7).take(32).any(|w| w == b" FETCH "));
            }
            let literal = line
                .strip_suffix(b"}\r\n")
                .and_then(|l| l.rsplit(|&b| b == b'{').next())
                .and_then(|n| std::str::from_utf8(n).ok()?.parse::<u64>().ok());
            in_response = literal.is_some();
            if let Some(len) = literal {
                octets += len;
                self.line.skip(len).await?;
            }
        }
    }
}
