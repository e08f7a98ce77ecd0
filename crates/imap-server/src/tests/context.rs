//! CONTEXT=SEARCH and CONTEXT=SORT (RFC 5267).

use super::World;

#[tokio::test]
async fn a_search_is_kept_up_to_date_until_it_is_cancelled() {
    let world = World::new().await;
    world.fill(5).await;
    let mut bob = world.bob_in_inbox().await;
    bob.check(
        "SEARCH RETURN (UPDATE ALL) OR SEEN SUBJECT \"message 5\"",
        &["* ESEARCH (TAG \"t3\") ALL 5", "OK …"],
    )
    .await;
    bob.check(
        "STORE 1:2,4 +FLAGS.SILENT (\\Seen)",
        &["* ESEARCH (TAG \"t3\") ADDTO (0 1:2,4)", "OK …"],
    )
    .await;
    bob.check(
        "UID SEARCH RETURN (UPDATE) SEEN",
        &["* ESEARCH (TAG \"t5\") UID", "OK …"],
    )
    .await;
    bob.check(
        "STORE 1 -FLAGS (\\Seen)",
        &[
            "* 1 FETCH (UID 1 FLAGS ())",
            "* ESEARCH (TAG \"t3\") REMOVEFROM (0 1)",
            "* ESEARCH (TAG \"t5\") UID REMOVEFROM (0 1)",
            "OK …",
        ],
    )
    .await;
    bob.ok("STORE 2,3 +FLAGS.SILENT (\\Deleted)").await;
    bob.check(
        "EXPUNGE",
        &[
            "* ESEARCH (TAG \"t3\") REMOVEFROM (0 2)",
            "* ESEARCH (TAG \"t5\") UID REMOVEFROM (0 2)",
            "* 3 EXPUNGE",
            "* 2 EXPUNGE",
            "OK …",
        ],
    )
    .await;
    let mut other = world.bob().await;
    other
        .append("INBOX", "(\\Seen) ", "Subject: new\r\n\r\nx\r\n")
        .await;
    bob.check(
        "NOOP",
        &[
            "* 4 EXISTS",
            "* 0 RECENT",
            "* ESEARCH (TAG \"t3\") ADDTO (0 4)",
            "* ESEARCH (TAG \"t5\") UID ADDTO (0 6)",
            "OK …",
        ],
    )
    .await;
    bob.check("CANCELUPDATE \"t3\" \"t5\" \"t99\"", &["OK …"])
        .await;
    bob.check("STORE 1 +FLAGS.SILENT (\\Seen)", &["OK …"]).await;
    bob.check("CANCELUPDATE t3", &["BAD …"]).await;
    bob.check("CANCELUPDATE", &["BAD …"]).await;
}

#[tokio::test]
async fn a_sorted_result_says_where() {
    let world = World::new().await;
    let mut bob = world.bob_in_inbox().await;
    for (subject, flags) in [
        ("c", "(\\Flagged) "),
        ("a", ""),
        ("e", "(\\Flagged) "),
        ("b", ""),
    ] {
        let message = format!("Subject: {subject}\r\n\r\nx\r\n");
        bob.append("INBOX", flags, &message).await;
    }
    bob.send("s1 UID SORT RETURN (UPDATE ALL CONTEXT) (SUBJECT) UTF-8 FLAGGED\r\n")
        .await;
    assert_eq!(
        bob.answer("s1").await[0],
        "* ESEARCH (TAG \"s1\") UID ALL 1,3"
    );
    bob.check(
        "STORE 2,4 +FLAGS.SILENT (\\Flagged)",
        &["* ESEARCH (TAG \"s1\") UID ADDTO (1 2 2 4)", "OK …"],
    )
    .await;
    // a b c e: the second goes, then the last.
    bob.check(
        "STORE 4 -FLAGS.SILENT (\\Flagged)",
        &["* ESEARCH (TAG \"s1\") UID REMOVEFROM (2 4)", "OK …"],
    )
    .await;
    bob.ok("STORE 3 +FLAGS.SILENT (\\Deleted)").await;
    bob.check(
        "EXPUNGE",
        &[
            "* ESEARCH (TAG \"s1\") UID REMOVEFROM (3 3)",
            "* 3 EXPUNGE",
            "OK …",
        ],
    )
    .await;
    bob.ok("UNSELECT").await;
    bob.ok("SELECT INBOX").await;
    bob.check("STORE 3 +FLAGS.SILENT (\\Flagged)", &["OK …"])
        .await;
}

#[tokio::test]
async fn threat_24_so_many_contexts_are_kept_and_no_more() {
    let world = World::new().await;
    let mut bob = world.bob_in_inbox().await;
    for _ in 0..crate::limits::CONTEXTS_MAX {
        assert_eq!(bob.ok("SEARCH RETURN (UPDATE COUNT) ALL").await.len(), 1);
    }
    bob.send("x SEARCH RETURN (UPDATE COUNT) ALL\r\n").await;
    let answer = bob.answer("x").await;
    assert_eq!(answer[0], "* ESEARCH (TAG \"x\") COUNT 0");
    assert!(
        answer[1].starts_with("* OK [NOUPDATE \"x\"] "),
        "{answer:?}"
    );
    bob.check("ESEARCH IN (inboxes) RETURN (UPDATE) ALL", &["BAD …"])
        .await;
    // A tag that comes again is the new search's.
    bob.send("x2 CANCELUPDATE \"t3\"\r\n").await;
    bob.answer("x2").await;
    bob.send("x SEARCH RETURN (UPDATE COUNT) ALL\r\n").await;
    assert_eq!(bob.answer("x").await.len(), 2);
}

/// RFC 5267 §4.3: the tag of a search that is kept up to date is taken; any other may come
/// again (RFC 9051 §2.2.1).
#[tokio::test]
async fn a_tag_stands_for_one_search_that_is_kept() {
    let world = World::new().await;
    world.fill(2).await;
    let mut bob = world.bob_in_inbox().await;
    for _ in 0..2 {
        bob.send("x SEARCH ALL\r\n").await;
        assert_eq!(bob.answer("x").await, ["* SEARCH 1 2", "OK searched"]);
    }
    bob.send("x SEARCH RETURN (UPDATE COUNT) ALL\r\n").await;
    assert_eq!(bob.answer("x").await.len(), 2);
    for again in [
        "SEARCH RETURN (UPDATE) ALL",
        "UID SORT RETURN (UPDATE) (SIZE) UTF-8 ALL",
    ] {
        bob.send(format!("x {again}\r\n")).await;
        let answer = bob.answer("x").await;
        assert!(answer[0].starts_with("BAD "), "{answer:?}");
    }
    bob.ok("CANCELUPDATE \"x\"").await;
    bob.send("x SEARCH RETURN (UPDATE COUNT) ALL\r\n").await;
    assert_eq!(bob.answer("x").await.len(), 2);
}
