//! What was accepted, for whoever asks later: by the id that the 250 quoted, by
//! the session's, or by a word such as an address.
//!
//! | key | value |
//! |---|---|
//! | `I` shard `a` id, 8 bytes | version byte 1; time, Unix milliseconds, 8 bytes; session, door, client, HELO, TLS, user, sender, notes: texts with their lengths; size, recipients: varints; varint count, then each recipient that is named: its address, where it went: texts; the queue's id or 0, 8 bytes |
//!
//! All fixed numbers are high byte first. The record is part of the commit that the
//! 250 waits for, in the shard that has the body: it costs no commit of its own, and
//! is there exactly when the message is. Nothing depends on it.
//!
//! Not here: refusals (`policy::trace`), and how the queue ended (`queue::Ended`).

use std::time::Duration;

use engine::expire::{ExpireError, Range};
use engine::{Batch, Order, ReadError, ShardId, SharedEngine, keys};
use envelope::{Recipient, Reply};
use queue_model::QueueId;
use runtime::Runtime;
use wire::codec::{DecodeError, Reader, Writer};

use crate::limits::{
    TRACED_FIELD_BYTES_MAX, TRACED_NAMED_MAX, TRACED_PAGE, TRACED_RECORDS_MAX, TRACED_SCANNED_MAX,
};
use crate::plan::{LocalCopy, Part};

const ACCEPTED: u8 = b'a';
const VERSION: u8 = 1;

/// One accepted message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accepted {
    /// Its name in the log and in the reply.
    pub id: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The session's id.
    pub session: String,
    /// `mx`, `submission` or `lmtp`.
    pub door: String,
    /// The client's address.
    pub client: String,
    /// What it said it is.
    pub helo: String,
    /// Version and cipher, if there was TLS.
    pub tls: String,
    /// Who was logged in, if anybody.
    pub user: String,
    /// The reverse path, as it was rewritten if it was.
    pub sender: String,
    /// What checks found and rules said.
    pub notes: String,
    /// Octets.
    pub size: u64,
    /// All recipients, those that rules added among them.
    pub recipients: u64,
    /// Where the first of them went.
    pub went: Vec<Went>,
}

/// Where one recipient's copy went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Went {
    /// The recipient, as the envelope has it.
    pub recipient: String,
    /// `mailbox of …`, `queue`, or the refusal.
    pub to: String,
    /// Its name in the queue, where it waits or waited there.
    pub queue: Option<QueueId>,
}

impl Accepted {
    /// Adds the record to the commit that makes the message durable.
    pub(crate) fn stage(&self, batch: &mut Batch, shard: ShardId, went: &[Went]) {
        let all: Vec<&Went> = went.iter().chain(&self.went).collect();
        batch.put(key(shard, self.id), self.encode(&all));
    }

    fn encode(&self, went: &[&Went]) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(VERSION).u64_be(self.at_ms);
        let texts = [
            &self.session,
            &self.door,
            &self.client,
            &self.helo,
            &self.tls,
            &self.user,
            &self.sender,
            &self.notes,
        ];
        for text in texts {
            writer.text(cut(text));
        }
        writer.varint(self.size).varint(self.recipients);
        let named = went.len().min(TRACED_NAMED_MAX);
        writer.varint(named as u64);
        for went in went.iter().take(named) {
            writer.text(cut(&went.recipient)).text(cut(&went.to));
            writer.u64_be(went.queue.map_or(0, |id| id.0));
        }
        writer.finish()
    }

    fn names(&self, wanted: &str) -> bool {
        let texts = [
            &self.session,
            &self.client,
            &self.helo,
            &self.user,
            &self.sender,
            &self.notes,
        ];
        let went = self.went.iter();
        let went = went.flat_map(|went| [&went.recipient, &went.to]);
        texts
            .into_iter()
            .chain(went)
            .any(|text| text.to_lowercase().contains(wanted))
    }

    fn waits_as(&self, id: QueueId) -> bool {
        self.went.iter().any(|went| went.queue == Some(id))
    }
}

/// What was accepted under this id (of the message, of one of its queue entries, of
/// its session), or has this text in it; the newest first, at most `limit`.
///
/// # Errors
/// The store cannot be read.
pub async fn find(
    engine: SharedEngine,
    runtime: &Runtime,
    query: &str,
    limit: usize,
) -> Result<Vec<Accepted>, ReadError> {
    let wanted = query.trim().to_lowercase();
    let id: Option<QueueId> = wanted.parse().ok();
    let read = move || {
        if let Some(id) = id {
            for shard in (0..engine.shards()).map(ShardId) {
                let key = key(shard, id.0);
                if let Some(stored) = engine.snapshot(shard).get(&key)? {
                    return Ok(decode(&key, &stored.value).into_iter().collect());
                }
            }
        }
        let fits = |one: &Accepted| match id {
            Some(id) => one.waits_as(id),
            None => one.names(&wanted),
        };
        let mut found = Vec::new();
        for shard in (0..engine.shards()).map(ShardId) {
            let snapshot = engine.snapshot(shard);
            let (start, mut end) = range(shard);
            let (mut scanned, before) = (0, found.len());
            while scanned < TRACED_SCANNED_MAX && found.len() - before < limit {
                let page = snapshot.scan(&start, &end, Order::Descending, TRACED_PAGE)?;
                let Some((last, _)) = page.last() else { break };
                end.clone_from(last);
                scanned += page.len();
                let records = page.iter();
                let records = records.filter_map(|(key, stored)| decode(key, &stored.value).ok());
                found.extend(records.filter(fits));
            }
        }
        found.sort_by_key(|one| std::cmp::Reverse(one.id));
        found.truncate(limit);
        Ok(found)
    };
    runtime.blocking(read).await
}

