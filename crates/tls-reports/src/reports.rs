//! Counting in memory, keeping on the disk.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use engine::expire::{ExpireError, Range, expire};
use engine::{Batch, ReadError, ShardId, SharedEngine, keys};
use envelope::Domain;
use parking_lot::Mutex;
use runtime::Runtime;
use tls_policy::reporting::{Applied, DayOfDomain, Failed};

use crate::limits::{FLUSH_PAGE, KEPT_FOR, PENDING_MAX, RECORDS_MAX, TEXT_CHARS_MAX};
use crate::record::{REPORTS_PREFIX, day_key, decode, encode, key, named};
use crate::sent::{SENT_PREFIX, sent_day_key};

pub(crate) const DAY_MS: u64 = 86_400_000;

/// What was counted of one domain on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// Days since 1970.
    pub day: u32,
    /// As A-labels.
    pub domain: String,
    /// What was counted.
    pub counted: DayOfDomain,
}

type Pending = HashMap<(u32, String), DayOfDomain>;

/// The counts of a store. Cheap to clone.
#[derive(Clone)]
pub struct TlsReports {
    pub(crate) engine: SharedEngine,
    pub(crate) runtime: Runtime,
    /// What is not on the disk yet.
    pending: Arc<Mutex<Pending>>,
    /// Held while it is written.
    writing: Arc<tokio::sync::Mutex<()>>,
}

impl std::fmt::Debug for TlsReports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsReports").finish_non_exhaustive()
    }
}

impl TlsReports {
    /// The counts that `engine` keeps.
    #[must_use]
    pub fn new(engine: SharedEngine, runtime: Runtime) -> Self {
        Self {
            engine,
            runtime,
            pending: Arc::default(),
            writing: Arc::default(),
        }
    }

    /// Counts a session with a server of `domain`, or that there was none for a reason of
    /// TLS.
    pub fn count(&self, domain: &Domain, applied: &Applied, result: Result<(), Failed>) {
        let result = result.map_err(|failed| Failed {
            host: bounded(&failed.host),
            reason: bounded(&failed.reason),
            ..failed
        });
        let name = domain.to_ascii().to_ascii_lowercase();
        let mut pending = self.pending.lock();
        let at = (self.today(), name);
        if pending.len() >= PENDING_MAX && !pending.contains_key(&at) {
            return;
        }
        pending.entry(at).or_default().count(applied, result);
    }

    pub(crate) fn today(&self) -> u32 {
        u32::try_from(self.runtime.now().unix_ms / DAY_MS).unwrap_or(u32::MAX)
    }

    /// Writes what was counted since the last time, on top of what is there.
    ///
    /// # Errors
    /// The store cannot be read or does not take it; what is not written stays in memory.
    pub async fn flush(&self) -> Result<(), ExpireError> {
        let _writing = self.writing.lock().await;
        let mut taken: Vec<_> = std::mem::take(&mut *self.pending.lock())
            .into_iter()
            .collect();
        while !taken.is_empty() {
            let page = taken.split_off(taken.len().saturating_sub(FLUSH_PAGE));
            if let Err(error) = self.write(&page).await {
                taken.extend(page);
                self.give_back(taken);
                return Err(error);
            }
        }
        Ok(())
    }

    async fn write(&self, page: &[((u32, String), DayOfDomain)]) -> Result<(), ExpireError> {
        let engine = Arc::clone(&self.engine);
        let wanted: Vec<_> = page
            .iter()
            .map(|((day, name), _)| key(*day, name))
            .collect();
        let read = {
            let wanted = wanted.clone();
            move || {
                let shard = ShardId(0);
                engine.snapshot(shard).get_many(&wanted)
            }
        };
        let found = self.runtime.blocking(read).await?;
        let mut batch = Batch::new();
        for ((key, (_, more)), stored) in wanted.into_iter().zip(page).zip(found) {
            let stored = stored.and_then(|stored| decode(&stored.value).ok());
            let mut counted = stored.unwrap_or_default();
            counted.add(more);
            batch.put(key, encode(&counted));
        }
        self.engine.submit(batch)?.done().await;
        Ok(())
    }

    fn give_back(&self, unwritten: Vec<((u32, String), DayOfDomain)>) {
        let mut pending = self.pending.lock();
        for (at, counted) in unwritten {
            pending.entry(at).or_default().add(&counted);
        }
    }

    /// What was counted, the oldest day first, of one domain (as A-labels) or of all, `max`
    /// records at most. What is in memory is written before.
    ///
    /// # Errors
    /// The store cannot be read or does not take what is in memory.
    pub async fn show(&self, domain: Option<&str>, max: usize) -> Result<Vec<Day>, ExpireError> {
        self.flush().await?;
        let engine = Arc::clone(&self.engine);
        let domain = domain.map(str::to_owned);
        let read = move || {
            let mut days = Vec::new();
            let shard = ShardId(0);
            let (start, end) = (REPORTS_PREFIX.to_vec(), keys::end_of(&REPORTS_PREFIX));
            engine
                .snapshot(shard)
                .visit(&start, &end, &mut |key, stored| {
                    let wanted = named(key)
                        .filter(|(_, name)| domain.as_deref().is_none_or(|only| only == *name));
                    if let (Some((day, name)), Ok(counted)) = (wanted, decode(&stored.value)) {
                        days.push(Day {
                            day,
                            domain: name.to_owned(),
                            counted,
                        });
                    }
                    if days.len() < max {
                        ControlFlow::Continue(())
                    } else {
                        ControlFlow::Break(())
                    }
                })?;
            Ok::<_, ReadError>(days)
        };
        Ok(self.runtime.blocking(read).await?)
    }

    /// Removes days that have had their time, and of too many records the oldest; how
    /// many that were.
    ///
    /// # Errors
    /// The store cannot be read or does not take it.
    pub async fn expire(&self) -> Result<usize, ExpireError> {
        let kept_days = u32::try_from(KEPT_FOR.as_secs() / 86_400).unwrap_or(u32::MAX);
        let old = self.today().saturating_sub(kept_days);
        let range = |prefix: [u8; 2], old: Vec<u8>| Range {
            start: prefix.to_vec(),
            end: keys::end_of(&prefix),
            old,
        };
        let counts = range(REPORTS_PREFIX, day_key(old));
        let sent = range(SENT_PREFIX, sent_day_key(old));
        let engine = Arc::clone(&self.engine);
        let work = move || {
            let counts = expire(&*engine, &[counts], RECORDS_MAX)?;
            Ok(counts + expire(&*engine, &[sent], RECORDS_MAX)?)
        };
        self.runtime.blocking(work).await
    }
}

fn bounded(text: &str) -> String {
    let visible = text.chars().filter(|c| !c.is_control());
    visible.take(TEXT_CHARS_MAX).collect()
}
