//! The notice to a domain's postmaster that a user's mail is held, because more
//! was sent than the user may send, in every language.

use std::fmt::Write as _;

use envelope::Address;
use lang::{Text, held};
use mime::DateTime;

use crate::clean::one_line;
use crate::limits::WORD_CHARS_MAX;
use crate::notice::Notice;

/// What a notice is about.
#[derive(Debug, Clone, Copy)]
pub struct HeldNotice<'a> {
    /// Whose mail.
    pub user: &'a Address,
    /// Which limit, in the operator's words.
    pub reason: &'a str,
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
    let reason = one_line(notice.reason, WORD_CHARS_MAX);
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
        let _ = writeln!(words, "{} {reason}\n", say(held::WHY));
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
            reason: "9 messages in an hour (limit 3)\r\nEvil: x",
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
        assert_eq!(
            decoded.matches("9 messages in an hour (limit 3)").count(),
            2
        );
        assert!(!decoded.contains("\r\nEvil"), "{decoded}");
    }
}
