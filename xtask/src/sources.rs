//! What every source file must be like: a head that says what lives there, a bearable length, no forbidden words,
//! no paths of somebody's machine.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::floors::Rules;

/// Parts of paths that exist on one machine alone. Written in halves, so that this file does not find itself.
const MACHINE_PATHS: [&str; 3] = [
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("/Us", "ers/"),
];

/// Files that are text to us.
const TEXT_ENDINGS: [&str; 9] = [
    ".rs", ".toml", ".md", ".py", ".sh", ".html", ".yml", ".yaml", "Makefile",
];

/// All findings about files.
pub(crate) fn check(root: &Path, rules: &Rules) -> anyhow::Result<Vec<String>> {
    let mut findings = Vec::new();
    for path in files(root)? {
        if !TEXT_ENDINGS.iter().any(|ending| path.ends_with(ending)) {
            continue;
        }
        // A file that was deleted but not yet committed as such is no concern.
        let Ok(bytes) = std::fs::read(root.join(&path)) else {
            continue;
        };
        let text = String::from_utf8_lossy(&bytes);
        check_paths(&path, &text, &mut findings);
        if path.ends_with(".rs") {
            check_rust(rules, &path, &text, &mut findings);
        }
    }
    Ok(findings)
}

/// What git knows, and what it would know after `git add`.
pub(crate) fn files(root: &Path) -> anyhow::Result<Vec<String>> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root)
        .output()
        .context("git cannot be started")?;
    if !output.status.success() {
        bail!(
            "git ls-files failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let listed = String::from_utf8(output.stdout).context("a file's name is not UTF-8")?;
    Ok(listed
        .split('\0')
        .filter(|path| !path.is_empty())
        .map(str::to_owned)
        .collect())
}

fn check_paths(path: &str, text: &str, findings: &mut Vec<String>) {
    for (index, line) in text.lines().enumerate() {
        for machine_path in MACHINE_PATHS {
            if line.contains(machine_path) {
                findings.push(format!(
                    "{path}:{}: names {machine_path}, a path of one machine",
                    index + 1
                ));
            }
        }
    }
}

fn check_rust(rules: &Rules, path: &str, text: &str, findings: &mut Vec<String>) {
    if !text.starts_with("//!") {
        findings.push(format!(
            "{path}: begin with `//!`: what lives here and what does not"
        ));
    }
    let lines = text.lines().count();
    if lines > rules.files.lines_max {
        findings.push(format!(
            "{path}: {lines} lines; split it, {} are the most",
            rules.files.lines_max
        ));
    }
    let Some(name) = rules.crate_of(path) else {
        return;
    };
    if is_test(path) {
        return;
    }
    let code = code_of(text);
    for (word, owners) in &rules.words {
        if !owners.iter().any(|owner| owner == name) {
            for line in lines_naming(&code, word) {
                findings.push(format!(
                    "{path}:{line}: {word} is for {} alone",
                    owners.join(", ")
                ));
            }
        }
    }
    if rules.pure_crate(name) {
        for word in &rules.pure.words {
            for line in lines_naming(&code, word) {
                findings.push(format!(
                    "{path}:{line}: {name} is pure and may not name {word}"
                ));
            }
        }
    }
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// The text with comments and the tests at its end blanked; lines stay where they are.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    for line in text.lines() {
        if line.starts_with("mod tests {") {
            break;
        }
        if !line.trim_start().starts_with("//") {
            code.push_str(line);
        }
        code.push('\n');
    }
    code
}

/// The lines that name `word`, whole or inside a braced `use` (`tokio::{net, time}`).
fn lines_naming(code: &str, word: &str) -> Vec<usize> {
    let line_at = |offset: usize| code[..offset].matches('\n').count() + 1;
    let mut lines: Vec<usize> = code
        .match_indices(word)
        .filter(|(offset, _)| !code[offset + word.len()..].starts_with(is_identifier))
        .map(|(offset, _)| line_at(offset))
        .collect();
    if let Some((head, last)) = word.rsplit_once("::") {
        let opening = format!("{head}::{{");
        for (offset, _) in code.match_indices(&opening) {
            let inside = &code[offset + opening.len()..];
            let inside = &inside[..inside.find(';').unwrap_or(inside.len())];
            let named = inside
                .split(|c: char| !is_identifier(c))
                .any(|part| part == last);
            if named {
                lines.push(line_at(offset));
            }
        }
    }
    lines
}

fn is_identifier(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_whole_and_in_braces() {
        let code = code_of(
            "// tokio::net is not for us\nuse tokio::{net::TcpStream, sync};\nlet x = tokio::net::connect();\nuse tokio::network;\n#[cfg(test)]\nmod tests {\n use tokio::net;\n}\n",
        );
        let mut lines = lines_naming(&code, "tokio::net");
        lines.sort_unstable();
        assert_eq!(lines, [2, 3]);
    }

    #[test]
    fn machine_paths_are_found() {
        let mut findings = Vec::new();
        check_paths(
            "a.md",
            &format!("x\nsee {}x", MACHINE_PATHS[0]),
            &mut findings,
        );
        assert!(findings[0].starts_with("a.md:2:"));
    }
}
