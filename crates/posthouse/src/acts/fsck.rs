//! The act of checking the store: index against journal, accounts against their logs, bodies against their owners.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{ActResult, failed, of_directory, parse_address};
use crate::store::Store;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Fsck {
    pub(crate) account: Option<String>,
}

/// All findings as sentences; none means that the store is sound.
pub(super) async fn fsck(store: &Store, args: Fsck) -> ActResult {
    let directory = &store.directory;
    let accounts = match &args.account {
        Some(text) => {
            let address = parse_address(text)?;
            vec![
                directory
                    .account_show(&address)
                    .await
                    .map_err(of_directory)?,
            ]
        }
        None => directory.account_list(None).await.map_err(of_directory)?,
    };
    let mut findings = Vec::new();
    for account in &accounts {
        let found = store.mailstore.fsck(account.id).await.map_err(failed)?;
        findings.extend(
            found
                .iter()
                .map(|finding| format!("{}: {finding}", account.address)),
        );
    }
    if args.account.is_none() {
        findings.extend(store.fsck_engine().await.map_err(failed)?);
    }
    Ok(json!({"accounts": accounts.len(), "findings": findings}))
}
