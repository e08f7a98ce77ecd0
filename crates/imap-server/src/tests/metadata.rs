//! METADATA (RFC 5464).

use super::World;

/// RFC 7162 §3.2.
#[tokio::test]
async fn a_changed_annotation_raises_the_mailboxs_mod_sequence() {
    let world = World::new().await;
    world.fill(2).await;
    let (mut bob, mut reader) = (world.bob().await, world.bob_in_inbox().await);
    let modseq = async |bob: &mut super::Client| {
        let status = bob.ok("STATUS INBOX (HIGHESTMODSEQ)").await;
        let (_, modseq) = status[0].rsplit_once(' ').expect("a number");
        modseq
            .trim_end_matches(')')
            .parse::<u64>()
            .expect("a number")
    };
    let before = modseq(&mut bob).await;
    bob.ok("SETMETADATA INBOX (/private/comment \"mine\")")
        .await;
    let after = modseq(&mut bob).await;
    assert!(after > before, "{after}");
    // What is as it was, what is of the server, and what is of another mailbox.
    bob.ok("SETMETADATA INBOX (/private/comment \"mine\" /private/none NIL)")
        .await;
    bob.ok("SETMETADATA \"\" (/private/comment \"x\")").await;
    bob.ok("SETMETADATA Archive (/private/comment \"x\")").await;
    assert_eq!(modseq(&mut bob).await, after);
    bob.ok("SETMETADATA INBOX (/private/comment NIL)").await;
    let last = modseq(&mut bob).await;
    assert!(last > after, "{last}");
    // No message changed.
    reader.check("NOOP", &["OK …"]).await;
    reader
        .check(
            &format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {before})"),
            &[&format!("* OK [HIGHESTMODSEQ {last}] …"), "OK …"],
        )
        .await;
    bob.ok("ENABLE QRESYNC").await;
    let validity = bob.ok("STATUS INBOX (UIDVALIDITY)").await;
    let (_, validity) = validity[0].rsplit_once(' ').expect("a number");
    let validity = validity.trim_end_matches(')');
    let told = bob
        .ok(&format!("SELECT INBOX (QRESYNC ({validity} {before}))"))
        .await;
    let code = format!("* OK [HIGHESTMODSEQ {last}]");
    assert!(told.iter().any(|line| line.starts_with(&code)), "{told:?}");
    let changes = |line: &&String| line.contains("FETCH") || line.contains("VANISHED");
    assert_eq!(told.iter().find(changes), None);
}

#[tokio::test]
async fn annotations_are_kept_for_mailboxes_and_for_the_server() {
    let world = World::new().await;
    let mut client = world.bob().await;
    client.check("SETMETADATA INBOX (/private/comment \"mine\" /Shared/Comment {4+}\r\nours /private/x NIL)", &["OK …"]).await;
    client
        .check("SETMETADATA \"\" (/private/vendor/a/b \"\")", &["OK …"])
        .await;
    let mut other = world.bob().await;
    other
        .check(
            "GETMETADATA INBOX (/private/comment /SHARED/comment /private/none)",
            &[
                "* METADATA \"INBOX\" (/private/comment \"mine\")",
                "* METADATA \"INBOX\" (/shared/comment \"ours\")",
                "* METADATA \"INBOX\" (/private/none NIL)",
                "OK …",
            ],
        )
        .await;
    other
        .check(
            "GETMETADATA \"\" /private/vendor/a/b",
            &["* METADATA \"\" (/private/vendor/a/b \"\")", "OK …"],
        )
        .await;
    other
        .check(
            "GETMETADATA Archive /private/comment",
            &["* METADATA \"Archive\" (/private/comment NIL)", "OK …"],
        )
        .await;
    other
        .check("SETMETADATA INBOX (/private/comment NIL)", &["OK …"])
        .await;
    client
        .check(
            "GETMETADATA INBOX /private/comment",
            &["* METADATA \"INBOX\" (/private/comment NIL)", "OK …"],
        )
        .await;
    other
        .check(
            "SETMETADATA Nowhere (/private/comment \"x\")",
            &["NO [NONEXISTENT] …"],
        )
        .await;
    other
        .check(
            "GETMETADATA Nowhere /private/comment",
            &["NO [NONEXISTENT] …"],
        )
        .await;
    other
        .check("SETMETADATA \"\" (/shared/admin \"x\")", &["NO [NOPERM] …"])
        .await;
}

