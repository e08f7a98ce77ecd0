//! Acts on application passwords: one for each device, made by us and shown once.

use directory::{AppPassword, NewAppPassword, Service};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ActResult, Named, of_directory, parse_address, usage};
use crate::moment;
use crate::store::Store;

#[derive(Serialize, Deserialize)]
pub(crate) struct Add {
    pub(crate) address: String,
    pub(crate) label: String,
    /// Words of [`SERVICES`]; empty for all.
    pub(crate) services: Vec<String>,
    pub(crate) expires: Option<String>,
    /// For CRAM-MD5 and APOP too.
    #[serde(default)]
    pub(crate) cram_md5: bool,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Remove {
    pub(crate) address: String,
    pub(crate) label: String,
}

const SERVICES: [(&str, Service); 4] = [
    ("imap", Service::Imap),
    ("pop3", Service::Pop3),
    ("smtp", Service::Smtp),
    ("api", Service::Api),
];

/// The password stands in the answer, and nowhere else ever again.
pub(super) async fn add(store: &Store, args: Add) -> ActResult {
    let address = parse_address(&args.address)?;
    let services = if args.services.is_empty() {
        // To administer is asked for by name.
        vec![Service::Imap, Service::Pop3, Service::Smtp]
    } else {
        let services = args.services.iter().map(|word| service(word));
        services.collect::<Result<_, _>>()?
    };
    let now = store.runtime.now().unix_ms;
    let expires_ms = super::optional(args.expires.as_deref(), |text| {
        moment::parse_to_come(text, now).map_err(usage)
    })?;
    let new = NewAppPassword {
        label: args.label,
        services,
        expires_ms,
        for_digests: args.cram_md5,
    };
    let made = store.directory.app_password_add(&address, new).await;
    let (made, secret) = made.map_err(of_directory)?;
    let mut shown = shown(&made);
    shown["address"] = json!(address.to_string());
    shown["password"] = json!(secret.expose());
    Ok(shown)
}

pub(super) async fn list(store: &Store, args: Named) -> ActResult {
    let address = parse_address(&args.name)?;
    let all = store.directory.app_password_list(&address).await;
    Ok(all.map_err(of_directory)?.iter().map(shown).collect())
}

pub(super) async fn remove(store: &Store, args: Remove) -> ActResult {
    let address = parse_address(&args.address)?;
    let removed = store
        .directory
        .app_password_remove(&address, &args.label)
        .await;
    removed.map_err(of_directory)?;
    Ok(json!({"address": address.to_string(), "label": args.label, "removed": true}))
}

fn service(word: &str) -> Result<Service, admin::control::CommandError> {
    let known = SERVICES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(word));
    known.map(|&(_, service)| service).ok_or_else(|| {
        usage(format!(
            "{word:?} is no service; there are imap, pop3 and smtp"
        ))
    })
}

fn shown(password: &AppPassword) -> Value {
    let services: Vec<&str> = SERVICES
        .iter()
        .filter(|(_, service)| password.services.contains(service))
        .map(|&(name, _)| name)
        .collect();
    json!({
        "label": password.label,
        "services": services.join(","),
        "cram_md5": password.sealed.is_some(),
        "created": observe::rfc3339(password.created_ms),
        "expires": password.expires_ms.map(observe::rfc3339),
    })
}
