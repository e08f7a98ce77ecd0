//! One connection that speaks in lines, as both protocols' clients need it.

use crate::tls::Tls;
use anyhow::{Context as _, Result, bail, ensure};
use memchr::memmem;
use std::fmt::Debug;
use std::io::{self, Read as _, Write as _};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
    ReadBuf,
};
use tokio::net::TcpStream;

/// RFC 1939 §3.
const MESSAGE_END: &[u8] = b"\r\n.\r\n";

/// What lines go over.
trait Stream: AsyncRead + AsyncWrite + Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Debug + Send + Unpin> Stream for T {}

/// The longest wait for a server that has been asked something.
const PATIENCE: Duration = Duration::from_secs(60);

/// A socket whose reads wait in the system, where nothing else is to be done meanwhile: a
/// system call for each answer instead of two, and no time between them.
#[derive(Debug)]
struct Waiting(std::net::TcpStream);

impl AsyncRead for Waiting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.0.read(buf.initialize_unfilled());
        Poll::Ready(read.map(|n| buf.advance(n)))
    }
}

impl AsyncWrite for Waiting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.0.write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.shutdown(std::net::Shutdown::Write))
    }
}

/// A buffered connection.
#[derive(Debug)]
pub(crate) struct Line {
    stream: BufReader<Box<dyn Stream>>,
    text: Vec<u8>,
}

impl Line {
    pub(crate) async fn connect(addr: &str) -> Result<Self> {
        Ok(Self::over(Box::new(tcp(addr).await?)))
    }

    /// The only one of its process: reads wait in the system.
    pub(crate) async fn connect_alone(addr: &str) -> Result<Self> {
        let stream = tcp(addr).await?.into_std()?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self::over(Box::new(Waiting(stream))))
    }

    /// With a full handshake first.
    pub(crate) async fn connect_tls(addr: &str, tls: &Tls) -> Result<Self> {
        let stream = tls.handshake(tcp(addr).await?).await;
        Ok(Self::over(Box::new(stream.context("the TLS handshake")?)))
    }

    fn over(stream: Box<dyn Stream>) -> Self {
        Self {
            stream: BufReader::with_capacity(32 * 1024, stream),
            text: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes).await?;
        Ok(stream.flush().await?)
    }

    /// The next line, with its end.
    pub(crate) async fn line(&mut self) -> Result<&[u8]> {
        self.text.clear();
        if self.stream.read_until(b'\n', &mut self.text).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(&self.text)
    }

    /// Takes a message up to the lone dot behind it and forgets it; how many bytes that were. Looks
    /// at no line, so that what the tool does is little beside what the server does.
    pub(crate) async fn skip_message(&mut self) -> Result<u64> {
        // A line end stands before.
        let mut seam = b"\r\n".to_vec();
        let mut bytes = 0;
        loop {
            let piece = self.stream.fill_buf().await?;
            if piece.is_empty() {
                bail!("the server closed the connection in a message");
            }
            // What lies on both sides of the border, then what lies behind it.
            let before = seam.len();
            seam.extend_from_slice(&piece[..piece.len().min(MESSAGE_END.len() - 1)]);
            let end = match memmem::find(&seam, MESSAGE_END) {
                Some(at) => Some(at + MESSAGE_END.len() - before),
                None => memmem::find(piece, MESSAGE_END).map(|at| at + MESSAGE_END.len()),
            };
            if let Some(end) = end {
                self.stream.consume(end);
                return Ok(bytes + end as u64);
            }
            let taken = piece.len();
            if taken >= MESSAGE_END.len() - 1 {
                seam.clear();
                seam.extend_from_slice(&piece[taken - (MESSAGE_END.len() - 1)..]);
            } else {
                let kept = seam.len().min(MESSAGE_END.len() - 1);
                seam.drain(..seam.len() - kept);
            }
            self.stream.consume(taken);
            bytes += taken as u64;
        }
    }

    /// Takes `len` bytes and forgets them.
    pub(crate) async fn skip(&mut self, len: u64) -> Result<()> {
        let got =
            tokio::io::copy(&mut (&mut self.stream).take(len), &mut tokio::io::sink()).await?;
        ensure!(got == len, "the server closed the connection in a literal");
        Ok(())
    }
}

async fn tcp(addr: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(addr)
        .await
        .with_context(|| format!("connecting to {addr}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
