//! SEARCH and its keys.

use crate::command::Command;
use crate::cursor::{Cursor, Parsed, syntax};
use crate::date::Date;
use crate::flag::{Flag, SystemFlag};
use crate::limits::{
    FILTER_NAME_BYTES_MAX, LIST_ITEMS_MAX, NESTING_DEPTH_MAX, OBJECT_ID_BYTES_MAX, SEARCH_TEXTS_MAX,
};
use crate::mailbox_name::{MailboxName, NameForm};
use crate::parse::{ErrorKind, mailbox, sequence};
use crate::search::{
    MultiSearchCommand, ResultRange, ReturnItem, SearchCommand, SearchKey, SearchSource,
};
use crate::sequence::{SequenceRange, SequenceSet};
use std::num::NonZeroU32;

/// ```abnf
/// search             = "SEARCH" [search-return-opts] SP search-program
/// search-return-opts = SP "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")"
/// search-program     = ["CHARSET" SP charset SP] search-key *(SP search-key)
/// ```
pub(crate) fn search(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    cursor.space()?;
    let returns = returns(cursor)?;
    let saves = saves(returns.as_deref());
    let charset = cursor.take_prefix("CHARSET ");
    let key = match charset {
        true => with_charset(cursor, saves)?,
        false => program(cursor, saves)?,
    };
    check_relevancy(returns.as_deref(), &key)?;
    Ok(Command::Search(SearchCommand {
        uid,
        charset,
        returns,
        key,
    }))
}

/// ```abnf
/// esearch             = "ESEARCH" [SP "IN" SP "(" source-mbox ")"] [search-return-opts] SP search-program
/// source-mbox         = filter-mailboxes *(SP filter-mailboxes)
/// filter-mailboxes    = "selected" / "inboxes" / "personal" / "subscribed" /
///                       ("subtree" / "subtree-one" / "mailboxes") SP one-or-more-mailbox
/// one-or-more-mailbox = mailbox / "(" mailbox *(SP mailbox) ")"
/// ```
pub(crate) fn several(cursor: &mut Cursor<'_>, form: NameForm) -> Parsed<Command> {
    cursor.space()?;
    let mut sources = Vec::new();
    if cursor.take_prefix("IN ") {
        sources = cursor.list(false, |cursor| source(cursor, form))?;
        cursor.space()?;
    }
    let returns = returns(cursor)?.unwrap_or_else(|| vec![ReturnItem::All]);
    if returns.contains(&ReturnItem::Update) {
        return syntax("UPDATE is for the selected mailbox's SEARCH and SORT");
    }
    let saves = saves(Some(&returns));
    let key = match cursor.take_prefix("CHARSET ") {
        true => with_charset(cursor, saves)?,
        false => program(cursor, saves)?,
    };
    check_relevancy(Some(&returns), &key)?;
    Ok(Command::MultiSearch(MultiSearchCommand {
        sources,
        returns,
        key,
    }))
}

pub(crate) fn source(cursor: &mut Cursor<'_>, form: NameForm) -> Parsed<SearchSource> {
    let word = cursor.word()?;
    Ok(match word.as_str() {
        "SELECTED" => SearchSource::Selected,
        "INBOXES" => SearchSource::Inboxes,
        "PERSONAL" => SearchSource::Personal,
        "SUBSCRIBED" => SearchSource::Subscribed,
        "SUBTREE" | "SUBTREE-ONE" => SearchSource::Subtree {
            names: mailboxes(cursor, form)?,
            one_level: word.len() > "SUBTREE".len(),
        },
        "MAILBOXES" => SearchSource::Mailboxes(mailboxes(cursor, form)?),
        _ => return syntax("an unknown place to search in"),
    })
}

fn mailboxes(cursor: &mut Cursor<'_>, form: NameForm) -> Parsed<Vec<MailboxName>> {
    cursor.space()?;
    match cursor.peek() {
        Some(b'(') => cursor.list(false, |cursor| mailbox(cursor, form)),
        _ => Ok(vec![mailbox(cursor, form)?]),
    }
}

/// `search-return-opts`, with the space behind them.
pub(crate) fn returns(cursor: &mut Cursor<'_>) -> Parsed<Option<Vec<ReturnItem>>> {
    if !cursor.take_prefix("RETURN ") {
        return Ok(None);
    }
    let mut items = cursor.list(true, return_item)?;
    if items.is_empty() {
        items.push(ReturnItem::All);
    }
    // RFC 9394 §3.1: PARTIAL at most once, and never with ALL.
    let partial = |item: &&ReturnItem| matches!(item, ReturnItem::Partial(_));
    let partials = items.iter().filter(partial).count();
    if partials > 1 || (partials == 1 && items.contains(&ReturnItem::All)) {
        return syntax("PARTIAL is given once, and not with ALL");
    }
    cursor.space()?;
    Ok(Some(items))
}

