//! The progress record, version 1 or 2: where each recipient stands, and the last attempts.
//!
//! | field | form |
//! |---|---|
//! | version | byte: 2 if a person has given something of it another way, else 1 |
//! | interrupted | varint: attempts in a row that the server's end cut off |
//! | reasons | varint count, then texts; named below by place, from 1 (0 is none) |
//! | recipients | varint count, in the envelope's order, then each: |
//! | … state | byte: 0 todo, 1 deferred, 2 held, 3 done, 4 failed, 5 removed |
//! | … time | varint, ms since 1970, for todo and deferred |
//! | … attempts | varint |
//! | … bits | byte: 0 the sender was told of the delay |
//! | … reason | varint |
//! | history | varint count, oldest first, then each: |
//! | … time | varint, ms since 1970 |
//! | … site | text: whom we spoke to |
//! | … delivered, deferred, failed | varint each: recipients |
//! | … reason | varint |
//! | ways | version 2: varint count, in order of domains, then each: |
//! | … domain, way | text each; what the way is called is the dispatcher's |
//!
//! A lease is not in here: see [`crate::Intent`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use engine::ShardId;
use envelope::{Domain, Envelope};
use queue_model::State;
use wire::codec::{DecodeError, Reader, Writer};

use crate::keys;
use crate::limits::{
    HISTORY_MAX, REASON_BYTES_MAX, REASON_BYTES_MIN, REASONS_BYTES_MAX, SITE_BYTES_MAX,
};
use crate::store::Line;

const VERSION: u8 = 1;
const VERSION_WITH_WAYS: u8 = 2;
const DELAY_TOLD: u8 = 1;

/// Where one recipient stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientProgress {
    /// Its state; never [`State::Leased`] here.
    pub state: State,
    /// Attempts made.
    pub attempts: u32,
    /// The sender was told of the delay.
    pub delay_told: bool,
    /// Why it stands there, for people.
    pub reason: Option<Arc<str>>,
}

/// One attempt, in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When it ended, in milliseconds since 1970.
    pub at_ms: u64,
    /// Whom we spoke to.
    pub site: String,
    /// Recipients that were delivered.
    pub delivered: u32,
    /// Recipients that wait.
    pub deferred: u32,
    /// Recipients that were given up.
    pub failed: u32,
    /// What was said of the last that was not delivered, or of the last.
    pub reason: Option<Arc<str>>,
}

/// Where all recipients of a message stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Attempts in a row that the server's end cut off.
    pub interrupted: u32,
    /// In the envelope's order.
    pub recipients: Vec<RecipientProgress>,
    /// The last attempts, oldest first.
    pub history: Vec<Attempt>,
    /// Domains whose mail a person has given another way, and its name.
    pub ways: BTreeMap<Domain, Arc<str>>,
}

impl Progress {
    /// All recipients in the same state.
    #[must_use]
    pub fn new(recipients: usize, state: State, reason: Option<&str>) -> Self {
        let recipient = RecipientProgress {
            state,
            attempts: 0,
            delay_told: false,
            reason: reason.map(|reason| cut(reason, reason_bytes_max(recipients)).into()),
        };
        Self {
            interrupted: 0,
            recipients: vec![recipient; recipients],
            history: Vec::new(),
            ways: BTreeMap::new(),
        }
    }

