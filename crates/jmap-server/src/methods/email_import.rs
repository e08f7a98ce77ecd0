//! Email/import and Email/copy (RFC 8621 §4.7, §4.8).

use super::email_set::set_all;
use super::setting::{Commits, Failed, Outcome, check, errors, objects, refused};
use super::{Done, look_of};
use crate::api::Calling;
use crate::blob_id::BlobRef;
use crate::email::arriving::{Arriving, Place, deliver, take_in};
use crate::email::keywords;
use crate::limits::IMPORTED_AT_ONCE_MAX;
use crate::look::Look;
use jmap_proto::arguments::{Copy, Set};
use jmap_proto::{Arguments, MethodError, SetError, date};
use serde_json::{Map, Value};

/// Octets that are to become an email's.
async fn import_one(
    calling: &Calling<'_>,
    (from, to): (&Look, &Look),
    commits: &mut Commits,
    blob: &str,
    object: &Value,
) -> Result<Value, Failed> {
    let place = Place::of(calling, to, object)?;
    let opened = calling.jmap.open_blob(from, blob, &calling.budget).await;
    let Some(opened) = opened.map_err(|why| why.set_error())? else {
        let error = SetError::new("blobNotFound", "there is nothing of that id");
        return Err(error.with("notFound", vec![blob]).into());
    };
    let message = take_in(calling.jmap, to, opened).await?;
    deliver(calling.jmap, to, commits, Arriving { message, place }).await
}

pub(super) async fn import(calling: &mut Calling<'_>, mut arguments: Arguments) -> Done {
    let account_id = arguments.account_id()?;
    let if_in_state = arguments.text("ifInState")?;
    let emails = arguments.object("emails")?;
    arguments.finish()?;
    let emails =
        emails.ok_or_else(|| MethodError::InvalidArguments("emails is no object".into()))?;
    if emails.len() > IMPORTED_AT_ONCE_MAX {
        return Err(MethodError::RequestTooLarge);
    }
    let look = look_of(calling, &account_id).await?;
    check(&look, if_in_state.as_deref())?;
    let mut commits = Commits::new(if_in_state.as_deref());
    let mut outcome = Outcome::default();
    for (creation, object) in emails {
        let known = ["blobId", "mailboxIds", "keywords", "receivedAt"];
        let members = object.as_object().into_iter().flat_map(Map::keys);
        let unknown: Vec<&String> = members
            .filter(|name| !known.contains(&name.as_str()))
            .collect();
        let done = match unknown.is_empty() {
            true => {
                let blob = object["blobId"].as_str().unwrap_or_default();
                import_one(calling, (&look, &look), &mut commits, blob, &object).await
            }
            false => {
                let unknown = unknown.into_iter().cloned();
                Err(SetError::invalid_properties(unknown, "they are not known").into())
            }
        };
        outcome.note_created(calling, creation, done)?;
    }
    let (old, new) = commits.states(&look);
    let mut answer = Map::new();
    answer.insert("accountId".into(), account_id.into());
    answer.insert("oldState".into(), old.into());
    answer.insert("newState".into(), new.into());
    answer.insert("created".into(), objects(outcome.created));
    answer.insert("notCreated".into(), errors(outcome.not_created));
    Ok(vec![("Email/import", answer)])
}

/// Of the account copied from.
pub(super) fn of_from(error: MethodError) -> MethodError {
    match error {
        MethodError::AccountNotFound => MethodError::FromAccountNotFound,
        other => other,
    }
}

pub(super) async fn copy(calling: &mut Calling<'_>, mut arguments: Arguments) -> Done {
    let asked = Copy::take(&mut arguments)?;
    arguments.finish()?;
    if asked.create.len() > IMPORTED_AT_ONCE_MAX {
        return Err(MethodError::RequestTooLarge);
    }
    let from = look_of(calling, &asked.from_account_id).await;
    let from = from.map_err(of_from)?;
    if asked
        .if_from_in_state
        .as_ref()
        .is_some_and(|state| *state != from.state())
    {
        return Err(MethodError::FromAccountStateMismatch);
    }
    let to = look_of(calling, &asked.account_id).await?;
    check(&to, asked.if_in_state.as_deref())?;
    let mut commits = Commits::new(asked.if_in_state.as_deref());
    let mut outcome = Outcome::default();
    let mut originals = Vec::new();
    for (creation, object) in asked.create {
        let done = copy_one(calling, (&from, &to), &mut commits, &object).await;
        if let (true, Some(Value::String(id))) = (done.is_ok(), object.get("id")) {
            originals.push(id.clone());
        }
        outcome.note_created(calling, creation, done)?;
    }
    let (old, new) = commits.states(&to);
    let mut answer = Map::new();
    answer.insert("fromAccountId".into(), asked.from_account_id.clone().into());
    answer.insert("accountId".into(), asked.account_id.into());
    answer.insert("oldState".into(), old.into());
    answer.insert("newState".into(), new.into());
    answer.insert("created".into(), objects(outcome.created));
    answer.insert("notCreated".into(), errors(outcome.not_created));
    let mut answers = vec![("Email/copy", answer)];
    if asked.destroy_original && !originals.is_empty() {
        // RFC 8620 §5.4: an implicit call, answered by itself.
        let set = Set {
            account_id: asked.from_account_id,
            if_in_state: asked.destroy_from_if_in_state,
            create: Vec::new(),
            update: Vec::new(),
            destroy: originals,
        };
        answers.push(match set_all(calling, set).await {
            Ok(answer) => ("Email/set", answer),
            Err(error) => ("error", error.arguments()),
        });
    }
    Ok(answers)
}

async fn copy_one(
    calling: &Calling<'_>,
    (from, to): (&Look, &Look),
    commits: &mut Commits,
    object: &Map<String, Value>,
) -> Result<Value, Failed> {
    let known = ["id", "mailboxIds", "keywords", "receivedAt"];
    if let Some(unknown) = object.keys().find(|name| !known.contains(&name.as_str())) {
        let error = SetError::invalid_properties([unknown], "it is not copied otherwise");
        return Err(error.into());
    }
    let id = object.get("id").and_then(Value::as_str).unwrap_or_default();
    let email = from.email(id).ok_or_else(SetError::not_found)?;
    let mut object = Value::Object(object.clone());
    // What is not said stays as it is.
    if object["keywords"].is_null()
        && let Some((_, entry)) = from.copies(email).next()
    {
        let entry = from.entry(entry);
        object["keywords"] = keywords::of_entry(from.view(), &entry).into();
    }
    if object["receivedAt"].is_null() {
        let record = from.room.account.email_record(email).await;
        let record = record.map_err(|error| refused(&error.into()))?;
        object["receivedAt"] = date::write_utc(record.received_at.unix_seconds).into();
    }
    let blob = BlobRef::email(email).to_string();
    import_one(calling, (from, to), commits, &blob, &object).await
}
