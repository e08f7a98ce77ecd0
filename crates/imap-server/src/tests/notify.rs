//! NOTIFY (RFC 5465).

use super::{Client, World};

/// Bob, told of what `groups` name, and bob again who does something.
async fn told_of(groups: &str) -> (World, Client, Client) {
    let world = World::new().await;
    let mut told = world.bob().await;
    told.ok("CREATE Work/Deep").await;
    told.ok(&format!("NOTIFY SET {groups}")).await;
    let acting = world.bob().await;
    (world, told, acting)
}

#[tokio::test]
async fn how_things_stand_is_told_first_where_it_is_asked_for() {
    let world = World::new().await;
    let mut bob = world.bob().await;
    bob.append("Archive", "", "Subject: x\r\n\r\nx\r\n").await;
    bob.check(
        "NOTIFY SET STATUS (mailboxes (Archive Nowhere) (MessageNew MessageExpunge FlagChange)) (inboxes (MessageNew MessageExpunge))",
        &[
            "* STATUS \"Archive\" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY … HIGHESTMODSEQ …)",
            "* STATUS \"INBOX\" (MESSAGES 0 UIDNEXT 1 UIDVALIDITY …)",
            "OK …",
        ],
    )
    .await;
    bob.check(
        "NOTIFY SET (mailboxes Archive (MessageNew MessageExpunge))",
        &["OK …"],
    )
    .await;
}

#[tokio::test]
async fn messages_elsewhere_are_told_by_status_without_a_command() {
    let (_world, mut told, mut acting) =
        told_of("(subtree Work (MessageNew MessageExpunge FlagChange)) (inboxes (MessageNew MessageExpunge))").await;
    acting.append("Work/Deep", "", "a: b\r\n\r\nx\r\n").await;
    let status = told.hear().await;
    assert!(
        status.starts_with("* STATUS \"Work/Deep\" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY "),
        "{status}"
    );
    assert!(status.contains(" HIGHESTMODSEQ "), "{status}");
    // Nobody asked for Archive, nor for flags of the inbox.
    acting.append("Archive", "", "a: b\r\n\r\nx\r\n").await;
    acting.append("INBOX", "", "a: b\r\n\r\nx\r\n").await;
    let status = told.hear().await;
    assert!(
        status.starts_with("* STATUS \"INBOX\" (MESSAGES 1 "),
        "{status}"
    );
    acting.ok("SELECT INBOX").await;
    acting.ok("STORE 1 +FLAGS (\\Deleted)").await;
    acting.ok("EXPUNGE").await;
    let status = told.hear().await;
    assert!(
        status.starts_with("* STATUS \"INBOX\" (MESSAGES 0 "),
        "{status}"
    );
    acting.ok("SELECT Work/Deep").await;
    acting.ok("STORE 1 +FLAGS (\\Flagged)").await;
    let status = told.hear().await;
    assert!(
        status.starts_with("* STATUS \"Work/Deep\" (MESSAGES 1 "),
        "{status}"
    );
    told.ok("NOTIFY NONE").await;
    acting.ok("STORE 1 -FLAGS (\\Flagged)").await;
    told.check("NOOP", &["OK …"]).await;
}

#[tokio::test]
async fn the_selected_mailbox_is_told_at_once_or_with_expunges_delayed() {
    let (_world, mut told, mut acting) = told_of(
        "(selected (MessageNew (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)]) MessageExpunge FlagChange))",
    )
    .await;
    told.ok("SELECT INBOX").await;
    acting
        .append("INBOX", "", "Subject: one\r\n\r\nx\r\n")
        .await;
    assert_eq!(told.hear().await, "* 1 EXISTS");
    assert_eq!(told.hear().await, "* 0 RECENT");
    let fetched = told.hear().await;
    assert!(
        fetched.starts_with("* 1 FETCH (UID 1 BODY[HEADER.FIELDS (SUBJECT)] {"),
        "{fetched}"
    );
    assert!(fetched.contains("Subject: one"), "{fetched}");
    acting
        .append("INBOX", "", "Subject: two\r\n\r\nx\r\n")
        .await;
    for _ in 0..3 {
        told.hear().await;
    }
    acting.ok("SELECT INBOX").await;
    acting.ok("STORE 1 +FLAGS (\\Deleted)").await;
    assert_eq!(told.hear().await, "* 1 FETCH (UID 1 FLAGS (\\Deleted))");
    acting.ok("EXPUNGE").await;
    assert_eq!(told.hear().await, "* 1 EXPUNGE");
    told.ok("NOTIFY SET (selected-delayed (MessageNew MessageExpunge))")
        .await;
    acting.ok("STORE 1 +FLAGS (\\Deleted)").await;
    acting.ok("EXPUNGE").await;
    acting
        .append("INBOX", "", "Subject: three\r\n\r\nx\r\n")
        .await;
    assert_eq!(told.hear().await, "* 2 EXISTS");
    assert_eq!(told.hear().await, "* 0 RECENT");
    told.check("NOOP", &["* 1 EXPUNGE", "OK …"]).await;
}

