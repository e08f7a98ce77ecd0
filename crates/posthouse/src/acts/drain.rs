//! Emptying the queue into another machine's.
//!
//! The order of things: the standing order is durable first, so that what comes meanwhile
//! goes by it; then what waits is made due. Mail whose sender wants it held is made due too:
//! it goes to a server that holds it as long, and stays where it is otherwise.

use admin::control::CommandError;
use queue::{Act, Acted, Filter, Listed};
use serde::{Deserialize, Serialize};
use serde_json::json;
use settings::OutboundMode;
use settings::rules::{Transport, TransportKind};

use super::queue::{act, check_way, time};
use super::{ActResult, Which, failed, usage};
use crate::limits::{QUEUE_DRAIN_COUNTED, QUEUE_PAGE};
use crate::store::Store;

/// By which way, or that it ends; neither asks how far it is.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Draining {
    pub(crate) way: Option<String>,
    #[serde(default)]
    pub(crate) off: bool,
}

pub(super) async fn drain(store: &Store, args: Draining) -> ActResult {
    match (args.way.as_deref().map(str::trim), args.off) {
        (Some(_), true) => return Err(usage("name a transport or say --off, not both".into())),
        (Some(way), false) => begin(store, way).await?,
        (None, true) => end(store).await?,
        (None, false) => {}
    }
    status(store).await
}

async fn begin(store: &Store, way: &str) -> Result<(), CommandError> {
    check_way(store, way)?;
    let mode = store.settings.outbound.mode;
    if matches!(mode, OutboundMode::Hold | OutboundMode::Demo) {
        return Err(usage(
            "nothing leaves this machine (outbound.mode): set it to \"direct\" first".into(),
        ));
    }
    let rules = store.rules.get();
    let is_server = |name: &str| {
        let transport = rules.transports.get(name.trim());
        let server = transport.and_then(Transport::server);
        server.is_some_and(|server| server.kind == TransportKind::Smtp)
    };
    if way != "smart-host" && !way.split(',').all(is_server) {
        return Err(usage(format!(
            "{way:?} is no server that could take everything: name transports of kind \"smtp\", or smart-host"
        )));
    }
    let _alone = store.ordering.lock().await;
    store.queue.drain(way).await.map_err(failed)?;
    tracing::info!(way, "the queue is being emptied, and nothing new is taken");
    let all = Which {
        all: true,
        ..Which::default()
    };
    act(store, Act::Retry, all).await?;
    retry_held(store).await
}

/// What its sender wants held and nobody has taken waits for its time again, before
/// somebody gets it who is not asked to hold it.
async fn end(store: &Store) -> Result<(), CommandError> {
    let _alone = store.ordering.lock().await;
    let awaited = store.queue.act_on_all(&Filter::default(), Act::Await).await;
    awaited.map_err(failed)?;
    store.queue.end_drain().await.map_err(failed)?;
    tracing::info!("the queue is not emptied any more");
    Ok(())
}

/// Makes due for elsewhere what its sender wants held.
async fn retry_held(store: &Store) -> Result<(), CommandError> {
    let mut from = None;
    loop {
        let page = store.queue.list(&Filter::default(), from, QUEUE_PAGE).await;
        let page = page.map_err(failed)?;
        let now_ms = store.runtime.now().unix_ms;
        let is_held = |listed: &&Listed| {
            let until_ms = listed.message.envelope.hold_until_ms;
            until_ms.is_some_and(|until_ms| until_ms > now_ms)
        };
        for listed in page.messages.iter().filter(is_held) {
            let all = listed.recipients();
            let mut domains: Vec<_> = all.map(|(to, ..)| to.address.domain().clone()).collect();
            domains.sort_unstable();
            domains.dedup();
            for domain in domains {
                if store
                    .directory
                    .is_local_domain(&domain)
                    .await
                    .map_err(failed)?
                {
                    continue;
                }
                let filter = Filter {
                    domain: Some(domain),
                    ..Filter::default()
                };
                let one = store.queue.act_on_some(listed.id, &filter, Act::Retry);
                // It may have gone meanwhile.
                let _: Result<Acted, _> = one.await;
            }
        }
        from = page.next;
        if from.is_none() {
            return Ok(());
        }
    }
}

/// Messages of which something is not held by a person; some count more than once.
async fn moving(store: &Store) -> Result<u64, CommandError> {
    let mut moving = 0;
    for state in ["todo", "deferred", "leased"] {
        let filter = Filter {
            state: Some(state.to_owned()),
            ..Filter::default()
        };
        let counted = store.queue.count_all(&filter).await;
        moving += counted.map_err(failed)?.messages;
    }
    Ok(moving)
}

/// By which way, how much still waits, and whether any of it moves.
async fn status(store: &Store) -> ActResult {
    let drain = store.queue.drained_by().await.map_err(failed)?;
    let is_sending = store.outgoing.get().is_some();
    // Only a server has counted them at its start.
    let messages = match is_sending {
        true => store.queue.count(),
        false => store.queue.stats(0).await.map_err(failed)?.messages,
    };
    let (messages, moving) = match messages {
        // Nobody looks at very many again and again.
        0..=QUEUE_DRAIN_COUNTED => {
            let moving = moving(store).await?;
            // Counted behind it: what moved when these were counted may have gone by now, and
            // where nothing moves any more, this is what is held.
            let left = store.queue.count_all(&Filter::default()).await;
            (left.map_err(failed)?.messages, Some(moving))
        }
        many => (many, None),
    };
    Ok(json!({
        "way": drain.as_ref().map(|drain| drain.way.as_ref()),
        "since": drain.as_ref().map(|drain| time(drain.since_ms)),
        "messages": messages,
        "moving": moving,
        "sending": is_sending,
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use admin::control::FailureKind;
    use runtime::Runtime;
    use serde_json::json;
    use settings::rules::Rules;

    use crate::acts::testing::{acts_with, run};

    const RULES: &str = r#"
[transport.other]
host = "other.test:25"

[transport.third]
host = "third.test:25"

[transport.store]
kind = "lmtp"
host = "127.0.0.1:24"

[transport.program]
kind = "pipe"
command = ["/bin/true"]

[transport.address]
kind = "mx"
source_addresses = ["192.0.2.8"]
"#;

    /// Only servers that take mail for everybody, and only where mail leaves at all.
    #[tokio::test]
    async fn what_cannot_take_everything_is_refused_and_changes_nothing() {
        for (mode, may) in [("direct", true), ("hold", false), ("demo", false)] {
            let folder = tempfile::tempdir().unwrap();
            let settings = format!("[outbound]\nmode = \"{mode}\"\nsmart_host = \"hub.test:25\"\n");
            let acts = acts_with(folder.path(), &Runtime::new(), &settings).await;
            acts.store.rules.replace(Rules::parse(RULES).unwrap());
            for (way, is_server) in [
                ("store", false),
                ("other, store", false),
                ("program", false),
                ("address", false),
                ("smart-host", true),
                ("other", true),
                ("other, third", true),
            ] {
                let done = run(&acts, "queue.drain", json!({"way": way})).await;
                let known = acts.store.queue.drained_by().await.unwrap();
                if may && is_server {
                    assert_eq!(done.unwrap()["way"], way, "{mode}");
                    assert_eq!(&*known.unwrap().way, way, "{mode}");
                } else {
                    let refused = done.unwrap_err();
                    assert_eq!(refused.kind, FailureKind::Usage, "{mode}: {way}");
                    assert_eq!(known, None, "{mode}: {way}");
                }
            }
            acts.store.close().await;
        }
    }
}
