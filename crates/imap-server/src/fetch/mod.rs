//! Data items of FETCH, from entries and email records; bodies by range.
//!
//! Lists never open a message: ENVELOPE, BODY, BODYSTRUCTURE and the cached
//! header fields lie in wire form in the email's record (DESIGN §4). A body is
//! sent piece by piece, so that a slow reader costs one piece of memory.
//!
//! What is promised by a literal's length is always sent: where the store fails
//! in the middle, blanks fill it up and a notice follows.

mod binary;
mod body;

pub(crate) use binary::decoded;

use crate::reply::Ended;
use crate::selected::Selected;
use crate::session::{Enabled, Session};
use bytes::Bytes;
use imap_proto::response;
use imap_proto::{DateTime, FetchItem, SectionText};
use mailbox_model::{EmailId, Entry, Saved, SavedAt, Uid, View};
use mailstore::object_id;
use mailstore::{Account, EmailRecord, InternalDate, Listing};
use mime::StoredDigest;
use std::sync::{Arc, OnceLock};
use wire::codec::DecodeError;

/// A message with what its items need.
pub(crate) struct Message<'a> {
    pub(crate) account: &'a Arc<Account>,
    pub(crate) view: &'a View,
    pub(crate) number: u32,
    pub(crate) entry: &'a Entry,
    /// The record and its digest; none when less is enough.
    pub(crate) record: Option<(&'a EmailRecord, StoredDigest<'a>)>,
    /// What lists show, if that is enough and the entry is not.
    pub(crate) listing: Option<&'a Listing>,
    /// The first email of its thread, where that is asked for and known.
    pub(crate) thread: Option<EmailId>,
    /// The body without its prefix, where it was read ahead.
    pub(crate) body: Option<Bytes>,
    /// Its header, once an item has read it.
    pub(crate) header: OnceLock<Bytes>,
}

/// How a message's answer went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rendered {
    Whole,
    /// A part is in an encoding that is not known (RFC 3516 §4.3).
    UnknownEncoding,
    /// The store could not give all of it.
    Broken,
}

/// Items that are answered from the entry alone.
pub(crate) fn is_in_entry(item: &FetchItem) -> bool {
    matches!(
        item,
        FetchItem::Flags
            | FetchItem::Uid
            | FetchItem::ModSeq
            | FetchItem::Rfc822Size
            | FetchItem::EmailId
            | FetchItem::ThreadId
    )
}

/// Items that are answered from the entry and what lists show.
pub(crate) fn is_in_list(item: &FetchItem) -> bool {
    is_in_entry(item)
        || matches!(
            item,
            FetchItem::Envelope | FetchItem::InternalDate | FetchItem::SaveDate
        )
}

/// Items that open the message.
pub(crate) fn opens_message(item: &FetchItem) -> bool {
    match item {
        FetchItem::BodySection { section, .. } => {
            !matches!(section.text, SectionText::HeaderFields(_)) || !section.part.is_empty()
        }
        FetchItem::Rfc822 | FetchItem::Rfc822Header | FetchItem::Rfc822Text => true,
        _ => false,
    }
}

/// Writes one untagged FETCH.
pub(crate) async fn write_message(
    session: &mut Session,
    message: &Message<'_>,
    items: &[FetchItem],
) -> Result<Rendered, Ended> {
    let mut worst = Rendered::Whole;
    let uid_only = session.enabled.uid_only;
    begin(
        &mut session.out,
        message.number,
        message.entry.uid,
        uid_only,
    );
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            session.out.push(b' ');
        }
        item.write_name(&mut session.out);
        session.out.push(b' ');
        worst = worst.max(write_item(session, message, item).await?);
    }
    session.out.extend_from_slice(b")\r\n");
    Ok(worst)
}

/// `* 3 FETCH (`, or `* 47 UIDFETCH (` (RFC 9586 §3).
fn begin(out: &mut Vec<u8>, number: u32, uid: Uid, uid_only: bool) {
    out.extend_from_slice(b"* ");
    response::write_number(out, u64::from(if uid_only { uid.0 } else { number }));
    out.extend_from_slice(if uid_only {
        b" UIDFETCH ("
    } else {
        b" FETCH ("
    });
}

/// The beginning of an untagged FETCH that nobody asked for, with the UID.
fn begin_update(out: &mut Vec<u8>, rank: usize, uid: Uid, uid_only: bool) {
    let number = u32::try_from(rank + 1).unwrap_or(u32::MAX);
    begin(out, number, uid, uid_only);
    if !uid_only {
        out.extend_from_slice(b"UID ");
        response::write_number(out, u64::from(uid.0));
        out.push(b' ');
    }
}

