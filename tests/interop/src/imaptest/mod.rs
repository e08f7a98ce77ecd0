//! Runs scripted IMAP dialogues in the language of imaptest against a server.
//!
//! The scripts are no part of the project: they are looked for beside it, and
//! their absence is told and no failure. What they ask for that we don't do is
//! named line by line in an [`Exception`] with the sentence that permits it, so
//! that the rest of such a script still counts.
//!
//! | piece | what it is |
//! |---|---|
//! | `script` | a file's header, commands and expectations; mailboxes in mbox form |
//! | `value` | responses and expectations as atoms, strings and lists |
//! | `matching` | does a response satisfy an expectation; variables |
//! | `dialogue` | connections, states, commands, answers |

mod dialogue;
mod matching;
mod script;
mod value;

pub use dialogue::{Server, run};
pub use script::Script;

use crate::world::tree;
use anyhow::{Context as _, Result};
use std::path::PathBuf;

/// What connections speak. The scripts are IMAP4rev1's; behind `ENABLE IMAP4rev2`
/// (RFC 9051) their `search` is an ESEARCH, and what only IMAP4rev1 has must not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revision {
    /// RFC 3501
    Rev1,
    /// RFC 9051
    Rev2,
}

/// A line of a script that we don't satisfy, and why not.
#[derive(Debug, Clone, Copy)]
pub struct Exception {
    /// The script's name.
    pub script: &'static str,
    /// The line as the script has it; the first line of one with a literal.
    pub line: &'static str,
    /// The sentence of the RFC.
    pub because: &'static str,
}

/// How a script went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every line that is not excepted was satisfied; the excepted lines that were met.
    Passed(Vec<&'static str>),
    /// The server does not advertise what the script is about.
    NotApplicable(String),
    /// Everything that was not satisfied.
    Failed(Vec<String>),
}

/// The folder of the scripts, if it is there.
#[must_use]
pub fn folder() -> Option<PathBuf> {
    let folder = tree().join("../shared/suites/imaptest/tests");
    folder.is_dir().then_some(folder)
}

/// Every script of the folder, by name. Folders inside are not looked at: the
/// suite keeps its broken scripts there.
pub fn scripts(folder: &std::path::Path) -> Result<Vec<Script>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() && path.extension().is_none() {
            names.push(path);
        }
    }
    names.sort();
    names
        .iter()
        .map(|path| Script::read(path).with_context(|| path.display().to_string()))
        .collect()
}
