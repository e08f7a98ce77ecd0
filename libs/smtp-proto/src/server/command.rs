//! One command line, parsed. RFC 5321 §4.1.1, and what extensions add.
//!
//! Not here: whether a command is in order now, and what it leads to.

use envelope::dsn;
use envelope::{
    BodyType, Domain, Notify, OriginalRecipient, PathError, Priority, Reply, Ret, ValidSince, path,
};

use super::Config;
use super::answer::fixed;
use super::event::{Inquiry, Mail, Rcpt};
use super::wishes::{self, WishOffers};
use crate::limits::{ATRN_DOMAINS_MAX, PARAMETERS_MAX};

/// A command with its argument, still text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) verb: Verb,
    pub(super) argument: &'a str,
}

/// The commands that are known, done or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Helo,
    Ehlo,
    Lhlo,
    Mail,
    Rcpt,
    Data,
    Bdat,
    Burl,
    Rset,
    Noop,
    Quit,
    Vrfy,
    Expn,
    Help,
    Auth,
    StartTls,
    XClient,
    Etrn,
    Atrn,
    NotImplemented,
    Unknown,
}

const VERBS: [(&str, Verb); 23] = [
    ("HELO", Verb::Helo),
    ("EHLO", Verb::Ehlo),
    ("LHLO", Verb::Lhlo),
    ("MAIL", Verb::Mail),
    ("RCPT", Verb::Rcpt),
    ("DATA", Verb::Data),
    ("BDAT", Verb::Bdat),
    ("BURL", Verb::Burl),
    ("RSET", Verb::Rset),
    ("NOOP", Verb::Noop),
    ("QUIT", Verb::Quit),
    ("VRFY", Verb::Vrfy),
    ("EXPN", Verb::Expn),
    ("HELP", Verb::Help),
    ("AUTH", Verb::Auth),
    ("STARTTLS", Verb::StartTls),
    ("XCLIENT", Verb::XClient),
    // RFC 5321 §F.6, appendix F.1.
    ("SEND", Verb::NotImplemented),
    ("SOML", Verb::NotImplemented),
    ("SAML", Verb::NotImplemented),
    ("TURN", Verb::NotImplemented),
    ("ETRN", Verb::Etrn),
    ("ATRN", Verb::Atrn),
];

impl<'a> Line<'a> {
    /// Splits verb and argument. Blanks at the end are ignored (RFC 5321 §4.1.1).
    pub(super) fn parse(text: &'a str) -> Self {
        let text = text.trim_end_matches([' ', '\t']);
        let (word, argument) = match text.find([' ', '\t']) {
            Some(at) => (&text[..at], text[at + 1..].trim_start_matches([' ', '\t'])),
            None => (text, ""),
        };
        let verb = VERBS
            .iter()
            .find(|(name, _)| word.eq_ignore_ascii_case(name))
            .map_or(Verb::Unknown, |&(_, verb)| verb);
        Self { verb, argument }
    }
}

/// True for a first line that no SMTP client sends: another protocol's.
pub(super) fn is_other_protocol(line: &str) -> bool {
    const HTTP: [&str; 9] = [
        "GET ", "POST ", "HEAD ", "PUT ", "DELETE ", "OPTIONS ", "CONNECT ", "PATCH ", "TRACE ",
    ];
    const GREETINGS: [&str; 7] = ["SSH-", "* OK", "+OK", "RFB ", "220 ", "220-", "PRI * HTTP"];
    HTTP.iter().chain(&GREETINGS).any(|prefix| {
        line.get(..prefix.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
    })
}

/// An octet that begins no command: a TLS record, a zero, and before the hello
/// any 8-bit noise.
pub(super) fn is_other_protocol_octet(octet: u8, before_hello: bool) -> bool {
    let control = octet < b' ' && !matches!(octet, b'\r' | b'\n' | b'\t');
    control || (before_hello && octet >= 0x7f)
}

fn syntax(text: &str) -> Reply {
    Reply::enhanced(501, (5, 5, 4), text)
}

fn bad_path(error: PathError, which: (u8, u16, u16)) -> Reply {
    match error {
        PathError::Brackets | PathError::Route => Reply::enhanced(501, which, &error.to_string()),
        _ => Reply::enhanced(553, which, &error.to_string()),
    }
}

/// `FROM:` or `TO:`, blanks behind it accepted anyway: many clients send one.
fn strip_keyword<'a>(argument: &'a str, keyword: &str) -> Option<&'a str> {
    let head = argument.get(..keyword.len())?;
    head.eq_ignore_ascii_case(keyword)
        .then(|| argument[keyword.len()..].trim_start_matches([' ', '\t']))
}

