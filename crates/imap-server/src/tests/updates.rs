//! What concurrent sessions are told of each other, and when (RFC 9051 §5.2, §7.5.1; RFC 2177).

use super::World;
use envelope::AccountId;
use std::time::Duration;

#[tokio::test]
async fn expunges_wait_for_a_command_that_may_tell_them() {
    let world = World::new().await;
    world.fill(5).await;
    let mut one = world.bob_in_inbox().await;
    let mut two = world.bob_in_inbox().await;
    one.ok("STORE 1,3 +FLAGS.SILENT \\Deleted").await;
    one.check("EXPUNGE", &["* 3 EXPUNGE", "* 1 EXPUNGE", "OK …"])
        .await;
    // By number nothing moves, whether it goes well or not.
    two.check("FETCH 2 UID", &["* 2 FETCH (UID 2)", "OK fetched"])
        .await;
    two.check(
        "STORE 4 +FLAGS (\\Flagged)",
        &["* 4 FETCH (UID 4 FLAGS (\\Flagged))", "OK …"],
    )
    .await;
    two.check("SEARCH 5", &["* SEARCH 5", "OK …"]).await;
    two.check("FETCH 6 UID", &["BAD …"]).await;
    two.check("STORE 6 FLAGS ()", &["BAD …"]).await;
    two.check("SEARCH FOO", &["BAD …"]).await;
    // What another session expunged is readable until the retention has passed.
    assert_eq!(two.ok("FETCH 1 BODY.PEEK[]").await.len(), 1);
    world.runtime.advance(Duration::from_secs(1));
    let reaped = world.ports.mailstore.reap(AccountId(1), Duration::ZERO);
    reaped.await.expect("reaped");
    two.check("FETCH 1 BODY.PEEK[]", &["OK [EXPUNGEISSUED] …"])
        .await;
    // The UID forms may.
    two.check(
        "UID FETCH 4 FLAGS",
        &[
            "* 4 FETCH (UID 4 FLAGS (\\Flagged))",
            "* 3 EXPUNGE",
            "* 1 EXPUNGE",
            "OK fetched",
        ],
    )
    .await;
    two.check("FETCH 3 UID", &["* 3 FETCH (UID 5)", "OK …"])
        .await;
    one.check("NOOP", &["* 2 FETCH (UID 4 FLAGS (\\Flagged))", "OK done"])
        .await;
}

#[tokio::test]
async fn arrivals_are_told_before_their_flags() {
    let world = World::new().await;
    world.fill(1).await;
    let mut one = world.bob_in_inbox().await;
    let mut two = world.bob_in_inbox().await;
    one.append("INBOX", "", "Subject: new\r\n\r\n").await;
    one.ok("STORE 2 +FLAGS.SILENT (\\Seen $new)").await;
    one.ok("STORE 1 +FLAGS.SILENT \\Flagged").await;
    two.check(
        "FETCH 1 UID",
        &[
            "* 1 FETCH (UID 1)",
            "* 2 EXISTS",
            "* 0 RECENT",
            "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $new)",
            "* 1 FETCH (UID 1 FLAGS (\\Flagged))",
            "OK fetched",
        ],
    )
    .await;
    two.check(
        "FETCH 2 FLAGS",
        &["* 2 FETCH (FLAGS (\\Seen $new))", "OK …"],
    )
    .await;
    two.check("CHECK", &["OK done"]).await;
}

#[tokio::test]
async fn a_message_that_came_and_went_between_is_never_told() {
    let world = World::new().await;
    world.fill(2).await;
    let mut one = world.bob_in_inbox().await;
    let mut two = world.bob_in_inbox().await;
    one.append("INBOX", "(\\Deleted) ", "Subject: gone\r\n\r\n")
        .await;
    one.ok("STORE 1 +FLAGS.SILENT \\Deleted").await;
    one.ok("EXPUNGE").await;
    one.append("INBOX", "", "Subject: stays\r\n\r\n").await;
    two.check(
        "NOOP",
        &["* 1 EXPUNGE", "* 2 EXISTS", "* 0 RECENT", "OK done"],
    )
    .await;
    two.check(
        "UID FETCH 1:* UID",
        &["* 1 FETCH (UID 2)", "* 2 FETCH (UID 4)", "OK …"],
    )
    .await;
}

#[tokio::test]
async fn what_came_while_expunges_wait_keeps_its_number() {
    let world = World::new().await;
    world.fill(2).await;
    let mut one = world.bob_in_inbox().await;
    let mut two = world.bob_in_inbox().await;
    one.ok("STORE 1 +FLAGS.SILENT \\Deleted").await;
    one.ok("EXPUNGE").await;
    one.append("INBOX", "", "Subject: new\r\n\r\n").await;
    two.check(
        "FETCH 2 UID",
        &["* 2 FETCH (UID 2)", "* 3 EXISTS", "* 0 RECENT", "OK …"],
    )
    .await;
    two.check("FETCH 3 UID", &["* 3 FETCH (UID 3)", "OK …"])
        .await;
    two.check("NOOP", &["* 1 EXPUNGE", "OK done"]).await;
    two.check(
        "FETCH 1:2 UID",
        &["* 1 FETCH (UID 2)", "* 2 FETCH (UID 3)", "OK …"],
    )
    .await;
}

