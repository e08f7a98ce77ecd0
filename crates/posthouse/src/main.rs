//! The binary: wiring and subcommands.
//!
//! A short tour, in the order of a start:
//!
//! - `cli`: the command line as types; [`commands`] has one module per command.
//! - `acts`: one implementation of each administrative act, used over the control socket and directly.
//! - `ask`: how a command finds the running server, or opens the store itself.
//! - `backups`: where backups go, and when.
//! - `place`: the data folder and its lock; `store`: everything that owns state, opened from the settings;
//!   `sharing`: which accounts share a quota.
//! - `rules`: the rules file, read at the start and again on SIGHUP.
//! - `restored_files`: where the configuration and certificates of a backup go.
//! - `wire`: the running system: listeners, faces, dispatcher, drain. `bind`: ports that one crate declares and
//!   another fulfils.
//!
//! What is not here: anything that a crate below could decide. This is the only place that sees everything.

mod acts;
mod aside;
mod ask;
mod backups;
mod bind;
mod cli;
mod commands;
mod door;
mod limits;
mod memory;
mod moment;
mod output;
mod password;
mod place;
mod restored_files;
mod rules;
mod sealing;
mod sharing;
mod store;
mod wire;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

/// A message makes some hundred small allocations, on whichever thread it is
/// just then: glibc's allocator took a seventh of a delivery's CPU time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    if Path::new(&name).file_name() == Some("sendmail".as_ref()) {
        let words: Vec<OsString> = words.collect();
        return commands::sendmail::run(None, &words);
    }
    let cli = cli::Cli::parse();
    let json = cli.json;
    match commands::run(cli) {
        Ok(code) => code,
        Err(error) => output::failure(&error, json),
    }
}
