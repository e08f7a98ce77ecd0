//! Email/get, Email/set, Thread/get.

use super::*;

const LETTER: &str = "From: =?utf-8?b?5L2g?= <ann@a.test>\nTo: bob@demo.test, \"C, D\" <c@d.test>\n\
    Subject: Hello\nDate: Thu, 30 Oct 2014 14:12:00 +0800\nMessage-ID: <m1@a.test>\nReferences: <m0@a.test>\n\
    X-Other: 1\nX-Other: 2\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n\
    --b\nContent-Type: multipart/alternative; boundary=c\n\n\
    --c\nContent-Type: text/plain; charset=utf-8\n\nfirst line\nzweite Zeile: \u{e4}\n\
    --c\nContent-Type: text/html; charset=utf-8\nContent-Language: de, en\n\n<p>first</p><b>x</b>\n--c--\n\
    --b\nContent-Type: application/pdf; name=a.pdf\nContent-Disposition: attachment; filename=\"a b.pdf\"\n\
    Content-Transfer-Encoding: base64\n\naGVsbG8gd29ybGQ=\n\
    --b\nContent-Type: message/rfc822\n\nSubject: inner\n\ninside\n--b--\n";

#[tokio::test]
async fn an_email_is_shown_with_what_is_asked_for() {
    let world = World::new().await;
    let id = world.append(&["\\Seen", "$Forwarded"], LETTER).await;
    let got = world
        .call("Email/get", json!({"ids": [id, "E99", "x y"]}))
        .await;
    assert_eq!(got["notFound"], json!(["E99", "x y"]));
    let email = &got["list"][0];
    let inbox = world.inbox().await;
    assert_eq!(email["id"], id);
    assert_eq!(email["mailboxIds"], json!({ &inbox: true }));
    assert_eq!(
        email["keywords"],
        json!({"$seen": true, "$forwarded": true})
    );
    assert_eq!(email["size"], LETTER.replace('\n', "\r\n").len());
    assert_eq!(email["receivedAt"], "2026-01-01T00:00:01Z");
    assert_eq!(email["messageId"], json!(["m1@a.test"]));
    assert_eq!(email["references"], json!(["m0@a.test"]));
    assert_eq!(email["inReplyTo"], Value::Null);
    assert_eq!(
        email["from"],
        json!([{"name": "你", "email": "ann@a.test"}])
    );
    assert_eq!(email["to"][1], json!({"name": "C, D", "email": "c@d.test"}));
    assert_eq!(email["subject"], "Hello");
    assert_eq!(email["sentAt"], "2014-10-30T14:12:00+08:00");
    assert_eq!(email["hasAttachment"], true);
    assert!(
        email["preview"]
            .as_str()
            .expect("a text")
            .starts_with("first line")
    );
    assert_eq!(email["bodyValues"], json!({}));
    let kinds = |list: &Value| -> Vec<String> {
        list.as_array()
            .expect("a list")
            .iter()
            .map(|part| part["type"].as_str().expect("one").to_owned())
            .collect()
    };
    assert_eq!(kinds(&email["textBody"]), ["text/plain"]);
    assert_eq!(kinds(&email["htmlBody"]), ["text/html"]);
    assert_eq!(
        kinds(&email["attachments"]),
        ["application/pdf", "message/rfc822"]
    );
    let pdf = &email["attachments"][0];
    assert_eq!(
        (&pdf["name"], &pdf["size"], &pdf["disposition"]),
        (&json!("a b.pdf"), &json!(11), &json!("attachment"))
    );
    assert_eq!(email["htmlBody"][0]["language"], json!(["de", "en"]));
    assert_eq!(email["textBody"][0]["charset"], "utf-8");
}