/// Parameters behind a path: `SP keyword ["=" value]` (RFC 5321 §4.1.2).
fn parameters(rest: &str) -> Result<Vec<(String, Option<&str>)>, Reply> {
    if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
        return Err(syntax("a blank must follow the path"));
    }
    let mut seen: Vec<(String, Option<&str>)> = Vec::new();
    for word in rest.split([' ', '\t']).filter(|word| !word.is_empty()) {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (word, None),
        };
        let valid = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !key.is_empty()
            && !key.starts_with('-')
            && value != Some("");
        if !valid {
            return Err(syntax("malformed parameter"));
        }
        let key = key.to_ascii_uppercase();
        if seen.iter().any(|(other, _)| *other == key) {
            return Err(syntax("a parameter is given twice"));
        }
        if seen.len() >= PARAMETERS_MAX {
            return Err(syntax("too many parameters"));
        }
        seen.push((key, value));
    }
    Ok(seen)
}

fn unknown_parameter(key: &str) -> Reply {
    Reply::enhanced(
        555,
        (5, 5, 4),
        &format!("parameter {key} is not known here"),
    )
}

/// MAIL's argument, where `config` says what is offered; `tls`: the connection is encrypted.
pub(super) fn parse_mail(argument: &str, config: &Config, tls: bool) -> Result<Mail, Reply> {
    let text = strip_keyword(argument, "FROM:")
        .ok_or_else(|| syntax("syntax: MAIL FROM:<address> [parameters]"))?;
    let parsed = path::parse_reverse(text).map_err(|error| bad_path(error, (5, 1, 7)))?;
    let mut mail = Mail {
        reverse_path: parsed.path,
        size: None,
        body: BodyType::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
        prdr: false,
        require_tls: false,
        hold: None,
        by: None,
        priority: None,
    };
    for (key, value) in parameters(parsed.rest)? {
        match (key.as_str(), value) {
            ("SIZE", Some(digits)) => mail.size = Some(parse_size(digits, config.size_max)?),
            ("BODY", Some(body)) => mail.body = parse_body(body, config.binary_mime)?,
            ("SMTPUTF8", None) => mail.smtputf8 = true,
            ("RET", Some(ret)) if ret.eq_ignore_ascii_case("FULL") => mail.ret = Some(Ret::Full),
            ("RET", Some(ret)) if ret.eq_ignore_ascii_case("HDRS") => mail.ret = Some(Ret::Hdrs),
            ("ENVID", Some(id)) => {
                mail.envid = Some(dsn::parse_envid(id).ok_or_else(|| syntax("malformed ENVID"))?);
            }
            // RFC 4954 §5: who submitted it, as another server says. We do not
            // trust other servers so far, which is the same as AUTH=<>.
            ("AUTH", Some(_)) => {}
            ("SIZE" | "BODY" | "RET" | "ENVID" | "AUTH", _) | ("SMTPUTF8", Some(_)) => {
                return Err(syntax(&format!("malformed {key}")));
            }
            _ => parse_wish(&mut mail, &key, value, config, tls)?,
        }
    }
    if !mail.smtputf8 && !argument.is_ascii() {
        // RFC 6531 §3.5
        return Err(Reply::enhanced(
            550,
            (5, 6, 7),
            "a sender address outside ASCII needs SMTPUTF8",
        ));
    }
    Ok(mail)
}