#[tokio::test]
async fn depth_and_size_choose_among_them() {
    let world = World::new().await;
    let mut client = world.bob().await;
    client
        .ok("SETMETADATA INBOX (/private/a \"1\" /private/a/b \"22\" /private/a/b/c \"333\" /private/ab \"4\")")
        .await;
    let told = |rest: &str| format!("* METADATA \"INBOX\" (/private/{rest})");
    let (a, b, c) = (told("a \"1\""), told("a/b \"22\""), told("a/b/c \"333\""));
    client
        .check("GETMETADATA (DEPTH 1) INBOX /private/a", &[&a, &b, "OK …"])
        .await;
    client
        .check(
            "GETMETADATA (DEPTH infinity) INBOX (/private/a)",
            &[&a, &b, &c, "OK …"],
        )
        .await;
    client
        .check(
            "GETMETADATA INBOX (MAXSIZE 1 DEPTH infinity) /private/a",
            &[&a, "OK [METADATA LONGENTRIES 3] …"],
        )
        .await;
    client
        .check("GETMETADATA (DEPTH 1) INBOX /private/z", &["OK …"])
        .await;
}

#[tokio::test]
async fn annotations_follow_their_mailbox_and_end_with_it() {
    let world = World::new().await;
    let mut client = world.bob().await;
    client.ok("CREATE one").await;
    client.ok("SETMETADATA one (/private/comment \"x\")").await;
    client.ok("RENAME one two").await;
    client
        .check(
            "GETMETADATA two /private/comment",
            &["* METADATA \"two\" (/private/comment \"x\")", "OK …"],
        )
        .await;
    client.ok("DELETE two").await;
    client.ok("CREATE two").await;
    client
        .check(
            "GETMETADATA two /private/comment",
            &["* METADATA \"two\" (/private/comment NIL)", "OK …"],
        )
        .await;
}

#[tokio::test]
async fn annotations_have_limits_and_names() {
    let world = World::new().await;
    let mut client = world.bob().await;
    let long = "x".repeat(70_000);
    client
        .check(
            &format!("SETMETADATA INBOX (/private/long {{70000+}}\r\n{long})"),
            &["NO [METADATA MAXSIZE 65536] …"],
        )
        .await;
    let many: Vec<String> = (0..1001).map(|n| format!("/private/{n} \"\"")).collect();
    client
        .check(
            &format!("SETMETADATA INBOX ({})", many.join(" ")),
            &["NO [METADATA TOOMANY] …"],
        )
        .await;
    client
        .check(
            "GETMETADATA INBOX /private/1",
            &["* METADATA \"INBOX\" (/private/1 NIL)", "OK …"],
        )
        .await;
    for bad in [
        "GETMETADATA INBOX comment",
        "GETMETADATA INBOX /other/comment",
        "GETMETADATA INBOX /private/a*",
        "GETMETADATA INBOX /private//a",
        "GETMETADATA INBOX /private/a/",
        "GETMETADATA INBOX ()",
        "GETMETADATA (DEPTH 2) INBOX /private/a",
        "SETMETADATA INBOX (/private/a)",
        "SETMETADATA INBOX ()",
    ] {
        client.check(bad, &["BAD …"]).await;
    }
}

/// RFC 9590.
#[tokio::test]
async fn list_tells_annotations_too() {
    let world = World::new().await;
    let mut client = world.bob().await;
    client
        .ok("SETMETADATA Sent (/private/comment \"x\" /shared/comment \"y\")")
        .await;
    client
        .check(
            "LIST \"\" (INBOX Sent) RETURN (METADATA (/shared/COMMENT /private/comment) STATUS (MESSAGES))",
            &[
                "* LIST … \"INBOX\"",
                "* STATUS \"INBOX\" …",
                "* METADATA \"INBOX\" (/shared/comment NIL)",
                "* METADATA \"INBOX\" (/private/comment NIL)",
                "* LIST … \"Sent\"",
                "* STATUS \"Sent\" …",
                "* METADATA \"Sent\" (/shared/comment \"y\")",
                "* METADATA \"Sent\" (/private/comment \"x\")",
                "OK …",
            ],
        )
        .await;
    // RFC 9590 §4: not of what is told because of its children, and of what is no mailbox.
    client.ok("CREATE a/b").await;
    client.ok("SETMETADATA a (/shared/comment \"z\")").await;
    client.ok("SUBSCRIBE a/b").await;
    client.ok("UNSUBSCRIBE a").await;
    client.ok("SUBSCRIBE nowhere").await;
    client
        .check(
            "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (a nowhere) RETURN (METADATA (/shared/comment))",
            &[
                "* LIST … \"a\" (\"CHILDINFO\" (\"SUBSCRIBED\"))",
                "* LIST (…\\NonExistent…) … \"nowhere\"",
                "OK …",
            ],
        )
        .await;
    for bad in ["METADATA", "METADATA ()", "METADATA (comment)"] {
        client
            .check(&format!("LIST \"\" (*) RETURN ({bad})"), &["BAD …"])
            .await;
    }
}
