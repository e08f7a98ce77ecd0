//! What was refused, and why: found again by the id that the refusal quoted, or by
//! an address, a name, a word of the reply.
//!
//! | key | value |
//! |---|---|
//! | `S` `r` session's id, 8 bytes; a running number, 4 bytes | version byte 1; time, Unix milliseconds, 8 bytes; client, HELO, sender, what, whom, reply, findings: texts with their lengths |
//!
//! All numbers are high byte first. A session's id grows with time, so the records
//! lie in the order of events: the newest are found by walking backwards, the
//! oldest are removed from the front.
//!
//! A refusal must not cost a write each: they are gathered in memory and written
//! together by [`Trace::flush`]. Of one session only so many are kept, and of all
//! sessions between two flushes; what is left out is counted in the log. A crash
//! loses the last second of them.
//!
//! Not here: mail that was accepted (the log, and the queue's own history).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use engine::{Batch, Order, ReadError, SharedEngine, keys};
use parking_lot::Mutex;
use runtime::{Runtime, Timestamp};
use wire::codec::{DecodeError, Reader, Writer};

use crate::limits::{
    TRACE_FIELD_BYTES_MAX, TRACE_PAGE, TRACE_RECORDS_MAX, TRACE_SCANNED_MAX, TRACE_WAITING_MAX,
};
use crate::records;

const REFUSED: u8 = b'r';
const VERSION: u8 = 1;

/// How keys of refusals begin, for whoever checks the system's space.
pub const TRACE_PREFIX: [u8; 2] = [keys::Space::System as u8, REFUSED];

/// One refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The session's id, which the client was told.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// The client's address.
    pub client: String,
    /// What it said it is.
    pub helo: String,
    /// MAIL FROM, as far as it came.
    pub sender: String,
    /// What was refused: `connection`, `hello`, `sender`, `recipient`, `data`; or
    /// `resend`, a message that had been accepted before, under the id in `whom`.
    pub what: String,
    /// Whom or what it named.
    pub whom: String,
    /// What it was told.
    pub reply: String,
    /// What the checks had found.
    pub found: String,
}

/// The refusals of a store. One for it, shared by `Arc`.
pub struct Trace {
    engine: SharedEngine,
    runtime: Runtime,
    waiting: Mutex<Waiting>,
    number: AtomicU32,
}

#[derive(Default)]
struct Waiting {
    refused: Vec<Refused>,
    left_out: u64,
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trace").finish_non_exhaustive()
    }
}

impl Trace {
    /// The trace in a store.
    #[must_use]
    pub fn new(engine: SharedEngine, runtime: Runtime) -> Self {
        // Numbers of this run differ from those of the one before by chance; within
        // one session they must differ at all.
        let number = AtomicU32::new(0);
        Self {
            engine,
            runtime,
            waiting: Mutex::default(),
            number,
        }
    }

    /// Keeps a refusal, soon in the store.
    pub fn note(&self, refused: Refused) {
        let mut waiting = self.waiting.lock();
        if waiting.refused.len() < TRACE_WAITING_MAX {
            waiting.refused.push(refused);
        } else {
            waiting.left_out += 1;
        }
    }

    /// Writes what waits, in one commit; what the store refuses is lost, and said.
    pub async fn flush(&self) {
        let Waiting { refused, left_out } = std::mem::take(&mut *self.waiting.lock());
        if left_out > 0 {
            tracing::warn!(left_out, "refusals are not traced: there are too many");
        }
        if refused.is_empty() {
            return;
        }
        let mut batch = Batch::new();
        for refused in &refused {
            let number = self.number.fetch_add(1, Ordering::Relaxed);
            batch.put(key(refused.id, number), encode(refused));
        }
        match self.engine.submit(batch) {
            Ok(ticket) => {
                ticket.done().await;
            }
            Err(error) => tracing::warn!(%error, "refusals are not traced"),
        }
    }

