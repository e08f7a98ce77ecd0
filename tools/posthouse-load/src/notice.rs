//! How soon a session in IDLE is told of a message, among many that wait for others.

use crate::Common;
use crate::imap::Session;
use crate::line::Line;
use crate::meter::{Meter, Report};
use crate::smtp::{command, expect};
use anyhow::{Context as _, Result};
use clap::Args;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Options of `notice`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Notice {
    /// Where messages are given to, as `ip:port`; by LMTP.
    #[arg(long)]
    lmtp: String,
    /// By SMTP instead.
    #[arg(long)]
    smtp: bool,
}

/// How long nothing happens between two messages.
const PAUSE: Duration = Duration::from_millis(10);

/// How long it may take until the session is told.
const TOLD_WITHIN: Duration = Duration::from_secs(90);

/// The first user watches and gets `--messages` messages; `--connections` sessions of the others wait.
/// Latencies are from the server's 250 to the client's EXISTS, the delay from the message's end.
pub(crate) async fn notice(common: Common, work: Notice) -> Result<Report> {
    let mut others = Vec::new();
    for n in 0..common.connections as u64 {
        let user = 1 + n % (common.users as u64 - 1).max(1);
        others.push(Session::idle(&common, user, None).await?);
    }
    let mut watcher = Session::idle(&common, 0, None).await?;
    let (told, mut heard) = mpsc::unbounded_channel();
    let reader = tokio::spawn(async move {
        while let Ok(line) = watcher.line().await {
            if line.ends_with(b" EXISTS\r\n") && told.send(Instant::now()).is_err() {
                break;
            }
        }
    });
    let mut line = Line::connect(&work.lmtp).await?;
    expect(&mut line, b'2').await?;
    let hello = if work.smtp { "EHLO" } else { "LHLO" };
    command(&mut line, &format!("{hello} load.test"), b'2').await?;
    let meter = Meter::start(&common.pids)?;
    let (mut latencies, mut delays) = (Vec::new(), Vec::new());
    for n in 0..common.messages {
        tokio::time::sleep(PAUSE).await;
        command(&mut line, "MAIL FROM:<load@far.test>", b'2').await?;
        command(&mut line, &format!("RCPT TO:<{}>", common.user(0)), b'2').await?;
        command(&mut line, "DATA", b'3').await?;
        let sent = Instant::now();
        command(
            &mut line,
            &format!("Subject: notice {n}\r\n\r\nhere\r\n."),
            b'2',
        )
        .await?;
        let accepted = Instant::now();
        let seen = tokio::time::timeout(TOLD_WITHIN, heard.recv()).await;
        let seen = seen
            .context("the session is not told")?
            .context("the session ended")?;
        // Who is told before the client is answered is told at once.
        latencies.push(seen.saturating_duration_since(accepted));
        delays.push(seen.saturating_duration_since(sent));
    }
    reader.abort();
    delays.sort_unstable();
    let middle = delays.get(delays.len() / 2).map(Duration::as_secs_f64);
    let mut report = meter.report("notice", latencies, 0)?;
    report.delay_p50_ms = middle.map(|seconds| seconds * 1000.0);
    drop(others);
    Ok(report)
}
