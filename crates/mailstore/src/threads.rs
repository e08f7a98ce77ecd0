//! Which of an account's emails belong together ([`mailbox_model::Threads`]), and where that is kept.
//!
//! | key | record |
//! |---|---|
//! | `h` | version 1 · the first email that no thread is known of, varint · how many emails went for good since that was looked after ([`prune`]), varint |
//! | `k`, [`ThreadKey`] | version 1 · the thread that it leads to, varint |
//! | `p`, page (8 bytes) | version 1 · how many follow, varint · each email that is not the first of its thread: its place in the page, a byte · its number minus the thread's, varint |
//!
//! Each ends with two bytes of the BLAKE3 of key and record: nothing else would show that one is another. A page
//! stands for [`THREAD_EMAILS`] numbers of emails.
//!
//! Emails join threads in the order of their ids when somebody asks for threads, so that mail of which nobody
//! does costs nothing; then they stay where they are, whatever becomes of the emails that led there. What is kept
//! of a thread goes when none of its emails has a record any more ([`prune`]). The keys hold
//! what no record says any more: without them (a repair throws them away when they are damaged) emails that are
//! gone for good connect nothing, and some threads may get other names.
//!
//! Invariants: every email below the head's number has joined; commits follow each other by the head's version.

mod prune;

use crate::account::Account;
use crate::error::StoreError;
use crate::keys;
use crate::limits::{
    COMMIT_BYTES_SOFT, CONFLICT_RETRIES, JOINED_AT_ONCE, THREAD_EMAILS, THREAD_REFERENCES_MAX,
};
use crate::lists::{SortKeys, of_record, sealed::Paged as _};
use crate::load::for_each;
use crate::reading::EmailReader;
use blobs::BlobError;
use bytes::Bytes;
use engine::{Batch, CommitNo, Engine, Expect, Snapshot, SubmitError, Ticket};
use envelope::AccountId;
use mailbox_model::{EmailId, Joining, ThreadKey, Threads, join};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use wire::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;
/// Of the check at the end of a record.
const CHECK_BYTES: usize = 2;
/// Emails are numbered from here on.
const FIRST: EmailId = EmailId(1);

impl Account {
    /// The threads of all emails that are visible now. Dear the first time: every record is read once.
    ///
    /// # Errors
    /// A record of threads is damaged; the engine can't be read or written.
    ///
    /// # Cancel safety
    /// What has been found out so far stays.
    pub async fn threads(&self) -> Result<Threads, StoreError> {
        let behind = self.view().next_email();
        let mut known = self.threads.lock().await;
        if known.behind() >= behind {
            return Ok(known.clone());
        }
        self.join_below(behind).await?;
        let reader = self.email_reader();
        let mut threads = known.clone();
        let read = move || {
            read_from(
                &*reader.snapshot(),
                reader.account(),
                threads.behind(),
                |email, first| {
                    threads.note(email, first);
                },
            )?;
            threads.known_below(behind);
            Ok::<_, StoreError>(threads)
        };
        *known = self.shared.runtime.blocking(read).await?;
        self.weigh_threads(known.bytes());
        Ok(known.clone())
    }

