//! Reading email records and messages. Reads may reach the disk: they run on
//! the blocking pool.

use crate::account::Account;
use crate::email::EmailRecord;
use crate::error::{RecordError, StoreError};
use crate::keys;
use crate::limits::{READ_CHUNK_BYTES, SCAN_RECORDS};
use blobs::{BlobId, BlobReader, Blobs, ReadAhead};
use bytes::{Bytes, BytesMut};
use engine::{Engine, ShardId};
use envelope::AccountId;
use mailbox_model::EmailId;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

impl Account {
    /// The records of emails, in the order of the ids; a bad one is an error of
    /// its own. Nearly a range scan when the ids are dense.
    pub async fn email_records(&self, ids: &[EmailId]) -> Vec<Result<EmailRecord, RecordError>> {
        let ids = ids.to_vec();
        self.reading(move |reader| reader.email_records(&ids)).await
    }

    /// The record of one email.
    ///
    /// # Errors
    /// It is missing, damaged or can't be read.
    pub async fn email_record(&self, id: EmailId) -> Result<EmailRecord, RecordError> {
        let mut records = self.email_records(&[id]).await;
        records.pop().unwrap_or(Err(RecordError::Missing(id)))
    }

    pub(crate) async fn raw_records(
        &self,
        ids: Vec<EmailId>,
    ) -> Result<Vec<Option<Bytes>>, StoreError> {
        let engine = Arc::clone(&self.shared.engine);
        let id = self.id();
        self.shared
            .runtime
            .blocking(move || raw_records(&*engine, id, &ids))
            .await
    }

    /// Bytes of a message as shown: prefix, then blob. What lies behind the
    /// end is left out.
    ///
    /// # Errors
    /// The body is missing, damaged or can't be read.
    pub async fn read_message(
        &self,
        record: &EmailRecord,
        range: Range<u64>,
    ) -> Result<Bytes, StoreError> {
        let prefix_len = record.prefix.len() as u64;
        let end = range.end.min(record.size());
        if range.start >= end {
            return Ok(Bytes::new());
        }
        let from_prefix = record
            .prefix
            .slice(range.start.min(prefix_len) as usize..end.min(prefix_len) as usize);
        let in_blob = range.start.saturating_sub(prefix_len)..end.saturating_sub(prefix_len);
        if in_blob.is_empty() {
            return Ok(from_prefix);
        }
        let shared = Arc::clone(&self.shared);
        let (shard, blob) = (self.shard(), record.blob);
        let work = move || shared.blobs.read(shard, blob, in_blob);
        let body = self.shared.runtime.blocking(work).await?;
        if from_prefix.is_empty() {
            return Ok(body);
        }
        let mut whole = BytesMut::with_capacity(from_prefix.len() + body.len());
        whole.extend_from_slice(&from_prefix);
        whole.extend_from_slice(&body);
        Ok(whole.freeze())
    }

    /// The bodies (without prefixes) of many short messages of `bytes` together,
    /// read in one go. A long one, and one that cannot be read, is `None`: open
    /// it by itself. So are all when the memory for reading ahead is spent.
    pub async fn read_short_bodies(&self, blobs: Vec<BlobId>, bytes: u64) -> ShortBodies {
        let Some(room) = self.shared.blobs.read_ahead(bytes) else {
            return ShortBodies::default();
        };
        let (shared, shard) = (Arc::clone(&self.shared), self.shard());
        let work = move || ShortBodies::read(&shared.blobs, shard, &blobs, room);
        self.shared.runtime.blocking(work).await
    }

    /// Opens a message for reading from `range.start` to `range.end` in pieces
    /// of at most 256 KiB, so that a large one takes little memory.
    #[must_use]
    pub fn open_message(
        self: &Arc<Self>,
        record: &EmailRecord,
        range: Range<u64>,
    ) -> MessageReader {
        MessageReader {
            account: Arc::clone(self),
            at: range.start,
            end: range.end.min(record.size()),
            record: record.clone(),
            body: None,
        }
    }
}

/// Bodies that were read together. They count against the memory for reading
/// ahead until this is dropped.
#[derive(Debug, Default)]
pub struct ShortBodies {
    bodies: Vec<Option<Bytes>>,
    _room: Option<ReadAhead>,
}

impl ShortBodies {
    pub(crate) fn read(blobs: &Blobs, shard: ShardId, ids: &[BlobId], room: ReadAhead) -> Self {
        Self {
            bodies: blobs.read_short(shard, ids).unwrap_or_default(),
            _room: Some(room),
        }
    }

