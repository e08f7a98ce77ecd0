//! Command lines: RFC 1939 §3, §7 and §9, RFC 2449 §5, RFC 2595 §4, RFC 5034 §4.
//!
//! Keywords are in any case and divided from arguments by one space or more.
//! The password is everything behind `PASS `, spaces included.

/// A command as it was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    User(&'a str),
    Pass(&'a str),
    Auth(Option<(&'a [u8], Option<&'a [u8]>)>),
    /// Name and digest as they came.
    Apop(&'a [u8]),
    Stls,
    Capa,
    /// RFC 6856 §2.
    Utf8,
    /// RFC 6856 §3: none asks for the list.
    Lang(Option<&'a str>),
    Stat,
    List(Option<u64>),
    Uidl(Option<u64>),
    Retr(u64),
    Top(u64, u64),
    Dele(u64),
    Rset,
    Noop,
    Quit,
}

/// Why a line is no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Unknown,
    Arguments,
}

/// Parses a line without its line end.
pub(crate) fn parse(line: &[u8]) -> Result<Command<'_>, Fault> {
    let end = line
        .iter()
        .position(|&byte| byte == b' ')
        .unwrap_or(line.len());
    let (keyword, rest) = line.split_at(end);
    let keyword = keyword.to_ascii_uppercase();
    let known = match keyword.as_slice() {
        b"USER" => text(rest)
            .filter(|name| !name.is_empty())
            .map(Command::User),
        b"PASS" => password(rest).map(Command::Pass),
        b"AUTH" => auth(rest).map(Command::Auth),
        b"APOP" => rest
            .strip_prefix(b" ")
            .filter(|rest| !rest.is_empty())
            .map(Command::Apop),
        b"STLS" => nothing(rest, Command::Stls),
        b"CAPA" => nothing(rest, Command::Capa),
        b"UTF8" => nothing(rest, Command::Utf8),
        b"LANG" => lang(rest).map(Command::Lang),
        b"STAT" => nothing(rest, Command::Stat),
        b"RSET" => nothing(rest, Command::Rset),
        b"NOOP" => nothing(rest, Command::Noop),
        b"QUIT" => nothing(rest, Command::Quit),
        b"LIST" => optional(rest).map(Command::List),
        b"UIDL" => optional(rest).map(Command::Uidl),
        b"RETR" => one(rest).map(Command::Retr),
        b"DELE" => one(rest).map(Command::Dele),
        b"TOP" => top(rest),
        _ => return Err(Fault::Unknown),
    };
    known.ok_or(Fault::Arguments)
}

/// True for the beginning of another protocol: HTTP, TLS, SSH, a server's greeting.
pub(crate) fn is_foreign(line: &[u8]) -> bool {
    const WORDS: [&[u8]; 17] = [
        b"GET ",
        b"POST ",
        b"PUT ",
        b"HEAD ",
        b"OPTIONS ",
        b"DELETE ",
        b"CONNECT ",
        b"PATCH ",
        b"PRI ",
        b"SSH-",
        // What servers say first.
        b"220 ",
        b"220-",
        b"* OK",
        b"* PREAUTH",
        b"* BYE",
        b"+OK",
        b"-ERR",
    ];
    WORDS.iter().any(|word| line.starts_with(word))
}

/// The first byte of a TLS record with a handshake.
pub(crate) const TLS_HANDSHAKE: u8 = 0x16;

fn text(rest: &[u8]) -> Option<&str> {
    let text = core::str::from_utf8(rest).ok()?;
    (!text.contains('\0')).then(|| text.trim_matches(' '))
}

fn password(rest: &[u8]) -> Option<&str> {
    let text = core::str::from_utf8(rest.strip_prefix(b" ")?).ok()?;
    (!text.is_empty() && !text.contains('\0')).then_some(text)
}

type AuthArguments<'a> = Option<(&'a [u8], Option<&'a [u8]>)>;

fn auth(rest: &[u8]) -> Option<AuthArguments<'_>> {
    let mut words = rest
        .split(|&byte| byte == b' ')
        .filter(|word| !word.is_empty());
    let Some(mechanism) = words.next() else {
        return Some(None);
    };
    let initial = words.next();
    words.next().is_none().then_some(Some((mechanism, initial)))
}

fn nothing<'a>(rest: &[u8], command: Command<'a>) -> Option<Command<'a>> {
    rest.iter().all(|&byte| byte == b' ').then_some(command)
}

fn optional(rest: &[u8]) -> Option<Option<u64>> {
    if rest.iter().all(|&byte| byte == b' ') {
        return Some(None);
    }
    one(rest).map(Some)
}

fn lang(rest: &[u8]) -> Option<Option<&str>> {
    let tag = text(rest)?;
    let one = !tag.contains(' ');
    one.then_some(Some(tag).filter(|tag| !tag.is_empty()))
}

fn one(rest: &[u8]) -> Option<u64> {
    number(text(rest)?)
}

fn top(rest: &[u8]) -> Option<Command<'_>> {
    let (message, lines) = text(rest)?.split_once(' ')?;
    Some(Command::Top(
        number(message)?,
        number(lines.trim_start_matches(' '))?,
    ))
}

/// Digits only; more than fit are a number that no message has.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_the_rfcs() {
        assert_eq!(parse(b"user mrose"), Ok(Command::User("mrose")));
        assert_eq!(parse(b"PASS  a secret "), Ok(Command::Pass(" a secret ")));
        assert_eq!(parse(b"Stat"), Ok(Command::Stat));
        assert_eq!(parse(b"LIST"), Ok(Command::List(None)));
        assert_eq!(parse(b"LIST 2 "), Ok(Command::List(Some(2))));
        assert_eq!(parse(b"TOP 1 10"), Ok(Command::Top(1, 10)));
        assert_eq!(
            parse(b"UIDL 99999999999999999999999"),
            Ok(Command::Uidl(Some(u64::MAX)))
        );
        assert_eq!(parse(b"utf8"), Ok(Command::Utf8));
        assert_eq!(parse(b"LANG"), Ok(Command::Lang(None)));
        assert_eq!(parse(b"LANG en"), Ok(Command::Lang(Some("en"))));
        assert_eq!(parse(b"AUTH"), Ok(Command::Auth(None)));
        assert_eq!(
            parse(b"AUTH PLAIN ="),
            Ok(Command::Auth(Some((b"PLAIN", Some(b"=")))))
        );
    }

    #[test]
    fn what_is_no_command() {
        for bad in [
            &b"RETR"[..],
            b"RETR x",
            b"RETR -1",
            b"RETR 1 2",
            b"TOP 1",
            b"TOP 1 -2",
            b"DELE 1x",
            b"STAT 1",
            b"UTF8 1",
            b"LANG en de",
            b"USER",
            b"USER ",
            b"PASS",
            b"PASS ",
            b"AUTH A B C",
            b"APOP",
            b"APOP ",
            b"USER \xff",
            b"USER a\0b",
        ] {
            assert_eq!(parse(bad), Err(Fault::Arguments), "{bad:?}");
        }
        for bad in [
            &b""[..],
            b"APOPX y",
            b"XYZZY",
            b" STAT",
            b"\0\xff",
            b"STAT\t",
        ] {
            assert_eq!(parse(bad), Err(Fault::Unknown), "{bad:?}");
        }
    }
}
