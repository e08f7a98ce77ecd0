//! APPEND (RFC 9051 §6.3.12, RFC 4315, RFC 7888, RFC 3516), several messages (RFC
//! 3502), messages put together (RFC 4469), REPLACE (RFC 8508).

use super::World;
use crate::Sessions;
use mailstore::QuotaLimits;

#[tokio::test]
async fn a_message_is_kept_with_its_flags_and_date() {
    let world = World::new().await;
    let mut client = world.bob_in_inbox().await;
    let message = "Subject: x\r\n\r\nbody\r\n";
    client
        .check(
            &format!("APPEND inbox (\\Seen $Forwarded) \"17-Jul-1996 02:44:25 -0700\" {{{}+}}\r\n{message}", message.len()),
            &[
                "* 1 EXISTS",
                "* 0 RECENT",
                "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded)",
                "OK [APPENDUID … 1] appended",
            ],
        )
        .await;
    client
        .check(
            "FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])",
            &[
                "* 1 FETCH (FLAGS (\\Seen $Forwarded) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE 20 \
                 BODY[] {20}\r\nSubject: x\r\n\r\nbody\r\n)",
                "OK …",
            ],
        )
        .await;
    // Without a date it is now, which is where the test's clock begins.
    client.append("INBOX", "", message).await;
    client
        .check(
            "FETCH 2 INTERNALDATE",
            &[
                "* 2 FETCH (INTERNALDATE \" 1-Jan-2026 00:00:00 +0000\")",
                "OK …",
            ],
        )
        .await;
}

#[tokio::test]
async fn the_server_asks_for_a_literal_or_refuses_it_first() {
    let world = World::new().await;
    let mut client = world.bob().await;
    client.send("a APPEND {5}\r\n").await;
    assert_eq!(client.hear().await, "+ OK");
    client.send("INBOX {3}\r\n").await;
    assert_eq!(client.hear().await, "+ OK");
    client.send("abc\r\n").await;
    assert!(client.hear().await.starts_with("a OK [APPENDUID "));
    client
        .check("APPEND nowhere {3}", &["NO [TRYCREATE] …"])
        .await;
    client
        .check("APPEND \"a//b\" {3}", &["NO [CANNOT] …"])
        .await;
    client
        .check("APPEND INBOX (\\Recent) {3}", &["BAD …"])
        .await;
    client
        .check("APPEND INBOX \"yesterday\" {3}", &["BAD …"])
        .await;
    client.check("APPEND INBOX {0}", &["NO …"]).await;
    client.check("APPEND INBOX", &["BAD …"]).await;
    client
        .check(
            "STATUS INBOX (MESSAGES)",
            &["* STATUS \"INBOX\" (MESSAGES 1)", "OK …"],
        )
        .await;
}

/// RFC 3502.
#[tokio::test]
async fn several_messages_are_appended_all_or_none() {
    let world = World::new().await;
    let mut client = world.bob_in_inbox().await;
    client
        .check(
            "APPEND INBOX {2+}\r\nhi (\\Seen) \"17-Jul-1996 02:44:25 -0700\" {3+}\r\nyou {1+}\r\n!",
            &["* 3 EXISTS", "* 0 RECENT", "OK [APPENDUID … 1:3] appended"],
        )
        .await;
    client
        .check(
            "FETCH 1:3 (FLAGS RFC822.SIZE BODY.PEEK[])",
            &[
                "* 1 FETCH (FLAGS () RFC822.SIZE 2 BODY[] {2}\r\nhi)",
                "* 2 FETCH (FLAGS (\\Seen) RFC822.SIZE 3 BODY[] {3}\r\nyou)",
                "* 3 FETCH (FLAGS () RFC822.SIZE 1 BODY[] {1}\r\n!)",
                "OK …",
            ],
        )
        .await;
    // Asked for one by one; an empty one cancels (§6.3.11).
    client.send("a APPEND INBOX {2}\r\n").await;
    assert_eq!(client.hear().await, "+ OK");
    client.send("hi {3}\r\n").await;
    assert_eq!(client.hear().await, "+ OK");
    client.send("you {0}\r\n").await;
    assert!(client.hear().await.starts_with("a NO [CANNOT] "));
    for bad in [
        "APPEND INBOX {2+}\r\nhi what {3+}\r\nyou",
        "APPEND INBOX {2+}\r\nhi (\\Recent) {3+}\r\nyou {1+}\r\n!",
        "APPEND INBOX {2+}\r\nhi junk",
    ] {
        client.check(bad, &["BAD …"]).await;
    }
    client
        .check(
            "APPEND INBOX {2+}\r\nhi {3+}\r\na\0b {1+}\r\n!",
            &["NO [UNKNOWN-CTE] …"],
        )
        .await;
    client
        .check(
            "STATUS INBOX (MESSAGES)",
            &["* STATUS \"INBOX\" (MESSAGES 3)", "OK …"],
        )
        .await;
}

