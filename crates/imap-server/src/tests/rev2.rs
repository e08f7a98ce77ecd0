//! What ENABLE IMAP4rev2 changes (RFC 9051 §6.3.1, Appendix A).

use super::World;

async fn rev2(world: &World) -> super::Client {
    let mut client = world.bob().await;
    client
        .check("ENABLE X-FOO imap4rev2", &["* ENABLED IMAP4rev2", "OK …"])
        .await;
    client
}

#[tokio::test]
async fn enable_names_what_it_switched_on() {
    let world = World::new().await;
    let mut client = world.bob().await;
    client.check("ENABLE X-FOO", &["* ENABLED", "OK …"]).await;
    client
        .check(
            "ENABLE CONDSTORE IMAP4rev2 condstore",
            &["* ENABLED CONDSTORE IMAP4rev2", "OK …"],
        )
        .await;
    client.check("ENABLE", &["BAD …"]).await;
}

#[tokio::test]
async fn select_has_list_and_neither_recent_nor_unseen() {
    let world = World::new().await;
    world.fill(1).await;
    let mut client = rev2(&world).await;
    client.ok("CREATE INBOX/sub").await;
    client
        .check(
            "SELECT inbox",
            &[
                "* FLAGS (…)",
                "* 1 EXISTS",
                "* OK [PERMANENTFLAGS (…)] …",
                "* OK [UIDVALIDITY …] …",
                "* OK [UIDNEXT 2] …",
                "* OK [HIGHESTMODSEQ …] …",
                "* OK [MAILBOXID (…)] …",
                "* LIST (\\HasChildren \\Subscribed) \"/\" \"INBOX\"",
                "OK [READ-WRITE] selected",
            ],
        )
        .await;
    client
        .check(
            "SELECT Drafts",
            &[
                "* OK [CLOSED] …",
                "* FLAGS (…)",
                "* 0 EXISTS",
                "* OK [PERMANENTFLAGS (…)] …",
                "* OK [UIDVALIDITY …] …",
                "* OK [UIDNEXT 1] …",
                "* OK [HIGHESTMODSEQ …] …",
                "* OK [MAILBOXID (…)] …",
                "* LIST (\\HasNoChildren \\Subscribed \\Drafts) \"/\" \"Drafts\"",
                "OK [READ-WRITE] selected",
            ],
        )
        .await;
    client
        .check(
            "APPEND Drafts {2+}\r\nhi",
            &["* 1 EXISTS", "OK [APPENDUID … 1] appended"],
        )
        .await;
}

#[tokio::test]
async fn search_is_answered_by_esearch() {
    let world = World::new().await;
    world.fill(3).await;
    let mut client = rev2(&world).await;
    client.ok("SELECT INBOX").await;
    for (command, data) in [
        ("SEARCH ALL", " ALL 1:3"),
        ("UID SEARCH 2:3", " UID ALL 2:3"),
        ("SEARCH SEEN", ""),
        ("UID SEARCH SEEN", " UID"),
        ("SEARCH RETURN (COUNT) ALL", " COUNT 3"),
    ] {
        let tag = client.tags + 1;
        let line = format!("* ESEARCH (TAG \"t{tag}\"){data}");
        client.check(command, &[&line, "OK searched"]).await;
    }
}

#[tokio::test]
async fn names_are_utf8_in_both_directions() {
    let world = World::new().await;
    let mut old = world.bob().await;
    let mut new = rev2(&world).await;
    new.ok("CREATE \"收件 & 箱\"").await;
    new.ok("CREATE \"a&U,BTFw-\"").await;
    new.check(
        "LIST \"\" \"收*\"",
        &["* LIST (\\HasNoChildren) \"/\" \"收件 & 箱\"", "OK …"],
    )
    .await;
    new.check(
        "STATUS \"收件 & 箱\" (SIZE)",
        &["* STATUS \"收件 & 箱\" (SIZE 0)", "OK …"],
    )
    .await;
    old.check(
        "LIST \"\" &ZTZO9g-*",
        &[
            "* LIST (\\HasNoChildren) \"/\" \"&ZTZO9g- &- &e7E-\"",
            "OK …",
        ],
    )
    .await;
    old.check(
        "LIST \"\" a&-*",
        &["* LIST (\\HasNoChildren) \"/\" \"a&-U,BTFw-\"", "OK …"],
    )
    .await;
    // The name of an APPEND too, which the framer reads.
    new.check(
        "APPEND \"收件 & 箱\" {2+}\r\nhi",
        &["OK [APPENDUID … 1] appended"],
    )
    .await;
    new.check("CREATE \"a\u{2028}b\"", &["NO [CANNOT] …"]).await;
}
