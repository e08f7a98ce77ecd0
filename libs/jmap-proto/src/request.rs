//! A request and its calls. RFC 8620 §3.2, §3.3

use crate::error::RequestError;
use crate::id::is_id;
use crate::json;
use crate::limits::{CALL_ID_BYTES_MAX, CALLS_MAX, REQUEST_BYTES_MAX};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A call, or an answer to one.
#[derive(Debug, Clone, PartialEq)]
pub struct Invocation {
    /// The method, or what it answers with.
    pub name: String,
    /// Its arguments.
    pub arguments: Map<String, Value>,
    /// The client's name for the call.
    pub call_id: String,
}

impl Invocation {
    /// As it stands in a response.
    #[must_use]
    pub fn into_value(self) -> Value {
        Value::Array(vec![
            self.name.into(),
            Value::Object(self.arguments),
            self.call_id.into(),
        ])
    }
}

/// What a client asks.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The capabilities that it uses.
    pub using: Vec<String>,
    /// In order.
    pub calls: Vec<Invocation>,
    /// Ids by creation id; none if the client does not ask for them.
    pub created_ids: Option<BTreeMap<String, String>>,
}

impl Request {
    /// Reads a request; `known` are the capabilities that there are.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub fn parse(octets: &[u8], known: &[&str]) -> Result<Self, RequestError> {
        if octets.len() > REQUEST_BYTES_MAX {
            return Err(RequestError::Limit("maxSizeRequest"));
        }
        let value = json::parse(octets).map_err(|why| RequestError::NotJson(why.to_string()))?;
        let Value::Object(mut object) = value else {
            return Err(wrong("it is no object"));
        };
        let using = match object.remove("using") {
            Some(Value::Array(names)) => names.into_iter().map(text).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        let using = using.ok_or_else(|| wrong("using is no list of names"))?;
        if let Some(unknown) = using.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(RequestError::UnknownCapability(unknown.clone()));
        }
        let Some(Value::Array(calls)) = object.remove("methodCalls") else {
            return Err(wrong("methodCalls is no list"));
        };
        if calls.len() > CALLS_MAX {
            return Err(RequestError::Limit("maxCallsInRequest"));
        }
        let calls: Option<Vec<_>> = calls.into_iter().map(call).collect();
        let created_ids = match object.remove("createdIds") {
            None | Some(Value::Null) => None,
            Some(Value::Object(ids)) => {
                let ids = ids.into_iter().map(|(creation, id)| {
                    let id = text(id).filter(|id| is_id(id))?;
                    is_id(&creation).then_some((creation, id))
                });
                let ids = ids.collect::<Option<BTreeMap<_, _>>>();
                Some(ids.ok_or_else(|| wrong("createdIds is no map of ids"))?)
            }
            Some(_) => return Err(wrong("createdIds is no map of ids")),
        };
        Ok(Self {
            using,
            calls: calls.ok_or_else(|| wrong("a call is a name, an object and an id"))?,
            created_ids,
        })
    }
}

fn call(value: Value) -> Option<Invocation> {
    let Value::Array(parts) = value else {
        return None;
    };
    let [name, arguments, call_id] = <[Value; 3]>::try_from(parts).ok()?;
    let Value::Object(arguments) = arguments else {
        return None;
    };
    Some(Invocation {
        name: text(name)?,
        arguments,
        call_id: text(call_id).filter(|id| id.len() <= CALL_ID_BYTES_MAX)?,
    })
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn wrong(text: &str) -> RequestError {
    RequestError::NotRequest(text.to_owned())
}
