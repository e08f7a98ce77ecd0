//! Octets on their way into the store: uploads as they are, messages with their line ends as every
//! reader relies on them, and indexed.

use crate::Jmap;
use blobs::{BlobWriter, StagedBlob};
use bytes::Bytes;
use mailstore::{Account, StoreError};
use mime::{Digest, Indexer};

/// A message that comes in.
pub(crate) struct Intake {
    writer: BlobWriter,
    indexer: Indexer,
    /// A CR ended the last piece, so that an LF at the next one's start is no bare one.
    after_cr: bool,
}

/// A message that came in whole.
pub(crate) struct Message {
    pub(crate) blob: StagedBlob,
    /// As it is stored.
    pub(crate) digest: Bytes,
}

impl Intake {
    pub(crate) fn new(jmap: &Jmap, account: &Account) -> Self {
        Self {
            writer: jmap.shared.ports.blobs.writer(account.shard()),
            indexer: Indexer::new(mime::Limits::default()),
            after_cr: false,
        }
    }

    /// Takes a piece. Off the async workers.
    ///
    /// # Errors
    /// The store takes nothing.
    pub(crate) async fn push(self, jmap: &Jmap, piece: Bytes) -> Result<Self, StoreError> {
        let mut this = self;
        let work = move || {
            let mut rest = &piece[..];
            if this.after_cr && rest.first() == Some(&b'\n') {
                this.put(b"\n")?;
                rest = &rest[1..];
            }
            this.after_cr = piece.last() == Some(&b'\r');
            let normal = mime::normalise_line_ends(rest);
            this.put(&normal)?;
            Ok(this)
        };
        jmap.shared.ports.runtime.blocking(work).await
    }

    fn put(&mut self, octets: &[u8]) -> Result<(), StoreError> {
        self.writer.push(octets)?;
        self.indexer.push(octets);
        Ok(())
    }

    pub(crate) fn size(&self) -> u64 {
        self.writer.size()
    }

    /// # Errors
    /// The store takes nothing.
    pub(crate) async fn finish(self, jmap: &Jmap) -> Result<Message, StoreError> {
        let work = move || {
            Ok(Message {
                blob: self.writer.finish()?,
                digest: Digest::encode(&self.indexer.finish()).into(),
            })
        };
        jmap.shared.ports.runtime.blocking(work).await
    }
}
