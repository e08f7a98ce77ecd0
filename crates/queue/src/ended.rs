//! How recipients ended, for whoever asks later: kept when the message is gone.
//!
//! | key | value |
//! |---|---|
//! | `Q` shard `e` id, 8 bytes; time, Unix milliseconds, 8 bytes; first place, 4 bytes | version byte 1; varint count, then each: recipient, text; byte: 1 delivered, 2 given up; reason, text |
//!
//! Written by the commit that ends them, so that it costs no commit of its own.
//! Nothing depends on it: a record that cannot be read is left out.

use std::time::Duration;

use engine::expire::{Range, expire};
use engine::{Batch, Order, ReadError, ShardId, keys as spaces};
use envelope::Envelope;
use queue_model::{Event, QueueId};
use wire::codec::{DecodeError, Reader, Writer};

use crate::keys;
use crate::lease::Settlement;
use crate::limits::{ENDED_NAMED_MAX, ENDED_REASON_BYTES_MAX, ENDED_RECORDS_MAX, PAGE};
use crate::store::Queue;

const DELIVERED: u8 = 1;
const FAILED: u8 = 2;

/// How a recipient ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Its address.
    pub recipient: String,
    /// It was delivered; else it was given up.
    pub delivered: bool,
    /// What was said.
    pub reason: String,
}

/// Adds what ends with these results to the batch that carries them.
pub(crate) fn stage(
    batch: &mut Batch,
    (shard, id): (ShardId, QueueId),
    envelope: &Envelope,
    results: &[Settlement],
    at_ms: u64,
) {
    let ends = |result: &&Settlement| matches!(result.event, Event::Deliver | Event::GiveUp);
    let ended: Vec<&Settlement> = results.iter().filter(ends).take(ENDED_NAMED_MAX).collect();
    let Some(first) = ended.first() else {
        return;
    };
    let mut writer = Writer::new();
    writer.u8(keys::VERSION).varint(ended.len() as u64);
    for result in &ended {
        let recipient = envelope.recipients.get(result.place);
        let address = recipient.map(|recipient| recipient.address.to_string());
        let reason = result.reason.as_deref().unwrap_or_default();
        let how = match result.event {
            Event::Deliver => DELIVERED,
            _ => FAILED,
        };
        writer.text(&address.unwrap_or_default()).u8(how);
        writer.text(&reason[..reason.floor_char_boundary(ENDED_REASON_BYTES_MAX)]);
    }
    let place = u32::try_from(first.place).unwrap_or(u32::MAX);
    batch.put(key(shard, id, at_ms, place), writer.finish());
}

impl Queue {
    /// How recipients of a message ended, as far as that is still kept; in order of time.
    ///
    /// # Errors
    /// The engine cannot read.
    pub async fn ended(&self, id: QueueId) -> Result<Vec<Ended>, ReadError> {
        let engine = self.inner.engine.clone();
        let read = move || {
            let mut found = Vec::new();
            for shard in (0..engine.shards()).map(ShardId) {
                let start = of_id(shard, id);
                let end = spaces::end_of(&start);
                let page = engine
                    .snapshot(shard)
                    .scan(&start, &end, Order::Ascending, PAGE)?;
                for (key, stored) in page {
                    found.extend(decode(&key, &stored.value).unwrap_or_default());
                }
            }
            found.sort_by_key(|ended| ended.at_ms);
            Ok(found)
        };
        self.inner.runtime.blocking(read).await
    }

    /// Removes what is kept of messages that came longer ago than `keep`, and the
    /// oldest of what is too many; how many that were.
    ///
    /// # Errors
    /// The engine cannot read or does not take it.
    pub async fn expire_ended(&self, keep: Duration) -> Result<usize, crate::QueueError> {
        let engine = self.inner.engine.clone();
        let keep_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        let old_ms = self.inner.runtime.now().unix_ms.saturating_sub(keep_ms);
        let old = QueueId::from_parts(old_ms, 0);
        let work = move || {
            let ranges = (0..engine.shards()).map(|shard| {
                let (start, end) = keys::range(ShardId(shard), keys::ENDED);
                Range {
                    start,
                    end,
                    old: of_id(ShardId(shard), old),
                }
            });
            expire(&*engine, &ranges.collect::<Vec<_>>(), ENDED_RECORDS_MAX)
        };
        Ok(self.inner.runtime.blocking(work).await?)
    }
}