#[tokio::test]
async fn the_quota_counts_all_messages_of_one_append() {
    let quota = QuotaLimits {
        bytes: Some(100),
        ..QuotaLimits::default()
    };
    let world = World::with(quota, Sessions::default()).await;
    let mut client = world.bob_in_inbox().await;
    let sixty = "x".repeat(60);
    client
        .send(format!("a APPEND INBOX {{60+}}\r\n{sixty} {{60}}\r\n"))
        .await;
    assert!(client.hear().await.starts_with("a NO [OVERQUOTA] "));
    client.append("INBOX", "", &sixty).await;
    // RFC 8508 §3.1: what is replaced makes room.
    client
        .check(
            &format!("UID REPLACE 1 INBOX {{80+}}\r\n{}", "y".repeat(80)),
            &[
                "* OK [APPENDUID … 2] …",
                "* 1 EXPUNGE",
                "* 1 EXISTS",
                "* 0 RECENT",
                "OK replaced",
            ],
        )
        .await;
    client
        .check(
            &format!("UID REPLACE 2 INBOX {{101+}}\r\n{}", "z".repeat(101)),
            &["NO [OVERQUOTA] …"],
        )
        .await;
    client
        .check("UID FETCH 1:* UID", &["* 1 FETCH (UID 2)", "OK …"])
        .await;
}

/// RFC 8508.
#[tokio::test]
async fn a_message_is_replaced_in_one_change() {
    let world = World::new().await;
    let mut client = world.bob_in_inbox().await;
    for n in 1..=3 {
        client
            .append("INBOX", "", &format!("Subject: {n}\r\n\r\n"))
            .await;
    }
    client.ok("NOOP").await;
    client
        .check(
            "REPLACE 2 Drafts (\\Draft) {5+}\r\nnew\r\n",
            &["* OK [APPENDUID … 1] …", "* 2 EXPUNGE", "OK replaced"],
        )
        .await;
    client
        .check(
            "REPLACE * INBOX (\\Seen) CATENATE (URL \"/Drafts/;UID=1\" TEXT {2+}\r\n!!)",
            &[
                "* OK [APPENDUID … 4] …",
                "* 2 EXPUNGE",
                "* 2 EXISTS",
                "* 0 RECENT",
                "OK replaced",
            ],
        )
        .await;
    client
        .check(
            "FETCH 2 (UID BODY.PEEK[])",
            &["* 2 FETCH (UID 4 BODY[] {7}\r\nnew\r\n!!)", "OK …"],
        )
        .await;
    client.check("REPLACE 3 INBOX {1}", &["BAD …"]).await;
    client
        .check("UID REPLACE 9 INBOX {1}", &["NO [NONEXISTENT] …"])
        .await;
    client
        .check("REPLACE 1 Nowhere {1}", &["NO [TRYCREATE] …"])
        .await;
    client
        .check("REPLACE 1 INBOX {1+}\r\na {1+}\r\nb", &["BAD …"])
        .await;
    client.ok("EXAMINE INBOX").await;
    client
        .check("REPLACE 1 INBOX {1}", &["NO [READ-ONLY] …"])
        .await;
    client.ok("UNSELECT").await;
    client.check("REPLACE 1 INBOX {1}", &["BAD …"]).await;
    client
        .check(
            "STATUS INBOX (MESSAGES)",
            &["* STATUS \"INBOX\" (MESSAGES 2)", "OK …"],
        )
        .await;
}

