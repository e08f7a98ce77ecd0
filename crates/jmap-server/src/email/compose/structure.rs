//! The parts of a message that is made. RFC 8621 §4.6

use super::fields::{At, Fields, phrase};
use crate::limits::{MADE_DEPTH_MAX, MADE_PARTS_MAX};
use jmap_proto::SetError;
use mime::transfer::quoted_printable;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What a message is written from.
pub(crate) enum Piece {
    Octets(Vec<u8>),
    Blob(String, Content),
}

/// How a blob is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// As it is: a message in a message (RFC 2046 §5.2.1).
    Message,
    Base64,
}

/// A part.
pub(crate) struct Part {
    fields: Fields,
    kind: String,
    what: What,
}

enum What {
    Text(String),
    Blob(String),
    Parts(Vec<Part>),
}

fn wrong(property: &str, text: &str) -> SetError {
    SetError::invalid_properties([property], text)
}

/// The body that an object asks for.
///
/// # Errors
/// It asks for none that can be.
pub(crate) fn of(object: &Map<String, Value>) -> Result<Part, SetError> {
    let null = Value::Null;
    let member = |name: &str| object.get(name).unwrap_or(&null);
    let empty = Map::new();
    let mut making = Making {
        values: match member("bodyValues") {
            Value::Null => &empty,
            Value::Object(values) => values,
            _ => return Err(wrong("bodyValues", "it is a map of part ids")),
        },
        taken: BTreeSet::new(),
        left: MADE_PARTS_MAX,
    };
    let structure = member("bodyStructure");
    let lists = ["textBody", "htmlBody", "attachments"].map(member);
    if !structure.is_null() {
        if let Some(at) = lists.iter().position(|list| !list.is_null()) {
            // RFC 8621 §4.6: one or the other.
            let name = ["textBody", "htmlBody", "attachments"][at];
            return Err(wrong(name, "bodyStructure says it already"));
        }
        return making.part(structure, "bodyStructure", MADE_DEPTH_MAX);
    }
    let [text, html, attachments] = lists;
    let text = making.only(text, "textBody", "text/plain")?;
    let html = making.only(html, "htmlBody", "text/html")?;
    let mut beside = Vec::new();
    match attachments {
        Value::Null => {}
        Value::Array(parts) => {
            for part in parts {
                let is_shown = part["cid"].is_string() && part["disposition"] == "inline";
                beside.push((making.part(part, "attachments", 1)?, is_shown));
            }
        }
        _ => return Err(wrong("attachments", "it is a list")),
    }
    let has_html = html.is_some();
    let (shown, beside): (Vec<_>, Vec<_>) = beside
        .into_iter()
        .partition(|(_, shown)| *shown && has_html);
    let shown: Vec<Part> = shown.into_iter().map(|(part, _)| part).collect();
    let mut beside: Vec<Part> = beside.into_iter().map(|(part, _)| part).collect();
    let html = html.map(|html| match shown.is_empty() {
        true => html,
        false => Part::of(
            "multipart/related",
            std::iter::once(html).chain(shown).collect(),
        ),
    });
    let body = match (text, html) {
        (Some(text), Some(html)) => Some(Part::of("multipart/alternative", vec![text, html])),
        (text, html) => text.or(html),
    };
    Ok(match (body, beside.len()) {
        (Some(body), 0) => body,
        (None, 0) => Part {
            fields: Fields::default(),
            kind: "text/plain".into(),
            what: What::Text(String::new()),
        },
        (body, _) => {
            beside.splice(0..0, body);
            Part::of("multipart/mixed", beside)
        }
    })
}

struct Making<'a> {
    values: &'a Map<String, Value>,
    /// Parts that took theirs: each value is written once, so that the message is no larger than the request.
    taken: BTreeSet<String>,
    left: usize,
}

