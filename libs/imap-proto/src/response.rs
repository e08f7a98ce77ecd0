//! What a server writes (RFC 9051 §7): strings in the right form, status
//! responses with codes, and the frames of untagged data. Every function
//! appends to a buffer; none can fail. What is said when is not here.

use crate::chars::is_astring_char;
use crate::command::Tag;
use crate::flag::Flag;
use crate::limits::QUOTED_BYTES_MAX;
use crate::notify::NotifyEvent;
use crate::sequence;
use std::fmt;
use std::io::Write as _;

/// The condition of a status response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// OK
    Ok,
    /// NO
    No,
    /// BAD
    Bad,
    /// BYE, untagged
    Bye,
    /// PREAUTH, untagged
    PreAuth,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::No => "NO",
            Self::Bad => "BAD",
            Self::Bye => "BYE",
            Self::PreAuth => "PREAUTH",
        }
    }
}

/// Response codes (RFC 9051 §7.1, RFC 5530, RFC 7162), without the brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code {
    /// A code that is a word or is already spelled out.
    Plain(&'static str),
    /// UIDVALIDITY
    UidValidity(u32),
    /// UIDNEXT
    UidNext(u64),
    /// UNSEEN: the first unseen message's number.
    Unseen(u32),
    /// HIGHESTMODSEQ
    HighestModSeq(u64),
    /// PERMANENTFLAGS, with `\*` when keywords can be made.
    PermanentFlags(Vec<Flag>, bool),
    /// APPENDUID: validity and UIDs.
    AppendUid(u32, Vec<u32>),
    /// MESSAGELIMIT (RFC 9738 §3): the limit, and the lowest UID that was worked on.
    MessageLimit(u32, Option<u32>),
    /// METADATA LONGENTRIES (RFC 5464 §4.2.1): the size of the longest that was left out.
    MetadataLongEntries(u64),
    /// METADATA MAXSIZE (RFC 5464 §4.3)
    MetadataMaxSize(u64),
    /// INPROGRESS (RFC 9585 §4): the command's tag, what is done, and of how much.
    InProgress(String, u64, u64),
    /// BADURL (RFC 4469 §4): the URL that names nothing.
    BadUrl(String),
    /// COPYUID: validity, source and destination UIDs, one for one.
    CopyUid(u32, Vec<u32>, Vec<u32>),
    /// MODIFIED: the numbers that were not stored.
    Modified(Vec<u32>),
    /// CAPABILITY
    Capability(String),
    /// BADCHARSET with what is understood.
    BadCharset,
    /// MAILBOXID (RFC 8474 §4)
    MailboxId(String),
    /// UNDEFINED-FILTER (RFC 5466 §3.3)
    UndefinedFilter(String),
    /// BADEVENT (RFC 5465 §8) with the events that there are.
    BadEvent,
    /// NOUPDATE (RFC 5267 §4.3.4): the tag of the search that is not kept up to date.
    NoUpdate(String),
}

