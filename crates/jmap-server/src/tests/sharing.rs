//! Accounts that others share.

use super::http::Stream;
use super::*;
use mailstore::{AclName, Rights, Who};

/// Gives bob these rights, and no others, in a mailbox of ann's.
async fn give(world: &World, mailbox: &str, letters: &str) {
    let ann = world.account_of("ann").await;
    let to_bob = AclName {
        who: Who::Account(world.bob().await.id()),
        negative: false,
    };
    let rights = Rights::parse(letters.as_bytes()).expect("rights");
    let mailbox = mailbox_of(&ann, mailbox);
    let given = ann
        .change_acl(mailbox, |acl| acl.set(to_bob.clone(), rights))
        .await;
    given.expect("stored").expect("few");
}

/// What bob knows of ann's account by following changes; none where he has to begin again.
async fn emails_since(world: &World, ann: &str, state: &Value) -> Option<[Vec<String>; 3]> {
    let asked = json!({"accountId": ann, "sinceState": state});
    let (name, changes) = world.try_call("Email/changes", asked).await;
    if name == "error" {
        assert_eq!(changes["type"], "cannotCalculateChanges");
        return None;
    }
    let list = |list: &str| {
        texts(&changes[list])
            .into_iter()
            .map(str::to_owned)
            .collect()
    };
    Some(["created", "updated", "destroyed"].map(list))
}

async fn state_of(world: &World, ann: &str) -> Value {
    let got = world
        .call("Email/get", json!({"accountId": ann, "ids": []}))
        .await;
    got["state"].clone()
}

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
        (&json!("ann@demo.test"), &json!(false))
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
    give(&world, "Club", "lr").await;
    let session = world.get("/jmap/session").await.json();
    assert_eq!(session["accounts"][&ann]["isReadOnly"], true);
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

#[tokio::test]
async fn where_rights_change_nothing_wrong_is_told_of_changes() {
    let (world, ann, number) = shared().await;
    let account = world.account_of("ann").await;
    let state = state_of(&world, &ann).await;
    let none = || Some([vec![], vec![], vec![]]);
    // What is not shown changes nothing.
    world
        .append_to(&account, "INBOX", &[], "Subject: b\n\nc\n")
        .await;
    assert_eq!(emails_since(&world, &ann, &state).await, none());
    let (email, _) = world
        .append_to(&account, "Club", &[], "Subject: d\n\ne\n")
        .await;
    let email = format!("A{number}-E{}", email.0);
    let created = Some([vec![email.clone()], vec![], vec![]]);
    assert_eq!(emails_since(&world, &ann, &state).await, created);
    // More is shown now: emails that were there before.
    give(&world, "INBOX", "lr").await;
    assert_eq!(emails_since(&world, &ann, &state).await, None);
    let more = state_of(&world, &ann).await;
    assert_eq!(emails_since(&world, &ann, &more).await, none());
    give(&world, "INBOX", "").await;
    assert_eq!(emails_since(&world, &ann, &more).await, None);
    // As it was: what was known then is known still.
    assert_eq!(emails_since(&world, &ann, &state).await, created);
    let set =
        json!({"accountId": ann, "update": {&email: {"keywords/$seen": true}}, "ifInState": more});
    assert_eq!(world.error("Email/set", set).await, "stateMismatch");
    // A mailbox that is not shown is not told of when it goes.
    let since = state_of(&world, &ann).await;
    let hidden = MailboxName::parse("Archive").expect("a name");
    account.delete_mailbox(&hidden).await.expect("deleted");
    let asked = json!({"accountId": ann, "sinceState": since});
    let changes = world.call("Mailbox/changes", asked.clone()).await;
    assert_eq!(changes["destroyed"], json!([]));
    give(&world, "INBOX", "lr").await;
    let since = state_of(&world, &ann).await;
    let club = MailboxName::parse("Club").expect("a name");
    account.delete_mailbox(&club).await.expect("deleted");
    let told = emails_since(&world, &ann, &since).await.expect("told");
    assert_eq!(told[2].len(), 2, "{told:?}");
}

/// An email of the club's, unread.
async fn email_in_club(world: &World, number: &str) -> String {
    let ann = world.account_of("ann").await;
    let (email, _) = world
        .append_to(&ann, "Club", &[], "Subject: a\n\nb\n")
        .await;
    format!("A{number}-E{}", email.0)
}

