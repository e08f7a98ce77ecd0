//! A script's connections to the server, and its steps one after the other.

use super::matching::{Untagged, Variables, as_search, expand, is_of_rev1_alone, satisfies};
use super::script::{Command, Expected, Kind, Script, State, Step};
use super::value::{Value, expectation, response, script_literal};
use super::{Exception, Outcome, Revision};
use anyhow::{Context as _, Result, bail, ensure};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

const MAILBOX: &str = "imaptest";

/// Where the server is and who may log in.
#[derive(Debug, Clone)]
pub struct Server {
    /// Address and port, without TLS.
    pub addr: String,
    /// `user@domain`
    pub user: String,
    /// The password.
    pub password: String,
    /// Another user with the same password, for scripts that are about two.
    pub other: String,
    /// CREATE also subscribes. The scripts take a new mailbox for one that is
    /// not subscribed, so the subscription is taken back behind each CREATE.
    pub create_subscribes: bool,
    /// What each connection speaks from its login on.
    pub revision: Revision,
}

/// Runs one script from a clean start.
pub fn run(script: &Script, server: &Server, exceptions: &[Exception]) -> Result<Outcome> {
    let mut run = Run::begin(script, server, exceptions)?;
    if let Some(missing) = run.missing_capability()? {
        return Ok(Outcome::NotApplicable(missing));
    }
    run.set_up()?;
    for step in &script.steps {
        if let Err(error) = run.step(step) {
            run.failures.push(format!("{error:#}"));
            break;
        }
    }
    Ok(if run.failures.is_empty() {
        Outcome::Passed(run.excused)
    } else {
        Outcome::Failed(run.failures)
    })
}

struct Run<'a> {
    script: &'a Script,
    server: &'a Server,
    exceptions: &'a [Exception],
    connections: Vec<Connection>,
    variables: Variables,
    /// Messages appended so far.
    appended: usize,
    failures: Vec<String>,
    excused: Vec<&'static str>,
}

impl<'a> Run<'a> {
    fn begin(script: &'a Script, server: &'a Server, exceptions: &'a [Exception]) -> Result<Self> {
        let (user, domain) = server.user.split_once('@').context("user@domain")?;
        let variables = [
            ("user", server.user.as_str()),
            ("username", user),
            ("domain", domain),
            ("password", &server.password),
            ("mailbox", MAILBOX),
            // As a URL has it.
            ("mailbox_url", MAILBOX),
            ("user2", &server.other),
        ];
        let connections = (0..script.connections)
            .map(|_| Connection::open(&server.addr))
            .collect::<Result<_>>()?;
        Ok(Self {
            script,
            server,
            exceptions,
            connections,
            variables: variables
                .map(|(name, value)| (name.to_owned(), value.into()))
                .into(),
            appended: 0,
            failures: Vec::new(),
            excused: Vec::new(),
        })
    }

    /// What the script is about and the server does not have, after login.
    fn missing_capability(&self) -> Result<Option<String>> {
        let mut connection = Connection::open(&self.server.addr)?;
        connection.log_in(self.server, &self.server.user)?;
        let answer = connection.must("CAPABILITY")?;
        let line = answer.first().context("a CAPABILITY response")?;
        let have: Vec<String> = String::from_utf8_lossy(&line.raw)
            .split_whitespace()
            .map(str::to_ascii_uppercase)
            .collect();
        Ok(self
            .script
            .capabilities
            .iter()
            .find(|name| !have.contains(name))
            .cloned())
    }

    fn set_up(&mut self) -> Result<()> {
        let state = self.script.state;
        if state == State::NonAuth {
            return Ok(());
        }
        let of_other = |at: usize| self.script.others.contains(&at);
        for (at, connection) in self.connections.iter_mut().enumerate() {
            let user = match of_other(at) {
                true => &self.server.other,
                false => &self.server.user,
            };
            connection.log_in(self.server, user)?;
        }
        self.connections[0].clean()?;
        if state >= State::Created {
            self.connections[0].must(&format!("CREATE {MAILBOX}"))?;
        }
        if state >= State::Appended {
            let count = self.script.messages.unwrap_or(self.script.mail.len());
            for _ in 0..count {
                let command = self.next_message(&format!("APPEND {MAILBOX}"))?;
                let (_, end) = self.connections[0].exchange(b"s", &command)?;
                ensure!(end.starts_with(b"OK"), "APPEND: {}", lossy(&end));
            }
        }
        if state >= State::Selected {
            for (at, connection) in self.connections.iter_mut().enumerate() {
                // The mailbox is the first user's.
                if !of_other(at) {
                    connection.must(&format!("SELECT {MAILBOX}"))?;
                }
            }
        }
        Ok(())
    }

