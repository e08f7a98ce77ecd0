//! `posthouse fsck`: exit status 0 when the store is sound, 1 when there are findings.
//!
//! With `--repair` the index, which is only the journal's shadow, is thrown away first and made again by opening.

use std::process::ExitCode;

use serde_json::Value;

use super::Context;
use crate::acts::{Fsck, request};
use crate::store::Store;
use crate::{ask, cli, output, place};

pub(super) fn run(context: &Context<'_>, args: cli::Fsck) -> anyhow::Result<ExitCode> {
    if args.repair {
        let settings = place::load(context.config)?;
        Store::drop_index(&settings)?;
    }
    let args = Fsck {
        account: args.account,
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
