//! MESSAGELIMIT and SAVELIMIT (RFC 9738).

use super::{Client, World};
use crate::MessageLimit;

impl World {
    /// Five messages in the inbox, and bob there with a limit.
    async fn limited(limit: MessageLimit) -> (Self, Client) {
        let world = Self::new().await;
        world.fill(5).await;
        let mut bob = world.connect_with(|config| {
            config.plaintext_login = true;
            config.message_limit = Some(limit);
        });
        bob.hear().await;
        bob.ok("LOGIN bob@demo.test \"pass word\"").await;
        bob.ok("SELECT INBOX").await;
        (world, bob)
    }
}

#[tokio::test]
async fn the_newest_are_done_and_the_lowest_of_them_is_told() {
    let (_world, mut bob) = World::limited(MessageLimit::Commands(2)).await;
    let offered = bob.ok("CAPABILITY").await;
    assert!(offered[0].ends_with(" MESSAGELIMIT=2"), "{offered:?}");
    let limited = |uid: u32| format!("OK [MESSAGELIMIT 2 {uid}] …");
    bob.check(
        "FETCH 1:4 UID",
        &["* 3 FETCH (UID 3)", "* 4 FETCH (UID 4)", &limited(3)],
    )
    .await;
    // As many as there may be.
    bob.check(
        "UID FETCH 1:2 UID",
        &["* 1 FETCH (UID 1)", "* 2 FETCH (UID 2)", "OK fetched"],
    )
    .await;
    bob.check("UID SEARCH 1:4", &["* SEARCH 3 4", &limited(3)])
        .await;
    bob.check("UID SEARCH UID 1:2", &["* SEARCH 1 2", "OK …"])
        .await;
    bob.check(
        "SEARCH RETURN (MIN COUNT) ALL",
        &["* ESEARCH (TAG \"…\") MIN 1 COUNT 5", "OK …"],
    )
    .await;
    bob.check(
        "UID STORE 1:* +FLAGS (\\Deleted)",
        &["* 4 FETCH (…UID 4…)", "* 5 FETCH (…UID 5…)", &limited(4)],
    )
    .await;
    bob.ok("STORE 2:3 +FLAGS.SILENT (\\Deleted)").await;
    bob.check(
        "UID EXPUNGE 1:*",
        &["* 5 EXPUNGE", "* 4 EXPUNGE", &limited(4)],
    )
    .await;
    // EXPUNGE by itself has no limit.
    bob.check("EXPUNGE", &["* 3 EXPUNGE", "* 2 EXPUNGE", "OK expunged"])
        .await;
}

#[tokio::test]
async fn what_changed_is_counted_and_not_what_is_looked_at() {
    let (_world, mut bob) = World::limited(MessageLimit::Commands(2)).await;
    bob.ok("ENABLE CONDSTORE").await;
    let status = bob.ok("STATUS INBOX (HIGHESTMODSEQ)").await;
    let (_, modseq) = status[0].rsplit_once(' ').expect("a number");
    let modseq = modseq.trim_end_matches(')');
    bob.ok("STORE 1:2 +FLAGS.SILENT (\\Seen)").await;
    bob.check(
        &format!("UID FETCH 1:* UID (CHANGEDSINCE {modseq})"),
        &["* 1 FETCH (…UID 1…)", "* 2 FETCH (…UID 2…)", "OK fetched"],
    )
    .await;
    // There is one code for a reply.
    bob.check(
        &format!("UID STORE 1:4 (UNCHANGEDSINCE {modseq}) +FLAGS.SILENT (\\Flagged)"),
        &["* 3 FETCH …", "* 4 FETCH …", "OK [MESSAGELIMIT 2 3] …"],
    )
    .await;
    bob.check(
        &format!("UID STORE 2:4 (UNCHANGEDSINCE {modseq}) +FLAGS.SILENT (\\Draft)"),
        &["* NO [MESSAGELIMIT 2 3] …", "OK [MODIFIED 3:4] …"],
    )
    .await;
}

