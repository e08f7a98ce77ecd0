//! `posthouse route`.

use std::process::ExitCode;

use super::Context;
use crate::acts::{RouteAsk, request};
use crate::cli::Route;
use crate::{ask, output};

pub(super) fn run(context: &Context<'_>, args: Route) -> anyhow::Result<ExitCode> {
    let asked = RouteAsk {
        sender: args.sender,
        recipient: args.recipient,
        from_ip: args.from_ip,
        helo: args.helo,
        user: args.user,
        size: args.size,
    };
    let answer = ask::ask(context.config, request("route", &asked)?)?;
    if context.json {
        output::result(&answer, true);
        return Ok(ExitCode::SUCCESS);
    }
    for step in answer["steps"].as_array().into_iter().flatten() {
        let word = |name: &str| step[name].as_str().unwrap_or_default().to_owned();
        output::line(&format!("{:>10}  {}", word("about"), word("text")));
    }
    Ok(ExitCode::SUCCESS)
}
