//! Sessions that are nothing but a login, and a server that is nothing but a
//! handshake, so that what the login adds to it can be told.

use crate::Common;
use crate::imap::Session;
use crate::line::Line;
use crate::meter::{Meter, Report};
use crate::tls::{self, Tls};
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Options of `login`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Login {
    /// TLS from the first octet, with X25519.
    #[arg(long)]
    tls: bool,
    /// The same with P-256.
    #[arg(long)]
    p256: bool,
    /// Leaves when it was greeted, without a login.
    #[arg(long)]
    greeted: bool,
}

/// Options of `handshakes`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Handshakes {
    /// The certificate, in PEM.
    #[arg(long)]
    certificate: PathBuf,
    /// Its key, in PEM.
    #[arg(long)]
    key: PathBuf,
}

/// `--messages` sessions, `--connections` at a time.
pub(crate) async fn login(common: Common, work: Login) -> Result<Report> {
    let tls = match (work.tls, work.p256) {
        (_, true) => Some(Tls::p256()?),
        (true, false) => Some(Tls::new(false)?),
        (false, false) => None,
    };
    let next = Arc::new(AtomicU64::new(0));
    let mut meter = Meter::start(&common.pids)?;
    let tasks: Vec<_> = (0..common.connections)
        .map(|_| {
            tokio::spawn(some(
                common.clone(),
                work.clone(),
                tls.clone(),
                next.clone(),
            ))
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    // Processes that end with their sessions have been waited for.
    meter.see_it_rest().await?;
    meter.report("login", latencies, 0)
}

async fn some(
    common: Common,
    work: Login,
    tls: Option<Tls>,
    next: Arc<AtomicU64>,
) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        if n >= common.messages {
            return Ok(latencies);
        }
        let start = Instant::now();
        if work.greeted {
            let mut line = match &tls {
                Some(tls) => Line::connect_tls(&common.addr, tls).await?,
                None => Line::connect(&common.addr).await?,
            };
            line.line().await?;
        } else {
            let mut session = Session::login_over(&common, n, tls.as_ref()).await?;
            session.command("LOGOUT").await?;
        }
        latencies.push(start.elapsed());
    }
}

pub(crate) async fn serve(common: Common, work: Handshakes) -> Result<()> {
    let acceptor = TlsAcceptor::from(tls::server(&work.certificate, &work.key)?);
    let listener = TcpListener::bind(&common.addr).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move { greet(stream, &acceptor).await });
    }
}

/// Until the client leaves.
async fn greet(stream: TcpStream, acceptor: &TlsAcceptor) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    stream.write_all(b"* OK hello\r\n").await?;
    stream.flush().await?;
    let mut rest = [0; 256];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}
