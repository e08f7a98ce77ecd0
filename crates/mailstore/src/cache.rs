//! Which accounts are in memory.
//!
//! A view leaves memory only if nobody holds its account: sessions, lanes and
//! commits that are not visible yet all do. So there is never a second, older
//! account beside a living one.
//!
//! Room is made in the background; who comes when the bound is passed by an eighth
//! waits for it. What is in use stays, however much that is.

use crate::account::Account;
use crate::store::Shared;
use envelope::AccountId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::OnceCell;

type Cell = Arc<OnceCell<Arc<Account>>>;

#[derive(Debug)]
struct Slot {
    cell: Cell,
    used: u64,
}

#[derive(Debug, Default)]
struct Slots {
    by_id: HashMap<AccountId, Slot>,
    clock: u64,
}

/// The cached accounts.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    slots: Mutex<Slots>,
    making_room: AtomicBool,
    /// Held by who makes room.
    turn: tokio::sync::Mutex<()>,
}

impl Cache {
    /// The account's place, marked as just used.
    pub(crate) fn slot(&self, id: AccountId) -> Cell {
        let mut slots = self.slots.lock();
        slots.clock += 1;
        let used = slots.clock;
        let slot = slots.by_id.entry(id).or_insert_with(|| Slot {
            cell: Cell::default(),
            used,
        });
        slot.used = used;
        Arc::clone(&slot.cell)
    }

    /// Drops the place of an account that could not be loaded.
    pub(crate) fn forget_empty(&self, id: AccountId) {
        let mut slots = self.slots.lock();
        // The map's and the caller's: somebody else may be loading it just now.
        let idle = slots
            .by_id
            .get(&id)
            .is_some_and(|slot| slot.cell.get().is_none() && Arc::strong_count(&slot.cell) <= 2);
        if idle {
            slots.by_id.remove(&id);
        }
    }

    /// Drops an account that no longer exists.
    pub(crate) fn forget(&self, id: AccountId) {
        self.slots.lock().by_id.remove(&id);
    }

    /// Every account that is loaded.
    pub(crate) fn accounts(&self) -> Vec<Arc<Account>> {
        let slots = self.slots.lock();
        slots
            .by_id
            .values()
            .filter_map(|slot| slot.cell.get().cloned())
            .collect()
    }

    /// True for the one caller that shall make room now.
    pub(crate) fn begin_making_room(&self, shared: &Shared) -> bool {
        over(shared, shared.options.cache_bytes_max)
            && !self.making_room.swap(true, Ordering::AcqRel)
    }

    /// True when accounts come faster than room is made.
    pub(crate) fn is_crowded(&self, shared: &Shared) -> bool {
        let max = shared.options.cache_bytes_max;
        over(shared, max.saturating_add(max / 8))
    }

    /// Lets go down to nine tenths of the bound, so that the search for the
    /// longest unused pays off.
    ///
    /// # Cancel safety
    /// Who comes next goes on with it.
    pub(crate) async fn make_room(&self, shared: &Shared) {
        let _turn = self.turn.lock().await;
        let goal = shared.options.cache_bytes_max / 10 * 9;
        for (id, account) in self.idle() {
            if !over(shared, goal) {
                break;
            }
            if let Err(error) = account.checkpoint().await {
                // Not lost: opening it again replays its log.
                tracing::warn!(account = %id, %error, "no checkpoint before leaving memory");
            }
            self.let_go(id, account);
        }
        self.making_room.store(false, Ordering::Release);
    }

    /// Accounts that nobody holds, the longest unused first.
    fn idle(&self) -> Vec<(AccountId, Arc<Account>)> {
        let slots = self.slots.lock();
        let mut idle: Vec<_> = slots
            .by_id
            .iter()
            .filter(|(_, slot)| Arc::strong_count(&slot.cell) == 1)
            .filter_map(|(id, slot)| Some((slot.used, *id, slot.cell.get()?)))
            .filter(|(_, _, account)| Arc::strong_count(account) == 1)
            .map(|(used, id, account)| (used, id, Arc::clone(account)))
            .collect();
        idle.sort_unstable_by_key(|(used, ..)| *used);
        idle.into_iter()
            .map(|(_, id, account)| (id, account))
            .collect()
    }

    fn let_go(&self, id: AccountId, account: Arc<Account>) {
        let mut slots = self.slots.lock();
        // Under the lock nobody can come by it but who has it or its place.
        let free = Arc::strong_count(&account) == 2
            && slots
                .by_id
                .get(&id)
                .is_some_and(|slot| Arc::strong_count(&slot.cell) == 1);
        let slot = if free { slots.by_id.remove(&id) } else { None };
        drop(slots);
        // The view is freed outside the lock.
        drop((slot, account));
    }
}

fn over(shared: &Shared, bytes: u64) -> bool {
    shared.weight.load(Ordering::Relaxed) > bytes
}
