//! Acts on grants: in whose names an account may send besides its own.

use admin::control::CommandError;
use directory::Grant;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ActResult, Named, of_directory, parse_address};
use crate::store::Store;

#[derive(Serialize, Deserialize)]
pub(crate) struct SendAs {
    pub(crate) address: String,
    /// An address, or `*@` and a domain for anybody of it.
    pub(crate) send_as: String,
}

/// Granting what was granted before changes nothing.
pub(super) async fn add(store: &Store, args: SendAs) -> ActResult {
    let address = parse_address(&args.address)?;
    let grant = Grant::of(&parse_address(&args.send_as)?);
    let added = store.directory.send_as_add(&address, &grant).await;
    let added = added.map_err(of_directory)?;
    Ok(json!({"address": address.to_string(), "send_as": grant.to_string(), "added": added}))
}

pub(super) async fn list(store: &Store, args: Named) -> ActResult {
    let address = parse_address(&args.name)?;
    let all = store.directory.send_as_list(&address).await;
    let all = all.map_err(of_directory)?;
    Ok(all
        .iter()
        .map(|grant| json!({"send_as": grant.to_string()}))
        .collect())
}

/// Taking back what was not granted changes nothing.
pub(super) async fn remove(store: &Store, args: SendAs) -> ActResult {
    let address = parse_address(&args.address)?;
    let grant = Grant::of(&parse_address(&args.send_as)?);
    let removed = store.directory.send_as_remove(&address, &grant).await;
    let removed = removed.map_err(of_directory)?;
    Ok(json!({"address": address.to_string(), "send_as": grant.to_string(), "removed": removed}))
}

/// Adds them to an account as it is shown.
pub(super) async fn show(
    store: &Store,
    account: &envelope::Address,
    shown: &mut Value,
) -> Result<(), CommandError> {
    let all = store.directory.send_as_list(account).await;
    let all = all.map_err(of_directory)?;
    shown["send_as"] = all.iter().map(ToString::to_string).collect();
    Ok(())
}
