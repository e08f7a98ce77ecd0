//! APPEND with several messages (RFC 3502), messages put together (CATENATE, RFC
//! 4469) and REPLACE (RFC 8508), in segments: what stands between the literals that
//! messages are made of. The framer streams those literals and keeps none of them.
//!
//! ```abnf
//! append         = "APPEND" SP mailbox 1*append-message
//! replace        = ["UID" SP] "REPLACE" SP seq-number SP mailbox append-message
//! append-message = [SP flag-list] [SP date-time] SP append-data
//! append-data    = literal / literal8 / "UTF8" SP "(" literal8 ")" /
//!                  "CATENATE" SP "(" cat-part *(SP cat-part) ")"
//! cat-part       = "URL" SP astring / "TEXT" SP literal
//! ```

use crate::command::{AppendHead, AppendPart, Replaced, Tag};
use crate::cursor::{Cursor, Parsed, syntax};
use crate::date::DateTime;
use crate::framer::LiteralHead;
use crate::mailbox_name::NameForm;
use crate::parse::{ErrorKind, ParseError, mailbox, parse_tag, store};

/// Where in the command a segment begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Behind the mailbox, or a whole message.
    Between,
    /// Behind the literal that a whole message is.
    Message,
    /// Behind the literal of a text within CATENATE.
    Catenate,
    /// Behind the literal of `UTF8 (`.
    Utf8,
}

/// A segment that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) parts: Vec<AppendPart>,
    /// Where the next begins, behind the literal.
    pub(crate) next: Place,
}

/// The first segment.
pub(crate) struct Head {
    pub(crate) head: AppendHead,
    pub(crate) next: Place,
}

/// Reads a command up to the literal that it (or a piece of it) ends in, if it is an
/// APPEND or REPLACE. `None` when it is another command, or when the literal is a
/// string of the command and no message.
#[must_use]
pub fn parse_append_head(
    bytes: &[u8],
    form: NameForm,
    literal: Option<LiteralHead>,
) -> Option<Result<AppendHead, ParseError>> {
    Some(first_segment(bytes, form, literal)?.map(|found| found.head))
}

pub(crate) fn first_segment(
    bytes: &[u8],
    form: NameForm,
    literal: Option<LiteralHead>,
) -> Option<Result<Head, ParseError>> {
    let mut cursor = Cursor::new(bytes);
    let tag = parse_tag(&mut cursor).ok()?;
    let verb = Verb::take(&mut cursor)?;
    match head(&mut cursor, tag.clone(), verb, form, literal) {
        Ok(head) => head.map(Ok),
        Err(kind) => Some(Err(ParseError {
            tag: Some(tag),
            kind,
        })),
    }
}

/// Which command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Append,
    Replace { uid: bool },
}

impl Verb {
    fn take(cursor: &mut Cursor<'_>) -> Option<Self> {
        if cursor.take_prefix("APPEND ") {
            return Some(Self::Append);
        }
        let uid = cursor.take_prefix("UID ");
        cursor
            .take_prefix("REPLACE ")
            .then_some(Self::Replace { uid })
    }
}

fn head(
    cursor: &mut Cursor<'_>,
    tag: Tag,
    verb: Verb,
    form: NameForm,
    literal: Option<LiteralHead>,
) -> Parsed<Option<Head>> {
    let replaced = match verb {
        Verb::Append => None,
        Verb::Replace { uid } => {
            // RFC 8508 §4: a number, or `*`.
            let number = match cursor.take(b'*') {
                true => None,
                false => Some(cursor.nz_number()?),
            };
            cursor.space()?;
            Some(Replaced { uid, number })
        }
    };
    if cursor.is_empty() && literal.is_some() {
        return Ok(None);
    }
    let mailbox = mailbox(cursor, form)?;
    let Some(segment) = segment(cursor, Place::Between, literal)? else {
        return Ok(None);
    };
    if segment.parts.is_empty() {
        return syntax("APPEND takes a mailbox, flags, a date and a literal");
    }
    let head = AppendHead {
        tag,
        mailbox,
        replaced,
        parts: segment.parts,
    };
    let next = segment.next;
    Ok(Some(Head { head, next }))
}

