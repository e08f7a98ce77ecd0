//! Sending the reports on days that are over: RFC 8460 §4.1, §5.
//!
//! A report leaves some time after midnight (UTC), each domain's at its own moment, so that
//! neither we nor a receiver of many domains has all of them at once. It is tried for a day
//! and then given up. How far each one has come is on the disk before the next is looked at;
//! what was taken in the moment of a crash is sent once more, under the same id.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::expire::ExpireError;
use engine::{Batch, ReadError, ShardId, keys};
use parking_lot::Mutex;
use report_format::packing::pack;
use runtime::Task;
use tls_policy::reporting::{About, DayOfDomain, Rua, file_name, report, reporting_addresses};

use crate::limits::{
    AFTER_MIDNIGHT_MS, AT_ONCE_MAX, DAYS_BACK, DUE_PAGE, GIVE_UP_MS, REASON_CHARS_MAX,
    RETRY_MAX_MS, RETRY_MS, SPREAD_MS,
};
use crate::receivers::{Packed, Receivers};
use crate::record::{day_key, decode, named, named_behind};
use crate::reports::{DAY_MS, TlsReports};
use crate::sent::{SENT_PREFIX, Sent, Stage, sent_day_key, sent_key};

/// Who reports.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The organisation.
    pub organisation: String,
    /// Whom to write to about reports.
    pub contact: String,
    /// Our host's name.
    pub hostname: String,
}

/// Sends reports. Cheap to clone.
#[derive(Clone)]
pub struct Sender {
    reports: TlsReports,
    receivers: Arc<dyn Receivers>,
    identity: Arc<Identity>,
    /// Nothing is due before this moment, Unix ms.
    quiet_until: Arc<AtomicU64>,
    /// Held while reports are sent, so that none is sent twice at once.
    sending: Arc<tokio::sync::Mutex<()>>,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// A report that is due.
#[derive(Debug, Clone)]
struct Due {
    day: u32,
    domain: String,
    counted: DayOfDomain,
    before: Option<Sent>,
}

impl Sender {
    /// Sends what `reports` has counted.
    #[must_use]
    pub fn new(reports: TlsReports, receivers: Arc<dyn Receivers>, identity: Identity) -> Self {
        Self {
            reports,
            receivers,
            identity: Arc::new(identity),
            quiet_until: Arc::default(),
            sending: Arc::default(),
        }
    }

    /// Sends what is due now; how many reports were tried. Ends early when the server drains.
    ///
    /// # Errors
    /// The store cannot be read or does not take it.
    ///
    /// # Cancel safety
    /// May be dropped at any time: what was being sent may be sent again.
    pub async fn round(&self) -> Result<usize, ExpireError> {
        let runtime = &self.reports.runtime;
        if runtime.now().unix_ms < self.quiet_until.load(Ordering::Relaxed) {
            return Ok(0);
        }
        let _sending = self.sending.lock().await;
        let mut tried = 0;
        loop {
            let due = self.due().await?;
            if due.is_empty() || runtime.shutdown().is_draining() {
                return Ok(tried);
            }
            let count = due.len();
            tried += count;
            if self.try_all(due).await? < count {
                // Somebody panicked; the rest is for the next round.
                return Ok(tried);
            }
        }
    }

    /// Sends the reports on one day, of one domain or of all, whatever was sent before; what
    /// became of each. Of a day that is not over it is what was counted so far, under an id of
    /// its own, and the day's report follows.
    ///
    /// # Errors
    /// The store cannot be read or does not take it.
    pub async fn send_now(
        &self,
        day: u32,
        domain: Option<&str>,
        max: usize,
    ) -> Result<Vec<(String, Sent)>, ExpireError> {
        let _sending = self.sending.lock().await;
        let days = self.reports.show(domain, usize::MAX).await?;
        let mut became = Vec::new();
        for counted in days.into_iter().filter(|one| one.day == day).take(max) {
            let due = Due {
                day,
                domain: counted.domain,
                counted: counted.counted,
                before: None,
            };
            let sent = self.attempt(&due).await;
            if self.is_over(day) {
                self.remember(vec![(day, due.domain.clone(), sent.clone())])
                    .await?;
            }
            became.push((due.domain, sent));
        }
        Ok(became)
    }

    fn is_over(&self, day: u32) -> bool {
        day < self.reports.today()
    }

