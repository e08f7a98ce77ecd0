//! `posthouse sieve`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Context;
use crate::acts::{SieveCheck, SieveEvent, SieveOf, SievePlace, SievePut, SieveScript, request};
use crate::cli::{Sieve, SieveTrial};
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
        Sieve::Check(trial) => return check(context, trial),
    }?)
}

/// A script that fails on the message is told so by the exit status too.
fn check(context: &Context<'_>, trial: SieveTrial) -> anyhow::Result<ExitCode> {
    let source = text(&trial.file)?;
    let message = match trial.message {
        Some(file) => Some(super::read_file(&file, TRIED_MESSAGE_BYTES_MAX)?),
        None => None,
    };
    // What is no UTF-8 is tried with its replacements: it is nobody's mail.
    let message = message.map(|octets| String::from_utf8_lossy(&octets).into_owned());
    let place = match trial.cause {
        None => SievePlace::Delivery {
            from: trial.from,
            to: trial.to,
        },
        Some(cause) => SievePlace::Event(SieveEvent {
            cause: cause.as_str().to_owned(),
            mailbox: trial.mailbox,
            flags: trial.flags,
            changed: trial.changed,
            user: trial.user,
        }),
    };
    let asked = request(
        "sieve.check",
        &SieveCheck {
            source,
            message,
            place,
        },
    )?;
    let answer = ask::ask(context.config, asked)?;
    let failure = &answer["failure"];
    if context.json || answer.get("steps").is_none() {
        output::result(&answer, context.json);
    } else {
        output::result(&rows(&answer), false);
        if let Some(why) = failure["why"].as_str() {
            let line = &failure["line"];
            output::status(&format!(
                "line {line} fails: {why}; the message is kept as it is"
            ));
        }
    }
    Ok(match failure {
        Value::Null => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// What each line does, and what comes of it in the end.
fn rows(answer: &Value) -> Value {
    let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
    let comes = |action: Value| {
        let what = action["what"].as_str().unwrap_or_default();
        json!({"line": action["line"], "what": format!("comes of it: {what}")})
    };
    let steps = list("steps").into_iter();
    steps
        .chain(list("actions").into_iter().map(comes))
        .collect()
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
