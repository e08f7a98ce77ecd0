//! `BODY[…]` and the RFC822 items of RFC 3501: ranges of the message as shown.

use super::{Message, Rendered};
use crate::limits::{HEADER_BYTES_MAX, OUTPUT_BYTES};
use crate::reply::Ended;
use crate::session::Session;
use bytes::Bytes;
use imap_proto::response;
use imap_proto::{FetchItem, Partial, Section, SectionText};
use mailstore::{EmailRecord, StoreError};
use mime::{SectionSpec, StoredDigest};
use std::ops::Range;
use std::sync::OnceLock;

/// The whole message, of RFC822.
const MESSAGE: Section = Section {
    part: Vec::new(),
    text: SectionText::Whole,
};
const HEADER: Section = Section {
    part: Vec::new(),
    text: SectionText::Header,
};
const TEXT: Section = Section {
    part: Vec::new(),
    text: SectionText::Text,
};

pub(super) async fn write(
    session: &mut Session,
    message: &Message<'_>,
    item: &FetchItem,
) -> Result<Rendered, Ended> {
    let (section, partial) = match item {
        FetchItem::BodySection {
            section, partial, ..
        } => (section, *partial),
        FetchItem::Rfc822Header => (&HEADER, None),
        FetchItem::Rfc822Text => (&TEXT, None),
        _ => (&MESSAGE, None),
    };
    let Some((record, digest)) = message.record else {
        session.out.extend_from_slice(b"NIL");
        return Ok(Rendered::Broken);
    };
    if let (SectionText::HeaderFields(names), []) = (&section.text, &section.part[..]) {
        let from = session.out.len();
        if write_cached_fields(record, &digest, names, &mut session.out) {
            frame(&mut session.out, from, partial);
            return Ok(Rendered::Whole);
        }
    }
    let (text, names) = match &section.text {
        SectionText::Whole => (mime::SectionText::Whole, None),
        SectionText::Header => (mime::SectionText::Header, None),
        SectionText::Text => (mime::SectionText::Text, None),
        SectionText::Mime => (mime::SectionText::Mime, None),
        SectionText::HeaderFields(names) => (mime::SectionText::Header, Some((names, false))),
        SectionText::HeaderFieldsNot(names) => (mime::SectionText::Header, Some((names, true))),
    };
    let spec = SectionSpec {
        path: section.part.clone(),
        text,
    };
    let prefix_len = record.prefix.len() as u64;
    let range = match digest.section(&spec, prefix_len) {
        Ok(Some(range)) => range,
        // RFC 9051 §6.4.5: a part that is not there is NIL.
        Ok(None) => {
            session.out.extend_from_slice(b"NIL");
            return Ok(Rendered::Whole);
        }
        Err(error) => {
            log_broken(session, message, &error);
            session.out.extend_from_slice(b"NIL");
            return Ok(Rendered::Broken);
        }
    };
    let Some((names, not)) = names else {
        return write_range(session, message, record, clip(range, partial)).await;
    };
    let bounded = range.start..range.end.min(range.start + HEADER_BYTES_MAX);
    // Of many items of the message's header the first reads it for all.
    let whose = Some(&message.header).filter(|_| section.part.is_empty());
    let header = match whose.and_then(OnceLock::get) {
        Some(header) => Ok(header.clone()),
        None => read_header(message, record, bounded).await,
    };
    match header {
        Ok(header) => {
            let header = whose.map_or(&header, |whose| whose.get_or_init(|| header.clone()));
            let fields = mime::header_fields(header, names, not);
            write_slice(&mut session.out, &fields, partial);
            Ok(Rendered::Whole)
        }
        Err(error) => {
            log_broken(session, message, &error);
            session.out.extend_from_slice(b"NIL");
            Ok(Rendered::Broken)
        }
    }
}

async fn read_header(
    message: &Message<'_>,
    record: &EmailRecord,
    range: Range<u64>,
) -> Result<Bytes, StoreError> {
    let Some(body) = &message.body else {
        return message.account.read_message(record, range).await;
    };
    let known = record.prefix.len() + body.len();
    let at = |octet: u64| usize::try_from(octet).unwrap_or(usize::MAX).min(known);
    let (start, end) = (at(range.start), at(range.end));
    let shown = record.prefix.iter().chain(&body[..]);
    Ok(shown
        .skip(start)
        .take(end.saturating_sub(start))
        .copied()
        .collect())
}

