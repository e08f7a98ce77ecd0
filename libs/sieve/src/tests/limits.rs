//! THREATS 26: what a script can't do, whatever it says and whatever it is run over.

use super::*;
use crate::RunError;
use proptest::prelude::*;

fn why(source: &str) -> RunError {
    why_of(MESSAGE, source)
}

fn why_of(message: &str, source: &str) -> RunError {
    let outcome = outcome_of(message, source, &mut Known::default());
    assert_eq!(actions(&outcome), ["implicit keep []"]);
    assert!(outcome.fuel_used <= Limits::default().fuel);
    outcome.failure.expect(source).why
}

#[test]
fn redirects_and_actions_are_counted() {
    let redirects: String = (0..5)
        .map(|n| format!("redirect \"a{n}@example.org\";"))
        .collect();
    assert_eq!(why(&redirects), RunError::TooManyRedirects(4));
    let filed: String = (0..33).map(|n| format!("fileinto \"{n}\";")).collect();
    assert_eq!(why(&filed), RunError::TooManyActions(32));
    let told: String = (0..5)
        .map(|n| format!("notify \"mailto:a{n}@example.org\";"))
        .collect();
    assert_eq!(why(&told), RunError::TooManyNotifications(4));
}

#[test]
fn variables_do_not_grow() {
    let doubled = format!(
        "set \"a\" \"{}\"; {} fileinto \"x\"; set :length \"l\" \"${{a}}\"; fileinto \"${{l}}\";",
        "x".repeat(1_000),
        "set \"a\" \"${a}${a}\";".repeat(20)
    );
    assert_eq!(actions(&outcome(&doubled))[1], "fileinto \"4096\"");
    // 400 times 4,096 octets in one string.
    let wide = format!(
        "set \"a\" \"{}\"; keep; set \"b\" \"{}\";",
        "x".repeat(4_096),
        "${a}".repeat(400)
    );
    assert_eq!(why(&wide), RunError::StringTooLong);
    // What one test puts in is bounded too, however many strings it has.
    let strings = vec![format!("\"{}\"", "${a}".repeat(250)); 230].join(",");
    let wide = format!(
        "set \"a\" \"{}\"; if string [{strings}] \"x\" {{}}",
        "x".repeat(4_096)
    );
    assert_eq!(why(&wide), RunError::StringTooLong);
    let many: String = (0..300).map(|n| format!("set \"v{n}\" \"\";")).collect();
    assert_eq!(why(&many), RunError::TooManyVariables);
}

#[test]
fn expressions_that_blow_up_elsewhere_take_linear_time() {
    let message = format!("Subject: {}\r\n\r\n", "x".repeat(50_000));
    let script = "if header :regex \"subject\" \"(x+x+)+y\" { discard; }";
    let outcome = outcome_of(&message, script, &mut Known::default());
    assert_eq!((outcome.failure, outcome.fuel_used < 100_000), (None, true));
    assert!(compiled("if header :regex \"subject\" \"(a{1000}){1000}\" {}").is_err());
    // What a variable makes is no expression: it matches nothing.
    let made =
        super::outcome("set \"r\" \"(\"; if header :regex \"subject\" \"${r}\" { discard; }");
    assert_eq!(actions(&made), ["implicit keep []"]);
    assert_eq!(made.failure, None);
}

#[test]
fn a_large_expression_over_a_long_text_runs_out_of_fuel() {
    let message = format!("Subject: {}\r\n\r\n", "x".repeat(200_000));
    let large = "(a?b?c?d?e?f?g?h?i?j?k?l?m?n?o?p?q?r?s?t?u?v?w?x?){20,40}y";
    let script = format!("if header :regex \"subject\" \"{large}\" {{ discard; }}");
    assert_eq!(why_of(&message, &script), RunError::OutOfFuel);
}

#[test]
fn patterns_of_many_stars_run_out_of_fuel() {
    let message = format!("Subject: {}\r\n\r\n", "a".repeat(100_000));
    let test =
        |pattern: &str| format!("if header :matches \"subject\" \"{pattern}b\" {{ discard; }}");
    // However many stars: only the last is ever made to take more.
    let many = outcome_of(&message, &test(&"*a".repeat(400)), &mut Known::default());
    assert_eq!((many.failure, many.fuel_used < 1_000_000), (None, true));
    // With "?" in it a piece is compared wherever its letters stand.
    let piece = format!("*?{}?b*", "a".repeat(5_000));
    let script = format!("if header :matches \"subject\" \"{piece}\" {{ discard; }}");
    assert_eq!(why_of(&message, &script), RunError::OutOfFuel);
}

