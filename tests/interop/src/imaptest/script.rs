//! A script's file: a header of `key: value` lines, an empty line, then
//! commands and what is expected of their answers.
//!
//! A command comes in three forms: `ok COMMAND` with its result in front,
//! `COMMAND` with its result behind the expectations, and several `TAG COMMAND`
//! sent together with a `TAG ok` for each. With several connections each line
//! of a command begins with its connection's number.

use anyhow::{Context as _, Result, bail};
use std::path::Path;

/// Where a script's connections are when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    NonAuth,
    Auth,
    Created,
    Appended,
    Selected,
}

/// A whole script with its messages.
#[derive(Debug, Clone)]
pub struct Script {
    pub(super) name: String,
    pub(super) capabilities: Vec<String>,
    /// Connections, from 0, of another user.
    pub(super) others: Vec<usize>,
    pub(super) connections: usize,
    pub(super) state: State,
    /// How many messages are appended; all when not said.
    pub(super) messages: Option<usize>,
    pub(super) steps: Vec<Step>,
    /// The messages of its mbox file.
    pub(super) mail: Vec<Mail>,
}

/// A message of a script.
#[derive(Debug, Clone)]
pub(super) struct Mail {
    /// When it came, as APPEND takes it.
    pub(super) date: Option<String>,
    /// With CRLF.
    pub(super) text: Vec<u8>,
}

/// One command, or several that are sent together.
#[derive(Debug, Clone, Default)]
pub(super) struct Step {
    /// From 0.
    pub(super) connection: usize,
    pub(super) commands: Vec<Command>,
    pub(super) expected: Vec<Expected>,
}

#[derive(Debug, Clone)]
pub(super) struct Command {
    pub(super) tag: Option<Vec<u8>>,
    pub(super) text: Vec<u8>,
    /// The result's line as it stands, `ok`, `no`, `bad` or `""` in front.
    pub(super) end: Option<Vec<u8>>,
}

/// What an untagged response must look like.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub(super) kind: Kind,
    pub(super) text: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `*`: there is one.
    Must,
    /// `!`: there is none.
    MustNot,
    /// `?`: nobody cares.
    May,
}

impl Script {
    /// The script's name: its file's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads a script and its mbox file, or the folder's `default.mbox`.
    pub fn read(path: &Path) -> Result<Self> {
        let name = path.file_name().context("a script has a name")?;
        let own = path.with_extension("mbox");
        let mbox = if own.exists() {
            own
        } else {
            path.with_file_name("default.mbox")
        };
        Self::parse(
            &name.to_string_lossy(),
            &std::fs::read(path)?,
            &std::fs::read(mbox)?,
        )
    }

    pub(super) fn parse(name: &str, text: &[u8], mbox: &[u8]) -> Result<Self> {
        let mut script = Self {
            name: name.to_owned(),
            capabilities: Vec::new(),
            connections: 1,
            others: Vec::new(),
            state: State::Selected,
            messages: None,
            steps: Vec::new(),
            mail: messages(mbox),
        };
        let mut lines = logical_lines(text).into_iter();
        for line in lines.by_ref() {
            if line.is_empty() {
                break;
            }
            if !line.starts_with(b"#") {
                script.header(&String::from_utf8_lossy(&line))?;
            }
        }
        for line in lines {
            if !line.is_empty() && !line.starts_with(b"#") {
                script.line(&line)?;
            }
        }
        Ok(script)
    }

