//! ACL (RFC 4314), LIST-MYRIGHTS (RFC 8440) and mailboxes of others.

use super::{Client, World};
use directory::AccountChange;
use envelope::{Address, Domain};
use mailstore::QuotaLimits;

const WORK: &str = "\"Other Users/bob@demo.test/Work\"";

/// Bob has a mailbox with three messages; carol is there too.
async fn world() -> (World, Client, Client) {
    let world = World::new().await;
    world.account("carol").await;
    let mut bob = world.bob().await;
    bob.ok("CREATE Work").await;
    for n in 1..=3 {
        let message = format!("Subject: message {n}\r\n\r\nbody {n}\r\n");
        bob.append("Work", "", &message).await;
    }
    let carol = world.login("carol").await;
    (world, bob, carol)
}

impl World {
    async fn is_shared(&self, name: &str, shared: bool) {
        let address = Address::parse(&format!("{name}@demo.test")).expect("valid");
        let change = AccountChange::Shared(shared);
        let changed = self.directory.account_change(&address, change).await;
        changed.expect("changed");
    }
}

async fn give(bob: &mut Client, rights: &str) {
    bob.ok(&format!("SETACL Work carol@demo.test {rights}"))
        .await;
}

#[tokio::test]
async fn rights_are_given_told_and_taken() {
    let (_world, mut bob, _carol) = world().await;
    bob.check("SETACL Work carol@demo.test lrs", &["OK …"])
        .await;
    bob.check("SETACL Work carol@demo.test +wi", &["OK …"])
        .await;
    bob.check("SETACL Work carol@demo.test -s", &["OK …"]).await;
    bob.check("SETACL Work anyone l", &["OK …"]).await;
    bob.check("SETACL Work -carol@demo.test w", &["OK …"]).await;
    bob.check(
        "GETACL Work",
        &[
            "* ACL \"Work\" bob@demo.test lrswipkxteacd carol@demo.test lrwi -carol@demo.test w anyone l",
            "OK …",
        ],
    )
    .await;
    bob.check(
        "LISTRIGHTS Work carol@demo.test",
        &[
            "* LISTRIGHTS \"Work\" carol@demo.test \"\" l r s w i p k x t e a c d",
            "OK …",
        ],
    )
    .await;
    bob.check(
        "LISTRIGHTS Work bob@demo.test",
        &["* LISTRIGHTS \"Work\" bob@demo.test lrswipkxteacd", "OK …"],
    )
    .await;
    bob.check(
        "MYRIGHTS INBOX",
        &["* MYRIGHTS \"INBOX\" lrswipkxteacd", "OK …"],
    )
    .await;
    bob.check("DELETEACL Work carol@demo.test", &["OK …"]).await;
    bob.check("DELETEACL Work -carol@demo.test", &["OK …"])
        .await;
    bob.check(
        "GETACL Work",
        &[
            "* ACL \"Work\" bob@demo.test lrswipkxteacd anyone l",
            "OK …",
        ],
    )
    .await;
}

#[tokio::test]
async fn what_cannot_be_given_is_refused() {
    let (_world, mut bob, _carol) = world().await;
    bob.check("SETACL Work carol@demo.test lrz", &["BAD …"])
        .await;
    bob.check("SETACL Work nobody@demo.test lr", &["NO [NONEXISTENT] …"])
        .await;
    bob.check("SETACL Nowhere carol@demo.test lr", &["NO [NONEXISTENT] …"])
        .await;
    bob.check("SETACL Work bob@demo.test lr", &["NO [CANNOT] …"])
        .await;
    bob.check("DELETEACL Work bob@demo.test", &["NO [CANNOT] …"])
        .await;
    bob.check("SETACL Work", &["BAD …"]).await;
    // RFC 4314 §3
    bob.check("SETACL Work \"\" lr", &["BAD …"]).await;
}