impl Code {
    /// TRYCREATE
    pub const TRY_CREATE: Self = Self::Plain("TRYCREATE");
    /// NONEXISTENT
    pub const NON_EXISTENT: Self = Self::Plain("NONEXISTENT");
    /// ALREADYEXISTS
    pub const ALREADY_EXISTS: Self = Self::Plain("ALREADYEXISTS");
    /// OVERQUOTA
    pub const OVER_QUOTA: Self = Self::Plain("OVERQUOTA");
    /// TOOBIG
    pub const TOO_BIG: Self = Self::Plain("TOOBIG");
    /// CANNOT
    pub const CANNOT: Self = Self::Plain("CANNOT");
    /// CLIENTBUG
    pub const CLIENT_BUG: Self = Self::Plain("CLIENTBUG");
    /// SERVERBUG
    pub const SERVER_BUG: Self = Self::Plain("SERVERBUG");
    /// UNAVAILABLE
    pub const UNAVAILABLE: Self = Self::Plain("UNAVAILABLE");
    /// LIMIT
    pub const LIMIT: Self = Self::Plain("LIMIT");
    /// INUSE
    pub const IN_USE: Self = Self::Plain("INUSE");
    /// HASCHILDREN
    pub const HAS_CHILDREN: Self = Self::Plain("HASCHILDREN");
    /// AUTHENTICATIONFAILED
    pub const AUTHENTICATION_FAILED: Self = Self::Plain("AUTHENTICATIONFAILED");
    /// PRIVACYREQUIRED
    pub const PRIVACY_REQUIRED: Self = Self::Plain("PRIVACYREQUIRED");
    /// READ-ONLY
    pub const READ_ONLY: Self = Self::Plain("READ-ONLY");
    /// READ-WRITE
    pub const READ_WRITE: Self = Self::Plain("READ-WRITE");
    /// CLOSED
    pub const CLOSED: Self = Self::Plain("CLOSED");
    /// NOTSAVED
    pub const NOT_SAVED: Self = Self::Plain("NOTSAVED");
    /// EXPUNGEISSUED
    pub const EXPUNGE_ISSUED: Self = Self::Plain("EXPUNGEISSUED");
    /// UNKNOWN-CTE
    pub const UNKNOWN_CTE: Self = Self::Plain("UNKNOWN-CTE");
    /// USEATTR
    pub const USE_ATTR: Self = Self::Plain("USEATTR");
    /// COMPRESSIONACTIVE (RFC 4978 §3)
    pub const COMPRESSION_ACTIVE: Self = Self::Plain("COMPRESSIONACTIVE");
    /// METADATA TOOMANY (RFC 5464 §4.3)
    pub const METADATA_TOO_MANY: Self = Self::Plain("METADATA TOOMANY");
    /// NOPERM
    pub const NO_PERM: Self = Self::Plain("NOPERM");
    /// NOTIFICATIONOVERFLOW (RFC 5465 §5.8)
    pub const NOTIFICATION_OVERFLOW: Self = Self::Plain("NOTIFICATIONOVERFLOW");
    /// TOOSMALL, of UIDBATCHES.
    pub const TOO_SMALL: Self = Self::Plain("TOOSMALL");
    /// BADCOMPARATOR (RFC 5255 §4.9)
    pub const BAD_COMPARATOR: Self = Self::Plain("BADCOMPARATOR");
    /// UIDREQUIRED (RFC 9586 §3)
    pub const UID_REQUIRED: Self = Self::Plain("UIDREQUIRED");
    /// URLMECH with the one mechanism there is (RFC 4467 §8)
    pub const URL_MECH: Self = Self::Plain("URLMECH INTERNAL");

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Plain(code) => out.extend_from_slice(code.as_bytes()),
            Self::UidValidity(n) => put(out, format_args!("UIDVALIDITY {n}")),
            Self::UidNext(n) => put(out, format_args!("UIDNEXT {n}")),
            Self::Unseen(n) => put(out, format_args!("UNSEEN {n}")),
            Self::HighestModSeq(n) => put(out, format_args!("HIGHESTMODSEQ {n}")),
            Self::PermanentFlags(flags, more) => {
                out.extend_from_slice(b"PERMANENTFLAGS ");
                let any = more.then_some("\\*");
                write_flags(out, flags.iter().map(Flag::as_str).chain(any));
            }
            Self::AppendUid(validity, uids) => {
                put(out, format_args!("APPENDUID {validity} "));
                sequence::write_numbers(out, uids.iter().copied());
            }
            Self::MessageLimit(max, None) => put(out, format_args!("MESSAGELIMIT {max}")),
            Self::MessageLimit(max, Some(uid)) => {
                put(out, format_args!("MESSAGELIMIT {max} {uid}"));
            }
            Self::MetadataLongEntries(n) => put(out, format_args!("METADATA LONGENTRIES {n}")),
            Self::MetadataMaxSize(n) => put(out, format_args!("METADATA MAXSIZE {n}")),
            Self::InProgress(tag, done, goal) => {
                out.extend_from_slice(b"INPROGRESS (");
                // RFC 9585 §4: a bracket would end the code too early.
                match tag.contains(']') {
                    true => out.extend_from_slice(b"NIL"),
                    false => write_string(out, tag.as_bytes()),
                }
                put(out, format_args!(" {done} {goal})"));
            }
            Self::BadUrl(url) => {
                // RFC 4469 §4 `url-resp-text`: no bracket ends the code too early.
                let text = url.bytes().filter(|b| b.is_ascii_graphic() && *b != b']');
                out.extend_from_slice(b"BADURL ");
                out.extend(text);
            }
            Self::CopyUid(validity, from, to) => {
                put(out, format_args!("COPYUID {validity} "));
                sequence::write_numbers(out, from.iter().copied());
                out.push(b' ');
                sequence::write_numbers(out, to.iter().copied());
            }
            Self::Modified(numbers) => {
                out.extend_from_slice(b"MODIFIED ");
                sequence::write_numbers(out, numbers.iter().copied());
            }
            Self::Capability(names) => put(out, format_args!("CAPABILITY {names}")),
            Self::MailboxId(id) => put(out, format_args!("MAILBOXID ({id})")),
            Self::UndefinedFilter(name) => put(out, format_args!("UNDEFINED-FILTER {name}")),
            Self::BadEvent => put(out, format_args!("BADEVENT ({})", NotifyEvent::NAMES)),
            Self::NoUpdate(tag) => {
                out.extend_from_slice(b"NOUPDATE ");
                write_string(out, tag.as_bytes());
            }
            Self::BadCharset => out.extend_from_slice(b"BADCHARSET (US-ASCII UTF-8)"),
        }
    }
}

