//! A client that follows changes knows what is there, whatever happened.

use super::*;
use mailbox_model::UidSet;
use mailbox_model::stage::{Expunging, FlagAction};
use std::collections::{BTreeMap, BTreeSet};

/// What a client keeps.
#[derive(Default)]
struct Client {
    state: String,
    emails: BTreeMap<String, Value>,
    list: Vec<String>,
    mailboxes: BTreeMap<String, Value>,
    threads: BTreeMap<String, Value>,
}

const SHOWN: [&str; 3] = ["keywords", "mailboxIds", "threadId"];

impl Client {
    async fn all(world: &World) -> BTreeMap<String, Value> {
        let got = world
            .call("Email/get", json!({"ids": null, "properties": SHOWN}))
            .await;
        let list = got["list"].as_array().expect("a list").clone();
        list.into_iter()
            .map(|one| (one["id"].as_str().expect("an id").to_owned(), one))
            .collect()
    }

    async fn mailboxes(world: &World) -> BTreeMap<String, Value> {
        let got = world.call("Mailbox/get", json!({"ids": null})).await;
        let list = got["list"].as_array().expect("a list").clone();
        list.into_iter()
            .map(|one| (one["id"].as_str().expect("an id").to_owned(), one))
            .collect()
    }

    /// The threads of emails, as they are now.
    async fn threads(world: &World, emails: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
        let ids: BTreeSet<&str> = emails
            .values()
            .filter_map(|one| one["threadId"].as_str())
            .collect();
        Self::threads_of(world, ids.into_iter().collect()).await
    }

    async fn threads_of(world: &World, ids: Vec<&str>) -> BTreeMap<String, Value> {
        let got = world.call("Thread/get", json!({ "ids": ids })).await;
        let list = got["list"].as_array().expect("a list").clone();
        list.into_iter()
            .map(|one| (one["id"].as_str().expect("an id").to_owned(), one))
            .collect()
    }

    /// Follows threads from the state of the emails.
    async fn follow_threads(&mut self, world: &World, max: usize) {
        let mut state: Value = self.state.clone().into();
        let mut in_the_middle = false;
        loop {
            let asked = json!({"sinceState": state, "maxChanges": max});
            let (name, changes) = world.try_call("Thread/changes", asked).await;
            if name == "error" {
                assert_eq!(changes["type"], "cannotCalculateChanges");
                return;
            }
            for id in texts(&changes["destroyed"]) {
                assert!(self.threads.remove(id).is_some() || in_the_middle, "{id}");
            }
            for id in texts(&changes["updated"]) {
                assert!(self.threads.contains_key(id), "{id} is new: {changes}");
            }
            let mut ids = texts(&changes["created"]);
            ids.extend(texts(&changes["updated"]));
            self.threads.extend(Self::threads_of(world, ids).await);
            state = changes["newState"].clone();
            in_the_middle = true;
            if changes["hasMoreChanges"] == false {
                let now = Self::all(world).await;
                assert_eq!(self.threads, Self::threads(world, &now).await);
                return;
            }
        }
    }

    fn query() -> Value {
        json!({"filter": {"notKeyword": "$flagged"}, "sort": [{"property": "hasKeyword", "keyword": "$seen"}, {"property": "receivedAt", "isAscending": false}]})
    }

    async fn begin(world: &World) -> Self {
        let found = world.call("Email/query", Self::query()).await;
        let emails = Self::all(world).await;
        Self {
            threads: Self::threads(world, &emails).await,
            state: found["queryState"].as_str().expect("a state").to_owned(),
            emails,
            list: texts(&found["ids"])
                .into_iter()
                .map(str::to_owned)
                .collect(),
            mailboxes: Self::mailboxes(world).await,
        }
    }

    /// Follows in steps of `max` at most; false if the server cannot tell.
    async fn follow(&mut self, world: &World, max: usize) -> bool {
        self.follow_list(world).await;
        self.follow_mailboxes(world).await;
        self.follow_threads(world, max).await;
        let mut in_the_middle = false;
        loop {
            let asked = json!({"sinceState": self.state, "maxChanges": max});
            let (name, changes) = world.try_call("Email/changes", asked).await;
            if name == "error" {
                assert_eq!(changes["type"], "cannotCalculateChanges");
                return false;
            }
            let count = ["created", "updated", "destroyed"].map(|list| texts(&changes[list]).len());
            assert!(count.iter().sum::<usize>() <= max);
            for id in texts(&changes["destroyed"]) {
                // In the middle of changes it may have come and gone.
                let known = self.emails.remove(id).is_some();
                assert!(known || in_the_middle, "{id} was not known");
            }
            for id in texts(&changes["updated"]) {
                assert!(self.emails.contains_key(id), "{id} is new: {changes}");
            }
            let mut ids = texts(&changes["created"]);
            ids.extend(texts(&changes["updated"]));
            let got = world
                .call("Email/get", json!({"ids": ids, "properties": SHOWN}))
                .await;
            for one in got["list"].as_array().expect("a list") {
                self.emails
                    .insert(one["id"].as_str().expect("an id").to_owned(), one.clone());
            }
            // In the middle of changes some may be gone by now: told later.
            for id in texts(&got["notFound"]) {
                self.emails.entry(id.to_owned()).or_insert(Value::Null);
            }
            self.state = changes["newState"].as_str().expect("a state").to_owned();
            in_the_middle = true;
            if changes["hasMoreChanges"] == false {
                return true;
            }
        }
    }