/// RFC 4314 §6: who has no right learns nothing, by whatever command.
#[tokio::test]
async fn without_a_right_a_mailbox_and_its_owner_are_as_if_they_were_not() {
    let (world, mut bob, mut carol) = world().await;
    give(&mut bob, "r").await;
    bob.ok("CREATE Secret").await;
    bob.ok("SETACL Work -carol@demo.test r").await;
    for name in [
        WORK,
        "\"Other Users/bob@demo.test/Secret\"",
        "\"Other Users/bob@demo.test/INBOX\"",
        "\"Other Users/nobody@demo.test/Work\"",
    ] {
        for command in [
            "SELECT", "EXAMINE", "MYRIGHTS", "GETACL", "DELETE", "STATUS",
        ] {
            let items = if command == "STATUS" {
                " (MESSAGES)"
            } else {
                ""
            };
            carol
                .check(
                    &format!("{command} {name}{items}"),
                    &["NO [NONEXISTENT] there is no such mailbox"],
                )
                .await;
        }
        for command in [
            format!("GETMETADATA {name} /shared/comment"),
            format!("LISTRIGHTS {name} anyone"),
            format!("SETACL {name} carol@demo.test lr"),
            format!("RENAME {name} Mine"),
        ] {
            let answer = carol.ask(&command).await;
            assert!(answer[0].starts_with("NO"), "{command}: {answer:?}");
        }
        carol
            .check(
                &format!("APPEND {name} {{3+}}\r\na: "),
                &["NO [TRYCREATE] …"],
            )
            .await;
    }
    let listed = carol.ok("LIST \"\" *").await;
    assert!(
        listed.iter().all(|line| !line.contains("Other Users")),
        "{listed:?}"
    );
    // Everybody of the domain, and no stranger.
    bob.ok("SETACL Secret anyone l").await;
    let listed = carol.ok("LIST \"\" \"Other Users/*\"").await;
    assert_eq!(
        listed,
        [
            "* LIST (\\NonExistent \\NoSelect \\HasChildren) \"/\" \"Other Users/bob@demo.test\"",
            "* LIST (\\HasNoChildren) \"/\" \"Other Users/bob@demo.test/Secret\"",
        ]
    );
    let domain = Domain::parse("other.test").expect("valid");
    world
        .directory
        .domain_add(&domain, None)
        .await
        .expect("added");
    world
        .account_at("eve@other.test", QuotaLimits::default())
        .await;
    let mut eve = world.login_as("eve@other.test").await;
    let listed = eve.ok("LIST \"\" *").await;
    assert!(
        listed.iter().all(|line| !line.contains("Other Users")),
        "{listed:?}"
    );
    bob.ok("SETACL Secret eve@other.test l").await;
    let listed = eve.ok("LIST \"\" %/%/%").await;
    assert_eq!(
        listed,
        ["* LIST (\\HasNoChildren) \"/\" \"Other Users/bob@demo.test/Secret\""]
    );
    bob.ok("DELETEACL Secret eve@other.test").await;
    assert_eq!(eve.ok("LIST \"\" %/%/%").await, [""; 0]);
}

#[tokio::test]
async fn others_mailboxes_are_listed_with_status_and_rights() {
    let (_world, mut bob, mut carol) = world().await;
    give(&mut bob, "lr").await;
    bob.ok("CREATE Work/Deep").await;
    bob.ok("SETACL Work/Deep carol@demo.test l").await;
    carol
        .check(
            "LIST \"\" \"Other Users/*\" RETURN (MYRIGHTS STATUS (MESSAGES UNSEEN))",
            &[
                "* LIST (\\NonExistent \\HasChildren) \"/\" \"Other Users/bob@demo.test\"",
                "* LIST (\\HasChildren) \"/\" \"Other Users/bob@demo.test/Work\"",
                "* STATUS \"Other Users/bob@demo.test/Work\" (MESSAGES 3 UNSEEN 3)",
                "* MYRIGHTS \"Other Users/bob@demo.test/Work\" lr",
                "* LIST (\\NoSelect \\HasNoChildren) \"/\" \"Other Users/bob@demo.test/Work/Deep\"",
                "* MYRIGHTS \"Other Users/bob@demo.test/Work/Deep\" l",
                "OK …",
            ],
        )
        .await;
    carol
        .check(
            "LIST \"\" INBOX RETURN (MYRIGHTS)",
            &[
                "* LIST (\\HasNoChildren) \"/\" \"INBOX\"",
                "* MYRIGHTS \"INBOX\" lrswipkxteacd",
                "OK …",
            ],
        )
        .await;
    carol
        .check(
            "STATUS \"Other Users/bob@demo.test/Work/Deep\" (MESSAGES)",
            &["NO [NOPERM] …"],
        )
        .await;
    carol.ok(&format!("SUBSCRIBE {WORK}")).await;
    carol
        .check(
            "LIST (SUBSCRIBED) \"\" \"Other Users/*\"",
            &[
                "* LIST (\\HasChildren \\Subscribed) \"/\" \"Other Users/bob@demo.test/Work\"",
                "OK …",
            ],
        )
        .await;
    // A folder of one's own by that name stays one's own.
    bob.ok("CREATE \"Other\"").await;
    bob.check(
        "CREATE \"Other Users/x\"",
        &["NO [CANNOT] names of that kind are for what others share"],
    )
    .await;
}

