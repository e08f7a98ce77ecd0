//! The methods, each in a file of its own.

mod blob_copy;
mod changes;
mod email_get;
mod email_import;
mod email_parse;
pub(crate) mod email_query;
mod email_set;
mod mailbox_get;
mod mailbox_query;
mod mailbox_set;
pub(crate) mod setting;
mod snippet;
mod thread;

use crate::access::Room;
use crate::api::{Answers, Calling};
use crate::look::Look;
use crate::session::{CORE, MAIL};
use jmap_proto::{Arguments, MethodError};
use mailstore::StoreError;
use serde_json::{Map, Value};
use std::sync::Arc;

/// What a method gives.
pub(crate) type Done = Result<Answers, MethodError>;

/// True for a method whose answer tells what it has done.
pub(crate) fn changes_something(name: &str) -> bool {
    let verb = name.split_once('/').map(|(_, verb)| verb);
    matches!(verb, Some("set" | "import" | "copy"))
}

/// Carries out one call.
pub(crate) async fn run(
    calling: &mut Calling<'_>,
    name: &str,
    arguments: Map<String, Value>,
) -> Done {
    let needed = match name.split_once('/') {
        Some(("Core" | "Blob", _)) => CORE,
        _ => MAIL,
    };
    // RFC 8620 §3.3: what `using` does not name is not there.
    if !calling.using.iter().any(|using| using == needed) {
        return Err(MethodError::UnknownMethod);
    }
    let taken = Arguments::new(arguments.clone());
    match name {
        // RFC 8620 §4
        "Core/echo" => Ok(vec![("Core/echo", arguments)]),
        "Mailbox/changes" => changes::mailboxes(calling, taken).await,
        "Mailbox/query" => mailbox_query::query(calling, taken).await,
        "Mailbox/queryChanges" => mailbox_query::query_changes(calling, taken).await,
        "Thread/changes" => changes::threads(calling, taken).await,
        "Email/changes" => changes::emails(calling, taken).await,
        "Email/query" => email_query::query(calling, taken).await,
        "Email/queryChanges" => email_query::query_changes(calling, taken).await,
        "Mailbox/set" => mailbox_set::run(calling, taken).await,
        "Email/set" => email_set::run(calling, taken).await,
        "Email/import" => email_import::import(calling, taken).await,
        "Email/copy" => email_import::copy(calling, taken).await,
        "Email/parse" => email_parse::run(calling, taken).await,
        "Blob/copy" => blob_copy::run(calling, taken).await,
        "SearchSnippet/get" => snippet::run(calling, taken).await,
        "Mailbox/get" => mailbox_get::run(calling, taken).await,
        "Thread/get" => thread::get(calling, taken).await,
        "Email/get" => email_get::run(calling, taken).await,
        _ => Err(MethodError::UnknownMethod),
    }
}

/// The account of a call.
pub(crate) async fn room_of(calling: &Calling<'_>, id: &str) -> Result<Arc<Room>, MethodError> {
    let room = calling.jmap.room(calling.user, id).await?;
    room.ok_or(MethodError::AccountNotFound)
}

/// The account of a call as it is now.
pub(crate) async fn look_of(calling: &Calling<'_>, id: &str) -> Result<Look, MethodError> {
    let room = room_of(calling, id).await?;
    calling.jmap.look(&room).await
}

/// What a client is told of the store's trouble.
pub(crate) fn store_failed(error: &StoreError) -> MethodError {
    tracing::error!(%error, "jmap: the store failed");
    match error.is_temporary() {
        true => MethodError::ServerUnavailable,
        false => MethodError::ServerFail(error.to_string()),
    }
}

/// The answer of a `/get`. RFC 8620 §5.1
pub(crate) fn got(
    account_id: String,
    state: String,
    list: Vec<Value>,
    not_found: Vec<String>,
) -> Map<String, Value> {
    let mut answer = Map::new();
    answer.insert("accountId".into(), account_id.into());
    answer.insert("state".into(), state.into());
    answer.insert("list".into(), list.into());
    answer.insert("notFound".into(), not_found.into());
    answer
}

/// The properties that are asked for, `id` always among them.
///
/// # Errors
/// One that is not known.
pub(crate) fn properties_of(
    asked: Option<Vec<String>>,
    known: &[&'static str],
) -> Result<Vec<&'static str>, MethodError> {
    let Some(asked) = asked else {
        return Ok(known.to_vec());
    };
    let mut chosen = vec!["id"];
    for name in asked {
        let found = known.iter().find(|known| **known == name);
        let found = found.ok_or_else(|| unknown_property(&name))?;
        if !chosen.contains(found) {
            chosen.push(found);
        }
    }
    Ok(chosen)
}

pub(crate) fn unknown_property(name: &str) -> MethodError {
    MethodError::InvalidArguments(format!("there is no property {name:?}"))
}
