//! What a list of messages shows of many emails, in few records.
//!
//! | field | form |
//! |---|---|
//! | version | byte, 1 |
//! | emails | varint, how many follow |
//! | each: its place in the page | byte, each above the one before |
//! | each: internal date, Unix seconds | 8 bytes, high byte first, two's complement |
//! | each: its zone, minutes east of UTC + 1440 | varint |
//! | each: ENVELOPE in wire form | length as varint, bytes |
//!
//! A page stands for [`LIST_EMAILS`] numbers of emails, all of which are given.
//! It is made of the emails' records by whoever lists them the first time, and
//! goes when the first of them does or is made again, in a commit that comes
//! after that. What is not in it is looked for in the records: a page may be
//! missing, or know less, but what it says is what the records say.

use crate::account::Account;
use crate::email::{EmailRecord, InternalDate, zone_of};
use crate::error::{RecordError, StoreError};
use crate::keys;
use crate::limits::{LIST_BYTES_MAX, LIST_EMAILS, LIST_WORTH};
use crate::read;
use bytes::Bytes;
use engine::{Batch, Engine, Expect, Snapshot, Versioned};
use envelope::AccountId;
use mailbox_model::EmailId;
use mime::StoredDigest;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use wire::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;

/// What a list shows of an email.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// INTERNALDATE.
    pub received_at: InternalDate,
    /// ENVELOPE in wire form, ASCII.
    pub envelope: Bytes,
}

impl Listing {
    pub(crate) fn of(record: &EmailRecord) -> Result<Self, DecodeError> {
        let digest = StoredDigest::read(&record.digest)?;
        Ok(Self {
            received_at: record.received_at,
            envelope: record.digest.slice_ref(digest.envelope),
        })
    }
}

/// The page that an email belongs to.
pub(crate) fn page_of(email: EmailId) -> u64 {
    email.0 / LIST_EMAILS
}

/// Takes the pages of these emails out, behind the commit that changed them.
pub(crate) fn forget(batch: &mut Batch, account: AccountId, emails: &[EmailId]) {
    let mut pages: Vec<u64> = emails.iter().map(|&email| page_of(email)).collect();
    pages.sort_unstable();
    pages.dedup();
    for page in pages {
        batch.delete(keys::list(account, page));
    }
}

pub(crate) fn encode(listings: &[(EmailId, Listing)]) -> Vec<u8> {
    let mut out = Writer::new();
    out.u8(VERSION).varint(listings.len() as u64);
    for (email, listing) in listings {
        let date = listing.received_at;
        out.u8((email.0 % LIST_EMAILS) as u8);
        out.u64_be(date.unix_seconds as u64);
        out.varint(zone_of(date)).bytes(&listing.envelope);
    }
    out.finish()
}

/// Calls `f` with each email of a page, in order.
pub(crate) fn decode(
    page: u64,
    record: &Bytes,
    mut f: impl FnMut(EmailId, Listing),
) -> Result<(), DecodeError> {
    let mut input = Reader::new(record);
    match input.u8()? {
        VERSION => {}
        other => return Err(DecodeError::Version(other)),
    }
    let first = page
        .checked_mul(LIST_EMAILS)
        .ok_or(DecodeError::OutOfRange)?;
    let mut next = 0;
    for _ in 0..input.varint()? {
        let place = u64::from(input.u8()?);
        if place < next || place >= LIST_EMAILS {
            return Err(DecodeError::OutOfRange);
        }
        next = place + 1;
        let received_at = InternalDate::read(&mut input)?;
        let envelope = record.slice_ref(input.bytes()?);
        let listing = Listing {
            received_at,
            envelope,
        };
        f(EmailId(first + place), listing);
    }
    input.finish()
}

impl Account {
    /// What a list shows of emails, in the order of the ids; a bad one is an
    /// error of its own. Dear the first time, then a few reads for many.
    pub async fn listings(&self, ids: &[EmailId]) -> Vec<Result<Listing, RecordError>> {
        let engine = Arc::clone(&self.shared.engine);
        let (account, ids) = (self.id(), ids.to_vec());
        // Before the snapshot is taken: what is given by now is in it.
        let given = self.view().next_email();
        let work = move || {
            let mut listings: Vec<_> = ids
                .iter()
                .map(|&id| Err(RecordError::Missing(id)))
                .collect();
            let mut reading = Listings {
                engine: &*engine,
                account,
                given,
                ids: &ids,
                listings: &mut listings,
            };
            if let Err(error) = reading.read() {
                let why = error.to_string();
                for (&id, listing) in ids.iter().zip(&mut listings) {
                    if let Err(RecordError::Missing(_)) = listing {
                        *listing = Err(RecordError::Unreadable(id, why.clone()));
                    }
                }
            }
            listings
        };
        self.shared.runtime.blocking(work).await
    }
}

/// One reading; a listing that is not found stays `Missing`.
struct Listings<'a> {
    engine: &'a dyn Engine,
    account: AccountId,
    /// Emails below this are there, or will never be.
    given: EmailId,
    ids: &'a [EmailId],
    listings: &'a mut [Result<Listing, RecordError>],
}

