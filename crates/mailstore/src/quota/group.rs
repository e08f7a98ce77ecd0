//! The ledger of accounts that share limits: a domain's.
//!
//! It holds what each account uses, as of its tip, and what lanes have reserved
//! that are not submitted yet. A delivery reserves under the ledger's lock before
//! it is staged; its batch taken, the reservation becomes use, the lane dropped, it
//! is given back. So deliveries side by side never overshoot. Nothing of the sums is stored:
//! they are read from the heads.
//!
//! Invariants:
//! - `used` is the sum over `members`; `reserved` is the sum over the
//!   reservations that live.
//! - A member's use is set by whoever holds its lane, or for the first time
//!   from its head while nobody had its lane since it became a member. So it is never older than the tip.
//! - Lock order: groups, then a ledger, then what has crossed a mark.

use super::told::Noted;
use super::{Crossed, Quotas, minus, plus, told};
use crate::error::StoreError;
use crate::head::{OverQuota, QuotaLimits, QuotaMark, QuotaOwner, QuotaUnit};
use crate::lane::QuotaRule;
use crate::load::read_head;
use crate::store::Mailstore;
use envelope::AccountId;
use mailbox_model::Usage;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

#[derive(Debug, Default)]
pub(crate) struct Groups {
    pub(crate) by_name: HashMap<String, Arc<Group>>,
    of_account: HashMap<AccountId, Arc<Group>>,
}

/// Accounts that share limits.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    crossed: Arc<Crossed>,
    pub(crate) ledger: Mutex<Ledger>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// None until every member was counted once: nothing is refused before.
    pub(crate) limits: Option<QuotaLimits>,
    /// What each account uses, as of its tip; none until it was counted.
    pub(crate) members: HashMap<AccountId, Option<Usage>>,
    pub(crate) used: Usage,
    /// What lanes will add.
    pub(crate) reserved: Usage,
    /// Lanes that have reserved something.
    pub(crate) holders: u32,
    /// The highest mark that people were told of; falls with the use.
    pub(crate) told: QuotaMark,
    /// What is written down of it.
    pub(crate) noted: Noted,
}

impl Ledger {
    /// Sets what a member uses. One that left, or was never one, counts nothing.
    pub(crate) fn set(&mut self, account: AccountId, now: Usage) {
        if let Some(usage) = self.members.get_mut(&account) {
            let before = usage.replace(now).unwrap_or_default();
            self.used = plus(minus(self.used, before), now);
        }
    }

    /// As `set`, for what was read from outside the lane.
    fn set_first(&mut self, account: AccountId, now: Usage) {
        if self.members.get(&account) == Some(&None) {
            self.set(account, now);
        }
    }

    fn leave(&mut self, account: AccountId) {
        let before = self.members.remove(&account).flatten();
        self.used = minus(self.used, before.unwrap_or_default());
    }

    /// The limit that `more` would go over.
    fn exceeded_by(&self, more: Usage) -> Option<QuotaUnit> {
        let all = plus(plus(self.used, self.reserved), more);
        self.limits?.exceeded_by(all)
    }

    /// The highest mark that is reached.
    pub(crate) fn mark(&self) -> QuotaMark {
        self.limits
            .map_or(QuotaMark::None, |limits| limits.mark(self.used))
    }
}

/// What a group may use, and uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupUsage {
    /// What its accounts may use together.
    pub limits: QuotaLimits,
    /// What they use, as of what was submitted.
    pub used: Usage,
    /// What is being delivered to them.
    pub reserved: Usage,
}

impl Group {
    /// Changes the ledger, then looks whether a mark was crossed.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        let mut ledger = self.ledger.lock();
        let value = change(&mut ledger);
        if ledger.limits.is_some() {
            let mark = ledger.mark();
            ledger.told = ledger.told.min(mark);
            let to_do = mark > ledger.told || ledger.told < ledger.noted.mark;
            drop(ledger);
            if to_do {
                self.crossed.note_group(&self.name);
            }
        }
        value
    }
}

/// A lane's part of a group's limits; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    group: Arc<Group>,
    reserved: Usage,
}

