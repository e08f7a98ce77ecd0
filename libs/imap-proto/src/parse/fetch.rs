//! FETCH and its items.

use crate::command::Command;
use crate::cursor::{Cursor, Parsed, syntax};
use crate::fetch::{FetchCommand, FetchItem, Partial, Section, SectionText};
use crate::limits::{FETCH_SECTIONS_MAX, PART_DEPTH_MAX};
use crate::parse::{ErrorKind, sequence};

/// ```abnf
/// fetch          = "FETCH" SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")") [fetch-modifiers]
/// fetch-modifier = "CHANGEDSINCE" SP mod-sequence-value / "VANISHED" / "PARTIAL" SP partial-range
/// ```
pub(crate) fn fetch(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    let set = sequence::argument(cursor)?;
    cursor.space()?;
    let items = match cursor.peek() {
        Some(b'(') => items(cursor)?,
        _ => item_or_macro(cursor)?,
    };
    let mut changed_since = None;
    let mut vanished = false;
    let mut partial_of_set = None;
    if cursor.take(b' ') {
        cursor.list(false, |cursor| {
            if cursor.take_prefix("VANISHED") {
                vanished = true;
                return Ok(());
            }
            if cursor.take_prefix("PARTIAL ") {
                partial_of_set = Some(super::search::result_range(cursor)?);
                return Ok(());
            }
            if !cursor.take_prefix("CHANGEDSINCE ") {
                return syntax("an unknown modifier of FETCH");
            }
            changed_since = Some(cursor.number64()?);
            Ok(())
        })?;
    }
    // RFC 7162 §3.2.6
    if vanished && (changed_since.is_none() || !uid) {
        return syntax("VANISHED is for UID FETCH with CHANGEDSINCE");
    }
    // RFC 9394 §3.3
    if partial_of_set.is_some() && !uid {
        return syntax("PARTIAL is for UID FETCH");
    }
    Ok(Command::Fetch(FetchCommand {
        uid,
        set,
        items,
        changed_since,
        partial: partial_of_set,
        vanished,
    }))
}

/// Items in parentheses. The macros stand alone by the grammar; here they are taken too, as other servers do.
pub(crate) fn items(cursor: &mut Cursor<'_>) -> Parsed<Vec<FetchItem>> {
    let items = cursor.list(false, item_or_macro)?.concat();
    match items.iter().filter(|item| item.is_section()).count() > FETCH_SECTIONS_MAX {
        true => syntax("too many sections for one FETCH"),
        false => Ok(items),
    }
}

fn item_or_macro(cursor: &mut Cursor<'_>) -> Parsed<Vec<FetchItem>> {
    use FetchItem::{Body, Envelope, Flags, InternalDate, Rfc822Size};
    let word = cursor
        .while_(|b| b.is_ascii_alphanumeric() || b == b'.')
        .to_ascii_uppercase();
    let item = match word.as_slice() {
        b"ALL" => return Ok(vec![Flags, InternalDate, Rfc822Size, Envelope]),
        b"FAST" => return Ok(vec![Flags, InternalDate, Rfc822Size]),
        b"FULL" => return Ok(vec![Flags, InternalDate, Rfc822Size, Envelope, Body]),
        b"ENVELOPE" => Envelope,
        b"FLAGS" => Flags,
        b"INTERNALDATE" => InternalDate,
        b"RFC822" => FetchItem::Rfc822,
        b"RFC822.HEADER" => FetchItem::Rfc822Header,
        b"RFC822.TEXT" => FetchItem::Rfc822Text,
        b"RFC822.SIZE" => Rfc822Size,
        b"BODYSTRUCTURE" => FetchItem::BodyStructure,
        b"UID" => FetchItem::Uid,
        b"MODSEQ" => FetchItem::ModSeq,
        b"EMAILID" => FetchItem::EmailId,
        b"THREADID" => FetchItem::ThreadId,
        b"SAVEDATE" => FetchItem::SaveDate,
        // RFC 8970 §4.1: LAZY changes nothing where the preview is always at hand.
        b"PREVIEW" => {
            if cursor.take_prefix(" (") {
                let modifiers = cursor.word()?;
                if modifiers != "LAZY" {
                    return syntax("an unknown modifier of PREVIEW");
                }
                cursor.expect(b')', "a closing parenthesis is missing")?;
            }
            FetchItem::Preview
        }
        b"BODY" if cursor.peek() != Some(b'[') => Body,
        b"BODY" | b"BODY.PEEK" => FetchItem::BodySection {
            peek: word.len() > 4,
            section: section(cursor)?,
            partial: partial(cursor)?,
        },
        b"BINARY" | b"BINARY.PEEK" => FetchItem::Binary {
            peek: word.len() > 6,
            part: binary_section(cursor)?,
            partial: partial(cursor)?,
        },
        b"BINARY.SIZE" => FetchItem::BinarySize {
            part: binary_section(cursor)?,
        },
        _ => return syntax("an unknown item of FETCH"),
    };
    Ok(vec![item])
}

