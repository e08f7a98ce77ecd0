//! Passwords found right a short while ago, so that a client which logs in
//! again and again does not cost an argon2id computation each time.
//!
//! What is kept is a keyed hash under a key that this process drew at its start:
//! neither the memory's content nor a second process can be used to test
//! passwords. An entry holds the version of the credentials that it was checked
//! against, so it ends with the commit that changes them.

use crate::limits::{LOGIN_CACHE_ENTRIES, LOGIN_CACHE_TIME};
use engine::CommitNo;
use envelope::AccountId;
use quick_cache::sync::Cache;
use runtime::{Monotonic, Runtime};
use sasl::Secret;

pub(crate) struct LoginCache {
    runtime: Runtime,
    key: [u8; 32],
    entries: Cache<[u8; 32], Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    credentials: CommitNo,
    until: Monotonic,
}

impl LoginCache {
    pub(crate) fn new(runtime: &Runtime) -> Self {
        let mut key = [0; 32];
        runtime.fill_random(&mut key);
        Self {
            runtime: runtime.clone(),
            key,
            entries: Cache::new(LOGIN_CACHE_ENTRIES),
        }
    }

    pub(crate) fn knows(
        &self,
        account: AccountId,
        credentials: CommitNo,
        password: &Secret,
    ) -> bool {
        let name = self.name(account, password);
        match self.entries.get(&name) {
            Some(entry)
                if entry.credentials == credentials && self.runtime.monotonic() < entry.until =>
            {
                true
            }
            Some(_) => {
                self.entries.remove(&name);
                false
            }
            None => false,
        }
    }

    pub(crate) fn remember(&self, account: AccountId, credentials: CommitNo, password: &Secret) {
        let until = self.runtime.monotonic().after(LOGIN_CACHE_TIME);
        let entry = Entry { credentials, until };
        self.entries.insert(self.name(account, password), entry);
    }

    fn name(&self, account: AccountId, password: &Secret) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        // The id has a fixed length, so no two pairs give the same bytes.
        hasher.update(&account.0.to_be_bytes());
        hasher.update(password.expose().as_bytes());
        *hasher.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_end_with_their_time_their_credentials_and_their_account() {
        let runtime = Runtime::for_tests();
        let cache = LoginCache::new(&runtime);
        let (bob, secret) = (AccountId(1), Secret::from("secret"));
        cache.remember(bob, CommitNo(5), &secret);
        assert!(cache.knows(bob, CommitNo(5), &secret));
        assert!(!cache.knows(AccountId(2), CommitNo(5), &secret));
        assert!(!cache.knows(bob, CommitNo(5), &Secret::from("Secret")));
        runtime.advance(LOGIN_CACHE_TIME);
        assert!(!cache.knows(bob, CommitNo(5), &secret));
        cache.remember(bob, CommitNo(5), &secret);
        assert!(!cache.knows(bob, CommitNo(6), &secret));
        assert!(
            !cache.knows(bob, CommitNo(5), &secret),
            "a stale entry is dropped"
        );
    }
}
