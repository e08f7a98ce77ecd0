//! The notice that an account, or all accounts of a domain together, are nearly
//! full, in every language.
//!
//! That of an account goes into the inbox it speaks of and nowhere else, that of a
//! domain to its postmaster.

use std::fmt::Write as _;

use envelope::{Address, Domain};
use lang::{Lang, Text, quota};
use mime::DateTime;

use crate::clean::one_line;
use crate::limits::WORD_CHARS_MAX;
use crate::notice::Notice;

/// How much of a limit is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// What is used.
    pub used: u64,
    /// What may be used.
    pub limit: u64,
}

/// Whose limits a notice is about.
#[derive(Debug, Clone, Copy)]
pub enum QuotaOf<'a> {
    /// An account's; the notice is for it.
    Account(&'a Address),
    /// Those that all accounts of a domain share; the notice is for its postmaster.
    Domain(&'a Domain),
}

impl QuotaOf<'_> {
    fn domain(&self) -> String {
        match self {
            Self::Account(address) => address.domain().to_ascii(),
            Self::Domain(domain) => domain.to_ascii(),
        }
    }

    fn to(&self) -> String {
        match self {
            Self::Account(address) => address.to_ascii().unwrap_or_else(|| address.to_string()),
            Self::Domain(domain) => format!("postmaster@{}", domain.to_ascii()),
        }
    }
}

/// What a notice is about.
#[derive(Debug, Clone, Copy)]
pub struct QuotaNotice<'a> {
    /// Whose limits.
    pub of: QuotaOf<'a>,
    /// When.
    pub date: DateTime,
    /// Without angle brackets.
    pub message_id: &'a str,
    /// True for the last notice before mail is refused.
    pub urgent: bool,
    /// Bytes, where they are limited.
    pub bytes: Option<Share>,
    /// Messages, where they are limited.
    pub messages: Option<Share>,
}

/// Writes the message, 7-bit, with CRLF line ends.
#[must_use]
pub fn write_quota_notice(notice: &QuotaNotice<'_>) -> Vec<u8> {
    let subject = match (notice.of, notice.urgent) {
        (QuotaOf::Account(_), false) => quota::SUBJECT,
        (QuotaOf::Account(_), true) => quota::SUBJECT_URGENT,
        (QuotaOf::Domain(_), false) => quota::DOMAIN_SUBJECT,
        (QuotaOf::Domain(_), true) => quota::DOMAIN_SUBJECT_URGENT,
    };
    let form = Notice {
        domain: &notice.of.domain(),
        to: &notice.of.to(),
        subject,
        date: notice.date,
        message_id: notice.message_id,
    };
    form.write(|lang, words| one_language(notice, lang, words))
}

fn one_language(notice: &QuotaNotice<'_>, lang: Lang, out: &mut String) {
    let say = |text: Text| text.lang(lang);
    let (whose, name, uses, happens, to_do) = match notice.of {
        QuotaOf::Account(address) => (
            quota::ACCOUNT,
            address.to_string(),
            quota::USES,
            quota::WHAT_HAPPENS,
            quota::WHAT_TO_DO,
        ),
        QuotaOf::Domain(domain) => (
            quota::DOMAIN,
            domain.to_string(),
            quota::DOMAIN_USES,
            quota::DOMAIN_WHAT_HAPPENS,
            quota::DOMAIN_WHAT_TO_DO,
        ),
    };
    let name = one_line(&name, WORD_CHARS_MAX);
    let _ = writeln!(out, "{} {name} {}:", say(whose), say(uses));
    let between = match lang {
        Lang::En => format!(" {} ", say(quota::OF)),
        Lang::ZhHans => say(quota::OF).to_owned(),
    };
    if let Some(Share { used, limit }) = notice.bytes {
        let percent = percent(used, limit);
        let (used, limit) = (megabytes(used), megabytes(limit));
        let _ = writeln!(out, "  {used} MB{between}{limit} MB ({percent} %)");
    }
    if let Some(Share { used, limit }) = notice.messages {
        let percent = percent(used, limit);
        let unit = say(quota::MESSAGES);
        let _ = writeln!(out, "  {used}{between}{limit} {unit} ({percent} %)");
    }
    let _ = writeln!(out, "\n{}", say(happens));
    let _ = writeln!(out, "{}", say(to_do));
}

fn percent(used: u64, limit: u64) -> u128 {
    u128::from(used) * 100 / u128::from(limit.max(1))
}

/// With one digit behind the point.
fn megabytes(bytes: u64) -> String {
    let tenths = u128::from(bytes) * 10 / 1_000_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mime::transfer;

    fn notice(of: QuotaOf<'_>) -> String {
        let notice = QuotaNotice {
            of,
            date: DateTime {
                unix_seconds: 0,
                zone_minutes: 0,
            },
            message_id: "1@here.test",
            urgent: true,
            bytes: Some(Share {
                used: 95_550_000,
                limit: 100_000_000,
            }),
            messages: Some(Share {
                used: 19,
                limit: 20,
            }),
        };
        String::from_utf8(write_quota_notice(&notice)).expect("ASCII")
    }

    #[test]
    fn it_says_how_full_it_is_in_both_languages() {
        let address = Address::parse("bob@here.test").expect("valid");
        let text = notice(QuotaOf::Account(&address));
        assert!(text.is_ascii());
        assert!(
            text.contains("\r\nFrom: <postmaster@here.test>\r\nTo: <bob@here.test>\r\n"),
            "{text}"
        );
        assert!(
            text.contains("Subject: Your mailbox is nearly full\r\n =?utf-8?"),
            "{text}"
        );
        assert!(text.contains("\r\nAuto-Submitted: auto-generated\r\n"));
        assert!(text.contains("  95.5 MB of 100.0 MB (95 %)\r\n"), "{text}");
        assert!(text.contains("  19 of 20 messages (95 %)\r\n"), "{text}");
        let words = words_of(&text);
        assert!(words.contains("空间用完后"), "{words}");
        assert!(words.contains("95.5 MB，上限为100.0 MB"), "{words}");
    }

    #[test]
    fn that_of_a_domain_goes_to_its_postmaster() {
        let domain = Domain::parse("bücher.test").expect("valid");
        let text = notice(QuotaOf::Domain(&domain));
        let postmaster = "<postmaster@xn--bcher-kva.test>";
        let head = format!("\r\nFrom: {postmaster}\r\nTo: {postmaster}\r\n");
        assert!(text.contains(&head), "{text}");
        let subject = "Subject: The mailboxes of your domain are nearly full";
        assert!(text.contains(subject), "{text}");
        let words = words_of(&text);
        let whose = "All mailboxes of the domain bücher.test together now use:";
        assert!(words.contains(whose), "{words}");
        assert!(
            words.contains("域 bücher.test 的所有邮箱目前共用:"),
            "{words}"
        );
        assert!(words.contains("19 of 20 messages (95 %)"), "{words}");
    }

    fn words_of(text: &str) -> String {
        for line in text.split("\r\n") {
            assert!(line.len() <= 78 && !line.contains(['\r', '\n']), "{line}");
        }
        let (_, body) = text.split_once("\r\n\r\n").expect("a body");
        let encoding = transfer::Encoding::parse(b"quoted-printable");
        let decoded = transfer::decode(encoding, body.as_bytes());
        String::from_utf8(decoded).expect("UTF-8")
    }

    #[test]
    fn numbers_at_their_ends_do_not_overflow() {
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
        assert_eq!(percent(5, 0), 500);
        assert_eq!(megabytes(u64::MAX), "18446744073709.5");
    }
}
