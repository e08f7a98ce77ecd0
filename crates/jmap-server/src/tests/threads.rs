//! What is asked of threads, and what it costs.

use super::*;
use mailbox_model::UidSet;
use mailbox_model::stage::FlagAction;
use std::sync::atomic::Ordering;

/// Puts emails into bob's inbox that are all one thread.
async fn thread(world: &World, count: usize) {
    let bob = world.bob().await;
    let message = "Message-ID: <1@x>\r\nSubject: one\r\n\r\nb\r\n";
    let intake = Intake::new(&world.jmap, &bob);
    let intake = intake
        .push(&world.jmap, message.into())
        .await
        .expect("taken");
    let taken = intake.finish(&world.jmap).await.expect("taken");
    let email = NewEmail {
        blob: taken.blob.id,
        blob_size: taken.blob.size,
        prefix: Bytes::new(),
        digest: taken.digest,
        received_at: InternalDate {
            unix_seconds: 1,
            zone_minutes: 0,
        },
        flags: vec![Flag::Seen],
    };
    let emails = vec![email; count];
    let inbox = mailbox_of(&bob, "INBOX");
    let done = bob.append(inbox, vec![taken.blob], &emails).await;
    assert_eq!(done.expect("appended").emails.len(), count);
}

/// Emails of threads that were looked at since it was asked last.
fn steps(world: &World) -> u64 {
    world.jmap.shared.steps.swap(0, Ordering::Relaxed)
}

#[tokio::test]
async fn a_thread_is_looked_through_once_however_many_of_it_have_changed() {
    const EMAILS: usize = 1000;
    let world = World::new().await;
    thread(&world, EMAILS).await;
    let bob = world.bob().await;
    let found = world
        .call("Email/query", json!({"collapseThreads": true}))
        .await;
    assert_eq!(texts(&found["ids"]).len(), 1);
    let inbox = mailbox_of(&bob, "INBOX");
    let all = UidSet::all();
    let stored = bob.store_flags(inbox, &all, FlagAction::Add, &[Flag::Flagged], None);
    stored.await.expect("stored");
    steps(&world);
    let asked = json!({"sinceQueryState": found["queryState"], "collapseThreads": true});
    let changes = world.call("Email/queryChanges", asked).await;
    assert_eq!(texts(&changes["removed"]).len(), EMAILS);
    assert_eq!(changes["added"].as_array().map(Vec::len), Some(1));
    let steps = steps(&world);
    assert!(steps <= 2 * EMAILS as u64, "{steps}");
}

#[tokio::test]
async fn a_thread_is_looked_through_once_however_many_mailboxes_it_is_in() {
    const EMAILS: usize = 300;
    let world = World::new().await;
    thread(&world, EMAILS).await;
    let bob = world.bob().await;
    let inbox = mailbox_of(&bob, "INBOX");
    let first = bob.view().mailbox(inbox).expect("there").entries()[0].uid;
    for n in 0..100 {
        let name = MailboxName::parse(&format!("m{n}")).expect("a name");
        let made = bob.create_mailbox(&name, None).await.expect("made");
        bob.copy(inbox, made, &UidSet::one(first))
            .await
            .expect("copied");
    }
    steps(&world);
    let got = world.call("Mailbox/get", json!({"ids": null})).await;
    let list = got["list"].as_array().expect("a list").iter();
    let threads: u64 = list.filter_map(|one| one["totalThreads"].as_u64()).sum();
    assert_eq!(threads, 101);
    assert_eq!(steps(&world), EMAILS as u64);
    // And not at all where nobody asks.
    let asked = json!({"ids": null, "properties": ["name", "totalEmails"]});
    world.call("Mailbox/get", asked).await;
    assert_eq!(steps(&world), 0);
}

/// Records of threads that are damaged take away what is told of threads, and nothing else.
#[tokio::test]
async fn what_asks_for_no_threads_works_without_them() {
    let world = World::new().await;
    let email = world.append(&[], "Subject: a\n\nb\n").await;
    let state = world.call("Email/get", json!({"ids": []})).await["state"].clone();
    // The head of all that is kept of threads.
    let mut key = engine::keys::account(world.bob().await.id().0);
    key.extend_from_slice(b"th");
    let mut damage = engine::Batch::new();
    damage.put(key, Bytes::from_static(b"damaged"));
    engine::Engine::submit(&*world.engine, damage)
        .expect("room")
        .done()
        .await;
    let inbox = world.inbox().await;
    let blob = world.upload("Subject: own\n\nb\n").await;
    let emails = json!({"k": {"blobId": blob, "mailboxIds": { &inbox: true }}});
    let imported = world
        .call("Email/import", json!({ "emails": emails }))
        .await;
    let created = &imported["created"]["k"];
    // It never changes: so nothing is told that may be wrong.
    assert!(
        created["id"].is_string() && created["threadId"].is_null(),
        "{imported}"
    );
    let update = json!({ &email: {"keywords/$flagged": true} });
    for (name, arguments) in [
        (
            "Email/get",
            json!({"ids": [email], "properties": ["subject", "keywords"]}),
        ),
        ("Email/query", json!({})),
        ("Email/changes", json!({"sinceState": state})),
        ("Email/queryChanges", json!({"sinceQueryState": state})),
        (
            "Mailbox/get",
            json!({"ids": null, "properties": ["name", "unreadEmails"]}),
        ),
        ("Mailbox/query", json!({})),
        ("Mailbox/queryChanges", json!({"sinceQueryState": state})),
        ("Email/set", json!({ "update": update })),
    ] {
        world.call(name, arguments).await;
    }
    for (name, arguments) in [
        (
            "Email/get",
            json!({"ids": [email], "properties": ["threadId"]}),
        ),
        ("Email/query", json!({"collapseThreads": true})),
        ("Mailbox/get", json!({"ids": null})),
        ("Mailbox/changes", json!({"sinceState": state})),
        ("Thread/get", json!({"ids": ["T1"]})),
        ("Thread/changes", json!({"sinceState": state})),
    ] {
        let error = world.error(name, arguments).await;
        assert!(error.starts_with("server"), "{name} {error}");
    }
}