pub(crate) async fn write_item(
    session: &mut Session,
    message: &Message<'_>,
    item: &FetchItem,
) -> Result<Rendered, Ended> {
    let login = session.login.as_ref().map(|login| login.account.id());
    let out = &mut session.out;
    let entry = message.entry;
    match item {
        FetchItem::Flags => write_flags(out, message.view, entry),
        FetchItem::Uid => response::write_number(out, u64::from(entry.uid.0)),
        FetchItem::ModSeq => write_modseq(out, entry),
        FetchItem::Rfc822Size => response::write_number(out, entry.size()),
        FetchItem::EmailId => {
            let owner = Some(message.account.id()).filter(|_| login != Some(message.account.id()));
            let id = object_id::of_email(entry.email, owner);
            out.extend_from_slice(format!("({id})").as_bytes());
        }
        FetchItem::ThreadId if let Some(first) = message.thread => {
            let owner = Some(message.account.id()).filter(|_| login != Some(message.account.id()));
            let id = object_id::of_thread(first, owner);
            out.extend_from_slice(format!("({id})").as_bytes());
        }
        // RFC 8474 §5.2: who is told NIL makes threads himself.
        FetchItem::ThreadId => out.extend_from_slice(b"NIL"),
        FetchItem::SaveDate if let SavedAt::Second(second) = entry.saved.get() => {
            save_date(second).write(out);
        }
        // RFC 8514 §4.2: NIL where there is none.
        FetchItem::SaveDate if entry.saved == Saved::UNKNOWN => out.extend_from_slice(b"NIL"),
        FetchItem::Envelope if let Some(listing) = message.listing => {
            write_envelope(out, &listing.envelope, session.enabled);
        }
        FetchItem::InternalDate | FetchItem::SaveDate if let Some(listing) = message.listing => {
            internal_date(listing.received_at).write(out);
        }
        _ => {
            let Some((record, digest)) = message.record else {
                out.extend_from_slice(b"NIL");
                return Ok(Rendered::Broken);
            };
            match item {
                FetchItem::Envelope => write_envelope(out, digest.envelope, session.enabled),
                FetchItem::Preview => return write_preview(session, message, digest.preview()),
                FetchItem::Body => return write_structure(session, message, digest.body()),
                FetchItem::BodyStructure => {
                    return write_structure(session, message, digest.body_structure());
                }
                FetchItem::InternalDate | FetchItem::SaveDate => {
                    internal_date(record.received_at).write(out);
                }
                FetchItem::Binary { part, partial, .. } => {
                    return binary::write(session, message, part, *partial).await;
                }
                FetchItem::BinarySize { part } => {
                    return binary::write_size(session, message, part).await;
                }
                _ => return body::write(session, message, item).await,
            }
        }
    }
    Ok(Rendered::Whole)
}

/// In encoded words for everyone but those who asked for UTF-8 (PRACTICE §6).
fn write_envelope(out: &mut Vec<u8>, wire: &[u8], enabled: Enabled) {
    let utf8 = match enabled.utf8 {
        true => mime::envelope_in_utf8(wire),
        false => None,
    };
    out.extend_from_slice(utf8.as_deref().unwrap_or(wire));
}

fn write_structure(
    session: &mut Session,
    message: &Message<'_>,
    structure: Result<&[u8], DecodeError>,
) -> Result<Rendered, Ended> {
    match structure {
        Ok(structure) => {
            session.out.extend_from_slice(structure);
            Ok(Rendered::Whole)
        }
        Err(error) => {
            body::log_broken(session, message, &error);
            session.out.extend_from_slice(b"NIL");
            Ok(Rendered::Broken)
        }
    }
}

/// RFC 8970 §4: in UTF-8, which quotes hold only for clients that take it there.
fn write_preview(
    session: &mut Session,
    message: &Message<'_>,
    preview: Result<&str, DecodeError>,
) -> Result<Rendered, Ended> {
    match preview {
        Ok(preview) if session.enabled.takes_utf8() => {
            response::write_utf8_string(&mut session.out, preview);
            Ok(Rendered::Whole)
        }
        Ok(preview) => {
            response::write_string(&mut session.out, preview.as_bytes());
            Ok(Rendered::Whole)
        }
        Err(error) => {
            body::log_broken(session, message, &error);
            session.out.extend_from_slice(b"NIL");
            Ok(Rendered::Broken)
        }
    }
}

/// A second in which a copy was saved, in UTC.
pub(crate) fn save_date(second: u32) -> DateTime {
    internal_date(InternalDate {
        unix_seconds: second.into(),
        zone_minutes: 0,
    })
}

/// INTERNALDATE.
pub(crate) fn internal_date(received_at: InternalDate) -> DateTime {
    DateTime {
        unix_s: received_at.unix_seconds,
        offset_min: received_at.zone_minutes,
    }
}

fn write_flags(out: &mut Vec<u8>, view: &View, entry: &Entry) {
    let flags: Vec<_> = entry.flags().map(|flag| view.flag(flag)).collect();
    response::write_flags(out, flags.iter().map(mailbox_model::Flag::as_str));
}

/// `(12345)`; never zero (RFC 7162 §7 `mod-sequence-value`).
fn write_modseq(out: &mut Vec<u8>, entry: &Entry) {
    out.push(b'(');
    response::write_number(out, entry.modseq.0.max(1));
    out.push(b')');
}

/// Tells that flags changed. The UID is always told: RFC 9051 §7.5.2 wants it
/// from IMAP4rev2 servers, and it helps everyone.
pub(crate) fn write_flags_update(
    out: &mut Vec<u8>,
    selected: &Selected,
    rank: usize,
    view: &View,
    enabled: Enabled,
) {
    let Some(entry) = selected.entries().get(rank) else {
        return;
    };
    begin_update(out, rank, entry.uid, enabled.uid_only);
    out.extend_from_slice(b"FLAGS ");
    write_flags(out, view, entry);
    if enabled.condstore {
        out.extend_from_slice(b" MODSEQ ");
        write_modseq(out, entry);
    }
    out.extend_from_slice(b")\r\n");
}

/// Tells a new mod-sequence alone.
pub(crate) fn write_modseq_update(
    out: &mut Vec<u8>,
    selected: &Selected,
    rank: usize,
    enabled: Enabled,
) {
    let Some(entry) = selected.entries().get(rank) else {
        return;
    };
    begin_update(out, rank, entry.uid, enabled.uid_only);
    out.extend_from_slice(b"MODSEQ ");
    write_modseq(out, entry);
    out.extend_from_slice(b")\r\n");
}
