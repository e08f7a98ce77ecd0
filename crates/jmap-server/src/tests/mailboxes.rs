//! Mailbox/get, Mailbox/query, Mailbox/set.

use super::*;

#[tokio::test]
async fn everyone_begins_with_mailboxes_that_have_roles() {
    let world = World::new().await;
    let got = world.call("Mailbox/get", json!({"ids": null})).await;
    let list = got["list"].as_array().expect("a list");
    let by_role = |role: &str| list.iter().find(|mailbox| mailbox["role"] == role).cloned();
    for role in ["inbox", "drafts", "sent", "junk", "trash", "archive"] {
        let mailbox = by_role(role).unwrap_or_else(|| panic!("no {role} in {got}"));
        assert_eq!(mailbox["parentId"], Value::Null);
        assert_eq!(mailbox["isSubscribed"], true);
        assert_eq!(mailbox["totalEmails"], 0);
        assert_eq!(mailbox["myRights"]["mayReadItems"], true);
        assert_eq!(mailbox["myRights"]["mayDelete"], role != "inbox");
    }
    // The ids are IMAP's.
    let inbox = by_role("inbox").expect("there");
    assert_eq!(inbox["id"], world.inbox().await);
    let some = world
        .call(
            "Mailbox/get",
            json!({"ids": [inbox["id"], "M99"], "properties": ["name"]}),
        )
        .await;
    assert_eq!(some["list"], json!([{"id": inbox["id"], "name": "INBOX"}]));
    assert_eq!(some["notFound"], json!(["M99"]));
}

#[tokio::test]
async fn mailboxes_are_made_renamed_moved_and_taken_away() {
    let world = World::new().await;
    let done = world
        .call(
            "Mailbox/set",
            json!({"create": {
                "b": {"name": "B", "parentId": "#a", "sortOrder": 7},
                "a": {"name": "A", "isSubscribed": false},
                "bad": {"name": "x/y"},
                "worse": {"name": "c", "parentId": "#nothing"},
                "taken": {"name": "inbox"},
                "role": {"name": "d", "role": "drafts"},
                "server": {"name": "e", "totalEmails": 3},
                "nameless": {},
            }}),
        )
        .await;
    for (creation, kind, property) in [
        ("bad", "invalidProperties", "name"),
        ("worse", "invalidProperties", "parentId"),
        ("taken", "invalidProperties", "name"),
        ("role", "invalidProperties", "role"),
        ("server", "invalidProperties", "totalEmails"),
        ("nameless", "invalidProperties", "name"),
    ] {
        let error = &done["notCreated"][creation];
        assert_eq!(
            (&error["type"], &error["properties"][0]),
            (&json!(kind), &json!(property)),
            "{creation}"
        );
    }
    let id = |creation: &str| {
        done["created"][creation]["id"]
            .as_str()
            .expect("an id")
            .to_owned()
    };
    let (a, b) = (id("a"), id("b"));
    let show = async |id: &str| {
        let got = world.call("Mailbox/get", json!({"ids": [id], "properties": ["name", "parentId", "sortOrder", "isSubscribed"]})).await;
        got["list"][0].clone()
    };
    assert_eq!(
        show(&b).await,
        json!({"id": b, "name": "B", "parentId": a, "sortOrder": 7, "isSubscribed": true})
    );
    assert_eq!(show(&a).await["isSubscribed"], false);
    let set = async |arguments: Value| world.call("Mailbox/set", arguments).await;
    let moved = set(json!({"update": {&b: {"parentId": null, "name": "C"}, &a: {"isSubscribed": true, "sortOrder": 2}}})).await;
    assert_eq!(moved["updated"], json!({ &a: null, &b: null }));
    assert_eq!(show(&b).await["parentId"], Value::Null);
    assert_eq!(
        (&show(&b).await["name"], &show(&a).await["sortOrder"]),
        (&json!("C"), &json!(2))
    );
    set(json!({"update": {&b: {"parentId": a}}})).await;
    let inbox = world.inbox().await;
    for (id, patch, kind) in [
        (&a, json!({"parentId": b}), "invalidProperties"),
        (&a, json!({"parentId": "M99"}), "invalidProperties"),
        (&a, json!({"name": ""}), "invalidProperties"),
        (&a, json!({"role": "trash"}), "invalidProperties"),
        (&a, json!({"id": "M1"}), "invalidProperties"),
        (&a, json!({"myRights/mayDelete": true}), "invalidPatch"),
        (&inbox, json!({"name": "Other"}), "forbidden"),
        (&"M99".to_owned(), json!({}), "notFound"),
    ] {
        let done = set(json!({"update": { id: patch.clone() }})).await;
        assert_eq!(done["notUpdated"][id]["type"], kind, "{patch} {done}");
    }
    let done = set(json!({"destroy": [a, inbox, "M99"]})).await;
    assert_eq!(done["notDestroyed"][&a]["type"], "mailboxHasChild");
    assert_eq!(done["notDestroyed"][&inbox]["type"], "forbidden");
    assert_eq!(done["notDestroyed"]["M99"]["type"], "notFound");
    let done = set(json!({"destroy": [a, b]})).await;
    let mut destroyed = texts(&done["destroyed"]);
    destroyed.sort_unstable();
    assert_eq!(destroyed.len(), 2, "{done}");
}

