//! One step of building an index: a new segment, a merge, or blocks that are not needed any more.

use crate::head::{Head, Segment};
use crate::keys;
use crate::limits::{
    COMMIT_BYTES_SOFT, EMAILS_PER_READ, GONE_SHARE, INDEX_BYTES_FREE, READ_AHEAD_BYTES,
};
use crate::search::{SearchError, Shared};
use crate::texts::visit_texts;
use engine::{Batch, CommitNo, Expect, SubmitError, Ticket};
use envelope::AccountId;
use mailbox_model::{EmailId, Usage};
use mailstore::{EmailReader, EmailRecord, FoundEmail, RecordError};
use mime::{Place, TextReader, casemap_into};
use search_index::limits::DOCUMENTS_MAX;
use search_index::{BlockWriter, Term};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

/// What a step did.
#[derive(Debug)]
pub(crate) enum Step {
    /// There is nothing to do.
    Done,
    /// There may be more to do once this is there.
    More(Ticket),
}

/// Bytes of a folded piece that the next begins with again: two characters.
const OVERLAP: usize = 8;

/// Builds one account's index. Runs on the blocking pool.
pub(crate) struct Builder<'a> {
    pub(crate) shared: &'a Shared,
    emails: &'a EmailReader,
    pub(crate) account: AccountId,
    /// Emails below this are there, or will never be.
    given: EmailId,
    usage: Usage,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(
        shared: &'a Shared,
        emails: &'a EmailReader,
        given: EmailId,
        usage: Usage,
    ) -> Self {
        Self {
            shared,
            emails,
            account: emails.account(),
            given,
            usage,
        }
    }

    /// Does one thing. New emails are worth it when there are so many.
    pub(crate) fn step(&self, worth: u64) -> Result<Step, SearchError> {
        let shard = self.shared.engine.shard_of_account(self.account.0);
        let snapshot = self.shared.engine.snapshot(shard);
        let stored = snapshot.get(&keys::head(self.account))?;
        drop(snapshot);
        let (head, version) = match stored {
            None => (Head::default(), None),
            Some(stored) => match Head::decode(&stored.value) {
                Ok(head) => (head, Some(stored.version)),
                Err(error) => {
                    self.shared.forget(self.account)?;
                    return Err(error.into());
                }
            },
        };
        if !head.dropped.is_empty() {
            return self.delete_dropped(head, version);
        }
        if let Some(merged) = self.merge(&head, version)? {
            return Ok(Step::More(merged));
        }
        if head.emails() / GONE_SHARE > self.usage.emails.max(1_000) {
            // Most of it is of emails that are gone.
            let ticket = self.shared.forget(self.account)?;
            return Ok(Step::More(ticket));
        }
        let covered = head.covered();
        let room = self.usage.bytes + INDEX_BYTES_FREE;
        if self.given.0.saturating_sub(covered.0) < worth || head.bytes() > room {
            return Ok(Step::Done);
        }
        self.add(head, version).map(Step::More)
    }

    /// Adds a segment of the emails that come next.
    fn add(&self, mut head: Head, version: Option<CommitNo>) -> Result<Ticket, SearchError> {
        let mut adding = Adding {
            shared: self.shared,
            emails: self.emails,
            first: head.covered(),
            next: head.covered(),
            given: self.given,
            terms: search_index::Builder::with_room(self.shared.options.pairs_per_segment),
            texts: TextReader::default(),
            header: Vec::new(),
            count: 0,
        };
        while adding.has_room() {
            adding.some()?;
        }
        let number = head.next_segment;
        let mut writer = self.writer(number)?;
        let (first, span, emails) = (adding.first.0, adding.next.0 - adding.first.0, adding.count);
        adding
            .terms
            .finish(|term, documents| writer.push(term, documents));
        let bytes = writer.finish()?;
        head.segments.push(Segment {
            number,
            first,
            span,
            emails,
            bytes,
        });
        head.next_segment += 1;
        self.shared.written.fetch_add(1, Ordering::Relaxed);
        self.write_head(&head, version)
    }

    /// Deletes the blocks of segments that no search reads any more.
    fn delete_dropped(
        &self,
        mut head: Head,
        version: Option<CommitNo>,
    ) -> Result<Step, SearchError> {
        for segment in std::mem::take(&mut head.dropped) {
            self.shared
                .delete(self.account, keys::blocks(self.account, segment))?;
        }
        let ticket = self.write_head(&head, version)?;
        Ok(Step::More(ticket))
    }

    /// Shows a head, if it is still the one that was read.
    pub(crate) fn write_head(
        &self,
        head: &Head,
        version: Option<CommitNo>,
    ) -> Result<Ticket, SearchError> {
        loop {
            let mut batch = Batch::new();
            let expected = version.map_or(Expect::Absent, Expect::Version);
            batch.expect(keys::head(self.account), expected);
            // Nothing is written beside an account that was dropped meanwhile.
            let (of_account, state) = self.emails.account_head()?;
            batch.expect(of_account.clone(), Expect::Version(state));
            batch.put(keys::head(self.account), head.encode());
            batch.can_wait();
            match self.shared.engine.submit(batch) {
                // The account changed between the two; it does so now and then.
                Err(SubmitError::Conflict { key, .. }) if key == of_account => {}
                submitted => return Ok(submitted?),
            }
        }
    }

    /// Writes the blocks of a new segment; what an earlier try left of it goes first.
    pub(crate) fn writer(&self, segment: u64) -> Result<SegmentWriter<'a>, SearchError> {
        self.shared
            .delete(self.account, keys::blocks(self.account, segment))?;
        Ok(SegmentWriter {
            blocks: BlockWriter::default(),
            sink: Sink {
                shared: self.shared,
                account: self.account,
                segment,
                batch: Batch::new(),
                bytes: 0,
                failed: None,
            },
        })
    }
}

