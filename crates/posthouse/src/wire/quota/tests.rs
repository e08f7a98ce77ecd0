//! Quotas of a whole store, by its acts, and who is told.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use mailstore::{Account, StoreError};
use observe::Metrics;
use queue::Filter;
use serde_json::{Value, json};
use settings::Settings;

use super::*;
use crate::acts::Acts;
use crate::acts::testing::run;

struct World {
    store: Arc<Store>,
    acts: Acts,
    notices: Notices,
}

impl World {
    async fn open(folder: &Path) -> Self {
        let mut settings = Settings::parse("").unwrap();
        settings.general.data_dir = folder.to_owned();
        settings.store.segment_bytes = settings::Size(4 << 20);
        let runtime = Runtime::new();
        let store = Arc::new(Store::open(&settings, &runtime).await.unwrap());
        let hostname = "mx.here.test".to_owned();
        let metrics = Arc::new(Metrics::new());
        let intake = super::super::open_intake(&settings, &hostname, &runtime, &store, &metrics);
        Self {
            acts: Acts::new(store.clone()),
            notices: Notices {
                store: store.clone(),
                intake: intake.await.unwrap(),
                hostname,
            },
            store,
        }
    }

    async fn close(self) {
        self.notices.intake.close().await;
        self.store.close().await;
    }

    async fn act(&self, command: &str, args: Value) -> Value {
        run(&self.acts, command, args).await.unwrap()
    }

    async fn people(&self, addresses: &[&str]) -> Vec<AccountId> {
        let args = json!({"addresses": addresses, "password": null, "admin": false});
        let added = self.act("account.add", args).await;
        let ids = added.as_array().unwrap().iter();
        ids.map(|one| AccountId(one["id"].as_u64().unwrap()))
            .collect()
    }

    async fn account(&self, id: AccountId) -> Arc<Account> {
        self.store.mailstore.account(id).await.unwrap()
    }

    async fn append(&self, id: AccountId) -> Result<(), StoreError> {
        let account = self.account(id).await;
        let mut writer = self.store.blobs.writer(account.shard());
        writer.push(b"Subject: x\r\n\r\nx\r\n").unwrap();
        let blob = writer.finish().unwrap();
        let email = NewEmail {
            blob: blob.id,
            blob_size: blob.size,
            prefix: Bytes::new(),
            digest: Bytes::new(),
            received_at: InternalDate::default(),
            flags: Vec::new(),
        };
        let inbox = account.view().inbox().unwrap().id();
        account.append(inbox, vec![blob], &[email]).await.map(drop)
    }

    /// The messages that wait for people here.
    async fn queued(&self) -> Vec<String> {
        let mut texts = Vec::new();
        let page = self.store.queue.list(&Filter::default(), None, 100).await;
        for listed in page.unwrap().messages {
            let message = &listed.message;
            let text = self.store.queue.read(listed.shard, message, 0..u64::MAX);
            texts.push(String::from_utf8_lossy(&text.await.unwrap()).into_owned());
        }
        texts
    }
}

