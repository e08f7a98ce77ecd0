//! The act of checking the store, beside a running server or without one.
//!
//! Order: journal and index, the directory, each account, the queue, mail on its way in, bodies. Each part reads
//! snapshots of its own and stops nobody; what memory each takes is in `docs/internals/checks.md`.

mod progress;
mod repair;
mod steps;

use std::sync::Arc;

use engine::check::{self, Report, Severity, key_text};
use envelope::AccountId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ActResult, CommandError, of_directory, parse_address, usage};
use crate::aside::{self, AsideFolder};
use crate::limits::FINDINGS_SHOWN_MAX;
use crate::store::Store;

pub(crate) use progress::Checking;
use repair::Repair;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Fsck {
    pub(crate) account: Option<String>,
    /// Mend what is found, then check again.
    #[serde(default)]
    pub(crate) repair: bool,
    /// Make indexes of texts anew with that, whether anything is wrong with them or not.
    #[serde(default)]
    pub(crate) index: bool,
}

/// What a check found, up to a bound.
#[derive(Debug, Default)]
pub(super) struct Found {
    accounts: usize,
    reports: Vec<(Report, Option<String>)>,
    /// Findings beyond the bound.
    more: usize,
}

impl Found {
    fn add(&mut self, report: Report, address: Option<&str>) {
        if self.reports.len() < FINDINGS_SHOWN_MAX {
            self.reports.push((report, address.map(str::to_owned)));
        } else {
            self.more += 1;
        }
    }

    fn shown(&self) -> Value {
        let findings: Vec<Value> = self
            .reports
            .iter()
            .map(|(report, address)| shown(report, address.as_deref()))
            .collect();
        json!({"accounts": self.accounts, "findings": findings, "more": self.more})
    }
}

/// All findings; none means that the store is sound.
pub(super) async fn fsck(store: &Store, args: Fsck) -> ActResult {
    let address = args.account.as_deref().map(parse_address).transpose()?;
    let account = match &address {
        Some(address) => Some(
            store
                .directory
                .account_show(address)
                .await
                .map_err(of_directory)?,
        ),
        None => None,
    };
    if args.index && !args.repair {
        return Err(usage("an index is made anew by a repair alone".to_owned()));
    }
    let Some(_one) = store.checking.begin() else {
        return Err(CommandError::new(
            admin::control::FailureKind::Conflict,
            "a check is running already; wait until it has ended",
        ));
    };
    let repaired = if args.repair {
        let one = account.as_ref().map(|account| account.id);
        Some(repair(store, one, args.index).await?)
    } else {
        None
    };
    let mut found = Found::default();
    match account {
        Some(account) => {
            steps::account(store, &mut found, account.id, Some(account.address)).await?;
        }
        None => steps::everything(store, &mut found).await?,
    }
    let mut answer = found.shown();
    if let Some((mended, folder)) = repaired {
        answer["repaired"] = mended;
        answer["aside"] = folder;
    }
    Ok(answer)
}

/// Mends the store or one account; gives what was done, and the folder where records were set aside.
async fn repair(
    store: &Store,
    account: Option<AccountId>,
    index_anew: bool,
) -> Result<(Value, Value), CommandError> {
    let date = aside::date(store.runtime.now().unix_ms);
    let folder = Arc::new(AsideFolder::new(&store.data_dir, &date));
    let mut repair = Repair {
        store,
        aside: folder.clone(),
        index_anew,
        mended: Vec::new(),
    };
    match account {
        Some(id) => repair.account(id).await?,
        None => repair.everything().await?,
    }
    let mut shown = Vec::new();
    for mended in &repair.mended {
        tracing::warn!(checker = %mended.checker, what = mended.what, "repaired");
        shown.push(json!({
            "checker": mended.checker.name(),
            "account_id": mended.account,
            "what": mended.what,
        }));
    }
    let folder = folder.folder().map(|folder| folder.display().to_string());
    Ok((Value::Array(shown), json!(folder)))
}

fn shown(report: &Report, address: Option<&str>) -> Value {
    json!({
        "checker": report.checker.name(),
        "severity": report.severity.name(),
        "repair": report.repair.name(),
        "account": address,
        "account_id": report.account,
        "key": report.key.as_deref().map(key_text),
        "what": report.what,
        "means": report.means,
        "next": next(report),
    })
}

/// What a person should do about it.
fn next(report: &Report) -> &'static str {
    match (report.repair, report.severity) {
        (check::Repair::Rebuild, _) => {
            "`posthouse fsck --repair` makes it again from what is sound"
        }
        (check::Repair::SetAside, Severity::Leftover) => {
            "`posthouse fsck --repair` moves it into the folder `aside`"
        }
        (check::Repair::SetAside, _) => {
            "restore it from a backup if there is one; otherwise `posthouse fsck --repair` moves the record into the folder `aside`"
        }
        (check::Repair::None, _) => "look at the disk and restore from a backup what is lost",
    }
}

#[cfg(test)]
mod tests;
