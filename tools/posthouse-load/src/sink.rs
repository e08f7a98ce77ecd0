//! An SMTP server that takes everything and keeps nothing: where relayed mail ends.
//!
//! A message of this tool says when it was sent (`X-Sent`, microseconds since the
//! run began), so that it is known how long it was on its way.

use anyhow::Result;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What has arrived.
#[derive(Debug)]
pub(crate) struct Sink {
    epoch: Instant,
    pub(crate) count: AtomicU64,
    delays: Mutex<Vec<Duration>>,
}

impl Sink {
    /// How long each message was on its way, as far as it said when it was sent.
    pub(crate) fn delays(&self) -> Vec<Duration> {
        self.delays
            .lock()
            .map_or(Vec::new(), |delays| delays.clone())
    }

    fn note(&self, line: &[u8]) {
        let sent = line.strip_prefix(b"X-Sent: ").map(<[u8]>::trim_ascii);
        let sent = sent.and_then(|sent| std::str::from_utf8(sent).ok()?.parse().ok());
        if let (Some(sent), Ok(mut delays)) = (sent, self.delays.lock()) {
            delays.push(
                self.epoch
                    .elapsed()
                    .saturating_sub(Duration::from_micros(sent)),
            );
        }
    }
}

/// Listens on `addr` and counts messages; times are counted from `epoch`.
pub(crate) async fn start(addr: &str, epoch: Instant) -> Result<Arc<Sink>> {
    let listener = TcpListener::bind(addr).await?;
    let count = Arc::new(Sink {
        epoch,
        count: AtomicU64::new(0),
        delays: Mutex::default(),
    });
    let counter = count.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let count = counter.clone();
            tokio::spawn(async move { serve(stream, &count).await });
        }
    });
    Ok(count)
}

async fn serve(stream: TcpStream, sink: &Sink) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(64 * 1024, stream);
    stream
        .get_mut()
        .write_all(b"220 sink.test ESMTP\r\n")
        .await?;
    let mut line = Vec::new();
    let mut in_data = false;
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let reply: &[u8] = if in_data {
            if line != b".\r\n" {
                sink.note(&line);
                continue;
            }
            in_data = false;
            sink.count.fetch_add(1, Ordering::Relaxed);
            b"250 2.0.0 taken\r\n"
        } else {
            match line.get(..4).map(<[u8]>::to_ascii_uppercase).as_deref() {
                Some(b"EHLO") => {
                    b"250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 104857600\r\n"
                }
                Some(b"DATA") => {
                    in_data = true;
                    b"354 go on\r\n"
                }
                Some(b"QUIT") => {
                    stream.get_mut().write_all(b"221 bye\r\n").await?;
                    return Ok(());
                }
                _ => b"250 2.0.0 ok\r\n",
            }
        };
        stream.get_mut().write_all(reply).await?;
    }
}
