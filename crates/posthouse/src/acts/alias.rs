//! Acts on aliases.

use directory::Alias;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ActResult, Named, OfDomain, of_directory, optional, parse_address, parse_domain};
use crate::store::Store;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Add {
    pub(crate) address: String,
    pub(crate) targets: Vec<String>,
}

pub(super) async fn add(store: &Store, args: Add) -> ActResult {
    let address = parse_address(&args.address)?;
    let targets = args
        .targets
        .iter()
        .map(|text| parse_address(text))
        .collect::<Result<Vec<_>, _>>()?;
    let alias = store
        .directory
        .alias_add(&address, &targets)
        .await
        .map_err(of_directory)?;
    Ok(shown(&alias))
}

pub(super) async fn list(store: &Store, args: OfDomain) -> ActResult {
    let domain = optional(args.domain.as_deref(), parse_domain)?;
    let aliases = store
        .directory
        .alias_list(domain.as_ref())
        .await
        .map_err(of_directory)?;
    Ok(aliases.iter().map(shown).collect())
}

pub(super) async fn remove(store: &Store, args: Named) -> ActResult {
    let address = parse_address(&args.name)?;
    store
        .directory
        .alias_remove(&address)
        .await
        .map_err(of_directory)?;
    Ok(json!({"address": address.to_string(), "removed": true}))
}

fn shown(alias: &Alias) -> Value {
    let targets: Vec<_> = alias.targets.iter().map(ToString::to_string).collect();
    json!({"address": alias.address.to_string(), "targets": targets})
}
