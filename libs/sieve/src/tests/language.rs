//! RFC 5228: the language, its tests and its actions.

use super::*;

#[test]
fn control_structures_take_the_first_branch_that_is_true() {
    let done = |source: &str| actions(&outcome(source)).join(", ");
    assert_eq!(done(""), "implicit keep []");
    assert_eq!(
        done(
            "if false { discard; } elsif true { fileinto \"a\"; } elsif true { fileinto \"b\"; } else { keep; }"
        ),
        "fileinto \"a\""
    );
    assert_eq!(done("if false { discard; } else { keep; }"), "keep []");
    assert_eq!(
        done("fileinto \"a\"; if true { stop; } discard;"),
        "fileinto \"a\""
    );
    assert_eq!(done("discard; keep;"), "discard, keep []");
    assert_eq!(
        done("fileinto :copy \"a\";"),
        "fileinto \"a\", implicit keep []"
    );
    assert_eq!(
        done("fileinto \"a\"; fileinto \"a\"; keep; keep;"),
        "fileinto \"a\", keep []"
    );
    assert_eq!(
        done("redirect \"Eve <eve@example.org>\";"),
        "redirect \"eve@example.org\""
    );
    assert_eq!(
        done("redirect :copy \"a@example.org\"; redirect :copy \"A@example.org\";"),
        "redirect \"a@example.org\", implicit keep []"
    );
}

#[test]
fn tests_look_at_the_message() {
    for test in [
        // §5.7: unfolded, decoded, white space at the ends gone.
        "header :is \"subject\" \"[dev] Grüße to you\"",
        "header :contains [\"x-none\", \"SUBJECT\"] [\"zzz\", \"GR\"]",
        "header :is \"x-empty\" \"\"",
        "not header :is \"x-none\" \"\"",
        "not header :contains \"x-none\" \"\"",
        "header :matches \"subject\" \"[*]*\"",
        "header :comparator \"i;octet\" :contains \"subject\" \"Gr\"",
        "not header :comparator \"i;octet\" :contains \"subject\" \"gr\"",
        "header :comparator \"i;unicode-casemap\" :contains \"subject\" \"GRÜßE\"",
        // §5.1
        "address :is \"to\" \"carol@example.com\"",
        "address :localpart :is \"from\" \"ann+lists\"",
        "address :domain :is [\"from\", \"to\"] \"EXAMPLE.NET\"",
        "address :user :is \"from\" \"ann\"",
        "address :detail :is \"from\" \"lists\"",
        "not address :detail :contains \"to\" \"\"",
        // §5.4
        "envelope :is \"from\" \"ann@example.org\"",
        "envelope :detail :is \"to\" \"dev\"",
        // §5.5, §5.9
        "exists [\"from\", \"x-empty\"]",
        "not exists [\"from\", \"x-none\"]",
        "size :over 100",
        "size :under 1M",
        "anyof (false, allof (true, not false))",
    ] {
        assert!(holds(test), "{test}");
    }
}

#[test]
fn the_null_sender_is_empty_whatever_part_is_asked_for() {
    let message = WholeMessage::new(MESSAGE.as_bytes());
    let script = "require \"envelope\"; if envelope :domain :is \"from\" \"\" { discard; }";
    let script = compiled(script).expect("compiles");
    let envelope = SieveEnvelope::default();
    let outcome = run(
        &script,
        "test",
        &input(&message, Some(&envelope)),
        &mut Known::default(),
    );
    assert_eq!(actions(&outcome), ["discard"]);
}

/// What is said of a script, each with its place.
fn said(source: &str) -> Vec<String> {
    let complaints = compile(source, &Offer::default()).expect_err(source);
    complaints.list().iter().map(ToString::to_string).collect()
}