    /// What was refused under this id, or has this text in it; the newest first, at
    /// most `limit`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn find(&self, query: &str, limit: usize) -> Result<Vec<Refused>, ReadError> {
        self.flush().await;
        let wanted = query.trim().to_lowercase();
        let by_id = (wanted.len() == 16)
            .then(|| u64::from_str_radix(&wanted, 16).ok())
            .flatten();
        let (start, end) = match by_id {
            Some(id) => (id_key(id), keys::end_of(&id_key(id))),
            None => (TRACE_PREFIX.to_vec(), keys::end_of(&TRACE_PREFIX)),
        };
        let engine = Arc::clone(&self.engine);
        let read = move || {
            let mut found = Vec::new();
            let Some(shard) = keys::shard_of(&start, engine.shards()) else {
                return Ok(found);
            };
            let snapshot = engine.snapshot(shard);
            let (mut end, mut scanned) = (end, 0);
            while scanned < TRACE_SCANNED_MAX && found.len() < limit {
                let page = snapshot.scan(&start, &end, Order::Descending, TRACE_PAGE)?;
                let Some((last, _)) = page.last() else { break };
                end.clone_from(last);
                scanned += page.len();
                let records = page
                    .iter()
                    .filter_map(|(key, stored)| decode(key, &stored.value).ok());
                found.extend(records.filter(|one| by_id.is_some() || one.names(&wanted)));
            }
            found.truncate(limit);
            Ok(found)
        };
        self.runtime.blocking(read).await
    }

    /// Removes what is older than `keep`, and the oldest of what is too many; how
    /// many that were.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn expire(&self, keep: Duration) -> Result<usize, ReadError> {
        let until_ms = self.runtime.now().unix_ms;
        let until_ms = until_ms.saturating_sub(u64::try_from(keep.as_millis()).unwrap_or(u64::MAX));
        let old = id_key(crate::session_id(Timestamp { unix_ms: until_ms }, 0));
        let engine = Arc::clone(&self.engine);
        let read = move || {
            let mut gone: Vec<Vec<u8>> = Vec::new();
            let mut kept = 0;
            let mut end = keys::end_of(&TRACE_PREFIX);
            let Some(shard) = keys::shard_of(&TRACE_PREFIX, engine.shards()) else {
                return Ok::<_, ReadError>(gone);
            };
            let snapshot = engine.snapshot(shard);
            loop {
                let page = snapshot.scan(&TRACE_PREFIX, &end, Order::Descending, TRACE_PAGE)?;
                let Some((last, _)) = page.last() else {
                    return Ok(gone);
                };
                end.clone_from(last);
                for (key, _) in page {
                    if key < old || kept >= TRACE_RECORDS_MAX {
                        gone.push(key);
                    } else {
                        kept += 1;
                    }
                }
            }
        };
        let gone = self.runtime.blocking(read).await?;
        if let Err(error) = records::remove(&self.engine, &gone, TRACE_PAGE).await {
            tracing::warn!(%error, "old refusals stay for now");
        }
        Ok(gone.len())
    }
}

impl Refused {
    fn names(&self, wanted: &str) -> bool {
        let texts = [
            &self.client,
            &self.helo,
            &self.sender,
            &self.whom,
            &self.reply,
            &self.found,
        ];
        texts
            .iter()
            .any(|text| text.to_lowercase().contains(wanted))
    }
}

fn id_key(id: u64) -> Vec<u8> {
    let mut key = TRACE_PREFIX.to_vec();
    key.extend_from_slice(&id.to_be_bytes());
    key
}

fn key(id: u64, number: u32) -> Vec<u8> {
    let mut key = id_key(id);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

fn encode(refused: &Refused) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.u8(VERSION).u64_be(refused.at.unix_ms);
    let texts = [
        &refused.client,
        &refused.helo,
        &refused.sender,
        &refused.what,
        &refused.whom,
        &refused.reply,
        &refused.found,
    ];
    for text in texts {
        writer.text(&text[..text.floor_char_boundary(TRACE_FIELD_BYTES_MAX)]);
    }
    writer.finish()
}

fn decode(key: &[u8], record: &[u8]) -> Result<Refused, DecodeError> {
    let mut reader = Reader::new(key);
    reader.raw(TRACE_PREFIX.len())?;
    let id = reader.u64_be()?;
    reader.raw(4)?;
    reader.finish()?;
    let mut reader = Reader::new(record);
    match reader.u8()? {
        VERSION => {}
        other => return Err(DecodeError::Version(other)),
    }
    let at = Timestamp {
        unix_ms: reader.u64_be()?,
    };
    let mut text = || reader.text().map(str::to_owned);
    let refused = Refused {
        id,
        at,
        client: text()?,
        helo: text()?,
        sender: text()?,
        what: text()?,
        whom: text()?,
        reply: text()?,
        found: text()?,
    };
    reader.finish()?;
    Ok(refused)
}

