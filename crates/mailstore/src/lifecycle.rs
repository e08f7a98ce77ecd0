//! Making an account and taking it away.

use crate::error::StoreError;
use crate::head::{Head, QuotaLimits, Terms};
use crate::keys;
use crate::limits::COMMIT_BYTES_SOFT;
use crate::load::{for_each, nothing};
use crate::read;
use crate::store::{Mailstore, Shared};
use crate::threads;
use blobs::Owner;
use engine::{Batch, Expect};
use envelope::AccountId;
use mailbox_model::stage::stage_create;
use mailbox_model::{MailboxName, Role, UidValidity, View, apply};
use std::sync::Arc;

/// The mailboxes that every account begins with.
pub const DEFAULT_MAILBOXES: [(&str, Role); 6] = [
    ("INBOX", Role::Inbox),
    ("Archive", Role::Archive),
    ("Drafts", Role::Drafts),
    ("Junk", Role::Junk),
    ("Sent", Role::Sent),
    ("Trash", Role::Trash),
];

impl Mailstore {
    /// Adds to `batch` what makes an account with the default mailboxes, all
    /// subscribed. The batch is refused if the account exists.
    ///
    /// # Errors
    /// None of the caller's making.
    pub fn create_account(
        &self,
        batch: &mut Batch,
        account: AccountId,
        limits: QuotaLimits,
    ) -> Result<(), StoreError> {
        batch.expect(keys::head(account), Expect::Absent);
        stage_new(&self.shared, batch, account, limits)
    }

    /// Takes an account away with all its mail. Asking again finishes what a
    /// crash left; sessions that still hold it get [`StoreError::NoAccount`].
    ///
    /// # Errors
    /// The store can't be read or written.
    pub async fn drop_account(&self, account: AccountId) -> Result<(), StoreError> {
        match self.account(account).await {
            Ok(held) => {
                let mut tip = held.lane.lock().await;
                tip.gone = true;
                // What was submitted must be in the snapshot to be found, and
                // nobody may write more.
                held.settle_all(&mut tip).await;
                drop(tip);
                drop(held.checkpointing.lock().await);
                drop(held.reaping.lock().await);
                drop(held.threads.lock().await);
            }
            Err(StoreError::NoAccount(_) | StoreError::Damaged { .. } | StoreError::Apply(_)) => {}
            Err(error) => return Err(error),
        }
        let shared = Arc::clone(&self.shared);
        let work = move || {
            let engine = &shared.engine;
            let shard = engine.shard_of_account(account.0);
            let snapshot = engine.snapshot(shard);
            // The head goes first: from then on there is no such account.
            let mut batch = Batch::new();
            batch.delete(keys::head(account));
            let mut ticket = engine.submit(batch)?;
            let mut batch = Batch::new();
            let (start, end) = keys::all(account);
            let (emails, emails_end) = keys::emails(account);
            for_each(&*snapshot, start, &end, |key, record| {
                if key >= emails
                    && key < emails_end
                    && let Some(id) = keys::email_of(&key)
                    && let Ok(blob) = read::blob_of(id, &record.value)
                {
                    shared
                        .blobs
                        .unlink(&mut batch, shard, blob, Owner::Email(account, id.0));
                }
                batch.delete(key);
                if batch.size_bytes() > COMMIT_BYTES_SOFT {
                    ticket = engine.submit(std::mem::take(&mut batch))?;
                }
                Ok(())
            })?;
            if !batch.is_empty() {
                ticket = engine.submit(batch)?;
            }
            Ok::<_, StoreError>(ticket)
        };
        let ticket = self.shared.runtime.blocking(work).await?;
        ticket.done().await;
        // Emails may have joined threads until their records went.
        let shared = Arc::clone(&self.shared);
        let rest = move || threads::forget_all(&*shared.engine, account);
        if let Some(ticket) = self.shared.runtime.blocking(rest).await? {
            ticket.done().await;
        }
        self.cache.forget(account);
        self.shared.quotas.forget(account);
        Ok(())
    }
}

/// Adds the records of a new account.
pub(crate) fn stage_new(
    shared: &Shared,
    batch: &mut Batch,
    account: AccountId,
    limits: QuotaLimits,
) -> Result<(), StoreError> {
    let now = shared.runtime.now();
    let names = DEFAULT_MAILBOXES
        .iter()
        .map(|(name, role)| Ok((MailboxName::parse(name)?, Some(*role))))
        .collect::<Result<Vec<_>, mailbox_model::NameError>>()
        .map_err(mailbox_model::stage::StageError::from)?;
    let (draft, _) = stage_create(&View::empty(first_uid_validity(shared)), &names)?;
    let mut view = nothing();
    let entry = draft.into_entry(view.modseq().next(), now.unix_ms);
    apply(&mut view, &entry)?;
    let terms = Terms {
        limits,
        ..Terms::default()
    };
    let head = Head::of(&view, terms);
    batch.put(keys::head(account), head.encode());
    batch.put(keys::log(account, entry.modseq), entry.encode());
    Ok(())
}

/// UIDVALIDITYs follow the clock, so that an account made anew for the same
/// login never repeats one.
pub(crate) fn first_uid_validity(shared: &Shared) -> UidValidity {
    let seconds = shared.runtime.now().unix_seconds();
    UidValidity(u32::try_from(seconds).unwrap_or(u32::MAX / 2))
}
