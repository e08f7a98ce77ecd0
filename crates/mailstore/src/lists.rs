//! What lists of many emails show and go by, in few records.
//!
//! | field | form |
//! |---|---|
//! | version | byte, 1 |
//! | emails | varint, how many follow |
//! | each: its place in the page | byte, each above the one before |
//! | each: what is listed of it | as [`Listing`] or [`SortKeys`] say |
//!
//! A page stands for [`LIST_EMAILS`] numbers of emails. It is made of the emails'
//! records by whoever lists [`LIST_WORTH`] of them that are in none, and goes when
//! the first of them does or is made again, in a commit that comes after that.
//! What is not in it is looked for in the records: a page may be missing, or know
//! less, but what it says is what the records say.

mod listing;
mod sort_keys;

pub use listing::Listing;
pub use sort_keys::SortKeys;

use crate::account::Account;
use crate::email::EmailRecord;
use crate::error::{RecordError, StoreError};
use crate::keys;
use crate::limits::{LIST_BYTES_MAX, LIST_EMAILS, LIST_WORTH};
use crate::read;
use crate::reading::EmailReader;
use bytes::Bytes;
use engine::{Batch, Expect, Snapshot, Versioned};
use envelope::AccountId;
use mailbox_model::EmailId;
use std::marker::PhantomData;
use std::ops::{ControlFlow, Range};
use wire::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;

/// Of what a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListKind {
    /// Of [`Listing`]s.
    Listings,
    /// Of [`SortKeys`].
    SortKeys,
}

impl ListKind {
    pub(crate) const ALL: [Self; 2] = [Self::Listings, Self::SortKeys];
}

/// What pages can hold of an email.
pub trait Listed: sealed::Paged {}

impl<T: sealed::Paged> Listed for T {}

pub(crate) mod sealed {
    use super::{Bytes, DecodeError, EmailRecord, ListKind, Reader, Writer};

    pub trait Paged {
        /// What it is to a reader.
        type Read<'a>;

        const KIND: ListKind;

        /// Writes what the record says.
        fn write(record: &EmailRecord, out: &mut Writer) -> Result<(), DecodeError>;

        /// `page` is what `input` reads.
        fn read<'a>(input: &mut Reader<'a>, page: &'a Bytes)
        -> Result<Self::Read<'a>, DecodeError>;
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
        for kind in ListKind::ALL {
            batch.delete(keys::list(account, kind, page));
        }
    }
}

/// A page of what [`Paged::write`] wrote.
pub(crate) fn encode(listed: &[(EmailId, Bytes)]) -> Vec<u8> {
    let mut out = Writer::new();
    out.u8(VERSION).varint(listed.len() as u64);
    for (email, one) in listed {
        out.u8((email.0 % LIST_EMAILS) as u8).raw(one);
    }
    out.finish()
}

/// Calls `f` with each email of a page, in order, and the octets that stand for it.
pub(crate) fn decode<'a, T: Listed>(
    page: u64,
    record: &'a Bytes,
    mut f: impl FnMut(EmailId, T::Read<'a>, &'a [u8]),
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
        let before = input.rest();
        let one = T::read(&mut input, record)?;
        let octets = &before[..before.len() - input.rest().len()];
        f(EmailId(first + place), one, octets);
    }
    input.finish()
}

impl Account {
    /// What a list shows of emails, in the order of the ids; a bad one is an
    /// error of its own. Dear the first time, then a few reads for many.
    pub async fn listings(&self, ids: &[EmailId]) -> Vec<Result<Listing, RecordError>> {
        let ids = ids.to_vec();
        self.reading(move |reader| reader.listings(&ids)).await
    }
}

impl EmailReader {
    /// As [`Account::listings`].
    #[must_use]
    pub fn listings(&self, ids: &[EmailId]) -> Vec<Result<Listing, RecordError>> {
        let missing = |&id| Err(RecordError::Missing(id));
        let mut listings: Vec<_> = ids.iter().map(missing).collect();
        self.visit_listed::<Listing>(ids, |at, listing| listings[at] = listing);
        listings
    }