/// Removes what was accepted longer ago than `keep`, and the oldest of what is too
/// many; how many that were.
///
/// # Errors
/// The store cannot be read or does not take it.
pub async fn expire(
    engine: SharedEngine,
    runtime: &Runtime,
    keep: Duration,
) -> Result<usize, ExpireError> {
    let keep_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
    let old = QueueId::from_parts(runtime.now().unix_ms.saturating_sub(keep_ms), 0);
    let work = move || {
        let ranges = (0..engine.shards()).map(ShardId).map(|shard| {
            let (start, end) = range(shard);
            let old = key(shard, old.0);
            Range { start, end, old }
        });
        engine::expire::expire(&*engine, &ranges.collect::<Vec<_>>(), TRACED_RECORDS_MAX)
    };
    runtime.blocking(work).await
}

/// The copies of a part that are in mailboxes with its commit.
pub(crate) fn delivered(part: &Part, failed: &[usize]) -> Vec<Went> {
    let copies = part.locals.iter().enumerate();
    let copies = copies.filter(|(index, _)| !failed.contains(index));
    let went = copies.map(|(_, copy)| Went {
        recipient: copy.recipient.address.to_string(),
        to: if copy.is_senders_own() {
            format!("Sent of {}", copy.address)
        } else {
            format!("mailbox of {}", copy.address)
        },
        queue: None,
    });
    went.take(TRACED_NAMED_MAX).collect()
}

/// Recipients that wait in the queue.
pub(crate) fn queued(recipients: &[Recipient], id: QueueId) -> impl Iterator<Item = Went> {
    let went = recipients.iter().map(move |recipient| Went {
        recipient: recipient.address.to_string(),
        to: "queue".to_owned(),
        queue: Some(id),
    });
    went.take(TRACED_NAMED_MAX)
}

/// A recipient that was refused beside others.
pub(crate) fn refused(recipient: &Recipient, reply: &Reply) -> Went {
    Went {
        recipient: recipient.address.to_string(),
        to: reply.to_line(),
        queue: None,
    }
}

/// The sender's own copy, which could not be filed.
pub(crate) fn not_kept(copy: &LocalCopy, reason: &str) -> Went {
    Went {
        recipient: copy.address.to_string(),
        to: format!("not in Sent: {reason}"),
        queue: None,
    }
}

/// What is wrong with a record, if anything is.
pub(crate) fn check(key: &[u8], record: &[u8]) -> Option<DecodeError> {
    decode(key, record).err()
}

fn range(shard: ShardId) -> (Vec<u8>, Vec<u8>) {
    let mut start = keys::intake(shard);
    start.push(ACCEPTED);
    let end = keys::end_of(&start);
    (start, end)
}

fn key(shard: ShardId, id: u64) -> Vec<u8> {
    let mut key = range(shard).0;
    key.extend_from_slice(&id.to_be_bytes());
    key
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TRACED_FIELD_BYTES_MAX)]
}

fn decode(key: &[u8], record: &[u8]) -> Result<Accepted, DecodeError> {
    let mut reader = Reader::new(key);
    reader.raw(4)?;
    let id = reader.u64_be()?;
    reader.finish()?;
    let mut reader = Reader::new(record);
    match reader.u8()? {
        VERSION => {}
        other => return Err(DecodeError::Version(other)),
    }
    let at_ms = reader.u64_be()?;
    let mut text = || reader.text().map(str::to_owned);
    let mut accepted = Accepted {
        id,
        at_ms,
        session: text()?,
        door: text()?,
        client: text()?,
        helo: text()?,
        tls: text()?,
        user: text()?,
        sender: text()?,
        notes: text()?,
        ..Accepted::default()
    };
    accepted.size = reader.varint()?;
    accepted.recipients = reader.varint()?;
    let named = reader.varint()?;
    if named > TRACED_NAMED_MAX as u64 {
        return Err(DecodeError::OutOfRange);
    }
    for _ in 0..named {
        accepted.went.push(Went {
            recipient: reader.text()?.to_owned(),
            to: reader.text()?.to_owned(),
            queue: Some(reader.u64_be()?).filter(|id| *id != 0).map(QueueId),
        });
    }
    reader.finish()?;
    Ok(accepted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let text = |text: &str| text.to_owned();
        let one = Accepted {
            id: 0x0102,
            at_ms: 3,
            session: text("s"),
            door: text("mx"),
            client: text("c"),
            helo: text("h"),
            tls: String::new(),
            user: text("u"),
            sender: text("f"),
            notes: text("n"),
            size: 200,
            recipients: 1,
            went: vec![Went {
                recipient: text("r"),
                to: text("queue"),
                queue: Some(QueueId(5)),
            }],
        };
        let key = key(ShardId(1), one.id);
        assert_eq!(key, b"I\0\x01a\0\0\0\0\0\0\x01\x02");
        let record = one.encode(&[&one.went[0]]);
        assert_eq!(
            record,
            b"\x01\0\0\0\0\0\0\0\x03\x01s\x02mx\x01c\x01h\0\x01u\x01f\x01n\xc8\x01\x01\x01\x01r\x05queue\0\0\0\0\0\0\0\x05"
        );
        assert_eq!(decode(&key, &record), Ok(one.clone()));
        for end in 0..record.len() {
            assert!(check(&key, &record[..end]).is_some());
        }
        assert!(check(&key[..11], &record).is_some());
        // A message for thousands stays a small record.
        let many = vec![&one.went[0]; 5000];
        assert!(one.encode(&many).len() < 4096);
        let long = Accepted {
            notes: "\u{e9}".repeat(10_000),
            ..one
        };
        assert!(long.encode(&[]).len() < 2 * TRACED_FIELD_BYTES_MAX);
    }
}
