//! `posthouse fsck`: exit status 0 when the store is sound, 1 when there are findings.

use std::process::ExitCode;

use serde_json::Value;

use super::Context;
use crate::acts::{Fsck, request};
use crate::{ask, cli, output};

pub(super) fn run(context: &Context<'_>, args: cli::Fsck) -> anyhow::Result<ExitCode> {
    let args = Fsck {
        account: args.account,
        repair: args.repair,
    };
    let answer = ask::ask(context.config, request("fsck", &args)?)?;
    let findings = answer["findings"].as_array().map_or(&[][..], Vec::as_slice);
    if context.json {
        output::result(&answer, true);
    } else {
        for finding in findings.iter().filter_map(Value::as_str) {
            output::line(finding);
        }
        output::line(&format!(
            "{} accounts checked, {} findings",
            answer["accounts"],
            findings.len()
        ));
    }
    Ok(if findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}
