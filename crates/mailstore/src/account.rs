//! One account in memory: the published view and the lane.
//!
//! Two states: the *tip* has all that was submitted, and belongs to the lane;
//! the *published* view has what is durable, and is swapped in commit order by
//! the engine's `on_visible`. Sessions see the published one only.

use crate::access_keys::Resets;
use crate::bells::Bells;
use crate::error::StoreError;
use crate::head::{Floor, QuotaLimits, Terms};
use crate::keys;
use crate::lane::Lane;
use crate::load::{self, Tip};
use crate::store::Shared;
use engine::{Batch, Expect, ShardId, SubmitError};
use envelope::AccountId;
use mailbox_model::{ModSeq, Threads, View, Weight};
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::{Mutex, watch};

/// An account. Held by everyone who uses it; sessions see one view at a time.
#[derive(Debug)]
pub struct Account {
    pub(crate) shared: Arc<Shared>,
    id: AccountId,
    shard: ShardId,
    pub(crate) lane: Arc<Mutex<Tip>>,
    /// Held while a checkpoint is written.
    pub(crate) checkpointing: Mutex<()>,
    pub(crate) checkpoint_wanted: AtomicBool,
    /// Held while the log is compacted.
    pub(crate) reaping: Mutex<()>,
    /// Held while rights are given or taken.
    pub(crate) sharing: Mutex<()>,
    /// Which access keys were made anew.
    pub(crate) resets: parking_lot::Mutex<Resets>,
    /// Does any annotation name a script for events ([`crate::annotations`])?
    pub(crate) event_scripts: AtomicU64,
    /// Which emails belong together, as far as anybody asked.
    pub(crate) threads: Mutex<Threads>,
    threads_bytes: AtomicU64,
    published: RwLock<Published>,
    latest: watch::Sender<ModSeq>,
    pub(crate) bells: Bells,
    weight: AtomicU64,
}

#[derive(Debug, Clone)]
struct Published {
    view: Arc<View>,
    terms: Terms,
}

impl Account {
    pub(crate) fn open(shared: Arc<Shared>, id: AccountId, tip: Tip) -> Arc<Self> {
        let view = Arc::new(tip.view.clone());
        let bytes = tip.weight.bytes(&view);
        let latest = watch::Sender::new(view.modseq());
        let account = Self {
            shard: shared.engine.shard_of_account(id.0),
            shared,
            id,
            published: RwLock::new(Published {
                view: Arc::clone(&view),
                terms: tip.terms,
            }),
            lane: Arc::new(Mutex::new(tip)),
            checkpointing: Mutex::new(()),
            event_scripts: AtomicU64::new(0),
            checkpoint_wanted: AtomicBool::new(false),
            reaping: Mutex::new(()),
            sharing: Mutex::new(()),
            resets: parking_lot::Mutex::default(),
            threads: Mutex::default(),
            threads_bytes: AtomicU64::new(0),
            latest,
            bells: Bells::default(),
            weight: AtomicU64::new(0),
        };
        account.weigh(bytes);
        account.note_quota(&view, account.published.read().terms);
        Arc::new(account)
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> AccountId {
        self.id
    }

    /// Where its records and bodies live.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// The account as it is on stable storage now.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.published.read().view)
    }

    /// What the account may use. What it uses is the view's.
    #[must_use]
    pub fn quota_limits(&self) -> QuotaLimits {
        self.published.read().terms.limits
    }

    /// Where the log begins: before that nothing can be brought back, and what
    /// changed then is not known any more.
    #[must_use]
    pub fn floor(&self) -> Floor {
        self.published.read().terms.floor
    }

