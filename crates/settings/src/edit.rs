//! Writing the file: a fresh one, or keys of an existing one with its comments kept.

use std::fmt::Write as _;

use toml_edit::{Array, DocumentMut, Item, Table, Value};

use crate::explain::{find, section_of};
use crate::keys::Key;
use crate::parse::check_value;
use crate::{Mistakes, Settings};

/// Why a key was not set.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The key or the value is wrong.
    #[error("{0}")]
    Refused(String),
    /// The file would be wrong afterwards, or was before.
    #[error("the file would not be right; keys that need each other are set by one command")]
    Mistaken(#[from] Mistakes),
}

/// The file's text with keys set, each to its value, which is TOML, or bare text for a key that takes text, or a
/// comma-separated list for a key that takes a list. The result has been read back and is right: keys that need
/// each other go together.
///
/// # Errors
/// When a key, a value or the result is wrong; nothing was changed then.
pub fn edit(text: &str, changes: &[(&str, &str)]) -> Result<String, EditError> {
    let mut document: DocumentMut = text
        .parse()
        .map_err(|_| Settings::parse(text).err().unwrap_or(Mistakes(Vec::new())))?;
    for (name, value) in changes {
        set(&mut document, name, value).map_err(EditError::Refused)?;
    }
    let edited = document.to_string();
    Settings::parse(&edited)?;
    Ok(edited)
}

fn set(document: &mut DocumentMut, name: &str, value: &str) -> Result<(), String> {
    let key = find(name)?;
    let value = fit(key, value)?;
    let mut table: &mut Table = document.as_table_mut();
    let (section, last) = name.rsplit_once('.').unwrap_or(("", name));
    if !section.is_empty() {
        let item = table
            .entry(section)
            .or_insert_with(|| Item::Table(Table::new()));
        if item.is_inline_table()
            && let Ok(own) = std::mem::take(item).into_table()
        {
            *item = Item::Table(own);
        }
        table = item
            .as_table_mut()
            .ok_or_else(|| format!("{section} is not a table in the file"))?;
    }
    match table.get_mut(last).and_then(Item::as_value_mut) {
        Some(old) => {
            let decor = old.decor().clone();
            *old = value;
            *old.decor_mut() = decor;
        }
        None => {
            table.insert(last, Item::Value(value));
        }
    }
    Ok(())
}

/// Reads what a person typed in the way that fits the key.
fn fit(key: &Key, typed: &str) -> Result<Value, String> {
    let list = || {
        let items = typed
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty());
        Value::Array(items.collect::<Array>())
    };
    let readings = [
        typed.trim().parse::<Value>().ok(),
        Some(Value::from(typed)),
        Some(list()),
    ];
    let mut problem = None;
    for value in readings.into_iter().flatten() {
        match check_value(key, &value) {
            Ok(()) => return Ok(value.decorated(" ", "")),
            Err(wrong) => _ = problem.get_or_insert(wrong),
        }
    }
    Err(format!(
        "{}: {}; expected {}, for example {}",
        key.name,
        problem.unwrap_or_default(),
        key.expected,
        key.example
    ))
}

/// A fresh file with these keys (name and TOML value), each with its sentence above it.
///
/// # Panics
/// When a name is not in the table or the values do not make a right file: both are our own.
#[must_use]
pub fn render(values: &[(&str, String)]) -> String {
    let mut out = String::from(
        "# Posthouse. Everything that is not here has its default:\n\
         # `posthouse config reference` lists all keys, `posthouse config explain KEY` says what one means.\n",
    );
    let mut sorted: Vec<_> = values
        .iter()
        .map(|(name, value)| {
            let key = find(name).expect("the names come from our own code");
            (section_of(name), key, value)
        })
        .collect();
    sorted.sort_by_key(|(section, _, _)| *section);
    let mut current = "";
    for (section, key, value) in sorted {
        if section != current {
            let _ = writeln!(out, "\n[{}]", section.trim_end_matches('.'));
            current = section;
        } else if section.is_empty() {
            out.push('\n');
        }
        for line in key.doc {
            let _ = writeln!(out, "# {}", line.trim());
        }
        let last = key.name.rsplit('.').next().unwrap_or(key.name);
        let _ = writeln!(out, "{last} = {value}");
    }
    Settings::parse(&out).expect("the values come from our own code");
    out
}