#[tokio::test]
async fn header_properties_and_body_values_are_given_as_asked() {
    let world = World::new().await;
    let id = world.append(&[], LETTER).await;
    let got = world
        .call("Email/get", json!({
            "ids": [id],
            "properties": ["header:X-Other", "header:x-other:asText:all", "header:From:asAddresses", "headers",
                "bodyStructure", "bodyValues"],
            "bodyProperties": ["partId", "type", "header:Content-Type", "subParts"],
            "fetchAllBodyValues": true, "maxBodyValueBytes": 12,
        }))
        .await;
    let email = &got["list"][0];
    assert_eq!(email["header:X-Other"], " 2");
    assert_eq!(email["header:x-other:asText:all"], json!(["1", "2"]));
    assert_eq!(email["header:From:asAddresses"][0]["email"], "ann@a.test");
    assert_eq!(
        email["headers"][2],
        json!({"name": "Subject", "value": " Hello"})
    );
    let structure = &email["bodyStructure"];
    assert_eq!(
        (&structure["type"], &structure["partId"]),
        (&json!("multipart/mixed"), &Value::Null)
    );
    assert_eq!(structure["subParts"][0]["subParts"][1]["type"], "text/html");
    assert_eq!(
        structure["subParts"][2]["header:Content-Type"],
        " message/rfc822"
    );
    let values = email["bodyValues"].as_object().expect("an object");
    let mut texts: Vec<_> = values
        .values()
        .map(|value| value["value"].as_str().expect("a text"))
        .collect();
    texts.sort_unstable();
    // Not through the tag, and without CR.
    assert_eq!(texts, ["<p>first</p>", "first line\nz"]);
    assert!(
        values
            .values()
            .all(|value| value["isTruncated"] == true && value["isEncodingProblem"] == false)
    );
    for bad in [
        json!({"properties": ["nothing"]}),
        json!({"bodyProperties": ["x"]}),
        json!({"properties": ["header:Subject:asDate"]}),
    ] {
        let mut arguments = bad;
        arguments["ids"] = json!([]);
        assert_eq!(
            world.error("Email/get", arguments).await,
            "invalidArguments"
        );
    }
}

#[tokio::test]
async fn parts_are_octets_of_their_own() {
    let world = World::new().await;
    let own = world.account_id("bob").await;
    let id = world.append(&[], LETTER).await;
    let got = world.call("Email/get", json!({"ids": [id]})).await;
    let email = &got["list"][0];
    let download = async |blob: &Value| {
        let blob = blob.as_str().expect("an id");
        world.get(&format!("/jmap/download/{own}/{blob}/x")).await
    };
    let whole = download(&email["blobId"]).await;
    assert!(whole.octets == LETTER.replace('\n', "\r\n").as_bytes());
    assert_eq!(
        download(&email["attachments"][0]["blobId"]).await.octets,
        "hello world"
    );
    let inner = &email["attachments"][1]["blobId"];
    assert_eq!(download(inner).await.octets, "Subject: inner\r\n\r\ninside");
    let parsed = world
        .call(
            "Email/parse",
            json!({"blobIds": [inner, email["blobId"], "B99", email["attachments"][0]["blobId"]],
        "fetchAllBodyValues": true}),
        )
        .await;
    let of_inner = &parsed["parsed"][inner.as_str().expect("an id")];
    assert_eq!(of_inner["subject"], "inner");
    assert_eq!(of_inner["bodyValues"]["0"]["value"], "inside");
    assert_eq!(parsed["notFound"], json!(["B99"]));
    assert_eq!(parsed["notParsable"].as_array().map(Vec::len), Some(1));
    // A part of the message inside.
    let nested = &of_inner["textBody"][0]["blobId"];
    assert_eq!(download(nested).await.octets, "inside");
    for bad in ["B1-99", "B1-0", "B1-1", "B01", "B1-7-7-7-7-7-7-7-7-7-7"] {
        assert_eq!(
            download(&bad.into()).await.status,
            StatusCode::NOT_FOUND,
            "{bad}"
        );
    }
}