/// A segment's terms on their way into the store.
pub(crate) struct SegmentWriter<'a> {
    blocks: BlockWriter,
    sink: Sink<'a>,
}

impl SegmentWriter<'_> {
    pub(crate) fn push(&mut self, term: Term, documents: &[u32]) {
        let sink = &mut self.sink;
        self.blocks
            .push(term, documents, |first, block| sink.block(first, block));
    }

    /// Bytes of all blocks.
    pub(crate) fn finish(self) -> Result<u64, SearchError> {
        let mut sink = self.sink;
        self.blocks.finish(|first, block| sink.block(first, block));
        sink.submit();
        match sink.failed {
            Some(error) => Err(error),
            None => Ok(sink.bytes),
        }
    }
}

/// Takes blocks; a failure is told at the end.
struct Sink<'a> {
    shared: &'a Shared,
    account: AccountId,
    segment: u64,
    batch: Batch,
    bytes: u64,
    failed: Option<SearchError>,
}

impl Sink<'_> {
    fn block(&mut self, first: Term, block: Vec<u8>) {
        self.bytes += block.len() as u64;
        let key = keys::block(self.account, self.segment, first);
        if self.batch.size_bytes() + block.len() > COMMIT_BYTES_SOFT {
            self.submit();
        }
        self.batch.put(key, block);
    }

    fn submit(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
        if batch.is_empty() || self.failed.is_some() {
            return;
        }
        batch.can_wait();
        if let Err(error) = self.shared.engine.submit(batch) {
            self.failed = Some(error.into());
        }
    }
}

/// A new segment on its way.
struct Adding<'a> {
    shared: &'a Shared,
    emails: &'a EmailReader,
    first: EmailId,
    /// The number that is looked at next.
    next: EmailId,
    given: EmailId,
    terms: search_index::Builder,
    texts: TextReader,
    header: Vec<u8>,
    count: u64,
}

