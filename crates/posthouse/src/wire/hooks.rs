//! Who is told what became of mail, from the rules.

use std::sync::Arc;

use anyhow::Context as _;
use https::Https;
use observe::Metrics;
use resolver::Resolver;
use runtime::Task;
use webhooks::Webhooks;

use crate::store::Store;

/// Starts telling those of the rules; it ends with the drain. Before this returns nothing is
/// attempted, so that nobody misses anything.
pub(super) async fn start(
    store: &Arc<Store>,
    dns: &Resolver,
    verified: Option<runtime::tls::ClientTls>,
    metrics: &Metrics,
) -> anyhow::Result<(Webhooks, Task<()>)> {
    let runtime = store.runtime.clone();
    // The operator names them: they may be anywhere.
    let web = Https::new(dns.clone(), verified, runtime.clone()).clear_on_loopback();
    let webhooks = Webhooks::new(store.queue.clone(), Arc::new(web), runtime);
    let set = webhooks.set(&store.rules.get().subscribers).await;
    set.context("cannot read what waits for webhooks")?;
    let counted = webhooks.clone();
    metrics.watch_counter(
        "webhook_events_dropped",
        "Outcomes that a webhook never hears of, because too many waited",
        move || counted.dropped(),
    );
    // A store has one server.
    let _ = store.webhooks.set(webhooks.clone());
    let telling = webhooks.clone();
    let running = async move { telling.run().await };
    Ok((webhooks, store.runtime.spawn("webhooks", running)))
}

/// Others may be in the rules now.
pub(super) async fn reload(store: &Store) {
    let Some(webhooks) = store.webhooks.get() else {
        return;
    };
    if let Err(error) = webhooks.set(&store.rules.get().subscribers).await {
        tracing::error!(%error, "the webhooks that were in force stay");
    }
}
