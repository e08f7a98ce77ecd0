//! Acts on mail that waits.

mod shown;

use std::sync::Arc;

use admin::control::{CommandError, FailureKind};
use dispatch::{DetourStatus, PartyStatus, SiteStatus};
use envelope::{Domain, ReversePath};
use parking_lot::Mutex;
use queue::{Act, Acted, Filter, Listed, PageMark, QueueError};
use queue_model::QueueId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use settings::rules::Transport;

use super::{ActResult, failed, optional, parse_address, parse_domain, usage};
use crate::limits::{
    QUEUE_LISTED, QUEUE_LISTED_MAX, QUEUE_PAGE, QUEUE_STATS_DOMAINS, QUEUE_STATS_PATIENCE,
    QUEUE_STATS_SERVERS,
};
use crate::store::Store;
pub(in crate::acts) use shown::time;
use shown::{line, whole};

/// Which messages: ids, or all that a filter takes.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Which {
    #[serde(default)]
    pub(crate) ids: Vec<String>,
    #[serde(default)]
    pub(crate) all: bool,
    pub(crate) domain: Option<String>,
    pub(crate) sender: Option<String>,
    pub(crate) recipient: Option<String>,
    /// Seconds: those that came longer ago.
    pub(crate) older_s: Option<u64>,
    /// Seconds: those that came since.
    pub(crate) younger_s: Option<u64>,
    /// In the last reason of a recipient.
    pub(crate) reason: Option<String>,
    pub(crate) state: Option<String>,
    /// At most so many in one answer.
    pub(crate) limit: Option<usize>,
    /// Where the answer before ended.
    pub(crate) page: Option<String>,
    /// Only say how many.
    #[serde(default)]
    pub(crate) count: bool,
}

/// Which messages get another way.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reroute {
    #[serde(flatten)]
    pub(crate) which: Which,
    /// `mx`, `smart-host`, names of transports with commas between them; `usual` for none in particular.
    pub(crate) way: String,
}

/// What is paused or resumed: a domain, or everything.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Pausing {
    pub(crate) domain: Option<String>,
    #[serde(default)]
    pub(crate) all: bool,
}

/// How far an act on many messages is.
#[derive(Debug, Default)]
pub(crate) struct Acting(Mutex<Option<Acted>>);

impl Acting {
    pub(crate) fn shown(&self) -> Value {
        match &*self.0.lock() {
            Some(acted) => json!({"messages": acted.messages, "recipients": acted.changed}),
            None => Value::Null,
        }
    }
}

const STATES: [&str; 7] = [
    "todo", "leased", "deferred", "held", "done", "failed", "removed",
];

const SAY_WHICH: &str = "say which: ids, --all, or a filter such as --domain, --sender or --older";

impl Which {
    fn filter(&self, now_ms: u64) -> Result<Filter, CommandError> {
        let sender = |text: &str| match text {
            "" | "<>" => Ok(ReversePath::Null),
            _ => parse_address(text).map(ReversePath::Address),
        };
        if let Some(state) = &self.state
            && !STATES.contains(&state.as_str())
        {
            return Err(usage(format!(
                "{state:?} is no state; there are {}",
                STATES.join(", ")
            )));
        }
        let ago = |seconds: u64| now_ms.saturating_sub(seconds.saturating_mul(1000));
        Ok(Filter {
            domain: optional(self.domain.as_deref(), parse_domain)?,
            sender: optional(self.sender.as_deref(), sender)?,
            recipient: optional(self.recipient.as_deref(), parse_address)?,
            state: self.state.clone(),
            before_ms: self.older_s.map(ago),
            since_ms: self.younger_s.map(ago),
            reason: self.reason.clone(),
        })
    }

    fn ids(&self) -> Result<Vec<QueueId>, CommandError> {
        let parse = |text: &String| {
            text.parse()
                .map_err(|_| usage(format!("{text:?} is no id of the queue")))
        };
        self.ids.iter().map(parse).collect()
    }

    fn is_empty(&self) -> bool {
        let texts = [
            &self.domain,
            &self.sender,
            &self.recipient,
            &self.reason,
            &self.state,
        ];
        self.ids.is_empty()
            && !self.all
            && texts.iter().all(|text| text.is_none())
            && self.older_s.is_none()
            && self.younger_s.is_none()
    }
}

/// One line for each message, and where the next answer goes on: with more than
/// [`QUEUE_LISTED`], or than was asked for, the rest is left for that.
pub(super) async fn list(store: &Store, which: Which) -> ActResult {
    if which.count {
        let filter = which.filter(store.runtime.now().unix_ms)?;
        let counted = store.queue.count_all(&filter).await.map_err(failed)?;
        return Ok(acted(&counted));
    }
    let (found, next) = listed(store, &which).await?;
    let messages: Vec<Value> = found.iter().map(line).collect();
    let next = next.map(|next| next.to_string());
    Ok(json!({"messages": messages, "next": next}))
}

