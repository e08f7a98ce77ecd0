//! Email/get (RFC 8621 §4.2).

use super::{Done, got, look_of};
use crate::api::Calling;
use crate::blob_id::BlobRef;
use crate::budget::{Budget, Room};
use crate::email::keywords;
use crate::email::message::{Message, Stored};
use crate::email::properties::{DEFAULT, Property, Wanted};
use crate::email::values::{Kept, of_entry, of_message};
use crate::limits::RECORDS_PER_READ;
use crate::look::Look;
use crate::threads::ShownThreads;
use jmap_proto::arguments::Get;
use jmap_proto::limits::OBJECTS_IN_GET_MAX;
use jmap_proto::{Arguments, MethodError};
use mailbox_model::EmailId;
use mailstore::{EmailReader, EmailRecord, RecordError, StoreError, object_id};
use serde_json::{Map, Value};
use std::sync::Arc;

pub(super) async fn run(calling: &Calling<'_>, mut arguments: Arguments) -> Done {
    let mut get = Get::take(&mut arguments)?;
    let mut wanted = Wanted::take(&mut arguments, get.properties.take(), &DEFAULT)?;
    arguments.finish()?;
    if !wanted.properties.contains(&Property::Id) {
        wanted.properties.push(Property::Id);
    }
    let look = look_of(calling, &get.account_id).await?;
    let mut not_found = Vec::new();
    let emails: Vec<EmailId> = match get.ids {
        None => {
            let all: Vec<_> = look
                .emails()
                .map(|(id, _)| id)
                .take(OBJECTS_IN_GET_MAX + 1)
                .collect();
            if all.len() > OBJECTS_IN_GET_MAX {
                return Err(MethodError::RequestTooLarge);
            }
            all
        }
        Some(ids) => {
            let mut found = Vec::with_capacity(ids.len());
            for id in ids {
                match calling.id_of(&id).and_then(|id| look.email(id)) {
                    Some(email) => found.push(email),
                    None => not_found.push(id),
                }
            }
            found
        }
    };
    let (list, broken) = show_all(&look, &emails, wanted, calling.room, &calling.budget).await?;
    not_found.extend(broken.into_iter().map(|email| look.email_id(email)));
    let answer = got(get.account_id, look.state(), list, not_found);
    Ok(vec![("Email/get", answer)])
}

/// Emails with the properties that are asked for, `room` octets of them at most, and those that
/// cannot be read.
async fn show_all(
    look: &Look,
    emails: &[EmailId],
    wanted: Wanted,
    room: usize,
    budget: &Arc<Budget>,
) -> Result<(Vec<Value>, Vec<EmailId>), MethodError> {
    let wanted = Arc::new(wanted);
    let threads = match wanted.properties.contains(&Property::ThreadId) {
        true => Some(look.threads().await?),
        false => None,
    };
    let mut left = room;
    let (mut list, mut broken) = (Vec::new(), Vec::new());
    for some in emails.chunks(RECORDS_PER_READ) {
        let kept: Vec<(EmailId, Kept, u64)> = some
            .iter()
            .filter_map(|email| {
                let (kept, size) = kept(look, threads.as_ref(), *email)?;
                Some((*email, kept, size))
            })
            .collect();
        if !wanted.needs_record() {
            list.extend(kept.iter().map(|(email, kept, size)| {
                of_entry(&wanted, kept, &BlobRef::email(*email).to_string(), *size)
            }));
            continue;
        }
        let (wanted, budget) = (Arc::clone(&wanted), Arc::clone(budget));
        let work = move |emails: &EmailReader| {
            let room = Room::of(left);
            let ids: Vec<EmailId> = kept.iter().map(|(email, ..)| *email).collect();
            let records = emails.email_records(&ids);
            let mut shown = Vec::with_capacity(ids.len());
            for ((email, mut kept, _), record) in kept.into_iter().zip(records) {
                let value = match record {
                    Ok(record) => {
                        let source = Stored::new(emails, &record, &budget);
                        show(&source, email, &record, &wanted, &mut kept, &room)
                    }
                    Err(error) => Err(error.into()),
                };
                if room.is_over() || budget.is_spent() {
                    return None;
                }
                shown.push((email, value));
            }
            Some((shown, room.left()))
        };
        let shown = look.room.account.reading(work).await;
        let (shown, room) = shown.ok_or(MethodError::RequestTooLarge)?;
        left = room;
        for (email, value) in shown {
            match value {
                Ok(value) => list.push(value),
                Err(StoreError::Record(RecordError::Missing(_))) => broken.push(email),
                Err(error) => {
                    tracing::error!(account = %look.room.account.id(), %email, %error, "jmap: an email cannot be read");
                    broken.push(email);
                }
            }
        }
    }
    Ok((list, broken))
}

fn show(
    source: &Stored<'_>,
    email: EmailId,
    record: &EmailRecord,
    wanted: &Wanted,
    kept: &mut Kept,
    room: &Room,
) -> Result<Value, StoreError> {
    kept.received_at = Some(record.received_at.unix_seconds);
    let damaged = |error| RecordError::Damaged(email, error);
    let message = Message::stored(BlobRef::email(email), record, source, damaged)?;
    of_message(wanted, kept, &message, room)
}

/// What entries say of an email.
fn kept(look: &Look, threads: Option<&ShownThreads>, email: EmailId) -> Option<(Kept, u64)> {
    let mut mailbox_ids = Map::new();
    let mut first = None;
    for (mailbox, entry) in look.copies(email) {
        mailbox_ids.insert(look.mailbox_id(mailbox.id()), true.into());
        if first.is_none() {
            first = Some(look.entry(entry));
        }
    }
    let entry = first?;
    let thread = threads.map(|threads| threads.of(email));
    let kept = Kept {
        id: look.email_id(email).into(),
        thread_id: thread
            .map(|first| object_id::of_thread(first, look.room.owner()))
            .into(),
        mailbox_ids: mailbox_ids.into(),
        keywords: keywords::of_entry(look.view(), &entry).into(),
        received_at: None,
    };
    Some((kept, entry.size()))
}
