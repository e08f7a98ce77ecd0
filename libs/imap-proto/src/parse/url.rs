//! GENURLAUTH, URLFETCH and RESETKEY (RFC 4467 §8; URLFETCH's data: RFC 5524). The
//! URLs themselves are read by [`crate::url`]: one that is none is no broken command.

use crate::command::{Command, UrlFetch, UrlFetchItem, UrlRump};
use crate::cursor::{Cursor, Parsed, syntax};
use crate::limits::URLS_PER_COMMAND_MAX;
use crate::mailbox_name::NameForm;
use crate::parse::mailbox;

/// `genurlauth = "GENURLAUTH" 1*(SP url-rump SP mechanism)`
pub(crate) fn generate(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let mut rumps = Vec::new();
    while cursor.take(b' ') && !cursor.is_empty() {
        let url = url(cursor)?;
        cursor.space()?;
        let mechanism = cursor.word()?;
        push(&mut rumps, UrlRump { url, mechanism })?;
    }
    if rumps.is_empty() {
        return syntax("GENURLAUTH takes URLs and mechanisms");
    }
    Ok(Command::GenUrlAuth(rumps))
}

/// ```abnf
/// urlfetch        = "URLFETCH" 1*(SP (url-full / url-fetch-ext))
/// url-fetch-ext   = "(" url-full *(SP url-fetch-param) ")"
/// url-fetch-param = "BODY" / "BINARY" / "BODYPARTSTRUCTURE" / atom
/// ```
pub(crate) fn fetch(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let mut urls = Vec::new();
    while cursor.take(b' ') && !cursor.is_empty() {
        let fetch = if cursor.take(b'(') {
            let url = url(cursor)?;
            let mut items = Vec::new();
            while cursor.take(b' ') {
                let item = match cursor.word()?.as_str() {
                    "BODY" => UrlFetchItem::Body,
                    "BINARY" => UrlFetchItem::Binary,
                    "BODYPARTSTRUCTURE" => UrlFetchItem::BodyPartStructure,
                    _ => return syntax("an unknown item of URLFETCH"),
                };
                if items.contains(&item) {
                    return syntax("an item of URLFETCH is given twice");
                }
                items.push(item);
            }
            cursor.expect(b')', "a closing parenthesis is missing")?;
            // RFC 5524 §3.1: without parameters it is as if it stood alone.
            let items = (!items.is_empty()).then_some(items);
            UrlFetch { url, items }
        } else {
            let (url, items) = (url(cursor)?, None);
            UrlFetch { url, items }
        };
        push(&mut urls, fetch)?;
    }
    if urls.is_empty() {
        return syntax("URLFETCH takes URLs");
    }
    Ok(Command::UrlFetch(urls))
}

/// `resetkey = "RESETKEY" [SP mailbox *(SP mechanism)]`
pub(crate) fn reset(cursor: &mut Cursor<'_>, form: NameForm) -> Parsed<Command> {
    let mut name = None;
    let mut mechanisms = Vec::new();
    if cursor.take(b' ') && !cursor.is_empty() {
        name = Some(mailbox(cursor, form)?);
        while cursor.take(b' ') && !cursor.is_empty() {
            push(&mut mechanisms, cursor.word()?)?;
        }
    }
    Ok(Command::ResetKey {
        mailbox: name,
        mechanisms,
    })
}

fn url(cursor: &mut Cursor<'_>) -> Parsed<String> {
    match String::from_utf8(cursor.astring()?.into_owned()) {
        Ok(url) => Ok(url),
        Err(_) => syntax("a URL is ASCII"),
    }
}

fn push<T>(all: &mut Vec<T>, one: T) -> Parsed<()> {
    if all.len() >= URLS_PER_COMMAND_MAX {
        return syntax("too many URLs in one command");
    }
    all.push(one);
    Ok(())
}