/// RFC 5465 §4: while idling no more is told than was asked for.
#[tokio::test]
async fn idle_tells_what_was_asked_for() {
    let (_world, mut told, mut acting) = told_of("(personal (MessageNew MessageExpunge))").await;
    told.ok("SELECT INBOX").await;
    told.send("i IDLE\r\n").await;
    assert_eq!(told.hear().await, "+ idling");
    acting.append("INBOX", "", "a: b\r\n\r\nx\r\n").await;
    acting.append("Sent", "", "a: b\r\n\r\nx\r\n").await;
    let status = told.hear().await;
    assert!(
        status.starts_with("* STATUS \"Sent\" (MESSAGES 1 "),
        "{status}"
    );
    told.send("DONE\r\n").await;
    let answer = told.answer("i").await;
    assert!(answer.iter().any(|line| line == "* 1 EXISTS"), "{answer:?}");
}

#[tokio::test]
async fn names_and_subscriptions_are_told_by_list() {
    let (_world, mut told, mut acting) =
        told_of("(personal (MailboxName SubscriptionChange))").await;
    acting.ok("CREATE New").await;
    assert_eq!(
        told.hear().await,
        "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"New\""
    );
    acting.ok("RENAME New Newer").await;
    assert_eq!(
        told.hear().await,
        "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"Newer\" (\"OLDNAME\" (\"New\"))"
    );
    acting.ok("UNSUBSCRIBE Newer").await;
    assert_eq!(
        told.hear().await,
        "* LIST (\\HasNoChildren) \"/\" \"Newer\""
    );
    acting.ok("DELETE Newer").await;
    assert_eq!(told.hear().await, "* LIST (\\NonExistent) \"/\" \"Newer\"");
    // Messages were not asked for.
    acting.append("INBOX", "", "a: b\r\n\r\nx\r\n").await;
    told.check("NOOP", &["OK …"]).await;
}

#[tokio::test]
async fn annotations_are_told_by_their_names() {
    let (_world, mut told, mut acting) =
        told_of("(mailboxes INBOX (MailboxMetadataChange ServerMetadataChange))").await;
    acting
        .ok("SETMETADATA Archive (/private/comment \"x\")")
        .await;
    acting
        .ok("SETMETADATA INBOX (/private/comment \"x\" /shared/comment \"y\")")
        .await;
    assert_eq!(
        told.hear().await,
        "* METADATA \"INBOX\" /private/comment /shared/comment"
    );
    acting
        .ok("SETMETADATA \"\" (/private/vendor/x \"1\")")
        .await;
    assert_eq!(told.hear().await, "* METADATA \"\" /private/vendor/x");
}

#[tokio::test]
async fn what_does_not_go_together_is_refused() {
    let world = World::new().await;
    let mut bob = world.bob().await;
    for wrong in [
        "SET (personal (MessageNew))",
        "SET (personal (FlagChange))",
        "SET (selected (MailboxName))",
        "SET (selected (MessageNew MessageExpunge)) (selected-delayed (MessageNew MessageExpunge))",
        "SET (personal (MessageNew (UID) MessageExpunge))",
        "SET (nothing (MessageNew MessageExpunge))",
        "SET (subtree-one a (MessageNew MessageExpunge))",
        "SET",
        "SOMETIMES",
    ] {
        bob.check(&format!("NOTIFY {wrong}"), &["BAD …"]).await;
    }
    bob.check(
        "NOTIFY SET (personal (MessageNew MessageExpunge AnnotationChange))",
        &["NO [BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange)] …"],
    )
    .await;
    bob.check("NOTIFY SET (selected NONE) (personal NONE)", &["OK …"])
        .await;
}

