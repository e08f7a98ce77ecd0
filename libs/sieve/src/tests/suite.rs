//! Pigeonhole's own test scripts, where they lie beside the project: data only, nothing of them is here.

use super::suite_world::{SuiteWorld, offer};
use crate::compile;
use std::path::{Path, PathBuf};

/// What does not pass: a file's beginning, a test's beginning (nothing for all of the file), and why.
const LISTED: &[(&str, &str, &str)] = &[
    (
        "extensions/regex/errors",
        "Runtime",
        "an expression that is none matches nothing, and is no error",
    ),
    (
        "comparators/i-unicode-casemap",
        "",
        "RFC 5228 §2.7.3: the comparator has to be required, and is not",
    ),
    (
        "compile/errors",
        "",
        "how many complaints there are of broken scripts, and their words",
    ),
    (
        "execute/actions",
        "Fileinto",
        "that keep and fileinto of INBOX are one is known to the caller",
    ),
    (
        "execute/errors",
        "Fileinto invalid",
        "which names mailboxes have is known to the caller",
    ),
    (
        "execute/errors",
        "Fileinto bad UTF-8",
        "RFC 5228 §2.1: text is UTF-8; here a complaint when compiled",
    ),
    (
        "execute/examples",
        "",
        "the example scripts are not part of the suite",
    ),
    (
        "execute/smtp",
        "",
        "sender, marks and loops of a redirect are the caller's",
    ),
    (
        "extensions/body/text",
        "Double Slash",
        "RFC 2045 §5.2: a type that is none is text/plain",
    ),
    (
        "extensions/editheader/errors",
        "",
        "limits that are set, and words",
    ),
    (
        "extensions/editheader/execute",
        "Multi",
        "scripts one after another are the caller's",
    ),
    (
        "extensions/editheader/protected",
        "",
        "which fields are protected is a setting there",
    ),
    (
        "extensions/enotify/",
        "",
        "mailto: is told, not looked into; limits that are set",
    ),
    (
        "extensions/envelope",
        "",
        "paths that a session lets in nowhere",
    ),
    (
        "extensions/environment/basic",
        "Name",
        "it is not Pigeonhole",
    ),
    ("extensions/extlists/", "", "lists are settings there"),
    (
        "extensions/imap4flags/errors",
        "",
        "how many complaints there are",
    ),
    (
        "extensions/imap4flags/execute",
        "",
        "a keyword for attachments that Dovecot adds",
    ),
    (
        "extensions/imap4flags/flagstore",
        "",
        "a keyword for attachments that Dovecot adds",
    ),
    (
        "extensions/imap4flags/multiscript",
        "",
        "scripts one after another are the caller's",
    ),
    (
        "extensions/include/errors",
        "",
        "included scripts are looked for when one runs (RFC 6609 §3.2)",
    ),
    (
        "extensions/include/execute",
        "",
        "scripts in a dictionary are a setting there",
    ),
    ("extensions/mailbox/errors", "", "an extension of Dovecot's"),
    (
        "extensions/metadata/errors",
        "",
        "RFC 5228 §2.1: text is UTF-8; how many complaints there are",
    ),
    ("extensions/reject/smtp", "", "refusing is the caller's"),
    (
        "extensions/relational/errors",
        "",
        "how many complaints there are",
    ),
    (
        "extensions/special-use/errors",
        "",
        "RFC 5228 §2.1: text is UTF-8; how many complaints there are",
    ),
    (
        "extensions/spamvirustest/",
        "",
        "where verdicts come from is a setting there",
    ),
    (
        "extensions/vacation/",
        "",
        "whether and how is answered is the caller's",
    ),
    ("extensions/vnd.dovecot/", "", "extensions of Dovecot's"),
    (
        "failures/",
        "",
        "no more is asked than that nothing falls over",
    ),
    (
        "multiscript/conflicts",
        "",
        "scripts one after another are the caller's",
    ),
    ("plugins/", "", "extensions of Dovecot's"),
];

fn scripts(folder: &Path) -> Vec<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    let mut out = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "svtest")
            {
                out.push(path);
            }
        }
    }
    out.sort();
    out
}

#[test]
fn pigeonholes_scripts_pass_but_for_those_that_are_listed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/suites/sieve/tests");
    if !folder.is_dir() {
        println!("skipped: {} is not there", folder.display());
        return;
    }
    let mut passed = 0;
    let mut failed: Vec<(String, String, String)> = Vec::new();
    for path in scripts(&folder) {
        let name = path
            .strip_prefix(&folder)
            .expect("in the folder")
            .display()
            .to_string();
        let source = std::fs::read_to_string(&path).expect("a readable file");
        // The test extension's own variable.
        let source = source.replace("${tst.path}", "");
        let script = match compile(&source, &offer(true)) {
            Ok(script) => script,
            Err(complaints) => {
                let why = format!("does not compile: {}", complaints.list()[0]);
                failed.push((name, String::new(), why));
                continue;
            }
        };
        let mut world = SuiteWorld::new(path.parent().expect("a folder"));
        if let Some(why) = world.run(&script) {
            failed.push((name.clone(), String::new(), why));
        }
        passed += world.passed.len();
        failed.extend(
            world
                .failed
                .into_iter()
                .map(|(test, why)| (name.clone(), test, why)),
        );
    }
    let is = |(file, test, _): &&(&str, &str, &str), (name, of, _): &(String, String, String)| {
        name.starts_with(file) && of.starts_with(test)
    };
    let strange = failed
        .iter()
        .filter(|one| !LISTED.iter().any(|listed| is(&listed, one)));
    let strange: Vec<_> = strange.collect();
    let needless = LISTED
        .iter()
        .filter(|listed| !failed.iter().any(|one| is(listed, one)));
    let needless: Vec<_> = needless.collect();
    println!("{passed} tests passed, {} did not", failed.len());
    assert!(strange.is_empty(), "not listed: {strange:#?}");
    assert!(needless.is_empty(), "these pass: {needless:#?}");
    assert!(passed >= 458, "{passed}");
}
