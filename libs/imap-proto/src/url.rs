//! IMAP URLs that name a message or a part of one (RFC 5092), with what
//! authorizes others to read it (RFC 4467 §3). Whether there is such a message
//! and whether the authorization holds is the server's business.
//!
//! URLs of a server, a mailbox or a search are none here: no command takes them.

use crate::cursor::{Cursor, Parsed, syntax};
use crate::date::Date;
use crate::fetch::{Partial, Section, SectionText};
use crate::limits::URL_BYTES_MAX;
use crate::mailbox_name::{MailboxName, NameForm};
use crate::parse::ErrorKind;

/// A URL of a message or of a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImapUrl {
    /// The server; none where the URL is relative, and so of the one that reads it.
    pub server: Option<UrlServer>,
    /// The mailbox; none where the URL is relative to the selected one.
    pub mailbox: Option<MailboxName>,
    /// UIDVALIDITY, where it has to be a certain one.
    pub uid_validity: Option<u32>,
    /// The message.
    pub uid: u32,
    /// What of it; all, if the URL names no section.
    pub section: Section,
    /// Which octets of that; to the end where the URL says no length.
    pub partial: Option<Partial>,
    /// Who else may read it.
    pub auth: Option<UrlAuth>,
}

/// `iserver = [iuserinfo "@"] host [":" port]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlServer {
    /// Whose mailbox it is; never empty.
    pub user: Option<String>,
    /// In lower case; a literal with its brackets.
    pub host: String,
}

/// `iurlauth-rump` and, where it is there, the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlAuth {
    /// The moment from which on it is worth nothing, in Unix seconds.
    pub expire: Option<i64>,
    /// For whom it is.
    pub access: UrlAccess,
    /// How much of the URL's text is authorized: all in front of mechanism and token.
    pub rump_len: usize,
    /// None in what GENURLAUTH is given.
    pub token: Option<UrlToken>,
}

/// `access` of RFC 4467 §3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UrlAccess {
    /// Everybody.
    Anonymous,
    /// Whoever logged in.
    AuthUser,
    /// This user.
    User(String),
    /// A message submission entity on behalf of this user.
    Submit(String),
}

/// `":" mechanism ":" token`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlToken {
    /// In capitals.
    pub mechanism: String,
    /// At least 16 octets: RFC 4467 §3 wants 128 bits.
    pub token: Vec<u8>,
}

const AUTH: &str = ";URLAUTH=";
const EXPIRE: &str = ";EXPIRE=";

impl ImapUrl {
    /// Reads a URL.
    ///
    /// ```abnf
    /// imapurl      = "imap://" iserver ipath-query
    /// imessagepart = imailbox-ref iuid [isection] [ipartial] [iurlauth]
    /// iuid         = "/;UID=" nz-number
    /// isection     = "/;SECTION=" enc-section
    /// ipartial     = "/;PARTIAL=" partial-range
    /// iurlauth     = [";EXPIRE=" date-time] ";URLAUTH=" access [":" mechanism ":" token]
    /// ```
    ///
    /// # Errors
    /// Why it names no message.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        parse(url).map_err(|error| match error {
            ErrorKind::Syntax(why) => why,
            ErrorKind::Mailbox(_) => "the mailbox of the URL has no valid name",
            _ => "the URL is not valid",
        })
    }
}

fn parse(url: &str) -> Parsed<ImapUrl> {
    if url.len() > URL_BYTES_MAX {
        return syntax("the URL is too long");
    }
    if !url.bytes().all(|b| b.is_ascii_graphic()) {
        return syntax("a URL is printable ASCII");
    }
    let (rest, auth) = match find(url, AUTH) {
        Some(at) => {
            let (rest, auth) = authorization(url, at)?;
            (rest, Some(auth))
        }
        None => (url, None),
    };
    let (server, path) = server_and_path(rest)?;
    let Some(at) = find(path, ";UID=") else {
        return syntax("the URL names no message");
    };
    let (mailbox, uid_validity) = mailbox_ref(&path[..at], server.is_some())?;
    let mut cursor = Cursor::new(&path.as_bytes()[at + ";UID=".len()..]);
    let uid = cursor.nz_number()?.get();
    let mut section = Section {
        part: Vec::new(),
        text: SectionText::Whole,
    };
    if cursor.take_prefix("/;SECTION=") {
        let text = decoded(cursor.while_(|b| b != b'/'))?;
        section = read_section(&text)?;
    }
    let mut partial = None;
    if cursor.take_prefix("/;PARTIAL=") {
        partial = Some(range(&mut cursor)?);
    }
    // RFC 5092 §11 has no slash at the end; other programs write one.
    cursor.take(b'/');
    if !cursor.is_empty() {
        return syntax("the URL goes on behind the message");
    }
    Ok(ImapUrl {
        server,
        mailbox,
        uid_validity,
        uid,
        section,
        partial,
        auth,
    })
}