    /// The next message, behind what APPEND says before it.
    fn next_message(&mut self, append: &str) -> Result<[Piece; 2]> {
        ensure!(!self.script.mail.is_empty(), "the script has no messages");
        let mail = &self.script.mail[self.appended % self.script.mail.len()];
        self.appended += 1;
        let text = match &mail.date {
            Some(date) => format!("{append} {date} "),
            None => format!("{append} "),
        };
        Ok([
            Piece::Text(text.into()),
            Piece::Literal(mail.text.clone(), false),
        ])
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        let makes = |c: &Command| {
            c.text
                .get(..7)
                .is_some_and(|v| v.eq_ignore_ascii_case(b"create "))
        };
        let takes_back = self.server.create_subscribes && step.commands.iter().any(makes);
        let before = match takes_back {
            true => self.connection(step)?.subscriptions()?,
            false => Vec::new(),
        };
        let mut sent = Vec::new();
        let mut untagged = Vec::new();
        let mut ends = Vec::new();
        if let [command] = step.commands.as_slice() {
            let tag = self.connection(step)?.next_tag(command);
            self.variables.insert("tag".into(), tag.clone());
            let pieces = self.pieces(command)?;
            let (answer, end) = self
                .connection(step)?
                .exchange(&tag, &pieces)
                .with_context(|| lossy(&command.text))?;
            untagged = answer;
            ends.push((tag, end));
        } else {
            for command in &step.commands {
                let tag = self.connection(step)?.next_tag(command);
                let pieces = self.pieces(command)?;
                self.connection(step)?.send_unasked(&tag, &pieces)?;
                sent.push(tag);
            }
            for tag in sent {
                let (answer, end) = self.connection(step)?.answer(&tag)?;
                untagged.extend(answer);
                ends.push((tag, end));
            }
        }
        for (command, (_, end)) in step.commands.iter().zip(&ends) {
            self.check_end(command, end);
        }
        if takes_back {
            self.connection(step)?.unsubscribe_but(&before)?;
        }
        if self.server.revision == Revision::Rev2 {
            self.check_revision(step, &untagged);
        }
        for expected in &step.expected {
            self.check(step, expected, &untagged);
        }
        Ok(())
    }

    fn connection(&mut self, step: &Step) -> Result<&mut Connection> {
        self.connections
            .get_mut(step.connection)
            .context("no such connection")
    }

    fn check_end(&mut self, command: &Command, end: &[u8]) {
        let expected = command.end.as_deref().unwrap_or(b"\"\"");
        if expected == b"\"\"" {
            return;
        }
        let got = Untagged {
            values: response(end),
            first_number: None,
            raw: end.to_vec(),
        };
        if !satisfies(&expectation(expected), &got, &mut self.variables) {
            let (text, want) = (lossy(&command.text), lossy(expected));
            let line = [expected, b" ", &command.text].concat();
            self.fail(&line, || {
                format!("{text}\n  wanted {want}\n  got    {}", lossy(end))
            });
        }
    }

    /// Nothing is told that IMAP4rev2 has not.
    fn check_revision(&mut self, step: &Step, untagged: &[Untagged]) {
        for got in untagged.iter().filter(|got| is_of_rev1_alone(got)) {
            let texts: Vec<String> = step.commands.iter().map(|c| lossy(&c.text)).collect();
            let (texts, raw) = (texts.join(" | "), lossy(&got.raw));
            self.failures
                .push(format!("{texts}\n  got    {raw}, which IMAP4rev2 has not"));
        }
    }

    fn check(&mut self, step: &Step, expected: &Expected, untagged: &[Untagged]) {
        let want = expectation(&expected.text);
        let by_esearch = self.server.revision == Revision::Rev2
            && want.first().is_some_and(|first| first.is("SEARCH"));
        let found = untagged.iter().any(|got| match by_esearch {
            true => as_search(got).is_some_and(|got| satisfies(&want, &got, &mut self.variables)),
            false => satisfies(&want, got, &mut self.variables),
        });
        let (sign, wrong) = match expected.kind {
            Kind::Must => ("*", !found),
            Kind::MustNot => ("!", found),
            Kind::May => ("?", false),
        };
        if !wrong {
            return;
        }
        let line = [sign.as_bytes(), b" ", &expected.text].concat();
        let texts: Vec<String> = step.commands.iter().map(|c| lossy(&c.text)).collect();
        let answers: Vec<String> = untagged.iter().map(|got| lossy(&got.raw)).collect();
        self.fail(&line, || {
            format!(
                "{}\n  wanted {sign} {}\n  got    {}",
                texts.join(" | "),
                lossy(&expected.text),
                answers.join("\n         ")
            )
        });
    }

