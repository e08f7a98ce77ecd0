//! What was uploaded, for as long as somebody may still need it. RFC 8620 §6.1
//!
//! The octets lie in the journal and are named by no commit: an end of the server forgets them, and
//! the client uploads again. They are their user's, whatever account he put them into.
//!
//! Until they are let go the space around them is not collected. So they are bounded, in an account and in all, the
//! oldest going first; and one timer, which runs while there are any, lets go of those whose time has passed.

use crate::Jmap;
use crate::auth::User;
use crate::limits::{UPLOAD_BYTES_SHARE, UPLOAD_KEPT, UPLOADS_BYTES_SHARE, UPLOADS_KEPT_MAX};
use blobs::{BlobWriter, StagedBlob};
use bytes::Bytes;
use envelope::AccountId;
use mailbox_model::Usage;
use mailstore::{Account, OverQuota, StoreError};
use parking_lot::Mutex;
use runtime::{Monotonic, Runtime, Task};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// What all accounts have uploaded lately.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    of: BTreeMap<(AccountId, u64), Upload>,
    /// Of all of them.
    bytes: u64,
    timer: Option<Task<()>>,
    /// The timer has not ended by itself.
    is_timed: bool,
}

/// Octets of a client's.
#[derive(Debug)]
struct Upload {
    blob: StagedBlob,
    at: Monotonic,
}

impl Kept {
    fn add(&mut self, key: (AccountId, u64), upload: Upload) {
        self.bytes += upload.blob.size;
        self.of.insert(key, upload);
    }

    fn remove(&mut self, key: (AccountId, u64)) {
        if let Some(gone) = self.of.remove(&key) {
            self.bytes -= gone.blob.size;
        }
    }

    /// Lets go of what is too old; tells when the next one is.
    fn let_go(&mut self, now: Monotonic) -> Option<Monotonic> {
        self.of.retain(|_, upload| {
            let stays = now.since(upload.at) < UPLOAD_KEPT;
            if !stays {
                self.bytes -= upload.blob.size;
            }
            stays
        });
        let oldest = self.of.values().map(|upload| upload.at).min();
        oldest.map(|at| at.after(UPLOAD_KEPT))
    }

    fn of_account(&self, account: AccountId) -> impl Iterator<Item = (u64, &Upload)> {
        let own = self.of.range((account, 0)..=(account, u64::MAX));
        own.map(|((_, number), upload)| (*number, upload))
    }

    fn bytes_of(&self, account: AccountId) -> u64 {
        self.of_account(account)
            .map(|(_, upload)| upload.blob.size)
            .sum()
    }

    /// The account with the most octets beside the newest, and of those with as many the one that has
    /// had them for longest.
    fn largest(&self, newest: u64) -> Option<AccountId> {
        let mut sums: BTreeMap<AccountId, (u64, Reverse<Monotonic>)> = BTreeMap::new();
        for ((account, number), upload) in &self.of {
            if *number != newest {
                let sum = sums.entry(*account).or_insert((0, Reverse(upload.at)));
                sum.0 += upload.blob.size;
                sum.1 = sum.1.max(Reverse(upload.at));
            }
        }
        let largest = sums.into_iter().max_by_key(|(_, sum)| *sum);
        largest.map(|(account, _)| account)
    }

    /// Removes the oldest of an account but the newest; false if there is no other.
    fn push_out(&mut self, account: AccountId, newest: u64) -> bool {
        let others = self
            .of_account(account)
            .filter(|(number, _)| *number != newest);
        let oldest = others.min_by_key(|(_, upload)| upload.at);
        let oldest = oldest.map(|(number, _)| (account, number));
        oldest.map(|key| self.remove(key)).is_some()
    }
}

#[cfg(test)]
impl Uploads {
    /// How many there are, and their octets.
    pub(crate) fn kept(&self) -> (usize, u64) {
        let kept = self.0.lock();
        (kept.of.len(), kept.bytes)
    }
}

/// Lets go of uploads as their time passes, until there are none.
async fn run_timer(kept: Weak<Mutex<Kept>>, runtime: Runtime) {
    let shutdown = runtime.shutdown();
    while let Some(kept) = kept.upgrade() {
        let next = {
            let mut kept = kept.lock();
            let next = kept.let_go(runtime.monotonic());
            kept.is_timed = next.is_some();
            next
        };
        drop(kept);
        let Some(next) = next else {
            return;
        };
        tokio::select! {
            () = runtime.sleep_until(next) => {}
            () = shutdown.draining() => return,
        }
    }
}

