//! What real mail needs of its readers' server (PRACTICE §6), as far as no other file has it.

use super::World;
use super::counting::Counting;
use blobs::Blobs;
use engine::{MemoryEngine, SharedEngine};
use mailstore::QuotaLimits;
use std::sync::Arc;

#[tokio::test]
async fn practice_6_move_keeps_date_and_flags() {
    let world = World::new().await;
    let mut bob = world.bob_in_inbox().await;
    let asked = "(\\Seen \\Flagged $x) \"01-Feb-2020 10:00:00 +0800\" ";
    bob.append("INBOX", asked, "Subject: x\r\n\r\n").await;
    bob.ok("MOVE 1 Archive").await;
    bob.ok("SELECT Archive").await;
    bob.check(
        "FETCH 1 (FLAGS INTERNALDATE)",
        &[
            "* 1 FETCH (FLAGS (\\Seen \\Flagged $x) INTERNALDATE \" 1-Feb-2020 10:00:00 +0800\")",
            "OK …",
        ],
    )
    .await;
}

#[tokio::test]
async fn practice_6_what_create_makes_is_subscribed() {
    let world = World::new().await;
    let mut bob = world.bob().await;
    bob.ok("CREATE a/b").await;
    bob.check(
        "LSUB \"\" a*",
        &["* LSUB () \"/\" \"a\"", "* LSUB () \"/\" \"a/b\"", "OK …"],
    )
    .await;
}

#[tokio::test]
async fn practice_6_an_email_counts_once_in_however_many_mailboxes() {
    let quota = QuotaLimits {
        bytes: Some(10 * 1024),
        emails: Some(2),
    };
    let world = World::with(quota, Default::default()).await;
    let mut bob = world.bob_in_inbox().await;
    bob.append("INBOX", "", &"x".repeat(1024)).await;
    let told = ["* QUOTA \"\" (STORAGE 1 10 MESSAGE 1 2)", "OK …"];
    bob.check("GETQUOTA \"\"", &told).await;
    for mailbox in ["Archive", "Trash", "Sent"] {
        bob.ok(&format!("COPY 1 {mailbox}")).await;
    }
    bob.check("GETQUOTA \"\"", &told).await;
    bob.ok("MOVE 1 Drafts").await;
    bob.check("GETQUOTA \"\"", &told).await;
}

/// Mail programs look for what is answered this way, in mailboxes of any size.
#[tokio::test]
async fn practice_6_message_ids_are_indexed() {
    let counting = Arc::new(Counting::new(MemoryEngine::new(3)));
    let engine: SharedEngine = counting.clone();
    let blobs = Blobs::new(Arc::clone(&engine));
    let world = World::over(engine, blobs, Default::default(), Default::default()).await;
    let mut bob = world.bob_in_inbox().await;
    for n in 0..300 {
        let message = format!("Message-ID: <{n}.{n}@load.test>\r\n\r\nx\r\n");
        bob.append("INBOX", "", &message).await;
    }
    let search = "SEARCH HEADER Message-ID \"<177.177@load.test>\"";
    let found = ["* SEARCH 178", "OK searched"];
    bob.check(search, &found).await;
    world.ports.search.settle().await;
    counting.take();
    bob.check(search, &found).await;
    let (emails, _, bodies) = counting.take();
    assert!(emails <= 10 && bodies <= 10, "{emails} {bodies}");
}

/// What is offered stands in the ledger, with the tests of its rules.
#[tokio::test]
async fn practice_6_what_is_offered_is_in_the_ledger() {
    let ledger = concat!(
        include_str!("../../../../docs/rfc/imap.md"),
        include_str!("../../../../docs/rfc/imap-extensions.md"),
        include_str!("../../../../docs/rfc/imap-7162.md"),
    );
    let words: Vec<&str> = ledger
        .split(|c: char| c.is_whitespace() || "|`,()".contains(c))
        .collect();
    let world = World::new().await;
    let mut client = world.connect();
    let mut offered = vec![client.hear().await];
    client.ok("LOGIN bob@demo.test \"pass word\"").await;
    offered.extend(client.ok("CAPABILITY").await);
    let offered = offered.join(" ").replace(['[', ']', '*'], " ");
    let names = offered.split_whitespace().filter(|word| {
        let is_name = |c: char| c.is_ascii_uppercase();
        word.starts_with(is_name) && !["OK", "CAPABILITY", "Posthouse"].contains(word)
    });
    let mut count = 0;
    for name in names {
        let of_a_kind = ["AUTH=", "APPENDLIMIT="].iter();
        let name = of_a_kind
            .map(|kind| kind.trim_end_matches('='))
            .find(|kind| name.starts_with(kind))
            .unwrap_or(name);
        let known = match name {
            "AUTH" => ledger.contains("`AUTH=…`"),
            // Its rights are the system's own.
            "RIGHTS=kxte" => words.iter().any(|word| word.starts_with("RIGHTS=")),
            _ => words.contains(&name),
        };
        assert!(known, "{name} is not in docs/rfc");
        count += 1;
    }
    assert!(count > 50, "{count}");
}
