//! Check and repair of a whole store, in a folder of its own, while it is in use.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use engine::{Batch, Engine as _, Order, ShardId};
use envelope::{Address, Envelope, Recipient, ReversePath};
use mailstore::{InternalDate, NewEmail};
use queue::{NewMessage, Origin, Start};
use runtime::Runtime;
use serde_json::{Value, json};
use settings::Settings;

use crate::acts::Acts;
use crate::acts::testing::{self, run};
use crate::store::Store;
use admin::control::{Commands as _, Request};

struct World {
    acts: Acts,
    store: std::sync::Arc<Store>,
}

impl World {
    /// Two people with mail, an alias, a message that waits.
    async fn new(folder: &Path) -> Self {
        let mut settings = Settings::parse("").unwrap();
        settings.general.data_dir = folder.to_owned();
        settings.store.segment_bytes = settings::Size(4 << 20);
        let store = std::sync::Arc::new(Store::open(&settings, &Runtime::new()).await.unwrap());
        let world = Self {
            acts: Acts::new(store.clone()),
            store,
        };
        world
            .act("domain.add", json!({"domain": "here.test"}))
            .await;
        let people = ["alice@here.test", "bob@here.test"];
        let add = json!({"addresses": people, "password": null, "admin": false});
        world.act("account.add", add).await;
        let alias = json!({"address": "team@here.test", "targets": ["bob@here.test"]});
        world.act("alias.add", alias).await;
        for at in 0..3 {
            world
                .deliver("alice@here.test", &format!("alice {at}"))
                .await;
            world.deliver("bob@here.test", &format!("bob {at}")).await;
        }
        world.send("someone@far.test").await;
        world
    }

    async fn act(&self, command: &str, args: Value) -> Value {
        let request = Request {
            command: command.to_owned(),
            args,
        };
        self.acts.run(request).await.unwrap()
    }

    async fn fsck(&self, repair: bool) -> Value {
        self.act("fsck", json!({"account": null, "repair": repair}))
            .await
    }

    async fn deliver(&self, to: &str, text: &str) {
        let shown = self.act("account.show", json!({"name": to})).await;
        let id = envelope::AccountId(shown["id"].as_u64().unwrap());
        let account = self.store.mailstore.account(id).await.unwrap();
        let inbox = account.view().inbox().unwrap().id();
        let mut writer = self.store.blobs.writer(account.shard());
        let text = format!("Subject: {text}\r\n\r\n{text}\r\n");
        writer.push(text.as_bytes()).unwrap();
        let blob = writer.finish().unwrap();
        let mut indexer = mime::Indexer::new(mime::Limits::default());
        indexer.push(text.as_bytes());
        let email = NewEmail {
            blob: blob.id,
            blob_size: blob.size,
            prefix: Bytes::from_static(b"Delivered-To: x\r\n"),
            digest: indexer.finish().encode().into(),
            received_at: InternalDate::default(),
            flags: Vec::new(),
        };
        account.append(inbox, vec![blob], &[email]).await.unwrap();
    }

    async fn send(&self, to: &str) {
        let mut writer = self.store.blobs.writer(ShardId(0));
        writer.push(b"Subject: out\r\n\r\nout\r\n").unwrap();
        let mut blob = writer.finish().unwrap();
        let mut batch = Batch::new();
        self.store.blobs.stage(&mut batch, &mut blob).unwrap();
        let address = |text| Address::parse(text).unwrap();
        let mut envelope = Envelope::new(ReversePath::Address(address("bob@here.test")));
        envelope.recipients.push(Recipient::new(address(to)));
        let new = NewMessage {
            blob: blob.id,
            blob_size: blob.size,
            body: None,
            prefix: Bytes::new(),
            envelope,
            origin: Origin::default(),
            start: Start::Now,
        };
        self.store.queue.stage(&mut batch, ShardId(0), new);
        self.store.engine.submit(batch).unwrap().done().await;
    }

    fn pairs(&self) -> BTreeMap<Vec<u8>, Bytes> {
        let snapshot = self.store.engine.snapshot(ShardId(0));
        let found = snapshot.scan(b"", &[0xff; 4], Order::Ascending, 100_000);
        let found = found.unwrap().into_iter();
        found.map(|(key, stored)| (key, stored.value)).collect()
    }

    async fn write(&self, key: Vec<u8>, value: Option<&[u8]>) {
        let mut batch = Batch::new();
        match value {
            Some(value) => batch.put(key, Bytes::copy_from_slice(value)),
            None => batch.delete(key),
        }
        self.store.engine.submit(batch).unwrap().done().await;
    }

    /// What bob has is there and can be read.
    async fn bob_is_served(&self, what: &str) {
        let shown = self
            .act("account.show", json!({"name": "bob@here.test"}))
            .await;
        assert_eq!(shown["messages"], 3, "{what}");
        let id = envelope::AccountId(shown["id"].as_u64().unwrap());
        let account = self.store.mailstore.account(id).await.unwrap();
        let view = account.view();
        for entry in view.inbox().unwrap().entries() {
            let record = account.email_record(entry.email).await.unwrap();
            let text = account.read_message(&record, 0..u64::MAX).await.unwrap();
            assert!(text.ends_with(b"\r\n"), "{what}");
        }
    }
}

