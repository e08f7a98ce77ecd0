//! A message of the queue as people and programs see it.

use envelope::ReversePath;
use queue::Listed;
use queue_model::State;
use serde_json::{Value, json};

pub(super) fn line(listed: &Listed) -> Value {
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

pub(super) fn whole(listed: &Listed) -> Value {
    let recipients: Vec<Value> = listed
        .recipients()
        .map(|(recipient, state, progress)| {
            json!({
                "address": recipient.address.to_string(),
                "state": state.name(),
                "attempts": progress.attempts,
                "next_attempt": due(state),
                "reason": progress.reason.as_deref(),
                "notify": recipient.notify.to_string(),
                "orcpt": recipient.orcpt.as_ref().map(ToString::to_string),
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
    let ways = listed.progress.ways.iter();
    let ways: Vec<Value> = ways
        .map(|(domain, way)| json!({"domain": domain.to_string(), "way": &**way}))
        .collect();
    let origin = &listed.message.origin;
    let envelope = &listed.message.envelope;
    json!({
        "id": listed.id.to_string(),
        "arrived": time(listed.message.arrived_ms),
        "size": listed.message.size(),
        "sender": sender(listed),
        "session": origin.session,
        "client": origin.client_ip.map(|ip| ip.to_string()),
        "envid": envelope.envid,
        "priority": envelope.priority.map(|priority| priority.to_string()),
        "held_until": envelope.hold_until_ms.map(time),
        "refusal": listed.message.refusal.as_ref().map(envelope::Reply::to_line),
        "recipients": recipients,
        "ways": ways,
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

pub(in crate::acts) fn time(unix_ms: u64) -> String {
    observe::rfc3339(unix_ms)
}
