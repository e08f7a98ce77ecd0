//! Reading many emails in one go, by whoever is on the blocking pool already.

use crate::account::Account;
use crate::email::EmailRecord;
use crate::error::{RecordError, StoreError};
use crate::keys;
use crate::limits::READ_CHUNK_BYTES;
use crate::read::{ShortBodies, visit_records};
use crate::store::Shared;
use blobs::{BlobError, BlobId};
use engine::{CommitNo, Engine, ShardId, Snapshot};
use envelope::AccountId;
use mailbox_model::EmailId;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

/// An email and its record, or why that cannot be read.
pub type FoundEmail = (EmailId, Result<EmailRecord, RecordError>);

/// Reads one account's emails. Everything may touch the disk.
#[derive(Debug, Clone)]
pub struct EmailReader {
    shared: Arc<Shared>,
    account: AccountId,
    shard: ShardId,
}

impl Account {
    /// Runs work that reads emails on the blocking pool.
    ///
    /// # Cancel safety
    /// What has begun runs to its end.
    pub async fn reading<T: Send + 'static>(
        &self,
        work: impl FnOnce(&EmailReader) -> T + Send + 'static,
    ) -> T {
        let reader = self.email_reader();
        self.shared.runtime.blocking(move || work(&reader)).await
    }

    /// For whoever is on the blocking pool.
    pub(crate) fn email_reader(&self) -> EmailReader {
        EmailReader {
            shared: Arc::clone(&self.shared),
            account: self.id(),
            shard: self.shard(),
        }
    }
}

impl EmailReader {
    /// The records of emails, in the order of the ids; a bad one is an error of
    /// its own. Nearly a range scan when the ids are dense.
    #[must_use]
    pub fn email_records(&self, ids: &[EmailId]) -> Vec<Result<EmailRecord, RecordError>> {
        let mut records = Vec::with_capacity(ids.len());
        let read = visit_records(&*self.shared.engine, self.account, ids, |at, record| {
            let left_out = ids[records.len()..at].iter();
            records.extend(left_out.map(|&id| Err(RecordError::Missing(id))));
            let damaged = |error| RecordError::Damaged(ids[at], error);
            records.push(EmailRecord::read(record).map_err(damaged));
        });
        let why = read.err().map(|error| error.to_string());
        records.extend(ids[records.len()..].iter().map(|&id| {
            Err(match &why {
                None => RecordError::Missing(id),
                Some(why) => RecordError::Unreadable(id, why.clone()),
            })
        }));
        records
    }

    pub(crate) fn engine(&self) -> &dyn Engine {
        &*self.shared.engine
    }

    pub(crate) fn snapshot(&self) -> Box<dyn Snapshot> {
        self.shared.engine.snapshot(self.shard)
    }

    /// True if the engine has time for what need not be.
    pub(crate) fn has_time(&self) -> bool {
        !self.shared.engine.is_busy()
    }

    /// Whose they are.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// The records of the emails from `first` on and below `end` that are there, `limit` at most, in order.
    ///
    /// # Errors
    /// The engine can't be read.
    pub fn records_between(
        &self,
        first: EmailId,
        end: EmailId,
        limit: usize,
    ) -> Result<Vec<FoundEmail>, StoreError> {
        let mut found = Vec::new();
        let (start, end) = (
            keys::email(self.account, first),
            keys::email(self.account, end),
        );
        if limit == 0 || start >= end {
            return Ok(found);
        }
        let snapshot = self.shared.engine.snapshot(self.shard);
        snapshot.visit(&start, &end, &mut |key, stored| {
            if let Some(email) = keys::email_of(key) {
                let damaged = |error| RecordError::Damaged(email, error);
                found.push((email, EmailRecord::read(stored.value).map_err(damaged)));
            }
            match found.len() < limit {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })?;
        Ok(found)
    }

    /// The key of the account's head and who wrote it last: what is written on the condition that this is so is
    /// not written beside an account that is gone.
    ///
    /// # Errors
    /// There is no such account; the engine can't be read.
    pub fn account_head(&self) -> Result<(Vec<u8>, CommitNo), StoreError> {
        let key = keys::head(self.account);
        let head = self.shared.engine.snapshot(self.shard).get(&key)?;
        let head = head.ok_or(StoreError::NoAccount(self.account))?;
        Ok((key, head.version))
    }

    /// As [`Account::read_short_bodies`].
    #[must_use]
    pub fn short_bodies(&self, blobs: &[BlobId], bytes: u64) -> ShortBodies {
        match self.shared.blobs.read_ahead(bytes) {
            Some(room) => ShortBodies::read(&self.shared.blobs, self.shard, blobs, room),
            None => ShortBodies::default(),
        }
    }

    /// Calls `f` with the octets of a part of an email's body, without its prefix, in pieces of at most
    /// 256 KiB, until it breaks off. What lies behind the end is left out.
    ///
    /// # Errors
    /// The body is missing, damaged or can't be read.
    pub fn visit_body(
        &self,
        record: &EmailRecord,
        range: Range<u64>,
        f: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let body = self.shared.blobs.open(self.shard, record.blob)?;
        let end = range.end.min(record.blob_size);
        let mut at = range.start;
        while at < end {
            // Pieces end where chunks do, so that each chunk is opened once.
            let to = ((at / READ_CHUNK_BYTES + 1) * READ_CHUNK_BYTES).min(end);
            let piece = body.read(at..to)?;
            if piece.is_empty() {
                return Err(BlobError::Damaged("the body is shorter than its record says").into());
            }
            at += piece.len() as u64;
            if f(&piece).is_break() {
                break;
            }
        }
        Ok(())
    }
}
