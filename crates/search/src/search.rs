//! The door to the indexes of all accounts.

use crate::build::{Builder, Step};
use crate::candidates::{Candidates, Lookup, look_up};
use crate::head::Head;
use crate::keys;
use crate::limits::{BUSY_PAUSE, EMAILS_WORTH, LOOKUPS_MAX, PAIRS_PER_SEGMENT, REST_SHARE};
use crate::texts::TextError;
use engine::{ReadError, SharedEngine, SubmitError};
use envelope::AccountId;
use mailbox_model::EmailId;
use mailstore::{Account, StoreError};
use parking_lot::Mutex;
use runtime::{Runtime, Tasks};
use search_index::limits::{DOCUMENT_PAIRS, PAIR_BYTES};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use thiserror::Error;
use tokio::sync::Semaphore;
use wire::codec::DecodeError;

/// How indexes are built.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Terms of emails that are gathered for one segment, [`PAIR_BYTES`] each; one
    /// segment of one account is built at a time.
    pub pairs_per_segment: usize,
    /// Emails of one new segment.
    pub emails_per_segment: usize,
    /// Segments that become one.
    pub segments_merged: usize,
}

impl Options {
    /// As usual, with so many bytes for what is gathered for one segment.
    #[must_use]
    pub fn within(bytes: u64) -> Self {
        let pairs = usize::try_from(bytes).unwrap_or(usize::MAX) / PAIR_BYTES;
        Self {
            pairs_per_segment: pairs.saturating_sub(DOCUMENT_PAIRS).max(1),
            ..Self::default()
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pairs_per_segment: PAIRS_PER_SEGMENT,
            emails_per_segment: crate::limits::EMAILS_PER_SEGMENT,
            segments_merged: crate::limits::SEGMENTS_MERGED,
        }
    }
}

/// Why an index was not read or built. Searches go on without it.
#[derive(Debug, Error)]
pub enum SearchError {
    /// The engine cannot read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The engine takes nothing, or somebody else changed the index.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// A record of the index.
    #[error("the index is damaged: {0}")]
    Damaged(#[from] DecodeError),
    /// An email's record or body cannot be read.
    #[error(transparent)]
    Email(#[from] StoreError),
}

impl From<TextError> for SearchError {
    fn from(error: TextError) -> Self {
        match error {
            TextError::Record(error) => Self::Damaged(error),
            TextError::Body(error) => Self::Email(error),
        }
    }
}

/// The indexes of all accounts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Search {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) engine: SharedEngine,
    runtime: Runtime,
    pub(crate) options: Options,
    tasks: Tasks,
    /// Accounts whose index is being built, or will be.
    wanted: Mutex<HashSet<AccountId>>,
    /// One at a time.
    building: Arc<Semaphore>,
    /// Segments that were written, merged ones too.
    pub(crate) written: AtomicU64,
}

impl Search {
    /// The indexes that `engine` holds.
    #[must_use]
    pub fn new(engine: SharedEngine, runtime: Runtime, options: Options) -> Self {
        Self {
            shared: Arc::new(Shared {
                engine,
                runtime,
                options,
                tasks: Tasks::new(),
                wanted: Mutex::default(),
                building: Arc::new(Semaphore::new(1)),
                written: AtomicU64::new(0),
            }),
        }
    }

    /// Which emails may hold texts. Of more than [`LOOKUPS_MAX`] texts it tells nothing, and of none where the
    /// index cannot be read, which is told in the log and thrown away.
    pub async fn candidates(&self, account: &Account, lookups: Vec<Lookup>) -> Candidates {
        let (shared, id) = (Arc::clone(&self.shared), account.id());
        let count = lookups.len();
        let work = move || shared.candidates(id, &lookups);
        match self.shared.runtime.blocking(work).await {
            Ok(candidates) => candidates,
            Err(error) => {
                tracing::warn!(account = %account.id(), %error, "search: an index cannot be read");
                if matches!(error, SearchError::Damaged(_)) {
                    self.forget(account.id()).await;
                }
                Candidates::nothing(count)
            }
        }
    }