    /// The body of the message at this place of those asked for, if it was read.
    #[must_use]
    pub fn body(&self, at: usize) -> Option<&Bytes> {
        self.bodies.get(at)?.as_ref()
    }
}

/// Reads a message piece by piece.
#[derive(Debug)]
pub struct MessageReader {
    account: Arc<Account>,
    record: EmailRecord,
    at: u64,
    end: u64,
    body: Option<BlobReader>,
}

impl MessageReader {
    /// Bytes that are still to come.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.end.saturating_sub(self.at)
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    /// The body is missing, damaged or can't be read.
    ///
    /// # Cancel safety
    /// A dropped read is done again by the next.
    pub async fn next_piece(&mut self) -> Result<Option<Bytes>, StoreError> {
        if self.at >= self.end {
            return Ok(None);
        }
        let prefix_len = self.record.prefix.len() as u64;
        if self.at < prefix_len {
            let end = self.end.min(prefix_len);
            let piece = self.record.prefix.slice(self.at as usize..end as usize);
            self.at = end;
            return Ok(Some(piece));
        }
        let from = self.at - prefix_len;
        // Pieces end where chunks do, so that each chunk is opened once.
        let chunk_end = (from / READ_CHUNK_BYTES + 1) * READ_CHUNK_BYTES;
        let to = chunk_end.min(self.end - prefix_len);
        let shared = Arc::clone(&self.account.shared);
        let (shard, blob) = (self.account.shard(), self.record.blob);
        let body = self.body.take();
        let work = move || {
            let body = match body {
                Some(body) => body,
                None => shared.blobs.open(shard, blob)?,
            };
            let piece = body.read(from..to)?;
            Ok::<_, blobs::BlobError>((body, piece))
        };
        let (body, piece) = self.account.shared.runtime.blocking(work).await?;
        self.body = Some(body);
        if piece.is_empty() {
            return Err(
                blobs::BlobError::Damaged("the body is shorter than its record says").into(),
            );
        }
        self.at += piece.len() as u64;
        Ok(Some(piece))
    }
}

/// The blob that a record names.
pub(crate) fn blob_of(id: EmailId, record: &Bytes) -> Result<BlobId, RecordError> {
    EmailRecord::decode(record)
        .map(|record| record.blob)
        .map_err(|error| RecordError::Damaged(id, error))
}

/// Email ids this dense are read by one scan.
const DENSE: u64 = 2;

pub(crate) fn raw_records(
    engine: &dyn Engine,
    account: AccountId,
    ids: &[EmailId],
) -> Result<Vec<Option<Bytes>>, StoreError> {
    let mut records = vec![None; ids.len()];
    visit_records(engine, account, ids, |at, record| {
        records[at] = Some(record);
    })?;
    Ok(records)
}

/// True for a few at least, in order and near one another.
pub(crate) fn is_dense(ids: &[EmailId]) -> bool {
    match (ids.first(), ids.last()) {
        (Some(first), Some(last)) if ids.len() > 2 && ids.is_sorted_by(|a, b| a < b) => {
            (last.0 - first.0).saturating_add(1) / DENSE <= ids.len() as u64
        }
        _ => false,
    }
}

/// Calls `f` with the place among `ids` of each record that is there, and the
/// record, in order.
pub(crate) fn visit_records(
    engine: &dyn Engine,
    account: AccountId,
    ids: &[EmailId],
    mut f: impl FnMut(usize, Bytes),
) -> Result<(), StoreError> {
    let snapshot = engine.snapshot(engine.shard_of_account(account.0));
    if !is_dense(ids) {
        let keys: Vec<Vec<u8>> = ids.iter().map(|&id| keys::email(account, id)).collect();
        for (at, keys) in keys.chunks(SCAN_RECORDS).enumerate() {
            for (within, found) in snapshot.get_many(keys)?.into_iter().enumerate() {
                if let Some(found) = found {
                    f(at * SCAN_RECORDS + within, found.value);
                }
            }
        }
        return Ok(());
    }
    let start = keys::email(account, ids[0]);
    let end = keys::email(account, ids[ids.len() - 1].next());
    let mut at = 0;
    snapshot.visit(&start, &end, &mut |key, value| {
        let Some(found) = keys::email_of(key) else {
            return ControlFlow::Continue(());
        };
        while ids.get(at).is_some_and(|id| *id < found) {
            at += 1;
        }
        if ids.get(at) == Some(&found) {
            f(at, value.value);
            at += 1;
        }
        ControlFlow::Continue(())
    })?;
    Ok(())
}
