//! Email/import, Email/copy and Email/parse (RFC 8621 §4.7, §4.8, §4.9), Blob/copy (RFC 8620 §6.3).

use super::email_set::set_all;
use super::setting::{Commits, Failed, Outcome, check, errors, objects, refused};
use super::{Done, look_of, store_failed};
use crate::api::{Calling, size_of};
use crate::blob_id::{Base, BlobRef};
use crate::email::arriving::{Arriving, Place, deliver, take_in};
use crate::email::keywords;
use crate::email::message::{Memory, Message};
use crate::email::properties::{Property, Wanted};
use crate::email::values::{Kept, of_message};
use crate::limits::{IMPORTED_AT_ONCE_MAX, NESTED_BYTES_MAX};
use crate::look::Look;
use jmap_proto::arguments::{Copy, Set};
use jmap_proto::{Arguments, MethodError, SetError, date};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Octets that are to become an email's.
async fn import_one(
    calling: &Calling<'_>,
    (from, to): (&Look, &Look),
    commits: &mut Commits,
    blob: &str,
    object: &Value,
) -> Result<Value, Failed> {
    let place = Place::of(calling, to, object)?;
    let opened = calling.jmap.open_blob(from, blob).await;
    let Some(opened) = opened.map_err(|error| refused(&error))? else {
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
fn of_from(error: MethodError) -> MethodError {
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
        && let Some((mailbox, entry)) = from.copies(email).next()
    {
        let entry = from.entry(mailbox.id(), entry);
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

/// RFC 8621 §4.9: what is given where nothing is asked for.
const PARSED: [&str; 17] = [
    "messageId",
    "inReplyTo",
    "references",
    "sender",
    "from",
    "to",
    "cc",
    "bcc",
    "replyTo",
    "subject",
    "sentAt",
    "hasAttachment",
    "preview",
    "bodyValues",
    "textBody",
    "htmlBody",
    "attachments",
];

pub(super) async fn parse(calling: &Calling<'_>, mut arguments: Arguments) -> Done {
    let account_id = arguments.account_id()?;
    let blobs = arguments.texts("blobIds", IMPORTED_AT_ONCE_MAX)?;
    let max = jmap_proto::limits::PROPERTIES_MAX;
    let properties = arguments.texts("properties", max)?;
    let mut wanted = Wanted::take(&mut arguments, properties, &PARSED)?;
    arguments.finish()?;
    // RFC 8621 §4.9: what belongs to a mailbox is null.
    wanted
        .properties
        .retain(|property| *property != Property::ReceivedAt);
    let blobs = blobs.ok_or_else(|| MethodError::InvalidArguments("blobIds is no list".into()))?;
    let look = look_of(calling, &account_id).await?;
    let (mut parsed, mut not_parsable, mut not_found) = (Map::new(), Vec::new(), Vec::new());
    let mut left = calling.room;
    for id in blobs {
        let opened = calling.jmap.open_blob(&look, &id).await;
        let (Some(opened), Some(blob)) = (
            opened.map_err(|error| store_failed(&error))?,
            BlobRef::parse(&id),
        ) else {
            not_found.push(id);
            continue;
        };
        let whole = opened
            .whole(NESTED_BYTES_MAX)
            .await
            .map_err(|error| store_failed(&error))?;
        let Some(octets) = whole.filter(|octets| looks_like_a_message(octets)) else {
            not_parsable.push(id);
            continue;
        };
        let wanted = wanted.clone();
        let work = move || {
            let source = Memory(&octets);
            let message = Message::indexed(blob, &octets, &source);
            of_message(&wanted, &Kept::default(), &message)
        };
        let shown = calling.jmap.shared.ports.runtime.blocking(work).await;
        let shown = shown.map_err(|error| store_failed(&error))?;
        left = left
            .checked_sub(size_of(&shown))
            .ok_or(MethodError::RequestTooLarge)?;
        parsed.insert(id, shown);
    }
    let list = |list: Vec<String>| match list.is_empty() {
        true => Value::Null,
        false => list.into(),
    };
    let mut answer = Map::new();
    answer.insert("accountId".into(), account_id.into());
    let parsed = Some(parsed).filter(|parsed| !parsed.is_empty());
    answer.insert("parsed".into(), parsed.map_or(Value::Null, Value::Object));
    answer.insert("notParsable".into(), list(not_parsable));
    answer.insert("notFound".into(), list(not_found));
    Ok(vec![("Email/parse", answer)])
}

/// A header field at its beginning: anything else would be read as a body without a header.
fn looks_like_a_message(octets: &[u8]) -> bool {
    let first = mime::HeaderReader::new(octets).next();
    first.is_some_and(|field| !field.name.is_empty() && field.name.iter().all(u8::is_ascii_graphic))
}

/// Blob/copy: what an account shows becomes an upload of another.
pub(super) async fn copy_blobs(calling: &Calling<'_>, mut arguments: Arguments) -> Done {
    let from_id = arguments.id("fromAccountId")?.unwrap_or_default();
    let account_id = arguments.account_id()?;
    let blobs = arguments
        .texts("blobIds", IMPORTED_AT_ONCE_MAX)?
        .unwrap_or_default();
    arguments.finish()?;
    let from = look_of(calling, &from_id).await;
    let from = from.map_err(of_from)?;
    let to = look_of(calling, &account_id).await?;
    check(&to, None)?;
    let (mut copied, mut not_copied) = (BTreeMap::new(), BTreeMap::new());
    let jmap = calling.jmap;
    for id in blobs {
        let opened = jmap.open_blob(&from, &id).await;
        let Some(mut opened) = opened.map_err(|error| store_failed(&error))? else {
            not_copied.insert(id, SetError::not_found());
            continue;
        };
        let mut writer = jmap.shared.ports.blobs.writer(to.room.account.shard());
        let runtime = &jmap.shared.ports.runtime;
        while let Some(piece) = opened
            .next_piece()
            .await
            .map_err(|error| store_failed(&error))?
        {
            let work = move || writer.push(&piece).map(|()| writer);
            writer = runtime
                .blocking(work)
                .await
                .map_err(|error| store_failed(&error.into()))?;
        }
        let finish = move || {
            let mut blob = writer.finish()?;
            blob.settle()?;
            Ok::<_, blobs::BlobError>(blob)
        };
        let blob = runtime
            .blocking(finish)
            .await
            .map_err(|error| store_failed(&error.into()))?;
        let base = Base::Upload(jmap.keep_upload(to.room.user(), blob));
        let new = BlobRef {
            base,
            path: Vec::new(),
        };
        copied.insert(id, new.to_string().into());
    }
    let mut answer = Map::new();
    answer.insert("fromAccountId".into(), from_id.into());
    answer.insert("accountId".into(), account_id.into());
    answer.insert("copied".into(), objects(copied));
    answer.insert("notCopied".into(), errors(not_copied));
    Ok(vec![("Blob/copy", answer)])
}
