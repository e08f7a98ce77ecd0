//! SELECT, STORE, COPY, MOVE, EXPUNGE, CLOSE (RFC 9051 §6.3.2, §6.4; RFC 4315, RFC 6851).

use super::World;

/// RFC 8457 §2 and IANA's registry: what is importance, muting, notes, and Apple's colours of flags.
#[tokio::test]
async fn registered_keywords_are_kept_and_found() {
    const REGISTERED: [&str; 12] = [
        "$Important",
        "$Muted",
        "$Followed",
        "$Memo",
        "$HasMemo",
        "$Notify",
        "$MailFlagBit0",
        "$MailFlagBit1",
        "$MailFlagBit2",
        // RFC 5550 §5.9, §5.10.
        "$Forwarded",
        "$SubmitPending",
        "$Submitted",
    ];
    let world = World::new().await;
    world.fill(2).await;
    let mut client = world.bob_in_inbox().await;
    let all = REGISTERED.join(" ");
    client
        .check(
            &format!("STORE 2 FLAGS (\\Flagged {all})"),
            &[
                "* FLAGS (…)",
                &format!("* 2 FETCH (…FLAGS (\\Flagged {all})…)"),
                "OK …",
            ],
        )
        .await;
    for keyword in REGISTERED {
        // In whatever case.
        let key = format!("SEARCH KEYWORD {}", keyword.to_lowercase());
        client.check(&key, &["* SEARCH 2", "OK …"]).await;
    }
    client.ok("COPY 2 Archive").await;
    client.ok("EXAMINE Archive").await;
    client
        .check(
            "FETCH 1 FLAGS",
            &[&format!("* 1 FETCH (FLAGS (\\Flagged {all}))"), "OK …"],
        )
        .await;
}

#[tokio::test]
async fn select_tells_all_that_it_must() {
    let world = World::new().await;
    world.fill(2).await;
    let mut client = world.bob().await;
    client
        .check(
            "SELECT INBOX",
            &[
                "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)",
                "* 2 EXISTS",
                "* 0 RECENT",
                "* OK [UNSEEN 1] …",
                "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] …",
                "* OK [UIDVALIDITY …] …",
                "* OK [UIDNEXT 3] …",
                "* OK [HIGHESTMODSEQ …] …",
                "* OK [MAILBOXID (…)] …",
                "OK [READ-WRITE] selected",
            ],
        )
        .await;
    client.ok("STORE 1:2 +FLAGS.SILENT \\Seen").await;
    client
        .check(
            "EXAMINE INBOX",
            &[
                "* OK [CLOSED] …",
                "* FLAGS (…)",
                "* 2 EXISTS",
                "* 0 RECENT",
                "* OK [PERMANENTFLAGS ()] …",
                "* OK [UIDVALIDITY …] …",
                "* OK [UIDNEXT 3] …",
                "* OK [HIGHESTMODSEQ …] …",
                "* OK [MAILBOXID (…)] …",
                "OK [READ-ONLY] selected",
            ],
        )
        .await;
    // RFC 9051 §6.3.3: nothing changes.
    for command in [
        "STORE 1 FLAGS ()",
        "EXPUNGE",
        "UID EXPUNGE 1",
        "MOVE 1 Trash",
    ] {
        client.check(command, &["NO [READ-ONLY] …"]).await;
    }
    client
        .check("COPY 1 Trash", &["OK [COPYUID … 1 1] copied"])
        .await;
    client.check("CLOSE", &["OK closed"]).await;
    // RFC 9051 §6.3.2: the selection ends even when the new one fails.
    client.ok("SELECT INBOX").await;
    client
        .check("SELECT nowhere", &["* OK [CLOSED] …", "NO [NONEXISTENT] …"])
        .await;
    client
        .check("FETCH 1 UID", &["BAD select a mailbox first"])
        .await;
}

#[tokio::test]
async fn store_returns_the_flags_whether_they_changed_or_not() {
    // RFC 9051 §6.4.6: "the new value of the flags is returned as if a FETCH of those flags was done".
    let world = World::new().await;
    world.fill(3).await;
    let mut client = world.bob_in_inbox().await;
    let told = |n: u32, flags: &str| format!("* {n} FETCH (UID {n} FLAGS ({flags}))");
    let seen = told(1, "\\Seen");
    client
        .check("STORE 1 FLAGS (\\Seen)", &[&seen, "OK stored"])
        .await;
    client
        .check("STORE 1 +FLAGS (\\Seen)", &[&seen, "OK stored"])
        .await;
    client
        .check(
            "UID STORE 1:2 -FLAGS (\\Draft)",
            &[&seen, &told(2, ""), "OK stored"],
        )
        .await;
    client
        .check(
            "STORE 2 +FLAGS $Junk urgent",
            &[
                "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Junk urgent)",
                &told(2, "$Junk urgent"),
                "OK stored",
            ],
        )
        .await;
    client
        .check("STORE 1:3 +FLAGS.SILENT (\\Flagged)", &["OK stored"])
        .await;
    client
        .check(
            "FETCH 1 FLAGS",
            &["* 1 FETCH (FLAGS (\\Seen \\Flagged))", "OK …"],
        )
        .await;
    // A keyword in another case is the same one, as it was first given.
    client
        .check("STORE 3 FLAGS (URGENT)", &[&told(3, "urgent"), "OK stored"])
        .await;
    client
        .check("UID STORE 99 FLAGS (\\Seen)", &["OK stored"])
        .await;
    client.check("STORE 4 FLAGS (\\Seen)", &["BAD …"]).await;
    client.check("STORE 1 FLAGS (\\Recent)", &["BAD …"]).await;
}