#[tokio::test]
async fn who_may_only_read_changes_nothing() {
    let (_world, mut bob, mut carol) = world().await;
    give(&mut bob, "lr").await;
    let told = carol.ok(&format!("SELECT {WORK}")).await;
    assert!(told.contains(&"* 3 EXISTS".to_owned()), "{told:?}");
    let permanent = told.iter().any(|line| line.contains("[PERMANENTFLAGS ()]"));
    assert!(permanent, "{told:?}");
    let answer = carol.ask(&format!("SELECT {WORK}")).await;
    assert_eq!(
        answer.last().map(String::as_str),
        Some("OK [READ-ONLY] selected")
    );
    carol.ok("FETCH 1 BODY[]").await;
    carol
        .check("FETCH 1 (FLAGS)", &["* 1 FETCH (FLAGS ())", "OK …"])
        .await;
    for command in [
        "STORE 1 +FLAGS (\\Seen)",
        "STORE 1 FLAGS (\\Flagged)",
        "EXPUNGE",
        "MOVE 1 INBOX",
    ] {
        let answer = carol.ask(command).await;
        assert!(answer[0].starts_with("NO ["), "{command}: {answer:?}");
    }
    carol
        .check(&format!("COPY 1 {WORK}"), &["NO [NOPERM] …"])
        .await;
    carol
        .check(&format!("DELETE {WORK}"), &["NO [NOPERM] …"])
        .await;
    carol
        .check(&format!("GETACL {WORK}"), &["NO [NOPERM] …"])
        .await;
    carol
        .check(
            "CREATE \"Other Users/bob@demo.test/Work/New\"",
            &["NO [NOPERM] …"],
        )
        .await;
    carol
        .check(
            &format!("SETMETADATA {WORK} (/shared/comment \"x\")"),
            &["NO [NOPERM] …"],
        )
        .await;
    carol
        .check(&format!("GETQUOTAROOT {WORK}"), &["* QUOTAROOT …", "OK …"])
        .await;
    // What may be read may be taken along.
    carol
        .check("COPY 1:2 INBOX", &["OK [COPYUID … 1:2 1:2] …"])
        .await;
    carol.ok("CLOSE").await;
    carol.ok("SELECT INBOX").await;
    carol
        .check(
            "FETCH 2 BODY.PEEK[TEXT]",
            &["* 2 FETCH (BODY[TEXT] {8}\r\nbody 2\r\n)", "OK …"],
        )
        .await;
}