    /// Calls `f` with the place among `ids` of each email and what pages have of it, in no
    /// order; a bad one is an error of its own. Dear the first time, then a few reads for many.
    pub fn visit_listed<T: Listed>(
        &self,
        ids: &[EmailId],
        f: impl FnMut(usize, Result<T::Read<'_>, RecordError>),
    ) {
        let mut reading = Reading::<T, _> {
            reader: self,
            ids,
            told: vec![false; ids.len()],
            damaged: Vec::new(),
            f,
            of: PhantomData,
        };
        let why = reading.read().err().map(|error| error.to_string());
        for (at, &id) in ids.iter().enumerate() {
            if !reading.told[at] {
                let error = match &why {
                    None => RecordError::Missing(id),
                    Some(why) => RecordError::Unreadable(id, why.clone()),
                };
                (reading.f)(at, Err(error));
            }
        }
    }
}

/// What is read of records, by email.
type Found = Vec<(EmailId, Versioned, Result<Bytes, RecordError>)>;

/// One reading.
struct Reading<'a, T, F> {
    reader: &'a EmailReader,
    ids: &'a [EmailId],
    told: Vec<bool>,
    /// Pages that cannot be read to their end.
    damaged: Vec<u64>,
    f: F,
    of: PhantomData<T>,
}

