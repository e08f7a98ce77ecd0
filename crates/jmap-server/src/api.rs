//! A request's calls, carried out one behind the other. RFC 8620 §3

use crate::Jmap;
use crate::auth::{Inside, User};
use crate::budget::Budget;
use crate::limits::{RESPONSE_BYTES_MAX, SET_ANSWER_BYTES, SNIPPETS_TEXT_BYTES_MAX};
use crate::methods;
use crate::session::CAPABILITIES;
use jmap_proto::limits::{OBJECTS_IN_SET_MAX, REFERENCED_VALUES_MAX};
use jmap_proto::{Invocation, MethodError, Request, RequestError, resolve};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What calls of one request share.
pub(crate) struct Calling<'a> {
    pub(crate) jmap: &'a Jmap,
    pub(crate) user: &'a User,
    pub(crate) using: &'a [String],
    /// Ids by creation id.
    pub(crate) created: BTreeMap<String, String>,
    /// Octets that answers may still have.
    pub(crate) room: usize,
    /// What may still be read for them.
    pub(crate) budget: Arc<Budget>,
    /// Octets that snippets may still be looked for in.
    pub(crate) snippet_bytes: u64,
    /// Octets that may still be copied from other accounts' blobs.
    pub(crate) copy_bytes: u64,
}

impl Calling<'_> {
    /// The id that a reference to something created earlier means, or the id itself.
    pub(crate) fn id_of<'b>(&'b self, id: &'b str) -> Option<&'b str> {
        match id.strip_prefix('#') {
            Some(creation) => self.created.get(creation).map(String::as_str),
            None => Some(id),
        }
    }
}

/// What a call is answered with: names and arguments.
pub(crate) type Answers = Vec<(&'static str, Map<String, Value>)>;

impl Jmap {
    pub(crate) async fn answer(
        &self,
        user: &User,
        inside: Inside,
        octets: &[u8],
    ) -> Result<Value, RequestError> {
        let request = Request::parse(octets, &CAPABILITIES)?;
        let asks_created = request.created_ids.is_some();
        let mut calling = Calling {
            jmap: self,
            user,
            using: &request.using,
            created: request.created_ids.unwrap_or_default(),
            room: RESPONSE_BYTES_MAX,
            budget: Arc::new(Budget::of_request(inside)),
            snippet_bytes: SNIPPETS_TEXT_BYTES_MAX,
            copy_bytes: self.upload_bytes_max(),
        };
        let mut answers: Vec<Invocation> = Vec::new();
        let mut referenced = REFERENCED_VALUES_MAX;
        for call in request.calls {
            let Invocation {
                name,
                arguments,
                call_id,
            } = call;
            let resolved = resolve(arguments, &answers, &mut referenced);
            let changes = methods::changes_something(&name);
            let done = match resolved {
                // What is done is told, however much there was before: so there is room for it, or nothing is done.
                Ok(arguments) if changes && calling.room < room_of_changes(&arguments) => {
                    Err(MethodError::RequestTooLarge)
                }
                Ok(arguments) => Box::pin(methods::run(&mut calling, &name, arguments)).await,
                Err(error) => Err(error),
            };
            let done = done.and_then(|done| {
                let size = done
                    .iter()
                    .map(|(_, arguments)| size_of_map(arguments))
                    .sum();
                let left = match changes {
                    true => Some(calling.room.saturating_sub(size)),
                    false => calling.room.checked_sub(size),
                };
                calling.room = left.ok_or(MethodError::RequestTooLarge)?;
                Ok(done)
            });
            match done {
                Ok(done) => answers.extend(done.into_iter().map(|(name, arguments)| Invocation {
                    name: name.to_owned(),
                    arguments,
                    call_id: call_id.clone(),
                })),
                Err(error) => {
                    tracing::debug!(account = %user.id, call = name, %error, "jmap: a call failed");
                    answers.push(Invocation {
                        name: "error".into(),
                        arguments: error.arguments(),
                        call_id,
                    });
                }
            }
        }
        let answers: Vec<Value> = answers.into_iter().map(Invocation::into_value).collect();
        let mut response = json!({
            "methodResponses": answers,
            "sessionState": self.session_state(user).await,
        });
        if asks_created {
            // RFC 8620 §3.4: only if the client gave some.
            response["createdIds"] = json!(calling.created);
        }
        Ok(response)
    }
}

/// What the answer of a method that changes something may have: ids and names come from its arguments, and each
/// object has something of the server's.
fn room_of_changes(arguments: &Map<String, Value>) -> usize {
    2 * size_of_map(arguments) + OBJECTS_IN_SET_MAX * SET_ANSWER_BYTES
}

/// About the octets that a value is written in.
pub(crate) fn size_of(value: &Value) -> usize {
    match value {
        Value::String(text) => size_of_text(text),
        Value::Array(list) => 2 + list.iter().map(|value| size_of(value) + 1).sum::<usize>(),
        Value::Object(object) => size_of_map(object),
        Value::Number(_) => 20,
        Value::Null | Value::Bool(_) => 5,
    }
}

fn size_of_map(object: &Map<String, Value>) -> usize {
    let members = object
        .iter()
        .map(|(name, value)| size_of_text(name) + 2 + size_of(value));
    2 + members.sum::<usize>()
}

/// RFC 8259 §7: what must be escaped takes more room than it has.
fn size_of_text(text: &str) -> usize {
    let escapes = text.bytes().map(|byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 1,
        0..0x20 => 5,
        _ => 0,
    });
    text.len() + 2 + escapes.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_is_larger_than_it_counts() {
        for value in [
            json!("a \"b\" \\ \n\r\t\u{8}\u{c}"),
            json!("\u{1}\u{1f}\u{7f} 你"),
            json!({"\u{2}\n": [1, null, true, "\u{0}"], "b": {}}),
        ] {
            assert!(size_of(&value) >= value.to_string().len(), "{value}");
        }
    }
}
