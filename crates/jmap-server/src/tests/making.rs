//! Emails that are made, imported and copied.

use super::*;

#[tokio::test]
async fn an_email_is_made_of_its_parts() {
    let world = World::new().await;
    let own = world.account_id("bob").await;
    let pdf: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let blob = world.upload(pdf.clone()).await;
    let image = world.upload("an image").await;
    let inbox = world.inbox().await;
    let done = world
        .call("Email/set", json!({"create": {"k": {
            "mailboxIds": { &inbox: true },
            "keywords": {"$draft": true, "$seen": true},
            "receivedAt": "2020-02-29T12:00:00Z",
            "from": [{"name": "Bob \u{e4}", "email": "bob@demo.test"}],
            "to": [{"email": "ann@a.test"}],
            "subject": "A long subject that has to be folded because it does not fit into one line of a header 你好",
            "header:X-Mine:asText": "x",
            "textBody": [{"partId": "t", "type": "text/plain"}],
            "htmlBody": [{"partId": "h", "type": "text/html"}],
            "attachments": [
                {"blobId": blob, "type": "application/pdf", "name": "数据.pdf"},
                {"blobId": image, "type": "image/png", "cid": "i@x", "disposition": "inline"},
            ],
            "bodyValues": {"t": {"value": "Grüße\nBob"}, "h": {"value": "<p>Gr\u{fc}\u{df}e</p>"}},
        }}}))
        .await;
    let made = &done["created"]["k"];
    let id = made["id"].as_str().unwrap_or_else(|| panic!("{done}"));
    let got = world
        .call(
            "Email/get",
            json!({"ids": [id], "fetchAllBodyValues": true}),
        )
        .await;
    let email = &got["list"][0];
    for (property, value) in [
        ("blobId", made["blobId"].clone()),
        ("threadId", made["threadId"].clone()),
        ("size", made["size"].clone()),
        ("keywords", json!({"$draft": true, "$seen": true})),
        ("receivedAt", json!("2020-02-29T12:00:00Z")),
        (
            "from",
            json!([{"name": "Bob \u{e4}", "email": "bob@demo.test"}]),
        ),
        (
            "subject",
            json!(
                "A long subject that has to be folded because it does not fit into one line of a header 你好"
            ),
        ),
        ("hasAttachment", json!(true)),
    ] {
        assert_eq!(email[property], value, "{property}");
    }
    assert_eq!(email["messageId"].as_array().map(Vec::len), Some(1));
    assert!(email["sentAt"].is_string());
    let value = |list: &str| {
        let part = email[list][0]["partId"].as_str().expect("an id").to_owned();
        email["bodyValues"][&part]["value"].clone()
    };
    assert_eq!(value("textBody"), "Grüße\nBob");
    assert_eq!(value("htmlBody"), "<p>Grüße</p>");
    let attached = email["attachments"].as_array().expect("a list");
    let found = attached
        .iter()
        .find(|part| part["type"] == "application/pdf")
        .expect("there");
    assert_eq!(
        (&found["name"], &found["size"]),
        (&json!("数据.pdf"), &json!(pdf.len()))
    );
    let path = format!(
        "/jmap/download/{own}/{}/x",
        found["blobId"].as_str().expect("an id")
    );
    assert!(world.get(&path).await.octets == pdf);
    let shown = attached
        .iter()
        .find(|part| part["type"] == "image/png")
        .expect("there");
    assert_eq!(shown["cid"], "i@x");
    // What is written is mail: lines that end as they should, short, and in ASCII.
    let path = format!(
        "/jmap/download/{own}/{}/x",
        email["blobId"].as_str().expect("an id")
    );
    let octets = world.get(&path).await.octets;
    let text = std::str::from_utf8(&octets).expect("text");
    assert!(text.is_ascii() && text.lines().all(|line| line.len() <= 998));
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
}

