//! From a command's bytes to a [`Command`]. The dispatcher and the short
//! commands are here; the long ones have files of their own.
//!
//! Invariant: only bytes that the framer gave as one command are read, so an
//! error here never shifts the stream.

mod acl;
mod append;
mod fetch;
mod list;
mod login;
mod metadata;
mod notify;
mod search;
mod sequence;
mod sort;
mod store;
mod url;

pub use append::parse_append_head;
pub(crate) use append::{Place, first_segment, segment as append_segment};
pub(crate) use fetch::section;
pub(crate) use search::stored_criteria;

use crate::command::{Command, Qresync, SelectCommand, SpecialUse, StatusItem, Tag};
use crate::cursor::{Cursor, Parsed, syntax};
use crate::limits::{ID_PAIRS_MAX, WORDS_MAX};
use crate::mailbox_name::{MailboxName, NameError, NameForm};
use thiserror::Error;

/// Why a command was not understood.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Not as the grammar has it: BAD.
    #[error("{0}")]
    Syntax(&'static str),
    /// A command that this server does not know: BAD.
    #[error("unknown command")]
    UnknownCommand,
    /// A name that cannot be a mailbox's: NO [CANNOT] where one is made, and no such mailbox elsewhere.
    #[error("{0}")]
    Mailbox(NameError),
    /// SEARCH in a charset other than US-ASCII and UTF-8: NO [BADCHARSET], and with FILTER BAD.
    #[error("only US-ASCII and UTF-8 are understood")]
    BadCharset {
        /// The result was to be saved (RFC 5182), so what was saved before is gone.
        saves: bool,
        /// A stored search is named (RFC 5466).
        filters: bool,
    },
    /// CREATE for a use that is not known: NO [USEATTR].
    #[error("this special use is not supported")]
    UseAttr,
}

/// A command that was not understood, with its tag if that much was.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("{kind}")]
pub struct ParseError {
    /// The tag to answer with.
    pub tag: Option<Tag>,
    /// Why.
    pub kind: ErrorKind,
}

/// Reads one command, without its final CRLF, as it came from the framer.
///
/// ```abnf
/// command = tag SP (command-any / command-auth / command-nonauth / command-select) CRLF
/// ```
///
/// # Errors
/// See [`ErrorKind`].
pub fn parse_command(bytes: &[u8], form: NameForm) -> Result<(Tag, Command), ParseError> {
    let mut cursor = Cursor::new(bytes);
    let tag = parse_tag(&mut cursor).map_err(|kind| ParseError { tag: None, kind })?;
    match parse_body(&mut cursor, form) {
        Ok(command) => Ok((tag, command)),
        Err(kind) => Err(ParseError {
            tag: Some(tag),
            kind,
        }),
    }
}

/// The tag of a command that may be broken behind it.
pub(crate) fn parse_tag(cursor: &mut Cursor<'_>) -> Parsed<Tag> {
    let bytes = cursor.while_(crate::chars::is_tag_char);
    let tag = Tag::parse(bytes).ok_or(ErrorKind::Syntax("a tag is missing"))?;
    cursor.space()?;
    Ok(tag)
}

