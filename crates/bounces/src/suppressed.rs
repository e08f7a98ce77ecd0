//! Addresses that nothing is sent to: what an operator has put there, and what refused
//! for good or complained.
//!
//! | key | value |
//! |---|---|
//! | `S` `n` the folded address, text | version byte 1; from, until (0 never ends), Unix milliseconds, 8 bytes each; 1 by an operator, 2 by refusals, 3 by a complaint; refusals, varint; reason, text |
//!
//! All fixed numbers are high byte first. An entry by refusals counts from the third one
//! on, or at once where the server's code leaves no doubt. What is over goes with the
//! hourly round.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use engine::{Batch, Order, ReadError, SharedEngine, SubmitError, keys};
use envelope::Address;
use runtime::Runtime;
use thiserror::Error;
use tokio::sync::Mutex;
use wire::codec::{DecodeError, Reader, Writer};

use crate::limits::{
    REASON_CHARS_MAX, REFUSALS_COUNT, REFUSED_FOR, SUPPRESSED_MAX, SUPPRESSED_PAGE,
};

const SUPPRESSED: u8 = b'n';
const VERSION: u8 = 1;

/// How keys of suppressed addresses begin.
pub const SUPPRESSED_PREFIX: [u8; 2] = [keys::Space::System as u8, SUPPRESSED];

/// Who put an address there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A person here.
    Operator,
    /// Its server refused it for good.
    Refusals,
    /// Its owner complained.
    Complaint,
}

impl By {
    /// For people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Refusals => "refusals",
            Self::Complaint => "complaint",
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Operator => 1,
            Self::Refusals => 2,
            Self::Complaint => 3,
        }
    }
}

/// Which entries count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// None.
    Nothing,
    /// Those of operators; no others are made.
    Operators,
    /// All, and refusals make some.
    All,
}

/// How sure a refusal is about the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// Its code says that there is no such mailbox.
    Clear,
    /// Its words say so.
    Likely,
}

/// An address that nothing is sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The folded address.
    pub address: String,
    /// Since when, Unix milliseconds.
    pub from_ms: u64,
    /// Until when; none if it does not end by itself.
    pub until_ms: Option<u64>,
    /// Who put it there.
    pub by: By,
    /// How often it was refused.
    pub refusals: u64,
    /// Why, for people.
    pub reason: String,
}

impl Entry {
    /// Whether it holds: it has not ended, and there were refusals enough.
    #[must_use]
    pub fn holds(&self, now_ms: u64) -> bool {
        !self.is_over(now_ms) && (self.by != By::Refusals || self.refusals >= REFUSALS_COUNT)
    }

    fn is_over(&self, now_ms: u64) -> bool {
        self.until_ms.is_some_and(|until_ms| until_ms <= now_ms)
    }

    fn key(&self) -> Vec<u8> {
        key(&self.address)
    }

    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(VERSION).u64_be(self.from_ms);
        writer.u64_be(self.until_ms.unwrap_or(0));
        writer.u8(self.by.number()).varint(self.refusals);
        writer.text(&self.reason);
        writer.finish()
    }

    fn decode(key: &[u8], value: &[u8]) -> Result<Self, DecodeError> {
        let address = key.get(SUPPRESSED_PREFIX.len()..).unwrap_or_default();
        let address = core::str::from_utf8(address).map_err(|_| DecodeError::Utf8)?;
        if address.is_empty() {
            return Err(DecodeError::Truncated);
        }
        let mut reader = Reader::new(value);
        match reader.u8()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let from_ms = reader.u64_be()?;
        let until_ms = Some(reader.u64_be()?).filter(|until_ms| *until_ms > 0);
        let by = match reader.u8()? {
            1 => By::Operator,
            2 => By::Refusals,
            3 => By::Complaint,
            other => return Err(DecodeError::Tag(other)),
        };
        let refusals = reader.varint()?;
        let reason = reader.text()?.to_owned();
        reader.finish()?;
        Ok(Self {
            address: address.to_owned(),
            from_ms,
            until_ms,
            by,
            refusals,
            reason,
        })
    }
}

