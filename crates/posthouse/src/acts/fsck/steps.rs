//! The parts of a check, each over one crate that owns a format.

use std::collections::BTreeMap;

use blobs::{BlobId, Owner};
use engine::check::{Checker, Repair, Report, Severity, key_text};
use engine::limits::FSCK_BYTES_MAX;
use engine::{Engine as _, Order, ReadError, ShardId, Snapshot};
use envelope::{AccountId, Address, Domain};
use mailbox_model::EmailId;
use policy::check::{bans, greylist};
use policy::trace;
use queue_model::QueueId;

use super::Found;
use crate::acts::{CommandError, failed};
use crate::limits::{ACCOUNTS_PAGE, FINDINGS_SHOWN_MAX, SYSTEM_PAGE};
use crate::store::Store;

pub(super) const JOURNAL: &str = "journal and index, segments";

/// Every part of the store.
pub(super) async fn everything(store: &Store, found: &mut Found) -> Result<(), CommandError> {
    journal(store, found).await?;
    for finding in store.directory.fsck().await.map_err(failed)? {
        found.add(finding.report(), None);
    }
    accounts(store, found).await?;
    quotas(store, found).await?;
    for shard in (0..store.engine.shards()).map(ShardId) {
        store.checking.tell("queue", 0, 0);
        for finding in store.queue.fsck(shard).await.map_err(failed)? {
            found.add(finding.report(shard), None);
        }
        for report in intake(store, shard).await? {
            found.add(report, None);
        }
        for report in system(store, shard).await? {
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
    let stored = stored_accounts(store).await?;
    // Read afterwards: an account that was just added is no finding.
    let mut known = store.directory.account_ids().await.map_err(failed)?;
    let unknown: Vec<AccountId> = stored
        .into_iter()
        .filter(|id| known.binary_search(id).is_err())
        .collect();
    for &id in &unknown {
        found.add(unknown_account(id), None);
    }
    known.extend(unknown);
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

/// Every account that has any key, in order.
pub(super) async fn stored_accounts(store: &Store) -> Result<Vec<AccountId>, CommandError> {
    let mut stored = Vec::new();
    for shard in (0..store.engine.shards()).map(ShardId) {
        let mut from = AccountId(0);
        loop {
            let page = store
                .mailstore
                .stored_accounts(shard, from, ACCOUNTS_PAGE)
                .await
                .map_err(failed)?;
            stored.extend(&page);
            match page.last().and_then(|last| last.0.checked_add(1)) {
                Some(next) if page.len() == ACCOUNTS_PAGE => from = AccountId(next),
                _ => break,
            }
        }
    }
    stored.sort_unstable();
    Ok(stored)
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
    for what in store.search.check(id).await.map_err(failed)? {
        found.add(wrong_index(id, &what), address.as_deref());
    }
    Ok(())
}

fn wrong_index(id: AccountId, what: &str) -> Report {
    Report {
        checker: Checker::SearchIndexWhole,
        severity: Severity::Wrong,
        repair: Repair::Rebuild,
        account: Some(id.0),
        key: Some(mailstore::records::search_prefix(id)),
        what: format!("the index of texts is damaged: {what}"),
        means: "searches for texts are slow, or miss messages; the messages themselves are whole",
    }
}

/// What the accounts of a domain hold together, against what the limits are measured by.
async fn quotas(store: &Store, found: &mut Found) -> Result<(), CommandError> {
    for domain in limited_domains(store).await? {
        store.checking.tell("quotas of domains", 0, 0);
        let findings = store.check_quota(&domain).await;
        for finding in findings.map_err(|error| failed(format!("{error:#}")))? {
            found.add(finding.report(domain.as_str()), None);
        }
    }
    Ok(())
}

/// The domains that have a quota, or are treated so.
pub(super) async fn limited_domains(store: &Store) -> Result<Vec<Domain>, CommandError> {
    let all = store.directory.domain_list().await.map_err(failed)?;
    let limited = all.into_iter().filter(|info| {
        let name = info.domain.as_str();
        info.quota != directory::Quota::default() || store.mailstore.group_usage(name).is_some()
    });
    Ok(limited.map(|info| info.domain).collect())
}

/// The system's space: every key is somebody's, and its record can be read.
pub(super) async fn system(store: &Store, shard: ShardId) -> Result<Vec<Report>, CommandError> {
    if shard != ShardId(0) {
        return Ok(Vec::new());
    }
    let engine = store.engine.clone();
    let work = move || {
        let mut start = engine::keys::system();
        let end = engine::keys::end_of(&start);
        let snapshot = engine.snapshot(shard);
        let (mut reports, mut owners) = (Vec::new(), BTreeMap::new());
        loop {
            let page = snapshot.scan(&start, &end, Order::Ascending, SYSTEM_PAGE)?;
            let Some((last, _)) = page.last() else {
                return Ok::<_, ReadError>((reports, owners));
            };
            start.clone_from(last);
            start.push(0);
            for (key, stored) in page {
                if let Some(account) = policy::account_of(&key) {
                    owners.entry(account).or_insert_with(|| key.clone());
                }
                if reports.len() < FINDINGS_SHOWN_MAX {
                    reports.extend(system_key(key, &stored.value));
                }
            }
        }
    };
    let (mut reports, owners) = store.runtime.blocking(work).await.map_err(failed)?;
    for (account, key) in owners {
        if is_gone(store, account).await? {
            reports.push(Report {
                checker: Checker::DirectoryAgrees,
                severity: Severity::Leftover,
                repair: Repair::Rebuild,
                account: Some(account.0),
                key: Some(key),
                what: format!("account {account} is gone, and the door still remembers it"),
                means: "nothing; it takes up space",
            });
        }
    }
    Ok(reports)
}

/// Neither the directory nor the mail has it.
pub(super) async fn is_gone(store: &Store, account: AccountId) -> Result<bool, CommandError> {
    let known = store.directory.account(account).await.map_err(failed)?;
    Ok(known.is_none() && !store.mailstore.has_head(account).await.map_err(failed)?)
}

/// The store's own name for its backups: random bytes.
const BACKUP_NAME: &[u8] = b"Sbackup";
const BACKUP_NAME_BYTES: usize = 16;

/// A kind of record in the system's space, and whoever writes it is asked whether it can be read.
struct Kind {
    prefix: [u8; 2],
    /// Why it can't be.
    check: fn(&[u8], &[u8]) -> Option<String>,
    what: &'static str,
    means: &'static str,
}

const KINDS: [Kind; 12] = [
    Kind {
        prefix: policy::FULL_SINCE_PREFIX,
        check: policy::check_full_since,
        what: "since when a mailbox is full",
        means: "mail for the full mailbox is refused for now for three days more",
    },
    Kind {
        prefix: bans::BANS_PREFIX,
        check: bans::check_ban,
        what: "a ban",
        means: "its network is not turned away",
    },
    Kind {
        prefix: greylist::GREYLIST_PREFIX,
        check: greylist::check_greylist,
        what: "a record of greylisting",
        means: "a network is put off once more",
    },
    Kind {
        prefix: trace::TRACE_PREFIX,
        check: trace::check_refused,
        what: "the record of a refusal",
        means: "`posthouse trace` does not find it",
    },
    Kind {
        prefix: policy::KNOWN_PREFIX,
        check: policy::check_known,
        what: "whom an account has written to",
        means: "the recipient counts as new once more",
    },
    Kind {
        prefix: sts::STS_PREFIX,
        check: |_, value| sts::check(value).map(|why| why.to_string()),
        what: "a domain's MTA-STS policy",
        means: "it is fetched again before mail goes there",
    },
    Kind {
        prefix: bounces::KEYS_PREFIX,
        check: bounces::check_keys,
        what: "the keys of rewritten senders",
        means: "notifications to forwards that left so far are refused; the next forward makes a new key",
    },
    Kind {
        prefix: bounces::SUPPRESSED_PREFIX,
        check: bounces::check_suppressed,
        what: "a suppressed address",
        means: "mail is sent to it again",
    },
    Kind {
        prefix: tls_reports::REPORTS_PREFIX,
        check: tls_reports::check_day,
        what: "the TLS sessions of a domain's day",
        means: "they are counted anew from now on",
    },
    Kind {
        prefix: tls_reports::SENT_PREFIX,
        check: tls_reports::check_sent,
        what: "what became of a report on TLS",
        means: "it may be sent once more",
    },
    Kind {
        prefix: mailstore::GROUP_TOLD_PREFIX,
        check: mailstore::check_group_told,
        what: "what a domain's postmaster was told of its quota",
        means: "the postmaster may be told once more",
    },
    Kind {
        prefix: mailstore::SHARES_PREFIX,
        check: mailstore::check_share,
        what: "where to look for a shared mailbox",
        means: "a mailbox may be missing in the list of somebody with whom it is shared, until rights are given anew",
    },
];

/// What is wrong with a key of the system's space.
fn system_key(key: Vec<u8>, value: &[u8]) -> Option<Report> {
    let (checker, what, means) = wrong_record(&key, value)?;
    Some(Report {
        checker,
        severity: Severity::Leftover,
        repair: Repair::SetAside,
        account: None,
        key: Some(key),
        what,
        means,
    })
}

fn wrong_record(key: &[u8], value: &[u8]) -> Option<(Checker, String, &'static str)> {
    if let Some(kind) = KINDS.iter().find(|kind| key.starts_with(&kind.prefix)) {
        let why = (kind.check)(key, value)?;
        let what = format!("{} can't be read: {why}", kind.what);
        return Some((Checker::RecordReadable, what, kind.means));
    }
    if key == BACKUP_NAME {
        return (value.len() != BACKUP_NAME_BYTES).then(|| {
            (
                Checker::RecordReadable,
                "the store's name for its backups is damaged".to_owned(),
                "the next backup begins a new series, which is whole by itself",
            )
        });
    }
    Some((
        Checker::KeyKnown,
        format!("the key {} is none of the system", key_text(key)),
        "nothing that this program knows of; was the store used by a newer one?",
    ))
}

pub(super) async fn intake(store: &Store, shard: ShardId) -> Result<Vec<Report>, CommandError> {
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
