//! A message as it is sent: its prefix, then its body.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use engine::ShardId;

use crate::error::QueueError;
use crate::lease::Lease;
use crate::message::Message;
use crate::store::{Inner, Queue};

impl Queue {
    /// A range of a message as it is sent: prefix and body; what lies behind the end is left out.
    ///
    /// # Errors
    /// The body cannot be read.
    pub async fn read(
        &self,
        shard: ShardId,
        message: &Message,
        range: Range<u64>,
    ) -> Result<Bytes, QueueError> {
        self.inner.read(shard, message, range).await
    }
}

impl Lease {
    /// A range of the message, as [`Queue::read`] gives it; from memory while it is new.
    ///
    /// # Errors
    /// The body cannot be read.
    pub async fn read(&self, range: Range<u64>) -> Result<Bytes, QueueError> {
        let message = self.message();
        match &self.entry.body {
            Some(body) => part(&message.prefix, range, |range| Ok(cut(body, range))),
            None => self.inner.read(self.shard(), message, range).await,
        }
    }
}

impl Inner {
    async fn read(
        &self,
        shard: ShardId,
        message: &Message,
        range: Range<u64>,
    ) -> Result<Bytes, QueueError> {
        let blobs = Arc::clone(&self.blobs);
        let (prefix, blob) = (message.prefix.clone(), message.blob);
        let read = move || part(&prefix, range, |range| Ok(blobs.read(shard, blob, range)?));
        self.runtime.blocking(read).await
    }
}

/// The range of both; `body` gives that of the body.
fn part(
    prefix: &Bytes,
    range: Range<u64>,
    body: impl FnOnce(Range<u64>) -> Result<Bytes, QueueError>,
) -> Result<Bytes, QueueError> {
    let prefix_len = prefix.len() as u64;
    let head = cut(prefix, range.clone());
    let in_body = range.start.saturating_sub(prefix_len)..range.end.saturating_sub(prefix_len);
    if in_body.is_empty() {
        return Ok(head);
    }
    let body = body(in_body)?;
    if head.is_empty() {
        return Ok(body);
    }
    let mut whole = BytesMut::with_capacity(head.len() + body.len());
    whole.extend_from_slice(&head);
    whole.extend_from_slice(&body);
    Ok(whole.freeze())
}

fn cut(bytes: &Bytes, range: Range<u64>) -> Bytes {
    let len = bytes.len() as u64;
    let (start, end) = (range.start.min(len), range.end.min(len));
    bytes.slice(start as usize..end.max(start) as usize)
}