fn parse_body(cursor: &mut Cursor<'_>, form: NameForm) -> Parsed<Command> {
    let mut verb = cursor.word().map_err(|_| ErrorKind::UnknownCommand)?;
    let uid = verb == "UID";
    if uid {
        cursor.space()?;
        verb = cursor.word()?;
    }
    let command = match (verb.as_str(), uid) {
        ("CAPABILITY", false) => Command::Capability,
        ("NOOP", false) => Command::Noop,
        ("LOGOUT", false) => Command::Logout,
        ("STARTTLS", false) => Command::StartTls,
        ("NAMESPACE", false) => Command::Namespace,
        ("GETJMAPACCESS", false) => Command::GetJmapAccess,
        ("IDLE", false) => Command::Idle,
        ("CHECK", false) => Command::Check,
        ("UNAUTHENTICATE", false) => Command::Unauthenticate,
        ("COMPRESS", false) => {
            cursor.space()?;
            Command::Compress(cursor.word()?)
        }
        ("ESEARCH", false) => search::several(cursor, form)?,
        ("CLOSE", false) => Command::Close,
        ("UNSELECT", false) => Command::Unselect,
        ("EXPUNGE", false) => Command::Expunge(None),
        ("EXPUNGE", true) => Command::Expunge(Some(sequence::argument(cursor)?)),
        ("AUTHENTICATE", false) => login::authenticate(cursor)?,
        ("LOGIN", false) => login::login(cursor)?,
        ("ENABLE", false) => login::enable(cursor)?,
        ("SELECT", false) => Command::Select(select(cursor, form)?),
        ("EXAMINE", false) => Command::Examine(select(cursor, form)?),
        ("CREATE", false) => create(cursor, form)?,
        ("DELETE", false) => Command::Delete(mailbox_argument(cursor, form)?),
        ("RENAME", false) => rename(cursor, form)?,
        ("SUBSCRIBE", false) => Command::Subscribe(mailbox_argument(cursor, form)?),
        ("UNSUBSCRIBE", false) => Command::Unsubscribe(mailbox_argument(cursor, form)?),
        ("LIST", false) => list::list(cursor, form)?,
        ("LSUB", false) => list::lsub(cursor, form)?,
        ("GETQUOTA", false) => {
            cursor.space()?;
            Command::GetQuota(cursor.astring()?.into_owned())
        }
        ("SETQUOTA", false) => set_quota(cursor)?,
        ("GETQUOTAROOT", false) => Command::GetQuotaRoot(mailbox_argument(cursor, form)?),
        ("STATUS", false) => status(cursor, form)?,
        ("SEARCH", _) => search::search(cursor, uid)?,
        ("SORT", _) => sort::sort(cursor, uid)?,
        ("THREAD", _) => sort::thread(cursor, uid)?,
        ("FETCH", _) => fetch::fetch(cursor, uid)?,
        ("STORE", _) => store::store(cursor, uid)?,
        ("COPY", _) => {
            let (set, mailbox) = set_and_mailbox(cursor, form)?;
            Command::Copy { uid, set, mailbox }
        }
        ("MOVE", _) => {
            let (set, mailbox) = set_and_mailbox(cursor, form)?;
            Command::Move { uid, set, mailbox }
        }
        ("ID", false) => id(cursor)?,
        ("GETMETADATA", false) => metadata::get(cursor, form)?,
        ("SETMETADATA", false) => metadata::set(cursor, form)?,
        ("UIDBATCHES", false) => uid_batches(cursor)?,
        ("LANGUAGE", false) => Command::Language(words(cursor)?),
        ("COMPARATOR", false) => Command::Comparator(words(cursor)?),
        ("NOTIFY", false) => notify::notify(cursor, form)?,
        ("CANCELUPDATE", false) => search::cancel(cursor)?,
        ("SETACL", false) => acl::set(cursor, form)?,
        ("DELETEACL", false) => acl::delete(cursor, form)?,
        ("GETACL", false) => Command::GetAcl(mailbox_argument(cursor, form)?),
        ("LISTRIGHTS", false) => acl::list(cursor, form)?,
        ("MYRIGHTS", false) => Command::MyRights(mailbox_argument(cursor, form)?),
        ("GENURLAUTH", false) => url::generate(cursor)?,
        ("URLFETCH", false) => url::fetch(cursor)?,
        ("RESETKEY", false) => url::reset(cursor, form)?,
        // Their heads were looked for by the framer and not found.
        ("APPEND", false) | ("REPLACE", _) => {
            return syntax("APPEND takes a mailbox, flags, a date and a literal");
        }
        _ => return Err(ErrorKind::UnknownCommand),
    };
    cursor.end()?;
    Ok(command)
}

