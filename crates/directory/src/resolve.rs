//! What an address leads to.
//!
//! For each address, in this order: the address as it is (account or alias), the
//! address without its detail (`user+detail@`), the role addresses `postmaster`
//! and `abuse` (RFC 2142, RFC 5321 §4.5.1), the domain's catch-all. Aliases are
//! followed, each address once, so a loop ends by itself.
//!
//! A local part with `%`, `!` or `@` in it never reaches a catch-all: those are
//! old ways to name a further hop, and there is none.

use crate::error::DirectoryError;
use crate::limits::{ALIAS_HOPS_MAX, ALIAS_TARGETS_MAX};
use crate::record::address::AddressRecord;
use crate::record::domain::DomainRecord;
use crate::store::{Directory, Inner};
use envelope::{AccountId, Address, Domain, LocalPart};
use std::collections::HashSet;

/// What an address leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// The domain is not one of ours.
    NotLocalDomain,
    /// The domain is ours, the address leads nowhere.
    NoSuchUser,
    /// Aliases lead in a circle, or through more hops or to more targets than allowed.
    AliasLoop,
    /// Where it leads; never empty, no target twice.
    Local(Vec<Target>),
}

/// One place where an address leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An account here.
    Account {
        /// Its id.
        id: AccountId,
        /// Its primary address.
        address: Address,
        /// The detail of a sub-address (RFC 5233), as it was written.
        detail: Option<String>,
    },
    /// An address of a domain that is not ours.
    Forward(Address),
}

/// One step from an address.
enum Step {
    NotLocal,
    Nowhere,
    Account {
        id: AccountId,
        detail: Option<String>,
    },
    Addresses {
        addresses: Vec<Address>,
        detail: Option<String>,
    },
}

struct Pending {
    address: Address,
    detail: Option<String>,
    hops: usize,
}

impl Directory {
    /// What `address` leads to.
    ///
    /// # Errors
    /// The store cannot be read or a record is damaged: answer temporarily.
    pub async fn resolve(&self, address: &Address) -> Result<Resolution, DirectoryError> {
        self.inner.resolve(address).await
    }

    /// What `postmaster` without a domain leads to: the system's administrator.
    ///
    /// # Errors
    /// As [`Directory::resolve`].
    pub async fn resolve_postmaster(&self) -> Result<Resolution, DirectoryError> {
        let Some(id) = self.inner.head().await?.administrator else {
            return Ok(Resolution::NoSuchUser);
        };
        let target = self.inner.account_target(id, None).await?;
        Ok(target.map_or(Resolution::NoSuchUser, |target| {
            Resolution::Local(vec![target])
        }))
    }

    /// Whether the domain is one of ours.
    ///
    /// # Errors
    /// As [`Directory::resolve`].
    pub async fn is_local_domain(&self, domain: &Domain) -> Result<bool, DirectoryError> {
        Ok(self.inner.domain_record(domain).await?.is_some())
    }

    /// Whether an account may send mail in the name of `address`: its own
    /// addresses, those that lead to it, and those that it was granted.
    ///
    /// # Errors
    /// As [`Directory::resolve`].
    pub async fn may_send_as(
        &self,
        account: AccountId,
        address: &Address,
    ) -> Result<bool, DirectoryError> {
        let leads = match self.inner.resolve(address).await? {
            // A grant counts for nothing without its domain.
            Resolution::NotLocalDomain => return Ok(false),
            Resolution::Local(targets) => targets
                .iter()
                .any(|target| matches!(target, Target::Account { id, .. } if *id == account)),
            Resolution::NoSuchUser | Resolution::AliasLoop => false,
        };
        Ok(leads || self.inner.is_granted(account, address).await?)
    }

    /// The address of the group that an address names, folded: every alias is the group of the
    /// accounts of its domain to which it leads.
    ///
    /// # Errors
    /// As [`Directory::resolve`].
    pub async fn group_of(&self, address: &str) -> Result<Option<String>, DirectoryError> {
        let Ok(address) = Address::parse(address) else {
            return Ok(None);
        };
        let (domain, local) = (address.domain(), address.local().to_key());
        match self.inner.address_record(domain, &local).await? {
            Some(AddressRecord::Alias(_)) => {}
            Some(AddressRecord::Account(_)) | None => return Ok(None),
        }
        let folded = LocalPart::from_content(&local)
            .ok()
            .and_then(|local| Address::new(local, domain.clone()).ok());
        Ok(folded.map(|folded| folded.to_string()))
    }

    /// Whether an account belongs to a group.
    ///
    /// # Errors
    /// As [`Directory::resolve`].
    pub async fn is_member(&self, account: AccountId, group: &str) -> Result<bool, DirectoryError> {
        let Ok(address) = Address::parse(group) else {
            return Ok(false);
        };
        // What the domain's catch-all takes is no group.
        let local = address.local().to_key();
        let record = self.inner.address_record(address.domain(), &local).await?;
        if !matches!(record, Some(AddressRecord::Alias(_))) {
            return Ok(false);
        }
        let Resolution::Local(targets) = self.inner.resolve(&address).await? else {
            return Ok(false);
        };
        Ok(targets.iter().any(|target| match target {
            Target::Account {
                id, address: own, ..
            } => *id == account && own.domain() == address.domain(),
            Target::Forward(_) => false,
        }))
    }
}

