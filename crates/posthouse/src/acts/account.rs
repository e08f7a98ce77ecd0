//! Acts on accounts: a person's entry in the directory together with the mail.

use directory::{Account, AccountChange, NewAccount};
use mailstore::QuotaLimits;
use sasl::Secret;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    ActResult, Named, OfDomain, failed, of_directory, optional, parse_address, parse_domain,
};
use crate::store::Store;

#[derive(Serialize, Deserialize)]
pub(crate) struct Add {
    pub(crate) addresses: Vec<String>,
    pub(crate) password: Option<String>,
    pub(crate) admin: bool,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Passwd {
    pub(crate) address: String,
    pub(crate) password: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Quota {
    pub(crate) address: String,
    pub(crate) bytes: Option<u64>,
    pub(crate) messages: Option<u64>,
}

/// Adds accounts one after the other; the first that cannot be added ends it, those before stay.
pub(super) async fn add(store: &Store, args: Add) -> ActResult {
    let addresses = args
        .addresses
        .iter()
        .map(|text| parse_address(text))
        .collect::<Result<Vec<_>, _>>()?;
    let mut added = Vec::new();
    for address in addresses {
        let mut new = NewAccount::new(address, args.password.clone().map(Secret::new));
        new.admin = args.admin;
        let mailstore = &store.mailstore;
        let account = store
            .directory
            .account_add(new, &|batch, id| {
                mailstore
                    .create_account(batch, id, QuotaLimits::default())
                    .map_err(|error| error.to_string())
            })
            .await
            .map_err(of_directory)?;
        added.push(shown(&account));
    }
    Ok(Value::Array(added))
}

pub(super) async fn list(store: &Store, args: OfDomain) -> ActResult {
    let domain = optional(args.domain.as_deref(), parse_domain)?;
    let accounts = store
        .directory
        .account_list(domain.as_ref())
        .await
        .map_err(of_directory)?;
    Ok(accounts.iter().map(shown).collect())
}

pub(super) async fn show(store: &Store, args: Named) -> ActResult {
    let address = parse_address(&args.name)?;
    let account = store
        .directory
        .account_show(&address)
        .await
        .map_err(of_directory)?;
    let mut shown = shown(&account);
    let mail = store.mailstore.account(account.id).await.map_err(failed)?;
    let view = mail.view();
    let usage = view.usage();
    shown["bytes"] = json!(usage.bytes);
    shown["messages"] = json!(usage.emails);
    Ok(shown)
}

pub(super) async fn passwd(store: &Store, args: Passwd) -> ActResult {
    change(
        store,
        &args.address,
        AccountChange::Password(Secret::new(args.password)),
    )
    .await
}

/// Nobody logs in or receives from the first commit on; then the mail goes.
pub(super) async fn remove(store: &Store, args: Named) -> ActResult {
    let address = parse_address(&args.name)?;
    let id = store
        .directory
        .account_remove(&address, &|_, _| Ok(()))
        .await
        .map_err(of_directory)?;
    store.mailstore.drop_account(id).await.map_err(failed)?;
    Ok(json!({"address": address.to_string(), "removed": true}))
}

/// Changes the limits that are given and keeps the others; 0 is no limit.
pub(super) async fn quota(store: &Store, args: Quota) -> ActResult {
    let address = parse_address(&args.address)?;
    let account = store
        .directory
        .account_show(&address)
        .await
        .map_err(of_directory)?;
    let given = |new: Option<u64>, old: Option<u64>| match new {
        Some(0) => None,
        Some(limit) => Some(limit),
        None => old,
    };
    let quota = directory::Quota {
        bytes: given(args.bytes, account.quota.bytes),
        messages: given(args.messages, account.quota.messages),
    };
    let limits = QuotaLimits {
        bytes: quota.bytes,
        emails: quota.messages,
    };
    let mail = store.mailstore.account(account.id).await.map_err(failed)?;
    mail.set_quota_limits(limits).await.map_err(failed)?;
    change(store, &args.address, AccountChange::Quota(quota)).await
}

async fn change(store: &Store, address: &str, change: AccountChange) -> ActResult {
    let address = parse_address(address)?;
    let account = store
        .directory
        .account_change(&address, change)
        .await
        .map_err(of_directory)?;
    Ok(shown(&account))
}

fn shown(account: &Account) -> Value {
    json!({
        "address": account.address.to_string(),
        "id": account.id.0,
        "admin": account.admin,
        "disabled": account.disabled,
        "quota_bytes": account.quota.bytes,
        "quota_messages": account.quota.messages,
    })
}