/// What is wrong with a record of a suppressed address, if anything is.
#[must_use]
pub fn check_suppressed(key: &[u8], value: &[u8]) -> Option<String> {
    let decoded = Entry::decode(key, value);
    decoded.err().map(|error| error.to_string())
}

/// Why an entry was not written.
#[derive(Debug, Error)]
pub enum SuppressError {
    /// There are as many as there may be.
    #[error("there are {SUPPRESSED_MAX} suppressed addresses already; lift some first")]
    TooMany,
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store does not take it.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

/// The list of a store. Cheap to clone.
#[derive(Clone)]
pub struct Suppressed {
    engine: SharedEngine,
    runtime: Runtime,
    counts: Counts,
    /// Held while a record changes, with how many there are about.
    writing: Arc<Mutex<()>>,
    records: Arc<AtomicUsize>,
}

impl std::fmt::Debug for Suppressed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Suppressed")
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

impl Suppressed {
    /// The list in `engine`, of which `counts` says what holds.
    #[must_use]
    pub fn new(engine: SharedEngine, runtime: Runtime, counts: Counts) -> Self {
        Self {
            engine,
            runtime,
            counts,
            writing: Arc::default(),
            records: Arc::default(),
        }
    }

    /// The entry that keeps mail from this address, if one does. What cannot be read
    /// keeps nothing.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn find(&self, address: &Address) -> Option<Entry> {
        if self.counts == Counts::Nothing {
            return None;
        }
        let now_ms = self.runtime.now().unix_ms;
        match self.show(&address.to_key()).await {
            Ok(entry) => entry.filter(|entry| {
                let counts = self.counts == Counts::All || entry.by == By::Operator;
                counts && entry.holds(now_ms)
            }),
            Err(error) => {
                tracing::error!(%error, "the list of suppressed addresses cannot be read");
                None
            }
        }
    }