impl Making<'_> {
    /// The one text of a kind.
    fn only(&mut self, list: &Value, property: &str, kind: &str) -> Result<Option<Part>, SetError> {
        let part = match list {
            Value::Null => return Ok(None),
            Value::Array(parts) => match &parts[..] {
                [part] => part,
                _ => return Err(wrong(property, "it is a list of one part")),
            },
            _ => return Err(wrong(property, "it is a list")),
        };
        let part = self.typed(part, property, 1, Some(kind))?;
        match part.kind.eq_ignore_ascii_case(kind) {
            true => Ok(Some(part)),
            false => Err(wrong(property, "its part is of another type")),
        }
    }

    fn part(&mut self, part: &Value, property: &str, depth: usize) -> Result<Part, SetError> {
        self.typed(part, property, depth, None)
    }

    fn typed(
        &mut self,
        part: &Value,
        property: &str,
        depth: usize,
        usual: Option<&str>,
    ) -> Result<Part, SetError> {
        let too_much = || {
            wrong(
                property,
                "there are too many parts, or they are nested too deep",
            )
        };
        self.left = self.left.checked_sub(1).ok_or_else(too_much)?;
        let depth = depth.checked_sub(1).ok_or_else(too_much)?;
        let Value::Object(members) = part else {
            return Err(wrong(property, "a part is an object"));
        };
        let text = |name: &str| match members.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(wrong(&format!("{property}/{name}"), "it is a text")),
        };
        let (part_id, blob_id) = (text("partId")?, text("blobId")?);
        let below = members.get("subParts").filter(|below| !below.is_null());
        let usual = usual.unwrap_or(match (part_id, below) {
            (_, Some(_)) => "multipart/mixed",
            (Some(_), None) => "text/plain",
            (None, None) => "application/octet-stream",
        });
        let kind = text("type")?.unwrap_or(usual).to_ascii_lowercase();
        if !is_type(&kind) || kind.starts_with("multipart/") != below.is_some() {
            return Err(wrong(
                &format!("{property}/type"),
                "it is no type of such a part",
            ));
        }
        let what = match (part_id, blob_id, below) {
            (None, None, Some(Value::Array(below))) => {
                let below = below.iter().map(|part| self.part(part, property, depth));
                What::Parts(below.collect::<Result<_, _>>()?)
            }
            (Some(part_id), None, None) => What::Text(self.value(part_id, &kind, property)?),
            (None, Some(blob_id), None) => What::Blob(blob_id.to_owned()),
            _ => return Err(wrong(property, "a part has a partId, a blobId or subParts")),
        };
        if part_id.is_some() && text("charset")?.is_some() {
            // RFC 8621 §4.6: "the charset … MUST be omitted".
            return Err(wrong(
                &format!("{property}/charset"),
                "texts are written in UTF-8",
            ));
        }
        let mut fields = Fields::default();
        let charset = match &what {
            What::Text(_) => Some("utf-8"),
            What::Blob(_) => text("charset")?,
            What::Parts(_) => None,
        };
        describe(&mut fields, members, (&kind, charset, property))?;
        for (name, value) in members {
            match name.as_str() {
                "partId" | "blobId" | "size" | "name" | "type" | "charset" | "disposition"
                | "cid" | "language" | "location" | "subParts" => {}
                _ if value.is_null() => {}
                name => fields.add(name, value, At::Part)?,
            }
        }
        Ok(Part { fields, kind, what })
    }

    fn value(&mut self, part_id: &str, kind: &str, property: &str) -> Result<String, SetError> {
        if !self.taken.insert(part_id.to_owned()) {
            return Err(wrong(property, "two parts have one partId"));
        }
        let value = self.values.get(part_id);
        let Some(text) = value.and_then(|value| value["value"].as_str()) else {
            return Err(wrong(property, "bodyValues has no such part"));
        };
        let marked = |name: &str| value.is_some_and(|value| value[name] == Value::Bool(true));
        if marked("isEncodingProblem") || marked("isTruncated") || !kind.starts_with("text/") {
            // RFC 8621 §4.6
            return Err(wrong(
                "bodyValues",
                "a value is whole, in order, and a text",
            ));
        }
        Ok(text.to_owned())
    }
}

fn is_type(kind: &str) -> bool {
    let token = |text: &str| {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
        !text.is_empty() && text.len() <= 127 && text.bytes().all(good)
    };
    kind.split_once('/')
        .is_some_and(|(kind, sub)| token(kind) && token(sub))
}

/// What a part says of itself. A multipart's type follows with its boundary.
fn describe(
    fields: &mut Fields,
    members: &Map<String, Value>,
    (kind, charset, property): (&str, Option<&str>, &str),
) -> Result<(), SetError> {
    let text = |name: &str, good: fn(&str) -> bool| match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if good(text) => Ok(Some(text.as_str())),
        Some(_) => Err(wrong(&format!("{property}/{name}"), "it cannot be that")),
    };
    let any = |text: &str| text.len() <= 1000 && !text.chars().any(char::is_control);
    let token: fn(&str) -> bool = |text| {
        !text.is_empty()
            && text.len() <= 100
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b))
    };
    let name = text("name", any)?;
    if let Some(charset) = charset.filter(|charset| !token(charset)) {
        return Err(wrong(
            &format!("{property}/charset"),
            &format!("{charset:?} is none"),
        ));
    }
    if !kind.starts_with("multipart/") {
        let mut value = kind.to_owned();
        if let Some(charset) = charset {
            value.push_str(&format!("; charset={charset}"));
        }
        if let Some(name) = name {
            value.push_str(&format!(";\r\n name={}", quoted(name)));
        }
        fields.push("Content-Type", &value);
    }
    let disposition = text("disposition", token)?.or(name.map(|_| "attachment"));
    if let Some(disposition) = disposition {
        let mut value = disposition.to_owned();
        if let Some(name) = name {
            value.push_str(&file_name(name));
        }
        fields.push("Content-Disposition", &value);
    }
    let id: fn(&str) -> bool = |text| {
        let good = |b: u8| b.is_ascii_graphic() && !b"<>".contains(&b);
        !text.is_empty() && text.len() <= 500 && text.bytes().all(good)
    };
    if let Some(cid) = text("cid", id)? {
        fields.push("Content-ID", &format!("<{cid}>"));
    }
    if let Some(location) = text("location", id)? {
        fields.push("Content-Location", location);
    }
    match members.get("language") {
        None | Some(Value::Null) => {}
        Some(Value::Array(tags)) if tags.iter().all(|tag| tag.as_str().is_some_and(token)) => {
            let tags: Vec<&str> = tags.iter().filter_map(Value::as_str).take(64).collect();
            fields.push("Content-Language", &tags.join(", "));
        }
        Some(_) => {
            return Err(wrong(
                &format!("{property}/language"),
                "it is a list of tags",
            ));
        }
    }
    Ok(())
}

