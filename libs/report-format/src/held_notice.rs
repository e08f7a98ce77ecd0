//! The notice to a domain's postmaster that a user's mail is held, because more
//! was sent than the user may send, in every language.

use std::fmt::{self, Write as _};

use envelope::Address;
use lang::{Lang, Text, held};
use mime::DateTime;

use crate::clean::one_line;
use crate::limits::WORD_CHARS_MAX;
use crate::notice::Notice;

/// More was sent than may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excess {
    /// Of what: a text of [`lang::held`].
    pub what: Text,
    /// In what time: the same.
    pub span: Text,
    /// How many.
    pub count: u64,
    /// How many may be.
    pub limit: u64,
    /// All users of the domain together have sent so many.
    pub by_domain: bool,
}

impl Excess {
    /// Said in one line.
    #[must_use]
    pub fn words(&self, lang: Lang) -> String {
        let say = |text: Text| text.lang(lang);
        let Self { count, limit, .. } = self;
        let (what, span) = (say(self.what), say(self.span));
        let mut words = match lang {
            Lang::En => format!("{count} {what} {span} ({} {limit})", say(held::LIMIT)),
            Lang::ZhHans => format!("{span} {count} {what}（{} {limit}）", say(held::LIMIT)),
        };
        if self.by_domain {
            words.push(' ');
            words.push_str(say(held::BY_THE_DOMAIN));
        }
        words
    }
}

/// In English, as logs have it.
impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words(Lang::En))
    }
}

/// What a notice is about.
#[derive(Debug, Clone, Copy)]
pub struct HeldNotice<'a> {
    /// Whose mail.
    pub user: &'a Address,
    /// Of what it was too much.
    pub excess: Excess,
    /// When.
    pub date: DateTime,
    /// Without angle brackets.
    pub message_id: &'a str,
}

/// Writes the message, 7-bit, with CRLF line ends.
#[must_use]
pub fn write_held_notice(notice: &HeldNotice<'_>) -> Vec<u8> {
    let domain = notice.user.domain().to_ascii();
    let user = one_line(&notice.user.to_string(), WORD_CHARS_MAX);
    let form = Notice {
        domain: &domain,
        to: &format!("postmaster@{domain}"),
        subject: held::SUBJECT,
        date: notice.date,
        message_id: notice.message_id,
    };
    form.write(|lang, words| {
        let say = |text: Text| text.lang(lang);
        let _ = writeln!(words, "{} {user}", say(held::WHOSE));
        let _ = writeln!(words, "{} {}\n", say(held::WHY), notice.excess.words(lang));
        let _ = writeln!(words, "{}\n", say(held::WHAT_IT_MEANS));
        let _ = writeln!(words, "{}", say(held::WHAT_TO_DO));
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use mime::transfer;

    #[test]
    fn it_names_user_and_limit_in_both_languages_and_is_seven_bit() {
        let user = Address::parse("bob@demo.test").unwrap();
        let message = write_held_notice(&HeldNotice {
            user: &user,
            excess: Excess {
                what: held::MESSAGES,
                span: held::IN_AN_HOUR,
                count: 9,
                limit: 3,
                by_domain: true,
            },
            date: DateTime {
                unix_seconds: 0,
                zone_minutes: 0,
            },
            message_id: "1@mx.demo.test",
        });
        assert!(message.is_ascii());
        let text = String::from_utf8(message).unwrap();
        let (header, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(header.contains("To: <postmaster@demo.test>"));
        let decoded = transfer::decode(mime::Encoding::QuotedPrintable, body.as_bytes());
        let decoded = String::from_utf8(decoded).unwrap();
        assert_eq!(decoded.matches("bob@demo.test").count(), 2);
        for words in [
            "Sent: 9 messages in an hour (limit 3) by all users of the domain",
            "已发送： 一小时内 9 封邮件（限额 3） 该域名下所有用户合计",
        ] {
            assert!(decoded.contains(words), "{decoded}");
        }
    }
}