    /// Tells the number of the last change that is visible, now and whenever
    /// there is a newer one.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<ModSeq> {
        self.latest.subscribe()
    }

    /// Takes the lane: until it is dropped nobody else changes the account.
    /// Never hold it while waiting for a ticket.
    ///
    /// # Errors
    /// The account is gone, or had to be loaded again and can't be.
    pub async fn lane(self: &Arc<Self>) -> Result<Lane, StoreError> {
        let mut tip = Arc::clone(&self.lane).lock_owned().await;
        if tip.gone {
            return Err(StoreError::NoAccount(self.id));
        }
        if tip.stale {
            self.reload(&mut tip).await?;
        }
        Ok(Lane::new(Arc::clone(self), tip))
    }

    /// Reads the account again after somebody else's commit won.
    pub(crate) async fn reload(&self, tip: &mut Tip) -> Result<(), StoreError> {
        // What we submitted ourselves must be in the snapshot.
        self.settled(tip.view.modseq()).await;
        let shared = Arc::clone(&self.shared);
        let id = self.id;
        let work = move || load::load(&*shared.engine, id);
        *tip = self.shared.runtime.blocking(work).await?;
        self.shared.quotas.recount(self.id, tip.view.usage());
        let view = Arc::new(tip.view.clone());
        self.publish(view, tip.weight, tip.terms);
        Ok(())
    }

    /// Returns when the change is visible.
    pub(crate) async fn settled(&self, modseq: ModSeq) {
        let mut latest = self.latest.subscribe();
        // The sender lives as long as we do.
        let _ = latest.wait_for(|&visible| visible >= modseq).await;
    }

    /// Returns when everything that was submitted of the account is visible,
    /// what goes after a change too. The caller holds the lane.
    pub(crate) async fn settle_all(&self, tip: &mut Tip) {
        self.settled(tip.view.modseq()).await;
        let mut barrier = Batch::new();
        barrier.expect(keys::head(self.id), Expect::Version(tip.version));
        match self.shared.engine.submit(barrier) {
            Ok(ticket) => drop(ticket.done().await),
            Err(error) => tip.stale |= matches!(error, SubmitError::Conflict { .. }),
        }
    }

    /// Shows a view. Called in commit order.
    pub(crate) fn publish(&self, view: Arc<View>, weight: Weight, terms: Terms) {
        self.weigh(weight.bytes(&view));
        self.note_quota(&view, terms);
        let modseq = view.modseq();
        let shown = Arc::clone(&view);
        let now = Published { view, terms };
        let before = std::mem::replace(&mut *self.published.write(), now);
        self.latest.send_replace(modseq);
        self.bells.ring_for(&before.view, &shown);
        drop(before);
    }

    /// Lets those who watch the account look again: something beside the state changed. Who watches a mailbox is
    /// rung for with [`Bells::ring`].
    pub(crate) fn wake(&self) {
        self.latest.send_modify(|_| {});
    }

    /// What is durable: the view and what the head says beside it.
    pub(crate) fn published(&self) -> (Arc<View>, Terms) {
        let published = self.published.read();
        (Arc::clone(&published.view), published.terms)
    }

    fn note_quota(&self, view: &View, terms: Terms) {
        if terms.limits.mark(view.usage()) > terms.told {
            self.shared.quotas.note_crossing(self.id);
        }
    }

    fn weigh(&self, view_bytes: u64) {
        let threads_bytes = self.threads_bytes.load(Ordering::Relaxed);
        let weight = ACCOUNT_BYTES + view_bytes + threads_bytes;
        let before = self.weight.swap(weight, Ordering::Relaxed);
        // Wrapping: a sum of differences comes out right in any order.
        let difference = weight.wrapping_sub(before);
        self.shared.weight.fetch_add(difference, Ordering::Relaxed);
    }

    /// What its threads take is counted too.
    pub(crate) fn weigh_threads(&self, bytes: u64) {
        let before = self.threads_bytes.swap(bytes, Ordering::Relaxed);
        let difference = bytes.wrapping_sub(before);
        self.weight.fetch_add(difference, Ordering::Relaxed);
        self.shared.weight.fetch_add(difference, Ordering::Relaxed);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let weight = *self.weight.get_mut();
        self.shared.weight.fetch_sub(weight, Ordering::Relaxed);
    }
}

/// What an account takes in memory beside its view, about.
const ACCOUNT_BYTES: u64 = 2048;