async fn mailbox_id(world: &World, number: &str, name: &str) -> String {
    let ann = world.account_of("ann").await;
    format!("A{number}-M{}", mailbox_of(&ann, name).0)
}

#[tokio::test]
async fn each_right_lets_do_what_it_is_for_and_nothing_else() {
    let (world, ann, number) = shared().await;
    let account = world.account_of("ann").await;
    let side = MailboxName::parse("Side").expect("a name");
    account.create_mailbox(&side, None).await.expect("made");
    let (club, side) = (
        mailbox_id(&world, &number, "Club").await,
        mailbox_id(&world, &number, "Side").await,
    );
    let blob = world.upload("Subject: imported\n\nb\n").await;
    // In the club, beside it, and what is possible then.
    for (in_club, in_side, possible) in [
        ("lr", "lri", vec!["import side"]),
        ("lrs", "lr", vec!["seen"]),
        ("lrw", "lr", vec!["flagged"]),
        ("lri", "lr", vec!["import"]),
        ("lrt", "lri", vec!["import side", "copy"]),
        ("lre", "lri", vec!["import side", "copy"]),
        ("lrte", "lr", vec!["destroy"]),
        (
            "lrte",
            "lri",
            vec!["import side", "copy", "move", "destroy"],
        ),
        (
            "lrswte",
            "lri",
            vec!["seen", "flagged", "import side", "copy", "move", "destroy"],
        ),
    ] {
        give(&world, "Club", in_club).await;
        give(&world, "Side", in_side).await;
        let mut done = Vec::new();
        for act in [
            "seen",
            "flagged",
            "import",
            "import side",
            "copy",
            "move",
            "destroy",
        ] {
            let email = email_in_club(&world, &number).await;
            let to = if act == "import" { &club } else { &side };
            let (name, arguments) = match act {
                "import" | "import side" => (
                    "Email/import",
                    json!({"emails": {"k": {"blobId": blob, "mailboxIds": { to: true }}}}),
                ),
                "destroy" => ("Email/set", json!({"destroy": [email]})),
                _ => {
                    let patch = match act {
                        "seen" => json!({"keywords/$seen": true}),
                        "flagged" => json!({"keywords": {"$flagged": true}}),
                        "copy" => json!({ format!("mailboxIds/{side}"): true }),
                        _ => json!({"mailboxIds": { &side: true }}),
                    };
                    ("Email/set", json!({"update": { &email: patch }}))
                }
            };
            let mut arguments = arguments;
            arguments["accountId"] = ann.clone().into();
            let before = account.view().modseq();
            let answer = world.call(name, arguments).await;
            let list = ["created", "updated", "destroyed"].iter().any(|list| {
                let list = &answer[list];
                list.as_object().is_some_and(|list| !list.is_empty()) || list.is_array()
            });
            if list {
                assert_ne!(account.view().modseq(), before, "{act}: {answer}");
                done.push(act);
                continue;
            }
            let errors = ["notCreated", "notUpdated", "notDestroyed"];
            let error = errors
                .iter()
                .find_map(|errors| answer[errors].as_object())
                .expect("an error");
            let error = error.values().next().expect("one");
            // "copy" needs the right where it goes only.
            assert_eq!(
                error["type"], "forbidden",
                "{in_club} {in_side} {act}: {answer}"
            );
            assert_eq!(account.view().modseq(), before, "{act}");
        }
        let mut possible = possible;
        if in_side.contains('i') && !possible.contains(&"copy") {
            possible.push("copy");
        }
        done.sort_unstable();
        possible.sort_unstable();
        assert_eq!(done, possible, "{in_club} {in_side}");
    }
}