/// Everything about each message.
pub(super) async fn show(store: &Store, which: Which) -> ActResult {
    if which.is_empty() {
        return Err(usage(SAY_WHICH.to_owned()));
    }
    Ok(listed(store, &which).await?.0.iter().map(whole).collect())
}

async fn listed(
    store: &Store,
    which: &Which,
) -> Result<(Vec<Listed>, Option<PageMark>), CommandError> {
    let mut found = Vec::new();
    if !which.ids.is_empty() {
        for id in which.ids()? {
            found.push(
                store
                    .queue
                    .show(id)
                    .await
                    .map_err(|error| of_queue(id, &error))?,
            );
        }
        return Ok((found, None));
    }
    let filter = which.filter(store.runtime.now().unix_ms)?;
    let limit = which.limit.unwrap_or(QUEUE_LISTED).min(QUEUE_LISTED_MAX);
    let page = |text: &str| {
        let page: Result<PageMark, _> = text.parse();
        page.map_err(|error| usage(format!("{text:?}: {error}")))
    };
    let mut from = optional(which.page.as_deref(), page)?;
    loop {
        let left = QUEUE_PAGE.min(limit - found.len());
        let page = store
            .queue
            .list(&filter, from, left)
            .await
            .map_err(failed)?;
        for (id, why) in &page.damaged {
            tracing::warn!(%id, why, "a message of the queue cannot be read");
        }
        found.extend(page.messages);
        from = page.next;
        if from.is_none() || found.len() >= limit {
            return Ok((found, from));
        }
    }
}

/// Does something with each message; says how many recipients it changed, and how many were in the middle of an attempt.
pub(super) async fn act(store: &Store, act: Act, which: Which) -> ActResult {
    if which.is_empty() {
        return Err(usage(SAY_WHICH.to_owned()));
    }
    let filter = which.filter(store.runtime.now().unix_ms)?;
    let mut all = Acted::default();
    if which.ids.is_empty() {
        if which.count {
            let counted = store.queue.count_all(&filter).await.map_err(failed)?;
            return Ok(acted(&counted));
        }
        let acting = Arc::clone(&store.acting);
        let tell = |acted: &Acted| *acting.0.lock() = Some(*acted);
        let done = store.queue.act_on_all_telling(&filter, act.clone(), tell);
        let done = done.await;
        *store.acting.0.lock() = None;
        all = done.map_err(failed)?;
    }
    for id in which.ids()? {
        if which.count {
            let found = store.queue.show(id).await;
            found.map_err(|error| of_queue(id, &error))?;
            all.messages += 1;
            continue;
        }
        let one = store
            .queue
            .act(id, act.clone())
            .await
            .map_err(|error| of_queue(id, &error))?;
        all.messages += one.messages;
        all.changed += one.changed;
        all.busy += one.busy;
    }
    Ok(acted(&all))
}

fn acted(acted: &Acted) -> Value {
    json!({"messages": acted.messages, "recipients": acted.changed, "busy": acted.busy})
}

/// Gives messages another way, which must be there.
pub(super) async fn reroute(store: &Store, args: Reroute) -> ActResult {
    let way = args.way.trim();
    check_way(store, way)?;
    let way = (way != "usual").then(|| way.into());
    act(store, Act::Reroute(way), args.which).await
}

/// A way that there is.
pub(super) fn check_way(store: &Store, way: &str) -> Result<(), CommandError> {
    let rules = store.rules.get();
    match way {
        "mx" | "usual" => {}
        "smart-host" if store.settings.outbound.smart_host.get().is_some() => {}
        "smart-host" => {
            return Err(usage("no smart host is set (outbound.smart_host)".into()));
        }
        names => {
            let alone = !names.contains(',');
            for name in names.split(',').map(str::trim) {
                let stands_alone = |transport: &Transport| transport.stands_alone();
                if !alone && rules.transports.get(name).is_some_and(stands_alone) {
                    return Err(usage(format!(
                        "{name:?} is no server: only servers can be tried one after the other"
                    )));
                }
                if !rules.transports.contains_key(name) {
                    return Err(usage(format!(
                        "there is no transport {name:?} in the rules file; there are mx, smart-host and usual beside those"
                    )));
                }
            }
        }
    }
    Ok(())
}