#[tokio::test]
async fn a_silent_store_hides_its_own_change_but_not_anothers() {
    // RFC 9051 §6.4.6, note
    let world = World::new().await;
    world.fill(3).await;
    let mut one = world.bob_in_inbox().await;
    let mut two = world.bob_in_inbox().await;
    one.ok("STORE 1:2 +FLAGS.SILENT \\Answered").await;
    two.check(
        "STORE 1,3 +FLAGS.SILENT (\\Seen)",
        &[
            "* 1 FETCH (UID 1 FLAGS (\\Seen \\Answered))",
            "* 2 FETCH (UID 2 FLAGS (\\Answered))",
            "OK stored",
        ],
    )
    .await;
    two.check("STORE 1:3 FLAGS.SILENT (\\Draft)", &["OK stored"])
        .await;
    two.check("STORE 1:3 -FLAGS.SILENT (\\Draft)", &["OK stored"])
        .await;
    two.check("NOOP", &["OK done"]).await;
}

#[tokio::test]
async fn idle_tells_changes_as_they_come() {
    let world = World::new().await;
    world.fill(2).await;
    let mut idler = world.bob_in_inbox().await;
    let mut other = world.bob_in_inbox().await;
    idler.send("a IDLE\r\n").await;
    assert_eq!(idler.hear().await, "+ idling");
    other.append("INBOX", "", "Subject: new\r\n\r\n").await;
    assert_eq!(idler.hear().await, "* 3 EXISTS");
    assert_eq!(idler.hear().await, "* 0 RECENT");
    other.ok("STORE 3 +FLAGS.SILENT \\Flagged").await;
    assert_eq!(idler.hear().await, "* 3 FETCH (UID 3 FLAGS (\\Flagged))");
    other.ok("STORE 1 +FLAGS.SILENT \\Deleted").await;
    assert_eq!(idler.hear().await, "* 1 FETCH (UID 1 FLAGS (\\Deleted))");
    other.ok("EXPUNGE").await;
    assert_eq!(idler.hear().await, "* 1 EXPUNGE");
    idler.send("done\r\n").await;
    assert_eq!(idler.hear().await, "a OK idled");
    // A change while nobody idles is told when IDLE begins again.
    other.ok("STORE 1 +FLAGS.SILENT \\Seen").await;
    idler.send("b IDLE\r\nDONE\r\nc NOOP\r\n").await;
    assert_eq!(idler.hear().await, "+ idling");
    assert_eq!(idler.hear().await, "* 1 FETCH (UID 2 FLAGS (\\Seen))");
    assert_eq!(idler.hear().await, "b OK idled");
    assert_eq!(idler.hear().await, "c OK done");
    // Anything else than DONE ends it too.
    idler.send("d IDLE\r\ne NOOP\r\n").await;
    assert_eq!(idler.hear().await, "+ idling");
    assert_eq!(idler.hear().await, "d BAD only DONE ends IDLE");
}

#[tokio::test]
async fn idle_says_that_it_is_still_there_every_two_minutes_and_ends_in_its_time() {
    let world = World::new().await;
    let mut idler = world.bob().await;
    idler.send("a IDLE\r\n").await;
    assert_eq!(idler.hear().await, "+ idling");
    for _ in 0..14 {
        yields().await;
        world.runtime.advance(Duration::from_secs(120));
        assert_eq!(idler.hear().await, "* OK Still here");
    }
    yields().await;
    world.runtime.advance(Duration::from_secs(120));
    // Thirty minutes without a word of the client.
    let mut last = idler.hear().await;
    if last == "* OK Still here" {
        last = idler.hear().await;
    }
    assert_eq!(last, "* BYE you were silent for too long");
}

async fn yields() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_mailbox_that_is_deleted_under_a_session_ends_it() {
    // RFC 2180 §3.3
    let world = World::new().await;
    let mut one = world.bob().await;
    one.ok("CREATE x").await;
    one.ok("SELECT x").await;
    let mut two = world.bob().await;
    two.ok("SELECT x").await;
    two.ok("RENAME x y").await;
    one.check("NOOP", &["OK done"]).await;
    two.check("DELETE y", &["* OK [CLOSED] …", "OK deleted"])
        .await;
    two.check("FETCH 1 UID", &["BAD select a mailbox first"])
        .await;
    one.send("a NOOP\r\n").await;
    one.hears_bye("* BYE the selected mailbox was deleted")
        .await;
}

#[tokio::test]
async fn pipelined_commands_are_answered_in_their_order() {
    // RFC 9051 §5.5
    let world = World::new().await;
    let mut client = world.bob().await;
    client
        .send("a CREATE x\r\nb CREATE y\r\nc STATUS x (MESSAGES)\r\nd SELECT y\r\ne APPEND y {2+}\r\nhi\r\nf FETCH 1 UID\r\n")
        .await;
    let mut heard = Vec::new();
    while heard
        .last()
        .is_none_or(|last: &String| !last.starts_with("f "))
    {
        heard.push(client.hear().await);
    }
    let tagged: Vec<&str> = heard
        .iter()
        .filter(|line| !line.starts_with('*'))
        .map(|line| &line[..4])
        .collect();
    assert_eq!(tagged, ["a OK", "b OK", "c OK", "d OK", "e OK", "f OK"]);
    assert!(heard.contains(&"* 1 FETCH (UID 1)".to_owned()));
}
