//! The smallest SMTP client: it sends what the test says and gives the replies.

use anyhow::{Context as _, Result, bail, ensure};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// One connection, plain text.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects and reads the greeting.
    pub fn connect(addr: &str) -> Result<Self> {
        let stream = TcpStream::connect(addr).with_context(|| format!("connecting to {addr}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_nodelay(true)?;
        let mut this = Self {
            stream: BufReader::new(stream),
        };
        let (code, text) = this.reply()?;
        ensure!(code == 220, "greeting: {text}");
        Ok(this)
    }

    /// Sends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.get_mut().write_all(bytes)?)
    }

    /// Reads one reply: its code and its whole text.
    pub fn reply(&mut self) -> Result<(u16, String)> {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                bail!("the server closed the connection after {text:?}");
            }
            text.push_str(&line);
            if line.as_bytes().get(3) != Some(&b'-') {
                let code = line.get(..3).and_then(|c| c.parse().ok());
                return Ok((code.with_context(|| format!("no reply: {line:?}"))?, text));
            }
        }
    }

    /// Sends a line and reads its reply.
    pub fn command(&mut self, line: &str) -> Result<(u16, String)> {
        self.raw(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// Sends a line that must be answered with `code`.
    pub fn expect(&mut self, line: &str, code: u16) -> Result<String> {
        let (got, text) = self.command(line)?;
        ensure!(got == code, "{line}: expected {code}, got {text}");
        Ok(text)
    }

    /// Sends one message (already dot-stuffed, with CRLF; the last one may be
    /// missing) and gives the reply to it.
    pub fn send(&mut self, from: &str, to: &[&str], message: &[u8]) -> Result<(u16, String)> {
        self.expect(&format!("MAIL FROM:<{from}>"), 250)?;
        for rcpt in to {
            self.expect(&format!("RCPT TO:<{rcpt}>"), 250)?;
        }
        self.expect("DATA", 354)?;
        self.raw(message)?;
        let end: &[u8] = if message.ends_with(b"\r\n") {
            b".\r\n"
        } else {
            b"\r\n.\r\n"
        };
        self.raw(end)?;
        self.reply()
    }
}
