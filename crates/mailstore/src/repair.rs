//! Mends one account: its state first ([`state`]), so that it can be opened
//! again, then its emails ([`emails`]), by changes like any other.
//!
//! - Derived things (head, checkpoint) are made again from base and log.
//! - Where an entry of the log or a part of the base is lost, the best state
//!   that can be had ([`salvage`]) becomes the new base. Numbers that may have been
//!   given are passed over, so that nothing is ever given twice.
//! - An email that no mailbox shows and nobody expunged is shown again in a
//!   mailbox of its own.
//! - What can't be mended is set aside before it leaves the store.
//!
//! Invariant: each step is one commit, or commits that nobody sees before the
//! last of them. A crash in between leaves an account that is no worse, and a
//! repair can be done again.

mod adapt;
mod emails;
mod salvage;
mod state;

use crate::account::Account;
use crate::error::StoreError;
use crate::fsck::Finding;
use crate::head::QuotaLimits;
use crate::keys;
use crate::load;
use crate::store::{Mailstore, Shared};
use engine::check::{Aside, Checker, Mended, SetAside};
use engine::{Batch, Expect, SubmitError, Ticket};
use envelope::AccountId;
use std::sync::Arc;
use thiserror::Error;

/// Times that a repair looks again: what was mended may show what else is to be.
const ROUNDS: u32 = 4;

/// Why a repair did not come to its end. What it did before stays done.
#[derive(Debug, Error)]
pub enum RepairError {
    /// A record could not be set aside.
    #[error("a record could not be set aside: {0}")]
    Aside(#[from] std::io::Error),
    /// The account could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<engine::ReadError> for RepairError {
    fn from(error: engine::ReadError) -> Self {
        StoreError::from(error).into()
    }
}

impl From<SubmitError> for RepairError {
    fn from(error: SubmitError) -> Self {
        StoreError::from(error).into()
    }
}

/// What every step of a repair needs.
struct Repair<'a> {
    shared: &'a Shared,
    account: AccountId,
    aside: &'a dyn Aside,
    mended: Vec<Mended>,
}

impl Repair<'_> {
    fn told(&mut self, checker: Checker, what: impl Into<String>) {
        self.mended.push(Mended {
            checker,
            account: Some(self.account.0),
            what: what.into(),
        });
    }

    fn keep(
        &self,
        checker: Checker,
        key: &[u8],
        value: &[u8],
        why: &str,
    ) -> Result<(), RepairError> {
        self.aside.keep(&SetAside {
            checker,
            account: Some(self.account.0),
            key,
            value,
            why,
        })?;
        Ok(())
    }
}

impl Mailstore {
    /// True if the account has a head: it was not removed.
    ///
    /// # Errors
    /// The engine can't be read.
    pub async fn has_head(&self, account: AccountId) -> Result<bool, StoreError> {
        let engine = Arc::clone(&self.shared.engine);
        let work = move || {
            let snapshot = engine.snapshot(engine.shard_of_account(account.0));
            snapshot.get(&keys::head(account))
        };
        Ok(self.shared.runtime.blocking(work).await?.is_some())
    }

    /// Mends an account. `limits` count where its own are lost. Nobody else
    /// changes the account meanwhile, others go on.
    ///
    /// # Errors
    /// See [`RepairError`].
    pub async fn repair(
        &self,
        account: AccountId,
        limits: QuotaLimits,
        aside: Arc<dyn Aside>,
    ) -> Result<Vec<Mended>, RepairError> {
        let mut mended = Vec::new();
        for _ in 0..ROUNDS {
            let findings = self.fsck(account).await?;
            if findings.is_empty() {
                break;
            }
            if findings.iter().any(is_of_state) {
                mended.extend(self.repair_state(account, limits, &aside).await?);
            }
            if findings.iter().any(|finding| !is_of_state(finding)) {
                mended.extend(self.repair_emails(account, &findings, &aside).await?);
            }
        }
        if !mended.is_empty() {
            self.forget_texts(account).await?;
        }
        Ok(mended)
    }

    /// Throws the index of texts away: it may know emails that are others now. It is made again by
    /// use.
    async fn forget_texts(&self, account: AccountId) -> Result<(), RepairError> {
        let shared = Arc::clone(&self.shared);
        let work = move || {
            let snapshot = shared
                .engine
                .snapshot(shared.engine.shard_of_account(account.0));
            let start = keys::search(account);
            let end = engine::keys::end_of(&start);
            let mut batch = Batch::new();
            load::for_each(&*snapshot, start, &end, |key, _| {
                batch.delete(key);
                if batch.size_bytes() > crate::limits::COMMIT_BYTES_SOFT {
                    shared.engine.submit(std::mem::take(&mut batch))?;
                }
                Ok(())
            })?;
            match batch.is_empty() {
                true => Ok(None),
                false => Ok::<_, StoreError>(Some(shared.engine.submit(batch)?)),
            }
        };
        if let Some(ticket) = self.shared.runtime.blocking(work).await? {
            ticket.done().await;
        }
        Ok(())
    }