    /// The entry of a folded address, whether it holds or not.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn show(&self, address: &str) -> Result<Option<Entry>, ReadError> {
        let (engine, key) = (Arc::clone(&self.engine), key(address));
        let read = move || {
            let Some(shard) = keys::shard_of(&key, engine.shards()) else {
                return Ok(None);
            };
            let stored = engine.snapshot(shard).get(&key)?;
            Ok(stored.and_then(|stored| Entry::decode(&key, &stored.value).ok()))
        };
        self.runtime.blocking(read).await
    }

    /// Puts an address there, in place of what was there of it.
    ///
    /// # Errors
    /// See [`SuppressError`].
    pub async fn add(
        &self,
        address: &Address,
        by: By,
        until_ms: Option<u64>,
        reason: &str,
    ) -> Result<Entry, SuppressError> {
        let entry = Entry {
            address: address.to_key(),
            from_ms: self.runtime.now().unix_ms,
            until_ms,
            by,
            refusals: 0,
            reason: clean(reason),
        };
        let _writing = self.writing.lock().await;
        let known = self.show(&entry.address).await?.is_some();
        self.write(&entry, known).await?;
        Ok(entry)
    }

    /// A server refused the address for good. Noted only where such entries count.
    ///
    /// # Errors
    /// See [`SuppressError`].
    pub async fn refused(
        &self,
        address: &Address,
        certainty: Certainty,
        reason: &str,
    ) -> Result<(), SuppressError> {
        if self.counts != Counts::All {
            return Ok(());
        }
        let now_ms = self.runtime.now().unix_ms;
        let _writing = self.writing.lock().await;
        let known = self.show(&address.to_key()).await?;
        let held = known.as_ref().filter(|entry| !entry.is_over(now_ms));
        if held.is_some_and(|entry| entry.by != By::Refusals) {
            return Ok(());
        }
        let before = held.map_or(0, |entry| entry.refusals);
        let entry = Entry {
            address: address.to_key(),
            from_ms: held.map_or(now_ms, |entry| entry.from_ms),
            until_ms: Some(now_ms.saturating_add(ms(REFUSED_FOR))),
            by: By::Refusals,
            refusals: match certainty {
                Certainty::Clear => before.saturating_add(1).max(REFUSALS_COUNT),
                Certainty::Likely => before.saturating_add(1),
            },
            reason: clean(reason),
        };
        self.write(&entry, known.is_some()).await
    }

    /// Takes an address off the list; what was there of it.
    ///
    /// # Errors
    /// See [`SuppressError`].
    pub async fn lift(&self, address: &Address) -> Result<Option<Entry>, SuppressError> {
        let _writing = self.writing.lock().await;
        let Some(entry) = self.show(&address.to_key()).await? else {
            return Ok(None);
        };
        let mut batch = Batch::new();
        batch.delete(entry.key());
        self.engine.submit(batch)?.done().await;
        Ok(Some(entry))
    }

    /// Entries in the order of their addresses, from `after` on, `max` at most.
    ///
    /// # Errors
    /// The store cannot be read. A record that makes no sense is passed over.
    pub async fn list(&self, after: Option<&str>, max: usize) -> Result<Vec<Entry>, ReadError> {
        let engine = Arc::clone(&self.engine);
        let mut start = key(after.unwrap_or_default());
        if after.is_some() {
            start.push(0);
        }
        let read = move || {
            let end = keys::end_of(&SUPPRESSED_PREFIX);
            let Some(shard) = keys::shard_of(&start, engine.shards()) else {
                return Ok(Vec::new());
            };
            let found = engine
                .snapshot(shard)
                .scan(&start, &end, Order::Ascending, max)?;
            let decoded = found
                .iter()
                .filter_map(|(key, stored)| Entry::decode(key, &stored.value).ok());
            Ok(decoded.collect())
        };
        self.runtime.blocking(read).await
    }

    /// Removes what is over; how many that were.
    ///
    /// # Errors
    /// See [`SuppressError`].
    pub async fn expire(&self) -> Result<usize, SuppressError> {
        let now_ms = self.runtime.now().unix_ms;
        let (mut after, mut removed, mut left) = (None::<String>, 0, 0);
        loop {
            let page = self.list(after.as_deref(), SUPPRESSED_PAGE).await?;
            let Some(last) = page.last() else {
                self.records.store(left, Ordering::Relaxed);
                return Ok(removed);
            };
            after = Some(last.address.clone());
            let mut batch = Batch::new();
            for entry in &page {
                if entry.is_over(now_ms) {
                    batch.delete(entry.key());
                    removed += 1;
                } else {
                    left += 1;
                }
            }
            if !batch.is_empty() {
                self.engine.submit(batch)?.done().await;
            }
        }
    }

    async fn write(&self, entry: &Entry, known: bool) -> Result<(), SuppressError> {
        if !known && self.records.fetch_add(1, Ordering::Relaxed) >= SUPPRESSED_MAX {
            self.records.fetch_sub(1, Ordering::Relaxed);
            return Err(SuppressError::TooMany);
        }
        let mut batch = Batch::new();
        batch.put(entry.key(), entry.encode());
        self.engine.submit(batch)?.done().await;
        Ok(())
    }
}

fn key(address: &str) -> Vec<u8> {
    [&SUPPRESSED_PREFIX[..], address.as_bytes()].concat()
}