impl Inner {
    pub(crate) async fn resolve(&self, address: &Address) -> Result<Resolution, DirectoryError> {
        let mut pending = vec![Pending {
            address: address.clone(),
            detail: None,
            hops: 0,
        }];
        let mut seen = HashSet::new();
        let mut targets: Vec<Target> = Vec::new();
        let mut looped = false;
        while let Some(Pending {
            address,
            detail: inherited,
            hops,
        }) = pending.pop()
        {
            if !seen.insert(address.to_key()) {
                looped = true;
                continue;
            }
            match self.step(&address).await? {
                Step::NotLocal if hops == 0 => return Ok(Resolution::NotLocalDomain),
                Step::NotLocal => targets.push(Target::Forward(address)),
                Step::Nowhere => {}
                Step::Account { id, detail } => {
                    let found = self.account_target(id, detail.or(inherited)).await?;
                    if let Some(target) = found {
                        add_account(&mut targets, target);
                    }
                }
                Step::Addresses { addresses, detail } => {
                    let too_many = targets.len() + pending.len() + addresses.len();
                    if hops == ALIAS_HOPS_MAX || too_many > ALIAS_TARGETS_MAX {
                        return Ok(Resolution::AliasLoop);
                    }
                    let detail = detail.or(inherited);
                    // Last in, first out: keeps the order in which they were given.
                    pending.extend(addresses.into_iter().rev().map(|address| Pending {
                        address,
                        detail: detail.clone(),
                        hops: hops + 1,
                    }));
                }
            }
        }
        Ok(match (targets.is_empty(), looped) {
            (false, _) => Resolution::Local(targets),
            (true, true) => Resolution::AliasLoop,
            (true, false) => Resolution::NoSuchUser,
        })
    }

    async fn step(&self, address: &Address) -> Result<Step, DirectoryError> {
        let domain = address.domain();
        let Some(record) = self.domain_record(domain).await? else {
            return Ok(Step::NotLocal);
        };
        let local = address.local().to_key();
        if let Some(found) = self.address_record(domain, &local).await? {
            return Ok(led_by(found, None));
        }
        if let Some((user, detail)) = self.split_detail(address.local().as_str()) {
            if let Some(found) = self.address_record(domain, &user).await? {
                return Ok(led_by(found, Some(detail)));
            }
            return self.unlisted(&record, &user, Some(detail)).await;
        }
        self.unlisted(&record, &local, None).await
    }

    /// An address that has no record of its own.
    async fn unlisted(
        &self,
        domain: &DomainRecord,
        local: &str,
        detail: Option<String>,
    ) -> Result<Step, DirectoryError> {
        if is_role(local) {
            if let Some(administrator) = &domain.administrator {
                return Ok(Step::Addresses {
                    addresses: vec![administrator.clone()],
                    detail,
                });
            }
            if let Some(id) = self.head().await?.administrator {
                return Ok(Step::Account { id, detail });
            }
        }
        Ok(match &domain.catch_all {
            Some(address) if !names_a_hop(local) && !detail.as_deref().is_some_and(names_a_hop) => {
                Step::Addresses {
                    addresses: vec![address.clone()],
                    detail,
                }
            }
            _ => Step::Nowhere,
        })
    }

    pub(crate) async fn account_target(
        &self,
        id: AccountId,
        detail: Option<String>,
    ) -> Result<Option<Target>, DirectoryError> {
        let record = self.account_record(id).await?;
        Ok(record.map(|record| Target::Account {
            id,
            address: record.address,
            detail,
        }))
    }

    /// Takes `user+detail` apart; neither part may be empty. The user is folded.
    pub(crate) fn split_detail(&self, local: &str) -> Option<(String, String)> {
        let separator = self.options.subaddress_separator?;
        let (user, detail) = local.split_once(separator)?;
        if detail.is_empty() {
            return None;
        }
        let user = LocalPart::from_content(user).ok()?;
        Some((user.to_key(), detail.to_owned()))
    }
}

fn led_by(record: AddressRecord, detail: Option<String>) -> Step {
    match record {
        AddressRecord::Account(id) => Step::Account { id, detail },
        AddressRecord::Alias(addresses) => Step::Addresses { addresses, detail },
    }
}

/// An account reached twice is one target: the first way to it counts.
fn add_account(targets: &mut Vec<Target>, target: Target) {
    let Target::Account { id, .. } = &target else {
        return;
    };
    let known = targets
        .iter()
        .any(|known| matches!(known, Target::Account { id: known, .. } if known == id));
    if !known {
        targets.push(target);
    }
}

fn is_role(local: &str) -> bool {
    matches!(local, "postmaster" | "abuse")
}

fn names_a_hop(local: &str) -> bool {
    local.contains(['%', '!', '@'])
}
