//! The daily round: what was deleted longer ago than its domain's retention goes for good.
//!
//! The accounts' turns are spread over the day. A round that is cut short by a restart begins anew; what was done is
//! done, and an account that has nothing old costs two reads.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use envelope::Domain;
use mailstore::StoreError;
use runtime::{Runtime, Task};

use crate::limits::{REAPER_PAUSE_MAX, REAPER_ROUND};
use crate::store::Store;

/// Runs until the drain.
pub(super) fn start(store: Arc<Store>, runtime: &Runtime, retention: Duration) -> Task<()> {
    let shutdown = runtime.shutdown();
    let clock = runtime.clone();
    runtime.spawn("reaper", async move {
        tokio::select! {
            () = rounds(&store, &clock, retention) => {}
            () = shutdown.draining() => {}
        }
    })
}

async fn rounds(store: &Store, runtime: &Runtime, retention: Duration) {
    loop {
        let next = runtime.monotonic().after(REAPER_ROUND);
        if let Err(error) = round(store, runtime, retention, REAPER_PAUSE_MAX).await {
            tracing::warn!(%error, "the round of deleted mail could not be made");
        }
        runtime.sleep_until(next).await;
    }
}

/// Once to every account, with pauses in between that spread the round over the day.
async fn round(
    store: &Store,
    runtime: &Runtime,
    retention: Duration,
    pause_max: Duration,
) -> anyhow::Result<()> {
    let domains = store.directory.domain_list().await?;
    let days: HashMap<Domain, u32> = domains
        .into_iter()
        .filter_map(|info| Some((info.domain, info.retention_days?)))
        .collect();
    let accounts = store.directory.account_list(None).await?;
    let turns = u32::try_from(accounts.len().max(1)).unwrap_or(u32::MAX);
    let pause = (REAPER_ROUND / turns).min(pause_max);
    for account in accounts {
        runtime.sleep(pause).await;
        let of_domain = days.get(account.address.domain());
        let retention = of_domain.map_or(retention, |days| {
            Duration::from_secs(u64::from(*days) * 86_400)
        });
        match store.mailstore.reap(account.id, retention).await {
            Ok(reaped) if reaped.entries > 0 => {
                let (messages, changes) = (reaped.emails, reaped.entries);
                tracing::info!(account = %account.address, messages, changes, "deleted mail is past its retention and gone");
            }
            // Removed meanwhile.
            Ok(_) | Err(StoreError::NoAccount(_)) => {}
            Err(error) => {
                tracing::warn!(account = %account.address, %error, "deleted mail stays: it could not be looked through");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use mailbox_model::UidSet;
    use mailbox_model::stage::Expunging;
    use serde_json::json;

    use super::*;
    use crate::acts::testing;

    #[tokio::test(flavor = "multi_thread")]
    async fn each_domain_has_its_own_retention() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Runtime::for_tests();
        let acts = testing::acts(folder.path(), &runtime).await;
        let store: &Store = &acts.store;
        for domain in ["short.test", "long.test", "usual.test"] {
            testing::run(&acts, "domain.add", json!({"domain": domain}))
                .await
                .unwrap();
            let address = format!("a@{domain}");
            testing::account(&acts, &address).await;
            let mail = testing::mail(&acts, &address).await;
            let inbox = mail.view().inbox().unwrap().id();
            testing::append(&acts, &mail, inbox, "Subject: x\r\n\r\n").await;
            let all = UidSet::all();
            mail.expunge(inbox, Expunging::Exactly(&all)).await.unwrap();
        }
        for (domain, days) in [("short.test", 3), ("long.test", 90)] {
            let args = json!({"domain": domain, "days": days});
            let shown = testing::run(&acts, "domain.retention", args).await.unwrap();
            assert_eq!(shown["retention_days"], days);
        }
        for (days, kept) in [
            (2, [1, 1, 1]),
            (2, [0, 1, 1]),
            (30, [0, 1, 0]),
            (90, [0, 0, 0]),
        ] {
            runtime.advance(Duration::from_secs(days * 86_400));
            let retention = Duration::from_secs(30 * 86_400);
            round(store, &runtime, retention, Duration::ZERO)
                .await
                .unwrap();
            for (domain, kept) in ["short.test", "long.test", "usual.test"]
                .into_iter()
                .zip(kept)
            {
                let mail = testing::mail(&acts, &format!("a@{domain}")).await;
                assert_eq!(mail.deleted_since(0).await.unwrap().len(), kept, "{domain}");
            }
        }
        let default = json!({"domain": "long.test", "days": null});
        let shown = testing::run(&acts, "domain.retention", default)
            .await
            .unwrap();
        assert!(shown["retention_days"].is_null());
        acts.store.close().await;
    }
}
