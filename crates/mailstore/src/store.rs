//! The door to all accounts, and the cache of their views.

use crate::account::Account;
use crate::cache::Cache;
use crate::error::StoreError;
use crate::fsck::{self, Finding};
use crate::lane::Lanes;
use crate::limits::{
    CACHE_BYTES_MAX, COMMIT_BYTES_SOFT, ENTRIES_PER_CHECKPOINT, ENTRIES_PER_COMPACTION,
};
use crate::load;
use crate::quota::Quotas;
use blobs::Blobs;
use engine::{ShardId, SharedEngine};
use envelope::AccountId;
use runtime::{Runtime, Tasks};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How the store behaves.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Memory for views, of accounts in use too; passed by an eighth at most as
    /// long as there are accounts that nobody holds.
    pub cache_bytes_max: u64,
    /// Log entries after which an account gets a checkpoint.
    pub entries_per_checkpoint: u32,
    /// Bytes of records in one commit of a checkpoint, about.
    pub checkpoint_commit_bytes: usize,
    /// Old log entries for which the log is cut although no email ended in them.
    pub entries_per_compaction: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes_max: CACHE_BYTES_MAX,
            entries_per_checkpoint: ENTRIES_PER_CHECKPOINT,
            checkpoint_commit_bytes: COMMIT_BYTES_SOFT,
            entries_per_compaction: ENTRIES_PER_COMPACTION,
        }
    }
}

/// What every account needs.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) engine: SharedEngine,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) runtime: Runtime,
    pub(crate) options: Options,
    /// Checkpoints that are being written.
    pub(crate) tasks: Tasks,
    /// Sum of the cached views' weights.
    pub(crate) weight: AtomicU64,
    pub(crate) quotas: Quotas,
}

/// All accounts of a store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Mailstore {
    pub(crate) shared: Arc<Shared>,
    pub(crate) cache: Arc<Cache>,
}

impl Mailstore {
    /// The accounts that `engine` holds, with their bodies in `blobs`.
    #[must_use]
    pub fn new(
        engine: SharedEngine,
        blobs: Arc<Blobs>,
        runtime: Runtime,
        options: Options,
    ) -> Self {
        let shared = Shared {
            engine,
            blobs,
            runtime,
            options,
            tasks: Tasks::new(),
            weight: AtomicU64::new(0),
            quotas: Quotas::default(),
        };
        Self {
            shared: Arc::new(shared),
            cache: Arc::default(),
        }
    }

    /// The shard that an account's records and bodies live in.
    #[must_use]
    pub fn shard(&self, account: AccountId) -> ShardId {
        self.shared.engine.shard_of_account(account.0)
    }

    /// The account, from memory or loaded. Everybody gets the same one while
    /// anybody holds it.
    ///
    /// # Errors
    /// There is no such account, or it can't be read.
    pub async fn account(&self, id: AccountId) -> Result<Arc<Account>, StoreError> {
        let slot = self.cache.slot(id);
        if let Some(account) = slot.get() {
            return Ok(Arc::clone(account));
        }
        let loaded = slot
            .get_or_try_init(|| async {
                let shared = Arc::clone(&self.shared);
                let work = move || load::load(&*shared.engine, id);
                let tip = self.shared.runtime.blocking(work).await?;
                Ok(Account::open(Arc::clone(&self.shared), id, tip))
            })
            .await;
        match loaded {
            Ok(account) => {
                let account = Arc::clone(account);
                self.make_room();
                if self.cache.is_crowded(&self.shared) {
                    self.cache.make_room(&self.shared).await;
                }
                Ok(account)
            }
            Err(error) => {
                self.cache.forget_empty(id);
                Err(error)
            }
        }
    }

    /// The lanes of several accounts of one shard, taken in ascending order so
    /// that two callers can't wait for each other. What can't be opened is an
    /// error of its own: [`Lanes::lane`] tells.
    pub async fn lanes(&self, accounts: &[AccountId]) -> Lanes {
        let mut ids = accounts.to_vec();
        ids.sort_unstable();
        ids.dedup();
        // Loading may take long: no lane is held meanwhile.
        let mut opened = Vec::with_capacity(ids.len());
        for id in ids {
            opened.push((id, self.account(id).await));
        }
        let mut lanes = Vec::with_capacity(opened.len());
        for (id, account) in opened {
            let lane = match account {
                Ok(account) => account.lane().await,
                Err(error) => Err(error),
            };
            lanes.push((id, lane));
        }
        Lanes::new(Arc::clone(&self.shared), lanes)
    }

    /// Memory that the cached accounts take, about: what is held against
    /// [`Options::cache_bytes_max`].
    #[must_use]
    pub fn cached_bytes(&self) -> u64 {
        self.shared.weight.load(Ordering::Relaxed)
    }

    /// Lets accounts that nobody holds leave memory, the longest unused first,
    /// each with a checkpoint if changes piled up.
    fn make_room(&self) {
        if !self.cache.begin_making_room(&self.shared) {
            return;
        }
        let store = self.clone();
        self.shared.tasks.spawn(&self.shared.runtime, async move {
            store.cache.make_room(&store.shared).await;
        });
    }

    /// Writes the checkpoints of all cached accounts and waits for those under
    /// way; for a clean end, so that opening again replays nothing.
    pub async fn close(&self) {
        for account in self.cache.accounts() {
            if let Err(error) = account.checkpoint().await {
                tracing::warn!(account = %account.id(), %error, "no checkpoint at the end");
            }
        }
        self.shared.tasks.wait().await;
    }

    /// Checks one account's records against each other, as of one snapshot. What
    /// is found is told only if it is still so while nobody changes the account.
    ///
    /// # Errors
    /// The engine can't be read at all.
    pub async fn fsck(&self, account: AccountId) -> Result<Vec<Finding>, StoreError> {
        let found = self.fsck_now(account).await?;
        if found.is_empty() {
            return Ok(found);
        }
        // A change under way writes records before it is shown, and takes some away after it.
        match self.account(account).await {
            Ok(held) => {
                let mut tip = held.lane.lock().await;
                held.settle_all(&mut tip).await;
                self.fsck_now(account).await
            }
            Err(_) => Ok(found),
        }
    }

    async fn fsck_now(&self, account: AccountId) -> Result<Vec<Finding>, StoreError> {
        let shared = Arc::clone(&self.shared);
        let work = move || fsck::check(&*shared.engine, &shared.blobs, account);
        self.shared.runtime.blocking(work).await
    }

    /// The accounts of a shard that have any key, in order, from `from` on and
    /// up to `limit`; whether they can be opened or not.
    ///
    /// # Errors
    /// The engine can't be read.
    pub async fn stored_accounts(
        &self,
        shard: ShardId,
        from: AccountId,
        limit: usize,
    ) -> Result<Vec<AccountId>, StoreError> {
        let engine = Arc::clone(&self.shared.engine);
        let work = move || {
            let snapshot = engine.snapshot(shard);
            let end = engine::keys::end_of(&[engine::keys::Space::Account as u8]);
            let mut start = engine::keys::account(from.0);
            let mut found = Vec::new();
            while found.len() < limit {
                let next = snapshot.scan(&start, &end, engine::Order::Ascending, 1)?;
                let Some(account) = next
                    .first()
                    .and_then(|(key, _)| crate::keys::account_of(key))
                else {
                    break;
                };
                found.push(account);
                match account.0.checked_add(1) {
                    Some(next) => start = engine::keys::account(next),
                    None => break,
                }
            }
            Ok::<_, StoreError>(found)
        };
        self.shared.runtime.blocking(work).await
    }
}
