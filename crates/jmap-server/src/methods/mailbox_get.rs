//! Mailbox/get (RFC 8621 §2.1).

use super::{Done, got, look_of, properties_of, store_failed};
use crate::api::Calling;
use crate::limits::INLINE_EMAILS;
use crate::look::Look;
use crate::threads::ThreadCounts;
use jmap_proto::Arguments;
use jmap_proto::arguments::Get;
use mailbox_model::{Mailbox, MailboxId, Role};
use mailstore::{Annotations, Rights};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// All properties of a mailbox.
pub(crate) const PROPERTIES: [&str; 11] = [
    "id",
    "name",
    "parentId",
    "role",
    "sortOrder",
    "totalEmails",
    "unreadEmails",
    "totalThreads",
    "unreadThreads",
    "myRights",
    "isSubscribed",
];

/// Those that a client does not set.
pub(crate) const OF_SERVER: [&str; 6] = [
    "id",
    "totalEmails",
    "unreadEmails",
    "totalThreads",
    "unreadThreads",
    "myRights",
];

/// Where a mailbox's sort order is kept: an annotation (RFC 5464).
pub(crate) const SORT_ORDER: &str = "/private/vendor/posthouse/sort-order";

pub(super) async fn run(calling: &Calling<'_>, mut arguments: Arguments) -> Done {
    let get = Get::take(&mut arguments)?;
    arguments.finish()?;
    let properties = properties_of(get.properties, &PROPERTIES)?;
    let look = look_of(calling, &get.account_id).await?;
    let orders = look.room.account.annotations().await;
    let orders = orders.map_err(|error| store_failed(&error))?;
    let mut mailboxes = Vec::new();
    let mut not_found = Vec::new();
    match get.ids {
        None => mailboxes.extend(look.mailboxes().cloned()),
        Some(ids) => {
            for id in ids {
                match calling.id_of(&id).and_then(|id| look.mailbox(id)) {
                    Some(mailbox) => mailboxes.push(Arc::clone(mailbox)),
                    None => not_found.push(id),
                }
            }
        }
    }
    let mut threads = match properties.iter().any(|name| name.ends_with("Threads")) {
        true => Some(ThreadCounts::new(look.threads().await?)),
        false => None,
    };
    let seen = look.clone();
    let mut work = move || -> Vec<Value> {
        let mailboxes = mailboxes.iter();
        mailboxes
            .map(|mailbox| show(&seen, mailbox, &orders, threads.as_mut(), &properties))
            .collect()
    };
    // Threads are counted by looking at each email.
    let list = match look.places.len() > INLINE_EMAILS {
        true => calling.jmap.shared.ports.runtime.blocking(work).await,
        false => work(),
    };
    let answer = got(get.account_id, look.state(), list, not_found);
    Ok(vec![("Mailbox/get", answer)])
}

/// A mailbox with some of its properties.
pub(crate) fn show(
    look: &Look,
    mailbox: &Mailbox,
    orders: &Annotations,
    threads: Option<&mut ThreadCounts>,
    properties: &[&str],
) -> Value {
    let mut shown = Map::new();
    let counts = properties.iter().any(|name| name.ends_with("Emails"));
    let counts = if counts {
        emails(look, mailbox)
    } else {
        (0, 0)
    };
    let threads = threads.map_or((0, 0), |threads| threads.of(mailbox));
    for &property in properties {
        let value = match property {
            "id" => look.mailbox_id(mailbox.id()).into(),
            "name" => place(look, mailbox).1.into(),
            "parentId" => place(look, mailbox).0.map(|id| look.mailbox_id(id)).into(),
            "role" => role(mailbox).into(),
            "sortOrder" => sort_order(orders, mailbox.id()).into(),
            "totalEmails" => counts.0.into(),
            "unreadEmails" => counts.1.into(),
            "totalThreads" => threads.0.into(),
            "unreadThreads" => threads.1.into(),
            "myRights" => rights(look, mailbox),
            _ => is_subscribed(look, mailbox).into(),
        };
        shown.insert(property.to_owned(), value);
    }
    Value::Object(shown)
}

/// The mailbox above, as far as the user sees one, and the name below it. A level that is no
/// mailbox has no id: it stays in the name.
pub(crate) fn place<'a>(look: &Look, mailbox: &'a Mailbox) -> (Option<MailboxId>, &'a str) {
    let name = mailbox.name().as_str();
    let mut above = mailbox.name().parent();
    while let Some(parent) = above {
        let found = look.view().mailbox_named(&parent);
        if let Some(found) = found.filter(|found| look.room.shows(found.id())) {
            return (Some(found.id()), &name[parent.as_str().len() + 1..]);
        }
        above = parent.parent();
    }
    (None, name)
}

/// Its role in JMAP.
pub(crate) fn role(mailbox: &Mailbox) -> Option<&'static str> {
    mailbox.role().map(Role::name)
}

/// RFC 8621 §2: each user's own; to others' mailboxes there are none here.
pub(crate) fn is_subscribed(look: &Look, mailbox: &Mailbox) -> bool {
    look.room.is_own() && look.view().is_subscribed(mailbox.name())
}

pub(crate) fn sort_order(orders: &Annotations, mailbox: MailboxId) -> u32 {
    let value = orders.value(Some(mailbox), SORT_ORDER);
    let text = value.and_then(|value| std::str::from_utf8(value).ok());
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// How many emails, and how many of them unread.
fn emails(look: &Look, mailbox: &Mailbox) -> (u64, u64) {
    let counters = mailbox.counters();
    if counters.deleted == 0 && look.room.is_own() {
        return (counters.messages, counters.unseen);
    }
    let shown = mailbox.entries().iter().filter(|entry| !entry.deleted);
    shown.fold((0, 0), |(all, unread), entry| {
        let seen = look.is_seen(entry);
        (all + 1, unread + u64::from(!seen))
    })
}

fn rights(look: &Look, mailbox: &Mailbox) -> Value {
    rights_of(look.room.rights(mailbox.id()), mailbox.name().is_inbox())
}

/// RFC 8621 §2; the letters of RFC 4314 that they mean.
pub(crate) fn rights_of(rights: Rights, inbox: bool) -> Value {
    json!({
        "mayReadItems": rights.has(Rights::READ | Rights::LOOKUP),
        "mayAddItems": rights.has(Rights::INSERT),
        "mayRemoveItems": rights.has(Rights::DELETE | Rights::EXPUNGE),
        "maySetSeen": rights.has(Rights::SEEN),
        "maySetKeywords": rights.has(Rights::WRITE),
        "mayCreateChild": rights.has(Rights::CREATE),
        "mayRename": rights.has(Rights::DELETE_MAILBOX) && !inbox,
        "mayDelete": rights.has(Rights::DELETE_MAILBOX) && !inbox,
        "maySubmit": rights.has(Rights::POST),
    })
}