    /// Lets all emails below `behind` join.
    async fn join_below(&self, behind: EmailId) -> Result<(), StoreError> {
        let mut conflicts = 0;
        loop {
            let reader = self.email_reader();
            let work = move || next_portion(&reader, behind);
            let Some(batch) = self.shared.runtime.blocking(work).await? else {
                return Ok(());
            };
            match self.shared.engine.submit(batch) {
                Ok(ticket) => {
                    ticket.done().await;
                    conflicts = 0;
                }
                // Another process was faster, or an email went for good meanwhile.
                Err(SubmitError::Conflict { winner, .. }) if conflicts < CONFLICT_RETRIES => {
                    winner.visible().await;
                    conflicts += 1;
                }
                Err(SubmitError::Conflict { .. }) => return Err(StoreError::Contended),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// An email, who wrote its record, and what it is found by.
type Found = (EmailId, CommitNo, Option<Bytes>);

/// What lets the next emails below `behind` join; none if there are none.
fn next_portion(reader: &EmailReader, behind: EmailId) -> Result<Option<Batch>, StoreError> {
    let (snapshot, account) = (reader.snapshot(), reader.account());
    let (head, expect) = match Head::stored(&*snapshot, account)? {
        Some((head, version)) => (head, Expect::Version(version)),
        None => (Head::default(), Expect::Absent),
    };
    if head.next >= behind {
        return Ok(None);
    }
    let found = records(&*snapshot, account, head.next..behind)?;
    let mut batch = Batch::new();
    let key = keys::threads_head(account);
    batch.expect(key.clone(), expect);
    // It is not written beside an account that is gone.
    let (witness, version) = match found.last() {
        Some((email, version, _)) => (keys::email(account, *email), *version),
        None => reader.account_head()?,
    };
    batch.expect(witness, Expect::Version(version));
    let mut portion = Portion {
        reader,
        snapshot: &*snapshot,
        batch,
        learned: HashMap::new(),
        pages: BTreeMap::new(),
    };
    let mut next = match found.len() < JOINED_AT_ONCE {
        true => behind,
        false => found.last().map_or(behind, |(email, ..)| email.next()),
    };
    for (email, _, keys) in &found {
        portion.take(*email, keys.as_ref())?;
        if portion.batch.size_bytes() > COMMIT_BYTES_SOFT {
            next = email.next();
            break;
        }
    }
    let mut batch = portion.finish();
    put(&mut batch, key, Head { next, ..head }.encode());
    Ok(Some(batch))
}

fn records(
    snapshot: &dyn Snapshot,
    account: AccountId,
    range: std::ops::Range<EmailId>,
) -> Result<Vec<Found>, StoreError> {
    let (start, end) = (
        keys::email(account, range.start),
        keys::email(account, range.end),
    );
    let mut found = Vec::new();
    snapshot.visit(&start, &end, &mut |key, record| {
        if let Some(email) = keys::email_of(key) {
            // Whose record is damaged is alone.
            let sort_keys = of_record::<SortKeys<'_>>(email, &record.value).ok();
            found.push((email, record.version, sort_keys));
        }
        match found.len() < JOINED_AT_ONCE {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    })?;
    Ok(found)
}

/// Emails that join in one commit.
struct Portion<'a> {
    reader: &'a EmailReader,
    snapshot: &'a dyn Snapshot,
    batch: Batch,
    /// What those before led to.
    learned: HashMap<ThreadKey, EmailId>,
    pages: BTreeMap<u64, Vec<(EmailId, EmailId)>>,
}

impl Portion<'_> {
    fn take(&mut self, email: EmailId, sort_keys: Option<&Bytes>) -> Result<(), StoreError> {
        let account = self.reader.account();
        let (own, references) = match sort_keys {
            Some(octets) => self.keys_of(email, octets)?,
            None => (None, Vec::new()),
        };
        let joining = Joining {
            email,
            own,
            references: &references,
        };
        let mut new = Vec::new();
        let first = join(
            joining,
            |key| match self.learned.get(key) {
                Some(first) => Ok(Some(*first)),
                None => stored(self.snapshot, account, key),
            },
            |key, first| new.push((key, first)),
        )?;
        for (key, first) in new {
            if self.learned.insert(key, first).is_none() {
                let mut value = Writer::new();
                value.u8(VERSION).varint(first.0);
                put(&mut self.batch, keys::thread_key(account, &key), value);
            }
        }
        match first < email {
            true => self.note(email, first),
            false => Ok(()),
        }
    }

    /// Writes down what an email's thread is.
    fn note(&mut self, email: EmailId, first: EmailId) -> Result<(), StoreError> {
        let account = self.reader.account();
        let page = email.0 / THREAD_EMAILS;
        let known = match self.pages.entry(page) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let mut known = Vec::new();
                let key = keys::thread_page(account, page);
                if let Some(stored) = self.snapshot.get(&key)? {
                    read_page(&key, &stored.value, |email, first| {
                        known.push((email, first));
                    })
                    .map_err(damaged(account))?;
                }
                new.insert(known)
            }
        };
        known.push((email, first));
        Ok(())
    }

    /// What an email is found by, and what it refers to.
    fn keys_of(
        &self,
        email: EmailId,
        octets: &Bytes,
    ) -> Result<(Option<ThreadKey>, Vec<ThreadKey>), StoreError> {
        let read = SortKeys::read(&mut Reader::new(octets), octets);
        let sort_keys = read.map_err(damaged(self.reader.account()))?;
        let key = |id: &[u8; 16]| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(id).update(sort_keys.subject);
            let mut key = ThreadKey::default();
            hasher.finalize_xof().fill(&mut key);
            key
        };
        let mut references = match sort_keys.refers_to_more {
            true => match self.reader.references(email) {
                Ok(all) => all,
                Err(error @ (StoreError::Read(_) | StoreError::Blob(BlobError::Read(_)))) => {
                    return Err(error);
                }
                // It will never be read: what its record says has to be enough.
                Err(_) => sort_keys.references().to_vec(),
            },
            false => sort_keys.references().to_vec(),
        };
        // The first holds a thread together, the last are next to the message.
        if references.len() > THREAD_REFERENCES_MAX {
            references.drain(1..=references.len() - THREAD_REFERENCES_MAX);
        }
        let own = sort_keys.id();
        Ok((own.as_ref().map(key), references.iter().map(key).collect()))
    }