/// RFC 5465 §5.8.
#[tokio::test]
async fn threat_24_where_too_much_happens_notify_tells_nothing_more() {
    let (_world, mut told, mut acting) = told_of("(personal (MailboxName))").await;
    // In the middle of a command nothing is told; what is told before it began are a few.
    told.send("x NO").await;
    for n in 0..crate::limits::NOTIFY_CHANGES_MAX + 100 {
        acting.send(format!("c{n} CREATE All/{n}\r\n")).await;
        acting.answer(&format!("c{n}")).await;
    }
    told.send("OP\r\n").await;
    told.answer("x").await;
    let mut last = told.hear().await;
    while last.starts_with("* LIST ") {
        last = told.hear().await;
    }
    assert!(last.starts_with("* OK [NOTIFICATIONOVERFLOW] "), "{last}");
    acting.ok("CREATE More").await;
    told.check("NOOP", &["OK …"]).await;
}

#[tokio::test]
async fn others_mailboxes_are_told_of_as_far_as_they_may_be_seen() {
    let world = World::new().await;
    world.account("carol").await;
    let mut bob = world.bob().await;
    bob.ok("CREATE Work").await;
    bob.ok("SETACL Work carol@demo.test lr").await;
    let mut carol = world.login("carol").await;
    carol
        .ok("NOTIFY SET (subtree \"Other Users\" (MessageNew MessageExpunge MailboxName))")
        .await;
    bob.append("INBOX", "", "a: b\r\n\r\nx\r\n").await;
    bob.append("Work", "", "a: b\r\n\r\nx\r\n").await;
    let status = carol.hear().await;
    assert!(
        status.starts_with("* STATUS \"Other Users/bob@demo.test/Work\" (MESSAGES 1 "),
        "{status}"
    );
    bob.ok("SETACL INBOX carol@demo.test l").await;
    assert_eq!(
        carol.hear().await,
        "* LIST (\\HasNoChildren) \"/\" \"Other Users/bob@demo.test/INBOX\""
    );
    bob.ok("DELETEACL Work carol@demo.test").await;
    assert_eq!(
        carol.hear().await,
        "* LIST (\\NonExistent) \"/\" \"Other Users/bob@demo.test/Work\""
    );
    bob.append("Work", "", "a: b\r\n\r\nx\r\n").await;
    carol.check("NOOP", &["OK …"]).await;
}

/// RFC 5465 §3.1.
#[tokio::test]
async fn mailboxes_that_may_be_listed_and_not_read_are_named() {
    let world = World::new().await;
    world.account("carol").await;
    let mut bob = world.bob().await;
    bob.ok("CREATE Work").await;
    bob.ok("SETACL Work carol@demo.test l").await;
    let mut carol = world.login("carol").await;
    let work = "\"Other Users/bob@demo.test/Work\"";
    carol
        .check(
            &format!("NOTIFY SET (mailboxes {work} (MessageNew MessageExpunge))"),
            &[&format!("* LIST (\\NoAccess) \"/\" {work}"), "OK …"],
        )
        .await;
    carol
        .check(
            &format!("NOTIFY SET (mailboxes {work} (MailboxName))"),
            &["OK …"],
        )
        .await;
}

/// Each name is compared with each mailbox that there is.
#[tokio::test]
async fn threat_24_so_many_mailboxes_are_named_and_no_more() {
    let world = World::new().await;
    let mut bob = world.bob().await;
    for (count, answer) in [(1000, "OK …"), (1001, "BAD …")] {
        let names = vec!["a"; count].join(" ");
        let set = format!("NOTIFY SET (subtree ({names}) (MessageNew MessageExpunge))");
        bob.check(&set, &[answer]).await;
    }
}

/// RFC 5465 §5.2, §5.3.
#[tokio::test]
async fn with_condstore_status_has_the_mod_sequence() {
    let world = World::new().await;
    let mut bob = world.bob().await;
    bob.ok("ENABLE CONDSTORE").await;
    bob.check(
        "NOTIFY SET STATUS (inboxes (MessageNew MessageExpunge))",
        &[
            "* STATUS \"INBOX\" (MESSAGES 0 UIDNEXT 1 UIDVALIDITY … HIGHESTMODSEQ …)",
            "OK …",
        ],
    )
    .await;
}
