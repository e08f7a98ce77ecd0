//! Whole operations on one account, for the protocol faces: take the lane,
//! stage, submit, let the lane go, wait until it is durable and visible. When
//! another commit wins, all of it is done again.
//!
//! # Cancel safety
//! Dropping one of these futures either leaves the account as it was or lets
//! the submitted commit go on; never half of it.

use crate::account::Account;
use crate::email::NewEmail;
use crate::error::StoreError;
use crate::head::QuotaLimits;
use crate::lane::{Lane, QuotaRule};
use crate::limits::{CONFLICT_RETRIES, EXPUNGE_PER_CHANGE};
use blobs::StagedBlob;
use engine::{Batch, SubmitError};
use mailbox_model::stage::{Expunging, FlagAction, FlagsRequest, StageError};
use mailbox_model::{
    EmailId, Flag, MailboxId, MailboxName, ModSeq, Role, Uid, UidSet, UidValidity,
};
use std::sync::Arc;

/// What an APPEND came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The mailbox's UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// The ids and UIDs in the order given.
    pub emails: Vec<(EmailId, Uid)>,
}

/// What a COPY or MOVE came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transferred {
    /// The target's UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// (source UID, target UID), in order.
    pub uids: Vec<(Uid, Uid)>,
}

/// What a STORE came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagsStored {
    /// Entries left alone by UNCHANGEDSINCE.
    pub modified: UidSet,
    /// The change's number, if anything changed.
    pub modseq: Option<ModSeq>,
}

/// Whether another try is due.
pub(crate) enum Outcome<T> {
    Done(T),
    Again,
}