/// Where `word` begins, in any case.
fn find(text: &str, word: &str) -> Option<usize> {
    let (text, word) = (text.as_bytes(), word.as_bytes());
    text.windows(word.len())
        .position(|at| at.eq_ignore_ascii_case(word))
}

fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// The URL in front of what authorizes, and that.
fn authorization(url: &str, at: usize) -> Parsed<(&str, UrlAuth)> {
    let (mut rest, mut expire) = (&url[..at], None);
    if let Some(begin) = find(rest, EXPIRE) {
        let moment = &rest[begin + EXPIRE.len()..];
        let moment = rfc3339(moment.as_bytes());
        expire = Some(moment.ok_or(ErrorKind::Syntax("EXPIRE is no date and time"))?);
        rest = &rest[..begin];
    }
    let behind = at + AUTH.len();
    let len = url[behind..].find(':').unwrap_or(url.len() - behind);
    let rump_len = behind + len;
    let access = access(&url[behind..rump_len])?;
    let token = match url[rump_len..].strip_prefix(':') {
        Some(text) => Some(token(text)?),
        None => None,
    };
    let auth = UrlAuth {
        expire,
        access,
        rump_len,
        token,
    };
    Ok((rest, auth))
}

/// `access = ("submit+" enc-user) / ("user+" enc-user) / "authuser" / "anonymous"`
fn access(text: &str) -> Parsed<UrlAccess> {
    if let Some(user) = strip_prefix(text, "submit+") {
        return user_name(user).map(UrlAccess::Submit);
    }
    if let Some(user) = strip_prefix(text, "user+") {
        return user_name(user).map(UrlAccess::User);
    }
    if text.eq_ignore_ascii_case("authuser") {
        return Ok(UrlAccess::AuthUser);
    }
    if text.eq_ignore_ascii_case("anonymous") {
        return Ok(UrlAccess::Anonymous);
    }
    syntax("URLAUTH is for submit+USER, user+USER, authuser or anonymous")
}

/// `mechanism ":" token`, where the token is `32*HEXDIG`.
fn token(text: &str) -> Parsed<UrlToken> {
    let Some((mechanism, hex)) = text.split_once(':') else {
        return syntax("the URL's token is missing");
    };
    let digit = |b: u8| char::from(b).to_digit(16).map(|digit| digit as u8);
    let octet = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    let token: Option<Vec<u8>> = hex.as_bytes().chunks(2).map(octet).collect();
    match token {
        Some(token) if token.len() >= 16 && !mechanism.is_empty() => Ok(UrlToken {
            mechanism: mechanism.to_ascii_uppercase(),
            token,
        }),
        _ => syntax("the URL's token is not one"),
    }
}

fn server_and_path(text: &str) -> Parsed<(Option<UrlServer>, &str)> {
    let Some(rest) = strip_prefix(text, "imap://") else {
        let is_relative = text.starts_with('/') && !text.starts_with("//");
        return match is_relative || strip_prefix(text, ";UID=").is_some() {
            true => Ok((None, text.strip_prefix('/').unwrap_or(text))),
            false => syntax("a URL of this server begins with imap:// or /"),
        };
    };
    let Some((authority, path)) = rest.split_once('/') else {
        return syntax("the URL names no mailbox");
    };
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let user = match user.map(|user| match find(user, ";AUTH=") {
        Some(at) => &user[..at],
        None => user,
    }) {
        Some("") | None => None,
        Some(user) => Some(user_name(user)?),
    };
    let end = match host.rfind(']') {
        Some(end) => end + 1,
        None => host.find(':').unwrap_or(host.len()),
    };
    let (host, port) = host.split_at(end);
    let is_port = |digits: &str| !digits.is_empty() && digits.parse::<u16>().is_ok();
    if host.is_empty() || !(port.is_empty() || port.strip_prefix(':').is_some_and(is_port)) {
        return syntax("the URL's server is none");
    }
    let host = host.to_ascii_lowercase();
    Ok((Some(UrlServer { user, host }), path))
}

