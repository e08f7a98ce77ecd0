//! How an account can log in, for `account show` and `account list`: what is stored
//! of its password, what its clients are offered, and who keeps SCRAM away.

use admin::control::CommandError;
use directory::Account;
use envelope::AccountId;
use sasl::{Binding, BindingKind};
use serde_json::{Value, json};

use super::super::of_directory;
use crate::limits::NAMED_WITHOUT_SCRAM_MAX;
use crate::store::Store;

/// Adds what there is to say to an account as it is shown.
pub(super) async fn add(
    store: &Store,
    account: &Account,
    shown: &mut Value,
) -> Result<(), CommandError> {
    let directory = &store.directory;
    let password = directory.password_info(&account.address).await;
    let password = password.map_err(of_directory)?;
    let devices = directory.app_password_list(&account.address).await;
    shown["password"] = match password {
        None => json!("none"),
        Some(info) => match info.imported {
            Some(scheme) => json!(format!("{scheme}, imported")),
            None => json!("argon2id"),
        },
    };
    shown["password_set"] = json!(password.map(|info| observe::rfc3339(info.set_ms)));
    shown["app_passwords"] = json!(devices.map_err(of_directory)?.len());
    let lacking = without_scram_keys(store).await?;
    shown["lacks_scram"] = json!(lacking.binary_search(&account.id).is_ok());
    shown["offered_under_tls"] = json!(offered(store));
    if !lacking.is_empty() {
        shown["scram_waits_for"] = json!(named(store, &lacking).await?);
    }
    Ok(())
}

/// The accounts whose passwords have no keys for SCRAM, in order. A command that
/// runs without a server looks at all of them.
pub(super) async fn without_scram_keys(store: &Store) -> Result<Vec<AccountId>, CommandError> {
    let directory = &store.directory;
    if let Some(lacking) = directory.without_scram_keys() {
        return Ok(lacking);
    }
    directory.survey().await.map_err(of_directory)?;
    Ok(directory.without_scram_keys().unwrap_or_default())
}

/// The mechanisms behind TLS, and with a certificate where those are asked for.
fn offered(store: &Store) -> String {
    let binding = Binding::new(BindingKind::TlsExporter, vec![0; 32]);
    let asks = !store.settings.auth.certificate_services.is_empty();
    let certificate = asks.then(|| "somebody".to_owned());
    let offer = store
        .directory
        .offer(vec![binding], certificate.into_iter().collect());
    offer.names("")
}

/// The first of them by their addresses, and how many more there are.
async fn named(store: &Store, lacking: &[AccountId]) -> Result<String, CommandError> {
    let mut names = Vec::new();
    for id in lacking.iter().take(NAMED_WITHOUT_SCRAM_MAX) {
        if let Some(account) = store.directory.account(*id).await.map_err(of_directory)? {
            names.push(account.address.to_string());
        }
    }
    let more = lacking.len().saturating_sub(NAMED_WITHOUT_SCRAM_MAX);
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    Ok(names.join(", "))
}