/// What waits, domain by domain, with how its site is.
pub(super) async fn stats(store: &Store) -> ActResult {
    let stats = store
        .queue
        .stats(QUEUE_STATS_DOMAINS)
        .await
        .map_err(failed)?;
    let paused = store.queue.paused().await.map_err(failed)?;
    let drain = store.queue.drained_by().await.map_err(failed)?;
    let sites = match store.outgoing.get() {
        Some(watch) => {
            let asked = Box::pin(watch.sites());
            store.runtime.timeout(QUEUE_STATS_PATIENCE, asked).await
        }
        None => Ok(None),
    };
    let sites = sites.ok().flatten();
    let domains: Vec<Value> = stats
        .biggest
        .iter()
        .map(|one| {
            json!({
                "domain": one.domain.to_string(),
                "way": one.way.as_deref(),
                "messages": one.messages,
                "held": one.held,
                "oldest": time(one.oldest.unix_ms()),
                "next_attempt": one.next_ms.map(time),
                "paused": paused.has(&one.domain),
                "reason": one.reason.as_deref(),
            })
        })
        .collect();
    let sites = sites.map(|sites| sites.iter().map(site).collect::<Vec<_>>());
    Ok(json!({
        "messages": stats.messages,
        "domains": stats.domains,
        "paused": paused.everything.map(time),
        "drained_by": drain.as_ref().map(|drain| drain.way.as_ref()),
        "by_domain": domains,
        "sites": sites,
        "servers": store.outgoing.get().map(|watch| {
            let parties = watch.parties();
            let shown = parties.iter().take(QUEUE_STATS_SERVERS);
            shown.map(server).collect::<Vec<_>>()
        }),
        "nodes": store.outgoing.get().and_then(|watch| watch.nodes()).map(|status| {
            json!({"count": status.nodes, "away": status.away})
        }),
        "detours": store.outgoing.get().map(|watch| {
            let detours = watch.detours();
            let shown = detours.iter().take(QUEUE_STATS_SERVERS);
            shown.map(detour).collect::<Vec<_>>()
        }),
    }))
}

/// Who is gone around, and why.
fn detour(status: &DetourStatus) -> Value {
    json!({
        "servers": status.party.as_str(),
        "since": time(status.since.unix_ms),
        "tried_again": time(status.until.unix_ms),
        "said": status.said,
    })
}

/// Whose servers mail goes to, and what is known of how much they take.
pub(super) fn server(status: &PartyStatus) -> Value {
    json!({
        "servers": status.party.as_str(),
        "connections": status.connections,
        "attempts": status.attempts,
        "allowed": status.allowed,
        "connections_max": status.connections_max,
        "share": status.share,
        "refused_at": status.refused.map(|(level, _)| level),
        "tried_again": status.refused.map(|(_, until)| time(until.unix_ms)),
        "per_minute": status.per_minute,
        "rests_until": status.rests_until.map(|until| time(until.unix_ms)),
        "taken": status.taken,
        "turned_away": status.turned_away,
        "signal": status.last.as_ref().map(|last| last.signal.name()),
        "said": status.last.as_ref().map(|last| &last.text),
        "by_data": status.by_data.as_ref().map(|(why, until)| json!({
            "because": why,
            "until": time(until.unix_ms),
        })),
        "said_at": status.last.as_ref().map(|last| time(last.at.unix_ms)),
    })
}

fn site(status: &SiteStatus) -> Value {
    let state = match status.closed_until {
        Some(_) => "down",
        None if status.failures > 0 => "trying",
        None => "up",
    };
    json!({
        "site": status.site.to_string(),
        "state": state,
        "until": status.closed_until.map(|until| time(until.unix_ms)),
        "failures": status.failures,
        "attempts": status.running,
        "listed": status.ready,
    })
}

pub(super) async fn pause(store: &Store, args: Pausing) -> ActResult {
    let domain = paused_domain(&args)?;
    let new = store.queue.pause(domain.as_ref()).await.map_err(failed)?;
    Ok(json!({"changed": new}))
}

pub(super) async fn resume(store: &Store, args: Pausing) -> ActResult {
    let domain = paused_domain(&args)?;
    let was = store.queue.resume(domain.as_ref()).await.map_err(failed)?;
    Ok(json!({"changed": was}))
}

fn paused_domain(args: &Pausing) -> Result<Option<Domain>, CommandError> {
    match (&args.domain, args.all) {
        (Some(domain), false) => parse_domain(domain).map(Some),
        (None, true) => Ok(None),
        _ => Err(usage("say which: --domain or --all".into())),
    }
}

/// What is paused.
pub(super) async fn paused(store: &Store) -> ActResult {
    let paused = store.queue.paused().await.map_err(failed)?;
    let everything = paused.everything.map(|since| ("everything".into(), since));
    let domains = paused.domains.iter();
    let domains = domains.map(|(domain, since)| (domain.to_string(), *since));
    let all = everything.into_iter().chain(domains);
    let all = all.map(|(what, since)| json!({"what": what, "since": time(since)}));
    Ok(all.collect())
}

fn of_queue(id: QueueId, error: &QueueError) -> CommandError {
    match error {
        QueueError::NotFound => CommandError::new(
            FailureKind::NotFound,
            format!("no message {id} waits; `posthouse queue list` shows those that do"),
        ),
        error => failed(error),
    }
}
