//! Whatever others do between the commits of a call: its states hide nothing.

use super::*;
use std::collections::BTreeSet;

/// When others come.
#[derive(Clone, Copy, PartialEq)]
enum From {
    Begin,
    FirstCommit,
}

/// Puts messages into bob's inbox, one behind the other, until a call is answered.
async fn while_others_deliver<T>(world: &World, from: From, call: impl Future<Output = T>) -> T {
    let bob = world.bob().await;
    let mut call = std::pin::pin!(call);
    let mut changes = bob.subscribe();
    changes.borrow_and_update();
    if from == From::FirstCommit {
        tokio::select! {
            biased;
            _ = changes.changed() => {}
            done = &mut call => return done,
        }
    }
    loop {
        let mut other =
            std::pin::pin!(world.append_to(&bob, "INBOX", &[], "Subject: other\n\nb\n"));
        tokio::select! {
            _ = &mut other => {}
            done = &mut call => {
                other.await;
                return done;
            }
        }
    }
}

async fn imports(world: &World, count: usize) -> Value {
    let inbox = world.inbox().await;
    let blob = world.upload("Subject: own\n\nb\n").await;
    let one = json!({"blobId": blob, "mailboxIds": { &inbox: true }});
    let emails: Map<String, Value> = (0..count).map(|n| (format!("k{n}"), one.clone())).collect();
    emails.into()
}

async fn ids_now(world: &World) -> BTreeSet<String> {
    let found = world.call("Email/query", json!({})).await;
    texts(&found["ids"])
        .into_iter()
        .map(str::to_owned)
        .collect()
}

fn created(answer: &Value) -> BTreeSet<String> {
    let created = answer["created"].as_object().into_iter().flatten();
    let ids = created.map(|(_, one)| one["id"].as_str().expect("an id").to_owned());
    ids.collect()
}

fn number(state: &Value) -> u64 {
    let state = state.as_str().expect("a state");
    state.parse().expect("a number")
}

#[tokio::test]
async fn the_new_state_of_a_call_hides_nothing_of_others() {
    let world = World::new().await;
    let mut between = 0;
    for method in ["Email/import", "Email/set"].into_iter().cycle().take(8) {
        let mut known = ids_now(&world).await;
        let state = world.call("Email/get", json!({"ids": []})).await["state"].clone();
        let arguments = match method {
            "Email/import" => json!({"emails": imports(&world, 8).await}),
            _ => {
                let inbox = world.inbox().await;
                let one = json!({"mailboxIds": { &inbox: true }, "subject": "own"});
                let create = (0..8).map(|n| (format!("k{n}"), one.clone()));
                json!({"create": create.collect::<Map<_, _>>()})
            }
        };
        let call = world.call(method, arguments);
        let answer = while_others_deliver(&world, From::FirstCommit, call).await;
        // So the client takes what it is told to be all that was done up to the new state.
        assert_eq!(answer["oldState"], state);
        assert_eq!(created(&answer).len(), 8);
        known.extend(created(&answer));
        let asked = json!({"sinceState": answer["newState"]});
        let changes = world.call("Email/changes", asked).await;
        let told = texts(&changes["created"]);
        // Some of its own are told again where others came between.
        between += usize::from(told.iter().any(|id| created(&answer).contains(*id)));
        known.extend(told.into_iter().map(str::to_owned));
        assert_eq!(known, ids_now(&world).await, "{method}");
    }
    assert!(between > 0, "nobody ever came between");
}

#[tokio::test]
async fn what_is_asked_for_in_one_state_is_done_in_no_other() {
    let world = World::new().await;
    let (mut refused, mut whole, mut part) = (0, 0, 0);
    for round in 0..12 {
        let emails = imports(&world, 6).await;
        let state = world.call("Email/get", json!({"ids": []})).await["state"].clone();
        let asked = json!({"ifInState": state, "emails": emails});
        let call = world.try_call("Email/import", asked);
        let (name, answer) = match round % 3 {
            0 => call.await,
            1 => while_others_deliver(&world, From::Begin, call).await,
            _ => while_others_deliver(&world, From::FirstCommit, call).await,
        };
        if name == "error" {
            assert_eq!(answer["type"], "stateMismatch");
            refused += 1;
            continue;
        }
        assert_eq!(answer["oldState"], state);
        let done = created(&answer).len();
        // One commit for each, and nothing of others among them.
        assert_eq!(number(&answer["newState"]), number(&state) + done as u64);
        let left = answer["notCreated"].as_object();
        for (_, error) in left.into_iter().flatten() {
            assert_eq!(error["type"], "stateMismatch");
        }
        match done {
            6 => whole += 1,
            _ => part += 1,
        }
        assert_eq!(done + left.map_or(0, Map::len), 6);
    }
    assert!(whole >= 4 && refused + part > 0, "{whole} {refused} {part}");
}