    fn fail(&mut self, line: &[u8], report: impl FnOnce() -> String) {
        let first = line.split(|&b| b == b'\n').next().unwrap_or_default();
        let excused = self
            .exceptions
            .iter()
            .find(|e| e.script == self.script.name && e.line.as_bytes() == first);
        match excused {
            Some(exception) => self.excused.push(exception.line),
            None => self.failures.push(report()),
        }
    }

    /// The command as it goes over the wire. APPEND without a literal takes the next message.
    fn pieces(&mut self, command: &Command) -> Result<Vec<Piece>> {
        let text = command.text.as_slice();
        let is_append = text
            .get(..6)
            .is_some_and(|verb| verb.eq_ignore_ascii_case(b"append"));
        let mut pieces = Vec::new();
        let mut rest = text;
        let mut start = 0;
        while start < rest.len() {
            let Some((literal, after)) = script_literal(&rest[start..]) else {
                start += 1;
                continue;
            };
            pieces.push(Piece::Text(self.expanded(&rest[..start])?));
            pieces.push(Piece::Literal(literal, rest[start] == b'~'));
            (rest, start) = (after, 0);
        }
        let mut tail = self.expanded(rest)?;
        let is_put_together = lossy(&tail).to_ascii_lowercase().contains("catenate (");
        if is_append && pieces.is_empty() && !is_put_together {
            if tail.len() == 6 {
                tail.extend_from_slice(format!(" {MAILBOX}").as_bytes());
            }
            pieces.extend(self.next_message(&lossy(&tail))?);
        } else {
            pieces.push(Piece::Text(tail));
        }
        Ok(pieces)
    }

    fn expanded(&self, text: &[u8]) -> Result<Vec<u8>> {
        match expand(text, &self.variables) {
            (text, None, _) => Ok(text),
            (_, Some(name), _) => bail!("{}: ${name} has no value", lossy(text)),
        }
    }
}

/// A part of a command.
enum Piece {
    Text(Vec<u8>),
    /// Octets, and whether they go as `literal8`.
    Literal(Vec<u8>, bool),
}

struct Connection {
    stream: BufReader<TcpStream>,
    tags: u32,
    /// Messages that were expunged since the command began, by their first numbers.
    expunged: Vec<u32>,
}

impl Connection {
    fn open(addr: &str) -> Result<Self> {
        let stream = TcpStream::connect(addr).with_context(|| format!("connecting to {addr}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_nodelay(true)?;
        let mut this = Self {
            stream: BufReader::new(stream),
            tags: 0,
            expunged: Vec::new(),
        };
        let greeting = this.response()?;
        ensure!(greeting.starts_with(b"* OK"), "{}", lossy(&greeting));
        Ok(this)
    }

    fn log_in(&mut self, server: &Server, user: &str) -> Result<()> {
        let line = format!("LOGIN \"{user}\" \"{}\"", server.password);
        self.must(&line)?;
        if server.revision == Revision::Rev2 {
            let answer = self.must("ENABLE IMAP4rev2")?;
            let says = |got: &Untagged| got.raw.eq_ignore_ascii_case(b"ENABLED IMAP4rev2");
            ensure!(answer.iter().any(says), "IMAP4rev2 was not enabled");
        }
        Ok(())
    }

    /// Removes what an earlier script left.
    fn clean(&mut self) -> Result<()> {
        self.unsubscribe_but(&[])?;
        // Children first; a parent may be no mailbox.
        let mut boxes = names(&self.must(&format!("LIST \"\" {MAILBOX}*"))?);
        boxes.sort();
        for name in boxes.iter().rev() {
            let pieces = [Piece::Text(format!("DELETE \"{}\"", lossy(name)).into())];
            self.exchange(b"d", &pieces)?;
        }
        let left = self.must(&format!("LIST \"\" {MAILBOX}*"))?;
        ensure!(left.is_empty(), "a mailbox cannot be deleted");
        Ok(())
    }

    fn subscriptions(&mut self) -> Result<Vec<Vec<u8>>> {
        Ok(names(&self.must(&format!("LSUB \"\" {MAILBOX}*"))?))
    }

    fn unsubscribe_but(&mut self, kept: &[Vec<u8>]) -> Result<()> {
        for name in self.subscriptions()? {
            if !kept.contains(&name) {
                self.must(&format!("UNSUBSCRIBE \"{}\"", lossy(&name)))?;
            }
        }
        Ok(())
    }

    fn next_tag(&mut self, command: &Command) -> Vec<u8> {
        self.tags += 1;
        match &command.tag {
            Some(tag) => tag.clone(),
            None => format!("a{}", self.tags).into(),
        }
    }

    /// A command of the set-up, which must be answered OK.
    fn must(&mut self, text: &str) -> Result<Vec<Untagged>> {
        let (answer, end) = self.exchange(b"s", &[Piece::Text(text.into())])?;
        ensure!(end.starts_with(b"OK"), "{text}: {}", lossy(&end));
        Ok(answer)
    }

    /// Sends a command, literals when the server asks for them; gives the answer.
    fn exchange(&mut self, tag: &[u8], pieces: &[Piece]) -> Result<(Vec<Untagged>, Vec<u8>)> {
        self.expunged.clear();
        let mut line = [tag, b" "].concat();
        let mut untagged = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => line.extend_from_slice(text),
                Piece::Literal(octets, binary) => {
                    let sign = if *binary { "~" } else { "" };
                    line.extend_from_slice(format!("{sign}{{{}}}\r\n", octets.len()).as_bytes());
                    self.stream.get_mut().write_all(&line)?;
                    match self.wait(tag, true)? {
                        (answer, None) => untagged.extend(answer),
                        (answer, Some(end)) => {
                            untagged.extend(answer);
                            return Ok((untagged, end));
                        }
                    }
                    line = octets.clone();
                }
            }
        }
        line.extend_from_slice(b"\r\n");
        self.stream.get_mut().write_all(&line)?;
        let (answer, end) = self.answer(tag)?;
        untagged.extend(answer);
        Ok((untagged, end))
    }