/// Formats into the buffer; writing to a Vec cannot fail.
fn put(out: &mut Vec<u8>, args: fmt::Arguments<'_>) {
    let _ = out.write_fmt(args);
}

/// `* ` and a line of untagged data.
pub fn untagged(out: &mut Vec<u8>, args: fmt::Arguments<'_>) {
    put(out, format_args!("* {args}\r\n"));
}

/// VANISHED (RFC 7162 §3.2.10): UIDs that are gone; `earlier` if the client is
/// to take them from no count.
pub fn vanished(out: &mut Vec<u8>, uids: &[(u32, u32)], earlier: bool) {
    out.extend_from_slice(b"* VANISHED ");
    if earlier {
        out.extend_from_slice(b"(EARLIER) ");
    }
    sequence::write_ranges(out, uids);
    out.extend_from_slice(b"\r\n");
}

/// An untagged status response.
pub fn untagged_status(out: &mut Vec<u8>, status: Status, code: Option<&Code>, text: &str) {
    status_line(out, "*", status, code, text);
}

/// The tagged response that ends a command; without a tag it is untagged.
pub fn tagged(
    out: &mut Vec<u8>,
    tag: Option<&Tag>,
    status: Status,
    code: Option<&Code>,
    text: &str,
) {
    status_line(out, tag.map_or("*", Tag::as_str), status, code, text);
}