/// PRACTICE §6: `\Seen` is each reader's own, all other flags are everybody's.
#[tokio::test]
async fn what_one_has_read_the_other_has_not() {
    let (world, mut bob, mut carol) = world().await;
    give(&mut bob, "lrsw").await;
    bob.ok("SELECT Work").await;
    bob.ok("STORE 2 +FLAGS (\\Seen)").await;
    carol.ok(&format!("SELECT {WORK}")).await;
    let mut second = world.login("carol").await;
    second.ok(&format!("SELECT {WORK}")).await;
    carol
        .check(
            "FETCH 1:3 FLAGS",
            &[
                "* 1 FETCH (FLAGS ())",
                "* 2 FETCH (FLAGS ())",
                "* 3 FETCH (FLAGS ())",
                "OK …",
            ],
        )
        .await;
    carol.ok("FETCH 1 BODY[]").await;
    carol
        .check(
            "STORE 3 +FLAGS (\\Flagged \\Seen \\Deleted)",
            &["* 3 FETCH (UID 3 FLAGS (\\Seen \\Flagged))", "OK …"],
        )
        .await;
    carol.check("SEARCH UNSEEN", &["* SEARCH 2", "OK …"]).await;
    carol
        .check(
            &format!("STATUS {WORK} (UNSEEN)"),
            &[&format!("* STATUS {WORK} (UNSEEN 1)"), "OK …"],
        )
        .await;
    // Carol's other session is told, and bob is told what is his.
    second
        .check(
            "NOOP",
            &[
                "* 1 FETCH (UID 1 FLAGS (\\Seen))",
                "* 3 FETCH (UID 3 FLAGS (\\Seen \\Flagged))",
                "OK …",
            ],
        )
        .await;
    bob.check(
        "FETCH 1:3 FLAGS",
        &[
            "* 1 FETCH (FLAGS ())",
            "* 2 FETCH (FLAGS (\\Seen))",
            "* 3 FETCH (FLAGS ())",
            "* 1 FETCH (UID 1 FLAGS ())",
            "* 3 FETCH (UID 3 FLAGS (\\Flagged))",
            "OK …",
        ],
    )
    .await;
    bob.check(
        "STATUS Work (UNSEEN)",
        &["* STATUS \"Work\" (UNSEEN 2)", "OK …"],
    )
    .await;
    // Replacing leaves alone what is not hers to change.
    bob.ok("STORE 3 +FLAGS (\\Deleted)").await;
    carol
        .check(
            "UID STORE 3 FLAGS (work)",
            &[
                "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft work)",
                "* 3 FETCH (UID 3 FLAGS (work \\Deleted))",
                "OK …",
            ],
        )
        .await;
    let id = world.directory.account_of("bob@demo.test").await;
    let id = id.expect("read").expect("bob");
    let findings = world.ports.mailstore.fsck(id).await;
    assert_eq!(findings.expect("read"), []);
}

#[tokio::test]
async fn who_may_do_all_does_it() {
    let (_world, mut bob, mut carol) = world().await;
    give(&mut bob, "lrswitekxa").await;
    carol
        .append(WORK, "(\\Seen \\Flagged) ", "Subject: new\r\n\r\nx\r\n")
        .await;
    carol.ok(&format!("SELECT {WORK}")).await;
    carol
        .check(
            "FETCH 4 FLAGS",
            &["* 4 FETCH (FLAGS (\\Seen \\Flagged))", "OK …"],
        )
        .await;
    carol.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    carol.check("EXPUNGE", &["* 1 EXPUNGE", "OK …"]).await;
    carol
        .check(
            "MOVE 1 INBOX",
            &["* OK [COPYUID … 2 1] moved", "* 1 EXPUNGE", "OK …"],
        )
        .await;
    bob.ok("SELECT Work").await;
    bob.check(
        "FETCH 1:* (UID FLAGS)",
        &[
            "* 1 FETCH (UID 3 FLAGS ())",
            "* 2 FETCH (UID 4 FLAGS (\\Flagged))",
            "OK …",
        ],
    )
    .await;
    bob.ok("UNSELECT").await;
    // What is made below is seen by those who see what is above.
    carol
        .ok("CREATE \"Other Users/bob@demo.test/Work/A/B\"")
        .await;
    bob.check(
        "GETACL Work/A",
        &[
            "* ACL \"Work/A\" bob@demo.test lrswipkxteacd carol@demo.test lrswikxteacd",
            "OK …",
        ],
    )
    .await;
    carol
        .ok("RENAME \"Other Users/bob@demo.test/Work/A\" \"Other Users/bob@demo.test/Work/C\"")
        .await;
    carol
        .check(
            "RENAME \"Other Users/bob@demo.test/Work/C\" C",
            &["NO [CANNOT] …"],
        )
        .await;
    carol
        .ok("DELETE \"Other Users/bob@demo.test/Work/C/B\"")
        .await;
    let listed = bob.ok("LIST \"\" Work*").await;
    assert_eq!(listed.len(), 2, "{listed:?}");
    carol.ok(&format!("SETACL {WORK} anyone r")).await;
    carol
        .ok(&format!("SETMETADATA {WORK} (/shared/comment \"ours\")"))
        .await;
    bob.check(
        "GETMETADATA Work /shared/comment",
        &["* METADATA \"Work\" (/shared/comment \"ours\")", "OK …"],
    )
    .await;
    carol
        .check(
            &format!("SETMETADATA {WORK} (/private/comment \"mine\")"),
            &["NO [NOPERM] …"],
        )
        .await;
}