#[tokio::test]
async fn keywords_and_mailboxes_change_by_patches() {
    let world = World::new().await;
    let id = world.append(&["work"], "Subject: a\n\nb\n").await;
    let inbox = world.inbox().await;
    let made = world
        .call("Mailbox/set", json!({"create": {"k": {"name": "Other"}}}))
        .await;
    let other = made["created"]["k"]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let show = async || {
        let got = world
            .call(
                "Email/get",
                json!({"ids": [id], "properties": ["keywords", "mailboxIds"]}),
            )
            .await;
        got["list"][0].clone()
    };
    let set = async |patch: Value| {
        world
            .call("Email/set", json!({"update": {&id: patch}}))
            .await
    };
    let done = set(
        json!({"keywords/$seen": true, "keywords/work": null, format!("mailboxIds/{other}"): true}),
    )
    .await;
    assert_eq!(done["updated"], json!({ &id: null }));
    assert_ne!(done["oldState"], done["newState"]);
    assert_eq!(show().await["keywords"], json!({"$seen": true}));
    assert_eq!(
        show().await["mailboxIds"],
        json!({ &inbox: true, &other: true })
    );
    // The email is one, in two places: IMAP sees the flag in both.
    let bob = world.bob().await;
    for name in ["INBOX", "Other"] {
        let view = bob.view();
        let mailbox = view.mailbox(mailbox_of(&bob, name)).expect("there");
        assert!(mailbox.entries()[0].keywords.is_seen() && mailbox.entries().len() == 1);
    }
    set(json!({"mailboxIds": { &other: true }, "keywords": {"$Flagged": true}})).await;
    assert_eq!(
        show().await,
        json!({"id": id, "keywords": {"$flagged": true}, "mailboxIds": { &other: true }})
    );
    set(json!({"keywords/$SEEN": true, "keywords/$Flagged": null})).await;
    assert_eq!(show().await["keywords"], json!({"$seen": true}));
    set(json!({"keywords/$Seen": null, "keywords/$FLAGGED": true})).await;
    assert_eq!(show().await["keywords"], json!({"$flagged": true}));
    set(json!({"mailboxIds": { &inbox: true }})).await;
    assert_eq!(show().await["mailboxIds"], json!({ &inbox: true }));
    for (patch, kind) in [
        (json!({"mailboxIds": {}}), "invalidProperties"),
        (
            json!({format!("mailboxIds/{inbox}"): null}),
            "invalidProperties",
        ),
        (json!({"mailboxIds/M99": true}), "invalidProperties"),
        (json!({"keywords/a b": true}), "invalidProperties"),
        (json!({"keywords/$deleted": true}), "invalidProperties"),
        (json!({"keywords/a": false}), "invalidProperties"),
        (json!({"subject": "x"}), "invalidProperties"),
        (json!({"keywords": {}, "keywords/a": true}), "invalidPatch"),
        (json!({"keywords/a/b": true}), "invalidPatch"),
    ] {
        let done = set(patch.clone()).await;
        assert_eq!(done["notUpdated"][&id]["type"], kind, "{patch} {done}");
        assert_eq!(done["oldState"], done["newState"]);
    }
    let done = world
        .call(
            "Email/set",
            json!({"update": {"E99": {}}, "destroy": ["E98", id]}),
        )
        .await;
    assert_eq!(done["notUpdated"]["E99"]["type"], "notFound");
    assert_eq!(done["notDestroyed"]["E98"]["type"], "notFound");
    assert_eq!(done["destroyed"], json!([id]));
    let got = world.call("Email/get", json!({"ids": [id]})).await;
    assert_eq!(got["notFound"], json!([id]));
}

/// RFC 8621 §4.1.1: what IMAP keeps by the names `$deleted` and `$recent` is not shown, and in nobody's way.
#[tokio::test]
async fn keywords_that_are_none_here_keep_nothing_from_being_changed() {
    let world = World::new().await;
    let email = world
        .append(&["$Deleted", "$Recent", "Work"], "Subject: a\n\nb\n")
        .await;
    let keywords = async || {
        let got = world.call(
            "Email/get",
            json!({"ids": [email], "properties": ["keywords"]}),
        );
        got.await["list"][0]["keywords"].clone()
    };
    assert_eq!(keywords().await, json!({"work": true}));
    let bob = world.bob().await;
    let name = MailboxName::parse("Side").expect("a name");
    bob.create_mailbox(&name, None).await.expect("made");
    let side = mailstore::object_id::of_mailbox(mailbox_of(&bob, "Side"), None);
    for patch in [
        json!({"mailboxIds": { &side: true }}),
        json!({"keywords/$flagged": true}),
        json!({"keywords": {"$seen": true}}),
    ] {
        let update = json!({"update": { &email: patch }});
        let done = world.call("Email/set", update).await;
        assert!(done["notUpdated"].is_null(), "{done}");
    }
    assert_eq!(keywords().await, json!({"$seen": true}));
}

