//! `BINARY[…]` and `BINARY.SIZE[…]`: parts with their transfer encoding undone
//! (RFC 3516). A long part is read twice: once to know its size.

use super::body::{fill, log_broken, write_piece};
use super::{Message, Rendered};
use crate::reply::Ended;
use crate::session::Session;
use imap_proto::Partial;
use imap_proto::response;
use mailstore::{EmailRecord, StoreError};
use mime::transfer::Decoder;
use mime::{Encoding, PartKind, SectionSpec};
use std::ops::Range;
use wire::codec::DecodeError;

/// A part's octets in the message, and how they are encoded.
struct Source<'a> {
    record: &'a EmailRecord,
    range: Range<u64>,
    encoding: Encoding,
}

/// What the first reading finds.
struct Measured {
    size: u64,
    has_nul: bool,
    is_ascii: bool,
}

enum Found<'a> {
    Part(Source<'a>),
    NoPart,
    UnknownEncoding,
    Damaged(DecodeError),
}

pub(super) async fn write_size(
    session: &mut Session,
    message: &Message<'_>,
    part: &[u32],
) -> Result<Rendered, Ended> {
    let source = match find(message, part) {
        Found::Part(source) => source,
        Found::NoPart => {
            session.out.extend_from_slice(b"0");
            return Ok(Rendered::Whole);
        }
        Found::UnknownEncoding => {
            session.out.extend_from_slice(b"0");
            return Ok(Rendered::UnknownEncoding);
        }
        Found::Damaged(error) => {
            log_broken(session, message, &error);
            session.out.extend_from_slice(b"0");
            return Ok(Rendered::Broken);
        }
    };
    match measure(message, &source).await {
        Ok(measured) => {
            response::write_number(&mut session.out, measured.size);
            Ok(Rendered::Whole)
        }
        Err(error) => {
            log_broken(session, message, &error);
            session.out.extend_from_slice(b"0");
            Ok(Rendered::Broken)
        }
    }
}

pub(super) async fn write(
    session: &mut Session,
    message: &Message<'_>,
    part: &[u32],
    partial: Option<Partial>,
) -> Result<Rendered, Ended> {
    let source = match find(message, part) {
        Found::Part(source) => source,
        Found::NoPart => {
            session.out.extend_from_slice(b"NIL");
            return Ok(Rendered::Whole);
        }
        Found::UnknownEncoding => {
            session.out.extend_from_slice(b"NIL");
            return Ok(Rendered::UnknownEncoding);
        }
        Found::Damaged(error) => {
            log_broken(session, message, &error);
            session.out.extend_from_slice(b"NIL");
            return Ok(Rendered::Broken);
        }
    };
    let measured = match measure(message, &source).await {
        Ok(measured) => measured,
        Err(error) => {
            log_broken(session, message, &error);
            session.out.extend_from_slice(b"NIL");
            return Ok(Rendered::Broken);
        }
    };
    let partial = partial.unwrap_or(Partial {
        offset: 0,
        length: u64::MAX,
    });
    let skip = partial.offset.min(measured.size);
    let wanted = partial.length.min(measured.size - skip);
    // RFC 3516 §4.2: literal8 where NUL occurs.
    if measured.has_nul {
        response::write_literal8_head(&mut session.out, wanted);
    } else {
        response::write_literal_head(&mut session.out, wanted);
    }
    stream(session, message, &source, skip, wanted).await
}

/// A part's size once its encoding is undone, and the encoding that it then needs.
/// None if that cannot be done.
pub(crate) async fn decoded(message: &Message<'_>, part: &[u32]) -> Option<(u64, &'static str)> {
    let Found::Part(source) = find(message, part) else {
        return None;
    };
    let measured = measure(message, &source).await.ok()?;
    let encoding = match (measured.has_nul, measured.is_ascii) {
        (true, _) => "binary",
        (false, false) => "8bit",
        (false, true) => "7bit",
    };
    Some((measured.size, encoding))
}

fn find<'a>(message: &Message<'a>, part: &[u32]) -> Found<'a> {
    let Some((record, digest)) = message.record else {
        return Found::NoPart;
    };
    let spec = SectionSpec {
        path: part.to_vec(),
        text: mime::SectionText::Whole,
    };
    let parts = match digest.parts() {
        Ok(parts) => parts,
        Err(error) => return Found::Damaged(error),
    };
    let range = mime::section(&parts, &spec, record.prefix.len() as u64);
    let (Some(range), Some(found)) = (range, mime::part_at(&parts, part)) else {
        return Found::NoPart;
    };
    // The whole message, a multipart and a message have no encoding of their own.
    let encoding = if part.is_empty() || found.kind != PartKind::Leaf {
        Encoding::Binary
    } else {
        found.encoding
    };
    if encoding == Encoding::Other {
        return Found::UnknownEncoding;
    }
    Found::Part(Source {
        record,
        range,
        encoding,
    })
}

async fn measure(message: &Message<'_>, source: &Source<'_>) -> Result<Measured, StoreError> {
    let mut measured = Measured {
        size: 0,
        has_nul: false,
        is_ascii: true,
    };
    let mut reader = message
        .account
        .open_message(source.record, source.range.clone());
    let mut decoder = Decoder::new(source.encoding);
    let mut decoded = Vec::new();
    while let Some(piece) = reader.next_piece().await? {
        decoder.push(&piece, &mut decoded);
        measured.add(&mut decoded);
    }
    decoder.finish(&mut decoded);
    measured.add(&mut decoded);
    Ok(measured)
}

impl Measured {
    fn add(&mut self, decoded: &mut Vec<u8>) {
        self.size += decoded.len() as u64;
        self.has_nul |= decoded.contains(&0);
        self.is_ascii &= decoded.is_ascii();
        decoded.clear();
    }
}

async fn stream(
    session: &mut Session,
    message: &Message<'_>,
    source: &Source<'_>,
    mut skip: u64,
    mut left: u64,
) -> Result<Rendered, Ended> {
    let mut reader = message
        .account
        .open_message(source.record, source.range.clone());
    let mut decoder = Some(Decoder::new(source.encoding));
    let mut decoded = Vec::new();
    while left > 0 {
        match (reader.next_piece().await, &mut decoder) {
            (Ok(Some(piece)), Some(decoder)) => decoder.push(&piece, &mut decoded),
            (Ok(None), ending) => match ending.take() {
                Some(decoder) => decoder.finish(&mut decoded),
                None => return fill(session, left).await,
            },
            (Ok(Some(_)), None) => return fill(session, left).await,
            (Err(error), _) => {
                log_broken(session, message, &error);
                return fill(session, left).await;
            }
        }
        let from = usize::try_from(skip).map_or(decoded.len(), |skip| skip.min(decoded.len()));
        skip -= from as u64;
        let rest = &decoded[from..];
        let taken = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
        left -= taken as u64;
        write_piece(session, &rest[..taken]).await?;
        decoded.clear();
    }
    Ok(Rendered::Whole)
}
