//! Where a password comes from: a file, standard input, or the person at the terminal, who is asked twice.

use std::fs::File;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::cli::PasswordFrom;
use crate::limits::PASSWORD_BYTES_MAX;

/// Reads the password.
pub(crate) fn read(from: &PasswordFrom, whose: &str) -> anyhow::Result<String> {
    let password = if let Some(path) = &from.password_file {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        first_line(file).with_context(|| format!("cannot read {}", path.display()))?
    } else if from.password_stdin {
        first_line(io::stdin().lock())?
    } else if io::stdin().is_terminal() {
        let password = ask(&format!("Password for {whose}: "))?;
        if ask("Once more: ")? != password {
            bail!("the two passwords differ; nothing was changed");
        }
        password
    } else {
        bail!("a password is needed for {whose}: give --password-file FILE or --password-stdin");
    };
    if password.is_empty() {
        bail!("the password is empty; nothing was changed");
    }
    Ok(password)
}

/// Reads another system's hash.
pub(crate) fn read_hash(path: &Path) -> anyhow::Result<String> {
    let read = || first_line(File::open(path)?);
    read().with_context(|| format!("cannot read {}", path.display()))
}

/// Reads another system's hash from standard input.
pub(crate) fn read_hash_stdin() -> anyhow::Result<String> {
    first_line(io::stdin().lock())
}

fn first_line(source: impl io::Read) -> anyhow::Result<String> {
    let mut line = String::new();
    io::BufReader::new(source.take(PASSWORD_BYTES_MAX)).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Asks on the terminal without showing what is typed.
fn ask(prompt: &str) -> anyhow::Result<String> {
    let mut err = io::stderr().lock();
    write!(err, "{prompt}")?;
    err.flush()?;
    let stdin = io::stdin();
    let before = tcgetattr(&stdin)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &silent)?;
    let read = first_line(stdin.lock());
    tcsetattr(&stdin, OptionalActions::Now, &before)?;
    writeln!(err)?;
    read
}