    /// Sends a command among several.
    fn send_unasked(&mut self, tag: &[u8], pieces: &[Piece]) -> Result<()> {
        self.expunged.clear();
        let [Piece::Text(text)] = pieces else {
            bail!("commands that are sent together have no literals");
        };
        let line = [tag, b" ", text, b"\r\n"].concat();
        Ok(self.stream.get_mut().write_all(&line)?)
    }

    fn answer(&mut self, tag: &[u8]) -> Result<(Vec<Untagged>, Vec<u8>)> {
        let (untagged, end) = self.wait(tag, false)?;
        Ok((untagged, end.context("a tagged response")?))
    }

    /// Responses up to the tagged one, or up to `+` where that is waited for.
    fn wait(&mut self, tag: &[u8], go: bool) -> Result<(Vec<Untagged>, Option<Vec<u8>>)> {
        let mut untagged = Vec::new();
        loop {
            let line = self.response()?;
            if let Some(rest) = line.strip_prefix(b"* ") {
                let got = self.untagged(rest);
                untagged.push(got);
            } else if line.starts_with(b"+") {
                ensure!(go, "an unexpected continuation");
                return Ok((untagged, None));
            } else if let Some(end) = line.strip_prefix([tag, b" "].concat().as_slice()) {
                return Ok((untagged, Some(end.to_vec())));
            } else {
                bail!("an answer to another command: {}", lossy(&line));
            }
        }
    }

    /// Follows the expunges, so that a message is known by its first number.
    fn untagged(&mut self, raw: &[u8]) -> Untagged {
        let values = response(raw);
        let number = values
            .first()
            .and_then(Value::text)
            .and_then(|text| std::str::from_utf8(text).ok()?.parse::<u32>().ok());
        let first_number = number.map(|number| {
            self.expunged
                .iter()
                .fold(number, |n, &gone| if gone <= n { n + 1 } else { n })
        });
        let is_expunge = values.get(1).is_some_and(|v| v.is("EXPUNGE"));
        if let Some(first) = first_number.filter(|_| is_expunge) {
            self.expunged.push(first);
            self.expunged.sort_unstable();
        }
        Untagged {
            values,
            first_number,
            raw: raw.to_vec(),
        }
    }

    /// One response with its literals in place, without the last CRLF.
    fn response(&mut self) -> Result<Vec<u8>> {
        let mut whole = Vec::new();
        loop {
            let start = whole.len();
            if self.stream.read_until(b'\n', &mut whole)? == 0 {
                bail!("the server closed the connection");
            }
            let line = &whole[start..];
            ensure!(
                line.ends_with(b"\r\n"),
                "a line without CRLF: {}",
                lossy(line)
            );
            let size: Option<usize> = line
                .strip_suffix(b"}\r\n")
                .and_then(|l| l.rsplit(|&b| b == b'{').next())
                .and_then(|n| std::str::from_utf8(n).ok()?.parse().ok());
            let Some(size) = size else {
                whole.truncate(whole.len() - 2);
                return Ok(whole);
            };
            let from = whole.len();
            whole.resize(from + size, 0);
            self.stream.read_exact(&mut whole[from..])?;
        }
    }
}

/// The names in LIST and LSUB responses.
fn names(answer: &[Untagged]) -> Vec<Vec<u8>> {
    answer
        .iter()
        .filter_map(|got| got.values.get(3).and_then(Value::text).map(<[u8]>::to_vec))
        .collect()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