    /// True when nothing is left to do.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.recipients
            .iter()
            .all(|recipient| recipient.state.is_final())
    }

    /// Where the message stands in the schedule: the lines of all domains with
    /// recipients that have not ended, each with the earliest of their times, or
    /// [`keys::HELD_MS`] where all of them wait for a person.
    pub(crate) fn lines(&self, shard: ShardId, envelope: &Envelope) -> BTreeMap<Line, u64> {
        let mut domains: BTreeMap<&Domain, u64> = BTreeMap::new();
        for (recipient, progress) in envelope.recipients.iter().zip(&self.recipients) {
            if progress.state.is_final() {
                continue;
            }
            let due_ms = progress.state.due_ms().map_or(keys::HELD_MS, |due_ms| {
                // A time that looks like no time would be one for a person.
                due_ms.min(keys::HELD_MS - 1)
            });
            let earliest = domains.entry(recipient.address.domain()).or_insert(due_ms);
            *earliest = due_ms.min(*earliest);
        }
        let line = |(domain, due_ms): (&Domain, u64)| {
            let line = Line {
                shard,
                domain: domain.clone(),
                way: self.ways.get(domain).cloned(),
            };
            (line, due_ms)
        };
        domains.into_iter().map(line).collect()
    }

    /// Keeps a reason within what this record may hold.
    pub(crate) fn fit_reason(&self, reason: &str) -> Arc<str> {
        cut(reason, reason_bytes_max(self.recipients.len())).into()
    }

    /// Gives a domain's mail another way, or the usual one again.
    pub(crate) fn reroute(&mut self, domain: &Domain, way: Option<&Arc<str>>) {
        match way {
            Some(way) => self.ways.insert(domain.clone(), Arc::clone(way)),
            None => self.ways.remove(domain),
        };
    }

    pub(crate) fn remember(&mut self, mut attempt: Attempt) {
        attempt
            .site
            .truncate(cut(&attempt.site, SITE_BYTES_MAX).len());
        self.history.push(attempt);
        let surplus = self.history.len().saturating_sub(HISTORY_MAX);
        self.history.drain(..surplus);
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut table = Reasons::default();
        let mut body = Writer::new();
        body.varint(self.recipients.len() as u64);
        for recipient in &self.recipients {
            let (tag, time) = match recipient.state {
                // A lease is only in memory; what it was before is not lost.
                State::Leased => (0, Some(0)),
                State::Todo { due_ms } => (0, Some(due_ms)),
                State::Deferred { until_ms } => (1, Some(until_ms)),
                State::Held => (2, None),
                State::Done => (3, None),
                State::Failed => (4, None),
                State::Removed => (5, None),
            };
            body.u8(tag);
            if let Some(time) = time {
                body.varint(time);
            }
            body.varint(recipient.attempts.into())
                .u8(DELAY_TOLD * u8::from(recipient.delay_told))
                .varint(table.place_of(recipient.reason.as_ref()));
        }
        body.varint(self.history.len() as u64);
        for attempt in &self.history {
            body.varint(attempt.at_ms)
                .text(&attempt.site)
                .varint(attempt.delivered.into())
                .varint(attempt.deferred.into())
                .varint(attempt.failed.into())
                .varint(table.place_of(attempt.reason.as_ref()));
        }
        let version = if self.ways.is_empty() {
            VERSION
        } else {
            body.varint(self.ways.len() as u64);
            for (domain, way) in &self.ways {
                body.text(domain.as_str()).text(way);
            }
            VERSION_WITH_WAYS
        };
        let mut writer = Writer::new();
        writer.u8(version).varint(self.interrupted.into());
        writer.varint(table.texts.len() as u64);
        for text in &table.texts {
            writer.text(text);
        }
        writer.raw(&body.finish());
        writer.finish()
    }

    pub(crate) fn decode(record: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(record);
        let version = match reader.u8()? {
            known @ (VERSION | VERSION_WITH_WAYS) => known,
            other => return Err(DecodeError::Version(other)),
        };
        let interrupted = reader.varint32()?;
        let reasons: Vec<Arc<str>> =
            decode_many(&mut reader, |reader| reader.text().map(Arc::from))?;
        let recipients = decode_many(&mut reader, |reader| decode_recipient(reader, &reasons))?;
        let history = decode_many(&mut reader, |reader| decode_attempt(reader, &reasons))?;
        let ways = match version {
            VERSION => Vec::new(),
            _ => decode_many(&mut reader, decode_way)?,
        };
        reader.finish()?;
        Ok(Self {
            interrupted,
            recipients,
            history,
            ways: ways.into_iter().collect(),
        })
    }
}

/// Each reason once: thousands of recipients often have the same.
#[derive(Default)]
struct Reasons {
    texts: Vec<Arc<str>>,
    places: HashMap<Arc<str>, u64>,
}

impl Reasons {
    fn place_of(&mut self, reason: Option<&Arc<str>>) -> u64 {
        let Some(reason) = reason else { return 0 };
        if let Some(&place) = self.places.get(reason) {
            return place;
        }
        self.texts.push(Arc::clone(reason));
        let place = self.texts.len() as u64;
        self.places.insert(Arc::clone(reason), place);
        place
    }
}

/// A count never reserves memory: each item has a byte at least, so a lying count ends at the record's end.
fn decode_many<T>(
    reader: &mut Reader<'_>,
    mut item: impl FnMut(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = reader.varint()?;
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(item(reader)?);
    }
    Ok(items)
}

fn decode_recipient(
    reader: &mut Reader<'_>,
    reasons: &[Arc<str>],
) -> Result<RecipientProgress, DecodeError> {
    let state = match reader.u8()? {
        0 => State::Todo {
            due_ms: reader.varint()?,
        },
        1 => State::Deferred {
            until_ms: reader.varint()?,
        },
        2 => State::Held,
        3 => State::Done,
        4 => State::Failed,
        5 => State::Removed,
        other => return Err(DecodeError::Tag(other)),
    };
    let attempts = reader.varint32()?;
    let bits = reader.u8()?;
    if bits & !DELAY_TOLD != 0 {
        return Err(DecodeError::Tag(bits));
    }
    Ok(RecipientProgress {
        state,
        attempts,
        delay_told: bits & DELAY_TOLD != 0,
        reason: decode_reason(reader, reasons)?,
    })
}

