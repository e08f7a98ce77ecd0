//! BODY and BODYSTRUCTURE in IMAP's wire form (RFC 9051 §7.5.2).
//!
//! What a part's own header gives is written once, when the header ends
//! ([`PartFacts`]); the tree is put together at the end of the message.

use crate::bound::short_envelope;
use crate::encoded_word;
use crate::header::{HeaderReader, unfold};
use crate::imap_text::{nstring, string};
use crate::limits::{KEPT_TEXT_CHARS_MAX, LANGUAGES_MAX, TYPE_NAME_BYTES_MAX};
use crate::parameters::Structured;
use crate::part::{Disposition, Part, PartIndex, PartKind};
use crate::transfer::Encoding;

/// What a part's header says of it.
#[derive(Debug, Default)]
pub(crate) struct PartFacts {
    /// The content type, defaults filled in.
    pub(crate) content_type: Structured,
    pub(crate) encoding: Encoding,
    pub(crate) disposition: Disposition,
    pub(crate) name: Option<String>,
    pub(crate) content_id: Option<String>,
    /// The type and the subtype as they are written, in this order.
    pub(crate) type_and_subtype: (Vec<u8>, Vec<u8>),
    /// `params SP id SP description SP encoding` in wire form.
    basics: Vec<u8>,
    /// `params` in wire form, for multiparts.
    parameters: Vec<u8>,
    /// MD5 in wire form, then ` disposition language location`.
    md5: Vec<u8>,
    extension: Vec<u8>,
    /// ENVELOPE, if the part is the root of a message.
    pub(crate) envelope: Vec<u8>,
}

impl PartFacts {
    /// Reads a part's header block.
    pub(crate) fn read(block: &[u8], default_type: &str) -> Self {
        let raw = RawFields::read(block);
        let content_type = content_type(raw.content_type.as_deref(), default_type);
        let slash = content_type
            .value
            .iter()
            .position(|&b| b == b'/')
            .unwrap_or(0);
        let kind = content_type.value[..slash].to_vec();
        let subtype = content_type
            .value
            .get(slash + 1..)
            .unwrap_or_default()
            .to_vec();
        let token = raw
            .encoding
            .as_deref()
            .map(|text| Structured::parse(text).value);
        let disposition_field = raw.disposition.as_deref().map(Structured::parse);
        let mut facts = Self {
            encoding: Encoding::parse(token.as_deref().unwrap_or_default()),
            disposition: disposition(disposition_field.as_ref()),
            name: file_name(disposition_field.as_ref(), &content_type),
            content_id: raw.id.as_deref().map(content_id),
            type_and_subtype: (kind, subtype),
            ..Self::default()
        };
        write_parameters(&content_type, &mut facts.parameters);
        facts.basics.clone_from(&facts.parameters);
        let out = &mut facts.basics;
        out.push(b' ');
        nstring(raw.id.as_deref(), out);
        out.push(b' ');
        nstring(raw.description.as_deref(), out);
        out.push(b' ');
        string(
            token
                .as_deref()
                .filter(|token| !token.is_empty())
                .unwrap_or(b"7bit"),
            out,
        );
        nstring(raw.md5.as_deref(), &mut facts.md5);
        let out = &mut facts.extension;
        out.push(b' ');
        write_disposition(disposition_field.as_ref(), out);
        out.push(b' ');
        write_languages(raw.language.as_deref(), out);
        out.push(b' ');
        nstring(raw.location.as_deref(), out);
        facts.content_type = content_type;
        facts
    }

    /// Bytes of both wire forms that come from this header.
    pub(crate) fn wire_len(&self) -> usize {
        let (kind, subtype) = &self.type_and_subtype;
        let both = kind.len() + subtype.len() + self.basics.len() + self.envelope.len();
        2 * both + self.parameters.len() + self.md5.len() + self.extension.len()
    }

    /// Gives up what a reader can do without, so that little more than three
    /// times `max` bytes come from this header: long or many parameters, ids and
    /// descriptions, the rest of the extension data.
    pub(crate) fn shorten(&mut self, part: &mut Part, max: usize) {
        let (kind, subtype) = &mut self.type_and_subtype;
        // RFC 6838 §4.2
        if kind.len() > TYPE_NAME_BYTES_MAX || subtype.len() > TYPE_NAME_BYTES_MAX {
            if part.kind == PartKind::Leaf {
                self.make_opaque(part);
            } else {
                *subtype = b"mixed".to_vec();
                part.media_type = "multipart/mixed".to_owned();
            }
        }
        let mut room = max / 4;
        self.content_type.parameters.retain(|(name, value)| {
            let len = name.len() + value.len();
            let keep = len <= room && len <= max / 16;
            room -= if keep { len } else { 0 };
            keep
        });
        self.parameters.clear();
        write_parameters(&self.content_type, &mut self.parameters);
        self.basics.clone_from(&self.parameters);
        self.basics.extend_from_slice(b" NIL NIL ");
        string(self.encoding.name().as_bytes(), &mut self.basics);
        self.md5 = b"NIL".to_vec();
        let disposition = match self.disposition {
            Disposition::Absent => " NIL NIL NIL",
            Disposition::Inline => " (\"inline\" NIL) NIL NIL",
            Disposition::Attachment => " (\"attachment\" NIL) NIL NIL",
        };
        self.extension = disposition.into();
        self.envelope = short_envelope(&self.envelope, max / 4);
        for text in [&mut part.charset, &mut part.name, &mut part.content_id] {
            if let Some(text) = text {
                text.truncate(text.floor_char_boundary(max / 16));
            }
            text.take_if(|text| text.is_empty());
        }
    }