fn of_id(shard: ShardId, id: QueueId) -> Vec<u8> {
    let mut key = keys::space(shard, keys::ENDED);
    key.extend_from_slice(&id.0.to_be_bytes());
    key
}

fn key(shard: ShardId, id: QueueId, at_ms: u64, place: u32) -> Vec<u8> {
    let mut key = of_id(shard, id);
    key.extend_from_slice(&at_ms.to_be_bytes());
    key.extend_from_slice(&place.to_be_bytes());
    key
}

/// What a pair says.
///
/// # Errors
/// It is none.
pub(crate) fn decode(key: &[u8], record: &[u8]) -> Result<Vec<Ended>, DecodeError> {
    let mut reader = Reader::new(key);
    reader.raw(12)?;
    let at_ms = reader.u64_be()?;
    reader.raw(4)?;
    reader.finish()?;
    let mut reader = Reader::new(record);
    match reader.u8()? {
        keys::VERSION => {}
        other => return Err(DecodeError::Version(other)),
    }
    let count = reader.varint()?;
    let mut ended = Vec::new();
    for _ in 0..count.min(ENDED_NAMED_MAX as u64) {
        let recipient = reader.text()?.to_owned();
        let delivered = match reader.u8()? {
            DELIVERED => true,
            FAILED => false,
            other => return Err(DecodeError::Tag(other)),
        };
        ended.push(Ended {
            at_ms,
            recipient,
            delivered,
            reason: reader.text()?.to_owned(),
        });
    }
    reader.finish()?;
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use envelope::{Address, Recipient, ReversePath};

    #[test]
    fn golden_bytes() {
        let mut envelope = Envelope::new(ReversePath::Null);
        for name in ["a@b.test", "c@d.test", "e@f.test"] {
            let address = Address::parse(name).expect("an address");
            envelope.recipients.push(Recipient::new(address));
        }
        let result = |place, event, reason: &str| Settlement {
            place,
            event,
            counts: true,
            tells_delay: false,
            reason: Some(reason.to_owned()),
        };
        let results = [
            result(0, Event::PutOff { until_ms: 9 }, "later"),
            result(1, Event::Deliver, "ok"),
            result(2, Event::GiveUp, "no"),
        ];
        let mut batch = Batch::new();
        stage(&mut batch, (ShardId(1), QueueId(5)), &envelope, &results, 7);
        let key = key(ShardId(1), QueueId(5), 7, 1);
        assert_eq!(
            key,
            b"Q\0\x01e\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x07\0\0\0\x01"
        );
        let record = b"\x01\x02\x08c@d.test\x01\x02ok\x08e@f.test\x02\x02no";
        let engine = engine::MemoryEngine::new(2);
        engine::Engine::submit(&engine, batch)
            .expect("taken")
            .done_blocking();
        let snapshot = engine::Engine::snapshot(&engine, ShardId(1));
        let stored = snapshot.get(&key).expect("readable").expect("there");
        assert_eq!(&stored.value[..], record);
        let ended = decode(&key, record).expect("a record");
        let told: Vec<_> = ended
            .iter()
            .map(|e| (e.recipient.as_str(), e.delivered))
            .collect();
        assert_eq!(told, [("c@d.test", true), ("e@f.test", false)]);
        for end in 0..record.len() {
            assert!(decode(&key, &record[..end]).is_err());
        }
        // What only waits is no end.
        let mut batch = Batch::new();
        stage(
            &mut batch,
            (ShardId(1), QueueId(6)),
            &envelope,
            &results[..1],
            7,
        );
        assert!(batch.is_empty());
    }
}