    async fn follow_list(&mut self, world: &World) {
        let mut asked = Self::query();
        asked["sinceQueryState"] = self.state.clone().into();
        let changes = world.call("Email/queryChanges", asked).await;
        let removed = texts(&changes["removed"]);
        self.list.retain(|id| !removed.contains(&id.as_str()));
        for added in changes["added"].as_array().expect("a list") {
            let index = added["index"].as_u64().expect("a place") as usize;
            self.list
                .insert(index, added["id"].as_str().expect("an id").to_owned());
        }
        let found = world.call("Email/query", Self::query()).await;
        assert_eq!(json!(self.list), found["ids"]);
    }

    async fn follow_mailboxes(&mut self, world: &World) {
        let changes = world
            .call("Mailbox/changes", json!({"sinceState": self.state}))
            .await;
        for id in texts(&changes["destroyed"]) {
            assert!(self.mailboxes.remove(id).is_some(), "{id}");
        }
        let now = Self::mailboxes(world).await;
        let mut ids = texts(&changes["created"]);
        ids.extend(texts(&changes["updated"]));
        for id in ids {
            self.mailboxes.insert(id.to_owned(), now[id].clone());
        }
        assert_eq!(self.mailboxes, now, "{changes}");
    }
}

/// A message that may answer one of those before it.
fn of_thread(random: &mut fastrand::Rng, n: usize) -> String {
    let to = random.usize(..=n);
    format!("Message-ID: <{n}@x>\nIn-Reply-To: <{to}@x>\nSubject: thread\n\nb\n")
}

fn is_made(name: &MailboxName) -> bool {
    name.as_str().starts_with("made")
}

/// A new name, below another where that is no deep one.
fn made(above: &MailboxName, n: usize) -> MailboxName {
    let name = match is_made(above) && above.ancestors().count() < 3 {
        true => format!("{above}/made{n}"),
        false => format!("made{n}"),
    };
    MailboxName::parse(&name).expect("a name")
}

async fn step(world: &World, random: &mut fastrand::Rng, n: usize) {
    let bob = world.bob().await;
    let view = bob.view();
    let mailboxes: Vec<MailboxId> = view.mailboxes().map(|mailbox| mailbox.id()).collect();
    let pick = |random: &mut fastrand::Rng| mailboxes[random.usize(..mailboxes.len())];
    let (from, to) = (pick(random), pick(random));
    let uids: UidSet = view
        .mailbox(from)
        .expect("there")
        .entries()
        .iter()
        .filter(|_| random.u8(..3) == 0)
        .map(|entry| entry.uid)
        .collect();
    let flags = [
        Flag::Seen,
        Flag::Deleted,
        Flag::Flagged,
        Flag::Keyword("work".into()),
    ];
    let flag = &flags[random.usize(..flags.len())];
    match random.u8(..14) {
        0..=3 => {
            let name = view.mailbox(from).expect("there").name().to_string();
            let seen: &[&str] = if random.bool() { &["\\Seen"] } else { &[] };
            world
                .append_to(&bob, &name, seen, &of_thread(random, n))
                .await;
        }
        4 | 5 => {
            let action = if random.bool() {
                FlagAction::Add
            } else {
                FlagAction::Remove
            };
            let stored = bob
                .store_flags(from, &uids, action, std::slice::from_ref(flag), None)
                .await;
            stored.expect("stored");
        }
        6 => drop(bob.copy(from, to, &uids).await.expect("copied")),
        7 | 8 => drop(bob.move_(from, to, &uids).await.expect("moved")),
        9 => drop(
            bob.expunge(from, Expunging::Deleted)
                .await
                .expect("expunged"),
        ),
        10 => {
            let above = view.mailbox(from).expect("there").name();
            let name = made(above, n);
            bob.create_mailbox(&name, None).await.expect("made");
        }
        11 => {
            let from = view.mailbox(from).expect("there").name();
            let to = made(view.mailbox(to).expect("there").name(), n);
            if is_made(from) && !to.is_below(from) {
                bob.rename_mailbox(from, &to).await.expect("renamed");
            }
        }
        12 => {
            // A level that is none becomes a mailbox.
            let mut levels = view.mailboxes().flat_map(|one| one.name().ancestors());
            if let Some(level) = levels.find(|level| view.mailbox_named(level).is_none()) {
                bob.create_mailbox(&level, None).await.expect("made");
            }
        }
        _ => {
            let name = view.mailbox(from).expect("there").name().clone();
            if is_made(&name) {
                bob.delete_mailbox(&name).await.expect("deleted");
            } else {
                bob.expunge(from, Expunging::Exactly(&uids))
                    .await
                    .expect("expunged");
            }
        }
    }
}