/// What is wrong with a refusal's record, if anything is.
#[must_use]
pub fn check_refused(key: &[u8], value: &[u8]) -> Option<String> {
    decode(key, value).err().map(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::MemoryEngine;

    fn refused(runtime: &Runtime, chance: u64, whom: &str) -> Refused {
        Refused {
            id: crate::session_id(runtime.now(), chance),
            at: runtime.now(),
            client: "203.0.113.9".into(),
            helo: "far.test".into(),
            sender: "a@far.test".into(),
            what: "recipient".into(),
            whom: whom.into(),
            reply: "550 5.1.1 no such user here".into(),
            found: String::new(),
        }
    }

    fn trace() -> (Trace, Runtime) {
        let runtime = Runtime::for_tests();
        let engine = Arc::new(MemoryEngine::new(3));
        (Trace::new(engine, runtime.clone()), runtime)
    }

    async fn whom(trace: &Trace, query: &str) -> Vec<String> {
        let found = trace.find(query, 100).await.expect("readable");
        found.into_iter().map(|refused| refused.whom).collect()
    }

    #[tokio::test]
    async fn a_refusal_is_found_by_its_id_and_by_what_it_names() {
        let (trace, runtime) = trace();
        let first = refused(&runtime, 7, "Bob@demo.test");
        let id = format!("{:016x}", first.id);
        trace.note(first.clone());
        trace.note(Refused {
            whom: "second@demo.test".into(),
            ..first.clone()
        });
        runtime.advance(Duration::from_secs(1));
        trace.note(refused(&runtime, 3, "carol@other.test"));
        assert_eq!(
            whom(&trace, &id).await,
            ["second@demo.test", "Bob@demo.test"]
        );
        assert_eq!(whom(&trace, &id.to_uppercase()).await.len(), 2);
        assert_eq!(whom(&trace, "0123456789abcdef").await, [""; 0]);
        assert_eq!(whom(&trace, "bob@DEMO.test").await, ["Bob@demo.test"]);
        let all = ["carol@other.test", "second@demo.test", "Bob@demo.test"];
        assert_eq!(whom(&trace, "203.0.113.9").await, all, "the newest first");
        let found = trace.find("bob", 1).await.expect("readable");
        assert_eq!(found, [first]);
    }

    #[tokio::test]
    async fn what_is_old_goes_and_a_flood_is_bounded() {
        let (trace, runtime) = trace();
        trace.note(refused(&runtime, 1, "old"));
        trace.flush().await;
        runtime.advance(Duration::from_secs(3600));
        for n in 0..TRACE_WAITING_MAX + 10 {
            trace.note(refused(&runtime, n as u64, "new"));
        }
        assert_eq!(trace.waiting.lock().left_out, 10);
        assert_eq!(whom(&trace, "old").await, ["old"]);
        let keep = Duration::from_secs(1800);
        assert_eq!(trace.expire(keep).await.expect("readable"), 1);
        assert_eq!(trace.expire(keep).await.expect("readable"), 0);
        assert_eq!(whom(&trace, "old").await, [""; 0]);
        assert_eq!(whom(&trace, "new").await.len(), 100);
    }

    #[test]
    fn golden_bytes() {
        let one = Refused {
            id: 0x0102,
            at: Timestamp { unix_ms: 3 },
            client: "c".into(),
            helo: "h".into(),
            sender: String::new(),
            what: "w".into(),
            whom: "x".into(),
            reply: "r".into(),
            found: "f".into(),
        };
        let key = key(one.id, 9);
        assert_eq!(key, b"Sr\0\0\0\0\0\0\x01\x02\0\0\0\x09");
        let record = encode(&one);
        assert_eq!(
            record,
            b"\x01\0\0\0\0\0\0\0\x03\x01c\x01h\0\x01w\x01x\x01r\x01f"
        );
        assert_eq!(decode(&key, &record), Ok(one));
        for end in 0..record.len() {
            assert!(check_refused(&key, &record[..end]).is_some());
        }
        assert!(check_refused(&key[..13], &record).is_some());
        let long = Refused {
            reply: "\u{e9}".repeat(TRACE_FIELD_BYTES_MAX),
            ..decode(&key, &record).expect("a record")
        };
        assert!(encode(&long).len() < 2 * TRACE_FIELD_BYTES_MAX);
    }
}
