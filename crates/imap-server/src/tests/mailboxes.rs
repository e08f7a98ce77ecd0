//! Names, LIST in all its forms, STATUS, subscriptions (RFC 9051 §6.3).

use super::World;

#[tokio::test]
async fn everyone_begins_with_mailboxes_of_special_use_which_every_list_tells() {
    // PRACTICE §6: asked for or not.
    let world = World::new().await;
    let mut client = world.bob().await;
    let all = [
        "* LIST (\\HasNoChildren \\Archive) \"/\" \"Archive\"",
        "* LIST (\\HasNoChildren \\Drafts) \"/\" \"Drafts\"",
        "* LIST (\\HasNoChildren) \"/\" \"INBOX\"",
        "* LIST (\\HasNoChildren \\Junk) \"/\" \"Junk\"",
        "* LIST (\\HasNoChildren \\Sent) \"/\" \"Sent\"",
        "* LIST (\\HasNoChildren \\Trash) \"/\" \"Trash\"",
        "OK …",
    ];
    client.check("LIST \"\" *", &all).await;
    client.check("LIST \"\" %", &all).await;
    let special: Vec<&str> = all
        .iter()
        .copied()
        .filter(|line| !line.contains("INBOX"))
        .collect();
    client.check("LIST (SPECIAL-USE) \"\" *", &special).await;
    client.check("LIST \"\" * RETURN (SPECIAL-USE)", &all).await;
    client.check("LIST \"\" inBOX", &[all[2], "OK …"]).await;
    client
        .check(
            "LIST \"\" \"\"",
            &["* LIST (\\NoSelect) \"/\" \"\"", "OK …"],
        )
        .await;
    client
        .check(
            "NAMESPACE",
            &[
                "* NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) NIL",
                "OK …",
            ],
        )
        .await;
}

#[tokio::test]
async fn names_are_made_with_their_parents_renamed_with_their_children_and_deleted_alone() {
    let world = World::new().await;
    let mut client = world.bob().await;
    client
        .check("CREATE a/b/c/", &["OK [MAILBOXID (…)] created"])
        .await;
    client
        .check("CREATE a/b/c", &["NO [ALREADYEXISTS] …"])
        .await;
    client
        .check("CREATE inbox", &["NO [ALREADYEXISTS] …"])
        .await;
    client.check("CREATE a//b", &["NO [CANNOT] …"]).await;
    client.check("CREATE \"a*\"", &["NO [CANNOT] …"]).await;
    client
        .check(
            "LIST \"\" a*",
            &[
                "* LIST (\\HasChildren) \"/\" \"a\"",
                "* LIST (\\HasChildren) \"/\" \"a/b\"",
                "* LIST (\\HasNoChildren) \"/\" \"a/b/c\"",
                "OK …",
            ],
        )
        .await;
    client.check("RENAME a/b x/y", &["OK renamed"]).await;
    client.check("RENAME a/b z", &["NO [NONEXISTENT] …"]).await;
    client.check("RENAME x INBOX", &["NO …"]).await;
    client
        .check(
            "LIST x/ *",
            &[
                "* LIST (\\HasChildren) \"/\" \"x/y\"",
                "* LIST (\\HasNoChildren) \"/\" \"x/y/c\"",
                "OK …",
            ],
        )
        .await;
    // RFC 9051 §6.3.5: what lies below stays, and the name with it.
    client.check("DELETE x/y", &["OK deleted"]).await;
    client
        .check(
            "LIST \"\" x/%",
            &[
                "* LIST (\\NonExistent \\NoSelect \\HasChildren) \"/\" \"x/y\"",
                "OK …",
            ],
        )
        .await;
    client
        .check(
            "LIST \"\" x/% RETURN ()",
            &["* LIST (\\NonExistent \\HasChildren) \"/\" \"x/y\"", "OK …"],
        )
        .await;
    client.check("SELECT x/y", &["NO [NONEXISTENT] …"]).await;
    client.check("DELETE x/y", &["NO [HASCHILDREN] …"]).await;
    client
        .check("DELETE nowhere", &["NO [NONEXISTENT] …"])
        .await;
    client.check("DELETE inbox", &["NO [CANNOT] …"]).await;
}

#[tokio::test]
async fn a_name_that_is_made_again_gets_another_uidvalidity() {
    let world = World::new().await;
    let mut client = world.bob().await;
    client.ok("CREATE x").await;
    client.append("x", "", "Subject: x\r\n\r\n").await;
    let status = "STATUS x (UIDVALIDITY)";
    let first = client.ok(status).await;
    client.ok("RENAME x y").await;
    client.ok("CREATE x").await;
    let second = client.ok(status).await;
    assert_ne!(first, second);
    assert_eq!(
        client.ok("STATUS y (UIDVALIDITY)").await[0].replace("\"y\"", "\"x\""),
        first[0]
    );
    client.ok("DELETE x").await;
    client.ok("CREATE x").await;
    assert_ne!(client.ok(status).await, second);
}