/// One that another session expunges while the new one comes in.
#[tokio::test]
async fn what_is_gone_is_not_replaced() {
    let world = World::new().await;
    world.fill(1).await;
    let mut client = world.bob_in_inbox().await;
    let mut other = world.bob_in_inbox().await;
    client.send("a REPLACE 1 INBOX {3}\r\n").await;
    assert_eq!(client.hear().await, "+ OK");
    other.ok("STORE 1 +FLAGS (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    client.send("new\r\n").await;
    assert_eq!(client.hear().await, "* 1 EXPUNGE");
    assert!(client.hear().await.starts_with("a NO [EXPUNGEISSUED] "));
    other
        .check(
            "STATUS INBOX (MESSAGES)",
            &["* STATUS \"INBOX\" (MESSAGES 0)", "OK …"],
        )
        .await;
}

/// RFC 4469.
#[tokio::test]
async fn messages_are_put_together_on_the_server() {
    let world = World::new().await;
    let mut client = world.bob_in_inbox().await;
    client
        .append("INBOX", "", "Subject: one\r\n\r\nbody\r\n")
        .await;
    client
        .append("Drafts", "", "Subject: draft\r\n\r\ntext\r\n")
        .await;
    client.ok("NOOP").await;
    // Relative to the server and to the selected mailbox, and absolute; a URL may be a literal.
    client
        .check(
            "APPEND INBOX (\\Draft) CATENATE (URL \"/Drafts/;UID=1/;SECTION=HEADER\" \
             URL {25+}\r\n;UID=1/;SECTION=TEXT/;PAR TEXT {3+}\r\n+\r\n)",
            &["NO [BADURL ;UID=1/;SECTION=TEXT/;PAR] …"],
        )
        .await;
    client
        .check(
            "APPEND INBOX (\\Draft) CATENATE (URL \"/Drafts/;UID=1/;SECTION=HEADER\" \
             URL {20+}\r\n;UID=1/;SECTION=TEXT TEXT {3+}\r\n+\r\n \
             URL imap://bob@demo.test/INBOX/;UID=1/;SECTION=HEADER.FIELDS/;PARTIAL=0.4)",
            &["NO [BADURL …] …"],
        )
        .await;
    client
        .check(
            "APPEND INBOX (\\Draft) CATENATE (URL \"/Drafts/;UID=1/;SECTION=HEADER\" \
             URL {20+}\r\n;UID=1/;SECTION=TEXT TEXT {3+}\r\n+\r\n \
             URL imap://bob@demo.test/INBOX/;UID=1/;SECTION=1/;PARTIAL=0.4) {2+}\r\nhi",
            &["* 3 EXISTS", "* 0 RECENT", "OK [APPENDUID … 2:3] appended"],
        )
        .await;
    client
        .check(
            "FETCH 2 BODY.PEEK[]",
            &[
                "* 2 FETCH (BODY[] {31}\r\nSubject: draft\r\n\r\nbody\r\n+\r\nbody)",
                "OK …",
            ],
        )
        .await;
    // URLs alone: no literal at all.
    client
        .check(
            "APPEND INBOX CATENATE (URL /Drafts/;UID=1)",
            &["* 4 EXISTS", "* 0 RECENT", "OK …"],
        )
        .await;
    for (url, code) in [
        ("/Nowhere/;UID=1", "NO [BADURL /Nowhere/;UID=1] …"),
        ("/Drafts/;UID=7", "NO [BADURL …"),
        ("/Drafts;UIDVALIDITY=1/;UID=1", "NO [BADURL …"),
        ("/Drafts/;UID=1/;SECTION=9", "NO [BADURL …"),
        ("imap://eve@demo.test/INBOX/;UID=1", "NO [BADURL …"),
        ("imap://demo.test/INBOX/;UID=1", "NO [BADURL …"),
        ("http://demo.test/", "NO [BADURL …"),
        ("/Drafts/;UID=1/;PARTIAL=999", "NO [CANNOT] …"),
    ] {
        client
            .check(&format!("APPEND INBOX CATENATE (URL \"{url}\")"), &[code])
            .await;
        // Refused before a literal that waits, and with those that do not.
        client
            .check(
                &format!("APPEND INBOX CATENATE (URL \"{url}\") CATENATE (TEXT {{3}}"),
                &[code],
            )
            .await;
        client
            .check(
                &format!("APPEND INBOX CATENATE (URL \"{url}\") {{3+}}\r\nx)\r {{1+}}\r\ny"),
                &[code],
            )
            .await;
    }
    client
        .check(
            "APPEND Nowhere CATENATE (URL /Drafts/;UID=1)",
            &["NO [TRYCREATE] …"],
        )
        .await;
    client.check("APPEND INBOX CATENATE ()", &["BAD …"]).await;
    client.ok("UNSELECT").await;
    client
        .check("APPEND INBOX CATENATE (URL ;UID=1)", &["NO [BADURL …"])
        .await;
}

#[tokio::test]
async fn a_message_that_is_put_together_has_a_limit() {
    let world = World::new().await;
    let mut client = world.connect_with(|config| {
        config.plaintext_login = true;
        config.append_bytes_max = 100;
    });
    client.hear().await;
    client.ok("LOGIN bob@demo.test \"pass word\"").await;
    client.append("INBOX", "", &"x".repeat(60)).await;
    client
        .check(
            "APPEND INBOX CATENATE (URL /INBOX/;UID=1 URL /INBOX/;UID=1)",
            &["NO [TOOBIG] …"],
        )
        .await;
    client
        .check(
            "APPEND INBOX CATENATE (URL /INBOX/;UID=1 TEXT {41}",
            &["NO [TOOBIG] …"],
        )
        .await;
}

#[tokio::test]
async fn bare_line_feeds_become_line_ends_and_a_message_of_any_size_arrives_whole() {
    let world = World::new().await;
    let mut client = world.bob_in_inbox().await;
    client.append("INBOX", "", "Subject: x\n\na\r\nb\n").await;
    client
        .check(
            "FETCH 1 BODY.PEEK[]",
            &[
                "* 1 FETCH (BODY[] {20}\r\nSubject: x\r\n\r\na\r\nb\r\n)",
                "OK …",
            ],
        )
        .await;
    let large = format!(
        "Subject: large\r\n\r\n{}",
        "0123456789abcde\r\n".repeat(60_000)
    );
    client.append("INBOX", "", &large).await;
    let answer = client.ok("FETCH 2 BODY.PEEK[]").await;
    let size = large.len();
    assert_eq!(
        answer[0],
        format!("* 2 FETCH (BODY[] {{{size}}}\r\n{large})")
    );
}

#[tokio::test]
async fn a_message_over_quota_is_refused_before_it_is_sent() {
    let quota = QuotaLimits {
        bytes: Some(100),
        ..QuotaLimits::default()
    };
    let world = World::with(quota, Sessions::default()).await;
    let mut client = world.bob_in_inbox().await;
    client.append("INBOX", "", &"x".repeat(60)).await;
    client
        .check("APPEND INBOX {60}", &["NO [OVERQUOTA] …"])
        .await;
    // PRACTICE §6: COPY and MOVE never fail for it.
    client
        .check("COPY 1 Archive", &["OK [COPYUID … 1 1] copied"])
        .await;
    client.ok("MOVE 1 Trash").await;
}

#[tokio::test]
async fn the_quota_is_told_as_rfc_9208_has_it() {
    let quota = QuotaLimits {
        bytes: Some(10 * 1024),
        emails: Some(7),
    };
    let world = World::with(quota, Sessions::default()).await;
    let mut client = world.bob_in_inbox().await;
    let told = |storage: &str| format!("* QUOTA \"\" (STORAGE {storage} 10 MESSAGE 2 7)");
    client.append("INBOX", "", &"x".repeat(1024)).await;
    client
        .append("INBOX", "(\\Deleted) ", &"y".repeat(100))
        .await;
    // §4.1.2: units of 1024 octets; what is begun counts.
    client.check("GETQUOTA \"\"", &[&told("2"), "OK …"]).await;
    // §4.1.3: for a mailbox that is not there, too.
    client
        .check(
            "GETQUOTAROOT new/one",
            &["* QUOTAROOT \"new/one\" \"\"", &told("2"), "OK …"],
        )
        .await;
    client
        .check("GETQUOTA other", &["NO [NONEXISTENT] …"])
        .await;
    // §4.1.4
    client
        .check(
            "STATUS INBOX (DELETED DELETED-STORAGE)",
            &["* STATUS \"INBOX\" (DELETED 1 DELETED-STORAGE 100)", "OK …"],
        )
        .await;
    client.ok("EXPUNGE").await;
    client
        .check(
            "STATUS INBOX (DELETED-STORAGE)",
            &["* STATUS \"INBOX\" (DELETED-STORAGE 0)", "OK …"],
        )
        .await;
}

#[tokio::test]
async fn without_limits_there_is_a_root_and_nothing_in_it() {
    let world = World::new().await;
    let mut client = world.bob().await;
    client
        .check(
            "GETQUOTAROOT INBOX",
            &["* QUOTAROOT \"INBOX\" \"\"", "* QUOTA \"\" ()", "OK …"],
        )
        .await;
}

#[tokio::test]
async fn binary_parts_become_base64_and_a_nul_elsewhere_is_refused() {
    // RFC 3516 §4.4
    let world = World::new().await;
    let mut client = world.bob_in_inbox().await;
    let binary = "Content-Type: x/y\r\nContent-Transfer-Encoding: binary\r\n\r\na\0\n\r\n";
    let size = binary.len();
    client
        .check(
            &format!("APPEND INBOX {{{size}+}}\r\n{binary}"),
            &["NO [UNKNOWN-CTE] …"],
        )
        .await;
    client
        .check(
            &format!("APPEND INBOX ~{{{size}+}}\r\n{binary}"),
            &["* 1 EXISTS", "* 0 RECENT", "OK [APPENDUID … 1] appended"],
        )
        .await;
    client
        .check(
            "FETCH 1 (BODY.PEEK[1] BINARY.SIZE[1] BINARY.PEEK[1])",
            &[
                "* 1 FETCH (BODY[1] {10}\r\nYQAKDQo=\r\n BINARY.SIZE[1] 5 BINARY[1] ~{5}\r\na\0\n\r\n)",
                "OK fetched",
            ],
        )
        .await;
    client
        .check(
            "APPEND INBOX ~{14+}\r\nSubject: \0\r\n\r\n",
            &["NO [UNKNOWN-CTE] …"],
        )
        .await;
    client
        .check(
            "APPEND INBOX ~{5+}\r\na b\r\n",
            &["* 2 EXISTS", "* 0 RECENT", "OK [APPENDUID … 2] appended"],
        )
        .await;
}