impl<T: Listed, F: FnMut(usize, Result<T::Read<'_>, RecordError>)> Reading<'_, T, F> {
    fn read(&mut self) -> Result<(), StoreError> {
        let reader = self.reader;
        if !read::is_dense(self.ids) {
            let (engine, ids) = (reader.engine(), self.ids);
            return read::visit_records(engine, reader.account(), ids, |at, record| {
                self.tell(at, of_record::<T>(ids[at], &record));
            });
        }
        let snapshot = reader.snapshot();
        self.pages(&*snapshot)?;
        let mut at = 0;
        while at < self.ids.len() {
            let page = page_of(self.ids[at]);
            let behind = at + self.ids[at..].partition_point(|&id| page_of(id) == page);
            if self.told[at..behind].contains(&false) || self.damaged.contains(&page) {
                self.records(&*snapshot, page, at..behind)?;
            }
            at = behind;
        }
        Ok(())
    }

    /// Takes what the pages have.
    fn pages(&mut self, snapshot: &dyn Snapshot) -> Result<(), StoreError> {
        let (Some(&first), Some(&last)) = (self.ids.first(), self.ids.last()) else {
            return Ok(());
        };
        let account = self.reader.account();
        let start = keys::list(account, T::KIND, page_of(first));
        let end = keys::list(account, T::KIND, page_of(last) + 1);
        let mut at = 0;
        snapshot.visit(&start, &end, &mut |key, record| {
            let Some(page) = keys::page_of_list(key) else {
                return ControlFlow::Continue(());
            };
            let decoded = decode::<T>(page, &record.value, |email, one, _| {
                while self.ids.get(at).is_some_and(|&id| id < email) {
                    at += 1;
                }
                if self.ids.get(at) == Some(&email) {
                    self.told[at] = true;
                    (self.f)(at, Ok(one));
                }
            });
            if let Err(error) = decoded {
                // The rest is found in the records, and the page is made again of them.
                self.damaged.push(page);
                tracing::warn!(%account, page, %error, "a page of lists is damaged");
            }
            ControlFlow::Continue(())
        })?;
        Ok(())
    }

    /// Reads records of a page for what it does not know. Where that is much, the page
    /// is made, or made again.
    fn records(
        &mut self,
        snapshot: &dyn Snapshot,
        page: u64,
        wanted: Range<usize>,
    ) -> Result<(), StoreError> {
        let account = self.reader.account();
        let missing = wanted.clone().filter(|&at| !self.told[at]);
        let is_damaged = self.damaged.contains(&page);
        let is_whole =
            (missing.clone().count() >= LIST_WORTH || is_damaged) && self.reader.has_time();
        let (first, behind) = match is_whole {
            true => (
                EmailId(page * LIST_EMAILS),
                EmailId((page * LIST_EMAILS).saturating_add(LIST_EMAILS)),
            ),
            false => {
                let (first, last) = (missing.clone().next(), missing.clone().next_back());
                let id = |at: Option<usize>| at.map_or(EmailId(0), |at| self.ids[at]);
                (id(first), id(last).next())
            }
        };
        let missing: Vec<usize> = missing.collect();
        let (start, end) = (keys::email(account, first), keys::email(account, behind));
        let mut found = Found::new();
        let mut gained = 0;
        snapshot.visit(&start, &end, &mut |key, record| {
            let Some(email) = keys::email_of(key) else {
                return ControlFlow::Continue(());
            };
            let is_missing = missing.binary_search_by_key(&email, |&at| self.ids[at]);
            if is_whole || is_missing.is_ok() {
                let one = of_record::<T>(email, &record.value);
                if let Ok(place) = is_missing {
                    gained += usize::from(one.is_ok());
                    self.tell(missing[place], one.clone());
                }
                found.push((email, record, one));
            }
            ControlFlow::Continue(())
        })?;
        if is_whole && (gained >= LIST_WORTH || is_damaged) {
            self.make(page, found);
        }
        Ok(())
    }

    /// Tells of an email by its record.
    fn tell(&mut self, at: usize, octets: Result<Bytes, RecordError>) {
        self.told[at] = true;
        match octets {
            Ok(octets) => {
                let one = T::read(&mut Reader::new(&octets), &octets);
                let damaged = |error| RecordError::Damaged(self.ids[at], error);
                (self.f)(at, one.map_err(damaged));
            }
            Err(error) => (self.f)(at, Err(error)),
        }
    }

    /// Makes a page; whether that comes about is nobody's care. A record that is
    /// another by then, or gone, lets the commit be refused.
    fn make(&self, page: u64, found: Found) {
        let account = self.reader.account();
        let mut batch = Batch::new();
        let mut listed = Vec::with_capacity(found.len());
        for (email, record, one) in found {
            let Ok(one) = one else { return };
            let key = keys::email(account, email);
            batch.expect(key, Expect::Version(record.version));
            listed.push((email, one));
        }
        let record = encode(&listed);
        if record.len() > LIST_BYTES_MAX {
            return;
        }
        batch.put(keys::list(account, T::KIND, page), record);
        if let Err(error) = self.reader.engine().submit(batch) {
            tracing::debug!(%account, page, %error, "a page of lists is not made");
        }
    }
}

/// What a page has of an email.
pub(crate) fn of_record<T: Listed>(email: EmailId, record: &Bytes) -> Result<Bytes, RecordError> {
    let mut out = Writer::new();
    EmailRecord::decode(record)
        .and_then(|record| T::write(&record, &mut out))
        .map_err(|error| RecordError::Damaged(email, error))?;
    Ok(out.finish().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &[u8] = b"\x01\x02\0\xff\xff\xff\xff\xff\xff\xff\xfe\xe4\n\x05(NIL)\
        \x07\0\0\0\0\0\0\0\x01\xe4\n\0";

    fn read(record: &[u8]) -> Result<Vec<(EmailId, Bytes)>, DecodeError> {
        let mut all = Vec::new();
        let record = Bytes::copy_from_slice(record);
        assert!(decode::<Listing>(u64::MAX, &record, |_, _, _| {}).is_err());
        decode::<Listing>(3, &record, |email, listing, octets| {
            assert_eq!(
                listing.envelope.len(),
                if octets[7] == 0xfe { 5 } else { 0 }
            );
            all.push((email, Bytes::copy_from_slice(octets)));
        })?;
        Ok(all)
    }

    #[test]
    fn a_page_is_these_bytes_and_reads_back() {
        let all = read(PAGE).expect("a page");
        let first = 3 * LIST_EMAILS;
        let ids: Vec<_> = all.iter().map(|(email, _)| email.0).collect();
        assert_eq!(ids, [first, first + 7]);
        assert_eq!(encode(&all), PAGE);
        for len in 0..PAGE.len() {
            assert!(read(&PAGE[..len]).is_err());
        }
    }

    #[test]
    fn places_grow_and_lie_in_the_page() {
        for (at, byte) in [(19, 0), (19, 64), (0, 2), (1, 3)] {
            let mut record = PAGE.to_vec();
            record[at] = byte;
            assert!(read(&record).is_err(), "{at} {byte}");
        }
    }
}
