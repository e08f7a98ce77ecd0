//! The head of an APPEND: everything in front of the message's literal.

use crate::command::{AppendHead, Tag};
use crate::cursor::{Cursor, Parsed, syntax};
use crate::date::DateTime;
use crate::mailbox_name::NameForm;
use crate::parse::{ErrorKind, ParseError, mailbox, parse_tag, store};

/// Reads the head of an APPEND up to the place where its message's literal
/// begins. `None` when the bytes are not (yet) such a head: another command, or
/// an APPEND whose mailbox is the literal.
///
/// ```abnf
/// append         = "APPEND" SP mailbox 1*append-message
/// append-message = [SP flag-list] [SP date-time] SP append-data
/// ```
#[must_use]
pub fn parse_append_head(bytes: &[u8], form: NameForm) -> Option<Result<AppendHead, ParseError>> {
    let mut cursor = Cursor::new(bytes);
    let tag = parse_tag(&mut cursor).ok()?;
    if !cursor.take_prefix("APPEND ") || bytes.last() != Some(&b' ') || !has_mailbox(cursor.clone())
    {
        return None;
    }
    Some(
        head(&mut cursor, tag.clone(), form).map_err(|kind| ParseError {
            tag: Some(tag),
            kind,
        }),
    )
}

/// True when the mailbox is there, so that the next literal is the message.
fn has_mailbox(mut cursor: Cursor<'_>) -> bool {
    cursor.astring().is_ok() && cursor.space().is_ok()
}

fn head(cursor: &mut Cursor<'_>, tag: Tag, form: NameForm) -> Parsed<AppendHead> {
    let mailbox = mailbox(cursor, form)?;
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
    if !cursor.is_empty() {
        return syntax("APPEND takes a mailbox, flags, a date and a literal");
    }
    Ok(AppendHead {
        tag,
        mailbox,
        flags,
        date,
    })
}