    /// Beyond the limits a part is written as what it is, bytes.
    pub(crate) fn make_opaque(&mut self, part: &mut Part) {
        self.type_and_subtype = (b"application".to_vec(), b"octet-stream".to_vec());
        part.media_type = "application/octet-stream".to_owned();
    }

    /// Type and subtype in lower case.
    pub(crate) fn media_type(&self) -> String {
        String::from_utf8_lossy(&self.content_type.value).to_ascii_lowercase()
    }
}

/// The fields of a part's header that its structure is made from, unfolded;
/// of repeated ones the first.
#[derive(Default)]
struct RawFields {
    content_type: Option<Vec<u8>>,
    encoding: Option<Vec<u8>>,
    disposition: Option<Vec<u8>>,
    id: Option<Vec<u8>>,
    description: Option<Vec<u8>>,
    md5: Option<Vec<u8>>,
    language: Option<Vec<u8>>,
    location: Option<Vec<u8>>,
}

impl RawFields {
    fn read(block: &[u8]) -> Self {
        let mut fields = Self::default();
        for field in HeaderReader::new(block) {
            if field.name.len() < 10 || !field.name[..8].eq_ignore_ascii_case(b"content-") {
                continue;
            }
            let slot = match field.name[8..].to_ascii_lowercase().as_slice() {
                b"type" => &mut fields.content_type,
                b"transfer-encoding" => &mut fields.encoding,
                b"disposition" => &mut fields.disposition,
                b"id" => &mut fields.id,
                b"description" => &mut fields.description,
                b"md5" => &mut fields.md5,
                b"language" => &mut fields.language,
                b"location" => &mut fields.location,
                _ => continue,
            };
            if slot.is_none() {
                *slot = Some(unfold(field.value));
            }
        }
        fields
    }
}

/// The content type with defaults (RFC 2045 §5.2): no field gives
/// `default_type`, a field that does not parse gives text/plain.
fn content_type(field: Option<&[u8]>, default_type: &str) -> Structured {
    let Some(field) = field else {
        return with_charset(Structured {
            value: default_type.into(),
            parameters: Vec::new(),
        });
    };
    let mut parsed = Structured::parse(field);
    let plain = || Structured {
        value: b"text/plain".to_vec(),
        parameters: Vec::new(),
    };
    let Some(value) = type_and_subtype(&parsed.value) else {
        return with_charset(plain());
    };
    parsed.value = value;
    let multipart = parsed.value.to_ascii_lowercase().starts_with(b"multipart/");
    // A multipart without a boundary cannot be taken apart: it is shown as text.
    if multipart && boundary(&parsed).is_none() {
        return with_charset(plain());
    }
    with_charset(parsed)
}

/// `type/subtype` out of a value; what follows them is ignored, as in
/// `application/pdf name="x"`, which real writers produce.
fn type_and_subtype(value: &[u8]) -> Option<Vec<u8>> {
    let token = |text: &[u8]| {
        let in_token = |b: &u8| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(b);
        let len = text.iter().take_while(|b| in_token(b)).count();
        (len > 0).then(|| text[..len].to_vec())
    };
    let slash = value.iter().position(|&b| b == b'/')?;
    let kind = value[..slash].trim_ascii_end();
    let mut out = token(kind).filter(|token| token.len() == kind.len())?;
    out.push(b'/');
    out.extend(token(value[slash + 1..].trim_ascii_start())?);
    Some(out)
}

/// Text without a charset is US-ASCII (RFC 2045 §5.2).
fn with_charset(mut content_type: Structured) -> Structured {
    let text = content_type
        .value
        .get(..5)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"text/"));
    if text && content_type.parameter("charset").is_none() {
        content_type
            .parameters
            .push((b"charset".to_vec(), b"us-ascii".to_vec()));
    }
    content_type
}