    /// Has the index brought up to date, behind the caller's back, if it covers up to `covered` only and that is
    /// worth it.
    pub fn want(&self, account: &Arc<Account>, covered: EmailId) {
        let next = account.view().next_email();
        if next.0.saturating_sub(covered.0) < EMAILS_WORTH
            || !self.shared.wanted.lock().insert(account.id())
        {
            return;
        }
        let (this, account) = (self.clone(), Arc::clone(account));
        self.shared.tasks.spawn(&self.shared.runtime, async move {
            if let Err(error) = this.build_steps(&account, EMAILS_WORTH, REST_SHARE).await {
                tracing::warn!(account = %account.id(), %error, "search: an index is not built");
            }
            this.shared.wanted.lock().remove(&account.id());
        });
    }

    /// Brings an account's index up to date, as far as it may grow.
    ///
    /// # Errors
    /// Nothing can be read or written; what was built stays.
    pub async fn build(&self, account: &Arc<Account>) -> Result<(), SearchError> {
        self.build_steps(account, 1, 0).await
    }

    /// Throws an account's index away.
    pub async fn forget(&self, account: AccountId) {
        let shared = Arc::clone(&self.shared);
        let work = move || shared.forget(account);
        match self.shared.runtime.blocking(work).await {
            Ok(ticket) => {
                ticket.done().await;
            }
            Err(error) => {
                tracing::warn!(%account, %error, "search: an index is not thrown away");
            }
        }
    }

    /// What is not told of an index that is in order.
    ///
    /// # Errors
    /// The engine cannot read.
    pub async fn check(&self, account: AccountId) -> Result<Vec<String>, SearchError> {
        let shared = Arc::clone(&self.shared);
        let work = move || shared.check(account);
        self.shared.runtime.blocking(work).await
    }

    /// Segments that were written since the start.
    #[must_use]
    pub fn segments_written(&self) -> u64 {
        self.shared.written.load(Ordering::Relaxed)
    }

    /// Waits for what is being built; in a drain that is a step at most.
    pub async fn settle(&self) {
        self.shared.tasks.wait().await;
    }

    async fn build_steps(
        &self,
        account: &Arc<Account>,
        worth: u64,
        rest_share: u32,
    ) -> Result<(), SearchError> {
        // The semaphore is never closed.
        let _turn = Arc::clone(&self.shared.building).acquire_owned().await;
        let mut worth = worth;
        let runtime = &self.shared.runtime;
        let shutdown = runtime.shutdown();
        loop {
            while self.shared.engine.is_busy() && !shutdown.is_draining() {
                runtime.sleep(BUSY_PAUSE).await;
            }
            if shutdown.is_draining() {
                return Ok(());
            }
            let before = runtime.monotonic();
            let shared = Arc::clone(&self.shared);
            // Before anything is read: what is given by now is there.
            let (given, usage) = {
                let view = account.view();
                (view.next_email(), view.usage())
            };
            let step = account
                .reading(move |emails| Builder::new(&shared, emails, given, usage).step(worth))
                .await;
            if let Err(SearchError::Email(StoreError::NoAccount(_))) = step {
                // It was dropped meanwhile: what was written beside it goes too.
                self.forget(account.id()).await;
            }
            match step? {
                Step::Done => return Ok(()),
                Step::More(ticket) => {
                    // What is begun is brought to its end.
                    worth = 1;
                    ticket.done().await;
                    if rest_share > 0 {
                        let took = runtime.monotonic().since(before);
                        tokio::select! {
                            biased;
                            () = shutdown.draining() => return Ok(()),
                            () = runtime.sleep(took * rest_share) => {}
                        }
                    }
                }
            }
        }
    }
}

impl Shared {
    fn candidates(
        &self,
        account: AccountId,
        lookups: &[Lookup],
    ) -> Result<Candidates, SearchError> {
        let snapshot = self
            .engine
            .snapshot(self.engine.shard_of_account(account.0));
        let mut candidates = Candidates::nothing(lookups.len());
        let Some(head) = snapshot.get(&keys::head(account))? else {
            return Ok(candidates);
        };
        let head = Head::decode(&head.value)?;
        candidates.covered = head.covered();
        for (lookup, found) in lookups.iter().zip(&mut candidates.found).take(LOOKUPS_MAX) {
            *found = look_up(&*snapshot, account, &head, lookup)?;
        }
        Ok(candidates)
    }
}
