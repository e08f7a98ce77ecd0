//! A program that reads a message.
//!
//! It runs as we do, in a group of its own, with nothing of our environment.
//! How it ends says what becomes of the message, by the codes of `sysexits.h`:
//! those that speak of the message or the recipient are final, any other only
//! delays, since a script with a mistake must not cost mail.

use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use envelope::Recipient;
use runtime::Task;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::dress::{Dress, Form};
use crate::limits::{OUTPUT_BYTES_MAX, WORDS_BYTES_MAX};
use crate::{Handing, Refused, names};

/// Where programs are looked for by those that the program starts.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// It is started once for each recipient.
pub(crate) fn is_for_each(command: &[String]) -> bool {
    let marks = ["{recipient}", "{local}", "{domain}"];
    let names_one = |argument: &String| marks.iter().any(|mark| argument.contains(mark));
    command.iter().any(names_one)
}

impl Handing<'_> {
    pub(crate) async fn program(
        &self,
        (command, timeout): (&[String], Duration),
        recipients: &[Recipient],
    ) -> Result<String, Refused> {
        let one = recipients.first().filter(|_| is_for_each(command));
        let arguments = names::arguments(command, self.envelope, one)?;
        let environment = self.environment(recipients);
        // Never closed.
        let _turn = self.programs.acquire().await;
        let start = move || Running::start(&arguments, environment);
        let (mut running, stdin, words) = match self.runtime.blocking(start).await {
            Ok(started) => started,
            Err(error) => {
                let what = command.first().map_or("", String::as_str);
                let why = format!("{what} could not be started: {error}");
                return Err(Refused::temporary((4, 3, 0), &why));
            }
        };
        let runtime = self.runtime.clone();
        let reading = async move { runtime.blocking(move || read(words)).await };
        let words = self.runtime.spawn("a program's words", reading);
        let ended = self.feed_and_wait(&running, stdin);
        let in_time = self.runtime.timeout(timeout, ended).await;
        let exit = self.runtime.blocking(move || running.end()).await?;
        let words = last_line(words).await;
        match in_time {
            Err(_) => {
                let seconds = timeout.as_secs();
                let why = format!("it was ended after {seconds} seconds{words}");
                Err(Refused::temporary((4, 3, 0), &why))
            }
            Ok(Err(refused)) => Err(refused),
            Ok(Ok(())) => verdict(exit, &words),
        }
    }

    fn environment(&self, recipients: &[Recipient]) -> Vec<(&'static str, String)> {
        let sender = self.envelope.reverse_path.to_string();
        let all: Vec<String> = recipients
            .iter()
            .map(|recipient| recipient.address.to_string())
            .collect();
        vec![
            ("PATH", PATH.to_owned()),
            ("SENDER", sender.trim_matches(['<', '>']).to_owned()),
            ("RECIPIENT", all.join(" ")),
            ("SIZE", self.message.size().to_string()),
        ]
    }

    /// A program that does not want to read the message need not.
    async fn feed_and_wait(&self, running: &Running, stdin: ChildStdin) -> Result<(), Refused> {
        let sender = self.envelope.reverse_path.to_string();
        let head = format!("Return-Path: <{}>\n", sender.trim_matches(['<', '>']));
        let form = Form::File(Dress::plain());
        match self.write(stdin, head.as_bytes(), form).await {
            Ok(stdin) => drop(stdin),
            Err(Refused::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(refused) => return Err(refused),
        }
        let pid = running.pid;
        let wait = move || {
            // Not reaped: while it is there nobody else has its number.
            waitid(
                WaitId::Pid(pid),
                WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
            )
        };
        self.runtime.blocking(wait).await.map_err(io::Error::from)?;
        Ok(())
    }
}

/// A program that was started; it and what it has started are ended with this.
struct Running {
    child: Child,
    pid: Pid,
    is_over: bool,
}

impl Running {
    fn start(
        command: &[String],
        environment: Vec<(&'static str, String)>,
    ) -> io::Result<(Self, ChildStdin, io::PipeReader)> {
        let [program, arguments @ ..] = command else {
            return Err(io::Error::other("no program is named"));
        };
        let (words, out) = io::pipe()?;
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(environment)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()?;
        let stdin = child.stdin.take();
        let running = Self {
            pid: Pid::from_child(&child),
            child,
            is_over: false,
        };
        let stdin = stdin.ok_or_else(|| io::Error::other("it has no standard input"))?;
        Ok((running, stdin, words))
    }

    fn end(&mut self) -> io::Result<ExitStatus> {
        self.is_over = true;
        // None is left, or none may be touched any more.
        let _ = kill_process_group(self.pid, Signal::KILL);
        self.child.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_over {
            let _ = self.end();
        }
    }
}

fn read(mut words: io::PipeReader) -> Vec<u8> {
    let mut kept = Vec::new();
    // What cannot be read was not said.
    let _ = words.by_ref().take(OUTPUT_BYTES_MAX).read_to_end(&mut kept);
    let _ = io::copy(&mut words, &mut io::sink());
    kept
}

/// The last line that it has said, behind a colon.
async fn last_line(words: Task<Vec<u8>>) -> String {
    let words = words.join().await.unwrap_or_default();
    let words = String::from_utf8_lossy(&words);
    let Some(line) = words.lines().map(str::trim).rfind(|line| !line.is_empty()) else {
        return String::new();
    };
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    format!(": {}", &line[..line.floor_char_boundary(WORDS_BYTES_MAX)])
}

fn verdict(exit: ExitStatus, words: &str) -> Result<String, Refused> {
    let Some(code) = exit.code() else {
        let signal = exit.signal().unwrap_or(0);
        let why = format!("it was ended by signal {signal}{words}");
        return Err(Refused::temporary((4, 3, 0), &why));
    };
    let text = format!("it ended with code {code}{words}");
    // sysexits.h; RFC 3463
    let status = match code {
        0 => return Ok(format!("the program took it{words}")),
        // EX_DATAERR
        65 => (5, 6, 0),
        // EX_NOUSER
        67 => (5, 1, 1),
        // EX_NOHOST
        68 => (5, 1, 2),
        // EX_UNAVAILABLE
        69 => (5, 3, 0),
        // EX_CANTCREAT
        73 => (5, 2, 0),
        // EX_NOPERM
        77 => (5, 7, 1),
        _ => return Err(Refused::temporary((4, 3, 0), &text)),
    };
    Err(Refused::permanent(status, &text))
}
