//! Compares a group's ledger with the accounts that it is of, and puts it right.
//!
//! A difference is told only if it is still so while the account's lane is held:
//! otherwise a change may be under way.

use super::group::Group;
use super::plus;
use crate::error::StoreError;
use crate::head::QuotaLimits;
use crate::limits::FINDINGS_MAX;
use crate::load::read_head;
use crate::store::Mailstore;
use engine::check::{Checker, Mended, Repair, Report, Severity};
use envelope::AccountId;
use mailbox_model::Usage;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Something about a group that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupFinding {
    /// There is no group of this name, it has other limits, or other members.
    Terms,
    /// What the ledger says of an account is not what the account uses.
    Member {
        /// The account.
        account: AccountId,
        /// What the ledger says, if it knows the account.
        counted: Option<Usage>,
        /// What the account uses.
        uses: Usage,
    },
    /// The sum is not that of the members.
    Sum {
        /// What the ledger says.
        counted: Usage,
        /// The sum.
        sum: Usage,
    },
    /// Something is reserved though nothing is being delivered.
    Reserved(Usage),
}

impl fmt::Display for GroupFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Terms => write!(f, "the limits or the accounts are not the directory's"),
            Self::Member {
                account,
                counted: Some(counted),
                uses,
            } => write!(
                f,
                "account {account} counts as {} bytes in {} messages and has {} in {}",
                counted.bytes, counted.emails, uses.bytes, uses.emails
            ),
            Self::Member { account, .. } => write!(f, "account {account} does not count"),
            Self::Sum { counted, sum } => write!(
                f,
                "the sum is said to be {} bytes in {} messages and is {} in {}",
                counted.bytes, counted.emails, sum.bytes, sum.emails
            ),
            Self::Reserved(left) => write!(
                f,
                "{} bytes in {} messages are reserved for nothing",
                left.bytes, left.emails
            ),
        }
    }
}

impl GroupFinding {
    /// The finding as everybody tells it.
    #[must_use]
    pub fn report(&self, name: &str) -> Report {
        let (checker, account) = match self {
            Self::Terms => (Checker::DirectoryAgrees, None),
            Self::Member { account, .. } => (Checker::CountersEqualSums, Some(account.0)),
            Self::Sum { .. } | Self::Reserved(_) => (Checker::CountersEqualSums, None),
        };
        Report {
            checker,
            severity: Severity::Wrong,
            repair: Repair::Rebuild,
            account,
            key: None,
            what: format!("the quota of the domain {name}: {self}"),
            means: "mail for the domain may be refused too early, or taken beyond its quota, until the next start",
        }
    }
}

impl Mailstore {
    /// Checks a group's ledger against what it should be.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn fsck_group(
        &self,
        name: &str,
        limits: QuotaLimits,
        members: &[AccountId],
    ) -> Result<Vec<GroupFinding>, StoreError> {
        let is_limited = limits != QuotaLimits::default();
        let Some(group) = self.shared.quotas.group(name) else {
            return Ok(Vec::from_iter(is_limited.then_some(GroupFinding::Terms)));
        };
        let mut found = Vec::new();
        {
            let ledger = group.ledger.lock();
            let counted: BTreeSet<_> = ledger.members.keys().copied().collect();
            let wanted: BTreeSet<_> = members.iter().copied().collect();
            if ledger.limits != Some(limits) || counted != wanted {
                found.push(GroupFinding::Terms);
            }
        }
        for account in self.differing(&group, members.to_vec()).await? {
            if found.len() < FINDINGS_MAX {
                found.extend(self.member(&group, account, Mend::No).await?);
            }
        }
        found.extend(group.sums(Mend::No));
        Ok(found)
    }

    /// Puts a group's ledger right. Gives what was done.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn repair_group(
        &self,
        name: &str,
        limits: QuotaLimits,
        members: &[AccountId],
    ) -> Result<Vec<Mended>, StoreError> {
        let mut mended = self.fsck_group(name, limits, members).await?;
        if mended.is_empty() {
            return Ok(Vec::new());
        }
        self.set_group_limits(name, limits, members).await?;
        if let Some(group) = self.shared.quotas.group(name) {
            for account in self.differing(&group, members.to_vec()).await? {
                self.member(&group, account, Mend::Yes).await?;
            }
            // Only now may the sum be looked at: it follows the members.
            for finding in group.sums(Mend::Yes) {
                if !mended.contains(&finding) {
                    mended.push(finding);
                }
            }
        }
        let told = |finding: GroupFinding| Mended {
            checker: finding.report(name).checker,
            account: finding.report(name).account,
            what: format!("counted again: the quota of the domain {name}: {finding}"),
        };
        Ok(mended.into_iter().map(told).collect())
    }

    /// Members whose heads say something else than the ledger; some of them
    /// because a change is under way.
    async fn differing(
        &self,
        group: &Arc<Group>,
        members: Vec<AccountId>,
    ) -> Result<Vec<AccountId>, StoreError> {
        let (engine, group) = (Arc::clone(&self.shared.engine), Arc::clone(group));
        let work = move || {
            let mut differing = Vec::new();
            for account in members {
                let snapshot = engine.snapshot(engine.shard_of_account(account.0));
                let used = match read_head(&*snapshot, account) {
                    Ok(head) => head.usage,
                    Err(StoreError::Read(error)) => return Err(error.into()),
                    // That is a finding of the account's own.
                    Err(_) => continue,
                };
                let counted = group.ledger.lock().members.get(&account).copied();
                if counted.flatten() != Some(used) {
                    differing.push(account);
                }
            }
            Ok(differing)
        };
        self.shared.runtime.blocking(work).await
    }

    /// Compares a member, whose use nobody changes meanwhile, with the ledger.
    async fn member(
        &self,
        group: &Group,
        id: AccountId,
        mend: Mend,
    ) -> Result<Option<GroupFinding>, StoreError> {
        let account = match self.account(id).await {
            Ok(account) => account,
            Err(StoreError::Read(error)) => return Err(error.into()),
            Err(_) => return Ok(None),
        };
        let lane = account.lane.lock().await;
        // What another process changed is not in the tip yet.
        if lane.stale || lane.gone {
            return Ok(None);
        }
        let uses = lane.view.usage();
        let counted = group.ledger.lock().members.get(&id).copied().flatten();
        if counted == Some(uses) {
            return Ok(None);
        }
        if mend == Mend::Yes {
            group.change(|ledger| ledger.set(id, uses));
        }
        Ok(Some(GroupFinding::Member {
            account: id,
            counted,
            uses,
        }))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mend {
    Yes,
    No,
}

impl Group {
    /// Compares the ledger with itself.
    fn sums(&self, mend: Mend) -> Vec<GroupFinding> {
        self.change(|ledger| {
            let mut found = Vec::new();
            let members = ledger.members.values().flatten();
            let sum = members.copied().fold(Usage::default(), plus);
            if sum != ledger.used {
                let counted = ledger.used;
                found.push(GroupFinding::Sum { counted, sum });
                if mend == Mend::Yes {
                    ledger.used = sum;
                }
            }
            if ledger.holders == 0 && ledger.reserved != Usage::default() {
                found.push(GroupFinding::Reserved(ledger.reserved));
                if mend == Mend::Yes {
                    ledger.reserved = Usage::default();
                }
            }
            found
        })
    }
}