    fn header(&mut self, line: &str) -> Result<()> {
        let (key, value) = line.split_once(':').context("a header is `key: value`")?;
        let value = value.trim();
        match key {
            "capabilities" => {
                self.capabilities = value.split(' ').map(str::to_ascii_uppercase).collect();
            }
            "connections" => self.connections = value.parse()?,
            "messages" if value == "all" => {}
            "messages" => self.messages = Some(value.parse()?),
            "state" => {
                self.state = match value {
                    "nonauth" => State::NonAuth,
                    "auth" => State::Auth,
                    "created" => State::Created,
                    "appended" => State::Appended,
                    "selected" => State::Selected,
                    other => bail!("an unknown state: {other}"),
                };
            }
            // `user 2: $user2`: the connection is another user's.
            key if key.starts_with("user ") => {
                let number: usize = key["user ".len()..].parse()?;
                let at = number.checked_sub(1).context("connections count from 1")?;
                self.others.push(at);
            }
            other => bail!("an unknown header: {other}"),
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<()> {
        let kind = match line {
            [b'*', b' ', ..] => Some(Kind::Must),
            [b'!', b' ', ..] => Some(Kind::MustNot),
            [b'?', b' ', ..] => Some(Kind::May),
            _ => None,
        };
        if let Some(kind) = kind {
            let step = self
                .steps
                .last_mut()
                .context("an expectation before any command")?;
            let text = line[2..].to_vec();
            step.expected.push(Expected { kind, text });
            return Ok(());
        }
        let (connection, rest) = self.connection(line)?;
        self.command(connection, rest)
    }

    fn connection<'a>(&self, line: &'a [u8]) -> Result<(usize, &'a [u8])> {
        if self.connections == 1 {
            return Ok((0, line));
        }
        let (number, rest) = word(line);
        let number: usize = String::from_utf8_lossy(number).parse()?;
        let connection = number.checked_sub(1).context("connections count from 1")?;
        Ok((connection, rest))
    }

    fn command(&mut self, connection: usize, line: &[u8]) -> Result<()> {
        let (first, rest) = word(line);
        // The last step while its commands wait for their results.
        let open = self
            .steps
            .last_mut()
            .filter(|step| step.connection == connection)
            .and_then(|step| {
                let waits = step.commands.iter().any(|c| c.end.is_none());
                waits.then_some(step)
            });
        if is_result(first) {
            if let Some(step) = open {
                let waiting = step.commands.iter_mut().find(|c| c.end.is_none());
                waiting.context("a result without a command")?.end = Some(line.to_vec());
                return Ok(());
            }
            let text = rest.to_vec();
            let end = Some(first.to_vec());
            self.push(
                connection,
                Command {
                    tag: None,
                    text,
                    end,
                },
            );
            return Ok(());
        }
        if !first.starts_with(b"tag") {
            let text = line.to_vec();
            self.push(
                connection,
                Command {
                    tag: None,
                    text,
                    end: None,
                },
            );
            return Ok(());
        }
        if is_result(word(rest).0) {
            let waiting = open.and_then(|step| {
                let tag = Some(first.to_vec());
                step.commands.iter_mut().find(|command| command.tag == tag)
            });
            waiting.context("a result without a command")?.end = Some(rest.to_vec());
            return Ok(());
        }
        let command = Command {
            tag: Some(first.to_vec()),
            text: rest.to_vec(),
            end: None,
        };
        match open {
            Some(step) => step.commands.push(command),
            None => self.push(connection, command),
        }
        Ok(())
    }

    fn push(&mut self, connection: usize, command: Command) {
        self.steps.push(Step {
            connection,
            commands: vec![command],
            expected: Vec::new(),
        });
    }
}

/// Lines, with those of a `{{{ … }}}` kept together.
fn logical_lines(text: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let mut inside = false;
    for line in text.split(|&b| b == b'\n') {
        let continues = inside;
        if inside && line.starts_with(b"}}}") {
            inside = false;
        }
        inside |= !(continues && inside) && line.ends_with(b"{{{");
        match lines.last_mut() {
            Some(last) if continues => {
                last.push(b'\n');
                last.extend_from_slice(line);
            }
            _ => lines.push(line.to_vec()),
        }
    }
    lines
}

/// The first word and what follows it.
fn word(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|&b| b == b' ') {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, &[]),
    }
}

fn is_result(word: &[u8]) -> bool {
    word == b"\"\""
        || [&b"ok"[..], b"no", b"bad"]
            .iter()
            .any(|result| word.eq_ignore_ascii_case(result))
}

/// The messages of a file in mbox form. The blank line in front of the next
/// `From ` line belongs to the message: the scripts count it.
fn messages(mbox: &[u8]) -> Vec<Mail> {
    let mut messages: Vec<Mail> = Vec::new();
    for line in mbox.split_inclusive(|&b| b == b'\n') {
        if line.starts_with(b"From ") {
            messages.push(Mail {
                date: received(&String::from_utf8_lossy(line)),
                text: Vec::new(),
            });
        } else if let Some(message) = messages.last_mut().map(|mail| &mut mail.text) {
            match line.strip_suffix(b"\n") {
                Some(text) => {
                    message.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
                    message.extend_from_slice(b"\r\n");
                }
                None => message.extend_from_slice(line),
            }
        }
    }
    messages
}

/// The date of a `From ` line as APPEND takes it: `From who  Fri Feb 22 17:06:23 2008 [+0200]`.
fn received(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().skip(3).collect();
    let (&[month, day, time, year], zone) = words.split_first_chunk()?;
    let zone = zone.first().unwrap_or(&"+0000");
    Some(format!("\"{day:0>2}-{month}-{year} {time} {zone}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_of_a_command() {
        let text = b"connections: 2\nstate: auth\n\n1 ok noop\n* 1 exists\n2 select x\n2 no [nonexistent]\n\
                     1 tag1 noop\n1 tag2 append {{{\n# no comment\n}}} x\n1 tag1 ok\n1 tag2 bad\n";
        let script = Script::parse("t", text, b"From x\na\n\nFrom x\nb\n").expect("a script");
        assert_eq!((script.connections, script.state), (2, State::Auth));
        let texts: Vec<&[u8]> = script
            .mail
            .iter()
            .map(|mail| mail.text.as_slice())
            .collect();
        assert_eq!(texts, [&b"a\r\n\r\n"[..], b"b\r\n"]);
        let date = received("From user@domain  Fri Feb 2 17:06:23 2008 +0200\n");
        assert_eq!(date.as_deref(), Some("\"02-Feb-2008 17:06:23 +0200\""));
        let [first, second, third] = script.steps.as_slice() else {
            panic!("{:?}", script.steps);
        };
        assert_eq!(first.expected[0].text, b"1 exists");
        assert_eq!(
            second.commands[0].end.as_deref(),
            Some(&b"no [nonexistent]"[..])
        );
        assert_eq!(third.commands[1].text, b"append {{{\n# no comment\n}}} x");
        assert_eq!(third.commands[1].end.as_deref(), Some(&b"bad"[..]));
    }
}
