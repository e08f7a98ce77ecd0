//! An email with the properties that are asked for.

use super::body::{self, Bodies};
use super::header;
use super::message::{Message, is_cached};
use super::properties::{Property, Wanted};
use crate::budget::Room;
use crate::limits::BODY_VALUE_BYTES_MAX;
use jmap_proto::date;
use mailstore::StoreError;
use mime::{Part, PartKind, charset};
use serde_json::{Map, Value, json};

/// What stands in an email's entries and copies, as it is shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    pub(crate) id: Value,
    pub(crate) thread_id: Value,
    pub(crate) mailbox_ids: Value,
    pub(crate) keywords: Value,
    /// Unix seconds.
    pub(crate) received_at: Option<i64>,
}

/// Without a look at the message. The caller has asked [`Wanted::needs_record`].
pub(crate) fn of_entry(wanted: &Wanted, kept: &Kept, blob: &str, size: u64) -> Value {
    let mut shown = Map::new();
    for property in &wanted.properties {
        let value = match property {
            Property::BlobId => blob.into(),
            Property::Size => size.into(),
            other => of_kept(kept, other),
        };
        shown.insert(property.name().to_owned(), value);
    }
    Value::Object(shown)
}

fn of_kept(kept: &Kept, property: &Property) -> Value {
    match property {
        Property::Id => kept.id.clone(),
        Property::ThreadId => kept.thread_id.clone(),
        Property::MailboxIds => kept.mailbox_ids.clone(),
        Property::Keywords => kept.keywords.clone(),
        Property::ReceivedAt => kept.received_at.map(date::write_utc).into(),
        _ => Value::Null,
    }
}

/// All that is asked for, as far as there is room.
pub(crate) fn of_message(
    wanted: &Wanted,
    kept: &Kept,
    message: &Message<'_>,
    room: &Room,
) -> Result<Value, StoreError> {
    let mut shown = Map::new();
    let needs_bodies = wanted.properties.iter().any(|property| {
        matches!(
            property,
            Property::TextBody
                | Property::HtmlBody
                | Property::Attachments
                | Property::HasAttachment
                | Property::BodyValues
        )
    });
    let bodies = match needs_bodies {
        true => Bodies::of(message.parts()),
        false => Bodies::default(),
    };
    // Fields that the record holds, unless another property opens the message anyway.
    let cached_only = wanted.properties.iter().all(|property| match property {
        Property::Header(_, header) => is_cached(&header.field),
        Property::Headers => false,
        _ => true,
    });
    let header = match wanted.fields.is_empty() {
        true => &[][..],
        false => message.header_with(cached_only)?,
    };
    let fields = header::Fields::of(header, &wanted.fields);
    let list = |numbers: &[u32]| {
        let parts = numbers.iter();
        let parts = parts.map(|at| body::show(message, *at, wanted, false, room));
        parts.collect::<Result<Vec<_>, _>>().map(Value::from)
    };
    for property in &wanted.properties {
        let name = property.name();
        let value = match property {
            // These ask for room as they are made.
            Property::BodyStructure => body::show(message, 0, wanted, true, room)?,
            Property::BodyValues => values(wanted, message, &bodies, room)?,
            Property::TextBody => list(&bodies.text)?,
            Property::HtmlBody => list(&bodies.html)?,
            Property::Attachments => list(&bodies.attachments)?,
            Property::BlobId => room.take(name, message.blob.to_string().into()),
            Property::Size => room.take(name, message.size.into()),
            Property::Header(_, field) => room.take(name, fields.property(field)),
            Property::Headers => room.take(name, header::all(message.header()?)),
            Property::HasAttachment => {
                let attached = body::has_attachment(message.parts(), &bodies);
                room.take(name, attached.into())
            }
            Property::Preview => room.take(name, message.preview().into()),
            other => room.take(name, of_kept(kept, other)),
        };
        shown.insert(name.to_owned(), value);
    }
    Ok(Value::Object(shown))
}

/// RFC 8621 §4.2: the texts that were asked for, by their parts.
fn values(
    wanted: &Wanted,
    message: &Message<'_>,
    bodies: &Bodies,
    room: &Room,
) -> Result<Value, StoreError> {
    let mut numbers: Vec<u32> = Vec::new();
    if wanted.text_values {
        numbers.extend(&bodies.text);
    }
    if wanted.html_values {
        numbers.extend(&bodies.html);
    }
    if wanted.all_values {
        numbers.extend(&bodies.text);
        numbers.extend(&bodies.html);
        let mut below = vec![0];
        // Texts of messages inside are not this message's.
        while let Some(at) = below.pop() {
            match message.part(at) {
                Some(part) if part.kind == PartKind::Multipart => below.extend(&part.children),
                Some(_) => numbers.push(at),
                None => {}
            }
        }
    }
    numbers.sort_unstable();
    numbers.dedup();
    let mut values = Map::new();
    for at in numbers {
        if let Some(part) = message.part(at)
            && part.media_type.starts_with("text/")
        {
            if room.is_over() {
                break;
            }
            let (name, value) = (at.to_string(), value(wanted, message, at, part)?);
            let value = room.take(&name, value);
            values.insert(name, value);
        }
    }
    Ok(Value::Object(values))
}

fn value(
    wanted: &Wanted,
    message: &Message<'_>,
    at: u32,
    part: &Part,
) -> Result<Value, StoreError> {
    let most = BODY_VALUE_BYTES_MAX as u64;
    let (octets, whole) = message.decoded(at, most)?;
    let mut text = charset::decode(part.charset.as_deref(), &octets);
    // A character that the cut went through is not a problem of the encoding.
    if !whole {
        while text.ends_with('\u{fffd}') {
            text.pop();
        }
    }
    let problem = text.contains('\u{fffd}') || part.encoding == mime::Encoding::Other;
    // RFC 8621 §4.1.4: "All CRLFs are converted to LFs".
    let mut text = text.replace("\r\n", "\n").replace('\0', "");
    let max = match wanted.value_bytes_max {
        0 => BODY_VALUE_BYTES_MAX,
        max => usize::try_from(max)
            .unwrap_or(usize::MAX)
            .min(BODY_VALUE_BYTES_MAX),
    };
    let truncated = !whole || text.len() > max;
    if text.len() > max {
        cut(&mut text, max, part.media_type == "text/html");
    }
    Ok(json!({
        "value": text,
        "isEncodingProblem": problem,
        "isTruncated": truncated,
    }))
}

/// RFC 8621 §4.2: not inside a character, and not inside a tag.
fn cut(text: &mut String, max: usize, html: bool) {
    text.truncate(text.floor_char_boundary(max));
    if !html {
        return;
    }
    let open = text.rfind('<');
    if let Some(open) = open.filter(|open| !text[*open..].contains('>')) {
        text.truncate(open);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_goes_through_no_character_and_no_tag() {
        for (text, max, html, left) in [
            ("abcdef", 3, false, "abc"),
            ("ab你", 4, false, "ab"),
            ("<p>a</p><img src=x>", 14, true, "<p>a</p>"),
            ("<p>a</p><img src=x>", 14, false, "<p>a</p><img s"),
            ("a < b > c", 8, true, "a < b > "),
        ] {
            let mut cut_text = text.to_owned();
            cut(&mut cut_text, max, html);
            assert_eq!(cut_text, left);
        }
    }
}
