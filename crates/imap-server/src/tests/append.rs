//! APPEND (RFC 9051 §6.3.12, RFC 4315, RFC 7888, RFC 3516).

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

#[tokio::test]
async fn two_messages_in_one_append_are_refused_whole() {
    let world = World::new().await;
    let mut client = world.bob().await;
    client
        .check(
            "APPEND INBOX {2+}\r\nhi {3+}\r\nyou",
            &["BAD one APPEND takes one message"],
        )
        .await;
    client
        .check(
            "STATUS INBOX (MESSAGES)",
            &["* STATUS \"INBOX\" (MESSAGES 0)", "OK …"],
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
