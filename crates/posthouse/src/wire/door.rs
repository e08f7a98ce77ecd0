//! What strangers' servers go through, from the settings.

use std::sync::Arc;
use std::time::Duration;

use envelope::Domain;
use policy::check::bans::Banned;
use policy::check::lists::List;
use policy::check::rates::{Counted, Limits, Rate};
use policy::check::{Check, Checks, Names, Options, Penalties, hello, iprev};
use runtime::{Runtime, Task};
use settings::{CheckMode, Settings};

use crate::limits::{DOOR_ROUND, LIST_RETRY, LIST_ROUND, TLS_FLUSH, TRACE_FLUSH};
use crate::store::Store;

/// The checks that are on, in the order of asking.
pub(super) fn checks(
    settings: &Settings,
    hostname: &str,
    store: &Store,
    names: &Arc<dyn Names>,
) -> Checks {
    let (door, runtime) = (&settings.door, &store.runtime);
    let options = Options {
        exempt: door.exempt.clone(),
        refuse_at: i32::try_from(door.refuse_at).unwrap_or(i32::MAX),
    };
    let mut checks: Vec<Arc<dyn Check>> = vec![Arc::new(Banned(store.door.bans.clone()))];
    let rate = |counted, address, network| -> Arc<dyn Check> {
        let limits = Limits { address, network };
        let (crowd, conduct) = (store.door.crowd.clone(), store.door.conduct.clone());
        Arc::new(Rate::new(counted, limits, crowd, conduct, runtime))
    };
    checks.push(rate(
        Counted::Connections,
        door.connections_per_minute,
        door.connections_per_minute_network,
    ));
    checks.push(rate(
        Counted::Messages,
        door.messages_per_hour,
        door.messages_per_hour_network,
    ));
    checks.extend(names_and_addresses(settings, hostname, runtime, names));
    let lists: Vec<_> = door
        .lists
        .iter()
        .map(|list| Arc::new(List::new(list.clone(), names.clone(), runtime)))
        .collect();
    for list in &lists {
        checks.push(list.clone());
    }
    if let Some(greylist) = &store.door.greylist {
        checks.push(greylist.clone());
    }
    // A second server of the same store does not exist.
    let _ = store.door.lists.set(lists);
    Checks::new(runtime, options, checks).with_penalties(Penalties {
        conduct: store.door.conduct.clone(),
        bans: store.door.bans.clone(),
        ban_for: door.ban_for,
        tarpit: door.tarpit,
        greeting_delay: door.greeting_delay,
    })
}

/// What HELO and reverse DNS are looked at for.
fn names_and_addresses(
    settings: &Settings,
    hostname: &str,
    runtime: &Runtime,
    names: &Arc<dyn Names>,
) -> Vec<Arc<dyn Check>> {
    let door = &settings.door;
    let host = Domain::parse(hostname).ok();
    let mut checks: Vec<Arc<dyn Check>> = Vec::new();
    let mut add = |mode: CheckMode, check: Arc<dyn Check>| {
        if mode != CheckMode::Off {
            checks.push(check);
        }
    };
    let mode = door.helo_own_name;
    add(mode, Arc::new(hello::OwnName { mode, host }));
    let mode = door.helo_syntax;
    add(mode, Arc::new(hello::Syntax { mode }));
    let mode = door.helo_literal;
    add(mode, Arc::new(hello::Literal { mode }));
    let (mode, reverse) = (door.iprev, names.clone());
    add(
        mode,
        Arc::new(iprev::ReverseName::new(mode, reverse, runtime)),
    );
    let (mode, names) = (door.helo_mismatch, names.clone());
    add(mode, Arc::new(hello::Mismatch { mode, names }));
    checks
}

/// Writes down what was refused, and removes what has had its time; until the drain, and once behind it.
pub(super) fn keep_records(store: Arc<Store>, trace_for: Duration) -> Task<()> {
    let runtime = store.runtime.clone();
    runtime.clone().spawn("door", async move {
        let shutdown = runtime.shutdown();
        let mut round = runtime.monotonic();
        let mut tls_round = round;
        while !shutdown.is_draining() {
            store.door.trace.flush().await;
            if tls_round <= runtime.monotonic() {
                tls_round = runtime.monotonic().after(TLS_FLUSH);
                write_tls_counts(&store).await;
            }
            if round <= runtime.monotonic() {
                round = runtime.monotonic().after(DOOR_ROUND);
                if let Err(error) = store.door.trace.expire(trace_for).await {
                    tracing::error!(%error, "old refusals can't be read");
                }
                let engine = store.engine.clone();
                if let Err(error) = intake::traced::expire(engine, &runtime, trace_for).await {
                    tracing::error!(%error, "old traces stay for now");
                }
                if let Err(error) = store.queue.expire_ended(trace_for).await {
                    tracing::error!(%error, "old traces of the queue stay for now");
                }
                if let Err(error) = store.tls_reports.expire().await {
                    tracing::error!(%error, "old counts of TLS sessions stay for now");
                }
                if let Err(error) = store.suppressed.expire().await {
                    tracing::error!(%error, "suppressed addresses whose time is over stay for now");
                }
                if let Some(greylist) = &store.door.greylist
                    && let Err(error) = greylist.expire().await
                {
                    tracing::error!(%error, "greylisting can't be read");
                }
            }
            tokio::select! {
                () = runtime.sleep(TRACE_FLUSH) => {}
                () = shutdown.draining() => {}
            }
        }
        store.door.trace.flush().await;
        write_tls_counts(&store).await;
    })
}

async fn write_tls_counts(store: &Store) {
    if let Err(error) = store.tls_reports.flush().await {
        tracing::error!(%error, "how TLS with other servers went is not written down for now");
    }
}

/// Tries the lists now and daily, those that do not count more often; until the drain.
pub(super) fn watch_lists(store: &Arc<Store>) -> Option<Task<()>> {
    let lists = store.door.lists.get()?.clone();
    if lists.is_empty() {
        return None;
    }
    let runtime = store.runtime.clone();
    let watching = async move {
        let shutdown = runtime.shutdown();
        let mut due: Vec<_> = lists.iter().map(|_| runtime.monotonic()).collect();
        loop {
            for (list, due) in lists.iter().zip(&mut due) {
                if *due <= runtime.monotonic() || list.off().is_some() {
                    let good = list.probe().await;
                    let wait = if good { LIST_ROUND } else { LIST_RETRY };
                    *due = runtime.monotonic().after(wait);
                }
            }
            tokio::select! {
                () = runtime.sleep(LIST_RETRY) => {}
                () = shutdown.draining() => return,
            }
        }
    };
    Some(store.runtime.spawn("lists", watching))
}