/// Reads a segment up to its end or up to the literal that follows; `None` where the
/// literal is a string of the segment.
pub(crate) fn segment(
    cursor: &mut Cursor<'_>,
    place: Place,
    literal: Option<LiteralHead>,
) -> Parsed<Option<Segment>> {
    let mut parts = Vec::new();
    let mut in_catenate = place == Place::Catenate;
    if place == Place::Utf8 {
        cursor.expect(b')', "a closing parenthesis is missing")?;
    }
    if matches!(place, Place::Message | Place::Utf8) {
        parts.push(AppendPart::End);
    }
    loop {
        if in_catenate {
            let first = matches!(parts.last(), Some(AppendPart::Begin { .. }));
            if !first && cursor.take(b')') {
                parts.push(AppendPart::End);
                in_catenate = false;
                continue;
            }
            if !first {
                cursor.space()?;
            }
            match cat_part(cursor, literal)? {
                CatPart::Url(url) => parts.push(AppendPart::Url(url)),
                CatPart::String => return Ok(None),
                CatPart::Text => {
                    parts.push(AppendPart::Text);
                    let next = Place::Catenate;
                    return Ok(Some(Segment { parts, next }));
                }
            }
            continue;
        }
        if literal.is_none() && cursor.end().is_ok() {
            let next = Place::Between;
            return Ok(Some(Segment { parts, next }));
        }
        parts.push(begin(cursor)?);
        if cursor.is_empty() && literal.is_some() {
            parts.push(AppendPart::Message);
            let next = Place::Message;
            return Ok(Some(Segment { parts, next }));
        }
        // RFC 9755 §4
        if cursor.take_prefix("UTF8 (") {
            return match literal {
                Some(literal) if cursor.is_empty() && literal.binary => {
                    parts.push(AppendPart::Utf8Message);
                    let next = Place::Utf8;
                    Ok(Some(Segment { parts, next }))
                }
                _ => syntax("UTF8 takes a binary literal"),
            };
        }
        if !cursor.take_prefix("CATENATE (") {
            return syntax("APPEND takes a mailbox, flags, a date and a literal");
        }
        in_catenate = true;
    }
}

/// Flags and date of a message.
fn begin(cursor: &mut Cursor<'_>) -> Parsed<AppendPart> {
    cursor.space()?;
    let mut flags = Vec::new();
    if cursor.peek() == Some(b'(') {
        flags = cursor.list(true, store::flag)?;
        flags.dedup();
        cursor.space()?;
    }
    let mut date = None;
    if cursor.peek() == Some(b'"') {
        let text = cursor.string()?;
        date = Some(DateTime::parse(&text).ok_or(ErrorKind::Syntax("the date is not one"))?);
        cursor.space()?;
    }
    Ok(AppendPart::Begin { flags, date })
}

enum CatPart {
    Url(String),
    /// The text is the literal that follows.
    Text,
    /// The URL is the literal that follows.
    String,
}

fn cat_part(cursor: &mut Cursor<'_>, literal: Option<LiteralHead>) -> Parsed<CatPart> {
    if cursor.take_prefix("TEXT ") {
        return match literal {
            Some(literal) if cursor.is_empty() && !literal.binary => Ok(CatPart::Text),
            _ => syntax("TEXT takes a literal"),
        };
    }
    if !cursor.take_prefix("URL ") {
        return syntax("CATENATE takes URL and TEXT");
    }
    if cursor.is_empty() && literal.is_some() {
        return Ok(CatPart::String);
    }
    let url = cursor.astring()?;
    Ok(CatPart::Url(String::from_utf8_lossy(&url).into_owned()))
}