#[tokio::test]
async fn what_one_has_read_of_anothers_is_ones_own() {
    let (world, ann, number) = shared().await;
    give(&world, "Club", "lrswite").await;
    let account = world.account_of("ann").await;
    let club = mailbox_of(&account, "Club");
    let email = email_in_club(&world, &number).await;
    let set = async |patch: Value| {
        let arguments = json!({"accountId": ann, "update": { &email: patch }});
        let done = world.call("Email/set", arguments).await;
        assert!(done["notUpdated"].is_null(), "{done}");
        done
    };
    let keywords = async || {
        let asked = json!({"accountId": ann, "ids": [email], "properties": ["keywords"]});
        world.call("Email/get", asked).await["list"][0]["keywords"].clone()
    };
    let owners = || {
        let view = account.view();
        let mailbox = view.mailbox(club).expect("there");
        let entry = mailbox.entries().last().expect("one").clone();
        crate::email::keywords::of_entry(&view, &entry)
    };
    let done = set(json!({"keywords": {"$seen": true, "$flagged": true}})).await;
    assert_eq!(keywords().await, json!({"$seen": true, "$flagged": true}));
    assert_eq!(json!(owners()), json!({"$flagged": true}));
    let (old, new) = (done["oldState"].clone(), done["newState"].clone());
    let nothing = Some([vec![], vec![], vec![]]);
    assert_eq!(emails_since(&world, &ann, &new).await, nothing);
    let told = Some([vec![], vec![email.clone()], vec![]]);
    assert_eq!(emails_since(&world, &ann, &old).await, told);
    set(json!({"keywords/$seen": null})).await;
    assert_eq!(keywords().await, json!({"$flagged": true}));
    // It goes along where the email goes, and comes with what is put in.
    let side = MailboxName::parse("Side").expect("a name");
    account.create_mailbox(&side, None).await.expect("made");
    give(&world, "Side", "lrsite").await;
    let side = mailbox_id(&world, &number, "Side").await;
    set(json!({"keywords/$seen": true, "mailboxIds": { &side: true }})).await;
    assert_eq!(keywords().await, json!({"$seen": true, "$flagged": true}));
    let inbox = world.inbox().await;
    let own = world
        .append(&["\\Seen", "\\Flagged"], "Subject: own\n\nb\n")
        .await;
    let from = world.account_id("bob").await;
    let copy = json!({"accountId": ann, "fromAccountId": from, "create": {"k": {"id": own, "mailboxIds": { &side: true }}}, "onSuccessDestroyOriginal": true});
    let used = account.view().usage().emails;
    let answers = world.calls("bob", json!([["Email/copy", copy, "c"]])).await;
    let copied = &answers[0].1["created"]["k"];
    // There is no right for flags there: what it has is told.
    assert_eq!(copied["keywords"], json!({"$seen": true}), "{answers:?}");
    assert_eq!(account.view().usage().emails, used + 1);
    assert_eq!(answers[1].1["destroyed"], json!([own]));
    let got = world.call("Email/get", json!({"accountId": ann, "ids": [copied["id"]], "properties": ["keywords", "mailboxIds"]})).await;
    assert_eq!(got["list"][0]["keywords"], json!({"$seen": true}));
    let gone = world
        .call("Email/query", json!({"filter": {"inMailbox": inbox}}))
        .await;
    assert_eq!(gone["ids"], json!([]));
}

#[tokio::test]
async fn what_is_not_shown_is_not_touched() {
    let (world, ann, number) = shared().await;
    give(&world, "Club", "lrswite").await;
    let account = world.account_of("ann").await;
    let (club, inbox) = (mailbox_of(&account, "Club"), mailbox_of(&account, "INBOX"));
    let (email, uid) = world
        .append_to(&account, "Club", &[], "Subject: both\n\nb\n")
        .await;
    let which = mailbox_model::UidSet::one(uid);
    account.copy(club, inbox, &which).await.expect("copied");
    let id = format!("A{number}-E{}", email.0);
    let count = || {
        account
            .view()
            .mailbox(inbox)
            .expect("there")
            .entries()
            .len()
    };
    let before = count();
    let hidden = mailbox_id(&world, &number, "INBOX").await;
    let secret = format!("A{number}-E2");
    let bad = world.call("Email/set", json!({
        "accountId": ann,
        "update": {&id: {format!("mailboxIds/{hidden}"): true}, &secret: {"keywords/$flagged": true}},
        "destroy": [format!("A{number}-E99")],
    })).await;
    assert_eq!(bad["notUpdated"][&id]["type"], "invalidProperties");
    assert_eq!(bad["notUpdated"][&secret]["type"], "notFound");
    let done = world
        .call(
            "Email/set",
            json!({"accountId": ann, "destroy": [id, secret]}),
        )
        .await;
    assert_eq!(done["destroyed"], json!([id]));
    assert_eq!(done["notDestroyed"][&secret]["type"], "notFound");
    assert_eq!(count(), before);
    for (name, arguments) in [
        (
            "destroy",
            json!({"destroy": [hidden], "onDestroyRemoveEmails": true}),
        ),
        ("update", json!({"update": {&hidden: {"name": "Mine"}}})),
    ] {
        let mut arguments = arguments;
        arguments["accountId"] = ann.clone().into();
        let done = world.call("Mailbox/set", arguments).await;
        let errors = if name == "update" {
            "notUpdated"
        } else {
            "notDestroyed"
        };
        assert_eq!(done[errors][&hidden]["type"], "notFound", "{done}");
    }
}

