//! `posthouse sieve`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use super::Context;
use crate::acts::{SieveCheck, SieveOf, SievePut, SieveScript, request};
use crate::cli::Sieve;
use crate::limits::{SCRIPT_FILE_BYTES_MAX, TRIED_MESSAGE_BYTES_MAX};
use crate::{ask, output};

pub(super) fn run(context: &Context<'_>, command: Sieve) -> anyhow::Result<ExitCode> {
    context.act(match command {
        Sieve::Put {
            address,
            name,
            file,
        } => {
            let source = text(&file)?;
            let account = address;
            request(
                "sieve.put",
                &SievePut {
                    account,
                    name,
                    source,
                },
            )
        }
        Sieve::Get { address, name } => return get(context, address, name),
        Sieve::List { address } => request("sieve.list", &SieveOf { account: address }),
        Sieve::Remove { address, name } => {
            let account = address;
            request("sieve.remove", &SieveScript { account, name })
        }
        Sieve::Check { file, message } => {
            let source = text(&file)?;
            let message = match message {
                Some(file) => Some(super::read_file(&file, TRIED_MESSAGE_BYTES_MAX)?),
                None => None,
            };
            // What is no UTF-8 is tried with its replacements: it is nobody's mail.
            let message = message.map(|octets| String::from_utf8_lossy(&octets).into_owned());
            request("sieve.check", &SieveCheck { source, message })
        }
    }?)
}

/// The script as it is, so that it can be edited and put again.
fn get(context: &Context<'_>, account: String, name: String) -> anyhow::Result<ExitCode> {
    let asked = request("sieve.get", &SieveScript { account, name })?;
    let answer = ask::ask(context.config, asked)?;
    match answer["source"].as_str() {
        Some(source) if !context.json => output::line(source.trim_end_matches('\n')),
        _ => output::result(&answer, context.json),
    }
    Ok(ExitCode::SUCCESS)
}

fn text(file: &Path) -> anyhow::Result<String> {
    let octets = super::read_file(file, SCRIPT_FILE_BYTES_MAX)?;
    String::from_utf8(octets).with_context(|| format!("{} is no UTF-8", file.display()))
}