/// `imailbox-ref = enc-mailbox [";UIDVALIDITY=" nz-number]`, here with the slash behind it.
fn mailbox_ref(text: &str, is_absolute: bool) -> Parsed<(Option<MailboxName>, Option<u32>)> {
    if text.is_empty() && !is_absolute {
        return Ok((None, None));
    }
    let Some(text) = text.strip_suffix('/') else {
        return syntax("a slash is missing in front of the message");
    };
    let (name, uid_validity) = match find(text, ";UIDVALIDITY=") {
        Some(at) => {
            let mut cursor = Cursor::new(&text.as_bytes()[at + ";UIDVALIDITY=".len()..]);
            let validity = cursor.nz_number()?.get();
            if !cursor.is_empty() {
                return syntax("UIDVALIDITY is a number");
            }
            (&text[..at], Some(validity))
        }
        None => (text, None),
    };
    if name.contains(';') {
        return syntax("a semicolon in a mailbox's name is written %3B");
    }
    // RFC 5092 §4: UTF-8, whatever the session speaks.
    let name = decoded(name.as_bytes())?;
    let name = MailboxName::from_wire(&name, NameForm::Utf8).map_err(ErrorKind::Mailbox)?;
    Ok((Some(name), uid_validity))
}

fn user_name(text: &str) -> Parsed<String> {
    match String::from_utf8(decoded(text.as_bytes())?) {
        Ok(user) if !user.is_empty() && !user.chars().any(char::is_control) => Ok(user),
        _ => syntax("the URL's user is none"),
    }
}

/// `%XX` undone; no NUL, CR or LF comes of it.
fn decoded(text: &[u8]) -> Parsed<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    let hex = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => match (hex(rest.next()), hex(rest.next())) {
                (Some(high), Some(low)) => (high * 16 + low) as u8,
                _ => return syntax("% is followed by two hexadecimal digits"),
            },
            plain => plain,
        };
        if matches!(byte, 0 | b'\r' | b'\n') {
            return syntax("a URL holds no line ends");
        }
        out.push(byte);
    }
    Ok(out)
}

fn read_section(text: &[u8]) -> Parsed<Section> {
    let bracketed = [b"[", text, b"]"].concat();
    let mut cursor = Cursor::new(&bracketed);
    let section = crate::parse::section(&mut cursor)?;
    if text.is_empty() || !cursor.is_empty() {
        return syntax("an unknown section");
    }
    Ok(section)
}

/// `partial-range = number ["." nz-number]`
fn range(cursor: &mut Cursor<'_>) -> Parsed<Partial> {
    let offset = cursor.number64()?;
    let mut length = u64::MAX;
    if cursor.take(b'.') {
        length = cursor.number64()?;
        if length == 0 {
            return syntax("a partial range has a length of at least 1");
        }
    }
    Ok(Partial { offset, length })
}