pub(crate) fn saves(returns: Option<&[ReturnItem]>) -> bool {
    returns.is_some_and(|items| items.contains(&ReturnItem::Save))
}

/// RFC 6203 §4: RELEVANCY "MUST NOT be used unless a FUZZY search key is also given".
pub(crate) fn check_relevancy(returns: Option<&[ReturnItem]>, key: &SearchKey) -> Parsed<()> {
    let asks = returns.is_some_and(|returns| returns.contains(&ReturnItem::Relevancy));
    match asks && !key.is_scored() {
        true => syntax("RELEVANCY is for searches with FUZZY"),
        false => Ok(()),
    }
}

/// `cancelupdate = "CANCELUPDATE" 1*(SP quoted)`
pub(super) fn cancel(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let mut tags = Vec::new();
    while tags.is_empty() || cursor.peek() == Some(b' ') {
        cursor.space()?;
        tags.push(cursor.string()?.into_owned());
    }
    Ok(Command::CancelUpdate(tags))
}

/// A charset, and the keys in it; `saves`: the result was to be saved.
pub(crate) fn with_charset(cursor: &mut Cursor<'_>, saves: bool) -> Parsed<SearchKey> {
    let charset = cursor.astring()?.to_ascii_uppercase();
    let known = matches!(charset.as_slice(), b"UTF-8" | b"US-ASCII" | b"ASCII");
    cursor.space()?;
    if !known {
        let filters = names_filters(cursor);
        return Err(ErrorKind::BadCharset { saves, filters });
    }
    program(cursor, saves)
}

/// FILTER is among keys whose texts cannot be read.
fn names_filters(cursor: &Cursor<'_>) -> bool {
    let readable = cursor
        .rest()
        .iter()
        .map(|&b| if b.is_ascii() { b } else { b'?' });
    let readable: Vec<u8> = readable.collect();
    let key = program(&mut Cursor::new(&readable), false);
    key.is_ok_and(|key| key.any(&mut |key| matches!(key, SearchKey::Filter(_))))
}

/// All keys of a command.
fn program(cursor: &mut Cursor<'_>, saves: bool) -> Parsed<SearchKey> {
    let key = keys(cursor, NESTING_DEPTH_MAX, |cursor| cursor.is_empty());
    let key = key.map_err(|error| match error {
        ErrorKind::BadCharset { filters, .. } => ErrorKind::BadCharset { saves, filters },
        other => other,
    })?;
    match key.texts() > SEARCH_TEXTS_MAX {
        true => syntax("too many texts for one search"),
        false => Ok(key),
    }
}

/// ```abnf
/// partial-range       = partial-range-first / partial-range-last
/// partial-range-first = nz-number ":" nz-number
/// partial-range-last  = MINUS nz-number ":" MINUS nz-number
/// ```
pub(crate) fn result_range(cursor: &mut Cursor<'_>) -> Parsed<ResultRange> {
    let from_end = cursor.take(b'-');
    let one = cursor.nz_number()?;
    cursor.expect(b':', "a range of results is first:last")?;
    if cursor.take(b'-') != from_end {
        return syntax("a range of results counts from one end");
    }
    let other = cursor.nz_number()?;
    Ok(ResultRange {
        from_end,
        first: one.min(other),
        last: one.max(other),
    })
}

fn return_item(cursor: &mut Cursor<'_>) -> Parsed<ReturnItem> {
    match cursor.word()?.as_str() {
        "MIN" => Ok(ReturnItem::Min),
        "MAX" => Ok(ReturnItem::Max),
        "ALL" => Ok(ReturnItem::All),
        "COUNT" => Ok(ReturnItem::Count),
        "SAVE" => Ok(ReturnItem::Save),
        "UPDATE" => Ok(ReturnItem::Update),
        "CONTEXT" => Ok(ReturnItem::Context),
        "RELEVANCY" => Ok(ReturnItem::Relevancy),
        "PARTIAL" => {
            cursor.space()?;
            result_range(cursor).map(ReturnItem::Partial)
        }
        _ => syntax("an unknown return option of SEARCH"),
    }
}

