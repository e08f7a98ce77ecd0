//! Acts on mail that waits.

use admin::control::{CommandError, FailureKind};
use envelope::ReversePath;
use queue::{Act, Acted, Filter, Listed, QueueError};
use queue_model::{QueueId, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ActResult, failed, optional, parse_address, parse_domain, usage};
use crate::limits::{QUEUE_LISTED_MAX, QUEUE_PAGE};
use crate::store::Store;

/// Which messages: ids, or all that a filter takes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Which {
    pub(crate) ids: Vec<String>,
    pub(crate) all: bool,
    pub(crate) domain: Option<String>,
    pub(crate) sender: Option<String>,
}

impl Which {
    fn filter(&self) -> Result<Filter, CommandError> {
        let sender = |text: &str| match text {
            "" | "<>" => Ok(ReversePath::Null),
            _ => parse_address(text).map(ReversePath::Address),
        };
        Ok(Filter {
            domain: optional(self.domain.as_deref(), parse_domain)?,
            sender: optional(self.sender.as_deref(), sender)?,
            ..Filter::default()
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
        self.ids.is_empty() && !self.all && self.domain.is_none() && self.sender.is_none()
    }
}

/// One line for each message; with more than [`QUEUE_LISTED_MAX`] the rest is left out.
pub(super) async fn list(store: &Store, which: Which) -> ActResult {
    Ok(listed(store, &which).await?.iter().map(line).collect())
}

/// Everything about each message.
pub(super) async fn show(store: &Store, which: Which) -> ActResult {
    if which.is_empty() {
        return Err(usage(
            "say which: ids, --all, --domain or --sender".to_owned(),
        ));
    }
    Ok(listed(store, &which).await?.iter().map(whole).collect())
}

async fn listed(store: &Store, which: &Which) -> Result<Vec<Listed>, CommandError> {
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
        return Ok(found);
    }
    let filter = which.filter()?;
    let mut from = None;
    loop {
        let page = store
            .queue
            .list(&filter, from, QUEUE_PAGE)
            .await
            .map_err(failed)?;
        for (id, why) in &page.damaged {
            tracing::warn!(%id, why, "a message of the queue cannot be read");
        }
        found.extend(page.messages);
        from = page.next;
        if from.is_none() || found.len() >= QUEUE_LISTED_MAX {
            return Ok(found);
        }
    }
}

/// Does something with each message; says how many recipients it changed, and how many were in the middle of an attempt.
pub(super) async fn act(store: &Store, act: Act, which: Which) -> ActResult {
    if which.is_empty() {
        return Err(usage(
            "say which: ids, --all, --domain or --sender".to_owned(),
        ));
    }
    let mut acted = Acted::default();
    if which.ids.is_empty() {
        let filter = which.filter()?;
        let all = store.queue.act_on_all(&filter, act.clone());
        acted = all.await.map_err(failed)?;
    }
    for id in which.ids()? {
        let one = store
            .queue
            .act(id, act.clone())
            .await
            .map_err(|error| of_queue(id, &error))?;
        acted.changed += one.changed;
        acted.busy += one.busy;
    }
    Ok(json!({"recipients": acted.changed, "busy": acted.busy}))
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

fn line(listed: &Listed) -> Value {
    let mut next_ms: Option<u64> = None;
    let mut reason = None;
    let mut state = "done";
    let mut recipients = Vec::new();
    for (recipient, recipient_state, progress) in listed.recipients() {
        if recipient_state.is_final() {
            continue;
        }
        recipients.push(recipient.address.to_string());
        state = recipient_state.name();
        next_ms = match (next_ms, recipient_state.due_ms()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        reason = reason.or_else(|| progress.reason.as_deref().map(str::to_owned));
    }
    json!({
        "id": listed.id.to_string(),
        "state": state,
        "arrived": time(listed.message.arrived_ms),
        "size": listed.message.size(),
        "sender": sender(listed),
        "recipients": recipients,
        "next_attempt": next_ms.map(time),
        "reason": reason,
    })
}

fn whole(listed: &Listed) -> Value {
    let recipients: Vec<Value> = listed
        .recipients()
        .map(|(recipient, state, progress)| {
            json!({
                "address": recipient.address.to_string(),
                "state": state.name(),
                "attempts": progress.attempts,
                "next_attempt": due(state),
                "reason": progress.reason.as_deref(),
            })
        })
        .collect();
    let attempts: Vec<Value> = listed
        .progress
        .history
        .iter()
        .map(|attempt| {
            json!({
                "at": time(attempt.at_ms),
                "site": attempt.site,
                "delivered": attempt.delivered,
                "deferred": attempt.deferred,
                "failed": attempt.failed,
                "reason": attempt.reason.as_deref(),
            })
        })
        .collect();
    let origin = &listed.message.origin;
    json!({
        "id": listed.id.to_string(),
        "arrived": time(listed.message.arrived_ms),
        "size": listed.message.size(),
        "sender": sender(listed),
        "session": origin.session,
        "client": origin.client_ip.map(|ip| ip.to_string()),
        "recipients": recipients,
        "attempts": attempts,
    })
}

fn sender(listed: &Listed) -> String {
    match &listed.message.envelope.reverse_path {
        ReversePath::Null => "<>".to_owned(),
        ReversePath::Address(address) => address.to_string(),
    }
}

fn due(state: State) -> Option<String> {
    state.due_ms().map(time)
}

fn time(unix_ms: u64) -> String {
    observe::rfc3339(unix_ms)
}