impl Reservation {
    /// Reserves more.
    ///
    /// # Errors
    /// The group's accounts may not use so much.
    pub(crate) fn reserve(&mut self, more: Usage, rule: QuotaRule) -> Result<(), OverQuota> {
        let mut ledger = self.group.ledger.lock();
        if rule == QuotaRule::Enforce
            && let Some(unit) = ledger.exceeded_by(more)
        {
            let owner = QuotaOwner::Domain;
            return Err(OverQuota { owner, unit });
        }
        if self.reserved == Usage::default() && more != Usage::default() {
            ledger.holders += 1;
        }
        ledger.reserved = plus(ledger.reserved, more);
        self.reserved = plus(self.reserved, more);
        Ok(())
    }

    /// The account's batch was taken: this is what it uses now. The caller holds its lane.
    pub(crate) fn settle(mut self, account: AccountId, now: Usage) {
        let reserved = std::mem::take(&mut self.reserved);
        self.group.change(|ledger| {
            ledger.set(account, now);
            give_back(ledger, reserved);
        });
    }
}

fn give_back(ledger: &mut Ledger, reserved: Usage) {
    if reserved != Usage::default() {
        ledger.reserved = minus(ledger.reserved, reserved);
        ledger.holders -= 1;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.reserved != Usage::default() {
            give_back(&mut self.group.ledger.lock(), self.reserved);
        }
    }
}

impl Groups {
    fn join(&mut self, group: &Arc<Group>, account: AccountId, used: Option<Usage>) {
        let before = self.of_account.insert(account, Arc::clone(group));
        if let Some(before) = before.filter(|before| !Arc::ptr_eq(before, group)) {
            before.change(|ledger| ledger.leave(account));
        }
        let mut ledger = group.ledger.lock();
        ledger.members.entry(account).or_insert(None);
        if let Some(used) = used {
            ledger.set_first(account, used);
        }
    }

    pub(crate) fn leave(&mut self, account: AccountId) {
        if let Some(group) = self.of_account.remove(&account) {
            group.change(|ledger| ledger.leave(account));
        }
    }

    /// The group of a name, with these members and no others.
    fn form(&mut self, name: &str, members: &[AccountId], crossed: &Arc<Crossed>) -> Arc<Group> {
        let group = self.by_name.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Group {
                name: name.to_owned(),
                crossed: Arc::clone(crossed),
                ledger: Mutex::default(),
            })
        });
        let group = Arc::clone(group);
        let wanted: HashSet<AccountId> = members.iter().copied().collect();
        let gone: Vec<AccountId> = {
            let ledger = group.ledger.lock();
            let all = ledger.members.keys().copied();
            all.filter(|member| !wanted.contains(member)).collect()
        };
        for account in gone {
            self.leave(account);
        }
        for &account in members {
            self.join(&group, account, None);
        }
        group
    }
}

impl Quotas {
    /// The place of a lane in its account's group. Asked by whoever has just
    /// taken the lane.
    pub(crate) fn reservation(&self, account: AccountId) -> Option<Reservation> {
        let group = self.groups.read().of_account.get(&account).cloned()?;
        Some(Reservation {
            group,
            reserved: Usage::default(),
        })
    }

    /// What an account uses, when it was read again from the store. The caller holds its lane.
    pub(crate) fn recount(&self, account: AccountId, now: Usage) {
        let group = self.groups.read().of_account.get(&account).cloned();
        if let Some(group) = group {
            group.change(|ledger| ledger.set(account, now));
        }
    }

    pub(crate) fn check_group(&self, account: AccountId, more: Usage) -> Result<(), OverQuota> {
        let group = self.groups.read().of_account.get(&account).cloned();
        let unit = group.and_then(|group| group.ledger.lock().exceeded_by(more));
        unit.map_or(Ok(()), |unit| {
            let owner = QuotaOwner::Domain;
            Err(OverQuota { owner, unit })
        })
    }

    pub(crate) fn group(&self, name: &str) -> Option<Arc<Group>> {
        self.groups.read().by_name.get(name).cloned()
    }
}

