//! Looks into messages, many together.

use super::{Content, Facts, Looker, Query};
use crate::limits::{READ_AHEAD_BYTES, SEARCHED_AT_ONCE_BYTES};
use mailbox_model::{EmailId, Entry, Uid};
use mailstore::{EmailReader, EmailRecord, RecordError, ShortBodies};
use mime::StoredDigest;
use wire::codec::DecodeError;

/// A message that matches, or may: its number, counted from 1, and its entry.
pub type Candidate = (u32, Entry);

/// How many of these are looked into next.
#[must_use]
pub fn batch(candidates: &[Candidate], most: usize) -> usize {
    let mut bytes = 0;
    let fits = |(_, entry): &&Candidate| {
        bytes += entry.size();
        bytes <= SEARCHED_AT_ONCE_BYTES
    };
    let some = &candidates[..candidates.len().min(most)];
    let count = some.iter().take_while(fits).count();
    count.max(some.len().min(1))
}

/// Decides what entries alone decide, given by their ranks. Gives the matches and the undecided.
pub fn decide<'a>(
    entries: impl Iterator<Item = (usize, &'a Entry)>,
    query: &Query,
) -> (Vec<Candidate>, Vec<Candidate>) {
    let (mut found, mut undecided) = (Vec::new(), Vec::new());
    for (rank, entry) in entries {
        let number = u32::try_from(rank + 1).unwrap_or(u32::MAX);
        let facts = Facts {
            number,
            entry,
            record: None,
            content: None,
        };
        match query.eval(facts) {
            Some(true) => found.push((number, entry.clone())),
            Some(false) => {}
            None => undecided.push((number, entry.clone())),
        }
    }
    (found, undecided)
}

/// What looking into messages gave.
#[derive(Debug, Default)]
pub struct Looked {
    /// Those that match.
    pub found: Vec<Candidate>,
    /// How well, if that was asked.
    pub scores: Vec<(Uid, u32)>,
    /// Those that could not be looked at, and why.
    pub broken: Vec<(EmailId, String)>,
}

/// Decides by the records, and by the messages where those are not enough.
///
/// Runs on the blocking pool.
pub fn look_inside(
    reader: &EmailReader,
    query: &Query,
    is_scored: bool,
    candidates: Vec<Candidate>,
) -> Looked {
    let mut looked = Looked::default();
    let ids: Vec<_> = candidates.iter().map(|(_, entry)| entry.email).collect();
    let mut undecided: Vec<(Candidate, EmailRecord)> = Vec::new();
    for (candidate, record) in candidates.into_iter().zip(reader.email_records(&ids)) {
        let record = match record {
            Ok(record) => record,
            // Expunged by another session meanwhile.
            Err(RecordError::Missing(_)) => continue,
            Err(error) => {
                looked.broken.push((candidate.1.email, error.to_string()));
                continue;
            }
        };
        match by_record(query, &candidate, &record, None) {
            Ok(Some(true)) => {
                if is_scored {
                    let score = score(query, &candidate, &record, None);
                    looked.scores.push((candidate.1.uid, score));
                }
                looked.found.push(candidate);
            }
            Ok(Some(false)) => {}
            Ok(None) => undecided.push((candidate, record)),
            Err(error) => looked.broken.push((candidate.1.email, error.to_string())),
        }
    }
    let mut looker = Looker::default();
    let mut rest = undecided.into_iter();
    while !rest.as_slice().is_empty() {
        let (now, bodies) = read_ahead(reader, rest.as_slice());
        for (at, (candidate, record)) in rest.by_ref().take(now).enumerate() {
            let content = looker.look(query, reader, &record, bodies.body(at));
            let decided = content.and_then(|content| {
                let decided = by_record(query, &candidate, &record, Some(content))?;
                if is_scored && decided == Some(true) {
                    let score = score(query, &candidate, &record, Some(content));
                    looked.scores.push((candidate.1.uid, score));
                }
                Ok(decided)
            });
            match decided {
                Ok(Some(true)) => looked.found.push(candidate),
                Ok(_) => {}
                Err(error) => looked.broken.push((candidate.1.email, error.to_string())),
            }
        }
    }
    looked
}

fn by_record(
    query: &Query,
    (number, entry): &Candidate,
    record: &EmailRecord,
    content: Option<&Content>,
) -> Result<Option<bool>, DecodeError> {
    let digest = StoredDigest::read(&record.digest)?;
    Ok(query.eval(Facts {
        number: *number,
        entry,
        record: Some((record, digest)),
        content,
    }))
}

/// How well a message that matches fits.
fn score(
    query: &Query,
    (number, entry): &Candidate,
    record: &EmailRecord,
    content: Option<&Content>,
) -> u32 {
    let Ok(digest) = StoredDigest::read(&record.digest) else {
        return 1;
    };
    query.score(Facts {
        number: *number,
        entry,
        record: Some((record, digest)),
        content,
    })
}

/// How many messages are looked into next, and their bodies. A long one is read piece by
/// piece.
fn read_ahead(reader: &EmailReader, rest: &[(Candidate, EmailRecord)]) -> (usize, ShortBodies) {
    let mut bytes = 0;
    let fits = |(_, record): &&(Candidate, EmailRecord)| {
        bytes += record.blob_size;
        bytes <= READ_AHEAD_BYTES
    };
    let blobs: Vec<_> = rest.iter().take_while(fits).map(|(_, r)| r.blob).collect();
    let bytes = rest[..blobs.len()].iter().map(|(_, r)| r.blob_size).sum();
    match blobs.len() {
        0 => (1, ShortBodies::default()),
        now => (now, reader.short_bodies(&blobs, bytes)),
    }
}