impl Adding<'_> {
    fn has_room(&self) -> bool {
        let options = &self.shared.options;
        self.next < self.given
            && self.terms.len() < options.pairs_per_segment
            && self.count < options.emails_per_segment as u64
    }

    /// Adds the emails that come next, some hundreds at most.
    fn some(&mut self) -> Result<(), SearchError> {
        let room = self.shared.options.emails_per_segment as u64 - self.count;
        let room = usize::try_from(room)
            .unwrap_or(usize::MAX)
            .min(EMAILS_PER_READ);
        let end = EmailId(self.first.0.saturating_add(u64::from(DOCUMENTS_MAX)));
        let end = end.min(self.given);
        let found = self.emails.records_between(self.next, end, room)?;
        if found.len() < room && end < self.given {
            // Numbers that were never given, after a disaster: the next segment begins behind them.
            self.given = end;
        }
        let mut rest = found.as_slice();
        let behind = match found.last() {
            Some((last, _)) if found.len() == room => last.next(),
            _ => end,
        };
        while !rest.is_empty() {
            let (now, later) = rest.split_at(together(rest));
            let blobs = now.iter().filter_map(|(_, record)| record.as_ref().ok());
            let blobs: Vec<_> = blobs.map(|record| record.blob).collect();
            let whole = blobs.len() == now.len() && bytes_of(now) <= READ_AHEAD_BYTES;
            let bodies = match whole {
                true => self.emails.short_bodies(&blobs, bytes_of(now)),
                false => mailstore::ShortBodies::default(),
            };
            for (at, (email, record)) in now.iter().enumerate() {
                if self.email(*email, record, bodies.body(at)).is_break() {
                    return Ok(());
                }
            }
            rest = later;
        }
        self.next = behind;
        Ok(())
    }

    fn email(
        &mut self,
        email: EmailId,
        record: &Result<EmailRecord, RecordError>,
        body: Option<&bytes::Bytes>,
    ) -> ControlFlow<()> {
        let terms = &mut self.terms;
        let read = match record {
            Ok(record) => visit_texts(
                &mut self.texts,
                (self.emails, record, body),
                (&casemap_into, OVERLAP),
                &mut self.header,
                Some(&mut |place, text| {
                    terms.text(place, text);
                    ControlFlow::Continue(())
                }),
            )
            .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match read {
            Ok(()) => addresses(&self.header, terms),
            Err(why) => {
                tracing::warn!(%email, why, "search: an email cannot be read; every search looks at it");
                terms.anything();
            }
        }
        // At most DOCUMENTS_MAX.
        let document = u32::try_from(email.0 - self.first.0).unwrap_or(u32::MAX);
        self.terms.finish_document(document);
        self.count += 1;
        self.next = email.next();
        match self.has_room() || self.next >= self.given {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    }
}

/// FROM and its like look at addresses as the ENVELOPE has them too.
fn addresses(header: &[u8], terms: &mut search_index::Builder) {
    let fields = mime::HeaderReader::new(header);
    let named = |field: &mime::Field<'_>| {
        ["from", "to", "cc", "bcc"]
            .iter()
            .any(|name| field.is(name))
    };
    let mut folded = String::new();
    for field in fields.filter(named) {
        for mailbox in mime::mailboxes(&mime::parse_addresses(field.value)) {
            folded.clear();
            let text = format!("{} <{}>", mailbox.name_text(), mailbox.address_text());
            casemap_into(&text, &mut folded);
            terms.text(Place::Header, &folded);
        }
    }
}

/// How many of these are read together.
fn together(rest: &[FoundEmail]) -> usize {
    let mut bytes = 0;
    let fits = |(_, record): &&FoundEmail| {
        bytes += record
            .as_ref()
            .map_or(u64::MAX / 2, |record| record.blob_size);
        bytes <= READ_AHEAD_BYTES
    };
    rest.iter().take_while(fits).count().max(1)
}

fn bytes_of(some: &[FoundEmail]) -> u64 {
    let sizes = some.iter().filter_map(|(_, record)| record.as_ref().ok());
    sizes.map(|record| record.blob_size).sum()
}