    /// Makes the account one that can be opened. Nobody else opens or changes it
    /// meanwhile.
    async fn repair_state(
        &self,
        account: AccountId,
        limits: QuotaLimits,
        aside: &Arc<dyn Aside>,
    ) -> Result<Vec<Mended>, RepairError> {
        loop {
            let slot = self.cache.slot(account);
            if let Some(held) = slot.get() {
                let mut tip = held.lane.lock().await;
                held.settle_all(&mut tip).await;
                let mended = self.mend_state(account, limits, aside).await?;
                held.reload(&mut tip).await?;
                return Ok(mended);
            }
            let mut done = None;
            let opened = slot
                .get_or_try_init(|| async {
                    done = Some(self.mend_state(account, limits, aside).await?);
                    let shared = Arc::clone(&self.shared);
                    let work = move || load::load(&*shared.engine, account);
                    let tip = self.shared.runtime.blocking(work).await?;
                    Ok::<_, RepairError>(Account::open(Arc::clone(&self.shared), account, tip))
                })
                .await;
            match (opened, done) {
                (Ok(opened), Some(mended)) => {
                    let tip = opened.lane.lock().await;
                    self.shared.quotas.recount(account, tip.view.usage());
                    return Ok(mended);
                }
                // Somebody else opened it just now.
                (Ok(_), None) => {}
                (Err(error), _) => {
                    self.cache.forget_empty(account);
                    return Err(error);
                }
            }
        }
    }

    async fn mend_state(
        &self,
        account: AccountId,
        limits: QuotaLimits,
        aside: &Arc<dyn Aside>,
    ) -> Result<Vec<Mended>, RepairError> {
        let (shared, aside) = (Arc::clone(&self.shared), Arc::clone(aside));
        let work = move || {
            let mut repair = Repair {
                shared: &shared,
                account,
                aside: &*aside,
                mended: Vec::new(),
            };
            let ticket = state::mend(&mut repair, limits)?;
            Ok::<_, RepairError>((repair.mended, ticket))
        };
        let (mended, ticket) = self.shared.runtime.blocking(work).await?;
        if let Some(ticket) = ticket {
            ticket.done().await;
        }
        Ok(mended)
    }
}

/// True for what is mended below the level of changes.
fn is_of_state(finding: &Finding) -> bool {
    match finding {
        Finding::NoAccount
        | Finding::HeadDamaged(_)
        | Finding::HeadDiffers
        | Finding::LogEntry(..)
        | Finding::Base(_)
        | Finding::Checkpoint(_)
        | Finding::CheckpointDiffers(_)
        | Finding::Counters(_)
        | Finding::Usage
        | Finding::UidOrder(..)
        | Finding::ModSeqAbove(..)
        | Finding::UidValidity(_)
        | Finding::Twice(..)
        | Finding::List(..)
        | Finding::AccessKeys(_)
        | Finding::Annotations(_)
        | Finding::Scripts(_)
        | Finding::Retrieved(_)
        | Finding::Acls(_)
        | Finding::SeenBy(..)
        | Finding::Threads(..)
        | Finding::StrangeKey(_) => true,
        Finding::NoRecord { .. }
        | Finding::RecordDamaged(..)
        | Finding::Size(_)
        | Finding::NoBlob(..)
        | Finding::NoLink(..)
        | Finding::Orphan(_)
        | Finding::More => false,
    }
}

/// Commits with the condition that the head is as it was found, so that nobody
/// else's change comes between.
struct Commits<'a> {
    repair: &'a Shared,
    head: (Vec<u8>, Expect),
    batch: Batch,
    ticket: Option<Ticket>,
}

impl Commits<'_> {
    fn submit(&mut self) -> Result<(), RepairError> {
        let mut batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        batch.expect(self.head.0.clone(), self.head.1);
        self.ticket = Some(self.repair.engine.submit(batch)?);
        Ok(())
    }

    fn submit_if_full(&mut self) -> Result<(), RepairError> {
        if self.batch.size_bytes() > crate::limits::COMMIT_BYTES_SOFT {
            self.submit()?;
        }
        Ok(())
    }
}
