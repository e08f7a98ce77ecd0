//! Tests that documents name are there, and the threats of sessions and the rules of practice have theirs.
//!
//! In `docs/vulns.md`, `docs/practice.md` and the ledgers below `docs/rfc` a word in backticks with two
//! underscores or more is a test's name. A test of one crate may be named as `module::name`. Other documents are
//! not looked at. In a ledger of rules (a table whose first column is `§`) each rule that is kept names a test, or
//! says `no test:` and why.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;

/// What names tests.
const DOCUMENTS: [&str; 2] = ["docs/vulns.md", "docs/practice.md"];

/// Where the ledgers are.
const LEDGERS: &str = "docs/rfc";

/// The threats, by their numbers in `docs/vulns.md`, that need a test named after them.
const THREATS: [std::ops::RangeInclusive<u32>; 2] = [1..=12, 23..=25];

/// What some of them are made of: each word stands in the name of a test of that threat.
const SUBJECTS: [(u32, &[&str]); 3] = [
    (
        23,
        &[
            "4_gb",
            "open_literals",
            "flood",
            "nesting",
            "nul",
            "names",
            "tag",
        ],
    ),
    (
        24,
        &[
            "search",
            "sort",
            "threads",
            "fetch",
            "multisearch",
            "contexts",
            "slow_reader",
            "idle",
            "notify",
            "hundred_thousand_mailboxes",
            "large_mailbox",
        ],
    ),
    (
        25,
        &[
            "only_grow",
            "every_session",
            "client_claims",
            "after_a_restore",
        ],
    ),
];

/// All findings about named tests.
pub(crate) fn check(root: &Path, sources: &[String]) -> anyhow::Result<Vec<String>> {
    let mut tests = BTreeSet::new();
    for path in sources.iter().filter(|path| path.ends_with(".rs")) {
        // A file that was deleted but not yet committed as such is no concern.
        if let Ok(text) = std::fs::read_to_string(root.join(path)) {
            tests.extend(tests_of(&text));
        }
    }
    let mut findings = Vec::new();
    for document in DOCUMENTS {
        let text = std::fs::read_to_string(root.join(document));
        let text = text.with_context(|| format!("{document} cannot be read"))?;
        check_names(document, &text, &tests, &mut findings);
        if document == DOCUMENTS[0] {
            check_threats(document, &text, &mut findings);
        } else {
            check_rows(document, &text, &mut findings);
        }
    }
    let mut ledgers = Vec::new();
    for entry in std::fs::read_dir(root.join(LEDGERS)).context(LEDGERS)? {
        ledgers.push(entry?.file_name().to_string_lossy().into_owned());
    }
    ledgers.sort();
    for ledger in ledgers.iter().filter(|name| name.ends_with(".md")) {
        let path = format!("{LEDGERS}/{ledger}");
        let text = std::fs::read_to_string(root.join(&path)).with_context(|| path.clone())?;
        check_names(&path, &text, &tests, &mut findings);
        check_ledger(&path, &text, &mut findings);
    }
    Ok(findings)
}

/// The names of a source's test functions.
fn tests_of(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test) {
            let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_');
            names.extend(name.take(1).map(str::to_owned));
            is_test = false;
        }
    }
    names
}

/// The tests that a line names.
fn named(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split('`').skip(1).step_by(2);
    let names = words.map(|word| word.rsplit("::").next().unwrap_or(word));
    names.filter(|name| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        name.matches('_').count() >= 2 && name.chars().all(plain)
    })
}

fn check_names(path: &str, text: &str, tests: &BTreeSet<String>, findings: &mut Vec<String>) {
    for (index, line) in text.lines().enumerate() {
        for name in named(line).filter(|name| !tests.contains(*name)) {
            findings.push(format!("{path}:{}: there is no test {name}", index + 1));
        }
    }
}