#[tokio::test]
async fn mailboxes_of_another_change_by_their_rights() {
    let (world, ann, number) = shared().await;
    let club = mailbox_id(&world, &number, "Club").await;
    let set = async |arguments: Value| {
        let mut arguments = arguments;
        arguments["accountId"] = ann.clone().into();
        world.call("Mailbox/set", arguments).await
    };
    let below = json!({"create": {"k": {"name": "Below", "parentId": club}, "l": {"name": "Lower", "parentId": "#k"}}});
    let done = set(below.clone()).await;
    assert_eq!(done["notCreated"]["k"]["type"], "forbidden", "{done}");
    give(&world, "Club", "lrk").await;
    let top = set(json!({"create": {
        "top": {"name": "Top"},
        "role": {"name": "R", "parentId": club, "role": "junk"},
        "order": {"name": "O", "parentId": club, "sortOrder": 4},
    }}))
    .await;
    for creation in ["top", "role", "order"] {
        let error = &top["notCreated"][creation]["type"];
        assert!(
            error == "forbidden" || error == "invalidProperties",
            "{top}"
        );
    }
    let done = set(below).await;
    let id = |creation: &str| {
        done["created"][creation]["id"]
            .as_str()
            .expect("an id")
            .to_owned()
    };
    let (k, l) = (id("k"), id("l"));
    // What is made is seen by who made it, in the state that is told.
    let boxes = world
        .call("Mailbox/get", json!({"accountId": ann, "ids": [k, l]}))
        .await;
    assert_eq!(boxes["list"].as_array().map(Vec::len), Some(2), "{boxes}");
    assert_eq!(
        boxes["list"][0]["myRights"],
        done["created"]["k"]["myRights"]
    );
    assert_eq!(boxes["state"], done["newState"]);
    assert_eq!(boxes["list"][0]["isSubscribed"], false);
    let rename = json!({"update": {&l: {"name": "Lowest"}}});
    assert_eq!(
        set(rename.clone()).await["notUpdated"][&l]["type"],
        "forbidden"
    );
    assert_eq!(
        set(json!({"destroy": [l]})).await["notDestroyed"][&l]["type"],
        "forbidden"
    );
    give(&world, "Club/Below/Lower", "lrx").await;
    assert!(set(rename).await["notUpdated"].is_null());
    // Nowhere but below what one may make mailboxes in.
    for parent in [
        Value::Null,
        mailbox_id(&world, &number, "INBOX").await.into(),
    ] {
        let moved = set(json!({"update": {&l: {"parentId": parent}}})).await;
        let error = &moved["notUpdated"][&l]["type"];
        assert!(
            error == "forbidden" || error == "invalidProperties",
            "{moved}"
        );
    }
    let subscribed = set(json!({"update": {&l: {"isSubscribed": true}}})).await;
    assert_eq!(subscribed["notUpdated"][&l]["type"], "forbidden");
    assert_eq!(set(json!({"destroy": [l]})).await["destroyed"], json!([l]));
}

