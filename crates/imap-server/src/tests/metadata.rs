//! METADATA (RFC 5464).

use super::World;

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
                "* LIST … \"Sent\"",
                "* STATUS \"Sent\" …",
                "* METADATA \"Sent\" (/shared/comment \"y\")",
                "* METADATA \"Sent\" (/private/comment \"x\")",
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
