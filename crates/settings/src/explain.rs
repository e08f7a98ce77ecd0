//! What the table says to people: one key, all keys, the value in force.

use std::fmt::Write as _;

use toml_edit::{DocumentMut, Item};

use crate::keys::{KEYS, Key, SECTIONS};
use crate::parse::nearest_hint;

/// All key names, in the order of the reference page.
pub fn names() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|key| key.name)
}

/// What a key means, takes and defaults to.
///
/// # Errors
/// When there is no such key; the error names the nearest.
pub fn explain(name: &str) -> Result<String, String> {
    let key = find(name)?;
    let mut out = format!("{}\n", key.name);
    for line in key.doc {
        let _ = writeln!(out, "  {}", line.trim());
    }
    let _ = writeln!(out, "  takes:   {}", takes(key));
    let _ = writeln!(out, "  default: {}", key.default);
    let _ = writeln!(out, "  example: {}", key.example);
    Ok(out)
}

/// The value of a key that a file's text puts in force, as TOML: its own, or the default.
///
/// # Errors
/// When there is no such key, or the text is not TOML.
pub fn shown(text: &str, name: &str) -> Result<String, String> {
    let key = find(name)?;
    let document: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| error.to_string())?;
    let mut item: Option<&Item> = Some(document.as_item());
    for part in name.split('.') {
        item = item.and_then(|item| item.as_table_like()?.get(part));
    }
    Ok(match item.and_then(Item::as_value) {
        Some(value) => value.clone().decorated("", "").to_string(),
        None => key.default.to_owned(),
    })
}

/// The reference page, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         One TOML file. Every command takes `--config FILE`; without it, `./posthouse.toml` is read, then\n\
         `/etc/posthouse/posthouse.toml`. Domains and people are not in it: they live in the store.\n\
         What may come in and where it goes has a file of its own: [policy.md](policy.md).\n\
         `posthouse config check` finds mistakes, `posthouse config explain KEY` says what one key means, and\n\
         `posthouse config set KEY VALUE` changes it and keeps the comments.\n\n\
         This page is made by `posthouse config reference` from the program's own table of keys.\n",
    );
    for (prefix, doc) in SECTIONS {
        let title = prefix.strip_suffix('.').unwrap_or("(top of the file)");
        let _ = writeln!(out, "\n## {title}\n");
        for line in *doc {
            let _ = writeln!(out, "{}", line.trim());
        }
        for key in KEYS.iter().filter(|key| section_of(key.name) == *prefix) {
            let _ = writeln!(out, "\n### `{}`\n", key.name);
            for line in key.doc {
                let _ = writeln!(out, "{}", line.trim());
            }
            let _ = writeln!(out, "\n- takes: {}", takes(key));
            let _ = writeln!(out, "- default: `{}`", key.default);
            let _ = writeln!(out, "- example: `{} = {}`", key.name, key.example);
        }
    }
    out
}

pub(crate) fn find(name: &str) -> Result<&'static Key, String> {
    KEYS.iter()
        .find(|key| key.name == name)
        .ok_or_else(|| format!("{name}: there is no such key; {}", nearest_hint(name)))
}

/// `listen.` of `listen.smtp`; empty at the top of the file.
pub(crate) fn section_of(name: &str) -> &str {
    name.rfind('.').map_or("", |dot| &name[..=dot])
}

fn takes(key: &Key) -> String {
    match key.range {
        Some((min, max)) => format!("{}, from {min} to {max}", key.expected),
        None => key.expected.to_owned(),
    }
}