#[tokio::test]
async fn all_of_a_mailbox_is_set_or_nothing() {
    let world = World::new().await;
    let set = async |arguments: Value| world.call("Mailbox/set", arguments).await;
    let made = set(json!({"create": {"a": {"name": "A", "sortOrder": 3}, "b": {"name": "B", "sortOrder": null}}})).await;
    let id = |creation: &str| {
        made["created"][creation]["id"]
            .as_str()
            .expect("an id")
            .to_owned()
    };
    let (a, b) = (id("a"), id("b"));
    let show = async |id: &str| {
        let got = world
            .call(
                "Mailbox/get",
                json!({"ids": [id], "properties": ["name", "sortOrder", "isSubscribed"]}),
            )
            .await;
        got["list"][0].clone()
    };
    assert_eq!(show(&a).await["sortOrder"], 3);
    assert_eq!(show(&b).await["sortOrder"], 0);
    // All of it was one commit, and the state covers it.
    let state = made["newState"].clone();
    let changes = world
        .call("Mailbox/changes", json!({"sinceState": state}))
        .await;
    assert_eq!(
        (&changes["newState"], &changes["updated"]),
        (&state, &json!([]))
    );
    let done =
        set(json!({"update": {&b: {"name": "A", "sortOrder": 9, "isSubscribed": false}}})).await;
    assert_eq!(done["notUpdated"][&b]["type"], "invalidProperties");
    assert_eq!(done["newState"], state);
    assert_eq!(
        show(&b).await,
        json!({"id": b, "name": "B", "sortOrder": 0, "isSubscribed": true})
    );
    set(json!({"update": {&a: {"sortOrder": null, "isSubscribed": null}}})).await;
    assert_eq!(show(&a).await["sortOrder"], 0);
    // Where no more orders are kept, nothing of the mailbox is.
    let bob = world.bob().await;
    let many: Vec<_> = (0..mailstore::limits::ANNOTATIONS_MAX)
        .map(|n| (format!("/private/n{n}"), Some(Bytes::from_static(b"x"))))
        .collect();
    bob.annotate(None, &many)
        .await
        .expect("stored")
        .expect("few");
    let done = set(json!({
        "create": {"c": {"name": "C", "sortOrder": 1}, "d": {"name": "D"}},
        "update": {&b: {"name": "E", "sortOrder": 1}, &a: {"name": "F", "sortOrder": 0}},
    }))
    .await;
    assert_eq!(done["notCreated"]["c"]["type"], "overQuota", "{done}");
    assert_eq!(done["notUpdated"][&b]["type"], "overQuota");
    assert_eq!(
        (&show(&a).await["name"], &show(&b).await["name"]),
        (&json!("F"), &json!("B"))
    );
    let names: Vec<String> = bob
        .view()
        .mailboxes()
        .map(|m| m.name().to_string())
        .collect();
    assert!(
        names.contains(&"D".to_owned()) && !names.contains(&"C".to_owned()),
        "{names:?}"
    );
}