#[test]
fn loops_over_parts_do_not_multiply() {
    let parts: String = (0..900)
        .map(|n| format!("--b\r\n\r\npart {n}\r\n"))
        .collect();
    let message = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--\r\n");
    let deep = "foreverypart { foreverypart { foreverypart { foreverypart { if body :contains \"x\" {} } } } ";
    let script = format!("{deep} if body :content \"\" :contains \"zz\" {{ }} }}");
    let outcome = outcome_of(&message, &script, &mut Known::default());
    // 900 parts, each read 900 times, would be 810,000 readings.
    assert!(outcome.fuel_used <= Limits::default().fuel);
    assert!(
        compiled(
            "foreverypart { foreverypart { foreverypart { foreverypart { foreverypart { } } } } }"
        )
        .is_err()
    );
}

#[test]
fn scripts_that_include_each_other_end() {
    let chain: Vec<(String, String)> = (0..20)
        .map(|n| {
            (
                format!("s{n}"),
                format!("require \"include\"; include \"s{}\";", n + 1),
            )
        })
        .collect();
    let leaked = chain
        .into_iter()
        .map(|(name, source)| (&*name.leak(), &*source.leak()));
    let mut world = Known {
        scripts: leaked.collect(),
        ..Known::default()
    };
    let outcome = outcome_in("include \"s0\";", &mut world);
    assert_eq!(
        outcome.failure.map(|failure| failure.why),
        Some(RunError::TooDeep)
    );
    let mut world = Known {
        scripts: BTreeMap::from([("a", "keep;")]),
        ..Known::default()
    };
    let outcome = outcome_in(&"include \"a\";".repeat(100), &mut world);
    assert_eq!(
        outcome.failure.map(|failure| failure.why),
        Some(RunError::TooManyIncludes)
    );
}

#[test]
fn headers_do_not_grow_without_bounds() {
    assert!(matches!(
        why(&"addheader \"X-A\" \"b\";".repeat(300)),
        RunError::BadField(_)
    ));
    let long = format!(
        "set \"v\" \"{}\"; addheader \"X-A\" \"${{v}}\";",
        "x".repeat(3_000)
    );
    assert!(matches!(why(&long), RunError::BadField(_)));
    assert!(matches!(
        why("set \"n\" \"a:b\"; addheader \"${n}\" \"x\";"),
        RunError::BadFieldName(_)
    ));
    assert!(compiled("addheader \"a\r\nb\" \"x\";").is_err());
}

/// What a script says is in the log: on one line, and not all of it.
#[test]
fn errors_are_short_and_of_one_line() {
    let long = format!("a\r\n{}", "x".repeat(4_000));
    for source in [
        "error \"${v}\";",
        "fileinto \"${v}\";",
        "redirect \"${v}\";",
        "deleteheader \"${v}\";",
        "notify \"${v}\";",
    ] {
        let why = why(&format!("set \"v\" \"{long}\"; {source}")).to_string();
        assert!(
            why.len() < 300 && !why.contains('\n') && why.contains("a\\r\\n"),
            "{why}"
        );
    }
}

#[test]
fn a_script_is_no_longer_than_it_may_be() {
    assert!(
        compile(
            &"#".repeat(crate::limits::SCRIPT_BYTES_MAX + 1),
            &Offer::default()
        )
        .is_err()
    );
    let strings = format!("if header [{}\"a\"] \"b\" {{}}", "\"a\",".repeat(5_000));
    assert!(compiled(&strings).is_err());
}

#[test]
fn expressions_are_bounded_together() {
    let script = |count: usize, pattern: &str| {
        let test = format!("if header :regex \"subject\" \"{pattern}\" {{ keep; }}\n");
        compiled(&test.repeat(count))
    };
    let few = script(300, "^\\\\[[a-z0-9-]+\\\\] invoice").expect("compiles");
    assert!(few.weight() < 8 << 20, "{}", few.weight());
    // What was made only to find out how large they are is not kept.
    assert!(script(300, "code \\\\d").is_ok());
    assert!(script(100, "code \\\\w").is_ok());
    // However many there are, what is wrong is said once.
    for (count, pattern) in [(3_000, "a"), (200, "\\\\w{3}")] {
        let complaints = script(count, pattern).expect_err("too large");
        let said = complaints.to_string();
        assert!(
            complaints.list().len() == 1 && said.contains("too large together"),
            "{said}"
        );
    }
}

