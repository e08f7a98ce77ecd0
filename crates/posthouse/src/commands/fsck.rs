//! `posthouse fsck`: exit status 0 when the store is sound, 1 when there are findings; with `--repair`, when
//! there are findings left.
//!
//! While it runs it says on the terminal how far it is.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use serde_json::Value;

use super::Context;
use crate::acts::{Fsck, request};
use crate::{ask, cli, output};

pub(super) fn run(context: &Context<'_>, args: cli::Fsck) -> anyhow::Result<ExitCode> {
    let args = Fsck {
        account: args.account,
        repair: args.repair,
        index: args.index,
    };
    let told = !context.json && std::io::stderr().is_terminal();
    let answer = ask::ask_watched(
        context.config,
        request("fsck", &args)?,
        "fsck.progress",
        |step| {
            if told {
                output::status(&progress(step));
            }
        },
    )?;
    let findings = answer["findings"].as_array().map_or(&[][..], Vec::as_slice);
    if context.json {
        output::result(&answer, true);
    } else {
        for done in answer["repaired"].as_array().into_iter().flatten() {
            output::line(&format!(
                "repaired ({}): {}.",
                done["checker"].as_str().unwrap_or_default(),
                done["what"].as_str().unwrap_or_default()
            ));
        }
        if let Some(folder) = answer["aside"].as_str() {
            output::line(&format!("Records that were taken out are in {folder}."));
        }
        for finding in findings {
            output::line(&in_words(finding));
        }
        output::line(&summary(&answer, findings.len()));
    }
    Ok(if findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

fn progress(step: &Value) -> String {
    let name = step["step"].as_str().unwrap_or_default();
    match step["total"].as_u64() {
        Some(total) if total > 0 => format!("{name}: {} of {total}", step["done"]),
        _ => name.to_owned(),
    }
}

/// What is wrong, what it means, what to do.
fn in_words(finding: &Value) -> String {
    let text = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let whose = match finding["account"].as_str() {
        Some(address) => format!("{address}: "),
        None => String::new(),
    };
    format!(
        "{} ({}): {whose}{}.\n    What it means: {}.\n    What to do: {}.",
        text("checker"),
        text("severity"),
        text("what"),
        text("means"),
        text("next"),
    )
}

fn summary(answer: &Value, findings: usize) -> String {
    let accounts = &answer["accounts"];
    let more = answer["more"].as_u64().unwrap_or(0);
    match (findings, more) {
        (0, _) => format!("{accounts} accounts checked, the store is sound"),
        (_, 0) => format!("{accounts} accounts checked, {findings} findings"),
        _ => format!("{accounts} accounts checked, {findings} findings and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_finding_says_what_why_and_what_next() {
        let finding = json!({
            "checker": "blob-present", "severity": "lost", "account": "a@b.c",
            "what": "email 1: blob 2 is missing", "means": "it is lost", "next": "restore it",
        });
        assert_eq!(
            in_words(&finding),
            "blob-present (lost): a@b.c: email 1: blob 2 is missing.\n    What it means: it is lost.\n    What to do: restore it."
        );
        let answer = json!({"accounts": 3, "more": 2});
        assert_eq!(
            summary(&answer, 0),
            "3 accounts checked, the store is sound"
        );
        assert_eq!(
            summary(&answer, 7),
            "3 accounts checked, 7 findings and 2 more"
        );
        assert_eq!(
            progress(&json!({"step": "accounts", "done": 2, "total": 9})),
            "accounts: 2 of 9"
        );
        assert_eq!(
            progress(&json!({"step": "queue", "done": 0, "total": 0})),
            "queue"
        );
    }
}