impl Mailstore {
    /// Lets accounts share limits under a name (a domain's). When this returns the
    /// limits hold for these members and no others; a group that there was
    /// goes on meanwhile under its old or its new ones. Without any limit it ends.
    ///
    /// # Errors
    /// The heads can't be read; what the group's people were told of can't be.
    pub async fn set_group_limits(
        &self,
        name: &str,
        limits: QuotaLimits,
        members: &[AccountId],
    ) -> Result<(), StoreError> {
        if limits == QuotaLimits::default() {
            return self.end_group(name).await;
        }
        let quotas = &self.shared.quotas;
        let is_new = quotas.group(name).is_none();
        // From here on every lane that is taken has a place in the ledger.
        let group = quotas.groups.write().form(name, members, &quotas.crossed);
        if is_new {
            let noted = self.read_group_told(name).await?;
            let mut ledger = group.ledger.lock();
            (ledger.noted, ledger.told) = (noted, noted.mark);
        }
        self.count(&group).await?;
        group.change(|ledger| ledger.limits = Some(limits));
        Ok(())
    }

    /// Adds an account to a group, if there is one of this name: a new account,
    /// before the commit that makes it.
    pub fn join_group(&self, name: &str, account: AccountId) {
        let mut groups = self.shared.quotas.groups.write();
        if let Some(group) = groups.by_name.get(name).cloned() {
            groups.join(&group, account, Some(Usage::default()));
        }
    }

    /// Takes an account out of its group; what came of [`Mailstore::join_group`]
    /// when the account was not made.
    pub fn leave_group(&self, account: AccountId) {
        self.shared.quotas.groups.write().leave(account);
    }

    /// Ends a group: its accounts have only their own limits.
    ///
    /// # Errors
    /// That nobody was told of anything can't be written down; the group has ended all the same.
    pub async fn end_group(&self, name: &str) -> Result<(), StoreError> {
        {
            let mut groups = self.shared.quotas.groups.write();
            if let Some(gone) = groups.by_name.remove(name) {
                groups
                    .of_account
                    .retain(|_, group| !Arc::ptr_eq(group, &gone));
            }
        }
        self.forget_group_told(name).await
    }

    /// Ends every group but these, and forgets what was told of others.
    ///
    /// # Errors
    /// The store can't be read or written.
    pub async fn end_other_groups(&self, names: &HashSet<String>) -> Result<(), StoreError> {
        let living = self.shared.quotas.groups.read().by_name.clone();
        let stored = told::stored_names(&self.shared).await?;
        for name in living.into_keys().chain(stored) {
            if !names.contains(&name) {
                self.end_group(&name).await?;
            }
        }
        Ok(())
    }

    /// What a group may use and uses; none if there is no such group.
    #[must_use]
    pub fn group_usage(&self, name: &str) -> Option<GroupUsage> {
        let group = self.shared.quotas.group(name)?;
        let ledger = group.ledger.lock();
        Some(GroupUsage {
            limits: ledger.limits?,
            used: ledger.used,
            reserved: ledger.reserved,
        })
    }

    /// Counts the members that were not counted yet.
    async fn count(&self, group: &Arc<Group>) -> Result<(), StoreError> {
        let new: HashSet<AccountId> = {
            let ledger = group.ledger.lock();
            let members = ledger.members.iter();
            let new = members.filter(|(_, used)| used.is_none());
            new.map(|(account, _)| *account).collect()
        };
        // Of an account in memory more may be submitted than its head shows yet,
        // by lanes that were taken before it had a place in the ledger.
        for account in self.cache.accounts() {
            if new.contains(&account.id()) {
                let tip = account.lane.lock().await;
                let used = tip.view.usage();
                group.change(|ledger| ledger.set_first(account.id(), used));
            }
        }
        // One that comes into memory only now has a place in the ledger whenever its lane is taken.
        let (shared, group) = (Arc::clone(&self.shared), Arc::clone(group));
        let work = move || {
            for account in new {
                let snapshot = shared
                    .engine
                    .snapshot(shared.engine.shard_of_account(account.0));
                let used = match read_head(&*snapshot, account) {
                    Ok(head) => head.usage,
                    Err(StoreError::Read(error)) => return Err(error.into()),
                    // An account that can't be opened takes no mail either.
                    Err(_) => Usage::default(),
                };
                group.change(|ledger| ledger.set_first(account, used));
            }
            Ok(())
        };
        self.shared.runtime.blocking(work).await
    }
}