/// `date-time` of RFC 3339 §5.6 in Unix seconds; fractions count for nothing.
fn rfc3339(text: &[u8]) -> Option<i64> {
    let (head, mut zone) = text.split_at_checked(19)?;
    let number = |range: std::ops::Range<usize>| {
        let digits = head.get(range)?;
        let valid = digits.iter().all(u8::is_ascii_digit);
        valid.then(|| {
            digits
                .iter()
                .fold(0i64, |n, d| n * 10 + i64::from(d - b'0'))
        })
    };
    let separators = [
        (4, b"--"),
        (7, b"--"),
        (10, b"Tt"),
        (13, b"::"),
        (16, b"::"),
    ];
    if !separators.iter().all(|(at, set)| set.contains(&head[*at])) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    if let Some(fraction) = zone.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        zone = fraction.get(digits..).filter(|_| digits > 0)?;
    }
    let offset = match zone {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), a, b, b':', c, d] => {
            let two = |a: &u8, b: &u8| {
                let valid = a.is_ascii_digit() && b.is_ascii_digit();
                valid.then(|| i64::from(a - b'0') * 10 + i64::from(b - b'0'))
            };
            let minutes = two(a, b).filter(|h| *h < 24)? * 60 + two(c, d).filter(|m| *m < 60)?;
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    let (month, day) = (u32::try_from(month).ok()?, u32::try_from(day).ok()?);
    let days = Date::from_civil(year, month, day)?.days;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second - offset * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4467 §9's example, and RFC 4469 §3's.
    #[test]
    fn the_examples_of_the_rfcs_are_read() {
        let url = "imap://joe@example.com/INBOX/;uid=20/;section=1.2;urlauth=submit+fred\
                   :internal:91354a473744909de610943775f92038";
        let read = ImapUrl::parse(url).expect("valid");
        let server = read.server.expect("a server");
        assert_eq!(
            (server.user.as_deref(), server.host.as_str()),
            (Some("joe"), "example.com")
        );
        assert!(read.mailbox.expect("a mailbox").is_inbox());
        assert_eq!((read.uid, read.section.part), (20, vec![1, 2]));
        let auth = read.auth.expect("authorized");
        assert_eq!(auth.access, UrlAccess::Submit("fred".into()));
        assert!(url[..auth.rump_len].ends_with("urlauth=submit+fred"));
        let token = auth.token.expect("a token");
        assert_eq!(
            (token.mechanism.as_str(), token.token.len()),
            ("INTERNAL", 16)
        );

        let read = ImapUrl::parse("/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER");
        let read = read.expect("valid");
        assert_eq!((read.server, read.auth), (None, None));
        assert_eq!(
            read.mailbox.map(|name| name.to_string()),
            Some("Drafts".into())
        );
        assert_eq!(read.uid_validity, Some(385_759_045));
        assert_eq!(read.section.text, SectionText::Header);
    }

    #[test]
    fn names_are_decoded_and_what_is_relative_is_told() {
        let url = "IMAP://a%40b.test;AUTH=*@[::1]:993/%E4%BD%A0/x%2fy/;UID=7/;PARTIAL=5.9";
        let read = ImapUrl::parse(url).expect("valid");
        let server = read.server.expect("a server");
        assert_eq!(
            (server.user.as_deref(), server.host.as_str()),
            (Some("a@b.test"), "[::1]")
        );
        assert_eq!(
            read.mailbox.map(|name| name.to_string()),
            Some("你/x/y".into())
        );
        let partial = Partial {
            offset: 5,
            length: 9,
        };
        assert_eq!((read.uid, read.partial), (7, Some(partial)));

        let read = ImapUrl::parse(";uid=3/;section=HEADER.FIELDS%20(Date)/;partial=1");
        let read = read.expect("valid");
        assert_eq!((read.server, read.mailbox), (None, None));
        assert_eq!(
            read.section.text,
            SectionText::HeaderFields(vec!["Date".into()])
        );
        assert_eq!(
            read.partial,
            Some(Partial {
                offset: 1,
                length: u64::MAX
            })
        );
    }

    #[test]
    fn an_expiry_is_a_moment() {
        let expire = |text: &str| {
            let url = format!("/a/;UID=1;EXPIRE={text};URLAUTH=anonymous");
            let read = ImapUrl::parse(&url).ok()?;
            read.auth?.expire
        };
        assert_eq!(expire("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(expire("1996-12-19T16:39:57-08:00"), Some(851_042_397));
        assert_eq!(expire("1985-04-12t23:20:50.52z"), Some(482_196_050));
        for bad in [
            "",
            "tomorrow",
            "1985-04-12",
            "1985-04-12T23:20:50",
            "1985-13-12T23:20:50Z",
            "1985-04-12T23:20:50.Z",
            "1985-04-12T24:20:50Z",
            "1985-04-12T23:20:50+1:00",
        ] {
            assert_eq!(expire(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_names_no_message_is_refused() {
        for bad in [
            "",
            "imap://joe@example.com",
            "imap://joe@example.com/",
            "imap://joe@example.com/INBOX",
            "imap://joe@example.com/INBOX?TEXT%20x",
            "imap:///INBOX/;UID=1",
            "imap://joe@:1/INBOX/;UID=1",
            "imap://h:99999/INBOX/;UID=1",
            "http://h/INBOX/;UID=1",
            "//h/INBOX/;UID=1",
            "INBOX/;UID=1",
            "/INBOX/;UID=0",
            "/INBOX/;UID=1/;SECTION=",
            "/INBOX/;UID=1/;SECTION=1]2",
            "/INBOX/;UID=1/;PARTIAL=1.0",
            "/INBOX/;UID=1/more",
            "/INBOX;UID=1",
            "/a;b/;UID=1",
            "/INBOX;UIDVALIDITY=x/;UID=1",
            "/%/;UID=1",
            "/%00/;UID=1",
            "/%FF/;UID=1",
            "/a//b/;UID=1",
            "/ü/;UID=1",
            "/INBOX/;UID=1;URLAUTH=",
            "/INBOX/;UID=1;URLAUTH=user+",
            "/INBOX/;UID=1;URLAUTH=everybody",
            "/INBOX/;UID=1;URLAUTH=anonymous:internal",
            "/INBOX/;UID=1;URLAUTH=anonymous:internal:00",
            "/INBOX/;UID=1;URLAUTH=anonymous:internal:zz354a473744909de610943775f92038",
        ] {
            assert!(ImapUrl::parse(bad).is_err(), "{bad}");
        }
        assert!(ImapUrl::parse(&format!("/{}/;UID=1", "a/".repeat(URL_BYTES_MAX))).is_err());
    }
}
