//! The queue is being emptied: all that waits for elsewhere goes one way, until a person
//! says otherwise.
//!
//! Durable, so that a restart ends nothing. Messages are not changed by it: what is left
//! when it ends goes its usual way again. Not here: who carries it out (`dispatch`), and
//! the door, which takes nothing new meanwhile.

use std::sync::Arc;

use engine::{Batch, ShardId};
use wire::codec::{DecodeError, Reader, Writer};

use crate::error::QueueError;
use crate::keys;
use crate::store::{Inner, Queue};

/// Where the key is; it belongs to no shard in particular.
const SHARD: ShardId = ShardId(0);

/// By which way it is emptied, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// `smart-host`, or names of transports with commas between them.
    pub way: Arc<str>,
    /// In milliseconds since 1970.
    pub since_ms: u64,
}

impl Queue {
    /// From now on all that waits for elsewhere, and all that comes, goes this way.
    /// Attempts under way go on. Nobody else may begin or end one meanwhile.
    ///
    /// # Errors
    /// The engine cannot write.
    pub async fn drain(&self, way: &str) -> Result<(), QueueError> {
        let drain = Drain {
            way: way.into(),
            since_ms: self.inner.runtime.now().unix_ms,
        };
        let mut batch = Batch::new();
        batch.put(keys::drain(SHARD), encode(&drain));
        self.commit_drain(batch, Some(Arc::new(drain))).await
    }

    /// Each goes its own way again; true if it was otherwise.
    ///
    /// # Errors
    /// The engine cannot read or write.
    pub async fn end_drain(&self) -> Result<bool, QueueError> {
        if self.drained_by().await?.is_none() {
            *self.inner.drain.lock() = None;
            return Ok(false);
        }
        let mut batch = Batch::new();
        batch.delete(keys::drain(SHARD));
        self.commit_drain(batch, None).await?;
        Ok(true)
    }

    /// By which way it is emptied, as it is stored.
    ///
    /// # Errors
    /// The engine cannot read.
    pub async fn drained_by(&self) -> Result<Option<Arc<Drain>>, QueueError> {
        let inner = Arc::clone(&self.inner);
        let read = self.inner.runtime.blocking(move || inner.read_drain());
        Ok(read.await?.map(Arc::new))
    }

    /// Learns what an earlier process was told. Before a door opens, or anything is sent.
    ///
    /// # Errors
    /// The engine cannot read.
    pub async fn learn_drain(&self) -> Result<(), QueueError> {
        let drain = self.drained_by().await?;
        *self.inner.drain.lock() = drain;
        Ok(())
    }

    /// The same as far as is known since [`Queue::learn_drain`], or since it was changed here;
    /// the same `Arc` as long as nothing changes.
    #[must_use]
    pub fn drain_known(&self) -> Option<Arc<Drain>> {
        self.inner.drain.lock().clone()
    }

    async fn commit_drain(
        &self,
        batch: Batch,
        drain: Option<Arc<Drain>>,
    ) -> Result<(), QueueError> {
        self.inner.engine.submit(batch)?.done().await;
        *self.inner.drain.lock() = drain;
        self.inner.news.wake();
        Ok(())
    }
}

impl Inner {
    pub(crate) fn read_drain(&self) -> Result<Option<Drain>, QueueError> {
        let stored = self.engine.snapshot(SHARD).get(&keys::drain(SHARD))?;
        let Some(stored) = stored else {
            return Ok(None);
        };
        match parse(&stored.value) {
            Ok(drain) => Ok(Some(drain)),
            Err(error) => {
                tracing::error!(%error, "by which way the queue is emptied cannot be read");
                Ok(None)
            }
        }
    }
}

fn encode(drain: &Drain) -> Vec<u8> {
    let mut writer = Writer::new();
    writer
        .u8(keys::VERSION)
        .varint(drain.since_ms)
        .raw(drain.way.as_bytes());
    writer.finish()
}

/// What a record says.
pub(crate) fn parse(record: &[u8]) -> Result<Drain, DecodeError> {
    let mut reader = Reader::new(record);
    match reader.u8()? {
        keys::VERSION => {}
        other => return Err(DecodeError::Version(other)),
    }
    let since_ms = reader.varint()?;
    let way = core::str::from_utf8(reader.rest()).map_err(|_| DecodeError::OutOfRange)?;
    if way.is_empty() {
        return Err(DecodeError::Truncated);
    }
    Ok(Drain {
        way: way.into(),
        since_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        assert_eq!(keys::drain(SHARD), b"Q\0\0y");
        let drain = Drain {
            way: "b, c".into(),
            since_ms: 300,
        };
        assert_eq!(encode(&drain), b"\x01\xac\x02b, c");
        assert_eq!(parse(&encode(&drain)), Ok(drain));
        assert!(parse(b"\x01\x05").is_err() && parse(b"\x02\x05b").is_err());
        assert!(parse(b"\x01\x05\xff").is_err() && parse(b"").is_err());
    }
}