#[tokio::test]
async fn a_set_is_one_commit_and_heeds_the_state() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(world.append(&[], &format!("Subject: {n}\n\nb\n")).await);
    }
    let state = world.call("Email/get", json!({"ids": []})).await["state"].clone();
    let update: Map<String, Value> = ids
        .iter()
        .map(|id| (id.clone(), json!({"keywords/$seen": true})))
        .collect();
    let wakes = world.bob().await.subscribe();
    let done = world
        .call("Email/set", json!({"ifInState": state, "update": update}))
        .await;
    assert_eq!(done["updated"].as_object().map(Map::len), Some(20));
    assert!(wakes.has_changed().expect("open"));
    // One change of all of them, not twenty.
    let (old, new) = (
        done["oldState"].as_str().expect("one"),
        done["newState"].as_str().expect("one"),
    );
    assert_eq!(
        new.parse::<u64>().expect("one"),
        old.parse::<u64>().expect("one") + 1
    );
    let again = world
        .error("Email/set", json!({"ifInState": state, "destroy": ids}))
        .await;
    assert_eq!(again, "stateMismatch");
    let both = world
        .call(
            "Email/set",
            json!({"update": {&ids[0]: {}}, "destroy": [ids[0], ids[0]]}),
        )
        .await;
    assert_eq!(both["notUpdated"][&ids[0]]["type"], "willDestroy");
    assert_eq!(both["destroyed"], json!([ids[0]]));
}

#[tokio::test]
async fn a_copy_that_is_marked_deleted_is_not_shown() {
    let world = World::new().await;
    let bob = world.bob().await;
    let id = world.append(&["\\Deleted"], "Subject: a\n\nb\n").await;
    assert_eq!(
        world.call("Email/get", json!({"ids": [id]})).await["notFound"],
        json!([id])
    );
    assert_eq!(world.call("Email/query", json!({})).await["ids"], json!([]));
    let counts = world
        .call(
            "Mailbox/get",
            json!({"ids": [world.inbox().await], "properties": ["totalEmails", "unreadEmails"]}),
        )
        .await;
    assert_eq!(counts["list"][0]["totalEmails"], 0);
    assert_eq!(counts["list"][0]["unreadEmails"], 0);
    let own = world.account_id("bob").await;
    assert_eq!(
        world
            .get(&format!("/jmap/download/{own}/B1/x"))
            .await
            .status,
        StatusCode::NOT_FOUND
    );
    let inbox = mailbox_of(&bob, "INBOX");
    let all = mailbox_model::UidSet::all();
    let state = world.call("Email/get", json!({"ids": []})).await["state"].clone();
    let clear = mailbox_model::stage::FlagAction::Remove;
    bob.store_flags(inbox, &all, clear, &[Flag::Deleted], None)
        .await
        .expect("stored");
    let changes = world
        .call("Email/changes", json!({"sinceState": state}))
        .await;
    assert_eq!(changes["created"], json!([id]));
}

#[tokio::test]
async fn a_thread_tells_its_emails() {
    let world = World::new().await;
    let id = world.append(&[], "Subject: a\n\nb\n").await;
    let got = world
        .call(
            "Email/get",
            json!({"ids": [id], "properties": ["threadId"]}),
        )
        .await;
    let thread = got["list"][0]["threadId"].clone();
    let threads = world
        .call("Thread/get", json!({"ids": [thread, "T99", "E1"]}))
        .await;
    assert_eq!(threads["list"], json!([{"id": thread, "emailIds": [id]}]));
    assert_eq!(threads["notFound"], json!(["T99", "E1"]));
}