/// Lines and strings are walked over once: these would take minutes otherwise.
#[test]
fn a_script_of_one_line_takes_no_longer_than_one_of_many() {
    let room = crate::limits::SCRIPT_BYTES_MAX - REQUIRE.len() - 100;
    let repeated = |what: &str| what.repeat(room / what.len());
    assert!(compiled(&repeated("keep;")).is_ok());
    let complaints = compiled(&format!("{} x;", repeated("keep;"))).expect_err("unknown");
    let column = room / 5 * 5 + 2;
    assert!(
        complaints
            .to_string()
            .contains(&format!("column {column}:")),
        "{complaints}"
    );
    for begins in ["${", "${a", "${hex:", "${unicode: 1 ", "${hex:24 ${"] {
        let source = format!(
            "require [\"variables\", \"encoded-character\", \"fileinto\"];\nfileinto \"{}\";",
            repeated(begins)
        );
        assert!(compile(&source, &Offer::default()).is_ok(), "{begins}");
    }
    // And names that are unknown are not all remembered.
    let unknown: String = (0..20_000).map(|n| format!("x{n};")).collect();
    assert_eq!(
        compiled(&unknown).expect_err("unknown").list().len(),
        crate::limits::COMPLAINTS_MAX
    );
}

#[test]
fn the_deepest_script_does_not_take_the_stack() {
    let blocks = |inner: &str| format!("{}{inner}{}", "if true {".repeat(31), "}".repeat(31));
    let tests = format!("if {} true {{}}", "not ".repeat(30));
    let source = blocks(&format!("include \"a\"; {tests}"));
    let included = format!("require \"include\"; {}", blocks("include \"b\";"));
    let deepest = format!("require \"include\"; {}", blocks(&tests));
    let mut world = Known {
        scripts: BTreeMap::from([("a", &*included.leak()), ("b", &*deepest.leak())]),
        ..Known::default()
    };
    let outcome = outcome_in(&source, &mut world);
    assert_eq!(outcome.failure, None);
}

proptest! {
    #[test]
    fn any_script_compiles_or_is_complained_of_and_any_that_compiles_ends(
        words in proptest::collection::vec(0..WORDS.len(), 0..40), message in "\\PC{0,80}|(From|To|Subject|Date): [ -~]{0,40}\r\n\r\n[ -~]{0,20}") {
        let source: Vec<&str> = words.into_iter().map(|word| WORDS[word]).collect();
        let source = format!("{REQUIRE}{}", source.join(" "));
        if let Ok(script) = compile(&source, &Offer::default()) {
            let message = WholeMessage::new(message.as_bytes());
            let envelope = SieveEnvelope::default();
            let outcome = run(&script, "test", &input(&message, Some(&envelope)), &mut Known::default());
            prop_assert!(!outcome.actions.is_empty());
        }
    }
}

const WORDS: &[&str] = &[
    "if",
    "elsif",
    "else",
    "not",
    "anyof",
    "allof",
    "(",
    ")",
    "{",
    "}",
    ";",
    ",",
    "[",
    "]",
    "true",
    "keep",
    "discard",
    "stop",
    "fileinto",
    "\"a\"",
    "\"${a}\"",
    "\"*\"",
    "header",
    ":matches",
    ":contains",
    ":regex",
    "\"subject\"",
    "address",
    ":domain",
    "size",
    ":over",
    "10",
    "set",
    "\"b\"",
    "date",
    "\"year\"",
    "body",
    "foreverypart",
    "break",
    "setflag",
    "hasflag",
    "addheader",
    "deleteheader",
    ":last",
    ":index",
    "1",
    "duplicate",
    "exists",
    ":mime",
    ":anychild",
    "string",
    ":count",
    "\"ge\"",
    "keep;",
    "if true {",
    "if header \"subject\" \"*\" {",
    "};",
    "discard;",
    "set \"a\" \"${0}\";",
];