/// A name for old readers: quoted, or in encoded-words.
fn quoted(name: &str) -> String {
    match name.is_ascii() {
        true => format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")),
        false => format!("\"{}\"", phrase(name).unwrap_or_default()),
    }
}

/// RFC 2231: in UTF-8, in pieces where it is long.
fn file_name(name: &str) -> String {
    if name.is_ascii() && name.len() <= 60 {
        return format!(";\r\n filename={}", quoted(name));
    }
    let mut pieces = vec![String::new()];
    for byte in name.bytes() {
        let written = match byte {
            b if b.is_ascii_alphanumeric() || b".-_".contains(&b) => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        };
        if pieces
            .last()
            .is_some_and(|piece| piece.len() + written.len() > 50)
        {
            pieces.push(String::new());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push_str(&written);
        }
    }
    if let [piece] = &pieces[..] {
        return format!(";\r\n filename*=utf-8''{piece}");
    }
    let numbered = pieces.iter().enumerate().map(|(at, piece)| {
        let start = if at == 0 { "utf-8''" } else { "" };
        format!(";\r\n filename*{at}*={start}{piece}")
    });
    numbered.collect()
}

impl Part {
    fn of(kind: &str, parts: Vec<Self>) -> Self {
        Self {
            fields: Fields::default(),
            kind: kind.into(),
            what: What::Parts(parts),
        }
    }

    /// What it says of itself; the message's own header, if it is the outermost.
    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Writes header and body behind what is there of the header.
    pub(crate) fn write(self, boundary: &mut dyn FnMut() -> String, out: &mut Vec<Piece>) {
        let mut head = self.fields.finish();
        match self.what {
            What::Text(text) => {
                let lines = text
                    .replace("\r\n", "\n")
                    .replace('\r', "\n")
                    .replace('\n', "\r\n");
                let plain = lines.is_ascii()
                    && !lines.contains('\0')
                    && lines
                        .lines()
                        .all(|line| line.len() <= 78 && !line.ends_with([' ', '\t']));
                if !head.to_ascii_lowercase().contains("content-type:") {
                    head.push_str(&format!("Content-Type: {}; charset=utf-8\r\n", self.kind));
                }
                let (encoding, body) = match plain {
                    true => ("7bit", lines),
                    false => ("quoted-printable", quoted_printable(lines.as_bytes())),
                };
                head.push_str(&format!(
                    "Content-Transfer-Encoding: {encoding}\r\n\r\n{body}"
                ));
                out.push(Piece::Octets(head.into_bytes()));
            }
            What::Blob(id) => {
                let content = match self.kind.as_str() {
                    // RFC 2046 §5.2.1: no other encoding is allowed.
                    "message/rfc822" | "message/global" => Content::Message,
                    _ => Content::Base64,
                };
                let encoding = if content == Content::Message {
                    "8bit"
                } else {
                    "base64"
                };
                head.push_str(&format!("Content-Transfer-Encoding: {encoding}\r\n\r\n"));
                out.push(Piece::Octets(head.into_bytes()));
                out.push(Piece::Blob(id, content));
            }
            What::Parts(parts) => {
                let border = boundary();
                let kind = &self.kind;
                head.push_str(&format!(
                    "Content-Type: {kind};\r\n boundary=\"{border}\"\r\n"
                ));
                out.push(Piece::Octets(head.into_bytes()));
                for part in parts {
                    out.push(Piece::Octets(format!("\r\n--{border}\r\n").into_bytes()));
                    part.write(boundary, out);
                }
                out.push(Piece::Octets(format!("\r\n--{border}--\r\n").into_bytes()));
            }
        }
    }
}