fn decode_attempt(reader: &mut Reader<'_>, reasons: &[Arc<str>]) -> Result<Attempt, DecodeError> {
    Ok(Attempt {
        at_ms: reader.varint()?,
        site: reader.text()?.to_owned(),
        delivered: reader.varint32()?,
        deferred: reader.varint32()?,
        failed: reader.varint32()?,
        reason: decode_reason(reader, reasons)?,
    })
}

fn decode_way(reader: &mut Reader<'_>) -> Result<(Domain, Arc<str>), DecodeError> {
    let domain = Domain::parse_or_literal(reader.text()?).map_err(|_| DecodeError::OutOfRange)?;
    Ok((domain, reader.text()?.into()))
}

fn decode_reason(
    reader: &mut Reader<'_>,
    reasons: &[Arc<str>],
) -> Result<Option<Arc<str>>, DecodeError> {
    let place = usize::try_from(reader.varint()?).map_err(|_| DecodeError::OutOfRange)?;
    let Some(index) = place.checked_sub(1) else {
        return Ok(None);
    };
    reasons
        .get(index)
        .cloned()
        .map(Some)
        .ok_or(DecodeError::OutOfRange)
}

fn reason_bytes_max(recipients: usize) -> usize {
    (REASONS_BYTES_MAX / recipients.max(1)).clamp(REASON_BYTES_MIN, REASON_BYTES_MAX)
}

fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> Progress {
        let reason: Arc<str> = "451 no".into();
        let mut progress = Progress::new(3, State::Todo { due_ms: 5 }, None);
        progress.interrupted = 1;
        progress.recipients[1] = RecipientProgress {
            state: State::Deferred { until_ms: 300 },
            attempts: 2,
            delay_told: true,
            reason: Some(Arc::clone(&reason)),
        };
        progress.recipients[2].state = State::Failed;
        progress.history.push(Attempt {
            at_ms: 200,
            site: "mx.test".into(),
            delivered: 0,
            deferred: 1,
            failed: 1,
            reason: Some(reason),
        });
        progress
    }

    #[test]
    fn golden_bytes() {
        let golden = b"\x01\x01\x01\x06451 no\x03\x00\x05\x00\x00\x00\x01\xac\x02\x02\x01\x01\x04\x00\x00\x00\
            \x01\xc8\x01\x07mx.test\x00\x01\x01\x01";
        assert_eq!(progress().encode(), golden);
        assert_eq!(Progress::decode(golden), Ok(progress()));
        let mut another_way = progress();
        let domain = Domain::parse("b.test").expect("a domain");
        another_way.reroute(&domain, Some(&"mx".into()));
        let mut golden = golden.to_vec();
        golden[0] = 2;
        golden.extend_from_slice(b"\x01\x06b.test\x02mx");
        assert_eq!(another_way.encode(), golden);
        assert_eq!(Progress::decode(&golden).as_ref(), Ok(&another_way));
        another_way.reroute(&domain, None);
        assert_eq!(another_way, progress());
    }

    #[test]
    fn what_is_cut_off_or_unknown_is_an_error() {
        let record = progress().encode();
        for end in 0..record.len() {
            assert!(Progress::decode(&record[..end]).is_err(), "{end}");
        }
        let mut longer = record.clone();
        longer.push(0);
        assert_eq!(Progress::decode(&longer), Err(DecodeError::Trailing));
        let lying = b"\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        assert_eq!(Progress::decode(lying), Err(DecodeError::Truncated));
    }

    #[test]
    fn the_record_of_thousands_fits_a_commit() {
        let mut progress = Progress::new(5000, State::Held, None);
        for (n, recipient) in progress.recipients.clone().into_iter().enumerate() {
            let reason = progress.fit_reason(&format!("550 {n} {}", "é".repeat(1000)));
            progress.recipients[n] = RecipientProgress {
                reason: Some(reason),
                ..recipient
            };
        }
        assert!(progress.encode().len() < 512 * 1024);
    }

    #[test]
    fn the_history_keeps_the_last() {
        let mut progress = progress();
        let attempt = progress.history[0].clone();
        for at_ms in 0..100 {
            progress.remember(Attempt {
                at_ms,
                site: "é".repeat(200),
                ..attempt.clone()
            });
        }
        assert_eq!(progress.history.len(), HISTORY_MAX);
        assert_eq!(
            progress.history.last().map(|attempt| attempt.at_ms),
            Some(99)
        );
        assert_eq!(progress.history[0].site.len(), 254);
    }
}
