//! Octets by their ids, read piece by piece. RFC 8620 §6.2
//!
//! An id leads inward: to an email or an upload, to a part of it, to a part of the message that this is. What lies
//! on the way is a range of what is outside, and decoded where it is encoded; so a part of a
//! part is read as any other, and nothing is in memory but a piece. Where parts of parts are is found by
//! reading what they are in once.

use crate::Jmap;
use crate::blob_id::{Base, BlobRef};
use crate::budget::Budget;
use crate::limits::{NESTED_BYTES_MAX, NESTED_DEPTH_MAX, PIECE_BYTES};
use crate::look::Look;
use crate::methods::setting::refused;
use crate::methods::store_failed;
use blobs::BlobReader;
use bytes::Bytes;
use jmap_proto::{MethodError, SetError};
use mailstore::{Account, EmailRecord, MessageReader, RecordError, StoreError};
use mime::transfer::Decoder;
use mime::{Encoding, Indexer, Part, PartIndex, PartKind, StoredDigest};
use runtime::Runtime;
use std::ops::Range;
use std::sync::Arc;

/// Why octets that are there are not given.
#[derive(Debug)]
pub(crate) enum Unread {
    Store(StoreError),
    /// The request has had enough read.
    TooMuch,
}

impl<E: Into<StoreError>> From<E> for Unread {
    fn from(error: E) -> Self {
        Self::Store(error.into())
    }
}

impl Unread {
    /// What the call is told.
    pub(crate) fn method_error(&self) -> MethodError {
        match self {
            Self::Store(error) => store_failed(error),
            Self::TooMuch => MethodError::RequestTooLarge,
        }
    }

    /// What is told of the object that needs them.
    pub(crate) fn set_error(&self) -> SetError {
        match self {
            Self::Store(error) => refused(error),
            // RFC 8620 §5.3: it may work if it is tried again, by itself.
            Self::TooMuch => SetError::new("rateLimit", "too much had to be read for this request"),
        }
    }
}

/// Octets that somebody asked for.
pub(crate) struct Opened {
    way: Arc<Way>,
    budget: Arc<Budget>,
    source: Source,
    /// From the outside inward.
    filters: Vec<Filter>,
    is_done: bool,
    /// How many there are, where that is known without reading them.
    pub(crate) size: Option<u64>,
}

enum Source {
    Message(MessageReader),
    Upload(UploadReader),
}

/// What stands on the way inward.
enum Filter {
    /// A range of what comes: so much is left out, and then so much is taken.
    Range { skip: u64, take: u64 },
    /// A transfer encoding; none once it has ended.
    Decode(Option<Decoder>),
}

impl Filter {
    fn pass(&mut self, piece: &Bytes) -> Bytes {
        match self {
            Self::Range { skip, take } => {
                let len = piece.len() as u64;
                let (start, end) = ((*skip).min(len), skip.saturating_add(*take).min(len));
                *skip -= start;
                *take -= end - start;
                piece.slice(start as usize..end as usize)
            }
            Self::Decode(Some(decoder)) => {
                let mut out = Vec::with_capacity(piece.len());
                decoder.push(piece, &mut out);
                out.into()
            }
            Self::Decode(None) => Bytes::new(),
        }
    }

    /// Nothing that comes will be let through.
    fn is_closed(&self) -> bool {
        matches!(self, Self::Range { take: 0, .. } | Self::Decode(None))
    }
}

