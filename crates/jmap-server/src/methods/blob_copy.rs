//! Blob/copy (RFC 8620 §6.3): what an account shows becomes an upload of another.

use super::email_import::of_from;
use super::setting::{check, errors, objects, refused};
use super::{Done, look_of};
use crate::api::Calling;
use crate::auth::Door;
use crate::blob_id::{Base, BlobRef};
use crate::blobs_of::Opened;
use crate::limits::IMPORTED_AT_ONCE_MAX;
use crate::look::Look;
use crate::uploads::{Incoming, NotKept};
use jmap_proto::{Arguments, MethodError, SetError};
use serde_json::Map;
use std::collections::{BTreeMap, BTreeSet};

pub(super) async fn run(calling: &mut Calling<'_>, mut arguments: Arguments) -> Done {
    let from_id = arguments.id("fromAccountId")?.unwrap_or_default();
    let account_id = arguments.account_id()?;
    let blobs = arguments.texts("blobIds", IMPORTED_AT_ONCE_MAX)?;
    arguments.finish()?;
    let from = look_of(calling, &from_id).await;
    let from = from.map_err(of_from)?;
    let to = look_of(calling, &account_id).await?;
    check(&to, None)?;
    let jmap = calling.jmap;
    // What is copied is an upload.
    let inside = jmap.pass(calling.user, Door::Uploads);
    let _inside = inside.map_err(|_| MethodError::ServerUnavailable)?;
    let (mut copied, mut not_copied) = (BTreeMap::new(), BTreeMap::new());
    let is_same = from.room.account.id() == to.room.account.id();
    for id in blobs.into_iter().flatten().collect::<BTreeSet<_>>() {
        let opened = jmap.open_blob(&from, &id, &calling.budget).await;
        let opened = opened.map_err(|why| why.method_error())?;
        let done = match opened {
            None => Err(SetError::not_found()),
            // It is there already: what a user has uploaded is his in every account.
            Some(_) if is_same || is_upload(&id) => Ok(id.clone()),
            Some(opened) => copy_one(calling, &to, opened).await,
        };
        match done {
            Ok(new) => drop(copied.insert(id, new.into())),
            Err(error) => drop(not_copied.insert(id, error)),
        }
    }
    let mut answer = Map::new();
    answer.insert("fromAccountId".into(), from_id.into());
    answer.insert("accountId".into(), account_id.into());
    answer.insert("copied".into(), objects(copied));
    answer.insert("notCopied".into(), errors(not_copied));
    Ok(vec![("Blob/copy", answer)])
}

fn is_upload(id: &str) -> bool {
    BlobRef::parse(id).is_some_and(|blob| matches!(blob.base, Base::Upload(_)))
}

async fn copy_one(
    calling: &mut Calling<'_>,
    to: &Look,
    mut opened: Opened,
) -> Result<String, SetError> {
    let jmap = calling.jmap;
    let mut incoming = Incoming::new(jmap, calling.user, &to.room.account);
    let size = match opened.size {
        Some(size) => size,
        None => {
            let survey = opened.survey().await;
            survey.map_err(|why| why.set_error())?.size
        }
    };
    incoming.check(size).map_err(not_kept)?;
    // More than an account keeps would push out what was copied before.
    let left = calling.copy_bytes.checked_sub(size);
    calling.copy_bytes = left.ok_or_else(|| {
        let text = "more than is kept was copied by this request";
        SetError::new("rateLimit", text)
    })?;
    while let Some(piece) = opened.next_piece().await.map_err(|error| refused(&error))? {
        incoming = incoming.push(jmap, piece).await.map_err(not_kept)?;
    }
    let (number, _) = incoming.finish(jmap).await.map_err(not_kept)?;
    let new = BlobRef {
        base: Base::Upload(number),
        path: Vec::new(),
    };
    Ok(new.to_string())
}

fn not_kept(why: NotKept) -> SetError {
    match why {
        NotKept::TooLarge => SetError::new("tooLarge", "there are too many octets"),
        NotKept::OverQuota(over) => SetError::new("overQuota", over.to_string()),
        NotKept::Failed(error) => refused(&error),
    }
}