    fn finish(mut self) -> Batch {
        let account = self.reader.account();
        for (page, known) in self.pages {
            write_page(&mut self.batch, keys::thread_page(account, page), &known);
        }
        self.batch
    }
}

/// The thread that a key leads to.
fn stored(
    snapshot: &dyn Snapshot,
    account: AccountId,
    key: &ThreadKey,
) -> Result<Option<EmailId>, StoreError> {
    let key = keys::thread_key(account, key);
    let Some(stored) = snapshot.get(&key)? else {
        return Ok(None);
    };
    let first = first_of(&key, &stored.value).map_err(damaged(account))?;
    Ok(Some(first))
}

/// Calls `f` with each email from `from` on that is not the first of its thread, and with that.
pub(crate) fn read_from(
    snapshot: &dyn Snapshot,
    account: AccountId,
    from: EmailId,
    mut f: impl FnMut(EmailId, EmailId),
) -> Result<(), StoreError> {
    let start = keys::thread_page(account, from.0 / THREAD_EMAILS);
    let (_, end) = keys::threads(account);
    let mut read = Ok(());
    snapshot.visit(&start, &end, &mut |key, record| {
        read = read_page(key, &record.value, &mut f);
        match read {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    read.map_err(damaged(account))
}

/// Takes away all that is kept of threads, the head last: until then nothing joins anew.
pub(crate) fn forget_all(
    engine: &dyn Engine,
    account: AccountId,
) -> Result<Option<Ticket>, StoreError> {
    let snapshot = engine.snapshot(engine.shard_of_account(account.0));
    let head = keys::threads_head(account);
    let (start, end) = keys::threads(account);
    let (mut batch, mut ticket) = (Batch::new(), None);
    for_each(&*snapshot, start, &end, |key, _| {
        if key != head {
            batch.delete(key);
        }
        if batch.size_bytes() > COMMIT_BYTES_SOFT {
            ticket = Some(engine.submit(std::mem::take(&mut batch))?);
        }
        Ok(())
    })?;
    if snapshot.get(&head)?.is_some() {
        batch.delete(head);
    }
    if !batch.is_empty() {
        ticket = Some(engine.submit(batch)?);
    }
    Ok(ticket)
}

fn damaged(account: AccountId) -> impl Fn(DecodeError) -> StoreError {
    move |error| StoreError::Damaged {
        account,
        what: format!("what its threads are: {error}"),
    }
}

fn check_of(key: &[u8], record: &[u8]) -> [u8; CHECK_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(key).update(record);
    let mut check = [0; CHECK_BYTES];
    hasher.finalize_xof().fill(&mut check);
    check
}

fn put(batch: &mut Batch, key: Vec<u8>, record: Writer) {
    let mut record = record.finish();
    let check = check_of(&key, &record);
    record.extend_from_slice(&check);
    batch.put(key, record);
}

/// What a record says, without its version and its check.
fn versioned<'a>(key: &[u8], record: &'a [u8]) -> Result<Reader<'a>, DecodeError> {
    let (said, check) = record
        .split_last_chunk::<CHECK_BYTES>()
        .ok_or(DecodeError::Truncated)?;
    if *check != check_of(key, said) {
        return Err(DecodeError::OutOfRange);
    }
    let mut input = Reader::new(said);
    match input.u8()? {
        VERSION => Ok(input),
        other => Err(DecodeError::Version(other)),
    }
}

/// How far it has got.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    /// The first email that has not joined.
    pub(crate) next: EmailId,
    /// Emails that went for good since somebody looked after what they leave.
    gone: u64,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            next: FIRST,
            gone: 0,
        }
    }
}