impl Jmap {
    /// Octets of one account's uploads.
    pub(crate) fn upload_bytes_max(&self) -> u64 {
        let message_max = self.shared.config.message_bytes_max;
        message_max.saturating_mul(UPLOAD_BYTES_SHARE)
    }

    /// Octets of all accounts'.
    fn uploads_bytes_max(&self) -> u64 {
        let message_max = self.shared.config.message_bytes_max;
        message_max.saturating_mul(UPLOADS_BYTES_SHARE)
    }

    /// Keeps octets; gives the number that they have now. What is too much goes, the oldest first.
    pub(crate) fn keep_upload(&self, account: AccountId, blob: StagedBlob) -> u64 {
        let runtime = &self.shared.ports.runtime;
        let (now, number) = (runtime.monotonic(), runtime.random_u64());
        let (own_max, all_max) = (self.upload_bytes_max(), self.uploads_bytes_max());
        let uploads = &self.shared.uploads.0;
        let mut kept = uploads.lock();
        kept.let_go(now);
        kept.add((account, number), Upload { blob, at: now });
        while kept.of_account(account).count() > UPLOADS_KEPT_MAX
            || kept.bytes_of(account) > own_max
        {
            if !kept.push_out(account, number) {
                break;
            }
        }
        while kept.bytes > all_max {
            let largest = kept.largest(number);
            if !largest.is_some_and(|largest| kept.push_out(largest, number)) {
                break;
            }
        }
        if !kept.is_timed {
            let timer = run_timer(Arc::downgrade(uploads), runtime.clone());
            kept.timer = Some(runtime.spawn("jmap uploads", timer));
            kept.is_timed = true;
        }
        number
    }

    pub(crate) fn upload(&self, account: AccountId, number: u64) -> Option<StagedBlob> {
        let now = self.shared.ports.runtime.monotonic();
        let kept = self.shared.uploads.0.lock();
        let upload = kept.of.get(&(account, number))?;
        (now.since(upload.at) < UPLOAD_KEPT).then(|| upload.blob.clone())
    }
}

/// Octets on their way to become an upload.
pub(crate) struct Incoming {
    writer: BlobWriter,
    /// Whose they will be.
    user: AccountId,
    account: Arc<Account>,
    max: u64,
}

/// Why they do not.
#[derive(Debug)]
pub(crate) enum NotKept {
    TooLarge,
    OverQuota(OverQuota),
    Failed(StoreError),
}

impl Incoming {
    pub(crate) fn new(jmap: &Jmap, user: &User, account: &Arc<Account>) -> Self {
        Self {
            user: user.id,
            writer: jmap.shared.ports.blobs.writer(account.shard()),
            account: Arc::clone(account),
            max: jmap.shared.config.message_bytes_max,
        }
    }

    /// May so many more come? What does not fit once it is mail is not taken up before.
    ///
    /// # Errors
    /// They may not.
    pub(crate) fn check(&self, more: u64) -> Result<(), NotKept> {
        let bytes = self.writer.size().saturating_add(more);
        if bytes > self.max {
            return Err(NotKept::TooLarge);
        }
        let more = Usage { bytes, emails: 0 };
        self.account.check_room(more).map_err(NotKept::OverQuota)
    }

    /// # Errors
    /// They may not come, or the store takes nothing.
    pub(crate) async fn push(self, jmap: &Jmap, piece: Bytes) -> Result<Self, NotKept> {
        self.check(piece.len() as u64)?;
        let mut this = self;
        let work = move || this.writer.push(&piece).map(|()| this);
        let pushed = jmap.shared.ports.runtime.blocking(work).await;
        pushed.map_err(|error| NotKept::Failed(error.into()))
    }

    /// Keeps them; gives their number and how many they are.
    ///
    /// # Errors
    /// The store takes nothing.
    pub(crate) async fn finish(self, jmap: &Jmap) -> Result<(u64, u64), NotKept> {
        let writer = self.writer;
        let work = move || {
            let mut blob = writer.finish()?;
            blob.settle()?;
            Ok::<_, blobs::BlobError>(blob)
        };
        let blob = jmap.shared.ports.runtime.blocking(work).await;
        let blob = blob.map_err(|error| NotKept::Failed(error.into()))?;
        let size = blob.size;
        Ok((jmap.keep_upload(self.user, blob), size))
    }
}