impl Account {
    /// Submits what the lane staged and waits until it is visible.
    pub(crate) async fn finish<T>(
        lane: Lane,
        batch: Batch,
        value: T,
    ) -> Result<Outcome<T>, StoreError> {
        if lane.is_clean() {
            lane.let_go().await;
            return Ok(Outcome::Done(value));
        }
        match lane.submit(batch) {
            Ok(ticket) => {
                ticket.done().await;
                Ok(Outcome::Done(value))
            }
            Err(SubmitError::Conflict { winner, .. }) => {
                winner.visible().await;
                Ok(Outcome::Again)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Does a change that needs no reading while it is staged.
    pub(crate) async fn change<T>(
        self: &Arc<Self>,
        mut stage: impl FnMut(&mut Lane, &mut Batch) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        for _ in 0..CONFLICT_RETRIES {
            let mut lane = self.lane().await?;
            let mut batch = Batch::new();
            let value = stage(&mut lane, &mut batch)?;
            if let Outcome::Done(value) = Self::finish(lane, batch, value).await? {
                return Ok(value);
            }
        }
        Err(StoreError::Contended)
    }

    /// Appends messages to a mailbox, all or none (APPEND, MULTIAPPEND).
    ///
    /// # Errors
    /// No such mailbox, over quota, the store is full or can't be read.
    pub async fn append(
        self: &Arc<Self>,
        mailbox: MailboxId,
        blobs: Vec<StagedBlob>,
        emails: &[NewEmail],
    ) -> Result<Appended, StoreError> {
        let mut blobs = blobs;
        for _ in 0..CONFLICT_RETRIES {
            let (mut batch, staged) = self.stage_blobs(blobs).await?;
            blobs = staged;
            let mut lane = self.lane().await?;
            let emails = lane.stage_deliver(&mut batch, mailbox, emails, QuotaRule::Enforce)?;
            let uid_validity = uid_validity(&lane, mailbox)?;
            let value = Appended {
                uid_validity,
                emails,
            };
            if let Outcome::Done(value) = Self::finish(lane, batch, value).await? {
                return Ok(value);
            }
        }
        Err(StoreError::Contended)
    }

    /// REPLACE (RFC 8508): appends a message and expunges the one whose place it takes,
    /// both or neither. `None` if the old one is gone: nothing was done.
    ///
    /// # Errors
    /// As [`Account::append`].
    pub async fn replace(
        self: &Arc<Self>,
        old: (MailboxId, Uid),
        mailbox: MailboxId,
        blob: StagedBlob,
        email: NewEmail,
    ) -> Result<Option<Appended>, StoreError> {
        let mut blobs = vec![blob];
        let old_uid: UidSet = std::iter::once(old.1).collect();
        for _ in 0..CONFLICT_RETRIES {
            let (mut batch, staged) = self.stage_blobs(blobs).await?;
            blobs = staged;
            let mut lane = self.lane().await?;
            // First, so that its octets are not counted twice.
            let which = Expunging::Exactly(&old_uid);
            let (gone, _) = lane.stage_expunge(&mut batch, old.0, which, 1)?;
            if gone.is_empty() {
                return Ok(None);
            }
            let emails = std::slice::from_ref(&email);
            let emails = lane.stage_deliver(&mut batch, mailbox, emails, QuotaRule::Enforce)?;
            let uid_validity = uid_validity(&lane, mailbox)?;
            let value = Appended {
                uid_validity,
                emails,
            };
            if let Outcome::Done(value) = Self::finish(lane, batch, value).await? {
                return Ok(Some(value));
            }
        }
        Err(StoreError::Contended)
    }

    /// A batch with these bodies, and the bodies for another try: for whoever stages on the lane
    /// more than one of the operations here does. Looking whether they are there may read the disk.
    ///
    /// # Errors
    /// The store can't be read, or takes nothing.
    pub async fn stage_blobs(
        &self,
        mut blobs: Vec<StagedBlob>,
    ) -> Result<(Batch, Vec<StagedBlob>), StoreError> {
        let shared = Arc::clone(&self.shared);
        let work = move || {
            let mut batch = Batch::new();
            for blob in &mut blobs {
                shared.blobs.stage(&mut batch, blob)?;
            }
            Ok((batch, blobs))
        };
        self.shared.runtime.blocking(work).await
    }

    /// STORE, with UNCHANGEDSINCE if given.
    ///
    /// # Errors
    /// No such mailbox, a keyword that can't be.
    pub async fn store_flags(
        self: &Arc<Self>,
        mailbox: MailboxId,
        uids: &UidSet,
        action: FlagAction,
        flags: &[Flag],
        unchanged_since: Option<ModSeq>,
    ) -> Result<FlagsStored, StoreError> {
        let request = FlagsRequest {
            mailbox,
            uids,
            action,
            flags,
            unchanged_since,
            untouched: Default::default(),
        };
        self.change(|lane, batch| {
            let (modified, modseq) = lane.stage_flags(batch, &request)?;
            Ok(FlagsStored { modified, modseq })
        })
        .await
    }

    /// COPY. Never fails for the quota.
    ///
    /// # Errors
    /// No such mailbox.
    pub async fn copy(
        self: &Arc<Self>,
        from: MailboxId,
        to: MailboxId,
        uids: &UidSet,
    ) -> Result<Transferred, StoreError> {
        for _ in 0..CONFLICT_RETRIES {
            let mut lane = self.lane().await?;
            let mut batch = Batch::new();
            let uids = lane.stage_copy(&mut batch, from, to, uids).await?;
            let value = Transferred {
                uid_validity: uid_validity(&lane, to)?,
                uids,
            };
            if let Outcome::Done(value) = Self::finish(lane, batch, value).await? {
                return Ok(value);
            }
        }
        Err(StoreError::Contended)
    }

    /// MOVE. Never fails for the quota.
    ///
    /// # Errors
    /// No such mailbox.
    pub async fn move_(
        self: &Arc<Self>,
        from: MailboxId,
        to: MailboxId,
        uids: &UidSet,
    ) -> Result<Transferred, StoreError> {
        for _ in 0..CONFLICT_RETRIES {
            let mut lane = self.lane().await?;
            let mut batch = Batch::new();
            let uids = lane.stage_move(&mut batch, from, to, uids).await?;
            let value = Transferred {
                uid_validity: uid_validity(&lane, to)?,
                uids,
            };
            if let Outcome::Done(value) = Self::finish(lane, batch, value).await? {
                return Ok(value);
            }
        }
        Err(StoreError::Contended)
    }

    /// Expunges; very many in several commits. Gives the UIDs that went.
    ///
    /// # Errors
    /// No such mailbox.
    pub async fn expunge(
        self: &Arc<Self>,
        mailbox: MailboxId,
        which: Expunging<'_>,
    ) -> Result<Vec<Uid>, StoreError> {
        let mut all = Vec::new();
        let mut limit = EXPUNGE_PER_CHANGE;
        let mut conflicts = 0;
        loop {
            let mut lane = self.lane().await?;
            let mut batch = Batch::new();
            let (uids, more) = lane.stage_expunge(&mut batch, mailbox, which, limit)?;
            match Self::finish(lane, batch, uids).await {
                Ok(Outcome::Done(uids)) => {
                    all.extend(uids);
                    if !more {
                        return Ok(all);
                    }
                }
                Ok(Outcome::Again) if conflicts < CONFLICT_RETRIES => conflicts += 1,
                Ok(Outcome::Again) => return Err(StoreError::Contended),
                // Emails with very many keywords.
                Err(StoreError::Submit(SubmitError::TooLarge { .. })) if limit > 1 => limit /= 2,
                Err(error) => return Err(error),
            }
        }
    }

    /// CREATE, with the parents that are missing; all become subscribed.
    ///
    /// # Errors
    /// The name or the special use is taken.
    pub async fn create_mailbox(
        self: &Arc<Self>,
        name: &MailboxName,
        role: Option<Role>,
    ) -> Result<MailboxId, StoreError> {
        self.change(|lane, batch| lane.stage_create(batch, name, role))
            .await
    }

    /// RENAME, with all that is below; of the inbox it moves the messages.
    ///
    /// # Errors
    /// No such name, the new one is taken, below the old one or too long.
    pub async fn rename_mailbox(
        self: &Arc<Self>,
        from: &MailboxName,
        to: &MailboxName,
    ) -> Result<(), StoreError> {
        for _ in 0..CONFLICT_RETRIES {
            let mut lane = self.lane().await?;
            let mut batch = Batch::new();
            lane.stage_rename(&mut batch, from, to).await?;
            if let Outcome::Done(()) = Self::finish(lane, batch, ()).await? {
                return Ok(());
            }
        }
        Err(StoreError::Contended)
    }

    /// DELETE, with the messages in it; the mailboxes below stay.
    ///
    /// # Errors
    /// No such mailbox; the inbox; a name that has only children.
    pub async fn delete_mailbox(self: &Arc<Self>, name: &MailboxName) -> Result<(), StoreError> {
        for _ in 0..CONFLICT_RETRIES {
            let view = self.view();
            // What does not fit in one commit goes before the mailbox does.
            if let Some(mailbox) = view.mailbox_named(name)
                && !name.is_inbox()
                && mailbox.entries().len() > EXPUNGE_PER_CHANGE / 2
            {
                self.expunge(mailbox.id(), Expunging::Exactly(&UidSet::all()))
                    .await?;
            }
            let mut lane = self.lane().await?;
            let mut batch = Batch::new();
            lane.stage_delete(&mut batch, name)?;
            if let Outcome::Done(()) = Self::finish(lane, batch, ()).await? {
                return Ok(());
            }
        }
        Err(StoreError::Contended)
    }

    /// SUBSCRIBE; the name need not be a mailbox.
    ///
    /// # Errors
    /// Too many subscriptions to names without a mailbox.
    pub async fn subscribe_mailbox(self: &Arc<Self>, name: &MailboxName) -> Result<(), StoreError> {
        self.change(|lane, batch| lane.stage_subscribe(batch, name))
            .await
    }

    /// UNSUBSCRIBE.
    ///
    /// # Errors
    /// The store can't be written.
    pub async fn unsubscribe_mailbox(
        self: &Arc<Self>,
        name: &MailboxName,
    ) -> Result<(), StoreError> {
        self.change(|lane, batch| lane.stage_unsubscribe(batch, name))
            .await
    }

    /// Sets what the account may use.
    ///
    /// # Errors
    /// The store can't be written.
    pub async fn set_quota_limits(self: &Arc<Self>, limits: QuotaLimits) -> Result<(), StoreError> {
        self.change(|lane, _| {
            lane.stage_quota_limits(limits);
            Ok(())
        })
        .await
    }
}

fn uid_validity(lane: &Lane, mailbox: MailboxId) -> Result<UidValidity, StoreError> {
    let mailbox = lane.view().mailbox(mailbox).ok_or(StageError::NoMailbox)?;
    Ok(mailbox.uid_validity())
}
