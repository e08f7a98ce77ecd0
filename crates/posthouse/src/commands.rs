//! The subcommands, one module each.

mod account;
mod alias;
mod backup;
mod ban;
mod config;
mod demo;
mod domain;
mod fsck;
mod init;
mod queue;
mod restore;
mod route;
pub(crate) mod sendmail;
mod serve;
mod sieve;
mod suppress;
mod tls_report;
mod undelete;

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use admin::control::Request;
use anyhow::{Context as _, ensure};
use serde_json::json;

use crate::acts::{Named, request};
use crate::cli::{Cli, Command, Webhook};
use crate::{ask, output};

const NEXT: &str = "\
Posthouse is a complete mail system in one program. What next?

  posthouse demo                  try it: a throw-away system on this machine
  posthouse init --dir DIR --domain example.org --admin admin@example.org
                                  write a configuration and a data folder
  posthouse serve --config DIR/posthouse.toml
                                  run it
  posthouse --help                all commands";

/// What every command is given besides its own arguments.
pub(crate) struct Context<'a> {
    pub(crate) config: Option<&'a Path>,
    pub(crate) json: bool,
}

impl Context<'_> {
    /// Carries out an act and prints its answer.
    fn act(&self, request: Request) -> anyhow::Result<ExitCode> {
        let answer = ask::ask(self.config, request)?;
        output::result(&answer, self.json);
        Ok(ExitCode::SUCCESS)
    }
}

/// A file, or standard input where it is `-`.
fn read_file(file: &Path, bytes_max: u64) -> anyhow::Result<Vec<u8>> {
    let mut octets = Vec::new();
    let bound = bytes_max.saturating_add(1);
    let read = if file.as_os_str() == "-" {
        let input = std::io::stdin().lock();
        input.take(bound).read_to_end(&mut octets)
    } else {
        let opened = std::fs::File::open(file);
        opened.and_then(|file| file.take(bound).read_to_end(&mut octets))
    };
    read.with_context(|| format!("cannot read {}", file.display()))?;
    let name = file.display();
    ensure!(
        octets.len() as u64 <= bytes_max,
        "{name} is larger than it may be ({bytes_max} bytes)"
    );
    Ok(octets)
}

/// Carries out the command line.
pub(crate) fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let context = Context {
        config: cli.config.as_deref(),
        json: cli.json,
    };
    match cli.command {
        None => {
            output::line(NEXT);
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Init(args)) => init::run(&context, &args),
        Some(Command::Serve) => serve::run(&context),
        Some(Command::Demo(args)) => demo::run(&args),
        Some(Command::Domain(command)) => domain::run(&context, command),
        Some(Command::Account(command)) => account::run(&context, command),
        Some(Command::Alias(command)) => alias::run(&context, command),
        Some(Command::Ban(command)) => ban::run(&context, command),
        Some(Command::TlsReport(command)) => tls_report::run(&context, command),
        Some(Command::Webhook(Webhook::List)) => {
            context.act(request("webhook.list", &json!(null))?)
        }
        Some(Command::Webhook(Webhook::Test { name })) => {
            context.act(request("webhook.test", &Named { name })?)
        }
        Some(Command::Sieve(command)) => sieve::run(&context, command),
        Some(Command::Suppress(command)) => suppress::run(&context, command),
        Some(Command::Lists) => context.act(request("door.lists", &json!(null))?),
        Some(Command::Trace { query }) => context.act(request("trace", &Named { name: query })?),
        Some(Command::Queue(command)) => queue::run(&context, command),
        Some(Command::Route(args)) => route::run(&context, args),
        Some(Command::Config(command)) => config::run(&context, &command),
        Some(Command::Undelete(args)) => undelete::run(&context, args),
        Some(Command::Fsck(args)) => fsck::run(&context, args),
        Some(Command::Backup(args)) => backup::run(&context, args),
        Some(Command::Restore(args)) => restore::run(&context, &args),
        Some(Command::Sendmail { words }) => Ok(sendmail::run(context.config, &words)),
        Some(Command::Version) => {
            version(&context);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn version(context: &Context<'_>) {
    let version = env!("CARGO_PKG_VERSION");
    if context.json {
        output::result(&json!({"version": version}), true);
    } else {
        output::line(&format!("posthouse {version}"));
    }
}
