//! What is read of an account with many emails: by count, as nobody waits for all of them.

use super::counting::Reads;
use super::*;

const EMAILS: u64 = 20_000;
/// Lists of what emails are sorted by, heads, and the like.
const BESIDE: u64 = 500;

async fn world() -> (World, String) {
    let world = World::new().await;
    let bob = world.bob().await;
    let message = "From: Ann <ann@a.test>\r\nTo: bob@demo.test\r\nSubject: Straw\r\nX-Tag: red\r\n\r\nstraw\r\n";
    let intake = Intake::new(&world.jmap, &bob);
    let intake = intake
        .push(&world.jmap, message.into())
        .await
        .expect("taken");
    let taken = intake.finish(&world.jmap).await.expect("taken");
    let inbox = mailbox_of(&bob, "INBOX");
    let flags = |n: u64| match n % 100 {
        0 => vec![Flag::parse("work").expect("a flag")],
        _ => Vec::new(),
    };
    for thousand in 0..EMAILS / 1000 {
        let emails: Vec<NewEmail> = (0..1000)
            .map(|n| NewEmail {
                blob: taken.blob.id,
                blob_size: taken.blob.size,
                prefix: Bytes::new(),
                digest: taken.digest.clone(),
                received_at: InternalDate {
                    unix_seconds: (thousand * 1000 + n) as i64,
                    zone_minutes: 0,
                },
                flags: flags(n),
            })
            .collect();
        let blobs = vec![taken.blob.clone()];
        bob.append(inbox, blobs, &emails).await.expect("appended");
    }
    // Nobody builds it meanwhile.
    let search = &world.jmap.shared.ports.search;
    search.build(&bob).await.expect("built");
    world.call("Email/query", json!({"limit": 1})).await;
    bob.threads().await.expect("they join");
    let inbox = world.inbox().await;
    (world, inbox)
}

async fn reads(world: &World, name: &str, arguments: Value) -> (Value, Reads) {
    world.engine.reads();
    let answer = world.call(name, arguments).await;
    (answer, world.engine.reads())
}

#[tokio::test]
async fn conditions_of_many_emails_read_what_decides_them() {
    let (world, inbox) = world().await;
    let some = EMAILS / 100;
    for (filter, found, bodies, values) in [
        // Decided by what is in memory.
        (json!({"inMailbox": inbox}), EMAILS, 0, BESIDE),
        (json!({"inMailboxOtherThan": [inbox]}), 0, 0, BESIDE),
        (json!({"hasKeyword": "work"}), some, 0, BESIDE),
        (json!({"notKeyword": "work"}), EMAILS - some, 0, BESIDE),
        (json!({"allInThreadHaveKeyword": "work"}), some, 0, BESIDE),
        (json!({"someInThreadHaveKeyword": "work"}), some, 0, BESIDE),
        (
            json!({"noneInThreadHaveKeyword": "work"}),
            EMAILS - some,
            0,
            BESIDE,
        ),
        (json!({"minSize": 1}), EMAILS, 0, BESIDE),
        (json!({"maxSize": 1}), 0, 0, BESIDE),
        // By records, each read once.
        (
            json!({"before": "1970-01-01T00:01:40Z"}),
            100,
            0,
            EMAILS + BESIDE,
        ),
        (
            json!({"after": "1970-01-01T00:01:40Z"}),
            EMAILS - 100,
            0,
            EMAILS + BESIDE,
        ),
        (json!({"hasAttachment": true}), 0, 0, EMAILS + BESIDE),
        (json!({"from": "ann"}), EMAILS, 0, EMAILS + BESIDE),
        (json!({"to": "ann"}), 0, 0, EMAILS + BESIDE),
        (json!({"cc": "ann"}), 0, 0, EMAILS + BESIDE),
        (json!({"bcc": "ann"}), 0, 0, EMAILS + BESIDE),
        (json!({"subject": "straw"}), EMAILS, 0, EMAILS + BESIDE),
        // And by messages, where nothing else decides.
        (
            json!({"header": ["X-Tag", "blue"], "hasKeyword": "work"}),
            0,
            some,
            3 * some + BESIDE,
        ),
        (
            json!({"body": "needle", "hasKeyword": "work"}),
            0,
            some,
            3 * some + BESIDE,
        ),
        (
            json!({"text": "straw", "hasKeyword": "work"}),
            some,
            some,
            3 * some + BESIDE,
        ),
    ] {
        let asked = json!({"filter": filter, "sort": [{"property": "size"}], "limit": 3, "calculateTotal": true});
        let (answer, first) = reads(&world, "Email/query", asked.clone()).await;
        assert_eq!(answer["total"], found, "{filter}");
        assert!(
            first.bodies <= bodies && first.values <= values,
            "{filter} {first:?}"
        );
        // The next part of the list costs nothing.
        let mut next = asked;
        next["position"] = 3.into();
        let (_, again) = reads(&world, "Email/query", next).await;
        assert!(
            again.bodies == 0 && again.values <= BESIDE,
            "{filter} {again:?}"
        );
    }
}

#[tokio::test]
async fn sorts_and_changes_of_many_emails_read_little() {
    let (world, inbox) = world().await;
    for property in crate::session::EMAIL_SORTS {
        let mut by = json!({ "property": property });
        if property.ends_with("Keyword") {
            by["keyword"] = "work".into();
        }
        let asked = json!({"sort": [by], "limit": 3});
        let (answer, first) = reads(&world, "Email/query", asked).await;
        assert_eq!(answer["ids"].as_array().map(Vec::len), Some(3));
        // What they are sorted by stands in pages, which are made once.
        assert!(
            first.bodies == 0 && first.values <= EMAILS + BESIDE,
            "{property} {first:?}"
        );
    }
    let page =
        json!({"filter": {"inMailbox": inbox}, "sort": [{"property": "subject"}], "limit": 3});
    let (answer, _) = reads(&world, "Email/query", page.clone()).await;
    let (state, id) = (answer["queryState"].clone(), answer["ids"][0].clone());
    let update = json!({"update": { id.as_str().expect("an id"): {"keywords/$seen": true} }});
    world.call("Email/set", update).await;
    let (changes, read) = reads(&world, "Email/changes", json!({"sinceState": state})).await;
    assert_eq!(changes["updated"], json!([id]));
    assert!(read.bodies == 0 && read.values <= BESIDE, "{read:?}");
    let mut asked = page;
    asked.as_object_mut().expect("one").remove("limit");
    asked["sinceQueryState"] = state;
    let (changes, read) = reads(&world, "Email/queryChanges", asked).await;
    assert_eq!(changes["added"], json!([{"id": id, "index": 0}]));
    assert!(read.bodies == 0 && read.values <= BESIDE, "{read:?}");
}