impl Opened {
    /// The next piece, never empty; none at the end.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) async fn next_piece(&mut self) -> Result<Option<Bytes>, StoreError> {
        while !self.is_done {
            let open = !self.filters.iter().any(Filter::is_closed);
            let piece = match (&mut self.source, open) {
                (_, false) => None,
                (Source::Message(reader), true) => reader.next_piece().await?,
                (Source::Upload(reader), true) => reader.next_piece().await?,
            };
            let piece = match piece {
                Some(piece) => self.through(0, piece),
                None => {
                    self.is_done = true;
                    self.finish()
                }
            };
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    fn through(&mut self, first: usize, piece: Bytes) -> Bytes {
        let filters = &mut self.filters[first..];
        filters
            .iter_mut()
            .fold(piece, |piece, filter| filter.pass(&piece))
    }

    /// What decoders still hold.
    fn finish(&mut self) -> Bytes {
        let mut rest = Vec::new();
        for at in 0..self.filters.len() {
            if let Filter::Decode(decoder) = &mut self.filters[at]
                && let Some(decoder) = decoder.take()
            {
                let mut held = Vec::new();
                decoder.finish(&mut held);
                rest.extend_from_slice(&self.through(at + 1, held.into()));
            }
        }
        rest.into()
    }

    /// Reads them once, from the beginning, to know them before anything is written.
    ///
    /// # Errors
    /// They cannot be read, or the budget is spent.
    pub(crate) async fn survey(&self) -> Result<Survey, Unread> {
        let mut again = Way::open(&self.way, &self.budget);
        let mut survey = Survey::default();
        while let Some(piece) = again.next_piece().await? {
            if !self.budget.take(piece.len() as u64) {
                return Err(Unread::TooMuch);
            }
            survey.take(&piece);
        }
        Ok(survey)
    }

    /// All of them; none if there are more than `max`.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) async fn whole(mut self, max: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let mut all = Vec::new();
        while let Some(piece) = self.next_piece().await? {
            if (all.len() + piece.len()) as u64 > max {
                return Ok(None);
            }
            all.extend_from_slice(&piece);
        }
        Ok(Some(all))
    }
}

/// What is known of octets that were read once.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) size: u64,
    /// As a message, whose lines end with CRLF.
    pub(crate) message_size: u64,
    pub(crate) has_nul: bool,
}

impl Survey {
    fn take(&mut self, piece: &[u8]) {
        let len = piece.len() as u64;
        self.size += len;
        self.has_nul |= memchr::memchr(0, piece).is_some();
        let ends = memchr::memchr2_iter(b'\r', b'\n', piece).count();
        let pairs = memchr::memmem::find_iter(piece, b"\r\n").count();
        // A CR or an LF that stands alone becomes both.
        self.message_size += len + (ends - 2 * pairs) as u64;
    }
}

/// What was uploaded.
struct UploadReader {
    runtime: Runtime,
    reader: Arc<BlobReader>,
    range: Range<u64>,
}

impl UploadReader {
    async fn next_piece(&mut self) -> Result<Option<Bytes>, StoreError> {
        let reader = Arc::clone(&self.reader);
        let range = self.range.start..self.range.end.min(self.range.start + PIECE_BYTES);
        if range.is_empty() {
            return Ok(None);
        }
        let piece = self.runtime.blocking(move || reader.read(range)).await?;
        self.range.start += piece.len() as u64;
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
    }
}

/// The way to octets.
#[derive(Clone)]
struct Way {
    base: Outermost,
    steps: Vec<Step>,
}

/// What everything else stands in.
#[derive(Clone)]
enum Outermost {
    Email(Arc<Account>, Box<EmailRecord>),
    Upload(Runtime, Arc<BlobReader>, u64),
}

/// A range of what is outside, and how it is encoded.
#[derive(Debug, Clone)]
struct Step {
    range: Range<u64>,
    encoding: Encoding,
}

impl Way {
    fn open(this: &Arc<Self>, budget: &Arc<Budget>) -> Opened {
        let mut range = match &this.base {
            Outermost::Email(_, record) => 0..record.size(),
            Outermost::Upload(_, _, size) => 0..*size,
        };
        let mut filters = Vec::new();
        for step in &this.steps {
            let (start, end) = (step.range.start, step.range.end);
            if filters.is_empty() {
                // What is not encoded yet can be read from anywhere.
                let start = range.start.saturating_add(start).min(range.end);
                range = start..range.start.saturating_add(end).clamp(start, range.end);
            } else {
                let take = end.saturating_sub(start);
                filters.push(Filter::Range { skip: start, take });
            }
            if !step.encoding.is_identity() {
                filters.push(Filter::Decode(Some(Decoder::new(step.encoding))));
            }
        }
        let size = match this.steps.last() {
            Some(last) if !last.encoding.is_identity() => None,
            Some(last) if !filters.is_empty() => Some(last.range.end - last.range.start),
            _ => Some(range.end - range.start),
        };
        let source = match &this.base {
            Outermost::Email(account, record) => {
                Source::Message(account.open_message(record, range))
            }
            Outermost::Upload(runtime, reader, _) => Source::Upload(UploadReader {
                runtime: runtime.clone(),
                reader: Arc::clone(reader),
                range,
            }),
        };
        Opened {
            way: Arc::clone(this),
            budget: Arc::clone(budget),
            source,
            filters,
            is_done: false,
            size,
        }
    }
}