#[tokio::test]
async fn a_mailbox_with_emails_goes_only_where_that_is_asked_for() {
    let world = World::new().await;
    let made = world
        .call("Mailbox/set", json!({"create": {"k": {"name": "Box"}}}))
        .await;
    let bx = made["created"]["k"]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let inbox = world.inbox().await;
    let both = world.append(&[], "Subject: a\n\nb\n").await;
    let alone = world.append(&[], "Subject: c\n\nd\n").await;
    let update =
        json!({&both: {format!("mailboxIds/{bx}"): true}, &alone: {"mailboxIds": { &bx: true }}});
    world.call("Email/set", json!({ "update": update })).await;
    let done = world.call("Mailbox/set", json!({"destroy": [bx]})).await;
    assert_eq!(done["notDestroyed"][&bx]["type"], "mailboxHasEmail");
    let state = done["newState"].clone();
    let done = world
        .call(
            "Mailbox/set",
            json!({"destroy": [bx], "onDestroyRemoveEmails": true}),
        )
        .await;
    assert_eq!(done["destroyed"], json!([bx]));
    let got = world
        .call(
            "Email/get",
            json!({"ids": [both, alone], "properties": ["mailboxIds"]}),
        )
        .await;
    assert_eq!(
        got["list"],
        json!([{"id": both, "mailboxIds": { &inbox: true }}])
    );
    let changes = world
        .call("Email/changes", json!({"sinceState": state}))
        .await;
    assert_eq!(
        (&changes["destroyed"], &changes["updated"]),
        (&json!([alone]), &json!([both]))
    );
}

#[tokio::test]
async fn mailboxes_are_found_and_sorted() {
    let world = World::new().await;
    let made = world
        .call("Mailbox/set", json!({"create": {
            "w": {"name": "Work"}, "z": {"name": "Zoo", "parentId": "#w"}, "a": {"name": "Apple", "parentId": "#w"},
        }}))
        .await;
    let id = |creation: &str| made["created"][creation]["id"].clone();
    let query =
        async |arguments: Value| world.call("Mailbox/query", arguments).await["ids"].clone();
    assert_eq!(
        query(json!({"filter": {"parentId": id("w")}, "sort": [{"property": "name"}]})).await,
        json!([id("a"), id("z")])
    );
    assert_eq!(
        query(json!({"filter": {"name": "OO"}})).await,
        json!([id("z")])
    );
    assert_eq!(
        query(json!({"filter": {"role": "inbox"}})).await,
        json!([world.inbox().await])
    );
    let own = json!({"operator": "NOT", "conditions": [{"hasAnyRole": true}]});
    assert_eq!(query(json!({"filter": own, "sort": [{"property": "name", "isAscending": false}], "sortAsTree": true})).await,
        json!([id("w"), id("z"), id("a")]));
    assert_eq!(
        query(
            json!({"filter": {"name": "a"}, "filterAsTree": true, "sort": [{"property": "name"}]})
        )
        .await
        .as_array()
        .map(|ids| ids.contains(&id("a"))),
        Some(false)
    );
    assert_eq!(
        world
            .error("Mailbox/query", json!({"filter": {"x": 1}}))
            .await,
        "unsupportedFilter"
    );
    assert_eq!(
        world
            .error("Mailbox/query", json!({"sort": [{"property": "x"}]}))
            .await,
        "unsupportedSort"
    );
    let state = world.call("Mailbox/query", json!({})).await["queryState"].clone();
    world.append(&[], "Subject: a\n\nb\n").await;
    let quiet = world
        .call("Mailbox/queryChanges", json!({"sinceQueryState": state}))
        .await;
    assert_eq!(
        (&quiet["added"], &quiet["removed"]),
        (&json!([]), &json!([]))
    );
}

/// RFC 8620 §5.3: what is the server's may be said as it is.
#[tokio::test]
async fn a_mailbox_may_be_sent_back_whole() {
    let world = World::new().await;
    world.append(&[], "Subject: a\n\nb\n").await;
    let got = world.call("Mailbox/get", json!({"ids": null})).await;
    let list = got["list"].as_array().expect("a list");
    let id = |one: &Value| one["id"].as_str().expect("an id").to_owned();
    let update: Map<String, Value> = list.iter().map(|one| (id(one), one.clone())).collect();
    let done = world.call("Mailbox/set", json!({ "update": update })).await;
    assert!(done["notUpdated"].is_null(), "{done}");
    assert_eq!(done["updated"].as_object().map(Map::len), Some(list.len()));
    for (name, value) in [
        ("totalEmails", json!(7)),
        ("unreadThreads", json!(7)),
        ("myRights", json!({"mayReadItems": true})),
        ("id", json!("M99")),
    ] {
        let mut other = list[0].clone();
        other[name] = value;
        let update = json!({"update": { (id(&list[0])): other }});
        let done = world.call("Mailbox/set", update).await;
        let error = &done["notUpdated"][id(&list[0])];
        assert_eq!(error["properties"], json!([name]), "{done}");
    }
}
