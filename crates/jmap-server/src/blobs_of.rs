//! Octets by their ids, read piece by piece. RFC 8620 §6.2

use crate::Jmap;
use crate::blob_id::{Base, BlobRef};
use crate::email::message::{Memory, Message};
use crate::limits::{NESTED_BYTES_MAX, NESTED_DEPTH_MAX, PIECE_BYTES};
use crate::look::Look;
use blobs::BlobReader;
use bytes::Bytes;
use mailstore::{Account, EmailRecord, MessageReader, RecordError, StoreError};
use mime::transfer::Decoder;
use mime::{Encoding, Part, PartIndex, PartKind, StoredDigest};
use runtime::Runtime;
use std::sync::Arc;

/// Octets that somebody asked for.
pub(crate) struct Opened {
    reader: Reader,
    /// How many there are, where that is known without reading them.
    pub(crate) size: Option<u64>,
}

enum Reader {
    Message(MessageReader),
    Part(Box<PartReader>),
    Upload(UploadReader),
    Memory(Option<Bytes>),
}

impl Opened {
    fn in_memory(octets: Bytes) -> Self {
        Self {
            size: Some(octets.len() as u64),
            reader: Reader::Memory(Some(octets).filter(|octets| !octets.is_empty())),
        }
    }

    /// The next piece, never empty; none at the end.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) async fn next_piece(&mut self) -> Result<Option<Bytes>, StoreError> {
        match &mut self.reader {
            Reader::Message(reader) => reader.next_piece().await,
            Reader::Part(reader) => reader.next_piece().await,
            Reader::Upload(reader) => reader.next_piece().await,
            Reader::Memory(octets) => Ok(octets.take()),
        }
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

/// What stands in a part of an email.
struct PartReader {
    account: Arc<Account>,
    record: EmailRecord,
    at: u64,
    end: u64,
    decoder: Option<Decoder>,
}

impl PartReader {
    async fn next_piece(&mut self) -> Result<Option<Bytes>, StoreError> {
        loop {
            if self.at >= self.end {
                // What the decoder still holds.
                let mut rest = Vec::new();
                if let Some(decoder) = self.decoder.take() {
                    decoder.finish(&mut rest);
                }
                return Ok(Some(rest.into()).filter(|rest: &Bytes| !rest.is_empty()));
            }
            let to = (self.at + PIECE_BYTES).min(self.end);
            let piece = self.account.read_message(&self.record, self.at..to).await?;
            if piece.is_empty() {
                let why = "the body is shorter than its record says";
                return Err(blobs::BlobError::Damaged(why).into());
            }
            self.at += piece.len() as u64;
            let Some(decoder) = &mut self.decoder else {
                return Ok(Some(piece));
            };
            let mut out = Vec::with_capacity(piece.len());
            decoder.push(&piece, &mut out);
            if !out.is_empty() {
                return Ok(Some(out.into()));
            }
        }
    }
}

/// What was uploaded.
struct UploadReader {
    runtime: Runtime,
    reader: Arc<BlobReader>,
    at: u64,
}

impl UploadReader {
    async fn next_piece(&mut self) -> Result<Option<Bytes>, StoreError> {
        let reader = Arc::clone(&self.reader);
        let range = self.at..self.at + PIECE_BYTES;
        let piece = self.runtime.blocking(move || reader.read(range)).await?;
        self.at += piece.len() as u64;
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
    }
}

impl Jmap {
    /// Octets of an account; none if the user may not know of such.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) async fn open_blob(
        &self,
        look: &Look,
        id: &str,
    ) -> Result<Option<Opened>, StoreError> {
        match BlobRef::parse(id) {
            Some(blob) if blob.path.len() <= NESTED_DEPTH_MAX => self.open(look, &blob).await,
            _ => Ok(None),
        }
    }

    async fn open(&self, look: &Look, blob: &BlobRef) -> Result<Option<Opened>, StoreError> {
        let account = &look.room.account;
        let (outer, path) = match (&blob.base, blob.path.split_first()) {
            (Base::Email(email), at) => {
                if !look.is_shown(*email) {
                    return Ok(None);
                }
                let record = match account.email_record(*email).await {
                    Ok(record) => record,
                    Err(RecordError::Missing(_)) => return Ok(None),
                    Err(error) => return Err(error.into()),
                };
                match at {
                    None => {
                        let size = record.size();
                        let reader = account.open_message(&record, 0..size);
                        (
                            Opened {
                                reader: Reader::Message(reader),
                                size: Some(size),
                            },
                            &[][..],
                        )
                    }
                    Some((part, rest)) => {
                        let damaged = |error| RecordError::Damaged(*email, error);
                        let digest = StoredDigest::read(&record.digest).map_err(damaged)?;
                        let parts = digest.parts().map_err(damaged)?;
                        match open_part(account, record, &parts, *part) {
                            Some(opened) => (opened, rest),
                            None => return Ok(None),
                        }
                    }
                }
            }
            (Base::Upload(number), _) => {
                // Uploads are their user's, whatever account he put them into; others' are not there.
                let upload = self.upload(look.room.user(), *number);
                let Some(mut upload) = upload else {
                    return Ok(None);
                };
                let blobs = Arc::clone(&self.shared.ports.blobs);
                let runtime = self.shared.ports.runtime.clone();
                let size = upload.blob.size;
                let reader = runtime
                    .blocking(move || blobs.open_staged(&mut upload.blob))
                    .await?;
                let reader = UploadReader {
                    runtime,
                    reader: Arc::new(reader),
                    at: 0,
                };
                (
                    Opened {
                        reader: Reader::Upload(reader),
                        size: Some(size),
                    },
                    &blob.path[..],
                )
            }
        };
        if path.is_empty() {
            return Ok(Some(outer));
        }
        let Some(mut octets) = outer.whole(NESTED_BYTES_MAX).await? else {
            return Ok(None);
        };
        let (base, path) = (blob.base.clone(), path.to_vec());
        let inside = move || {
            for part in path {
                let named = BlobRef {
                    base: base.clone(),
                    path: Vec::new(),
                };
                let source = Memory(&octets);
                let message = Message::indexed(named, &octets, &source);
                if is_container(message.part(part)?) {
                    return None;
                }
                let (inner, _) = message.decoded(part, NESTED_BYTES_MAX).ok()?;
                octets = inner;
            }
            Some(Bytes::from(octets))
        };
        let inside = self.shared.ports.runtime.blocking(inside).await;
        Ok(inside.map(Opened::in_memory))
    }
}

/// RFC 8621 §4.1.4: a multipart has no octets of its own.
fn is_container(part: &Part) -> bool {
    part.kind == PartKind::Multipart
}

fn open_part(
    account: &Arc<Account>,
    record: EmailRecord,
    parts: &PartIndex,
    at: u32,
) -> Option<Opened> {
    let part = parts.part(at).filter(|part| !is_container(part))?;
    let encoding = match part.kind {
        PartKind::Leaf => part.encoding,
        _ => Encoding::Binary,
    };
    let prefix = record.prefix.len() as u64;
    let (start, end) = (part.body.start + prefix, part.body.end + prefix);
    let plain = encoding.is_identity();
    let reader = PartReader {
        account: Arc::clone(account),
        record,
        at: start,
        end,
        decoder: (!plain).then(|| Decoder::new(encoding)),
    };
    Some(Opened {
        reader: Reader::Part(Box::new(reader)),
        size: plain.then(|| end.saturating_sub(start)),
    })
}
