//! The parts of a repair. Order matters: what others are measured by comes first.

use std::collections::BTreeSet;
use std::sync::Arc;

use blobs::fsck::Finding as BlobFinding;
use engine::check::{Aside, Checker, Mended, Report, SetAside};
use engine::limits::FSCK_BYTES_MAX;
use engine::{Batch, Engine as _, Expect, ShardId, SubmitError};
use envelope::{AccountId, Address};
use mailstore::QuotaLimits;

use super::steps::{self, JOURNAL};
use crate::acts::{CommandError, failed};
use crate::store::Store;

/// What a repair works with.
pub(super) struct Repair<'a> {
    pub(super) store: &'a Store,
    pub(super) aside: Arc<dyn Aside>,
    /// Indexes of texts are made anew, sound ones too.
    pub(super) index_anew: bool,
    pub(super) mended: Vec<Mended>,
}

impl Repair<'_> {
    /// Every part of the store.
    pub(super) async fn everything(&mut self) -> Result<(), CommandError> {
        self.journal().await?;
        let store = self.store;
        let stored = steps::stored_accounts(store).await?;
        let largest = stored.last().copied().unwrap_or(AccountId(0));
        store.checking.tell("repair: directory", 0, 0);
        let aside = Arc::clone(&self.aside);
        let mended = store.directory.repair(largest, aside).await;
        self.mended.extend(mended.map_err(failed)?);
        for shard in shards(store) {
            self.bodies(shard).await?;
        }
        self.accounts(&stored).await?;
        self.quotas().await?;
        for shard in shards(store) {
            store.checking.tell("repair: queue", 0, 0);
            let aside = Arc::clone(&self.aside);
            let mended = store.queue.repair(shard, aside).await;
            self.mended.extend(mended.map_err(failed)?);
            self.reported(shard).await?;
            self.links(shard).await?;
        }
        Ok(())
    }

    /// One account, and nothing else.
    pub(super) async fn account(&mut self, id: AccountId) -> Result<(), CommandError> {
        // Where the head is lost nobody knows the limits: none is better than too little.
        let limits = QuotaLimits::default();
        let aside = Arc::clone(&self.aside);
        let mended = self.store.mailstore.repair(id, limits, aside).await;
        self.mended.extend(mended.map_err(failed)?);
        self.index(id).await
    }

    /// The index of texts can be thrown away and made again, whatever is wrong with it.
    async fn index(&mut self, id: AccountId) -> Result<(), CommandError> {
        let store = self.store;
        let found = store.search.check(id).await.map_err(failed)?;
        if found.is_empty() && !self.index_anew {
            return Ok(());
        }
        store.search.forget(id).await;
        let built = match store.mailstore.account(id).await {
            Ok(account) => store.search.build(&account).await.is_ok(),
            Err(_) => false,
        };
        let what = match built {
            true => "the index of texts was thrown away and built again",
            false => "the index of texts was thrown away; searches build it again",
        };
        self.mended.push(Mended {
            checker: Checker::SearchIndexWhole,
            account: Some(id.0),
            what: what.to_owned(),
        });
        Ok(())
    }

    async fn journal(&mut self) -> Result<(), CommandError> {
        self.store.checking.tell(JOURNAL, 0, 0);
        let (engine, checking) = (self.store.engine.clone(), self.store.checking.clone());
        let aside = Arc::clone(&self.aside);
        let work = move || {
            let findings = engine
                .fsck_with(FSCK_BYTES_MAX, &|done, total| {
                    checking.tell(JOURNAL, done, total);
                })
                .map_err(failed)?;
            engine.repair(&findings, &*aside).map_err(failed)
        };
        self.mended.extend(self.store.runtime.blocking(work).await?);
        Ok(())
    }

    async fn accounts(&mut self, stored: &[AccountId]) -> Result<(), CommandError> {
        let store = self.store;
        let known = store.directory.account_ids().await.map_err(failed)?;
        for &id in stored.iter().filter(|id| known.binary_search(id).is_err()) {
            self.unknown_account(id).await?;
        }
        let all: BTreeSet<AccountId> = known.iter().chain(stored).copied().collect();
        for (done, &id) in all.iter().enumerate() {
            store
                .checking
                .tell("repair: accounts", done as u64, all.len() as u64);
            let is_there = known.binary_search(&id).is_ok() || self.has_mail(id).await?;
            if is_there {
                self.account(id).await?;
            }
        }
        Ok(())
    }

    /// Accounts may have come or changed.
    async fn quotas(&mut self) -> Result<(), CommandError> {
        let of_sharing = |error: anyhow::Error| failed(format!("{error:#}"));
        let store = self.store;
        // Before it changes anything itself, or there is nothing to tell of.
        for domain in steps::limited_domains(store).await? {
            store.checking.tell("repair: quotas of domains", 0, 0);
            let mended = store.mend_quota(&domain).await;
            self.mended.extend(mended.map_err(of_sharing)?);
        }
        store.share_quotas().await.map_err(of_sharing)
    }

    async fn has_mail(&self, id: AccountId) -> Result<bool, CommandError> {
        let shard = self.store.mailstore.shard(id);
        let found = self.store.mailstore.stored_accounts(shard, id, 1).await;
        Ok(found.map_err(failed)?.first() == Some(&id))
    }

    /// Mail that nothing leads to: an account whose removal was cut short, or one that the directory lost.
    async fn unknown_account(&mut self, id: AccountId) -> Result<(), CommandError> {
        let store = self.store;
        let told = |what: String| Mended {
            checker: Checker::DirectoryAgrees,
            account: Some(id.0),
            what,
        };
        if !store.mailstore.has_head(id).await.map_err(failed)? {
            // The head goes first when an account is removed.
            store.mailstore.drop_account(id).await.map_err(failed)?;
            self.mended
                .push(told(format!("the removal of account {id} was finished")));
            return Ok(());
        }
        let domains = store.directory.domain_list().await.map_err(failed)?;
        for domain in domains {
            let text = format!("recovered-{id}@{}", domain.domain);
            let Ok(address) = Address::parse(&text) else {
                continue;
            };
            match store.directory.adopt(id, address).await {
                Ok(()) => {
                    self.mended.push(told(format!(
                        "account {id}, which nothing led to, is {text} now, turned off and without a password"
                    )));
                    return Ok(());
                }
                Err(error) => tracing::warn!(%error, address = text, "not given to a lost account"),
            }
        }
        Ok(())
    }

    /// Bodies whose bytes are lost: their records are set aside, so that their names are free again.
    async fn bodies(&mut self, shard: ShardId) -> Result<(), CommandError> {
        self.store.checking.tell("repair: bodies", 0, 0);
        let (blobs, aside) = (self.store.blobs.clone(), Arc::clone(&self.aside));
        let work = move || {
            let mut mended = Vec::new();
            for finding in blobs::fsck::fsck(&blobs, shard, None).map_err(failed)? {
                let report = finding.report(shard);
                let done = match &finding {
                    BlobFinding::StrangeKey(key) => blobs
                        .set_aside(shard, key, (report.checker, &report.what), &*aside)
                        .map_err(failed)?,
                    BlobFinding::Unreadable(id, _) | BlobFinding::OtherBytes(id) => {
                        let key = blobs::Blobs::record_key(shard, *id);
                        blobs.is_lost(shard, *id).map_err(failed)?
                            && blobs
                                .set_aside(shard, &key, (report.checker, &report.what), &*aside)
                                .map_err(failed)?
                    }
                    BlobFinding::Forgotten(id) => {
                        blobs.note_unlinked(shard, *id).map_err(failed)?
                    }
                    // Owners' own repairs, or collection's.
                    BlobFinding::Dangling(..)
                    | BlobFinding::NoOwner(..)
                    | BlobFinding::Overdue(_) => false,
                };
                if done {
                    mended.push(Mended {
                        checker: report.checker,
                        account: None,
                        what: format!("put right: {}", report.what),
                    });
                }
            }
            Ok::<_, CommandError>(mended)
        };
        self.mended.extend(self.store.runtime.blocking(work).await?);
        Ok(())
    }

    /// Links of owners that are gone or have another body.
    async fn links(&mut self, shard: ShardId) -> Result<(), CommandError> {
        let (engine, blobs) = (self.store.engine.clone(), self.store.blobs.clone());
        let work = move || {
            let names = |snapshot: &dyn engine::Snapshot, blob, owner| {
                steps::names_blob(snapshot, shard, blob, owner)
            };
            let findings = blobs::fsck::fsck_owners(&blobs, shard, &names).map_err(failed)?;
            let mut removed = 0u64;
            for finding in findings {
                let BlobFinding::NoOwner(id, owner) = finding else {
                    continue;
                };
                // Looked at again: the owner may have come since.
                let snapshot = engine.snapshot(shard);
                if !names(&*snapshot, id, owner).map_err(failed)?
                    && blobs
                        .remove_link(&*snapshot, shard, id, owner)
                        .map_err(failed)?
                {
                    removed += 1;
                }
            }
            Ok::<_, CommandError>(removed)
        };
        let removed = self.store.runtime.blocking(work).await?;
        if removed > 0 {
            self.mended.push(Mended {
                checker: Checker::BlobOwned,
                account: None,
                what: format!("{removed} links of owners that are gone were removed"),
            });
        }
        Ok(())
    }

    /// Mail on its way in, and the system's keys: what is reported there is set aside.
    async fn reported(&mut self, shard: ShardId) -> Result<(), CommandError> {
        let mut reports = steps::intake(self.store, shard).await?;
        reports.extend(steps::system(self.store, shard).await?);
        // What is left of accounts that are gone tells nobody anything.
        let of_gone = |report: &Report| report.repair == engine::check::Repair::Rebuild;
        let (gone, reports): (Vec<_>, Vec<_>) = reports.into_iter().partition(of_gone);
        for account in gone.into_iter().filter_map(|report| report.account) {
            let id = AccountId(account);
            crate::acts::account::forget(self.store, id).await?;
            self.mended.push(Mended {
                checker: Checker::DirectoryAgrees,
                account: Some(account),
                what: format!(
                    "what the door remembered of account {id}, which is gone, was removed"
                ),
            });
        }
        let (engine, aside) = (self.store.engine.clone(), Arc::clone(&self.aside));
        let work = move || {
            let mut mended = Vec::new();
            for report in reports {
                let Some(key) = &report.key else { continue };
                let Some(stored) = engine.snapshot(shard).get(key).map_err(failed)? else {
                    continue;
                };
                aside
                    .keep(&SetAside {
                        checker: report.checker,
                        account: None,
                        key,
                        value: &stored.value,
                        why: &report.what,
                    })
                    .map_err(failed)?;
                let mut batch = Batch::new();
                batch.expect(key.clone(), Expect::Version(stored.version));
                batch.delete(key.clone());
                match engine.submit(batch) {
                    Ok(ticket) => drop(ticket.done_blocking()),
                    Err(SubmitError::Conflict { .. }) => continue,
                    Err(error) => return Err(failed(error)),
                }
                mended.push(Mended {
                    checker: report.checker,
                    account: None,
                    what: format!("set aside: {}", report.what),
                });
            }
            Ok(mended)
        };
        self.mended.extend(self.store.runtime.blocking(work).await?);
        Ok(())
    }
}

fn shards(store: &Store) -> impl Iterator<Item = ShardId> + use<> {
    (0..store.engine.shards()).map(ShardId)
}
