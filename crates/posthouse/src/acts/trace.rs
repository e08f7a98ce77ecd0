//! What was refused, by the id that the refusal quoted or by what it names.

use policy::trace::Refused;
use serde_json::{Value, json};

use super::{ActResult, Named, failed, usage};
use crate::limits::TRACED_SHOWN_MAX;
use crate::store::Store;

/// The newest first.
pub(super) async fn find(store: &Store, args: Named) -> ActResult {
    if args.name.trim().is_empty() {
        return Err(usage("say what: an id, an address, a name".to_owned()));
    }
    let found = store.door.trace.find(&args.name, TRACED_SHOWN_MAX).await;
    Ok(found.map_err(failed)?.iter().map(shown).collect())
}

fn shown(refused: &Refused) -> Value {
    json!({
        "id": format!("{:016x}", refused.id),
        "at": observe::rfc3339(refused.at.unix_ms),
        "client": refused.client,
        "helo": refused.helo,
        "sender": refused.sender,
        "refused": refused.what,
        "whom": refused.whom,
        "reply": refused.reply,
        "found": refused.found,
    })
}