#[tokio::test]
async fn a_right_that_is_taken_counts_at_once() {
    let (_world, mut bob, mut carol) = world().await;
    give(&mut bob, "lrte").await;
    carol.ok(&format!("SELECT {WORK}")).await;
    give(&mut bob, "lr").await;
    carol.check("EXPUNGE", &["NO [NOPERM] …"]).await;
    carol.send("i IDLE\r\n").await;
    assert_eq!(carol.hear().await, "+ idling");
    bob.append("Work", "", "Subject: four\r\n\r\nx\r\n").await;
    assert_eq!(carol.hear().await, "* 4 EXISTS");
    assert_eq!(carol.hear().await, "* 0 RECENT");
    bob.ok("DELETEACL Work carol@demo.test").await;
    carol
        .hears_bye("* BYE the selected mailbox cannot be used: …")
        .await;
}

/// Numbers of mailboxes are each account's own: another's is never taken for one's own.
/// RFC 7377 §2.1, §2.2: each mailbox of the sources that the user may read.
#[tokio::test]
async fn a_search_over_mailboxes_is_in_others_too() {
    let (world, mut bob, mut carol) = world().await;
    world.account("team").await;
    world.is_shared("team", true).await;
    let mut team = world.login("team").await;
    for mailbox in ["Work/sub", "Hidden"] {
        bob.ok(&format!("CREATE {mailbox}")).await;
        bob.append(mailbox, "", "Subject: message 2\r\n\r\nx").await;
    }
    team.ok("CREATE Posts").await;
    team.append("Posts", "", "Subject: message 2\r\n\r\nx")
        .await;
    give(&mut bob, "lrs").await;
    bob.ok("SETACL Work/sub carol@demo.test lr").await;
    // To be seen, not to be read; and nothing at all.
    bob.ok("SETACL INBOX carol@demo.test l").await;
    bob.append("INBOX", "", "Subject: message 2\r\n\r\nx").await;
    team.ok("SETACL Posts carol@demo.test lr").await;
    carol
        .append("INBOX", "", "Subject: message 2\r\n\r\nx")
        .await;
    let told = |name: &str, uid: u32| {
        format!("* ESEARCH (TAG \"…\" MAILBOX \"{name}\" UIDVALIDITY …) UID ALL {uid}")
    };
    let work = told("Other Users/bob@demo.test/Work", 2);
    let sub = told("Other Users/bob@demo.test/Work/sub", 1);
    let (posts, inbox) = (told("Shared/team@demo.test/Posts", 1), told("INBOX", 1));
    let all = "mailboxes (INBOX \"Other Users/bob@demo.test/Work\" \"Other Users/bob@demo.test/INBOX\" \
        \"Other Users/bob@demo.test/Hidden\" \"Shared/team@demo.test/Posts\")";
    carol.ok("SUBSCRIBE \"Shared/team@demo.test/Posts\"").await;
    // The last two are the same with a mailbox selected that is among them.
    for select in [
        "",
        "SELECT \"Other Users/bob@demo.test/Work\"",
        "SELECT INBOX",
    ] {
        if !select.is_empty() {
            carol.ok(select).await;
        }
        for (sources, expected) in [
            (all, &[&inbox, &work, &posts][..]),
            ("subtree \"Other Users\"", &[&work, &sub]),
            ("subtree-one \"Other Users/bob@demo.test\"", &[&work]),
            ("subtree \"Shared\"", &[&posts]),
            ("subscribed", &[&inbox, &posts]),
            ("personal", &[&inbox]),
            ("inboxes", &[&inbox]),
        ] {
            let mut expected: Vec<&str> = expected.iter().map(|told| told.as_str()).collect();
            expected.push("OK …");
            let command = format!("ESEARCH IN ({sources}) SUBJECT \"message 2\"");
            carol.check(&command, &expected).await;
        }
    }
    // What is read is each reader's own.
    let work_alone = "ESEARCH IN (mailboxes \"Other Users/bob@demo.test/Work\")";
    carol.ok("SELECT \"Other Users/bob@demo.test/Work\"").await;
    carol.ok("STORE 2 +FLAGS (\\Seen)").await;
    carol.ok("UNSELECT").await;
    carol
        .check(&format!("{work_alone} SEEN"), &[&work, "OK …"])
        .await;
    bob.check("ESEARCH IN (mailboxes Work) SEEN", &["OK …"])
        .await;
    give(&mut bob, "l").await;
    carol.check(&format!("{work_alone} ALL"), &["OK …"]).await;
}