fn quota_of(domain: &str, messages: u64) -> Value {
    json!({"domain": domain, "bytes": null, "messages": messages})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_fills_up_finds_a_notice_in_its_inbox() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::open(folder.path()).await;
    world
        .act("domain.add", json!({"domain": "here.test"}))
        .await;
    let id = world.people(&["a@here.test"]).await[0];
    let quota = json!({"address": "a@here.test", "bytes": null, "messages": 5});
    let set = world.act("account.quota", quota).await;
    assert_eq!(
        (&set["quota_messages"], &set["messages"]),
        (&json!(5), &json!(0))
    );
    for _ in 0..4 {
        world.append(id).await.unwrap();
    }
    let crossing = world.store.mailstore.next_quota_crossing().await;
    assert_eq!(crossing, QuotaCrossing::Account(id));
    assert!(world.notices.tell_owner(id).await.unwrap());
    let again = world.notices.tell_owner(id).await.unwrap();
    assert!(again, "five of five: the next mark");
    let again = world.notices.tell_owner(id).await.unwrap();
    assert!(!again, "each once");
    let account = world.account(id).await;
    let view = account.view();
    let last = view.inbox().unwrap().entries().last().unwrap().email;
    let record = account.email_record(last).await.unwrap();
    let text = account.read_message(&record, 0..u64::MAX).await.unwrap();
    let text = String::from_utf8_lossy(&text).into_owned();
    let subject = "Subject: Your mailbox is nearly full";
    assert!(text.contains(subject), "{text}");
    assert!(mime::Digest::decode(&record.digest).is_ok());
    let none = json!({"address": "a@here.test", "bytes": null, "messages": null, "none": true});
    let set = world.act("account.quota", none).await;
    assert_eq!(
        (&set["quota_messages"], &set["messages"]),
        (&Value::Null, &json!(6))
    );
    drop((account, view));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_fills_up_tells_its_postmaster_once() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::open(folder.path()).await;
    world
        .act("domain.add", json!({"domain": "here.test"}))
        .await;
    let people = world.people(&["a@here.test", "b@here.test"]).await;
    world.act("domain.quota", quota_of("here.test", 10)).await;
    for at in 0..8 {
        world.append(people[at % 2]).await.unwrap();
    }
    let crossing = world.store.mailstore.next_quota_crossing().await;
    assert_eq!(crossing, QuotaCrossing::Group("here.test".into()));
    assert_eq!(world.queued().await, [""; 0]);
    assert!(world.notices.tell_postmaster("here.test").await.unwrap());
    assert!(
        !world.notices.tell_postmaster("here.test").await.unwrap(),
        "once"
    );
    let told = world.queued().await;
    assert_eq!(told.len(), 1);
    assert!(
        told[0].contains("\r\nTo: <postmaster@here.test>\r\n"),
        "{}",
        told[0]
    );
    let subject = "Subject: The mailboxes of your domain are filling up";
    assert!(told[0].contains(subject), "{}", told[0]);
    // Killed now: the notice and that it was told are one commit.
    world.close().await;
    let world = World::open(folder.path()).await;
    assert!(!world.notices.tell_postmaster("here.test").await.unwrap());
    for _ in 0..2 {
        world.append(people[0]).await.unwrap();
    }
    assert!(world.notices.tell_postmaster("here.test").await.unwrap());
    assert_eq!(world.queued().await.len(), 2, "the next mark");
    let checked = world.act("fsck", json!({"account": null})).await;
    assert_eq!(checked["findings"], json!([]));
    // Nothing of it outlives the domain.
    let remove = json!({"domain": "here.test", "force": true});
    world.act("domain.remove", remove).await;
    let checked = world.act("fsck", json!({"account": null})).await;
    assert_eq!(checked["findings"], json!([]));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_of_a_domain_holds_for_all_its_accounts_old_and_new() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::open(folder.path()).await;
    world
        .act("domain.add", json!({"domain": "here.test"}))
        .await;
    world
        .act("domain.add", json!({"domain": "there.test"}))
        .await;
    let people = world
        .people(&["a@here.test", "b@here.test", "x@there.test"])
        .await;
    for _ in 0..2 {
        world.append(people[0]).await.unwrap();
    }
    let set = world.act("domain.quota", quota_of("here.test", 3)).await;
    assert_eq!(
        (&set["quota_messages"], &set["messages"]),
        (&json!(3), &json!(2))
    );
    world.append(people[1]).await.unwrap();
    let full = world.append(people[1]).await.unwrap_err();
    assert!(full.to_string().contains("the domain"), "{full}");
    world.append(people[2]).await.unwrap();
    // A new account shares it, and so does a name that was refused as taken.
    let new = world.people(&["c@here.test"]).await[0];
    assert!(world.append(new).await.is_err());
    let taken = json!({"addresses": ["c@here.test"], "password": null, "admin": false});
    assert!(run(&world.acts, "account.add", taken).await.is_err());
    let other = world.people(&["y@there.test"]).await[0];
    world.append(other).await.unwrap();
    // Asked without changing anything; a domain without one tells what is used.
    let none = json!({"domain": "here.test", "bytes": null, "messages": null});
    let shown = world.act("domain.quota", none).await;
    assert_eq!(
        (&shown["quota_messages"], &shown["messages"]),
        (&json!(3), &json!(3))
    );
    let shown = world
        .act("domain.show", json!({"name": "there.test"}))
        .await;
    assert_eq!(
        (&shown["quota_messages"], &shown["messages"]),
        (&Value::Null, &json!(2))
    );
    // A restart knows it.
    world.close().await;
    let world = World::open(folder.path()).await;
    assert!(world.append(new).await.is_err());
    let gone = json!({"name": "a@here.test"});
    world.act("account.remove", gone).await;
    world.append(new).await.unwrap();
    let none = json!({"domain": "here.test", "bytes": null, "messages": null, "none": true});
    let set = world.act("domain.quota", none).await;
    assert_eq!(
        (&set["quota_messages"], &set["messages"]),
        (&Value::Null, &json!(2))
    );
    for _ in 0..3 {
        world.append(new).await.unwrap();
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_only_the_directory_heard_of_holds_after_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::open(folder.path()).await;
    world
        .act("domain.add", json!({"domain": "here.test"}))
        .await;
    let id = world.people(&["a@here.test"]).await[0];
    let domain = Domain::parse("here.test").unwrap();
    // The process dies between the directory's commit and the ledger.
    let quota = directory::Quota {
        bytes: None,
        messages: Some(1),
    };
    let set = world.store.directory.domain_quota(&domain, quota).await;
    set.unwrap();
    // A server that lives on so is found out, and put right.
    let checked = world.act("fsck", json!({"account": null})).await;
    assert_eq!(checked["findings"][0]["checker"], "directory-agrees");
    world.close().await;
    let world = World::open(folder.path()).await;
    let checked = world.act("fsck", json!({"account": null})).await;
    assert_eq!(checked["findings"], json!([]));
    world.append(id).await.unwrap();
    assert!(world.append(id).await.is_err());
    // The other way round: its end is heard of at the start too.
    let none = directory::Quota::default();
    let set = world.store.directory.domain_quota(&domain, none).await;
    set.unwrap();
    let args = json!({"account": null, "repair": true});
    let mended = world.act("fsck", args).await;
    assert_eq!(mended["findings"], json!([]));
    assert_eq!(mended["repaired"][0]["checker"], "directory-agrees");
    world.append(id).await.unwrap();
    world.close().await;
}
