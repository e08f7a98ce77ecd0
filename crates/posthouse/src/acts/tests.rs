//! Tests of the acts over a real store in a folder of its own.

#![allow(clippy::unwrap_used)]

use admin::control::FailureKind;
use runtime::Runtime;
use serde_json::json;
use settings::Settings;

use super::testing::run;
use super::*;

async fn acts(folder: &std::path::Path) -> Acts {
    testing::acts(folder, &Runtime::new()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn domains_accounts_and_aliases_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let acts = acts(folder.path()).await;
    run(&acts, "domain.add", json!({"domain": "Example.org"}))
        .await
        .unwrap();
    let account = json!({"addresses": ["alice@example.org"], "password": "x", "admin": false});
    let added = run(&acts, "account.add", account.clone()).await.unwrap();
    assert_eq!(added[0]["address"], "alice@example.org");
    let taken = run(&acts, "account.add", account).await.unwrap_err();
    assert_eq!(taken.kind, FailureKind::Conflict);
    let alias = json!({"address": "a@example.org", "targets": ["alice@example.org"]});
    run(&acts, "alias.add", alias).await.unwrap();
    let quota = json!({"address": "alice@example.org", "bytes": 1000, "messages": null});
    let changed = run(&acts, "account.quota", quota).await.unwrap();
    assert_eq!(changed["quota_bytes"], 1000);
    let shared = json!({"address": "alice@example.org", "shared": true});
    let changed = run(&acts, "account.change", shared).await.unwrap();
    assert_eq!(changed["shared"], true);
    let shown = run(&acts, "account.show", json!({"name": "alice@example.org"}))
        .await
        .unwrap();
    assert_eq!(shown["messages"], 0);
    let shown = run(&acts, "domain.show", json!({"name": "example.org"}))
        .await
        .unwrap();
    assert_eq!(
        (shown["accounts"].clone(), shown["aliases"].clone()),
        (json!(1), json!(1))
    );
    let checked = run(&acts, "fsck", json!({"account": null})).await.unwrap();
    assert_eq!(checked, json!({"accounts": 1, "findings": [], "more": 0}));
    let busy = json!({"domain": "example.org", "force": false});
    let refused = run(&acts, "domain.remove", busy).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Conflict);
    run(
        &acts,
        "account.remove",
        json!({"name": "alice@example.org"}),
    )
    .await
    .unwrap();
    let gone = run(&acts, "account.show", json!({"name": "alice@example.org"}))
        .await
        .unwrap_err();
    assert_eq!(gone.kind, FailureKind::NotFound);
    run(
        &acts,
        "domain.remove",
        json!({"domain": "example.org", "force": false}),
    )
    .await
    .unwrap();
    assert_eq!(
        run(&acts, "domain.list", Value::Null).await.unwrap(),
        json!([])
    );
    acts.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_shown_with_how_it_logs_in() {
    let folder = tempfile::tempdir().unwrap();
    let acts = acts(folder.path()).await;
    let domain = json!({"domain": "example.org"});
    run(&acts, "domain.add", domain).await.unwrap();
    let alice = json!({"addresses": ["alice@example.org"], "password": "x", "admin": false});
    run(&acts, "account.add", alice).await.unwrap();
    let hash = "$1$saltsalt$5Jhcit4zN9UlGiA0txPkO0";
    let bob =
        json!({"addresses": ["bob@example.org"], "password": null, "admin": false, "hash": hash});
    run(&acts, "account.add", bob).await.unwrap();
    let show = async |name: &str| {
        run(&acts, "account.show", json!({"name": name}))
            .await
            .unwrap()
    };
    let (alice, bob) = (
        show("alice@example.org").await,
        show("bob@example.org").await,
    );
    assert_eq!(
        (&alice["password"], &alice["lacks_scram"]),
        (&json!("argon2id"), &json!(false))
    );
    assert_eq!(
        (&bob["password"], &bob["lacks_scram"]),
        (&json!("MD5-crypt, imported"), &json!(true))
    );
    for shown in [alice, bob] {
        assert_eq!(shown["offered_under_tls"], "PLAIN LOGIN");
        assert_eq!(shown["scram_waits_for"], "bob@example.org");
    }
    let listed = run(&acts, "account.list", json!({"domain": null}))
        .await
        .unwrap();
    let lacking = [0, 1].map(|n| listed[n]["lacks_scram"].clone());
    assert_eq!(lacking, [json!(false), json!(true)]);
    let passwd = json!({"address": "bob@example.org", "password": "y"});
    run(&acts, "account.passwd", passwd).await.unwrap();
    let bob = show("bob@example.org").await;
    assert_eq!(bob["password"], "argon2id");
    let offered = bob["offered_under_tls"].as_str().unwrap();
    assert!(
        offered.starts_with("SCRAM-SHA-512-PLUS ") && offered.ends_with(" PLAIN LOGIN"),
        "{offered}"
    );
    assert!(bob.get("scram_waits_for").is_none());
    acts.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let acts = acts(folder.path()).await;
    for (command, args) in [
        ("domain.add", json!({"domain": "not a domain"})),
        ("account.show", json!({"name": "nobody"})),
        ("account.show", json!({})),
        (
            "queue.retry",
            json!({"ids": [], "all": false, "domain": null, "sender": null}),
        ),
        (
            "queue.show",
            json!({"ids": ["?"], "all": false, "domain": null, "sender": null}),
        ),
        ("no.such.act", Value::Null),
    ] {
        let error = run(&acts, command, args).await.unwrap_err();
        assert_eq!(error.kind, FailureKind::Usage, "{command}: {error}");
    }
    acts.store.close().await;
}

/// What the control socket is told becomes headers, log lines and replies one day.
#[tokio::test(flavor = "multi_thread")]
async fn threat_10_no_act_takes_a_name_with_a_line_end() {
    let folder = tempfile::tempdir().unwrap();
    let acts = acts(folder.path()).await;
    run(&acts, "domain.add", json!({"domain": "example.org"}))
        .await
        .unwrap();
    testing::account(&acts, "alice@example.org").await;
    for evil in [
        "a\r\nX-Evil: 1@example.org",
        "\"a\r\nX-Evil: 1\"@example.org",
        "\"a\nb\"@example.org",
        "a@example.org\r\nX-Evil: 1",
        "a\0@example.org",
        "a\u{1b}[2J@example.org",
        "a\u{85}@exa\u{2028}mple.org",
    ] {
        let domain = evil.rsplit('@').next().unwrap();
        let acts_and_args = [
            (
                "account.add",
                json!({"addresses": [evil], "password": "x", "admin": false}),
            ),
            (
                "alias.add",
                json!({"address": evil, "targets": ["alice@example.org"]}),
            ),
            (
                "alias.add",
                json!({"address": "a@example.org", "targets": [evil]}),
            ),
            (
                "account.quota",
                json!({"address": evil, "bytes": 1, "messages": null}),
            ),
            (
                "route",
                json!({"sender": evil, "recipient": "alice@example.org"}),
            ),
            ("domain.add", json!({"domain": format!("x.{domain}\r\ny")})),
            (
                "ban.add",
                json!({"network": evil, "until": "1h", "reason": "x"}),
            ),
        ];
        for (command, args) in acts_and_args {
            let error = run(&acts, command, args).await.unwrap_err();
            assert_eq!(error.kind, FailureKind::Usage, "{command} {evil:?}");
        }
    }
    let listed = run(&acts, "alias.list", json!({"domain": "example.org"})).await;
    assert_eq!(listed.unwrap(), json!([]));
    acts.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_to_open_is_told_who_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let acts = acts(folder.path()).await;
    let mut settings = Settings::parse("").unwrap();
    settings.general.data_dir = folder.path().to_owned();
    let refused = match Store::open(&settings, &Runtime::new()).await {
        Ok(_) => panic!("two at once"),
        Err(error) => error.to_string(),
    };
    assert!(
        refused.contains(&std::process::id().to_string()),
        "{refused}"
    );
    acts.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn application_passwords_are_made_listed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let acts = acts(folder.path()).await;
    run(&acts, "domain.add", json!({"domain": "example.org"}))
        .await
        .unwrap();
    let account = json!({"addresses": ["alice@example.org"], "password": "x", "admin": false});
    run(&acts, "account.add", account).await.unwrap();
    let add = |label: &str, services: &[&str], expires: Option<&str>| json!({"address": "alice@example.org", "label": label, "services": services, "expires": expires});
    let made = run(&acts, "app_password.add", add("phone", &[], Some("90d")))
        .await
        .unwrap();
    assert_eq!(made["services"], "imap,pop3,smtp");
    assert_eq!(made["password"].as_str().unwrap().len(), 24);
    assert!(made["expires"].is_string());
    let made = run(&acts, "app_password.add", add("printer", &["smtp"], None)).await;
    assert_eq!(made.unwrap()["expires"], Value::Null);
    let name = json!({"name": "alice@example.org"});
    let listed = run(&acts, "app_password.list", name.clone()).await.unwrap();
    let labels: Vec<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["label"].as_str().unwrap())
        .collect();
    assert_eq!(labels, ["phone", "printer"]);
    assert!(listed.to_string().find("password").is_none(), "{listed}");
    for (wrong, kind) in [
        (add("phone", &["imap"], None), FailureKind::Conflict),
        (add("tablet", &["ftp"], None), FailureKind::Usage),
        (add("tablet", &["imap"], Some("0d")), FailureKind::Usage),
        (add("tablet", &["imap"], Some("soon")), FailureKind::Usage),
        (add(" ", &["imap"], None), FailureKind::Usage),
    ] {
        let refused = run(&acts, "app_password.add", wrong).await.unwrap_err();
        assert_eq!(refused.kind, kind, "{refused}");
    }
    let phone = json!({"address": "alice@example.org", "label": "phone"});
    run(&acts, "app_password.remove", phone.clone())
        .await
        .unwrap();
    let gone = run(&acts, "app_password.remove", phone).await.unwrap_err();
    assert_eq!(gone.kind, FailureKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_to_send_in_are_granted_listed_shown_and_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let acts = acts(folder.path()).await;
    run(&acts, "domain.add", json!({"domain": "example.org"}))
        .await
        .unwrap();
    let account = json!({"addresses": ["alice@example.org"], "password": "x", "admin": false});
    run(&acts, "account.add", account).await.unwrap();
    let one = |name: &str| json!({"address": "alice@example.org", "send_as": name});
    for (name, shown, added) in [
        ("Sales@Example.org", "sales@example.org", true),
        ("sales@example.org", "sales@example.org", false),
        ("*@example.org", "*@example.org", true),
    ] {
        let answer = run(&acts, "send_as.add", one(name)).await.unwrap();
        assert_eq!(answer["send_as"], shown);
        assert_eq!(answer["added"], added, "{name}");
    }
    let name = json!({"name": "alice@example.org"});
    let listed = run(&acts, "send_as.list", name.clone()).await.unwrap();
    assert_eq!(
        listed,
        json!([{"send_as": "sales@example.org"}, {"send_as": "*@example.org"}])
    );
    let shown = run(&acts, "account.show", name.clone()).await.unwrap();
    assert_eq!(
        shown["send_as"],
        json!(["sales@example.org", "*@example.org"])
    );
    let nobody = json!({"address": "bob@example.org", "send_as": "sales@example.org"});
    for (wrong, kind, word) in [
        (one("sales"), FailureKind::Usage, "no mail address"),
        (one("*"), FailureKind::Usage, "no mail address"),
        (one("*@far.test"), FailureKind::NotFound, "domain list"),
        (one("bob@far.test"), FailureKind::NotFound, "far.test"),
        (nobody, FailureKind::NotFound, "no account bob@example.org"),
    ] {
        let refused = run(&acts, "send_as.add", wrong).await.unwrap_err();
        assert_eq!(refused.kind, kind, "{refused}");
        assert!(refused.to_string().contains(word), "{refused}");
    }
    for removed in [true, false] {
        let answer = run(&acts, "send_as.remove", one("*@EXAMPLE.org")).await;
        assert_eq!(answer.unwrap()["removed"], removed);
    }
    let listed = run(&acts, "send_as.list", name).await.unwrap();
    assert_eq!(listed, json!([{"send_as": "sales@example.org"}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn hashes_of_other_systems_are_imported() {
    let folder = tempfile::tempdir().unwrap();
    let acts = acts(folder.path()).await;
    run(&acts, "domain.add", json!({"domain": "example.org"}))
        .await
        .unwrap();
    let hash = "{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0";
    let account =
        json!({"addresses": ["alice@example.org"], "password": null, "admin": false, "hash": hash});
    run(&acts, "account.add", account).await.unwrap();
    let import = |hash: &str| json!({"address": "alice@example.org", "hash": hash});
    let hash = "$1$saltsalt$5Jhcit4zN9UlGiA0txPkO0";
    let imported = run(&acts, "account.import_hash", import(hash)).await;
    assert_eq!(imported.unwrap()["imported"], "MD5-crypt");
    for wrong in [
        "secret",
        "$1$x",
        "$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
    ] {
        let refused = run(&acts, "account.import_hash", import(wrong)).await;
        assert_eq!(refused.unwrap_err().kind, FailureKind::Usage, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_purged_cannot_be_brought_back() {
    use mailbox_model::UidSet;
    use mailbox_model::stage::Expunging;

    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::for_tests();
    let acts = testing::acts(folder.path(), &runtime).await;
    run(&acts, "domain.add", json!({"domain": "demo.test"}))
        .await
        .unwrap();
    testing::account(&acts, "a@demo.test").await;
    let mail = testing::mail(&acts, "a@demo.test").await;
    let inbox = mail.view().inbox().unwrap().id();
    for at in 0..3 {
        let uid = testing::append(&acts, &mail, inbox, "Subject: x\r\n\r\n").await;
        if at < 2 {
            let one = UidSet::from_iter([uid]);
            mail.expunge(inbox, Expunging::Exactly(&one)).await.unwrap();
            runtime.advance(std::time::Duration::from_secs(3600));
        }
    }
    for (before, purged, left) in [
        (json!("3h"), 0, 2),
        (json!("90m"), 1, 1),
        (json!(null), 1, 0),
    ] {
        let args = json!({"address": "a@demo.test", "before": before});
        let answer = run(&acts, "account.purge", args).await.unwrap();
        assert_eq!(answer["messages"], purged, "{answer}");
        assert_eq!(mail.deleted_since(0).await.unwrap().len(), left);
    }
    assert_eq!(mail.view().usage().emails, 1);
    for (args, kind) in [
        (
            json!({"address": "b@demo.test", "before": null}),
            FailureKind::NotFound,
        ),
        (
            json!({"address": "a@demo.test", "before": "soon"}),
            FailureKind::Usage,
        ),
    ] {
        let refused = run(&acts, "account.purge", args).await.unwrap_err();
        assert_eq!(refused.kind, kind);
    }
    acts.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bans_are_added_listed_and_lifted_and_hold_nobody_who_is_exempt() {
    let folder = tempfile::tempdir().unwrap();
    let acts = acts(folder.path()).await;
    let add = |network: &str| json!({"network": network, "until": "2h", "reason": "spam"});
    let added = run(&acts, "ban.add", add("203.0.113.7/24")).await.unwrap();
    assert_eq!(
        (&added["by"], &added["reason"]),
        (&json!("operator"), &json!("spam"))
    );
    for exempt in ["127.0.0.1", "::1", "192.168.1.0/24", "fe80::1"] {
        let refused = run(&acts, "ban.add", add(exempt)).await.unwrap_err();
        assert_eq!(refused.kind, FailureKind::Conflict, "{exempt}");
    }
    let wrong = run(&acts, "ban.add", add("203.0.113")).await.unwrap_err();
    assert_eq!(wrong.kind, FailureKind::Usage);
    let door = &acts.store.door;
    assert!(door.turns_away("203.0.113.99".parse().unwrap()));
    assert!(!door.turns_away("203.0.114.99".parse().unwrap()));
    let listed = run(&acts, "ban.list", json!(null)).await.unwrap();
    assert_eq!(listed[0]["network"], "203.0.113.0/24");
    let lift = |network: &str| json!({"name": network});
    let lifted = run(&acts, "ban.lift", lift("203.0.113.99")).await.unwrap();
    assert_eq!(lifted[0]["network"], "203.0.113.0/24");
    let gone = run(&acts, "ban.lift", lift("203.0.113.99"))
        .await
        .unwrap_err();
    assert_eq!(gone.kind, FailureKind::NotFound);
    assert_eq!(
        run(&acts, "ban.list", json!(null)).await.unwrap(),
        json!([])
    );
}

/// Messages of the queue in the store of these acts.
async fn put(acts: &Acts, to: &str, reason: &str) {
    let store = &acts.store;
    let shard = store.queue.shards().next().unwrap();
    let mut writer = store.blobs.writer(shard);
    writer.push(b"Subject: x\r\n\r\nx\r\n").unwrap();
    let mut blob = writer.finish().unwrap();
    let mut batch = engine::Batch::new();
    store.blobs.stage(&mut batch, &mut blob).unwrap();
    let sender = envelope::ReversePath::parse("alice@example.org").unwrap();
    let mut envelope = envelope::Envelope::new(sender);
    let to = Address::parse(to).unwrap();
    envelope.recipients.push(envelope::Recipient::new(to));
    let new = ::queue::NewMessage {
        blob: blob.id,
        blob_size: blob.size,
        body: None,
        prefix: bytes::Bytes::new(),
        envelope,
        origin: ::queue::Origin::default(),
        start: ::queue::Start::Later {
            wait_ms: 600_000,
            reason: reason.to_owned(),
        },
    };
    store.queue.stage(&mut batch, shard, new);
    engine::Engine::submit(&*store.engine, batch)
        .unwrap()
        .done()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_listed_by_pages_counted_and_acted_on_by_filters() {
    let folder = tempfile::tempdir().unwrap();
    let acts = acts(folder.path()).await;
    for n in 0..5 {
        put(&acts, &format!("u{n}@there.test"), "451 Mailbox busy").await;
    }
    put(&acts, "bob@else.test", "421 go away").await;
    let queue = async |act: &str, args: Value| run(&acts, &format!("queue.{act}"), args).await;
    let page = json!({"domain": "there.test", "limit": 3});
    let first = queue("list", page.clone()).await.unwrap();
    assert_eq!(first["messages"].as_array().unwrap().len(), 3);
    let mut page = page;
    page["page"] = first["next"].clone();
    let rest = queue("list", page).await.unwrap();
    assert_eq!(rest["messages"].as_array().unwrap().len(), 2);
    assert!(rest["next"].is_null());
    let wrong = queue("list", json!({"page": "x"})).await.unwrap_err();
    assert_eq!(wrong.kind, FailureKind::Usage);
    let wrong = queue("list", json!({"state": "lost"})).await.unwrap_err();
    assert_eq!(wrong.kind, FailureKind::Usage);
    let old = json!({"older_s": 3600, "count": true});
    let counted = queue("list", old).await.unwrap();
    assert_eq!(counted["messages"], 0);
    let busy = json!({"reason": "mailbox BUSY", "count": true});
    let dry = queue("remove", busy.clone()).await.unwrap();
    assert_eq!(dry, json!({"messages": 5, "recipients": 5, "busy": 0}));
    let stats = queue("stats", Value::Null).await.unwrap();
    assert_eq!(stats["messages"], 6);
    assert_eq!(stats["by_domain"][0]["domain"], "there.test");
    assert_eq!(stats["by_domain"][0]["reason"], "451 Mailbox busy");
    assert!(stats["sites"].is_null(), "nothing is attempted here");
    for (way, kind) in [("nowhere", true), ("smart-host", true), ("mx", false)] {
        let args = json!({"recipient": "u1@there.test", "way": way});
        let done = queue("reroute", args).await;
        assert_eq!(done.is_err(), kind, "{way}: {done:?}");
    }
    let one = json!({"recipient": "u1@there.test"});
    let shown = queue("show", one).await.unwrap();
    assert_eq!(
        shown[0]["ways"],
        json!([{"domain": "there.test", "way": "mx"}])
    );
    let all = json!({"all": true});
    assert_eq!(queue("pause", all.clone()).await.unwrap()["changed"], true);
    assert_eq!(
        queue("paused", Value::Null).await.unwrap()[0]["what"],
        "everything"
    );
    assert!(!queue("stats", Value::Null).await.unwrap()["paused"].is_null());
    for wrong in [
        json!({"way": "nowhere"}),
        json!({"way": "mx"}),
        json!({"way": "usual"}),
        json!({"way": "smart-host", "off": true}),
    ] {
        let refused = queue("drain", wrong).await.unwrap_err();
        assert_eq!(refused.kind, FailureKind::Usage);
    }
    let idle = queue("drain", json!({})).await.unwrap();
    assert!(idle["way"].is_null() && idle["messages"] == 6, "{idle}");
    acts.store.queue.drain("other").await.unwrap();
    let draining = queue("drain", json!({})).await.unwrap();
    assert!(draining["way"] == "other" && draining["moving"].is_u64());
    assert_eq!(
        queue("stats", Value::Null).await.unwrap()["drained_by"],
        "other"
    );
    let off = queue("drain", json!({"off": true})).await.unwrap();
    assert!(off["way"].is_null());
    queue("resume", all.clone()).await.unwrap();
    assert!(queue("pause", json!({})).await.is_err());
    let busy = json!({"reason": "mailbox busy"});
    let removed = queue("remove", busy).await.unwrap();
    assert_eq!(removed["recipients"], 5);
    let left = queue("list", json!({})).await.unwrap();
    assert_eq!(left["messages"].as_array().unwrap().len(), 1);
    acts.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_suppressed_shown_and_lifted() {
    let folder = tempfile::tempdir().unwrap();
    let acts = acts(folder.path()).await;
    let domain = json!({"domain": "demo.test"});
    run(&acts, "domain.add", domain).await.unwrap();
    let add = |address| json!({"address": address, "until": "30d", "reason": "gone"});
    let added = run(&acts, "suppress.add", add("Ann@far.test"))
        .await
        .unwrap();
    assert_eq!(added["address"], "ann@far.test");
    assert_eq!(added["holds"], true);
    for wrong in ["ann", "alice@demo.test"] {
        let refused = run(&acts, "suppress.add", add(wrong)).await.unwrap_err();
        assert_eq!(refused.kind, FailureKind::Usage, "{wrong}");
    }
    let complaint = json!({"addresses": ["Bea@far.test", "ann@far.test", "x", "alice@demo.test"],
        "reason": "a complaint, reported by x"});
    let made = run(&acts, "suppress.complaint", complaint).await.unwrap();
    let made: Vec<_> = made
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["by"])
        .collect();
    assert_eq!(made, ["complaint", "operator"]);
    let bea = json!({"name": "bea@far.test"});
    run(&acts, "suppress.lift", bea).await.unwrap();
    let listed = run(&acts, "suppress.list", json!({})).await.unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let behind = json!({"after": "ann@far.test"});
    let listed = run(&acts, "suppress.list", behind).await.unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 0);
    let who = || json!({"name": "ann@FAR.test"});
    let shown = run(&acts, "suppress.show", who()).await.unwrap();
    assert_eq!(shown["reason"], "gone");
    run(&acts, "suppress.lift", who()).await.unwrap();
    for act in ["suppress.show", "suppress.lift"] {
        let refused = run(&acts, act, who()).await.unwrap_err();
        assert_eq!(refused.kind, FailureKind::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_sessions_are_shown_by_day_and_domain() {
    use tls_policy::reporting::{Applied, Failed, ResultType};
    let folder = tempfile::tempdir().unwrap();
    let acts = acts(folder.path()).await;
    let far = Domain::parse("far.test").unwrap();
    let reports = &acts.store.tls_reports;
    reports.count(&far, &Applied::none(), Ok(()));
    let failed = Failed {
        result: ResultType::CertificateExpired,
        host: "mx.far.test".into(),
        address: None,
        reason: "too old".into(),
    };
    reports.count(&far, &Applied::none(), Err(failed));
    for (args, lines) in [
        (json!({}), 1),
        (json!({"domain": "Far.test"}), 1),
        (json!({"domain": "else.test"}), 0),
    ] {
        let shown = run(&acts, "tls_report.show", args).await.unwrap();
        assert_eq!(shown.as_array().unwrap().len(), lines);
    }
    let shown = run(&acts, "tls_report.show", json!({})).await.unwrap();
    assert_eq!(
        (&shown[0]["successful"], &shown[0]["failed"]),
        (&json!(1), &json!(1))
    );
    let failures = "1x certificate-expired at mx.far.test: too old";
    assert_eq!(shown[0]["failures"], failures);
    assert_eq!(shown[0]["report"], "not sent");
    for (day, kind) in [
        ("2026-13-01", FailureKind::Usage),
        ("today", FailureKind::Usage),
        ("2999-01-01", FailureKind::Usage),
        // No server runs that sends any.
        ("2026-01-01", FailureKind::Conflict),
    ] {
        let refused = run(&acts, "tls_report.send", json!({"day": day})).await;
        assert_eq!(refused.unwrap_err().kind, kind, "{day}");
    }
    let found = run(&acts, "fsck", json!({})).await;
    assert!(found.is_ok(), "{found:?}");
}

/// What names files of the machine, or mends them, is refused with where it is done instead.
#[tokio::test(flavor = "multi_thread")]
async fn from_elsewhere_everything_is_asked_for_but_what_belongs_to_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let acts = RemoteActs(acts(folder.path()).await);
    let ask = |command: &str| {
        acts.run(Request {
            command: command.to_owned(),
            args: json!({}),
        })
    };
    for command in [
        "backup.run",
        "backup.restore_mail",
        "backup.progress",
        "fsck",
        "fsck.progress",
    ] {
        let refused = ask(command).await.unwrap_err();
        assert_eq!(refused.kind, FailureKind::Usage);
        let text = format!("{command} is for the command line on the machine itself");
        assert_eq!(refused.message, text);
    }
    assert_eq!(ask("queue.paused").await.unwrap(), json!([]));
    assert_eq!(
        ask("queue.nothing").await.unwrap_err().kind,
        FailureKind::Usage
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_are_kept_checked_and_tried() {
    let folder = tempfile::tempdir().unwrap();
    let acts = acts(folder.path()).await;
    run(&acts, "domain.add", json!({"domain": "example.org"}))
        .await
        .unwrap();
    testing::account(&acts, "alice@example.org").await;
    let put = |name: &str, source: &str| json!({"account": "alice@example.org", "name": name, "source": source});
    let named = |name: &str| json!({"account": "alice@example.org", "name": name});
    let of = json!({"account": "alice@example.org"});
    let mail = testing::mail(&acts, "alice@example.org").await;
    let before = mail.view().modseq();
    let source = "require \"fileinto\";\r\nfileinto \"x\";\r\n";
    run(&acts, "sieve.put", put("a", source)).await.unwrap();
    // One change is one entry of the log.
    assert_eq!(mail.view().modseq(), before.next());
    run(&acts, "sieve.put", put("a", source)).await.unwrap();
    assert_eq!(mail.view().modseq(), before.next());
    let wrong = run(&acts, "sieve.put", put("b", "keep;\nfileinto \"x\";"))
        .await
        .unwrap_err();
    assert_eq!(wrong.kind, FailureKind::Usage);
    assert!(wrong.message.contains("line 2, column 1"), "{wrong}");
    let evil = run(&acts, "sieve.put", put("../b", "keep;"))
        .await
        .unwrap_err();
    assert_eq!(evil.kind, FailureKind::Usage);
    let got = run(&acts, "sieve.get", named("a")).await.unwrap();
    assert_eq!(got["source"], source);
    let listed = run(&acts, "sieve.list", of.clone()).await.unwrap();
    assert_eq!(
        listed,
        json!([{"name": "a", "octets": source.len(), "active": false}])
    );
    let gone = run(&acts, "sieve.get", named("b")).await.unwrap_err();
    assert_eq!(gone.kind, FailureKind::NotFound);
    let script =
        "require \"fileinto\";\nif header :contains \"subject\" \"x\" {\n fileinto \"X\"; }";
    let tried = json!({"source": script, "message": "Subject: axb\r\n\r\n"});
    let tried = run(&acts, "sieve.check", tried).await.unwrap();
    assert_eq!(
        tried["steps"][1],
        json!({"line": 2, "what": "header \"subject\" is true"})
    );
    assert_eq!(
        tried["actions"],
        json!([{"line": 3, "what": "fileinto \"X\""}])
    );
    assert_eq!(tried["failure"], json!(null));
    let checked = json!({"source": script, "message": null});
    let checked = run(&acts, "sieve.check", checked).await.unwrap();
    assert_eq!(checked["requires"], "fileinto");
    run(&acts, "sieve.remove", named("a")).await.unwrap();
    let listed = run(&acts, "sieve.list", of).await.unwrap();
    assert_eq!(listed, json!([]));
    let checked = run(&acts, "fsck", json!({"account": null})).await.unwrap();
    assert_eq!(checked["findings"], json!([]));
    acts.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_are_tried_where_they_are_said_to_run() {
    let folder = tempfile::tempdir().unwrap();
    let acts = acts(folder.path()).await;
    let check = async |source: &str, place: Value| {
        let tried = json!({"source": source, "message": "Subject: x\r\n\r\n", "place": place});
        run(&acts, "sieve.check", tried).await
    };
    let delivery = json!({"delivery": {"from": "a@example.net", "to": "b@example.org"}});
    let event = json!({"event": {"cause": "FLAG", "mailbox": "Lists", "flags": ["\\Seen", "kw"],
        "changed": ["kw"], "user": "b@example.org"}});
    // A failure is told with its line, and the time is today's.
    let source = "require [\"date\", \"envelope\", \"relational\"];\n\
        if currentdate :value \"ge\" \"year\" \"2024\" { keep; }\n\
        if envelope :is \"from\" \"a@example.net\" { redirect \"c@example.org\"; }";
    let tried = check(source, delivery.clone()).await.unwrap();
    let done: Vec<&str> = tried["actions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["what"].as_str().unwrap())
        .collect();
    assert_eq!(done, ["keep", "redirect \"c@example.org\""]);
    let tried = check(source, event.clone()).await.unwrap();
    assert_eq!(tried["failure"]["line"], 3);
    assert!(
        tried["failure"]["why"]
            .as_str()
            .unwrap()
            .contains("envelope")
    );
    assert_eq!(tried["actions"][0]["what"], "keep");
    let source = "require [\"imapsieve\", \"environment\", \"imap4flags\", \"variables\"];\n\
        if allof (environment \"imap.cause\" \"FLAG\", environment \"imap.mailbox\" \"lists\", environment \"imap.changedflags\" \"kw\",\n\
        environment \"imap.user\" \"b@example.org\", environment \"location\" \"MS\", environment \"domain\" \"example.org\",\n\
        environment \"remote-ip\" \"127.0.0.1\", environment \"host\" \"localhost\", hasflag \"\\\\Seen\") { addflag \"all\"; }";
    let tried = check(source, event.clone()).await.unwrap();
    assert_eq!(tried["flags"], json!(["\\Seen", "kw", "all"]));
    let tried = check(source, delivery.clone()).await.unwrap();
    assert_eq!(tried["flags"], json!([]));
    // What has no meaning there does not compile there.
    assert!(
        check("require \"vacation\"; vacation \"x\";", delivery)
            .await
            .is_ok()
    );
    let wrong = check("require \"vacation\";", event).await.unwrap_err();
    assert!(wrong.message.contains("behind an IMAP command"), "{wrong}");
    acts.store.close().await;
}
