//! Searches that are stored as annotations and named by FILTER (RFC 5466).
//!
//! A stored search may name others, so many times over; one that names itself does not end by
//! then and is as if it were not there.

use crate::limits::{FILTER_BYTES_MAX, FILTER_PASSES_MAX};
use crate::reply::{Reply, store_failed};
use crate::session::Session;
use imap_proto::limits::SEARCH_TEXTS_MAX;
use imap_proto::response::Code;
use imap_proto::{Command, SearchKey};
use std::cell::Cell;

/// Where stored searches are, one's own first.
const PLACES: [&str; 2] = ["/private/filters/values/", "/shared/filters/values/"];

/// Puts stored searches in the place of their names; gives a refusal if one is not there.
pub(super) async fn resolve(session: &Session, command: &mut Command) -> Option<Reply> {
    let is_filter = |key: &SearchKey| matches!(key, SearchKey::Filter(_));
    let key = command.search_key()?;
    if !key.any(&mut |key| is_filter(key)) {
        return None;
    }
    let login = session.login.as_ref()?;
    let annotations = match login.account.annotations().await {
        Ok(annotations) => annotations,
        Err(error) => return Some(store_failed(&error)),
    };
    // What names multiply is bounded, however they name each other.
    let left = Cell::new(FILTER_BYTES_MAX);
    let find = |name: &str| {
        let mut stored = PLACES.iter().filter_map(|place| {
            let entry = format!("{place}{name}");
            annotations.value(None, &entry)
        });
        let stored = stored.next()?;
        left.set(left.get().checked_sub(stored.len())?);
        SearchKey::parse(stored)
    };
    let mut resolved = std::mem::replace(key, SearchKey::All);
    for _ in 0..FILTER_PASSES_MAX {
        resolved = match resolved.resolve(&find) {
            Ok(resolved) => resolved,
            Err(name) => return Some(undefined(name)),
        };
    }
    // RFC 5466 §3.1: what is a name still is one that leads to itself.
    let mut name = None;
    resolved.any(&mut |key| {
        if let SearchKey::Filter(found) = key {
            name = Some(found.clone());
        }
        name.is_some()
    });
    if let Some(name) = name {
        return Some(undefined(name));
    }
    if resolved.texts() > SEARCH_TEXTS_MAX {
        return Some(Reply::bad("too many texts for one search"));
    }
    *key = resolved;
    None
}

fn undefined(name: String) -> Reply {
    let text = "there is no search of that name, or it cannot be read";
    Reply::no(Code::UndefinedFilter(name), text)
}

/// True for an annotation that would be a stored search and is none.
pub(super) fn is_broken(entry: &str, value: &[u8]) -> bool {
    let of_filter = PLACES.iter().any(|place| entry.starts_with(place));
    of_filter && SearchKey::parse(value).is_none()
}