#[tokio::test]
async fn renaming_the_inbox_moves_its_messages() {
    let world = World::new().await;
    world.fill(2).await;
    let mut client = world.bob().await;
    client.ok("CREATE INBOX/child").await;
    let id = client.ok("STATUS INBOX (MAILBOXID)").await;
    client.check("RENAME inbox old", &["OK renamed"]).await;
    // RFC 8474 §4: the inbox stays what it is, and another mailbox is made.
    assert_eq!(client.ok("STATUS INBOX (MAILBOXID)").await, id);
    client
        .check(
            "STATUS INBOX (MESSAGES)",
            &["* STATUS \"INBOX\" (MESSAGES 0)", "OK …"],
        )
        .await;
    client
        .check(
            "STATUS old (MESSAGES)",
            &["* STATUS \"old\" (MESSAGES 2)", "OK …"],
        )
        .await;
    client.ok("SELECT INBOX/child").await;
}

#[tokio::test]
async fn create_for_a_special_use() {
    // RFC 6154 §3
    let world = World::new().await;
    let mut client = world.bob().await;
    client
        .check("CREATE m (USE (\\Sent))", &["NO [USEATTR] …"])
        .await;
    client
        .check("CREATE m (USE (\\Wild))", &["NO [USEATTR] …"])
        .await;
    client
        .check("CREATE m (USE (\\All))", &["NO [USEATTR] …"])
        .await;
    client
        .check("CREATE m (USE (\\Junk \\Trash))", &["NO [USEATTR] …"])
        .await;
    client.ok("DELETE Archive").await;
    client
        .check(
            "CREATE m (USE (\\Archive))",
            &["OK [MAILBOXID (…)] created"],
        )
        .await;
    client
        .check(
            "LIST (SPECIAL-USE) \"\" m",
            &["* LIST (\\HasNoChildren \\Archive) \"/\" \"m\"", "OK …"],
        )
        .await;
    client
        .check("CREATE n (USE ())", &["OK [MAILBOXID (…)] created"])
        .await;
}

/// RFC 8457 §3, and the registered attributes.
#[tokio::test]
async fn mailboxes_may_be_for_what_is_important_put_off_scheduled_or_noted() {
    let world = World::new().await;
    let mut client = world.bob().await;
    for (name, use_) in [
        ("a", "\\Important"),
        ("b", "\\Snoozed"),
        ("c", "\\Scheduled"),
        ("d", "\\memos"),
    ] {
        client.ok(&format!("CREATE {name} (USE ({use_}))")).await;
    }
    client
        .check(
            "LIST (SPECIAL-USE) \"\" (a b c d)",
            &[
                "* LIST (\\HasNoChildren \\Important) \"/\" \"a\"",
                "* LIST (\\HasNoChildren \\Snoozed) \"/\" \"b\"",
                "* LIST (\\HasNoChildren \\Scheduled) \"/\" \"c\"",
                "* LIST (\\HasNoChildren \\Memos) \"/\" \"d\"",
                "OK …",
            ],
        )
        .await;
    client
        .check("CREATE e (USE (\\Memos))", &["NO [USEATTR] …"])
        .await;
}

