//! What a hook is told, as JSON. docs/policy.md is the contract.

use queue::Told;
use serde_json::{Value, json};

/// Outcomes for a hook of this name.
pub(crate) fn outcomes(hook: &str, told: &[Told]) -> String {
    let events: Vec<Value> = told.iter().map(event).collect();
    json!({"webhook": hook, "events": events}).to_string()
}

/// What is told for a test.
pub(crate) fn test(hook: &str, id: &str, now_ms: u64) -> String {
    let event = json!({"id": id, "event": "test", "time": observe::rfc3339(now_ms)});
    json!({"webhook": hook, "events": [event]}).to_string()
}

pub(crate) fn event(told: &Told) -> Value {
    let mut event = json!({
        "id": format!("{}-{}-{:x}", told.id, told.place, told.number),
        "event": told.became.as_str(),
        "time": observe::rfc3339(told.at_ms),
        "message": told.id.to_string(),
        "sender": told.sender,
        "recipient": told.recipient,
        "attempts": told.attempts,
        "host": told.host,
        "reason": told.reason,
    });
    if let Some(until_ms) = told.until_ms {
        event["again"] = observe::rfc3339(until_ms).into();
    }
    event
}
