//! The parts of a body, and which of them a person reads. RFC 8621 §4.1.4

use super::header;
use super::message::Message;
use super::properties::{PartProperty, Wanted};
use crate::budget::Room;
use mailstore::StoreError;
use mime::parameters::Structured;
use mime::{Disposition, HeaderReader, Part, PartIndex, PartKind};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// The parts to show as text, as HTML, and beside; by their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bodies {
    pub(crate) text: Vec<u32>,
    pub(crate) html: Vec<u32>,
    pub(crate) attachments: Vec<u32>,
}

impl Bodies {
    pub(crate) fn of(index: &PartIndex) -> Self {
        let mut bodies = Self::default();
        let (mut text, mut html) = (Vec::new(), Vec::new());
        let shown = Shown {
            text: Some(&mut text),
            html: Some(&mut html),
            attachments: &mut bodies.attachments,
        };
        sort(index, &[0], "mixed", false, shown);
        (bodies.text, bodies.html) = (text, html);
        bodies
    }
}

/// Where parts go; none where an alternative takes the other side.
struct Shown<'a> {
    text: Option<&'a mut Vec<u32>>,
    html: Option<&'a mut Vec<u32>>,
    attachments: &'a mut Vec<u32>,
}

fn is_media(kind: &str) -> bool {
    ["image/", "audio/", "video/"]
        .iter()
        .any(|start| kind.starts_with(start))
}

/// The algorithm of RFC 8621 §4.1.4, part by part. Nesting is bounded by the part index.
fn sort(index: &PartIndex, parts: &[u32], multipart: &str, in_alternative: bool, shown: Shown<'_>) {
    let Shown {
        mut text,
        mut html,
        attachments,
    } = shown;
    // An alternative notes where both sides stood: what only one of them has is the other's too.
    let before = (
        text.as_ref().map(|list| list.len()),
        html.as_ref().map(|list| list.len()),
    );
    for (place, &at) in parts.iter().enumerate() {
        let Some(part) = index.part(at) else {
            continue;
        };
        if part.kind == PartKind::Multipart {
            let subtype = part
                .media_type
                .split_once('/')
                .map_or("mixed", |(_, sub)| sub);
            let inner = Shown {
                text: text.as_deref_mut(),
                html: html.as_deref_mut(),
                attachments,
            };
            let alternative = in_alternative || subtype == "alternative";
            sort(index, &part.children, subtype, alternative, inner);
            continue;
        }
        if !is_inline(part, place, multipart) {
            attachments.push(at);
            continue;
        }
        let kind = part.media_type.as_str();
        if multipart == "alternative" {
            let side = match kind {
                "text/plain" => &mut text,
                "text/html" => &mut html,
                _ => {
                    attachments.push(at);
                    continue;
                }
            };
            if let Some(list) = side {
                list.push(at);
            }
            continue;
        }
        if in_alternative {
            match kind {
                "text/plain" => html = None,
                "text/html" => text = None,
                _ => {}
            }
        }
        if let Some(list) = &mut text {
            list.push(at);
        }
        if let Some(list) = &mut html {
            list.push(at);
        }
        if (text.is_none() || html.is_none()) && is_media(kind) {
            attachments.push(at);
        }
    }
    if let (true, Some(text), Some(html)) = (multipart == "alternative", text, html)
        && let (Some(text_before), Some(html_before)) = before
    {
        if text.len() == text_before && html.len() != html_before {
            text.extend_from_slice(&html[html_before..]);
        } else if html.len() == html_before && text.len() != text_before {
            html.extend_from_slice(&text[text_before..]);
        }
    }
}

/// Is it part of the body, and no attachment?
fn is_inline(part: &Part, place: usize, multipart: &str) -> bool {
    let kind = part.media_type.as_str();
    let shown = part.disposition != Disposition::Attachment
        && (kind == "text/plain" || kind == "text/html" || is_media(kind));
    // Of a multipart/related the first alone; a text with a name is an attachment unless it is
    // the first.
    shown && (place == 0 || (multipart != "related" && (is_media(kind) || part.name.is_none())))
}

/// RFC 8621 §4.1.4: something to offer that is not shown in its place already.
pub(crate) fn has_attachment(index: &PartIndex, bodies: &Bodies) -> bool {
    let mut attached = bodies.attachments.iter().filter_map(|at| index.part(*at));
    attached.any(|part| part.disposition != Disposition::Inline)
}