#[tokio::test]
async fn anothers_mailbox_of_the_same_number_is_another() {
    let (_world, mut bob, mut carol) = world().await;
    bob.ok("SETACL INBOX carol@demo.test lrswi").await;
    bob.append("INBOX", "", "Subject: for bob\r\n\r\nx\r\n")
        .await;
    carol.ok("SELECT \"Other Users/bob@demo.test/INBOX\"").await;
    carol.check("ESEARCH IN (personal) ALL", &["OK …"]).await;
    carol
        .check(
            "ESEARCH IN (selected) ALL",
            &["* ESEARCH (TAG \"…\" MAILBOX \"Other Users/bob@demo.test/INBOX\" UIDVALIDITY …) UID ALL 1", "OK …"],
        )
        .await;
    carol
        .check(
            "APPEND Drafts CATENATE (URL \"/;UID=1\")",
            &["NO [BADURL …] …"],
        )
        .await;
    carol.ok("CREATE Sent/x").await;
    carol.ok("DELETE Sent/x").await;
    carol.check("NOOP", &["OK …"]).await;
    carol
        .check("FETCH 1 (UID)", &["* 1 FETCH (UID 1)", "OK …"])
        .await;
    // Nor are its ids (RFC 8474 §3).
    carol
        .check("FETCH 1 EMAILID", &["* 1 FETCH (EMAILID (A1-E4))", "OK …"])
        .await;
    carol
        .check("SEARCH EMAILID A1-E4", &["* SEARCH 1", "OK …"])
        .await;
    carol
        .check("SEARCH EMAILID E4", &["* SEARCH", "OK …"])
        .await;
    carol
        .check(
            "STATUS \"Other Users/bob@demo.test/INBOX\" (MAILBOXID)",
            &["* STATUS … (MAILBOXID (A1-M1))", "OK …"],
        )
        .await;
}

/// RFC 2342: what an account shares that the operator marked is in the shared namespace.
#[tokio::test]
async fn a_shared_accounts_mailboxes_are_in_the_shared_namespace() {
    let (world, mut bob, mut carol) = world().await;
    world.account("dave").await;
    give(&mut bob, "lrsi").await;
    world.is_shared("bob", true).await;
    let shared = "\"Shared/bob@demo.test/Work\"";
    carol
        .check(
            "NAMESPACE",
            &[
                "* NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) ((\"Shared/\" \"/\"))",
                "OK those are the namespaces",
            ],
        )
        .await;
    carol
        .check(
            "LIST \"\" \"Shared/*\" RETURN (MYRIGHTS)",
            &[
                "* LIST (\\NonExistent…) \"/\" \"Shared/bob@demo.test\"",
                &format!("* LIST (\\HasNoChildren) \"/\" {shared}"),
                &format!("* MYRIGHTS {shared} lrsi"),
                "OK …",
            ],
        )
        .await;
    carol.ok(&format!("SELECT {shared}")).await;
    carol.ok("UNSELECT").await;
    carol
        .check(&format!("SELECT {WORK}"), &["NO [NONEXISTENT] …"])
        .await;
    // Who sees nothing there has no such namespace, and may have a folder of that name.
    let mut dave = world.login("dave").await;
    dave.check(
        "NAMESPACE",
        &[
            "* NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) NIL",
            "OK …",
        ],
    )
    .await;
    dave.check(&format!("SELECT {shared}"), &["NO [NONEXISTENT] …"])
        .await;
    dave.ok("CREATE Shared/plans").await;
    dave.ok("SELECT Shared/plans").await;
    // As it was.
    world.is_shared("bob", false).await;
    carol.ok(&format!("SELECT {WORK}")).await;
    carol
        .check(
            &format!("STATUS {shared} (MESSAGES)"),
            &["NO [NONEXISTENT] …"],
        )
        .await;
}