impl Listings<'_> {
    fn read(&mut self) -> Result<(), StoreError> {
        if !read::is_dense(self.ids) {
            return read::visit_records(self.engine, self.account, self.ids, |at, record| {
                self.listings[at] = listing(self.ids[at], &record);
            });
        }
        let shard = self.engine.shard_of_account(self.account.0);
        let snapshot = self.engine.snapshot(shard);
        let known = self.pages(&*snapshot)?;
        let mut at = 0;
        while at < self.ids.len() {
            let page = page_of(self.ids[at]);
            let behind = at + self.ids[at..].partition_point(|&id| page_of(id) == page);
            if self.listings[at..behind].iter().any(Result::is_err) {
                let is_new = !known.contains(&page) && behind - at >= LIST_WORTH;
                self.records(&*snapshot, page, at..behind, is_new)?;
            }
            at = behind;
        }
        Ok(())
    }

    /// Takes what the pages have; gives those that are there.
    fn pages(&mut self, snapshot: &dyn Snapshot) -> Result<Vec<u64>, StoreError> {
        let (Some(&first), Some(&last)) = (self.ids.first(), self.ids.last()) else {
            return Ok(Vec::new());
        };
        let start = keys::list(self.account, page_of(first));
        let end = keys::list(self.account, page_of(last) + 1);
        let mut known = Vec::new();
        let mut at = 0;
        snapshot.visit(&start, &end, &mut |key, record| {
            let Some(page) = keys::page_of_list(key) else {
                return ControlFlow::Continue(());
            };
            let decoded = decode(page, &record.value, |email, listing| {
                while self.ids.get(at).is_some_and(|&id| id < email) {
                    at += 1;
                }
                if self.ids.get(at) == Some(&email) {
                    self.listings[at] = Ok(listing);
                }
            });
            match decoded {
                Ok(()) => known.push(page),
                // Made again from the records.
                Err(error) => {
                    tracing::warn!(account = %self.account, page, %error, "a page of lists is damaged");
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(known)
    }

    /// Reads the records of a page, for what is wanted of it and, if it `is_new`,
    /// to make it.
    fn records(
        &mut self,
        snapshot: &dyn Snapshot,
        page: u64,
        wanted: std::ops::Range<usize>,
        is_new: bool,
    ) -> Result<(), StoreError> {
        let first = EmailId(page * LIST_EMAILS);
        let behind = EmailId(first.0.saturating_add(LIST_EMAILS));
        let mut found: BTreeMap<EmailId, (Versioned, Result<Listing, RecordError>)> =
            BTreeMap::new();
        let (start, end) = (
            keys::email(self.account, first),
            keys::email(self.account, behind),
        );
        snapshot.visit(&start, &end, &mut |key, record| {
            if let Some(email) = keys::email_of(key) {
                let listing = listing(email, &record.value);
                found.insert(email, (record, listing));
            }
            ControlFlow::Continue(())
        })?;
        for at in wanted {
            if let Some((_, listing)) = found.get(&self.ids[at]) {
                self.listings[at] = listing.clone();
            }
        }
        if is_new && behind <= self.given && !self.engine.is_busy() {
            self.make(page, found);
        }
        Ok(())
    }

    /// Makes a page; whether that comes about is nobody's care. A record that is
    /// another by then, or gone, lets the commit be refused.
    fn make(&self, page: u64, found: BTreeMap<EmailId, (Versioned, Result<Listing, RecordError>)>) {
        let mut batch = Batch::new();
        let mut listings = Vec::with_capacity(found.len());
        for (email, (record, listing)) in found {
            let Ok(listing) = listing else { return };
            let key = keys::email(self.account, email);
            batch.expect(key, Expect::Version(record.version));
            listings.push((email, listing));
        }
        let record = encode(&listings);
        if record.len() > LIST_BYTES_MAX {
            return;
        }
        batch.put(keys::list(self.account, page), record);
        if let Err(error) = self.engine.submit(batch) {
            tracing::debug!(account = %self.account, page, %error, "a page of lists is not made");
        }
    }
}

fn listing(email: EmailId, record: &Bytes) -> Result<Listing, RecordError> {
    EmailRecord::decode(record)
        .and_then(|record| Listing::of(&record))
        .map_err(|error| RecordError::Damaged(email, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<(EmailId, Listing)> {
        let listing = |seconds, envelope: &'static [u8]| Listing {
            received_at: InternalDate {
                unix_seconds: seconds,
                zone_minutes: -60,
            },
            envelope: Bytes::from_static(envelope),
        };
        vec![
            (EmailId(3 * LIST_EMAILS), listing(-2, b"(NIL)")),
            (EmailId(3 * LIST_EMAILS + 7), listing(1, b"")),
        ]
    }

    fn read(record: &[u8]) -> Result<Vec<(EmailId, Listing)>, DecodeError> {
        let mut all = Vec::new();
        let record = Bytes::copy_from_slice(record);
        assert!(decode(u64::MAX, &record, |_, _| {}).is_err());
        decode(3, &record, |email, listing| all.push((email, listing)))?;
        Ok(all)
    }

    #[test]
    fn a_page_is_these_bytes_and_reads_back() {
        let mut golden = vec![1, 2, 0];
        golden.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xe4, 10]);
        golden.extend(b"\x05(NIL)");
        golden.extend([7, 0, 0, 0, 0, 0, 0, 0, 1, 0xe4, 10, 0]);
        assert_eq!(encode(&sample()), golden);
        assert_eq!(read(&golden), Ok(sample()));
        for len in 0..golden.len() {
            assert!(read(&golden[..len]).is_err());
        }
    }

    #[test]
    fn places_grow_and_lie_in_the_page() {
        for (at, byte) in [(19, 0), (19, 64), (0, 2), (1, 3)] {
            let mut record = encode(&sample());
            record[at] = byte;
            assert!(read(&record).is_err(), "{at} {byte}");
        }
    }
}
