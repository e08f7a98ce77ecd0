//! UIDONLY (RFC 9586).

use super::World;

#[tokio::test]
async fn messages_are_told_by_their_uids_and_by_nothing_else() {
    let world = World::new().await;
    world.fill(4).await;
    let mut other = world.bob_in_inbox().await;
    other.ok("STORE 1 +FLAGS (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    let mut client = world.bob().await;
    client
        .check("ENABLE UIDONLY", &["* ENABLED UIDONLY", "OK …"])
        .await;
    let select = client.ok("SELECT INBOX").await;
    assert!(
        !select.iter().any(|line| line.contains("UNSEEN")),
        "{select:?}"
    );
    client
        .check(
            "UID FETCH 1:* (FLAGS)",
            &[
                "* 2 UIDFETCH (FLAGS ())",
                "* 3 UIDFETCH (FLAGS ())",
                "* 4 UIDFETCH (FLAGS ())",
                "OK …",
            ],
        )
        .await;
    client
        .check("UID FETCH 3 (UID)", &["* 3 UIDFETCH (UID 3)", "OK …"])
        .await;
    client
        .check(
            "UID STORE 3 +FLAGS (\\Seen)",
            &["* 3 UIDFETCH (FLAGS (\\Seen))", "OK …"],
        )
        .await;
    other.ok("STORE 1 +FLAGS (\\Flagged)").await;
    other.ok("STORE 3 +FLAGS (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    client
        .check(
            "NOOP",
            &["* VANISHED 4", "* 2 UIDFETCH (FLAGS (\\Flagged))", "OK …"],
        )
        .await;
    client
        .check("UID SEARCH UID 1:*", &["* SEARCH 2 3", "OK …"])
        .await;
    client
        .check("UID SEARCH RETURN (SAVE) ALL", &["OK …"])
        .await;
    client
        .check("UID SEARCH $ SEEN", &["* SEARCH 3", "OK …"])
        .await;
    client
        .check(
            "UID REPLACE 3 INBOX {3+}\r\nnew",
            &[
                "* OK [APPENDUID … 5] …",
                "* VANISHED 3",
                "* 2 EXISTS",
                "* 0 RECENT",
                "OK …",
            ],
        )
        .await;
    client
        .check(
            "UID MOVE 5 Trash",
            &["* OK [COPYUID …", "* VANISHED 5", "OK …"],
        )
        .await;
    for numbers in [
        "FETCH 1 (FLAGS)",
        "STORE 1 +FLAGS (\\Seen)",
        "COPY 1 Trash",
        "MOVE 1 Trash",
        "SEARCH ALL",
        "UID SEARCH 1",
        "UID SEARCH NOT (OR 1 SEEN)",
        "SORT (SIZE) UTF-8 ALL",
        "UID SORT (SIZE) UTF-8 1:*",
        "THREAD REFERENCES UTF-8 ALL",
        "REPLACE 1 INBOX {3}",
        // RFC 9586 §3.7
        "SELECT INBOX (QRESYNC (1 1 1:3 (1 1)))",
    ] {
        client.check(numbers, &["BAD [UIDREQUIRED] …"]).await;
    }
    client.ok("UID SEARCH ALL").await;
}
