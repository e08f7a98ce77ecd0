//! Messages made of what Email/set says. RFC 8621 §4.6

mod fields;
mod structure;

use crate::Jmap;
use crate::intake::{Intake, Message};
use crate::look::Look;
use crate::methods::setting::refused;
use bytes::Bytes;
use fields::Fields;
use jmap_proto::SetError;
use mime::{DateTime, format_date};
use serde_json::{Map, Value};
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
    jmap: &Jmap,
    look: &Look,
    object: &Map<String, Value>,
) -> Result<Message, SetError> {
    let body = structure::of(object)?;
    let mut fields = Fields::default();
    for (name, value) in object {
        let name = name.as_str();
        if BESIDE.contains(&name) || BODY.contains(&name) || value.is_null() {
            continue;
        }
        fields.add(name, value, fields::At::Top)?;
    }
    // RFC 8621 §4.6: what a message must have is added.
    let now = jmap.shared.ports.runtime.now().unix_seconds();
    if !fields.has("message-id") {
        let random = jmap.shared.ports.runtime.random_u64();
        let host = &jmap.shared.config.host_name;
        fields.push("Message-ID", &format!("<{now:x}.{random:016x}@{host}>"));
    }
    if !fields.has("date") {
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
    write(jmap, look, pieces).await
}

/// Writes the pieces into the store, blobs as they are read.
async fn write(jmap: &Jmap, look: &Look, pieces: Vec<Piece>) -> Result<Message, SetError> {
    let max = jmap.shared.config.message_bytes_max;
    let too_large = || SetError::new("tooLarge", "the message is too large");
    let failed = |error: mailstore::StoreError| refused(&error);
    let mut intake = Intake::new(jmap, &look.room.account);
    let mut missing = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Octets(octets) => {
                intake = intake.push(jmap, octets.into()).await.map_err(failed)?;
            }
            Piece::Blob(id, content) => {
                let Some(mut opened) = jmap.open_blob(look, &id).await.map_err(failed)? else {
                    missing.push(id);
                    continue;
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
                    intake = intake.push(jmap, next).await.map_err(failed)?;
                    if intake.size() > max {
                        return Err(too_large());
                    }
                }
                let rest = mime::transfer::base64_lines(&left);
                intake = intake.push(jmap, rest.into()).await.map_err(failed)?;
            }
        }
        if intake.size() > max {
            return Err(too_large());
        }
    }
    if !missing.is_empty() {
        let error = SetError::new("blobNotFound", "some of the octets are not there");
        return Err(error.with("notFound", missing));
    }
    super::arriving::check_room(look, intake.size())?;
    intake.finish(jmap).await.map_err(failed)
}
