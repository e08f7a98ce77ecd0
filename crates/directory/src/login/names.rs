//! Which account a login name means.

use crate::error::DirectoryError;
use crate::keys;
use crate::limits::SCRAM_DOMAINS_MAX;
use crate::record::address::AddressRecord;
use crate::resolve::{Resolution, Target};
use crate::store::{Inner, decode};
use envelope::{AccountId, Address, LocalPart};

/// A login as SCRAM sees it: the account, if there is one, and the name that a
/// salt is made up from if there is none.
pub(super) struct ScramLogin {
    pub(super) account: Option<AccountId>,
    pub(super) name: String,
}

impl Inner {
    /// The account that a login name means.
    pub(super) async fn find_login(
        &self,
        login: &str,
    ) -> Result<Option<AccountId>, DirectoryError> {
        if !login.contains('@') {
            return self.find_bare_login(login).await;
        }
        let Ok(address) = Address::parse(login) else {
            return Ok(None);
        };
        let local = address.local().to_key();
        match self.address_record(address.domain(), &local).await? {
            Some(AddressRecord::Account(id)) => Ok(Some(id)),
            Some(AddressRecord::Alias(_)) if self.options.login_by_alias => {
                Ok(match self.resolve(&address).await? {
                    Resolution::Local(targets) => match targets.as_slice() {
                        [Target::Account { id, .. }] => Some(*id),
                        _ => None,
                    },
                    _ => None,
                })
            }
            _ => Ok(None),
        }
    }

    async fn find_bare_login(&self, login: &str) -> Result<Option<AccountId>, DirectoryError> {
        let Ok(local) = LocalPart::from_content(login) else {
            return Ok(None);
        };
        let found = self.scan(keys::names_of(&local.to_key()), 2).await?;
        let [(key, record)] = found.as_slice() else {
            return Ok(None);
        };
        decode(key, Some(record.clone()), |bytes| {
            let mut reader = wire::codec::Reader::new(bytes);
            reader.varint().map(AccountId)
        })
    }

    /// As [`Inner::find_login`], but no alias is a login: its salt would be its
    /// account's, and so tell anybody which alias is whose. A bare name has the
    /// salt of one of its full forms, whether it exists or not.
    pub(super) async fn find_scram_login(&self, login: &str) -> Result<ScramLogin, DirectoryError> {
        if !login.contains('@') {
            return self.find_bare_scram_login(login).await;
        }
        let Ok(address) = Address::parse(login) else {
            let name = login.to_lowercase();
            return Ok(ScramLogin {
                account: None,
                name,
            });
        };
        let local = address.local().to_key();
        let found = self.address_record(address.domain(), &local).await?;
        Ok(ScramLogin {
            account: match found {
                Some(AddressRecord::Account(id)) => Some(id),
                _ => None,
            },
            name: full(&local, address.domain().as_str()),
        })
    }

    async fn find_bare_scram_login(&self, login: &str) -> Result<ScramLogin, DirectoryError> {
        let name = login.to_lowercase();
        let Ok(local) = LocalPart::from_content(login) else {
            return Ok(ScramLogin {
                account: None,
                name,
            });
        };
        // Both are read in any case: the time must not tell which one counts.
        let account = self.find_bare_login(login).await?;
        let domains = self.scan(keys::domains(), SCRAM_DOMAINS_MAX + 1).await?;
        if domains.len() > SCRAM_DOMAINS_MAX {
            return Ok(ScramLogin {
                account: None,
                name,
            });
        }
        let key = self.made_up_key().await?;
        let local = local.to_key();
        // The domain with the largest hash: when one is added, the others' names stay where they are.
        let home = domains
            .iter()
            .filter_map(|(key, _)| core::str::from_utf8(key.get(2..)?).ok())
            .map(|domain| full(&local, domain))
            .max_by_key(|name| *blake3::keyed_hash(&key.0, name.as_bytes()).as_bytes());
        Ok(ScramLogin {
            account,
            name: home.unwrap_or(name),
        })
    }
}

fn full(local: &str, domain: &str) -> String {
    format!("{local}@{domain}")
}