/// The kind of a record: its space, and what tells kinds apart there.
fn kind(key: &[u8]) -> Vec<u8> {
    let at = match key[0] {
        b'A' => 9..10,
        b'Q' | b'I' => 3..4,
        b'B' => 35..36,
        b'D' => 1..2,
        _ => 0..0,
    };
    [&key[..1], &key[at]].concat()
}

/// True for what bob needs: its damage is not what is tried here.
fn is_bobs(key: &[u8], bob: u64) -> bool {
    let id = bob.to_be_bytes();
    match key[0] {
        b'A' => key[1..9] == id,
        b'D' => key.ends_with(&id) || key.windows(3).any(|part| part == b"bob"),
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_record_is_named_and_repaired_while_others_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(folder.path()).await;
    let sound = json!({"accounts": 2, "findings": [], "more": 0});
    assert_eq!(world.fsck(false).await, sound);
    let nothing = world.fsck(true).await;
    assert_eq!(
        (&nothing["repaired"], &nothing["aside"]),
        (&json!([]), &Value::Null)
    );
    let bob = world
        .act("account.show", json!({"name": "bob@here.test"}))
        .await;
    let bob = bob["id"].as_u64().unwrap();
    let alices = world.store.blobs.clone();
    // Bodies that only alice has, so that bob's are not among them.
    let is_alices_body = |key: &[u8]| {
        let id = blobs::BlobId(key[3..35].try_into().unwrap());
        let owners = alices.owners(ShardId(0), id, 10).unwrap();
        !owners.is_empty()
            && owners
                .iter()
                .all(|owner| !matches!(owner, blobs::Owner::Email(id, _) if id.0 == bob))
    };
    let mut kinds: Vec<Vec<u8>> = world.pairs().keys().map(|key| kind(key)).collect();
    kinds.dedup();
    kinds.sort();
    kinds.dedup();
    let expected: &[&[u8]] = &[
        b"Ae", b"Ah", b"Al", b"Bl", b"Br", b"Da", b"Dd", b"Dh", b"Dm", b"Dn", b"Qd", b"Qm", b"Qp",
    ];
    assert_eq!(kinds, expected);
    for of in kinds {
        let what = String::from_utf8_lossy(&of).into_owned();
        let key = world
            .pairs()
            .into_keys()
            .find(|key| {
                kind(key) == of && !is_bobs(key, bob) && (key[0] != b'B' || is_alices_body(key))
            })
            .unwrap();
        // A link says everything by being there.
        let damage: Option<&[u8]> = (of != b"Bl").then_some(b"\x7f\x01");
        world.write(key.clone(), damage).await;
        world.store.directory.refresh();
        let found = world.fsck(false).await;
        let named = found["findings"].as_array().unwrap();
        assert!(!named.is_empty(), "{what}");
        for finding in named {
            for field in ["checker", "severity", "repair", "what", "means", "next"] {
                assert!(finding[field].is_string(), "{what}: {finding}");
            }
        }
        world.bob_is_served(&what).await;
        let repaired = world.fsck(true).await;
        assert_eq!(
            repaired["findings"],
            json!([]),
            "{what}: {found} {repaired}"
        );
        assert_ne!(repaired["repaired"], json!([]), "{what}");
        assert_eq!(world.fsck(true).await["repaired"], json!([]), "{what}");
        world.bob_is_served(&what).await;
        world
            .deliver("alice@here.test", &format!("after {what}"))
            .await;
        world.send("someone@far.test").await;
    }
    let kept = crate::aside::folders(folder.path());
    assert!(!kept.is_empty());
    assert!(kept[0].join("README.txt").exists());
    world.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_index_of_texts_is_found_and_built_again() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(folder.path()).await;
    let shown = world
        .act("account.show", json!({"name": "alice@here.test"}))
        .await;
    let id = envelope::AccountId(shown["id"].as_u64().unwrap());
    let account = world.store.mailstore.account(id).await.unwrap();
    world.store.search.build(&account).await.unwrap();
    assert_eq!(world.fsck(false).await["findings"], json!([]));
    let prefix = mailstore::records::search_prefix(id);
    let of_index = |pairs: BTreeMap<Vec<u8>, Bytes>| {
        let mut pairs = pairs;
        pairs.retain(|key, _| key.starts_with(&prefix));
        pairs
    };
    let whole = of_index(world.pairs());
    // The head, and a block.
    assert!(whole.len() >= 2, "{}", whole.len());
    for (key, value) in &whole {
        for damage in [Some(&value[..value.len() - 1]), Some(&b"\x7f"[..])] {
            world.write(key.clone(), damage).await;
            let found = world.fsck(false).await;
            let findings = found["findings"].as_array().unwrap();
            assert!(!findings.is_empty());
            for finding in findings {
                assert_eq!(finding["checker"], "search-index-whole", "{finding}");
                assert_eq!(finding["account"], "alice@here.test");
            }
            let repaired = world.fsck(true).await;
            assert_eq!(repaired["findings"], json!([]), "{found} {repaired}");
            assert_eq!(repaired["repaired"].as_array().unwrap().len(), 1);
            assert_eq!(of_index(world.pairs()), whole);
        }
    }
    // On demand it is made anew, though nothing is wrong with it; bob's is let be.
    let written = world.store.search.segments_written();
    let one = json!({"account": "alice@here.test", "repair": true, "index": true});
    let anew = world.act("fsck", one).await;
    assert_eq!(anew["findings"], json!([]));
    assert_eq!(
        anew["repaired"][0]["checker"], "search-index-whole",
        "{anew}"
    );
    assert_eq!(anew["repaired"].as_array().unwrap().len(), 1);
    assert!(world.store.search.segments_written() > written);
    assert_eq!(of_index(world.pairs()), whole);
    let written = world.store.search.segments_written();
    assert_eq!(world.fsck(true).await["repaired"], json!([]));
    assert_eq!(world.store.search.segments_written(), written);
    world.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_nobody_are_told_and_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(folder.path()).await;
    let strange: [&[u8]; 6] = [
        b"Sstrange",
        b"Dzstrange",
        b"Q\0\0zstrange",
        b"B\0\0strange",
        b"I\0\0zstrange",
        b"A\0\0\0\0\0\0\0\x01zstrange",
    ];
    for key in strange {
        world.write(key.to_vec(), Some(b"who knows")).await;
    }
    let found = world.fsck(false).await;
    let findings = found["findings"].as_array().unwrap();
    assert_eq!(findings.len(), strange.len(), "{found}");
    for finding in findings {
        assert_eq!(finding["checker"], "key-known");
        assert_eq!(finding["severity"], "leftover");
    }
    let repaired = world.fsck(true).await;
    assert_eq!(repaired["findings"], json!([]), "{repaired}");
    let folders = crate::aside::folders(folder.path());
    let values = std::fs::read_dir(&folders[0]).unwrap().flatten();
    let values = values.filter(|entry| entry.path().extension().is_some_and(|e| e == "value"));
    assert_eq!(values.count(), strange.len());
    assert_eq!(repaired["aside"], folders[0].display().to_string());
    world.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_of_an_account_that_the_directory_lost_gets_an_address() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(folder.path()).await;
    let alice = world
        .act("account.show", json!({"name": "alice@here.test"}))
        .await;
    let id = alice["id"].as_u64().unwrap();
    let lost: Vec<Vec<u8>> = world
        .pairs()
        .into_keys()
        .filter(|key| {
            key[0] == b'D'
                && (key.ends_with(&id.to_be_bytes()) || key.windows(5).any(|w| w == b"alice"))
        })
        .collect();
    for key in lost {
        world.write(key, None).await;
    }
    world.store.directory.refresh();
    let found = world.fsck(false).await;
    assert_eq!(
        found["findings"][0]["checker"], "directory-agrees",
        "{found}"
    );
    let repaired = world.fsck(true).await;
    assert_eq!(repaired["findings"], json!([]), "{repaired}");
    let name = format!("recovered-{id}@here.test");
    let shown = world.act("account.show", json!({"name": name})).await;
    assert_eq!(
        (&shown["messages"], &shown["disabled"]),
        (&json!(3), &json!(true))
    );
    world.bob_is_served("afterwards").await;
    world.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_door_remembers_of_an_account_goes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let acts = testing::acts(folder.path(), &Runtime::new()).await;
    run(&acts, "domain.add", json!({"domain": "example.org"}))
        .await
        .unwrap();
    testing::account(&acts, "ann@example.org").await;
    testing::account(&acts, "ben@example.org").await;
    let ids = ["ann@example.org", "ben@example.org"].map(|name| name.to_owned());
    let mut keys = Vec::new();
    for name in &ids {
        let id = testing::mail(&acts, name).await.id();
        let mut key = policy::KNOWN_PREFIX.to_vec();
        key.extend_from_slice(&id.0.to_be_bytes());
        key.extend_from_slice(b"friend@far.test");
        keys.push(key);
    }
    let known = |key: &[u8]| {
        let snapshot = acts.store.engine.snapshot(ShardId(0));
        snapshot.get(key).unwrap().is_some()
    };
    let write = async |key: &[u8]| {
        let mut batch = Batch::new();
        batch.put(key.to_vec(), vec![1]);
        acts.store.engine.submit(batch).unwrap().done().await;
    };
    for key in &keys {
        write(key).await;
    }
    run(&acts, "account.remove", json!({"name": ids[0]}))
        .await
        .unwrap();
    assert!(!known(&keys[0]) && known(&keys[1]));
    // One from before is found, and goes with a repair.
    write(&keys[0]).await;
    let found = run(&acts, "fsck", json!({"account": null})).await.unwrap();
    let findings = found["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{found}");
    assert!(
        findings[0]["what"].as_str().unwrap().contains("is gone"),
        "{found}"
    );
    run(&acts, "fsck", json!({"account": null, "repair": true}))
        .await
        .unwrap();
    assert!(!known(&keys[0]) && known(&keys[1]));
    acts.store.close().await;
}