#[tokio::test]
async fn a_large_mailbox_that_goes_is_asked_for_in_one_state() {
    let world = World::new().await;
    let bob = world.bob().await;
    let name = MailboxName::parse("Large").expect("a name");
    bob.create_mailbox(&name, None).await.expect("made");
    let large = mailbox_of(&bob, "Large");
    world
        .append_to(&bob, "Large", &[], "Subject: a\n\nb\n")
        .await;
    let all = mailbox_model::UidSet::all();
    // So many that they do not go with their mailbox in one commit.
    while bob.view().mailbox(large).expect("there").entries().len() < 3000 {
        bob.copy(large, large, &all).await.expect("copied");
    }
    let id = mailstore::object_id::of_mailbox(large, None);
    let state = world.call("Mailbox/get", json!({"ids": []})).await["state"].clone();
    let asked = json!({"destroy": [id], "onDestroyRemoveEmails": true, "ifInState": state});
    let call = world.try_call("Mailbox/set", asked);
    let (name, answer) = while_others_deliver(&world, From::FirstCommit, call).await;
    if name == "Mailbox/set" {
        // What was done is told as far as it went.
        let begun = number(&answer["newState"]) > number(&answer["oldState"]);
        assert!(begun && answer["oldState"] == state, "{answer}");
    } else {
        assert_eq!(answer["type"], "stateMismatch");
        assert!(
            bob.view()
                .mailbox(large)
                .is_some_and(|mailbox| !mailbox.entries().is_empty())
        );
    }
    let state = world.call("Mailbox/get", json!({"ids": []})).await["state"].clone();
    let asked = json!({"destroy": [id], "onDestroyRemoveEmails": true, "ifInState": state});
    let answer = world.try_call("Mailbox/set", asked).await.1;
    if answer["notDestroyed"].is_null() {
        assert_eq!(answer["destroyed"], json!([id]), "{answer}");
    }
    assert!(bob.view().mailbox(large).is_none());
}

#[tokio::test]
async fn what_is_done_is_told_however_large_the_answers_were() {
    let world = World::new().await;
    let text = "x".repeat(1_900_000);
    let large = world
        .append(&[], &format!("Subject: large\n\n{text}\n"))
        .await;
    let small = world.append(&[], "Subject: small\n\nb\n").await;
    let own = world.account_id("bob").await;
    let get = json!(["Email/get", {
        "accountId": own, "ids": [large], "properties": ["bodyValues"], "fetchTextBodyValues": true,
    }, "g"]);
    let mut calls = vec![get; 38];
    calls.push(json!(["Email/set", {"accountId": own, "destroy": [small]}, "s"]));
    let answers = world.calls("bob", calls.into()).await;
    assert!(
        answers
            .iter()
            .any(|(name, error)| name == "error" && error["type"] == "requestTooLarge")
    );
    let (name, last) = answers.last().expect("one");
    let got = world
        .call("Email/get", json!({"ids": [small], "properties": ["id"]}))
        .await;
    let is_there =
        !texts(&json!([got["list"][0]["id"]])).is_empty() && got["notFound"] == json!([]);
    assert_eq!(name == "error", is_there, "{last}");
}

#[tokio::test]
async fn who_asks_after_too_much_begins_again() {
    let world = World::new().await;
    let email = world.append(&[], "Subject: a\n\nb\n").await;
    let bob = world.bob().await;
    let inbox = mailbox_of(&bob, "INBOX");
    let state = world.call("Email/get", json!({"ids": []})).await["state"].clone();
    let mut left = crate::limits::LOG_ENTRIES_MAX + 1;
    let mut set = false;
    while left > 0 {
        let mut lane = bob.lane().await.expect("taken");
        let mut batch = engine::Batch::new();
        for _ in 0..left.min(2000) {
            set = !set;
            let request = mailbox_model::stage::FlagsRequest {
                mailbox: inbox,
                uids: &mailbox_model::UidSet::all(),
                action: match set {
                    true => mailbox_model::stage::FlagAction::Add,
                    false => mailbox_model::stage::FlagAction::Remove,
                },
                flags: &[Flag::Flagged],
                unchanged_since: None,
                untouched: Default::default(),
            };
            lane.stage_flags(&mut batch, &request).expect("staged");
        }
        lane.submit(batch).expect("submitted").done().await;
        left -= left.min(2000);
    }
    for name in ["Email/changes", "Mailbox/changes", "Thread/changes"] {
        let error = world.error(name, json!({"sinceState": state})).await;
        assert_eq!(error, "cannotCalculateChanges", "{name}");
    }
    let one_later = (number(&state) + 1).to_string();
    let changes = world
        .call("Email/changes", json!({"sinceState": one_later}))
        .await;
    assert_eq!(
        (&changes["updated"], &changes["hasMoreChanges"]),
        (&json!([email]), &json!(false))
    );
}

/// What lies below a large mailbox goes by the same call.
#[tokio::test]
async fn a_tree_with_a_large_mailbox_goes_in_one_call() {
    let world = World::new().await;
    let bob = world.bob().await;
    for name in ["Large", "Large/Below", "Large/Below/Deep"] {
        let name = MailboxName::parse(name).expect("a name");
        bob.create_mailbox(&name, None).await.expect("made");
    }
    let id = |name: &str| mailstore::object_id::of_mailbox(mailbox_of(&bob, name), None);
    let large = mailbox_of(&bob, "Large");
    world
        .append_to(&bob, "Large", &[], "Subject: a\n\nb\n")
        .await;
    let all = mailbox_model::UidSet::all();
    let many = mailstore::limits::EXPUNGE_PER_CHANGE;
    let count = || bob.view().mailbox(large).expect("there").entries().len();
    while count() <= many {
        bob.copy(large, large, &all).await.expect("copied");
    }
    let ids = ["Large", "Large/Below", "Large/Below/Deep"].map(id);
    // Nothing of it is emptied where something below stays.
    let asked = json!({"destroy": [ids[0], ids[2]], "onDestroyRemoveEmails": true});
    world.try_call("Mailbox/set", asked).await;
    assert!(count() > many);
    let asked = json!({"destroy": [ids[0], ids[1]], "onDestroyRemoveEmails": true});
    let answer = world.call("Mailbox/set", asked).await;
    assert_eq!(answer["notDestroyed"], Value::Null, "{answer}");
    assert_eq!(texts(&answer["destroyed"]).len(), 2);
    assert!(bob.view().mailbox(large).is_none());
}