    /// So many at once that a slow receiver holds nobody up for long.
    async fn try_all(&self, due: Vec<Due>) -> Result<usize, ExpireError> {
        let left = Arc::new(Mutex::new(due.into_iter()));
        let workers: Vec<Task<Vec<_>>> = (0..AT_ONCE_MAX)
            .map(|_| {
                let (this, left) = (self.clone(), left.clone());
                self.reports.runtime.spawn("a TLS report", async move {
                    let mut became = Vec::new();
                    loop {
                        let next = left.lock().next();
                        let Some(due) = next else {
                            return became;
                        };
                        let sent = this.attempt(&due).await;
                        became.push((due.day, due.domain, sent));
                    }
                })
            })
            .collect();
        let mut became = Vec::new();
        for worker in workers {
            // One that panicked has told nothing; its reports are tried again.
            became.extend(worker.join().await.unwrap_or_default());
        }
        let told = became.len();
        self.remember(became).await?;
        Ok(told)
    }

    async fn attempt(&self, due: &Due) -> Sent {
        let now_ms = self.reports.runtime.now().unix_ms;
        let before = due.before.as_ref();
        let mut sent = Sent {
            stage: Stage::Waits,
            first_ms: before.map_or(now_ms, |before| before.first_ms),
            at_ms: now_ms,
            tries: before.map_or(0, |before| before.tries).saturating_add(1),
            to: String::new(),
            reason: String::new(),
        };
        let name = format!("_smtp._tls.{}", due.domain);
        let wanted = match self.receivers.texts(&name).await {
            Ok(texts) => reporting_addresses(&texts),
            Err(error) => {
                sent.reason = error.to_string();
                return self.again(sent, due);
            }
        };
        let report = self.packed(due);
        for rua in &wanted {
            let Rua::Https(url) = rua else {
                continue;
            };
            sent.to.clone_from(url);
            // RFC 8460 §3: one of several is enough.
            match self.receivers.post(url, &report).await {
                Ok(()) => {
                    tracing::info!(domain = due.domain, to = url, "a report on TLS was sent");
                    sent.stage = Stage::Sent;
                    sent.reason = String::new();
                    return sent;
                }
                Err(why) => sent.reason = why.chars().take(REASON_CHARS_MAX).collect(),
            }
        }
        match (sent.to.is_empty(), wanted.first()) {
            (true, Some(Rua::Mail(address))) => {
                sent.stage = Stage::ByMail;
                sent.to = format!("mailto:{address}");
                sent
            }
            (true, _) => {
                sent.stage = Stage::NotWanted;
                sent
            }
            _ => self.again(sent, due),
        }
    }

    /// RFC 8460 §5.6: for a day from the first try on.
    fn again(&self, mut sent: Sent, due: &Due) -> Sent {
        let doublings = sent.tries.saturating_sub(1).min(16);
        let wait_ms = (RETRY_MS << doublings).min(RETRY_MAX_MS);
        let wait_ms = wait_ms - wait_ms / 4 * (spread(&due.domain, sent.tries) % 100) / 100;
        let next_ms = sent.at_ms.saturating_add(wait_ms);
        if next_ms > sent.first_ms.saturating_add(GIVE_UP_MS) {
            let (domain, to, reason) = (&due.domain, &sent.to, &sent.reason);
            tracing::warn!(domain, to, reason, "a report on TLS was given up");
            sent.stage = Stage::GivenUp;
        } else {
            sent.at_ms = next_ms;
        }
        sent
    }

    fn packed(&self, due: &Due) -> Packed {
        let start_ms = u64::from(due.day) * DAY_MS;
        let (mut end_ms, mut suffix) = (start_ms + DAY_MS - 1000, String::new());
        if !self.is_over(due.day) {
            end_ms = self.reports.runtime.now().unix_ms.max(start_ms);
            suffix = format!(".{}", end_ms / 1000);
        }
        let (start, end) = (to_second(start_ms), to_second(end_ms));
        let hostname = &self.identity.hostname;
        let date = start.get(..10).unwrap_or_default();
        // The same for each try, so that who has it already knows it again.
        let id = format!("{date}{suffix}.{}@{hostname}", due.domain);
        let about = About {
            organisation: &self.identity.organisation,
            contact: &self.identity.contact,
            id: &id,
            domain: &due.domain,
            start: &start,
            end: &end,
        };
        // RFC 8460 §5.1: the last part is letters and digits.
        let unique: String = format!("{date}{suffix}").split(['-', '.']).collect();
        let (start, end) = (start_ms / 1000, end_ms / 1000);
        Packed {
            octets: pack(&report(&about, &due.counted)).into(),
            file_name: format!(
                "{}.gz",
                file_name(hostname, &due.domain, start, end, &unique)
            ),
        }
    }