#[tokio::test]
async fn who_follows_changes_knows_what_is_there() {
    for seed in 0..12 {
        let world = World::new().await;
        let mut random = fastrand::Rng::with_seed(seed);
        let mut client = Client::begin(&world).await;
        let mut told = 0;
        for round in 0..25 {
            for n in 0..random.usize(1..6) {
                step(&world, &mut random, round * 10 + n).await;
            }
            // Small parts end in the middle of what happened to an email.
            let max = match seed % 2 {
                0 => random.usize(20..60),
                _ => random.usize(4..16),
            };
            match client.follow(&world, max).await {
                true => {
                    told += 1;
                    assert_eq!(
                        client.emails,
                        Client::all(&world).await,
                        "seed {seed}, round {round}"
                    );
                }
                false => client = Client::begin(&world).await,
            }
        }
        assert!(
            told > if seed % 2 == 0 { 20 } else { 5 },
            "seed {seed}: {told}"
        );
    }
}

#[tokio::test]
async fn states_that_never_were_are_told_apart() {
    let world = World::new().await;
    for state in ["999999", "x", "", "-1", "007"] {
        for name in ["Email/changes", "Mailbox/changes", "Thread/changes"] {
            let error = world.error(name, json!({"sinceState": state})).await;
            assert_eq!(error, "cannotCalculateChanges", "{name} {state}");
        }
    }
    assert_eq!(
        world
            .error("Email/changes", json!({"sinceState": "1", "maxChanges": 0}))
            .await,
        "invalidArguments"
    );
    assert_eq!(
        world.error("Email/changes", json!({})).await,
        "invalidArguments"
    );
}

#[tokio::test]
async fn changes_that_do_not_fit_come_in_steps() {
    let world = World::new().await;
    let state = world.call("Email/get", json!({"ids": []})).await["state"].clone();
    for n in 0..5 {
        world.append(&[], &format!("Subject: {n}\n\nb\n")).await;
    }
    let first = world
        .call(
            "Email/changes",
            json!({"sinceState": state, "maxChanges": 2}),
        )
        .await;
    assert_eq!(
        (texts(&first["created"]).len(), &first["hasMoreChanges"]),
        (2, &json!(true))
    );
    let rest = world
        .call(
            "Email/changes",
            json!({"sinceState": first["newState"], "maxChanges": 10}),
        )
        .await;
    assert_eq!(
        (texts(&rest["created"]).len(), &rest["hasMoreChanges"]),
        (3, &json!(false))
    );
    let counts = world
        .call("Mailbox/changes", json!({"sinceState": state}))
        .await;
    assert_eq!(counts["updated"], json!([world.inbox().await]));
    assert_eq!(
        counts["updatedProperties"].as_array().map(Vec::len),
        Some(4)
    );
}

/// RFC 8621 §2.2: a mailbox stands elsewhere when the level above it goes or comes.
#[tokio::test]
async fn what_lies_below_a_level_that_goes_or_comes_has_changed() {
    let world = World::new().await;
    let bob = world.bob().await;
    let name = |name: &str| MailboxName::parse(name).expect("a name");
    for made in ["A", "A/B"] {
        bob.create_mailbox(&name(made), None).await.expect("made");
    }
    let below = mailstore::object_id::of_mailbox(mailbox_of(&bob, "A/B"), None);
    let state = async || world.call("Mailbox/get", json!({"ids": []})).await["state"].clone();
    let check = async |state: Value, place: (bool, &str)| {
        let asked = json!({"sinceState": state});
        let changes = world.call("Mailbox/changes", asked).await;
        assert!(
            texts(&changes["updated"]).contains(&below.as_str()),
            "{changes}"
        );
        assert_eq!(changes["updatedProperties"], Value::Null);
        let got = world.call("Mailbox/get", json!({"ids": [below]})).await;
        let got = &got["list"][0];
        assert_eq!(
            (got["parentId"].is_string(), &got["name"]),
            (place.0, &json!(place.1))
        );
    };
    let before = state().await;
    bob.delete_mailbox(&name("A")).await.expect("deleted");
    check(before, (false, "A/B")).await;
    let before = state().await;
    bob.create_mailbox(&name("A"), None).await.expect("made");
    check(before, (true, "B")).await;
}
