//! What is paused: domains, or everything, until a person says otherwise.
//!
//! Durable, so that a restart resumes nothing. What is paused waits where it is: no
//! attempt, no report, and no end of its time before it is resumed.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{Batch, Order, ShardId};
use envelope::Domain;
use wire::codec::{DecodeError, Reader, Writer};

use crate::error::QueueError;
use crate::keys;
use crate::limits::PAUSED_MAX;
use crate::store::{Inner, Queue};

/// Where these keys are; they belong to no shard in particular.
const SHARD: ShardId = ShardId(0);

/// What is paused, and since when, in milliseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paused {
    /// Everything is.
    pub everything: Option<u64>,
    /// What goes to these domains is.
    pub domains: BTreeMap<Domain, u64>,
}

impl Paused {
    /// True if nothing is attempted for this domain.
    #[must_use]
    pub fn has(&self, domain: &Domain) -> bool {
        self.everything.is_some() || self.domains.contains_key(domain)
    }
}

impl Queue {
    /// Attempts nothing more for a domain, or for none; true if that is new.
    /// Attempts under way go on.
    ///
    /// # Errors
    /// Too much is paused already, or the engine cannot read or write.
    pub async fn pause(&self, domain: Option<&Domain>) -> Result<bool, QueueError> {
        let paused = self.paused().await?;
        let known = match domain {
            Some(domain) => paused.domains.contains_key(domain),
            None => paused.everything.is_some(),
        };
        if known {
            return Ok(false);
        }
        if paused.domains.len() >= PAUSED_MAX {
            return Err(QueueError::TooMuchPaused);
        }
        let now_ms = self.inner.runtime.now().unix_ms;
        let mut batch = Batch::new();
        batch.put(keys::paused(SHARD, domain), encode(now_ms));
        self.commit_pause(batch, |paused| match domain {
            Some(domain) => drop(paused.domains.insert(domain.clone(), now_ms)),
            None => paused.everything = Some(now_ms),
        })
        .await?;
        Ok(true)
    }

    /// Lets a domain's mail go on, or all that was paused as a whole; true if it was paused.
    ///
    /// # Errors
    /// The engine cannot read or write.
    pub async fn resume(&self, domain: Option<&Domain>) -> Result<bool, QueueError> {
        let paused = self.paused().await?;
        let known = match domain {
            Some(domain) => paused.domains.contains_key(domain),
            None => paused.everything.is_some(),
        };
        if !known {
            return Ok(false);
        }
        let mut batch = Batch::new();
        batch.delete(keys::paused(SHARD, domain));
        self.commit_pause(batch, |paused| match domain {
            Some(domain) => drop(paused.domains.remove(domain)),
            None => paused.everything = None,
        })
        .await?;
        Ok(true)
    }

    /// What is paused; the same `Arc` as long as nothing changes.
    ///
    /// # Errors
    /// The engine cannot read.
    pub async fn paused(&self) -> Result<Arc<Paused>, QueueError> {
        if let Some(paused) = &*self.inner.paused.lock() {
            return Ok(Arc::clone(paused));
        }
        let inner = Arc::clone(&self.inner);
        let read = self.inner.runtime.blocking(move || inner.read_paused());
        let read = Arc::new(read.await?);
        let mut paused = self.inner.paused.lock();
        Ok(Arc::clone(paused.get_or_insert(read)))
    }

    async fn commit_pause(
        &self,
        batch: Batch,
        change: impl FnOnce(&mut Paused),
    ) -> Result<(), QueueError> {
        self.inner.engine.submit(batch)?.done().await;
        let before = self.paused().await?;
        let mut paused = self.inner.paused.lock();
        // Somebody may have changed it between the two.
        let mut now = Paused::clone(paused.as_ref().unwrap_or(&before));
        change(&mut now);
        *paused = Some(Arc::new(now));
        drop(paused);
        self.inner.news.wake();
        Ok(())
    }
}

impl Inner {
    fn read_paused(&self) -> Result<Paused, QueueError> {
        let (start, end) = keys::range(SHARD, keys::PAUSED);
        let snapshot = self.engine.snapshot(SHARD);
        let mut paused = Paused::default();
        let limit = PAUSED_MAX + 1;
        for (key, stored) in snapshot.scan(&start, &end, Order::Ascending, limit)? {
            match parse(&key, &stored.value) {
                Ok((Some(domain), since_ms)) => drop(paused.domains.insert(domain, since_ms)),
                Ok((None, since_ms)) => paused.everything = Some(since_ms),
                Err(error) => tracing::error!(?key, %error, "what is paused cannot be read"),
            }
        }
        Ok(paused)
    }
}

fn encode(since_ms: u64) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.u8(keys::VERSION).varint(since_ms);
    writer.finish()
}

/// What is paused by this pair, and since when.
pub(crate) fn parse(key: &[u8], record: &[u8]) -> Result<(Option<Domain>, u64), DecodeError> {
    let name = key.get(4..).ok_or(DecodeError::Truncated)?;
    let domain = match core::str::from_utf8(name).map_err(|_| DecodeError::OutOfRange)? {
        "" => None,
        name => Some(Domain::parse_or_literal(name).map_err(|_| DecodeError::OutOfRange)?),
    };
    let mut reader = Reader::new(record);
    match reader.u8()? {
        keys::VERSION => {}
        other => return Err(DecodeError::Version(other)),
    }
    let since_ms = reader.varint()?;
    reader.finish()?;
    Ok((domain, since_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let domain = Domain::parse("b.test").expect("a domain");
        let key = keys::paused(SHARD, Some(&domain));
        assert_eq!(key, b"Q\0\0zb.test");
        assert_eq!(encode(300), b"\x01\xac\x02");
        assert_eq!(parse(&key, &encode(300)), Ok((Some(domain), 300)));
        let everything = keys::paused(SHARD, None);
        assert_eq!(parse(&everything, &encode(5)), Ok((None, 5)));
        assert!(parse(&everything, b"\x02\x05").is_err() && parse(&everything, b"\x01").is_err());
        assert!(parse(b"Q\0\0z\xff", &encode(5)).is_err());
    }
}