impl Head {
    fn stored(
        snapshot: &dyn Snapshot,
        account: AccountId,
    ) -> Result<Option<(Self, CommitNo)>, StoreError> {
        let key = keys::threads_head(account);
        let Some(stored) = snapshot.get(&key)? else {
            return Ok(None);
        };
        let head = Self::decode(&key, &stored.value).map_err(damaged(account))?;
        Ok(Some((head, stored.version)))
    }

    fn encode(self) -> Writer {
        let mut record = Writer::new();
        record.u8(VERSION).varint(self.next.0).varint(self.gone);
        record
    }

    pub(crate) fn decode(key: &[u8], record: &[u8]) -> Result<Self, DecodeError> {
        let mut input = versioned(key, record)?;
        let (next, gone) = (EmailId(input.varint()?), input.varint()?);
        input.finish()?;
        Ok(Self { next, gone })
    }
}

/// The thread in a key's record.
pub(crate) fn first_of(key: &[u8], record: &[u8]) -> Result<EmailId, DecodeError> {
    let mut input = versioned(key, record)?;
    let first = EmailId(input.varint()?);
    input.finish()?;
    Ok(first)
}

fn write_page(batch: &mut Batch, key: Vec<u8>, known: &[(EmailId, EmailId)]) {
    let mut record = Writer::new();
    record.u8(VERSION).varint(known.len() as u64);
    for (email, first) in known {
        record.u8((email.0 % THREAD_EMAILS) as u8);
        record.varint(email.0 - first.0);
    }
    put(batch, key, record);
}

/// Calls `f` with each email of a page, in order, and its thread.
pub(crate) fn read_page(
    key: &[u8],
    record: &[u8],
    mut f: impl FnMut(EmailId, EmailId),
) -> Result<(), DecodeError> {
    let page = keys::page_of_threads(key).ok_or(DecodeError::OutOfRange)?;
    let start = page.checked_mul(THREAD_EMAILS);
    let start = start.ok_or(DecodeError::OutOfRange)?;
    let mut input = versioned(key, record)?;
    let mut next = 0;
    for _ in 0..input.varint()? {
        let place = u64::from(input.u8()?);
        let back = input.varint()?;
        let email = start + place;
        if place < next || place >= THREAD_EMAILS || back == 0 || back >= email {
            return Err(DecodeError::OutOfRange);
        }
        next = place + 1;
        f(EmailId(email), EmailId(email - back));
    }
    input.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: AccountId = AccountId(7);

    fn read(page: u64, record: &[u8]) -> Result<Vec<(u64, u64)>, DecodeError> {
        let mut all = Vec::new();
        let key = keys::thread_page(ACCOUNT, page);
        read_page(&key, record, |email, first| all.push((email.0, first.0)))?;
        Ok(all)
    }

    #[test]
    fn a_page_is_these_bytes_and_reads_back() {
        let golden = [1, 2, 1, 1, 0xff, 0x80, 4, 0x77, 0x5b];
        let all = read(3, &golden).expect("whole");
        assert_eq!(all, [(769, 768), (1023, 511)]);
        for at in 0..golden.len() {
            assert!(read(3, &golden[..at]).is_err());
            let mut flipped = golden;
            flipped[at] ^= 1;
            assert!(read(3, &flipped).is_err(), "{at}");
        }
        // A whole record in the place of another.
        assert!(read(2, &golden).is_err());
    }

    #[test]
    fn records_that_cannot_be_are_refused() {
        let record = |said: &[u8]| {
            let key = keys::thread_page(ACCOUNT, 0);
            let mut record = said.to_vec();
            record.extend(check_of(&key, said));
            record
        };
        assert!(read(0, &record(&[1, 1, 5, 3])).is_ok());
        // Another version; one that is before nothing, or not in order; no thread at all.
        for said in [
            &[2, 0][..],
            &[1, 1, 5, 0],
            &[1, 1, 5, 5],
            &[1, 2, 5, 3, 5, 3],
            &[1, 2, 5, 3],
        ] {
            assert!(read(0, &record(said)).is_err(), "{said:?}");
        }
    }
}