#[tokio::test]
async fn copies_are_made_of_all_or_of_none() {
    let (_world, mut bob) = World::limited(MessageLimit::Commands(2)).await;
    bob.check("COPY 1:3 Archive", &["NO [MESSAGELIMIT 2] …"])
        .await;
    bob.ok("COPY 1:2 Archive").await;
    let two = "{5+}\r\na b\r\n {5+}\r\na b\r\n";
    bob.check(
        &format!("APPEND Archive {two} {{5+}}\r\na b\r\n"),
        &["NO [MESSAGELIMIT 2] …"],
    )
    .await;
    bob.ok(&format!("APPEND Archive {two}")).await;
    bob.check(
        "STATUS Archive (MESSAGES)",
        &["* STATUS \"Archive\" (MESSAGES 4)", "OK …"],
    )
    .await;
}

/// RFC 9738 §3.1: a client goes on with the same command until no limit is told.
#[tokio::test]
async fn the_newest_are_moved_and_the_rest_by_the_same_command() {
    let (_world, mut bob) = World::limited(MessageLimit::Commands(2)).await;
    let moved = |from: &str, to: &str| format!("* OK [COPYUID … {from} {to}] …");
    bob.check(
        "UID MOVE 1:* Archive",
        &[
            &moved("4:5", "1:2"),
            "* 5 EXPUNGE",
            "* 4 EXPUNGE",
            "OK [MESSAGELIMIT 2 4] …",
        ],
    )
    .await;
    bob.ok("ENABLE QRESYNC").await;
    bob.check(
        "UID MOVE 1:* Archive",
        &[
            &moved("2:3", "3:4"),
            "* VANISHED 2:3",
            "* NO [MESSAGELIMIT 2 2] …",
            "OK [HIGHESTMODSEQ …] …",
        ],
    )
    .await;
    bob.check(
        "UID MOVE 1:* Archive",
        &[
            &moved("1", "5"),
            "* VANISHED 1",
            "OK [HIGHESTMODSEQ …] moved",
        ],
    )
    .await;
}

/// RFC 9738 §3.1 and §3.2.
#[tokio::test]
async fn a_range_is_refused_and_uids_are_named_by_one_of_them() {
    let (_world, mut bob) = World::limited(MessageLimit::Commands(2)).await;
    bob.check(
        "UID FETCH 1:* (UID) (PARTIAL -1:-3)",
        &["NO [MESSAGELIMIT 2] …"],
    )
    .await;
    bob.check(
        "UID FETCH 1:* (UID) (PARTIAL -1:-2)",
        &["* 4 FETCH (UID 4)", "* 5 FETCH (UID 5)", "OK fetched"],
    )
    .await;
    for (key, found) in [
        ("UIDAFTER 3", "* SEARCH 4 5"),
        ("UIDAFTER 5", "* SEARCH"),
        ("UIDBEFORE 3", "* SEARCH 1 2"),
        ("UIDBEFORE 1", "* SEARCH"),
        ("UIDAFTER 1 UIDBEFORE 4", "* SEARCH 2 3"),
    ] {
        bob.check(&format!("UID SEARCH {key}"), &[found, "OK searched"])
            .await;
    }
    // What is listed is what is saved.
    bob.check(
        "UID SEARCH RETURN (SAVE ALL) ALL",
        &["* ESEARCH …UID ALL 4:5", "OK [MESSAGELIMIT 2 4] …"],
    )
    .await;
    bob.check("UID SEARCH $", &["* SEARCH 4 5", "OK searched"])
        .await;
}

#[tokio::test]
async fn a_limit_for_saves_is_for_copy_and_append_alone() {
    let (_world, mut bob) = World::limited(MessageLimit::Saves(2)).await;
    let offered = bob.ok("CAPABILITY").await;
    assert!(offered[0].ends_with(" SAVELIMIT=2"), "{offered:?}");
    assert!(!offered[0].contains("MESSAGELIMIT"));
    bob.check("COPY 1:3 Archive", &["NO [MESSAGELIMIT 2] …"])
        .await;
    assert_eq!(bob.ok("FETCH 1:* UID").await.len(), 5);
    bob.check("SEARCH ALL", &["* SEARCH 1 2 3 4 5", "OK …"])
        .await;
    bob.ok("MOVE 1:* Archive").await;
}
