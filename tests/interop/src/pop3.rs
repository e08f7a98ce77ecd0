//! The smallest POP3 client: says a line, reads its reply.

use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// One connection, plain text, logged in.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects and logs in.
    pub fn login(addr: &str, user: &str, password: &str) -> Result<Self> {
        let stream = TcpStream::connect(addr).with_context(|| format!("connecting to {addr}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_nodelay(true)?;
        let mut this = Self {
            stream: BufReader::new(stream),
        };
        this.line()?;
        this.command(&format!("USER {user}"))?;
        this.command(&format!("PASS {password}"))?;
        Ok(this)
    }

    /// Sends a command, which must be answered +OK by one line.
    pub fn command(&mut self, text: &str) -> Result<String> {
        self.stream
            .get_mut()
            .write_all(format!("{text}\r\n").as_bytes())?;
        let line = String::from_utf8_lossy(&self.line()?).trim().to_owned();
        ensure!(line.starts_with("+OK"), "{text}: {line}");
        Ok(line)
    }

    /// Sends a command that is answered by several lines; gives them as they came, but for the
    /// dots that were put in front.
    pub fn lines(&mut self, text: &str) -> Result<Vec<Vec<u8>>> {
        self.command(text)?;
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            match line.strip_prefix(b".") {
                Some(b"\r\n") => return Ok(lines),
                Some(rest) => lines.push(rest.to_vec()),
                None => lines.push(line),
            }
        }
    }

    /// The unique ids by the messages' numbers.
    pub fn unique_ids(&mut self) -> Result<BTreeMap<u32, String>> {
        let of = |line: &Vec<u8>| {
            let line = std::str::from_utf8(line)?.trim();
            let (number, id) = line.split_once(' ').context("a number and an id")?;
            Ok((number.parse()?, id.to_owned()))
        };
        self.lines("UIDL")?.iter().map(of).collect()
    }

    fn line(&mut self) -> Result<Vec<u8>> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        ensure!(line.ends_with(b"\r\n"), "the server closed the connection");
        Ok(line)
    }
}
