//! Acts on accounts: a person's entry in the directory together with the mail.

use std::time::Duration;

use admin::control::CommandError;
use directory::{Account, AccountChange, DirectoryError, NewAccount};
use engine::Batch;
use envelope::AccountId;
use mailstore::QuotaLimits;
use parking_lot::Mutex;
use sasl::Secret;
use sasl::imported::Imported;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    ActResult, Named, OfDomain, failed, of_directory, optional, parse_address, parse_domain, usage,
};
use crate::moment;
use crate::store::Store;

mod logins;

#[derive(Serialize, Deserialize)]
pub(crate) struct Add {
    pub(crate) addresses: Vec<String>,
    pub(crate) password: Option<String>,
    pub(crate) admin: bool,
    /// The password's hash at another system, instead of a password.
    #[serde(default)]
    pub(crate) hash: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ImportHash {
    pub(crate) address: String,
    pub(crate) hash: String,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Passwd {
    pub(crate) address: String,
    pub(crate) password: String,
}

/// What is not given stays as it is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) address: String,
    pub(crate) save_sent: Option<bool>,
    #[serde(default)]
    pub(crate) shared: Option<bool>,
    pub(crate) admin: Option<bool>,
    pub(crate) disabled: Option<bool>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Purge {
    pub(crate) address: String,
    pub(crate) before: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Quota {
    pub(crate) address: String,
    pub(crate) bytes: Option<u64>,
    pub(crate) messages: Option<u64>,
    /// Without limits from now on.
    #[serde(default)]
    pub(crate) none: bool,
}

/// Adds accounts one after the other; the first that cannot be added ends it, those before stay.
pub(super) async fn add(store: &Store, args: Add) -> ActResult {
    let addresses = args
        .addresses
        .iter()
        .map(|text| parse_address(text))
        .collect::<Result<Vec<_>, _>>()?;
    let imported = optional(args.hash.as_deref(), parse_hash)?;
    let mut added = Vec::new();
    for address in addresses {
        let mut new = NewAccount::new(address, args.password.clone().map(Secret::new));
        new.admin = args.admin;
        new.imported = imported.clone();
        let account = add_one(store, new).await.map_err(of_directory)?;
        added.push(shown(&account, QuotaLimits::default()));
    }
    Ok(Value::Array(added))
}

/// Adds an account that shares its domain's quota from its first message on.
async fn add_one(store: &Store, new: NewAccount) -> Result<Account, DirectoryError> {
    let _one = store.sharing.lock().await;
    let mailstore = &store.mailstore;
    let domain = new.address.domain().as_str().to_owned();
    let tried = Mutex::new(Vec::new());
    let stage = |batch: &mut Batch, id| {
        tried.lock().push(id);
        mailstore.join_group(&domain, id);
        let made = mailstore.create_account(batch, id, QuotaLimits::default());
        made.map_err(|error| error.to_string())
    };
    let added = store.directory.account_add(new, &stage).await;
    let id = added.as_ref().ok().map(|account| account.id);
    for other in tried.into_inner() {
        // Somebody else's some day.
        if Some(other) != id {
            mailstore.leave_group(other);
        }
    }
    added
}

pub(super) async fn list(store: &Store, args: OfDomain) -> ActResult {
    let domain = optional(args.domain.as_deref(), parse_domain)?;
    let accounts = store
        .directory
        .account_list(domain.as_ref())
        .await
        .map_err(of_directory)?;
    let mut all = Vec::with_capacity(accounts.len());
    let lacking = logins::without_scram_keys(store).await?;
    for account in &accounts {
        // One whose mail can't be read is listed too.
        let quota = store.mailstore.quota(account.id).await;
        let (limits, _) = quota.unwrap_or_default();
        let mut shown = shown(account, limits);
        let lacks = lacking.binary_search(&account.id).is_ok();
        shown["lacks_scram"] = json!(lacks);
        all.push(shown);
    }
    Ok(Value::Array(all))
}

pub(super) async fn show(store: &Store, args: Named) -> ActResult {
    let address = parse_address(&args.name)?;
    let account = store
        .directory
        .account_show(&address)
        .await
        .map_err(of_directory)?;
    let mail = store.mailstore.account(account.id).await.map_err(failed)?;
    let mut shown = with_usage(&account, &mail);
    logins::add(store, &account, &mut shown).await?;
    super::send_as::show(store, &account.address, &mut shown).await?;
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

/// The password stays as it is at the system that the hash is from; the next login
/// replaces the hash.
pub(super) async fn import_hash(store: &Store, args: ImportHash) -> ActResult {
    let hash = parse_hash(&args.hash)?;
    let scheme = hash.scheme();
    let change = AccountChange::ImportedHash(hash);
    let mut shown = self::change(store, &args.address, change).await?;
    shown["imported"] = json!(scheme);
    Ok(shown)
}

fn parse_hash(text: &str) -> Result<Imported, CommandError> {
    Imported::parse(text).map_err(|error| usage(error.to_string()))
}

pub(super) async fn change_of(store: &Store, args: Change) -> ActResult {
    let changes = [
        args.save_sent.map(AccountChange::SavesSent),
        args.shared.map(AccountChange::Shared),
        args.admin.map(AccountChange::Admin),
        args.disabled.map(AccountChange::Disabled),
    ];
    let mut shown = None;
    for one in changes.into_iter().flatten() {
        shown = Some(change(store, &args.address, one).await?);
    }
    let nothing = "nothing to change is named: --save-sent, --shared, --admin or --disabled";
    shown.ok_or_else(|| usage(nothing.into()))
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
    forget(store, id).await?;
    Ok(json!({"address": address.to_string(), "removed": true}))
}

/// What the door remembers of an account goes with it: its id is not given again.
pub(super) async fn forget(store: &Store, id: AccountId) -> Result<(), CommandError> {
    let forgotten = policy::forget_account(store.engine.clone(), &store.runtime, id).await;
    forgotten.map(drop).map_err(failed)
}

/// What was deleted before the moment, or until now, goes for good, whatever the retention.
pub(super) async fn purge(store: &Store, args: Purge) -> ActResult {
    let address = parse_address(&args.address)?;
    let account = store
        .directory
        .account_show(&address)
        .await
        .map_err(of_directory)?;
    let now_ms = store.runtime.now().unix_ms;
    let before_ms = match &args.before {
        Some(text) => moment::parse(text, now_ms).map_err(usage)?,
        None => now_ms,
    };
    let kept = Duration::from_millis(now_ms.saturating_sub(before_ms));
    let purged = store
        .mailstore
        .reap(account.id, kept)
        .await
        .map_err(failed)?;
    Ok(json!({
        "address": address.to_string(),
        "messages": purged.emails,
        "changes": purged.entries,
    }))
}

/// Changes the limits that are given and keeps the others, and shows them with what is used; 0 is no limit. They are in
/// the account's head alone.
pub(super) async fn quota(store: &Store, args: Quota) -> ActResult {
    let address = parse_address(&args.address)?;
    let account = store
        .directory
        .account_show(&address)
        .await
        .map_err(of_directory)?;
    let mail = store.mailstore.account(account.id).await.map_err(failed)?;
    let before = mail.quota_limits();
    let limits = if args.none {
        QuotaLimits::default()
    } else {
        QuotaLimits {
            bytes: given(args.bytes, before.bytes),
            emails: given(args.messages, before.emails),
        }
    };
    mail.set_quota_limits(limits).await.map_err(failed)?;
    Ok(with_usage(&account, &mail))
}

fn with_usage(account: &Account, mail: &mailstore::Account) -> Value {
    let usage = mail.view().usage();
    let mut shown = shown(account, mail.quota_limits());
    shown["bytes"] = json!(usage.bytes);
    shown["messages"] = json!(usage.emails);
    shown
}

/// A limit that is given, or the one before; 0 is none.
pub(super) fn given(new: Option<u64>, before: Option<u64>) -> Option<u64> {
    match new {
        Some(0) => None,
        Some(limit) => Some(limit),
        None => before,
    }
}

async fn change(store: &Store, address: &str, change: AccountChange) -> ActResult {
    let address = parse_address(address)?;
    let account = store
        .directory
        .account_change(&address, change)
        .await
        .map_err(of_directory)?;
    let (limits, _) = store.mailstore.quota(account.id).await.unwrap_or_default();
    Ok(shown(&account, limits))
}

fn shown(account: &Account, limits: QuotaLimits) -> Value {
    json!({
        "address": account.address.to_string(),
        "id": account.id.0,
        "admin": account.admin,
        "disabled": account.disabled,
        "saves_sent": account.saves_sent,
        "shared": account.shared,
        "quota_bytes": limits.bytes,
        "quota_messages": limits.emails,
    })
}
