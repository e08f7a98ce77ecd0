//! Limits that several accounts share, and marks that people are told of.
//!
//! **Groups** ([`group`]). An account's own limits are in its head, which each of
//! its commits is conditional on. What the accounts of a domain may hold
//! together can't be in any head: they commit side by side. So the group has
//! a ledger in memory. What several nodes do:
//! `docs/decisions/0010-domain-quota.md`.
//!
//! **Marks.** The head says up to which mark an account's owner was told, a record
//! of its own ([`told`]) says so of a group. Whatever is above that is noted
//! here; whoever writes notices commits each together with the mark, so that there
//! is one for each crossing. The mark falls with the use.
//!
//! Not here: the text of a notice and who gets it.

mod fsck;
mod group;
mod told;

use crate::account::Account;
use crate::email::NewEmail;
use crate::error::StoreError;
use crate::head::{OverQuota, QuotaLimits, QuotaMark, QuotaOwner};
use crate::lane::{Place, QuotaRule};
use crate::limits::CONFLICT_RETRIES;
use crate::load::read_head;
use crate::store::Mailstore;
use blobs::StagedBlob;
use engine::{Batch, SubmitError};
use envelope::AccountId;
use group::Groups;
use mailbox_model::{Role, Usage};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::Notify;

pub use fsck::GroupFinding;
pub use group::GroupUsage;
pub(crate) use group::Reservation;
pub use told::{GROUP_TOLD_PREFIX, GroupMark, check_group_told};

/// What the store knows of quotas beside the heads.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    groups: RwLock<Groups>,
    crossed: Arc<Crossed>,
}

/// What has a mark that people were not told of, or fell below one that they
/// were told of.
#[derive(Debug, Default)]
struct Crossed {
    accounts: Mutex<BTreeSet<AccountId>>,
    groups: Mutex<BTreeSet<String>>,
    wake: Notify,
}

impl Crossed {
    fn note_group(&self, name: &str) {
        let mut groups = self.groups.lock();
        if !groups.contains(name) {
            groups.insert(name.to_owned());
        }
        drop(groups);
        self.wake.notify_one();
    }

    fn pop(&self) -> Option<QuotaCrossing> {
        let account = self.accounts.lock().pop_first();
        account.map(QuotaCrossing::Account).or_else(|| {
            let group = self.groups.lock().pop_first();
            group.map(QuotaCrossing::Group)
        })
    }
}

/// Something whose mark is to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuotaCrossing {
    /// See [`Account::quota_mark_due`].
    Account(AccountId),
    /// See [`Mailstore::group_mark_due`] and [`Mailstore::lower_group_mark`].
    Group(String),
}

fn plus(a: Usage, b: Usage) -> Usage {
    Usage {
        bytes: a.bytes.saturating_add(b.bytes),
        emails: a.emails.saturating_add(b.emails),
    }
}

fn minus(a: Usage, b: Usage) -> Usage {
    Usage {
        bytes: a.bytes.saturating_sub(b.bytes),
        emails: a.emails.saturating_sub(b.emails),
    }
}

impl Quotas {
    /// The account's owner has not been told yet how full it is.
    pub(crate) fn note_crossing(&self, account: AccountId) {
        self.crossed.accounts.lock().insert(account);
        self.crossed.wake.notify_one();
    }

    /// The account is gone.
    pub(crate) fn forget(&self, account: AccountId) {
        self.crossed.accounts.lock().remove(&account);
        self.groups.write().leave(account);
    }
}

impl Mailstore {
    /// What an account may use and uses, without opening it.
    ///
    /// # Errors
    /// No such account; its head can't be read.
    pub async fn quota(&self, account: AccountId) -> Result<(QuotaLimits, Usage), StoreError> {
        let engine = Arc::clone(&self.shared.engine);
        let work = move || {
            let snapshot = engine.snapshot(engine.shard_of_account(account.0));
            let head = read_head(&*snapshot, account)?;
            Ok((head.terms.limits, head.usage))
        };
        self.shared.runtime.blocking(work).await
    }

    /// What accounts use together, read from their heads. Those that are gone or
    /// can't be read count nothing.
    pub async fn usage_of(&self, accounts: &[AccountId]) -> Usage {
        let (engine, accounts) = (Arc::clone(&self.shared.engine), accounts.to_vec());
        let work = move || {
            let usages = accounts.into_iter().filter_map(|account| {
                let snapshot = engine.snapshot(engine.shard_of_account(account.0));
                Some(read_head(&*snapshot, account).ok()?.usage)
            });
            usages.fold(Usage::default(), plus)
        };
        self.shared.runtime.blocking(work).await
    }

    /// Waits for something whose mark is to be looked at.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub async fn next_quota_crossing(&self) -> QuotaCrossing {
        let crossed = &self.shared.quotas.crossed;
        loop {
            let woken = crossed.wake.notified();
            if let Some(crossing) = crossed.pop() {
                return crossing;
            }
            woken.await;
        }
    }
}

impl Account {
    /// Whether `more` fits the account's limits and those of its domain, as of
    /// what is durable; a delivery may still find less room.
    ///
    /// # Errors
    /// The limit that it would go over.
    pub fn check_room(&self, more: Usage) -> Result<(), OverQuota> {
        let after = plus(self.view().usage(), more);
        if let Some(unit) = self.quota_limits().exceeded_by(after) {
            let owner = QuotaOwner::Account;
            return Err(OverQuota { owner, unit });
        }
        self.shared.quotas.check_group(self.id(), more)
    }

    /// The mark that the account reached and its owner was not told of yet.
    #[must_use]
    pub fn quota_mark_due(&self) -> Option<QuotaMark> {
        let (view, terms) = self.published();
        let mark = terms.limits.mark(view.usage());
        (mark > terms.told).then_some(mark)
    }

    /// Delivers the notice of a mark into the inbox, whatever the quota says, in
    /// the commit that notes the mark as told. False if the account is not at
    /// that mark any more, or its owner was told.
    ///
    /// # Errors
    /// The store is full or can't be read.
    pub async fn deliver_quota_notice(
        self: &Arc<Self>,
        mark: QuotaMark,
        mut blob: StagedBlob,
        email: &NewEmail,
    ) -> Result<bool, StoreError> {
        for _ in 0..CONFLICT_RETRIES {
            let shared = Arc::clone(&self.shared);
            let work = move || {
                let mut batch = Batch::new();
                shared.blobs.stage(&mut batch, &mut blob)?;
                Ok::<_, StoreError>((batch, blob))
            };
            let (mut batch, staged) = self.shared.runtime.blocking(work).await?;
            blob = staged;
            let mut lane = self.lane().await?;
            if !lane.stage_told(mark) {
                return Ok(false);
            }
            let inbox = lane.resolve(&Place::Role(Role::Inbox))?;
            let emails = std::slice::from_ref(email);
            lane.stage_deliver(&mut batch, inbox, emails, QuotaRule::Ignore)?;
            match lane.submit(batch) {
                Ok(ticket) => {
                    ticket.done().await;
                    return Ok(true);
                }
                Err(SubmitError::Conflict { winner, .. }) => winner.visible().await,
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Contended)
    }
}
