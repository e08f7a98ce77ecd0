//! Thread/get (RFC 8621 §3.1).

use super::{Done, got, look_of, properties_of};
use crate::api::Calling;
use crate::limits::THREAD_EMAILS_MAX;
use crate::look::Look;
use jmap_proto::arguments::Get;
use jmap_proto::{Arguments, MethodError};
use mailbox_model::EmailId;
use mailstore::object_id;
use serde_json::{Value, json};
use std::collections::HashMap;

pub(super) async fn get(calling: &Calling<'_>, mut arguments: Arguments) -> Done {
    let get = Get::take(&mut arguments)?;
    arguments.finish()?;
    let properties = properties_of(get.properties, &["id", "emailIds"])?;
    let look = look_of(calling, &get.account_id).await?;
    // RFC 8620 §5.1: all of them only where they are few.
    let ids = get.ids.ok_or(MethodError::RequestTooLarge)?;
    let of_look = look.threads().await?;
    let (mut threads, mut not_found): (Vec<_>, Vec<String>) = Default::default();
    for id in ids {
        let first = object_id::thread_of(&id, look.room.owner());
        let members = first.map(|first| of_look.emails(first)).unwrap_or_default();
        match members.is_empty() {
            true => not_found.push(id),
            false => threads.push((id, members)),
        }
    }
    let with_emails = properties.contains(&"emailIds");
    if with_emails {
        by_date(&look, &mut threads).await?;
    }
    let list = threads.into_iter().map(|(id, members)| {
        let mut thread = json!({ "id": id });
        if with_emails {
            let members = members.iter().map(|email| look.email_id(*email));
            thread["emailIds"] = members.collect();
        }
        thread
    });
    let list: Vec<Value> = list.collect();
    Ok(vec![(
        "Thread/get",
        got(get.account_id, look.state(), list, not_found),
    )])
}

/// RFC 8621 §3: the emails of each thread by `receivedAt`, the oldest first.
async fn by_date(look: &Look, threads: &mut [(String, Vec<EmailId>)]) -> Result<(), MethodError> {
    let several = threads.iter().filter(|(_, members)| members.len() > 1);
    let mut emails: Vec<EmailId> = several.flat_map(|(_, members)| members).copied().collect();
    emails.sort_unstable();
    emails.dedup();
    if emails.len() > THREAD_EMAILS_MAX {
        return Err(MethodError::RequestTooLarge);
    }
    let listings = look.room.account.listings(&emails).await;
    let dates = emails.into_iter().zip(listings);
    // What cannot be read stands where it came.
    let dates = dates.filter_map(|(email, listing)| {
        let date = listing.ok()?.received_at;
        Some((email, date.unix_seconds))
    });
    let dates: HashMap<EmailId, i64> = dates.collect();
    for (_, members) in threads {
        members.sort_by_key(|email| dates.get(email).copied());
    }
    Ok(())
}