#[tokio::test]
async fn what_cannot_be_made_is_told_by_its_properties() {
    let world = World::new().await;
    let inbox = world.inbox().await;
    let values = json!({"t": {"value": "x"}, "cut": {"value": "x", "isTruncated": true}});
    for (more, kind, property) in [
        (json!({"mailboxIds": {}}), "invalidProperties", "mailboxIds"),
        (
            json!({"mailboxIds": {"M99": true}}),
            "invalidProperties",
            "mailboxIds",
        ),
        (
            json!({"keywords": {"a b": true}}),
            "invalidProperties",
            "keywords",
        ),
        (
            json!({"receivedAt": "now"}),
            "invalidProperties",
            "receivedAt",
        ),
        (
            json!({"subject": "a\r\nBcc: x@y.test"}),
            "invalidProperties",
            "subject",
        ),
        (json!({"headers": []}), "invalidProperties", "headers"),
        (json!({"id": "E1"}), "invalidProperties", "id"),
        (
            json!({"from": [{"email": "a@b.test"}], "header:From:asRaw": " x"}),
            "invalidProperties",
            "header:From:asRaw",
        ),
        (
            json!({"header:Content-Type": "x/y"}),
            "invalidProperties",
            "header:Content-Type",
        ),
        (json!({"textBody": []}), "invalidProperties", "textBody"),
        (
            json!({"textBody": [{"partId": "t", "type": "text/html"}]}),
            "invalidProperties",
            "textBody",
        ),
        (
            json!({"textBody": [{"partId": "no"}]}),
            "invalidProperties",
            "textBody",
        ),
        (
            json!({"textBody": [{"partId": "cut"}]}),
            "invalidProperties",
            "bodyValues",
        ),
        (
            json!({"textBody": [{"partId": "t", "charset": "latin1"}]}),
            "invalidProperties",
            "textBody/charset",
        ),
        (
            json!({"bodyStructure": {"partId": "t"}, "htmlBody": [{"partId": "t"}]}),
            "invalidProperties",
            "htmlBody",
        ),
        (
            json!({"bodyStructure": {"partId": "t", "blobId": "B1"}}),
            "invalidProperties",
            "bodyStructure",
        ),
        (
            json!({"bodyStructure": {"type": "multipart/mixed", "partId": "t"}}),
            "invalidProperties",
            "bodyStructure/type",
        ),
        (
            json!({"attachments": [{"blobId": "B99"}]}),
            "blobNotFound",
            "",
        ),
        (
            json!({"attachments": [{"blobId": "U0000000000000000"}]}),
            "blobNotFound",
            "",
        ),
    ] {
        let object = json!({"mailboxIds": { &inbox: true }, "bodyValues": values});
        let object = with(object, &more);
        let done = world
            .call("Email/set", json!({"create": { "k": object }}))
            .await;
        let error = &done["notCreated"]["k"];
        assert_eq!(error["type"], kind, "{more} {done}");
        if !property.is_empty() {
            assert_eq!(error["properties"], json!([property]), "{more} {error}");
        } else {
            assert_eq!(error["notFound"].as_array().map(Vec::len), Some(1));
        }
        assert_eq!(done["created"], Value::Null);
    }
    assert_eq!(world.call("Email/query", json!({})).await["ids"], json!([]));
}

#[tokio::test]
async fn a_structure_is_made_as_it_is_asked_for() {
    let world = World::new().await;
    let inbox = world.inbox().await;
    let id = world.append(&[], "Subject: inside\n\nx\n").await;
    let blob = world.call("Email/get", json!({"ids": [id]})).await["list"][0]["blobId"].clone();
    let structure = json!({"type": "multipart/report", "subParts": [
        {"partId": "1", "type": "text/plain", "header:X-Part:asText": "y"},
        {"blobId": blob, "type": "message/rfc822"},
    ]});
    let create = json!({"k": {"mailboxIds": { &inbox: true }, "bodyStructure": structure, "bodyValues": {"1": {"value": "text"}}}});
    let done = world.call("Email/set", json!({ "create": create })).await;
    let made = done["created"]["k"]["id"].clone();
    let got = world.call("Email/get", json!({"ids": [made], "properties": ["bodyStructure"], "bodyProperties": ["type", "header:X-Part:asText", "size"]})).await;
    let shown = &got["list"][0]["bodyStructure"];
    assert_eq!(shown["type"], "multipart/report");
    assert_eq!(shown["subParts"][0]["header:X-Part:asText"], "y");
    assert_eq!(
        (&shown["subParts"][1]["type"], &shown["subParts"][1]["size"]),
        (&json!("message/rfc822"), &json!(22))
    );
    let deep = (0..40).fold(
        json!({"partId": "1"}),
        |inner, _| json!({"type": "multipart/mixed", "subParts": [inner]}),
    );
    let create = json!({"k": {"mailboxIds": { &inbox: true }, "bodyStructure": deep, "bodyValues": {"1": {"value": "text"}}}});
    let done = world.call("Email/set", json!({ "create": create })).await;
    assert_eq!(done["notCreated"]["k"]["type"], "invalidProperties");
}

