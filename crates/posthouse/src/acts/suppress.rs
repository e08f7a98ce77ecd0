//! Acts on addresses that nothing is sent to.

use admin::control::{CommandError, FailureKind};
use bounces::{By, Entry, SuppressError};
use envelope::Address;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ActResult, Named, failed, parse_address, usage};
use crate::limits::{COMPLAINERS_MAX, SUPPRESSED_LISTED_MAX};
use crate::moment;
use crate::store::Store;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Add {
    pub(crate) address: String,
    pub(crate) until: Option<String>,
    pub(crate) reason: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct List {
    pub(crate) after: Option<String>,
}

/// Who has complained, as a report says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Complaint {
    pub(crate) addresses: Vec<String>,
    pub(crate) reason: String,
}

pub(super) async fn add(store: &Store, args: Add) -> ActResult {
    let address = parse_address(&args.address)?;
    if store
        .directory
        .is_local_domain(address.domain())
        .await
        .map_err(failed)?
    {
        return Err(usage(format!(
            "{} is a domain here; the list is about addresses elsewhere",
            address.domain()
        )));
    }
    let now_ms = store.runtime.now().unix_ms;
    let until_ms = args.until.as_deref();
    let until_ms = until_ms.map(|until| moment::parse_to_come(until, now_ms));
    let until_ms = until_ms.transpose().map_err(usage)?;
    let suppressed = &store.suppressed;
    let added = suppressed.add(&address, By::Operator, until_ms, &args.reason);
    Ok(shown(store, &added.await.map_err(of_list)?))
}

/// Those that are no addresses of elsewhere are passed over: the report is a stranger's. What a
/// person has put there stays.
pub(super) async fn complaint(store: &Store, args: Complaint) -> ActResult {
    let mut added = Vec::new();
    for text in args.addresses.iter().take(COMPLAINERS_MAX) {
        let Ok(address) = Address::parse(text) else {
            continue;
        };
        let domain = address.domain();
        if store
            .directory
            .is_local_domain(domain)
            .await
            .map_err(failed)?
        {
            continue;
        }
        let suppressed = &store.suppressed;
        let known = suppressed.show(&address.to_key()).await.map_err(failed)?;
        let by_person = known.filter(|entry| entry.by == By::Operator);
        let entry = match by_person {
            Some(entry) => entry,
            None => {
                let adding = suppressed.add(&address, By::Complaint, None, &args.reason);
                adding.await.map_err(of_list)?
            }
        };
        added.push(shown(store, &entry));
    }
    Ok(Value::Array(added))
}

/// In the order of addresses, a thousand at once; `after` goes on.
pub(super) async fn list(store: &Store, args: List) -> ActResult {
    let after = args.after.as_deref().map(parse_address).transpose()?;
    let after = after.map(|address| address.to_key());
    let listed = store
        .suppressed
        .list(after.as_deref(), SUPPRESSED_LISTED_MAX);
    let listed = listed.await.map_err(failed)?;
    Ok(listed.iter().map(|entry| shown(store, entry)).collect())
}

pub(super) async fn show(store: &Store, args: Named) -> ActResult {
    let address = parse_address(&args.name)?;
    let found = store.suppressed.show(&address.to_key()).await;
    match found.map_err(failed)? {
        Some(entry) => Ok(shown(store, &entry)),
        None => Err(not_there(&args.name)),
    }
}

pub(super) async fn lift(store: &Store, args: Named) -> ActResult {
    let address = parse_address(&args.name)?;
    match store.suppressed.lift(&address).await.map_err(of_list)? {
        Some(entry) => Ok(shown(store, &entry)),
        None => Err(not_there(&args.name)),
    }
}

fn shown(store: &Store, entry: &Entry) -> Value {
    json!({
        "address": entry.address,
        "by": entry.by.as_str(),
        "holds": entry.holds(store.runtime.now().unix_ms),
        "from": observe::rfc3339(entry.from_ms),
        "until": entry.until_ms.map(observe::rfc3339),
        "refusals": entry.refusals,
        "reason": entry.reason,
    })
}

fn not_there(address: &str) -> CommandError {
    CommandError::new(
        FailureKind::NotFound,
        format!("{address} is not on the list; `posthouse suppress list` shows who is"),
    )
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "given to `map_err` everywhere"
)]
fn of_list(error: SuppressError) -> CommandError {
    let kind = match &error {
        SuppressError::TooMany => FailureKind::Conflict,
        SuppressError::Read(_) | SuppressError::Submit(_) => FailureKind::Failed,
    };
    CommandError::new(kind, error.to_string())
}
