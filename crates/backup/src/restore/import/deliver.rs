//! From the plan into the living account: mailboxes, emails, copies.

use super::{Email, Import};
use crate::error::BackupError;
use crate::limits::{IMPORT_BYTES, IMPORT_EMAILS, IMPORT_RECORD_BYTES};
use crate::run::Watch;
use blobs::{BlobId, StagedBlob};
use engine::{Batch, SubmitError};
use mailbox_model::stage::FlagAction;
use mailbox_model::{Flag, MailboxId, Uid, UidSet, View};
use mailstore::{NewEmail, QuotaRule, StoreError};
use std::collections::BTreeMap;

impl Import<'_> {
    /// Makes the mailboxes that are missing, with their special use if nobody
    /// has it.
    pub(super) fn make_mailboxes(&mut self, plan: &[Email]) -> Result<(), BackupError> {
        let view = self.old.view();
        let places = plan.iter().flat_map(|email| &email.places);
        let mut needed: Vec<MailboxId> = places.map(|(id, _)| *id).collect();
        needed.sort_unstable();
        needed.dedup();
        for id in needed {
            let Some(mailbox) = view.mailbox(id) else {
                continue;
            };
            let name = self.target_name(mailbox.name())?;
            let living = self.target.view();
            if living.mailbox_named(&name).is_some() {
                continue;
            }
            let role = mailbox
                .role()
                .filter(|role| self.wanted.below.is_none() && living.role(*role).is_none());
            let made = self.target.create_mailbox(&name, role);
            self.living.runtime.block_on(made)?;
            self.result.made.push(name.to_string());
        }
        Ok(())
    }

    pub(super) fn deliver(&self, plan: &[Email], watch: &mut dyn Watch) -> Result<(), BackupError> {
        let mut rest = plan;
        while !rest.is_empty() {
            if watch.stop() {
                return Err(BackupError::Interrupted);
            }
            let (mut bytes, mut records) = (0, 0);
            let fit = rest
                .iter()
                .take(IMPORT_EMAILS)
                .take_while(|email| {
                    bytes += email.record.size();
                    records += email.record.prefix.len() + email.record.digest.len();
                    bytes <= IMPORT_BYTES && records <= IMPORT_RECORD_BYTES
                })
                .count();
            let (now, later) = rest.split_at(fit.max(1));
            self.deliver_some(now)?;
            rest = later;
        }
        Ok(())
    }

    fn deliver_some(&self, emails: &[Email]) -> Result<(), BackupError> {
        let mut bodies = Vec::with_capacity(emails.len());
        let mut by_mailbox: BTreeMap<MailboxId, Vec<&Email>> = BTreeMap::new();
        for email in emails {
            bodies.push(self.copy_body(email.record.blob)?);
            if let Some((first, _)) = email.places.first() {
                by_mailbox.entry(*first).or_default().push(email);
            }
        }
        let commit = self.commit(&mut bodies, &by_mailbox);
        for (email, to, uid) in self.living.runtime.block_on(commit)? {
            self.other_copies(email, to, uid)?;
        }
        Ok(())
    }

    fn copy_body(&self, id: BlobId) -> Result<StagedBlob, BackupError> {
        let shard = self.scratch.mailstore.shard(self.old.id());
        let mut body = self.scratch.into.blobs.open(shard, id)?;
        let mut writer = self.living.blobs.writer(self.target.shard());
        while let Some(chunk) = body.next_chunk()? {
            writer.push(&chunk)?;
        }
        Ok(writer.finish()?)
    }

    /// One commit for some emails, each in its first mailbox. The quota holds
    /// nothing off that was there before.
    async fn commit<'e>(
        &self,
        bodies: &mut [StagedBlob],
        by_mailbox: &BTreeMap<MailboxId, Vec<&'e Email>>,
    ) -> Result<Vec<(&'e Email, MailboxId, Uid)>, BackupError> {
        for _ in 0..mailstore::limits::CONFLICT_RETRIES {
            let mut batch = Batch::new();
            for body in bodies.iter_mut() {
                self.living.blobs.stage(&mut batch, body)?;
            }
            let mut lane = self.target.lane().await?;
            let mut uids = Vec::new();
            for (old, emails) in by_mailbox {
                let to = self.living_mailbox(lane.view(), *old)?;
                let new: Vec<NewEmail> = emails.iter().map(|email| email.as_new()).collect();
                let given = lane.stage_deliver(&mut batch, to, &new, QuotaRule::Ignore)?;
                let both = emails.iter().zip(given);
                uids.extend(both.map(|(email, (_, uid))| (*email, to, uid)));
            }
            match lane.submit(batch) {
                Ok(ticket) => {
                    ticket.done().await;
                    return Ok(uids);
                }
                Err(SubmitError::Conflict { winner, .. }) => winner.visible().await,
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Contended.into())
    }

    fn living_mailbox(&self, view: &View, old: MailboxId) -> Result<MailboxId, BackupError> {
        let old_view = self.old.view();
        let name = old_view
            .mailbox(old)
            .map(|mailbox| self.target_name(mailbox.name()))
            .transpose()?;
        let found = name.as_ref().and_then(|name| view.mailbox_named(name));
        // Deleted or renamed since it was made: the mail is not lost for that.
        found
            .or_else(|| view.inbox())
            .map(|mailbox| mailbox.id())
            .ok_or_else(|| BackupError::NoMailbox("INBOX".to_owned()))
    }

    /// The email's other mailboxes get copies of it, and `\Deleted` is set
    /// where it was.
    fn other_copies(&self, email: &Email, to: MailboxId, uid: Uid) -> Result<(), BackupError> {
        let runtime = &self.living.runtime;
        let one = UidSet::one(uid);
        let mut marked = Vec::new();
        for (at, (old, was_deleted)) in email.places.iter().enumerate() {
            let copy = if at == 0 {
                (to, uid)
            } else {
                let target = self.living_mailbox(&self.target.view(), *old)?;
                let copied = runtime.block_on(self.target.copy(to, target, &one))?;
                let Some((_, uid)) = copied.uids.first() else {
                    continue;
                };
                (target, *uid)
            };
            if *was_deleted {
                marked.push(copy);
            }
        }
        for (mailbox, uid) in marked {
            let (one, flag) = (UidSet::one(uid), [Flag::Deleted]);
            let stored = self
                .target
                .store_flags(mailbox, &one, FlagAction::Add, &flag, None);
            runtime.block_on(stored)?;
        }
        Ok(())
    }
}

impl Email {
    fn as_new(&self) -> NewEmail {
        NewEmail {
            blob: self.record.blob,
            blob_size: self.record.blob_size,
            prefix: self.record.prefix.clone(),
            digest: self.record.digest.clone(),
            received_at: self.record.received_at,
            flags: self.flags.clone(),
        }
    }
}
