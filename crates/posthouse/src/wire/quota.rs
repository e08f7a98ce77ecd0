//! Tells people that mailboxes are nearly full: one message for each mark that is reached. That of an account goes into
//! its inbox, that of a domain to its postmaster, each in the commit that notes that it was told.

use std::sync::Arc;

use bytes::Bytes;
use engine::{Batch, ShardId};
use envelope::{AccountId, Address, Domain, Envelope, Recipient, ReversePath};
use intake::{Generated, Intake};
use mailbox_model::Usage;
use mailstore::{InternalDate, NewEmail, QuotaCrossing, QuotaLimits, QuotaMark};
use mime::DateTime;
use report_format::{QuotaNotice, QuotaOf, Share, write_quota_notice};
use runtime::Runtime;

use crate::limits::QUOTA_NOTICE_TRIES;
use crate::store::Store;

/// Who tells.
pub(super) struct Notices {
    pub(super) store: Arc<Store>,
    pub(super) intake: Intake,
    pub(super) hostname: String,
}

impl Notices {
    /// Until the server ends. What could not be told is noted again with the next change.
    pub(super) async fn run(self, runtime: Runtime) {
        let shutdown = runtime.shutdown();
        loop {
            let crossing = tokio::select! {
                biased;
                () = shutdown.draining() => return,
                crossing = self.store.mailstore.next_quota_crossing() => crossing,
            };
            let (told, who) = match &crossing {
                QuotaCrossing::Account(id) => (self.tell_owner(*id).await, format!("account {id}")),
                QuotaCrossing::Group(name) => (self.tell_postmaster(name).await, name.clone()),
            };
            match told {
                Ok(true) => tracing::info!(who, "told that mailboxes are nearly full"),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(who, "not told that mailboxes are nearly full: {error:#}");
                }
            }
        }
    }

    /// True if a notice was delivered.
    async fn tell_owner(&self, id: AccountId) -> anyhow::Result<bool> {
        let store = &self.store;
        let account = store.mailstore.account(id).await?;
        let Some(mark) = account.quota_mark_due() else {
            return Ok(false);
        };
        let Some(known) = store.directory.account(id).await? else {
            return Ok(false);
        };
        let (limits, used) = (account.quota_limits(), account.view().usage());
        let message = self.write(QuotaOf::Account(&known.address), mark, (limits, used));
        let (blobs, shard) = (store.blobs.clone(), account.shard());
        let work = move || {
            let mut indexer = mime::Indexer::new(mime::Limits::default());
            indexer.push(&message);
            let mut writer = blobs.writer(shard);
            writer.push(&message)?;
            Ok::<_, blobs::BlobError>((writer.finish()?, indexer.finish().encode()))
        };
        let (blob, digest) = store.runtime.blocking(work).await?;
        let email = NewEmail {
            blob: blob.id,
            blob_size: blob.size,
            prefix: Bytes::new(),
            digest: digest.into(),
            received_at: InternalDate {
                unix_seconds: self.now().unix_seconds,
                zone_minutes: 0,
            },
            flags: Vec::new(),
        };
        Ok(account.deliver_quota_notice(mark, blob, &email).await?)
    }

    /// True if a notice is in the queue. Where the use fell, that is noted.
    async fn tell_postmaster(&self, name: &str) -> anyhow::Result<bool> {
        let store = &self.store;
        let domain = Domain::parse(name)?;
        let postmaster = Address::parse(&format!("postmaster@{domain}"))?;
        for _ in 0..QUOTA_NOTICE_TRIES {
            let Some(due) = store.mailstore.group_mark_due(name) else {
                store.mailstore.lower_group_mark(name).await?;
                return Ok(false);
            };
            let message = self.write(QuotaOf::Domain(&domain), due.mark, (due.limits, due.used));
            // RFC 3834 §3.1: nobody answers it.
            let mut envelope = Envelope::new(ReversePath::Null);
            envelope.recipients.push(Recipient::new(postmaster.clone()));
            let message = Generated {
                envelope,
                message: message.into(),
            };
            // The mark is the system's.
            let staged = self.intake.prepare_generated(ShardId(0), message);
            let mut staged = staged.await?;
            let intake = self.intake.clone();
            let work = move || {
                let mut batch = Batch::new();
                intake.stage_generated(&mut batch, &mut staged)?;
                Ok::<_, blobs::BlobError>(batch)
            };
            let batch = store.runtime.blocking(work).await?;
            if store.mailstore.tell_group(name, due.mark, batch).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn write(
        &self,
        of: QuotaOf<'_>,
        mark: QuotaMark,
        (limits, used): (QuotaLimits, Usage),
    ) -> Vec<u8> {
        let share = |used, limit: Option<u64>| limit.map(|limit| Share { used, limit });
        let word = self.store.runtime.random_u64();
        write_quota_notice(&QuotaNotice {
            of,
            date: self.now(),
            message_id: &format!("{word:016x}@{}", self.hostname),
            urgent: mark == QuotaMark::NearlyFull,
            bytes: share(used.bytes, limits.bytes),
            messages: share(used.emails, limits.emails),
        })
    }

    fn now(&self) -> DateTime {
        let unix_seconds = self.store.runtime.now().unix_seconds();
        DateTime {
            unix_seconds: i64::try_from(unix_seconds).unwrap_or(i64::MAX),
            zone_minutes: 0,
        }
    }
}

#[cfg(test)]
mod tests;
