//! Tests and controls of extensions.

use super::*;
use crate::RunError;

#[test]
fn variables_are_set_changed_and_matched() {
    for test in [
        "string \"${none}\" \"\"",
        "not string :count \"gt\" [\"\", \"${none}\"] \"0\"",
        "allof (header :matches \"subject\" \"[*] * to *\", string \"${1}-${3}-${4}\" \"dev-you-\")",
        "allof (header :regex \"subject\" \"^.([a-z]+)\", string \"${1}\" \"dev\")",
        "header :regex \"subject\" \"GR.SSE|GRÜ\"",
    ] {
        assert!(holds(test), "{test}");
    }
    for (set, value) in [
        (":lower \"v\" \"JUMBLED letters\"", "jumbled letters"),
        (
            ":lower :upperfirst \"v\" \"JUMBLED letters\"",
            "Jumbled letters",
        ),
        (":length \"v\" \"Grüße\"", "5"),
        (":quotewildcard \"v\" \"Rock*\"", "Rock\\\\*"),
        (":quoteregex \"v\" \"a.b\"", "a\\\\.b"),
        (":encodeurl \"v\" \"a b/ü\"", "a%20b%2F%C3%BC"),
    ] {
        let outcome = outcome(&format!(
            "set {set}; if string :comparator \"i;octet\" \"${{v}}\" \"{value}\" {{ discard; }}"
        ));
        assert_eq!(actions(&outcome), ["discard"], "{set}");
    }
    assert!(compiled("set :lower :upper \"a\" \"b\";").is_err());
    assert!(compiled("set \"0a\" \"b\";").is_err());
}

#[test]
fn dates_are_of_a_zone_and_an_index() {
    for test in [
        "date :originalzone \"date\" \"iso8601\" \"2009-07-20T21:44:43+03:00\"",
        "date :zone \"-0500\" \"date\" \"hour\" \"13\"",
        "date \"date\" \"hour\" \"19\"",
        "date :index 1 :originalzone \"received\" \"day\" \"21\"",
        "date :index 1 :last :originalzone \"received\" \"day\" \"20\"",
        "not date :index 3 \"received\" \"day\" [\"20\", \"21\"]",
        "currentdate :is \"date\" \"2026-01-02\"",
        "currentdate :zone \"+0000\" :is \"time\" \"03:04:05\"",
        "currentdate :value \"ge\" \"year\" \"2026\"",
        "currentdate :is \"weekday\" \"5\"",
        "header :index 2 :contains \"received\" \"from c\"",
    ] {
        assert!(holds(test), "{test}");
    }
}

#[test]
fn counts_and_values_compare() {
    for test in [
        "header :count \"eq\" :comparator \"i;ascii-numeric\" \"received\" \"2\"",
        "address :count \"ge\" :comparator \"i;ascii-numeric\" \"to\" \"2\"",
        "string :value \"lt\" :comparator \"i;ascii-numeric\" \"9\" \"10\"",
        "string :value \"gt\" \"9\" \"10\"",
    ] {
        assert!(holds(test), "{test}");
    }
}

#[test]
fn the_world_is_asked_of_mailboxes_notes_and_duplicates() {
    let mut world = Known {
        mailboxes: vec!["A", "B"],
        environment: BTreeMap::from([("location", "MS"), ("imap.cause", "FLAG")]),
        metadata: BTreeMap::from([(("A", "/private/x"), "yes"), (("", "/shared/y"), "no")]),
        ..Known::default()
    };
    for test in [
        "mailboxexists [\"A\", \"B\"]",
        "not mailboxexists [\"A\", \"C\"]",
        "environment :is \"LOCATION\" \"ms\"",
        "not environment :contains \"x-none\" \"\"",
        "environment :is \"imap.cause\" \"FLAG\"",
        "environment :is \"imap.user\" \"\"",
        "metadata :is \"A\" \"/private/x\" \"yes\"",
        "metadataexists \"A\" [\"/private/x\"]",
        "servermetadata :is \"/shared/y\" \"no\"",
        "not servermetadataexists [\"/shared/y\", \"/shared/z\"]",
        "specialuse_exists \"\\\\Junk\"",
        "not specialuse_exists \"INBOX\" \"\\\\Junk\"",
        "not duplicate",
        "duplicate",
        "not duplicate :handle \"h\"",
        "not duplicate :header \"x-none\"",
        "valid_notify_method \"mailto:a@example.org\"",
        "not valid_notify_method \"xmpp:a@example.org\"",
        "notify_method_capability \"mailto:a@b\" \"online\" \"maybe\"",
    ] {
        let outcome = outcome_in(&format!("if {test} {{ discard; }}"), &mut world);
        assert_eq!(outcome.failure, None, "{test}");
        assert_eq!(actions(&outcome), ["discard"], "{test}");
    }
}