    async fn remember(&self, became: Vec<(u32, String, Sent)>) -> Result<(), ExpireError> {
        let mut batch = Batch::new();
        for (day, domain, sent) in &became {
            batch.put(sent_key(*day, domain), sent.encode());
            if sent.stage == Stage::Waits {
                self.quiet_until.fetch_min(sent.at_ms, Ordering::Relaxed);
            }
        }
        if !batch.is_empty() {
            self.reports.engine.submit(batch)?.done().await;
        }
        Ok(())
    }

    /// What is due now, so many at most; where nothing is, the moment when something may be
    /// is remembered.
    async fn due(&self) -> Result<Vec<Due>, ExpireError> {
        let engine = Arc::clone(&self.reports.engine);
        let (now_ms, today) = (self.reports.runtime.now().unix_ms, self.reports.today());
        let read = move || due(&*engine, now_ms, today);
        let (due, next_ms) = self.reports.runtime.blocking(read).await?;
        self.quiet_until.store(next_ms, Ordering::Relaxed);
        Ok(due)
    }
}

/// What is due, and when something will be, at the latest behind the next midnight.
fn due(engine: &dyn engine::Engine, now_ms: u64, today: u32) -> Result<(Vec<Due>, u64), ReadError> {
    let snapshot = engine.snapshot(ShardId(0));
    let tomorrow = u64::from(today).saturating_add(1) * DAY_MS;
    let (mut due, mut next_ms) = (Vec::new(), tomorrow + AFTER_MIDNIGHT_MS);
    for day in today.saturating_sub(DAYS_BACK)..today {
        let mut states = HashMap::new();
        let start = sent_day_key(day);
        snapshot.visit(&start, &keys::end_of(&start), &mut |key, stored| {
            let sent = Sent::decode(&stored.value).ok();
            if let (Some((_, domain)), Some(sent)) = (named_behind(&SENT_PREFIX, key), sent) {
                states.insert(domain.to_owned(), sent);
            }
            ControlFlow::Continue(())
        })?;
        let start = day_key(day);
        snapshot.visit(&start, &keys::end_of(&start), &mut |key, stored| {
            let Some((_, domain)) = named(key) else {
                return ControlFlow::Continue(());
            };
            let before = states.remove(domain);
            let at_ms = match &before {
                Some(sent) if sent.stage == Stage::Waits => sent.at_ms,
                Some(_) => return ControlFlow::Continue(()),
                None => due_ms(day, domain),
            };
            if at_ms > now_ms {
                next_ms = next_ms.min(at_ms);
                return ControlFlow::Continue(());
            }
            if let Ok(counted) = decode(&stored.value) {
                due.push(Due {
                    day,
                    domain: domain.to_owned(),
                    counted,
                    before,
                });
            }
            match due.len() < DUE_PAGE {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })?;
        if due.len() >= DUE_PAGE {
            return Ok((due, 0));
        }
    }
    Ok((due, next_ms))
}

/// RFC 3339, as RFC 8460 writes it.
fn to_second(unix_ms: u64) -> String {
    let text = observe::rfc3339(unix_ms);
    format!("{}Z", text.get(..19).unwrap_or(&text))
}

/// RFC 8460 §4.1: some time behind midnight, at which all counts of the day are written down too.
pub(crate) fn due_ms(day: u32, domain: &str) -> u64 {
    let midnight_ms = (u64::from(day) + 1) * DAY_MS;
    midnight_ms + AFTER_MIDNIGHT_MS + spread(domain, day) % SPREAD_MS
}

/// A number for a domain and another number (FNV-1a): it needs to differ, not to resist anybody.
fn spread(domain: &str, number: u32) -> u64 {
    let octets = domain.bytes().chain(number.to_be_bytes());
    octets.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl TlsReports {
    /// What became of reports, by day and domain (as A-labels), of one domain or of all, `max` at most.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn sent(
        &self,
        domain: Option<&str>,
        max: usize,
    ) -> Result<HashMap<(u32, String), Sent>, ReadError> {
        let engine = Arc::clone(&self.engine);
        let domain = domain.map(str::to_owned);
        let read = move || {
            let mut found = HashMap::new();
            let (start, end) = (SENT_PREFIX.to_vec(), keys::end_of(&SENT_PREFIX));
            let snapshot = engine.snapshot(ShardId(0));
            snapshot.visit(&start, &end, &mut |key, stored| {
                let wanted = named_behind(&SENT_PREFIX, key)
                    .filter(|(_, name)| domain.as_deref().is_none_or(|only| only == *name));
                if let (Some((day, name)), Ok(sent)) = (wanted, Sent::decode(&stored.value)) {
                    found.insert((day, name.to_owned()), sent);
                }
                match found.len() < max {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            })?;
            Ok::<_, ReadError>(found)
        };
        self.runtime.blocking(read).await
    }
}