/// Writes HEADER.FIELDS without opening the message; false where the record does
/// not have them all.
fn write_cached_fields(
    record: &EmailRecord,
    digest: &StoredDigest<'_>,
    names: &[String],
    out: &mut Vec<u8>,
) -> bool {
    let from = out.len();
    // The prefix's own fields stand in front.
    mime::write_header_fields(&record.prefix, names, false, out);
    let written = digest.write_cached_fields(names, out);
    if !written {
        out.truncate(from);
    }
    written
}

/// Makes what was written from there on a literal of what was asked for of it.
fn frame(out: &mut Vec<u8>, from: usize, partial: Option<Partial>) {
    let range = clip(0..(out.len() - from) as u64, partial);
    out.truncate(from + range.end as usize);
    let mut head = Vec::with_capacity(16);
    response::write_literal_head(&mut head, range.end - range.start);
    out.splice(from..from + range.start as usize, head);
}

/// The part of a range that was asked for.
fn clip(range: Range<u64>, partial: Option<Partial>) -> Range<u64> {
    let Some(partial) = partial else {
        return range;
    };
    let start = range.start.saturating_add(partial.offset).min(range.end);
    let end = start.saturating_add(partial.length).min(range.end);
    start..end
}

/// Writes what was asked for of octets that are in memory.
pub(super) fn write_slice(out: &mut Vec<u8>, octets: &[u8], partial: Option<Partial>) {
    let range = clip(0..octets.len() as u64, partial);
    response::write_literal(out, &octets[range.start as usize..range.end as usize]);
}

/// Streams a range as a literal.
async fn write_range(
    session: &mut Session,
    message: &Message<'_>,
    record: &EmailRecord,
    range: Range<u64>,
) -> Result<Rendered, Ended> {
    // A record that claims more than there is must not make us promise it.
    let range = range.start.min(record.size())..range.end.min(record.size());
    let mut left = range.end - range.start;
    response::write_literal_head(&mut session.out, left);
    if let Some(body) = &message.body {
        return write_known(session, record, body, range).await;
    }
    let mut reader = message.account.open_message(record, range);
    while left > 0 {
        match reader.next_piece().await {
            Ok(Some(piece)) => {
                let piece = &piece[..piece.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
                left -= piece.len() as u64;
                write_piece(session, piece).await?;
            }
            Ok(None) => return fill(session, left).await,
            Err(error) => {
                log_broken(session, message, &error);
                return fill(session, left).await;
            }
        }
    }
    Ok(Rendered::Whole)
}

/// Writes a range of a message whose body is in memory.
async fn write_known(
    session: &mut Session,
    record: &EmailRecord,
    body: &[u8],
    range: Range<u64>,
) -> Result<Rendered, Ended> {
    let prefix = &record.prefix[..];
    let mut left = range.end - range.start;
    let mut skip = range.start;
    for part in [prefix, body] {
        let part = part
            .get(usize::try_from(skip).unwrap_or(usize::MAX)..)
            .unwrap_or(&[]);
        let part = &part[..part.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        write_piece(session, part).await?;
        left -= part.len() as u64;
        skip = skip.saturating_sub(prefix.len() as u64);
    }
    if left > 0 {
        return fill(session, left).await;
    }
    Ok(Rendered::Whole)
}

/// Sends a piece of a literal, without gathering more than is permitted.
pub(super) async fn write_piece(session: &mut Session, piece: &[u8]) -> Result<(), Ended> {
    if session.out.len() + piece.len() < OUTPUT_BYTES {
        session.out.extend_from_slice(piece);
        return Ok(());
    }
    session.flush().await?;
    session.conn.write_all(piece).await?;
    Ok(())
}

/// Blanks for octets that were promised and cannot be had.
pub(super) async fn fill(session: &mut Session, mut left: u64) -> Result<Rendered, Ended> {
    const BLANKS: [u8; 4096] = [b' '; 4096];
    while left > 0 {
        let len = left.min(BLANKS.len() as u64);
        write_piece(session, &BLANKS[..len as usize]).await?;
        left -= len;
    }
    Ok(Rendered::Broken)
}

pub(super) fn log_broken(session: &Session, message: &Message<'_>, error: &dyn std::error::Error) {
    tracing::error!(session = session.id, account = %message.account.id(), email = %message.entry.email, %error, "imap: a message cannot be read");
}