#[tokio::test]
async fn copy_keeps_flags_and_date_and_leaves_deleted_behind() {
    let world = World::new().await;
    let mut client = world.bob_in_inbox().await;
    for date in ["01-Feb-2020", "02-Feb-2020"] {
        client
            .append(
                "INBOX",
                &format!("(\\Seen $x) \"{date} 10:00:00 +0800\" "),
                "Subject: x\r\n\r\n",
            )
            .await;
    }
    client.ok("STORE 2 +FLAGS.SILENT \\Deleted").await;
    client
        .check("COPY 1:2 Archive", &["OK [COPYUID … 1:2 1:2] copied"])
        .await;
    client
        .check("COPY 1:2 nowhere", &["NO [TRYCREATE] …"])
        .await;
    client
        .check("UID COPY 77 Archive", &["OK there was nothing to copy"])
        .await;
    client.check("COPY 3 Archive", &["BAD …"]).await;
    // To where it is already: an entry of its own.
    client
        .check(
            "COPY 1 INBOX",
            &["* 3 EXISTS", "* 0 RECENT", "OK [COPYUID … 1 3] copied"],
        )
        .await;
    client.ok("SELECT Archive").await;
    client
        .check(
            "FETCH 1:2 (FLAGS INTERNALDATE)",
            &[
                "* 1 FETCH (FLAGS (\\Seen $x) INTERNALDATE \" 1-Feb-2020 10:00:00 +0800\")",
                "* 2 FETCH (FLAGS (\\Seen $x) INTERNALDATE \" 2-Feb-2020 10:00:00 +0800\")",
                "OK …",
            ],
        )
        .await;
}

#[tokio::test]
async fn move_tells_copyuid_before_the_expunges() {
    let world = World::new().await;
    world.fill(4).await;
    let mut client = world.bob_in_inbox().await;
    client.ok("STORE 4 +FLAGS.SILENT \\Deleted").await;
    client
        .check(
            "MOVE 1,3 Archive",
            &[
                "* OK [COPYUID … 1,3 1:2] moved",
                "* 3 EXPUNGE",
                "* 1 EXPUNGE",
                "OK moved",
            ],
        )
        .await;
    client
        .check(
            "UID MOVE 2:3 Archive",
            &["* OK [COPYUID … 2 3] moved", "* 1 EXPUNGE", "OK moved"],
        )
        .await;
    client.check("MOVE 1 nowhere", &["NO [TRYCREATE] …"]).await;
    client.check("UID MOVE 1:3 Archive", &["OK moved"]).await;
    // To itself: it gets a new UID.
    client
        .check(
            "MOVE 1 INBOX",
            &[
                "* OK [COPYUID … 4 5] moved",
                "* 1 EXPUNGE",
                "* 1 EXISTS",
                "* 0 RECENT",
                "OK moved",
            ],
        )
        .await;
}

#[tokio::test]
async fn expunge_close_and_uid_expunge_remove_what_is_deleted() {
    let world = World::new().await;
    world.fill(6).await;
    let mut client = world.bob_in_inbox().await;
    client.ok("STORE 1,3,5,6 +FLAGS.SILENT \\Deleted").await;
    client
        .check(
            "UID EXPUNGE 1:4",
            &["* 3 EXPUNGE", "* 1 EXPUNGE", "OK expunged"],
        )
        .await;
    client.check("UID EXPUNGE 2:4", &["OK expunged"]).await;
    client
        .check("EXPUNGE", &["* 4 EXPUNGE", "* 3 EXPUNGE", "OK expunged"])
        .await;
    client.ok("STORE 1 +FLAGS.SILENT \\Deleted").await;
    client.ok("UNSELECT").await;
    client
        .check(
            "STATUS INBOX (MESSAGES DELETED)",
            &["* STATUS \"INBOX\" (MESSAGES 2 DELETED 1)", "OK …"],
        )
        .await;
    client.ok("EXAMINE INBOX").await;
    client.ok("CLOSE").await;
    client
        .check(
            "STATUS INBOX (MESSAGES)",
            &["* STATUS \"INBOX\" (MESSAGES 2)", "OK …"],
        )
        .await;
    client.ok("SELECT INBOX").await;
    client.check("CLOSE", &["OK closed"]).await;
    client
        .check(
            "STATUS INBOX (MESSAGES)",
            &["* STATUS \"INBOX\" (MESSAGES 1)", "OK …"],
        )
        .await;
}
