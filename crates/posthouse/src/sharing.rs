//! Which accounts share which limits: the directory says it, the mail store's ledgers follow.
//!
//! A domain's quota is in its record of the directory and nowhere else. It is written there first; then the ledger is
//! told. Whatever dies in between, the next start tells it again. No account is added meanwhile, so that none is forgotten.

use std::collections::HashSet;

use anyhow::Context as _;
use directory::{DirectoryError, Quota};
use engine::check::Mended;
use envelope::{AccountId, Domain};
use mailstore::{GroupFinding, QuotaLimits};

use crate::store::Store;

/// What the directory says of a domain.
#[derive(Default)]
struct Terms {
    limits: QuotaLimits,
    accounts: Vec<AccountId>,
}

impl Store {
    /// Lets the accounts of every domain share its quota; at the start, and after a repair.
    pub(crate) async fn share_quotas(&self) -> anyhow::Result<()> {
        let _one = self.sharing.lock().await;
        let mut limited = HashSet::new();
        for info in self.directory.domain_list().await? {
            if info.quota != Quota::default() {
                self.tell(&info.domain).await?;
                limited.insert(info.domain.as_str().to_owned());
            }
        }
        Ok(self.mailstore.end_other_groups(&limited).await?)
    }

    /// Lets the accounts of a domain share its quota; for one that has none, or is gone, that ends. Holds when this
    /// returns.
    pub(crate) async fn share_quota(&self, domain: &Domain) -> anyhow::Result<()> {
        let _one = self.sharing.lock().await;
        self.tell(domain).await
    }

    /// Compares a domain's ledger with the directory and the accounts.
    pub(crate) async fn check_quota(&self, domain: &Domain) -> anyhow::Result<Vec<GroupFinding>> {
        let _one = self.sharing.lock().await;
        let Terms { limits, accounts } = self.terms(domain).await?;
        let found = self
            .mailstore
            .fsck_group(domain.as_str(), limits, &accounts);
        Ok(found.await?)
    }

    /// As [`Store::check_quota`], and puts right what is found.
    pub(crate) async fn mend_quota(&self, domain: &Domain) -> anyhow::Result<Vec<Mended>> {
        let _one = self.sharing.lock().await;
        let Terms { limits, accounts } = self.terms(domain).await?;
        let mended = self
            .mailstore
            .repair_group(domain.as_str(), limits, &accounts);
        Ok(mended.await?)
    }

    async fn tell(&self, domain: &Domain) -> anyhow::Result<()> {
        let Terms { limits, accounts } = self.terms(domain).await?;
        self.mailstore
            .set_group_limits(domain.as_str(), limits, &accounts)
            .await
            .with_context(|| format!("the quota of {domain} can't be kept"))
    }

    async fn terms(&self, domain: &Domain) -> anyhow::Result<Terms> {
        let info = match self.directory.domain_show(domain).await {
            Ok(info) => info,
            Err(DirectoryError::NoSuchDomain(_)) => return Ok(Terms::default()),
            Err(error) => return Err(error.into()),
        };
        let accounts = self.directory.account_list(Some(domain)).await?;
        Ok(Terms {
            limits: QuotaLimits {
                bytes: info.quota.bytes,
                emails: info.quota.messages,
            },
            accounts: accounts.iter().map(|account| account.id).collect(),
        })
    }
}
