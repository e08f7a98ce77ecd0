//! Acts on those who are told what became of mail.

use admin::control::{CommandError, FailureKind};
use serde_json::{Value, json};
use webhooks::{Status, Webhooks};

use super::{ActResult, Named};
use crate::store::Store;

fn running(store: &Store) -> Result<&Webhooks, CommandError> {
    store.webhooks.get().ok_or_else(|| {
        let why = "webhooks are told by a running server, and none runs";
        CommandError::new(FailureKind::Conflict, why.to_owned())
    })
}

pub(super) fn list(store: &Store) -> ActResult {
    let all = running(store)?.list();
    Ok(all.iter().map(shown).collect())
}

pub(super) async fn test(store: &Store, args: Named) -> ActResult {
    match running(store)?.test(&args.name).await {
        Some(Ok(said)) => Ok(json!({"webhook": args.name, "answer": said})),
        Some(Err(why)) => Err(CommandError::new(
            FailureKind::Failed,
            format!("{} has not taken it: {why}", args.name),
        )),
        None => Err(CommandError::new(
            FailureKind::NotFound,
            format!(
                "there is no webhook {:?} in the rules that are in force",
                args.name
            ),
        )),
    }
}

fn shown(status: &Status) -> Value {
    let trouble = status.trouble.as_ref();
    json!({
        "webhook": status.name,
        "url": status.url,
        "waiting": status.waiting,
        "told": status.told,
        "dropped": status.dropped,
        "again_in_seconds": status.again_in.map(|left| left.as_secs()),
        "failed_at": trouble.map(|trouble| observe::rfc3339(trouble.at_ms)),
        "failure": trouble.map(|trouble| trouble.why.as_str()),
    })
}
