//! The part that a person reads: every language, one after the other.

use std::fmt::Write as _;

use envelope::EnhancedStatus;
use lang::dsn::{self, News, Trouble};
use lang::{Lang, Text};

use crate::clean::{is_smtp_reply, one_line};
use crate::limits::{DIAGNOSTIC_CHARS_MAX, RECIPIENTS_IN_WORDS_MAX, WORD_CHARS_MAX};
use crate::report::{Action, RecipientReport, Report};

/// What the report as a whole is about: the worst that it tells.
pub(crate) fn news(recipients: &[RecipientReport]) -> News {
    let any = |action| {
        recipients
            .iter()
            .any(|recipient| recipient.action == action)
    };
    if any(Action::Failed) {
        News::Failed
    } else if any(Action::Delayed) {
        News::Delayed
    } else {
        News::Delivered
    }
}

/// The whole text in UTF-8 with CRLF line ends.
pub(crate) fn words(report: &Report<'_>, whole_message: bool) -> String {
    let mut out = String::new();
    for (at, lang) in Lang::ALL.into_iter().enumerate() {
        if at > 0 {
            out.push_str("\n--------------------------------------------------\n\n");
        }
        one_language(report, whole_message, lang, &mut out);
    }
    out.replace('\n', "\r\n")
}

fn one_language(report: &Report<'_>, whole_message: bool, lang: Lang, out: &mut String) {
    let say = |text: Text| text.lang(lang);
    let host = one_line(report.reporting_mta, WORD_CHARS_MAX);
    let (space, stop) = if lang == Lang::En {
        (" ", ".")
    } else {
        ("", "")
    };
    let _ = writeln!(out, "{}{space}{host}{stop}", say(dsn::WRITTEN_BY));
    for group in [News::Failed, News::Delayed, News::Delivered] {
        let told = report
            .recipients
            .iter()
            .filter(|r| news_of(r.action) == group);
        for (at, recipient) in told.enumerate() {
            if at == 0 {
                let _ = writeln!(out, "\n{}", say(dsn::opening(group)));
            }
            if at == RECIPIENTS_IN_WORDS_MAX {
                let _ = writeln!(out, "\n  {}", say(dsn::AND_MORE));
                break;
            }
            one_recipient(recipient, lang, out);
        }
    }
    let attached = if whole_message {
        dsn::MESSAGE_ATTACHED
    } else {
        dsn::HEADER_ATTACHED
    };
    let _ = writeln!(out, "\n{}", say(attached));
    if let Some(id) = report.queue_id {
        let colon = colon(lang);
        let _ = writeln!(
            out,
            "{}{colon}{}",
            say(dsn::REFERENCE),
            one_line(id, WORD_CHARS_MAX)
        );
    }
}

fn one_recipient(recipient: &RecipientReport, lang: Lang, out: &mut String) {
    let colon = colon(lang);
    let _ = writeln!(
        out,
        "\n  <{}>",
        one_line(&recipient.address.to_string(), WORD_CHARS_MAX)
    );
    let mut line = |label: Text, text: &str| {
        let _ = writeln!(out, "    {}{colon}{text}", label.lang(lang));
    };
    let group = news_of(recipient.action);
    if group != News::Delivered {
        let trouble = trouble(recipient.status);
        line(dsn::WHY, dsn::reason(trouble).lang(lang));
        // Whoever waits has nothing to do.
        if group == News::Failed {
            line(dsn::WHAT_TO_DO, dsn::advice(trouble).lang(lang));
        }
    }
    if let Some(until) = recipient.retry_until.filter(|_| group == News::Delayed) {
        line(dsn::TRYING_UNTIL, &mime::format_date(until));
    }
    if let Some(reply) = &recipient.diagnostic {
        let mut text = one_line(reply, DIAGNOSTIC_CHARS_MAX);
        if let Some(host) = &recipient.remote_mta {
            let _ = write!(text, " ({})", one_line(host, WORD_CHARS_MAX));
        }
        let label = if is_smtp_reply(reply) {
            dsn::SERVER_SAID
        } else {
            dsn::DETAILS
        };
        line(label, &text);
    }
}

fn colon(lang: Lang) -> &'static str {
    match lang {
        Lang::En => ": ",
        Lang::ZhHans => "：",
    }
}

fn news_of(action: Action) -> News {
    match action {
        Action::Failed => News::Failed,
        Action::Delayed => News::Delayed,
        Action::Delivered | Action::Relayed | Action::Expanded => News::Delivered,
    }
}

/// What a status code means to a person (RFC 3463, RFC 5248).
fn trouble(status: EnhancedStatus) -> Trouble {
    match (status.class, status.subject, status.detail) {
        (_, 1, 7 | 8) => Trouble::SenderRefused,
        (_, 1, 2 | 10) | (_, 4, 4) => Trouble::NoSuchDomain,
        (_, 1, 0 | 1 | 3 | 6) => Trouble::NoSuchMailbox,
        (_, 2, 1) => Trouble::MailboxOff,
        (_, 2, 2) => Trouble::MailboxFull,
        (_, 2, 3) | (_, 3, 4) => Trouble::TooLarge,
        (_, 4, 6) => Trouble::Loop,
        (_, 4, 7) => Trouble::Expired,
        (_, 4, 0..=3) => Trouble::Unreachable,
        (_, 6, _) => Trouble::Content,
        (_, 7, 4 | 5 | 10 | 11) => Trouble::Insecure,
        (5, 7, _) => Trouble::Refused,
        (4, ..) => Trouble::NotNow,
        _ => Trouble::Other,
    }
}