#[tokio::test]
async fn subscriptions_outlive_their_mailboxes() {
    let world = World::new().await;
    let mut client = world.bob().await;
    for name in ["a", "a/b", "c"] {
        client.ok(&format!("CREATE {name}")).await;
    }
    for name in ["Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash", "a"] {
        client.ok(&format!("UNSUBSCRIBE {name}")).await;
    }
    client.ok("UNSUBSCRIBE nowhere").await;
    client.ok("DELETE c").await;
    client.ok("SUBSCRIBE never/made").await;
    client
        .check(
            "LIST (SUBSCRIBED) \"\" *",
            &[
                "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"a/b\"",
                "* LIST (\\NonExistent \\HasNoChildren \\Subscribed) \"/\" \"c\"",
                "* LIST (\\NonExistent \\HasNoChildren \\Subscribed) \"/\" \"never/made\"",
                "OK …",
            ],
        )
        .await;
    client
        .check(
            "LSUB \"\" *",
            &[
                "* LSUB () \"/\" \"a/b\"",
                "* LSUB () \"/\" \"c\"",
                "* LSUB () \"/\" \"never/made\"",
                "OK …",
            ],
        )
        .await;
    // RFC 3501 §6.3.9: with %, a parent is told for what is subscribed below it.
    client
        .check(
            "LSUB \"\" %",
            &[
                "* LSUB (\\NoSelect) \"/\" \"a\"",
                "* LSUB () \"/\" \"c\"",
                "* LSUB (\\NoSelect) \"/\" \"never\"",
                "OK …",
            ],
        )
        .await;
    // RFC 9051 §6.3.9.6, table 3: CHILDINFO also for names that are no mailboxes.
    client
        .check(
            "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" %",
            &[
                "* LIST (\\HasChildren) \"/\" \"a\" (\"CHILDINFO\" (\"SUBSCRIBED\"))",
                "* LIST (\\NonExistent \\HasNoChildren \\Subscribed) \"/\" \"c\"",
                "* LIST (\\NonExistent \\HasNoChildren) \"/\" \"never\" (\"CHILDINFO\" (\"SUBSCRIBED\"))",
                "OK …",
            ],
        )
        .await;
    // Not without RECURSIVEMATCH.
    client
        .check(
            "LIST (SUBSCRIBED) \"\" %",
            &[
                "* LIST (\\NonExistent \\HasNoChildren \\Subscribed) \"/\" \"c\"",
                "OK …",
            ],
        )
        .await;
    // What is asked of the names adds none to them.
    client
        .check(
            "LIST \"\" (c never*) RETURN (SUBSCRIBED CHILDREN STATUS (MESSAGES))",
            &["OK …"],
        )
        .await;
    client.ok("UNSUBSCRIBE never/made").await;
    client.ok("UNSUBSCRIBE c").await;
    // A name that is neither a mailbox nor subscribed is told to nobody.
    client.check("LIST (SUBSCRIBED) \"\" c", &["OK …"]).await;
}

/// RFC 9051 §6.3.9.8, example 8.
#[tokio::test]
async fn childinfo_is_told_where_a_child_outside_of_the_pattern_is_subscribed() {
    let world = World::new().await;
    let mut client = world.bob().await;
    for name in [
        "foo2/bar1",
        "foo2/bar2",
        "baz2/bar2",
        "baz2/bar22",
        "baz2/bar222",
        "eps2/mamba",
        "qux2/bar2",
    ] {
        client.ok(&format!("CREATE {name}")).await;
    }
    for name in ["foo2", "baz2", "qux2"] {
        client.ok(&format!("UNSUBSCRIBE {name}")).await;
    }
    client
        .check(
            "LIST (RECURSIVEMATCH SUBSCRIBED) \"\" *2",
            &[
                "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"baz2/bar2\"",
                "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"baz2/bar22\"",
                "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"baz2/bar222\"",
                "* LIST (\\HasChildren \\Subscribed) \"/\" \"eps2\" (\"CHILDINFO\" (\"SUBSCRIBED\"))",
                "* LIST (\\HasChildren) \"/\" \"foo2\" (\"CHILDINFO\" (\"SUBSCRIBED\"))",
                "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"foo2/bar2\"",
                "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"qux2/bar2\"",
                "OK …",
            ],
        )
        .await;
    for bad in [
        "LIST (RECURSIVEMATCH) \"\" *",
        "LIST (RECURSIVEMATCH REMOTE) \"\" *",
        "LIST (FOO) \"\" *",
        "LIST \"\" * RETURN (FOO)",
    ] {
        client.check(bad, &["BAD …"]).await;
    }
}

#[tokio::test]
async fn list_with_status_tells_each_mailbox_that_it_selects() {
    // RFC 5819; RFC 9051 §6.3.9.8, example 11
    let world = World::new().await;
    let mut client = world.bob().await;
    client.ok("CREATE a/b").await;
    client
        .append("a/b", "(\\Seen) ", "Subject: x\r\n\r\n")
        .await;
    client
        .append("a/b", "(\\Deleted) ", "Subject: y\r\n\r\n")
        .await;
    client.ok("UNSUBSCRIBE a").await;
    client
        .check(
            "LIST \"\" a* RETURN (SUBSCRIBED STATUS (MESSAGES UNSEEN DELETED SIZE UIDNEXT))",
            &[
                "* LIST (\\HasChildren) \"/\" \"a\"",
                "* STATUS \"a\" (MESSAGES 0 UNSEEN 0 DELETED 0 SIZE 0 UIDNEXT 1)",
                "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"a/b\"",
                "* STATUS \"a/b\" (MESSAGES 2 UNSEEN 1 DELETED 1 SIZE 28 UIDNEXT 3)",
                "OK …",
            ],
        )
        .await;
    client
        .check(
            "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" a RETURN (STATUS (MESSAGES))",
            &[
                "* LIST (\\HasChildren) \"/\" \"a\" (\"CHILDINFO\" (\"SUBSCRIBED\"))",
                "OK …",
            ],
        )
        .await;
    client
        .check(
            "LIST \"\" (\"\" a/%) RETURN (CHILDREN)",
            &["* LIST (\\HasNoChildren) \"/\" \"a/b\"", "OK …"],
        )
        .await;
}

