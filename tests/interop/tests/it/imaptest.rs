//! The scripted dialogues of imaptest, where they lie beside the project.

use anyhow::ensure;
use interop::Result;
use interop::imaptest::{Exception, Outcome, Revision, Server, folder, run as run_script, scripts};
use interop::posthouse::{PASSWORD, Posthouse};
use interop::world::{Needs, World, note_skip, run};
use std::path::Path;

/// Lines that we don't satisfy, each with the sentence that says why.
const EXCEPTIONS: &[Exception] = &[
    // No message is ever recent.
    recent("copy", "* 3 recent"),
    recent("copy", "* 4 recent"),
    recent(
        "copy",
        "* 1 fetch (flags (\\recent \\seen) internaldate $date1)",
    ),
    recent(
        "copy",
        "* 2 fetch (flags (\\recent \\answered \\flagged) internaldate $date2)",
    ),
    recent("copy", "* 3 fetch (flags (\\recent) internaldate $date4)"),
    recent(
        "copy",
        "* 4 fetch (flags (\\recent \\flagged $$keyword1 $$keyword2) internaldate $date5)",
    ),
    recent("select", "* 2 recent"),
    recent(
        "select",
        "* status $mailbox (messages 2 recent 2 uidnext $uidnext uidvalidity $uidvalidity unseen 2)",
    ),
    recent("search-flags", "* search 1 3 4 5"),
    recent("search-flags", "* search"),
    recent("search-flags", "* search 1 2 3 4 5"),
    Exception {
        script: "append-binary",
        line: "* 1 fetch (binary.size[1] 7 binary[1] ~{{{",
        because: "RFC 9051 §6.4.5: BINARY.SIZE is \"the size to expect in response to the \
                  corresponding FETCH BINARY request\", but the line wants 7 octets and shows 6 of them",
    },
];

const fn recent(script: &'static str, line: &'static str) -> Exception {
    Exception {
        script,
        line,
        because: "RFC 9051 §2.3.2: \"This flag was in use in IMAP4rev1 and is now deprecated.\"",
    }
}

/// What the scripts want of IMAP4rev1 besides, and IMAP4rev2 has not.
const EXCEPTIONS_OF_REV2: &[Exception] = &[Exception {
    script: "select",
    line: "* ok [unseen 1]",
    because: "RFC 9051 §6.3.2 has no UNSEEN among \"REQUIRED OK untagged responses: PERMANENTFLAGS, \
              UIDNEXT, UIDVALIDITY\"; Appendix E deprecates it",
}];

#[test]
fn every_script_for_what_we_advertise_passes() {
    pass(
        "imaptest::every_script_for_what_we_advertise_passes",
        Revision::Rev1,
        EXCEPTIONS,
    );
}

#[test]
fn every_script_passes_behind_enable_imap4rev2() {
    pass(
        "imaptest::every_script_passes_behind_enable_imap4rev2",
        Revision::Rev2,
        &[EXCEPTIONS, EXCEPTIONS_OF_REV2].concat(),
    );
}

fn pass(name: &str, revision: Revision, exceptions: &[Exception]) {
    let Some(folder) = folder() else {
        // No part of the project: its absence is counted, and fails nobody.
        note_skip(&format!(
            "SKIPPED {name}: imaptest's scripts are not at ../shared/suites/imaptest"
        ));
        return;
    };
    run(name, Needs::Nothing, |world| {
        every_script(world, &folder, revision, exceptions)
    });
}

fn every_script(
    world: &mut World,
    folder: &Path,
    revision: Revision,
    exceptions: &[Exception],
) -> Result<()> {
    let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["alice", "bob"])?;
    ours.serve(world)?;
    let server = Server {
        addr: ours.addr(143),
        user: "alice@demo.test".into(),
        other: "bob@demo.test".into(),
        password: PASSWORD.into(),
        create_subscribes: true,
        revision,
    };
    let (mut passed, mut failed, mut missing) = (0, Vec::new(), 0);
    let mut met: Vec<(String, &str)> = Vec::new();
    for script in scripts(folder)? {
        let name = script.name().to_owned();
        match run_script(&script, &server, exceptions)? {
            Outcome::Passed(excused) => {
                passed += 1;
                eprintln!("pass            {name}{}", note(excused.len()));
                met.extend(excused.into_iter().map(|line| (name.clone(), line)));
            }
            Outcome::NotApplicable(capability) => {
                missing += 1;
                eprintln!("not applicable  {name}: no {capability}");
            }
            Outcome::Failed(reports) => {
                eprintln!("FAIL            {name}\n{}", reports.join("\n"));
                failed.push(name);
            }
        }
    }
    eprintln!(
        "imaptest, {revision:?}: {passed} passed, {missing} not applicable, {} failed; {} lines excepted",
        failed.len(),
        met.len()
    );
    ensure!(failed.is_empty(), "imaptest: {}", failed.join(" "));
    for exception in exceptions {
        let used = met
            .iter()
            .any(|(script, line)| script == exception.script && *line == exception.line);
        ensure!(used, "an exception that is none: {exception:?}");
    }
    ours.assert_sound()
}

fn note(excused: usize) -> String {
    match excused {
        0 => String::new(),
        lines => format!(" (lines excepted: {lines})"),
    }
}