/// A part with some of its properties as far as there is room; `nested` with those below it.
pub(crate) fn show(
    message: &Message<'_>,
    at: u32,
    wanted: &Wanted,
    nested: bool,
    room: &Room,
) -> Result<Value, StoreError> {
    let Some(part) = message.part(at).filter(|_| !room.is_over()) else {
        return Ok(Value::Null);
    };
    let properties = &wanted.part_properties;
    let is_multipart = part.kind == PartKind::Multipart;
    let header = match properties.iter().any(PartProperty::needs_header) {
        true => message.part_header(at)?,
        false => Cow::Borrowed(&[][..]),
    };
    let fields = header::Fields::of(&header, &wanted.part_fields);
    let mut shown = Map::new();
    for property in properties {
        let value = match property {
            PartProperty::PartId if is_multipart => Value::Null,
            PartProperty::BlobId if is_multipart => Value::Null,
            PartProperty::PartId => at.to_string().into(),
            PartProperty::BlobId => message.blob.part(at).to_string().into(),
            PartProperty::Size => message.decoded_size(at)?.into(),
            PartProperty::Headers => header::all(&header),
            PartProperty::Name => part.name.clone().into(),
            PartProperty::Type => part.media_type.clone().into(),
            PartProperty::Charset => charset(part).into(),
            PartProperty::Disposition => match part.disposition {
                Disposition::Absent => Value::Null,
                Disposition::Inline => "inline".into(),
                Disposition::Attachment => "attachment".into(),
            },
            PartProperty::Cid => part.content_id.clone().into(),
            PartProperty::Language => languages(&header),
            PartProperty::Location => location(&header),
            PartProperty::SubParts => continue,
            PartProperty::Header(_, property) => fields.property(property),
        };
        let name = property.name();
        shown.insert(name.to_owned(), room.take(name, value));
    }
    // RFC 8621 §4.2: the structure has them whether they are asked for or not.
    if nested && is_multipart {
        let below = part.children.iter();
        let below = below.map(|at| show(message, *at, wanted, true, room));
        let below = below.collect::<Result<Vec<_>, _>>()?;
        shown.insert("subParts".into(), below.into());
    } else if properties.contains(&PartProperty::SubParts) {
        shown.insert("subParts".into(), Value::Null);
    }
    Ok(Value::Object(shown))
}

/// RFC 8621 §4.1.4: of a text without one it is implied.
fn charset(part: &Part) -> Option<String> {
    let is_text = part.media_type.starts_with("text/");
    match &part.charset {
        Some(charset) => Some(charset.clone()),
        None => is_text.then(|| "us-ascii".to_owned()),
    }
}

fn languages(header: &[u8]) -> Value {
    let Some(field) = mime::find_field(header, "Content-Language") else {
        return Value::Null;
    };
    let text = String::from_utf8_lossy(&field.unfolded()).into_owned();
    let tags = text.split(',').map(str::trim).filter(|tag| !tag.is_empty());
    tags.take(mime::limits::LANGUAGES_MAX).collect()
}

fn location(header: &[u8]) -> Value {
    let field = HeaderReader::new(header).find(|field| field.is("Content-Location"));
    field.map_or(Value::Null, |field| {
        let value = Structured::parse(&field.unfolded()).value;
        let text: String = String::from_utf8_lossy(&value).split_whitespace().collect();
        text.into()
    })
}

#[cfg(test)]
mod tests {
    use super::super::message::Memory;
    use super::*;
    use crate::blob_id::BlobRef;
    use jmap_proto::Arguments;
    use mailbox_model::EmailId;
    use proptest::prelude::*;

