//! Actions of extensions: reject, flags, header edits, vacation, notify.

use super::*;
use crate::{Extension, Extensions, RunError, Version};

#[test]
fn flags_are_the_internal_variable_or_the_tag() {
    let done = |source: &str| actions(&outcome(source)).join(", ");
    assert_eq!(
        done("setflag \"\\\\Seen x\"; addflag [\"y\", \"X\"]; removeflag \"\\\\seen\";"),
        "implicit keep [x y]"
    );
    assert_eq!(done("addflag \"a\"; keep :flags \"b c\"; "), "keep [b c]");
    assert_eq!(
        done("set \"v\" \"a b\"; addflag \"v\" \"c\"; keep :flags \"${v}\";"),
        "keep [a b c]"
    );
    assert!(holds(
        "hasflag :count \"eq\" :comparator \"i;ascii-numeric\" \"0\""
    ));
    let outcome = outcome(
        "setflag \"a\"; fileinto :copy \"x\"; setflag \"b\"; if hasflag :is \"B\" { keep; }",
    );
    assert!(
        matches!(&outcome.actions[0].action, Action::FileInto(filing) if filing.flags == ["a"])
    );
    assert_eq!(outcome.flags, ["b"]);
}

#[test]
fn what_is_refused_is_neither_kept_nor_answered() {
    for source in [
        "reject \"no\"; keep;",
        "fileinto \"a\"; ereject \"no\";",
        "reject \"a\"; reject \"b\";",
        "vacation \"x\"; reject \"no\";",
        "vacation \"a\"; vacation \"b\";",
    ] {
        let outcome = outcome(source);
        assert!(
            matches!(outcome.failure.map(|f| f.why), Some(RunError::Conflict(..))),
            "{source}"
        );
        assert!(outcome.actions.len() == 1);
    }
    assert_eq!(actions(&outcome("ereject \"no\";")), ["ereject \"no\""]);
}

#[test]
fn header_edits_are_of_the_actions_behind_them() {
    let source = "fileinto \"before\"; addheader \"X-A\" \"1\r\nEvil: 2\"; addheader :last \"X-B\" \"é\";\n\
        deleteheader :index 1 :last \"received\"; deleteheader :matches \"subject\" \"*dev*\"; \n\
        if not exists \"subject\" { fileinto \"after\"; }";
    let outcome = outcome(source);
    assert_eq!(outcome.failure, None);
    assert_eq!(outcome.actions[0].version, Version::Original);
    let Version::Header(header) = &outcome.actions[1].version else {
        panic!("a header expected");
    };
    let header = String::from_utf8_lossy(header);
    assert!(header.starts_with("X-A: 1 Evil: 2\r\nFrom:"), "{header}");
    assert!(
        header.ends_with("X-Empty:\r\nX-B: =?utf-8?q?=C3=A9?=\r\n\r\n")
            || header.contains("\r\nX-B: =?"),
        "{header}"
    );
    assert!(!header.contains("Subject"));
    // What says where a message has been stays: a loop is seen by it.
    assert_eq!(header.matches("Received:").count(), 2);
}

/// RFC 5293 §6
#[test]
fn what_loops_are_found_by_and_what_is_the_servers_own_stays() {
    let message = "Delivered-To: bob@example.net\r\nReceived: x\r\nAuto-Submitted: no\r\n\
        X-Posthouse-Marks: rbl\r\nSubject: x\r\n\r\n";
    let source = "deleteheader \"delivered-to\"; deleteheader :index 1 \"Received\"; deleteheader \"auto-submitted\" \"no\";\n\
        set \"own\" \"X-POSTHOUSE-\"; deleteheader :contains \"${own}Marks\" \"\"; addheader \"${own}Marks\" \"none\";\n\
        addheader \"x-posthouse-refused\" \"y\"; keep;";
    let outcome = outcome_of(message, source, &mut Known::default());
    assert_eq!(outcome.failure, None);
    assert_eq!(outcome.actions[0].version, Version::Original);
    let said: Vec<&str> = outcome
        .trace
        .iter()
        .map(|line| line.what.as_str())
        .collect();
    assert!(
        said.contains(&"delivered-to is not deleted by scripts"),
        "{said:?}"
    );
    assert!(
        said.contains(&"x-posthouse-refused is not added by scripts"),
        "{said:?}"
    );
}