/// RFC 8621 §3, §3.2, §2: one name for all emails that answer each other, wherever they are.
#[tokio::test]
async fn emails_that_answer_each_other_are_one_thread() {
    let world = World::new().await;
    let text = |id: u32, to: u32, subject: &str| {
        format!("Message-ID: <{id}@x>\nIn-Reply-To: <{to}@x>\nSubject: {subject}\n\nb\n")
    };
    let first = world.append(&[], &text(1, 100, "Lunch")).await;
    let other = world.append(&["\\Seen"], &text(2, 1, "dinner")).await;
    let threads_of = async |ids: &[&String]| -> Vec<String> {
        let arguments = json!({"ids": ids, "properties": ["threadId"]});
        let got = world.call("Email/get", arguments).await;
        let list = got["list"].as_array().expect("a list").iter();
        list.map(|email| email["threadId"].as_str().expect("a text").to_owned())
            .collect()
    };
    let ids = threads_of(&[&first, &other]).await;
    assert_ne!(ids[0], ids[1]);
    let state = world.call("Thread/get", json!({"ids": []})).await["state"].clone();
    let answer = world.append(&["\\Seen"], &text(3, 1, "Re: Lunch")).await;
    assert_eq!(threads_of(&[&answer]).await, [ids[0].clone()]);
    let got = world.call("Thread/get", json!({"ids": [ids[0]]})).await;
    assert_eq!(
        got["list"],
        json!([{"id": ids[0], "emailIds": [first, answer]}])
    );
    let changes = world
        .call("Thread/changes", json!({"sinceState": state}))
        .await;
    assert_eq!(changes["updated"], json!([ids[0]]), "{changes}");
    assert_eq!(
        (&changes["created"], &changes["destroyed"]),
        (&json!([]), &json!([]))
    );
    // Three emails are two threads; one of them has an email that is unread.
    let mailboxes = world.call("Mailbox/get", json!({"ids": null})).await;
    let list = mailboxes["list"].as_array().expect("a list");
    let inbox = list.iter().find(|mailbox| mailbox["role"] == "inbox");
    let inbox = inbox.expect("always there");
    let counts = [
        "totalEmails",
        "unreadEmails",
        "totalThreads",
        "unreadThreads",
    ];
    assert_eq!(
        counts.map(|name| inbox[name].as_u64()),
        [3, 1, 2, 1].map(Some)
    );
    let trash = list.iter().find(|mailbox| mailbox["role"] == "trash");
    let trash = trash.expect("made with the account")["id"].clone();
    // What is unread in the trash alone makes no thread elsewhere unread.
    let update =
        json!({ (first.as_str()): { "mailboxIds": { trash.as_str().expect("an id"): true } } });
    world.call("Email/set", json!({ "update": update })).await;
    let mailboxes = world
        .call("Mailbox/get", json!({"ids": [inbox["id"], trash]}))
        .await;
    let counts = |at: usize| counts.map(|name| mailboxes["list"][at][name].as_u64());
    assert_eq!(counts(0), [2, 0, 2, 0].map(Some));
    assert_eq!(counts(1), [1, 1, 1, 1].map(Some));
    // Collapsed, and behind the end of the first.
    let query = json!({"collapseThreads": true, "sort": [{"property": "receivedAt"}]});
    let found = world.call("Email/query", query).await;
    assert_eq!(found["ids"], json!([first, other]));
    world.call("Email/set", json!({"destroy": [first]})).await;
    let got = world.call("Thread/get", json!({"ids": [ids[0]]})).await;
    assert_eq!(got["list"], json!([{"id": ids[0], "emailIds": [answer]}]));
}

/// THREATS 27: many ids cost an error, and one answer has a bound.
#[tokio::test]
async fn what_is_asked_at_once_is_bounded() {
    let world = World::new().await;
    assert_eq!(
        world
            .error("Email/get", json!({"ids": vec!["E1"; 100_000]}))
            .await,
        "requestTooLarge"
    );
    let large = format!("Subject: a\n\n{}", "a line\n".repeat(250_000));
    let id = world.append(&[], &large).await;
    let own = world.account_id("bob").await;
    // The same over and over, each by a reference.
    let many = json!({"accountId": own, "ids": [id], "properties": ["bodyValues"], "fetchAllBodyValues": true});
    let calls: Vec<Value> = (0..64)
        .map(|n| json!(["Email/get", many, n.to_string()]))
        .collect();
    let answers = world.calls("bob", json!(calls)).await;
    let refused = answers
        .iter()
        .filter(|(_, answer)| answer["type"] == "requestTooLarge");
    assert!(answers.len() == 64 && (10..60).contains(&refused.count()));
}