    /// The types and dispositions of parts, nested, as a message.
    fn message(shape: &str) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut shape.split_whitespace().peekable(), &mut out, &mut 0);
        out
    }

    fn write<'a>(
        words: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>,
        out: &mut Vec<u8>,
        boundaries: &mut u32,
    ) {
        let Some(word) = words.next() else {
            return;
        };
        let mut pieces = word.split(';');
        let kind = pieces.next().expect("a type");
        let (kind, opens) = match kind.strip_suffix('(') {
            Some(kind) => (kind, true),
            None => (kind, false),
        };
        *boundaries += 1;
        let boundary = format!("b{boundaries}");
        let more = if opens {
            format!("; boundary={boundary}")
        } else {
            String::new()
        };
        out.extend(format!("Content-Type: {kind}{more}\r\n").bytes());
        for piece in pieces {
            out.extend(match piece {
                "a" => "Content-Disposition: attachment\r\n".bytes(),
                "i" => "Content-Disposition: inline\r\n".bytes(),
                _ => "Content-Disposition: inline; filename=x\r\n".bytes(),
            });
        }
        out.extend(b"\r\n");
        if !opens {
            out.extend(b"text\r\n");
            return;
        }
        while words.peek().is_some_and(|word| *word != ")") {
            out.extend(format!("--{boundary}\r\n").bytes());
            write(words, out, boundaries);
        }
        words.next();
        out.extend(format!("--{boundary}--\r\n").bytes());
    }

    fn bodies(shape: &str) -> [String; 3] {
        let octets = message(shape);
        let source = Memory(&octets);
        let message = Message::indexed(BlobRef::email(EmailId(1)), &octets, &source);
        let bodies = Bodies::of(message.parts());
        [bodies.text, bodies.html, bodies.attachments].map(|list| {
            let list: Vec<String> = list.iter().map(ToString::to_string).collect();
            list.join(" ")
        })
    }

    /// Parts are numbered in the order of their first octets, the message itself is 0.
    #[test]
    fn what_is_read_and_what_is_attached_is_told_apart() {
        for (shape, text, html, attachments) in [
            ("text/plain", "0", "0", ""),
            ("text/html", "0", "0", ""),
            ("application/pdf", "", "", "0"),
            ("image/png", "0", "0", ""),
            (
                "multipart/alternative( text/plain text/html )",
                "1",
                "2",
                "",
            ),
            (
                "multipart/alternative( text/plain text/calendar )",
                "1",
                "1",
                "2",
            ),
            ("multipart/alternative( text/html )", "1", "1", ""),
            (
                "multipart/mixed( text/plain image/png;a text/plain )",
                "1 3",
                "1 3",
                "2",
            ),
            (
                "multipart/mixed( text/plain image/png text/plain;n )",
                "1 2",
                "1 2",
                "3",
            ),
            (
                "multipart/mixed( multipart/alternative( text/plain multipart/related( text/html image/png;i ) ) application/pdf;a )",
                "2",
                "4",
                "5 6",
            ),
            // The example of RFC 8621 §4.1.4.
            (
                "multipart/mixed( text/plain multipart/mixed( multipart/alternative( multipart/mixed( text/plain image/jpeg;i text/plain ) multipart/related( text/html image/jpeg ) ) image/jpeg;a application/x-excel message/rfc822;a ) text/plain )",
                "1 5 6 7 14",
                "1 9 14",
                "6 10 11 12 13",
            ),
        ] {
            let found = bodies(shape);
            let wanted = [text, html, attachments].map(str::to_owned);
            // The message inside has a part of its own, which shifts what follows.
            if shape.contains("rfc822") {
                assert_eq!(found[0].split(' ').count(), 5, "{shape} {found:?}");
                assert_eq!(found[1].split(' ').count(), 3, "{shape} {found:?}");
                assert_eq!(found[2].split(' ').count(), 5, "{shape} {found:?}");
                continue;
            }
            assert_eq!(found, wanted, "{shape}");
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(octets: Vec<u8>, lines in "(Content-Type: multipart/(mixed|alternative|related); boundary=b\r\n\r\n|--b\r\n|--b--\r\n|Content-Type: text/(plain|html)\r\n\r\n|x\r\n){0,12}") {
            for octets in [&octets[..], lines.as_bytes()] {
                let source = Memory(octets);
                let message = Message::indexed(BlobRef::email(EmailId(1)), octets, &source);
                let bodies = Bodies::of(message.parts());
                let wanted = Wanted::take(&mut Arguments::new(Map::new()), None, &[]).expect("the usual ones");
                let room = Room::of(4000);
                let shown = show(&message, 0, &wanted, true, &room).expect("in memory");
                prop_assert!(room.is_over() || crate::api::size_of(&shown) < 10_000);
                prop_assert!(bodies.text.len() <= message.parts().parts().len());
            }
        }
    }
}