/// An alias of the domain stands for the accounts to which it leads.
#[tokio::test]
async fn a_group_is_an_alias_and_who_leaves_it_loses_its_rights() {
    let (world, mut bob, mut carol) = world().await;
    for name in ["dave", "eve"] {
        world.account(name).await;
    }
    let address = |name: &str| Address::parse(&format!("{name}@demo.test")).expect("valid");
    let team = [address("carol"), address("dave")];
    let added = world.directory.alias_add(&address("team"), &team).await;
    added.expect("added");
    bob.check("SETACL Work Team@demo.test lr", &["OK …"]).await;
    bob.check("SETACL Work -team@demo.test w", &["OK …"]).await;
    bob.check("SETACL Work carol@demo.test w", &["OK …"]).await;
    bob.check(
        "GETACL Work",
        &[
            "* ACL \"Work\" bob@demo.test … carol@demo.test w team@demo.test lr -team@demo.test w",
            "OK …",
        ],
    )
    .await;
    for nobody in ["teem@demo.test", "team@far.test"] {
        let command = format!("SETACL Work {nobody} lr");
        bob.check(&command, &["NO [NONEXISTENT] …"]).await;
    }
    let mine = format!("* MYRIGHTS {WORK} lr");
    let mut dave = world.login("dave").await;
    let mut eve = world.login("eve").await;
    for member in [&mut carol, &mut dave] {
        // What is taken from the group is taken from its member.
        member
            .check(&format!("MYRIGHTS {WORK}"), &[&mine, "OK …"])
            .await;
        let listed = member.ok("LIST \"\" \"Other Users/*\"").await;
        assert!(listed.iter().any(|line| line.ends_with(WORK)), "{listed:?}");
    }
    assert_eq!(eve.ok("LIST \"\" \"Other Users/*\"").await, [""; 0]);
    eve.check(&format!("SELECT {WORK}"), &["NO [NONEXISTENT] …"])
        .await;
    dave.ok(&format!("SELECT {WORK}")).await;
    let removed = world.directory.alias_remove(&address("team")).await;
    removed.expect("removed");
    // The end of a right counts from the next command on.
    dave.send("x NOOP\r\n").await;
    dave.hears_bye("* BYE the selected mailbox cannot be used: …")
        .await;
}

/// RFC 9051 §6.3.12, §6.4.7: who may put messages in and not look learns no UIDs.
#[tokio::test]
async fn who_may_only_put_messages_in_is_told_no_uids() {
    let (_world, mut bob, mut carol) = world().await;
    give(&mut bob, "li").await;
    carol
        .check(&format!("APPEND {WORK} {{3+}}\r\na: "), &["OK appended"])
        .await;
    for subject in ["one", "two"] {
        let message = format!("Subject: {subject}\r\n\r\n");
        carol.append("INBOX", "", &message).await;
    }
    carol.ok("SELECT INBOX").await;
    carol.check(&format!("COPY 1 {WORK}"), &["OK copied"]).await;
    carol
        .check(&format!("MOVE 1 {WORK}"), &["* 1 EXPUNGE", "OK moved"])
        .await;
    bob.check(
        "STATUS Work (MESSAGES)",
        &["* STATUS \"Work\" (MESSAGES 6)", "OK …"],
    )
    .await;
}

/// RFC 4314 §4: DELETE takes the rights along.
#[tokio::test]
async fn rights_end_with_their_mailbox() {
    let (_world, mut bob, mut carol) = world().await;
    give(&mut bob, "lr").await;
    bob.ok("DELETE Work").await;
    bob.ok("CREATE Work").await;
    bob.check(
        "GETACL Work",
        &["* ACL \"Work\" bob@demo.test lrswipkxteacd", "OK …"],
    )
    .await;
    carol
        .check(&format!("SELECT {WORK}"), &["NO [NONEXISTENT] …"])
        .await;
}

/// RFC 4314 §4: CLOSE without `e` is no failure, and expunges nothing.
#[tokio::test]
async fn closing_without_the_right_expunges_nothing() {
    let (_world, mut bob, mut carol) = world().await;
    give(&mut bob, "lrt").await;
    carol.ok(&format!("SELECT {WORK}")).await;
    carol.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    carol.check("CLOSE", &["OK closed"]).await;
    bob.check(
        "STATUS Work (MESSAGES DELETED)",
        &["* STATUS \"Work\" (MESSAGES 3 DELETED 1)", "OK …"],
    )
    .await;
}
