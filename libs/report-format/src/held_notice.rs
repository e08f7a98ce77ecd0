//! The notice to a domain's postmaster that a user's mail is held, because more
//! was sent than the user may send, in every language.

use envelope::Address;
use lang::{Lang, held};
use mime::{DateTime, encoded_word, format_date, transfer};

use crate::clean::{field, one_ascii_line, one_line};
use crate::limits::WORD_CHARS_MAX;

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
    let domain = one_ascii_line(&notice.user.domain().to_ascii(), WORD_CHARS_MAX);
    let user = one_line(&notice.user.to_string(), WORD_CHARS_MAX);
    let reason = one_line(notice.reason, WORD_CHARS_MAX);
    let mut out = String::new();
    field("Date", &format_date(notice.date), &mut out);
    field("From", &format!("<postmaster@{domain}>"), &mut out);
    field("To", &format!("<postmaster@{domain}>"), &mut out);
    let chinese = encoded_word::encode(held::SUBJECT.lang(Lang::ZhHans));
    let subject = format!("{} {chinese}", held::SUBJECT.lang(Lang::En));
    field("Subject", &subject, &mut out);
    let id = one_ascii_line(notice.message_id, WORD_CHARS_MAX);
    field("Message-ID", &format!("<{id}>"), &mut out);
    // RFC 3834 §5: no responder answers it.
    out.push_str(
        "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\n",
    );
    let mut words = String::new();
    for (at, lang) in Lang::ALL.into_iter().enumerate() {
        if at > 0 {
            words.push_str("\n--------------------------------------------------\n\n");
        }
        let say = |text: lang::Text| text.lang(lang);
        words.push_str(&format!(
            "{} {user}\n{} {reason}\n\n{}\n\n{}\n",
            say(held::WHOSE),
            say(held::WHY),
            say(held::WHAT_IT_MEANS),
            say(held::WHAT_TO_DO)
        ));
    }
    out.push_str(&transfer::quoted_printable(
        words.replace('\n', "\r\n").as_bytes(),
    ));
    out.push_str("\r\n");
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

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
