//! Messages made of what Email/set says. RFC 8621 §4.6

mod fields;
mod structure;

use super::arriving::{check_size, push};
use crate::api::Calling;
use crate::blobs_of::Opened;
use crate::intake::{Intake, Message};
use crate::look::Look;
use crate::methods::setting::refused;
use bytes::Bytes;
use fields::Fields;
use jmap_proto::SetError;
use mime::{DateTime, format_date};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use structure::{Content, Piece};

/// What belongs to the email, not to its message.
const BESIDE: [&str; 3] = ["mailboxIds", "keywords", "receivedAt"];
/// What makes the body.
const BODY: [&str; 5] = [
    "bodyStructure",
    "bodyValues",
    "textBody",
    "htmlBody",
    "attachments",
];

/// Makes a message.
///
/// # Errors
/// It cannot be made of that; a blob is not there; it becomes too large.
pub(crate) async fn compose(
    calling: &Calling<'_>,
    look: &Look,
    object: &Map<String, Value>,
) -> Result<Message, SetError> {
    let jmap = calling.jmap;
    let body = structure::of(object)?;
    let mut fields = Fields::default();
    for (name, value) in object {
        let name = name.as_str();
        if BESIDE.contains(&name) || BODY.contains(&name) || value.is_null() {
            continue;
        }
        fields.add(name, value, fields::At::Top)?;
    }
    // RFC 8621 §4.6: no field is given twice; the outermost part's stand in the same header.
    if let Some(twice) = body.fields().shared_with(&fields) {
        return Err(SetError::invalid_properties(
            [format!("header:{twice}")],
            "the email and its outermost part both have it",
        ));
    }
    let has = |name: &str| fields.has(name) || body.fields().has(name);
    let (has_id, has_date) = (has("message-id"), has("date"));
    // RFC 8621 §4.6: what a message must have is added.
    let now = jmap.shared.ports.runtime.now().unix_seconds();
    if !has_id {
        let random = jmap.shared.ports.runtime.random_u64();
        let host = &jmap.shared.config.host_name;
        fields.push("Message-ID", &format!("<{now:x}.{random:016x}@{host}>"));
    }
    if !has_date {
        let date = DateTime {
            unix_seconds: i64::try_from(now).unwrap_or_default(),
            zone_minutes: 0,
        };
        fields.push("Date", &format_date(date));
    }
    fields.push("MIME-Version", "1.0");
    let mut boundaries = || {
        let random = jmap.shared.ports.runtime.random_u64();
        format!("={random:016x}=")
    };
    let mut pieces = vec![Piece::Octets(fields.finish().into_bytes())];
    body.write(&mut boundaries, &mut pieces);
    write(calling, look, pieces).await
}

/// What the octets of a blob come to in a message.
async fn written_size(id: &str, opened: &Opened, content: Content) -> Result<u64, SetError> {
    let survey = async || opened.survey().await.map_err(|why| why.set_error());
    let octets = match (content, opened.size) {
        (Content::Message, _) => {
            let survey = survey().await?;
            // RFC 2045 §2.8: not even 8bit data has one, and this is encoded in no way.
            if survey.has_nul {
                let text = format!("a message holds no NUL, and {id} does");
                return Err(SetError::new("invalidEmail", text));
            }
            return Ok(survey.message_size);
        }
        (Content::Base64, Some(size)) => size,
        (Content::Base64, None) => survey().await?.size,
    };
    Ok(octets.div_ceil(57) * 2 + octets.div_ceil(3) * 4)
}

/// Are all blobs there, and is there room for them? Asked before anything is written.
async fn check_pieces(
    calling: &Calling<'_>,
    look: &Look,
    pieces: &[Piece],
) -> Result<(), SetError> {
    let jmap = calling.jmap;
    let (mut size, mut missing) = (0_u64, BTreeSet::new());
    for piece in pieces {
        let more = match piece {
            Piece::Octets(octets) => octets.len() as u64,
            Piece::Blob(id, content) => match jmap.open_blob(look, id, &calling.budget).await {
                Ok(Some(opened)) => written_size(id, &opened, *content).await?,
                Ok(None) => {
                    missing.insert(id.as_str());
                    continue;
                }
                Err(why) => return Err(why.set_error()),
            },
        };
        size = size.saturating_add(more);
        check_size(jmap, look, size)?;
    }
    if !missing.is_empty() {
        let error = SetError::new("blobNotFound", "some of the octets are not there");
        return Err(error.with("notFound", Vec::from_iter(missing)));
    }
    Ok(())
}

/// Writes the pieces into the store, blobs as they are read.
async fn write(
    calling: &Calling<'_>,
    look: &Look,
    pieces: Vec<Piece>,
) -> Result<Message, SetError> {
    check_pieces(calling, look, &pieces).await?;
    let jmap = calling.jmap;
    let failed = |error: mailstore::StoreError| refused(&error);
    let mut intake = Intake::new(jmap, &look.room.account);
    for piece in pieces {
        let (id, content) = match piece {
            Piece::Octets(octets) => {
                intake = push(jmap, look, intake, octets.into()).await?;
                continue;
            }
            Piece::Blob(id, content) => (id, content),
        };
        let opened = jmap.open_blob(look, &id, &calling.budget).await;
        let Some(mut opened) = opened.map_err(|why| why.set_error())? else {
            let error = SetError::new("blobNotFound", "some of the octets are gone");
            return Err(error.with("notFound", vec![id]));
        };
        let mut left: Vec<u8> = Vec::new();
        while let Some(octets) = opened.next_piece().await.map_err(failed)? {
            let next = match content {
                Content::Message => octets,
                Content::Base64 => {
                    left.extend_from_slice(&octets);
                    // Whole lines, so that they are all of one length.
                    let whole = left.len() / 57 * 57;
                    let lines = mime::transfer::base64_lines(&left[..whole]);
                    left.drain(..whole);
                    Bytes::from(lines)
                }
            };
            intake = push(jmap, look, intake, next).await?;
        }
        let rest = mime::transfer::base64_lines(&left);
        intake = push(jmap, look, intake, rest.into()).await?;
    }
    intake.finish(jmap).await.map_err(failed)
}
