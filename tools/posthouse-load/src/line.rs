//! One connection that speaks in lines, as both protocols' clients need it.

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// A buffered connection.
#[derive(Debug)]
pub(crate) struct Line {
    stream: BufReader<TcpStream>,
    text: Vec<u8>,
}

impl Line {
    pub(crate) async fn connect(addr: &str) -> Result<Self> {
        let stream = TcpStream::connect(addr)
            .await
            .with_context(|| format!("connecting to {addr}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::with_capacity(32 * 1024, stream),
            text: Vec::new(),
        })
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.get_mut().write_all(bytes).await?)
    }

    /// The next line, with its end.
    pub(crate) async fn line(&mut self) -> Result<&[u8]> {
        self.text.clear();
        if self.stream.read_until(b'\n', &mut self.text).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(&self.text)
    }

    /// Takes `len` bytes and forgets them.
    pub(crate) async fn skip(&mut self, len: u64) -> Result<()> {
        let got =
            tokio::io::copy(&mut (&mut self.stream).take(len), &mut tokio::io::sink()).await?;
        ensure!(got == len, "the server closed the connection in a literal");
        Ok(())
    }
}