/// `mailbox = "INBOX" / astring`
pub(crate) fn mailbox(cursor: &mut Cursor<'_>, form: NameForm) -> Parsed<MailboxName> {
    let name = cursor.astring()?;
    MailboxName::from_wire(&name, form).map_err(ErrorKind::Mailbox)
}

fn mailbox_argument(cursor: &mut Cursor<'_>, form: NameForm) -> Parsed<MailboxName> {
    cursor.space()?;
    mailbox(cursor, form)
}

/// ```abnf
/// select        = "SELECT" SP mailbox [select-params]
/// select-params = SP "(" select-param *(SP select-param) ")"
/// select-param  = "CONDSTORE" / "QRESYNC" SP "(" uidvalidity SP mod-sequence-value
///                 [SP known-uids] [SP seq-match-data] ")"
/// ```
fn select(cursor: &mut Cursor<'_>, form: NameForm) -> Parsed<SelectCommand> {
    let mailbox = mailbox_argument(cursor, form)?;
    let mut condstore = false;
    let mut remembered = None;
    if cursor.take(b' ') {
        cursor.list(false, |cursor| match cursor.word()?.as_str() {
            "CONDSTORE" => {
                condstore = true;
                Ok(())
            }
            "QRESYNC" => {
                remembered = Some(qresync(cursor)?);
                Ok(())
            }
            _ => syntax("an unknown parameter of SELECT"),
        })?;
    }
    Ok(SelectCommand {
        mailbox,
        condstore,
        qresync: remembered,
    })
}

/// ```abnf
/// known-uids     = sequence-set ; without "*"
/// seq-match-data = "(" known-sequence-set SP known-uid-set ")"
/// ```
fn qresync(cursor: &mut Cursor<'_>) -> Parsed<Qresync> {
    cursor.expect(b' ', "QRESYNC takes what is remembered")?;
    cursor.expect(b'(', "an opening parenthesis is missing")?;
    let uid_validity = cursor.nz_number()?.get();
    cursor.space()?;
    let modseq = cursor.number64()?;
    let mut known = None;
    let mut matches = None;
    while matches.is_none() && cursor.take(b' ') {
        if cursor.take(b'(') {
            let numbers = sequence::known(cursor)?;
            cursor.space()?;
            matches = Some((numbers, sequence::known(cursor)?));
            cursor.expect(b')', "a closing parenthesis is missing")?;
        } else if known.is_none() {
            known = Some(sequence::known(cursor)?);
        } else {
            return syntax("known UIDs are given once");
        }
    }
    cursor.expect(b')', "a closing parenthesis is missing")?;
    Ok(Qresync {
        uid_validity,
        modseq,
        known,
        matches,
    })
}

/// ```abnf
/// create       = "CREATE" SP mailbox [create-params]
/// create-param = "USE" SP "(" [use-attr *(SP use-attr)] ")"
/// ```
fn create(cursor: &mut Cursor<'_>, form: NameForm) -> Parsed<Command> {
    let mailbox = mailbox_argument(cursor, form)?;
    mailbox.check_new().map_err(ErrorKind::Mailbox)?;
    let mut special_use = Vec::new();
    if cursor.take(b' ') {
        cursor.expect(b'(', "an opening parenthesis is missing")?;
        if !cursor.take_prefix("USE ") {
            return syntax("an unknown parameter of CREATE");
        }
        for use_ in cursor.list(true, use_attribute)? {
            if !special_use.contains(&use_) {
                special_use.push(use_);
            }
        }
        cursor.expect(b')', "a closing parenthesis is missing")?;
    }
    Ok(Command::Create {
        mailbox,
        special_use,
    })
}

fn use_attribute(cursor: &mut Cursor<'_>) -> Parsed<SpecialUse> {
    cursor.expect(b'\\', "a special use begins with a backslash")?;
    let name = cursor.atom()?;
    SpecialUse::ALL_USES
        .into_iter()
        .find(|use_| use_.as_str()[1..].eq_ignore_ascii_case(name))
        .ok_or(ErrorKind::UseAttr)
}

