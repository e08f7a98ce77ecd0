//! `posthouse sendmail`, also when the program is called `sendmail`: scripts hand mail over.
//!
//! The message goes over the server's local socket (`sendmail.socket`), which knows by the system which user asks; there
//! is no password. It speaks SMTP, so `-bs` is the socket itself. Exit statuses are those of sysexits.h.
//! Not here: who may send as whom (`policy`), Date, Message-ID and Bcc (`intake`).

mod args;
mod message;
mod session;

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

use settings::Settings;

use crate::limits::SENDMAIL_PATIENCE;
use crate::{output, place};
use args::{Args, Mode};

/// What went wrong, as sysexits.h counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Usage = 64,
    Data = 65,
    NoUser = 67,
    Unavailable = 69,
    TempFail = 75,
    NoPerm = 77,
    Config = 78,
}

/// A failure with its words.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: Status,
    pub(super) text: String,
}

impl Failure {
    pub(super) fn new(status: Status, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }
}

/// Runs the command. `words` are the arguments behind the program's or the subcommand's name.
pub(crate) fn run(config: Option<&Path>, words: &[OsString]) -> ExitCode {
    match carry_out(config, words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::status(&format!("sendmail: {}", failure.text));
            ExitCode::from(failure.status as u8)
        }
    }
}

fn carry_out(config: Option<&Path>, words: &[OsString]) -> Result<(), Failure> {
    let args = args::parse(words)?;
    let config = args.config.as_deref().or(config);
    let settings =
        place::load(config).map_err(|error| Failure::new(Status::Config, format!("{error:#}")))?;
    let stream = connect(&settings.sendmail.socket)?;
    if args.mode == Mode::Smtp {
        return pass_through(stream)
            .map_err(|error| Failure::new(Status::TempFail, error.to_string()));
    }
    let user = runtime::process::own_user()
        .ok_or_else(|| Failure::new(Status::NoUser, "you are not a user of this machine"))?;
    let domain = domain(&settings);
    let text = read_message(&args, settings.limits.message_bytes.0)?;
    let message = message::prepare(&text, &args, &user, &domain)?;
    session::send(stream, &message)
}

/// What stands behind the `@` of a user of this machine.
fn domain(settings: &Settings) -> String {
    if !settings.sendmail.domain.is_empty() {
        return settings.sendmail.domain.clone();
    }
    let hostname = place::hostname(settings);
    // `init` calls the server mail.DOMAIN.
    match hostname.split_once('.') {
        Some((_, rest)) if rest.contains('.') => rest.to_owned(),
        _ => hostname,
    }
}

fn connect(socket: &Path) -> Result<UnixStream, Failure> {
    if socket.as_os_str().is_empty() {
        let text = "sendmail.socket is not set: `posthouse config set sendmail.socket /run/posthouse/sendmail.sock`, then restart the server";
        return Err(Failure::new(Status::Config, text));
    }
    let stream = UnixStream::connect(socket).map_err(|error| {
        let (status, what_to_do) = match error.kind() {
            io::ErrorKind::PermissionDenied => (
                Status::NoPerm,
                "this user may not open it: let its folder be entered by all who may send",
            ),
            _ => (
                Status::TempFail,
                "does the server run, with this sendmail.socket? Try again when it does",
            ),
        };
        let at = socket.display();
        let text = format!("cannot reach the server at {at}: {error}; {what_to_do}");
        Failure::new(status, text)
    })?;
    let patient = stream
        .set_read_timeout(Some(SENDMAIL_PATIENCE))
        .and_then(|()| stream.set_write_timeout(Some(SENDMAIL_PATIENCE)));
    patient.map_err(|error| Failure::new(Status::TempFail, error.to_string()))?;
    Ok(stream)
}

/// Standard input up to its end, or up to a lone dot.
fn read_message(args: &Args, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let read = io::stdin()
        .lock()
        .take(bytes_max.saturating_add(1))
        .read_to_end(&mut text);
    read.map_err(|error| Failure::new(Status::Data, error.to_string()))?;
    if text.len() as u64 > bytes_max {
        let text = format!("the message is larger than {bytes_max} bytes (limits.message_bytes)");
        return Err(Failure::new(Status::Data, text));
    }
    if !args.ignore_dots {
        message::cut_at_dot(&mut text);
    }
    Ok(text)
}

/// `-bs`: the caller speaks SMTP itself.
fn pass_through(stream: UnixStream) -> io::Result<()> {
    let mut answers = stream.try_clone()?;
    answers.set_read_timeout(None)?;
    let mut questions = stream;
    // Ends with standard input, or with the process.
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut questions);
        let _ = questions.shutdown(std::net::Shutdown::Write);
    });
    let mut out = io::stdout().lock();
    let mut buffer = [0; 4096];
    loop {
        match answers.read(&mut buffer)? {
            0 => return Ok(()),
            count => {
                out.write_all(&buffer[..count])?;
                out.flush()?;
            }
        }
    }
}