/// `search-key *(SP search-key)`
fn keys(
    cursor: &mut Cursor<'_>,
    depth: usize,
    at_end: impl Fn(&Cursor<'_>) -> bool,
) -> Parsed<SearchKey> {
    let first = key(cursor, depth)?;
    let mut all = vec![first];
    while !at_end(cursor) {
        cursor.space()?;
        if all.len() >= LIST_ITEMS_MAX {
            return syntax("too many search keys");
        }
        if at_end(cursor) {
            break;
        }
        all.push(key(cursor, depth)?);
    }
    Ok(match all.len() {
        1 => all.swap_remove(0),
        _ => SearchKey::And(all),
    })
}

fn key(cursor: &mut Cursor<'_>, depth: usize) -> Parsed<SearchKey> {
    let Some(depth) = depth.checked_sub(1) else {
        return syntax("the search is nested too deeply");
    };
    match cursor.peek() {
        Some(b'(') => {
            cursor.take(b'(');
            let key = keys(cursor, depth, |cursor| cursor.peek() == Some(b')'))?;
            cursor.expect(b')', "a closing parenthesis is missing")?;
            return Ok(key);
        }
        Some(b'0'..=b'9' | b'*' | b'$') => {
            return sequence::set(cursor).map(SearchKey::Sequence);
        }
        _ => {}
    }
    let word = cursor.word()?;
    if let Some(key) = flag_key(&word) {
        return Ok(key);
    }
    match word.as_str() {
        "ALL" | "OLD" => return Ok(SearchKey::All),
        // No message is ever recent here: RFC 9051 dropped the flag.
        "RECENT" | "NEW" => return Ok(SearchKey::Nothing),
        "SAVEDATESUPPORTED" => return Ok(SearchKey::SaveDateSupported),
        _ => {}
    }
    cursor
        .space()
        .map_err(|_| ErrorKind::Syntax("an unknown search key, or its argument is missing"))?;
    match word.as_str() {
        "NOT" => Ok(SearchKey::Not(Box::new(key(cursor, depth)?))),
        "FUZZY" => Ok(SearchKey::Fuzzy(Box::new(key(cursor, depth)?))),
        "OR" => {
            let first = key(cursor, depth)?;
            cursor.space()?;
            Ok(SearchKey::Or(
                Box::new(first),
                Box::new(key(cursor, depth)?),
            ))
        }
        "UID" => sequence::set(cursor).map(SearchKey::Uid),
        // RFC 9738 §3.2
        "UIDAFTER" => {
            let last = cursor.nz_number()?;
            Ok(uids(last.checked_add(1), Some(NonZeroU32::MAX)))
        }
        "UIDBEFORE" => {
            let first = cursor.nz_number()?;
            Ok(uids(
                Some(NonZeroU32::MIN),
                NonZeroU32::new(first.get() - 1),
            ))
        }
        "KEYWORD" => Ok(SearchKey::Flag(keyword(cursor)?, true)),
        "UNKEYWORD" => Ok(SearchKey::Flag(keyword(cursor)?, false)),
        "BCC" | "CC" | "FROM" | "TO" => Ok(SearchKey::Address(word, text(cursor)?)),
        "SUBJECT" => Ok(SearchKey::Header(word, text(cursor)?)),
        "HEADER" => {
            let name = text(cursor)?;
            cursor.space()?;
            Ok(SearchKey::Header(name, text(cursor)?))
        }
        "BODY" => text(cursor).map(SearchKey::Body),
        "TEXT" => text(cursor).map(SearchKey::Text),
        "BEFORE" => date(cursor).map(SearchKey::Before),
        "ON" => date(cursor).map(SearchKey::On),
        "SINCE" => date(cursor).map(SearchKey::Since),
        "SENTBEFORE" => date(cursor).map(SearchKey::SentBefore),
        "SENTON" => date(cursor).map(SearchKey::SentOn),
        "SENTSINCE" => date(cursor).map(SearchKey::SentSince),
        "SAVEDBEFORE" => date(cursor).map(SearchKey::SavedBefore),
        "SAVEDON" => date(cursor).map(SearchKey::SavedOn),
        "SAVEDSINCE" => date(cursor).map(SearchKey::SavedSince),
        "LARGER" => cursor.number64().map(SearchKey::Larger),
        "SMALLER" => cursor.number64().map(SearchKey::Smaller),
        // RFC 5032 §3: nz-number
        "OLDER" => cursor.nz_number().map(|n| SearchKey::Older(n.get())),
        "YOUNGER" => cursor.nz_number().map(|n| SearchKey::Younger(n.get())),
        "EMAILID" => object_id(cursor).map(SearchKey::EmailId),
        "THREADID" => object_id(cursor).map(SearchKey::ThreadId),
        "MODSEQ" => mod_sequence(cursor),
        "FILTER" => filter_name(cursor).map(SearchKey::Filter),
        _ => syntax("an unknown search key"),
    }
}

/// UIDs from one to another; where there is no such number there is none of them.
fn uids(from: Option<NonZeroU32>, to: Option<NonZeroU32>) -> SearchKey {
    match (from, to) {
        (Some(_), Some(_)) => SearchKey::Uid(SequenceSet::Ranges(vec![SequenceRange { from, to }])),
        _ => SearchKey::Nothing,
    }
}

fn flag_key(word: &str) -> Option<SearchKey> {
    let (name, set) = match word.strip_prefix("UN") {
        Some(name) => (name, false),
        None => (word, true),
    };
    let flag = SystemFlag::ALL
        .into_iter()
        .find(|flag| flag.as_str()[1..].eq_ignore_ascii_case(name))?;
    Some(SearchKey::Flag(Flag::System(flag), set))
}

fn keyword(cursor: &mut Cursor<'_>) -> Parsed<Flag> {
    Flag::parse(cursor.atom()?).ok_or(ErrorKind::Syntax("a keyword is too long"))
}

/// Texts without CHARSET are UTF-8 as well: RFC 9051 §6.4.4 makes it the default.
fn text(cursor: &mut Cursor<'_>) -> Parsed<String> {
    let bytes = cursor.astring()?;
    match String::from_utf8(bytes.into_owned()) {
        Ok(text) => Ok(text),
        Err(_) => Err(ErrorKind::BadCharset {
            saves: false,
            filters: false,
        }),
    }
}

/// `filter-name = 1*<any ATOM-CHAR except "/">`, RFC 5466 §3.2; entries of METADATA are in any case.
fn filter_name(cursor: &mut Cursor<'_>) -> Parsed<String> {
    let name = cursor.atom()?;
    match name.contains('/') || name.len() > FILTER_NAME_BYTES_MAX {
        true => syntax("a filter's name is an atom without /"),
        false => Ok(name.to_ascii_lowercase()),
    }
}

/// The value of a stored search, as RFC 5466 §3.1 has it.
pub(crate) fn stored_criteria(criteria: &[u8]) -> Option<SearchKey> {
    let mut cursor = Cursor::new(criteria);
    let key = match cursor.take_prefix("CHARSET ") {
        true => with_charset(&mut cursor, false),
        false => program(&mut cursor, false),
    };
    key.ok().filter(|_| cursor.is_empty())
}

/// `objectid = 1*255(ALPHA / DIGIT / "_" / "-")`, RFC 8474 §7
fn object_id(cursor: &mut Cursor<'_>) -> Parsed<String> {
    let id = cursor.astring()?;
    let of_an_id = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if id.is_empty() || id.len() > OBJECT_ID_BYTES_MAX || !id.iter().all(of_an_id) {
        return syntax("an object's id is letters, digits, _ and -");
    }
    Ok(String::from_utf8_lossy(&id).into_owned())
}

/// `date = date-text / DQUOTE date-text DQUOTE`
fn date(cursor: &mut Cursor<'_>) -> Parsed<Date> {
    let text = cursor.astring()?;
    Date::parse(&text).ok_or(ErrorKind::Syntax("a date is like 1-Feb-2026"))
}

/// ```abnf
/// search-modsequence = "MODSEQ" [search-modseq-ext] SP mod-sequence-valzer
/// search-modseq-ext  = SP entry-name SP entry-type-req
/// ```
/// All flags of an email have one mod-sequence here, as RFC 7162 §3.1.5 permits.
fn mod_sequence(cursor: &mut Cursor<'_>) -> Parsed<SearchKey> {
    if cursor.peek() == Some(b'"') {
        let name = cursor.string()?;
        if !name.starts_with(b"/flags/") {
            return syntax("an entry's name begins with /flags/");
        }
        cursor.space()?;
        if !matches!(cursor.word()?.as_str(), "PRIV" | "SHARED" | "ALL") {
            return syntax("an entry is priv, shared or all");
        }
        cursor.space()?;
    }
    cursor.number64().map(SearchKey::ModSeq)
}