#[test]
fn vacation_and_notify_are_said_not_done() {
    let source = "vacation :days 3 :subject \"away\" :addresses [\"b@example.net\"] :handle \"h\" \"I am away\";\n\
        notify :importance \"1\" :message \"new\" \"mailto:a@example.org\";";
    let outcome = outcome(source);
    assert_eq!(outcome.failure, None);
    let Action::Vacation(vacation) = &outcome.actions[0].action else {
        panic!("a vacation expected");
    };
    assert_eq!(
        (vacation.seconds, vacation.subject.as_deref()),
        (Some(259_200), Some("away"))
    );
    let Action::Notify(notify) = &outcome.actions[1].action else {
        panic!("a notification expected");
    };
    assert_eq!(
        (notify.importance, notify.message.as_deref()),
        (1, Some("new"))
    );
    // Neither cancels the keep.
    assert!(outcome.keeps());
}

#[test]
fn what_is_for_delivery_is_an_error_elsewhere() {
    let message = WholeMessage::new(MESSAGE.as_bytes());
    for source in [
        "require \"vacation\"; keep;",
        "require \"envelope\"; if envelope \"from\" \"x\" {}",
        "require \"ereject\"; ereject \"x\";",
    ] {
        let script = compiled(source).expect("compiles");
        let outcome = run(
            &script,
            "test",
            &input(&message, None),
            &mut Known::default(),
        );
        let why = outcome.failure.map(|failure| failure.why);
        assert!(matches!(why, Some(RunError::NotAtDelivery(_))), "{source}");
        assert_eq!(outcome.actions.len(), 1);
    }
}

#[test]
fn fileinto_says_how_to_file() {
    let source = "fileinto :create :specialuse \"\\\\Junk\" :flags \"a\" \"Spam\";";
    let outcome = outcome(source);
    let Action::FileInto(filing) = &outcome.actions[0].action else {
        panic!("a filing expected");
    };
    assert!(filing.create);
    assert_eq!(filing.special_use.as_deref(), Some("\\Junk"));
    let extensions = Extensions::offered().without(Extension::Copy);
    let offer = Offer {
        extensions,
        ..Offer::default()
    };
    assert!(compile("require [\"copy\"]; keep;", &offer).is_err());
}

/// RFC 6785 §3.11, RFC 5463 §4: what can't be done behind a command is not there.
#[test]
fn behind_commands_less_is_offered() {
    let offer = Offer::behind_commands();
    for name in [
        "vacation",
        "vacation-seconds",
        "reject",
        "ereject",
        "enotify",
        "fcc",
        "duplicate",
    ] {
        let said = compile(&format!("require [\"copy\", \"{name}\"];"), &offer).expect_err(name);
        let expected = format!("line 1, column 18: no extension \"{name}\" behind an IMAP command");
        assert_eq!(said.to_string(), expected);
        let asked = format!("require \"ihave\"; if ihave \"{name}\" {{ frob; }} else {{ keep; }}");
        assert!(compile(&asked, &offer).is_ok(), "{name}");
        assert!(compile(&format!("require \"{name}\";"), &Offer::default()).is_ok());
    }
    let both =
        "require [\"imapsieve\", \"envelope\", \"fileinto\", \"editheader\", \"ihave\", \"body\"];";
    assert!(compile(both, &offer).is_ok());
}

#[test]
fn a_header_that_is_as_it_was_makes_no_second_copy() {
    let edited = "addheader \"X-A\" \"b\"; fileinto \"x\"; addheader \"X-B\" \"c\";";
    let twice = outcome(&format!("{edited} fileinto \"x\";"));
    assert_eq!(actions(&twice), ["fileinto \"x\"", "fileinto \"x\""]);
    let once = outcome(&format!("{edited} deleteheader \"X-B\"; fileinto \"x\";"));
    assert_eq!(actions(&once), ["fileinto \"x\""]);
}