#[tokio::test]
async fn names_travel_in_modified_utf7_and_odd_patterns_match_nothing() {
    let world = World::new().await;
    let mut client = world.bob().await;
    client.ok("CREATE &U,BTFw-/&ZeVnLIqe-").await;
    client
        .check(
            "LIST \"\" &U,BTFw-/%",
            &[
                "* LIST (\\HasNoChildren) \"/\" \"&U,BTFw-/&ZeVnLIqe-\"",
                "OK …",
            ],
        )
        .await;
    client
        .check(
            "STATUS \"台北\" (MESSAGES)",
            &["* STATUS \"&U,BTFw-\" (MESSAGES 0)", "OK …"],
        )
        .await;
    client
        .check("LIST \"\" !#$&'+,-.:;<=>?@^_`|[}%*", &["OK …"])
        .await;
    client.check("SELECT !#$&'+,", &["NO …"]).await;
    client.check("LIST \"\" ~x", &["OK …"]).await;
}

#[tokio::test]
async fn status_of_every_item_also_of_the_selected_mailbox() {
    let world = World::new().await;
    world.fill(3).await;
    let mut client = world.bob_in_inbox().await;
    client.ok("STORE 1 +FLAGS.SILENT (\\Seen \\Deleted)").await;
    client
        .check(
            "STATUS inbox (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE)",
            &[
                "* STATUS \"INBOX\" (MESSAGES 3 RECENT 0 UIDNEXT 4 UIDVALIDITY … UNSEEN 2 DELETED 1 SIZE 90)",
                "OK …",
            ],
        )
        .await;
    client
        .check("STATUS nowhere (MESSAGES)", &["NO [NONEXISTENT] …"])
        .await;
    client.check("STATUS inbox ()", &["BAD …"]).await;
    client.check("STATUS inbox (FOO)", &["BAD …"]).await;
}

/// What mail programs call their folders says what they are for, once.
#[tokio::test]
async fn folders_of_mail_programs_get_their_use_where_nobody_has_it() {
    let world = World::new().await;
    let mut bob = world.bob().await;
    bob.ok("CREATE \"Sent Items\"").await;
    bob.check(
        "LIST \"\" \"Sent Items\"",
        &["* LIST (\\HasNoChildren) \"/\" \"Sent Items\"", "OK …"],
    )
    .await;
    bob.ok("DELETE Sent").await;
    bob.ok("ENABLE IMAP4rev2").await;
    bob.send("c CREATE {9+}\r\n已发送\r\n").await;
    assert!(bob.answer("c").await[0].starts_with("OK "));
    bob.check(
        "LIST \"\" % RETURN (SPECIAL-USE)",
        &[
            "* LIST (\\HasNoChildren \\Archive) \"/\" \"Archive\"",
            "* LIST (\\HasNoChildren \\Drafts) \"/\" \"Drafts\"",
            "* LIST (\\HasNoChildren) \"/\" \"INBOX\"",
            "* LIST (\\HasNoChildren \\Junk) \"/\" \"Junk\"",
            "* LIST (\\HasNoChildren) \"/\" \"Sent Items\"",
            "* LIST (\\HasNoChildren \\Trash) \"/\" \"Trash\"",
            "* LIST (\\HasNoChildren \\Sent) \"/\" \"已发送\"",
            "OK …",
        ],
    )
    .await;
}

/// RFC 9051 §6.3.9.
#[tokio::test]
async fn what_is_asked_twice_is_told_once_and_an_empty_pattern_matches_nothing() {
    let world = World::new().await;
    let mut client = world.bob().await;
    client
        .check(
            "LIST (SUBSCRIBED SUBSCRIBED) \"\" INBOX RETURN (CHILDREN SUBSCRIBED CHILDREN)",
            &[
                "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"INBOX\"",
                "OK …",
            ],
        )
        .await;
    client
        .check(
            "LIST \"\" INBOX RETURN (STATUS (MESSAGES) STATUS (MESSAGES))",
            &[
                "* LIST (\\HasNoChildren) \"/\" \"INBOX\"",
                "* STATUS \"INBOX\" (MESSAGES 0)",
                "OK …",
            ],
        )
        .await;
    for extended in [
        "LIST (SUBSCRIBED) \"\" \"\"",
        "LIST \"\" \"\" RETURN (CHILDREN)",
        "LIST \"\" (\"\")",
    ] {
        client.check(extended, &["OK …"]).await;
    }
}