/// MAIL's parameters about the message's way.
fn parse_wish(
    mail: &mut Mail,
    key: &str,
    value: Option<&str>,
    config: &Config,
    tls: bool,
) -> Result<(), Reply> {
    let offers = &config.wishes;
    let offered = match key {
        "REQUIRETLS" => config.require_tls,
        "PRDR" => config.prdr,
        "HOLDFOR" | "HOLDUNTIL" => offers.hold_seconds_max.is_some(),
        "BY" => offers.deliver_by,
        "MT-PRIORITY" => offers.priority,
        _ => false,
    };
    if !offered {
        return Err(unknown_parameter(key));
    }
    let malformed = || syntax(&format!("malformed {key}"));
    let text = value.unwrap_or_default();
    match key {
        "REQUIRETLS" | "PRDR" if value.is_some() => return Err(malformed()),
        "PRDR" => mail.prdr = true,
        // RFC 8689 §4.1: never in the clear.
        "REQUIRETLS" if !tls => {
            let text = "REQUIRETLS needs TLS: STARTTLS first";
            return Err(Reply::enhanced(530, (5, 7, 10), text));
        }
        "REQUIRETLS" => mail.require_tls = true,
        // RFC 4865 §5: one of the two.
        "HOLDFOR" | "HOLDUNTIL" if mail.hold.is_some() => {
            return Err(syntax("HOLDFOR and HOLDUNTIL exclude each other"));
        }
        "HOLDFOR" => mail.hold = Some(wishes::parse_hold_for(text).ok_or_else(malformed)?),
        "HOLDUNTIL" => mail.hold = Some(wishes::parse_hold_until(text).ok_or_else(malformed)?),
        "BY" => mail.by = Some(wishes::parse_by(text).ok_or_else(malformed)?),
        _ => mail.priority = Some(Priority::parse(text).ok_or_else(malformed)?),
    }
    Ok(())
}

/// RCPT's argument; `smtputf8` as MAIL had it.
pub(super) fn parse_rcpt(
    argument: &str,
    smtputf8: bool,
    offers: &WishOffers,
) -> Result<Rcpt, Reply> {
    let text = strip_keyword(argument, "TO:")
        .ok_or_else(|| syntax("syntax: RCPT TO:<address> [parameters]"))?;
    let parsed = path::parse_forward(text).map_err(|error| bad_path(error, (5, 1, 3)))?;
    let mut rcpt = Rcpt {
        path: parsed.path,
        had_route: parsed.had_route,
        notify: Notify::Default,
        orcpt: None,
        valid_since: None,
    };
    for (key, value) in parameters(parsed.rest)? {
        match (key.as_str(), value) {
            ("NOTIFY", Some(words)) => {
                rcpt.notify = Notify::parse(words).ok_or_else(|| syntax("malformed NOTIFY"))?;
            }
            ("ORCPT", Some(original)) => {
                let parsed = OriginalRecipient::parse(original);
                rcpt.orcpt = Some(parsed.ok_or_else(|| syntax("malformed ORCPT"))?);
            }
            ("RRVS", value) if offers.valid_since => {
                let since = value.and_then(ValidSince::parse);
                rcpt.valid_since = Some(since.ok_or_else(|| syntax("malformed RRVS"))?);
            }
            ("NOTIFY" | "ORCPT", None) => return Err(syntax(&format!("malformed {key}"))),
            _ => return Err(unknown_parameter(&key)),
        }
    }
    if !smtputf8 && !argument.is_ascii() {
        // RFC 6531 §3.5
        return Err(Reply::enhanced(
            553,
            (5, 6, 7),
            "an address outside ASCII needs SMTPUTF8 on MAIL",
        ));
    }
    Ok(rcpt)
}

