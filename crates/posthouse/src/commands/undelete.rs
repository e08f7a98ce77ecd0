//! `posthouse undelete`: deleted mail comes back; with `--at` a whole account goes back to a moment.

use std::process::ExitCode;

use serde_json::Value;

use super::Context;
use crate::acts::{Undelete, request};
use crate::{ask, cli, output};

pub(super) fn run(context: &Context<'_>, args: cli::Undelete) -> anyhow::Result<ExitCode> {
    let whole = args.at.is_some();
    let listing = args.list;
    let args = Undelete {
        account: args.account,
        ids: args.ids,
        mailbox: args.mailbox,
        since: args.since,
        list: args.list,
        at: args.at,
        exact: args.exact,
        dry_run: args.dry_run,
    };
    let answer = ask::ask(context.config, request("undelete", &args)?)?;
    if context.json || listing {
        output::result(&answer, context.json);
    } else {
        let lines = if whole {
            set_back(&answer)
        } else {
            brought_back(&answer)
        };
        for line in lines {
            output::line(&line);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// In sentences what came back, or would.
fn brought_back(answer: &Value) -> Vec<String> {
    let came = verb(answer, "came back", "would come back");
    let mut lines = Vec::new();
    for row in rows(answer, "by_mailbox") {
        let count = messages(row["messages"].as_u64().unwrap_or(0));
        lines.push(format!("{count} {came} into {}", text(&row["mailbox"])));
    }
    for name in rows(answer, "mailboxes_made") {
        let made = verb(answer, "was made again", "would be made again");
        lines.push(format!("the mailbox {} {made}", text(name)));
    }
    lines.extend(lost(answer));
    if lines.is_empty() {
        lines.push("nothing to bring back: nothing that was deleted is still kept, or nothing of it was asked for".to_owned());
    }
    lines
}

/// In sentences what the way back to a moment did, or would do.
fn set_back(answer: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for (key, done, would) in [
        ("restored", "came back", "would come back"),
        (
            "moved_back",
            "went back to where they were",
            "would go back to where they were",
        ),
        (
            "flags_set_back",
            "have their flags of then",
            "would get their flags of then",
        ),
        (
            "into_trash",
            "that came since went into the trash",
            "that came since would go into the trash",
        ),
    ] {
        match answer[key].as_u64() {
            None | Some(0) => {}
            Some(count) => lines.push(format!("{} {}", messages(count), verb(answer, done, would))),
        }
    }
    for (key, done, would) in [
        ("mailboxes_made", "was made again", "would be made again"),
        (
            "mailboxes_renamed",
            "has its name again",
            "would get its name again",
        ),
        (
            "mailboxes_removed",
            "was made since, is empty, and went",
            "was made since, would be empty, and would go",
        ),
    ] {
        for name in rows(answer, key) {
            lines.push(format!(
                "the mailbox {} {}",
                text(name),
                verb(answer, done, would)
            ));
        }
    }
    lines.extend(lost(answer));
    if lines.is_empty() {
        let at = text(&answer["at"]);
        lines.push(format!(
            "nothing to do: the account holds what it held at {at}"
        ));
    }
    lines
}

fn verb(answer: &Value, done: &'static str, would: &'static str) -> &'static str {
    if answer["dry_run"] == true {
        would
    } else {
        done
    }
}

fn lost(answer: &Value) -> Option<String> {
    let count = answer["lost"].as_u64().filter(|count| *count > 0)?;
    let count = messages(count);
    Some(format!(
        "{count} cannot come back: the records are gone; a backup may have them"
    ))
}

fn messages(count: u64) -> String {
    match count {
        1 => "1 message".to_owned(),
        count => format!("{count} messages"),
    }
}

fn rows<'a>(answer: &'a Value, key: &str) -> &'a [Value] {
    answer[key].as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_done_is_told_in_sentences() {
        let answer = json!({
            "dry_run": false, "restored": 3, "lost": 1,
            "by_mailbox": [{"mailbox": "INBOX", "messages": 1}, {"mailbox": "Work", "messages": 2}],
            "mailboxes_made": ["Work"],
        });
        assert_eq!(
            brought_back(&answer),
            [
                "1 message came back into INBOX",
                "2 messages came back into Work",
                "the mailbox Work was made again",
                "1 message cannot come back: the records are gone; a backup may have them",
            ]
        );
        let answer = json!({"dry_run": true, "at": "x", "moved_back": 2, "into_trash": 1, "mailboxes_removed": ["new"]});
        assert_eq!(
            set_back(&answer),
            [
                "2 messages would go back to where they were",
                "1 message that came since would go into the trash",
                "the mailbox new was made since, would be empty, and would go",
            ]
        );
        assert_eq!(
            set_back(&json!({"at": "x"})),
            ["nothing to do: the account holds what it held at x"]
        );
    }
}
