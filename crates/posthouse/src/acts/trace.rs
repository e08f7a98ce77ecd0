//! What was refused or accepted, by the id that the reply quoted or by what it names; and what
//! became of what was accepted.

use std::cmp::Reverse;

use admin::control::CommandError;
use intake::traced::{self, Accepted};
use policy::trace::Refused;
use queue::QueueError;
use queue_model::QueueId;
use serde_json::{Value, json};

use super::{ActResult, Named, failed, usage};
use crate::limits::TRACED_SHOWN_MAX;
use crate::store::Store;

/// The newest first.
pub(super) async fn find(store: &Store, args: Named) -> ActResult {
    if args.name.trim().is_empty() {
        return Err(usage("say what: an id, an address, a name".to_owned()));
    }
    let mut found = Vec::new();
    let refused = store.door.trace.find(&args.name, TRACED_SHOWN_MAX).await;
    for refused in refused.map_err(failed)? {
        found.push((refused.at.unix_ms, shown(&refused)));
    }
    let engine = store.engine.clone();
    let accepted = traced::find(engine, &store.runtime, &args.name, TRACED_SHOWN_MAX);
    for accepted in accepted.await.map_err(failed)? {
        found.push((accepted.at_ms, shown_accepted(store, &accepted).await?));
    }
    found.sort_by_key(|(at_ms, _)| Reverse(*at_ms));
    found.truncate(TRACED_SHOWN_MAX);
    Ok(found.into_iter().map(|(_, shown)| shown).collect())
}

async fn shown_accepted(store: &Store, accepted: &Accepted) -> ActResult {
    let mut went = Vec::with_capacity(accepted.went.len());
    for one in &accepted.went {
        let mut shown = json!({"recipient": one.recipient, "to": one.to});
        if let Some(id) = one.queue {
            shown["queue"] = json!(id.to_string());
            shown["now"] = json!(now(store, id, &one.recipient).await?);
        }
        went.push(shown);
    }
    Ok(json!({
        "id": QueueId(accepted.id).to_string(),
        "at": observe::rfc3339(accepted.at_ms),
        "session": accepted.session,
        "door": accepted.door,
        "client": accepted.client,
        "helo": accepted.helo,
        "tls": accepted.tls,
        "user": accepted.user,
        "sender": accepted.sender,
        "accepted": accepted.recipients,
        "bytes": accepted.size,
        "found": accepted.notes,
        "went": went,
    }))
}

/// Where a recipient of a queued message is now, in words.
async fn now(store: &Store, id: QueueId, recipient: &str) -> Result<String, CommandError> {
    let ended = store.queue.ended(id).await.map_err(failed)?;
    if let Some(ended) = ended.iter().rfind(|ended| ended.recipient == recipient) {
        let how = if ended.delivered {
            "delivered"
        } else {
            "given up"
        };
        let at = observe::rfc3339(ended.at_ms);
        return Ok(format!("{how} at {at}: {}", ended.reason));
    }
    match store.queue.show(id).await {
        Ok(listed) => {
            let mut all = listed.recipients();
            let own = all.find(|(known, ..)| known.address.to_string() == recipient);
            Ok(own.map_or_else(
                || "no longer a recipient".to_owned(),
                |(_, state, progress)| match &progress.reason {
                    Some(reason) => format!("{state}: {reason}"),
                    None => state.to_string(),
                },
            ))
        }
        Err(QueueError::NotFound) => Ok("no longer in the queue".to_owned()),
        Err(error) => Err(failed(error)),
    }
}

fn shown(refused: &Refused) -> Value {
    json!({
        "id": format!("{:016x}", refused.id),
        "at": observe::rfc3339(refused.at.unix_ms),
        "client": refused.client,
        "helo": refused.helo,
        "sender": refused.sender,
        (if refused.what == "resend" { "again" } else { "refused" }): refused.what,
        "whom": refused.whom,
        "reply": refused.reply,
        "found": refused.found,
    })
}
