//! Accounts that others share.

use super::*;
use mailstore::{AclName, Rights, Who};

async fn shared() -> (World, String, String) {
    let world = World::new().await;
    world.add("ann").await;
    let ann = world.account_of("ann").await;
    let bob = world.bob().await.id();
    let name = MailboxName::parse("Club").expect("a name");
    ann.create_mailbox(&name, None).await.expect("made");
    let club = mailbox_of(&ann, "Club");
    let to_bob = AclName {
        who: Who::Account(bob),
        negative: false,
    };
    let given = ann
        .change_acl(club, |acl| {
            acl.set(to_bob.clone(), Rights::LOOKUP | Rights::READ | Rights::SEEN);
        })
        .await;
    given.expect("stored").expect("few");
    world
        .append_to(&ann, "Club", &["\\Seen"], "Subject: club\n\nfor members\n")
        .await;
    world
        .append_to(&ann, "INBOX", &[], "Subject: secret\n\nfor ann\n")
        .await;
    let id = world.account_id("ann").await;
    let number = id.trim_start_matches('A').to_owned();
    (world, id, number)
}

#[tokio::test]
async fn what_another_shares_is_an_account_to_be_read() {
    let (world, ann, number) = shared().await;
    let session = world.get("/jmap/session").await.json();
    let account = &session["accounts"][&ann];
    assert_eq!(
        (&account["name"], &account["isReadOnly"]),
        (&json!("ann@demo.test"), &json!(true))
    );
    let boxes = world
        .call("Mailbox/get", json!({"accountId": ann, "ids": null}))
        .await;
    let boxes = boxes["list"].as_array().expect("a list");
    assert_eq!(boxes.len(), 1);
    // The ids are those that IMAP shows of another's mailboxes.
    let club = boxes[0]["id"].as_str().expect("an id");
    assert!(club.starts_with(&format!("A{number}-M")), "{club}");
    assert_eq!(
        (&boxes[0]["totalEmails"], &boxes[0]["unreadEmails"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(boxes[0]["myRights"]["mayAddItems"], false);
    let found = world.call("Email/query", json!({"accountId": ann})).await;
    let ids = texts(&found["ids"]);
    assert_eq!(ids.len(), 1);
    let got = world
        .call(
            "Email/get",
            json!({"accountId": ann, "ids": [ids[0], "E1", "E2", format!("A{number}-E2")]}),
        )
        .await;
    assert_eq!(got["list"].as_array().map(Vec::len), Some(1));
    assert_eq!(got["list"][0]["subject"], "club");
    // What ann has read bob has not.
    assert_eq!(got["list"][0]["keywords"], json!({}));
    let secret = world
        .call(
            "Email/query",
            json!({"accountId": ann, "filter": {"text": "secret"}}),
        )
        .await;
    assert_eq!(secret["ids"], json!([]));
    for (blob, status) in [("B1", 200), ("B2", 404)] {
        let answer = world.get(&format!("/jmap/download/{ann}/{blob}/x")).await;
        assert_eq!(answer.status.as_u16(), status, "{blob}");
    }
}

#[tokio::test]
async fn nothing_of_another_is_changed_and_nothing_of_strangers_is_seen() {
    let (world, ann, number) = shared().await;
    world.add("eve").await;
    let eve = world.account_id("eve").await;
    for name in ["Mailbox/get", "Email/query", "Email/changes"] {
        let mut arguments = json!({"accountId": eve});
        if name == "Email/changes" {
            arguments["sinceState"] = "1".into();
        }
        assert_eq!(
            world.error(name, arguments).await,
            "accountNotFound",
            "{name}"
        );
    }
    let email = format!("A{number}-E1");
    let set = json!({"accountId": ann, "update": {&email: {"keywords/$seen": true}}});
    assert_eq!(world.error("Email/set", set).await, "accountReadOnly");
    assert_eq!(
        world
            .error("Mailbox/set", json!({"accountId": ann, "create": {}}))
            .await,
        "accountReadOnly"
    );
    assert_eq!(
        world
            .error("Email/import", json!({"accountId": ann, "emails": {}}))
            .await,
        "accountReadOnly"
    );
    let inbox = world.inbox().await;
    let copy = json!({"fromAccountId": ann, "create": {
        "k": {"id": email, "mailboxIds": { &inbox: true }},
        "no": {"id": format!("A{number}-E2"), "mailboxIds": { &inbox: true }},
    }, "onSuccessDestroyOriginal": true});
    let own = world.account_id("bob").await;
    let mut copy = copy;
    copy["accountId"] = own.clone().into();
    let answers = world.calls("bob", json!([["Email/copy", copy, "c"]])).await;
    let done = &answers[0].1;
    assert_eq!(done["notCreated"]["no"]["type"], "notFound");
    let id = done["created"]["k"]["id"]
        .as_str()
        .unwrap_or_else(|| panic!("{done}"));
    let got = world.call("Email/get", json!({"ids": [id]})).await;
    assert_eq!(got["list"][0]["subject"], "club");
    assert_eq!(
        (answers[1].0.as_str(), &answers[1].1["type"]),
        ("error", &json!("accountReadOnly"))
    );
    let blobs = world
        .call(
            "Blob/copy",
            json!({"fromAccountId": ann, "blobIds": ["B1", "B2"]}),
        )
        .await;
    assert!(blobs["copied"]["B1"].is_string());
    assert_eq!(blobs["notCopied"]["B2"]["type"], "notFound");
    assert_eq!(
        world
            .error("Email/copy", json!({"fromAccountId": eve, "create": {}}))
            .await,
        "fromAccountNotFound"
    );
    assert_eq!(
        world
            .error("Email/copy", json!({"fromAccountId": own, "create": {}}))
            .await,
        "invalidArguments"
    );
}
