//! CONDSTORE (RFC 7162 §3.1).

use super::World;

/// The number in `(MODSEQ (n))` or `[HIGHESTMODSEQ n]`.
fn modseq(line: &str) -> u64 {
    let digits = |rest: &str| -> String { rest.chars().take_while(char::is_ascii_digit).collect() };
    for name in ["HIGHESTMODSEQ ", "MODSEQ (", "MODSEQ "] {
        if let Some(at) = line.find(name) {
            return digits(&line[at + name.len()..]).parse().expect("a number");
        }
    }
    panic!("no mod-sequence in {line}");
}

async fn highest(client: &mut super::Client) -> u64 {
    modseq(
        &client
            .ok("STATUS INBOX (HIGHESTMODSEQ)")
            .await
            .pop()
            .expect("a status"),
    )
}

#[tokio::test]
async fn mod_sequences_are_told_once_a_command_asked_for_them() {
    for enabling in [
        "FETCH 1 (MODSEQ)",
        "FETCH 1 (FLAGS) (CHANGEDSINCE 1)",
        "STATUS INBOX (HIGHESTMODSEQ)",
        "LIST \"\" INBOX RETURN (STATUS (HIGHESTMODSEQ))",
        "SEARCH MODSEQ 1",
        "STORE 1 (UNCHANGEDSINCE 1) +FLAGS (\\Seen)",
        "ENABLE CONDSTORE",
        "SELECT INBOX (CONDSTORE)",
    ] {
        let world = World::new().await;
        world.fill(1).await;
        let mut client = world.bob_in_inbox().await;
        let mut other = world.bob_in_inbox().await;
        client
            .check(
                "STORE 1 +FLAGS (\\Draft)",
                &["* 1 FETCH (UID 1 FLAGS (\\Draft))", "OK …"],
            )
            .await;
        let answer = client.ok(enabling).await;
        // RFC 7162 §3.1: the selected mailbox's newest change is told then.
        let told = answer
            .iter()
            .filter(|line| line.starts_with("* OK [HIGHESTMODSEQ "));
        assert_eq!(told.count(), 1, "{enabling}: {answer:?}");
        let again = client.ok(enabling).await;
        let told = again
            .iter()
            .filter(|line| line.starts_with("* OK [HIGHESTMODSEQ "));
        assert_eq!(
            told.count(),
            usize::from(enabling.starts_with("SELECT")),
            "{enabling}"
        );
        other.ok("STORE 1 +FLAGS (\\Flagged)").await;
        let update = client.ok("NOOP").await.join("");
        assert!(update.contains("MODSEQ ("), "{enabling}: {update}");
    }
}

#[tokio::test]
async fn fetch_of_what_changed_since() {
    let world = World::new().await;
    world.fill(3).await;
    let mut client = world.bob().await;
    let select = client.ok("SELECT INBOX (CONDSTORE)").await;
    let line = select
        .iter()
        .find(|l| l.contains("HIGHESTMODSEQ"))
        .expect("it is told");
    let start = modseq(line);
    let changed = client.ok("STORE 2 +FLAGS (\\Seen)").await;
    assert!(modseq(&changed[0]) > start);
    let now = modseq(&changed[0]);
    client
        .check(
            &format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {start})"),
            &[
                &format!("* 2 FETCH (UID 2 FLAGS (\\Seen) MODSEQ ({now}))"),
                "OK fetched",
            ],
        )
        .await;
    client
        .check(
            &format!("FETCH 1:* (UID) (CHANGEDSINCE {now})"),
            &["OK fetched"],
        )
        .await;
    assert_eq!(highest(&mut client).await, now);
    client.check("FETCH 1 (FLAGS) (FOO 1)", &["BAD …"]).await;
}

