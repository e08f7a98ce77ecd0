//! Email/parse (RFC 8621 §4.9): octets looked at as a message.

use super::{Done, look_of, store_failed};
use crate::api::Calling;
use crate::blob_id::BlobRef;
use crate::budget::Room;
use crate::email::message::{Memory, Message};
use crate::email::properties::{DEFAULT, METADATA, Wanted};
use crate::email::values::{Kept, of_message};
use crate::limits::{IMPORTED_AT_ONCE_MAX, NESTED_BYTES_MAX};
use jmap_proto::{Arguments, MethodError};
use serde_json::{Map, Value};
use std::sync::Arc;

/// RFC 8621 §4.9: what is given where nothing is asked for. What belongs to an email in its account is null.
const PARSED: &[&str] = DEFAULT.split_at(METADATA).1;

pub(super) async fn run(calling: &Calling<'_>, mut arguments: Arguments) -> Done {
    let account_id = arguments.account_id()?;
    let blobs = arguments.texts("blobIds", IMPORTED_AT_ONCE_MAX)?;
    let max = jmap_proto::limits::PROPERTIES_MAX;
    let properties = arguments.texts("properties", max)?;
    let wanted = Arc::new(Wanted::take(&mut arguments, properties, PARSED)?);
    arguments.finish()?;
    let blobs = blobs.ok_or_else(|| MethodError::InvalidArguments("blobIds is no list".into()))?;
    let look = look_of(calling, &account_id).await?;
    let (mut parsed, mut not_parsable, mut not_found) = (Map::new(), Vec::new(), Vec::new());
    let mut left = calling.room;
    let turn = calling.jmap.turn(calling.user).await?;
    for id in blobs {
        let opened = calling.jmap.open_blob(&look, &id, &calling.budget).await;
        let (Some(opened), Some(blob)) = (
            opened.map_err(|why| why.method_error())?,
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
        if !calling.budget.take(octets.len() as u64) {
            return Err(MethodError::RequestTooLarge);
        }
        let (wanted, turn) = (Arc::clone(&wanted), turn.clone());
        let work = move || {
            let _turn = turn;
            let room = Room::of(left);
            let source = Memory(&octets);
            let message = Message::indexed(blob, &octets, &source);
            let shown = of_message(&wanted, &Kept::default(), &message, &room);
            (shown, (!room.is_over()).then(|| room.left()))
        };
        let (shown, room) = calling.jmap.shared.ports.runtime.blocking(work).await;
        left = room.ok_or(MethodError::RequestTooLarge)?;
        let shown = shown.map_err(|error| store_failed(&error))?;
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
