//! The smallest IMAP client: enough to see what is in a mailbox, byte for byte.

use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// One connection, plain text, logged in.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
    tag: u32,
}

/// One response line with its literals' bytes put in place.
pub type Response = Vec<u8>;

impl Client {
    /// Connects and reads the greeting.
    pub fn connect(addr: &str) -> Result<Self> {
        let stream = TcpStream::connect(addr).with_context(|| format!("connecting to {addr}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_nodelay(true)?;
        let mut this = Self {
            stream: BufReader::new(stream),
            tag: 0,
        };
        let (greeting, _) = this.line()?;
        ensure!(
            greeting.starts_with(b"* OK"),
            "{}",
            String::from_utf8_lossy(&greeting)
        );
        Ok(this)
    }

    /// Connects and logs in.
    pub fn login(addr: &str, user: &str, password: &str) -> Result<Self> {
        let mut this = Self::connect(addr)?;
        this.command(&format!("LOGIN \"{user}\" \"{password}\""))?;
        Ok(this)
    }

    /// Sends a command, which must be answered OK; gives the untagged responses.
    pub fn command(&mut self, text: &str) -> Result<Vec<Response>> {
        let (ok, responses, last) = self.try_command(text)?;
        ensure!(ok, "{text}: {last}");
        Ok(responses)
    }

    /// Sends a command; gives whether it was OK, the untagged responses, and the tagged line.
    pub fn try_command(&mut self, text: &str) -> Result<(bool, Vec<Response>, String)> {
        self.try_command_of(text.as_bytes())
    }

    fn try_command_of(&mut self, command: &[u8]) -> Result<(bool, Vec<Response>, String)> {
        self.tag += 1;
        let tag = format!("t{}", self.tag);
        let line = [tag.as_bytes(), b" ", command, b"\r\n"].concat();
        self.stream.get_mut().write_all(&line)?;
        let mut responses = Vec::new();
        loop {
            let response = self.response()?;
            let Some(rest) = response.strip_prefix(tag.as_bytes()) else {
                responses.push(response);
                continue;
            };
            let last = String::from_utf8_lossy(rest).trim().to_owned();
            return Ok((last.starts_with("OK"), responses, last));
        }
    }

    /// Begins IDLE; what comes is read by [`Client::untagged`].
    pub fn idle(&mut self) -> Result<()> {
        self.stream.get_mut().write_all(b"i IDLE\r\n")?;
        while !self.line()?.0.starts_with(b"+") {}
        Ok(())
    }

    /// The next response, whatever asked for it.
    pub fn untagged(&mut self) -> Result<Response> {
        self.response()
    }

    /// APPENDs a message to a mailbox; gives the tagged line.
    pub fn append(&mut self, mailbox: &str, message: &[u8]) -> Result<String> {
        self.tag += 1;
        let tag = format!("t{}", self.tag);
        let head = format!("{tag} APPEND {mailbox} {{{}}}\r\n", message.len());
        self.stream.get_mut().write_all(head.as_bytes())?;
        let (go, _) = self.line()?;
        ensure!(go.starts_with(b"+"), "{}", String::from_utf8_lossy(&go));
        self.stream.get_mut().write_all(message)?;
        self.stream.get_mut().write_all(b"\r\n")?;
        loop {
            let response = self.response()?;
            if let Some(rest) = response.strip_prefix(tag.as_bytes()) {
                ensure!(
                    rest.starts_with(b" OK"),
                    "{}",
                    String::from_utf8_lossy(rest)
                );
                return Ok(String::from_utf8_lossy(rest).trim().to_owned());
            }
        }
    }

    /// APPENDs several messages with their flags to a mailbox, in one command that waits for nothing.
    pub fn append_all(&mut self, mailbox: &str, messages: &[(String, Vec<u8>)]) -> Result<()> {
        let mut command = format!("APPEND {mailbox}").into_bytes();
        for (flags, message) in messages {
            command.extend_from_slice(format!(" ({flags}) {{{}+}}\r\n", message.len()).as_bytes());
            command.extend_from_slice(message);
        }
        let (ok, _, last) = self.try_command_of(&command)?;
        ensure!(ok, "APPEND of {}: {last}", messages.len());
        Ok(())
    }

    /// Every message of a mailbox, whole.
    pub fn messages(&mut self, mailbox: &str) -> Result<Vec<Vec<u8>>> {
        self.command(&format!("EXAMINE {mailbox}"))?;
        let (ok, responses, _) = self.try_command("UID FETCH 1:* (BODY.PEEK[])")?;
        ensure!(ok || responses.is_empty(), "FETCH failed");
        Ok(responses.iter().filter_map(|r| literal(r)).collect())
    }

    /// One response with its literals.
    fn response(&mut self) -> Result<Response> {
        let mut whole = Vec::new();
        loop {
            let (line, literal_len) = self.line()?;
            whole.extend_from_slice(&line);
            let Some(len) = literal_len else {
                return Ok(whole);
            };
            let start = whole.len();
            whole.resize(start + len, 0);
            self.stream.read_exact(&mut whole[start..])?;
        }
    }

    fn line(&mut self) -> Result<(Vec<u8>, Option<usize>)> {
        let mut line = Vec::new();
        if self.stream.read_until(b'\n', &mut line)? == 0 {
            bail!("the server closed the connection");
        }
        let literal = line
            .strip_suffix(b"}\r\n")
            .and_then(|l| l.rsplit(|&b| b == b'{').next())
            .and_then(|n| std::str::from_utf8(n).ok()?.parse().ok());
        Ok((line, literal))
    }
}

/// What a FETCH response says of a message.
#[derive(Debug)]
pub struct Fetched {
    /// Its UID.
    pub uid: u32,
    /// Its flags.
    pub flags: BTreeSet<String>,
    /// Header fields and bodies, in the response's order.
    pub literals: Vec<Vec<u8>>,
}

/// Reads a FETCH response with a UID; `None` for any other.
#[must_use]
pub fn fetched(response: &[u8]) -> Option<Fetched> {
    let (text, literals) = without_literals(response);
    let (_, items) = text.split_once(" FETCH (")?;
    let (_, uid) = items.split_once("UID ")?;
    let digits = uid.split(|c: char| !c.is_ascii_digit()).next()?;
    let flags = items.split_once("FLAGS (").map_or("", |(_, flags)| flags);
    let flags = flags.split(')').next()?;
    Some(Fetched {
        uid: digits.parse().ok()?,
        flags: flags.split_whitespace().map(str::to_owned).collect(),
        literals,
    })
}

/// A response's text, and its literals by themselves.
fn without_literals(response: &[u8]) -> (String, Vec<Vec<u8>>) {
    let (mut text, mut literals) = (String::new(), Vec::new());
    let mut rest = response;
    while let Some(line) = rest.iter().position(|&b| b == b'\n').map(|at| at + 1) {
        let (line, behind) = rest.split_at(line);
        text.push_str(&String::from_utf8_lossy(line));
        let len = line
            .strip_suffix(b"}\r\n")
            .and_then(|line| line.rsplit(|&b| b == b'{').next())
            .and_then(|n| std::str::from_utf8(n).ok()?.parse().ok());
        let (literal, behind) = behind.split_at(len.unwrap_or(0).min(behind.len()));
        if len.is_some() {
            literals.push(literal.to_vec());
        }
        rest = behind;
    }
    text.push_str(&String::from_utf8_lossy(rest));
    (text, literals)
}

/// The bytes of a response's first literal.
#[must_use]
pub fn literal(response: &[u8]) -> Option<Vec<u8>> {
    let end = response.windows(3).position(|w| w == b"}\r\n")?;
    let start = response[..end].iter().rposition(|&b| b == b'{')?;
    let len: usize = std::str::from_utf8(&response[start + 1..end])
        .ok()?
        .parse()
        .ok()?;
    Some(response[end + 3..].get(..len)?.to_vec())
}