#[tokio::test]
async fn a_conditional_store_leaves_alone_what_changed() {
    let world = World::new().await;
    world.fill(4).await;
    let mut client = world.bob_in_inbox().await;
    client.ok("ENABLE CONDSTORE").await;
    let before = highest(&mut client).await;
    let mut other = world.bob_in_inbox().await;
    other.ok("STORE 2,4 +FLAGS.SILENT \\Flagged").await;
    let answer = client
        .ask(&format!(
            "STORE 1:4 (UNCHANGEDSINCE {before}) +FLAGS.SILENT (\\Deleted)"
        ))
        .await;
    assert_eq!(
        answer.last().map(String::as_str),
        Some("OK [MODIFIED 2,4] stored")
    );
    // RFC 7162 §3.1.3: the new mod-sequences are told even when silent; and what another changed.
    let lines = answer.join("\n");
    for wanted in [
        "* 1 FETCH (UID 1 MODSEQ (",
        "* 3 FETCH (UID 3 MODSEQ (",
        "* 2 FETCH (UID 2 FLAGS (\\Flagged) MODSEQ (",
        "* 4 FETCH (UID 4 FLAGS (\\Flagged) MODSEQ (",
    ] {
        assert!(lines.contains(wanted), "{lines}");
    }
    client
        .check("UID SEARCH DELETED", &["* SEARCH 1 3", "OK searched"])
        .await;
    client
        .check(
            "UID STORE 2 (UNCHANGEDSINCE 0) FLAGS ()",
            &["OK [MODIFIED 2] stored"],
        )
        .await;
    client.check("STORE 1 (FOO 1) FLAGS ()", &["BAD …"]).await;
}

#[tokio::test]
async fn search_by_mod_sequence() {
    let world = World::new().await;
    world.fill(3).await;
    let mut client = world.bob_in_inbox().await;
    client.ok("ENABLE CONDSTORE").await;
    let of = |answer: Vec<String>| modseq(&answer[0]);
    let third = of(client.ok("STORE 3 +FLAGS (\\Seen)").await);
    let first = of(client.ok("STORE 1 +FLAGS (\\Seen)").await);
    client
        .check(
            &format!("SEARCH MODSEQ \"/flags/\\\\seen\" all {third}"),
            &[&format!("* SEARCH 1 3 (MODSEQ {first})"), "OK searched"],
        )
        .await;
    client
        .check(
            &format!("SEARCH MODSEQ {}", first + 1),
            &["* SEARCH", "OK searched"],
        )
        .await;
    for (returns, data) in [
        ("MIN", format!("MIN 1 MODSEQ {first}")),
        ("MAX", format!("MAX 3 MODSEQ {third}")),
        ("MIN MAX", format!("MIN 1 MAX 3 MODSEQ {first}")),
        ("COUNT", format!("COUNT 2 MODSEQ {first}")),
    ] {
        let tag = client.tags + 1;
        client
            .check(
                &format!("SEARCH RETURN ({returns}) MODSEQ {third}"),
                &[&format!("* ESEARCH (TAG \"t{tag}\") {data}"), "OK searched"],
            )
            .await;
    }
    client
        .check(
            "FETCH 3 MODSEQ",
            &[&format!("* 3 FETCH (MODSEQ ({third}))"), "OK fetched"],
        )
        .await;
}

/// RFC 7162 §3.1.3: of each message for which it went well, though nothing was to do.
#[tokio::test]
async fn a_conditional_store_that_changes_nothing_tells_mod_sequences_all_the_same() {
    let world = World::new().await;
    world.fill(2).await;
    let mut client = world.bob_in_inbox().await;
    client.ok("ENABLE CONDSTORE").await;
    client.ok("STORE 1 +FLAGS.SILENT (\\Seen)").await;
    let now = highest(&mut client).await;
    let told = format!("* 1 FETCH (UID 1 MODSEQ ({now}))");
    client
        .check(
            &format!("STORE 1 (UNCHANGEDSINCE {now}) +FLAGS.SILENT (\\Seen)"),
            &[&told, "OK stored"],
        )
        .await;
    client
        .check("STORE 1 +FLAGS.SILENT (\\Seen)", &["OK stored"])
        .await;
}

/// RFC 7162 §3.2.4.
#[tokio::test]
async fn what_reading_changes_is_told_with_uid_and_mod_sequence() {
    let world = World::new().await;
    world.fill(1).await;
    let mut client = world.bob_in_inbox().await;
    client.ok("ENABLE CONDSTORE").await;
    client
        .check(
            "FETCH 1 BODY[TEXT]",
            &[
                "* 1 FETCH (BODY[TEXT] …)",
                "* 1 FETCH (UID 1 FLAGS (\\Seen) MODSEQ (…))",
                "OK …",
            ],
        )
        .await;
}
