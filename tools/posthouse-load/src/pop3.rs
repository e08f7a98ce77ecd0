//! Reading by POP3.

use crate::Common;
use crate::line::Line;
use crate::meter::{Meter, Report};
use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use std::time::{Duration, Instant};

/// Options of `retrieve`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Retrieve {
    /// How many commands are under way at most (RFC 2449 §6.6); one waits for each answer.
    #[arg(long, default_value_t = 1)]
    pipelined: u64,
}

/// Retrieves messages from the first on, again and again, `--messages` in all; the login is left out.
pub(crate) async fn retrieve(common: Common, work: Retrieve) -> Result<Report> {
    let mut line = Line::connect_alone(&common.addr).await?;
    answer(&mut line).await?;
    for text in [
        format!("USER {}", common.user(0)),
        format!("PASS {}", common.password),
    ] {
        line.send(format!("{text}\r\n").as_bytes()).await?;
        answer(&mut line).await?;
    }
    line.send(b"STAT\r\n").await?;
    let stat = answer(&mut line).await?;
    let there: u64 = stat
        .split(' ')
        .nth(1)
        .and_then(|n| n.parse().ok())
        .context("no count in STAT")?;
    ensure!(there > 0, "the maildrop is empty");
    let meter = Meter::start(&common.pids)?;
    let start = Instant::now();
    let (mut asked, mut got, mut bytes) = (0, 0, 0);
    let mut latencies = Vec::new();
    while got < common.messages {
        let since = Instant::now();
        // Half a window at a time, so that there are always some under way.
        if asked - got <= work.pipelined / 2 {
            let until = (got + work.pipelined).min(common.messages);
            let commands: String = (asked..until)
                .map(|n| format!("RETR {}\r\n", n % there + 1))
                .collect();
            line.send(commands.as_bytes()).await?;
            asked = until;
        }
        answer(&mut line).await?;
        bytes += line.skip_message().await?;
        got += 1;
        latencies.push(since.elapsed());
    }
    let elapsed = start.elapsed();
    let mut report = meter.report("retrieve", latencies, bytes)?;
    report.mb_per_second =
        Some(bytes as f64 / 1e6 / elapsed.max(Duration::from_nanos(1)).as_secs_f64());
    Ok(report)
}

async fn answer(line: &mut Line) -> Result<String> {
    let text = String::from_utf8_lossy(line.line().await?).into_owned();
    if !text.starts_with("+OK") {
        bail!("{text}");
    }
    Ok(text)
}
