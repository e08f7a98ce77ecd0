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
