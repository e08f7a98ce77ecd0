//! The form that all notices have: from the postmaster of a domain of ours, one
//! text in every language, 7-bit, with CRLF line ends.

use lang::{Lang, Text};
use mime::{DateTime, encoded_word, format_date, transfer};

use crate::clean::{field, one_ascii_line, one_line};
use crate::limits::WORD_CHARS_MAX;

/// What stands around the words of a notice.
pub(crate) struct Notice<'a> {
    /// Whose postmaster it is from, in ASCII; that address exists in every domain of ours.
    pub(crate) domain: &'a str,
    /// Whom it is for.
    pub(crate) to: &'a str,
    pub(crate) subject: Text,
    pub(crate) date: DateTime,
    /// Without angle brackets.
    pub(crate) message_id: &'a str,
}

impl Notice<'_> {
    /// Writes the message; `say` appends the words in one language, with LF line ends.
    pub(crate) fn write(&self, say: impl Fn(Lang, &mut String)) -> Vec<u8> {
        let domain = one_ascii_line(self.domain, WORD_CHARS_MAX);
        let to = one_line(self.to, WORD_CHARS_MAX);
        let chinese = encoded_word::encode(self.subject.lang(Lang::ZhHans));
        let subject = format!("{} {chinese}", self.subject.lang(Lang::En));
        let id = one_ascii_line(self.message_id, WORD_CHARS_MAX);
        let mut out = String::new();
        field("Date", &format_date(self.date), &mut out);
        field("From", &format!("<postmaster@{domain}>"), &mut out);
        field("To", &format!("<{to}>"), &mut out);
        field("Subject", &subject, &mut out);
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
            say(lang, &mut words);
        }
        let words = words.replace('\n', "\r\n");
        out.push_str(&transfer::quoted_printable(words.as_bytes()));
        out.push_str("\r\n");
        out.into_bytes()
    }
}