/// The boundary that delimits a multipart's children, if it has a usable one.
pub(crate) fn boundary(content_type: &Structured) -> Option<&[u8]> {
    let boundary = content_type.parameter("boundary")?.trim_ascii_end();
    let usable = !boundary.is_empty() && boundary.len() <= crate::limits::BOUNDARY_BYTES_MAX;
    usable.then_some(boundary)
}

fn disposition(field: Option<&Structured>) -> Disposition {
    match field {
        None => Disposition::Absent,
        Some(field) if field.value.eq_ignore_ascii_case(b"inline") => Disposition::Inline,
        // RFC 2183 §2.8: unknown types are attachments.
        Some(_) => Disposition::Attachment,
    }
}

fn file_name(disposition: Option<&Structured>, content_type: &Structured) -> Option<String> {
    let name = disposition
        .and_then(|field| field.parameter_text("filename"))
        .or_else(|| content_type.parameter_text("name"))?;
    Some(kept(&name)).filter(|name| !name.is_empty())
}

fn content_id(field: &[u8]) -> String {
    let text = encoded_word::decode(field);
    let text = text.trim();
    kept(
        text.strip_prefix('<')
            .and_then(|t| t.strip_suffix('>'))
            .unwrap_or(text),
    )
}

/// A text cut to what a digest keeps, controls removed.
pub(crate) fn kept(text: &str) -> String {
    text.trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(KEPT_TEXT_CHARS_MAX)
        .collect()
}

fn write_parameters(field: &Structured, out: &mut Vec<u8>) {
    if field.parameters.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    for (at, (name, value)) in field.parameters.iter().enumerate() {
        out.push(if at == 0 { b'(' } else { b' ' });
        string(name, out);
        out.push(b' ');
        string(value, out);
    }
    out.push(b')');
}

fn write_disposition(field: Option<&Structured>, out: &mut Vec<u8>) {
    match field {
        Some(field) if !field.value.is_empty() => {
            out.push(b'(');
            string(&field.value, out);
            out.push(b' ');
            write_parameters(field, out);
            out.push(b')');
        }
        _ => out.extend_from_slice(b"NIL"),
    }
}

fn write_languages(field: Option<&[u8]>, out: &mut Vec<u8>) {
    let tags: Vec<&[u8]> = field
        .unwrap_or_default()
        .split(|&b| b == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|tag| !tag.is_empty())
        .take(LANGUAGES_MAX)
        .collect();
    match tags.as_slice() {
        [] => out.extend_from_slice(b"NIL"),
        [tag] => string(tag, out),
        tags => {
            for (at, tag) in tags.iter().enumerate() {
                out.push(if at == 0 { b'(' } else { b' ' });
                string(tag, out);
            }
            out.push(b')');
        }
    }
}

/// Writes BODY (`extended` false) or BODYSTRUCTURE (true) of the whole message.
pub(crate) fn write(index: &PartIndex, facts: &[PartFacts], extended: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(128 * facts.len());
    write_part(index, facts, 0, extended, &mut out);
    out
}

/// Depth of recursion: at most [`crate::limits::DEPTH_MAX`], as the indexer sees to.
fn write_part(index: &PartIndex, facts: &[PartFacts], at: u32, extended: bool, out: &mut Vec<u8>) {
    let (Some(part), Some(own)) = (index.part(at), facts.get(at as usize)) else {
        return;
    };
    out.push(b'(');
    if part.kind == PartKind::Multipart {
        for &child in &part.children {
            write_part(index, facts, child, extended, out);
        }
        out.push(b' ');
        string(&own.type_and_subtype.1, out);
        if extended {
            out.push(b' ');
            out.extend_from_slice(&own.parameters);
            out.extend_from_slice(&own.extension);
        }
    } else {
        write_single(index, facts, part, own, extended, out);
    }
    out.push(b')');
}

fn write_single(
    index: &PartIndex,
    facts: &[PartFacts],
    part: &Part,
    own: &PartFacts,
    extended: bool,
    out: &mut Vec<u8>,
) {
    string(&own.type_and_subtype.0, out);
    out.push(b' ');
    string(&own.type_and_subtype.1, out);
    out.push(b' ');
    out.extend_from_slice(&own.basics);
    out.extend_from_slice(format!(" {}", part.body.end - part.body.start).as_bytes());
    if let (PartKind::Message, Some(&child)) = (part.kind, part.children.first()) {
        out.push(b' ');
        out.extend_from_slice(
            facts
                .get(child as usize)
                .map_or(&b"NIL"[..], |child| &child.envelope),
        );
        out.push(b' ');
        write_part(index, facts, child, extended, out);
    }
    if part.kind == PartKind::Message || part.media_type.starts_with("text/") {
        out.extend_from_slice(format!(" {}", part.lines).as_bytes());
    }
    if extended {
        out.push(b' ');
        out.extend_from_slice(&own.md5);
        out.extend_from_slice(&own.extension);
    }
}
