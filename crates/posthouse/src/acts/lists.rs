//! The lists that the door asks: which count, and why others don't.

use serde_json::{Value, json};

use crate::store::Store;

/// Without a running server none is asked.
pub(super) fn list(store: &Store) -> Value {
    let lists = store.door.lists.get().map_or(&[][..], Vec::as_slice);
    let shown = lists.iter().map(|list| {
        let off = list.off();
        json!({
            "list": list.zone(),
            "points": list.points(),
            "counts": off.is_none(),
            "why": off,
        })
    });
    shown.collect()
}
