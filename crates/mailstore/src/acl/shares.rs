//! Where to look for what is shared with somebody: keys of the system's space.
//!
//! `S` `h` · a byte, 1 an account, 2 a domain, 3 a group · the account (8 bytes), or the domain's name
//! and a 0, or the domain's name, a 0, the group's local part and a 0 · the owner (8 bytes). The value is empty.
//! Groups are found by their domain: who is a member of one is for the directory to say.
//!
//! A key without a right behind it costs one look into the owner's record; it is left where
//! an account was deleted.

use super::Who;
use crate::account::Account;
use crate::error::StoreError;
use crate::limits::SHARING_ACCOUNTS_MAX;
use crate::store::Mailstore;
use engine::{Batch, Order, keys};
use envelope::AccountId;
use std::sync::Arc;

const SHARE: u8 = b'h';

/// How keys of this kind begin, for whoever checks the system's space.
pub const SHARES_PREFIX: [u8; 2] = [keys::Space::System as u8, SHARE];

fn prefix(who: &Who) -> Vec<u8> {
    let mut key = SHARES_PREFIX.to_vec();
    match who {
        Who::Account(account) => {
            key.push(super::ACCOUNT);
            key.extend_from_slice(&account.0.to_be_bytes());
        }
        Who::Domain(domain) => {
            key.push(super::DOMAIN);
            key.extend_from_slice(domain.as_bytes());
            key.push(0);
        }
        Who::Group(group) => {
            let (local, domain) = group.rsplit_once('@').unwrap_or((group, ""));
            key.extend(groups_of(domain));
            key.extend_from_slice(local.as_bytes());
            key.push(0);
        }
    }
    key
}

/// Begins what is said of a domain's groups.
fn groups_of(domain: &str) -> Vec<u8> {
    [&[super::GROUP][..], domain.as_bytes(), &[0]].concat()
}

fn key(who: &Who, owner: AccountId) -> Vec<u8> {
    let mut key = prefix(who);
    key.extend_from_slice(&owner.0.to_be_bytes());
    key
}

/// What is wrong with a key of this kind, if anything is.
#[must_use]
pub fn check_share(key: &[u8], value: &[u8]) -> Option<String> {
    let rest = key.strip_prefix(&SHARES_PREFIX[..]).unwrap_or_default();
    let well_formed = match rest.split_first() {
        Some((&super::ACCOUNT, rest)) => rest.len() == 16,
        Some((&super::DOMAIN, rest)) => {
            let name = rest.len().checked_sub(9).and_then(|len| rest.get(..=len));
            name.and_then(<[u8]>::split_last)
                .is_some_and(|(end, name)| *end == 0 && !name.is_empty() && !name.contains(&0))
        }
        Some((&super::GROUP, rest)) => {
            let name = rest.len().checked_sub(8).and_then(|len| rest.get(..len));
            let mut parts = name.unwrap_or_default().split(|byte| *byte == 0);
            let filled = |part: Option<&[u8]>| part.is_some_and(|part| !part.is_empty());
            let both = filled(parts.next()) && filled(parts.next());
            both && parts.next() == Some(&[][..]) && parts.next().is_none()
        }
        _ => false,
    };
    match (well_formed, value.is_empty()) {
        (true, true) => None,
        (false, _) => Some("its key names nobody".into()),
        (true, false) => Some("it has a value".into()),
    }
}

impl Account {
    /// Writes, or removes, where to look for what this account shares.
    pub(super) async fn note_shares(
        &self,
        with: impl Iterator<Item = &Who>,
        there: bool,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        for who in with {
            let key = key(who, self.id());
            match there {
                true => batch.put(key, Vec::new()),
                false => batch.delete(key),
            };
        }
        if !batch.is_empty() {
            self.shared.engine.submit(batch)?.done().await;
        }
        Ok(())
    }
}

impl Mailstore {
    /// The accounts that may share something with an account of a domain: those, and perhaps
    /// more, but never itself. Their ACLs say what.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn sharing_with(
        &self,
        account: AccountId,
        domain: &str,
    ) -> Result<Vec<AccountId>, StoreError> {
        let engine = Arc::clone(&self.shared.engine);
        let prefixes = [
            prefix(&Who::Account(account)),
            prefix(&Who::Domain(domain.to_owned())),
            [&SHARES_PREFIX[..], &groups_of(domain)].concat(),
        ];
        let work = move || {
            let mut owners = Vec::new();
            for start in prefixes {
                let Some(shard) = keys::shard_of(&start, engine.shards()) else {
                    continue;
                };
                let end = keys::end_of(&start);
                let snapshot = engine.snapshot(shard);
                let found = snapshot.scan(&start, &end, Order::Ascending, SHARING_ACCOUNTS_MAX)?;
                let owner = |key: &[u8]| {
                    let id = key.get(start.len()..)?.last_chunk()?;
                    Some(AccountId(u64::from_be_bytes(*id)))
                };
                owners.extend(found.iter().filter_map(|(key, _)| owner(key)));
            }
            Ok::<_, StoreError>(owners)
        };
        let mut owners = self.shared.runtime.blocking(work).await?;
        owners.sort_unstable();
        owners.dedup();
        owners.retain(|owner| *owner != account);
        Ok(owners)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_checked() {
        for who in [
            Who::Account(AccountId(7)),
            Who::Domain("a.test".into()),
            Who::Group("g@a.test".into()),
        ] {
            let key = key(&who, AccountId(9));
            assert_eq!(check_share(&key, b""), None);
            assert!(check_share(&key, b"x").is_some());
            assert!(check_share(&key[..key.len() - 1], b"").is_some());
        }
        assert!(check_share(b"Sh\x04", b"").is_some());
        assert!(check_share(b"Sh\x03", b"").is_some());
        assert!(check_share(b"Sh", b"").is_some());
    }
}
