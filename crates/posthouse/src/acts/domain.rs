//! Acts on domains.

use directory::{DomainInfo, Removal};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::account::given;
use super::{
    ActResult, CommandError, Named, failed, of_directory, optional, parse_address, parse_domain,
};
use crate::store::Store;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Add {
    pub(crate) domain: String,
    pub(crate) administrator: Option<String>,
    pub(crate) catch_all: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Retention {
    pub(crate) domain: String,
    /// None for the configuration's.
    pub(crate) days: Option<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Remove {
    pub(crate) domain: String,
    pub(crate) force: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Quota {
    pub(crate) domain: String,
    pub(crate) bytes: Option<u64>,
    pub(crate) messages: Option<u64>,
    /// Without limits from now on.
    #[serde(default)]
    pub(crate) none: bool,
}

pub(super) async fn add(store: &Store, args: Add) -> ActResult {
    let domain = parse_domain(&args.domain)?;
    let administrator = optional(args.administrator.as_deref(), parse_address)?;
    let catch_all = optional(args.catch_all.as_deref(), parse_address)?;
    let directory = &store.directory;
    let mut added = directory
        .domain_add(&domain, administrator)
        .await
        .map_err(of_directory)?;
    if catch_all.is_some() {
        added = directory
            .domain_catch_all(&domain, catch_all)
            .await
            .map_err(of_directory)?;
    }
    Ok(shown(&added))
}

pub(super) async fn retention(store: &Store, args: Retention) -> ActResult {
    let domain = parse_domain(&args.domain)?;
    let directory = &store.directory;
    let changed = directory.domain_retention(&domain, args.days).await;
    Ok(shown(&changed.map_err(of_directory)?))
}

pub(super) async fn list(store: &Store) -> ActResult {
    let all = store.directory.domain_list().await.map_err(of_directory)?;
    Ok(all.iter().map(shown).collect())
}

pub(super) async fn show(store: &Store, args: Named) -> ActResult {
    let domain = parse_domain(&args.name)?;
    let directory = &store.directory;
    let info = directory.domain_show(&domain).await.map_err(of_directory)?;
    let accounts = directory
        .account_list(Some(&domain))
        .await
        .map_err(of_directory)?;
    let aliases = directory
        .alias_list(Some(&domain))
        .await
        .map_err(of_directory)?;
    let mut shown = shown(&info);
    shown["accounts"] = json!(accounts.len());
    shown["aliases"] = json!(aliases.len());
    let ids: Vec<_> = accounts.iter().map(|account| account.id).collect();
    let used = store.mailstore.usage_of(&ids).await;
    shown["bytes"] = json!(used.bytes);
    shown["messages"] = json!(used.emails);
    Ok(shown)
}

/// Removes the domain, then its accounts' mail. A removal that is cut short in between leaves mail that nothing
/// leads to, never an account without mail.
pub(super) async fn remove(store: &Store, args: Remove) -> ActResult {
    let domain = parse_domain(&args.domain)?;
    let removal = if args.force {
        Removal::WithAccounts
    } else {
        Removal::Refuse
    };
    let removed = store
        .directory
        .domain_remove(&domain, removal, &|_, _| Ok(()))
        .await
        .map_err(of_directory)?;
    store.share_quota(&domain).await.map_err(of_sharing)?;
    for account in &removed {
        store
            .mailstore
            .drop_account(*account)
            .await
            .map_err(failed)?;
        super::account::forget(store, *account).await?;
    }
    Ok(json!({"domain": domain.to_string(), "accounts_removed": removed.len()}))
}

/// Changes how much the domain's accounts may hold together, and shows it with what they hold. What is not given stays,
/// 0 is no limit. The limits hold when this returns.
pub(super) async fn quota(store: &Store, args: Quota) -> ActResult {
    let domain = parse_domain(&args.domain)?;
    let before = store
        .directory
        .domain_show(&domain)
        .await
        .map_err(of_directory)?
        .quota;
    let quota = if args.none {
        directory::Quota::default()
    } else {
        directory::Quota {
            bytes: given(args.bytes, before.bytes),
            messages: given(args.messages, before.messages),
        }
    };
    if quota != before {
        let set = store.directory.domain_quota(&domain, quota).await;
        set.map_err(of_directory)?;
        store.share_quota(&domain).await.map_err(of_sharing)?;
    }
    show(store, Named::from(domain.as_str())).await
}

#[expect(clippy::needless_pass_by_value, reason = "given to `map_err`")]
fn of_sharing(error: anyhow::Error) -> CommandError {
    failed(format!("{error:#}"))
}

fn shown(info: &DomainInfo) -> Value {
    let address = |address: &Option<envelope::Address>| address.as_ref().map(ToString::to_string);
    json!({
        "domain": info.domain.to_string(),
        "administrator": address(&info.administrator),
        "catch_all": address(&info.catch_all),
        "retention_days": info.retention_days,
        "quota_bytes": info.quota.bytes,
        "quota_messages": info.quota.messages,
    })
}

impl From<&str> for Named {
    fn from(name: &str) -> Self {
        Self {
            name: name.to_owned(),
        }
    }
}
