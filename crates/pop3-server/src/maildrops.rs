//! Which accounts have a POP3 session: one at a time (RFC 1939 §4).

use envelope::AccountId;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;

/// The locks of this process; a clone has the same ones.
#[derive(Debug, Clone, Default)]
pub struct Maildrops {
    held: Arc<Mutex<HashSet<AccountId>>>,
}

impl Maildrops {
    /// No maildrop is held.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The account's maildrop, unless another session has it.
    pub(crate) fn lock(&self, account: AccountId) -> Option<Lock> {
        self.held.lock().insert(account).then(|| Lock {
            maildrops: self.clone(),
            account,
        })
    }
}

/// A held maildrop; free again when dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    maildrops: Maildrops,
    account: AccountId,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.maildrops.held.lock().remove(&self.account);
    }
}
