//! Thread/get (RFC 8621 §3.1).

use super::{Done, got, look_of, properties_of};
use crate::api::Calling;
use jmap_proto::arguments::Get;
use jmap_proto::{Arguments, MethodError};
use mailstore::object_id;
use serde_json::{Value, json};

pub(super) async fn get(calling: &Calling<'_>, mut arguments: Arguments) -> Done {
    let get = Get::take(&mut arguments)?;
    arguments.finish()?;
    let properties = properties_of(get.properties, &["id", "emailIds"])?;
    let look = look_of(calling, &get.account_id).await?;
    // RFC 8620 §5.1: all of them only where they are few.
    let ids = get.ids.ok_or(MethodError::RequestTooLarge)?;
    let (mut list, mut not_found): (Vec<Value>, Vec<String>) = Default::default();
    for id in ids {
        let first = object_id::thread_of(&id, look.room.owner());
        let members = first.map(|first| look.thread(first)).unwrap_or_default();
        if members.is_empty() {
            not_found.push(id);
            continue;
        }
        let mut thread = json!({ "id": id });
        if properties.contains(&"emailIds") {
            let members = members.iter().map(|email| look.email_id(*email));
            thread["emailIds"] = members.collect();
        }
        list.push(thread);
    }
    Ok(vec![(
        "Thread/get",
        got(get.account_id, look.state(), list, not_found),
    )])
}