/// ```abnf
/// section      = "[" [section-spec] "]"
/// section-spec = section-msgtext / (section-part ["." section-text])
/// section-text = section-msgtext / "MIME"
/// ```
pub(crate) fn section(cursor: &mut Cursor<'_>) -> Parsed<Section> {
    cursor.expect(b'[', "a section begins with [")?;
    let (part, more) = part(cursor)?;
    let mut text = SectionText::Whole;
    if more || part.is_empty() {
        text = section_text(cursor)?;
        let lone_mime = text == SectionText::Mime && part.is_empty();
        let dangling = text == SectionText::Whole && more;
        if lone_mime || dangling {
            return syntax("a section that does not exist");
        }
    }
    cursor.expect(b']', "a section ends with ]")?;
    Ok(Section { part, text })
}

/// ```abnf
/// section-msgtext = "HEADER" / "HEADER.FIELDS" [".NOT"] SP header-list / "TEXT"
/// ```
fn section_text(cursor: &mut Cursor<'_>) -> Parsed<SectionText> {
    let word = cursor
        .while_(|b| b.is_ascii_alphabetic() || b == b'.')
        .to_ascii_uppercase();
    match word.as_slice() {
        b"" => Ok(SectionText::Whole),
        b"HEADER" => Ok(SectionText::Header),
        b"TEXT" => Ok(SectionText::Text),
        b"MIME" => Ok(SectionText::Mime),
        b"HEADER.FIELDS" => fields(cursor).map(SectionText::HeaderFields),
        b"HEADER.FIELDS.NOT" => fields(cursor).map(SectionText::HeaderFieldsNot),
        _ => syntax("an unknown section"),
    }
}

/// `header-list = "(" header-fld-name *(SP header-fld-name) ")"`
fn fields(cursor: &mut Cursor<'_>) -> Parsed<Vec<String>> {
    cursor.space()?;
    cursor.list(false, |cursor| {
        let name = cursor.astring()?;
        let valid = !name.is_empty() && name.iter().all(|b| b.is_ascii_graphic() && *b != b':');
        if !valid {
            return syntax("a header field's name is printable ASCII without a colon");
        }
        Ok(String::from_utf8_lossy(&name).into_owned())
    })
}

/// `section-binary = "[" [section-part] "]"`
fn binary_section(cursor: &mut Cursor<'_>) -> Parsed<Vec<u32>> {
    cursor.expect(b'[', "a section begins with [")?;
    let (part, more) = part(cursor)?;
    if more {
        return syntax("BINARY takes a part's number only");
    }
    cursor.expect(b']', "a section ends with ]")?;
    Ok(part)
}

/// `section-part = nz-number *("." nz-number)`; true when a dot and no number follows.
fn part(cursor: &mut Cursor<'_>) -> Parsed<(Vec<u32>, bool)> {
    let mut part = Vec::new();
    if !cursor.peek().is_some_and(|b| b.is_ascii_digit()) {
        return Ok((part, false));
    }
    loop {
        if part.len() >= PART_DEPTH_MAX {
            return syntax("a part's number has too many levels");
        }
        part.push(cursor.nz_number()?.get());
        if !cursor.take(b'.') {
            return Ok((part, false));
        }
        if !cursor.peek().is_some_and(|b| b.is_ascii_digit()) {
            return Ok((part, true));
        }
    }
}

/// `partial = "<" number64 "." nz-number64 ">"`
fn partial(cursor: &mut Cursor<'_>) -> Parsed<Option<Partial>> {
    if !cursor.take(b'<') {
        return Ok(None);
    }
    let offset = cursor.number64()?;
    cursor.expect(b'.', "a partial range is <offset.length>")?;
    let length = cursor.number64()?;
    if length == 0 {
        return Err(ErrorKind::Syntax(
            "a partial range has a length of at least 1",
        ));
    }
    cursor.expect(b'>', "a partial range ends with >")?;
    Ok(Some(Partial { offset, length }))
}