/// VRFY's and EXPN's argument: what is asked about, then perhaps SMTPUTF8.
pub(super) fn parse_inquiry(argument: &str) -> Result<Inquiry, Reply> {
    let last = argument.rsplit_once([' ', '\t']);
    let (text, smtputf8) = match last {
        Some((text, word)) if word.eq_ignore_ascii_case("SMTPUTF8") => (text.trim_end(), true),
        _ => (argument, false),
    };
    if text.is_empty() {
        return Err(fixed::argument_needed());
    }
    if !smtputf8 && !text.is_ascii() {
        // RFC 6531 §3.7.4.2
        return Err(Reply::enhanced(
            553,
            (5, 6, 7),
            "a name outside ASCII needs SMTPUTF8",
        ));
    }
    Ok(Inquiry {
        argument: text.to_owned(),
        smtputf8,
    })
}

/// ETRN's argument: a node's name. RFC 1985 §5.3's `@` (with all below it) and `#`
/// (a queue by another name) are not done.
pub(super) fn parse_etrn(argument: &str) -> Result<Domain, Reply> {
    Domain::parse(argument).map_err(|_| syntax("syntax: ETRN domain"))
}

/// ATRN's argument: domains with commas between them, or none for all (RFC 2645 §5.2.1).
pub(super) fn parse_atrn(argument: &str) -> Result<Vec<Domain>, Reply> {
    if argument.is_empty() {
        return Ok(Vec::new());
    }
    let domains = argument.split(',').map(|name| Domain::parse(name.trim()));
    let domains: Result<Vec<_>, _> = domains.take(ATRN_DOMAINS_MAX + 1).collect();
    match domains {
        Ok(domains) if domains.len() <= ATRN_DOMAINS_MAX => Ok(domains),
        Ok(_) => Err(syntax("too many domains")),
        Err(_) => Err(syntax("syntax: ATRN domain,domain")),
    }
}

/// RFC 1870 §3: up to 20 digits.
fn parse_size(digits: &str, size_max: u64) -> Result<u64, Reply> {
    if digits.len() > 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(syntax("malformed SIZE"));
    }
    match digits.parse::<u64>() {
        Ok(size) if size <= size_max => Ok(size),
        _ => Err(Reply::enhanced(
            552,
            (5, 3, 4),
            &format!("the message is bigger than {size_max} octets"),
        )),
    }
}

fn parse_body(body: &str, binary: bool) -> Result<BodyType, Reply> {
    match body.to_ascii_uppercase().as_str() {
        "7BIT" => Ok(BodyType::SevenBit),
        "8BITMIME" => Ok(BodyType::EightBitMime),
        "BINARYMIME" if binary => Ok(BodyType::BinaryMime),
        // RFC 3030 §3: not offered, so not known.
        "BINARYMIME" => Err(Reply::enhanced(555, (5, 6, 1), "BINARYMIME is not offered")),
        _ => Err(syntax("malformed BODY")),
    }
}

/// BDAT's argument: size, and whether it is the last chunk. RFC 3030 §2.
pub(super) fn parse_bdat(argument: &str) -> Option<(u64, bool)> {
    let mut words = argument.split([' ', '\t']).filter(|word| !word.is_empty());
    let digits = words.next()?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return None,
    };
    let valid =
        words.next().is_none() && digits.len() <= 20 && digits.bytes().all(|b| b.is_ascii_digit());
    valid.then(|| digits.parse().ok().map(|size| (size, last)))?
}

/// BURL's argument: an absolute URL, and whether it is the last piece (RFC 4468 §3.1). What the
/// URL names is not looked at here.
pub(super) fn parse_burl(argument: &str) -> Option<(&str, bool)> {
    let mut words = argument.split([' ', '\t']).filter(|word| !word.is_empty());
    let url = words.next()?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return None,
    };
    let valid = words.next().is_none() && url.contains(':');
    valid.then_some((url, last))
}
