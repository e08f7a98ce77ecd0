//! MULTISEARCH (RFC 7377).

use super::World;

async fn world() -> World {
    let world = World::new().await;
    let mut client = world.bob().await;
    client.ok("CREATE work").await;
    client.ok("CREATE work/a").await;
    client.ok("CREATE work/a/b").await;
    client.ok("UNSUBSCRIBE work/a").await;
    for mailbox in ["INBOX", "work", "work/a", "work/a/b", "Archive"] {
        for subject in ["red", "blue"] {
            client
                .append(mailbox, "", &format!("Subject: {subject}\r\n\r\n"))
                .await;
        }
    }
    world
}

fn told(name: &str, rest: &str) -> String {
    format!("* ESEARCH (TAG \"…\" MAILBOX \"{name}\" UIDVALIDITY …) UID {rest}")
}

#[tokio::test]
async fn mailboxes_are_searched_together() {
    let world = world().await;
    let mut client = world.bob_in_inbox().await;
    for (source, names) in [
        ("(mailboxes work)", &["work"][..]),
        ("(mailboxes (work/a nowhere INBOX))", &["INBOX", "work/a"]),
        ("(subtree work)", &["work", "work/a", "work/a/b"]),
        ("(subtree-one work)", &["work", "work/a"]),
        ("(subtree work/a mailboxes work/a)", &["work/a", "work/a/b"]),
        ("(selected inboxes)", &["INBOX"]),
        ("(subscribed)", &["INBOX", "Archive", "work", "work/a/b"]),
        (
            "(personal)",
            &["INBOX", "Archive", "work", "work/a", "work/a/b"],
        ),
    ] {
        let mut expected: Vec<String> = names.iter().map(|name| told(name, "ALL 2")).collect();
        expected.push("OK …".into());
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        client
            .check(&format!("ESEARCH IN {source} SUBJECT blue"), &expected)
            .await;
    }
    let told = told("work", "MIN 1 COUNT 2");
    client
        .check(
            "ESEARCH IN (subtree-one work) RETURN (MIN COUNT) NOT SUBJECT green UID 1:9",
            &[&told, &told.replace("work", "work/a"), "OK …"],
        )
        .await;
    // Nothing is told of where nothing is found, and the selection is as it was.
    client
        .check(
            "ESEARCH IN (personal) RETURN (COUNT) SUBJECT green",
            &["OK …"],
        )
        .await;
    client
        .check("FETCH 2 (UID)", &["* 2 FETCH (UID 2)", "OK …"])
        .await;
}

#[tokio::test]
async fn numbers_and_saved_results_are_of_the_selected_mailbox() {
    let world = world().await;
    let mut client = world.bob().await;
    client.check("ESEARCH ALL", &["BAD …"]).await;
    client.ok("SELECT INBOX").await;
    let inbox = told("INBOX", "ALL 2");
    client.check("ESEARCH 2", &[&inbox, "OK …"]).await;
    client
        .check(
            "ESEARCH IN (selected) RETURN (SAVE ALL) 2",
            &[&inbox, "OK …"],
        )
        .await;
    client.check("SEARCH $", &["* SEARCH 2", "OK …"]).await;
    for bad in [
        "ESEARCH IN (personal) 2",
        "ESEARCH IN (mailboxes INBOX) NOT 1:2",
        "ESEARCH IN (personal) RETURN (SAVE) ALL",
        "ESEARCH IN () ALL",
        "ESEARCH IN (everywhere) ALL",
        "ESEARCH IN (mailboxes) ALL",
        "ESEARCH IN (personal)",
    ] {
        client.check(bad, &["BAD …"]).await;
    }
}
