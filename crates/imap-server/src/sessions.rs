//! How many sessions a user and an address may have. One [`Sessions`] serves all listeners.

use crate::limits;
use envelope::AccountId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

/// Counts sessions; a clone counts the same ones.
#[derive(Debug, Clone)]
pub struct Sessions {
    counts: Arc<Mutex<Counts>>,
    per_user_max: usize,
    per_address_max: usize,
}

#[derive(Debug, Default)]
struct Counts {
    users: HashMap<AccountId, usize>,
    addresses: HashMap<IpAddr, usize>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self::new(
            limits::SESSIONS_PER_USER_MAX,
            limits::SESSIONS_PER_ADDRESS_MAX,
        )
    }
}

impl Sessions {
    /// Counts with these limits. Loopback has none.
    #[must_use]
    pub fn new(per_user_max: usize, per_address_max: usize) -> Self {
        Self {
            counts: Arc::default(),
            per_user_max,
            per_address_max,
        }
    }

    /// A place for a session from `address`, or the limit that refuses it.
    pub(crate) fn enter_address(&self, address: IpAddr) -> Result<Slot, usize> {
        // DESIGN §9: loopback is exempt from rate limits by default.
        let max = if address.is_loopback() {
            usize::MAX
        } else {
            self.per_address_max
        };
        let mut counts = self.counts.lock();
        let count = counts.addresses.entry(address).or_default();
        if *count >= max {
            return Err(max);
        }
        *count += 1;
        Ok(Slot {
            sessions: self.clone(),
            who: Who::Address(address),
        })
    }

    /// A place for a session of `account`, or the limit that refuses it.
    pub(crate) fn enter_user(&self, account: AccountId) -> Result<Slot, usize> {
        let mut counts = self.counts.lock();
        let count = counts.users.entry(account).or_default();
        if *count >= self.per_user_max {
            return Err(self.per_user_max);
        }
        *count += 1;
        Ok(Slot {
            sessions: self.clone(),
            who: Who::User(account),
        })
    }
}

/// A counted session; dropping it makes room.
#[derive(Debug)]
pub(crate) struct Slot {
    sessions: Sessions,
    who: Who,
}

#[derive(Debug)]
enum Who {
    User(AccountId),
    Address(IpAddr),
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.sessions.counts.lock();
        match self.who {
            Who::User(account) => leave(counts.users.entry(account)),
            Who::Address(address) => leave(counts.addresses.entry(address)),
        }
    }
}

fn leave<K>(entry: Entry<'_, K, usize>) {
    if let Entry::Occupied(mut entry) = entry {
        *entry.get_mut() -= 1;
        if *entry.get() == 0 {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_counts_what_is_open_and_forgets_what_is_closed() {
        let sessions = Sessions::new(2, 1);
        let one = sessions.enter_user(AccountId(1)).expect("room");
        let two = sessions.enter_user(AccountId(1)).expect("room");
        assert_eq!(sessions.enter_user(AccountId(1)).err(), Some(2));
        drop(one);
        assert!(sessions.enter_user(AccountId(1)).is_ok());
        drop(two);
        let far: IpAddr = [192, 0, 2, 1].into();
        let _slot = sessions.enter_address(far).expect("room");
        assert_eq!(sessions.enter_address(far).err(), Some(1));
        assert!(sessions.counts.lock().users.is_empty());
    }

    #[test]
    fn practice_6_a_hundred_sessions_of_a_user_and_two_hundred_of_an_address() {
        let sessions = Sessions::default();
        let users: Vec<_> = (0..100)
            .map(|_| sessions.enter_user(AccountId(1)))
            .collect();
        assert!(users.iter().all(Result::is_ok));
        assert_eq!(sessions.enter_user(AccountId(1)).err(), Some(100));
        let far: IpAddr = [192, 0, 2, 1].into();
        let slots: Vec<_> = (0..200).map(|_| sessions.enter_address(far)).collect();
        assert!(slots.iter().all(Result::is_ok));
        assert_eq!(sessions.enter_address(far).err(), Some(200));
    }
}
