//! Searches that are stored as annotations and named by FILTER (RFC 5466).
//!
//! A stored search names no other: so none can name itself.

use crate::reply::{Reply, store_failed};
use crate::session::Session;
use imap_proto::response::Code;
use imap_proto::{Command, SearchKey};

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
    let find = |name: &str| {
        let mut stored = PLACES.iter().filter_map(|place| {
            let entry = format!("{place}{name}");
            annotations.value(None, &entry)
        });
        let found = SearchKey::parse(stored.next()?)?;
        (!found.any(&mut |key| is_filter(key))).then_some(found)
    };
    let unresolved = std::mem::replace(key, SearchKey::All);
    match unresolved.resolve(&find) {
        Ok(resolved) => {
            *key = resolved;
            None
        }
        Err(name) => {
            let text = "there is no search of that name, or it cannot be read";
            Some(Reply::no(Code::UndefinedFilter(name), text))
        }
    }
}

/// True for an annotation that would be a stored search and is none.
pub(super) fn is_broken(entry: &str, value: &[u8]) -> bool {
    let of_filter = PLACES.iter().any(|place| entry.starts_with(place));
    of_filter && SearchKey::parse(value).is_none()
}