fn status_line(out: &mut Vec<u8>, tag: &str, status: Status, code: Option<&Code>, text: &str) {
    put(out, format_args!("{tag} {} ", status.as_str()));
    if let Some(code) = code {
        out.push(b'[');
        code.write(out);
        out.extend_from_slice(b"] ");
    }
    // THREATS 10: no text, wherever it came from, can begin another line.
    let text = text.chars().filter(|c| !c.is_control());
    let start = out.len();
    for c in text {
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    if out.len() == start {
        out.extend_from_slice(status.as_str().as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// `+ text`
pub fn continuation(out: &mut Vec<u8>, text: &str) {
    put(out, format_args!("+ {text}\r\n"));
}

/// A parenthesised list of flags or attributes.
pub fn write_flags<'a>(out: &mut Vec<u8>, flags: impl IntoIterator<Item = &'a str>) {
    out.push(b'(');
    for (i, flag) in flags.into_iter().enumerate() {
        if i > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(flag.as_bytes());
    }
    out.push(b')');
}

/// `astring`: bare where it can be.
pub fn write_astring(out: &mut Vec<u8>, text: &[u8]) {
    if !text.is_empty() && text.iter().copied().all(is_astring_char) {
        out.extend_from_slice(text);
    } else {
        write_string(out, text);
    }
}

/// `string`: quoted where that is possible in seven bits, a literal elsewhere.
pub fn write_string(out: &mut Vec<u8>, text: &[u8]) {
    write_quoted_or_literal(out, text, text.is_ascii());
}

/// `string` for a client that takes UTF-8 in quotes.
pub fn write_utf8_string(out: &mut Vec<u8>, text: &str) {
    write_quoted_or_literal(out, text.as_bytes(), true);
}

fn write_quoted_or_literal(out: &mut Vec<u8>, text: &[u8], charset_fits: bool) {
    let plain = !text.iter().any(|b| matches!(b, b'\r' | b'\n' | 0));
    if !charset_fits || !plain || text.len() > QUOTED_BYTES_MAX {
        return write_literal(out, text);
    }
    out.push(b'"');
    for &byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// `literal`
pub fn write_literal(out: &mut Vec<u8>, octets: &[u8]) {
    write_literal_head(out, octets.len() as u64);
    out.extend_from_slice(octets);
}

/// A literal's announcement; exactly `size` octets must follow.
pub fn write_literal_head(out: &mut Vec<u8>, size: u64) {
    out.push(b'{');
    write_number(out, size);
    out.extend_from_slice(b"}\r\n");
}

/// The announcement of a literal that may hold NUL (RFC 3516).
pub fn write_literal8_head(out: &mut Vec<u8>, size: u64) {
    put(out, format_args!("~{{{size}}}\r\n"));
}

/// A decimal number.
pub fn write_number(out: &mut Vec<u8>, mut number: u64) {
    // The most frequent thing that is written: without the machinery of `fmt`.
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::Cursor;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_are_written_in_decimals(number: u64) {
            for number in [number, number % 1000, 0, u64::MAX] {
                let mut out = Vec::new();
                write_number(&mut out, number);
                prop_assert_eq!(out, number.to_string().into_bytes());
            }
        }
    }

    #[test]
    fn a_status_cannot_be_split_into_two_lines() {
        let mut out = Vec::new();
        let tag = Tag::parse(b"a1");
        tagged(
            &mut out,
            tag.as_ref(),
            Status::No,
            Some(&Code::TRY_CREATE),
            "no\r\n* OK fooled",
        );
        untagged_status(
            &mut out,
            Status::Ok,
            Some(&Code::CopyUid(7, vec![1, 2, 4], vec![9, 10, 11])),
            "",
        );
        assert_eq!(
            String::from_utf8(out).as_deref(),
            Ok("a1 NO [TRYCREATE] no* OK fooled\r\n* OK [COPYUID 7 1:2,4 9:11] OK\r\n")
        );
    }

    #[test]
    fn no_bracket_in_a_tag_ends_a_code_too_early() {
        let mut out = Vec::new();
        for tag in ["a1", "a]1"] {
            let code = Code::InProgress(tag.into(), 3, 10);
            untagged_status(&mut out, Status::Ok, Some(&code), "still");
        }
        let expected =
            "* OK [INPROGRESS (\"a1\" 3 10)] still\r\n* OK [INPROGRESS (NIL 3 10)] still\r\n";
        assert_eq!(String::from_utf8(out).as_deref(), Ok(expected));
    }

    #[test]
    fn strings_take_the_shortest_form_that_is_safe() {
        for (text, wire) in [
            ("INBOX", "INBOX"),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("q\"\\", "\"q\\\"\\\\\""),
            ("ü", "{2}\r\nü"),
            ("a\nb", "{3}\r\na\nb"),
        ] {
            let mut out = Vec::new();
            write_astring(&mut out, text.as_bytes());
            assert_eq!(String::from_utf8(out).as_deref(), Ok(wire));
        }
    }

    proptest! {
        #[test]
        fn a_written_astring_is_read_again(text in prop::collection::vec(1u8.., 0..40)) {
            let mut out = Vec::new();
            write_astring(&mut out, &text);
            let mut cursor = Cursor::new(&out);
            let read = cursor.astring();
            prop_assert_eq!(read.as_deref(), Ok(text.as_slice()));
            prop_assert!(cursor.is_empty());
        }
    }
}
