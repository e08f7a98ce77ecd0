//! `posthouse queue`. What may take long says on the terminal how far it is.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};

use super::Context;
use crate::acts::{Draining, Look, Pausing, Reroute, Which, request};
use crate::cli::{self, Queue};
use crate::limits::{DRAIN_PAUSE, LOOK_PAUSE, LOOKS_PER_SECOND};
use crate::{ask, output};

pub(super) fn run(context: &Context<'_>, command: Queue) -> anyhow::Result<ExitCode> {
    match command {
        Queue::List(args) => list(context, args),
        Queue::Show(args) => context.act(request("queue.show", &which(args))?),
        Queue::Retry(args) => act(context, "queue.retry", args),
        Queue::Hold(args) => act(context, "queue.hold", args),
        Queue::Release(args) => act(context, "queue.release", args),
        Queue::Remove(args) => act(context, "queue.remove", args),
        Queue::Reroute { act, via } => {
            let args = Reroute {
                which: of_act(act),
                way: via,
            };
            watched(context, "queue.reroute", &args)
        }
        Queue::Stats => stats(context),
        Queue::Pause(args) => context.act(request("queue.pause", &pausing(args))?),
        Queue::Resume(args) => context.act(request("queue.resume", &pausing(args))?),
        Queue::Drain {
            transport,
            off,
            no_wait,
        } => drain(context, transport, off, no_wait),
        Queue::Paused => context.act(request("queue.paused", &Value::Null)?),
        Queue::Transcript { of, seconds } => transcript(context, of, seconds),
    }
}

/// Asks for new lines until the time is over; for programs a line is an object.
fn transcript(context: &Context<'_>, of: String, seconds: Option<u64>) -> anyhow::Result<ExitCode> {
    let mut look = Look { of, after: None };
    let mut left = seconds.map(|seconds| seconds.saturating_mul(LOOKS_PER_SECOND));
    ask::ask_repeatedly(context.config, LOOK_PAUSE, |answer| {
        if let Some(answer) = &answer {
            if look.after.is_none() && !context.json {
                listening(answer);
            }
            for said in values(&answer["lines"]) {
                output::line(&match context.json {
                    true => said.to_string(),
                    false => spoken(said),
                });
            }
            look.after = answer["last"].as_u64().or(look.after);
        }
        if left == Some(0) {
            return Ok(None);
        }
        left = left.map(|left| left - 1);
        request("queue.transcript", &look).map(Some)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn listening(answer: &Value) {
    let hosts: Vec<&str> = values(&answer["hosts"]).filter_map(Value::as_str).collect();
    if !hosts.is_empty() {
        output::status(&format!("Listening to {}", hosts.join(", ")));
    }
}

fn values(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn spoken(said: &Value) -> String {
    let text = |key: &str| said[key].as_str().unwrap_or_default();
    let mark = match text("by") {
        "us" => ">",
        "them" => "<",
        _ => "*",
    };
    let (at, host, connection) = (text("at"), text("host"), &said["connection"]);
    format!("{at} {host} #{connection} {mark} {}", text("text"))
}

fn which(args: cli::Which) -> Which {
    Which {
        ids: args.ids,
        all: args.all,
        domain: args.domain,
        sender: args.sender,
        recipient: args.recipient,
        older_s: args.older,
        younger_s: args.younger,
        reason: args.reason,
        state: args.state,
        ..Which::default()
    }
}

fn of_act(args: cli::QueueAct) -> Which {
    Which {
        count: args.dry_run,
        ..which(args.which)
    }
}

fn pausing(args: cli::Pausing) -> Pausing {
    Pausing {
        domain: args.domain,
        all: args.all,
    }
}

/// The messages; for programs that go on by pages, also where the next one begins.
fn list(context: &Context<'_>, args: cli::QueueList) -> anyhow::Result<ExitCode> {
    let paged = args.limit.is_some() || args.page.is_some();
    let counted = args.count;
    let which = Which {
        limit: args.limit,
        page: args.page,
        count: args.count,
        ..which(args.which)
    };
    let answer = ask::ask(context.config, request("queue.list", &which)?)?;
    if counted || context.json && paged {
        output::result(&answer, context.json);
        return Ok(ExitCode::SUCCESS);
    }
    output::result(&answer["messages"], context.json);
    if let Some(next) = answer["next"].as_str() {
        output::status(&format!("There are more: --page {next}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn act(context: &Context<'_>, name: &str, args: cli::QueueAct) -> anyhow::Result<ExitCode> {
    watched(context, name, &of_act(args))
}

fn watched<T: Serialize>(context: &Context<'_>, name: &str, args: &T) -> anyhow::Result<ExitCode> {
    let told = !context.json && std::io::stderr().is_terminal();
    let tell = |step: &Value| {
        if told && let Some(messages) = step["messages"].as_u64() {
            output::status(&format!("{messages} messages"));
        }
    };
    let request = request(name, args)?;
    let answer = ask::ask_watched(context.config, request, "queue.progress", tell)?;
    output::result(&answer, context.json);
    Ok(ExitCode::SUCCESS)
}

/// Waits, where there is something to wait for, until only what people hold is left.
fn drain(
    context: &Context<'_>,
    way: Option<String>,
    off: bool,
    no_wait: bool,
) -> anyhow::Result<ExitCode> {
    let begins = way.is_some();
    let begin = request("queue.drain", &Draining { way, off })?;
    let mut last = ask::ask_watched(context.config, begin, "queue.progress", |_| ())?;
    if begins && !no_wait && last["sending"] == Value::Bool(true) {
        let mut told = None;
        ask::ask_repeatedly(context.config, DRAIN_PAUSE, |answer| {
            last = answer.unwrap_or_else(|| last.clone());
            let left = last["messages"].as_u64();
            if told.replace(left) != Some(left) && !context.json {
                output::status(&format!("{} messages left", left.unwrap_or_default()));
            }
            // Somebody else may have ended it.
            let ends = last["way"].is_null() || last["moving"].as_u64() == Some(0);
            match ends {
                true => Ok(None),
                false => request("queue.drain", &Draining::default()).map(Some),
            }
        })?;
    }
    output::result(&last, context.json);
    Ok(ExitCode::SUCCESS)
}

fn stats(context: &Context<'_>) -> anyhow::Result<ExitCode> {
    let mut answer = ask::ask(context.config, request("queue.stats", &Value::Null)?)?;
    if !context.json {
        // Without a server nothing is attempted; there are no sites then.
        for name in ["sites", "servers", "detours"] {
            if answer[name].is_null() {
                answer[name] = json!([]);
            }
        }
    }
    output::result(&answer, context.json);
    Ok(ExitCode::SUCCESS)
}