#[tokio::test]
async fn an_owner_who_makes_a_mailbox_below_a_shared_one_shares_it() {
    let (world, ann, _) = shared().await;
    let own =
        mailstore::object_id::of_mailbox(mailbox_of(&*world.account_of("ann").await, "Club"), None);
    let make = json!([["Mailbox/set", {"accountId": ann, "create": {"k": {"name": "New", "parentId": own}}}, "c"]]);
    let answers = world.calls("ann", make).await;
    assert!(
        answers[0].1["created"]["k"]["id"].is_string(),
        "{answers:?}"
    );
    let boxes = world
        .call("Mailbox/get", json!({"accountId": ann, "ids": null}))
        .await;
    assert_eq!(boxes["list"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_stream_tells_of_another_what_its_user_sees() {
    let (world, ann, _) = shared().await;
    let account = world.account_of("ann").await;
    let own = world.account_id("bob").await;
    let mut stream = Stream::open(&world, "types=*&closeafter=no&ping=0", None).await;
    // Not this, but what comes behind it.
    world
        .append_to(&account, "INBOX", &[], "Subject: hidden\n\nb\n")
        .await;
    world.append(&[], "Subject: own\n\nb\n").await;
    let event = stream.next().await.expect("an event");
    assert!(
        event.contains(&format!("\"{own}\":")) && !event.contains(&format!("\"{ann}\":")),
        "{event}"
    );
    world
        .append_to(&account, "Club", &[], "Subject: shown\n\nb\n")
        .await;
    let event = stream.next().await.expect("an event");
    let state = state_of(&world, &ann).await;
    assert!(
        event.contains(&format!("\"{ann}\":")) && event.contains(state.as_str().expect("one")),
        "{event}"
    );
    assert!(event.contains("EmailDelivery"));
    // Who was away is told of what he sees alone.
    let last = event
        .lines()
        .find_map(|line| line.strip_prefix("id: "))
        .expect("an id")
        .to_owned();
    world
        .append_to(&account, "INBOX", &[], "Subject: hidden\n\nb\n")
        .await;
    let mut again = Stream::open(&world, "types=*&closeafter=state&ping=0", Some(&last)).await;
    world.append(&[], "Subject: own\n\nb\n").await;
    assert!(
        !again
            .next()
            .await
            .expect("an event")
            .contains(&format!("\"{ann}\":"))
    );
    let event = stream.next().await.expect("an event");
    assert!(!event.contains(&format!("\"{ann}\":")), "{event}");
    // A right that is taken ends it.
    give(&world, "Club", "").await;
    world
        .append_to(&account, "Club", &[], "Subject: not shown any more\n\nb\n")
        .await;
    world.append(&[], "Subject: own\n\nb\n").await;
    let event = stream.next().await.expect("an event");
    assert!(!event.contains(&ann), "{event}");
}

/// Copies that IMAP shows one read and one unread are one email here: unread, and read when that is asked for.
#[tokio::test]
async fn an_email_is_read_where_all_copies_are() {
    let (world, ann, number) = shared().await;
    let account = world.account_of("ann").await;
    let bob = world.bob().await.id();
    let club = mailbox_of(&account, "Club");
    let name = MailboxName::parse("Side").expect("a name");
    let side = account.create_mailbox(&name, None).await.expect("made");
    give(&world, "Side", "lrs").await;
    let email = email_in_club(&world, &number).await;
    let uids = mailbox_model::UidSet::all();
    account.copy(club, side, &uids).await.expect("copied");
    // One of them is read, whichever.
    for read in [club, side] {
        for (mailbox, read) in [(club, read == club), (side, read == side)] {
            let mut lane = account.lane().await.expect("free");
            let mut batch = engine::Batch::new();
            let all: mailbox_model::UidSet = {
                let mailbox = lane.view().mailbox(mailbox).expect("there");
                mailbox.entries().iter().map(|entry| entry.uid).collect()
            };
            let none = mailbox_model::UidSet::new();
            let (seen, unseen) = if read { (&all, &none) } else { (&none, &all) };
            let staged = lane.stage_seen_by(&mut batch, mailbox, bob, seen, unseen);
            staged.await.expect("staged");
            lane.submit(batch).expect("submitted").done().await;
        }
        let unread = async || {
            let asked = json!({"accountId": ann, "ids": null, "properties": ["unreadEmails"]});
            let got = world.call("Mailbox/get", asked).await;
            let list = got["list"].as_array().expect("a list").iter();
            let counts: Vec<u64> = list
                .filter_map(|one| one["unreadEmails"].as_u64())
                .collect();
            counts
        };
        let asked = json!({"accountId": ann, "ids": [email], "properties": ["keywords"]});
        let got = world.call("Email/get", asked.clone()).await;
        assert_eq!(got["list"][0]["keywords"], json!({}));
        let query = json!({"accountId": ann, "filter": {"notKeyword": "$seen"}});
        let found = world.call("Email/query", query).await;
        assert_eq!(texts(&found["ids"]).len(), 2);
        assert_eq!(unread().await, [2, 2]);
        let set = json!({"accountId": ann, "update": { &email: {"keywords/$seen": true} }});
        let done = world.call("Email/set", set).await;
        assert!(done["notUpdated"].is_null(), "{done}");
        let got = world.call("Email/get", asked).await;
        assert_eq!(got["list"][0]["keywords"], json!({"$seen": true}));
        assert_eq!(unread().await, [1, 1]);
    }
}
