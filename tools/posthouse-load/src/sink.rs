//! An SMTP server that takes everything and keeps nothing: where relayed mail ends.

use anyhow::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Listens on `addr` and counts messages.
pub(crate) async fn start(addr: &str) -> Result<Arc<AtomicU64>> {
    let listener = TcpListener::bind(addr).await?;
    let count = Arc::new(AtomicU64::new(0));
    let counter = count.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let count = counter.clone();
            tokio::spawn(async move { serve(stream, &count).await });
        }
    });
    Ok(count)
}

async fn serve(stream: TcpStream, count: &AtomicU64) -> Result<()> {
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
                continue;
            }
            in_data = false;
            count.fetch_add(1, Ordering::Relaxed);
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
