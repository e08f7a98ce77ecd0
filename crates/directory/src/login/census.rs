//! Which accounts have a password but no keys for SCRAM.
//!
//! SCRAM is offered only while there are none: a client takes the strongest
//! mechanism that it sees, and would fail for such an account. The list is made
//! by one walk at the start and kept true by the commits that change passwords.

use crate::error::DirectoryError;
use crate::keys;
use crate::limits::LISTED_MAX;
use crate::record::credentials::{Credentials, Stored};
use crate::store::{Directory, decode_listed};
use envelope::{AccountId, Address};
use parking_lot::Mutex;
use sasl::scram::Hash;
use std::collections::{HashMap, HashSet};

/// What is stored of a password, as far as an administrator may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordInfo {
    /// When it was set, in milliseconds since 1970.
    pub set_ms: u64,
    /// SCRAM works with it.
    pub has_scram_keys: bool,
    /// The scheme of another system's hash, which the next login by PLAIN replaces.
    pub imported: Option<&'static str>,
}

/// The list.
#[derive(Default)]
pub(crate) struct Census {
    state: Mutex<State>,
    /// One walk at a time.
    walking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// Accounts without keys; `None` until they are known.
    lacking: Option<HashSet<AccountId>>,
    /// What commits said during a walk, which may have read what was before.
    meanwhile: HashMap<AccountId, bool>,
}

impl Census {
    pub(crate) fn all_have_keys(&self) -> bool {
        let state = self.state.lock();
        state.lacking.as_ref().is_some_and(HashSet::is_empty)
    }

    /// Runs inside a commit's `on_visible`: what an account's credentials are now.
    pub(crate) fn note(&self, id: AccountId, lacks_keys: bool) {
        let mut state = self.state.lock();
        match &mut state.lacking {
            Some(lacking) if lacks_keys => drop(lacking.insert(id)),
            Some(lacking) => drop(lacking.remove(&id)),
            None => drop(state.meanwhile.insert(id, lacks_keys)),
        }
    }

    /// Nothing is known any more.
    pub(crate) fn forget(&self) {
        *self.state.lock() = State::default();
    }

    fn learn(&self, mut lacking: HashSet<AccountId>) {
        let mut state = self.state.lock();
        for (id, lacks_keys) in core::mem::take(&mut state.meanwhile) {
            if lacks_keys {
                lacking.insert(id);
            } else {
                lacking.remove(&id);
            }
        }
        state.lacking = Some(lacking);
    }
}

/// A password that SCRAM clients cannot log in with.
pub(crate) fn lacks_keys(credentials: &Credentials) -> bool {
    let has = |hash: &Hash| credentials.scram.iter().any(|v| v.hash == *hash);
    !Hash::ALL.iter().all(has)
}

impl Directory {
    /// The accounts whose passwords have no keys for SCRAM, in order: while there are
    /// any it is not offered. `None` where SCRAM is turned off, and before [`Directory::survey`].
    #[must_use]
    pub fn without_scram_keys(&self) -> Option<Vec<AccountId>> {
        let state = self.inner.census.state.lock();
        let mut lacking: Vec<_> = state.lacking.as_ref()?.iter().copied().collect();
        lacking.sort_unstable();
        Some(lacking)
    }

    /// What is stored of an account's own password; `None` if it has none.
    ///
    /// # Errors
    /// No such account, or the store's.
    pub async fn password_info(
        &self,
        address: &Address,
    ) -> Result<Option<PasswordInfo>, DirectoryError> {
        let (id, ..) = self.inner.read_account(address).await?;
        let credentials = self.inner.credentials(id).await?;
        Ok(credentials.map(|(_, credentials)| PasswordInfo {
            set_ms: credentials.set_ms,
            has_scram_keys: !lacks_keys(&credentials),
            imported: match &credentials.password {
                Stored::Argon2id(_) => None,
                Stored::Imported(imported) => Some(imported.scheme()),
            },
        }))
    }

    /// Looks at every account's password once, so that [`Directory::offer`] knows
    /// whether SCRAM can work for all of them. Until then it is not offered.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn survey(&self) -> Result<(), DirectoryError> {
        let inner = &self.inner;
        if !inner.options.scram {
            return Ok(());
        }
        let _walking = inner.census.walking.lock().await;
        inner.census.forget();
        let mut lacking = HashSet::new();
        for (key, record) in inner.scan(keys::all_credentials(), LISTED_MAX).await? {
            let credentials = decode_listed(&key, &record, Credentials::decode);
            if credentials.is_some_and(|credentials| lacks_keys(&credentials)) {
                lacking.extend(keys::credentials_of(&key));
            }
        }
        inner.census.learn(lacking);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commits_say_during_a_walk_counts_more_than_what_it_read() {
        let census = Census::default();
        let (bob, eve) = (AccountId(1), AccountId(2));
        assert!(!census.all_have_keys());
        census.note(bob, false);
        census.note(eve, true);
        census.learn(HashSet::from([bob]));
        assert!(!census.all_have_keys());
        census.note(eve, false);
        assert!(census.all_have_keys());
        census.forget();
        assert!(!census.all_have_keys());
    }
}