/// `rename = "RENAME" SP mailbox SP mailbox`
fn rename(cursor: &mut Cursor<'_>, form: NameForm) -> Parsed<Command> {
    let from = mailbox_argument(cursor, form)?;
    let to = mailbox_argument(cursor, form)?;
    to.check_new().map_err(ErrorKind::Mailbox)?;
    Ok(Command::Rename { from, to })
}

/// `status = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"`
fn status(cursor: &mut Cursor<'_>, form: NameForm) -> Parsed<Command> {
    let mailbox = mailbox_argument(cursor, form)?;
    cursor.space()?;
    let items = cursor.list(false, status_item)?;
    Ok(Command::Status { mailbox, items })
}

pub(crate) fn status_item(cursor: &mut Cursor<'_>) -> Parsed<StatusItem> {
    let word = cursor.word()?;
    StatusItem::ALL
        .into_iter()
        .find(|item| item.as_str() == word)
        .ok_or(ErrorKind::Syntax("an unknown item of STATUS"))
}

/// ```abnf
/// lang-cmd       = "LANGUAGE" *(SP lang-range-quoted)
/// comparator-cmd = "COMPARATOR" *(SP comp-order-quoted)
/// ```
/// Both may hold `*`.
fn words(cursor: &mut Cursor<'_>) -> Parsed<Vec<String>> {
    let mut words = Vec::new();
    while cursor.take(b' ') {
        if words.len() >= WORDS_MAX {
            return syntax("those are too many names");
        }
        let of_word = |byte: u8| byte.is_ascii_graphic() && !b"(){%\"\\".contains(&byte);
        let word = cursor.chars_or_string(of_word)?;
        words.push(String::from_utf8_lossy(&word).into_owned());
    }
    Ok(words)
}

/// ```abnf
/// setquota       = "SETQUOTA" SP quota-root-name SP setquota-list
/// setquota-list  = "(" [setquota-resource *(SP setquota-resource)] ")"
/// setquota-resource = resource-name SP resource-limit
/// ```
fn set_quota(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    let root = cursor.astring()?.into_owned();
    cursor.space()?;
    let limits = cursor.list(true, |cursor| {
        let resource = cursor.word()?;
        cursor.space()?;
        Ok((resource, cursor.number64()?))
    })?;
    Ok(Command::SetQuota { root, limits })
}

/// `uidbatches = "UIDBATCHES" SP nz-number [SP nz-number ":" nz-number]`
fn uid_batches(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    let size = cursor.nz_number()?;
    let range = match cursor.take(b' ') {
        true => Some(search::result_range(cursor)?),
        false => None,
    };
    match range {
        Some(range) if range.from_end => syntax("batches are counted from the newest"),
        range => Ok(Command::UidBatches { size, range }),
    }
}

fn set_and_mailbox(
    cursor: &mut Cursor<'_>,
    form: NameForm,
) -> Parsed<(crate::SequenceSet, MailboxName)> {
    let set = sequence::argument(cursor)?;
    Ok((set, mailbox_argument(cursor, form)?))
}

/// ```abnf
/// id             = "ID" SP id-params-list
/// id-params-list = "(" *(string SP nstring) ")" / nil
/// ```
fn id(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    if cursor.take_prefix("NIL") {
        return Ok(Command::Id(Vec::new()));
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fields = cursor.list(true, |cursor| {
        let name = cursor.string()?;
        cursor.space()?;
        let value = cursor.nstring()?;
        Ok((text(&name), value.map(|value| text(&value))))
    })?;
    if fields.len() > ID_PAIRS_MAX {
        return syntax("ID takes at most 30 fields");
    }
    Ok(Command::Id(fields))
}

#[cfg(test)]
mod tests;
