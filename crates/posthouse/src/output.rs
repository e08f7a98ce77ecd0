//! What commands print: JSON for machines, tables and lines for people; and exit statuses.
//!
//! | status | means |
//! |---|---|
//! | 0 | done |
//! | 1 | it failed, or `fsck` has findings, or the configuration has mistakes |
//! | 2 | the command line is wrong |
//! | 3 | what was named is not there |
//! | 4 | what should be made is there already, or is in use |

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command answers on its standard streams"
)]

use std::io::Write as _;
use std::process::ExitCode;

use admin::control::{CallError, CommandError, FailureKind};
use serde_json::{Value, json};

/// Columns that come first in tables; the others follow by name.
const FIRST: [&str; 8] = [
    "id",
    "label",
    "address",
    "domain",
    "state",
    "sender",
    "recipients",
    "size",
];

/// Prints a command's result.
pub(crate) fn result(value: &Value, json: bool) {
    if json {
        line(&format!("{value:#}"));
    } else {
        print!("{}", text(value));
    }
}

/// Prints a line of text. A reader that has gone away is no error.
pub(crate) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// Shows on the terminal what is being done; not part of the answer.
pub(crate) fn status(text: &str) {
    eprintln!("{text}");
}

/// Prints an error and gives its exit status.
pub(crate) fn failure(error: &anyhow::Error, json: bool) -> ExitCode {
    let kind = kind_of(error);
    if json {
        eprintln!(
            "{}",
            json!({"error": {"kind": kind, "message": format!("{error:#}")}})
        );
    } else {
        eprintln!("posthouse: {error:#}");
    }
    ExitCode::from(match kind {
        FailureKind::Failed => 1,
        FailureKind::Usage => 2,
        FailureKind::NotFound => 3,
        FailureKind::Conflict => 4,
    })
}

fn kind_of(error: &anyhow::Error) -> FailureKind {
    if let Some(error) = error.downcast_ref::<CommandError>() {
        return error.kind;
    }
    if let Some(error) = error.downcast_ref::<backup::BackupError>() {
        return crate::backups::failure(error).kind;
    }
    match error.downcast_ref::<CallError>() {
        Some(CallError::Failed(error)) => error.kind,
        _ => FailureKind::Failed,
    }
}

/// A value for people: a list of objects is a table, an object is lines of names and values.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Array(rows) if rows.is_empty() => "none\n".to_owned(),
        Value::Array(rows) if rows.iter().all(is_flat) => table(rows),
        Value::Array(rows) => rows.iter().map(text).collect::<Vec<_>>().join("\n"),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| match value {
                Value::Array(rows) if rows.iter().any(Value::is_object) => {
                    let rows = text(value).replace('\n', "\n    ");
                    format!("{name}:\n    {}\n", rows.trim_end())
                }
                _ => format!("{name}: {}\n", cell(value)),
            })
            .collect(),
        other => format!("{}\n", cell(other)),
    }
}

fn is_flat(row: &Value) -> bool {
    row.as_object().is_some_and(|fields| {
        fields.values().all(|value| match value {
            Value::Object(_) => false,
            Value::Array(items) => !items.iter().any(Value::is_object),
            _ => true,
        })
    })
}

fn table(rows: &[Value]) -> String {
    let mut heads: Vec<&str> = FIRST
        .into_iter()
        .filter(|name| rows.iter().all(|row| row.get(*name).is_some()))
        .collect();
    for fields in rows.iter().filter_map(Value::as_object) {
        for name in fields.keys() {
            if !heads.contains(&name.as_str()) {
                heads.push(name);
            }
        }
    }
    let mut lines = vec![
        heads
            .iter()
            .map(|head| head.to_uppercase())
            .collect::<Vec<_>>(),
    ];
    for row in rows {
        lines.push(heads.iter().map(|head| cell(&row[*head])).collect());
    }
    let widths: Vec<usize> = (0..heads.len())
        .map(|column| {
            let cells = lines.iter().map(|line| line[column].chars().count());
            cells.max().unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for line in lines {
        let padded: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        out.push_str(padded.join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// One value on one line. Control characters, which may come from a peer, are escaped.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text
            .chars()
            .flat_map(|c| {
                let escaped: Box<dyn Iterator<Item = char>> = if c.is_control() {
                    Box::new(c.escape_default())
                } else {
                    Box::new(std::iter::once(c))
                };
                escaped
            })
            .collect(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Object(_) => value.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_tables_and_objects_are_lines() {
        let rows = json!([{"id": 1, "who": "a@b"}, {"id": 22, "who": null}]);
        assert_eq!(text(&rows), "ID  WHO\n1   a@b\n22  -\n");
        assert_eq!(
            text(&json!({"a": true, "b": ["x", "y"]})),
            "a: true\nb: x, y\n"
        );
        assert_eq!(text(&json!([])), "none\n");
    }

    #[test]
    fn a_peers_control_characters_do_not_reach_the_terminal() {
        assert_eq!(cell(&json!("a\u{1b}[2Jb")), "a\\u{1b}[2Jb");
    }
}