#[test]
fn complaints_say_where_and_what_was_expected() {
    for (source, expected) in [
        (
            "fileinto \"a\";",
            "line 1, column 1: \"fileinto\" needs: require \"fileinto\";",
        ),
        (
            "keep;\nrequire \"fileinto\";",
            "line 2, column 1: \"require\" stands before all other commands",
        ),
        (
            "require \"x-none\";",
            "line 1, column 9: no extension \"x-none\" here",
        ),
        (
            "frobnicate;",
            "line 1, column 1: unknown command \"frobnicate\"",
        ),
        (
            "if header :all \"a\" \"b\" {}",
            "line 1, column 11: unknown tagged argument ':all' for the header test",
        ),
        (
            "if header \"a\" {}",
            "line 1, column 4: the header test requires 2 positional argument(s), but 1 is specified",
        ),
        (
            "if header 1 \"a\" {}",
            "line 1, column 11: expected a string list, but a number is here",
        ),
        (
            "if header :is :matches \"a\" \"b\" {}",
            "line 1, column 15: \":is\" and \":matches\" exclude each other",
        ),
        (
            "if header \"a\" \"b\" true {}",
            "line 1, column 19: the header test accepts no sub-tests, but some are specified",
        ),
        (
            "header \"a\" \"b\";",
            "line 1, column 1: attempted to use test 'header' as a command",
        ),
        (
            "if keep {}",
            "line 1, column 4: attempted to use command 'keep' as a test",
        ),
        (
            "else { keep; }",
            "line 1, column 1: \"else\" stands behind no \"if\"",
        ),
        (
            "if true { } else { } elsif true { }",
            "line 1, column 22: \"elsif\" stands behind \"else\"",
        ),
        ("if true;", "line 1, column 1: \"if\" has a block"),
        (
            "if (true, false) {}",
            "line 1, column 4: \"if\" has one test",
        ),
        (
            "if size 5 {}",
            "line 1, column 4: the size test has \":over\" or \":under\"",
        ),
        (
            "redirect \"nobody\";",
            "line 1, column 10: this is no mail address",
        ),
        (
            "if address \"subject\" \"x\" {}",
            "line 1, column 4: \"subject\" is no header field with addresses",
        ),
        (
            "if header :comparator \"i;x\" \"a\" \"b\" {}",
            "line 1, column 11: unknown comparator \"i;x\"",
        ),
        (
            "if header :comparator \"i;ascii-numeric\" \"a\" \"b\" {}",
            "line 1, column 11: this comparator needs: require \"comparator-i;ascii-numeric\";",
        ),
        (
            "require [\"imapsieve\",\"vacation\"];",
            "line 1, column 1: \"vacation\" is for mail that is delivered, \"imapsieve\" for mail that was",
        ),
    ] {
        assert_eq!(said(source), [expected], "{source}");
    }
}

#[test]
fn all_that_is_wrong_is_said_in_order() {
    let said = said("keep\nif heder \"a\" \"b\" { $ discard; }\nfoo;\nfoo;");
    assert_eq!(said.len(), 4, "{said:?}");
    assert!(said[0].starts_with("line 2, column 1: expected \";\""));
    assert!(said[3].contains("unknown command \"foo\""));
}

#[test]
fn a_failure_keeps_the_message_and_says_where() {
    let mut world = Known::default();
    let outcome = outcome_in(
        "discard;\nif mailboxexists \"Broken\" { stop; }",
        &mut world,
    );
    assert_eq!(actions(&outcome), ["implicit keep []"]);
    let failure = outcome.failure.expect("fails");
    // The line of `require` stands before.
    assert_eq!(
        failure.to_string(),
        "script \"test\", line 3: the store is away"
    );
    // Nor are flags of it left.
    let failed = super::outcome("addflag \"x\"; error \"no\";");
    assert_eq!(actions(&failed), ["implicit keep []"]);
    assert!(failed.flags.is_empty());
}

#[test]
fn what_each_line_did_is_told_if_it_is_asked_for() {
    let source = "if header :contains \"subject\" \"dev\" {\n  fileinto \"Dev\";\n}";
    let traced = outcome(source);
    let lines: Vec<_> = traced
        .trace
        .iter()
        .map(|line| (line.line, line.what.as_str()))
        .collect();
    assert_eq!(
        lines,
        [
            (2, "\"dev\" is found"),
            (2, "header \"subject\" is true"),
            (3, "fileinto \"Dev\"")
        ]
    );
    let message = WholeMessage::new(MESSAGE.as_bytes());
    let script = compiled(source).expect("compiles");
    let untraced = Input {
        traced: false,
        ..input(&message, None)
    };
    assert!(
        run(&script, "test", &untraced, &mut Known::default())
            .trace
            .is_empty()
    );
}
