//! The parts of a check, each over one crate that owns a format.

use blobs::{BlobId, Owner};
use engine::check::{Checker, Repair, Report, Severity, key_text};
use engine::limits::FSCK_BYTES_MAX;
use engine::{Engine as _, ReadError, ShardId, Snapshot};
use envelope::{AccountId, Address};
use mailbox_model::EmailId;
use queue_model::QueueId;

use super::Found;
use crate::acts::{CommandError, failed};
use crate::limits::ACCOUNTS_PAGE;
use crate::store::Store;

const JOURNAL: &str = "journal and index, segments";

/// Every part of the store.
pub(super) async fn everything(store: &Store, found: &mut Found) -> Result<(), CommandError> {
    journal(store, found).await?;
    for finding in store.directory.fsck().await.map_err(failed)? {
        found.add(finding.report(), None);
    }
    accounts(store, found).await?;
    for shard in (0..store.engine.shards()).map(ShardId) {
        store.checking.tell("queue", 0, 0);
        for finding in store.queue.fsck(shard).await.map_err(failed)? {
            found.add(finding.report(shard), None);
        }
        for report in intake(store, shard).await? {
            found.add(report, None);
        }
        bodies(store, found, shard).await?;
    }
    Ok(())
}

/// Index against journal.
async fn journal(store: &Store, found: &mut Found) -> Result<(), CommandError> {
    let (engine, checking) = (store.engine.clone(), store.checking.clone());
    checking.tell(JOURNAL, 0, 0);
    let work = move || {
        engine.fsck_with(FSCK_BYTES_MAX, &|done, total| {
            checking.tell(JOURNAL, done, total);
        })
    };
    let findings = store.runtime.blocking(work).await.map_err(failed)?;
    for finding in findings {
        found.add(finding.report(), None);
    }
    Ok(())
}

/// Each account that the directory knows or that has any mail.
async fn accounts(store: &Store, found: &mut Found) -> Result<(), CommandError> {
    let mut known = store.directory.account_ids().await.map_err(failed)?;
    let mut unknown = Vec::new();
    for shard in (0..store.engine.shards()).map(ShardId) {
        let mut from = AccountId(0);
        loop {
            let page = store
                .mailstore
                .stored_accounts(shard, from, ACCOUNTS_PAGE)
                .await
                .map_err(failed)?;
            let last = page.last().copied();
            unknown.extend(page.iter().filter(|id| known.binary_search(id).is_err()));
            match last.and_then(|last| last.0.checked_add(1)) {
                Some(next) if page.len() == ACCOUNTS_PAGE => from = AccountId(next),
                _ => break,
            }
        }
    }
    // An account that was added since then is no finding.
    let now = store.directory.account_ids().await.map_err(failed)?;
    for id in unknown {
        if now.binary_search(&id).is_err() {
            found.add(unknown_account(id), None);
        }
        known.push(id);
    }
    known.sort_unstable();
    for (done, &id) in known.iter().enumerate() {
        store
            .checking
            .tell("accounts", done as u64, known.len() as u64);
        // A record that can't be read is the directory's finding.
        let address = store.directory.account(id).await.ok().flatten();
        account(store, found, id, address.map(|account| account.address)).await?;
    }
    Ok(())
}

fn unknown_account(id: AccountId) -> Report {
    let key = engine::keys::account(id.0);
    Report {
        checker: Checker::DirectoryAgrees,
        severity: Severity::Wrong,
        repair: Repair::Rebuild,
        account: Some(id.0),
        what: format!(
            "there is mail of account {id} ({}), which the directory does not know",
            key_text(&key)
        ),
        key: Some(key),
        means: "nobody can read it and nothing leads to it; a repair gives the account an address again, or ends a removal that was cut short",
    }
}

/// One account.
pub(super) async fn account(
    store: &Store,
    found: &mut Found,
    id: AccountId,
    address: Option<Address>,
) -> Result<(), CommandError> {
    let address = address.map(|address| address.to_string());
    found.accounts += 1;
    for finding in store.mailstore.fsck(id).await.map_err(failed)? {
        found.add(finding.report(id), address.as_deref());
    }
    Ok(())
}

async fn intake(store: &Store, shard: ShardId) -> Result<Vec<Report>, CommandError> {
    let engine = store.engine.clone();
    store
        .runtime
        .blocking(move || intake::fsck::check(&*engine.snapshot(shard), shard))
        .await
        .map_err(failed)
}

/// Bodies against their names, and links against their owners.
async fn bodies(store: &Store, found: &mut Found, shard: ShardId) -> Result<(), CommandError> {
    store.checking.tell("bodies", 0, 0);
    let blobs = store.blobs.clone();
    let work = move || {
        let mut findings = blobs::fsck::fsck(&blobs, shard, None)?;
        findings.extend(blobs::fsck::fsck_owners(
            &blobs,
            shard,
            &|s, blob, owner| names_blob(s, shard, blob, owner),
        )?);
        Ok::<_, blobs::BlobError>(findings)
    };
    for finding in store.runtime.blocking(work).await.map_err(failed)? {
        found.add(finding.report(shard), None);
    }
    Ok(())
}

/// True if the owner of a link has this body: whoever is entitled to say so.
pub(super) fn names_blob(
    snapshot: &dyn Snapshot,
    shard: ShardId,
    blob: BlobId,
    owner: Owner,
) -> Result<bool, ReadError> {
    match owner {
        Owner::Email(account, email) => {
            mailstore::names_blob(snapshot, account, EmailId(email), blob)
        }
        Owner::Queue(id) => Ok(queue::fsck::names_blob(snapshot, shard, QueueId(id), blob)?
            || intake::fsck::names_blob(snapshot, shard, owner, blob)?),
    }
}