impl Jmap {
    /// Octets of an account; none if the user may not know of such. What is read to find them is the budget's.
    ///
    /// # Errors
    /// They cannot be read, or the budget is spent.
    pub(crate) async fn open_blob(
        &self,
        look: &Look,
        id: &str,
        budget: &Arc<Budget>,
    ) -> Result<Option<Opened>, Unread> {
        match BlobRef::parse(id) {
            Some(blob) if blob.path.len() <= NESTED_DEPTH_MAX => {
                self.open(look, &blob, budget).await
            }
            _ => Ok(None),
        }
    }

    async fn open(
        &self,
        look: &Look,
        blob: &BlobRef,
        budget: &Arc<Budget>,
    ) -> Result<Option<Opened>, Unread> {
        let account = &look.room.account;
        let (mut way, path) = match blob.base {
            Base::Email(email) => {
                if !look.is_shown(email) {
                    return Ok(None);
                }
                let record = match account.email_record(email).await {
                    Ok(record) => record,
                    Err(RecordError::Missing(_)) => return Ok(None),
                    Err(error) => return Err(error.into()),
                };
                let mut steps = Vec::new();
                let mut path = &blob.path[..];
                if let Some((part, rest)) = path.split_first() {
                    let damaged = |error| RecordError::Damaged(email, error);
                    let digest = StoredDigest::read(&record.digest).map_err(damaged)?;
                    let parts = digest.parts().map_err(damaged)?;
                    match step_to(&parts, *part, record.prefix.len() as u64) {
                        Some(step) => steps.push(step),
                        None => return Ok(None),
                    }
                    path = rest;
                }
                let base = Outermost::Email(Arc::clone(account), Box::new(record));
                (Way { base, steps }, path)
            }
            Base::Upload(number) => {
                // Uploads are their user's, whatever account he put them into; others' are not there.
                let upload = self.upload(look.room.user(), number);
                let Some(mut upload) = upload else {
                    return Ok(None);
                };
                let blobs = Arc::clone(&self.shared.ports.blobs);
                let runtime = self.shared.ports.runtime.clone();
                let size = upload.size;
                let reader = runtime
                    .blocking(move || blobs.open_staged(&mut upload))
                    .await?;
                let base = Outermost::Upload(runtime, Arc::new(reader), size);
                let steps = Vec::new();
                (Way { base, steps }, &blob.path[..])
            }
        };
        for part in path {
            let outside = Arc::new(way.clone());
            let Some(parts) = self.parts_in(Way::open(&outside, budget)).await? else {
                return Ok(None);
            };
            match step_to(&parts, *part, 0) {
                Some(step) => way.steps.push(step),
                None => return Ok(None),
            }
        }
        Ok(Some(Way::open(&Arc::new(way), budget)))
    }

    /// The parts of what is opened; none if it is too large to be looked through.
    async fn parts_in(&self, mut opened: Opened) -> Result<Option<PartIndex>, Unread> {
        if opened.size.is_some_and(|size| size > NESTED_BYTES_MAX) {
            return Ok(None);
        }
        let runtime = &self.shared.ports.runtime;
        let mut indexer = Indexer::new(mime::Limits::default());
        let mut read = 0;
        while let Some(piece) = opened.next_piece().await? {
            read += piece.len() as u64;
            if read > NESTED_BYTES_MAX {
                return Ok(None);
            }
            if !opened.budget.take(piece.len() as u64) {
                return Err(Unread::TooMuch);
            }
            let work = move || {
                indexer.push(&piece);
                indexer
            };
            indexer = runtime.blocking(work).await;
        }
        let parts = runtime.blocking(move || indexer.finish().parts).await;
        Ok(Some(parts))
    }
}

/// RFC 8621 §4.1.4: a multipart has no octets of its own.
fn step_to(parts: &PartIndex, at: u32, behind: u64) -> Option<Step> {
    let part: &Part = parts.part(at)?;
    let encoding = match part.kind {
        PartKind::Leaf => part.encoding,
        PartKind::Message => Encoding::Binary,
        PartKind::Multipart => return None,
    };
    Some(Step {
        range: part.body.start + behind..part.body.end + behind,
        encoding,
    })
}