fn clean(reason: &str) -> String {
    let visible = reason.chars().filter(|c| !c.is_control());
    visible.take(REASON_CHARS_MAX).collect()
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::MemoryEngine;

    fn address(text: &str) -> Address {
        Address::parse(text).expect("an address")
    }

    fn list(counts: Counts) -> (Suppressed, Runtime) {
        let runtime = Runtime::for_tests();
        let engine = Arc::new(MemoryEngine::new(2));
        (Suppressed::new(engine, runtime.clone(), counts), runtime)
    }

    #[test]
    fn golden_bytes() {
        let entry = Entry {
            address: "a@b.test".into(),
            from_ms: 0x0102,
            until_ms: None,
            by: By::Complaint,
            refusals: 300,
            reason: "no".into(),
        };
        assert_eq!(entry.key(), b"Sna@b.test");
        let golden = b"\x01\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\0\0\x03\xac\x02\x02no";
        assert_eq!(entry.encode(), golden);
        assert_eq!(Entry::decode(&entry.key(), golden), Ok(entry.clone()));
        for end in 0..golden.len() {
            assert!(check_suppressed(&entry.key(), &golden[..end]).is_some());
        }
        assert!(check_suppressed(b"Sn", golden).is_some());
        assert!(check_suppressed(b"Sn\xff", golden).is_some());
    }

    #[tokio::test]
    async fn an_operators_entry_holds_until_its_time_or_until_it_is_lifted() {
        let (list, runtime) = list(Counts::Operators);
        let (ann, bob) = (address("Ann@far.test"), address("bob@far.test"));
        let until = runtime.now().after(Duration::from_secs(60)).unix_ms;
        let added = list.add(&ann, By::Operator, Some(until), "she\r\nasked");
        assert_eq!(added.await.expect("added").reason, "sheasked");
        let added = list.add(&bob, By::Operator, None, "gone");
        added.await.expect("added");
        assert!(list.find(&address("ann@FAR.test")).await.is_some());
        assert!(list.find(&address("eve@far.test")).await.is_none());
        let all = list.list(None, 10).await.expect("readable");
        assert_eq!(all.len(), 2);
        let rest = list.list(Some("ann@far.test"), 10).await;
        assert_eq!(rest.expect("readable")[0].address, "bob@far.test");
        runtime.advance(Duration::from_secs(60));
        assert!(list.find(&ann).await.is_none());
        assert_eq!(list.expire().await.expect("works"), 1);
        assert!(list.lift(&bob).await.expect("works").is_some());
        assert!(list.lift(&bob).await.expect("works").is_none());
        assert!(list.find(&bob).await.is_none());
    }

    #[tokio::test]
    async fn a_clear_refusal_counts_at_once_and_words_the_third_time() {
        let (list, runtime) = list(Counts::All);
        let (ann, bob) = (address("ann@far.test"), address("bob@far.test"));
        let clear = list.refused(&ann, Certainty::Clear, "550 5.1.1 no");
        clear.await.expect("noted");
        assert!(list.find(&ann).await.is_some());
        for holds in [false, false, true] {
            let likely = list.refused(&bob, Certainty::Likely, "550 no such user");
            likely.await.expect("noted");
            assert_eq!(list.find(&bob).await.is_some(), holds);
        }
        runtime.advance(REFUSED_FOR);
        assert!(list.find(&ann).await.is_none());
        // What is over counts for nothing.
        let likely = list.refused(&bob, Certainty::Likely, "550 no such user");
        likely.await.expect("noted");
        assert!(list.find(&bob).await.is_none());
        // An operator's word is not changed by a server's.
        let added = list.add(&bob, By::Operator, None, "gone");
        added.await.expect("added");
        let clear = list.refused(&bob, Certainty::Clear, "550 5.1.1 no");
        clear.await.expect("passed over");
        assert_eq!(
            list.find(&bob).await.map(|entry| entry.by),
            Some(By::Operator)
        );
    }

    #[tokio::test]
    async fn where_they_do_not_count_refusals_leave_nothing() {
        for counts in [Counts::Operators, Counts::Nothing] {
            let (list, _) = list(counts);
            let ann = address("ann@far.test");
            let clear = list.refused(&ann, Certainty::Clear, "550 5.1.1 no");
            clear.await.expect("passed over");
            assert!(list.list(None, 10).await.expect("readable").is_empty());
            let added = list.add(&ann, By::Operator, None, "gone");
            added.await.expect("added");
            assert_eq!(list.find(&ann).await.is_some(), counts == Counts::Operators);
        }
    }
}
