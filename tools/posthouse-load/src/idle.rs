//! Sessions in which nothing happens.

use crate::Common;
use crate::imap::Session;
use crate::line::Line;
use crate::meter::{Meter, Report, spent};
use crate::smtp::{command, expect};
use crate::tls::Tls;
use anyhow::Result;
use clap::Args;
use std::time::Duration;

/// Options of `idle`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Idle {
    /// SMTP sessions after EHLO; otherwise IMAP sessions in IDLE.
    #[arg(long)]
    smtp: bool,
    /// IMAP sessions over TLS from the first octet.
    #[arg(long, conflicts_with = "smtp")]
    tls: bool,
}

/// How long the server gets to let go of what the beginning took.
const SETTLE: Duration = Duration::from_secs(3);

/// Opens `--connections` sessions, leaves them alone, and compares memory.
pub(crate) async fn idle(common: Common, work: Idle) -> Result<Report> {
    let tls = work.tls.then(|| Tls::new(false)).transpose()?;
    let meter = Meter::start(&common.pids)?;
    let before = meter.resident_kb();
    let mut sessions = Vec::new();
    for n in 0..common.connections {
        sessions.push(if work.smtp {
            greeted(&common).await?
        } else {
            Session::idle(&common, n as u64, tls.as_ref()).await?
        });
    }
    tokio::time::sleep(SETTLE).await;
    let after = spent(&common.pids)?.resident_kb;
    let mut report = meter.report("idle", vec![Duration::ZERO; sessions.len()], 0)?;
    report.kb_per_session = Some((after as f64 - before as f64) / sessions.len().max(1) as f64);
    Ok(report)
}

async fn greeted(common: &Common) -> Result<Line> {
    let mut line = Line::connect(&common.addr).await?;
    expect(&mut line, b'2').await?;
    command(&mut line, "EHLO idle.test", b'2').await?;
    Ok(line)
}