fn check_threats(path: &str, text: &str, findings: &mut Vec<String>) {
    for number in THREATS.into_iter().flatten() {
        let prefix = format!("threat_{number:02}_");
        if !text
            .lines()
            .any(|line| named(line).any(|name| name.starts_with(&prefix)))
        {
            findings.push(format!(
                "{path}: no test is named after threat {number} ({prefix}…)"
            ));
        }
    }
    for (number, subjects) in SUBJECTS {
        let prefix = format!("threat_{number:02}_");
        for subject in subjects {
            let of_it = |name: &str| name.starts_with(&prefix) && name.contains(subject);
            if !text.lines().any(|line| named(line).any(of_it)) {
                findings.push(format!(
                    "{path}: no test of threat {number} is named after {subject} ({prefix}…)"
                ));
            }
        }
    }
}

/// Each row of a table about rules names a test, or says `not yet`.
fn check_rows(path: &str, text: &str, findings: &mut Vec<String>) {
    for (index, line) in text.lines().enumerate() {
        let is_row = line.starts_with('|') && !line.starts_with("|--");
        let is_head = text
            .lines()
            .nth(index + 1)
            .is_some_and(|next| next.starts_with("|--"));
        if is_row && !is_head && named(line).next().is_none() && !line.contains("not yet") {
            findings.push(format!("{path}:{}: this rule has no test", index + 1));
        }
    }
}

/// Each rule of a ledger says whether it is kept; what is kept names its test.
fn check_ledger(path: &str, text: &str, findings: &mut Vec<String>) {
    let mut in_rules = false;
    for (index, line) in text.lines().enumerate() {
        if !line.starts_with('|') || line.starts_with("| § |") {
            in_rules = line.starts_with("| § |");
            continue;
        }
        if !in_rules || line.starts_with("|--") {
            continue;
        }
        let cells: Vec<&str> = line
            .split(" | ")
            .map(|cell| cell.trim_matches(&['|', ' '][..]))
            .collect();
        let wrong = match cells.get(2) {
            Some(&"yes") if named(line).next().is_none() && !line.contains("no test:") => {
                "this rule has no test"
            }
            Some(&"yes" | &"partial" | &"no") if cells.len() == 5 => continue,
            _ => "a rule has section, text, yes, partial or no, place and test",
        };
        findings.push(format!("{path}:{}: {wrong}", index + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_and_not_there_is_found() {
        let source = "#[test]\nfn one_two_three() {}\n#[tokio::test(start_paused = true)]\n#[ignore]\nasync fn four_five_six() {\n fn a_b_c() {}";
        let tests: BTreeSet<String> = tests_of(source).into_iter().collect();
        assert_eq!(tests.len(), 2);
        let mut findings = Vec::new();
        let text =
            "see `one_two_three` and\n`x::four_five_six` `a_b_c` `some/path_of_mine.rs` `one_word`";
        check_names("a.md", text, &tests, &mut findings);
        assert_eq!(findings, ["a.md:2: there is no test a_b_c"]);
    }

    #[test]
    fn a_threat_and_a_rule_without_a_test_are_found() {
        let mut findings = Vec::new();
        check_threats("a.md", "`threat_01_x` `threat_11_x`", &mut findings);
        let named = |finding: &&String| finding.contains("is named after threat");
        assert_eq!(findings.iter().filter(named).count(), 13);
        let subject = |finding: &&String| finding.contains("24 is named after multisearch ");
        assert_eq!(findings.iter().filter(subject).count(), 1);
        findings.clear();
        let table =
            "| rule | tests |\n|---|---|\n| a | `a_test_here` |\n| b | |\n| c | *not yet* |\n";
        check_rows("a.md", table, &mut findings);
        assert_eq!(findings, ["a.md:4: this rule has no test"]);
    }

    #[test]
    fn a_rule_of_a_ledger_without_its_test_is_found() {
        let mut findings = Vec::new();
        let table = "| RFC | state |\n|---|---|\n| 1 | yes |\n\n| § | rule | kept | where | test |\n|---|---|---|---|---|\n\
                     | 1 | a | yes | x.rs | `a_test_here` |\n| 2 | b | yes | x.rs | |\n\
                     | 3 | c | yes | x.rs | no test: the type |\n| 4 | d | no | x.rs | |\n| 5 | e | maybe | x.rs | |\n";
        check_ledger("a.md", table, &mut findings);
        assert_eq!(
            findings,
            [
                "a.md:8: this rule has no test",
                "a.md:11: a rule has section, text, yes, partial or no, place and test"
            ]
        );
    }
}