#[tokio::test]
async fn octets_are_imported_into_mailboxes() {
    let world = World::new().await;
    let own = world.account_id("bob").await;
    let inbox = world.inbox().await;
    let made = world
        .call("Mailbox/set", json!({"create": {"k": {"name": "Box"}}}))
        .await;
    let bx = made["created"]["k"]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let blob = world
        .upload("Subject: imported\nX: y\n\nbare line feeds\n")
        .await;
    let nul = world.upload(vec![b'a', 0]).await;
    let email = json!({"blobId": blob, "mailboxIds": { &inbox: true, &bx: true }, "keywords": {"$seen": true}, "receivedAt": "2001-01-01T00:00:00Z"});
    let done = world
        .call(
            "Email/import",
            json!({"emails": {
                "k": email,
                "again": email,
                "gone": {"blobId": "B99", "mailboxIds": { &inbox: true }},
                "nul": {"blobId": nul, "mailboxIds": { &inbox: true }},
                "nowhere": {"blobId": blob, "mailboxIds": {}},
                "more": {"blobId": blob, "mailboxIds": { &inbox: true }, "subject": "x"},
            }}),
        )
        .await;
    for (creation, kind) in [
        ("gone", "blobNotFound"),
        ("nul", "invalidEmail"),
        ("nowhere", "invalidProperties"),
        ("more", "invalidProperties"),
    ] {
        assert_eq!(
            done["notCreated"][creation]["type"], kind,
            "{creation} {done}"
        );
    }
    let id = done["created"]["k"]["id"].clone();
    assert_ne!(id, done["created"]["again"]["id"]);
    let got = world.call("Email/get", json!({"ids": [id]})).await;
    let email = &got["list"][0];
    assert_eq!(email["mailboxIds"], json!({ &inbox: true, &bx: true }));
    assert_eq!(
        (&email["subject"], &email["receivedAt"]),
        (&json!("imported"), &json!("2001-01-01T00:00:00Z"))
    );
    let path = format!(
        "/jmap/download/{own}/{}/x",
        email["blobId"].as_str().expect("an id")
    );
    assert_eq!(
        world.get(&path).await.octets,
        "Subject: imported\r\nX: y\r\n\r\nbare line feeds\r\n"
    );
    let mismatch = world
        .error("Email/import", json!({"ifInState": "1", "emails": {}}))
        .await;
    assert_eq!(mismatch, "stateMismatch");
}

#[tokio::test]
async fn ids_of_what_was_created_are_known_to_later_calls() {
    let world = World::new().await;
    let own = world.account_id("bob").await;
    let answers = world
        .calls("bob", json!([
            ["Mailbox/set", {"accountId": own, "create": {"box": {"name": "Box"}}}, "m"],
            ["Email/set", {"accountId": own, "create": {"mail": {"mailboxIds": {"#box": true}, "subject": "x"}}}, "e"],
            ["Email/set", {"accountId": own, "update": {"#mail": {"keywords/$seen": true}}}, "u"],
            ["Email/get", {"accountId": own, "ids": ["#mail"], "properties": ["keywords", "mailboxIds"]}, "g"],
            ["Mailbox/get", {"accountId": own, "ids": ["#box"], "properties": ["totalEmails", "unreadEmails"]}, "b"],
        ]))
        .await;
    let shown = &answers[3].1["list"][0];
    assert_eq!(shown["keywords"], json!({"$seen": true}), "{answers:?}");
    assert_eq!(answers[4].1["list"][0]["totalEmails"], 1);
    assert_eq!(answers[4].1["list"][0]["unreadEmails"], 0);
}

/// Its id and what it was created as are one name.
#[tokio::test]
async fn one_object_is_not_set_by_two_names() {
    let world = World::new().await;
    let own = world.account_id("bob").await;
    let inbox = world.inbox().await;
    let email = json!({"mailboxIds": { &inbox: true }, "subject": "x"});
    for (name, create, patch) in [
        ("Email/set", email, json!({"keywords/$seen": true})),
        (
            "Mailbox/set",
            json!({"name": "Box"}),
            json!({"sortOrder": 3}),
        ),
    ] {
        let made = world.call(name, json!({"create": {"k": create}})).await;
        let made = made["created"]["k"]["id"]
            .as_str()
            .expect("made")
            .to_owned();
        let request = json!({
            "using": [CORE, MAIL], "createdIds": {"k": made},
            "methodCalls": [
                [name, {"accountId": own, "update": { &made: patch, "#k": patch }}, "a"],
                [name, {"accountId": own, "update": {"#k": patch}, "destroy": [made]}, "b"],
            ],
        });
        let answer = world.post("bob", request.to_string()).await.json();
        let answers = &answer["methodResponses"];
        let two = &answers[0][1];
        let refused = two["notUpdated"].as_object().expect("one");
        assert_eq!(refused.len(), 1, "{answer}");
        assert!(
            refused
                .values()
                .all(|error| error["type"] == "invalidPatch")
        );
        assert_eq!(two["updated"].as_object().map(Map::len), Some(1));
        let gone = &answers[1][1];
        assert_eq!(gone["notUpdated"]["#k"]["type"], "willDestroy", "{answer}");
        assert_eq!(gone["destroyed"], json!([made]));
    }
}