#[test]
fn scripts_include_scripts_and_share_what_is_global() {
    let mut world = Known {
        scripts: BTreeMap::from([
            (
                "a",
                "require [\"include\", \"variables\", \"fileinto\"]; global \"g\"; set \"g\" \"from a\"; set \"l\" \"local\"; return; fileinto \"never\";",
            ),
            ("b", "require \"include\"; include \"b\";"),
            ("c", "require \"include\"; include \"d\";"),
            ("d", "require \"include\"; include \"c\";"),
            ("stops", "discard; stop;"),
            ("broken", "frob;"),
        ]),
        ..Known::default()
    };
    let mut done = |source: &str| {
        let outcome = outcome_in(source, &mut world);
        let shown = actions(&outcome).join(", ");
        outcome
            .failure
            .map_or(Ok(shown), |failure| Err(failure.why))
    };
    let included =
        "global \"g\"; include \"a\"; if string \"${g}${l}\" \"from a\" { fileinto \"well\"; }";
    assert_eq!(done(included), Ok("fileinto \"well\"".into()));
    assert_eq!(
        done("include \"a\"; fileinto \"${global.g}\";"),
        Ok("fileinto \"from a\"".into())
    );
    assert_eq!(
        done("include \"stops\"; fileinto \"never\";"),
        Ok("discard".into())
    );
    assert_eq!(done("include :once \"stops\";"), Ok("discard".into()));
    assert_eq!(
        done("include :optional \"none\";"),
        Ok("implicit keep []".into())
    );
    assert_eq!(
        done("include \"none\";"),
        Err(RunError::NoScript("none".into()))
    );
    assert_eq!(done("include \"b\";"), Err(RunError::Circular("b".into())));
    assert_eq!(done("include \"c\";"), Err(RunError::Circular("c".into())));
    assert!(matches!(
        done("include \"broken\";"),
        Err(RunError::World(_))
    ));
    assert!(compiled("include \"a/b\";").is_err());
}

#[test]
fn ihave_hides_what_is_not_here() {
    let source = "require [\"ihave\", \"fileinto\"];\n\
        if ihave \"x-none\" { x_none :what \"ever\"; } elsif allof (ihave \"copy\", not ihave [\"copy\", \"x-none\"]) { fileinto :copy \"a\"; }\n\
        if ihave \"variables\" { error \"strings are read already\"; }";
    assert_eq!(
        actions(&outcome(source)),
        ["fileinto \"a\"", "implicit keep []"]
    );
    let said = outcome("require \"ihave\"; error \"sorry\";")
        .failure
        .expect("fails");
    assert_eq!(said.why, RunError::Said("sorry".into()));
}

const PARTS: &str = "Subject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npre\r\n\
    --b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe\r\n\
    --b\r\nContent-Type: text/html\r\n\r\n<b>bold</b> <i>words</i>\r\n\
    --b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n\
    --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner text\r\n--b--\r\n";

#[test]
fn bodies_are_looked_at_raw_by_type_or_as_text() {
    let holds = |test: &str| {
        let outcome = outcome_of(
            PARTS,
            &format!("if {test} {{ discard; }}"),
            &mut Known::default(),
        );
        assert_eq!(outcome.failure, None, "{test}");
        actions(&outcome) == ["discard"]
    };
    for test in [
        "body :raw :contains \"Gr=FC=DFe\"",
        "not body :raw :contains \"Subject: parts\"",
        "body :text :contains \"Grüße\"",
        "body :contains \"bold words\"",
        "not body :text :contains \"<b>\"",
        "body :content \"application/pdf\" :contains \"%PDF\"",
        "body :content \"application\" :is \"%PDF\"",
        "not body :content \"image\" :contains \"\"",
        "body :content \"message\" :contains \"Subject: inner\"",
        "body :content \"multipart\" :contains \"pre\"",
        "body :content \"\" :contains \"inner text\"",
        "not allof (body :matches \"*bold*\", not string \"${1}\" \"\")",
    ] {
        assert!(holds(test), "{test}");
    }
}

#[test]
fn loops_go_over_parts_and_text_comes_out_of_them() {
    let done = |source: &str| {
        let outcome = outcome_of(PARTS, source, &mut Known::default());
        assert_eq!(outcome.failure, None, "{source}");
        actions(&outcome).join(", ")
    };
    let types = "foreverypart { if header :mime :matches \"content-type\" \"*;*\" { } set \"n\" \"x${n}\"; } fileinto \"${n}\";";
    // The message, its four parts, and the message in the last.
    assert_eq!(done(types), "fileinto \"xxxxxx\"");
    let attached = "foreverypart :name \"p\" { foreverypart { if header :mime :param \"filename\" :is \"content-disposition\" \"a.pdf\" { fileinto \"pdf\"; break :name \"p\"; } } discard; }";
    assert_eq!(done(attached), "fileinto \"pdf\"");
    let text = "foreverypart { if header :mime :subtype :is \"content-type\" \"plain\" { extracttext :first 4 :lower \"t\"; break; } } fileinto \"${t}\";";
    assert_eq!(done(text), "fileinto \"grüß\"");
    assert_eq!(
        done(
            "if header :mime :anychild :contenttype :is \"content-type\" \"text/html\" { discard; }"
        ),
        "discard"
    );
    assert_eq!(
        done("if exists :mime :anychild \"content-disposition\" { discard; }"),
        "discard"
    );
    assert!(compiled("break;").is_err());
    assert!(compiled("extracttext \"a\";").is_err());
    assert!(compiled("foreverypart :name \"a\" { break :name \"b\"; }").is_err());
}
